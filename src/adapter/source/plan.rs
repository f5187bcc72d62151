//! What an import will change, known from footprints alone; and its parts, which any number of hands can do at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::str::FromStr;
use std::time::SystemTime;

use ndarray::{ArrayD, Axis, Slice};

use super::{Block, Footprint, Import, Piece};
use crate::array::{Array, in_c_order, with_view};
use crate::error::{Error, Result};
use crate::grid::{Level, Location, Shape, Structure, Window};
use crate::store::Grid;

/// Which of sources that overlap is on top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Priority {
    /// The one that is named later.
    #[default]
    Order,
    /// The one that was written last, by its [fingerprint](super::Fingerprint); those without one are below.
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
            _ => Err(Error::invalid(format!("`{text}` is none of order, newest, finest"))),
        }
    }
}

impl Priority {
    /// Brings sources into the order in which they are laid over each other; those that are equal stay in theirs.
    pub fn arrange(self, imports: &mut [Import]) -> Result<()> {
        match self {
            Self::Order => {}
            Self::Finest => {
                imports.sort_by(|a, b| b.footprint().cell.total_cmp(&a.footprint().cell));
            }
            Self::Newest => {
                let mut times: HashMap<String, Option<SystemTime>> = HashMap::new();
                for import in imports.iter() {
                    let time = import.fingerprint()?.and_then(|print| print.modified);
                    times.insert(import.footprint().name.clone(), time);
                }
                imports.sort_by_key(|import| times.get(&import.footprint().name).copied().flatten());
            }
        }
        Ok(())
    }
}

/// What sources will change in a grid, and the jobs of which that consists.
///
/// A job is a part of the grid, a subtree of one dimension, with all that the sources have there. No base chunk is in two jobs of a
/// stage, so they can be done at once, or by several processes in stores of their own; within each the sources keep their order. It is
/// made from footprints: no cell is read. What is predicted contains what changes, since cells without data change nothing.
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
    /// What must be done before: all jobs of lower stages.
    pub stage: usize,
    /// The numbers of its sources, in the order in which they lie over each other.
    pub sources: Vec<usize>,
    /// The box of its cells, at the levels at which they are put.
    pub window: Window,
    /// Base chunks that it writes, but for what is split.
    pub chunks: u64,
    /// The cells of its sources in it.
    pub cells: u64,
    /// Its subtree; `None` if it has all of its stage.
    root: Option<Root>,
}

/// A subtree of one dimension.
#[derive(Clone, Debug, PartialEq)]
struct Root {
    dimension: usize,
    level: Level,
    codes: Vec<u64>,
}

impl Root {
    /// The subtree of a level in which a place lies.
    fn of(structure: &Structure, at: &Location, dimension: usize, level: Level) -> Option<Self> {
        let above = structure.ancestor(at, at.levels.with(dimension, level))?;
        Some(Self { dimension, level, codes: structure.axes_of(dimension).map(|axis| above.codes[axis]).collect() })
    }

    /// Whether another one is a part of it, or it itself.
    fn has(&self, other: &Self) -> bool {
        let up = u32::try_from(i16::from(self.level.get()) - i16::from(other.level.get()));
        let above = |code: &u64| up.ok().map(|up| code.checked_shr(up).unwrap_or(0));
        up.is_ok() && other.codes.iter().map(above).eq(self.codes.iter().map(|code| Some(*code)))
    }
}

/// A part of a source: the chunk that it is in, the number of the source, and its cells.
#[derive(Clone, Debug)]
struct Share {
    at: Location,
    source: usize,
    window: Window,
}

