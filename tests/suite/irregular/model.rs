//! Random histories against a plain map of every event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gridstone::kv::Memory;
use gridstone::{
    Aggregation, Axis, DType, Depth, Dimension, ErrorKind, Freshness, Grid, Layer, Level, Levels,
    Moment, Overlap, Policy, Query, Schema, Window,
};
use proptest::prelude::*;

use super::events::{Events, Place, difference};
use super::statistics;
use crate::check::{self, Dice, open};
use crate::oracle::array;

#[derive(Clone, Debug)]
enum Op {
    Put { seed: u64, puts: u8 },
    Clear { seed: u64, shrink: bool },
    Clean,
    Step,
    Aggregate,
    Reopen { how: u8, inline: bool },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (any::<u64>(), 1..4_u8).prop_map(|(seed, puts)| Op::Put { seed, puts }),
        2 => (any::<u64>(), any::<bool>()).prop_map(|(seed, shrink)| Op::Clear { seed, shrink }),
        1 => Just(Op::Clean),
        2 => Just(Op::Step),
        2 => Just(Op::Aggregate),
        2 => (0..3_u8, any::<bool>()).prop_map(|(how, inline)| Op::Reopen { how, inline }),
    ]
}

/// A random grid.
fn build(dice: &mut Dice) -> Schema {
    let chunk = |dice: &mut Dice| dice.pick(&[2, 2, 4]);
    let (capacity, spacing) = (dice.pick(&[2, 4, 8]), dice.pick(&[1, 3, 16, 100]));
    let depth =
        |dice: &mut Dice| dice.pick(&[Depth::Top, Depth::Top, Depth::Top, Depth::Levels(1)]);
    let time = Dimension::irregular("time", "seconds since 1970-01-01", capacity, spacing)
        .depth(depth(dice));
    let space = match dice.range(0, 2) {
        0 => Dimension::regular("space", [Axis::new("x", 0.0, 1.0, chunk(dice))]),
        _ => {
            let side = chunk(dice);
            Dimension::regular(
                "space",
                [
                    Axis::new("y", 0.0, -1.0, side),
                    Axis::new("x", 0.0, 1.0, side),
                ],
            )
        }
    };
    let space = space.depth(depth(dice));
    let band = Dimension::fixed("band", ["red", "green"]);
    let dimensions = match dice.range(0, 3) {
        0 => vec![space, time],
        1 => vec![time, band, space],
        _ => vec![time, space],
    };
    let structure = check::structure(dimensions);
    let (dtype, nodata) = dice.pick(&[
        (DType::F32, None),
        (DType::F64, Some(-9.0)),
        (DType::I16, Some(-9.0)),
        (DType::U8, None),
    ]);
    let mut schema = Schema::builder(structure, dtype);
    if let Some(nodata) = nodata {
        schema = schema.nodata(nodata);
    }
    let line = |name: &str| name.to_owned();
    let mut all: Vec<Aggregation> = Aggregation::plain().collect();
    all.extend([
        Aggregation::First {
            dimension: line("time"),
        },
        Aggregation::Last {
            dimension: line("time"),
        },
    ]);
    let keep = usize::try_from(dice.pick(&[0, 1, 1, 2, 3])).unwrap();
    while all.len() > keep {
        all.remove(usize::try_from(dice.range(0, all.len() as i64 - 1)).unwrap());
    }
    all.into_iter()
        .fold(schema, gridstone::SchemaBuilder::aggregator)
        .build()
        .unwrap()
}

fn tick(dice: &mut Dice) -> i64 {
    match dice.range(0, 19) {
        0 => dice.pick(&[1 << 40, -(1 << 40), i64::MAX - 1, i64::MIN + 1]),
        1..=5 => dice.range(-500, 500),
        6..=12 => dice.range(0, 40),
        _ => dice.range(-9, 9),
    }
}

struct Putting {
    ticks: Vec<i64>,
    start: Vec<i64>,
    shape: Vec<u64>,
    values: Vec<f64>,
    overlap: Overlap,
}

