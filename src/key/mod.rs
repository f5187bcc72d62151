//! Typed keys, the small values beside them, and their bytes: the only place that knows the layout,
//! and the only home of big-endian numbers.
//!
//! ```text
//! chunk   grid u32 | layer u8 | a dimension: level, coarsest first, u8 | a dimension: Morton code
//! mark    grid u32 | derivation dimension u8 | its level, finest first, u8 | a dimension: level, coarsest first, u8
//!         | a dimension: Morton code | child u8 | sequence u64
//! feed    grid u32 | sequence u64
//! meta    `format` | `identity` | `epoch` | `next` | `name/` name | `schema/` grid | `bounds/` grid | `base-levels/` grid
//!         | `reach/` grid | `feed/` grid | `copied/` grid | `shards/` grid | `followed/` grid | `shard/` grid
//!         | `ledger/` grid | `ledger-sources/` grid page u32 | `ledger-jobs/` grid job u32
//! ```
//!
//! The directory holds, under the key of each chunk: bytes of the blob u32 | checksum of the blob
//! u64, and of a chunk of events behind it the first tick i64 and the distance of each further one
//! from the one before, as [`Ticks::encode`] has it. Along an irregular dimension it has such an
//! entry of 0 bytes for each place of the base below which chunks of events lie. A mark that such a
//! chunk has left has the ticks that changed for its value, in the same form; all have changed
//! where it has none. One that is for layers alone that were added has 0xff and the numbers of the
//! first and the last of them, or of the only one, for its value.
//!
//! A level stands as 127 - level where the coarsest comes first, as level + 128 where the finest
//! does. Dimensions stand in key order: the refinable one, the other regular ones, the Fixed ones,
//! the irregular one. The Morton code of a dimension of n axes interleaves the bits of its codes,
//! the first axis first, left-aligned in 8n bytes; so the subtree of a location is one interval,
//! the same at every level. A Fixed dimension's code is its plain number. Byte order is the order
//! of the typed keys. Sizes do not depend on the values, so no key is the prefix of another.

mod division;
mod entry;

use std::fmt;

pub use division::{Division, Owner};
pub use entry::{DirectoryEntry, Ticks};

use crate::grid::{Dimension, Level, Levels, Location, MAX_AXES, Structure, Tuple};
use crate::kv::KeyRange;

/// The number of a grid in its store, never used twice.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct GridId(pub u32);

/// The grid whose key it is, of a chunk, a mark or an entry of a feed.
#[cfg(feature = "rocksdb")]
pub fn owner(key: &[u8]) -> Option<GridId> {
    key.first_chunk()
        .map(|bytes| GridId(u32::from_be_bytes(*bytes)))
}

/// A layer of a grid: 0 is the base, `n` its n-th aggregator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayerId(pub u8);

impl LayerId {
    /// The base chunks.
    pub const BASE: LayerId = LayerId(0);

    /// The first aggregator's chunks, which stand for those of all: a place has aggregates of every
    /// layer or of none.
    pub const FIRST: LayerId = LayerId(1);
}

/// Durable record that an aggregate chunk is out of date because one of its children changed.
///
/// Marks order as the aggregator takes them: by derivation dimension, finest level first, along the
/// Morton curve.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MarkKey {
    grid: GridId,
    dimension: u8,
    finest_first: u8,
    levels: Vec<u8>,
    codes: Vec<u8>,
    child: u8,
    sequence: u64,
}

/// The key of a chunk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkKey {
    grid: GridId,
    layer: LayerId,
    levels: Vec<u8>,
    codes: Vec<u8>,
}

/// Why bytes are no key of a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyError {
    expected: &'static str,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a key of this grid: expected {}", self.expected)
    }
}

impl std::error::Error for KeyError {}

const fn wrong(expected: &'static str) -> KeyError {
    KeyError { expected }
}

/// Level bytes: 127 - level orders the coarsest first and is within 0 to 151 for every level there
/// can be.
fn coarsest_first(level: Level) -> u8 {
    (127 - i16::from(level.get())).to_be_bytes()[1]
}

fn from_coarsest_first(byte: u8) -> Result<Level, KeyError> {
    i8::try_from(127 - i16::from(byte))
        .ok()
        .and_then(|l| Level::new(l).ok())
        .ok_or(wrong("a level"))
}

/// Interleaves left-aligned codes bit by bit, the first one first.
fn interleave(codes: &[u64], bytes: &mut Vec<u8>) {
    let start = bytes.len();
    bytes.resize(start + 8 * codes.len(), 0);
    for bit in 0..64 {
        for (axis, code) in codes.iter().enumerate() {
            let at = bit * codes.len() + axis;
            if code << bit & 1 << 63 != 0 {
                bytes[start + at / 8] |= 0x80 >> (at % 8);
            }
        }
    }
}

