//! The durable engine. The only file that names the crate `rocksdb`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::statistics::{StatsLevel, Ticker};
use rocksdb::{
    BlockBasedOptions, BottommostLevelCompaction, Cache, ColumnFamily, ColumnFamilyDescriptor, CompactOptions, DB,
    DBCompressionType, DBRawIteratorWithThreadMode, DBRecoveryMode, FlushOptions, Options, ReadOptions, SnapshotWithThreadMode,
    WriteBatch, WriteOptions,
};

use super::directory::{self, Admission};
use super::group::{Group, Medium, WriteFailure};
use super::{Batch, Counters, Durability, Engine, KeyRange, Order, Page, Sequence, Snapshot, Space};
use crate::error::{Error, ErrorKind, Result};

/// Values from this size on are kept in files of their own, so that compactions do not copy them.
const BLOB_BYTES_MIN: u64 = 4 << 10;
const BLOB_FILE_BYTES: u64 = 256 << 20;
/// The oldest part of these files, out of which compactions move what is still needed.
const BLOB_AGE_CUTOFF: f64 = 0.5;
/// Bounds the time of recovery, and of the checks before it.
const WAL_BYTES_MAX: u64 = 256 << 20;
const MANIFEST_BYTES_MAX: usize = 64 << 20;
/// Values that one get pins in memory at a time.
const PINNED_VALUES_MAX: usize = 32;
const READAHEAD_BYTES: usize = 1 << 20;
const SHORT_SCAN_ENTRIES: usize = 1024;

/// How a store is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RocksOptions {
    /// Make the store if there is none.
    pub create: bool,
    /// Open a store that lost or damaged what it had promised to keep, after copying its logs to `quarantine-<n>`.
    pub accept_data_loss: bool,
    /// Bytes of decompressed blocks, indices and filters in memory.
    pub cache_bytes: usize,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self { create: false, accept_data_loss: false, cache_bytes: 64 << 20 }
    }
}

/// An [`Engine`] on RocksDB, in one directory, for one process.
pub struct Rocks {
    store: Arc<Store>,
}

struct Store {
    db: DB,
    /// Has the counters of the database.
    options: Options,
    group: Group,
    /// Holds the lock on the directory, so it goes after the database.
    admission: Admission,
}

impl Rocks {
    /// Opens the store in a directory, or makes one.
    pub fn open(path: impl AsRef<Path>, options: &RocksOptions) -> Result<Self> {
        let path = path.as_ref();
        let families: Vec<_> = Space::ALL.iter().skip(1).map(|space| family_name(*space)).collect();
        let admission = directory::admit(path, options.create, options.accept_data_loss, &families)?;
        // Where data was given up the manifest still names logs that are gone.
        let database = database_options(!admission.after_loss);
        let db = open_database(path, options, &database)?;
        let start = db.latest_sequence_number();
        admission.opened(start)?;
        Ok(Self { store: Arc::new(Store { db, options: database, group: Group::starting_at(Sequence(start)), admission }) })
    }

    /// The directory of the store.
    pub fn path(&self) -> &Path {
        self.store.db.path()
    }

    /// About how many bytes of files the entries of a range take, without those that only memory holds.
    pub fn approximate_size(&self, space: Space, range: &KeyRange) -> Result<u64> {
        let store = &self.store;
        // Without an end the greatest key bounds the range; the engine's keys are far shorter.
        let end = range.end.clone().unwrap_or_else(|| vec![u8::MAX; 64]);
        let sizes = store.db.get_approximate_sizes_cf(store.family(space)?, &[rocksdb::Range::new(&range.start, &end)]);
        Ok(sizes.iter().sum())
    }

    /// Flushes one space, so that logs are kept for the others.
    #[cfg(test)]
    pub(super) fn flush_space(&self, space: Space) -> Result<()> {
        let store = &self.store;
        store.db.flush_cf(store.family(space)?).map_err(|error| store.read_error(space, error))
    }
}

impl fmt::Debug for Rocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rocks").field("path", &self.path()).finish_non_exhaustive()
    }
}

/// The first space is the family that every database has.
fn family_name(space: Space) -> &'static str {
    match space {
        Space::Meta => "default",
        Space::Directory => "directory",
        Space::Base => "base",
        Space::Aggregate => "aggregate",
        Space::Dirty => "dirty",
        Space::Feed => "feed",
    }
}

