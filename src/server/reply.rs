//! Answers: bytes with an ETag, JSON, and problems.

use std::any::Any;
use std::fmt::Write as _;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use xxhash_rust::xxh3::Xxh3;

use super::kept::Kept;
use crate::error::{Error, ErrorKind};

pub(super) const JSON: &str = "application/json";

/// The most characters of what a problem tells.
const DETAIL_MAX: usize = 1000;

/// Why there is no answer, as RFC 9457 has it.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    parameter: Option<String>,
    allowed: Option<Value>,
    allow: Option<&'static str>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        // What was sent is not sent back at any length.
        if let Some((end, _)) = detail.char_indices().nth(DETAIL_MAX) {
            detail.truncate(end);
            detail.push_str("..");
        }
        Self {
            status,
            detail,
            parameter: None,
            allowed: None,
            allow: None,
        }
    }

    /// A parameter that cannot be used, and why.
    pub(super) fn parameter(name: &str, why: impl Into<String>) -> Self {
        Self {
            parameter: Some(name.to_owned()),
            ..Self::new(StatusCode::BAD_REQUEST, why)
        }
    }

    /// What may stand in place of what was refused.
    pub(super) fn allowed(self, allowed: impl Into<Value>) -> Self {
        Self {
            allowed: Some(allowed.into()),
            ..self
        }
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    pub(super) fn busy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// Something that is not the client's fault, of which it is told nothing.
    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the server failed; its log says why",
        )
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// The same of a parameter, if the request is at fault.
    pub(super) fn of(self, name: &str) -> Self {
        if self.status != StatusCode::BAD_REQUEST || self.parameter.is_some() {
            return self;
        }
        Self {
            parameter: Some(name.to_owned()),
            ..self
        }
    }

    /// The error of an engine call that a parameter is at fault for.
    pub(super) fn by(name: &str) -> impl Fn(Error) -> Problem + '_ {
        move |error| Problem::from(error).of(name)
    }
}

impl From<Error> for Problem {
    /// What is the client's to mend is told; all else goes to the log, since it could name paths.
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Invalid => Self::new(StatusCode::BAD_REQUEST, error.sentence()),
            ErrorKind::NotFound => Self::not_found(error.sentence()),
            ErrorKind::Expired => Self::new(StatusCode::GONE, error.sentence()),
            kind => {
                tracing::error!(error = error.sentence(), ?kind, "a request failed");
                match kind {
                    ErrorKind::TimedOut | ErrorKind::Conflict | ErrorKind::Unavailable => {
                        Self::busy("the storage does not answer now; try again in a moment")
                    }
                    ErrorKind::Corrupt => Self::new(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "stored data that the answer needs is damaged; the operator finds it with `gridstone verify`",
                    ),
                    _ => Self::internal(),
                }
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(parameter) = self.parameter {
            body["parameter"] = parameter.into();
        }
        if let Some(allowed) = self.allowed {
            body["allowed"] = allowed;
        }
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        set(headers, header::CONTENT_TYPE, "application/problem+json");
        set(headers, header::CACHE_CONTROL, "no-store");
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            set(headers, header::RETRY_AFTER, "1");
        }
        if let Some(allow) = self.allow {
            set(headers, header::ALLOW, allow);
        }
        response
    }
}

/// Bytes and what stands for them, or that alone where the client has the bytes.
#[derive(Debug)]
pub(super) enum Reply {
    /// The client has them.
    Same { etag: String },
    Made {
        etag: String,
        mime: &'static str,
        body: Bytes,
    },
}

impl Reply {
    /// Bytes whose ETag is their own hash.
    pub(super) fn hashed(headers: &HeaderMap, mime: &'static str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let etag = etag(&[&body]);
        if is_known(headers, &etag) {
            return Self::Same { etag };
        }
        Self::Made { etag, mime, body }
    }

    /// Bytes that are made only if neither the client nor the server has them, as their ETag tells.
    pub(super) fn unless_known(
        kept: &Kept,
        headers: &HeaderMap,
        etag: String,
        mime: &'static str,
        make: impl FnOnce() -> Result<Vec<u8>, Problem>,
    ) -> Result<Self, Problem> {
        if is_known(headers, &etag) {
            return Ok(Self::Same { etag });
        }
        let body = match kept.get(&etag) {
            Some(body) => body,
            None => kept.keep(&etag, make()?),
        };
        Ok(Self::Made { etag, mime, body })
    }

    /// JSON whose ETag is its hash.
    pub(super) fn json(headers: &HeaderMap, value: &Value) -> Self {
        Self::hashed(headers, JSON, value.to_string())
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let (status, etag, mime, body) = match self {
            Self::Same { etag } => (StatusCode::NOT_MODIFIED, etag, None, Body::empty()),
            Self::Made { etag, mime, body } => (StatusCode::OK, etag, Some(mime), Body::from(body)),
        };
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_TYPE);
        if let Some(mime) = mime {
            set(headers, header::CONTENT_TYPE, mime);
        }
        set(headers, header::ETAG, &etag);
        // It may be kept, and must be asked for anew each time.
        set(headers, header::CACHE_CONTROL, "no-cache");
        response
    }
}

/// Sets a header; one that is no valid text is left out.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The ETag of what all these parts together determine.
pub(super) fn etag(parts: &[&[u8]]) -> String {
    let mut all = Xxh3::new();
    for part in parts {
        all.update(&part.len().to_ne_bytes());
        all.update(part);
    }
    format!("\"{:032x}\"", all.digest128())
}

/// The ETag of an answer that a text describes and versions stand for. Another build may make other
/// bytes of the same.
pub(super) fn etag_of(described: &str, versions: &[crate::Version]) -> String {
    let mut text = String::from(env!("CARGO_PKG_VERSION"));
    for version in versions {
        // Writing to a text does not fail.
        let _ = write!(text, " {version}");
    }
    etag(&[text.as_bytes(), described.as_bytes()])
}

/// Whether the client has what an ETag stands for.
pub(super) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|of| of == "*" || of.strip_prefix("W/").unwrap_or(of) == etag)
}

pub(super) async fn no_route(uri: Uri) -> Problem {
    Problem::not_found(format!(
        "there is nothing at `{}`; `/` has a map page, `/grids` names what there is",
        uri.path().chars().take(200).collect::<String>()
    ))
}

pub(super) async fn no_method(method: Method, uri: Uri) -> Problem {
    let posts = uri.path().contains("/stats/");
    let (allow, remedy) = if posts {
        ("POST, OPTIONS", "post a GeoJSON")
    } else {
        ("GET, HEAD, OPTIONS", "the server only reads")
    };
    Problem {
        allow: Some(allow),
        ..Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("{method} is not possible here; {remedy}"),
        )
    }
}

/// The answer where a handler panicked: a bug, of which the log tells.
pub(super) fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a request made the server panic");
    Problem::internal().into_response()
}
