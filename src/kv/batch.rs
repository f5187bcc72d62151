//! A batch is inert data: what to write, and what must not have changed since it was computed.

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

/// Writes that are applied together, and what they were computed from.
///
/// Of several writes of one key the last one holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    base: Sequence,
    keys: Vec<(Space, Vec<u8>)>,
    ranges: Vec<(Space, KeyRange)>,
    writes: Vec<Write>,
}

impl Batch {
    /// The most bytes that [`size`](Self::size) may reach; a larger batch is refused before anything happens.
    pub const SIZE_MAX: usize = 1 << 30;

    /// An empty batch computed from a snapshot.
    pub fn at(snapshot: &dyn Snapshot) -> Self {
        Self { base: snapshot.sequence(), ..Self::default() }
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
        self.writes.push(Write { space, key, value: Some(value) });
    }

    /// Deletes a key, which need not exist.
    pub fn delete(&mut self, space: Space, key: Vec<u8>) {
        self.writes.push(Write { space, key, value: None });
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

    /// The writes, in the order they were made.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// The bytes of all keys and values to be written.
    pub fn size(&self) -> usize {
        self.writes.iter().map(|write| write.key.len() + write.value.as_ref().map_or(0, Vec::len)).sum()
    }

    /// The writes, for an engine that keeps them.
    pub(super) fn into_writes(self) -> Vec<Write> {
        self.writes
    }

    /// What every engine refuses.
    pub(super) fn validate(&self) -> Result<()> {
        let size = self.size();
        if size > Self::SIZE_MAX {
            return Err(Error::invalid(format!("a batch of {size} bytes exceeds the limit of {} bytes", Self::SIZE_MAX)));
        }
        Ok(())
    }
}
