//! Imports that are run again: after a kill, after files and cells were changed, and when all is
//! there.

use std::process::Command;
use std::time::Instant;

use gridstone::adapter::geotiff::Affine;
use ndarray::Array2;
use serde_json::Value;

use super::{Work, import_of_list, kill_amid, values};

/// A tile of 16 x 16 cells, one chunk of the grid, at a place in tiles.
fn tile(work: &Work, name: &str, (row, column): (f64, f64), value: i16) -> String {
    work.tif(name, &Array2::from_elem((16, 16), value), |profile| {
        profile.affine = Some(Affine {
            x: 400_000.0 + 160.0 * column,
            y: 5_000_000.0 - 160.0 * row,
            dx: 10.0,
            dy: -10.0,
        });
    })
}

/// Four tiles of which each lies half over the one before.
fn row(work: &Work) -> Vec<String> {
    (0..4)
        .map(|number| {
            let at = 0.5 * f64::from(number);
            tile(work, &format!("t{number}.tif"), (0.0, at), number + 1)
        })
        .collect()
}

fn import<'a>(files: &'a [String], options: &[&'a str]) -> Vec<&'a str> {
    let files = files.iter().map(String::as_str);
    ["import", "store", "dem"]
        .into_iter()
        .chain(files)
        .chain(options.iter().copied())
        .collect()
}

/// Files that were put, and that are there.
fn told(done: &Value) -> (u64, u64) {
    let number = |key: &str| {
        done[key]
            .as_u64()
            .unwrap_or_else(|| panic!("{key}: {done}"))
    };
    (number("files"), number("there"))
}

/// The first row of cells.
fn first_row(work: &Work) -> Vec<f64> {
    let mut cells = values(&work.cells(&[]));
    cells.truncate(cells.len() / 16);
    cells
}

fn expected(tops: &[(usize, f64)]) -> Vec<f64> {
    tops.iter()
        .flat_map(|(count, value)| std::iter::repeat_n(*value, *count))
        .collect()
}

/// Killed at any moment and run again, a file that is there is not put again, the cells are those of
/// one run, and `info` says how to go on.
#[test]
fn an_import_that_is_killed_does_no_finished_file_twice() {
    let begin = || {
        let work = Work::new();
        let files: Vec<String> = (0..64)
            .map(|number: i16| {
                let place = (f64::from(number / 8), f64::from(number % 8));
                tile(&work, &format!("t{number}.tif"), place, number + 1)
            })
            .collect();
        work.create(&files[0]);
        std::fs::write(work.path("list.txt"), files.join("\n")).expect("written");
        work
    };
    let args = import_of_list("16");
    let whole = begin();
    let start = Instant::now();
    assert_eq!(told(&whole.json(&args)), (64, 0));
    let (took, wanted) = (start.elapsed(), values(&whole.cells(&[])));
    kill_amid(begin, (&args, took), |work, _| {
        let import = work.json(&["info", "store", "dem"])["grids"][0]["import"].clone();
        let finished = import["finished"].as_u64();
        let done = work.json(&args);
        let (put, there) = told(&done);
        assert_eq!(put + there, 64, "{done}");
        // A file is one chunk, and each commit of one job.
        assert_eq!(there, finished.unwrap_or(0), "{import} {done}");
        assert_eq!(done["cells"].as_u64(), Some(put * 256), "{done}");
        assert_eq!(values(&work.cells(&[])), wanted);
        assert_eq!(told(&work.json(&args)), (0, 64));
        work.ok(&["verify", "store"]);
        (1..64).contains(&there)
    });
}

#[test]
fn an_import_that_is_run_again_puts_what_is_not_what_it_was() {
    for jobs in ["1", "3"] {
        let work = Work::new();
        let mut files = row(&work);
        work.create(&files[0]);
        let options = ["--jobs", jobs];
        let again = |files: &[String]| told(&work.json(&import(files, &options)));
        assert_eq!(again(&files), (4, 0));
        let whole = expected(&[(8, 1.0), (8, 2.0), (8, 3.0), (16, 4.0)]);
        assert_eq!(first_row(&work), whole);
        let text = work.ok(&import(&files, &options));
        assert!(
            text.starts_with("imported 0 files (4 there already): 0 cells, 0 chunks written"),
            "{text}"
        );
        // One that is changed, and those that it meets.
        tile(&work, "t2.tif", (0.0, 1.0), 30);
        let ran = work.run(&import(&files, &[&options[..], &["--json"]].concat()));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(
            ran.stderr,
            "note: t2.tif: it is not what it was at the last import, and is imported again; where it had data and has none any more the old cells stay, unless they are removed before with `gridstone clear`, or it is imported with `--overlap replace`\n"
        );
        // Where it has no data any more, what it lies over is to be seen: that is put too.
        assert_eq!(
            told(&serde_json::from_str(&ran.stdout).expect("JSON")),
            (3, 1)
        );
        let changed = expected(&[(8, 1.0), (8, 2.0), (8, 30.0), (16, 4.0)]);
        assert_eq!(first_row(&work), changed);
        // In another order: those that have come to stand behind another.
        files.swap(0, 1);
        assert_eq!(again(&files), (1, 3));
        let turned = expected(&[(16, 1.0), (8, 30.0), (16, 4.0)]);
        assert_eq!(first_row(&work), turned);
        files.swap(0, 1);
        assert_eq!(again(&files), (1, 3));
        assert_eq!(first_row(&work), changed);
        // One more.
        files.insert(1, tile(&work, "more.tif", (0.0, -0.25), 9));
        assert_eq!(again(&files), (2, 3));
        assert_eq!(
            first_row(&work),
            expected(&[(8 + 4, 9.0), (8, 2.0), (8, 30.0), (16, 4.0)])
        );
        // What a file beside it says counts too: it has no data any more.
        let aux = work.path("t3.tif.aux.xml");
        let nodata = "<PAMDataset><PAMRasterBand band=\"1\"><NoDataValue>4</NoDataValue></PAMRasterBand></PAMDataset>";
        std::fs::write(&aux, nodata).expect("written");
        assert_eq!(again(&files), (2, 3));
        assert_eq!(
            first_row(&work),
            expected(&[(8 + 4, 9.0), (8, 2.0), (16, 30.0), (8, 4.0)])
        );
        std::fs::remove_file(&aux).expect("removed");
        assert_eq!(again(&files), (2, 3));
        // Whatever is there.
        assert_eq!(
            told(&work.json(&import(&files, &["--again", "--jobs", jobs]))),
            (5, 0)
        );
        // What finishes that does not begin anew.
        let info = work.json(&["info", "store", "dem"]);
        let command = &info["grids"][0]["import"]["command"];
        let command = command.as_str().expect("a command");
        assert!(!command.contains("--again"), "{command}");
        work.ok(&["verify", "store"]);
    }
}

/// Nothing is taken for there that others have changed, and other options are another import.
#[test]
fn what_others_have_changed_is_imported_again() {
    let work = Work::new();
    let files = row(&work);
    work.create(&files[0]);
    let again = |options: &[&str]| told(&work.json(&import(&files, options)));
    assert_eq!(again(&[]), (4, 0));
    let whole = first_row(&work);
    work.ok(&[
        "clear",
        "store",
        "dem",
        "--extent",
        "400000,4999900,400040,5000000",
        "--yes",
    ]);
    assert_ne!(first_row(&work), whole);
    let ran = work.run(&import(&files, &["--json"]));
    assert_eq!(
        ran.stderr,
        "note: cells of 1 file were changed by others since the last import, and are imported again\n"
    );
    let done: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(told(&done), (1, 3));
    assert!(
        done["cells"]
            .as_u64()
            .is_some_and(|cells| (1..256).contains(&cells)),
        "{done}"
    );
    assert_eq!(first_row(&work), whole);
    assert_eq!(again(&[]), (0, 4));
    assert_eq!(again(&["--overlap", "replace"]), (4, 0));
    assert_eq!(again(&["--overlap", "replace"]), (0, 4));
    // Another import into the grid takes the place of the first one.
    work.ok(&["import", "store", "dem", &files[1]]);
    assert_eq!(first_row(&work)[8..16], [2.0; 8]);
    assert_eq!(first_row(&work)[16..24], [2.0; 8]);
    assert_eq!(again(&[]), (4, 0));
    assert_eq!(first_row(&work), whole);
    // A copy of the store goes on as the store does.
    work.ok(&["checkpoint", "store", "copy"]);
    let mut args = import(&files, &["--json"]);
    args[1] = "copy";
    let done: Value = serde_json::from_str(&work.ok(&args)).expect("JSON");
    let (put, there) = told(&done);
    assert_eq!(put + there, 4, "{done}");
    work.ok(&["drop", "store", "dem", "--yes"]);
    work.create(&files[0]);
    assert_eq!(again(&[]), (4, 0));
}

/// Where no file can be read, what is known of the last import stays.
#[test]
fn an_import_of_no_file_forgets_nothing() {
    let work = Work::new();
    let files = row(&work);
    work.create(&files[0]);
    let again = || told(&work.json(&import(&files, &[])));
    assert_eq!(again(), (4, 0));
    let away = |file: &String| work.path(&format!("{file}.away"));
    for file in &files {
        std::fs::rename(work.path(file), away(file)).expect("moved");
    }
    for overlap in ["merge", "replace"] {
        let ran = work.run(&import(&files, &["--keep-going", "--overlap", overlap]));
        assert_eq!(ran.code, Some(1), "{ran:?}");
    }
    for file in &files {
        std::fs::rename(away(file), work.path(file)).expect("moved back");
    }
    assert_eq!(again(), (0, 4));
}

/// Files that fail are in the ledger, `info` names them, and the command that it tells imports them
/// and what lies over them.
#[test]
fn the_command_that_info_tells_finishes_an_import() {
    let work = Work::new();
    let files = row(&work);
    work.create(&files[0]);
    let sound = std::fs::read(work.path(&files[1])).expect("reads");
    std::fs::write(work.path(&files[1]), &sound[..100]).expect("cut");
    let args = import(&files, &["--keep-going"]);
    assert_eq!(work.run(&args).code, Some(1));
    let import = || work.json(&["info", "store", "dem"])["grids"][0]["import"].clone();
    let told = import();
    assert_eq!(
        (
            &told["complete"],
            &told["files"],
            &told["finished"],
            &told["failed"]
        ),
        (
            &Value::from(false),
            &Value::from(3),
            &Value::from(3),
            &Value::from(vec!["t1.tif"])
        ),
        "{told}"
    );
    let text = work.ok(&["info", "store", "dem"]);
    assert!(
        text.contains("import     3 of 3 files are in, 1 failed (t1.tif)\n"),
        "{text}"
    );
    // It fails again, and nothing else is put.
    let ran = work.run(&args);
    assert!(
        ran.code == Some(1) && ran.stdout.starts_with("imported 0 files (3 there already)"),
        "{ran:?}"
    );
    std::fs::write(work.path(&files[1]), sound).expect("mended");
    let command = told["command"].as_str().expect("a command");
    assert!(text.contains(&format!("finish it: {command}\n")), "{text}");
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_gridstone"));
    let path = std::env::join_paths(
        std::iter::once(bin.parent().expect("a directory").to_owned()).chain(
            std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()),
        ),
    );
    let ran = Command::new("sh")
        .args(["-c", command])
        .env("PATH", path.expect("a path"))
        .output()
        .expect("starts");
    let out = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success() && out.starts_with("imported 2 files (2 there already): 384 cells"),
        "{ran:?}"
    );
    assert_eq!(import()["complete"], Value::from(true));
    assert!(!work.ok(&["info", "store", "dem"]).contains("finish it"));
    assert_eq!(
        first_row(&work),
        expected(&[(8, 1.0), (8, 2.0), (8, 3.0), (16, 4.0)])
    );
}
