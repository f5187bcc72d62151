//! Gets the cells of a window, chunk by chunk, in parallel, each straight into its place.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::fresh::Fresh;
use super::parts::{Boxed, Known, Part};
use super::plan::{Plan, ReadLayer};
use super::query::{Coordinates, Freshness};
use super::{blank, sizes};
use crate::array::{Array, Bounds, Cell, Cells, Tile, with_view};
use crate::codec::{BlobSpec, DecodeError};
use crate::dirty::{self, Edge, Marks};
use crate::error::{Error, Result};
use crate::grid::{Location, Piece, Window};
use crate::kernel::{self, Chunk, Full, for_each_row};
use crate::key::LayerId;
use crate::kv::Snapshot;
use crate::store::{ChunkReader, Grid, LayerSpec};

pub(super) struct Fetched {
    pub(super) array: Array,
    pub(super) known: Known,
    pub(super) stale: Vec<Window>,
    pub(super) chunks_read: u64,
    pub(super) inexact: u64,
    /// Where the cells lie along an irregular dimension.
    pub(super) coordinates: Option<Coordinates>,
}

pub(super) fn fetch(grid: &Grid, snapshot: &dyn Snapshot, plan: &Plan, freshness: Freshness) -> Result<Fetched> {
    let structure = grid.structure();
    if plan.times.is_some() {
        return super::events::fetch(grid, snapshot, plan, freshness);
    }
    let mut array = blank(plan, &plan.window);
    let pieces: Vec<Piece> = plan.populated(structure).iter().flat_map(|window| structure.split(window)).collect();
    let pieces = within(plan, grid, pieces);
    let pending = pending(grid, snapshot, plan, &pieces)?;
    let above = !plan.built.covers(&plan.levels());
    let boxes: Vec<Bounds> = pieces.iter().map(|p| Bounds { start: p.in_window.to_vec(), shape: p.shape.to_vec() }).collect();
    let (read, inexact) = (AtomicU64::new(0), AtomicU64::new(0));
    let fetcher = Fetcher {
        chunks: grid.chunk_reader(snapshot),
        plan,
        fresh: freshness == Freshness::Fresh,
        above,
        read: &read,
        inexact: &inexact,
    };
    let shape = sizes(&plan.window.shape());
    let parts: Vec<Part> = with_view!(Array, &mut array, |array| {
        let cells = array.as_slice_mut().ok_or_else(|| Error::invalid("a new array is in C order"))?;
        let tiles =
            Tile::split(cells, &shape, &boxes).map_err(|e| Error::invalid("the pieces of a window are disjoint").because(e))?;
        pieces
            .par_iter()
            .zip(tiles)
            .zip(&pending)
            .map(|((piece, mut tile), edges)| Ok(fetcher.piece(piece, &mut tile, edges)?.blank(&mut tile, plan.fill)))
            .collect::<Result<_>>()
    })?;
    let known = Known::of(plan, &shape, &boxes, &parts);
    let stale = if freshness == Freshness::Fresh { Vec::new() } else { stale(grid, plan, &pending) };
    Ok(Fetched { array, known, stale, chunks_read: read.into_inner(), inexact: inexact.into_inner(), coordinates: None })
}

/// Pieces of the populated part of a window, placed within the window itself.
fn within(plan: &Plan, grid: &Grid, mut pieces: Vec<Piece>) -> Vec<Piece> {
    if let Some(part) = plan.populated(grid.structure()) {
        for (axis, (part, whole)) in part.start().iter().zip(plan.window.start().iter()).enumerate() {
            let shift = usize::try_from(part - whole).unwrap_or(0);
            pieces.iter_mut().for_each(|piece| piece.in_window[axis] += shift);
        }
    }
    pieces
}

/// What is pending under each piece.
fn pending(grid: &Grid, snapshot: &dyn Snapshot, plan: &Plan, pieces: &[Piece]) -> Result<Vec<Vec<Edge>>> {
    if plan.levels() == plan.base.finest() || Marks::first(grid, snapshot, 1)?.len() == 0 {
        return Ok(vec![Vec::new(); pieces.len()]);
    }
    pieces.iter().map(|piece| dirty::pending_under(grid, snapshot, &piece.location, &plan.base)).collect()
}

/// The parts of the window that are out of date, each once.
fn stale(grid: &Grid, plan: &Plan, pending: &[Vec<Edge>]) -> Vec<Window> {
    let structure = grid.structure();
    let windows: BTreeSet<Window> = pending
        .iter()
        .flatten()
        .filter_map(|edge| {
            let changed = dirty::stale_window(grid, edge)?;
            structure.intersection(&structure.cover(&changed, plan.levels()), &plan.window)
        })
        .collect();
    windows.into_iter().collect()
}

struct Fetcher<'a> {
    chunks: ChunkReader<'a>,
    plan: &'a Plan,
    fresh: bool,
    /// Whether the levels are above those that are stored.
    above: bool,
    read: &'a AtomicU64,
    inexact: &'a AtomicU64,
}

