//! Readers beside a writer: each view is a state between two commits, does not move, and is not too
//! old; a reader writes nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use gridstone::kv::{
    Batch, Durability, Engine, KeyRange, Order, Slate, SlateOptions, SlateReader, Snapshot, Space,
};
use gridstone::{ErrorKind, Freshness, Policy, Window};
use ndarray::Array2;

use crate::conformance::{fresh_name, options};
use crate::failing::{Failing, Weather};
use crate::grids;

fn quick() -> SlateOptions {
    let mut options = options();
    options.create = false;
    options.age_max = Duration::from_millis(40);
    options
}

/// What a view shows of every space and of a scan, which is the same number everywhere.
fn number(view: &dyn Snapshot) -> Option<u32> {
    let mut seen = Vec::new();
    for space in Space::ALL {
        let keys = [b"round".to_vec(), b"round".to_vec(), b"absent".to_vec()];
        view.get_many(space, &keys, &mut |position, value| {
            if position < 2 {
                seen.push(value.map(<[u8]>::to_vec));
            } else {
                assert_eq!(value, None);
            }
            Ok(())
        })
        .unwrap();
    }
    let page = view
        .scan(
            Space::Feed,
            &KeyRange::prefix(b"copy"),
            Order::Descending,
            99,
        )
        .unwrap();
    seen.extend(page.entries.into_iter().map(|(_, value)| Some(value)));
    assert!(
        seen.windows(2).all(|pair| pair[0] == pair[1]),
        "a view shows half a commit: {seen:?}"
    );
    let first = seen[0].as_ref()?;
    Some(u32::from_be_bytes(first.as_slice().try_into().unwrap()))
}

fn put(engine: &dyn Engine, round: u32, durability: Durability) {
    let mut batch = Batch::default();
    let value = round.to_be_bytes().to_vec();
    for space in Space::ALL {
        batch.put(space, b"round".to_vec(), value.clone());
    }
    for copy in 0..20u8 {
        let key = [b"copy".as_slice(), &[copy]].concat();
        batch.put(Space::Feed, key, value.clone());
    }
    engine.commit(batch, durability).unwrap();
}

#[test]
fn readers_beside_a_writer_see_whole_commits_that_do_not_move_and_only_grow() {
    let url = format!("memory://{}", fresh_name());
    let engine = Slate::open(&url, &options()).unwrap();
    put(&engine, 0, Durability::Sync);
    let writing = AtomicBool::new(true);
    let seen = thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let reader = SlateReader::open(&url, &quick()).unwrap();
                    let (mut last, mut views) = (0, 0);
                    while writing.load(Ordering::Relaxed) {
                        let view = reader.snapshot().unwrap();
                        let age = reader.counters().age.unwrap();
                        assert!(age < Duration::from_secs(5), "{age:?}");
                        let first = number(&*view).unwrap();
                        assert!(first >= last, "views go back: {last}, then {first}");
                        thread::sleep(Duration::from_millis(10));
                        assert_eq!(number(&*view), Some(first), "a view moves");
                        (last, views) = (first, views + 1);
                    }
                    (last, views)
                })
            })
            .collect();
        for round in 1..=300 {
            let durability = match round % 5 {
                0 => Durability::Sync,
                _ => Durability::Buffered,
            };
            put(&engine, round, durability);
            if round % 60 == 0 {
                engine.flush().unwrap();
            }
            if round % 150 == 0 {
                engine.compact(Space::Base, &KeyRange::all()).unwrap();
            }
            thread::sleep(Duration::from_millis(5));
        }
        writing.store(false, Ordering::Relaxed);
        readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert!(
        seen.iter().all(|(last, views)| *last > 20 && *views > 5),
        "readers follow the writer: {seen:?}"
    );
}

#[test]
fn what_was_synced_is_seen_as_soon_as_a_view_may_not_be_older() {
    let url = format!("memory://{}", fresh_name());
    let engine = Slate::open(&url, &options()).unwrap();
    put(&engine, 0, Durability::Sync);
    let reader = SlateReader::open(&url, &quick()).unwrap();
    for round in 1..20 {
        put(&engine, round, Durability::Sync);
        thread::sleep(quick().age_max + Duration::from_millis(1));
        assert_eq!(number(&*reader.snapshot().unwrap()), Some(round));
    }
}

