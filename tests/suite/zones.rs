//! Statistics of several polygons in one pass, and of steps of any lengths: each against a dense
//! computation.

use gridstone::{
    Aggregation, Axis, DType, Dimension, ErrorKind, Polygon, Schema, Stat, StatisticsQuery, Steps,
    Store, Structure, Window,
};
use ndarray::{Array2, Array3};
use proptest::prelude::*;

use crate::check::{self, Dice, levels};
use crate::statistics::{Asked, Dense, ask, dense};

/// Asks until there are some polygons, all with the other conditions of the first.
fn polygons(dice: &mut Dice, dense: &Dense) -> Vec<Asked> {
    let first = ask(dice, dense);
    let mut found = Vec::new();
    for _ in 0..30 {
        let other = ask(dice, dense);
        if other.polygon.is_some() && found.len() < 5 {
            found.push(Asked {
                plane: other.plane,
                polygon: other.polygon,
                ..first.clone()
            });
        }
    }
    found
}

/// Edges in quarters of cells along an axis, rising, and the axis; none where coordinates fall
/// along it.
fn edges(dice: &mut Dice, dense: &Dense) -> Option<(usize, String, Vec<f64>)> {
    let structure = dense.grid.structure();
    let single =
        |d: &usize| structure.axes_of(*d).len() == 1 && !structure.dimensions()[*d].is_fixed();
    let d = (0..structure.dimensions().len()).find(single)?;
    let axis = structure.axes_of(d).start;
    if !dense.rising(axis) {
        return None;
    }
    let edge = |cell: i64| structure.edge(axis, levels(&dense.base)[d], cell);
    let (mut at, mut edges) = (dice.range(-120, 0), Vec::new());
    for _ in 0..dice.range(2, 12) {
        edges.push(edge(0) + at as f64 / 4.0 * (edge(1) - edge(0)));
        at += dice.range(1, 40);
    }
    Some((axis, structure.dimensions()[d].name().to_owned(), edges))
}

fn run(seed: u64) {
    let mut dice = Dice(seed);
    let dense = dense(&mut dice);
    let asked = polygons(&mut dice, &dense);
    let all: Vec<Polygon> = asked
        .iter()
        .filter_map(|asked| asked.polygon.clone())
        .collect();
    let Some(first) = asked.first() else { return };
    let query = first
        .query
        .clone()
        .stats(Stat::ALL)
        .histogram(first.bins.clone())
        .classes();
    let zones = dense
        .grid
        .statistics_of_each(&query, &all)
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    assert_eq!(zones.each.len(), all.len());
    for (number, (asked, got)) in asked.iter().zip(&zones.each).enumerate() {
        dense.check(
            asked,
            got,
            &format!("seed {seed}, polygon {number} of {query:?}"),
        );
    }
    let Some((axis, name, edges)) = edges(&mut dice, &dense) else {
        return;
    };
    let steps = Steps::all().along(name).edges(edges.iter().copied());
    let series = match dense.grid.statistics_series_of_each(&query, &all, &steps) {
        Ok(series) => series,
        Err(error) => {
            return assert_eq!(error.kind(), &ErrorKind::NotFound, "seed {seed}: {error}");
        }
    };
    let structure = dense.grid.structure();
    let level = levels(&dense.base)[structure.dimension_of(axis)];
    for (number, (asked, series)) in asked.iter().zip(&series.each).enumerate() {
        assert_eq!(series.edges.len(), series.steps.len() + 1);
        for (pair, got) in series.edges.windows(2).zip(&series.steps) {
            // A cell belongs to the step in which it begins, wherever its centre is.
            let cell = |edge: f64| (structure.position(axis, level, edge) - 1e-6).ceil();
            let mut sides = vec![(f64::NEG_INFINITY, f64::INFINITY); structure.rank()];
            sides[axis] = (cell(pair[0]), cell(pair[1]));
            let of_step = Asked {
                boxes: [asked.boxes.clone(), vec![sides]].concat(),
                ..asked.clone()
            };
            dense.check(
                &of_step,
                got,
                &format!(
                    "seed {seed}, polygon {number} from {} to {}",
                    pair[0], pair[1]
                ),
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: check::cases(150), ..ProptestConfig::default() })]

    #[test]
    fn i7_i9_statistics_of_each_polygon_are_those_of_its_cells(seed: u64) {
        run(seed);
    }
}

