//! What lies where: longitudes, units, systems and names of files in and out, and arrays into
//! windows.

use std::io::Write;
use std::process::Stdio;

use gridstone::adapter::geotiff::{Affine, Band, GeoTiff};
use gridstone::adapter::npy;
use ndarray::{Array2, Array3};

use super::{Work, values};

/// 20 rows and 36 columns of 10 degrees from a longitude on, each with the number of its place from
/// 180 degrees west.
fn world(work: &Work, name: &str, west: i32, columns: i32) -> String {
    let cell = |y: usize, x: usize| {
        (y * 36) as f64
            + f64::from((west + 180) / 10 + i32::try_from(x).expect("small")).rem_euclid(36.0)
    };
    let cells = Array2::from_shape_fn((20, usize::try_from(columns).expect("some")), |(y, x)| {
        cell(y, x)
    });
    work.tif(name, &cells, |profile| {
        profile.affine = Some(Affine {
            x: f64::from(west),
            y: 90.0,
            dx: 10.0,
            dy: -9.0,
        });
        profile.crs = Some("EPSG:4326".to_owned());
    })
}

#[test]
fn longitudes_of_rasters_that_are_one_place_are_one_cell() {
    let from = |west: i32| -> Vec<f64> {
        let column = |x: i32| f64::from((west + 180) / 10 + x).rem_euclid(36.0);
        (0..20)
            .flat_map(|y| (0..36).map(move |x| f64::from(y * 36) + column(x)))
            .collect()
    };
    for (first, then) in [(-180, 0), (0, -180), (-180, 180), (0, -360)] {
        let work = Work::new();
        let (a, b) = (
            world(&work, "a.tif", first, 36),
            world(&work, "b.tif", then, 36),
        );
        work.with_grid(&a, &[]);
        work.ok(&["import", "store", "dem", &b]);
        assert_eq!(values(&work.cells(&[])), from(first), "{then} in {first}");
    }
    // Halves in one go, the second beside the first.
    let work = Work::new();
    let (a, b) = (
        world(&work, "a.tif", -180, 18),
        world(&work, "b.tif", 180, 18),
    );
    let east = world(&work, "east.tif", 0, 18);
    work.ok(&["create", "store", "dem", "--like", &a, "--chunk", "16"]);
    work.ok(&["import", "store", "dem", &b, &a, &east]);
    assert_eq!(values(&work.cells(&[])).len(), 720, "once round");
    let more = world(&work, "more.tif", -180, 37);
    let why = work.fails(&["import", "store", "dem", &more]);
    assert!(
        why.contains("36 go once round")
            && why.contains("`gdal_translate -srcwin 0 0 36 20 FILE ONCE.tif`"),
        "{why}"
    );
}

#[test]
fn a_raster_of_another_unit_of_the_same_kind_is_converted() {
    let work = Work::new();
    let cells = Array2::from_shape_fn((8, 8), |(y, x)| (y * 8 + x) as f32);
    let file = |name: &str, unit: &str, dx: f64| {
        work.tif(name, &cells, |profile| {
            let mut band = Band::default();
            band.unit = Some(unit.to_owned());
            profile.bands = vec![band];
            profile.affine = Some(Affine {
                x: 400_000.0 + dx,
                y: 5_000_000.0,
                dx: 10.0,
                dy: -10.0,
            });
        })
    };
    let (kelvin, celsius, pascal) = (
        file("k.tif", "K", 0.0),
        file("c.tif", "degC", 80.0),
        file("p.tif", "Pa", 160.0),
    );
    work.ok(&["create", "store", "dem", "--like", &kelvin]);
    work.ok(&["import", "store", "dem", &kelvin]);
    let ran = work.run(&["import", "store", "dem", &celsius]);
    assert!(
        ran.code == Some(0) && ran.stderr.contains("its degC become K: value + 273.15"),
        "{}",
        ran.stderr
    );
    let found = values(&work.cells(&[]));
    for (at, value) in found.iter().enumerate() {
        let (y, x) = (at / 16, at % 16);
        let wanted = (y * 8 + x % 8) as f64 + if x < 8 { 0.0 } else { 273.15 };
        assert!((value - wanted).abs() < 1e-4, "{y} {x}: {value}");
    }
    let why = work.fails(&["import", "store", "dem", &pascal]);
    assert!(
        why.contains("`Pa`") && why.contains("`K`") && why.contains("gdal_translate"),
        "{why}"
    );
    // And what comes out says it again.
    work.ok(&["read", "store", "dem", "--out", "out.tif"]);
    let header = |name: &str| {
        GeoTiff::open(work.path(name))
            .expect("opens")
            .header()
            .clone()
    };
    assert_eq!(header("out.tif").unit(), Some("K"));
    work.ok(&[
        "create",
        "store",
        "spread",
        "--like",
        &kelvin,
        "--aggregator",
        "std,max",
        "--chunk",
        "4",
    ]);
    work.ok(&["import", "store", "spread", &kelvin]);
    for (layer, unit) in [("max", Some("K")), ("std", None)] {
        let out = format!("{layer}.tif");
        work.ok(&[
            "read", "store", "spread", "--layer", layer, "--level", "1", "--out", &out,
        ]);
        assert_eq!(header(&out).unit(), unit, "{layer}");
    }
}