impl Plan {
    /// The plan of some sources, later ones over earlier ones, in at least `jobs` jobs if there are so many subtrees.
    ///
    /// # Errors
    ///
    /// Those of [`Grid::forecast`]: [`AggregatedLevel`](crate::ErrorKind::AggregatedLevel) names the places where a source is coarser
    /// than what is there.
    pub fn new<'a>(grid: &Grid, sources: impl IntoIterator<Item = &'a Footprint>, jobs: usize) -> Result<Self> {
        let structure = grid.structure();
        let sources: Vec<&Footprint> = sources.into_iter().collect();
        let windows: Vec<Window> = sources.iter().flat_map(|source| source.windows.iter().copied()).collect();
        let forecast = grid.forecast(&windows)?;
        let split: BTreeSet<Location> = forecast.split.into_iter().collect();
        let dimensions = structure.dimensions().len();
        let levels = |source: &&Footprint| source.windows.first().map(|window| window.levels(dimensions));
        let (mut planned, mut first) = (Vec::new(), 0);
        for (stage, group) in sources.chunk_by(|a, b| levels(a) == levels(b)).enumerate() {
            let shares = shares(structure, group, first);
            planned.extend(jobs_of(structure, &shares, &split, (stage, jobs)));
            first += group.len();
        }
        let bytes = sources.iter().map(|source| source.bytes).fold(0, u64::saturating_add);
        Ok(Self { base: forecast.base, aggregates: forecast.aggregates, bytes, jobs: planned })
    }
}

/// The parts of sources in each chunk. Along an irregular dimension the parts of all ticks of a column are alike.
fn shares(structure: &Structure, sources: &[&Footprint], first: usize) -> Vec<Share> {
    let mut shares = Vec::new();
    for (number, source) in (first..).zip(sources) {
        for window in &source.windows {
            shares.extend(parts(structure, window).map(|(at, window)| Share { at, source: number, window }));
        }
    }
    shares
}

/// The parts of a box in each chunk, or column of chunks.
fn parts(structure: &Structure, window: &Window) -> impl Iterator<Item = (Location, Window)> {
    let (levels, ticks) =
        (window.levels(structure.dimensions().len()), structure.irregular().map(|d| structure.axes_of(d).start));
    let (first, own) = (*window, ticks.map_or(*window, |axis| window.along(axis, window.start()[axis], 1)));
    structure.split(&own).map(move |piece| {
        let mut start = own.start();
        start.iter_mut().zip(piece.in_window.iter()).for_each(|(start, at)| *start = start.saturating_add_unsigned(*at as u64));
        let shape: Shape = piece.shape.iter().map(|len| *len as u64).collect();
        let part = Window::new(start, shape).at(levels);
        (piece.location, ticks.map_or(part, |axis| part.along(axis, first.start()[axis], first.shape()[axis])))
    })
}

/// The jobs of a stage: subtrees of the dimension along which there are most chunks, the heaviest of which are divided until there
/// are enough.
fn jobs_of(structure: &Structure, shares: &[Share], split: &BTreeSet<Location>, (stage, wanted): (usize, usize)) -> Vec<Job> {
    let Some(dimension) = structure.levelled().filter(|d| structure.irregular() != Some(*d)).max_by_key(|d| {
        let of = |share: &Share| structure.axes_of(*d).map(|axis| share.at.codes[axis]).collect::<Vec<u64>>();
        shares.iter().map(of).collect::<BTreeSet<_>>().len()
    }) else {
        return job(structure, stage, None, shares.iter().collect()).into_iter().collect();
    };
    let Some((root, base)) = common(structure, shares, dimension) else { return Vec::new() };
    // No part of a chunk that is split can be written without the others.
    let whole = split.iter().filter_map(|at| Root::of(structure, at, dimension, at.levels[dimension])).collect::<Vec<Root>>();
    let mut groups: Vec<(Root, Vec<&Share>)> = vec![(root, shares.iter().collect())];
    let mut done: Vec<(Root, Vec<&Share>)> = Vec::new();
    while groups.len() + done.len() < wanted {
        let Some(heaviest) = (0..groups.len()).max_by_key(|number| cells_of(&groups[*number].1)) else { break };
        let (root, shares) = groups.swap_remove(heaviest);
        let finer = root.level.finer().filter(|level| *level >= base && !whole.iter().any(|whole| whole.has(&root)));
        let Some(level) = finer else {
            done.push((root, shares));
            continue;
        };
        let mut children: BTreeMap<Vec<u64>, Vec<&Share>> = BTreeMap::new();
        for share in shares {
            if let Some(child) = Root::of(structure, &share.at, dimension, level) {
                children.entry(child.codes).or_default().push(share);
            }
        }
        groups.extend(children.into_iter().map(|(codes, shares)| (Root { dimension, level, codes }, shares)));
    }
    done.extend(groups);
    done.sort_by_key(|(root, _)| (root.codes.clone(), root.level));
    done.into_iter().filter_map(|(root, shares)| job(structure, stage, Some(root), shares)).collect()
}

