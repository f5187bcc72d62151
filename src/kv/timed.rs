//! How often something was done, and how long it took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often something was done, and how long that took in all.
#[derive(Debug, Default)]
pub(super) struct Timed {
    count: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Timed {
    /// Does it, and takes the time.
    pub(super) fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        let nanoseconds = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        done
    }

    /// The count and the time.
    pub(super) fn so_far(&self) -> (u64, Duration) {
        (
            self.count.load(Ordering::Relaxed),
            Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)),
        )
    }
}
