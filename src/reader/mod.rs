//! Reads: any extent at any resolution, from one snapshot.

mod bins;
mod columns;
mod explain;
mod fold;
mod fresh;
mod interpolation;
mod layout;
mod moment;
mod paint;
mod parts;
mod placed;
mod plan;
mod query;
mod runs;
mod series;
mod series_reads;
mod serving;
mod sources;
mod steps;
mod times;
mod values;
mod verbs;
mod version;

pub use explain::Explanation;
pub(crate) use fold::Fold;
pub use query::{Answer, Coordinates, Freshness, Layer, Moment, Query};
pub use series::{Series, SeriesQuery};
pub use serving::Served;
pub use steps::Steps;
pub(crate) use steps::{STEPS_MAX, StepCuts, StepKind};
pub(crate) use values::Decoded;
pub use version::Version;

use std::sync::Arc;

use ndarray::{ArrayD, Axis};

use crate::array::{Array, Validity, in_c_order, with_view};
use crate::error::{Error, Result};
use crate::grid::Shape;
use crate::kernel::{AxisMap, ResampleSource, Resampling, ResamplingMethod, resample};
use crate::kv::Snapshot;
use crate::store::{Gaps, Grid};
use layout::CellMap;
use parts::KnownCells;
use plan::ReadPlan;
use sources::Lister;

/// A snapshot in which a query is answered, once what it waits for is there, and how it is.
fn planned(grid: &Grid, query: &Query) -> Result<(Arc<dyn Snapshot>, ReadPlan)> {
    if let Freshness::Wait { commit, timeout } = query.freshness_wanted() {
        grid.wait(commit, timeout)?;
    }
    let snapshot = grid.snapshot()?;
    let plan = plan_in(grid, snapshot.as_ref(), query)?;
    Ok((snapshot, plan))
}

fn plan_in(grid: &Grid, snapshot: &dyn Snapshot, query: &Query) -> Result<ReadPlan> {
    let state = grid.state(snapshot)?;
    let plan = match runs::plan(grid, state, query) {
        Ok(None) => ReadPlan::new(grid, state, query),
        planned => planned.and_then(|plan| plan.ok_or_else(|| Error::invalid("it has no steps"))),
    };
    plan.map_err(|e| grid.blame(e))
}

/// Answers a query.
pub(crate) fn read(grid: &Grid, query: &Query) -> Result<Answer> {
    let _span = tracing::debug_span!("read", grid = grid.name()).entered();
    let (snapshot, plan) = planned(grid, query)?;
    answer(grid, snapshot.as_ref(), plan, query)
}

/// Answers a query from a snapshot that several share.
pub(crate) fn read_in(grid: &Grid, snapshot: &dyn Snapshot, query: &Query) -> Result<Answer> {
    answer(grid, snapshot, plan_in(grid, snapshot, query)?, query)
}

fn answer(grid: &Grid, snapshot: &dyn Snapshot, plan: ReadPlan, query: &Query) -> Result<Answer> {
    let fetched =
        paint::fetch(grid, snapshot, &plan, query.freshness_wanted()).map_err(|e| grid.blame(e))?;
    let KnownCells { validity, shares } = fetched.known;
    let (array, validity) = match &plan.maps {
        None => (fetched.array, validity),
        Some((maps, method)) => {
            // Of nothing there is a count too, and between integers there are doubles.
            let made = method.dtype(fetched.array.dtype());
            let counts = plan.gaps == Gaps::None;
            let blank = if counts {
                0.0
            } else if made == plan.dtype {
                plan.fill
            } else {
                f64::NAN
            };
            let source = ResampleSource {
                cells: &fetched.array,
                validity: &validity,
                shares: shares.as_ref(),
            };
            let (mut array, validity) = match maps {
                CellMap::Axes(maps) => {
                    let maps = sized(maps, &plan, fetched.coordinates.as_ref());
                    resample(source, &maps, *method, blank)
                }
                CellMap::Placed(target) => target.resampled(source, *method, blank),
            };
            if let (ResamplingMethod::Values(Resampling::Sum), Array::F64(cells)) =
                (*method, &mut array)
            {
                let weight = plan.weight_of_base(grid);
                cells.mapv_inplace(|cell| cell * weight);
            }
            let validity = if counts { Validity::All } else { validity };
            if plan.reversed.is_empty() {
                (array, validity)
            } else {
                turned(array, validity, &plan.reversed)
            }
        }
    };
    tracing::debug!(
        chunks = fetched.chunks_read,
        stale = fetched.stale.len(),
        "a read"
    );
    Ok(Answer {
        array,
        validity,
        steps: match plan.cut {
            Some(cut) => Some(cut.run.edges),
            None => steps_of(query, fetched.coordinates.as_ref()),
        },
        coordinates: fetched.coordinates,
        extent: plan.extent,
        target: query.target().cloned(),
        window: plan.window,
        layer: plan.layer.public(),
        stale: fetched.stale,
        chunks_read: fetched.chunks_read,
        inexact: fetched.inexact,
    })
}

