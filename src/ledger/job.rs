//! How far a job of an import is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::grid::{Structure, Window};
use crate::key::{GridId, meta};
use crate::store::{RecordKind, WindowRecord, encode_record};

/// The commits of a job whose numbers are kept. Nobody can tell those of a longer one from others,
/// so that it is done anew if it does not end.
const COMMITS_MAX: usize = 1 << 16;

/// Some of the sources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sources(Vec<u8>);

impl Sources {
    /// Those of so many for which something is so.
    pub(crate) fn which(count: usize, is_in: impl Fn(usize) -> bool) -> Self {
        let mut of = Self(vec![0; count.div_ceil(8)]);
        (0..count)
            .filter(|source| is_in(*source))
            .for_each(|source| of.add(source));
        of
    }

    pub(crate) fn has(&self, source: usize) -> bool {
        self.0
            .get(source / 8)
            .is_some_and(|byte| byte >> (source % 8) & 1 == 1)
    }

    pub(crate) fn remove(&mut self, source: usize) {
        if let Some(byte) = self.0.get_mut(source / 8) {
            *byte &= !(1 << (source % 8));
        }
    }

    pub(crate) fn add(&mut self, source: usize) {
        if let Some(byte) = self.0.get_mut(source / 8) {
            *byte |= 1 << (source % 8);
        }
    }
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JobState {
    /// What must be done before: all jobs of lower stages.
    pub(crate) stage: u32,
    /// The box whose cells are its own; all of the grid if there is none.
    pub(crate) window: Option<Window>,
    /// The sources that it has nothing to do for any more, those that are none of its own among
    /// them.
    pub(crate) done: Sources,
    /// The source that it is at, and how many of its blocks are in the grid.
    pub(crate) partial: Option<(usize, usize)>,
    /// The numbers of its commits, rising; `None` if there were too many.
    pub(crate) commits: Option<Vec<u64>>,
}

impl JobState {
    /// A job that has nothing to do for some sources, and has not begun.
    pub(crate) fn new(stage: u32, window: Option<Window>, done: Sources) -> Self {
        Self {
            stage,
            window,
            done,
            partial: None,
            commits: Some(Vec::new()),
        }
    }

    /// Notes a commit.
    pub(crate) fn committed(&mut self, number: u64) {
        let commits = self.commits.take();
        self.commits = commits.filter(|commits| commits.len() < COMMITS_MAX);
        self.commits
            .iter_mut()
            .for_each(|commits| commits.push(number));
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct JobRecord {
    stage: u32,
    window: Option<WindowRecord>,
    done: Sources,
    partial: Option<(u32, u32)>,
    /// Each less the one before.
    commits: Option<Vec<u64>>,
}

impl JobRecord {
    /// The record of a job, with a commit that is under way.
    pub(super) fn new(state: &JobState, commit: Option<u64>) -> Self {
        let mut state = state.clone();
        commit.iter().for_each(|commit| state.committed(*commit));
        let mut last = 0;
        let less = |number: u64| {
            let less = number.saturating_sub(last);
            last = number;
            less
        };
        let partial = state.partial.and_then(|(source, blocks)| {
            // What does not go into the record is put again.
            Some((u32::try_from(source).ok()?, u32::try_from(blocks).ok()?))
        });
        Self {
            stage: state.stage,
            window: state.window.as_ref().map(WindowRecord::new),
            done: state.done,
            partial,
            commits: state
                .commits
                .map(|commits| commits.into_iter().map(less).collect()),
        }
    }

    /// The state that it tells of, in an import of so many sources.
    pub(super) fn state(self, structure: &Structure, sources: usize) -> Result<JobState> {
        let wrong = |what: &str| Error::corrupt(format!("a job {what}"));
        if self.done.0.len() != sources.div_ceil(8) {
            return Err(wrong("is of another number of sources"));
        }
        let at = |number: u32| usize::try_from(number).map_err(|_| wrong("is too long"));
        let partial = match self.partial {
            None => None,
            Some((source, blocks)) => Some((at(source)?, at(blocks)?)),
        };
        if partial.is_some_and(|(source, _)| source >= sources) {
            return Err(wrong("is at a source that there is not"));
        }
        let mut last = 0_u64;
        let number = |less: u64| -> Result<u64> {
            let beyond = || wrong("has commits beyond all numbers");
            last = last.checked_add(less).ok_or_else(beyond)?;
            Ok(last)
        };
        let commits = self.commits.map(|commits| {
            commits
                .into_iter()
                .map(number)
                .collect::<Result<Vec<u64>>>()
        });
        Ok(JobState {
            stage: self.stage,
            window: self
                .window
                .map(|window| window.window(structure))
                .transpose()?,
            done: self.done,
            partial,
            commits: commits.transpose()?,
        })
    }
}

/// What a commit of an import leaves behind in its ledger.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    grid: GridId,
    head: Arc<[u8]>,
    job: u32,
    state: JobState,
}

impl Progress {
    pub(super) fn new(grid: GridId, (head, job): (Arc<[u8]>, u32), state: JobState) -> Self {
        Self {
            grid,
            head,
            job,
            state,
        }
    }

    /// The record that must be as it is, and what it is.
    pub(crate) fn head(&self) -> (Vec<u8>, Vec<u8>) {
        (meta::ledger(self.grid), self.head.to_vec())
    }

    /// The record to be written in the commit of a number.
    pub(crate) fn record(&self, commit: u64) -> Result<(Vec<u8>, Vec<u8>)> {
        let record = JobRecord::new(&self.state, Some(commit));
        Ok((
            meta::ledger_job(self.grid, self.job),
            encode_record(RecordKind::LedgerJob, &record)?,
        ))
    }
}
