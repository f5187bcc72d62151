//! Small words at the least width: blocks of 256, each with a width of its own, and the few words
//! that need more patched in.
//!
//! ```text
//! packed     a block: width u8, patches u8 | a block: rows, patches
//! ```
//!
//! A block's words lie in rows of 32 bytes, word `i` in row `i / lanes` and lane `i % lanes`. The
//! low `width` bits of a lane's words stand one behind the other, lowest first, so that a row at a
//! time is packed and unpacked in vector registers; the last row's bits end in a row that is filled
//! with zeros. A patch is a word of more bits: all places u8 of a block's patches, then for each
//! what is left of the word above the width, in the word's size. A block of zeros has width 0 and
//! no rows.
//!
//! The layout is that of SIMD-BP128 (Lemire and Boytsov, *Decoding billions of integers per second
//! through vectorization*, 2015), in rows of 256 bits and for words of any size; patches are those
//! of PFOR (Zukowski et al., 2006).

use super::DecodeError;
use super::word::Word;

/// Words a block: a patch's place is a byte.
pub(super) const BLOCK: usize = 256;
/// Bytes a row.
const ROW: usize = 32;
/// Bytes of what stands first of each block.
const HEAD: usize = 2;
const PATCHES_MAX: usize = 255;

/// Words a row.
const fn lanes<W>() -> usize {
    ROW / size_of::<W>()
}

const fn bits<W>() -> usize {
    8 * size_of::<W>()
}

/// The bytes of the rows of so many words at a width.
fn rows_len<W>(words: usize, width: u32) -> usize {
    (words.div_ceil(lanes::<W>()) * width as usize).div_ceil(bits::<W>()) * ROW
}

/// Appends the packed form of words, unless it would have `most` bytes or more: then it says
/// `false`, and what it appended is to be thrown away.
#[inline(always)]
pub(super) fn pack<W: Word>(words: &[W], most: usize, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.resize(start + HEAD * words.len().div_ceil(BLOCK), 0);
    let mut padded = [W::default(); BLOCK];
    for (number, block) in words.chunks(BLOCK).enumerate() {
        let (width, patches) = width_of(block);
        let head = [
            u8::try_from(width).unwrap_or(u8::MAX),
            u8::try_from(patches).unwrap_or(u8::MAX),
        ];
        out[start + HEAD * number..][..HEAD].copy_from_slice(&head);
        if width > 0 {
            let at = out.len();
            out.resize(at + rows_len::<W>(block.len(), width), 0);
            let block = block.first_chunk().unwrap_or_else(|| {
                padded.fill(W::default());
                padded[..block.len()].copy_from_slice(block);
                &padded
            });
            W::pack_rows(block, width, &mut out[at..]);
        }
        if patches > 0 {
            patch(block, width, patches, out);
        }
        if out.len() - start >= most {
            break;
        }
    }
    out.len() - start < most
}

/// Appends the places of a block's words of more than `width` bits, and what is left of each above
/// them.
#[inline(always)]
fn patch<W: Word>(block: &[W], width: u32, patches: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + patches * (1 + size_of::<W>()), 0);
    let (places, highs) = out[start..].split_at_mut(patches);
    let mut to = places
        .iter_mut()
        .zip(highs.chunks_exact_mut(size_of::<W>()));
    for (first, row) in (0_usize..)
        .step_by(lanes::<W>())
        .zip(block.chunks(lanes::<W>()))
    {
        if W::any(row).len() <= width {
            continue;
        }
        for (place, word) in (first..).zip(row).filter(|(_, word)| word.len() > width) {
            let Some((to_place, to_high)) = to.next() else {
                return;
            };
            *to_place = u8::try_from(place).unwrap_or(u8::MAX);
            to_high.copy_from_slice(bytemuck::bytes_of(&word.shr_logical(width)));
        }
    }
}

