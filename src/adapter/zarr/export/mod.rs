//! A hierarchy as files.

mod disk;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rayon::prelude::*;

use super::View;
use crate::error::{Error, Result};
use crate::store::lock;
use disk::{Disk, FileSystem, settle, unwritten};

/// The file that tells what may be there: a version and a key in each line, of which the last one
/// about a key counts. The version of what is not sure to be on the medium is empty.
const JOURNAL: &str = ".gridstone";

/// So many chunks are put on the medium together.
const SETTLED: usize = 256;

/// The documents of the root.
const ROOTS: [&str; 4] = ["zarr.json", ".zgroup", ".zmetadata", ".zattrs"];

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

/// Writes a view into a folder, chunks first and the root's metadata last, each of them once what
/// is before is on the medium, so that a hierarchy that can be opened is whole, after a cut of
/// power too. Chunks are made by all threads, each in the memory of a few chunks. `progress` is
/// told how many of how many keys are done.
///
/// A folder in which an export was cut short is completed: chunks that are as they must be are
/// kept. So a finished one is brought up to date with `overwrite`; while that lasts it cannot be
/// opened.
///
/// # Errors
///
/// [`Invalid`](crate::ErrorKind::Invalid) if the folder holds a finished export and is not to be
/// overwritten, or anything else; [`Unavailable`](crate::ErrorKind::Unavailable) if a file cannot
/// be written; those of [`View::get`].
pub fn export(
    view: &View,
    folder: &Path,
    overwrite: bool,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Exported> {
    export_to(&FileSystem, view, folder, overwrite, progress)
}

fn export_to(
    disk: &dyn Disk,
    view: &View,
    folder: &Path,
    overwrite: bool,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Exported> {
    let known = prepare(disk, folder, overwrite)?;
    let keys = view.keys()?;
    let (documents, chunks): (Vec<&String>, Vec<&String>) = keys
        .iter()
        .partition(|key| view.documents.contains_key(*key));
    let version = |key: &&String| Ok((key.to_string(), view.version(key)?.unwrap_or_default()));
    let versions: Vec<(String, String)> = chunks.par_iter().map(version).collect::<Result<_>>()?;
    let is_there = |(key, version): &(String, String)| {
        known.get(key) == Some(version) && folder.join(key).exists()
    };
    let (kept, chunks): (Vec<_>, Vec<_>) = versions.into_iter().partition(is_there);
    let writer = Writer {
        disk,
        view,
        folder,
        done: Mutex::default(),
        progress: &|done| progress(done, keys.len() as u64),
    };
    // What is not as it must be is named by no version before it is touched.
    let wanted: BTreeSet<&String> = kept.iter().map(|(key, _)| key).collect();
    let others: Vec<&String> = known.keys().filter(|key| !wanted.contains(key)).collect();
    let named = others.iter().map(|key| ("", key.as_str()));
    let named = named.chain(
        kept.iter()
            .map(|(key, version)| (version.as_str(), key.as_str())),
    );
    disk.replace(&folder.join(JOURNAL), &lines(named))?;
    let others: Vec<PathBuf> = others.into_iter().map(|key| folder.join(key)).collect();
    others.iter().try_for_each(|path| disk.remove(path))?;
    settle(disk, folder, &others)?;
    kept.iter().for_each(|_| writer.tell(|done| done.kept += 1));
    for chunks in chunks.chunks(SETTLED) {
        writer.write(chunks)?;
    }
    let (roots, documents): (Vec<&String>, Vec<&String>) = documents
        .into_iter()
        .partition(|key| ROOTS.contains(&key.as_str()));
    for documents in [documents, roots] {
        let documents: Vec<_> = documents.iter().map(version).collect::<Result<_>>()?;
        writer.write(&documents)?;
    }
    let done = lock(&writer.done).exported;
    Ok(done)
}

/// Makes the folder, or looks at what is in it: the versions of what may be there, by key. What was
/// finished is so no more.
fn prepare(disk: &dyn Disk, folder: &Path, overwrite: bool) -> Result<BTreeMap<String, String>> {
    fs::create_dir_all(folder).map_err(|cause| unwritten(folder, cause))?;
    let unread = |cause: io::Error| {
        Error::unavailable(format!("`{}` cannot be read", folder.display())).because(cause)
    };
    let journal = match fs::read(folder.join(JOURNAL)) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            let mut found = fs::read_dir(folder).map_err(unread)?;
            if found.next().is_some() {
                return Err(Error::invalid(format!(
                    "`{}` holds something else than an export; name a folder that is new or empty",
                    folder.display()
                )));
            }
            return Ok(BTreeMap::new());
        }
        Err(cause) => return Err(unread(cause)),
    };
    let roots = ROOTS.map(|name| folder.join(name));
    let is_whole = roots[..2].iter().any(|root| root.exists());
    if is_whole && !overwrite {
        return Err(Error::invalid(format!(
            "`{}` holds a finished export; bring it up to date with --overwrite, or name another folder",
            folder.display()
        )));
    }
    roots.iter().try_for_each(|root| disk.remove(root))?;
    settle(disk, folder, &roots)?;
    // A last line that was cut short, or that a cut of power left without its bytes, names nothing
    // that is there.
    let lines = journal.lines().filter_map(|line| line.split_once('\t'));
    Ok(lines
        .filter(|(_, key)| key.split('/').all(is_part))
        .map(|(version, key)| (key.to_owned(), version.to_owned()))
        .collect())
}

