//! A store's directory around the database: whether it is one, who has it open, and what was promised to be in it.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::preflight::watermark::{self, Found, WATERMARK, Watermark, WatermarkFile};
use super::preflight::{self, CURRENT, Findings};
use crate::error::{Error, ErrorKind, Result};

/// Open files that the process needs beside those of the store.
const OTHER_FILES: u64 = 512;

/// A directory that was found fit to be opened, and is locked against other processes.
#[derive(Debug)]
pub(super) struct Admission {
    path: PathBuf,
    /// Whether data was given up, so that the logs hold less than the manifest says.
    pub(super) after_loss: bool,
    /// Its file carries the lock.
    watermark: Mutex<WatermarkFile>,
}

/// Checks a directory, makes it if asked to, and locks it. A refusal leaves everything as it was.
pub(super) fn admit(path: &Path, create: bool, accept_data_loss: bool, families: &[&str]) -> Result<Admission> {
    let names = list(path, create)?;
    let has = |name: &str| names.contains(name);
    let fresh = names.is_empty() || (names.len() == 1 && has(WATERMARK));
    if !has(WATERMARK) && !has(CURRENT) && !fresh {
        return Err(Error::invalid(format!("the directory {} holds other things than a store", path.display())));
    }
    if names.is_empty() && !create {
        return Err(Error::not_found(format!("the directory {} holds no store", path.display())));
    }
    check_open_files(path, names.len())?;
    if !has(WATERMARK) && !fresh && !accept_data_loss {
        return Err(Error::corrupt(format!("the file {WATERMARK} of the store at {} is missing", path.display())));
    }
    let file = lock(path, !has(WATERMARK))?;
    let found = WatermarkFile::read(&file).map_err(|error| unavailable(path, "its watermark cannot be read", error))?;
    let (watermark, generation) = match watermark::decode(&found) {
        Found::Valid(watermark, generation) => (watermark, generation),
        Found::Newer(version) => {
            let place = path.display();
            return Err(Error::invalid(format!("the store at {place} has format {version}, which is newer than this program")));
        }
        Found::Damaged if fresh && create => {
            let watermark = WatermarkFile::create(file).and_then(|watermark| sync_directory(path).map(|()| watermark));
            let watermark = watermark.map_err(|error| unavailable(path, "its watermark cannot be written", error))?;
            return Ok(Admission { path: path.to_path_buf(), after_loss: false, watermark: Mutex::new(watermark) });
        }
        Found::Damaged if accept_data_loss => (Watermark::default(), 0),
        Found::Damaged if fresh => return Err(incomplete(path)),
        Found::Damaged => {
            return Err(Error::corrupt(format!("the file {WATERMARK} of the store at {} is damaged", path.display())));
        }
    };
    let watermark_file = Mutex::new(WatermarkFile::resume(file, watermark, generation));
    let mut admission = Admission { path: path.to_path_buf(), after_loss: false, watermark: watermark_file };
    if has(CURRENT) {
        admission.after_loss = settle(path, preflight::inspect(path, watermark, families)?, accept_data_loss)?;
        return Ok(admission);
    }
    if watermark.manifest > 0 {
        return Err(Error::corrupt(format!("the file {CURRENT} of the store at {} is missing", path.display())));
    }
    if create { Ok(admission) } else { Err(incomplete(path)) }
}

fn incomplete(path: &Path) -> Error {
    Error::not_found(format!("the creation of a store at {} was not completed", path.display()))
}

fn unavailable(path: &Path, fact: &str, error: io::Error) -> Error {
    Error::unavailable(format!("the store at {} cannot be opened: {fact}", path.display())).because(error)
}

/// The names of the files in a directory, which is made if there is none.
fn list(path: &Path, create: bool) -> Result<BTreeSet<String>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(Error::invalid(format!("{} is not a directory", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound && create => {
            fs::create_dir_all(path).map_err(|error| unavailable(path, "its directory cannot be made", error))?;
            if let Some(parent) = path.parent() {
                // The name of a new directory is durable once its parent is; not every file system can tell.
                let _ = sync_directory(parent);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::not_found(format!("there is no store at {}", path.display())));
        }
        Err(error) => return Err(unavailable(path, "its directory cannot be read", error)),
    }
    let names = fs::read_dir(path).and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned())).collect::<io::Result<_>>()
    });
    names.map_err(|error| unavailable(path, "its directory cannot be read", error))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(if path.as_os_str().is_empty() { Path::new(".") } else { path })?.sync_all()
}

/// The watermark file, locked. The database has a lock of its own, but takes it only after the checks before it.
fn lock(path: &Path, create: bool) -> Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(create).truncate(false).open(path.join(WATERMARK));
    let file = file.map_err(|error| unavailable(path, "its watermark cannot be opened", error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::unavailable(format!("another process has the store at {} open", path.display())))
        }
        Err(TryLockError::Error(error)) => Err(unavailable(path, "it cannot be locked", error)),
    }
}

/// The database keeps every file open; running out of descriptors later would be a failure in the middle of a write.
fn check_open_files(path: &Path, files: usize) -> Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call fills the struct it is given, which lives until it returns.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0;
    let needed = u64::try_from(files).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    if known && limit.rlim_cur < needed {
        let (place, allowed) = (path.display(), limit.rlim_cur);
        return Err(Error::new(
            ErrorKind::Unavailable,
            format!(
                "the store at {place} needs {needed} open files and the process may have {allowed}: raise the limit (ulimit -n)"
            ),
        ));
    }
    Ok(())
}

/// Acts on what was found: refuses damage, or takes away what does not count so that the database never sees it. Returns
/// whether data was given up.
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
        for (file, end) in &findings.tails {
            let file = OpenOptions::new().write(true).open(file)?;
            file.set_len(*end)?;
            file.sync_all()?;
        }
        findings.orphans.iter().try_for_each(fs::remove_file)?;
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
    /// Notes what the database found when it was opened.
    pub(super) fn opened(&self, sequence: u64) -> Result<()> {
        let mut file = self.file();
        let noted = self.manifest().and_then(|(manifest, manifest_bytes)| {
            let watermark = Watermark { sequence, manifest, manifest_bytes };
            file.write(watermark).and_then(|()| file.sync()).map_err(|error| unavailable(&self.path, "its watermark", error))
        });
        noted.map_err(|error| error.within(format!("the watermark of the store at {} cannot be written", self.path.display())))
    }

    /// Notes that a sync has returned. The watermark may lag, so that failing to write it is no failure of the commit.
    pub(super) fn synced(&self, sequence: u64) {
        let mut file = self.file();
        let last = file.watermark();
        if sequence > last.sequence {
            let _ = file.write(Watermark { sequence, ..last });
        }
    }

    /// Notes that everything up to a sequence is in final files, or that the store is being closed.
    pub(super) fn settled(&self, sequence: u64) {
        let mut file = self.file();
        let last = file.watermark();
        let (manifest, manifest_bytes) = self.manifest().unwrap_or((last.manifest, last.manifest_bytes));
        let watermark = Watermark { sequence: sequence.max(last.sequence), manifest, manifest_bytes };
        let _ = file.write(watermark).and_then(|()| file.sync());
    }

    fn file(&self) -> MutexGuard<'_, WatermarkFile> {
        self.watermark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The manifest and how much of it is on the medium now. The database may begin a new one at any time.
    fn manifest(&self) -> Result<(u64, u64)> {
        preflight::synced_manifest(&self.path).or_else(|_| preflight::synced_manifest(&self.path))
    }
}
