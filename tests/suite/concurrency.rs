//! Many writers, the aggregator and readers at once.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use gridstone::kv::{Faulty, Memory};
use gridstone::{
    Aggregation, Axis, DType, Depth, Dimension, Freshness, Grid, Layer, Level, Levels, Policy,
    Query, Schema, Store, Structure, Window,
};
use ndarray::{Array2, ArrayD};
use proptest::prelude::*;

use crate::check::{self, Dice, levels};
use crate::oracle::{Oracle, array};

fn schema(dtype: DType) -> Schema {
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
    );
    let structure = Structure::builder().dimension(space).build().unwrap();
    let schema = Schema::builder(structure, dtype);
    schema
        .aggregator(Aggregation::Sum)
        .aggregator(Aggregation::Max)
        .aggregator(Aggregation::Mean)
        .build()
        .unwrap()
}

/// An engine on which threads meet: every call may give way to another.
fn restless(policy: Policy) -> Store {
    let engine = Faulty::hooked(Memory::new(), |call| {
        if call % 3 == 0 {
            std::thread::yield_now();
        }
    });
    Store::options()
        .policy(policy)
        .open_engine(Arc::new(engine))
        .unwrap()
}

const WRITERS: u64 = 6;
const PUTS: u64 = 25;

/// Each writer owns every sixth cell of shared chunks, and a chunk of its own; it puts rising
/// values into them.
fn writer(grid: &Grid, number: u64) {
    let mut dice = Dice(number);
    let row = i64::try_from(number).unwrap();
    for put in 1..=PUTS {
        let value = (put * WRITERS + number) as f64;
        // One cell of a chunk that all share, near the origin where every subtree meets.
        let shared = Window::new([row - 3, dice.range(-1, 0)], [1, 1]);
        grid.put(&shared, &Array2::from_elem((1, 1), value))
            .unwrap();
        // A place of its own, further out each time, so that the top rises meanwhile.
        let own = Window::new([row * 4 - 12, 8 + 4 * i64::try_from(put).unwrap()], [4, 4]);
        grid.put(&own, &Array2::from_elem((4, 4), value)).unwrap();
    }
}

fn writers_lose_nothing(policy: Policy) {
    (0..check::cases(200) / 20 + 1).for_each(|_| writers_lose_nothing_once(policy));
}

fn writers_lose_nothing_once(policy: Policy) {
    let store = restless(policy);
    let grid = store.create("a", schema(DType::F64)).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let aggregator = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                grid.aggregate_step().unwrap();
            }
        });
        let reader = scope.spawn(|| {
            let mut top = Level::ZERO;
            while !done.load(Ordering::Acquire) {
                if let Some(chunk) = grid.top().unwrap() {
                    assert!(chunk.levels()[0] >= top, "the top never falls");
                    top = chunk.levels()[0];
                    let query = Query::all()
                        .levels(Levels::zero(1).with(0, top))
                        .freshness(Freshness::Fresh);
                    let sum = grid
                        .read(&query.clone().layer(Layer::Aggregate(Aggregation::Sum)))
                        .unwrap();
                    let max = grid
                        .read(&query.layer(Layer::Aggregate(Aggregation::Max)))
                        .unwrap();
                    let most = max.array.iter_f64().fold(0.0, f64::max);
                    let total: f64 = sum.array.iter_f64().filter(|v| !v.is_nan()).sum();
                    assert!(total > 0.0 && most <= ((PUTS + 1) * WRITERS) as f64);
                }
            }
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                scope.spawn({
                    let grid = &grid;
                    move || writer(grid, number)
                })
            })
            .collect();
        writers
            .into_iter()
            .for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Release);
        aggregator.join().unwrap();
        reader.join().unwrap();
    });
    let mut oracle = Oracle::new(grid.schema(), &[0]);
    for number in 0..WRITERS {
        // Each writer's puts came in its own order, and no cell has two writers.
        let (mut dice, row) = (Dice(number), i64::try_from(number).unwrap());
        for put in 1..=PUTS {
            let value = (put * WRITERS + number) as f64;
            oracle.put(&[row - 3, dice.range(-1, 0)], &[1, 1], &[value], false);
            oracle.put(
                &[row * 4 - 12, 8 + 4 * i64::try_from(put).unwrap()],
                &[4, 4],
                &[value; 16],
                false,
            );
        }
    }
    check::grid(&grid, &mut oracle, &mut Dice(1), true).unwrap();
    assert_eq!(
        store.verify().unwrap().findings,
        [],
        "marks explain whatever is out of date"
    );
    if policy == Policy::Inline {
        assert_eq!(
            grid.marks().unwrap(),
            0,
            "every inline commit was drained before it returned"
        );
    }
    grid.aggregate().unwrap();
    check::drained(&grid, &mut oracle, &mut Dice(1)).unwrap();
}