fn putting(dice: &mut Dice, oracle: &Events) -> Putting {
    let structure = oracle.structure();
    let mut ticks: Vec<i64> = Vec::new();
    for _ in 0..dice.pick(&[1, 1, 1, 2, 3, 7]) {
        let tick = tick(dice);
        if !ticks.contains(&tick) {
            ticks.push(tick);
        }
    }
    let (mut start, mut shape) = (Vec::new(), Vec::new());
    for (axis, of) in structure.axes().enumerate() {
        let dimension = &structure.dimensions()[structure.dimension_of(axis)];
        if axis == oracle.time {
            shape.push(ticks.len() as u64);
        } else if let Some(labels) = dimension.labels() {
            let first = dice.range(0, labels.len() as i64 - 1);
            start.push(first);
            shape.push(u64::try_from(dice.range(1, labels.len() as i64 - first)).unwrap());
        } else {
            let chunk = i64::from(of.chunk());
            start.push(dice.range(-2 * chunk, 2 * chunk));
            shape.push(u64::try_from(dice.pick(&[1, 2, chunk, 2 * chunk])).unwrap());
        }
    }
    let holes = dice.pick(&[0, 0, 20, 90, 100]);
    let cells: u64 = shape.iter().product();
    let mut one = |_: u64| {
        let hole = dice.chance(holes);
        match (
            hole,
            oracle.schema.nodata(),
            oracle.schema.dtype().is_float(),
        ) {
            (true, Some(nodata), _) => nodata,
            (true, None, true) => f64::NAN,
            _ => dice.pick(&[0.0, 1.0, 2.0, 3.0, 100.0]),
        }
    };
    let values: Vec<f64> = (0..cells).map(&mut one).collect();
    let overlap = dice.pick(&[
        Overlap::Merge,
        Overlap::Merge,
        Overlap::Replace,
        Overlap::Keep,
        Overlap::Refuse,
    ]);
    Putting {
        ticks,
        start,
        shape,
        values,
        overlap,
    }
}

