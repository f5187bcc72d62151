//! An engine in memory that is stricter than the durable one: it checks the order of what it
//! returns, knows what was not synced, and can lose it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::occ::History;
use super::{
    Batch, Counters, Durability, Engine, KeyRange, Order, Page, Sequence, Snapshot, Space, Write,
};
use crate::error::{Error, Result};

/// An [`Engine`] in memory.
///
/// A snapshot costs nothing: values keep their older versions as long as a snapshot, or a crash,
/// may ask for them. So a store that never sees a [`Durability::Sync`] commit or a
/// [`flush`](Engine::flush) keeps all it ever stored.
#[derive(Default)]
pub struct Memory {
    state: Arc<Mutex<MemoryState>>,
}

/// The versions of one key, oldest first. `None` is a deletion.
type Versions = Vec<(Sequence, Option<Arc<[u8]>>)>;

struct MemoryState {
    spaces: [BTreeMap<Arc<[u8]>, Versions>; Space::ALL.len()],
    /// Overwritten keys, in the order of the commits that made older versions of them superfluous.
    stale: VecDeque<(Sequence, Space, Arc<[u8]>)>,
    history: History,
    last: Sequence,
    /// The last commit that survives power loss.
    synced: Sequence,
}

impl Default for MemoryState {
    fn default() -> Self {
        Self {
            spaces: std::array::from_fn(|_| BTreeMap::new()),
            stale: VecDeque::new(),
            history: History::starting_at(Sequence(0)),
            last: Sequence(0),
            synced: Sequence(0),
        }
    }
}

impl MemoryState {
    fn apply(&mut self, deleted: Vec<(Space, KeyRange)>, mut writes: Vec<Write>) {
        let mut all: Vec<Write> = Vec::new();
        for (space, range) in deleted.into_iter().filter(|(_, range)| !range.is_empty()) {
            let end = range
                .end
                .as_deref()
                .map_or(Bound::Unbounded, Bound::Excluded);
            let keys = self.spaces[space.index()]
                .range::<[u8], _>((Bound::Included(range.start.as_slice()), end));
            let there = keys.filter(|(_, versions)| matches!(versions.last(), Some((_, Some(_)))));
            all.extend(there.map(|(key, _)| Write {
                space,
                key: key.to_vec(),
                value: None,
            }));
        }
        all.append(&mut writes);
        for Write { space, key, value } in all {
            let key: Arc<[u8]> = Arc::from(key);
            let versions = self.spaces[space.index()]
                .entry(Arc::clone(&key))
                .or_default();
            // Of several writes in one commit only the last one is a version.
            versions.pop_if(|(sequence, _)| *sequence == self.last);
            versions.push((self.last, value.map(Arc::from)));
            self.stale.push_back((self.last, space, key));
        }
    }

    /// Drops the versions that neither a snapshot nor a crash can show.
    fn collect(&mut self) {
        let oldest = self
            .history
            .oldest()
            .map_or(self.synced, |oldest| oldest.min(self.synced));
        while self
            .stale
            .front()
            .is_some_and(|(sequence, ..)| *sequence <= oldest)
        {
            let Some((_, space, key)) = self.stale.pop_front() else {
                break;
            };
            let space = &mut self.spaces[space.index()];
            let Some(versions) = space.get_mut(&key) else {
                continue;
            };
            let superseded = versions
                .iter()
                .rposition(|(sequence, _)| *sequence <= oldest)
                .unwrap_or(0);
            versions.drain(..superseded);
            if matches!(versions.as_slice(), [(sequence, None)] if *sequence <= oldest) {
                space.remove(&key);
            }
        }
    }

    /// A store that holds what `self` showed at a sequence, as if it had just been opened.
    fn at(&self, sequence: Sequence) -> Memory {
        let mut state = MemoryState::default();
        for (space, entries) in state.spaces.iter_mut().zip(&self.spaces) {
            let shown = entries
                .iter()
                .filter_map(|(key, versions)| Some((Arc::clone(key), shown(versions, sequence)?)));
            *space = shown
                .map(|(key, value)| (key, vec![(sequence, Some(Arc::clone(value)))]))
                .collect();
        }
        state.history = History::starting_at(sequence);
        (state.last, state.synced) = (sequence, sequence);
        Memory {
            state: Arc::new(Mutex::new(state)),
        }
    }
}

