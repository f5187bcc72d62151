//! Statistics of a region at each step of a dimension.

use std::ops::RangeInclusive;

use super::answer::Statistics;
use super::query::StatisticsQuery;
use super::region::Region;
use super::roots::Roots;
use super::slots::Slots;
use super::tally::Tally;
use super::walk::ChunksRead;
use super::{Asked, exact};
use crate::error::{Error, Result};
use crate::grid::{Irregular, Level, Levels};
use crate::kv::Snapshot;
use crate::reader::{self, Coordinates, Freshness, Query, Steps};
use crate::store::Grid;

/// The most steps of a series.
const STEPS_MAX: usize = 1 << 22;
/// How many cells of all steps together are told at once where each chunk is told anew at each step.
const CELLS_AT_ONCE: usize = 1 << 20;

/// Statistics of a region at each step of a dimension, of one commit boundary.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StatisticsSeries {
    /// Those of each step, whose own [`chunks_read`](Statistics::chunks_read) are 0: chunks tell of several.
    pub steps: Vec<Statistics>,
    /// Where each step begins in world coordinates, and where the last one ends: one more than there are steps.
    pub edges: Vec<f64>,
    /// Along an irregular dimension the exact ticks: those at which there is an event of any chunk under the region.
    pub coordinates: Option<Coordinates>,
    /// The number of the series' axis.
    pub axis: usize,
    /// The levels of a step along that axis, and of the base along the others.
    pub levels: Levels,
    /// Chunks read and decoded.
    pub chunks_read: ChunksRead,
}

/// Answers a query at each of some steps.
pub(crate) fn statistics_series(grid: &Grid, query: &StatisticsQuery, steps: &Steps) -> Result<StatisticsSeries> {
    let snapshot = grid.snapshot()?;
    of_steps(grid, snapshot.as_ref(), query, steps).map_err(|e| grid.blame(e))
}

fn of_steps(grid: &Grid, snapshot: &dyn Snapshot, query: &StatisticsQuery, steps: &Steps) -> Result<StatisticsSeries> {
    let axis = steps.axis(grid.structure())?;
    let asked = Asked::new(grid, snapshot, query)?;
    if asked.bounded {
        return Err(Error::invalid("the statistics of a series are exact: leave max_chunks and max_error out"));
    }
    if asked.state.bounds.is_none() {
        return Err(Error::not_found("it is empty: nothing was put yet"));
    }
    match grid.structure().irregular_axis() {
        Some(irregular) => asked.of_events(irregular, steps),
        None => asked.of_runs(axis, steps),
    }
}

