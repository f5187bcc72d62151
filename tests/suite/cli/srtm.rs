//! The whole way of real data: in, up the pyramid, out, changed, verified.

use gridstone::Array;
use gridstone::adapter::geotiff::GeoTiff;
use gridstone::array::Cells;
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

use super::{Work, data, values};

const ROWS: usize = 1024;
const COLS: usize = 1280;

fn file() -> Array {
    let mut tiff = GeoTiff::open(data("srtm.tif")).expect("opens");
    tiff.read(&tiff.window()).expect("reads")
}

fn bytes(array: &Array) -> Vec<u8> {
    match array.to_cells() {
        Cells::I16(cells) => cells.iter().flat_map(|cell| cell.to_le_bytes()).collect(),
        other => panic!("{:?} cells", other.dtype()),
    }
}

#[test]
fn the_base_is_the_file() {
    let work = Work::with_srtm();
    let cells = work.cells(&[]);
    assert_eq!(cells.shape(), [ROWS, COLS]);
    assert_eq!(values(&cells), values(&file()));
    // The cells as GDAL reads them.
    assert_eq!(xxh3_64(&bytes(&cells)), CELLS_HASH);
}

const CELLS_HASH: u64 = 0xdc4b_a679_378b_a3f6;

/// The mean or the greatest of the valid base cells under each cell of a level.
fn recomputed(level: u32, greatest: bool) -> (Vec<usize>, Vec<f64>) {
    let base = values(&file());
    let size = 1 << level;
    let shape = vec![ROWS.div_ceil(size), COLS.div_ceil(size)];
    let mut cells = Vec::new();
    for y in 0..shape[0] {
        for x in 0..shape[1] {
            let rows = y * size..((y + 1) * size).min(ROWS);
            let under = rows.flat_map(|row| {
                &base[row * COLS + x * size..row * COLS + ((x + 1) * size).min(COLS)]
            });
            let (sum, count, max) = under.fold(
                (0.0, 0.0, f64::MIN),
                |(sum, count, max): (f64, f64, f64), cell| {
                    (sum + cell, count + 1.0, max.max(*cell))
                },
            );
            cells.push(if greatest { max } else { sum / count });
        }
    }
    (shape, cells)
}

#[test]
fn i7_every_level_equals_a_recomputation_from_the_file() {
    let work = Work::with_srtm();
    let top = work.json(&["info", "store", "dem"])["grids"][0]["reach"]["space"]
        .as_u64()
        .expect("a level");
    assert!((3..6).contains(&top), "{top}");
    for level in 1..=u32::try_from(top).expect("small") {
        let option = level.to_string();
        let mean = work.cells(&["--level", &option]);
        let (shape, expected) = recomputed(level, false);
        assert_eq!(mean.shape(), shape);
        // Invariant 7: a float32 rounding a level.
        let limit = f64::from(level) * 0.5_f64.powi(24) * 4300.0;
        for (got, expected) in values(&mean).iter().zip(&expected) {
            assert!(
                (got - expected).abs() <= limit,
                "level {level}: {got}, not {expected}"
            );
        }
        let max = work.cells(&["--level", &option, "--layer", "max"]);
        assert_eq!(values(&max), recomputed(level, true).1, "level {level}");
    }
}

#[test]
fn a_geotiff_of_the_base_has_the_files_cells_and_place() {
    let work = Work::with_srtm();
    work.ok(&["read", "store", "dem", "--out", "copy.tif"]);
    let mut copy = GeoTiff::open(work.path("copy.tif")).expect("opens");
    let original = GeoTiff::open(data("srtm.tif")).expect("opens");
    assert_eq!(
        values(&copy.read(&copy.window()).expect("reads")),
        values(&file())
    );
    assert_eq!(copy.header().crs, original.header().crs);
    let (copied, affine) = (
        copy.header().affine.expect("a place"),
        original.header().affine.expect("a place"),
    );
    for (a, b) in copied.to_gdal().into_iter().zip(affine.to_gdal()) {
        assert!((a - b).abs() < 1e-12, "{copied:?}, not {affine:?}");
    }
    // Its cells are the grid's, so it can be imported again, and nothing changes.
    let before = values(&work.cells(&["--level", "3"]));
    work.ok(&["import", "store", "dem", "copy.tif"]);
    assert_eq!(values(&work.cells(&["--level", "3"])), before);
    // A coarser level lies over the same ground.
    work.ok(&[
        "read",
        "store",
        "dem",
        "--level",
        "2",
        "--out",
        "coarse.tif",
    ]);
    let coarse = GeoTiff::open(work.path("coarse.tif")).expect("opens");
    assert_eq!(
        (coarse.header().height, coarse.header().width),
        (ROWS / 4, COLS / 4)
    );
    let placed = coarse.header().affine.expect("a place");
    assert!(
        (placed.x - affine.x).abs() < 1e-12 && (placed.dx - 4.0 * affine.dx).abs() < 1e-15,
        "{placed:?}"
    );
}

