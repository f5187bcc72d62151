//! Salvage: a damaged store is copied as far as it can be read, and what can be made of the rest is
//! made anew.

use std::collections::BTreeSet;
use std::path::Path;

use crate::aggregate;
use crate::codec::checksum_of;
use crate::error::{ErrorKind, Result};
use crate::key::{ChunkKey, DirectoryEntry, GridId, LayerId, MarkKey, feed, meta, owner};
use crate::kv::{self, Batch, Durability, KeyRange, Lost, Order, Snapshot, Space, for_each_page};
use crate::ledger;
use crate::store::{
    Grid, Policy, RecordKind, State, Store, StoreOptions, encode_record, read_record, write_state,
};

/// How many chunks are held at once.
const PAGE: usize = 64;
/// More failures to read several chunks at once are no case of single chunks that are damaged.
const FAILURES_MAX: u32 = 1 << 14;

impl Store {
    /// Copies a damaged store that nobody has open into a new directory, as far as it can be read,
    /// and gives what cannot be. Then [`repair`](Self::repair) the new one. The old one is only
    /// read.
    ///
    /// Single damaged bytes of logs, and bits of tables, are given back what was written. Tables
    /// that are damaged otherwise are left out: the directory is made anew from the chunks, bounds
    /// in whole chunks, aggregates from the base, grids whose name is lost are called `grid-N`, and
    /// whoever follows changes starts anew. Of base chunks that are lost `repair` tells which they
    /// were; chunks of events are lost with their part of the directory. Records of the store that
    /// are lost may be there as they were some commits ago. Aggregates of a service's own
    /// aggregators are made by the next [`aggregate`](Self::aggregate) of that service. Cut short
    /// it leaves no new store.
    ///
    /// # Errors
    ///
    /// Those of [`restore`](Self::restore), but for damage.
    pub fn salvage(store: impl AsRef<Path>, directory: impl AsRef<Path>) -> Result<Vec<Lost>> {
        kv::salvage(store.as_ref(), directory.as_ref(), &|fresh, lost| {
            if lost.is_empty() {
                return Ok(());
            }
            let options = StoreOptions::default()
                .policy(Policy::Manual)
                .create(false)
                .accept_data_loss(true);
            let salvaged = options.open(fresh)?;
            name_all(&salvaged, lost)?;
            salvaged
                .shown()?
                .grids
                .iter()
                .try_for_each(|grid| make_up(grid, lost))?;
            salvaged.close()
        })
    }
}

/// Whether something was lost of some keys of a space.
fn is_lost(lost: &[Lost], space: Space, range: &KeyRange) -> bool {
    lost.iter()
        .any(|lost| lost.space == space && lost.range.overlaps(range))
}

/// Gives grids whose names were lost others, and sees to it that no number is used twice.
fn name_all(store: &Store, lost: &[Lost]) -> Result<()> {
    if !is_lost(lost, Space::Meta, &KeyRange::all()) {
        return Ok(());
    }
    let snapshot = store.current()?;
    let shown = store.shown()?;
    let schemas = snapshot
        .scan(
            Space::Meta,
            &KeyRange::prefix(meta::SCHEMAS),
            Order::Ascending,
            usize::MAX,
        )?
        .entries;
    let mut ids: BTreeSet<GridId> = schemas
        .iter()
        .filter_map(|(key, _)| owner(&key[meta::SCHEMAS.len()..]))
        .collect();
    let mut batch = Batch::at(snapshot.as_ref());
    for nameless in ids
        .iter()
        .filter(|id| shown.grids.iter().all(|grid| grid.id() != **id))
    {
        // Others may be called so.
        let names = std::iter::once(String::new()).chain((2..).map(|number| format!("-{number}")));
        let mut name = Vec::new();
        for other in names {
            name = meta::name(&format!("grid-{}{other}", nameless.0));
            if let Ok(None) =
                read_record::<GridId>(snapshot.as_ref(), RecordKind::Name, name.clone())
            {
                break;
            }
        }
        batch.expect_key(Space::Meta, name.clone());
        batch.put(
            Space::Meta,
            name,
            encode_record(RecordKind::Name, nameless)?,
        );
    }
    for space in [
        Space::Directory,
        Space::Base,
        Space::Aggregate,
        Space::Dirty,
        Space::Feed,
    ] {
        let last = snapshot.scan(space, &KeyRange::all(), Order::Descending, 1);
        ids.extend(
            last.iter()
                .flat_map(|page| &page.entries)
                .filter_map(|(key, _)| owner(key)),
        );
    }
    let next = read_record::<GridId>(snapshot.as_ref(), RecordKind::Next, meta::NEXT.to_vec())
        .unwrap_or_default();
    let free = GridId(ids.last().map_or(1, |last| last.0.saturating_add(1)));
    if next.is_none_or(|next| next < free) {
        batch.put(
            Space::Meta,
            meta::NEXT.to_vec(),
            encode_record(RecordKind::Next, &free)?,
        );
    }
    if batch.writes().is_empty() {
        Ok(())
    } else {
        store.commit(batch, Durability::Sync).map(drop)
    }
}

