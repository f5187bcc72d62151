//! Which axes of a grid are rows, columns and bands.

use crate::error::{Error, Result};
use crate::grid::Structure;

/// How far the edges of a file's cells may be from those of the grid's, in cells of the file: a
/// hundredth.
///
/// One tolerance for files of any format, held against each edge of the whole file. Cell sizes and
/// coordinates that went through a float32, or were printed with six digits, are off by less, added
/// up over all cells (0.05 as 0.0500000007 is off by a thousandth of a cell over 70 000 cells);
/// what is off by more was not made by rounding, and is refused.
pub const TOLERANCE: f64 = 0.01;

/// The unit of an axis that counts a file's rows or columns.
pub const INDEX: &str = "index";

/// The axes of a grid that a raster has: rows, columns, and bands if there is a Fixed dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RasterAxes {
    /// The dimension of rows and columns.
    pub space: usize,
    /// The axis along which rows follow each other.
    pub y: usize,
    /// The axis along which columns follow each other.
    pub x: usize,
    /// The axis of the bands.
    pub band: Option<usize>,
}

impl RasterAxes {
    /// The only dimension of two axes, and the only Fixed one if there is one. An
    /// [`Invalid`](crate::ErrorKind::Invalid) error if they are not to be told. There may be other
    /// dimensions.
    pub fn of(structure: &Structure) -> Result<Self> {
        let dimensions = || structure.dimensions().iter().enumerate();
        let mut planes = dimensions().filter(|(_, dimension)| dimension.axes().len() == 2);
        let (Some((space, _)), None) = (planes.next(), planes.next()) else {
            return Err(Error::invalid(
                "a raster needs a grid with one dimension of two axes, y before x",
            ));
        };
        let mut fixed = dimensions().filter(|(_, dimension)| dimension.is_fixed());
        let band = fixed.next().map(|(d, _)| structure.axes_of(d).start);
        if fixed.next().is_some() {
            return Err(Error::invalid(
                "a raster needs a grid with at most one Fixed dimension, for its bands",
            ));
        }
        let axes = structure.axes_of(space);
        Ok(Self {
            space,
            y: axes.start,
            x: axes.start + 1,
            band,
        })
    }
}

/// Where the first of some cells over two world coordinates begins along an axis, and how far it is
/// to the next: the first is at the upper end where the axis falls.
pub(crate) fn line(
    structure: &Structure,
    axis: usize,
    (lower, upper): (f64, f64),
    len: usize,
) -> (f64, f64) {
    let cell = (upper - lower) / len as f64;
    let axis = structure.axes().nth(axis);
    if axis.is_none_or(|axis| axis.step() > 0.0) {
        (lower, cell)
    } else {
        (upper, -cell)
    }
}
