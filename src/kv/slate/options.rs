//! How a store on object storage is opened, and how SlateDB is set up for it.

use std::path::PathBuf;
use std::time::Duration;

use chrono::TimeDelta;
use slatedb::config::{
    CompactorOptions, DbReaderOptions, GarbageCollectorDirectoryOptions, GarbageCollectorOptions,
    ObjectStoreCacheOptions, Settings,
};

/// A merged table has so many times the bytes of a young one.
const YOUNG_SHARE: usize = 8;
const MERGED_BYTES: usize = 256 << 20;
const BUFFERED_BYTES_MAX: usize = 256 << 20;
/// More tables than this that were not merged yet hold up writes.
const YOUNG_TABLES_MAX: usize = 16;
/// A table of a hundred large values has a filter too: it spares requests.
const FILTER_KEYS_MIN: u32 = 1;
const CACHE_BYTES: usize = 64 << 20;
/// What is read for the directory, if any of it is wanted.
const PART_BYTES: usize = 1 << 20;
const WARMED_TABLES: usize = 64;
/// No file that somebody may still begin to read is younger.
const MIN_AGE: Duration = Duration::from_secs(5 * 60);
/// A writer that was suspended for longer must not go on: without conditional overwriting nothing
/// else would tell it that its manifest is old.
const MANIFEST_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// How a store on object storage is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlateOptions {
    /// Make the store if there is none.
    pub create: bool,
    /// How long a commit that does not wait for the medium may be in memory only.
    pub flush_interval: Duration,
    /// How long the object storage may take to answer a read, or the first request of an opening,
    /// attempts to try again included, or to take the last bytes when a store is closed; for other
    /// writes, and for all of an opening for writing, ten times as long.
    pub timeout: Duration,
    /// Bytes of blocks, indices and filters in memory, and of small values.
    pub cache_bytes: usize,
    /// If a store has at most so many tables, the indices and filters of all are fetched when it is
    /// opened; else those of a table when it is read for the first time.
    pub warmed_tables: usize,
    /// How far a reader may lie behind the writer, beside the flush interval.
    pub age_max: Duration,
    /// How long the writer keeps files that it has replaced, for readers that still read them.
    pub kept: Duration,
    /// How often the writer looks for tables to merge.
    pub merge_interval: Duration,
    /// Bytes of a table that others were merged into; bytes in memory become a table when they are
    /// an eighth of that. The list of all tables is written anew with each change, so that smaller
    /// ones cost more.
    pub table_bytes: usize,
    /// A directory, and its bytes at most, for parts of files that were read.
    pub disk_cache: Option<(PathBuf, usize)>,
    /// By how many seconds the machine's clock is wrong.
    #[cfg(feature = "testing")]
    pub clock_ahead: i64,
}

impl Default for SlateOptions {
    fn default() -> Self {
        Self {
            create: false,
            flush_interval: Duration::from_millis(100),
            timeout: Duration::from_secs(60),
            cache_bytes: CACHE_BYTES,
            warmed_tables: WARMED_TABLES,
            age_max: Duration::from_secs(10),
            kept: Duration::from_secs(15 * 60),
            merge_interval: Duration::from_secs(1),
            table_bytes: MERGED_BYTES,
            disk_cache: None,
            #[cfg(feature = "testing")]
            clock_ahead: 0,
        }
    }
}

impl SlateOptions {
    /// How often a request is tried again, with pauses of up to a second between.
    fn retries(&self) -> Option<u32> {
        Some(
            u32::try_from(self.timeout.as_secs() / 3)
                .unwrap_or(u32::MAX)
                .clamp(2, 60),
        )
    }

    fn disk_cache(&self) -> ObjectStoreCacheOptions {
        let mut options = ObjectStoreCacheOptions::default();
        if let Some((directory, bytes)) = &self.disk_cache {
            options.root_folder = Some(directory.clone());
            options.max_cache_size_bytes = Some(*bytes);
            options.part_size_bytes = PART_BYTES;
        }
        options
    }

    /// By how much the machine's clock is wrong: tests say so.
    pub(super) fn clock_ahead(&self) -> TimeDelta {
        #[cfg(feature = "testing")]
        let seconds = self.clock_ahead;
        #[cfg(not(feature = "testing"))]
        let seconds = 0;
        TimeDelta::seconds(seconds)
    }

    /// How a writer is set up. `conditional`: an object can be overwritten on the condition that
    /// nobody else has.
    pub(super) fn settings(&self, conditional: bool) -> Settings {
        let retries = self.retries();
        let every = |min_age| {
            Some(GarbageCollectorDirectoryOptions {
                interval: Some(Duration::from_secs(60)),
                min_age,
                dry_run: false,
            })
        };
        let manifests = if conditional {
            self.kept.max(MIN_AGE)
        } else {
            MANIFEST_AGE
        };
        let garbage = GarbageCollectorOptions {
            manifest_options: every(manifests),
            wal_options: every(MIN_AGE),
            // They are what keeps an old writer out, and take no bytes.
            wal_fence_options: None,
            compacted_options: every(self.kept.max(MIN_AGE)),
            compactions_options: every(manifests),
            detach_options: None,
            metric_level: None,
            boundary_files_enabled: conditional,
            object_store_max_retries: retries,
        };
        Settings {
            flush_interval: Some(self.flush_interval),
            max_unflushed_bytes: BUFFERED_BYTES_MAX,
            l0_sst_size_bytes: self.table_bytes / YOUNG_SHARE,
            l0_max_ssts: YOUNG_TABLES_MAX,
            l0_max_ssts_per_key: YOUNG_TABLES_MAX,
            // It is opened apart.
            compactor_options: None,
            garbage_collector_options: Some(garbage),
            object_store_cache_options: self.disk_cache(),
            object_store_max_retries: retries,
            min_filter_keys: FILTER_KEYS_MIN,
            ..Settings::default()
        }
    }

    /// How what merges tables is set up.
    pub(super) fn merging(&self) -> CompactorOptions {
        let mut options = CompactorOptions {
            poll_interval: self.merge_interval,
            checkpoint_lifetime: self.kept,
            commit_compacted_interval: self.merge_interval.min(Duration::from_secs(1)),
            object_store_max_retries: self.retries(),
            ..CompactorOptions::default()
        };
        if let Some(worker) = &mut options.worker {
            worker.compactions_poll_interval = self.merge_interval;
            worker.min_filter_keys = FILTER_KEYS_MIN;
            worker.max_sst_size = self.table_bytes;
        }
        options
    }

    /// How a reader is set up that never looks for news by itself.
    pub(super) fn reader_settings(&self) -> DbReaderOptions {
        DbReaderOptions {
            manifest_poll_interval: Duration::from_secs(365 * 24 * 60 * 60),
            object_store_cache_options: self.disk_cache(),
            object_store_max_retries: self.retries(),
            ..DbReaderOptions::default()
        }
    }
}