#[test]
fn i6_i7_writers_of_the_same_chunks_lose_no_update_under_inline() {
    writers_lose_nothing(Policy::Inline);
}

#[test]
fn i6_i7_writers_of_the_same_chunks_lose_no_update_under_manual() {
    writers_lose_nothing(Policy::Manual);
}

/// Puts of different cells of one chunk are read-modify-writes of that chunk.
#[test]
fn every_cell_of_one_chunk_arrives_from_its_own_thread() {
    for policy in [Policy::Inline, Policy::Manual] {
        let store = restless(policy);
        let grid = store.create("a", schema(DType::F64)).unwrap();
        std::thread::scope(|scope| {
            for cell in 0..16_i64 {
                let grid = &grid;
                scope.spawn(move || {
                    let value = Array2::from_elem((1, 1), (cell + 1) as f64);
                    grid.put(&Window::new([cell / 4, cell % 4], [1, 1]), &value)
                        .unwrap()
                });
            }
        });
        let read = grid.read(&Query::all()).unwrap().array;
        assert!(
            read.iter_f64().eq((1..=16).map(f64::from)),
            "{policy:?}: {read:?}"
        );
    }
}

fn readers_see_whole_batches(policy: Policy) {
    let store = restless(policy);
    let grids = ["a", "b"].map(|name| store.create(name, schema(DType::F64)).unwrap());
    // Two corners of one chunk's parent, two far chunks, and another grid: one value in all.
    let places = [[-1, -1], [0, 0], [40, 40]];
    let batch = |value: f64| {
        let cell = Array2::from_elem((1, 1), value);
        let mut batch = store.batch();
        for grid in &grids {
            places
                .iter()
                .for_each(|at| batch.put(grid, &Window::new(*at, [1, 1]), &cell).unwrap());
        }
        batch.commit().unwrap();
    };
    batch(1.0);
    let (done, next) = (AtomicBool::new(false), AtomicU64::new(2));
    let seen = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    (0..40).for_each(|_| batch(next.fetch_add(1, Ordering::Relaxed) as f64))
                })
            })
            .collect();
        let readers: Vec<_> = grids
            .iter()
            .map(|grid| {
                let done = &done;
                scope.spawn(move || {
                    let mut seen = HashSet::new();
                    while !done.load(Ordering::Acquire) {
                        let answer = grid.read(&Query::all()).unwrap();
                        let cells: HashSet<u64> = answer
                            .array
                            .iter_f64()
                            .filter(|v| !v.is_nan())
                            .map(f64::to_bits)
                            .collect();
                        assert_eq!(
                            cells.len(),
                            1,
                            "one read sees one commit boundary: {:?}",
                            cells.iter().map(|v| f64::from_bits(*v)).collect::<Vec<_>>()
                        );
                        seen.extend(cells);
                        // The top holds three cells of one value.
                        let top = grid.top().unwrap().unwrap().levels();
                        let query = Query::all().levels(top).freshness(Freshness::Fresh);
                        let sum = grid
                            .read(&query.clone().layer(Layer::Aggregate(Aggregation::Sum)))
                            .unwrap();
                        let sum: f64 = sum.array.iter_f64().filter(|v| !v.is_nan()).sum();
                        assert_eq!(
                            sum % 3.0,
                            0.0,
                            "a fresh aggregate is made of one commit's cells"
                        );
                        let means = grid
                            .read(&query.layer(Layer::Aggregate(Aggregation::Mean)))
                            .unwrap()
                            .array;
                        let means: HashSet<u64> = means
                            .iter_f64()
                            .filter(|v| !v.is_nan())
                            .map(f64::to_bits)
                            .collect();
                        assert_eq!(means.len(), 1, "every mean of one value is that value");
                    }
                    seen.len()
                })
            })
            .collect();
        let aggregator = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                store.aggregate().unwrap();
            }
        });
        writers
            .into_iter()
            .for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Release);
        aggregator.join().unwrap();
        readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert!(
        seen.iter().all(|seen| *seen > 1),
        "the readers were there while it happened: {seen:?}"
    );
    // Both grids end with the same batch.
    let [a, b] = grids
        .each_ref()
        .map(|grid| grid.read(&Query::all()).unwrap().array);
    assert!(
        a.iter_f64()
            .map(f64::to_bits)
            .eq(b.iter_f64().map(f64::to_bits)),
        "a batch is whole over two grids"
    );
    store.aggregate().unwrap();
    assert_eq!(store.verify().unwrap().findings, []);
}

