//! What the aggregations beyond the plain ones make of cells, at every level, and that all of them
//! are the same bit for bit whatever the order of writes and the number of threads.

use std::collections::BTreeMap;
use std::sync::Arc;

use gridstone::array::Cell;
use gridstone::codec::inspect;
use gridstone::kv::{Engine, KeyRange, Memory, Order, Space};
use gridstone::{
    Aggregation, Answer, Axis, DType, Dimension, ErrorKind, Freshness, Grid, Layer, Policy, Query,
    Schema, Store, Structure, Window,
};
use ndarray::{Array1, Array2, Array3};
use proptest::prelude::*;

use crate::check::{self, Dice, levels};
use crate::custom::Roughness;

fn mode(classes: u8) -> Aggregation {
    Aggregation::Mode { classes }
}

fn line(dtype: DType, nodata: Option<f64>, layers: &[Aggregation]) -> Grid {
    let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 8)]);
    let schema = Schema::builder(Structure::builder().dimension(x).build().unwrap(), dtype);
    let schema = layers
        .iter()
        .cloned()
        .fold(schema, gridstone::SchemaBuilder::aggregator);
    let schema = if let Some(nodata) = nodata {
        schema.nodata(nodata)
    } else {
        schema
    };
    Store::in_memory()
        .unwrap()
        .create("a", schema.build().unwrap())
        .unwrap()
}

/// Puts cells from 0 on, and one far off, so that there are levels enough.
fn put<T: Cell>(grid: &Grid, cells: &[T]) {
    grid.replace(&Window::new([70], [1]), &Array1::from(cells[..1].to_vec()))
        .unwrap();
    grid.replace(
        &Window::new([0], [cells.len() as u64]),
        &Array1::from(cells.to_vec()),
    )
    .unwrap();
}

fn answer(grid: &Grid, layer: &Aggregation, level: i8) -> Answer {
    grid.read(
        &Query::all()
            .levels(levels(&[level]))
            .layer(Layer::Aggregate(layer.clone())),
    )
    .unwrap()
}

fn cells(grid: &Grid, layer: &Aggregation, level: i8) -> Vec<f64> {
    answer(grid, layer, level).array.iter_f64().collect()
}

#[test]
fn names_read_back_as_they_are_written() {
    let along = |dimension: &str| {
        let dimension = dimension.to_owned();
        [
            Aggregation::First {
                dimension: dimension.clone(),
            },
            Aggregation::Last { dimension },
        ]
    };
    let own = Aggregation::Custom {
        name: "shallowest".to_owned(),
    };
    for aggregation in Aggregation::plain()
        .chain([mode(1), mode(64), own])
        .chain(along("time"))
    {
        assert_eq!(
            aggregation.to_string().parse::<Aggregation>().unwrap(),
            aggregation
        );
    }
    assert_eq!(
        "mode".parse::<Aggregation>().unwrap(),
        "mode:8".parse().unwrap()
    );
    for wrong in [
        "mode:", "mode:0", "mode:65", "mode:x", "last", "first:", "mean:2", "", "base", "x:y",
    ] {
        assert_eq!(
            wrong.parse::<Aggregation>().unwrap_err().kind(),
            &ErrorKind::Invalid,
            "{wrong}"
        );
    }
}

#[test]
fn what_does_not_compose_is_refused_with_the_reason_and_a_way_out() {
    for name in ["median", "percentile", "quantile", "quantile:0.9"] {
        let error = name.parse::<Aggregation>().unwrap_err().to_string();
        assert!(
            error.contains("does not compose") && error.contains("base cells"),
            "{error}"
        );
    }
    let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 8)]);
    let schema = Schema::builder(
        Structure::builder().dimension(x).build().unwrap(),
        DType::F32,
    );
    let error = schema
        .aggregator(Aggregation::Custom {
            name: "median".to_owned(),
        })
        .build()
        .unwrap_err();
    assert!(error.to_string().contains("does not compose"), "{error}");
}

#[test]
fn a_schema_refuses_an_aggregation_that_does_not_fit_its_structure() {
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, 1.0, 8), Axis::new("x", 0.0, 1.0, 8)],
    );
    let band = Dimension::fixed("band", ["red", "blue"]);
    let structure = Structure::builder()
        .dimension(band)
        .dimension(space)
        .build()
        .unwrap();
    let last = |dimension: &str| Aggregation::Last {
        dimension: dimension.to_owned(),
    };
    let own = Aggregation::Custom {
        name: "shallowest".to_owned(),
    };
    let refused = [
        (last("time"), "`time`"),
        (last("band"), "labels"),
        (last("space"), "several axes"),
        (own, "`shallowest`"),
    ];
    for (aggregation, why) in refused
        .into_iter()
        .chain([(mode(0), "1 to 64"), (mode(65), "1 to 64")])
    {
        let error = Schema::builder(structure.clone(), DType::F32)
            .aggregator(aggregation)
            .build()
            .unwrap_err();
        assert!(
            *error.kind() == ErrorKind::Invalid && error.to_string().contains(why),
            "{error}"
        );
    }
}

