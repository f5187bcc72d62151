//! `gridstone restore`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::terminal::Terminal;
use super::{VerbOutcome, open};
use gridstone::Store;

/// Make a new store of a copy
///
/// The copy stays as it is. The new store is one of its own: what followed the changes of the old
/// one begins anew.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gridstone restore backup store")]
pub(super) struct Restore {
    /// The directory of the copy
    directory: PathBuf,
    /// The directory of the new store: not there, or empty
    store: PathBuf,
    /// Print {"grids", "seconds"}
    #[arg(long)]
    json: bool,
}

impl Restore {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        let start = Instant::now();
        Store::restore(&self.directory, &self.store)?;
        let (grids, seconds) = (
            open(&self.store)?.grids()?.len(),
            start.elapsed().as_secs_f64(),
        );
        if self.json {
            terminal.print_json(&json!({ "grids": grids, "seconds": seconds }))?;
        } else {
            let (copy, store) = (self.directory.display(), self.store.display());
            terminal.print(format!("restored {copy} to {store}, {seconds:.2} s"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