#[test]
fn a_window_and_the_same_extent_are_the_same_cells() {
    let work = Work::with_srtm();
    let window = work.cells(&["--window", "256:300,512:600"]);
    assert_eq!(window.shape(), [44, 88]);
    let all = values(&file());
    let expected: Vec<f64> = (256..300)
        .flat_map(|row| all[row * COLS + 512..row * COLS + 600].to_vec())
        .collect();
    assert_eq!(values(&window), expected);
    let read = work.json(&["read", "store", "dem", "--window", "256:300,512:600"]);
    let side = |axis: &str, end: usize| read["extent"][axis][end].as_f64().expect("a number");
    let extent = format!(
        "{},{},{},{}",
        side("x", 0),
        side("y", 0),
        side("x", 1),
        side("y", 1)
    );
    assert_eq!(values(&work.cells(&["--extent", &extent])), expected);
    assert_eq!(read["window"], json!({ "y": [256, 300], "x": [512, 600] }));
    assert_eq!(
        (
            read["dtype"].as_str(),
            read["layer"].as_str(),
            read["valid_share"].as_f64()
        ),
        (Some("int16"), Some("base"), Some(1.0))
    );
    let mean = expected.iter().sum::<f64>() / expected.len() as f64;
    assert!((read["mean"].as_f64().expect("a number") - mean).abs() < 1e-9);
}

#[test]
fn shapes_and_resolutions_are_what_was_asked() {
    let work = Work::with_srtm();
    // Means are exact: from the coarsest level where edges meet, or from the base.
    for (shape, level) in [("128x160", 3), ("64x64", 2), ("100x120", 0)] {
        let read = work.json(&[
            "read",
            "store",
            "dem",
            "--shape",
            shape,
            "--resampling",
            "area",
        ]);
        assert_eq!(
            (&read["layer"], &read["levels"]["space"]),
            (&json!("mean"), &json!(level)),
            "{shape}"
        );
    }
    let read = work.json(&[
        "read",
        "store",
        "dem",
        "--resolution",
        "0.0033",
        "--resampling",
        "bilinear",
    ]);
    assert_eq!(read["levels"]["space"], json!(2));
    let plan = work.json(&["explain", "store", "dem", "--shape", "100x120"]);
    assert_eq!(
        (&plan["levels"]["space"], &plan["stale"], &plan["layer"]),
        (&json!(3), &json!(0), &json!("mean"))
    );
}

#[test]
fn marks_are_left_and_drained() {
    let work = Work::new();
    work.ok(&["create", "store", "dem", "--like", &data("srtm.tif")]);
    work.ok(&["import", "store", "dem", &data("srtm.tif")]);
    let before = values(&work.cells(&["--level", "2"]));
    let summary = work.json(&[
        "import",
        "store",
        "dem",
        &data("srtm_patch.tif"),
        "--no-aggregate",
    ]);
    assert_eq!(
        (
            &summary["marks_drained"],
            &summary["aggregate_chunks"],
            &summary["cells"]
        ),
        (&json!(0), &json!(0), &json!(90 * 120))
    );
    let marks = summary["marks_pending"].as_u64().expect("a number");
    assert!(marks > 0);
    let stale = work.run(&["read", "store", "dem", "--level", "2", "--json"]);
    assert!(
        stale.stderr.starts_with("warning: ") && stale.stderr.contains("--fresh"),
        "{}",
        stale.stderr
    );
    assert_eq!(values(&work.cells(&["--level", "2"])), before);
    let fresh = values(&work.cells(&["--level", "2", "--fresh"]));
    assert_ne!(fresh, before);
    assert!(work.json(&["explain", "store", "dem", "--level", "2"])["stale"].as_u64() > Some(0));
    let drained = work.json(&["aggregate", "store"]);
    assert_eq!(drained["marks_drained"].as_u64(), Some(marks));
    assert_eq!(values(&work.cells(&["--level", "2"])), fresh);
    assert_eq!(work.json(&["verify", "store"])["ok"], json!(true));
}