#[test]
fn variance_is_exact_where_it_can_be_and_keeps_its_digits_under_a_large_mean() {
    let layers = [Aggregation::Variance, Aggregation::Std];
    let grid = line(DType::F64, None, &layers);
    let around = |big: f64| {
        (0..64)
            .map(move |i| big + f64::from(i % 2))
            .collect::<Vec<_>>()
    };
    put(&grid, &around(1e9));
    for level in 1..=3 {
        assert!(
            cells(&grid, &layers[0], level)[..64 >> level]
                .iter()
                .all(|variance| *variance == 0.25),
            "level {level}"
        );
        assert!(
            cells(&grid, &layers[1], level)[..64 >> level]
                .iter()
                .all(|std| *std == 0.5),
            "level {level}"
        );
    }
    assert!(
        cells(&grid, &layers[0], 0)[..64]
            .iter()
            .all(|variance| *variance == 0.0),
        "a single cell does not vary"
    );
    put(&grid, &vec![0.1; 64]);
    assert!(
        cells(&grid, &layers[1], 3)[..8]
            .iter()
            .all(|std| *std == 0.0),
        "equal values do not vary"
    );
}

#[test]
fn variance_weighs_by_what_is_valid_and_infinities_make_nan() {
    let grid = line(
        DType::I16,
        Some(-1.0),
        &[Aggregation::Variance, Aggregation::Std],
    );
    put(
        &grid,
        &[2_i16, 4, 6, -1, -1, -1, 7, -1, 1, 1, 1, 1, 5, 5, 5, 5, 0],
    );
    // 2, 4, 6 have the mean 4 and the squares 4 + 0 + 4; with the 7 the mean is 4.75.
    let at = |level: i8| cells(&grid, &Aggregation::Variance, level);
    assert_eq!(at(1)[..2], [1.0, 0.0]);
    assert!(at(1)[2].is_nan(), "nothing is valid");
    assert_eq!(at(1)[3..6], [0.0, 0.0, 0.0]);
    assert!((at(2)[0] - 8.0 / 3.0).abs() < 1e-15, "{}", at(2)[0]);
    assert!((at(3)[0] - 3.6875).abs() < 1e-15, "{}", at(3)[0]);
    assert_eq!(at(3)[1], 4.0);
    assert_eq!(cells(&grid, &Aggregation::Std, 3)[1], 2.0);

    let grid = line(DType::F32, None, &[Aggregation::Variance]);
    put(
        &grid,
        &[
            f32::INFINITY,
            1.0,
            3.0,
            5.0,
            f32::NEG_INFINITY,
            f32::INFINITY,
            2.0,
            2.0,
            1.0,
        ],
    );
    assert!(
        cells(&grid, &Aggregation::Variance, 0)[0].is_nan(),
        "nor has a single one a variance"
    );
    let variances = cells(&grid, &Aggregation::Variance, 1);
    assert!(variances[0].is_nan() && variances[2].is_nan());
    assert_eq!(
        (variances[1], variances[3]),
        (1.0, 0.0),
        "others are not touched"
    );
}

#[test]
fn mode_is_the_class_of_the_largest_area_and_the_lowest_of_equal_ones() {
    let grid = line(DType::U8, Some(255.0), &[mode(8)]);
    put(
        &grid,
        &[3_u8, 1, 7, 7, 255, 2, 255, 255, 9, 9, 9, 4, 4, 4, 4, 255, 0],
    );
    assert_eq!(
        cells(&grid, &mode(8), 1)[..8],
        [1.0, 7.0, 2.0, 255.0, 9.0, 4.0, 4.0, 4.0]
    );
    assert_eq!(cells(&grid, &mode(8), 2)[..4], [7.0, 2.0, 9.0, 4.0]);
    assert_eq!(
        cells(&grid, &mode(8), 3)[..2],
        [7.0, 4.0],
        "of four cells, not of two modes"
    );
    // Modes of modes would say 1 here: 1 1 | 1 2 | 2 2 | 3 2.
    put(&grid, &[1_u8, 1, 1, 2, 2, 2, 3, 2]);
    assert_eq!(cells(&grid, &mode(8), 3)[0], 2.0);
    assert_eq!(answer(&grid, &mode(8), 3).inexact, 0);

    let grid = line(DType::F32, None, &[mode(2)]);
    put(
        &grid,
        &[
            0.5_f32,
            f32::NAN,
            -0.0,
            0.0,
            f32::INFINITY,
            f32::INFINITY,
            -1.5,
            -1.5,
            0.0,
        ],
    );
    let modes = cells(&grid, &mode(2), 2);
    assert_eq!(
        modes[0].to_bits(),
        (-0.0_f64).to_bits(),
        "-0 and 0 are one class, and the first met stands for it"
    );
    assert_eq!(modes[1], -1.5, "the lowest of equal ones");
}

