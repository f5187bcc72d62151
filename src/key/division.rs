//! Which part of a grid's space a key belongs to, where several stores hold it.

use super::{coarsest_first, interleave, left_aligned, rank_of, unused_bits};
use crate::grid::{Level, Location, Structure};
use crate::kv::KeyRange;

/// What stands in a key before the levels.
const BEFORE_CHUNK: usize = 5;
const BEFORE_MARK: usize = 6;

/// Who holds a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// The store of what lies above all parts.
    Top,
    /// A part, by its number.
    Part(usize),
}

/// A grid's keys divided into parts: columns of one dimension, each the subtree of a chunk at one
/// level, and what lies above that level. Codes are left-aligned, so that a column is one interval
/// of them, the same at every level.
#[derive(Clone, Debug)]
pub struct Division {
    /// Where the dimension's level stands behind what comes before the levels, and its codes.
    level_at: usize,
    codes_at: usize,
    codes_len: usize,
    key_len: usize,
    /// The level of the columns as keys have it.
    level: u8,
    /// The columns with their owners, in the order of their codes.
    columns: Vec<ColumnCodes>,
}

#[derive(Clone, Debug)]
struct ColumnCodes {
    first: Vec<u8>,
    end: Option<Vec<u8>>,
    part: usize,
}

impl ColumnCodes {
    fn ends_behind(&self, code: &[u8]) -> bool {
        self.end.as_deref().is_none_or(|end| code < end)
    }
}

impl Division {
    /// The division of a dimension at a level into columns, each with the number of the part that
    /// it belongs to. Columns are disjoint.
    pub fn new(
        structure: &Structure,
        (dimension, level): (usize, Level),
        columns: impl IntoIterator<Item = (Location, usize)>,
    ) -> Self {
        let axes = structure.axes_of(dimension);
        let unused = unused_bits(&structure.dimensions()[dimension], level);
        let used = axes.len() * (64 - unused) as usize;
        let before = structure
            .order()
            .iter()
            .take_while(|d| **d != dimension)
            .map(|d| structure.axes_of(*d).len())
            .sum::<usize>();
        let levels = structure.dimensions().len();
        let column = |(at, part): (Location, usize)| {
            let aligned: Vec<u64> = at.codes[axes.clone()]
                .iter()
                .map(|code| left_aligned(*code, unused))
                .collect();
            let mut first = Vec::with_capacity(8 * axes.len());
            interleave(&aligned, &mut first);
            let mut last = first[..used.div_ceil(8)].to_vec();
            if !used.is_multiple_of(8)
                && let Some(byte) = last.last_mut()
            {
                *byte |= 0xff >> (used % 8);
            }
            ColumnCodes {
                first,
                end: KeyRange::prefix(&last).end,
                part,
            }
        };
        let mut found: Vec<ColumnCodes> = columns.into_iter().map(column).collect();
        found.sort_by(|a, b| a.first.cmp(&b.first));
        let mut columns: Vec<ColumnCodes> = Vec::new();
        for column in found {
            match columns.last_mut() {
                // An end is cut where its bytes end in zeros.
                Some(last)
                    if last.part == column.part
                        && last.end.as_deref().is_some_and(|end| {
                            column.first.starts_with(end)
                                && column.first[end.len()..].iter().all(|byte| *byte == 0)
                        }) =>
                {
                    last.end = column.end;
                }
                _ => columns.push(column),
            }
        }
        Self {
            level_at: usize::from(rank_of(structure, dimension)),
            codes_at: levels + 8 * before,
            codes_len: 8 * axes.len(),
            key_len: levels + 8 * structure.rank(),
            level: coarsest_first(level),
            columns,
        }
    }

    /// Who holds the chunk of a key; nobody if it lies in no column.
    pub fn chunk(&self, key: &[u8]) -> Option<Owner> {
        self.owner(key.get(BEFORE_CHUNK..)?)
    }

    /// Who holds the mark of a key: whoever holds the aggregate that it is for.
    pub fn mark(&self, key: &[u8]) -> Option<Owner> {
        self.owner(key.get(BEFORE_MARK..)?)
    }

    fn owner(&self, place: &[u8]) -> Option<Owner> {
        if *place.get(self.level_at)? < self.level {
            return Some(Owner::Top);
        }
        let code = place.get(self.codes_at..self.codes_at + self.codes_len)?;
        let behind = self
            .columns
            .partition_point(|column| column.first.as_slice() <= code);
        let column = self.columns[..behind].last()?;
        column.ends_behind(code).then_some(Owner::Part(column.part))
    }

    /// Everybody who may hold chunks whose keys are in a range, each once, in order.
    pub fn chunks(&self, range: &KeyRange) -> Vec<Owner> {
        self.owners(range, BEFORE_CHUNK)
    }

    /// Everybody who may hold marks whose keys are in a range, each once, in order.
    pub fn marks(&self, range: &KeyRange) -> Vec<Owner> {
        self.owners(range, BEFORE_MARK)
    }

    fn owners(&self, range: &KeyRange, before: usize) -> Vec<Owner> {
        if range.is_empty() {
            return Vec::new();
        }
        let len = before + self.key_len;
        let mut first = range.start.clone();
        first.resize(first.len().max(len), 0);
        let last = last_within(range, len);
        let same = first
            .iter()
            .zip(&last)
            .take_while(|(first, last)| first == last)
            .count();
        let level_known = same > before + self.level_at;
        let above = first[before + self.level_at] < self.level;
        if level_known && above {
            return vec![Owner::Top];
        }
        let codes = before + self.codes_at..before + self.codes_at + self.codes_len;
        let touched = |column: &&ColumnCodes| {
            same < codes.start
                || column.first.as_slice() <= &last[codes.clone()]
                    && column.ends_behind(&first[codes.clone()])
        };
        let parts = self.columns.iter().filter(touched);
        let mut owners: Vec<Owner> = parts.map(|column| Owner::Part(column.part)).collect();
        owners.extend((!level_known).then_some(Owner::Top));
        owners.sort_unstable();
        owners.dedup();
        owners
    }
}

/// A key of a length that is not before any other key of that length in a range.
fn last_within(range: &KeyRange, len: usize) -> Vec<u8> {
    let mut last = range.end.clone().unwrap_or_default();
    let filler = match last.last_mut() {
        // What comes before an end in zero is what it is without, and no more.
        Some(0) => {
            last.pop();
            0
        }
        Some(byte) => {
            *byte -= 1;
            u8::MAX
        }
        None => u8::MAX,
    };
    last.resize(last.len().max(len), filler);
    last
}