/// Makes anew what can be made of a grid's base.
fn make_up(grid: &Grid, lost: &[Lost]) -> Result<()> {
    let (id, chunks) = (grid.id(), ChunkKey::all(grid.id()));
    let mut batch = Batch::default();
    // The ticks of events are in the directory only.
    if grid.structure().irregular_axis().is_none() {
        let snapshot = grid.store().current()?;
        for range in lost
            .iter()
            .filter(|lost| lost.space == Space::Directory)
            .filter_map(|lost| common(&lost.range, &chunks))
        {
            list(grid, snapshot.as_ref(), (&range, lost), &mut batch)?;
        }
    }
    let records_lost = is_lost(lost, Space::Meta, &KeyRange::all());
    if records_lost || is_lost(lost, Space::Feed, &feed::all(id)) {
        batch.delete_range(Space::Feed, feed::all(id));
        batch.delete(Space::Meta, meta::feed(id));
    }
    if records_lost || is_lost(lost, Space::Base, &chunks) {
        // What was copied may be lost, and is copied again.
        batch.delete(Space::Meta, meta::copied(id));
    }
    let of_base = [(Space::Base, &chunks), (Space::Directory, &chunks)];
    if records_lost || of_base.iter().any(|(space, of)| is_lost(lost, *space, of)) {
        // What was imported may be lost, and is imported again.
        ledger::forget(id, &mut batch);
    }
    if !batch.changes_nothing() {
        grid.store().commit(batch, Durability::Sync)?;
    }
    if records_lost && grid.structure().irregular_axis().is_none() {
        bound(grid)?;
    }
    let derived = [
        (Space::Dirty, &MarkKey::all(id)),
        (Space::Directory, &chunks),
        (Space::Aggregate, &chunks),
    ];
    if !records_lost
        && !derived
            .iter()
            .any(|(space, range)| is_lost(lost, *space, range))
    {
        return Ok(());
    }
    if grid.check_layers().is_err() {
        return take_down(grid);
    }
    match aggregate::rebuild(grid, &BTreeSet::new()) {
        // A base chunk that is lost: repair takes it out.
        Err(error) if *error.kind() == ErrorKind::Corrupt => Ok(()),
        rebuilt => rebuilt,
    }
}

/// Lets a grid's bounds and base levels hold all of its base chunks.
fn bound(grid: &Grid) -> Result<()> {
    let (snapshot, structure) = (grid.store().current()?, grid.structure());
    let old = match grid.state(snapshot.as_ref()) {
        Err(error) if *error.kind() == ErrorKind::Corrupt => State::default(),
        state => state?,
    };
    let mut places = Vec::new();
    grid.directory(
        snapshot.as_ref(),
        ChunkKey::layer(grid.id(), LayerId::BASE),
        &mut |chunk| places.push(chunk.location),
    )?;
    let new = places.iter().try_fold(old, |state, at| {
        state.grown(structure, &structure.chunk_window(at))
    })?;
    let mut batch = Batch::at(snapshot.as_ref());
    write_state(&mut batch, grid.id(), &old, &new)?;
    if batch.changes_nothing() {
        Ok(())
    } else {
        grid.store().commit(batch, Durability::Sync).map(drop)
    }
}

/// Takes all aggregates out of a grid of which some cannot be made here, as after a bulk load:
/// whoever can makes them anew.
fn take_down(grid: &Grid) -> Result<()> {
    let id = grid.id();
    let aggregates = KeyRange {
        start: ChunkKey::layer(id, LayerId::FIRST).start,
        end: ChunkKey::all(id).end,
    };
    let mut batch = Batch::default();
    batch.delete_range(Space::Directory, aggregates.clone());
    batch.delete_range(Space::Aggregate, aggregates);
    batch.delete_range(Space::Dirty, MarkKey::all(id));
    batch.delete(Space::Meta, meta::reach(id));
    grid.store().commit(batch, Durability::Sync).map(drop)
}

