//! Group commit: of the threads that commit at the same time one writes for all, so that they share one sync.
//!
//! Batches are queued. Whoever finds no leader leads: takes a group from the front, judges each batch in order, writes the
//! accepted ones in one go, hands out the results and passes the lead to the next in the queue.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::occ::History;
use super::{Batch, Durability, Sequence};
use crate::error::{Error, ErrorKind, Result};

/// The bytes of a group, unless its first batch alone has more.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// What a group is written to. Called by one thread at a time.
pub(super) trait Medium {
    /// Writes batches, in order, whole or not at all.
    fn write(&self, batches: &[Batch], durability: Durability) -> Result<(), WriteFailure>;
}

/// Why a group was not written, for each owner of a batch in it.
#[derive(Clone, Debug)]
pub(super) struct WriteFailure {
    /// This layer's fact.
    pub(super) context: String,
    /// The medium's words.
    pub(super) cause: String,
    /// Whether it is unknown what the medium holds now. If not, nothing was written and a later write may succeed.
    pub(super) fatal: bool,
}

impl WriteFailure {
    fn error(&self) -> Error {
        Error::unavailable(self.context.clone()).because(self.cause.clone())
    }
}

/// The queue of commits of one store, and its conflict check.
#[derive(Debug)]
pub(super) struct Group {
    queue: Mutex<Queue>,
    order: Mutex<Commits>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    led: bool,
    /// What made further writes impossible.
    poison: Option<WriteFailure>,
}

#[derive(Debug)]
struct Commits {
    history: History,
    /// The last commit that was accepted.
    accepted: Sequence,
    /// The last commit that a new snapshot shows.
    visible: Sequence,
}

#[derive(Debug)]
struct Waiting {
    batch: Batch,
    durability: Durability,
    ticket: Arc<Ticket>,
}

/// Where the owner of a batch waits for its turn to lead, or for its result.
#[derive(Debug, Default)]
struct Ticket {
    news: Mutex<Option<News>>,
    arrived: Condvar,
}

#[derive(Debug)]
enum News {
    Lead,
    Done(Result<Sequence>),
}

impl Ticket {
    fn tell(&self, news: News) {
        *lock(&self.news) = Some(news);
        self.arrived.notify_one();
    }

