//! What is opened, and what is refused.

use std::time::Instant;

use super::*;

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let place = directory();
    let missing = place.path().join("missing");
    assert_eq!(
        open(&missing).expect_err("missing").kind(),
        &ErrorKind::NotFound
    );
    assert!(!missing.exists(), "looking for a store makes none");
    assert_eq!(
        open(place.path()).expect_err("empty").kind(),
        &ErrorKind::NotFound
    );
    assert_eq!(fs::read_dir(place.path()).expect("readable").count(), 0);

    let file = place.path().join("file");
    fs::write(&file, "mine").expect("written");
    for options in [RocksOptions::default(), creating()] {
        assert_eq!(
            Rocks::open(&file, &options).expect_err("a file").kind(),
            &ErrorKind::Invalid
        );
        assert_eq!(
            Rocks::open(place.path(), &options)
                .expect_err("foreign")
                .kind(),
            &ErrorKind::Invalid
        );
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
    assert_eq!(
        refused.to_string(),
        format!(
            "another process has the store at {} open",
            place.path().display()
        )
    );
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
    assert_eq!(
        open(place.path()).expect_err("nothing there").kind(),
        &ErrorKind::NotFound
    );
    put(
        &Rocks::open(place.path(), &creating()).expect("completed"),
        0,
        10,
        Durability::Sync,
    );
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
        assert_eq!(
            fs::read_dir(image.path()).expect("readable").count(),
            before
        );
    }
}

/// Processes die at any moment, stores are closed and flushed, wholly or in part: nothing is lost,
/// and nothing is refused.
#[test]
fn no_life_of_a_store_makes_it_refused() {
    let mut state = 1u64;
    let mut dice = |sides: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((state >> 33) % sides).expect("few")
    };
    let mut place = directory();
    let mut keys = 0;
    for round in 0..40 {
        let engine = Rocks::open(place.path(), &creating())
            .unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(count(&engine), keys, "round {round}");
        for _ in 0..dice(12) {
            match dice(10) {
                0 => engine.flush().expect("flushed"),
                6 => {
                    let mut batch = Batch::default();
                    let never = KeyRange {
                        start: vec![u8::MAX],
                        end: Some(vec![u8::MAX; 2]),
                    };
                    Space::ALL
                        .into_iter()
                        .for_each(|space| batch.delete_range(space, never.clone()));
                    engine
                        .commit(batch, Durability::Buffered)
                        .expect("committed");
                }
                space @ 1..=5 => engine.flush_space(Space::ALL[space]).expect("flushed"),
                choice => {
                    let durability = if choice % 2 == 0 {
                        Durability::Sync
                    } else {
                        Durability::Buffered
                    };
                    let bytes = [0, 30, 5000, 40_000][dice(4)];
                    put(
                        &engine,
                        u32::try_from(keys).expect("few"),
                        bytes,
                        durability,
                    );
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

#[test]
fn the_watermark_follows_syncs_and_costs_little() {
    let place = directory();
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    let sequence =
        || match watermark::decode(&fs::read(place.path().join(WATERMARK)).expect("readable")) {
            FoundWatermark::Valid(watermark, _) => watermark.sequence,
            other => panic!("{other:?}"),
        };
    let entries = Space::ALL.len() as u64;
    put(&engine, 0, 10, Durability::Buffered);
    assert_eq!(sequence(), 0);
    put(&engine, 1, 10, Durability::Sync);
    assert_eq!(sequence(), 2 * entries);
    put(&engine, 2, 10, Durability::Buffered);
    engine
        .commit(Batch::default(), Durability::Sync)
        .expect("an empty commit");
    assert_eq!(
        sequence(),
        3 * entries,
        "an empty synced commit syncs those before it"
    );
    put(&engine, 3, 10, Durability::Buffered);
    engine.flush().expect("flushed");
    assert_eq!(sequence(), 4 * entries);
    put(&engine, 4, 10, Durability::Buffered);
    drop(engine);
    assert_eq!(sequence(), 5 * entries, "closing syncs");

    let mut file =
        watermark::WatermarkFile::create(tempfile::tempfile().expect("a file")).expect("created");
    let started = Instant::now();
    for sequence in 0..1000 {
        file.write(watermark::Watermark {
            sequence,
            ..watermark::Watermark::default()
        })
        .expect("written");
    }
    println!("a watermark costs {:?}", started.elapsed() / 1000);
}
