//! Polygons of GeoJSON files (RFC 7946), their coordinates as they stand.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::terminal::Terminal;
use crate::adapter::raster::RasterAxes;
use crate::crs;
use crate::{Axis, Grid, Polygon, Ring};

/// The largest file that is read, in bytes.
const BYTES_MAX: u64 = 1 << 30;

/// Every polygon of a file in the plane of a grid's rows and columns.
pub(super) fn of_grid(terminal: &Terminal, grid: &Grid, axes: RasterAxes, file: &Path) -> anyhow::Result<Polygon> {
    let names: Vec<&str> = grid.structure().axes().map(Axis::name).collect();
    let polygon = read(file, [names[axes.x], names[axes.y]])?;
    check_place(terminal, grid, axes, &polygon, &file.display().to_string())?;
    Ok(polygon)
}

/// Refuses degrees where the grid has metres, and warns of a polygon that lies beside all data.
fn check_place(terminal: &Terminal, grid: &Grid, axes: RasterAxes, polygon: &Polygon, file: &str) -> anyhow::Result<()> {
    let Some(extent) = grid.extent()? else { return Ok(()) };
    let (x, y) = (extent.bounds()[axes.x], extent.bounds()[axes.y]);
    let [px, py] = polygon.bounds();
    let apart = |a: (f64, f64), b: (f64, f64)| a.1 < b.0 || b.1 < a.0;
    if !apart(x, px) && !apart(y, py) {
        return Ok(());
    }
    let degrees = |x: (f64, f64), y: (f64, f64)| x.0 >= -360.0 && x.1 <= 360.0 && y.0 >= -90.0 && y.1 <= 90.0;
    let place = format!(
        "`{file}` lies at x {} to {}, y {} to {}, outside of all data of grid `{}`, x {} to {}, y {} to {}",
        px.0,
        px.1,
        py.0,
        py.1,
        grid.name(),
        x.0,
        x.1,
        y.0,
        y.1
    );
    if degrees(px, py) && !degrees(x, y) {
        let shown = grid.structure().crs().map_or("the grid's coordinate reference system".to_owned(), crs::shown);
        let target = grid.structure().crs().and_then(crs::argument).unwrap_or("EPSG:CODE".to_owned());
        anyhow::bail!(
            "{place}: its coordinates look like longitude and latitude, and must be in {shown}; \
             `ogr2ogr -f GeoJSON -t_srs {target} FITTING.geojson {file}` makes a file that fits"
        );
    }
    terminal.warn(place);
    Ok(())
}

/// Every polygon of a file, as the parts of one: a cell in any of them is in it.
fn read(path: &Path, axes: [&str; 2]) -> anyhow::Result<Polygon> {
    let name = path.display();
    let bytes = std::fs::metadata(path).with_context(|| format!("`{name}` cannot be opened"))?.len();
    ensure!(bytes <= BYTES_MAX, "`{name}` has {bytes} bytes, more than {BYTES_MAX}");
    let text = std::fs::read(path).with_context(|| format!("`{name}` cannot be read"))?;
    let value: Value = serde_json::from_slice(&text).with_context(|| format!("`{name}` is not JSON"))?;
    polygon(&value, axes).with_context(|| format!("`{name}` holds no polygon that can be used"))
}

fn polygon(value: &Value, axes: [&str; 2]) -> anyhow::Result<Polygon> {
    let mut parts = Vec::new();
    collect(value, "", &mut parts)?;
    ensure!(!parts.is_empty(), "there is no Polygon or MultiPolygon in it");
    Ok(Polygon::new(axes, parts)?)
}

