//! Which chunks of the target hold what of the source.
//!
//! A chunk of the target stands at the level of the source's data in its place; where that is at
//! several levels, the place is halved along the refinable dimension until there is data at its own
//! level or above only, whose cells are then repeated. So every cell reads as it does in the
//! source, and is stored as coarsely as chunks of the target's shape allow.

use super::cells::fill_and_put;
use super::{CopiedState, CopyFrame, Updated};
use crate::error::Result;
use crate::grid::{Location, Window};
use crate::key::LayerId;
use crate::store::{Base, ChunkReader};

/// A part of a chunk of the target that is to be as the source has it.
pub(super) struct CopyLeaf {
    /// The cells, at the chunk's levels.
    pub(super) window: Window,
    /// The chunks of the source that have data there; if there are none, the window is cleared.
    pub(super) from: Vec<Location>,
    /// The place of finer chunks of the target that must be gone before.
    pub(super) finer: Option<Window>,
}

/// A stored chunk, and the finest cells of its place.
struct StoredBase {
    at: Location,
    cells: Window,
}

/// Copies what lies in some boxes of a part.
pub(super) fn copy(
    places: &CopyFrame<'_>,
    claim: &CopiedState,
    (part, boxes): (&Window, &[Window]),
    done: &mut Updated,
) -> Result<()> {
    let snapshot = places.target().present()?;
    let chunks = places.target().chunk_reader(snapshot.as_ref());
    let to = places.target().state(snapshot.as_ref())?.base;
    let base = places.update.from.base.as_ref();
    let mut there = stored(places, places.source(), base, part)?;
    // What lies beside an excerpt is not there.
    there.retain_mut(|stored| {
        let held = places.held();
        let held = held.and_then(|held| {
            places
                .target()
                .structure()
                .intersection(&stored.cells, &held)
        });
        held.inspect(|held| stored.cells = *held).is_some()
    });
    let here = stored(places, chunks, to.as_ref(), part)?;
    let (there, here): (Vec<&StoredBase>, Vec<&StoredBase>) =
        (there.iter().collect(), here.iter().collect());
    let mut descent = Descent {
        places,
        boxes,
        leaves: Vec::new(),
    };
    for piece in places.target().structure().split(part) {
        descent.at(&piece.location, (&there, &here));
    }
    fill_and_put(places, claim, descent.leaves, done)
}

/// The base chunks of a grid in a part.
fn stored(
    places: &CopyFrame<'_>,
    chunks: ChunkReader<'_>,
    base: Option<&Base>,
    part: &Window,
) -> Result<Vec<StoredBase>> {
    let structure = chunks.grid.structure();
    let mut stored = Vec::new();
    for levels in base.into_iter().flat_map(Base::levels) {
        for chunk in chunks.grid.chunks_within(
            chunks.snapshot,
            LayerId::BASE,
            &structure.cover(part, levels),
        )? {
            let cells = structure.cover(&structure.chunk_window(&chunk.location), places.finest);
            stored.push(StoredBase {
                at: chunk.location,
                cells,
            });
        }
    }
    Ok(stored)
}

/// The way down from the coarsest chunks of a part.
struct Descent<'p> {
    places: &'p CopyFrame<'p>,
    boxes: &'p [Window],
    leaves: Vec<CopyLeaf>,
}

impl Descent<'_> {
    /// Finds what is to be done in the place of a chunk. `there` are the source's chunks around,
    /// `here` the target's.
    fn at(&mut self, node: &Location, (there, here): (&[&StoredBase], &[&StoredBase])) {
        let (places, structure) = (self.places, self.places.target().structure());
        let own = structure.chunk_window(node);
        let place = structure.cover(&own, places.finest);
        let changed = self
            .boxes
            .iter()
            .filter_map(|window| structure.intersection(window, &place));
        let Some(changed) = changed.reduce(|a, b| structure.union(&a, &b)) else {
            return;
        };
        let within = |of: &[&'_ StoredBase]| -> Vec<usize> {
            (0..of.len())
                .filter(|i| structure.intersection(&of[*i].cells, &place).is_some())
                .collect()
        };
        let there: Vec<&StoredBase> = within(there).into_iter().map(|i| there[i]).collect();
        let here: Vec<&StoredBase> = within(here).into_iter().map(|i| here[i]).collect();
        let finer = |stored: &&StoredBase| {
            stored.at.levels != node.levels && node.levels.covers(&stored.at.levels)
        };
        let window = structure
            .intersection(&structure.cover(&changed, node.levels), &own)
            .unwrap_or(own);
        match structure.refinable().filter(|_| there.iter().any(finer)) {
            _ if there.is_empty() && here.is_empty() => {}
            Some(d) => structure
                .children(node, d)
                .for_each(|child| self.at(&child, (&there, &here))),
            None => {
                // Coarser cells can be put where there are no finer ones in all of the chunk's
                // place.
                let blocked = !there.is_empty() && here.iter().any(finer);
                let all = structure
                    .intersection(&structure.cover(&places.bounds, node.levels), &own)
                    .unwrap_or(own);
                let window = if blocked { all } else { window };
                let cells = structure.cover(&window, places.finest);
                let touched =
                    |stored: &&&StoredBase| structure.intersection(&stored.cells, &cells).is_some();
                let from = there
                    .iter()
                    .filter(touched)
                    .map(|stored| stored.at)
                    .collect();
                self.leaves.push(CopyLeaf {
                    window,
                    from,
                    finer: blocked.then_some(own),
                });
            }
        }
    }
}
