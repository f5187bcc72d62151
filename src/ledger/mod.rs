//! The ledger of imports: what was asked of the last import into a grid, and how far each of its
//! jobs is.
//!
//! There is one ledger a grid, of the import that began last. It says which sources there were, in
//! the order in which they lie over each other, each with what tells that it is not what it was;
//! into which jobs they were cut; and of each job which sources are finished, and how many blocks
//! of the next one. Each commit of an import writes the record of its job, so that what it says and
//! what is in the grid are of one moment. What is left of an import is found by the rule in
//! `standing.rs`. Whether anybody else changed the cells meanwhile is told by the change feed: the
//! ledger has a place in it, and the numbers of its own commits since.
//!
//! An import that begins replaces the records of the one before, in one commit, and every commit of
//! an import expects the head record as it began with: of two imports into a grid the first ends
//! with a conflict. Records come to some tens of bytes a source, one bit a source and job, and one
//! or two bytes a commit; they go with the grid.

mod job;
mod standing;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(crate) use job::{JobState, Progress, Sources};
pub(crate) use standing::{KnownSource, Last, Stand, stand};

use crate::error::{Error, ErrorKind, Result};
use crate::feed::{self, Token};
use crate::grid::Window;
use crate::key::{GridId, meta};
use crate::kv::{Batch, Durability, Snapshot, Space, for_each_page};
use crate::store::{Grid, RecordKind, Store, WindowRecord, decode_record, encode_record};
use job::JobRecord;

/// Sources that a record has, at most: so many that one of which a bit has flipped is mended.
const SOURCES_A_PAGE: usize = 128;
/// Sources that failed whose names are kept.
const NAMES_KEPT: usize = 32;
/// The bytes that a name of them may have.
const NAME_LEN_MAX: usize = 4096;
/// Records that are read at once.
const PAGE: usize = 64;

/// What was asked of an import.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct HeadRecord {
    /// Unique to the write of this record.
    claim: u64,
    /// The digest of all that was asked besides the sources.
    asked: u128,
    /// A place in the change feed before all commits of the import.
    token: Token,
    sources: u32,
    jobs: u32,
    /// Names of sources that failed, and how many there are.
    failed: Vec<String>,
    failures: u64,
    command: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct SourceRecord {
    name: u128,
    print: Option<u128>,
    window: Option<WindowRecord>,
}

/// The ledger of a grid as it was found.
#[derive(Debug)]
pub(crate) struct Recorded {
    head: HeadRecord,
    pub(crate) sources: Vec<KnownSource>,
    pub(crate) jobs: Vec<JobState>,
}

/// What an import begins with.
#[derive(Debug)]
pub(crate) struct ImportStart<'a> {
    pub(crate) asked: u128,
    pub(crate) token: &'a Token,
    pub(crate) sources: &'a [KnownSource],
    pub(crate) jobs: &'a [JobState],
    pub(crate) failed: &'a [String],
    pub(crate) command: Option<&'a str>,
}

/// The last import into a grid, so far as its ledger tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastImport {
    /// How many sources it has, but for those that were left out at once.
    pub sources: u64,
    /// How many of them are in the grid to their end.
    pub finished: u64,
    /// How many sources could not be imported.
    pub failures: u64,
    /// The names of the first of these.
    pub failed: Vec<String>,
    /// The command that it was, if that is known: run again it does what is left.
    pub command: Option<String>,
}

impl LastImport {
    /// Whether nothing of it is left to be done.
    pub fn is_complete(&self) -> bool {
        self.failures == 0 && self.finished == self.sources
    }
}

impl Grid {
    /// The last import into the grid that kept a [ledger](crate::adapter::source::Ledger), and how
    /// far it is; `None` if there was none. What others changed since is not looked at.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](ErrorKind::Corrupt) if the ledger is damaged: the next import does without it,
    /// and puts another in its place.
    pub fn last_import(&self) -> Result<Option<LastImport>> {
        let known = read(self, self.snapshot()?.as_ref())?;
        Ok(known.map(|known| LastImport {
            sources: known.sources.len() as u64,
            finished: (0..known.sources.len())
                .filter(|source| known.is_finished(*source))
                .count() as u64,
            failures: known.head.failures,
            failed: known.head.failed,
            command: known.head.command,
        }))
    }
}

impl Recorded {
    /// Whether the same was asked, besides the sources.
    pub(crate) fn is_of(&self, asked: u128) -> bool {
        self.head.asked == asked
    }

    /// How many sources failed.
    pub(crate) fn failures(&self) -> u64 {
        self.head.failures
    }

    /// Whether all jobs are done with a source.
    pub(crate) fn is_finished(&self, source: usize) -> bool {
        self.jobs.iter().all(|job| job.done.has(source))
    }

