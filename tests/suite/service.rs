//! A store as a service has it: aggregated in the background, waited for, read in snapshots, and
//! watched.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use gridstone::kv::{Batch, Durability, Engine, Faulty, KeyRange, Memory, Order, Space};
use gridstone::{
    Aggregation, Axis, DType, Dimension, ErrorKind, Freshness, Grid, Layer, Policy, Query, Schema,
    Store, StoreOptions, Structure, Window,
};
use ndarray::Array2;
use rayon::prelude::*;

use crate::check::{self, Dice, levels};
use crate::oracle::Oracle;

/// Far longer than anything here takes: a wait that is told of what it waits for never lasts so
/// long.
const LONG: Duration = Duration::from_secs(120);

fn schema() -> Schema {
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
    );
    let structure = Structure::builder().dimension(space).build().unwrap();
    Schema::builder(structure, DType::F64)
        .aggregator(Aggregation::Sum)
        .build()
        .unwrap()
}

fn background() -> StoreOptions {
    Store::options().policy(Policy::Background)
}

/// One chunk of one value.
fn put(grid: &Grid, chunk: [i64; 2], value: f64) -> gridstone::Result<u64> {
    let window = Window::new([4 * chunk[0], 4 * chunk[1]], [4, 4]);
    grid.put(&window, &Array2::from_elem((4, 4), value))
        .map(|commit| commit.sequence)
}

/// Chunks of ones in a row.
fn put_row(grid: &Grid, y: i64, chunks: std::ops::Range<i64>) {
    for x in chunks {
        put(grid, [y, x], 1.0).unwrap();
    }
}

/// The sum over all that is stored at the top.
fn total(grid: &Grid) -> f64 {
    let top = grid.top().unwrap().unwrap().levels();
    let query = Query::all()
        .levels(top)
        .layer(Layer::Aggregate(Aggregation::Sum));
    grid.read(&query)
        .unwrap()
        .array
        .iter_f64()
        .filter(|value| !value.is_nan())
        .sum()
}

/// Whether this is a thread that the store has started.
fn is_background() -> bool {
    let own = ["gridstone-aggregate-", "gridstone-pool-"];
    std::thread::current()
        .name()
        .is_some_and(|name| own.iter().any(|own| name.starts_with(own)))
}

/// Lets other threads go on until something is so.
fn until(so: impl Fn() -> bool) {
    while !so() {
        std::thread::yield_now();
    }
}

#[test]
fn i7_a_commit_that_was_waited_for_is_in_every_level() {
    for threads in [1, 3] {
        let store = background()
            .background_threads(threads)
            .open_engine(Arc::<Memory>::default())
            .unwrap();
        let grids = ["a", "b", "c"].map(|name| store.create(name, schema()).unwrap());
        std::thread::scope(|scope| {
            for grid in &grids {
                scope.spawn(move || {
                    let mut oracle = Oracle::new(grid.schema(), &[0]);
                    for number in 0..12_i64 {
                        let chunk = [number % 4 - 2, number * 3 - 17];
                        let commit = put(grid, chunk, number as f64).unwrap();
                        oracle.put(
                            &[4 * chunk[0], 4 * chunk[1]],
                            &[4, 4],
                            &[number as f64; 16],
                            false,
                        );
                        let top = oracle.top().unwrap();
                        let query = Query::all()
                            .levels(levels(&top))
                            .layer(Layer::Aggregate(Aggregation::Sum));
                        let answer = grid.read(&query.wait(commit, LONG)).unwrap();
                        assert_eq!(answer.stale, [], "nobody else writes");
                        let want = oracle.expected(Some(&Aggregation::Sum), &top, &answer.window);
                        assert!(
                            answer
                                .array
                                .iter_f64()
                                .map(f64::to_bits)
                                .eq(want.into_iter().map(f64::to_bits))
                        );
                    }
                    check::drained(grid, &mut oracle, &mut Dice(1)).unwrap();
                });
            }
        });
    }
}