impl Asked<'_> {
    /// Steps along a regular axis.
    fn of_runs(&self, axis: usize, steps: &Steps) -> Result<StatisticsSeries> {
        let structure = self.grid.structure();
        let d = structure.dimension_of(axis);
        let window = steps.window(self.grid, self.state, axis, Freshness::Stored)?;
        let levels = window.levels(structure.dimensions().len());
        let (first, end, level) = (window.start()[axis], window.end()[axis], levels[d]);
        few(window.shape()[axis])?;
        let mut told = Vec::new();
        let mut chunks_read = ChunksRead::default();
        let region = self.region()?;
        let at_once = i64::from(structure.axes().nth(axis).map_or(1, crate::grid::Axis::chunk).max(1));
        let mut from = first;
        while from < end {
            // The steps of one row of chunks.
            let to = (from.div_euclid(at_once) + 1).saturating_mul(at_once).min(end);
            let count = to.abs_diff(from);
            let steps = window.along(axis, from, count);
            let first = region.as_ref().map_or(0, |region| region.along(axis, &steps).start);
            let up = level.above(self.bases.cells()[d]);
            let slots = Slots::Runs { axis, first, up, count: usize::try_from(count).unwrap_or(usize::MAX) };
            let part = region.as_ref().and_then(|region| region.within(axis, &steps));
            self.tell(part.as_ref(), slots, Some((d, level)), (&mut told, &mut chunks_read))?;
            from = to;
        }
        let edges = (0..=window.shape()[axis]).map(|step| structure.edge(axis, level, first.saturating_add_unsigned(step)));
        Ok(StatisticsSeries { steps: told, edges: edges.collect(), coordinates: None, axis, levels, chunks_read })
    }

    /// Steps along an irregular axis.
    fn of_events(&self, irregular: Irregular, steps: &Steps) -> Result<StatisticsSeries> {
        let axis = irregular.axis;
        let region = self.region()?;
        let (first, end) = region.as_ref().and_then(|region| region.ticks.as_ref()).map_or((0, 0), |t| (*t.start(), t.end() + 1));
        let (from, to) = steps.between((first, end));
        let within = from..=to.saturating_sub(1);
        let none = from >= to;
        let listed = match &region {
            Some(region) if !none && steps.even().is_none() => self.events(region, irregular, &within)?,
            _ => Vec::new(),
        };
        let level = steps.level(self.grid, self.state, (irregular, Freshness::Stored), || Ok(listed.clone()))?;
        let (ranges, width) = match steps.even() {
            Some(even) if even.step == 0 => return Err(Error::invalid("a step of 0 ticks has no events")),
            Some(_) if none => (Vec::new(), 1),
            Some(even) => {
                few(even.count(&within) as u64)?;
                (even.starts(&within)?.into_iter().map(|start| (start, even.ticks(start, &within))).collect(), even.step)
            }
            None => {
                let mut bins: Vec<i64> = listed.into_iter().map(|tick| irregular.bin(level, tick)).collect();
                bins.dedup();
                let of_bin = |bin: i64| irregular.ticks_of_bin(level, bin);
                let width = 1_u64.checked_shl(level.above(Level::ZERO)).unwrap_or(u64::MAX);
                (bins.into_iter().map(|bin| (*of_bin(bin).start(), of_bin(bin))).collect::<Vec<_>>(), width)
            }
        };
        few(ranges.len() as u64)?;
        let mut told = Vec::new();
        let mut chunks_read = ChunksRead::default();
        let cells = self.grid.structure().chunk_cells() / irregular.capacity;
        for some in ranges.chunks((CELLS_AT_ONCE / cells).max(1)) {
            let slots = Slots::Ticks(some.iter().map(|(_, ticks)| ticks.clone()).collect());
            self.tell(region.as_ref(), slots, None, (&mut told, &mut chunks_read))?;
        }
        let ticks: Vec<i64> = ranges.into_iter().map(|(start, _)| start).collect();
        let end = ticks.last().map(|last| last.saturating_add_unsigned(width) as f64);
        Ok(StatisticsSeries {
            steps: told,
            edges: ticks.iter().map(|tick| *tick as f64).chain(end).collect(),
            coordinates: Some(Coordinates { axis, ticks, width }),
            axis,
            levels: self.bases.cells().with(irregular.dimension, level),
            chunks_read,
        })
    }

    /// The ticks of the events of all chunks under a region.
    fn events(&self, region: &Region<'_>, irregular: Irregular, ticks: &RangeInclusive<i64>) -> Result<Vec<i64>> {
        let levels = self.bases.cells();
        let window = region.window(levels).along(irregular.axis, *ticks.start(), ticks.end().abs_diff(*ticks.start()) + 1);
        reader::events_in(self.grid, self.snapshot, &Query::window(window.at(levels)).layer(reader::Layer::Base))
    }

    /// Tells of each slot of a region.
    fn tell(
        &self,
        region: Option<&Region<'_>>,
        slots: Slots,
        level: Option<(usize, Level)>,
        (told, read): (&mut Vec<Statistics>, &mut ChunksRead),
    ) -> Result<()> {
        let tallies = match region {
            None => vec![Tally::default(); slots.count()],
            Some(region) => {
                let walk = self.walk(region, slots);
                let (tallies, of_walk) = exact(&walk, &Roots::new(self.grid, self.snapshot, self.state, &walk, level)?)?;
                *read += of_walk;
                tallies
            }
        };
        told.extend(tallies.iter().map(|tally| self.of(tally, ChunksRead::default())));
        Ok(())
    }
}

/// Refuses more steps than anybody can look at.
fn few(steps: u64) -> Result<()> {
    if steps <= STEPS_MAX as u64 {
        return Ok(());
    }
    Err(Error::invalid(format!("a series of {steps} steps is more than {STEPS_MAX}; ask for fewer points or a shorter range")))
}
