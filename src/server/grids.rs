//! What grids there are, and what is in them.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::app::Shared;
use super::params::{Params, path};
use super::reply::{Problem, Reply};
use crate::wire;

/// Every grid, and what the store takes.
pub(super) async fn all(
    State(app): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Reply, Problem> {
    Params::parse(query.as_deref(), &[])?;
    app.call(move |app| {
        let grids = app.store().snapshot()?.grids()?;
        let grids = grids.iter().map(wire::grid_json);
        let grids = grids.collect::<crate::Result<Vec<Value>>>()?;
        let storage = wire::storage_json(&app.store().stats()?);
        Ok(Reply::json(
            &headers,
            &json!({ "storage": storage, "grids": grids }),
        ))
    })
    .await
}

/// One grid.
pub(super) async fn one(
    State(app): State<Shared>,
    name: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Reply, Problem> {
    let name = path(name)?;
    Params::parse(query.as_deref(), &[])?;
    app.call(move |app| {
        let grid = app.grid(&name)?;
        Ok(Reply::json(&headers, &wire::grid_json(&grid)?))
    })
    .await
}
