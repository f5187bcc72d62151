//! Files as real programs write them, held against netCDF4 and cftime (`tests/data/cf/make.py`).

use super::*;
use crate::{Query, Store};

fn cases() -> serde_json::Map<String, Json> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/cf/expected.json");
    let json: Json =
        serde_json::from_slice(&std::fs::read(path).expect("a stored file")).expect("JSON");
    json.as_object().expect("files").clone()
}

/// A file in a grid of its own: the times of its steps or events, its values, and what was noted.
struct Held {
    times: Vec<String>,
    values: Vec<Json>,
    notes: Vec<String>,
    schema: crate::Schema,
    is_blank: bool,
}

fn held(name: &str, wanted: &Json) -> Result<Held, Error> {
    let choice = Choice {
        variable: wanted["variable"].as_str().map(str::to_owned),
        ..Choice::default()
    };
    let field = || Field::new(file(name), &choice);
    let seconds = |seconds: u64| i128::from(seconds) * 1_000_000_000;
    let like = Like {
        time_step: wanted["step"].as_u64().map(seconds),
        ..Like::default()
    };
    let schema = schema_like(&[field()?], &like)?;
    field()?.check(&schema)?;
    let store = Store::in_memory()?;
    let grid = store.create("g", schema.clone())?;
    let mut import = placed(&grid, field()?)?;
    let (notes, checked) = (import.notes(), import.check(&mut |_| {})?);
    write(&mut [&mut import], &mut |_| {})?;
    let mut held = Held {
        times: Vec::new(),
        values: Vec::new(),
        notes,
        schema,
        is_blank: checked.is_blank,
    };
    if checked.is_blank {
        return Ok(held);
    }
    let answer = grid.read(&Query::all())?;
    let valid = answer.validity.iter(&answer.array);
    held.values = listed(&answer.array)
        .into_iter()
        .zip(valid)
        .map(|(value, valid)| if valid { value } else { Json::Null })
        .collect();
    let axis = grid.structure().axes().next().expect("an axis").clone();
    if let Some(unit) = axis.time() {
        let steps = answer.window.start()[0]..answer.window.end()[0];
        let at = |cell: i64| {
            unit.instant(axis.world(cell as f64))
                .expect("in range")
                .to_string()
        };
        held.times = match &answer.coordinates {
            Some(events) => events.ticks.iter().map(|tick| axis.shown(*tick)).collect(),
            None => steps.map(at).collect(),
        };
    }
    Ok(held)
}

fn texts(json: &Json) -> Vec<String> {
    json.as_array()
        .into_iter()
        .flatten()
        .map(|text| text.as_str().expect("text").to_owned())
        .collect()
}

#[test]
fn a_file_is_what_netcdf4_and_cftime_make_of_it_or_is_refused_with_a_remedy() {
    let (mut taken, mut refused) = (0, 0);
    for (name, wanted) in cases() {
        let held = held(&name, &wanted);
        if wanted["refused"].is_array() {
            let error = held.map(|held| held.times).expect_err(&name);
            let why = story(&error);
            texts(&wanted["refused"]).iter().for_each(|word| {
                assert!(why.contains(word), "{name}: `{why}` does not say `{word}`")
            });
            refused += 1;
            continue;
        }
        let held = held.unwrap_or_else(|error| panic!("{name}: {}", story(&error)));
        assert_eq!(held.is_blank, wanted["blank"] == true, "{name}");
        if held.is_blank {
            continue;
        }
        if wanted["times"].is_array() {
            assert_eq!(held.times, texts(&wanted["times"]), "{name}");
        }
        assert_eq!(
            held.values,
            *wanted["values"].as_array().expect("values"),
            "{name}"
        );
        let axis = |of: &str| {
            held.schema
                .structure()
                .axes()
                .find(|axis| axis.name() == of)
                .expect("an axis")
                .clone()
        };
        for of in ["y", "x"].into_iter().filter(|of| wanted[*of].is_array()) {
            let numbers: Vec<f64> = wanted[of]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Json::as_f64)
                .collect();
            assert_eq!(numbers, [axis(of).origin(), axis(of).step()], "{name} {of}");
        }
        if let Some(crs) = wanted.get("crs") {
            let got = held.schema.structure().crs().unwrap_or_default();
            assert_eq!(crs.is_null(), got.is_empty(), "{name}: {got}");
            texts(crs)
                .iter()
                .for_each(|word| assert!(got.contains(word), "{name}: {got} does not say {word}"));
        }
        if wanted["labels"].is_array() {
            let labels = held.schema.structure().dimensions()[1]
                .labels()
                .expect("labels");
            assert_eq!(labels, texts(&wanted["labels"]), "{name}");
        }
        for (attribute, value) in wanted["attributes"].as_object().into_iter().flatten() {
            let got = held.schema.attributes().get(attribute);
            assert_eq!(
                got.map(String::as_str),
                value.as_str(),
                "{name} {attribute}"
            );
        }
        let noted = held.notes.join("\n");
        assert!(
            wanted["noted"]
                .as_str()
                .is_none_or(|word| noted.contains(word)),
            "{name}: {noted}"
        );
        taken += 1;
    }
    assert!(
        taken > 25 && refused > 6,
        "{taken} files and {refused} refusals"
    );
}

#[test]
fn longitudes_that_are_one_place_are_one_cell() {
    let store = Store::in_memory().expect("memory");
    let at = |west: f64| {
        let mut field = Field::new(file("poles"), &Choice::default()).expect("it");
        field.x.origin = west;
        field
    };
    let grid = store
        .create(
            "world",
            schema_like(&[at(-45.0)], &Like::default()).expect("a schema"),
        )
        .expect("a grid");
    for west in [-45.0, 225.0, -225.0, 45.0] {
        let mut import = placed(&grid, at(west)).expect("fits");
        write(&mut [&mut import], &mut |_| {}).expect("written");
        let answer = grid.read(&Query::all()).expect("reads");
        assert_eq!(
            (answer.window.start()[1], answer.window.shape()[1]),
            (0, 4),
            "once round"
        );
        let raw = file("poles").read("v", &[0, 0], &[5, 4]).expect("reads");
        let (raw, got): (Vec<f64>, Vec<f64>) =
            (raw.iter_f64().collect(), answer.array.iter_f64().collect());
        for (cell, value) in got.iter().enumerate() {
            // So many columns of 90 degrees further east.
            let turned = ((west + 45.0) / 90.0).rem_euclid(4.0);
            let column = (0..4)
                .find(|column| (f64::from(*column) + turned).rem_euclid(4.0) == (cell % 4) as f64)
                .expect("one");
            assert_eq!(
                *value,
                raw[cell / 4 * 4 + usize::try_from(column).expect("small")],
                "{west} {cell}"
            );
        }
    }
}

#[test]
fn a_file_that_changes_between_two_looks_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.nc");
    std::fs::copy(data().join("cdf1-record.nc"), &path).expect("copied");
    let choice = asked("rain");
    let field = Field::open(&path, &choice).expect("it");
    field
        .file
        .read("rain", &[0, 0, 0], &[1, 3, 5])
        .expect("as it was");
    let field = Field::open(&path, &choice).expect("it");
    std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"more"))
        .expect("longer");
    let error = field
        .file
        .read("rain", &[0, 0, 0], &[1, 3, 5])
        .expect_err("changed");
    assert!(error.to_string().contains("changed meanwhile"), "{error}");
}
