//! What every [`Engine`] must do, as functions that panic where one does not. Every engine and
//! every decorator runs them.
//!
//! A factory gives a new, empty engine at each call.
#![expect(clippy::unwrap_used, reason = "a failed call is a failed assertion")]

#[path = "expectations_conformance.rs"]
mod expectations;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering as AtomicOrdering};
use std::sync::{Arc, Barrier};
use std::thread;

pub use expectations::{conflicts, deleted_ranges};

use super::{Batch, Durability, Engine, KeyRange, Order, Page, Sequence, Snapshot, Space, Write};
use crate::error::{Error, ErrorKind};

/// Makes a new, empty engine.
pub type Factory<'a> = &'a dyn Fn() -> Arc<dyn Engine>;

/// Every check of this module that needs nothing but a factory.
pub fn run(new: Factory<'_>) {
    reads(new);
    scans(new);
    commits(new);
    acceptance(new);
    isolation(new);
    conflicts(new);
    deleted_ranges(new);
    sizes(new);
    concurrency(new);
}

/// Points: order, duplicates, absence, empty keys and values, errors of the visitor.
pub fn reads(new: Factory<'_>) {
    let engine = new();
    put(
        &*engine,
        Space::Base,
        &[(b"a", b"1"), (b"b", b""), (b"", b"empty key"), (b"c", b"3")],
    );
    let snapshot = engine.snapshot().unwrap();
    let keys: Vec<Vec<u8>> = [b"c".as_slice(), b"x", b"a", b"c", b"", b"b", b"aa"]
        .iter()
        .map(|key| key.to_vec())
        .collect();
    let expected: [Option<&[u8]>; 7] = [
        Some(b"3"),
        None,
        Some(b"1"),
        Some(b"3"),
        Some(b"empty key"),
        Some(b""),
        None,
    ];
    let mut seen = Vec::new();
    let visit = &mut |position, value: Option<&[u8]>| {
        seen.push((position, value.map(<[u8]>::to_vec)));
        Ok(())
    };
    snapshot.get_many(Space::Base, &keys, visit).unwrap();
    let expected: Vec<_> = expected
        .iter()
        .map(|value| value.map(<[u8]>::to_vec))
        .enumerate()
        .collect();
    assert_eq!(
        seen, expected,
        "every key is visited once, in the order asked for"
    );
    for space in Space::ALL {
        assert_eq!(
            get(&*snapshot, space, b"a").is_some(),
            space == Space::Base,
            "spaces are separate"
        );
    }

    let mut visits = 0;
    let stop = snapshot.get_many(Space::Base, &keys, &mut |position, _| {
        visits += 1;
        if position == 1 {
            Err(Error::invalid("enough"))
        } else {
            Ok(())
        }
    });
    assert_eq!(
        (stop.unwrap_err().to_string().as_str(), visits),
        ("enough", 2),
        "the visitor's error ends the read"
    );
    snapshot
        .get_many(Space::Base, &[], &mut |_, _| {
            panic!("there is nothing to visit")
        })
        .unwrap();
}

