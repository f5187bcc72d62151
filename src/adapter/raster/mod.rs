//! Rasters and grids: how a file's cells become a grid's, and an answer's cells a file's.
//!
//! # Where the cells of a file lie in a grid
//!
//! * A grid made after a file ([`schema_like`]) has a dimension `space` with the axes `y` and `x`,
//!   in this order. Cell (0, 0) of level 0 is the file's upper left cell; the axes begin at its
//!   outer corner, and the step of `y` is negative where rows run from north to south. Several
//!   bands make a Fixed dimension `band` in front, so arrays are (band, y, x). A file without
//!   georeferencing is placed in pixels: origin 0, steps of 1, rows downwards.
//! * Any other grid takes rasters ([`RasterSource`]) if it has one dimension of two axes, y before
//!   x, beside it at most one Fixed dimension, which stands for the bands, and at most one other,
//!   such as time, of which a raster has one cell ([`RasterSource::placed`]).
//! * Bands go by their names where the file and the grid have names, in whatever order; else by
//!   their numbers.
//! * The cells of a file must be the grid's times a power of two, fractions included, and aligned
//!   with the cells of that level within [`TOLERANCE`] cells at every edge. They land at that
//!   level. Anything else is refused with the reason and a `gdalwarp` line that makes a file that
//!   fits, with cells as fine as the file's: cells are never moved or resampled in silence.
//! * With the feature `gdal` [`open_for`] has a raster of another system, or a turned one, warped to
//!   the grid's cells before any of this.
//! * [`ResampledSource`] lays a file onto the grid's cells, whatever the size and the place of its
//!   own, and with the feature `crs` whatever its system, if that is transformed as exactly as PROJ
//!   does; the other way round, [`geometry`] has a file's cells as those of an
//!   answer ([`Query::onto`](crate::Query::onto)).
//! * Longitudes that are one place are one cell: those of 0 to 360 and of -180 to 180 are laid
//!   where the grid has them.
//! * The coordinate reference system must be the grid's, by its parameters and whatever it is
//!   called, unless the grid has none.
//!
//! # What the cells of a file become
//!
//! * Packed cells (scale and offset) become the values they stand for: float32 of at most 16 bits,
//!   else float64.
//! * Values in another unit of the same kind (`degC` in a grid of `K`, `ft` in one of `m`) are
//!   converted, which is noted.
//! * The type must be the grid's, or one that the grid's type holds without loss (uint8 in int16,
//!   int16 in float32).
//! * NaN, the file's nodata value, and cells that its mask or its alpha says hold no data, become
//!   the grid's nodata (NaN in float cells), or cells that the mask of an integer grid without a
//!   nodata value leaves out. They leave what the grid has at their place alone.
//! * Where the file says which cells hold data, and one of them equals the grid's nodata value, the
//!   file is refused before anything is written. Where it does not, such cells are nodata, and
//!   [`Checked::nodata_cells`](super::source::Checked) counts them.
//!
//! # What an import holds in memory, and what it leaves behind
//!
//! An [`Import`](super::source::Import) reads the file twice in bounded windows: once to see that
//! all of it can be read, so that a damaged file changes nothing, and once to write it. A failing
//! medium or a full disk during the second pass leaves what was committed before; the same import,
//! repeated, completes it.

mod bands;
mod convert;
#[cfg(feature = "crs")]
mod elsewhere;
pub mod export;
mod file;
#[cfg(any(feature = "crs", feature = "gdal"))]
mod lattice;
mod lay;
mod marked;
mod open;
mod output;
mod place;
#[cfg(any(feature = "crs", feature = "gdal"))]
mod reach;
mod remedy;
mod resampled;
mod schema;
mod source;
mod target;
#[cfg(feature = "gdal")]
mod warped;

#[cfg(all(test, feature = "crs"))]
mod elsewhere_tests;
#[cfg(test)]
mod resampled_kinds_tests;
#[cfg(test)]
mod resampled_tests;
#[cfg(test)]
mod tests;

pub use file::RasterFile;
pub use marked::Marked;
pub use open::{Laying, open, open_for};
pub use output::Raster;
pub use output::preferred;

pub use crate::adapter::axes::{RasterAxes, TOLERANCE};
pub use place::fits;
#[cfg(feature = "gdal")]
pub(super) use reach::{AffineMap, Mapped, Reach};
pub use resampled::ResampledSource;
pub use schema::{Like, schema_like};
pub use source::RasterSource;
pub use target::geometry;
