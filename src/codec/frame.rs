//! One zstd frame, with contexts and buffers that a thread keeps.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{
    CParameter, DParameter, compress_bound, find_frame_compressed_size, get_frame_content_size,
};

use super::DecodeError;

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The frame header descriptor follows the magic number. Of its low five bits (dictionary id,
/// checksum, reserved and unused) only that of the checksum is set.
const DESCRIPTOR_MASK: u8 = 0b0001_1111;
const DESCRIPTOR: u8 = 0b0000_0100;

/// A buffer beyond this size is given back after use.
const KEPT_BYTES_MAX: usize = 16 << 20;

#[derive(Default)]
struct Scratch {
    compressor: Option<(i32, Compressor<'static>)>,
    decompressor: Option<Decompressor<'static>>,
    plain: Vec<u8>,
    packed: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Compresses the `len` bytes that `fill` writes and hands the frame to `then`; nothing if it has
/// `most` bytes or more.
pub(super) fn compress<R>(
    (len, most): (usize, usize),
    level: i32,
    fill: impl FnOnce(&mut [u8]),
    then: impl FnOnce(Option<&[u8]>) -> R,
) -> R {
    // Taken out and put back, so that a panic in a closure leaves no borrow behind.
    let mut scratch = SCRATCH.take();
    grow(&mut scratch.plain, len);
    grow(&mut scratch.packed, compress_bound(len));
    let Scratch {
        compressor,
        plain,
        packed,
        ..
    } = &mut scratch;
    let plain = &mut plain[..len];
    fill(plain);
    if compressor.as_ref().is_none_or(|(at, _)| *at != level) {
        *compressor = open_compressor(level)
            .ok()
            .map(|compressor| (level, compressor));
    }
    // zstd fails here only without memory; the cells are then stored as they are.
    let written = compressor
        .as_mut()
        .and_then(|(_, c)| c.compress_to_buffer(plain, packed.as_mut_slice()).ok());
    let result = then(
        written
            .filter(|&written| written < most)
            .map(|written| &packed[..written]),
    );
    give_back(scratch);
    result
}

fn open_compressor(level: i32) -> std::io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(level)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    Ok(compressor)
}

/// Decompresses a payload that must be one frame of `len` bytes, and hands the bytes to `then`.
pub(super) fn decompress<R>(
    payload: &[u8],
    len: usize,
    then: impl FnOnce(&[u8]) -> R,
) -> Result<R, DecodeError> {
    check(payload, len)?;
    let mut scratch = SCRATCH.take();
    grow(&mut scratch.plain, len);
    let Scratch {
        decompressor,
        plain,
        ..
    } = &mut scratch;
    if decompressor.is_none() {
        *decompressor = open_decompressor().ok();
    }
    let plain = &mut plain[..len];
    let written = decompressor
        .as_mut()
        .and_then(|decompressor| decompressor.decompress_to_buffer(payload, plain).ok());
    let result = match written {
        Some(written) if written == len => Ok(then(plain)),
        Some(_) => Err(DecodeError::Frame {
            reason: "holds fewer bytes than it says",
        }),
        None => Err(DecodeError::Frame {
            reason: "is refused by zstd",
        }),
    };
    give_back(scratch);
    result
}

fn open_decompressor() -> std::io::Result<Decompressor<'static>> {
    let mut decompressor = Decompressor::new()?;
    // The plane's own checksum has vouched for the frame already; the frame's is for those who are
    // served the frame alone.
    decompressor.set_parameter(DParameter::ForceIgnoreChecksum(true))?;
    Ok(decompressor)
}

/// What zstd itself would let pass: skippable and further frames, frames without size or checksum.
fn check(payload: &[u8], len: usize) -> Result<(), DecodeError> {
    let wrong = |reason| Err(DecodeError::Frame { reason });
    if !payload.starts_with(&MAGIC) {
        return wrong("does not start with the magic number");
    }
    if payload
        .get(MAGIC.len())
        .is_none_or(|descriptor| descriptor & DESCRIPTOR_MASK != DESCRIPTOR)
    {
        return wrong("has no checksum, or flags that are not used here");
    }
    match get_frame_content_size(payload) {
        Ok(Some(size)) if usize::try_from(size) == Ok(len) => {}
        _ => return wrong("does not state the size of the cells"),
    }
    match find_frame_compressed_size(payload) {
        Ok(size) if size == payload.len() => Ok(()),
        _ => wrong("is not the whole payload"),
    }
}

fn grow(buffer: &mut Vec<u8>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
}

fn give_back(mut scratch: Scratch) {
    for buffer in [&mut scratch.plain, &mut scratch.packed] {
        if buffer.len() > KEPT_BYTES_MAX {
            *buffer = Vec::new();
        }
    }
    SCRATCH.set(scratch);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: &[u8]) -> Vec<u8> {
        compress(
            (bytes.len(), bytes.len()),
            1,
            |plain| plain.copy_from_slice(bytes),
            |packed| packed.expect("it shrinks").to_vec(),
        )
    }

    fn refusal(payload: &[u8], len: usize) -> DecodeError {
        decompress(payload, len, <[u8]>::to_vec).expect_err("refused")
    }

    #[test]
    fn i2_only_one_frame_with_size_and_checksum_is_accepted() {
        let bytes = vec![7; 1000];
        let good = frame(&bytes);
        assert_eq!(decompress(&good, 1000, <[u8]>::to_vec), Ok(bytes.clone()));
        assert_eq!(
            refusal(&good, 999),
            DecodeError::Frame {
                reason: "does not state the size of the cells"
            }
        );
        let whole = DecodeError::Frame {
            reason: "is not the whole payload",
        };
        assert_eq!(refusal(&[good.clone(), good.clone()].concat(), 1000), whole);
        assert_eq!(refusal(&[good.as_slice(), &[0]].concat(), 1000), whole);
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
        assert_eq!(
            refusal(&[good.as_slice(), &skippable].concat(), 1000),
            whole
        );
        let magic = DecodeError::Frame {
            reason: "does not start with the magic number",
        };
        assert_eq!(
            refusal(&[skippable.as_slice(), &good].concat(), 1000),
            magic
        );
        assert_eq!(refusal(&[], 1000), magic);
        let flags = DecodeError::Frame {
            reason: "has no checksum, or flags that are not used here",
        };
        assert_eq!(refusal(&MAGIC, 1000), flags);
        let unchecked = zstd::bulk::compress(&bytes, 1).expect("compresses");
        assert_eq!(refusal(&unchecked, 1000), flags);
        let mut streamed = zstd::Encoder::new(Vec::new(), 1).expect("opens");
        streamed
            .include_checksum(true)
            .expect("before the first byte");
        std::io::Write::write_all(&mut streamed, &bytes).expect("into memory");
        let unsized_frame = streamed.finish().expect("into memory");
        assert_eq!(
            refusal(&unsized_frame, 1000),
            DecodeError::Frame {
                reason: "does not state the size of the cells"
            }
        );
    }
}
