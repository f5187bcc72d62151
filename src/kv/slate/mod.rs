//! Stores on object storage, on SlateDB. The only folder that names the crates `slatedb` and
//! `object_store`.
//!
//! One process writes to a store at a time: who opens it for writing raises an epoch in the
//! manifest, and whoever had it open before finds an object where its next one was to be. Any
//! number of processes read it, each a moment of its own ([`SlateReader`]).

mod cache;
mod claiming;
mod clock;
mod fault;
mod keys;
mod merging;
mod options;
mod place;
mod reader;
mod reads;
mod room;
mod still;
mod tables;
mod values;
mod writes;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use object_store::ObjectStore;
use slatedb::config::{CloseOptions, FlushOptions, FlushType};
use slatedb::manifest::VersionedManifest;
use slatedb::{Db, DbSnapshot, DbStatus};
use tokio::sync::watch;

pub use options::SlateOptions;
pub use reader::SlateReader;

use super::group::{Group, Medium, WriteFailure};
use super::timed::Timed;
use super::{
    Batch, Counters, Durability, Engine, KeyRange, Order, Page, Sequence, Snapshot, Space,
};
use crate::error::{Error, ErrorKind, Result, quoted};
use cache::Caches;
use clock::StoreClock;
use place::ObjectPlace;
use reads::Reading;
use room::Room;

/// An [`Engine`] on object storage, which one process at a time writes to.
///
/// A commit with [`Durability::Sync`] returns when an object that holds it was written. One with
/// [`Durability::Buffered`] is in memory, and on its way within
/// [`flush_interval`](SlateOptions::flush_interval): if the process dies before, it is lost, with
/// all that came after it.
///
/// Dropped, the store is flushed and closed, so that who opens it next has nothing to replay.
pub struct Slate {
    core: Arc<Core>,
}

struct Core {
    db: Arc<Db>,
    clock: Arc<StoreClock>,
    group: Group,
    held: Caches,
    status: watch::Receiver<DbStatus>,
    syncs: Timed,
    /// A write has found that another process has opened the store.
    fenced: AtomicBool,
    /// It is not to be closed in order.
    abandoned: AtomicBool,
    place: ObjectPlace,
    room: Room,
}

impl Slate {
    /// Opens the store at a URL for writing: `s3://bucket/prefix`, with credentials, region and
    /// endpoint of the environment (`AWS_*`), `file:///directory`, or `memory://name`, which is
    /// gone with the process.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is none and it is not to be made, or no
    /// such bucket; [`Invalid`](crate::ErrorKind::Invalid) if the URL or the environment is wrong;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the object storage does not answer in time
    /// or refuses.
    pub fn open(url: &str, options: &SlateOptions) -> Result<Self> {
        let place = ObjectPlace::of(url, options.create, options.timeout)?;
        Self::at(place, options)
    }

    /// The same with an object storage of the caller's, below a prefix. `conditional`: it can
    /// overwrite an object on the condition that nobody else has, as S3 can.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub fn open_in(
        objects: Arc<dyn ObjectStore>,
        prefix: &str,
        conditional: bool,
        options: &SlateOptions,
    ) -> Result<Self> {
        Self::at(ObjectPlace::within(objects, prefix, conditional)?, options)
    }

    fn at(place: ObjectPlace, options: &SlateOptions) -> Result<Self> {
        let room = Room::new(&place.url, options.timeout)?;
        place.probe(&room, options.create)?;
        let held = Caches::new(options);
        let (db, clock) = room.bulk(claiming::open(&place, options, &held.blocks))?;
        let db = Arc::new(db);
        let always = keys::read_always().into_iter();
        held.tables
            .begin(&db, room.handle(), &db.manifest(), always);
        let core = Core {
            status: db.subscribe(),
            db,
            clock,
            group: Group::starting_at(Sequence(0)),
            held,
            syncs: Timed::default(),
            fenced: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            place,
            room,
        };
        Ok(Self {
            core: Arc::new(core),
        })
    }

    /// Lets the store end, when it is dropped, as it would with the death of the process: what was
    /// not flushed is lost, and nothing is tidied.
    #[cfg(feature = "testing")]
    pub fn abandon(&self) {
        self.core.abandoned.store(true, Ordering::Relaxed);
    }
}

/// What the tables of a manifest take: their bytes and number.
fn sizes(manifest: &VersionedManifest) -> (u64, u64) {
    manifest
        .all_sst_views()
        .fold((0, 0), |(bytes, count), view| {
            (bytes + view.sst.estimate_size(), count + 1)
        })
}

/// A copy in a directory would be a copy of all bytes, and no store that can be opened there.
fn no_checkpoint(url: &str) -> Error {
    Error::invalid(format!(
        "a store on object storage has no files to make a checkpoint of: copy its grids with `gridstone copy NEW GRID GRID --from-store {}`",
        quoted(url)
    ))
}

