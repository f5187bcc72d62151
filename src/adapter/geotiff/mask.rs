//! The mask of a file, for cells of which no value can stand for absent data: one bit a cell, in a
//! directory of its own.

use std::io::{Seek, Write};

use ndarray::{ArrayView2, s};
use tiff::encoder::{TiffEncoder, TiffKind};

use super::directory::tag;
use super::layout::Compression;
use super::writer::{Fields, TILE, compress_bytes, failed};
use crate::error::{Error, Result};

/// What kind of directory it is: a transparency mask of the image before it.
const NEW_SUBFILE_TYPE: u16 = 254;
const MASK: u32 = 4;
const PHOTOMETRIC_MASK: u16 = 4;

/// Writes the directory of a mask behind that of its image; true is data.
pub(super) fn write<W: Write + Seek, K: TiffKind>(
    encoder: &mut TiffEncoder<W, K>,
    mask: ArrayView2<'_, bool>,
) -> Result<()> {
    let (height, width) = mask.dim();
    let number = |len: usize| {
        u32::try_from(len).map_err(|_| Error::invalid("the mask is too large for a GeoTIFF"))
    };
    let mut directory = encoder.image_directory().map_err(failed)?;
    let (mut offsets, mut counts) = (Vec::new(), Vec::new());
    for y in (0..height).step_by(TILE) {
        for x in (0..width).step_by(TILE) {
            let bytes = compress_bytes(&packed(mask, y, x), Compression::Deflate)?;
            offsets.push(directory.write_data(bytes.as_slice()).map_err(failed)?);
            counts.push(bytes.len() as u64);
        }
    }
    let mut put = Fields { directory };
    put.value(NEW_SUBFILE_TYPE, MASK)?;
    put.value(tag::WIDTH, number(width)?)?;
    put.value(tag::HEIGHT, number(height)?)?;
    put.value(tag::BITS_PER_SAMPLE, 1_u16)?;
    put.value(tag::COMPRESSION, Compression::Deflate.code())?;
    put.value(tag::PHOTOMETRIC, PHOTOMETRIC_MASK)?;
    put.value(tag::SAMPLES_PER_PIXEL, 1_u16)?;
    put.value(tag::PLANAR_CONFIGURATION, 1_u16)?;
    put.value(tag::TILE_WIDTH, number(TILE)?)?;
    put.value(tag::TILE_LENGTH, number(TILE)?)?;
    put.positions(tag::TILE_OFFSETS, &offsets)?;
    put.positions(tag::TILE_BYTE_COUNTS, &counts)?;
    put.value(tag::SAMPLE_FORMAT, 1_u16)?;
    put.directory.finish().map_err(failed)
}

/// One tile, eight cells a byte, the first in the highest bit. Beyond the edge there is no data.
fn packed(mask: ArrayView2<'_, bool>, y: usize, x: usize) -> Vec<u8> {
    let (height, width) = mask.dim();
    let mut bytes = vec![0_u8; TILE * TILE / 8];
    let part = mask.slice(s![y..height.min(y + TILE), x..width.min(x + TILE)]);
    for ((row, column), _) in part.indexed_iter().filter(|(_, valid)| **valid) {
        bytes[(row * TILE + column) / 8] |= 0x80 >> (column % 8);
    }
    bytes
}
