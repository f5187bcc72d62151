//! `gridstone stats`, against figures that numpy and rasterio make of the same file
//! (tests/data/statistics.py).

use std::fs;

use ndarray::{Array2, Array3};
use serde_json::{Value, json};

use super::{Work, data};

/// Real elevation with every layer.
fn srtm() -> Work {
    let work = Work::new();
    work.ok(&[
        "create",
        "store",
        "dem",
        "--like",
        &data("srtm.tif"),
        "--chunk",
        "64",
        "--aggregator",
        "mean,min,max,sum,count",
    ]);
    work.ok(&["import", "store", "dem", &data("srtm.tif")]);
    work
}

/// Count, sum, mean, least, greatest, deviation.
fn check(got: &Value, want: (u64, i64, f64, i64, i64, f64)) {
    let number = |name: &str| {
        got[name]
            .as_f64()
            .unwrap_or_else(|| panic!("no {name}: {got}"))
    };
    let whole = ["count", "sum", "min", "max"].map(number);
    assert_eq!(
        whole,
        [want.0 as f64, want.1 as f64, want.3 as f64, want.4 as f64],
        "{got}"
    );
    assert!(
        (number("mean") - want.2).abs() < 1e-9 && (number("std") - want.5).abs() < 1e-9,
        "{got}"
    );
    assert_eq!((&got["exact"], &got["bounds"]), (&json!(true), &json!({})));
}

const ALL: [&str; 2] = ["--stat", "count,sum,mean,min,max,std"];
const EXTENT: [&str; 2] = ["--extent", "-119.4,37.1,-119.05,37.33"];

fn polygon(work: &Work) -> [&'static str; 2] {
    let polygon = json!({ "type": "Feature", "properties": {}, "geometry": { "type": "Polygon", "coordinates": [
        [[-119.45, 37.05], [-119.02, 37.12], [-119.1, 37.4], [-119.31, 37.22], [-119.42, 37.41], [-119.45, 37.05]],
        [[-119.3, 37.1], [-119.2, 37.1], [-119.2, 37.2], [-119.3, 37.2], [-119.3, 37.1]],
    ] } });
    fs::write(work.path("lake.geojson"), polygon.to_string()).expect("written");
    ["--polygon", "lake.geojson"]
}

#[test]
fn figures_of_real_elevation_are_those_of_numpy() {
    let work = srtm();
    let polygon = polygon(&work);
    let stats = |options: &[&[&str]]| {
        work.json(&[&["stats", "store", "dem"], options.concat().as_slice()].concat())
    };
    check(
        &stats(&[&ALL]),
        (
            1_310_720,
            2_697_315_464,
            2_057.888_385_009_765_4,
            98,
            4291,
            1_013.435_657_897_902_4,
        ),
    );
    check(
        &stats(&[&ALL, &EXTENT]),
        (
            123_405,
            254_684_077,
            2_063.806_790_648_677,
            430,
            3234,
            605.575_768_862_551_6,
        ),
    );
    let between = ["--where", ">= 1500 and < 2000"];
    check(
        &stats(&[&ALL, &EXTENT, &between]),
        (
            24_323,
            42_125_317,
            1_731.912_880_812_399_9,
            1500,
            1999,
            128.021_318_129_404_7,
        ),
    );
    let of_polygon = (
        123_682,
        246_702_930,
        1_994.655_083_197_231_5,
        428,
        3209,
        650.454_693_892_551_6,
    );
    check(&stats(&[&ALL, &polygon]), of_polygon);
    // Without the deviation, from aggregates; the same figures.
    let served = stats(&[&polygon]);
    let forced = stats(&[&ALL, &polygon]);
    for name in ["count", "sum", "mean", "min", "max"] {
        assert_eq!(served[name], forced[name], "{name}");
    }
    assert_eq!(
        (&served["std"], &served["unserved"]),
        (&json!(null), &json!([]))
    );
    assert_eq!(
        forced["unserved"],
        json!([{ "what": "std", "needs": "`variance`" }])
    );
    assert!(served["chunks_read"]["base"].as_u64() < forced["chunks_read"]["base"].as_u64());
    let histogram = stats(&[&polygon, &["--histogram", "5:0:4000"]])["histogram"].clone();
    assert_eq!(
        histogram["counts"],
        json!([4401.0, 33050.0, 42967.0, 43262.0, 2.0])
    );
    assert_eq!(
        (&histogram["below"], &histogram["edges"][1]),
        (&json!(0.0), &json!(800.0))
    );
    let classes = stats(&[&polygon, &["--where", "2500..=2505", "--classes"]])["classes"].clone();
    let counts: Vec<f64> = classes
        .as_array()
        .expect("a list")
        .iter()
        .map(|c| c["count"].as_f64().expect("a number"))
        .collect();
    assert_eq!(
        (counts.as_slice(), &classes[0]["value"]),
        (&[91.0, 76.0, 102.0, 71.0, 82.0, 74.0][..], &json!(2500.0))
    );
}

