//! Copies in many small parts.

use ndarray::{Array2, Array3};

use super::Excerpt;
use crate::grid::{Axis, Dimension, Level, Levels, Schema, Structure, Window};
use crate::reader::Query;
use crate::store::{Grid, Store};
use crate::writer::Overlap;
use crate::{Array, DType};

fn update_in_parts(
    target: &Grid,
    source: &Grid,
    part_bytes: usize,
) -> crate::Result<super::Updated> {
    super::update_in_parts(target, (source, &Excerpt::all()), part_bytes)
}

/// Cells a chunk of time and of each axis of space.
fn regular(time: u32, space: u32) -> Schema {
    let axes = [
        Axis::new("y", 0.0, -1.0, space),
        Axis::new("x", 0.0, 1.0, space),
    ];
    let time = Dimension::regular("time", [Axis::new("time", 0.0, 1.0, time)]);
    let structure = Structure::builder()
        .dimension(time)
        .dimension(Dimension::regular("space", axes).refinable());
    Schema::builder(structure.build().expect("valid"), DType::F32)
        .build()
        .expect("valid")
}

fn irregular(capacity: u32, space: u32) -> Schema {
    let axes = [
        Axis::new("y", 0.0, -1.0, space),
        Axis::new("x", 0.0, 1.0, space),
    ];
    let time = Dimension::irregular("time", "seconds since 1970-01-01", capacity, 10);
    let structure = Structure::builder()
        .dimension(time)
        .dimension(Dimension::regular("space", axes));
    Schema::builder(structure.build().expect("valid"), DType::I32)
        .build()
        .expect("valid")
}

fn all(grid: &Grid) -> (Option<Vec<i64>>, Window, Array) {
    let answer = grid.read(&Query::all()).expect("reads");
    (
        answer.coordinates.map(|coordinates| coordinates.ticks),
        answer.window,
        answer.array,
    )
}

fn number(of: usize) -> u64 {
    (of as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40
}

#[test]
fn i4_a_copy_in_parts_of_any_size_is_the_whole() {
    for (from, to) in [((2, 16), (16, 2)), ((16, 2), (2, 16)), ((4, 4), (4, 4))] {
        for part_bytes in [1, 600, 5_000, 1 << 20] {
            let store = Store::in_memory().expect("opens");
            let source = store
                .create("source", regular(from.0, from.1))
                .expect("made");
            let target = store.create("target", regular(to.0, to.1)).expect("made");
            for round in 0..8 {
                let level = Level::new([1, 1, 0, 1, -1, 0, 1, -1][round]).expect("a level");
                let at = |number: u64| i64::try_from(number % 40).expect("small") - 20;
                let start = [
                    at(number(round)),
                    at(number(round + 10)),
                    at(number(round + 20)),
                ];
                let window = Window::new(start, [7, 9, 11]).at(Levels::zero(2).with(1, level));
                let cells = Array3::from_shape_fn((7, 9, 11), |(t, y, x)| {
                    (number(round * 1000 + t * 100 + y * 11 + x) % 97) as f32
                });
                let put = source.put(
                    &window,
                    &cells.mapv(|value| if value < 9.0 { f32::NAN } else { value }),
                );
                if put.is_err() {
                    source.clear(&window).expect("cleared");
                }
                update_in_parts(&target, &source, part_bytes).expect("updated");
                let (_, window, array) = all(&source);
                let answer = target.read(&Query::window(window)).expect("reads");
                let equal = array
                    .iter_f64()
                    .map(f64::to_bits)
                    .eq(answer.array.iter_f64().map(f64::to_bits));
                assert!(
                    equal,
                    "{from:?} to {to:?} in parts of {part_bytes} bytes, round {round}"
                );
            }
        }
    }
}

#[test]
fn i4_a_copy_of_events_in_parts_of_any_size_is_the_whole() {
    for (from, to) in [((2, 16), (64, 2)), ((64, 2), (2, 16))] {
        for part_bytes in [1, 600, 1 << 20] {
            let store = Store::in_memory().expect("opens");
            let source = store
                .create("source", irregular(from.0, from.1))
                .expect("made");
            let target = store.create("target", irregular(to.0, to.1)).expect("made");
            for round in 0..8 {
                let tick = |i: usize| i64::try_from(number(7 * round + i) % 500).expect("small");
                let start = [i64::try_from(number(round) % 20).expect("small"), -3];
                let mut ticks: Vec<i64> = (0..5).map(tick).collect();
                ticks.sort_unstable();
                ticks.dedup();
                let cells = Array3::from_shape_fn((ticks.len(), 6, 9), |(t, y, x)| {
                    i32::try_from(t * y * x + round).expect("small")
                });
                source
                    .put_events(&ticks, start, &cells, Overlap::Merge)
                    .expect("put");
                let gone = Window::new([tick(9), start[0] - 30, -30], [60, 60, 60]);
                source.clear(&gone).expect("cleared");
                update_in_parts(&target, &source, part_bytes).expect("updated");
                assert_eq!(
                    all(&source),
                    all(&target),
                    "{from:?} to {to:?} in parts of {part_bytes} bytes, round {round}"
                );
            }
        }
    }
}

/// A window of 2^40 x 2^40 cells with two chunks in it is no more work than these.
#[test]
fn a_copy_of_little_in_a_wide_place_looks_at_what_is_there() {
    let plane = |chunk: u32| {
        let space = Dimension::regular(
            "space",
            [
                Axis::new("y", 0.0, 1.0, chunk),
                Axis::new("x", 0.0, 1.0, chunk),
            ],
        );
        Schema::builder(
            Structure::builder()
                .dimension(space)
                .build()
                .expect("valid"),
            DType::U8,
        )
        .build()
        .expect("valid")
    };
    let store = Store::in_memory().expect("opens");
    let source = store.create("source", plane(8)).expect("made");
    let target = store.create("target", plane(4)).expect("made");
    let far = 1_i64 << 39;
    for at in [-far, far] {
        source
            .put(
                &Window::new([at, at], [3, 3]),
                &Array2::from_elem((3, 3), 7_u8),
            )
            .expect("put");
    }
    let updated = update_in_parts(&target, &source, 1 << 20).expect("updated");
    assert_eq!(
        (updated.full, updated.chunks_read, updated.chunks),
        (true, 2, 2)
    );
    source
        .delete(&Window::new([-far, -far], [1 << 38, 1 << 41]))
        .expect("deleted");
    let updated = update_in_parts(&target, &source, 1 << 20).expect("updated");
    assert_eq!(
        (updated.full, updated.chunks_read, updated.chunks),
        (false, 0, 1)
    );
    assert_eq!(
        target.bounds().expect("there"),
        source.bounds().expect("there")
    );
}