/// The width at which a block is the shortest, and how many of its words need more.
#[inline(always)]
fn width_of<W: Word>(block: &[W]) -> (u32, usize) {
    let widest = W::any(block).len();
    let cost = |width: u32, patches: usize| {
        rows_len::<W>(block.len(), width) + patches * (1 + size_of::<W>())
    };
    let mut best = (cost(widest, 0), widest, 0);
    for width in (0..widest).rev() {
        let patches = W::count_wider(block, width);
        // The patches of narrower widths alone cost more than what was found.
        if patches > PATCHES_MAX || patches * (1 + size_of::<W>()) >= best.0 {
            break;
        }
        best = best.min((cost(width, patches), width, patches));
    }
    (best.1, best.2)
}

/// The bytes that [`pack`] makes of words.
#[inline(always)]
pub(super) fn bytes<W: Word>(words: &[W]) -> usize {
    let mut bytes = 0;
    for block in words.chunks(BLOCK) {
        let (width, patches) = width_of(block);
        bytes += HEAD + rows_len::<W>(block.len(), width) + patches * (1 + size_of::<W>());
    }
    bytes
}

/// Packed words, of which any run of blocks can be unpacked.
pub(super) struct Packed<'a> {
    words: usize,
    heads: &'a [[u8; HEAD]],
    bodies: &'a [u8],
}

impl<'a> Packed<'a> {
    /// The packed form of so many words, whose lengths add up.
    pub(super) fn new<W: Word>(payload: &'a [u8], words: usize) -> Result<Self, DecodeError> {
        let blocks = words.div_ceil(BLOCK);
        let truncated = |needed| DecodeError::Truncated {
            needed,
            got: payload.len(),
        };
        let (heads, bodies) = payload
            .split_at_checked(HEAD * blocks)
            .ok_or_else(|| truncated(HEAD * blocks))?;
        let packed = Self {
            words,
            heads: heads.as_chunks().0,
            bodies,
        };
        let mut needed = 0;
        for number in 0..blocks {
            let (width, patches) = packed.head(number);
            if width as usize > bits::<W>() {
                return Err(DecodeError::Invalid {
                    field: "width",
                    got: i64::from(packed.heads[number][0]),
                });
            }
            if patches > packed.len(number) || patches > 0 && width as usize == bits::<W>() {
                return Err(DecodeError::Invalid {
                    field: "patch count",
                    got: i64::from(packed.heads[number][1]),
                });
            }
            needed += packed.body_len::<W>(number);
        }
        match bodies.len().checked_sub(needed) {
            Some(0) => Ok(packed),
            Some(more) => Err(DecodeError::Trailing { bytes: more }),
            None => Err(truncated(HEAD * blocks + needed)),
        }
    }

    fn head(&self, block: usize) -> (u32, usize) {
        let [width, patches] = self.heads[block];
        (u32::from(width), usize::from(patches))
    }

    /// How many words a block has.
    fn len(&self, block: usize) -> usize {
        BLOCK.min(self.words - block * BLOCK)
    }

    fn body_len<W>(&self, block: usize) -> usize {
        let (width, patches) = self.head(block);
        rows_len::<W>(self.len(block), width) + patches * (1 + size_of::<W>())
    }

