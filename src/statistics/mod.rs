//! Statistics of a region: exact, from aggregates for whole cells of the pyramid and from the base on the boundary only.
//!
//! The pyramid is walked from its top down. A chunk is read once for all of its cells: a cell that lies wholly within the
//! region, whose values all meet the condition, and of which the layers say all that is asked for, is added as it is; one
//! that lies outside, or of whose values none meets the condition, is left out; only the others are told by the chunk's
//! children, along a dimension in which the region cuts them. So the chunks that are read grow with the region's boundary
//! and not with its area. Cells that a pending mark covers are not trusted: what lies below tells them. All is read from one
//! snapshot.
//!
//! With bounds instead of exactness, chunks are read in the order of what there is to be gained from each, and what is left
//! unread widens the bounds of the answer.

mod answer;
mod doubt;
mod facts;
mod inside;
mod plan;
mod polygon;
mod predicate;
mod query;
mod region;
mod scan;
mod tally;
mod walk;

use std::sync::Arc;

use rayon::prelude::*;

pub use answer::{ClassArea, Estimate, Histogram, Statistics};
pub(crate) use inside::base_windows;
pub use plan::Unserved;
pub use polygon::{Polygon, Ring};
pub use predicate::Predicate;
pub use query::{Bins, Stat, StatisticsQuery};
pub use walk::ChunksRead;

use crate::dirty::{self, Edge, Marks};
use crate::error::{Error, Result};
use crate::grid::{Levels, Location};
use crate::key::{ChunkKey, LayerId};
use crate::kv::Snapshot;
use crate::store::{Base, Grid, State};
use doubt::Known;
use plan::Plan;
use region::Region;
use tally::Tally;
use walk::{Node, Walk};

/// The most chunks at which a walk may start: those at the top, of which there are many only where a pyramid ends early.
const ROOTS_MAX: u64 = 1 << 24;
/// How many of them are walked at once.
const ROOTS_AT_ONCE: usize = 1024;
/// Up to how many locations are looked up one by one, rather than listed from the directory.
const LOOKED_UP: u64 = 4096;
/// How many chunks are opened at once where bounds are wanted, at least.
const OPENED_AT_ONCE: usize = 16;

/// Answers a query.
pub(crate) fn statistics(grid: &Grid, query: &StatisticsQuery) -> Result<Statistics> {
    query.check().map_err(|e| grid.blame(e))?;
    let snapshot = grid.snapshot()?;
    let state = grid.state(snapshot.as_ref())?;
    let bounded = query.max_chunks.is_some() || query.max_error.is_some();
    let structure = grid.structure();
    let bases = state.base.unwrap_or_else(|| Base::new(structure, Levels::zero(structure.dimensions().len())));
    let base = bases.finest();
    let plan = Plan::new(grid, query, grid.full(base).0, bounded);
    let nothing = || Statistics::new(&Known { tally: &Tally::default(), doubts: Vec::new(), plan: &plan }, ChunksRead::default());
    // A query of an empty grid is checked as any other.
    let bounds = state.bounds.unwrap_or_else(|| structure.chunk_window(&origin(grid, base)));
    let region = Region::new(structure, query, &bounds).map_err(|e| grid.blame(e))?;
    let (Some(region), true) = (region, state.bounds.is_some()) else { return Ok(nothing()) };
    let built = state.reach.unwrap_or(base);
    let chunks = grid.chunk_reader(snapshot.as_ref());
    let walk = Walk { chunks, plan: &plan, region: &region, base, bases, built, cover: region.cover(), bounded };
    let roots = Roots::new(grid, snapshot.as_ref(), state, &walk)?;
    if bounded { approximate(&walk, &roots) } else { exact(&walk, &roots) }
}

/// A location of some levels, for grids that have no other.
fn origin(grid: &Grid, levels: Levels) -> Location {
    let index: Vec<i64> = vec![0; grid.structure().rank()];
    let found = grid.structure().location(levels, &crate::grid::ChunkIndex::from(index.as_slice()));
    found.unwrap_or_else(|_| unreachable!("chunk 0 is there at every level"))
}

/// Where a walk starts.
struct Roots<'a> {
    grid: &'a Grid,
    snapshot: &'a dyn Snapshot,
    base: Levels,
    bases: Base,
    /// Listed where they are few among many, else those of a window.
    listed: Option<Vec<Location>>,
    window: crate::grid::Window,
    marked: bool,
}

impl<'a> Roots<'a> {
    fn new(grid: &'a Grid, snapshot: &'a dyn Snapshot, state: State, walk: &Walk<'a>) -> Result<Self> {
        let structure = grid.structure();
        let marked = Marks::first(grid, snapshot, 1)?.len() > 0;
        // Without layers there is nothing above the base.
        let top = if grid.layers().is_empty() { None } else { state.top(structure) };
        let levels = top.unwrap_or(walk.bases.coarsest());
        let window = walk.region.window(levels);
        let count = structure.chunk_count(&window);
        let (at_base, built) = (levels == walk.base, walk.bases.mixed().is_none() && walk.built.covers(&levels));
        let listed = if count > LOOKED_UP && (at_base || built && !marked) {
            let layer = if at_base { LayerId::BASE } else { LayerId(1) };
            let mut found = Vec::new();
            grid.directory(snapshot, ChunkKey::levels(grid.id(), structure, layer, levels), &mut |chunk| {
                if structure.intersection(&structure.chunk_window(&chunk.location), &window).is_some() {
                    found.push(chunk.location);
                }
            })?;
            Some(found)
        } else if count > ROOTS_MAX {
            return Err(grid.blame(Error::invalid(format!(
                "the region spans {count} chunks at the top of the pyramid, more than {ROOTS_MAX}; ask for a smaller one, or aggregate first"
            ))));
        } else {
            None
        };
        Ok(Self { grid, snapshot, base: walk.base, bases: walk.bases, listed, window, marked })
    }

