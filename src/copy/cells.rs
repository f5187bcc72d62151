//! Cells from the source's chunks into arrays, and into the target.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{ArrayViewD, IxDyn};

use super::chunk_mapping::CopyLeaf;
use super::{CopiedState, CopyFrame, Updated};
use crate::array::{ArrayView, Cells, with_cells, with_dtype};
use crate::error::{Error, Result};
use crate::grid::{Location, Window};
use crate::kernel::{copy_box, fill_box};
use crate::key::LayerId;
use crate::parallel;
use crate::store::BaseChunk;
use crate::writer::Batch;

/// Chunks of the source that are held decoded at a time.
pub(super) const READ_AT_ONCE: usize = 16;

/// The cells that a window of the target is to hold.
pub(super) struct Fill {
    pub(super) window: Window,
    /// The events, along an irregular dimension.
    pub(super) ticks: Vec<i64>,
    shape: Vec<usize>,
    cells: Cells,
    mask: Option<Vec<u8>>,
}

impl Fill {
    /// A window, of events if there are `ticks`, without data.
    pub(super) fn blank(places: &CopyFrame<'_>, window: Window, ticks: Vec<i64>) -> Self {
        let mut shape: Vec<usize> = window
            .shape()
            .iter()
            .map(|len| usize::try_from(*len).unwrap_or(usize::MAX))
            .collect();
        places
            .target()
            .structure()
            .irregular_axis()
            .iter()
            .for_each(|irregular| shape[irregular.axis] = ticks.len());
        let (cells, mask) = places.blank(shape.iter().product());
        Self {
            window,
            ticks,
            shape,
            cells,
            mask,
        }
    }

    /// Copies a box of a chunk of this shape.
    pub(super) fn paste(
        &mut self,
        chunk: &BaseChunk,
        (of, from): (&[usize], &[usize]),
        to: &[usize],
        shape: &[usize],
    ) {
        let to = (self.shape.as_slice(), to);
        with_dtype!(self.cells.dtype(), |T| {
            if let (Some(cells), Some(own)) =
                (chunk.cells.as_slice::<T>(), self.cells.as_mut::<T>())
            {
                copy_box(cells, (of, from), own, to, shape);
            }
        });
        match (&mut self.mask, &chunk.mask) {
            (Some(own), Some(mask)) => copy_box(mask, (of, from), own, to, shape),
            (Some(own), None) => fill_box(own, to, shape, 1),
            (None, _) => {}
        }
    }

    /// Adds what is to be put to a batch.
    fn lay<'a>(&'a self, places: &CopyFrame<'_>, batch: &mut Batch<'a>) -> Result<()> {
        let misshapen = |e: ndarray::ShapeError| {
            places
                .target()
                .blame(Error::invalid(format!("its cells are not copied: {e}")))
        };
        let shape = IxDyn(&self.shape);
        let array = with_cells!(&self.cells, |cells| ArrayViewD::from_shape(
            shape.clone(),
            cells
        )
        .map(ArrayView::from));
        let mask = self
            .mask
            .as_ref()
            .map(|mask| ArrayViewD::from_shape(shape, mask))
            .transpose()
            .map_err(misshapen)?;
        batch.lay(
            places.target(),
            (&self.window, &self.ticks),
            array.map_err(misshapen)?,
            mask,
        )
    }
}

/// Puts all of these in one commit, after all data is gone from some windows.
pub(super) fn put(
    places: &CopyFrame<'_>,
    claim: &CopiedState,
    (cleared, fills): (&[Window], &[Fill]),
    done: &mut Updated,
) -> Result<()> {
    if cleared.is_empty() && fills.is_empty() {
        return Ok(());
    }
    let mut batch = places.update.batch(claim);
    cleared
        .iter()
        .try_for_each(|window| batch.clear(places.target(), window))?;
    fills
        .iter()
        .try_for_each(|fill| fill.lay(places, &mut batch))?;
    places.update.commit(batch, done)?;
    done.cells += fills
        .iter()
        .map(|fill| fill.cells.len() as u64)
        .sum::<u64>();
    Ok(())
}

