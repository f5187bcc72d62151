//! Snapshots: many reads of one version.

use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::{Grid, Store, catalog, lock};
use crate::error::{Error, ErrorKind, Result};
use crate::kv;

/// A store as one moment left it: what the grids had from here read is of one version, whatever is
/// committed meanwhile.
///
/// It can be cloned and shared between threads. A snapshot keeps the storage from dropping what was
/// overwritten since, so its age is bounded
/// ([`StoreOptions::snapshot_age_max`](super::StoreOptions::snapshot_age_max)): when it is older,
/// reads through it fail with [`Expired`](ErrorKind::Expired). Reads that are under way end well.
#[derive(Clone, Debug)]
pub struct StoreSnapshot {
    store: Store,
    pin: Arc<Pin>,
}

impl StoreSnapshot {
    pub(super) fn new(store: Store, pin: Arc<Pin>) -> Self {
        Self { store, pin }
    }

    /// Opens a grid for reading. What it answers is of this snapshot; a put into it, or an
    /// aggregation, is [`Invalid`](ErrorKind::Invalid). [`NotFound`](ErrorKind::NotFound) if there
    /// was none of that name.
    pub fn grid(&self, name: &str) -> Result<Grid> {
        let (id, schema) = catalog::find(self.pin.get(&self.store)?.as_ref(), name)?;
        Ok(self.store.handle(id, name, schema).at(&self.pin))
    }

    /// Every grid, by name, as [`grid`](Self::grid) gives it.
    pub fn grids(&self) -> Result<Vec<Grid>> {
        catalog::names(self.pin.get(&self.store)?.as_ref())?
            .iter()
            .map(|name| self.grid(name))
            .collect()
    }

    /// The store it is of.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// How long ago it was taken.
    pub fn age(&self) -> Duration {
        self.store.now().saturating_sub(self.pin.taken)
    }
}

/// A view of the engine that is given up when it is too old.
pub(super) struct Pin {
    view: Mutex<Option<Arc<dyn kv::Snapshot>>>,
    taken: Duration,
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pin")
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}

impl Pin {
    /// The view, unless it is too old.
    pub(super) fn get(&self, store: &Store) -> Result<Arc<dyn kv::Snapshot>> {
        let most = store.snapshot_age_max();
        let mut view = lock(&self.view);
        if store.now().saturating_sub(self.taken) > most {
            *view = None;
        }
        view.clone().ok_or_else(|| {
            Error::new(
                ErrorKind::Expired,
                format!("the snapshot is older than {most:?}; take a new one"),
            )
        })
    }
}

/// The snapshots that were taken and may be held.
#[derive(Debug, Default)]
pub(super) struct Pins {
    pins: Mutex<Vec<Weak<Pin>>>,
}

impl Pins {
    /// Pins a view.
    pub(super) fn pin(&self, view: Arc<dyn kv::Snapshot>, taken: Duration) -> Arc<Pin> {
        let pin = Arc::new(Pin {
            view: Mutex::new(Some(view)),
            taken,
        });
        lock(&self.pins).push(Arc::downgrade(&pin));
        pin
    }

    /// Gives up the views that are older than `most`.
    pub(super) fn expire(&self, now: Duration, most: Duration) {
        lock(&self.pins).retain(|pin| {
            let Some(pin) = pin.upgrade() else {
                return false;
            };
            let fresh = now.saturating_sub(pin.taken) <= most;
            if !fresh {
                *lock(&pin.view) = None;
            }
            fresh
        });
    }

    /// How many are held.
    pub(super) fn held(&self) -> u64 {
        lock(&self.pins)
            .iter()
            .filter(|pin| pin.strong_count() > 0)
            .count() as u64
    }
}
