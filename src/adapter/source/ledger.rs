//! What of an import was done before it was cut short.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::plan::{Job, Plan};
use super::{Footprint, Import};
use crate::codec::Digest;
use crate::error::Result;
use crate::grid::{Structure, Window};
use crate::store::{DonePart, Grid};

/// Which sources of an import are done already, since the same import was cut short.
///
/// A part of an import is a source, or what a job has of one. It is recorded in the commit with its last cells, and done if the same
/// cells were put at the same place over the same other sources: it must be the same source, unchanged, and so must be all before it
/// that it overlaps. What has no [fingerprint](super::Source::fingerprint) is never done. Whoever has seen an import to its end
/// [ends](Self::end) its ledger, so that importing the same again puts all of it again.
#[derive(Debug)]
pub struct Ledger {
    grid: Grid,
    /// The sources of each job, or of the one there is.
    sources: Vec<BTreeSet<usize>>,
    /// The parts that they are there, by the number of the source, so far as they can be told.
    parts: Vec<HashMap<usize, DonePart>>,
    done: HashSet<u128>,
    changed: Vec<usize>,
}

impl Ledger {
    /// What is done of an import of some sources, in jobs if there are any.
    pub fn new(grid: &Grid, imports: &[Import], plan: Option<&Plan>) -> Result<Self> {
        let prints = imports.iter().map(print).collect::<Result<Vec<Option<u128>>>>()?;
        let all: Vec<usize> = (0..imports.len()).collect();
        let whole = [Job::whole(imports.len())];
        let jobs = plan.map_or(&whole[..], |plan| plan.jobs.as_slice());
        let of = |job: &Job| parts(grid.structure(), imports, &prints, (&job.sources, &job.place()));
        let parts = jobs.iter().map(of).collect();
        let sources = jobs.iter().map(|job| job.sources.iter().copied().collect()).collect();
        let recorded = grid.done_parts()?;
        let known: HashMap<&str, u128> = recorded.iter().map(|part| (part.name.as_str(), part.print)).collect();
        let other = |number: &usize| {
            let before = known.get(imports[*number].footprint().name.as_str());
            before.is_some_and(|before| Some(*before) != prints[*number])
        };
        let changed = all.into_iter().filter(other).collect();
        Ok(Self { grid: grid.clone(), sources, parts, done: recorded.into_iter().map(|part| part.part).collect(), changed })
    }

    /// Whether all of a source is done.
    pub fn is_done(&self, source: usize) -> bool {
        let jobs = || self.sources.iter().zip(&self.parts).filter(|(sources, _)| sources.contains(&source));
        let is_done = |parts: &HashMap<usize, DonePart>| parts.get(&source).is_some_and(|part| self.done.contains(&part.part));
        jobs().next().is_some() && jobs().all(|(_, parts)| is_done(parts))
    }

    /// The numbers of the sources that are no longer what they were when a part of them was done.
    pub fn changed(&self) -> &[usize] {
        &self.changed
    }

    /// Puts all again, whatever is done.
    #[must_use]
    pub fn anew(self) -> Self {
        Self { done: HashSet::new(), ..self }
    }

    /// Forgets what is done in the grid: the import has come to its end, and the next one begins anew.
    pub fn end(self) -> Result<()> {
        self.grid.forget_parts()
    }

    /// The part of a source in a job, if it can be told; and whether it is done.
    pub(super) fn part(&self, job: usize, source: usize) -> Option<(&DonePart, bool)> {
        let part = self.parts.get(job)?.get(&source)?;
        Some((part, self.done.contains(&part.part)))
    }
}

/// What tells that a source is not what it was; `None` if nothing does.
pub(super) fn print(import: &Import) -> Result<Option<u128>> {
    let Some(print) = import.fingerprint()? else { return Ok(None) };
    let mut digest = Digest::default();
    digest.number(print.bytes);
    digest.bytes(format!("{:?}", print.modified).as_bytes());
    digest.print(print.digest);
    Ok(Some(digest.finish()))
}

/// The parts of sources at a place, so far as they can be told.
fn parts(
    structure: &Structure,
    imports: &[Import],
    prints: &[Option<u128>],
    (sources, place): (&[usize], &str),
) -> HashMap<usize, DonePart> {
    let mut parts: HashMap<usize, DonePart> = HashMap::new();
    for (number, source) in sources.iter().enumerate() {
        let (import, Some(print)) = (&imports[*source], prints[*source]) else { continue };
        let own = import.footprint();
        let below = sources[..number].iter().filter(|other| meet(structure, own, imports[**other].footprint()));
        let below: Option<BTreeSet<u128>> = below.map(|other| parts.get(other).map(|part| part.part)).collect();
        let Some(below) = below else { continue };
        let mut digest = Digest::default();
        [place, &own.name, &format!("{:?} {:?}", own.windows, own.notes), import.how()]
            .iter()
            .for_each(|text| digest.bytes(text.as_bytes()));
        digest.print(print);
        below.into_iter().for_each(|part| digest.print(part));
        parts.insert(*source, DonePart { part: digest.finish(), name: own.name.clone(), print });
    }
    parts
}

/// The most pairs of boxes that are held against each other.
const PAIRS_MAX: usize = 1 << 14;

/// Whether cells of one may lie over cells of another.
pub(super) fn meet(structure: &Structure, a: &Footprint, b: &Footprint) -> bool {
    let levels = |of: &Footprint| of.windows.first().map(|window| window.levels(structure.dimensions().len()));
    let Some((of_a, of_b)) = levels(a).zip(levels(b)) else { return false };
    let levels = of_a.coarser_of(&of_b);
    let boxes = |of: &Footprint| of.windows.iter().map(|window| structure.cover(window, levels)).collect::<Vec<Window>>();
    let (a, b) = (boxes(a), boxes(b));
    let all = |boxes: &[Window]| boxes.iter().copied().reduce(|a, b| structure.union(&a, &b));
    let met = |a: &Window, b: &Window| structure.intersection(a, b).is_some();
    let around = all(&a).zip(all(&b)).is_some_and(|(a, b)| met(&a, &b));
    around && (a.len() * b.len() > PAIRS_MAX || a.iter().any(|a| b.iter().any(|b| met(a, b))))
}
