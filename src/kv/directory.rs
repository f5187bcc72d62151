//! A store's directory around the database: whether it is one, who has it open, and what was
//! promised to be in it.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::links::Links;
use super::preflight::watermark::{self, FoundWatermark, WATERMARK, Watermark, WatermarkFile};
use super::preflight::{self, CURRENT, Findings};
use super::{Space, mending};
use crate::error::{Error, Result};

/// Open files that the process needs beside those of the store: as many as the store has, but no
/// more than these.
const OTHER_FILES: u64 = 512;
/// With fewer the store cannot work.
const OPEN_FILES_MIN: u64 = 64;
/// With less address space threads and buffers of the database may not be made.
const ADDRESS_BYTES_MIN: u64 = 384 << 20;
const PAGE_BYTES: u64 = 4096;
/// Free bytes that are needed beside those for what the logs hold.
const SPARE_BYTES: u64 = 16 << 20;
/// How often a lock is tried again that another process has, and after what time: one that is just
/// being started holds the locks of its parent until it has become another program.
const LOCK_TRIES: u32 = 20;
const LOCK_WAIT: Duration = Duration::from_millis(5);

/// A directory that was found fit to be opened, and is locked against other processes.
#[derive(Debug)]
pub(super) struct Admission {
    path: PathBuf,
    /// Whether data was given up, so that the logs hold less than the manifest says.
    pub(super) after_loss: bool,
    /// The directory that the database reads: another one where what is there may not be set right
    /// in its place.
    view: Option<Links>,
    /// Whether another process writes to the store, which is read as it was at a moment.
    pub(super) is_of_moment: bool,
    /// The last sequence that the logs hold.
    pub(super) sequence: u64,
    /// How many files the database may have open.
    pub(super) open_files: i32,
    /// Its file carries the lock, of one that writes.
    watermark: Option<Mutex<WatermarkFile>>,
    /// Carries the lock of one that reads.
    #[expect(dead_code, reason = "the lock is held until it is dropped")]
    reading: Option<File>,
}

/// What came of mending tables.
#[derive(Debug, Default)]
pub(super) struct MendedTables {
    /// Whether any table was given back what was written.
    pub(super) mended: bool,
    /// The spaces of tables that are damaged otherwise.
    pub(super) lost: BTreeSet<Space>,
}

/// Checks a directory, makes it if asked to, and locks it. A refusal leaves everything as it was.
pub(super) fn admit(
    path: &Path,
    create: bool,
    accept_data_loss: bool,
    families: &[&str],
) -> Result<Admission> {
    let open_files = open_files(path)?;
    check_address_space(path)?;
    let names = list(path, create)?;
    let has = |name: &str| names.contains(name);
    let fresh = names.is_empty() || (names.len() == 1 && has(WATERMARK));
    if !has(WATERMARK) && !has(CURRENT) && !fresh {
        return Err(Error::invalid(format!(
            "the directory {} holds other things than a store",
            path.display()
        )));
    }
    if names.is_empty() && !create {
        return Err(Error::not_found(format!(
            "the directory {} holds no store",
            path.display()
        )));
    }
    if !has(WATERMARK) && !fresh && !accept_data_loss {
        return Err(Error::corrupt(format!(
            "the file {WATERMARK} of the store at {} is missing",
            path.display()
        )));
    }
    let file = lock(path, !has(WATERMARK))?;
    let (watermark, generation) = match found(path, &file)? {
        FoundWatermark::Valid(watermark, generation) => (watermark, generation),
        FoundWatermark::Newer(version) => return Err(newer(path, version)),
        FoundWatermark::Damaged if fresh && create => {
            let watermark = WatermarkFile::create(file)
                .and_then(|watermark| sync_directory(path).map(|()| watermark));
            let watermark = watermark
                .map_err(|error| unavailable(path, "its watermark cannot be written", error))?;
            return Ok(Admission::writing(path, watermark, open_files));
        }
        FoundWatermark::Damaged if accept_data_loss => (Watermark::default(), 0),
        FoundWatermark::Damaged if fresh => return Err(incomplete(path)),
        FoundWatermark::Damaged => return Err(damaged(path)),
    };
    let mut admission = Admission::writing(
        path,
        WatermarkFile::resume(file, watermark, generation),
        open_files,
    );
    if has(CURRENT) {
        let findings = preflight::inspect(path, watermark, families)?;
        admission.sequence = findings.sequence;
        admission.after_loss = settle(path, findings, accept_data_loss)?;
        return Ok(admission);
    }
    if watermark.manifest > 0 {
        return Err(Error::corrupt(format!(
            "the file {CURRENT} of the store at {} is missing",
            path.display()
        )));
    }
    if create {
        Ok(admission)
    } else {
        Err(incomplete(path))
    }
}

