//! The array of an answer, filled from columns in parallel.

use std::cmp::Reverse;
use std::sync::atomic::Ordering;

use rayon::prelude::*;

use super::super::fetch::{copy_box_of, count_inexact};
use super::super::sizes;
use super::{Place, Reader, Source};
use crate::array::{Array, Bounds, Cell, Cells, Tile, with_view};
use crate::codec::{BlobSpec, decode_into};
use crate::error::{Error, Result};
use crate::events::Column;
use crate::kernel::Chunk;
use crate::key::LayerId;

/// Cells of a source that follow each other in the answer too: the first one's number in both, and how many.
#[derive(Clone, Copy)]
struct Run {
    from: usize,
    to: usize,
    len: usize,
}

impl Reader<'_> {
    /// The array of sources at some ticks.
    pub(super) fn fill(&self, columns: &[Place], sources: &[Vec<Source>], ticks: &[i64]) -> Result<Array> {
        self.plan.check_events(ticks.len())?;
        let axis = self.times.irregular.axis;
        let mut shape = sizes(&self.plan.window.along(axis, 0, 1).shape());
        shape[axis] = ticks.len();
        let mut array = Array::filled(self.plan.dtype, &shape, self.plan.fill);
        if ticks.is_empty() {
            return Ok(array);
        }
        let of_column = |(place, sources)| {
            let sources: &Vec<Source> = sources;
            sources.iter().map(move |source| (place, source, runs(source.ticks(), ticks)))
        };
        let work: Vec<(&Place, &Source, Vec<Run>)> = columns.iter().zip(sources).flat_map(of_column).collect();
        let bounds = |(place, run): (&Place, &Run)| {
            let (mut start, mut shape) = (place.piece.in_window.to_vec(), place.piece.shape.to_vec());
            (start[axis], shape[axis]) = (run.to, run.len);
            Bounds { start, shape }
        };
        let boxes: Vec<Bounds> = work.iter().flat_map(|(place, _, runs)| runs.iter().map(|run| bounds((place, run)))).collect();
        with_view!(Array, &mut array, |array| {
            let cells = array.as_slice_mut().ok_or_else(|| Error::invalid("a new array is in C order"))?;
            let tiles = Tile::split(cells, &shape, &boxes)
                .map_err(|e| Error::invalid("the pieces of a window are disjoint").because(e))?;
            let mut tiles = tiles.into_iter();
            let work: Vec<_> = work
                .into_iter()
                .map(|(place, source, runs)| {
                    let tiles: Vec<_> = tiles.by_ref().take(runs.len()).collect();
                    (place, source, runs, tiles)
                })
                .collect();
            work.into_par_iter().try_for_each(|(place, source, runs, tiles)| self.paint(place, source, &runs, tiles))
        })?;
        Ok(array)
    }

    /// Copies the runs of a source into their tiles.
    fn paint<T: Cell>(&self, place: &Place, source: &Source, runs: &[Run], mut tiles: Vec<Tile<'_, T>>) -> Result<()> {
        let axis = self.times.irregular.axis;
        let start = |run: &Run| {
            let mut start = place.piece.in_chunk;
            start[axis] = run.from;
            start
        };
        let plain = match (source, self.layer()) {
            (Source::Stored(at, ticks), None) => Some((LayerId::BASE, at, ticks)),
            (Source::Stored(at, ticks), Some(layer))
                if !layer.is_mode() && Column::layer(&self.plan.base, at) != LayerId::BASE =>
            {
                Some((layer.id, at, ticks))
            }
            _ => None,
        };
        if let (Some((layer, at, ticks)), [run], [tile]) = (plain, runs, tiles.as_mut_slice()) {
            let (shape, (planes, least)) = (self.chunks.shape(Some(ticks)), self.chunks.planes(layer));
            let read = self.chunks.with_blob(layer, at, Some(ticks), |identity, blob| {
                decode_into(identity, blob, &BlobSpec::new(&shape, &planes, least)?, &start(run), tile)
            })?;
            self.read.fetch_add(1, Ordering::Relaxed);
            return if read.is_some() { Ok(()) } else { Err(self.chunks.lost(layer, at)) };
        }
        let computed;
        let (values, chunk): (&Cells, Option<&Chunk>) = match (source, self.layer()) {
            (Source::Computed(events), _) => (&events.planes.values, Some(&events.planes)),
            (Source::Stored(at, ticks), None) => {
                self.read.fetch_add(1, Ordering::Relaxed);
                let base = self.chunks.base_events(at, ticks)?;
                computed = Chunk { values: base.cells, state: Vec::new(), weight: None };
                (&computed.values, None)
            }
            (Source::Stored(at, ticks), Some(layer)) => {
                self.read.fetch_add(1, Ordering::Relaxed);
                computed = self.chunks.layer_of(layer, at, &self.plan.base, ticks)?;
                (&computed.values, Some(&computed))
            }
        };
        let shape = self.chunks.grid.shape_of(values.len());
        for (run, tile) in runs.iter().zip(&mut tiles) {
            let mut size = place.piece.shape;
            size[axis] = run.len;
            copy_box_of(values, (&shape, &start(run)), &size, tile)?;
            if let Some((layer, chunk)) = self.layer().zip(chunk) {
                let full = self.chunks.grid.full(place.piece.location.levels());
                self.inexact.fetch_add(count_inexact(layer, chunk, full, (&shape, &start(run)), &size), Ordering::Relaxed);
            }
        }
        Ok(())
    }
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
