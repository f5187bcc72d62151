//! What a group of batches comes to in SlateDB, which knows no deletion of ranges.
//!
//! A deleted range is every key in it that is there, deleted: the keys are looked up when the group
//! is written, which one thread does at a time, so that none comes in between. All of it is one
//! batch of SlateDB, and so there whole or not at all. It takes the time and the memory of its
//! keys, about a hundred bytes each, but reads no large value.

use std::collections::BTreeMap;

use slatedb::bytes::Bytes;
use slatedb::config::ScanOptions;
use slatedb::{Db, WriteBatch};

use super::super::{Batch, KeyRange, Space, Write};
use super::keys;

const LISTED_BYTES: usize = 1 << 20;

/// The batch that does what these do, one after the other.
pub(super) async fn merged(db: &Db, batches: &[Batch]) -> Result<Merged, slatedb::Error> {
    let mut merged = Merged::default();
    for batch in batches {
        for (space, range) in batch
            .deleted()
            .iter()
            .filter(|(_, range)| !range.is_empty())
        {
            merged.delete_range(db, *space, range).await?;
        }
        for Write { space, key, value } in batch.writes() {
            merged.write(*space, key, value.as_deref());
        }
    }
    Ok(merged)
}

/// The last write of each key.
#[derive(Default)]
pub(super) struct Merged(BTreeMap<Vec<u8>, Option<Bytes>>);

impl Merged {
    /// What SlateDB takes; `None` if nothing changes.
    pub(super) fn into_batch(self) -> Option<WriteBatch> {
        if self.0.is_empty() {
            return None;
        }
        let mut batch = WriteBatch::new();
        for (key, value) in self.0 {
            match value {
                Some(value) => batch.put_bytes(key.into(), value),
                None => batch.delete(key),
            }
        }
        Some(batch)
    }

    fn write(&mut self, space: Space, key: &[u8], value: Option<&[u8]>) {
        if let Some(index) = keys::index_key(space, key) {
            self.0.insert(index, value.map(|_| Bytes::new()));
        }
        self.0.insert(
            keys::value_key(space, key),
            value.map(Bytes::copy_from_slice),
        );
    }

    async fn delete_range(
        &mut self,
        db: &Db,
        space: Space,
        range: &KeyRange,
    ) -> Result<(), slatedb::Error> {
        // What the batches before wrote there.
        for within in [keys::listed(space, range), keys::values(space, range)] {
            for (_, value) in self.0.range_mut(within) {
                *value = None;
            }
        }
        let options = ScanOptions::default().with_read_ahead_bytes(LISTED_BYTES);
        let mut there = db
            .scan_with_options(keys::listed(space, range), &options)
            .await?;
        while let Some(entry) = there.next().await? {
            self.write(space, keys::bare(&entry.key), None);
        }
        Ok(())
    }
}
