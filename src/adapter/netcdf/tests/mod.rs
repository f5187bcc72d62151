//! Tests of the NetCDF adapter, on files that netCDF4-python wrote (`tests/data/netcdf/make.py`).

mod conventions;
mod damage;
mod identity;
mod importing;
mod labels;
mod times;

use std::path::PathBuf;

use serde_json::Value as Json;

use super::*;
use crate::adapter::source::{Import, Imported, write};
use crate::{Array, DType, Error, Grid};

fn data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/netcdf")
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(data().join(format!("{name}.nc"))).expect("a stored file")
}

fn open(name: &str) -> NetCdf {
    NetCdf::from_bytes(bytes(name)).expect("a stored file opens")
}

fn field(name: &str, variable: &str) -> Result<Field, Error> {
    Field::new(open(name), &asked(variable))
}

/// A file that a real program could have written.
fn file(name: &str) -> NetCdf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/cf/{name}.nc"));
    NetCdf::open(path).expect(name)
}

/// Whether a file fits a grid that another one made, and where it says that it does not.
fn fits(first: &str, second: &str) -> Result<(), String> {
    let field = |name: &str| Field::new(file(name), &Choice::default()).expect(name);
    let schema = schema_like(&[field(first)], &Like::default()).expect(first);
    field(second).check(&schema).map_err(|error| story(&error))
}

fn placed(grid: &Grid, field: Field) -> Result<Import, Error> {
    Import::new(grid, VariableSource::new(grid, "a file", field)?)
}

fn asked(variable: &str) -> Choice {
    Choice {
        variable: Some(variable.to_owned()),
        ..Choice::default()
    }
}

fn index_axes() -> Choice {
    Choice {
        index_axes: true,
        ..Choice::default()
    }
}

fn expected() -> Json {
    serde_json::from_slice(&std::fs::read(data().join("expected.json")).expect("a stored file"))
        .expect("JSON")
}

/// The cells as `expected.json` has them: floats as the bits of the double, NaN as null, integers
/// as text.
fn listed(array: &Array) -> Vec<Json> {
    fn of<T: crate::array::Cell>(cells: &ndarray::ArrayD<T>) -> Vec<Json> {
        let json = |cell: &T| match (T::DTYPE.is_float(), cell.is_nan()) {
            (false, _) => Json::from(format!("{cell:?}")),
            (true, true) => Json::Null,
            (true, false) => Json::from(format!("{:016x}", cell.to_f64().to_bits())),
        };
        cells.iter().map(json).collect()
    }
    crate::array::with_view!(Array, array, |cells| of(cells))
}

fn shape_of(json: &Json) -> Vec<u64> {
    json.as_array()
        .expect("a list")
        .iter()
        .map(|len| len.as_u64().expect("a length"))
        .collect()
}

