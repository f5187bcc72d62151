//! The `gdalwarp` line that makes a file that fits a grid.

use crate::adapter::axes::RasterAxes;
use crate::adapter::geotiff::{Affine, Header};
use crate::crs;
use crate::error::Result;
use crate::grid::{Axis, Level};
use crate::store::Grid;

use super::schema::PIXELS;

/// The metres of a degree, to hold cells of degrees against cells of metres.
const METRES_A_DEGREE: f64 = 111_320.0;

/// West, south, east and north.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct WorldBox(pub(super) [f64; 4]);

impl WorldBox {
    /// Where a file of some rows and columns lies.
    pub(super) fn of(affine: Affine, [height, width]: [usize; 2]) -> Self {
        let (right, below) = (
            affine.x + affine.dx * width as f64,
            affine.y + affine.dy * height as f64,
        );
        Self([
            affine.x.min(right),
            affine.y.min(below),
            affine.x.max(right),
            affine.y.max(below),
        ])
    }
}

/// The line for a file of the grid's system whose cells are others, or lie elsewhere; `None` if it
/// has no whole cell of the grid's.
pub(super) fn moved(grid: &Grid, footprint: WorldBox, level: Level) -> Result<Option<String>> {
    let level = allowed(grid, level)?;
    let inside = rounded(grid, level, footprint, false);
    Ok(inside.map(|inside| line(grid, level, Some(inside), "")))
}

/// The line for a file of another system; `None` if the grid's is nothing that GDAL understands.
///
/// Where the file lies in the grid's system only GDAL can tell, so its place is that of the grid's
/// data; and where the file has nothing there, alpha says so.
pub(super) fn other_system(grid: &Grid, header: &Header) -> Result<Option<String>> {
    let structure = grid.structure();
    let is_known = structure.crs().and_then(crs::argument).is_some();
    let Some(axes) = RasterAxes::of(structure).ok().filter(|_| is_known) else {
        return Ok(None);
    };
    let affine = header.affine.unwrap_or(PIXELS);
    let metres = |system: Option<&str>| match system.and_then(crs::is_geographic) {
        Some(true) => METRES_A_DEGREE,
        _ => system
            .and_then(crs::definition)
            .and_then(|definition| definition.projection)
            .map_or(1.0, |plane| plane.unit),
    };
    let scale = metres(header.crs.as_deref()) / metres(structure.crs());
    let level = fitting(grid, axes, [affine.dy * scale, affine.dx * scale])?;
    // Coarser cells are refused where there is finer data, as there may be where the file lies.
    let finest = grid.base_levels()?;
    let level = finest.map_or(level, |base| level.min(base[axes.space]));
    let data = grid.extent()?.and_then(|extent| {
        let ((south, north), (west, east)) = (extent.bounds()[axes.y], extent.bounds()[axes.x]);
        rounded(grid, level, WorldBox([west, south, east, north]), true)
    });
    let alpha = if header.nodata.is_none() {
        " -dstalpha"
    } else {
        ""
    };
    Ok(Some(line(grid, level, data, alpha)))
}

/// The level at which a grid takes cells of some length along y and x: the first whose cells are at
/// least as fine, if it takes any.
pub(super) fn fitting(grid: &Grid, axes: RasterAxes, [down, across]: [f64; 2]) -> Result<Level> {
    let finest = exponent(grid, axes.y, down).min(exponent(grid, axes.x, across));
    allowed(grid, finer(finest))
}

/// The number of the level whose cells are so long along an axis, a whole one or not.
pub(super) fn exponent(grid: &Grid, axis: usize, cell: f64) -> f64 {
    (cell / step(grid, axis)).abs().log2()
}

/// The level of a number, or the next finer one where it is none: a few hundredths coarser are
/// nothing.
pub(super) fn finer(exponent: f64) -> Level {
    bounded((exponent + 0.05).floor())
        .and_then(|level| Level::new(level).ok())
        .unwrap_or(Level::ZERO)
}

/// A level's number, if it can be one.
#[expect(
    clippy::cast_possible_truncation,
    reason = "whole and within the bounds of i8"
)]
pub(super) fn bounded(exponent: f64) -> Option<i8> {
    (exponent.is_finite() && exponent.abs() < 100.0).then_some(exponent as i8)
}

/// A whole number within the index space.
#[expect(clippy::cast_possible_truncation, reason = "whole and of at most 2^62")]
pub(super) fn whole(cell: f64) -> Option<i64> {
    (cell.is_finite() && cell.abs() < 4e18).then_some(cell as i64)
}

/// The level at which a grid takes data: any of a refinable dimension, else that of its base data.
fn allowed(grid: &Grid, wanted: Level) -> Result<Level> {
    let structure = grid.structure();
    let axes = RasterAxes::of(structure)?;
    if structure.dimensions()[axes.space].is_refinable() {
        return Ok(wanted);
    }
    let base = grid.base_levels()?;
    Ok(base.map_or(wanted, |base| base[axes.space]))
}

pub(super) fn step(grid: &Grid, axis: usize) -> f64 {
    grid.structure().axes().nth(axis).map_or(1.0, Axis::step)
}

/// The box of whole cells of a level: all that a footprint touches (`outwards`), or those whose
/// centres lie in it, so that a file has a value for each.
fn rounded(
    grid: &Grid,
    level: Level,
    WorldBox([west, south, east, north]): WorldBox,
    outwards: bool,
) -> Option<WorldBox> {
    let structure = grid.structure();
    let axes = RasterAxes::of(structure).ok()?;
    let along = |axis: usize, a: f64, b: f64| {
        let (p, q) = (
            structure.position(axis, level, a),
            structure.position(axis, level, b),
        );
        let (from, to) = (p.min(q), p.max(q));
        let (first, end) = if outwards {
            ((from + 1e-6).floor(), (to - 1e-6).ceil())
        } else {
            ((from + 0.5).floor(), (to - 0.5).ceil())
        };
        let (first, end) = (whole(first)?, whole(end)?);
        let (a, b) = (
            structure.edge(axis, level, first),
            structure.edge(axis, level, end),
        );
        (first < end).then_some([a.min(b), a.max(b)])
    };
    let ([west, east], [south, north]) = (along(axes.x, west, east)?, along(axes.y, south, north)?);
    Some(WorldBox([west, south, east, north]))
}

fn line(grid: &Grid, level: Level, place: Option<WorldBox>, options: &str) -> String {
    let structure = grid.structure();
    let mut line = "gdalwarp".to_owned();
    if let Some(system) = structure.crs().and_then(crs::argument) {
        line += &format!(" -t_srs {system}");
    }
    // Without a place, cells would lie where the file has them: a second refusal says where.
    if let (Some(WorldBox([west, south, east, north])), Ok(axes)) =
        (place, RasterAxes::of(structure))
    {
        let cell = |axis: usize| step(grid, axis).abs() * level.scale();
        line += &format!(
            " -tr {} {} -te {west} {south} {east} {north}",
            cell(axes.x),
            cell(axes.y)
        );
    }
    format!("{line}{options} FILE FITTING.tif")
}
