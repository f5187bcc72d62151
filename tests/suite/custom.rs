//! A service's own aggregators, right and wrong ones, and labels that are held together.

use std::sync::Arc;

use gridstone::aggregator::{Aggregator, Record, Summary};
use gridstone::kv::{Engine, Memory};
use gridstone::{
    Aggregation, Axis, DType, Dimension, ErrorKind, Freshness, Grid, Layer, Policy, Query, Schema,
    Store, Structure, Window,
};
use ndarray::{Array2, Array3, s};

use crate::check::{Dice, levels};

/// The shallowest sounding with its uncertainty.
#[derive(Debug)]
struct Shallowest;

impl Aggregator for Shallowest {
    fn name(&self) -> &str {
        "shallowest"
    }
    fn dtype(&self, cells: DType) -> DType {
        cells
    }
    fn state(&self) -> Vec<DType> {
        Vec::new()
    }
    fn lift(&self, cell: &Record<'_>, summary: &mut Summary<'_>) {
        summary.copy(cell);
    }
    fn combine(&self, cells: &[Record<'_>], summary: &mut Summary<'_>) {
        let sounded = cells.iter().filter(|cell| !cell.values()[0].is_nan());
        if let Some(shallowest) = sounded.min_by(|a, b| a.values()[0].total_cmp(&b.values()[0])) {
            summary.copy(shallowest);
        }
    }
    fn divide(&self, cell: &Record<'_>, _: f64, summary: &mut Summary<'_>) {
        summary.copy(cell);
    }
}

/// The root of the mean square, whose state is the sum of squares.
#[derive(Debug)]
pub struct Roughness;

impl Aggregator for Roughness {
    fn name(&self) -> &str {
        "roughness"
    }
    fn dtype(&self, _: DType) -> DType {
        DType::F32
    }
    fn state(&self) -> Vec<DType> {
        vec![DType::F64]
    }
    fn lift(&self, cell: &Record<'_>, summary: &mut Summary<'_>) {
        for label in 0..cell.values().len() {
            let (value, area) = (cell.values()[label], cell.areas()[label]);
            if area > 0.0 {
                summary.values()[label] = value.abs();
                summary.state(0)[label] = value * value * area;
            }
        }
    }
    fn combine(&self, cells: &[Record<'_>], summary: &mut Summary<'_>) {
        for label in 0..cells[0].values().len() {
            let squares: f64 = cells.iter().map(|cell| cell.state(0)[label]).sum();
            let area: f64 = cells.iter().map(|cell| cell.areas()[label]).sum();
            if area > 0.0 {
                summary.values()[label] = (squares / area).sqrt();
                summary.state(0)[label] = squares;
            }
        }
    }
    fn divide(&self, cell: &Record<'_>, part: f64, summary: &mut Summary<'_>) {
        summary.copy(cell);
        summary
            .state(0)
            .iter_mut()
            .for_each(|squares| *squares *= part);
    }
}

/// Does one thing wrong, once a cell holds 13.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Panics,
    MakesUp,
    Outgrows,
}

#[derive(Debug)]
struct Faulty(Fault);

impl Aggregator for Faulty {
    fn name(&self) -> &str {
        "faulty"
    }
    fn dtype(&self, cells: DType) -> DType {
        cells
    }
    fn state(&self) -> Vec<DType> {
        Vec::new()
    }
    fn lift(&self, cell: &Record<'_>, summary: &mut Summary<'_>) {
        summary.copy(cell);
    }
    fn combine(&self, cells: &[Record<'_>], summary: &mut Summary<'_>) {
        if let Some(cell) = cells.iter().find(|cell| !cell.is_empty()) {
            summary.copy(cell);
        }
        if cells.iter().any(|cell| cell.values().contains(&13.0)) {
            match self.0 {
                Fault::Panics => panic!("thirteen"),
                Fault::MakesUp => summary.values().fill(1.0),
                Fault::Outgrows => summary.values()[2] = 1.0,
            }
        }
    }
    fn divide(&self, cell: &Record<'_>, _: f64, summary: &mut Summary<'_>) {
        summary.copy(cell);
    }
}

fn own(aggregator: &dyn Aggregator) -> Aggregation {
    Aggregation::Custom {
        name: aggregator.name().to_owned(),
    }
}

fn structure() -> Structure {
    let sounding = Dimension::fixed("sounding", ["depth", "uncertainty"]).together();
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, 1.0, 8), Axis::new("x", 0.0, 1.0, 8)],
    );
    Structure::builder()
        .dimension(sounding)
        .dimension(space)
        .build()
        .unwrap()
}

