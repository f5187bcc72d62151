//! What of an import is done while it has not ended: a record for each part, in the commit that completes it.

use serde::{Deserialize, Serialize};

use super::catalog::{RecordKind, decode_record, encode_record};
use super::{Grid, Store};
use crate::error::{Error, Result};
use crate::key::meta;
use crate::kv::{self, Durability, KeyRange, Space, for_each_page};

/// A part of an import that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DonePart {
    /// What tells it from all others: what is put, where, and over what.
    pub(crate) part: u128,
    /// What its source is called.
    pub(crate) name: String,
    /// What tells that the source is not what it was.
    pub(crate) print: u128,
}

#[derive(Serialize, Deserialize)]
struct PartRecord {
    name: String,
    print: [u64; 2],
}

impl DonePart {
    /// Adds its record to a batch.
    pub(crate) fn write(&self, grid: &Grid, batch: &mut kv::Batch) -> Result<()> {
        let half = |shift: u32| u64::try_from(self.print >> shift & u128::from(u64::MAX)).unwrap_or_default();
        let record = PartRecord { name: self.name.clone(), print: [half(64), half(0)] };
        batch.put(Space::Meta, meta::done_part(grid.id(), self.part), encode_record(RecordKind::DonePart, &record)?);
        Ok(())
    }
}

impl Grid {
    /// All parts that are done of imports that have not ended.
    pub(crate) fn done_parts(&self) -> Result<Vec<DonePart>> {
        let snapshot = self.snapshot()?;
        let mut parts = Vec::new();
        for_each_page(snapshot.as_ref(), Space::Meta, meta::done_parts(self.id()), 1024, |entries| {
            for (key, record) in entries {
                let part = meta::part_of(self.id(), &key);
                let part = part.ok_or_else(|| self.blame(Error::corrupt("a record of a finished part has another key")))?;
                let PartRecord { name, print: [high, low] } =
                    decode_record(RecordKind::DonePart, &record).map_err(|e| self.blame(e))?;
                parts.push(DonePart { part, name, print: u128::from(high) << 64 | u128::from(low) });
            }
            Ok(())
        })?;
        Ok(parts)
    }

    /// Forgets them: the import has ended.
    pub(crate) fn forget_parts(&self) -> Result<()> {
        let (store, range): (&Store, KeyRange) = (self.store(), meta::done_parts(self.id()));
        let snapshot = self.snapshot()?;
        if snapshot.scan(Space::Meta, &range, kv::Order::Ascending, 1)?.entries.is_empty() {
            return Ok(());
        }
        let mut batch = kv::Batch::at(snapshot.as_ref());
        batch.delete_range(Space::Meta, range);
        store.commit(batch, Durability::Sync).map(drop)
    }
}
