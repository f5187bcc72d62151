//! The coordination of a store's threads, compiled on the primitives of a scheduler that decides at
//! each of them which thread goes on. Whoever would wait for ever fails the run.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::ErrorKind;
use crate::key::GridId;
use backlog::{Backlog, CommitRoom, MarkChanges, Outcome};

mod sync {
    pub(super) use shuttle::sync::{Condvar, Mutex, MutexGuard};
}

#[expect(clippy::duplicate_mod, reason = "it is compiled on other primitives")]
#[expect(dead_code, reason = "not all of it is tried here")]
#[path = "backlog.rs"]
mod backlog;

const FIRST: u64 = 100;

/// How often a scenario is run, each time in another order.
fn runs() -> usize {
    std::env::var("GRIDSTONE_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(200)
}

/// What the marks of two grids would be on disk.
struct Disk {
    backlog: Backlog,
    marks: shuttle::sync::Mutex<BTreeMap<GridId, BTreeMap<u64, u64>>>,
    sequence: AtomicU64,
    time: AtomicU64,
    /// The steps left until one fails, or panics.
    trouble: shuttle::sync::Mutex<Option<(u32, Trouble)>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    Failure,
    Panic,
}

const WRITERS: u64 = 3;
const COMMITS: u64 = 2;
/// Marks a commit.
const MARKS: u64 = 2;

impl Disk {
    fn new(trouble: Option<(u32, Trouble)>) -> Arc<Self> {
        let backlog = Backlog::new(FIRST, Duration::ZERO);
        for grid in [GridId(1), GridId(2)] {
            backlog.found(grid, 0);
        }
        Arc::new(Self {
            backlog,
            marks: shuttle::sync::Mutex::default(),
            sequence: AtomicU64::new(FIRST),
            time: AtomicU64::new(0),
            trouble: shuttle::sync::Mutex::new(trouble),
        })
    }

    /// An hour passes at every look, so that every rest is over.
    fn now(&self) -> Duration {
        Duration::from_secs(3600 * self.time.fetch_add(1, Ordering::Relaxed))
    }

    /// A commit that leaves marks. Gives its sequence.
    fn put(&self, grid: GridId) -> crate::Result<u64> {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let mut changes = MarkChanges::default();
        (0..MARKS).for_each(|_| changes.leave(grid, sequence));
        self.backlog.announce(&changes, false, Duration::ZERO)?;
        *self
            .marks
            .lock()
            .unwrap()
            .entry(grid)
            .or_default()
            .entry(sequence)
            .or_insert(0) += MARKS;
        self.backlog.committed(&changes);
        Ok(sequence)
    }

    /// A step that consumes one mark of the latest commit: the most unfair there is.
    fn step(&self, grid: GridId) -> Outcome {
        if let Some((left, trouble)) = &mut *self.trouble.lock().unwrap() {
            *left = left.saturating_sub(1);
            if *left == 0 && *trouble == Trouble::Panic {
                self.backlog
                    .poison(ErrorKind::Poisoned, "a step panicked".into());
                return Outcome::Failed("a step panicked".into());
            }
            if *left == 1 {
                *left = 3;
                return Outcome::Failed("every other step fails".into());
            }
        }
        let Some(sequence) = self
            .marks
            .lock()
            .unwrap()
            .get(&grid)
            .and_then(|marks| marks.keys().next_back().copied())
        else {
            return Outcome::Done;
        };
        let mut changes = MarkChanges::default();
        changes.consume(grid, sequence);
        if self
            .backlog
            .announce(&changes, true, Duration::ZERO)
            .is_err()
        {
            return Outcome::Failed("poisoned".into());
        }
        {
            let mut marks = self.marks.lock().unwrap();
            let marks = marks.get_mut(&grid).unwrap();
            let left = marks.get_mut(&sequence).unwrap();
            *left -= 1;
            if *left == 0 {
                marks.remove(&sequence);
            }
        }
        self.backlog.committed(&changes);
        Outcome::More
    }

    /// The life of a background thread.
    fn run(&self) {
        while let Some(grid) = self.backlog.take(&|| self.now()) {
            let outcome = self.step(grid);
            self.backlog.hand_back(grid, outcome, self.now());
        }
    }

    fn make_room(&self, grid: GridId, most: u64) -> crate::Result<()> {
        while self.backlog.make_room(grid, most)? == CommitRoom::Help {
            let outcome = self.step(grid);
            self.backlog.hand_back(grid, outcome, self.now());
        }
        Ok(())
    }

    fn pending(&self, grid: GridId) -> BTreeMap<u64, u64> {
        self.marks
            .lock()
            .unwrap()
            .get(&grid)
            .cloned()
            .unwrap_or_default()
    }
}

/// Writers, background threads and waits until all has been said. Whoever would wait for ever fails
/// the run.
fn live(threads: usize, most: u64, trouble: Option<(u32, Trouble)>) {
    let disk = Disk::new(trouble);
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let disk = Arc::clone(&disk);
            shuttle::thread::spawn(move || disk.run())
        })
        .collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let disk = Arc::clone(&disk);
            shuttle::thread::spawn(move || {
                let grid = GridId(if writer == 0 { 1 } else { 2 });
                for _ in 0..COMMITS {
                    let done = disk.make_room(grid, most).and_then(|()| disk.put(grid));
                    let done = done.and_then(|sequence| {
                        // Each writer goes on when there is room; the others may all have gone on
                        // at the same time.
                        assert!(
                            disk.pending(grid).values().sum::<u64>() <= most + WRITERS * MARKS,
                            "the marks are bounded"
                        );
                        disk.backlog
                            .wait(grid, sequence, Duration::MAX, &|| Duration::ZERO)
                            .map(|()| sequence)
                    });
                    match done {
                        Ok(sequence) => {
                            let oldest = disk.pending(grid).keys().next().copied();
                            assert!(
                                oldest.is_none_or(|oldest| oldest > sequence),
                                "{oldest:?} is pending after {sequence}"
                            );
                        }
                        Err(error) => {
                            assert_eq!(
                                (error.kind(), trouble.map(|(_, t)| t)),
                                (&ErrorKind::Poisoned, Some(Trouble::Panic))
                            );
                            return;
                        }
                    }
                }
            })
        })
        .collect();
    writers
        .into_iter()
        .for_each(|writer| writer.join().unwrap());
    disk.backlog.stop(false);
    workers
        .into_iter()
        .for_each(|worker| worker.join().unwrap());
    if disk.backlog.poisoned().is_none() {
        assert!(
            disk.pending(GridId(1)).is_empty() && disk.pending(GridId(2)).is_empty(),
            "everything waited for is done"
        );
    }
}