fn open(
    engine: &Arc<Memory>,
    policy: Policy,
    aggregators: Vec<Arc<dyn Aggregator>>,
) -> gridstone::Result<Store> {
    let options = aggregators.into_iter().fold(
        Store::options().policy(policy),
        gridstone::StoreOptions::aggregator,
    );
    options.open_engine(Arc::clone(engine) as Arc<dyn Engine>)
}

fn survey(aggregator: impl Aggregator + 'static, dtype: DType) -> (Arc<Memory>, Grid) {
    let engine: Arc<Memory> = Arc::default();
    let schema = Schema::builder(structure(), dtype)
        .custom(&aggregator)
        .aggregator(Aggregation::Max)
        .build()
        .unwrap();
    let grid = open(&engine, Policy::Inline, vec![Arc::new(aggregator)])
        .unwrap()
        .create("survey", schema)
        .unwrap();
    (engine, grid)
}

fn read(grid: &Grid, layer: Aggregation, level: i8) -> Array3<f64> {
    let array = grid
        .read(
            &Query::all()
                .levels(levels(&[0, level]))
                .layer(Layer::Aggregate(layer)),
        )
        .unwrap()
        .array;
    Array3::from_shape_vec(
        (array.shape()[0], array.shape()[1], array.shape()[2]),
        array.iter_f64().collect(),
    )
    .unwrap()
}

#[test]
fn i7_the_uncertainty_of_the_shallowest_sounding_goes_with_it_at_every_level() {
    let (_, grid) = survey(Shallowest, DType::F32);
    let mut dice = Dice(7);
    // Every depth is there once, and its uncertainty is told from it.
    let uncertain = |depth: f32| {
        if depth.is_nan() || depth % 10.0 == 0.0 {
            f32::NAN
        } else {
            depth * 0.5
        }
    };
    let mut depths: Vec<f32> = (0..32 * 32).map(|n| n as f32 + 1.0).collect();
    for i in (1..depths.len()).rev() {
        depths.swap(i, usize::try_from(dice.range(0, i as i64)).unwrap());
    }
    depths
        .iter_mut()
        .filter(|_| dice.chance(40))
        .for_each(|depth| *depth = f32::NAN);
    let depths = Array2::from_shape_vec((32, 32), depths).unwrap();
    let cells = ndarray::stack![ndarray::Axis(0), depths, depths.mapv(uncertain)];
    // In parts, so that chunks are merged.
    for (y, x) in [(0, 0), (13, 0), (0, 13), (13, 13)] {
        let (rows, cols) = (if y == 0 { 13 } else { 19 }, if x == 0 { 13 } else { 19 });
        let part = cells.slice(s![.., y..y + rows, x..x + cols]);
        grid.put(
            &Window::new([0, y as i64, x as i64], [2, rows as u64, cols as u64]),
            part,
        )
        .unwrap();
    }
    for level in 0..=3 {
        let got = read(&grid, own(&Shallowest), level);
        for ((y, x), depth) in got.index_axis(ndarray::Axis(0), 0).indexed_iter() {
            let side = 1 << level;
            let under = depths.slice(s![y * side..(y + 1) * side, x * side..(x + 1) * side]);
            let least = under
                .iter()
                .copied()
                .filter(|depth| !depth.is_nan())
                .reduce(f32::min)
                .unwrap_or(f32::NAN);
            let uncertainty = uncertain(least);
            let same = |got: f64, want: f32| {
                got.to_bits() == f64::from(want).to_bits() || got.is_nan() && want.is_nan()
            };
            assert!(same(*depth, least), "level {level}: {depth} is not {least}");
            assert!(
                same(got[[1, y, x]], uncertainty),
                "level {level}: {} of {depth} is not {uncertainty}",
                got[[1, y, x]]
            );
        }
    }
    assert_eq!(grid.store().verify().unwrap().findings, []);
}

