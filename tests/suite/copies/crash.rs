//! Updates that are cut at any call of the engine, that meet one another, and whose source loses
//! power.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use gridstone::kv::{Durability, Engine, Failure, Faulty, Memory};
use gridstone::outcome::Updated;
use gridstone::{
    Aggregation, Axis, DType, Dimension, ErrorKind, Excerpt, Freshness, Grid, Levels, Overlap,
    Policy, Query, Schema, Store, Structure, Window,
};
use ndarray::{Array1, Array3};

use super::excerpts::Asked;
use super::{compare, level};
use crate::crash::digest;

fn line(chunk: u32) -> Schema {
    let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, chunk)]);
    let structure = Structure::builder().dimension(x).build().unwrap();
    Schema::builder(structure, DType::I16)
        .aggregator(Aggregation::Count)
        .aggregator(Aggregation::Sum)
        .build()
        .unwrap()
}

fn put(grid: &Grid, at: i64, len: u64, value: i16, of: i8) {
    let cells = Array1::from_elem(usize::try_from(len).unwrap(), value);
    let window = Window::new([at], [len]).at([level(of)].into_iter().collect());
    grid.replace(&window, &cells).unwrap();
}

/// A source, a target that had it before, and what came since: finer data, coarser data where finer
/// was, growth and removal.
fn prepared(store: &Store) -> [Grid; 2] {
    let source = store.create("source", line(8)).unwrap();
    let target = store.create("target", line(2)).unwrap();
    fill(&source);
    target.update_from(&source).unwrap();
    change(&source);
    [source, target]
}

fn fill(source: &Grid) {
    put(source, -20, 30, 1, 0);
    put(source, 40, 8, 2, 1);
    put(source, 200, 4, 3, 0);
}

fn change(source: &Grid) {
    put(source, 83, 2, 4, 0);
    source.clear(&Window::new([192], [16])).unwrap();
    put(source, 96, 8, 5, 1);
    source.delete(&Window::new([-20], [9])).unwrap();
    put(source, 300, 1, 6, 0);
}

fn events(capacity: u32, chunk: u32) -> Schema {
    let time = Dimension::irregular("time", "seconds since 1970-01-01", capacity, 4);
    let space = Dimension::regular(
        "space",
        [
            Axis::new("y", 0.0, -1.0, chunk),
            Axis::new("x", 0.0, 1.0, chunk),
        ],
    );
    let structure = Structure::builder()
        .dimension(time)
        .dimension(space)
        .build()
        .unwrap();
    Schema::builder(structure, DType::F32)
        .aggregator(Aggregation::Mean)
        .build()
        .unwrap()
}

fn prepared_events(store: &Store) -> [Grid; 2] {
    let source = store.create("source", events(2, 4)).unwrap();
    let target = store.create("target", events(4, 2)).unwrap();
    let put = |ticks: &[i64], value: f32| {
        let cells = Array3::from_elem((ticks.len(), 3, 3), value);
        source
            .put_events(ticks, [1, 0], &cells, Overlap::Merge)
            .unwrap();
    };
    put(&[0, 1, 2, 3, 9], 1.0);
    target.update_from(&source).unwrap();
    source
        .clear(&Window::new([1, -9, -9], [2, 20, 20]))
        .unwrap();
    put(&[-5, 3, 30], 2.0);
    [source, target]
}

/// Whether two grids of events answer the same.
fn compare_events(source: &Grid, target: &Grid) -> Result<(), String> {
    let read = |grid: &Grid| {
        let answer = grid.read(&Query::all()).unwrap();
        let cells: Vec<u64> = answer
            .array
            .iter_f64()
            .map(|value| if value.is_nan() { 0 } else { value.to_bits() })
            .collect();
        (answer.coordinates, answer.window, cells)
    };
    if read(source) == read(target) {
        Ok(())
    } else {
        Err(format!(
            "{:?} is read, and {:?} here",
            read(source),
            read(target)
        ))
    }
}

type Compare<'a> = &'a dyn Fn(&Grid, &Grid) -> Result<(), String>;

