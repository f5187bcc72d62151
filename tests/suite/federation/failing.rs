//! Failures and crashes between the commits of shards and of the top.

use gridstone::kv::{Batch, Durability, Engine, Failure, KeyRange, Order, Space};
use gridstone::verify::Thoroughness;
use gridstone::{Freshness, Query, Window};

use super::{DESIGNS, Design, Pair, cells, shown};
use crate::check::{Dice, cases};

/// A history up to which nothing fails, some of it caught up.
fn begun(design: &'static Design, seed: u64) -> (Pair, Dice) {
    let mut dice = Dice(seed);
    let mut pair = Pair::new(design, 3, &mut dice);
    for number in 0..8 {
        pair.put(&mut dice);
        if number == 4 {
            pair.federation.catch_up().unwrap();
        }
    }
    pair.clear(&mut dice);
    (pair, dice)
}

/// Whichever call of whichever store fails first while the federation catches up, and all after it,
/// nothing is lost once it is opened again.
#[test]
fn catching_up_can_end_at_any_call() {
    let mut seen = 0;
    for case in 0..u64::from(cases(12)) {
        let design = &DESIGNS[usize::try_from(case).unwrap() % DESIGNS.len()];
        let (mut pair, mut dice) = begun(design, 7_000 + case);
        let places: Vec<String> = pair
            .federation
            .shards()
            .iter()
            .map(|info| info.shard.place().to_owned())
            .chain(["top".to_owned(), "top".to_owned()])
            .collect();
        for failure in [Failure::Before, Failure::After] {
            for _ in 0..4 {
                let engine = pair.engines.of(&dice.pick(&places));
                engine.fail_from(dice.below(40) as u64, failure);
                let failed = pair.federation.catch_up();
                seen += usize::from(failed.is_err());
                pair.log.push(format!("{failure:?}: {failed:?}"));
                engine.heal();
                pair.reopen();
                pair.check(3, &mut dice);
                pair.put(&mut dice);
            }
        }
        pair.check_caught_up(15, &mut dice);
    }
    assert!(seen > 0, "catching up fails at all");
}

/// Of a put into several shards the parts before a failure are in, and the same again makes it
/// whole.
#[test]
fn a_put_that_a_shard_fails_in_is_whole_after_the_same_again() {
    let mut seen = 0;
    for case in 0..u64::from(cases(12)) {
        let (mut pair, mut dice) = begun(&DESIGNS[1], 8_000 + case);
        let all = Window::new([-20, -14], [40, 28]);
        let array = cells(pair.single.schema(), &all.shape(), &mut dice);
        let infos = pair.federation.shards();
        let broken = dice.pick(&infos).shard;
        let engine = pair.engines.of(broken.place());
        let calls = dice.below(12) as u64;
        engine.fail_from(calls, dice.pick(&[Failure::Before, Failure::After]));
        let failed = pair.federation.replace(&all, array.view());
        engine.heal();
        pair.reopen();
        if let Err(error) = &failed {
            seen += 1;
            let text = format!("{error:?}");
            assert!(text.contains(broken.name()), "{text}");
        }
        pair.federation.replace(&all, array.view()).unwrap();
        pair.single.replace(&all, array.view()).unwrap();
        pair.log.push(format!("{calls}: {failed:?}"));
        pair.check(5, &mut dice);
        pair.check_caught_up(10, &mut dice);
    }
    assert!(seen > 2, "puts fail at all: {seen}");
}

/// A reader that holds a moment sees it, whatever is put and aggregated meanwhile.
#[test]
fn a_moment_does_not_move() {
    for case in 0..u64::from(cases(6)) {
        let (mut pair, mut dice) = begun(&DESIGNS[4], 9_000 + case);
        let then = pair.federation.grid().unwrap();
        let query = Query::all().freshness(Freshness::Fresh).level("x", 3);
        let before = shown(&then.read(&query).unwrap());
        pair.put(&mut dice);
        pair.federation.catch_up().unwrap();
        pair.delete(&mut dice);
        assert_eq!(shown(&then.read(&query).unwrap()), before);
    }
}

/// What is lost above the shards is told of the whole: no store alone knows that it was there.
#[test]
fn an_aggregate_that_the_top_has_lost_is_found() {
    let (pair, _) = begun(&DESIGNS[0], 3);
    pair.federation.catch_up().unwrap();
    pair.verify(true);
    let engine = pair.engines.of("top");
    for space in [Space::Directory, Space::Aggregate] {
        let held = engine.snapshot().unwrap();
        let page = held.scan(space, &KeyRange::all(), Order::Ascending, 1);
        let (key, _) = page.unwrap().entries.into_iter().next().unwrap();
        let mut batch = Batch::default();
        batch.delete(space, key);
        engine.commit(batch, Durability::Sync).unwrap();
    }
    let found = pair.federation.verify(Thoroughness::Full).unwrap().findings;
    assert!(!found.is_empty());
    let found = pair
        .federation
        .verify(Thoroughness::Quick)
        .unwrap()
        .findings;
    assert_eq!(found, [], "every value that is there can be read");
}