#[test]
fn marks_that_are_found_are_aggregated_and_the_last_handle_leaves_no_thread() {
    let engine: Arc<Memory> = Arc::default();
    let manual = Store::options()
        .policy(Policy::Manual)
        .open_engine(engine.clone())
        .unwrap();
    let grid = manual.create("a", schema()).unwrap();
    put_row(&grid, 0, 0..40);
    assert_eq!(
        (grid.marks().unwrap(), grid.stats().unwrap().marks),
        (40, 40)
    );
    drop((manual, grid));
    let store = background().open_engine(engine.clone()).unwrap();
    let grid = store.grid("a").unwrap();
    drop(store);
    grid.wait(u64::MAX, LONG).unwrap();
    assert_eq!(
        (
            total(&grid),
            grid.marks().unwrap(),
            grid.stats().unwrap().marks
        ),
        (640.0, 0, 0)
    );
    assert!(Arc::strong_count(&engine) > 1, "the grid is a handle too");
    drop(grid);
    assert_eq!(
        Arc::strong_count(&engine),
        1,
        "with the last handle the engine is free"
    );
}

#[test]
fn a_closed_store_is_read_and_not_written() {
    let engine: Arc<Memory> = Arc::default();
    let store = background().open_engine(engine.clone()).unwrap();
    let grid = store.create("a", schema()).unwrap();
    let commit = put(&grid, [0, 0], 1.0).unwrap();
    grid.wait(commit, LONG).unwrap();
    store.close().unwrap();
    store.close().unwrap();
    assert_eq!(total(&grid), 16.0);
    for refused in [
        put(&grid, [0, 1], 1.0).map(drop),
        store.create("b", schema()).map(drop),
        grid.wait(u64::MAX, LONG),
    ] {
        // Nothing is pending, so there is nothing to wait for.
        let Err(error) = refused else { continue };
        assert_eq!(error.kind(), &ErrorKind::Unavailable);
    }
    assert_eq!(
        put(&grid, [0, 1], 1.0).unwrap_err().to_string(),
        "the store is closed"
    );
    drop((store, grid));
    assert_eq!(Arc::strong_count(&engine), 1);
}

#[test]
fn a_panic_of_the_aggregation_poisons_the_store_for_writes_and_is_told() {
    let [held, armed] = [false; 2].map(|state| Arc::new(AtomicBool::new(state)));
    let engine = Faulty::hooked(Memory::new(), {
        let (held, armed) = (Arc::clone(&held), Arc::clone(&armed));
        move |_| {
            // What was begun before the second put must not meet the bug before that is there.
            while is_background() && held.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            assert!(
                !(armed.load(Ordering::Relaxed) && is_background()),
                "a bug in an aggregator"
            )
        }
    });
    let store = background().open_engine(Arc::new(engine)).unwrap();
    let grid = store.create("a", schema()).unwrap();
    let commit = put(&grid, [0, 0], 1.0).unwrap();
    grid.wait(commit, LONG).unwrap();
    held.store(true, Ordering::Relaxed);
    let commit = put(&grid, [0, 0], 2.0).unwrap();
    armed.store(true, Ordering::Relaxed);
    held.store(false, Ordering::Relaxed);
    let told = grid.wait(commit, LONG).unwrap_err();
    let refused = put(&grid, [0, 0], 3.0).unwrap_err();
    for error in [
        &told,
        &refused,
        &store.create("b", schema()).unwrap_err(),
        &grid.aggregate().unwrap_err(),
    ] {
        assert_eq!(error.kind(), &ErrorKind::Poisoned, "{error}");
        let cause = std::error::Error::source(error).unwrap().to_string();
        assert!(cause.contains("a bug in an aggregator"), "{cause}");
    }
    let stats = store.stats().unwrap();
    assert!(stats.poisoned.unwrap().contains("a bug in an aggregator"));
    until(|| grid.stats().unwrap().failures == 1);
    let answer = grid
        .read(&Query::all().freshness(Freshness::Fresh))
        .unwrap();
    assert!(
        answer.array.iter_f64().all(|value| value == 2.0),
        "reads go on"
    );
    assert_eq!(store.close().unwrap_err().kind(), &ErrorKind::Poisoned);
}

/// The one base chunk, its key, and garbage in its place.
fn damage(engine: &Memory) -> (Vec<u8>, Vec<u8>) {
    let entries = engine
        .snapshot()
        .unwrap()
        .scan(Space::Base, &KeyRange::all(), Order::Ascending, 1)
        .unwrap()
        .entries;
    let (key, blob) = entries.into_iter().next().unwrap();
    tamper(engine, &key, vec![0; blob.len()]);
    (key, blob)
}

