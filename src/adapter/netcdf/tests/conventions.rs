//! Files as real programs write them, held against netCDF4 and cftime (`tests/data/cf/make.py`).

use super::*;
use crate::adapter::unit::Conversion;
use crate::{Query, Store};

fn file(name: &str) -> NetCdf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/cf/{name}.nc"));
    NetCdf::open(path).expect(name)
}

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

/// Whether a file fits a grid that another one made, and where it says that it does not.
fn fits(first: &str, second: &str) -> Result<(), String> {
    let field = |name: &str| Field::new(file(name), &Choice::default()).expect(name);
    let schema = schema_like(&[field(first)], &Like::default()).expect(first);
    field(second).check(&schema).map_err(|error| story(&error))
}

#[test]
fn what_is_of_one_name_and_not_of_one_kind_does_not_fit() {
    for (first, second, words) in [
        (
            "kind-sea-ice",
            "kind-land",
            "`type` is land, the grid's sea_ice",
        ),
        ("depths", "heights", "`z_positive` is up, the grid's down"),
        (
            "depths-single",
            "heights-single",
            "`z_positive` is up, the grid's down",
        ),
        (
            "depths",
            "heights-single",
            "`z_positive` is up, the grid's down",
        ),
        ("plane-km", "plane-m", "cells are of 0.001, the grid's of 1"),
        (
            "plane-km",
            "plane-degrees",
            "in `degrees`, the grid's in `km`",
        ),
    ] {
        let why = fits(first, second).expect_err(second);
        assert!(why.contains(words), "{first}, {second}: {why}");
        fits(first, first).expect(first);
    }
    // In another unit they are the same places.
    fits("plane-km", "plane-m-of-km").expect("converted");
    fits("plane-m-of-km", "plane-km").expect("converted");
}

#[test]
fn classes_and_beginnings_that_differ_are_noted() {
    for (first, second, words) in [
        (
            "classes",
            "classes-otherwise",
            "(`flag_values`): 30 20 10, and 10 20 30",
        ),
        (
            "ends-with-bounds",
            "ends-without-bounds",
            "it has no bounds of its times",
        ),
        (
            "ends-without-bounds",
            "ends-with-bounds",
            "its steps begin before its times",
        ),
    ] {
        let field = |name: &str| Field::new(file(name), &Choice::default()).expect(name);
        let schema = schema_like(&[field(first)], &Like::default()).expect(first);
        let noted = |name: &str| field(name).remarks(&schema, Conversion::NONE).join("\n");
        assert!(
            noted(second).contains(words),
            "{first}, {second}: {}",
            noted(second)
        );
        assert!(!noted(first).contains(words), "{first}: {}", noted(first));
    }
}

/// One degree Celsius of difference is one kelvin.
#[test]
fn differences_of_temperatures_have_no_zero() {
    for (name, zero) in [
        ("deviation-celsius", 0.0),
        ("anomaly-celsius", 0.0),
        ("temperature-celsius", 273.15),
    ] {
        let mut field = Field::new(file(name), &Choice::default()).expect(name);
        field.identity.unit = Some("K".to_owned());
        let schema = schema_like(&[field], &Like::default()).expect(name);
        let field = Field::new(file(name), &Choice::default()).expect(name);
        let conversion = field.identified(&schema).expect(name);
        assert_eq!(conversion.apply(0.0), zero, "{name}");
    }
}

#[test]
fn labels_may_have_any_name() {
    for (name, wanted) in [
        ("labels-in-space", "space_labels"),
        ("labels-in-x", "x_labels"),
    ] {
        let field = Field::new(file(name), &Choice::default()).expect(name);
        let schema = schema_like(&[field], &Like::default()).expect(name);
        let mut dimensions = schema.structure().dimensions().iter();
        assert!(
            dimensions.any(|dimension| dimension.name() == wanted),
            "{name}"
        );
        fits(name, name).expect(name);
    }
}