fn deinterleave(bytes: &[u8], axes: usize) -> Tuple<u64> {
    let mut codes = Tuple::filled(axes, 0);
    for at in 0..64 * axes {
        if bytes[at / 8] & 0x80 >> (at % 8) != 0 {
            codes[at % axes] |= 1 << (63 - at / axes);
        }
    }
    codes
}

fn left_aligned(code: u64, unused: u32) -> u64 {
    code.checked_shl(unused).unwrap_or(0)
}

/// The bits of a code's eight bytes that a level does not use.
fn unused_bits(dimension: &Dimension, level: Level) -> u32 {
    if dimension.is_fixed() {
        0
    } else {
        64 - dimension.code_bits(level)
    }
}

/// The place of a dimension in key order.
fn rank_of(structure: &Structure, dimension: usize) -> u8 {
    let rank = (0_u8..=u8::MAX)
        .zip(structure.order())
        .find(|(_, of)| **of == dimension);
    rank.map_or_else(
        || unreachable!("every dimension has a place in the order of keys"),
        |(rank, _)| rank,
    )
}

/// The levels and codes of a location, in key order.
fn place(structure: &Structure, location: &Location) -> (Vec<u8>, Vec<u8>) {
    let levels = structure
        .order()
        .iter()
        .map(|&d| coarsest_first(location.levels[d]))
        .collect();
    let mut codes = Vec::with_capacity(8 * structure.rank());
    for &d in structure.order() {
        let of_axes = &location.codes[structure.axes_of(d)];
        if structure.dimensions()[d].is_fixed() {
            codes.extend_from_slice(&of_axes[0].to_be_bytes());
        } else {
            let unused = unused_bits(&structure.dimensions()[d], location.levels[d]);
            let aligned: Tuple<u64> = of_axes
                .iter()
                .map(|&code| left_aligned(code, unused))
                .collect();
            interleave(&aligned, &mut codes);
        }
    }
    (levels, codes)
}

fn location(structure: &Structure, levels: &[u8], mut codes: &[u8]) -> Result<Location, KeyError> {
    let mut at = Levels::zero(structure.dimensions().len());
    let mut of_axes = Tuple::filled(structure.rank(), 0_u64);
    for (&d, &byte) in structure.order().iter().zip(levels) {
        let dimension = &structure.dimensions()[d];
        let axes = structure.axes_of(d);
        let (head, tail) = codes
            .split_at_checked(8 * axes.len())
            .ok_or(wrong("more bytes of codes"))?;
        codes = tail;
        at[d] = from_coarsest_first(byte)?;
        if !dimension.levels().contains(&at[d]) {
            return Err(wrong("a level of the dimension"));
        }
        let unused = unused_bits(dimension, at[d]);
        let raw = deinterleave(head, axes.len());
        for (axis, code) in axes.zip(raw.iter()) {
            of_axes[axis] = code.checked_shr(unused).unwrap_or(0);
            if of_axes[axis].checked_shl(unused).unwrap_or(0) != *code
                || u128::from(of_axes[axis]) >= dimension.codes(at[d])
            {
                return Err(wrong("a code in range"));
            }
        }
    }
    Ok(Location {
        levels: at,
        codes: of_axes,
    })
}

fn take<const N: usize>(bytes: &mut &[u8], what: &'static str) -> Result<[u8; N], KeyError> {
    let (head, tail) = bytes.split_first_chunk::<N>().ok_or(wrong(what))?;
    *bytes = tail;
    Ok(*head)
}

