//! Buffers of Blosc 1 with a byte shuffle and zstd, of one block each.
//!
//! The format is that of c-blosc ("README_CHUNK_FORMAT.rst"): a header of 16 bytes, the offset of
//! the block, and its length.

use std::borrow::Cow;

use crate::array::Cells;
use crate::codec;
use crate::error::{Error, Result};

const VERSION: u8 = 2;
const ZSTD_VERSION: u8 = 1;
/// Bits of the flags: shuffled bytes, a copy, a block that is not split, and zstd.
const SHUFFLED: u8 = 1;
const COPIED: u8 = 2;
const WHOLE: u8 = 1 << 4;
const ZSTD: u8 = 4 << 5;
const HEADER: usize = 16;
/// The level of zstd: the fastest.
pub(super) const LEVEL: i32 = 1;

/// A buffer of cells, which have less than 2 GiB.
pub(super) fn compress(cells: &Cells) -> Result<Vec<u8>> {
    let failed = |what: String| Error::invalid(format!("a chunk cannot be compressed: {what}"));
    let length = |len: usize| {
        i32::try_from(len).map_err(|_| failed(format!("it has {len} bytes, more than Blosc takes")))
    };
    let (size, cells, planes) = match cells.dtype().size() {
        1 => (1, cells.as_bytes(), Cow::Borrowed(cells.as_bytes())),
        size => (size, cells.as_bytes(), Cow::Owned(codec::shuffled(cells))),
    };
    let bytes = length(cells.len())?;
    let typesize = u8::try_from(size).map_err(|_| failed(format!("cells of {size} bytes")))?;
    let frame = zstd::bulk::compress(&planes, LEVEL)
        .map_err(|cause| failed("zstd fails".to_owned()).because(cause))?;
    let is_copy = frame.len() >= cells.len();
    let flags = match (is_copy, size) {
        (true, _) => COPIED,
        (false, 1) => ZSTD | WHOLE,
        (false, _) => ZSTD | WHOLE | SHUFFLED,
    };
    let body = if is_copy {
        cells.len()
    } else {
        frame.len() + 8
    };
    let mut out = Vec::with_capacity(HEADER + body);
    out.extend([VERSION, ZSTD_VERSION, flags, typesize]);
    out.extend(bytes.to_le_bytes());
    out.extend(bytes.to_le_bytes());
    out.extend(length(HEADER + body)?.to_le_bytes());
    if is_copy {
        out.extend(cells);
    } else {
        out.extend(length(HEADER + 4)?.to_le_bytes());
        out.extend(length(frame.len())?.to_le_bytes());
        out.extend(frame);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_says_how_long_it_is() {
        let number = |bytes: &[u8], at: usize| {
            u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"))
        };
        for cells in [
            Cells::from(vec![7_u8; 4096]),
            vec![7_u64; 512].into(),
            vec![1_i32].into(),
            Vec::<u16>::new().into(),
        ] {
            let buffer = compress(&cells).expect("small");
            let cells = cells.as_bytes();
            assert_eq!(number(&buffer, 4) as usize, cells.len());
            assert_eq!(number(&buffer, 8) as usize, cells.len());
            assert_eq!(number(&buffer, 12) as usize, buffer.len());
            let is_copy = buffer[2] & COPIED != 0;
            assert_eq!(
                is_copy,
                cells.len() < 16,
                "what is not smaller is kept as it is"
            );
        }
    }
}
