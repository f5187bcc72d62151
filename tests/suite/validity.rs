//! Which cells of an answer hold data: those that were put and are there, whatever stands in the
//! others.

use std::sync::Arc;

use gridstone::array::Validity;
use gridstone::kv::Memory;
use gridstone::{
    Aggregation, Axis, DType, Dimension, Extent, Freshness, Grid, Layer, Level, Levels, Moment,
    Overlap, Policy, Query, Schema, SeriesQuery, Steps, Store, Structure, Window,
};
use ndarray::{Array2, arr1, arr2, arr3};

use crate::check::{Dice, cases, levels};

fn space() -> Dimension {
    Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
    )
}

fn bytes(layers: &[Aggregation], policy: Policy) -> Grid {
    let store = Store::options()
        .policy(policy)
        .open_engine(Arc::new(Memory::new()))
        .unwrap();
    let schema = Schema::builder(
        Structure::builder().dimension(space()).build().unwrap(),
        DType::U8,
    );
    let schema = layers
        .iter()
        .fold(schema, |schema, layer| schema.aggregator(layer.clone()))
        .build()
        .unwrap();
    store.create("g", schema).unwrap()
}

fn layers() -> Vec<Aggregation> {
    Aggregation::plain().collect()
}

/// The values of all cells; `None` is no data.
fn values(grid: &Grid, query: &Query) -> Vec<Option<f64>> {
    let answer = grid.read(query).unwrap();
    let values: Vec<Option<f64>> = answer.values().collect();
    let mask = answer.valid();
    assert_eq!(
        mask.is_none(),
        values.iter().all(Option::is_some),
        "a mask is there where it says something"
    );
    assert!(mask.is_none_or(|mask| {
        mask.iter().eq(values
            .iter()
            .map(Option::is_some)
            .collect::<Vec<_>>()
            .iter())
    }));
    values
}

#[test]
fn where_nothing_was_put_or_all_was_cleared_there_is_no_data() {
    let grid = bytes(&[], Policy::Inline);
    grid.put(
        &Window::new([0, 0], [2, 3]),
        &arr2(&[[0_u8, 1, 2], [3, 4, 5]]),
    )
    .unwrap();
    let all = Query::window(Window::new([-1, 0], [3, 4]));
    let (none, some) = (None, Some);
    let expected = [
        [none; 4],
        [some(0.0), some(1.0), some(2.0), none],
        [some(3.0), some(4.0), some(5.0), none],
    ];
    assert_eq!(values(&grid, &all), expected.concat());
    grid.clear(&Window::new([0, 1], [1, 1])).unwrap();
    assert_eq!(
        values(&grid, &Query::window(Window::new([0, 0], [1, 3]))),
        [some(0.0), none, some(2.0)]
    );
    assert_eq!(
        values(
            &grid,
            &Query::extent(Extent::new([(-90.0, -80.0), (0.0, 4.0)]))
        ),
        [none; 40],
        "far away"
    );
}

#[test]
fn a_read_of_data_alone_carries_no_mask() {
    let grid = bytes(&[Aggregation::Max, Aggregation::Min], Policy::Inline);
    grid.put(
        &Window::new([0, 0], [8, 8]),
        &Array2::from_elem((8, 8), 0_u8),
    )
    .unwrap();
    for query in [
        Query::all(),
        Query::all().levels(levels(&[1])),
        Query::all().shape([3, 3]),
    ] {
        assert_eq!(grid.read(&query).unwrap().validity, Validity::All);
    }
    let least = Query::all()
        .levels(levels(&[1]))
        .layer(Layer::Aggregate(Aggregation::Min));
    assert_eq!(grid.read(&least).unwrap().validity, Validity::All);
    // Part of a chunk with holes elsewhere.
    grid.put(&Window::new([8, 8], [1, 1]), &arr2(&[[1_u8]]))
        .unwrap();
    assert_eq!(
        grid.read(&Query::window(Window::new([4, 4], [4, 4])))
            .unwrap()
            .validity,
        Validity::All
    );
}

