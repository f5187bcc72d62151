//! What has no data has none in every file and figure, whatever the format can say.

use gridstone::Array;
use gridstone::adapter::geotiff::GeoTiff;
use gridstone::array::Cells;
use ndarray::{Array2, s};
use serde_json::json;

use super::{Work, values};

/// A grid of cells without a nodata value, of which the upper right quarter was never put.
fn quarters<T: gridstone::array::Cell>(work: &Work, of: impl Fn(usize, usize) -> T) -> Array2<T> {
    let cells = Array2::from_shape_fn((16, 16), |(y, x)| of(y, x));
    let lower = work.tif("lower.tif", cells.slice(s![8.., ..]), |profile| {
        profile.affine = placed(8.0)
    });
    let upper = work.tif("upper.tif", cells.slice(s![..8, ..8]), |profile| {
        profile.affine = placed(0.0)
    });
    work.ok(&[
        "create",
        "store",
        "dem",
        "--like",
        &lower,
        "--chunk",
        "4",
        "--aggregator",
        "mean,max,sum,count",
    ]);
    work.ok(&["import", "store", "dem", &lower, &upper]);
    cells
}

fn placed(row: f64) -> Option<gridstone::adapter::geotiff::Affine> {
    Some(gridstone::adapter::geotiff::Affine {
        x: 400_000.0,
        y: 5_000_000.0 - 10.0 * row,
        dx: 10.0,
        dy: -10.0,
    })
}

fn is_gap(number: usize) -> bool {
    number / 16 < 8 && number % 16 >= 8
}

fn pixels(work: &Work, name: &str) -> Vec<[u8; 4]> {
    let file = std::io::BufReader::new(std::fs::File::open(work.path(name)).expect("written"));
    let mut decoder = png::Decoder::new(file);
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::ALPHA);
    let mut reader = decoder.read_info().expect("a PNG");
    let mut bytes = vec![0; reader.output_buffer_size().expect("small")];
    reader.next_frame(&mut bytes).expect("whole");
    bytes.as_chunks::<4>().0.to_vec()
}

#[test]
fn gaps_of_integers_without_a_nodata_value_are_gaps_everywhere() {
    let work = Work::new();
    quarters(&work, |_, _| 100_i16);
    let read = work.json(&["read", "store", "dem"]);
    assert_eq!(
        [
            &read["valid_share"],
            &read["min"],
            &read["max"],
            &read["mean"]
        ],
        [&json!(0.75), &json!(100.0), &json!(100.0), &json!(100.0)]
    );
    for options in [
        ["--resolution", "3", "--resampling", "bilinear"],
        ["--resolution", "7", "--resampling", "cubic"],
    ] {
        let read = work.json(&[&["read", "store", "dem"], &options[..]].concat());
        assert_eq!(
            [&read["min"], &read["max"]],
            [&json!(100.0), &json!(100.0)],
            "{options:?}"
        );
    }
    let read = work.json(&["read", "store", "dem", "--layer", "max", "--level", "1"]);
    assert_eq!(
        [&read["valid_share"], &read["min"]],
        [&json!(0.75), &json!(100.0)]
    );
    // A .tif and a .npy have a value that no cell has; the .npy cannot say which.
    work.ok(&["read", "store", "dem", "--out", "o.tif"]);
    let mut tiff = GeoTiff::open(work.path("o.tif")).expect("a GeoTIFF");
    assert_eq!(tiff.header().nodata, Some(Cells::from(vec![i16::MIN])));
    let window = tiff.window();
    let expected = |number: usize| {
        if is_gap(number) {
            f64::from(i16::MIN)
        } else {
            100.0
        }
    };
    assert_eq!(
        values(&tiff.read(&window).expect("its cells")),
        (0..256).map(expected).collect::<Vec<_>>()
    );
    let ran = work.run(&["read", "store", "dem", "--out", "o.npy"]);
    assert!(
        ran.stderr
            .contains("warning: cells without data hold -32768 in o.npy"),
        "{}",
        ran.stderr
    );
    assert_eq!(
        values(&work.cells(&[])),
        (0..256).map(expected).collect::<Vec<_>>()
    );
    assert_eq!(
        work.json(&["read", "store", "dem", "--out", "p.npy"])["nodata"],
        json!(-32768.0)
    );
    work.ok(&["read", "store", "dem", "--out", "o.png"]);
    assert!(
        pixels(&work, "o.png")
            .iter()
            .enumerate()
            .all(|(number, pixel)| (pixel[3] == 0) == is_gap(number))
    );
}