/// Checks a directory that is only to be read, and locks it against those who write. Nothing in it
/// is changed.
pub(super) fn admit_reader(
    path: &Path,
    accept_data_loss: bool,
    families: &[&str],
) -> Result<Admission> {
    let open_files = open_files(path)?;
    check_address_space(path)?;
    let names = list(path, false)?;
    if names.is_empty() {
        return Err(Error::not_found(format!(
            "the directory {} holds no store",
            path.display()
        )));
    }
    let locked = if names.contains(WATERMARK) || !accept_data_loss {
        WATERMARK
    } else {
        CURRENT
    };
    if !names.contains(locked) {
        return Err(match names.contains(CURRENT) {
            true => Error::corrupt(format!(
                "the file {WATERMARK} of the store at {} is missing",
                path.display()
            )),
            false => Error::invalid(format!(
                "the directory {} holds other things than a store",
                path.display()
            )),
        });
    }
    let file = File::open(path.join(locked))
        .map_err(|error| unavailable(path, "its watermark cannot be read", error))?;
    let promised = || match found(path, &file)? {
        FoundWatermark::Valid(watermark, _)
            if watermark.manifest == 0 && !path.join(CURRENT).exists() =>
        {
            Err(incomplete(path))
        }
        FoundWatermark::Valid(watermark, _) => Ok(watermark),
        FoundWatermark::Newer(version) => Err(newer(path, version)),
        FoundWatermark::Damaged if accept_data_loss => Ok(Watermark::default()),
        FoundWatermark::Damaged => Err(damaged(path)),
    };
    if let Err(TryLockError::WouldBlock) = file.try_lock_shared() {
        return admit_beside(path, open_files, families, &promised);
    }
    let watermark = promised()?;
    let mut findings = preflight::inspect(path, watermark, families)?;
    let after_loss = !findings.damage.is_empty();
    if after_loss && !accept_data_loss {
        return Err(findings.damage.swap_remove(0));
    }
    let view = Links::of_what_counts(path, &findings)
        .map_err(|error| unavailable(path, "a view of its logs cannot be made", error))?;
    Ok(Admission {
        after_loss,
        view,
        sequence: findings.sequence,
        reading: Some(file),
        ..Admission::new(path, open_files)
    })
}

/// Gets hold of the files of a store that another process writes to.
fn admit_beside(
    path: &Path,
    open_files: i32,
    families: &[&str],
    promised: &dyn Fn() -> Result<Watermark>,
) -> Result<Admission> {
    let files_max = usize::try_from(open_files / 2).unwrap_or(usize::MAX);
    let (links, findings) = Links::of_moment(path, families, files_max, promised)?;
    let held = i32::try_from(links.held()).unwrap_or(i32::MAX);
    Ok(Admission {
        view: Some(links),
        is_of_moment: true,
        sequence: findings.sequence,
        ..Admission::new(path, open_files.saturating_sub(held))
    })
}

fn found(path: &Path, file: &File) -> Result<FoundWatermark> {
    let bytes = WatermarkFile::read(file)
        .map_err(|error| unavailable(path, "its watermark cannot be read", error))?;
    Ok(watermark::decode(&bytes))
}

