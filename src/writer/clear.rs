//! Removing data from a window: every base chunk there at its own level, whole ones without being
//! read.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::feed::{self, Changed};
use crate::grid::{CellIndex, Location, Piece, Shape, Structure, Window};
use crate::key::{ChunkKey, LayerId, MarkKey, meta};
use crate::kv::{Batch, Snapshot, Space, for_each_page};
use crate::store::{Base, BatchNumber, ChunkReader, Grid, State, touch_base_levels, write_state};

/// How many marks are read at once.
const PAGE: usize = 4096;

/// The most pieces that a window may be cleared in.
const PIECES_MAX: usize = 1 << 20;

/// The stored pieces of a window, of chunks or of buckets. Of a chunk that is coarser than the
/// window and lies in it in part only, the finer cells. Chunks that are `gone` have none, and those
/// that go whole are added to them.
pub(super) fn pieces(
    chunks: ChunkReader<'_>,
    state: &State,
    window: &Window,
    gone: &mut BTreeSet<Location>,
) -> Result<Vec<Piece>> {
    let (grid, structure) = (chunks.grid, chunks.grid.structure());
    let asked = structure.chunk_levels(window.levels(structure.dimensions().len()));
    let mut pieces = Vec::new();
    let Some((base, bounds)) = state.base.zip(state.bounds) else {
        return Ok(pieces);
    };
    for levels in base.levels() {
        for at in chunks.base_within(window, levels, &bounds)? {
            if gone.contains(&at) {
                continue;
            }
            let own = structure.chunk_window(&at);
            let part = if asked.covers(&levels) {
                structure.intersection(&structure.cover(window, levels), &own)
            } else {
                let area = structure.cover(&own, asked);
                structure
                    .intersection(window, &area)
                    .map(|part| if part == area { own } else { part })
            };
            // Elsewhere a chunk can go twice.
            if part == Some(own) && base.refinable().is_some() {
                gone.insert(at);
            }
            pieces.extend(part.iter().flat_map(|part| structure.split(part)));
            if pieces.len() > PIECES_MAX {
                return Err(grid.blame(Error::invalid(format!(
                    "the window at {:?} holds data in more than {PIECES_MAX} pieces; remove less at a time",
                    window.start()
                ))));
            }
        }
    }
    Ok(pieces)
}

/// The state once a window does not count as put any more: the bounds end where the window cuts off
/// one of their sides.
pub(super) fn shrunk(structure: &Structure, state: State, window: &Window) -> State {
    let (Some(bounds), Some(base)) = (state.bounds, state.base) else {
        return state;
    };
    let cut = structure.cover(window, base.cells());
    if !window
        .levels(structure.dimensions().len())
        .covers(&base.cells())
    {
        return state;
    }
    let (start, end) = (bounds.start(), bounds.end());
    let covers =
        |axis: &usize| cut.start()[*axis] <= start[*axis] && cut.end()[*axis] >= end[*axis];
    let left: Vec<usize> = (0..structure.rank()).filter(|axis| !covers(axis)).collect();
    let &[axis] = left.as_slice() else {
        return if left.is_empty() {
            State {
                ceiling: state.ceiling,
                ..State::default()
            }
        } else {
            state
        };
    };
    let (mut first, mut shape) = (CellIndex::from(&*start), Shape::from(&*bounds.shape()));
    if cut.start()[axis] <= start[axis] {
        first[axis] = cut.end()[axis].max(start[axis]);
        shape[axis] = end[axis].abs_diff(first[axis]);
    } else if cut.end()[axis] >= end[axis] {
        shape[axis] = cut.start()[axis].min(end[axis]).abs_diff(start[axis]);
    }
    State {
        bounds: Some(Window::new(first, shape).at(base.cells())),
        ..state
    }
}

/// Expects that nobody puts anything meanwhile, and makes those fail who saw the bounds as they
/// were.
pub(super) fn expect_alone(chunks: ChunkReader<'_>, batch: &mut Batch, new: &State) -> Result<()> {
    batch.expect_range(
        Space::Directory,
        ChunkKey::layer(chunks.grid.id(), LayerId::BASE),
    );
    touch_base_levels(batch, chunks.grid.id(), new)
}

/// Writes the box of all that counts as put, in which all data must lie, unless it is so already.
pub(crate) fn settle_bounds(
    chunks: ChunkReader<'_>,
    batch: &mut Batch,
    number: &BatchNumber,
    bounds: &Window,
) -> Result<()> {
    let (id, structure) = (chunks.grid.id(), chunks.grid.structure());
    let old = chunks.grid.state(chunks.snapshot)?;
    let base = old
        .base
        .unwrap_or_else(|| Base::new(structure, bounds.levels(structure.dimensions().len())));
    let bounds = structure.cover(bounds, base.cells());
    let new = State {
        bounds: Some(bounds),
        base: Some(base),
        ..old
    };
    if old
        .bounds
        .is_some_and(|old| structure.intersection(&old, &bounds) != Some(old))
    {
        expect_alone(chunks, batch, &new)?;
    }
    if let (Some(before), Some(to)) = (old.bounds, old.summit(structure))
        && old.reach.is_some()
        && before != bounds
    {
        // Layers are read that were not before, or are read no more.
        let aggregates = [before.without(&bounds), bounds.without(&before)].concat();
        feed::record(
            chunks.grid,
            batch,
            number,
            Changed {
                base: Vec::new(),
                aggregates,
                to,
                finest: base.cells(),
            },
        )?;
    }
    write_state(batch, id, &old, &new)
}

/// Deletes all that a grid holds but its schema and feed.
pub(crate) fn wipe(grid: &Grid, snapshot: &dyn Snapshot, batch: &mut Batch) -> Result<()> {
    let id = grid.id();
    batch.expect_range(Space::Directory, ChunkKey::all(id));
    batch.expect_range(Space::Dirty, MarkKey::all(id));
    for space in [Space::Directory, Space::Base, Space::Aggregate] {
        batch.delete_range(space, ChunkKey::all(id));
    }
    batch.expect_key(Space::Meta, meta::reach(id));
    batch.delete(Space::Meta, meta::reach(id));
    // One by one: those who wait for a mark are told of each that goes.
    for_each_page(snapshot, Space::Dirty, MarkKey::all(id), PAGE, |marks| {
        marks
            .into_iter()
            .for_each(|(key, _)| batch.delete(Space::Dirty, key));
        Ok(())
    })
}