/// Several runs of a forecast whose times are those of their beginnings do not lie over each other.
#[test]
fn runs_of_a_forecast_are_kept_apart_by_the_time_that_is_asked_for() {
    let choice = Choice {
        time: Some("time".to_owned()),
        ..Choice::default()
    };
    let run = || Field::new(file("step-valid-time"), &choice).expect("it");
    let like = Like {
        time_step: Some(43_200_000_000_000),
        ..Like::default()
    };
    let store = Store::in_memory().expect("memory");
    let grid = store
        .create("runs", schema_like(&[run()], &like).expect("a schema"))
        .expect("a grid");
    assert_eq!(
        grid.structure().dimensions()[1].labels(),
        Some(&["0", "6", "12"].map(str::to_owned)[..])
    );
    let mut later = run();
    let times = later.times.as_mut().expect("a time");
    times.times[0] = times.times[0].after(43_200_000_000_000).expect("in range");
    for field in [run(), later] {
        let mut import = placed(&grid, field).expect("fits");
        import.check(&mut |_| {}).expect("whole");
        write(&mut [&mut import], &mut |_| {}).expect("written");
    }
    assert_eq!(
        grid.read(&Query::all()).expect("reads").array.shape(),
        [2, 3, 3, 4]
    );
    // What the grid was made with is what its files are read with.
    let again = Choice::of(grid.schema());
    assert_eq!(
        (again.time.as_deref(), again.known.as_deref()),
        (Some("time"), Some("v"))
    );
}

fn grid_like(store: &Store, name: &str, change: &dyn Fn(&mut Field)) -> crate::Grid {
    let mut field = Field::new(file("zone"), &Choice::default()).expect("it");
    change(&mut field);
    store
        .create(
            name,
            schema_like(&[field], &Like::default()).expect("a schema"),
        )
        .expect("a grid")
}

#[test]
fn values_of_another_unit_are_converted_and_others_are_refused() {
    let store = Store::in_memory().expect("memory");
    let with_unit = |unit: &str| {
        let mut field = Field::new(file("zone"), &Choice::default()).expect("it");
        field.identity.unit = Some(unit.to_owned());
        field
    };
    let grid = grid_like(&store, "kelvin", &|field| {
        field.identity.unit = Some("K".to_owned())
    });
    assert_eq!(
        (grid.schema().variable(), grid.schema().unit()),
        (Some("v"), Some("K"))
    );
    let mut import = placed(&grid, with_unit("degC")).expect("of one kind");
    assert!(
        import.notes()[0].contains("its degC become K: value + 273.15"),
        "{:?}",
        import.notes()
    );
    write(&mut [&mut import], &mut |_| {}).expect("written");
    let raw = file("zone")
        .read("v", &[0, 0, 0], &[2, 3, 4])
        .expect("reads");
    let warmer = grid.read(&Query::all()).expect("reads").array;
    assert!(
        raw.iter_f64()
            .zip(warmer.iter_f64())
            .all(|(raw, value)| (raw + 273.15 - value).abs() < 1e-4)
    );
    let error = placed(&grid, with_unit("mm"))
        .expect_err("of another kind")
        .to_string();
    assert!(
        error.contains("`mm`") && error.contains("`K`") && error.contains("gridstone create"),
        "{error}"
    );
    let mut untold = with_unit("K");
    untold.identity.unit = None;
    assert!(placed(&grid, untold).expect("taken").notes()[0].contains("says no unit"));
    let mut other = with_unit("K");
    other.name = "tasmax".to_owned();
    let error = placed(&grid, other)
        .expect_err("another variable")
        .to_string();
    assert!(
        error.contains("holds `v`") && error.contains("--variable tasmax"),
        "{error}"
    );
}

#[test]
fn numbers_of_float32_are_one_with_more_digits_and_whole_ones_only_exactly() {
    let alike = super::super::labels::alike;
    for (a, b) in [
        ("0.1", "0.10000000149011612"),
        ("2.5 m", "2.50 m"),
        ("850", "850.0"),
        ("control", "control"),
    ] {
        assert!(alike(a, b) && alike(b, a), "{a} and {b}");
    }
    for (a, b) in [
        ("20200101", "20200102"),
        ("16777216", "16777217"),
        ("0.1", "0.1000001"),
        ("2 m", "2 km"),
        ("2 m", "2"),
        ("1e300", "2e300"),
        ("control", "perturbed"),
    ] {
        assert!(!alike(a, b) && !alike(b, a), "{a} and {b}");
    }
}

