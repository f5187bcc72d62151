//! Writing a tiled GeoTIFF: an array at once, or part by part.
//!
//! Every file begins with its directories, in the order that makes one which has overviews a Cloud
//! Optimized GeoTIFF: what a reader needs to find a tile is in the first bytes. Cells are written
//! behind them as they come, and where each tile stands is filled in when all are there, so that
//! nothing but the parts is held.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::fields::Container;
use super::frame::{BlockList, Frame};
use super::georef::Affine;
use super::layout::Compression;
use super::reader::Band;
use super::tile::{TileRaster, Tiling, refused};
use crate::adapter::file;
use crate::array::{ArrayView, Cells, DType};
use crate::error::{Error, Result};

/// A file is made a BigTIFF if its cells come to more: offsets in a classic one end at 4 GiB.
const CLASSIC_BYTES_MAX: u128 = 0xF000_0000;

/// What a file states besides the cells.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Profile {
    /// Where the cells lie.
    pub affine: Option<Affine>,
    /// `EPSG:n`, WKT, or any other text, which is kept as a citation.
    pub crs: Option<String>,
    /// One cell of the array's type that marks absent data.
    pub nodata: Option<Cells>,
    /// Which cells hold data, (y, x) for all bands, where no value can mark the others: becomes a
    /// mask inside the file. Only for a file that is written at once; see [`Sheet::masked`].
    pub mask: Option<Array2<bool>>,
    /// [`Compression::Deflate`] unless set.
    pub compression: Compression,
    /// Names, scales and offsets: none, or one entry a band.
    pub bands: Vec<Band>,
    /// A BigTIFF even if the file is small.
    pub big: bool,
    /// Rows and columns of a tile: a multiple of 16 up to 4096, 256 unless set.
    pub tile: usize,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            affine: None,
            crs: None,
            nodata: None,
            mask: None,
            compression: Compression::Deflate,
            bands: Vec::new(),
            big: false,
            tile: 256,
        }
    }
}

impl Profile {
    pub(super) fn tiling(&self) -> Tiling {
        Tiling {
            side: self.tile,
            compression: self.compression,
        }
    }
}

/// The images of a file that is written part by part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sheet {
    /// The type of the cells of every image.
    pub dtype: DType,
    /// The bands of every image.
    pub bands: usize,
    /// Rows and columns of the image, then of each overview, the finest first.
    pub sizes: Vec<[usize; 2]>,
    /// Whether each image has a mask, which says for all of its bands which cells hold data.
    pub masked: bool,
}

impl Sheet {
    /// How many tiles each band of an image has.
    pub(super) fn tiles(&self, image: usize, side: usize) -> usize {
        let [height, width] = self.sizes[image];
        height.div_ceil(side) * width.div_ceil(side)
    }

    /// Refuses images that no file can have, and what the profile says of others; see
    /// [`Writer::new`].
    pub(in crate::adapter) fn check(&self, profile: &Profile) -> Result<()> {
        let bands = self.bands;
        let short = |len: usize| len > 0 && i32::try_from(len).is_ok();
        for [height, width] in &self.sizes {
            if !short(*height) || !short(*width) || bands == 0 || u16::try_from(bands).is_err() {
                return Err(Error::invalid(format!(
                    "a GeoTIFF cannot be {bands} bands of {height} by {width} cells"
                )));
            }
        }
        let other = |cell: &&Cells| cell.dtype() != self.dtype || cell.len() != 1;
        if profile.nodata.as_ref().filter(other).is_some() {
            return Err(Error::invalid(format!(
                "the nodata value is not one cell of {}",
                self.dtype
            )));
        }
        if !profile.bands.is_empty() && profile.bands.len() != bands {
            return Err(Error::invalid(format!(
                "{} bands are described; the array has {bands}",
                profile.bands.len()
            )));
        }
        if !(16..=4096).contains(&profile.tile) || !profile.tile.is_multiple_of(16) {
            return Err(Error::invalid(format!(
                "a tile of {0} by {0} cells is none; give a multiple of 16 up to 4096",
                profile.tile
            )));
        }
        match profile.compression {
            Compression::None | Compression::Deflate | Compression::Zstd => Ok(()),
            other => Err(refused(other)),
        }
    }

    /// The bytes of all tiles, not compressed, with what stands before and behind each.
    fn bytes(&self, side: usize) -> u128 {
        let tile = (side * side * self.dtype.size() + FRAMED) as u128;
        let mask = if self.masked {
            side * side / 8 + FRAMED
        } else {
            0
        } as u128;
        let of_image = |image: usize| {
            let tiles = self.tiles(image, side) as u128;
            tiles * (self.bands as u128 * (tile + 12) + mask)
        };
        (0..self.sizes.len()).map(of_image).sum()
    }
}

/// The length in front of a tile, and its last four bytes behind it once more.
const FRAMED: usize = 8;

/// Writes an array (y, x) or (band, y, x). The file appears when it is complete.
///
/// Compressed cells go through the predictor of their type: 2 for integers, 3 for floats.
pub fn write<'a>(
    path: impl AsRef<Path>,
    array: impl Into<ArrayView<'a>>,
    profile: &Profile,
) -> Result<()> {
    file::replace(path.as_ref(), |out| write_to(out, array, profile))
}

