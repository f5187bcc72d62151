//! How a store is opened.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;
#[cfg(feature = "object-store")]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::layers::Registered;
use crate::error::{Error, Result};
use crate::grid::Level;
use crate::kernel::Aggregator;

/// When aggregates are brought up to date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// Before a commit returns.
    #[default]
    Inline,
    /// Soon after a commit has returned, by threads of the store. Commits leave marks, and wait
    /// when too many are pending. See the [guide](crate::guide).
    Background,
    /// When [`Grid::aggregate`](super::Grid::aggregate) or
    /// [`Store::aggregate`](super::Store::aggregate) is called. Until then commits leave marks, and
    /// reads say what is stale.
    Manual,
}

/// How a store is opened.
///
/// ```
/// use std::sync::Arc;
///
/// use gridstone::kv::Memory;
/// use gridstone::{Policy, Store};
///
/// # fn main() -> gridstone::Result<()> {
/// // Two threads bring aggregates up to date after commits, and chunks that are read again take at
/// // most 256 MiB decoded.
/// let options = Store::options()
///     .policy(Policy::Background)
///     .background_threads(2)
///     .chunk_cache(256 << 20);
/// // In memory; `open` takes a directory.
/// let store = options.open_engine(Arc::new(Memory::default()))?;
/// assert_eq!(store.policy(), Policy::Background);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StoreOptions {
    create: bool,
    /// What was chosen.
    policy: Option<Policy>,
    accept_data_loss: bool,
    read_only: bool,
    another: bool,
    aggregators: Vec<Arc<dyn Aggregator>>,
    changes_kept: u64,
    identity: Option<u64>,
    background_threads: NonZeroUsize,
    marks_max: u64,
    snapshot_age_max: Duration,
    chunk_cache: u64,
    cache_bytes: Option<usize>,
    log_bytes: Option<u64>,
    /// A dimension, and the level above which its grids keep no aggregates.
    ceiling: Option<(usize, Level)>,
    #[cfg(feature = "object-store")]
    objects: ObjectOptions,
    clock: RisingClock,
}

/// What is chosen of how a store on object storage is kept.
#[cfg(feature = "object-store")]
#[derive(Clone, Debug, Default)]
pub(crate) struct ObjectOptions {
    pub(crate) flush_interval: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) age_max: Option<Duration>,
    pub(crate) disk_cache: Option<(PathBuf, usize)>,
}

/// Time that only rises.
#[derive(Clone)]
struct RisingClock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl fmt::Debug for RisingClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RisingClock").field(&(self.0)()).finish()
    }
}

/// A few seconds' work of one thread on large chunks.
const MARKS_MAX: u64 = 1 << 14;
const CHANGES_KEPT: u64 = 1 << 16;
const SNAPSHOT_AGE_MAX: Duration = Duration::from_secs(300);
/// As much as the storage keeps of blocks.
const CHUNK_CACHE: u64 = 64 << 20;

impl Default for StoreOptions {
    fn default() -> Self {
        let start = Instant::now();
        Self {
            create: true,
            policy: None,
            accept_data_loss: false,
            read_only: false,
            another: false,
            aggregators: Vec::new(),
            changes_kept: CHANGES_KEPT,
            identity: None,
            background_threads: NonZeroUsize::MIN,
            marks_max: MARKS_MAX,
            snapshot_age_max: SNAPSHOT_AGE_MAX,
            chunk_cache: CHUNK_CACHE,
            cache_bytes: None,
            log_bytes: None,
            ceiling: None,
            #[cfg(feature = "object-store")]
            objects: ObjectOptions::default(),
            clock: RisingClock(Arc::new(move || start.elapsed())),
        }
    }
}

impl StoreOptions {
    /// Chooses whether a store is made where there is none. It is by default.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Chooses when aggregates are brought up to date; [`Policy::Inline`] by default, but
    /// [`Policy::Background`] for a store on object storage.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// The same, if no policy was chosen.
    #[cfg(feature = "object-store")]
    pub(crate) fn policy_unless_chosen(mut self, policy: Policy) -> Self {
        self.policy.get_or_insert(policy);
        self
    }

