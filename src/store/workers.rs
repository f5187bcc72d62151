//! Where a store computes what it holds locks for.
//!
//! A thread of a rayon pool that waits for its part of a job takes up other work of that pool
//! meanwhile. Were that work to want a lock that the thread holds, both would wait for ever on one
//! stack. So whoever holds a lock does not compute in the pool that it was called on: the work goes
//! to a pool that does nothing else and waits for no lock, and the holder waits, idle.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::thread;

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::lock;
use crate::error::{Error, Result};

/// The pool of all stores of a process.
static SHARED: Mutex<Option<Arc<ThreadPool>>> = Mutex::new(None);

thread_local! {
    /// Whether this is a thread of such a pool.
    static WORKER: Cell<bool> = const { Cell::new(false) };
}

/// The pool of a handle: the one that all stores share, unless it has one of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Workers(Option<Arc<ThreadPool>>);

impl Workers {
    /// A pool of so many threads.
    pub(super) fn of(threads: usize) -> Result<Self> {
        Ok(Self(Some(Arc::new(pool(threads, "gridstone-pool")?))))
    }

    /// Whether the caller is on a thread of such a pool, where it must not wait for a lock: it is
    /// called by whoever computes there, as an aggregator is, and what it waits for may wait for
    /// it.
    pub(crate) fn is_one() -> bool {
        WORKER.get()
    }

    /// Does work in the pool and waits for it. The caller may hold locks that no work in the pool
    /// waits for.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        if Self::is_one() {
            return work();
        }
        let pool = match &self.0 {
            Some(pool) => Arc::clone(pool),
            None => shared()?,
        };
        if rayon::current_thread_index().is_none() {
            return pool.install(work);
        }
        // A thread of another pool would take up work there. One that is of no pool does nothing
        // while it waits.
        thread::scope(|scope| {
            let waiting = thread::Builder::new()
                .name("gridstone-wait".to_owned())
                .spawn_scoped(scope, || pool.install(work));
            let done = waiting.map_err(failed)?.join();
            done.unwrap_or_else(|panic| resume_unwind(panic))
        })
    }
}

/// The pool that all stores share. It has as many threads as rayon's global pool, where the caller
/// can tell.
fn shared() -> Result<Arc<ThreadPool>> {
    let mut shared = lock(&SHARED);
    if let Some(pool) = &*shared {
        return Ok(Arc::clone(pool));
    }
    let threads = if rayon::current_thread_index().is_none() {
        rayon::current_num_threads()
    } else {
        0
    };
    let pool = Arc::new(pool(threads, "gridstone-work")?);
    *shared = Some(Arc::clone(&pool));
    Ok(pool)
}

fn pool(threads: usize, name: &'static str) -> Result<ThreadPool> {
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(move |number| format!("{name}-{number}"));
    pool.start_handler(|_| WORKER.set(true))
        .build()
        .map_err(failed)
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::unavailable("the threads that a store computes with cannot be started").because(error)
}