/// The blobs of aggregates, by the number of their planes.
fn planes(engine: &Memory) -> BTreeMap<usize, usize> {
    let entries = engine
        .snapshot()
        .unwrap()
        .scan(Space::Aggregate, &KeyRange::all(), Order::Ascending, 1000)
        .unwrap()
        .entries;
    let mut planes = BTreeMap::new();
    entries
        .iter()
        .for_each(|(_, blob)| *planes.entry(inspect(blob).unwrap().len()).or_default() += 1);
    planes
}

#[test]
fn a_class_map_keeps_only_the_planes_that_its_fullest_cell_needs() {
    let engine: Arc<Memory> = Arc::default();
    let store = Store::options()
        .open_engine(Arc::clone(&engine) as Arc<dyn Engine>)
        .unwrap();
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, 1.0, 8), Axis::new("x", 0.0, 1.0, 8)],
    );
    let structure = Structure::builder().dimension(space).build().unwrap();
    let schema = Schema::builder(structure, DType::U8)
        .nodata(0.0)
        .aggregator(mode(64))
        .build()
        .unwrap();
    let grid = store.create("a", schema).unwrap();
    let everywhere = Window::new([0, 0], [32, 32]);
    grid.put(&everywhere, &Array2::from_elem((32, 32), 7_u8))
        .unwrap();
    assert_eq!(
        planes(&engine).into_keys().min(),
        Some(1),
        "one class everywhere is its value alone"
    );
    let most = |engine: &Memory| planes(engine).into_keys().max().unwrap();
    assert!(
        most(&engine) <= 2,
        "and the area of cells at the edge of the data"
    );
    grid.put(
        &Window::new([0, 0], [1, 1]),
        &Array2::from_elem((1, 1), 3_u8),
    )
    .unwrap();
    assert_eq!(
        most(&engine),
        6,
        "value, weight, the rest, the error, a second class and its area"
    );
    grid.put(
        &Window::new([0, 0], [1, 1]),
        &Array2::from_elem((1, 1), 7_u8),
    )
    .unwrap();
    assert!(most(&engine) <= 2, "the planes go with the class");
    assert_eq!(grid.store().verify().unwrap().findings, []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: check::cases(200) / 4 + 1, ..ProptestConfig::default() })]

    /// The class given has the largest area but for the error that the summary states, area / (K +
    /// 1); where no cell is counted as inexact it is the mode itself.
    #[test]
    fn i7_a_mode_of_too_many_classes_is_within_its_bound(seed in any::<u64>(), keep in 1..9_u8, classes in 1..30_i64, holes in 0..60_u64) {
        let mut dice = Dice(seed);
        let space = Dimension::regular("space", [Axis::new("y", 0.0, 1.0, 8), Axis::new("x", 0.0, 1.0, 8)]);
        let structure = Structure::builder().dimension(space).build().unwrap();
        let schema = Schema::builder(structure, DType::I32).nodata(-1.0).aggregator(mode(keep)).build().unwrap();
        let grid = Store::in_memory().unwrap().create("a", schema).unwrap();
        // Squares make some classes more frequent than others.
        let base = Array2::from_shape_fn((40, 40), |_| {
            let root = dice.range(0, classes * classes);
            if dice.chance(holes) { -1 } else { i32::try_from(root.isqrt()).unwrap() }
        });
        grid.put(&Window::new([0, 0], [40, 40]), &base).unwrap();
        for level in 1..=3 {
            let answer = answer(&grid, &mode(keep), level);
            let (mut wrong, mut unsure) = (0, 0);
            for (number, got) in answer.array.iter_f64().enumerate() {
                let wide = 40 >> level;
                let (y, x) = ((number / wide) << level, (number % wide) << level);
                let part = base.slice(ndarray::s![y..y + (1 << level), x..x + (1 << level)]);
                let mut counts: BTreeMap<i32, i64> = BTreeMap::new();
                part.iter().filter(|class| **class >= 0).for_each(|class| *counts.entry(*class).or_default() += 1);
                let Some(most) = counts.values().copied().max() else {
                    prop_assert_eq!(got, -1.0);
                    continue;
                };
                let exact = counts.iter().find(|(_, count)| **count == most).unwrap().0;
                let of_got = counts.iter().find(|(class, _)| f64::from(**class) == got).map_or(0, |(_, count)| *count);
                let area: i64 = counts.values().sum();
                prop_assert!((most - of_got) * (i64::from(keep) + 1) <= area, "{} of {:?}", got, counts);
                wrong += u64::from(f64::from(*exact) != got);
                unsure += u64::from(counts.len() > usize::from(keep));
            }
            prop_assert!(wrong <= answer.inexact && answer.inexact <= unsure, "{} wrong, {} said, {} could be", wrong, answer.inexact, unsure);
        }
    }
}