/// Files of two heights, each with one, do not land on each other.
#[test]
fn another_value_of_a_single_coordinate_is_refused_unless_it_is_a_label() {
    let store = Store::in_memory().expect("memory");
    let height = |value: &str| {
        let mut field = Field::new(file("zone"), &Choice::default()).expect("it");
        field
            .identity
            .singles
            .insert("level".to_owned(), value.to_owned());
        field
    };
    let grid = store
        .create(
            "low",
            schema_like(&[height("850 hPa")], &Like::default()).expect("a schema"),
        )
        .expect("a grid");
    assert_eq!(grid.schema().attributes()["level"], "850 hPa");
    placed(&grid, height("850 hPa")).expect("the same");
    let error = placed(&grid, height("500 hPa"))
        .expect_err("another")
        .to_string();
    assert!(
        error.contains("`level` is 500 hPa, the grid's 850 hPa"),
        "{error}"
    );
}

/// What another quantity is called, how it was made and where its cells lie is told from what a
/// grid was made after.
#[test]
fn another_quantity_is_refused_and_other_cells_are_noted() {
    let store = Store::in_memory().expect("memory");
    let with = |attribute: &str, value: &str| {
        let mut field = Field::new(file("zone"), &Choice::default()).expect("it");
        field
            .identity
            .attributes
            .insert(attribute.to_owned(), value.to_owned());
        field
    };
    let held = |field: Field| schema_like(&[field], &Like::default()).expect("a schema");
    let air = store
        .create("air", held(with("standard_name", "air_temperature")))
        .expect("a grid");
    placed(&air, with("standard_name", "air_temperature")).expect("the same");
    let mut sea = with("standard_name", "sea_surface_temperature");
    let error = placed(&air, sea).expect_err("another").to_string();
    assert!(
        error.contains("air_temperature") && error.contains("--variable v"),
        "{error}"
    );
    sea = with("standard_name", "sea_surface_temperature");
    sea.is_asked = true;
    placed(&air, sea).expect("asked for");
    let mean = store
        .create("mean", held(with("cell_methods", "time: mean")))
        .expect("a grid");
    let notes = placed(&mean, with("cell_methods", "time: maximum"))
        .expect("taken")
        .notes();
    assert!(
        notes[0].contains("time: maximum") && notes[0].contains("time: mean"),
        "{notes:?}"
    );
    // On index axes the coordinates of the first and last cells are remembered.
    let index = || {
        Field::new(
            file("zone"),
            &Choice {
                index_axes: true,
                ..Choice::default()
            },
        )
        .expect("it")
    };
    let rows = store.create("rows", held(index())).expect("a grid");
    assert_eq!(
        (
            &*rows.schema().attributes()["lat"],
            &*rows.schema().attributes()["lon"]
        ),
        ("46 to 45", "10 to 11.5")
    );
    assert_eq!(placed(&rows, index()).expect("fits").notes(), [""; 0]);
    let mut rounded = index();
    rounded
        .identity
        .corners
        .insert("lat".to_owned(), "46.0000038 to 45".to_owned());
    assert_eq!(placed(&rows, rounded).expect("fits").notes(), [""; 0]);
    let mut moved = index();
    moved
        .identity
        .corners
        .insert("lat".to_owned(), "47 to 46".to_owned());
    let notes = placed(&rows, moved).expect("fits").notes();
    assert!(
        notes[0].contains("`lat` is 47 to 46, and the grid's 46 to 45"),
        "{notes:?}"
    );
}

