//! Steps of regular time of any length: each is what its base cells are together.

use gridstone::calendar::{TimeStep, TimeUnit};
use gridstone::{
    Aggregation, Axis, DType, Dimension, ErrorKind, Extent, Freshness, Grid, Layer, Policy, Query,
    Resampling, Schema, SeriesQuery, Steps, Store, Structure, Window,
};
use ndarray::{Array3, ArrayD, Axis as Along, IxDyn};
use proptest::prelude::*;

use crate::check::{self, Dice, levels};

const LAYERS: [Aggregation; 5] = [
    Aggregation::Mean,
    Aggregation::Sum,
    Aggregation::Count,
    Aggregation::Min,
    Aggregation::Max,
];

/// Cells of 3 hours from hour 12 on; rows from north to south.
fn grid(store: &Store) -> Grid {
    let time = Dimension::regular("time", [Axis::new("time", 12.0, 3.0, 8)]);
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 50.0, -1.0, 4), Axis::new("x", 100.0, 2.0, 4)],
    );
    let structure = Structure::builder()
        .dimension(time)
        .dimension(space)
        .build()
        .unwrap();
    let schema = LAYERS.into_iter().fold(
        Schema::builder(structure, DType::F32),
        gridstone::SchemaBuilder::aggregator,
    );
    store.create("rain", schema.build().unwrap()).unwrap()
}

fn filled(dice: &mut Dice) -> Grid {
    let policy = dice.pick(&[Policy::Inline, Policy::Manual]);
    let store = Store::options()
        .policy(policy)
        .open_engine(std::sync::Arc::new(gridstone::kv::Memory::new()))
        .unwrap();
    let grid = grid(&store);
    for _ in 0..dice.range(1, 5) {
        let start = [dice.range(-30, 30), dice.range(-9, 9), dice.range(-9, 9)];
        let shape = [dice.range(1, 40), dice.range(1, 12), dice.range(1, 12)]
            .map(|len| usize::try_from(len).unwrap());
        let array = Array3::from_shape_fn(shape, |_| {
            if dice.chance(30) {
                f32::NAN
            } else {
                dice.range(0, 99) as f32
            }
        });
        grid.put(&Window::new(start, shape.map(|len| len as u64)), &array)
            .unwrap();
        if dice.chance(40) {
            grid.aggregate().unwrap();
        }
    }
    grid
}

/// What was put, with its window.
fn base(grid: &Grid) -> (Window, ArrayD<f64>) {
    let answer = grid.read(&Query::all().layer(Layer::Base)).unwrap();
    (
        answer.window,
        ArrayD::from_shape_vec(
            IxDyn(answer.array.shape()),
            answer.array.iter_f64().collect(),
        )
        .unwrap(),
    )
}

fn of(layer: &Aggregation, cells: &[f64]) -> f64 {
    let sum = cells.iter().sum::<f64>();
    match layer {
        Aggregation::Count => cells.len() as f64,
        _ if cells.is_empty() => f64::NAN,
        Aggregation::Sum => sum,
        Aggregation::Min => cells.iter().copied().fold(f64::INFINITY, f64::min),
        Aggregation::Max => cells.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        _ => sum / cells.len() as f64,
    }
}

fn position(index: i64, start: i64) -> usize {
    usize::try_from(index - start).unwrap()
}

/// The valid base cells of a step from edge to edge and of a cell of space at a level.
fn cells_of(
    (window, values): &(Window, ArrayD<f64>),
    hours: (f64, f64),
    level: u32,
    at: [i64; 2],
) -> Vec<f64> {
    let (start, end, side) = (window.start(), window.end(), 1_i64 << level);
    let mut found = Vec::new();
    for t in start[0]..end[0] {
        let begins = 12.0 + 3.0 * t as f64;
        if begins < hours.0 || begins >= hours.1 {
            continue;
        }
        for y in (at[0] * side).max(start[1])..((at[0] + 1) * side).min(end[1]) {
            for x in (at[1] * side).max(start[2])..((at[1] + 1) * side).min(end[2]) {
                found.push(
                    values[[
                        position(t, start[0]),
                        position(y, start[1]),
                        position(x, start[2]),
                    ]],
                );
            }
        }
    }
    found.retain(|value| !value.is_nan());
    found
}

fn edges(dice: &mut Dice) -> Vec<f64> {
    let (mut at, mut edges) = (dice.range(-100, 60) as f64, Vec::new());
    for _ in 0..dice.range(2, 12) {
        edges.push(at);
        at += dice.pick(&[1.0, 3.0, 7.5, 24.0, 30.0, 96.0]);
    }
    edges
}

fn near(got: f64, want: f64) -> bool {
    got.is_nan() && want.is_nan() || (got - want).abs() <= 1e-6 * want.abs().max(1.0)
}