#[test]
fn i9_a_read_sees_whole_batches_under_inline() {
    readers_see_whole_batches(Policy::Inline);
}

#[test]
fn i9_a_read_sees_whole_batches_under_manual() {
    readers_see_whole_batches(Policy::Manual);
}

/// What is done while something else is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    /// A put into this cell, all others of its chunk left alone.
    Put(Policy, [i64; 2]),
    /// This chunk is cleared.
    Clear(Policy, [i64; 2]),
    Step,
    Drain,
}

fn act(store: &Store, act: Act) {
    let grid = store.grid("a").unwrap();
    match act {
        Act::Put(_, at) => drop(
            grid.put(&Window::new(at, [1, 1]), &Array2::from_elem((1, 1), 7.0))
                .unwrap(),
        ),
        Act::Clear(_, at) => drop(
            grid.replace(
                &Window::new(at, [4, 4]),
                &Array2::from_elem((4, 4), f64::NAN),
            )
            .unwrap(),
        ),
        Act::Step => drop(grid.aggregate_step().unwrap()),
        Act::Drain => drop(grid.aggregate().unwrap()),
    }
}

fn follow(oracle: &mut Oracle, act: Act) {
    match act {
        Act::Put(_, at) => oracle.put(&at, &[1, 1], &[7.0], false),
        Act::Clear(_, at) => oracle.put(&at, &[4, 4], &[f64::NAN; 16], true),
        Act::Step | Act::Drain => {}
    }
}

type Armed = Arc<Mutex<Option<(u64, Box<dyn FnOnce() + Send>)>>>;

/// Does `first` on a prepared grid and, right before its engine call `call`, all of `second`
/// through another store. Gives whether the call came.
fn interleave(first: Act, second: Act, call: u64, pending: bool, schema: &Schema) -> bool {
    let armed: Armed = Arc::default();
    let engine = Arc::new(Faulty::hooked(Memory::new(), {
        let armed = Arc::clone(&armed);
        move |_| {
            let now = {
                let mut armed = armed.lock().unwrap();
                match armed.as_mut() {
                    Some((0, _)) => armed.take(),
                    Some((left, _)) => {
                        *left -= 1;
                        None
                    }
                    None => None,
                }
            };
            if let Some((_, act)) = now {
                act();
            }
        }
    }));
    let open = |act: Act| {
        let policy = match act {
            Act::Put(policy, _) | Act::Clear(policy, _) => policy,
            Act::Step | Act::Drain => Policy::Manual,
        };
        Store::options()
            .policy(policy)
            .open_engine(engine.clone())
            .unwrap()
    };
    let (ours, theirs) = (open(first), open(second));
    let grid = ours.create("a", schema.clone()).unwrap();
    let mut oracle = Oracle::new(schema, &vec![0; schema.structure().dimensions().len()]);
    for (number, at) in (1_i32..).zip([[0, 0], [0, 4], [4, 0], [-4, -4]]) {
        grid.put(
            &Window::new(at, [2, 2]),
            &Array2::from_elem((2, 2), f64::from(number)),
        )
        .unwrap();
        oracle.put(&at, &[2, 2], &[f64::from(number); 4], false);
        if number < 4 || !pending {
            grid.aggregate().unwrap();
        }
    }
    *armed.lock().unwrap() = Some((call, Box::new(move || act(&theirs, second))));
    act(&ours, first);
    let came = armed.lock().unwrap().take().is_none();
    follow(&mut oracle, first);
    if came {
        follow(&mut oracle, second);
    }
    let blame = |wrong: String| {
        panic!("{second:?} before call {call} of {first:?}, pending {pending}: {wrong}")
    };
    check::grid(&grid, &mut oracle, &mut Dice(call), true).unwrap_or_else(blame);
    let findings = ours.verify().unwrap().findings;
    assert_eq!(
        findings,
        [],
        "{second:?} before call {call} of {first:?}, pending {pending}"
    );
    grid.aggregate().unwrap();
    check::drained(&grid, &mut oracle, &mut Dice(call)).unwrap_or_else(blame);
    came
}

