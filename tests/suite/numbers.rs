//! Numbers at the ends of their types: means and deviations of the largest doubles, and integers
//! that no double is.

use std::collections::{BTreeMap, BTreeSet};

use gridstone::array::Number;
use gridstone::statistics::{Bins, Predicate};
use gridstone::{
    Aggregation, Axis, DType, Dimension, Grid, Layer, Level, Policy, Query, Schema, Stat,
    Statistics, StatisticsQuery, Steps, Store, Structure, Window,
};
use ndarray::{Array1, Array2, ArrayView1, arr1};
use proptest::prelude::*;

use crate::check::{self, Dice};

fn line(dtype: DType, layers: &[Aggregation], chunk: u32) -> Grid {
    let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, chunk)]);
    let schema = Schema::builder(Structure::builder().dimension(x).build().unwrap(), dtype);
    let schema = layers
        .iter()
        .fold(schema, |schema, layer| schema.aggregator(layer.clone()));
    Store::in_memory()
        .unwrap()
        .create("g", schema.build().unwrap())
        .unwrap()
}

fn read(grid: &Grid, layer: Aggregation, level: i8) -> Vec<f64> {
    let levels = [Level::new(level).unwrap()].into_iter().collect();
    grid.read(&Query::all().levels(levels).layer(Layer::Aggregate(layer)))
        .unwrap()
        .array
        .iter_f64()
        .collect()
}

#[test]
fn the_mean_of_large_values_lies_between_them() {
    for cells in [
        vec![1.5e308; 16],
        vec![f64::MAX; 13],
        vec![-f64::MAX; 16],
        [1.5e308, -1.5e308].repeat(8),
    ] {
        let layers = [
            Aggregation::Mean,
            Aggregation::Std,
            Aggregation::Variance,
            Aggregation::Sum,
        ];
        let grid = line(DType::F64, &layers, 4);
        grid.put(
            &Window::new([0], [cells.len() as u64]),
            &Array1::from(cells.clone()),
        )
        .unwrap();
        let (least, greatest) = cells.iter().fold((f64::MAX, f64::MIN), |(a, b), cell| {
            (a.min(*cell), b.max(*cell))
        });
        for level in 1..=2 {
            let means = read(&grid, Aggregation::Mean, level);
            assert!(
                means.iter().all(|mean| least <= *mean && *mean <= greatest),
                "level {level}: {means:?} of {cells:?}"
            );
            let deviations = read(&grid, Aggregation::Std, level);
            assert!(
                deviations.iter().all(|std| (0.0..=f64::MAX).contains(std)),
                "level {level}: {deviations:?} of {cells:?}"
            );
        }
        let plain = line(DType::F64, &[], 4);
        plain
            .put(
                &Window::new([0], [cells.len() as u64]),
                &Array1::from(cells.clone()),
            )
            .unwrap();
        for grid in [&grid, &plain] {
            let got = grid
                .statistics(&StatisticsQuery::all().stats(Stat::ALL))
                .unwrap();
            let value = |stat| got.get(stat).unwrap().value;
            assert!(
                least <= value(Stat::Mean) && value(Stat::Mean) <= greatest,
                "{got:?}"
            );
            let want = if least == greatest { 0.0 } else { 1.5e308 };
            assert!((value(Stat::Std) - want).abs() <= 1e-9 * want, "{got:?}");
            let sum = cells
                .iter()
                .fold(0_i32, |sum, cell| sum + if *cell > 0.0 { 1 } else { -1 });
            let wanted = if sum == 0 {
                0.0
            } else {
                f64::INFINITY.copysign(f64::from(sum))
            };
            assert_eq!(
                value(Stat::Sum),
                wanted,
                "a sum beyond the doubles is infinite, one that comes back is not"
            );
            let series = grid
                .statistics_series(
                    &StatisticsQuery::all().stats([Stat::Mean]),
                    &Steps::all().edges([0.0, 7.0, 16.0]),
                )
                .unwrap();
            let means: Vec<f64> = series
                .steps
                .iter()
                .map(|step| step.mean.unwrap().value)
                .collect();
            assert!(
                means.iter().all(|mean| least <= *mean && *mean <= greatest),
                "{means:?} of {cells:?}"
            );
        }
        let near = grid
            .statistics(&StatisticsQuery::all().stats([Stat::Mean]).max_chunks(0))
            .unwrap()
            .mean
            .unwrap();
        assert!(
            near.low <= least.max(-f64::MAX) && near.high >= greatest,
            "{near:?}"
        );
    }
}

