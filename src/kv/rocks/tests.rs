use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tempfile::TempDir;

use super::super::preflight::watermark::{self, Found, WATERMARK};
use super::super::{Failure, Faulty, Order, conformance, preflight};
use super::*;
use crate::error::ErrorKind;

fn creating() -> RocksOptions {
    RocksOptions { create: true, ..RocksOptions::default() }
}

fn open(path: &Path) -> Result<Rocks> {
    Rocks::open(path, &RocksOptions::default())
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// What a process leaves that dies now: everything that was handed to the operating system.
///
/// The database works in the background. An image counts if the directory was the same before and after it was taken.
fn killed(path: &Path) -> TempDir {
    let listing = || {
        let entries = fs::read_dir(path).expect("readable").map(|entry| entry.expect("readable").path());
        entries.map(|path| (fs::metadata(&path).map(|metadata| metadata.len()).ok(), path)).collect::<BTreeSet<_>>()
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
        batch.put(space, key.to_be_bytes().to_vec(), vec![key.to_le_bytes()[0]; bytes]);
    }
    engine.commit(batch, durability).expect("committed");
}

/// How many keys there are in each space; all spaces must agree, and keys must be the first ones.
fn count(engine: &dyn Engine) -> usize {
    let snapshot = engine.snapshot().expect("a snapshot");
    let counts = Space::ALL.map(|space| {
        let page = snapshot.scan(space, &KeyRange::all(), Order::Ascending, usize::MAX).expect("a page");
        for (position, (key, _)) in page.entries.iter().enumerate() {
            assert_eq!(key.as_slice(), u32::try_from(position).expect("few").to_be_bytes(), "a hole in {space:?}");
        }
        page.entries.len()
    });
    assert!(counts.iter().all(|count| *count == counts[0]), "half a batch: {counts:?}");
    counts[0]
}

fn file_of(path: &Path, suffix: &str) -> PathBuf {
    let entries = fs::read_dir(path).expect("readable").map(|entry| entry.expect("readable").path());
    let found = entries.filter(|path| path.to_str().is_some_and(|path| path.contains(suffix)));
    found.max().unwrap_or_else(|| panic!("no {suffix}"))
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
        directories.lock().unwrap_or_else(PoisonError::into_inner).push(place);
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

/// Run with `GRIDSTONE_SMALL_DISK` naming a directory on a file system of about 128 MiB. Recovery writes out what memory
/// holds, so that much must become free again.
#[test]
#[ignore = "needs a small file system"]
fn a_full_disk_is_reported_and_survived() {
    let disk = PathBuf::from(std::env::var_os("GRIDSTONE_SMALL_DISK").expect("a small disk"));
    let place = tempfile::tempdir_in(&disk).expect("a directory");
    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![1; 64 << 20]).expect("room for ballast");
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    let mut keys = 0;
    let refused = loop {
        let mut batch = Batch::default();
        for space in Space::ALL {
            batch.put(space, u32::to_be_bytes(keys).to_vec(), vec![7; 50_000]);
        }
        match engine.commit(batch, Durability::Sync) {
            Ok(_) => keys += 1,
            Err(error) => break error,
        }
    };
    println!("{keys} commits, then: {refused}: {:?}", std::error::Error::source(&refused));
    assert_eq!(refused.kind(), &ErrorKind::Unavailable);
    assert!(refused.to_string().starts_with("no space is left for the store"), "{refused}");
    assert_eq!(count(&engine), usize::try_from(keys).expect("few"), "reads go on");
    fs::remove_file(&ballast).expect("removed");
    let started = Instant::now();
    loop {
        let mut batch = Batch::default();
        for space in Space::ALL {
            batch.put(space, u32::to_be_bytes(keys).to_vec(), vec![7; 10]);
        }
        match engine.commit(batch, Durability::Sync) {
            Ok(_) => break,
            Err(error) => assert_eq!(error.kind(), &ErrorKind::Unavailable, "{error}"),
        }
        assert!(started.elapsed().as_secs() < 60, "space is back and writes are not");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    println!("written again after {:?}", started.elapsed());
    let image = killed(place.path());
    assert_eq!(count(&open(image.path()).expect("after a kill")), usize::try_from(keys).expect("few") + 1);
    drop(engine);
    assert_eq!(count(&open(place.path()).expect("after a close")), usize::try_from(keys).expect("few") + 1);
}

/// Prints what a commit costs, alone and in company.
#[test]
#[ignore = "measures"]
fn commits_by_threads() {
    for (durability, rounds) in [(Durability::Sync, 400u16), (Durability::Buffered, 4000)] {
        for threads in [1u8, 2, 4, 8, 16] {
            let place = directory();
            let engine = Rocks::open(place.path(), &creating()).expect("a new store");
            let started = Instant::now();
            std::thread::scope(|scope| {
                for thread in 0..threads {
                    let engine = &engine;
                    scope.spawn(move || {
                        for round in 0..rounds / u16::from(threads) {
                            let mut batch = Batch::at(&*engine.snapshot().expect("a snapshot"));
                            batch.expect_key(Space::Base, vec![thread]);
                            batch.put(Space::Base, vec![thread], vec![1; 10_000]);
                            batch.put(Space::Dirty, vec![thread, round_byte(round.into())], vec![]);
                            engine.commit(batch, durability).expect("no conflicts");
                        }
                    });
                }
            });
            println!("{durability:?} {threads:2} threads: {:?} a commit", started.elapsed() / rounds.into());
        }
    }
}

fn round_byte(round: u64) -> u8 {
    round.to_le_bytes()[0]
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let place = directory();
    let missing = place.path().join("missing");
    assert_eq!(open(&missing).expect_err("missing").kind(), &ErrorKind::NotFound);
    assert!(!missing.exists(), "looking for a store makes none");
    assert_eq!(open(place.path()).expect_err("empty").kind(), &ErrorKind::NotFound);
    assert_eq!(fs::read_dir(place.path()).expect("readable").count(), 0);

    let file = place.path().join("file");
    fs::write(&file, "mine").expect("written");
    for options in [RocksOptions::default(), creating()] {
        assert_eq!(Rocks::open(&file, &options).expect_err("a file").kind(), &ErrorKind::Invalid);
        assert_eq!(Rocks::open(place.path(), &options).expect_err("foreign").kind(), &ErrorKind::Invalid);
    }
    assert_eq!(fs::read_to_string(&file).expect("still there"), "mine");
    assert_eq!(fs::read_dir(place.path()).expect("readable").count(), 1);
}

#[test]
fn a_store_is_open_once() {
    let place = directory();
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    let refused = open(place.path()).expect_err("it is open");
    assert_eq!(refused.kind(), &ErrorKind::Unavailable);
    assert_eq!(refused.to_string(), format!("another process has the store at {} open", place.path().display()));
    let snapshot = engine.snapshot().expect("a snapshot");
    drop(engine);
    open(place.path()).expect_err("a snapshot keeps it open");
    drop(snapshot);
    open(place.path()).expect("it is closed");
}

#[test]
fn creation_that_was_cut_short_is_completed() {
    let place = directory();
    fs::write(place.path().join(WATERMARK), b"").expect("written");
    assert_eq!(open(place.path()).expect_err("nothing there").kind(), &ErrorKind::NotFound);
    put(&Rocks::open(place.path(), &creating()).expect("completed"), 0, 10, Durability::Sync);
    assert_eq!(count(&open(place.path()).expect("a store")), 1);
}

#[test]
fn a_missing_watermark_or_current_is_refused() {
    for name in [WATERMARK, preflight::CURRENT] {
        let image = small_store(2, 2);
        fs::remove_file(image.path().join(name)).expect("removed");
        let before = fs::read_dir(image.path()).expect("readable").count();
        let refused = Rocks::open(image.path(), &creating()).expect_err("something is missing");
        assert_eq!(refused.kind(), &ErrorKind::Corrupt, "{refused}");
        assert_eq!(fs::read_dir(image.path()).expect("readable").count(), before);
    }
}

/// Processes die at any moment, stores are closed and flushed, wholly or in part: nothing is lost, and nothing is refused.
#[test]
fn no_life_of_a_store_makes_it_refused() {
    let mut state = 1u64;
    let mut dice = |sides: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((state >> 33) % sides).expect("few")
    };
    let mut place = directory();
    let mut keys = 0;
    for round in 0..40 {
        let engine = Rocks::open(place.path(), &creating()).unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(count(&engine), keys, "round {round}");
        for _ in 0..dice(12) {
            match dice(10) {
                0 => engine.flush().expect("flushed"),
                6 => {
                    let mut batch = Batch::default();
                    let never = KeyRange { start: vec![u8::MAX], end: Some(vec![u8::MAX; 2]) };
                    Space::ALL.into_iter().for_each(|space| batch.delete_range(space, never.clone()));
                    engine.commit(batch, Durability::Buffered).expect("committed");
                }
                space @ 1..=5 => engine.flush_space(Space::ALL[space]).expect("flushed"),
                choice => {
                    let durability = if choice % 2 == 0 { Durability::Sync } else { Durability::Buffered };
                    let bytes = [0, 30, 5000, 40_000][dice(4)];
                    put(&engine, u32::try_from(keys).expect("few"), bytes, durability);
                    keys += 1;
                }
            }
        }
        if dice(2) == 0 {
            place = killed(place.path());
        }
    }
    assert!(keys > 50, "{keys}");
}

fn flip(path: &Path, bit: usize) {
    let mut bytes = fs::read(path).expect("readable");
    bytes[bit / 8] ^= 1 << (bit % 8);
    fs::write(path, bytes).expect("written");
}

/// Opens a damaged copy: it is refused with `Corrupt`, and untouched, or everything that was synced is there.
fn refused_or_whole(image: &Path, damage: impl Fn(&Path), keys: usize) -> bool {
    let damaged = directory();
    copy(image, damaged.path()).expect("copied");
    damage(damaged.path());
    let content = |path: &Path| {
        let entries = fs::read_dir(path).expect("readable").map(|entry| entry.expect("readable").path());
        entries.map(|path| (path.clone(), fs::read(path).expect("readable"))).collect::<BTreeMap<_, _>>()
    };
    let before = content(damaged.path());
    match open(damaged.path()) {
        Ok(engine) => {
            assert_eq!(count(&engine), keys, "synced data is missing");
            false
        }
        Err(error) => {
            assert_eq!(error.kind(), &ErrorKind::Corrupt, "{error}");
            assert!(content(damaged.path()) == before, "a refusal changes nothing");
            true
        }
    }
}

#[test]
fn no_flip_of_a_bit_loses_what_was_synced() {
    let image = small_store(3, 6);
    let (mut refused, mut tried) = (0, 0);
    for (name, step) in [("CURRENT", 1), ("MANIFEST-", 11), (".log", 17), (WATERMARK, 97)] {
        let file = file_of(image.path(), name);
        let name = file.file_name().expect("a name");
        for bit in (0..fs::read(&file).expect("readable").len() * 8).step_by(step) {
            refused += usize::from(refused_or_whole(image.path(), |path| flip(&path.join(name), bit), 9));
            tried += 1;
        }
    }
    println!("{refused} of {tried} flips refused");
    assert!(tried > 1200 && refused > tried * 9 / 10, "{refused} of {tried}");
}

#[test]
fn no_cut_of_a_log_loses_what_was_synced() {
    let image = small_store(3, 6);
    let log = file_of(image.path(), ".log");
    let (name, length) = (log.file_name().expect("a name"), fs::metadata(&log).expect("readable").len());
    for cut in (0..length).step_by(7) {
        let truncate = |path: &Path| {
            fs::OpenOptions::new().write(true).open(path.join(name)).and_then(|file| file.set_len(cut)).expect("cut");
        };
        assert!(refused_or_whole(image.path(), truncate, 9), "cut at {cut}");
    }
    let remove = |path: &Path| fs::remove_file(path.join(name)).expect("removed");
    assert!(refused_or_whole(image.path(), remove, 9), "the log is gone");
}

/// Power loss leaves any part of what was not synced; what comes back is all that was synced and a prefix of the rest.
#[test]
fn a_torn_tail_is_no_damage() {
    let place = directory();
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    for key in 0..4 {
        put(&engine, key, 30, Durability::Sync);
    }
    let log = file_of(place.path(), ".log");
    let synced = fs::read(&log).expect("readable").len();
    for key in 4..9 {
        put(&engine, key, 30, Durability::Buffered);
    }
    let image = killed(place.path());
    let whole = fs::read(&log).expect("readable");
    let name = log.file_name().expect("a name");
    let zeros = |cut: usize| [&whole[..cut], &[0; 9000]].concat();
    let garbage = |cut: usize| [&whole[..cut], &[5; 3000]].concat();
    for cut in (synced..whole.len()).step_by(23) {
        for (kind, tail) in [("cut", whole[..cut].to_vec()), ("zeros", zeros(cut)), ("garbage", garbage(cut))] {
            let torn = killed(image.path());
            fs::write(torn.path().join(name), tail).expect("written");
            let engine = open(torn.path()).unwrap_or_else(|error| panic!("{kind} at {cut}: {error}"));
            let keys = count(&engine);
            assert!((4..9).contains(&keys), "{kind} at {cut}: {keys}");
            put(&engine, u32::try_from(keys).expect("few"), 10, Durability::Sync);
            drop(engine);
            assert_eq!(count(&open(torn.path()).expect("reopened")), keys + 1);
        }
    }
}

#[test]
fn a_loss_can_be_accepted_and_leaves_a_copy() {
    let image = small_store(3, 6);
    let log = file_of(image.path(), ".log");
    flip(&log, fs::read(&log).expect("readable").len() * 4);
    let damaged = fs::read(&log).expect("readable");
    assert_eq!(open(image.path()).expect_err("damaged").kind(), &ErrorKind::Corrupt);
    let accepting = RocksOptions { accept_data_loss: true, ..RocksOptions::default() };
    let engine = Rocks::open(image.path(), &accepting).expect("opened past the damage");
    let keys = count(&engine);
    assert!((3..9).contains(&keys), "{keys}");
    put(&engine, u32::try_from(keys).expect("few"), 10, Durability::Sync);
    drop(engine);
    assert_eq!(count(&open(image.path()).expect("sound again")), keys + 1);
    let quarantine = image.path().join("quarantine-1");
    assert!(fs::read(quarantine.join(log.file_name().expect("a name"))).expect("kept") == damaged);
    assert!(quarantine.join("CURRENT").exists() && file_of(&quarantine, "MANIFEST-").exists());
}

/// Recovery would take a log that begins after the lost end of another one.
#[test]
fn a_hole_between_logs_ends_recovery_there() {
    let place = directory();
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    put(&engine, 0, 30, Durability::Sync);
    let synced = fs::read(file_of(place.path(), ".log")).expect("readable").len();
    put(&engine, 1, 30, Durability::Buffered);
    let first = file_of(place.path(), ".log");
    // A copy made before the flush has the manifest that needs both logs.
    let image = killed(place.path());
    engine.flush_space(Space::Dirty).expect("flushed");
    put(&engine, 2, 30, Durability::Buffered);
    let second = file_of(place.path(), ".log");
    assert_ne!(first, second);
    fs::copy(&second, image.path().join(second.file_name().expect("a name"))).expect("copied");
    let truncated = image.path().join(first.file_name().expect("a name"));
    fs::OpenOptions::new().write(true).open(truncated).and_then(|file| file.set_len(synced as u64 + 9)).expect("cut");
    let engine = open(image.path()).expect("nothing that was synced is lost");
    assert_eq!(count(&engine), 1);
    assert!(image.path().join("quarantine-1").join(second.file_name().expect("a name")).exists());
}

#[test]
fn the_watermark_follows_syncs_and_costs_little() {
    let place = directory();
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    let sequence = || match watermark::decode(&fs::read(place.path().join(WATERMARK)).expect("readable")) {
        Found::Valid(watermark, _) => watermark.sequence,
        other => panic!("{other:?}"),
    };
    let entries = Space::ALL.len() as u64;
    put(&engine, 0, 10, Durability::Buffered);
    assert_eq!(sequence(), 0);
    put(&engine, 1, 10, Durability::Sync);
    assert_eq!(sequence(), 2 * entries);
    put(&engine, 2, 10, Durability::Buffered);
    engine.commit(Batch::default(), Durability::Sync).expect("an empty commit");
    assert_eq!(sequence(), 3 * entries, "an empty synced commit syncs those before it");
    put(&engine, 3, 10, Durability::Buffered);
    engine.flush().expect("flushed");
    assert_eq!(sequence(), 4 * entries);
    put(&engine, 4, 10, Durability::Buffered);
    drop(engine);
    assert_eq!(sequence(), 5 * entries, "closing syncs");

    let mut file = watermark::WatermarkFile::create(tempfile::tempfile().expect("a file")).expect("created");
    let started = Instant::now();
    for sequence in 0..1000 {
        file.write(watermark::Watermark { sequence, ..watermark::Watermark::default() }).expect("written");
    }
    println!("a watermark costs {:?}", started.elapsed() / 1000);
}

#[test]
fn sizes_are_told_by_space_and_range() {
    let place = directory();
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    for key in 0..40 {
        put(&engine, key, 3000, Durability::Buffered);
    }
    engine.flush().expect("flushed");
    let size = |range: &KeyRange| engine.approximate_size(Space::Directory, range).expect("known");
    let (all, half) = (size(&KeyRange::all()), size(&KeyRange { start: 20u32.to_be_bytes().to_vec(), end: None }));
    assert!((100_000..200_000).contains(&all) && half < all && half > all / 4, "{half} of {all}");
}

#[test]
fn damaged_values_are_errors_not_absences() {
    let place = directory();
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    put(&engine, 0, 20_000, Durability::Sync);
    engine.flush().expect("flushed");
    drop(engine);
    let entries = fs::read_dir(place.path()).expect("readable").map(|entry| entry.expect("readable").path());
    for blob in entries.filter(|path| path.extension().is_some_and(|extension| extension == "blob")) {
        flip(&blob, 10_000 * 8);
    }
    let engine = open(place.path()).expect("values are not read on opening");
    let snapshot = engine.snapshot().expect("a snapshot");
    let keys = [0u32.to_be_bytes().to_vec(), 1u32.to_be_bytes().to_vec()];
    for keys in [&keys[..1], &keys[..]] {
        let read = snapshot.get_many(Space::Base, keys, &mut |_, _| Ok(()));
        assert_eq!(read.expect_err("damaged").kind(), &ErrorKind::Corrupt);
    }
    for order in [Order::Ascending, Order::Descending] {
        let scan = snapshot.scan(Space::Aggregate, &KeyRange::all(), order, 9);
        assert_eq!(scan.expect_err("damaged").kind(), &ErrorKind::Corrupt);
    }
}

/// Deleted ranges are as durable as anything, and compaction gives back what they took, in files too.
#[test]
fn deleted_ranges_stay_deleted_and_give_their_space_back() {
    let place = directory();
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    (0..200).for_each(|key| put(&engine, key, 20_000, Durability::Buffered));
    engine.flush().expect("flushed");
    let files = |path: &Path| {
        let entries = fs::read_dir(path).expect("readable").map(|entry| entry.expect("readable"));
        let data = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".blob"));
        data.map(|entry| entry.metadata().expect("metadata").len()).sum::<u64>()
    };
    let before = files(place.path());
    let mut batch = Batch::default();
    for space in Space::ALL {
        batch.delete_range(space, KeyRange { start: 50_u32.to_be_bytes().to_vec(), end: Some(vec![u8::MAX; 4]) });
    }
    engine.commit(batch, Durability::Sync).expect("committed");
    assert_eq!(count(&engine), 50);
    let image = killed(place.path());
    assert_eq!(count(&Rocks::open(image.path(), &creating()).expect("opened")), 50);
    for space in Space::ALL {
        engine.compact(space, &KeyRange::all()).expect("compacted");
    }
    assert_eq!(count(&engine), 50);
    let after = files(place.path());
    assert!(before >= 8_000_000 && after < before / 2, "{after} of {before} bytes are left");
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("readable").map(|entry| entry.expect("readable").file_name());
    entries.map(|name| name.to_string_lossy().into_owned()).collect()
}