    /// Unpacks the first words, at least as many as `wanted`, into `out`, which has room for whole
    /// blocks.
    #[inline(always)]
    pub(super) fn unpack<W: Word>(&self, wanted: usize, out: &mut [W]) -> Result<(), DecodeError> {
        let mut bodies = self.bodies;
        for (number, block) in out
            .as_chunks_mut::<BLOCK>()
            .0
            .iter_mut()
            .enumerate()
            .take(wanted.div_ceil(BLOCK))
        {
            let (width, patches) = self.head(number);
            let (rows, rest) = bodies.split_at(rows_len::<W>(self.len(number), width));
            let (places, rest) = rest.split_at(patches);
            let (highs, rest) = rest.split_at(patches * size_of::<W>());
            bodies = rest;
            if width == 0 {
                block.fill(W::default());
            } else {
                W::unpack_rows(rows, width, block);
            }
            for (&place, high) in places.iter().zip(highs.chunks_exact(size_of::<W>())) {
                let word = block
                    .get_mut(usize::from(place))
                    .filter(|_| usize::from(place) < self.len(number));
                let word = word.ok_or(DecodeError::Invalid {
                    field: "place of a patch",
                    got: i64::from(place),
                })?;
                *word = word.or(bytemuck::pod_read_unaligned::<W>(high).shl(width));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip<W: Word + std::fmt::Debug>(words: &[W]) -> usize {
        let mut packed = vec![7];
        assert!(pack(words, usize::MAX, &mut packed));
        let of = Packed::new::<W>(&packed[1..], words.len()).expect("what was packed");
        let mut back = vec![W::default(); words.len().next_multiple_of(BLOCK)];
        of.unpack(words.len(), &mut back).expect("what was packed");
        assert_eq!(&back[..words.len()], words);
        let mut again = Vec::new();
        assert!(!pack(words, packed.len() - 1, &mut again), "no room");
        assert_eq!(bytes(words), packed.len() - 1);
        packed.len() - 1
    }

    #[test]
    fn i2_words_of_few_bits_take_few_bytes_and_patches_keep_the_rest_narrow() {
        assert_eq!(round_trip(&[0_u32; 1024]), 4 * HEAD);
        assert_eq!(round_trip(&[5_u32; 256]), HEAD + 3 * ROW);
        assert_eq!(round_trip(&[5_u64; 256]), HEAD + 3 * ROW);
        assert_eq!(round_trip(&[u8::MAX; 256]), HEAD + 8 * ROW);
        assert_eq!(round_trip(&[1_u16; 16]), HEAD + ROW);
        let mut words = [5_u32; 256];
        words[17] = u32::MAX;
        assert_eq!(round_trip(&words), HEAD + 3 * ROW + 5);
        assert_eq!(round_trip::<u32>(&[]), 0);
    }

    #[test]
    fn i2_every_cut_of_packed_words_and_every_other_head_is_refused_or_has_words() {
        let mut words = [5_u16; 300];
        words[280] = u16::MAX;
        let mut packed = Vec::new();
        assert!(pack(&words, usize::MAX, &mut packed));
        for cut in 0..packed.len() {
            assert!(Packed::new::<u16>(&packed[..cut], 300).is_err(), "{cut}");
        }
        for at in 0..4 {
            for byte in 0..=u8::MAX {
                let mut other = packed.clone();
                other[at] = byte;
                let of = Packed::new::<u16>(&other, 300);
                // The second block's 44 words are a row at every width from 1 to 5; else the
                // lengths do not add up.
                assert_eq!(
                    of.is_ok(),
                    other == packed || at == 2 && (1..=5).contains(&byte),
                    "{at}: {byte}"
                );
                if let Ok(of) = of {
                    of.unpack(300, &mut [0_u16; 512])
                        .expect("its patch is among them");
                }
            }
        }
        // Behind the rows the place of the patch, and two bytes of what is left of it.
        let place = packed.len() - 3;
        packed[place] = 44;
        let of = Packed::new::<u16>(&packed, 300).expect("its lengths add up");
        assert_eq!(
            of.unpack(300, &mut [0_u16; 512]),
            Err(DecodeError::Invalid {
                field: "place of a patch",
                got: 44
            })
        );
    }

    /// The low bytes of words.
    fn low<W: Word>(words: &[u64]) -> Vec<W> {
        words
            .iter()
            .map(|word| bytemuck::pod_read_unaligned(&word.to_le_bytes()[..size_of::<W>()]))
            .collect()
    }

    proptest! {
        #[test]
        fn i2_packed_words_round_trip(words in prop::collection::vec((any::<u64>(), 0_u32..70), 0..700)) {
            let of = |bits: u32| words.iter().map(move |&(word, cut)| word.checked_shr(cut + 64 - bits).unwrap_or(0)).collect::<Vec<u64>>();
            round_trip(&of(64));
            round_trip(&low::<u32>(&of(32)));
            round_trip(&low::<u16>(&of(16)));
            round_trip(&low::<u8>(&of(8)));
        }
    }
}
