//! Grids are dropped, renamed and swapped: each in one commit, whatever else is going on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use gridstone::kv::{Durability, Engine, Failure, Faulty, KeyRange, Memory, Order, Space};
use gridstone::{
    Aggregation, Axis, DType, Dimension, ErrorKind, Extent, Freshness, Grid, Policy, Query, Result,
    Schema, Store, Structure, Window,
};
use ndarray::arr1;

use crate::check::{levels, open};

fn schema() -> Schema {
    let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 4)]);
    let structure = Structure::builder().dimension(x).build().unwrap();
    Schema::builder(structure, DType::I16)
        .nodata(0.0)
        .aggregator(Aggregation::Sum)
        .build()
        .unwrap()
}

fn put(grid: &Grid, at: i64, value: i16) -> Result<()> {
    grid.put(&Window::new([at], [2]), &arr1(&[value, value]))
        .map(|_| ())
}

/// The value of the first cell that was put.
fn value(grid: &Grid) -> f64 {
    grid.read(&Query::all())
        .unwrap()
        .array
        .iter_f64()
        .next()
        .unwrap()
}

fn entries(engine: &dyn Engine, space: Space) -> usize {
    engine
        .snapshot()
        .unwrap()
        .scan(space, &KeyRange::all(), Order::Ascending, usize::MAX)
        .unwrap()
        .entries
        .len()
}

#[test]
fn a_dropped_grid_is_gone_with_all_that_was_its() {
    let engine: Arc<Memory> = Arc::default();
    let store = open(&engine, Policy::Manual);
    let (kept, gone) = (
        store.create("kept", schema()).unwrap(),
        store.create("gone", schema()).unwrap(),
    );
    for at in [0, 50, -30] {
        put(&kept, at, 1).unwrap();
    }
    let before: Vec<usize> = Space::ALL
        .iter()
        .map(|space| entries(&*engine, *space))
        .collect();
    for at in [0, 50, -30] {
        put(&gone, at, 2).unwrap();
        gone.aggregate().unwrap();
    }
    put(&gone, 7, 3).unwrap();
    let token = gone.changes_token().unwrap();
    store.drop_grid("gone").unwrap();
    let after: Vec<usize> = Space::ALL
        .iter()
        .map(|space| entries(&*engine, *space))
        .collect();
    assert_eq!(after[1..], before[1..], "chunks, marks and changes");
    assert_eq!(
        after[0],
        before[0] - 2,
        "name and schema, which were there before"
    );
    assert_eq!(
        store
            .grids()
            .unwrap()
            .iter()
            .map(Grid::name)
            .collect::<Vec<_>>(),
        ["kept"]
    );
    assert_eq!(store.verify().unwrap().findings, []);
    store.reclaim().unwrap();
    assert_eq!(value(&kept), 1.0);

    let x = levels(&[0]);
    let all: [(&str, &dyn Fn() -> Result<()>); 17] = [
        ("put", &|| put(&gone, 0, 1)),
        ("read", &|| gone.read(&Query::all()).map(drop)),
        ("explain", &|| gone.explain(&Query::all()).map(drop)),
        ("version", &|| gone.version(&Query::all()).map(drop)),
        ("aggregate", &|| gone.aggregate().map(drop)),
        ("marks", &|| gone.marks().map(drop)),
        ("bounds", &|| gone.bounds().map(drop)),
        ("extent", &|| gone.extent().map(drop)),
        ("base_levels", &|| gone.base_levels().map(drop)),
        ("top", &|| gone.top().map(drop)),
        ("reach", &|| gone.reach().map(drop)),
        ("base_chunks", &|| gone.base_chunks().map(drop)),
        ("stored_chunks", &|| gone.stored_chunks().map(drop)),
        ("chunks", &|| {
            gone.chunks(&Extent::new([(0.0, 9.0)]), x).map(drop)
        }),
        ("changes_token", &|| gone.changes_token().map(drop)),
        ("changes_since", &|| gone.changes_since(&token).map(drop)),
        ("drop", &|| store.drop_grid("gone")),
    ];
    for (name, call) in all {
        let error = call().expect_err(name);
        assert_eq!(error.kind(), &ErrorKind::NotFound, "{name}: {error}");
        assert!(error.to_string().contains("grid `gone`"), "{name}: {error}");
    }
    let again = store.create("gone", schema()).unwrap();
    assert_eq!(
        again.bounds().unwrap(),
        None,
        "a new grid of the name has a number of its own"
    );
    put(&again, 0, 5).unwrap();
    assert_eq!(
        gone.read(&Query::all()).unwrap_err().kind(),
        &ErrorKind::NotFound,
        "the old handle stays with the old grid"
    );
    assert_eq!(
        again.changes_since(&token).unwrap_err().kind(),
        &ErrorKind::Expired
    );
    assert_eq!(store.verify().unwrap().findings, []);
}

