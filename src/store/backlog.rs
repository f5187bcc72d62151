//! What waits to be aggregated, whose turn it is, and who waits for that: the one place where the
//! threads of a store meet.
//!
//! A monitor: one mutex, one condition for the threads that aggregate and one for those that wait.
//! It does no I/O and reads no clock, and its tests compile it against a scheduler that tries the
//! orders in which threads can meet.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::PoisonError;
use std::time::Duration;

use super::sync::{Condvar, Mutex, MutexGuard};
use crate::error::{Error, ErrorKind, Result};
use crate::key::GridId;

/// How long a grid rests after a failed step: at first, and at most. It doubles with every failure
/// in a row.
const REST_FIRST: Duration = Duration::from_millis(100);
const REST_MAX: Duration = Duration::from_secs(30);

/// What one commit does to the marks of each grid, by the sequences of the marks.
#[derive(Debug, Default)]
pub(crate) struct MarkChanges {
    grids: BTreeMap<GridId, MarkChange>,
}

#[derive(Debug, Default)]
struct MarkChange {
    left: BTreeMap<u64, u64>,
    consumed: BTreeMap<u64, u64>,
}

impl MarkChanges {
    /// Notes a mark that the commit writes.
    pub(crate) fn leave(&mut self, grid: GridId, sequence: u64) {
        *self
            .grids
            .entry(grid)
            .or_default()
            .left
            .entry(sequence)
            .or_insert(0) += 1;
    }

    /// Notes a mark that the commit deletes.
    pub(crate) fn consume(&mut self, grid: GridId, sequence: u64) {
        *self
            .grids
            .entry(grid)
            .or_default()
            .consumed
            .entry(sequence)
            .or_insert(0) += 1;
    }
}

/// What came of one step of aggregation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did something; there may be more.
    More,
    /// There was nothing left to do.
    Done,
    /// It failed, for this reason.
    Failed(String),
    /// Only what damage blocks is left, for this reason: marks that come may be consumed at once.
    Blocked(String),
}

/// What a commit has to do before it may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommitRoom {
    /// Nothing.
    Enough,
    /// A step of aggregation: the turn is the caller's, who hands it back.
    Help,
}

/// What is known of the marks of a grid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    /// How many there are.
    pub(crate) marks: u64,
    /// When the oldest came; those that were there when the store was opened came then.
    pub(crate) since: Option<Duration>,
    /// Steps that failed.
    pub(crate) failures: u64,
    /// Why the last step failed, until one succeeds.
    pub(crate) failure: Option<String>,
}

/// The marks, turns and waits of a store.
#[derive(Debug)]
pub(crate) struct Backlog {
    /// Marks below this sequence were there when the store was opened.
    first: u64,
    /// When it was opened.
    opened: Duration,
    state: Mutex<BacklogState>,
    /// Told of work, and of the end.
    work: Condvar,
    /// Told of marks consumed, of turns handed back or to be had, and of the end.
    news: Condvar,
}

#[derive(Debug, Default)]
struct BacklogState {
    grids: BTreeMap<GridId, MarkQueue>,
    /// Grids that wait for their turn. One that has had it since stands here to no effect.
    ready: VecDeque<GridId>,
    closed: bool,
    stopped: bool,
    poison: Option<(ErrorKind, String)>,
}

#[derive(Debug, Default)]
struct MarkQueue {
    /// Marks that were there when the store was opened; unknown until they were counted.
    found: Option<u64>,
    /// Marks left since, by the commit that they come from.
    origins: BTreeMap<u64, Origin>,
    /// Which of these carry another sequence than that of their origin: by sequence, the origin and
    /// how many.
    derived: HashMap<u64, (u64, u64)>,
    /// The sum over `origins`.
    left: u64,
    /// Marks consumed so far.
    consumed: u64,
    turn: Turn,
    /// Whether only what is blocked rests.
    blocked: bool,
    failures: u64,
    /// Failures since a step succeeded last.
    in_a_row: u32,
    failure: Option<String>,
}

#[derive(Debug)]
struct Origin {
    marks: u64,
    since: Duration,
    /// How many marks of the grid had been consumed when it came.
    after: u64,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Turn {
    /// Nothing is known to be done.
    #[default]
    Idle,
    /// In line.
    Ready,
    /// Somebody aggregates it. `again`: marks were left meanwhile.
    Taken { again: bool },
    /// Its last step failed; it is ready again at this time.
    Resting(Duration),
}

impl MarkQueue {
    fn marks(&self) -> u64 {
        self.left + self.found.unwrap_or(0)
    }