/// Reads the grid everywhere it is interesting, and compares.
pub fn compare(grid: &Grid, oracle: &Events, dice: &mut Dice, drained: bool) -> Result<(), String> {
    let structure = oracle.structure();
    let Some(bounds) = &oracle.bounds else {
        let error = grid.read(&Query::all()).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::NotFound);
        return Ok(());
    };
    let held = grid.bounds().unwrap().unwrap();
    let held: Vec<(i64, i64)> = held
        .start()
        .iter()
        .zip(held.end().iter())
        .map(|(a, b)| (*a, *b - 1))
        .collect();
    if held != *bounds {
        return Err(format!("the bounds are {held:?}, not {bounds:?}"));
    }
    let d = structure.dimension_of(oracle.time);
    let top = grid
        .top()
        .unwrap()
        .map_or(Levels::zero(structure.dimensions().len()), |top| {
            top.levels()
        });
    let layers = grid.schema().aggregators().to_vec();
    let whole = || {
        let start: Vec<i64> = bounds.iter().map(|(first, _)| *first).collect();
        let shape: Vec<u64> = bounds
            .iter()
            .map(|(first, last)| last.abs_diff(*first) + 1)
            .collect();
        Window::new(start.as_slice(), gridstone::Shape::from(shape.as_slice()))
    };
    for _ in 0..6 {
        let mut window = whole();
        let (mut start, mut shape) = (window.start(), window.shape());
        for axis in 0..structure.rank() {
            if dice.chance(40)
                && axis != oracle.time
                && !structure.dimensions()[structure.dimension_of(axis)].is_fixed()
            {
                start[axis] += dice.range(-3, 3);
                shape[axis] = u64::try_from(dice.range(1, 6)).unwrap();
            } else if axis == oracle.time && dice.chance(60) {
                start[axis] = dice.range(-60, 60);
                shape[axis] = u64::try_from(dice.range(1, 100)).unwrap();
            }
        }
        window = Window::new(start, shape);
        let mut levels = Levels::zero(structure.dimensions().len());
        let layer = if layers.is_empty() {
            None
        } else {
            Some(dice.pick(&layers))
        };
        let steps = layer.is_some() && dice.chance(25) && shape[oracle.time] < 1000;
        if layer.is_some() {
            for (level, top) in levels.iter_mut().zip(top.iter()) {
                let most = top.get().min(if dice.chance(80) { 8 } else { 64 });
                *level = Level::new(i8::try_from(dice.range(0, i64::from(most.max(0)))).unwrap())
                    .unwrap();
            }
            if steps || dice.chance(30) {
                levels[d] = Level::ZERO;
            }
        }
        let base = layers.is_empty()
            || levels.iter().all(|level| *level == Level::ZERO) && !steps && dice.chance(50);
        let fresh = dice.chance(50);
        let mut query = Query::window(window).levels(levels);
        query = match (&layer, base) {
            (Some(layer), false) => query.layer(Layer::Aggregate(layer.clone())),
            _ => query.layer(Layer::Base),
        };
        query = query.freshness(if fresh {
            Freshness::Fresh
        } else {
            Freshness::Stored
        });
        let step = steps.then(|| u64::try_from(dice.range(1, 30)).unwrap());
        if let Some(step) = step {
            query = query.every(step, 0);
        }
        let answer = match grid.read(&query) {
            Ok(answer) => answer,
            Err(error)
                if !fresh
                    && *error.kind() == ErrorKind::NotFound
                    && error.to_string().contains("there is no level") =>
            {
                continue;
            }
            Err(error) if step.is_some() && error.to_string().contains("is out of range") => {
                continue;
            }
            Err(error) => {
                return Err(format!(
                    "{query:?}: {error}: {:?}",
                    std::error::Error::source(&error)
                ));
            }
        };
        if (fresh || drained) && !answer.stale.is_empty() {
            return Err(format!("{query:?} is stale: {:?}", answer.stale));
        }
        let layer = layer.filter(|_| !base);
        if let Some(wrong) = difference(&answer, oracle, (layer.as_ref(), step), fresh || drained) {
            return Err(format!("{query:?}: {wrong}"));
        }
        moments(grid, oracle, &window, dice)?;
    }
    Ok(())
}

/// Point-in-time reads of the base.
fn moments(grid: &Grid, oracle: &Events, window: &Window, dice: &mut Dice) -> Result<(), String> {
    let events: Vec<i64> = oracle.ticks(window).into_iter().collect();
    let listed = grid.events(&Query::window(*window)).unwrap();
    let (first, last) = (window.start()[oracle.time], window.end()[oracle.time]);
    let want: Vec<i64> = events
        .iter()
        .copied()
        .filter(|tick| first <= *tick && *tick < last)
        .collect();
    if listed != want {
        return Err(format!(
            "the events of {window:?} are {listed:?}, not {want:?}"
        ));
    }
    // What stands for a moment holds data in a cell of the window itself.
    let (start, end) = (window.start(), window.end());
    let others = oracle.others();
    let within = |place: &Place| {
        place
            .iter()
            .zip(&others)
            .all(|(at, axis)| (start[*axis]..end[*axis]).contains(at))
    };
    let holding = oracle
        .cells
        .iter()
        .filter(|(_, cells)| cells.keys().any(within));
    let events: Vec<i64> = holding.map(|(tick, _)| *tick).collect();
    let at = tick(dice);
    let before = events.iter().copied().filter(|tick| *tick <= at).max();
    let after = events.iter().copied().filter(|tick| *tick >= at).min();
    let near = |a: i64| (a.abs_diff(at), a);
    for (how, want) in [
        (Moment::Previous, before),
        (Moment::Next, after),
        (
            Moment::Nearest,
            [before, after]
                .into_iter()
                .flatten()
                .min_by_key(|tick| near(*tick)),
        ),
    ] {
        let query = Query::window(*window).moment(at, how);
        let got = grid.read(&query);
        match (&got, want) {
            (Ok(answer), Some(want)) if answer.coordinates.as_ref().unwrap().ticks == [want] => {}
            (Err(error), None) if *error.kind() == ErrorKind::NotFound => {}
            _ => {
                return Err(format!(
                    "{how:?} of {at} in {window:?} is {got:?}, not {want:?}"
                ));
            }
        }
        if let Some(want) = want {
            let strict = grid.read(&query.clone().within(want.abs_diff(at).saturating_sub(1)));
            let refused = want != at;
            if refused != strict.is_err() {
                return Err(format!(
                    "{how:?} of {at} within less than {}: {strict:?}",
                    want.abs_diff(at)
                ));
            }
        }
    }
    let latest = grid.read(&Query::window(*window).latest());
    match (&latest, events.last()) {
        (Ok(answer), Some(last)) if answer.coordinates.as_ref().unwrap().ticks == [*last] => Ok(()),
        (Err(error), None) if *error.kind() == ErrorKind::NotFound => Ok(()),
        (got, want) => Err(format!("the latest is {got:?}, not {want:?}")),
    }
}