/// Ranges: order, bounds, limits, `more`, both directions, prefixes that end in 0xff.
pub fn scans(new: Factory<'_>) {
    let engine = new();
    let keys: [&[u8]; 9] = [
        b"",
        b"a",
        b"a\0",
        b"ab",
        b"a\xff",
        b"a\xff\xff",
        b"b",
        b"\xff",
        b"\xff\xff\x01",
    ];
    // Written in another order than they are read in, and across a flush.
    for (position, key) in keys.iter().enumerate().rev() {
        put(
            &*engine,
            Space::Directory,
            &[(key, &[u8::try_from(position).unwrap()])],
        );
        if position == 4 {
            engine.flush().unwrap();
        }
    }
    let mut deleted = Batch::default();
    deleted.put(Space::Directory, b"aa".to_vec(), b"gone".to_vec());
    engine.commit(deleted, Durability::Buffered).unwrap();
    let mut deleted = Batch::default();
    deleted.delete(Space::Directory, b"aa".to_vec());
    engine.commit(deleted, Durability::Buffered).unwrap();

    let range = |start: &[u8], end: Option<&[u8]>| KeyRange {
        start: start.to_vec(),
        end: end.map(<[u8]>::to_vec),
    };
    let ranges = [
        KeyRange::all(),
        KeyRange::prefix(b""),
        KeyRange::prefix(b"a"),
        KeyRange::prefix(b"a\xff"),
        KeyRange::prefix(b"\xff"),
        KeyRange::prefix(b"\xff\xff"),
        KeyRange::prefix(b"q"),
        range(b"a", Some(b"a")),
        range(b"b", Some(b"a")),
        range(b"", Some(b"")),
        range(b"a\0", Some(b"b")),
        range(b"aaa", Some(b"b\0")),
        range(b"\xff\xff\xff", None),
    ];
    let snapshot = engine.snapshot().unwrap();
    for range in &ranges {
        for order in [Order::Ascending, Order::Descending] {
            let mut expected: Vec<_> = keys
                .iter()
                .copied()
                .enumerate()
                .filter(|(_, key)| range.contains(key))
                .collect();
            if order == Order::Descending {
                expected.reverse();
            }
            for limit in [0, 1, 2, 3, 8, 9, 10, usize::MAX] {
                let page = snapshot
                    .scan(Space::Directory, range, order, limit)
                    .unwrap();
                let shown: Vec<_> = page
                    .entries
                    .iter()
                    .map(|(key, value)| (usize::from(value[0]), key.as_slice()))
                    .collect();
                assert_eq!(
                    shown,
                    expected[..limit.min(expected.len())],
                    "{range:?} {order:?} {limit}"
                );
                assert_eq!(
                    page.more,
                    limit < expected.len(),
                    "{range:?} {order:?} {limit}"
                );
            }
        }
    }
    assert_eq!(
        snapshot
            .scan(Space::Dirty, &KeyRange::all(), Order::Descending, 1)
            .unwrap(),
        Page::default()
    );
}

/// Batches: atomic over spaces, the last write of a key holds, deletions, sequences that grow.
pub fn commits(new: Factory<'_>) {
    for durability in [Durability::Buffered, Durability::Sync] {
        let engine = new();
        let before = engine.snapshot().unwrap();
        let mut batch = Batch::at(&*before);
        for space in Space::ALL {
            batch.put(space, b"key".to_vec(), b"first".to_vec());
            batch.delete(space, b"key".to_vec());
            batch.put(space, b"key".to_vec(), b"last".to_vec());
            batch.put(space, b"gone".to_vec(), b"first".to_vec());
            batch.delete(space, b"gone".to_vec());
            batch.delete(space, b"never there".to_vec());
        }
        let sequence = engine.commit(batch, durability).unwrap();
        assert!(
            sequence > before.sequence(),
            "a commit comes after the snapshots before it"
        );
        let after = engine.snapshot().unwrap();
        assert!(
            after.sequence() >= sequence,
            "a snapshot shows the commits that returned before it"
        );
        for space in Space::ALL {
            let page = after
                .scan(space, &KeyRange::all(), Order::Ascending, 9)
                .unwrap();
            assert_eq!(
                page.entries,
                [(b"key".to_vec(), b"last".to_vec())],
                "{space:?}"
            );
            assert_eq!(
                get(&*before, space, b"key"),
                None,
                "an older snapshot does not change"
            );
        }

        let mut batch = Batch::at(&*after);
        batch.delete(Space::Meta, b"key".to_vec());
        engine.commit(batch, durability).unwrap();
        engine.flush().unwrap();
        let last = engine.snapshot().unwrap();
        assert_eq!(
            (
                get(&*last, Space::Meta, b"key"),
                get(&*last, Space::Base, b"key")
            ),
            (None, Some(b"last".to_vec()))
        );
        assert_eq!(
            get(&*after, Space::Meta, b"key"),
            Some(b"last".to_vec()),
            "a flush takes nothing from a snapshot"
        );

        let nothing = engine.commit(Batch::at(&*last), durability).unwrap();
        assert!(nothing >= last.sequence(), "an empty batch is a commit too");
    }
}