/// Time first or space first, the one or the other derived last.
fn series(step: f64, space_first: bool) -> Grid {
    let time = Dimension::regular("time", [Axis::new("time", 0.0, step, 2)]);
    let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 2)]);
    let structure = Structure::builder();
    let structure = if space_first {
        structure.dimension(x).dimension(time)
    } else {
        structure.dimension(time).dimension(x)
    };
    let along = |last: bool| {
        let dimension = "time".to_owned();
        if last {
            Aggregation::Last { dimension }
        } else {
            Aggregation::First { dimension }
        }
    };
    let schema = Schema::builder(structure.build().unwrap(), DType::F32)
        .aggregator(along(false))
        .aggregator(along(true));
    Store::in_memory()
        .unwrap()
        .create("a", schema.build().unwrap())
        .unwrap()
}

#[test]
fn first_and_last_go_by_the_coordinate_whatever_is_derived_first() {
    let nan = f32::NAN;
    // Rows are times, columns are places.
    let cells = [
        [1.0, 2.0, nan, nan],
        [3.0, nan, nan, 4.0],
        [nan, 5.0, nan, 6.0],
        [nan, nan, 7.0, nan],
    ];
    for (step, space_first) in [(1.0, false), (1.0, true), (-1.0, false), (-1.0, true)] {
        let grid = series(step, space_first);
        let array = ndarray::arr2(&cells);
        let array = if space_first {
            array.reversed_axes()
        } else {
            array
        };
        grid.put(&Window::new([0, 0], [4, 4]), array.view())
            .unwrap();
        let read = |name: &str, (time, x): (i8, i8)| -> Vec<f64> {
            let at = if space_first { [x, time] } else { [time, x] };
            let layer = name.parse().unwrap();
            let array = grid
                .read(&Query::all().levels(levels(&at)).layer(layer))
                .unwrap()
                .array;
            let array = array.into_typed::<f32>().unwrap();
            let array = if space_first {
                array.reversed_axes()
            } else {
                array
            };
            array.iter().map(|cell| f64::from(*cell)).collect()
        };
        // Where numbers fall along the axis the last row is the earliest.
        let (early, late) = if step > 0.0 {
            ("first:time", "last:time")
        } else {
            ("last:time", "first:time")
        };
        let same = |got: Vec<f64>, want: &[f64]| {
            let equal = got.len() == want.len()
                && got
                    .iter()
                    .zip(want)
                    .all(|(a, b)| a == b || a.is_nan() && b.is_nan());
            assert!(
                equal,
                "{got:?} is not {want:?} with a step of {step}, space first: {space_first}"
            );
        };
        let nan = f64::NAN;
        same(
            read(early, (1, 0)),
            &[1.0, 2.0, nan, 4.0, nan, 5.0, 7.0, 6.0],
        );
        same(
            read(late, (1, 0)),
            &[3.0, 2.0, nan, 4.0, nan, 5.0, 7.0, 6.0],
        );
        same(
            read(late, (0, 1)),
            &[1.0, nan, 3.0, 4.0, 5.0, 6.0, nan, 7.0],
        );
        same(read(early, (1, 1)), &[1.0, 4.0, 5.0, 6.0]);
        same(read(late, (1, 1)), &[3.0, 4.0, 5.0, 7.0]);
    }
}