fn newer(path: &Path, version: u32) -> Error {
    Error::invalid(format!(
        "the store at {} has format {version}, which is newer than this program",
        path.display()
    ))
}

fn damaged(path: &Path) -> Error {
    Error::corrupt(format!(
        "the file {WATERMARK} of the store at {} is damaged",
        path.display()
    ))
}

fn incomplete(path: &Path) -> Error {
    Error::not_found(format!(
        "the creation of a store at {} was not completed",
        path.display()
    ))
}

fn unavailable(path: &Path, fact: &str, error: io::Error) -> Error {
    Error::unavailable(format!(
        "the store at {} cannot be opened: {fact}",
        path.display()
    ))
    .because(error)
}

/// The names of the files in a directory, which is made if there is none.
fn list(path: &Path, create: bool) -> Result<BTreeSet<String>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            return Err(Error::invalid(format!(
                "{} is not a directory",
                path.display()
            )));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && create => {
            fs::create_dir_all(path)
                .map_err(|error| unavailable(path, "its directory cannot be made", error))?;
            if let Some(parent) = path.parent() {
                // The name of a new directory is durable once its parent is; not every file system
                // can tell.
                let _ = sync_directory(parent);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::not_found(format!(
                "there is no store at {}",
                path.display()
            )));
        }
        Err(error) => return Err(unavailable(path, "its directory cannot be read", error)),
    }
    let names = fs::read_dir(path).and_then(|entries| {
        entries
            .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<_>>()
    });
    names.map_err(|error| unavailable(path, "its directory cannot be read", error))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    })?
    .sync_all()
}

/// The watermark file, locked. The database has a lock of its own, but takes it only after the
/// checks before it.
pub(super) fn lock(path: &Path, create: bool) -> Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(create)
        .truncate(false)
        .open(path.join(WATERMARK));
    let file = file.map_err(|error| unavailable(path, "its watermark cannot be opened", error))?;
    let mut tries = 0;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if tries < LOCK_TRIES => tries += 1,
            Err(TryLockError::WouldBlock) => {
                return Err(Error::unavailable(format!(
                    "another process has the store at {} open",
                    path.display()
                )));
            }
            Err(TryLockError::Error(error)) => {
                return Err(unavailable(path, "it cannot be locked", error));
            }
        }
        thread::sleep(LOCK_WAIT);
    }
}

/// How many open files and how many bytes of address space the process may have, as far as that can
/// be told.
fn limits() -> [Option<u64>; 2] {
    [libc::RLIMIT_NOFILE, libc::RLIMIT_AS].map(|resource| {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: the call fills the struct it is given, which lives until it returns.
        let known = unsafe { libc::getrlimit(resource, &raw mut limit) } == 0;
        known.then_some(limit.rlim_cur)
    })
}

/// How many files the database may keep open: as the process may, but for some that others need. It
/// opens and closes them within that, however many there are.
fn open_files(path: &Path) -> Result<i32> {
    let [allowed, _] = limits();
    let allowed = allowed.unwrap_or(2 * OTHER_FILES);
    if allowed < OPEN_FILES_MIN {
        let place = path.display();
        return Err(Error::unavailable(format!(
            "the store at {place} needs {OPEN_FILES_MIN} open files and the process may have {allowed}: raise the limit (ulimit -n {})",
            2 * OTHER_FILES
        )));
    }
    Ok(i32::try_from(allowed - OTHER_FILES.min(allowed / 2)).unwrap_or(i32::MAX))
}

