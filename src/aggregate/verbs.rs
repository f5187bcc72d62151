//! What brings the pyramid up to date, and what waits for that.

use std::time::Duration;

use super::Aggregated;
use crate::error::{ErrorKind, Result};
use crate::store::{Grid, Store, StoreListing, unless_dropped};

impl Store {
    /// Brings every aggregate of every grid up to date.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](ErrorKind::Corrupt) if something cannot be read that an aggregate is made of;
    /// all others are up to date then.
    pub fn aggregate(&self) -> Result<()> {
        let StoreListing {
            grids, unreadable, ..
        } = self.shown()?;
        let mut blocked = unreadable.into_iter().next().map(|(_, error)| error);
        for grid in &grids {
            match unless_dropped(grid.aggregate()) {
                Err(error) if *error.kind() == ErrorKind::Corrupt => {
                    blocked.get_or_insert(error);
                }
                aggregated => {
                    aggregated?;
                }
            }
        }
        blocked.map_or(Ok(()), Err)
    }
}

impl Grid {
    /// Brings every aggregate up to date.
    pub fn aggregate(&self) -> Result<Aggregated> {
        let mut total = Aggregated::default();
        while let Some(step) = self.aggregate_step()? {
            total += step;
        }
        Ok(total)
    }

    /// Does a bounded part of what [`aggregate`](Self::aggregate) does, in one commit; `None` if
    /// nothing is left to do.
    pub fn aggregate_step(&self) -> Result<Option<Aggregated>> {
        self.writable()?;
        super::step(self)
    }

    /// How many marks are pending: they are counted one by one. [`stats`](Self::stats) knows
    /// without.
    pub fn marks(&self) -> Result<u64> {
        self.count_marks(self.present()?.as_ref(), u64::MAX)
    }

    /// Waits until the commit of this [`sequence`](crate::Commit::sequence) is aggregated: until no
    /// mark of this grid is pending that it left, or any commit before it. Then every level shows
    /// it.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](crate::ErrorKind::TimedOut) if that takes longer than `timeout`, caused by the
    /// last failure of the background aggregation, if it fails. Under
    /// [`Policy::Manual`](crate::Policy::Manual) nobody aggregates unless asked, so the time runs
    /// out. [`Poisoned`](crate::ErrorKind::Poisoned) if the background aggregation panicked;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the store is closed;
    /// [`Invalid`](crate::ErrorKind::Invalid) for a grid of a snapshot, which never changes.
    pub fn wait(&self, commit: u64, timeout: Duration) -> Result<()> {
        self.live()?;
        self.count_found()?;
        let store = self.store();
        store
            .backlog()
            .wait(self.id(), commit, timeout, &|| store.now())
            .map_err(|e| self.blame(e))
    }
}
