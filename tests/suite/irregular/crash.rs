//! Events under crashes at any call of the engine, and under many writers at once.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use gridstone::kv::{Durability, Engine, Failure, Faulty, Memory};
use gridstone::{
    Aggregation, ErrorKind, Freshness, Layer, Overlap, Policy, Query, Result, Shape, Store, Window,
};

use super::events::{Events, difference};
use super::model::{check_tries, compare};
use super::plain;
use crate::check::{Dice, open};
use crate::oracle::array;

#[derive(Clone, Debug)]
enum Step {
    Open(Policy),
    Create,
    /// Fields of 3 x 3 cells at some ticks.
    Put(Durability, Vec<i64>, Overlap),
    /// Removes the first to the last tick.
    Clear(i64, i64),
    Delete(i64, i64),
    Aggregate,
    Drain,
}

/// Buckets that split, grow together again and empty, in any order of ticks.
fn workload(first: Policy, second: Policy) -> Vec<Step> {
    use Durability::{Buffered, Sync};
    vec![
        Step::Open(first),
        Step::Create,
        Step::Put(Sync, vec![10, -7], Overlap::Merge),
        Step::Put(Buffered, vec![11, 13], Overlap::Refuse),
        Step::Aggregate,
        Step::Put(Sync, vec![12, 1_000], Overlap::Merge),
        Step::Aggregate,
        Step::Open(second),
        Step::Put(Buffered, vec![10, 12], Overlap::Replace),
        Step::Clear(11, 12),
        Step::Put(Buffered, vec![13, 14], Overlap::Keep),
        Step::Drain,
        Step::Clear(-8, 13),
        Step::Put(Sync, vec![-2_000], Overlap::Merge),
        Step::Delete(500, 2_000),
        Step::Drain,
    ]
}

const START: [i64; 2] = [2, -1];
const SIDE: u64 = 3;

fn values(number: usize, ticks: &[i64]) -> Vec<f64> {
    let cells = ticks.len() * usize::try_from(SIDE * SIDE).unwrap();
    (0..cells)
        .map(|cell| {
            if (cell + number).is_multiple_of(7) {
                f64::NAN
            } else {
                (10 * number + cell) as f64
            }
        })
        .collect()
}

/// From the first to the last tick, everywhere; first and last along every axis.
fn cut(first: i64, last: i64) -> [(i64, i64); 3] {
    [(first, last), (-100, 100), (-100, 100)]
}

fn window(cut: &[(i64, i64)]) -> Window {
    let start: Vec<i64> = cut.iter().map(|(first, _)| *first).collect();
    let shape: Vec<u64> = cut
        .iter()
        .map(|(first, last)| last.abs_diff(*first) + 1)
        .collect();
    Window::new(start.as_slice(), Shape::from(shape.as_slice()))
}

/// True where everything so far is on the medium thereafter.
fn perform(
    number: usize,
    step: &Step,
    host: &Arc<dyn Engine>,
    store: &mut Option<Store>,
) -> Result<bool> {
    let grid = || store.as_ref().unwrap().grid("events");
    match step {
        Step::Open(policy) => {
            *store = Some(
                Store::options()
                    .policy(*policy)
                    .identity(1)
                    .open_engine(Arc::clone(host))?,
            )
        }
        Step::Create => drop(store.as_ref().unwrap().create("events", plain(2, 4))?),
        Step::Put(durability, ticks, overlap) => {
            let grid = grid()?;
            let fields = array(
                grid.schema().dtype(),
                &[ticks.len(), 3, 3],
                &values(number, ticks),
            );
            let mut batch = store.as_ref().unwrap().batch().durability(*durability);
            batch.put_events(&grid, ticks, START, &fields, *overlap)?;
            batch.commit()?;
            return Ok(*durability == Durability::Sync);
        }
        Step::Clear(first, last) => drop(grid()?.clear(&window(&cut(*first, *last)))?),
        Step::Delete(first, last) => drop(grid()?.delete(&window(&cut(*first, *last)))?),
        Step::Aggregate => {
            grid()?.aggregate_step()?;
            return Ok(false);
        }
        Step::Drain => {
            grid()?.aggregate()?;
            return Ok(false);
        }
    }
    Ok(true)
}

