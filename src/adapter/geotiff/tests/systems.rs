//! Reference systems of files that GDAL wrote, against what GDAL says they are
//! (`tests/data/geotiff/make_systems.py`).

use std::io::Cursor;

use super::*;
use crate::crs;

/// Name, the system of the file, and the same in WKT of every dialect.
fn systems() -> Vec<(String, String, Vec<String>)> {
    let directory = data().join("systems");
    let list = std::fs::read_to_string(directory.join("systems.txt")).expect("the list is there");
    let of_file = |line: &str| {
        let mut fields = line.split('\t').map(str::to_owned);
        let name = fields.next().expect("a name");
        let tiff = GeoTiff::open(directory.join(format!("{name}.tif")))
            .unwrap_or_else(|error| panic!("{name}: {}", story(&error)));
        let system = tiff
            .header()
            .crs
            .clone()
            .unwrap_or_else(|| panic!("{name} has a system"));
        (name, system, fields.filter(|text| text != "-").collect())
    };
    list.lines().map(of_file).collect()
}

#[test]
fn a_file_has_the_system_that_gdal_wrote_in_any_dialect() {
    let systems = systems();
    assert!(systems.len() >= 40, "{}", systems.len());
    for (name, system, texts) in &systems {
        for text in texts {
            assert!(crs::same(system, text), "{name}:\n{system}\n{text}");
        }
    }
}

#[test]
fn no_two_of_them_are_one() {
    let systems = systems();
    for (number, (a, system, _)) in systems.iter().enumerate() {
        for (b, other, texts) in &systems[number + 1..] {
            assert!(!crs::same(system, other), "{a} and {b}:\n{system}\n{other}");
            assert!(
                texts.iter().all(|text| !crs::same(system, text)),
                "{a} and {b}"
            );
        }
    }
}

#[test]
fn a_system_that_is_written_is_read_again() {
    for (name, system, _) in systems() {
        let profile = Profile {
            crs: Some(system.clone()),
            ..Profile::default()
        };
        let mut bytes = Cursor::new(Vec::new());
        write_to(
            &mut bytes,
            &crate::Array::filled(DType::U8, &[1, 1], 1.0),
            &profile,
        )
        .expect("a GeoTIFF");
        let again = GeoTiff::from_reader(bytes)
            .expect("opens")
            .header()
            .crs
            .clone();
        assert_eq!(again.as_deref(), Some(system.as_str()), "{name}");
    }
}

/// A code that says itself in which unit its coordinates are stays a code.
#[test]
fn the_unit_of_a_code_is_its_own() {
    let systems = systems();
    for (name, code) in [
        ("code-in-yards", "EPSG:27291"),
        ("code-in-chains", "EPSG:3167"),
        ("code-in-links", "EPSG:3140"),
    ] {
        let (_, system, _) = systems
            .iter()
            .find(|(other, ..)| other == name)
            .expect("it is listed");
        assert_eq!(system, code, "{name}");
    }
}

#[test]
fn a_unit_without_a_size_is_refused() {
    let bytes = std::fs::read(data().join("systems/laea-own-unit.tif")).expect("the file is there");
    let size = 0.7312_f64.to_le_bytes();
    let at = bytes
        .windows(8)
        .position(|window| window == size)
        .expect("the size of its unit");
    for other in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let mut damaged = bytes.clone();
        damaged[at..at + 8].copy_from_slice(&other.to_le_bytes());
        let error = GeoTiff::from_bytes(damaged).expect_err("no unit");
        let why = story(&error);
        assert!(
            why.contains(&format!("the unit of lengths has the size {other}"))
                && why.contains("-a_srs"),
            "{why}"
        );
    }
}