    fn locations(&self) -> Box<dyn Iterator<Item = Location> + '_> {
        match &self.listed {
            Some(listed) => Box::new(listed.iter().copied()),
            None => Box::new(self.grid.structure().split(&self.window).map(|piece| piece.location)),
        }
    }

    fn node(&self, walk: &Walk<'_>, at: Location) -> Result<Node> {
        let pending: Arc<[Edge]> = match self.marked && at.levels != self.base {
            true => dirty::pending_under(self.grid, self.snapshot, &at, &self.bases)?.into(),
            false => Arc::default(),
        };
        Ok(walk.root(at, pending))
    }
}

/// Walks everything.
fn exact(walk: &Walk<'_>, roots: &Roots<'_>) -> Result<Statistics> {
    let (mut tally, mut read) = (Tally::default(), ChunksRead::default());
    let mut locations = roots.locations();
    loop {
        let some: Vec<Location> = locations.by_ref().take(ROOTS_AT_ONCE).collect();
        if some.is_empty() {
            break;
        }
        let walked = some.into_par_iter().with_max_len(1).map(|at| descend(walk, roots.node(walk, at)?));
        fold(walk, walked.collect::<Result<Vec<_>>>()?, &mut tally, &mut read)?;
    }
    Ok(Statistics::new(&Known { tally: &tally, doubts: Vec::new(), plan: walk.plan }, read))
}

/// Tells all of a node. Parts are added in the order of the children, so that the answer does not depend on the threads.
fn descend(walk: &Walk<'_>, node: Node) -> Result<(Tally, ChunksRead)> {
    let opened = walk.open(&node)?;
    drop(node);
    let (mut tally, mut read) = (opened.tally, opened.read);
    let parts = opened.children.into_par_iter().with_max_len(1).map(|child| descend(walk, child));
    fold(walk, parts.collect::<Result<Vec<_>>>()?, &mut tally, &mut read)?;
    Ok((tally, read))
}

fn fold(walk: &Walk<'_>, parts: Vec<(Tally, ChunksRead)>, tally: &mut Tally, read: &mut ChunksRead) -> Result<()> {
    for (part, part_read) in parts {
        tally.merge(part);
        *read += part_read;
        walk.check_classes(tally)?;
    }
    Ok(())
}

/// Walks where most is to be gained, until the bounds are close enough or the chunks are used up.
fn approximate(walk: &Walk<'_>, roots: &Roots<'_>) -> Result<Statistics> {
    let query = walk.plan.query;
    let (mut tally, mut read) = (Tally::default(), ChunksRead::default());
    let mut open = roots.locations().map(|at| roots.node(walk, at)).collect::<Result<Vec<_>>>()?;
    loop {
        let known = Known {
            tally: &tally,
            doubts: open.iter().map(|node| node.doubt).filter(|doubt| doubt.area() > 0.0).collect(),
            plan: walk.plan,
        };
        let answer = Statistics::new(&known, read);
        if open.is_empty() || query.max_error.is_some_and(|error| is_within(&answer, &known, error)) {
            return Ok(answer);
        }
        let left = query.max_chunks.map_or(u64::MAX, |most| most.saturating_sub(read.total()));
        let chosen = choose(walk, &mut open, left);
        if chosen.is_empty() {
            return Ok(answer);
        }
        let opened = chosen.par_iter().with_max_len(1).map(|node| walk.open(node)).collect::<Result<Vec<_>>>()?;
        for part in opened {
            tally.merge(part.tally);
            read += part.read;
            open.extend(part.children);
            walk.check_classes(&tally)?;
        }
    }
}

/// Takes the nodes with the most to be gained that can be opened within a number of chunks.
fn choose(walk: &Walk<'_>, open: &mut Vec<Node>, mut left: u64) -> Vec<Node> {
    let sums = walk.plan.sums() || walk.plan.wants(Stat::Std);
    open.sort_by(|a, b| b.doubt.weight(sums).total_cmp(&a.doubt.weight(sums)).then(a.at.cmp(&b.at)));
    let most = OPENED_AT_ONCE.max(open.len() / 8);
    let (mut chosen, mut kept) = (Vec::new(), Vec::new());
    for node in open.drain(..) {
        let cost = walk.cost(&node);
        if chosen.len() < most && cost <= left {
            left -= cost;
            chosen.push(node);
        } else {
            kept.push(node);
        }
    }
    *open = kept;
    chosen
}

/// Whether every figure of an answer is within an error.
fn is_within(answer: &Statistics, known: &Known<'_>, error: f64) -> bool {
    let plan = known.plan;
    let shares = plan.query.bins.is_some() || plan.query.classes;
    plan.stats.iter().filter_map(|stat| answer.get(*stat)).all(|estimate| estimate.is_within(error))
        && (!shares || known.doubted() / 2.0 <= error * known.area().1)
}
