//! What a hierarchy holds, held against what reads of the grid give.
#![expect(clippy::cast_possible_truncation, reason = "arrays of a few cells")]

use ndarray::{ArrayD, IxDyn};
use serde_json::Value;

use super::{Format, View, ViewOptions, export};
use crate::array::{Cells, with_dtype};
use crate::{
    Aggregation, Array, Axis, DType, Dimension, ErrorKind, Freshness, Grid, Layer, Levels, Query,
    Schema, Store, Structure, Window,
};

#[path = "../../../tests/torture/dice.rs"]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod dice;
use dice::Dice;

/// The cells of a buffer of Blosc, as its format says.
fn decompressed(buffer: &[u8], dtype: DType) -> Cells {
    let number =
        |at: usize| u32::from_le_bytes(buffer[at..at + 4].try_into().expect("four bytes")) as usize;
    let (flags, size, len) = (buffer[2], usize::from(buffer[3]), number(4));
    assert_eq!((size, number(12)), (dtype.size(), buffer.len()));
    let bytes = if flags & 2 != 0 {
        buffer[16..].to_vec()
    } else {
        let (at, frame) = (number(16), number(20));
        assert_eq!((at, at + 4 + frame), (20, buffer.len()));
        zstd::bulk::decompress(&buffer[24..], len).expect("a frame of zstd")
    };
    assert_eq!(bytes.len(), len);
    let mut cells = Cells::filled(dtype, len / size, 0.0);
    let is_shuffled = flags & 3 == 1;
    for (at, byte) in cells.as_bytes_mut().iter_mut().enumerate() {
        *byte = if is_shuffled {
            bytes[at % size * (len / size) + at / size]
        } else {
            bytes[at]
        };
    }
    cells
}

/// What a reader makes of an array: its cells, by its metadata and its chunks.
fn array(view: &View, path: &str) -> Array {
    let about: Value = document(view, &format!("{path}/zarr.json"));
    let numbers = |value: &Value| -> Vec<usize> {
        let all = value.as_array().expect("an array").iter();
        all.map(|number| number.as_u64().expect("a number") as usize)
            .collect()
    };
    let shape = numbers(&about["shape"]);
    let chunk = numbers(&about["chunk_grid"]["configuration"]["chunk_shape"]);
    let dtype: DType = about["data_type"]
        .as_str()
        .expect("a type")
        .parse()
        .expect("known");
    let fill = match &about["fill_value"] {
        Value::String(text) => text.parse().expect("NaN"),
        other => other.as_f64().expect("a number"),
    };
    let is_plain = about["codecs"].as_array().expect("codecs").len() == 1;
    let mut whole = ArrayD::from_elem(IxDyn(&shape), 0.0);
    let counts: Vec<usize> = shape
        .iter()
        .zip(&chunk)
        .map(|(len, chunk)| len.div_ceil(*chunk))
        .collect();
    for index in ndarray::indices(IxDyn(&counts)) {
        let numbers: Vec<String> = ndarray::Dimension::slice(&index)
            .iter()
            .map(ToString::to_string)
            .collect();
        let blob = view
            .get(&format!("{path}/c/{}", numbers.join("/")))
            .expect("readable");
        let len = chunk.iter().product();
        let cells = match blob {
            None => Cells::filled(dtype, len, fill),
            Some(bytes) if is_plain => {
                let mut cells = Cells::filled(dtype, len, 0.0);
                cells.as_bytes_mut().copy_from_slice(&bytes);
                cells
            }
            Some(bytes) => decompressed(&bytes, dtype),
        };
        let cells = Array::from_cells(cells, &chunk).expect("a whole chunk");
        let cells: Vec<f64> = cells.iter_f64().collect();
        let cells = ArrayD::from_shape_vec(IxDyn(&chunk), cells).expect("a whole chunk");
        for (at, value) in cells.indexed_iter() {
            let place: Vec<usize> = (0..shape.len())
                .map(|axis| index[axis] * chunk[axis] + at[axis])
                .collect();
            match whole.get_mut(IxDyn(&place)) {
                Some(cell) => *cell = *value,
                None => assert!(
                    *value == fill || value.is_nan() && fill.is_nan(),
                    "{path}: beyond the array is the fill value"
                ),
            }
        }
    }
    with_dtype!(dtype, |T| Array::from(
        whole.mapv(<T as crate::array::Cell>::from_f64)
    ))
}

