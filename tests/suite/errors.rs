//! Bad input gets a clear error, and nothing changes.

use gridstone::{
    Aggregation, Axis, DType, Dimension, Error, ErrorKind, Extent, Freshness, Grid, Layer, Level,
    Query, Schema, Store, Structure, Window,
};
use ndarray::{Array1, Array2, Array3};

use crate::check::levels;

fn space() -> Dimension {
    Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
    )
}

fn schema() -> Schema {
    let structure = Structure::builder().dimension(space()).build().unwrap();
    Schema::builder(structure, DType::F32)
        .aggregator(Aggregation::Mean)
        .build()
        .unwrap()
}

fn prepared() -> (Store, Grid) {
    let store = Store::in_memory().unwrap();
    let grid = store.create("dem", schema()).unwrap();
    grid.put(
        &Window::new([-3, -3], [9, 9]),
        &Array2::from_elem((9, 9), 1.0_f32),
    )
    .unwrap();
    (store, grid)
}

/// The error has this kind and names all of these, and the grid is as it was.
fn refused<T: std::fmt::Debug>(
    grid: &Grid,
    kind: &ErrorKind,
    names: &[&str],
    act: impl FnOnce() -> Result<T, Error>,
) {
    let before = (
        grid.stored_chunks().unwrap(),
        grid.bounds().unwrap(),
        grid.reach().unwrap(),
        grid.marks().unwrap(),
    );
    let cells = grid.read(&Query::all()).unwrap();
    let error = act().unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    let text = error.to_string();
    for name in names {
        assert!(text.contains(name), "`{text}` does not name {name}");
    }
    let after = (
        grid.stored_chunks().unwrap(),
        grid.bounds().unwrap(),
        grid.reach().unwrap(),
        grid.marks().unwrap(),
    );
    assert_eq!(before, after, "after `{text}`");
    assert_eq!(cells, grid.read(&Query::all()).unwrap(), "after `{text}`");
    assert_eq!(grid.store().grids().unwrap().len(), 1, "after `{text}`");
}

#[test]
fn a_shape_that_does_not_fit_the_window_is_refused() {
    let (_, grid) = prepared();
    let window = Window::new([20, -30], [4, 5]);
    for array in [
        Array2::from_elem((5, 4), 1.0_f32),
        Array2::from_elem((4, 6), 1.0),
        Array2::from_elem((0, 5), 1.0),
    ] {
        refused(
            &grid,
            &ErrorKind::Invalid,
            &["grid `dem`", "[4, 5]", "[20, -30]"],
            || grid.put(&window, &array),
        );
        refused(
            &grid,
            &ErrorKind::Invalid,
            &["grid `dem`", "[4, 5]"],
            || grid.replace(&window, &array),
        );
    }
    let flat = Array1::from_elem(20, 1.0_f32);
    refused(&grid, &ErrorKind::Invalid, &["grid `dem`", "[20]"], || {
        grid.put(&window, &flat)
    });
    let deep = Array3::from_elem((1, 4, 5), 1.0_f32);
    refused(&grid, &ErrorKind::Invalid, &["grid `dem`"], || {
        grid.put(&window, &deep)
    });
}

#[test]
fn a_window_of_other_axes_or_without_cells_is_refused() {
    let (_, grid) = prepared();
    refused(
        &grid,
        &ErrorKind::Invalid,
        &["grid `dem`", "2 axes"],
        || {
            grid.put(
                &Window::new([0, 0, 0], [1, 1, 1]),
                &Array3::from_elem((1, 1, 1), 1.0_f32),
            )
        },
    );
    refused(
        &grid,
        &ErrorKind::Invalid,
        &["grid `dem`", "2 axes"],
        || grid.put(&Window::new([0, 0], [1]), &Array1::from_elem(1, 1.0_f32)),
    );
    refused(
        &grid,
        &ErrorKind::Invalid,
        &["grid `dem`", "empty", "`x`"],
        || {
            grid.put(
                &Window::new([0, 0], [3, 0]),
                &Array2::from_elem((3, 0), 1.0_f32),
            )
        },
    );
    refused(
        &grid,
        &ErrorKind::Invalid,
        &["grid `dem`", "2 levels", "1 dimension"],
        || {
            grid.put(
                &Window::new([0, 0], [1, 1]).at(levels(&[0, 0])),
                &Array2::from_elem((1, 1), 1.0_f32),
            )
        },
    );
}

