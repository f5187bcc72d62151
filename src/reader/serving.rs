//! Which stored chunks serve a query.

use super::plan::{Plan, ReadLayer};
use super::planned;
use super::query::{Freshness, Query};
use super::sources::stored;
use crate::error::Result;
use crate::grid::{Location, Piece, Shape, Window};
use crate::kernel::Aggregation;
use crate::key::LayerId;
use crate::kv::Snapshot;
use crate::store::Grid;

/// A stored chunk that serves a part of a query. See [`Grid::serving`](crate::Grid::serving).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Served {
    /// Where the chunk is stored: at the query's levels, or coarser along the refinable dimension where no finer data is.
    pub location: Location,
    /// The aggregator of its layer; `None` for base chunks.
    pub aggregator: Option<Aggregation>,
    /// The part of the query's window that it serves, at the levels at which the query is read.
    pub window: Window,
}

/// The stored chunks that serve a query, and which part each. The parts are disjoint.
pub(crate) fn serving(grid: &Grid, query: &Query) -> Result<Vec<Served>> {
    let (snapshot, plan) = planned(grid, query)?;
    served(grid, snapshot.as_ref(), &plan).map_err(|e| grid.blame(e))
}

fn served(grid: &Grid, snapshot: &dyn Snapshot, plan: &Plan) -> Result<Vec<Served>> {
    if plan.times.is_some() {
        return super::events::serving(grid, snapshot, plan);
    }
    let (structure, chunks) = (grid.structure(), grid.chunk_reader(snapshot));
    let Some(populated) = plan.populated(structure) else { return Ok(Vec::new()) };
    let sourced = plan.sources(chunks, Freshness::Stored)?;
    let mut served = Vec::new();
    for ((layer, location), numbers) in stored(plan, chunks, &sourced)? {
        let parts: Vec<Window> =
            numbers.iter().map(|number| part(&plan.window, &sourced[*number].piece).at(plan.levels())).collect();
        let aggregator = match &plan.layer {
            ReadLayer::Aggregate(spec) if layer != LayerId::BASE => Some(spec.aggregation.clone()),
            _ => None,
        };
        let whole = structure.intersection(&structure.cover(&structure.chunk_window(&location), plan.levels()), &populated);
        let cells = |window: &Window| window.shape().iter().map(|len| u128::from(*len)).product::<u128>();
        // Where finer aggregates serve some of what lies under a chunk, the rest is not a box.
        let windows = match whole {
            Some(whole) if cells(&whole) == parts.iter().map(cells).sum() => vec![whole],
            _ => parts,
        };
        served.extend(windows.into_iter().map(|window| Served { location, aggregator: aggregator.clone(), window }));
    }
    Ok(served)
}

/// The cells of a piece of a window.
fn part(window: &Window, piece: &Piece) -> Window {
    let mut start = window.start();
    start.iter_mut().zip(piece.in_window.iter()).for_each(|(start, at)| *start = start.saturating_add_unsigned(*at as u64));
    let shape: Shape = piece.shape.iter().map(|len| *len as u64).collect();
    Window::new(start, shape)
}
