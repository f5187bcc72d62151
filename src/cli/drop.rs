//! `gridstone drop`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::terminal::{Terminal, bytes, count};
use super::{Outcome, open};

/// Remove a grid and all its data, and give the space back
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gridstone drop store dem --yes")]
pub(super) struct Drop {
    /// The directory of the store
    store: PathBuf,
    /// The name of the grid
    grid: String,
    /// Do not ask; needed where nobody can be asked
    #[arg(short, long)]
    yes: bool,
    /// Print {"grid", "chunks", "bytes", "seconds"}: what was dropped
    #[arg(long)]
    json: bool,
}

impl Drop {
    pub(super) fn run(self, terminal: &Terminal) -> Outcome {
        let store = open(&self.store)?;
        let stored = store.grid(&self.grid)?.stored_chunks()?;
        let (chunks, size) = (stored.len() as u64, stored.iter().map(|chunk| chunk.bytes).sum::<u64>());
        let what = format!("grid `{}`: {} in {}", self.grid, count(chunks, "chunk"), bytes(size));
        if !self.yes {
            let agreed = terminal.confirm(&format!("drop {what}"))?;
            anyhow::ensure!(agreed.is_some(), "nothing was dropped: say --yes where there is no terminal to ask on");
            anyhow::ensure!(agreed == Some(true), "nothing was dropped");
        }
        let start = Instant::now();
        store.drop_grid(&self.grid)?;
        store.reclaim()?;
        let seconds = start.elapsed().as_secs_f64();
        if self.json {
            terminal.print_json(&json!({ "grid": self.grid, "chunks": chunks, "bytes": size, "seconds": seconds }))?;
        } else {
            terminal.print(format!("dropped {what}, {seconds:.2} s"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
