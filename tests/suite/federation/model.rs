//! Random histories: a federation answers as one store does.

use super::{DESIGNS, Design, Pair};
use crate::check::{Dice, cases};

fn history(design: &'static Design, seed: u64) {
    let mut dice = Dice(seed);
    let shards = usize::try_from(dice.range(1, 5)).unwrap();
    let mut pair = Pair::new(design, shards, &mut dice);
    pair.log.push(format!("seed {seed}"));
    for _ in 0..dice.range(4, 14) {
        match dice.range(0, 19) {
            0..10 => pair.put(&mut dice),
            10 | 11 => pair.clear(&mut dice),
            12 => pair.delete(&mut dice),
            13 | 14 => {
                pair.log.push("caught up".to_owned());
                pair.check_caught_up(3, &mut dice);
            }
            15 | 16 => {
                pair.log.push("reopened".to_owned());
                pair.reopen();
            }
            17 => {
                pair.moves += 1;
                let infos = pair.federation.shards();
                let name = dice.pick(&infos).shard.name().to_owned();
                pair.log.push(format!("moved {name}"));
                let place = format!("moved/{}", pair.moves);
                pair.federation.move_shard(&name, &place).unwrap();
            }
            _ => {}
        }
        if dice.chance(50) {
            pair.check(4, &mut dice);
        }
    }
    pair.check(10, &mut dice);
    pair.verify(false);
    pair.check_caught_up(25, &mut dice);
    pair.verify(true);
}

/// So many histories of a design.
fn histories(number: usize) {
    for case in 0..u64::from(cases(40)) {
        history(&DESIGNS[number], 1000 * number as u64 + case);
    }
}

#[test]
fn a_line_in_shards_is_a_line() {
    histories(0);
}

#[test]
fn space_in_shards_is_space() {
    histories(1);
}

#[test]
fn space_in_time_is_divided_in_space() {
    histories(2);
}

#[test]
fn time_of_space_is_divided_in_time() {
    histories(3);
}

#[test]
fn mixed_resolutions_are_divided_where_they_are_mixed() {
    histories(4);
}

#[test]
fn mixed_resolutions_are_divided_in_time() {
    histories(5);
}

#[test]
fn three_dimensions_and_bands_are_divided_in_one() {
    histories(6);
}

#[test]
fn events_are_divided_in_space() {
    histories(7);
}
