//! NetCDF files of random grids, imported again.

use std::io::Cursor;
use std::sync::Arc;

use gridstone::adapter::export::Selection;
use gridstone::adapter::netcdf::export::NetCdfExport;
use gridstone::adapter::netcdf::{Choice, Field, Like, NetCdf, VariableSource, schema_like};
use gridstone::adapter::source::Import;
use gridstone::kv::{Failure, Faulty, Memory};
use gridstone::{
    Aggregation, Axis, DType, Dimension, Grid, Layer, Overlap, Query, Schema, Store, Structure,
    Window,
};

use super::{cases, filled, plane, space, told, wanted};
use crate::dice::Dice;

fn exported(
    selection: &Selection,
    layers: &[Layer],
    part_bytes: usize,
) -> gridstone::Result<Vec<u8>> {
    let export = NetCdfExport::new(selection, layers)?.part_bytes(part_bytes);
    let mut out = Cursor::new(Vec::new());
    export.write_to(&mut out, &|_| {})?;
    Ok(out.into_inner())
}

/// A grid made after a file, with its cells.
fn imported(bytes: &[u8], variable: Option<&str>, like: &Like) -> Option<Grid> {
    let mut choice = Choice::default();
    choice.variable = variable.map(str::to_owned);
    let field = || Field::new(NetCdf::from_bytes(bytes).unwrap(), &choice).unwrap();
    let schema = schema_like(&[field()], like).unwrap();
    let grid = Store::in_memory().unwrap().create("back", schema).unwrap();
    let source = VariableSource::new(&grid, "back", field()).unwrap();
    let mut import = Import::new(&grid, source).unwrap().over(Overlap::Replace);
    import.check(&mut |_| {}).unwrap();
    import.write(&mut |_| {}).unwrap();
    grid.bounds().unwrap().map(|_| grid)
}

#[test]
fn what_is_exported_and_imported_is_equal() {
    let mut compared = 0;
    for seed in 0..cases(100) {
        let mut dice = Dice(seed + 1_000_000);
        let chunk = dice.pick(&[8, 16]);
        let (timed, labelled) = (dice.chance(60), dice.chance(40));
        let mut structure = Structure::builder();
        let mut lens = vec![(-3, 40), (60, 50)];
        if labelled {
            let labels = dice.pick(&[["2", "10.5", "100"], ["low", "middle", "über"]]);
            structure = structure.dimension(Dimension::fixed("height", labels));
            lens.insert(0, (0, 3));
        }
        if timed {
            let unit = dice.pick(&[
                "hours since 2001-12-31T23:00:00Z",
                "days since 1850-01-01T00:00:00Z (360_day)",
                "seconds since 1970-01-01T00:00:00Z",
            ]);
            let time = Axis::new("time", 0.0, 3600.0, 4).unit(unit);
            structure = structure.dimension(Dimension::regular("time", [time]));
            lens.insert(usize::from(labelled), (-5, 9));
        }
        let crs = dice.pick(&["EPSG:32632", "EPSG:4326", "EPSG:3035"]);
        let plane = if crs == "EPSG:4326" {
            let (y, x) = (dice.pick(&[0.1, -0.1]), dice.pick(&[0.25, -1.0]));
            let axes = [
                Axis::new("y", 45.0, y, chunk),
                Axis::new("x", 7.5, x, chunk),
            ];
            Dimension::regular("space", axes)
        } else {
            space(&mut dice, chunk)
        };
        let structure = structure.dimension(plane).crs(crs).build().unwrap();
        let dressed = |schema: gridstone::SchemaBuilder| {
            schema
                .variable("tas")
                .unit("K")
                .attribute("standard_name", "air_temperature")
                .attribute("level_of_all", "2 m")
                .aggregator(Aggregation::Max)
        };
        let (_store, grid) = filled(&mut dice, structure, dressed, &lens);
        let window = grid.bounds().unwrap().unwrap();
        let selection = Selection::new(&grid, &window, None).unwrap();
        let bytes = match exported(&selection, &[], dice.pick(&[1, 3000, 32 << 20])) {
            Ok(bytes) => bytes,
            Err(error) => {
                assert!(
                    error.to_string().contains("every value of"),
                    "{seed}: {error}"
                );
                continue;
            }
        };
        // A single step says by its bounds how long it is.
        let like = Like {
            irregular: Some(false).filter(|_| timed),
            ..Like::default()
        };
        let Some(back) = imported(&bytes, None, &like) else {
            let before = told(&wanted(&grid, &window, &Layer::Base));
            assert!(before.iter().all(Option::is_none), "{seed}");
            continue;
        };
        compare(&grid, &back, seed);
        compared += 1;
    }
    assert!(compared > 70, "{compared}");
}

