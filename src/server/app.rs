//! What all handlers share, and how they call the engine.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Semaphore, watch};

use super::changes::Watchers;
use super::kept::{KeptAnswers, StoreMoment};
use super::limits::Options;
use super::metrics::Requests;
use super::reply::Problem;
use super::tiles::Stretches;
use super::zarr::{Snapshots, Views};
use crate::error::Result;
use crate::{Grid, Store};

pub(super) type Shared = Arc<App>;

/// A store and what stands around it.
pub(super) struct App {
    /// What is shown, and how often another store took the place of the one before.
    store: RwLock<(u64, Store)>,
    pub(super) options: Options,
    pub(super) requests: Requests,
    pub(super) stretches: Stretches,
    pub(super) watchers: Watchers,
    pub(super) views: Views,
    pub(super) snapshots: Snapshots,
    pub(super) kept: KeptAnswers,
    calls: Arc<Semaphore>,
    queued: AtomicUsize,
    /// Whether the server is to end.
    pub(super) ending: watch::Sender<bool>,
}

impl App {
    pub(super) fn new(store: Store, options: Options) -> Shared {
        Arc::new(Self {
            store: RwLock::new((0, store)),
            calls: Arc::new(Semaphore::new(options.calls)),
            kept: KeptAnswers::new(options.kept_bytes),
            options,
            requests: Requests::default(),
            stretches: Stretches::default(),
            watchers: Watchers::default(),
            views: Views::default(),
            snapshots: Snapshots::default(),
            queued: AtomicUsize::new(0),
            ending: watch::Sender::new(false),
        })
    }

    fn shown(&self) -> (u64, Store) {
        let shown = self.store.read().unwrap_or_else(PoisonError::into_inner);
        shown.clone()
    }

    /// The store.
    pub(super) fn store(&self) -> Store {
        self.shown().1
    }

    /// Shows another state of the store from now on.
    pub(super) fn show(&self, store: Store) {
        let mut shown = self.store.write().unwrap_or_else(PoisonError::into_inner);
        *shown = (shown.0 + 1, store);
        drop(shown);
        self.views.clear();
    }

    /// The present moment: whatever is read from now on is of it or a later one.
    pub(super) fn moment(&self) -> Result<StoreMoment> {
        let (shown, store) = self.shown();
        let commit = store.current()?.sequence().0;
        Ok(StoreMoment { shown, commit })
    }

    /// The same, if it is known without waiting for anybody.
    pub(super) fn moment_at_once(&self) -> Option<StoreMoment> {
        let shown = self.store.read().unwrap_or_else(PoisonError::into_inner);
        let (shown, store) = &*shown;
        // A younger state of a store that another process writes to may have to be fetched.
        let view = (!store.engine().follows()).then(|| store.current())?.ok()?;
        Some(StoreMoment {
            shown: *shown,
            commit: view.sequence().0,
        })
    }

    /// A grid as it is now, whatever is committed while the answer is made.
    pub(super) fn grid(&self, name: &str) -> Result<Grid> {
        self.store().snapshot()?.grid(name)
    }

    /// Runs work that calls the engine, on a thread of its own, when it is its turn. If it takes
    /// too long it goes on, and still counts among those that run.
    pub(super) async fn call<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&App) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let queued = Queued::enter(self)?;
        let turn = async {
            let permit = Arc::clone(&self.calls).acquire_owned().await;
            let permit = permit.map_err(|_| Problem::busy("the server ends"))?;
            drop(queued);
            let app = Arc::clone(self);
            let done = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                work(&app)
            });
            done.await.unwrap_or_else(|_| Err(Problem::internal()))
        };
        tokio::time::timeout(self.options.timeout, turn)
            .await
            .unwrap_or_else(|_| {
                Err(Problem::busy(format!(
                    "the answer takes longer than {} s; ask for less at a time",
                    self.options.timeout.as_secs_f64()
                )))
            })
    }

    /// Runs work that takes a moment only, whatever waits for its turn.
    pub(super) async fn aside<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&App) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let app = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&app)).await;
        done.unwrap_or_else(|_| Err(Problem::internal()))
    }

    /// How many requests wait, and how many engine calls may still begin.
    pub(super) fn load(&self) -> (usize, usize) {
        (
            self.queued.load(Ordering::Relaxed),
            self.calls.available_permits(),
        )
    }
}

/// A request that waits for its turn.
struct Queued<'a>(&'a AtomicUsize);

impl<'a> Queued<'a> {
    fn enter(app: &'a App) -> Result<Self, Problem> {
        let before = app.queued.fetch_add(1, Ordering::Relaxed);
        let queued = Self(&app.queued);
        if before >= app.options.queue + app.calls.available_permits() {
            return Err(Problem::busy(format!(
                "{before} requests wait already; try again in a moment"
            )));
        }
        Ok(queued)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
