//! The durable engine. The only folder that names the crate `rocksdb`.

mod counters;
mod damage;
mod files;
mod options;
#[cfg(test)]
mod tests;
mod view;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{ColumnFamily, DB, FlushOptions, Options, WriteBatch, WriteOptions};

pub use options::RocksOptions;

use super::checkpoint;
use super::directory::{self, Admission};
use super::group::{Group, Medium, WriteFailure};
use super::timed::Timed;
use super::{Batch, Counters, Durability, Engine, KeyRange, Sequence, Snapshot, Space};
use crate::error::{Error, ErrorKind, Result};
use damage::{DamagedTables, Opened};
use files::Upkeep;
use options::family_name;
use view::RocksView;

/// An [`Engine`] on RocksDB, in one directory, for one process.
pub struct Rocks {
    store: Arc<RocksStore>,
    upkeep: Upkeep,
}

struct RocksStore {
    db: DB,
    /// Has the counters of the database.
    options: Options,
    group: Group,
    /// Holds the lock on the directory, so it goes after the database.
    admission: Admission,
    read_only: bool,
    is_lenient: bool,
    opened: Instant,
    syncs: Timed,
    damage: Mutex<DamagedTables>,
}

/// The families that a database has beside the one that every database has.
pub(super) fn family_names() -> Vec<&'static str> {
    Space::ALL
        .iter()
        .skip(1)
        .map(|space| family_name(*space))
        .collect()
}

/// The space of a family; the first has no name in the manifest.
pub(super) fn space_of(family: Option<&str>) -> Option<Space> {
    Space::ALL.into_iter().find(|space| {
        family.map_or(*space == Space::Meta, |family| {
            family == family_name(*space)
        })
    })
}

impl Rocks {
    /// Opens the store in a directory, or makes one.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if there is none and it is not to be made;
    /// [`Invalid`](ErrorKind::Invalid) if the directory holds other things, or a newer format;
    /// [`Corrupt`](ErrorKind::Corrupt) if what was promised to be there is not, or is damaged;
    /// [`Unavailable`](ErrorKind::Unavailable) if another process has it open, or the system
    /// refuses.
    pub fn open(path: impl AsRef<Path>, options: &RocksOptions) -> Result<Self> {
        let (path, opened) = (path.as_ref(), Instant::now());
        let mut admission = match options.read_only {
            true => directory::admit_reader(path, options.accept_data_loss, &family_names())?,
            false => directory::admit(
                path,
                options.create,
                options.accept_data_loss,
                &family_names(),
            )?,
        };
        let Opened {
            db,
            options: database,
            is_lenient,
            still,
        } = damage::open(&mut admission, options)?;
        let start = db.latest_sequence_number();
        if start < admission.sequence && !admission.after_loss {
            let (place, held) = (path.display(), admission.sequence);
            let text = format!(
                "the store at {place} was opened up to sequence {start}, and its logs go up to {held}"
            );
            return Err(Error::corrupt(text));
        }
        admission.opened(start)?;
        let group = Group::starting_at(Sequence(start));
        let (read_only, syncs) = (options.read_only, Timed::default());
        let damage = Mutex::new(DamagedTables::of(still));
        let store = RocksStore {
            db,
            options: database,
            group,
            admission,
            read_only,
            is_lenient,
            opened,
            syncs,
            damage,
        };
        let store = Arc::new(store);
        store.gather_many();
        Ok(Self {
            store,
            upkeep: Upkeep::default(),
        })
    }

    /// The directory of the store.
    pub fn path(&self) -> &Path {
        self.store.admission.path()
    }

    /// Whether it is a copy of a store that has not been written to since it was made.
    pub(crate) fn is_copy(&self) -> bool {
        checkpoint::is_copy(self.path())
    }

    /// Whether writing was ended by a damaged table. Opened again, the store can be written to.
    pub(crate) fn was_stopped_by_damage(&self) -> bool {
        self.store.was_stopped()
    }

    /// Notes that the copy has become a store of its own.
    pub(crate) fn adopt(&self) -> Result<()> {
        checkpoint::adopt(self.path())
    }

