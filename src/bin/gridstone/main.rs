//! The `gridstone` command. Everything it does is done through the public API of the library.
//!
//! Exit code 0: done. 1: damage or a data error, told on stderr in one sentence with its causes. 2:
//! wrong usage.

mod aggregate;
mod alter;
mod args;
mod bases;
mod bench;
mod bench_events;
mod changes;
mod checkpoint;
mod clean;
mod clear;
mod collapse;
mod completions;
mod consent;
mod copy;
mod create;
mod delete;
mod drop;
mod every;
mod excerpt;
mod explain;
mod export;
mod figures;
mod files;
mod geojson;
mod import;
mod info;
mod json;
mod ledger;
mod ls;
mod measure;
mod naming;
mod output;
mod parts;
mod place;
mod plan;
mod put;
mod read;
mod region;
mod removal;
mod rename;
mod repair;
mod restore;
mod select;
mod series;
mod serve;
mod show;
mod stats;
mod structure;
mod swap;
mod terminal;
mod text;
mod time;
mod verify;

use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use clap::{Parser, Subcommand};

use gridstone::{Policy, Store, StoreOptions};
use terminal::Terminal;

/// Keeps gridded data with a pyramid that is never wrong, and reads any extent at any resolution.
#[derive(Debug, Parser)]
#[command(
    name = "gridstone",
    version,
    propagate_version = true,
    max_term_width = 110,
    after_help = "Example:\n  gridstone create store dem --like srtm.tif\n  gridstone import store dem srtm.tif\n  \
                  gridstone read store dem --shape 512x640 --out dem.png\n\nA STORE is a directory or, if built with \
                  the feature object-store, a URL: s3://bucket/prefix, with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, \
                  AWS_REGION and AWS_ENDPOINT_URL of the environment, or file:///directory"
)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
    /// Show no progress and no notes on stderr
    #[arg(short, long, global = true, env = "GRIDSTONE_QUIET")]
    quiet: bool,
    /// Threads to compute with [default: one a processor]
    #[arg(long, global = true, env = "GRIDSTONE_THREADS", value_name = "N")]
    threads: Option<std::num::NonZeroUsize>,
    /// Change nothing in the directory of the store; verbs that only read never do
    #[arg(long, global = true)]
    read_only: bool,
    /// Open a store whose logs are damaged, without what is lost; verbs that write put copies of
    /// them into STORE/quarantine-N first
    #[arg(long, global = true)]
    accept_data_loss: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Create(create::Create),
    Import(import::ImportVerb),
    Plan(plan::PlanImport),
    Put(put::PutVerb),
    Aggregate(aggregate::Aggregate),
    Info(info::Info),
    Ls(ls::Ls),
    Read(read::Read),
    Export(export::Export),
    Series(series::SeriesVerb),
    Explain(explain::Explain),
    Stats(stats::Stats),
    Changes(changes::ChangesVerb),
    #[cfg_attr(not(feature = "server"), command(hide = true))]
    Serve(serve::Serve),
    Clear(clear::Clear),
    Delete(delete::Delete),
    Clean(clean::Clean),
    Drop(drop::Drop),
    Rename(rename::Rename),
    Swap(swap::Swap),
    Copy(copy::Copy),
    Alter(alter::Alter),
    Verify(verify::Verify),
    Repair(repair::Repair),
    Salvage(repair::Salvage),
    Checkpoint(checkpoint::Checkpoint),
    Restore(restore::Restore),
    Bench(measure::Bench),
    Completions(completions::Completions),
}

impl Verb {
    /// Whether it never writes to a store.
    fn only_reads(&self) -> bool {
        matches!(
            self,
            Self::Info(_)
                | Self::Ls(_)
                | Self::Read(_)
                | Self::Export(_)
                | Self::Series(_)
                | Self::Plan(_)
                | Self::Explain(_)
                | Self::Stats(_)
                | Self::Changes(_)
                | Self::Serve(_)
                | Self::Verify(_)
        )
    }
}

/// How stores are opened, besides by what a verb does.
#[derive(Clone, Copy, Debug, Default)]
struct Opening {
    read_only: bool,
    accept_data_loss: bool,
    quiet: bool,
}

static OPENING: OnceLock<Opening> = OnceLock::new();

