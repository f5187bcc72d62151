//! A store: many grids in one engine.

mod background;
mod backlog;
#[cfg(test)]
mod backlog_tests;
mod blocked;
mod cache;
mod catalog;
mod chunk_locks;
mod chunks;
mod encodings;
mod grid;
mod inheritance;
mod journal;
mod layers;
mod listing;
mod naming;
mod options;
mod pyramid;
mod settled;
#[cfg(test)]
mod shuttled_tests;
mod snapshot;
mod state;
mod stats;
mod workers;

/// What threads wait with.
mod sync {
    pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
}

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

pub(crate) use blocked::Blocked;
pub(crate) use cache::{ChunkCache, Stored};
pub(crate) use catalog::{
    RecordKind, decode_record, encode_record, read as read_record, write_schema,
};
pub(crate) use chunks::{
    BaseChunk, ChunkContent, ChunkPlace, ChunkReader, ChunkWrite, LayerChunks, only,
};
pub use encodings::EncodingInfo;
pub use grid::Grid;
pub(crate) use journal::{BatchNumber, Journal};
use layers::Registered;
pub(crate) use layers::{Gaps, LayerSpec, base_fill, base_gaps};
pub use listing::ChunkInfo;
pub(crate) use naming::{StoreListing, unless_dropped};
pub use options::{Policy, StoreOptions};
pub(crate) use pyramid::{Base, Pyramid};
pub(crate) use settled::Settled;
pub use snapshot::StoreSnapshot;
pub(crate) use state::{
    State, WindowRecord, expect_base_levels, touch_base_levels, write_reach, write_state,
};
pub use stats::{GridStats, StoreStats};

use background::Background;
pub(crate) use background::Work;
use backlog::Backlog;
pub(crate) use backlog::{CommitRoom, Outcome};
use chunk_locks::Turns;
use naming::Names;
use snapshot::Pins;
use stats::{Effect, GridCounters};
pub(crate) use workers::Workers;

use crate::error::{Error, ErrorKind, Result};
use crate::grid::Level;
use crate::key::GridId;
use crate::kv::{Durability, Engine, Snapshot};

/// An open store: a cheap handle that can be cloned and shared between threads. One process has a
/// store open at a time.
///
/// With its last handle, grids and snapshots included, the store is closed: the background
/// aggregation ends after the step it is at, and dropping the handle waits for that.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<SharedStore>,
    /// Absent in the handles of the background threads, so that they do not keep themselves alive.
    background: Option<Arc<Background>>,
    workers: Workers,
}

#[derive(Debug)]
struct SharedStore {
    engine: Arc<dyn Engine>,
    options: StoreOptions,
    identity: u64,
    journal: Arc<Journal>,
    names: Names,
    /// A service's own aggregators.
    registered: Registered,
    backlog: Backlog,
    desks: Mutex<HashMap<GridId, Arc<Desk>>>,
    pins: Pins,
    /// Chunks as they were decoded.
    chunk_cache: Option<ChunkCache>,
    commits: AtomicU64,
    conflicts: AtomicU64,
}

/// What the handles of one grid share.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// At most one aggregation of a grid is under way in a process.
    aggregator: Arc<Mutex<Blocked>>,
    counters: GridCounters,
    turns: Turns,
}

const _: () = {
    const fn shared<T: Send + Sync + Clone>() {}
    shared::<Store>();
    shared::<Grid>();
    shared::<StoreSnapshot>();
};

impl Store {
    /// How a store can be opened.
    pub fn options() -> StoreOptions {
        StoreOptions::default()
    }

    /// The store in an engine, without threads of its own.
    pub(crate) fn start(engine: Arc<dyn Engine>, options: StoreOptions) -> Result<Self> {
        let _span = tracing::debug_span!("open", policy = ?options.policy_chosen()).entered();
        let registered = options.registered()?;
        let entered = match options.reads_only() {
            true => catalog::look(engine.snapshot()?.as_ref())?,
            false => catalog::enter(
                engine.as_ref(),
                options.own_identity(),
                options.is_another(),
                options.accepts_data_loss(),
            )?,
        };
        let first = entered.first();
        let shared = SharedStore {
            engine,
            identity: entered.identity,
            journal: Arc::new(Journal::starting_at(first)),
            names: Names::default(),
            registered,
            backlog: Backlog::new(first, options.now()),
            chunk_cache: ChunkCache::new(options.most_cached()),
            options,
            desks: Mutex::default(),
            pins: Pins::default(),
            commits: AtomicU64::new(0),
            conflicts: AtomicU64::new(0),
        };
        Ok(Self {
            shared: Arc::new(shared),
            background: None,
            workers: Workers::default(),
        })
    }

