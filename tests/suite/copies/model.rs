//! Whatever happens to a source, an update makes the target equal to it.

use std::sync::Arc;

use gridstone::kv::{Engine, Memory};
use gridstone::{
    Aggregation, Axis, DType, Dimension, ErrorKind, Grid, Overlap, Policy, Query, Schema,
    SchemaBuilder, Shape, Store, Structure, Window,
};
use proptest::prelude::*;

use super::{compare, held};
use crate::check::{self, Dice, levels};
use crate::oracle::array;

/// How two layouts of one grid differ.
pub struct Pair {
    pub schemas: [Schema; 2],
    /// The levels of the first put.
    pub base: Vec<i8>,
    /// By how much those of others differ along the refinable dimension.
    offsets: Vec<i8>,
}

pub fn pair(dice: &mut Dice) -> Pair {
    let shape = dice.range(0, 4);
    let chunks: Vec<[u32; 2]> = (0..4)
        .map(|_| [dice.pick(&[2, 4, 8, 16]), dice.pick(&[2, 4, 8, 16])])
        .collect();
    let (origin, together) = (
        dice.pick(&[0.0, -17.5]),
        dice.pick(&[[true, false], [false, true], [false, false]]),
    );
    let (dtype, nodata) = dice.pick(&[
        (DType::F32, None),
        (DType::F32, Some(-9999.0)),
        (DType::I16, Some(-9999.0)),
        (DType::I64, None),
        (DType::U8, None),
    ]);
    let layers = [
        vec![Aggregation::Count],
        vec![Aggregation::Count, Aggregation::Mean],
        vec![Aggregation::Max, Aggregation::Count, Aggregation::Min],
    ];
    let schemas = [0, 1].map(|of| {
        let axis = |name: &str, number: usize| Axis::new(name, origin, -0.5, chunks[number][of]);
        let line = |name: &str, number: usize| Dimension::regular(name, [axis(name, number)]);
        let space = || Dimension::regular("space", [axis("y", 1), axis("x", 2)]);
        let band = Dimension::fixed("band", ["red", "green", "blue"]);
        let dimensions = match shape {
            0 => vec![line("x", 0)],
            1 => vec![space()],
            2 => vec![line("time", 0), space()],
            3 => vec![line("time", 0), space().refinable()],
            _ => vec![if together[of] { band.together() } else { band }, space()],
        };
        let structure = check::structure(dimensions);
        let builder = Schema::builder(structure, dtype);
        let builder = nodata.into_iter().fold(builder, SchemaBuilder::nodata);
        dice.pick(&layers)
            .into_iter()
            .fold(builder, SchemaBuilder::aggregator)
            .build()
            .unwrap()
    });
    let dimensions = schemas[0].structure().dimensions();
    let base = dimensions
        .iter()
        .map(|d| {
            if d.is_fixed() {
                0
            } else {
                dice.pick(&[0, 0, -1])
            }
        })
        .collect();
    Pair {
        schemas,
        base,
        offsets: dice.pick(&[vec![0], vec![0, 1], vec![-1, 0, 1], vec![-2, 0]]),
    }
}

pub fn window(dice: &mut Dice, schema: &Schema, at: &[i8]) -> Window {
    let (reach, most) = [(0, 0), (60, 40), (24, 16), (9, 8)][schema.structure().rank()];
    let (mut start, mut shape) = (Vec::new(), Vec::new());
    for dimension in schema.structure().dimensions() {
        for _ in dimension.axes() {
            let labels = dimension.labels().map(|labels| labels.len() as i64);
            let (low, high) = labels.map_or((-reach, reach), |labels| (0, labels - 1));
            let first = dice.range(low, high);
            start.push(first);
            shape.push(
                dice.range(1, labels.map_or(most, |labels| labels - first))
                    .unsigned_abs(),
            );
        }
    }
    Window::new(start.as_slice(), Shape::from(shape.as_slice())).at(levels(at))
}

fn at(dice: &mut Dice, pair: &Pair) -> Vec<i8> {
    let mut at = pair.base.clone();
    if let Some(d) = pair.schemas[0].structure().refinable() {
        at[d] += dice.pick(&pair.offsets);
    }
    at
}

