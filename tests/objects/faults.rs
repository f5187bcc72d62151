//! An object storage that fails, loses answers, repeats and reorders: what was acknowledged holds,
//! everything else is an error, and what is found afterwards is sound.

use std::sync::Arc;
use std::time::Duration;

use gridstone::kv::{Slate, SlateOptions};
use gridstone::{ErrorKind, Policy, Store};

use crate::conformance::options;
use crate::failing::{Failing, Weather};
use crate::grids;

/// Two attempts more a request.
fn impatient() -> SlateOptions {
    let mut options = options();
    options.timeout = Duration::from_secs(6);
    options
}

fn open(objects: &Arc<Failing>) -> gridstone::Result<(Arc<Slate>, Store)> {
    let engine = Arc::new(objects.open(&impatient())?);
    let store = grids::store(Arc::clone(&engine) as _, Policy::Manual)?;
    Ok((engine, store))
}

fn is_typed(error: &gridstone::Error) -> bool {
    [
        ErrorKind::Unavailable,
        ErrorKind::Poisoned,
        ErrorKind::Fenced,
    ]
    .contains(error.kind())
}

/// Puts higher and higher numbers into all cells until a put or an aggregation fails, and gives the
/// last that was acknowledged and the last that was tried.
fn put_until_failure(store: &Store, from: i32, most: i32) -> (Option<i32>, i32) {
    let mut acknowledged = None;
    let mut put = |value| -> gridstone::Result<()> {
        let grid = grids::grid(store)?;
        grids::fill(&grid, &grids::all(), value)?;
        acknowledged = Some(value);
        if value % 3 == 0 {
            grid.aggregate()?;
        }
        Ok(())
    };
    let failed = (from..from + most).find_map(|value| put(value).err().map(|error| (value, error)));
    if let Some((value, error)) = failed {
        assert!(is_typed(&error), "{error:?}");
        return (acknowledged, value);
    }
    (acknowledged, from + most - 1)
}

/// What is there in good weather: one number in all cells, and no finding.
fn found(objects: &Arc<Failing>) -> Option<i32> {
    objects.set(Weather::default());
    let (_, store) = open(objects).unwrap();
    grids::found(&store)
}

fn run(weather: Weather, seed: u64) {
    let objects = Failing::new(seed);
    let (mut least, mut most) = (None, 0);
    for life in 0..4 {
        objects.set(weather);
        match open(&objects) {
            Ok((engine, store)) => {
                let (acknowledged, tried) = put_until_failure(&store, life * 100 + 1, 12);
                least = acknowledged.or(least);
                most = most.max(tried);
                engine.abandon();
            }
            Err(error) => assert!(is_typed(&error), "{error:?}"),
        }
        let found = found(&objects);
        assert!(
            found >= least && found.unwrap_or(0) <= most,
            "{found:?} after {least:?} was acknowledged and {most} was tried"
        );
        // What was found is there from now on.
        least = found;
    }
}

#[test]
fn requests_that_fail_now_and_then_are_tried_again() {
    let weather = Weather {
        fails: 8,
        ..Weather::default()
    };
    run(weather, 1);
}

#[test]
fn answers_that_are_lost_are_no_loss() {
    let weather = Weather {
        loses: 15,
        ..Weather::default()
    };
    run(weather, 2);
}

#[test]
fn requests_that_are_repeated_and_reordered_change_nothing() {
    let weather = Weather {
        repeats: 20,
        holds: 20,
        takes: Duration::from_millis(1),
        ..Weather::default()
    };
    run(weather, 3);
}

#[test]
fn all_of_it_at_once() {
    for seed in 4..6 {
        let weather = Weather {
            fails: 15,
            loses: 15,
            repeats: 10,
            holds: 10,
            takes: Duration::from_millis(1),
        };
        run(weather, seed);
    }
}

#[test]
fn an_object_storage_that_is_gone_fails_in_time_and_is_found_sound_again() {
    let objects = Failing::new(9);
    let (engine, store) = open(&objects).unwrap();
    let grid = grids::grid(&store).unwrap();
    grids::fill(&grid, &grids::all(), 5).unwrap();
    objects.set(Weather {
        fails: 100,
        ..Weather::default()
    });
    let start = std::time::Instant::now();
    let failed = grids::fill(&grid, &grids::all(), 6).unwrap_err();
    assert_eq!(failed.kind(), &ErrorKind::Unavailable, "{failed:?}");
    let again = grids::fill(&grid, &grids::all(), 7).unwrap_err();
    assert!(is_typed(&again), "{again:?}");
    let closed = open(&objects).map(drop).unwrap_err();
    assert_eq!(closed.kind(), &ErrorKind::Unavailable, "{closed:?}");
    assert!(
        start.elapsed() < Duration::from_secs(60),
        "it took too long"
    );
    engine.abandon();
    drop((grid, store, engine));
    let found = found(&objects);
    assert!(found == Some(5) || found == Some(6), "{found:?}");
}

#[test]
fn a_store_whose_storage_never_answers_is_closed_in_time() {
    let objects = Failing::new(10);
    let (engine, store) = open(&objects).unwrap();
    let grid = grids::grid(&store).unwrap();
    grids::fill(&grid, &grids::all(), 5).unwrap();
    objects.set(Weather {
        takes: Duration::from_secs(24 * 3600),
        ..Weather::default()
    });
    let start = std::time::Instant::now();
    drop((grid, store, engine));
    // Six seconds, not ten times as many.
    let took = start.elapsed();
    assert!(took < Duration::from_secs(40), "{took:?}");
    assert_eq!(found(&objects), Some(5));
}