/// Whether a part of a path is one, and stays in its folder.
fn is_part(part: &str) -> bool {
    !part.is_empty() && part != "." && part != ".." && !part.contains('\0')
}

/// Lines of the journal: versions and keys.
fn lines<'a>(named: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (version, key) in named {
        // Writing to a text does not fail.
        let _ = writeln!(text, "{version}\t{key}");
    }
    text
}

struct Writer<'a> {
    disk: &'a dyn Disk,
    view: &'a View,
    folder: &'a Path,
    done: Mutex<Done>,
    progress: &'a (dyn Fn(u64) + Sync),
}

#[derive(Default)]
struct Done {
    exported: Exported,
    keys: u64,
}

impl Writer<'_> {
    /// Writes what stands at keys, by their versions, and puts it on the medium.
    fn write(&self, keys: &[(String, String)]) -> Result<()> {
        let journal = self.folder.join(JOURNAL);
        let named = keys.iter().map(|(key, _)| ("", key.as_str()));
        self.disk.append(&journal, &lines(named))?;
        self.disk.sync(&journal)?;
        let written = |(key, _): &(String, String)| self.one(key);
        let there: Vec<bool> = keys.par_iter().map(written).collect::<Result<_>>()?;
        let paths: Vec<PathBuf> = keys.iter().map(|(key, _)| self.folder.join(key)).collect();
        settle(self.disk, self.folder, &paths)?;
        let there = keys.iter().zip(there).filter(|(_, there)| *there);
        let named = there.map(|((key, version), _)| (version.as_str(), key.as_str()));
        self.disk.append(&journal, &lines(named))
    }

    /// Whether anything stands at a key.
    fn one(&self, key: &str) -> Result<bool> {
        let path = self.folder.join(key);
        let bytes = self.view.get(key)?;
        match &bytes {
            Some(bytes) => self.disk.write(&path, bytes)?,
            None => self.disk.remove(&path)?,
        }
        self.tell(|done| {
            if let Some(bytes) = &bytes {
                done.written += 1;
                done.bytes += bytes.len() as u64;
            }
        });
        Ok(bytes.is_some())
    }

    fn tell(&self, what: impl FnOnce(&mut Exported)) {
        let mut done = lock(&self.done);
        what(&mut done.exported);
        done.keys += 1;
        (self.progress)(done.keys);
    }
}
