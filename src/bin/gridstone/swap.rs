//! `gridstone swap`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::terminal::Terminal;
use super::{VerbOutcome, open};

/// Exchange the names of two grids in one step, so that new data take the place of old
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gridstone swap store forecast forecast-next")]
pub(super) struct Swap {
    /// The directory of the store
    store: PathBuf,
    /// The name of a grid
    a: String,
    /// The name of the other
    b: String,
}

impl Swap {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        open(&self.store)?.swap(&self.a, &self.b)?;
        terminal.print(format!(
            "grids `{}` and `{}` have each other's name now",
            self.a, self.b
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}