/// The database writes an edit of its manifest, is told that this failed, and takes back the file that the edit names; the edit may
/// be on the medium all the same.
#[test]
fn an_edit_of_the_manifest_whose_files_were_taken_back_does_not_count() {
    let place = directory();
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    (0..3).for_each(|key| put(&engine, key, 30, Durability::Sync));
    let before = killed(place.path());
    engine.flush().expect("flushed");
    let after = killed(place.path());
    let manifest = file_of(after.path(), "MANIFEST-");
    fs::copy(&manifest, before.path().join(manifest.file_name().expect("a name"))).expect("copied");
    // What was promised is as it was before the edit.
    let engine = open(before.path()).expect("the state before the edit is whole");
    assert_eq!(count(&engine), 3);
    put(&engine, 3, 30, Durability::Sync);
    drop(engine);
    assert_eq!(count(&open(before.path()).expect("reopened")), 4);
    // An edit that was promised is another matter.
    let lost = file_of(after.path(), ".sst");
    fs::remove_file(&lost).expect("removed");
    let refused = open(after.path()).expect_err("a file is missing");
    let name = lost.file_name().expect("a name").to_string_lossy().into_owned();
    assert_eq!(refused.kind(), &ErrorKind::Corrupt);
    assert!(refused.to_string().contains(&name), "{refused}");
}

