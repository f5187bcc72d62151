//! Buffers of Blosc 1 with a byte shuffle and zstd, of one block each.
//!
//! The format is that of c-blosc ("README_CHUNK_FORMAT.rst"): a header of 16 bytes, the offset of
//! the block, and its length.

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

/// A buffer of cells of a size, of which there are less than 2 GiB.
pub(super) fn compress(cells: &[u8], size: usize) -> Result<Vec<u8>> {
    let failed = |what: String| Error::invalid(format!("a chunk cannot be compressed: {what}"));
    let bytes = i32::try_from(cells.len()).map_err(|_| {
        failed(format!(
            "it has {} bytes, more than Blosc takes",
            cells.len()
        ))
    })?;
    let typesize = u8::try_from(size).map_err(|_| failed(format!("cells of {size} bytes")))?;
    let shuffled = if size > 1 {
        Some(shuffle(cells, size))
    } else {
        None
    };
    let frame = zstd::bulk::compress(shuffled.as_deref().unwrap_or(cells), LEVEL)
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
    let length = |len: usize| {
        i32::try_from(len).map_err(|_| failed("it is larger than Blosc takes".to_owned()))
    };
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

/// The first bytes of all cells, then the second ones, and so on.
fn shuffle(cells: &[u8], size: usize) -> Vec<u8> {
    let count = cells.len() / size;
    let mut out = vec![0; cells.len()];
    for (byte, plane) in out.chunks_exact_mut(count.max(1)).enumerate().take(size) {
        let of_cells = cells.iter().skip(byte).step_by(size);
        plane
            .iter_mut()
            .zip(of_cells)
            .for_each(|(to, from)| *to = *from);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with python-blosc 1.11.
    #[test]
    fn cells_are_shuffled_by_their_bytes() {
        assert_eq!(shuffle(&[1, 2, 3, 4, 5, 6], 2), [1, 3, 5, 2, 4, 6]);
        assert_eq!(shuffle(&[], 4), [0_u8; 0]);
    }

    #[test]
    fn a_buffer_says_how_long_it_is() {
        let number = |bytes: &[u8], at: usize| {
            u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"))
        };
        for (cells, size) in [
            (vec![7_u8; 4096], 1),
            (vec![7; 4096], 8),
            (vec![1, 2, 3, 4], 4),
            (Vec::new(), 2),
        ] {
            let buffer = compress(&cells, size).expect("small");
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
