//! Scrubbing: every value of a store is read again and again, slowly, so that damage of the medium
//! is found while there are copies.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::report::{Damage, Finding};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{ChunkKey, DirectoryEntry, LayerId};
use crate::kv::{KeyRange, Order, Space};
use crate::store::{Grid, Store, StoreListing, lock};

/// Chunks that are looked at in one snapshot.
const SLICE: usize = 32;
/// So many findings are kept; those that follow are told to `tracing` only.
const FINDINGS_MAX: usize = 1000;
/// Between the end of a pass and the next one, at least.
const REST: Duration = Duration::from_secs(60);

/// A store that is being scrubbed, until this is dropped. See [`Store::scrub`].
#[derive(Debug)]
pub struct Scrub {
    shared: Arc<ScrubShared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct ScrubShared {
    state: Mutex<ScrubState>,
    news: Condvar,
}

/// Behind one lock: a [`Condvar`] is of one.
#[derive(Debug, Default)]
struct ScrubState {
    progress: Scrubbed,
    stopped: bool,
}

/// How far a scrub has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scrubbed {
    /// How often the whole store was read, but for what is damaged. A pass that failed in another
    /// way does not count.
    pub passes: u64,
    /// Chunks read, over all passes.
    pub chunks: u64,
    /// The bytes of their blobs.
    pub bytes: u64,
    /// What is damaged, as found since the last pass that counts began; a thousand at most.
    pub findings: Vec<Finding>,
    /// Why the last slice could not be read at all, until one can.
    pub failure: Option<String>,
}

impl Scrub {
    /// How far it has come.
    pub fn progress(&self) -> Scrubbed {
        lock(&self.shared.state).progress.clone()
    }

    /// Waits until the whole store was read so many times, and tells whether it was before the time
    /// was over.
    pub fn wait(&self, passes: u64, timeout: Duration) -> bool {
        let state = lock(&self.shared.state);
        let is_behind = |state: &mut ScrubState| state.progress.passes < passes;
        let waited = self
            .shared
            .news
            .wait_timeout_while(state, timeout, is_behind);
        waited
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .progress
            .passes
            >= passes
    }
}

impl Drop for Scrub {
    fn drop(&mut self) {
        lock(&self.shared.state).stopped = true;
        self.shared.news.notify_all();
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            tracing::error!("the scrub panicked");
        }
    }
}

impl Store {
    /// Reads all chunks again and again in a thread of its own, and compares their checksums, at
    /// most so many bytes a second. What is damaged is told by [`Scrub::progress`] and as an error
    /// of `tracing`; [`repair`](Self::repair) mends it. It ends when the answer is dropped.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for a rate of zero; [`Unavailable`](ErrorKind::Unavailable)
    /// if there can be no thread.
    pub fn scrub(&self, bytes_per_second: u64) -> Result<Scrub> {
        if bytes_per_second == 0 {
            return Err(Error::invalid("a scrub at no byte a second reads nothing"));
        }
        let (store, shared) = (self.clone(), Arc::new(ScrubShared::default()));
        let work = {
            let shared = Arc::clone(&shared);
            move || while shared.pass(&store, bytes_per_second) && shared.rest(REST) {}
        };
        let thread = thread::Builder::new()
            .name("gridstone-scrub".to_owned())
            .spawn(work);
        let thread = thread.map_err(|error| {
            Error::unavailable("a thread to scrub with cannot be made").because(error)
        })?;
        Ok(Scrub {
            shared,
            thread: Some(thread),
        })
    }
}

