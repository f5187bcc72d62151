//! What an import will change, known from footprints alone; and its parts, which any number of
//! hands can do at once.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use ndarray::{ArrayD, Axis, Slice};

use super::{Block, Footprint, Import, SourceCells};
use crate::array::{Array, with_view};
use crate::error::{Error, Result};
use crate::grid::{Level, Levels, Location, Shape, Structure, Window};
use crate::store::Grid;

/// Which of sources that overlap is on top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Priority {
    /// The one that is named later.
    #[default]
    Order,
    /// The one that was written last, by its [fingerprint](super::Fingerprint); those without one
    /// are below.
    Newest,
    /// The one with the finest cells of its own.
    Finest,
}

impl FromStr for Priority {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "order" => Ok(Self::Order),
            "newest" => Ok(Self::Newest),
            "finest" => Ok(Self::Finest),
            _ => Err(Error::invalid(format!(
                "`{text}` is none of order, newest, finest"
            ))),
        }
    }
}

impl Priority {
    /// Brings sources into the order in which they are laid over each other; those that are equal
    /// stay in theirs.
    ///
    /// # Errors
    ///
    /// With [`Newest`](Self::Newest), where the [fingerprint](Import::fingerprint) of a source
    /// cannot be had.
    pub fn arrange(self, imports: &mut [Import]) -> Result<()> {
        match self {
            Self::Order => Ok(()),
            Self::Finest => {
                imports.sort_by(|a, b| b.footprint().cell.total_cmp(&a.footprint().cell));
                Ok(())
            }
            Self::Newest => {
                let mut failed = None;
                imports.sort_by_cached_key(|import| match import.fingerprint() {
                    Ok(print) => print.and_then(|print| print.modified),
                    Err(error) => {
                        failed = Some(error);
                        None
                    }
                });
                failed.map_or(Ok(()), Err)
            }
        }
    }
}

/// What sources will change in a grid, and the jobs of which that consists.
///
/// It is made from footprints: no cell is read. What is predicted contains what changes, since
/// cells without data change nothing.
///
/// A job is a part of the grid, a subtree of one dimension, with all that the sources have there.
/// No base chunk is in two jobs of a stage, so they can be done at once, and within each the
/// sources keep their order. A [`Block`] that lies in several jobs is read once for each of them:
/// the fewer jobs there are, the less is decoded twice.
///
/// While it is made, each chunk of each window takes some hundreds of bytes; there are at most
/// 2^22.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// Base chunks that will change.
    pub base: Vec<Location>,
    /// The places of aggregates above them, each of which every layer has a chunk at.
    pub aggregates: Vec<Location>,
    /// The bytes of the cells that sources have, as they keep them.
    pub bytes: u64,
    /// The jobs, those of a stage next to each other.
    pub jobs: Vec<Job>,
}

/// A part of an import that nothing else of its stage meets.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Job {
    /// What must be done before: all jobs of lower stages. Sources of other levels are of other
    /// stages.
    pub stage: usize,
    /// The numbers of its sources, in the order in which they lie over each other.
    pub sources: Vec<usize>,
    /// The box whose cells are its own, at the levels at which they are put; along an irregular
    /// dimension that of their ticks.
    pub window: Window,
    /// Base chunks that it writes, but for what is split.
    pub chunks: u64,
    /// The cells of its sources in it.
    pub cells: u64,
}

/// A subtree of a dimension.
#[derive(Clone, Debug, PartialEq)]
struct Root {
    level: Level,
    codes: Vec<u64>,
}

impl Root {
    /// The subtree of a level in which a place lies.
    fn of(structure: &Structure, at: &Location, dimension: usize, level: Level) -> Option<Self> {
        let above = structure.ancestor(at, at.levels.with(dimension, level))?;
        Some(Self {
            level,
            codes: structure
                .axes_of(dimension)
                .map(|axis| above.codes[axis])
                .collect(),
        })
    }

    /// Whether another one is a part of it, or it itself.
    fn has(&self, other: &Self) -> bool {
        let up = u32::try_from(i16::from(self.level.get()) - i16::from(other.level.get()));
        let above = |code: &u64| up.ok().map(|up| code.checked_shr(up).unwrap_or(0));
        up.is_ok()
            && other
                .codes
                .iter()
                .map(above)
                .eq(self.codes.iter().map(|code| Some(*code)))
    }
}

/// A part of a source: the chunk that it is in, the number of the source, and its cells.
#[derive(Clone, Debug)]
struct SourceShare {
    at: Location,
    source: usize,
    window: Window,
}

