//! The edges: files of other formats in and out. An adapter gives and takes arrays and georeferencing, and knows no store.

#[cfg(feature = "geotiff")]
pub mod geotiff;
