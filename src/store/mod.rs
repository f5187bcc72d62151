//! A store: many grids in one engine.

mod base;
mod catalog;
mod chunks;
mod column;
mod grid;
mod journal;
mod names;
mod state;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
#[cfg(feature = "rocksdb")]
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

pub(crate) use base::Base;
pub(crate) use catalog::{RecordKind, decode_record, encode_record, read as read_record};
use chunks::Registered;
pub(crate) use chunks::{BaseChunk, ChunkReader, LayerChunks, LayerSpec, base_fill};
pub use grid::{ChunkInfo, Grid};
pub(crate) use journal::{Journal, Number};
pub(crate) use names::{Shown, unless_dropped};
pub(crate) use state::{State, WindowRecord, expect_base_levels, write_reach, write_state};

use names::Names;

use crate::error::{Error, Result};
use crate::kernel::Aggregator;
use crate::key::GridId;
use crate::kv::{Durability, Engine, Memory, Snapshot};
use crate::writer::Batch;

/// When aggregates are brought up to date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// Before a commit returns.
    #[default]
    Inline,
    /// When [`Grid::aggregate`] or [`Store::aggregate`] is called. Until then commits leave marks, and reads say what is stale.
    Manual,
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    create: bool,
    policy: Policy,
    accept_data_loss: bool,
    aggregators: Vec<Arc<dyn Aggregator>>,
    changes_kept: u64,
    identity: Option<u64>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            create: true,
            policy: Policy::Inline,
            accept_data_loss: false,
            aggregators: Vec::new(),
            changes_kept: 1 << 16,
            identity: None,
        }
    }
}

impl StoreOptions {
    /// Whether a store is made where there is none (the default).
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// When aggregates are brought up to date.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Opens past damage of the logs that loses acknowledged commits, after copying the logs aside. Not the default.
    #[must_use]
    pub fn accept_data_loss(mut self, accept: bool) -> Self {
        self.accept_data_loss = accept;
        self
    }

    /// Registers a service's own aggregator under its name. A grid whose schema names one that is not registered can be
    /// read as it is stored, but not put into or aggregated.
    #[must_use]
    pub fn aggregator(mut self, aggregator: Arc<dyn Aggregator>) -> Self {
        self.aggregators.push(aggregator);
        self
    }

    /// How many commits a grid's [changes](Grid::changes_since) are kept of, at least; 65,536 by default.
    #[must_use]
    pub fn changes_kept(mut self, commits: u64) -> Self {
        self.changes_kept = commits;
        self
    }

    /// What tells a store that is made from every other, so that its tokens are refused elsewhere; random by default. For
    /// stores that must come out the same bit by bit.
    #[must_use]
    pub fn identity(mut self, identity: u64) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Opens the store in a directory. See [`Store::open`].
    #[cfg(feature = "rocksdb")]
    pub fn open(self, path: impl AsRef<Path>) -> Result<Store> {
        let options =
            crate::kv::RocksOptions { create: self.create, accept_data_loss: self.accept_data_loss, ..Default::default() };
        let engine = crate::kv::Rocks::open(path.as_ref(), &options)?;
        self.open_engine(Arc::new(engine))
    }

    /// Opens the store in an engine.
    pub fn open_engine(self, engine: Arc<dyn Engine>) -> Result<Store> {
        let mut registered = Registered::new();
        for aggregator in self.aggregators {
            if let Some(twice) = registered.insert(aggregator.name().to_owned(), aggregator) {
                return Err(Error::invalid(format!("two aggregators are named `{}`", twice.name())));
            }
        }
        let identity = self.identity.unwrap_or_else(|| RandomState::new().hash_one(()));
        let entered = catalog::enter(engine.as_ref(), identity, self.accept_data_loss)?;
        let shared = Shared {
            engine,
            policy: self.policy,
            changes_kept: self.changes_kept,
            identity: entered.identity,
            journal: Arc::new(Journal::starting_at(entered.epoch << EPOCH_SHIFT)),
            names: Names::default(),
            registered,
            aggregators: Mutex::default(),
        };
        Ok(Store { shared: Arc::new(shared) })
    }
}