fn tamper(engine: &Memory, key: &[u8], value: Vec<u8>) {
    let mut batch = Batch::default();
    batch.put(Space::Base, key.to_vec(), value);
    engine.commit(batch, Durability::Sync).unwrap();
}

#[test]
fn a_damaged_chunk_is_told_and_tried_again_while_the_rest_goes_on() {
    let engine: Arc<Memory> = Arc::default();
    let manual = Store::options()
        .policy(Policy::Manual)
        .open_engine(engine.clone())
        .unwrap();
    put_row(&manual.create("a", schema()).unwrap(), 0, 0..2);
    let other = manual.create("b", schema()).unwrap();
    drop((manual, other));
    let (key, blob) = damage(&engine);
    let time = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&time);
    let store = background().clock(move || Duration::from_secs(clock.load(Ordering::Relaxed)));
    let store = store.open_engine(engine.clone()).unwrap();
    let (grid, other) = (store.grid("a").unwrap(), store.grid("b").unwrap());
    until(|| grid.stats().unwrap().failures > 0);
    let failure = grid.stats().unwrap().failure.unwrap();
    assert!(
        failure.contains("grid `a`") && failure.contains("is damaged"),
        "{failure}"
    );
    assert_eq!(store.stats().unwrap().grids.failure, Some(failure.clone()));
    let late = grid.wait(u64::MAX, Duration::ZERO).unwrap_err();
    assert_eq!(late.kind(), &ErrorKind::TimedOut);
    assert!(late.to_string().starts_with("grid `a`"), "{late}");
    assert!(
        std::error::Error::source(&late)
            .unwrap()
            .to_string()
            .contains("is damaged")
    );
    // The other grid is aggregated all the same, and while the clock stands the damaged one rests.
    for x in 0..20 {
        let commit = put(&other, [0, x], 1.0).unwrap();
        other.wait(commit, LONG).unwrap();
    }
    assert_eq!(
        (
            grid.stats().unwrap().failures,
            store.stats().unwrap().poisoned
        ),
        (1, None)
    );
    tamper(&engine, &key, blob);
    time.store(3600, Ordering::Relaxed);
    // A commit wakes the thread that rests, which sees what time it is.
    let commit = put(&other, [1, 0], 1.0).unwrap();
    other.wait(commit, LONG).unwrap();
    grid.wait(u64::MAX, LONG).unwrap();
    assert_eq!(total(&grid), 32.0);
    until(|| grid.stats().unwrap().failure.is_none());
}

/// A door in front of the engine that only the background threads have to pass.
#[derive(Default)]
struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut shut = self.shut.lock().unwrap();
        while *shut && is_background() {
            shut = self.opened.wait(shut).unwrap();
        }
    }

    fn set(&self, shut: bool) {
        *self.shut.lock().unwrap() = shut;
        self.opened.notify_all();
    }
}

#[test]
fn commits_wait_while_too_many_marks_are_pending() {
    const LIMIT: u64 = 8;
    const THREADS: u64 = 3;
    let gate: Arc<Gate> = Arc::default();
    let engine = Faulty::hooked(Memory::new(), {
        let gate = Arc::clone(&gate);
        move |_| gate.pass()
    });
    let store = background()
        .marks_max(LIMIT)
        .open_engine(Arc::new(engine))
        .unwrap();
    let grid = store.create("a", schema()).unwrap();
    // The corners first, so that the pyramid rises no more: that leaves marks too.
    put(&grid, [0, 0], 1.0).unwrap();
    let commit = put(&grid, [2, 39], 1.0).unwrap();
    grid.wait(commit, LONG).unwrap();
    let (most, done) = (AtomicU64::new(0), AtomicU64::new(0));
    gate.set(true);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (grid, most, done) = (&grid, &most, &done);
            scope.spawn(move || {
                for x in 0..40 {
                    put(grid, [i64::try_from(thread).unwrap(), x], 1.0).unwrap();
                    done.fetch_add(1, Ordering::Relaxed);
                    most.fetch_max(grid.stats().unwrap().marks, Ordering::Relaxed);
                }
            });
        }
        // Until the limit is passed nobody waits; then nobody goes on, since the one turn there is
        // cannot end.
        until(|| grid.stats().unwrap().marks > LIMIT);
        assert!(done.load(Ordering::Relaxed) <= LIMIT + THREADS);
        gate.set(false);
    });
    assert!(
        most.load(Ordering::Relaxed) <= LIMIT + THREADS,
        "{most:?} marks, one a commit"
    );
    grid.wait(u64::MAX, LONG).unwrap();
    assert_eq!(total(&grid), 120.0 * 16.0);
}