#[test]
fn cells_of_another_type_are_refused() {
    let (_, grid) = prepared();
    let window = Window::new([0, 0], [2, 2]);
    refused(
        &grid,
        &ErrorKind::Invalid,
        &["grid `dem`", "float64", "float32"],
        || grid.put(&window, &Array2::from_elem((2, 2), 1.0_f64)),
    );
    refused(
        &grid,
        &ErrorKind::Invalid,
        &["grid `dem`", "uint8", "float32"],
        || grid.put(&window, &Array2::from_elem((2, 2), 1_u8)),
    );
}

#[test]
fn i8_a_put_over_finer_data_is_refused_whole_in_the_words_of_the_design_with_the_places_named() {
    let (_, grid) = prepared();
    let kind = ErrorKind::AggregatedLevel {
        dimension: "space".to_owned(),
    };
    let words = "trying to put data at an aggregated level for dimension `space`";
    let cells = |side: usize| Array2::from_elem((side, side), 1.0_f32);
    let over = Window::new([0, 0], [2, 2]).at(levels(&[1]));
    refused(
        &grid,
        &kind,
        &["grid `dem`", words, "level [1] chunk [0, 0]"],
        || grid.put(&over, &cells(2)),
    );
    // Partly over finer data, partly over free ground.
    let partly = Window::new([-40, -40], [80, 80]).at(levels(&[1]));
    refused(
        &grid,
        &kind,
        &["grid `dem`", words, "level [1] chunk [0, 0]"],
        || grid.put(&partly, &cells(80)),
    );
    // Within one batch, over what the batch itself puts first.
    refused(&grid, &kind, &["grid `dem`", words], || {
        let mut batch = grid.store().batch();
        let cells = cells(2);
        batch.put(&grid, &Window::new([5000, 5000], [2, 2]), &cells)?;
        batch.put(
            &grid,
            &Window::new([2500, 2500], [2, 2]).at(levels(&[1])),
            &cells,
        )?;
        batch.commit()
    });
}

#[test]
fn each_dimension_is_named_when_its_level_does_not_fit() {
    let time = Dimension::regular("time", [Axis::new("t", 0.0, 1.0, 2)]);
    let band = Dimension::fixed("band", ["r", "g"]);
    let structure = Structure::builder()
        .dimension(time)
        .dimension(space())
        .dimension(band)
        .build()
        .unwrap();
    let grid = Store::in_memory()
        .unwrap()
        .create(
            "dem",
            Schema::builder(structure, DType::U8).build().unwrap(),
        )
        .unwrap();
    let cells = ndarray::Array4::from_elem((1, 1, 1, 1), 1_u8);
    grid.put(&Window::new([0, 0, 0, 0], [1, 1, 1, 1]), &cells)
        .unwrap();
    for (at, dimension) in [
        ([1, 0, 0], "time"),
        ([0, 1, 0], "space"),
        ([2, 2, 0], "time"),
    ] {
        let kind = ErrorKind::AggregatedLevel {
            dimension: dimension.to_owned(),
        };
        let window = Window::new([0, 0, 0, 0], [1, 1, 1, 1]).at(levels(&at));
        let words =
            format!("trying to put data at an aggregated level for dimension `{dimension}`");
        refused(&grid, &kind, &["grid `dem`", &words], || {
            grid.put(&window, &cells)
        });
    }
    let window = Window::new([0, 0, 0, 0], [1, 1, 1, 1]).at(levels(&[0, 0, 1]));
    refused(&grid, &ErrorKind::Invalid, &["`band`", "Fixed"], || {
        grid.put(&window, &cells)
    });
    let window = Window::new([0, 0, 0, 1], [1, 1, 1, 2]);
    refused(
        &grid,
        &ErrorKind::Invalid,
        &["`band`", "cell 2", "0 to 1"],
        || grid.put(&window, &ndarray::Array4::from_elem((1, 1, 1, 2), 1_u8)),
    );
}

