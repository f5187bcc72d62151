//! Damage is found, whichever file it is in.

use super::*;

/// Opens a damaged copy: it is refused with `Corrupt`, and untouched, or everything that was synced
/// is there.
fn refused_or_whole(image: &Path, damage: impl Fn(&Path), keys: usize) -> bool {
    let damaged = directory();
    copy(image, damaged.path()).expect("copied");
    damage(damaged.path());
    let content = |path: &Path| {
        let entries = fs::read_dir(path)
            .expect("readable")
            .map(|entry| entry.expect("readable").path());
        entries
            .map(|path| (path.clone(), fs::read(path).expect("readable")))
            .collect::<BTreeMap<_, _>>()
    };
    let before = content(damaged.path());
    match open(damaged.path()) {
        Ok(engine) => {
            assert_eq!(count(&engine), keys, "synced data is missing");
            false
        }
        Err(error) => {
            assert_eq!(error.kind(), &ErrorKind::Corrupt, "{error}");
            assert!(
                content(damaged.path()) == before,
                "a refusal changes nothing"
            );
            true
        }
    }
}

#[test]
fn no_flip_of_a_bit_loses_what_was_synced() {
    let image = small_store(3, 6);
    let (mut refused, mut tried) = (0, 0);
    for (name, step) in [
        ("CURRENT", 1),
        ("MANIFEST-", 11),
        (".log", 17),
        (WATERMARK, 97),
    ] {
        let file = file_of(image.path(), name);
        let name = file.file_name().expect("a name");
        for bit in (0..fs::read(&file).expect("readable").len() * 8).step_by(step) {
            refused += usize::from(refused_or_whole(
                image.path(),
                |path| flip(&path.join(name), bit),
                9,
            ));
            tried += 1;
        }
    }
    println!("{refused} of {tried} flips refused");
    assert!(
        tried > 1200 && refused > tried * 9 / 10,
        "{refused} of {tried}"
    );
}

/// The watermark is not synced while a store is open: after a loss of power it may be as old as the
/// opening.
#[test]
fn no_flip_of_a_log_loses_what_was_synced_under_the_oldest_watermark() {
    let place = directory();
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    let oldest = fs::read(place.path().join(WATERMARK)).expect("readable");
    for (key, bytes) in [30, 30, 7000, 30].into_iter().enumerate() {
        put(
            &engine,
            u32::try_from(key).expect("few"),
            bytes,
            Durability::Sync,
        );
    }
    let image = killed(place.path());
    fs::write(image.path().join(WATERMARK), oldest).expect("written");
    let log = file_of(image.path(), ".log");
    let (name, bits) = (
        log.file_name().expect("a name"),
        fs::metadata(&log).expect("readable").len() * 8,
    );
    // The last record, bit by bit, and the others here and there.
    let last = bits - 8 * 400;
    for bit in (0..last).step_by(1117).chain((last..bits).step_by(7)) {
        let bit = usize::try_from(bit).expect("small");
        assert!(
            refused_or_whole(image.path(), |path| flip(&path.join(name), bit), 4),
            "bit {bit}"
        );
    }
}

#[test]
fn no_cut_of_a_log_loses_what_was_synced() {
    let image = small_store(3, 6);
    let log = file_of(image.path(), ".log");
    let (name, length) = (
        log.file_name().expect("a name"),
        fs::metadata(&log).expect("readable").len(),
    );
    for cut in (0..length).step_by(7) {
        let truncate = |path: &Path| {
            fs::OpenOptions::new()
                .write(true)
                .open(path.join(name))
                .and_then(|file| file.set_len(cut))
                .expect("cut");
        };
        assert!(refused_or_whole(image.path(), truncate, 9), "cut at {cut}");
    }
    let remove = |path: &Path| fs::remove_file(path.join(name)).expect("removed");
    assert!(refused_or_whole(image.path(), remove, 9), "the log is gone");
}

#[test]
fn a_loss_can_be_accepted_and_leaves_a_copy() {
    let image = small_store(3, 6);
    let log = file_of(image.path(), ".log");
    flip(&log, fs::read(&log).expect("readable").len() * 4);
    let damaged = fs::read(&log).expect("readable");
    assert_eq!(
        open(image.path()).expect_err("damaged").kind(),
        &ErrorKind::Corrupt
    );
    let accepting = RocksOptions {
        accept_data_loss: true,
        ..RocksOptions::default()
    };
    let engine = Rocks::open(image.path(), &accepting).expect("opened past the damage");
    let keys = count(&engine);
    assert!((3..9).contains(&keys), "{keys}");
    put(
        &engine,
        u32::try_from(keys).expect("few"),
        10,
        Durability::Sync,
    );
    drop(engine);
    assert_eq!(count(&open(image.path()).expect("sound again")), keys + 1);
    let quarantine = image.path().join("quarantine-1");
    assert!(fs::read(quarantine.join(log.file_name().expect("a name"))).expect("kept") == damaged);
    assert!(quarantine.join("CURRENT").exists() && file_of(&quarantine, "MANIFEST-").exists());
}

#[test]
fn damaged_values_are_errors_not_absences() {
    let place = directory();
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    put(&engine, 0, 20_000, Durability::Sync);
    engine.flush().expect("flushed");
    drop(engine);
    let entries = fs::read_dir(place.path())
        .expect("readable")
        .map(|entry| entry.expect("readable").path());
    for blob in entries.filter(|path| {
        path.extension()
            .is_some_and(|extension| extension == "blob")
    }) {
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

/// The database's own compactions never meet a damaged value; those that are asked for leave it
/// where it is.
#[test]
fn a_damaged_value_stops_nobody_but_its_readers() {
    let place = directory();
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    (0..20).for_each(|key| put(&engine, key, 20_000, Durability::Buffered));
    drop(engine);
    let entries = names(place.path())
        .into_iter()
        .filter(|name| name.ends_with(".blob"));
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
    assert_eq!(
        snapshot
            .get_many(Space::Base, &first, &mut |_, _| Ok(()))
            .expect_err("damaged")
            .kind(),
        &ErrorKind::Corrupt
    );
    put(&engine, 0, 20_000, Durability::Sync);
    drop(snapshot);
    assert_eq!(count(&engine), 21);
    for space in Space::ALL {
        engine.compact(space, &KeyRange::all()).expect("compacted");
    }
    drop(engine);
    assert_eq!(count(&open(place.path()).expect("opened")), 21);
}
