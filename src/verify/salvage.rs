//! Salvage: a damaged store is copied as far as it can be read, and what can be made of the rest is made anew.

use std::collections::BTreeSet;
use std::path::Path;

use super::pages::{self, Scanned};
use crate::aggregate;
use crate::codec::checksum_of;
use crate::error::{ErrorKind, Result};
use crate::key::{ChunkKey, DirectoryEntry, GridId, LayerId, MarkKey, feed, meta, owner};
use crate::kv::{self, Batch, Durability, KeyRange, Lost, Order, Snapshot, Space};
use crate::store::{Grid, Policy, RecordKind, State, Store, StoreOptions, encode_record, read_record, write_state};

/// How many chunks are held at once.
const PAGE: usize = 64;

impl Store {
    /// Copies a damaged store that nobody has open into a new directory, as far as it can be read, and gives what cannot be. Then
    /// [`repair`](Self::repair) the new one. The old one is only read.
    ///
    /// Single damaged bytes of logs, and bits of tables, are given back what was written. Tables that are damaged otherwise are left
    /// out: the directory is made anew from the chunks, bounds in whole chunks, aggregates from the base, grids whose name is lost are
    /// called `grid-N`, and whoever follows changes starts anew. Of base chunks that are lost `repair` tells which they were. Records
    /// of the store that are lost may be there as they were some commits ago. Cut short it leaves no new store.
    ///
    /// # Errors
    ///
    /// Those of [`restore`](Self::restore), but for damage.
    pub fn salvage(store: impl AsRef<Path>, directory: impl AsRef<Path>) -> Result<Vec<Lost>> {
        kv::salvage(store.as_ref(), directory.as_ref(), &|fresh, lost| {
            if lost.is_empty() {
                return Ok(());
            }
            let options = StoreOptions::default().policy(Policy::Manual).create(false).accept_data_loss(true);
            let salvaged = options.open(fresh)?;
            name_all(&salvaged, lost)?;
            salvaged.shown()?.grids.iter().try_for_each(|grid| make_up(grid, lost))?;
            salvaged.close()
        })
    }
}

/// Whether something was lost of some keys of a space.
fn is_lost(lost: &[Lost], space: Space, range: &KeyRange) -> bool {
    lost.iter().any(|lost| lost.space == space && lost.range.overlaps(range))
}

/// Gives grids whose names were lost others, and sees to it that no number is used twice.
fn name_all(store: &Store, lost: &[Lost]) -> Result<()> {
    if !is_lost(lost, Space::Meta, &KeyRange::all()) {
        return Ok(());
    }
    let snapshot = store.current()?;
    let shown = store.shown()?;
    let schemas = snapshot.scan(Space::Meta, &KeyRange::prefix(meta::SCHEMAS), Order::Ascending, usize::MAX)?.entries;
    let mut ids: BTreeSet<GridId> = schemas.iter().filter_map(|(key, _)| owner(&key[meta::SCHEMAS.len()..])).collect();
    let mut batch = Batch::at(snapshot.as_ref());
    for nameless in ids.iter().filter(|id| shown.grids.iter().all(|grid| grid.id() != **id)) {
        // Others may be called so.
        let names = std::iter::once(String::new()).chain((2..).map(|number| format!("-{number}")));
        let mut name = Vec::new();
        for other in names {
            name = meta::name(&format!("grid-{}{other}", nameless.0));
            if let Ok(None) = read_record::<GridId>(snapshot.as_ref(), RecordKind::Name, name.clone()) {
                break;
            }
        }
        batch.expect_key(Space::Meta, name.clone());
        batch.put(Space::Meta, name, encode_record(RecordKind::Name, nameless)?);
    }
    for space in [Space::Directory, Space::Base, Space::Aggregate, Space::Dirty, Space::Feed] {
        let last = snapshot.scan(space, &KeyRange::all(), Order::Descending, 1);
        ids.extend(last.iter().flat_map(|page| &page.entries).filter_map(|(key, _)| owner(key)));
    }
    let next = read_record::<GridId>(snapshot.as_ref(), RecordKind::Next, meta::NEXT.to_vec()).unwrap_or_default();
    let free = GridId(ids.last().map_or(1, |last| last.0.saturating_add(1)));
    if next.is_none_or(|next| next < free) {
        batch.put(Space::Meta, meta::NEXT.to_vec(), encode_record(RecordKind::Next, &free)?);
    }
    if batch.writes().is_empty() { Ok(()) } else { store.commit(batch, Durability::Sync).map(drop) }
}

