//! Grids are renamed, swapped and dropped, and what changed is shown.

use serde_json::Value;

use super::{Work, data};

fn names(work: &Work) -> Vec<String> {
    let listed = work.json(&["ls", "store"]);
    listed["grids"]
        .as_array()
        .expect("grids")
        .iter()
        .map(|grid| grid["grid"].as_str().expect("a name").to_owned())
        .collect()
}

/// The bytes of all files of the store that hold data.
fn size(work: &Work) -> u64 {
    let files = std::fs::read_dir(work.path("store"))
        .expect("a directory")
        .map(|file| file.expect("a file"));
    let holds_data = |name: &str| {
        [".sst", ".blob", ".log"]
            .iter()
            .any(|suffix| name.ends_with(suffix))
    };
    let files = files.filter(|file| holds_data(&file.file_name().to_string_lossy()));
    files
        .map(|file| file.metadata().expect("metadata").len())
        .sum()
}

#[test]
fn grids_are_renamed_swapped_and_dropped() {
    let work = Work::with_srtm();
    work.ok(&[
        "create",
        "store",
        "next",
        "--like",
        &data("srtm.tif"),
        "--aggregator",
        "mean",
    ]);
    assert_eq!(
        work.ok(&["swap", "store", "dem", "next"]),
        "grids `dem` and `next` have each other's name now\n"
    );
    assert_eq!(
        work.json(&["info", "store", "dem"])["grids"][0]["chunks"],
        0
    );
    assert_eq!(
        work.json(&["info", "store", "next"])["grids"][0]["chunks"],
        56
    );
    work.ok(&["rename", "store", "next", "old"]);
    assert_eq!(names(&work), ["dem", "old"]);
    assert!(
        work.fails(&["rename", "store", "next", "x"])
            .contains("there is no grid `next`")
    );
    assert!(
        work.fails(&["swap", "store", "dem", "next"])
            .contains("there is no grid `next`")
    );

    let refused = work.fails(&["drop", "store", "old"]);
    assert!(refused.contains("--yes"), "{refused}");
    assert_eq!(names(&work), ["dem", "old"], "nobody agreed");
    let before = size(&work);
    let dropped = work.ok(&["drop", "store", "old", "--yes"]);
    assert!(
        dropped.starts_with("dropped grid `old`: 56 chunks in 2.4 MB, "),
        "{dropped}"
    );
    assert!(
        before > 1_700_000 && size(&work) < 20_000,
        "{} of {before} bytes are left",
        size(&work)
    );
    assert_eq!(names(&work), ["dem"]);
    assert!(
        work.fails(&["drop", "store", "old", "--yes"])
            .contains("there is no grid `old`")
    );
    work.ok(&["verify", "store"]);
}

#[test]
fn changes_are_shown_since_a_token() {
    let work = Work::with_srtm();
    let token = work.ok(&["changes", "store", "dem"]);
    let token = token.strip_prefix("token ").expect("a token").trim();
    assert_eq!(
        work.json(&["info", "store", "dem"])["grids"][0]["token"],
        token
    );
    let version =
        |work: &Work| work.json(&["explain", "store", "dem", "--level", "2"])["version"].clone();
    let before = version(&work);
    work.ok(&["import", "store", "dem", &data("srtm_patch.tif")]);
    assert_ne!(version(&work), before);
    let shown = work.ok(&["changes", "store", "dem", "--since", token, "--json"]);
    let lines: Vec<Value> = shown
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let [put, aggregation, last] = &lines[..] else {
        panic!("a put, an aggregation and a token: {shown}")
    };
    assert_eq!(
        put["base"][0]["window"],
        serde_json::json!({ "y": [600, 690], "x": [300, 420] })
    );
    assert_eq!(
        (
            put["to"]["space"].as_i64(),
            put["aggregates"].as_array().map(Vec::len)
        ),
        (Some(0), Some(0))
    );
    assert_eq!(
        (
            aggregation["to"]["space"].as_i64(),
            aggregation["base"].as_array().map(Vec::len)
        ),
        (Some(40), Some(0)),
        "with the top all that is made of it"
    );
    let next = last["token"].as_str().expect("a token");
    assert_eq!(
        work.ok(&["changes", "store", "dem", "--since", next]),
        format!("token {next}\n")
    );
    let text = work.ok(&["changes", "store", "dem", "--since", token]);
    assert!(
        text.contains("\n  base       level 0, cells y 600:690, x 300:420\n"),
        "{text}"
    );
    assert_eq!(
        work.run(&["changes", "store", "dem", "--since", "yesterday"])
            .code,
        Some(2)
    );
    work.ok(&["create", "store", "other", "--like", &data("srtm.tif")]);
    assert!(
        work.fails(&["changes", "store", "other", "--since", token])
            .contains("read everything anew")
    );
}