/// The same of a whole new manifest that was taken back, or names files that were.
#[test]
fn a_manifest_that_was_taken_back_does_not_count() {
    let place = directory();
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    (0..3).for_each(|key| put(&engine, key, 30, Durability::Sync));
    let before = killed(place.path());
    let last = file_of(before.path(), "MANIFEST-");
    let next = before.path().join("MANIFEST-000990");
    for there in [false, true] {
        fs::write(before.path().join("CURRENT"), "MANIFEST-000990\n").expect("written");
        if there {
            engine.flush().expect("flushed");
            let after = killed(place.path());
            fs::copy(file_of(after.path(), "MANIFEST-"), &next).expect("copied");
        }
        let image = directory();
        copy(before.path(), image.path()).expect("copied");
        let engine = open(image.path()).expect("the last manifest is whole");
        assert_eq!(count(&engine), 3, "{there}");
    }
    fs::remove_file(&last).expect("removed");
    fs::remove_file(&next).expect("removed");
    assert_eq!(open(before.path()).expect_err("there is none").kind(), &ErrorKind::Corrupt);
}

/// Each opening and closing leaves small files; those that lie side by side are merged, whatever keys they hold.
#[test]
fn many_small_lives_leave_few_files() {
    for rising in [false, true] {
        let place = directory();
        drop(Rocks::open(place.path(), &creating()).expect("a new store"));
        let rounds = 90u32;
        let mut most = 0;
        for round in 0..rounds {
            let engine = open(place.path()).expect("opened");
            put(&engine, if rising { round } else { 0 }, 6000, Durability::Sync);
            drop(engine);
            let files = names(place.path());
            most = most.max(files.len());
            assert!(files.len() < 260, "{} files after {round} rounds", files.len());
            let logs = files.iter().filter(|name| name.ends_with(".log"));
            let left: u64 = logs.map(|name| fs::metadata(place.path().join(name)).expect("readable").len()).sum();
            assert_eq!(left, 0, "nothing is left to be replayed");
        }
        assert_eq!(count(&open(place.path()).expect("opened")), if rising { usize::try_from(rounds).expect("few") } else { 1 });
        println!("rising: {rising}, {most} files at most");
    }
}