/// On a thread of a pool a commit may not wait for another thread of that pool: it does the work,
/// or goes on.
#[test]
fn commits_on_every_thread_of_a_pool_come_to_an_end() {
    let store = background()
        .marks_max(0)
        .open_engine(Arc::<Memory>::default())
        .unwrap();
    let grid = store.create("a", schema()).unwrap();
    (0..200_i64)
        .into_par_iter()
        .for_each(|x| put_row(&grid, x % 7, x..x + 1));
    grid.wait(u64::MAX, LONG).unwrap();
    assert_eq!(total(&grid), 3200.0);
}

#[test]
fn a_commit_that_cannot_have_room_says_why() {
    let engine: Arc<Memory> = Arc::default();
    let store = background()
        .marks_max(0)
        .open_engine(engine.clone())
        .unwrap();
    let grid = store.create("a", schema()).unwrap();
    let commit = put(&grid, [0, 0], 1.0).unwrap();
    grid.wait(commit, LONG).unwrap();
    damage(&engine);
    // The whole chunk is replaced below, so that only aggregation meets the damage; its sibling is
    // what is marked.
    let aggregates = engine
        .snapshot()
        .unwrap()
        .scan(Space::Aggregate, &KeyRange::all(), Order::Ascending, 9)
        .unwrap()
        .entries;
    assert_eq!(aggregates.len(), 0, "one chunk is its own top");
    let commit = put(&grid, [0, 1], 1.0).unwrap();
    let failed = put(&grid, [1, 1], 1.0).unwrap_err();
    assert_eq!(failed.kind(), &ErrorKind::Corrupt);
    assert_eq!(
        failed.to_string(),
        "grid `a`: more than 0 marks are pending and cannot be aggregated"
    );
    assert_eq!(
        grid.wait(commit, Duration::ZERO).unwrap_err().kind(),
        &ErrorKind::TimedOut
    );
}

#[test]
fn a_wait_ends_with_its_time_where_nobody_aggregates_and_with_the_work_where_somebody_does() {
    let store = Store::options()
        .policy(Policy::Manual)
        .open_engine(Arc::<Memory>::default())
        .unwrap();
    let grid = store.create("a", schema()).unwrap();
    let first = put(&grid, [0, 0], 1.0).unwrap();
    for timeout in [Duration::ZERO, Duration::from_millis(1)] {
        assert_eq!(
            grid.wait(first, timeout).unwrap_err().kind(),
            &ErrorKind::TimedOut
        );
        assert_eq!(
            grid.read(&Query::all().wait(first, timeout))
                .unwrap_err()
                .kind(),
            &ErrorKind::TimedOut
        );
    }
    grid.wait(first - 1, Duration::ZERO)
        .expect("nothing so old is pending");
    std::thread::scope(|scope| {
        let waits: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| grid.wait(first, Duration::MAX)))
            .collect();
        grid.aggregate().unwrap();
        waits
            .into_iter()
            .for_each(|wait| wait.join().unwrap().unwrap());
    });
    put(&grid, [0, 9], 1.0).unwrap();
    grid.wait(first, Duration::ZERO)
        .expect("a later commit does not matter");
    let inline = Store::in_memory().unwrap().create("a", schema()).unwrap();
    let commit = put(&inline, [0, 0], 1.0).unwrap();
    inline
        .wait(commit, Duration::ZERO)
        .expect("done when the commit returned");
}

