//! An export on a medium of which the power is cut.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ndarray::Array2;

use super::disk::{Disk, FileSystem};
use super::{JOURNAL, ROOTS, export_to};
use crate::adapter::zarr::tests::small;
use crate::adapter::zarr::{View, ViewOptions};
use crate::error::Result;
use crate::grid::Window;
use crate::store::{Grid, Store};

/// A file's bytes, and how many of them are on the medium; all that is written may be too.
#[derive(Clone, Debug, Default, PartialEq)]
struct Inode {
    bytes: Vec<u8>,
    synced: usize,
}

/// Names and files as they are, and the names as the medium has them at least.
#[derive(Default)]
struct Medium {
    inodes: Vec<Inode>,
    live: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
}

/// What stands at each path that may have something.
type Hierarchy = BTreeMap<PathBuf, Option<Vec<u8>>>;

fn hierarchy(view: &View, root: &Path) -> Hierarchy {
    let at = |key: String| (root.join(&key), view.get(&key).expect("readable"));
    view.keys().expect("readable").into_iter().map(at).collect()
}

/// Says before each change of a file whether what a cut of power could leave is right.
struct Watched<'a> {
    root: PathBuf,
    view: &'a View,
    /// That of the view, and the one that was there before.
    hierarchies: Vec<Hierarchy>,
    medium: Mutex<Medium>,
    looked: Mutex<usize>,
}

impl Watched<'_> {
    /// The bytes at a key, if these are what every cut of power leaves there.
    fn sure(&self, medium: &Medium, path: &Path) -> Option<Vec<u8>> {
        let number = medium.live.get(path)?;
        let inode = &medium.inodes[*number];
        let is_sure = medium.durable.get(path) == Some(number) && inode.synced == inode.bytes.len();
        is_sure.then(|| inode.bytes.clone())
    }

    fn look(&self, medium: &Medium) {
        *self.looked.lock().expect("sound") += 1;
        let journal = self.root.join(JOURNAL);
        let number = medium.live.get(&journal);
        let inode = number.map(|number| medium.inodes[*number].clone());
        let inode = inode.unwrap_or_default();
        // A line that names a version may be on the medium once it is written.
        let text = String::from_utf8(inode.bytes.clone()).expect("text");
        let versions: BTreeMap<&str, &str> = text
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(version, key)| (key, version))
            .collect();
        let chunk = |key: &str| !self.view.documents.contains_key(key);
        for (key, version) in versions.iter().filter(|(key, _)| chunk(key)) {
            if self.view.version(key).expect("readable").as_deref() == Some(*version) {
                let sure = self.sure(medium, &self.root.join(key));
                assert_eq!(sure, self.view.get(key).expect("readable"), "{key}");
            }
        }
        // What may be there is named, so that it is found if it is not wanted some day.
        let named = String::from_utf8_lossy(&inode.bytes[..inode.synced]).into_owned();
        for path in medium.live.keys().chain(medium.durable.keys()) {
            let key = path
                .strip_prefix(&self.root)
                .expect("within")
                .to_string_lossy();
            let is_named = named
                .lines()
                .any(|line| line.ends_with(&format!("\t{key}")));
            assert!(is_named || key == JOURNAL, "{key} is in no line");
        }
        let has_root = |of: &BTreeMap<PathBuf, usize>| {
            ROOTS
                .iter()
                .any(|root| of.contains_key(&self.root.join(root)))
        };
        if has_root(&medium.live) || has_root(&medium.durable) {
            self.must_be_whole(medium);
        }
    }

    /// A hierarchy that can be opened is one of those that were to be, from its first file to its
    /// last.
    fn must_be_whole(&self, medium: &Medium) {
        let others = |hierarchy: &Hierarchy| {
            let present = medium.live.keys().chain(medium.durable.keys());
            let unwanted = present
                .filter(|path| !hierarchy.contains_key(*path) && !path.ends_with(JOURNAL))
                .cloned();
            let is_root = |path: &Path| ROOTS.iter().any(|root| self.root.join(root) == path);
            let wrong = hierarchy
                .iter()
                .filter(|(path, bytes)| {
                    !is_root(path) && self.sure(medium, path).as_ref() != bytes.as_ref()
                })
                .map(|(path, _)| path.clone());
            unwanted.chain(wrong).collect::<Vec<_>>()
        };
        let others: Vec<Vec<PathBuf>> = self.hierarchies.iter().map(others).collect();
        let is_one = others.iter().any(Vec::is_empty);
        assert!(is_one, "a root beside what is not its own: {others:?}");
    }
}

