//! All changes of files below a directory, in their order, and what of them the medium holds when
//! power is lost.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::dice::Dice;
use crate::shim::Lie;
use crate::workload::Note;

#[derive(Clone, Debug)]
pub enum Change {
    Make {
        inode: u64,
        name: PathBuf,
    },
    Write {
        inode: u64,
        at: usize,
        bytes: Vec<u8>,
    },
    Cut {
        inode: u64,
        length: usize,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove {
        name: PathBuf,
    },
}

#[derive(Clone, Debug)]
enum Event {
    Change(Change),
    /// Changes of a file that were made before are on the medium once this ends.
    SyncBegins(u64, u64),
    SyncEnds(u64),
    NamesSynced,
    Note(Note),
}

/// A recording that threads share.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    events: Arc<Mutex<Vec<Event>>>,
    lie: Lie,
}

impl Trace {
    pub fn new(lie: Lie) -> Self {
        Self {
            events: Arc::default(),
            lie,
        }
    }

    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something and records what it changed, so that the order is the right one.
    pub fn record<T>(&self, does: impl FnOnce() -> (T, Option<Change>)) -> T {
        let mut events = self.events();
        let (done, change) = does();
        events.extend(change.map(Event::Change));
        done
    }

    pub fn note(&self, note: Note) {
        self.events().push(Event::Note(note));
    }

    pub fn names_synced(&self) -> i32 {
        if self.lie != Lie::UnsyncedNames {
            self.events().push(Event::NamesSynced);
        }
        0
    }

    pub fn synced(&self, inode: u64, path: &Path) -> i32 {
        if matches!(self.lie, Lie::UnsyncedFiles(ending) if path.to_string_lossy().ends_with(ending))
        {
            return 0;
        }
        let token = {
            let mut events = self.events();
            let token = u64::try_from(events.len()).unwrap();
            events.push(Event::SyncBegins(inode, token));
            token
        };
        // It takes a while, and others go on.
        std::thread::sleep(Duration::from_micros(50 + token * 7919 % 17 * 20));
        self.events().push(Event::SyncEnds(token));
        0
    }

    pub fn len(&self) -> usize {
        self.events().len()
    }

    /// What the medium may hold of the first so many events, and the diary up to there. `how`
    /// chooses what became of that which was not synced.
    pub fn cut(
        &self,
        events: usize,
        how: Loss,
        dice: &mut Dice,
    ) -> (BTreeMap<PathBuf, Vec<u8>>, Vec<Note>) {
        let mut medium = Medium::default();
        for (at, event) in self.events().iter().take(events).enumerate() {
            medium.take(at, event);
        }
        let files = medium.left(how, events, dice);
        (files, medium.diary)
    }
}

/// What became of changes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All are lost, names too.
    All,
    /// None are.
    None,
    /// Up to some moment they are there.
    Since,
    /// Of each file up to some change, and that one in part.
    Torn,
    /// Some sectors are there and some are not; the length is the last one.
    Sectors,
    /// The same with pages.
    Pages,
    /// Lengths are there, and zeros.
    Lengths,
}

impl Loss {
    pub const ALL: [Loss; 7] = [
        Loss::All,
        Loss::None,
        Loss::Since,
        Loss::Torn,
        Loss::Sectors,
        Loss::Pages,
        Loss::Lengths,
    ];
}

#[derive(Default)]
struct Medium {
    files: HashMap<u64, FileState>,
    /// The file that has an inode's number now.
    by_inode: HashMap<u64, u64>,
    names: BTreeMap<PathBuf, u64>,
    names_pending: Vec<(usize, Change, u64)>,
    tokens: HashMap<u64, (u64, usize)>,
    next: u64,
    diary: Vec<Note>,
}

#[derive(Default)]
struct FileState {
    durable: Vec<u8>,
    pending: Vec<(usize, Change)>,
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write {
            at, bytes: written, ..
        } => {
            let end = at + written.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*at..end].copy_from_slice(written);
        }
        Change::Cut { length, .. } => bytes.resize(*length, 0),
        _ => {}
    }
}

