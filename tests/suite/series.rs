//! A series is what reads of its cells one by one would give.

use gridstone::{
    Aggregation, Axis, DType, Dimension, ErrorKind, Freshness, Grid, Layer, Level, Policy, Query,
    Schema, SeriesQuery, Steps, Store, Structure, Window,
};
use ndarray::Array3;

use crate::check::Dice;

const HOURS: &str = "hours since 2018-09-13T19:00:00Z";

/// Steps of 3 hours from hour 12 on; rows from north to south.
fn grid(store: &Store) -> Grid {
    let time = Dimension::regular("time", [Axis::new("time", 12.0, 3.0, 4).unit(HOURS)]);
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 50.0, -1.0, 8), Axis::new("x", 100.0, 2.0, 8)],
    );
    let structure = Structure::builder()
        .dimension(time)
        .dimension(space)
        .build()
        .unwrap();
    let schema = Schema::builder(structure, DType::F32)
        .aggregator(Aggregation::Mean)
        .aggregator(Aggregation::Sum);
    store.create("rain", schema.build().unwrap()).unwrap()
}

fn filled(store: &Store, dice: &mut Dice) -> Grid {
    let grid = grid(store);
    for _ in 0..6 {
        let start = [
            dice.range(-20, 20),
            dice.range(-10, 10),
            dice.range(-10, 10),
        ];
        let array = Array3::from_shape_fn((9, 12, 11), |_| {
            if dice.chance(20) {
                f32::NAN
            } else {
                dice.range(0, 99) as f32
            }
        });
        grid.put(&Window::new(start, [9, 12, 11]), &array).unwrap();
    }
    grid
}

#[expect(clippy::cast_possible_truncation, reason = "small whole numbers")]
fn whole(position: f64) -> i64 {
    position as i64
}

/// The series of one cell by a read of its own; NaN as a number, so that it can be compared.
fn read(grid: &Grid, series: &gridstone::Series, cell: [f64; 2], freshness: Freshness) -> Vec<u64> {
    let structure = grid.structure();
    let level = series.levels[0];
    let at = |axis: usize, world: f64| whole(structure.position(axis, Level::ZERO, world).floor());
    let first = whole(structure.position(0, level, series.edges[0]).round());
    let window = Window::new(
        [first, at(1, cell[0]), at(2, cell[1])],
        [series.edges.len() as u64 - 1, 1, 1],
    )
    .at(series.levels);
    let answer = grid
        .read(
            &Query::window(window)
                .layer(series.layer.clone())
                .freshness(freshness),
        )
        .unwrap();
    answer.array.iter_f64().map(bits).collect()
}

fn bits(value: f64) -> u64 {
    if value.is_nan() {
        f64::NAN.to_bits()
    } else {
        value.to_bits()
    }
}

#[test]
fn a_series_of_many_cells_is_the_series_of_each() {
    let mut dice = Dice(7);
    for policy in [Policy::Inline, Policy::Manual] {
        let store = Store::options()
            .policy(policy)
            .open_engine(std::sync::Arc::new(gridstone::kv::Memory::new()))
            .unwrap();
        let grid = filled(&store, &mut dice);
        for case in 0..60 {
            let cells: Vec<[f64; 2]> = (0..dice.range(1, 9))
                .map(|_| {
                    [
                        dice.range(35, 65) as f64 + 0.5,
                        dice.range(70, 130) as f64 + 0.5,
                    ]
                })
                .collect();
            let freshness = dice.pick(&[Freshness::Stored, Freshness::Fresh]);
            let mut steps = Steps::all();
            if dice.chance(50) {
                let from = dice.range(-40, 40) as f64;
                steps = steps.range(from, from + dice.range(10, 60) as f64);
            }
            if dice.chance(50) {
                steps = steps.points(usize::try_from(dice.range(1, 12)).unwrap());
            }
            let mut query = SeriesQuery::at(cells[0]).freshness(freshness).steps(steps);
            query = cells[1..]
                .iter()
                .fold(query, |query, cell| query.and(*cell));
            if dice.chance(50) {
                query = query.layer(Layer::Aggregate(Aggregation::Sum));
            }
            let series = match grid.series(&query) {
                Ok(series) => series,
                Err(error) => {
                    assert!(
                        error.to_string().contains("nothing was put in the range"),
                        "case {case}: {error}"
                    );
                    continue;
                }
            };
            assert_eq!(series.array.shape(), [cells.len(), series.edges.len() - 1]);
            let values: Vec<u64> = series.array.iter_f64().map(bits).collect();
            for (cell, values) in cells.iter().zip(values.chunks(series.edges.len() - 1)) {
                assert_eq!(
                    values,
                    read(&grid, &series, *cell, freshness),
                    "case {case}: {cell:?} of {query:?}"
                );
            }
        }
    }
}