fn put(dice: &mut Dice, grid: &Grid, window: &Window) {
    let (schema, holes) = (grid.schema(), dice.pick(&[0, 20, 80, 100]));
    let sizes: Vec<usize> = window
        .shape()
        .iter()
        .map(|&len| usize::try_from(len).unwrap())
        .collect();
    let hole = |dice: &mut Dice| {
        dice.chance(holes) && (schema.dtype().is_float() || schema.nodata().is_some())
    };
    let mut value = || match schema.nodata() {
        _ if !hole(dice) => dice.range(0, 200) as f64,
        Some(nodata) => nodata,
        None => f64::NAN,
    };
    let values: Vec<f64> = (0..sizes.iter().product()).map(|_| value()).collect();
    let array = array(schema.dtype(), &sizes, &values);
    let done = if dice.chance(50) {
        grid.replace(window, &array)
    } else {
        grid.put(window, &array)
    };
    if let Err(error) = done {
        assert!(
            matches!(error.kind(), ErrorKind::AggregatedLevel { .. }),
            "{error}"
        );
    }
}

pub fn change(dice: &mut Dice, grid: &Grid, pair: &Pair) {
    let levels = at(dice, pair);
    let window = window(dice, grid.schema(), &levels);
    match dice.range(0, 9) {
        0 | 1 => drop(grid.clear(&window).unwrap()),
        2 => {
            // All there is, or a half of it.
            let Some(bounds) = grid.bounds().unwrap() else {
                return;
            };
            let half = bounds.along(0, bounds.start()[0], bounds.shape()[0].div_ceil(2));
            grid.delete(if dice.chance(30) { &bounds } else { &half })
                .unwrap();
        }
        3 => drop(grid.clean().unwrap()),
        _ => put(dice, grid, &window),
    }
}

pub fn store(dice: &mut Dice, kept: u64) -> Store {
    let policy = dice.pick(&[Policy::Inline, Policy::Manual]);
    let engine = Arc::new(Memory::new()) as Arc<dyn Engine>;
    Store::options()
        .policy(policy)
        .changes_kept(kept)
        .open_engine(engine)
        .unwrap()
}

/// After an update, before and after aggregation.
fn check(source: &Grid, target: &Grid) -> Result<(), String> {
    for drained in [false, true] {
        if drained {
            target.aggregate().unwrap();
        }
        compare(source, target)?;
        let findings = target.store().verify().unwrap().findings;
        if !findings.is_empty() {
            return Err(format!("verify finds {findings:?}"));
        }
    }
    Ok(())
}

fn run(seed: u64, rounds: usize) -> Result<(), String> {
    let mut dice = Dice(seed);
    let pair = pair(&mut dice);
    let kept = dice.pick(&[1_000_000, 1_000_000, 1_000_000, 1]);
    let stores = [store(&mut dice, kept), store(&mut dice, kept)];
    let source = stores[0].create("source", pair.schemas[0].clone()).unwrap();
    let target = stores[usize::from(dice.chance(50))]
        .create("target", pair.schemas[1].clone())
        .unwrap();
    if dice.chance(30) {
        // It need not be empty.
        (0..3).for_each(|_| change(&mut dice, &target, &pair));
    }
    let mut first = true;
    for round in 0..rounds {
        for _ in 0..dice.range(0, 4) {
            change(&mut dice, &source, &pair);
        }
        let updated = target
            .update_from(&source)
            .map_err(|error| format!("round {round}: {error}"))?;
        check(&source, &target).map_err(|wrong| format!("round {round}, {updated:?}: {wrong}"))?;
        if updated.full {
            // Never finer or coarser than the source's own, and the same in the same chunks.
            let (there, here) = (held(&source), held(&target));
            let chunks = pair
                .schemas
                .each_ref()
                .map(|schema| schema.structure().chunk_shape());
            if chunks[0] == chunks[1] {
                assert_eq!(there, here, "round {round}: levels of base data");
            }
            assert!(
                here.first() >= there.first() && here.last() <= there.last(),
                "{there:?} {here:?}"
            );
        }
        assert!(updated.full || !first, "the first one copies all");
        first = false;
        let stored = target.stored_chunks().unwrap();
        let again = target.update_from(&source).unwrap();
        assert_eq!(
            (
                again.full,
                again.changes,
                again.cells,
                again.chunks,
                again.chunks_read
            ),
            (false, 0, 0, 0, 0),
            "nothing is new"
        );
        assert_eq!(target.stored_chunks().unwrap(), stored);
    }
    Ok(())
}

