//! GeoTIFFs into a grid with time: by their names, or by a time that is given.

use ndarray::Array2;
use serde_json::json;

use super::{Work, values};

const PATTERN: [&str; 2] = ["--time-from-name", "rain-%Y.%m.%d.tif"];

/// A day's file: every cell has a number.
fn day(work: &Work, name: &str, value: f32) -> String {
    work.tif(name, &Array2::from_elem((5, 6), value), |_| {})
}

/// Times and values of a cell.
fn rows(work: &Work) -> Vec<String> {
    work.ok(&[
        "series",
        "store",
        "dem",
        "--at",
        "400035,4999975",
        "--out",
        "series.csv",
        "--overwrite",
    ]);
    let text = std::fs::read_to_string(work.path("series.csv")).expect("a table");
    text.lines()
        .skip(1)
        .map(str::to_owned)
        .filter(|line| !line.ends_with(','))
        .collect()
}

#[test]
fn names_tell_the_times_of_a_regular_dimension() {
    let work = Work::new();
    let files: Vec<String> = (1_u8..=3)
        .map(|number| {
            day(
                &work,
                &format!("rain-2020.01.0{number}.tif"),
                f32::from(number),
            )
        })
        .collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    work.ok(&[
        &["create", "store", "dem", "--like"],
        files.as_slice(),
        &PATTERN,
    ]
    .concat());
    let info = work.json(&["info", "store", "dem"])["grids"][0].clone();
    assert_eq!(info["dimensions"][0]["name"], json!("time"));
    // In any order, at once or one by one.
    work.ok(&[&["import", "store", "dem", files[2]][..], &PATTERN].concat());
    work.ok(&[
        &["import", "store", "dem", files[1], files[0]][..],
        &PATTERN,
    ]
    .concat());
    let cells = values(&work.cells(&[]));
    assert_eq!(
        cells,
        [vec![1.0; 30], vec![2.0; 30], vec![3.0; 30]].concat()
    );
    let found = rows(&work);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[1].starts_with("2020-01-02T00:00:00Z"), "{found:?}");
    // One more, by a time that is given; off the steps it is refused.
    let late = day(&work, "late.tif", 9.0);
    work.ok(&["import", "store", "dem", &late, "--at-time", "2020-01-05"]);
    assert_eq!(rows(&work).len(), 4);
    let why = work.fails(&[
        "import",
        "store",
        "dem",
        &late,
        "--at-time",
        "2020-01-05T01:00Z",
    ]);
    assert!(why.contains("does not lie on the grid's steps"), "{why}");
    let why = work.fails(&["import", "store", "dem", &late]);
    assert!(
        why.contains("--time-from-name") && why.contains("--at-time"),
        "{why}"
    );
    let why = work.fails(&[&["import", "store", "dem", &late][..], &PATTERN].concat());
    assert!(
        why.contains("late.tif") && why.contains("rain-%Y.%m.%d.tif"),
        "{why}"
    );
    assert!(work.ok(&["verify", "store"]).starts_with("sound"));
}

#[test]
fn times_that_lie_on_no_steps_are_events() {
    let work = Work::new();
    let names = [
        "x_20200131T101500_a.tif",
        "x_20200229T093000_b.tif",
        "x_20200331T120001_c.tif",
    ];
    let files: Vec<String> = names
        .iter()
        .zip([1.0_f32, 2.0, 3.0])
        .map(|(name, value)| day(&work, name, value))
        .collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let pattern = ["--time-from-name", "x_%Y%m%dT%H%M%S_*"];
    work.ok(&[
        &["create", "store", "dem", "--like"],
        files.as_slice(),
        &pattern,
    ]
    .concat());
    work.ok(&[&["import", "store", "dem"], files.as_slice(), &pattern].concat());
    let found = rows(&work);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[2].starts_with("2020-03-31T12:00:01Z"), "{found:?}");
    assert_eq!(
        values(&work.cells(&["--at-time", "2020-02-29T09:30Z"])),
        vec![2.0; 30]
    );
}