/// Whether the values of a space are chunks.
fn is_large(space: Space) -> bool {
    matches!(space, Space::Base | Space::Aggregate)
}

/// Whether keys are written, read in order and deleted.
fn is_queue(space: Space) -> bool {
    matches!(space, Space::Dirty | Space::Feed)
}

fn open_database(path: &Path, options: &RocksOptions, database: &Options) -> Result<DB> {
    let cache = Cache::new_lru_cache(options.cache_bytes);
    let families = Space::ALL.map(|space| ColumnFamilyDescriptor::new(family_name(space), family_options(space, &cache)));
    DB::open_cf_descriptors(database, path, families).map_err(|error| open_error(path, error))
}

fn open_error(path: &Path, error: rocksdb::Error) -> Error {
    let place = path.display();
    let text = error.to_string();
    let error_of = |kind, context: String| Error::new(kind, context).because(error);
    if text.contains("lock") && text.contains("LOCK") {
        return error_of(ErrorKind::Unavailable, format!("another process has the store at {place} open"));
    }
    if text.starts_with("Corruption") {
        return error_of(ErrorKind::Corrupt, format!("the store at {place} is damaged"));
    }
    error_of(ErrorKind::Unavailable, format!("the store at {place} cannot be opened"))
}

fn database_options(verify_logs: bool) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_track_and_verify_wals_in_manifest(verify_logs);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_max_manifest_file_size(MANIFEST_BYTES_MAX);
    options.set_atomic_flush(false);
    options.set_manual_wal_flush(false);
    options.set_recycle_log_file_num(0);
    options.set_wal_compression_type(DBCompressionType::None);
    options.set_unordered_write(false);
    options.set_allow_mmap_reads(false);
    options.set_allow_mmap_writes(false);
    options.set_max_open_files(-1);
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    options.set_max_background_jobs(i32::try_from(cores).unwrap_or(i32::MAX).max(2));
    options.set_bytes_per_sync(1 << 20);
    options.set_wal_bytes_per_sync(512 << 10);
    options.set_keep_log_file_num(10);
    options.set_max_log_file_size(16 << 20);
    options.set_write_dbid_to_manifest(true);
    // Plain counters, one a core: neither histograms nor clocks.
    options.enable_statistics();
    options.set_statistics_level(StatsLevel::ExceptHistogramOrTimers);
    options
}

fn family_options(space: Space, cache: &Cache) -> Options {
    let large = is_large(space);
    let mut options = Options::default();
    // Values are compressed already, and the crate is built without any compression library.
    options.set_compression_type(DBCompressionType::None);
    options.set_bottommost_compression_type(DBCompressionType::None);
    options.set_blob_compression_type(DBCompressionType::None);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_write_buffer_size(if large { 64 << 20 } else { 8 << 20 });
    if large {
        options.set_enable_blob_files(true);
        options.set_min_blob_size(BLOB_BYTES_MIN);
        options.set_blob_file_size(BLOB_FILE_BYTES);
        options.set_enable_blob_gc(true);
        options.set_blob_gc_age_cutoff(BLOB_AGE_CUTOFF);
        options.set_blob_gc_force_threshold(0.5);
    }
    if is_queue(space) {
        // Where deletions gather, compact, or every scan has to step over them.
        options.add_compact_on_deletion_collector_factory(128, 64, 0.5);
        options.set_level_zero_file_num_compaction_trigger(2);
    }
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    if !is_queue(space) {
        table.set_bloom_filter(10.0, false);
        table.set_whole_key_filtering(true);
    }
    options.set_block_based_table_factory(&table);
    options
}

impl Store {
    fn family(&self, space: Space) -> Result<&ColumnFamily> {
        self.db.cf_handle(family_name(space)).ok_or_else(|| Error::corrupt(format!("the store has no space {space:?}")))
    }

    fn path(&self) -> PathBuf {
        self.db.path().to_path_buf()
    }

    fn read_error(&self, space: Space, error: rocksdb::Error) -> Error {
        let kind = match error.kind() {
            rocksdb::ErrorKind::Corruption => ErrorKind::Corrupt,
            _ => ErrorKind::Unavailable,
        };
        Error::new(kind, format!("space {space:?} of the store at {} cannot be read", self.path().display())).because(error)
    }

