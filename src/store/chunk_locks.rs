//! Turns at a chunk: writers of one chunk compute one after the other instead of against each
//! other.
//!
//! What keeps commits right is what their batches expect. Turns only save work: of several threads
//! that change one chunk at the same time one would win, and the others compute again.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard};

use super::{Store, Workers, lock};
use crate::error::Result;
use crate::key::GridId;
use crate::kv::{self, Durability};

/// Chunks share this many turns; that two share one costs a little waiting.
const TURNS: usize = 64;
/// Commits that change more chunks take no turns: they would be in the way of too many others.
const CHUNKS_MAX: usize = 16;

/// The turns of one grid.
#[derive(Debug)]
pub(super) struct Turns([Mutex<()>; TURNS]);

impl Default for Turns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Store {
    /// Does a commit when it is the turn of its chunks, if they are few. `commit` computes with the
    /// store's workers, and is told how durable it must be: it can be seen before it is on the
    /// medium, which is waited for when the turn is over.
    pub(crate) fn in_turn<T>(
        &self,
        chunks: impl Iterator<Item = (GridId, impl Hash)>,
        durability: Durability,
        commit: impl FnOnce(Durability) -> Result<T>,
    ) -> Result<T> {
        let number = |(grid, at): (GridId, _)| {
            let mut hasher = DefaultHasher::new();
            Hash::hash(&at, &mut hasher);
            (
                grid,
                usize::try_from(hasher.finish() % TURNS as u64).unwrap_or_default(),
            )
        };
        let mut turns: Vec<(GridId, usize)> = chunks.take(CHUNKS_MAX + 1).map(number).collect();
        if turns.len() > CHUNKS_MAX || Workers::is_one() {
            return commit(durability);
        }
        // In one order, so that no two commits wait for each other.
        turns.sort_unstable();
        turns.dedup();
        let desks: Vec<_> = turns
            .iter()
            .map(|(grid, turn)| (self.desk(*grid), *turn))
            .collect();
        let held: Vec<MutexGuard<'_, ()>> = desks
            .iter()
            .map(|(desk, turn)| lock(&desk.turns.0[*turn]))
            .collect();
        let done = commit(Durability::Buffered)?;
        drop(held);
        if durability == Durability::Sync {
            // A commit of nothing is on the medium when all before it are.
            self.engine()
                .commit(kv::Batch::default(), Durability::Sync)?;
        }
        Ok(done)
    }
}