fn document(view: &View, key: &str) -> Value {
    let bytes = view
        .get(key)
        .expect("readable")
        .unwrap_or_else(|| panic!("no {key}"));
    serde_json::from_slice(&bytes).expect("JSON")
}

/// A grid of two axes, or more.
struct Design {
    schema: Schema,
    start: Vec<i64>,
    shape: Vec<u64>,
    /// The ticks of events, if the first axis has events.
    ticks: Vec<i64>,
}

fn design(dice: &mut Dice) -> Design {
    let chunk = [2, 4, 8];
    let (y, x) = (dice.pick(&chunk), dice.pick(&chunk));
    let (dy, dx) = (dice.pick(&[-1.0, 0.5]), dice.pick(&[0.25, -2.0]));
    let place = |dice: &mut Dice| dice.below(40) as i64 - 20;
    let mut start = vec![place(dice), place(dice)];
    let mut shape = vec![1 + dice.below(30) as u64, 1 + dice.below(30) as u64];
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 100.0, dy, y), Axis::new("x", -7.0, dx, x)],
    );
    let mut structure = Structure::builder();
    let mut ticks = Vec::new();
    match dice.below(4) {
        0 => {
            let time = Axis::new("time", 0.0, 6.0, 4).unit("hours since 2020-01-01");
            structure = structure.dimension(Dimension::regular("time", [time]));
            start.insert(0, place(dice));
            shape.insert(0, 1 + dice.below(6) as u64);
        }
        1 => {
            structure = structure.dimension(Dimension::fixed("band", ["red", "green", "nir"]));
            start.insert(0, 0);
            shape.insert(0, 3);
        }
        2 => {
            let time = "seconds since 2020-01-01";
            structure = structure.dimension(Dimension::irregular("time", time, 4, 60));
            start.insert(0, 0);
            shape.insert(0, 1);
            ticks = (0..1 + dice.below(9))
                .map(|_| dice.below(3000) as i64 - 500)
                .collect();
            ticks.sort_unstable();
            ticks.dedup();
        }
        _ => {}
    }
    let structure = structure
        .dimension(space)
        .crs(dice.pick(&["EPSG:32632", "EPSG:4326"]));
    let dtype = dice.pick(&[
        DType::F32,
        DType::F64,
        DType::U8,
        DType::I16,
        DType::U64,
        DType::I64,
    ]);
    let mut schema = Schema::builder(structure.build().expect("valid"), dtype);
    if dice.chance(50) {
        schema = schema.nodata(if dtype.is_signed() { -9.0 } else { 99.0 });
    }
    let aggregations = [
        Aggregation::Mean,
        Aggregation::Max,
        Aggregation::Sum,
        Aggregation::Count,
    ];
    for aggregation in aggregations.into_iter().filter(|_| dice.chance(50)) {
        schema = schema.aggregator(aggregation);
    }
    Design {
        schema: schema.build().expect("valid"),
        start,
        shape,
        ticks,
    }
}

/// Puts some of the cells, some of them without data.
fn fill(grid: &Grid, design: &Design, dice: &mut Dice) {
    let dtype = design.schema.dtype();
    let put = |start: &[i64], dice: &mut Dice| {
        let shape: Vec<usize> = design.shape.iter().map(|len| *len as usize).collect();
        let cells = ArrayD::from_shape_fn(IxDyn(&shape), |_| dice.below(90) as f64);
        let cells = with_dtype!(dtype, |T| Array::from(
            cells.mapv(<T as crate::array::Cell>::from_f64)
        ));
        grid.put(&Window::new(start, design.shape.as_slice()), &cells)
            .expect("put");
    };
    if design.ticks.is_empty() {
        put(&design.start, dice);
    }
    for tick in &design.ticks {
        let mut start = design.start.clone();
        start[0] = *tick;
        put(&start, dice);
    }
    for _ in 0..dice.below(4) {
        let mut window = Window::new(design.start.as_slice(), design.shape.as_slice());
        for axis in design.shape.len() - 2..design.shape.len() {
            let len = 1 + dice.below(design.shape[axis] as usize) as u64;
            let from = dice.below((design.shape[axis] - len + 1) as usize) as i64;
            window = window.along(axis, design.start[axis] + from, len);
        }
        if let Some(tick) = design.ticks.first() {
            window = window.along(0, *tick, 1);
        }
        grid.clear(&window).expect("cleared");
    }
}

