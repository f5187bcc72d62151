//! One block (tile or strip) from its bytes in the file to cells. Pure: safe to run on many
//! threads.

use flate2::{Decompress, FlushDecompress};

use super::codecs::{self, PictureCodec};
use super::directory::ByteOrder;
use super::layout::{Compression, RowPredictor};
use super::predictor;
use crate::array::{Cells, DType, block};
use crate::error::{Error, Result};

/// How the blocks of an image are coded.
#[derive(Clone, Debug)]
pub(super) struct Coding {
    pub(super) compression: Compression,
    pub(super) predictor: RowPredictor,
    pub(super) order: ByteOrder,
    /// Cells across a block.
    pub(super) cols: usize,
    /// Rows of a block.
    pub(super) rows: usize,
    /// Interleaved samples a cell.
    pub(super) samples: usize,
    pub(super) bits: SampleBits,
    /// What image codecs need to know.
    pub(super) codec: PictureCodec,
}

impl Coding {
    /// Bytes of a row of a block, decompressed; `size` is that of a cell.
    pub(super) fn row_bytes(&self, size: usize) -> usize {
        let cells = self.cols * self.samples;
        match self.bits {
            SampleBits::Whole => cells * size,
            SampleBits::Bits(bits) => {
                usize::try_from((cells as u64).saturating_mul(bits).div_ceil(8))
                    .unwrap_or(usize::MAX)
            }
            SampleBits::Half => cells * 2,
        }
    }
}

/// How a sample is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SampleBits {
    /// As the cell is.
    Whole,
    /// As an integer of so many bits, one after the other; rows begin at whole bytes.
    Bits(u64),
    /// As a float of 16 bits.
    Half,
}

/// The cells of a block in C order (row, column, sample). The block must hold `rows_needed` rows;
/// those beyond may be missing.
pub(super) fn decode(
    raw: &[u8],
    coding: &Coding,
    dtype: DType,
    rows_needed: usize,
) -> Result<Cells> {
    let row_cells = coding.cols * coding.samples;
    let size = dtype.size();
    let mut cells = Cells::filled(dtype, coding.rows * row_cells, 0.0);
    let bytes = cells.as_bytes_mut();
    let too_few = |got: usize, needed: usize| {
        Error::invalid(format!(
            "a block decodes to {got} bytes; {needed} are needed"
        ))
    };
    if coding.bits != SampleBits::Whole {
        let row_bytes = coding.row_bytes(size);
        let mut stored = vec![0; coding.rows * row_bytes];
        let got = decompress(raw, coding, &mut stored)?;
        if got < rows_needed * row_bytes {
            return Err(too_few(got, rows_needed * row_bytes));
        }
        let mut values = vec![0.0; row_cells];
        for (row, cells) in stored
            .chunks_exact(row_bytes)
            .zip(bytes.chunks_exact_mut(row_cells * size))
        {
            match coding.bits {
                SampleBits::Bits(bits) => {
                    unpack_bits_row(row, bits, &mut values);
                    if dtype.is_signed() {
                        extend_signs(bits, &mut values);
                    }
                }
                _ => unpack_halves(row, coding.order, &mut values),
            }
            block::store(dtype, &values, cells);
        }
        return Ok(cells);
    }
    let needed = rows_needed * row_cells * size;
    let got = decompress(raw, coding, bytes)?;
    if got < needed {
        return Err(too_few(got, needed));
    }
    // What codecs give is in the file's order too: writers swap bytes before they encode.
    if coding.predictor != RowPredictor::FloatingPoint && !coding.order.is_native() {
        predictor::swap_bytes(bytes, size);
    }
    match coding.predictor {
        RowPredictor::None => {}
        RowPredictor::Horizontal => {
            bytes
                .chunks_exact_mut(row_cells * size)
                .for_each(|row| predictor::integrate(row, size, coding.samples));
        }
        RowPredictor::FloatingPoint => {
            let mut scratch = Vec::new();
            for row in bytes.chunks_exact_mut(row_cells * size) {
                predictor::join_planes(row, size, coding.samples, &mut scratch);
            }
        }
    }
    Ok(cells)
}

/// Unsigned integers of some bits, the highest bit first.
fn unpack_bits_row(row: &[u8], bits: u64, values: &mut [f64]) {
    let (mut held, mut count) = (0_u64, 0);
    let mut bytes = row.iter();
    for to in values {
        while count < bits {
            held = held << 8 | u64::from(bytes.next().copied().unwrap_or(0));
            count += 8;
        }
        count -= bits;
        let value = held >> count;
        held &= (1 << count) - 1;
        // At most 31 bits, which a double has exactly.
        *to = value as f64;
    }
}

/// Makes signed integers of unsigned ones of some bits, below 64: the highest bit is the sign.
fn extend_signs(bits: u64, values: &mut [f64]) {
    let beyond = (1_u64 << bits) as f64;
    let negative = values.iter_mut().filter(|value| **value >= beyond / 2.0);
    negative.for_each(|value| *value -= beyond);
}

fn unpack_halves(row: &[u8], order: ByteOrder, values: &mut [f64]) {
    for (half, value) in row.chunks_exact(2).zip(values) {
        let bits = if order == ByteOrder::Little {
            [half[1], half[0]]
        } else {
            [half[0], half[1]]
        };
        *value = half_value(bits);
    }
}

/// The value of a float of 16 bits, the high byte first.
fn half_value([high, low]: [u8; 2]) -> f64 {
    let (exponent, fraction) = (
        i32::from(high >> 2 & 31),
        f64::from(u32::from(high & 3) << 8 | u32::from(low)),
    );
    let magnitude = match exponent {
        0 => fraction * (-24.0_f64).exp2(),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * f64::from(exponent - 15).exp2(),
    };
    if high & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// Fills `out` from the front and says how many bytes were written. Whatever the input holds beyond
/// `out` is left alone.
fn decompress(raw: &[u8], coding: &Coding, out: &mut [u8]) -> Result<usize> {
    match coding.compression {
        Compression::None => {
            let len = raw.len().min(out.len());
            out[..len].copy_from_slice(&raw[..len]);
            Ok(len)
        }
        Compression::Deflate => {
            let mut stream = Decompress::new(true);
            stream
                .decompress(raw, out, FlushDecompress::Finish)
                .map_err(|cause| damaged("Deflate").because(cause))?;
            usize::try_from(stream.total_out()).map_err(|_| damaged("Deflate"))
        }
        Compression::Zstd => zstd::bulk::decompress_to_buffer(raw, out)
            .map_err(|cause| damaged("Zstandard").because(cause)),
        Compression::Lzw => unpack_lzw(raw, out),
        Compression::PackBits => Ok(unpack_bits(raw, out)),
        Compression::Jpeg | Compression::WebP | Compression::Lerc | Compression::Lzma => {
            codecs::decode(raw, coding, out)
        }
    }
}

pub(super) fn damaged(compression: &str) -> Error {
    Error::invalid(format!("a block is not valid {compression} data"))
}

fn unpack_lzw(raw: &[u8], out: &mut [u8]) -> Result<usize> {
    let mut decoder = weezl::decode::Configuration::with_tiff_size_switch(weezl::BitOrder::Msb, 8)
        .with_yield_on_full_buffer(true)
        .build();
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
                let Some((&value, rest)) = raw.split_first() else {
                    break;
                };
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