/// Refuses to open a store where the process has so little address space left that threads and
/// buffers of the database could not be made: that would end the process.
fn check_address_space(path: &Path) -> Result<()> {
    let Some(limit) = limits()[1].filter(|limit| *limit != libc::RLIM_INFINITY) else {
        return Ok(());
    };
    // Linux tells it in pages; where nobody does, all may be left.
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    let left = limit.saturating_sub(pages.unwrap_or(0).saturating_mul(PAGE_BYTES));
    if left >= ADDRESS_BYTES_MIN {
        return Ok(());
    }
    let (place, needed, left) = (path.display(), ADDRESS_BYTES_MIN >> 20, left >> 20);
    let more = limit.saturating_add(2 * ADDRESS_BYTES_MIN) >> 10;
    Err(Error::unavailable(format!(
        "the store at {place} needs {needed} MiB of address space and the process may have {left} more: raise the limit (ulimit -v {more})"
    )))
}

/// The free bytes of the file system, if it can tell.
fn free_bytes(path: &Path) -> Option<u64> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: all zeros is a value of this struct of numbers.
    let mut free: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends with a zero, and the call fills the struct it is given; both live until
    // it returns.
    let known = unsafe { libc::statvfs(path.as_ptr(), &raw mut free) } == 0;
    known.then(|| free.f_bavail.saturating_mul(free.f_frsize))
}

/// Acts on what was found: refuses damage, or takes away what does not count so that the database
/// never sees it. Returns whether data was given up.
fn settle(path: &Path, mut findings: Findings, accept_data_loss: bool) -> Result<bool> {
    let loss = !findings.damage.is_empty();
    if loss && !accept_data_loss {
        return Err(findings.damage.swap_remove(0));
    }
    let settled = if loss {
        findings.files.push(path.join(CURRENT));
        quarantine(path, &findings.files)
    } else if findings.orphans.is_empty() {
        Ok(())
    } else {
        quarantine(path, &findings.orphans)
    };
    let settled = settled.and_then(|()| {
        if let Some(number) = findings.current {
            let fresh = path.join("CURRENT.new");
            fs::write(&fresh, format!("MANIFEST-{number:06}\n"))?;
            File::open(&fresh)?.sync_all()?;
            fs::rename(fresh, path.join(CURRENT))?;
        }
        for (file, end) in &findings.tails {
            let file = OpenOptions::new().write(true).open(file)?;
            file.set_len(*end)?;
            file.sync_all()?;
        }
        // Emptied, not removed: the manifest may name the log as one that is there.
        findings.orphans.iter().try_for_each(|orphan| {
            OpenOptions::new()
                .write(true)
                .truncate(true)
                .open(orphan)?
                .sync_all()
        })?;
        sync_directory(path)
    });
    settled.map_err(|error| unavailable(path, "its logs cannot be set right", error))?;
    Ok(loss)
}

