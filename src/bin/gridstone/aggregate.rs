//! `gridstone aggregate`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::terminal::{Terminal, bytes, count};
use super::{VerbOutcome, open};
use gridstone::{Error, ErrorKind, Grid, Policy, Store, StoreStats};

/// Bring the pyramid of a grid, or of all grids, up to date
///
/// A step is one commit, so Ctrl-C at any time loses no more than the step that is under way.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  gridstone aggregate store dem\n  gridstone aggregate store --watch --idle 10"
)]
pub(super) struct Aggregate {
    /// The directory of the store
    store: PathBuf,
    /// The name of the grid [default: all]
    grid: Option<String>,
    /// Stay until nothing has been pending for a while, and try again what fails
    ///
    /// Aggregates all grids as a service does, in the background, and says every second on stderr
    /// how far it is. Without this the first failure ends the command; with it a failure that may
    /// pass, such as a full disk, is told and tried again, at longer and longer intervals up to 30
    /// s. While the command has the store open no other process can write to it, so this is to
    /// watch a backlog go, or to see it through trouble; a service aggregates by itself.
    #[arg(long, conflicts_with = "grid")]
    watch: bool,
    /// How long nothing must have been pending before --watch ends
    #[arg(long, value_name = "SECONDS", default_value_t = 1, requires = "watch")]
    idle: u64,
    /// Print the summary as JSON: grids, marks_drained, aggregate_chunks, bytes, seconds
    #[arg(long)]
    json: bool,
}

/// What draining marks came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Drained {
    pub(super) marks: u64,
    pub(super) chunks: u64,
    pub(super) bytes: u64,
}

impl Aggregate {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        let start = Instant::now();
        if self.watch {
            let store = Store::options()
                .create(false)
                .policy(Policy::Background)
                .background_threads(rayon::current_num_threads());
            let store = store.open(&self.store)?;
            let total = watch(&store, Duration::from_secs(self.idle), terminal)?;
            store.close()?;
            return self.report(store.grids()?.len(), total, start, terminal);
        }
        let store = open(&self.store)?;
        let grids = match &self.grid {
            Some(name) => vec![store.grid(name)?],
            None => store.grids()?,
        };
        let mut total = Drained::default();
        for grid in &grids {
            let done = drain(grid, terminal)?;
            total.marks += done.marks;
            total.chunks += done.chunks;
            total.bytes += done.bytes;
        }
        self.report(grids.len(), total, start, terminal)
    }

    fn report(
        &self,
        grids: usize,
        total: Drained,
        start: Instant,
        terminal: &Terminal,
    ) -> VerbOutcome {
        let seconds = start.elapsed().as_secs_f64();
        if self.json {
            terminal.print_json(&json!({
                "grids": grids, "marks_drained": total.marks, "aggregate_chunks": total.chunks, "bytes": total.bytes,
                "seconds": seconds,
            }))?;
        } else {
            terminal.print(format!(
                "aggregated {}: {} drained, {} written, {}, {seconds:.2} s",
                count(grids as u64, "grid"),
                count(total.marks, "mark"),
                count(total.chunks, "chunk"),
                bytes(total.bytes),
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Follows the background aggregation until nothing was pending for some time.
fn watch(store: &Store, idle: Duration, terminal: &Terminal) -> anyhow::Result<Drained> {
    const SECOND: Duration = Duration::from_secs(1);
    let (mut idle_since, mut told, mut failure) = (None, None, None);
    loop {
        let stats = store.stats()?;
        if let Some(why) = stats.poisoned {
            return Err(
                Error::new(ErrorKind::Poisoned, "the aggregation failed beyond repair")
                    .because(why)
                    .into(),
            );
        }
        let of = &stats.grids;
        if of.failure.is_some() && of.failure != failure {
            of.failure
                .iter()
                .for_each(|why| terminal.warn(format!("a step failed and is tried again: {why}")));
        }
        failure.clone_from(&of.failure);
        let now = Instant::now();
        if told.is_none_or(|told| now.duration_since(told) >= SECOND) {
            told = Some(now);
            terminal.note(progress(&stats));
        }
        let since = *idle_since.get_or_insert(now);
        if of.marks > 0 {
            idle_since = None;
        } else if now.duration_since(since) >= idle {
            return Ok(Drained {
                marks: of.marks_consumed,
                chunks: of.chunks_aggregated,
                bytes: of.bytes_written,
            });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn progress(stats: &StoreStats) -> String {
    let of = &stats.grids;
    let age = of.oldest_mark.map_or(String::new(), |age| {
        format!(", the oldest for {:.0} s", age.as_secs_f64())
    });
    format!(
        "{} pending{age}; {} drained, {} written, {}",
        count(of.marks, "mark"),
        of.marks_consumed,
        count(of.chunks_aggregated, "chunk"),
        bytes(of.bytes_written)
    )
}

/// Consumes all marks of a grid.
pub(super) fn drain(grid: &Grid, terminal: &Terminal) -> anyhow::Result<Drained> {
    let bar = terminal.progress("aggregating", grid.marks()?);
    let mut total = Drained::default();
    while let Some(step) = grid.aggregate_step()? {
        total.marks += step.marks;
        total.chunks += step.chunks;
        total.bytes += step.bytes;
        if step.marks == 0 {
            // The pyramid has risen, which left marks of its own.
            bar.set_length(total.marks + grid.marks()?);
        }
        bar.inc(step.marks);
    }
    bar.finish_and_clear();
    Ok(total)
}
