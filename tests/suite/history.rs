//! Histories of many writers, readers and the aggregator at once, checked by values that no two
//! commits share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gridstone::kv::{Faulty, Memory};
use gridstone::{
    Aggregation, Axis, DType, Dimension, Freshness, Grid, Layer, Levels, Policy, Query, Schema,
    Store, StoreSnapshot, Structure, Window,
};
use ndarray::Array2;

use crate::check::{self, Dice};

const WRITERS: i64 = 4;
const PUTS: u32 = 20;

fn schema() -> Schema {
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
    );
    let structure = Structure::builder().dimension(space).build().unwrap();
    Schema::builder(structure, DType::F64)
        .aggregator(Aggregation::Sum)
        .build()
        .unwrap()
}

/// The cells that a writer owns: one in each of two chunks that all share, one in a chunk of its
/// own.
fn places(writer: i64) -> [[i64; 2]; 3] {
    [[-4 + writer, -1], [writer, 10], [40, 4 * writer]]
}

/// Every cell of a grid, by its place.
fn cells(grid: &Grid, query: &Query) -> BTreeMap<(i64, i64), f64> {
    let answer = grid.read(query).unwrap();
    let (start, shape) = (answer.window.start(), answer.window.shape());
    let columns = i64::try_from(shape[1]).unwrap();
    let place = |i: i64| (start[0] + i / columns, start[1] + i % columns);
    (0..)
        .zip(answer.array.iter_f64())
        .map(|(i, value)| (place(i), value))
        .collect()
}

/// What a snapshot shows of each writer: the same value in all its cells, not older than the one
/// before.
fn watch(snapshot: &StoreSnapshot, seen: &mut BTreeMap<(String, i64), f64>) {
    let values: Vec<Vec<f64>> = snapshot
        .grids()
        .unwrap()
        .iter()
        .map(|grid| {
            let all = cells(grid, &Query::all());
            let of = |writer: i64| {
                let values =
                    places(writer).map(|at| all.get(&(at[0], at[1])).copied().unwrap_or(f64::NAN));
                assert!(
                    values
                        .iter()
                        .all(|value| value.to_bits() == values[0].to_bits()),
                    "a torn commit of writer {writer}: {values:?}"
                );
                let before = seen.insert((grid.name().to_owned(), writer), values[0]);
                assert!(
                    before.is_none_or(|before| before.is_nan() || before <= values[0]),
                    "writer {writer}: {before:?}, then {}",
                    values[0]
                );
                values[0]
            };
            (0..WRITERS).map(of).collect()
        })
        .collect();
    let bits = |of: &[f64]| of.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(
        bits(&values[0]),
        bits(&values[1]),
        "a commit is in both grids or in none"
    );
}

/// Whatever a stored aggregate shows and no mark explains is the sum of the base cells of the same
/// snapshot.
fn weigh(snapshot: &StoreSnapshot) {
    for grid in snapshot.grids().unwrap() {
        let Some(reach) = grid.reach().unwrap() else {
            continue;
        };
        let base = cells(&grid, &Query::all());
        let total: f64 = base.values().filter(|value| !value.is_nan()).sum();
        for level in 1..=reach[0].get() {
            let at = Levels::zero(1).with(0, gridstone::Level::new(level).unwrap());
            let query = Query::all()
                .levels(at)
                .layer(Layer::Aggregate(Aggregation::Sum));
            let answer = grid.read(&query).unwrap();
            let fresh = grid
                .read(&query.clone().freshness(Freshness::Fresh))
                .unwrap();
            let sum: f64 = fresh.array.iter_f64().filter(|value| !value.is_nan()).sum();
            assert_eq!(sum, total, "level {level} computed on the fly");
            let (start, columns) = (
                answer.window.start(),
                i64::try_from(answer.window.shape()[1]).unwrap(),
            );
            for ((i, stored), fresh) in (0..)
                .zip(answer.array.iter_f64())
                .zip(fresh.array.iter_f64())
            {
                let cell = [start[0] + i / columns, start[1] + i % columns];
                let explained = answer.stale.iter().any(|stale| {
                    (0..2).all(|axis| {
                        stale.start()[axis] <= cell[axis] && cell[axis] < stale.end()[axis]
                    })
                });
                assert!(
                    explained || stored.to_bits() == fresh.to_bits(),
                    "level {level}, {cell:?}: {stored}, not {fresh}"
                );
            }
        }
    }
}

fn run(policy: Policy, seed: u64) {
    let engine = Faulty::hooked(Memory::new(), move |call| {
        if Dice(seed ^ call).chance(30) {
            std::thread::yield_now();
        }
    });
    let store = Store::options()
        .policy(policy)
        .marks_max(20)
        .open_engine(Arc::new(engine))
        .unwrap();
    let grids = ["a", "b"].map(|name| store.create(name, schema()).unwrap());
    let (next, done) = (AtomicU64::new(1), AtomicBool::new(false));
    let write = |writer: i64| {
        // Unique and, for one writer, rising. Whole numbers, so that sums are exact.
        let value = next.fetch_add(1, Ordering::Relaxed) as f64;
        let cell = Array2::from_elem((1, 1), value);
        let mut batch = store.batch();
        for grid in &grids {
            places(writer)
                .iter()
                .for_each(|at| batch.put(grid, &Window::new(*at, [1, 1]), &cell).unwrap());
        }
        (batch.commit().unwrap().sequence, value)
    };
    let last = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| scope.spawn(move || (1..PUTS).fold(write(writer), |_, _| write(writer))))
            .collect();
        for _ in 0..2 {
            scope.spawn(|| {
                let mut seen = BTreeMap::new();
                while !done.load(Ordering::Acquire) {
                    let snapshot = store.snapshot().unwrap();
                    if snapshot
                        .grids()
                        .unwrap()
                        .iter()
                        .all(|grid| grid.bounds().unwrap().is_some())
                    {
                        watch(&snapshot, &mut seen);
                        weigh(&snapshot);
                    }
                }
            });
        }
        if policy == Policy::Manual {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    grids
                        .iter()
                        .for_each(|grid| _ = grid.aggregate_step().unwrap());
                }
            });
        }
        let last: Vec<(u64, f64)> = writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .collect();
        done.store(true, Ordering::Release);
        last
    });
    if policy == Policy::Manual {
        store.aggregate().unwrap();
    }
    let newest = last.iter().map(|(sequence, _)| *sequence).max().unwrap();
    for grid in &grids {
        grid.wait(newest, Duration::from_secs(120)).unwrap();
        assert_eq!((grid.marks().unwrap(), grid.stats().unwrap().marks), (0, 0));
        let all = cells(grid, &Query::all());
        for (writer, (_, value)) in (0..).zip(&last) {
            places(writer).iter().for_each(|at| {
                assert_eq!(
                    all[&(at[0], at[1])],
                    *value,
                    "the last put of writer {writer}"
                )
            });
        }
    }
    assert_eq!(store.verify().unwrap().findings, []);
}

fn runs(policy: Policy) {
    (0..u64::from(check::cases(200) / 40 + 1)).for_each(|seed| run(policy, seed));
}

#[test]
fn i6_i7_i9_no_update_is_lost_and_no_read_torn_under_background() {
    runs(Policy::Background);
}

#[test]
fn i6_i7_i9_no_update_is_lost_and_no_read_torn_under_inline() {
    runs(Policy::Inline);
}

#[test]
fn i6_i7_i9_no_update_is_lost_and_no_read_torn_under_manual() {
    runs(Policy::Manual);
}
