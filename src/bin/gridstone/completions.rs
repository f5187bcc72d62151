//! `gridstone completions`

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::terminal::Terminal;
use super::{Command, VerbOutcome};

/// Print a script that completes this command's words in a shell
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  gridstone completions bash > ~/.local/share/bash-completion/completions/gridstone"
)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, _: &Terminal) -> VerbOutcome {
        let mut script = Vec::new();
        clap_complete::generate(
            self.shell,
            &mut Command::command(),
            "gridstone",
            &mut script,
        );
        std::io::stdout().lock().write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}