impl Disk for Watched<'_> {
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let mut medium = self.medium.lock().expect("sound");
        let (number, bytes_of) = (medium.inodes.len(), bytes.to_vec());
        medium.inodes.push(Inode {
            bytes: bytes_of,
            synced: 0,
        });
        medium.live.insert(path.to_path_buf(), number);
        self.look(&medium);
        FileSystem.write(path, bytes)
    }

    fn replace(&self, path: &Path, text: &str) -> Result<()> {
        let mut medium = self.medium.lock().expect("sound");
        let number = medium.inodes.len();
        medium.inodes.push(Inode {
            bytes: text.into(),
            synced: text.len(),
        });
        medium.live.insert(path.to_path_buf(), number);
        medium.durable.insert(path.to_path_buf(), number);
        self.look(&medium);
        FileSystem.replace(path, text)
    }

    fn append(&self, path: &Path, text: &str) -> Result<()> {
        let mut medium = self.medium.lock().expect("sound");
        let number = medium.live[path];
        medium.inodes[number].bytes.extend(text.as_bytes());
        self.look(&medium);
        FileSystem.append(path, text)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let mut medium = self.medium.lock().expect("sound");
        medium.live.remove(path);
        FileSystem.remove(path)
    }

    fn sync(&self, path: &Path) -> Result<()> {
        let mut medium = self.medium.lock().expect("sound");
        if let Some(&number) = medium.live.get(path) {
            let inode = &mut medium.inodes[number];
            inode.synced = inode.bytes.len();
        }
        // Of a folder, the names in it; those of a folder below it by that.
        let in_it = |(of, _): &(&PathBuf, &usize)| of.parent() == Some(path);
        let names = medium.live.iter().filter(in_it);
        let names: Vec<(PathBuf, usize)> =
            names.map(|(of, number)| (of.clone(), *number)).collect();
        medium.durable.retain(|of, _| of.parent() != Some(path));
        medium.durable.extend(names);
        self.look(&medium);
        FileSystem.sync(path)
    }
}

/// A grid of several chunks in each direction, each cell its own value.
fn filled() -> (Store, Grid) {
    let (store, grid) = small();
    let number = |(row, col): (usize, usize)| i16::try_from(1 + row * 18 + col).expect("small");
    let cells = Array2::from_shape_fn((14, 18), number);
    grid.put(&Window::new([0, 0], [14, 18]), &cells)
        .expect("put");
    (store, grid)
}

#[test]
fn a_hierarchy_that_can_be_opened_is_whole_whenever_power_is_cut() {
    let (_store, grid) = filled();
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("out.zarr");
    let mut medium = Medium::default();
    let mut before: Option<Hierarchy> = None;
    for round in 0..3 {
        match round {
            // The data change, then come back; some go.
            1 => grid
                .put(
                    &Window::new([3, 3], [6, 2]),
                    &Array2::from_elem((6, 2), -5_i16),
                )
                .map(drop)
                .expect("put"),
            2 => {
                grid.clear(&Window::new([8, 8], [6, 10])).expect("cleared");
                grid.put(
                    &Window::new([0, 0], [1, 1]),
                    &Array2::from_elem((1, 1), 9_i16),
                )
                .map(drop)
                .expect("put");
            }
            _ => {}
        }
        let view = View::new(&grid, &ViewOptions::default()).expect("a view");
        let own = hierarchy(&view, &root);
        let watched = Watched {
            root: root.clone(),
            view: &view,
            hierarchies: before
                .replace(own.clone())
                .into_iter()
                .chain([own])
                .collect(),
            medium: Mutex::new(std::mem::take(&mut medium)),
            looked: Mutex::default(),
        };
        let done = export_to(&watched, &view, &root, round > 0, &|_, _| {}).expect("exported");
        assert!(
            done.written > 5 && (round == 0 || done.kept > 0),
            "{done:?}"
        );
        let last = watched.medium.into_inner().expect("sound");
        let looked = watched.looked.into_inner().expect("sound");
        assert!(looked > 50, "{looked} times");
        for key in view.keys().expect("readable") {
            assert_eq!(
                std::fs::read(root.join(&key)).ok(),
                view.get(&key).expect("readable"),
                "{key}"
            );
        }
        medium = last;
    }
}

/// Each part of an export is written where others write to a folder that was not there.
#[test]
fn many_write_to_a_folder_that_is_new() {
    let root = tempfile::tempdir().expect("a folder");
    for folder in 0..500 {
        let start = std::sync::Barrier::new(4);
        let write = |file: u32| {
            let path = root.path().join(format!("{folder}/deep/{file}"));
            start.wait();
            FileSystem.write(&path, b"part").map(|()| path)
        };
        let paths: Vec<PathBuf> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|file| scope.spawn(move || write(file)))
                .collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined
                .map(|path| path.expect("no panic").expect("written"))
                .collect()
        });
        for path in paths {
            assert_eq!(std::fs::read(path).expect("there"), b"part");
        }
    }
}
