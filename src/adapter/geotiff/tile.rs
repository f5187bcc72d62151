//! Tiles of a raster: cut out, filled up beyond its edges, and compressed.

use std::io::Write;

use ndarray::{ArrayView2, s};

use super::layout::Compression;
use super::predictor;
use crate::array::{Cells, DType};
use crate::error::{Error, Result};

/// Cells (band, y, x) in C order.
#[derive(Clone, Copy)]
pub(super) struct TileRaster<'a> {
    pub(super) dtype: DType,
    pub(super) shape: [usize; 3],
    pub(super) cells: &'a [u8],
}

/// How tiles are made: cells each way, and what becomes of their bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiling {
    pub(super) side: usize,
    pub(super) compression: Compression,
}

impl Tiling {
    /// The tile of a band whose upper left cell is this row and column.
    pub(super) fn of_cells(
        self,
        raster: TileRaster<'_>,
        [band, y, x]: [usize; 3],
    ) -> Result<Vec<u8>> {
        let mut tile = cut(raster, self.side, [band, y, x]);
        let (bytes, size) = (tile.as_bytes_mut(), raster.dtype.size());
        if self.compression == Compression::None {
            return Ok(bytes.to_vec());
        }
        let mut scratch = Vec::new();
        for row in bytes.chunks_exact_mut(self.side * size) {
            if raster.dtype.is_float() {
                predictor::split_planes(row, size, 1, &mut scratch);
            } else {
                predictor::differentiate(row, size, 1);
            }
        }
        compressed(bytes, self.compression)
    }

    /// The same of a mask, eight cells a byte, the first in the highest bit; true is data. Beyond
    /// the edge there is none. It is compressed as the cells are, but that a mask always is.
    pub(super) fn of_mask(self, mask: ArrayView2<'_, bool>, [y, x]: [usize; 2]) -> Result<Vec<u8>> {
        let ((height, width), side) = (mask.dim(), self.side);
        let mut bytes = vec![0_u8; side * side / 8];
        let part = mask.slice(s![y..height.min(y + side), x..width.min(x + side)]);
        for ((row, column), _) in part.indexed_iter().filter(|(_, valid)| **valid) {
            bytes[(row * side + column) / 8] |= 0x80 >> (column % 8);
        }
        compressed(&bytes, self.of_masks())
    }

    /// The compression of masks.
    pub(super) fn of_masks(self) -> Compression {
        match self.compression {
            Compression::None => Compression::Deflate,
            other => other,
        }
    }
}

/// One tile in C order. Beyond the edge the last column and row are repeated, which costs next to
/// nothing compressed.
fn cut(raster: TileRaster<'_>, side: usize, [band, y, x]: [usize; 3]) -> Cells {
    let ([_, height, width], size) = (raster.shape, raster.dtype.size());
    let (rows, cols) = (side.min(height - y), side.min(width - x));
    let mut tile = Cells::filled(raster.dtype, side * side, 0.0);
    let bytes = tile.as_bytes_mut();
    for row in 0..rows {
        let from = ((band * height + y + row) * width + x) * size;
        let to = &mut bytes[row * side * size..(row + 1) * side * size];
        to[..cols * size].copy_from_slice(&raster.cells[from..from + cols * size]);
        for col in cols..side {
            to.copy_within((col - 1) * size..col * size, col * size);
        }
    }
    for row in rows..side {
        bytes.copy_within(
            (row - 1) * side * size..row * side * size,
            row * side * size,
        );
    }
    tile
}

fn compressed(bytes: &[u8], compression: Compression) -> Result<Vec<u8>> {
    let cannot =
        |cause: std::io::Error| Error::unavailable("a tile cannot be compressed").because(cause);
    match compression {
        Compression::None => Ok(bytes.to_vec()),
        Compression::Deflate => {
            // Of cells behind their predictor the best level makes a tenth less, in ten times the
            // time.
            let mut stream =
                flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            stream
                .write_all(bytes)
                .and_then(|()| stream.finish())
                .map_err(cannot)
        }
        Compression::Zstd => zstd::bulk::compress(bytes, ZSTD_LEVEL).map_err(cannot),
        other => Err(refused(other)),
    }
}

/// The level that writes as fast as cells are read; the default one makes a fiftieth less.
const ZSTD_LEVEL: i32 = 1;

/// The error for a compression that is only read.
pub(super) fn refused(compression: Compression) -> Error {
    Error::invalid(format!(
        "GeoTIFFs are not written with {compression:?}; use None, Deflate or Zstd"
    ))
}
