//! GeoTIFF in and out.
//!
//! [`GeoTiff::open`] reads the header only. [`GeoTiff::plan`] cuts the image into windows that follow the file's own blocks
//! (tiles or strips), so that reading them in turn decodes every block once and holds a bounded number of bytes, whatever the
//! size of the file. [`write()`] makes tiled, compressed files that other readers open with equal cells and georeferencing.
//!
//! | | read | written |
//! |---|---|---|
//! | container | TIFF and BigTIFF, both byte orders, strips and tiles, chunky and separate bands, absent (sparse) blocks | this machine's byte order, tiles, separate bands, BigTIFF where needed |
//! | compression | none, LZW, Deflate (8 and 32946), Zstandard (50000), PackBits | none, Deflate, Zstandard |
//! | predictor | 1, 2 (8 to 64 bits), 3 (32 and 64 bits) | 1, 2, 3 |
//! | cells | the ten types of [`DType`](crate::DType) | the same |
//! | georeferencing | pixel scale and tiepoint, or a transformation without rotation; pixel is area and pixel is point | pixel scale and tiepoint, or a transformation where rows run south to north |
//!
//! Only the first image of a file is read: overviews and masks are not. Sidecar files (`.tfw`, `.aux.xml`) are not read either.
//! Colour tables are ignored: the cells are the indices.

mod block;
mod directory;
mod epsg;
mod fuzz;
mod georef;
mod layout;
mod nodata;
mod predictor;
mod reader;
mod system;
mod writer;

pub use fuzz::fuzz_geotiff;
pub use georef::Affine;
pub use layout::Compression;
pub use reader::{Band, GeoTiff, Header, Plan, Window};
pub use writer::{Profile, write, write_to};

#[cfg(test)]
mod tests;
