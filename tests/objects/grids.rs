//! The grids that the tests put into.

use std::sync::Arc;

use gridstone::kv::{Engine, SlateOptions};
use gridstone::{
    Aggregation, Axis, DType, Dimension, ErrorKind, Freshness, Grid, Layer, Level, Levels, Policy,
    Query, Schema, Store, Structure, Window,
};
use ndarray::Array2;

use crate::failing::Failing;

pub const SIDE: u64 = 32;

/// Cells of two dimensions, in chunks of 8 x 8, with sums over them.
pub fn schema() -> Schema {
    schema_in_chunks_of(8)
}

pub fn schema_in_chunks_of(side: u32) -> Schema {
    let space = Dimension::regular(
        "space",
        [
            Axis::new("y", 0.0, -1.0, side),
            Axis::new("x", 0.0, 1.0, side),
        ],
    );
    let structure = Structure::builder().dimension(space).build().unwrap();
    Schema::builder(structure, DType::I32)
        .nodata(-1.0)
        .aggregator(Aggregation::Sum)
        .build()
        .unwrap()
}

pub fn store(engine: Arc<dyn Engine>, policy: Policy) -> gridstone::Result<Store> {
    Store::options()
        .policy(policy)
        .identity(7)
        .open_engine(engine)
}

/// The store that a process has which only reads, beside the one that writes.
pub fn beside(objects: &Arc<Failing>, options: &SlateOptions) -> gridstone::Result<Store> {
    let reader = Arc::new(objects.read(options)?);
    Store::options().read_only(true).open_engine(reader)
}

/// The grid of all tests, made where it is not there.
pub fn grid(store: &Store) -> gridstone::Result<Grid> {
    match store.grid("g") {
        Err(error) if *error.kind() == ErrorKind::NotFound => store.create("g", schema()),
        found => found,
    }
}

pub fn all() -> Window {
    Window::new([0, 0], [SIDE, SIDE])
}

/// A window full of one number.
pub fn fill(grid: &Grid, window: &Window, value: i32) -> gridstone::Result<()> {
    let shape = window.shape();
    let side = |of: usize| usize::try_from(shape[of]).unwrap();
    grid.put(window, &Array2::from_elem((side(0), side(1)), value))
        .map(drop)
}

/// All cells of a grid at a level.
pub fn cells(grid: &Grid, level: i8, freshness: Freshness) -> gridstone::Result<Vec<f64>> {
    let query = query(level).freshness(freshness);
    let answer = grid.read(&query)?;
    Ok(answer.array.iter_f64().collect())
}

/// The number in all cells of a store that is sound, before and after it is aggregated; `None` if
/// nothing was put.
pub fn found(store: &Store) -> Option<i32> {
    let sound = || {
        let report = store.verify().unwrap();
        assert!(report.findings.is_empty(), "{:?}", report.findings);
    };
    sound();
    let grid = match store.grid("g") {
        Err(error) if *error.kind() == ErrorKind::NotFound => return None,
        grid => grid.unwrap(),
    };
    let put = match cells(&grid, 0, Freshness::Stored) {
        // The grid was made, and nothing put into it.
        Err(error) if *error.kind() == ErrorKind::NotFound => return None,
        put => put.unwrap(),
    };
    let first = put.first().copied()?;
    assert!(put.iter().all(|cell| *cell == first), "a torn commit");
    grid.aggregate().unwrap();
    let sums = cells(&grid, 2, Freshness::Stored).unwrap();
    assert!(sums.iter().all(|sum| *sum == 16.0 * first), "{sums:?}");
    sound();
    #[expect(clippy::cast_possible_truncation, reason = "it was put as one")]
    Some(first as i32)
}

/// The levels at which the only dimension is at this one.
pub fn at(level: i8) -> Levels {
    Levels::zero(1).with(0, Level::new(level).unwrap())
}

pub fn query(level: i8) -> Query {
    let query = Query::all().levels(at(level));
    match level {
        0 => query,
        _ => query.layer(Layer::Aggregate(Aggregation::Sum)),
    }
}
