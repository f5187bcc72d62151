//! What a handler is asked.

use std::sync::Arc;

use axum::extract::{FromRequestParts, OriginalUri, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};
use serde::de::DeserializeOwned;

use super::app::Shared;
use super::reply::Problem;

/// A request, and what answers it.
pub(super) struct Asked<T = String> {
    pub(super) app: Shared,
    /// What stands where the route has braces.
    pub(super) path: T,
    /// What stands behind `?`.
    pub(super) query: Option<String>,
    /// The address as the client has it, wherever the routes are mounted.
    uri: Uri,
    pub(super) headers: HeaderMap,
}

impl<T: DeserializeOwned + Send> FromRequestParts<Shared> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, app).await;
        let Path(path) =
            path.map_err(|_| Problem::not_found("the path of the address is not valid text"))?;
        let original = parts.extensions.get::<OriginalUri>();
        Ok(Self {
            app: Arc::clone(app),
            path,
            query: parts.uri.query().map(str::to_owned),
            uri: original.map_or_else(|| parts.uri.clone(), |OriginalUri(uri)| uri.clone()),
            headers: parts.headers.clone(),
        })
    }
}

impl<T> Asked<T> {
    /// The address under which all routes are, without a slash at the end, as this request for
    /// `route` has it.
    pub(super) fn root(&self, route: &str) -> String {
        let text = |name: &str| {
            let value = self.headers.get(name);
            value.and_then(|value| value.to_str().ok())
        };
        let plain = |text: &&str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".:-_[]".contains(&byte);
            !text.is_empty() && text.bytes().all(fits)
        };
        let host = text("x-forwarded-host").or(text(header::HOST.as_str()));
        let prefix = self.uri.path().strip_suffix(route).unwrap_or_default();
        let Some(host) = host.filter(plain) else {
            return prefix.to_owned();
        };
        let scheme = match text("x-forwarded-proto") {
            Some("https") => "https",
            _ => "http",
        };
        format!("{scheme}://{host}{prefix}")
    }
}
