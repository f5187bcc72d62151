//! The fuzz targets on stored inputs, on stable Rust.

use std::path::PathBuf;

type Target = fn(&[u8]);

const TARGETS: &[(&str, Target)] = &[
    ("key", gridstone::fuzzing::key),
    ("blob", gridstone::fuzzing::blob),
    ("record", gridstone::fuzzing::record),
    ("history", gridstone::fuzzing::history),
    ("log", gridstone::fuzzing::log),
    ("watermark", gridstone::fuzzing::watermark),
    #[cfg(feature = "geotiff")]
    ("geotiff", gridstone::fuzzing::geotiff),
    #[cfg(feature = "netcdf")]
    ("netcdf", gridstone::fuzzing::netcdf),
    #[cfg(feature = "zarr")]
    ("zarr", gridstone::fuzzing::zarr),
];

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/corpus")
        .join(target);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

#[test]
fn every_stored_input_passes_its_fuzz_target() {
    for (name, target) in TARGETS {
        let files = corpus(name);
        assert!(!files.is_empty(), "{name} has a corpus");
        for (path, bytes) in files {
            println!("{}", path.display());
            target(&bytes);
        }
    }
}

/// Cut, and with one byte changed: a corpus is where a fuzzer starts from.
#[test]
fn i2_every_stored_input_passes_when_cut_or_damaged() {
    for (name, target) in TARGETS {
        let step = if *name == "history" { 3 } else { 1 };
        for (path, bytes) in corpus(name) {
            println!("{}", path.display());
            for end in (0..bytes.len().min(300)).step_by(step) {
                target(&bytes[..end]);
                let mut damaged = bytes.clone();
                damaged[end] = damaged[end].wrapping_mul(31).wrapping_add(101);
                target(&damaged);
            }
        }
    }
}

#[test]
fn each_fuzz_target_has_a_binary_and_a_corpus() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
    let targets = std::fs::read_dir(root.join("fuzz/fuzz_targets")).unwrap();
    for path in targets.map(|entry| entry.unwrap().path()) {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{name} is in fuzz/Cargo.toml"
        );
        assert!(!corpus(&name).is_empty(), "{name} has a corpus");
    }
}
