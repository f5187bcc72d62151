//! The `gridstone` command, run as a user runs it, on real elevation.

mod bad_input;
mod bands;
mod catalog;
mod copies;
mod damage;
mod events;
mod imports;
mod ledger;
mod mixed;
mod outlets;
mod rain;
mod rasters;
mod series_of_rasters;
mod sources;
mod srtm;
mod stats;
mod usage;
mod zones;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use gridstone::Array;
use gridstone::adapter::geotiff::{self, Affine, Profile};
use gridstone::adapter::npy;
use serde_json::Value;
use tempfile::TempDir;

/// What a run came to.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// A directory to run the command in.
pub(super) struct Work {
    dir: TempDir,
}

/// A file of the repository.
fn data(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
        .display()
        .to_string()
}

impl Work {
    pub(super) fn new() -> Self {
        Self {
            dir: TempDir::new().expect("a temporary directory"),
        }
    }

    /// A store with the demo's raster, aggregated.
    fn with_srtm() -> Self {
        let work = Self::new();
        work.ok(&[
            "create",
            "store",
            "dem",
            "--like",
            &data("srtm.tif"),
            "--aggregator",
            "mean,max",
        ]);
        work.ok(&["import", "store", "dem", &data("srtm.tif")]);
        work
    }

    /// A grid `dem` in chunks of 16, made after a file with further options, and the file in it.
    fn with_grid(&self, file: &str, options: &[&str]) {
        let create = ["create", "store", "dem", "--like", file, "--chunk", "16"];
        self.ok(&[&create[..], options].concat());
        self.ok(&["import", "store", "dem", file]);
    }

    /// An empty grid `dem` in chunks of 16, made after a file, of means and greatest values.
    fn create(&self, like: &str) {
        let create = ["create", "store", "dem", "--like", like, "--chunk", "16"];
        self.ok(&[&create[..], &["--aggregator", "mean,max"]].concat());
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gridstone"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        let output = self.command(args).output().expect("the command starts");
        let ran = Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        };
        assert!(!ran.stderr.contains("panicked"), "{args:?}: {}", ran.stderr);
        ran
    }

    /// Runs what must succeed, and gives its stdout.
    pub(super) fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.stderr);
        ran.stdout
    }

    /// Runs what must succeed and print JSON.
    pub(super) fn json(&self, args: &[&str]) -> Value {
        let out = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}: {out}"))
    }

    /// Runs what must fail with code 1 and one sentence, which is given.
    pub(super) fn fails(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(1), ""),
            "{args:?}: {}",
            ran.stderr
        );
        let line = ran
            .stderr
            .strip_prefix("error: ")
            .and_then(|line| line.strip_suffix('\n'));
        let line = line.unwrap_or_else(|| panic!("{args:?}: {}", ran.stderr));
        assert!(!line.contains('\n'), "{args:?}: {}", ran.stderr);
        line.to_owned()
    }

    /// The cells that `read` writes with some options.
    fn cells(&self, args: &[&str]) -> Array {
        self.ok(&[
            &["read", "store", "dem", "--out", "cells.npy", "--overwrite"],
            args,
        ]
        .concat());
        npy::read(self.path("cells.npy")).expect("a .npy")
    }

    /// Writes a GeoTIFF of (y, x) or (band, y, x).
    pub(super) fn tif<'a>(
        &self,
        name: &str,
        array: impl Into<gridstone::ArrayView<'a>>,
        place: impl FnOnce(&mut Profile),
    ) -> String {
        let mut profile = Profile::default();
        profile.crs = Some("EPSG:32632".to_owned());
        profile.affine = Some(Affine {
            x: 400_000.0,
            y: 5_000_000.0,
            dx: 10.0,
            dy: -10.0,
        });
        place(&mut profile);
        geotiff::write(self.path(name), array, &profile).expect("a GeoTIFF");
        name.to_owned()
    }
}

/// The import into `dem` of the files that `list.txt` names, by so many jobs.
fn import_of_list(jobs: &str) -> [&str; 7] {
    [
        "import",
        "store",
        "dem",
        "--files-from",
        "list.txt",
        "--jobs",
        jobs,
    ]
}

/// Kills a command in one new directory after another, each time at another moment of the time that
/// it takes, until it was half done: that is what the last function says, which is told whether the
/// command was killed before it ended.
fn kill_amid(
    begin: impl Fn() -> Work,
    (args, took): (&[&str], Duration),
    mut was_half_done: impl FnMut(&Work, bool) -> bool,
) {
    let halved = (0..200_u32).any(|attempt| {
        let work = begin();
        let mut child = work
            .command(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        std::thread::sleep(took * (attempt % 16 + 3) / 20);
        // It may have ended by then.
        let _ = child.kill();
        let was_killed = child.wait().expect("ends").code().is_none();
        was_half_done(&work, was_killed)
    });
    assert!(halved, "no kill found {args:?} half done");
}

/// Every cell as a double.
fn values(array: &Array) -> Vec<f64> {
    array.iter_f64().collect()
}