impl fmt::Debug for Slate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slate")
            .field("url", &self.core.place.url)
            .finish_non_exhaustive()
    }
}

impl Core {
    fn flush(&self, of: FlushType) -> Result<()> {
        let options = FlushOptions { flush_type: of };
        self.room.bulk(self.db.flush_with_options(options))
    }

    /// What a write has come to that failed.
    fn failure(&self, error: &Error) -> WriteFailure {
        if *error.kind() == ErrorKind::Fenced {
            self.fenced.store(true, Ordering::Release);
        }
        fault::of_write(&self.room.url, error)
    }

    /// Leaves nothing to be replayed. If that fails nobody had been promised more than is there.
    fn close(&self) {
        // After a failed write nobody knows what is there: the next opening finds out.
        let flush_type = (!self.group.is_poisoned()).then_some(FlushType::MemTable);
        let options = CloseOptions::default().with_flush_type(flush_type);
        if let Err(error) = self.room.read(self.db.close_with_options(options)) {
            tracing::warn!(
                error = error.sentence(),
                "the store was not closed in order; what was acknowledged is replayed"
            );
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if !self.abandoned.load(Ordering::Relaxed) {
            self.close();
        }
    }
}

impl Medium for Core {
    fn write(&self, batches: &[Batch]) -> Result<(), WriteFailure> {
        let written = self.room.bulk(async {
            let merged = writes::merged(&self.db, batches).await?;
            match merged.into_batch() {
                Some(batch) => self.db.write(batch).await.map(|_| ()),
                None => Ok(()),
            }
        });
        written.map_err(|error| self.failure(&error))
    }

    fn sync(&self) -> Result<(), WriteFailure> {
        self.syncs
            .time(|| self.flush(FlushType::Wal))
            .map_err(|error| self.failure(&error))
    }
}

impl Engine for Slate {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        if self.core.fenced.load(Ordering::Acquire) {
            return Err(fault::fenced(&self.core.room.url));
        }
        // The sequence first: the view may show later commits, which costs at most a conflict
        // without need.
        let sequence = self.core.group.register();
        match self.core.db.snapshot() {
            Ok(snapshot) => Ok(Arc::new(WriterView {
                snapshot,
                sequence,
                core: Arc::clone(&self.core),
            })),
            Err(error) => {
                self.core.group.release(sequence);
                Err(fault::of_read(&self.core.room.url, &error))
            }
        }
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<Sequence> {
        self.core.group.commit(&*self.core, batch, durability)
    }

    fn flush(&self) -> Result<()> {
        self.core.flush(FlushType::MemTable)
    }

    /// Merges all tables into one run, whatever the space and the range. Waits ten seconds for a
    /// merge at most: a longer one goes on by itself.
    fn compact(&self, _: Space, range: &KeyRange) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        self.flush()?;
        let core = &self.core;
        merging::merge_all(&core.room, &core.db, &core.place, &core.clock)
    }

    fn checkpoint(&self, _: &Path) -> Result<()> {
        Err(no_checkpoint(&self.core.place.url))
    }

    fn counters(&self) -> Counters {
        let (bytes, count) = sizes(&self.core.db.manifest());
        let (hits, misses) = self.core.held.blocks.counts();
        Counters {
            cache_hits: Some(hits),
            cache_misses: Some(misses),
            file_bytes: Some(bytes),
            files: Some(count),
            syncs: Some(self.core.syncs.so_far()),
            ..Counters::default()
        }
    }
}

/// The store as one moment left it.
struct WriterView {
    snapshot: Arc<DbSnapshot>,
    sequence: Sequence,
    core: Arc<Core>,
}

impl WriterView {
    fn reading(&self) -> Reading<'_, DbSnapshot, Db> {
        Reading {
            room: &self.core.room,
            held: &self.core.held,
            moment: &self.snapshot,
            number: self.snapshot.seq(),
            source: &self.core.db,
            status: &self.core.status,
        }
    }
}

impl Snapshot for WriterView {
    fn sequence(&self) -> Sequence {
        self.sequence
    }

    fn get_many(
        &self,
        space: Space,
        keys: &[Vec<u8>],
        visit: &mut dyn FnMut(usize, Option<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        self.reading().get_many(space, keys, visit)
    }

    fn scan(&self, space: Space, range: &KeyRange, order: Order, limit: usize) -> Result<Page> {
        self.reading().scan(space, range, order, limit)
    }

    fn is_remote(&self) -> bool {
        true
    }
}

impl Drop for WriterView {
    fn drop(&mut self) {
        self.core.group.release(self.sequence);
    }
}
