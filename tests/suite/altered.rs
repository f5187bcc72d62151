//! A layer is added to a grid that holds data: it is right from the first moment, whatever happens
//! meanwhile, and the others stay as they are.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gridstone::kv::{Durability, Engine, Failure, Faulty, Memory};
use gridstone::{
    Aggregation, Axis, DType, Dimension, ErrorKind, Freshness, Grid, Layer, Level, Levels, Overlap,
    Policy, Query, Schema, SchemaBuilder, Store, Structure, Window,
};
use ndarray::{Array1, Array3};
use proptest::prelude::*;

use crate::check::{self, Dice};
use crate::copies::model::{change, pair};

/// What can be added.
fn added() -> [Aggregation; 6] {
    [
        Aggregation::Max,
        Aggregation::Sum,
        Aggregation::Std,
        Aggregation::Sample,
        Aggregation::Mode { classes: 4 },
        Aggregation::Mean,
    ]
}

fn store(policy: Policy) -> Store {
    Store::options()
        .policy(policy)
        .open_engine(Arc::new(Memory::new()) as Arc<dyn Engine>)
        .unwrap()
}

/// Levels of a grid's pyramid.
fn levels(dice: &mut Dice, grid: &Grid) -> Option<Levels> {
    let (base, top) = (grid.base_levels().unwrap()?, grid.top().unwrap()?);
    let one = |(low, high): (&Level, &Level)| {
        let (low, high) = (i64::from(low.get()), i64::from(high.get()).min(6));
        Level::new(i8::try_from(dice.range(low, high.max(low))).unwrap()).unwrap()
    };
    Some(base.iter().zip(top.levels().iter()).map(one).collect())
}

type Cells = Vec<Option<u64>>;

fn values(answer: &gridstone::Answer) -> Cells {
    let bits = |value: Option<f64>| value.map(f64::to_bits);
    answer.values().map(bits).collect()
}

/// The query for a layer at some levels, of all that was put.
fn query(grid: &Grid, layer: &Aggregation, levels: Levels, freshness: Freshness) -> Query {
    let bounds = grid.bounds().unwrap().unwrap();
    Query::window(grid.structure().cover(&bounds, levels))
        .layer(Layer::Aggregate(layer.clone()))
        .freshness(freshness)
}

/// Whether two grids answer the same: fresh all of it, and as it is stored what is not stale.
fn same(dice: &mut Dice, grid: &Grid, reference: &Grid) -> Result<(), String> {
    for layer in grid.schema().aggregators() {
        let Some(at) = levels(dice, reference) else {
            return Ok(());
        };
        let fresh = |of: &Grid| {
            let answer = of.read(&query(of, layer, at, Freshness::Fresh)).unwrap();
            assert!(answer.stale.is_empty());
            (answer.coordinates.clone(), values(&answer))
        };
        let want = fresh(reference);
        if fresh(grid) != want {
            return Err(format!(
                "{layer} at {at:?} is {:?}, and {want:?} in a grid that had it from the start",
                fresh(grid)
            ));
        }
        // Above what is built nothing is stored.
        let Ok(stored) = grid.read(&query(grid, layer, at, Freshness::Stored)) else {
            continue;
        };
        if stored.coordinates.is_some() || !reference.schema().aggregators().contains(layer) {
            continue;
        }
        let (first, shape) = (stored.window.start(), stored.window.shape());
        let cells = crate::oracle::indices(&shape).zip(values(&stored).into_iter().zip(&want.1));
        for (index, (got, want)) in cells {
            let stale = stored.stale.iter().any(|stale| {
                let inside = |(axis, at): (usize, &i64)| {
                    (stale.start()[axis]..stale.end()[axis]).contains(&(first[axis] + at))
                };
                index.iter().enumerate().all(inside)
            });
            if !stale && got != *want {
                return Err(format!(
                    "{layer} at {at:?}: cell {index:?} is {got:?} as it is stored and not called stale, and should be {want:?}"
                ));
            }
        }
    }
    Ok(())
}

/// Whether, while the version of a query is the same, its answer is.
#[derive(Default)]
struct Versions(HashMap<String, (Cells, Vec<Window>)>);

impl Versions {
    fn look(&mut self, dice: &mut Dice, grid: &Grid) -> Result<(), String> {
        let Some(at) = levels(dice, grid) else {
            return Ok(());
        };
        for layer in grid.schema().aggregators() {
            for freshness in [Freshness::Stored, Freshness::Fresh] {
                let query = query(grid, layer, at, freshness);
                let Ok(answer) = grid.read(&query) else {
                    continue;
                };
                let version = format!("{} of {query:?}", grid.version(&query).unwrap());
                let now = (values(&answer), answer.stale.clone());
                let before = self.0.entry(version).or_insert_with(|| now.clone());
                if *before != now {
                    return Err(format!("{layer} at {at:?}: one version of two answers"));
                }
            }
        }
        Ok(())
    }
}

fn findings(grid: &Grid) -> Result<(), String> {
    let findings = grid.store().verify().unwrap().findings;
    if findings.is_empty() {
        return Ok(());
    }
    Err(format!("verify finds {findings:?}"))
}

fn without(schema: &Schema, layer: &Aggregation) -> Schema {
    let kept = schema.aggregators().iter().filter(|of| *of != layer);
    SchemaBuilder::from(schema.clone())
        .aggregators(kept.cloned().collect::<Vec<_>>())
        .build()
        .unwrap()
}

