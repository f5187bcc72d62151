//! The pyramid grows, and the old tops must be carried up to the new one; or it shrinks, and what
//! stands above goes.

use crate::dirty::{Edge, derivation, levels_between};
use crate::error::Result;
use crate::grid::Location;
use crate::key::{ChunkKey, LayerId};
use crate::kv::{Batch, KeyRange, Snapshot, Space};
use crate::store::{Grid, Pyramid};

/// Where the stored chunks at the level that is built of each dimension that rises are listed, so
/// far as these chunks derive along no later dimension, and the base chunks above that level; all
/// that is between them and the new top follows.
fn sources(grid: &Grid, pyramid: &Pyramid) -> Vec<(usize, KeyRange)> {
    let (structure, Pyramid { base, built, top }) = (grid.structure(), pyramid);
    let order: Vec<usize> = structure.levelled().collect();
    let mut sources = Vec::new();
    for (position, &d) in order
        .iter()
        .enumerate()
        .filter(|&(_, &d)| top[d] > built[d])
    {
        // Levels of the dimensions before are anywhere in the old pyramid, those behind at the
        // base, this one at its old top.
        let (mut low, mut high) = (base.finest(), base.finest());
        order[..position]
            .iter()
            .for_each(|&e| high[e] = built[e].max(base.coarsest()[e]));
        (low[d], high[d]) = (built[d], built[d].max(base.coarsest()[d]));
        for levels in levels_between(grid, low, high)
            .into_iter()
            .filter(|levels| levels[d] < top[d])
        {
            let aggregates = levels[d] == built[d] && derivation(grid, levels, base).is_some();
            let layers = [
                base.has(levels).then_some(LayerId::BASE),
                aggregates.then_some(LayerId::FIRST),
            ];
            sources.extend(
                layers
                    .into_iter()
                    .flatten()
                    .map(|layer| (d, ChunkKey::levels(grid.id(), structure, layer, levels))),
            );
        }
    }
    sources
}

/// The edges from the old tops into the pyramid's new part.
pub(crate) fn edges(grid: &Grid, snapshot: &dyn Snapshot, pyramid: &Pyramid) -> Result<Vec<Edge>> {
    let mut edges = Vec::new();
    for (dimension, range) in sources(grid, pyramid) {
        grid.directory(snapshot, range, &mut |chunk| {
            let edge = grid.structure().parent(&chunk.location, dimension);
            edges.extend(edge.map(|(parent, child)| Edge {
                parent,
                dimension,
                child,
            }));
        })?;
    }
    Ok(edges)
}

/// Expects the old tops as they were: whoever still saw the old reach changed them without a mark
/// for what is above.
pub(crate) fn expect(grid: &Grid, batch: &mut Batch, pyramid: &Pyramid) {
    for (_, range) in sources(grid, pyramid) {
        batch.expect_range(Space::Directory, range);
    }
}

/// The aggregates that stand above a pyramid that has shrunk, one a location.
pub(crate) fn above(
    grid: &Grid,
    snapshot: &dyn Snapshot,
    pyramid: &Pyramid,
) -> Result<Vec<Location>> {
    let (mut above, Pyramid { base, built, top }) = (Vec::new(), pyramid);
    for levels in levels_between(grid, base.finest(), *built)
        .into_iter()
        .filter(|levels| !top.covers(levels))
    {
        let range = ChunkKey::levels(grid.id(), grid.structure(), LayerId::FIRST, levels);
        let mut found = Vec::new();
        grid.directory(snapshot, range, &mut |chunk| found.push(chunk.location))?;
        match base.irregular().filter(|&d| levels[d] == base.finest()[d]) {
            Some(_) => {
                for bucket in &found {
                    above.extend(
                        grid.chunk_reader(snapshot)
                            .places_of(LayerId::FIRST, bucket)?,
                    );
                }
            }
            None => above.extend(found),
        }
    }
    Ok(above)
}
