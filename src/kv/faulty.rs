//! A decorator that lets chosen calls of an engine fail, so that a test can sweep a failure over
//! every call of a run.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{
    Batch, Counters, Durability, Engine, KeyRange, Order, Page, Sequence, Snapshot, Space,
};
use crate::error::{Error, ErrorKind, Result};

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing happens.
    Before,
    /// The call has its effect and is reported as failed, as after a crash between a write and its
    /// acknowledgement. Reads have no effect: for them it is the same as
    /// [`Before`](Failure::Before).
    After,
}

/// An [`Engine`] whose calls fail on demand. Every call counts: of the engine and of all its
/// snapshots.
///
/// A commit that fails poisons the engine, as the contract says. [`heal`](Faulty::heal) is what
/// opening the store again would be.
pub struct Faulty<E> {
    engine: E,
    plan: Arc<FaultPlan>,
}

#[derive(Clone, Copy, Debug)]
struct Planned {
    first: u64,
    last: u64,
    failure: Failure,
}

type Hook = Box<dyn Fn(u64) + Send + Sync>;

struct FaultPlan {
    calls: AtomicU64,
    planned: Mutex<Option<Planned>>,
    poisoned: AtomicBool,
    before_call: Option<Hook>,
}

impl FaultPlan {
    /// Counts a call and says how it fails.
    fn call(&self) -> Option<Failure> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        if let Some(before_call) = &self.before_call {
            before_call(number);
        }
        let planned = (*self.planned.lock().unwrap_or_else(PoisonError::into_inner))?;
        (planned.first..=planned.last)
            .contains(&number)
            .then_some(planned.failure)
    }

    fn read(&self) -> Result<()> {
        self.call().map_or(Ok(()), |_| Err(injected()))
    }
}

fn injected() -> Error {
    Error::unavailable("a failure was injected")
}

impl<E: Engine> Faulty<E> {
    /// Passes every call on until told otherwise.
    pub fn new(engine: E) -> Self {
        Self::with_plan(engine, None)
    }

    /// Calls `before_call` with the number of each call before it is passed on: to delay it, or to
    /// let others go first.
    pub fn hooked(engine: E, before_call: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self::with_plan(engine, Some(Box::new(before_call)))
    }

    fn with_plan(engine: E, before_call: Option<Hook>) -> Self {
        let (calls, poisoned) = (AtomicU64::new(0), AtomicBool::new(false));
        Self {
            engine,
            plan: Arc::new(FaultPlan {
                calls,
                planned: Mutex::new(None),
                poisoned,
                before_call,
            }),
        }
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.plan.calls.load(Ordering::Relaxed)
    }

    /// Lets one call fail; the next one is number 0.
    pub fn fail_once(&self, call: u64, failure: Failure) {
        let first = self.calls().saturating_add(call);
        self.set(Some(Planned {
            first,
            last: first,
            failure,
        }));
    }

    /// Lets a call and every one after it fail; the next one is number 0.
    pub fn fail_from(&self, call: u64, failure: Failure) {
        self.set(Some(Planned {
            first: self.calls().saturating_add(call),
            last: u64::MAX,
            failure,
        }));
    }

    /// Forgets planned failures and the poison of past ones.
    pub fn heal(&self) {
        self.set(None);
        self.plan.poisoned.store(false, Ordering::Relaxed);
    }

    /// What is decorated.
    pub fn engine(&self) -> &E {
        &self.engine
    }

    fn set(&self, planned: Option<Planned>) {
        *self
            .plan
            .planned
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = planned;
    }
}

impl<E: Engine> fmt::Debug for Faulty<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty")
            .field("engine", &self.engine)
            .field("calls", &self.calls())
            .finish_non_exhaustive()
    }
}

#[deny(clippy::missing_trait_methods)]
impl<E: Engine> Engine for Faulty<E> {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        self.plan.read()?;
        Ok(Arc::new(FaultyView {
            snapshot: self.engine.snapshot()?,
            plan: Arc::clone(&self.plan),
        }))
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<Sequence> {
        let failure = self.plan.call();
        if self.plan.poisoned.load(Ordering::Relaxed) {
            return Err(Error::new(
                ErrorKind::Poisoned,
                "an injected failure of an earlier commit",
            ));
        }
        if failure == Some(Failure::Before) {
            self.plan.poisoned.store(true, Ordering::Relaxed);
            return Err(injected());
        }
        // A batch that the engine refuses was not written, so there is nothing to report as failed.
        let sequence = self.engine.commit(batch, durability)?;
        if failure == Some(Failure::After) {
            self.plan.poisoned.store(true, Ordering::Relaxed);
            return Err(injected());
        }
        Ok(sequence)
    }

