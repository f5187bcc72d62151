//! Opening a GeoTIFF, planning a single pass over it, and reading windows of it.

use std::fs::File;
use std::io::{Read, Seek};
use std::ops::Range;
use std::path::Path;

use ndarray::{ArrayD, Axis, IxDyn, Slice};
use rayon::prelude::*;

use super::block;
use super::directory::{Source, tag};
use super::georef::{Affine, GeoKeys, affine};
use super::layout::{Compression, Layout};
use super::nodata;
use crate::array::{Array, Cell, Cells, DType, with_dtype};
use crate::error::{Error, Result};

/// [`GeoTiff::read`] refuses a window of more bytes; [`GeoTiff::plan`] cuts an image into windows below it.
const WINDOW_BYTES_MAX: usize = 1 << 30;

/// Blocks are decoded together until they come to this many bytes, so that all processors have work.
const BATCH_BYTES_MAX: usize = 32 << 20;

/// What a GeoTIFF says of itself before any cell is read.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Header {
    /// Cells from left to right.
    pub width: usize,
    /// Cells from top to bottom.
    pub height: usize,
    /// One entry a band, at least one.
    pub bands: Vec<Band>,
    /// The type of the cells of every band.
    pub dtype: DType,
    /// One cell that marks absent data, if there is such a value.
    pub nodata: Option<Cells>,
    /// Where the cells lie; `None` if the file does not say.
    pub affine: Option<Affine>,
    /// `EPSG:n` or `ESRI:n`; for systems without a code the WKT of what the file defines, or else the bare name that it gives.
    pub crs: Option<String>,
    /// How the blocks are compressed.
    pub compression: Compression,
    /// Rows and columns of a block, which is decoded as a whole.
    pub block: [usize; 2],
    /// What the file states that could not be used, a sentence each.
    pub notes: Vec<String>,
}

/// What GDAL's metadata say of one band.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Band {
    /// The name of the band.
    pub description: Option<String>,
    /// The physical value is the cell times this, plus the offset. [`GeoTiff::read`] gives the cells as stored.
    pub scale: Option<f64>,
    /// See [`scale`](Band::scale).
    pub offset: Option<f64>,
}

/// A box of cells in some bands; half-open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Bands, from 0.
    pub bands: Range<usize>,
    /// Rows, from the top.
    pub rows: Range<usize>,
    /// Columns, from the left.
    pub cols: Range<usize>,
}

impl Window {
    /// The shape of the array that is read: bands, rows, columns.
    pub fn shape(&self) -> [usize; 3] {
        [self.bands.len(), self.rows.len(), self.cols.len()]
    }
}

/// An open GeoTIFF. Nothing but the header is held.
#[derive(Debug)]
pub struct GeoTiff<R = File> {
    source: Source<R>,
    layout: Layout,
    header: Header,
}

impl GeoTiff {
    /// Opens a file and reads its header.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = crate::adapter::file::open(path)?;
        Self::from_reader(file).map_err(|cause| cause.within(format!("`{}` cannot be read as a GeoTIFF", path.display())))
    }
}

impl<R: Read + Seek> GeoTiff<R> {
    /// Reads the header of a file that is open, or held in memory.
    pub fn from_reader(reader: R) -> Result<Self> {
        let (mut source, directory) = Source::open(reader)?;
        let layout = Layout::read(&mut source, &directory)?;
        let keys = GeoKeys::read(&mut source, &directory)?;
        let crs = keys.system()?;
        let mut notes = keys.notes(crs.as_deref());
        let nodata = match source.text(&directory, tag::GDAL_NODATA)? {
            text if text.trim().is_empty() => None,
            text => nodata::parse(&text, layout.dtype).map_err(|note| notes.push(note)).ok(),
        };
        let mut bands = vec![Band::default(); layout.bands];
        for item in nodata::items(&source.text(&directory, tag::GDAL_METADATA)?) {
            let Some(band) = item.band.and_then(|band| bands.get_mut(band)) else { continue };
            match item.role.as_str() {
                "description" => band.description = Some(item.value),
                "scale" => band.scale = item.value.trim().parse().ok(),
                "offset" => band.offset = item.value.trim().parse().ok(),
                _ => {}
            }
        }
        let header = Header {
            width: layout.width,
            height: layout.height,
            bands,
            dtype: layout.dtype,
            nodata,
            affine: affine(&mut source, &directory, &keys)?,
            crs,
            compression: layout.coding.compression,
            block: [layout.coding.rows, layout.coding.cols],
            notes,
        };
        Ok(Self { source, layout, header })
    }

