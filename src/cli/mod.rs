//! The `gridstone` command. Everything it does is done through the public API of this crate.
//!
//! Exit code 0: done. 1: damage or a data error, told on stderr in one sentence with its causes. 2: wrong usage.

mod aggregate;
mod args;
mod bases;
mod bench;
mod bench_events;
mod changes;
mod clean;
mod clear;
mod collapse;
mod completions;
mod consent;
mod copy;
mod create;
mod delete;
mod drop;
mod explain;
mod geojson;
mod import;
mod info;
mod json;
mod ls;
mod measure;
mod naming;
mod output;
mod read;
mod removal;
mod rename;
mod select;
mod series;
mod show;
mod stats;
mod structure;
mod swap;
mod terminal;
mod time;
mod verify;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{Policy, Store};
use terminal::Terminal;

/// Keeps gridded data with a pyramid that is never wrong, and reads any extent at any resolution.
#[derive(Debug, Parser)]
#[command(
    name = "gridstone",
    version,
    propagate_version = true,
    max_term_width = 110,
    after_help = "Example:\n  gridstone create store dem --like srtm.tif\n  gridstone import store dem srtm.tif\n  \
                  gridstone read store dem --shape 512x640 --out dem.png"
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
}

#[derive(Debug, Subcommand)]
enum Verb {
    Create(create::Create),
    Import(import::Import),
    Aggregate(aggregate::Aggregate),
    Info(info::Info),
    Ls(ls::Ls),
    Read(read::Read),
    Series(series::Series),
    Explain(explain::Explain),
    Stats(stats::Stats),
    Changes(changes::Changes),
    Clear(clear::Clear),
    Delete(delete::Delete),
    Clean(clean::Clean),
    Drop(drop::Drop),
    Rename(rename::Rename),
    Swap(swap::Swap),
    Copy(copy::Copy),
    Verify(verify::Verify),
    Bench(measure::Bench),
    Completions(completions::Completions),
}

/// What a verb comes to: done, or damage that it has reported itself.
type Outcome = anyhow::Result<ExitCode>;

/// Runs the command with the arguments and streams of the process.
pub fn main() -> ExitCode {
    let command = Command::parse();
    let terminal = Terminal::new(command.quiet);
    if let Some(threads) = command.threads
        && let Err(error) = rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build_global()
    {
        terminal.error(&error.into());
        return ExitCode::FAILURE;
    }
    let outcome = match command.verb {
        Verb::Create(verb) => verb.run(&terminal),
        Verb::Import(verb) => verb.run(&terminal),
        Verb::Aggregate(verb) => verb.run(&terminal),
        Verb::Info(verb) => verb.run(&terminal),
        Verb::Ls(verb) => verb.run(&terminal),
        Verb::Read(verb) => verb.run(&terminal),
        Verb::Series(verb) => verb.run(&terminal),
        Verb::Explain(verb) => verb.run(&terminal),
        Verb::Stats(verb) => verb.run(&terminal),
        Verb::Changes(verb) => verb.run(&terminal),
        Verb::Clear(verb) => verb.run(&terminal),
        Verb::Delete(verb) => verb.run(&terminal),
        Verb::Clean(verb) => verb.run(&terminal),
        Verb::Drop(verb) => verb.run(&terminal),
        Verb::Rename(verb) => verb.run(&terminal),
        Verb::Swap(verb) => verb.run(&terminal),
        Verb::Copy(verb) => verb.run(&terminal),
        Verb::Verify(verb) => verb.run(&terminal),
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
fn open(path: &Path) -> crate::Result<Store> {
    Store::options().create(false).policy(Policy::Manual).open(path)
}
