//! Wrong input: code 1, one sentence with the remedy, nothing changed.

use std::fs;
use std::process::Command;

use gridstone::Store;
use gridstone::adapter::geotiff::Affine;
use gridstone::array::Cells;
use ndarray::{Array2, Array3};

use super::{Work, data, values};

/// A store with a grid `dem` of 40 x 40 cells of 10 m, and the file it was made after.
fn utm() -> (Work, String) {
    let work = Work::new();
    let file = work.tif(
        "utm.tif",
        &Array2::from_shape_fn((40, 40), |(y, x)| (y * 40 + x) as f32),
        |_| {},
    );
    work.with_grid(&file, &["--nodata", "-9999"]);
    (work, file)
}

/// All that `info` tells of the grids, and their cells.
fn content(work: &Work) -> (serde_json::Value, Vec<f64>) {
    let mut info: serde_json::Value =
        serde_json::from_str(&work.ok(&["info", "store", "--json"])).expect("JSON");
    // Each opening has files of its own.
    info.as_object_mut()
        .expect("an object")
        .remove("storage")
        .expect("told");
    (info, values(&work.cells(&[])))
}

/// Refuses an import, says why, and changes nothing.
fn refused(work: &Work, file: &str, reasons: &[&str]) {
    let before = content(work);
    let why = work.fails(&["import", "store", "dem", file]);
    for reason in reasons {
        assert!(
            why.contains(reason),
            "{file}: `{reason}` is missing in: {why}"
        );
    }
    assert_eq!(content(work), before, "{file}");
}

#[test]
fn a_file_off_the_grids_cells_is_refused_with_a_command_that_fits_it() {
    let (work, _) = utm();
    let cells = Array2::<f32>::ones((8, 8));
    let placed = |x: f64, y: f64, dx: f64, dy: f64| Some(Affine { x, y, dx, dy });
    let off = work.tif("off.tif", &cells, |profile| {
        profile.affine = placed(400_003.0, 5_000_000.0, 10.0, -10.0)
    });
    let remedy =
        "`gdalwarp -t_srs EPSG:32632 -tr 10 10 -te 400000 4999920 400080 5000000 FILE FITTING.tif`";
    refused(
        &work,
        &off,
        &["lie 0.3000 of a cell off the grid's along `x`", remedy],
    );
    let odd = work.tif("odd.tif", &cells, |profile| {
        profile.affine = placed(400_000.0, 5_000_000.0, 15.0, -15.0)
    });
    refused(
        &work,
        &odd,
        &[
            "its cells are not the grid's times a power of two",
            "-te 400000 4999880 400120 5000000",
        ],
    );
    let oblong = work.tif("oblong.tif", &cells, |profile| {
        profile.affine = placed(400_000.0, 5_000_000.0, 10.0, -20.0)
    });
    refused(
        &work,
        &oblong,
        &["its cells are not the grid's times a power of two"],
    );
    // By its last column a fiftieth of a cell off: twice what rounding is taken for.
    let drifting = work.tif("drifting.tif", &cells, |profile| {
        profile.affine = placed(400_000.0, 5_000_000.0, 10.025, -10.0)
    });
    refused(&work, &drifting, &["times a power of two"]);
    // A thousandth of a cell off: as what was printed with four digits.
    let rounded = work.tif("rounded.tif", &cells, |profile| {
        profile.affine = placed(400_000.0, 5_000_000.0, 10.001, -10.0)
    });
    work.ok(&["import", "store", "dem", &rounded]);
}

#[test]
fn another_coordinate_reference_system_is_refused() {
    let (work, _) = utm();
    let cells = Array2::<f32>::ones((8, 8));
    let other = work.tif("other.tif", &cells, |profile| {
        profile.crs = Some("EPSG:32633".to_owned())
    });
    refused(
        &work,
        &other,
        &[
            "EPSG:32633, is not the grid's, EPSG:32632",
            "gdalwarp -t_srs EPSG:32632",
        ],
    );
    let none = work.tif("none.tif", &cells, |profile| profile.crs = None);
    refused(
        &work,
        &none,
        &[
            "no coordinate reference system",
            "gdal_translate -a_srs EPSG:32632",
        ],
    );
}

#[test]
fn cells_that_do_not_fit_the_type_or_the_bands_are_refused() {
    let (work, _) = utm();
    let wide = work.tif("wide.tif", &Array2::<f64>::ones((8, 8)), |_| {});
    refused(
        &work,
        &wide,
        &["float64", "`gdal_translate -ot Float32 FILE FITTING.tif`"],
    );
    let bands = work.tif("bands.tif", &Array3::<f32>::ones((2, 8, 8)), |_| {});
    refused(
        &work,
        &bands,
        &["the file has 2 band(s), the grid 1", "gdal_translate -b"],
    );
}

