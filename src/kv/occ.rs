//! Optimistic concurrency: which commits wrote a key after a given sequence. A pure structure,
//! shared by the engines.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use super::{Batch, KeyRange, Sequence, Space, Write};
use crate::error::{Error, ErrorKind, Result};

/// Writes that are remembered beyond what the live snapshots need, for batches whose snapshot is
/// gone already.
const KEPT_WRITES: usize = 1 << 14;

/// Writes that are remembered at most, however old the oldest live snapshot is.
const KEPT_WRITES_MAX: usize = 1 << 18;

/// Deleted ranges that are remembered at most: every check compares with all of them.
const KEPT_RANGES_MAX: usize = 1 << 10;

/// The recent writes of a store, and the snapshots that batches may still be based on: what an
/// engine needs to find the conflicts that [`Engine::commit`](super::Engine::commit) must refuse.
///
/// An engine [checks](Self::check) a batch and [records](Self::record) it under one lock, in the
/// order of its commits, and tells of each snapshot that it hands out and that is dropped.
///
/// Every write after `horizon` is remembered; a batch that is based before it is refused if it
/// expects anything.
#[derive(Debug)]
pub struct History {
    /// The last commit that wrote a key.
    last_writes: [BTreeMap<Arc<[u8]>, Sequence>; Space::ALL.len()],
    /// The same writes in the order they came, so that the oldest can be forgotten.
    order: VecDeque<(Sequence, Space, Arc<[u8]>)>,
    /// The ranges that were deleted, in the same order.
    deleted: VecDeque<(Sequence, Space, KeyRange)>,
    /// How many live snapshots show each sequence.
    live: BTreeMap<Sequence, usize>,
    horizon: Sequence,
    kept: usize,
    kept_max: usize,
}

impl History {
    /// The history of a store that has just been opened: no earlier batch can be judged.
    pub fn starting_at(horizon: Sequence) -> Self {
        Self::with_limits(horizon, KEPT_WRITES, KEPT_WRITES_MAX)
    }

    fn with_limits(horizon: Sequence, kept: usize, kept_max: usize) -> Self {
        let last_writes = std::array::from_fn(|_| BTreeMap::new());
        Self {
            last_writes,
            order: VecDeque::new(),
            deleted: VecDeque::new(),
            live: BTreeMap::new(),
            horizon,
            kept,
            kept_max,
        }
    }

    /// Notes a live snapshot.
    pub fn register(&mut self, snapshot: Sequence) {
        *self.live.entry(snapshot).or_insert(0) += 1;
    }

    /// Notes that a registered snapshot is gone.
    pub fn release(&mut self, snapshot: Sequence) {
        if let Some(count) = self.live.get_mut(&snapshot) {
            *count -= 1;
            if *count == 0 {
                self.live.remove(&snapshot);
            }
        }
        self.forget();
    }

    /// The oldest live snapshot.
    pub fn oldest(&self) -> Option<Sequence> {
        self.live.keys().next().copied()
    }

