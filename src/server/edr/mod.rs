//! A subset of OGC API - Environmental Data Retrieval 1.1: collections, and queries by position,
//! area and cube, as CoverageJSON and CSV.

mod ask;
mod collection;
mod coverage;
mod csv;
mod read;
mod wkt;

pub(super) use wkt::{Into, polygon as polygon_of_grid};

use axum::extract::rejection::PathRejection;
use axum::extract::{OriginalUri, Path, RawQuery, State};
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::app::{App, Shared};
use super::params::{Params, path};
use super::reply::{Problem, Reply};
use super::tiles::root;
use crate::Grid;
use ask::{Ask, Kind};

/// Where to go on.
pub(super) async fn landing(
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Reply, Problem> {
    Params::parse(query.as_deref(), &["f"])?;
    let root = root(&headers, &uri, "/edr");
    let link = |rel: &str, route: &str| json!({ "rel": rel, "type": "application/json", "href": format!("{root}{route}") });
    let links = [
        link("self", "/edr"),
        link("conformance", "/edr/conformance"),
        link("data", "/edr/collections"),
    ];
    Ok(Reply::json(
        &headers,
        &json!({ "title": "gridstone", "links": links }),
    ))
}

/// What of the standard is here.
pub(super) async fn conformance(headers: HeaderMap) -> Reply {
    let classes = ["core", "collections", "json", "covjson", "csv"]
        .map(|of| format!("http://www.opengis.net/spec/ogcapi-edr-1/1.1/conf/{of}"));
    Reply::json(&headers, &json!({ "conformsTo": classes }))
}

/// All grids with rows and columns.
pub(super) async fn collections(
    State(app): State<Shared>,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Reply, Problem> {
    Params::parse(query.as_deref(), &["f"])?;
    let root = root(&headers, &uri, "/edr/collections");
    app.call(move |app| {
        let grids = app.store().snapshot()?.grids()?;
        let plain = grids.iter().filter(|grid| collection::is_one(grid));
        let all = plain.map(|grid| collection::of(grid, &root));
        let all = all.collect::<Result<Vec<Value>, Problem>>()?;
        let links = [json!({ "rel": "self", "href": format!("{root}/edr/collections") })];
        Ok(Reply::json(
            &headers,
            &json!({ "links": links, "collections": all }),
        ))
    })
    .await
}

/// One of them.
pub(super) async fn collection(
    State(app): State<Shared>,
    name: Result<Path<String>, PathRejection>,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Reply, Problem> {
    let name = path(name)?;
    Params::parse(query.as_deref(), &["f"])?;
    let root = root(&headers, &uri, &format!("/edr/collections/{name}"));
    app.call(move |app| {
        let grid = app.grid(&name)?;
        Ok(Reply::json(&headers, &collection::of(&grid, &root)?))
    })
    .await
}

/// The values of the cell at a point, over time.
pub(super) async fn position(
    State(app): State<Shared>,
    name: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Reply, Problem> {
    answer(app, name, query, headers, Kind::Position).await
}

/// The cells in a polygon.
pub(super) async fn area(
    State(app): State<Shared>,
    name: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Reply, Problem> {
    answer(app, name, query, headers, Kind::Area).await
}

/// The cells in a box.
pub(super) async fn cube(
    State(app): State<Shared>,
    name: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Reply, Problem> {
    answer(app, name, query, headers, Kind::Cube).await
}

async fn answer(
    app: Shared,
    name: Result<Path<String>, PathRejection>,
    query: Option<String>,
    headers: HeaderMap,
    kind: Kind,
) -> Result<Reply, Problem> {
    let name = path(name)?;
    let ask = Ask::new(query.as_deref(), kind)?;
    app.call(move |app: &App| {
        let grid: Grid = app.grid(&name)?;
        read::answer(app, &grid, &ask, query.as_deref(), &headers)
    })
    .await
}
