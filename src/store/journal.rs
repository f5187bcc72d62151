//! The numbers of batches: which are under way, and what of those that are done is on the medium.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::lock;
use crate::key::GridId;
use crate::kv::{Durability, Sequence};

/// What a process knows of the batches of its store.
#[derive(Debug)]
pub(crate) struct Journal {
    state: Mutex<JournalState>,
    /// A batch is no longer under way.
    ended: Condvar,
}

#[derive(Debug)]
struct JournalState {
    last: u64,
    /// Whether each batch that is under way has its place in the order of commits.
    under_way: BTreeMap<u64, bool>,
    /// The last commit that waited for nothing, and the last that waited for the medium.
    buffered: Sequence,
    synced: Sequence,
    /// Entries added to each grid's feed since it was last looked through.
    added: HashMap<GridId, u64>,
}

impl JournalState {
    fn settled_below(&self) -> u64 {
        let first = self.under_way.first_key_value();
        first.map_or(self.last + 1, |(number, _)| *number)
    }

    /// The same for who sees the commits up to the last that has its place in their order.
    fn placed_below(&self) -> u64 {
        let first = self.under_way.iter().find(|(_, placed)| !**placed);
        first.map_or(self.last + 1, |(number, _)| *number)
    }
}

/// The number of a batch that is under way until this is dropped: keep it until the commit has
/// returned.
#[must_use]
#[derive(Debug)]
pub(crate) struct BatchNumber {
    number: u64,
    journal: Arc<Journal>,
}

impl BatchNumber {
    /// Unique in the store for ever, and above all that were taken before.
    pub(crate) fn get(&self) -> u64 {
        self.number
    }

    /// What is to be called when the commit of this batch has its place in the order of commits:
    /// it gives the least number that a commit behind it may still come with.
    pub(crate) fn on_place(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let (number, journal) = (self.number, Arc::clone(&self.journal));
        move || {
            let mut state = lock(&journal.state);
            if let Some(placed) = state.under_way.get_mut(&number) {
                *placed = true;
            }
            state.placed_below()
        }
    }
}

impl Drop for BatchNumber {
    fn drop(&mut self) {
        lock(&self.journal.state).under_way.remove(&self.number);
        self.journal.ended.notify_all();
    }
}

impl Journal {
    /// All numbers up to `last` are of batches that are done.
    pub(super) fn starting_at(last: u64) -> Self {
        let (buffered, synced) = (Sequence(0), Sequence(0));
        let state = JournalState {
            last,
            under_way: BTreeMap::new(),
            buffered,
            synced,
            added: HashMap::new(),
        };
        Self {
            state: Mutex::new(state),
            ended: Condvar::new(),
        }
    }

    /// Begins a batch.
    pub(super) fn reserve(self: &Arc<Self>) -> BatchNumber {
        let mut state = lock(&self.state);
        state.last += 1;
        let number = state.last;
        state.under_way.insert(number, false);
        BatchNumber {
            number,
            journal: Arc::clone(self),
        }
    }

    /// The least number that a commit may still come with: a snapshot taken from now on shows all
    /// below that it ever will.
    pub(crate) fn settled_below(&self) -> u64 {
        lock(&self.state).settled_below()
    }

    /// Waits until [`settled_below`](Self::settled_below) is another number than this, but no
    /// longer than a time.
    pub(crate) fn wait(&self, below: u64, most: Duration) {
        let is_same = |state: &mut JournalState| state.settled_below() == below;
        let state = lock(&self.state);
        drop(
            self.ended
                .wait_timeout_while(state, most, is_same)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// Notes a commit that returned.
    pub(super) fn committed(&self, at: Sequence, durability: Durability) {
        let mut state = lock(&self.state);
        let last = match durability {
            Durability::Buffered => &mut state.buffered,
            Durability::Sync => &mut state.synced,
        };
        *last = at.max(*last);
    }

    /// Whether every commit that returned is on the medium.
    pub(super) fn is_synced(&self) -> bool {
        let state = lock(&self.state);
        state.buffered <= state.synced
    }

    /// Whether a grid's feed is to be looked through with the entry that is added now: the first
    /// one, and each `every`-th.
    pub(crate) fn is_due(&self, grid: GridId, every: u64) -> bool {
        let mut state = lock(&self.state);
        let added = state.added.entry(grid).or_insert(every - 1);
        *added += 1;
        if *added < every {
            return false;
        }
        *added = 0;
        true
    }

    /// Forgets a grid that is no more.
    pub(super) fn forget(&self, grid: GridId) {
        lock(&self.state).added.remove(&grid);
    }
}
