//! Requests are what reads from object storage cost: few one after the other.

use std::sync::Arc;
use std::time::Duration;

use gridstone::kv::{Batch, Durability, Engine, KeyRange, SlateOptions, Space};
use gridstone::{Aggregation, Layer, Policy, Query, Window};
use ndarray::Array2;

use crate::conformance::options;
use crate::failing::{Failing, Request, Verb, Weather, in_a_row};
use crate::grids;

/// Values that no codec makes small.
fn noise(y: usize, x: usize) -> i32 {
    let mixed = u32::try_from(y * 4096 + x)
        .unwrap()
        .wrapping_mul(0x9e37_79b9);
    i32::from_ne_bytes((mixed ^ mixed.rotate_left(13)).to_ne_bytes()) & i32::MAX
}

const SIDE: usize = 1024;
/// Long beside what threads wait for each other on a busy machine.
const TAKES: Duration = Duration::from_millis(250);

/// A grid full of noise in chunks of 64 x 64, each of which fills a block of its own. What it was
/// put with is closed.
fn filled(options: &SlateOptions) -> Arc<Failing> {
    let objects = Failing::new(1);
    let engine: Arc<dyn Engine> = Arc::new(objects.open(options).unwrap());
    let store = grids::store(Arc::clone(&engine), Policy::Inline).unwrap();
    let grid = store.create("g", grids::schema_in_chunks_of(64)).unwrap();
    let values = Array2::from_shape_fn((SIDE, SIDE), |(y, x)| noise(y, x));
    let side = u64::try_from(SIDE).unwrap();
    grid.put(&Window::new([0, 0], [side, side]), &values)
        .unwrap();
    for space in Space::ALL {
        engine.compact(space, &KeyRange::all()).unwrap();
    }
    objects
}

/// How many requests follow one another when a process that has just opened a store reads a window
/// of so many chunks.
fn cold(objects: &Arc<Failing>, options: &SlateOptions, query: &Query, chunks: usize) -> usize {
    let mut options = options.clone();
    options.create = false;
    options.age_max = Duration::from_secs(600);
    objects.set(Weather::default());
    let store = grids::beside(objects, &options).unwrap();
    let grid = store.grid("g").unwrap();
    // What is asked for along with the opening is there.
    let mut before = 0;
    while before != objects.counts().so_far() {
        before = objects.counts().so_far();
        std::thread::sleep(TAKES);
    }
    objects.set(Weather {
        takes: TAKES,
        ..Weather::default()
    });
    let answer = grid.read(query).unwrap();
    assert_eq!(answer.chunks_read, chunks as u64);
    let requests = objects.counts().since(before);
    objects.set(Weather::default());
    let again = grid.read(query).unwrap();
    assert_eq!(again.array, answer.array);
    let of_tables = |of: &Request| of.verb == Verb::Get && of.path.contains("/compacted/");
    assert!(requests.iter().all(of_tables), "{requests:?}");
    let count = requests.len();
    let row = in_a_row(requests);
    eprintln!("{chunks} chunks: {count} requests, {row} one after the other");
    assert!(
        count <= 2 * chunks + 40,
        "{count} requests for {chunks} chunks"
    );
    row
}

/// Windows of base cells and of sums, and the chunks that they are read from.
fn windows() -> Vec<(Query, usize)> {
    let window = |side: u64| Window::new([40, 40], [side, side]);
    let base = [(8, 1), (512, 81), (900, 225)];
    let base = base.map(|(side, chunks)| (Query::window(window(side)), chunks));
    let sums = Query::window(window(512))
        .levels(grids::at(1))
        .layer(Layer::Aggregate(Aggregation::Sum));
    base.into_iter().chain([(sums, 25)]).collect()
}

#[test]
fn a_cold_window_takes_three_requests_one_after_the_other_at_most() {
    let options = options();
    let objects = filled(&options);
    for (query, chunks) in windows() {
        let row = cold(&objects, &options, &query, chunks);
        assert!(row <= 3, "{row} one after the other for {chunks} chunks");
    }
}

#[test]
fn in_a_store_of_many_tables_it_takes_one_more_for_what_is_where_in_them() {
    let mut options = options();
    options.table_bytes = 128 << 10;
    options.warmed_tables = 8;
    let objects = filled(&options);
    for (query, chunks) in windows() {
        let row = cold(&objects, &options, &query, chunks);
        assert!(row <= 4, "{row} one after the other for {chunks} chunks");
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
