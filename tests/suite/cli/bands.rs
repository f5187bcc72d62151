//! Several bands, nodata, types, other levels, other orders of rows.

use ndarray::{Array2, Array3, s};
use serde_json::json;

use super::{Work, values};
use gridstone::adapter::geotiff::{Affine, Band};
use gridstone::array::Cells;

fn bands() -> Array3<u8> {
    Array3::from_shape_fn((3, 40, 50), |(band, y, x)| {
        u8::try_from((band * 80 + y + x) % 256).expect("small")
    })
}

#[test]
fn several_bands_come_first_and_are_chosen_by_name_or_number() {
    let work = Work::new();
    let array = bands();
    let names = ["red", "green", "blue"];
    let file = work.tif("rgb.tif", &array, |profile| {
        profile.bands = names
            .iter()
            .map(|name| {
                let mut band = Band::default();
                band.description = Some((*name).to_owned());
                band
            })
            .collect();
    });
    work.with_grid(&file, &[]);
    let all = work.cells(&[]);
    assert_eq!(
        (all.shape(), values(&all)),
        (&[3, 40, 50][..], values(&array.clone().into()))
    );
    let green = values(&array.slice(s![1, .., ..]).to_owned().into());
    for band in ["green", "2"] {
        let cells = work.cells(&["--band", band]);
        assert_eq!(
            (cells.shape(), values(&cells)),
            (&[40, 50][..], green.clone()),
            "{band}"
        );
    }
    let info = work.json(&["info", "store", "dem"]);
    assert_eq!(info["grids"][0]["dimensions"][0]["labels"], json!(names));
    work.ok(&["read", "store", "dem", "--out", "rgb.png"]);
    work.ok(&["read", "store", "dem", "--out", "rgb-again.tif"]);
    work.ok(&["import", "store", "dem", "rgb-again.tif"]);
    assert_eq!(values(&work.cells(&[])), values(&array.into()));
    assert!(
        work.fails(&["read", "store", "dem", "--band", "nir"])
            .contains("it has red, green, blue")
    );
}

#[test]
fn nodata_is_translated_and_leaves_what_is_there() {
    let work = Work::new();
    let first = Array2::from_shape_fn((20, 20), |(y, x)| (y * 20 + x) as f32);
    let file = work.tif("first.tif", &first, |profile| {
        profile.nodata = Some(Cells::from(vec![7.0_f32]))
    });
    work.with_grid(&file, &["--nodata", "-9999"]);
    let cells = values(&work.cells(&[]));
    assert!(cells[7].is_nan() && cells[8] == 8.0, "{:?}", &cells[..9]);
    // int16 fits float32; its nodata value is another.
    let second = Array2::from_shape_fn((20, 20), |(y, _)| if y < 10 { -1_i16 } else { 500 });
    let file = work.tif("second.tif", &second, |profile| {
        profile.nodata = Some(Cells::from(vec![-1_i16]))
    });
    work.ok(&["import", "store", "dem", &file]);
    let cells = values(&work.cells(&[]));
    assert_eq!((cells[199], cells[200], cells[399]), (199.0, 500.0, 500.0));
    assert!(cells[7].is_nan());
    let read = work.json(&["read", "store", "dem"]);
    assert_eq!(
        (&read["min"], &read["valid_share"]),
        (&json!(0.0), &json!(399.0 / 400.0))
    );
}

#[test]
fn integer_cells_without_data_hold_the_grids_nodata_value() {
    let work = Work::new();
    let array = Array2::from_shape_fn((20, 20), |(y, x)| if y == x { -32768_i16 } else { 3 });
    let file = work.tif("holes.tif", &array, |profile| {
        profile.nodata = Some(Cells::from(vec![-32768_i16]))
    });
    work.with_grid(&file, &["--aggregator", "mean,max"]);
    assert_eq!(values(&work.cells(&[])), values(&array.into()));
    assert!(
        values(&work.cells(&["--level", "1"]))
            .iter()
            .all(|cell| *cell == 3.0)
    );
    let outside = work.cells(&["--window", "-2:1,0:2", "--layer", "base"]);
    assert_eq!(
        values(&outside),
        [-32768.0, -32768.0, -32768.0, -32768.0, -32768.0, 3.0]
    );
    assert!(
        values(&work.cells(&["--window", "-2:1,0:1", "--layer", "mean", "--level", "1"]))[0]
            .is_nan()
    );
}

