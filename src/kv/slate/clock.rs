//! The clock of who writes: never behind the store.
//!
//! SlateDB names tables and merges by the time, notes it with what it writes, and refuses what
//! would be earlier than what is there. A machine whose clock is ahead for once would so keep all
//! others from writing until theirs have caught up. This clock begins where the store is, if that
//! is later, and goes on from there. Else it is asked only how old files are.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use slatedb::manifest::VersionedManifest;
use slatedb_common::clock::{DefaultSystemClock, SystemClock, SystemClockTicker};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct StoreClock {
    machine: DefaultSystemClock,
    /// By how many milliseconds it is ahead of the machine's. Never less than before.
    ahead: AtomicI64,
}

impl StoreClock {
    /// The machine's clock, and so much later.
    pub(super) fn new(ahead: TimeDelta) -> Arc<Self> {
        Arc::new(Self {
            machine: DefaultSystemClock::new(),
            ahead: AtomicI64::new(ahead.num_milliseconds()),
        })
    }

    /// Goes on from the latest time that a manifest knows of.
    pub(super) fn reach_manifest(&self, manifest: &VersionedManifest) {
        self.reach(manifest.last_l0_clock_tick());
        let tables = manifest.all_sst_views();
        let latest = tables.map(|view| view.sst.id.value().timestamp_ms()).max();
        latest.into_iter().for_each(|time| self.reach_past(time));
    }

    /// Goes on from a number of milliseconds since 1970.
    pub(super) fn reach_past(&self, time: u64) {
        self.reach(i64::try_from(time).unwrap_or(0));
    }

    fn reach(&self, time: i64) {
        let ahead = time.saturating_sub(self.machine.now().timestamp_millis());
        self.ahead.fetch_max(ahead, Ordering::Relaxed);
    }
}

impl SystemClock for StoreClock {
    fn now(&self) -> DateTime<Utc> {
        let ahead = TimeDelta::milliseconds(self.ahead.load(Ordering::Relaxed));
        let now = self.machine.now();
        now.checked_add_signed(ahead).unwrap_or(now)
    }

    fn sleep<'a>(&'a self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.machine.sleep(duration)
    }

    fn ticker<'a>(&'a self, duration: Duration) -> SystemClockTicker<'a> {
        SystemClockTicker::new(self, duration)
    }
}