    /// Sets how many threads aggregate under [`Policy::Background`]; one by default, and at least.
    /// A grid is aggregated by one at a time, with the help of the others in computing.
    #[must_use]
    pub fn background_threads(mut self, threads: usize) -> Self {
        self.background_threads = NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN);
        self
    }

    /// Limits how many marks of a grid may be pending under [`Policy::Background`] before commits
    /// into it wait; 16,384 by default. The commits that are under way then come on top. Commits
    /// wait too when as many marks were consumed since the oldest was left, so that under any load
    /// every mark is consumed in the end.
    #[must_use]
    pub fn marks_max(mut self, marks: u64) -> Self {
        self.marks_max = marks;
        self
    }

    /// Limits how old a [`StoreSnapshot`](super::StoreSnapshot) may become; five minutes by
    /// default.
    #[must_use]
    pub fn snapshot_age_max(mut self, age: Duration) -> Self {
        self.snapshot_age_max = age;
        self
    }

    /// Sets how many bytes of decoded chunks are kept in memory for reads that come again; 64 MiB
    /// by default, 0 for none. A chunk is kept from its second read on, as long as it is read more
    /// often than others; a read of more chunks than half of these bytes leaves it alone. What is
    /// read from there is what the snapshot holds, whatever was written meanwhile.
    ///
    /// The memory is taken as chunks are read, for each open store by itself, beside the 64 MiB of
    /// the storage's own cache and what answers take. A service that shows the same places over and
    /// over wants all that it reads often to fit; one that passes over data once gains nothing.
    #[must_use]
    pub fn chunk_cache(mut self, bytes: u64) -> Self {
        self.chunk_cache = bytes;
        self
    }

    /// Sets how many bytes of stored blocks are kept in memory, with their indices and filters; 64
    /// MiB by default.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = Some(bytes);
        self
    }

    /// Limits how long the logs may become, together, in bytes, before what they hold is moved into
    /// its files; 256 MiB by default. They are read when a store is opened whose process has died.
    /// A store on object storage has a limit of its own.
    #[must_use]
    pub fn log_bytes(mut self, bytes: u64) -> Self {
        self.log_bytes = Some(bytes);
        self
    }

    /// Sets how long a commit that does not wait for the medium may be in memory only, where the
    /// store is on object storage; 100 ms by default. As long as commits come, an object is written
    /// so often.
    #[cfg(feature = "object-store")]
    #[must_use]
    pub fn flush_interval(mut self, interval: Duration) -> Self {
        self.objects.flush_interval = Some(interval);
        self
    }

    /// Limits how long object storage may take to answer a read, or the first request of an
    /// opening, attempts to try again included; one minute by default. What writes, and all of an
    /// opening for writing, may take ten times as long.
    #[cfg(feature = "object-store")]
    #[must_use]
    pub fn storage_timeout(mut self, timeout: Duration) -> Self {
        self.objects.timeout = Some(timeout);
        self
    }

    /// Limits how far a store on object storage that is opened [read-only](Self::read_only) may lie
    /// behind the process that writes to it; ten seconds by default, beside its
    /// [flush interval](Self::flush_interval). The reader asks for news when it is read, at most
    /// twice in this time. [`Store::age`](super::Store::age) tells how old what is read may be.
    #[cfg(feature = "object-store")]
    #[must_use]
    pub fn age_max(mut self, age: Duration) -> Self {
        self.objects.age_max = Some(age);
        self
    }

    /// Keeps parts of files that were read from object storage in a local directory, up to so many
    /// bytes, for as long as nothing else needs them, and beyond the life of the process. None by
    /// default.
    #[cfg(feature = "object-store")]
    #[must_use]
    pub fn disk_cache(mut self, directory: impl Into<PathBuf>, bytes: usize) -> Self {
        self.objects.disk_cache = Some((directory.into(), bytes));
        self
    }

    /// Takes another clock than the system's: the time since any fixed moment, which must not fall.
    /// Ages and the rests after failures are measured by it.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        self.clock = RisingClock(Arc::new(clock));
        self
    }

    /// Opens past damage of the logs that loses acknowledged commits, after copying the logs aside.
    /// Not the default.
    #[must_use]
    pub fn accept_data_loss(mut self, accept: bool) -> Self {
        self.accept_data_loss = accept;
        self
    }

    /// Opens the store only to read it: nothing in its directory is changed, so that it may be on a
    /// medium that cannot be written to, belong to somebody else, or be a copy. Several processes
    /// may read it at once; while they do nobody can open it for writing. A store that another
    /// process writes to is read as it is when it is opened: all that was committed by then is
    /// there, whole, and nothing that comes later; [`StoreStats::age`](super::StoreStats::age) says
    /// how long ago that was. Puts and whatever else writes are
    /// [`Invalid`](crate::ErrorKind::Invalid), and nobody aggregates, whatever the
    /// [policy](Self::policy). Not the default.
    ///
    /// On object storage any number of processes read a store while one writes to it, and see what
    /// it writes soon after; see the [guide](crate::guide).
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Registers a service's own aggregator under its name. A grid whose schema names one that is
    /// not registered can be read as it is stored, but not put into or aggregated.
    #[must_use]
    pub fn aggregator(mut self, aggregator: Arc<dyn Aggregator>) -> Self {
        self.aggregators.push(aggregator);
        self
    }

    /// Sets of how many commits a grid's [changes](crate::Grid::changes_since) are kept, at least;
    /// 65,536 by default.
    #[must_use]
    pub fn changes_kept(mut self, commits: u64) -> Self {
        self.changes_kept = commits;
        self
    }

    /// Sets the number that tells a new store from every other one, so that its tokens are refused
    /// elsewhere. It is random by default; set it for stores that must come out the same bit by
    /// bit.
    #[must_use]
    pub fn identity(mut self, identity: u64) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The service's own aggregators by name.
    pub(super) fn registered(&self) -> Result<Registered> {
        let mut registered = Registered::new();
        for aggregator in &self.aggregators {
            if let Some(twice) =
                registered.insert(aggregator.name().to_owned(), Arc::clone(aggregator))
            {
                return Err(Error::invalid(format!(
                    "two aggregators are named `{}`",
                    twice.name()
                )));
            }
        }
        Ok(registered)
    }

    pub(super) fn own_identity(&self) -> u64 {
        self.identity
            .unwrap_or_else(|| RandomState::new().hash_one(()))
    }

    #[cfg(feature = "object-store")]
    pub(crate) fn objects(&self) -> ObjectOptions {
        self.objects.clone()
    }

    /// The bytes of the cache and of the logs, where they were chosen.
    #[cfg(any(feature = "rocksdb", feature = "object-store"))]
    pub(crate) fn sizes(&self) -> (Option<usize>, Option<u64>) {
        (self.cache_bytes, self.log_bytes)
    }

    #[cfg(any(feature = "rocksdb", feature = "object-store"))]
    pub(crate) fn creates(&self) -> bool {
        self.create
    }

    pub(crate) fn accepts_data_loss(&self) -> bool {
        self.accept_data_loss
    }

    /// The same for a store that is to be another one than it was.
    #[cfg(feature = "rocksdb")]
    pub(crate) fn another(mut self) -> Self {
        self.another = true;
        self
    }

    /// Whether the store is to be another one than it was, if it was there.
    pub(super) fn is_another(&self) -> bool {
        self.another || self.accept_data_loss
    }

    pub(crate) fn reads_only(&self) -> bool {
        self.read_only
    }

    /// The same for a store whose grids keep no aggregates above a level of a dimension: others do.
    pub(crate) fn up_to(mut self, dimension: usize, level: Level) -> Self {
        self.ceiling = Some((dimension, level));
        self
    }

    pub(super) fn ceiling(&self) -> Option<(usize, Level)> {
        self.ceiling
    }

    pub(super) fn most_changes_kept(&self) -> u64 {
        self.changes_kept
    }

    pub(super) fn policy_chosen(&self) -> Policy {
        self.policy.unwrap_or_default()
    }

    pub(super) fn threads(&self) -> NonZeroUsize {
        self.background_threads
    }

    pub(super) fn most_marks(&self) -> u64 {
        self.marks_max
    }

    pub(super) fn most_snapshot_age(&self) -> Duration {
        self.snapshot_age_max
    }

    pub(super) fn most_cached(&self) -> u64 {
        self.chunk_cache
    }

    pub(super) fn now(&self) -> Duration {
        (self.clock.0)()
    }
}