/// Maps of axes, of that of events or steps too, which are as many as were found.
fn sized(maps: &[AxisMap], plan: &ReadPlan, coordinates: Option<&Coordinates>) -> Vec<AxisMap> {
    let mut maps = maps.to_vec();
    if let Some(coordinates) = coordinates {
        maps[coordinates.axis].len = coordinates.ticks.len();
    }
    if let Some(cut) = &plan.cut {
        maps[cut.axis] = AxisMap {
            start: 0.0,
            ratio: 1.0,
            len: cut.run.edges.len() - 1,
        };
    }
    maps
}

/// Cells in the other direction along some axes.
fn turned(array: Array, validity: Validity, axes: &[usize]) -> (Array, Validity) {
    fn of<T: Copy>(mut cells: ArrayD<T>, axes: &[usize]) -> ArrayD<T> {
        axes.iter().for_each(|axis| cells.invert_axis(Axis(*axis)));
        in_c_order(cells)
    }
    let validity = match validity {
        Validity::Mask(mask) => Validity::Mask(of(mask, axes)),
        of_all @ (Validity::All | Validity::Values { .. }) => of_all,
    };
    (
        with_view!(Array, array, |cells| Array::from(of(cells, axes))),
        validity,
    )
}

/// Where the steps of an irregular axis that a query asks for begin, and where the last one ends.
fn steps_of(query: &Query, coordinates: Option<&Coordinates>) -> Option<Vec<f64>> {
    let (cuts, ticks) = (query.steps.as_ref()?, &coordinates?.ticks);
    Some(
        ticks
            .iter()
            .copied()
            .chain(ticks.last().map(|last| cuts.end(*last)))
            .map(|tick| tick as f64)
            .collect(),
    )
}

/// The ticks of the events that a query asks for.
pub(crate) fn events(grid: &Grid, query: &Query) -> Result<Vec<i64>> {
    let (snapshot, plan) = planned(grid, query)?;
    ticks(grid, snapshot.as_ref(), &plan, query.freshness_wanted()).map_err(|e| grid.blame(e))
}

/// The same in a snapshot that several share.
pub(crate) fn events_in(grid: &Grid, snapshot: &dyn Snapshot, query: &Query) -> Result<Vec<i64>> {
    let plan = plan_in(grid, snapshot, query)?;
    ticks(grid, snapshot, &plan, query.freshness_wanted()).map_err(|e| grid.blame(e))
}

fn ticks(
    grid: &Grid,
    snapshot: &dyn Snapshot,
    plan: &ReadPlan,
    freshness: Freshness,
) -> Result<Vec<i64>> {
    let lister = Lister::new(grid.chunk_reader(snapshot), plan, freshness)?;
    lister
        .columns()
        .ok_or_else(|| Error::invalid("it has no irregular dimension"))?
        .ticks()
}

/// A shape that [`ReadPlan`] has found to fit memory.
fn sizes(shape: &Shape) -> Vec<usize> {
    shape
        .iter()
        .map(|&len| usize::try_from(len).unwrap_or(usize::MAX))
        .collect()
}
