//! Readers: any number of processes beside the one that writes.
//!
//! A reader shows moments. A moment is a manifest and the logs that were there when it was opened,
//! and never changes; a younger one takes its place when it is half as old as it may become. A
//! reader writes nothing, so that the right to read is enough, and many of them cost the writer
//! nothing. What keeps the files of a moment is the writer: it keeps what it has replaced for
//! [`SlateOptions::kept`].

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use object_store::ObjectStore;
use slatedb::db_cache::DbCache;
use slatedb::{DbReader, DbReaderMode, DbStatus};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::super::group::lock;
use super::super::read_only;
use super::super::{
    Batch, Counters, Durability, Engine, KeyRange, Order, Page, Sequence, Snapshot, Space,
};
use super::cache::Caches;
use super::place::ObjectPlace;
use super::reads::Reading;
use super::room::Room;
use super::still::{self, Still};
use super::{SlateOptions, keys, no_checkpoint, sizes};
use crate::error::{Error, ErrorKind, Result};

/// A writer may clear away logs just as they are to be read.
const ATTEMPTS: usize = 3;

/// An [`Engine`] that reads a store on object storage to which another process may write.
///
/// A snapshot shows the store as it was at most [`age_max`](SlateOptions::age_max) ago, so far as
/// it had been flushed then, and does not change. Snapshots show ever younger moments.
pub struct SlateReader {
    core: Arc<ReaderCore>,
}

struct ReaderCore {
    current: Mutex<Arc<ReaderMoment>>,
    /// Who waits for a younger moment takes turns, and notes here what failed.
    turn: Mutex<Option<FailedOpening>>,
    /// A younger moment is being opened by itself.
    renewing: AtomicBool,
    opener: Arc<MomentOpener>,
    age_max: Duration,
    room: Room,
}

/// A younger moment that could not be opened.
struct FailedOpening {
    begun: Instant,
    kind: ErrorKind,
    cause: String,
}

/// What opens moments.
struct MomentOpener {
    place: ObjectPlace,
    options: SlateOptions,
    held: Caches,
    /// The number of the next moment.
    next: AtomicU64,
}

/// The store as it was at one time.
struct ReaderMoment {
    reader: Arc<DbReader>,
    number: u64,
    sequence: Sequence,
    /// Before this nothing was missing.
    taken: Instant,
    status: watch::Receiver<DbStatus>,
    handle: Handle,
}

impl Drop for ReaderMoment {
    fn drop(&mut self) {
        // It has a task of its own, which ends with it.
        let reader = Arc::clone(&self.reader);
        self.handle.spawn(async move { reader.close().await });
    }
}

impl ReaderMoment {
    /// An error if the reader shows another state than it did when it was opened.
    fn stands(&self, url: &str) -> Result<()> {
        if self.status.borrow().durable_seq == self.sequence.0 {
            return Ok(());
        }
        Err(Error::unavailable(format!(
            "a view of the store at {url} has moved while it was read: read again"
        )))
    }
}

impl MomentOpener {
    async fn open(&self) -> Result<ReaderMoment, slatedb::Error> {
        let taken = Instant::now();
        let still = Still::new(Arc::clone(&self.place.objects), &self.place.prefix);
        let builder = DbReader::builder(self.place.prefix.clone(), Arc::new(still))
            .with_reader_mode(DbReaderMode::FollowLatest)
            .with_options(self.options.reader_settings())
            .with_db_cache(Arc::clone(&self.held.blocks) as Arc<dyn DbCache>, 0);
        let reader = Arc::new(still::opening(builder.build()).await?);
        let status = reader.subscribe();
        let sequence = Sequence(status.borrow().durable_seq);
        Ok(ReaderMoment {
            reader,
            number: self.next.fetch_add(1, Ordering::Relaxed),
            sequence,
            taken,
            status,
            handle: Handle::current(),
        })
    }

    /// Asks for what every read of a moment needs first.
    fn warm(&self, moment: &ReaderMoment) {
        let (reader, handle) = (&moment.reader, &moment.handle);
        let always = keys::read_always().into_iter();
        self.held
            .tables
            .begin(reader, handle, &reader.manifest(), always);
    }

    /// A moment that is no older than another.
    async fn open_after(&self, sequence: Sequence) -> Result<ReaderMoment, slatedb::Error> {
        let mut attempt = 1;
        loop {
            match self.open().await {
                Ok(moment) if moment.sequence >= sequence => return Ok(moment),
                Ok(_) if attempt == ATTEMPTS => {
                    let text = "the store is shown as it was long ago";
                    return Err(slatedb::Error::unavailable(text.to_owned()));
                }
                Err(error) if attempt == ATTEMPTS => return Err(error),
                _ => attempt += 1,
            }
        }
    }
}

impl ReaderCore {
    fn current(&self) -> Arc<ReaderMoment> {
        Arc::clone(&lock(&self.current))
    }

    /// Shows a moment from now on, unless a younger one is shown.
    fn show(&self, moment: ReaderMoment) {
        let mut current = lock(&self.current);
        let is_younger = moment.taken > current.taken && moment.sequence >= current.sequence;
        if is_younger {
            self.opener.warm(&moment);
            *current = Arc::new(moment);
        }
    }

