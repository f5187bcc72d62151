//! Tables that cannot be read. Bits of them that flipped are given back what was written, as soon
//! as somebody meets them. What is damaged otherwise is an error to those who read it: the database
//! is opened all the same if it can open its tables, and where such a table was met nothing is
//! merged by itself any more, as that would end all writing. A database that cannot open a table
//! checks less of its logs and of failed writes when it is opened without it, so that this takes
//! consent.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};

use rocksdb::{DB, Options};

use super::super::directory::{Admission, MendedTables};
use super::super::{Space, mending};
use super::options::{self, RocksOptions, family_name};
use super::{RocksStore, open_error, space_of};
use crate::error::{Error, ErrorKind, Result};

/// The name of the file that tells in which families tables are damaged, a line each.
const DAMAGED: &str = "DAMAGED";
/// Tables of so many bytes are looked through before the database is let at them, the smallest
/// first: those that it merges soon.
const LOOKED_THROUGH_BYTES: u64 = 16 << 20;
/// So often something is read again because what it met was mended.
const MENDS_MAX: u32 = 16;

/// A database, with the options it was opened with.
pub(super) struct Opened {
    pub(super) db: DB,
    pub(super) options: Options,
    /// Whether it goes on where tables or logs cannot be read. Then it goes on behind a write that
    /// failed, too.
    pub(super) is_lenient: bool,
    /// The spaces in which nothing is merged.
    pub(super) still: BTreeSet<Space>,
}

/// Opens the database. Bits of tables that flipped are given back what was written, where they are
/// soon found or keep it from being opened; what is damaged otherwise is left to those who read it.
pub(super) fn open(admission: &mut Admission, options: &RocksOptions) -> Result<Opened> {
    let (_, still) = look_through(admission, options, LOOKED_THROUGH_BYTES);
    let is_lenient = admission.after_loss;
    let error = match attempt(admission, options, still, is_lenient) {
        Err(error) if *error.kind() == ErrorKind::Corrupt && !is_lenient => error,
        opened => return opened,
    };
    let (mended, still) = look_through(admission, options, u64::MAX);
    if mended {
        match attempt(admission, options, still, false) {
            Err(error) if *error.kind() == ErrorKind::Corrupt => {}
            opened => return opened,
        }
    }
    if !options.accept_data_loss {
        return Err(error);
    }
    tracing::warn!(
        error = error.sentence(),
        "a damaged store is opened as far as it can be read"
    );
    attempt(admission, options, Space::ALL.into(), true)
}

/// Mends tables, the smallest first, as many as have so many bytes in all. Gives whether any was
/// mended, and the spaces in which nothing is to be merged, as tables of them are damaged
/// otherwise.
fn look_through(
    admission: &mut Admission,
    options: &RocksOptions,
    bytes_max: u64,
) -> (bool, BTreeSet<Space>) {
    let MendedTables { mended, lost } = admission.mend_tables(bytes_max).unwrap_or_else(|error| {
        tracing::warn!(error = error.sentence(), "tables are not looked through");
        MendedTables::default()
    });
    let noted = noted(admission.path());
    lost.difference(&noted)
        .filter(|_| !options.read_only)
        .for_each(|space| note(admission.path(), *space));
    (mended, noted.union(&lost).copied().collect())
}

fn attempt(
    admission: &Admission,
    options: &RocksOptions,
    still: BTreeSet<Space>,
    is_lenient: bool,
) -> Result<Opened> {
    let mut database =
        options::database_options(is_lenient, admission.open_files, options.log_bytes);
    if admission.is_tight() {
        database = options::without_flush(database)?;
    }
    let families = options::families(options.cache_bytes, &still)?;
    let opened = match options.read_only {
        true => DB::open_cf_descriptors_read_only(&database, admission.place(), families, false),
        false => DB::open_cf_descriptors(&database, admission.place(), families),
    };
    let db = opened.map_err(|error| open_error(admission.path(), error))?;
    Ok(Opened {
        db,
        options: database,
        is_lenient,
        still,
    })
}

/// Notes for later openings that a table of a space is damaged.
fn note(path: &Path, space: Space) {
    let family = family_name(space);
    tracing::warn!(
        family,
        "a table is damaged: nothing is merged there any more, until the store is salvaged"
    );
    // Without the note the damage is met again.
    if let Err(error) = add_note(path, space) {
        tracing::warn!(family, %error, "that cannot be noted");
    }
}

fn add_note(path: &Path, space: Space) -> io::Result<()> {
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(path.join(DAMAGED))?;
    writeln!(file, "{}", family_name(space))?;
    file.sync_all()
}

