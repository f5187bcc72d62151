//! Group commit, compiled on the primitives of a scheduler that decides at each of them which thread goes on.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::sync::atomic::{self, AtomicUsize};

use super::{Batch, Durability, KeyRange, Order, Page, Sequence, Snapshot, Space, occ};
use crate::error::{ErrorKind, Result};

mod sync {
    pub(super) use shuttle::sync::{Condvar, Mutex, MutexGuard};
}

#[expect(clippy::duplicate_mod, reason = "it is compiled on other primitives")]
#[path = "group.rs"]
mod group;

/// A view that shows every commit up to a sequence.
struct At(Sequence);

impl Snapshot for At {
    fn sequence(&self) -> Sequence {
        self.0
    }
    fn get_many(&self, _: Space, _: &[Vec<u8>], _: &mut dyn FnMut(usize, Option<&[u8]>) -> Result<()>) -> Result<()> {
        unreachable!("nothing is read through it")
    }
    fn scan(&self, _: Space, _: &KeyRange, _: Order, _: usize) -> Result<Page> {
        unreachable!("nothing is read through it")
    }
}

/// One number, which every commit replaces by what it computed from the number it saw.
struct Tally {
    value: shuttle::sync::Mutex<u8>,
    writes: AtomicUsize,
    fails_at: Option<(usize, bool)>,
}

impl group::Medium for Tally {
    fn write(&self, batches: &[Batch], _: Durability) -> Result<(), group::WriteFailure> {
        let number = self.writes.fetch_add(1, atomic::Ordering::Relaxed);
        if let Some((at, fatal)) = self.fails_at
            && number == at
        {
            return Err(group::WriteFailure { context: "it failed".into(), cause: "on purpose".into(), fatal });
        }
        for write in batches.iter().flat_map(Batch::writes) {
            *self.value.lock().unwrap() = write.value.as_ref().unwrap()[0];
        }
        Ok(())
    }
}

/// Threads that each raise the number a few times; gives the number in the end and how often a thread was told that it did.
fn raise(threads: u8, fails_at: Option<(usize, bool)>) -> (u8, u8) {
    let group = Arc::new(group::Group::starting_at(Sequence(3)));
    let tally = Arc::new(Tally { value: shuttle::sync::Mutex::new(0), writes: AtomicUsize::new(0), fails_at });
    let workers: Vec<_> = (0..threads)
        .map(|thread| {
            let (group, tally) = (Arc::clone(&group), Arc::clone(&tally));
            shuttle::thread::spawn(move || {
                let mut raised = 0;
                let mut failures = 0;
                while raised < 2 && failures < 2 {
                    let base = group.register();
                    let seen = *tally.value.lock().unwrap();
                    let mut batch = Batch::at(&At(base));
                    batch.expect_key(Space::Meta, vec![0]);
                    batch.put(Space::Meta, vec![0], vec![seen + 1]);
                    let durability = if thread == 0 { Durability::Sync } else { Durability::Buffered };
                    match group.commit(&*tally, batch, durability) {
                        Ok(_) => raised += 1,
                        Err(error) if *error.kind() == ErrorKind::Conflict => {}
                        Err(_) => failures += 1,
                    }
                    group.release(base);
                }
                raised
            })
        })
        .collect();
    let raised = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
    let value = *tally.value.lock().unwrap();
    (value, raised)
}

#[test]
fn i10_in_no_order_of_threads_an_update_is_lost_or_a_commit_left_waiting() {
    shuttle::check_random(|| assert_eq!(raise(3, None), (6, 6)), 2000);
    shuttle::check_pct(|| assert_eq!(raise(3, None), (6, 6)), 1000, 3);
}

#[test]
fn in_no_order_of_threads_a_failed_write_is_told_as_done_or_leaves_a_commit_waiting() {
    let check = |fatal: bool| {
        move || {
            let (value, raised) = raise(3, Some((1, fatal)));
            assert_eq!(value, raised, "what was acknowledged is there, and nothing else");
        }
    };
    shuttle::check_random(check(true), 1000);
    shuttle::check_random(check(false), 1000);
}
