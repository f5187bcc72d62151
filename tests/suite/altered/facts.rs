//! What holds of layers that are added: the first one of a grid, several at once, cuts, writers
//! beside it, and what is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gridstone::kv::{Batch, Durability, Engine, Failure, Faulty, KeyRange, Memory, Order, Space};
use gridstone::{
    Aggregation, Axis, DType, Dimension, ErrorKind, Freshness, Grid, Policy, Schema, SchemaBuilder,
    Store, Structure, Window,
};
use ndarray::Array1;

use super::{added, change_events, events, query, same, same_everywhere, store, without};
use crate::check::{self, Dice};

fn line() -> Schema {
    let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 4)]);
    let structure = Structure::builder().dimension(x).build().unwrap();
    Schema::builder(structure, DType::I16)
        .aggregator(Aggregation::Sum)
        .build()
        .unwrap()
}

fn put(grid: &Grid, at: i64, value: i16) {
    grid.put(&Window::new([at], [9]), &Array1::from_elem(9, value))
        .unwrap();
}

fn prepared(store: &Store, layered: bool) -> Grid {
    let layer = layered.then_some(Aggregation::Max);
    let schema = layer
        .into_iter()
        .fold(SchemaBuilder::from(line()), SchemaBuilder::aggregator);
    let grid = store.create("grid", schema.build().unwrap()).unwrap();
    put(&grid, -20, 3);
    put(&grid, 50, 4);
    grid.aggregate().unwrap();
    put(&grid, 0, 5);
    grid
}

/// After a cut at any call the layer is there whole, marked, or not at all.
#[test]
fn i5_i10_adding_a_layer_that_is_cut_at_any_call_is_done_or_not() {
    let plain = store(Policy::Manual);
    let reference = prepared(&plain, true);
    reference.aggregate().unwrap();
    let (mut with, mut without) = (0, 0);
    for failure in [Failure::Before, Failure::After] {
        for call in 0.. {
            let host = Arc::new(Faulty::new(Memory::new()));
            let open = Store::options().policy(Policy::Manual).identity(1);
            let store = open
                .open_engine(Arc::clone(&host) as Arc<dyn Engine>)
                .unwrap();
            prepared(&store, false);
            host.fail_from(call, failure);
            let done = store
                .add_aggregator("grid", Aggregation::Max)
                .and_then(|grid| grid.aggregate());
            let engine = host.engine();
            let left = (0..=engine.unsynced())
                .map(|keep| engine.crash(keep))
                .chain([engine.reopen()]);
            for engine in left {
                let store = Store::options()
                    .policy(Policy::Manual)
                    .open_engine(Arc::new(engine))
                    .unwrap();
                assert_eq!(store.verify().unwrap().findings, [], "call {call} fails");
                let mut grid = store.grid("grid").unwrap();
                if grid.schema() == reference.schema() {
                    with += 1;
                } else {
                    without += 1;
                    assert!(done.is_err(), "a layer that was added is there");
                    grid = store.add_aggregator("grid", Aggregation::Max).unwrap();
                }
                same(&mut Dice(call), &grid, &reference).unwrap();
                grid.aggregate().unwrap();
                assert_eq!(
                    grid.stored_chunks().unwrap(),
                    reference.stored_chunks().unwrap()
                );
                assert_eq!(store.verify().unwrap().findings, [], "call {call} fails");
            }
            if done.is_ok() {
                break;
            }
        }
    }
    assert!(
        with > 10 && without > 10,
        "{with} with it, {without} without"
    );
}

/// Writers, and the threads of the background, while layers are added.
#[test]
fn i6_i7_layers_are_added_while_others_write() {
    let store = Store::options()
        .policy(Policy::Background)
        .open_engine(Arc::new(Memory::new()) as Arc<dyn Engine>)
        .unwrap();
    let first = store.create("grid", line()).unwrap();
    put(&first, 0, 1);
    let (done, expired) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for writer in 0..2_i64 {
            let (store, done, expired) = (&store, &done, &expired);
            scope.spawn(move || {
                let mut grid = store.grid("grid").unwrap();
                for round in 0_i64.. {
                    if done.load(Ordering::SeqCst) && round > 50 {
                        break;
                    }
                    let at = (round * 37 + writer * 11) % 200;
                    let value = i16::try_from(round % 1000).unwrap();
                    let mut batch = store.batch().durability(Durability::Buffered);
                    let cells = Array1::from_elem(9, value);
                    batch.put(&grid, &Window::new([at], [9]), &cells).unwrap();
                    match batch.commit() {
                        Err(error) if *error.kind() == ErrorKind::Expired => {
                            expired.store(true, Ordering::SeqCst);
                            grid = store.grid("grid").unwrap();
                        }
                        committed => drop(committed.unwrap()),
                    }
                }
            });
        }
        for layer in added() {
            if layer != Aggregation::Sum {
                store.add_aggregator("grid", layer).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
        done.store(true, Ordering::SeqCst);
    });
    assert!(expired.load(Ordering::SeqCst), "a writer was refused");
    let grid = store.grid("grid").unwrap();
    assert_eq!(grid.schema().aggregators().len(), 6);
    grid.aggregate().unwrap();
    assert_eq!(store.verify().unwrap().findings, []);
    assert_eq!(grid.marks().unwrap(), 0);
}

