//! Bugs that are planted into an engine: each must be found by the checks that find nothing in a
//! sound one. They are in a decorator of the engine here, so that they cost the program nothing.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use gridstone::kv::{
    Batch, Counters, Durability, Engine, KeyRange, Memory, Order, Page, Sequence, Snapshot, Space,
    Write,
};
use gridstone::{Error, ErrorKind, Policy, Result, Store};

use crate::check::{self, Loss};
use crate::dice::Dice;
use crate::workload::{self, Note};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    /// Commits leave no marks.
    MarksLost,
    /// Marks come in a commit of their own, after the chunks.
    MarksApart,
    /// Consuming a mark removes all marks of its aggregate.
    MarksByRange,
    /// A synced commit is acknowledged before it is on the medium.
    AcknowledgedEarly,
    /// A read that fails is taken for an absence.
    ErrorIsAbsence,
    /// A scan ends early, now and then.
    ScanCutShort,
    /// What a commit was computed from may have changed.
    ExpectationsIgnored,
    /// Half of a commit is lost, now and then.
    TornCommit,
    /// Deletions are forgotten.
    DeletionsLost,
    /// A value is handed out under another key, now and then.
    Swapped,
    /// A commit is acknowledged and not made, now and then.
    CommitDropped,
    /// A value is cut, now and then.
    ValueCut,
}

const BUGS: [Bug; 12] = [
    Bug::MarksLost,
    Bug::MarksApart,
    Bug::MarksByRange,
    Bug::AcknowledgedEarly,
    Bug::ErrorIsAbsence,
    Bug::ScanCutShort,
    Bug::ExpectationsIgnored,
    Bug::TornCommit,
    Bug::DeletionsLost,
    Bug::Swapped,
    Bug::CommitDropped,
    Bug::ValueCut,
];

const READING: [Bug; 4] = [
    Bug::ErrorIsAbsence,
    Bug::ScanCutShort,
    Bug::Swapped,
    Bug::ValueCut,
];

/// An engine with a bug, that dies after some commits.
#[derive(Clone)]
struct Planted {
    engine: Arc<Memory>,
    bug: Bug,
    /// Commits until it dies.
    left: Arc<AtomicUsize>,
    dice: Arc<Mutex<Dice>>,
    /// The value that was read last.
    last: Arc<Mutex<Vec<u8>>>,
}

impl fmt::Debug for Planted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planted")
            .field("bug", &self.bug)
            .finish_non_exhaustive()
    }
}

impl Planted {
    fn new(engine: &Arc<Memory>, bug: Bug, left: usize, dice: Dice) -> Self {
        let (engine, left, dice) = (
            Arc::clone(engine),
            Arc::new(AtomicUsize::new(left)),
            Arc::new(Mutex::new(dice)),
        );
        Self {
            engine,
            bug,
            left,
            dice,
            last: Arc::default(),
        }
    }

    fn now_and_then(&self, bug: Bug, percent: u64) -> bool {
        self.bug == bug && self.dice.lock().unwrap().chance(percent)
    }

    /// A commit of the engine below, unless it is dead.
    fn apply(&self, batch: Batch, durability: Durability) -> Result<Sequence> {
        let alive = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        alive.map_err(|_| Error::unavailable("the engine is dead"))?;
        self.engine.commit(batch, durability)
    }

    /// The marks that go when one is consumed by its prefix: all but the sequence, which is last.
    fn of_range(&self, key: &[u8]) -> Result<Vec<Vec<u8>>> {
        let prefix = &key[..key.len() - 8];
        let page = self.engine.snapshot()?.scan(
            Space::Dirty,
            &KeyRange::prefix(prefix),
            Order::Ascending,
            1000,
        )?;
        Ok(page.entries.into_iter().map(|(key, _)| key).collect())
    }
}

