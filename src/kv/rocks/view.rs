//! Reading.

use std::sync::Arc;

use rocksdb::{DB, DBRawIteratorWithThreadMode, ReadOptions, SnapshotWithThreadMode};

use super::super::{KeyRange, Order, Page, Sequence, Snapshot, Space};
use super::RocksStore;
use super::options::is_large;
use crate::error::Result;

/// Values that one get pins in memory at a time.
const PINNED_VALUES_MAX: usize = 32;
const READAHEAD_BYTES: usize = 1 << 20;
const SHORT_SCAN_ENTRIES: usize = 1024;

/// The database as one moment left it.
pub(super) struct RocksView {
    /// Refers to the snapshot.
    options: ReadOptions,
    /// Refers to the database in `store`. It is dropped first: fields are dropped in the order they
    /// are declared.
    snapshot: SnapshotWithThreadMode<'static, DB>,
    sequence: Sequence,
    store: Arc<RocksStore>,
}

impl RocksView {
    pub(super) fn new(store: Arc<RocksStore>, sequence: Sequence) -> Self {
        // SAFETY: the database lies on the heap inside the `Arc`, so it does not move, and nobody
        // can have `&mut` to it. It lives as long as `store`, which this view owns and which is
        // dropped after the snapshot that refers to it; no reference obtained from here leaves this
        // struct.
        let db: &'static DB = unsafe { &*std::ptr::from_ref(&store.db) };
        let snapshot = SnapshotWithThreadMode::new(db);
        let mut options = ReadOptions::default();
        options.set_snapshot(&snapshot);
        Self {
            options,
            snapshot,
            sequence,
            store,
        }
    }
}

impl Drop for RocksView {
    fn drop(&mut self) {
        self.store.group.release(self.sequence);
    }
}

impl Snapshot for RocksView {
    fn sequence(&self) -> Sequence {
        self.sequence
    }

    fn get_many(
        &self,
        space: Space,
        keys: &[Vec<u8>],
        visit: &mut dyn FnMut(usize, Option<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        let family = self.store.family(space)?;
        let get = |key: &[u8]| {
            let get = || self.store.db.get_pinned_cf_opt(family, key, &self.options);
            self.store
                .reading(|| get().map_err(|error| self.store.read_error(space, error)))
        };
        if let [key] = keys {
            return visit(0, get(key)?.as_deref());
        }
        let mut position = 0;
        for keys in keys.chunks(PINNED_VALUES_MAX) {
            let values = self
                .store
                .db
                .batched_multi_get_cf_opt(family, keys, false, &self.options);
            for (key, value) in keys.iter().zip(values) {
                // What failed is read once more, alone.
                visit(position, value.or_else(|_| get(key))?.as_deref())?;
                position += 1;
            }
        }
        Ok(())
    }

    fn scan(&self, space: Space, range: &KeyRange, order: Order, limit: usize) -> Result<Page> {
        self.store.reading(|| self.page(space, range, order, limit))
    }
}

impl RocksView {
    fn page(&self, space: Space, range: &KeyRange, order: Order, limit: usize) -> Result<Page> {
        let mut page = Page::default();
        if range.is_empty() {
            return Ok(page);
        }
        // A long scan must not push out what point reads keep in memory, and gains from reading
        // ahead; a short one may come again, and would read far more than it shows.
        let bulk = limit > SHORT_SCAN_ENTRIES || is_large(space);
        let mut cursor = Cursor::new((&self.store, &self.snapshot), space, range, order, bulk)?;
        while let Some((key, value)) = cursor.next()? {
            if page.entries.len() == limit {
                page.more = true;
                break;
            }
            page.entries.push((key.to_vec(), value.to_vec()));
        }
        Ok(page)
    }
}

/// The only way to iterate: an error is an error, never the end.
pub(super) struct Cursor<'a> {
    store: &'a RocksStore,
    space: Space,
    order: Order,
    iterator: DBRawIteratorWithThreadMode<'a, DB>,
    started: bool,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(
        (store, snapshot): (&'a RocksStore, &SnapshotWithThreadMode<'_, DB>),
        space: Space,
        range: &KeyRange,
        order: Order,
        bulk: bool,
    ) -> Result<Self> {
        let mut options = ReadOptions::default();
        options.set_snapshot(snapshot);
        if bulk {
            options.fill_cache(false);
            options.set_readahead_size(READAHEAD_BYTES);
        }
        if !range.start.is_empty() {
            options.set_iterate_lower_bound(range.start.clone());
        }
        if let Some(end) = &range.end {
            options.set_iterate_upper_bound(end.clone());
        }
        let iterator = store.db.raw_iterator_cf_opt(store.family(space)?, options);
        Ok(Self {
            store,
            space,
            order,
            iterator,
            started: false,
        })
    }

    pub(super) fn next(&mut self) -> Result<Option<(&[u8], &[u8])>> {
        match (self.order, std::mem::replace(&mut self.started, true)) {
            (Order::Ascending, false) => self.iterator.seek_to_first(),
            (Order::Ascending, true) => self.iterator.next(),
            (Order::Descending, false) => self.iterator.seek_to_last(),
            (Order::Descending, true) => self.iterator.prev(),
        }
        if !self.iterator.valid() {
            self.iterator
                .status()
                .map_err(|error| self.store.read_error(self.space, error))?;
            return Ok(None);
        }
        Ok(self.iterator.item())
    }
}