/// The error with all its causes.
fn story(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[test]
fn every_variable_has_the_cells_that_the_library_wrote() {
    let expected = expected();
    let files = expected["raw"].as_object().expect("files");
    assert_eq!(files.len(), 17);
    for (name, variables) in files {
        let file = open(name);
        let is_number =
            |variable: &&Variable| variable.dtype.is_some() && variable.group().is_empty();
        let numbers = file.header().variables.iter().filter(is_number).count();
        assert_eq!(
            numbers,
            variables.as_object().expect("variables").len(),
            "{name}"
        );
        for (variable, wanted) in variables.as_object().expect("variables") {
            let shape = shape_of(&wanted["shape"]);
            let array = file
                .read(variable, &vec![0; shape.len()], &shape)
                .expect(variable);
            assert_eq!(array.dtype().name(), wanted["dtype"], "{name} {variable}");
            assert_eq!(
                listed(&array),
                *wanted["values"].as_array().expect("values"),
                "{name} {variable}"
            );
        }
    }
}

#[test]
fn a_box_is_that_part_of_the_whole() {
    for (name, variable) in [
        ("cdf1-fixed", "f8"),
        ("cdf1-record", "rain"),
        ("cdf1-record", "flag"),
        ("cdf5-bounds", "t"),
        ("cdf1-record-alone", "short"),
        ("nc4-h5py", "extensible"),
        ("nc4-h5py", "tree"),
        ("nc4-record", "rain"),
        ("nc4-unwritten", "chunks"),
        ("nc4-unwritten", "short"),
    ] {
        let file = open(name);
        let whole: Vec<usize> = file
            .header()
            .variable(variable)
            .expect(variable)
            .shape()
            .iter()
            .map(|len| usize::try_from(*len).expect("small"))
            .collect();
        let all = file
            .read(
                variable,
                &vec![0; whole.len()],
                &whole.iter().map(|len| *len as u64).collect::<Vec<_>>(),
            )
            .expect("all");
        let all =
            ndarray::ArrayD::from_shape_vec(whole.as_slice(), listed(&all)).expect("its shape");
        let boxes = whole.iter().map(|len| {
            (0..*len)
                .flat_map(|from| (from + 1..=*len).map(move |to| (from, to)))
                .collect::<Vec<_>>()
        });
        let mut parts: Vec<Vec<(usize, usize)>> = vec![Vec::new()];
        for of_axis in boxes {
            parts = parts
                .iter()
                .flat_map(|part| {
                    of_axis
                        .iter()
                        .map(move |range| [part.as_slice(), &[*range]].concat())
                })
                .collect();
        }
        for part in parts {
            let start: Vec<u64> = part.iter().map(|(from, _)| *from as u64).collect();
            let shape: Vec<u64> = part.iter().map(|(from, to)| (to - from) as u64).collect();
            let got = listed(&file.read(variable, &start, &shape).expect("a part"));
            let wanted = all.slice_each_axis(|axis| {
                ndarray::Slice::from(part[axis.axis.index()].0..part[axis.axis.index()].1)
            });
            assert_eq!(
                got,
                wanted.iter().cloned().collect::<Vec<_>>(),
                "{name} {variable} {part:?}"
            );
        }
    }
}

#[test]
fn attributes_have_their_types() {
    for (name, codes) in [
        ("cdf1-fixed", &["i1", "i2", "i4", "f4", "f8"][..]),
        (
            "nc4-types",
            &["u1", "u2", "u4", "i8", "u8", "i1", "i2", "i4", "f4", "f8"],
        ),
    ] {
        let file = open(name);
        let header = file.header();
        assert_eq!(
            header.attribute("title"),
            Some(&Value::Text("every type".to_owned()))
        );
        for code in codes {
            let variable = header.variable(code).expect(code);
            assert_eq!(variable.text("note"), Some(*code));
            let Some(Value::Numbers(numbers)) = variable.attribute("numbers") else {
                panic!("{code} has numbers")
            };
            assert_eq!((Some(numbers.dtype()), numbers.len()), (variable.dtype, 3));
        }
    }
    assert_eq!(
        open("cdf1-fixed")
            .header()
            .variable("text")
            .expect("text")
            .dtype,
        None
    );
    let file = open("nc4-types");
    let named = file.header().variable("enum").expect("it");
    assert_eq!(
        (named.dtype, named.codes.as_slice()),
        (
            Some(DType::I8),
            &[(0, "dry".to_owned()), (1, "wet".to_owned())][..]
        )
    );
    for name in ["characters", "strings", "pair", "ragged"] {
        assert_eq!(
            file.header().variable(name).expect(name).dtype,
            None,
            "{name}"
        );
    }
    assert_eq!(
        file.header().attribute("words"),
        Some(&Value::Text("several strings".to_owned()))
    );
    let many = open("nc4-dense");
    assert_eq!(
        many.header().attribute("a19").and_then(Value::text),
        Some("text")
    );
    let variable = many.header().variable("v7").expect("it");
    assert_eq!(
        variable.attribute("a19").and_then(Value::numbers),
        Some(vec![19.0])
    );
    assert_eq!(variable.text("long").map(str::len), Some(9_999));
    let below = many.header().variable("/group/v").expect("in a group");
    assert_eq!((below.group(), below.shape()), ("group", vec![2, 3]));
    assert_eq!(
        many.header().near(below, "y").map(|y| y.name.as_str()),
        Some("y"),
        "of the group around it"
    );
}

#[test]
fn dimensions_are_those_that_were_meant() {
    let of = |name: &str, variable: &str| {
        let file = open(name);
        let dimensions = &file.header().variable(variable).expect(variable).dimensions;
        dimensions
            .iter()
            .map(|d| (d.name.clone(), d.len, d.unlimited))
            .collect::<Vec<_>>()
    };
    let [time, y, x] = [
        ("time".to_owned(), 5, true),
        ("y".to_owned(), 4, false),
        ("x".to_owned(), 6, false),
    ];
    // Fewer records were written than the dimension has.
    assert_eq!(of("nc4-unwritten", "short"), [time.clone(), x.clone()]);
    assert_eq!(of("nc4-unwritten", "nothing"), [time, y.clone()]);
    // A coordinate variable of two axes, and one that has the name of another's dimension.
    assert_eq!(of("nc4-unwritten", "y"), [y.clone(), x]);
    assert_eq!(of("nc4-unwritten", "x"), [y]);
    assert_eq!(
        of("nc4-h5py", "tree"),
        [
            ("time".to_owned(), 5, true),
            ("y".to_owned(), 3, false),
            ("x".to_owned(), 4, true)
        ]
    );
    assert_eq!(
        of("cdf1-record", "short"),
        [("time".to_owned(), 4, true), ("x".to_owned(), 5, false)]
    );
}

#[test]
fn coordinates_make_the_axes_that_were_meant() {
    let expected = expected();
    for (name, wanted) in expected["fields"].as_object().expect("fields") {
        let field = field(name, wanted["variable"].as_str().expect("a name")).expect(name);
        let near = |json: &Json, cells: &super::space::EvenCells| {
            // Also those of float32 coordinates: the decimals that were written.
            assert_eq!(
                (json[0].as_f64(), json[1].as_f64()),
                (Some(cells.origin), Some(cells.step)),
                "{name}"
            );
        };
        near(&wanted["y"], &field.y);
        near(&wanted["x"], &field.x);
        let times = field.times.as_ref().map(|times| {
            times
                .cells()
                .expect("regular")
                .0
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        });
        let wanted_times = wanted["times"].as_array().map(|times| {
            times
                .iter()
                .map(|t| t.as_str().expect("text").to_owned())
                .collect()
        });
        assert_eq!(times, wanted_times, "{name}");
        assert_eq!(field.crs.as_deref(), wanted["crs"].as_str(), "{name}");
        assert_eq!(field.decoding.nodata(), wanted["nodata"].as_f64(), "{name}");
        let labels = field
            .band
            .as_ref()
            .map(|band| Json::from(band.labels.clone()));
        assert_eq!(labels.unwrap_or_default(), wanted["labels"], "{name}");
    }
}

#[track_caller]
fn refused(field: Result<Field, Error>, reason: &str) {
    let error = field.expect_err(reason);
    assert_eq!(*error.kind(), crate::ErrorKind::Invalid);
    assert!(
        story(&error).contains(reason),
        "`{}` does not say `{reason}`",
        story(&error)
    );
}

#[test]
fn what_cannot_be_used_is_refused_by_name() {
    refused(
        field("cdf1-fixed", "i2"),
        "no 1-D coordinate variable for its axis `y`; keep it in a grid of its own, made with `gridstone create STORE NAME --like FILE --index-axes`",
    );
    refused(
        field("cdf1-record", "wind"),
        "no variable `wind` of two or more axes; it has flag, rain, short",
    );
    refused(
        Field::new(open("cdf1-record"), &Choice::default()),
        "choose one with `--variable`: flag, rain, short",
    );
    refused(field("cdf1-fixed", "scalar"), "no variable `scalar`");
    let irregular = [field("irregular", "v").expect("its times are read")];
    let like = Like {
        irregular: Some(false),
        ..Like::default()
    };
    let error = schema_like(&irregular, &like).expect_err("on no steps");
    assert!(
        error
            .to_string()
            .contains("the time 2001-01-04T12:00:00Z is not a whole number of steps of 1 days"),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("make the grid with `--irregular`"),
        "{error}"
    );
}

#[test]
fn what_is_not_read_is_refused_with_the_command_that_converts_it() {
    let error = NetCdf::from_bytes(*b"\x89HDF\r\n\x1a\n").expect_err("only a magic number");
    assert!(
        error
            .to_string()
            .contains("`nccopy -k cdf5 FILE CLASSIC.nc`"),
        "{error}"
    );
    let unfilled = open("nc4-unfilled");
    assert_eq!(
        listed(&unfilled.read("time", &[0], &[3]).expect("all were written")),
        ["0", "1", "2"]
    );
    let error = unfilled
        .read("short", &[0], &[1])
        .expect_err("two of three were not");
    assert!(
        story(&error).contains("it has [1] of [3] cells, and nothing says what the others are"),
        "{}",
        story(&error)
    );
}

#[test]
fn a_curvilinear_variable_is_kept_on_index_axes_if_asked() {
    let path = data().join("../radar/2018091319.nc");
    let error = Field::open(&path, &Choice::default()).expect_err("no coordinates");
    assert!(
        story(&error).contains("(its coordinates `lat`, `lon` have two axes)")
            && story(&error).contains("--index-axes"),
        "{}",
        story(&error)
    );
    let field = [Field::open(&path, &index_axes()).expect("index axes")];
    let mut like = Like::default();
    let error = schema_like(&field, &like).expect_err("one time");
    assert!(error.to_string().contains("--time-step"), "{error}");
    like.time_step = Some(3_600_000_000_000);
    let schema = schema_like(&field, &like).expect("a schema");
    let axes: Vec<_> = schema
        .structure()
        .axes()
        .map(|axis| (axis.name(), axis.origin(), axis.step(), axis.unit_name()))
        .collect();
    assert_eq!(
        axes,
        [
            (
                "time",
                146_396.0,
                1.0,
                Some("hours since 2001-12-31T23:00:00Z")
            ),
            ("y", 0.0, 1.0, Some("index")),
            ("x", 0.0, 1.0, Some("index")),
        ]
    );
}

#[test]
fn a_time_axis_counts_in_the_longest_ticks_that_are_whole() {
    let axis = |name: &str, variable: &str| {
        let axis = field(name, variable)
            .expect(name)
            .times
            .expect("times")
            .axis(16, None)
            .expect("regular");
        (
            axis.origin(),
            axis.step(),
            axis.unit_name().expect("a unit").to_owned(),
        )
    };
    assert_eq!(
        axis("cdf1-record", "rain"),
        (0.0, 1.0, "hours since 2018-09-13T19:00:00Z".to_owned())
    );
    assert_eq!(
        axis("cdf2-packed", "dbz"),
        (0.0, 10.0, "minutes since 1999-12-31T22:50:00Z".to_owned())
    );
    assert_eq!(
        axis("cdf5-bounds", "t"),
        (0.0, 3.0, "hours since 2000-02-28T21:00:00Z".to_owned())
    );
}