impl Plan {
    /// The plan of some sources, later ones over earlier ones, in at least `jobs` jobs if there are
    /// so many subtrees.
    ///
    /// # Errors
    ///
    /// Those of [`Grid::forecast`]: [`AggregatedLevel`](crate::ErrorKind::AggregatedLevel) names
    /// the places where a source is coarser than what is there. And
    /// [`Invalid`](crate::ErrorKind::Invalid) where a source has cells of several levels.
    pub fn new<'a>(
        grid: &Grid,
        sources: impl IntoIterator<Item = &'a Footprint>,
        jobs: usize,
    ) -> Result<Self> {
        let structure = grid.structure();
        let sources: Vec<&Footprint> = sources.into_iter().collect();
        let levels = sources
            .iter()
            .map(|source| levels_of(structure, source))
            .collect::<Result<Vec<_>>>()?;
        let windows: Vec<Window> = sources
            .iter()
            .flat_map(|source| source.windows.iter().copied())
            .collect();
        let forecast = grid.forecast(&windows)?;
        let split: BTreeSet<Location> = forecast.split.into_iter().collect();
        let numbers: Vec<usize> = (0..sources.len()).collect();
        let mut planned = Vec::new();
        for (stage, group) in numbers
            .chunk_by(|a, b| levels[*a] == levels[*b])
            .enumerate()
        {
            let shares: Vec<SourceShare> = group
                .iter()
                .flat_map(|number| shares(structure, *number, sources[*number]))
                .collect();
            planned.extend(jobs_of(structure, &shares, &split, (stage, jobs)));
        }
        let bytes = sources
            .iter()
            .map(|source| source.bytes)
            .fold(0, u64::saturating_add);
        Ok(Self {
            base: forecast.base,
            aggregates: forecast.aggregates,
            bytes,
            jobs: planned,
        })
    }
}

/// The levels of a source's cells; `None` if it has none.
fn levels_of(structure: &Structure, source: &Footprint) -> Result<Option<Levels>> {
    let mut levels = source
        .windows
        .iter()
        .map(|window| window.levels(structure.dimensions().len()));
    let first = levels.next();
    if levels.any(|other| Some(other) != first) {
        return Err(Error::invalid(format!(
            "`{}` has cells of several levels, which are no part of one job; import it without a plan, or make a source of each level",
            source.name
        )));
    }
    Ok(first)
}

/// The parts of a source in each chunk. Along an irregular dimension the parts of all ticks of a
/// column are alike.
fn shares(structure: &Structure, number: usize, source: &Footprint) -> Vec<SourceShare> {
    let share = |(at, window)| SourceShare {
        at,
        source: number,
        window,
    };
    source
        .windows
        .iter()
        .flat_map(|window| parts(structure, window).map(share))
        .collect()
}

/// The parts of a box in each chunk, or column of chunks.
fn parts(structure: &Structure, window: &Window) -> impl Iterator<Item = (Location, Window)> {
    let (levels, ticks) = (
        window.levels(structure.dimensions().len()),
        structure.irregular().map(|d| structure.axes_of(d).start),
    );
    let (first, own) = (
        *window,
        ticks.map_or(*window, |axis| window.along(axis, window.start()[axis], 1)),
    );
    structure.split(&own).map(move |piece| {
        let mut start = own.start();
        start
            .iter_mut()
            .zip(piece.in_window.iter())
            .for_each(|(start, at)| *start = start.saturating_add_unsigned(*at as u64));
        let shape: Shape = piece.shape.iter().map(|len| *len as u64).collect();
        let part = Window::new(start, shape).at(levels);
        (
            piece.location,
            ticks.map_or(part, |axis| {
                part.along(axis, first.start()[axis], first.shape()[axis])
            }),
        )
    })
}

/// The jobs of a stage: subtrees of the dimension along which there are most chunks, the heaviest
/// of which are divided until there are enough.
fn jobs_of(
    structure: &Structure,
    shares: &[SourceShare],
    split: &BTreeSet<Location>,
    (stage, wanted): (usize, usize),
) -> Vec<Job> {
    let Some(dimension) = structure
        .levelled()
        .filter(|d| structure.irregular() != Some(*d))
        .max_by_key(|d| {
            let of = |share: &SourceShare| {
                structure
                    .axes_of(*d)
                    .map(|axis| share.at.codes[axis])
                    .collect::<Vec<u64>>()
            };
            shares.iter().map(of).collect::<BTreeSet<_>>().len()
        })
    else {
        return job(structure, stage, shares.iter().collect())
            .into_iter()
            .collect();
    };
    let Some((root, base)) = common(structure, shares, dimension) else {
        return Vec::new();
    };
    // No part of a chunk that is split can be written without the others.
    let whole = split
        .iter()
        .filter_map(|at| Root::of(structure, at, dimension, at.levels[dimension]))
        .collect::<Vec<Root>>();
    let mut groups: Vec<(Root, Vec<&SourceShare>)> = vec![(root, shares.iter().collect())];
    let mut done: Vec<(Root, Vec<&SourceShare>)> = Vec::new();
    while groups.len() + done.len() < wanted {
        let Some(heaviest) = (0..groups.len()).max_by_key(|number| cells_of(&groups[*number].1))
        else {
            break;
        };
        let (root, shares) = groups.swap_remove(heaviest);
        let finer = root
            .level
            .finer()
            .filter(|level| *level >= base && !whole.iter().any(|whole| whole.has(&root)));
        let Some(level) = finer else {
            done.push((root, shares));
            continue;
        };
        let mut children: BTreeMap<Vec<u64>, Vec<&SourceShare>> = BTreeMap::new();
        for share in shares {
            if let Some(child) = Root::of(structure, &share.at, dimension, level) {
                children.entry(child.codes).or_default().push(share);
            }
        }
        groups.extend(
            children
                .into_iter()
                .map(|(codes, shares)| (Root { level, codes }, shares)),
        );
    }
    done.extend(groups);
    done.sort_by_key(|(root, _)| (root.codes.clone(), root.level));
    done.into_iter()
        .filter_map(|(_, shares)| job(structure, stage, shares))
        .collect()
}