fn shown(versions: &Versions, sequence: Sequence) -> Option<&Arc<[u8]>> {
    versions
        .iter()
        .rev()
        .find(|(written, _)| *written <= sequence)
        .and_then(|(_, value)| value.as_ref())
}

/// No code under this lock can fail halfway: an assertion that fails under it finds the store as it
/// was.
fn lock(state: &Mutex<MemoryState>) -> MutexGuard<'_, MemoryState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many commits power loss would take.
    pub fn unsynced(&self) -> usize {
        let state = lock(&self.state);
        usize::try_from(state.last.0 - state.synced.0).unwrap_or(usize::MAX)
    }

    /// The store after power loss that took all but the first `keep` of the unsynced commits.
    #[must_use]
    pub fn crash(&self, keep: usize) -> Self {
        let state = lock(&self.state);
        let keep = u64::try_from(keep).unwrap_or(u64::MAX);
        state.at(Sequence(
            state.synced.0.saturating_add(keep).min(state.last.0),
        ))
    }

    /// The store after the death of the process: every commit is there, and what was not synced
    /// still is not.
    #[must_use]
    pub fn reopen(&self) -> Self {
        let state = lock(&self.state);
        let spaces = state.spaces.clone();
        let (stale, history) = (state.stale.clone(), History::starting_at(state.last));
        let reopened = MemoryState {
            spaces,
            stale,
            history,
            last: state.last,
            synced: state.synced,
        };
        Self {
            state: Arc::new(Mutex::new(reopened)),
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.state);
        f.debug_struct("Memory")
            .field("last", &state.last)
            .field("synced", &state.synced)
            .finish_non_exhaustive()
    }
}

