//! Rasters of every format that GDAL reads (feature `gdal`).
//!
//! [`GdalRaster::open`] reads the header only. What GDAL knows of bands becomes a
//! [`Header`](super::geotiff::Header), as that of a GeoTIFF: nodata values, masks and alpha, scale
//! and offset, units, descriptions, place and system. [Imported](super::raster::open_for) into a
//! grid of another system, it has cells on another lattice, made by GDAL's warper with exact
//! coordinates (`gdalwarp -et 0 -ovr NONE`), one band at a time: the cells are those that `gdalwarp`
//! writes. How wide kernels are is fixed too (`-wo XSCALE=`, `YSCALE=`), since `gdalwarp` guesses it
//! for each of its blocks.
//!
//! * What GDAL warns of while it reads cells is an error, since drivers tell so that a file is cut
//!   off; what it warns of while it opens a file is noted.
//! * A cell that the warper makes is data if GDAL takes it for data. In cells of floats NaN marks
//!   what is none, in integers the file's nodata value, else alpha.
//! * Beside a nodata value, a mask or alpha, cells of floats that are NaN make those that are mixed
//!   of them cells without data. Where a file has a mask and a nodata value or alpha, it is not
//!   warped. Nor is it where the grid's type does not hold its values, as without warping.
//! * Times that a file states for bands (GRIB) are not read.
//! * GDAL keeps blocks that it has decoded, for the whole process, up to `GDAL_CACHEMAX` (a
//!   twentieth of the memory unless it is set).

mod dataset;
mod ffi;
mod header;
mod raster;
mod reach;

pub use raster::GdalRaster;
pub(super) use raster::{WarpTarget, in_two_ways};