#[test]
fn only_the_ancestors_of_a_change_are_written() {
    let work = Work::with_srtm();
    let all = work.json(&["info", "store", "dem"])["grids"][0]["chunks"]
        .as_u64()
        .expect("a number");
    let change = work.json(&["import", "store", "dem", &data("srtm_patch.tif")]);
    // Rows 600 to 689 and columns 300 to 419 lie in one chunk of 256 x 256; above it is one a level
    // and layer.
    assert_eq!(change["base_chunks"], json!(1));
    let top = work.json(&["info", "store", "dem"])["grids"][0]["reach"]["space"]
        .as_u64()
        .expect("a level");
    assert_eq!(change["aggregate_chunks"].as_u64(), Some(2 * top));
    assert!(change["chunks"].as_u64().expect("a number") * 5 < all);
}

#[test]
fn info_tells_what_there_is() {
    let work = Work::with_srtm();
    let grid = work.json(&["info", "store", "dem"])["grids"][0].clone();
    assert_eq!(
        (
            &grid["grid"],
            &grid["dtype"],
            &grid["crs"],
            &grid["nodata"],
            &grid["aggregators"],
            &grid["marks"]
        ),
        (
            &json!("dem"),
            &json!("int16"),
            &json!("EPSG:4326"),
            &json!(null),
            &json!(["mean", "max"]),
            &json!(0)
        )
    );
    assert_eq!(grid["window"], json!({ "y": [0, ROWS], "x": [0, COLS] }));
    let base = &grid["layers"][0];
    assert_eq!(
        (&base["layer"], &base["levels"], &base["chunks"]),
        (&json!("base"), &json!({ "space": 0 }), &json!(20))
    );
    assert_eq!(base["raw_bytes"], json!(20 * 256 * 256 * 2));
    let layers = grid["layers"].as_array().expect("a list");
    let sum = |key: &str| {
        layers
            .iter()
            .map(|layer| layer[key].as_u64().expect("a number"))
            .sum::<u64>()
    };
    assert_eq!(
        (Some(sum("chunks")), Some(sum("bytes"))),
        (grid["chunks"].as_u64(), grid["bytes"].as_u64())
    );
    assert_eq!(grid["top"]["levels"], grid["reach"]);
    let listed = work.json(&["ls", "store"]);
    assert_eq!(listed["grids"][0]["cells"], json!({ "y": ROWS, "x": COLS }));
    assert!(work.ok(&["info", "store"]).contains("EPSG:4326"));
    assert!(work.ok(&["ls", "store"]).starts_with("dem  int16"));
}

#[test]
fn a_picture_has_the_shape_that_was_asked() {
    let work = Work::with_srtm();
    work.ok(&[
        "read",
        "store",
        "dem",
        "--shape",
        "96x120",
        "--colormap",
        "turbo",
        "--min",
        "-10",
        "--max",
        "4000",
        "--out",
        "dem.png",
    ]);
    let file =
        std::io::BufReader::new(std::fs::File::open(work.path("dem.png")).expect("a picture"));
    let reader = png::Decoder::new(file).read_info().expect("a picture");
    assert_eq!((reader.info().height, reader.info().width), (96, 120));
}

#[test]
fn watch_drains_what_is_pending_and_ends_when_nothing_is_left() {
    let work = Work::with_srtm();
    let summary = work.json(&[
        "import",
        "store",
        "dem",
        &data("srtm_patch.tif"),
        "--no-aggregate",
    ]);
    let pending = summary["marks_pending"].as_u64().expect("a number");
    assert!(pending > 0);
    let ran = work.run(&["aggregate", "store", "--watch", "--idle", "0", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let drained: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(drained["marks_drained"].as_u64(), Some(pending));
    assert!(
        ran.stderr.starts_with("note: ") && ran.stderr.contains(" pending"),
        "{}",
        ran.stderr
    );
    let info = work.json(&["info", "store", "dem"]);
    assert_eq!(info["grids"][0]["marks"].as_u64(), Some(0));
    assert_eq!(
        work.json(&["aggregate", "store", "--watch", "--idle", "0"])["marks_drained"].as_u64(),
        Some(0)
    );
    assert_eq!(
        work.run(&["aggregate", "store", "dem", "--watch"]).code,
        Some(2),
        "it is for all grids"
    );
}
