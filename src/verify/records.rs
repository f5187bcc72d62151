//! The check of records of which a bit has flipped: they are read as they were written, and are
//! damaged all the same.

use super::pages::{self, Scanned};
use super::{Damage, Finding};
use crate::codec::{is_record, mended_record};
use crate::error::Result;
use crate::key::{GridId, meta};
use crate::kv::{Batch, Durability, KeyRange, Snapshot, Space};
use crate::store::{Grid, Store};

const PAGE: usize = 1024;

/// A damaged record.
struct Flipped {
    space: Space,
    key: Vec<u8>,
    /// As it was written, if that can be told.
    mended: Option<Vec<u8>>,
}

/// The damaged records of a store.
fn damaged(snapshot: &dyn Snapshot) -> Result<Vec<Flipped>> {
    let mut found = Vec::new();
    for space in [Space::Meta, Space::Feed] {
        pages::each(snapshot, (space, KeyRange::all(), PAGE), &[], &mut |part| {
            // What the engine cannot read is found where it is needed.
            let Scanned::Entries(page) = part else {
                return Ok(());
            };
            let damaged = page.into_iter().filter(|(_, value)| !is_record(value));
            found.extend(damaged.map(|(key, value)| Flipped {
                space,
                key,
                mended: mended_record(&value),
            }));
            Ok(())
        })?;
    }
    Ok(found)
}

/// What is to be told of the records of a store.
pub(super) fn findings(grids: &[Grid], snapshot: &dyn Snapshot) -> Result<Vec<Finding>> {
    let finding = |record: Flipped| {
        let grid = record.grid(grids);
        let of = grid.map_or_else(
            || "the store".to_owned(),
            |grid| format!("grid `{}`", grid.name()),
        );
        let what = match record.mended {
            Some(_) => "one bit of it has flipped, and it is read as it was written",
            // Whoever reads it tells more of a grid's.
            None if grid.is_some() => return None,
            None => "it is damaged",
        };
        let message = format!("{of}: the record `{}`: {what}", record.key.escape_ascii());
        Some(Finding::new(Damage::Record, grid.map(Grid::name), message))
    };
    Ok(damaged(snapshot)?.into_iter().filter_map(finding).collect())
}

/// Writes anew what is read as it was written.
pub(super) fn mend(store: &Store) -> Result<()> {
    let snapshot = store.current()?;
    let mut batch = Batch::at(snapshot.as_ref());
    for record in damaged(snapshot.as_ref())? {
        if let Some(mended) = record.mended {
            batch.expect_key(record.space, record.key.clone());
            batch.put(record.space, record.key, mended);
        }
    }
    if batch.writes().is_empty() {
        Ok(())
    } else {
        store.commit(batch, Durability::Sync).map(drop)
    }
}

impl Flipped {
    /// The grid whose record it is.
    fn grid<'a>(&self, grids: &'a [Grid]) -> Option<&'a Grid> {
        let of = |id: GridId| {
            [
                meta::schema,
                meta::bounds,
                meta::base_levels,
                meta::reach,
                meta::feed,
                meta::copied,
                meta::shards,
                meta::followed,
                meta::shard,
                meta::ledger,
            ]
            .map(|key| key(id))
        };
        grids.iter().find(|grid| match self.space {
            Space::Feed => crate::key::feed::sequence(grid.id(), &self.key).is_ok(),
            _ => {
                self.key == meta::name(&grid.name())
                    || of(grid.id()).contains(&self.key)
                    || meta::ledger_parts(grid.id())
                        .iter()
                        .any(|part| part.contains(&self.key))
            }
        })
    }
}
