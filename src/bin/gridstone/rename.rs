//! `gridstone rename`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::terminal::Terminal;
use super::{VerbOutcome, open};

/// Give a grid another name
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gridstone rename store dem terrain")]
pub(super) struct Rename {
    /// The directory of the store
    store: PathBuf,
    /// The name of the grid
    old: String,
    /// The name it gets, which no grid may have
    new: String,
}

impl Rename {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        open(&self.store)?.rename_grid(&self.old, &self.new)?;
        terminal.print(format!("grid `{}` is `{}` now", self.old, self.new))?;
        Ok(ExitCode::SUCCESS)
    }
}
