//! Chunks as they were decoded, for reads that come again.
//!
//! A chunk is known by its key and the checksum that its directory entry holds in the snapshot that
//! is read. A write makes another entry, so that nothing has to be taken out, and every snapshot
//! finds its own. A chunk enters when it is read a second time not long after the first: one pass
//! over much data costs what it did, and drives nothing out.

use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::array::Cells;
use crate::key::DirectoryEntry;

/// What about a chunk takes, for the sizes of tables.
const CHUNK_BYTES: u64 = 64 << 10;
/// Parts with locks of their own have at least so many bytes: what is larger than a part is not
/// kept.
const SHARD_BYTES: u64 = 16 << 20;
/// What a chunk takes beside its cells, about.
const OVERHEAD: u64 = 256;

/// Places that the hash of a chunk gives: others that it shares them with are more than this only
/// seldom.
const WAYS: usize = 4;

/// A stored chunk as it was at some time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stored {
    key: Vec<u8>,
    checksum: u64,
}

impl Stored {
    /// What is stored under a key as its directory entry says; `None` if there is no blob, or the
    /// entry says nothing.
    pub(crate) fn new(key: &[u8], entry: &[u8]) -> Option<Self> {
        let entry = DirectoryEntry::decode(entry)
            .ok()
            .filter(|entry| entry.bytes > 0 && entry.ticks.is_none())?;
        Some(Self {
            key: key.to_vec(),
            checksum: entry.checksum,
        })
    }

    /// Whether a blob is what the directory says.
    pub(crate) fn is(&self, blob: &[u8]) -> bool {
        crate::codec::checksum_of(blob) == Ok(self.checksum)
    }
}

#[derive(Clone, Debug)]
struct ChunkWeight;

impl Weighter<Stored, Arc<Vec<Cells>>> for ChunkWeight {
    fn weight(&self, of: &Stored, planes: &Arc<Vec<Cells>>) -> u64 {
        let cells: usize = planes.iter().map(|plane| plane.as_bytes().len()).sum();
        cells as u64 + of.key.len() as u64 + OVERHEAD
    }
}

/// The planes of chunks, within a number of bytes.
#[derive(Debug)]
pub(crate) struct ChunkCache {
    chunks: Cache<Stored, Arc<Vec<Cells>>, ChunkWeight, RandomState>,
    bytes: u64,
    /// What was asked for and was not there: the hash of each, at one of the places that it gives.
    asked: Box<[AtomicU64]>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl ChunkCache {
    /// A cache of so many bytes; none of 0.
    pub(super) fn new(bytes: u64) -> Option<Self> {
        let count = usize::try_from(bytes / CHUNK_BYTES)
            .unwrap_or(usize::MAX)
            .clamp(16, 1 << 20);
        let options = OptionsBuilder::new()
            .weight_capacity(bytes)
            .estimated_items_capacity(count)
            .shards(
                usize::try_from(bytes / SHARD_BYTES)
                    .unwrap_or(usize::MAX)
                    .clamp(1, 64),
            )
            .build()
            .ok()
            .filter(|_| bytes > 0)?;
        let chunks = Cache::with_options(
            options,
            ChunkWeight,
            RandomState::new(),
            DefaultLifecycle::default(),
        );
        let asked = (0..WAYS * count).map(|_| AtomicU64::new(0)).collect();
        Some(Self {
            chunks,
            bytes,
            asked,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        })
    }

    /// The bytes that it may hold.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The planes of a chunk, if they are here.
    pub(crate) fn get(&self, of: &Stored) -> Option<Arc<Vec<Cells>>> {
        let found = self.chunks.get(of);
        let counter = if found.is_some() {
            &self.hits
        } else {
            &self.misses
        };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Whether a chunk that is not here was asked for before, not long ago. It is from now on.
    pub(crate) fn wants(&self, of: &Stored) -> bool {
        let hash = xxh3_64_with_seed(&of.key, of.checksum).max(1);
        let first = usize::try_from(hash % (self.asked.len() / WAYS) as u64).unwrap_or(0) * WAYS;
        let places = &self.asked[first..first + WAYS];
        if places
            .iter()
            .any(|place| place.load(Ordering::Relaxed) == hash)
        {
            return true;
        }
        // A free place, or each in its turn.
        let turn = usize::try_from(self.misses.load(Ordering::Relaxed)).unwrap_or(0) % WAYS;
        let free = places
            .iter()
            .find(|place| place.load(Ordering::Relaxed) == 0);
        free.unwrap_or(&places[turn]).store(hash, Ordering::Relaxed);
        false
    }

    /// Keeps the planes of a chunk.
    pub(crate) fn keep(&self, of: Stored, planes: Arc<Vec<Cells>>) {
        self.chunks.insert(of, planes);
    }

    /// How often a chunk was found, and how often not, and the bytes of what is here.
    pub(super) fn figures(&self) -> (u64, u64, u64) {
        (
            self.hits.load(Ordering::Relaxed),
            self.misses.load(Ordering::Relaxed),
            self.chunks.weight(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(key: u8, checksum: u64) -> Stored {
        Stored {
            key: vec![key],
            checksum,
        }
    }

    #[test]
    fn what_is_kept_stays_within_the_bytes() {
        assert!(ChunkCache::new(0).is_none());
        let cache = ChunkCache::new(100_000).expect("bytes");
        for number in 0..100 {
            let planes = Arc::new(vec![Cells::from(vec![number; 10_000])]);
            cache.keep(stored(number, 1), planes);
            assert!((10_000..=100_000).contains(&cache.figures().2));
        }
        cache.keep(
            stored(200, 1),
            Arc::new(vec![Cells::from(vec![0_u8; 200_000])]),
        );
        assert_eq!(cache.get(&stored(200, 1)), None, "larger than the whole");
    }

    #[test]
    fn a_chunk_is_wanted_when_it_is_asked_for_again_and_another_version_is_another() {
        let cache = ChunkCache::new(1 << 20).expect("bytes");
        assert_eq!(
            [cache.wants(&stored(1, 7)), cache.wants(&stored(1, 7))],
            [false, true]
        );
        assert!(!cache.wants(&stored(1, 8)));
        let planes = Arc::new(vec![Cells::from(vec![1_u8; 9])]);
        cache.keep(stored(1, 7), Arc::clone(&planes));
        assert_eq!(
            (cache.get(&stored(1, 7)), cache.get(&stored(1, 8))),
            (Some(planes), None)
        );
        assert_eq!((cache.figures().0, cache.figures().1), (1, 1));
    }
}