    /// The same store with threads of its own that do the work of its background.
    pub(crate) fn with_background(mut self, work: Work) -> Result<Self> {
        for grid in self.shown()?.grids {
            match grid.count_found() {
                // What cannot be read is met when it is aggregated.
                Err(error) if *error.kind() == ErrorKind::Corrupt => {
                    self.backlog().found(grid.id(), 1)
                }
                counted => counted?,
            }
        }
        let background = Background::start(self.clone(), self.shared.options.threads(), work)?;
        self.background = Some(Arc::new(background));
        Ok(self)
    }

    /// The store as it is now, for many reads of one version.
    pub fn snapshot(&self) -> Result<StoreSnapshot> {
        let taken = self.now();
        Ok(self.pinned(self.current()?, taken))
    }

    /// A snapshot that reads the store's grids through a view that was taken at some time.
    pub(crate) fn pinned(&self, view: Arc<dyn Snapshot>, taken: Duration) -> StoreSnapshot {
        self.shared.pins.expire(self.now(), self.snapshot_age_max());
        StoreSnapshot::new(self.clone(), self.shared.pins.pin(view, taken))
    }

    /// Ends the background aggregation and refuses every commit from here on; reads go on. Returns
    /// when the step of aggregation that is under way has ended: a bounded piece of work, of at
    /// most 2^25 cells of changed chunks in each background thread. What is pending stays pending,
    /// durably. The files are released with the last handle.
    ///
    /// # Errors
    ///
    /// [`Poisoned`](ErrorKind::Poisoned) if the background aggregation had panicked.
    pub fn close(&self) -> Result<()> {
        self.backlog().stop(true);
        if let Some(background) = &self.background {
            background.stop(true);
        }
        match self.backlog().poisoned() {
            None => Ok(()),
            Some(why) => Err(Error::new(
                ErrorKind::Poisoned,
                "the store was closed after its aggregation failed",
            )
            .because(why)),
        }
    }

    /// Moves what is buffered in memory into its final files, so that logs can be dropped.
    pub fn flush(&self) -> Result<()> {
        self.engine().flush()
    }

    /// Makes a copy of the store as it is now in a directory, or brings the copy that is there up
    /// to date. It is consistent over all grids, and made while others read and write. On the same
    /// file system it shares the data files, which are never changed, and takes little time and
    /// space; on another they are copied.
    ///
    /// The copy is checked, and takes its place at once: cut short, the last one stays whole. It
    /// can be read as it is ([`open_read_only`](Self::open_read_only)); opened for writing it
    /// becomes a store of its own.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) if the directory holds other things than a copy, or the
    /// store is in memory or on object storage; [`Unavailable`](ErrorKind::Unavailable) if it
    /// cannot be written, or somebody reads the old copy.
    pub fn checkpoint(&self, directory: impl AsRef<Path>) -> Result<()> {
        let directory = directory.as_ref();
        crate::kv::url::must_be_directory(directory, "a checkpoint")?;
        self.engine().checkpoint(directory)
    }

    /// When aggregates are brought up to date.
    pub fn policy(&self) -> Policy {
        self.shared.options.policy_chosen()
    }

    /// Whether this is a handle to the same open store.
    pub(crate) fn is(&self, other: &Store) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    pub(crate) fn engine(&self) -> &dyn Engine {
        self.shared.engine.as_ref()
    }

    fn registered(&self) -> &Registered {
        &self.shared.registered
    }

    /// The engine as it is now.
    pub(crate) fn current(&self) -> Result<Arc<dyn Snapshot>> {
        self.engine().snapshot()
    }

    /// Commits what a user asked for.
    pub(crate) fn commit(
        &self,
        batch: crate::kv::Batch,
        durability: Durability,
    ) -> Result<crate::kv::Sequence> {
        self.submit(batch, durability, false)
    }

    /// Commits a step of aggregation. Marks are as durable as the commits that wrote them: should
    /// this one be lost, they are found again.
    pub(crate) fn commit_step(&self, batch: crate::kv::Batch) -> Result<crate::kv::Sequence> {
        self.submit(batch, Durability::Buffered, true)
    }

