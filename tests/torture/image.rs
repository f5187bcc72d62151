//! Files of a store laid out in a directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A directory in memory where there is such a file system.
pub fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// Lays out the files of a store at `from` in `directory/store`.
pub fn lay_out(files: &BTreeMap<PathBuf, Vec<u8>>, from: &Path, directory: &Path) -> PathBuf {
    let store = directory.join("store");
    let _ = fs::remove_dir_all(&store);
    fs::create_dir(&store).unwrap();
    for (name, bytes) in files {
        if let Ok(name) = name.strip_prefix(from) {
            let place = store.join(name);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, bytes).unwrap();
        }
    }
    store
}

/// The files of a directory.
pub fn read(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect()
}
