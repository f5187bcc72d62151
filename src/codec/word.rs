//! Cells as unsigned words, and the row operations of the filters: plain loops that compile to
//! vector code.

use bytemuck::Pod;

use super::pack::BLOCK;
#[cfg(feature = "zarr")]
use crate::array::Cells;

/// An unsigned word of the size of a cell.
pub(super) trait Word: Pod + Default + Eq {
    const BITS: u32;
    /// The word as the low bits of a wider one.
    fn bits(self) -> u64;
    /// The low bits of a wider word.
    fn of_bits(bits: u64) -> Self;
    /// Words as bytes: the lowest byte of word `at + i` goes to `planes[at + i]`, the next to
    /// `planes[stride + at + i]`.
    fn split(words: &[Self], planes: &mut [u8], stride: usize, at: usize);
    /// The inverse of [`Word::split`].
    fn join(words: &mut [Self], planes: &[u8], stride: usize, at: usize);
    /// How many low bits are zero in every word; 0 if all words are zero.
    fn shift(words: &[Self]) -> u8;
    /// The differences of a row to the one above.
    fn differ(row: &[Self], above: &[Self], out: &mut [Self]);
    /// The zigzag of the differences along a row, of the first word to `left`.
    fn fold(row: &[Self], left: Self, out: &mut [Self]);
    /// Adds the inverse zigzag of words to a row.
    fn unfold_onto(row: &mut [Self], words: &[Self]);
    /// The sums along a row.
    fn sum(row: &[Self], out: &mut [Self]);
    /// The least of some words, which have signs or not.
    fn least(words: &[Self], signed: bool) -> Self;
    /// Takes a word from all.
    fn subtract(words: &mut [Self], word: Self);
    /// The sums of words and another.
    fn add(words: &[Self], word: Self, out: &mut [Self]);
    fn shr_logical(self, bits: u32) -> Self;
    fn shr_arithmetic(self, bits: u32) -> Self;
    fn shl(self, bits: u32) -> Self;
    /// Turns over all bits but the first of a word whose first bit is set: its own inverse.
    fn flip_negative(self) -> Self;
    fn or(self, other: Self) -> Self;
    /// All bits that are set in any word.
    fn any(words: &[Self]) -> Self;
    /// How many bits the word has, up to the highest that is set.
    fn len(self) -> u32;
    /// How many words of a block have more than `width` bits, which is less than all that a word
    /// has.
    fn count_wider(block: &[Self], width: u32) -> usize;
    /// Packs the low `width` bits of a block's words into rows of 32 bytes; `width` is not 0. See
    /// [`pack`](super::pack).
    fn pack_rows(block: &[Self; BLOCK], width: u32, rows: &mut [u8]);
    /// The inverse of [`Word::pack_rows`]; words behind the rows that there are become anything.
    fn unpack_rows(rows: &[u8], width: u32, block: &mut [Self; BLOCK]);
}

/// The lowest bytes of all cells, then their second bytes, and so on.
#[cfg(feature = "zarr")]
pub(crate) fn shuffled(cells: &Cells) -> Vec<u8> {
    fn of<W: Word>(bytes: &[u8]) -> Vec<u8> {
        let words: &[W] = bytemuck::cast_slice(bytes);
        let mut planes = vec![0; bytes.len()];
        W::split(words, &mut planes, words.len(), 0);
        planes
    }
    let bytes = cells.as_bytes();
    match cells.dtype().size() {
        1 => bytes.to_vec(),
        2 => of::<u16>(bytes),
        4 => of::<u32>(bytes),
        _ => of::<u64>(bytes),
    }
}

