//! The threads that aggregate in the background.

use std::any::Any;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rayon::ThreadPool;

use super::backlog::{Outcome, Room};
use super::{Grid, Store, lock};
use crate::aggregate;
use crate::error::{Error, ErrorKind, Result};
use crate::key::GridId;

/// The background threads of a store. They end, each after the step it is at, when this is dropped.
#[derive(Debug)]
pub(super) struct Background {
    /// The store without its background, so that the threads do not keep themselves alive.
    store: Store,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Background {
    /// Starts `threads` threads, which share a pool of as many for the work within a step.
    pub(super) fn start(store: Store, threads: NonZeroUsize) -> Result<Self> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::unavailable("the threads of the background aggregation cannot be started").because(error)
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.get()).thread_name(|n| format!("gridstone-pool-{n}"));
        let pool = Arc::new(pool.build().map_err(|error| failed(error.into()))?);
        let background = Self { store, threads: Mutex::default() };
        for number in 0..threads.get() {
            let (store, pool) = (background.store.clone(), Arc::clone(&pool));
            let thread = thread::Builder::new().name(format!("gridstone-aggregate-{number}"));
            // Those that run already end with `background`.
            let thread = thread.spawn(move || run(&store, &pool)).map_err(|error| failed(error.into()))?;
            lock(&background.threads).push(thread);
        }
        Ok(background)
    }

    /// Lets every thread finish the step it is at, and ends it.
    pub(super) fn stop(&self, closed: bool) {
        self.store.backlog().stop(closed);
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads.into_iter().filter(|other| other.thread().id() != thread::current().id()) {
            if thread.join().is_err() {
                self.store.backlog().poison("a thread of the background aggregation panicked".to_owned());
            }
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop(false);
    }
}

/// The life of a background thread.
fn run(store: &Store, pool: &ThreadPool) {
    let mut grids = HashMap::new();
    while let Some(id) = store.backlog().take(&|| store.now()) {
        let turn = || pool.install(|| grid_of(store, &mut grids, id).and_then(|grid| aggregate::step(&grid)));
        let outcome = match catch_unwind(AssertUnwindSafe(turn)) {
            Ok(Ok(Some(_))) => Outcome::More,
            Ok(Ok(None)) => Outcome::Done,
            Ok(Err(error)) => {
                let why = error.sentence();
                tracing::warn!(grid = id.0, error = why, "aggregation in the background failed");
                if *error.kind() == ErrorKind::Poisoned {
                    store.backlog().poison(why.clone());
                }
                Outcome::Failed(why)
            }
            Err(panic) => {
                let why = format!("aggregation of grid number {} panicked: {}", id.0, message(panic.as_ref()));
                tracing::error!(grid = id.0, error = why, "aggregation in the background panicked");
                store.backlog().poison(why.clone());
                Outcome::Failed(why)
            }
        };
        store.backlog().hand_back(id, outcome, store.now());
    }
}

fn grid_of(store: &Store, grids: &mut HashMap<GridId, Grid>, id: GridId) -> Result<Grid> {
    if !grids.contains_key(&id) {
        grids.extend(store.grids()?.into_iter().map(|grid| (grid.id(), grid)));
    }
    grids.get(&id).cloned().ok_or_else(|| Error::not_found(format!("there is no grid of number {}", id.0)))
}

/// Waits until a grid has fewer marks pending than the store allows, or does a part of their work.
pub(super) fn make_room(grid: &Grid, marks_max: u64) -> Result<()> {
    let store = grid.store();
    // A thread of a pool may be what the step that it would wait for needs.
    let patience = rayon::current_thread_index().is_none();
    while store.backlog().make_room(grid.id(), marks_max, patience)? == Room::Help {
        tracing::debug!(grid = grid.name(), marks_max, "a commit aggregates first");
        let mut turn = Turn { grid, outcome: Some(Outcome::More) };
        let step = if patience { aggregate::step(grid).map(Some) } else { aggregate::step_unless_busy(grid) };
        match step {
            Ok(Some(Some(_))) => {}
            Ok(Some(None)) => turn.outcome = Some(Outcome::Done),
            Ok(None) => return Ok(()),
            Err(error) => {
                turn.outcome = Some(Outcome::Failed(error.sentence()));
                let text = format!("grid `{}`: more than {marks_max} marks are pending and cannot be aggregated", grid.name());
                return Err(error.within(text));
            }
        }
    }
    Ok(())
}

/// A turn that is handed back whatever happens.
struct Turn<'a> {
    grid: &'a Grid,
    outcome: Option<Outcome>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let store = self.grid.store();
        store.backlog().hand_back(self.grid.id(), self.outcome.take().unwrap_or(Outcome::More), store.now());
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}
