//! The seam: everything the engine keeps goes through [`Engine`], which knows spaces, keys and
//! bytes, and nothing of grids.
//!
//! # Contract
//!
//! * A [`Snapshot`] shows every commit up to its [`sequence`](Snapshot::sequence) whole, possibly a
//!   few later ones whole, and never part of one. It does not change while it lives.
//! * [`Engine::commit`] applies a [`Batch`] whole or not at all. It is refused with
//!   [`Conflict`](crate::ErrorKind::Conflict), and changes nothing, if a key or a range that the
//!   batch expects unchanged was written or deleted by a commit after the batch's snapshot. A
//!   conflict may be reported without need, never missed.
//! * A [write that was left open](Batch::write_when_accepted) is made when the batch is sure to be
//!   accepted and has its place: one batch after the other, in the order of the commits.
//! * A commit with [`Durability::Sync`] has survived power loss when the call returns; so has every
//!   commit before it. A commit with [`Durability::Buffered`] survives the death of the process; on
//!   object storage only once it was flushed. After power loss the store holds a prefix of the
//!   commits, in their order. A snapshot may show a commit that has not returned, and is not on the
//!   medium yet.
//! * An error during a scan or a get is an error, never an end or an absence.
//! * After a failed commit, other than a refusal, the engine refuses further commits with
//!   [`Poisoned`](crate::ErrorKind::Poisoned); reads go on, or are errors where the engine cannot
//!   read any more. The failed batch may be found whole after reopening, or not at all.
//! * Where a second process can open the same store for writing, that fences the first: its commits
//!   are refused with [`Fenced`](crate::ErrorKind::Fenced) and change nothing, and its reads go on
//!   or are refused with the same.
//! * A commit that found no space left may be refused with
//!   [`Unavailable`](crate::ErrorKind::Unavailable) instead, if it is sure that nothing of it is
//!   ever found; then commits are accepted again once there is space.

pub mod preflight;

mod batch;
mod faulty;
mod memory;
mod occ;
mod overlay;
mod read_only;

#[cfg(feature = "rocksdb")]
mod checkpoint;
#[cfg(feature = "rocksdb")]
mod directory;
#[cfg(any(test, feature = "rocksdb", feature = "object-store"))]
mod group;
#[cfg(test)]
mod group_tests;
#[cfg(feature = "rocksdb")]
mod links;
#[cfg(feature = "rocksdb")]
mod mending;
#[cfg(feature = "rocksdb")]
mod rocks;
#[cfg(test)]
mod shuttled_tests;
#[cfg(feature = "object-store")]
mod slate;
#[cfg(any(feature = "rocksdb", feature = "object-store"))]
mod timed;
pub(crate) mod url;

#[cfg(any(test, feature = "testing"))]
pub mod conformance;

/// What threads wait with.
#[cfg(any(test, feature = "rocksdb", feature = "object-store"))]
mod sync {
    pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
}

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use batch::{Batch, Write};
#[cfg(feature = "rocksdb")]
pub(crate) use checkpoint::{restore, salvage};
pub use faulty::{Failure, Faulty};
pub use memory::Memory;
pub use occ::History;
pub(crate) use overlay::Overlay;
pub use read_only::ReadOnly;
#[cfg(feature = "rocksdb")]
pub use rocks::{Rocks, RocksOptions};
#[cfg(feature = "object-store")]
pub use slate::{Slate, SlateOptions, SlateReader};

use crate::error::Result;

/// A separate ordered map of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Space {
    /// Format version, grid names, schemas, states. Small values.
    Meta,
    /// One small entry a chunk, under the chunk's key: scans of the other spaces would read every
    /// value.
    Directory,
    /// Base chunks. Large values.
    Base,
    /// Aggregate chunks. Large values.
    Aggregate,
    /// Marks. A queue: written, read in order, deleted.
    Dirty,
    /// What changed, an entry a commit and grid. A queue too.
    Feed,
}

impl Space {
    /// Every space.
    pub const ALL: [Space; 6] = [
        Space::Meta,
        Space::Directory,
        Space::Base,
        Space::Aggregate,
        Space::Dirty,
        Space::Feed,
    ];

    /// The position in [`ALL`](Self::ALL).
    fn index(self) -> usize {
        self as usize
    }
}

/// A position in the order of commits of one opened engine. It means nothing after reopening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sequence(pub u64);

/// When a commit returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// When it is in the operating system's hands: it survives the death of the process, not of the
    /// machine. On object storage when it is in memory: it survives both once it was flushed, soon
    /// after.
    Buffered,
    /// When it is on the medium: it survives power loss.
    #[default]
    Sync,
}

/// A half-open interval of keys, in byte order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyRange {
    /// The first key that belongs to the range.
    pub start: Vec<u8>,
    /// The first key beyond the range; `None` is the end of the space.
    pub end: Option<Vec<u8>>,
}

impl KeyRange {
    /// All keys.
    pub fn all() -> Self {
        Self {
            start: Vec::new(),
            end: None,
        }
    }

