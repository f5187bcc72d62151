//! What puts would change. The directory is asked; no chunk is read.

use std::collections::BTreeSet;

use super::levels::check_levels;
use super::targets::PutPlaces;
use crate::aggregate::{self, AggregationPlan};
use crate::dirty::{Edge, parents};
use crate::error::{Error, Result};
use crate::grid::{Location, Piece, Window};
use crate::store::{Base, Grid};

/// The most chunks that are forecast at once.
const CHUNKS_MAX: u64 = 1 << 22;

/// The chunks that some puts would change, and no others.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Forecast {
    /// Base chunks that would be written or taken away, in the order of their places. Along an
    /// irregular dimension they are buckets, each of which may be of several chunks.
    pub base: Vec<Location>,
    /// The places of aggregates that would be computed, each of them in every layer.
    pub aggregates: Vec<Location>,
    /// Base chunks that would be split for finer data: no part of one can be written without the
    /// others.
    pub split: Vec<Location>,
}

impl Grid {
    /// The chunks that would change if every cell of some windows were put: the base chunks that
    /// the windows touch, those that are split for them, and all aggregates above, up to the top
    /// that there would be. Along an irregular dimension a window is of its ticks. No chunk is
    /// read, and nothing changes.
    ///
    /// # Errors
    ///
    /// Those that the puts would have for their place: [`Invalid`](crate::ErrorKind::Invalid) where
    /// a window does not fit, and [`AggregatedLevel`](crate::ErrorKind::AggregatedLevel) where it
    /// is coarser than the data there. And `Invalid` for more than 2^22 chunks.
    pub fn forecast(&self, windows: &[Window]) -> Result<Forecast> {
        let snapshot = self.snapshot()?;
        let (chunks, structure) = (self.chunk_reader(snapshot.as_ref()), self.structure());
        let old = self.state(snapshot.as_ref())?;
        let mut new = old;
        for window in windows {
            structure.check(window)?;
            check_levels(self, new.base.as_ref(), window, true)?;
            new = new.grown(structure, window).map_err(|e| self.blame(e))?;
        }
        let Some(mut base) = new.base else {
            return Ok(Forecast::default());
        };
        let mut count = 0_u64;
        for window in windows {
            count = count.saturating_add(structure.chunk_count(&structure.bucket_window(window)));
        }
        if count > CHUNKS_MAX {
            return Err(self.blame(Error::invalid(format!(
                "the windows touch {count} chunks, more than {CHUNKS_MAX}; ask for fewer at a time"
            ))));
        }
        let pieces = |window: &Window| structure.split(&structure.bucket_window(window)).collect();
        let puts: Vec<Vec<Piece>> = windows.iter().map(pieces).collect();
        base = puts
            .iter()
            .flatten()
            .fold(base, |base, piece| base.with(piece.location.levels));
        let places = PutPlaces::new(chunks, &base, old.base.as_ref(), puts, |_, _| true)?;
        base = places
            .leaves
            .iter()
            .fold(base, |base: Base, at| base.with(at.levels));
        new.base = Some(base);
        new.bounds = new
            .bounds
            .map(|bounds| structure.cover(&bounds, base.cells()));
        let mut aggregates = BTreeSet::new();
        if let Some(pyramid) = new.pyramid(structure).filter(|_| !self.layers().is_empty()) {
            let own = places.order.iter().chain(&places.split).chain(&places.left);
            let mut edges: Vec<Edge> = own.flat_map(|at| parents(self, at, None)).collect();
            if pyramid.top != pyramid.built && pyramid.top.covers(&pyramid.built) {
                edges.extend(aggregate::raise_edges(self, snapshot.as_ref(), &pyramid)?);
            }
            let plan = AggregationPlan::new(chunks, edges, &pyramid)?;
            aggregates.extend(
                plan.nodes
                    .iter()
                    .map(|node| node.at)
                    .chain(places.split.iter().copied())
                    .chain(places.left),
            );
        }
        let base = places
            .leaves
            .iter()
            .chain(&places.split)
            .copied()
            .collect::<BTreeSet<Location>>();
        Ok(Forecast {
            base: base.into_iter().collect(),
            aggregates: aggregates.into_iter().collect(),
            split: places.split.into_iter().collect(),
        })
    }
}