#[test]
fn a_file_of_cells_twice_as_large_lands_a_level_up() {
    let work = Work::new();
    let fine = work.tif("fine.tif", &Array2::<i16>::ones((32, 32)), |_| {});
    let coarse =
        Array2::from_shape_fn((16, 16), |(y, x)| i16::try_from(y * 16 + x).expect("small"));
    let file = work.tif("coarse.tif", &coarse, |profile| {
        profile.affine = Some(Affine {
            x: 400_000.0,
            y: 5_000_000.0,
            dx: 20.0,
            dy: -20.0,
        });
    });
    work.ok(&["create", "store", "dem", "--like", &fine, "--chunk", "16"]);
    work.ok(&["import", "store", "dem", &file]);
    let read = work.json(&["read", "store", "dem"]);
    assert_eq!(
        (&read["levels"]["space"], &read["shape"]),
        (&json!(1), &json!([16, 16]))
    );
    assert_eq!(values(&work.cells(&[])), values(&coarse.into()));
    work.ok(&["create", "store", "over", "--like", &fine, "--chunk", "16"]);
    work.ok(&["import", "store", "over", &fine]);
    let why = work.fails(&["import", "store", "over", &file]);
    assert!(
        why.contains("trying to put data at an aggregated level for dimension `space`"),
        "{why}"
    );
}

#[test]
fn rows_from_south_to_north_are_turned() {
    let work = Work::new();
    let north_up =
        Array2::from_shape_fn((20, 24), |(y, x)| i16::try_from(y * 24 + x).expect("small"));
    let south_up = north_up.slice(s![..;-1, ..]).to_owned();
    let like = work.tif("north-up.tif", &north_up, |_| {});
    let file = work.tif("south-up.tif", &south_up, |profile| {
        profile.affine = Some(Affine {
            x: 400_000.0,
            y: 4_999_800.0,
            dx: 10.0,
            dy: 10.0,
        });
    });
    work.ok(&["create", "store", "dem", "--like", &like, "--chunk", "16"]);
    work.ok(&["import", "store", "dem", &file]);
    assert_eq!(values(&work.cells(&[])), values(&north_up.into()));
}

#[test]
fn a_file_without_a_place_lies_at_its_pixels() {
    let work = Work::new();
    let array = Array2::from_shape_fn((20, 24), |(y, x)| i16::try_from(y * 24 + x).expect("small"));
    let file = work.tif("plain.tif", &array, |profile| {
        (profile.affine, profile.crs) = (None, None)
    });
    work.with_grid(&file, &[]);
    let read = work.json(&["read", "store", "dem", "--extent", "4,0,6,2"]);
    assert_eq!(
        (&read["window"], &read["min"], &read["max"]),
        (
            &json!({ "y": [0, 2], "x": [4, 6] }),
            &json!(4.0),
            &json!(29.0)
        )
    );
    work.ok(&["read", "store", "dem", "--out", "again.tif"]);
    work.ok(&["import", "store", "dem", "again.tif"]);
}