/// Copies files into a new directory inside the store, where the database leaves them alone.
fn quarantine(path: &Path, files: &[PathBuf]) -> io::Result<()> {
    let mut number = 1;
    let place = loop {
        let place = path.join(format!("quarantine-{number}"));
        match fs::create_dir(&place) {
            Ok(()) => break place,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    };
    for file in files {
        if let Some(name) = file.file_name() {
            fs::copy(file, place.join(name))?;
            File::open(place.join(name))?.sync_all()?;
        }
    }
    sync_directory(&place)?;
    sync_directory(path)
}

impl Admission {
    fn writing(path: &Path, watermark: WatermarkFile, open_files: i32) -> Self {
        Self {
            watermark: Some(Mutex::new(watermark)),
            ..Self::new(path, open_files)
        }
    }

    fn new(path: &Path, open_files: i32) -> Self {
        let path = path.to_path_buf();
        Self {
            path,
            after_loss: false,
            view: None,
            is_of_moment: false,
            sequence: 0,
            open_files,
            watermark: None,
            reading: None,
        }
    }

    /// The directory of the store.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is hardly room for what the logs hold once more.
    pub(super) fn is_tight(&self) -> bool {
        let bytes: u64 = self.logs().iter().sum();
        free_bytes(&self.path)
            .is_some_and(|free| free < bytes.saturating_mul(2).saturating_add(SPARE_BYTES))
    }

    /// The lengths of the logs, in bytes.
    pub(super) fn logs(&self) -> Vec<u64> {
        let entries = fs::read_dir(self.place()).into_iter().flatten().flatten();
        let logs = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".log"));
        logs.filter_map(|log| fs::metadata(log.path()).ok())
            .map(|metadata| metadata.len())
            .collect()
    }

    /// The directory that the database is to be opened in.
    pub(super) fn place(&self) -> &Path {
        self.view.as_ref().map_or(&self.path, Links::place)
    }

    /// Looks through the smallest tables, of so many bytes in all, and gives flipped bits of them
    /// back what was written: in the files themselves or, for one that reads, in copies of them.
    pub(super) fn mend_tables(&mut self, bytes_max: u64) -> Result<MendedTables> {
        let damaged =
            mending::tables(self.place(), bytes_max).and_then(|tables| mending::damaged(&tables));
        let damaged =
            damaged.map_err(|error| unavailable(&self.path, "its tables cannot be read", error))?;
        for table in damaged.iter().filter(|table| table.can_be_mended()) {
            self.mend(table)
                .map_err(|error| unavailable(&self.path, "its tables cannot be mended", error))?;
        }
        let mended = damaged.iter().any(mending::Damaged::can_be_mended);
        Ok(MendedTables {
            mended,
            lost: mending::lost_spaces(self.place(), &damaged)?,
        })
    }

    fn mend(&mut self, table: &mending::Damaged) -> io::Result<()> {
        if self.watermark.is_some() {
            return table.mend(&table.path);
        }
        let view = match self.view.take() {
            Some(view) => view,
            None => Links::of_all(&self.path)?,
        };
        let copy = self
            .view
            .insert(view)
            .own(table.path.file_name().unwrap_or_default())?;
        table.mend(&copy)
    }

    /// Notes what the database found when it was opened.
    pub(super) fn opened(&self, sequence: u64) -> Result<()> {
        let Some(mut file) = self.file() else {
            return Ok(());
        };
        let noted = self.manifest().and_then(|(manifest, manifest_bytes)| {
            let watermark = Watermark {
                sequence,
                manifest,
                manifest_bytes,
            };
            file.write(watermark)
                .and_then(|()| file.sync())
                .map_err(|error| unavailable(&self.path, "its watermark", error))
        });
        noted.map_err(|error| {
            error.within(format!(
                "the watermark of the store at {} cannot be written",
                self.path.display()
            ))
        })
    }

    /// Notes that a sync has returned. The watermark may lag, so that failing to write it is no
    /// failure of the commit.
    pub(super) fn synced(&self, sequence: u64) {
        let Some(mut file) = self.file() else { return };
        let last = file.watermark();
        if sequence > last.sequence {
            let _ = file.write(Watermark { sequence, ..last });
        }
    }

    /// Notes that everything up to a sequence is in final files, or that the store is being closed.
    /// Of the manifest nothing is promised where the database `failed` at something: its last edits
    /// may be ones that it took back.
    pub(super) fn settled(&self, sequence: u64, failed: bool) {
        let Some(mut file) = self.file() else { return };
        let last = file.watermark();
        let known = (last.manifest, last.manifest_bytes);
        let (manifest, manifest_bytes) = if failed {
            known
        } else {
            self.manifest().unwrap_or(known)
        };
        let watermark = Watermark {
            sequence: sequence.max(last.sequence),
            manifest,
            manifest_bytes,
        };
        let _ = file.write(watermark).and_then(|()| file.sync());
    }

    fn file(&self) -> Option<MutexGuard<'_, WatermarkFile>> {
        self.watermark
            .as_ref()
            .map(|file| file.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The manifest and how much of it is on the medium now. The database may begin a new one at
    /// any time.
    fn manifest(&self) -> Result<(u64, u64)> {
        preflight::synced_manifest(&self.path).or_else(|_| preflight::synced_manifest(&self.path))
    }
}
