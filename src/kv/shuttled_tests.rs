//! Group commit, compiled on the primitives of a scheduler that decides at each of them which
//! thread goes on.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::sync::atomic::{self, AtomicUsize};

use super::{Batch, Durability, KeyRange, Order, Page, Sequence, Snapshot, Space, occ};
use crate::error::{ErrorKind, Result};

mod sync {
    pub(super) use shuttle::sync::{Condvar, Mutex, MutexGuard};
}

#[expect(clippy::duplicate_mod, reason = "it is compiled on other primitives")]
#[expect(dead_code, reason = "not all of it is tried here")]
#[path = "group.rs"]
mod group;

/// How often a scenario is run, each time in another order.
fn runs() -> usize {
    std::env::var("GRIDSTONE_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(200)
}

/// A view that shows every commit up to a sequence.
struct At(Sequence);

impl Snapshot for At {
    fn sequence(&self) -> Sequence {
        self.0
    }
    fn get_many(
        &self,
        _: Space,
        _: &[Vec<u8>],
        _: &mut dyn FnMut(usize, Option<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        unreachable!("nothing is read through it")
    }
    fn scan(&self, _: Space, _: &KeyRange, _: Order, _: usize) -> Result<Page> {
        unreachable!("nothing is read through it")
    }
}

/// One number, which every commit replaces by what it computed from the number it saw.
struct Tally {
    value: shuttle::sync::Mutex<u8>,
    /// The number that is on the medium.
    synced: shuttle::sync::Mutex<u8>,
    calls: AtomicUsize,
    /// The call that fails, and whether for good.
    fails_at: Option<(usize, bool)>,
}

impl Tally {
    fn call(&self) -> Result<(), group::WriteFailure> {
        let number = self.calls.fetch_add(1, atomic::Ordering::Relaxed);
        match self.fails_at {
            Some((at, fatal)) if number == at => Err(group::WriteFailure {
                kind: ErrorKind::Unavailable,
                context: "it failed".into(),
                cause: "on purpose".into(),
                fatal,
            }),
            _ => Ok(()),
        }
    }
}

impl group::Medium for Tally {
    fn write(&self, batches: &[Batch]) -> Result<(), group::WriteFailure> {
        self.call()?;
        for write in batches.iter().flat_map(Batch::writes) {
            *self.value.lock().unwrap() = write.value.as_ref().unwrap()[0];
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), group::WriteFailure> {
        let value = *self.value.lock().unwrap();
        self.call()?;
        *self.synced.lock().unwrap() = value;
        Ok(())
    }
}

/// Threads that each raise the number twice; gives the number in the end, and how often a thread
/// was told that it did.
fn raise(threads: u8, fails_at: Option<(usize, bool)>) -> (u8, u8) {
    let group = Arc::new(group::Group::starting_at(Sequence(3)));
    let zero = || shuttle::sync::Mutex::new(0);
    let tally = Arc::new(Tally {
        value: zero(),
        synced: zero(),
        calls: AtomicUsize::new(0),
        fails_at,
    });
    let workers: Vec<_> = (0..threads)
        .map(|thread| {
            let (group, tally) = (Arc::clone(&group), Arc::clone(&tally));
            shuttle::thread::spawn(move || {
                let (mut raised, mut failures) = (0, 0);
                while raised < 2 && failures < 2 {
                    let base = group.register();
                    let seen = *tally.value.lock().unwrap();
                    let mut batch = Batch::at(&At(base));
                    batch.expect_key(Space::Meta, vec![0]);
                    batch.put(Space::Meta, vec![0], vec![seen + 1]);
                    let durability = if thread == 0 {
                        Durability::Buffered
                    } else {
                        Durability::Sync
                    };
                    match group.commit(&*tally, batch, durability) {
                        Ok(_) => {
                            raised += 1;
                            let synced = *tally.synced.lock().unwrap();
                            assert!(
                                durability == Durability::Buffered || synced > seen,
                                "{seen} + 1 is not on the medium"
                            );
                        }
                        Err(error) if *error.kind() == ErrorKind::Conflict => {}
                        Err(_) => failures += 1,
                    }
                    group.release(base);
                }
                raised
            })
        })
        .collect();
    let raised = workers
        .into_iter()
        .map(|worker| worker.join().unwrap())
        .sum();
    let value = *tally.value.lock().unwrap();
    (value, raised)
}

#[test]
fn i10_in_no_order_of_threads_an_update_is_lost_or_a_commit_left_waiting() {
    shuttle::check_random(|| assert_eq!(raise(3, None), (6, 6)), 2 * runs());
    shuttle::check_pct(|| assert_eq!(raise(3, None), (6, 6)), runs(), 3);
}

#[test]
fn in_no_order_of_threads_a_failed_write_is_told_as_done_or_leaves_a_commit_waiting() {
    for (at, fatal) in [
        (0, true),
        (1, true),
        (2, true),
        (3, true),
        (1, false),
        (2, false),
    ] {
        let check = move || {
            let (value, raised) = raise(3, Some((at, fatal)));
            assert!(
                value >= raised,
                "what was acknowledged is there; a write whose sync failed may be"
            );
        };
        shuttle::check_random(check, runs());
    }
}
