//! What is left of an import, by the ledger of the last one.
//!
//! The rule: what is then in the grid is what the whole import, done now, would leave there. A
//! source is put if it is not in the grid to its end, or is not what it was. All others are put
//! again only in the boxes where something lies over them, or will, that would not if all were put
//! again, and in their order:
//!
//! * where a source is put that stands before them;
//! * where a source lies that stood behind them, and now stands before them, is not what it was, or
//!   is none of the import any more;
//! * where others have put, cleared or deleted something.
//!
//! Boxes are those around sources. Of sources of other levels, of events, and without a box all is
//! put again. With an overlap of keep nothing that is there is changed, so that only the last
//! counts.

use std::collections::{BTreeMap, HashMap};

use super::Recorded;
use super::job::{JobState, Sources};
use crate::grid::{Structure, Window};

/// A source as the ledger knows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KnownSource {
    /// The digest of its name.
    pub(crate) name: u128,
    /// The digest of what tells that it is not what it was; `None` if nothing does.
    pub(crate) print: Option<u128>,
    /// A box that holds its cells; it may have some anywhere if there is none.
    pub(crate) window: Option<Window>,
}

/// What is left of an import.
#[derive(Debug)]
pub(crate) struct Stand {
    /// Whether it goes on with the jobs of the last one, which was the same.
    pub(crate) continues: bool,
    /// The jobs that it goes on with, else one of all.
    pub(crate) jobs: Vec<JobState>,
    /// The sources that are to be put, rising.
    pub(crate) left: Vec<usize>,
    /// Those of them that the last import has looked at before it began.
    pub(crate) looked_at: Vec<usize>,
    /// Those that are not what they were.
    pub(crate) changed: Vec<usize>,
    /// Those that are put again because others have changed their cells.
    pub(crate) touched: Vec<usize>,
    /// The boxes of a source, by the job and its number, to which that is limited.
    pub(crate) parts: BTreeMap<(usize, usize), Vec<Window>>,
}

/// The last import, so far as it can be gone by.
pub(crate) struct Last<'a> {
    pub(crate) recorded: &'a Recorded,
    /// The boxes that others have changed since.
    pub(crate) others: &'a [Window],
    /// Whether its jobs may be gone on with.
    pub(crate) may_continue: bool,
    /// Whether what is there is refused, so that sources are to be looked at again where it may
    /// have changed.
    pub(crate) refuses: bool,
}

/// The boxes to which a source is limited, at most: one of more is put as a whole.
const PARTS_MAX: usize = 64;

/// A box in which sources are put again.
struct Dirty {
    /// Everywhere if it is not known.
    window: Option<Window>,
    /// The first source that is concerned; all behind it are.
    from: usize,
    /// The job that it is in, if it is not in all.
    job: Option<usize>,
}

/// The rule. `keeps` says that nothing that is there is changed.
pub(crate) fn stand(
    structure: &Structure,
    sources: &[KnownSource],
    last: Option<&Last<'_>>,
    keeps: bool,
) -> Stand {
    let Some(last) = last else {
        let all = Sources::which(sources.len(), |_| false);
        return Stand {
            continues: false,
            jobs: vec![JobState::new(0, None, all)],
            left: (0..sources.len()).collect(),
            looked_at: Vec::new(),
            changed: Vec::new(),
            touched: Vec::new(),
            parts: BTreeMap::new(),
        };
    };
    Compared::new(structure, sources, last, keeps).stand()
}

/// Two imports, source by source.
struct Compared<'a> {
    structure: &'a Structure,
    sources: &'a [KnownSource],
    last: &'a Last<'a>,
    keeps: bool,
    /// The number that each source had in the last import, if it is what it was.
    ranks: Vec<Option<usize>>,
    changed: Vec<usize>,
    /// The sources of the last import that are none of this one.
    gone: Vec<usize>,
    continues: bool,
}

