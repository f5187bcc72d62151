//! The files of a database: few, and without much that is of no use any more.
//!
//! The database itself merges tables, but one whose keys rise it moves to where it stays, as small
//! as it is. And it would take what is still needed out of old files of large values while it
//! merges; a damaged value that it met then would end all writing. So both are done here: small
//! tables that lie side by side are merged, and values are moved once it is known that they can be
//! read.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rocksdb::{BottommostLevelCompaction, CompactOptions, LiveFile};

use super::super::{KeyRange, Order, Space};
use super::RocksStore;
use super::options::{family_name, is_large};
use super::view::Cursor;
use crate::error::{Error, ErrorKind, Result};

/// So many tables may lie side by side that are smaller than this, their large values included.
const SMALL_TABLES_MAX: usize = 16;
const SMALL_BYTES: u64 = 16 << 20;
/// More files than this are looked at when a store is opened; without a clean end nobody has looked
/// at them.
const MANY_FILES: usize = 256;
/// Files of large values may be smaller than this on average, if there are few.
const VALUE_FILE_BYTES: u64 = 4 << 20;
const VALUE_FILES_FEW: u64 = 64;
/// How much may be moved before a store is closed.
const CLOSING_BYTES: u64 = 256 << 20;
/// How often it is looked whether there is much of no use.
const LOOK_BYTES: u64 = 64 << 20;

impl RocksStore {
    /// Merges small tables that lie side by side.
    pub(super) fn gather(&self) -> Result<()> {
        let files = self.tables()?;
        for space in Space::ALL {
            let mut tables: Vec<&LiveFile> = files
                .iter()
                .filter(|file| file.column_family_name == family_name(space))
                .collect();
            tables.sort_by(|a, b| a.start_key.cmp(&b.start_key));
            let entries: u64 = tables.iter().map(|table| table.num_entries).sum();
            let value_bytes = self.values(space)?.bytes / entries.max(1);
            let is_small = |table: &LiveFile| {
                let bytes = table
                    .num_entries
                    .saturating_mul(value_bytes)
                    .saturating_add(table.size as u64);
                bytes < SMALL_BYTES
            };
            for run in tables
                .chunk_by(|a, b| is_small(a) && is_small(b))
                .filter(|run| run.len() > SMALL_TABLES_MAX)
            {
                let start = run
                    .iter()
                    .filter_map(|table| table.start_key.clone())
                    .min()
                    .unwrap_or_default();
                let last = run.iter().filter_map(|table| table.end_key.clone()).max();
                // The key behind the last one.
                let end = last.map(|last| [last.as_slice(), &[0]].concat());
                self.compact(space, &KeyRange { start, end })?;
            }
        }
        Ok(())
    }

    /// The same if there are very many. That this could not be done is no failure.
    pub(super) fn gather_many(&self) {
        let many = !self.read_only && self.tables().is_ok_and(|tables| tables.len() > MANY_FILES);
        if many && let Err(error) = self.gather() {
            tracing::warn!(error = error.sentence(), "small files are left as they are");
        }
    }

    /// Gives space back where much is of no use, if that is done soon.
    pub(super) fn collect_little(&self) -> Result<()> {
        for space in Space::ALL {
            let values = self.values(space)?;
            if values.want_collecting() && values.bytes <= CLOSING_BYTES {
                self.compact(space, &KeyRange::all())?;
            }
        }
        Ok(())
    }