#[test]
fn a_file_that_states_parameters_fits_a_grid_that_states_the_code() {
    let work = Work::new();
    let cells = Array2::<f32>::ones((8, 8));
    let file = |name: &str, dx: f64, crs: &str| {
        work.tif(name, &cells, |profile| {
            profile.affine = Some(Affine {
                x: 400_000.0 + dx,
                y: 5_000_000.0,
                dx: 10.0,
                dy: -10.0,
            });
            profile.crs = Some(crs.to_owned());
        })
    };
    let etrs89 = "GEOGCS[\"mine\",DATUM[\"European_Terrestrial_Reference_System_1989\",SPHEROID[\"GRS 1980\",6378137,298.257222101]],PRIMEM[\"Greenwich\",0],UNIT[\"degree\",0.0174532925199433]]";
    let laea = |longitude: i32| {
        format!(
            "PROJCS[\"unnamed\",{etrs89},PROJECTION[\"Lambert_Azimuthal_Equal_Area\"],PARAMETER[\"latitude_of_center\",52],PARAMETER[\"longitude_of_center\",{longitude}],PARAMETER[\"false_easting\",4321000],PARAMETER[\"false_northing\",3210000],UNIT[\"metre\",1]]"
        )
    };
    let (code, same, other) = (
        file("code.tif", 0.0, "EPSG:3035"),
        file("same.tif", 80.0, &laea(10)),
        file("other.tif", 160.0, &laea(11)),
    );
    work.ok(&["create", "store", "dem", "--like", &code]);
    work.ok(&["import", "store", "dem", &code, &same]);
    assert_eq!(values(&work.cells(&[])).len(), 128);
    assert!(
        work.fails(&["import", "store", "dem", &other])
            .contains("is not the grid's, EPSG:3035")
    );
}

#[test]
fn an_array_is_put_into_a_window() {
    let work = Work::new();
    let first = work.tif("a.tif", &Array2::<i32>::zeros((16, 16)), |_| {});
    work.ok(&[
        "create", "store", "dem", "--like", &first, "--chunk", "8", "--nodata", "-1",
    ]);
    work.ok(&["import", "store", "dem", &first]);
    let patch = Array2::from_shape_fn((3, 5), |(y, x)| {
        i32::try_from(10 * y + x + 1).expect("small")
    });
    npy::write(work.path("patch.npy"), &patch).expect("written");
    let said = work.ok(&["put", "store", "dem", "--window", "-2:1,14:19", "patch.npy"]);
    assert!(said.starts_with("put 1 array: 15 cells, "), "{said}");
    let cells = work
        .cells(&["--window", "-2:1,14:19"])
        .into_typed::<i32>()
        .expect("int32");
    assert_eq!(cells, patch.clone().into_dyn());
    // The pyramid knows it.
    assert_eq!(
        work.json(&["stats", "store", "dem", "--stat", "max"])["max"].as_f64(),
        Some(25.0)
    );
    // By standard input, over what is there.
    let mut bytes = Vec::new();
    npy::write_to(&mut bytes, &(&patch + 100)).expect("written");
    let mut child = work.command(&[
        "put",
        "store",
        "dem",
        "--window",
        "-2:1,14:19",
        "--overlap",
        "keep",
        "-",
    ]);
    let mut child = child
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("runs");
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(&bytes)
        .expect("taken");
    assert!(child.wait().expect("ends").success());
    let kept = work
        .cells(&["--window", "-2:1,14:19"])
        .into_typed::<i32>()
        .expect("int32");
    assert_eq!(kept, patch.clone().into_dyn(), "gaps only");
    for (window, reason) in [
        ("0:3,0:4", "[3, 5]"),
        ("0:3", "y, x"),
        ("0:3,0:5,0:1", "y, x"),
    ] {
        let why = work.fails(&["put", "store", "dem", "--window", window, "patch.npy"]);
        assert!(why.contains(reason), "{why}");
    }
    npy::write(work.path("wide.npy"), &patch.mapv(f64::from)).expect("written");
    assert!(
        work.fails(&["put", "store", "dem", "--window", "0:3,0:5", "wide.npy"])
            .contains(".astype(\"int32\")")
    );
    assert!(
        work.fails(&["put", "store", "dem", "--window", "0:3,0:5", "absent.npy"])
            .contains("absent.npy")
    );
    assert_eq!(
        work.run(&["put", "store", "dem", "--window", "3:0,0:5", "patch.npy"])
            .code,
        Some(2)
    );
    let why = work.fails(&[
        "put",
        "store",
        "dem",
        "--window",
        "0:3,0:5",
        "--overlap",
        "refuse",
        "patch.npy",
    ]);
    assert!(why.contains("patch.npy"), "{why}");
}

