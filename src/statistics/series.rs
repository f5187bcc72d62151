//! Statistics of a region at each step of a dimension.

use std::ops::{Range, RangeInclusive};

use super::answer::Statistics;
use super::node::ChunksRead;
use super::polygon::Polygon;
use super::query::StatisticsQuery;
use super::region::CellRegion;
use super::series_slots::Slots;
use super::starts::Roots;
use super::tally::SlotTally;
use super::{SnapshotQuery, Zones, by_region, exact};
use crate::error::{Error, Result};
use crate::grid::{Irregular, Level, Levels};
use crate::kv::Snapshot;
use crate::reader::{self, Coordinates, Freshness, Query, STEPS_MAX, StepCuts, StepKind, Steps};
use crate::store::Grid;

/// How many cells of all steps together are told at once where each chunk is told anew at each
/// step.
const CELLS_AT_ONCE: usize = 1 << 20;
/// How many steps of several chunks are told at once.
const STEPS_AT_ONCE: usize = 64;

/// Statistics of a region at each step of a dimension, of one commit boundary.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StatisticsSeries {
    /// Those of each step, whose own [`chunks_read`](Statistics::chunks_read) are 0: chunks tell of
    /// several.
    pub steps: Vec<Statistics>,
    /// Where each step begins in world coordinates, and where the last one ends: one more than
    /// there are steps.
    pub edges: Vec<f64>,
    /// Along an irregular dimension the exact ticks: those at which there is an event of any chunk
    /// under the region.
    pub coordinates: Option<Coordinates>,
    /// The number of the series' axis.
    pub axis: usize,
    /// The levels of a step along that axis, and of the base along the others.
    pub levels: Levels,
    /// Chunks read and decoded.
    pub chunks_read: ChunksRead,
}

/// Answers a query at each of some steps.
pub(crate) fn statistics_series(
    grid: &Grid,
    query: &StatisticsQuery,
    steps: &Steps,
) -> Result<StatisticsSeries> {
    let snapshot = grid.snapshot()?;
    let all = of_steps(grid, snapshot.as_ref(), query, None, steps).map_err(|e| grid.blame(e))?;
    let found = all
        .each
        .into_iter()
        .next()
        .ok_or_else(|| grid.blame(Error::invalid("there is no region")))?;
    Ok(StatisticsSeries {
        chunks_read: all.chunks_read,
        ..found
    })
}

/// Answers a query for each of several polygons, in place of its own, at each of some steps.
pub(crate) fn statistics_series_of_each(
    grid: &Grid,
    query: &StatisticsQuery,
    polygons: &[Polygon],
    steps: &Steps,
) -> Result<Zones<StatisticsSeries>> {
    let snapshot = grid.snapshot()?;
    of_steps(grid, snapshot.as_ref(), query, Some(polygons), steps).map_err(|e| grid.blame(e))
}

/// The same for the query's own polygon if there are none.
fn of_steps(
    grid: &Grid,
    snapshot: &dyn Snapshot,
    query: &StatisticsQuery,
    polygons: Option<&[Polygon]>,
    steps: &Steps,
) -> Result<Zones<StatisticsSeries>> {
    let axis = steps.axis(grid.structure())?;
    let asked = SnapshotQuery::new(grid, snapshot, query)?;
    if asked.bounded {
        return Err(Error::invalid(
            "the statistics of a series are exact: leave max_chunks and max_error out",
        ));
    }
    if asked.state.bounds.is_none() {
        return Err(Error::not_found("it is empty: nothing was put yet"));
    }
    steps.cuts().map_or(Ok(()), |cuts| cuts.check())?;
    let regions = match polygons {
        Some(polygons) => asked.regions(polygons)?,
        None => vec![asked.region(query.polygon.as_ref())?],
    };
    match steps.kind(grid.structure()) {
        StepKind::Cells => asked.of_cells(&regions, axis, steps),
        StepKind::Runs(cuts) => asked.of_runs(&regions, axis, (steps, cuts)),
        StepKind::Ticks(irregular) => asked.of_ticks(&regions, irregular, steps),
    }
}

/// What was told of each region, step by step.
struct ToldSeries {
    each: Vec<Vec<Statistics>>,
    chunks_read: ChunksRead,
}

