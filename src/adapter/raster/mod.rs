//! Rasters and grids: how a file's cells become a grid's, and an answer's cells a file's.
//!
//! # Where the cells of a file lie in a grid
//!
//! * A grid made after a file ([`schema_like`]) has a dimension `space` with the axes `y` and `x`, in this order. Cell (0, 0)
//!   of level 0 is the file's upper left cell; the axes begin at its outer corner, and the step of `y` is negative where rows
//!   run from north to south. Several bands make a Fixed dimension `band` in front, so arrays are (band, y, x). A file
//!   without georeferencing is placed in pixels: origin 0, steps of 1, rows downwards.
//! * Any other grid takes rasters ([`Import`]) if it has one dimension of two axes, y before x, and beside it at most one
//!   Fixed dimension, which stands for the bands.
//! * The cells of a file must be the grid's times a power of two, fractions included, and aligned with the cells of that
//!   level within [`TOLERANCE`] cells at every edge. They land at that level. Anything else is refused with the reason and a
//!   `gdalwarp` line that makes a file that fits: cells are never moved or resampled in silence.
//! * The coordinate reference system must be the grid's, unless the grid has none.
//!
//! # What the cells of a file become
//!
//! * The type must be the grid's, or one that the grid's type holds without loss (uint8 in int16, int16 in float32).
//! * NaN and the file's nodata value become the grid's (NaN in float cells). They leave what the grid has at their place alone.
//!   A file with a nodata value is refused by an integer grid without one.
//! * Where the file declares another nodata value than the grid, and a valid cell equals the grid's, the file is refused before
//!   anything is written. Where the file declares none, such cells are nodata, and [`Checked::nodata_cells`] counts them.
//!
//! # What an import holds in memory, and what it leaves behind
//!
//! An [`Import`] reads the file twice in bounded windows: once to see that all of it can be read, so that a damaged file
//! changes nothing, and once to write it. A failing medium or a full disk during the second pass leaves the rows before it;
//! the same import, repeated, completes them.

mod convert;
mod import;
mod output;
mod place;
mod schema;

#[cfg(test)]
mod tests;

pub use super::imported::{Checked, Imported};
pub use import::Import;
pub use output::Raster;
pub use place::TOLERANCE;

pub use crate::adapter::axes::RasterAxes;
pub use schema::{Like, schema_like};
