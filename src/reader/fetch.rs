//! Gets the cells of a window, chunk by chunk, in parallel, each straight into its place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::fresh::Fresh;
use super::parts::{Boxed, Known, Part};
use super::plan::{Plan, ReadLayer};
use super::query::{Coordinates, Freshness};
use super::sources::{Source, Sourced, versions};
use super::{blank, sizes};
use crate::array::{AnyTile, Array, Bounds, Cells, with_view};
use crate::codec::{self, BlobSpec, DecodeError};
use crate::error::{Error, Result};
use crate::grid::{Location, Piece, Window};
use crate::kernel::{self, Chunk, Full, for_each_row};
use crate::key::LayerId;
use crate::kv::Snapshot;
use crate::parallel;
use crate::store::{ChunkCache, ChunkReader, Grid, LayerSpec, Stored};

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
    if plan.times.is_some() {
        return super::events::fetch(grid, snapshot, plan, freshness);
    }
    if let Some(cut) = &plan.cut {
        return super::runs::fetch(grid, snapshot, plan, cut, freshness);
    }
    let chunks = grid.chunk_reader(snapshot);
    let sourced = plan.sources(chunks, freshness)?;
    let bounds = |of: &Sourced| Bounds { start: of.piece.in_window.to_vec(), shape: of.piece.shape.to_vec() };
    let boxes: Vec<Bounds> = sourced.iter().map(bounds).collect();
    let (read, inexact) = (AtomicU64::new(0), AtomicU64::new(0));
    let cached = Cached::of(plan, chunks, &sourced)?;
    let fetcher = Fetcher { chunks, plan, cached, read: &read, inexact: &inexact };
    let shape = sizes(&plan.window.shape());
    // What the parts cover they write, with data or without: only what lies beside them is written here. Zeros come with the memory.
    let covered = boxes.iter().map(|at| at.shape.iter().product::<usize>()).sum::<usize>() == shape.iter().product::<usize>();
    let mut array = if covered { Array::filled(plan.dtype, &shape, 0.0) } else { blank(plan, &plan.window) };
    let parts = fetcher.fill(&sourced, tiles(&mut array, &boxes)?)?;
    let known = Known::of(plan, &shape, &boxes, &parts);
    let stale = if freshness == Freshness::Fresh { Vec::new() } else { plan.stale(chunks, &sourced)? };
    Ok(Fetched { array, known, stale, chunks_read: read.into_inner(), inexact: inexact.into_inner(), coordinates: None })
}

/// What the parts of a window have in the cache of decoded chunks.
struct Cached<'a> {
    cache: Option<&'a ChunkCache>,
    /// What is stored for each part, where it is looked for in the cache.
    versions: Vec<Option<Stored>>,
}

impl<'a> Cached<'a> {
    fn of(plan: &Plan, chunks: ChunkReader<'a>, sourced: &[Sourced]) -> Result<Self> {
        let grid = chunks.grid;
        let bytes = (sourced.len() * grid.structure().chunk_cells() * grid.schema().dtype().size()) as u64;
        let plain = !matches!(&plan.layer, ReadLayer::Aggregate(layer) if layer.is_mode());
        let cache = grid.store().chunk_cache().filter(|cache| plain && bytes <= cache.bytes() / 2);
        let versions = if cache.is_some() { versions(chunks, sourced)? } else { Vec::new() };
        Ok(Self { cache, versions })
    }

    /// The cache, and what is stored for a part.
    fn version(&self, part: usize) -> Option<(&'a ChunkCache, &Stored)> {
        self.cache.zip(self.versions.get(part)?.as_ref())
    }
}

struct Fetcher<'a> {
    chunks: ChunkReader<'a>,
    plan: &'a Plan,
    cached: Cached<'a>,
    read: &'a AtomicU64,
    inexact: &'a AtomicU64,
}

/// A part of a window by its number, and where its cells go.
type Target<'s, 't> = (usize, &'s Sourced, AnyTile<'t>);

/// Disjoint boxes of a new array.
pub(super) fn tiles<'a>(array: &'a mut Array, boxes: &[Bounds]) -> Result<Vec<AnyTile<'a>>> {
    AnyTile::split(array, boxes).map_err(|e| Error::invalid("the pieces of a window are disjoint").because(e))
}

