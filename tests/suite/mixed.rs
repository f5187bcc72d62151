//! Base data at several levels of one grid.

use std::sync::Arc;

use gridstone::kv::Memory;
use gridstone::{
    Aggregation, Axis, DType, Dimension, Extent, Grid, Overlap, Policy, Query, Schema, Stat,
    StatisticsQuery, Store, Structure, Window,
};
use ndarray::{Array2, Array3};

use crate::check::{self, Dice, levels, open};

fn space(chunk: u32) -> Dimension {
    Dimension::regular(
        "space",
        [
            Axis::new("y", 0.0, -1.0, chunk),
            Axis::new("x", 0.0, 1.0, chunk),
        ],
    )
}

fn grid(store: &Store, name: &str) -> Grid {
    let structure = Structure::builder().dimension(space(8)).build().unwrap();
    let layers = [
        Aggregation::Count,
        Aggregation::Sum,
        Aggregation::Min,
        Aggregation::Max,
        Aggregation::Variance,
    ];
    let schema = layers.into_iter().fold(
        Schema::builder(structure, DType::F64),
        gridstone::SchemaBuilder::aggregator,
    );
    store.create(name, schema.build().unwrap()).unwrap()
}

fn random(dice: &mut Dice, side: usize) -> Array2<f64> {
    Array2::from_shape_simple_fn((side, side), || {
        if dice.chance(15) {
            f64::NAN
        } else {
            dice.range(-50, 50) as f64 / 4.0
        }
    })
}

/// The same array, each cell repeated.
fn repeated(array: &Array2<f64>, times: usize) -> Array2<f64> {
    Array2::from_shape_fn((array.nrows() * times, array.ncols() * times), |(y, x)| {
        array[[y / times, x / times]]
    })
}

/// A grid with cells of three sizes, and one with the same values in cells of the finest.
fn pair(store: &Store, dice: &mut Dice) -> (Grid, Grid) {
    let (mixed, fine) = (grid(store, "mixed"), grid(store, "fine"));
    for (level, start, side) in [(2, [-8, -8], 16), (0, [-9, -3], 17), (-1, [1, 2], 9)] {
        let cells = random(dice, side);
        let at = |level: i8| levels(&[level]);
        mixed
            .put(&Window::new(start, [side as u64; 2]).at(at(level)), &cells)
            .unwrap();
        let times = 1_usize << (level + 1);
        let first = start.map(|cell: i64| cell << (level + 1));
        fine.put(
            &Window::new(first, [(side * times) as u64; 2]).at(at(-1)),
            &repeated(&cells, times),
        )
        .unwrap();
    }
    (mixed, fine)
}

#[test]
fn i7_statistics_over_cells_of_several_sizes_are_those_of_the_finest() {
    for seed in 0..6 {
        let mut dice = Dice(seed);
        let store = Store::options().policy(if seed % 2 == 0 {
            Policy::Inline
        } else {
            Policy::Manual
        });
        let store = store.open_engine(Arc::new(Memory::new())).unwrap();
        let (mixed, fine) = pair(&store, &mut dice);
        for round in 0..12 {
            if round == 6 {
                mixed.aggregate().unwrap();
            }
            let (y, x) = (
                dice.range(-40, 40) as f64 / 2.0,
                dice.range(-40, 40) as f64 / 2.0,
            );
            let extent = Extent::new([
                (y, y + dice.range(1, 60) as f64 / 2.0),
                (x, x + dice.range(1, 60) as f64 / 2.0),
            ]);
            let query = StatisticsQuery::all().extent(extent).stats(Stat::ALL);
            let (a, b) = (
                mixed.statistics(&query).unwrap(),
                fine.statistics(&query).unwrap(),
            );
            for stat in Stat::ALL {
                let (a, b) = (
                    a.get(stat).map(|of| of.value),
                    b.get(stat).map(|of| of.value),
                );
                let close = match (a, b) {
                    (Some(a), Some(b)) => {
                        (a - b).abs() <= 1e-9 * (1.0 + b.abs()) || a.is_nan() && b.is_nan()
                    }
                    (a, b) => a.is_none() && b.is_none(),
                };
                assert!(
                    close,
                    "seed {seed} round {round} {stat:?}: {a:?} is not {b:?}"
                );
            }
        }
    }
}