/// Each level is what a read of the grid at that level gives, cell by cell.
fn compare(view: &View, what: &str) {
    let layout = &view.layout;
    for (level, of) in layout.levels.iter().enumerate() {
        let query = Query::window(of.window)
            .layer(layout.layer.clone())
            .freshness(Freshness::Fresh);
        let answer = view.grid.read(&query).expect("reads");
        let got = array(view, &format!("{level}/{}", layout.name));
        assert_eq!(got.shape(), answer.array.shape(), "{what}, level {level}");
        assert_eq!(got.dtype(), answer.array.dtype(), "{what}, level {level}");
        let marks: Box<dyn Iterator<Item = f64>> = if layout.masked {
            Box::new(
                array(view, &format!("{level}/{}_valid", layout.name))
                    .iter_f64()
                    .collect::<Vec<_>>()
                    .into_iter(),
            )
        } else {
            Box::new(std::iter::repeat(1.0))
        };
        let about = document(view, &format!("{level}/{}/zarr.json", layout.name));
        let missing = about["attributes"]["_FillValue"].as_f64();
        for (number, ((got, mark), want)) in
            got.iter_f64().zip(marks).zip(answer.values()).enumerate()
        {
            let got = Some(got).filter(|got| !got.is_nan() && mark != 0.0 && Some(*got) != missing);
            assert_eq!(got, want, "{what}, level {level}, cell {number}");
        }
    }
}

#[test]
fn every_level_is_what_a_read_gives() {
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let design = design(&mut dice);
        let store = Store::in_memory().expect("a store");
        let grid = store.create("g", design.schema.clone()).expect("a grid");
        fill(&grid, &design, &mut dice);
        let snapshot = store
            .snapshot()
            .expect("a snapshot")
            .grid("g")
            .expect("there");
        let layers = design
            .schema
            .aggregators()
            .iter()
            .cloned()
            .map(Layer::Aggregate);
        for layer in layers.chain([Layer::Base]) {
            let options = ViewOptions {
                layer: Some(layer.clone()),
                ..ViewOptions::default()
            };
            let view = match View::new(&snapshot, &options) {
                Err(error) if *error.kind() == ErrorKind::NotFound => continue,
                view => view.unwrap_or_else(|error| panic!("seed {seed}: {error:?}")),
            };
            compare(&view, &format!("seed {seed}, {layer}"));
            listed(&view, &format!("seed {seed}, {layer}"));
        }
    }
}

/// Every chunk that is there is among the keys, and what is no key leads nowhere.
fn listed(view: &View, what: &str) {
    let keys = view.keys().expect("keys");
    for level in 0..view.layout.levels.len() {
        let counts: Vec<usize> = view
            .layout
            .chunks(level)
            .iter()
            .map(|count| *count as usize)
            .collect();
        for index in ndarray::indices(IxDyn(&counts)) {
            let numbers: Vec<String> = ndarray::Dimension::slice(&index)
                .iter()
                .map(ToString::to_string)
                .collect();
            let key = format!("{level}/{}/c/{}", view.layout.name, numbers.join("/"));
            let is_there = view.get(&key).expect("readable").is_some();
            assert!(
                !is_there || keys.contains(&key),
                "{what}: {key} is not listed"
            );
            assert!(
                view.version(&key).expect("readable").is_some(),
                "{what}: {key} has a version"
            );
        }
    }
    let last = keys.last().map(String::as_str);
    assert_eq!(
        last,
        Some("zarr.json"),
        "{what}: the root's metadata comes last"
    );
}

