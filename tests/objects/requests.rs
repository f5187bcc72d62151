//! Requests are what reads from object storage cost: few one after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gridstone::kv::{Batch, Durability, Engine, Space};
use gridstone::{Policy, Query, Store, Window};
use ndarray::Array2;

use crate::conformance::options;
use crate::failing::{Failing, Weather};
use crate::grids;

/// Values that no codec makes small.
fn noise(y: usize, x: usize) -> i32 {
    let mixed = u32::try_from(y * 4096 + x)
        .unwrap()
        .wrapping_mul(0x9e37_79b9);
    i32::from_ne_bytes((mixed ^ mixed.rotate_left(13)).to_ne_bytes()) & i32::MAX
}

#[test]
fn a_cold_window_takes_few_requests_one_after_the_other() {
    const SIDE: usize = 1024;
    // Long beside what threads wait for each other on a busy machine.
    const TAKES: Duration = Duration::from_millis(250);
    let objects = Failing::new(1);
    let engine = objects.open(&options()).unwrap();
    let engine: Arc<dyn Engine> = Arc::new(engine);
    let store = grids::store(Arc::clone(&engine), Policy::Inline).unwrap();
    // A chunk fills a block of its own.
    let grid = store.create("g", grids::schema_in_chunks_of(64)).unwrap();
    let values = Array2::from_shape_fn((SIDE, SIDE), |(y, x)| noise(y, x));
    let side = u64::try_from(SIDE).unwrap();
    grid.put(&Window::new([0, 0], [side, side]), &values)
        .unwrap();
    drop((grid, store, engine));

    let mut options = options();
    options.create = false;
    options.age_max = Duration::from_secs(60);
    let reader = objects.read(&options).unwrap();
    let store = Store::options()
        .read_only(true)
        .open_engine(Arc::new(reader))
        .unwrap();
    let grid = store.grid("g").unwrap();
    // What every read needs of a table is read along with the opening.
    std::thread::sleep(Duration::from_millis(300));
    objects.set(Weather {
        takes: TAKES,
        ..Weather::default()
    });
    for (window, chunks) in [([8, 8], 1), ([512, 512], 81), ([900, 900], 225)] {
        let query = Query::window(Window::new([40, 40], window));
        let (requests, rounds) = objects.counts().so_far();
        let start = Instant::now();
        let answer = grid.read(&query).unwrap();
        let times = start.elapsed().as_secs_f64() / TAKES.as_secs_f64();
        let (requests, rounds) = {
            let (all, in_row) = objects.counts().so_far();
            (all - requests, in_row - rounds)
        };
        let first = answer.array.iter_f64().next().unwrap();
        assert_eq!(first, f64::from(noise(40, 40)));
        eprintln!(
            "{chunks} chunks: {requests} requests, {rounds} one after the other, {times:.1} times as long as one"
        );
        assert!(
            rounds <= 8,
            "{rounds} requests one after the other for {chunks} chunks"
        );
        assert!(
            requests <= 2 * chunks + 16,
            "{requests} requests for {chunks} chunks"
        );
    }
}

#[test]
fn commits_share_the_objects_that_they_are_written_in() {
    let objects = Failing::new(1);
    let engine = objects.open(&options()).unwrap();
    objects.set(Weather {
        takes: Duration::from_millis(20),
        ..Weather::default()
    });
    let before = objects.counts().writes();
    std::thread::scope(|scope| {
        for thread in 0..8u8 {
            let engine = &engine;
            scope.spawn(move || {
                for round in 0..10u8 {
                    let mut batch = Batch::default();
                    batch.put(Space::Base, vec![thread, round], vec![0; 100]);
                    engine.commit(batch, Durability::Sync).unwrap();
                }
            });
        }
    });
    let written = objects.counts().writes() - before;
    assert!(
        written < 60,
        "{written} objects for 80 commits of 8 threads"
    );
}
