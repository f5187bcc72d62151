//! A workload is cut at every call of the engine, power is lost with every number of unsynced
//! commits kept, and what is left must be a prefix of what was asked for, with a pyramid that is
//! right as soon as it is read fresh or drained.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use gridstone::kv::{Durability, Engine, Failure, Faulty, KeyRange, Memory, Order, Space};
use gridstone::{
    Aggregation, Axis, Batch, DType, Dimension, ErrorKind, Freshness, Policy, Result, Schema,
    Shape, Store, Structure, Window,
};

use crate::check::{self, Dice, levels};
use crate::oracle::{Oracle, array, indices};

type Host = Arc<Faulty<Memory>>;

fn schema(which: usize) -> Schema {
    let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 2)]);
    let time = Dimension::regular("time", [Axis::new("t", 0.0, 1.0, 2)]);
    if which == 0 {
        let structure = Structure::builder()
            .dimension(time)
            .dimension(x)
            .build()
            .unwrap();
        let schema = Schema::builder(structure, DType::F32)
            .aggregator(Aggregation::Mean)
            .aggregator(Aggregation::Count);
        schema.build().unwrap()
    } else {
        let structure = Structure::builder().dimension(x).build().unwrap();
        let schema = Schema::builder(structure, DType::I16)
            .nodata(-1.0)
            .aggregator(Aggregation::Sum);
        schema.build().unwrap()
    }
}

const NAMES: [&str; 2] = ["a", "b"];

#[derive(Clone, Debug)]
struct Write {
    grid: usize,
    start: Vec<i64>,
    shape: Vec<u64>,
    /// `None` clears.
    value: Option<f64>,
    /// The level of every dimension.
    level: i8,
}

fn write(grid: usize, start: &[i64], shape: &[u64], value: impl Into<Option<f64>>) -> Write {
    Write {
        grid,
        start: start.to_vec(),
        shape: shape.to_vec(),
        value: value.into(),
        level: 0,
    }
}

impl Write {
    fn at(self, level: i8) -> Self {
        Self { level, ..self }
    }

    fn levels(&self, oracle: &Oracle) -> Vec<i8> {
        vec![self.level; oracle.base().len()]
    }

    fn window(&self, oracle: &Oracle) -> Window {
        Window::new(self.start.as_slice(), Shape::from(self.shape.as_slice()))
            .at(levels(&self.levels(oracle)))
    }

