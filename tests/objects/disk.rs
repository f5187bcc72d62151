//! Parts of files that were read, kept in a directory: they spare requests, stay within a number of
//! bytes, and a damaged one is no answer.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gridstone::kv::SlateOptions;
use gridstone::{ErrorKind, Freshness, Policy, Window};
use ndarray::Array2;

use crate::conformance::options;
use crate::dice::Dice;
use crate::failing::{Failing, Verb};
use crate::grids;

const SIDE: u64 = 1024;
/// More than all files have.
const PLENTY: usize = 64 << 20;

fn filled() -> Arc<Failing> {
    let objects = Failing::new(1);
    let store = grids::store(Arc::new(objects.open(&options()).unwrap()), Policy::Inline);
    let store = store.unwrap();
    let grid = store.create("g", grids::schema_in_chunks_of(64)).unwrap();
    let mut dice = Dice(5);
    let side = usize::try_from(SIDE).unwrap();
    let values = Array2::from_shape_fn((side, side), |_| i32::try_from(dice.next() >> 33).unwrap());
    grid.put(&Window::new([0, 0], [SIDE, SIDE]), &values)
        .unwrap();
    objects
}

/// What a new process reads that keeps parts of files in a directory, and the bytes that it asks
/// the object storage for.
fn read(
    objects: &Arc<Failing>,
    directory: &Path,
    most: usize,
) -> (gridstone::Result<Vec<f64>>, u64) {
    let mut options = SlateOptions::default();
    options.disk_cache = Some((directory.to_owned(), most));
    options.age_max = Duration::from_secs(600);
    let before = objects.counts().so_far();
    let cells = grids::beside(objects, &options)
        .and_then(|store| grids::cells(&store.grid("g")?, 0, Freshness::Stored));
    let requests = objects.counts().since(before);
    let gets = requests.iter().filter(|request| request.verb == Verb::Get);
    (cells, gets.map(|request| request.bytes).sum())
}

fn files(directory: &Path) -> Vec<(std::path::PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(about) if about.is_dir() => found.extend(files(&entry.path())),
            Ok(about) => found.push((entry.path(), about.len())),
            // It was dropped meanwhile.
            Err(_) => {}
        }
    }
    found
}

fn bytes(directory: &Path) -> u64 {
    files(directory).iter().map(|(_, bytes)| bytes).sum()
}

#[test]
fn what_one_process_has_read_another_finds_in_the_directory() {
    let objects = filled();
    let place = tempfile::tempdir().unwrap();
    let (first, fetched) = read(&objects, place.path(), PLENTY);
    let (second, again) = read(&objects, place.path(), PLENTY);
    assert_eq!(first.unwrap(), second.unwrap());
    assert!(
        again < fetched / 4,
        "{again} bytes were fetched again, of {fetched}"
    );
    assert!(bytes(place.path()) > SIDE * SIDE * 4);
}

#[test]
fn it_stays_within_its_bytes() {
    const MOST: usize = 2 << 20;
    let objects = filled();
    let place = tempfile::tempdir().unwrap();
    let plenty = tempfile::tempdir().unwrap();
    let (cells, _) = read(&objects, place.path(), MOST);
    assert_eq!(
        cells.unwrap(),
        read(&objects, plenty.path(), PLENTY).0.unwrap()
    );
    let start = Instant::now();
    // What is too much is dropped a little later, in the process that reads.
    loop {
        let (cells, _) = read(&objects, place.path(), MOST);
        cells.unwrap();
        if bytes(place.path()) <= MOST as u64 {
            return;
        }
        let left = bytes(place.path());
        assert!(start.elapsed() < Duration::from_secs(60), "{left} bytes");
    }
}

#[test]
fn a_damaged_part_gives_what_was_put_or_an_error() {
    let objects = filled();
    let place = tempfile::tempdir().unwrap();
    let cells = read(&objects, place.path(), PLENTY).0.unwrap();
    let mut dice = Dice(7);
    let mut flipped = 0;
    for (path, _) in files(place.path()) {
        let mut content = std::fs::read(&path).unwrap();
        if content.is_empty() {
            continue;
        }
        for _ in 0..8 {
            let at = dice.below(content.len());
            content[at] ^= 1 << dice.below(8);
        }
        std::fs::write(&path, content).unwrap();
        flipped += 1;
    }
    assert!(flipped > 0);
    match read(&objects, place.path(), PLENTY).0 {
        Ok(read) => assert_eq!(read, cells),
        Err(error) => assert!(
            [ErrorKind::Corrupt, ErrorKind::Unavailable].contains(error.kind()),
            "{error:?}"
        ),
    }
}
