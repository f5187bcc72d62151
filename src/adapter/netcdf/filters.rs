//! The filters of HDF5 that are registered by others and read here.

use std::io::{Error, ErrorKind, Read, Result};

use hdf5_reader::FilterRegistry;

/// Zstandard, as registered with The HDF Group.
const ZSTD: u16 = 32_015;
/// LZF, which h5py writes.
const LZF: u16 = 32_000;

/// All filters; a chunk may come to so many bytes.
pub(super) fn registry(bytes_max: u64) -> FilterRegistry {
    let mut filters = FilterRegistry::new();
    let zstd = move |bytes: &[u8]| -> Result<Vec<u8>> {
        let mut cells = Vec::new();
        zstd::Decoder::new(bytes)?
            .take(bytes_max)
            .read_to_end(&mut cells)?;
        Ok(cells)
    };
    let lzf = move |bytes: &[u8]| lzf(bytes, usize::try_from(bytes_max).unwrap_or(usize::MAX));
    let refused = |cause: Error| hdf5_reader::error::Error::DecompressionError(cause.to_string());
    filters.register(
        ZSTD,
        Box::new(move |_, bytes, _| zstd(bytes).map_err(refused)),
    );
    filters.register(
        LZF,
        Box::new(move |_, bytes, _| lzf(bytes).map_err(refused)),
    );
    filters
}

/// What LZF has packed: runs of bytes as they are, and copies of what stands up to 8 KiB before.
fn lzf(packed: &[u8], bytes_max: usize) -> Result<Vec<u8>> {
    let damaged = |why: &str| Error::new(ErrorKind::InvalidData, format!("LZF: {why}"));
    let (mut out, mut at) = (Vec::new(), 0);
    while at < packed.len() {
        let head = usize::from(packed[at]);
        at += 1;
        if head < 32 {
            let run = packed.get(at..at + head + 1);
            out.extend(run.ok_or_else(|| damaged("a run is cut off"))?);
            at += head + 1;
        } else {
            let byte = |at: usize| {
                let byte = packed.get(at).copied().map(usize::from);
                byte.ok_or_else(|| damaged("a copy is cut off"))
            };
            let mut len = head >> 5;
            if len == 7 {
                len += byte(at)?;
                at += 1;
            }
            let back = ((head & 0x1f) << 8 | byte(at)?) + 1;
            at += 1;
            let from = out.len().checked_sub(back);
            let from = from.ok_or_else(|| damaged("a copy is of what stands before all"))?;
            // What is copied may reach into the copy.
            for cell in from..from + len + 2 {
                out.push(out[cell]);
            }
        }
        if out.len() > bytes_max {
            return Err(damaged("a chunk is too large"));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::lzf;

    #[test]
    fn lzf_is_runs_and_copies() {
        let all = |packed: &[u8]| lzf(packed, 1 << 20).map_err(|error| error.to_string());
        assert_eq!(all(&[]), Ok(vec![]));
        assert_eq!(all(&[2, 1, 2, 3]), Ok(vec![1, 2, 3]));
        // Two more than the length, from one before on.
        assert_eq!(all(&[0, 9, 3 << 5, 0]), Ok(vec![9; 6]));
        assert_eq!(all(&[1, 1, 2, 7 << 5, 3, 1]), Ok([1, 2].repeat(7)));
        for cut in [
            &[2, 1][..],
            &[0, 9, 3 << 5],
            &[0, 9, 7 << 5, 3],
            &[1 << 5, 0],
            &[0, 9, 1 << 5, 1],
        ] {
            all(cut).expect_err("damaged");
        }
        lzf(&[0, 9, 7 << 5, 255, 0], 100).expect_err("too large");
    }
}
