//! Statistics of a region: exact, from aggregates for whole cells of the pyramid and from the base
//! on the boundary only.
//!
//! The pyramid is walked from its top down. A chunk is read once for all of its cells: a cell that
//! lies wholly within the region, whose values all meet the condition, and of which the layers say
//! all that is asked for, is added as it is; one that lies outside, or of whose values none meets
//! the condition, is left out; only the others are told by the chunk's children, along a dimension
//! in which the region cuts them. So the chunks that are read grow with the region's boundary and
//! not with its area. Cells that a pending mark covers are not trusted: what lies below tells them.
//! All is read from one snapshot.
//!
//! Of an irregular dimension, all events of a column of chunks in a range of ticks are told as one
//! cell: by whole bins in the range, and by events at its ends. A series of statistics is one walk
//! in which each cell is counted in its step's slot. Several regions are one walk as well: what a
//! chunk holds is read once, and told of to each of the regions that it lies in.
//!
//! With bounds instead of exactness, chunks are read in the order of what there is to be gained
//! from each, and what is left unread widens the bounds of the answer.

mod answer;
mod base_cells;
mod bounds;
mod chunk_nodes;
mod column_nodes;
mod in_polygon;
mod layer_values;
mod node;
mod plan;
mod polygon;
mod predicate;
mod query;
mod region;
mod scan;
mod series;
mod series_slots;
mod starts;
mod tally;
mod verbs;
mod walk;

pub use answer::{ClassArea, Estimate, Histogram, Statistics};
pub use node::ChunksRead;
pub use plan::Unserved;
pub use polygon::{Polygon, Ring};
pub use predicate::Predicate;
pub use query::{Bins, Stat, StatisticsQuery};
pub use series::StatisticsSeries;
use series::{statistics_series, statistics_series_of_each};

use crate::error::{Error, Result};
use crate::grid::{Levels, Location};
use crate::kv::Snapshot;
use crate::parallel;
use crate::store::{Base, Grid, Pyramid, State};
use bounds::KnownStatistics;
use chunk_nodes::ChunkNodes;
use column_nodes::ColumnNodes;
use node::{NodeReader, NodeVisit, OpenedNodes};
use plan::LayerPlan;
use region::CellRegion;
use series_slots::Slots;
use starts::Roots;
use std::collections::BTreeMap;
use tally::SlotTally;
use walk::{Walk, Zone};

/// How many of the chunks at which a walk starts are walked at once.
const ROOTS_AT_ONCE: usize = 1024;
/// How many chunks are opened at once where bounds are wanted, at least.
const OPENED_AT_ONCE: usize = 16;

/// An answer for each of several polygons, of one commit boundary.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Zones<T> {
    /// One a polygon, in their order. Their own `chunks_read` are 0: a chunk tells of several.
    pub each: Vec<T>,
    /// Chunks read and decoded for all of them, each once.
    pub chunks_read: ChunksRead,
}

/// Answers a query for each of several polygons, in place of its own.
fn statistics_of_each(
    grid: &Grid,
    query: &StatisticsQuery,
    polygons: &[Polygon],
) -> Result<Zones<Statistics>> {
    let snapshot = grid.snapshot()?;
    let answer = SnapshotQuery::new(grid, snapshot.as_ref(), query)
        .and_then(|asked| asked.answer_each(polygons));
    answer.map_err(|e| grid.blame(e))
}

/// Answers a query.
fn statistics(grid: &Grid, query: &StatisticsQuery) -> Result<Statistics> {
    let snapshot = grid.snapshot()?;
    let answer =
        SnapshotQuery::new(grid, snapshot.as_ref(), query).and_then(|asked| asked.answer());
    answer.map_err(|e| grid.blame(e))
}

/// What is asked of a grid in one snapshot.
struct SnapshotQuery<'a> {
    grid: &'a Grid,
    snapshot: &'a dyn Snapshot,
    state: State,
    pyramid: Pyramid,
    plan: LayerPlan<'a>,
    bounded: bool,
}

impl<'a> SnapshotQuery<'a> {
    fn new(grid: &'a Grid, snapshot: &'a dyn Snapshot, query: &'a StatisticsQuery) -> Result<Self> {
        query.check()?;
        let state = grid.state(snapshot)?;
        let structure = grid.structure();
        let bounded = query.max_chunks.is_some() || query.max_error.is_some();
        if let Some(dimension) = structure.irregular().filter(|_| bounded) {
            let name = structure.dimensions()[dimension].name();
            return Err(Error::invalid(format!(
                "statistics of the events of an irregular dimension, `{name}`, are exact: leave max_chunks and max_error out"
            )));
        }
        let nothing = || {
            Pyramid::of(Base::new(
                structure,
                Levels::zero(structure.dimensions().len()),
            ))
        };
        let pyramid = state.pyramid(structure).unwrap_or_else(nothing);
        let plan = LayerPlan::new(grid, query, grid.full(pyramid.base.finest()).0, bounded);
        Ok(Self {
            grid,
            snapshot,
            state,
            pyramid,
            plan,
            bounded,
        })
    }