/// What the store must hold after the first steps.
fn after(steps: &[Step]) -> Option<Events> {
    steps
        .iter()
        .any(|step| matches!(step, Step::Create))
        .then(|| {
            let mut events = Events::new(&plain(2, 4));
            for (number, step) in steps.iter().enumerate() {
                match step {
                    Step::Put(_, ticks, overlap) => {
                        let put = events.put(
                            ticks,
                            &START,
                            &[ticks.len() as u64, SIDE, SIDE],
                            &values(number, ticks),
                            *overlap,
                        );
                        assert!(put, "{step:?} is refused");
                    }
                    Step::Clear(first, last) => events.clear(&cut(*first, *last), false),
                    Step::Delete(first, last) => events.clear(&cut(*first, *last), true),
                    _ => {}
                }
            }
            events
        })
}

/// Checks a store that was opened after a crash: it holds what the first steps put, for a number of
/// them that is allowed.
fn check(
    engine: Memory,
    steps: &[Step],
    allowed: std::ops::RangeInclusive<usize>,
) -> std::result::Result<(), String> {
    let store = open(&Arc::new(engine), Policy::Manual);
    let Ok(grid) = store.grid("events") else {
        return if after(&steps[..*allowed.start()]).is_none() {
            Ok(())
        } else {
            Err("the grid is lost".to_owned())
        };
    };
    let holds = |events: &Events| {
        check_tries(&grid, events)?;
        let found = grid.read(&Query::all().layer(Layer::Base));
        match (&events.bounds, found) {
            (None, Err(error)) if *error.kind() == ErrorKind::NotFound => Ok(()),
            (Some(_), Ok(answer)) => {
                difference(&answer, events, (None, None), true).map_or(Ok(()), Err)
            }
            (bounds, found) => Err(format!("within {bounds:?} there is {found:?}")),
        }
    };
    let mut wrong = Vec::new();
    let found = allowed
        .clone()
        .rev()
        .filter_map(|done| after(&steps[..done]))
        .find(|events| match holds(events) {
            Ok(()) => true,
            Err(why) => {
                wrong.push(why);
                false
            }
        });
    let Some(mut events) = found else {
        return Err(format!(
            "none of {allowed:?} steps is what is left: {wrong:?}"
        ));
    };
    let verified = |when: &str| {
        let findings = store.verify().unwrap().findings;
        if findings.is_empty() {
            Ok(())
        } else {
            Err(format!("{when} verify finds {findings:?}"))
        }
    };
    verified("before draining")?;
    grid.aggregate().unwrap();
    compare(&grid, &events, &mut Dice(2), true).map_err(|wrong| format!("drained: {wrong}"))?;
    // The store goes on as if nothing had happened.
    let ticks = [12, -50, 15];
    let fields = array(grid.schema().dtype(), &[3, 3, 3], &values(99, &ticks));
    grid.put_events(&ticks, START, &fields, Overlap::Merge)
        .unwrap();
    events.put(
        &ticks,
        &START,
        &[3, SIDE, SIDE],
        &values(99, &ticks),
        Overlap::Merge,
    );
    compare(&grid, &events, &mut Dice(3), false)
        .map_err(|wrong| format!("after another put: {wrong}"))?;
    grid.aggregate().unwrap();
    compare(&grid, &events, &mut Dice(4), true)
        .map_err(|wrong| format!("drained after another put: {wrong}"))?;
    verified("at the end")
}