    /// About how many bytes of files the entries of a range take, without those that only memory
    /// holds.
    pub fn approximate_size(&self, space: Space, range: &KeyRange) -> Result<u64> {
        let store = &self.store;
        // Without an end the greatest key bounds the range; the engine's keys are far shorter.
        let end = range.end.clone().unwrap_or_else(|| vec![u8::MAX; 64]);
        let sizes = store.db.get_approximate_sizes_cf(
            store.family(space)?,
            &[rocksdb::Range::new(&range.start, &end)],
        );
        Ok(sizes.iter().sum())
    }

    /// Flushes one space, so that logs are kept for the others.
    #[cfg(test)]
    pub(super) fn flush_space(&self, space: Space) -> Result<()> {
        let store = &self.store;
        store
            .db
            .flush_cf(store.family(space)?)
            .map_err(|error| store.read_error(space, error))
    }
}

impl fmt::Debug for Rocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rocks")
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}

impl Drop for Rocks {
    fn drop(&mut self) {
        self.upkeep.stop();
        self.store.close();
    }
}

fn open_error(path: &Path, error: rocksdb::Error) -> Error {
    let place = path.display();
    let text = error.to_string();
    let error_of = |kind, context: String| Error::new(kind, context).because(error);
    if text.contains("lock") && text.contains("LOCK") {
        return error_of(
            ErrorKind::Unavailable,
            format!("another process has the store at {place} open"),
        );
    }
    if text.starts_with("Corruption") {
        let remedy = "salvage it, or open it with --accept-data-loss as far as it can be read";
        return error_of(
            ErrorKind::Corrupt,
            format!("the store at {place} is damaged: {remedy}"),
        );
    }
    error_of(
        ErrorKind::Unavailable,
        format!("the store at {place} cannot be opened"),
    )
}

impl RocksStore {
    fn family(&self, space: Space) -> Result<&ColumnFamily> {
        self.db
            .cf_handle(family_name(space))
            .ok_or_else(|| Error::corrupt(format!("the store has no space {space:?}")))
    }

    fn path(&self) -> PathBuf {
        self.admission.path().to_path_buf()
    }

    fn write_failure(&self, error: &rocksdb::Error) -> WriteFailure {
        let (cause, place) = (error.to_string(), self.path());
        // Without space RocksDB stops writing and goes on by itself once there is some again. A
        // write that did not fit was not applied and its record in the log is torn, so nothing of
        // it is found later. A sync that failed is another matter: what the medium holds then is
        // unknown.
        let no_space =
            cause.contains("No space left on device") || cause.contains("Space limit reached");
        if no_space && !cause.to_ascii_lowercase().contains("sync") && !self.is_lenient {
            let context = format!("no space is left for the store at {}", place.display());
            return WriteFailure {
                kind: ErrorKind::Unavailable,
                context,
                cause,
                fatal: false,
            };
        }
        let mut context = format!("a write to the store at {} failed", place.display());
        if error.kind() == rocksdb::ErrorKind::Corruption {
            self.meet_in_writing(&cause);
            context += ", as merging tables met a damaged one: close the store and open it again";
        }
        WriteFailure {
            kind: ErrorKind::Unavailable,
            context,
            cause,
            fatal: true,
        }
    }

    /// How often the database has failed in the background since it was opened.
    fn failures(&self) -> u64 {
        self.db
            .property_int_value("rocksdb.background-errors")
            .ok()
            .flatten()
            .unwrap_or(0)
    }

    /// Moves what memory holds into final files.
    fn flush(&self) -> Result<()> {
        let sequence = self.db.latest_sequence_number();
        let families = Space::ALL
            .iter()
            .map(|space| self.family(*space))
            .collect::<Result<Vec<_>>>()?;
        let families: Vec<_> = families.iter().collect();
        let mut options = FlushOptions::default();
        options.set_wait(true);
        let flushed = self.db.flush_cfs_opt(&families, &options);
        flushed.map_err(|error| {
            let failure = self.write_failure(&error);
            Error::unavailable(failure.context).because(error)
        })?;
        self.admission.settled(sequence, self.failures() > 0);
        Ok(())
    }