#[test]
fn names_of_bands_go_in_and_out() {
    let work = Work::new();
    let cells = Array3::from_shape_fn((2, 8, 8), |(band, y, x)| {
        u8::try_from(band * 100 + y * 8 + x).expect("small")
    });
    let named = |name: &str| {
        let mut band = Band::default();
        band.description = Some(name.to_owned());
        band
    };
    let file = work.tif("a.tif", &cells, |profile| {
        profile.bands = vec![named("red"), named("nir")]
    });
    work.ok(&["create", "store", "dem", "--like", &file]);
    work.ok(&["import", "store", "dem", &file]);
    work.ok(&["read", "store", "dem", "--out", "both.tif"]);
    work.ok(&["read", "store", "dem", "--band", "nir", "--out", "one.tif"]);
    let names = |name: &str| {
        let tiff = GeoTiff::open(work.path(name)).expect("opens");
        tiff.header()
            .bands
            .iter()
            .map(|band| band.description.clone().unwrap_or_default())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (names("both.tif"), names("one.tif")),
        (
            vec!["red".to_owned(), "nir".to_owned()],
            vec!["nir".to_owned()]
        )
    );
    // A band on its own finds its place by its name.
    work.ok(&[
        "import",
        "store",
        "dem",
        work.path("one.tif").to_str().expect("text"),
    ]);
    let found = work.cells(&[]).into_typed::<u8>().expect("uint8");
    assert_eq!(found, cells.into_dyn());
}

#[test]
fn a_file_of_other_cells_is_laid_onto_the_grids_where_that_is_asked_for() {
    let work = Work::new();
    let first = work.tif("a.tif", &Array2::<f32>::zeros((16, 16)), |_| {});
    work.ok(&["create", "store", "dem", "--like", &first, "--chunk", "8"]);
    let flat = Array2::<f32>::from_elem((30, 30), 7.5);
    let odd = work.tif("odd.tif", &flat, |profile| {
        profile.affine = Some(Affine {
            x: 400_003.0,
            y: 5_000_001.0,
            dx: 7.0,
            dy: -7.0,
        });
    });
    let why = work.fails(&["import", "store", "dem", &odd]);
    assert!(
        why.contains("`--resampling bilinear`") && why.contains("gdalwarp"),
        "{why}"
    );
    let ran = work.run(&["import", "store", "dem", &odd, "--resampling", "bilinear"]);
    assert!(
        ran.code == Some(0) && ran.stderr.contains("at level -1 by resampling (bilinear)"),
        "{}",
        ran.stderr
    );
    let found = values(&work.cells(&["--resolution", "5"]));
    assert_eq!(found.len(), 43 * 43);
    assert!(
        found.iter().all(|value| (value - 7.5).abs() < 1e-6),
        "{found:?}"
    );
    // A file that fits is taken as it is, whatever is asked.
    work.ok(&["create", "store", "other", "--like", &first]);
    let ran = work.run(&["import", "store", "other", &first, "--resampling", "area"]);
    assert!(
        ran.code == Some(0) && !ran.stderr.contains("by resampling"),
        "{}",
        ran.stderr
    );
    assert_eq!(
        work.run(&["import", "store", "dem", &odd, "--level", "1"])
            .code,
        Some(2),
        "of what?"
    );
}