/// All that can be asked of a grid, as text.
fn answers(grid: &Grid) -> Vec<String> {
    let base = grid.read(&Query::all()).unwrap();
    let top = grid.top().unwrap().unwrap();
    let reach = grid.reach().unwrap();
    let extent = grid.extent().unwrap().unwrap();
    let parent = grid
        .parent(&grid.base_chunks().unwrap()[0].location, "space")
        .unwrap();
    vec![
        format!("{base:?}"),
        format!(
            "{:?}",
            grid.read(
                &Query::all()
                    .levels(top.levels())
                    .freshness(Freshness::Fresh)
            )
            .unwrap()
        ),
        format!("{:?}", grid.explain(&Query::all()).unwrap()),
        format!("{top:?} {reach:?} {extent:?} {parent:?}"),
        format!(
            "{:?} {:?}",
            grid.bounds().unwrap(),
            grid.base_levels().unwrap()
        ),
        format!("{:?}", grid.stored_chunks().unwrap()),
        format!(
            "{:?}",
            grid.chunks(&extent, grid.base_levels().unwrap().unwrap())
                .unwrap()
        ),
        format!("{:?}", grid.children(&top, "space").unwrap()),
        format!("{}", grid.marks().unwrap()),
    ]
}

#[test]
fn i9_a_snapshot_answers_the_same_over_all_grids_whatever_is_committed() {
    let store = Store::options()
        .policy(Policy::Manual)
        .open_engine(Arc::<Memory>::default())
        .unwrap();
    let grids = ["a", "b"].map(|name| store.create(name, schema()).unwrap());
    for grid in &grids {
        put_row(grid, 0, 0..5);
        grid.aggregate().unwrap();
        put(grid, [0, 1], 2.0).unwrap();
    }
    let before = grids.each_ref().map(answers);
    let snapshot = store.snapshot().unwrap();
    let then = ["a", "b"].map(|name| snapshot.grid(name).unwrap());
    for grid in &grids {
        put(grid, [3, 60], 9.0).unwrap();
        assert_eq!(then.each_ref().map(answers), before);
        grid.aggregate().unwrap();
        assert_eq!(then.each_ref().map(answers), before);
    }
    store.create("c", schema()).unwrap();
    assert_eq!(snapshot.grid("c").unwrap_err().kind(), &ErrorKind::NotFound);
    assert_eq!(snapshot.grids().unwrap().len(), 2);
    assert_eq!(
        snapshot
            .clone()
            .grids()
            .unwrap()
            .iter()
            .map(answers)
            .collect::<Vec<_>>(),
        before
    );
    assert_ne!(
        grids.each_ref().map(answers),
        before,
        "the present has moved on"
    );
}

#[test]
fn a_grid_of_a_snapshot_is_not_written_and_not_waited_for() {
    let store = Store::in_memory().unwrap();
    let grid = store.create("a", schema()).unwrap();
    let commit = put(&grid, [0, 0], 1.0).unwrap();
    let then = store.snapshot().unwrap().grid("a").unwrap();
    let cell = Array2::from_elem((1, 1), 1.0);
    for refused in [
        put(&then, [0, 0], 1.0).map(drop),
        then.replace(&Window::new([0, 0], [1, 1]), &cell).map(drop),
        then.aggregate().map(drop),
        then.aggregate_step().map(drop),
        then.wait(commit, LONG),
        then.read(&Query::all().wait(commit, LONG)).map(drop),
    ] {
        assert_eq!(refused.unwrap_err().kind(), &ErrorKind::Invalid);
    }
    put(&then.store().grid("a").unwrap(), [0, 0], 1.0).expect("the store itself is in the present");
}

#[test]
fn a_snapshot_that_is_too_old_is_given_up() {
    let time = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&time);
    let options = Store::options().snapshot_age_max(Duration::from_secs(60));
    let options = options.clock(move || Duration::from_secs(clock.load(Ordering::Relaxed)));
    let store = options.open_engine(Arc::<Memory>::default()).unwrap();
    let grid = store.create("a", schema()).unwrap();
    put(&grid, [0, 0], 1.0).unwrap();
    let held = || store.stats().unwrap().snapshots;
    let (young, old) = (store.snapshot().unwrap(), store.snapshot().unwrap());
    let then = old.grid("a").unwrap();
    assert_eq!(held(), 2);
    drop(young);
    assert_eq!(held(), 1);
    time.store(60, Ordering::Relaxed);
    assert_eq!((old.age(), total(&then)), (Duration::from_secs(60), 16.0));
    time.store(61, Ordering::Relaxed);
    put(&grid, [0, 0], 2.0).unwrap();
    assert_eq!(held(), 0, "a commit gives up what is too old");
    for error in [
        then.read(&Query::all()).map(drop),
        then.top().map(drop),
        old.grid("a").map(drop),
        old.grids().map(drop),
    ] {
        assert_eq!(error.unwrap_err().kind(), &ErrorKind::Expired);
    }
    assert_eq!(
        then.read(&Query::all()).unwrap_err().to_string(),
        "grid `a`: the snapshot is older than 60s; take a new one"
    );
    assert_eq!(total(&store.snapshot().unwrap().grid("a").unwrap()), 32.0);
}