macro_rules! word {
    ($word:ty, [$($lane:ident $byte:literal),+]) => {
        impl Word for $word {
            const BITS: u32 = <$word>::BITS;

            #[inline(always)]
            fn bits(self) -> u64 {
                u64::from(self)
            }

            #[inline(always)]
            #[expect(clippy::allow_attributes, reason = "of the widest words nothing is cut off")]
            #[allow(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
            fn of_bits(bits: u64) -> Self {
                bits as Self
            }

            #[inline(always)]
            fn split(words: &[Self], planes: &mut [u8], stride: usize, at: usize) {
                $(
                    let lane = &mut planes[$byte * stride + at..][..words.len()];
                    for (byte, &word) in lane.iter_mut().zip(words) {
                        *byte = word.to_le_bytes()[$byte];
                    }
                )+
            }

            #[inline(always)]
            fn join(words: &mut [Self], planes: &[u8], stride: usize, at: usize) {
                let len = words.len();
                $(let $lane = &planes[$byte * stride + at..][..len];)+
                for i in 0..len {
                    words[i] = $((<$word>::from($lane[i]) << (8 * $byte)))|+;
                }
            }

            #[inline(always)]
            fn shift(words: &[Self]) -> u8 {
                let any = Self::any(words);
                if any == 0 { 0 } else { u8::try_from(any.trailing_zeros()).unwrap_or(0) }
            }

            #[inline(always)]
            fn differ(row: &[Self], above: &[Self], out: &mut [Self]) {
                for ((out, &word), &above) in out.iter_mut().zip(row).zip(above) {
                    *out = word.wrapping_sub(above);
                }
            }

            #[inline(always)]
            fn fold(row: &[Self], left: Self, out: &mut [Self]) {
                let zigzag = |word: $word| (word << 1) ^ (word.cast_signed() >> (<$word>::BITS - 1)).cast_unsigned();
                let (Some(&first), Some((first_out, rest))) = (row.first(), out.split_first_mut()) else { return };
                *first_out = zigzag(first.wrapping_sub(left));
                for ((out, &word), &left) in rest.iter_mut().zip(&row[1..]).zip(row) {
                    *out = zigzag(word.wrapping_sub(left));
                }
            }

            #[inline(always)]
            fn unfold_onto(row: &mut [Self], words: &[Self]) {
                for (sum, &word) in row.iter_mut().zip(words) {
                    *sum = sum.wrapping_add((word >> 1) ^ (word & 1).wrapping_neg());
                }
            }

            #[inline(always)]
            fn sum(row: &[Self], out: &mut [Self]) {
                let mut sum: $word = 0;
                for (out, &word) in out.iter_mut().zip(row) {
                    sum = sum.wrapping_add(word);
                    *out = sum;
                }
            }

            #[inline(always)]
            fn least(words: &[Self], signed: bool) -> Self {
                // With the first bit turned over, words with signs are in the order of words
                // without.
                let flip = if signed { 1 << (<$word>::BITS - 1) } else { 0 };
                let mut least = Self::MAX;
                for &word in words {
                    least = least.min(word ^ flip);
                }
                least ^ flip
            }

            #[inline(always)]
            fn subtract(words: &mut [Self], word: Self) {
                for of in words {
                    *of = of.wrapping_sub(word);
                }
            }

            #[inline(always)]
            fn add(words: &[Self], word: Self, out: &mut [Self]) {
                for (out, &of) in out.iter_mut().zip(words) {
                    *out = of.wrapping_add(word);
                }
            }

            #[inline(always)]
            fn shr_logical(self, bits: u32) -> Self {
                self >> bits
            }

            #[inline(always)]
            fn shr_arithmetic(self, bits: u32) -> Self {
                (self.cast_signed() >> bits).cast_unsigned()
            }

            #[inline(always)]
            fn shl(self, bits: u32) -> Self {
                self << bits
            }

            #[inline(always)]
            fn flip_negative(self) -> Self {
                self ^ ((self.cast_signed() >> (<$word>::BITS - 1)).cast_unsigned() >> 1)
            }

            #[inline(always)]
            fn or(self, other: Self) -> Self {
                self | other
            }

            #[inline(always)]
            fn any(words: &[Self]) -> Self {
                let mut any = 0;
                for &word in words {
                    any |= word;
                }
                any
            }

            #[inline(always)]
            fn len(self) -> u32 {
                <$word>::BITS - self.leading_zeros()
            }

            #[inline(always)]
            fn count_wider(block: &[Self], width: u32) -> usize {
                const LANES: usize = 32 / size_of::<$word>();
                let (rows, rest) = block.as_chunks::<LANES>();
                // Of a block a lane has fewer words than a word counts: 8 bytes, 64 of the widest.
                let mut counts: [Self; LANES] = [0; LANES];
                for row in rows {
                    for (count, &word) in counts.iter_mut().zip(row) {
                        *count += Self::from(word >> width != 0);
                    }
                }
                let rest = rest.iter().filter(|&&word| word >> width != 0).count();
                rest + counts.iter().map(|&count| usize::try_from(count).unwrap_or(0)).sum::<usize>()
            }

            #[inline(always)]
            fn pack_rows(block: &[Self; BLOCK], width: u32, rows: &mut [u8]) {
                const LANES: usize = 32 / size_of::<$word>();
                let bits = <$word>::BITS;
                let mask = Self::MAX >> (bits - width);
                let mut out = rows.as_chunks_mut::<32>().0.iter_mut();
                let (mut row, mut filled) = ([0; LANES], 0);
                for words in block.as_chunks::<LANES>().0 {
                    for (row, &word) in row.iter_mut().zip(words) {
                        *row |= (word & mask) << filled;
                    }
                    filled += width;
                    if filled >= bits {
                        let Some(full) = out.next() else { return };
                        *full = bytemuck::cast(row);
                        filled -= bits;
                        // What did not fit; nothing, where all did.
                        for (row, &word) in row.iter_mut().zip(words) {
                            *row = if filled == 0 { 0 } else { (word & mask) >> (width - filled) };
                        }
                    }
                }
                if filled > 0 && let Some(last) = out.next() {
                    *last = bytemuck::cast(row);
                }
            }

            #[inline(always)]
            fn unpack_rows(rows: &[u8], width: u32, block: &mut [Self; BLOCK]) {
                const LANES: usize = 32 / size_of::<$word>();
                let bits = <$word>::BITS;
                let mask = Self::MAX >> (bits - width);
                let mut rows = rows.as_chunks::<32>().0.iter().map(|row| bytemuck::cast::<[u8; 32], [Self; LANES]>(*row));
                let (mut row, mut used) = ([0; LANES], bits);
                for words in block.as_chunks_mut::<LANES>().0 {
                    if used == bits {
                        let Some(next) = rows.next() else { return };
                        (row, used) = (next, 0);
                    }
                    for (word, &row) in words.iter_mut().zip(&row) {
                        *word = row >> used;
                    }
                    used += width;
                    if used > bits {
                        let Some(next) = rows.next() else { return };
                        row = next;
                        used -= bits;
                        for (word, &row) in words.iter_mut().zip(&row) {
                            *word |= row << (width - used);
                        }
                    }
                    for word in words {
                        *word &= mask;
                    }
                }
            }
        }
    };
}

word!(u8, [b0 0]);
word!(u16, [b0 0, b1 1]);
word!(u32, [b0 0, b1 1, b2 2, b3 3]);
word!(u64, [b0 0, b1 1, b2 2, b3 3, b4 4, b5 5, b6 6, b7 7]);