impl<'a> Compared<'a> {
    fn new(
        structure: &'a Structure,
        sources: &'a [KnownSource],
        last: &'a Last<'a>,
        keeps: bool,
    ) -> Self {
        let before = &last.recorded.sources;
        let (old, new) = (places(before), places(sources));
        let (mut ranks, mut changed) = (Vec::new(), Vec::new());
        let mut gone = vec![true; before.len()];
        for (number, source) in sources.iter().enumerate() {
            // Of two of one name nobody can tell which is which.
            let namesake = old.get(&source.name).copied().flatten();
            let namesake = namesake.filter(|_| new.get(&source.name) == Some(&Some(number)));
            let rank = namesake.filter(|rank| source.print.is_some() && *source == before[*rank]);
            // Where nothing tells, it may be what it was.
            let is_told = |rank: usize| source.print.is_some() && before[rank].print.is_some();
            if rank.is_none() && namesake.is_some_and(is_told) {
                changed.push(number);
            }
            rank.iter().for_each(|rank| gone[*rank] = false);
            ranks.push(rank);
        }
        let is_same = ranks.len() == before.len()
            && ranks
                .iter()
                .enumerate()
                .all(|(number, rank)| *rank == Some(number));
        Self {
            structure,
            sources,
            last,
            keeps,
            ranks,
            changed,
            gone: (0..before.len()).filter(|rank| gone[*rank]).collect(),
            // What others have changed may lie outside of all jobs.
            continues: is_same && last.may_continue && last.others.is_empty(),
        }
    }

    fn stand(self) -> Stand {
        let count = self.sources.len();
        let recorded = self.last.recorded;
        let finished = Sources::which(count, |number| {
            self.ranks[number].is_some_and(|rank| recorded.is_finished(rank))
        });
        let whole = [JobState::new(0, None, finished.clone())];
        let jobs: &[JobState] = if self.continues {
            &recorded.jobs
        } else {
            &whole
        };
        let mut dirty = self.dirty();
        let mut parts = BTreeMap::new();
        let mut states: Vec<JobState> = jobs
            .iter()
            .map(|job| {
                let done = Sources::which(count, |number| job.done.has(number));
                JobState::new(job.stage, job.window, done)
            })
            .collect();
        let mut left = Vec::new();
        for number in 0..count {
            let own = self.sources[number].window.as_ref();
            let behind = dirty.len();
            for (at, job) in jobs.iter().enumerate() {
                let is_done = job.done.has(number);
                if is_done && !self.all_meet([job.window.as_ref(), own]) {
                    // It is none of the job's.
                    continue;
                }
                let concerned = |of: &&Dirty| {
                    let in_job = |other: usize| other == at || jobs[other].stage != job.stage;
                    of.from <= number
                        && of.job.is_none_or(in_job)
                        && self.all_meet([job.window.as_ref(), of.window.as_ref(), own])
                };
                let partial = job.partial.filter(|(source, _)| *source == number);
                // What is neither in the grid nor begun is put in any case.
                let asked = if is_done || partial.is_some() {
                    behind
                } else {
                    0
                };
                let boxes: Vec<Option<Window>> = dirty[..asked]
                    .iter()
                    .filter(concerned)
                    .map(|of| of.window)
                    .collect();
                if is_done && boxes.is_empty() {
                    continue;
                }
                states[at].done.remove(number);
                if is_done && let Some(boxes) = self.exact(number, &boxes) {
                    parts.insert((at, number), boxes);
                    continue;
                }
                if !is_done && boxes.is_empty() {
                    states[at].partial = states[at].partial.or(partial);
                }
                if !self.keeps {
                    dirty.push(Dirty {
                        window: own.copied(),
                        from: number + 1,
                        job: Some(at),
                    });
                }
            }
            if states.iter().any(|job| !job.done.has(number)) {
                left.push(number);
            }
        }
        let looked_at = |number: &usize| {
            self.ranks[*number].is_some() && (self.continues || !self.last.refuses)
        };
        let touched = |number: &usize| finished.has(*number) && self.is_met_by_others(*number);
        Stand {
            continues: self.continues,
            jobs: states,
            looked_at: left.iter().copied().filter(looked_at).collect(),
            touched: left.iter().copied().filter(touched).collect(),
            left,
            changed: self.changed,
            parts,
        }
    }

