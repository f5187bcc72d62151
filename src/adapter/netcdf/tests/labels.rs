//! Labels of files (`tests/data/cf`) among those of grids.

use super::*;
use crate::{Query, Store};

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

#[test]
fn labels_of_an_enumeration_are_its_names() {
    let field = Field::new(file("enumeration-of-labels"), &Choice::default()).expect("it");
    assert_eq!(field.band.expect("labels").labels, ["forest", "lake"]);
}

#[test]
fn numbers_beside_labels_that_cannot_be_read_are_an_error() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/cf/labels-at-the-end.nc");
    let whole = std::fs::read(path).expect("a stored file");
    let field = |bytes: &[u8]| {
        NetCdf::from_bytes(bytes).and_then(|file| Field::new(file, &Choice::default()))
    };
    let labels = field(&whole).expect("it").band.expect("labels").labels;
    assert_eq!(labels, ["5", "10"]);
    let why = story(&field(&whole[..whole.len() - 4]).expect_err("the last number is cut off"));
    assert!(why.contains("variable `depth` cannot be read"), "{why}");
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