impl ChunkKey {
    /// The key of the chunk of a layer at a location.
    pub fn new(grid: GridId, structure: &Structure, layer: LayerId, at: &Location) -> Self {
        let (levels, codes) = place(structure, at);
        Self {
            grid,
            layer,
            levels,
            codes,
        }
    }

    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(5 + self.levels.len() + self.codes.len());
        bytes.extend_from_slice(&self.grid.0.to_be_bytes());
        bytes.push(self.layer.0);
        bytes.extend_from_slice(&self.levels);
        bytes.extend_from_slice(&self.codes);
        bytes
    }

    /// The layer and location that the bytes stand for.
    pub fn decode(
        grid: GridId,
        structure: &Structure,
        mut bytes: &[u8],
    ) -> Result<(LayerId, Location), KeyError> {
        if take(&mut bytes, "a grid")? != grid.0.to_be_bytes() {
            return Err(wrong("this grid"));
        }
        let [layer] = take(&mut bytes, "a layer")?;
        let (levels, codes) = bytes
            .split_at_checked(structure.dimensions().len())
            .ok_or(wrong("levels"))?;
        if codes.len() != 8 * structure.rank() {
            return Err(wrong("eight bytes of code an axis"));
        }
        Ok((LayerId(layer), location(structure, levels, codes)?))
    }

    /// The grid that the bytes name.
    pub fn grid(mut bytes: &[u8]) -> Option<GridId> {
        take(&mut bytes, "a grid")
            .ok()
            .map(|grid| GridId(u32::from_be_bytes(grid)))
    }

    /// All chunks of a grid.
    pub fn all(grid: GridId) -> KeyRange {
        KeyRange::prefix(&grid.0.to_be_bytes())
    }

    /// All chunks of a layer.
    pub fn layer(grid: GridId, layer: LayerId) -> KeyRange {
        let [a, b, c, d] = grid.0.to_be_bytes();
        KeyRange::prefix(&[a, b, c, d, layer.0])
    }

    /// All chunks of a layer at some levels.
    pub fn levels(grid: GridId, structure: &Structure, layer: LayerId, levels: Levels) -> KeyRange {
        let mut prefix = grid.0.to_be_bytes().to_vec();
        prefix.push(layer.0);
        prefix.extend(structure.order().iter().map(|&d| coarsest_first(levels[d])));
        KeyRange::prefix(&prefix)
    }
}

impl ChunkKey {
    /// An interval that holds the chunks of a layer at `levels` below or at a location; exact for
    /// one levelled dimension.
    pub fn subtree(
        grid: GridId,
        structure: &Structure,
        layer: LayerId,
        of: &Location,
        levels: Levels,
    ) -> KeyRange {
        subtree(
            structure,
            Self::levels(grid, structure, layer, levels).start,
            of,
            levels,
        )
    }

    /// The first key behind all that share a location's place along the first dimension in key
    /// order.
    pub fn behind(grid: GridId, structure: &Structure, layer: LayerId, at: &Location) -> Vec<u8> {
        let mut key = Self::new(grid, structure, layer, at).encode();
        let axes = structure
            .order()
            .first()
            .map_or(0, |&d| structure.axes_of(d).len());
        key.truncate(5 + structure.dimensions().len() + 8 * axes);
        KeyRange::prefix(&key).end.unwrap_or(key)
    }
}

/// The tightest one interval of keys, under `prefix`, that holds the descendants of a location at
/// finer or equal levels. It is exact where all dimensions but the last in key order are at the
/// location's own levels, or there is one dimension.
fn subtree(structure: &Structure, mut prefix: Vec<u8>, of: &Location, levels: Levels) -> KeyRange {
    for &d in structure.order() {
        let axes = &of.codes[structure.axes_of(d)];
        if structure.dimensions()[d].is_fixed() {
            prefix.extend_from_slice(&axes[0].to_be_bytes());
            continue;
        }
        let unused = unused_bits(&structure.dimensions()[d], of.levels[d]);
        let first: Tuple<u64> = axes
            .iter()
            .map(|&code| left_aligned(code, unused))
            .collect();
        let mut low = Vec::with_capacity(8 * MAX_AXES);
        interleave(&first, &mut low);
        if levels[d] != of.levels[d] {
            // Bits below the location's own are free: the interval ends at the next code of its
            // level.
            let used = axes.len() * (64 - unused) as usize;
            let mut high = prefix.clone();
            high.extend_from_slice(&low);
            let at = prefix.len() * 8 + used;
            high.truncate(at.div_ceil(8));
            if !at.is_multiple_of(8)
                && let Some(last) = high.last_mut()
            {
                *last |= 0xff >> (at % 8);
            }
            prefix.extend_from_slice(&low);
            return KeyRange {
                start: prefix,
                end: KeyRange::prefix(&high).end,
            };
        }
        prefix.extend_from_slice(&low);
    }
    KeyRange::prefix(&prefix)
}

/// A mark as the engine uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The aggregate chunk that is out of date.
    pub parent: Location,
    /// The dimension along which it derives from the child.
    pub dimension: usize,
    /// The number of the child that changed.
    pub child: u8,
    /// Unique to the batch that wrote the mark, and rising.
    pub sequence: u64,
}