#[test]
fn nodata_that_would_be_mistaken_is_refused() {
    let (work, _) = utm();
    let mut cells = Array2::<f32>::ones((8, 8));
    cells[[3, 3]] = -9999.0;
    let valid = work.tif("valid.tif", &cells, |profile| {
        profile.nodata = Some(Cells::from(vec![0.0_f32]))
    });
    refused(
        &work,
        &valid,
        &[
            "1 valid cells of the file have the grid's nodata value -9999",
            "--nodata",
        ],
    );
    // A file that declares none says nothing of the kind.
    let silent = work.tif("silent.tif", &cells, |_| {});
    let ran = work.run(&["import", "store", "dem", &silent]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("note: silent.tif: 1 cell with the grid's nodata value -9999"),
        "{}",
        ran.stderr
    );
    let integers = work.tif("integers.tif", &Array2::<i16>::ones((8, 8)), |_| {});
    work.ok(&[
        "create", "store", "plain", "--like", &integers, "--chunk", "16",
    ]);
    // In a grid without a nodata value the holes of a file that has one are holes.
    let mut cells = Array2::<i16>::ones((8, 8));
    cells[[3, 3]] = -1;
    let holes = work.tif("holes.tif", &cells, |profile| {
        profile.nodata = Some(Cells::from(vec![-1_i16]))
    });
    work.ok(&["import", "store", "plain", &holes]);
    assert_eq!(
        work.json(&["stats", "store", "plain", "--stat", "count"])["count"].as_f64(),
        Some(63.0)
    );
}

#[test]
fn a_damaged_file_changes_nothing() {
    let work = Work::with_srtm();
    let whole = fs::read(data("srtm.tif")).expect("read");
    for (name, len) in [
        ("half.tif", whole.len() / 2),
        ("most.tif", whole.len() - 5000),
        ("head.tif", 100),
        ("empty.tif", 0),
    ] {
        fs::write(work.path(name), &whole[..len]).expect("written");
        refused(&work, name, &[name]);
    }
    let mut flipped = whole.clone();
    flipped[whole.len() / 2..whole.len() / 2 + 64].fill(0xA5);
    fs::write(work.path("flipped.tif"), flipped).expect("written");
    refused(&work, "flipped.tif", &["flipped.tif", "damaged"]);
    fs::write(work.path("text.tif"), "no raster").expect("written");
    refused(&work, "text.tif", &["cannot be read as a GeoTIFF"]);
    refused(&work, "absent.tif", &["`absent.tif` cannot be opened"]);
    // One file that does not fit keeps all of them out.
    let before = values(&work.cells(&[]));
    work.fails(&[
        "import",
        "store",
        "dem",
        &data("srtm_patch.tif"),
        "half.tif",
    ]);
    assert_eq!(values(&work.cells(&[])), before);
}