#[test]
fn options_of_time_say_what_they_are_for() {
    let work = Work::new();
    let files = [
        day(&work, "rain-2020.01.01.tif", 1.0),
        day(&work, "rain-2020.01.02.tif", 2.0),
    ];
    let why = work.fails(&["create", "store", "dem", "--like", &files[0], &files[1]]);
    assert!(why.contains("--time-from-name"), "{why}");
    let why = work.fails(&[
        "create", "store", "dem", "--like", &files[0], PATTERN[0], PATTERN[1],
    ]);
    assert!(why.contains("--time-step"), "{why}");
    work.ok(&[
        "create",
        "store",
        "dem",
        "--like",
        &files[0],
        PATTERN[0],
        PATTERN[1],
        "--time-step",
        "1d",
    ]);
    work.ok(&["import", "store", "dem", &files[1], PATTERN[0], PATTERN[1]]);
    work.ok(&["create", "store", "flat", "--like", &files[0]]);
    let why = work.fails(&["import", "store", "flat", &files[0], PATTERN[0], PATTERN[1]]);
    assert!(why.contains("no time axis for --time-from-name"), "{why}");
}

#[test]
fn more_files_than_can_be_open_at_once() {
    let work = Work::new();
    let files: Vec<String> = (0..360_u16)
        .map(|at| day(&work, &format!("d{}{:03}.tif", 2001, at + 1), f32::from(at)))
        .collect();
    let pattern = "d%Y%j.tif";
    let limited = |verb: &str, options: &str| {
        let command = env!("CARGO_BIN_EXE_gridstone");
        let line = format!(
            "ulimit -n 256; exec '{command}' {verb} store dem {options} --time-from-name {pattern}"
        );
        let done = std::process::Command::new("bash")
            .args(["-c", &line])
            .current_dir(work.path("."))
            .output()
            .expect("bash");
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    };
    limited("create", "--like d*.tif");
    limited("import", "d*.tif");
    let stats = work.json(&["stats", "store", "dem", "--stat", "count,mean"]);
    assert_eq!(stats["count"].as_f64(), Some(files.len() as f64 * 30.0));
    assert_eq!(stats["mean"].as_f64(), Some(179.5));
}

/// Files of one day are its tiles, which lie beside each other.
#[test]
fn tiles_of_one_time_make_one_step() {
    let work = Work::new();
    let west = |work: &Work, name: &str, value: f32| day(work, name, value);
    let east = |work: &Work, name: &str, value: f32| {
        work.tif(name, &Array2::from_elem((5, 6), value), |profile| {
            profile.affine.as_mut().expect("a place").x += 60.0;
        })
    };
    let files = [
        west(&work, "a_2020-01-01.tif", 1.0),
        east(&work, "b_2020-01-01.tif", 2.0),
        west(&work, "a_2020-01-02.tif", 3.0),
        east(&work, "b_2020-01-02.tif", 4.0),
    ];
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let pattern = ["--time-from-name", "*_%Y-%m-%d.tif"];
    work.ok(&[
        &["create", "store", "dem", "--like"],
        files.as_slice(),
        &pattern,
    ]
    .concat());
    work.ok(&[&["import", "store", "dem"], files.as_slice(), &pattern].concat());
    let row = |a: f64, b: f64| [vec![a; 6], vec![b; 6]].concat().repeat(5);
    assert_eq!(
        values(&work.cells(&[])),
        [row(1.0, 2.0), row(3.0, 4.0)].concat()
    );
    // A raster of both days there is none: what else there is, works.
    let why = work.fails(&["read", "store", "dem", "--out", "both.tif"]);
    assert!(
        why.contains("no axis `time`")
            && why.contains("--period")
            && why.contains("--over-time mean"),
        "{why}"
    );
    work.ok(&[
        "read",
        "store",
        "dem",
        "--period",
        "2020-01-02/2020-01-03",
        "--out",
        "one.tif",
    ]);
    work.ok(&[
        "read",
        "store",
        "dem",
        "--over-time",
        "mean",
        "--out",
        "mean.tif",
    ]);
    let why = work.fails(&["read", "store", "dem", "--at-time", "2020-01-02"]);
    assert!(why.contains("--period FROM/TO"), "{why}");
}
