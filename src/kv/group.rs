//! Group commit: of the threads that commit at the same time one writes for all, so that they share one sync.
//!
//! Batches are queued. Whoever finds no leader leads: takes a group from the front, judges each batch in order, writes the
//! accepted ones in one go, hands out the results and passes the lead to the next in the queue.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use super::occ::History;
use super::sync::{Condvar, Mutex, MutexGuard};
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
    pub(super) queue: Mutex<Queue>,
    order: Mutex<Commits>,
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
    pub(super) durability: Durability,
    pub(super) ticket: Arc<Ticket>,
}

/// Where the owner of a batch waits for its turn to lead, or for its result.
#[derive(Debug, Default)]
pub(super) struct Ticket {
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
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
    fn judge(&self, batch: &Batch) -> Result<Sequence> {
        let mut commits = lock(&self.order);
        if batch.base() > commits.visible {
            return Err(Error::invalid("a batch was computed from a snapshot of another store"));
        }
        commits.history.check(batch)?;
        if !batch.writes().is_empty() {
            commits.accepted.0 += 1;
            let accepted = commits.accepted;
            commits.history.record(accepted, batch.writes());
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
