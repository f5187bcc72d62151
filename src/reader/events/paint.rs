//! The array of an answer, filled from columns in parallel.

use std::cmp::Reverse;
use std::sync::atomic::Ordering;

use super::super::fetch::{copy_box_of, count_inexact, tiles};
use super::super::parts::{Boxed, Known, Part};
use super::super::sizes;
use super::{ColumnSources, EventColumn, EventSource, Reader};
use crate::array::{AnyTile, Array, Bounds};
use crate::codec::BlobSpec;
use crate::error::{Error, Result};
use crate::events::Column;
use crate::kernel::Chunk;
use crate::key::LayerId;
use crate::parallel;
use crate::store::{BaseChunk, LayerSpec};

/// Cells of a source that follow each other in the answer too: the first one's number in both, and how many.
#[derive(Clone, Copy)]
struct Run {
    from: usize,
    to: usize,
    len: usize,
}

impl Reader<'_> {
    /// The array of sources at some ticks, and what is known of its cells.
    pub(super) fn fill(&self, columns: &[EventColumn], found: &[ColumnSources<Chunk>], ticks: &[i64]) -> Result<(Array, Known)> {
        self.plan.check_events(ticks.len())?;
        let axis = self.times.irregular.axis;
        let mut shape = sizes(&self.plan.window.along(axis, 0, 1).shape());
        shape[axis] = ticks.len();
        let mut array = Array::filled(self.plan.dtype, &shape, self.plan.fill);
        if ticks.is_empty() {
            return Ok((array, Known::of(self.plan, &shape, &[], &[])));
        }
        let of_column = |(place, found)| {
            let found: &ColumnSources<Chunk> = found;
            found.sources.iter().map(move |source| (place, source, runs(source.ticks(), ticks)))
        };
        let work: Vec<(&EventColumn, &EventSource<Chunk>, Vec<Run>)> = columns.iter().zip(found).flat_map(of_column).collect();
        let bounds = |(place, run): (&EventColumn, &Run)| {
            let (mut start, mut shape) = (place.piece.in_window.to_vec(), place.piece.shape.to_vec());
            (start[axis], shape[axis]) = (run.to, run.len);
            Bounds { start, shape }
        };
        let boxes: Vec<Bounds> = work.iter().flat_map(|(place, _, runs)| runs.iter().map(|run| bounds((place, run)))).collect();
        let mut tiles = tiles(&mut array, &boxes)?.into_iter();
        let with_tiles = |(place, source, runs): (_, _, Vec<Run>)| {
            let tiles: Vec<AnyTile<'_>> = tiles.by_ref().take(runs.len()).collect();
            (place, source, runs, tiles)
        };
        let work = work.into_iter().map(with_tiles).collect();
        let parts: Vec<Vec<Part>> = parallel::map_owned(work, |(place, source, runs, mut tiles)| {
            let parts = self.paint(place, source, &runs, &mut tiles)?;
            Ok(parts.into_iter().zip(&mut tiles).map(|(part, tile)| part.blank(tile, self.plan.fill)).collect())
        })?;
        let parts: Vec<Part> = parts.into_iter().flatten().collect();
        let known = Known::of(self.plan, &shape, &boxes, &parts);
        Ok((array, known))
    }

    /// Copies the runs of a source into their tiles, and says what is known of each.
    fn paint(
        &self,
        place: &EventColumn,
        source: &EventSource<Chunk>,
        runs: &[Run],
        tiles: &mut [AnyTile<'_>],
    ) -> Result<Vec<Part>> {
        let axis = self.times.irregular.axis;
        let start = |run: &Run| {
            let mut start = place.piece.in_chunk;
            start[axis] = run.from;
            start
        };
        let plain = match (source, self.layer()) {
            (EventSource::Stored(at, ticks), None) => Some((LayerId::BASE, at, ticks)),
            (EventSource::Stored(at, ticks), Some(layer))
                if !layer.is_mode() && Column::layer(&self.plan.pyramid.base, at) != LayerId::BASE =>
            {
                Some((layer.id, at, ticks))
            }
            _ => None,
        };
        if let (Some((layer, at, ticks)), [run], [tile]) = (plain, runs, &mut *tiles) {
            let (shape, (planes, least)) = (self.chunks.shape(Some(ticks)), self.chunks.planes(layer));
            let weight = self.plan.weight(self.chunks.grid, layer, at);
            let read = self.chunks.with_blob(layer, at, Some(ticks), |identity, blob| {
                let spec = BlobSpec::new(&shape, &planes, least)?;
                self.plan.wanted.decode((identity, blob), &spec, weight, &start(run), tile)
            })?;
            self.read.fetch_add(1, Ordering::Relaxed);
            return Ok(vec![read.ok_or_else(|| self.chunks.lost(layer, at))?]);
        }
        let computed;
        let held = match (source, self.layer()) {
            (EventSource::Computed(events), Some(layer)) => Held::Layer(layer, &events.planes),
            (EventSource::Stored(at, ticks), Some(layer)) => {
                self.read.fetch_add(1, Ordering::Relaxed);
                computed = self.chunks.layer_of(layer, at, &self.plan.pyramid.base, ticks)?;
                Held::Layer(layer, &computed)
            }
            (EventSource::Stored(at, ticks), None) => {
                self.read.fetch_add(1, Ordering::Relaxed);
                Held::Base(self.chunks.base_events(at, ticks)?)
            }
            (EventSource::Computed(_), None) => return Err(Error::invalid("base cells are read, not computed")),
        };
        let values = match &held {
            Held::Base(chunk) => &chunk.cells,
            Held::Layer(_, chunk) => &chunk.values,
        };
        let shape = self.chunks.grid.shape_of(values.len());
        let full = self.chunks.grid.full(place.piece.location.levels());
        let paint = |(run, tile): (&Run, &mut AnyTile<'_>)| {
            let mut size = place.piece.shape;
            size[axis] = run.len;
            let start = start(run);
            let at = Boxed { of: &shape, start: &start, shape: &size };
            copy_box_of(values, at, tile)?;
            Ok(match &held {
                Held::Base(chunk) => self.plan.wanted.of_base(chunk, at),
                Held::Layer(layer, chunk) => {
                    self.inexact.fetch_add(count_inexact(layer, chunk, full, at), Ordering::Relaxed);
                    self.plan.wanted.of_layer(chunk, full.0, at)
                }
            })
        };
        runs.iter().zip(tiles).map(paint).collect()
    }
}

/// What a source's cells are copied from.
enum Held<'a> {
    Base(BaseChunk),
    Layer(&'a LayerSpec, &'a Chunk),
}

/// The runs of a source's cells in an answer with cells at `all`.
fn runs(of: &[i64], all: &[i64]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (from, tick) in of.iter().enumerate() {
        let Ok(to) = all.binary_search(tick) else { continue };
        match runs.last_mut() {
            Some(run) if run.from + run.len == from && run.to + run.len == to => run.len += 1,
            _ => runs.push(Run { from, to, len: 1 }),
        }
    }
    runs.sort_by_key(|run| Reverse(run.len));
    runs
}
