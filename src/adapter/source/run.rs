//! How the sources of an import are done: in which order, by how many threads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::BLOCK_BYTES;
use super::import::{Import, Imported};
use super::laying::{Failed, InFlight, Noted};
use super::ledger::Standing;
use super::plan::Plan;
use crate::error::{Error, Result};
use crate::grid::Window;
use crate::ledger::{Begun, JobState};
use crate::store::lock;

/// How sources of one grid are written: all of them in their order by one thread, up to the first
/// that fails, unless told otherwise.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Run<'a> {
    plan: Option<&'a Plan>,
    threads: usize,
    keep_going: bool,
    standing: Option<&'a Standing>,
    commit_bytes: u64,
}

/// What a [`Run`] came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Written {
    /// What was written.
    pub done: Imported,
    /// The sources that could not be read to their end, by their numbers from 0, each with the
    /// first reason. Empty unless the run was to [keep going](Run::keep_going).
    pub failed: BTreeMap<usize, Error>,
}

impl Default for Run<'_> {
    fn default() -> Self {
        Self {
            plan: None,
            threads: 1,
            keep_going: false,
            standing: None,
            commit_bytes: BLOCK_BYTES as u64,
        }
    }
}

impl<'a> Run<'a> {
    /// By the jobs of a plan of these sources, in their order, `threads` at once, stage after
    /// stage. What is then in the grid depends neither on the jobs nor on the threads.
    pub fn jobs(self, plan: &'a Plan, threads: usize) -> Self {
        Self {
            plan: Some(plan),
            threads,
            ..self
        }
    }

    /// So many jobs at once, where a [ledger](Self::ledger) has the jobs.
    pub fn threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    /// Goes on with the others where a source cannot be read. What it gave before that may be in
    /// the grid, and stays.
    pub fn keep_going(self) -> Self {
        Self {
            keep_going: true,
            ..self
        }
    }

    /// Commits when cells of so many bytes wait, in each job; [`BLOCK_BYTES`] unless told. An
    /// import that is cut short loses what waits.
    pub fn commit_bytes(self, commit_bytes: u64) -> Self {
        Self {
            commit_bytes,
            ..self
        }
    }

    /// Puts what is [left](Standing::left) by the grid's [ledger](super::Ledger), and writes in
    /// each commit how far it is. A source that is not what it was at the look is a failure. Where
    /// the standing [continues](Standing::continues) the jobs are those of the last import, else
    /// the plan is one of what is left.
    pub fn ledger(self, standing: &'a Standing) -> Self {
        Self {
            standing: Some(standing),
            ..self
        }
    }

    /// Puts the sources into their grid; what [`write`](fn@super::write) says of durability holds.
    /// `progress` is told how many cells were written.
    ///
    /// # Errors
    ///
    /// Those of [`write`](fn@super::write). The jobs that are under way are finished, and no other
    /// is begun. And [`Invalid`](crate::ErrorKind::Invalid) for a plan or a standing of other
    /// sources, before anything is written. With a ledger also
    /// [`Conflict`](crate::ErrorKind::Conflict) where another import with one begins meanwhile.
    pub fn write(self, imports: &mut [Import], progress: &(dyn Fn(u64) + Sync)) -> Result<Written> {
        let named = self.plan.iter().flat_map(|plan| &plan.jobs);
        if named
            .flat_map(|job| &job.sources)
            .any(|source| *source >= imports.len())
        {
            return Err(Error::invalid(format!(
                "the plan has more sources than the {} that are to be written; make a plan of these",
                imports.len()
            )));
        }
        let (begun, tasks) = match self.standing {
            None => (None, self.tasks(imports.len())),
            Some(standing) => {
                let (begun, jobs) = standing.begin(imports, self.plan)?;
                let tasks = (0..)
                    .zip(jobs)
                    .map(|(number, job)| RunPart::noted(number, job, imports.len()));
                (
                    begun,
                    tasks.filter(|task| !task.sources.is_empty()).collect(),
                )
            }
        };
        let names: Vec<String> = imports
            .iter()
            .map(|import| import.footprint().name.clone())
            .collect();
        let imports: Vec<Mutex<&mut Import>> = imports.iter_mut().map(Mutex::new).collect();
        let failed = Mutex::new(BTreeMap::new());
        let work = RunState {
            imports: &imports,
            begun: begun.as_ref().zip(self.standing),
            progress,
            failed: &failed,
        };
        let mut done = Imported::default();
        for stage in tasks.chunk_by(|a, b| a.stage == b.stage) {
            done += self.stage(stage, &work)?;
        }
        let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(begun) = begun {
            let names: Vec<String> = failed.keys().map(|number| names[*number].clone()).collect();
            begun.conclude(&names)?;
        }
        Ok(Written { done, failed })
    }