/// Cells, places, times, labels, system and what is known of the values.
fn compare(grid: &Grid, back: &Grid, seed: u64) {
    const AXES: [&str; 4] = ["time", "height", "y", "x"];
    let of = |grid: &Grid| {
        let bounds = grid.bounds().unwrap().unwrap();
        let answer = wanted(grid, &bounds, &Layer::Base);
        // Time is in front of labels in a grid made after a file.
        let names: Vec<&str> = grid.structure().axes().map(Axis::name).collect();
        let axis = |name: &&str| names.iter().position(|other| other == name);
        let order: Vec<usize> = AXES.iter().filter_map(axis).collect();
        let cells = ndarray::ArrayD::from_shape_vec(answer.array.shape(), told(&answer)).unwrap();
        let cells = cells.permuted_axes(order.as_slice());
        let cells: Vec<Option<f64>> = cells.iter().copied().collect();
        let sides = AXES.map(|name| axis(&name).map(|axis| answer.extent.bounds()[axis]));
        (cells, answer.array.dtype(), sides)
    };
    let ((cells, dtype, sides), (other_cells, other_dtype, other_sides)) = (of(grid), of(back));
    assert_eq!((cells, dtype), (other_cells, other_dtype), "{seed}");
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(1.0);
    let time = |grid: &Grid, value: f64| {
        let axis = grid.structure().axes().find(|axis| axis.name() == "time")?;
        Some(axis.time()?.instant(value)?.to_string())
    };
    for (name, (a, b)) in AXES.iter().zip(sides.into_iter().zip(other_sides)) {
        let Some((a, b)) = a.zip(b).filter(|_| *name != "height") else {
            continue;
        };
        let same = if *name == "time" {
            [time(grid, a.0), time(grid, a.1)] == [time(back, b.0), time(back, b.1)]
        } else {
            near(a.0, b.0) && near(a.1, b.1)
        };
        assert!(same, "{seed} {name}: {a:?} {b:?}");
    }
    assert_eq!(grid.structure().crs(), back.structure().crs(), "{seed}");
    let (own, other) = (labels(grid), labels(back));
    if own.as_ref().is_some_and(|labels| labels.len() > 1) {
        assert_eq!(own, other, "{seed}");
    }
    let known = |grid: &Grid| {
        let schema = grid.schema();
        let attribute = |name: &str| schema.attributes().get(name).cloned();
        (
            schema.variable().map(str::to_owned),
            schema.unit().map(str::to_owned),
            [attribute("standard_name"), attribute("level_of_all")],
        )
    };
    assert_eq!(known(grid), known(back), "{seed}");
}

/// The labels that were put: a file has these, and a grid made after it no others.
fn labels(grid: &Grid) -> Option<Vec<String>> {
    let structure = grid.structure();
    let mut dimensions = structure.dimensions().iter();
    let number = dimensions.position(Dimension::is_fixed)?;
    let axis = structure.axes_of(number).start;
    let bounds = grid.bounds().unwrap().unwrap();
    let from = usize::try_from(bounds.start()[axis]).unwrap();
    let len = usize::try_from(bounds.shape()[axis]).unwrap();
    let labels = structure.dimensions()[number].labels()?.iter();
    Some(labels.skip(from).take(len).cloned().collect())
}

#[test]
fn events_keep_their_ticks() {
    for ticks in [[7_i64, 60, 100_000], [7, 60, (1 << 53) + 1]] {
        let unit = "microseconds since 2020-01-01T00:00:00Z";
        let structure = Structure::builder()
            .dimension(Dimension::irregular("time", unit, 8, 60))
            .dimension(plane(8))
            .crs("EPSG:32632")
            .build()
            .unwrap();
        let schema = Schema::builder(structure, DType::F32).build().unwrap();
        let grid = Store::in_memory()
            .unwrap()
            .create("gauges", schema)
            .unwrap();
        let cells =
            ndarray::Array3::from_shape_fn((3, 20, 20), |(t, y, x)| (t * 400 + y * 20 + x) as f32);
        let mut batch = grid.store().batch();
        batch
            .put_events(&grid, &ticks, [2, 3], &cells, Overlap::Merge)
            .unwrap();
        batch.commit().unwrap();
        let selection = Selection::new(&grid, &grid.bounds().unwrap().unwrap(), None).unwrap();
        let bytes = exported(&selection, &[], 1).unwrap();
        let like = Like {
            irregular: Some(true),
            ..Like::default()
        };
        let back = imported(&bytes, None, &like).unwrap();
        let of = |grid: &Grid| {
            let answer = grid.read(&Query::all()).unwrap();
            let axis = grid.structure().axes().next().unwrap().clone();
            let ticks = answer.coordinates.as_ref().unwrap().ticks.clone();
            let shown: Vec<String> = ticks.iter().map(|tick| axis.shown(*tick)).collect();
            (told(&answer), shown)
        };
        assert_eq!(of(&grid), of(&back));
    }
}

