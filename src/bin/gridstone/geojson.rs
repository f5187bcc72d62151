//! Polygons of GeoJSON files (RFC 7946), their coordinates as they stand.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::place::Plane;
use super::terminal::Terminal;
use gridstone::adapter::raster::RasterAxes;
use gridstone::crs;
use gridstone::statistics::Ring;
use gridstone::{Axis, Extent, Grid, Polygon};

/// The largest file that is read, in bytes.
const BYTES_MAX: u64 = 1 << 30;

/// One feature of a file.
#[derive(Debug)]
pub(super) struct Feature {
    /// Its name, if it has one, else its number.
    pub(super) name: String,
    /// What the file says of it.
    pub(super) properties: Value,
    /// Its polygons as one, where the grid has its data.
    pub(super) polygon: Polygon,
}

/// Every polygon of a file in the plane of a grid's rows and columns, as the parts of one: a cell
/// in any of them is in it.
pub(super) fn of_grid(
    terminal: &Terminal,
    grid: &Grid,
    axes: RasterAxes,
    file: &Path,
) -> anyhow::Result<Polygon> {
    let mut parts = Vec::new();
    read(file, |value| {
        check_system(grid, value, file)?;
        collect(value, "", &mut parts)
    })?;
    let what = format!("`{}`", file.display());
    placed(terminal, grid, axes, parts, &what)
        .with_context(|| format!("{what} holds no polygon that can be used"))
}

/// The features of a file, in their order, each with its own polygon. Those without a geometry are
/// left out, with a note.
pub(super) fn features(
    terminal: &Terminal,
    grid: &Grid,
    axes: RasterAxes,
    file: &Path,
) -> anyhow::Result<Vec<Feature>> {
    let mut found = Vec::new();
    read(file, |value| {
        check_system(grid, value, file)?;
        let of_collection = value.get("type").and_then(Value::as_str) == Some("FeatureCollection");
        let all = if of_collection {
            list(value.get("features"), "", "features")?.as_slice()
        } else {
            std::slice::from_ref(value)
        };
        for (number, feature) in all.iter().enumerate() {
            let mut parts = Vec::new();
            collect(feature, &format!("feature {}: ", number + 1), &mut parts)?;
            found.push((
                name(feature, number),
                feature.get("properties").cloned().unwrap_or(Value::Null),
                parts,
            ));
        }
        Ok(())
    })?;
    let mut features = Vec::new();
    for (name, properties, parts) in found {
        let what = format!("`{name}` of `{}`", file.display());
        if parts.is_empty() {
            terminal.warn(format!("{what} has no polygon, and is left out"));
            continue;
        }
        let polygon = placed(terminal, grid, axes, parts, &what)
            .with_context(|| format!("{what} cannot be used"))?;
        features.push(Feature {
            name,
            properties,
            polygon,
        });
    }
    ensure!(
        !features.is_empty(),
        "`{}` holds no polygon that can be used: there is no Polygon or MultiPolygon in it",
        file.display()
    );
    Ok(features)
}

/// Refuses a file that names a system (as GeoJSON did before RFC 7946) which is not the grid's.
fn check_system(grid: &Grid, value: &Value, file: &Path) -> anyhow::Result<()> {
    let named = value
        .pointer("/crs/properties/name")
        .and_then(Value::as_str);
    let Some((of_file, of_grid)) = named.map(code_of).zip(grid.structure().crs()) else {
        return Ok(());
    };
    // Longitude and latitude, as RFC 7946 has them, are those of any grid of longitudes.
    let plain = crs::same(&of_file, "EPSG:4326") && grid.structure().longitude().is_some();
    if plain || crs::same(&of_file, of_grid) {
        return Ok(());
    }
    bail!(
        "its coordinates are of {}, and those of grid `{}` of {}; `ogr2ogr -f GeoJSON -t_srs {} FITTING.geojson {}` makes a file that fits",
        crs::shown(&of_file),
        grid.name(),
        crs::shown(of_grid),
        crs::argument(of_grid).unwrap_or("EPSG:CODE".to_owned()),
        file.display()
    );
}

/// `EPSG:n` of a name like `urn:ogc:def:crs:EPSG::32632` or
/// `http://www.opengis.net/def/crs/EPSG/0/32632`, or the name itself.
fn code_of(name: &str) -> String {
    let parts: Vec<&str> = name.split([':', '/']).collect();
    match parts[..] {
        ["urn", _, "def", "crs", authority, _, code]
        | [
            "http" | "https",
            "",
            "",
            _,
            "def",
            "crs",
            authority,
            _,
            code,
        ] => {
            format!("{authority}:{code}")
        }
        _ => name.to_owned(),
    }
}

/// What a feature is called.
fn name(feature: &Value, number: usize) -> String {
    let properties = feature.get("properties");
    let of = |key: &str| properties.and_then(|properties| properties.get(key));
    let known = ["name", "NAME", "Name", "id", "ID", "Id"]
        .iter()
        .find_map(|key| of(key))
        .or_else(|| feature.get("id"));
    match known {
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => format!("feature {}", number + 1),
    }
}