#[test]
fn a_chunk_is_read_once_for_all_polygons() {
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 16), Axis::new("x", 0.0, 1.0, 16)],
    );
    let schema = Schema::builder(
        Structure::builder().dimension(space).build().unwrap(),
        DType::F32,
    );
    let layers = [Aggregation::Sum, Aggregation::Count];
    let schema = layers
        .into_iter()
        .fold(schema, gridstone::SchemaBuilder::aggregator)
        .build()
        .unwrap();
    let grid = Store::in_memory().unwrap().create("dem", schema).unwrap();
    grid.put(
        &Window::new([0, 0], [256, 256]),
        &Array2::from_elem((256, 256), 1.0_f32),
    )
    .unwrap();
    let query = StatisticsQuery::all().stats([Stat::Sum, Stat::Mean]);
    let tile = |i: u32| {
        let (x, y) = (
            f64::from(i % 16) * 16.0 + 5.25,
            f64::from(i / 16) * -16.0 - 4.75,
        );
        Polygon::rectangle(["x", "y"], [(x, x + 16.0), (y - 16.0, y)]).unwrap()
    };
    let tiles: Vec<Polygon> = (0..256).map(tile).collect();
    let zones = grid.statistics_of_each(&query, &tiles).unwrap();
    assert!(zones.chunks_read.base <= 256, "{:?}", zones.chunks_read);
    let alone: u64 = tiles
        .iter()
        .map(|tile| {
            grid.statistics(&query.clone().polygon(tile.clone()))
                .unwrap()
                .chunks_read
                .base
        })
        .sum();
    assert!(
        alone > 800,
        "each chunk lies in up to four of them: {alone}"
    );
    assert_eq!(
        zones
            .each
            .iter()
            .map(|zone| zone.sum.unwrap().value)
            .sum::<f64>(),
        251.0 * 251.0
    );
}

#[test]
fn what_polygons_cannot_be_told_of_is_refused_with_their_number() {
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
    );
    let time = Dimension::regular("time", [Axis::new("time", 0.0, 1.0, 4)]);
    let schema = Schema::builder(
        Structure::builder()
            .dimension(time)
            .dimension(space)
            .build()
            .unwrap(),
        DType::F32,
    );
    let grid = Store::in_memory()
        .unwrap()
        .create("rain", schema.build().unwrap())
        .unwrap();
    grid.put(
        &Window::new([0, 0, 0], [4, 4, 4]),
        &Array3::from_elem((4, 4, 4), 1.0_f32),
    )
    .unwrap();
    let of = |axes: [&str; 2]| Polygon::rectangle(axes, [(0.0, 4.0), (-4.0, 0.0)]).unwrap();
    let all = StatisticsQuery::all().stats([Stat::Count]);
    let error = grid
        .statistics_of_each(&all, &[of(["x", "y"]), of(["x", "z"])])
        .unwrap_err();
    assert!(error.to_string().contains("polygon 2 of 2"), "{error}");
    let error = grid
        .statistics_of_each(&all.clone().max_chunks(3), &[of(["x", "y"])])
        .unwrap_err();
    assert!(error.to_string().contains("exact"), "{error}");
    assert!(grid.statistics_of_each(&all, &[]).unwrap().each.is_empty());
    let far = Steps::all().edges([90.0, 91.0]);
    let error = grid
        .statistics_series_of_each(&all, &[of(["x", "y"])], &far)
        .unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::NotFound);
    for wrong in [
        Steps::all().edges([1.0]),
        Steps::all().edges([2.0, 1.0]),
        Steps::all().edges([0.0, f64::NAN]),
    ] {
        assert!(
            grid.statistics_series(&all, &wrong)
                .unwrap_err()
                .to_string()
                .contains("edges")
        );
    }
    let falling = Steps::all().along("time");
    let halves = grid
        .statistics_series(&all, &falling.edges([-1.0, 1.5, 8.0]))
        .unwrap();
    let counts: Vec<f64> = halves
        .steps
        .iter()
        .map(|step| step.count.unwrap().value)
        .collect();
    assert_eq!(
        (counts, halves.edges),
        (vec![32.0, 32.0], vec![-1.0, 1.5, 8.0])
    );
}
