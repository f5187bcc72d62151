//! How a federation is opened.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::Federation;
use super::shards::Shards;
use super::state::Border;
use crate::error::Result;
use crate::grid::Schema;
use crate::store::{Policy, Store, StoreOptions};

/// Opens the store at a place.
pub(super) type StoreOpener = Arc<dyn Fn(&str, StoreOptions) -> Result<Store> + Send + Sync>;

/// How a [`Federation`] is opened: for writing everything, unless told otherwise.
#[derive(Clone)]
pub struct FederationOptions {
    store: StoreOptions,
    /// The shards that are opened for writing, if not all are.
    only: Option<BTreeSet<String>>,
    keeps_top: bool,
    opener: StoreOpener,
    /// Whether places are those of [`StoreOptions::open`].
    opens_places: bool,
}

impl fmt::Debug for FederationOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FederationOptions")
            .field("store", &self.store)
            .field("only", &self.only)
            .field("keeps_top", &self.keeps_top)
            .finish_non_exhaustive()
    }
}

impl Default for FederationOptions {
    fn default() -> Self {
        Self {
            store: StoreOptions::default(),
            only: None,
            keeps_top: true,
            opener: Arc::new(open_place),
            opens_places: true,
        }
    }
}

#[cfg(any(feature = "rocksdb", feature = "object-store"))]
fn open_place(place: &str, options: StoreOptions) -> Result<Store> {
    options.open(place)
}

#[cfg(not(any(feature = "rocksdb", feature = "object-store")))]
fn open_place(place: &str, _: StoreOptions) -> Result<Store> {
    Err(crate::error::Error::invalid(format!(
        "the store at {place} needs the feature `rocksdb` or `object-store`, which this build is without; say with FederationOptions::opener how stores are opened"
    )))
}

impl FederationOptions {
    /// Opens every store of the federation like this: policy of the shards, caches, aggregators.
    /// The top is aggregated by [`Federation::catch_up`] only, whatever the policy.
    #[must_use]
    pub fn store(mut self, options: StoreOptions) -> Self {
        self.store = options;
        self
    }

    /// Opens only the shards of these names for writing, and all others, with the top, for reading:
    /// where each shard has a process of its own that writes to it.
    #[must_use]
    pub fn only<S: Into<String>>(mut self, shards: impl IntoIterator<Item = S>) -> Self {
        self.only = Some(shards.into_iter().map(Into::into).collect());
        self.keeps_top = false;
        self
    }

    /// Opens the top for writing, or not: in the one process that lets it [catch
    /// up](Federation::catch_up). Behind [`only`](Self::only).
    #[must_use]
    pub fn keeps_top(mut self, keeps: bool) -> Self {
        self.keeps_top = keeps;
        self
    }

    /// Opens everything for reading only.
    #[must_use]
    pub fn read_only(self) -> Self {
        self.only::<String>([])
    }

    /// Opens stores otherwise than by [`StoreOptions::open`]: of the engine that stands for a
    /// place.
    #[must_use]
    pub fn opener(
        mut self,
        opener: impl Fn(&str, StoreOptions) -> Result<Store> + Send + Sync + 'static,
    ) -> Self {
        self.opener = Arc::new(opener);
        self.opens_places = false;
        self
    }

    /// Makes a federation: the store of its top at a place, with a grid of this name, and the
    /// stores of its shards at theirs. All are to be empty. See [`Federation::create`].
    pub fn create(
        self,
        top: &str,
        grid: &str,
        schema: Schema,
        shards: &Shards,
    ) -> Result<Federation> {
        Federation::make(self, top, (grid, schema), shards)
    }

    /// Opens the federation whose top is at a place. See [`Federation::open`].
    pub fn open(self, top: &str) -> Result<Federation> {
        Federation::assemble(self, top)
    }

    pub(super) fn writes(&self, shard: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(shard))
    }

    pub(super) fn writes_top(&self) -> bool {
        self.keeps_top
    }

    pub(super) fn opens_places(&self) -> bool {
        self.opens_places
    }

    /// What lies above its columns a shard leaves to the top.
    pub(super) fn open_shard(
        &self,
        Border { dimension, level }: Border,
        (place, writes): (&str, bool),
    ) -> Result<Store> {
        let options = self.store.clone().up_to(dimension, level);
        (self.opener)(place, options.read_only(!writes))
    }

    /// Nobody but the federation aggregates the top: its own store knows nothing of what is below.
    pub(super) fn open_top(&self, place: &str) -> Result<Store> {
        let options = self.store.clone().policy(Policy::Manual);
        (self.opener)(place, options.read_only(!self.keeps_top))
    }
}