/// Sweeps a failure over every call of an update; the next one goes on from whatever is left.
fn sweep(
    policy: Policy,
    failure: Failure,
    prepare: &dyn Fn(&Store) -> [Grid; 2],
    (excerpt, compare): (&Excerpt, Compare<'_>),
) -> usize {
    let (mut crashes, mut seen) = (0, HashSet::new());
    for call in 0.. {
        let host = Arc::new(Faulty::new(Memory::new()));
        let open = Store::options().policy(policy).identity(1);
        let store = open
            .open_engine(Arc::clone(&host) as Arc<dyn Engine>)
            .unwrap();
        let [source, target] = prepare(&store);
        host.fail_from(call, failure);
        let done = target.update_from_excerpt(&source, excerpt);
        let engine = host.engine();
        let left = (0..=engine.unsynced())
            .map(|keep| engine.crash(keep))
            .chain([engine.reopen()]);
        for engine in left {
            crashes += 1;
            if !seen.insert((digest(&engine), done.is_ok())) {
                continue;
            }
            let store = Store::options()
                .policy(policy)
                .open_engine(Arc::new(engine))
                .unwrap();
            let [source, target] = ["source", "target"].map(|name| store.grid(name).unwrap());
            if done.is_ok() {
                compare(&source, &target).unwrap_or_else(|wrong| {
                    panic!("an update that ended is on the medium: {wrong}")
                });
            }
            assert_eq!(
                store.verify().unwrap().findings,
                [],
                "call {call} fails ({failure:?})"
            );
            target.update_from_excerpt(&source, excerpt).unwrap();
            compare(&source, &target)
                .unwrap_or_else(|wrong| panic!("call {call} fails ({failure:?}): {wrong}"));
            target.aggregate().unwrap();
            assert_eq!(
                store.verify().unwrap().findings,
                [],
                "call {call} fails ({failure:?})"
            );
        }
        if let Err(error) = done {
            assert!(
                [ErrorKind::Unavailable, ErrorKind::Poisoned].contains(error.kind()),
                "{error}"
            );
        } else {
            return crashes;
        }
    }
    unreachable!("an update ends")
}

#[test]
fn i7_i10_an_update_that_is_cut_at_any_call_is_finished_by_the_next() {
    for policy in [Policy::Manual, Policy::Inline] {
        for failure in [Failure::Before, Failure::After] {
            let all = Excerpt::all();
            let crashes = sweep(policy, failure, &prepared, (&all, &compare));
            assert!(crashes > 50, "{crashes} crashes are too few to mean much");
            let crashes = sweep(policy, failure, &prepared_events, (&all, &compare_events));
            assert!(crashes > 50, "{crashes} crashes are too few to mean much");
        }
    }
}

#[test]
fn i7_i10_an_update_from_an_excerpt_that_is_cut_at_any_call_is_finished_by_the_next() {
    let levels: Levels = [level(1)].into_iter().collect();
    let part = Some(Window::new([-10], [97]));
    let asked = [
        Asked { part, layer: None },
        Asked {
            part: None,
            layer: Some((Aggregation::Sum, levels)),
        },
        Asked {
            part,
            layer: Some((Aggregation::Count, levels)),
        },
    ];
    for asked in asked {
        let excerpt = asked.excerpt();
        let prepare = |store: &Store| {
            let source = store.create("source", line(8)).unwrap();
            let schema = excerpt.schema(&source).unwrap().rechunked([2]).unwrap();
            let target = store.create("target", schema).unwrap();
            fill(&source);
            target.update_from_excerpt(&source, &excerpt).unwrap();
            change(&source);
            [source, target]
        };
        for failure in [Failure::Before, Failure::After] {
            let compare = |source: &Grid, target: &Grid| asked.compare(source, target);
            let crashes = sweep(Policy::Manual, failure, &prepare, (&excerpt, &compare));
            assert!(crashes > 10, "{crashes} crashes are too few to mean much");
        }
    }
}

/// Otherwise the copy would hold what its source has lost.
#[test]
fn i10_what_was_copied_is_on_the_medium_of_its_source() {
    let engine = Arc::new(Memory::new());
    let store = Store::options()
        .policy(Policy::Manual)
        .open_engine(Arc::clone(&engine) as Arc<dyn Engine>)
        .unwrap();
    let source = store.create("source", line(8)).unwrap();
    let target = Store::in_memory()
        .unwrap()
        .create("target", line(2))
        .unwrap();
    for value in [1_i16, 2] {
        let cells = Array1::from_elem(4, value);
        let mut batch = store.batch().durability(Durability::Buffered);
        batch.put(&source, &Window::new([0], [4]), &cells).unwrap();
        batch.commit().unwrap();
        target.update_from(&source).unwrap();
        let after = Store::options()
            .open_engine(Arc::new(engine.crash(0)))
            .unwrap();
        compare(&after.grid("source").unwrap(), &target).unwrap();
    }
}

/// An engine before one of whose calls something else happens, in another thread. It is not waited
/// for for ever: the call may hold what the other needs.
fn meeting(
    at: u64,
    other: impl Fn(&Store) -> gridstone::Result<Updated> + Send + Sync + 'static,
) -> (Store, Met) {
    let met = Met::default();
    let (slot, other) = (Arc::clone(&met.0), Arc::new(other));
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let hook = move |_| {
        let Some((store, first)) = slot.armed.get() else {
            return;
        };
        if counted.fetch_add(1, Ordering::SeqCst) != first + at {
            return;
        }
        let (store, other) = (store.clone(), Arc::clone(&other));
        let thread = std::thread::spawn(move || other(&store));
        for _ in 0..200 {
            if thread.is_finished() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = slot.thread.set(std::sync::Mutex::new(Some(thread)));
    };
    let store = Store::options()
        .policy(Policy::Manual)
        .open_engine(Arc::new(Faulty::hooked(Memory::new(), hook)))
        .unwrap();
    (store, met)
}

#[derive(Default)]
struct Slot {
    armed: OnceLock<(Store, u64)>,
    thread: OnceLock<std::sync::Mutex<Option<JoinHandle<gridstone::Result<Updated>>>>>,
}

#[derive(Default)]
struct Met(Arc<Slot>);

impl Met {
    fn arm(&self, store: &Store) {
        assert!(self.0.armed.set((store.clone(), 0)).is_ok(), "armed once");
    }

    /// What came of the other; `None` if the call never was.
    fn other(&self) -> Option<gridstone::Result<Updated>> {
        let thread = self.0.thread.get()?.lock().unwrap().take()?;
        Some(thread.join().unwrap())
    }
}

/// At whichever call of one update the source changes and another update begins: when both have
/// ended, what the record says is there is there.
#[test]
fn i7_of_two_updates_that_meet_the_later_one_holds() {
    let (mut overtaken, mut at) = (0, 0);
    loop {
        let (store, met) = meeting(at, |store| {
            let [source, target] = ["source", "target"].map(|name| store.grid(name).unwrap());
            put(&source, 0, 4, 77, 0);
            put(&source, 301, 1, 78, 0);
            target.update_from(&source)
        });
        let [source, target] = prepared(&store);
        met.arm(&store);
        let first = target.update_from(&source);
        let Some(other) = met.other() else { break };
        for ended in [&first, &other] {
            if let Err(error) = ended {
                assert_eq!(error.kind(), &ErrorKind::Conflict, "{error}");
                assert!(error.to_string().contains("grid `target`"), "{error}");
                overtaken += 1;
            }
        }
        assert!(first.is_ok() || other.is_ok(), "one of them ends");
        // What was under way when the later one looked is left to the next.
        target.update_from(&source).unwrap();
        compare(&source, &target)
            .unwrap_or_else(|wrong| panic!("met at call {at}, then updated: {wrong}"));
        assert_eq!(store.verify().unwrap().findings, []);
        let fresh = target
            .read(&Query::all().freshness(Freshness::Fresh))
            .unwrap();
        assert!(fresh.stale.is_empty());
        at += 1;
    }
    assert!(
        at > 20 && overtaken > 5,
        "{overtaken} of {at} were overtaken"
    );
}