#[test]
fn what_cannot_be_added_is_refused() {
    let store = store(Policy::Manual);
    let grid = prepared(&store, false);
    for (layer, kind, what) in [
        (
            "sum",
            ErrorKind::AlreadyExists,
            "has the layer `sum` already",
        ),
        ("first:time", ErrorKind::Invalid, "time"),
        ("unheard_of", ErrorKind::Invalid, "unheard_of"),
    ] {
        let error = store
            .add_aggregator("grid", layer.parse().unwrap())
            .unwrap_err();
        assert_eq!(error.kind(), &kind, "{error}");
        let told = error.to_string();
        assert!(
            told.contains(what) && told.contains("grid `grid`"),
            "{told}"
        );
    }
    let error = store.add_aggregator("other", Aggregation::Max).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::NotFound, "{error}");
    assert_eq!(store.grid("grid").unwrap().schema(), grid.schema());
}

/// A grid without layers, on which no mark was ever left, and the same with one from the start.
fn bare_and_whole(
    policy: Policy,
    schema: &Schema,
    change: &dyn Fn(&mut Dice, &Grid),
) -> [(Store, Grid); 2] {
    let layers = schema.aggregators();
    [without(schema, layers), schema.clone()].map(|schema| {
        let store = store(policy);
        let grid = store.create("grid", schema).unwrap();
        (0..12).for_each(|seed| change(&mut Dice(seed), &grid));
        (store, grid)
    })
}

#[test]
fn i7_the_first_layer_of_a_grid_is_marked_up_to_the_top() {
    let puts = |dice: &mut Dice, grid: &Grid| put(grid, dice.range(-90, 90), 7);
    type Case<'a> = (Schema, &'a dyn Fn(&mut Dice, &Grid));
    let cases: [Case<'_>; 2] = [(line(), &puts), (events(), &change_events)];
    for (schema, change) in cases {
        let layer = &schema.aggregators()[0];
        let [(bare, old), (_, whole)] = bare_and_whole(Policy::Manual, &schema, change);
        assert_eq!((old.marks().unwrap(), old.reach().unwrap()), (0, None));
        let grid = bare.add_aggregator("grid", layer.clone()).unwrap();
        let top = grid.top().unwrap().unwrap().levels();
        assert_eq!(grid.reach().unwrap(), Some(top));
        assert!(grid.marks().unwrap() > 0, "all above the base is marked");
        assert_eq!(bare.verify().unwrap().findings, []);
        let stored = grid
            .read(&query(&grid, layer, top, Freshness::Stored))
            .unwrap();
        assert!(!stored.stale.is_empty(), "nothing is there yet");
        same_everywhere(&mut Dice(1), &grid, &whole).unwrap();
        assert_eq!(old.stored_chunks().unwrap(), old.base_chunks().unwrap());
        // A step at a time, a read is right.
        while grid.aggregate_step().unwrap().is_some() {
            assert_eq!(bare.verify().unwrap().findings, []);
            same_everywhere(&mut Dice(2), &grid, &whole).unwrap();
        }
        whole.aggregate().unwrap();
        assert_eq!(
            grid.stored_chunks().unwrap(),
            whole.stored_chunks().unwrap()
        );
        assert_eq!(grid.reach().unwrap(), whole.reach().unwrap());
    }
}

/// The threads of the background hear of it from the marks.
#[test]
fn i7_the_first_layer_of_a_grid_is_filled_in_the_background() {
    let [(bare, _), (_, whole)] = bare_and_whole(Policy::Background, &events(), &change_events);
    let grid = bare.add_aggregator("grid", Aggregation::Count).unwrap();
    let most = std::time::Duration::from_secs(60);
    let last = grid.clear(&grid.bounds().unwrap().unwrap().along(0, 1 << 40, 1));
    grid.wait(last.unwrap().sequence, most).unwrap();
    whole.aggregate().unwrap();
    assert_eq!(grid.marks().unwrap(), 0);
    assert_eq!(
        grid.stored_chunks().unwrap(),
        whole.stored_chunks().unwrap()
    );
}

