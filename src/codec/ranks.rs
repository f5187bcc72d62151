//! Cells of few different values as the ranks of these: classes with codes far apart, and decimals
//! that were rounded on their way, which have no number of their own.
//!
//! ```text
//! ranked     count u16 | the values, in order | the ranks of the cells, packed
//! ```

use super::DecodeError;
use super::word::Word;
use crate::array::{DType, TileMut};

/// Different values that a strip may have.
const VALUES_MAX: usize = 1024;
/// After so many cells half of them may be different.
const CELLS_FIRST: usize = 512;
/// Slots of the table of values: a power of two, and few of them full.
const SLOTS: usize = 4 * VALUES_MAX;
const EMPTY: u16 = u16::MAX;

/// The different values of a strip's cells in their order, and the rank of each cell.
pub(super) struct Ranked<W> {
    pub(super) values: Vec<W>,
    pub(super) ranks: Vec<W>,
}

impl<W: Word> Ranked<W> {
    /// The ranks of cells, if they have few values. That of the bits `hole` is the first, whatever
    /// it is.
    pub(super) fn of(dtype: DType, cells: &[W], hole: u64) -> Option<Self> {
        let (mut values, mut ranks) = numbered(cells)?;
        let key = |value: W| {
            let bits = value.bits();
            let negative = (dtype.is_signed() || dtype.is_float()) && bits >> (W::BITS - 1) != 0;
            // Of floats, those with the greatest bits are the least.
            let order = if negative && dtype.is_float() {
                u64::MAX - bits
            } else {
                bits
            };
            (bits != hole, !negative, order)
        };
        let mut sorted: Vec<(usize, W)> = values.iter().copied().enumerate().collect();
        sorted.sort_unstable_by_key(|(_, value)| key(*value));
        let mut rank_of = vec![W::default(); values.len()];
        for (rank, (number, value)) in sorted.into_iter().enumerate() {
            rank_of[number] = W::of_bits(rank as u64);
            values[rank] = value;
        }
        for rank in &mut ranks {
            *rank = rank_of[index(*rank)];
        }
        Some(Self { values, ranks })
    }

    /// The bytes of the table.
    pub(super) fn len(&self) -> usize {
        size_of::<u16>() + size_of_val(self.values.as_slice())
    }

    /// Appends the table.
    pub(super) fn append(&self, out: &mut Vec<u8>) {
        let count = u16::try_from(self.values.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(bytemuck::cast_slice(&self.values));
    }
}

/// The different values of cells in the order in which they come, and for each cell the number of
/// its own.
fn numbered<W: Word>(cells: &[W]) -> Option<(Vec<W>, Vec<W>)> {
    // Of bytes, codes that are nearly as many as they could be save nothing.
    let most = VALUES_MAX.min(1_usize.checked_shl(W::BITS - 2).unwrap_or(VALUES_MAX));
    let mut slots = [EMPTY; SLOTS];
    let mut values = Vec::with_capacity(most + CELLS_FIRST);
    let mut numbers = Vec::with_capacity(cells.len());
    for some in cells.chunks(CELLS_FIRST) {
        numbers.extend(some.iter().map(|&cell| {
            let mut slot = (cell
                .bits()
                .wrapping_add(1)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                >> 52) as usize
                % SLOTS;
            loop {
                let number = slots[slot];
                if number == EMPTY {
                    slots[slot] = u16::try_from(values.len()).unwrap_or(EMPTY);
                    values.push(cell);
                    return W::of_bits(values.len() as u64 - 1);
                }
                if values[usize::from(number)] == cell {
                    return W::of_bits(u64::from(number));
                }
                slot = (slot + 1) % SLOTS;
            }
        }));
        if values.len() > most || 2 * values.len() > numbers.len().max(CELLS_FIRST) {
            return None;
        }
    }
    Some((values, numbers))
}

fn index<W: Word>(word: W) -> usize {
    usize::try_from(word.bits()).unwrap_or(usize::MAX)
}

/// The table at the start of a payload, and the rest.
pub(super) fn split(payload: &[u8], size: usize) -> Result<(&[u8], &[u8]), DecodeError> {
    let truncated = |needed| DecodeError::Truncated {
        needed,
        got: payload.len(),
    };
    let (count, rest) = payload
        .split_first_chunk()
        .ok_or_else(|| truncated(size_of::<u16>()))?;
    let count = usize::from(u16::from_le_bytes(*count));
    if !(1..=VALUES_MAX).contains(&count) {
        return Err(DecodeError::Invalid {
            field: "count of values",
            got: i64::try_from(count).unwrap_or(i64::MAX),
        });
    }
    rest.split_at_checked(count * size)
        .ok_or_else(|| truncated(size_of::<u16>() + count * size))
}

/// Puts values in the place of their ranks in some rows of a tile.
pub(super) fn undo<W: Word>(
    table: &[u8],
    rows: std::ops::Range<usize>,
    tile: &mut TileMut<'_, W>,
) -> Result<(), DecodeError> {
    let mut values = [W::default(); VALUES_MAX];
    let known = table.chunks_exact(size_of::<W>());
    let count = known.len();
    values
        .iter_mut()
        .zip(known)
        .for_each(|(value, bytes)| *value = bytemuck::pod_read_unaligned(bytes));
    for row in rows {
        let ranks = tile.row(row);
        let most = ranks.iter().fold(0, |most, rank| most.max(rank.bits()));
        if most >= count as u64 {
            return Err(DecodeError::Invalid {
                field: "rank",
                got: i64::try_from(most).unwrap_or(i64::MAX),
            });
        }
        for rank in ranks {
            *rank = values[index(*rank) % VALUES_MAX];
        }
    }
    Ok(())
}
