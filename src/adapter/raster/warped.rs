//! A raster of another system, or askew, on the lattice of a grid: by GDAL's warper.

use std::ops::Range;

use crate::adapter::axes::RasterAxes;
use crate::adapter::gdal::{GdalRaster, WarpTarget};
use crate::adapter::geotiff::Affine;
use crate::crs;
use crate::error::{Error, Result};
use crate::grid::Level;
use crate::kernel::Resampling;
use crate::store::Grid;

use super::convert::check_type;
use super::file::RasterFile;
use super::lattice::Lattice;
use super::remedy;

/// So many cells of the file for one of the grid, at most: the warper holds what it makes a block
/// of, of 512 x 128 cells.
const CELLS_MAX: f64 = 256.0;

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
    super::lay::check_totals(grid, resampling)?;
    // Means come in the type of a grid of floats, so that it would be too late to ask afterwards.
    if grid.schema().dtype().is_float() {
        check_type(grid.schema(), raster.header())?;
    }
    let is_circle = structure.longitude() == Some(axes.x);
    let reach = raster.reach(to, is_circle)?;
    let lattice = Lattice::of(grid, raster.header(), &reach, level)?;
    let (level, [down, across]) = (lattice.level, reach.cell);
    let size = lattice.size().map(|len| {
        i32::try_from(len)
            .ok()
            .and_then(|len| usize::try_from(len).ok())
    });
    let [Some(height), Some(width)] = size else {
        return Err(lattice.too_large());
    };
    let edges = |axis: usize, cells: &Range<i64>| {
        let (a, b) = (
            structure.edge(axis, level, cells.start),
            structure.edge(axis, level, cells.end),
        );
        (a.min(b), a.max(b))
    };
    let ((west, _), (_, north)) = (edges(axes.x, &lattice.cols), edges(axes.y, &lattice.rows));
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
        own_cell: (lattice.finer_by[0] * lattice.finer_by[1]).sqrt(),
        note: format!(
            "its cells are laid onto the grid's at level {level}{from} by GDAL's warper ({resampling})"
        ),
        dtype: grid.schema().dtype(),
    };
    raster.warped(&target)
}
