//! Shards move while they are written to and read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use gridstone::federation::{Columns, Federation, FederationOptions, Shards};
use gridstone::kv::Failure;
use gridstone::{Aggregation, DType, ErrorKind, Freshness, Layer, Policy, Query, Schema, Window};
use ndarray::{Array1, Array2};

use super::{Engines, line};
use crate::check::structure;

fn schema() -> Schema {
    Schema::builder(structure([line("x", 16)]), DType::F32)
        .aggregator(Aggregation::Sum)
        .build()
        .unwrap()
}

fn halves(west: &str, east: &str) -> Shards {
    Shards::of("x", 2)
        .shard("west", west, [Columns::new([-4], [4])])
        .shard("east", east, [Columns::new([0], [4])])
}

/// The grid in two shards.
fn made(options: FederationOptions) -> Federation {
    options
        .create("top", "a", schema(), &halves("place/west", "place/east"))
        .unwrap()
}

/// Each put that returned is there after the shard moved, twice, under it; so is what other
/// processes read.
#[test]
fn no_put_that_returned_is_lost_by_a_move() {
    let engines = Engines::default();
    let federation = made(engines.options(Policy::Inline));
    let reader = engines
        .options(Policy::Inline)
        .read_only()
        .open("top")
        .unwrap();
    let (next, over) = (AtomicI64::new(-200), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let put = || {
            let one = Array1::from_elem(1, 1.0_f32);
            while !over.load(Ordering::Relaxed) {
                let cell = next.fetch_add(1, Ordering::Relaxed);
                if cell >= 200 {
                    break;
                }
                federation.put(&Window::new([cell], [1]), &one).unwrap();
            }
        };
        let writers = [scope.spawn(put), scope.spawn(put)];
        federation.move_shard("west", "moved/west").unwrap();
        federation.catch_up().unwrap();
        federation.move_shard("east", "moved/east").unwrap();
        federation.move_shard("west", "moved/again").unwrap();
        for writer in writers {
            writer.join().unwrap();
        }
    });
    let put = next.load(Ordering::Relaxed).min(200) + 200;
    let places: Vec<String> = federation
        .shards()
        .iter()
        .map(|info| info.shard.place().to_owned())
        .collect();
    assert_eq!(places, ["moved/again", "moved/east"]);
    let count = |federation: &Federation| {
        let answer = federation.grid().unwrap().read(&Query::all()).unwrap();
        i64::try_from(answer.values().flatten().count()).unwrap()
    };
    assert_eq!(count(&federation), put);
    assert_eq!(count(&reader), put, "who only reads follows the manifest");
    federation.catch_up().unwrap();
    let coarse = Query::all()
        .level("x", 4)
        .layer(Layer::Aggregate(Aggregation::Sum));
    let stored = federation.grid().unwrap().read(&coarse).unwrap();
    let fresh = federation
        .grid()
        .unwrap()
        .read(&coarse.freshness(Freshness::Fresh))
        .unwrap();
    assert_eq!(stored.stale, []);
    assert_eq!(stored.array, fresh.array);
    assert_eq!(stored.values().flatten().sum::<f64>(), put as f64);
    let missing = federation.move_shard("north", "moved/north").unwrap_err();
    assert_eq!(missing.kind(), &ErrorKind::NotFound);
}

#[test]
fn a_move_that_fails_leaves_the_shard_where_it_was() {
    let engines = Engines::default();
    let federation = made(engines.options(Policy::Inline));
    let one = Array1::from_elem(1, 1.0_f32);
    federation.put(&Window::new([-101], [1]), &one).unwrap();
    let taken = federation.move_shard("west", "place/east").unwrap_err();
    assert_eq!(taken.kind(), &ErrorKind::Invalid, "{taken:?}");
    let engine = engines.of("moved");
    engine.fail_from(9, Failure::Before);
    federation.move_shard("west", "moved").unwrap_err();
    federation.put(&Window::new([-102], [1]), &one).unwrap();
    let all = federation.grid().unwrap().read(&Query::all()).unwrap();
    assert_eq!(all.values().flatten().count(), 2);
    assert_eq!(federation.shards()[0].shard.place(), "place/west");
    assert_eq!(federation.shards()[0].failure, None);
}

/// Whichever call of the top's store fails first while a shard moves: what is put afterwards is
/// refused, or is there once the federation is opened again.
#[test]
fn no_put_that_returned_is_lost_by_a_move_that_failed() {
    let mut refused = 0;
    for (failure, call) in [Failure::Before, Failure::After]
        .into_iter()
        .flat_map(|failure| (0..24).map(move |call| (failure, call)))
    {
        let engines = Engines::default();
        let federation = made(engines.options(Policy::Inline));
        let one = Array1::from_elem(1, 1.0_f32);
        federation.put(&Window::new([-101], [1]), &one).unwrap();
        engines.of("top").fail_from(call, failure);
        let moved = federation.move_shard("west", "moved");
        engines.of("top").heal();
        let put = federation.put(&Window::new([-102], [1]), &one);
        drop(federation);
        let federation = engines.options(Policy::Inline).open("top").unwrap();
        let all = federation.grid().unwrap().read(&Query::all()).unwrap();
        assert_eq!(
            all.values().flatten().count(),
            1 + usize::from(put.is_ok()),
            "{failure:?} of call {call}: {moved:?}, then {put:?}"
        );
        refused += usize::from(put.is_err());
    }
    assert!(refused > 0, "some commit of the manifest fails");
}

