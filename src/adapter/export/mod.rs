//! Cells of a grid on their way into a file: read part by part, so that no file is too large.
//!
//! A [`Selection`] says which cells are meant: a window of one layer. What writes a format asks it
//! for parts of these, laid out as planes of rows and columns, and for what stands for absent data
//! in all of them. `raster::export` makes GeoTIFFs of selections, `netcdf::export` NetCDF files.
//! Both take the grid of a [snapshot](crate::StoreSnapshot) where others write meanwhile.

mod mark;
mod parts;
mod selection;

pub(in crate::adapter) use mark::{Marking, absent, marking};
pub(in crate::adapter) use parts::{Cuts, Part};
pub(in crate::adapter) use selection::Planes;
pub use selection::{Exported, Selection};

/// The bytes of cells that are read at a time, unless it is told otherwise.
pub(in crate::adapter) const PART_BYTES: usize = 32 << 20;