#[test]
fn means_weighed_by_area_and_with_holes_are_finite() {
    let grid = line(DType::F64, &[Aggregation::Mean], 4);
    let at = |level: i8| [Level::new(level).unwrap()].into_iter().collect();
    grid.put(&Window::new([0], [8]).at(at(3)), &arr1(&[f64::MAX; 8]))
        .unwrap();
    grid.put(&Window::new([3], [2]), &arr1(&[f64::MAX, -f64::MAX]))
        .unwrap();
    let top = grid.top().unwrap().unwrap().levels()[0].get();
    assert!(top > 3, "above what was put coarsest: {top}");
    for level in 1..=top {
        let means: Vec<f64> = read(&grid, Aggregation::Mean, level)
            .into_iter()
            .filter(|mean| !mean.is_nan())
            .collect();
        assert!(
            !means.is_empty() && means.iter().all(|mean| mean.is_finite()),
            "level {level}: {means:?}"
        );
    }
    let grid = line(DType::F64, &[Aggregation::Mean], 4);
    grid.put(
        &Window::new([0], [8]),
        &arr1(&[
            f64::MAX,
            f64::NAN,
            f64::MAX,
            f64::MAX,
            f64::NAN,
            f64::NAN,
            f64::NAN,
            f64::MAX,
        ]),
    )
    .unwrap();
    assert_eq!(read(&grid, Aggregation::Mean, 2), [f64::MAX; 2]);
    let grid = line(DType::F32, &[Aggregation::Mean, Aggregation::Std], 4);
    grid.put(&Window::new([0], [32]), &arr1(&[f32::MAX; 32]))
        .unwrap();
    // Above the logarithm of a chunk cells lie shifted, so that there is one more.
    assert_eq!(read(&grid, Aggregation::Mean, 3), [f64::from(f32::MAX); 5]);
    assert_eq!(read(&grid, Aggregation::Std, 3), [0.0; 5]);
    let poison = line(DType::F64, &[Aggregation::Mean], 4);
    poison
        .put(
            &Window::new([0], [8]),
            &arr1(&[1.0, f64::INFINITY, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
        )
        .unwrap();
    assert_eq!(
        read(&poison, Aggregation::Mean, 1),
        [f64::INFINITY, 1.0, 1.0, 1.0],
        "an infinity stays one"
    );
}

#[test]
fn deviations_of_the_least_numbers_do_not_vanish() {
    let cells: Vec<f64> = (0..16)
        .map(|i| if i % 2 == 0 { 1e-200 } else { -1e-200 })
        .collect();
    for layers in [
        &[][..],
        &[Aggregation::Std, Aggregation::Count],
        &[Aggregation::Variance],
    ] {
        let grid = line(DType::F64, layers, 4);
        grid.put(&Window::new([0], [16]), &Array1::from(cells.clone()))
            .unwrap();
        if layers.contains(&Aggregation::Variance) {
            // The variance itself is no double.
            continue;
        }
        let std = grid
            .statistics(&StatisticsQuery::all().stats([Stat::Std]))
            .unwrap()
            .std
            .unwrap()
            .value;
        assert!((std / 1e-200 - 1.0).abs() < 1e-9, "{layers:?}: {std}");
    }
}

#[test]
fn the_sum_is_exact_where_one_value_is_no_double() {
    let time = Dimension::regular("time", [Axis::new("time", 0.0, 1.0, 2)]);
    let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 4)]);
    let schema = Schema::builder(
        Structure::builder()
            .dimension(time)
            .dimension(x)
            .build()
            .unwrap(),
        DType::I64,
    );
    let layers = [
        Aggregation::Sum,
        Aggregation::Min,
        Aggregation::Max,
        Aggregation::Count,
    ];
    let schema = layers
        .into_iter()
        .fold(schema, gridstone::SchemaBuilder::aggregator)
        .build()
        .unwrap();
    let grid = Store::in_memory().unwrap().create("g", schema).unwrap();
    let value = (1_i64 << 53) + 1;
    grid.put(
        &Window::new([0, 0], [4, 16]),
        &Array2::from_elem((4, 16), value),
    )
    .unwrap();
    let got = grid
        .statistics(&StatisticsQuery::all().stats(Stat::ALL))
        .unwrap();
    assert_eq!(got.whole_sum, Some(i128::from(value) * 64));
    assert_eq!(got.extremes, [Some(Number::from(value)); 2]);
}