    /// Gives back the space of what was deleted or overwritten in a range.
    pub(super) fn compact(&self, space: Space, range: &KeyRange) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let mut options = CompactOptions::default();
        options.set_exclusive_manual_compaction(false);
        options.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
        let start = Some(range.start.as_slice()).filter(|start| !start.is_empty());
        let family = self.family(space)?;
        let set = |moves: bool| {
            let moves = [
                (
                    "enable_blob_garbage_collection",
                    if moves { "true" } else { "false" },
                ),
                ("blob_garbage_collection_age_cutoff", "1.0"),
                (
                    "disable_auto_compactions",
                    if moves || self.is_still(space) {
                        "true"
                    } else {
                        "false"
                    },
                ),
            ];
            let set = self.db.set_options_cf(family, &moves);
            set.map_err(|error| {
                Error::unavailable(format!("space {space:?} cannot be compacted")).because(error)
            })
        };
        // Whoever reads all meets a damaged table before the database merges it.
        let readable = !self.is_still(space) && self.can_be_read(space, range)?;
        if self.is_still(space) {
            tracing::warn!(?space, "nothing is merged where a table is damaged");
            return Ok(());
        }
        // What is kept in a file with garbage is moved, in however young a file it is.
        let moves = readable && is_large(space);
        if moves {
            set(true)?;
        }
        self.db
            .compact_range_cf_opt(family, start, range.end.as_deref(), &options);
        if moves { set(false) } else { Ok(()) }
    }

    /// Whether every value can be read of the tables in which a range lies.
    fn can_be_read(&self, space: Space, range: &KeyRange) -> Result<bool> {
        let mut range = range.clone();
        let tables = self.tables()?;
        let of_space = || {
            tables
                .iter()
                .filter(|table| table.column_family_name == family_name(space))
        };
        loop {
            let before = range.clone();
            for table in of_space() {
                let (Some(first), Some(last)) = (&table.start_key, &table.end_key) else {
                    continue;
                };
                let end = [last.as_slice(), &[0]].concat();
                let of = KeyRange {
                    start: first.clone(),
                    end: Some(end.clone()),
                };
                if of.overlaps(&range) {
                    range.start = range.start.min(of.start);
                    range.end = range.end.map(|known| known.max(end));
                }
            }
            if range == before {
                break;
            }
        }
        match self.read_all(space, &range) {
            Ok(()) => Ok(true),
            Err(error) if *error.kind() == ErrorKind::Corrupt => {
                tracing::warn!(
                    error = error.sentence(),
                    "the space of old values is not given back: not all can be read"
                );
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn read_all(&self, space: Space, range: &KeyRange) -> Result<()> {
        self.reading(|| {
            let snapshot = self.db.snapshot();
            let mut cursor = Cursor::new((self, &snapshot), space, range, Order::Ascending, true)?;
            while cursor.next()?.is_some() {}
            Ok(())
        })
    }

    fn tables(&self) -> Result<Vec<LiveFile>> {
        self.db
            .live_files()
            .map_err(|error| self.read_error(Space::Meta, error))
    }

    /// The files of a space's large values.
    fn values(&self, space: Space) -> Result<ValueFiles> {
        if !is_large(space) {
            return Ok(ValueFiles::default());
        }
        let family = self.family(space)?;
        let number = |name: &str| {
            self.db
                .property_int_value_cf(family, name)
                .ok()
                .flatten()
                .unwrap_or(0)
        };
        Ok(ValueFiles {
            files: number("rocksdb.num-blob-files"),
            bytes: number("rocksdb.live-blob-file-size"),
            garbage: number("rocksdb.live-blob-file-garbage-size"),
        })
    }
}

/// Files of large values.
#[derive(Debug, Default)]
struct ValueFiles {
    files: u64,
    bytes: u64,
    /// The bytes of values that nobody needs any more.
    garbage: u64,
}

impl ValueFiles {
    fn want_collecting(&self) -> bool {
        self.garbage > self.bytes / 2 && self.bytes > VALUE_FILE_BYTES
            || self.files > VALUE_FILES_FEW + self.bytes / VALUE_FILE_BYTES
    }
}

/// Gives space back while a store is written to, in a thread that comes and goes.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    written: AtomicU64,
    stopped: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Upkeep {
    /// Notes that so many bytes were written.
    pub(super) fn after(&self, bytes: usize, store: &Arc<RocksStore>) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if self
            .written
            .fetch_add(bytes, Ordering::Relaxed)
            .saturating_add(bytes)
            < LOOK_BYTES
        {
            return;
        }
        self.written.store(0, Ordering::Relaxed);
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        let (store, stopped) = (Arc::clone(store), Arc::clone(&self.stopped));
        let work = move || {
            for space in Space::ALL {
                let wanted = store
                    .values(space)
                    .is_ok_and(|values| values.want_collecting());
                if wanted
                    && !stopped.load(Ordering::Relaxed)
                    && let Err(error) = store.compact(space, &KeyRange::all())
                {
                    tracing::warn!(
                        error = error.sentence(),
                        "the space of old values is not given back"
                    );
                }
            }
        };
        // Without a thread it is looked again later.
        *thread = thread::Builder::new()
            .name("gridstone-upkeep".to_owned())
            .spawn(work)
            .ok();
    }

    /// Lets what is under way end, and begins nothing more.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the upkeep of the files panicked");
        }
    }
}
