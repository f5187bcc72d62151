//! What the command and the server say alike: grids, statistics and changes as JSON, polygons as
//! GeoJSON, times as ISO 8601.
//!
//! What is here is read by `gridstone` and by [`server`](crate::server), so that both print one
//! JSON; a service may use it for its own. `gridstone info --help` and its like tell what the JSON
//! has in it.

mod bases;
mod changes;
pub mod geojson;
mod grid;
mod pieces;
mod statistics;
mod time;

pub use bases::{BaseRow, base_rows};
pub use changes::change_json;
pub use grid::{
    CHUNKS_SHOWN, LayerRow, Tally, events, grid_json, held_by_level, smaller, storage_json,
};
pub use pieces::{by_axis, cell, coordinates, extent, levels, nodata, number, whole, window};
pub use statistics::{exactly, statistics_json, zones_json};
pub use time::{Along, Instant, Length, Period, shown};
