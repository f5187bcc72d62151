//! Many files at once, files of other cells, and answers on the cells of a file.

use std::io::Write;
use std::process::Stdio;
use std::time::Instant;

use gridstone::adapter::geotiff::{Affine, GeoTiff};
use gridstone::adapter::npy;
use ndarray::{Array2, s};
use serde_json::Value;

use super::{Work, data, import_of_list, kill_amid, values};

const HERE: Affine = Affine {
    x: 400_000.0,
    y: 5_000_000.0,
    dx: 10.0,
    dy: -10.0,
};

/// A tile of 40 x 40 cells that overlaps its neighbours by 8, filled with its number.
fn tile(work: &Work, number: u8) -> String {
    let (row, col) = (f64::from(number / 3), f64::from(number % 3));
    let cells = Array2::from_elem((40, 40), i16::from(number));
    let place = Affine {
        x: HERE.x + 320.0 * col,
        y: HERE.y - 320.0 * row,
        ..HERE
    };
    work.tif(&format!("tile{number}.tif"), &cells, |profile| {
        profile.affine = Some(place)
    })
}

fn tiles(work: &Work) -> Vec<String> {
    (0..9).map(|number| tile(work, number)).collect()
}

/// Which tile is on top at each cell, the later ones over the earlier ones.
fn mosaic() -> Vec<f64> {
    let mut cells = Array2::from_elem((104, 104), f64::NAN);
    for number in 0..9_usize {
        let (row, col) = (number / 3 * 32, number % 3 * 32);
        cells
            .slice_mut(s![row..row + 40, col..col + 40])
            .fill(number as f64);
    }
    cells.into_iter().collect()
}

