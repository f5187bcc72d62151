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
    // Into a store of its own, which is made, in the source's chunks.
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

/// A part of the rows and columns, or of the times, or a level of a layer: what a copy holds is
/// what `read` shows of the source.
#[test]
fn a_part_or_a_level_is_copied_and_followed() {
    let work = Work::with_srtm();
    let read = |grid: &str, options: &[&str]| {
        let read = ["read", "store", grid, "--out", "cells.npy", "--overwrite"];
        work.ok(&[&read[..], options].concat());
        values(&gridstone::adapter::npy::read(work.path("cells.npy")).expect("a .npy"))
    };
    let window = ["--window", "10:40,20:90"];
    let part = work.json(&[&["copy", "store", "dem", "part"][..], &window].concat());
    assert_eq!(
        (&part["created"], &part["cells"]),
        (&json!(true), &json!(30 * 70))
    );
    assert_eq!(read("part", &[]), read("dem", &window));
    let idle = work.json(&[&["copy", "store", "dem", "part"][..], &window].concat());
    assert_eq!((&idle["full"], &idle["cells"]), (&json!(false), &json!(0)));
    let coarse = [
        "copy", "store", "dem", "coarse", "--level", "2", "--layer", "max",
    ];
    let options = ["--aggregator", "max,count", "--codec", "small"];
    work.ok(&[&coarse[..], &options].concat());
    assert_eq!(
        read("coarse", &[]),
        read("dem", &["--level", "2", "--layer", "max"])
    );
    let layers = &work.json(&["info", "store", "coarse"])["grids"][0]["aggregators"];
    assert_eq!(*layers, json!(["max", "count"]), "{layers}");
    // What came since, and no more.
    work.ok(&["clear", "store", "dem", "--window", "0:8,0:8", "--yes"]);
    let changed = work.json(&coarse);
    assert_eq!(
        (&changed["full"], &changed["cells"]),
        (&json!(false), &json!(4))
    );
    assert_eq!(
        read("coarse", &[]),
        read("dem", &["--level", "2", "--layer", "max"])
    );
    let beside = work.json(&[&["copy", "store", "dem", "part"][..], &window].concat());
    assert_eq!(
        (&beside["changes"], &beside["cells"]),
        (&json!(1), &json!(0))
    );
    for (args, what) in [
        (
            &["coarse", "--level", "1", "--layer", "max"][..],
            "it holds data at levels",
        ),
        (&["coarse", "--level", "2", "--layer", "mean"], "cells are"),
        (
            &["x", "--level", "-1"],
            "finer than its cells, which are at level 0",
        ),
        (&["x", "--level", "30"], "there is no level 30"),
        (
            &["x", "--level", "2", "--layer", "std"],
            "it has no layer `std`",
        ),
        (&["x", "--layer", "max"], "say which level is copied"),
        (
            &["part", "--aggregator", "min"],
            "with other aggregators; leave --aggregator out",
        ),
    ] {
        let why = work.fails(&[&["copy", "store", "dem"][..], args].concat());
        assert!(why.contains(what), "{args:?}: {why}");
    }
    let listed = work.json(&["ls", "store"])["grids"]
        .as_array()
        .map(Vec::len);
    assert_eq!(listed, Some(3), "`x` was not made");
    assert!(work.ok(&["verify", "store"]).starts_with("sound: "));
}

#[test]
fn a_period_of_a_series_is_copied_and_grows_with_it() {
    let work = Work::new();
    rain(&work, "store", 0..6);
    let period = ["--period", "2018-09-13T21:00Z/2018-09-14T04:00Z"];
    let copy = |store: &str| {
        let copy = ["copy", store, "rain", "some", "--from-store", "store"];
        work.json(&[&copy[..], &period].concat())
    };
    let first = copy("other");
    rain(&work, "store", 6..13);
    let second = copy("other");
    assert_eq!(
        (&first["full"], &second["full"]),
        (&json!(true), &json!(false)),
        "{first} {second}"
    );
    let read = |store: &str, grid: &str, options: &[&str]| {
        let read = ["read", store, grid, "--out", "cells.npy", "--overwrite"];
        work.ok(&[&read[..], options].concat());
        values(&gridstone::adapter::npy::read(work.path("cells.npy")).expect("a .npy"))
    };
    assert_eq!(read("other", "some", &[]), read("store", "rain", &period));
    assert!(work.ok(&["verify", "other"]).starts_with("sound: "));
}

#[test]
fn a_layer_is_added_and_filled() {
    let work = Work::with_srtm();
    let read = |options: &[&str]| {
        let read = [
            "read",
            "store",
            "dem",
            "--level",
            "3",
            "--out",
            "cells.npy",
            "--overwrite",
        ];
        work.ok(&[&read[..], options].concat());
        values(&gridstone::adapter::npy::read(work.path("cells.npy")).expect("a .npy"))
    };
    let mean = read(&[]);
    let add = ["alter", "store", "dem", "--add-aggregator"];
    let left = work.json(&[&add[..], &["min,count", "--no-aggregate"]].concat());
    assert_eq!(left["layers"], json!(["mean", "max", "min", "count"]));
    assert!(left["marks_pending"].as_u64() > Some(0), "{left}");
    assert_eq!(read(&[]), mean, "others stay as they are");
    let fresh = read(&["--layer", "min", "--fresh"]);
    assert!(work.ok(&["verify", "store"]).starts_with("sound: "));
    work.ok(&["aggregate", "store"]);
    assert_eq!(read(&["--layer", "min"]), fresh);
    // As in a grid that had it from the start.
    let create = ["create", "store", "twin", "--like", &data("srtm.tif")];
    work.ok(&[&create[..], &["--aggregator", "min"]].concat());
    work.ok(&["import", "store", "twin", &data("srtm.tif")]);
    let twin = ["read", "store", "twin", "--level", "3", "--layer", "min"];
    work.ok(&[&twin[..], &["--out", "twin.npy"]].concat());
    let twin = values(&gridstone::adapter::npy::read(work.path("twin.npy")).expect("a .npy"));
    assert_eq!(fresh, twin);
    let why = work.fails(&[&add[..], &["std,min"]].concat());
    assert!(
        why.contains("grid `dem` has the layer `min` already"),
        "{why}"
    );
    let why = work.fails(&[&add[..], &["std,std"]].concat());
    assert!(
        why.contains("grid `dem`") && why.contains("`std` is given twice"),
        "{why}"
    );
    let why = work.fails(&[&add[..], &["none"]].concat());
    assert!(why.contains("adds nothing"), "{why}");
    let layers = &work.json(&["info", "store", "dem"])["grids"][0]["aggregators"];
    assert_eq!(*layers, json!(["mean", "max", "min", "count"]), "{layers}");
    assert!(work.ok(&["verify", "store"]).starts_with("sound: "));
}