#[test]
fn a_put_out_of_range_is_refused_with_its_axis() {
    let (_, grid) = prepared();
    for (start, axis) in [
        ([i64::MAX, 0], "`y`"),
        ([0, i64::MIN], "`x`"),
        ([0, 1 << 60], "`x`"),
    ] {
        refused(
            &grid,
            &ErrorKind::Invalid,
            &["grid `dem`", "`space`", axis, "out of range"],
            || {
                grid.put(
                    &Window::new(start, [1, 1]),
                    &Array2::from_elem((1, 1), 1.0_f32),
                )
            },
        );
    }
}

#[test]
fn steps_and_origins_that_are_no_numbers_are_refused() {
    for step in [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let axis = Axis::new("x", 0.0, step, 4);
        let error = Structure::builder()
            .dimension(Dimension::regular("space", [axis]))
            .build()
            .unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Invalid);
        assert!(
            error.to_string().contains("`x`") && error.to_string().contains("step"),
            "{error}"
        );
    }
    for origin in [f64::NAN, f64::INFINITY] {
        let axis = Axis::new("x", origin, 1.0, 4);
        let error = Structure::builder()
            .dimension(Dimension::regular("space", [axis]))
            .build()
            .unwrap_err();
        assert!(
            error.to_string().contains("`x`") && error.to_string().contains("origin"),
            "{error}"
        );
    }
}

#[test]
fn structures_that_overflow_or_contradict_themselves_are_refused() {
    let line = |name: &str, chunk| Dimension::regular(name, [Axis::new(name, 0.0, 1.0, chunk)]);
    let build = |dimensions: Vec<Dimension>| {
        dimensions
            .into_iter()
            .fold(Structure::builder(), gridstone::StructureBuilder::dimension)
            .build()
            .unwrap_err()
    };
    let cases = [
        (build(vec![]), "at least one dimension"),
        (build(vec![line("a", 0)]), "`a`"),
        (build(vec![line("a", 1)]), "`a`"),
        (build(vec![line("a", 3)]), "power of two"),
        (build(vec![line("a", 1 << 25)]), "`a`"),
        (build(vec![line("a", u32::MAX)]), "`a`"),
        (build(vec![line("a", 1 << 20), line("b", 1 << 20)]), "cells"),
        (
            build((0..8).map(|i| line(&format!("d{i}"), 1 << 24)).collect()),
            "cells",
        ),
        (
            build((0..9).map(|i| line(&format!("d{i}"), 2)).collect()),
            "9 axes",
        ),
        (build(vec![line("a", 2), line("a", 2)]), "`a`"),
        (build(vec![line("", 2)]), "name"),
        (build(vec![line("a/b", 2)]), "a/b"),
        (build(vec![line(&"n".repeat(129), 2)]), "128"),
        (build(vec![Dimension::regular("a", [])]), "`a`"),
        (
            build(vec![Dimension::fixed("a", Vec::<String>::new())]),
            "`a`",
        ),
        (
            build(vec![line("a", 2).refinable(), line("b", 2).refinable()]),
            "`a` and `b`",
        ),
    ];
    for (error, names) in cases {
        assert_eq!(error.kind(), &ErrorKind::Invalid);
        assert!(
            error.to_string().contains(names),
            "`{error}` does not name {names}"
        );
    }
}