/// Values that are hard to tell apart: of a few sizes, each with its neighbours.
fn value(dice: &mut Dice) -> i128 {
    let size = dice.pick(&[
        0_i128,
        1 << 24,
        1 << 53,
        (1 << 53) + 2,
        9_223_372_036_854_775_800,
        9_007_199_254_740_993,
    ]);
    let signed = if dice.chance(40) { -size } else { size };
    signed + i128::from(dice.range(-3, 3))
}

/// A grid of 64-bit integers in two dimensions with random layers, and its cells.
struct Whole {
    grid: Grid,
    cells: BTreeMap<(i64, i64), i128>,
}

fn whole(dice: &mut Dice) -> Whole {
    let line = |name: &str, dice: &mut Dice| {
        Dimension::regular(name, [Axis::new(name, 0.0, 1.0, dice.pick(&[2, 4]))])
    };
    let (t, x) = (line("t", dice), line("x", dice));
    let x = if dice.chance(30) { x.refinable() } else { x };
    let dtype = dice.pick(&[DType::I64, DType::U64]);
    let nodata = dice.pick(&[None, None, Some(0.0), Some(53.0_f64.exp2())]);
    let mut schema = Schema::builder(
        Structure::builder()
            .dimension(t)
            .dimension(x)
            .build()
            .unwrap(),
        dtype,
    );
    schema = nodata
        .into_iter()
        .fold(schema, |schema, nodata| schema.nodata(nodata));
    for layer in Aggregation::plain() {
        schema = if dice.chance(50) {
            schema.aggregator(layer)
        } else {
            schema
        };
    }
    let policy = dice.pick(&[Policy::Inline, Policy::Manual]);
    let store = Store::options()
        .policy(policy)
        .open_engine(std::sync::Arc::new(gridstone::kv::Memory::new()))
        .unwrap();
    let grid = store.create("ids", schema.build().unwrap()).unwrap();
    let mut cells = BTreeMap::new();
    for _ in 0..dice.range(1, 3) {
        let (start, shape) = (
            [dice.range(-6, 4), dice.range(-9, 6)],
            [dice.range(1, 6), dice.range(1, 12)],
        );
        let flat = value(dice);
        let size = shape.map(|len| usize::try_from(len).unwrap());
        let noise = dice.pick(&[0, 20, 100]);
        let values: Vec<i128> = (0..size[0] * size[1])
            .map(|_| {
                if dice.chance(noise) {
                    value(dice)
                } else {
                    flat
                }
            })
            .collect();
        let values: Vec<i128> = match dtype {
            DType::U64 => values
                .into_iter()
                .map(|value| value.abs() * 2 + i128::from(value < 0))
                .collect(),
            _ => values,
        };
        let window = Window::new(start, shape.map(|len| len.unsigned_abs()));
        match dtype {
            DType::U64 => {
                let array: Vec<u64> = values
                    .iter()
                    .map(|value| u64::try_from(*value).unwrap())
                    .collect();
                grid.put(&window, &Array2::from_shape_vec(size, array).unwrap())
                    .unwrap()
            }
            _ => {
                let array: Vec<i64> = values
                    .iter()
                    .map(|value| i64::try_from(*value).unwrap())
                    .collect();
                grid.put(&window, &Array2::from_shape_vec(size, array).unwrap())
                    .unwrap()
            }
        };
        #[expect(clippy::cast_possible_truncation, reason = "a whole number of 54 bits")]
        let hole = nodata.map(|nodata| nodata as i128);
        for (number, value) in values
            .iter()
            .enumerate()
            .filter(|(_, value)| Some(**value) != hole)
        {
            let place = |at: usize| i64::try_from(at).unwrap();
            cells.insert(
                (
                    start[0] + place(number / size[1]),
                    start[1] + place(number % size[1]),
                ),
                *value,
            );
        }
        if dice.chance(50) {
            grid.aggregate_step().unwrap();
        }
    }
    Whole { grid, cells }
}

