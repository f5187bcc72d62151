//! The place of a chunk.

use super::level::Levels;
use super::tuple::Tuple;

/// The place of a chunk: a level for each dimension and a chunk for each axis.
///
/// The chunk is kept as its unsigned code: along each axis, the signed index plus one third of the
/// numbers there are at its level, `code = index + floor(2^bits / 3)`; so any two chunks meet in an
/// ancestor, `code >> 1` being the parent's.
/// [`Structure::chunk_index`](super::Structure::chunk_index) gives the signed index. A location is
/// made and moved by a [`Structure`](super::Structure), which keeps it in range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    pub(crate) levels: Levels,
    pub(crate) codes: Tuple<u64>,
}

impl Location {
    /// The level of each dimension.
    pub fn levels(&self) -> Levels {
        self.levels
    }
}