#[test]
fn in_no_order_of_threads_a_wait_or_a_commit_is_forgotten() {
    for (threads, most) in [(1, 100), (2, 100), (1, 3), (2, 0)] {
        shuttle::check_random(move || live(threads, most, None), runs());
        shuttle::check_pct(move || live(threads, most, None), runs() / 2, 3);
    }
}

#[test]
fn in_no_order_of_threads_a_failed_step_is_the_last() {
    for most in [100, 1] {
        shuttle::check_random(move || live(1, most, Some((3, Trouble::Failure))), runs());
    }
}

#[test]
fn in_no_order_of_threads_anybody_waits_for_a_poisoned_store() {
    for steps in 1..6 {
        shuttle::check_random(move || live(2, 2, Some((steps, Trouble::Panic))), runs());
    }
}

/// Without background threads, whoever commits does the work.
#[test]
fn in_no_order_of_threads_commits_block_each_other_without_help() {
    shuttle::check_random(
        || {
            let disk = Disk::new(None);
            let writers: Vec<_> = (0..WRITERS)
                .map(|_| {
                    let disk = Arc::clone(&disk);
                    shuttle::thread::spawn(move || {
                        for _ in 0..COMMITS {
                            disk.make_room(GridId(1), 1)
                                .and_then(|()| disk.put(GridId(1)))
                                .unwrap();
                        }
                    })
                })
                .collect();
            writers
                .into_iter()
                .for_each(|writer| writer.join().unwrap());
            assert!(disk.pending(GridId(1)).values().sum::<u64>() <= 1 + WRITERS * MARKS);
        },
        runs(),
    );
}