    /// All keys that begin with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        let mut end = prefix.to_vec();
        while end.last() == Some(&u8::MAX) {
            end.pop();
        }
        let end = end.last_mut().map(|last| *last += 1).map(|()| end.clone());
        Self {
            start: prefix.to_vec(),
            end,
        }
    }

    /// Whether no key can lie in the range.
    pub fn is_empty(&self) -> bool {
        self.end
            .as_deref()
            .is_some_and(|end| end <= self.start.as_slice())
    }

    /// Whether a key lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.start.as_slice() && self.end.as_deref().is_none_or(|end| key < end)
    }

    /// Whether some key can lie in both ranges.
    pub fn overlaps(&self, other: &KeyRange) -> bool {
        let begins_before_end = |a: &KeyRange, b: &KeyRange| {
            b.end.as_deref().is_none_or(|end| a.start.as_slice() < end)
        };
        !self.is_empty()
            && !other.is_empty()
            && begins_before_end(self, other)
            && begins_before_end(other, self)
    }
}

/// What a store has lost with a table that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// The space.
    pub space: Space,
    /// The keys that may have been in the table.
    pub range: KeyRange,
    /// The name of the table's file in the damaged store.
    pub file: String,
}

/// The direction of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// From the first key up.
    Ascending,
    /// From the last key down.
    Descending,
}

/// What one call of [`Snapshot::scan`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Keys and values in the order asked for, at most as many as the limit.
    pub entries: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether the range holds entries beyond the last one here.
    pub more: bool,
}

/// An ordered key-value store with atomic, optimistic commits: what an implementor provides. See
/// the [module](self) for the contract, and `conformance` for the tests that every implementation
/// runs.
pub trait Engine: Send + Sync + fmt::Debug {
    /// A view of the store as it is now.
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>>;

    /// Applies a batch.
    fn commit(&self, batch: Batch, durability: Durability) -> Result<Sequence>;

    /// Moves what is buffered in memory into its final files, durably, so that logs can be dropped.
    fn flush(&self) -> Result<()>;

    /// Gives back the space of what was deleted or overwritten in a range. What can be read does
    /// not change.
    fn compact(&self, space: Space, range: &KeyRange) -> Result<()>;

    /// Makes a copy of the store as it is now in a directory, or brings the copy there up to date;
    /// the copy is whole at every moment. [`Invalid`](crate::ErrorKind::Invalid) where the engine
    /// keeps nothing in files.
    fn checkpoint(&self, target: &Path) -> Result<()>;

    /// What the engine has counted since it was opened.
    fn counters(&self) -> Counters;

    /// Whether later snapshots show what another process has committed meanwhile.
    fn follows(&self) -> bool {
        false
    }
}

/// What an [`Engine`] counts, so far as it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Blocks that a read found in the engine's cache.
    pub cache_hits: Option<u64>,
    /// Blocks that a read did not find there.
    pub cache_misses: Option<u64>,
    /// How long ago the store was as it is read, where another process writes to it meanwhile.
    pub age: Option<Duration>,
    /// The bytes of the files of all spaces.
    pub file_bytes: Option<u64>,
    /// How many files those are, logs included.
    pub files: Option<u64>,
    /// The bytes of the logs, which are replayed when the store is opened after its process has
    /// died.
    pub log_bytes: Option<u64>,
    /// The bytes of what was written and is only in memory and in logs.
    pub buffered_bytes: Option<u64>,
    /// How long writes were held up because files could not be put in order as fast.
    pub stalled: Option<Duration>,
    /// How often a log was synced, and how long that took in all.
    pub syncs: Option<(u64, Duration)>,
}

/// A view of an [`Engine`] at one moment.
pub trait Snapshot: Send + Sync {
    /// The last commit that this view is sure to show.
    fn sequence(&self) -> Sequence;

    /// Calls `visit` once for each key, in order, with the key's position and its value, `None`
    /// where there is none. Stops at the first error, of its own or of `visit`.
    #[expect(
        clippy::type_complexity,
        reason = "an alias would hide what the visitor gets"
    )]
    fn get_many(
        &self,
        space: Space,
        keys: &[Vec<u8>],
        visit: &mut dyn FnMut(usize, Option<&[u8]>) -> Result<()>,
    ) -> Result<()>;

    /// At most `limit` entries of a range.
    fn scan(&self, space: Space, range: &KeyRange, order: Order, limit: usize) -> Result<Page>;

    /// Whether values may have to come from another machine: then one call of
    /// [`get_many`](Self::get_many) for many keys takes much less time than many for few.
    fn is_remote(&self) -> bool {
        false
    }
}

/// Calls `visit` with all entries of a range, in ascending order, at most `limit` at a time.
pub fn for_each_page(
    snapshot: &dyn Snapshot,
    space: Space,
    mut range: KeyRange,
    limit: usize,
    mut visit: impl FnMut(Vec<(Vec<u8>, Vec<u8>)>) -> Result<()>,
) -> Result<()> {
    loop {
        let Page { entries, more } = snapshot.scan(space, &range, Order::Ascending, limit)?;
        let next = entries
            .last()
            .filter(|_| more)
            .map(|(last, _)| [last.as_slice(), &[0]].concat());
        visit(entries)?;
        match next {
            Some(start) => range.start = start,
            None => return Ok(()),
        }
    }
}