/// The least subtree of a dimension that has all of some shares, and their level.
fn common(
    structure: &Structure,
    shares: &[SourceShare],
    dimension: usize,
) -> Option<(Root, Level)> {
    let base = shares.first()?.at.levels[dimension];
    let mut level = base;
    loop {
        let mut roots = shares
            .iter()
            .map(|share| Root::of(structure, &share.at, dimension, level));
        let first = roots.next()?;
        if roots.all(|root| root == first) {
            return first.map(|root| (root, base));
        }
        level = level.coarser()?;
    }
}

fn cells_of(shares: &[&SourceShare]) -> u64 {
    shares
        .iter()
        .map(|share| share.window.cells().unwrap_or(u64::MAX))
        .fold(0, u64::saturating_add)
}

fn job(structure: &Structure, stage: usize, shares: Vec<&SourceShare>) -> Option<Job> {
    let window = shares
        .iter()
        .map(|share| share.window)
        .reduce(|a, b| structure.union(&a, &b))?;
    let sources = shares
        .iter()
        .map(|share| share.source)
        .collect::<BTreeSet<usize>>()
        .into_iter()
        .collect();
    let chunks = shares
        .iter()
        .map(|share| share.at)
        .collect::<BTreeSet<Location>>()
        .len() as u64;
    Some(Job {
        stage,
        sources,
        window,
        chunks,
        cells: cells_of(&shares),
    })
}

/// The part of a box of one of a job's sources that is in the box of the job; along an irregular
/// dimension of all ticks of the former.
pub(super) fn part(structure: &Structure, job: &Window, window: &Window) -> Option<Window> {
    let part = structure.intersection(window, job)?;
    let ticks = structure.irregular_axis().map(|time| time.axis);
    Some(ticks.map_or(part, |axis| {
        part.along(axis, window.start()[axis], window.shape()[axis])
    }))
}

/// The part of a block that lies in a box of it.
pub(super) fn cut(block: Block, piece: SourceCells, part: &Window) -> (Block, SourceCells) {
    if (part.start(), part.shape()) == (block.window.start(), block.window.shape()) {
        return (block, piece);
    }
    copied(&block, &piece, part)
}

/// A copy of the part of a block that lies in a box of it. A piece of another shape than its block
/// is cut as far as it goes, and refused when it is put.
pub(super) fn copied(block: &Block, piece: &SourceCells, part: &Window) -> (Block, SourceCells) {
    fn of<T: Copy>(cells: &ArrayD<T>, whole: &Window, part: &Window) -> ArrayD<T> {
        let mut cells = cells.view();
        // Along an irregular dimension the box is of all ticks.
        let is_cut = |axis: &usize| part.shape()[*axis] < whole.shape()[*axis];
        for axis in (0..cells.ndim().min(part.shape().len())).filter(is_cut) {
            let all = cells.len_of(Axis(axis));
            let from = usize::try_from(part.start()[axis].abs_diff(whole.start()[axis]))
                .unwrap_or(all)
                .min(all);
            let len = usize::try_from(part.shape()[axis])
                .unwrap_or(all)
                .min(all - from);
            cells.slice_axis_inplace(Axis(axis), Slice::from(from..from + len));
        }
        cells.as_standard_layout().into_owned()
    }
    let array = with_view!(Array, &piece.array, |cells| Array::from(of(
        cells,
        &block.window,
        part
    )));
    let valid = piece
        .valid
        .as_ref()
        .map(|valid| of(valid, &block.window, part));
    (
        Block {
            window: *part,
            ..block.clone()
        },
        SourceCells {
            array,
            valid,
            found: piece.found,
        },
    )
}