#[test]
fn the_statistics_say_what_was_done() {
    let (engine, time) = (Arc::new(Memory::new()), Arc::new(AtomicU64::new(0)));
    let open = || {
        let clock = Arc::clone(&time);
        let options = Store::options().policy(Policy::Manual);
        options
            .clock(move || Duration::from_secs(clock.load(Ordering::Relaxed)))
            .open_engine(engine.clone())
            .unwrap()
    };
    let store = open();
    let grid = store.create("a", schema()).unwrap();
    assert_eq!(grid.stats().unwrap(), gridstone::GridStats::default());
    time.store(10, Ordering::Relaxed);
    // Four chunks under one parent.
    grid.put(
        &Window::new([0, 0], [8, 8]),
        &Array2::from_elem((8, 8), 1.0),
    )
    .unwrap();
    time.store(25, Ordering::Relaxed);
    put(&grid, [0, 0], 2.0).unwrap();
    let stats = grid.stats().unwrap();
    assert_eq!(
        (stats.marks, stats.oldest_mark),
        (5, Some(Duration::from_secs(15)))
    );
    assert_eq!(
        (
            stats.chunks_put,
            stats.chunks_aggregated,
            stats.chunks_read,
            stats.bytes_read
        ),
        (5, 0, 0, 0)
    );
    let (chunks, marks) = (grid.stored_chunks().unwrap(), grid.marks().unwrap());
    assert_eq!((chunks.len(), marks), (4, 5));
    let done = grid.aggregate().unwrap();
    let after = grid.stats().unwrap();
    assert_eq!(
        (after.marks, after.oldest_mark, after.marks_consumed),
        (0, None, done.marks)
    );
    assert_eq!(
        (after.chunks_aggregated, after.chunks_read),
        (done.chunks, 4)
    );
    assert_eq!(
        after.bytes_read,
        chunks.iter().map(|chunk| chunk.bytes).sum::<u64>()
    );
    assert_eq!(after.bytes_written, stats.bytes_written + done.bytes);
    let answer = grid.read(&Query::all()).unwrap();
    assert_eq!(grid.stats().unwrap().chunks_read, 4 + answer.chunks_read);
    put(&grid, [9, 9], 2.0).unwrap();
    let all = store.stats().unwrap();
    assert_eq!(
        (all.grids.marks, all.conflicts, all.poisoned, all.cache_hits),
        (1, 0, None, None)
    );
    // Two puts, one that raised the pyramid and one that aggregated, and the last put.
    assert_eq!(all.commits, 5);
    drop((store, grid));
    time.store(100, Ordering::Relaxed);
    let store = open();
    time.store(140, Ordering::Relaxed);
    let stats = store.stats().unwrap().grids;
    assert_eq!((stats.marks, stats.chunks_put), (1, 0));
    assert_eq!(
        stats.oldest_mark,
        Some(Duration::from_secs(40)),
        "since the store was opened"
    );
}