impl ScrubShared {
    /// Reads the whole store, as far as it can be read; false if it was stopped.
    fn pass(&self, store: &Store, rate: u64) -> bool {
        let (mut found, mut is_whole) = (Vec::new(), true);
        let grids = store.shown().map(
            |StoreListing {
                 grids, unreadable, ..
             }| {
                let unreadable = unreadable.into_iter();
                found.extend(unreadable.map(|(name, error)| {
                    Finding::new(Damage::Record, Some(name), error.sentence())
                }));
                grids
            },
        );
        self.tell(&found);
        let grids = grids.unwrap_or_else(|error| {
            self.failed(&error);
            is_whole = false;
            Vec::new()
        });
        for grid in grids {
            let mut range = ChunkKey::all(grid.id());
            loop {
                let start = Instant::now();
                let before = found.len();
                let (bytes, next) = match slice(&grid, &range, &mut found) {
                    Ok((chunks, bytes, next)) => {
                        let progress = &mut lock(&self.state).progress;
                        (progress.chunks, progress.bytes) =
                            (progress.chunks + chunks, progress.bytes + bytes);
                        progress.failure = None;
                        (bytes, next)
                    }
                    Err(error) if *error.kind() == ErrorKind::Corrupt => {
                        found.push(Finding::new(
                            Damage::Directory,
                            Some(grid.name()),
                            error.sentence(),
                        ));
                        (0, None)
                    }
                    Err(error) => {
                        self.failed(&error);
                        is_whole = false;
                        (0, None)
                    }
                };
                self.tell(&found[before..]);
                let due = Duration::from_secs_f64(bytes as f64 / rate as f64);
                if !self.rest(due.saturating_sub(start.elapsed())) {
                    return false;
                }
                let Some(next) = next else { break };
                range.start = next;
            }
        }
        if is_whole {
            let progress = &mut lock(&self.state).progress;
            progress.passes += 1;
            found.truncate(FINDINGS_MAX);
            progress.findings = found;
        }
        self.news.notify_all();
        true
    }

    fn tell(&self, found: &[Finding]) {
        let progress = &mut lock(&self.state).progress;
        for finding in found {
            tracing::error!(message = finding.message.as_str(), "the scrub found damage");
            if progress.findings.len() < FINDINGS_MAX && !progress.findings.contains(finding) {
                progress.findings.push(finding.clone());
            }
        }
    }

    fn failed(&self, error: &Error) {
        lock(&self.state).progress.failure = Some(error.sentence());
    }

    /// Waits, and tells whether to go on.
    fn rest(&self, time: Duration) -> bool {
        let waited = self
            .news
            .wait_timeout_while(lock(&self.state), time, |state| !state.stopped);
        !waited.unwrap_or_else(PoisonError::into_inner).0.stopped
    }
}

/// Reads the first chunks of a range: how many, their bytes, and where to go on.
fn slice(
    grid: &Grid,
    range: &KeyRange,
    found: &mut Vec<Finding>,
) -> Result<(u64, u64, Option<Vec<u8>>)> {
    let snapshot = grid.store().current()?;
    let chunks = grid.chunk_reader(snapshot.as_ref());
    let page = snapshot.scan(Space::Directory, range, Order::Ascending, SLICE)?;
    let next = page
        .entries
        .last()
        .filter(|_| page.more)
        .map(|(last, _)| [last.as_slice(), &[0]].concat());
    let (mut read, mut bytes) = (0, 0);
    for (key, entry) in &page.entries {
        let known = ChunkKey::decode(grid.id(), grid.structure(), key)
            .ok()
            .zip(DirectoryEntry::decode(entry).ok());
        let Some(((layer, at), entry)) = known else {
            let message = format!(
                "grid `{}`: an entry of its directory is damaged",
                grid.name()
            );
            found.push(Finding::new(Damage::Directory, Some(grid.name()), message));
            continue;
        };
        // A branch has no chunk of its own.
        if entry == DirectoryEntry::BRANCH {
            continue;
        }
        let space = if layer == LayerId::BASE {
            Space::Base
        } else {
            Space::Aggregate
        };
        let mut checked = None;
        let got = snapshot.get_many(space, std::slice::from_ref(key), &mut |_, blob| {
            if let Some(blob) = blob {
                bytes += blob.len() as u64;
                checked = Some(chunks.check_blob(layer, &at, entry.ticks.as_ref(), blob));
            }
            Ok(())
        });
        read += 1;
        let checked = match got {
            Ok(()) => checked.unwrap_or_else(|| Err(chunks.lost(layer, &at))),
            Err(error) if *error.kind() == ErrorKind::Corrupt => {
                Err(chunks.damaged(layer, &at).because(error))
            }
            failed => failed,
        };
        match checked {
            Err(error) if *error.kind() == ErrorKind::Corrupt => {
                found.push(Finding::unreadable(grid, &error))
            }
            checked => checked?,
        }
    }
    Ok((read, bytes, next))
}
