//! Stores that are only read, copies, and stores that others write to.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::*;

/// A store that is only read stays as it is, byte for byte; even where its log ends torn.
#[test]
fn reading_changes_nothing() {
    let reading = RocksOptions {
        read_only: true,
        ..RocksOptions::default()
    };
    let image = small_store(3, 6);
    let log = file_of(image.path(), ".log");
    for torn in [false, true] {
        if torn {
            let mut bytes = fs::read(&log).expect("readable");
            bytes.extend([7; 900]);
            fs::write(&log, bytes).expect("written");
        }
        let content = || {
            let paths = names(image.path())
                .into_iter()
                .map(|name| image.path().join(name));
            paths
                .map(|path| (fs::read(&path).expect("readable"), path))
                .collect::<BTreeSet<_>>()
        };
        let before = content();
        let engine = Rocks::open(image.path(), &reading).expect("opened");
        assert_eq!(count(&engine), 9);
        let other = Rocks::open(image.path(), &reading).expect("several may read");
        assert_eq!(
            open(image.path()).expect_err("others read it").kind(),
            &ErrorKind::Unavailable
        );
        let keys = [
            0u32.to_be_bytes().to_vec(),
            77u32.to_be_bytes().to_vec(),
            8u32.to_be_bytes().to_vec(),
        ];
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
    assert_eq!(
        Rocks::open(image.path(), &reading)
            .expect_err("damaged")
            .kind(),
        &ErrorKind::Corrupt
    );
    let writing = open(&directory().path().join("none")).expect_err("none");
    assert_eq!(writing.kind(), &ErrorKind::NotFound);
}

#[test]
fn a_checkpoint_is_whole_and_apart() {
    let place = directory();
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    let copies = directory();
    let target = copies.path().join("copy");
    let reading = RocksOptions {
        read_only: true,
        ..RocksOptions::default()
    };
    for round in 0..3 {
        put(&engine, 2 * round, 9000, Durability::Buffered);
        engine.checkpoint(&target).expect("made");
        put(&engine, 2 * round + 1, 9000, Durability::Sync);
        let expected = usize::try_from(2 * round + 1).expect("few");
        assert_eq!(
            count(&Rocks::open(&target, &reading).expect("a copy")),
            expected
        );
        assert_eq!(names(copies.path()), ["copy"], "nothing else is left");
    }
    let reader = Rocks::open(&target, &reading).expect("a copy");
    assert_eq!(
        engine
            .checkpoint(&target)
            .expect_err("it is being read")
            .kind(),
        &ErrorKind::Unavailable
    );
    drop(reader);
    assert_eq!(
        engine.checkpoint(place.path()).expect_err("a store").kind(),
        &ErrorKind::Invalid
    );
    let restored = copies.path().join("restored");
    crate::kv::restore(&target, &restored).expect("restored");
    assert_eq!(
        crate::kv::restore(&target, &restored)
            .expect_err("there is one")
            .kind(),
        &ErrorKind::Invalid
    );
    let other = open(&restored).expect("a store");
    assert!(other.is_copy());
    other.adopt().expect("adopted");
    put(&other, 5, 10, Durability::Sync);
    assert_eq!((count(&other), other.is_copy()), (6, false));
    drop(other);
    assert_eq!(
        count(&Rocks::open(&target, &reading).expect("a copy")),
        5,
        "the copy is what it was"
    );
    assert_eq!(count(&engine), 6);
}

/// Writes keys, flushes spaces one by one and compacts, until it is stopped or has written so many;
/// tells what was acknowledged.
fn write_on(engine: &Rocks, acknowledged: &AtomicU32, stopped: &AtomicBool) {
    let mut key = acknowledged.load(Ordering::SeqCst);
    while !stopped.load(Ordering::SeqCst) && key < 6000 {
        let durability = if key.is_multiple_of(5) {
            Durability::Sync
        } else {
            Durability::Buffered
        };
        put(
            engine,
            key,
            [10, 300, 5000][usize::try_from(key % 3).expect("few")],
            durability,
        );
        key += 1;
        acknowledged.store(key, Ordering::SeqCst);
        match key % 40 {
            7 | 19 | 31 => engine
                .flush_space(Space::ALL[usize::try_from(key / 12 % 6).expect("few")])
                .expect("flushed"),
            0 => engine
                .compact(
                    Space::ALL[usize::try_from(key / 40 % 6).expect("few")],
                    &KeyRange::all(),
                )
                .expect("compacted"),
            _ => {}
        }
    }
}

fn beside_a_writer(work: impl FnOnce(&Path, &AtomicU32)) {
    let place = directory();
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    let (acknowledged, stopped) = (AtomicU32::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| write_on(&engine, &acknowledged, &stopped));
        // Also when the work fails.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let _stop = Stop(&stopped);
        work(place.path(), &acknowledged);
    });
}

fn rounds(default: u32) -> u32 {
    std::env::var("GRIDSTONE_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(default)
}

#[test]
fn a_store_that_is_written_to_is_read_as_it_is_at_a_moment() {
    let reading = RocksOptions {
        read_only: true,
        ..RocksOptions::default()
    };
    beside_a_writer(|path, acknowledged| {
        for round in 0..rounds(60) {
            let before = acknowledged.load(Ordering::SeqCst);
            let engine = Rocks::open(path, &reading)
                .unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert!(
                engine.counters().age.is_some(),
                "it says that others write to it"
            );
            let keys = count(&engine);
            assert!(
                keys >= usize::try_from(before).expect("few"),
                "round {round}: {keys} of {before} keys"
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert_eq!(
                count(&engine),
                keys,
                "it stays as it was, whatever files are removed"
            );
        }
    });
}

/// Some are opened, with a prefix of what was written; the others are refused.
#[test]
fn a_plain_copy_of_a_store_that_is_written_to_is_refused_or_whole() {
    let (mut refused, mut whole) = (0, 0);
    beside_a_writer(|path, acknowledged| {
        for round in 0..u64::from(rounds(60)) {
            let copied = directory();
            let mut names = names(path);
            // Some order or other, and time to pass.
            names.sort_by_key(|name| xxhash_rust::xxh3::xxh3_64_with_seed(name.as_bytes(), round));
            for name in names {
                // Some are gone when their turn comes.
                let _ = fs::copy(path.join(&name), copied.path().join(&name));
                std::thread::sleep(std::time::Duration::from_millis(round % 4));
            }
            match open(copied.path()) {
                Ok(engine) => {
                    // One more than was acknowledged may have been begun.
                    let most =
                        usize::try_from(acknowledged.load(Ordering::SeqCst)).expect("few") + 1;
                    assert!(count(&engine) <= most, "no more than was written");
                    whole += 1;
                }
                Err(error) => {
                    assert!(
                        [ErrorKind::Corrupt, ErrorKind::NotFound].contains(error.kind()),
                        "{error}"
                    );
                    refused += 1;
                }
            }
        }
    });
    println!("{whole} copies whole, {refused} refused");
    assert!(whole + refused > 0);
}
