//! Files from elsewhere, damaged and made up: the command says what is wrong with them, or takes
//! them, within limits of memory and time.

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::dice::Dice;
use crate::image::directory;
use crate::seeds;

const MEMORY_BYTES: u64 = 3 << 30;
const SECONDS: u64 = 30;

const TOML: &str = r#"
dtype = "float32"
nodata = -9999.0
aggregators = ["mean", "max"]
crs = "EPSG:32632"

[[dimension]]
name = "band"
labels = ["red", "green"]

[[dimension]]
name = "space"
axis = [
    { name = "y", origin = 100.0, step = -30.0, chunk = 64 },
    { name = "x", origin = 50.0, step = 30.0, chunk = 64 },
]
"#;

const GEOJSON: &str = r#"{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"name": "lake"},
"geometry": {"type": "Polygon", "coordinates": [[[1.5, 1.5], [40, 1.5], [40.25, 30], [7, 29], [1.5, 1.5]],
[[10, 10], [12, 10], [12, 12], [10, 10]]]}}, {"type": "Feature", "properties": null, "geometry": {"type": "MultiPolygon",
"coordinates": [[[[50, 5], [60, 5], [60, 15], [50, 5]]]]}}]}"#;

/// Runs the command within limits.
fn run(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gridstone"));
    command
        .current_dir(directory)
        .args(arguments)
        .stdin(Stdio::null())
        .env("GRIDSTONE_THREADS", "2");
    let limit = |what, most: u64| {
        let limit = libc::rlimit {
            rlim_cur: most,
            rlim_max: most,
        };
        // SAFETY: the struct lives until the call returns.
        if unsafe { libc::setrlimit(what, &raw const limit) } == 0 {
            Ok(())
        } else {
            Err(std::io::Error::last_os_error())
        }
    };
    let limits = move || {
        limit(libc::RLIMIT_AS, MEMORY_BYTES).and_then(|()| limit(libc::RLIMIT_CPU, SECONDS))
    };
    // SAFETY: between the fork and the new program only limits are set, by calls that may be made
    // there.
    unsafe { command.pre_exec(limits) };
    command.output().unwrap()
}

/// It ended by itself, and without a panic.
fn ended(what: &str, output: &Output) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.signal().is_none(),
        "{what}: {}: {text}",
        output.status
    );
    assert!(!text.contains("panicked"), "{what}: {text}");
    assert!(
        output.status.success() || text.contains("error: "),
        "{what}: {}: {text}",
        output.status
    );
}

/// Damages bytes in some way.
fn damage(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..1 + dice.below(4) {
        if bytes.is_empty() {
            return;
        }
        // Structure stands at the beginning.
        let most = if dice.chance(60) {
            bytes.len().min(600)
        } else {
            bytes.len()
        };
        let at = dice.below(most);
        match dice.below(6) {
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes[at] = dice.pick(&[0, 1, 0x7f, 0x80, 0xff, b'9', b'[', b'-']),
            2 => bytes.truncate(at),
            3 => {
                let end = (at + dice.pick(&[2, 4, 8])).min(bytes.len());
                let with = dice.pick(&[0x00, 0xff, 0x7f]);
                bytes[at..end].fill(with);
            }
            4 => {
                let part = bytes[at..(at + 40).min(bytes.len())].to_vec();
                let to = dice.below(bytes.len());
                bytes.splice(to..to, part);
            }
            _ => {
                let end = (at + 1 + dice.below(30)).min(bytes.len());
                bytes.drain(at..end);
            }
        }
    }
}

fn files(directory: &str, ending: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(directory);
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    files.sort();
    files
}

/// Text that is nested as deep as this would fill a stack.
fn deep(open: &str, depth: usize) -> Vec<u8> {
    open.repeat(depth).into_bytes()
}

#[test]
fn no_file_makes_the_command_panic_or_take_more_than_its_limits() {
    let (tiffs, ncs) = (
        files("geotiff", ".tif"),
        [files("cf", ".nc"), files("netcdf", ".nc")].concat(),
    );
    assert!(!tiffs.is_empty() && !ncs.is_empty());
    let known = directory();
    fs::write(
        known.path().join("grid.toml"),
        TOML.replace(
            "[[dimension]]\nname = \"band\"\nlabels = [\"red\", \"green\"]\n",
            "",
        ),
    )
    .unwrap();
    fs::write(known.path().join("lake.geojson"), GEOJSON).unwrap();
    let made = run(
        known.path(),
        &["create", "store", "g", "--structure", "grid.toml"],
    );
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let counted = run(
        known.path(),
        &["stats", "store", "g", "--polygon", "lake.geojson"],
    );
    assert!(
        !String::from_utf8_lossy(&counted.stderr).contains("JSON"),
        "{}",
        String::from_utf8_lossy(&counted.stderr)
    );
    seeds::each("hostile", |seed| {
        let (mut dice, place) = (Dice::of(seed, 7), directory());
        let write = |name: &str, bytes: &[u8]| fs::write(place.path().join(name), bytes).unwrap();
        let raster = |from: &[PathBuf], name: &str, dice: &mut Dice| {
            let path = dice.pick(from);
            let mut bytes = fs::read(&path).unwrap();
            damage(&mut bytes, dice);
            write(name, &bytes);
            let what = path.file_name().unwrap().to_string_lossy().into_owned();
            let created = run(place.path(), &["create", "store", "g", "--like", name]);
            ended(&what, &created);
            if created.status.success() {
                ended(&what, &run(place.path(), &["import", "store", "g", name]));
                ended(&what, &run(place.path(), &["verify", "store"]));
            }
        };
        match seed % 4 {
            0 => raster(&tiffs, "a.tif", &mut dice),
            1 => raster(&ncs, "a.nc", &mut dice),
            2 => {
                let mut bytes = if dice.chance(5) {
                    deep("{\"type\":[", 100_000)
                } else {
                    GEOJSON.as_bytes().to_vec()
                };
                damage(&mut bytes, &mut dice);
                fs::write(known.path().join("a.geojson"), &bytes).unwrap();
                ended(
                    "GeoJSON",
                    &run(
                        known.path(),
                        &["stats", "store", "g", "--polygon", "a.geojson"],
                    ),
                );
            }
            _ => {
                let mut bytes = if dice.chance(5) {
                    deep("a=[", 100_000)
                } else {
                    TOML.as_bytes().to_vec()
                };
                damage(&mut bytes, &mut dice);
                write("a.toml", &bytes);
                ended(
                    "TOML",
                    &run(
                        place.path(),
                        &["create", "store", "g", "--structure", "a.toml"],
                    ),
                );
            }
        }
        1
    });
}