#[test]
fn schemas_that_do_not_fit_are_refused() {
    let builder = |dtype| {
        Schema::builder(
            Structure::builder().dimension(space()).build().unwrap(),
            dtype,
        )
    };
    let cases = [
        (builder(DType::U8).nodata(-1.0).build(), "-1"),
        (builder(DType::U8).nodata(256.0).build(), "256"),
        (builder(DType::I16).nodata(0.5).build(), "0.5"),
        (builder(DType::I16).nodata(f64::NAN).build(), "NaN"),
        (builder(DType::F32).nodata(1e300).build(), "float32"),
        (
            builder(DType::F32)
                .aggregator(Aggregation::Max)
                .aggregator(Aggregation::Max)
                .build(),
            "`max`",
        ),
        (builder(DType::F32).zstd_level(99).build(), "99"),
    ];
    for (result, names) in cases {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Invalid);
        assert!(
            error.to_string().contains(names),
            "`{error}` does not name {names}"
        );
    }
}

#[test]
fn a_grid_that_exists_or_has_no_name_is_refused() {
    let (store, grid) = prepared();
    refused(&grid, &ErrorKind::AlreadyExists, &["`dem`"], || {
        store.create("dem", schema())
    });
    for name in ["", "a b", "a/b", "ä", "a\n", &"x".repeat(129)] {
        refused(&grid, &ErrorKind::Invalid, &["grid name"], || {
            store.create(name, schema())
        });
    }
    refused(&grid, &ErrorKind::NotFound, &["`demo`"], || {
        store.grid("demo")
    });
}

#[test]
fn levels_and_layers_that_do_not_exist_are_named() {
    let (_, grid) = prepared();
    let query = Query::all()
        .levels(levels(&[1]))
        .layer(Layer::Aggregate(Aggregation::Sum));
    refused(
        &grid,
        &ErrorKind::NotFound,
        &["grid `dem`", "`sum`", "mean"],
        || grid.read(&query),
    );
    let query = Query::all().levels(levels(&[1])).layer(Layer::Base);
    refused(
        &grid,
        &ErrorKind::NotFound,
        &["grid `dem`", "`base`"],
        || grid.read(&query),
    );
    refused(
        &grid,
        &ErrorKind::Invalid,
        &["grid `dem`", "2 levels"],
        || grid.read(&Query::all().levels(levels(&[0, 0]))),
    );
    for level in [-25, 65, i8::MIN, i8::MAX] {
        let error = Level::new(level).unwrap_err();
        assert!(error.to_string().contains(&level.to_string()), "{error}");
    }
    refused(
        &grid,
        &ErrorKind::Invalid,
        &["grid `dem`", "`space`", "41"],
        || grid.read(&Query::all().levels(levels(&[41]))),
    );
    let bare = Store::in_memory().unwrap();
    let bare = bare
        .create(
            "bare",
            Schema::builder(schema().structure().clone(), DType::U8)
                .build()
                .unwrap(),
        )
        .unwrap();
    bare.put(
        &Window::new([0, 0], [9, 9]),
        &Array2::from_elem((9, 9), 1_u8),
    )
    .unwrap();
    refused(&bare, &ErrorKind::NotFound, &["grid `bare`"], || {
        bare.read(&Query::all().levels(levels(&[1])))
    });
    refused(&bare, &ErrorKind::NotFound, &["grid `bare`"], || {
        bare.read(
            &Query::all()
                .levels(levels(&[1]))
                .freshness(Freshness::Fresh),
        )
    });
}