impl<'a> SnapshotQuery<'a> {
    /// Steps of one cell of a level along a regular axis.
    fn of_cells(
        &self,
        regions: &[Option<CellRegion<'a>>],
        axis: usize,
        steps: &Steps,
    ) -> Result<Zones<StatisticsSeries>> {
        let structure = self.grid.structure();
        let d = structure.dimension_of(axis);
        let window = steps.window(self.grid, self.state, axis, Freshness::Stored)?;
        let levels = window.levels(structure.dimensions().len());
        let (first, end, level) = (window.start()[axis], window.end()[axis], levels[d]);
        few(window.shape()[axis])?;
        let mut told = ToldSeries::of(regions);
        let at_once = i64::from(
            structure
                .axes()
                .nth(axis)
                .map_or(1, crate::grid::Axis::chunk)
                .max(1),
        );
        let along =
            regions.iter().flatten().next().map(|region| {
                move |step: i64| region.along(axis, &window.along(axis, step, 1)).start
            });
        let mut from = first;
        while from < end {
            // The steps of one row of chunks.
            let to = (from.div_euclid(at_once) + 1)
                .saturating_mul(at_once)
                .min(end);
            let edges = (from..=to)
                .map(|step| along.as_ref().map_or(step, |along| along(step)))
                .collect();
            self.tell(
                regions,
                Slots::Runs { axis, edges },
                Some((d, level)),
                &mut told,
            )?;
            from = to;
        }
        let edges = (0..=window.shape()[axis])
            .map(|step| structure.edge(axis, level, first.saturating_add_unsigned(step)));
        Ok(told.series(edges.collect(), None, axis, levels))
    }

    /// Steps of any lengths along a regular axis.
    fn of_runs(
        &self,
        regions: &[Option<CellRegion<'a>>],
        axis: usize,
        (steps, cuts): (&Steps, &StepCuts),
    ) -> Result<Zones<StatisticsSeries>> {
        let structure = self.grid.structure();
        let levels = self.pyramid.base.cells();
        let window = steps.window(self.grid, self.state, axis, Freshness::Stored)?;
        let cells = structure.cover(&window, levels);
        let cells = cells.start()[axis]..cells.end()[axis];
        let level = levels[structure.dimension_of(axis)];
        let run = cuts.cells(structure, axis, level, &cells)?;
        let run = run.ok_or_else(|| {
            Error::not_found("no step that is asked for has anything of what was put")
        })?;
        let mut told = ToldSeries::of(regions);
        let mut from = 0;
        while from + 1 < run.cells.len() {
            let to = (from + STEPS_AT_ONCE).min(run.cells.len() - 1);
            self.tell(
                regions,
                Slots::Runs {
                    axis,
                    edges: run.cells[from..=to].to_vec(),
                },
                None,
                &mut told,
            )?;
            from = to;
        }
        Ok(told.series(run.edges, None, axis, levels))
    }

    /// Steps along an irregular axis.
    fn of_ticks(
        &self,
        regions: &[Option<CellRegion<'a>>],
        irregular: Irregular,
        steps: &Steps,
    ) -> Result<Zones<StatisticsSeries>> {
        let axis = irregular.axis;
        let ticks = regions
            .iter()
            .flatten()
            .next()
            .and_then(|region| region.ticks.as_ref());
        let (from, to) =
            steps.between(ticks.map_or((0, 0), |ticks| (*ticks.start(), ticks.end() + 1)));
        let within = from..=to.saturating_sub(1);
        let none = from >= to;
        let listed = match none || steps.cuts().is_some() {
            true => Vec::new(),
            false => self.events(regions, irregular, &within)?,
        };
        let level = steps.level(
            self.grid,
            self.state,
            (irregular, Freshness::Stored),
            || Ok(listed.clone()),
        )?;
        let ranges: Vec<(i64, RangeInclusive<i64>)> = match steps.cuts() {
            Some(_) if none => Vec::new(),
            Some(cuts) => {
                few(cuts.count(&within) as u64)?;
                cuts.of(&within)?
            }
            None => {
                let mut bins: Vec<i64> = listed
                    .into_iter()
                    .map(|tick| irregular.bin(level, tick))
                    .collect();
                bins.dedup();
                let of_bin = |bin: i64| irregular.ticks_of_bin(level, bin);
                bins.into_iter()
                    .map(|bin| (*of_bin(bin).start(), of_bin(bin)))
                    .collect()
            }
        };
        few(ranges.len() as u64)?;
        let mut told = ToldSeries::of(regions);
        let cells = self.grid.structure().chunk_cells() / irregular.capacity;
        for some in ranges.chunks((CELLS_AT_ONCE / cells).max(1)) {
            let ticks = some.iter().map(|(_, ticks)| ticks.clone()).collect();
            let slots = Slots::Ticks { axis, ticks };
            self.tell(regions, slots, None, &mut told)?;
        }
        let ticks: Vec<i64> = ranges.into_iter().map(|(start, _)| start).collect();
        let of_bins = 1_u64
            .checked_shl(level.above(Level::ZERO))
            .unwrap_or(u64::MAX);
        let width = steps.cuts().map_or(of_bins, |cuts| cuts.width());
        let of_last = |last: &i64| {
            steps
                .cuts()
                .map_or(last.saturating_add_unsigned(width), |cuts| cuts.end(*last))
        };
        let end = ticks.last().map(|last| of_last(last) as f64);
        let edges = ticks.iter().map(|tick| *tick as f64).chain(end).collect();
        let levels = self.pyramid.base.cells().with(irregular.dimension, level);
        Ok(told.series(
            edges,
            Some(Coordinates { axis, ticks, width }),
            axis,
            levels,
        ))
    }

    /// The ticks of the events of all chunks under regions.
    fn events(
        &self,
        regions: &[Option<CellRegion<'a>>],
        irregular: Irregular,
        ticks: &RangeInclusive<i64>,
    ) -> Result<Vec<i64>> {
        let levels = self.pyramid.base.cells();
        let windows = regions.iter().flatten().map(|region| region.window(levels));
        let Some(window) = windows.reduce(|all, window| self.grid.structure().union(&all, &window))
        else {
            return Ok(Vec::new());
        };
        let window = window.along(
            irregular.axis,
            *ticks.start(),
            ticks.end().abs_diff(*ticks.start()) + 1,
        );
        reader::events_in(
            self.grid,
            self.snapshot,
            &Query::window(window.at(levels)).layer(reader::Layer::Base),
        )
    }

    /// Tells of each slot of each region.
    fn tell(
        &self,
        regions: &[Option<CellRegion<'a>>],
        slots: Slots,
        level: Option<(usize, Level)>,
        told: &mut ToldSeries,
    ) -> Result<()> {
        let span = |(axis, edges): (usize, &[i64])| -> (usize, Range<i64>) {
            (axis, edges[0]..edges[edges.len() - 1])
        };
        let parts: Vec<Option<CellRegion<'_>>> = match slots.cuts().map(span) {
            Some((axis, cells)) => regions
                .iter()
                .map(|region| region.as_ref()?.within(axis, &cells))
                .collect(),
            None => regions.to_vec(),
        };
        let walk = self.walk(&parts, slots);
        let (found, read) = exact(&walk, &Roots::new(&walk, level)?)?;
        told.chunks_read += read;
        for (each, tallies) in told
            .each
            .iter_mut()
            .zip(by_region(&walk, parts.len(), found))
        {
            each.extend(
                tallies
                    .iter()
                    .map(|tally: &SlotTally| self.of(tally, ChunksRead::default())),
            );
        }
        Ok(())
    }
}

impl ToldSeries {
    fn of(regions: &[Option<CellRegion<'_>>]) -> Self {
        Self {
            each: vec![Vec::new(); regions.len()],
            chunks_read: ChunksRead::default(),
        }
    }

    fn series(
        self,
        edges: Vec<f64>,
        coordinates: Option<Coordinates>,
        axis: usize,
        levels: Levels,
    ) -> Zones<StatisticsSeries> {
        let series = |steps: Vec<Statistics>| {
            let (edges, coordinates) = (edges.clone(), coordinates.clone());
            StatisticsSeries {
                steps,
                edges,
                coordinates,
                axis,
                levels,
                chunks_read: ChunksRead::default(),
            }
        };
        Zones {
            each: self.each.into_iter().map(series).collect(),
            chunks_read: self.chunks_read,
        }
    }
}

/// Refuses more steps than anybody can look at.
fn few(steps: u64) -> Result<()> {
    if steps <= STEPS_MAX as u64 {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "a series of {steps} steps is more than {STEPS_MAX}; ask for fewer points or a shorter range"
    )))
}