    fn write_failure(&self, error: &rocksdb::Error) -> WriteFailure {
        let (cause, place) = (error.to_string(), self.path());
        // Without space RocksDB stops writing and goes on by itself once there is some again. A write that did not fit
        // was not applied and its record in the log is torn, so nothing of it is found later. A sync that failed is
        // another matter: what the medium holds then is unknown.
        let no_space = cause.contains("No space left on device") || cause.contains("Space limit reached");
        if no_space && !cause.to_ascii_lowercase().contains("sync") {
            let context = format!("no space is left for the store at {}", place.display());
            return WriteFailure { context, cause, fatal: false };
        }
        WriteFailure { context: format!("a write to the store at {} failed", place.display()), cause, fatal: true }
    }

    fn to_write_batch(&self, batches: &[Batch]) -> Result<WriteBatch> {
        let size = batches.iter().map(Batch::size).sum::<usize>();
        let count = batches.iter().map(|batch| batch.writes().len()).sum::<usize>();
        // Type, family and two lengths come to each entry.
        let mut merged = WriteBatch::with_capacity_bytes(size + 16 * count + 16);
        for batch in batches {
            for (space, range) in batch.deleted().iter().filter(|(_, range)| !range.is_empty()) {
                let end = range.end.as_deref().ok_or_else(|| Error::invalid("a deleted range has an end"))?;
                merged.delete_range_cf(self.family(*space)?, range.start.as_slice(), end);
            }
            for write in batch.writes() {
                let family = self.family(write.space)?;
                match &write.value {
                    Some(value) => merged.put_cf(family, &write.key, value),
                    None => merged.delete_cf(family, &write.key),
                }
            }
        }
        Ok(merged)
    }
}

impl Medium for Store {
    fn write(&self, batches: &[Batch]) -> Result<(), WriteFailure> {
        let merged = self.to_write_batch(batches).map_err(|error| WriteFailure {
            context: error.to_string(),
            cause: "a family is missing".into(),
            fatal: true,
        })?;
        if merged.is_empty() {
            return Ok(());
        }
        self.db.write_opt(merged, &WriteOptions::default()).map_err(|error| self.write_failure(&error))
    }

    fn sync(&self) -> Result<(), WriteFailure> {
        // What another thread writes meanwhile may be synced, or not.
        let sequence = self.db.latest_sequence_number();
        self.db.flush_wal(true).map_err(|error| self.write_failure(&error))?;
        self.admission.synced(sequence);
        Ok(())
    }
}

impl Engine for Rocks {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        // The sequence first: the view may show later commits, which costs at most a conflict without need.
        let sequence = self.store.group.register();
        Ok(Arc::new(View::new(Arc::clone(&self.store), sequence)))
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<Sequence> {
        self.store.group.commit(&*self.store, batch, durability)
    }

    fn flush(&self) -> Result<()> {
        let store = &self.store;
        let sequence = store.db.latest_sequence_number();
        let families = Space::ALL.iter().map(|space| store.family(*space)).collect::<Result<Vec<_>>>()?;
        let families: Vec<_> = families.iter().collect();
        let mut options = FlushOptions::default();
        options.set_wait(true);
        let flushed = store.db.flush_cfs_opt(&families, &options);
        flushed.map_err(|error| {
            let failure = store.write_failure(&error);
            Error::unavailable(failure.context).because(error)
        })?;
        store.admission.settled(sequence);
        Ok(())
    }

    fn compact(&self, space: Space, range: &KeyRange) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let mut options = CompactOptions::default();
        options.set_exclusive_manual_compaction(false);
        options.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
        let start = Some(range.start.as_slice()).filter(|start| !start.is_empty());
        let (db, family) = (&self.store.db, self.store.family(space)?);
        let collect_up_to = |age: f64| {
            let option = ("blob_garbage_collection_age_cutoff", age.to_string());
            let set = if is_large(space) { db.set_options_cf(family, &[(option.0, &option.1)]) } else { Ok(()) };
            set.map_err(|error| Error::unavailable(format!("space {space:?} cannot be compacted")).because(error))
        };
        // What is kept in a file with garbage is moved, in however young a file it is.
        collect_up_to(1.0)?;
        db.compact_range_cf_opt(family, start, range.end.as_deref(), &options);
        collect_up_to(BLOB_AGE_CUTOFF)
    }

    fn counters(&self) -> Counters {
        let count = |ticker| Some(self.store.options.get_ticker_count(ticker));
        Counters { cache_hits: count(Ticker::BlockCacheHit), cache_misses: count(Ticker::BlockCacheMiss) }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // What was written goes to the medium, so that a store that was closed is a store that is there. If that fails
        // nobody had been promised more.
        let sequence = self.db.latest_sequence_number();
        let synced = self.db.flush_wal(true).is_ok();
        self.db.cancel_all_background_work(true);
        if synced {
            self.admission.settled(sequence);
        }
    }
}