fn apply_name(names: &mut BTreeMap<PathBuf, u64>, change: &Change, file: u64) {
    match change {
        Change::Make { name, .. } => drop(names.insert(name.clone(), file)),
        Change::Rename { from, to } => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        Change::Remove { name } => drop(names.remove(name)),
        _ => {}
    }
}

impl Medium {
    fn take(&mut self, at: usize, event: &Event) {
        match event {
            Event::Change(change @ Change::Make { inode, .. }) => {
                self.next += 1;
                self.by_inode.insert(*inode, self.next);
                self.files.insert(self.next, FileState::default());
                self.names_pending.push((at, change.clone(), self.next));
            }
            Event::Change(change @ (Change::Write { inode, .. } | Change::Cut { inode, .. })) => {
                if let Some(file) = self
                    .by_inode
                    .get(inode)
                    .and_then(|file| self.files.get_mut(file))
                {
                    file.pending.push((at, change.clone()));
                }
            }
            Event::Change(change) => self.names_pending.push((at, change.clone(), 0)),
            Event::SyncBegins(inode, token) => {
                if let Some(file) = self.by_inode.get(inode) {
                    self.tokens.insert(*token, (*file, at));
                }
            }
            Event::SyncEnds(token) => {
                let synced = self.tokens.remove(token);
                if let Some((file, began)) =
                    synced.and_then(|(file, began)| Some((self.files.get_mut(&file)?, began)))
                {
                    let (now, later): (Vec<_>, Vec<_>) =
                        file.pending.drain(..).partition(|(at, _)| *at < began);
                    now.iter()
                        .for_each(|(_, change)| apply(&mut file.durable, change));
                    file.pending = later;
                }
            }
            Event::NamesSynced => {
                for (_, change, file) in self.names_pending.drain(..) {
                    apply_name(&mut self.names, &change, file);
                }
            }
            Event::Note(note) => self.diary.push(*note),
        }
    }

    fn left(&self, how: Loss, events: usize, dice: &mut Dice) -> BTreeMap<PathBuf, Vec<u8>> {
        let until = match how {
            Loss::All => 0,
            Loss::Since => dice.below(events + 1),
            _ if dice.chance(50) => events,
            _ => dice.below(events + 1),
        };
        let mut names = self.names.clone();
        for (_, change, file) in self.names_pending.iter().take_while(|(at, ..)| *at < until) {
            apply_name(&mut names, change, *file);
        }
        let of = |(name, file): (PathBuf, u64)| {
            Some((name, self.files.get(&file)?.left(how, until, dice)))
        };
        names.into_iter().filter_map(of).collect()
    }
}

impl FileState {
    fn left(&self, how: Loss, until: usize, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let mut whole = self.durable.clone();
        self.pending
            .iter()
            .for_each(|(_, change)| apply(&mut whole, change));
        match how {
            Loss::All => bytes,
            Loss::None => whole,
            Loss::Since => {
                self.pending
                    .iter()
                    .filter(|(at, _)| *at < until)
                    .for_each(|(_, change)| apply(&mut bytes, change));
                bytes
            }
            Loss::Torn => {
                let kept = dice.below(self.pending.len() + 1);
                self.pending[..kept]
                    .iter()
                    .for_each(|(_, change)| apply(&mut bytes, change));
                if let Some((
                    _,
                    Change::Write {
                        inode,
                        at,
                        bytes: written,
                    },
                )) = self.pending.get(kept)
                {
                    let part = written[..dice.below(written.len() + 1)].to_vec();
                    apply(
                        &mut bytes,
                        &Change::Write {
                            inode: *inode,
                            at: *at,
                            bytes: part,
                        },
                    );
                }
                bytes
            }
            Loss::Sectors | Loss::Pages => {
                let unit = if how == Loss::Sectors { 512 } else { 4096 };
                for start in (0..whole.len())
                    .step_by(unit)
                    .filter(|_| !self.pending.is_empty())
                {
                    if dice.chance(50) {
                        let end = (start + unit).min(whole.len());
                        (start..end).for_each(|at| whole[at] = bytes.get(at).copied().unwrap_or(0));
                    }
                }
                whole
            }
            Loss::Lengths => {
                bytes.resize(whole.len().max(bytes.len()), 0);
                bytes
            }
        }
    }
}
