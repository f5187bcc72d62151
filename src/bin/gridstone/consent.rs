//! The word that verbs need that destroy data.

use clap::Args;

use super::terminal::Terminal;

#[derive(Args, Debug)]
pub(super) struct Consent {
    /// Do not ask; needed where nobody can be asked
    #[arg(short, long)]
    yes: bool,
}

impl Consent {
    /// Goes on only if it was agreed to `verb` (`drop`, in the past tense `dropped`) something.
    pub(super) fn obtain(
        &self,
        terminal: &Terminal,
        (verb, past): (&str, &str),
        what: &str,
    ) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        let agreed = terminal.confirm(&format!("{verb} {what}"))?;
        anyhow::ensure!(
            agreed.is_some(),
            "nothing was {past}: say --yes where there is no terminal to ask on"
        );
        anyhow::ensure!(agreed == Some(true), "nothing was {past}");
        Ok(())
    }
}
