//! How a store is opened: an engine under it, and under [`Policy::Background`] the threads that aggregate.

#[cfg(feature = "rocksdb")]
use std::path::Path;
use std::sync::Arc;

use crate::aggregate::background;
use crate::error::Result;
use crate::kv::{Engine, Memory};
use crate::store::{Policy, Store, StoreOptions};

impl Store {
    /// Opens the store in a directory, and creates it if there is none.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if another process has it open; [`Corrupt`](crate::ErrorKind::Corrupt) if
    /// its logs are damaged, in which case nothing was changed; [`Invalid`](crate::ErrorKind::Invalid) if the directory holds
    /// something else, or a store of a newer format.
    #[cfg(feature = "rocksdb")]
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        StoreOptions::default().open(path)
    }

    /// A store in memory, gone with its last handle.
    pub fn in_memory() -> Result<Self> {
        StoreOptions::default().open_engine(Arc::new(Memory::new()))
    }
}

impl StoreOptions {
    /// Opens the store in a directory. See [`Store::open`].
    #[cfg(feature = "rocksdb")]
    pub fn open(self, path: impl AsRef<Path>) -> Result<Store> {
        let (create, accept_data_loss) = (self.creates(), self.accepts_data_loss());
        let options = crate::kv::RocksOptions { create, accept_data_loss, ..Default::default() };
        let engine = crate::kv::Rocks::open(path.as_ref(), &options)?;
        self.open_engine(Arc::new(engine))
    }

    /// Opens the store in an engine.
    pub fn open_engine(self, engine: Arc<dyn Engine>) -> Result<Store> {
        let store = Store::start(engine, self)?;
        match store.policy() {
            Policy::Background => store.with_background(background::run),
            _ => Ok(store),
        }
    }
}
