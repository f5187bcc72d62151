//! What a GeoTIFF, or a file beside it, says of its cells comes in right, or is refused with a line
//! that runs.

use std::process::Command;

use ndarray::{Array2, Array3, s};
use serde_json::json;

use super::{Work, data, values};
use gridstone::adapter::geotiff::{Affine, Band, GeoTiff, Profile};
use gridstone::array::Cells;

fn ramp(rows: usize, cols: usize) -> Array2<f32> {
    Array2::from_shape_fn((rows, cols), |(y, x)| (y * cols + x) as f32)
}

fn named(name: &str) -> Band {
    let mut band = Band::default();
    band.description = Some(name.to_owned());
    band
}

/// The first command of a tool that an error names, with the file in the place of FILE.
fn remedy(why: &str, tool: &str, file: &str) -> String {
    let line = why
        .split('`')
        .find(|part| part.starts_with(tool))
        .unwrap_or_else(|| panic!("no {tool} line: {why}"));
    line.replace("FILE", file)
}

/// Runs a command line where its tool is there; whether it is.
fn ran(work: &Work, line: &str) -> bool {
    let tool = line.split(' ').next().unwrap_or_default();
    if Command::new(tool).arg("--version").output().is_err() {
        return false;
    }
    // What the line makes is made anew.
    let made = work.path(line.split(' ').next_back().unwrap_or_default());
    if made.exists() {
        std::fs::remove_file(made).expect("a file of ours");
    }
    let done = Command::new("sh")
        .args(["-c", line])
        .current_dir(work.path("."))
        .output()
        .expect("sh");
    assert!(
        done.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    true
}

#[test]
fn cells_that_a_mask_or_alpha_takes_out_are_no_data() {
    // A disc of 35 rows and 41 columns: a cell counts its place.
    let inside = |y: usize, x: usize| (y as f64 - 17.0).hypot(x as f64 - 20.0) < 16.0;
    let places: Vec<(usize, usize)> = (0..35).flat_map(|y| (0..41).map(move |x| (y, x))).collect();
    let valid: Vec<f64> = places
        .iter()
        .filter(|(y, x)| inside(*y, *x))
        .map(|(y, x)| (y * 41 + x) as f64)
        .collect();
    for name in ["mask-inside", "mask-tiles", "mask-beside"] {
        let work = Work::new();
        let file = data(&format!("geotiff/{name}.tif"));
        work.with_grid(&file, &[]);
        let stats = work.json(&["stats", "store", "dem", "--stat", "count,sum,min"]);
        assert_eq!(stats["count"].as_f64(), Some(valid.len() as f64), "{name}");
        assert_eq!(stats["sum"].as_f64(), Some(valid.iter().sum()), "{name}");
        assert_eq!(
            stats["min"].as_f64(),
            valid.iter().copied().reduce(f64::min),
            "{name}: nothing is darkened"
        );
        // What is masked leaves what is there alone, whatever the policy; but for replace.
        let flat = Array2::<u16>::from_elem((35, 41), 7);
        let place = Affine {
            x: 500_010.0,
            y: 4_100_020.0,
            dx: 30.0,
            dy: -30.0,
        };
        let other = work.tif("flat.tif", &flat, |profile| {
            (profile.affine, profile.crs) = (Some(place), Some("EPSG:32611".to_owned()));
        });
        work.ok(&["import", "store", "dem", &other]);
        work.ok(&["import", "store", "dem", &file]);
        let cells = values(&work.cells(&[]));
        let wanted: Vec<f64> = places
            .iter()
            .map(|(y, x)| {
                if inside(*y, *x) {
                    (y * 41 + x) as f64
                } else {
                    7.0
                }
            })
            .collect();
        assert_eq!(cells, wanted, "{name}");
        work.ok(&["import", "store", "dem", &file, "--overlap", "replace"]);
        assert_eq!(
            work.json(&["stats", "store", "dem"])["count"].as_f64(),
            Some(valid.len() as f64),
            "{name}"
        );
        assert!(work.ok(&["verify", "store"]).starts_with("sound"), "{name}");
    }
    let work = Work::new();
    let file = data("geotiff/alpha-rgb.tif");
    work.ok(&["create", "store", "dem", "--like", &file, "--nodata", "255"]);
    work.ok(&["import", "store", "dem", &file]);
    assert_eq!(
        work.json(&["info", "store", "dem"])["grids"][0]["dimensions"][0]["labels"],
        json!(["1", "2", "3"])
    );
    assert_eq!(
        work.json(&["stats", "store", "dem", "--stat", "count"])["count"].as_f64(),
        Some(3.0 * valid.len() as f64)
    );
    // A cell that is valid by the file, and no data by the grid.
    work.ok(&["create", "store", "other", "--like", &file, "--nodata", "9"]);
    let why = work.fails(&["import", "store", "other", &file]);
    assert!(
        why.contains("valid cells of the file have the grid's nodata value 9")
            && why.contains("--nodata"),
        "{why}"
    );
}

#[test]
fn bands_go_by_their_names() {
    let work = Work::new();
    let array = Array3::from_shape_fn((3, 8, 8), |(band, y, x)| {
        u16::try_from(1000 * band + 8 * y + x).expect("small")
    });
    let file = |name: &str, order: [usize; 3], dx: f64, names: [&str; 3]| {
        let array = ndarray::stack(
            ndarray::Axis(0),
            &order.map(|band| array.slice(s![band, .., ..])),
        )
        .expect("bands");
        work.tif(name, &array, |profile| {
            profile.bands = names.map(named).to_vec();
            profile.affine = Some(Affine {
                x: 400_000.0 + dx,
                y: 5_000_000.0,
                dx: 10.0,
                dy: -10.0,
            });
        })
    };
    let first = file("first.tif", [0, 1, 2], 0.0, ["B2", "B3", "B4"]);
    let second = file("second.tif", [2, 0, 1], 80.0, ["B4", "B2", "B3"]);
    let other = file("other.tif", [0, 1, 2], 160.0, ["B2", "B3", "B8"]);
    work.ok(&["create", "store", "dem", "--like", &first, "--chunk", "4"]);
    work.ok(&["import", "store", "dem", &second, &first]);
    for (number, band) in ["B2", "B3", "B4"].into_iter().enumerate() {
        let one: Vec<f64> = array
            .slice(s![number, .., ..])
            .rows()
            .into_iter()
            .flat_map(|row| [row, row])
            .flatten()
            .map(|v| f64::from(*v))
            .collect();
        assert_eq!(values(&work.cells(&["--band", band])), one, "{band}");
    }
    let why = work.fails(&["import", "store", "dem", &other]);
    assert!(
        why.contains("the file's bands are B2, B3, B8") && why.contains("gdal_translate -b N"),
        "{why}"
    );
    // Some of the bands, each where it belongs.
    let part = Array3::from_shape_fn((2, 8, 8), |(band, ..)| {
        u16::try_from(7 + band).expect("small")
    });
    let part = work.tif("part.tif", &part, |profile| {
        profile.bands = ["B4", "B2"].map(named).to_vec()
    });
    work.ok(&["import", "store", "dem", &part]);
    for (band, value) in [("B4", 7.0), ("B2", 8.0)] {
        assert_eq!(
            values(&work.cells(&["--band", band, "--window", "0:8,0:8"])),
            vec![value; 64],
            "{band}"
        );
    }
    let unnamed = work.tif("unnamed.tif", &array, |_| {});
    let ran = work.run(&["import", "store", "dem", &unnamed]);
    assert!(
        ran.code == Some(0) && ran.stderr.contains("does not name its bands"),
        "{}",
        ran.stderr
    );
}

#[test]
fn packed_cells_become_the_values_they_stand_for() {
    let work = Work::new();
    let cells = Array2::from_shape_fn((8, 8), |(y, x)| u16::try_from(8 * y + x).expect("small"));
    let file = |name: &str, scale: f64, offset: f64, dx: f64| {
        work.tif(name, &cells, |profile| {
            let mut band = Band::default();
            (band.scale, band.offset) = (Some(scale), Some(offset));
            profile.bands = vec![band];
            profile.nodata = Some(Cells::from(vec![0_u16]));
            profile.affine = Some(Affine {
                x: 400_000.0 + dx,
                y: 5_000_000.0,
                dx: 10.0,
                dy: -10.0,
            });
        })
    };
    let (first, second) = (
        file("first.tif", 0.5, -2.0, 0.0),
        file("second.tif", 4.0, 1.0, 80.0),
    );
    work.ok(&["create", "store", "dem", "--like", &first]);
    work.ok(&["import", "store", "dem", &first, &second]);
    let found = values(&work.cells(&[]));
    for (at, value) in found.iter().enumerate() {
        let (y, x) = (at / 16, at % 16);
        let cell = (8 * y + x % 8) as f64;
        let wanted = if x < 8 {
            cell * 0.5 - 2.0
        } else {
            cell * 4.0 + 1.0
        };
        assert!(
            if cell == 0.0 {
                value.is_nan()
            } else {
                *value == wanted
            },
            "{y} {x}: {value}, not {wanted}"
        );
    }
    let info = work.json(&["info", "store", "dem"]);
    assert_eq!(info["grids"][0]["dtype"], json!("float32"));
    let raw = work.tif("raw.tif", &cells, |_| {});
    work.ok(&["create", "store", "raw", "--like", &raw]);
    let why = work.fails(&["import", "store", "raw", &first]);
    assert!(
        why.contains("packed by a scale and an offset")
            && why.contains("gdal_translate -a_scale 1 -a_offset 0"),
        "{why}"
    );
}

#[test]
fn systems_without_a_code_are_told_apart_and_come_back() {
    let work = Work::new();
    let [here, elsewhere] =
        ["laea-10", "laea-25"].map(|name| data(&format!("geotiff/systems/{name}.tif")));
    work.ok(&["create", "store", "dem", "--like", &here]);
    work.ok(&["import", "store", "dem", &here]);
    let why = work.fails(&["import", "store", "dem", &elsewhere]);
    let line = remedy(&why, "gdalwarp", &elsewhere);
    assert!(
        line.starts_with("gdalwarp -t_srs 'PROJCS[") && line.contains(" -tr 10 10 -te 0 -10 10 0 "),
        "{why}"
    );
    if ran(&work, &line) {
        work.ok(&["import", "store", "dem", "FITTING.tif"]);
    }
    work.ok(&["read", "store", "dem", "--out", "back.tif"]);
    let system = |path: &str| {
        GeoTiff::open(path)
            .expect("opens")
            .header()
            .crs
            .clone()
            .expect("a system")
    };
    let back = work.path("back.tif").display().to_string();
    assert_eq!(system(&back), system(&here));
    work.ok(&["import", "store", "dem", "back.tif"]);
    let nameless = work.tif("nameless.tif", &Array2::<u8>::zeros((1, 1)), |profile| {
        profile.crs = None
    });
    let why = work.fails(&["import", "store", "dem", &nameless]);
    assert!(why.contains("gdal_translate -a_srs 'PROJCS["), "{why}");
}

#[test]
fn what_stands_beside_a_file_is_heeded() {
    let work = Work::new();
    let cells = Array2::from_shape_fn(
        (6, 8),
        |(y, x)| if (y, x) == (2, 3) { -9999_i16 } else { 5 },
    );
    let plain = |profile: &mut Profile| (profile.affine, profile.crs) = (None, None);
    let map = work.tif("map.tif", &cells, plain);
    let write = |name: &str, text: &str| std::fs::write(work.path(name), text).expect("written");
    write("map.tfw", "10\n0\n0\n-10\n500005\n4999995\n");
    write(
        "map.tif.aux.xml",
        "<PAMDataset>\n  <SRS dataAxisToSRSAxisMapping=\"1,2\">GEOGCS[\"x\",AUTHORITY[\"EPSG\",\"4326\"]]</SRS>\n  <PAMRasterBand band=\"1\">\n    <NoDataValue>-9.999E+03</NoDataValue>\n  </PAMRasterBand>\n</PAMDataset>",
    );
    work.ok(&["create", "store", "dem", "--like", &map]);
    work.ok(&["import", "store", "dem", &map]);
    let info = work.json(&["info", "store", "dem"])["grids"][0].clone();
    assert_eq!(
        (&info["crs"], &info["nodata"]),
        (&json!("EPSG:4326"), &json!(-9999.0))
    );
    assert_eq!(
        info["extent"],
        json!({ "y": [4_999_940.0, 5_000_000.0], "x": [500_000.0, 500_080.0] })
    );
    assert_eq!(
        work.json(&["stats", "store", "dem", "--stat", "count"])["count"].as_f64(),
        Some(47.0)
    );
    // A place in .aux.xml comes before the file's own, as in GDAL.
    write(
        "map.tif.aux.xml",
        "<PAMDataset><GeoTransform> 1.0, 2.0, 0.0, 3.0, 0.0, -4.0</GeoTransform></PAMDataset>",
    );
    work.ok(&["create", "store", "moved", "--like", &map]);
    work.ok(&["import", "store", "moved", &map]);
    let extent = work.json(&["info", "store", "moved"])["grids"][0]["extent"].clone();
    assert_eq!(extent, json!({ "y": [-21.0, 3.0], "x": [1.0, 17.0] }));
    // Values that differ from band to band.
    let two = work.tif(
        "two.tif",
        &Array3::from_shape_fn((2, 4, 4), |(_, y, _)| i16::try_from(y).expect("small")),
        |_| {},
    );
    let band = |number: u8| {
        format!(
            "<PAMRasterBand band=\"{number}\"><NoDataValue>{number}</NoDataValue></PAMRasterBand>"
        )
    };
    write(
        "two.tif.aux.xml",
        &format!("<PAMDataset>{}{}</PAMDataset>", band(1), band(2)),
    );
    work.ok(&["create", "store", "two", "--like", &two]);
    work.ok(&["import", "store", "two", &two]);
    for (band, sum) in [("1", 4.0 * 5.0), ("2", 4.0 * 4.0)] {
        let stats = work.json(&[
            "stats",
            "store",
            "two",
            "--band",
            band,
            "--stat",
            "count,sum",
        ]);
        assert_eq!(
            (stats["count"].as_f64(), stats["sum"].as_f64()),
            (Some(12.0), Some(sum)),
            "band {band}"
        );
    }
    for text in ["1\n2\n", "10\n1\n1\n-10\n0\n0\n"] {
        write("map.tfw", text);
        std::fs::remove_file(work.path("map.tif.aux.xml"))
            .or_else(|_| std::fs::metadata(work.path("map.tif")).map(drop))
            .expect("gone");
        let why = work.fails(&["create", "store", "bad", "--like", &map]);
        assert!(why.contains("map.tfw"), "{why}");
    }
}

#[test]
fn files_beside_a_raster_are_read_in_other_spellings() {
    let work = Work::new();
    let cells = Array2::from_shape_fn((6, 8), |(y, x)| i16::from((y, x) == (2, 3)) * 5);
    let plain = |profile: &mut Profile| (profile.affine, profile.crs) = (None, None);
    let map = work.tif("map.tif", &cells, plain);
    let place = json!({ "y": [4_999_940.0, 5_000_000.0], "x": [500_000.0, 500_080.0] });
    let mut number = 0;
    let mut info = |beside: &[(&str, &[u8])]| {
        let named = |(name, text): &(&str, &[u8])| {
            std::fs::write(work.path(name), text).expect("written");
        };
        beside.iter().for_each(named);
        number += 1;
        let grid = format!("g{number}");
        let made = work.run(&["create", "store", &grid, "--like", &map]);
        assert_eq!(made.code, Some(0), "{beside:?}: {}", made.stderr);
        work.ok(&["import", "store", &grid, &map]);
        for (name, _) in beside {
            std::fs::remove_file(work.path(name)).expect("a file of ours");
        }
        let info = work.json(&["info", "store", &grid])["grids"][0].clone();
        (info, made.stderr)
    };
    for (name, text) in [
        (
            "map.Tfw",
            &b"10\r\n0\r\n0\r\n-10\r\n500005\r\n4999995\r\n"[..],
        ),
        (
            "map.wld",
            &b"\xef\xbb\xbf10 0 0 -10 500005 4999995\nby hand"[..],
        ),
        (
            "map.tfw",
            &b"1D1\n0\n0\n-1.0d+01\n5.00005D5\n4,999995E6\n"[..],
        ),
    ] {
        assert_eq!(info(&[(name, text)]).0["extent"], place, "{name}");
    }
    let placed = &b"10 0 0 -10 500005 4999995"[..];
    // The system, which GDAL does not look for there.
    let wkt = "PROJCS[\"WGS_1984_UTM_Zone_32N\",GEOGCS[\"GCS_WGS_1984\",DATUM[\"D_WGS_1984\",SPHEROID[\"WGS_1984\",6378137.0,298.257223563]],PRIMEM[\"Greenwich\",0.0],UNIT[\"Degree\",0.0174532925199433]],PROJECTION[\"Transverse_Mercator\"],PARAMETER[\"False_Easting\",500000.0],PARAMETER[\"False_Northing\",0.0],PARAMETER[\"Central_Meridian\",9.0],PARAMETER[\"Scale_Factor\",0.9996],PARAMETER[\"Latitude_Of_Origin\",0.0],UNIT[\"Meter\",1.0]]";
    for (name, text, wanted) in [
        ("map.prj", wkt, wkt),
        ("map.PRJ", "EPSG:25832", "EPSG:25832"),
    ] {
        let (info, said) = info(&[("map.wld", placed), (name, text.as_bytes())]);
        assert_eq!(info["crs"], wanted);
        assert!(
            said.contains(name) && said.contains("is taken from"),
            "{said}"
        );
    }
    let (found, said) = info(&[("map.wld", placed), ("map.prj", &b"EPSG:4326"[..])]);
    assert!(
        found["crs"].is_null() && said.contains("map.prj` is about longitudes and latitudes"),
        "{said}"
    );
    let (found, said) = info(&[("map.prj", b"Projection UTM\nZone 32\n")]);
    assert!(
        found["crs"].is_null()
            && said.contains("map.prj")
            && said.contains("gdal_translate -a_srs"),
        "{said}"
    );
    // What is commented out does not count, quotes are of either kind, and text may be UTF-16.
    let band = "<PAMRasterBand band='1'><NoDataValue>5</NoDataValue></PAMRasterBand>";
    let whole = format!(
        "<PAMDataset><!-- {} -->{band}</PAMDataset>",
        band.replace('5', "0")
    );
    let wide: Vec<u8> = [0xfeff]
        .into_iter()
        .chain(whole.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    for text in [whole.as_bytes(), &wide] {
        let (found, _) = info(&[("map.tif.aux.xml", text)]);
        assert_eq!(found["nodata"].as_f64(), Some(5.0));
    }
    let (found, said) = info(&[("map.tif.aux.xml", &whole.as_bytes()[..whole.len() - 20])]);
    assert!(
        found["nodata"].is_null() && said.contains("map.tif.aux.xml") && said.contains("cut off"),
        "{said}"
    );
}

/// A nodata value that no double is does not stand in the way: which cells hold data is kept beside
/// them.
#[test]
fn a_nodata_value_of_64_bits_takes_its_cells_out() {
    let work = Work::new();
    let none = (1_u64 << 63) - 1;
    let cells = Array2::from_shape_fn(
        (4, 5),
        |(y, x)| {
            if y == x { none } else { (1 << 63) + x as u64 }
        },
    );
    let file = work.tif("ids.tif", &cells, |profile| {
        profile.nodata = Some(Cells::from(vec![none]));
    });
    work.ok(&["create", "store", "ids", "--like", &file]);
    work.ok(&["import", "store", "ids", &file]);
    let stats = work.json(&["stats", "store", "ids", "--stat", "count,min"]);
    assert_eq!(
        (stats["count"].as_f64(), stats["min"].as_f64()),
        (Some(16.0), Some(2_f64.powi(63)))
    );
}

#[test]
fn the_least_float_in_few_digits_is_nodata_of_one_band_and_a_scale_that_is_none_is_noted() {
    let work = Work::new();
    let cells = Array3::from_shape_fn((2, 4, 4), |at| match at {
        (0, 0, 0) => -3.40282e38_f32,
        (0, 0, 1) => f32::MIN,
        (1, 0, 0) => 5.0,
        _ => 1.0,
    });
    let two = work.tif("two.tif", &cells, |_| {});
    let band =
        |number: u8, says: &str| format!("<PAMRasterBand band=\"{number}\">{says}</PAMRasterBand>");
    let text = format!(
        "<PAMDataset>{}{}</PAMDataset>",
        band(1, "<NoDataValue>-3.40282e+38</NoDataValue>"),
        band(2, "<NoDataValue>5</NoDataValue><Scale>0;1</Scale>")
    );
    std::fs::write(work.path("two.tif.aux.xml"), text).expect("written");
    let made = work.run(&["create", "store", "two", "--like", &two]);
    assert!(
        made.code == Some(0)
            && made
                .stderr
                .contains("the scale `0;1` of a band is not a number"),
        "{}",
        made.stderr
    );
    work.ok(&["import", "store", "two", &two]);
    let stats = work.json(&["stats", "store", "two", "--stat", "count,min,max"]);
    assert_eq!(
        ["count", "min", "max"].map(|name| stats[name].as_f64()),
        [Some(29.0), Some(1.0), Some(1.0)]
    );
}

#[test]
fn names_of_bands_that_tell_not_all_apart_are_noted() {
    let work = Work::new();
    let cells = Array3::from_shape_fn((3, 4, 4), |(band, _, x)| (10 * band + x) as f32);
    for (file, names) in [
        ("twice.tif", ["red", "red", "nir"]),
        ("some.tif", ["red", "", "nir"]),
    ] {
        work.tif(file, &cells, |profile| {
            profile.bands = names.map(named).to_vec();
        });
        let made = work.run(&["create", "store", file, "--like", file]);
        assert!(
            made.code == Some(0) && made.stderr.contains("go by their numbers"),
            "{}",
            made.stderr
        );
    }
}

#[test]
fn further_images_are_named() {
    let work = Work::new();
    let file = data("geotiff/pages.tif");
    for args in [
        &["create", "store", "dem", "--like", &file][..],
        &["import", "store", "dem", &file],
    ] {
        let ran = work.run(args);
        assert!(
            ran.code == Some(0)
                && ran.stderr.contains("the file has 3 images")
                && ran.stderr.contains("the other 2 are not"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn cell_sizes_that_were_rounded_are_the_grids() {
    let work = Work::new();
    let array = ramp(40, 60);
    let file = |name: &str, cell: f64, off: f64| {
        work.tif(name, &array, |profile| {
            profile.affine = Some(Affine {
                x: -20.0 + off * cell,
                y: 40.0,
                dx: cell,
                dy: -cell,
            });
            profile.crs = Some("EPSG:4326".to_owned());
        })
    };
    let single = f64::from(0.05_f32);
    let (exact, rounded) = (
        file("exact.tif", 0.05, 0.0),
        file("rounded.tif", single, 0.0),
    );
    for (grid, like, other) in [("a", &exact, &rounded), ("b", &rounded, &exact)] {
        work.ok(&["create", "store", grid, "--like", like]);
        work.ok(&["import", "store", grid, other]);
        assert_eq!(
            work.json(&["stats", "store", grid, "--stat", "max"])["max"].as_f64(),
            Some(2399.0)
        );
    }
    for (name, cell, off) in [
        ("moved.tif", 0.05, 0.3),
        ("stretched.tif", 0.0501, 0.0),
        ("off.tif", 0.05, 0.02),
    ] {
        let why = work.fails(&["import", "store", "a", &file(name, cell, off)]);
        assert!(
            why.contains("gdalwarp -t_srs EPSG:4326 -tr 0.05 0.05 -te "),
            "{why}"
        );
        if ran(&work, &remedy(&why, "gdalwarp -", name)) {
            work.ok(&["import", "store", "a", "FITTING.tif"]);
        }
    }
}

#[test]
fn a_remedy_keeps_the_resolution_and_the_place_of_the_file() {
    let work = Work::new();
    let like = work.tif("ms.tif", &ramp(32, 32), |_| {});
    work.ok(&["create", "store", "dem", "--like", &like]);
    work.ok(&["import", "store", "dem", &like]);
    let at = |x: f64, cell: f64| {
        Some(Affine {
            x: 400_000.0 + x,
            y: 5_000_000.0 - x,
            dx: cell,
            dy: -cell,
        })
    };
    for (name, x, cell, wanted) in [
        (
            "half.tif",
            2.5,
            5.0,
            " -tr 5 5 -te 400005 4999840 400160 4999995 ",
        ),
        (
            "other.tif",
            0.0,
            7.0,
            " -tr 5 5 -te 400000 4999775 400225 5000000 ",
        ),
        (
            "coarse.tif",
            3.0,
            40.0,
            " -tr 40 40 -te 400000 4998720 401280 5000000 ",
        ),
        (
            "odd.tif",
            0.0,
            30.0,
            " -tr 20 20 -te 400000 4999040 400960 5000000 ",
        ),
    ] {
        let file = work.tif(name, &ramp(32, 32), |profile| profile.affine = at(x, cell));
        let why = work.fails(&["import", "store", "dem", &file]);
        assert!(why.contains(wanted), "{name}: {why}");
        if ran(&work, &remedy(&why, "gdalwarp -", &file)) {
            work.ok(&["import", "store", "dem", "FITTING.tif"]);
            std::fs::remove_file(work.path("FITTING.tif")).expect("gone");
            work.ok(&["drop", "store", "dem", "--yes"]);
            work.ok(&["create", "store", "dem", "--like", &like]);
        }
    }
}

#[test]
fn an_uncompressed_strip_of_any_height_is_read_in_parts() {
    // One strip of 160 MiB, of which all but a few rows are a hole of the file.
    let work = Work::new();
    let (width, height) = (4096_u32, 40_960_u32);
    let tags: [(u16, u16, u32); 9] = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 4096),
        (277, 3, 1),
        (278, 4, height),
        (279, 4, width * height),
    ];
    let mut bytes = b"II*\0\x08\0\0\0\x09\0".to_vec();
    for (tag, kind, value) in tags {
        bytes.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        bytes.extend([1_u32.to_le_bytes(), value.to_le_bytes()].concat());
    }
    bytes.extend([0; 4]);
    let path = work.path("tall.tif");
    std::fs::write(&path, bytes).expect("written");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .expect("opens");
    file.set_len(4096 + u64::from(width) * u64::from(height))
        .expect("as long as it says");
    std::os::unix::fs::FileExt::write_all_at(&file, &[9; 4096], 4096 + 4096 * 40_000)
        .expect("a row");
    let mut tiff = GeoTiff::open(&path).expect("opens");
    let sums: Vec<f64> = tiff
        .plan(1024, 8 << 20)
        .map(|window| tiff_sum(&path, &window))
        .collect();
    assert!(
        sums.len() > 10 && sums.iter().sum::<f64>() == 9.0 * 4096.0,
        "{sums:?}"
    );
    let window = gridstone::adapter::geotiff::ImageWindow {
        bands: 0..1,
        rows: 40_000..40_001,
        cols: 5..7,
    };
    assert_eq!(values(&tiff.read(&window).expect("reads")), [9.0, 9.0]);
}

fn tiff_sum(path: &std::path::Path, window: &gridstone::adapter::geotiff::ImageWindow) -> f64 {
    let mut tiff = GeoTiff::open(path).expect("opens");
    tiff.read(window).expect("reads").iter_f64().sum()
}