#[test]
fn i8_a_batch_may_put_coarse_data_and_finer_data_into_it() {
    let store = Store::in_memory().unwrap();
    let grid = grid(&store, "a");
    let (coarse, fine) = (
        Array2::from_elem((4, 4), 1.0),
        Array2::from_elem((2, 2), 2.0),
    );
    let mut batch = store.batch();
    batch
        .put(
            &grid,
            &Window::new([0, 0], [4, 4]).at(levels(&[3])),
            &coarse,
        )
        .unwrap();
    batch
        .put(&grid, &Window::new([5, 5], [2, 2]), &fine)
        .unwrap();
    batch.commit().unwrap();
    let answer = grid
        .read(&Query::window(Window::new([0, 0], [32, 32])))
        .unwrap()
        .array
        .into_typed::<f64>()
        .unwrap();
    for ((y, x), value) in answer
        .into_dimensionality::<ndarray::Ix2>()
        .unwrap()
        .indexed_iter()
    {
        let want = if (5..7).contains(&y) && (5..7).contains(&x) {
            2.0
        } else {
            1.0
        };
        assert_eq!(*value, want, "cell {y}, {x}");
    }
    assert_eq!(store.verify().unwrap().findings, []);
}

/// Of a splitting put and a coarse put beside each other, begun from the same state, no order
/// leaves base data under base data.
#[test]
fn i8_writers_of_different_levels_never_leave_base_under_base() {
    for round in 0..20 {
        let store = Store::in_memory().unwrap();
        let grid = grid(&store, "a");
        std::thread::scope(|scope| {
            for level in [-2_i8, 0, 1, 3] {
                let grid = &grid;
                scope.spawn(move || {
                    let mut dice = Dice(round * 10 + u64::from(level.unsigned_abs()));
                    for _ in 0..6 {
                        let reach = 64 >> (level + 2);
                        let start = [dice.range(-reach, reach), dice.range(-reach, reach)];
                        let put = grid.put(
                            &Window::new(start, [3, 3]).at(levels(&[level])),
                            &Array2::from_elem((3, 3), 1.0),
                        );
                        if let Err(error) = put {
                            let kind = gridstone::ErrorKind::AggregatedLevel {
                                dimension: "space".to_owned(),
                            };
                            assert_eq!(error.kind(), &kind);
                        }
                    }
                });
            }
        });
        grid.aggregate().unwrap();
        assert_eq!(store.verify().unwrap().findings, [], "round {round}");
    }
}

/// Retention: the oldest of many steps goes without a look at the others, and pyramid, extent and
/// top end where the data does.
#[test]
fn deleting_the_oldest_steps_reads_none_of_the_others() {
    let time = Dimension::regular("time", [Axis::new("t", 0.0, 1.0, 2)]);
    let structure = Structure::builder()
        .dimension(time)
        .dimension(space(8))
        .build()
        .unwrap();
    let schema = Schema::builder(structure, DType::F32)
        .aggregator(Aggregation::Mean)
        .build()
        .unwrap();
    let store = Store::in_memory().unwrap();
    let rain = store.create("rain", schema).unwrap();
    let field = |value: f32| Array3::from_elem((1, 8, 8), value);
    for step in 0..100_u8 {
        rain.put(
            &Window::new([i64::from(step), 0, 0], [1, 8, 8]),
            &field(f32::from(step)),
        )
        .unwrap();
    }
    let before = rain.stats().unwrap().chunks_read;
    rain.delete(&Window::new([0, 0, 0], [2, 8, 8])).unwrap();
    let read = rain.stats().unwrap().chunks_read - before;
    assert!(
        read <= 2 * 8,
        "{read} chunks read for a pyramid of 7 levels"
    );
    assert_eq!(rain.extent().unwrap().unwrap().bounds()[0], (2.0, 100.0));
    rain.delete(&Window::new([2, 0, 0], [94, 8, 8])).unwrap();
    assert_eq!(rain.bounds().unwrap().unwrap().shape()[0], 4);
    let top = rain.top().unwrap().unwrap();
    assert_eq!(rain.reach().unwrap().unwrap(), top.levels());
    assert!(top.levels()[0].get() <= 3, "{top:?}");
    let mean = rain.read(&Query::all().levels(top.levels())).unwrap().array;
    assert!(mean.iter_f64().any(|mean| (96.0..=99.0).contains(&mean)));
    assert_eq!(store.verify().unwrap().findings, []);
    rain.delete(&Window::new([90, -5, -5], [20, 20, 20]))
        .unwrap();
    assert_eq!(
        (
            rain.bounds().unwrap(),
            rain.stored_chunks().unwrap(),
            rain.marks().unwrap()
        ),
        (None, vec![], 0)
    );
    rain.put(&Window::new([-7, 0, 0], [1, 8, 8]), &field(1.0))
        .unwrap();
    assert_eq!(store.verify().unwrap().findings, []);
}

