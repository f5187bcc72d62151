//! Which grids are copies of which, how much is copied, and what is refused.

use std::sync::Arc;

use gridstone::kv::{Engine, Memory};
use gridstone::{
    Aggregation, Axis, DType, Depth, Dimension, ErrorKind, Grid, Level, Policy, Query, Schema,
    SchemaBuilder, Store, Structure, Window,
};
use ndarray::{Array3, ArrayD, IxDyn};

use super::{compare, level};
use crate::check::structure;

fn hours(chunk: u32) -> Dimension {
    Dimension::regular(
        "time",
        [Axis::new("time", 0.0, 1.0, chunk).unit("hours since 2020-01-01")],
    )
}

fn space(chunk: u32) -> Dimension {
    Dimension::regular(
        "space",
        [
            Axis::new("y", 0.0, -1.0, chunk),
            Axis::new("x", 0.0, 1.0, chunk),
        ],
    )
}

fn builder(dimensions: [Dimension; 2]) -> SchemaBuilder {
    let structure = structure(dimensions);
    Schema::builder(structure, DType::F32).aggregator(Aggregation::Count)
}

fn schema(time: u32, side: u32) -> Schema {
    builder([hours(time), space(side)]).build().unwrap()
}

fn put(grid: &Grid, start: [i64; 3], shape: [u64; 3], value: f32) {
    let sizes = shape.map(|len| usize::try_from(len).unwrap());
    grid.put(&Window::new(start, shape), &Array3::from_elem(sizes, value))
        .unwrap();
}

#[test]
fn only_what_changed_is_read_and_written() {
    let store = Store::in_memory().unwrap();
    let source = store.create("maps", schema(2, 32)).unwrap();
    let target = store.create("series", schema(32, 2)).unwrap();
    put(&source, [0, 0, 0], [8, 64, 64], 1.0);
    let first = target.update_from(&source).unwrap();
    assert_eq!(
        (first.full, first.changes, first.chunks_read, first.cells),
        (true, 0, 16, 8 * 64 * 64)
    );
    assert_eq!(first.chunks, 32 * 32);
    put(&source, [8, 3, 4], [1, 2, 2], 2.0);
    put(&source, [3, 40, 40], [1, 1, 1], 3.0);
    let second = target.update_from(&source).unwrap();
    // 2 x 2 cells lie in two rows of the target's chunks, and the single one in a chunk of its own.
    assert_eq!(
        (
            second.full,
            second.changes,
            second.chunks_read,
            second.cells,
            second.chunks
        ),
        (false, 2, 2, 5, 3)
    );
    assert_eq!(second.to, source.changes_token().unwrap());
    compare(&source, &target).unwrap();
    let (before, token) = (
        target.stored_chunks().unwrap(),
        target.changes_token().unwrap(),
    );
    let third = target.update_from(&source).unwrap();
    assert_eq!(
        (
            third.full,
            third.changes,
            third.chunks_read,
            third.cells,
            third.chunks
        ),
        (false, 0, 0, 0, 0)
    );
    assert_eq!(
        (
            target.stored_chunks().unwrap(),
            target.changes_token().unwrap()
        ),
        (before, token),
        "nothing is written"
    );
}

#[test]
fn all_is_copied_again_from_another_source_and_when_changes_are_kept_no_longer() {
    let store = Store::options()
        .changes_kept(2)
        .open_engine(Arc::new(Memory::new()) as Arc<dyn Engine>)
        .unwrap();
    let other = Store::in_memory().unwrap();
    let sources = [
        store.create("a", schema(2, 8)).unwrap(),
        store.create("b", schema(8, 2)).unwrap(),
        // The same number in another store.
        other.create("a", schema(4, 4)).unwrap(),
    ];
    let target = store.create("target", schema(8, 4)).unwrap();
    for (number, source) in (0_i64..).zip(&sources) {
        put(
            source,
            [number, 2 * number, 0],
            [2, 3, 5],
            number as f32 + 1.0,
        );
        put(source, [40 * number, 0, 0], [1, 1, 1], 9.0);
        assert!(
            target.update_from(source).unwrap().full,
            "source {number} is another one"
        );
        compare(source, &target).unwrap();
        assert!(!target.update_from(source).unwrap().full);
    }
    let [source, ..] = &sources;
    target.update_from(source).unwrap();
    for number in 0..600 {
        put(source, [number % 9, 0, 0], [1, 1, 2], number as f32);
    }
    assert!(
        target.update_from(source).unwrap().full,
        "the changes are gone"
    );
    compare(source, &target).unwrap();
    // One of the same name is another one.
    store.drop_grid("target").unwrap();
    let target = store.create("target", schema(2, 2)).unwrap();
    assert!(target.update_from(source).unwrap().full);
    compare(source, &target).unwrap();
    store.swap("a", "b").unwrap();
    assert!(
        !target.update_from(&store.grid("b").unwrap()).unwrap().full,
        "it has another name now, and is the same"
    );
    assert!(target.update_from(&store.grid("a").unwrap()).unwrap().full);
}