    fn submit(
        &self,
        batch: crate::kv::Batch,
        durability: Durability,
        derived: bool,
    ) -> Result<crate::kv::Sequence> {
        self.shared.pins.expire(self.now(), self.snapshot_age_max());
        let effect = Effect::of(&batch);
        self.backlog()
            .announce(&effect.changes, derived, self.now())?;
        let mut announced = Announced {
            store: self,
            effect: &effect,
            done: false,
        };
        let committed = self.engine().commit(batch, durability);
        match &committed {
            Ok(at) => {
                self.journal().committed(*at, durability);
                announced.done = true;
            }
            Err(error) if *error.kind() == ErrorKind::Conflict => {
                self.shared.conflicts.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(derived, "another commit came first");
            }
            Err(_) => {}
        }
        drop(announced);
        committed
    }

    /// What waits to be aggregated.
    pub(crate) fn backlog(&self) -> &Backlog {
        &self.shared.backlog
    }

    /// How many marks of a grid may be pending before commits into it wait.
    pub(crate) fn marks_max(&self) -> u64 {
        self.shared.options.most_marks()
    }

    pub(crate) fn now(&self) -> Duration {
        self.shared.options.now()
    }

    /// Chunks as they were decoded, if any are kept.
    pub(crate) fn chunk_cache(&self) -> Option<&ChunkCache> {
        self.shared.chunk_cache.as_ref()
    }

    pub(crate) fn snapshot_age_max(&self) -> Duration {
        self.shared.options.most_snapshot_age()
    }

    /// Puts every commit that returned on the medium.
    pub(crate) fn sync(&self) -> Result<()> {
        if self.journal().is_synced() {
            return Ok(());
        }
        self.commit(crate::kv::Batch::default(), Durability::Sync)
            .map(|_| ())
    }

    /// Begins a batch: a number that no other batch of this store ever had or will have, above all
    /// before.
    pub(crate) fn reserve_sequence(&self) -> BatchNumber {
        self.shared.journal.reserve()
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    /// What tells this store from every other.
    pub(crate) fn identity(&self) -> u64 {
        self.shared.identity
    }

    fn ceiling(&self) -> Option<(usize, Level)> {
        self.shared.options.ceiling()
    }

    pub(crate) fn changes_kept(&self) -> u64 {
        self.shared.options.most_changes_kept()
    }

    fn names(&self) -> &Names {
        &self.shared.names
    }

    /// Forgets what the process knows of a grid that is no more.
    fn forget(&self, grid: GridId) {
        lock(&self.shared.desks).remove(&grid);
        self.journal().forget(grid);
        self.backlog().forget(grid);
    }

    /// The lock under which a grid is aggregated. Its holder computes with its [`Workers`].
    pub(crate) fn aggregator(&self, grid: GridId) -> Arc<Mutex<Blocked>> {
        Arc::clone(&self.desk(grid).aggregator)
    }

    /// Takes the lock under which a grid is aggregated.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) where an aggregator would wait for the step that it is
    /// called by.
    pub(crate) fn aggregating<'a>(
        &self,
        aggregator: &'a Mutex<Blocked>,
    ) -> Result<MutexGuard<'a, Blocked>> {
        if !Workers::is_one() {
            return Ok(lock(aggregator));
        }
        try_lock(aggregator).ok_or_else(|| {
            Error::invalid("an aggregator must not write to the grid that it aggregates")
        })
    }

    /// Where this handle computes what it holds locks for.
    pub(crate) fn workers(&self) -> &Workers {
        &self.workers
    }

    /// The same handle with a pool of its own.
    fn with_workers(self, workers: Workers) -> Self {
        Self { workers, ..self }
    }

    fn desk(&self, grid: GridId) -> Arc<Desk> {
        Arc::clone(lock(&self.shared.desks).entry(grid).or_default())
    }
}

/// An announced commit, which is retracted unless it is done, whatever happens.
struct Announced<'a> {
    store: &'a Store,
    effect: &'a Effect,
    done: bool,
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        if self.done {
            self.store.backlog().committed(&self.effect.changes);
            self.effect.count(self.store);
            self.store.shared.commits.fetch_add(1, Ordering::Relaxed);
        } else {
            self.store.backlog().retract(&self.effect.changes);
        }
    }
}

/// Locks a mutex whose data are sound whatever happened to its last holder.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same, unless somebody holds it now.
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(holder)) => Some(holder.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
