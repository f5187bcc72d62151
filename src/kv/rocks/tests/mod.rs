mod cost;
mod damage;
mod files;
mod opening;
mod power;
mod reading;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;

use super::super::preflight::watermark::{self, FoundWatermark, WATERMARK};
use super::super::{Failure, Faulty, Order, conformance, preflight};
use super::*;
use crate::error::ErrorKind;

fn creating() -> RocksOptions {
    RocksOptions {
        create: true,
        ..RocksOptions::default()
    }
}

fn open(path: &Path) -> Result<Rocks> {
    Rocks::open(path, &RocksOptions::default())
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// What a process leaves that dies now: everything that was handed to the operating system.
///
/// The database works in the background. An image counts if the directory was the same before and
/// after it was taken.
fn killed(path: &Path) -> TempDir {
    let listing = || {
        let entries = fs::read_dir(path)
            .expect("readable")
            .map(|entry| entry.expect("readable").path());
        entries
            .map(|path| {
                (
                    fs::metadata(&path).map(|metadata| metadata.len()).ok(),
                    path,
                )
            })
            .collect::<BTreeSet<_>>()
    };
    for _ in 0..1000 {
        let (image, before) = (directory(), listing());
        if copy(path, image.path()).is_ok() && listing() == before {
            return image;
        }
    }
    panic!("{} is never at rest", path.display());
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn put(engine: &dyn Engine, key: u32, bytes: usize, durability: Durability) {
    let mut batch = Batch::default();
    for space in Space::ALL {
        batch.put(
            space,
            key.to_be_bytes().to_vec(),
            vec![key.to_le_bytes()[0]; bytes],
        );
    }
    engine.commit(batch, durability).expect("committed");
}

/// How many keys there are in each space; all spaces must agree, and keys must be the first ones.
fn count(engine: &dyn Engine) -> usize {
    let snapshot = engine.snapshot().expect("a snapshot");
    let counts = Space::ALL.map(|space| {
        let page = snapshot
            .scan(space, &KeyRange::all(), Order::Ascending, usize::MAX)
            .expect("a page");
        for (position, (key, _)) in page.entries.iter().enumerate() {
            assert_eq!(
                key.as_slice(),
                u32::try_from(position).expect("few").to_be_bytes(),
                "a hole in {space:?}"
            );
        }
        page.entries.len()
    });
    assert!(
        counts.iter().all(|count| *count == counts[0]),
        "half a batch: {counts:?}"
    );
    counts[0]
}

fn file_of(path: &Path, suffix: &str) -> PathBuf {
    let entries = fs::read_dir(path)
        .expect("readable")
        .map(|entry| entry.expect("readable").path());
    let found = entries.filter(|path| path.to_str().is_some_and(|path| path.contains(suffix)));
    found.max().unwrap_or_else(|| panic!("no {suffix}"))
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path)
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name());
    entries
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

fn flip(path: &Path, bit: usize) {
    let mut bytes = fs::read(path).expect("readable");
    bytes[bit / 8] ^= 1 << (bit % 8);
    fs::write(path, bytes).expect("written");
}

/// A store that died with everything synced, partly in final files and partly in a log.
fn small_store(before: u32, after: u32) -> TempDir {
    let place = directory();
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    for key in 0..before {
        put(&engine, key, 30, Durability::Sync);
    }
    engine.flush().expect("flushed");
    for key in before..before + after {
        put(&engine, key, 30, Durability::Sync);
    }
    killed(place.path())
}

#[test]
fn conforms() {
    let directories: Mutex<Vec<TempDir>> = Mutex::default();
    let new = || -> Arc<dyn Engine> {
        let place = directory();
        let engine = Rocks::open(place.path(), &creating()).expect("a new store");
        directories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(place);
        Arc::new(engine)
    };
    conformance::run(&new);
}

#[test]
fn a_failing_engine_around_it_poisons() {
    for failure in [Failure::Before, Failure::After] {
        let place = directory();
        let engine = Faulty::new(Rocks::open(place.path(), &creating()).expect("a new store"));
        conformance::poison(&engine, &|| engine.fail_once(0, failure));
    }
}