fn run(seed: u64) {
    let mut dice = Dice(seed);
    let grid = filled(&mut dice);
    let dense = base(&grid);
    for _ in 0..12 {
        let (edges, layer) = (edges(&mut dice), dice.pick(&LAYERS));
        let top = i64::from(grid.top().unwrap().unwrap().levels()[1].get());
        let level = dice.range(0, top.min(2));
        let freshness = if level == 0 {
            dice.pick(&[Freshness::Fresh, Freshness::Stored])
        } else {
            Freshness::Fresh
        };
        let query = Query::all()
            .levels(levels(&[0, i8::try_from(level).unwrap()]))
            .edges(edges.iter().copied());
        let query = query
            .layer(Layer::Aggregate(layer.clone()))
            .freshness(freshness);
        let context = format!("seed {seed}: {layer:?} at {level}, {edges:?}");
        let answer = match grid.read(&query) {
            Ok(answer) => answer,
            Err(error) => {
                assert_eq!(error.kind(), &ErrorKind::NotFound, "{context}: {error}");
                let all = (edges[0], edges[edges.len() - 1]);
                let (start, end) = (dense.0.start(), dense.0.end());
                let any =
                    (start[0]..end[0]).any(|t| (all.0..all.1).contains(&(12.0 + 3.0 * t as f64)));
                assert!(!any, "{context}: {error}");
                continue;
            }
        };
        assert!(answer.stale.is_empty(), "{context}");
        let steps = answer.steps.clone().expect("steps");
        assert_eq!(answer.array.shape()[0], steps.len() - 1, "{context}");
        assert!(
            steps.iter().all(|edge| edges.contains(edge)),
            "{context}: {steps:?}"
        );
        let got = ArrayD::from_shape_vec(
            IxDyn(answer.array.shape()),
            answer.array.iter_f64().collect(),
        )
        .unwrap();
        let valid: Vec<Option<f64>> = answer.values().collect();
        for ((index, got), valid) in got.indexed_iter().zip(valid) {
            let at = [1, 2]
                .map(|axis| answer.window.start()[axis] + i64::try_from(index[axis]).unwrap());
            let hours = (steps[index[0]], steps[index[0] + 1]);
            let cells = cells_of(&dense, hours, u32::try_from(level).unwrap(), at);
            let want = of(&layer, &cells);
            assert!(
                near(*got, want),
                "{context}: {index:?} is {got}, not {want}"
            );
            assert_eq!(
                valid.is_some(),
                !cells.is_empty() || layer == Aggregation::Count,
                "{context}: {index:?}"
            );
        }
        series(&grid, &dense, &mut dice, (&edges, &layer));
    }
}

/// The same steps of some places.
fn series(
    grid: &Grid,
    dense: &(Window, ArrayD<f64>),
    dice: &mut Dice,
    (edges, layer): (&[f64], &Aggregation),
) {
    let places: Vec<[i64; 2]> = (0..dice.range(1, 4))
        .map(|_| [dice.range(-12, 22), dice.range(-12, 22)])
        .collect();
    let world = |at: &[i64; 2]| [50.0 - at[0] as f64 - 0.5, 100.0 + 2.0 * at[1] as f64 + 1.0];
    let mut query =
        SeriesQuery::at(world(&places[0])).steps(Steps::all().edges(edges.iter().copied()));
    query = places[1..]
        .iter()
        .fold(query, |query, at| query.and(world(at)))
        .layer(Layer::Aggregate(layer.clone()));
    let series = grid.series(&query).unwrap();
    let got: Vec<f64> = series.array.iter_f64().collect();
    let steps = series.edges.len() - 1;
    assert_eq!(series.array.shape(), [places.len(), steps]);
    for (number, got) in got.into_iter().enumerate() {
        let hours = (
            series.edges[number % steps],
            series.edges[number % steps + 1],
        );
        let want = of(layer, &cells_of(dense, hours, 0, places[number / steps]));
        assert!(
            near(got, want),
            "{layer:?} of {places:?}: {number} is {got}, not {want}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: check::cases(60), ..ProptestConfig::default() })]

    #[test]
    fn steps_of_regular_time_are_what_their_cells_are_together(seed: u64) {
        run(seed);
    }
}

/// A value an hour for years: the number of its hour.
fn hours(unit: &str, len: usize) -> Grid {
    let time = Dimension::regular("time", [Axis::new("time", 0.0, 1.0, 512).unit(unit)]);
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 2), Axis::new("x", 0.0, 1.0, 2)],
    );
    let structure = Structure::builder()
        .dimension(time)
        .dimension(space)
        .build()
        .unwrap();
    let schema = Schema::builder(structure, DType::F64)
        .aggregator(Aggregation::Mean)
        .aggregator(Aggregation::Max);
    let grid = Store::in_memory()
        .unwrap()
        .create("hours", schema.build().unwrap())
        .unwrap();
    let array = Array3::from_shape_fn((len, 2, 2), |(t, y, x)| (t + y + x) as f64);
    grid.put(&Window::new([0, 0, 0], [len as u64, 2, 2]), &array)
        .unwrap();
    grid
}

