//! Writers whose clocks are days apart take over from one another: nothing acknowledged is lost,
//! and what a reader holds is what it was, or an error.

use std::sync::Arc;
use std::time::Duration;

use gridstone::kv::{Batch, Durability, Engine, KeyRange, Space};
use gridstone::{ErrorKind, Freshness, Policy, Store};

use crate::conformance::options;
use crate::dice::Dice;
use crate::failing::Failing;
use crate::grids;

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;

fn run(seed: u64) {
    let objects = Failing::new(seed);
    let mut dice = Dice(seed);
    let mut value = 0;
    let mut held: Vec<(Store, i32)> = Vec::new();
    for _ in 0..8 {
        let mut options = options();
        options.clock_ahead = dice.pick(&[-30 * DAY, -DAY, -HOUR, 0, HOUR, DAY, 30 * DAY]);
        // What was replaced is kept for as long as a put takes. Who is days ahead takes it for old
        // at once.
        options.kept = Duration::from_secs(20);
        let engine = Arc::new(objects.open(&options).unwrap());
        let store = grids::store(Arc::clone(&engine) as _, Policy::Inline).unwrap();
        let grid = grids::grid(&store).unwrap();
        if value > 0 {
            let cells = grids::cells(&grid, 0, Freshness::Stored).unwrap();
            assert!(
                cells.iter().all(|cell| *cell == f64::from(value)),
                "{value} is gone"
            );
        }
        for round in 0..4 {
            value += 1;
            grids::fill(&grid, &grids::all(), value).unwrap();
            if dice.chance(50) {
                engine.flush().unwrap();
            }
            if round == 2 && dice.chance(50) {
                engine.compact(Space::Base, &KeyRange::all()).unwrap();
            }
        }
        assert!(store.verify().unwrap().findings.is_empty());
        held.push((grids::beside(&objects, &options).unwrap(), value));
        if dice.chance(50) {
            engine.abandon();
        }
    }
    for (store, at_least) in held {
        let cells = store
            .grid("g")
            .and_then(|grid| grids::cells(&grid, 0, Freshness::Stored));
        match cells {
            Ok(cells) => {
                let first = cells[0];
                assert!(cells.iter().all(|cell| *cell == first), "half a commit");
                assert!(
                    first >= f64::from(at_least),
                    "{first} is older than {at_least}"
                );
            }
            Err(error) => assert_eq!(error.kind(), &ErrorKind::Unavailable, "{error:?}"),
        }
    }
}

#[test]
fn writers_whose_clocks_are_days_apart_lose_nothing() {
    for seed in 0..4 {
        run(seed);
    }
}

#[test]
fn a_log_that_was_not_flushed_is_replayed_by_whoever_thinks_it_old() {
    for ahead in [-DAY, DAY] {
        let objects = Failing::new(1);
        let engine = objects.open(&options()).unwrap();
        for number in 0..20_u8 {
            let mut batch = Batch::default();
            batch.put(Space::Meta, vec![number], vec![number]);
            engine.commit(batch, Durability::Sync).unwrap();
        }
        engine.abandon();
        drop(engine);
        let mut options = options();
        options.clock_ahead = ahead;
        let engine = objects.open(&options).unwrap();
        let view = engine.snapshot().unwrap();
        for number in 0..20_u8 {
            let key = [vec![number]];
            view.get_many(Space::Meta, &key, &mut |_, value| {
                assert_eq!(value, Some([number].as_slice()));
                Ok(())
            })
            .unwrap();
        }
    }
}