#[test]
fn a_list_of_files_is_planned_and_imported_by_several_threads() {
    let work = Work::new();
    let files = tiles(&work);
    work.create(&files[0]);
    std::fs::write(work.path("list.txt"), files.join("\n") + "\n\n").expect("written");
    let plan = work.json(&[
        "plan",
        "store",
        "dem",
        "--files-from",
        "list.txt",
        "--jobs",
        "4",
    ]);
    assert_eq!(
        (
            plan["files"].as_u64(),
            plan["cells"].as_u64(),
            plan["base_chunks"].as_u64()
        ),
        (Some(9), Some(14_400), Some(49))
    );
    let jobs = plan["jobs"].as_array().expect("a list");
    assert!(jobs.len() >= 4, "{plan}");
    assert_eq!(
        jobs.iter()
            .filter_map(|job| job["chunks"].as_u64())
            .sum::<u64>(),
        49
    );
    assert!(jobs.iter().all(|job| {
        job["files"]
            .as_array()
            .is_some_and(|files| !files.is_empty())
    }));
    let text = work.ok(&[
        "plan",
        "store",
        "dem",
        "--files-from",
        "list.txt",
        "--jobs",
        "4",
    ]);
    assert!(
        text.starts_with("9 files: 14400 cells") && text.lines().count() == jobs.len() + 1,
        "{text}"
    );
    let done = work.json(&import_of_list("3"));
    assert_eq!(values(&work.cells(&[])), mosaic());
    // What was predicted is what is there now.
    let info = work.json(&["info", "store", "dem"]);
    assert_eq!(
        info["grids"][0]["chunks"]
            .as_u64()
            .map(|chunks| chunks - 49),
        plan["aggregate_chunks"].as_u64(),
        "{info} {done}"
    );
    work.ok(&["verify", "store"]);
    // From standard input too.
    let mut command = work.command(&["import", "store", "dem", "--files-from", "-"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("starts");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(files.join("\n").as_bytes())
        .expect("written");
    assert!(child.wait().expect("ends").success());
    assert_eq!(values(&work.cells(&[])), mosaic());
}

#[test]
fn a_file_that_is_named_twice_is_told() {
    let work = Work::new();
    let files = tiles(&work);
    work.create(&files[0]);
    let list = format!("{}\n{}\n./{}\n", files[0], files[1], files[0]);
    std::fs::write(work.path("list.txt"), list).expect("written");
    let why = work.fails(&["import", "store", "dem", "--files-from", "list.txt"]);
    assert!(
        why.contains(
            "`./tile0.tif` is named twice, in line 1 of `list.txt` and in line 3 of `list.txt`"
        ),
        "{why}"
    );
    let why = work.fails(&[
        "plan",
        "store",
        "dem",
        &files[1],
        "--files-from",
        "list.txt",
    ]);
    assert!(
        why.contains("on the command line and in line 2 of `list.txt`"),
        "{why}"
    );
    let why = work.fails(&["import", "store", "dem", &files[1], &files[1]]);
    assert!(
        why.contains("`tile1.tif` is named twice on the command line"),
        "{why}"
    );
    let why = work.fails(&["import", "store", "dem", "--files-from", "none.txt"]);
    assert!(
        why.contains("there is no list of files in `none.txt`: `none.txt` cannot be read"),
        "{why}"
    );
    std::fs::write(work.path("empty.txt"), "\n").expect("written");
    let why = work.fails(&["import", "store", "dem", "--files-from", "empty.txt"]);
    assert!(why.contains("`empty.txt` names no file"), "{why}");
    assert_eq!(
        work.run(&["import", "store", "dem"]).code,
        Some(2),
        "no file at all is wrong usage"
    );
}

#[test]
fn the_newest_and_the_finest_file_can_be_on_top() {
    let work = Work::new();
    let coarse = work.tif("coarse.tif", &Array2::from_elem((20, 20), 1_i16), |_| {});
    let fine = work.tif("fine.tif", &Array2::from_elem((20, 20), 2_i16), |profile| {
        profile.affine = Some(Affine {
            dx: 5.0,
            dy: -5.0,
            ..HERE
        });
    });
    work.create(&coarse);
    let why = work.fails(&["import", "store", "dem", &fine, &coarse]);
    assert!(why.contains("--priority finest"), "{why}");
    work.ok(&[
        "import",
        "store",
        "dem",
        &fine,
        &coarse,
        "--priority",
        "finest",
        "--jobs",
        "2",
    ]);
    let cells = values(&work.cells(&["--level", "-1"]));
    assert_eq!((cells[0], cells[19 * 40 + 19], cells[20]), (2.0, 2.0, 1.0));
    work.ok(&["verify", "store"]);
    // The one that was written last, in whatever order they are named.
    let work = Work::new();
    let (old, new) = (
        work.tif("old.tif", &Array2::from_elem((20, 20), 1_i16), |_| {}),
        work.tif("new.tif", &Array2::from_elem((20, 20), 2_i16), |_| {}),
    );
    let hour = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    std::fs::File::options()
        .append(true)
        .open(work.path(&old))
        .and_then(|file| file.set_modified(hour))
        .expect("older");
    work.create(&old);
    work.ok(&["import", "store", "dem", &new, &old, "--priority", "newest"]);
    assert_eq!(values(&work.cells(&[])), vec![2.0; 400]);
}

/// Killed at any moment and run again: the same cells and chunks as of one run. That a kill finds
/// the work half done is seen to.
#[test]
fn an_import_that_is_killed_is_completed_by_the_same_command() {
    let chunks = |work: &Work| {
        work.json(&["info", "store", "dem"])["grids"][0]["chunks"]
            .as_u64()
            .expect("a number")
    };
    for jobs in ["1", "4"] {
        let args = import_of_list(jobs);
        let begin = || {
            let work = Work::new();
            let files = tiles(&work);
            work.create(&files[0]);
            std::fs::write(work.path("list.txt"), files.join("\n")).expect("written");
            work
        };
        let whole = begin();
        let start = Instant::now();
        whole.ok(&args);
        let (took, all) = (start.elapsed(), chunks(&whole));
        kill_amid(begin, (&args, took), |work, was_killed| {
            let left = chunks(work);
            work.ok(&args);
            assert_eq!(
                values(&work.cells(&[])),
                mosaic(),
                "{jobs} jobs, {left} chunks when killed"
            );
            assert_eq!(chunks(work), all, "{jobs} jobs, {left} chunks when killed");
            work.ok(&["verify", "store"]);
            was_killed && (1..all).contains(&left)
        });
    }
}

#[test]
fn files_that_fail_are_named_and_the_others_are_imported() {
    let work = Work::new();
    let files = tiles(&work);
    work.create(&files[0]);
    let chunks = || work.json(&["info", "store", "dem"])["grids"][0]["chunks"].clone();
    let whole: Vec<Vec<u8>> = files
        .iter()
        .map(|file| std::fs::read(work.path(file)).expect("reads"))
        .collect();
    // One is found by its header, one by its cells, and one is not there.
    std::fs::write(work.path(&files[4]), &whole[4][..100]).expect("cut");
    let mut damaged = whole[5].clone();
    // Cells come last, deflated: that is how their stream begins.
    let begins = |bytes: &[u8]| bytes == [0x78, 0x01];
    let at = damaged.windows(2).rposition(begins).expect("a stream");
    let end = (at + 16).min(damaged.len());
    damaged[at..end].fill(0xa5);
    std::fs::write(work.path(&files[5]), damaged).expect("damaged");
    let all: Vec<&str> = [
        &["import", "store", "dem"],
        &files.iter().map(String::as_str).collect::<Vec<_>>()[..],
    ]
    .concat();
    let args = [&all[..], &["gone.tif"]].concat();
    let why = work.fails(&args);
    assert!(why.contains("`tile4.tif` cannot be read"), "{why}");
    for jobs in ["1", "3"] {
        let why = work.fails(&[
            "import", "store", "dem", &files[3], &files[5], "--jobs", jobs,
        ]);
        assert!(
            why.contains("`tile5.tif` cannot be imported"),
            "{jobs} jobs: {why}"
        );
    }
    assert_eq!(chunks(), 0);
    for jobs in ["1", "3"] {
        let ran = work.run(&[&args[..], &["--keep-going", "--again", "--jobs", jobs]].concat());
        assert_eq!(ran.code, Some(1), "{jobs} jobs: {}", ran.stderr);
        assert!(
            ran.stdout.starts_with("imported 7 files: 11200 cells, "),
            "{jobs} jobs: {}",
            ran.stdout
        );
        assert!(
            ["tile4.tif", "tile5.tif", "gone.tif"]
                .iter()
                .all(|name| ran.stderr.contains(name)),
            "{jobs} jobs: {}",
            ran.stderr
        );
        assert_eq!(ran.stderr.lines().count(), 3, "{jobs} jobs: {}", ran.stderr);
    }
    let ran = work.run(&[&args[..], &["--keep-going", "--again", "--json"]].concat());
    let told: Value =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    assert_eq!(
        (&told["files"], &told["failed"]),
        (&Value::from(7), &Value::from(3)),
        "{told}"
    );
    files
        .iter()
        .zip(&whole)
        .for_each(|(file, whole)| std::fs::write(work.path(file), whole).expect("mended"));
    work.ok(&all);
    assert_eq!(values(&work.cells(&[])), mosaic());
    work.ok(&["verify", "store"]);
}

#[test]
fn a_directory_and_a_file_that_is_refused_are_named() {
    let work = Work::new();
    let coarse = work.tif("coarse.tif", &Array2::from_elem((20, 20), 1_i16), |_| {});
    let fine = work.tif("fine.tif", &Array2::from_elem((20, 20), 2_i16), |profile| {
        profile.affine = Some(Affine {
            dx: 5.0,
            dy: -5.0,
            ..HERE
        });
    });
    work.create(&coarse);
    std::fs::create_dir(work.path("tiles")).expect("made");
    let why = work.fails(&["import", "store", "dem", "tiles"]);
    assert!(
        why.contains("`tiles` is a directory") && why.contains("`find tiles -name '*.tif'`"),
        "{why}"
    );
    work.ok(&["import", "store", "dem", &fine]);
    for verb in ["plan", "import"] {
        let why = work.fails(&[verb, "store", "dem", &coarse, "--jobs", "2"]);
        assert!(
            why.starts_with("`coarse.tif` cannot be imported: grid `dem`: "),
            "{verb}: {why}"
        );
        assert!(
            why.contains("`gridstone clear STORE dem --extent "),
            "{verb}: {why}"
        );
    }
    for jobs in ["0", "1025"] {
        assert_eq!(
            work.run(&["import", "store", "dem", &coarse, "--jobs", jobs])
                .code,
            Some(2),
            "{jobs} jobs"
        );
    }
}

#[test]
fn totals_lie_in_a_grid_of_floats() {
    let work = Work::new();
    let people =
        Array2::from_shape_fn((30, 30), |(y, x)| u16::try_from(y * 30 + x).expect("small"));
    let file = work.tif("people.tif", &people, |profile| {
        profile.affine = Some(Affine {
            x: HERE.x + 3.0,
            y: HERE.y - 4.0,
            dx: 7.0,
            dy: -7.0,
        });
    });
    let like = work.tif("like.tif", &Array2::from_elem((4, 4), 0_u16), |_| {});
    work.create(&like);
    let why = work.fails(&["import", "store", "dem", &file, "--resampling", "sum"]);
    assert!(
        why.contains("`gridstone create STORE TOTALS --like FILE --dtype float64`"),
        "{why}"
    );
    work.ok(&[
        "create",
        "store",
        "totals",
        "--like",
        &like,
        "--dtype",
        "float64",
        "--chunk",
        "16",
        "--aggregator",
        "sum",
    ]);
    work.ok(&[
        "import",
        "store",
        "totals",
        &file,
        "--resampling",
        "sum",
        "--level",
        "0",
    ]);
    let total: f64 = people.iter().map(|cell| f64::from(*cell)).sum();
    for options in [
        &["--shape", "1x1", "--resampling", "sum"][..],
        &["--shape", "7x3", "--layer", "sum"],
        &["--layer", "base"],
    ] {
        work.ok(&[
            &[
                "read",
                "store",
                "totals",
                "--out",
                "totals.npy",
                "--overwrite",
            ],
            options,
        ]
        .concat());
        let found: f64 = values(&npy::read(work.path("totals.npy")).expect("a .npy"))
            .iter()
            .filter(|value| !value.is_nan())
            .sum();
        assert!(
            (found - total).abs() < 1e-6,
            "{options:?}: {found} for {total}"
        );
    }
    for how in ["min", "max", "mode"] {
        work.ok(&[
            "import",
            "store",
            "dem",
            &file,
            "--resampling",
            how,
            "--overlap",
            "replace",
        ]);
        let cells = values(&work.cells(&[]));
        assert!(
            cells
                .iter()
                .all(|cell| cell.fract() == 0.0 && *cell < 900.0),
            "{how}"
        );
    }
    assert_eq!(
        work.run(&["import", "store", "dem", &file, "--resampling", "median"])
            .code,
        Some(2)
    );
}

/// A target of other cells, from south to north, partly beside the data; GDAL's own reader would
/// place it there.
#[test]
fn an_answer_has_exactly_the_cells_of_a_target() {
    let work = Work::with_srtm();
    let cells = GeoTiff::open(data("srtm.tif")).expect("opens");
    let affine = cells.header().affine.expect("placed");
    let target = Affine {
        x: affine.x - 2.5 * affine.dx,
        y: affine.y + 40.0 * affine.dy,
        dx: affine.dx * 1.5,
        dy: -affine.dy * 1.5,
    };
    let like = work.tif("target.tif", &Array2::<u8>::zeros((30, 20)), |profile| {
        profile.affine = Some(target);
        profile.crs = Some("EPSG:4326".to_owned());
    });
    let out = work.json(&[
        "read",
        "store",
        "dem",
        "--like",
        &like,
        "--resampling",
        "area",
        "--out",
        "out.tif",
    ]);
    assert_eq!(out["shape"], serde_json::json!([30, 20]), "{out}");
    let mut written = GeoTiff::open(work.path("out.tif")).expect("opens");
    assert_eq!(written.header().affine, Some(target), "to the last bit");
    let found = values(&written.read(&written.window()).expect("reads"));
    // The same cells by their definition.
    let mut file = GeoTiff::open(data("srtm.tif")).expect("opens");
    let base = values(&file.read(&file.window()).expect("reads"));
    for row in 0..30_usize {
        for col in 0..20_usize {
            let (top, left) = (40.0 - 1.5 * (row + 1) as f64, 1.5 * col as f64 - 2.5);
            let (mut sum, mut area) = (0.0, 0.0);
            for y in 0..60_usize {
                for x in 0..40_usize {
                    let down = ((y + 1) as f64).min(top + 1.5) - (y as f64).max(top);
                    let across = ((x + 1) as f64).min(left + 1.5) - (x as f64).max(left);
                    if down > 1e-9 && across > 1e-9 {
                        sum += down * across * base[y * 1280 + x];
                        area += down * across;
                    }
                }
            }
            let (found, wanted) = (found[row * 20 + col], sum / area);
            assert!(
                found.is_nan() && area < 1e-9 || (found - wanted).abs() < 1e-3,
                "{row} {col}: {found} for {wanted}"
            );
        }
    }
    let explained = work.json(&["explain", "store", "dem", "--like", &like]);
    assert_eq!(
        (&explained["resampling"], explained["shape"]["y"].as_u64()),
        (&Value::from("nearest"), Some(30)),
        "{explained}"
    );
    let other = work.tif("other.tif", &Array2::<u8>::zeros((3, 2)), |profile| {
        profile.crs = Some("EPSG:26711".to_owned());
    });
    let why = work.fails(&["read", "store", "dem", "--like", &other]);
    assert!(
        why.contains("NADCON")
            && why.contains("gdalwarp -t_srs EPSG:26711 -te 400000 4999970 400020 5000000 -ts 2 3"),
        "{why}"
    );
    let unplaced = work.tif("unplaced.tif", &Array2::<u8>::zeros((3, 2)), |profile| {
        profile.crs = None
    });
    let why = work.fails(&["read", "store", "dem", "--like", &unplaced]);
    assert!(why.contains("gdal_translate -a_srs EPSG:4326"), "{why}");
    assert_eq!(
        work.run(&["read", "store", "dem", "--like", &like, "--level", "1"])
            .code,
        Some(2),
        "one of both"
    );
}

#[test]
fn an_answer_on_a_target_of_another_system_is_in_that_system() {
    let work = Work::with_srtm();
    // A zone of UTM whose cells lie over a part of the data.
    let zone = Affine {
        x: 300_000.0,
        y: 4_130_000.0,
        dx: 250.0,
        dy: -250.0,
    };
    let like = work.tif("zone.tif", &Array2::<u8>::zeros((40, 60)), |profile| {
        (profile.crs, profile.affine) = (Some("EPSG:32611".to_owned()), Some(zone));
    });
    for (out, how) in [
        ("out.tif", "bilinear"),
        ("out.png", "max"),
        ("out.npy", "area"),
    ] {
        let read = ["read", "store", "dem", "--like", &like, "--resampling", how];
        let told = work.json(&[&read[..], &["--out", out]].concat());
        assert_eq!(told["shape"], serde_json::json!([40, 60]), "{told}");
        assert_eq!(told["valid_share"].as_f64(), Some(1.0), "{told}");
    }
    let mut written = GeoTiff::open(work.path("out.tif")).expect("opens");
    assert_eq!(written.header().affine, Some(zone));
    assert_eq!(written.header().crs.as_deref(), Some("EPSG:32611"));
    let smooth = values(&written.read(&written.window()).expect("reads"));
    let means = values(&npy::read(work.path("out.npy")).expect("a .npy"));
    assert_eq!(smooth.len(), means.len());
    let apart = smooth.iter().zip(&means).map(|(a, b)| (a - b).abs());
    assert!(apart.sum::<f64>() / 2400.0 < 20.0, "of one place");
    let explained = work.json(&["explain", "store", "dem", "--like", &like]);
    assert_eq!(explained["shape"]["y"].as_u64(), Some(40), "{explained}");
}

#[test]
fn a_file_of_another_system_is_laid_onto_the_cells_of_the_grid() {
    let work = Work::new();
    let cells = Array2::from_shape_fn((60, 80), |(row, col)| {
        f64::from(u16::try_from(80 * row + col).expect("small"))
    });
    let utm = work.tif("utm.tif", &cells, |profile| profile.affine = Some(HERE));
    let like = work.tif("like.tif", &Array2::<f64>::zeros((4, 4)), |profile| {
        (profile.crs, profile.affine) = (
            Some("EPSG:4326".to_owned()),
            Some(Affine {
                x: 7.0,
                y: 46.0,
                dx: 1.0 / 9000.0,
                dy: -1.0 / 9000.0,
            }),
        );
    });
    work.ok(&["create", "store", "dem", "--like", &like, "--chunk", "32"]);
    let why = work.fails(&["import", "store", "dem", &utm]);
    assert!(
        why.contains("lay it onto the grid's cells with `--resampling"),
        "{why}"
    );
    let plan = work.json(&["plan", "store", "dem", &utm, "--resampling", "sum"]);
    assert!(plan["base_chunks"].as_u64() > Some(0), "{plan}");
    work.ok(&["import", "store", "dem", &utm, "--resampling", "sum"]);
    work.ok(&["verify", "store"]);
    work.ok(&[
        "read", "store", "dem", "--layer", "base", "--out", "dem.npy",
    ]);
    if cfg!(not(feature = "gdal")) {
        let sum: f64 = values(&npy::read(work.path("dem.npy")).expect("a .npy"))
            .iter()
            .filter(|value| !value.is_nan())
            .sum();
        assert!(
            (sum / cells.sum() - 1.0).abs() < 1e-7,
            "{sum} of {}",
            cells.sum()
        );
        let old = work.tif("old.tif", &cells, |profile| {
            (profile.crs, profile.affine) = (Some("EPSG:26711".to_owned()), Some(HERE));
        });
        let why = work.fails(&["import", "store", "dem", &old, "--resampling", "nearest"]);
        assert!(
            why.contains("NADCON") && why.contains("`gdalwarp -t_srs EPSG:4326"),
            "{why}"
        );
    }
}