/// A store that is only read stays as it is, byte for byte; even where its log ends torn.
#[test]
fn reading_changes_nothing() {
    let reading = RocksOptions { read_only: true, ..RocksOptions::default() };
    let image = small_store(3, 6);
    let log = file_of(image.path(), ".log");
    for torn in [false, true] {
        if torn {
            let mut bytes = fs::read(&log).expect("readable");
            bytes.extend([7; 900]);
            fs::write(&log, bytes).expect("written");
        }
        let content = || {
            let paths = names(image.path()).into_iter().map(|name| image.path().join(name));
            paths.map(|path| (fs::read(&path).expect("readable"), path)).collect::<BTreeSet<_>>()
        };
        let before = content();
        let engine = Rocks::open(image.path(), &reading).expect("opened");
        assert_eq!(count(&engine), 9);
        let other = Rocks::open(image.path(), &reading).expect("several may read");
        assert_eq!(open(image.path()).expect_err("others read it").kind(), &ErrorKind::Unavailable);
        let keys = [0u32.to_be_bytes().to_vec(), 77u32.to_be_bytes().to_vec(), 8u32.to_be_bytes().to_vec()];
        let mut found = Vec::new();
        let snapshot = engine.snapshot().expect("a snapshot");
        snapshot
            .get_many(Space::Base, &keys, &mut |_, value| {
                found.push(value.is_some());
                Ok(())
            })
            .expect("read");
        assert_eq!(found, [true, false, true]);
        drop((snapshot, engine, other));
        assert!(content() == before, "torn: {torn}");
    }
    flip(&log, 4000);
    assert_eq!(Rocks::open(image.path(), &reading).expect_err("damaged").kind(), &ErrorKind::Corrupt);
    let writing = open(&directory().path().join("none")).expect_err("none");
    assert_eq!(writing.kind(), &ErrorKind::NotFound);
}

