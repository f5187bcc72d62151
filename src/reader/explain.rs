//! What a read would do.

use std::fmt;

use super::planned;
use super::query::{Layer, Query};
use super::sources::Lister;
use crate::error::Result;
use crate::grid::{Extent, Levels, Window};
use crate::kernel::Resampling;
use crate::parallel;
use crate::store::Grid;

/// Says what a read of a query would do.
pub(crate) fn explain(grid: &Grid, query: &Query) -> Result<Explanation> {
    let (snapshot, plan) = planned(grid, query)?;
    let chunks = grid.chunk_reader(snapshot.as_ref());
    let counts =
        Lister::new(chunks, &plan, query.freshness_wanted()).and_then(|lister| counts(&lister));
    let (chunks, stored, stale) = counts.map_err(|e| grid.blame(e))?;
    Ok(Explanation {
        layer: plan.layer.public(),
        levels: plan.levels(),
        window: plan.window,
        extent: plan.extent.clone(),
        chunks,
        stored,
        stale,
        resampling: plan
            .maps
            .as_ref()
            .map(|(maps, method)| (method.resampling(), maps.lens())),
        dimensions: grid
            .structure()
            .dimensions()
            .iter()
            .map(|d| d.name().to_owned())
            .collect(),
    })
}

/// How many chunks the window touches, how many are read, and how many of those that are touched
/// are out of date. Along an irregular dimension a window touches those that there are.
fn counts(lister: &Lister<'_>) -> Result<(u64, u64, u64)> {
    let values = lister.plan.printed(lister.chunks);
    let (mut touched, mut read, mut stale) = (lister.chosen_by(), lister.chosen_by(), 0_u64);
    for listed in lister.lists(values)? {
        let below = parallel::map(&listed.parts, |of| Ok(lister.below(values, of)?.1.len()))?;
        let stored = lister.stored(&listed)?;
        let mut of_part: Vec<usize> = listed.parts.iter().map(|of| of.read.len()).collect();
        read += (stored.len() + below.iter().sum::<usize>() + of_part.iter().sum::<usize>()) as u64;
        touched += if listed.coordinates.is_none() {
            of_part.fill(1);
            lister
                .chunks
                .grid
                .structure()
                .chunk_count(&lister.plan.window)
        } else {
            stored
                .values()
                .flatten()
                .for_each(|number| of_part[*number] += 1);
            of_part.iter().sum::<usize>() as u64
        };
        let pending = of_part
            .iter()
            .zip(&listed.parts)
            .filter(|(_, of)| !of.part.pending.is_empty());
        stale += pending.map(|(touched, _)| *touched as u64).sum::<u64>();
    }
    Ok((touched, read, stale))
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
    /// How many chunks are read: those of them that are stored; where the refinable dimension has
    /// data at several levels, coarser ones in whose place some of them lie; and for a fresh
    /// answer, those that stale ones are computed from.
    pub stored: u64,
    /// How many of the chunks that the window touches are out of date.
    pub stale: u64,
    /// How the cells are resampled, and to which shape, if they are.
    pub resampling: Option<(Resampling, Vec<usize>)>,
    dimensions: Vec<String>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels: Vec<_> = self
            .dimensions
            .iter()
            .zip(self.levels.iter())
            .map(|(name, level)| format!("{name} {level}"))
            .collect();
        writeln!(f, "level: {}", levels.join(", "))?;
        writeln!(f, "layer: {}", self.layer)?;
        writeln!(
            f,
            "window: {:?} cells at {:?}",
            self.window.shape(),
            self.window.start()
        )?;
        writeln!(
            f,
            "chunks: {} touched, {} stored, {} stale",
            self.chunks, self.stored, self.stale
        )?;
        match &self.resampling {
            None => write!(f, "resampling: none"),
            Some((resampling, shape)) => write!(f, "resampling: {resampling} to {shape:?} cells"),
        }
    }
}
