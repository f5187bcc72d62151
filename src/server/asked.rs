//! What a handler is asked.

use std::sync::Arc;

use axum::extract::{FromRequestParts, OriginalUri, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::app::{App, Shared};
use super::kept::StoreMoment;
use super::reply::{Problem, Reply};

/// A request, and what answers it.
pub(super) struct Asked<T = String> {
    pub(super) app: Shared,
    /// What stands where the route has braces.
    pub(super) path: T,
    /// What stands behind `?`.
    pub(super) query: Option<String>,
    /// The address as the client has it, wherever the routes are mounted.
    uri: Uri,
    /// The same as the routes have it.
    here: Uri,
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
            here: parts.uri.clone(),
            uri: original.map_or_else(|| parts.uri.clone(), |OriginalUri(uri)| uri.clone()),
            headers: parts.headers.clone(),
        })
    }
}

/// Until when what answers an address is its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Until anything is committed.
    UntilCommit,
    Ever,
}

impl Holds {
    /// The moment of which an answer is that is made from now on, if that is known at once.
    fn moment(self, app: &App) -> Option<StoreMoment> {
        match self {
            Self::UntilCommit => app.moment_at_once(),
            Self::Ever => Some(StoreMoment::EVER),
        }
    }
}

impl<T> Asked<T> {
    /// What is kept for the address, if that is its answer still; else what the work makes of the
    /// address and the store alone, on a thread of its own, when it is its turn.
    pub(super) async fn answer(
        self,
        holds: Holds,
        work: impl FnOnce(&App, &Self) -> Result<Reply, Problem> + Send + 'static,
    ) -> Result<Reply, Problem>
    where
        T: Send + 'static,
    {
        let app = Arc::clone(&self.app);
        let kept = holds.moment(&app).and_then(|moment| {
            let address = self.address();
            Reply::current(&app.kept, &self.headers, address, moment)
        });
        if let Some(reply) = kept {
            return Ok(reply);
        }
        app.call(move |app| {
            let moment = holds.moment(app);
            let reply = work(app, &self)?;
            if let Some(moment) = moment {
                reply.note(&app.kept, self.address(), moment);
            }
            Ok(reply)
        })
        .await
    }

    /// The JSON that the work makes, on a thread of its own, when it is its turn.
    pub(super) async fn json(
        self,
        work: impl FnOnce(&App, &Self) -> Result<Value, Problem> + Send + 'static,
    ) -> Result<Reply, Problem>
    where
        T: Send + 'static,
    {
        let app = Arc::clone(&self.app);
        app.call(move |app| {
            let value = work(app, &self)?;
            Ok(Reply::json(&app.kept, &self.headers, &value))
        })
        .await
    }

    /// The path as the routes have it.
    pub(super) fn here(&self) -> &str {
        self.here.path()
    }

    /// The path and what stands behind `?`.
    fn address(&self) -> &str {
        let address = self.here.path_and_query();
        address.map_or("/", axum::http::uri::PathAndQuery::as_str)
    }

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