#[test]
fn handles_follow_the_data_and_errors_the_names() {
    let store = open(&Arc::default(), Policy::Inline);
    let (live, next) = (
        store.create("live", schema()).unwrap(),
        store.create("next", schema()).unwrap(),
    );
    put(&live, 0, 1).unwrap();
    put(&next, 0, 2).unwrap();
    let token = live.changes_token().unwrap();
    store.swap("live", "next").unwrap();
    assert_eq!(
        (live.name().as_str(), next.name().as_str()),
        ("next", "live")
    );
    assert_eq!(
        (value(&live), value(&next)),
        (1.0, 2.0),
        "open handles keep their data"
    );
    let reopened = store.grid("live").unwrap();
    assert_eq!((value(&reopened), reopened.name().as_str()), (2.0, "live"));
    assert_eq!(
        reopened.changes_since(&token).unwrap_err().kind(),
        &ErrorKind::Expired,
        "whoever follows the name starts anew"
    );
    assert_eq!(live.changes_since(&token).unwrap().changes, []);
    let error = live
        .put(&Window::new([0], [2]), &arr1(&[1_u8, 2]))
        .unwrap_err();
    assert!(error.to_string().contains("grid `next`"), "{error}");

    store.rename_grid("next", "old").unwrap();
    assert_eq!(live.name(), "old");
    put(&live, 1, 9).unwrap();
    assert_eq!(value(&store.grid("old").unwrap()), 1.0);
    let names = |store: &Store| {
        store
            .grids()
            .unwrap()
            .iter()
            .map(Grid::name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&store), ["live", "old"]);
    let refused = [
        (store.rename_grid("next", "x"), ErrorKind::NotFound),
        (store.rename_grid("old", "live"), ErrorKind::AlreadyExists),
        (store.rename_grid("old", "old"), ErrorKind::AlreadyExists),
        (store.rename_grid("old", "a/b"), ErrorKind::Invalid),
        (store.swap("live", "next"), ErrorKind::NotFound),
        (store.swap("next", "live"), ErrorKind::NotFound),
        (store.drop_grid("next"), ErrorKind::NotFound),
    ];
    for (outcome, kind) in refused {
        assert_eq!(outcome.unwrap_err().kind(), &kind);
    }
    assert_eq!(
        names(&store),
        ["live", "old"],
        "what is refused changes nothing"
    );
}

/// What the names stand for; the content of a grid is the value of its first cell.
type Catalog = BTreeMap<&'static str, i16>;