/// The same to anything that takes bytes and seeks.
///
/// An [`Invalid`](crate::ErrorKind::Invalid) error if the array has no cells or not two or three
/// axes, if the nodata cell is of another type, if there are names for another number of bands, or
/// if the compression is one that is only read.
pub fn write_to<'a>(
    out: impl Write + Seek,
    array: impl Into<ArrayView<'a>>,
    profile: &Profile,
) -> Result<()> {
    let array = array.into();
    let [bands, height, width] = shape_of(&array)?;
    let mask = profile.mask.as_ref();
    if mask.is_some_and(|mask| mask.dim() != (height, width)) {
        return Err(Error::invalid(format!(
            "the mask has not the {height} by {width} cells of the array"
        )));
    }
    let sheet = Sheet {
        dtype: array.dtype(),
        bands,
        sizes: vec![[height, width]],
        masked: mask.is_some(),
    };
    let mut writer = Writer::new(out, sheet, profile)?;
    writer.put(0, [0; 3], array, mask.map(|mask| mask.view()))?;
    writer.finish().map(drop)
}

/// Bands, rows and columns.
fn shape_of(array: &ArrayView<'_>) -> Result<[usize; 3]> {
    match *array.shape() {
        [height, width] => Ok([1, height, width]),
        [bands, height, width] => Ok([bands, height, width]),
        _ => {
            let axes = array.shape().len();
            Err(Error::invalid(format!(
                "a GeoTIFF is written of an array (y, x) or (band, y, x), not of {axes} axes"
            )))
        }
    }
}

/// A file that is written part by part: its images from the coarsest overview to the image itself,
/// in whole tiles.
///
/// ```
/// use std::io::Cursor;
/// use gridstone::adapter::geotiff::{GeoTiff, Profile, Sheet, Writer};
/// use gridstone::DType;
/// use ndarray::Array2;
///
/// # fn main() -> gridstone::Result<()> {
/// let sheet = Sheet { dtype: DType::U8, bands: 1, sizes: vec![[300, 200], [150, 100]], masked: false };
/// let mut writer = Writer::new(Cursor::new(Vec::new()), sheet, &Profile::default())?;
/// writer.put(1, [0, 0, 0], &Array2::from_elem((150, 100), 1_u8), None)?;
/// writer.put(0, [0, 0, 0], &Array2::from_elem((256, 200), 2_u8), None)?;
/// writer.put(0, [0, 256, 0], &Array2::from_elem((44, 200), 3_u8), None)?;
/// let tiff = GeoTiff::from_reader(writer.finish()?)?;
/// assert_eq!((tiff.header().height, tiff.overviews()), (300, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    /// Where the file begins in what it is written to, and where it ends so far.
    start: u64,
    at: u64,
    frame: Frame,
    sheet: Sheet,
    tiling: Tiling,
    /// The image that is written.
    image: usize,
}

impl<W: Write + Seek> Writer<W> {
    /// Begins a file. What the profile says of a mask does not count.
    ///
    /// An [`Invalid`](crate::ErrorKind::Invalid) error if there is no image, if one has no cells,
    /// if the nodata cell is of another type, if there are names for another number of bands, if a
    /// tile has no possible size, or if the compression is one that is only read.
    pub fn new(mut out: W, sheet: Sheet, profile: &Profile) -> Result<Self> {
        sheet.check(profile)?;
        let container = if profile.big || sheet.bytes(profile.tile) > CLASSIC_BYTES_MAX {
            Container::Big
        } else {
            Container::Classic
        };
        let frame = Frame::new(&sheet, profile, container)?;
        let start = out.stream_position().map_err(failed)?;
        out.write_all(&frame.bytes).map_err(failed)?;
        Ok(Self {
            out,
            start,
            at: frame.bytes.len() as u64,
            frame,
            image: sheet.sizes.len() - 1,
            sheet,
            tiling: profile.tiling(),
        })
    }

