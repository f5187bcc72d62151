//! Measurements.

use std::time::Instant;

use super::*;

/// Prints what a commit costs, alone and in company.
#[test]
#[ignore = "measures"]
fn commits_by_threads() {
    for (durability, rounds) in [(Durability::Sync, 400u16), (Durability::Buffered, 4000)] {
        for threads in [1u8, 2, 4, 8, 16] {
            let place = directory();
            let engine = Rocks::open(place.path(), &creating()).expect("a new store");
            let started = Instant::now();
            std::thread::scope(|scope| {
                for thread in 0..threads {
                    let engine = &engine;
                    scope.spawn(move || {
                        for round in 0..rounds / u16::from(threads) {
                            let mut batch = Batch::at(&*engine.snapshot().expect("a snapshot"));
                            batch.expect_key(Space::Base, vec![thread]);
                            batch.put(Space::Base, vec![thread], vec![1; 10_000]);
                            batch.put(Space::Dirty, vec![thread, round_byte(round.into())], vec![]);
                            engine.commit(batch, durability).expect("no conflicts");
                        }
                    });
                }
            });
            println!(
                "{durability:?} {threads:2} threads: {:?} a commit",
                started.elapsed() / u32::from(rounds)
            );
        }
    }
}

fn round_byte(round: u64) -> u8 {
    round.to_le_bytes()[0]
}
