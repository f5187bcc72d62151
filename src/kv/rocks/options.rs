//! How the database is set up.

use std::collections::BTreeSet;

use rocksdb::statistics::StatsLevel;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, Options,
};

use super::super::Space;
use crate::error::{Error, Result};

/// Values from this size on are kept in files of their own, so that compactions do not copy them.
const BLOB_BYTES_MIN: u64 = 4 << 10;
const BLOB_FILE_BYTES: u64 = 256 << 20;
/// Bounds the time of recovery, and of the checks before it.
const LOG_BYTES: u64 = 256 << 20;
const CACHE_BYTES: usize = 64 << 20;
const MANIFEST_BYTES_MAX: usize = 64 << 20;

/// How a store is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RocksOptions {
    /// Make the store if there is none.
    pub create: bool,
    /// Open a store that lost or damaged what it had promised to keep, after copying its logs to
    /// `quarantine-<n>`.
    pub accept_data_loss: bool,
    /// Only read, and change nothing in the directory. Others may read it too. Where another
    /// process writes to it, it is read as it was at a moment of the opening.
    pub read_only: bool,
    /// Bytes of decompressed blocks, indices and filters in memory.
    pub cache_bytes: usize,
    /// Bytes of logs from which on what is only in memory is moved into its files.
    pub log_bytes: u64,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self {
            create: false,
            accept_data_loss: false,
            read_only: false,
            cache_bytes: CACHE_BYTES,
            log_bytes: LOG_BYTES,
        }
    }
}

/// The first space is the family that every database has.
pub(super) fn family_name(space: Space) -> &'static str {
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
pub(super) fn is_large(space: Space) -> bool {
    matches!(space, Space::Base | Space::Aggregate)
}

/// Whether keys are written, read in order and deleted.
fn is_queue(space: Space) -> bool {
    matches!(space, Space::Dirty | Space::Feed)
}

/// The families of a database, with their options. In `still` spaces nothing is merged.
pub(super) fn families(
    cache_bytes: usize,
    still: &BTreeSet<Space>,
) -> Result<Vec<ColumnFamilyDescriptor>> {
    let cache = Cache::new_lru_cache(cache_bytes);
    let family = |space| {
        // Each deleted range in memory makes every scan slower; many are moved into a file.
        let mut options = with(
            family_options(space, &cache),
            "memtable_max_range_deletions=64",
        )?;
        options.set_disable_auto_compactions(still.contains(&space));
        Ok(ColumnFamilyDescriptor::new(family_name(space), options))
    };
    Space::ALL.into_iter().map(family).collect()
}

/// `is_lenient`: data was given up, so that logs and data files are missing that the manifest
/// names, or tables cannot be read.
pub(super) fn database_options(is_lenient: bool, open_files: i32, log_bytes: u64) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(!is_lenient);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_track_and_verify_wals_in_manifest(!is_lenient);
    options.set_max_total_wal_size(log_bytes);
    options.set_max_manifest_file_size(MANIFEST_BYTES_MAX);
    options.set_atomic_flush(false);
    options.set_manual_wal_flush(false);
    options.set_recycle_log_file_num(0);
    options.set_wal_compression_type(DBCompressionType::None);
    options.set_unordered_write(false);
    options.set_allow_mmap_reads(false);
    options.set_allow_mmap_writes(false);
    options.set_max_open_files(open_files);
    // Few tables are opened along with the database; a thread for it that the system refuses would
    // end the process.
    options.set_max_file_opening_threads(1);
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

/// The same, but what the logs hold stays in memory when it is opened, so that this takes no space.
pub(super) fn without_flush(options: Options) -> Result<Options> {
    with(options, "avoid_flush_during_recovery=true")
}

/// The same with an option that has no call of its own.
fn with(mut options: Options, option: &str) -> Result<Options> {
    let set = options.get_options_from_string(option);
    set.map_err(|error| Error::unavailable("the database cannot be set up").because(error))
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
        // A compaction of the database's own that met a damaged value would end all writing. See
        // `files`.
        options.set_enable_blob_gc(false);
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
