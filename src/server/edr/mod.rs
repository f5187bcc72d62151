//! A subset of OGC API - Environmental Data Retrieval 1.1: collections, and queries by position,
//! radius, area and cube, as CoverageJSON and CSV.
//!
//! There are no locations and items: cells have places and no names. Labels of a Fixed dimension,
//! which have names and no places, are parameters if they are bands, and else what `z` and `at.NAME`
//! choose from.

mod ask;
mod collection;
mod coverage;
mod csv;
mod height;
mod radius;
mod read;
mod wkt;

pub(super) use wkt::{Into, is_one_system, polygon as polygon_of_grid};

use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::app::Shared;
use super::asked::{Asked, Holds};
use super::params::Params;
use super::reply::{Problem, Reply};
use ask::{EdrQuery, QueryKind};

/// Where to go on.
pub(super) async fn landing(asked: Asked<()>) -> Result<Reply, Problem> {
    Params::parse(asked.query.as_deref(), &["f"])?;
    let root = asked.root("/edr");
    let link = |rel: &str, route: &str| {
        let href = format!("{root}{route}");
        json!({ "rel": rel, "type": "application/json", "href": href })
    };
    let links = [
        link("self", "/edr"),
        link("conformance", "/edr/conformance"),
        link("data", "/edr/collections"),
    ];
    Ok(Reply::json(
        &asked.app.kept,
        &asked.headers,
        &json!({ "title": "gridstone", "links": links }),
    ))
}

/// What of the standard is here.
pub(super) async fn conformance(State(app): State<Shared>, headers: HeaderMap) -> Reply {
    let classes = ["core", "collections", "json", "covjson", "csv"]
        .map(|of| format!("http://www.opengis.net/spec/ogcapi-edr-1/1.1/conf/{of}"));
    Reply::json(&app.kept, &headers, &json!({ "conformsTo": classes }))
}

/// All grids with rows and columns.
pub(super) async fn collections(asked: Asked<()>) -> Result<Reply, Problem> {
    Params::parse(asked.query.as_deref(), &["f"])?;
    let root = asked.root("/edr/collections");
    asked
        .json(move |app, _| {
            let grids = app.store().snapshot()?.grids()?;
            let plain = grids.iter().filter(|grid| collection::is_one(grid));
            let all = plain.map(|grid| collection::of(grid, &root));
            let all = all.collect::<Result<Vec<Value>, Problem>>()?;
            let links = [json!({ "rel": "self", "href": format!("{root}/edr/collections") })];
            Ok(json!({ "links": links, "collections": all }))
        })
        .await
}

/// One of them.
pub(super) async fn collection(asked: Asked) -> Result<Reply, Problem> {
    Params::parse(asked.query.as_deref(), &["f"])?;
    let root = asked.root(&format!("/edr/collections/{}", asked.path));
    asked
        .json(move |app, asked| collection::of(&app.grid(&asked.path)?, &root))
        .await
}

/// The values of the cell at a point, over time.
pub(super) async fn position(asked: Asked) -> Result<Reply, Problem> {
    answer(asked, QueryKind::Position).await
}

/// The cells within a distance of a point.
pub(super) async fn radius(asked: Asked) -> Result<Reply, Problem> {
    answer(asked, QueryKind::Radius).await
}

/// The cells in a polygon.
pub(super) async fn area(asked: Asked) -> Result<Reply, Problem> {
    answer(asked, QueryKind::Area).await
}

/// The cells in a box.
pub(super) async fn cube(asked: Asked) -> Result<Reply, Problem> {
    answer(asked, QueryKind::Cube).await
}

async fn answer(asked: Asked, kind: QueryKind) -> Result<Reply, Problem> {
    let ask = EdrQuery::new(asked.query.as_deref(), kind)?;
    asked
        .answer(Holds::UntilCommit, move |app, asked| {
            let grid = app.grid(&asked.path)?;
            read::answer(app, &grid, &ask, asked.query.as_deref(), &asked.headers)
        })
        .await
}
