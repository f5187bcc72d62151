//! One grid in two layouts, kept equal on the command line.

use serde_json::{Value, json};

use super::{Work, data, values};

/// A store of hourly fields in chunks of 2 steps, 64 rows and 64 columns.
fn rain(work: &Work, store: &str, hours: std::ops::Range<usize>) {
    let files = super::rain::hours();
    if hours.start == 0 {
        let options = [
            "--index-axes",
            "--time-step",
            "1h",
            "--chunk",
            "2,64",
            "--aggregator",
            "sum",
        ];
        work.ok(&[
            &["create", store, "rain", "--like", &files[0]][..],
            &options,
        ]
        .concat());
    }
    let files = files[hours].iter().map(String::as_str);
    work.ok(&["import", store, "rain"]
        .into_iter()
        .chain(files)
        .collect::<Vec<_>>());
}

fn cells(work: &Work, store: &str, grid: &str) -> Vec<f64> {
    work.ok(&["read", store, grid, "--out", "cells.npy", "--overwrite"]);
    values(&gridstone::adapter::npy::read(work.path("cells.npy")).expect("a .npy"))
}

#[test]
fn a_grid_is_copied_to_another_layout_and_followed() {
    let work = Work::new();
    rain(&work, "store", 0..10);
    let copied = work.ok(&["copy", "store", "rain", "series", "--chunk", "32,4"]);
    let begins = "copied all of `rain` to `series`: 40960 cells, 5 chunks read, ";
    assert!(
        copied.starts_with(begins) && copied.contains("(256 base, "),
        "{copied}"
    );
    assert_eq!(
        cells(&work, "store", "series"),
        cells(&work, "store", "rain")
    );
    let idle = work.json(&["copy", "store", "rain", "series"]);
    let figures =
        |of: &Value, names: &[&str]| Value::from_iter(names.iter().map(|name| of[name].clone()));
    let counts = [
        "changes",
        "cells",
        "chunks_read",
        "base_chunks",
        "aggregate_chunks",
        "marks_pending",
    ];
    assert_eq!(figures(&idle, &counts), json!([0, 0, 0, 0, 0, 0]));
    assert_eq!(figures(&idle, &["created", "full"]), json!([false, false]));
    rain(&work, "store", 10..13);
    let left = work.json(&[
        "copy",
        "store",
        "rain",
        "series",
        "--chunk",
        "32,4",
        "--no-aggregate",
    ]);
    assert_eq!(
        figures(&left, &["full", "cells"]),
        json!([false, 3 * 64 * 64])
    );
    assert!(
        left["marks_pending"].as_u64().expect("a number") > 0,
        "{left}"
    );
    assert_eq!(
        left["token"],
        work.json(&["info", "store", "rain"])["grids"][0]["token"]
    );
    assert_eq!(
        cells(&work, "store", "series"),
        cells(&work, "store", "rain")
    );
    work.ok(&["aggregate", "store"]);
    assert!(work.ok(&["verify", "store"]).starts_with("sound: "));
    // Into a store of its own, in the source's chunks.
    work.ok(&["create", "other", "dem", "--like", &data("srtm.tif")]);
    let copied = work.json(&["copy", "other", "rain", "rain", "--from-store", "store"]);
    assert_eq!(figures(&copied, &["created", "full"]), json!([true, true]));
    assert_eq!(cells(&work, "other", "rain"), cells(&work, "store", "rain"));
}

#[test]
fn what_cannot_be_copied_is_refused_and_leaves_no_grid() {
    let work = Work::with_srtm();
    assert!(
        work.fails(&["copy", "store", "none", "x"])
            .contains("there is no grid `none`")
    );
    assert!(
        work.fails(&["copy", "store", "dem", "dem"])
            .contains("grid `dem`: it cannot be updated from itself")
    );
    work.ok(&["copy", "store", "dem", "tall", "--chunk", "64"]);
    let why = work.fails(&["copy", "store", "dem", "tall", "--chunk", "32"]);
    assert!(
        why.contains("grid `tall` is there, in other chunks; leave --chunk out"),
        "{why}"
    );
    work.ok(&[
        "create",
        "store",
        "other",
        "--like",
        &data("srtm.tif"),
        "--nodata",
        "-1",
    ]);
    let why = work.fails(&["copy", "store", "dem", "other"]);
    assert!(
        why.contains("grid `other`: it cannot be updated from grid `dem`: its nodata value is -1"),
        "{why}"
    );
    assert_eq!(
        work.run(&["copy", "store", "dem", "x", "--chunk", "100"])
            .code,
        Some(2)
    );
    let listed = work.json(&["ls", "store"])["grids"]
        .as_array()
        .map(Vec::len);
    assert_eq!(listed, Some(3), "`x` was not made");
}
