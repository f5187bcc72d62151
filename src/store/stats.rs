//! What a store has done since it was opened, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Grid, Store};
use crate::error::Result;
use crate::key::{ChunkKey, GridId, MarkKey};
use crate::kv::{self, Space};

use super::backlog::MarkChanges;
use super::cache::ChunkCache;

/// What was done with a grid since the store was opened, and what is left to do.
///
/// The numbers are kept in memory. Only the marks that were there when the store was opened are
/// counted by one scan of them: when a store with [`Policy::Background`](super::Policy::Background)
/// is opened, else when they are first asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GridStats {
    /// Marks that wait to be aggregated, those of commits under way included.
    pub marks: u64,
    /// How long ago the commit returned, or nearly so, that left the oldest of them; for marks that
    /// were there when the store was opened, how long ago that was. `None` where another process
    /// aggregates.
    pub oldest_mark: Option<Duration>,
    /// Marks consumed.
    pub marks_consumed: u64,
    /// Chunks read and decoded, by reads, puts and aggregation.
    pub chunks_read: u64,
    /// The bytes of their blobs.
    pub bytes_read: u64,
    /// Base chunks written.
    pub chunks_put: u64,
    /// Aggregate chunks written, counting each layer's.
    pub chunks_aggregated: u64,
    /// The bytes of the blobs written.
    pub bytes_written: u64,
    /// Steps of the background aggregation that failed.
    pub failures: u64,
    /// Why the last one failed, until one succeeds.
    pub failure: Option<String>,
}

/// What a store has done since it was opened, and what is left to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// All grids together: sums, the oldest of the marks, one of the failures.
    pub grids: GridStats,
    /// Commits that were accepted, steps of aggregation included.
    pub commits: u64,
    /// Commits that were refused because another changed what they were computed from. They were
    /// tried again.
    pub conflicts: u64,
    /// Snapshots that are held.
    pub snapshots: u64,
    /// Why commits are refused since the background aggregation panicked, if it did.
    pub poisoned: Option<String>,
    /// Blocks that the storage found in its cache, if it can tell.
    pub cache_hits: Option<u64>,
    /// Blocks that it had to read, if it can tell.
    pub cache_misses: Option<u64>,
    /// Chunks that reads found decoded. See
    /// [`StoreOptions::chunk_cache`](super::StoreOptions::chunk_cache).
    pub chunks_cached: u64,
    /// Chunks that they looked for there and had to decode.
    pub chunks_not_cached: u64,
    /// The bytes that decoded chunks take.
    pub chunk_cache_bytes: u64,
    /// How long ago the store was as it is read, if another process writes to it meanwhile.
    pub age: Option<Duration>,
    /// The bytes of its data files, if the storage can tell.
    pub file_bytes: Option<u64>,
    /// How many files it has, logs included; each may have to be open.
    pub files: Option<u64>,
    /// The bytes of its logs: at most [`StoreOptions::log_bytes`](super::StoreOptions::log_bytes),
    /// and what is being moved.
    pub log_bytes: Option<u64>,
    /// The bytes that were written and are in memory and in logs only.
    pub buffered_bytes: Option<u64>,
    /// How long commits were held up because files could not be put in order as fast as they came.
    pub stalled: Option<Duration>,
    /// How often commits were brought onto the medium, several at once where they could, and how
    /// long that took in all.
    pub syncs: Option<(u64, Duration)>,
}

/// The counters of one grid.
#[derive(Debug, Default)]
pub(crate) struct GridCounters {
    marks_consumed: AtomicU64,
    chunks_read: AtomicU64,
    bytes_read: AtomicU64,
    chunks_put: AtomicU64,
    chunks_aggregated: AtomicU64,
    bytes_written: AtomicU64,
}

impl GridCounters {
    /// Notes that a chunk was read.
    pub(crate) fn read(&self, bytes: usize) {
        add(&self.chunks_read, 1);
        add(&self.bytes_read, bytes as u64);
    }

    fn add(&self, work: &BatchWork) {
        add(&self.marks_consumed, work.marks_consumed);
        add(&self.chunks_put, work.chunks_put);
        add(&self.chunks_aggregated, work.chunks_aggregated);
        add(&self.bytes_written, work.bytes_written);
    }
}

fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// What a batch does to one grid.
#[derive(Debug, Default)]
struct BatchWork {
    marks_consumed: u64,
    chunks_put: u64,
    chunks_aggregated: u64,
    bytes_written: u64,
}

/// What a batch does: to the marks, and in numbers.
#[derive(Debug, Default)]
pub(super) struct Effect {
    pub(super) changes: MarkChanges,
    grids: Vec<(GridId, BatchWork)>,
}

