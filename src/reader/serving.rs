//! Which stored chunks serve a query.

use std::collections::{BTreeMap, BTreeSet};

use super::planned;
use super::query::{Freshness, Query};
use super::sources::Lister;
use crate::error::Result;
use crate::grid::{Location, Piece, Shape, Window};
use crate::kernel::Aggregation;
use crate::key::LayerId;
use crate::store::Grid;

/// A stored chunk that serves a part of a query. See [`Grid::serving`](crate::Grid::serving).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Served {
    /// Where the chunk is stored: at the query's levels, coarser along the refinable dimension
    /// where no finer data is, or at the top where the query's levels lie above it.
    pub location: Location,
    /// The aggregator of its layer; `None` for base chunks.
    pub aggregator: Option<Aggregation>,
    /// The part of the query's window that it serves, at the levels at which the query is read.
    pub window: Window,
}

/// The stored chunks that serve a query, and which part each. The parts are disjoint.
pub(crate) fn serving(grid: &Grid, query: &Query) -> Result<Vec<Served>> {
    let (snapshot, plan) = planned(grid, query)?;
    let chunks = grid.chunk_reader(snapshot.as_ref());
    let served = Lister::new(chunks, &plan, Freshness::Stored).and_then(|lister| served(&lister));
    served.map_err(|e| grid.blame(e))
}

fn served(lister: &Lister<'_>) -> Result<Vec<Served>> {
    let (grid, plan, structure) = (
        lister.chunks.grid,
        lister.plan,
        lister.chunks.grid.structure(),
    );
    let Some(populated) = plan.populated(structure) else {
        return Ok(Vec::new());
    };
    let mut stored: BTreeMap<(LayerId, Location), BTreeSet<usize>> = BTreeMap::new();
    let values = plan.printed(lister.chunks);
    for listed in lister.lists(values)? {
        for (number, of) in listed.parts.iter().enumerate() {
            // Those that a part above the top is made of lie under it.
            let (_, below) = lister.below(values, of)?;
            of.read
                .iter()
                .chain(&below)
                .for_each(|chunk| stored.entry(*chunk).or_default().extend([number]));
        }
        for (chunk, numbers) in lister.stored(&listed)? {
            stored.entry(chunk).or_default().extend(numbers);
        }
    }
    let mut served = Vec::new();
    for ((layer, location), numbers) in stored {
        let own = structure.cover(&structure.chunk_window(&location), plan.levels());
        let part = |number: &usize| {
            let of = &lister.parts[*number];
            let part = lister.part(&of.piece, &location);
            // Of those that are computed from several chunks, each serves what lies over it.
            if plan.times.is_none() && lister.is_computed(of) {
                structure.intersection(&part, &own)
            } else {
                Some(part)
            }
        };
        let parts: Vec<Window> = numbers.iter().filter_map(part).collect();
        let aggregator = grid
            .layers()
            .iter()
            .find(|spec| spec.id == layer)
            .map(|spec| spec.aggregation.clone());
        let whole = structure.intersection(
            &structure.cover(&structure.chunk_window(&location), plan.levels()),
            &populated,
        );
        let cells = |window: &Window| {
            window
                .shape()
                .iter()
                .map(|len| u128::from(*len))
                .product::<u128>()
        };
        // Where finer aggregates serve some of what lies under a chunk, the rest is not a box.
        let windows = match whole {
            Some(whole) if parts.len() > 1 && cells(&whole) == parts.iter().map(cells).sum() => {
                vec![whole]
            }
            _ => parts,
        };
        served.extend(windows.into_iter().map(|window| Served {
            location,
            aggregator: aggregator.clone(),
            window,
        }));
    }
    Ok(served)
}

impl Lister<'_> {
    /// The cells of a piece of the window; along an irregular dimension those at the ticks of a
    /// chunk of it.
    fn part(&self, piece: &Piece, at: &Location) -> Window {
        let mut start = self.plan.window.start();
        start
            .iter_mut()
            .zip(piece.in_window.iter())
            .for_each(|(start, at)| *start = start.saturating_add_unsigned(*at as u64));
        let shape: Shape = piece.shape.iter().map(|len| *len as u64).collect();
        let window = Window::new(start, shape).at(self.plan.levels());
        self.plan.times.as_ref().map_or(window, |times| {
            times.within(&window, &times.irregular.ticks(at))
        })
    }
}
