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

use super::asked::Asked;
use super::reply::{Problem, Reply};
use ask::Ask;

/// One tile.
pub(super) async fn tile(asked: Asked<(String, String, String, String)>) -> Result<Reply, Problem> {
    let (name, z, x, y) = asked.path;
    let ask = Ask::of_tile(asked.query.as_deref())?;
    let tile = ask.address(&z, &x, &y)?;
    asked
        .app
        .call(move |app| render::render(app, &app.grid(&name)?, tile, &ask, &asked.headers))
        .await
}

/// What a map has to know of the tiles of a grid.
pub(super) async fn tilejson(asked: Asked) -> Result<Reply, Problem> {
    let ask = Ask::of_tile(asked.query.as_deref())?;
    let root = asked.root(&format!("/tiles/{}/tiles.json", asked.path));
    asked
        .app
        .call(move |app| {
            let grid = app.grid(&asked.path)?;
            let json = tilejson::of(app, &grid, &ask, &root, asked.query.as_deref())?;
            Ok(Reply::json(&asked.headers, &json))
        })
        .await
}

/// The colours from the least value to the greatest, 256 pixels wide.
pub(super) async fn legend(asked: Asked) -> Result<Reply, Problem> {
    let ask = Ask::of_tile(asked.query.as_deref())?;
    asked
        .app
        .call(move |app| {
            app.grid(&asked.path)?;
            let image = encode::legend(ask.ramp)?;
            Ok(Reply::hashed(&asked.headers, encode::PNG, image))
        })
        .await
}

/// All grids as layers of WMTS.
pub(super) async fn capabilities(asked: Asked<()>) -> Result<Reply, Problem> {
    wmts::check(asked.query.as_deref())?;
    let root = asked.root("/wmts");
    asked
        .app
        .call(move |app| {
            let xml = wmts::capabilities(&app.store().snapshot()?.grids()?, &root)?;
            Ok(Reply::hashed(&asked.headers, "application/xml", xml))
        })
        .await
}