    /// What is to be done without a ledger.
    fn tasks(&self, sources: usize) -> Vec<RunPart> {
        let Some(plan) = self.plan else {
            return vec![RunPart {
                stage: 0,
                sources: (0..sources).collect(),
                window: None,
                noted: None,
            }];
        };
        let task = |job: &super::Job| RunPart {
            stage: job.stage,
            sources: job.sources.clone(),
            window: Some(job.window),
            noted: None,
        };
        plan.jobs.iter().map(task).collect()
    }

    /// Does the tasks of a stage.
    fn stage(&self, tasks: &[RunPart], work: &RunState<'_, '_>) -> Result<Imported> {
        let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
        let hand = || -> Result<Imported> {
            let mut done = Imported::default();
            while !stopped.load(Ordering::Relaxed) {
                let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) else {
                    break;
                };
                let laid = self.lay(task, work);
                done += laid.inspect_err(|_| stopped.store(true, Ordering::Relaxed))?;
            }
            Ok(done)
        };
        if tasks.len() == 1 {
            return hand();
        }
        let ends: Vec<Result<Imported>> = std::thread::scope(|scope| {
            let hands: Vec<_> = (0..self.threads.clamp(1, tasks.len().max(1)))
                .map(|_| scope.spawn(hand))
                .collect();
            let end = |hand: std::thread::ScopedJoinHandle<'_, Result<Imported>>| {
                hand.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            hands.into_iter().map(end).collect()
        });
        let mut done = Imported::default();
        for end in ends {
            done += end?;
        }
        Ok(done)
    }

    /// Lays the sources of a task.
    fn lay(&self, task: &RunPart, work: &RunState<'_, '_>) -> Result<Imported> {
        let noted = work.begun.zip(task.noted.as_ref());
        let noted = noted.map(|((begun, standing), (number, state))| Noted {
            begun,
            standing,
            number: *number,
            state: state.clone(),
        });
        let mut laying = InFlight::new(work.imports, noted, self.commit_bytes);
        for source in task.sources.iter().copied() {
            let laid = laying.source(source, task.window.as_ref(), &mut |cells| {
                (work.progress)(cells);
            });
            match laid {
                Ok(()) => {}
                Err(Failed::Source(error)) if self.keep_going => {
                    laying.leave_out(source);
                    lock(work.failed).entry(source).or_insert(error);
                }
                Err(Failed::Source(error) | Failed::Store(error)) => return Err(error),
            }
        }
        laying.finish()
    }
}

/// A part of a run that one thread does: some sources, or what of them is in a box.
struct RunPart {
    stage: usize,
    sources: Vec<usize>,
    window: Option<Window>,
    /// The number in the ledger, and how far it is.
    noted: Option<(u32, JobState)>,
}

impl RunPart {
    /// What is left of a job of the ledger, of an import of so many sources.
    fn noted(number: u32, job: JobState, sources: usize) -> Self {
        Self {
            stage: usize::try_from(job.stage).unwrap_or(usize::MAX),
            sources: (0..sources)
                .filter(|source| !job.done.has(*source))
                .collect(),
            window: job.window,
            noted: Some((number, job)),
        }
    }
}

/// What all tasks share.
struct RunState<'a, 'b> {
    imports: &'a [Mutex<&'b mut Import>],
    begun: Option<(&'a Begun, &'a Standing)>,
    progress: &'a (dyn Fn(u64) + Sync),
    failed: &'a Mutex<BTreeMap<usize, Error>>,
}