/// Every layer at every level is data exactly where the layer that counts has some, stored and
/// fresh, below the base and above.
#[test]
fn every_layer_is_data_where_any_base_cell_is() {
    let mut dice = Dice(11);
    for case in 0..cases(40) {
        let policy = dice.pick(&[Policy::Inline, Policy::Manual]);
        let grid = bytes(&layers(), policy);
        for _ in 0..dice.range(1, 6) {
            let level: Levels = levels(&[i8::try_from(dice.range(-1, 0)).unwrap()]);
            let window = Window::new(
                [dice.range(-9, 9), dice.range(-9, 9)],
                [dice.range(1, 9) as u64, dice.range(1, 9) as u64],
            )
            .at(level);
            let shape = window.shape();
            let side = |axis: usize| usize::try_from(shape[axis]).unwrap();
            let cells = Array2::from_shape_simple_fn((side(0), side(1)), || {
                u8::try_from(dice.range(0, 3)).unwrap()
            });
            // Coarser cells over finer ones are refused, which is of no matter here.
            let _ = if dice.chance(70) {
                grid.put(&window, &cells).map(drop)
            } else {
                grid.clear(&window).map(drop)
            };
        }
        let Some(top) = grid.top().unwrap() else {
            continue;
        };
        for level in -2..=top.levels()[0].get() {
            let at = |layer: &Aggregation| {
                Query::window(Window::new([-40, -40], [80, 80]).at(levels(&[level])))
                    .layer(Layer::Aggregate(layer.clone()))
                    .freshness(Freshness::Fresh)
            };
            let counted: Vec<bool> = values(&grid, &at(&Aggregation::Count))
                .iter()
                .map(|count| count.is_some_and(|count| count > 0.0))
                .collect();
            for layer in layers() {
                // What is sampled is one cell, which need not be data where others are.
                if matches!(layer, Aggregation::Count | Aggregation::Sample) {
                    continue;
                }
                let data: Vec<bool> = values(&grid, &at(&layer))
                    .iter()
                    .map(Option::is_some)
                    .collect();
                assert_eq!(
                    data, counted,
                    "case {case} {policy:?}: {layer} at level {level}"
                );
            }
        }
    }
}

#[test]
fn a_sum_that_is_the_nodata_value_is_data() {
    let line = |name: &str| Dimension::regular(name, [Axis::new(name, 0.0, 1.0, 2)]);
    let structure = || {
        Structure::builder()
            .dimension(line("t"))
            .dimension(line("x"))
            .build()
            .unwrap()
    };
    let at = levels(&[1, 1]);
    for (dtype, nodata, cells) in [
        (
            DType::U8,
            255.0,
            [[100.0, 100.0, 255.0, 255.0], [50.0, 5.0, 255.0, 255.0]],
        ),
        (
            DType::I16,
            0.0,
            [[7.0, -7.0, 0.0, 0.0], [3.0, -3.0, 0.0, 0.0]],
        ),
        (
            DType::I8,
            -1.0,
            [[-2.0, 1.0, -1.0, -1.0], [-5.0, 5.0, -1.0, -1.0]],
        ),
    ] {
        let schema = Schema::builder(structure(), dtype)
            .nodata(nodata)
            .aggregator(Aggregation::Sum)
            .aggregator(Aggregation::Count);
        let grid = Store::in_memory()
            .unwrap()
            .create("g", schema.build().unwrap())
            .unwrap();
        let flat = cells.concat();
        let window = Window::new([0, 0], [2, 4]);
        grid.put(&window, &crate::oracle::array(dtype, &[2, 4], &flat))
            .unwrap();
        // More data, so that there are levels above the base.
        grid.put(
            &Window::new([2, 0], [2, 4]),
            &crate::oracle::array(dtype, &[2, 4], &flat),
        )
        .unwrap();
        let at_level = Query::window(window).levels(at);
        let sums = grid
            .read(&at_level.clone().layer(Layer::Aggregate(Aggregation::Sum)))
            .unwrap();
        assert_eq!(
            sums.values().collect::<Vec<_>>(),
            [Some(nodata), None],
            "{dtype}"
        );
        let raw: Vec<f64> = sums.array.iter_f64().collect();
        assert!(raw[0] != raw[1], "{dtype}: {raw:?}");
        let counts = at_level.layer(Layer::Aggregate(Aggregation::Count));
        assert_eq!(
            values(&grid, &counts),
            [Some(4.0), Some(0.0)],
            "{dtype}: every cell has a count"
        );
    }
}

