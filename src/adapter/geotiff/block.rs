//! One block (tile or strip) from its bytes in the file to cells. Pure: safe to run on many threads.

use flate2::{Decompress, FlushDecompress};

use super::directory::ByteOrder;
use super::layout::{Compression, Predictor};
use super::predictor;
use crate::array::Cell;
use crate::error::{Error, Result};

/// How the blocks of an image are coded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coding {
    pub(super) compression: Compression,
    pub(super) predictor: Predictor,
    pub(super) order: ByteOrder,
    /// Cells across a block.
    pub(super) cols: usize,
    /// Rows of a block.
    pub(super) rows: usize,
    /// Interleaved samples a cell.
    pub(super) samples: usize,
}

/// The cells of a block in C order (row, column, sample). The block must hold `rows_needed` rows; those beyond may be missing.
pub(super) fn decode<T: Cell>(raw: &[u8], coding: &Coding, rows_needed: usize) -> Result<Vec<T>> {
    let row_cells = coding.cols * coding.samples;
    let size = size_of::<T>();
    let mut cells = vec![T::zeroed(); coding.rows * row_cells];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut cells);
    let needed = rows_needed * row_cells * size;
    let got = decompress(raw, coding.compression, bytes)?;
    if got < needed {
        return Err(Error::invalid(format!("a block decodes to {got} bytes; {needed} are needed")));
    }
    if coding.predictor != Predictor::FloatingPoint && !coding.order.is_native() {
        predictor::swap_bytes(bytes, size);
    }
    match coding.predictor {
        Predictor::None => {}
        Predictor::Horizontal => {
            bytes.chunks_exact_mut(row_cells * size).for_each(|row| predictor::integrate(row, size, coding.samples));
        }
        Predictor::FloatingPoint => {
            let mut scratch = Vec::new();
            for row in bytes.chunks_exact_mut(row_cells * size) {
                predictor::join_planes(row, size, coding.samples, &mut scratch);
            }
        }
    }
    Ok(cells)
}

/// Fills `out` from the front and says how many bytes were written. Whatever the input holds beyond `out` is left alone.
fn decompress(raw: &[u8], compression: Compression, out: &mut [u8]) -> Result<usize> {
    match compression {
        Compression::None => {
            let len = raw.len().min(out.len());
            out[..len].copy_from_slice(&raw[..len]);
            Ok(len)
        }
        Compression::Deflate => {
            let mut stream = Decompress::new(true);
            stream.decompress(raw, out, FlushDecompress::Finish).map_err(|cause| damaged("Deflate").because(cause))?;
            usize::try_from(stream.total_out()).map_err(|_| damaged("Deflate"))
        }
        Compression::Zstd => zstd::bulk::decompress_to_buffer(raw, out).map_err(|cause| damaged("Zstandard").because(cause)),
        Compression::Lzw => unpack_lzw(raw, out),
        Compression::PackBits => Ok(unpack_bits(raw, out)),
    }
}

fn damaged(compression: &str) -> Error {
    Error::invalid(format!("a block is not valid {compression} data"))
}

fn unpack_lzw(raw: &[u8], out: &mut [u8]) -> Result<usize> {
    let mut decoder =
        weezl::decode::Configuration::with_tiff_size_switch(weezl::BitOrder::Msb, 8).with_yield_on_full_buffer(true).build();
    let (mut read, mut written) = (0, 0);
    while written < out.len() {
        let step = decoder.decode_bytes(&raw[read..], &mut out[written..]);
        read += step.consumed_in;
        written += step.consumed_out;
        match step.status {
            Ok(weezl::LzwStatus::Ok) if step.consumed_in + step.consumed_out > 0 => {}
            Ok(_) => break,
            Err(cause) => return Err(damaged("LZW").because(cause)),
        }
    }
    Ok(written)
}

fn unpack_bits(mut raw: &[u8], out: &mut [u8]) -> usize {
    let mut written = 0;
    while let Some((&head, rest)) = raw.split_first() {
        let room = out.len() - written;
        raw = rest;
        match head {
            0..=127 => {
                let len = (usize::from(head) + 1).min(raw.len()).min(room);
                out[written..written + len].copy_from_slice(&raw[..len]);
                raw = &raw[len..];
                written += len;
            }
            128 => {}
            129..=255 => {
                let Some((&value, rest)) = raw.split_first() else { break };
                let len = (257 - usize::from(head)).min(room);
                out[written..written + len].fill(value);
                raw = rest;
                written += len;
            }
        }
        if written == out.len() {
            break;
        }
    }
    written
}