/// The deviation of whole numbers from their mean, to some digits; NaN of none.
fn deviation_of(values: &[i128]) -> f64 {
    let n = i128::try_from(values.len()).unwrap();
    if n == 0 {
        return f64::NAN;
    }
    // Of whole numbers from the one below the mean all differences are exact.
    let below = values.iter().sum::<i128>().div_euclid(n);
    let apart = || values.iter().map(|value| (value - below) as f64);
    let rest = values.iter().map(|value| value - below).sum::<i128>() as f64 / n as f64;
    (apart().map(|v| v * v).sum::<f64>() / n as f64 - rest * rest).sqrt()
}

fn check_whole(got: &Statistics, values: &[i128], edges: &[i128], what: &str) {
    assert!(got.exact, "{what}");
    assert_eq!(
        got.count.unwrap().value,
        values.len() as f64,
        "{what}: count"
    );
    assert_eq!(got.whole_sum, Some(values.iter().sum()), "{what}: sum");
    let deviation = got.std.unwrap();
    let want = deviation_of(values);
    let near =
        (deviation.value - want).abs() <= 1e-8 * want || deviation.value.is_nan() && want.is_nan();
    assert!(near, "{what}: the deviation {deviation:?}, not {want}");
    let ends =
        [values.iter().min(), values.iter().max()].map(|end| end.map(|end| Number::from(*end)));
    assert_eq!(got.extremes, ends, "{what}: least and greatest");
    let classes: Vec<(Option<i128>, f64)> = got
        .classes
        .iter()
        .flatten()
        .map(|class| (class.exact.whole(), class.count.value))
        .collect();
    let distinct: BTreeSet<i128> = values.iter().copied().collect();
    let want: Vec<(Option<i128>, f64)> = distinct
        .iter()
        .map(|value| {
            (
                Some(*value),
                values.iter().filter(|other| *other == value).count() as f64,
            )
        })
        .collect();
    assert_eq!(classes, want, "{what}: classes");
    let histogram = got.histogram.as_ref().unwrap();
    for (i, count) in histogram.counts.iter().enumerate() {
        let last = i + 2 == edges.len();
        let held = values.iter().filter(|value| {
            edges[i] <= **value && (**value < edges[i + 1] || last && **value == edges[i + 1])
        });
        assert_eq!(count.value, held.count() as f64, "{what}: bin {i}");
    }
    assert_eq!(
        histogram.below.value,
        values.iter().filter(|value| **value < edges[0]).count() as f64,
        "{what}: below"
    );
}

