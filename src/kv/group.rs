//! Group commit: of the threads that commit at the same time one writes for all, and one syncs for
//! all.
//!
//! Batches are queued. Whoever finds no leader leads: takes a group from the front, judges each
//! batch in order, writes the accepted ones in one go, hands out the results and passes the lead to
//! the next in the queue. What is written is seen at once, so that whoever changes the same key
//! next need not wait for the medium. Then those who asked for it wait until it is synced: whoever
//! finds nobody syncing does, for all that is written by then.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use super::occ::History;
use super::sync::{Condvar, Mutex, MutexGuard};
use super::{Batch, Durability, Sequence};
use crate::error::{Error, ErrorKind, Result};

/// The bytes of a group, unless its first batch alone has more.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// What a group is written to.
pub(super) trait Medium {
    /// Writes batches, in order, whole or not at all. Called by one thread at a time.
    fn write(&self, batches: &[Batch]) -> Result<(), WriteFailure>;

    /// Brings all that was written onto the medium. Called by one thread at a time, while another
    /// may write.
    fn sync(&self) -> Result<(), WriteFailure>;
}

/// Why a group was not written, for each owner of a batch in it.
#[derive(Clone, Debug)]
pub(super) struct WriteFailure {
    /// What the caller can do. Later commits are refused with the same where it is
    /// [`Fenced`](ErrorKind::Fenced).
    pub(super) kind: ErrorKind,
    /// This layer's fact.
    pub(super) context: String,
    /// The medium's words.
    pub(super) cause: String,
    /// Whether it is unknown what the medium holds now. If not, nothing was written and a later
    /// write may succeed.
    pub(super) fatal: bool,
}

impl WriteFailure {
    fn panicked() -> Self {
        Self {
            kind: ErrorKind::Unavailable,
            context: "a commit panicked".into(),
            cause: "a thread panicked while writing".into(),
            fatal: true,
        }
    }

    fn error(&self) -> Error {
        Error::new(self.kind.clone(), self.context.clone()).because(self.cause.clone())
    }

    /// What later commits are told.
    fn poison(&self) -> Error {
        match self.kind {
            ErrorKind::Fenced => self.error(),
            _ => Error::new(ErrorKind::Poisoned, "an earlier write failed")
                .because(self.cause.clone()),
        }
    }
}

/// The queue of commits of one store, and its conflict check.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) queue: Mutex<Queue>,
    order: Mutex<Commits>,
    syncs: Mutex<Syncs>,
    synced: Condvar,
}

/// How many groups were written, and how many of them are on the medium.
#[derive(Debug, Default)]
struct Syncs {
    written: u64,
    synced: u64,
    under_way: bool,
    /// What the medium holds is unknown after a failed sync, and another one would say nothing of
    /// the first.
    failed: Option<WriteFailure>,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) waiting: VecDeque<Waiting>,
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
pub(super) struct Waiting {
    pub(super) batch: Batch,
    pub(super) ticket: Arc<Ticket>,
}

/// Where the owner of a batch waits for its turn to lead, or for its result.
#[derive(Debug, Default)]
pub(super) struct Ticket {
    news: Mutex<Option<CommitNews>>,
    arrived: Condvar,
}

#[derive(Debug)]
enum CommitNews {
    Lead,
    /// The commit's place in the order, and the number of its group.
    Written(Sequence, u64),
    Refused(Error),
}

impl Ticket {
    fn tell(&self, news: CommitNews) {
        *lock(&self.news) = Some(news);
        self.arrived.notify_one();
    }

    fn wait(&self) -> CommitNews {
        let mut news = lock(&self.news);
        loop {
            match news.take() {
                Some(news) => return news,
                None => {
                    news = self
                        .arrived
                        .wait(news)
                        .unwrap_or_else(PoisonError::into_inner)
                }
            }
        }
    }
}