/// Each column's base chunks are the leaves of the bucket trie of its ticks.
pub fn check_tries(grid: &Grid, oracle: &Events) -> Result<(), String> {
    let structure = grid.structure();
    let axis = structure.axes().nth(oracle.time).unwrap();
    let capacity = axis.chunk() as usize;
    let mut held: BTreeMap<Place, BTreeSet<i64>> = BTreeMap::new();
    for chunk in grid.base_chunks().unwrap() {
        let ticks = chunk.ticks.clone().unwrap();
        let column = oracle.without(&structure.chunk_index(&chunk.location));
        let of = held.entry(column.clone()).or_default();
        let new = ticks.iter().all(|tick| of.insert(*tick));
        if !new || ticks.len() > capacity || ticks.is_empty() {
            return Err(format!("column {column:?}: a chunk of {ticks:?}"));
        }
    }
    let mut want = oracle.columns.clone();
    want.retain(|_, ticks| !ticks.is_empty());
    if held == want {
        Ok(())
    } else {
        Err(format!("the columns hold {held:?}, not {want:?}"))
    }
}

fn run(seed: u64, ops: &[Op]) -> Result<(), String> {
    let mut dice = Dice(seed);
    let schema = build(&mut dice);
    let mut engine = Arc::new(Memory::new());
    let mut store = open(&engine, Policy::Manual);
    let mut grid = store.create("events", schema.clone()).unwrap();
    let mut oracle = Events::new(&schema);
    for (number, op) in ops.iter().enumerate() {
        let blame = |wrong: String| format!("after op {number}, {op:?}: {wrong}");
        let mut drained = false;
        match op {
            Op::Put { seed, puts } => {
                let mut dice = Dice(*seed);
                let puts: Vec<Putting> = (0..*puts).map(|_| putting(&mut dice, &oracle)).collect();
                let arrays: Vec<_> = puts
                    .iter()
                    .map(|put| {
                        let sizes: Vec<usize> = put
                            .shape
                            .iter()
                            .map(|&len| usize::try_from(len).unwrap())
                            .collect();
                        array(schema.dtype(), &sizes, &put.values)
                    })
                    .collect();
                let mut batch = store.batch();
                let mut after = oracle.clone();
                let mut refused = false;
                for (put, array) in puts.iter().zip(&arrays) {
                    batch
                        .put_events(&grid, &put.ticks, put.start.as_slice(), array, put.overlap)
                        .unwrap();
                    refused |= !refused
                        && !after.put(&put.ticks, &put.start, &put.shape, &put.values, put.overlap);
                }
                match batch.commit() {
                    Ok(commit) if !refused => {
                        assert!(
                            store.policy() == Policy::Manual || commit.marks == 0,
                            "an inline commit leaves no marks"
                        );
                        oracle = after;
                    }
                    Err(error) if refused && *error.kind() == ErrorKind::Invalid => {}
                    other => return Err(blame(format!("refused {refused}: {other:?}"))),
                }
            }
            Op::Clear { seed, shrink } => {
                let mut dice = Dice(*seed);
                let Some(bounds) = oracle.bounds.clone() else {
                    continue;
                };
                let mut cut = bounds.clone();
                for (axis, side) in cut.iter_mut().enumerate() {
                    let fixed = schema.structure().dimensions()
                        [schema.structure().dimension_of(axis)]
                    .is_fixed();
                    if axis == oracle.time && dice.chance(70) {
                        let first = tick(&mut dice);
                        *side = (
                            first,
                            first
                                .saturating_add(dice.pick(&[0, 3, 50, 1 << 41]))
                                .min(i64::MAX - 1),
                        );
                    } else if dice.chance(30) && !fixed {
                        let first = dice.range(-4, 4);
                        *side = (first, first + dice.range(0, 6));
                    }
                }
                let start: Vec<i64> = cut.iter().map(|(first, _)| *first).collect();
                let shape: Vec<u64> = cut
                    .iter()
                    .map(|(first, last)| last.abs_diff(*first) + 1)
                    .collect();
                let window =
                    Window::new(start.as_slice(), gridstone::Shape::from(shape.as_slice()));
                let done = if *shrink {
                    grid.delete(&window)
                } else {
                    grid.clear(&window)
                };
                done.map_err(|e| blame(format!("{e}: {:?}", std::error::Error::source(&e))))?;
                oracle.clear(&cut, *shrink);
            }
            Op::Clean => {
                grid.clean().map_err(|e| blame(e.to_string()))?;
                drained = true;
                let held = grid.bounds().unwrap().map(|held| {
                    held.start()
                        .iter()
                        .zip(held.end().iter())
                        .map(|(a, b)| (*a, *b - 1))
                        .collect::<Vec<_>>()
                });
                let inside = |place: &Place, tick: i64| {
                    let mut cell = place.clone();
                    cell.insert(oracle.time, tick);
                    held.as_ref().is_some_and(|held| {
                        cell.iter().zip(held).all(|(at, (a, b))| a <= at && at <= b)
                    })
                };
                assert!(
                    oracle
                        .cells
                        .iter()
                        .all(|(tick, cells)| cells.keys().all(|place| inside(place, *tick))),
                    "data outside"
                );
                oracle.bounds = held;
            }
            Op::Step => drop(grid.aggregate_step().unwrap()),
            Op::Aggregate => {
                grid.aggregate().unwrap();
                drained = true;
            }
            Op::Reopen { how, inline } => {
                drop((grid, store));
                engine = match how {
                    0 => Arc::new(engine.crash(0)),
                    1 => Arc::new(engine.crash(1)),
                    _ => Arc::new(engine.reopen()),
                };
                store = open(
                    &engine,
                    if *inline {
                        Policy::Inline
                    } else {
                        Policy::Manual
                    },
                );
                grid = store.grid("events").unwrap();
            }
        }
        drained |= grid.marks().unwrap() == 0 && grid.reach().unwrap().is_some();
        check_tries(&grid, &oracle).map_err(blame)?;
        compare(&grid, &oracle, &mut dice, drained).map_err(blame)?;
        statistics::compare(&grid, &oracle, &mut dice).map_err(blame)?;
        let report = store.verify().unwrap();
        if !report.findings.is_empty() {
            return Err(blame(format!("{:?}", report.findings)));
        }
    }
    store.aggregate().unwrap();
    compare(&grid, &oracle, &mut dice, true).map_err(|wrong| format!("at the end: {wrong}"))?;
    let report = store.verify().unwrap();
    if report.findings.is_empty() {
        Ok(())
    } else {
        Err(format!("at the end: {:?}", report.findings))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: check::cases(300), max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn i7_i9_any_history_of_events_agrees_with_a_map_of_them(seed in any::<u64>(), ops in proptest::collection::vec(op(), 1..12)) {
        if let Err(wrong) = run(seed, &ops) {
            prop_assert!(false, "{}", wrong);
        }
    }
}
