//! How a store is opened: an engine under it, and under [`Policy::Background`] the threads that
//! aggregate.

#[cfg(any(feature = "rocksdb", feature = "object-store"))]
use std::path::Path;
use std::sync::Arc;

use crate::aggregate::background;
use crate::error::Result;
use crate::kv::{Engine, Memory, ReadOnly};
use crate::store::{Policy, Store, StoreOptions};

/// So often a store is opened again whose merging of tables met a damaged one meanwhile.
#[cfg(feature = "rocksdb")]
const STOPS_MAX: u32 = 8;

impl Store {
    /// Opens the store in a directory, and creates it if there is none.
    ///
    /// With the feature `object-store` a URL names a store on object storage:
    /// `s3://bucket/prefix`, with what the environment says of credentials, region and endpoint
    /// (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`,
    /// `AWS_ALLOW_HTTP`); `file:///directory`, for a directory that is used like a bucket; and
    /// `memory://name`, which is gone with the process. It has [`Policy::Background`] unless
    /// another was chosen. Whoever opens it for writing fences the process that had it open: that
    /// one gets [`Fenced`](crate::ErrorKind::Fenced).
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if another process has it open;
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if its logs are damaged, in which case nothing was
    /// changed, or if a table cannot be read without which it cannot be opened;
    /// [`Invalid`](crate::ErrorKind::Invalid) if the directory holds something else, or a store of
    /// a newer format, or if the URL or the environment is wrong. On object storage
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such bucket, and
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if it does not answer in time or refuses.
    #[cfg(any(feature = "rocksdb", feature = "object-store"))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        StoreOptions::default().open(path)
    }

    /// Opens the store in a directory, or on object storage, only to read it. See
    /// [`StoreOptions::read_only`].
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), and [`NotFound`](crate::ErrorKind::NotFound) if there is
    /// none.
    #[cfg(any(feature = "rocksdb", feature = "object-store"))]
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self> {
        StoreOptions::default().read_only(true).open(path)
    }

    /// Makes a new store of a [checkpoint](Self::checkpoint), or of any store that nobody has open,
    /// in a directory that is empty or not there. Data files are shared where that is possible.
    ///
    /// # Errors
    ///
    /// Those of [`open_read_only`](Self::open_read_only), and
    /// [`Invalid`](crate::ErrorKind::Invalid) if the directory is not empty.
    #[cfg(feature = "rocksdb")]
    pub fn restore(checkpoint: impl AsRef<Path>, directory: impl AsRef<Path>) -> Result<()> {
        crate::kv::restore(checkpoint.as_ref(), directory.as_ref())
    }

    /// A store in memory, gone with its last handle.
    pub fn in_memory() -> Result<Self> {
        StoreOptions::default().open_engine(Arc::new(Memory::new()))
    }
}

impl StoreOptions {
    /// Opens the store in a directory, or at a URL. See [`Store::open`].
    #[cfg(any(feature = "rocksdb", feature = "object-store"))]
    pub fn open(self, path: impl AsRef<Path>) -> Result<Store> {
        match crate::kv::url::of(path.as_ref()) {
            Some(url) => self.open_url(url),
            None => self.open_directory(path.as_ref()),
        }
    }

    #[cfg(feature = "object-store")]
    fn open_url(self, url: &str) -> Result<Store> {
        use crate::kv::{Slate, SlateOptions, SlateReader};

        let mut options = SlateOptions::default();
        let chosen = self.objects();
        options.create = self.creates() && !self.reads_only();
        options.flush_interval = chosen.flush_interval.unwrap_or(options.flush_interval);
        options.timeout = chosen.timeout.unwrap_or(options.timeout);
        options.age_max = chosen.age_max.unwrap_or(options.age_max);
        options.disk_cache = chosen.disk_cache;
        options.cache_bytes = self.sizes().0.unwrap_or(options.cache_bytes);
        if self.reads_only() {
            return self.open_engine(Arc::new(SlateReader::open(url, &options)?));
        }
        let engine = Arc::new(Slate::open(url, &options)?);
        self.policy_unless_chosen(Policy::Background)
            .open_engine(engine)
    }

    #[cfg(all(feature = "rocksdb", not(feature = "object-store")))]
    fn open_url(self, url: &str) -> Result<Store> {
        Err(crate::error::Error::invalid(format!(
            "the store at {url} is on object storage, which this build does not read: `cargo install gridstone --features cli,object-store`"
        )))
    }

    #[cfg(all(feature = "object-store", not(feature = "rocksdb")))]
    fn open_directory(self, path: &Path) -> Result<Store> {
        Err(crate::error::Error::invalid(format!(
            "the store in the directory {} needs the feature `rocksdb`, which this build is without: give a URL like file:///directory",
            path.display()
        )))
    }

    #[cfg(feature = "rocksdb")]
    fn open_directory(self, path: &Path) -> Result<Store> {
        let (read_only, accept_data_loss) = (self.reads_only(), self.accepts_data_loss());
        let create = self.creates() && !read_only;
        let mut options = crate::kv::RocksOptions {
            create,
            accept_data_loss,
            read_only,
            ..Default::default()
        };
        let (cache_bytes, log_bytes) = self.sizes();
        options.cache_bytes = cache_bytes.unwrap_or(options.cache_bytes);
        options.log_bytes = log_bytes.unwrap_or(options.log_bytes);
        let mut stops = 0;
        loop {
            let engine = Arc::new(crate::kv::Rocks::open(path, &options)?);
            let opened = self.clone().open_rocks(&engine);
            // The damaged table that it was stopped by is mended, or is not merged any more.
            if opened.is_ok() || !engine.was_stopped_by_damage() || stops == STOPS_MAX {
                return opened;
            }
            stops += 1;
        }
    }

    #[cfg(feature = "rocksdb")]
    fn open_rocks(self, engine: &Arc<crate::kv::Rocks>) -> Result<Store> {
        if !engine.is_copy() || self.reads_only() {
            return self.open_engine(Arc::clone(engine) as Arc<dyn Engine>);
        }
        // What goes on from a copy is not the store it was.
        let store = self
            .another()
            .open_engine(Arc::clone(engine) as Arc<dyn Engine>)?;
        engine.adopt()?;
        Ok(store)
    }

    /// Opens the store in an engine.
    pub fn open_engine(self, engine: Arc<dyn Engine>) -> Result<Store> {
        if self.reads_only() {
            return Store::start(Arc::new(ReadOnly::new(engine)), self.policy(Policy::Manual));
        }
        let store = Store::start(engine, self)?;
        match store.policy() {
            Policy::Background => store.with_background(background::run),
            _ => Ok(store),
        }
    }
}