/// The database as one moment left it.
struct View {
    /// Refers to the snapshot.
    options: ReadOptions,
    /// Refers to the database in `store`. It is dropped first: fields are dropped in the order they are declared.
    snapshot: SnapshotWithThreadMode<'static, DB>,
    sequence: Sequence,
    store: Arc<Store>,
}

impl View {
    fn new(store: Arc<Store>, sequence: Sequence) -> Self {
        // SAFETY: the database lies on the heap inside the `Arc`, so it does not move, and nobody can have `&mut` to it.
        // It lives as long as `store`, which this view owns and which is dropped after the snapshot that refers to it;
        // no reference obtained from here leaves this struct.
        let db: &'static DB = unsafe { &*std::ptr::from_ref(&store.db) };
        let snapshot = SnapshotWithThreadMode::new(db);
        let mut options = ReadOptions::default();
        options.set_snapshot(&snapshot);
        Self { options, snapshot, sequence, store }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.store.group.release(self.sequence);
    }
}

impl Snapshot for View {
    fn sequence(&self) -> Sequence {
        self.sequence
    }

    fn get_many(&self, space: Space, keys: &[Vec<u8>], visit: &mut dyn FnMut(usize, Option<&[u8]>) -> Result<()>) -> Result<()> {
        let family = self.store.family(space)?;
        let failed = |error| self.store.read_error(space, error);
        if let [key] = keys {
            let value = self.store.db.get_pinned_cf_opt(family, key, &self.options).map_err(failed)?;
            return visit(0, value.as_deref());
        }
        let mut position = 0;
        for keys in keys.chunks(PINNED_VALUES_MAX) {
            let values = self.store.db.batched_multi_get_cf_opt(family, keys, false, &self.options);
            for value in values {
                visit(position, value.map_err(failed)?.as_deref())?;
                position += 1;
            }
        }
        Ok(())
    }

    fn scan(&self, space: Space, range: &KeyRange, order: Order, limit: usize) -> Result<Page> {
        let mut page = Page::default();
        if range.is_empty() {
            return Ok(page);
        }
        // A long scan must not push out what point reads keep in memory, and gains from reading ahead; a short one may come
        // again, and would read far more than it shows.
        let bulk = limit > SHORT_SCAN_ENTRIES || is_large(space);
        let mut cursor = Cursor::new(self, space, range, order, bulk)?;
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
struct Cursor<'a> {
    view: &'a View,
    space: Space,
    order: Order,
    iterator: DBRawIteratorWithThreadMode<'a, DB>,
    started: bool,
}

impl<'a> Cursor<'a> {
    fn new(view: &'a View, space: Space, range: &KeyRange, order: Order, bulk: bool) -> Result<Self> {
        let mut options = ReadOptions::default();
        options.set_snapshot(&view.snapshot);
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
        let iterator = view.store.db.raw_iterator_cf_opt(view.store.family(space)?, options);
        Ok(Self { view, space, order, iterator, started: false })
    }

    fn next(&mut self) -> Result<Option<(&[u8], &[u8])>> {
        match (self.order, std::mem::replace(&mut self.started, true)) {
            (Order::Ascending, false) => self.iterator.seek_to_first(),
            (Order::Ascending, true) => self.iterator.next(),
            (Order::Descending, false) => self.iterator.seek_to_last(),
            (Order::Descending, true) => self.iterator.prev(),
        }
        if !self.iterator.valid() {
            self.iterator.status().map_err(|error| self.view.store.read_error(self.space, error))?;
            return Ok(None);
        }
        Ok(self.iterator.item())
    }
}