/// The same batch with other writes. A snapshot of the engine below at the batch's base would be
/// needed; one of now serves where expectations are not what is tested.
fn with(
    batch: &Batch,
    snapshot: &dyn Snapshot,
    expects: bool,
    writes: impl Iterator<Item = Write>,
) -> Batch {
    let mut changed = Batch::at(snapshot);
    if expects {
        batch
            .keys()
            .iter()
            .for_each(|(space, key)| changed.expect_key(*space, key.clone()));
        batch
            .ranges()
            .iter()
            .for_each(|(space, range)| changed.expect_range(*space, range.clone()));
    }
    batch
        .deleted()
        .iter()
        .for_each(|(space, range)| changed.delete_range(*space, range.clone()));
    for write in writes {
        match write.value {
            Some(value) => changed.put(write.space, write.key, value),
            None => changed.delete(write.space, write.key),
        }
    }
    changed
}

fn is_mark(write: &&Write) -> bool {
    write.space == Space::Dirty && write.value.is_some()
}

impl Engine for Planted {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        Ok(Arc::new(View {
            planted: self.clone(),
            snapshot: self.engine.snapshot()?,
        }))
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<Sequence> {
        let now = self.engine.snapshot()?;
        let writes = || batch.writes().iter();
        match self.bug {
            Bug::MarksLost => self.apply(
                with(
                    &batch,
                    &*now,
                    true,
                    writes().filter(|write| !is_mark(write)).cloned(),
                ),
                durability,
            ),
            Bug::MarksApart if writes().any(|write| is_mark(&write)) => {
                self.apply(
                    with(
                        &batch,
                        &*now,
                        true,
                        writes().filter(|write| !is_mark(write)).cloned(),
                    ),
                    durability,
                )?;
                let marks = with(
                    &Batch::default(),
                    &*now,
                    false,
                    writes().filter(is_mark).cloned(),
                );
                self.apply(marks, durability)
            }
            Bug::MarksByRange => {
                let mut removed = Vec::new();
                for consumed in
                    writes().filter(|write| write.space == Space::Dirty && write.value.is_none())
                {
                    removed.extend(self.of_range(&consumed.key)?);
                }
                let mut batch = batch;
                removed
                    .into_iter()
                    .for_each(|key| batch.delete(Space::Dirty, key));
                self.apply(batch, durability)
            }
            Bug::AcknowledgedEarly => self.apply(batch, Durability::Buffered),
            Bug::ExpectationsIgnored => {
                // Others commit meanwhile.
                std::thread::sleep(std::time::Duration::from_micros(300));
                let now = self.engine.snapshot()?;
                self.apply(with(&batch, &*now, false, writes().cloned()), durability)
            }
            Bug::TornCommit if self.now_and_then(Bug::TornCommit, 10) => self.apply(
                with(
                    &batch,
                    &*now,
                    true,
                    writes().take(batch.writes().len() / 2).cloned(),
                ),
                durability,
            ),
            Bug::DeletionsLost => self.apply(
                with(
                    &batch,
                    &*now,
                    true,
                    writes().filter(|write| write.value.is_some()).cloned(),
                ),
                durability,
            ),
            Bug::CommitDropped if self.now_and_then(Bug::CommitDropped, 10) => Ok(now.sequence()),
            _ => self.apply(batch, durability),
        }
    }

    fn flush(&self) -> Result<()> {
        self.engine.flush()
    }

    fn compact(&self, space: Space, range: &KeyRange) -> Result<()> {
        self.engine.compact(space, range)
    }

    fn checkpoint(&self, target: &Path) -> Result<()> {
        self.engine.checkpoint(target)
    }

    fn counters(&self) -> Counters {
        self.engine.counters()
    }
}

struct View {
    planted: Planted,
    snapshot: Arc<dyn Snapshot>,
}

impl Snapshot for View {
    fn sequence(&self) -> Sequence {
        self.snapshot.sequence()
    }

