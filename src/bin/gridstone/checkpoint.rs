//! `gridstone checkpoint`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::terminal::Terminal;
use super::{VerbOutcome, is_url, open};
use gridstone::adapter::text::quoted;

/// Copy a store into a directory, or bring the copy there up to date
///
/// On the same file system the copy shares the data files and takes little time and space. It takes
/// its place at once, so that a copy cut short leaves the last one whole. It can be read like a
/// store; `gridstone restore` makes a store of it.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gridstone checkpoint store backup")]
pub(super) struct Checkpoint {
    /// The directory of the store
    store: PathBuf,
    /// The directory of the copy: new, empty, or an earlier copy
    directory: PathBuf,
    /// Print {"grids", "seconds"}
    #[arg(long)]
    json: bool,
}

impl Checkpoint {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        let start = Instant::now();
        // Opening it for writing would take it from whoever writes to it.
        anyhow::ensure!(
            !is_url(&self.store),
            "a store on object storage has no files to make a checkpoint of; copy its grids with `gridstone copy NEW GRID GRID --from-store {}`",
            quoted(&self.store.display().to_string())
        );
        let store = open(&self.store)?;
        store.checkpoint(&self.directory)?;
        let (grids, seconds) = (store.grids()?.len(), start.elapsed().as_secs_f64());
        if self.json {
            terminal.print_json(&json!({ "grids": grids, "seconds": seconds }))?;
        } else {
            let (store, copy) = (self.store.display(), self.directory.display());
            terminal.print(format!("copied {store} to {copy}, {seconds:.2} s"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