#[test]
fn a_chunk_of_several_cells_is_decoded_once() {
    let store = Store::in_memory().unwrap();
    let grid = grid(&store);
    grid.put(
        &Window::new([0, 0, 0], [16, 16, 16]),
        &Array3::<f32>::ones((16, 16, 16)),
    )
    .unwrap();
    let one = grid.series(&SeriesQuery::at([49.5, 101.0])).unwrap();
    assert_eq!(one.chunks_read, 4, "16 steps in chunks of 4");
    // Rows 0 to 7 and columns 0 to 7 are one column of chunks; column 8 is in the next.
    let query = SeriesQuery::at([49.5, 101.0])
        .and([42.5, 115.0])
        .and([45.0, 107.0])
        .and([49.5, 117.0]);
    assert_eq!(grid.series(&query).unwrap().chunks_read, 8);
}

#[test]
fn points_choose_the_finest_level_that_has_no_more() {
    let store = Store::in_memory().unwrap();
    let grid = grid(&store);
    let array = Array3::from_shape_fn((16, 8, 8), |(t, ..)| t as f32);
    grid.put(&Window::new([0, 0, 0], [16, 8, 8]), &array)
        .unwrap();
    let series = |points: usize| {
        grid.series(&SeriesQuery::at([49.5, 101.0]).steps(Steps::all().points(points)))
            .unwrap()
    };
    for (points, level, steps) in [(16, 0, 16), (15, 1, 8), (8, 1, 8), (5, 2, 4), (4, 2, 4)] {
        let series = series(points);
        assert_eq!(
            (series.levels[0].get(), series.array.shape()[1]),
            (level, steps),
            "{points} points"
        );
    }
    let means: Vec<f64> = series(4).array.iter_f64().collect();
    assert_eq!(means, [1.5, 5.5, 9.5, 13.5]);
    assert_eq!(series(4).edges, [12.0, 24.0, 36.0, 48.0, 60.0]);
    assert_eq!(series(16).layer, Layer::Base);
    assert_eq!(series(4).layer, Layer::Aggregate(Aggregation::Mean));
    let part = grid
        .series(&SeriesQuery::at([49.5, 101.0]).steps(Steps::all().range(15.0, 21.0)))
        .unwrap();
    assert_eq!(
        (part.edges, part.array.iter_f64().collect::<Vec<_>>()),
        (vec![15.0, 18.0, 21.0], vec![1.0, 2.0])
    );
}

#[test]
fn what_is_no_series_is_refused_by_name() {
    let store = Store::in_memory().unwrap();
    let grid = grid(&store);
    let refused = |query: SeriesQuery, kind: ErrorKind, why: &str| {
        let error = grid.series(&query).unwrap_err();
        assert_eq!(*error.kind(), kind, "{error}");
        assert!(
            error.to_string().contains(why) && error.to_string().contains("grid `rain`"),
            "{error}"
        );
    };
    refused(
        SeriesQuery::at([49.5, 101.0]),
        ErrorKind::NotFound,
        "nothing was put yet",
    );
    grid.put(
        &Window::new([0, 0, 0], [4, 8, 8]),
        &Array3::<f32>::ones((4, 8, 8)),
    )
    .unwrap();
    refused(
        SeriesQuery::at([49.5]),
        ErrorKind::Invalid,
        "a cell of 1 coordinates does not fit the axes y, x",
    );
    refused(
        SeriesQuery::at([f64::NAN, 101.0]),
        ErrorKind::Invalid,
        "along `y` is outside the index space",
    );
    refused(
        SeriesQuery::at([1e17, 101.0]),
        ErrorKind::Invalid,
        "axis `y`",
    );
    refused(
        SeriesQuery::at([49.5, 101.0]).steps(Steps::all().along("space")),
        ErrorKind::NotFound,
        "no levelled dimension `space` of one axis",
    );
    refused(
        SeriesQuery::at([49.5, 101.0]).steps(Steps::all().range(900.0, 901.0)),
        ErrorKind::NotFound,
        "there are steps from 12 to 24",
    );
    refused(
        SeriesQuery::at([49.5, 101.0]).layer(Layer::Aggregate(Aggregation::Max)),
        ErrorKind::NotFound,
        "no layer `max`",
    );
}