    /// Whether all that a batch expects unchanged is so.
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) if it is not, or if what was written since the
    /// batch's base is no longer remembered.
    pub fn check(&self, batch: &Batch) -> Result<()> {
        let base = batch.base();
        if batch.keys().is_empty() && batch.ranges().is_empty() {
            return Ok(());
        }
        if base < self.horizon {
            return Err(Error::new(
                ErrorKind::Conflict,
                "the snapshot of a batch is older than the remembered commits",
            ));
        }
        let latest = self
            .order
            .back()
            .map(|(last, ..)| *last)
            .max(self.deleted.back().map(|(last, ..)| *last));
        if latest.is_none_or(|last| last <= base) {
            return Ok(());
        }
        let key_changed = batch
            .keys()
            .iter()
            .any(|(space, key)| self.wrote_key(*space, key, base));
        if key_changed
            || batch
                .ranges()
                .iter()
                .any(|(space, range)| self.wrote_range(*space, range, base))
        {
            return Err(Error::new(
                ErrorKind::Conflict,
                "another commit changed what a batch was computed from",
            ));
        }
        Ok(())
    }

    fn wrote_key(&self, space: Space, key: &[u8], base: Sequence) -> bool {
        self.last_writes[space.index()]
            .get(key)
            .is_some_and(|last| *last > base)
            || self
                .deleted_since(space, base)
                .any(|deleted| deleted.contains(key))
    }

    fn deleted_since(&self, space: Space, base: Sequence) -> impl Iterator<Item = &KeyRange> {
        let recent = self
            .deleted
            .iter()
            .rev()
            .take_while(move |(last, ..)| *last > base);
        recent
            .filter(move |(_, of, _)| *of == space)
            .map(|(.., range)| range)
    }

    fn wrote_range(&self, space: Space, range: &KeyRange, base: Sequence) -> bool {
        if range.is_empty() {
            return false;
        }
        let start = Bound::Included(range.start.as_slice());
        let end = range
            .end
            .as_deref()
            .map_or(Bound::Unbounded, Bound::Excluded);
        self.last_writes[space.index()]
            .range::<[u8], _>((start, end))
            .any(|(_, last)| *last > base)
            || self
                .deleted_since(space, base)
                .any(|deleted| deleted.overlaps(range))
    }

    /// Remembers what a commit deletes and writes. Sequences must not decrease: it panics where
    /// they do.
    pub fn record(&mut self, sequence: Sequence, deleted: &[(Space, KeyRange)], writes: &[Write]) {
        assert!(
            self.order.back().is_none_or(|(last, ..)| *last <= sequence),
            "commits are recorded in their order"
        );
        self.deleted.extend(
            deleted
                .iter()
                .map(|(space, range)| (sequence, *space, range.clone())),
        );
        for write in writes {
            let key: Arc<[u8]> = Arc::from(write.key.as_slice());
            self.last_writes[write.space.index()].insert(Arc::clone(&key), sequence);
            self.order.push_back((sequence, write.space, key));
        }
        self.forget();
    }

    /// Drops what no live snapshot can ask for, and what exceeds the limit even if one can.
    fn forget(&mut self) {
        while let Some((sequence, ..)) = self.order.front() {
            let needed = self
                .live
                .keys()
                .next()
                .is_some_and(|oldest| oldest < sequence);
            let kept = if needed { self.kept_max } else { self.kept };
            if self.order.len() <= kept {
                break;
            }
            let Some((sequence, space, key)) = self.order.pop_front() else {
                break;
            };
            let last_writes = &mut self.last_writes[space.index()];
            if last_writes.get(&key) == Some(&sequence) {
                last_writes.remove(&key);
            }
            self.horizon = self.horizon.max(sequence);
        }
        while let Some((sequence, ..)) = self.deleted.front() {
            if self.deleted.len() <= KEPT_RANGES_MAX && *sequence > self.horizon {
                break;
            }
            self.horizon = self.horizon.max(*sequence);
            self.deleted.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kv::Snapshot;

    struct At(u64);

    impl Snapshot for At {
        fn sequence(&self) -> Sequence {
            Sequence(self.0)
        }
        fn get_many(
            &self,
            _: Space,
            _: &[Vec<u8>],
            _: &mut dyn FnMut(usize, Option<&[u8]>) -> Result<()>,
        ) -> Result<()> {
            unreachable!("the history never reads")
        }
        fn scan(
            &self,
            _: Space,
            _: &KeyRange,
            _: crate::kv::Order,
            _: usize,
        ) -> Result<crate::kv::Page> {
            unreachable!("the history never reads")
        }
    }

    fn write(key: u8) -> Write {
        Write {
            space: Space::Base,
            key: vec![key],
            value: None,
        }
    }

    fn range(start: u8, end: u8) -> KeyRange {
        KeyRange {
            start: vec![start],
            end: Some(vec![end]),
        }
    }

    fn expecting(base: u64, key: u8) -> Batch {
        let mut batch = Batch::at(&At(base));
        batch.expect_key(Space::Base, vec![key]);
        batch
    }

    #[test]
    fn a_key_written_after_the_snapshot_conflicts_and_no_other_does() {
        let mut history = History::starting_at(Sequence(0));
        history.record(Sequence(1), &[], &[write(1)]);
        history.record(Sequence(2), &[], &[write(2)]);
        assert_eq!(
            history
                .check(&expecting(1, 2))
                .expect_err("written at 2")
                .kind(),
            &ErrorKind::Conflict
        );
        history
            .check(&expecting(1, 1))
            .expect("written at 1, seen at 1");
        history
            .check(&expecting(2, 2))
            .expect("written at 2, seen at 2");
        let mut other_space = Batch::at(&At(1));
        other_space.expect_key(Space::Meta, vec![2]);
        history.check(&other_space).expect("another space");
    }

    #[test]
    fn a_range_conflicts_from_its_start_and_before_its_end() {
        let mut history = History::starting_at(Sequence(0));
        history.record(Sequence(1), &[], &[write(5)]);
        for (start, end, conflicts) in [
            (4, 5, false),
            (5, 6, true),
            (4, 6, true),
            (6, 9, false),
            (9, 4, false),
        ] {
            let mut batch = Batch::at(&At(0));
            batch.expect_range(Space::Base, range(start, end));
            assert_eq!(history.check(&batch).is_err(), conflicts, "{start}..{end}");
        }
    }

    #[test]
    fn the_horizon_rises_past_a_live_snapshot_only_at_the_limit() {
        let mut history = History::with_limits(Sequence(0), 2, 4);
        history.register(Sequence(1));
        for sequence in 1..=5 {
            history.record(Sequence(sequence), &[], &[write(9)]);
        }
        assert_eq!(
            history.horizon,
            Sequence(1),
            "what the live snapshot needs is kept"
        );
        history.check(&expecting(1, 1)).expect("nobody wrote key 1");
        history.record(Sequence(6), &[], &[write(9)]);
        assert_eq!(history.horizon, Sequence(2));
        assert_eq!(
            history
                .check(&expecting(1, 1))
                .expect_err("too old to judge")
                .kind(),
            &ErrorKind::Conflict
        );
        history.release(Sequence(1));
        assert_eq!((history.order.len(), history.oldest()), (2, None));
    }

    #[test]
    fn a_batch_without_expectations_never_conflicts() {
        let mut history = History::with_limits(Sequence(7), 1, 1);
        history.record(Sequence(8), &[], &[write(1), write(2), write(3)]);
        history.check(&Batch::default()).expect("expects nothing");
    }

    #[test]
    fn deleted_ranges_are_forgotten_and_the_horizon_says_so() {
        let mut history = History::starting_at(Sequence(0));
        for sequence in 1..=2000 {
            history.record(Sequence(sequence), &[(Space::Base, range(1, 3))], &[]);
        }
        assert_eq!(
            (history.deleted.len(), history.horizon),
            (KEPT_RANGES_MAX, Sequence(2000 - 1024))
        );
        assert_eq!(
            history
                .check(&expecting(1999, 2))
                .expect_err("deleted at 2000")
                .kind(),
            &ErrorKind::Conflict
        );
        history
            .check(&expecting(1999, 3))
            .expect("beyond the range");
        assert_eq!(
            history
                .check(&expecting(900, 3))
                .expect_err("too old to judge")
                .kind(),
            &ErrorKind::Conflict
        );
    }

    #[derive(Clone, Debug)]
    enum Step {
        Commit(Vec<u8>),
        Delete(u8, u8),
        Snapshot,
        Release(usize),
        CheckKey(u64, u8),
        CheckRange(u64, u8, u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            proptest::collection::vec(0..16u8, 0..4).prop_map(Step::Commit),
            (0..16u8, 0..16u8).prop_map(|(start, end)| Step::Delete(start, end)),
            Just(Step::Snapshot),
            (0..8usize).prop_map(Step::Release),
            (0..12u64, 0..16u8).prop_map(|(age, key)| Step::CheckKey(age, key)),
            (0..12u64, 0..16u8, 0..16u8)
                .prop_map(|(age, start, end)| Step::CheckRange(age, start, end)),
        ];
        proptest::collection::vec(step, 0..120)
    }

    proptest! {
        /// No conflict is missed, and none is reported without need to a batch at or after the
        /// horizon.
        #[test]
        fn agrees_with_a_history_that_forgets_nothing(steps in steps(), kept in 0..6usize, more in 0..20usize) {
            let mut history = History::with_limits(Sequence(0), kept, kept + more);
            let mut all: Vec<(u64, u8)> = Vec::new();
            let (mut now, mut live) = (0u64, Vec::new());
            for step in steps {
                let (batch, changed) = match step {
                    Step::Commit(keys) => {
                        now += 1;
                        history.record(Sequence(now), &[], &keys.iter().map(|key| write(*key)).collect::<Vec<_>>());
                        all.extend(keys.iter().map(|key| (now, *key)));
                        continue;
                    }
                    Step::Delete(start, end) => {
                        now += 1;
                        history.record(Sequence(now), &[(Space::Base, range(start, end))], &[]);
                        all.extend((start..end).map(|key| (now, key)));
                        continue;
                    }
                    Step::Snapshot => {
                        history.register(Sequence(now));
                        live.push(now);
                        continue;
                    }
                    Step::Release(index) => {
                        if !live.is_empty() {
                            history.release(Sequence(live.remove(index % live.len())));
                        }
                        continue;
                    }
                    Step::CheckKey(age, key) => {
                        let base = now.saturating_sub(age);
                        (expecting(base, key), all.iter().any(|(at, wrote)| *at > base && *wrote == key))
                    }
                    Step::CheckRange(age, start, end) => {
                        let base = now.saturating_sub(age);
                        let mut batch = Batch::at(&At(base));
                        batch.expect_range(Space::Base, range(start, end));
                        (batch, all.iter().any(|(at, wrote)| *at > base && (start..end).contains(wrote)))
                    }
                };
                let refused = history.check(&batch).is_err();
                prop_assert!(refused || !changed, "a conflict was missed");
                prop_assert!(!refused || changed || batch.base() < history.horizon, "a conflict was invented");
                prop_assert!(history.order.len() <= kept + more);
                prop_assert_eq!(history.oldest(), live.iter().min().map(|at| Sequence(*at)));
            }
        }
    }
}