/// A commit that lost is counted, and its marks are not.
#[test]
fn a_commit_that_lost_the_race_is_a_conflict_and_leaves_nothing_behind() {
    let (mut conflicts, mut last) = (Vec::new(), Vec::new());
    for call in 0.. {
        let rival: Arc<Mutex<Option<(u64, Grid)>>> = Arc::default();
        let engine = Faulty::hooked(Memory::new(), {
            let rival = Arc::clone(&rival);
            move |_| {
                // The rival's own calls find nothing there.
                let now = rival
                    .try_lock()
                    .ok()
                    .and_then(|mut rival| match rival.as_mut() {
                        Some((0, _)) => rival.take(),
                        Some((left, _)) => {
                            *left -= 1;
                            None
                        }
                        None => None,
                    });
                now.map(|(_, grid)| put(&grid, [0, 0], 5.0).unwrap());
            }
        });
        let engine = Arc::new(engine);
        let open = || {
            Store::options()
                .policy(Policy::Manual)
                .open_engine(engine.clone())
                .unwrap()
        };
        let store = open();
        let grid = store.create("a", schema()).unwrap();
        put(&grid, [0, 0], 1.0).unwrap();
        put(&grid, [0, 1], 1.0).unwrap();
        grid.aggregate().unwrap();
        // Through one store they would take turns.
        let theirs = open().grid("a").unwrap();
        let before = store.stats().unwrap();
        *rival.lock().unwrap() = Some((call, theirs));
        grid.put(
            &Window::new([0, 0], [1, 1]),
            &Array2::from_elem((1, 1), 7.0),
        )
        .unwrap();
        if rival.lock().unwrap().take().is_some() {
            break;
        }
        let after = store.stats().unwrap();
        assert_eq!(
            (after.commits - before.commits, after.grids.marks),
            (1, 1),
            "before call {call}"
        );
        assert_eq!(grid.marks().unwrap(), 2, "one is of the other store");
        conflicts.push(after.conflicts - before.conflicts);
        let read = grid
            .read(&Query::window(Window::new([0, 0], [4, 4])))
            .unwrap()
            .array;
        let mine = read.iter_f64().next() == Some(7.0);
        assert!(
            read.iter_f64().skip(1).all(|value| value == 5.0),
            "before call {call}: {read:?}"
        );
        last.push(mine);
    }
    // Before the snapshot there is nothing to lose; after the commit, while it is brought onto the
    // medium, the rival is the later.
    let calls = conflicts.len();
    assert_eq!(conflicts, [vec![0], vec![1; calls - 2], vec![0]].concat());
    assert_eq!(last, [vec![true; calls - 1], vec![false]].concat());
}

#[cfg(feature = "rocksdb")]
mod rocks {
    use super::*;

    #[test]
    fn i7_i10_a_store_on_disk_is_free_when_its_last_handle_is_gone_and_goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        for round in 0..8_i64 {
            let store = background().open(&path).unwrap();
            let grid = store
                .grid("a")
                .or_else(|_| store.create("a", schema()))
                .unwrap();
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let grid = &grid;
                    scope.spawn(move || put_row(grid, round, 5 * thread..5 * thread + 5));
                }
            });
            if round % 2 == 0 {
                grid.wait(u64::MAX, LONG).unwrap();
                assert_eq!(total(&grid), 20.0 * 16.0 * (round + 1) as f64);
            }
        }
        let store = Store::open(&path).unwrap();
        store.aggregate().unwrap();
        assert_eq!(store.verify().unwrap().findings, []);
        assert_eq!(total(&store.grid("a").unwrap()), 20.0 * 16.0 * 8.0);
        store.flush().unwrap();
        store.grid("a").unwrap().read(&Query::all()).unwrap();
        let stats = store.stats().unwrap();
        assert!(
            stats.cache_hits.is_some() && stats.cache_misses.unwrap() > 0,
            "{stats:?}"
        );
    }

    /// Writers of one chunk go on as soon as the one before is seen, not as soon as it is on the
    /// medium.
    #[test]
    fn i10_every_cell_that_threads_put_into_one_chunk_durably_is_there_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = background().open(&path).unwrap();
        let grid = store.create("a", schema()).unwrap();
        std::thread::scope(|scope| {
            for cell in 0..16_i64 {
                let grid = &grid;
                scope.spawn(move || {
                    for round in 1..=5_i64 {
                        let value = Array2::from_elem((1, 1), (100 * round + cell) as f64);
                        grid.put(&Window::new([cell / 4, cell % 4], [1, 1]), &value)
                            .unwrap();
                    }
                });
            }
        });
        drop((store, grid));
        let grid = Store::open(&path).unwrap().grid("a").unwrap();
        assert!(
            grid.read(&Query::all())
                .unwrap()
                .array
                .iter_f64()
                .eq((500..516).map(f64::from))
        );
    }
}