/// Parts as a polygon where the grid has its data: on a globe, turned to the longitudes that it
/// has.
fn placed(
    terminal: &Terminal,
    grid: &Grid,
    axes: RasterAxes,
    parts: Vec<Vec<Ring>>,
    what: &str,
) -> anyhow::Result<Polygon> {
    let names: Vec<&str> = grid.structure().axes().map(Axis::name).collect();
    let mut polygon = polygon(parts, [names[axes.x], names[axes.y]])?;
    if let Some(longitudes) = Plane::of(grid, axes)?.and_then(|plane| plane.longitudes()) {
        let (round, seam) = polygon.around(names[axes.x], longitudes)?;
        polygon = round;
        if let Some((from, to)) = seam {
            terminal.note(format!(
                "{what} has an edge from longitude {from} to {to}: it is taken the short way, over the antimeridian; for the long way, add a point in between"
            ));
        }
    }
    check_place(terminal, grid, axes, &polygon, what)?;
    Ok(polygon)
}

/// Notes of a polygon that it holds the centre of no cell, though it lies where there is data, and
/// says where its cell is.
pub(super) fn note_small(
    terminal: &Terminal,
    grid: &Grid,
    axes: RasterAxes,
    polygon: &Polygon,
    what: &str,
) -> anyhow::Result<()> {
    let Some(bounds) = grid.bounds()? else {
        return Ok(());
    };
    let (structure, extent) = (grid.structure(), grid.structure().extent(&bounds));
    let levels = bounds.levels(structure.dimensions().len());
    let [x, y] = polygon.bounds().map(|(low, high)| low / 2.0 + high / 2.0);
    let within =
        |axis: usize, at: f64| extent.bounds()[axis].0 <= at && at < extent.bounds()[axis].1;
    if !within(axes.x, x) || !within(axes.y, y) || polygon.holds_cells(structure, levels)? {
        return Ok(());
    }
    let mut sides = extent.bounds().to_vec();
    (sides[axes.x], sides[axes.y]) = ((x, x), (y, y));
    let cell = structure.extent(&structure.window(&Extent::new(sides), levels)?);
    let ((west, east), (south, north)) = (cell.bounds()[axes.x], cell.bounds()[axes.y]);
    terminal.warn(format!(
        "{what} is smaller than a cell and holds the centre of none, so that no cell counts; the cell it lies in is `--extent {west},{south},{east},{north}`"
    ));
    Ok(())
}

/// Refuses degrees where the grid has metres, and warns of a polygon that lies beside all data.
fn check_place(
    terminal: &Terminal,
    grid: &Grid,
    axes: RasterAxes,
    polygon: &Polygon,
    what: &str,
) -> anyhow::Result<()> {
    let Some(extent) = grid.extent()? else {
        return Ok(());
    };
    let (x, y) = (extent.bounds()[axes.x], extent.bounds()[axes.y]);
    let [px, py] = polygon.bounds();
    let apart = |a: (f64, f64), b: (f64, f64)| a.1 < b.0 || b.1 < a.0;
    if !apart(x, px) && !apart(y, py) {
        return Ok(());
    }
    let degrees =
        |x: (f64, f64), y: (f64, f64)| x.0 >= -360.0 && x.1 <= 360.0 && y.0 >= -90.0 && y.1 <= 90.0;
    let place = format!(
        "{what} lies at x {} to {}, y {} to {}, outside of all data of grid `{}`, x {} to {}, y {} to {}",
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
        let shown = grid.structure().crs().map_or(
            "the grid's coordinate reference system".to_owned(),
            crs::shown,
        );
        let target = grid
            .structure()
            .crs()
            .and_then(crs::argument)
            .unwrap_or("EPSG:CODE".to_owned());
        let file = what
            .rsplit('`')
            .find(|part| part.contains('.'))
            .unwrap_or("FILE.geojson");
        bail!(
            "{place}: its coordinates look like longitude and latitude, and must be in {shown}; \
             `ogr2ogr -f GeoJSON -t_srs {target} FITTING.geojson {file}` makes a file that fits"
        );
    }
    terminal.warn(place);
    Ok(())
}

/// Hands what a file holds to `take`.
fn read(path: &Path, take: impl FnOnce(&Value) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let name = path.display();
    let bytes = std::fs::metadata(path)
        .with_context(|| format!("`{name}` cannot be opened"))?
        .len();
    ensure!(
        bytes <= BYTES_MAX,
        "`{name}` has {bytes} bytes, more than {BYTES_MAX}"
    );
    let text = std::fs::read(path).with_context(|| format!("`{name}` cannot be read"))?;
    let value: Value =
        serde_json::from_slice(&text).with_context(|| format!("`{name}` is not JSON"))?;
    take(&value).with_context(|| format!("`{name}` holds no polygon that can be used"))
}

fn polygon(parts: Vec<Vec<Ring>>, axes: [&str; 2]) -> anyhow::Result<Polygon> {
    ensure!(
        !parts.is_empty(),
        "there is no Polygon or MultiPolygon in it"
    );
    Ok(Polygon::new(axes, parts)?)
}

