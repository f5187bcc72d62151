//! `gridstone aggregate`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::terminal::{Terminal, bytes, count};
use super::{Outcome, open};
use crate::Grid;

/// Bring the pyramid of a grid, or of all grids, up to date
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gridstone aggregate store dem")]
pub(super) struct Aggregate {
    /// The directory of the store
    store: PathBuf,
    /// The name of the grid [default: all]
    grid: Option<String>,
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
    pub(super) fn run(self, terminal: &Terminal) -> Outcome {
        let start = Instant::now();
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
        let seconds = start.elapsed().as_secs_f64();
        if self.json {
            terminal.print_json(&json!({
                "grids": grids.len(), "marks_drained": total.marks, "aggregate_chunks": total.chunks, "bytes": total.bytes,
                "seconds": seconds,
            }))?;
        } else {
            terminal.print(format!(
                "aggregated {}: {} drained, {} written, {}, {seconds:.2} s",
                count(grids.len() as u64, "grid"),
                count(total.marks, "mark"),
                count(total.chunks, "chunk"),
                bytes(total.bytes),
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
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
