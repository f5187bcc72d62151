//! Files of other cells, and answers on the cells of a file.

use gridstone::Array;
use gridstone::adapter::geotiff::{Affine, GeoTiff};
use gridstone::adapter::npy;
use ndarray::Array2;
use serde_json::Value;

use super::{Work, data, values};

const HERE: Affine = Affine { x: 400_000.0, y: 5_000_000.0, dx: 10.0, dy: -10.0 };

fn create(work: &Work, like: &str) {
    work.ok(&["create", "store", "dem", "--like", like, "--chunk", "16", "--aggregator", "mean,max"]);
}

#[test]
fn totals_lie_in_a_grid_of_floats() {
    let work = Work::new();
    let people = Array2::from_shape_fn((30, 30), |(y, x)| u16::try_from(y * 30 + x).expect("small"));
    let file = work.tif("people.tif", &people, |profile| {
        profile.affine = Some(Affine { x: HERE.x + 3.0, y: HERE.y - 4.0, dx: 7.0, dy: -7.0 });
    });
    let like = work.tif("like.tif", &Array2::from_elem((4, 4), 0_u16), |_| {});
    create(&work, &like);
    let why = work.fails(&["import", "store", "dem", &file, "--resampling", "sum"]);
    assert!(why.contains("`gridstone create STORE TOTALS --like FILE --dtype float64`"), "{why}");
    work.ok(&["create", "store", "totals", "--like", &like, "--dtype", "float64", "--chunk", "16", "--aggregator", "sum"]);
    work.ok(&["import", "store", "totals", &file, "--resampling", "sum"]);
    let total: f64 = people.iter().map(|cell| f64::from(*cell)).sum();
    for options in [&["--shape", "1x1", "--resampling", "sum"][..], &["--shape", "7x3", "--layer", "sum"], &["--layer", "base"]] {
        work.ok(&[&["read", "store", "totals", "--out", "totals.npy", "--overwrite"], options].concat());
        let found: f64 =
            values(&npy::read(work.path("totals.npy")).expect("a .npy")).iter().filter(|value| !value.is_nan()).sum();
        assert!((found - total).abs() < 1e-6, "{options:?}: {found} for {total}");
    }
    for how in ["min", "max", "mode"] {
        work.ok(&["import", "store", "dem", &file, "--resampling", how, "--overlap", "replace"]);
        let cells = values(&work.cells(&[]));
        assert!(cells.iter().all(|cell| cell.fract() == 0.0 && *cell < 900.0), "{how}");
    }
    assert_eq!(work.run(&["import", "store", "dem", &file, "--resampling", "median"]).code, Some(2));
}

/// A target of other cells, from south to north, partly beside the data; GDAL's own reader would place it there.
#[test]
fn an_answer_has_exactly_the_cells_of_a_target() {
    let work = Work::with_srtm();
    let cells = GeoTiff::open(data("srtm.tif")).expect("opens");
    let affine = cells.header().affine.expect("placed");
    let target =
        Affine { x: affine.x - 2.5 * affine.dx, y: affine.y + 40.0 * affine.dy, dx: affine.dx * 1.5, dy: -affine.dy * 1.5 };
    let like = work.tif("target.tif", &Array2::<u8>::zeros((30, 20)), |profile| {
        profile.affine = Some(target);
        profile.crs = Some("EPSG:4326".to_owned());
    });
    let out = work.json(&["read", "store", "dem", "--like", &like, "--resampling", "area", "--out", "out.tif"]);
    assert_eq!(out["shape"], serde_json::json!([30, 20]), "{out}");
    let mut written = GeoTiff::open(work.path("out.tif")).expect("opens");
    assert_eq!(written.header().affine, Some(target), "to the last bit");
    let found = values(&written.read(&written.window()).expect("reads"));
    // The same cells by their definition.
    let mut file = GeoTiff::open(data("srtm.tif")).expect("opens");
    let base = file.read(&file.window()).expect("reads");
    let Array::I16(base) = base else { panic!("int16") };
    for row in 0..30_usize {
        for col in 0..20_usize {
            let (top, left) = (40.0 - 1.5 * (row + 1) as f64, 1.5 * col as f64 - 2.5);
            let (mut sum, mut area) = (0.0, 0.0);
            for y in 0..60_usize {
                for x in 0..40_usize {
                    let down = ((y + 1) as f64).min(top + 1.5) - (y as f64).max(top);
                    let across = ((x + 1) as f64).min(left + 1.5) - (x as f64).max(left);
                    if down > 1e-9 && across > 1e-9 {
                        sum += down * across * f64::from(base[[y, x]]);
                        area += down * across;
                    }
                }
            }
            let (found, wanted) = (found[row * 20 + col], sum / area);
            assert!(found.is_nan() && area < 1e-9 || (found - wanted).abs() < 1e-3, "{row} {col}: {found} for {wanted}");
        }
    }
    let explained = work.json(&["explain", "store", "dem", "--like", &like]);
    assert_eq!((&explained["resampling"], explained["shape"]["y"].as_u64()), (&Value::from("nearest"), Some(30)), "{explained}");
    let other = work.tif("other.tif", &Array2::<u8>::zeros((3, 2)), |_| {});
    let why = work.fails(&["read", "store", "dem", "--like", &other]);
    assert!(
        why.contains("EPSG:32632") && why.contains("gdalwarp -t_srs EPSG:32632 -te 400000 4999970 400020 5000000 -ts 2 3"),
        "{why}"
    );
    let unplaced = work.tif("unplaced.tif", &Array2::<u8>::zeros((3, 2)), |profile| profile.crs = None);
    let why = work.fails(&["read", "store", "dem", "--like", &unplaced]);
    assert!(why.contains("gdal_translate -a_srs EPSG:4326"), "{why}");
    assert_eq!(work.run(&["read", "store", "dem", "--like", &like, "--level", "1"]).code, Some(2), "one of both");
}