#[test]
fn months_and_seasons_begin_where_the_calendar_says() {
    let unit = "hours since 2023-11-30T18:00:00Z";
    let grid = hours(unit, 24 * 500);
    let calendar = TimeUnit::parse(unit, "standard").unwrap();
    let step = |text: &str| text.parse::<TimeStep>().unwrap();
    let end = 24.0 * 500.0;
    let lengths = |text: &str| -> Vec<f64> {
        let edges = calendar.edges(step(text), 0.0, end).unwrap();
        let answer = grid.read(&Query::all().edges(edges)).unwrap();
        let steps = answer.steps.clone().unwrap();
        let mean: Vec<f64> = answer.array.iter_f64().step_by(4).collect();
        let max = grid
            .read(
                &Query::all()
                    .edges(steps.iter().copied())
                    .layer(Layer::Aggregate(Aggregation::Max)),
            )
            .unwrap();
        let max: Vec<f64> = max.array.iter_f64().step_by(4).collect();
        for (number, pair) in steps.windows(2).enumerate() {
            let (first, last) = (pair[0].max(0.0), pair[1].min(end) - 1.0);
            assert_eq!(
                (mean[number], max[number]),
                (f64::midpoint(first, last), last),
                "{text} {number}"
            );
        }
        steps
            .windows(2)
            .map(|pair| (pair[1] - pair[0]) / 24.0)
            .collect()
    };
    assert_eq!(
        lengths("1mo")[..6],
        [30.0, 31.0, 31.0, 29.0, 31.0, 30.0],
        "2024 has a 29 February"
    );
    assert_eq!(lengths("1season")[..3], [91.0, 91.0, 92.0], "SON, DJF, MAM");
    assert_eq!(lengths("1y"), [365.0, 366.0, 365.0]);
    assert_eq!(lengths("1d").len(), 501);
    assert!((334..=335).contains(&lengths("36h").len()));
}

#[test]
fn steps_go_with_extents_shapes_and_versions() {
    let grid = hours("hours since 2024-01-01", 24 * 40);
    let days: Vec<f64> = (0..=40).map(|day| f64::from(day) * 24.0).collect();
    let of = |query: Query| query.edges(days.iter().copied());
    let all = grid.read(&of(Query::all())).unwrap();
    assert_eq!(all.array.shape(), [40, 2, 2]);
    let part = grid
        .read(&of(Query::extent(Extent::new([
            (48.0, 96.0),
            (-2.0, 0.0),
            (0.0, 1.0),
        ]))))
        .unwrap();
    assert_eq!(
        (part.array.shape(), part.steps.as_deref()),
        (&[2, 2, 1][..], Some(&days[2..=4]))
    );
    assert_eq!(part.array.iter_f64().next(), Some(48.0 + 11.5));
    let small = grid
        .read(
            &of(Query::all())
                .shape([1, 1, 1])
                .resampled(Resampling::Area),
        )
        .unwrap();
    let cells: Vec<f64> = small.array.iter_f64().collect();
    let means = ArrayD::from_shape_vec(IxDyn(&[40, 4]), all.array.iter_f64().collect()).unwrap();
    assert_eq!(
        cells,
        means
            .mean_axis(Along(1))
            .unwrap()
            .into_iter()
            .collect::<Vec<f64>>()
    );
    let (query, version) = (of(Query::all()), grid.version(&of(Query::all())).unwrap());
    assert_eq!(grid.version(&query).unwrap(), version);
    let others = Query::all().edges(days.iter().map(|edge| edge + 1.0));
    assert_ne!(
        grid.version(&others).unwrap(),
        version,
        "other steps are another answer"
    );
    grid.put(
        &Window::new([100, 1, 1], [1, 1, 1]),
        &Array3::from_elem((1, 1, 1), 9.0_f64),
    )
    .unwrap();
    assert_ne!(grid.version(&query).unwrap(), version);
}

#[test]
fn steps_that_cannot_be_made_are_refused() {
    let grid = hours("hours since 2024-01-01", 48);
    let refused = |query: Query| grid.read(&query).unwrap_err().to_string();
    assert!(
        refused(Query::all().edges([0.0, 24.0]).layer(Layer::Base))
            .contains("made by an aggregator")
    );
    assert!(refused(Query::all().edges([24.0, 0.0])).contains("rise"));
    assert!(refused(Query::all().edges([0.0])).contains("two edges"));
    assert!(refused(Query::all().edges([500.0, 600.0])).contains("no step"));
    assert!(refused(Query::all().every(24, 0)).contains("no irregular dimension"));
    assert_eq!(
        grid.read(&Query::all().edges([0.0, 24.0]))
            .unwrap()
            .array
            .shape(),
        [1, 2, 2]
    );
}