#[test]
fn a_checkpoint_is_whole_and_apart() {
    let place = directory();
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    let copies = directory();
    let target = copies.path().join("copy");
    let reading = RocksOptions { read_only: true, ..RocksOptions::default() };
    for round in 0..3 {
        put(&engine, 2 * round, 9000, Durability::Buffered);
        engine.checkpoint(&target).expect("made");
        put(&engine, 2 * round + 1, 9000, Durability::Sync);
        let expected = usize::try_from(2 * round + 1).expect("few");
        assert_eq!(count(&Rocks::open(&target, &reading).expect("a copy")), expected);
        assert_eq!(names(copies.path()), ["copy"], "nothing else is left");
    }
    let reader = Rocks::open(&target, &reading).expect("a copy");
    assert_eq!(engine.checkpoint(&target).expect_err("it is being read").kind(), &ErrorKind::Unavailable);
    drop(reader);
    assert_eq!(engine.checkpoint(place.path()).expect_err("a store").kind(), &ErrorKind::Invalid);
    let restored = copies.path().join("restored");
    crate::kv::restore(&target, &restored, false).expect("restored");
    assert_eq!(crate::kv::restore(&target, &restored, false).expect_err("there is one").kind(), &ErrorKind::Invalid);
    let other = open(&restored).expect("a store");
    assert!(other.is_copy());
    other.adopt().expect("adopted");
    put(&other, 5, 10, Durability::Sync);
    assert_eq!((count(&other), other.is_copy()), (6, false));
    drop(other);
    assert_eq!(count(&Rocks::open(&target, &reading).expect("a copy")), 5, "the copy is what it was");
    assert_eq!(count(&engine), 6);
}