impl Engine for Memory {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        let mut state = lock(&self.state);
        let sequence = state.last;
        state.history.register(sequence);
        Ok(Arc::new(MemoryView {
            state: Arc::clone(&self.state),
            sequence,
        }))
    }

    fn commit(&self, mut batch: Batch, durability: Durability) -> Result<Sequence> {
        batch.validate()?;
        let mut state = lock(&self.state);
        if batch.base() > state.last {
            return Err(Error::invalid(
                "a batch was computed from a snapshot of another store",
            ));
        }
        state.history.check(&batch)?;
        batch.accept();
        state.last.0 += 1;
        let last = state.last;
        state.history.record(last, batch.deleted(), batch.writes());
        let (deleted, writes) = batch.into_parts();
        state.apply(deleted, writes);
        if durability == Durability::Sync {
            state.synced = last;
        }
        state.collect();
        Ok(last)
    }

    fn flush(&self) -> Result<()> {
        let mut state = lock(&self.state);
        state.synced = state.last;
        state.collect();
        Ok(())
    }

    fn compact(&self, _: Space, _: &KeyRange) -> Result<()> {
        lock(&self.state).collect();
        Ok(())
    }

    fn checkpoint(&self, _: &Path) -> Result<()> {
        Err(Error::invalid(
            "a store in memory has no files to make a checkpoint of",
        ))
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

/// The store as one commit left it.
struct MemoryView {
    state: Arc<Mutex<MemoryState>>,
    sequence: Sequence,
}

impl Snapshot for MemoryView {
    fn sequence(&self) -> Sequence {
        self.sequence
    }

    fn get_many(
        &self,
        space: Space,
        keys: &[Vec<u8>],
        visit: &mut dyn FnMut(usize, Option<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        for (position, key) in keys.iter().enumerate() {
            // The lock is not held while visiting: the visitor may use the store.
            let value = {
                let state = lock(&self.state);
                let versions = state.spaces[space.index()].get(key.as_slice());
                versions
                    .and_then(|versions| shown(versions, self.sequence))
                    .cloned()
            };
            visit(position, value.as_deref())?;
        }
        Ok(())
    }

    fn scan(&self, space: Space, range: &KeyRange, order: Order, limit: usize) -> Result<Page> {
        let mut page = Page::default();
        if range.is_empty() {
            return Ok(page);
        }
        let start = Bound::Included(range.start.as_slice());
        let end = range
            .end
            .as_deref()
            .map_or(Bound::Unbounded, Bound::Excluded);
        let state = lock(&self.state);
        let entries = state.spaces[space.index()].range::<[u8], _>((start, end));
        let mut entries: Box<dyn Iterator<Item = _>> = match order {
            Order::Ascending => Box::new(entries),
            Order::Descending => Box::new(entries.rev()),
        };
        let mut entries = entries
            .by_ref()
            .filter_map(|(key, versions)| Some((key, shown(versions, self.sequence)?)));
        for (key, value) in entries.by_ref().take(limit) {
            assert!(range.contains(key), "a scan stays in its range");
            if let Some((previous, _)) = page.entries.last() {
                let ascending = previous.as_slice() < &key[..];
                assert_eq!(
                    ascending,
                    order == Order::Ascending,
                    "a scan is in the order asked for"
                );
                assert_ne!(previous.as_slice(), &key[..], "a scan shows a key once");
            }
            page.entries.push((key.to_vec(), value.to_vec()));
        }
        page.more = entries.next().is_some();
        Ok(page)
    }
}

impl Drop for MemoryView {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.history.release(self.sequence);
        state.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::conformance;

    fn put(store: &Memory, key: u8, value: u8, durability: Durability) {
        let mut batch = Batch::default();
        batch.put(Space::Base, vec![key], vec![value]);
        store.commit(batch, durability).expect("nothing conflicts");
    }

    fn content(store: &Memory) -> Vec<(u8, u8)> {
        let snapshot = store.snapshot().expect("a snapshot");
        let page = snapshot
            .scan(Space::Base, &KeyRange::all(), Order::Ascending, usize::MAX)
            .expect("a page");
        page.entries
            .iter()
            .map(|(key, value)| (key[0], value[0]))
            .collect()
    }

    fn versions(store: &Memory) -> usize {
        lock(&store.state)
            .spaces
            .iter()
            .flat_map(BTreeMap::values)
            .map(Vec::len)
            .sum()
    }

    #[test]
    fn conforms() {
        conformance::run(&|| Arc::new(Memory::new()));
    }

    #[test]
    fn power_loss_keeps_a_prefix_and_all_that_was_synced() {
        let store = Memory::new();
        put(&store, 1, 1, Durability::Buffered);
        put(&store, 2, 2, Durability::Sync);
        put(&store, 1, 3, Durability::Buffered);
        put(&store, 3, 4, Durability::Buffered);
        assert_eq!(store.unsynced(), 2);
        assert_eq!(content(&store.crash(0)), [(1, 1), (2, 2)]);
        assert_eq!(content(&store.crash(1)), [(1, 3), (2, 2)]);
        assert_eq!(content(&store.crash(2)), [(1, 3), (2, 2), (3, 4)]);
        assert_eq!(content(&store.crash(usize::MAX)), content(&store));
        assert_eq!(store.crash(1).unsynced(), 0);
    }

    #[test]
    fn the_death_of_the_process_keeps_everything_and_syncs_nothing() {
        let store = Memory::new();
        put(&store, 1, 1, Durability::Sync);
        put(&store, 1, 2, Durability::Buffered);
        let reopened = store.reopen();
        put(&store, 1, 3, Durability::Buffered);
        assert_eq!((content(&reopened), reopened.unsynced()), (vec![(1, 2)], 1));
        assert_eq!(content(&reopened.crash(0)), [(1, 1)]);
        reopened.flush().expect("memory does not fail");
        assert_eq!(content(&reopened.crash(0)), [(1, 2)]);
    }

    #[test]
    fn versions_go_when_nobody_can_ask_for_them() {
        let store = Memory::new();
        let snapshot = store.snapshot().expect("a snapshot");
        for value in 0..10 {
            put(&store, 1, value, Durability::Buffered);
        }
        assert_eq!(versions(&store), 10);
        store.flush().expect("memory does not fail");
        assert_eq!(versions(&store), 10, "the snapshot pins them");
        drop(snapshot);
        assert_eq!(versions(&store), 1);
        let mut batch = Batch::default();
        batch.delete(Space::Base, vec![1]);
        store
            .commit(batch, Durability::Sync)
            .expect("nothing conflicts");
        assert_eq!(versions(&store), 0, "a deletion leaves nothing behind");
    }

    #[test]
    fn a_snapshot_of_another_store_is_refused() {
        let (here, there) = (Memory::new(), Memory::new());
        put(&there, 1, 1, Durability::Sync);
        let snapshot = there.snapshot().expect("a snapshot");
        let refused = here
            .commit(Batch::at(&*snapshot), Durability::Sync)
            .expect_err("a foreign snapshot");
        assert_eq!(refused.kind(), &crate::ErrorKind::Invalid);
    }
}
