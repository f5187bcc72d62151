//! The edges: files of other formats in and out. A format's adapter gives and takes arrays and
//! georeferencing, and knows no store; `raster` lays them into grids.

mod file;
#[cfg(feature = "geotiff")]
pub mod geotiff;
pub mod npy;
#[cfg(feature = "png")]
pub mod quicklook;
#[cfg(feature = "geotiff")]
pub mod raster;