    fn values(&self, oracle: &Oracle) -> Vec<f64> {
        let hole = oracle.schema().nodata().unwrap_or(f64::NAN);
        let value = |(i, _)| {
            self.value
                .map_or(hole, |value| value + f64::from(u16::try_from(i).unwrap()))
        };
        indices(&self.shape).enumerate().map(value).collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Open(Policy),
    Create(usize),
    Write(Durability, Vec<Write>),
    /// Removes all data from a window; with `true`, the window too.
    Remove(Write, bool),
    Clean(usize),
    Aggregate(usize),
    Drain(usize),
    Flush,
}

/// Both policies, growth to either side, clearing, batches over two grids, buffered and synced
/// commits.
fn workload(first: Policy, second: Policy) -> Vec<Step> {
    use Durability::{Buffered, Sync};
    vec![
        Step::Open(first),
        Step::Create(0),
        Step::Write(Sync, vec![write(0, &[0, 0], &[3, 3], 1.0)]),
        Step::Create(1),
        Step::Write(
            Sync,
            vec![
                write(0, &[1, 1], &[1, 4], 20.0),
                write(1, &[3], &[5], 100.0),
            ],
        ),
        Step::Aggregate(0),
        Step::Write(Buffered, vec![write(0, &[-3, 0], &[2, 2], 40.0)]),
        Step::Aggregate(0),
        Step::Aggregate(0),
        Step::Open(second),
        Step::Write(
            Buffered,
            vec![write(1, &[-9], &[3], 7.0), write(0, &[0, 0], &[2, 2], None)],
        ),
        Step::Write(Sync, vec![write(1, &[3], &[5], None)]),
        Step::Drain(1),
        Step::Write(Buffered, vec![write(0, &[0, 6], &[1, 1], 60.0)]),
        Step::Flush,
        Step::Write(
            Sync,
            vec![
                write(0, &[-3, 0], &[2, 2], None),
                write(1, &[-9], &[1], 3.0),
            ],
        ),
        Step::Drain(0),
    ]
}

/// What a run got as far as.
struct Reached {
    /// Steps that were acknowledged.
    done: usize,
    /// The last of them after which everything so far was on the medium.
    synced: usize,
}

fn perform(
    step: &Step,
    host: &Host,
    store: &mut Option<Store>,
    oracles: &[Oracle],
) -> Result<bool> {
    let open = || store.as_ref().unwrap();
    match step {
        Step::Open(policy) => {
            *store = Some(
                Store::options()
                    .policy(*policy)
                    .identity(1)
                    .open_engine(Arc::clone(host) as Arc<dyn Engine>)?,
            );
            return Ok(true);
        }
        Step::Create(which) => {
            open().create(NAMES[*which], schema(*which))?;
            return Ok(true);
        }
        Step::Write(durability, writes) => {
            let arrays: Vec<_> = writes
                .iter()
                .map(|write| {
                    let oracle = &oracles[write.grid];
                    let shape: Vec<usize> = write
                        .shape
                        .iter()
                        .map(|&len| usize::try_from(len).unwrap())
                        .collect();
                    array(oracle.schema().dtype(), &shape, &write.values(oracle))
                })
                .collect();
            let mut batch: Batch<'_> = open().batch().durability(*durability);
            for (write, array) in writes.iter().zip(&arrays) {
                batch.replace(
                    &open().grid(NAMES[write.grid])?,
                    &write.window(&oracles[write.grid]),
                    array,
                )?;
            }
            batch.commit()?;
            return Ok(*durability == Durability::Sync);
        }
        Step::Remove(write, shrink) => {
            let (grid, window) = (
                open().grid(NAMES[write.grid])?,
                write.window(&oracles[write.grid]),
            );
            if *shrink {
                grid.delete(&window)?
            } else {
                grid.clear(&window)?
            };
            return Ok(true);
        }
        Step::Clean(which) => drop(open().grid(NAMES[*which])?.clean()?),
        Step::Aggregate(which) => drop(open().grid(NAMES[*which])?.aggregate_step()?),
        Step::Drain(which) => drop(open().grid(NAMES[*which])?.aggregate()?),
        Step::Flush => {
            open().flush()?;
            return Ok(true);
        }
    }
    Ok(false)
}

fn empty(which: usize) -> Oracle {
    let schema = schema(which);
    let base = vec![0; schema.structure().dimensions().len()];
    let ground: Vec<i8> = base
        .iter()
        .map(|_| if which == 1 { -2 } else { 0 })
        .collect();
    Oracle::with_ground(&schema, &base, &ground)
}

/// What a grid says of its levels and bounds after each step that removes data, in a run in which
/// nothing fails.
type Remembered = Vec<Option<(Vec<Vec<i8>>, Option<(Vec<i64>, Vec<u64>)>)>>;

fn remembered(steps: &[Step]) -> Remembered {
    let (host, oracles) = (Arc::new(Faulty::new(Memory::new())), [0, 1].map(empty));
    let mut store = None;
    let of = |step: &Step| {
        perform(step, &host, &mut store, &oracles).unwrap();
        let (Step::Remove(Write { grid, .. }, _) | Step::Clean(grid)) = step else {
            return None;
        };
        let grid = store.as_ref().unwrap().grid(NAMES[*grid]).unwrap();
        let bounds = grid
            .bounds()
            .unwrap()
            .map(|bounds| (bounds.start().to_vec(), bounds.shape().to_vec()));
        Some((
            grid.levels_in_use()
                .unwrap()
                .iter()
                .map(check::numbers)
                .collect(),
            bounds,
        ))
    };
    steps.iter().map(of).collect()
}

/// Runs until a step fails.
fn run(steps: &[Step], host: &Host) -> Reached {
    let oracles = [0, 1].map(empty);
    let (mut store, mut reached) = (None, Reached { done: 0, synced: 0 });
    for step in steps {
        match perform(step, host, &mut store, &oracles) {
            Ok(synced) => {
                reached.done += 1;
                if synced {
                    reached.synced = reached.done;
                }
            }
            Err(error) => {
                let expected = [ErrorKind::Unavailable, ErrorKind::Poisoned];
                assert!(
                    expected.contains(error.kind()),
                    "{step:?} fails as its engine does, not with {error:?}"
                );
                break;
            }
        }
    }
    reached
}

/// What the store must hold after the first steps: an oracle for each grid that was created.
fn after(steps: &[Step], remembered: &Remembered) -> Vec<Option<Oracle>> {
    let mut oracles = vec![None, None];
    for (step, remembered) in steps.iter().zip(remembered) {
        match step {
            Step::Create(which) => oracles[*which] = Some(empty(*which)),
            Step::Write(_, writes) => {
                for write in writes {
                    let oracle: &mut Oracle = oracles[write.grid].as_mut().unwrap();
                    let values = write.values(oracle);
                    oracle.put_at(
                        &write.levels(oracle),
                        &write.start,
                        &write.shape,
                        &values,
                        true,
                    );
                }
            }
            Step::Remove(write, shrink) => {
                let oracle: &mut Oracle = oracles[write.grid].as_mut().unwrap();
                oracle.clear_at(&write.levels(oracle), &write.start, &write.shape, *shrink);
                oracle.adopt(&remembered.as_ref().unwrap().0, None);
            }
            Step::Clean(which) => {
                let (used, bounds) = remembered.clone().unwrap();
                oracles[*which].as_mut().unwrap().adopt(&used, Some(bounds));
            }
            _ => {}
        }
    }
    oracles
}

/// Whether the store holds exactly the base data of the oracles.
fn holds(store: &Store, oracles: &mut [Option<Oracle>]) -> bool {
    let names: Vec<String> = store
        .grids()
        .unwrap()
        .iter()
        .map(|grid| grid.name().to_owned())
        .collect();
    let expected = NAMES
        .iter()
        .zip(&*oracles)
        .filter(|(_, oracle)| oracle.is_some())
        .map(|(name, _)| (*name).to_owned());
    if !names.iter().cloned().eq(expected) {
        return false;
    }
    oracles.iter_mut().zip(NAMES).all(|(oracle, name)| {
        let Some(oracle) = oracle else { return true };
        let (grid, base) = (store.grid(name).unwrap(), oracle.base().to_vec());
        let bounds = grid
            .bounds()
            .unwrap()
            .map(|b| (b.start().to_vec(), b.shape().to_vec()));
        bounds == oracle.bounds(&base)
            && (bounds.is_none()
                || check::read(&grid, oracle, None, &base, None, Freshness::Stored).is_ok())
    })
}

/// Checks a store that was opened after a crash.
fn check(
    engine: Memory,
    (steps, remembered): (&[Step], &Remembered),
    reached: &Reached,
) -> Result<(), String> {
    let store = Store::options()
        .policy(Policy::Manual)
        .open_engine(Arc::new(engine))
        .unwrap();
    let last = (reached.done + 1).min(steps.len());
    let found = (reached.synced..=last)
        .rev()
        .map(|done| after(&steps[..done], remembered))
        .find_map(|mut oracles| holds(&store, &mut oracles).then_some(oracles));
    let Some(oracles) = found else {
        return Err(format!(
            "the base is none of those after {} to {last} steps",
            reached.synced
        ));
    };
    let findings = store.verify().unwrap().findings;
    if !findings.is_empty() {
        return Err(format!("before draining verify finds {findings:?}"));
    }
    let mut dice = Dice(1);
    for (oracle, name) in oracles.into_iter().zip(NAMES) {
        let Some(mut oracle) = oracle else { continue };
        let grid = store.grid(name).unwrap();
        check::grid(&grid, &mut oracle, &mut dice, true)
            .map_err(|wrong| format!("grid {name} before draining: {wrong}"))?;
        grid.aggregate().unwrap();
        check::drained(&grid, &mut oracle, &mut dice)
            .map_err(|wrong| format!("grid {name} drained: {wrong}"))?;
        // The store goes on as if nothing had happened.
        let again = write(
            usize::from(name == "b"),
            &vec![-1; oracle.base().len()],
            &vec![3; oracle.base().len()],
            11.0,
        );
        let values = again.values(&oracle);
        let shape: Vec<usize> = again
            .shape
            .iter()
            .map(|&len| usize::try_from(len).unwrap())
            .collect();
        let window = Window::new(again.start.as_slice(), Shape::from(again.shape.as_slice()))
            .at(levels(oracle.base()));
        grid.put(&window, &array(oracle.schema().dtype(), &shape, &values))
            .unwrap();
        oracle.put(&again.start, &again.shape, &values, false);
        grid.aggregate().unwrap();
        check::drained(&grid, &mut oracle, &mut dice)
            .map_err(|wrong| format!("grid {name} after another put: {wrong}"))?;
    }
    Ok(())
}

/// All that a store holds, in short.
pub fn digest(engine: &Memory) -> u64 {
    let (snapshot, mut hasher) = (engine.snapshot().unwrap(), DefaultHasher::new());
    for space in Space::ALL {
        snapshot
            .scan(space, &KeyRange::all(), Order::Ascending, usize::MAX)
            .unwrap()
            .entries
            .hash(&mut hasher);
    }
    hasher.finish()
}

/// Sweeps one failure, sticky, over every call of a workload. Gives how many crashes were survived.
/// Calls that leave the same behind, as reads within one step do, are checked once.
fn sweep(steps: &[Step], failure: Failure) -> usize {
    let remembered = remembered(steps);
    let (mut crashes, mut seen) = (0, HashSet::new());
    for call in 0.. {
        let host: Host = Arc::new(Faulty::new(Memory::new()));
        host.fail_from(call, failure);
        let reached = run(steps, &host);
        let engine = host.engine();
        let kept = (0..=engine.unsynced())
            .map(|keep| (format!("{keep} unsynced commits"), engine.crash(keep)));
        let stores = kept.chain([("the process's death".to_owned(), engine.reopen())]);
        for (what, engine) in stores {
            crashes += 1;
            if !seen.insert((digest(&engine), reached.done, reached.synced)) {
                continue;
            }
            if let Err(wrong) = check(engine, (steps, &remembered), &reached) {
                let step = steps.get(reached.done);
                panic!(
                    "call {call} fails ({failure:?}) within step {} {step:?}; kept {what}: {wrong}",
                    reached.done
                );
            }
        }
        if reached.done == steps.len() {
            return crashes;
        }
    }
    unreachable!("a workload ends")
}

fn sweep_both(first: Policy, second: Policy) {
    let steps = workload(first, second);
    for failure in [Failure::Before, Failure::After] {
        let crashes = sweep(&steps, failure);
        assert!(crashes > 100, "{crashes} crashes are too few to mean much");
        println!("{crashes} crashes of {first:?} then {second:?}, {failure:?}");
    }
}

#[test]
fn i5_i6_i7_i10_a_crash_at_any_call_under_manual_then_inline_leaves_a_prefix_and_its_marks() {
    sweep_both(Policy::Manual, Policy::Inline);
}

#[test]
fn i5_i6_i7_i10_a_crash_at_any_call_under_inline_then_manual_leaves_a_prefix_and_its_marks() {
    sweep_both(Policy::Inline, Policy::Manual);
}

/// Finer data over coarser, coarser data beside it, and all of it taken away again.
fn mixed(first: Policy, second: Policy) -> Vec<Step> {
    use Durability::{Buffered, Sync};
    vec![
        Step::Open(first),
        Step::Create(1),
        Step::Write(Sync, vec![write(1, &[0], &[4], 100.0).at(1)]),
        Step::Write(Sync, vec![write(1, &[4], &[3], 50.0).at(-1)]),
        Step::Aggregate(1),
        Step::Write(Buffered, vec![write(1, &[10], &[2], 70.0).at(1)]),
        Step::Open(second),
        Step::Write(Sync, vec![write(1, &[20], &[1], 80.0).at(-2)]),
        Step::Drain(1),
        Step::Remove(write(1, &[2], &[2], None), false),
        Step::Write(Buffered, vec![write(1, &[-6], &[3], 3.0)]),
        Step::Remove(write(1, &[10], &[2], None).at(1), true),
        Step::Clean(1),
        Step::Write(Sync, vec![write(1, &[-40], &[1], 9.0)]),
        Step::Remove(write(1, &[-25], &[50], None).at(1), true),
        Step::Write(Sync, vec![write(1, &[5], &[2], 5.0).at(2)]),
        Step::Clean(1),
    ]
}

#[test]
fn i5_i7_i8_i10_a_crash_at_any_call_of_splitting_clearing_deleting_and_cleaning_leaves_a_prefix() {
    for (first, second) in [
        (Policy::Manual, Policy::Inline),
        (Policy::Inline, Policy::Manual),
    ] {
        let steps = mixed(first, second);
        for failure in [Failure::Before, Failure::After] {
            let crashes = sweep(&steps, failure);
            assert!(crashes > 100, "{crashes} crashes are too few to mean much");
        }
    }
}

/// A read that fails once is an error of the step, never an absence: the step can be repeated, and
/// all is as if it had not been tried.
#[test]
fn i7_a_call_that_fails_once_fails_its_step_and_the_step_can_be_repeated() {
    for (first, second) in [
        (Policy::Manual, Policy::Inline),
        (Policy::Inline, Policy::Manual),
    ] {
        let steps = workload(first, second);
        let (oracles, remembered) = ([0, 1].map(empty), remembered(&steps));
        let (mut failures, mut seen) = (0, HashSet::new());
        for call in 0.. {
            let host: Host = Arc::new(Faulty::new(Memory::new()));
            host.fail_once(call, Failure::Before);
            let (mut store, mut failed) = (None, None);
            for (number, step) in steps.iter().enumerate() {
                if let Err(error) = perform(step, &host, &mut store, &oracles) {
                    assert_eq!(
                        error.kind(),
                        &ErrorKind::Unavailable,
                        "call {call} in step {number} {step:?}: {error:?}"
                    );
                    assert_eq!(failed.replace(number), None, "one call fails");
                    host.heal();
                    perform(step, &host, &mut store, &oracles).unwrap();
                }
            }
            let reached = Reached {
                done: steps.len(),
                synced: steps.len(),
            };
            let engine = host.engine().reopen();
            if seen.insert(digest(&engine)) {
                check(engine, (&steps, &remembered), &reached)
                    .unwrap_or_else(|wrong| panic!("call {call} failed once: {wrong}"));
            }
            if failed.is_none() {
                break;
            }
            failures += 1;
        }
        assert!(failures > 100, "{failures} calls are too few to mean much");
    }
}

/// A mark must outlive an aggregator that read its predecessor: were a number used again after
/// reopening, the mark of a new put would stand under the key of one that was seen, and go with it.
#[test]
fn i6_no_sequence_is_used_twice_however_often_the_store_is_opened() {
    let engine: Arc<Memory> = Arc::default();
    let mut last = 0;
    for round in 0..5 {
        let open = || {
            Store::options()
                .policy(Policy::Manual)
                .open_engine(engine.clone())
                .unwrap()
        };
        for store in [open(), open()] {
            let grid = store
                .grid("b")
                .or_else(|_| store.create("b", schema(1)))
                .unwrap();
            let commit = grid
                .put(&Window::new([0], [1]), &ndarray::arr1(&[5_i16]))
                .unwrap();
            assert!(
                commit.sequence > last,
                "round {round}: {} comes after {last}",
                commit.sequence
            );
            last = commit.sequence;
        }
    }
    assert_eq!(
        open_marks(&engine),
        10,
        "ten puts of one cell leave ten marks"
    );
}

fn open_marks(engine: &Arc<Memory>) -> u64 {
    let store = Store::options()
        .policy(Policy::Manual)
        .open_engine(engine.clone())
        .unwrap();
    store.grid("b").unwrap().marks().unwrap()
}