/// A thread that reads meanwhile does not open the copy beside the one that moves the shard: of two
/// that write to a store one is fenced.
#[test]
fn a_shard_that_moves_is_opened_by_who_moves_it() {
    const MOVES: usize = 20;
    let (engines, opened) = (Engines::default(), Arc::new(AtomicUsize::new(0)));
    let options = {
        let (engines, opened) = (engines.clone(), Arc::clone(&opened));
        engines
            .options(Policy::Inline)
            .opener(move |place, options| {
                opened.fetch_add(usize::from(place.starts_with("moved")), Ordering::Relaxed);
                options.open_engine(engines.of(place))
            })
    };
    let federation = made(options);
    let over = AtomicBool::new(false);
    let moved: Vec<_> = std::thread::scope(|scope| {
        let read = || {
            while !over.load(Ordering::Relaxed) {
                federation.grid().unwrap();
            }
        };
        let readers = [scope.spawn(read), scope.spawn(read), scope.spawn(read)];
        let moved = (0..MOVES)
            .map(|number| federation.move_shard("west", &format!("moved/{number}")))
            .collect();
        over.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
        moved
    });
    moved.into_iter().for_each(Result::unwrap);
    // To be copied into, and to be the shard.
    assert_eq!(opened.load(Ordering::Relaxed), 2 * MOVES);
}

/// A process that opens the old store while it is copied gets no put into it, before the manifest
/// names the copy or after; nor does one that read the manifest before. Who only reads has what is
/// there.
#[test]
fn a_shard_that_is_left_takes_no_puts() {
    let engines = Engines::default();
    let other = engines.options(Policy::Inline).only(["west"]);
    let tried = Arc::new(AtomicUsize::new(0));
    let one = Array1::from_elem(1, 1.0_f32);
    let options = {
        let (engines, other, one) = (engines.clone(), other.clone(), one.clone());
        let tried = Arc::clone(&tried);
        engines
            .options(Policy::Inline)
            .opener(move |place, options| {
                if place == "moved" {
                    let other = other.clone().open("top").unwrap();
                    let error = other.put(&Window::new([-102], [1]), &one).unwrap_err();
                    assert_eq!(error.kind(), &ErrorKind::Unavailable, "{error:?}");
                    let reader = other.grid().unwrap();
                    assert!(
                        reader.read(&Query::all()).is_err(),
                        "west is not known here"
                    );
                    let reader = engines.options(Policy::Inline).read_only();
                    let grid = reader.open("top").unwrap().grid().unwrap();
                    let all = grid.read(&Query::all()).unwrap();
                    assert_eq!(all.values().flatten().count(), 1);
                    tried.fetch_add(1, Ordering::Relaxed);
                }
                options.open_engine(engines.of(place))
            })
    };
    let federation = made(options);
    federation.put(&Window::new([-101], [1]), &one).unwrap();
    // The move fails once the old store is left: it is taken for the shard again, by this process
    // at once.
    engines.of("moved").fail_from(9, Failure::Before);
    federation.move_shard("west", "moved").unwrap_err();
    assert!(tried.load(Ordering::Relaxed) > 0);
    federation.put(&Window::new([-103], [1]), &one).unwrap();
    let writer = other.clone().open("top").unwrap();
    writer.put(&Window::new([-104], [1]), &one).unwrap();
    drop(writer);
    federation.move_shard("west", "moved/again").unwrap();
    federation.put(&Window::new([-105], [1]), &one).unwrap();
    let all = federation.grid().unwrap().read(&Query::all()).unwrap();
    assert_eq!(all.values().flatten().count(), 4);
}

/// The same in directories: of RocksDB, with checkpoints.
#[cfg(feature = "rocksdb")]
#[test]
fn shards_in_directories_are_made_read_and_moved() {
    use gridstone::{Axis, Dimension};

    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 16), Axis::new("x", 0.0, 1.0, 16)],
    );
    let schema = Schema::builder(structure([space]), DType::F32)
        .aggregator(Aggregation::Mean)
        .build()
        .unwrap();
    let shards = Shards::of("space", 2)
        .shard("west", place("west"), [Columns::new([-2, -2], [4, 2])])
        .shard("east", place("east"), [Columns::new([-2, 0], [4, 2])]);
    let federation = Federation::create(&place("top"), "dem", schema.clone(), &shards).unwrap();
    let single = gridstone::Store::in_memory()
        .unwrap()
        .create("dem", schema)
        .unwrap();
    let array = Array2::from_shape_fn((100, 160), |(y, x)| (y * 7 + x * 3) as f32);
    let window = Window::new([-40, -80], [100, 160]);
    let placed = federation.put(&window, &array).unwrap();
    assert_eq!(placed.len(), 2);
    single.put(&window, &array).unwrap();
    federation.catch_up().unwrap();
    let coarse = Query::all()
        .level("space", 4)
        .layer(Layer::Aggregate(Aggregation::Mean));
    let want = single.read(&coarse).unwrap().array;
    let read = |federation: &Federation| {
        let answer = federation.grid().unwrap().read(&coarse).unwrap();
        assert_eq!(answer.stale, []);
        answer.array
    };
    assert_eq!(read(&federation), want);
    let full = federation.move_shard("east", &place("west")).unwrap_err();
    assert_eq!(full.kind(), &ErrorKind::Invalid, "{full:?}");
    federation.move_shard("east", &place("elsewhere")).unwrap();
    federation.catch_up().unwrap();
    assert_eq!(read(&federation), want);
    let one = Array2::from_elem((1, 1), 1e6_f32);
    let cell = Window::new([3, 70], [1, 1]);
    federation.put(&cell, &one).unwrap();
    single.put(&cell, &one).unwrap();
    drop(federation);
    std::fs::remove_dir_all(place("east")).unwrap();
    let federation = Federation::open(&place("top")).unwrap();
    federation.catch_up().unwrap();
    assert_eq!(read(&federation), single.read(&coarse).unwrap().array);
}
