//! The only place where threads wait for what is done asynchronously.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

use super::fault;
use crate::error::{Error, Result};

/// What writes many bytes may take so many times as long as a read.
const BULK: u32 = 10;
const THREADS_MAX: usize = 4;

/// The threads of one open store that speak with the object storage.
#[derive(Debug)]
pub(super) struct Room {
    handle: Handle,
    /// Taken when the store is closed.
    runtime: Option<Runtime>,
    timeout: Duration,
    /// What errors name.
    pub(super) url: String,
}

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Room {
    pub(super) fn new(url: &str, timeout: Duration) -> Result<Self> {
        let threads = thread::available_parallelism().map_or(2, usize::from);
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.clamp(2, THREADS_MAX))
            .thread_name("gridstone-objects")
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| {
            Error::unavailable(format!("the store at {url} cannot have threads of its own"))
                .because(error)
        })?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
            timeout,
            url: url.to_owned(),
        })
    }

    /// Where tasks are started.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits on this thread, whichever it is: also on one of another runtime, which is blocked.
    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        let _inside = self.handle.enter();
        let mut work = pin!(work);
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match work.as_mut().poll(&mut context) {
                Poll::Ready(done) => return done,
                Poll::Pending => thread::park(),
            }
        }
    }

    /// Waits for an answer that reads need.
    pub(super) fn read<T>(
        &self,
        work: impl Future<Output = Result<T, slatedb::Error>>,
    ) -> Result<T> {
        self.within(self.timeout, work, fault::of_read)
    }

    /// Waits for what the first request of an opening comes to.
    pub(super) fn probe<T>(
        &self,
        work: impl Future<Output = Result<T, object_store::Error>>,
    ) -> Result<T> {
        self.within(self.timeout, work, fault::of_probe)
    }

    /// An answer that is there.
    pub(super) fn told<T>(&self, answer: Result<T, slatedb::Error>) -> Result<T> {
        answer.map_err(|error| fault::of_read(&self.url, &error))
    }

    /// Waits for something that writes many bytes.
    pub(super) fn bulk<T>(
        &self,
        work: impl Future<Output = Result<T, slatedb::Error>>,
    ) -> Result<T> {
        self.within(self.timeout.saturating_mul(BULK), work, fault::of_read)
    }

    /// Waits no longer than `most`. `because` makes an error of the storage one of ours.
    fn within<T, E>(
        &self,
        most: Duration,
        work: impl Future<Output = Result<T, E>>,
        because: impl FnOnce(&str, &E) -> Error,
    ) -> Result<T> {
        // The time begins inside: there the runtime is known.
        let done = self.wait(async { tokio::time::timeout(most, work).await });
        done.map_err(|_| fault::too_late(&self.url, most))?
            .map_err(|error| because(&self.url, &error))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // Never waits, so that a store can be dropped anywhere. What was to be waited for was.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