#[test]
fn layers_of_every_kind_are_made_shown_and_read() {
    let work = Work::new();
    let text = "dtype = \"int16\"\nnodata = -1\n[[dimension]]\nname = \"band\"\nlabels = [\"a\", \"b\"]\ntogether = true\n\
                [[dimension]]\nname = \"time\"\naxis = [{ name = \"t\", origin = 0, step = 1, chunk = 2 }]\n\
                [[dimension]]\nname = \"space\"\naxis = [\n\
                { name = \"y\", origin = 5000000, step = -10, chunk = 16 },\n{ name = \"x\", origin = 400000, step = 10, chunk = 16 },\n]\n";
    std::fs::write(work.path("grid.toml"), text).expect("written");
    work.ok(&[
        "create",
        "store",
        "cube",
        "--structure",
        "grid.toml",
        "--aggregator",
        "mean,std,mode:16,last:time",
    ]);
    let grid = work.json(&["info", "store", "cube"])["grids"][0].clone();
    assert_eq!(
        grid["aggregators"],
        json!(["mean", "std", "mode:16", "last:time"])
    );
    assert_eq!(
        grid["dimensions"][0]["axes"][0]["chunk"],
        json!(2),
        "two labels in one chunk"
    );

    let array = Array2::from_shape_fn((64, 64), |(y, x)| {
        i16::try_from(y / 4 * 16 + x / 4).expect("small")
    });
    let file = work.tif("classes.tif", &array, |_| {});
    work.with_grid(&file, &["--aggregator", "std,mode:16,mode:2"]);
    let read = |layer: &str| work.json(&["read", "store", "dem", "--level", "3", "--layer", layer]);
    assert_eq!(
        (&read("std")["layer"], &read("std")["dtype"]),
        (&json!("std"), &json!("float64"))
    );
    // Eight rows of eight cells hold four classes, sixteen cells of each.
    assert_eq!(
        (&read("mode:16")["inexact"], &read("mode:16")["min"]),
        (&json!(0), &json!(0.0))
    );
    assert!(read("mode:2")["inexact"].as_u64() > Some(0));
    let why = work.fails(&[
        "read", "store", "dem", "--level", "1", "--layer", "variance",
    ]);
    assert!(
        why.contains("no layer `variance`") && why.contains("std, mode:16, mode:2"),
        "{why}"
    );
    for (aggregator, says) in [
        ("last:time", "no dimension `time`"),
        ("meen", "`meen` is not an aggregation"),
    ] {
        let why = work.fails(&[
            "create",
            "store",
            "wrong",
            "--like",
            &file,
            "--aggregator",
            aggregator,
        ]);
        assert!(why.contains(says), "{why}");
    }
}

#[test]
fn a_description_in_toml_makes_the_grid() {
    let work = Work::new();
    let text = "dtype = \"int16\"\nnodata = -1\ncrs = \"EPSG:32632\"\naggregators = [\"max\", \"count\"]\nfilter = \"shuffle\"\nzstd_level = 3\n\
                [[dimension]]\nname = \"space\"\ndepth = 2\naxis = [\n\
                { name = \"y\", origin = 5000000, step = -10, chunk = 16 },\n{ name = \"x\", origin = 400000, step = 10, chunk = 16 },\n]\n";
    std::fs::write(work.path("grid.toml"), text).expect("written");
    work.ok(&["create", "store", "dem", "--structure", "grid.toml"]);
    let grid = work.json(&["info", "store", "dem"])["grids"][0].clone();
    assert_eq!(
        (
            &grid["dtype"],
            &grid["nodata"],
            &grid["filter"],
            &grid["zstd_level"],
            &grid["aggregators"]
        ),
        (
            &json!("int16"),
            &json!(-1.0),
            &json!("shuffle"),
            &json!(3),
            &json!(["max", "count"])
        )
    );
    assert_eq!(
        (
            &grid["dimensions"][0]["depth"],
            &grid["extent"],
            &grid["top"]
        ),
        (&json!(2), &json!(null), &json!(null))
    );
    let file = work.tif("a.tif", &Array2::<i16>::ones((300, 300)), |_| {});
    work.ok(&["import", "store", "dem", &file]);
    assert_eq!(
        work.json(&["info", "store", "dem"])["grids"][0]["reach"]["space"],
        json!(2)
    );
    std::fs::write(
        work.path("typo.toml"),
        text.replace("zstd_level", "zstd_lvl"),
    )
    .expect("written");
    let why = work.fails(&["create", "store", "typo", "--structure", "typo.toml"]);
    assert!(why.contains("line 6") && why.contains("zstd_lvl"), "{why}");
}
