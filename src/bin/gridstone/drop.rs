//! `gridstone drop`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::consent::Consent;
use super::terminal::{Terminal, bytes, count};
use super::{VerbOutcome, open};

/// Remove a grid and all its data, and give the space back
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gridstone drop store dem --yes")]
pub(super) struct Drop {
    /// The directory of the store
    store: PathBuf,
    /// The name of the grid
    grid: String,
    #[command(flatten)]
    consent: Consent,
    /// Print {"grid", "chunks", "bytes", "seconds"}: what was dropped
    #[arg(long)]
    json: bool,
}

impl Drop {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        let store = open(&self.store)?;
        let stored = store.grid(&self.grid)?.stored_chunks()?;
        let (chunks, size) = (
            stored.len() as u64,
            stored.iter().map(|chunk| chunk.bytes).sum::<u64>(),
        );
        let what = format!(
            "grid `{}`: {} in {}",
            self.grid,
            count(chunks, "chunk"),
            bytes(size)
        );
        self.consent.obtain(terminal, ("drop", "dropped"), &what)?;
        let start = Instant::now();
        store.drop_grid(&self.grid)?;
        store.reclaim()?;
        let seconds = start.elapsed().as_secs_f64();
        if self.json {
            terminal.print_json(
                &json!({ "grid": self.grid, "chunks": chunks, "bytes": size, "seconds": seconds }),
            )?;
        } else {
            terminal.print(format!("dropped {what}, {seconds:.2} s"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