    /// Whether commits should wait: more than `most` marks are pending, or as many were consumed
    /// since the oldest came. Steps take marks by place, so without the second, commits at one
    /// place could keep those at another waiting for ever.
    fn is_full(&self, most: u64) -> bool {
        let after = if self.found.is_some_and(|found| found > 0) {
            Some(0)
        } else {
            self.origins.values().next().map(|o| o.after)
        };
        self.marks() > most || after.is_some_and(|after| self.consumed - after > most)
    }

    /// Whether a mark that comes from a commit up to `sequence` is pending.
    fn is_behind(&self, sequence: u64) -> bool {
        self.found != Some(0)
            || self
                .origins
                .keys()
                .next()
                .is_some_and(|origin| *origin <= sequence)
    }

    fn origin_of(&self, sequence: u64) -> u64 {
        self.derived
            .get(&sequence)
            .map_or(sequence, |(origin, _)| *origin)
    }

    fn leave(&mut self, sequence: u64, marks: u64, origin: u64, now: Duration) {
        if origin != sequence {
            self.derived.entry(sequence).or_insert((origin, 0)).1 += marks;
        }
        self.origins
            .entry(origin)
            .or_insert(Origin {
                marks: 0,
                since: now,
                after: self.consumed,
            })
            .marks += marks;
        self.left += marks;
    }

    fn consume(&mut self, sequence: u64, marks: u64, first: u64) {
        self.consumed += marks;
        self.remove(sequence, marks, first);
    }

    fn remove(&mut self, sequence: u64, marks: u64, first: u64) {
        if sequence < first {
            self.found = self.found.map(|found| found.saturating_sub(marks));
            return;
        }
        let origin = self.origin_of(sequence);
        if let Some((_, derived)) = self.derived.get_mut(&sequence) {
            *derived = derived.saturating_sub(marks);
            if *derived == 0 {
                self.derived.remove(&sequence);
            }
        }
        // A mark of another handle of the same engine was never counted.
        let Some(of) = self.origins.get_mut(&origin) else {
            return;
        };
        let marks = marks.min(of.marks);
        of.marks -= marks;
        self.left -= marks;
        if of.marks == 0 {
            self.origins.remove(&origin);
        }
    }
}

impl BacklogState {
    /// Puts a grid in line, unless it is there already.
    fn wake(&mut self, grid: GridId) -> bool {
        let queue = self.grids.entry(grid).or_default();
        match queue.turn {
            Turn::Idle => {
                queue.turn = Turn::Ready;
                self.ready.push_back(grid);
                true
            }
            Turn::Resting(_) if queue.blocked => {
                queue.turn = Turn::Ready;
                self.ready.push_back(grid);
                true
            }
            Turn::Taken { .. } => {
                queue.turn = Turn::Taken { again: true };
                false
            }
            Turn::Ready | Turn::Resting(_) => false,
        }
    }

    /// Puts the grids in line that have rested enough; how long the next one rests.
    fn wake_rested(&mut self, now: Duration) -> Option<Duration> {
        let mut next: Option<Duration> = None;
        for (grid, queue) in &mut self.grids {
            match queue.turn {
                Turn::Resting(until) if until <= now => {
                    queue.turn = Turn::Ready;
                    self.ready.push_back(*grid);
                }
                Turn::Resting(until) => {
                    next = Some(next.map_or(until - now, |next| next.min(until - now)))
                }
                _ => {}
            }
        }
        next
    }

    /// The next grid in line, whose turn it is now.
    fn next(&mut self) -> Option<GridId> {
        while let Some(grid) = self.ready.pop_front() {
            if let Some(queue) = self.grids.get_mut(&grid)
                && queue.turn == Turn::Ready
            {
                queue.turn = Turn::Taken { again: false };
                return Some(grid);
            }
        }
        None
    }

    fn refuse_if_poisoned(&self) -> Result<()> {
        match &self.poison {
            None => Ok(()),
            Some((kind, why)) => Err(Error::new(
                kind.clone(),
                "aggregation in the background failed beyond repair",
            )
            .because(why.clone())),
        }
    }

