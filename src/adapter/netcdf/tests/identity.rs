//! What values are: files (`tests/data/cf`) whose variables are others than a grid's.

use super::*;
use crate::adapter::unit::Conversion;
use crate::{Query, Store};

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
        ("range-celsius", 0.0),
        ("middle-celsius", 273.15),
        ("comment-celsius", 273.15),
    ] {
        let mut field = Field::new(file(name), &Choice::default()).expect(name);
        field.identity.unit = Some("K".to_owned());
        let schema = schema_like(&[field], &Like::default()).expect(name);
        let field = Field::new(file(name), &Choice::default()).expect(name);
        let conversion = field.identified(&schema).expect(name);
        assert_eq!(conversion.apply(0.0), zero, "{name}");
    }
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