#[test]
fn a_state_plane_makes_what_does_not_compose_by_its_value_alone() {
    let (_, grid) = survey(Roughness, DType::I16);
    let cells = Array3::from_shape_fn((2, 16, 16), |(b, y, x)| {
        i16::try_from((b + 1) * (y * 16 + x)).unwrap() - 100
    });
    grid.put(&Window::new([0, 0, 0], [2, 16, 16]), &cells)
        .unwrap();
    for level in 0..=2 {
        let got = read(&grid, own(&Roughness), level);
        for ((band, y, x), got) in got.indexed_iter() {
            let side = 1 << level;
            let under = cells.slice(s![band, y * side..(y + 1) * side, x * side..(x + 1) * side]);
            let squares: f64 = under
                .iter()
                .map(|cell| f64::from(*cell) * f64::from(*cell))
                .sum();
            let want = (squares / under.len() as f64).sqrt();
            assert!(
                (got - want).abs() <= want * 1e-7,
                "level {level}: {got} is not {want}"
            );
        }
    }
    assert_eq!(grid.store().verify().unwrap().findings, []);
}

#[test]
fn labels_that_are_together_are_one_chunk_and_are_put_and_read_apart() {
    let (_, grid) = survey(Shallowest, DType::F32);
    let all = Window::new([0, 0, 0], [2, 16, 16]);
    assert_eq!(grid.structure().split(&all).count(), 4);
    assert!(grid.structure().dimensions()[0].is_together());
    let depth = Array3::from_elem((1, 16, 16), 5.0_f32);
    grid.put(&Window::new([0, 0, 0], [1, 16, 16]), &depth)
        .unwrap();
    assert_eq!(grid.base_chunks().unwrap().len(), 4);
    grid.put(
        &Window::new([1, 3, 3], [1, 2, 2]),
        &Array3::from_elem((1, 2, 2), 0.5_f32),
    )
    .unwrap();
    assert_eq!(
        grid.base_chunks().unwrap().len(),
        4,
        "the other label lies in the same chunks"
    );
    let band = |label: i64| {
        let answer = grid
            .read(&Query::window(Window::new([label, 0, 0], [1, 16, 16])))
            .unwrap();
        answer.array.iter_f64().collect::<Vec<_>>()
    };
    assert!(band(0).iter().all(|cell| *cell == 5.0));
    assert_eq!(band(1).iter().filter(|cell| **cell == 0.5).count(), 4);
    let error = grid
        .put(
            &Window::new([1, 0, 0], [2, 16, 16]),
            &Array3::from_elem((2, 16, 16), 1.0_f32),
        )
        .unwrap_err();
    assert!(error.to_string().contains("`sounding`"), "{error}");
    assert_eq!(grid.store().verify().unwrap().findings, []);
}

#[test]
fn a_fault_of_an_aggregator_is_an_error_and_changes_nothing() {
    for (fault, says) in [
        (Fault::Panics, "panicked: thirteen"),
        (Fault::MakesUp, "no cell under it"),
        (Fault::Outgrows, "panicked"),
    ] {
        let (_, grid) = survey(Faulty(fault), DType::F32);
        let depth = |value: f32| Array3::from_elem((1, 16, 16), value);
        let window = Window::new([0, 0, 0], [1, 16, 16]);
        grid.put(&window, &depth(5.0)).unwrap();
        let error = grid.put(&window, &depth(13.0)).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Invalid);
        let message = error.to_string();
        assert!(
            message.contains("`survey`") && message.contains("`faulty`") && message.contains(says),
            "{message}"
        );
        assert!(
            grid.read(&Query::window(window))
                .unwrap()
                .array
                .iter_f64()
                .all(|cell| cell == 5.0),
            "nothing is changed"
        );
        grid.put(&window, &depth(6.0)).unwrap();
        assert_eq!(
            read(&grid, own(&Faulty(fault)), 1)[[0, 0, 0]],
            6.0,
            "and the store goes on"
        );
        assert_eq!(grid.store().verify().unwrap().findings, []);
    }
}

