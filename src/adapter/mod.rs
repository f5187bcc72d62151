//! The edges: files of other formats in and out. A format's adapter gives and takes arrays and
//! georeferencing, and knows no store; `raster` lays them into grids.

#[cfg(any(feature = "geotiff", feature = "netcdf", feature = "wire"))]
#[cfg_attr(
    not(any(feature = "geotiff", feature = "netcdf")),
    allow(dead_code, reason = "what only files need")
)]
mod axes;
#[cfg(any(feature = "geotiff", feature = "netcdf"))]
mod cells;
#[cfg(any(feature = "netcdf", feature = "zarr"))]
mod cf;
#[cfg(any(feature = "geotiff", feature = "netcdf"))]
pub mod export;
mod file;
#[cfg(feature = "gdal")]
pub mod gdal;
#[cfg(feature = "geotiff")]
pub mod geotiff;
#[cfg(feature = "netcdf")]
pub mod netcdf;
pub mod npy;
#[cfg(feature = "png")]
pub mod plot;
#[cfg(feature = "png")]
pub mod quicklook;
#[cfg(feature = "geotiff")]
pub mod raster;
#[cfg(any(feature = "geotiff", feature = "netcdf"))]
mod round;
pub mod source;
pub mod text;
#[cfg(any(feature = "geotiff", feature = "netcdf"))]
mod unit;
#[cfg(any(feature = "geotiff", feature = "netcdf"))]
mod values;
#[cfg(feature = "zarr")]
pub mod zarr;

#[cfg(feature = "wire")]
pub(crate) use axes::RasterAxes;
pub use file::replace;