    /// The region of the query, with a polygon in place of its own if there is one; `None` if no
    /// cell is in it. A query of an empty grid is checked as any other.
    fn region(&self, polygon: Option<&Polygon>) -> Result<Option<CellRegion<'a>>> {
        let structure = self.grid.structure();
        let bounds = match self.state.bounds {
            Some(bounds) => bounds,
            None => structure.chunk_window(&origin(self.grid, self.pyramid.base.cells())),
        };
        let region = CellRegion::new(structure, self.plan.query, polygon, &bounds)?;
        Ok(region.filter(|_| self.state.bounds.is_some()))
    }

    /// The regions of the query, one a polygon.
    fn regions(&self, polygons: &[Polygon]) -> Result<Vec<Option<CellRegion<'a>>>> {
        let region = |(number, polygon): (usize, &Polygon)| {
            self.region(Some(polygon))
                .map_err(|e| e.within(format!("polygon {} of {}", number + 1, polygons.len())))
        };
        polygons.iter().enumerate().map(region).collect()
    }

    /// The walk over the regions that have cells.
    fn walk<'w>(&'w self, regions: &'w [Option<CellRegion<'w>>], slots: Slots) -> Walk<'w> {
        let zone = |(number, region): (usize, &'w Option<CellRegion<'w>>)| {
            region.as_ref().map(|region| Zone {
                number,
                region,
                cover: region.cover(),
            })
        };
        let zones: Vec<Zone<'_>> = regions.iter().enumerate().filter_map(zone).collect();
        let ticks = zones.first().and_then(|zone| zone.region.ticks.as_ref());
        let nodes: Box<dyn NodeReader> = match self.grid.structure().irregular_axis() {
            None => Box::new(ChunkNodes),
            Some(irregular) => Box::new(ColumnNodes {
                irregular,
                pieces: ticks.map_or(Vec::new(), |ticks| slots.pieces(ticks)),
            }),
        };
        Walk {
            chunks: self.grid.chunk_reader(self.snapshot),
            plan: &self.plan,
            pyramid: self.pyramid,
            bounded: self.bounded,
            nodes,
            slots,
            zones,
        }
    }

    fn answer(&self) -> Result<Statistics> {
        let regions = [self.region(self.plan.query.polygon.as_ref())?];
        let walk = self.walk(&regions, Slots::One);
        let roots = Roots::new(&walk, None)?;
        if self.bounded {
            return approximate(&walk, &roots);
        }
        let (tallies, read) = exact(&walk, &roots)?;
        Ok(self.of(tallies.get(&0).unwrap_or(&SlotTally::default()), read))
    }

    fn answer_each(&self, polygons: &[Polygon]) -> Result<Zones<Statistics>> {
        if self.bounded {
            return Err(Error::invalid(
                "the statistics of several polygons are exact: leave max_chunks and max_error out",
            ));
        }
        let regions = self.regions(polygons)?;
        let walk = self.walk(&regions, Slots::One);
        let (told, chunks_read) = exact(&walk, &Roots::new(&walk, None)?)?;
        let tallies = by_region(&walk, regions.len(), told);
        let each = tallies
            .iter()
            .map(|tallies| self.of(&tallies[0], ChunksRead::default()))
            .collect();
        Ok(Zones { each, chunks_read })
    }

    /// What follows from all that there is.
    fn of(&self, tally: &SlotTally, read: ChunksRead) -> Statistics {
        Statistics::new(
            &KnownStatistics {
                tally,
                doubts: Vec::new(),
                plan: &self.plan,
            },
            read,
        )
    }
}

/// A location of some levels, for grids that have no other.
fn origin(grid: &Grid, levels: Levels) -> Location {
    let index: Vec<i64> = vec![0; grid.structure().rank()];
    let found = grid
        .structure()
        .location(levels, &crate::grid::ChunkIndex::from(index.as_slice()));
    found.unwrap_or_else(|_| unreachable!("chunk 0 is there at every level"))
}

/// What is known of the slots of a walk by their numbers, and what was read for it.
type ToldSlots = (BTreeMap<usize, SlotTally>, ChunksRead);

