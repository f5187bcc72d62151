//! Files of a folder, and what of them a cut of power leaves.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::adapter::file;
use crate::error::{Error, Result};

/// What an export does to files. What was written or removed is sure to be so after a cut of power
/// once it and the folders above it are put on the medium.
pub(super) trait Disk: Sync {
    /// Writes a file, whole or not at all while there is power, and the folders above it.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<()>;

    /// Writes a file whose old or new bytes a cut of power leaves.
    fn replace(&self, path: &Path, text: &str) -> Result<()>;

    /// Writes behind what a file holds.
    fn append(&self, path: &Path, text: &str) -> Result<()>;

    /// Removes a file, if it is there, and what a process that was killed has left of it.
    fn remove(&self, path: &Path) -> Result<()>;

    /// Puts a file on the medium, or the names that are in a folder, if it is there.
    fn sync(&self, path: &Path) -> Result<()>;
}

/// The file system.
pub(super) struct FileSystem;

impl Disk for FileSystem {
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        // Others write to the same new folder: to make it, there or not, leaves nothing to chance.
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|cause| unwritten(folder, cause))?;
        }
        file::replace_unsynced(path, |out| {
            out.write_all(bytes).map_err(|cause| unwritten(path, cause))
        })
    }

    fn replace(&self, path: &Path, text: &str) -> Result<()> {
        file::replace(path, |out| {
            out.write_all(text.as_bytes())
                .map_err(|cause| unwritten(path, cause))
        })
    }

    fn append(&self, path: &Path, text: &str) -> Result<()> {
        let file = OpenOptions::new().append(true).open(path);
        let appended = file.and_then(|mut file| file.write_all(text.as_bytes()));
        appended.map_err(|cause| unwritten(path, cause))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        file::remove_left(path);
        match fs::remove_file(path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(unwritten(path, cause)),
            _ => Ok(()),
        }
    }

    fn sync(&self, path: &Path) -> Result<()> {
        let synced = if path.is_dir() {
            file::sync_folder(path)
        } else {
            File::open(path).and_then(|file| file.sync_all())
        };
        match synced {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(unwritten(path, cause)),
            _ => Ok(()),
        }
    }
}

/// Files that are put on the medium at once: file systems do it for many with one write of theirs.
const AT_ONCE: usize = 16;

/// Puts files on the medium, those that were removed too, and all folders from theirs up to the one
/// that is exported to, and the name of this.
pub(super) fn settle(disk: &dyn Disk, root: &Path, files: &[PathBuf]) -> Result<()> {
    std::thread::scope(|scope| {
        let share = files.len().div_ceil(AT_ONCE).max(1);
        let sync = |files: &[PathBuf]| files.iter().try_for_each(|path| disk.sync(path));
        let shares: Vec<_> = files.chunks(share).collect();
        let threads = shares
            .into_iter()
            .map(|files| scope.spawn(move || sync(files)));
        let threads: Vec<_> = threads.collect();
        let outcomes = threads.into_iter().map(|thread| {
            let panicked = |panic| std::panic::resume_unwind(panic);
            thread.join().unwrap_or_else(panicked)
        });
        outcomes.collect::<Result<()>>()
    })?;
    let above = |path: &PathBuf| {
        let folders = path.ancestors().skip(1);
        let within = folders.take_while(|folder| folder.starts_with(root));
        within.map(Path::to_path_buf).collect::<Vec<_>>()
    };
    let folders: BTreeSet<PathBuf> = files.iter().flat_map(above).collect();
    // A folder before the one that names it.
    folders
        .iter()
        .rev()
        .try_for_each(|folder| disk.sync(folder))?;
    let parent = root
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    disk.sync(parent.unwrap_or(Path::new(".")))
}

pub(super) fn unwritten(path: &Path, cause: io::Error) -> Error {
    file::failed(path).because(cause)
}
