//! One error type: a kind that says what the caller can do, a sentence that says what happened, and
//! the cause.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;

/// What went wrong, as far as the caller can act on it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request cannot be carried out as it stands. Nothing was changed.
    Invalid,
    /// A grid, layer, level or store does not exist.
    NotFound,
    /// A grid or store of that name exists.
    AlreadyExists,
    /// Data was put at a level above finer base data.
    AggregatedLevel {
        /// The name of the dimension.
        dimension: String,
    },
    /// Another commit changed what this one was computed from. Trying again can succeed.
    Conflict,
    /// What was asked for is too old to be known any more: a token of changes, a snapshot, a handle
    /// of a grid that has got another layer since, which can be read but not written through.
    Expired,
    /// Stored bytes are damaged. The message names the grid and the location.
    Corrupt,
    /// The storage refused for now: no space, an I/O error, or another process holds the store.
    Unavailable,
    /// What was waited for did not come in time. It may still come.
    TimedOut,
    /// An earlier write failed in a way that cannot be undone. Reads go on, unless the store is on
    /// object storage; to write, open the store again.
    Poisoned,
    /// Another process has opened the store, which is on object storage, for writing since. This
    /// handle neither writes nor reads any more, and has changed nothing since: open the store
    /// again, read-only if the other process is to go on.
    Fenced,
}

/// An error of the engine.
///
/// `Display` states this layer's fact only; the cause is in [`source`](StdError::source).
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    source: Option<Box<dyn StdError + Send + Sync + 'static>>,
    /// What it is about, for code.
    subject: Option<Box<dyn Any + Send + Sync>>,
}

/// The result of an engine call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of a kind, with one sentence of context.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into(),
            source: None,
            subject: None,
        }
    }

    /// [`ErrorKind::Invalid`] with one sentence of context.
    pub fn invalid(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, context)
    }

    /// [`ErrorKind::NotFound`] with one sentence of context.
    pub fn not_found(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, context)
    }

    /// [`ErrorKind::Corrupt`] with one sentence of context.
    pub fn corrupt(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, context)
    }

    /// [`ErrorKind::Unavailable`] with one sentence of context.
    pub fn unavailable(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, context)
    }

    /// The same error with its cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync + 'static>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same kind under a sentence of the layer above; this error becomes the cause.
    #[must_use]
    pub fn within(self, context: impl Into<String>) -> Self {
        Self {
            kind: self.kind.clone(),
            context: context.into(),
            source: Some(Box::new(self)),
            subject: None,
        }
    }

    /// The same error with what it is of in front of its sentence, once. Its cause stays.
    #[must_use]
    pub(crate) fn of(mut self, what: &str) -> Self {
        if !self.context.starts_with(what) {
            self.context = format!("{what}: {}", self.context);
        }
        self
    }

    /// The same error, which tells code what it is about.
    #[must_use]
    pub(crate) fn about(mut self, subject: impl Any + Send + Sync) -> Self {
        self.subject = Some(Box::new(subject));
        self
    }

    /// What the error, or one of its causes, is about, if that is of a type.
    pub(crate) fn subject<T: Any>(&self) -> Option<&T> {
        let own = self
            .subject
            .as_ref()
            .and_then(|subject| subject.downcast_ref());
        own.or_else(|| self.source.as_ref()?.downcast_ref::<Self>()?.subject())
    }

    /// The error and its causes in one line.
    pub(crate) fn sentence(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        text
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|cause| cause as &(dyn StdError + 'static))
    }
}

/// A word of a command as a POSIX shell takes it: plain ones as they are, others in quotes.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+%@".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        in_quotes(word)
    }
}

/// A word of a command in quotes.
pub fn in_quotes(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::{in_quotes, quoted};

    #[test]
    fn a_shell_takes_a_quoted_word_as_it_is() {
        for word in [
            "a-b_c./d:e=f,g+h%i@j",
            "",
            "a b",
            "it's",
            "$x `y` \"z\" \\ *?[]~#&;|<>()",
            "\n",
            "ü",
        ] {
            for quoted in [quoted(word), in_quotes(word)] {
                let script = format!("printf %s {quoted}");
                let shell = std::process::Command::new("sh")
                    .args(["-c", &script])
                    .output();
                assert_eq!(shell.expect("runs").stdout, word.as_bytes(), "{quoted}");
            }
        }
    }
}