#[test]
fn bounds_hold_the_exact_figures() {
    let work = srtm();
    let polygon = polygon(&work);
    let stats =
        |options: &[&str]| work.json(&[&["stats", "store", "dem"], &polygon[..], options].concat());
    let exact = stats(&[]);
    let mut last = f64::INFINITY;
    for most in ["5", "20", "40", "80"] {
        let got = stats(&["--max-chunks", most]);
        let read = got["chunks_read"]["base"].as_u64().expect("a number")
            + got["chunks_read"]["aggregate"].as_u64().expect("a number");
        assert!(read <= most.parse().expect("a number"), "{got}");
        let bounds: Vec<f64> = got["bounds"]["mean"]
            .as_array()
            .expect("bounds")
            .iter()
            .map(|b| b.as_f64().expect("a number"))
            .collect();
        let mean = exact["mean"].as_f64().expect("a number");
        assert!(
            bounds[0] <= mean && mean <= bounds[1] && bounds[1] - bounds[0] <= last,
            "{mean} in {bounds:?}"
        );
        last = bounds[1] - bounds[0];
    }
    let near = stats(&["--stat", "mean", "--max-error", "0.01"]);
    assert!(
        (near["mean"].as_f64().expect("a number") / exact["mean"].as_f64().expect("a number")
            - 1.0)
            .abs()
            <= 0.01,
        "{near}"
    );
    assert!(near["chunks_read"]["base"].as_u64() < exact["chunks_read"]["base"].as_u64());
}

#[test]
fn what_no_layer_serves_is_told() {
    let work = Work::with_srtm();
    // Without a word, what everybody looks for first, and a note of what it costs.
    let ran = work.run(&["stats", "store", "dem"]);
    let (first, rest) = (
        "count      1310720 cells\nsum        2697315464\nmean       2057.88838500",
        "\nmin        98\nmax        4291\nstd        1013.4356",
    );
    assert!(
        ran.stdout.starts_with(first) && ran.stdout.contains(rest),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stderr
            .contains("note: no layer `sum`: mean was computed from 20 base chunks"),
        "{}",
        ran.stderr
    );
    let ran = work.run(&["stats", "store", "dem", "--stat", "sum,mean"]);
    assert!(
        ran.stdout
            .starts_with("sum        2697315464\nmean       2057.88838500"),
        "{}",
        ran.stdout
    );
    let told = "note: no layer `sum`, with `min` and `max` for int64 cells: sum was computed from 20 base chunks\n\
                note: no layer `sum`: mean was computed from 20 base chunks; --max-error 1e-5 would take the layer `mean` where that is exact enough\n";
    assert_eq!(ran.stderr, told);
    let near = work.json(&[
        "stats",
        "store",
        "dem",
        "--stat",
        "mean",
        "--max-error",
        "1e-5",
    ]);
    assert!(
        (near["mean"].as_f64().expect("a number") - 2_057.888_385_009_765_4).abs() < 0.02,
        "{near}"
    );
    assert_eq!(
        (&near["chunks_read"]["base"], &near["exact"]),
        (&json!(0), &json!(false))
    );
}