    /// A moment that is young enough.
    fn moment(self: &Arc<Self>) -> Result<Arc<ReaderMoment>> {
        let current = self.current();
        let age = current.taken.elapsed();
        if age > self.age_max {
            return self.renewed();
        }
        if age > self.age_max / 2 && !self.renewing.swap(true, Ordering::Relaxed) {
            let core = Arc::downgrade(self);
            let opener = Arc::clone(&self.opener);
            let sequence = current.sequence;
            self.room.handle().spawn(async move {
                let opened = opener.open_after(sequence).await;
                let Some(core) = core.upgrade() else { return };
                match opened {
                    Ok(moment) => core.show(moment),
                    // Whoever needs it opens it, and hears of what is wrong.
                    Err(error) => tracing::debug!(%error, "a younger view was not opened"),
                }
                core.renewing.store(false, Ordering::Relaxed);
            });
        }
        Ok(current)
    }

    fn renewed(&self) -> Result<Arc<ReaderMoment>> {
        let came = Instant::now();
        let mut failed = lock(&self.turn);
        let current = self.current();
        if current.taken.elapsed() <= self.age_max {
            return Ok(current);
        }
        let text = format!(
            "the store at {} cannot be read as it was less than {:?} ago",
            self.room.url, self.age_max
        );
        // Another has tried from beginning to end meanwhile: nobody waits for more than two.
        if let Some(failed) = failed.as_ref().filter(|failed| failed.begun >= came) {
            return Err(Error::new(failed.kind.clone(), text).because(failed.cause.clone()));
        }
        let begun = Instant::now();
        match self.room.read(self.opener.open_after(current.sequence)) {
            Ok(moment) => self.show(moment),
            Err(error) => {
                let (kind, cause) = (error.kind().clone(), error.sentence());
                *failed = Some(FailedOpening { begun, kind, cause });
                return Err(error.within(text));
            }
        }
        Ok(self.current())
    }
}

impl SlateReader {
    /// Opens the store at a URL to read it. See [`Slate::open`](super::Slate::open) for URLs.
    ///
    /// # Errors
    ///
    /// Those of [`Slate::open`](super::Slate::open).
    pub fn open(url: &str, options: &SlateOptions) -> Result<Self> {
        Self::at(ObjectPlace::of(url, false, options.timeout)?, options)
    }

    /// The same with an object storage of the caller's, below a prefix.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub fn open_in(
        objects: Arc<dyn ObjectStore>,
        prefix: &str,
        options: &SlateOptions,
    ) -> Result<Self> {
        Self::at(ObjectPlace::within(objects, prefix, true)?, options)
    }

    fn at(place: ObjectPlace, options: &SlateOptions) -> Result<Self> {
        let room = Room::new(&place.url, options.timeout)?;
        place.probe(&room, false)?;
        let opener = MomentOpener {
            place,
            options: options.clone(),
            held: Caches::new(options),
            next: AtomicU64::new(0),
        };
        let first = room.read(opener.open_after(Sequence(0)))?;
        opener.warm(&first);
        let core = ReaderCore {
            current: Mutex::new(Arc::new(first)),
            turn: Mutex::default(),
            renewing: AtomicBool::new(false),
            opener: Arc::new(opener),
            age_max: options.age_max,
            room,
        };
        Ok(Self {
            core: Arc::new(core),
        })
    }
}

impl fmt::Debug for SlateReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlateReader")
            .field("url", &self.core.room.url)
            .finish_non_exhaustive()
    }
}

impl Engine for SlateReader {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        Ok(Arc::new(ReaderView {
            moment: self.core.moment()?,
            core: Arc::clone(&self.core),
        }))
    }

    fn commit(&self, _: Batch, _: Durability) -> Result<Sequence> {
        read_only::refused()
    }

    fn flush(&self) -> Result<()> {
        read_only::refused()
    }

    fn compact(&self, _: Space, _: &KeyRange) -> Result<()> {
        read_only::refused()
    }

    fn checkpoint(&self, _: &Path) -> Result<()> {
        Err(no_checkpoint(&self.core.room.url))
    }

    fn counters(&self) -> Counters {
        let current = self.core.current();
        let (bytes, count) = sizes(&current.reader.manifest());
        let (hits, misses) = self.core.opener.held.blocks.counts();
        Counters {
            cache_hits: Some(hits),
            cache_misses: Some(misses),
            age: Some(current.taken.elapsed()),
            file_bytes: Some(bytes),
            files: Some(count),
            ..Counters::default()
        }
    }

    fn follows(&self) -> bool {
        true
    }
}

/// A moment that is held.
struct ReaderView {
    moment: Arc<ReaderMoment>,
    core: Arc<ReaderCore>,
}

impl ReaderView {
    fn reading(&self) -> Reading<'_, DbReader, DbReader> {
        let moment = &self.moment;
        Reading {
            room: &self.core.room,
            held: &self.core.opener.held,
            moment: &moment.reader,
            number: moment.number,
            source: &moment.reader,
            status: &moment.status,
        }
    }
}

impl Snapshot for ReaderView {
    fn sequence(&self) -> Sequence {
        self.moment.sequence
    }

    fn get_many(
        &self,
        space: Space,
        keys: &[Vec<u8>],
        visit: &mut dyn FnMut(usize, Option<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        self.reading().get_many(space, keys, visit)?;
        self.moment.stands(&self.core.room.url)
    }

    fn scan(&self, space: Space, range: &KeyRange, order: Order, limit: usize) -> Result<Page> {
        let page = self.reading().scan(space, range, order, limit)?;
        self.moment.stands(&self.core.room.url)?;
        Ok(page)
    }

    fn is_remote(&self) -> bool {
        true
    }
}
