//! Windows of an image out of its blocks.

use std::io::{Read, Seek};
use std::ops::Range;

use rayon::prelude::*;

use super::block;
use super::directory::TiffBytes;
use super::layout::{Compression, ImageLayout};
use super::reader::ImageWindow;
use super::tall::Tall;
use crate::array::Cells;
use crate::error::Result;

/// Blocks are decoded together until they come to this many bytes, so that all processors have
/// work.
const BATCH_BYTES_MAX: usize = 32 << 20;

/// An image of a file: how it is laid out, and where reading a strip that is too large for memory
/// has come to.
#[derive(Debug)]
pub(super) struct TileImage {
    pub(super) layout: ImageLayout,
    tall: Tall,
}

impl TileImage {
    pub(super) fn new(layout: ImageLayout) -> Self {
        Self {
            layout,
            tall: Tall::default(),
        }
    }

    /// The cells of a window, whose bands are samples, as (sample, y, x). Blocks that the file
    /// leaves out have the cell `fill`, or 0.
    pub(super) fn read<R: Read + Seek>(
        &mut self,
        source: &mut TiffBytes<R>,
        window: &ImageWindow,
        fill: Option<&Cells>,
    ) -> Result<Cells> {
        let len = window.shape().iter().product();
        let mut out = Cells::filled(self.layout.dtype, len, 0.0);
        if let Some(fill) = fill.filter(|fill| fill.dtype() == self.layout.dtype && fill.len() == 1)
        {
            out.as_bytes_mut()
                .chunks_exact_mut(fill.as_bytes().len())
                .for_each(|cell| cell.copy_from_slice(fill.as_bytes()));
        }
        let (block_bytes, part_bytes) = (self.layout.block_bytes(), self.layout.stored_bytes());
        let (mut batch, mut batch_bytes) = (Vec::new(), 0);
        let planes = if self.layout.planar {
            window.bands.clone()
        } else {
            0..1
        };
        let rows = block_range(&window.rows, self.layout.coding.rows);
        let cols = block_range(&window.cols, self.layout.coding.cols);
        for plane in planes {
            for row in rows.clone() {
                let first = (plane * self.layout.blocks_down() + row) * self.layout.blocks_across()
                    + cols.start;
                let extents = self.layout.extents(source, first, cols.len())?;
                for (col, extent) in cols.clone().zip(extents) {
                    let Some(extent) = extent else { continue };
                    let what = format!("the block in row {row} and column {col}");
                    let bytes = if self.layout.is_tall() {
                        self.tall.read(
                            source,
                            self.layout.coding.compression,
                            extent,
                            part_bytes,
                        )?
                    } else {
                        source.bytes(extent.offset, extent.len, &what)?
                    };
                    batch_bytes += block_bytes.max(bytes.len());
                    batch.push(Raw {
                        plane,
                        row,
                        col,
                        bytes,
                    });
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
fn decode(
    layout: &ImageLayout,
    batch: &mut Vec<Raw>,
    window: &ImageWindow,
    out: &mut Cells,
) -> Result<()> {
    let mut coding = layout.coding.clone();
    if layout.is_tall() {
        // Parts of strips come decompressed.
        coding.compression = Compression::None;
    }
    let decoded: Vec<Result<Cells>> = batch
        .par_iter()
        .map(|raw| {
            // The last strip may be shorter; a tile never is.
            let rows_left = layout.height - raw.row * layout.coding.rows;
            let rows = if layout.tiled {
                layout.coding.rows
            } else {
                rows_left.min(layout.coding.rows)
            };
            block::decode(&raw.bytes, &coding, layout.dtype, rows)
        })
        .collect();
    for (raw, cells) in batch.drain(..).zip(decoded) {
        let cells = cells.map_err(|cause| {
            cause.within(format!(
                "the block in row {} and column {} of the TIFF is damaged",
                raw.row, raw.col
            ))
        })?;
        place(cells.as_bytes(), &raw, layout, window, out.as_bytes_mut());
    }
    Ok(())
}

/// The bytes of one block as they stand in the file, or, of a strip that is read in parts,
/// decompressed.
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

/// Copies the part of a decoded block, (y, x, sample), that lies in the window, (sample, y, x).
fn place(cells: &[u8], raw: &Raw, layout: &ImageLayout, window: &ImageWindow, out: &mut [u8]) {
    let (coding, size) = (&layout.coding, layout.dtype.size());
    let overlap = |wanted: &Range<usize>, at: usize, len: usize| {
        wanted.start.max(at)..wanted.end.min(at + len)
    };
    let (top, left) = (raw.row * coding.rows, raw.col * coding.cols);
    let rows = overlap(&window.rows, top, coding.rows);
    let cols = overlap(&window.cols, left, coding.cols);
    // In a chunky file plane 0 has every band.
    let bands = overlap(&window.bands, raw.plane, coding.samples);
    let [_, height, width] = window.shape();
    for row in rows {
        let from = (row - top) * coding.cols + cols.start - left;
        let from =
            &cells[from * coding.samples * size..(from + cols.len()) * coding.samples * size];
        for band in bands.clone() {
            let to = ((band - window.bands.start) * height + row - window.rows.start) * width
                + cols.start
                - window.cols.start;
            let to = &mut out[to * size..(to + cols.len()) * size];
            if coding.samples == 1 {
                to.copy_from_slice(from);
                continue;
            }
            let sample = band - raw.plane;
            match size {
                1 => pick::<1>(from, coding.samples, sample, to),
                2 => pick::<2>(from, coding.samples, sample, to),
                4 => pick::<4>(from, coding.samples, sample, to),
                _ => pick::<8>(from, coding.samples, sample, to),
            }
        }
    }
}

/// One of the interleaved samples of a row, of `N` bytes each.
fn pick<const N: usize>(from: &[u8], samples: usize, sample: usize, to: &mut [u8]) {
    let from = from.as_chunks::<N>().0.iter().skip(sample).step_by(samples);
    to.as_chunks_mut::<N>()
        .0
        .iter_mut()
        .zip(from)
        .for_each(|(to, from)| *to = *from);
}