    /// What the file says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// All cells of all bands.
    pub fn window(&self) -> Window {
        Window { bands: 0..self.layout.bands, rows: 0..self.layout.height, cols: 0..self.layout.width }
    }

    /// Windows that cover every cell once and decode every block once, if read in turn.
    ///
    /// Their borders are borders of blocks. They are `rows_wanted` rows high, rounded up to whole blocks, and as wide as the
    /// image, as long as they come to at most `bytes_max` bytes; else they are lower, then narrower (in a tiled file), then of
    /// fewer bands (where bands have blocks of their own). The smallest is one block, which is at most 128 MiB. So a pass
    /// holds `max(bytes_max, one block)` for the window, and for the decoding 32 MiB and one block, decoded and as stored (which
    /// is less, and is not read beyond twice the decoded size).
    pub fn plan(&self, rows_wanted: usize, bytes_max: usize) -> Plan {
        let layout = &self.layout;
        let whole = self.window();
        let units = |cells: usize, block: usize| cells.div_ceil(block);
        let mut bands = layout.bands;
        let mut cols = layout.blocks_across();
        let mut rows = units(rows_wanted.clamp(1, layout.height), layout.coding.rows);
        let bytes = |bands: usize, rows: usize, cols: usize| {
            let cells = (bands as u128) * (rows * layout.coding.rows) as u128 * (cols * layout.coding.cols) as u128;
            usize::try_from(cells * layout.dtype.size() as u128).unwrap_or(usize::MAX)
        };
        let bytes_max = bytes_max.clamp(1, WINDOW_BYTES_MAX);
        rows = rows.min(bytes_max / bytes(bands, 1, cols).max(1)).max(1);
        cols = cols.min(bytes_max / bytes(bands, rows, 1).max(1)).max(1);
        if layout.planar {
            bands = bands.min(bytes_max / bytes(1, rows, cols).max(1)).max(1);
        }
        let step = [bands, rows * layout.coding.rows, cols * layout.coding.cols];
        let counts = [units(whole.bands.len(), step[0]), units(whole.rows.len(), step[1]), units(whole.cols.len(), step[2])];
        Plan { whole, step, counts, next: 0 }
    }

    /// The cells of a window as (band, y, x), as stored: neither scaled nor masked.
    ///
    /// Blocks that the file leaves out read as nodata, or 0 if there is no nodata value. An
    /// [`Invalid`](crate::ErrorKind::Invalid) error if the window is empty, leaves the image or comes to more than 1 GiB, or if the
    /// file is damaged.
    pub fn read(&mut self, window: &Window) -> Result<Array> {
        let whole = self.window();
        let inside = |part: &Range<usize>, all: &Range<usize>| part.start < part.end && part.end <= all.end;
        if !inside(&window.bands, &whole.bands) || !inside(&window.rows, &whole.rows) || !inside(&window.cols, &whole.cols) {
            return Err(Error::invalid(format!("the window {window:?} is not within the image, {whole:?}")));
        }
        let bytes = window.shape().iter().try_fold(self.layout.dtype.size(), |bytes, len| bytes.checked_mul(*len));
        if bytes.is_none_or(|bytes| bytes > WINDOW_BYTES_MAX) {
            let limit = WINDOW_BYTES_MAX >> 20;
            return Err(Error::invalid(format!("the window {window:?} is more than {limit} MiB; read it in parts")));
        }
        with_dtype!(self.layout.dtype, |T| self.read_typed::<T>(window).map(Array::from))
    }

    fn read_typed<T: Cell>(&mut self, window: &Window) -> Result<ArrayD<T>> {
        let nodata = self.header.nodata.as_ref().and_then(|cell| cell.as_slice::<T>()?.first().copied());
        let fill = nodata.unwrap_or(T::zeroed());
        let mut out = ArrayD::from_elem(IxDyn(&window.shape()), fill);
        let block_bytes = self.layout.block_bytes();
        let (mut batch, mut batch_bytes) = (Vec::new(), 0);
        let planes = if self.layout.planar { window.bands.clone() } else { 0..1 };
        let rows = block_range(&window.rows, self.layout.coding.rows);
        let cols = block_range(&window.cols, self.layout.coding.cols);
        for plane in planes {
            for row in rows.clone() {
                let first = (plane * self.layout.blocks_down() + row) * self.layout.blocks_across() + cols.start;
                let extents = self.layout.extents(&mut self.source, first, cols.len())?;
                for (col, extent) in cols.clone().zip(extents) {
                    let Some((offset, len)) = extent else { continue };
                    let what = format!("the block in row {row} and column {col}");
                    let bytes = self.source.bytes(offset, len, &what)?;
                    batch_bytes += block_bytes.max(bytes.len());
                    batch.push(Raw { plane, row, col, bytes });
                    if batch_bytes >= BATCH_BYTES_MAX {
                        self.decode(&mut batch, window, &mut out)?;
                        batch_bytes = 0;
                    }
                }
            }
        }
        self.decode(&mut batch, window, &mut out)?;
        Ok(out)
    }

