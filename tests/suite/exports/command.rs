//! `gridstone export`: what it writes, and what it leaves behind when it cannot.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use gridstone::adapter::geotiff::GeoTiff;
use ndarray::Array2;

use crate::cli::Work;
use crate::dice::Dice;

/// A store with a grid that does not compress, of so many rows and columns.
fn noisy(side: usize) -> Work {
    let work = Work::new();
    let mut dice = Dice(7);
    let cells = Array2::from_shape_fn((side, side), |_| f64::from_bits(dice.next() >> 2));
    let file = work.tif("noise.tif", &cells, |_| {});
    let create = ["create", "store", "noise", "--like", file.as_str()];
    work.ok(&[&create[..], &["--aggregator", "max"]].concat());
    work.ok(&["import", "store", "noise", &file]);
    work
}

/// The names of all files that begin so.
fn files(work: &Work, start: &str) -> Vec<String> {
    let names = std::fs::read_dir(work.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with(start))
        .collect();
    names.sort();
    names
}

#[test]
fn a_kill_leaves_no_file_and_the_next_run_nothing_else() {
    let work = noisy(1500);
    for out in ["out.tif", "out.nc"] {
        let start = Instant::now();
        let mut child = work
            .command(&["export", "store", "noise", out])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut killed = false;
        while start.elapsed() < Duration::from_secs(60) {
            if child.try_wait().unwrap().is_some() {
                break;
            }
            if !files(&work, &format!("{out}.")).is_empty() {
                child.kill().unwrap();
                killed = true;
                break;
            }
        }
        child.wait().unwrap();
        assert!(killed, "{out} was never under way");
        // It was killed before the end, but for a moment between the last write and the name.
        if !work.path(out).exists() {
            assert_eq!(files(&work, &format!("{out}.")).len(), 1);
        }
        work.ok(&["export", "store", "noise", out, "--overwrite"]);
        assert_eq!(files(&work, out), [out]);
    }
    let mut tiff = GeoTiff::open(work.path("out.tif")).unwrap();
    assert_eq!(tiff.overviews(), 2);
    let mut window = tiff.window();
    window.rows = 0..10;
    assert!(tiff.read(&window).unwrap().iter_f64().any(f64::is_finite));
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let work = noisy(600);
    for out in ["out.tif", "out.nc"] {
        // Files may have 500 kB.
        let script = format!("trap '' XFSZ; ulimit -f 500; exec \"$0\" export store noise {out}");
        let run = Command::new("bash")
            .args(["-c", &script, env!("CARGO_BIN_EXE_gridstone")])
            .current_dir(work.path(""))
            .output()
            .unwrap();
        let told = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(1), "{told}");
        assert!(
            told.contains("cannot be written") && told.contains("File too large"),
            "{told}"
        );
        assert_eq!(files(&work, out), [""; 0], "{told}");
    }
}

#[test]
fn what_cannot_be_exported_is_refused_in_one_sentence() {
    let work = noisy(40);
    std::fs::write(work.path("there.tif"), "not to be lost").unwrap();
    for (args, part) in [
        (&["there.tif"][..], "--overwrite"),
        (&["out.tif", "--layer", "mean"], "no layer `mean`"),
        (&["out.tif", "--layer", "base,max"], "one layer"),
        (&["nowhere/out.tif"], "directory does not exist"),
        (&["out.tif", "--tile", "100"], "multiple of 16"),
        (&["out.nc", "--layer", "max,max"], "twice"),
        (&["out.nc", "--plain"], "--plain is of a .tif"),
        (&["out.nc", "--tile", "256"], "--tile is of a .tif"),
        (
            &["out.zarr", "--compress", "zstd"],
            "--compress is of a .tif",
        ),
        (
            &["out.zarr", "--overviews", "2"],
            "--overviews is of a .tif",
        ),
        (&["out.tif", "--zarr-format", "2"], "write a .zarr"),
    ] {
        let told = work.fails(&[&["export", "store", "noise"], args].concat());
        assert!(told.contains(part), "{args:?}: {told}");
    }
    assert_eq!(
        std::fs::read(work.path("there.tif")).unwrap(),
        b"not to be lost"
    );
    assert_eq!(files(&work, "out"), [""; 0]);
}

#[test]
fn cells_as_they_are_are_one_file_whichever_verb_writes_it() {
    let work = noisy(600);
    for (layer, options) in [
        ("base", &[][..]),
        ("max", &["--level", "1"]),
        ("base", &["--window", "3:20,5:33"]),
    ] {
        let options = [&["--layer", layer], options].concat();
        let read = [&["read", "store", "noise", "--fresh"], &options[..]].concat();
        let to_file = [&read[..], &["--out", "read.tif", "--overwrite"]].concat();
        let export = [
            "export",
            "store",
            "noise",
            "export.tif",
            "--plain",
            "--overwrite",
        ];
        work.ok(&to_file);
        work.ok(&[&export, &options[..]].concat());
        let [one, other] = ["read.tif", "export.tif"].map(|name| std::fs::read(work.path(name)));
        assert_eq!(one.unwrap(), other.unwrap(), "{options:?}");
        // What is said of the cells is what is said of them without a file.
        let (told, mut whole) = (work.json(&to_file), work.json(&read));
        whole["out"] = "read.tif".into();
        whole["chunks_read"] = told["chunks_read"].clone();
        let [mean, wanted] = [&told, &whole].map(|of| of["mean"].as_f64().unwrap());
        assert!(
            (mean - wanted).abs() <= 1e-9 * wanted.abs(),
            "{mean} {wanted}"
        );
        whole["mean"] = told["mean"].clone();
        assert_eq!(told, whole, "{options:?}");
    }
}