/// Adds the parts of an object; `place` says where it is in the file.
fn collect(value: &Value, place: &str, parts: &mut Vec<Vec<Ring>>) -> anyhow::Result<()> {
    let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
    let within = |what: &str, i: usize| format!("{place}{what} {}: ", i + 1);
    match kind {
        "FeatureCollection" => {
            for (i, feature) in list(value.get("features"), place, "features")?.iter().enumerate() {
                collect(feature, &within("feature", i), parts)?;
            }
        }
        "Feature" => match value.get("geometry") {
            None | Some(Value::Null) => {}
            Some(geometry) => collect(geometry, place, parts)?,
        },
        "GeometryCollection" => {
            for (i, geometry) in list(value.get("geometries"), place, "geometries")?.iter().enumerate() {
                collect(geometry, &within("geometry", i), parts)?;
            }
        }
        "Polygon" => parts.extend(rings(value.get("coordinates"), place)?),
        "MultiPolygon" => {
            for (i, of_part) in list(value.get("coordinates"), place, "coordinates")?.iter().enumerate() {
                parts.extend(rings(Some(of_part), &within("part", i))?);
            }
        }
        "" => bail!("{place}it has no `type`"),
        other => bail!("{place}it is a {other}; give Polygon or MultiPolygon, alone or in features or collections"),
    }
    Ok(())
}

/// The rings of one part; none of an empty one.
fn rings(value: Option<&Value>, place: &str) -> anyhow::Result<Option<Vec<Ring>>> {
    let mut rings = Vec::new();
    for (i, of_ring) in list(value, place, "coordinates")?.iter().enumerate() {
        let place = format!("{place}ring {}: ", i + 1);
        let point = |value: &Value| {
            let number = |i: usize| value.get(i).and_then(Value::as_f64);
            number(0).zip(number(1)).map(|(x, y)| [x, y]).with_context(|| format!("{place}`{value}` is no position"))
        };
        rings.push(list(Some(of_ring), &place, "positions")?.iter().map(point).collect::<anyhow::Result<Ring>>()?);
    }
    Ok((!rings.is_empty()).then_some(rings))
}

fn list<'a>(value: Option<&'a Value>, place: &str, what: &str) -> anyhow::Result<&'a Vec<Value>> {
    value.and_then(Value::as_array).with_context(|| format!("{place}its {what} are no list"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn square(at: f64) -> Value {
        json!([[at, 0.0], [at + 1.0, 0.0], [at + 1.0, 1.0], [at, 1.0], [at, 0.0]])
    }

    #[test]
    fn polygons_are_found_wherever_they_are() {
        let simple = json!({ "type": "Polygon", "coordinates": [square(0.0), square(0.25)] });
        let multi = json!({ "type": "MultiPolygon", "coordinates": [[square(2.0)], [square(4.0)]] });
        let feature = |geometry: &Value| json!({ "type": "Feature", "properties": null, "geometry": geometry });
        let all = json!({ "type": "FeatureCollection", "features": [
            feature(&simple), feature(&Value::Null), feature(&json!({ "type": "GeometryCollection", "geometries": [multi.clone(), simple.clone()] })),
        ] });
        let bounds = |value: &Value| polygon(value, ["x", "y"]).expect("a polygon").bounds();
        assert_eq!(bounds(&simple), [(0.0, 1.25), (0.0, 1.0)]);
        assert_eq!(bounds(&multi), [(2.0, 5.0), (0.0, 1.0)]);
        assert_eq!(bounds(&all), [(0.0, 5.0), (0.0, 1.0)]);
    }

    #[test]
    fn what_is_no_polygon_is_told_with_its_place() {
        let why = |value: Value| format!("{:#}", polygon(&value, ["x", "y"]).expect_err("no polygon"));
        assert_eq!(why(json!({ "type": "FeatureCollection", "features": [] })), "there is no Polygon or MultiPolygon in it");
        assert_eq!(why(json!([1])), "it has no `type`");
        let line = json!({ "type": "LineString", "coordinates": [[0, 0], [1, 1]] });
        let of = json!({ "type": "FeatureCollection", "features": [{ "type": "Feature", "geometry": line }] });
        assert!(why(of).starts_with("feature 1: it is a LineString; give Polygon"));
        assert_eq!(why(json!({ "type": "Polygon" })), "its coordinates are no list");
        assert_eq!(why(json!({ "type": "Polygon", "coordinates": [[[0, "a"]]] })), "ring 1: `[0,\"a\"]` is no position");
        let line = json!({ "type": "MultiPolygon", "coordinates": [[square(0.0)], [[[0, 0], [1, 1], [0, 0]]]] });
        assert!(why(line).starts_with("ring 1 of part 2 of the polygon has 2 different points"));
    }
}