/// Late writes: made in the order of the commits, for none that is refused, and in the snapshots.
pub fn acceptance(new: Factory<'_>) {
    const THREADS: usize = 4;
    const COMMITS: usize = 25;
    let engine = new();
    let places = Arc::new(AtomicU64::new(0));
    // Writes under a key of its own how many were accepted before, if nobody else came first.
    let commit = |snapshot: &dyn Snapshot, key: String, races: bool| {
        let mut batch = Batch::at(snapshot);
        if races {
            batch.expect_key(Space::Meta, b"shared".to_vec());
            batch.put(Space::Meta, b"shared".to_vec(), Vec::new());
        }
        let key = key.into_bytes();
        batch.put(Space::Base, key.clone(), Vec::new());
        let (own, places) = (key.clone(), Arc::clone(&places));
        batch.write_when_accepted(move || {
            let place = places.fetch_add(1, AtomicOrdering::SeqCst);
            Some(Write {
                space: Space::Base,
                key: own.clone(),
                value: Some(place.to_be_bytes().to_vec()),
            })
        });
        match engine.commit(batch, Durability::Buffered) {
            Ok(sequence) => Some((sequence, key)),
            Err(error) => {
                assert_eq!(error.kind(), &ErrorKind::Conflict, "{error:?}");
                None
            }
        }
    };
    let before = engine.snapshot().unwrap();
    put(&*engine, Space::Meta, &[(b"shared", b"")]);
    assert_eq!(commit(&*before, "refused".to_owned(), true), None);
    assert_eq!(places.load(AtomicOrdering::SeqCst), 0, "it was refused");
    let barrier = Barrier::new(THREADS);
    let run = &|thread: usize| {
        barrier.wait();
        // Every other commit races with those of the other threads.
        let nth = |nth: usize| {
            let snapshot = engine.snapshot().unwrap();
            commit(&*snapshot, format!("{thread}/{nth}"), nth.is_multiple_of(2))
        };
        (0..COMMITS).filter_map(nth).collect::<Vec<_>>()
    };
    let mut committed: Vec<(Sequence, Vec<u8>)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || run(thread)))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    committed.sort();
    let snapshot = engine.snapshot().unwrap();
    for (place, (_, key)) in (0_u64..).zip(&committed) {
        assert_eq!(
            get(&*snapshot, Space::Base, key),
            Some(place.to_be_bytes().to_vec()),
            "late writes come in the order of commits"
        );
    }
    assert_eq!(get(&*snapshot, Space::Base, b"refused"), None);
}

/// Snapshots: they show whole commits and do not change, also while commits and flushes go on.
pub fn isolation(new: Factory<'_>) {
    let engine = new();
    let writing = AtomicBool::new(true);
    let all_equal = |engine: &dyn Engine| {
        let snapshot = engine.snapshot().unwrap();
        let first: Vec<_> = Space::ALL
            .iter()
            .map(|space| get(&*snapshot, *space, b"round"))
            .collect();
        assert!(
            first.windows(2).all(|pair| pair[0] == pair[1]),
            "a snapshot shows half a batch: {first:?}"
        );
        let page = snapshot
            .scan(Space::Dirty, &KeyRange::all(), Order::Ascending, usize::MAX)
            .unwrap();
        assert!(
            page.entries
                .iter()
                .all(|(_, value)| Some(value) == first[0].as_ref()),
            "a scan shows another commit"
        );
        let again = snapshot
            .scan(Space::Dirty, &KeyRange::all(), Order::Ascending, usize::MAX)
            .unwrap();
        assert_eq!(page, again, "a snapshot changes");
    };
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while writing.load(AtomicOrdering::Relaxed) {
                    all_equal(&*engine);
                }
            });
        }
        for round in 0..200u32 {
            let mut batch = Batch::default();
            for space in Space::ALL {
                batch.put(space, b"round".to_vec(), round.to_be_bytes().to_vec());
            }
            for copy in 0..20u8 {
                batch.put(Space::Dirty, vec![copy], round.to_be_bytes().to_vec());
            }
            engine.commit(batch, Durability::Buffered).unwrap();
            if round % 70 == 69 {
                engine.flush().unwrap();
            }
        }
        writing.store(false, AtomicOrdering::Relaxed);
    });
    all_equal(&*engine);
}

