//! A decorator that lets an engine only be read.

use std::path::Path;
use std::sync::Arc;

use super::{Batch, Counters, Durability, Engine, KeyRange, Sequence, Snapshot, Space};
use crate::error::{Error, Result};

/// An [`Engine`] that refuses whatever would change it.
#[derive(Debug)]
pub struct ReadOnly(Arc<dyn Engine>);

impl ReadOnly {
    /// The same store, to be read.
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        Self(engine)
    }
}

/// What is refused of a store that is only read.
pub(super) fn refused<T>() -> Result<T> {
    Err(Error::invalid(
        "the store is open for reading only; open it for writing",
    ))
}

#[deny(clippy::missing_trait_methods)]
impl Engine for ReadOnly {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        self.0.snapshot()
    }

    fn commit(&self, _: Batch, _: Durability) -> Result<Sequence> {
        refused()
    }

    fn flush(&self) -> Result<()> {
        refused()
    }

    fn compact(&self, _: Space, _: &KeyRange) -> Result<()> {
        refused()
    }

    fn checkpoint(&self, target: &Path) -> Result<()> {
        // Who opened it for writing would fence the process that does, and make no copy either.
        if self.0.follows() {
            return self.0.checkpoint(target);
        }
        refused()
    }

    fn counters(&self) -> Counters {
        self.0.counters()
    }

    fn follows(&self) -> bool {
        self.0.follows()
    }
}
