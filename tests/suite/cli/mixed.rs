//! Base data of several levels from the command line: fine over coarse, clearing, deleting,
//! cleaning.

use serde_json::{Value, json};

use super::{Work, data, values};

/// A coarse grid of 64 x 64 cells of value 4 in chunks of 16 x 16, and a patch of value 8 of cells
/// half as large.
fn mixed() -> Work {
    let work = Work::new();
    let coarse = ndarray::Array2::<f32>::from_elem((64, 64), 4.0);
    let fine = ndarray::Array2::<f32>::from_elem((32, 32), 8.0);
    work.tif("coarse.tif", &coarse, |_| {});
    work.tif("fine.tif", &fine, |profile| {
        profile.affine = Some(gridstone::adapter::geotiff::Affine {
            x: 400_160.0,
            y: 4_999_840.0,
            dx: 5.0,
            dy: -5.0,
        });
    });
    work.ok(&[
        "create",
        "store",
        "dem",
        "--like",
        "coarse.tif",
        "--chunk",
        "16",
        "--aggregator",
        "mean",
    ]);
    work.ok(&["import", "store", "dem", "coarse.tif"]);
    work.ok(&["import", "store", "dem", "fine.tif"]);
    work
}

fn sound(work: &Work) {
    assert_eq!(work.json(&["verify", "store"])["ok"], json!(true));
}

fn info(work: &Work) -> Value {
    work.json(&["info", "store", "dem"])["grids"][0].clone()
}

/// The cells of a square of values `inner` from `first` to `end`, and `outer` around.
fn square(size: usize, (first, end): (usize, usize), inner: f64, outer: f64) -> Vec<f64> {
    let within = |at: usize| (first..end).contains(&at);
    (0..size * size)
        .map(|at| {
            if within(at / size) && within(at % size) {
                inner
            } else {
                outer
            }
        })
        .collect()
}

#[test]
fn a_finer_file_lies_over_a_coarser_one_at_every_level() {
    let work = mixed();
    sound(&work);
    assert_eq!(values(&work.cells(&[])), square(128, (32, 64), 8.0, 4.0));
    for (level, size) in [("0", 64), ("1", 32), ("2", 16)] {
        assert_eq!(
            values(&work.cells(&["--level", level])),
            square(size, (size / 4, size / 2), 8.0, 4.0),
            "level {level}"
        );
    }
    let levels = values(&work.cells(&["--show", "level"]));
    assert_eq!(levels, square(128, (32, 64), -1.0, 0.0));
    assert_eq!(
        values(&work.cells(&["--show", "level", "--shape", "32x32"])),
        vec![1.0; 32 * 32]
    );
    assert_eq!(
        values(&work.cells(&["--show", "level", "--shape", "256x256"])),
        square(256, (64, 128), -1.0, 0.0)
    );
    for out in ["levels.png", "levels.tif"] {
        let shown = work.json(&["read", "store", "dem", "--show", "level", "--out", out]);
        assert_eq!((&shown["min"], &shown["max"]), (&json!(-1.0), &json!(0.0)));
        assert!(work.path(out).exists());
    }
    // 16 chunks of 160 x 160 m, of which one became four.
    let base = info(&work)["base"].clone();
    let row = |level: i8, cell: f64, chunks: u64, cells: u64, area: f64| json!({ "levels": { "space": level }, "cell": { "y": cell, "x": cell }, "chunks": chunks, "cells": cells, "area": area });
    assert_eq!(
        base,
        json!([
            row(-1, 5.0, 4, 1024, 25_600.0),
            row(0, 10.0, 15, 3840, 384_000.0)
        ])
    );
    let text = work.ok(&["info", "store", "dem"]);
    assert!(
        text.contains("\nbase              level   chunks        cells         area  cell\n"),
        "{text}"
    );
}