#[test]
fn bytes_of_every_value_get_a_mask_in_a_tif_and_none_in_a_npy() {
    let work = Work::new();
    let cells = quarters(&work, |y, x| u8::try_from(y * 16 + x).expect("small"));
    // The gap is put as well, so that every value is held, and cleared in a row that has others.
    let all: Array2<u8> = Array2::from_shape_fn((16, 16), |(y, x)| cells[[(y + 8) % 16, x]]);
    let file = work.tif("all.tif", &all, |profile| profile.affine = placed(16.0));
    work.ok(&["import", "store", "dem", &file]);
    work.ok(&["read", "store", "dem", "--out", "o.tif"]);
    let tiff = GeoTiff::open(work.path("o.tif")).expect("a GeoTIFF");
    assert_eq!(tiff.header().nodata, None);
    let error = work.fails(&["read", "store", "dem", "--out", "o.npy"]);
    assert!(
        error.contains("every value of uint8 occurs") && error.contains("--layer mean"),
        "{error}"
    );
    assert!(
        work.ok(&["read", "store", "dem", "--layer", "mean", "--out", "o.npy"])
            .contains("float32")
    );
}

#[test]
fn values_of_layers_that_equal_the_nodata_value_are_data() {
    let work = Work::new();
    let cells = Array2::from_shape_fn((8, 8), |(_, x)| if x % 2 == 0 { -7_i16 } else { 7 });
    let file = work.tif("diff.tif", &cells, |profile| {
        profile.nodata = Some(Cells::from(vec![0_i16]))
    });
    work.ok(&[
        "create",
        "store",
        "dem",
        "--like",
        &file,
        "--chunk",
        "4",
        "--aggregator",
        "mean,sum,count",
    ]);
    work.ok(&["import", "store", "dem", &file]);
    for layer in ["mean", "sum", "count"] {
        let value = if layer == "count" { 4.0 } else { 0.0 };
        let options = ["--level", "1", "--layer", layer];
        assert_eq!(values(&work.cells(&options)), [value; 16], "{layer}");
        let read = work.json(&[&["read", "store", "dem"], &options[..]].concat());
        assert_eq!(
            [&read["valid_share"], &read["min"], &read["mean"]],
            [&json!(1.0), &json!(value), &json!(value)],
            "{layer}"
        );
        work.ok(&[
            &["read", "store", "dem", "--out", "o.tif", "--overwrite"],
            &options[..],
        ]
        .concat());
        let mut tiff = GeoTiff::open(work.path("o.tif")).expect("a GeoTIFF");
        let (window, nodata) = (tiff.window(), tiff.header().nodata.clone());
        let cells: Array = tiff.read(&window).expect("its cells");
        assert_eq!(values(&cells), [value; 16], "{layer}");
        assert!(
            nodata.is_none_or(|nodata| nodata != Cells::filled(cells.dtype(), 1, value)),
            "{layer}"
        );
        work.ok(&[
            &["read", "store", "dem", "--out", "o.png", "--overwrite"],
            &options[..],
        ]
        .concat());
        assert!(
            pixels(&work, "o.png").iter().all(|pixel| pixel[3] == 255),
            "{layer}"
        );
    }
}

#[test]
fn the_north_is_up_and_the_east_is_right_without_a_systems_name() {
    let work = Work::new();
    let rising = Array2::from_shape_fn((4, 6), |(y, x)| (y * 10 + x) as f32);
    for (name, dx, dy) in [
        ("north", 1.0, -1.0),
        ("south", 1.0, 1.0),
        ("west", -1.0, -1.0),
        ("both", -1.0, 1.0),
    ] {
        let file = work.tif(&format!("{name}.tif"), &rising, |profile| {
            profile.crs = None;
            profile.affine = Some(gridstone::adapter::geotiff::Affine {
                x: 5.0,
                y: 5.0,
                dx,
                dy,
            });
        });
        work.ok(&["create", "store", name, "--like", &file, "--chunk", "4"]);
        work.ok(&["import", "store", name, &file]);
        let out = format!("{name}.png");
        work.ok(&["read", "store", name, "--out", &out, "--colormap", "grays"]);
        let shown: Vec<u8> = pixels(&work, &out).iter().map(|pixel| pixel[0]).collect();
        let at = |y: usize, x: usize| shown[y * 6 + x];
        assert_eq!(at(0, 0) > at(3, 0), dy > 0.0, "{name}: rows");
        assert_eq!(at(0, 0) > at(0, 5), dx < 0.0, "{name}: columns");
    }
    // A file that lies nowhere is shown as it is, and so is a part of it.
    let file = work.tif("pixels.tif", &rising, |profile| {
        (profile.crs, profile.affine) = (None, None)
    });
    work.ok(&["create", "store", "pixels", "--like", &file, "--chunk", "4"]);
    work.ok(&["import", "store", "pixels", &file]);
    for window in ["0:4,0:6", "1:4,0:6"] {
        work.ok(&[
            "read",
            "store",
            "pixels",
            "--window",
            window,
            "--out",
            "pixels.png",
            "--overwrite",
            "--colormap",
            "grays",
        ]);
        let shown = pixels(&work, "pixels.png");
        assert!(shown[0][0] < shown[shown.len() - 1][0], "{window}");
    }
}
