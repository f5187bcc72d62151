//! TileJSON 3.0.

use serde_json::{Value, json};

use super::super::app::App;
use super::super::projection;
use super::super::reply::Problem;
use super::super::slice::Plane;
use super::ask::TileQuery;
use super::place::{DEGREE, zoom_of};
use super::stretch;
use crate::Grid;

/// West, south, east and north of a grid in degrees, within what WebMercatorQuad shows; `None` if
/// nothing was put.
pub(super) fn bounds(grid: &Grid) -> Result<Option<[f64; 4]>, Problem> {
    let plane = Plane::of(grid)?;
    let projection = projection::of(grid)?;
    let Some(extent) = grid.extent()? else {
        return Ok(None);
    };
    let [x, y] = [plane.x, plane.y].map(|axis| extent.bounds()[axis]);
    let Some([west, south, east, north]) = projection.bounds(x, y) else {
        return Ok(None);
    };
    const NORTH: f64 = 85.051_128_779_806_6;
    let (south, north) = (south.clamp(-NORTH, NORTH), north.clamp(-NORTH, NORTH));
    let inside = west >= -180.0 && east <= 180.0;
    let (west, east) = if inside {
        (west, east)
    } else {
        (-180.0, 180.0)
    };
    Ok(Some([west, south, east, north]))
}

/// The zoom at which a pixel is no larger than the finest cells.
fn zoom(grid: &Grid, [west, south, east, north]: [f64; 4]) -> Result<u32, Problem> {
    let plane = Plane::of(grid)?;
    let Some(bounds) = grid.bounds()? else {
        return Ok(0);
    };
    let cells = [plane.x, plane.y].map(|axis| bounds.shape()[axis].max(1) as f64);
    let metres = [(east - west) / cells[0], (north - south) / cells[1]]
        .map(|degrees| degrees.abs() * DEGREE);
    Ok(zoom_of(metres[0].min(metres[1])))
}

/// The TileJSON of a grid.
pub(super) fn of(
    app: &App,
    grid: &Grid,
    ask: &TileQuery,
    root: &str,
    query: Option<&str>,
) -> Result<Value, Problem> {
    let bounds = bounds(grid)?;
    let shown = stretch::at_base(grid, ask)?;
    let range = match &shown {
        Some(shown) => Some(app.stretches.of(grid, ask, shown)?),
        None => None,
    };
    let unit = shown.as_ref().filter(|shown| shown.layer.keeps_unit());
    let unit = unit.and_then(|_| grid.schema().unit());
    let query = query.map_or(String::new(), |query| format!("?{query}"));
    let [west, south, east, north] = bounds.unwrap_or([-180.0, -85.0, 180.0, 85.0]);
    let zoom = zoom(grid, [west, south, east, north])?;
    let schema = grid.schema();
    let known = |key: &str| schema.attributes().get(key).map(String::as_str);
    let mut json = json!({
        "tilejson": "3.0.0",
        "name": grid.name(),
        "tiles": [format!("{root}/tiles/{}/{{z}}/{{x}}/{{y}}.png{query}", grid.name())],
        "scheme": ask.params.get("scheme").unwrap_or("xyz"),
        "minzoom": 0,
        "maxzoom": zoom,
        "bounds": [west, south, east, north],
        "center": [(west + east) / 2.0, (south + north) / 2.0, zoom.saturating_sub(3)],
        "gridstone": {
            "layer": shown.map(|shown| shown.layer.to_string()),
            "range": range,
            "ramp": ask.ramp.name(),
            "unit": unit,
            "token": grid.changes_token()?.to_string(),
        },
    });
    for (name, text) in [
        ("description", known("long_name").or(schema.variable())),
        ("attribution", known("attribution")),
    ] {
        if let Some(text) = text {
            json[name] = text.into();
        }
    }
    Ok(json)
}
