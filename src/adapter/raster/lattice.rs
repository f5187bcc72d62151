//! The cells of a grid that a raster of another system has.

use std::ops::Range;

use crate::adapter::axes::RasterAxes;
use crate::adapter::geotiff::Header;
use crate::adapter::round;
use crate::error::{Error, Result};
use crate::grid::{Level, Structure};
use crate::store::Grid;

use super::reach::Reach;
use super::remedy;

/// So many times as many cells as the file has come of what lies where the grid's system is not
/// meant for, such as a pole in a Mercator projection.
const GROWTH_MAX: f64 = 256.0;
/// Fewer cells than these are never too many.
const CELLS_FREE: f64 = 1e8;

/// Rows and columns of a level.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lattice {
    pub(super) level: Level,
    pub(super) rows: Range<i64>,
    pub(super) cols: Range<i64>,
    /// How long the raster's cells are along y and x, in cells of level 0.
    pub(super) finer_by: [f64; 2],
}

impl Lattice {
    /// The cells of a level that a raster may touch: of the one that is asked for, or else of the
    /// first whose cells are at least as fine as half of the raster's.
    pub(super) fn of(
        grid: &Grid,
        header: &Header,
        reach: &Reach,
        level: Option<Level>,
    ) -> Result<Self> {
        let (structure, axes) = (grid.structure(), RasterAxes::of(grid.structure())?);
        let is_circle = structure.longitude() == Some(axes.x);
        let finer_by = |cell: f64, axis: usize| (cell / remedy::step(grid, axis)).abs();
        let [down, across] = reach.cell;
        let finer_by = [finer_by(down, axes.y), finer_by(across, axes.x)];
        let level = match level {
            Some(level) => level,
            None => remedy::fitting(grid, axes, reach.cell)?,
        };
        let lattice = Self {
            level,
            rows: rows(structure, axes.y, level, reach, is_circle)?,
            cols: columns(structure, axes.x, level, reach)?,
            finer_by,
        };
        let [high, wide] = lattice.size();
        let of_file = header.height as f64 * header.width as f64;
        if high as f64 * wide as f64 > (of_file * GROWTH_MAX).max(CELLS_FREE) {
            return Err(lattice.too_large());
        }
        Ok(lattice)
    }

    /// How many rows and columns.
    pub(super) fn size(&self) -> [u64; 2] {
        [&self.rows, &self.cols].map(|cells| cells.end.abs_diff(cells.start))
    }

    /// That these are too many cells.
    pub(super) fn too_large(&self) -> Error {
        let [high, wide] = self.size();
        let (cells, level) = (high as f64 * wide as f64, self.level);
        Error::invalid(format!(
            "the file would have {cells:.1e} cells of level {level} of the grid, since it reaches far beyond where the grid's coordinate reference system is meant for; cut it with `gdal_translate -projwin WEST NORTH EAST SOUTH FILE PART.tif`, or ask for a coarser level with `--level`"
        ))
    }
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