/// Adds the parts of an object; `place` says where it is in the file.
fn collect(value: &Value, place: &str, parts: &mut Vec<Vec<Ring>>) -> anyhow::Result<()> {
    let kind = value
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let within = |what: &str, i: usize| format!("{place}{what} {}: ", i + 1);
    match kind {
        "FeatureCollection" => {
            for (i, feature) in list(value.get("features"), place, "features")?
                .iter()
                .enumerate()
            {
                collect(feature, &within("feature", i), parts)?;
            }
        }
        "Feature" => match value.get("geometry") {
            None | Some(Value::Null) => {}
            Some(geometry) => collect(geometry, place, parts)?,
        },
        "GeometryCollection" => {
            for (i, geometry) in list(value.get("geometries"), place, "geometries")?
                .iter()
                .enumerate()
            {
                collect(geometry, &within("geometry", i), parts)?;
            }
        }
        "Polygon" => parts.extend(rings(value.get("coordinates"), place)?),
        "MultiPolygon" => {
            for (i, of_part) in list(value.get("coordinates"), place, "coordinates")?
                .iter()
                .enumerate()
            {
                parts.extend(rings(Some(of_part), &within("part", i))?);
            }
        }
        "" => bail!("{place}it has no `type`"),
        other => bail!(
            "{place}it is a {other}; give Polygon or MultiPolygon, alone or in features or collections"
        ),
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
            number(0)
                .zip(number(1))
                .map(|(x, y)| [x, y])
                .with_context(|| format!("{place}`{value}` is no position"))
        };
        rings.push(
            list(Some(of_ring), &place, "positions")?
                .iter()
                .map(point)
                .collect::<anyhow::Result<Ring>>()?,
        );
    }
    Ok((!rings.is_empty()).then_some(rings))
}

fn list<'a>(value: Option<&'a Value>, place: &str, what: &str) -> anyhow::Result<&'a Vec<Value>> {
    value
        .and_then(Value::as_array)
        .with_context(|| format!("{place}its {what} are no list"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn square(at: f64) -> Value {
        json!([
            [at, 0.0],
            [at + 1.0, 0.0],
            [at + 1.0, 1.0],
            [at, 1.0],
            [at, 0.0]
        ])
    }

    fn of(value: &Value) -> anyhow::Result<Polygon> {
        let mut parts = Vec::new();
        collect(value, "", &mut parts)?;
        polygon(parts, ["x", "y"])
    }

    #[test]
    fn a_feature_is_called_by_its_name_or_number() {
        let of = |properties: Value| {
            name(
                &json!({ "type": "Feature", "id": 7, "properties": properties }),
                2,
            )
        };
        assert_eq!(
            [
                of(json!({ "name": "Rhone", "id": 3 })),
                of(json!({ "ID": 3 })),
                of(json!({})),
                of(Value::Null)
            ],
            ["Rhone", "3", "7", "7"]
        );
        assert_eq!(name(&json!({ "type": "Polygon" }), 2), "feature 3");
    }

    #[test]
    fn polygons_are_found_wherever_they_are() {
        let simple = json!({ "type": "Polygon", "coordinates": [square(0.0), square(0.25)] });
        let multi =
            json!({ "type": "MultiPolygon", "coordinates": [[square(2.0)], [square(4.0)]] });
        let feature = |geometry: &Value| json!({ "type": "Feature", "properties": null, "geometry": geometry });
        let all = json!({ "type": "FeatureCollection", "features": [
            feature(&simple), feature(&Value::Null), feature(&json!({ "type": "GeometryCollection", "geometries": [multi.clone(), simple.clone()] })),
        ] });
        let bounds = |value: &Value| of(value).expect("a polygon").bounds();
        assert_eq!(bounds(&simple), [(0.0, 1.25), (0.0, 1.0)]);
        assert_eq!(bounds(&multi), [(2.0, 5.0), (0.0, 1.0)]);
        assert_eq!(bounds(&all), [(0.0, 5.0), (0.0, 1.0)]);
    }

    #[test]
    fn what_is_no_polygon_is_told_with_its_place() {
        let why = |value: Value| format!("{:#}", of(&value).expect_err("no polygon"));
        assert_eq!(
            why(json!({ "type": "FeatureCollection", "features": [] })),
            "there is no Polygon or MultiPolygon in it"
        );
        assert_eq!(why(json!([1])), "it has no `type`");
        let line = json!({ "type": "LineString", "coordinates": [[0, 0], [1, 1]] });
        let of = json!({ "type": "FeatureCollection", "features": [{ "type": "Feature", "geometry": line }] });
        assert!(why(of).starts_with("feature 1: it is a LineString; give Polygon"));
        assert_eq!(
            why(json!({ "type": "Polygon" })),
            "its coordinates are no list"
        );
        assert_eq!(
            why(json!({ "type": "Polygon", "coordinates": [[[0, "a"]]] })),
            "ring 1: `[0,\"a\"]` is no position"
        );
        let line = json!({ "type": "MultiPolygon", "coordinates": [[square(0.0)], [[[0, 0], [1, 1], [0, 0]]]] });
        assert!(why(line).starts_with("ring 1 of part 2 of the polygon has 2 different points"));
    }
}