#[test]
fn a_source_without_data_empties_the_target_and_may_come_back_at_another_level() {
    let store = Store::in_memory().unwrap();
    let [source, target] = [("a", schema(2, 8)), ("b", schema(8, 2))]
        .map(|(name, schema)| store.create(name, schema).unwrap());
    assert!(target.update_from(&source).unwrap().full, "of nothing");
    compare(&source, &target).unwrap();
    put(&source, [0, 0, 0], [3, 3, 3], 1.0);
    assert_eq!(target.update_from(&source).unwrap().changes, 1);
    compare(&source, &target).unwrap();
    source.delete(&source.bounds().unwrap().unwrap()).unwrap();
    target.update_from(&source).unwrap();
    compare(&source, &target).unwrap();
    for emptied in [true, false] {
        if let Some(bounds) = source.bounds().unwrap() {
            source.delete(&bounds).unwrap();
        }
        if emptied {
            target.update_from(&source).unwrap();
        }
        let at = [level(i8::from(emptied)), level(1)].into_iter().collect();
        source
            .put(
                &Window::new([1, 1, 1], [2, 2, 2]).at(at),
                &Array3::from_elem([2, 2, 2], 5.0_f32),
            )
            .unwrap();
        target.update_from(&source).unwrap();
        compare(&source, &target).unwrap();
        assert_eq!(target.levels_in_use().unwrap(), [at]);
    }
    assert_eq!(store.verify().unwrap().findings, []);
}

/// The update is refused for what the error names, and nothing changes.
fn refused(target: &Grid, source: &Grid, names: &[&str]) {
    let before = target.stored_chunks().unwrap();
    let error = target.update_from(source).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Invalid, "{error}");
    let target_name = format!("grid `{}`", target.name());
    names
        .iter()
        .chain([&target_name.as_str()])
        .for_each(|name| assert!(error.to_string().contains(name), "{error} has not {name}"));
    assert_eq!(target.stored_chunks().unwrap(), before);
}

#[test]
fn a_grid_of_other_cells_is_refused_with_what_differs() {
    let store = Store::in_memory().unwrap();
    let target = store.create("target", schema(8, 2)).unwrap();
    put(&target, [0, 0, 0], [2, 2, 2], 4.0);
    refused(&target, &target, &["from itself"]);
    let axes = |y: Axis, x: Axis| Dimension::regular("space", [y, x]);
    let (y, x) = (
        || Axis::new("y", 0.0, -1.0, 4),
        || Axis::new("x", 0.0, 1.0, 4),
    );
    let irregular = Dimension::irregular("time", "hours since 2020-01-01", 8, 1);
    let daily = Dimension::regular(
        "time",
        [Axis::new("time", 0.0, 1.0, 8).unit("days since 2020-01-01")],
    );
    let steps = Dimension::fixed("time", ["a", "b"]);
    let cases: Vec<(SchemaBuilder, &[&str])> = vec![
        (
            Schema::builder(structure([hours(2), space(4)]), DType::F64),
            &["float32", "float64"],
        ),
        (
            builder([hours(2), space(4)]).nodata(-1.0),
            &["nodata", "none", "-1"],
        ),
        (
            builder([space(4), hours(2)]),
            &["dimensions", "time, space", "space, time"],
        ),
        (
            builder([hours(2), axes(Axis::new("y", 10.0, -1.0, 4), x())]),
            &["`space`", "`y`", "begins at 0", "10"],
        ),
        (
            builder([hours(2), axes(y(), Axis::new("x", 0.0, 2.0, 4))]),
            &["`space`", "`x`", "cells of 1", "of 2"],
        ),
        (
            builder([hours(2), axes(x(), y())]),
            &["`space`", "axes are y, x", "x, y"],
        ),
        (
            builder([daily, space(4)]),
            &["`time`", "hours since", "days since"],
        ),
        (
            builder([irregular, space(4)]),
            &["`time`", "regular", "irregular"],
        ),
        (
            builder([steps, space(4).refinable()]),
            &["`time`", "of labels"],
        ),
        (
            builder([hours(2), space(4).refinable()]),
            &["`space`", "not refinable"],
        ),
        (
            Schema::builder(
                Structure::builder()
                    .dimension(hours(2))
                    .dimension(space(4))
                    .crs("EPSG:4326")
                    .build()
                    .unwrap(),
                DType::F32,
            ),
            &["coordinate reference system"],
        ),
    ];
    for (number, (schema, names)) in cases.into_iter().enumerate() {
        let source = store
            .create(&format!("s{number}"), schema.build().unwrap())
            .unwrap();
        refused(&target, &source, names);
        refused(&target, &source, &[&format!("`s{number}`")]);
    }
    // What does not change cells may differ.
    let deep = builder([hours(16).depth(Depth::Levels(1)), space(16)])
        .aggregator(Aggregation::Mean)
        .zstd_level(3);
    let deep = store.create("deep", deep.build().unwrap()).unwrap();
    put(&deep, [5, 5, 5], [1, 2, 3], 8.0);
    target.update_from(&deep).unwrap();
    compare(&deep, &target).unwrap();
}