/// Heights lie by their labels, whatever their order in a file and wherever some of them are.
#[test]
fn labels_lie_where_the_grid_has_them() {
    let store = Store::in_memory().expect("memory");
    let field = |name: &str| Field::new(file(name), &Choice::default()).expect(name);
    for name in ["levels", "levels-turned", "levels-some"] {
        let schema = schema_like(&[field("levels")], &Like::default()).expect("a schema");
        let grid = store.create(name, schema).expect("a grid");
        let mut import = placed(&grid, field(name)).expect("fits");
        import.check(&mut |_| {}).expect("whole");
        write(&mut [&mut import], &mut |_| {}).expect("written");
        let answer = grid.read(&Query::all()).expect("reads");
        let wanted = |cell: usize| match (name, [1000.0, 850.0, 500.0][cell / 12 % 3]) {
            ("levels-some", 850.0) => f64::NAN,
            (_, height) => height + 0.25 * (cell / 36) as f64,
        };
        let same = |(cell, value): (usize, f64)| {
            value == wanted(cell) || value.is_nan() && wanted(cell).is_nan()
        };
        assert_eq!(answer.array.shape(), [2, 3, 3, 4], "{name}");
        assert!(
            answer.array.iter_f64().enumerate().all(same),
            "{name}: {:?}",
            answer.array
        );
    }
    let grid = store.grid("levels").expect("made");
    let error = placed(&grid, field("levels-other"))
        .expect_err("metres")
        .to_string();
    assert!(
        error.contains("`level_units` is m, the grid's hPa") && error.contains("gridstone create"),
        "{error}"
    );
    let mut single = field("zone");
    single
        .identity
        .singles
        .insert("level".to_owned(), "850 m".to_owned());
    assert!(
        placed(&grid, single)
            .expect_err("metres")
            .to_string()
            .contains("`level_units` is m, the grid's hPa")
    );
    let mut unknown = field("levels");
    unknown.band.as_mut().expect("labels").labels[1] = "700".to_owned();
    assert!(
        placed(&grid, unknown)
            .expect_err("no such height")
            .to_string()
            .contains("1000, 850, 500")
    );
    let mut twice = field("levels");
    twice.band.as_mut().expect("labels").labels[1] = "1000".to_owned();
    let error = placed(&grid, twice)
        .expect_err("two for one place")
        .to_string();
    assert!(
        error.contains("label `1000` twice along `level`")
            && error.contains("ncks -d level,0 FILE ONE.nc"),
        "{error}"
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
fn a_time_that_is_there_twice_is_replaced_or_kept_along_events() {
    use crate::Overlap;
    let store = Store::in_memory().expect("memory");
    let field = || Field::new(file("twice"), &Choice::default()).expect("it");
    let like = Like {
        irregular: Some(true),
        ..Like::default()
    };
    let raw: Vec<f64> = file("twice")
        .read("v", &[0, 0, 0], &[4, 3, 4])
        .expect("reads")
        .iter_f64()
        .collect();
    for (overlap, kept) in [
        (Overlap::Replace, [0, 2, 3]),
        (Overlap::Keep, [0, 1, 3]),
        (Overlap::Merge, [0, 2, 3]),
    ] {
        let name = format!("{overlap:?}").to_lowercase();
        let grid = store
            .create(&name, schema_like(&[field()], &like).expect("a schema"))
            .expect("a grid");
        let mut import = placed(&grid, field()).expect("fits").over(overlap);
        import.check(&mut |_| {}).expect("whole");
        assert!(
            import
                .notes()
                .iter()
                .any(|note| note.contains("2020-01-01T01:00:00Z twice")),
            "{:?}",
            import.notes()
        );
        write(&mut [&mut import], &mut |_| {}).expect("written");
        let got: Vec<f64> = grid
            .read(&Query::all())
            .expect("reads")
            .array
            .iter_f64()
            .collect();
        let wanted: Vec<f64> = kept
            .iter()
            .flat_map(|step: &usize| raw[step * 12..(step + 1) * 12].to_vec())
            .collect();
        assert_eq!(got, wanted, "{overlap:?}");
    }
    let grid = store
        .create("refused", schema_like(&[field()], &like).expect("a schema"))
        .expect("a grid");
    let error = placed(&grid, field())
        .expect("fits")
        .over(Overlap::Refuse)
        .check(&mut |_| {})
        .expect_err("twice");
    assert!(
        error.to_string().contains("2020-01-01T01:00:00Z twice")
            && error.to_string().contains("--overlap keep"),
        "{error}"
    );
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
