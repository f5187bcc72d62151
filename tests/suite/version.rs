//! Versions: equal as long as the stored cells are, another when a visible one changes.

use std::sync::Arc;

use gridstone::kv::Memory;
use gridstone::{
    Aggregation, Axis, DType, Dimension, ErrorKind, Freshness, Grid, Layer, Policy, Query, Schema,
    Store, Structure, Version, Window,
};
use ndarray::Array2;

use crate::check::{Dice, levels, open};

fn create(store: &Store) -> Grid {
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
    );
    let structure = Structure::builder().dimension(space).build().unwrap();
    let schema = Schema::builder(structure, DType::F32)
        .aggregator(Aggregation::Mean)
        .aggregator(Aggregation::Max);
    store.create("dem", schema.build().unwrap()).unwrap()
}

fn put(grid: &Grid, at: [i64; 2], shape: [usize; 2], value: f32) {
    let window = Window::new(at, shape.map(|len| len as u64));
    grid.put(
        &window,
        &Array2::from_shape_fn(shape, |(y, x)| value + (y * 7 + x) as f32),
    )
    .unwrap();
}

fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for level in 0..4 {
        let window = Window::new([0, 0], [8 >> level, 8 >> level]).at(levels(&[level]));
        for layer in [Aggregation::Mean, Aggregation::Max] {
            queries.push(Query::window(window).layer(Layer::Aggregate(layer)));
        }
    }
    queries.push(Query::window(Window::new([0, 0], [8, 8])));
    queries.push(Query::window(Window::new([0, 0], [8, 8])).shape([3, 3]));
    queries.push(Query::all());
    queries
}

fn versions(grid: &Grid, freshness: Freshness) -> Vec<Version> {
    queries()
        .into_iter()
        .map(|query| grid.version(&query.freshness(freshness)).unwrap())
        .collect()
}

#[test]
fn what_is_put_again_has_the_same_version_and_what_changes_another() {
    let engine: Arc<Memory> = Arc::default();
    let grid = create(&open(&engine, Policy::Inline));
    assert_eq!(
        grid.version(&Query::all()).unwrap_err().kind(),
        &ErrorKind::NotFound,
        "nothing was put"
    );
    put(&grid, [0, 0], [16, 16], 1.0);
    let first = versions(&grid, Freshness::Stored);
    let mut distinct = first.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(
        distinct.len(),
        first.len(),
        "other levels and layers are other content"
    );
    assert_eq!(versions(&grid, Freshness::Fresh), first, "nothing is stale");
    put(&grid, [0, 0], [16, 16], 1.0);
    assert_eq!(
        versions(&grid, Freshness::Stored),
        first,
        "the same cells again"
    );
    put(&grid, [3, 3], [1, 1], 500.0);
    let second = versions(&grid, Freshness::Stored);
    assert!(
        first
            .iter()
            .zip(&second)
            .all(|(first, second)| first != second),
        "every level shows the cell"
    );
    put(&grid, [3, 3], [1, 1], 1.0 + 24.0);
    assert_eq!(
        versions(&grid, Freshness::Stored),
        first,
        "as it was before"
    );
    put(&grid, [12, 12], [1, 1], 500.0);
    let far = versions(&grid, Freshness::Stored);
    assert_eq!(
        far[..far.len() - 1],
        first[..first.len() - 1],
        "beside all windows but the whole"
    );
    assert_ne!(far.last(), first.last());
    let again = open(&Arc::new(engine.reopen()), Policy::Manual)
        .grid("dem")
        .unwrap();
    assert_eq!(versions(&again, Freshness::Stored), far, "across reopening");
    let text = far[0].to_string();
    assert!(
        text.len() == 34 && text.starts_with('"') && text.ends_with('"'),
        "{text} is an ETag"
    );
}

/// Random histories: two moments with equal versions show equal cells, whatever lies between them;
/// and while nothing is committed the version stays.
#[test]
fn equal_versions_are_equal_cells() {
    let mut again = 0;
    for seed in 0..20 {
        let mut dice = Dice(seed);
        let engine: Arc<Memory> = Arc::default();
        let stores = [Policy::Manual, Policy::Inline].map(|policy| open(&engine, policy));
        create(&stores[0]);
        let grids = stores.map(|store| store.grid("dem").unwrap());
        put(&grids[0], [0, 0], [16, 16], 0.0);
        grids[0].aggregate().unwrap();
        let mut seen: Vec<(usize, bool, Version, Vec<u64>)> = Vec::new();
        for _ in 0..25 {
            match dice.range(0, 5) {
                0 => drop(grids[0].aggregate_step().unwrap()),
                1 => drop(grids[0].aggregate().unwrap()),
                choice => {
                    let grid = &grids[usize::from(choice == 2)];
                    // Few places and values, so that content comes again.
                    put(
                        grid,
                        [dice.range(0, 2) * 4, dice.range(0, 1) * 4],
                        [2, 2],
                        dice.pick(&[0.0, 1.0]),
                    );
                }
            }
            for (number, query) in queries().into_iter().enumerate() {
                for freshness in [Freshness::Stored, Freshness::Fresh] {
                    let query = query.clone().freshness(freshness);
                    let version = grids[0].version(&query).unwrap();
                    assert_eq!(grids[1].version(&query).unwrap(), version);
                    let cells: Vec<u64> = grids[0]
                        .read(&query)
                        .unwrap()
                        .array
                        .iter_f64()
                        .map(f64::to_bits)
                        .collect();
                    let fresh = freshness == Freshness::Fresh;
                    for (of, was_fresh, was, shown) in &seen {
                        if (*of, *was_fresh, *was) == (number, fresh, version) {
                            assert_eq!(*shown, cells, "seed {seed}: {query:?}");
                            again += 1;
                        }
                    }
                    seen.push((number, fresh, version, cells));
                }
            }
        }
    }
    assert!(again > 1000, "{again} versions came again");
}

#[test]
fn a_fresh_version_changes_with_each_put_and_a_stored_one_when_it_gets_stale_and_when_it_is_aggregated()
 {
    let grid = create(&open(&Arc::default(), Policy::Manual));
    let query = |freshness| {
        Query::window(Window::new([0, 0], [2, 2]).at(levels(&[2]))).freshness(freshness)
    };
    let (stored, fresh) = (query(Freshness::Stored), query(Freshness::Fresh));
    put(&grid, [0, 0], [16, 16], 1.0);
    let unbuilt = grid.version(&fresh).unwrap();
    put(&grid, [0, 0], [1, 1], 7.0);
    assert_ne!(
        grid.version(&fresh).unwrap(),
        unbuilt,
        "above what is built too"
    );
    grid.aggregate().unwrap();
    let (was_stored, was_fresh) = (
        grid.version(&stored).unwrap(),
        grid.version(&fresh).unwrap(),
    );
    put(&grid, [0, 0], [1, 1], 9.0);
    let stale = grid.version(&stored).unwrap();
    assert_ne!(stale, was_stored, "it is stale now, which its answer says");
    let marked = grid.version(&fresh).unwrap();
    assert_ne!(marked, was_fresh);
    put(&grid, [0, 0], [1, 1], 11.0);
    assert_ne!(grid.version(&fresh).unwrap(), marked);
    assert_eq!(
        grid.version(&stored).unwrap(),
        stale,
        "its cells and what is stale of it are as they were"
    );
    grid.aggregate().unwrap();
    assert_ne!(grid.version(&stored).unwrap(), was_stored);
    assert_eq!(
        grid.version(&stored).unwrap(),
        grid.version(&fresh).unwrap()
    );
}