    /// Leaves nothing to be replayed, and few files. If that fails nobody had been promised more
    /// than the log holds.
    fn close(&self) {
        // After a failed write nobody knows what the medium holds: the next opening finds out.
        if self.read_only || self.group.is_poisoned() {
            self.db.cancel_all_background_work(true);
            return;
        }
        let sequence = self.db.latest_sequence_number();
        let kept = self.flush().is_ok();
        if kept {
            let tidied = self.gather().and_then(|()| self.collect_little());
            tidied.unwrap_or_else(|error| {
                tracing::warn!(error = error.sentence(), "files are left as they are")
            });
        }
        let synced = kept || self.db.flush_wal(true).is_ok();
        self.db.cancel_all_background_work(true);
        if synced {
            self.admission.settled(sequence, self.failures() > 0);
        }
    }

    fn to_write_batch(&self, batches: &[Batch]) -> Result<WriteBatch> {
        let size = batches.iter().map(Batch::size).sum::<usize>();
        let count = batches
            .iter()
            .map(|batch| batch.writes().len())
            .sum::<usize>();
        // Type, family and two lengths come to each entry.
        let mut merged = WriteBatch::with_capacity_bytes(size + 16 * count + 16);
        for batch in batches {
            for (space, range) in batch
                .deleted()
                .iter()
                .filter(|(_, range)| !range.is_empty())
            {
                let end = range
                    .end
                    .as_deref()
                    .ok_or_else(|| Error::invalid("a deleted range has an end"))?;
                merged.delete_range_cf(self.family(*space)?, range.start.as_slice(), end);
            }
            for write in batch.writes() {
                let family = self.family(write.space)?;
                match &write.value {
                    Some(value) => merged.put_cf(family, &write.key, value),
                    None => merged.delete_cf(family, &write.key),
                }
            }
        }
        Ok(merged)
    }
}

impl Medium for RocksStore {
    fn write(&self, batches: &[Batch]) -> Result<(), WriteFailure> {
        let merged = self.to_write_batch(batches).map_err(|error| WriteFailure {
            kind: ErrorKind::Unavailable,
            context: error.to_string(),
            cause: "a family is missing".into(),
            fatal: true,
        })?;
        if merged.is_empty() {
            return Ok(());
        }
        self.db
            .write_opt(merged, &WriteOptions::default())
            .map_err(|error| self.write_failure(&error))
    }

    fn sync(&self) -> Result<(), WriteFailure> {
        // What another thread writes meanwhile may be synced, or not.
        let sequence = self.db.latest_sequence_number();
        self.syncs
            .time(|| self.db.flush_wal(true))
            .map_err(|error| self.write_failure(&error))?;
        self.admission.synced(sequence);
        Ok(())
    }
}

impl Engine for Rocks {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        // The sequence first: the view may show later commits, which costs at most a conflict
        // without need.
        let sequence = self.store.group.register();
        Ok(Arc::new(RocksView::new(Arc::clone(&self.store), sequence)))
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<Sequence> {
        let bytes = batch.size();
        let sequence = self.store.group.commit(&*self.store, batch, durability)?;
        self.upkeep.after(bytes, &self.store);
        Ok(sequence)
    }

    fn flush(&self) -> Result<()> {
        self.store.flush()
    }

    fn compact(&self, space: Space, range: &KeyRange) -> Result<()> {
        self.store.compact(space, range)
    }

    fn checkpoint(&self, target: &Path) -> Result<()> {
        checkpoint::make(target, &family_names(), &|place| {
            let made = Checkpoint::new(&self.store.db)
                .and_then(|checkpoint| checkpoint.create_checkpoint(place));
            let text = || {
                format!(
                    "a checkpoint of the store at {} cannot be made",
                    self.path().display()
                )
            };
            made.map_err(|error| Error::unavailable(text()).because(error))
        })
    }

    fn counters(&self) -> Counters {
        self.store.counters()
    }
}
