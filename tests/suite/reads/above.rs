//! Levels above the top, where one chunk holds all data: they are made of it as they are read.

use std::collections::BTreeSet;

use gridstone::{
    Aggregation, Axis, DType, Depth, Dimension, ErrorKind, Freshness, Grid, Layer, Query, Schema,
    Store, Structure, Window,
};
use ndarray::arr2;

use crate::check::levels;

fn line(name: &str, chunk: u32) -> Dimension {
    Dimension::regular(name, [Axis::new(name, 0.0, 1.0, chunk)])
}

fn grid(dimensions: [Dimension; 2], dtype: DType) -> Grid {
    let structure = dimensions
        .into_iter()
        .fold(Structure::builder(), gridstone::StructureBuilder::dimension);
    let schema = Schema::builder(structure.build().unwrap(), dtype)
        .aggregator(Aggregation::Sum)
        .aggregator(Aggregation::Count)
        .aggregator(Aggregation::Mean);
    let schema = schema.nodata(255.0).build().unwrap();
    Store::in_memory().unwrap().create("g", schema).unwrap()
}

fn cells(grid: &Grid, query: Query, layer: Aggregation) -> Vec<Option<f64>> {
    let answer = grid.read(&query.layer(Layer::Aggregate(layer))).unwrap();
    let valid = answer.validity.iter(&answer.array);
    let cells = answer.array.iter_f64().zip(valid);
    cells.map(|(cell, valid)| valid.then_some(cell)).collect()
}

/// Found by attack: the sum 255 of four cells was told from the sum of none by no level, since all
/// of it lies in one chunk.
#[test]
fn i2_levels_above_the_top_are_those_of_a_grid_that_has_more_far_away() {
    let data = arr2(&[
        [100_u8, 100, 255, 255, 1, 1, 1, 1],
        [50, 5, 255, 255, 1, 1, 1, 1],
    ]);
    let window = Window::new([0, 0], [2, 8]);
    let [whole, far] = [false, true].map(|far| {
        let grid = grid([line("time", 2), line("x", 8)], DType::U8);
        grid.put(&window, &data).unwrap();
        if far {
            let away = Window::new([1 << 20, 1 << 20], [1, 1]);
            grid.put(&away, &arr2(&[[9_u8]])).unwrap();
        }
        grid
    });
    assert_eq!(whole.top().unwrap().unwrap().levels(), levels(&[0, 0]));
    assert_eq!(far.top().unwrap().unwrap().levels(), levels(&[20, 18]));
    let one = Query::all().levels(levels(&[1, 1]));
    assert_eq!(
        cells(&whole, one.clone(), Aggregation::Sum),
        [Some(255.0), None, Some(4.0), Some(4.0)]
    );
    for at in [[0, 1], [1, 0], [1, 1], [0, 3], [5, 2], [1, 9], [16, 16]] {
        for freshness in [Freshness::Fresh, Freshness::Stored] {
            let query = Query::window(window)
                .levels(levels(&at))
                .freshness(freshness);
            for layer in [Aggregation::Sum, Aggregation::Count, Aggregation::Mean] {
                assert_eq!(
                    cells(&whole, query.clone(), layer.clone()),
                    cells(&far, query.clone(), layer.clone()),
                    "{layer} at {at:?}, {freshness:?}"
                );
            }
            let query = query.layer(Layer::Aggregate(Aggregation::Sum));
            for grid in [&whole, &far] {
                let (answer, explained) = (grid.read(&query).unwrap(), grid.explain(&query));
                let served = grid.serving(&query).unwrap();
                assert_eq!(explained.unwrap().stored, answer.chunks_read, "{at:?}");
                let named: BTreeSet<_> = served.iter().map(|served| served.location).collect();
                assert_eq!(named.len() as u64, answer.chunks_read, "{at:?}");
            }
        }
    }
}

#[test]
fn the_depth_of_a_dimension_is_its_limit() {
    let grid = grid(
        [line("time", 4).depth(Depth::Levels(2)), line("x", 4)],
        DType::I32,
    );
    grid.put(&Window::new([0, 0], [2, 2]), &arr2(&[[1, 2], [3, 4]]))
        .unwrap();
    let read = |time: i8| grid.read(&Query::all().levels(levels(&[time, 1])));
    assert_eq!(read(2).unwrap().array.iter_f64().next(), Some(10.0));
    let explained = grid.explain(&Query::all().levels(levels(&[3, 1])));
    assert_eq!(*explained.unwrap_err().kind(), ErrorKind::NotFound);
    let error = read(3).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NotFound);
    assert!(
        error
            .to_string()
            .contains("there is no level 3 of dimension `time`: it has 0 to 2"),
        "{error}"
    );
}

#[test]
fn i8_the_feed_names_what_changes_above_the_top() {
    let grid = grid([line("time", 4), line("x", 4)], DType::I32);
    let high = levels(&[1, 3]);
    let query = Query::window(Window::new([0, 0], [4, 8])).levels(high);
    let query = query.layer(Layer::Aggregate(Aggregation::Sum));
    let query = query.freshness(Freshness::Stored);
    let mut token = grid.changes_token().unwrap();
    let (mut before, mut changed) = (None, 0);
    // Within one chunk, beside it, so that the top rises, and far away.
    for x in [0, 2, 5, 70] {
        let version = grid.version(&query).ok();
        grid.put(&Window::new([0, x], [1, 1]), &arr2(&[[7]]))
            .unwrap();
        let changes = grid.changes_since(&token).unwrap();
        let named: Vec<Window> = changes
            .changes
            .iter()
            .flat_map(|change| change.stored(grid.structure(), high))
            .collect();
        let now = grid
            .read(&query)
            .unwrap()
            .array
            .iter_f64()
            .collect::<Vec<_>>();
        let first = Window::new([0, 0], [1, 1]).at(high);
        let is_named = named
            .iter()
            .any(|window| grid.structure().intersection(window, &first).is_some());
        if before.as_ref().is_some_and(|before| *before != now) {
            changed += 1;
            assert!(is_named, "x {x}: {named:?}");
            assert_ne!(version, grid.version(&query).ok());
        }
        (before, token) = (Some(now), changes.next);
    }
    assert_eq!(changed, 2, "puts that change it");
}