/// Where nothing finer is left, coarser data may be put again.
#[test]
fn i8_cleared_ground_takes_coarser_data() {
    let store = Store::in_memory().unwrap();
    let grid = grid(&store, "a");
    grid.put(
        &Window::new([0, 0], [8, 8]).at(levels(&[-1])),
        &Array2::from_elem((8, 8), 1.0),
    )
    .unwrap();
    let coarse = Window::new([0, 0], [2, 2]).at(levels(&[1]));
    let put = || grid.put(&coarse, &Array2::from_elem((2, 2), 5.0));
    put().unwrap_err();
    grid.clear(&coarse).unwrap();
    put().unwrap();
    grid.clean().unwrap();
    assert_eq!(grid.levels_in_use().unwrap(), [levels(&[1])]);
    assert_eq!(store.verify().unwrap().findings, []);
}

/// The marks of the finer data, and of its removal, are for the place at which the coarser data
/// stands, whose own are for the place above: both are consumed in one step.
#[test]
fn i7_coarser_data_where_finer_was_removed_before_it_was_aggregated_is_under_aggregates() {
    let store = Store::options()
        .policy(Policy::Manual)
        .open_engine(Arc::new(Memory::new()))
        .unwrap();
    let structure = Structure::builder()
        .dimension(Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 2)]))
        .build()
        .unwrap();
    let schema = Schema::builder(structure, DType::F64)
        .aggregator(Aggregation::Sum)
        .build()
        .unwrap();
    let grid = store.create("a", schema).unwrap();
    let put = |at: i64, len: usize, level: i8, value: f64| {
        let window = Window::new([at], [len as u64]).at(levels(&[level]));
        grid.replace(&window, &ndarray::Array1::from_elem(len, value))
            .unwrap();
    };
    put(-20, 30, 0, 1.0);
    put(40, 8, 1, 1.0);
    put(200, 4, 0, 1.0);
    grid.clear(&Window::new([200], [4]).at(levels(&[0])))
        .unwrap();
    put(100, 2, 1, 2.0);
    grid.aggregate().unwrap();
    assert_eq!(store.verify().unwrap().findings, []);
    let query = Query::all()
        .levels(grid.top().unwrap().unwrap().levels())
        .layer(gridstone::Layer::Aggregate(Aggregation::Sum));
    let sum: f64 = grid
        .read(&query)
        .unwrap()
        .array
        .iter_f64()
        .filter(|value| !value.is_nan())
        .sum();
    assert_eq!(sum, f64::from(30 + 2 * 8 + 2 * 2 * 2));
}

#[test]
fn i7_i8_an_aggregate_beside_base_data_is_explained_by_its_marks_until_it_is_gone() {
    let store = Store::options()
        .policy(Policy::Manual)
        .open_engine(Arc::new(Memory::new()))
        .unwrap();
    let grid = grid(&store, "a");
    let fine = Window::new([0, 0], [64, 64]).at(levels(&[0]));
    grid.put(&fine, &Array2::from_elem((64, 64), 1.0)).unwrap();
    grid.aggregate().unwrap();
    grid.clear(&fine).unwrap();
    grid.put(
        &Window::new([0, 0], [32, 32]).at(levels(&[1])),
        &Array2::from_elem((32, 32), 2.0),
    )
    .unwrap();
    assert_eq!(store.verify().unwrap().findings, []);
    grid.aggregate().unwrap();
    assert_eq!(store.verify().unwrap().findings, []);
    let aggregates = grid.stored_chunks().unwrap();
    let mut aggregates = aggregates.iter().filter(|chunk| chunk.aggregator.is_some());
    assert!(
        aggregates.all(|chunk| chunk.location.levels() > levels(&[1])),
        "none is left beside base data"
    );
}

/// A call of [`play`].
#[derive(Clone, Copy)]
enum Call {
    Put,
    Clear,
    Aggregate,
}

/// A call at a level of the last axis, in a window of one axis or two: start and shape of each.
type Made<'a> = (Call, i8, &'a [(i64, u64)]);

