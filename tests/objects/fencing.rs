//! Two writers of one store: exactly one wins, and the other is told.

use std::sync::{Arc, Barrier};
use std::thread;

use gridstone::kv::{Batch, Durability, Engine, KeyRange, Order, Slate, Space};
use gridstone::{ErrorKind, Freshness, Policy, Window};
use object_store::memory::InMemory;

use crate::conformance::{fresh_name, options};
use crate::grids;

fn put(engine: &dyn Engine, key: &[u8]) -> gridstone::Result<()> {
    let mut batch = Batch::default();
    batch.put(Space::Base, key.to_vec(), b"value".to_vec());
    engine.commit(batch, Durability::Sync).map(drop)
}

#[test]
fn a_second_writer_fences_the_first_which_can_neither_write_nor_read() {
    let url = format!("memory://{}", fresh_name());
    let first = Slate::open(&url, &options()).unwrap();
    put(&first, b"before").unwrap();
    let view = first.snapshot().unwrap();
    let second = Slate::open(&url, &options()).unwrap();
    let fenced = put(&first, b"after").unwrap_err();
    assert_eq!(fenced.kind(), &ErrorKind::Fenced, "{fenced:?}");
    assert!(fenced.to_string().contains("open it again"), "{fenced}");
    for _ in 0..2 {
        assert_eq!(put(&first, b"x").unwrap_err().kind(), &ErrorKind::Fenced);
    }
    // What was there is not said to be absent.
    let mut there = 0;
    let read = view.get_many(Space::Base, &[b"before".to_vec()], &mut |_, value| {
        assert!(value.is_some(), "an absence that is none");
        there += 1;
        Ok(())
    });
    match read {
        Ok(()) => assert_eq!(there, 1, "a key was passed over"),
        Err(error) => assert_eq!(error.kind(), &ErrorKind::Fenced, "{error:?}"),
    }
    match first.snapshot() {
        Err(error) => assert_eq!(error.kind(), &ErrorKind::Fenced, "{error:?}"),
        Ok(_) => panic!("a view of a store that is another's"),
    }
    let there = second.snapshot().unwrap();
    let page = there
        .scan(Space::Base, &KeyRange::all(), Order::Ascending, 9)
        .unwrap();
    assert_eq!(page.entries, [(b"before".to_vec(), b"value".to_vec())]);
    put(&second, b"later").unwrap();
    drop((view, first));
    put(&second, b"after the first was closed").unwrap();
}

#[test]
fn of_two_that_race_exactly_one_wins_and_nothing_acknowledged_is_lost() {
    for _ in 0..6 {
        let objects: Arc<InMemory> = Arc::default();
        let open = || Slate::open_in(Arc::clone(&objects) as _, "store", true, &options());
        drop(grids::grid(
            &grids::store(Arc::new(open().unwrap()), Policy::Manual).unwrap(),
        ));
        let barrier = Barrier::new(2);
        let race = |column: i64| -> (i32, gridstone::Result<()>) {
            barrier.wait();
            let mut acknowledged = 0;
            let outcome = (|| {
                let store = grids::store(Arc::new(open()?), Policy::Inline)?;
                let grid = grids::grid(&store)?;
                let window = Window::new([0, column], [16, 8]);
                for value in 1..=20 {
                    grids::fill(&grid, &window, value)?;
                    acknowledged = value;
                }
                // Both are at it until one is told.
                thread::sleep(std::time::Duration::from_millis(50));
                grids::fill(&grid, &window, 21)?;
                acknowledged = 21;
                Ok(())
            })();
            (acknowledged, outcome)
        };
        let outcomes: Vec<_> = thread::scope(|scope| {
            let race = &race;
            let racers: Vec<_> = [0, 8]
                .map(|column| scope.spawn(move || race(column)))
                .into_iter()
                .collect();
            racers
                .into_iter()
                .map(|racer| racer.join().unwrap())
                .collect()
        });
        let won = outcomes
            .iter()
            .filter(|(_, outcome)| outcome.is_ok())
            .count();
        for (_, outcome) in &outcomes {
            if let Err(error) = outcome {
                assert_eq!(error.kind(), &ErrorKind::Fenced, "{error:?}");
            }
        }
        // One may be done before the other begins.
        assert!(won >= 1, "{outcomes:?}");
        let store = grids::store(Arc::new(open().unwrap()), Policy::Manual).unwrap();
        assert!(store.verify().unwrap().findings.is_empty());
        let grid = grids::grid(&store).unwrap();
        let cells = grids::cells(&grid, 0, Freshness::Fresh).unwrap();
        let answer = grid.read(&grids::query(0)).unwrap();
        let width = usize::try_from(answer.window.shape()[1]).unwrap();
        for ((acknowledged, _), column) in outcomes.iter().zip([0, 8]) {
            if *acknowledged == 0 {
                continue;
            }
            let start = usize::try_from(column - answer.window.start()[1]).unwrap();
            let there = cells[start];
            assert!(
                (0..16).all(|row| cells[row * width + start] == there),
                "a torn commit"
            );
            assert!(
                there >= f64::from(*acknowledged) && there <= f64::from(acknowledged + 1),
                "{there} after {acknowledged} was acknowledged"
            );
        }
    }
}
