//! What is held in memory of an open store: blocks above all. A part that several reads want at
//! once is fetched once.

use std::hash::{Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};
use slatedb::db_cache::{CacheFetch, CacheLoader, CachedEntry, CachedKey, DbCache};

use super::SlateOptions;
use super::tables::Tables;
use super::values::HeldValues;

type FetchedPart<T> = Result<T, slatedb::Error>;

/// What an entry takes beside its bytes, about.
pub(super) const OVERHEAD: u64 = 128;
/// What a block has, about.
const BLOCK_BYTES: usize = 16 << 10;
/// Parts with locks of their own have at least so many bytes.
const SHARD_BYTES: usize = 16 << 20;
/// One in so many bytes is for small values.
const VALUES_SHARE: usize = 16;

/// What is held in memory of an open store.
pub(super) struct Caches {
    pub(super) blocks: Arc<Blocks>,
    pub(super) values: HeldValues,
    pub(super) tables: Tables,
}

impl Caches {
    /// Nothing yet.
    pub(super) fn new(options: &SlateOptions) -> Self {
        let (bytes, values) = (options.cache_bytes, options.cache_bytes / VALUES_SHARE);
        Self {
            blocks: Arc::new(Blocks::new(bytes - values)),
            values: HeldValues::new(values),
            tables: Tables::new(options.warmed_tables),
        }
    }
}

/// What holds so many bytes of entries that have `entry` bytes each, about. It is in parts with
/// locks of their own, of at least `shard` bytes.
pub(super) fn within<K: Hash + Eq, V: Clone, W: Weighter<K, V> + Clone>(
    bytes: usize,
    (entry, shard): (usize, usize),
    weight: W,
) -> Cache<K, V, W, RandomState> {
    let options = OptionsBuilder::new()
        .weight_capacity(bytes as u64)
        .estimated_items_capacity((bytes / entry).clamp(64, 1 << 20))
        .shards((bytes / shard).clamp(1, 64))
        .build()
        .unwrap_or_else(|_| unreachable!("the sizes of a cache are given"));
    let lifecycle = DefaultLifecycle::default();
    Cache::with_options(options, weight, RandomState::new(), lifecycle)
}

#[derive(Clone, Debug)]
struct BlockWeight;

impl Weighter<CachedKey, CachedEntry> for BlockWeight {
    fn weight(&self, _: &CachedKey, entry: &CachedEntry) -> u64 {
        entry.size() as u64 + OVERHEAD
    }
}

/// Blocks, indices and filters within a number of bytes.
pub(super) struct Blocks {
    held: Cache<CachedKey, CachedEntry, BlockWeight, RandomState>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Blocks {
    fn new(bytes: usize) -> Self {
        Self {
            held: within(bytes, (BLOCK_BYTES, SHARD_BYTES), BlockWeight),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// How often a block was found here, and how often not.
    pub(super) fn counts(&self) -> (u64, u64) {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (of(&self.hits), of(&self.misses))
    }

    fn find(&self, key: &CachedKey) -> Option<CachedEntry> {
        self.held.get(key)
    }

    async fn fetch(&self, key: CachedKey, loader: CacheLoader) -> FetchedPart<CacheFetch> {
        let mut loaded = false;
        let load = async {
            loaded = true;
            loader().await
        };
        let entry = self.held.get_or_insert_async(&key, load).await?;
        let counter = if loaded { &self.misses } else { &self.hits };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(match loaded {
            true => CacheFetch::miss(entry),
            false => CacheFetch::hit(entry),
        })
    }
}

#[async_trait]
impl DbCache for Blocks {
    async fn get_block(&self, key: &CachedKey) -> FetchedPart<Option<CachedEntry>> {
        Ok(self.find(key))
    }

    async fn get_index(&self, key: &CachedKey) -> FetchedPart<Option<CachedEntry>> {
        Ok(self.find(key))
    }

    async fn get_filter(&self, key: &CachedKey) -> FetchedPart<Option<CachedEntry>> {
        Ok(self.find(key))
    }

    async fn get_stats(&self, key: &CachedKey) -> FetchedPart<Option<CachedEntry>> {
        Ok(self.find(key))
    }

    async fn insert(&self, key: CachedKey, value: CachedEntry) {
        self.held.insert(key, value);
    }

    async fn remove(&self, key: &CachedKey) {
        self.held.remove(key);
    }

    fn entry_count(&self) -> u64 {
        self.held.len() as u64
    }

    async fn fetch_block(&self, key: CachedKey, loader: CacheLoader) -> FetchedPart<CacheFetch> {
        self.fetch(key, loader).await
    }

    async fn fetch_index(&self, key: CachedKey, loader: CacheLoader) -> FetchedPart<CacheFetch> {
        self.fetch(key, loader).await
    }

    async fn fetch_filter(&self, key: CachedKey, loader: CacheLoader) -> FetchedPart<CacheFetch> {
        self.fetch(key, loader).await
    }

    async fn fetch_stats(&self, key: CachedKey, loader: CacheLoader) -> FetchedPart<CacheFetch> {
        self.fetch(key, loader).await
    }
}
