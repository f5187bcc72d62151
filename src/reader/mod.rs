//! Reads: any extent at any resolution, from one snapshot.

mod between;
mod events;
mod explain;
mod fetch;
mod fold;
mod fresh;
mod layout;
mod parts;
mod plan;
mod query;
mod series;
mod series_events;
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
pub(crate) use values::Decoded;
pub use version::Version;

use std::sync::Arc;

use crate::array::{Array, DType, Validity};
use crate::error::Result;
use crate::grid::{Shape, Window};
use crate::kernel::{Method, Source, resample};
use crate::kv::Snapshot;
use crate::store::{Gaps, Grid};
use parts::Known;
use plan::Plan;

/// A snapshot in which a query is answered, once what it waits for is there, and how it is.
fn planned(grid: &Grid, query: &Query) -> Result<(Arc<dyn Snapshot>, Plan)> {
    if let Freshness::Wait { commit, timeout } = query.freshness_wanted() {
        grid.wait(commit, timeout)?;
    }
    let snapshot = grid.snapshot()?;
    let plan = plan_in(grid, snapshot.as_ref(), query)?;
    Ok((snapshot, plan))
}

fn plan_in(grid: &Grid, snapshot: &dyn Snapshot, query: &Query) -> Result<Plan> {
    Plan::new(grid, grid.state(snapshot)?, query).map_err(|e| grid.blame(e))
}

/// Answers a query.
pub(crate) fn read(grid: &Grid, query: &Query) -> Result<Answer> {
    let _span = tracing::debug_span!("read", grid = grid.name()).entered();
    let (snapshot, plan) = planned(grid, query)?;
    answer(grid, snapshot.as_ref(), plan, query)
}

/// Answers a query from a snapshot that several share.
fn read_in(grid: &Grid, snapshot: &dyn Snapshot, query: &Query) -> Result<Answer> {
    answer(grid, snapshot, plan_in(grid, snapshot, query)?, query)
}

fn answer(grid: &Grid, snapshot: &dyn Snapshot, plan: Plan, query: &Query) -> Result<Answer> {
    let fetched = fetch::fetch(grid, snapshot, &plan, query.freshness_wanted()).map_err(|e| grid.blame(e))?;
    let Known { validity, shares } = fetched.known;
    let (array, validity) = match &plan.maps {
        None => (fetched.array, validity),
        Some((maps, method)) => {
            let mut maps = maps.clone();
            if let Some(coordinates) = &fetched.coordinates {
                maps[coordinates.axis].len = coordinates.ticks.len();
            }
            // Of nothing there is a count too, and between integers there are doubles.
            let made = if *method == Method::Parts || fetched.array.dtype() != plan.dtype { DType::F64 } else { plan.dtype };
            let counts = plan.gaps == Gaps::None;
            let blank = if counts {
                0.0
            } else if made == plan.dtype {
                plan.fill
            } else {
                f64::NAN
            };
            let source = Source { cells: &fetched.array, validity: &validity, shares: shares.as_ref() };
            let (array, validity) = resample(source, &maps, *method, blank);
            (array, if counts { Validity::All } else { validity })
        }
    };
    tracing::debug!(chunks = fetched.chunks_read, stale = fetched.stale.len(), "a read");
    Ok(Answer {
        array,
        validity,
        coordinates: fetched.coordinates,
        extent: plan.extent,
        window: plan.window,
        layer: plan.layer.public(),
        stale: fetched.stale,
        chunks_read: fetched.chunks_read,
        inexact: fetched.inexact,
    })
}

/// The ticks of the events that a query asks for.
pub(crate) fn events(grid: &Grid, query: &Query) -> Result<Vec<i64>> {
    let (snapshot, plan) = planned(grid, query)?;
    events::ticks(grid, snapshot.as_ref(), &plan, query.freshness_wanted()).map_err(|e| grid.blame(e))
}

/// The same in a snapshot that several share.
pub(crate) fn events_in(grid: &Grid, snapshot: &dyn Snapshot, query: &Query) -> Result<Vec<i64>> {
    let plan = plan_in(grid, snapshot, query)?;
    events::ticks(grid, snapshot, &plan, query.freshness_wanted()).map_err(|e| grid.blame(e))
}

/// An array without data in the shape of a window.
fn blank(plan: &Plan, window: &Window) -> Array {
    Array::filled(plan.dtype, &sizes(&window.shape()), plan.fill)
}

/// A shape that [`Plan`] has found to fit memory.
fn sizes(shape: &Shape) -> Vec<usize> {
    shape.iter().map(|&len| usize::try_from(len).unwrap_or(usize::MAX)).collect()
}