#[test]
fn levels_have_one_corner_and_halve() {
    let mut dice = Dice(7);
    for _ in 0..30 {
        let design = design(&mut dice);
        let store = Store::in_memory().expect("a store");
        let grid = store.create("g", design.schema.clone()).expect("a grid");
        fill(&grid, &design, &mut dice);
        let Ok(view) = View::new(&grid, &ViewOptions::default()) else {
            continue;
        };
        let root = document(&view, "zarr.json");
        let layout = root["attributes"]["multiscales"]["layout"]
            .as_array()
            .expect("a layout")
            .clone();
        assert_eq!(layout.len(), view.layout.levels.len());
        for pair in layout.windows(2) {
            let number =
                |entry: &Value, name: &str, at: usize| entry[name][at].as_f64().expect("a number");
            for axis in 0..2 {
                let [fine, coarse] = [0, 1].map(|of| number(&pair[of], "spatial:shape", axis));
                assert!((fine - 2.0 * coarse).abs() < 1e-9, "{fine} and {coarse}");
            }
            for corner in [2, 5] {
                let [fine, coarse] =
                    [0, 1].map(|of| number(&pair[of], "spatial:transform", corner));
                assert!((fine - coarse).abs() < 1e-9, "{fine} and {coarse}");
            }
        }
        // No more than the coarsest cells is added.
        let (bounds, top) = (
            grid.bounds().expect("readable").expect("some"),
            view.layout.levels.len() - 1,
        );
        for axis in view.layout.coarsening.clone() {
            let added = view.layout.levels[0].shape[axis] - bounds.shape()[axis];
            assert!(added < 2 << top, "{added} cells");
        }
    }
}

/// While a version is the same, so are the bytes, whatever is put, cleared and aggregated between.
#[test]
fn equal_versions_are_equal_bytes() {
    for seed in 0..12 {
        let mut dice = Dice(1000 + seed);
        let design = design(&mut dice);
        let store = Store::in_memory().expect("a store");
        let grid = store.create("g", design.schema.clone()).expect("a grid");
        let mut seen: std::collections::BTreeMap<String, Option<Vec<u8>>> =
            std::collections::BTreeMap::new();
        for _ in 0..5 {
            fill(&grid, &design, &mut dice);
            if dice.chance(50) {
                grid.aggregate().expect("aggregated");
            }
            let Ok(view) = View::new(&grid, &ViewOptions::default()) else {
                continue;
            };
            for key in view.keys().expect("keys") {
                let (version, bytes) = (
                    view.version(&key).expect("readable").expect("a key"),
                    view.get(&key).expect("readable"),
                );
                let known = seen
                    .entry(format!("{key} {version}"))
                    .or_insert_with(|| bytes.clone());
                assert!(
                    *known == bytes,
                    "seed {seed}: {key} changed, {version} did not"
                );
            }
        }
        assert!(seen.len() > 10);
    }
}

/// A grid of two chunks in each direction.
pub(super) fn small() -> (Store, Grid) {
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 8.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
    );
    let structure = Structure::builder()
        .dimension(space)
        .crs("EPSG:32632")
        .build()
        .expect("valid");
    let schema = Schema::builder(structure, DType::I16)
        .nodata(-1.0)
        .aggregator(Aggregation::Max)
        .build()
        .expect("valid");
    let store = Store::in_memory().expect("a store");
    let grid = store.create("height", schema).expect("a grid");
    let cells =
        ndarray::Array2::from_shape_fn((8, 8), |(y, x)| i16::try_from(8 * y + x).expect("small"));
    grid.put(&Window::new([0, 0], [8, 8]), &cells).expect("put");
    (store, grid)
}