/// Makes anew what can be made of a grid's base.
fn make_up(grid: &Grid, lost: &[Lost]) -> Result<()> {
    let (id, chunks) = (grid.id(), ChunkKey::all(grid.id()));
    let mut batch = Batch::default();
    // The ticks of events are in the directory only.
    if grid.structure().irregular_axis().is_none() {
        let snapshot = grid.store().current()?;
        for range in lost.iter().filter(|lost| lost.space == Space::Directory).filter_map(|lost| common(&lost.range, &chunks)) {
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
    if !batch.changes_nothing() {
        grid.store().commit(batch, Durability::Sync)?;
    }
    if records_lost && grid.structure().irregular_axis().is_none() {
        bound(grid)?;
    }
    let derived = [(Space::Dirty, &MarkKey::all(id)), (Space::Directory, &chunks), (Space::Aggregate, &chunks)];
    if !records_lost && !derived.iter().any(|(space, range)| is_lost(lost, *space, range)) {
        return Ok(());
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
    grid.directory(snapshot.as_ref(), ChunkKey::layer(grid.id(), LayerId::BASE), &mut |chunk| places.push(chunk.location))?;
    let new = places.iter().try_fold(old, |state, at| state.grown(structure, &structure.chunk_window(at)))?;
    let mut batch = Batch::at(snapshot.as_ref());
    write_state(&mut batch, grid.id(), &old, &new)?;
    if batch.changes_nothing() { Ok(()) } else { grid.store().commit(batch, Durability::Sync).map(drop) }
}

/// Lists in the directory which chunks there are in a range, and no others. Where chunks are lost too, an older one may stand in
/// place of the one that counts, so that none is listed.
fn list(grid: &Grid, snapshot: &dyn Snapshot, (range, lost): (&KeyRange, &[Lost]), batch: &mut Batch) -> Result<()> {
    let chunks = grid.chunk_reader(snapshot);
    batch.delete_range(Space::Directory, range.clone());
    for space in [Space::Base, Space::Aggregate] {
        pages::each(snapshot, (space, range.clone(), PAGE), &[], &mut |part| {
            let Scanned::Entries(page) = part else { return Ok(()) };
            for (key, blob) in page {
                let Ok((layer, at)) = ChunkKey::decode(grid.id(), grid.structure(), &key) else { continue };
                if lost.iter().any(|lost| lost.space == space && lost.range.contains(&key)) {
                    continue;
                }
                let sound =
                    (layer == LayerId::BASE) == (space == Space::Base) && chunks.check_blob(layer, &at, None, &blob).is_ok();
                if let Some(checksum) = checksum_of(&blob).ok().filter(|_| sound) {
                    let entry = DirectoryEntry { bytes: blob.len() as u64, checksum, ticks: None };
                    batch.put(Space::Directory, key, entry.encode());
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// What two ranges have in common.
fn common(a: &KeyRange, b: &KeyRange) -> Option<KeyRange> {
    let end = match (&a.end, &b.end) {
        (Some(a), Some(b)) => Some(a.min(b).clone()),
        (a, b) => a.as_ref().or(b.as_ref()).cloned(),
    };
    Some(KeyRange { start: a.start.clone().max(b.start.clone()), end }).filter(|range| !range.is_empty())
}