impl Effect {
    /// The effect of a batch, by its writes.
    pub(super) fn of(batch: &kv::Batch) -> Self {
        let mut effect = Self::default();
        let mut marks: Vec<(&[u8], bool)> = Vec::new();
        for write in batch.writes() {
            match (write.space, &write.value) {
                (Space::Dirty, value) => marks.push((&write.key, value.is_some())),
                (space @ (Space::Base | Space::Aggregate), Some(blob)) => {
                    if let Some(grid) = ChunkKey::grid(&write.key) {
                        let work = effect.work(grid);
                        *(if space == Space::Base {
                            &mut work.chunks_put
                        } else {
                            &mut work.chunks_aggregated
                        }) += 1;
                        work.bytes_written += blob.len() as u64;
                    }
                }
                _ => {}
            }
        }
        // A mark that is written twice is one mark.
        marks.sort_unstable();
        marks.dedup();
        for (key, left) in marks {
            match MarkKey::origin(key) {
                Some((grid, sequence)) if left => effect.changes.leave(grid, sequence),
                Some((grid, sequence)) => {
                    effect.changes.consume(grid, sequence);
                    effect.work(grid).marks_consumed += 1;
                }
                None => {}
            }
        }
        effect
    }

    fn work(&mut self, grid: GridId) -> &mut BatchWork {
        let at = self
            .grids
            .iter()
            .position(|(id, _)| *id == grid)
            .unwrap_or_else(|| {
                self.grids.push((grid, BatchWork::default()));
                self.grids.len() - 1
            });
        &mut self.grids[at].1
    }

    /// Adds the numbers to those of the grids.
    pub(super) fn count(&self, store: &Store) {
        self.grids
            .iter()
            .for_each(|(grid, work)| store.desk(*grid).counters.add(work));
    }
}

impl Grid {
    /// What was done with the grid since the store was opened, and what is left to do.
    ///
    /// # Errors
    ///
    /// Those of the scan that counts the marks that were there when the store was opened.
    pub fn stats(&self) -> Result<GridStats> {
        self.count_found()?;
        let (store, counters) = (self.store(), self.counters());
        let mut pending = store.backlog().pending(self.id());
        if store.engine().follows() {
            // Another process leaves and consumes them.
            (pending.marks, pending.since) =
                (self.count_marks(&*store.current()?, u64::MAX)?, None);
        }
        Ok(GridStats {
            marks: pending.marks,
            oldest_mark: pending.since.map(|since| store.now().saturating_sub(since)),
            marks_consumed: get(&counters.marks_consumed),
            chunks_read: get(&counters.chunks_read),
            bytes_read: get(&counters.bytes_read),
            chunks_put: get(&counters.chunks_put),
            chunks_aggregated: get(&counters.chunks_aggregated),
            bytes_written: get(&counters.bytes_written),
            failures: pending.failures,
            failure: pending.failure,
        })
    }
}

impl Store {
    /// How long ago the store was as it is read, if it was opened to be read while another process
    /// writes to it.
    pub fn age(&self) -> Option<Duration> {
        self.engine().counters().age
    }

    /// What the store has done since it was opened, and what is left to do.
    ///
    /// # Errors
    ///
    /// Those of [`Grid::stats`].
    pub fn stats(&self) -> Result<StoreStats> {
        let mut grids = GridStats::default();
        for grid in self.grids()? {
            let of = grid.stats()?;
            grids.marks += of.marks;
            grids.oldest_mark = grids.oldest_mark.max(of.oldest_mark);
            grids.marks_consumed += of.marks_consumed;
            grids.chunks_read += of.chunks_read;
            grids.bytes_read += of.bytes_read;
            grids.chunks_put += of.chunks_put;
            grids.chunks_aggregated += of.chunks_aggregated;
            grids.bytes_written += of.bytes_written;
            grids.failures += of.failures;
            grids.failure = grids.failure.or(of.failure);
        }
        let engine = self.engine().counters();
        let (chunks_cached, chunks_not_cached, chunk_cache_bytes) = self
            .chunk_cache()
            .map(ChunkCache::figures)
            .unwrap_or_default();
        Ok(StoreStats {
            grids,
            commits: get(&self.shared.commits),
            conflicts: get(&self.shared.conflicts),
            snapshots: self.shared.pins.held(),
            poisoned: self.backlog().poisoned(),
            cache_hits: engine.cache_hits,
            cache_misses: engine.cache_misses,
            chunks_cached,
            chunks_not_cached,
            chunk_cache_bytes,
            age: engine.age,
            file_bytes: engine.file_bytes,
            files: engine.files,
            log_bytes: engine.log_bytes,
            buffered_bytes: engine.buffered_bytes,
            stalled: engine.stalled,
            syncs: engine.syncs,
        })
    }
}