impl Fetcher<'_> {
    fn piece<T: Cell>(&self, piece: &Piece, tile: &mut Tile<'_, T>, pending: &[Edge]) -> Result<Part> {
        let at = &piece.location;
        if let ReadLayer::Aggregate(layer) = &self.plan.layer
            && self.fresh
            && (self.above || !pending.is_empty())
        {
            let fresh = Fresh::new(self.chunks, layer, &self.plan.base, self.plan.built);
            let chunk = fresh.effective(at, pending)?;
            self.read.fetch_add(fresh.chunks_read(), Ordering::Relaxed);
            return chunk.map_or(Ok(Part::Empty), |chunk| self.lay(layer, &chunk, piece, tile));
        }
        let Some((stored, from)) = self.source(at)? else { return Ok(Part::Empty) };
        match &self.plan.layer {
            ReadLayer::Base if from == *at => self.decode(LayerId::BASE, at, piece, tile),
            ReadLayer::Aggregate(layer) if from == *at && stored != LayerId::BASE && !layer.is_mode() => {
                self.decode(layer.id, at, piece, tile)
            }
            ReadLayer::Base => {
                let Some(chunk) = self.chunks.base(&from)? else { return Ok(Part::Empty) };
                self.read.fetch_add(1, Ordering::Relaxed);
                let (chunk, shape) = (self.chunks.spread_base(&chunk, &from, at), self.chunks.grid.structure().chunk_shape());
                let at = Boxed { of: &shape, start: &piece.in_chunk, shape: &piece.shape };
                copy_box_of(&chunk.cells, at, tile)?;
                Ok(self.plan.wanted.of_base(&chunk, at))
            }
            ReadLayer::Aggregate(layer) => {
                let Some(chunk) = self.chunks.layer_at(layer, stored, &from)? else { return Ok(Part::Empty) };
                self.read.fetch_add(1, Ordering::Relaxed);
                self.lay(layer, &self.chunks.spread_layer(layer, chunk, &from, at)?, piece, tile)
            }
        }
    }

    /// Copies the box of a decoded chunk of a layer into its place.
    fn lay<T: Cell>(&self, layer: &LayerSpec, chunk: &Chunk, piece: &Piece, tile: &mut Tile<'_, T>) -> Result<Part> {
        let grid = self.chunks.grid;
        let (shape, full) = (grid.structure().chunk_shape(), grid.full(piece.location.levels()));
        let at = Boxed { of: &shape, start: &piece.in_chunk, shape: &piece.shape };
        self.inexact.fetch_add(count_inexact(layer, chunk, full, at), Ordering::Relaxed);
        copy_box_of(&chunk.values, at, tile)?;
        Ok(self.plan.wanted.of_layer(chunk, full.0, at))
    }

    /// Where the cells of a place are stored, and in which layer.
    fn source(&self, at: &Location) -> Result<Option<(LayerId, Location)>> {
        if self.plan.base.mixed().is_some() {
            return self.chunks.source(at, &self.plan.base);
        }
        Ok(Some((if self.plan.base.has(at.levels()) { LayerId::BASE } else { LayerId(1) }, *at)))
    }

    /// The plain case: the box is decoded straight into its place.
    fn decode<T: Cell>(&self, layer: LayerId, at: &Location, piece: &Piece, tile: &mut Tile<'_, T>) -> Result<Part> {
        let shape = self.chunks.grid.structure().chunk_shape();
        let ((planes, least), weight) = (self.chunks.planes(layer), self.plan.weight(self.chunks.grid, layer, at));
        let read = self.chunks.with_blob(layer, at, None, |key, blob| {
            let spec = BlobSpec::new(&shape, &planes, least)?;
            self.plan.wanted.decode((key, blob), &spec, weight, &piece.in_chunk, tile)
        })?;
        self.read.fetch_add(u64::from(read.is_some()), Ordering::Relaxed);
        Ok(read.unwrap_or(Part::Empty))
    }
}

/// Counts the cells of a box of a chunk whose value may be another, as the other planes of the layer say.
pub(super) fn count_inexact(layer: &LayerSpec, chunk: &Chunk, full: Full, at: Boxed<'_>) -> u64 {
    let Some(inexact) = (if layer.is_mode() { kernel::inexact(chunk, full) } else { None }) else { return 0 };
    let (zero, row) = (vec![0; at.of.len()], at.shape[at.shape.len() - 1]);
    let mut cells = 0;
    for_each_row((at.of, at.start), (at.shape, &zero), at.shape, |from, _| {
        cells += inexact[from..from + row].iter().filter(|inexact| **inexact).count() as u64;
    });
    cells
}

/// Copies a box of cells into a tile.
pub(super) fn copy_box_of<T: Cell>(values: &Cells, at: Boxed<'_>, tile: &mut Tile<'_, T>) -> Result<()> {
    let cells = values
        .as_slice::<T>()
        .ok_or_else(|| Error::corrupt("a chunk is of another type").because(DecodeError::Request { reason: "type" }))?;
    let (zero, row) = (vec![0; at.of.len()], at.shape[at.shape.len() - 1]);
    let mut number = 0;
    for_each_row((at.of, at.start), (at.shape, &zero), at.shape, |from, _| {
        tile.row(number).copy_from_slice(&cells[from..from + row]);
        number += 1;
    });
    Ok(())
}
