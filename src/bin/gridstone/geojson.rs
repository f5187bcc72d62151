//! Polygons of GeoJSON files (RFC 7946), their coordinates as they stand.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::place::DataPlane;
use super::terminal::Terminal;
use super::text;
use gridstone::adapter::raster::RasterAxes;
use gridstone::adapter::text::quoted;
use gridstone::crs;
use gridstone::statistics::Ring;
use gridstone::wire::geojson::{
    Outline as Shape, collect, outlines, parse, polygon as polygon_of, system,
};
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
        Ok(collect(value, "", &mut parts)?)
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
        found = outlines(value)?;
        Ok(())
    })?;
    let mut features = Vec::new();
    for Shape {
        name,
        properties,
        parts,
    } in found
    {
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
    let Some((of_file, of_grid)) = system(value)?.zip(grid.structure().crs()) else {
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
        quoted(&file.display().to_string())
    );
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
    let mut polygon = polygon_of(parts, [names[axes.x], names[axes.y]])?;
    if let Some(longitudes) = DataPlane::of(grid, axes)?.and_then(|plane| plane.longitudes()) {
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
            .map_or("FILE.geojson".to_owned(), quoted);
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
    let text = text::read(path)?;
    let value = parse(&text).with_context(|| format!("`{name}` cannot be used"))?;
    take(&value).with_context(|| format!("`{name}` holds no polygon that can be used"))
}