    fn wait(&self) -> News {
        let mut news = lock(&self.news);
        loop {
            match news.take() {
                Some(news) => return news,
                None => news = self.arrived.wait(news).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// A panic under one of these locks is turned into poison of the store by [`Lead`], not by the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Group {
    /// No batch based before `start` can be judged.
    pub(super) fn starting_at(start: Sequence) -> Self {
        let commits = Commits { history: History::starting_at(start), accepted: start, visible: start };
        Self { queue: Mutex::default(), order: Mutex::new(commits) }
    }

    /// Notes a new snapshot and returns the last commit it is sure to show. To be called before the view is taken.
    pub(super) fn register(&self) -> Sequence {
        let mut commits = lock(&self.order);
        let visible = commits.visible;
        commits.history.register(visible);
        visible
    }

    /// Notes the end of a snapshot.
    pub(super) fn release(&self, snapshot: Sequence) {
        lock(&self.order).history.release(snapshot);
    }

    /// Commits a batch, possibly along with those of other threads.
    pub(super) fn commit(&self, medium: &impl Medium, batch: Batch, durability: Durability) -> Result<Sequence> {
        batch.validate()?;
        let ticket = Arc::new(Ticket::default());
        let leads = {
            let mut queue = lock(&self.queue);
            queue.waiting.push_back(Waiting { batch, durability, ticket: Arc::clone(&ticket) });
            !std::mem::replace(&mut queue.led, true)
        };
        if leads {
            self.lead(medium);
        }
        loop {
            match ticket.wait() {
                News::Lead => self.lead(medium),
                News::Done(result) => return result,
            }
        }
    }

    /// Serves the front of the queue, which begins with the leader's own batch.
    fn lead(&self, medium: &impl Medium) {
        let mut lead = Lead { group: self, members: Vec::new() };
        let poison = self.gather(&mut lead.members);
        if let Some(poison) = poison {
            lead.finish(&mut |_| Err(Error::new(ErrorKind::Poisoned, "an earlier write failed").because(poison.cause.clone())));
            return;
        }
        let (mut accepted, mut verdicts, mut durability) = (Vec::new(), VecDeque::new(), Durability::Buffered);
        for member in &mut lead.members {
            let verdict = self.judge(&member.batch);
            if verdict.is_ok() {
                accepted.push(std::mem::take(&mut member.batch));
                if member.durability == Durability::Sync {
                    durability = Durability::Sync;
                }
            }
            verdicts.push_back(verdict);
        }
        let outcome = if accepted.is_empty() { Ok(()) } else { medium.write(&accepted, durability) };
        if let Err(failure) = &outcome
            && failure.fatal
        {
            lock(&self.queue).poison = Some(failure.clone());
        }
        {
            // Also after a failure: nothing was applied, and whoever tries again must be judged against what is there.
            let mut commits = lock(&self.order);
            commits.visible = commits.accepted;
        }
        lead.finish(&mut |_| {
            let verdict = verdicts.pop_front().unwrap_or_else(|| Err(Error::unavailable("a commit was not judged")));
            verdict.and_then(|sequence| outcome.as_ref().map(|()| sequence).map_err(WriteFailure::error))
        });
    }

    /// Moves a group from the queue; returns the poison, if there is any.
    fn gather(&self, members: &mut Vec<Waiting>) -> Option<WriteFailure> {
        let mut queue = lock(&self.queue);
        let mut bytes = 0usize;
        while let Some(next) = queue.waiting.front() {
            bytes = bytes.saturating_add(next.batch.size());
            if !members.is_empty() && bytes > GROUP_BYTES_MAX {
                break;
            }
            members.extend(queue.waiting.pop_front());
        }
        queue.poison.clone()
    }

    /// Gives an acceptable batch its place in the order of commits.
    fn judge(&self, batch: &Batch) -> Result<Sequence> {
        let mut commits = lock(&self.order);
        if batch.base() > commits.visible {
            return Err(Error::invalid("a batch was computed from a snapshot of another store"));
        }
        commits.history.check(batch)?;
        if !batch.changes_nothing() {
            commits.accepted.0 += 1;
            let accepted = commits.accepted;
            commits.history.record(accepted, batch.deleted(), batch.writes());
        }
        Ok(commits.accepted)
    }
}

/// A leader at work. If it panics, the members of its group hear of it, the store is poisoned and the lead is passed on.
struct Lead<'a> {
    group: &'a Group,
    members: Vec<Waiting>,
}

impl Lead<'_> {
    /// Hands out the results, in the order of the members.
    fn finish(&mut self, result: &mut dyn FnMut(&Waiting) -> Result<Sequence>) {
        for member in self.members.drain(..) {
            let result = result(&member);
            member.ticket.tell(News::Done(result));
        }
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut queue = lock(&self.group.queue);
        if !self.members.is_empty() {
            let failure = WriteFailure {
                context: "a commit panicked".into(),
                cause: "a thread panicked while writing".into(),
                fatal: true,
            };
            for member in self.members.drain(..) {
                member.ticket.tell(News::Done(Err(failure.error())));
            }
            queue.poison.get_or_insert(failure);
        }
        match queue.waiting.front() {
            Some(next) => next.ticket.tell(News::Lead),
            None => queue.led = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::{thread, time};

    use super::*;
    use crate::kv::Space;

    #[derive(Default)]
    struct Recorder {
        groups: Mutex<Vec<(Vec<usize>, Durability)>>,
        failure: Mutex<Option<WriteFailure>>,
        panics: bool,
        delay: time::Duration,
    }

    impl Medium for Recorder {
        fn write(&self, batches: &[Batch], durability: Durability) -> Result<(), WriteFailure> {
            thread::sleep(self.delay);
            assert!(!self.panics, "the medium panics");
            if let Some(failure) = lock(&self.failure).take() {
                return Err(failure);
            }
            lock(&self.groups).push((batches.iter().map(Batch::size).collect(), durability));
            Ok(())
        }
    }

    fn put(key: u8, bytes: usize) -> Batch {
        let mut batch = Batch::default();
        batch.put(Space::Base, vec![key], vec![0; bytes]);
        batch
    }

    fn failure(fatal: bool) -> WriteFailure {
        WriteFailure { context: "it failed".into(), cause: "on purpose".into(), fatal }
    }

    #[test]
    fn concurrent_commits_share_writes_and_a_sync_of_one_is_a_sync_of_all() {
        let group = Group::starting_at(Sequence(5));
        let medium = Recorder { delay: time::Duration::from_millis(2), ..Recorder::default() };
        let barrier = Barrier::new(8);
        thread::scope(|scope| {
            for thread in 0..8u8 {
                let (group, medium, barrier) = (&group, &medium, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    for round in 0..20u8 {
                        let durability = if (thread + round) % 4 == 0 { Durability::Sync } else { Durability::Buffered };
                        group.commit(medium, put(thread, 1), durability).expect("no conflicts");
                    }
                });
            }
        });
        let groups = lock(&medium.groups);
        assert_eq!(groups.iter().map(|(sizes, _)| sizes.len()).sum::<usize>(), 160);
        assert!(groups.len() < 100, "{} groups for 160 commits", groups.len());
        assert_eq!(group.register(), Sequence(165));
    }

    #[test]
    fn a_group_is_limited_in_bytes_but_for_its_first_batch() {
        let group = Group::starting_at(Sequence(0));
        for size in [9 << 20, 3 << 20, 4 << 20, 3 << 20] {
            let waiting = Waiting { batch: put(0, size), durability: Durability::Sync, ticket: Arc::default() };
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
        let refused = group.commit(&medium, put(1, 1), Durability::Sync).expect_err("it fails");
        assert_eq!((refused.kind(), refused.to_string().as_str()), (&ErrorKind::Unavailable, "it failed"));
        group.release(base);
        assert!(group.register() > base, "a batch computed after the failure is not judged against what failed");
        group.commit(&medium, put(1, 1), Durability::Sync).expect("it works again");
        *lock(&medium.failure) = Some(failure(true));
        assert_eq!(group.commit(&medium, put(1, 1), Durability::Sync).expect_err("it fails").kind(), &ErrorKind::Unavailable);
        assert_eq!(group.commit(&medium, put(1, 1), Durability::Sync).expect_err("poison").kind(), &ErrorKind::Poisoned);
    }

    #[test]
    fn a_panic_of_the_leader_reaches_everybody() {
        let group = Group::starting_at(Sequence(0));
        let medium = Recorder { panics: true, delay: time::Duration::from_millis(20), ..Recorder::default() };
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
        assert_eq!((panicked.load(Ordering::Relaxed), failed.load(Ordering::Relaxed)), (1, 5));
    }
}