/// The spaces in which damaged tables were met by earlier openings.
fn noted(path: &Path) -> BTreeSet<Space> {
    // Without it damage is met once more.
    let bytes = fs::read(path.join(DAMAGED)).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    Space::ALL
        .into_iter()
        .filter(|space| text.lines().any(|line| line == family_name(*space)))
        .collect()
}

impl RocksStore {
    /// Reads something, and again if what was met was mended.
    pub(super) fn reading<T>(&self, mut read: impl FnMut() -> Result<T>) -> Result<T> {
        let mut tries = 0;
        loop {
            let before = self.mends();
            match read() {
                Err(error)
                    if *error.kind() == ErrorKind::Corrupt
                        && self.mends() != before
                        && tries < MENDS_MAX =>
                {
                    tries += 1
                }
                read => return read,
            }
        }
    }

    fn mends(&self) -> u64 {
        self.damage().mends
    }

    /// Whether nothing is merged in a space, since a table of it is damaged.
    pub(super) fn is_still(&self, space: Space) -> bool {
        self.damage().still.contains(&space)
    }

    /// Whether writing was ended by a damaged table. Opened again, the store can be written to.
    pub(super) fn was_stopped(&self) -> bool {
        self.damage().stopped
    }

    /// The error for something that the database could not read.
    pub(super) fn read_error(&self, space: Space, error: rocksdb::Error) -> Error {
        let (kind, remedy) = match (error.kind(), space) {
            (rocksdb::ErrorKind::Corruption, Space::Meta) => (ErrorKind::Corrupt, ": salvage it"),
            (rocksdb::ErrorKind::Corruption, _) => (ErrorKind::Corrupt, ""),
            _ => (ErrorKind::Unavailable, ""),
        };
        if kind == ErrorKind::Corrupt {
            self.meet(Some(space), error.as_ref());
        }
        let path = self.path();
        Error::new(
            kind,
            format!(
                "space {space:?} of the store at {} cannot be read{remedy}",
                path.display()
            ),
        )
        .because(error)
    }

    /// Notes that merging tables met a damaged one, which ended all writing.
    pub(super) fn meet_in_writing(&self, cause: &str) {
        self.damage().stopped = true;
        let files = self.db.live_files().unwrap_or_default();
        let file = files
            .iter()
            .find(|file| named(cause).any(|name| file.name.trim_start_matches('/') == name));
        self.meet(
            file.and_then(|file| space_of(Some(&file.column_family_name))),
            cause,
        );
    }

    /// Mends the tables that a cause names, or sees to it that nothing is merged in their space.
    fn meet(&self, space: Option<Space>, cause: &str) {
        if self.read_only {
            return;
        }
        let mut tables: Vec<PathBuf> = named(cause).map(|name| self.path().join(name)).collect();
        tables.retain(|table| !self.damage().lost.contains(table));
        if tables.is_empty() {
            return;
        }
        // Others read meanwhile. Who mends the same table writes the same bytes.
        let mended = mending::damaged(&tables).and_then(|found| {
            found.iter().try_for_each(|table| table.mend(&table.path))?;
            Ok(found.iter().all(mending::Damaged::can_be_mended))
        });
        match mended {
            // Or another thread has mended it.
            Ok(true) => self.damage().mends += 1,
            // It was merged meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            _ => {
                self.damage().lost.extend(tables);
                if let Some(space) = space.filter(|space| self.damage().still.insert(*space)) {
                    self.keep_still(space);
                }
            }
        }
    }

    fn damage(&self) -> MutexGuard<'_, DamagedTables> {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Merges nothing in a space by itself, now and after this.
    fn keep_still(&self, space: Space) {
        let still = [("disable_auto_compactions", "true")];
        if !self
            .family(space)
            .is_ok_and(|family| self.db.set_options_cf(family, &still).is_ok())
        {
            tracing::warn!(?space, "merging goes on where a table is damaged");
        }
        note(&self.path(), space);
    }
}

/// The names of the tables that an error of the database names.
fn named(cause: &str) -> impl Iterator<Item = &str> {
    // A sentence may end behind one.
    let words = cause
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '.')
        .map(|word| word.trim_end_matches('.'));
    words.filter(|word| {
        word.strip_suffix(".sst")
            .is_some_and(|number| number.parse::<u64>().is_ok())
    })
}

/// What is known of damaged tables.
#[derive(Debug, Default)]
pub(super) struct DamagedTables {
    /// How often something was mended.
    mends: u64,
    /// The tables that cannot be mended, of those that were met: they are not looked through again.
    lost: BTreeSet<PathBuf>,
    /// The spaces in which nothing is merged.
    still: BTreeSet<Space>,
    /// Whether merging met a damaged table, which ended all writing.
    stopped: bool,
}

impl DamagedTables {
    pub(super) fn of(still: BTreeSet<Space>) -> Self {
        Self {
            still,
            ..Self::default()
        }
    }
}
