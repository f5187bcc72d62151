//! The map page: its files are in the binary, and it asks nobody else for anything.

use axum::body::Bytes;
use axum::extract::{OriginalUri, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use super::app::Shared;
use super::asked::Asked;
use super::reply::{HTML, Problem, Reply, set};

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// What there is: name, type, bytes. Leaflet is a copy of its release 1.9.4; its licence is beside
/// it.
const FILES: [(&str, &str, &[u8]); 7] = [
    ("map.js", SCRIPT, include_bytes!("map.js")),
    ("panel.js", SCRIPT, include_bytes!("panel.js")),
    ("plot.js", SCRIPT, include_bytes!("plot.js")),
    ("style.css", STYLE, include_bytes!("style.css")),
    ("leaflet.js", SCRIPT, include_bytes!("leaflet/leaflet.js")),
    ("leaflet.css", STYLE, include_bytes!("leaflet/leaflet.css")),
    (
        "leaflet-license.txt",
        "text/plain; charset=utf-8",
        include_bytes!("leaflet/LICENSE"),
    ),
];

/// The page.
pub(super) async fn index(
    State(app): State<Shared>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response {
    // Under whatever address the routes are mounted, its own are beside it.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let path = Some(uri.path()).filter(|path| path.bytes().all(plain));
    let base = path.unwrap_or_default().trim_end_matches('/');
    let text = include_str!("index.html");
    let text = text.replacen("<head>", &format!("<head>\n<base href=\"{base}/\">"), 1);
    let mut response = Reply::hashed(&app.kept, &headers, HTML, text).into_response();
    let policy = "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'";
    set(
        response.headers_mut(),
        axum::http::header::CONTENT_SECURITY_POLICY,
        policy,
    );
    response
}

/// What it is made of.
pub(super) async fn file(asked: Asked) -> Result<Reply, Problem> {
    let found = FILES.iter().find(|(known, ..)| *known == asked.path);
    let (_, mime, text) =
        found.ok_or_else(|| Problem::not_found("the map page has no such file"))?;
    let text: &'static [u8] = text;
    Ok(Reply::hashed(
        &asked.app.kept,
        &asked.headers,
        mime,
        Bytes::from_static(text),
    ))
}
