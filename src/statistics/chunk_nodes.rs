//! Nodes that are chunks of cells.

use std::sync::Arc;

use super::layer_values::Facts;
use super::node::{KnownFacts, NodeCells, NodeReader, NodeStart, NodeVisit, OpenedNodes};
use super::series_slots::TickPiece;
use super::walk::Walk;
use crate::dirty::{Edge, stale_window};
use crate::error::Result;
use crate::grid::{Location, Structure, Tuple};
use crate::kernel::fill_box;
use crate::store::BaseChunk;

/// Each node is a chunk of cells.
pub(super) struct ChunkNodes;

impl NodeReader for ChunkNodes {
    fn node(&self, chunk: Location) -> Location {
        chunk
    }

    fn whole(&self, _: &Structure, node: &Location) -> Location {
        *node
    }

    fn shape(&self, chunk: Tuple<usize>, _: &[TickPiece]) -> Tuple<usize> {
        chunk
    }

    fn starts(&self, pending: Vec<Edge>) -> Vec<NodeStart> {
        vec![NodeStart {
            pieces: [].into(),
            pending: pending.into(),
            reach: None,
        }]
    }

    fn open_base(
        &self,
        walk: &Walk<'_>,
        nodes: &[NodeVisit],
        all: &[NodeCells<'_>],
    ) -> Result<Option<OpenedNodes>> {
        let Some(at) = nodes.first().map(|node| node.at) else {
            return Ok(None);
        };
        Ok(match base_at(walk, &at)? {
            Some(chunk) => Some(walk.open_base(nodes, all, &chunk)?),
            None => (at.levels == walk.pyramid.base.finest()).then(OpenedNodes::default),
        })
    }

    fn known(
        &self,
        walk: &Walk<'_>,
        node: &NodeVisit,
        all: &mut [NodeCells<'_>],
    ) -> Result<Option<KnownFacts>> {
        let built = walk.pyramid.built.covers(&node.at.levels);
        let layers = walk.chunks.grid.layers();
        let stored = built
            && layers
                .first()
                .map_or(Ok(false), |layer| walk.chunks.exists(layer.id, &node.at))?;
        // What is not stored may be inherited by the children along another dimension than the
        // refinable one.
        let inherits = walk.pyramid.base.heir(node.at.levels).is_some();
        if built && !stored && !inherits && node.pending.is_empty() {
            return Ok(None);
        }
        if stored {
            let stale: Option<Arc<[bool]>> = stale(walk, node).map(Into::into);
            all.iter_mut().for_each(|cells| cells.stale = stale.clone());
        }
        match stored && walk.are_worth_reading(node, all) {
            true => {
                Facts::read(walk.chunks, walk.plan, &node.at, walk.pyramid.base.finest()).map(Some)
            }
            false => Ok(Some((None, 0))),
        }
    }
}

/// The base cells of a place: those that stand there, or copies of coarser ones.
fn base_at(walk: &Walk<'_>, at: &Location) -> Result<Option<BaseChunk>> {
    if walk.pyramid.base.has(at.levels)
        && let Some(chunk) = walk.chunks.base(at, None)?
    {
        return Ok(Some(chunk));
    }
    if walk.pyramid.base.heir(at.levels).is_some() {
        return Ok(None);
    }
    for above in walk.chunks.above(at, &walk.pyramid.base) {
        if let Some(chunk) = walk.chunks.base(&above, None)? {
            return Ok(Some(walk.chunks.spread_base(&chunk, &above, at)));
        }
    }
    Ok(None)
}

/// The cells of a stored chunk that do not show all changes; `None` if all do.
fn stale(walk: &Walk<'_>, node: &NodeVisit) -> Option<Vec<bool>> {
    if node.pending.is_empty() {
        return None;
    }
    let structure = walk.chunks.grid.structure();
    let chunk = structure.chunk_window(&node.at);
    let shape = structure.chunk_shape();
    let mut stale = vec![false; structure.chunk_cells()];
    for edge in node.pending.iter() {
        let changed = stale_window(walk.chunks.grid, edge)
            .map(|window| structure.cover(&window, node.at.levels));
        if let Some(part) = changed.and_then(|window| structure.intersection(&window, &chunk)) {
            let offset = |axis: usize| {
                usize::try_from(part.start()[axis].abs_diff(chunk.start()[axis])).unwrap_or(0)
            };
            let start: Vec<usize> = (0..shape.len()).map(offset).collect();
            let sizes: Vec<usize> = part
                .shape()
                .iter()
                .map(|&len| usize::try_from(len).unwrap_or(0))
                .collect();
            fill_box(&mut stale, (&shape, &start), &sizes, true);
        }
    }
    Some(stale)
}