    /// Writes a part of an image: the cells (y, x) or (band, y, x) from a band, a row and a column
    /// on. It begins and ends where tiles do, or where the image ends. Where images have masks it
    /// has all bands, and `mask` says which of its cells hold data; `None` if all do.
    ///
    /// An [`Invalid`](crate::ErrorKind::Invalid) error if the cells are no such part, if it was
    /// written before, or if parts of a finer image were; an
    /// [`Unavailable`](crate::ErrorKind::Unavailable) one if it cannot be written.
    pub fn put<'a>(
        &mut self,
        image: usize,
        corner: [usize; 3],
        cells: impl Into<ArrayView<'a>>,
        mask: Option<ArrayView2<'_, bool>>,
    ) -> Result<()> {
        let cells = cells.into();
        let shape = shape_of(&cells)?;
        self.check(image, corner, (cells.dtype(), shape), mask)?;
        self.image = image;
        let flat = cells.flat();
        let raster = TileRaster {
            dtype: self.sheet.dtype,
            shape,
            cells: flat.bytes(),
        };
        let (tiling, [bands, height, width]) = (self.tiling, shape);
        let (side, masked) = (tiling.side, self.sheet.masked);
        let places: Vec<(BlockList, [usize; 3])> = (0..height)
            .step_by(side)
            .flat_map(|row| (0..width).step_by(side).map(move |col| (row, col)))
            .flat_map(|(row, col)| {
                let cells = (0..bands).map(move |band| (BlockList::Cells, [band, row, col]));
                cells.chain(masked.then_some((BlockList::Mask, [0, row, col])))
            })
            .collect();
        let across = self.sheet.sizes[image][1].div_ceil(side);
        let tiles = self.sheet.tiles(image, side);
        for places in places.chunks(BATCH_LEN) {
            let made: Vec<Result<Vec<u8>>> = places
                .par_iter()
                .map(|(part, place)| made(tiling, raster, mask, (*part, *place)))
                .collect();
            for ((part, [band, row, col]), tile) in places.iter().zip(made) {
                let number = (corner[1] + row) / side * across + (corner[2] + col) / side;
                let block = (corner[0] + band) * tiles + number;
                self.append((image, *part, block), &tile?)?;
            }
        }
        Ok(())
    }

    fn check(
        &self,
        image: usize,
        [band, row, col]: [usize; 3],
        (dtype, [bands, height, width]): (DType, [usize; 3]),
        mask: Option<ArrayView2<'_, bool>>,
    ) -> Result<()> {
        let refused = |why: &str| {
            Err(Error::invalid(format!(
                "a part of a GeoTIFF of {bands} bands of {height} by {width} cells from band {band}, row {row} and column {col} on cannot be written: {why}"
            )))
        };
        if dtype != self.sheet.dtype {
            return refused(&format!("the file has cells of {}", self.sheet.dtype));
        }
        if image > self.image {
            return refused("overviews come before the images that they are of");
        }
        let (side, [rows, cols]) = (self.tiling.side, self.sheet.sizes[image]);
        let fits = |from: usize, len: usize, end: usize| {
            let to = from.saturating_add(len);
            from.is_multiple_of(side) && to <= end && (to.is_multiple_of(side) || to == end)
        };
        let all = band.saturating_add(bands) <= self.sheet.bands;
        if !fits(row, height, rows) || !fits(col, width, cols) || !all {
            return refused("it is not made of whole tiles of the image");
        }
        if self.sheet.masked && bands != self.sheet.bands {
            return refused("a mask is one of all bands");
        }
        match mask {
            Some(_) if !self.sheet.masked => refused("the file has no masks"),
            Some(mask) if mask.dim() != (height, width) => refused("its mask has other cells"),
            _ => Ok(()),
        }
    }

    /// Writes a tile behind what there is.
    fn append(
        &mut self,
        (image, part, block): (usize, BlockList, usize),
        tile: &[u8],
    ) -> Result<()> {
        let len = u32::try_from(tile.len())
            .map_err(|cause| Error::invalid("a tile is too large").because(cause))?;
        self.frame.note(image, part, block, (self.at + 4, len))?;
        let last = tile.last_chunk::<4>().copied().unwrap_or_default();
        self.out
            .write_all(&len.to_le_bytes())
            .and_then(|()| self.out.write_all(tile))
            .and_then(|()| self.out.write_all(&last))
            .map_err(failed)?;
        self.at += (tile.len() + FRAMED) as u64;
        Ok(())
    }

    /// Fills in where the tiles stand, and gives back what was written to.
    ///
    /// An [`Invalid`](crate::ErrorKind::Invalid) error if a part was not written, or an
    /// [`Unavailable`](crate::ErrorKind::Unavailable) one.
    pub fn finish(mut self) -> Result<W> {
        if !self.frame.is_complete() {
            return Err(Error::invalid("not every tile of the GeoTIFF was written"));
        }
        let end = self.start + self.at;
        self.out
            .seek(SeekFrom::Start(self.start))
            .and_then(|_| self.out.write_all(&self.frame.bytes))
            .and_then(|()| self.out.seek(SeekFrom::Start(end)))
            .and_then(|_| self.out.flush())
            .map_err(failed)?;
        Ok(self.out)
    }
}

/// A tile of the cells or of the mask of a part.
fn made(
    tiling: Tiling,
    raster: TileRaster<'_>,
    mask: Option<ArrayView2<'_, bool>>,
    (part, [band, row, col]): (BlockList, [usize; 3]),
) -> Result<Vec<u8>> {
    if part == BlockList::Cells {
        return tiling.of_cells(raster, [band, row, col]);
    }
    let Some(mask) = mask else {
        let ([_, height, width], side) = (raster.shape, tiling.side);
        let whole = Array2::from_elem((side.min(height - row), side.min(width - col)), true);
        return tiling.of_mask(whole.view(), [0, 0]);
    };
    tiling.of_mask(mask, [row, col])
}

/// Tiles compressed together; the memory beyond the part is this many of them.
const BATCH_LEN: usize = 64;

fn failed(cause: std::io::Error) -> Error {
    Error::unavailable("the GeoTIFF cannot be written").because(cause)
}
