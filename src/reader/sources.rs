//! Where the cells of each part of a window come from. Reading them, naming them and telling versions apart all begin here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::plan::{Plan, ReadLayer};
use super::query::Freshness;
use super::values::{Decoded, Print, Printed};
use crate::dirty::{self, Edge, Marks};
use crate::error::Result;
use crate::grid::{Location, Piece, Window};
use crate::key::{DirectoryEntry, LayerId};
use crate::kv::Space;
use crate::store::{ChunkReader, LayerSpec, Stored};

/// How many directory entries are asked for at once.
const PAGE: usize = 1024;

/// A part of a window in one chunk.
pub(super) struct Sourced {
    pub(super) piece: Piece,
    /// What is pending in its place.
    pub(super) pending: Vec<Edge>,
    pub(super) source: Source,
}

/// Where cells come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// From nowhere: there is no data.
    Nothing,
    /// From the chunk of a layer at a location, if it is there. Where several levels have base data, it is.
    Stored(LayerId, Location),
    /// From what lies below, since what is stored is out of date or not there yet.
    Computed,
}

impl Plan {
    /// The cells of the layer that is read, if it is one.
    pub(super) fn decoded<'a>(&'a self, chunks: ChunkReader<'a>) -> Option<Decoded<'a>> {
        self.read_layer().map(|layer| Decoded { chunks, layer })
    }

    /// What stands for them.
    pub(super) fn printed<'a>(&'a self, chunks: ChunkReader<'a>) -> Option<Printed<'a>> {
        self.read_layer().map(|layer| Printed { chunks, layer, trace: None })
    }

    fn read_layer(&self) -> Option<&LayerSpec> {
        match &self.layer {
            ReadLayer::Base => None,
            ReadLayer::Aggregate(layer) => Some(layer),
        }
    }

    /// Where the cells of each part of the window come from in which anything can be stored.
    pub(super) fn sources(&self, chunks: ChunkReader<'_>, freshness: Freshness) -> Result<Vec<Sourced>> {
        let pieces = self.pieces(chunks);
        let pending = self.pending(chunks, &pieces)?;
        let fresh = freshness == Freshness::Fresh && self.read_layer().is_some();
        let above = !self.pyramid.built.covers(&self.levels());
        let computed = |pending: &[Edge]| fresh && (above || !pending.is_empty());
        let known: Option<HashMap<Location, Option<(LayerId, Location)>>> = match self.pyramid.base.mixed() {
            None => None,
            Some(_) => {
                let stored = pieces.iter().zip(&pending).filter(|(_, pending)| !computed(pending));
                let places: Vec<Location> = stored.map(|(piece, _)| piece.location).collect();
                Some(places.iter().copied().zip(chunks.sources(&places, &self.pyramid.base)?).collect())
            }
        };
        let own = if self.pyramid.base.has(self.levels()) { LayerId::BASE } else { self.layer.id() };
        let layer = |stored: LayerId| if stored == LayerId::BASE { stored } else { self.layer.id() };
        let source = |piece: &Piece, pending: &[Edge]| match &known {
            _ if computed(pending) => Source::Computed,
            None => Source::Stored(own, piece.location),
            Some(known) => match known.get(&piece.location).copied().flatten() {
                Some((stored, from)) => Source::Stored(layer(stored), from),
                None => Source::Nothing,
            },
        };
        let sourced = |(piece, pending): (Piece, Vec<Edge>)| Sourced { source: source(&piece, &pending), piece, pending };
        Ok(pieces.into_iter().zip(pending).map(sourced).collect())
    }

    /// The parts of the window in which anything can be stored, placed within the window.
    fn pieces(&self, chunks: ChunkReader<'_>) -> Vec<Piece> {
        let structure = chunks.grid.structure();
        let Some(populated) = self.populated(structure) else { return Vec::new() };
        let mut pieces: Vec<Piece> = structure.split(&populated).collect();
        for (axis, (part, whole)) in populated.start().iter().zip(self.window.start().iter()).enumerate() {
            let shift = usize::try_from(part.abs_diff(*whole)).unwrap_or(usize::MAX);
            pieces.iter_mut().for_each(|piece| piece.in_window[axis] += shift);
        }
        pieces
    }

    /// What is pending in the place of each piece.
    fn pending(&self, chunks: ChunkReader<'_>, pieces: &[Piece]) -> Result<Vec<Vec<Edge>>> {
        if self.levels() == self.pyramid.base.finest() || Marks::first(chunks.grid, chunks.snapshot, 1)?.len() == 0 {
            return Ok(vec![Vec::new(); pieces.len()]);
        }
        let pending = |piece: &Piece| dirty::pending_under(chunks.grid, chunks.snapshot, &piece.location, &self.pyramid.base);
        pieces.iter().map(pending).collect()
    }

