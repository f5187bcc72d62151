//! What a fuzz target and the tests of hostile keys run.

use std::sync::OnceLock;

use super::key::Key;
use super::{Format, View, ViewOptions};
use crate::error::Result;
use crate::grid::{Axis, Dimension, Schema, Structure, Window};
use crate::kernel::Aggregation;
use crate::{DType, Store};

/// Bytes are no key, or one that leads somewhere in one way: what is there has a version, and what a
/// key stands for is written as the key.
pub fn fuzz_zarr(bytes: &[u8]) {
    static VIEWS: OnceLock<Result<[View; 2]>> = OnceLock::new();
    let (Ok(views), Ok(key)) = (VIEWS.get_or_init(views), std::str::from_utf8(bytes)) else {
        return;
    };
    for view in views {
        let found = view
            .get(key)
            .unwrap_or_else(|error| panic!("`{key}`: {error:?}"));
        let version = view
            .version(key)
            .unwrap_or_else(|error| panic!("`{key}`: {error:?}"));
        assert!(
            found.is_none() || version.is_some(),
            "`{key}` has a version"
        );
        if let Some(parsed) = Key::parse(key, &view.layout, view.format) {
            assert_eq!(parsed.text(&view.layout, view.format), key);
        }
        drop(view.folder(key));
    }
}

/// A grid with times, labels and space in both formats.
fn views() -> Result<[View; 2]> {
    let time = Axis::new("time", 0.0, 1.0, 2).unit("hours since 2020-01-01");
    let space = [Axis::new("y", 8.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)];
    let structure = Structure::builder()
        .dimension(Dimension::regular("time", [time]))
        .dimension(Dimension::fixed("band", ["red", "nir"]))
        .dimension(Dimension::regular("space", space))
        .build()?;
    let schema = Schema::builder(structure, DType::U16)
        .aggregator(Aggregation::Max)
        .build()?;
    let grid = Store::in_memory()?.create("g", schema)?;
    let cells = ndarray::Array4::from_elem((3, 2, 9, 8), 7_u16);
    grid.put(&Window::new([0, 0, -1, 0], [3, 2, 9, 8]), &cells)?;
    let of = |format| {
        View::new(
            &grid,
            &ViewOptions {
                format,
                ..ViewOptions::default()
            },
        )
    };
    Ok([of(Format::V3)?, of(Format::V2)?])
}
