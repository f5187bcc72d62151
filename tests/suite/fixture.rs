//! A store as an earlier version wrote it, `tests/data/reliability/format-4`: every later version
//! opens it, finds it sound and reads the same cells. It was made by `the_fixture_is_written`
//! below, run by hand with `GRIDSTONE_FIXTURE` naming the directory.

use std::fs;
use std::path::{Path, PathBuf};

use gridstone::{
    Aggregation, Axis, DType, Dimension, Freshness, Layer, Overlap, Policy, Query, Schema, Store,
    Structure, Window,
};
use ndarray::{Array1, Array2, Array3};

use crate::check::levels;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/reliability/format-4")
}

fn height(y: usize, x: usize) -> f32 {
    if (y + x).is_multiple_of(7) {
        f32::NAN
    } else {
        (y * 100 + x) as f32 / 4.0
    }
}

/// What does not pack, so that its chunk goes into a file of large values.
fn noise(y: usize, x: usize) -> u32 {
    u32::try_from(y * 64 + x)
        .unwrap()
        .wrapping_mul(0x9e37_79b9)
        .rotate_left(13)
        .wrapping_mul(0x85eb_ca6b)
}

fn space(chunk: u32) -> Dimension {
    Dimension::regular(
        "space",
        [
            Axis::new("y", 0.0, -1.0, chunk),
            Axis::new("x", 0.0, 1.0, chunk),
        ],
    )
}

fn write(path: &Path) {
    let store = Store::options()
        .policy(Policy::Manual)
        .identity(3)
        .open(path)
        .unwrap();
    let structure = Structure::builder().dimension(space(16)).build().unwrap();
    let dem = Schema::builder(structure.clone(), DType::F32)
        .aggregator(Aggregation::Mean)
        .aggregator(Aggregation::Max);
    let dem = store.create("dem", dem.build().unwrap()).unwrap();
    dem.put(
        &Window::new([-20, 5], [50, 40]),
        &Array2::from_shape_fn((50, 40), |(y, x)| height(y, x)),
    )
    .unwrap();
    dem.aggregate().unwrap();
    // What waits to be aggregated waits in it.
    dem.put(
        &Window::new([0, 10], [2, 2]),
        &Array2::from_elem((2, 2), 9000.0_f32),
    )
    .unwrap();
    let classes = store
        .create(
            "classes",
            Schema::builder(structure, DType::U8).build().unwrap(),
        )
        .unwrap();
    classes
        .put(
            &Window::new([3, 3], [4, 4]),
            &Array2::from_shape_fn((4, 4), |(y, x)| u8::try_from(y * 4 + x).unwrap()),
        )
        .unwrap();
    let large = Structure::builder().dimension(space(64)).build().unwrap();
    let large = store
        .create("large", Schema::builder(large, DType::U32).build().unwrap())
        .unwrap();
    large
        .put(
            &Window::new([0, 0], [64, 64]),
            &Array2::from_shape_fn((64, 64), |(y, x)| noise(y, x)),
        )
        .unwrap();
    let line = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 4)]).refinable();
    let mixed = Schema::builder(
        Structure::builder().dimension(line).build().unwrap(),
        DType::I16,
    )
    .nodata(-1.0);
    let mixed = store
        .create("mixed", mixed.aggregator(Aggregation::Sum).build().unwrap())
        .unwrap();
    mixed
        .put(
            &Window::new([0], [12]).at(levels(&[2])),
            &Array1::from_elem(12, 5_i16),
        )
        .unwrap();
    mixed
        .put(&Window::new([9], [3]), &ndarray::arr1(&[1_i16, 2, 3]))
        .unwrap();
    mixed.aggregate().unwrap();
    let time = Dimension::irregular("time", "seconds since 1970-01-01", 2, 60);
    let gauges = Structure::builder()
        .dimension(time)
        .dimension(space(16))
        .build()
        .unwrap();
    let gauges = Schema::builder(gauges, DType::F32)
        .aggregator(Aggregation::Mean)
        .build()
        .unwrap();
    let gauges = store.create("gauges", gauges).unwrap();
    let events = Array3::from_shape_fn((5, 2, 2), |(event, y, x)| (event * 10 + y * 2 + x) as f32);
    gauges
        .put_events(&[-7, 12, 13, 14, 5000], [0, 0], &events, Overlap::Merge)
        .unwrap();
    gauges.aggregate().unwrap();
    store.create("gone", mixed.schema().clone()).unwrap();
    store.drop_grid("gone").unwrap();
}