    fn flush(&self) -> Result<()> {
        let failure = self.plan.call();
        if failure != Some(Failure::Before) {
            self.engine.flush()?;
        }
        failure.map_or(Ok(()), |_| Err(injected()))
    }

    fn compact(&self, space: Space, range: &KeyRange) -> Result<()> {
        let failure = self.plan.call();
        if failure != Some(Failure::Before) {
            self.engine.compact(space, range)?;
        }
        failure.map_or(Ok(()), |_| Err(injected()))
    }

    fn checkpoint(&self, target: &Path) -> Result<()> {
        self.plan.read()?;
        self.engine.checkpoint(target)
    }

    fn counters(&self) -> Counters {
        self.engine.counters()
    }

    fn follows(&self) -> bool {
        self.engine.follows()
    }
}

struct FaultyView {
    snapshot: Arc<dyn Snapshot>,
    plan: Arc<FaultPlan>,
}

#[deny(clippy::missing_trait_methods)]
impl Snapshot for FaultyView {
    fn sequence(&self) -> Sequence {
        self.snapshot.sequence()
    }

    fn get_many(
        &self,
        space: Space,
        keys: &[Vec<u8>],
        visit: &mut dyn FnMut(usize, Option<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        self.plan.read()?;
        self.snapshot.get_many(space, keys, visit)
    }

    fn scan(&self, space: Space, range: &KeyRange, order: Order, limit: usize) -> Result<Page> {
        self.plan.read()?;
        self.snapshot.scan(space, range, order, limit)
    }

    fn is_remote(&self) -> bool {
        self.snapshot.is_remote()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::{Memory, conformance};

    fn stored(engine: &dyn Engine) -> Result<bool> {
        let mut found = false;
        engine
            .snapshot()?
            .get_many(Space::Meta, &[b"key".to_vec()], &mut |_, value| {
                found = value.is_some();
                Ok(())
            })?;
        Ok(found)
    }

    fn put(engine: &dyn Engine) -> Result<Sequence> {
        let mut batch = Batch::default();
        batch.put(Space::Meta, b"key".to_vec(), b"value".to_vec());
        engine.commit(batch, Durability::Sync)
    }

    #[test]
    fn conforms_while_nothing_fails() {
        conformance::run(&|| Arc::new(Faulty::new(Memory::new())));
    }

    #[test]
    fn a_failed_commit_poisons_and_is_there_whole_or_not_at_all() {
        for (failure, applied) in [(Failure::Before, false), (Failure::After, true)] {
            let engine = Faulty::new(Memory::new());
            conformance::poison(&engine, &|| engine.fail_once(0, failure));
            engine.heal();
            let page = engine.snapshot().and_then(|snapshot| {
                snapshot.scan(Space::Meta, &KeyRange::all(), Order::Ascending, 9)
            });
            assert_eq!(
                page.expect("healed").entries.len(),
                usize::from(applied),
                "{failure:?}"
            );
        }
    }

    #[test]
    fn one_call_fails_and_the_others_do_not() {
        let engine = Faulty::new(Memory::new());
        put(&engine).expect("nothing is planned");
        for call in 0..2 {
            engine.fail_once(call, Failure::Before);
            assert_eq!(
                stored(&engine).expect_err("call 0 or 1").kind(),
                &ErrorKind::Unavailable
            );
            while engine.calls() < 1 + 3 * call + 2 {
                stored(&engine).expect("the failure is past");
            }
        }
        let calls = engine.calls();
        assert!(stored(&engine).expect("the failure is past"));
        assert_eq!(engine.calls(), calls + 2, "a snapshot and a read");
    }

    #[test]
    fn a_sticky_failure_lasts_until_it_is_healed() {
        let engine = Faulty::new(Memory::new());
        engine.fail_from(1, Failure::After);
        engine.flush().expect("call 0");
        for _ in 0..3 {
            assert_eq!(
                engine.flush().expect_err("sticky").kind(),
                &ErrorKind::Unavailable
            );
        }
        engine.heal();
        engine.flush().expect("healed");
    }

    #[test]
    fn the_hook_sees_every_call_once() {
        let seen = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&seen);
        let engine = Faulty::hooked(Memory::new(), move |number| {
            assert_eq!(counter.fetch_add(1, Ordering::Relaxed), number)
        });
        put(&engine).expect("nothing is planned");
        assert!(stored(&engine).expect("nothing is planned"));
        assert_eq!((seen.load(Ordering::Relaxed), engine.calls()), (3, 3));
    }
}