/// What was told of each region, one tally a slot.
fn by_region(
    walk: &Walk<'_>,
    regions: usize,
    mut told: BTreeMap<usize, SlotTally>,
) -> Vec<Vec<SlotTally>> {
    let mut all = vec![walk.tallies(); regions];
    for (zone, of) in walk.zones.iter().enumerate() {
        let first = zone * walk.slots.count();
        let tallies = all[of.number].iter_mut().enumerate();
        tallies.for_each(|(slot, tally)| *tally = told.remove(&(first + slot)).unwrap_or_default());
    }
    all
}

/// Walks everything.
fn exact(walk: &Walk<'_>, roots: &Roots) -> Result<ToldSlots> {
    let mut told = ToldSlots::default();
    let mut locations = roots.locations(walk);
    loop {
        let some: Vec<Location> = locations.by_ref().take(ROOTS_AT_ONCE).collect();
        if some.is_empty() {
            break;
        }
        let walked = parallel::map_owned(some, |at| {
            roots
                .nodes(walk, at)?
                .into_iter()
                .map(|nodes| descend(walk, nodes))
                .collect::<Result<Vec<_>>>()
        })?;
        fold(walk, walked.into_iter().flatten(), &mut told)?;
    }
    Ok(told)
}

/// Tells all of the nodes of one place. Parts are added in the order of their places, so that the
/// answer does not depend on the threads.
fn descend(walk: &Walk<'_>, nodes: Vec<NodeVisit>) -> Result<ToldSlots> {
    let opened = walk.open(&nodes)?;
    drop(nodes);
    let mut told = (opened.tallies, opened.read);
    let places = OpenedNodes::places(opened.children);
    let parts = parallel::map_owned(places, |place| descend(walk, place))?;
    fold(walk, parts.into_iter(), &mut told)?;
    Ok(told)
}

fn fold(
    walk: &Walk<'_>,
    parts: impl Iterator<Item = ToldSlots>,
    (tallies, read): &mut ToldSlots,
) -> Result<()> {
    for (part, part_read) in parts {
        *read += part_read;
        for (slot, part) in part {
            let tally = tallies.entry(slot).or_default();
            tally.merge(part);
            walk.check_classes(tally)?;
        }
    }
    Ok(())
}

/// Walks where most is to be gained, until the bounds are close enough or the chunks are used up.
fn approximate(walk: &Walk<'_>, roots: &Roots) -> Result<Statistics> {
    let query = walk.plan.query;
    let (mut tally, mut read) = (SlotTally::default(), ChunksRead::default());
    let mut open = Vec::new();
    for at in roots.locations(walk) {
        open.extend(roots.nodes(walk, at)?.into_iter().flatten());
    }
    loop {
        let known = KnownStatistics {
            tally: &tally,
            doubts: open
                .iter()
                .map(|node| node.doubt)
                .filter(|doubt| doubt.area() > 0.0)
                .collect(),
            plan: walk.plan,
        };
        let answer = Statistics::new(&known, read);
        if open.is_empty()
            || query
                .max_error
                .is_some_and(|error| is_within(&answer, &known, error))
        {
            return Ok(answer);
        }
        let left = query
            .max_chunks
            .map_or(u64::MAX, |most| most.saturating_sub(read.total()));
        let chosen = choose(walk, &mut open, left);
        if chosen.is_empty() {
            return Ok(answer);
        }
        let opened = parallel::map(&chosen, |node| walk.open(std::slice::from_ref(node)))?;
        for part in opened {
            part.tallies
                .into_values()
                .for_each(|part| tally.merge(part));
            read += part.read;
            open.extend(part.children);
            walk.check_classes(&tally)?;
        }
    }
}

/// Takes the nodes with the most to be gained that can be opened within a number of chunks.
fn choose(walk: &Walk<'_>, open: &mut Vec<NodeVisit>, mut left: u64) -> Vec<NodeVisit> {
    let sums = walk.plan.sums() || walk.plan.wants(Stat::Std);
    open.sort_by(|a, b| {
        b.doubt
            .weight(sums)
            .total_cmp(&a.doubt.weight(sums))
            .then(a.at.cmp(&b.at))
    });
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
fn is_within(answer: &Statistics, known: &KnownStatistics<'_>, error: f64) -> bool {
    let plan = known.plan;
    let shares = plan.query.bins.is_some() || plan.query.classes;
    plan.stats
        .iter()
        .filter_map(|stat| answer.get(*stat))
        .all(|estimate| estimate.is_within(error))
        && (!shares || known.doubted() / 2.0 <= error * known.area().1)
}