#[test]
#[ignore = "writes the fixture"]
fn the_fixture_is_written() {
    let path = PathBuf::from(std::env::var_os("GRIDSTONE_FIXTURE").expect("where to"));
    write(&path);
    // Written for people, and of no use to the store.
    let logs = fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let of_no_use = |path: &PathBuf| {
        ["LOG", "LOCK", "OPTIONS"].iter().any(|name| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with(name)
        })
    };
    logs.filter(of_no_use)
        .for_each(|path| fs::remove_file(path).unwrap());
}

fn check(store: &Store) {
    assert_eq!(store.verify().unwrap().findings, []);
    let dem = store.grid("dem").unwrap();
    let cells = dem.read(&Query::all()).unwrap().array;
    let cells: Vec<f64> = cells.iter_f64().collect();
    for y in 0..50 {
        for x in 0..40 {
            let put = if (20..22).contains(&y) && (5..7).contains(&x) {
                9000.0
            } else {
                height(y, x)
            };
            let got = cells[y * 40 + x];
            assert!(
                got == f64::from(put) || got.is_nan() && put.is_nan(),
                "{got} at {y}, {x}"
            );
        }
    }
    let top = dem.top().unwrap().unwrap().levels();
    let fresh = Query::all()
        .levels(top)
        .freshness(Freshness::Fresh)
        .layer(Layer::Aggregate(Aggregation::Max));
    assert_eq!(
        dem.read(&fresh)
            .unwrap()
            .array
            .iter_f64()
            .fold(0.0, f64::max),
        9000.0
    );
    let classes = store
        .grid("classes")
        .unwrap()
        .read(&Query::all())
        .unwrap()
        .array;
    assert_eq!(classes.iter_f64().sum::<f64>(), 120.0);
    let mixed = store.grid("mixed").unwrap();
    assert_eq!(
        mixed.levels_in_use().unwrap().len(),
        3,
        "and the level between them"
    );
    let sum = mixed
        .read(&Query::window(Window::new([0], [16]).at(levels(&[0]))))
        .unwrap()
        .array;
    assert_eq!(sum.iter_f64().sum::<f64>(), 13.0 * 5.0 + 6.0);
    let events = store.grid("gauges").unwrap().read(&Query::all()).unwrap();
    assert_eq!(events.coordinates.unwrap().ticks, [-7, 12, 13, 14, 5000]);
    assert_eq!(
        events.array.iter_f64().sum::<f64>(),
        (0..5).map(|event| f64::from(event * 40 + 6)).sum::<f64>()
    );
    let large: Vec<f64> = store
        .grid("large")
        .unwrap()
        .read(&Query::all())
        .unwrap()
        .array
        .iter_f64()
        .collect();
    assert!((0..64 * 64).all(|cell| large[cell] == f64::from(noise(cell / 64, cell % 64))));
    assert_eq!(store.grids().unwrap().len(), 5);
}

#[test]
fn a_store_of_format_4_is_read_and_gone_on_with() {
    check(&Store::open_read_only(fixture()).unwrap());
    let place = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), place.path().join(entry.file_name())).unwrap();
    }
    let store = Store::options()
        .policy(Policy::Manual)
        .open(place.path())
        .unwrap();
    check(&store);
    store.aggregate().unwrap();
    check(&store);
    let dem = store.grid("dem").unwrap();
    assert_eq!(dem.marks().unwrap(), 0);
    dem.put(
        &Window::new([100, 100], [1, 1]),
        &Array2::from_elem((1, 1), 1.0_f32),
    )
    .unwrap();
    store.aggregate().unwrap();
    drop((dem, store));
    assert_eq!(
        Store::open(place.path())
            .unwrap()
            .verify()
            .unwrap()
            .findings,
        []
    );
}
