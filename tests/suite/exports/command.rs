//! `gridstone export`: what it writes, and what it leaves behind when it cannot.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use gridstone::adapter::geotiff::{self, Affine, GeoTiff, Profile};
use ndarray::Array2;
use tempfile::TempDir;

use crate::dice::Dice;

struct Work(TempDir);

impl Work {
    /// A store with a grid that does not compress, of so many rows and columns.
    fn noisy(side: usize) -> Self {
        let work = Self(TempDir::new().unwrap());
        let mut dice = Dice(7);
        let cells = Array2::from_shape_fn((side, side), |_| f64::from_bits(dice.next() >> 2));
        let mut profile = Profile::default();
        profile.crs = Some("EPSG:32632".to_owned());
        profile.affine = Some(Affine {
            x: 400_000.0,
            y: 5_000_000.0,
            dx: 10.0,
            dy: -10.0,
        });
        geotiff::write(work.path("noise.tif"), &cells, &profile).unwrap();
        work.ok(&[
            "create",
            "store",
            "noise",
            "--like",
            "noise.tif",
            "--aggregator",
            "max",
        ]);
        work.ok(&["import", "store", "noise", "noise.tif"]);
        work
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gridstone"));
        command
            .args(args)
            .current_dir(self.0.path())
            .stdin(Stdio::null());
        command
    }

    fn ok(&self, args: &[&str]) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(args).output().unwrap();
        assert!(
            status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&stderr)
        );
        String::from_utf8(stdout).unwrap()
    }

    /// The names of all files that begin so.
    fn files(&self, start: &str) -> Vec<String> {
        names(self.0.path(), start)
    }
}

fn names(folder: &Path, start: &str) -> Vec<String> {
    let names = std::fs::read_dir(folder)
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
    let work = Work::noisy(1500);
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
            if !work.files(&format!("{out}.")).is_empty() {
                child.kill().unwrap();
                killed = true;
                break;
            }
        }
        child.wait().unwrap();
        assert!(killed, "{out} was never under way");
        // It was killed before the end, but for a moment between the last write and the name.
        if !work.path(out).exists() {
            assert_eq!(work.files(&format!("{out}.")).len(), 1);
        }
        work.ok(&["export", "store", "noise", out, "--overwrite"]);
        assert_eq!(work.files(out), [out]);
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
    let work = Work::noisy(600);
    for out in ["out.tif", "out.nc"] {
        // Files may have 500 kB.
        let script = format!("trap '' XFSZ; ulimit -f 500; exec \"$0\" export store noise {out}");
        let run = Command::new("bash")
            .args(["-c", &script, env!("CARGO_BIN_EXE_gridstone")])
            .current_dir(work.0.path())
            .output()
            .unwrap();
        let told = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(1), "{told}");
        assert!(
            told.contains("cannot be written") && told.contains("File too large"),
            "{told}"
        );
        assert_eq!(work.files(out), [""; 0], "{told}");
    }
}

#[test]
fn what_cannot_be_exported_is_refused_in_one_sentence() {
    let work = Work::noisy(40);
    std::fs::write(work.path("there.tif"), "not to be lost").unwrap();
    for (args, part) in [
        (&["there.tif"][..], "--overwrite"),
        (&["out.tif", "--layer", "mean"], "no layer `mean`"),
        (&["out.tif", "--layer", "base,max"], "one layer"),
        (&["nowhere/out.tif"], "directory does not exist"),
        (&["out.tif", "--tile", "100"], "multiple of 16"),
        (&["out.nc", "--layer", "max,max"], "twice"),
    ] {
        let run = work
            .command(&[&["export", "store", "noise"], args].concat())
            .output()
            .unwrap();
        let told = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(1), "{args:?}: {told}");
        assert!(told.contains(part), "{args:?}: {told}");
    }
    assert_eq!(
        std::fs::read(work.path("there.tif")).unwrap(),
        b"not to be lost"
    );
    assert_eq!(work.files("out"), [""; 0]);
}