    /// The boxes that others have changed since the import began; `None` if nobody can tell.
    pub(crate) fn changed_by_others(
        &self,
        grid: &Grid,
        snapshot: &dyn Snapshot,
    ) -> Result<Option<Vec<Window>>> {
        let mut own: BTreeSet<u64> = BTreeSet::new();
        for job in &self.jobs {
            let Some(commits) = &job.commits else {
                return Ok(None);
            };
            own.extend(commits);
        }
        let put = feed::put_since(grid, snapshot, &self.head.token)?;
        Ok(put.map(|put| {
            let others = put.into_iter().filter(|(number, _)| !own.contains(number));
            let boxes = others.flat_map(|(_, boxes)| boxes).collect();
            feed::few(grid.structure(), boxes)
        }))
    }
}

/// The head record of a grid's ledger as it stands.
pub(crate) fn head(grid: GridId, snapshot: &dyn Snapshot) -> Result<Option<Vec<u8>>> {
    let mut found = None;
    snapshot.get_many(Space::Meta, &[meta::ledger(grid)], &mut |_, bytes| {
        found = bytes.map(<[u8]>::to_vec);
        Ok(())
    })?;
    Ok(found)
}

/// The ledger of a grid, if there is one.
pub(crate) fn read(grid: &Grid, snapshot: &dyn Snapshot) -> Result<Option<Recorded>> {
    let blame = |error: Error| grid.blame(error.within("the ledger of its last import is damaged"));
    let Some(bytes) = head(grid.id(), snapshot)? else {
        return Ok(None);
    };
    let head: HeadRecord = decode_record(RecordKind::Ledger, &bytes).map_err(blame)?;
    let (mut sources, mut jobs) = (Vec::new(), Vec::new());
    let [of_sources, of_jobs] = meta::ledger_parts(grid.id());
    let (mut page, mut number) = (0, 0);
    for_each_page(snapshot, Space::Meta, of_sources, PAGE, |entries| {
        for (key, value) in entries {
            let of: Vec<SourceRecord> =
                decode_record(RecordKind::LedgerSources, &value).map_err(blame)?;
            if key != meta::ledger_sources(grid.id(), page) {
                return Err(blame(Error::corrupt("a page of sources is missing")));
            }
            page += 1;
            for record in of {
                sources.push(record.listed(grid).map_err(blame)?);
            }
        }
        Ok(())
    })?;
    for_each_page(snapshot, Space::Meta, of_jobs, PAGE, |entries| {
        for (key, value) in entries {
            let record: JobRecord = decode_record(RecordKind::LedgerJob, &value).map_err(blame)?;
            if key != meta::ledger_job(grid.id(), number) {
                return Err(blame(Error::corrupt("the record of a job is missing")));
            }
            number += 1;
            jobs.push(
                record
                    .state(grid.structure(), sources.len())
                    .map_err(blame)?,
            );
        }
        Ok(())
    })?;
    if sources.len() as u64 != u64::from(head.sources) || number != head.jobs {
        return Err(blame(Error::corrupt(format!(
            "it has {} of {} sources and {number} of {} jobs",
            sources.len(),
            head.sources,
            head.jobs
        ))));
    }
    Ok(Some(Recorded {
        head,
        sources,
        jobs,
    }))
}

/// What is wrong with the ledger of a grid, if anything.
pub(crate) fn wrong_record(grid: &Grid, snapshot: &dyn Snapshot) -> Result<Option<String>> {
    match read(grid, snapshot) {
        Ok(_) => Ok(None),
        Err(error) if *error.kind() == ErrorKind::Corrupt => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}

/// Adds to a batch that a grid has no ledger: whatever is imported next is put.
pub(crate) fn forget(grid: GridId, batch: &mut Batch) {
    batch.delete(Space::Meta, meta::ledger(grid));
    for part in meta::ledger_parts(grid) {
        batch.delete_range(Space::Meta, part);
    }
}

impl SourceRecord {
    fn new(listed: &KnownSource) -> Self {
        Self {
            name: listed.name,
            print: listed.print,
            window: listed.window.as_ref().map(WindowRecord::new),
        }
    }

    fn listed(&self, grid: &Grid) -> Result<KnownSource> {
        let window = self.window.as_ref();
        Ok(KnownSource {
            name: self.name,
            print: self.print,
            window: window
                .map(|window| window.window(grid.structure()))
                .transpose()?,
        })
    }
}

/// An import that is in the ledger, and may commit.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    grid: Grid,
    head: HeadRecord,
    bytes: Arc<[u8]>,
}

