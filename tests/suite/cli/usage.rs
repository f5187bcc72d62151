//! The command itself: help, codes, completions, pipes.

use std::io::Read;
use std::process::Stdio;

use super::{Work, data};

const VERBS: [&str; 26] = [
    "create",
    "import",
    "put",
    "aggregate",
    "info",
    "ls",
    "read",
    "series",
    "explain",
    "stats",
    "changes",
    "clear",
    "delete",
    "clean",
    "drop",
    "rename",
    "swap",
    "copy",
    "alter",
    "verify",
    "repair",
    "salvage",
    "checkpoint",
    "restore",
    "bench",
    "completions",
];

#[test]
fn every_verb_has_help_with_an_example() {
    let work = Work::new();
    let all = work.ok(&["--help"]);
    for verb in VERBS {
        assert!(all.contains(&format!("\n  {verb} ")), "{verb}: {all}");
        let help = work.ok(&[verb, "--help"]);
        let example = ["Example:", "Examples:"].map(|head| format!("{head}\n  gridstone {verb} "));
        assert!(
            example.iter().any(|example| help.contains(example)),
            "{verb}: {help}"
        );
    }
    assert!(
        work.ok(&["--version"])
            .starts_with(concat!("gridstone ", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn wrong_usage_has_code_2() {
    let work = Work::new();
    let read = |options: &[&str]| work.run(&[&["read", "store", "dem"], options].concat());
    for options in [
        &["--extent", "1,2,3"][..],
        &["--extent", "3,2,1,4"],
        &["--extent", "1,nan,3,4"],
        &["--window", "0:5"],
        &["--window", "5:0,0:5"],
        &["--level", "99"],
        &["--level", "1", "--shape", "5x5"],
        &["--extent", "1,2,3,4", "--window", "0:5,0:5"],
        &["--shape", "0x5"],
        &["--resolution", "-1"],
        &["--layer", "median"],
        &["--resampling", "lanczos"],
        &["--out", "x.jpg"],
        &["--out", "x.png", "--colormap", "jet"],
        &["--period", "2018-09-14/2018-09-13"],
        &["--period", "today"],
        &["--frsh"],
    ] {
        let ran = read(options);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(2), ""),
            "{options:?}: {}",
            ran.stderr
        );
        assert!(
            ran.stderr.starts_with("error: "),
            "{options:?}: {}",
            ran.stderr
        );
    }
    for args in [
        &[][..],
        &["frobnicate"],
        &["create", "store", "dem"],
        &["import", "store", "dem"],
    ] {
        assert_eq!(work.run(args).code, Some(2), "{args:?}");
    }
    let like = data("srtm.tif");
    for options in [
        ["--chunk", "100"],
        ["--aggregator", "median"],
        ["--nodata", "x"],
        ["--structure", "x.toml"],
    ] {
        let ran = work.run(&[&["create", "store", "dem", "--like", &like], &options[..]].concat());
        assert_eq!(ran.code, Some(2), "{options:?}: {}", ran.stderr);
    }
    assert!(!work.path("store").exists());
}

#[test]
fn a_grid_that_cannot_be_made_leaves_no_store() {
    let work = Work::new();
    work.fails(&[
        "create",
        "store",
        "dem",
        "--like",
        &data("srtm.tif"),
        "--nodata",
        "0.5",
    ]);
    work.fails(&["create", "store", "a/b", "--like", &data("srtm.tif")]);
    work.fails(&["create", "store", "dem", "--like", "absent.tif"]);
    work.fails(&["create", "store", "dem", "--structure", "absent.toml"]);
    assert!(!work.path("store").exists());
}

#[test]
fn completions_name_the_verbs() {
    let work = Work::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = work.ok(&["completions", shell]);
        assert!(VERBS.iter().all(|verb| script.contains(verb)), "{shell}");
    }
}

#[test]
fn a_closed_pipe_is_quiet() {
    let work = Work::with_srtm();
    let mut child = work
        .command(&["info", "store", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    drop(child.stdout.take());
    let mut told = String::new();
    child
        .stderr
        .take()
        .expect("a pipe")
        .read_to_string(&mut told)
        .expect("text");
    assert_eq!(
        (child.wait().expect("ends").code(), told.as_str()),
        (Some(0), "")
    );
}

#[test]
fn stderr_has_no_colours_and_no_bars_where_it_is_no_terminal() {
    let work = Work::with_srtm();
    let ran = work.run(&["import", "store", "dem", &data("srtm_patch.tif")]);
    assert_eq!(ran.stderr, "");
    assert!(
        ran.stdout.starts_with(
            "imported 1 file: 10800 cells, 9 chunks written (1 base, 8 aggregate), 1 mark drained, "
        ),
        "{}",
        ran.stdout
    );
    let wrong = work.run(&["--nonsense"]);
    assert!(!wrong.stderr.contains('\u{1b}'), "{}", wrong.stderr);
}