#[test]
fn what_is_no_key_leads_nowhere() {
    let (_store, grid) = small();
    for format in [Format::V3, Format::V2] {
        let view = View::new(
            &grid,
            &ViewOptions {
                format,
                ..ViewOptions::default()
            },
        )
        .expect("a view");
        for key in [
            "",
            "/",
            "0",
            "0/",
            "0/height",
            "0/height/c",
            "0/height/c/0",
            "0/height/c/0/0/0",
            "0/height/c/2/0",
            "0/height/c/-1/0",
            "0/height/c/00/0",
            "0/height/c/+0/0",
            "00/height/c/0/0",
            "2/height/c/0/0",
            "0/height/0",
            "0/height_valid/c/0/0",
            "0/y/c/1",
            "0/y/c/0/0",
            "0/y_bnds/c/0/0",
            "0/spatial_ref/c",
            "0/../0/height/c/0/0",
            "0/height/c/18446744073709551616/0",
            "99999999999999999999/height/c/0/0",
            "0/height/c/0/0/",
            "0/\u{0}/c/0",
            "0/height/c/0/0.tmp",
            ".gridstone",
        ] {
            assert_eq!(view.get(key).expect("no error"), None, "{key}");
            assert_eq!(view.version(key).expect("no error"), None, "{key}");
        }
    }
}

#[test]
fn metadata_say_what_readers_ask_for() {
    let (_store, grid) = small();
    let view = View::new(&grid, &ViewOptions::default()).expect("a view");
    let root = document(&view, "zarr.json");
    assert_eq!(
        root["consolidated_metadata"]["metadata"]["0/height"],
        document(&view, "0/height/zarr.json")
    );
    assert_eq!(root["consolidated_metadata"]["metadata"]["1"], {
        let mut group = document(&view, "1/zarr.json");
        group
            .as_object_mut()
            .expect("an object")
            .remove("consolidated_metadata");
        group
    });
    let array = document(&view, "1/height/zarr.json");
    assert_eq!(array["shape"], serde_json::json!([4, 4]));
    assert_eq!(array["fill_value"], -1);
    let about = &array["attributes"];
    assert_eq!(about["_FillValue"], -1);
    assert_eq!(about["proj:code"], "EPSG:32632");
    assert_eq!(
        about["spatial:transform"],
        serde_json::json!([2.0, 0.0, 0.0, 0.0, -2.0, 8.0])
    );
    assert_eq!(
        about["spatial:bbox"],
        serde_json::json!([0.0, 0.0, 8.0, 8.0])
    );
    assert_eq!(about["cell_methods"], "area: maximum");
    let mapping = document(&view, "0/spatial_ref/zarr.json");
    let wkt = mapping["attributes"]["crs_wkt"].as_str().expect("a text");
    assert!(
        wkt.starts_with("PROJCS[\"") && wkt.ends_with("AUTHORITY[\"EPSG\",\"32632\"]]"),
        "{wkt}"
    );
    assert_eq!(mapping["attributes"]["GeoTransform"], "0 1 0 8 0 -1");
    let rows = view.get("0/y/c/0").expect("readable").expect("there");
    let rows: Vec<f64> = rows
        .chunks_exact(8)
        .map(|bytes| f64::from_le_bytes(bytes.try_into().expect("eight")))
        .collect();
    assert_eq!(rows, [7.5, 6.5, 5.5, 4.5, 3.5, 2.5, 1.5, 0.5]);
    let v2 = View::new(
        &grid,
        &ViewOptions {
            format: Format::V2,
            ..ViewOptions::default()
        },
    )
    .expect("a view");
    let array = document(&v2, "0/height/.zarray");
    assert_eq!(
        (&array["dtype"], &array["dimension_separator"]),
        (&"<i2".into(), &"/".into())
    );
    assert_eq!(
        document(&v2, ".zmetadata")["metadata"]["0/height/.zarray"],
        array
    );
    assert_eq!(
        v2.get("0/height/1/0").expect("readable"),
        view.get("0/height/c/1/0").expect("readable")
    );
}