#[test]
#[cfg(not(feature = "gdal"))]
fn files_that_only_gdal_reads_are_refused_with_what_converts_them() {
    let (work, _) = utm();
    let kinds: [(&str, &[u8], &str); 5] = [
        ("a.jp2", b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        ("a.grib", b"GRIB\0\0\0\x02", "GRIB"),
        ("a.vrt", b"<VRTDataset rasterXSize=\"4\">", "a VRT"),
        ("a.png", b"\x89PNG\r\n", "PNG"),
        ("a.hgt", b"\0\x07\0\x08", "cannot be read as a GeoTIFF"),
    ];
    for (name, bytes, kind) in kinds {
        fs::write(work.path(name), bytes).expect("written");
        let line = format!("`gdal_translate {name} CONVERTED.tif`");
        refused(&work, name, &[kind, &line, "the feature `gdal`"]);
        let error = work.fails(&["create", "store", "more", "--like", name]);
        assert!(error.contains(&line), "{error}");
    }
    let inside = "/vsizip/a b.zip/c.tif";
    let line = "`gdal_translate '/vsizip/a b.zip/c.tif' CONVERTED.tif`";
    refused(&work, inside, &["a name of GDAL's", line]);
    // A raster that is turned, by what stands beside it.
    let turned = work.tif("turned.tif", &Array2::<f32>::ones((8, 8)), |_| {});
    let beside =
        "<PAMDataset><GeoTransform>400000, 8, -6, 5000000, -6, -8</GeoTransform></PAMDataset>";
    fs::write(work.path("turned.tif.aux.xml"), beside).expect("written");
    let reasons = [
        "turned.tif",
        "build gridstone with the feature `gdal`",
        "gdalwarp -dstalpha FILE NORTHUP.tif",
    ];
    refused(&work, &turned, &reasons);
}

#[test]
fn what_is_not_there_is_named() {
    let (work, file) = utm();
    assert!(work.fails(&["info", "nowhere"]).contains("nowhere"));
    assert!(!work.path("nowhere").exists());
    assert!(
        work.fails(&["import", "nowhere", "dem", &file])
            .contains("nowhere")
    );
    assert!(
        work.fails(&["read", "store", "other"])
            .contains("there is no grid `other`")
    );
    assert!(
        work.fails(&["read", "store", "dem", "--level", "41"])
            .contains("dimension `space` has no level 41: levels go from -")
    );
    assert!(
        work.fails(&["read", "store", "dem", "--layer", "max"])
            .contains("has no layer `max`; it has base, mean")
    );
    assert!(
        work.fails(&["read", "store", "dem", "--layer", "base", "--level", "1"])
            .contains("layer `base`")
    );
    assert!(
        work.fails(&["read", "store", "dem", "--band", "2"])
            .contains("no bands")
    );
    work.ok(&["create", "store", "empty", "--like", &file]);
    assert!(
        work.fails(&["read", "store", "empty"])
            .contains("nothing was put yet")
    );
    assert!(
        work.fails(&["read", "store", "dem", "--shape", "900000x900000"])
            .contains("cells")
    );
    fs::create_dir(work.path("other")).expect("made");
    fs::write(work.path("other/file"), "something else").expect("written");
    work.fails(&["create", "other", "dem", "--like", &file]);
    assert_eq!(
        fs::read_dir(work.path("other")).expect("there").count(),
        1,
        "nothing is added to a foreign directory"
    );
}

#[test]
fn what_exists_is_not_replaced() {
    let (work, file) = utm();
    assert!(
        work.fails(&["create", "store", "dem", "--like", &file])
            .contains("there is a grid `dem` already")
    );
    fs::write(work.path("out.npy"), "precious").expect("written");
    let why = work.fails(&["read", "store", "dem", "--out", "out.npy"]);
    assert!(
        why.contains("exists") && why.contains("--overwrite"),
        "{why}"
    );
    assert_eq!(fs::read(work.path("out.npy")).expect("there"), b"precious");
    work.ok(&["read", "store", "dem", "--out", "out.npy", "--overwrite"]);
    assert!(
        work.fails(&["read", "store", "dem", "--out", "absent/out.npy"])
            .contains("directory does not exist")
    );
}

#[test]
fn a_second_process_may_look_and_is_refused_to_write() {
    let (work, file) = utm();
    let held = Store::open(work.path("store")).expect("opens");
    let why = work.fails(&["import", "store", "dem", &file]);
    assert!(why.contains("store"), "{why}");
    let looked = work.run(&["info", "store"]);
    assert_eq!(looked.code, Some(0), "{looked:?}");
    assert!(
        looked.stderr.contains("another process writes"),
        "{looked:?}"
    );
    drop(held);
    work.ok(&["import", "store", "dem", &file]);
    assert_eq!(work.run(&["info", "store"]).stderr, "");
}

#[test]
fn damage_is_told_with_code_1() {
    let work = Work::with_srtm();
    work.ok(&["verify", "store"]);
    let largest = fs::read_dir(work.path("store"))
        .expect("there")
        .map(|entry| entry.expect("there"))
        .max_by_key(|entry| entry.metadata().expect("there").len())
        .expect("files");
    let mut bytes = fs::read(largest.path()).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(largest.path(), bytes).expect("written");
    let ran = work.run(&["verify", "store"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        !ran.stdout.is_empty() || ran.stderr.starts_with("error: "),
        "{ran:?}"
    );
}

#[test]
fn a_full_disk_is_told_and_the_store_stays_sound() {
    let work = Work::new();
    let disk = work.path("disk");
    fs::create_dir(&disk).expect("made");
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=40m", "tmpfs"])
        .arg(&disk)
        .output();
    if !mount.as_ref().is_ok_and(|mount| mount.status.success()) {
        eprintln!("skipped: a small file system cannot be mounted here: {mount:?}");
        return;
    }
    // Noise that does not compress: 64 MB of it.
    let mut state = 1_u64;
    let cells = Array2::from_shape_simple_fn((4000, 4000), || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(state >> 32).expect("32 bits")
    });
    let file = work.tif("noise.tif", &cells, |_| {});
    let outcome = std::panic::catch_unwind(|| {
        work.ok(&["create", "disk/store", "dem", "--like", &file]);
        let why = work.fails(&["import", "disk/store", "dem", &file]);
        assert!(why.contains("space"), "{why}");
        let patch = work.tif("patch.tif", cells.slice(ndarray::s![..300, ..300]), |_| {});
        // What was written before is whole.
        work.ok(&["verify", "disk/store"]);
        work.run(&["import", "disk/store", "dem", &patch]);
    });
    let unmounted = Command::new("umount").arg(&disk).status().expect("umount");
    assert!(unmounted.success());
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}
