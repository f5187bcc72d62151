//! A batch is inert data: what to write, and what must not have changed since it was computed.

use std::fmt;
use std::sync::Arc;

use super::{KeyRange, Sequence, Snapshot, Space};
use crate::error::{Error, Result};

/// One write of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub space: Space,
    /// Under which key.
    pub key: Vec<u8>,
    /// The value; `None` deletes the key.
    pub value: Option<Vec<u8>>,
}

/// A write that depends on which commits came before.
#[derive(Clone)]
struct LateWrite(Arc<dyn Fn() -> Option<Write> + Send + Sync>);

impl fmt::Debug for LateWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LateWrite")
    }
}

/// Writes that are applied together, and what they were computed from.
///
/// Ranges are deleted first; of several writes of one key the last one holds.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    base: Sequence,
    keys: Vec<(Space, Vec<u8>)>,
    ranges: Vec<(Space, KeyRange)>,
    deleted: Vec<(Space, KeyRange)>,
    writes: Vec<Write>,
    late: Option<LateWrite>,
}

impl Batch {
    /// The most bytes that [`size`](Self::size) may reach; a larger batch is refused before
    /// anything happens.
    pub const SIZE_MAX: usize = 1 << 30;

    /// An empty batch computed from a snapshot.
    pub fn at(snapshot: &dyn Snapshot) -> Self {
        Self {
            base: snapshot.sequence(),
            ..Self::default()
        }
    }

    /// Expects that a key, present or absent, is as the snapshot showed it.
    pub fn expect_key(&mut self, space: Space, key: Vec<u8>) {
        self.keys.push((space, key));
    }

    /// Expects that no key of a range was written or deleted since the snapshot.
    pub fn expect_range(&mut self, space: Space, range: KeyRange) {
        self.ranges.push((space, range));
    }

    /// Writes a value.
    pub fn put(&mut self, space: Space, key: Vec<u8>, value: Vec<u8>) {
        self.writes.push(Write {
            space,
            key,
            value: Some(value),
        });
    }

    /// Deletes a key, which need not exist.
    pub fn delete(&mut self, space: Space, key: Vec<u8>) {
        self.writes.push(Write {
            space,
            key,
            value: None,
        });
    }

    /// Deletes every key of a range, which must have an end, but those that this batch writes.
    pub fn delete_range(&mut self, space: Space, range: KeyRange) {
        self.deleted.push((space, range));
    }

    /// Leaves a write to the moment at which the batch has its place in the order of commits, in
    /// place of one that was left before. `write` is called once at most, and may find that there
    /// is nothing to write; it is not called for a batch that is refused, and need not be for one
    /// that changes nothing else. It must not use the store: an engine may hold a lock meanwhile.
    pub fn write_when_accepted(
        &mut self,
        write: impl Fn() -> Option<Write> + Send + Sync + 'static,
    ) {
        self.late = Some(LateWrite(Arc::new(write)));
    }

    /// Makes the [write](Self::write_when_accepted) that was left to this moment. An engine calls
    /// it when nothing but a failure of the medium can keep the batch from being committed, in the
    /// order of its commits, and before it looks at the [writes](Self::writes).
    pub fn accept(&mut self) {
        self.writes
            .extend(self.late.take().and_then(|LateWrite(write)| write()));
    }

    /// The snapshot's sequence.
    pub fn base(&self) -> Sequence {
        self.base
    }

    /// The keys expected unchanged.
    pub fn keys(&self) -> &[(Space, Vec<u8>)] {
        &self.keys
    }

    /// The ranges expected unchanged.
    pub fn ranges(&self) -> &[(Space, KeyRange)] {
        &self.ranges
    }

    /// The ranges that are deleted before anything is written.
    pub fn deleted(&self) -> &[(Space, KeyRange)] {
        &self.deleted
    }

    /// The writes, in the order they were made.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// Whether a commit of this batch would change nothing, so far as is known before it is
    /// [accepted](Self::accept).
    pub fn changes_nothing(&self) -> bool {
        self.writes.is_empty() && self.deleted.is_empty()
    }

    /// The bytes of all keys, ends of ranges and values to be written.
    pub fn size(&self) -> usize {
        let writes = self
            .writes
            .iter()
            .map(|write| write.key.len() + write.value.as_ref().map_or(0, Vec::len));
        let ranges = self
            .deleted
            .iter()
            .map(|(_, range)| range.start.len() + range.end.as_ref().map_or(0, Vec::len));
        writes.chain(ranges).sum()
    }

    /// Adds all of a batch that was computed from the same snapshot and shares no key with this
    /// one.
    pub(crate) fn join(&mut self, other: Batch) {
        self.keys.extend(other.keys);
        self.ranges.extend(other.ranges);
        self.deleted.extend(other.deleted);
        self.writes.extend(other.writes);
        self.late = other.late.or(self.late.take());
    }

    /// The deleted ranges and the writes, for an engine that keeps them.
    pub fn into_parts(self) -> (Vec<(Space, KeyRange)>, Vec<Write>) {
        (self.deleted, self.writes)
    }

    /// Refuses what no engine takes: a batch that is too large, or the deletion of a range without
    /// an end.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) for either.
    pub fn validate(&self) -> Result<()> {
        let size = self.size();
        if size > Self::SIZE_MAX {
            return Err(Error::invalid(format!(
                "a batch of {size} bytes exceeds the limit of {} bytes",
                Self::SIZE_MAX
            )));
        }
        if let Some((space, _)) = self.deleted.iter().find(|(_, range)| range.end.is_none()) {
            return Err(Error::invalid(format!(
                "a range of the space {space:?} without an end cannot be deleted"
            )));
        }
        Ok(())
    }
}