    fn refuse_if_closed(&self) -> Result<()> {
        if self.closed {
            Err(Error::unavailable("the store is closed"))
        } else {
            Ok(())
        }
    }
}

impl Backlog {
    /// Nothing is pending but what is found: marks below the sequence `first`.
    pub(crate) fn new(first: u64, opened: Duration) -> Self {
        Self {
            first,
            opened,
            state: Mutex::default(),
            work: Condvar::new(),
            news: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BacklogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sequence below which marks were there when the store was opened.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// Notes how many marks were there when the store was opened. Nobody may consume one between
    /// the count and this.
    pub(crate) fn found(&self, grid: GridId, marks: u64) {
        let mut state = self.lock();
        state.grids.entry(grid).or_default().found = Some(marks);
        if marks > 0 && state.wake(grid) {
            self.work.notify_one();
        }
    }

    /// Whether [`found`](Self::found) was told.
    pub(crate) fn is_counted(&self, grid: GridId) -> bool {
        self.lock()
            .grids
            .get(&grid)
            .is_some_and(|queue| queue.found.is_some())
    }

    /// Nothing is pending in a grid that was dropped.
    pub(crate) fn forget(&self, grid: GridId) {
        self.lock().grids.insert(
            grid,
            MarkQueue {
                found: Some(0),
                ..MarkQueue::default()
            },
        );
        self.news.notify_all();
    }

    /// Announces a commit: from now on its marks count. `derived`: it is a step of aggregation,
    /// whose marks come from those that it consumes, or else from the oldest there are.
    pub(crate) fn announce(
        &self,
        changes: &MarkChanges,
        derived: bool,
        now: Duration,
    ) -> Result<()> {
        let mut state = self.lock();
        state.refuse_if_poisoned()?;
        for (grid, change) in &changes.grids {
            let queue = state.grids.entry(*grid).or_default();
            let consumed = change
                .consumed
                .keys()
                .map(|sequence| queue.origin_of(*sequence))
                .min();
            let source = consumed
                .or_else(|| queue.origins.keys().next().copied())
                .filter(|_| derived);
            for (sequence, marks) in &change.left {
                queue.leave(
                    *sequence,
                    *marks,
                    source.map_or(*sequence, |source| source.min(*sequence)),
                    now,
                );
            }
        }
        Ok(())
    }

    /// The announced commit is done.
    pub(crate) fn committed(&self, changes: &MarkChanges) {
        let mut state = self.lock();
        for (grid, change) in &changes.grids {
            let queue = state.grids.entry(*grid).or_default();
            change
                .consumed
                .iter()
                .for_each(|(sequence, marks)| queue.consume(*sequence, *marks, self.first));
            let woken = !change.left.is_empty() && state.wake(*grid);
            if woken {
                self.work.notify_one();
            }
            if woken || !change.consumed.is_empty() {
                self.news.notify_all();
            }
        }
    }

    /// The announced commit came to nothing.
    pub(crate) fn retract(&self, changes: &MarkChanges) {
        let mut state = self.lock();
        for (grid, change) in &changes.grids {
            let queue = state.grids.entry(*grid).or_default();
            change
                .left
                .iter()
                .for_each(|(sequence, marks)| queue.remove(*sequence, *marks, 0));
            self.news.notify_all();
        }
    }

    /// Waits for a grid to aggregate and takes its turn; `None` at the end.
    pub(crate) fn take(&self, clock: &dyn Fn() -> Duration) -> Option<GridId> {
        let mut state = self.lock();
        loop {
            if state.stopped || state.poison.is_some() {
                return None;
            }
            let rest = state.wake_rested(clock());
            if let Some(grid) = state.next() {
                return Some(grid);
            }
            state = match rest {
                None => self
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(rest) => {
                    self.work
                        .wait_timeout(state, rest)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    /// Hands a turn back.
    pub(crate) fn hand_back(&self, grid: GridId, outcome: Outcome, now: Duration) {
        let mut state = self.lock();
        let queue = state.grids.entry(grid).or_default();
        let again = queue.turn == Turn::Taken { again: true };
        queue.turn = Turn::Idle;
        queue.blocked = matches!(outcome, Outcome::Blocked(_));
        if let Outcome::Failed(why) | Outcome::Blocked(why) = outcome {
            let rest = REST_FIRST
                .saturating_mul(1_u32.checked_shl(queue.in_a_row).unwrap_or(u32::MAX))
                .min(REST_MAX);
            queue.turn = Turn::Resting(now + rest);
            queue.failures += 1;
            queue.in_a_row = queue.in_a_row.saturating_add(1);
            queue.failure = Some(why);
            if again && queue.blocked {
                state.wake(grid);
            }
            // Somebody must wake up to see when the rest ends.
            self.work.notify_one();
        } else {
            (queue.in_a_row, queue.failure) = (0, None);
            if outcome == Outcome::Done {
                queue.found = Some(0);
            }
            if (again || outcome == Outcome::More) && state.wake(grid) {
                self.work.notify_one();
            }
        }
        self.news.notify_all();
    }

    /// Waits until a grid has room: at most `most` marks are pending, and at most as many were
    /// consumed since the oldest came. Or until there is something to do and nobody has the turn,
    /// which then is the caller's.
    pub(crate) fn make_room(&self, grid: GridId, most: u64) -> Result<CommitRoom> {
        let mut state = self.lock();
        loop {
            state.refuse_if_poisoned()?;
            state.refuse_if_closed()?;
            let Some(queue) = state
                .grids
                .get_mut(&grid)
                .filter(|queue| queue.is_full(most))
            else {
                return Ok(CommitRoom::Enough);
            };
            match queue.turn {
                // Idle: the marks are those of commits under way, which a step would not find.
                Turn::Taken { .. } | Turn::Idle => {
                    state = self
                        .news
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner)
                }
                Turn::Ready | Turn::Resting(_) => {
                    queue.turn = Turn::Taken { again: false };
                    return Ok(CommitRoom::Help);
                }
            }
        }
    }

    /// Waits until no mark of a grid is pending that comes from a commit up to `sequence`. Its
    /// marks must have been counted.
    pub(crate) fn wait(
        &self,
        grid: GridId,
        sequence: u64,
        timeout: Duration,
        clock: &dyn Fn() -> Duration,
    ) -> Result<()> {
        let deadline = clock().saturating_add(timeout);
        let mut late = timeout.is_zero();
        let mut state = self.lock();
        loop {
            let Some(queue) = state
                .grids
                .get(&grid)
                .filter(|queue| queue.is_behind(sequence))
            else {
                return Ok(());
            };
            let failure = queue.failure.clone();
            state.refuse_if_poisoned()?;
            state.refuse_if_closed()?;
            if late {
                let error = Error::new(
                    ErrorKind::TimedOut,
                    format!("commit {sequence} is not aggregated after {timeout:?}"),
                );
                return Err(match failure {
                    Some(failure) => error.because(failure),
                    None => error,
                });
            }
            let left = deadline.saturating_sub(clock());
            let (next, waited) = self
                .news
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
            state = next;
            late = waited.timed_out() || clock() >= deadline;
        }
    }

    /// What is pending of a grid.
    pub(crate) fn pending(&self, grid: GridId) -> Pending {
        let state = self.lock();
        let Some(queue) = state.grids.get(&grid) else {
            return Pending::default();
        };
        let found = queue.found.filter(|found| *found > 0).map(|_| self.opened);
        Pending {
            marks: queue.marks(),
            since: found.or_else(|| queue.origins.values().next().map(|origin| origin.since)),
            failures: queue.failures,
            failure: queue.failure.clone(),
        }
    }

    /// Ends every turn to come and every wait. `closed`: no commit is to begin any more.
    pub(crate) fn stop(&self, closed: bool) {
        let mut state = self.lock();
        state.stopped = true;
        state.closed |= closed;
        self.work.notify_all();
        self.news.notify_all();
    }

    /// Refuses every further commit, with an error of this kind, for this reason.
    pub(crate) fn poison(&self, kind: ErrorKind, why: String) {
        let mut state = self.lock();
        state.poison.get_or_insert((kind, why));
        self.work.notify_all();
        self.news.notify_all();
    }

    /// Why commits are refused, if they are.
    pub(crate) fn poisoned(&self) -> Option<String> {
        self.lock().poison.as_ref().map(|(_, why)| why.clone())
    }

    /// Refuses what would begin now, if nothing may.
    pub(crate) fn admit(&self) -> Result<()> {
        let state = self.lock();
        state.refuse_if_poisoned()?;
        state.refuse_if_closed()
    }
}