    /// The parts of the window that are out of date where they are read as stored, each once.
    pub(super) fn stale(&self, chunks: ChunkReader<'_>, sourced: &[Sourced]) -> Result<Vec<Window>> {
        let structure = chunks.grid.structure();
        let mut bases: BTreeMap<Location, Option<Location>> = BTreeMap::new();
        let mut stale = BTreeSet::new();
        for (piece, edge) in sourced.iter().flat_map(|of| of.pending.iter().map(move |edge| (&of.piece, edge))) {
            // Aggregates below base data are about to go, as a whole, and then the base data shows.
            let base = match self.pyramid.base.mixed() == Some(edge.dimension) {
                false => None,
                true => match bases.get(&edge.parent) {
                    Some(known) => *known,
                    None => *bases.entry(edge.parent).or_insert(chunks.base_over(&edge.parent, &self.pyramid.base)?),
                },
            };
            let changed = match base {
                Some(base) => {
                    let place = structure.cover(&structure.chunk_window(&base), self.levels());
                    structure.intersection(&place, &structure.chunk_window(&piece.location))
                }
                None => dirty::stale_window(chunks.grid, edge).map(|window| structure.cover(&window, self.levels())),
            };
            stale.extend(changed.and_then(|changed| structure.intersection(&changed, &self.window)));
        }
        Ok(stale.into_iter().collect())
    }
}

/// Calls `visit` for each of some chunks, in their order, with what stands for it, if the directory has it.
pub(super) fn entries(
    chunks: ChunkReader<'_>,
    of: &[(LayerId, Location)],
    visit: &mut dyn FnMut(usize, Option<Print>) -> Result<()>,
) -> Result<()> {
    look_up(chunks, of, |number, key, entry| {
        let print = |entry: &[u8]| match DirectoryEntry::decode(entry) {
            Ok(_) => Ok(Print::of_entry(key, entry)),
            Err(e) => Err(chunks.damaged(of[number].0, &of[number].1).because(e)),
        };
        visit(number, entry.map(print).transpose()?)
    })
}

/// Calls `visit` for each of some chunks, in their order, with its key and with its entry in the directory, if it has one.
fn look_up(
    chunks: ChunkReader<'_>,
    of: &[(LayerId, Location)],
    mut visit: impl FnMut(usize, &[u8], Option<&[u8]>) -> Result<()>,
) -> Result<()> {
    for (number, page) in of.chunks(PAGE).enumerate() {
        let keys: Vec<Vec<u8>> = page.iter().map(|(layer, at)| chunks.key(*layer, at)).collect();
        let visit = &mut |i: usize, entry: Option<&[u8]>| visit(number * PAGE + i, &keys[i], entry);
        chunks.snapshot.get_many(Space::Directory, &keys, visit)?;
    }
    Ok(())
}

/// The chunks that parts of a window are read from as stored, each once, with the numbers of the parts.
pub(super) fn stored(
    plan: &Plan,
    chunks: ChunkReader<'_>,
    sourced: &[Sourced],
) -> Result<BTreeMap<(LayerId, Location), Vec<usize>>> {
    let mut found: BTreeMap<(LayerId, Location), Vec<usize>> = BTreeMap::new();
    for (number, of) in sourced.iter().enumerate() {
        if let Source::Stored(layer, at) = of.source {
            found.entry((layer, at)).or_default().push(number);
        }
    }
    if plan.pyramid.base.mixed().is_none() {
        let all: Vec<(LayerId, Location)> = found.keys().copied().collect();
        entries(chunks, &all, &mut |number, print| {
            if print.is_none() {
                found.remove(&all[number]);
            }
            Ok(())
        })?;
    }
    Ok(found)
}

/// What the directory says is stored for each part of a window that is read from a chunk of its own place; nothing of others, nor
/// where it says nothing. So a chunk that was decoded before is known again.
pub(super) fn versions(chunks: ChunkReader<'_>, sourced: &[Sourced]) -> Result<Vec<Option<Stored>>> {
    let mut versions = vec![None; sourced.len()];
    let own = sourced.iter().enumerate().filter_map(|(number, of)| match of.source {
        Source::Stored(layer, at) if at == of.piece.location => Some((number, (layer, at))),
        _ => None,
    });
    let (parts, own): (Vec<usize>, Vec<(LayerId, Location)>) = own.unzip();
    look_up(chunks, &own, |number, key, entry| {
        versions[parts[number]] = entry.and_then(|entry| Stored::new(key, entry));
        Ok(())
    })?;
    Ok(versions)
}