/// Large values come back as they were; a batch beyond the limit is refused and changes nothing.
pub fn sizes(new: Factory<'_>) {
    let engine = new();
    let large: Vec<u8> = (0..8u32 << 20)
        .map(|position| (position.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0])
        .collect();
    for size in [4095, 4096, 4097, 1 << 20, large.len()] {
        put(
            &*engine,
            Space::Aggregate,
            &[(&size.to_be_bytes(), &large[..size])],
        );
    }
    engine.flush().unwrap();
    let snapshot = engine.snapshot().unwrap();
    let page = snapshot
        .scan(Space::Aggregate, &KeyRange::all(), Order::Descending, 9)
        .unwrap();
    assert_eq!(page.entries.len(), 5);
    for (key, value) in &page.entries {
        assert!(large[..value.len()] == **value, "a large value differs");
        assert_eq!(key.as_slice(), value.len().to_be_bytes());
        assert!(
            get(&*snapshot, Space::Aggregate, key).as_ref() == Some(value),
            "a read and a scan differ"
        );
    }
    let mut batch = Batch::default();
    batch.put(Space::Meta, b"small".to_vec(), Vec::new());
    batch.put(Space::Base, Vec::new(), vec![0; Batch::SIZE_MAX]);
    assert_eq!(
        engine.commit(batch, Durability::Sync).unwrap_err().kind(),
        &ErrorKind::Invalid
    );
    assert_eq!(
        get(&*engine.snapshot().unwrap(), Space::Meta, b"small"),
        None
    );
    put(&*engine, Space::Meta, &[(b"small", b"after the refusal")]);
}