#[test]
fn a_coarser_file_over_finer_data_is_refused_until_that_is_cleared() {
    let work = mixed();
    let before = (values(&work.cells(&[])), info(&work)["chunks"].clone());
    let why = work.fails(&["import", "store", "dem", "coarse.tif"]);
    assert!(
        why.contains("trying to put data at an aggregated level for dimension `space`"),
        "{why}"
    );
    assert!(
        why.contains("there is finer data below level [0] chunk"),
        "{why}"
    );
    assert_eq!(
        (values(&work.cells(&[])), info(&work)["chunks"].clone()),
        before
    );
    sound(&work);
    // What the error says to do, is done.
    let remedy = why
        .split('`')
        .find_map(|part| part.strip_prefix("gridstone clear STORE "))
        .expect("a command");
    assert_eq!(remedy, "dem --extent 400160,4999680,400320,4999840");
    let words: Vec<&str> = ["clear", "store"]
        .into_iter()
        .chain(remedy.split(' '))
        .chain(["--yes"])
        .collect();
    let gone = work.json(&words);
    assert_eq!(
        (&gone["window"], gone["gone"].as_u64()),
        (&json!({ "y": [32, 64], "x": [32, 64] }), Some(5)),
        "{gone}"
    );
    sound(&work);
    assert!(
        values(&work.cells(&["--window", "32:64,32:64"]))
            .iter()
            .all(|value| value.is_nan())
    );
    work.ok(&["import", "store", "dem", "coarse.tif"]);
    sound(&work);
    assert_eq!(values(&work.cells(&["--level", "0"])), vec![4.0; 64 * 64]);
    // No chunk is left at the finest level, but only `clean` looks for that.
    assert_eq!(
        work.json(&["read", "store", "dem"])["shape"],
        json!([128, 128])
    );
    assert_eq!(
        work.json(&["clean", "store", "dem"])["changed"],
        json!(true)
    );
    assert_eq!(
        work.json(&["read", "store", "dem"])["shape"],
        json!([64, 64])
    );
    assert!(
        work.ok(&["clean", "store", "dem"])
            .starts_with("cleaned grid `dem`: nothing to bring down: 16 base chunks, ")
    );
    sound(&work);
}

#[test]
fn a_polygon_is_cleared_at_the_level_of_each_place() {
    let work = mixed();
    let ring = json!([
        [400_000, 4_999_360],
        [400_640, 4_999_360],
        [400_640, 4_999_800],
        [400_000, 4_999_800],
        [400_000, 4_999_360]
    ]);
    let polygon = json!({ "type": "Polygon", "coordinates": [ring] });
    std::fs::write(work.path("part.geojson"), polygon.to_string()).expect("written");
    let text = work.ok(&[
        "clear",
        "store",
        "dem",
        "--polygon",
        "part.geojson",
        "--yes",
    ]);
    assert!(
        text.starts_with("cleared the polygons of part.geojson of grid `dem`: "),
        "{text}"
    );
    sound(&work);
    let left: Vec<f64> = values(&work.cells(&[]))
        .into_iter()
        .filter(|value| !value.is_nan())
        .collect();
    // 40 of 128 rows, of which 8 are in the patch.
    assert_eq!(
        (
            left.len(),
            left.iter().filter(|value| **value == 8.0).count()
        ),
        (40 * 128, 8 * 32)
    );
    assert_eq!(
        info(&work)["window"],
        json!({ "y": [0, 128], "x": [0, 128] })
    );
    assert_eq!(
        work.json(&["clean", "store", "dem"])["changed"],
        json!(true)
    );
    assert_eq!(info(&work)["window"]["x"], json!([0, 128]));
    sound(&work);
}

#[test]
fn what_is_deleted_on_one_side_does_not_count_as_put() {
    let work = mixed();
    let text = work.ok(&[
        "delete",
        "store",
        "dem",
        "--window",
        "0:40,-10:500",
        "--yes",
    ]);
    assert!(
        text.starts_with("deleted y 0:40, x 0:128 at level -1 of grid `dem`: "),
        "{text}"
    );
    assert_eq!(
        info(&work)["window"],
        json!({ "y": [40, 128], "x": [0, 128] })
    );
    sound(&work);
    let again = work.ok(&[
        "delete",
        "store",
        "dem",
        "--window",
        "0:40,-10:500",
        "--yes",
    ]);
    assert_eq!(again, "deleted nothing: grid `dem` holds nothing there\n");
    // A hole is none of the sides.
    work.ok(&[
        "delete",
        "store",
        "dem",
        "--extent",
        "400100,4999500,400200,4999600",
        "--yes",
    ]);
    assert_eq!(
        info(&work)["window"],
        json!({ "y": [40, 128], "x": [0, 128] })
    );
    sound(&work);
    work.ok(&[
        "delete",
        "store",
        "dem",
        "--window",
        "0:1000,0:1000",
        "--yes",
    ]);
    assert_eq!(
        (
            &info(&work)["window"],
            &info(&work)["chunks"],
            &info(&work)["base"]
        ),
        (&json!(null), &json!(0), &json!([]))
    );
    sound(&work);
}

