//! What a raster is read from, whatever its format.

use std::fmt::Debug;

use ndarray::ArrayD;

use crate::adapter::geotiff::{GeoTiff, Header, ImageWindow, ImageWindows};
use crate::adapter::source::Fingerprint;
use crate::array::Array;
use crate::error::Result;

/// A raster that is read window by window: a [`GeoTiff`], or what GDAL opens.
pub trait RasterFile: Debug + Send {
    /// What it says of itself before a cell is read.
    fn header(&self) -> &Header;

    /// Windows that cover every cell once, in the order that costs least, `rows_wanted` rows high
    /// and of at most `bytes_max` bytes, or of one block. See [`GeoTiff::plan`].
    fn plan(&self, rows_wanted: usize, bytes_max: usize) -> ImageWindows;

    /// The cells of a window as (band, y, x), as stored, and which of them hold data beside what
    /// their values say: 1 or 0. See [`GeoTiff::read_valid`], for errors too.
    fn read_valid(&mut self, window: &ImageWindow) -> Result<(Array, Option<ArrayD<u8>>)>;

    /// What tells that it is not what it was; `None` if nothing does. An
    /// [`Unavailable`](crate::ErrorKind::Unavailable) error if it cannot be looked at.
    fn fingerprint(&self) -> Result<Option<Fingerprint>>;

    /// Gives back memory and open files until the next read.
    fn close(&mut self);

    /// How long its own cells are, in cells of level 0 of the grid that it was laid onto; `None` if
    /// they are those of the header.
    fn own_cell(&self) -> Option<f64> {
        None
    }
}

impl RasterFile for GeoTiff {
    fn header(&self) -> &Header {
        self.header()
    }

    fn plan(&self, rows_wanted: usize, bytes_max: usize) -> ImageWindows {
        self.plan(rows_wanted, bytes_max)
    }

    fn read_valid(&mut self, window: &ImageWindow) -> Result<(Array, Option<ArrayD<u8>>)> {
        self.read_valid(window)
    }

    fn fingerprint(&self) -> Result<Option<Fingerprint>> {
        self.fingerprint()
    }

    fn close(&mut self) {
        self.close();
    }
}

impl RasterFile for Box<dyn RasterFile> {
    fn header(&self) -> &Header {
        (**self).header()
    }

    fn plan(&self, rows_wanted: usize, bytes_max: usize) -> ImageWindows {
        (**self).plan(rows_wanted, bytes_max)
    }

    fn read_valid(&mut self, window: &ImageWindow) -> Result<(Array, Option<ArrayD<u8>>)> {
        (**self).read_valid(window)
    }

    fn fingerprint(&self) -> Result<Option<Fingerprint>> {
        (**self).fingerprint()
    }

    fn close(&mut self) {
        (**self).close();
    }

    fn own_cell(&self) -> Option<f64> {
        (**self).own_cell()
    }
}