/// What a verb comes to: done, or damage that it has reported itself.
type VerbOutcome = anyhow::Result<ExitCode>;

/// Runs the command with the arguments and streams of the process.
fn main() -> ExitCode {
    let command = Command::parse();
    let terminal = Terminal::new(command.quiet);
    if let Some(threads) = command.threads
        && let Err(error) = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.get())
            .build_global()
    {
        terminal.error(&error.into());
        return ExitCode::FAILURE;
    }
    let read_only = command.read_only || command.verb.only_reads();
    let (accept_data_loss, quiet) = (command.accept_data_loss, command.quiet);
    OPENING.get_or_init(|| Opening {
        read_only,
        accept_data_loss,
        quiet,
    });
    let outcome = match command.verb {
        Verb::Create(verb) => verb.run(&terminal),
        Verb::Import(verb) => verb.run(&terminal),
        Verb::Plan(verb) => verb.run(&terminal),
        Verb::Put(verb) => verb.run(&terminal),
        Verb::Aggregate(verb) => verb.run(&terminal),
        Verb::Info(verb) => verb.run(&terminal),
        Verb::Ls(verb) => verb.run(&terminal),
        Verb::Read(verb) => verb.run(&terminal),
        Verb::Export(verb) => verb.run(&terminal),
        Verb::Series(verb) => verb.run(&terminal),
        Verb::Explain(verb) => verb.run(&terminal),
        Verb::Stats(verb) => verb.run(&terminal),
        Verb::Changes(verb) => verb.run(&terminal),
        Verb::Serve(verb) => verb.run(&terminal),
        Verb::Clear(verb) => verb.run(&terminal),
        Verb::Delete(verb) => verb.run(&terminal),
        Verb::Clean(verb) => verb.run(&terminal),
        Verb::Drop(verb) => verb.run(&terminal),
        Verb::Rename(verb) => verb.run(&terminal),
        Verb::Swap(verb) => verb.run(&terminal),
        Verb::Copy(verb) => verb.run(&terminal),
        Verb::Alter(verb) => verb.run(&terminal),
        Verb::Verify(verb) => verb.run(&terminal),
        Verb::Repair(verb) => verb.run(&terminal),
        Verb::Salvage(verb) => verb.run(&terminal),
        Verb::Checkpoint(verb) => verb.run(&terminal),
        Verb::Restore(verb) => verb.run(&terminal),
        Verb::Bench(verb) => verb.run(&terminal),
        Verb::Completions(verb) => verb.run(&terminal),
    };
    match outcome {
        Ok(code) => code,
        // Whoever reads the output has had enough.
        Err(error) if terminal::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            terminal.error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Opens a store that must be there. Aggregation is left to the verbs.
fn open(path: &Path) -> gridstone::Result<Store> {
    open_as(path, options())
}

/// The same, of a store that is made if there is none.
fn open_or_make(path: &Path) -> gridstone::Result<Store> {
    open_as(path, options().create(true))
}

fn open_as(path: &Path, options: StoreOptions) -> gridstone::Result<Store> {
    // What is exported comes from one snapshot, however long that takes.
    let store = options.snapshot_age_max(Duration::MAX).open(path)?;
    // Of a store on object storage nobody knows whether another process writes to it.
    if store.age().is_some() && !is_url(path) {
        let text = format!(
            "another process writes to {}, which is shown as it is now; what comes later is not",
            path.display()
        );
        let quiet = OPENING.get().is_some_and(|opening| opening.quiet);
        Terminal::new(quiet).note(text);
    }
    Ok(store)
}

/// The same without a word of another process.
#[cfg(feature = "server")]
fn open_quietly(path: &Path) -> gridstone::Result<Store> {
    options().open(path)
}

/// Whether a store is on object storage.
fn is_url(path: &Path) -> bool {
    path.to_string_lossy().contains("://")
}

/// How stores are opened, which must be there.
fn options() -> StoreOptions {
    let Opening {
        read_only,
        accept_data_loss,
        ..
    } = OPENING.get().copied().unwrap_or_default();
    Store::options()
        .create(false)
        .policy(Policy::Manual)
        .read_only(read_only)
        .accept_data_loss(accept_data_loss)
}