#[test]
fn queries_that_make_no_sense_are_refused() {
    let (_, grid) = prepared();
    let invalid = |names: &[&str], query: Query| {
        refused(
            &grid,
            &ErrorKind::Invalid,
            &[&["grid `dem`"], names].concat(),
            || grid.read(&query),
        );
    };
    invalid(
        &["`x`"],
        Query::extent(Extent::new([(0.0, 1.0), (f64::NAN, 1.0)])),
    );
    invalid(
        &["`y`"],
        Query::extent(Extent::new([(f64::NEG_INFINITY, 1.0), (0.0, 1.0)])),
    );
    invalid(&["2 axes"], Query::extent(Extent::new([(0.0, 1.0)])));
    invalid(
        &["`x`"],
        Query::extent(Extent::new([(0.0, 1.0), (0.0, 1e30)])),
    );
    invalid(&["`x`", "NaN"], Query::all().resolution([1.0, f64::NAN]));
    invalid(&["`y`", "0"], Query::all().resolution([0.0, 1.0]));
    invalid(&["`y`", "-1"], Query::all().resolution([-1.0, 1.0]));
    invalid(&["2 axes"], Query::all().resolution([1.0]));
    invalid(&["`x`"], Query::all().shape([1, 0]));
    invalid(&["2 axes"], Query::all().shape([1, 2, 3]));
    invalid(&["cells"], Query::all().shape([usize::MAX, 1]));
    invalid(&["cells"], Query::all().shape([1 << 20, 1 << 20]));
    invalid(&["cells"], Query::all().resolution([1e-9, 1e-9]));
    invalid(
        &["`y`"],
        Query::window(Window::new([i64::MAX, 0], [u64::MAX, 1])),
    );
    invalid(
        &["cells"],
        Query::window(Window::new([0, 0], [1 << 30, 1 << 30])),
    );
    invalid(&["`x`"], Query::window(Window::new([0, 0], [1, 0])));
}

#[test]
fn an_empty_grid_says_so() {
    let store = Store::in_memory().unwrap();
    let grid = store.create("dem", schema()).unwrap();
    for error in [
        grid.read(&Query::all()).unwrap_err(),
        grid.explain(&Query::all()).unwrap_err(),
    ] {
        assert_eq!(error.kind(), &ErrorKind::NotFound);
        assert!(
            error.to_string().contains("grid `dem`") && error.to_string().contains("empty"),
            "{error}"
        );
    }
    assert_eq!(
        (
            grid.extent().unwrap(),
            grid.top().unwrap(),
            grid.base_chunks().unwrap()
        ),
        (None, None, Vec::new())
    );
    assert_eq!(grid.aggregate_step().unwrap(), None);
}

#[test]
fn an_unknown_dimension_is_named_with_those_there_are() {
    let (_, grid) = prepared();
    let top = grid.top().unwrap().unwrap();
    refused(
        &grid,
        &ErrorKind::NotFound,
        &["grid `dem`", "`time`", "space"],
        || grid.parent(&top, "time"),
    );
    refused(
        &grid,
        &ErrorKind::NotFound,
        &["grid `dem`", "`time`", "space"],
        || grid.children(&top, "time"),
    );
}

/// A grid of another store has numbers of its own, which may well be another grid's here.
#[test]
fn a_grid_of_another_store_is_refused() {
    let (store, grid) = prepared();
    let (_, stranger) = prepared();
    let cells = Array2::from_elem((2, 2), 5.0_f32);
    refused(
        &grid,
        &ErrorKind::Invalid,
        &["grid `dem`", "another store"],
        || {
            let mut batch = store.batch();
            batch.put(&stranger, &Window::new([0, 0], [2, 2]), &cells)
        },
    );
}

#[test]
fn an_error_s_cause_is_told_once() {
    let (_, grid) = prepared();
    let error = grid
        .read(&Query::all().resolution([1.0, f64::NAN]))
        .unwrap_err();
    let text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        assert!(
            !text.contains(&inner.to_string()),
            "`{text}` repeats its cause"
        );
        cause = inner.source();
    }
}

#[cfg(not(feature = "object-store"))]
#[test]
fn a_url_in_a_build_without_object_storage_is_refused_with_what_to_do() {
    let url = "s3://bucket/store";
    let error = Store::open(url).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Invalid);
    let text = error.to_string();
    assert!(text.contains(url), "{text}");
    assert!(
        text.contains("cargo install gridstone --features cli,object-store"),
        "{text}"
    );
    assert!(!std::path::Path::new("s3:").exists());
}
