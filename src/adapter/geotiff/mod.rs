//! GeoTIFF in and out.
//!
//! [`GeoTiff::open`] reads the header only. [`GeoTiff::plan`] cuts the image into windows that
//! follow the file's own blocks (tiles or strips), so that reading them in turn decodes every block
//! once and holds a bounded number of bytes, whatever the size of the file. [`write()`] makes
//! tiled, compressed files that other readers open with equal cells and georeferencing; a
//! [`Writer`] makes them part by part, with overviews and masks, in the order of a Cloud Optimized
//! GeoTIFF.
//!
//! | | read | written |
//! |---|---|---|
//! | container | TIFF and BigTIFF, both byte orders, strips and tiles, chunky and separate bands, absent (sparse) blocks | this machine's byte order, tiles, separate bands, BigTIFF where needed |
//! | compression | none, LZW, Deflate (8 and 32946), Zstandard (50000), PackBits, LZMA; JPEG (YCbCr if each cell has its own colour), WebP, LERC | none, Deflate, Zstandard |
//! | predictor | 1, 2 (8 to 64 bits), 3 (32 and 64 bits) | 1, 2, 3 |
//! | cells | the ten types of [`DType`](crate::DType); integers of 1 to 31 bits, floats of 16 | the ten types |
//! | georeferencing | pixel scale and tiepoint, or a transformation without rotation; pixel is area and pixel is point | pixel scale and tiepoint, or a transformation where rows run south to north |
//! | system | a code, parameters of 28 methods of projection, or WKT | a code, or WKT as GDAL reads it |
//!
//! What a file says of its cells is heeded wherever it stands: a mask inside the file or beside it
//! (`.msk`), alpha, nodata values, scale and offset; a world file (`.tfw`, `.wld`); a system (`.prj`)
//! where the file has none, unlike in GDAL; and place, system, nodata values, names and scales in
//! `.aux.xml`, which comes before what the file says, as in GDAL. [`GeoTiff::read_valid`] gives the
//! cells and which of them hold data.
//!
//! The first image of a file is read, and its [overviews](GeoTiff::overview) if they are asked for;
//! of further images [`Header::notes`] tells. Strips of any height are read in parts. Colour tables are ignored: the
//! cells are the indices.

mod block;
mod blocks;
mod codecs;
mod directory;
mod fields;
mod frame;
mod fuzz;
mod georef;
mod keys;
mod layout;
pub(in crate::adapter) mod nodata;
mod pages;
mod plan;
mod predictor;
mod reader;
mod sidecar;
mod system;
mod tall;
mod tile;
mod writer;

pub use super::file::LazyFile;
pub use fuzz::fuzz_geotiff;
pub use georef::Affine;
pub use layout::Compression;
pub use plan::ImageWindows;
#[cfg(feature = "gdal")]
pub(in crate::adapter) use plan::PlanImage;
pub use reader::{Band, GeoTiff, Header, ImageWindow};
#[cfg(feature = "gdal")]
pub(in crate::adapter) use reader::{CLASSES, MASK_AND_VALUE, PALETTE, several_units};
pub use writer::{Profile, Sheet, Writer, write, write_to};

/// Why a TIFF that is whole is not read here, although GDAL reads it: what an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::adapter) enum Beyond {
    /// Its rows and columns do not follow the axes.
    Place,
    /// Its blocks are coded in a way that only GDAL knows.
    Coding,
}

#[cfg(test)]
mod tests;
