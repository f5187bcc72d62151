//! The pyramid grows: the old tops must be carried up to the new one.

use crate::dirty::{Edge, derivation, levels_between};
use crate::error::Result;
use crate::grid::Levels;
use crate::key::{ChunkKey, LayerId};
use crate::kv::{Batch, KeyRange, Snapshot, Space};
use crate::store::Grid;

/// Where the stored chunks at the level `built` of each dimension that rises are listed, so far as these chunks derive along
/// no later dimension; all that is between them and the new top follows.
fn sources(grid: &Grid, base: Levels, built: Levels, top: Levels) -> Vec<(usize, KeyRange)> {
    let structure = grid.structure();
    let order: Vec<usize> = structure.levelled().collect();
    let mut sources = Vec::new();
    for (position, &d) in order.iter().enumerate().filter(|&(_, &d)| top[d] > built[d]) {
        // Levels of the dimensions before are anywhere in the old pyramid, those behind at the base, this one at its old top.
        let (mut low, mut high) = (base, base);
        order[..position].iter().for_each(|&e| high[e] = built[e]);
        (low[d], high[d]) = (built[d], built[d]);
        for levels in levels_between(grid, low, high) {
            let layer = if derivation(grid, levels, base).is_none() { LayerId::BASE } else { LayerId(1) };
            sources.push((d, ChunkKey::levels(grid.id(), structure, layer, levels)));
        }
    }
    sources
}

/// The edges from the old tops into the pyramid's new part.
pub(crate) fn edges(grid: &Grid, snapshot: &dyn Snapshot, base: Levels, built: Levels, top: Levels) -> Result<Vec<Edge>> {
    let mut edges = Vec::new();
    for (dimension, range) in sources(grid, base, built, top) {
        grid.directory(snapshot, range, &mut |chunk| {
            let edge = grid.structure().parent(&chunk.location, dimension);
            edges.extend(edge.map(|(parent, child)| Edge { parent, dimension, child }));
        })?;
    }
    Ok(edges)
}

/// Expects the old tops as they were: whoever still saw the old reach changed them without a mark for what is above.
pub(crate) fn expect(grid: &Grid, batch: &mut Batch, base: Levels, built: Levels, top: Levels) {
    for (_, range) in sources(grid, base, built, top) {
        batch.expect_range(Space::Directory, range);
    }
}