    fn get_many(
        &self,
        space: Space,
        keys: &[Vec<u8>],
        visit: &mut dyn FnMut(usize, Option<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        let is_chunk = matches!(space, Space::Base | Space::Aggregate);
        self.snapshot.get_many(space, keys, &mut |at, value| {
            let absent = is_chunk && self.planted.now_and_then(Bug::ErrorIsAbsence, 5);
            let cut = is_chunk && self.planted.now_and_then(Bug::ValueCut, 5);
            let swapped = is_chunk && self.planted.now_and_then(Bug::Swapped, 40);
            let other = value.filter(|_| is_chunk).map(|value| {
                std::mem::replace(&mut *self.planted.last.lock().unwrap(), value.to_vec())
            });
            match (value, other.filter(|_| swapped)) {
                (Some(_), _) if absent => visit(at, None),
                (Some(value), _) if cut => visit(at, Some(&value[..value.len() - 1])),
                (Some(_), Some(other)) => visit(at, Some(&other)),
                (value, _) => visit(at, value),
            }
        })
    }

    fn scan(&self, space: Space, range: &KeyRange, order: Order, limit: usize) -> Result<Page> {
        let mut page = self.snapshot.scan(space, range, order, limit)?;
        if page.entries.len() > 1 && self.planted.now_and_then(Bug::ScanCutShort, 20) {
            page.entries.pop();
            page.more = false;
        }
        Ok(page)
    }
}

/// Some lives of a store in an engine with a bug, each ended after some commits, by the death of
/// the process or by the loss of power.
fn lives(bug: Bug, seed: u64) -> std::result::Result<(), String> {
    let mut dice = Dice::of(seed, 8);
    let (mut engine, diary) = (Arc::new(Memory::new()), Mutex::new(Vec::<Note>::new()));
    for life in 0..3 {
        let left = 20 + dice.below(60);
        let planted = Planted::new(&engine, bug, left, Dice::of(seed, 9 + life));
        let policy = workload::policy(seed.wrapping_add(life));
        let store = Store::options()
            .policy(policy)
            .open_engine(Arc::new(planted))
            .map_err(|error| error.to_string())?;
        match workload::run(&store, seed, 25, &|note| diary.lock().unwrap().push(note)) {
            // It is dead.
            Err(error) if [ErrorKind::Unavailable, ErrorKind::Poisoned].contains(error.kind()) => {}
            outcome => outcome.map_err(|error| error.to_string())?,
        }
        drop(store);
        let loss = if dice.chance(50) {
            Loss::Power
        } else {
            Loss::Process
        };
        engine = Arc::new(match loss {
            Loss::Power => engine.crash(dice.below(engine.unsynced() + 1)),
            Loss::Process => engine.reopen(),
        });
        let mut diary = diary.lock().unwrap();
        // Looked at through the bug if it is one of reading.
        let bug = if READING.contains(&bug) {
            bug
        } else {
            Bug::None
        };
        let planted = Planted::new(&engine, bug, usize::MAX, Dice::of(seed, 19 + life));
        let checked = Store::options()
            .policy(Policy::Manual)
            .open_engine(Arc::new(planted));
        let there = check::whole(
            &checked.map_err(|error| error.to_string())?,
            seed,
            &diary,
            loss,
        )?;
        // What is lost is forgotten: the same acts are done again.
        diary.retain(|note| note.act <= there[note.writer as usize]);
    }
    Ok(())
}

#[test]
fn a_sound_engine_is_found_sound() {
    for seed in 1..6 {
        lives(Bug::None, seed).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
    }
}

#[test]
fn each_planted_bug_is_found() {
    for bug in BUGS {
        let is_found = |seed| {
            catch_unwind(AssertUnwindSafe(|| lives(bug, seed))).map_or(true, |lived| lived.is_err())
        };
        let found = (1..120).find(|seed| is_found(*seed));
        println!("{bug:?} is found by seed {found:?}");
        let seed = found.unwrap_or_else(|| panic!("{bug:?} is not found"));
        // It is the bug that was found.
        lives(Bug::None, seed)
            .unwrap_or_else(|wrong| panic!("seed {seed} of {bug:?} without it: {wrong}"));
    }
}
