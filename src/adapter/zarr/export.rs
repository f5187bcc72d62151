//! A hierarchy as files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rayon::prelude::*;

use super::View;
use crate::adapter::file;
use crate::error::{Error, ErrorKind, Result};
use crate::store::lock;

/// The file that tells what was written: a version and a key in each line.
const JOURNAL: &str = ".gridstone";

/// What [`export`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// Files that were written, metadata among them.
    pub written: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Chunks that were there already, as they had to be.
    pub kept: u64,
}

/// Writes a view into a folder, chunks first and the root's metadata last, so that a hierarchy that
/// can be opened is whole. Chunks are made by all threads, each in the memory of a few chunks.
/// `progress` is told how many of how many keys are done.
///
/// A folder in which an export was cut short is completed: chunks that are as they must be are
/// kept. So a finished one is brought up to date with `overwrite`; while that lasts it cannot be
/// opened.
///
/// # Errors
///
/// [`Invalid`](ErrorKind::Invalid) if the folder holds a finished export and is not to be
/// overwritten, or anything else; [`Unavailable`](ErrorKind::Unavailable) if a file cannot be
/// written; those of [`View::get`].
pub fn export(
    view: &View,
    folder: &Path,
    overwrite: bool,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Exported> {
    let known = prepare(folder, overwrite)?;
    let journal = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join(JOURNAL))
        .map_err(|cause| unwritten(folder, cause))?;
    let keys = view.keys()?;
    let (documents, chunks): (Vec<&String>, Vec<&String>) = keys
        .iter()
        .partition(|key| view.documents.contains_key(*key));
    let wanted: BTreeSet<&str> = keys.iter().map(String::as_str).collect();
    for stale in known.keys().filter(|key| !wanted.contains(key.as_str())) {
        remove(&folder.join(stale))?;
    }
    let writer = Writer {
        view,
        folder,
        known,
        journal: Mutex::new(journal),
        done: Mutex::default(),
        progress: &|done| progress(done, keys.len() as u64),
    };
    chunks.par_iter().try_for_each(|key| writer.chunk(key))?;
    let mut versions = std::mem::take(&mut lock(&writer.done).versions);
    for key in &documents {
        versions.insert((*key).clone(), view.version(key)?.unwrap_or_default());
    }
    let line = |mut text: String, (key, version): (&String, &String)| {
        // Writing to a text does not fail.
        let _ = writeln!(text, "{version}\t{key}");
        text
    };
    let journal = versions.iter().fold(String::new(), line);
    file::replace(&folder.join(JOURNAL), |out| {
        out.write_all(journal.as_bytes())
            .map_err(|cause| unwritten(folder, cause))
    })?;
    for key in documents {
        writer.document(key)?;
    }
    let done = lock(&writer.done).exported;
    Ok(done)
}

/// Makes the folder, or looks at what is in it: the versions of what is there, by key.
fn prepare(folder: &Path, overwrite: bool) -> Result<BTreeMap<String, String>> {
    fs::create_dir_all(folder).map_err(|cause| unwritten(folder, cause))?;
    let journal = match fs::read_to_string(folder.join(JOURNAL)) {
        Ok(text) => text,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            let mut found = fs::read_dir(folder).map_err(|cause| unwritten(folder, cause))?;
            if found.next().is_some() {
                return Err(Error::invalid(format!(
                    "`{}` holds something else than an export; name a folder that is new or empty",
                    folder.display()
                )));
            }
            return Ok(BTreeMap::new());
        }
        Err(cause) => return Err(unwritten(folder, cause)),
    };
    let roots = ["zarr.json", ".zgroup", ".zmetadata", ".zattrs"].map(|name| folder.join(name));
    let is_whole = roots[..2].iter().any(|root| root.exists());
    if is_whole && !overwrite {
        return Err(Error::invalid(format!(
            "`{}` holds a finished export; bring it up to date with --overwrite, or name another folder",
            folder.display()
        )));
    }
    roots.iter().try_for_each(|root| remove(root))?;
    // A last line that was cut short names nothing that is there.
    let lines = journal.lines().filter_map(|line| line.split_once('\t'));
    Ok(lines
        .filter(|(_, key)| key.split('/').all(is_part))
        .map(|(version, key)| (key.to_owned(), version.to_owned()))
        .collect())
}

/// Whether a part of a path stays in its folder.
fn is_part(part: &str) -> bool {
    !part.is_empty() && part != "." && part != ".."
}

struct Writer<'a> {
    view: &'a View,
    folder: &'a Path,
    known: BTreeMap<String, String>,
    journal: Mutex<File>,
    done: Mutex<Done>,
    progress: &'a (dyn Fn(u64) + Sync),
}

#[derive(Default)]
struct Done {
    exported: Exported,
    keys: u64,
    versions: BTreeMap<String, String>,
}

impl Writer<'_> {
    fn chunk(&self, key: &str) -> Result<()> {
        let path = self.folder.join(key);
        let version = self.view.version(key)?.unwrap_or_default();
        if self.known.get(key) == Some(&version) && path.exists() {
            self.tell(|done| {
                done.exported.kept += 1;
                done.versions.insert(key.to_owned(), version);
            });
            return Ok(());
        }
        let Some(bytes) = self.view.get(key)? else {
            remove(&path)?;
            self.tell(|_| {});
            return Ok(());
        };
        self.write(&path, &bytes)?;
        let line = format!("{version}\t{key}\n");
        lock(&self.journal)
            .write_all(line.as_bytes())
            .map_err(|cause| unwritten(self.folder, cause))?;
        self.tell(|done| {
            done.versions.insert(key.to_owned(), version);
            done.exported.written += 1;
            done.exported.bytes += bytes.len() as u64;
        });
        Ok(())
    }

    fn document(&self, key: &str) -> Result<()> {
        let bytes = self.view.get(key)?.unwrap_or_default();
        self.write(&self.folder.join(key), &bytes)?;
        self.tell(|done| {
            done.exported.written += 1;
            done.exported.bytes += bytes.len() as u64;
        });
        Ok(())
    }

    fn write(&self, path: &PathBuf, bytes: &[u8]) -> Result<()> {
        let written = file::replace(path, |out| {
            out.write_all(bytes).map_err(|cause| unwritten(path, cause))
        });
        match written {
            Err(_) if path.parent().is_some_and(|folder| !folder.exists()) => {
                let folder = path.parent().unwrap_or(self.folder);
                fs::create_dir_all(folder).map_err(|cause| unwritten(folder, cause))?;
                self.write(path, bytes)
            }
            written => written,
        }
    }

    fn tell(&self, what: impl FnOnce(&mut Done)) {
        let mut done = lock(&self.done);
        what(&mut done);
        done.keys += 1;
        (self.progress)(done.keys);
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(unwritten(path, cause)),
        _ => Ok(()),
    }
}

fn unwritten(path: &Path, cause: io::Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("`{}` cannot be written", path.display()),
    )
    .because(cause)
}
