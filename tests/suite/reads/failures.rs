//! A read that fails is an error: never another answer, nor an absence.

use std::sync::Arc;

use gridstone::kv::{Batch, Durability, Engine, Failure, Faulty, KeyRange, Memory, Order, Space};
use gridstone::{
    ErrorKind, Extent, Grid, Layer, Policy, Result, SeriesQuery, StatisticsQuery, Steps, Store,
};

use super::{KINDS, Kind, told};
use crate::check::{Dice, levels};

/// A verb that reads, and what it says.
type Verb<'a> = (String, Box<dyn Fn(&Grid) -> Result<String> + 'a>);

fn verb<'a, T: std::fmt::Debug>(
    name: impl Into<String>,
    of: impl Fn(&Grid) -> Result<T> + 'a,
) -> Verb<'a> {
    (
        name.into(),
        Box::new(move |grid| of(grid).map(|found| format!("{found:?}"))),
    )
}

/// Every verb that reads, and for queries every kind of them.
fn verbs(kind: &Kind, since: gridstone::Token) -> Vec<Verb<'_>> {
    let mut verbs = Vec::new();
    for query in kind.queries() {
        let queries = std::array::from_fn::<_, 5, _>(|_| query.clone());
        let [read, version, explain, serving, events] = queries;
        verbs.push((
            format!("read {query:?}"),
            Box::new(move |grid: &Grid| grid.read(&read).map(|answer| told(Ok(answer)))) as _,
        ));
        verbs.push(verb(format!("version {query:?}"), move |grid| {
            grid.version(&version)
        }));
        verbs.push(verb(format!("explain {query:?}"), move |grid| {
            grid.explain(&explain)
        }));
        verbs.push(verb(format!("serving {query:?}"), move |grid| {
            grid.serving(&serving)
        }));
        if kind.is_irregular() {
            verbs.push(verb(format!("events {query:?}"), move |grid| {
                grid.events(&events)
            }));
        }
    }
    let others = kind.span.len() - 1;
    let cell = || SeriesQuery::at(vec![1.5; others]).and(vec![-1.5; others]);
    for steps in [Steps::all(), Steps::all().points(3)] {
        let series = cell()
            .steps(steps.clone())
            .freshness(gridstone::Freshness::Fresh);
        verbs.push(verb("a fresh series", move |grid| grid.series(&series)));
        let series = cell().steps(steps.clone());
        verbs.push(verb("a series", move |grid| grid.series(&series)));
        verbs.push(verb("statistics of steps", move |grid| {
            grid.statistics_series(&StatisticsQuery::all(), &steps)
        }));
    }
    let side = |span: &i64| if *span == 0 { (0.0, 3.0) } else { (-3.5, 5.25) };
    let extent = Extent::new(kind.span.iter().map(side));
    let query = StatisticsQuery::all().extent(extent.clone());
    verbs.push(verb("statistics", |grid| {
        grid.statistics(&StatisticsQuery::all())
    }));
    verbs.push(verb("statistics of an extent", move |grid| {
        grid.statistics(&query)
    }));
    for at in kind.read {
        let extent = extent.clone();
        verbs.push(verb("chunks", move |grid| grid.chunks(&extent, levels(at))));
    }
    verbs.push(verb("base chunks", Grid::base_chunks));
    verbs.push(verb("stored chunks", Grid::stored_chunks));
    verbs.push(verb("top", Grid::top));
    verbs.push(verb("extent", Grid::extent));
    verbs.push(verb("bounds", Grid::bounds));
    verbs.push(verb("base levels", Grid::base_levels));
    verbs.push(verb("levels in use", Grid::levels_in_use));
    verbs.push(verb("reach", Grid::reach));
    verbs.push(verb("marks", Grid::marks));
    verbs.push(verb("changes", move |grid| grid.changes_since(&since)));
    verbs.push(verb("the present of changes", Grid::changes_token));
    verbs.push(verb("a snapshot", |grid| {
        grid.store()
            .snapshot()?
            .grid(&grid.name())?
            .read(&gridstone::Query::all())
            .map(|a| told(Ok(a)))
    }));
    verbs.push(verb("the grids of a snapshot", |grid| {
        Ok(grid.store().snapshot()?.grids()?.len())
    }));
    verbs.push(verb("grids", |grid| {
        Ok(grid
            .store()
            .grids()?
            .iter()
            .map(Grid::name)
            .collect::<Vec<_>>())
    }));
    verbs.push(verb("parents and children", |grid| {
        let top = grid.top()?.ok_or_else(|| unreachable!("it has data"))?;
        let name = grid.structure().dimensions()[0].name().to_owned();
        Ok((grid.parent(&top, &name)?, grid.children(&top, &name)?))
    }));
    verbs
}