impl Begun {
    /// Puts an import in place of the one whose head record was found.
    ///
    /// # Errors
    ///
    /// [`Conflict`](ErrorKind::Conflict) if another one was put there meanwhile.
    pub(crate) fn new(grid: &Grid, found: Option<&[u8]>, entry: &ImportStart<'_>) -> Result<Self> {
        let count = |len: usize, what: &str| {
            u32::try_from(len).map_err(|_| {
                grid.blame(Error::invalid(format!(
                    "an import of {len} {what} is too large for a ledger; divide it"
                )))
            })
        };
        let (sources, jobs) = (
            count(entry.sources.len(), "sources")?,
            count(entry.jobs.len(), "jobs")?,
        );
        let head = HeadRecord {
            claim: 0,
            asked: entry.asked,
            token: entry.token.clone(),
            sources,
            jobs,
            failed: named(entry.failed),
            failures: entry.failed.len() as u64,
            command: entry.command.map(str::to_owned),
        };
        let parts = |snapshot: &dyn Snapshot, batch: &mut Batch| {
            for part in meta::ledger_parts(grid.id()) {
                for_each_page(snapshot, Space::Meta, part, PAGE, |entries| {
                    let keys = entries.into_iter().map(|(key, _)| key);
                    keys.for_each(|key| batch.delete(Space::Meta, key));
                    Ok(())
                })?;
            }
            for (number, page) in (0..).zip(entry.sources.chunks(SOURCES_A_PAGE)) {
                let page: Vec<SourceRecord> = page.iter().map(SourceRecord::new).collect();
                batch.put(
                    Space::Meta,
                    meta::ledger_sources(grid.id(), number),
                    encode_record(RecordKind::LedgerSources, &page)?,
                );
            }
            for (number, job) in (0..).zip(entry.jobs) {
                let record = encode_record(RecordKind::LedgerJob, &JobRecord::new(job, None))?;
                batch.put(Space::Meta, meta::ledger_job(grid.id(), number), record);
            }
            Ok(())
        };
        replace(grid, found, head, parts)
    }

    /// What a commit of one of its jobs leaves behind.
    pub(crate) fn progress(&self, job: u32, state: &JobState) -> Progress {
        Progress::new(
            self.grid.id(),
            (Arc::clone(&self.bytes), job),
            state.clone(),
        )
    }

    /// Adds sources that failed, at the end of the import.
    pub(crate) fn conclude(self, failed: &[String]) -> Result<()> {
        if failed.is_empty() {
            return Ok(());
        }
        let mut head = self.head;
        head.failures += failed.len() as u64;
        head.failed.extend(named(failed));
        head.failed.truncate(NAMES_KEPT);
        replace(&self.grid, Some(&self.bytes), head, |_, _| Ok(())).map(drop)
    }
}

/// Notes which sources failed in an import that puts nothing, beside what the last one has put.
pub(crate) fn note_failures(grid: &Grid, found: &[u8], failed: &[String]) -> Result<()> {
    let head: HeadRecord = decode_record(RecordKind::Ledger, found).map_err(|e| grid.blame(e))?;
    let head = HeadRecord {
        failed: named(failed),
        failures: failed.len() as u64,
        ..head
    };
    replace(grid, Some(found), head, |_, _| Ok(())).map(drop)
}

/// The names that are kept.
fn named(names: &[String]) -> Vec<String> {
    let short = names.iter().filter(|name| name.len() <= NAME_LEN_MAX);
    short.take(NAMES_KEPT).cloned().collect()
}

/// Puts another head in place of the one that was found, with all that `more` adds.
fn replace(
    grid: &Grid,
    found: Option<&[u8]>,
    mut head: HeadRecord,
    more: impl Fn(&dyn Snapshot, &mut Batch) -> Result<()>,
) -> Result<Begun> {
    grid.writable()?;
    let number = grid.store().reserve_sequence();
    head.claim = number.get();
    let record = encode_record(RecordKind::Ledger, &head)?;
    loop {
        let snapshot = grid.present()?;
        if self::head(grid.id(), snapshot.as_ref())?.as_deref() != found {
            return Err(grid.blame(Error::new(
                ErrorKind::Conflict,
                "another import into it began meanwhile; import again when that has ended",
            )));
        }
        let mut batch = Batch::at(snapshot.as_ref());
        grid.expect_schema(snapshot.as_ref(), &mut batch)?;
        batch.expect_key(Space::Meta, meta::ledger(grid.id()));
        more(snapshot.as_ref(), &mut batch)?;
        batch.put(Space::Meta, meta::ledger(grid.id()), record.clone());
        Store::stamp(&mut batch, &number);
        // What comes behind it is lost with it.
        match grid.store().commit(batch, Durability::Buffered) {
            Err(error) if *error.kind() == ErrorKind::Conflict => {}
            Err(error) => return Err(error),
            Ok(_) => {
                return Ok(Begun {
                    grid: grid.clone(),
                    head,
                    bytes: record.into(),
                });
            }
        }
    }
}