/// Every layer there is, `mode` with too few classes among them.
fn everything(engine: &Arc<Memory>, policy: Policy, dtype: DType) -> Grid {
    let store = Store::options()
        .policy(policy)
        .aggregator(Arc::new(Roughness));
    let store = store
        .open_engine(Arc::clone(engine) as Arc<dyn Engine>)
        .unwrap();
    let time = Dimension::regular("time", [Axis::new("time", 0.0, 1.0, 2)]);
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
    );
    let schema = Schema::builder(
        Structure::builder()
            .dimension(time)
            .dimension(space)
            .build()
            .unwrap(),
        dtype,
    );
    let along = ["first:time", "last:time", "mode:2"].map(|name| name.parse().unwrap());
    let schema = Aggregation::plain()
        .chain(along)
        .fold(schema, gridstone::SchemaBuilder::aggregator);
    store
        .create("a", schema.custom(&Roughness).nodata(3.0).build().unwrap())
        .unwrap()
}

fn stored(engine: &Memory) -> Vec<Vec<(Vec<u8>, Vec<u8>)>> {
    let all = |space| {
        engine
            .snapshot()
            .unwrap()
            .scan(space, &KeyRange::all(), Order::Ascending, usize::MAX)
            .unwrap()
            .entries
    };
    [Space::Base, Space::Aggregate, Space::Directory]
        .map(all)
        .into()
}

/// Puts tiles in an order, and gives all that is stored then.
fn put_in_order(
    threads: usize,
    policy: Policy,
    dtype: DType,
    cells: &Array3<f64>,
    tiles: &[usize],
) -> Vec<Vec<(Vec<u8>, Vec<u8>)>> {
    let engine: Arc<Memory> = Arc::default();
    let grid = everything(&engine, policy, dtype);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    pool.install(|| {
        for tile in tiles {
            let (t, y, x) = (tile / 16, tile / 4 % 4 * 3, tile % 4 * 3);
            let part = cells.slice(ndarray::s![t..t + 1, y..y + 3, x..x + 3]);
            let window = Window::new([t as i64, y as i64 - 5, x as i64 - 5], [1, 3, 3]);
            let values: Vec<f64> = part.iter().copied().collect();
            grid.replace(&window, &crate::oracle::array(dtype, &[1, 3, 3], &values))
                .unwrap();
        }
        grid.aggregate().unwrap();
    });
    stored(&engine)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: check::cases(200) / 50 + 1, ..ProptestConfig::default() })]

    #[test]
    fn i7_what_is_stored_depends_on_neither_the_order_of_writes_nor_the_number_of_threads(
        seed in any::<u64>(),
        dtype in proptest::sample::select(vec![DType::U8, DType::I32, DType::F32, DType::F64]),
        range in prop_oneof![Just(4_i64), Just(100)],
    ) {
        let mut dice = Dice(seed);
        // Thirds are rounded at every step.
        let value = |n: i64| if dtype == DType::F64 { n as f64 / 3.0 } else { n as f64 };
        let cells = Array3::from_shape_fn((2, 12, 12), |_| value(dice.range(0, range)));
        let mut tiles: Vec<usize> = (0..32).collect();
        let first = put_in_order(1, Policy::Manual, dtype, &cells, &tiles);
        prop_assert!(first[1].len() > 100, "there are aggregates");
        for (threads, policy) in [(4, Policy::Manual), (4, Policy::Inline), (1, Policy::Inline)] {
            for i in (1..tiles.len()).rev() {
                tiles.swap(i, usize::try_from(dice.range(0, i as i64)).unwrap());
            }
            let again = put_in_order(threads, policy, dtype, &cells, &tiles);
            prop_assert!(first == again, "{} threads, {:?}, {:?}", threads, policy, tiles);
        }
    }

    #[test]
    fn i9_a_fresh_read_of_any_layer_is_bit_equal_to_what_is_stored_later(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let grid = everything(&Arc::default(), Policy::Manual, DType::F64);
        let cells = Array3::from_shape_fn((4, 12, 12), |_| dice.range(0, 20) as f64 / 3.0);
        grid.put(&Window::new([0, -5, -5], [4, 12, 12]), &cells).unwrap();
        grid.aggregate().unwrap();
        grid.put(&Window::new([1, -2, -2], [2, 3, 3]), cells.slice(ndarray::s![..2, ..3, 4..7])).unwrap();
        let read = |freshness| -> Vec<Vec<u64>> {
            let at = |layer: &Aggregation| {
                let query = Query::all().levels(levels(&[1, 2])).layer(Layer::Aggregate(layer.clone())).freshness(freshness);
                grid.read(&query).unwrap().array.iter_f64().map(f64::to_bits).collect()
            };
            grid.schema().aggregators().iter().map(at).collect()
        };
        let (fresh, stale) = (read(Freshness::Fresh), read(Freshness::Stored));
        prop_assert!(fresh != stale);
        grid.aggregate().unwrap();
        prop_assert_eq!(fresh, read(Freshness::Stored));
        prop_assert_eq!(grid.store().verify().unwrap().findings, []);
    }
}
