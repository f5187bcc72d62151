//! The threads that aggregate in the background.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::thread::{self, JoinHandle};

use super::workers::Workers;
use super::{Store, lock};
use crate::error::{Error, ErrorKind, Result};

/// What a background thread does until the store stops.
pub(crate) type Work = fn(&Store);

/// The background threads of a store. They end, each after the step it is at, when this is dropped.
#[derive(Debug)]
pub(super) struct Background {
    /// The store without its background, so that the threads do not keep themselves alive.
    store: Store,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Background {
    /// Starts `threads` threads that do `work`, and compute in a pool of as many.
    pub(super) fn start(store: Store, threads: NonZeroUsize, work: Work) -> Result<Self> {
        let store = store.with_workers(Workers::of(threads.get())?);
        let background = Self {
            store,
            threads: Mutex::default(),
        };
        for number in 0..threads.get() {
            let store = background.store.clone();
            let thread = thread::Builder::new().name(format!("gridstone-aggregate-{number}"));
            // Those that run already end with `background`.
            let thread = thread.spawn(move || work(&store)).map_err(|error| {
                Error::unavailable("the threads of the background aggregation cannot be started")
                    .because(error)
            })?;
            lock(&background.threads).push(thread);
        }
        Ok(background)
    }

    /// Lets every thread finish the step it is at, and ends it.
    pub(super) fn stop(&self, closed: bool) {
        self.store.backlog().stop(closed);
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads
            .into_iter()
            .filter(|other| other.thread().id() != thread::current().id())
        {
            if thread.join().is_err() {
                self.store.backlog().poison(
                    ErrorKind::Poisoned,
                    "a thread of the background aggregation panicked".to_owned(),
                );
            }
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop(false);
    }
}
