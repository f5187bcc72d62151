//! A raster of another system, or askew, on the lattice of a grid: by GDAL's warper.

use std::ops::Range;

use crate::adapter::axes::RasterAxes;
use crate::adapter::gdal::{GdalRaster, Reach, WarpTarget};
use crate::adapter::geotiff::Affine;
use crate::adapter::round;
use crate::crs;
use crate::error::{Error, Result};
use crate::grid::{Level, Structure};
use crate::kernel::Resampling;
use crate::store::Grid;

use super::convert::check_type;
use super::file::RasterFile;
use super::remedy;

/// So many times as many cells as the file has come of what lies where the grid's system is not
/// meant for, such as a pole in a Mercator projection.
const GROWTH_MAX: f64 = 256.0;
/// So many cells of the file for one of the grid, at most: the warper holds what it makes a block
/// of, of 512 x 128 cells.
const CELLS_MAX: f64 = 256.0;
/// Fewer cells than these are never too many.
const CELLS_FREE: f64 = 1e8;

/// Lays a raster onto the cells of a grid: at a level, or else at the first whose cells are at
/// least as fine as half of the raster's.
///
/// An [`Invalid`](crate::ErrorKind::Invalid) error says why there is no way. Only headers are read.
pub(super) fn warped(
    grid: &Grid,
    raster: GdalRaster,
    (resampling, level): (Resampling, Option<Level>),
) -> Result<GdalRaster> {
    let (structure, axes) = (grid.structure(), RasterAxes::of(grid.structure())?);
    let own = raster.header().crs.clone();
    if let (None, Some(wanted)) = (&own, structure.crs()) {
        return Err(super::place::nameless(wanted, ""));
    }
    let to = structure
        .crs()
        .filter(|wanted| !own.as_deref().is_some_and(|own| crs::same(own, wanted)));
    if resampling == Resampling::Sum && !grid.schema().dtype().is_float() {
        return Err(super::resampled::no_totals(grid.schema().dtype()));
    }
    // Means come in the type of a grid of floats, so that it would be too late to ask afterwards.
    if grid.schema().dtype().is_float() {
        check_type(grid.schema(), raster.header())?;
    }
    let is_circle = structure.longitude() == Some(axes.x);
    let reach = raster.reach(to, is_circle)?;
    let finer_by = |cell: f64, axis: usize| (cell / remedy::step(grid, axis)).abs();
    let [down, across] = reach.cell;
    let finest = finer_by(down, axes.y).min(finer_by(across, axes.x)).log2();
    let level = level.unwrap_or_else(|| remedy::allowed(grid, remedy::finer(finest)));
    let rows = rows(structure, axes.y, level, &reach, is_circle)?;
    let cols = columns(structure, axes.x, level, &reach)?;
    let size = [&rows, &cols].map(|cells| cells.end.abs_diff(cells.start));
    let (header, cells) = (raster.header(), size[0] as f64 * size[1] as f64);
    let of_file = header.height as f64 * header.width as f64;
    let size = size.map(|len| {
        i32::try_from(len)
            .ok()
            .and_then(|len| usize::try_from(len).ok())
    });
    let ([Some(height), Some(width)], false) =
        (size, cells > (of_file * GROWTH_MAX).max(CELLS_FREE))
    else {
        return Err(Error::invalid(format!(
            "the file would have {cells:.1e} cells of level {level} of the grid, since it reaches far beyond where the grid's coordinate reference system is meant for; cut it with `gdal_translate -projwin WEST NORTH EAST SOUTH FILE PART.tif`, or ask for a coarser level with `--level`"
        )));
    };
    let edges = |axis: usize, cells: &Range<i64>| {
        let (a, b) = (
            structure.edge(axis, level, cells.start),
            structure.edge(axis, level, cells.end),
        );
        (a.min(b), a.max(b))
    };
    let ((west, _), (_, north)) = (edges(axes.x, &cols), edges(axes.y, &rows));
    let cell = |axis: usize| remedy::step(grid, axis).abs() * level.scale();
    let from = match (to, &own) {
        (Some(_), Some(own)) => format!(" from {}", crs::shown(own)),
        _ => String::new(),
    };
    let scale = [
        (down / cell(axes.y)).min(1.0),
        (across / cell(axes.x)).min(1.0),
    ];
    if scale[0] * scale[1] * CELLS_MAX < 1.0 {
        return Err(Error::invalid(format!(
            "the cells of level {level} hold more than {CELLS_MAX} of the file's each; ask for a finer level with `--level`, or make a coarser file with `gdal_translate -outsize 10% 10% -r average FILE COARSER.tif`"
        )));
    }
    let target = WarpTarget {
        affine: Affine {
            x: west,
            y: north,
            dx: cell(axes.x),
            dy: -cell(axes.y),
        },
        size: [height, width],
        crs: to.map(str::to_owned),
        resampling,
        scale,
        own_cell: (finer_by(down, axes.y) * finer_by(across, axes.x)).sqrt(),
        note: format!(
            "its cells are laid onto the grid's at level {level}{from} by GDAL's warper ({resampling})"
        ),
        dtype: grid.schema().dtype(),
    };
    raster.warped(&target)
}

/// The cells of a level that some coordinates touch, and one more at each end, which is blank where
/// nothing reaches it: edges are followed by points.
fn touched(
    structure: &Structure,
    axis: usize,
    level: Level,
    [a, b]: [f64; 2],
) -> Result<Range<i64>> {
    let (p, q) = (
        structure.position(axis, level, a),
        structure.position(axis, level, b),
    );
    let first = remedy::whole(p.min(q).floor() - 1.0);
    let end = remedy::whole(p.max(q).ceil() + 1.0);
    match first.zip(end) {
        Some((first, end)) => Ok(first..end),
        None => Err(Error::invalid(
            "the file lies outside the grid's index space",
        )),
    }
}

/// The same of rows: latitudes end at the poles.
fn rows(
    structure: &Structure,
    y: usize,
    level: Level,
    reach: &Reach,
    is_latitude: bool,
) -> Result<Range<i64>> {
    let cells = touched(structure, y, level, reach.y)?;
    if !is_latitude {
        return Ok(cells);
    }
    let poles = [-90.0, 90.0].map(|pole| structure.position(y, level, pole));
    let (first, end) = (poles[0].min(poles[1]), poles[0].max(poles[1]));
    // A millionth of a cell beyond is none.
    let ends = remedy::whole((first + 1e-6).floor()).zip(remedy::whole((end - 1e-6).ceil()));
    match ends {
        Some((first, end)) if first < end => {
            let start = cells.start.clamp(first, end - 1);
            Ok(start..cells.end.clamp(start + 1, end))
        }
        _ => Ok(cells),
    }
}

/// The same of columns: those of longitudes go once round at most.
fn columns(structure: &Structure, x: usize, level: Level, reach: &Reach) -> Result<Range<i64>> {
    let cells = touched(structure, x, level, reach.x)?;
    match round::circle_of(structure, x, level) {
        Some(circle) if reach.is_round || cells.end - cells.start > circle => {
            // Nothing lies beside the whole circle.
            let first = cells.start + 1;
            Ok(first..first.saturating_add(circle))
        }
        _ => Ok(cells),
    }
}
