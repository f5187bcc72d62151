//! What a read needs of a table before anything else: its filters and its index.
//!
//! SlateDB fetches them when it looks into a table, first the filters, then the index, of one table
//! or a few after the others. Asked for before, those of all tables that a read may look into are
//! on their way at once. In a store of few tables that is done when it is opened.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use slatedb::bytes::Bytes;
use slatedb::manifest::{SsTableId, SsTableView, VersionedManifest};
use slatedb::{CacheTarget, DbCacheManagerOps};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::super::group::lock;

/// Of so many tables it is known that they were asked for. If one is forgotten it is asked for
/// again, and found in memory.
const KNOWN_MAX: usize = 1 << 16;

/// The tables whose filters and indices were asked for.
pub(super) struct Tables {
    asked: Mutex<HashSet<SsTableId>>,
    /// Those of all tables are asked for if they are at most so many.
    most: usize,
    /// The manifest of which all were.
    all_of: AtomicU64,
}

impl Tables {
    pub(super) fn new(most: usize) -> Self {
        Self {
            asked: Mutex::default(),
            most,
            all_of: AtomicU64::new(u64::MAX),
        }
    }

    /// Begins to fetch what is needed of the tables in which keys may be, or of all if they are
    /// few; `None` if all that was asked for before.
    pub(super) fn begin<T>(
        &self,
        source: &Arc<T>,
        handle: &Handle,
        manifest: &VersionedManifest,
        keys: impl Iterator<Item = Vec<u8>>,
    ) -> Option<JoinHandle<()>>
    where
        T: DbCacheManagerOps + Send + Sync + 'static,
    {
        let new = self.new_for(manifest, keys);
        (!new.is_empty()).then(|| handle.spawn(fetched(Arc::clone(source), new)))
    }

    /// The tables in which keys may be, or all if they are few, so far as they were not asked for
    /// before. They are from now on.
    fn new_for(
        &self,
        manifest: &VersionedManifest,
        keys: impl Iterator<Item = Vec<u8>>,
    ) -> Vec<SsTableId> {
        if self.all_of.load(Ordering::Relaxed) == manifest.id() {
            return Vec::new();
        }
        if manifest.all_sst_views().nth(self.most).is_none() {
            let new = self.new_of(manifest.all_sst_views().map(|view| view.sst.id));
            self.all_of.store(manifest.id(), Ordering::Relaxed);
            return new;
        }
        let mut ids = HashSet::new();
        for key in keys {
            let young = manifest.l0().iter().filter(|view| may_hold(view, &key));
            ids.extend(young.map(|view| view.sst.id));
            let key = Bytes::from(key);
            for run in manifest.compacted() {
                let views = run.tables_covering_range(key.clone()..=key.clone());
                ids.extend(views.iter().map(|view| view.sst.id));
            }
        }
        self.new_of(ids.into_iter())
    }

    fn new_of(&self, ids: impl Iterator<Item = SsTableId>) -> Vec<SsTableId> {
        let mut asked = lock(&self.asked);
        let new: Vec<SsTableId> = ids.filter(|id| !asked.contains(id)).collect();
        if asked.len() + new.len() > KNOWN_MAX {
            asked.clear();
        }
        asked.extend(new.iter().copied());
        new
    }
}

fn may_hold(view: &SsTableView, key: &[u8]) -> bool {
    let info = &view.sst.info;
    let begins = info.first_entry.as_deref().is_none_or(|first| first <= key);
    begins && info.last_entry.as_deref().is_none_or(|last| key <= last)
}

/// Fetches what is needed of some tables. Who reads one asks again, and is told what is wrong.
async fn fetched<T>(source: Arc<T>, ids: Vec<SsTableId>)
where
    T: DbCacheManagerOps + Send + Sync + 'static,
{
    let both = [CacheTarget::Filters, CacheTarget::Index];
    let parts = ids
        .iter()
        .flat_map(|id| both.iter().map(|part| (*id, part)));
    let fetch = parts.map(|(id, part)| {
        let source = &source;
        async move { source.warm_sst(id, std::slice::from_ref(part)).await }
    });
    join_all(fetch).await;
}