/// Fails every call of a workload from some call on, for each call, loses power with every number
/// of unsynced commits kept, and gives how many crashes were survived.
fn sweep(steps: &[Step], failure: Failure) -> usize {
    let (mut crashes, mut seen) = (0, HashSet::new());
    for call in 0.. {
        let faulty = Arc::new(Faulty::new(Memory::new()));
        faulty.fail_from(call, failure);
        let host = Arc::clone(&faulty) as Arc<dyn Engine>;
        let (mut store, mut done, mut synced) = (None, 0, 0);
        for (number, step) in steps.iter().enumerate() {
            match perform(number, step, &host, &mut store) {
                Ok(sync) => {
                    done = number + 1;
                    synced = if sync { done } else { synced };
                }
                Err(error) => {
                    assert!(
                        [ErrorKind::Unavailable, ErrorKind::Poisoned].contains(error.kind()),
                        "{step:?}: {error:?}"
                    );
                    break;
                }
            }
        }
        let engine = faulty.engine();
        let kept = (0..=engine.unsynced())
            .map(|keep| (format!("{keep} unsynced commits"), engine.crash(keep)));
        for (what, left) in kept.chain([("the process's death".to_owned(), engine.reopen())]) {
            crashes += 1;
            if !seen.insert((crate::crash::digest(&left), done, synced)) {
                continue;
            }
            if let Err(wrong) = check(left, steps, synced..=(done + 1).min(steps.len())) {
                panic!(
                    "call {call} fails ({failure:?}) within step {done} {:?}; kept {what}: {wrong}",
                    steps.get(done)
                );
            }
        }
        if done == steps.len() {
            return crashes;
        }
    }
    unreachable!("a workload ends")
}

#[test]
fn i5_i6_i7_i10_a_crash_at_any_call_leaves_a_prefix_of_the_events_and_their_marks() {
    for (first, second) in [
        (Policy::Manual, Policy::Inline),
        (Policy::Inline, Policy::Manual),
    ] {
        for failure in [Failure::Before, Failure::After] {
            let crashes = sweep(&workload(first, second), failure);
            assert!(crashes > 100, "{crashes} crashes are too few to mean much");
        }
    }
}

/// Sensors that all report into the same buckets, while the pyramid is kept up to date behind them.
#[test]
fn i4_i7_events_of_many_writers_into_one_bucket_are_all_kept() {
    for policy in [Policy::Manual, Policy::Inline, Policy::Background] {
        let store = open(&Arc::new(Memory::new()), policy);
        let grid = store.create("events", plain(4, 10)).unwrap();
        let mut events = Events::new(grid.schema());
        let puts =
            |writer: i64| (0..12).map(move |number| (number * 7 + writer * 3) % 97 * 4 + writer);
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let grid = grid.clone();
                scope.spawn(move || {
                    for tick in puts(writer) {
                        let field = array(
                            grid.schema().dtype(),
                            &[1, 3, 3],
                            &values(usize::try_from(tick).unwrap(), &[tick]),
                        );
                        grid.put_events(&[tick], START, &field, Overlap::Refuse)
                            .unwrap();
                    }
                });
            }
        });
        let mut all = BTreeSet::new();
        for tick in (0..4).flat_map(puts) {
            assert!(all.insert(tick), "each writer has ticks of its own");
            events.put(
                &[tick],
                &START,
                &[1, SIDE, SIDE],
                &values(usize::try_from(tick).unwrap(), &[tick]),
                Overlap::Refuse,
            );
        }
        assert_eq!(
            grid.events(&Query::all()).unwrap(),
            all.iter().copied().collect::<Vec<_>>()
        );
        check_tries(&grid, &events).unwrap();
        compare(&grid, &events, &mut Dice(1), false).unwrap();
        grid.aggregate().unwrap();
        compare(&grid, &events, &mut Dice(2), true).unwrap();
        let mean = Query::all()
            .layer(Layer::Aggregate(Aggregation::Mean))
            .freshness(Freshness::Stored);
        assert!(grid.read(&mean).unwrap().stale.is_empty());
        assert_eq!(store.verify().unwrap().findings, []);
    }
}