type Comparison = (&'static str, fn(i128, i128) -> bool);

const COMPARISONS: [Comparison; 6] = [
    ("<", |a, b| a < b),
    ("<=", |a, b| a <= b),
    (">", |a, b| a > b),
    (">=", |a, b| a >= b),
    ("==", |a, b| a == b),
    ("!=", |a, b| a != b),
];

fn run_whole(seed: u64) {
    let mut dice = Dice(seed);
    let Whole { grid, cells } = whole(&mut dice);
    let all: Vec<i128> = cells.values().copied().collect();
    for _ in 0..6 {
        let some = all
            .get(usize::try_from(dice.range(0, 99)).unwrap() % all.len().max(1))
            .copied()
            .unwrap_or(7);
        let (op, holds) = dice.pick(&COMPARISONS);
        let bound = some + i128::from(dice.range(-1, 1));
        let edges: Vec<i128> = vec![bound - 2, bound, bound + 1, bound + 3];
        let query = StatisticsQuery::all()
            .stats(Stat::ALL)
            .classes()
            .histogram(Bins::edges(edges.iter().copied()).unwrap());
        let limited = dice.chance(70);
        let query = if limited {
            query.matching(format!("{op} {bound}").parse::<Predicate>().unwrap())
        } else {
            query
        };
        let (from, to) = (dice.range(-9, 3), dice.range(4, 12));
        let query = query.window(Window::new([-20, from], [60, to.abs_diff(from)]));
        let within = cells.iter().filter(|((_, x), value)| {
            (from..to).contains(x) && (!limited || holds(**value, bound))
        });
        let values: Vec<i128> = within.map(|(_, value)| *value).collect();
        check_whole(
            &grid.statistics(&query).unwrap(),
            &values,
            &edges,
            &format!("seed {seed}: {query:?}"),
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: check::cases(120), ..ProptestConfig::default() })]

    /// Whatever the layers, marks pending or not.
    #[test]
    fn integers_of_64_bits_are_told_apart_everywhere(seed: u64) {
        run_whole(seed);
    }
}

#[test]
fn a_nodata_value_of_64_bits_hides_no_neighbour() {
    let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 4)]);
    let schema = Schema::builder(
        Structure::builder().dimension(x).build().unwrap(),
        DType::I64,
    )
    .nodata(60.0_f64.exp2());
    let grid = Store::in_memory()
        .unwrap()
        .create("ids", schema.aggregator(Aggregation::Max).build().unwrap())
        .unwrap();
    let hole = 1_i64 << 60;
    let cells = [hole - 1, hole, hole + 1, hole + 2];
    grid.put(&Window::new([0], [4]), ArrayView1::from(&cells))
        .unwrap();
    let got = grid
        .statistics(&StatisticsQuery::all().stats(Stat::ALL))
        .unwrap();
    assert_eq!(
        (got.count.unwrap().value, got.extremes),
        (3.0, [Some((hole - 1).into()), Some((hole + 2).into())])
    );
}

#[test]
fn the_deviation_of_integers_is_that_of_their_differences() {
    let layers = [
        vec![],
        vec![Aggregation::Std],
        vec![Aggregation::Variance, Aggregation::Min, Aggregation::Max],
    ];
    for layers in layers {
        for pivot in [0, (1 << 52) - 2, 1 << 53, 1 << 60, i64::MAX - 7, i64::MIN] {
            let grid = line(DType::I64, &layers, 4);
            let cells = Array1::from_shape_fn(32, |cell| pivot + [0, 1, 6, 7][cell % 4]);
            grid.put(&Window::new([-3], [32]), &cells).unwrap();
            let got = grid
                .statistics(&StatisticsQuery::all().stats([Stat::Std]))
                .unwrap();
            let std = got.std.unwrap();
            assert!(got.exact && std.low.to_bits() == std.high.to_bits());
            let off = (std.value - 9.25_f64.sqrt()).abs();
            assert!(off < 1e-9, "{layers:?}, {pivot}: {std:?}");
        }
    }
}