#[test]
fn bands_windows_and_pending_marks() {
    let work = Work::new();
    let array = Array3::from_shape_fn((2, 40, 50), |(band, y, x)| {
        u8::try_from(band * 100 + (y + x) % 50).expect("small")
    });
    let file = work.tif("bands.tif", &array, |_| {});
    work.with_grid(&file, &["--aggregator", "sum,count,max"]);
    let sum = |band: usize, rows: std::ops::Range<usize>, cols: std::ops::Range<usize>| {
        array
            .slice(ndarray::s![band, rows, cols])
            .iter()
            .map(|&cell| u64::from(cell))
            .sum::<u64>()
    };
    let got = |options: &[&str]| work.json(&[&["stats", "store", "dem"], options].concat());
    assert_eq!(got(&["--band", "2"])["sum"], json!(sum(1, 0..40, 0..50)));
    assert_eq!(
        got(&[])["sum"],
        json!(sum(0, 0..40, 0..50) + sum(1, 0..40, 0..50))
    );
    assert_eq!(
        got(&["--band", "1", "--window", "3:20,7:50"])["sum"],
        json!(sum(0, 3..20, 7..50))
    );
    let change = work.tif("change.tif", &Array3::<u8>::zeros((2, 40, 50)), |_| {});
    work.ok(&["import", "store", "dem", &change, "--no-aggregate"]);
    let fresh = got(&[]);
    assert_eq!(
        (&fresh["sum"], &fresh["max"], &fresh["count"]),
        (&json!(0), &json!(0.0), &json!(4000.0))
    );
}

#[test]
fn a_polygon_in_the_wrong_place_is_refused_or_told() {
    let work = Work::new();
    let file = work.tif(
        "utm.tif",
        &Array2::from_shape_fn((40, 40), |(y, x)| (y * 40 + x) as f32),
        |_| {},
    );
    work.with_grid(&file, &["--aggregator", "count,sum"]);
    let write = |name: &str, [w, s, e, n]: [f64; 4]| {
        let polygon =
            json!({ "type": "Polygon", "coordinates": [[[w, s], [e, s], [e, n], [w, n], [w, s]]] });
        fs::write(work.path(name), polygon.to_string()).expect("written");
    };
    write("degrees.geojson", [9.0, 45.0, 9.1, 45.1]);
    let why = work.fails(&["stats", "store", "dem", "--polygon", "degrees.geojson"]);
    assert!(
        why.contains("look like longitude and latitude, and must be in EPSG:32632")
            && why.contains("ogr2ogr -f GeoJSON -t_srs EPSG:32632"),
        "{why}"
    );
    write("beside.geojson", [500_000.0, 0.0, 500_100.0, 100.0]);
    let ran = work.run(&["stats", "store", "dem", "--polygon", "beside.geojson"]);
    assert!(
        ran.stderr
            .starts_with("warning: `beside.geojson` lies at x 500000 to 500100"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stdout
            .starts_with("count      0 cells\nsum        0\nmean       none\n"),
        "{}",
        ran.stdout
    );
    write(
        "inside.geojson",
        [400_000.0, 4_999_990.0, 400_020.0, 5_000_000.0],
    );
    assert_eq!(
        work.json(&["stats", "store", "dem", "--polygon", "inside.geojson"])["sum"].as_f64(),
        Some(1.0)
    );
    fs::write(
        work.path("points.geojson"),
        r#"{ "type": "Point", "coordinates": [1, 2] }"#,
    )
    .expect("written");
    assert!(
        work.fails(&["stats", "store", "dem", "--polygon", "points.geojson"])
            .contains("it is a Point")
    );
    assert!(
        work.fails(&["stats", "store", "dem", "--polygon", "absent.geojson"])
            .contains("cannot be opened")
    );
    fs::write(work.path("broken.geojson"), "{").expect("written");
    assert!(
        work.fails(&["stats", "store", "dem", "--polygon", "broken.geojson"])
            .contains("is not JSON")
    );
}

#[test]
fn wrong_options_have_code_2() {
    let work = Work::new();
    for options in [
        &["--where", "about 10"][..],
        &["--stat", "median"],
        &["--histogram", "5"],
        &["--histogram", "5:9:1"],
        &["--histogram", "3,2,1"],
        &["--max-error", "nan"],
        &["--max-chunks", "-1"],
        &["--extent", "1,2,3,4", "--polygon", "a.geojson"],
    ] {
        let ran = work.run(&[&["stats", "store", "dem"], options].concat());
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(2), ""),
            "{options:?}: {}",
            ran.stderr
        );
    }
}
