//! Rasters and grids: how a file's cells become a grid's, and an answer's cells a file's.
//!
//! # Where the cells of a file lie in a grid
//!
//! * A grid made after a file ([`schema_like`]) has a dimension `space` with the axes `y` and `x`, in this order. Cell (0, 0)
//!   of level 0 is the file's upper left cell; the axes begin at its outer corner, and the step of `y` is negative where rows
//!   run from north to south. Several bands make a Fixed dimension `band` in front, so arrays are (band, y, x). A file
//!   without georeferencing is placed in pixels: origin 0, steps of 1, rows downwards.
//! * Any other grid takes rasters ([`Import`]) if it has one dimension of two axes, y before x, beside it at most one Fixed
//!   dimension, which stands for the bands, and at most one other, such as time, of which a raster has one cell ([`Import::at`]).
//! * Bands go by their names where the file and the grid have names, in whatever order; else by their numbers.
//! * The cells of a file must be the grid's times a power of two, fractions included, and aligned with the cells of that
//!   level within [`TOLERANCE`] cells at every edge. They land at that level. Anything else is refused with the reason and a
//!   `gdalwarp` line that makes a file that fits, with cells as fine as the file's: cells are never moved or resampled in silence.
//! * The coordinate reference system must be the grid's, by its parameters and whatever it is called, unless the grid has none.
//!
//! # What the cells of a file become
//!
//! * Packed cells (scale and offset) become the values they stand for: float32 of at most 16 bits, else float64.
//! * The type must be the grid's, or one that the grid's type holds without loss (uint8 in int16, int16 in float32).
//! * NaN, the file's nodata value, and cells that its mask or its alpha says hold no data, become the grid's nodata (NaN in float
//!   cells), or cells that the mask of an integer grid without a nodata value leaves out. They leave what the grid has at their
//!   place alone.
//! * Where the file says which cells hold data, and one of them equals the grid's nodata value, the file is refused before anything
//!   is written. Where it does not, such cells are nodata, and [`Checked::nodata_cells`] counts them.
//!
//! # What an import holds in memory, and what it leaves behind
//!
//! An [`Import`] reads the file twice in bounded windows: once to see that all of it can be read, so that a damaged file
//! changes nothing, and once to write it. A failing medium or a full disk during the second pass leaves the rows before it;
//! the same import, repeated, completes them.

mod bands;
mod convert;
mod import;
mod marked;
mod output;
mod place;
mod remedy;
mod schema;

#[cfg(test)]
mod tests;

pub use super::imported::{Checked, Imported};
pub use import::Import;
pub use marked::Marked;
pub use output::Raster;
pub use output::preferred;

pub use crate::adapter::axes::{RasterAxes, TOLERANCE};
pub use schema::{Like, schema_like};
