//! Values that no cell with data has, to stand for absent data.

use ndarray::ArrayD;

use crate::array::block::{self, BLOCK};
use crate::array::{Cells, DType};
use crate::error::Result;

/// What stands for absent data in some cells.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::adapter) struct Marking {
    /// One cell that no cell with data has: NaN of floats, the preferred value of integers, or
    /// another one that is free. `None` if every value of the type stands for data, or if nothing
    /// is absent and the preferred value is no mark.
    pub(in crate::adapter) nodata: Option<Cells>,
    /// Whether a cell is absent.
    pub(in crate::adapter) absent: bool,
}

/// What is shown all cells, part by part: which of them are absent (none, if it is empty).
pub(in crate::adapter) type Viewer<'a> = dyn FnMut(&Cells, &[bool]) + 'a;

/// The lowest values of a type of which it is looked whether a cell has them, at most.
const LOWEST_MAX: u64 = 1 << 24;

/// Finds what stands for absent data in so many cells of a type. `show` shows all of them to what
/// it is given, once or twice: where cells have the preferred value and both ends of the type, it
/// is looked for the lowest value that none has. Whether a cell of floats is absent is not looked
/// for.
///
/// # Errors
///
/// Those of `show`.
pub(in crate::adapter) fn marking(
    (dtype, cells): (DType, u64),
    preferred: Option<f64>,
    mut show: impl FnMut(&mut Viewer<'_>) -> Result<()>,
) -> Result<Marking> {
    if dtype.is_float() {
        return Ok(Marking {
            nodata: Some(Cells::filled(dtype, 1, f64::NAN)),
            absent: true,
        });
    }
    let preferred = preferred.and_then(|value| cell_of(dtype, value));
    let least = Cells::filled(dtype, 1, f64::MIN);
    let most = Cells::filled(dtype, 1, f64::MAX);
    let ends = if dtype.is_signed() {
        [least, most]
    } else {
        [most, least]
    };
    let mut free: Vec<Cells> = preferred.iter().cloned().chain(ends).collect();
    let mut absent = false;
    show(&mut |cells, marks| {
        absent |= marks.contains(&true);
        free.retain(|candidate| !holds(cells, marks, candidate));
    })?;
    let first = free.into_iter().next();
    if !absent {
        let nodata = first.filter(|cell| Some(cell) == preferred.as_ref());
        return Ok(Marking { nodata, absent });
    }
    if first.is_some() {
        return Ok(Marking {
            nodata: first,
            absent,
        });
    }
    let mut lowest = Lowest::new(dtype, cells);
    show(&mut |cells, marks| lowest.see(cells, marks))?;
    Ok(Marking {
        nodata: lowest.free(),
        absent,
    })
}

/// A cell of a type that is exactly a value, if there is one.
pub(super) fn cell_of(dtype: DType, value: f64) -> Option<Cells> {
    Some(Cells::filled(dtype, 1, value)).filter(|cell| cell.first_f64() == Some(value))
}

/// Which cells are absent, in C order, by what says which hold data; empty if all do.
pub(in crate::adapter) fn absent(valid: Option<&ArrayD<bool>>) -> Vec<bool> {
    valid
        .iter()
        .flat_map(|valid| valid.iter().map(|valid| !valid))
        .collect()
}

/// Whether a cell that is not absent has a value. Without marks, none is absent.
fn holds(cells: &Cells, absent: &[bool], value: &Cells) -> bool {
    let mut absent = absent.chunks(BLOCK);
    cells
        .as_bytes()
        .chunks(BLOCK * cells.dtype().size())
        .any(|cells| {
            let mut equal = [false; BLOCK];
            block::mark_equal(value, cells, &mut equal);
            match absent.next() {
                Some(absent) => equal
                    .iter()
                    .zip(absent)
                    .any(|(equal, absent)| *equal && !absent),
                None => equal.contains(&true),
            }
        })
}

/// Which of the lowest integers of a type a cell with data has.
struct Lowest {
    dtype: DType,
    held: Vec<bool>,
}

impl Lowest {
    /// Of one more than there are cells one is free, unless the type has no more, or they are too
    /// many to be looked for.
    fn new(dtype: DType, cells: u64) -> Self {
        let bits = 8 * dtype.size();
        let values = if bits < 64 { 1_u64 << bits } else { u64::MAX };
        let len = values.min(cells.saturating_add(1)).min(LOWEST_MAX);
        Self {
            dtype,
            held: vec![false; usize::try_from(len).unwrap_or(0)],
        }
    }

    fn bits(&self) -> usize {
        8 * self.dtype.size()
    }

    /// The bits of the lowest value.
    fn first(&self) -> u64 {
        if self.dtype.is_signed() {
            1_u64 << (self.bits() - 1)
        } else {
            0
        }
    }

    fn see(&mut self, cells: &Cells, absent: &[bool]) {
        let (bits, first) = (self.bits(), self.first());
        let absent = absent.iter().copied().chain(std::iter::repeat(false));
        let words = cells.as_bytes().chunks_exact(self.dtype.size());
        for (cell, _) in words.zip(absent).filter(|(_, absent)| !absent) {
            let number = word(cell).wrapping_sub(first) & u64::MAX >> (64 - bits);
            if let Some(held) = usize::try_from(number)
                .ok()
                .and_then(|number| self.held.get_mut(number))
            {
                *held = true;
            }
        }
    }

    fn free(&self) -> Option<Cells> {
        let number = self.held.iter().position(|held| !held)?;
        let mut free = Cells::filled(self.dtype, 1, 0.0);
        let bits = (number as u64).wrapping_add(self.first()).to_ne_bytes();
        let bits = if cfg!(target_endian = "little") {
            &bits[..self.dtype.size()]
        } else {
            &bits[8 - self.dtype.size()..]
        };
        free.as_bytes_mut().copy_from_slice(bits);
        Some(free)
    }
}

/// The bits of an integer.
fn word(cell: &[u8]) -> u64 {
    match *cell {
        [a] => u64::from(a),
        [a, b] => u64::from(u16::from_ne_bytes([a, b])),
        [a, b, c, d] => u64::from(u32::from_ne_bytes([a, b, c, d])),
        _ => cell
            .first_chunk()
            .map_or(0, |bits| u64::from_ne_bytes(*bits)),
    }
}