/// Makes calls, each in a window of one axis or two at a level of the last, and proves what is
/// left.
fn play(dimensions: Vec<Dimension>, anchor: &Window, calls: &[Made<'_>]) {
    for policy in [Policy::Manual, Policy::Inline] {
        let store = Store::options()
            .policy(policy)
            .open_engine(Arc::new(Memory::new()))
            .unwrap();
        let structure = check::structure(dimensions.iter().cloned());
        let schema = Schema::builder(structure, DType::I32)
            .nodata(-1.0)
            .aggregator(Aggregation::Sum)
            .build()
            .unwrap();
        let grid = store.create("a", schema).unwrap();
        let put = |window: &Window, value: i32| {
            let shape: Vec<usize> = window
                .shape()
                .iter()
                .map(|len| usize::try_from(*len).unwrap())
                .collect();
            grid.put(window, &ndarray::ArrayD::from_elem(shape, value))
                .unwrap();
        };
        put(anchor, 7);
        for (call, level, window) in calls {
            let mut at = vec![0; window.len()];
            at[window.len() - 1] = *level;
            let start: Vec<i64> = window.iter().map(|(start, _)| *start).collect();
            let shape: Vec<u64> = window.iter().map(|(_, len)| *len).collect();
            let window = check::window(&at, &start, &shape);
            match call {
                Call::Put => put(&window, 1),
                Call::Clear => drop(grid.clear(&window).unwrap()),
                Call::Aggregate => drop(grid.aggregate().unwrap()),
            }
            assert_eq!(store.verify().unwrap().findings, [], "{policy:?}");
        }
        grid.aggregate().unwrap();
        assert_eq!(store.verify().unwrap().findings, [], "{policy:?}");
    }
}

/// Put coarse, aggregated, cleared; put finer in its place, and cleared too. A mark tells the
/// aggregate between of a change, and it is not there: what lies above it has it still.
#[test]
fn i7_what_was_coarse_then_fine_and_is_gone_leaves_no_aggregate() {
    let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 4)]);
    let anchor = Window::new([4000], [1]).at(levels(&[-2]));
    play(
        vec![x.clone()],
        &anchor,
        &[
            (Call::Put, 0, &[(4, 1)]),
            (Call::Aggregate, 0, &[(0, 1)]),
            (Call::Clear, 1, &[(2, 1)]),
            (Call::Put, -1, &[(8, 1)]),
            (Call::Clear, 1, &[(2, 1)]),
        ],
    );
    play(
        vec![x],
        &anchor,
        &[
            (Call::Put, -2, &[(0, 1)]),
            (Call::Clear, -1, &[(0, 1)]),
            (Call::Put, 1, &[(1, 1)]),
            (Call::Clear, 0, &[(2, 2)]),
            (Call::Put, -2, &[(-16, 1)]),
        ],
    );
}

/// Coarse data takes the place of fine data at one time, beside fine data at another: what is
/// aggregated over time below it inherits from it, be it where the fine data was or beside that.
#[test]
fn i7_coarse_data_in_the_place_of_an_aggregate_is_inherited_over_time() {
    let dimensions = || {
        vec![
            Dimension::regular("t", [Axis::new("t", 0.0, 1.0, 2)]),
            Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 4)]).refinable(),
        ]
    };
    let anchor = Window::new([0, 4000], [1, 1]).at(levels(&[0, -2]));
    play(
        dimensions(),
        &anchor,
        &[
            (Call::Put, -1, &[(3, 2), (1, 1)]),
            (Call::Clear, 1, &[(4, 1), (0, 1)]),
            (Call::Put, 1, &[(4, 1), (0, 1)]),
        ],
    );
    // The fine data that goes lies in one half of the coarse chunk, what inherits in the other.
    for aggregated in [false, true] {
        let mut calls: Vec<Made<'_>> = vec![
            (Call::Put, -1, &[(3, 1), (8, 8)]),
            (Call::Put, -1, &[(4, 1), (0, 4)]),
            (Call::Clear, -1, &[(4, 1), (0, 8)]),
            (Call::Put, 1, &[(4, 1), (0, 4)]),
        ];
        if aggregated {
            calls.insert(2, (Call::Aggregate, 0, &[(0, 1), (0, 1)]));
        }
        play(dimensions(), &anchor, &calls);
    }
}