#[test]
fn without_its_aggregator_a_grid_can_be_read_but_neither_put_into_nor_aggregated() {
    let (engine, grid) = survey(Shallowest, DType::F32);
    let cells = Array3::from_elem((2, 16, 16), 5.0_f32);
    let window = Window::new([0, 0, 0], [2, 16, 16]);
    grid.put(&window, &cells).unwrap();
    drop(grid);
    for policy in [Policy::Inline, Policy::Manual] {
        let grid = open(&engine, policy, Vec::new())
            .unwrap()
            .grid("survey")
            .unwrap();
        assert!(
            read(&grid, own(&Shallowest), 1)
                .iter()
                .all(|cell| *cell == 5.0),
            "what is stored is read"
        );
        assert!(
            read(&grid, Aggregation::Max, 0)
                .iter()
                .all(|cell| *cell == 5.0)
        );
        for error in [
            grid.put(&window, &cells).unwrap_err(),
            grid.aggregate().unwrap_err(),
        ] {
            let message = error.to_string();
            assert!(
                *error.kind() == ErrorKind::Invalid && message.contains("not registered"),
                "{message}"
            );
            assert!(
                message.contains("`survey`") && message.contains("`shallowest`"),
                "{message}"
            );
        }
    }
    let grid = open(&engine, Policy::Inline, vec![Arc::new(Shallowest)])
        .unwrap()
        .grid("survey")
        .unwrap();
    grid.put(&window, &cells).unwrap();
}

/// Calls itself `shallowest`, but keeps more.
#[derive(Debug)]
struct Other;

impl Aggregator for Other {
    fn name(&self) -> &str {
        "shallowest"
    }
    fn dtype(&self, _: DType) -> DType {
        DType::F64
    }
    fn state(&self) -> Vec<DType> {
        vec![DType::U8]
    }
    fn lift(&self, cell: &Record<'_>, summary: &mut Summary<'_>) {
        summary.copy(cell);
    }
    fn combine(&self, cells: &[Record<'_>], summary: &mut Summary<'_>) {
        summary.copy(&cells[0]);
    }
    fn divide(&self, cell: &Record<'_>, _: f64, summary: &mut Summary<'_>) {
        summary.copy(cell);
    }
}

#[test]
fn an_aggregator_with_other_planes_than_the_grid_was_made_with_is_refused() {
    let (engine, grid) = survey(Shallowest, DType::F32);
    drop(grid);
    let grid = open(&engine, Policy::Inline, vec![Arc::new(Other)])
        .unwrap()
        .grid("survey")
        .unwrap();
    let error = grid
        .put(
            &Window::new([0, 0, 0], [2, 2, 2]),
            &Array3::from_elem((2, 2, 2), 5.0_f32),
        )
        .unwrap_err();
    assert!(
        error.to_string().contains("makes float64")
            && error.to_string().contains("made for float32"),
        "{error}"
    );
    let error = open(
        &engine,
        Policy::Inline,
        vec![Arc::new(Other), Arc::new(Shallowest)],
    )
    .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("two aggregators are named `shallowest`"),
        "{error}"
    );
}

#[test]
fn i9_a_fresh_read_computes_a_services_own_layer_too() {
    let engine: Arc<Memory> = Arc::default();
    let schema = Schema::builder(structure(), DType::F32)
        .custom(&Shallowest)
        .build()
        .unwrap();
    let grid = open(&engine, Policy::Manual, vec![Arc::new(Shallowest)])
        .unwrap()
        .create("survey", schema)
        .unwrap();
    grid.put(
        &Window::new([0, 0, 0], [2, 16, 16]),
        &Array3::from_shape_fn((2, 16, 16), |(b, y, x)| (b + y * x) as f32),
    )
    .unwrap();
    let query = Query::all()
        .levels(levels(&[0, 1]))
        .layer(Layer::Aggregate(own(&Shallowest)));
    let fresh: Vec<f64> = grid
        .read(&query.clone().freshness(Freshness::Fresh))
        .unwrap()
        .array
        .iter_f64()
        .collect();
    grid.aggregate().unwrap();
    assert_eq!(
        fresh,
        grid.read(&query)
            .unwrap()
            .array
            .iter_f64()
            .collect::<Vec<_>>()
    );
}