#[test]
fn a_view_stands_while_the_tables_under_it_are_merged() {
    let url = format!("memory://{}", fresh_name());
    let engine = Slate::open(&url, &options()).unwrap();
    for round in 0..5 {
        put(&engine, round, Durability::Sync);
        engine.flush().unwrap();
    }
    let reader = SlateReader::open(&url, &quick()).unwrap();
    let view = reader.snapshot().unwrap();
    for round in 5..10 {
        put(&engine, round, Durability::Sync);
        engine.compact(Space::Base, &KeyRange::all()).unwrap();
        assert_eq!(number(&*view), Some(4));
    }
    let start = Instant::now();
    while number(&*reader.snapshot().unwrap()) != Some(9) {
        assert!(start.elapsed() < Duration::from_secs(10), "no news");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(number(&*view), Some(4));
}

#[test]
fn a_reader_writes_nothing_and_is_no_writer() {
    let objects = Failing::new(1);
    let engine = objects.open(&options()).unwrap();
    let store = grids::store(Arc::new(engine), Policy::Inline).unwrap();
    grids::fill(&grids::grid(&store).unwrap(), &grids::all(), 3).unwrap();
    drop(store);
    let before = objects.counts().writes();
    for _ in 0..3 {
        let store = grids::beside(&objects, &quick()).unwrap();
        let grid = store.grid("g").unwrap();
        let cells = grids::cells(&grid, 0, Freshness::Fresh).unwrap();
        assert!(cells.iter().all(|cell| *cell == 3.0));
        assert!(store.age().is_some());
        let refused = grids::fill(&grid, &grids::all(), 4).unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::Invalid, "{refused:?}");
        let token = grid.changes_token().unwrap();
        assert_eq!(grid.changes_since(&token).unwrap().changes, []);
        thread::sleep(Duration::from_millis(100));
        grids::cells(&grid, 0, Freshness::Fresh).unwrap();
        drop((grid, store));
    }
    assert_eq!(objects.counts().writes(), before, "a reader wrote");
}

#[test]
fn a_reader_hears_of_every_commit_of_the_writer_once() {
    let objects = Failing::new(1);
    let engine = objects.open(&options()).unwrap();
    let store = grids::store(Arc::new(engine), Policy::Manual).unwrap();
    let grid = grids::grid(&store).unwrap();
    grids::fill(&grid, &grids::all(), 1).unwrap();
    let beside = grids::beside(&objects, &quick()).unwrap();
    let beside = beside.grid("g").unwrap();
    let mut token = beside.changes_token().unwrap();
    assert_eq!(token, grid.changes_token().unwrap());
    let (mut seen, committed) = (Vec::new(), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for writer in 0..4 {
            let (grid, committed) = (&grid, &committed);
            scope.spawn(move || {
                for nth in 0..10 {
                    let window = Window::new([8 * writer, 0], [8, 8]);
                    let cells = Array2::from_elem((8, 8), nth);
                    let put = grid.put(&window, &cells).unwrap();
                    committed.lock().unwrap().push(put.sequence);
                }
            });
        }
        let start = Instant::now();
        while seen.len() < 40 {
            let changes = beside.wait_changes(&token, Duration::from_millis(20));
            let changes = changes.unwrap();
            seen.extend(changes.changes.iter().map(|change| change.sequence));
            token = changes.next;
            assert!(start.elapsed() < Duration::from_secs(120), "{seen:?}");
        }
    });
    let mut committed = committed.into_inner().unwrap();
    committed.sort_unstable();
    assert_eq!(seen, committed);
    assert_eq!(token, grid.changes_token().unwrap());
}

/// A reader of a store with a number in it, whose last view is too old by now.
fn overdue(objects: &Arc<Failing>, weather: Weather) -> SlateReader {
    let engine = objects.open(&options()).unwrap();
    put(&engine, 7, Durability::Sync);
    drop(engine);
    let mut options = quick();
    options.timeout = Duration::from_secs(3);
    let reader = objects.read(&options).unwrap();
    objects.set(weather);
    thread::sleep(Duration::from_millis(100));
    reader
}

fn is_refused(reader: &SlateReader) {
    match reader.snapshot() {
        Err(error) => assert_eq!(error.kind(), &ErrorKind::Unavailable, "{error:?}"),
        Ok(_) => panic!("it is older than it may be"),
    }
}

#[test]
fn threads_whose_storage_never_answers_do_not_wait_for_all_of_one_another() {
    let objects = Failing::new(1);
    let silent = Weather {
        takes: Duration::from_secs(24 * 3600),
        ..Weather::default()
    };
    let reader = overdue(&objects, silent);
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| is_refused(&reader));
        }
    });
    // Three seconds twice, not eight times.
    let took = start.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[test]
fn a_reader_whose_storage_is_gone_says_so_and_never_shows_less() {
    let objects = Failing::new(1);
    let gone = Weather {
        fails: 100,
        ..Weather::default()
    };
    let reader = overdue(&objects, gone);
    let start = Instant::now();
    is_refused(&reader);
    assert!(start.elapsed() < Duration::from_secs(20));
    objects.set(Weather::default());
    assert_eq!(number(&*reader.snapshot().unwrap()), Some(7));
}