/// Many threads: no lost update, no duplicate in a queue, conflicts reported to their owner only,
/// sequences in order.
pub fn concurrency(new: Factory<'_>) {
    const THREADS: u64 = 8;
    const ROUNDS: u64 = 60;
    const COUNTERS: u64 = 3;
    let engine = new();
    let barrier = Barrier::new(usize::try_from(THREADS).unwrap());
    let sequences: Vec<Vec<Sequence>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (engine, barrier) = (&engine, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let sync = |round| {
                        if (thread + round) % 3 == 0 {
                            Durability::Sync
                        } else {
                            Durability::Buffered
                        }
                    };
                    (0..ROUNDS)
                        .map(|round| increment(&**engine, thread, round % COUNTERS, sync(round)))
                        .collect()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let snapshot = engine.snapshot().unwrap();
    let counters: Vec<u64> = (0..COUNTERS)
        .map(|counter| number(get(&*snapshot, Space::Meta, &counter.to_be_bytes())))
        .collect();
    assert_eq!(
        counters.iter().sum::<u64>(),
        THREADS * ROUNDS,
        "an update was lost"
    );
    let queue = snapshot
        .scan(Space::Dirty, &KeyRange::all(), Order::Ascending, usize::MAX)
        .unwrap();
    let places: Vec<u64> = queue
        .entries
        .iter()
        .map(|(key, _)| number(Some(key.clone())))
        .collect();
    assert_eq!(
        places,
        (0..THREADS * ROUNDS).collect::<Vec<_>>(),
        "a phantom: two commits took one place of the queue"
    );
    for sequences in &sequences {
        assert!(
            sequences.windows(2).all(|pair| pair[0] < pair[1]),
            "sequences grow: {sequences:?}"
        );
    }
    let mut all: Vec<Sequence> = sequences.concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(
        u64::try_from(all.len()).unwrap(),
        THREADS * ROUNDS,
        "each commit has its own sequence"
    );
}

/// Adds one to a counter and takes the next place of a queue, until nobody interferes.
fn increment(engine: &dyn Engine, thread: u64, counter: u64, durability: Durability) -> Sequence {
    loop {
        let snapshot = engine.snapshot().unwrap();
        let key = counter.to_be_bytes().to_vec();
        let value = number(get(&*snapshot, Space::Meta, &key));
        let last = snapshot
            .scan(Space::Dirty, &KeyRange::all(), Order::Descending, 1)
            .unwrap()
            .entries
            .pop();
        let place = last.map_or(0, |(key, _)| number(Some(key)) + 1);
        let mut batch = Batch::at(&*snapshot);
        batch.expect_key(Space::Meta, key.clone());
        batch.expect_range(
            Space::Dirty,
            KeyRange {
                start: place.to_be_bytes().to_vec(),
                end: None,
            },
        );
        batch.put(Space::Meta, key, (value + 1).to_be_bytes().to_vec());
        batch.put(
            Space::Dirty,
            place.to_be_bytes().to_vec(),
            thread.to_be_bytes().to_vec(),
        );
        drop(snapshot);
        match engine.commit(batch, durability) {
            Ok(sequence) => return sequence,
            Err(error) => assert_eq!(error.kind(), &ErrorKind::Conflict, "{error}"),
        }
    }
}

/// After a failed commit writes are refused and reads go on. `fail_next_commit` makes the next
/// commit fail.
pub fn poison(engine: &dyn Engine, fail_next_commit: &dyn Fn()) {
    put(engine, Space::Base, &[(b"before", b"1")]);
    let mut batch = Batch::default();
    batch.put(Space::Meta, b"failed".to_vec(), b"2".to_vec());
    fail_next_commit();
    let failed = engine.commit(batch, Durability::Sync).unwrap_err();
    assert!(
        ![ErrorKind::Conflict, ErrorKind::Invalid].contains(failed.kind()),
        "a failure is no refusal: {failed}"
    );
    for _ in 0..2 {
        let mut batch = Batch::default();
        batch.put(Space::Base, b"later".to_vec(), b"3".to_vec());
        assert_eq!(
            engine
                .commit(batch, Durability::Buffered)
                .unwrap_err()
                .kind(),
            &ErrorKind::Poisoned
        );
    }
    let snapshot = engine.snapshot().unwrap();
    assert_eq!(
        get(&*snapshot, Space::Base, b"before"),
        Some(b"1".to_vec()),
        "reads go on"
    );
    assert_eq!(
        get(&*snapshot, Space::Base, b"later"),
        None,
        "nothing is written"
    );
}

fn put(engine: &dyn Engine, space: Space, entries: &[(&[u8], &[u8])]) {
    let mut batch = Batch::default();
    for (key, value) in entries {
        batch.put(space, key.to_vec(), value.to_vec());
    }
    engine.commit(batch, Durability::Buffered).unwrap();
}

fn get(snapshot: &dyn Snapshot, space: Space, key: &[u8]) -> Option<Vec<u8>> {
    let mut found = None;
    let visit = &mut |_, value: Option<&[u8]>| {
        found = value.map(<[u8]>::to_vec);
        Ok(())
    };
    snapshot.get_many(space, &[key.to_vec()], visit).unwrap();
    found
}

fn number(bytes: Option<Vec<u8>>) -> u64 {
    bytes.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()))
}
