//! A layer is added to a grid that holds data: it is right from the first moment, whatever happens
//! meanwhile, and the others stay as they are.

mod facts;

use std::collections::HashMap;
use std::sync::Arc;

use gridstone::inspect::ChunkInfo;
use gridstone::kv::{Engine, Memory};
use gridstone::{
    Aggregation, Axis, DType, Dimension, ErrorKind, Freshness, Grid, Layer, Level, Levels, Overlap,
    Policy, Query, Schema, SchemaBuilder, Store, Structure, Window,
};
use ndarray::Array3;
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

/// Whether two grids answer the same at some levels of each layer.
fn same(dice: &mut Dice, grid: &Grid, reference: &Grid) -> Result<(), String> {
    for _ in grid.schema().aggregators() {
        let Some(at) = levels(dice, reference) else {
            return Ok(());
        };
        same_at(grid, reference, at)?;
    }
    Ok(())
}

/// The same at every level of the pyramid, or at many.
fn same_everywhere(dice: &mut Dice, grid: &Grid, reference: &Grid) -> Result<(), String> {
    let (Some(base), Some(top)) = (
        reference.base_levels().unwrap(),
        reference.top().unwrap().map(|top| top.levels()),
    ) else {
        return Ok(());
    };
    let mut all: Vec<Vec<i8>> = vec![Vec::new()];
    for (low, high) in base.iter().zip(top.iter()) {
        let (low, high) = (low.get(), high.get().min(6).max(low.get()));
        let with = |at: &Vec<i8>| {
            (low..=high)
                .map(move |level| [at.as_slice(), &[level]].concat())
                .collect::<Vec<_>>()
        };
        all = all.iter().flat_map(with).collect();
    }
    let some = 24.min(all.len());
    let chosen: Vec<Vec<i8>> = match all.len() == some {
        true => all,
        false => (0..some).map(|_| dice.pick(&all)).collect(),
    };
    let chosen = chosen.iter().map(|at| check::levels(at));
    chosen
        .into_iter()
        .try_for_each(|at| same_at(grid, reference, at))
}

/// Fresh all of it, and as it is stored what is not stale.
fn same_at(grid: &Grid, reference: &Grid, at: Levels) -> Result<(), String> {
    for layer in grid.schema().aggregators() {
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

fn without(schema: &Schema, layers: &[Aggregation]) -> Schema {
    let kept = schema.aggregators().iter();
    let kept = kept.filter(|of| !layers.contains(of)).cloned();
    SchemaBuilder::from(schema.clone())
        .aggregators(kept.collect::<Vec<_>>())
        .build()
        .unwrap()
}

/// A layer, or two, is added to a grid of a schema without it, perhaps without any, among changes
/// that another grid, which has it from the start, goes through too.
fn run(
    seed: u64,
    rounds: usize,
    schema: &Schema,
    change: &dyn Fn(&mut Dice, &Grid),
) -> Result<(), String> {
    let mut dice = Dice(seed);
    let mut layers = vec![dice.pick(&added())];
    let another = dice.pick(&added());
    if dice.chance(30) && another != layers[0] {
        layers.push(another);
    }
    let bare = dice.chance(25);
    let schema = match bare {
        true => without(schema, schema.aggregators()),
        false => without(schema, &layers),
    };
    let with = layers
        .iter()
        .cloned()
        .fold(
            SchemaBuilder::from(schema.clone()),
            SchemaBuilder::aggregator,
        )
        .build()
        .unwrap();
    let policy = dice.pick(&[Policy::Manual, Policy::Manual, Policy::Inline]);
    let (altered, plain) = (store(policy), store(policy));
    let mut grid = altered.create("grid", schema).unwrap();
    let reference = plain.create("grid", with).unwrap();
    let (when, mut versions) = (dice.range(0, 2), Versions::default());
    for round in 0..rounds {
        let wrong = |what: String| {
            format!("round {round}, {layers:?} added in {when}, bare: {bare}: {what}")
        };
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
            grid = add(&mut dice, &grid, &layers).map_err(wrong)?;
            same_everywhere(&mut dice, &grid, &reference).map_err(wrong)?;
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
        same_everywhere(&mut dice, &grid, &reference)?;
        assert_eq!(grid.reach().unwrap(), reference.reach().unwrap());
        assert_eq!(
            grid.stored_chunks().unwrap(),
            reference.stored_chunks().unwrap(),
            "all chunks are those of a grid that had the layer from the start"
        );
    }
    findings(&grid)
}

/// Adds layers, and looks at the others and at a handle that was there before.
fn add(dice: &mut Dice, old: &Grid, added: &[Aggregation]) -> Result<Grid, String> {
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
    let (before, listed) = (of_others(old), listed(old));
    let grid = store
        .add_aggregators("grid", added.iter().cloned())
        .unwrap();
    if store.policy() == Policy::Manual && (of_others(old) != before || of_others(&grid) != before)
    {
        return Err("the other layers are not what they were".to_owned());
    }
    if store.policy() == Policy::Manual && self::listed(old) != listed {
        return Err("through the old handle other chunks are listed".to_owned());
    }
    let again = store.add_aggregator("grid", dice.pick(added)).unwrap_err();
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

/// All that a handle says is stored, in each of its ways.
fn listed(grid: &Grid) -> Vec<Vec<ChunkInfo>> {
    let structure = grid.structure();
    let mut listed = vec![grid.base_chunks().unwrap(), grid.stored_chunks().unwrap()];
    let (Some(bounds), Some(top)) = (grid.bounds().unwrap(), grid.top().unwrap()) else {
        return listed;
    };
    let extent = structure.extent(&bounds);
    for chunk in listed[0].clone().iter().take(4) {
        listed.push(grid.chunks(&extent, chunk.location.levels()).unwrap());
        for dimension in structure.dimensions() {
            let parent = grid.parent(&chunk.location, dimension.name()).unwrap();
            listed.push(parent.into_iter().collect());
        }
    }
    listed.push(grid.chunks(&extent, top.levels()).unwrap());
    for dimension in structure.dimensions().iter().filter(|d| !d.is_fixed()) {
        listed.push(grid.children(&top, dimension.name()).unwrap());
    }
    listed
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
