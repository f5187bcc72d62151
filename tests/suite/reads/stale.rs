//! What a stored answer does not call stale is what a fresh one has.

use std::collections::BTreeMap;
use std::sync::Arc;

use gridstone::kv::Memory;
use gridstone::{
    Aggregation, Answer, DType, Depth, Dimension, Freshness, Grid, Layer, Level, Policy, Query,
    Window,
};
use ndarray::{Array2, arr2};

use super::{KINDS, Kind, levels_of, of_single_events, schema};
use crate::check::{self, Dice, levels};

/// The cells of an answer that hold something, by where they lie, with the cell of the answer's
/// window that each is.
fn cells(grid: &Grid, answer: &Answer) -> BTreeMap<Vec<i64>, (u64, Vec<i64>)> {
    let mut found = BTreeMap::new();
    let structure = grid.structure();
    let at = levels_of(answer, structure.dimensions().len());
    for (index, value) in ndarray::indices(answer.array.shape())
        .into_iter()
        .zip(answer.validity.values(&answer.array))
    {
        let Some(value) = value else { continue };
        let place = |axis: usize| answer.window.start()[axis] + i64::try_from(index[axis]).unwrap();
        let mut place: Vec<i64> = (0..answer.array.shape().len()).map(place).collect();
        let mut cell = place.clone();
        if let Some(coordinates) = &answer.coordinates {
            let tick = coordinates.ticks[index[coordinates.axis]];
            let one = Window::new(
                vec![tick; place.len()].as_slice(),
                vec![1; place.len()].as_slice(),
            );
            (place[coordinates.axis], cell[coordinates.axis]) =
                (tick, structure.cover(&one, at).start()[coordinates.axis]);
        }
        found.insert(place, (value.to_bits(), cell));
    }
    found
}

/// A cell that differs and is not called stale, if there is one. Where `single` events stand for a
/// moment and are not the same one, all of the stored answer is stale.
fn difference(grid: &Grid, (stored, fresh): (&Answer, &Answer), single: bool) -> Option<String> {
    let (had, has) = (cells(grid, stored), cells(grid, fresh));
    // A step is stale where any of its ticks is.
    let steps = stored
        .coordinates
        .as_ref()
        .filter(|of| stored.window.levels(2)[0] == Level::ZERO && of.width > 1);
    let last = |axis: usize, cell: i64| match steps.filter(|of| of.axis == axis) {
        Some(of) => cell + i64::try_from(of.width).unwrap() - 1,
        None => cell,
    };
    let is_stale = |cell: &[i64]| {
        let meets = |window: &Window, axis: usize| {
            window.start()[axis] <= last(axis, cell[axis]) && cell[axis] < window.end()[axis]
        };
        stored
            .stale
            .iter()
            .any(|window| (0..cell.len()).all(|axis| meets(window, axis)))
    };
    let ticks = |answer: &Answer| answer.coordinates.as_ref().map(|of| of.ticks.clone());
    if single && ticks(stored) != ticks(fresh) {
        let kept = had.iter().find(|(_, (_, cell))| !is_stale(cell));
        return kept.map(|kept| {
            format!(
                "{kept:?} is of another event than {:?}; stale is {:?}",
                ticks(fresh),
                stored.stale
            )
        });
    }
    let differs = |place: &&Vec<i64>| {
        had.get(*place).map(|(value, _)| value) != has.get(*place).map(|(value, _)| value)
    };
    let places = had.keys().chain(has.keys()).filter(differs);
    let mut told = places.filter(|place| {
        !had.get(*place)
            .or(has.get(*place))
            .is_some_and(|(_, cell)| is_stale(cell))
    });
    let place = told.next()?;
    Some(format!(
        "{place:?} was {:?} and is {:?}; stale is {:?}",
        had.get(place),
        has.get(place),
        stored.stale
    ))
}

fn history(kind: &Kind, seed: u64) -> usize {
    let mut dice = Dice(seed);
    let grid = kind.create(Arc::new(Memory::new()), Policy::Manual);
    let queries = kind.queries();
    let (mut stale, mut done) = (0, Vec::new());
    for _ in 0..12 {
        done.push(kind.step(&grid, &mut dice).unwrap());
        for query in &queries[queries.len() / 2..] {
            let fresh = grid.read(&query.clone().freshness(Freshness::Fresh));
            let (Ok(stored), Ok(fresh)) = (grid.read(query), fresh) else {
                continue;
            };
            // Resampled cells are another lattice than the window's.
            let along = stored.coordinates.as_ref().map(|of| of.axis);
            let (read, answered) = (grid.structure().extent(&stored.window), &stored.extent);
            let cells = stored.window.shape();
            let mut lens = stored.array.shape().iter().zip(cells.iter()).enumerate();
            let plain = lens.all(|(axis, (len, cells))| {
                Some(axis) == along
                    || *len as u64 == *cells && read.bounds()[axis] == answered.bounds()[axis]
            });
            if (stored.window, &stored.layer) == (fresh.window, &fresh.layer) && plain {
                let wrong = difference(&grid, (&stored, &fresh), of_single_events(query));
                assert_eq!(
                    wrong, None,
                    "{}, seed {seed}: {query:?} after {done:#?}",
                    kind.name
                );
                stale += stored.stale.len();
            }
        }
    }
    stale
}

#[test]
fn what_is_not_called_stale_is_what_a_fresh_answer_has() {
    for kind in &KINDS {
        let stale: usize = (0..u64::from(check::cases(6)))
            .map(|seed| history(kind, seed))
            .sum();
        assert!(stale > 100, "{}: {stale} parts were stale", kind.name);
    }
}

/// Coarse data where finer was: the aggregates between them are about to go, and with them every
/// cell of theirs.
#[test]
fn an_aggregate_below_coarser_data_is_stale_as_a_whole() {
    let kind = Kind {
        schema: || {
            let space = Dimension::regular(
                "space",
                [
                    gridstone::Axis::new("y", 0.0, 1.0, 2),
                    gridstone::Axis::new("x", 0.0, 1.0, 4),
                ],
            );
            schema(
                [space.depth(Depth::Levels(1))],
                DType::U8,
                Some(0.0),
                &[Aggregation::Max],
            )
        },
        ..KINDS[3]
    };
    let grid = kind.create(Arc::new(Memory::new()), Policy::Manual);
    grid.put(&Window::new([15, 12], [2, 1]), &arr2(&[[7_u8], [4]]))
        .unwrap();
    grid.aggregate().unwrap();
    grid.clear(&Window::new([-8, 12], [25, 7])).unwrap();
    grid.put(
        &Window::new([4, 4], [1, 1]).at(levels(&[2])),
        &Array2::from_elem((1, 1), 5_u8),
    )
    .unwrap();
    let query = |freshness| {
        let query = Query::window(Window::new([7, 8], [1, 1]).at(levels(&[1])))
            .layer(Layer::Aggregate(Aggregation::Max));
        grid.read(&query.freshness(freshness)).unwrap()
    };
    let (stored, fresh) = (query(Freshness::Stored), query(Freshness::Fresh));
    assert_eq!(fresh.array.iter_f64().collect::<Vec<_>>(), [5.0]);
    assert_eq!(difference(&grid, (&stored, &fresh), false), None);
    assert_eq!(stored.stale, [stored.window]);
}
