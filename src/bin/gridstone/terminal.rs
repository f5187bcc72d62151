//! What people see: results on stdout, everything else on stderr.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

/// The streams of the process.
#[derive(Debug)]
pub(super) struct Terminal {
    quiet: bool,
}

impl Terminal {
    pub(super) fn new(quiet: bool) -> Self {
        Self { quiet }
    }

    /// A line of results.
    pub(super) fn print(&self, line: impl AsRef<str>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", line.as_ref())?;
        out.flush()
    }

    /// Results as they stand.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Results for programs.
    pub(super) fn print_json(&self, value: &Value) -> io::Result<()> {
        self.print(format!("{value:#}"))
    }

    /// A remark that no result depends on.
    pub(super) fn note(&self, text: impl AsRef<str>) {
        if !self.quiet {
            self.tell("note", text.as_ref());
        }
    }

    /// Something that the reader of a result must know.
    pub(super) fn warn(&self, text: impl AsRef<str>) {
        self.tell("warning", text.as_ref());
    }

    /// Why nothing came of it: one line, causes last.
    pub(super) fn error(&self, error: &anyhow::Error) {
        self.tell("error", &sentence(error));
    }

    /// Asks whether to do something that cannot be undone; `None` if there is nobody to ask.
    pub(super) fn confirm(&self, what: &str) -> io::Result<Option<bool>> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Ok(None);
        }
        write!(io::stderr().lock(), "{what}? It cannot be undone. [y/N] ")?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        Ok(Some(
            ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()),
        ))
    }

    fn tell(&self, kind: &str, text: &str) {
        // Without stderr there is nobody to tell.
        let _ = writeln!(io::stderr().lock(), "{kind}: {text}");
    }

    /// A bar on stderr, if that is a terminal.
    pub(super) fn progress(&self, what: &str, total: u64) -> ProgressBar {
        if self.quiet || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template(
            "{msg:>12} [{wide_bar}] {percent:>3}% {elapsed}, {eta} left",
        );
        let bar = ProgressBar::new(total).with_message(what.to_owned());
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        bar
    }
}

/// An error and its causes in one line. A cause that its effect quotes already is left out.
pub(super) fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        let cause = cause.trim_end_matches('.').replace(['\n', '\r'], " ");
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|cause| cause.kind() == ErrorKind::BrokenPipe)
    })
}

/// A number of bytes for people.
pub(super) fn bytes(count: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{count} B")
    } else {
        format!(
            "{value:.*} {}",
            if value < 9.95 { 1 } else { 0 },
            units[unit]
        )
    }
}

/// `1 chunk`, `2 chunks`.
pub(super) fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
