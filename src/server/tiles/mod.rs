//! Tiles of WebMercatorQuad, and what tells of them.

mod ask;
mod encode;
mod place;
mod render;
mod sample;
mod stretch;
mod tilejson;
mod wmts;

pub(super) use stretch::Stretches;
pub(super) use tilejson::root;

use axum::extract::rejection::PathRejection;
use axum::extract::{OriginalUri, Path, RawQuery, State};
use axum::http::HeaderMap;

use super::app::Shared;
use super::params::path;
use super::reply::{Problem, Reply};
use ask::Ask;

/// One tile.
pub(super) async fn tile(
    State(app): State<Shared>,
    at: Result<Path<(String, String, String, String)>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Reply, Problem> {
    let (name, z, x, y) = path(at)?;
    let ask = Ask::of_tile(query.as_deref())?;
    let tile = ask.address(&z, &x, &y)?;
    app.call(move |app| render::render(app, &app.grid(&name)?, tile, &ask, &headers))
        .await
}

/// What a map has to know of the tiles of a grid.
pub(super) async fn tilejson(
    State(app): State<Shared>,
    name: Result<Path<String>, PathRejection>,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Reply, Problem> {
    let name = path(name)?;
    let ask = Ask::of_tile(query.as_deref())?;
    app.call(move |app| {
        let root = tilejson::root(&headers, &uri, &format!("/tiles/{name}/tiles.json"));
        let json = tilejson::of(app, &app.grid(&name)?, &ask, &root, query.as_deref())?;
        Ok(Reply::json(&headers, &json))
    })
    .await
}

/// The colours from the least value to the greatest, 256 pixels wide.
pub(super) async fn legend(
    State(app): State<Shared>,
    name: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Reply, Problem> {
    let name = path(name)?;
    let ask = Ask::of_tile(query.as_deref())?;
    app.call(move |app| {
        app.grid(&name)?;
        Ok(Reply::hashed(
            &headers,
            encode::PNG,
            encode::legend(ask.ramp)?,
        ))
    })
    .await
}

/// All grids as layers of WMTS.
pub(super) async fn capabilities(
    State(app): State<Shared>,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Reply, Problem> {
    wmts::check(query.as_deref())?;
    app.call(move |app| {
        let root = tilejson::root(&headers, &uri, "/wmts");
        let xml = wmts::capabilities(&app.store().snapshot()?.grids()?, &root)?;
        Ok(Reply::hashed(&headers, "application/xml", xml))
    })
    .await
}
