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

use super::asked::{Asked, Holds};
use super::reply::{Problem, Reply};
use ask::TileQuery;
use wmts::Request;

/// One tile.
pub(super) async fn tile(asked: Asked<(String, String, String, String)>) -> Result<Reply, Problem> {
    let (_, z, x, y) = &asked.path;
    let ask = TileQuery::of_tile(asked.query.as_deref())?;
    let tile = ask.address(z, x, y)?;
    asked
        .answer(Holds::UntilCommit, move |app, asked| {
            let grid = app.grid(&asked.path.0)?;
            render::render(app, &grid, tile, &ask, &asked.headers)
        })
        .await
}

/// What a map has to know of the tiles of a grid.
pub(super) async fn tilejson(asked: Asked) -> Result<Reply, Problem> {
    let ask = TileQuery::of_tile(asked.query.as_deref())?;
    let root = asked.root(&format!("/tiles/{}/tiles.json", asked.path));
    asked
        .json(move |app, asked| {
            let grid = app.grid(&asked.path)?;
            tilejson::of(app, &grid, &ask, &root, asked.query.as_deref())
        })
        .await
}

/// The colours from the least value to the greatest, 256 pixels wide.
pub(super) async fn legend(asked: Asked) -> Result<Reply, Problem> {
    let ask = TileQuery::of_tile(asked.query.as_deref())?;
    asked
        .app
        .call(move |app| {
            app.grid(&asked.path)?;
            let image = encode::legend(ask.ramp)?;
            Ok(Reply::hashed(&app.kept, &asked.headers, encode::PNG, image))
        })
        .await
}

/// All grids as layers of WMTS, or one of their tiles.
pub(super) async fn wmts(asked: Asked<()>) -> Result<Reply, Problem> {
    let (layer, tile, ask) = match Request::of(asked.query.as_deref())? {
        Request::Capabilities => return capabilities(asked).await,
        Request::Tile {
            layer,
            z,
            x,
            y,
            query,
        } => {
            let ask = TileQuery::of_tile(Some(&query))?;
            (layer, ask.address(&z, &x, &y)?, ask)
        }
    };
    asked
        .answer(Holds::UntilCommit, move |app, asked| {
            let grid = app.grid(&layer)?;
            render::render(app, &grid, tile, &ask, &asked.headers)
        })
        .await
}

async fn capabilities(asked: Asked<()>) -> Result<Reply, Problem> {
    let root = asked.root("/wmts");
    asked
        .app
        .call(move |app| {
            let xml = wmts::capabilities(&app.store().snapshot()?.grids()?, &root)?;
            Ok(Reply::hashed(
                &app.kept,
                &asked.headers,
                "application/xml",
                xml,
            ))
        })
        .await
}