#[test]
fn base_data_at_a_level_at_which_chunks_of_two_lengths_have_other_cells_is_refused() {
    let store = Store::in_memory().unwrap();
    let plane = |side: u32| {
        let structure = Structure::builder().dimension(space(side)).build().unwrap();
        Schema::builder(structure, DType::F32)
            .aggregator(Aggregation::Count)
            .build()
            .unwrap()
    };
    let [source, target, same] = [("a", 16), ("b", 4), ("c", 16)]
        .map(|(name, side)| store.create(name, plane(side)).unwrap());
    let put = |at: i8| {
        let window =
            Window::new([50 * i64::from(at), 1], [3, 3]).at([level(at)].into_iter().collect());
        source
            .put(&window, &ArrayD::from_elem(IxDyn(&[3, 3]), 1.0_f32))
            .unwrap();
    };
    put(2);
    target.update_from(&source).unwrap();
    compare(&source, &target).unwrap();
    put(3);
    refused(
        &target,
        &source,
        &["`a`", "level 3", "`space`", "4 and of 16 cells", "`y`"],
    );
    same.update_from(&source).unwrap();
    compare(&source, &same).unwrap();
    assert_eq!(
        same.base_chunks().unwrap(),
        source
            .base_chunks()
            .unwrap()
            .into_iter()
            .map(|mut chunk| {
                // Of the same cells under another key the checksum is another.
                let of_copy = same
                    .base_chunks()
                    .unwrap()
                    .into_iter()
                    .find(|copy| copy.location == chunk.location)
                    .unwrap();
                (chunk.checksum, chunk.bytes) = (of_copy.checksum, of_copy.bytes);
                chunk
            })
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_snapshot_is_neither_source_nor_target() {
    let store = Store::in_memory().unwrap();
    let [source, target] = [("a", schema(2, 8)), ("b", schema(8, 2))]
        .map(|(name, schema)| store.create(name, schema).unwrap());
    put(&source, [0, 0, 0], [3, 3, 3], 1.0);
    let snapshot = store.snapshot().unwrap();
    for (to, from) in [
        (&target, &snapshot.grid("a").unwrap()),
        (&snapshot.grid("b").unwrap(), &source),
    ] {
        let error = to.update_from(from).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().contains("snapshot")),
            (&ErrorKind::Invalid, true),
            "{error}"
        );
    }
    drop(source);
    let gone = store.grid("a").unwrap();
    store.drop_grid("a").unwrap();
    assert_eq!(
        target.update_from(&gone).unwrap_err().kind(),
        &ErrorKind::NotFound
    );
}

/// Coarser data in place of finer is as coarse in the target.
#[test]
fn i8_data_that_became_coarser_is_not_kept_finer() {
    let store = Store::options()
        .policy(Policy::Inline)
        .open_engine(Arc::new(Memory::new()) as Arc<dyn Engine>)
        .unwrap();
    let plane = |side: u32| {
        let structure = Structure::builder().dimension(space(side)).build().unwrap();
        Schema::builder(structure, DType::U8)
            .aggregator(Aggregation::Count)
            .build()
            .unwrap()
    };
    let [source, target] =
        [("a", 8), ("b", 4)].map(|(name, side)| store.create(name, plane(side)).unwrap());
    let at = |level: Level| [level].into_iter().collect::<gridstone::Levels>();
    let all = Window::new([0, 0], [32, 32]);
    source
        .put(&all, &ArrayD::from_elem(IxDyn(&[32, 32]), 3_u8))
        .unwrap();
    target.update_from(&source).unwrap();
    source.clear(&all).unwrap();
    let coarse = Window::new([0, 0], [8, 8]).at(at(level(2)));
    source
        .put(&coarse, &ArrayD::from_elem(IxDyn(&[8, 8]), 5_u8))
        .unwrap();
    target.update_from(&source).unwrap();
    compare(&source, &target).unwrap();
    target.clean().unwrap();
    assert_eq!(target.levels_in_use().unwrap(), [at(level(2))]);
    assert_eq!(target.read(&Query::all()).unwrap().array.shape(), [8, 8]);
    assert_eq!(store.verify().unwrap().findings, []);
}