impl MarkKey {
    /// The key of a mark.
    pub fn new(grid: GridId, structure: &Structure, mark: &Mark) -> Self {
        let (levels, codes) = place(structure, &mark.parent);
        Self {
            grid,
            dimension: rank_of(structure, mark.dimension),
            finest_first: u8::MAX - coarsest_first(mark.parent.levels[mark.dimension]),
            levels,
            codes,
            child: mark.child,
            sequence: mark.sequence,
        }
    }

    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(15 + self.levels.len() + self.codes.len());
        bytes.extend_from_slice(&self.grid.0.to_be_bytes());
        bytes.extend_from_slice(&[self.dimension, self.finest_first]);
        bytes.extend_from_slice(&self.levels);
        bytes.extend_from_slice(&self.codes);
        bytes.push(self.child);
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes
    }

    /// The mark that the bytes stand for.
    pub fn decode(grid: GridId, structure: &Structure, mut bytes: &[u8]) -> Result<Mark, KeyError> {
        if take(&mut bytes, "a grid")? != grid.0.to_be_bytes() {
            return Err(wrong("this grid"));
        }
        let [rank, finest_first] = take(&mut bytes, "a dimension")?;
        let &dimension = structure
            .order()
            .get(usize::from(rank))
            .ok_or(wrong("a dimension"))?;
        let (levels, rest) = bytes
            .split_at_checked(structure.dimensions().len())
            .ok_or(wrong("levels"))?;
        let (codes, mut rest) = rest
            .split_at_checked(8 * structure.rank())
            .ok_or(wrong("codes"))?;
        let parent = location(structure, levels, codes)?;
        let [child] = take(&mut rest, "a child")?;
        let sequence = u64::from_be_bytes(take(&mut rest, "a sequence")?);
        let children = 1_u16
            .checked_shl(u32::try_from(structure.axes_of(dimension).len()).unwrap_or(u32::MAX))
            .unwrap_or(0);
        let consistent = finest_first == u8::MAX - coarsest_first(parent.levels[dimension])
            && !structure.dimensions()[dimension].is_fixed()
            && (u16::from(child) < children || children == 0)
            && rest.is_empty();
        if consistent {
            Ok(Mark {
                parent,
                dimension,
                child,
                sequence,
            })
        } else {
            Err(wrong("a mark"))
        }
    }

    /// The grid and the sequence that the bytes name.
    pub fn origin(mut bytes: &[u8]) -> Option<(GridId, u64)> {
        let (_, sequence) = bytes.split_last_chunk()?;
        Some((
            GridId(u32::from_be_bytes(take(&mut bytes, "a grid").ok()?)),
            u64::from_be_bytes(*sequence),
        ))
    }

    /// All marks of a grid.
    pub fn all(grid: GridId) -> KeyRange {
        KeyRange::prefix(&grid.0.to_be_bytes())
    }

    /// An interval that holds the marks along a dimension of aggregates at `levels` below or at a
    /// location; exact for one levelled dimension.
    pub fn subtree(
        grid: GridId,
        structure: &Structure,
        dimension: usize,
        of: &Location,
        levels: Levels,
    ) -> KeyRange {
        let mut prefix = grid.0.to_be_bytes().to_vec();
        prefix.push(rank_of(structure, dimension));
        prefix.push(u8::MAX - coarsest_first(levels[dimension]));
        prefix.extend(structure.order().iter().map(|&d| coarsest_first(levels[d])));
        subtree(structure, prefix, of, levels)
    }
}

/// Keys of the meta space.
pub mod meta {
    use super::{GridId, KeyRange};

    /// The store's format record.
    pub const FORMAT: &[u8] = b"format";
    /// What tells the store from every other, and from itself before it lost data.
    pub const IDENTITY: &[u8] = b"identity";
    /// The epoch: how often the store was opened for writing.
    pub const EPOCH: &[u8] = b"epoch";
    /// The least number that a commit into the store may still come with.
    pub const SETTLED: &[u8] = b"settled";
    /// The next free grid number.
    pub const NEXT: &[u8] = b"next";
    /// What the keys of names begin with.
    pub const NAMES: &[u8] = b"name/";

    /// The grid number of a name.
    pub fn name(name: &str) -> Vec<u8> {
        [NAMES, name.as_bytes()].concat()
    }

    /// What the keys of schemas begin with.
    pub const SCHEMAS: &[u8] = b"schema/";

    /// A grid's schema.
    pub fn schema(grid: GridId) -> Vec<u8> {
        [SCHEMAS, &grid.0.to_be_bytes()].concat()
    }

    /// The box of all that was put into a grid.
    pub fn bounds(grid: GridId) -> Vec<u8> {
        [b"bounds/".as_slice(), &grid.0.to_be_bytes()].concat()
    }