/// Brings chunks of the target up to date, as many in one commit as fit memory.
pub(super) fn fill_and_put(
    places: &CopyFrame<'_>,
    claim: &CopiedState,
    leaves: Vec<CopyLeaf>,
    done: &mut Updated,
) -> Result<()> {
    let size = places.target().schema().dtype().size() as u64;
    let bytes = |leaf: &CopyLeaf| leaf.window.cells().unwrap_or(u64::MAX).saturating_mul(size);
    let mut rest = leaves.as_slice();
    while !rest.is_empty() {
        let mut held = 0_u64;
        let fits = rest.iter().take_while(|leaf| {
            held = held.saturating_add(if leaf.from.is_empty() { 0 } else { bytes(leaf) });
            held <= places.update.part_bytes as u64
        });
        let (now, later) = rest.split_at(fits.count().max(1));
        rest = later;
        let finer: Vec<Window> = now.iter().filter_map(|leaf| leaf.finer).collect();
        put(places, claim, (&finer, &[]), done)?;
        let cleared: Vec<Window> = now
            .iter()
            .filter(|leaf| leaf.from.is_empty())
            .map(|leaf| leaf.window)
            .collect();
        let fills = filled(places, now, done)?;
        put(places, claim, (&cleared, &fills), done)?;
    }
    Ok(())
}

/// What the source has where leaves are. Each of its chunks is decoded once.
fn filled(places: &CopyFrame<'_>, leaves: &[CopyLeaf], done: &mut Updated) -> Result<Vec<Fill>> {
    let leaves: Vec<&CopyLeaf> = leaves.iter().filter(|leaf| !leaf.from.is_empty()).collect();
    let mut fills: Vec<Fill> = leaves
        .iter()
        .map(|leaf| Fill::blank(places, leaf.window, Vec::new()))
        .collect();
    let from: BTreeSet<Location> = leaves
        .iter()
        .flat_map(|leaf| leaf.from.iter().copied())
        .collect();
    let (from, source): (Vec<Location>, _) = (from.into_iter().collect(), places.source());
    for some in from.chunks(READ_AT_ONCE) {
        let read = |at: &Location| {
            Ok((
                *at,
                source
                    .base(at, None)?
                    .ok_or_else(|| source.lost(LayerId::BASE, at))?,
            ))
        };
        let chunks: BTreeMap<Location, BaseChunk> =
            parallel::map(some, read)?.into_iter().collect();
        done.chunks_read += chunks.len() as u64;
        parallel::map_owned(fills.iter_mut().zip(&leaves).collect(), |(fill, leaf)| {
            for (at, chunk) in leaf
                .from
                .iter()
                .filter_map(|at| Some((at, chunks.get(at)?)))
            {
                paste(places, fill, at, chunk);
            }
            Ok(())
        })?;
    }
    Ok(fills)
}

/// Copies what a chunk of the source has in a window, cells repeated where they are coarser.
fn paste(places: &CopyFrame<'_>, fill: &mut Fill, at: &Location, chunk: &BaseChunk) {
    let (source, structure) = (places.source(), places.source().grid.structure());
    let levels = fill.window.levels(structure.dimensions().len());
    let own = structure.cover(&structure.chunk_window(at), levels);
    let held = places.held().map(|held| structure.cover(&held, levels));
    let shared = held
        .and_then(|held| structure.intersection(&own, &held))
        .and_then(|own| structure.intersection(&own, &fill.window));
    let Some(shared) = shared else { return };
    let away: Vec<usize> = shared
        .start()
        .iter()
        .zip(fill.window.start().iter())
        .map(|(a, b)| distance(*a, *b))
        .collect();
    let shape = structure.chunk_shape();
    for piece in structure.split(&shared) {
        let to: Vec<usize> = piece
            .in_window
            .iter()
            .zip(&away)
            .map(|(at, away)| at + away)
            .collect();
        if piece.location == *at {
            fill.paste(chunk, (&shape, &piece.in_chunk), &to, &piece.shape);
        } else {
            let finer = source.spread_base(chunk, at, &piece.location);
            fill.paste(&finer, (&shape, &piece.in_chunk), &to, &piece.shape);
        }
    }
}

/// How far a cell of an array is from its first.
pub(super) fn distance(cell: i64, first: i64) -> usize {
    usize::try_from(cell.abs_diff(first)).unwrap_or(usize::MAX)
}
