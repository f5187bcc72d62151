//! Power is lost: of what was not synced the medium holds some, in whatever way.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use gridstone::{Policy, Store};

use crate::check;
use crate::dice::Dice;
use crate::image::{directory, lay_out};
use crate::seeds;
use crate::shim::{Lie, Taken};
use crate::trace::{Loss, Trace};
use crate::workload::{self, Kind, Note};

/// Lets writers work on a store, which is opened twice, and records what it does to its files.
fn recorded(place: &Path, seed: u64, lie: Lie) -> Trace {
    let trace = Trace::new(lie);
    let _taken = Taken::new(place, Some(trace.clone()));
    for round in 0..2 {
        let options = Store::options()
            .policy(workload::policy(seed + round))
            .log_bytes(1 << 20);
        let store = options.open(place.join("store")).unwrap();
        workload::run(&store, seed, 12, &|note| trace.note(note)).unwrap();
    }
    trace
}

/// Opens what is left and checks it; a store that was not yet made may be none.
fn check_left(store: &Path, seed: u64, diary: &[Note]) -> Result<(), String> {
    let promised = diary.iter().any(|note| note.kind == Kind::Synced);
    match Store::options()
        .policy(Policy::Manual)
        .create(!promised)
        .open(store)
    {
        Ok(store) => check::whole(&store, seed, diary, check::Loss::Power).map(drop),
        Err(error) => Err(format!("{error}: {:?}", std::error::Error::source(&error))),
    }
}

/// Cuts a recording at moments, in ways, and checks each state; gives how many there were, or what
/// was wrong.
fn cut(trace: &Trace, place: &Path, seed: u64, cuts: usize) -> Result<u64, String> {
    let (mut dice, laid) = (Dice::of(seed, 3), directory());
    let mut states = 0;
    for _ in 0..cuts {
        let (at, how) = (1 + dice.below(trace.len()), dice.pick(&Loss::ALL));
        let (files, diary) = trace.cut(at, how, &mut dice);
        let store = lay_out(
            &files,
            &std::fs::canonicalize(place).unwrap().join("store"),
            laid.path(),
        );
        check_left(&store, seed, &diary)
            .map_err(|wrong| format!("cut at {at} of {}, {how:?}: {wrong}", trace.len()))?;
        states += 1;
    }
    Ok(states)
}

#[test]
fn i10_what_was_synced_survives_the_loss_of_power() {
    seeds::each("power", |seed| {
        let place = directory();
        let trace = recorded(place.path(), seed, Lie::None);
        cut(&trace, place.path(), seed, 40).unwrap_or_else(|wrong| panic!("{wrong}"))
    });
}

/// A torture that finds nothing wrong when syncs are lies would find nothing.
#[test]
fn lies_about_syncs_are_found() {
    for lie in [
        Lie::UnsyncedFiles(".log"),
        Lie::UnsyncedFiles(".sst"),
        Lie::UnsyncedNames,
    ] {
        let states = |seed, lie| {
            let place = directory();
            let trace = recorded(place.path(), seed, lie);
            cut(&trace, place.path(), seed, 30)
        };
        let is_found = |seed| {
            catch_unwind(AssertUnwindSafe(|| states(seed, lie)))
                .map_or(true, |states| states.is_err())
        };
        let seed = (1..20)
            .find(|seed| is_found(*seed))
            .unwrap_or_else(|| panic!("{lie:?} is not found"));
        // It is the lie that was found.
        states(seed, Lie::None)
            .unwrap_or_else(|wrong| panic!("seed {seed} of {lie:?} without it: {wrong}"));
    }
}
