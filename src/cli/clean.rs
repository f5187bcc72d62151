//! `gridstone clean`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::terminal::{Terminal, count};
use super::{Outcome, open};

/// Bring extent, base levels and top down to the data that is there
///
/// No data is removed. It can be cut short and done again.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gridstone clean store dem")]
pub(super) struct Clean {
    /// The directory of the store
    store: PathBuf,
    /// The name of the grid
    grid: String,
    /// Print {"grid", "base_chunks", "changed", "seconds"}: base chunks there are, and whether anything came down
    #[arg(long)]
    json: bool,
}

impl Clean {
    pub(super) fn run(self, terminal: &Terminal) -> Outcome {
        let store = open(&self.store)?;
        let grid = store.grid(&self.grid)?;
        let start = Instant::now();
        let cleaned = grid.clean()?;
        let seconds = start.elapsed().as_secs_f64();
        if self.json {
            terminal.print_json(&json!({
                "grid": grid.name(), "base_chunks": cleaned.chunks, "changed": cleaned.changed, "seconds": seconds,
            }))?;
        } else {
            let came = if cleaned.changed { "brought down to" } else { "nothing to bring down:" };
            terminal.print(format!(
                "cleaned grid `{}`: {came} {}, {seconds:.2} s",
                grid.name(),
                count(cleaned.chunks, "base chunk")
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