/// Lists in the directory which base chunks there are in a range, and no others; aggregates are
/// made anew. Where chunks are lost too, an older one may stand in place of the one that counts, so
/// that none is listed.
fn list(
    grid: &Grid,
    snapshot: &dyn Snapshot,
    (range, lost): (&KeyRange, &[Lost]),
    batch: &mut Batch,
) -> Result<()> {
    let (chunks, structure) = (grid.chunk_reader(snapshot), grid.structure());
    batch.delete_range(Space::Directory, range.clone());
    let Some(range) = common(range, &ChunkKey::layer(grid.id(), LayerId::BASE)) else {
        return Ok(());
    };
    let mut base = BaseChunks {
        snapshot,
        failures: 0,
    };
    base.each(&range, &[], &mut |key, blob| {
        let Ok((layer, at)) = ChunkKey::decode(grid.id(), structure, key) else {
            return false;
        };
        let entry = match blob {
            // Whoever verifies the grid finds that it cannot be read.
            None => Some(DirectoryEntry {
                bytes: 1,
                checksum: 0,
                ticks: None,
            }),
            Some(_)
                if lost
                    .iter()
                    .any(|lost| lost.space == Space::Base && lost.range.contains(key)) =>
            {
                None
            }
            Some(blob) if chunks.check_blob(layer, &at, None, blob).is_err() => None,
            Some(blob) => checksum_of(blob).ok().map(|checksum| DirectoryEntry {
                bytes: blob.len() as u64,
                checksum,
                ticks: None,
            }),
        };
        if let Some(entry) = entry {
            batch.put(Space::Directory, key.to_vec(), entry.encode());
        }
        true
    })
}

/// The base chunks, of which some cannot be read.
struct BaseChunks<'a> {
    snapshot: &'a dyn Snapshot,
    /// How often several could not be read at once.
    failures: u32,
}

/// Takes the key of a chunk, and its blob if that can be read; gives whether the key is one of a
/// chunk.
type VisitBlob<'a> = &'a mut dyn FnMut(&[u8], Option<&[u8]>) -> bool;

impl BaseChunks<'_> {
    /// Calls `visit` with all chunks of a range whose keys begin with a prefix. Where some cannot
    /// be read together those with each longer prefix are tried, until one key is left.
    fn each(&mut self, range: &KeyRange, prefix: &[u8], visit: VisitBlob<'_>) -> Result<()> {
        let Some(mut part) = common(range, &KeyRange::prefix(prefix)) else {
            return Ok(());
        };
        let read = for_each_page(self.snapshot, Space::Base, part.clone(), PAGE, |page| {
            for (key, blob) in &page {
                visit(key.as_slice(), Some(blob.as_slice()));
                part.start = [key.as_slice(), &[0]].concat();
            }
            Ok(())
        });
        match read {
            Err(error) if *error.kind() == ErrorKind::Corrupt => {}
            read => return read,
        }
        self.failures += 1;
        if visit(prefix, None) || self.failures > FAILURES_MAX {
            return Ok(());
        }
        for next in 0..=u8::MAX {
            self.each(&part, &[prefix, &[next]].concat(), visit)?;
        }
        Ok(())
    }
}

/// What two ranges have in common.
fn common(a: &KeyRange, b: &KeyRange) -> Option<KeyRange> {
    let end = match (&a.end, &b.end) {
        (Some(a), Some(b)) => Some(a.min(b).clone()),
        (a, b) => a.as_ref().or(b.as_ref()).cloned(),
    };
    Some(KeyRange {
        start: a.start.clone().max(b.start.clone()),
        end,
    })
    .filter(|range| !range.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Axis, DType, Dimension, Schema, Structure};

    #[test]
    fn a_grid_whose_name_is_lost_gets_one_that_is_free() {
        let store = Store::in_memory().expect("memory");
        let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 4)]);
        let structure = Structure::builder().dimension(x).build().expect("valid");
        let schema = Schema::builder(structure, DType::U8)
            .build()
            .expect("valid");
        let nameless = store.create("a", schema.clone()).expect("made").id();
        let taken = format!("grid-{}", nameless.0);
        let other = store.create(&taken, schema.clone()).expect("made").id();
        let mut batch = Batch::default();
        batch.delete(Space::Meta, meta::name("a"));
        store
            .commit(batch, Durability::Buffered)
            .expect("committed");
        let lost = Lost {
            space: Space::Meta,
            range: KeyRange::all(),
            file: "000007.sst".to_owned(),
        };
        name_all(&store, &[lost]).expect("named");
        let id = |name: &str| store.grid(name).expect("there").id();
        assert_eq!((id(&taken), id(&format!("{taken}-2"))), (other, nameless));
        assert_eq!(store.grids().expect("readable").len(), 2);
        let next = store.create("b", schema).expect("made").id();
        assert!(
            next > nameless && next > other,
            "a number is not used twice: {next:?}"
        );
    }
}