#[test]
fn old_hours_are_deleted() {
    let work = Work::new();
    let hour = |number: usize| data(&format!("radar/20180913{number}.nc"));
    let options = [
        "--index-axes",
        "--time-step",
        "1h",
        "--chunk",
        "2,32",
        "--aggregator",
        "sum",
    ];
    work.ok(&[
        &["create", "store", "dem", "--like", &hour(19)][..],
        &options,
    ]
    .concat());
    work.ok(&[
        "import",
        "store",
        "dem",
        &hour(19),
        &hour(20),
        &hour(21),
        &hour(22),
        &hour(23),
    ]);
    let step = |from: usize| {
        info(&work)["period"][from]
            .as_str()
            .expect("a time")
            .to_owned()
    };
    assert_eq!(
        (step(0), step(1)),
        (
            "2018-09-13T19:00:00Z".to_owned(),
            "2018-09-14T00:00:00Z".to_owned()
        )
    );
    let left = values(&work.cells(&["--period", "2018-09-13T22:00Z/2018-09-14T00:00Z"]));
    let period = ["--period", "2018-09-01T00:00Z/2018-09-13T22:00Z"];
    let gone = work.json(&[&["delete", "store", "dem", "--yes"][..], &period].concat());
    assert_eq!(gone["window"]["time"], json!([0, 3]));
    assert_eq!(step(0), "2018-09-13T22:00:00Z");
    let bits = |values: &[f64]| {
        values
            .iter()
            .map(|value| value.to_bits())
            .collect::<Vec<_>>()
    };
    assert_eq!(bits(&values(&work.cells(&[]))), bits(&left));
    sound(&work);
    work.ok(&[
        "clear",
        "store",
        "dem",
        "--period",
        "2018-09-13T23:00Z/2018-09-14T00:00Z",
        "--window",
        "0:8,0:8",
        "--yes",
    ]);
    assert_eq!(step(1), "2018-09-14T00:00:00Z");
    sound(&work);
}

#[test]
fn what_cannot_be_removed_is_told_and_nothing_changes() {
    let work = mixed();
    let before = values(&work.cells(&[]));
    for verb in ["clear", "delete"] {
        for options in [
            &[][..],
            &["--window", "5:5,0:9"],
            &["--extent", "3,2,1,4"],
            &["--period", "today"],
        ] {
            assert_eq!(
                work.run(&[&[verb, "store", "dem", "--yes"], options].concat())
                    .code,
                Some(2),
                "{verb} {options:?}"
            );
        }
        let past = if verb == "clear" {
            "cleared"
        } else {
            "deleted"
        };
        let why = work.fails(&[verb, "store", "dem", "--window", "0:9,0:9"]);
        assert_eq!(
            why,
            format!("nothing was {past}: say --yes where there is no terminal to ask on")
        );
        assert!(
            work.fails(&[verb, "store", "absent", "--window", "0:9,0:9", "--yes"])
                .contains("`absent`")
        );
        assert!(
            work.fails(&[
                verb,
                "store",
                "dem",
                "--period",
                "2018-01-01/2018-01-02",
                "--yes"
            ])
            .contains("no time axis")
        );
    }
    assert!(
        work.fails(&["clean", "store", "absent"])
            .contains("`absent`")
    );
    assert!(
        work.fails(&[
            "clear",
            "store",
            "dem",
            "--polygon",
            "absent.geojson",
            "--yes"
        ])
        .contains("absent.geojson")
    );
    assert!(
        work.fails(&["clear", "store", "dem", "--band", "7", "--yes"])
            .contains("no bands")
    );
    assert_eq!(
        work.run(&["read", "store", "dem", "--show", "age"]).code,
        Some(2)
    );
    assert_eq!(values(&work.cells(&[])), before);
    sound(&work);
}