impl Fetcher<'_> {
    /// Fills every tile, in parallel, and says what is known of each. What several are copied from is read once.
    fn fill(&self, sourced: &[Sourced], tiles: Vec<AnyTile<'_>>) -> Result<Vec<Part>> {
        let mut own: Vec<Target<'_, '_>> = Vec::with_capacity(sourced.len());
        let mut shared: BTreeMap<(LayerId, Location), Vec<Target<'_, '_>>> = BTreeMap::new();
        for (number, (of, tile)) in sourced.iter().zip(tiles).enumerate() {
            match of.source {
                Source::Stored(layer, from) if from != of.piece.location => {
                    shared.entry((layer, from)).or_default().push((number, of, tile));
                }
                Source::Nothing | Source::Stored(..) | Source::Computed => own.push((number, of, tile)),
            }
        }
        let own = parallel::map_owned(own, |target| self.own(target))?;
        let spread = |((layer, from), targets): ((LayerId, Location), _)| self.spread(layer, &from, targets);
        let shared = parallel::map_owned(shared.into_iter().collect(), spread)?;
        let mut parts: Vec<Part> = sourced.iter().map(|_| Part::Empty).collect();
        for (number, part) in own.into_iter().chain(shared.into_iter().flatten()) {
            parts[number] = part;
        }
        Ok(parts)
    }

    fn own(&self, (number, of, mut tile): Target<'_, '_>) -> Result<(usize, Part)> {
        Ok((number, self.piece(number, of, &mut tile)?.blank(&mut tile, self.plan.fill)))
    }

    fn piece(&self, number: usize, of: &Sourced, tile: &mut AnyTile<'_>) -> Result<Part> {
        let piece = &of.piece;
        match (&self.plan.layer, of.source, self.plan.decoded(self.chunks)) {
            (ReadLayer::Aggregate(layer), Source::Computed, Some(values)) => {
                let fresh = Fresh::new(values, &self.plan.pyramid);
                let chunk = fresh.effective(&piece.location, &of.pending)?;
                self.read.fetch_add(fresh.chunks_read(), Ordering::Relaxed);
                chunk.map_or(Ok(Part::Empty), |chunk| self.lay(layer, &chunk, piece, tile))
            }
            (ReadLayer::Aggregate(layer), Source::Stored(stored, at), _) if stored == LayerId::BASE || layer.is_mode() => {
                let chunk = self.chunks.layer_at(layer, stored, &at)?;
                self.found(chunk.is_some(), stored, &at)?;
                chunk.map_or(Ok(Part::Empty), |chunk| self.lay(layer, &chunk, piece, tile))
            }
            (_, Source::Stored(layer, at), _) => match self.cached.version(number) {
                Some(cached) => self.recall(cached, (layer, &at), piece, tile),
                None => self.decode(layer, &at, piece, tile),
            },
            (_, Source::Nothing | Source::Computed, _) => Ok(Part::Empty),
        }
    }

    /// Copies a chunk down along the refinable dimension to several places.
    fn spread(&self, stored: LayerId, from: &Location, targets: Vec<Target<'_, '_>>) -> Result<Vec<(usize, Part)>> {
        let (plan, shape) = (self.plan, self.chunks.grid.structure().chunk_shape());
        let lost = || self.chunks.lost(stored, from);
        let ReadLayer::Aggregate(layer) = &plan.layer else {
            let base = self.chunks.base(from)?.ok_or_else(lost)?;
            self.read.fetch_add(1, Ordering::Relaxed);
            let spread = |(number, of, mut tile): Target<'_, '_>| {
                let chunk = self.chunks.spread_base(&base, from, &of.piece.location);
                let at = Boxed { of: &shape, start: &of.piece.in_chunk, shape: &of.piece.shape };
                copy_box_of(&chunk.cells, at, &mut tile)?;
                Ok((number, plan.wanted.of_base(&chunk, at).blank(&mut tile, plan.fill)))
            };
            return parallel::map_owned(targets, spread);
        };
        let chunk = self.chunks.layer_at(layer, stored, from)?.ok_or_else(lost)?;
        self.read.fetch_add(1, Ordering::Relaxed);
        let spread = |(number, of, mut tile): Target<'_, '_>| {
            let chunk = self.chunks.spread_layer(layer, chunk.clone(), from, &of.piece.location)?;
            Ok((number, self.lay(layer, &chunk, &of.piece, &mut tile)?.blank(&mut tile, plan.fill)))
        };
        parallel::map_owned(targets, spread)
    }

    /// Copies the box of a decoded chunk of a layer into its place.
    fn lay(&self, layer: &LayerSpec, chunk: &Chunk, piece: &Piece, tile: &mut AnyTile<'_>) -> Result<Part> {
        let grid = self.chunks.grid;
        let (shape, full) = (grid.structure().chunk_shape(), grid.full(piece.location.levels()));
        let at = Boxed { of: &shape, start: &piece.in_chunk, shape: &piece.shape };
        self.inexact.fetch_add(count_inexact(layer, chunk, full, at), Ordering::Relaxed);
        copy_box_of(&chunk.values, at, tile)?;
        Ok(self.plan.wanted.of_layer(chunk, full.0, at))
    }

    /// Counts a chunk that was read. One that the directory was found to have must be there.
    fn found(&self, found: bool, layer: LayerId, at: &Location) -> Result<()> {
        if !found && self.plan.pyramid.base.mixed().is_some() {
            return Err(self.chunks.lost(layer, at));
        }
        self.read.fetch_add(u64::from(found), Ordering::Relaxed);
        Ok(())
    }

    /// Copies the box of a chunk that was decoded before, or decodes it whole where it was read not long ago.
    fn recall(
        &self,
        (cache, version): (&ChunkCache, &Stored),
        (layer, at): (LayerId, &Location),
        piece: &Piece,
        tile: &mut AnyTile<'_>,
    ) -> Result<Part> {
        let chunk = match cache.get(version) {
            Some(chunk) => chunk,
            None if !cache.wants(version) => return self.decode(layer, at, piece, tile),
            None => {
                let (shape, (planes, least)) = (self.chunks.grid.structure().chunk_shape(), self.chunks.planes(layer));
                let decoded = self.chunks.with_blob(layer, at, None, |key, blob| {
                    let chunk = codec::decode(key, blob, &BlobSpec::new(&shape, &planes, least)?)?;
                    Ok((Arc::new(chunk), version.is(blob)))
                })?;
                let Some((chunk, known)) = decoded else { return self.decode(layer, at, piece, tile) };
                if known {
                    cache.keep(version.clone(), Arc::clone(&chunk));
                }
                chunk
            }
        };
        self.found(true, layer, at)?;
        let (shape, weight) = (self.chunks.grid.structure().chunk_shape(), self.plan.weight(self.chunks.grid, layer, at));
        let boxed = Boxed { of: &shape, start: &piece.in_chunk, shape: &piece.shape };
        let (values, others) = chunk.split_first().ok_or_else(|| self.chunks.lost(layer, at))?;
        copy_box_of(values, boxed, tile)?;
        Ok(self.plan.wanted.of_planes(others, weight, boxed))
    }

    /// The plain case: the box is decoded straight into its place.
    fn decode(&self, layer: LayerId, at: &Location, piece: &Piece, tile: &mut AnyTile<'_>) -> Result<Part> {
        let shape = self.chunks.grid.structure().chunk_shape();
        let ((planes, least), weight) = (self.chunks.planes(layer), self.plan.weight(self.chunks.grid, layer, at));
        let read = self.chunks.with_blob(layer, at, None, |key, blob| {
            let spec = BlobSpec::new(&shape, &planes, least)?;
            self.plan.wanted.decode((key, blob), &spec, weight, &piece.in_chunk, tile)
        })?;
        self.found(read.is_some(), layer, at)?;
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
pub(super) fn copy_box_of(values: &Cells, at: Boxed<'_>, tile: &mut AnyTile<'_>) -> Result<()> {
    let (zero, row) = (vec![0; at.of.len()], at.shape[at.shape.len() - 1]);
    with_view!(AnyTile, tile, |tile| {
        let other = || Error::corrupt("a chunk is of another type").because(DecodeError::Request { reason: "type" });
        let cells = tile.of_type(values).ok_or_else(other)?;
        // Within the box itself a row begins where so many before it end.
        let place = |from: usize, to: usize| tile.row(to / row).copy_from_slice(&cells[from..from + row]);
        for_each_row((at.of, at.start), (at.shape, &zero), at.shape, place);
    });
    Ok(())
}