#[test]
fn a_part_and_a_level_can_be_chosen() {
    let (_store, grid) = small();
    let of = |window: Window| ViewOptions {
        window: Some(window),
        ..ViewOptions::default()
    };
    let level = |level: i8| Levels::try_from([level]).expect("a level");
    let view = View::new(&grid, &of(Window::new([1, 1], [2, 3]))).expect("a view");
    assert_eq!(view.layout.levels.len(), 1, "it fits one chunk");
    assert_eq!(
        document(&view, "0/height/zarr.json")["shape"],
        serde_json::json!([2, 3])
    );
    compare(&view, "a part");
    let view = View::new(&grid, &of(Window::new([0, 0], [4, 4]).at(level(1)))).expect("a view");
    assert_eq!(
        document(&view, "0/height/zarr.json")["shape"],
        serde_json::json!([4, 4])
    );
    compare(&view, "level 1");
    let mean = Some(Layer::Aggregate(Aggregation::Mean));
    for (options, why) in [
        (
            of(Window::new([0, 0], [1, 1]).at(level(9))),
            "no level 9 of dimension `space`",
        ),
        (
            ViewOptions {
                layer: mean,
                ..ViewOptions::default()
            },
            "no layer `mean`",
        ),
        (of(Window::new([100, 0], [1, 1])), "no data in"),
    ] {
        let error = View::new(&grid, &options).expect_err("refused");
        assert_eq!(*error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn an_export_is_completed_and_brought_up_to_date() {
    let (_store, grid) = small();
    let view = View::new(&grid, &ViewOptions::default()).expect("a view");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.zarr");
    let silent = |_: u64, _: u64| {};
    let first = export(&view, &path, false, &silent).expect("exported");
    let is_same = |view: &View| {
        for key in view.keys().expect("keys") {
            assert_eq!(
                std::fs::read(path.join(&key)).ok(),
                view.get(&key).expect("readable"),
                "{key}"
            );
        }
    };
    is_same(&view);
    let refused = export(&view, &path, false, &silent).expect_err("finished");
    assert!(refused.to_string().contains("--overwrite"), "{refused}");
    // Cut short: no root, a chunk that is not there but for what a kill has left of it, and a line
    // of which a cut of power has left no more than its length.
    std::fs::remove_file(path.join("zarr.json")).expect("removed");
    std::fs::remove_file(path.join("0/height/c/1/0")).expect("removed");
    let left = path.join("0/height/c/1/0.1.partial");
    std::fs::write(&left, "cut short").expect("written");
    let journal = path.join(".gridstone");
    let mut lines = std::fs::read(&journal).expect("readable");
    lines.extend(b"\"12\"\t0/hei\0\0\xff");
    std::fs::write(&journal, lines).expect("written");
    let again = export(&view, &path, false, &silent).expect("completed");
    assert_eq!(again.kept + again.written, first.written);
    assert!(!left.exists(), "what was left of a chunk is gone");
    is_same(&view);
    grid.put(&Window::new([0, 0], [1, 1]), &ndarray::arr2(&[[500_i16]]))
        .expect("put");
    grid.clear(&Window::new([4, 4], [4, 4])).expect("cleared");
    let view = View::new(&grid, &ViewOptions::default()).expect("a view");
    let updated = export(&view, &path, true, &silent).expect("updated");
    assert!(updated.kept >= 2, "{updated:?}");
    is_same(&view);
    assert!(
        !path.join("0/height/c/1/1").exists(),
        "a chunk that was cleared is gone"
    );
    let options = ViewOptions {
        window: Some(Window::new([0, 0], [4, 4])),
        ..ViewOptions::default()
    };
    let less = View::new(&grid, &options).expect("a view");
    export(&less, &path, true, &silent).expect("written over");
    is_same(&less);
    for stale in [
        "1/zarr.json",
        "1/height/zarr.json",
        "1/height/c/0/0",
        "0/height/c/0/1",
    ] {
        assert!(!path.join(stale).exists(), "{stale} is of the one before");
    }

    std::fs::write(folder.path().join("notes.txt"), "mine").expect("written");
    let refused = export(&view, folder.path(), true, &silent).expect_err("not a hierarchy");
    assert!(refused.to_string().contains("something else"), "{refused}");
}