/// A panic under one of these locks is turned into poison of the store by [`Lead`], not by the
/// lock.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Group {
    /// No batch based before `start` can be judged.
    pub(super) fn starting_at(start: Sequence) -> Self {
        let commits = Commits {
            history: History::starting_at(start),
            accepted: start,
            visible: start,
        };
        Self {
            queue: Mutex::default(),
            order: Mutex::new(commits),
            syncs: Mutex::default(),
            synced: Condvar::new(),
        }
    }

    /// Notes a new snapshot and returns the last commit it is sure to show. To be called before the
    /// view is taken.
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

    /// Whether commits are refused after one whose outcome is unknown.
    #[cfg(any(feature = "rocksdb", feature = "object-store"))]
    pub(super) fn is_poisoned(&self) -> bool {
        lock(&self.queue).poison.is_some()
    }

    /// Commits a batch, possibly along with those of other threads.
    pub(super) fn commit(
        &self,
        medium: &impl Medium,
        batch: Batch,
        durability: Durability,
    ) -> Result<Sequence> {
        batch.validate()?;
        let ticket = Arc::new(Ticket::default());
        let leads = {
            let mut queue = lock(&self.queue);
            queue.waiting.push_back(Waiting {
                batch,
                ticket: Arc::clone(&ticket),
            });
            !std::mem::replace(&mut queue.led, true)
        };
        if leads {
            self.lead(medium);
        }
        loop {
            match ticket.wait() {
                CommitNews::Lead => self.lead(medium),
                CommitNews::Written(sequence, _) if durability == Durability::Buffered => {
                    return Ok(sequence);
                }
                CommitNews::Written(sequence, group) => {
                    return self.sync(medium, group).map(|()| sequence);
                }
                CommitNews::Refused(error) => return Err(error),
            }
        }
    }

    /// Returns when a group is on the medium.
    fn sync(&self, medium: &impl Medium, group: u64) -> Result<()> {
        let mut syncs = lock(&self.syncs);
        loop {
            if syncs.synced >= group {
                return Ok(());
            }
            if let Some(failure) = &syncs.failed {
                return Err(failure.error());
            }
            if !syncs.under_way {
                break;
            }
            syncs = self
                .synced
                .wait(syncs)
                .unwrap_or_else(PoisonError::into_inner);
        }
        syncs.under_way = true;
        let written = syncs.written;
        drop(syncs);
        let mut syncing = Syncing {
            group: self,
            outcome: Err(WriteFailure::panicked()),
        };
        syncing.outcome = medium.sync().map(|()| written);
        syncing
            .outcome
            .as_ref()
            .map(|_| ())
            .map_err(WriteFailure::error)
    }

    /// Serves the front of the queue, which begins with the leader's own batch.
    fn lead(&self, medium: &impl Medium) {
        let mut lead = Lead {
            group: self,
            members: Vec::new(),
        };
        let poison = self.gather(&mut lead.members);
        if let Some(poison) = poison {
            lead.finish(&mut |_| CommitNews::Refused(poison.poison()));
            return;
        }
        let (mut accepted, mut verdicts) = (Vec::new(), VecDeque::new());
        for member in &mut lead.members {
            let verdict = self.judge(&mut member.batch);
            if verdict.is_ok() {
                accepted.push(std::mem::take(&mut member.batch));
            }
            verdicts.push_back(verdict);
        }
        let outcome = if accepted.is_empty() {
            Ok(())
        } else {
            medium.write(&accepted)
        };
        if let Err(failure) = &outcome
            && failure.fatal
        {
            lock(&self.queue).poison = Some(failure.clone());
        }
        {
            // Also after a failure: nothing was applied, and whoever tries again must be judged
            // against what is there.
            let mut commits = lock(&self.order);
            commits.visible = commits.accepted;
        }
        let group = {
            let mut syncs = lock(&self.syncs);
            syncs.written += 1;
            syncs.written
        };
        lead.finish(&mut |_| {
            let verdict = verdicts
                .pop_front()
                .unwrap_or_else(|| Err(Error::unavailable("a commit was not judged")));
            let written = verdict.and_then(|sequence| {
                outcome
                    .as_ref()
                    .map(|()| sequence)
                    .map_err(WriteFailure::error)
            });
            written.map_or_else(CommitNews::Refused, |sequence| {
                CommitNews::Written(sequence, group)
            })
        });
    }

    /// Moves a group from the queue; returns the poison, if there is any.
    pub(super) fn gather(&self, members: &mut Vec<Waiting>) -> Option<WriteFailure> {
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
    fn judge(&self, batch: &mut Batch) -> Result<Sequence> {
        let mut commits = lock(&self.order);
        if batch.base() > commits.visible {
            return Err(Error::invalid(
                "a batch was computed from a snapshot of another store",
            ));
        }
        commits.history.check(batch)?;
        if !batch.changes_nothing() {
            batch.accept();
            commits.accepted.0 += 1;
            let accepted = commits.accepted;
            commits
                .history
                .record(accepted, batch.deleted(), batch.writes());
        }
        Ok(commits.accepted)
    }
}

/// A leader at work. If it panics, the members of its group hear of it, the store is poisoned and
/// the lead is passed on.
struct Lead<'a> {
    group: &'a Group,
    members: Vec<Waiting>,
}

impl Lead<'_> {
    /// Hands out the results, in the order of the members.
    fn finish(&mut self, news: &mut dyn FnMut(&Waiting) -> CommitNews) {
        for member in self.members.drain(..) {
            let news = news(&member);
            member.ticket.tell(news);
        }
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut queue = lock(&self.group.queue);
        if !self.members.is_empty() {
            let failure = WriteFailure::panicked();
            for member in self.members.drain(..) {
                member.ticket.tell(CommitNews::Refused(failure.error()));
            }
            queue.poison.get_or_insert(failure);
        }
        match queue.waiting.front() {
            Some(next) => next.ticket.tell(CommitNews::Lead),
            None => queue.led = false,
        }
    }
}

/// A sync under way. However it ends, those who wait for it hear of it, and a failure poisons the
/// store.
struct Syncing<'a> {
    group: &'a Group,
    /// How many groups are on the medium now.
    outcome: Result<u64, WriteFailure>,
}

impl Drop for Syncing<'_> {
    fn drop(&mut self) {
        if let Err(failure) = &self.outcome {
            lock(&self.group.queue)
                .poison
                .get_or_insert_with(|| failure.clone());
        }
        let mut syncs = lock(&self.group.syncs);
        syncs.under_way = false;
        match &self.outcome {
            Ok(written) => syncs.synced = *written,
            Err(failure) => syncs.failed = Some(failure.clone()),
        }
        self.group.synced.notify_all();
    }
}
