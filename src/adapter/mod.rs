//! The edges: files of other formats in and out. An adapter gives and takes arrays and georeferencing, and knows no store.

mod file;
#[cfg(feature = "geotiff")]
pub mod geotiff;
pub mod npy;
#[cfg(feature = "png")]
pub mod quicklook;
