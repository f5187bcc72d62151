//! What a read would do.

use std::fmt;

use super::fresh::Fresh;
use super::plan::Plan;
use super::query::{Freshness, Layer, Query};
use super::sources::{Source, Sourced, stored};
use super::{events, planned};
use crate::error::Result;
use crate::grid::{Extent, Levels, Window};
use crate::kernel::Resampling;
use crate::kv::Snapshot;
use crate::parallel;
use crate::store::Grid;

/// Says what a read of a query would do.
pub(crate) fn explain(grid: &Grid, query: &Query) -> Result<Explanation> {
    let (snapshot, plan) = planned(grid, query)?;
    let counts = counts(grid, snapshot.as_ref(), &plan, query.freshness_wanted());
    let (chunks, stored, stale) = counts.map_err(|e| grid.blame(e))?;
    Ok(Explanation {
        layer: plan.layer.public(),
        levels: plan.levels(),
        window: plan.window,
        extent: plan.extent.clone(),
        chunks,
        stored,
        stale,
        resampling: plan.maps.as_ref().map(|(maps, method)| (method.resampling(), maps.iter().map(|map| map.len).collect())),
        dimensions: grid.structure().dimensions().iter().map(|d| d.name().to_owned()).collect(),
    })
}

/// How many chunks the window touches, how many are read, and how many of those that are touched are out of date. Along an
/// irregular dimension a window touches those that there are.
fn counts(grid: &Grid, snapshot: &dyn Snapshot, plan: &Plan, freshness: Freshness) -> Result<(u64, u64, u64)> {
    if plan.times.is_some() {
        let (read, stale) = events::counts(grid, snapshot, plan, freshness)?;
        return Ok((read, read, stale));
    }
    let chunks = grid.chunk_reader(snapshot);
    let sourced = plan.sources(chunks, freshness)?;
    let computed: Vec<&Sourced> = sourced.iter().filter(|of| of.source == Source::Computed).collect();
    let computed = parallel::map(&computed, |of| {
        let Some(values) = plan.printed(chunks) else { return Ok(0) };
        let fresh = Fresh::new(values, &plan.pyramid);
        fresh.effective(&of.piece.location, &of.pending)?;
        Ok(fresh.chunks_read())
    })?;
    let computed: u64 = computed.into_iter().sum();
    let stored = stored(plan, chunks, &sourced)?.len() as u64;
    let stale = sourced.iter().filter(|of| !of.pending.is_empty()).count() as u64;
    Ok((grid.structure().chunk_count(&plan.window), stored + computed, stale))
}

/// How a query would be answered.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// The layer that is read.
    pub layer: Layer,
    /// The level of each dimension.
    pub levels: Levels,
    /// The cells that are read.
    pub window: Window,
    /// The box of the answer.
    pub extent: Extent,
    /// Chunks that the window touches.
    pub chunks: u64,
    /// How many chunks are read: those of them that are stored; where the refinable dimension has data at several levels, coarser
    /// ones in whose place some of them lie; and for a fresh answer, those that stale ones are computed from.
    pub stored: u64,
    /// How many of the chunks that the window touches are out of date.
    pub stale: u64,
    /// How the cells are resampled, and to which shape, if they are.
    pub resampling: Option<(Resampling, Vec<usize>)>,
    dimensions: Vec<String>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels: Vec<_> =
            self.dimensions.iter().zip(self.levels.iter()).map(|(name, level)| format!("{name} {level}")).collect();
        writeln!(f, "level: {}", levels.join(", "))?;
        writeln!(f, "layer: {}", self.layer)?;
        writeln!(f, "window: {:?} cells at {:?}", self.window.shape(), self.window.start())?;
        writeln!(f, "chunks: {} touched, {} stored, {} stale", self.chunks, self.stored, self.stale)?;
        match &self.resampling {
            None => write!(f, "resampling: none"),
            Some((resampling, shape)) => write!(f, "resampling: {resampling} to {shape:?} cells"),
        }
    }
}