/// The least subtree of a dimension that has all of some shares, and their level.
fn common(structure: &Structure, shares: &[Share], dimension: usize) -> Option<(Root, Level)> {
    let base = shares.first()?.at.levels[dimension];
    let mut level = base;
    loop {
        let roots: Vec<Root> =
            shares.iter().map(|share| Root::of(structure, &share.at, dimension, level)).collect::<Option<_>>()?;
        if roots.iter().all(|root| *root == roots[0]) {
            return roots.into_iter().next().map(|root| (root, base));
        }
        level = level.coarser()?;
    }
}

fn cells_of(shares: &[&Share]) -> u64 {
    shares.iter().map(|share| share.window.cells().unwrap_or(u64::MAX)).fold(0, u64::saturating_add)
}

fn job(structure: &Structure, stage: usize, root: Option<Root>, shares: Vec<&Share>) -> Option<Job> {
    let window = shares.iter().map(|share| share.window).reduce(|a, b| structure.union(&a, &b))?;
    let sources = shares.iter().map(|share| share.source).collect::<BTreeSet<usize>>().into_iter().collect();
    let chunks = shares.iter().map(|share| share.at).collect::<BTreeSet<Location>>().len() as u64;
    let cells = cells_of(&shares);
    Some(Job { stage, sources, window, chunks, cells, root })
}

impl Job {
    /// All of so many sources.
    pub(super) fn whole(sources: usize) -> Self {
        Self { stage: 0, sources: (0..sources).collect(), window: Window::new([0], [0]), chunks: 0, cells: 0, root: None }
    }

    /// The part of a box that is in it. A subtree is a box, and so is what a box has of it.
    pub(super) fn part(&self, structure: &Structure, window: &Window) -> Option<Window> {
        let Some(root) = &self.root else { return Some(*window) };
        let own =
            parts(structure, window).filter(|(at, _)| Root::of(structure, at, root.dimension, root.level).as_ref() == Some(root));
        own.map(|(_, part)| part).reduce(|a, b| structure.union(&a, &b))
    }
}

/// The part of a block that lies in a box of it.
pub(super) fn cut(block: Block, piece: Piece, part: &Window) -> (Block, Piece) {
    fn of<T: Copy>(cells: &ArrayD<T>, whole: &Window, part: &Window) -> ArrayD<T> {
        let mut cells = cells.view();
        for axis in 0..cells.ndim() {
            let from = usize::try_from(part.start()[axis].abs_diff(whole.start()[axis])).unwrap_or(usize::MAX);
            let len = usize::try_from(part.shape()[axis]).unwrap_or(usize::MAX);
            // Along an irregular dimension the box is of all ticks.
            if part.shape()[axis] < whole.shape()[axis] {
                cells.slice_axis_inplace(Axis(axis), Slice::from(from..from.saturating_add(len)));
            }
        }
        in_c_order(cells.to_owned())
    }
    if *part == block.window {
        return (block, piece);
    }
    let array = with_view!(Array, &piece.array, |cells| Array::from(of(cells, &block.window, part)));
    let valid = piece.valid.as_ref().map(|valid| of(valid, &block.window, part));
    (Block { window: *part, ..block }, Piece { array, valid, found: piece.found })
}
