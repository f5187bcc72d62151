//! What is read from decoded chunks that were kept is what would be decoded again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gridstone::kv::{Engine, Memory};
use gridstone::{Axis, DType, Dimension, Grid, Policy, Query, Store, StoreSnapshot, Window};
use ndarray::Array2;

use super::{KINDS, Kind, line, schema, told};
use crate::check::{Dice, cases};

fn create(kind: &Kind, cache: u64) -> Grid {
    let options = Store::options().policy(Policy::Manual).chunk_cache(cache);
    kind.create_in(
        &options
            .open_engine(Arc::new(Memory::new()) as Arc<dyn Engine>)
            .unwrap(),
    )
}

/// None, so few bytes that chunks drive each other out, and as many as by default.
const CACHES: [u64; 3] = [0, 2 << 10, 64 << 20];

#[test]
fn answers_are_the_same_whatever_is_kept_of_decoded_chunks() {
    for kind in &KINDS {
        let (mut hits, mut full) = (0, 0);
        for seed in 0..u64::from(cases(6)) {
            let grids = CACHES.map(|bytes| create(kind, bytes));
            let (mut dice, mut choice) = (CACHES.map(|_| Dice(seed)), Dice(!seed));
            let queries = kind.queries();
            let mut snapshots: Vec<[StoreSnapshot; 3]> = Vec::new();
            for step in 0..24 {
                let done: Vec<String> = grids
                    .iter()
                    .zip(&mut dice)
                    .map(|(grid, dice)| kind.step(grid, dice).unwrap())
                    .collect();
                assert!(done.iter().all(|other| *other == done[0]), "{done:?}");
                if step % 6 == 2 {
                    snapshots.push(
                        grids
                            .each_ref()
                            .map(|grid| grid.store().snapshot().unwrap()),
                    );
                }
                // Each some times, so that it is kept, and in between what others keep.
                let some = [(); 3].map(|()| choice.pick(&queries));
                for query in some.iter().chain(&some).chain(&some) {
                    let now = grids.each_ref().map(|grid| told(grid.read(query)));
                    assert!(
                        now.iter().all(|answer| *answer == now[0]),
                        "{}, seed {seed}, step {step}: {query:?}: {now:#?}",
                        kind.name
                    );
                    for snapshots in &snapshots {
                        let then = snapshots
                            .each_ref()
                            .map(|snapshot| told(snapshot.grid("a").unwrap().read(query)));
                        assert!(
                            then.iter().all(|answer| *answer == then[0]),
                            "{}, seed {seed}, step {step}: {query:?}",
                            kind.name
                        );
                    }
                }
            }
            let stats = grids.each_ref().map(|grid| grid.store().stats().unwrap());
            assert_eq!(
                (
                    stats[0].chunks_cached,
                    stats[0].chunks_not_cached,
                    stats[0].chunk_cache_bytes
                ),
                (0, 0, 0)
            );
            assert!(stats[1].chunk_cache_bytes <= CACHES[1], "{:?}", stats[1]);
            hits += stats[2].chunks_cached;
            full += stats[1].chunks_cached;
        }
        // Chunks of events are not kept.
        assert!(
            kind.is_irregular() || hits > 100 && full > 0,
            "{}: {hits} and {full} hits",
            kind.name
        );
    }
}

fn plain() -> gridstone::Schema {
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, 1.0, 16), Axis::new("x", 0.0, 1.0, 16)],
    );
    schema([space], DType::I32, None, &[])
}

#[test]
fn a_chunk_is_kept_from_its_second_read_on_and_a_write_makes_another() {
    let store = Store::in_memory().unwrap();
    let grid = store.create("a", plain()).unwrap();
    let window = Window::new([0, 0], [32, 32]);
    let read = || {
        let answer = grid.read(&Query::window(window)).unwrap();
        assert_eq!(answer.chunks_read, 4);
        let stats = store.stats().unwrap();
        (
            answer.array.iter_f64().next().unwrap(),
            stats.chunks_cached,
            stats.chunk_cache_bytes >= 4 * 1024,
        )
    };
    grid.put(
        &window,
        &Array2::from_shape_fn((32, 32), |(y, x)| i32::try_from(y * x + 1).unwrap()),
    )
    .unwrap();
    assert_eq!(
        [read(), read(), read(), read()],
        [
            (1.0, 0, false),
            (1.0, 0, true),
            (1.0, 4, true),
            (1.0, 8, true)
        ]
    );
    let before = grid.stats().unwrap().chunks_read;
    read();
    assert_eq!(
        grid.stats().unwrap().chunks_read,
        before,
        "nothing was decoded"
    );
    grid.put(&Window::new([0, 0], [1, 1]), &Array2::from_elem((1, 1), 7))
        .unwrap();
    // The other three are as they were.
    assert_eq!(read(), (7.0, 15, true));
}

/// A reader sees one commit as a whole, and none that is older than what it saw before.
#[test]
fn readers_beside_a_writer_see_whole_commits_in_their_order() {
    let store = Store::options()
        .chunk_cache(40 << 10)
        .open_engine(Arc::new(Memory::new()))
        .unwrap();
    let grid = store.create("a", plain()).unwrap();
    let all = Window::new([0, 0], [64, 64]);
    let put = |value: i32| {
        grid.put(
            &all,
            &Array2::from_shape_fn((64, 64), |(y, x)| {
                value + i32::try_from((y + x) % 2 * 100_000).unwrap()
            }),
        )
    };
    put(0).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in 0..3 {
            let (grid, done) = (&grid, &done);
            scope.spawn(move || {
                let (mut dice, mut last) = (Dice(seed), 0.0);
                while !done.load(Ordering::Acquire) {
                    let (y, x) = (dice.range(0, 60), dice.range(0, 60));
                    let window = Window::new(
                        [y, x],
                        [
                            dice.range(1, 64 - y).unsigned_abs(),
                            dice.range(1, 64 - x).unsigned_abs(),
                        ],
                    );
                    let answer = grid.read(&Query::window(window)).unwrap();
                    let values: Vec<f64> = answer
                        .array
                        .iter_f64()
                        .map(|value| value % 100_000.0)
                        .collect();
                    assert!(
                        values.iter().all(|value| *value == values[0]) && values[0] >= last,
                        "{window:?}: {values:?} after {last}"
                    );
                    last = values[0];
                }
            });
        }
        for value in 1..300 {
            put(value).unwrap();
            for _ in 0..3 {
                grid.read(&Query::window(Window::new([0, 0], [20, 20])))
                    .unwrap();
            }
        }
        done.store(true, Ordering::Release);
    });
    let stats = store.stats().unwrap();
    assert!(
        stats.chunks_cached > 100 && stats.chunk_cache_bytes <= 40 << 10,
        "{stats:?}"
    );
}

#[test]
fn a_window_of_more_chunks_than_half_of_the_cache_leaves_it_alone() {
    let store = Store::options()
        .chunk_cache(16 << 10)
        .open_engine(Arc::new(Memory::new()))
        .unwrap();
    let grid = store
        .create("a", schema([line("x", 1024)], DType::I32, None, &[]))
        .unwrap();
    grid.put(
        &Window::new([0], [4096]),
        &ndarray::Array1::from_iter(0..4096),
    )
    .unwrap();
    for _ in 0..4 {
        grid.read(&Query::window(Window::new([0], [4096]))).unwrap();
    }
    assert_eq!(store.stats().unwrap().chunk_cache_bytes, 0);
    for _ in 0..4 {
        grid.read(&Query::window(Window::new([5], [1024]))).unwrap();
    }
    assert_eq!(store.stats().unwrap().chunks_cached, 4);
}