/// The database's own compactions never meet a damaged value; those that are asked for leave it where it is.
#[test]
fn a_damaged_value_stops_nobody_but_its_readers() {
    let place = directory();
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    (0..20).for_each(|key| put(&engine, key, 20_000, Durability::Buffered));
    drop(engine);
    let entries = names(place.path()).into_iter().filter(|name| name.ends_with(".blob"));
    entries.for_each(|name| flip(&place.path().join(name), 10_000 * 8));
    let engine = open(place.path()).expect("values are not read on opening");
    for round in 0..12 {
        // The damaged value is the first one.
        for key in 1..20u32 {
            put(&engine, key, 20_000 + round, Durability::Buffered);
        }
        engine.flush().expect("flushed");
    }
    for space in Space::ALL {
        engine.compact(space, &KeyRange::all()).expect("compacted");
    }
    put(&engine, 20, 10, Durability::Sync);
    let snapshot = engine.snapshot().expect("a snapshot");
    let first = [0u32.to_be_bytes().to_vec()];
    assert_eq!(snapshot.get_many(Space::Base, &first, &mut |_, _| Ok(())).expect_err("damaged").kind(), &ErrorKind::Corrupt);
    put(&engine, 0, 20_000, Durability::Sync);
    drop(snapshot);
    assert_eq!(count(&engine), 21);
    for space in Space::ALL {
        engine.compact(space, &KeyRange::all()).expect("compacted");
    }
    drop(engine);
    assert_eq!(count(&open(place.path()).expect("opened")), 21);
}
