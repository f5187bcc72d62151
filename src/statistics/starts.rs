//! Where a walk starts.

use std::collections::BTreeSet;

use super::node::NodeVisit;
use super::walk::Walk;
use crate::dirty::{self, Marks};
use crate::error::{Error, Result};
use crate::grid::{Level, Location, Window};
use crate::key::{ChunkKey, LayerId};

/// The most chunks at which a walk may start: those at the top, of which there are many only where
/// a pyramid ends early.
const ROOTS_MAX: u64 = 1 << 24;
/// Up to how many locations are looked up one by one, rather than listed from the directory.
const LOOKED_UP: u64 = 4096;

/// Where a walk starts.
pub(super) struct Roots {
    /// Listed where they are few among many, else those of a window.
    listed: Option<BTreeSet<Location>>,
    window: Option<Window>,
    marked: bool,
}

impl Roots {
    /// At the top of the pyramid, but at the level `level.1` of the dimension `level.0` if there is
    /// one.
    pub(super) fn new(walk: &Walk<'_>, level: Option<(usize, Level)>) -> Result<Self> {
        let (grid, snapshot) = (walk.chunks.grid, walk.chunks.snapshot);
        let structure = grid.structure();
        let marked = Marks::first(grid, snapshot, 1)?.len() > 0;
        // Without layers there is nothing above the base.
        let mut levels = if grid.layers().is_empty() {
            walk.pyramid.base.coarsest()
        } else {
            walk.pyramid.top
        };
        if let Some((dimension, level)) = level {
            levels[dimension] = level;
        }
        // A column of events is one place.
        let levels = structure.chunk_levels(levels);
        let windows = walk.zones.iter().map(|zone| zone.region.window(levels));
        let Some(window) = windows.reduce(|all, window| structure.union(&all, &window)) else {
            return Ok(Self {
                listed: Some(BTreeSet::new()),
                window: None,
                marked,
            });
        };
        let count = structure.chunk_count(&window);
        let (at_base, built) = (
            levels == walk.pyramid.base.finest(),
            walk.pyramid.base.mixed().is_none() && walk.pyramid.built.covers(&levels),
        );
        let listed = if count > LOOKED_UP && (at_base || built && !marked) {
            let layer = if at_base {
                LayerId::BASE
            } else {
                LayerId::FIRST
            };
            let mut found = BTreeSet::new();
            grid.directory(
                snapshot,
                ChunkKey::levels(grid.id(), structure, layer, levels),
                &mut |chunk| {
                    let at = walk.nodes.node(chunk.location);
                    if structure
                        .intersection(&structure.chunk_window(&at), &window)
                        .is_some()
                    {
                        found.insert(at);
                    }
                },
            )?;
            Some(found)
        } else if count > ROOTS_MAX {
            return Err(Error::invalid(format!(
                "the region spans {count} chunks at the top of the pyramid, more than {ROOTS_MAX}; ask for a smaller one, or aggregate first"
            )));
        } else {
            None
        };
        Ok(Self {
            listed,
            window: Some(window),
            marked,
        })
    }

    pub(super) fn locations<'a>(
        &'a self,
        walk: &Walk<'a>,
    ) -> Box<dyn Iterator<Item = Location> + 'a> {
        match &self.listed {
            Some(listed) => Box::new(listed.iter().copied()),
            None => {
                let structure = walk.chunks.grid.structure();
                Box::new(
                    self.window
                        .iter()
                        .flat_map(|window| structure.split(window))
                        .map(|piece| piece.location),
                )
            }
        }
    }

    /// The nodes of a location, those that are told together in one list: of a column of events in
    /// one each of the ticks that are up to date and of the others.
    pub(super) fn nodes(&self, walk: &Walk<'_>, at: Location) -> Result<Vec<Vec<NodeVisit>>> {
        let layers: Vec<LayerId> = walk.plan.reads.iter().map(|layer| layer.id).collect();
        let pending = match self.marked && at.levels != walk.pyramid.base.finest() {
            true => dirty::pending_under(
                walk.chunks.grid,
                walk.chunks.snapshot,
                (
                    &walk.nodes.whole(walk.chunks.grid.structure(), &at),
                    &layers,
                ),
                &walk.pyramid.base,
            )?,
            false => Vec::new(),
        };
        let starts = walk.nodes.starts(pending).into_iter();
        Ok(starts.map(|start| walk.roots(at, &start)).collect())
    }
}
