//! Windows of an image out of its blocks.

use std::io::{Read, Seek};
use std::ops::Range;

use ndarray::{ArrayD, Axis, IxDyn, Slice};
use rayon::prelude::*;

use super::block;
use super::directory::Source;
use super::layout::{Compression, Layout};
use super::reader::Window;
use super::tall::Tall;
use crate::array::Cell;
use crate::error::{Error, Result};

/// Blocks are decoded together until they come to this many bytes, so that all processors have work.
const BATCH_BYTES_MAX: usize = 32 << 20;

/// An image of a file: how it is laid out, and where reading a strip that is too large for memory has come to.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) layout: Layout,
    tall: Tall,
}

impl Image {
    pub(super) fn new(layout: Layout) -> Self {
        Self { layout, tall: Tall::default() }
    }

    /// The cells of a window, whose bands are samples, as (sample, y, x). Blocks that the file leaves out have `fill`.
    pub(super) fn read<T: Cell, R: Read + Seek>(
        &mut self,
        source: &mut Source<R>,
        window: &Window,
        fill: T,
    ) -> Result<ArrayD<T>> {
        let mut out = ArrayD::from_elem(IxDyn(&window.shape()), fill);
        let (block_bytes, part_bytes) = (self.layout.block_bytes(), self.layout.stored_bytes());
        let (mut batch, mut batch_bytes) = (Vec::new(), 0);
        let planes = if self.layout.planar { window.bands.clone() } else { 0..1 };
        let rows = block_range(&window.rows, self.layout.coding.rows);
        let cols = block_range(&window.cols, self.layout.coding.cols);
        for plane in planes {
            for row in rows.clone() {
                let first = (plane * self.layout.blocks_down() + row) * self.layout.blocks_across() + cols.start;
                let extents = self.layout.extents(source, first, cols.len())?;
                for (col, extent) in cols.clone().zip(extents) {
                    let Some(extent) = extent else { continue };
                    let what = format!("the block in row {row} and column {col}");
                    let bytes = if self.layout.is_tall() {
                        self.tall.read(source, self.layout.coding.compression, extent, part_bytes)?
                    } else {
                        source.bytes(extent.offset, extent.len, &what)?
                    };
                    batch_bytes += block_bytes.max(bytes.len());
                    batch.push(Raw { plane, row, col, bytes });
                    if batch_bytes >= BATCH_BYTES_MAX {
                        decode(&self.layout, &mut batch, window, &mut out)?;
                        batch_bytes = 0;
                    }
                }
            }
        }
        decode(&self.layout, &mut batch, window, &mut out)?;
        Ok(out)
    }
}

/// Decodes the batch on all processors, copies it into place and empties it.
fn decode<T: Cell>(layout: &Layout, batch: &mut Vec<Raw>, window: &Window, out: &mut ArrayD<T>) -> Result<()> {
    let mut coding = layout.coding.clone();
    if layout.is_tall() {
        // Parts of strips come decompressed.
        coding.compression = Compression::None;
    }
    let decoded: Vec<Result<Vec<T>>> = batch
        .par_iter()
        .map(|raw| {
            // The last strip may be shorter; a tile never is.
            let rows_left = layout.height - raw.row * layout.coding.rows;
            let rows = if layout.tiled { layout.coding.rows } else { rows_left.min(layout.coding.rows) };
            block::decode(&raw.bytes, &coding, rows)
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

/// The bytes of one block as they stand in the file, or, of a strip that is read in parts, decompressed.
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