#[test]
fn values_of_float_layers_are_never_the_grids_nodata() {
    let schema = Schema::builder(
        Structure::builder().dimension(space()).build().unwrap(),
        DType::I16,
    )
    .nodata(0.0);
    let schema = [Aggregation::Mean, Aggregation::Std]
        .into_iter()
        .fold(schema, |schema, layer| schema.aggregator(layer));
    let grid = Store::in_memory()
        .unwrap()
        .create("g", schema.build().unwrap())
        .unwrap();
    let window = Window::new([0, 0], [2, 4]);
    grid.put(&window, &arr2(&[[-7_i16, 7, 5, 5], [7, -7, 5, 5]]))
        .unwrap();
    grid.put(&Window::new([0, 4], [1, 1]), &arr2(&[[1_i16]]))
        .unwrap();
    let at = |layer: Aggregation| {
        Query::window(window)
            .levels(levels(&[1]))
            .layer(Layer::Aggregate(layer))
    };
    assert_eq!(
        values(&grid, &at(Aggregation::Mean)),
        [Some(0.0), Some(5.0)]
    );
    let std = values(&grid, &at(Aggregation::Std));
    assert!(
        std[0].is_some_and(|std| (std - 7.0).abs() < 1e-12) && std[1] == Some(0.0),
        "{std:?}"
    );
}

#[test]
fn a_series_says_which_steps_have_data() {
    let time = Dimension::regular("time", [Axis::new("time", 0.0, 1.0, 4)]);
    let schema = Schema::builder(
        Structure::builder()
            .dimension(time)
            .dimension(space())
            .build()
            .unwrap(),
        DType::U8,
    );
    let grid = Store::in_memory()
        .unwrap()
        .create("g", schema.aggregator(Aggregation::Max).build().unwrap())
        .unwrap();
    for step in [0, 1, 5] {
        grid.put(&Window::new([step, 0, 0], [1, 1, 2]), &arr3(&[[[0_u8, 9]]]))
            .unwrap();
    }
    let series = grid
        .series(
            &SeriesQuery::at([-0.5, 0.5])
                .and([-0.5, 1.5])
                .and([-3.5, 0.5]),
        )
        .unwrap();
    let (none, zero, nine) = (None, Some(0.0), Some(9.0));
    let expected = [
        [zero, zero, none, none, none, zero],
        [nine, nine, none, none, none, nine],
        [none; 6],
    ];
    assert_eq!(series.values().collect::<Vec<_>>(), expected.concat());
    let single = grid
        .series(&SeriesQuery::at([-0.5, 0.5]).steps(Steps::all().range(0.0, 2.0)))
        .unwrap();
    assert_eq!(
        (single.values().collect::<Vec<_>>(), single.valid()),
        (vec![zero, zero], None)
    );
}

fn events(dtype: DType, nodata: Option<f64>) -> Grid {
    let time = Dimension::irregular("time", "seconds since 1970-01-01", 4, 60);
    let schema = Schema::builder(
        Structure::builder()
            .dimension(time)
            .dimension(space())
            .build()
            .unwrap(),
        dtype,
    );
    let schema = nodata
        .into_iter()
        .fold(schema, |schema, nodata| schema.nodata(nodata));
    let schema = schema
        .aggregator(Aggregation::Max)
        .aggregator(Aggregation::Sum)
        .aggregator(Aggregation::Count);
    Store::in_memory()
        .unwrap()
        .create("g", schema.build().unwrap())
        .unwrap()
}