/// What is left of finer data that was removed does not hide coarser data that is put in its place,
/// before it is aggregated away.
#[test]
fn coarser_data_shows_at_once_where_finer_data_was_removed() {
    let store = Store::options()
        .policy(Policy::Manual)
        .open_engine(Arc::new(Memory::new()))
        .unwrap();
    let grid = grid(&store, "a");
    let fine = Window::new([0, 0], [64, 64]).at(levels(&[-1]));
    grid.put(&fine, &Array2::from_elem((64, 64), 1.0)).unwrap();
    grid.aggregate().unwrap();
    grid.clear(&fine).unwrap();
    grid.put(
        &Window::new([0, 0], [2, 2]).at(levels(&[2])),
        &Array2::from_elem((2, 2), 5.0),
    )
    .unwrap();
    let max = gridstone::Layer::Aggregate(Aggregation::Max);
    for level in -1..=2 {
        let cells = 64 >> (level + 1);
        let query = Query::window(Window::new([0, 0], [cells, cells]).at(levels(&[level])))
            .layer(max.clone());
        let answer = grid.read(&query).unwrap();
        let edge = (2_i64 << (2 - level)).min(i64::try_from(cells).unwrap());
        let stale = |y: i64, x: i64| {
            answer.stale.iter().any(|of| {
                (of.start()[0]..of.end()[0]).contains(&y)
                    && (of.start()[1]..of.end()[1]).contains(&x)
            })
        };
        for (number, value) in answer.array.iter_f64().enumerate() {
            let (number, cells) = (
                i64::try_from(number).unwrap(),
                i64::try_from(cells).unwrap(),
            );
            let (y, x) = (number / cells, number % cells);
            let want = if y < edge && x < edge { 5.0 } else { f64::NAN };
            assert!(
                value == want || value.is_nan() && want.is_nan() || stale(y, x),
                "level {level}, cell {y}, {x}: {value}"
            );
        }
    }
    grid.aggregate().unwrap();
    assert_eq!(store.verify().unwrap().findings, []);
}

/// A line whose coarse chunk is split and emptied in one commit, or whose finer data was removed
/// before it was aggregated and has nothing put in its place: who stands above knows of neither
/// unless it is told.
#[test]
fn i7_what_goes_as_it_is_split_or_replaced_goes_above_too() {
    let at = |level: i8, start: i64, shape: u64| Window::new([start], [shape]).at(levels(&[level]));
    let cells = |count: usize, value: i32| ndarray::Array1::from_elem(count, value);
    let line = |engine: &Arc<Memory>| {
        let line = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 2)]).refinable();
        let schema = Schema::builder(
            Structure::builder().dimension(line).build().unwrap(),
            DType::I32,
        )
        .nodata(-1.0);
        let grid = open(engine, Policy::Manual)
            .create("a", schema.aggregator(Aggregation::Sum).build().unwrap())
            .unwrap();
        grid.put(&at(0, 40, 2), &cells(2, 1)).unwrap();
        grid.put(&at(0, -9, 2), &cells(2, 1)).unwrap();
        grid
    };
    let sound = |grid: &Grid, told: &str| {
        grid.aggregate().unwrap();
        assert_eq!(grid.store().verify().unwrap().findings, [], "{told}");
    };
    for coarse in [1, 2] {
        let grid = line(&Arc::default());
        grid.put(&at(coarse, 0, 2), &cells(2, 5)).unwrap();
        grid.aggregate().unwrap();
        let mut batch = grid.store().batch();
        batch.clear(&grid, &at(0, 0, 2 << coarse)).unwrap();
        batch.clear(&grid, &at(0, 1, 1)).unwrap();
        batch.commit().unwrap();
        sound(
            &grid,
            "all of a chunk is cleared, and a part of it in the same batch",
        );
        for again in [Policy::Manual, Policy::Inline] {
            for overlap in [
                Overlap::Replace,
                Overlap::Refuse,
                Overlap::Merge,
                Overlap::Keep,
            ] {
                let mut engine = Arc::<Memory>::default();
                let grid = line(&engine);
                grid.put(&at(coarse, 9, 1), &cells(1, 3)).unwrap();
                grid.put(&at(0, 0, 2), &cells(2, 5)).unwrap();
                grid.aggregate().unwrap();
                grid.clear(&at(0, 0, 2)).unwrap();
                drop(grid);
                engine = Arc::new(engine.reopen());
                let (grid, nothing) = (open(&engine, again).grid("a").unwrap(), cells(1, -1));
                let mut batch = grid.store().batch();
                batch
                    .put_over(&grid, &at(coarse, 0, 1), &nothing, overlap)
                    .unwrap();
                batch.commit().unwrap();
                sound(&grid, "nothing is put where finer data was");
            }
        }
    }
}
