//! The pyramid grows: the old tops must be carried up to the new one.

use crate::dirty::{Edge, derivation, levels_between};
use crate::error::Result;
use crate::grid::Levels;
use crate::key::{ChunkKey, LayerId};
use crate::kv::Snapshot;
use crate::store::Grid;

/// The edges from the stored chunks at the level `built` of each dimension that rises, so far as these chunks derive along
/// no later dimension; all that is between them and the new top follows.
pub(crate) fn edges(grid: &Grid, snapshot: &dyn Snapshot, base: Levels, built: Levels, top: Levels) -> Result<Vec<Edge>> {
    let structure = grid.structure();
    let order: Vec<usize> = structure.levelled().collect();
    let mut edges = Vec::new();
    for (position, &d) in order.iter().enumerate().filter(|&(_, &d)| top[d] > built[d]) {
        // Levels of the dimensions before are anywhere in the old pyramid, those behind at the base, this one at its old top.
        let (mut low, mut high) = (base, base);
        order[..position].iter().for_each(|&e| high[e] = built[e]);
        (low[d], high[d]) = (built[d], built[d]);
        for levels in levels_between(grid, low, high) {
            let layer = if derivation(grid, levels, base).is_none() { LayerId::BASE } else { LayerId(1) };
            let range = ChunkKey::levels(grid.id(), structure, layer, levels);
            grid.directory(snapshot, range, &mut |chunk| {
                let edge = structure.parent(&chunk.location, d);
                edges.extend(edge.map(|(parent, child)| Edge { parent, dimension: d, child }));
            })?;
        }
    }
    Ok(edges)
}
