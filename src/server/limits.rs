//! How much is answered at a time, how large and how long.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::Store;
use crate::error::Result;

/// How a store is opened anew, and how often.
#[derive(Clone)]
pub(super) struct Refresh {
    pub(super) every: Duration,
    pub(super) open: Arc<dyn Fn() -> Result<Store> + Send + Sync>,
}

impl fmt::Debug for Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresh")
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

/// The limits of a server. Whatever is asked, an answer takes no more than they say.
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) calls: usize,
    pub(super) queue: usize,
    pub(super) timeout: Duration,
    pub(super) body_bytes: usize,
    pub(super) kept_bytes: u64,
    pub(super) cells: u64,
    pub(super) listeners: usize,
    pub(super) connections: usize,
    pub(super) drain: Duration,
    pub(super) refresh: Option<Refresh>,
}

impl Default for Options {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            calls: (2 * cores).max(4),
            queue: 512,
            timeout: Duration::from_secs(30),
            body_bytes: 16 << 20,
            kept_bytes: 64 << 20,
            cells: 1 << 24,
            listeners: 256,
            connections: 1024,
            drain: Duration::from_secs(10),
            refresh: None,
        }
    }
}

impl Options {
    /// How many engine calls run at once; the default is two a core. A call that is given up by its
    /// client or has taken too long counts until it ends.
    #[must_use]
    pub fn calls(mut self, calls: usize) -> Self {
        self.calls = calls.max(1);
        self
    }

    /// How many requests wait for their turn; the default is 512. Beyond that an answer is 503.
    #[must_use]
    pub fn queue(mut self, requests: usize) -> Self {
        self.queue = requests;
        self
    }

    /// How long an answer may take, waiting included; the default is half a minute. Then it is 503.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many bytes may be posted; the default is 16 MiB. Beyond that an answer is 413.
    #[must_use]
    pub fn body_bytes(mut self, bytes: usize) -> Self {
        self.body_bytes = bytes;
        self
    }

    /// How many bytes of tiles, chunks of Zarr, answers of EDR and packed texts are kept for those
    /// who ask for them again; the default is 64 MiB. 0 keeps none.
    #[must_use]
    pub fn kept_bytes(mut self, bytes: u64) -> Self {
        self.kept_bytes = bytes;
        self
    }

    /// How many cells an answer may be made of, after a level was chosen; the default is 2^24.
    /// Beyond that it is 413.
    #[must_use]
    pub fn cells(mut self, cells: u64) -> Self {
        self.cells = cells;
        self
    }

    /// How many listen to changes at once; the default is 256. Beyond that an answer is 503.
    #[must_use]
    pub fn listeners(mut self, listeners: usize) -> Self {
        self.listeners = listeners;
        self
    }

    /// How many connections [`serve`](super::serve) holds; the default is 1024. Others wait to be
    /// taken.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// How long [`serve`](super::serve) waits for answers that are under way when it is stopped;
    /// the default is ten seconds.
    #[must_use]
    pub fn drain(mut self, drain: Duration) -> Self {
        self.drain = drain;
        self
    }

    /// Opens the store anew, so often, while it is one that another process writes to and that is
    /// therefore shown [as it was when it was opened](crate::StoreOptions::read_only);
    /// [`serve`](super::serve) does so. Not the default.
    #[must_use]
    pub fn refresh(
        mut self,
        every: Duration,
        open: impl Fn() -> Result<Store> + Send + Sync + 'static,
    ) -> Self {
        let open = Arc::new(open);
        self.refresh = Some(Refresh { every, open });
        self
    }
}