/// Writers through two stores of one engine share no lock, as two processes would: the expectations
/// of their batches alone keep them apart.
#[test]
fn i5_i6_i7_whatever_commits_before_any_call_of_another_nothing_is_lost() {
    use Policy::{Inline, Manual};
    let mut acts = vec![Act::Step, Act::Drain];
    for policy in [Inline, Manual] {
        // The same chunk, a sibling, a new place under the top, and one beyond it.
        acts.extend([[0, 2], [4, 6], [-2, 4], [40, 3]].map(|at| Act::Put(policy, at)));
        acts.push(Act::Clear(policy, [4, 0]));
    }
    let one = schema(DType::F64);
    // A pyramid in two directions, of which one ends at level 1.
    let time = Dimension::regular("time", [Axis::new("t", 0.0, 1.0, 4)]).depth(Depth::Levels(1));
    let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 4)]);
    let structure = Structure::builder()
        .dimension(time)
        .dimension(x)
        .build()
        .unwrap();
    let two = Schema::builder(structure, DType::F64)
        .aggregator(Aggregation::Sum)
        .build()
        .unwrap();
    let mut interleavings = 0;
    for first in &acts {
        for second in &acts {
            for (pending, schema) in [(false, &one), (true, &one), (false, &two)] {
                interleavings += (0..)
                    .take_while(|&call| interleave(*first, *second, call, pending, schema))
                    .count();
            }
        }
    }
    println!("{interleavings} interleavings");
    assert!(
        interleavings > 1000,
        "{interleavings} interleavings are too few to mean much"
    );
}

/// The bytes of every stored chunk by its place, and the values of every level.
fn everything(grid: &Grid) -> (Vec<(String, u64)>, Vec<Vec<u64>>) {
    let chunks = grid.stored_chunks().unwrap();
    let chunks = chunks
        .iter()
        .map(|c| (format!("{:?} {:?}", c.aggregator, c.location), c.bytes))
        .collect();
    let (base, reach) = (grid.base_levels().unwrap().unwrap(), grid.reach().unwrap());
    let mut values = Vec::new();
    for level in base[0].get()..=reach.map_or(base[0], |reach| reach[0]).get() {
        for aggregator in grid.schema().aggregators() {
            let query = Query::all()
                .levels(levels(&[level]))
                .layer(Layer::Aggregate(aggregator.clone()));
            values.push(
                grid.read(&query)
                    .unwrap()
                    .array
                    .iter_f64()
                    .map(f64::to_bits)
                    .collect(),
            );
        }
    }
    (chunks, values)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: check::cases(200) / 4 + 1, ..ProptestConfig::default() })]

    /// Disjoint windows in two orders, one put by put with aggregation in between, one in batches;
    /// all cells are float32, so that means round.
    #[test]
    fn i7_the_order_of_disjoint_writes_leaves_no_trace(seed in any::<u64>(), steps in proptest::collection::vec(0..4_u8, 9)) {
        let mut dice = Dice(seed);
        let (y, x, scale) = (dice.range(-40, 10), dice.range(-40, 10), dice.range(1, 9));
        let mut puts: Vec<(Window, ArrayD<f32>)> = (0..9)
            .map(|tile| {
                let (h, w) = (dice.range(1, scale), dice.range(1, scale));
                let window = Window::new([y + tile / 3 * scale, x + tile % 3 * scale], [h.unsigned_abs(), w.unsigned_abs()]);
                let values: Vec<f64> =
                    (0..h * w).map(|_| if dice.chance(20) { f64::NAN } else { dice.range(-999, 999) as f64 / 8.0 }).collect();
                let shape = [usize::try_from(h).unwrap(), usize::try_from(w).unwrap()];
                (window, array(DType::F32, &shape, &values).into_typed::<f32>().unwrap())
            })
            .collect();
        let one = Store::in_memory().unwrap().create("a", schema(DType::F32)).unwrap();
        let mut batch = one.store().batch();
        for (window, cells) in &puts {
            batch.put(&one, window, cells).unwrap();
        }
        batch.commit().unwrap();
        for i in (1..puts.len()).rev() {
            puts.swap(i, usize::try_from(dice.range(0, i64::try_from(i).unwrap())).unwrap());
        }
        let engine: Arc<Memory> = Arc::default();
        let mut store = Store::options().policy(Policy::Manual).open_engine(engine.clone()).unwrap();
        store.create("a", schema(DType::F32)).unwrap();
        for ((window, cells), step) in puts.iter().zip(steps) {
            let other = store.grid("a").unwrap();
            other.put(window, cells).unwrap();
            match step {
                0 => drop(other.aggregate_step().unwrap()),
                1 => drop(other.aggregate().unwrap()),
                2 => {
                    let policy = if dice.chance(50) { Policy::Inline } else { Policy::Manual };
                    store = Store::options().policy(policy).open_engine(engine.clone()).unwrap();
                }
                _ => {}
            }
        }
        let other = store.grid("a").unwrap();
        other.aggregate().unwrap();
        prop_assert_eq!(everything(&one), everything(&other));
    }
}