/// Whoever writes to a grid without layers leaves no marks, so that a layer is added to it as it
/// is, or not at all.
#[test]
fn i6_i7_the_first_layers_are_added_while_others_write() {
    let store = store(Policy::Background);
    let start = without(&line(), line().aggregators());
    put(&store.create("grid", start).unwrap(), 0, 1);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2_i64 {
            let (store, done) = (&store, &done);
            scope.spawn(move || {
                for round in 0_i64.. {
                    if done.load(Ordering::SeqCst) && round > 50 {
                        break;
                    }
                    let grid = store.grid("grid").unwrap();
                    let window = Window::new([(round * 37 + writer * 11) % 200], [9]);
                    match grid.put(&window, &Array1::from_elem(9, 5_i16)) {
                        Err(error) if *error.kind() == ErrorKind::Expired => {}
                        put => drop(put.unwrap()),
                    }
                }
            });
        }
        store
            .add_aggregators("grid", [Aggregation::Max, Aggregation::Mean])
            .unwrap();
        done.store(true, Ordering::SeqCst);
    });
    let grid = store.grid("grid").unwrap();
    grid.aggregate().unwrap();
    assert_eq!(store.verify().unwrap().findings, []);
    assert_eq!(grid.marks().unwrap(), 0);
}

/// Of several layers all are there, or none.
#[test]
fn layers_that_cannot_be_added_together_are_not_added_alone() {
    let store = store(Policy::Manual);
    let grid = prepared(&store, false);
    let before = (grid.marks().unwrap(), grid.stored_chunks().unwrap());
    let layers = |names: &[&str]| -> Vec<Aggregation> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    };
    for (names, kind, what) in [
        (
            &["std", "std"][..],
            ErrorKind::Invalid,
            "`std` is given twice",
        ),
        (
            &["max", "sum"],
            ErrorKind::AlreadyExists,
            "the layer `sum` already",
        ),
        (&["max", "first:time"], ErrorKind::Invalid, "time"),
        (&[], ErrorKind::Invalid, "no aggregator is named"),
    ] {
        let error = store.add_aggregators("grid", layers(names)).unwrap_err();
        assert_eq!(error.kind(), &kind, "{error}");
        let told = error.to_string();
        assert!(
            told.contains(what) && told.contains("grid `grid`"),
            "{told}"
        );
        let found = store.grid("grid").unwrap();
        assert_eq!(found.schema(), grid.schema());
        assert_eq!(
            (found.marks().unwrap(), found.stored_chunks().unwrap()),
            before
        );
    }
    let both = store
        .add_aggregators("grid", layers(&["max", "std"]))
        .unwrap();
    assert_eq!(both.schema().aggregators(), layers(&["sum", "max", "std"]));
}

/// What cannot be read of a schema's record is no other schema.
#[test]
fn a_damaged_schema_is_told_from_one_with_another_layer() {
    let engine: Arc<Memory> = Arc::default();
    let store = check::open(&engine, Policy::Manual);
    let grid = prepared(&store, false);
    let snapshot = engine.snapshot().unwrap();
    let all = snapshot
        .scan(Space::Meta, &KeyRange::all(), Order::Ascending, usize::MAX)
        .unwrap();
    let of_schema = |key: &[u8]| key.starts_with(b"schema/");
    let (key, record) = all.entries.iter().find(|(key, _)| of_schema(key)).unwrap();
    let committed = |record: &[u8]| {
        let mut batch = Batch::at(engine.snapshot().unwrap().as_ref());
        batch.put(Space::Meta, key.clone(), record.to_vec());
        engine.commit(batch, Durability::Sync).unwrap();
    };
    let mut flipped = record.clone();
    let middle = record.len() / 2;
    flipped[middle] ^= 4;
    committed(&flipped);
    put(&grid, 0, 1);
    let mut damaged = flipped.clone();
    damaged[middle + 1] ^= 1;
    committed(&damaged);
    let window = Window::new([0], [9]);
    for refused in [
        grid.put(&window, &Array1::from_elem(9, 2_i16)).map(drop),
        grid.clear(&window).map(drop),
        grid.aggregate().map(drop),
        grid.clean().map(drop),
        store.grid("grid").map(drop),
        store.add_aggregator("grid", Aggregation::Max).map(drop),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("grid `grid`"), "{error}");
    }
    committed(record);
    put(&grid, 0, 3);
    store.add_aggregator("grid", Aggregation::Max).unwrap();
    let error = grid.clear(&window).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Expired, "{error}");
}