/// A layer is added to a grid of a schema without it, among changes that another grid, which has it
/// from the start, goes through too.
fn run(
    seed: u64,
    rounds: usize,
    schema: &Schema,
    change: &dyn Fn(&mut Dice, &Grid),
) -> Result<(), String> {
    let mut dice = Dice(seed);
    let layer = dice.pick(&added());
    let schema = without(schema, &layer);
    let with = SchemaBuilder::from(schema.clone())
        .aggregator(layer.clone())
        .build()
        .unwrap();
    let policy = dice.pick(&[Policy::Manual, Policy::Manual, Policy::Inline]);
    let (altered, plain) = (store(policy), store(policy));
    let mut grid = altered.create("grid", schema).unwrap();
    let reference = plain.create("grid", with).unwrap();
    let (when, mut versions) = (dice.range(0, 2), Versions::default());
    for round in 0..rounds {
        let wrong = |what: String| format!("round {round}, {layer} added in {when}: {what}");
        for _ in 0..dice.range(0, 4) {
            let seed = dice.next();
            change(&mut Dice(seed), &grid);
            change(&mut Dice(seed), &reference);
        }
        if i64::try_from(round).unwrap() == when {
            if dice.chance(50) {
                grid.aggregate().unwrap();
            }
            versions.look(&mut dice, &grid).map_err(wrong)?;
            grid = add(&mut dice, &grid, &layer).map_err(wrong)?;
        }
        let mut step = true;
        while step {
            versions.look(&mut dice, &grid).map_err(wrong)?;
            findings(&grid).map_err(wrong)?;
            if grid.schema() == reference.schema() {
                same(&mut dice, &grid, &reference).map_err(wrong)?;
            }
            step = dice.chance(60) && grid.aggregate_step().unwrap().is_some();
        }
    }
    grid.aggregate().unwrap();
    reference.aggregate().unwrap();
    if grid.schema() == reference.schema() {
        assert_eq!(
            grid.stored_chunks().unwrap(),
            reference.stored_chunks().unwrap(),
            "all chunks are those of a grid that had the layer from the start"
        );
    }
    findings(&grid)
}

/// Adds a layer, and looks at the others and at a handle that was there before.
fn add(dice: &mut Dice, old: &Grid, layer: &Aggregation) -> Result<Grid, String> {
    let store = old.store();
    let at = levels(dice, old);
    let of_others = |grid: &Grid| {
        let layers = old.schema().aggregators().iter();
        let of = |layer: &Aggregation| {
            let query = query(grid, layer, at?, Freshness::Stored);
            let answer = grid.read(&query).ok()?;
            Some((grid.version(&query).unwrap(), values(&answer), answer.stale))
        };
        layers.map(of).collect::<Vec<_>>()
    };
    let before = of_others(old);
    let grid = store.add_aggregator("grid", layer.clone()).unwrap();
    if store.policy() == Policy::Manual && (of_others(old) != before || of_others(&grid) != before)
    {
        return Err("the other layers are not what they were".to_owned());
    }
    let again = store.add_aggregator("grid", layer.clone()).unwrap_err();
    assert_eq!(again.kind(), &ErrorKind::AlreadyExists, "{again}");
    if let Some(bounds) = old.bounds().unwrap() {
        for refused in [old.clear(&bounds).map(drop), old.aggregate().map(drop)] {
            let refused = refused.unwrap_err();
            assert_eq!(refused.kind(), &ErrorKind::Expired, "{refused}");
            assert!(refused.to_string().contains("open it again"), "{refused}");
        }
    }
    assert_eq!(store.grid("grid").unwrap().schema(), grid.schema());
    Ok(grid)
}

fn events() -> Schema {
    let time = Dimension::irregular("time", "seconds since 1970-01-01", 2, 4);
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
    );
    let structure = Structure::builder()
        .dimension(time)
        .dimension(space)
        .build()
        .unwrap();
    Schema::builder(structure, DType::F32)
        .aggregator(Aggregation::Count)
        .build()
        .unwrap()
}

fn change_events(dice: &mut Dice, grid: &Grid) {
    let start = [dice.range(-9, 9), dice.range(-9, 9)];
    if dice.chance(20) {
        let gone = Window::new([dice.range(-50, 50), start[0], start[1]], [20, 9, 9]);
        grid.clear(&gone).unwrap();
        return;
    }
    let mut ticks: Vec<i64> = (0..dice.range(1, 6)).map(|_| dice.range(-60, 60)).collect();
    ticks.sort_unstable();
    ticks.dedup();
    let shape = (ticks.len(), 5, 7);
    let cells = Array3::from_shape_fn(shape, |_| {
        if dice.chance(20) {
            f32::NAN
        } else {
            f32::from(i16::try_from(dice.range(0, 99)).unwrap())
        }
    });
    grid.put_events(&ticks, start, &cells, Overlap::Merge)
        .unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: check::cases(100), max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn i7_i9_a_layer_that_is_added_is_that_of_a_grid_that_had_it_from_the_start(seed: u64, rounds in 1..5_usize) {
        let pair = pair(&mut Dice(seed));
        let change = |dice: &mut Dice, grid: &Grid| change(dice, grid, &pair);
        if let Err(wrong) = run(seed ^ 1, rounds, &pair.schemas[0], &change) {
            prop_assert!(false, "{}", wrong);
        }
    }

    #[test]
    fn i7_i9_a_layer_of_events_that_is_added_is_that_of_a_grid_that_had_it_from_the_start(seed: u64, rounds in 1..5_usize) {
        if let Err(wrong) = run(seed, rounds, &events(), &change_events) {
            prop_assert!(false, "{}", wrong);
        }
    }
}

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