    /// The levels at which a grid's refinable dimension has base data.
    pub fn base_levels(grid: GridId) -> Vec<u8> {
        [b"base-levels/".as_slice(), &grid.0.to_be_bytes()].concat()
    }

    /// How much of a grid's feed is kept.
    pub fn feed(grid: GridId) -> Vec<u8> {
        [b"feed/".as_slice(), &grid.0.to_be_bytes()].concat()
    }

    /// Up to where another grid was copied into a grid.
    pub fn copied(grid: GridId) -> Vec<u8> {
        [b"copied/".as_slice(), &grid.0.to_be_bytes()].concat()
    }

    /// The shards that hold a grid's space, in the store of what lies above them.
    pub fn shards(grid: GridId) -> Vec<u8> {
        [b"shards/".as_slice(), &grid.0.to_be_bytes()].concat()
    }

    /// Up to where the shards' feeds were followed, in the same store.
    pub fn followed(grid: GridId) -> Vec<u8> {
        [b"followed/".as_slice(), &grid.0.to_be_bytes()].concat()
    }

    /// Which shard of which federation a grid is.
    pub fn shard(grid: GridId) -> Vec<u8> {
        [b"shard/".as_slice(), &grid.0.to_be_bytes()].concat()
    }

    /// What was asked of the last import into a grid.
    pub fn ledger(grid: GridId) -> Vec<u8> {
        [b"ledger/".as_slice(), &grid.0.to_be_bytes()].concat()
    }

    const LEDGER_SOURCES: &[u8] = b"ledger-sources/";
    const LEDGER_JOBS: &[u8] = b"ledger-jobs/";

    fn numbered(of: &[u8], grid: GridId, number: u32) -> Vec<u8> {
        [of, &grid.0.to_be_bytes(), &number.to_be_bytes()].concat()
    }

    /// A page of the sources of that import.
    pub fn ledger_sources(grid: GridId, page: u32) -> Vec<u8> {
        numbered(LEDGER_SOURCES, grid, page)
    }

    /// How far a job of that import is.
    pub fn ledger_job(grid: GridId, job: u32) -> Vec<u8> {
        numbered(LEDGER_JOBS, grid, job)
    }

    /// All pages of sources, and all jobs.
    pub fn ledger_parts(grid: GridId) -> [KeyRange; 2] {
        [LEDGER_SOURCES, LEDGER_JOBS]
            .map(|of| KeyRange::prefix(&[of, &grid.0.to_be_bytes()].concat()))
    }

    /// How far a grid's pyramid reaches.
    pub fn reach(grid: GridId) -> Vec<u8> {
        [b"reach/".as_slice(), &grid.0.to_be_bytes()].concat()
    }
}

/// Keys of the feed space.
pub mod feed {
    use super::{GridId, KeyError, KeyRange, take, wrong};

    /// The entry of a commit.
    pub fn key(grid: GridId, sequence: u64) -> Vec<u8> {
        [grid.0.to_be_bytes().as_slice(), &sequence.to_be_bytes()].concat()
    }

    /// The sequence of an entry.
    pub fn sequence(grid: GridId, mut bytes: &[u8]) -> Result<u64, KeyError> {
        let of_grid = take(&mut bytes, "a grid")? == grid.0.to_be_bytes();
        let sequence = u64::from_be_bytes(take(&mut bytes, "a sequence")?);
        if of_grid && bytes.is_empty() {
            Ok(sequence)
        } else {
            Err(wrong("an entry of this grid"))
        }
    }

    /// All entries of a grid.
    pub fn all(grid: GridId) -> KeyRange {
        KeyRange::prefix(&grid.0.to_be_bytes())
    }

    /// The entries of a grid above one sequence and below another.
    pub fn between(grid: GridId, above: u64, below: u64) -> KeyRange {
        KeyRange {
            start: key(grid, above.saturating_add(1)),
            end: Some(key(grid, below)),
        }
    }
}

/// The keys of the chunk, mark and feed spaces that belong to none of these grids.
pub fn unowned(grids: impl IntoIterator<Item = GridId>) -> Vec<KeyRange> {
    let mut owned: Vec<KeyRange> = grids.into_iter().map(ChunkKey::all).collect();
    owned.sort_by(|a, b| a.start.cmp(&b.start));
    let mut gaps = Vec::new();
    let mut start = Some(Vec::new());
    for KeyRange { start: owned, end } in owned {
        gaps.extend(start.map(|start| KeyRange {
            start,
            end: Some(owned),
        }));
        start = end;
    }
    gaps.extend(start.map(|start| KeyRange { start, end: None }));
    gaps.retain(|gap| !gap.is_empty());
    gaps
}

#[cfg(test)]
mod tests;
