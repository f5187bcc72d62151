//! The TIFF predictors: a row as differences (2), and a row of floats as differences of byte planes
//! (3).
//!
//! Both are pure functions on the bytes of one row of `samples` interleaved samples of `size`
//! bytes, in this machine's order.

use bytemuck::{AnyBitPattern, NoUninit};

/// Undoes predictor 2: every sample is the sum of its difference and the sample of the same band to
/// its left.
pub(super) fn integrate(row: &mut [u8], size: usize, samples: usize) {
    macro_rules! sums {
        ($type:ty) => {
            on_words::<$type>(row, |words| {
                for at in samples..words.len() {
                    words[at] = words[at].wrapping_add(words[at - samples]);
                }
            })
        };
    }
    match size {
        1 => sums!(u8),
        2 => sums!(u16),
        4 => sums!(u32),
        _ => sums!(u64),
    }
}

/// Applies predictor 2; the inverse of [`integrate`].
pub(super) fn differentiate(row: &mut [u8], size: usize, samples: usize) {
    macro_rules! differences {
        ($type:ty) => {
            on_words::<$type>(row, |words| {
                for at in (samples..words.len()).rev() {
                    words[at] = words[at].wrapping_sub(words[at - samples]);
                }
            })
        };
    }
    match size {
        1 => differences!(u8),
        2 => differences!(u16),
        4 => differences!(u32),
        _ => differences!(u64),
    }
}

/// Undoes predictor 3: sums the bytes, then gathers each float from its byte planes, the most
/// significant first. `scratch` is reused from row to row.
pub(super) fn join_planes(row: &mut [u8], size: usize, samples: usize, scratch: &mut Vec<u8>) {
    integrate(row, 1, samples);
    scratch.clear();
    scratch.extend_from_slice(row);
    let cells = row.len() / size;
    for byte in 0..size {
        let of_plane = &scratch[plane(byte, size) * cells..][..cells];
        let places = row.chunks_exact_mut(size);
        places
            .zip(of_plane)
            .for_each(|(cell, from)| cell[byte] = *from);
    }
}

/// Applies predictor 3; the inverse of [`join_planes`].
pub(super) fn split_planes(row: &mut [u8], size: usize, samples: usize, scratch: &mut Vec<u8>) {
    scratch.clear();
    scratch.extend_from_slice(row);
    let cells = row.len() / size;
    for byte in 0..size {
        let of_plane = &mut row[plane(byte, size) * cells..][..cells];
        let places = scratch.chunks_exact(size);
        of_plane
            .iter_mut()
            .zip(places)
            .for_each(|(to, cell)| *to = cell[byte]);
    }
    differentiate(row, 1, samples);
}

/// Turns the bytes of every word of `size` bytes round.
pub(super) fn swap_bytes(bytes: &mut [u8], size: usize) {
    match size {
        1 => {}
        2 => on_words::<u16>(bytes, |words| {
            words.iter_mut().for_each(|word| *word = word.swap_bytes())
        }),
        4 => on_words::<u32>(bytes, |words| {
            words.iter_mut().for_each(|word| *word = word.swap_bytes())
        }),
        _ => on_words::<u64>(bytes, |words| {
            words.iter_mut().for_each(|word| *word = word.swap_bytes())
        }),
    }
}

/// The plane of a byte of a float in memory.
fn plane(byte: usize, size: usize) -> usize {
    if cfg!(target_endian = "little") {
        size - 1 - byte
    } else {
        byte
    }
}

/// Runs on the row as words, in place where it is aligned (as the rows of typed cells are), through
/// a copy where it is not.
fn on_words<T: NoUninit + AnyBitPattern>(row: &mut [u8], run: impl FnOnce(&mut [T])) {
    if let Ok(words) = bytemuck::try_cast_slice_mut::<u8, T>(row) {
        run(words);
        return;
    }
    let mut words: Vec<T> = row
        .chunks_exact(size_of::<T>())
        .map(bytemuck::pod_read_unaligned)
        .collect();
    run(&mut words);
    let bytes: &[u8] = bytemuck::cast_slice(&words);
    row[..bytes.len()].copy_from_slice(bytes);
}
