//! A file's cells as those that an answer is wanted on.

use crate::adapter::axes::RasterAxes;
use crate::adapter::geotiff::Header;
use crate::error::Result;
use crate::grid::{Axis, Geometry};
use crate::store::Grid;

use super::place::nameless;
use super::schema::PIXELS;

/// The cells of a file, for [`Query::onto`](crate::Query::onto): of any size, anywhere, in either
/// direction; with the feature `crs` of any coordinate reference system that is transformed as
/// exactly as PROJ does.
///
/// An [`Invalid`](crate::ErrorKind::Invalid) error if the grid has no rows and columns, or the file
/// is in a system that is not transformed to the grid's, with the command that helps.
pub fn geometry(grid: &Grid, header: &Header) -> Result<Geometry> {
    let structure = grid.structure();
    let axes = RasterAxes::of(structure)?;
    let name = |axis: usize| structure.axes().nth(axis).map_or("", Axis::name);
    let affine = header.affine.unwrap_or(PIXELS);
    let geometry = Geometry::new()
        .axis(name(axes.y), affine.y, affine.dy, header.height)
        .axis(name(axes.x), affine.x, affine.dx, header.width);
    let geometry = match (&header.crs, structure.crs()) {
        (Some(own), _) => geometry.crs(own),
        (None, None) => geometry,
        (None, Some(wanted)) => return Err(nameless(wanted, "")),
    };
    geometry.check(structure)?;
    Ok(geometry)
}