#[derive(Clone, Copy, Debug)]
enum Step {
    Create(&'static str, i16),
    Aggregate(&'static str),
    Drop(&'static str),
    Rename(&'static str, &'static str),
    Swap(&'static str, &'static str),
    Reclaim,
}

const STEPS: [Step; 13] = [
    Step::Create("a", 1),
    Step::Create("b", 2),
    Step::Swap("a", "b"),
    Step::Rename("a", "c"),
    Step::Create("a", 3),
    Step::Aggregate("a"),
    Step::Swap("a", "c"),
    Step::Drop("a"),
    Step::Reclaim,
    Step::Create("a", 4),
    Step::Swap("a", "b"),
    Step::Drop("c"),
    Step::Rename("b", "c"),
];

impl Step {
    fn perform(self, store: &Store) -> Result<()> {
        match self {
            Step::Create(name, value) => {
                let grid = store.create(name, schema())?;
                put(&grid, 0, value)?;
                put(&grid, 40, value)
            }
            Step::Aggregate(name) => store.grid(name)?.aggregate().map(drop),
            Step::Drop(name) => store.drop_grid(name),
            Step::Rename(old, new) => store.rename_grid(old, new),
            Step::Swap(a, b) => store.swap(a, b),
            Step::Reclaim => store.reclaim(),
        }
    }

    fn apply(self, catalog: &mut Catalog) {
        match self {
            Step::Create(name, value) => drop(catalog.insert(name, value)),
            Step::Drop(name) => drop(catalog.remove(name).unwrap()),
            Step::Rename(old, new) => {
                let value = catalog.remove(old).unwrap();
                catalog.insert(new, value);
            }
            Step::Swap(a, b) => {
                let (of_a, of_b) = (catalog[a], catalog[b]);
                catalog.extend([(a, of_b), (b, of_a)]);
            }
            Step::Aggregate(_) | Step::Reclaim => {}
        }
    }
}

fn after(steps: usize) -> Catalog {
    let mut catalog = Catalog::new();
    STEPS[..steps]
        .iter()
        .for_each(|step| step.apply(&mut catalog));
    catalog
}

/// What a store holds, but for a grid that was made and has no data yet.
fn held(store: &Store) -> BTreeMap<String, i16> {
    let grids = store
        .grids()
        .unwrap()
        .into_iter()
        .filter(|grid| grid.bounds().unwrap().is_some());
    let whole = |value: f64| (1..=4).find(|whole| f64::from(*whole) == value).unwrap();
    grids
        .map(|grid| (grid.name(), whole(value(&grid))))
        .collect()
}

#[test]
fn i10_a_crash_at_any_call_leaves_each_drop_rename_and_swap_done_or_not() {
    for failure in [Failure::Before, Failure::After] {
        for call in 0.. {
            let host = Arc::new(Faulty::new(Memory::new()));
            host.fail_from(call, failure);
            let mut done = 0;
            let opened = Store::options()
                .policy(Policy::Manual)
                .open_engine(Arc::clone(&host) as Arc<dyn Engine>);
            if let Ok(store) = opened {
                done = STEPS
                    .iter()
                    .take_while(|step| step.perform(&store).is_ok())
                    .count();
            }
            for engine in [host.engine().crash(0), host.engine().reopen()] {
                let engine = Arc::new(engine);
                let store = open(&engine, Policy::Manual);
                let found = held(&store);
                let expected = [after(done), after((done + 1).min(STEPS.len()))];
                let matches = |catalog: &Catalog| {
                    catalog
                        .iter()
                        .map(|(name, value)| ((*name).to_owned(), *value))
                        .collect::<BTreeMap<_, _>>()
                        == found
                };
                assert!(
                    expected.iter().any(matches),
                    "call {call}, {failure:?}, {done} steps done: {found:?} of {expected:?}"
                );
                assert_eq!(
                    store.verify().unwrap().findings,
                    [],
                    "call {call}: nothing is half there"
                );
                store.reclaim().unwrap();
                store.aggregate().unwrap();
                assert_eq!(
                    (held(&store), store.verify().unwrap().findings),
                    (found, vec![])
                );
                assert!(
                    store
                        .create("new", schema())
                        .unwrap()
                        .bounds()
                        .unwrap()
                        .is_none(),
                    "no number is used twice"
                );
            }
            if done == STEPS.len() {
                assert!(call > 80, "{call} calls are too few to mean much");
                break;
            }
        }
    }
}

/// A writer, an aggregator and a reader hold on to a grid that is dropped before any one of their
/// calls: they end with a clear error, and nothing of the grid comes back.
#[test]
fn a_grid_that_is_dropped_before_any_call_of_a_writer_stays_dropped() {
    for policy in [Policy::Manual, Policy::Inline] {
        for call in 0.. {
            let engine: Arc<Memory> = Arc::default();
            let dropper = open(&engine, Policy::Manual);
            let armed = Arc::new(AtomicBool::new(false));
            let (arm, shared) = (Arc::clone(&armed), Arc::clone(&engine));
            let first = std::sync::atomic::AtomicU64::new(0);
            let hook = move |_| {
                if arm.load(Ordering::SeqCst) && first.fetch_add(1, Ordering::SeqCst) == call {
                    dropper.drop_grid("a").unwrap();
                    assert_eq!(entries(&*shared, Space::Base), 0);
                }
            };
            let hooked = Arc::new(Faulty::hooked(Shared(Arc::clone(&engine)), hook));
            let store = Store::options().policy(policy).open_engine(hooked).unwrap();
            let grid = store.create("a", schema()).unwrap();
            put(&grid, 0, 1).unwrap();
            armed.store(true, Ordering::SeqCst);
            let outcome = put(&grid, 9, 2)
                .and_then(|()| grid.aggregate().map(drop))
                .and_then(|()| {
                    grid.read(&Query::all().freshness(Freshness::Fresh))
                        .map(drop)
                });
            armed.store(false, Ordering::SeqCst);
            if store.grid("a").is_ok() {
                outcome.unwrap();
                assert!(call > 10, "{call} calls are too few to mean much");
                break;
            }
            if let Err(error) = outcome {
                assert_eq!(
                    error.kind(),
                    &ErrorKind::NotFound,
                    "{policy:?}, call {call}: {error}"
                );
                assert!(
                    error.to_string().contains("grid `a` was dropped"),
                    "{error}"
                );
            }
            for space in Space::ALL.into_iter().skip(1) {
                assert_eq!(
                    entries(&*engine, space),
                    0,
                    "{policy:?}, call {call}: {space:?}"
                );
            }
            assert_eq!(store.verify().unwrap().findings, []);
        }
    }
}

/// An engine that several stores use.
#[derive(Debug)]
struct Shared(Arc<Memory>);

impl Engine for Shared {
    fn snapshot(&self) -> Result<Arc<dyn gridstone::kv::Snapshot>> {
        self.0.snapshot()
    }
    fn commit(
        &self,
        batch: gridstone::kv::Batch,
        durability: Durability,
    ) -> Result<gridstone::kv::Sequence> {
        self.0.commit(batch, durability)
    }
    fn flush(&self) -> Result<()> {
        self.0.flush()
    }
    fn compact(&self, space: Space, range: &KeyRange) -> Result<()> {
        self.0.compact(space, range)
    }
    fn checkpoint(&self, target: &std::path::Path) -> gridstone::Result<()> {
        self.0.checkpoint(target)
    }

    fn counters(&self) -> gridstone::kv::Counters {
        self.0.counters()
    }
}

/// A forecast replaces the last one again and again: whoever opens the name finds a whole one,
/// never older than the one before.
#[test]
fn i9_readers_of_a_name_see_one_forecast_or_the_next() {
    let store = open(&Arc::default(), Policy::Inline);
    put(&store.create("live", schema()).unwrap(), 0, 1).unwrap();
    let writing = AtomicBool::new(true);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut last = 0.0;
                while writing.load(Ordering::SeqCst) {
                    let grid = store.grid("live").unwrap();
                    match grid.read(&Query::all()) {
                        Ok(answer) => {
                            let now = answer.array.iter_f64().next().unwrap();
                            assert!(
                                now >= last && answer.array.iter_f64().all(|cell| cell == now),
                                "{now} after {last}"
                            );
                            last = now;
                        }
                        Err(error) => assert_eq!(
                            error.kind(),
                            &ErrorKind::NotFound,
                            "dropped after it was opened: {error}"
                        ),
                    }
                }
            });
        }
        for round in 2..150 {
            put(&store.create("next", schema()).unwrap(), 0, round).unwrap();
            store.swap("live", "next").unwrap();
            store.drop_grid("next").unwrap();
        }
        writing.store(false, Ordering::SeqCst);
    });
    assert_eq!(
        (
            value(&store.grid("live").unwrap()),
            store.verify().unwrap().findings
        ),
        (149.0, vec![])
    );
}
