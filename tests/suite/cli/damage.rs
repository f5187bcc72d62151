//! What the command does with damaged stores, with copies, and where it may not write.

use std::fs;
use std::path::Path;

use super::{Work, data};

fn files(work: &Work, store: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(work.path(store))
        .unwrap()
        .map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let mut files: Vec<_> = files
        .map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    files.sort_unstable();
    files
}

/// The files of large values, the largest last.
fn values(work: &Work) -> Vec<std::path::PathBuf> {
    let mut blobs: Vec<_> = files(work, "store")
        .into_iter()
        .filter(|(name, _)| name.ends_with(".blob"))
        .collect();
    blobs.sort_unstable_by_key(|(_, bytes)| bytes.len());
    blobs
        .into_iter()
        .map(|(name, _)| work.path("store").join(name))
        .collect()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at % bytes.len();
    bytes[at] ^= 8;
    fs::write(path, bytes).unwrap();
}

/// A flipped bit in one base chunk: all else goes on, the place is named, and it can be mended.
#[test]
fn a_flipped_bit_of_a_base_chunk_stops_nothing_else() {
    let work = Work::with_srtm();
    // Aggregates of two layers take more than the base.
    flip(&values(&work)[0], 400_000);
    let patch = data("srtm_patch.tif");
    for _ in 0..8 {
        work.ok(&["import", "store", "dem", &patch]);
    }
    work.ok(&[
        "read",
        "store",
        "dem",
        "--window",
        "1000:1020,1200:1230",
        "--out",
        "corner.tif",
    ]);
    work.ok(&["create", "store", "other", "--like", "corner.tif"]);
    let found = work.run(&["verify", "store", "--json"]);
    assert_eq!(found.code, Some(1), "{}", found.stderr);
    let report: serde_json::Value = serde_json::from_str(&found.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    assert!(
        !findings.is_empty() && report["chunks"].as_u64().unwrap() > 20,
        "{report}"
    );
    let base = findings
        .iter()
        .find(|finding| finding["layer"] == "base")
        .unwrap_or_else(|| panic!("{report}"));
    assert_eq!(
        (base["grid"].as_str(), base["damage"].as_str()),
        (Some("dem"), Some("chunk"))
    );
    assert!(
        base["place"].as_str().unwrap().contains("chunk ["),
        "{base}"
    );
    assert_eq!(work.run(&["verify", "store", "--quick"]).code, Some(1));
    work.fails(&["repair", "store"]);
    let repaired = work.json(&["repair", "store", "--yes"]);
    assert_eq!(
        (
            repaired["ok"].as_bool(),
            repaired["quarantined"].as_array().unwrap().len()
        ),
        (Some(true), 1),
        "{repaired}"
    );
    assert!(work.path("store/quarantine-1/report.txt").exists());
    work.ok(&["verify", "store"]);
    work.ok(&["import", "store", "dem", &data("srtm.tif")]);
    work.ok(&["import", "store", "dem", &patch]);
    work.ok(&["verify", "store"]);
    work.ok(&["drop", "store", "dem", "--yes"]);
}

/// A flipped bit in an aggregate: the next import below it makes it anew.
#[test]
fn a_flipped_bit_of_an_aggregate_stops_nothing() {
    for at in [3_000, 605_000, 200_000] {
        let work = Work::with_srtm();
        flip(values(&work).last().unwrap(), at);
        assert_eq!(work.run(&["verify", "store"]).code, Some(1));
        work.ok(&["import", "store", "dem", &data("srtm.tif"), "--again"]);
        work.ok(&["aggregate", "store"]);
        work.ok(&["verify", "store"]);
    }
}

#[test]
fn salvage_writes_what_can_be_read_into_a_new_store() {
    let work = Work::with_srtm();
    flip(&values(&work)[0], 400_000);
    let before = files(&work, "store");
    let report = work.json(&["salvage", "store", "rescued"]);
    assert_eq!(
        (
            report["ok"].as_bool(),
            report["quarantined"].as_array().unwrap().len()
        ),
        (Some(true), 1),
        "{report}"
    );
    assert!(
        files(&work, "store") == before,
        "the old store is only read"
    );
    work.ok(&["verify", "rescued"]);
    work.fails(&["salvage", "store", "rescued"]);
}

/// Tables hold keys, records and the directory: a flipped bit of one is mended, whoever opens the
/// store first.
#[test]
fn a_flipped_bit_of_a_table_is_nothing_to_anybody() {
    let work = Work::with_srtm();
    let whole = files(&work, "store");
    let tables: Vec<_> = whole
        .iter()
        .filter(|(name, _)| name.ends_with(".sst"))
        .collect();
    assert!(
        tables.len() >= 3,
        "of records, of the directory and of chunks"
    );
    for (name, table) in tables {
        for at in [20, table.len() / 2, table.len() - 100, table.len() - 12] {
            whole
                .iter()
                .for_each(|(name, bytes)| fs::write(work.path("store").join(name), bytes).unwrap());
            flip(&work.path("store").join(name), at);
            let damaged = files(&work, "store");
            work.ok(&["verify", "store"]);
            assert!(
                files(&work, "store") == damaged,
                "a verb that reads changes nothing"
            );
            work.ok(&["aggregate", "store"]);
            let now = fs::read(work.path("store").join(name));
            assert!(
                now.is_err() || now.is_ok_and(|now| now == *table),
                "byte {at} of {name}: merged or mended"
            );
            work.ok(&["verify", "store"]);
            for (name, _) in files(&work, "store") {
                fs::remove_file(work.path("store").join(name)).unwrap();
            }
        }
    }
}

/// More than a bit: the store is opened, what cannot be read is named, and salvaged it is sound.
#[test]
fn a_damaged_table_is_left_out_by_salvage() {
    let work = Work::with_srtm();
    let whole = files(&work, "store");
    let mut kept = 0;
    for (name, table) in whole.iter().filter(|(name, _)| name.ends_with(".sst")) {
        let mut damaged = table.clone();
        let at = table.len() / 4;
        damaged[at..at + 16].fill(0xa5);
        fs::write(work.path("store").join(name), damaged).unwrap();
        let report = work.run(&["salvage", "store", "rescued", "--json"]);
        let report: serde_json::Value =
            serde_json::from_str(&report.stdout).unwrap_or_else(|_| panic!("{report:?}"));
        assert_eq!(
            report["lost"][0]["file"].as_str(),
            Some(name.as_str()),
            "{report}"
        );
        if work.run(&["info", "rescued", "dem"]).code == Some(0) {
            work.ok(&["verify", "rescued"]);
            kept += 1;
        }
        fs::remove_dir_all(work.path("rescued")).unwrap();
        fs::write(work.path("store").join(name), table).unwrap();
    }
    assert!(kept >= 3, "all but the records can be done without");
}

#[test]
fn a_store_without_its_watermark_is_opened_with_a_word_only() {
    let work = Work::with_srtm();
    fs::write(work.path("store/WATERMARK"), [7; 568]).unwrap();
    let before = files(&work, "store");
    for verb in [&["info", "store"][..], &["aggregate", "store"]] {
        let told = work.fails(verb);
        assert!(
            told.contains("WATERMARK") && told.contains("damaged"),
            "{told}"
        );
    }
    work.ok(&["info", "store", "--accept-data-loss"]);
    assert!(
        files(&work, "store") == before,
        "a verb that reads changes nothing"
    );
    work.ok(&["aggregate", "store", "--accept-data-loss"]);
    work.ok(&["verify", "store"]);
}

#[test]
fn verbs_that_read_change_nothing_and_others_say_why_not() {
    let work = Work::with_srtm();
    let before = files(&work, "store");
    work.ok(&["info", "store", "dem"]);
    work.ok(&["ls", "store"]);
    work.ok(&[
        "--read-only",
        "read",
        "store",
        "dem",
        "--shape",
        "9x9",
        "--out",
        "a.npy",
    ]);
    work.ok(&["stats", "store", "dem"]);
    work.ok(&["verify", "store"]);
    work.ok(&["changes", "store", "dem"]);
    assert!(files(&work, "store") == before);
    let told = work.fails(&["drop", "store", "dem", "--yes", "--read-only"]);
    assert!(told.contains("reading only"), "{told}");
    assert!(files(&work, "store") == before);
}

#[test]
fn a_copy_is_made_read_and_restored() {
    let work = Work::with_srtm();
    work.ok(&["checkpoint", "store", "copy"]);
    work.ok(&["verify", "copy"]);
    work.ok(&["import", "store", "dem", &data("srtm_patch.tif")]);
    let cells = |store: &str| {
        work.ok(&["read", store, "dem", "--out", "cells.npy", "--overwrite"]);
        fs::read(work.path("cells.npy")).unwrap()
    };
    let (old, new) = (cells("copy"), cells("store"));
    assert!(old != new);
    work.ok(&["restore", "copy", "back"]);
    assert!(cells("back") == old);
    work.ok(&["import", "back", "dem", &data("srtm_patch.tif")]);
    assert!(cells("back") == new && cells("copy") == old);
    work.ok(&["verify", "back"]);
    work.ok(&["checkpoint", "store", "copy"]);
    assert!(cells("copy") == new);
    let told = work.fails(&["restore", "copy", "back"]);
    assert!(told.contains("not empty"), "{told}");
    work.fails(&["checkpoint", "store", "back"]);
}
