//! What grids there are, and what is in them.

use serde_json::{Value, json};

use super::asked::Asked;
use super::params::Params;
use super::reply::{Problem, Reply};
use crate::wire;

/// Every grid, and what the store takes.
pub(super) async fn all(asked: Asked<()>) -> Result<Reply, Problem> {
    Params::parse(asked.query.as_deref(), &[])?;
    asked
        .json(|app, _| {
            let store = app.store();
            let grids = store.snapshot()?.grids()?;
            let grids = grids.iter().map(wire::grid_json);
            let grids = grids.collect::<crate::Result<Vec<Value>>>()?;
            let storage = wire::storage_json(&store.stats()?);
            Ok(json!({ "storage": storage, "grids": grids }))
        })
        .await
}

/// One grid.
pub(super) async fn one(asked: Asked) -> Result<Reply, Problem> {
    Params::parse(asked.query.as_deref(), &[])?;
    asked
        .json(|app, asked| Ok(wire::grid_json(&app.grid(&asked.path)?)?))
        .await
}