/// Sequences are `epoch * 2^EPOCH_SHIFT + n`: unique for ever, since the epoch rises durably at every opening.
const EPOCH_SHIFT: u32 = 40;

/// An open store: a cheap handle that can be cloned and shared between threads. One process has a store open at a time.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    engine: Arc<dyn Engine>,
    policy: Policy,
    changes_kept: u64,
    identity: u64,
    journal: Arc<Journal>,
    names: Names,
    /// A service's own aggregators.
    registered: Registered,
    /// One lock a grid: at most one aggregation of a grid is under way in a process.
    aggregators: Mutex<HashMap<GridId, Arc<Mutex<()>>>>,
}

const _: () = {
    const fn shared<T: Send + Sync + Clone>() {}
    shared::<Store>();
    shared::<Grid>();
};

impl Store {
    /// Opens the store in a directory, and creates it if there is none.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if another process has it open; [`Corrupt`](crate::ErrorKind::Corrupt) if
    /// its logs are damaged, in which case nothing was changed; [`Invalid`](crate::ErrorKind::Invalid) if the directory holds
    /// something else, or a store of a newer format.
    #[cfg(feature = "rocksdb")]
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        StoreOptions::default().open(path)
    }

    /// How a store can be opened.
    pub fn options() -> StoreOptions {
        StoreOptions::default()
    }

    /// A store in memory, gone with its last handle.
    pub fn in_memory() -> Result<Self> {
        StoreOptions::default().open_engine(Arc::new(Memory::new()))
    }

    /// A batch of puts, to any grids of this store, that are committed together.
    pub fn batch<'a>(&self) -> Batch<'a> {
        Batch::new(self.clone())
    }

    /// Brings every aggregate of every grid up to date.
    pub fn aggregate(&self) -> Result<()> {
        self.grids()?.iter().try_for_each(|grid| unless_dropped(grid.aggregate()).map(|_| ()))
    }

    /// Moves what is buffered in memory into its final files, so that logs can be dropped.
    pub fn flush(&self) -> Result<()> {
        self.engine().flush()
    }

    /// When aggregates are brought up to date.
    pub fn policy(&self) -> Policy {
        self.shared.policy
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

    pub(crate) fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        self.engine().snapshot()
    }

    pub(crate) fn commit(&self, batch: crate::kv::Batch, durability: Durability) -> Result<crate::kv::Sequence> {
        let at = self.engine().commit(batch, durability)?;
        self.journal().committed(at, durability);
        Ok(at)
    }

    /// Puts every commit that returned on the medium.
    pub(crate) fn sync(&self) -> Result<()> {
        if self.journal().is_synced() {
            return Ok(());
        }
        self.commit(crate::kv::Batch::default(), Durability::Sync).map(|_| ())
    }

    /// Begins a batch: a number that no other batch of this store ever had or will have, above all before.
    pub(crate) fn reserve_sequence(&self) -> Number {
        self.shared.journal.reserve()
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    /// What tells this store from every other.
    pub(crate) fn identity(&self) -> u64 {
        self.shared.identity
    }

    pub(crate) fn changes_kept(&self) -> u64 {
        self.shared.changes_kept
    }

    fn names(&self) -> &Names {
        &self.shared.names
    }

    /// Forgets what the process knows of a grid that is no more.
    fn forget(&self, grid: GridId) {
        lock(&self.shared.aggregators).remove(&grid);
        self.journal().forget(grid);
    }

    /// The lock under which a grid is aggregated.
    pub(crate) fn aggregator(&self, grid: GridId) -> Arc<Mutex<()>> {
        Arc::clone(lock(&self.shared.aggregators).entry(grid).or_default())
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
