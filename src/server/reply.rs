//! Answers: bytes with an ETag, JSON, and problems.

use std::any::Any;
use std::fmt::Write as _;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::gzip;
use super::kept::{KeptAnswers, StoreMoment};
use super::range::{self, SentPart};
use crate::codec::Digest;
use crate::error::{Error, ErrorKind};

pub(super) const JSON: &str = "application/json";
pub(super) const HTML: &str = "text/html; charset=utf-8";

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

/// Bytes and what stands for them, as the conditions of a request want them.
#[derive(Debug)]
pub(super) struct Reply {
    /// That of the bytes as they are, also if they go packed.
    etag: String,
    mime: &'static str,
    packed: bool,
    /// The bytes and what of them is sent; `None` where the client has them.
    body: Option<(Bytes, SentPart)>,
}

impl Reply {
    /// Bytes whose ETag is their own hash.
    pub(super) fn hashed(
        kept: &KeptAnswers,
        headers: &HeaderMap,
        mime: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        let body = body.into();
        let named = (etag(&[&body]), mime);
        if let Some(reply) = Self::had(kept, headers, &named) {
            return reply;
        }
        Self::made(kept, headers, named, body)
    }

    /// Bytes that are made only if neither the client nor the server has them, as their ETag tells.
    pub(super) fn unless_known(
        kept: &KeptAnswers,
        headers: &HeaderMap,
        etag: String,
        mime: &'static str,
        make: impl FnOnce() -> Result<Vec<u8>, Problem>,
    ) -> Result<Self, Problem> {
        let named = (etag, mime);
        if let Some(reply) = Self::had(kept, headers, &named) {
            return Ok(reply);
        }
        let body = match kept.get(&named.0) {
            Some(body) => body,
            None => kept.keep(&named.0, make()?),
        };
        Ok(Self::made(kept, headers, named, body))
    }

    /// What is kept for an address, if it is known to be its answer at a moment.
    pub(super) fn current(
        kept: &KeptAnswers,
        headers: &HeaderMap,
        address: &str,
        moment: StoreMoment,
    ) -> Option<Self> {
        Self::had(kept, headers, &kept.current(address, moment)?)
    }

    /// JSON whose ETag is its hash.
    pub(super) fn json(kept: &KeptAnswers, headers: &HeaderMap, value: &Value) -> Self {
        Self::hashed(kept, headers, JSON, value.to_string())
    }

    /// Notes that this is the answer at an address, made of a state that is not before a moment.
    pub(super) fn note(&self, kept: &KeptAnswers, address: &str, moment: StoreMoment) {
        kept.note(address, moment, &self.etag, self.mime);
    }

    /// The reply if the client has the bytes, or the server has kept them as the client wants them.
    fn had(
        kept: &KeptAnswers,
        headers: &HeaderMap,
        (etag, mime): &(String, &'static str),
    ) -> Option<Self> {
        let reply = |packed: bool, body: Option<(Bytes, SentPart)>| Self {
            etag: etag.clone(),
            mime,
            packed,
            body,
        };
        let tag = gzip::is_text(mime).then(|| gzip::tag(etag));
        if is_known(headers, etag) {
            return Some(reply(false, None));
        }
        if tag.as_ref().is_some_and(|tag| is_known(headers, tag)) {
            return Some(reply(true, None));
        }
        if let Some(tag) = tag.filter(|_| gzip::is_wanted(headers, mime)) {
            if let Some(body) = kept.get(&tag) {
                return Some(reply(true, Some((body, SentPart::Whole))));
            }
            let body = kept.get(etag).filter(|body| body.len() < gzip::LEAST)?;
            return Some(reply(false, Some((body, SentPart::Whole))));
        }
        let body = kept.get(etag)?;
        let part = range::asked(headers, etag, body.len());
        Some(reply(false, Some((body, part))))
    }

    /// The reply of bytes as they are, packed if the client wants them so.
    fn made(
        kept: &KeptAnswers,
        headers: &HeaderMap,
        (etag, mime): (String, &'static str),
        body: Bytes,
    ) -> Self {
        let wanted = gzip::is_wanted(headers, mime);
        let packed = wanted.then(|| gzip::packed(&body)).flatten();
        let (packed, body) = match packed {
            Some(packed) => (
                true,
                (kept.keep(&gzip::tag(&etag), packed), SentPart::Whole),
            ),
            None => {
                let part = range::asked(headers, &etag, body.len());
                (false, (body, part))
            }
        };
        Self {
            etag,
            mime,
            packed,
            body: Some(body),
        }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let len = self.body.as_ref().map_or(0, |(body, _)| body.len());
        let (status, body, range) = match self.body {
            None => (StatusCode::NOT_MODIFIED, Body::empty(), None),
            Some((body, SentPart::Whole)) => (StatusCode::OK, Body::from(body), None),
            Some((body, SentPart::Range(range))) => {
                let told = format!("bytes {}-{}/{len}", range.start, range.end - 1);
                let body = Body::from(body.slice(range));
                (StatusCode::PARTIAL_CONTENT, body, Some(told))
            }
            Some((_, SentPart::Beyond)) => {
                let told = format!("bytes */{len}");
                (StatusCode::RANGE_NOT_SATISFIABLE, Body::empty(), Some(told))
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        // It may be kept, and must be asked for anew each time.
        let fixed = HeaderValue::from_static;
        headers.insert(header::CACHE_CONTROL, fixed("no-cache"));
        headers.insert(header::ACCEPT_RANGES, fixed("bytes"));
        if status.is_success() {
            headers.insert(header::CONTENT_TYPE, fixed(self.mime));
        }
        if let Some(range) = range {
            set(headers, header::CONTENT_RANGE, &range);
        }
        if gzip::is_text(self.mime) {
            headers.insert(header::VARY, fixed("accept-encoding"));
        }
        if self.packed {
            set(headers, header::ETAG, &gzip::tag(&self.etag));
            if status.is_success() {
                headers.insert(header::CONTENT_ENCODING, fixed("gzip"));
            }
        } else {
            set(headers, header::ETAG, &self.etag);
        }
        response
    }
}

/// A text that no one is to keep, packed if the client wants it so.
pub(super) fn passing(headers: &HeaderMap, mime: &'static str, text: String) -> Response {
    let packed = gzip::is_wanted(headers, mime).then(|| gzip::packed(text.as_bytes()));
    let packed = packed.flatten();
    let is_packed = packed.is_some();
    let mut response = Response::new(Body::from(packed.unwrap_or_else(|| text.into())));
    let headers = response.headers_mut();
    let fixed = HeaderValue::from_static;
    headers.insert(header::CONTENT_TYPE, fixed(mime));
    headers.insert(header::CACHE_CONTROL, fixed("no-store"));
    headers.insert(header::VARY, fixed("accept-encoding"));
    if is_packed {
        headers.insert(header::CONTENT_ENCODING, fixed("gzip"));
    }
    response
}

/// Sets a header; one that is no valid text is left out.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The ETag of what all these parts together determine.
pub(super) fn etag(parts: &[&[u8]]) -> String {
    let mut all = Digest::default();
    parts.iter().for_each(|part| all.bytes(part));
    format!("\"{:032x}\"", all.finish())
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
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
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