/// A grid after a history that leaves marks.
fn grid(kind: &Kind, seed: u64, engine: Arc<dyn Engine>) -> (Grid, gridstone::Token) {
    let mut dice = Dice(seed);
    let grid = kind.create(engine, Policy::Manual);
    let token = grid.changes_token().unwrap();
    for _ in 0..9 {
        kind.step(&grid, &mut dice).unwrap();
    }
    while grid.marks().unwrap() == 0 || grid.bounds().unwrap().is_none() {
        kind.step(&grid, &mut dice).unwrap();
    }
    (grid, token)
}

#[test]
fn each_call_that_fails_is_an_error_of_every_verb() {
    for kind in &KINDS {
        let engine = Arc::new(Faulty::new(Memory::new()));
        let (grid, token) = grid(kind, 3, Arc::clone(&engine) as Arc<dyn Engine>);
        let mut failed = 0;
        for (name, verb) in verbs(kind, token) {
            let before = engine.calls();
            let right = verb(&grid);
            let calls = engine.calls() - before;
            for call in 0..calls {
                for lasting in [false, true] {
                    if lasting {
                        engine.fail_from(call, Failure::Before);
                    } else {
                        engine.fail_once(call, Failure::Before);
                    }
                    let got = verb(&grid);
                    engine.heal();
                    let told = format!(
                        "{}: {name}, call {call} of {calls}, lasting {lasting}",
                        kind.name
                    );
                    match (got, &right) {
                        (Err(error), _) if error.kind() == &ErrorKind::Unavailable => failed += 1,
                        (Ok(got), Ok(right)) => assert_eq!(&got, right, "{told}"),
                        (Err(got), Err(right)) => {
                            assert_eq!(got.to_string(), right.to_string(), "{told}")
                        }
                        (got, right) => panic!("{told}: {got:?} for {right:?}"),
                    }
                }
            }
        }
        assert!(failed > 1000, "{}: {failed} calls failed", kind.name);
    }
}

/// An entry of the directory that is cut off is damage to all who ask for it, or nothing to them.
#[test]
fn a_damaged_directory_entry_is_never_an_absence() {
    for kind in &KINDS {
        let engine = Arc::new(Memory::new());
        let (grid, token) = grid(kind, 5, Arc::clone(&engine) as Arc<dyn Engine>);
        let verbs = verbs(kind, token);
        let right: Vec<Result<String>> = verbs.iter().map(|(_, verb)| verb(&grid)).collect();
        let set = |key: &[u8], value: &[u8]| {
            let mut batch = Batch::default();
            batch.put(Space::Directory, key.to_vec(), value.to_vec());
            engine.commit(batch, Durability::Sync).unwrap();
        };
        let entries = engine
            .snapshot()
            .unwrap()
            .scan(Space::Directory, &KeyRange::all(), Order::Ascending, 1000)
            .unwrap()
            .entries;
        let mut damaged = 0;
        for (key, value) in entries.iter().step_by(entries.len() / 12 + 1) {
            set(key, &value[..3]);
            for ((name, verb), right) in verbs.iter().zip(&right) {
                match (verb(&grid), right) {
                    (Err(error), _) if error.kind() == &ErrorKind::Corrupt => damaged += 1,
                    (Ok(got), Ok(right)) => assert_eq!(&got, right, "{}: {name}", kind.name),
                    (Err(got), Err(right)) => {
                        assert_eq!(got.to_string(), right.to_string(), "{}: {name}", kind.name)
                    }
                    (got, right) => panic!("{}: {name}: {got:?} for {right:?}", kind.name),
                }
            }
            set(key, value);
        }
        assert!(damaged > 20, "{}: {damaged} verbs were told", kind.name);
    }
}

#[test]
fn opening_a_store_reads_too() {
    let engine = Arc::new(Faulty::new(Memory::new()));
    let made = KINDS[0].create(Arc::clone(&engine) as Arc<dyn Engine>, Policy::Manual);
    let layer = Layer::Aggregate(made.schema().aggregators()[0].clone());
    drop(made);
    let open = || {
        Store::options()
            .policy(Policy::Manual)
            .open_engine(Arc::clone(&engine) as Arc<dyn Engine>)?
            .grid("a")
    };
    let before = engine.calls();
    let right = open().unwrap().schema().clone();
    for call in 0..engine.calls() - before {
        engine.fail_once(call, Failure::Before);
        let got = open();
        engine.heal();
        match got {
            Ok(grid) => {
                assert_eq!(
                    (
                        grid.schema(),
                        Layer::Aggregate(grid.schema().aggregators()[0].clone())
                    ),
                    (&right, layer.clone())
                )
            }
            Err(error) => assert_eq!(error.kind(), &ErrorKind::Unavailable),
        }
    }
}