#[test]
fn layers_are_variables_of_one_file() {
    let structure = Structure::builder()
        .dimension(plane(8))
        .crs("EPSG:32632")
        .build()
        .unwrap();
    let schema = Schema::builder(structure, DType::I16)
        .aggregator(Aggregation::Mean)
        .aggregator(Aggregation::Max);
    let grid = Store::in_memory()
        .unwrap()
        .create("dem", schema.build().unwrap())
        .unwrap();
    let cells =
        ndarray::Array2::from_shape_fn((32, 32), |(y, x)| i16::try_from(y * 32 + x).unwrap());
    grid.put(&Window::new([0, 0], [32, 32]), &cells).unwrap();
    let level = Query::all().level("space", 2);
    let window = grid.read(&level).unwrap().window;
    let layers = [Aggregation::Mean, Aggregation::Max].map(Layer::Aggregate);
    let selection = Selection::new(&grid, &window, None).unwrap();
    let bytes = exported(&selection, &layers, 32 << 20).unwrap();
    for (name, layer) in [("dem_mean", &layers[0]), ("dem_max", &layers[1])] {
        let file = NetCdf::from_bytes(bytes.as_slice()).unwrap();
        let found = file.read(name, &[0, 0], &[8, 8]).unwrap();
        let answer = wanted(&grid, &window, layer);
        assert_eq!(found, answer.array, "{name}");
    }
    let twice = [layers[0].clone(), layers[0].clone()];
    let told = NetCdfExport::new(&selection, &twice)
        .unwrap_err()
        .to_string();
    assert!(told.contains("`mean` is asked for twice"), "{told}");
}

#[test]
fn no_read_of_a_grid_that_fails_changes_what_is_exported() {
    let engine = Arc::new(Faulty::new(Memory::new()));
    let store = Store::options()
        .open_engine(Arc::<Faulty<Memory>>::clone(&engine))
        .unwrap();
    let structure = Structure::builder().dimension(plane(8)).build().unwrap();
    let schema = Schema::builder(structure, DType::F32).aggregator(Aggregation::Mean);
    let grid = store.create("dem", schema.build().unwrap()).unwrap();
    let cells = ndarray::Array2::from_shape_fn((16, 16), |(y, x)| (y * 16 + x) as f32);
    grid.put(&Window::new([0, 0], [16, 16]), &cells).unwrap();
    let window = grid.read(&Query::all().level("space", 1)).unwrap().window;
    let all = || {
        let selection = Selection::new(&grid, &window, None)?;
        exported(&selection, &[Layer::Aggregate(Aggregation::Mean)], 32 << 20)
    };
    let before = engine.calls();
    let good = all().unwrap();
    for call in 0..engine.calls() - before {
        engine.fail_once(call, Failure::Before);
        let found = all();
        engine.heal();
        assert!(found.is_err() || found.unwrap() == good, "call {call}");
    }
}

/// What a file says of its labels, its classes and its single coordinates is the same once it was
/// taken out and in again.
#[test]
fn what_is_said_of_labels_classes_and_single_coordinates_goes_round() {
    for name in [
        "classes",
        "classes-beyond-the-cells",
        "depths",
        "depths-single",
        "enumeration",
        "enumeration-of-one",
        "enumeration-of-labels",
        "enumeration-of-one-label",
        "kind-land",
        "labels-in-x",
        "labels-in-x-of-depth",
        "labels-long",
        "labels-of-regions",
        "singles",
        "single-of-words",
    ] {
        let path = format!("{}/tests/data/cf/{name}.nc", env!("CARGO_MANIFEST_DIR"));
        let grid = imported(&std::fs::read(path).unwrap(), None, &Like::default()).unwrap();
        let selection = Selection::new(&grid, &grid.bounds().unwrap().unwrap(), None).unwrap();
        let bytes = exported(&selection, &[], 32 << 20).unwrap();
        let back = imported(&bytes, None, &Like::default()).unwrap();
        let of = |grid: &Grid| {
            let schema = grid.schema();
            let cells = told(&grid.read(&Query::all()).unwrap());
            (
                schema.attributes().clone(),
                schema.unit().map(str::to_owned),
                labels(grid),
                cells,
            )
        };
        assert_eq!(of(&grid), of(&back), "{name}");
    }
}