    /// The boxes to which it is enough to limit a source that is in the grid, if it can be; none
    /// within one before it.
    fn exact(&self, number: usize, boxes: &[Option<Window>]) -> Option<Vec<Window>> {
        let dimensions = self.structure.dimensions().len();
        let own = self.sources[number].window?;
        if self.structure.irregular().is_some() {
            return None;
        }
        let is_alike = |window: &Window| window.levels(dimensions) == own.levels(dimensions);
        let mut parts: Vec<Window> = Vec::new();
        for window in boxes {
            let window = window.filter(is_alike)?;
            let part = self.structure.intersection(&own, &window)?;
            let holds = |held: &Window| self.structure.intersection(held, &part) == Some(part);
            if parts.iter().any(holds) {
                continue;
            }
            if parts.len() == PARTS_MAX {
                return None;
            }
            parts.push(part);
        }
        Some(parts)
    }

    /// The boxes that are not as the last import left them, or would not be by this one.
    fn dirty(&self) -> Vec<Dirty> {
        let others = self.last.others.iter().map(|other| Dirty {
            window: Some(*other),
            from: 0,
            job: None,
        });
        let mut dirty: Vec<Dirty> = others.collect();
        if self.keeps {
            return dirty;
        }
        let before = &self.last.recorded.sources;
        for gone in &self.gone {
            let window = before[*gone].window;
            let is_under = |(number, rank): (usize, &Option<usize>)| {
                let own = self.sources[number].window.as_ref();
                let is_under = rank.is_some_and(|rank| rank < *gone);
                (is_under && self.all_meet([window.as_ref(), own])).then_some(number)
            };
            let first = self.ranks.iter().enumerate().find_map(is_under);
            dirty.extend(first.map(|from| Dirty {
                window,
                from,
                job: None,
            }));
        }
        let mut highest = None;
        for (number, rank) in self.ranks.iter().enumerate() {
            let Some(rank) = rank else { continue };
            // Most stand behind all that they stood behind.
            if highest < Some(*rank) {
                highest = Some(*rank);
                continue;
            }
            let own = self.sources[number].window.as_ref();
            let turned = self.ranks[..number].iter().enumerate();
            let turned = turned.filter(|(_, other)| other.is_some_and(|other| other > *rank));
            for (other, _) in turned {
                let window = self.sources[other].window;
                if self.all_meet([window.as_ref(), own]) {
                    dirty.push(Dirty {
                        window: self.common(window, own),
                        from: number,
                        job: None,
                    });
                }
            }
        }
        dirty
    }

    /// What two boxes that meet have in common, or more.
    fn common(&self, a: Option<Window>, b: Option<&Window>) -> Option<Window> {
        let dimensions = self.structure.dimensions().len();
        let b = b.filter(|b| a.is_none_or(|a| a.levels(dimensions) == b.levels(dimensions)));
        match (a, b) {
            (Some(a), Some(b)) => self.structure.intersection(&a, b),
            (a, _) => a,
        }
    }

    /// Whether others have changed cells within a source's box.
    fn is_met_by_others(&self, number: usize) -> bool {
        let own = self.sources[number].window.as_ref();
        let mut others = self.last.others.iter();
        others.any(|other| self.all_meet([Some(other), own]))
    }

    /// Whether boxes have a cell in common; one that is not known may be anywhere.
    fn all_meet<const N: usize>(&self, boxes: [Option<&Window>; N]) -> bool {
        let dimensions = self.structure.dimensions().len();
        let mut boxes = boxes.into_iter().flatten();
        let levels = boxes
            .clone()
            .map(|window| window.levels(dimensions))
            .reduce(|a, b| a.finer_of(&b));
        let (Some(levels), Some(first)) = (levels, boxes.next()) else {
            return true;
        };
        let first = self.structure.cover(first, levels);
        let common = boxes.try_fold(first, |common, window| {
            let window = self.structure.cover(window, levels);
            self.structure.intersection(&common, &window)
        });
        common.is_some()
    }
}

/// The number of each name that is there once.
fn places(sources: &[KnownSource]) -> HashMap<u128, Option<usize>> {
    let mut places = HashMap::new();
    for (number, source) in sources.iter().enumerate() {
        places
            .entry(source.name)
            .and_modify(|place| *place = None)
            .or_insert(Some(number));
    }
    places
}
