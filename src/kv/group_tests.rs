//! Group commit on threads of the system.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::{thread, time};

use super::group::{Group, Medium, Waiting, WriteFailure, lock};
use super::{Batch, Durability, Sequence};
use crate::error::{ErrorKind, Result};
use crate::kv::Space;

#[derive(Default)]
struct Recorder {
    groups: Mutex<Vec<Vec<usize>>>,
    syncs: AtomicUsize,
    failure: Mutex<Option<WriteFailure>>,
    sync_failure: Mutex<Option<WriteFailure>>,
    panics: bool,
    delay: time::Duration,
}

impl Medium for Recorder {
    fn write(&self, batches: &[Batch]) -> Result<(), WriteFailure> {
        thread::sleep(self.delay);
        assert!(!self.panics, "the medium panics");
        if let Some(failure) = lock(&self.failure).take() {
            return Err(failure);
        }
        lock(&self.groups).push(batches.iter().map(Batch::size).collect());
        Ok(())
    }

    fn sync(&self) -> Result<(), WriteFailure> {
        thread::sleep(self.delay);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        lock(&self.sync_failure).take().map_or(Ok(()), Err)
    }
}

fn put(key: u8, bytes: usize) -> Batch {
    let mut batch = Batch::default();
    batch.put(Space::Base, vec![key], vec![0; bytes]);
    batch
}

fn failure(fatal: bool) -> WriteFailure {
    WriteFailure {
        kind: ErrorKind::Unavailable,
        context: "it failed".into(),
        cause: "on purpose".into(),
        fatal,
    }
}

#[test]
fn concurrent_commits_share_writes_and_syncs() {
    let group = Group::starting_at(Sequence(5));
    let medium = Recorder {
        delay: time::Duration::from_millis(2),
        ..Recorder::default()
    };
    let barrier = Barrier::new(8);
    thread::scope(|scope| {
        for thread in 0..8u8 {
            let (group, medium, barrier) = (&group, &medium, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for _ in 0..20u8 {
                    group
                        .commit(medium, put(thread, 1), Durability::Sync)
                        .expect("no conflicts");
                }
            });
        }
    });
    let (groups, syncs) = (lock(&medium.groups), medium.syncs.load(Ordering::Relaxed));
    assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), 160);
    assert!(
        groups.len() < 100 && syncs < 100,
        "{} groups and {syncs} syncs for 160 commits",
        groups.len()
    );
    assert_eq!(group.register(), Sequence(165));
}

#[test]
fn only_who_asks_for_it_waits_for_a_sync() {
    let (group, medium) = (Group::starting_at(Sequence(0)), Recorder::default());
    for (durability, syncs) in [
        (Durability::Buffered, 0),
        (Durability::Sync, 1),
        (Durability::Buffered, 1),
        (Durability::Sync, 2),
    ] {
        group
            .commit(&medium, put(1, 1), durability)
            .expect("no conflicts");
        assert_eq!(
            medium.syncs.load(Ordering::Relaxed),
            syncs,
            "{durability:?}"
        );
    }
    group
        .commit(&medium, Batch::default(), Durability::Sync)
        .expect("a batch of nothing");
    assert_eq!(
        medium.syncs.load(Ordering::Relaxed),
        3,
        "all before it is on the medium"
    );
}

#[test]
fn a_failed_sync_poisons_whatever_the_reason() {
    for fatal in [false, true] {
        let (group, medium) = (Group::starting_at(Sequence(0)), Recorder::default());
        *lock(&medium.sync_failure) = Some(failure(fatal));
        assert_eq!(
            group
                .commit(&medium, put(1, 1), Durability::Sync)
                .expect_err("it fails")
                .kind(),
            &ErrorKind::Unavailable
        );
        for durability in [Durability::Sync, Durability::Buffered] {
            assert_eq!(
                group
                    .commit(&medium, put(1, 1), durability)
                    .expect_err("poison")
                    .kind(),
                &ErrorKind::Poisoned
            );
        }
    }
}

#[test]
fn a_group_is_limited_in_bytes_but_for_its_first_batch() {
    let group = Group::starting_at(Sequence(0));
    for size in [9 << 20, 3 << 20, 4 << 20, 3 << 20] {
        let waiting = Waiting {
            batch: put(0, size),
            ticket: Arc::default(),
        };
        lock(&group.queue).waiting.push_back(waiting);
    }
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let mut members = Vec::new();
        assert!(group.gather(&mut members).is_none(), "nothing failed");
        sizes.push(members.len());
    }
    assert_eq!(sizes, [1, 2, 1]);
}

#[test]
fn a_fatal_failure_poisons_and_another_does_not() {
    let group = Group::starting_at(Sequence(0));
    let medium = Recorder::default();
    let base = group.register();
    *lock(&medium.failure) = Some(failure(false));
    let refused = group
        .commit(&medium, put(1, 1), Durability::Sync)
        .expect_err("it fails");
    assert_eq!(
        (refused.kind(), refused.to_string().as_str()),
        (&ErrorKind::Unavailable, "it failed")
    );
    group.release(base);
    assert!(
        group.register() > base,
        "a batch computed after the failure is not judged against what failed"
    );
    group
        .commit(&medium, put(1, 1), Durability::Sync)
        .expect("it works again");
    *lock(&medium.failure) = Some(failure(true));
    assert_eq!(
        group
            .commit(&medium, put(1, 1), Durability::Sync)
            .expect_err("it fails")
            .kind(),
        &ErrorKind::Unavailable
    );
    assert_eq!(
        group
            .commit(&medium, put(1, 1), Durability::Sync)
            .expect_err("poison")
            .kind(),
        &ErrorKind::Poisoned
    );
}

#[test]
fn a_panic_of_the_leader_reaches_everybody() {
    let group = Group::starting_at(Sequence(0));
    let medium = Recorder {
        panics: true,
        delay: time::Duration::from_millis(20),
        ..Recorder::default()
    };
    let (panicked, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for key in 0..6u8 {
            let (group, medium, panicked, failed) = (&group, &medium, &panicked, &failed);
            scope.spawn(move || {
                let commit = || group.commit(medium, put(key, 1), Durability::Sync);
                match std::panic::catch_unwind(std::panic::AssertUnwindSafe(commit)) {
                    Err(_) => panicked.fetch_add(1, Ordering::Relaxed),
                    Ok(result) => {
                        result.expect_err("nothing was written");
                        failed.fetch_add(1, Ordering::Relaxed)
                    }
                };
            });
        }
    });
    assert_eq!(
        (
            panicked.load(Ordering::Relaxed),
            failed.load(Ordering::Relaxed)
        ),
        (1, 5)
    );
}