#[test]
fn between_two_events_is_data_where_both_have_some() {
    for (dtype, nodata) in [
        (DType::I16, None),
        (DType::I16, Some(-1.0)),
        (DType::F32, None),
        (DType::F64, Some(0.0)),
    ] {
        let grid = events(dtype, nodata);
        let put = |tick: i64, cells: &[f64]| {
            let array = crate::oracle::array(dtype, &[1, 1, cells.len()], cells);
            grid.put_events(&[tick], [0, 0], &array, Overlap::Merge)
                .unwrap();
        };
        // Between -100 and 100 lies 0, which is the nodata value of one of the grids.
        put(0, &[100.0, 100.0, -100.0]);
        put(100, &[200.0]);
        grid.put_events(
            &[100],
            [0, 2],
            &crate::oracle::array(dtype, &[1, 1, 1], &[100.0]),
            Overlap::Merge,
        )
        .unwrap();
        let query = Query::window(Window::new([0, 0, 0], [101, 1, 3])).moment(50, Moment::Linear);
        assert_eq!(
            values(&grid, &query),
            [Some(150.0), None, Some(0.0)],
            "{dtype} {nodata:?}"
        );
    }
}

#[test]
fn events_and_their_steps_say_which_cells_they_have() {
    let grid = events(DType::U8, None);
    grid.put_events(
        &[0, 7],
        [0, 0],
        &arr3(&[[[0_u8, 1]], [[2, 3]]]),
        Overlap::Merge,
    )
    .unwrap();
    grid.put_events(&[3], [0, 1], &arr3(&[[[0_u8]]]), Overlap::Merge)
        .unwrap();
    let window = Window::new([0, 0, 0], [8, 1, 2]);
    let expected = [Some(0.0), Some(1.0), None, Some(0.0), Some(2.0), Some(3.0)];
    assert_eq!(values(&grid, &Query::window(window)), expected);
    let steps = Query::window(window)
        .every(2, 0)
        .layer(Layer::Aggregate(Aggregation::Max));
    let none = None;
    assert_eq!(
        values(&grid, &steps),
        [
            Some(0.0),
            Some(1.0),
            none,
            Some(0.0),
            none,
            none,
            Some(2.0),
            Some(3.0)
        ]
    );
    let series = grid
        .series(&SeriesQuery::at([-0.5, 0.5]).and([-0.5, 1.5]))
        .unwrap();
    assert_eq!(
        series.values().collect::<Vec<_>>(),
        [Some(0.0), none, Some(2.0), Some(1.0), Some(0.0), Some(3.0)]
    );
    let bins = Query::window(window)
        .levels(levels(&[3, 0]))
        .layer(Layer::Aggregate(Aggregation::Sum));
    // The event at 7 is in the next bin.
    assert_eq!(
        values(&grid, &bins),
        [Some(0.0), Some(1.0), Some(2.0), Some(3.0)]
    );
}

#[test]
fn finer_levels_repeat_cells_and_holes() {
    let structure = Structure::builder()
        .dimension(Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 4)]))
        .build()
        .unwrap();
    let schema = Schema::builder(structure, DType::I32)
        .nodata(-1.0)
        .aggregator(Aggregation::Min)
        .build()
        .unwrap();
    let grid = Store::in_memory().unwrap().create("g", schema).unwrap();
    grid.put(&Window::new([0], [3]), &arr1(&[5_i32, -1, 7]))
        .unwrap();
    assert_eq!(values(&grid, &Query::all()), [Some(5.0), None, Some(7.0)]);
    let finer: Levels = [Level::new(-1).unwrap()].into_iter().collect();
    assert_eq!(
        values(&grid, &Query::all().levels(finer)),
        [Some(5.0), Some(5.0), None, None, Some(7.0), Some(7.0)]
    );
}
