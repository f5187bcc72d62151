//! Up to which number a snapshot shows every batch that there will ever be.
//!
//! Numbers are taken before commits, so that a batch may land behind one of a higher number. The
//! process that writes knows which are under way. All others, and whoever reads a snapshot of
//! earlier, are told by a record that each batch leaves behind: the least number that a commit
//! behind it may still come with.

use std::sync::Arc;

use super::catalog::{self, RecordKind, encode_record};
use super::{BatchNumber, Store};
use crate::error::Result;
use crate::key::meta;
use crate::kv::{Batch, Snapshot, Space, Write};

/// What a snapshot says of the numbers of batches.
pub(crate) struct Settled {
    /// Every batch of a lower number is in the snapshot, or will never be anywhere.
    pub(crate) below: u64,
    /// No batch of a number from here on is known to the store.
    pub(crate) end: u64,
    /// What tells the store from every other, and from itself before it lost data.
    pub(crate) identity: u64,
}

impl Settled {
    /// What the record in a snapshot says.
    fn read(snapshot: &dyn Snapshot) -> Result<Self> {
        let entered = catalog::look(snapshot)?;
        let (first, end) = entered.last_opening();
        let record = catalog::read(snapshot, RecordKind::Settled, meta::SETTLED.to_vec())?;
        Ok(Self {
            // What was under way when the store was opened for the last time never ended. A store
            // without the record was written by a version that left none.
            below: record.map_or(end, |below: u64| below.clamp(first, end)),
            end,
            identity: entered.identity,
        })
    }
}

impl Store {
    /// Leaves behind with a batch up to which number all are settled once it is committed.
    pub(crate) fn stamp(batch: &mut Batch, number: &BatchNumber) {
        let below = number.on_place();
        batch.write_when_accepted(move || {
            // A record that cannot be made leaves the one before, which says less.
            let record = encode_record(RecordKind::Settled, &below()).ok()?;
            Some(Write {
                space: Space::Meta,
                key: meta::SETTLED.to_vec(),
                value: Some(record),
            })
        });
    }

    /// A snapshot and what it shows for good. `is_present` says that `take` gives the present.
    pub(crate) fn settled(
        &self,
        is_present: bool,
        take: impl FnOnce() -> Result<Arc<dyn Snapshot>>,
    ) -> Result<(Settled, Arc<dyn Snapshot>)> {
        if !is_present || self.shared.options.reads_only() {
            let snapshot = take()?;
            return Ok((Settled::read(snapshot.as_ref())?, snapshot));
        }
        // In this order: what is below is shown by the snapshot, or never will be.
        let below = self.journal().settled_below();
        let identity = self.identity();
        let settled = Settled {
            below,
            end: below,
            identity,
        };
        Ok((settled, take()?))
    }
}
