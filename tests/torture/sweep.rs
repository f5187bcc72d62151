//! A call of the operating system fails: once or for good, with nothing done or half of it.

use std::path::Path;
use std::sync::Mutex;

use gridstone::{Policy, Result, Store};

use crate::check::{self, Loss};
use crate::dice::Dice;
use crate::image::directory;
use crate::seeds;
use crate::shim::{Call, Fault, How, Taken};
use crate::workload::{self, Note};

/// A short life of a store. Everything that a store does to files is in it.
fn life(path: &Path, seed: u64, policy: Policy, note: &(dyn Fn(Note) + Sync)) -> Result<()> {
    let store = Store::options()
        .policy(policy)
        .log_bytes(1 << 20)
        .open(path)?;
    workload::run(&store, seed, 4, note)?;
    store.flush()?;
    workload::run(&store, seed, 3, note)?;
    store.aggregate()
}

/// After the failure the store opens again, with all that was acknowledged.
#[test]
fn a_failed_call_loses_nothing() {
    seeds::each("sweep", |seed| {
        let mut dice = Dice::of(seed, 4);
        // Each seed has another place to fail at.
        let call = Call::ALL[usize::try_from(seed).unwrap() % Call::ALL.len()];
        let most = if matches!(call, Call::Write | Call::Sync) {
            260
        } else {
            40
        };
        let number = dice.pick(&[libc::EIO, libc::ENOSPC]);
        let how = if call == Call::Write && dice.chance(30) {
            How::Torn(number)
        } else {
            How::Fails(number)
        };
        let fault = Fault {
            call,
            at: 1 + dice.below(most),
            how,
            sticky: dice.chance(35),
        };
        let (place, diary) = (directory(), Mutex::new(Vec::new()));
        let note = |note: Note| diary.lock().unwrap().push(note);
        let taken = Taken::new(place.path(), None);
        let path = place.path().join("store");
        let policy = workload::policy(seed);
        let old = dice.chance(60);
        if old {
            life(&path, seed, policy, &note).unwrap();
        }
        taken.arm(fault);
        let outcome = life(&path, seed, policy, &note);
        taken.disarm();
        if taken.fired() == 0 {
            outcome.unwrap_or_else(|error| panic!("nothing failed, and: {error}"));
            return 0;
        }
        // Twice: what a failure leaves must not be made worse.
        for time in ["first", "second"] {
            let store = Store::options()
                .policy(Policy::Manual)
                .open(&path)
                .unwrap_or_else(|error| {
                    panic!(
                        "{fault:?} in an old store: {old}: the {time} opening: {error}: {:?}",
                        std::error::Error::source(&error)
                    )
                });
            if let Err(wrong) = check::whole(&store, seed, &diary.lock().unwrap(), Loss::Process) {
                panic!("{fault:?} in an old store: {old}: the {time} time: {wrong}");
            }
        }
        1
    });
}
