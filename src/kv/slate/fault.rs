//! What the object storage and SlateDB say, in our words.

use std::error::Error as StdError;
use std::time::Duration;

use slatedb::{CloseReason, ErrorKind as Kind};

use super::super::group::WriteFailure;
use crate::error::{Error, ErrorKind};

/// The storage did not answer in time.
pub(super) fn too_late(url: &str, most: Duration) -> Error {
    let text = format!(
        "the object storage of {url} did not answer within {most:?}: is the network up, and the endpoint right (AWS_ENDPOINT_URL, AWS_REGION)?"
    );
    Error::unavailable(text)
}

fn is_missing(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let object = error
            .downcast_ref::<std::sync::Arc<object_store::Error>>()
            .map(AsRef::as_ref)
            .or_else(|| error.downcast_ref::<object_store::Error>());
        if matches!(object, Some(object_store::Error::NotFound { .. })) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether a manifest was written by somebody else, or by a request whose answer was lost.
pub(super) fn is_taken(error: &slatedb::Error) -> bool {
    error.to_string().contains("version already exists")
}

/// Another process has taken over.
pub(super) fn fenced(url: &str) -> Error {
    Error::new(ErrorKind::Fenced, fenced_text(url))
}

fn fenced_text(url: &str) -> String {
    format!(
        "another process has opened the store at {url} for writing: this one neither writes nor reads it any more; open it again, read-only if the other is to go on"
    )
}

fn kind_and_text(url: &str, error: &slatedb::Error) -> (ErrorKind, String) {
    match error.kind() {
        Kind::Closed(CloseReason::Fenced) => (ErrorKind::Fenced, fenced_text(url)),
        Kind::Closed(_) => (
            ErrorKind::Poisoned,
            format!("the store at {url} was closed, or a write to it has failed: open it again"),
        ),
        Kind::Data if is_missing(error) => (
            ErrorKind::Unavailable,
            format!(
                "an object of the store at {url} is gone: a view that is held for long, or the bucket was changed by hand; take a new snapshot, or open it again"
            ),
        ),
        Kind::Data if is_taken(error) => (
            ErrorKind::Unavailable,
            format!(
                "an object of the store at {url} that was to be new is there: another process opens it too, or an answer was lost; open it again"
            ),
        ),
        Kind::Data => (
            ErrorKind::Corrupt,
            format!("the store at {url} is damaged, or of another version of SlateDB"),
        ),
        _ => (
            ErrorKind::Unavailable,
            format!("the object storage of {url} failed"),
        ),
    }
}

/// Why something could not be read, or opened.
pub(super) fn of_read(url: &str, error: &slatedb::Error) -> Error {
    let (kind, text) = kind_and_text(url, error);
    Error::new(kind, text).because(error.to_string())
}

/// The same for something that was to be written: whether it was is unknown.
pub(super) fn of_write(url: &str, error: &Error) -> WriteFailure {
    let (kind, context) = match error.kind() {
        ErrorKind::Fenced => (ErrorKind::Fenced, error.to_string()),
        _ => (
            ErrorKind::Unavailable,
            format!("a write to the store at {url} failed"),
        ),
    };
    let cause = error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string);
    WriteFailure {
        kind,
        context,
        cause,
        fatal: true,
    }
}

/// What the first request of an opening came to.
pub(super) fn of_probe(url: &str, error: &object_store::Error) -> Error {
    use object_store::Error as Object;
    let (kind, remedy) = match error {
        Object::NotFound { .. } => (
            ErrorKind::NotFound,
            "the bucket or directory is not there: make it first, or correct the URL",
        ),
        Object::PermissionDenied { .. } | Object::Unauthenticated { .. } => (
            ErrorKind::Unavailable,
            "access is denied: see AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or set AWS_SKIP_SIGNATURE=true for a public bucket",
        ),
        _ if !has_credentials() && url.starts_with("s3://") => (
            ErrorKind::Unavailable,
            "no credentials are set: give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for a public bucket",
        ),
        _ => (
            ErrorKind::Unavailable,
            "the object storage cannot be reached: see AWS_ENDPOINT_URL, AWS_REGION, and AWS_ALLOW_HTTP=true for an endpoint without TLS",
        ),
    };
    Error::new(
        kind,
        format!("the store at {url} cannot be opened: {remedy}"),
    )
    .because(error.to_string())
}

/// Whether the environment holds something to sign requests with.
fn has_credentials() -> bool {
    [
        "AWS_ACCESS_KEY_ID",
        "AWS_SKIP_SIGNATURE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ]
    .iter()
    .any(|name| std::env::var_os(name).is_some())
}