    /// Decodes the batch on all processors, copies it into place and empties it.
    fn decode<T: Cell>(&self, batch: &mut Vec<Raw>, window: &Window, out: &mut ArrayD<T>) -> Result<()> {
        let layout = &self.layout;
        let decoded: Vec<Result<Vec<T>>> = batch
            .par_iter()
            .map(|raw| {
                // The last strip may be shorter; a tile never is.
                let rows_left = layout.height - raw.row * layout.coding.rows;
                let rows = if layout.tiled { layout.coding.rows } else { rows_left.min(layout.coding.rows) };
                block::decode(&raw.bytes, &layout.coding, rows)
            })
            .collect();
        for (raw, cells) in batch.drain(..).zip(decoded) {
            let cells = cells.map_err(|cause| {
                cause.within(format!("the block in row {} and column {} of the TIFF is damaged", raw.row, raw.col))
            })?;
            place(&cells, &raw, layout, window, out)?;
        }
        Ok(())
    }
}

/// The bytes of one block as they stand in the file.
struct Raw {
    plane: usize,
    row: usize,
    col: usize,
    bytes: Vec<u8>,
}

/// The blocks that a range of cells touches.
fn block_range(cells: &Range<usize>, block: usize) -> Range<usize> {
    cells.start / block..cells.end.div_ceil(block)
}

/// Copies the part of a decoded block that lies in the window.
fn place<T: Cell>(cells: &[T], raw: &Raw, layout: &Layout, window: &Window, out: &mut ArrayD<T>) -> Result<()> {
    let coding = &layout.coding;
    let shape = IxDyn(&[coding.rows, coding.cols, coding.samples]);
    let block = ndarray::ArrayViewD::from_shape(shape, cells)
        .map_err(|cause| Error::invalid("a block has the wrong number of cells").because(cause))?;
    let overlap = |wanted: &Range<usize>, at: usize, len: usize| {
        let (start, end) = (wanted.start.max(at), wanted.end.min(at + len));
        (Slice::from(start - at..end - at), Slice::from(start - wanted.start..end - wanted.start))
    };
    let (from_rows, to_rows) = overlap(&window.rows, raw.row * coding.rows, coding.rows);
    let (from_cols, to_cols) = overlap(&window.cols, raw.col * coding.cols, coding.cols);
    // In a chunky file plane 0 has every band.
    let (from_bands, to_bands) = overlap(&window.bands, raw.plane, coding.samples);
    let mut from = block.slice_axis(Axis(0), from_rows);
    from.slice_axis_inplace(Axis(1), from_cols);
    from.slice_axis_inplace(Axis(2), from_bands);
    let mut to = out.slice_axis_mut(Axis(0), to_bands);
    to.slice_axis_inplace(Axis(1), to_rows);
    to.slice_axis_inplace(Axis(2), to_cols);
    to.assign(&from.permuted_axes(IxDyn(&[2, 0, 1])));
    Ok(())
}

/// The windows of one pass over an image, in the order of the file's blocks.
#[derive(Clone, Debug)]
pub struct Plan {
    whole: Window,
    /// Bands, rows and columns of a window.
    step: [usize; 3],
    /// Windows along bands, rows and columns.
    counts: [usize; 3],
    next: usize,
}

impl Iterator for Plan {
    type Item = Window;

    fn next(&mut self) -> Option<Window> {
        let [bands, rows, cols] = self.counts;
        if self.next >= bands * rows * cols {
            return None;
        }
        let at = [self.next / cols / rows, self.next / cols % rows, self.next % cols];
        self.next += 1;
        let part = |axis: usize, all: &Range<usize>| {
            let start = at[axis] * self.step[axis];
            start..(start + self.step[axis]).min(all.end)
        };
        Some(Window { bands: part(0, &self.whole.bands), rows: part(1, &self.whole.rows), cols: part(2, &self.whole.cols) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.counts.iter().product::<usize>() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Plan {}