/// Events in chunks of another shape; an event is one in all of a chunk's place, so all are looked
/// at together.
fn run_events(seed: u64, rounds: usize) -> Result<(), String> {
    let mut dice = Dice(seed);
    let dtype = dice.pick(&[DType::F32, DType::I16]);
    let schemas = [0, 1].map(|_| {
        let (y, x) = (dice.pick(&[2, 4, 16]), dice.pick(&[2, 4, 16]));
        let space = Dimension::regular(
            "space",
            [Axis::new("y", 0.0, -1.0, y), Axis::new("x", 0.0, 1.0, x)],
        );
        let time = Dimension::irregular(
            "time",
            "seconds since 1970-01-01",
            dice.pick(&[2, 4, 16]),
            dice.pick(&[1, 10, 300]),
        );
        let structure = Structure::builder()
            .dimension(time)
            .dimension(space)
            .build()
            .unwrap();
        Schema::builder(structure, dtype)
            .aggregator(Aggregation::Count)
            .aggregator(Aggregation::Max)
            .build()
            .unwrap()
    });
    let stores = [store(&mut dice, 1_000_000), store(&mut dice, 1_000_000)];
    let source = stores[0].create("source", schemas[0].clone()).unwrap();
    let target = stores[usize::from(dice.chance(50))]
        .create("target", schemas[1].clone())
        .unwrap();
    let change = |dice: &mut Dice, grid: &Grid| {
        let start = [dice.range(-9, 9), dice.range(-9, 9)];
        let sides = [
            dice.range(1, 9).unsigned_abs(),
            dice.range(1, 9).unsigned_abs(),
        ];
        if dice.chance(25) {
            let whole = dice.chance(50);
            let (start, sides) = if whole {
                ([-30, -30], [60, 60])
            } else {
                (start, sides)
            };
            let gone = Window::new(
                [dice.range(-50, 50), start[0], start[1]],
                [20, sides[0], sides[1]],
            );
            if whole && dice.chance(30) {
                grid.delete(&gone)
            } else {
                grid.clear(&gone)
            }
            .unwrap();
            return;
        }
        let mut ticks: Vec<i64> = (0..dice.range(1, 5)).map(|_| dice.range(-60, 60)).collect();
        ticks.sort_unstable();
        ticks.dedup();
        let sizes = [
            ticks.len(),
            usize::try_from(sides[0]).unwrap(),
            usize::try_from(sides[1]).unwrap(),
        ];
        let hole = if dtype.is_float() { 20 } else { 0 };
        let values: Vec<f64> = (0..sizes.iter().product())
            .map(|_| {
                if dice.chance(hole) {
                    f64::NAN
                } else {
                    dice.range(0, 99) as f64
                }
            })
            .collect();
        grid.put_events(
            &ticks,
            start,
            &array(dtype, &sizes, &values),
            dice.pick(&[Overlap::Merge, Overlap::Replace]),
        )
        .unwrap();
    };
    if dice.chance(30) {
        (0..3).for_each(|_| change(&mut dice, &target));
    }
    for round in 0..rounds {
        for _ in 0..dice.range(0, 4) {
            change(&mut dice, &source);
        }
        let updated = target
            .update_from(&source)
            .map_err(|error| format!("round {round}: {error}"))?;
        for _ in 0..2 {
            let wrong = |what: &str| Err(format!("round {round}, {updated:?}: {what}"));
            let findings = target.store().verify().unwrap().findings;
            if !findings.is_empty() {
                return wrong(&format!("verify finds {findings:?}"));
            }
            if source.bounds().unwrap() != target.bounds().unwrap() {
                return wrong("another box was put");
            }
            for layer in [
                gridstone::Layer::Base,
                gridstone::Layer::Aggregate(Aggregation::Count),
            ] {
                let query = Query::all()
                    .layer(layer)
                    .freshness(gridstone::Freshness::Fresh);
                let read = |grid: &Grid| {
                    grid.read(&query).ok().map(|answer| {
                        let cells: Vec<u64> = answer
                            .array
                            .iter_f64()
                            .map(|v| if v.is_nan() { 0 } else { v.to_bits() })
                            .collect();
                        (answer.coordinates, answer.window, cells)
                    })
                };
                if read(&source) != read(&target) {
                    return wrong(&format!(
                        "{:?} is read, and {:?} here",
                        read(&source),
                        read(&target)
                    ));
                }
            }
            target.aggregate().unwrap();
        }
        let again = target.update_from(&source).unwrap();
        assert_eq!(
            (again.full, again.cells, again.chunks, again.chunks_read),
            (false, 0, 0, 0),
            "nothing is new"
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: check::cases(120), max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn i7_i8_an_updated_grid_has_the_cells_of_its_source_and_a_right_pyramid(seed: u64, rounds in 1..6_usize) {
        if let Err(wrong) = run(seed, rounds) {
            prop_assert!(false, "{}", wrong);
        }
    }

    #[test]
    fn i7_an_updated_grid_has_the_events_of_its_source_and_a_right_pyramid(seed: u64, rounds in 1..6_usize) {
        if let Err(wrong) = run_events(seed, rounds) {
            prop_assert!(false, "{}", wrong);
        }
    }
}
