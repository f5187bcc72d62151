//! Cells of arrays laid over the cells of chunks.

use ndarray::{ArrayViewD, ArrayViewMutD, Slice, Zip};

use super::Overlap;
use crate::array::{ArrayView, Cell, with_dtype};
use crate::grid::{Piece, Schema};
use crate::kernel::{copy_box, fill_box};
use crate::store::BaseChunk;

pub(super) fn typed<'v, T: Cell>(view: &'v ArrayView<'_>) -> Option<ArrayViewD<'v, T>> {
    T::unwrap_view(view)
}

pub(super) fn part_of<'v, T>(array: &'v ArrayViewD<'_, T>, piece: &Piece) -> ArrayViewD<'v, T> {
    array.slice_each_axis(|axis| {
        let start = piece.in_window[axis.axis.index()];
        Slice::from(start..start + piece.shape[axis.axis.index()])
    })
}

/// The part of a chunk's plane that a piece lies over.
fn part_mut<'v, T>(plane: &'v mut ArrayViewMutD<'_, T>, piece: &Piece) -> ArrayViewMutD<'v, T> {
    plane.slice_each_axis_mut(|axis| {
        let start = piece.in_chunk[axis.axis.index()];
        Slice::from(start..start + piece.shape[axis.axis.index()])
    })
}

pub(super) fn holes<T: Cell>(array: &ArrayViewD<'_, T>, nodata: Option<T>) -> bool {
    if !T::DTYPE.is_float() && nodata.is_none() {
        return false;
    }
    let hole = |cell: &T| cell.is_nan() | (Some(*cell) == nodata);
    array.rows().into_iter().any(|row| match row.as_slice() {
        Some(cells) => cells.iter().fold(false, |any, cell| any | hole(cell)),
        None => row.iter().any(hole),
    })
}

pub(super) fn data<T: Cell>(array: &ArrayViewD<'_, T>, nodata: Option<T>) -> bool {
    !T::DTYPE.is_float() && nodata.is_none() || array.iter().any(|cell| !cell.is_nan() && Some(*cell) != nodata)
}

/// How cells without data are told, and what stands in them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blank<T> {
    pub(super) nodata: Option<T>,
    pub(super) fill: T,
}

/// A chunk's cells and mask as they are written to.
pub(super) struct Target<'c, T> {
    pub(super) cells: &'c mut [T],
    pub(super) mask: Option<&'c mut [u8]>,
    pub(super) shape: &'c [usize],
}

impl<T: Cell> Target<'_, T> {
    /// Lays a piece of an array over the chunk. False if the overlap is refused.
    pub(super) fn overlay(&mut self, array: &ArrayViewD<'_, T>, piece: &Piece, overlap: Overlap, blank: Blank<T>) -> bool {
        if overlap == Overlap::Refuse && self.holds_data(piece, blank) {
            return false;
        }
        let part = part_of(array, piece);
        match array.as_slice().filter(|_| overlap != Overlap::Keep && !holes(&part, blank.nodata)) {
            Some(cells) => {
                let (from, to) = ((array.shape(), &*piece.in_window), (self.shape, &*piece.in_chunk));
                copy_box(cells, from, self.cells, to, &piece.shape);
                self.mask.iter_mut().for_each(|mask| fill_box(mask, to, &piece.shape, 1));
            }
            None => self.overlay_cells(&part, piece, overlap, blank),
        }
        true
    }

    fn overlay_cells(&mut self, part: &ArrayViewD<'_, T>, piece: &Piece, overlap: Overlap, blank: Blank<T>) {
        let hole = |cell: &T| cell.is_nan() || Some(*cell) == blank.nodata;
        let Ok(mut cells) = ArrayViewMutD::from_shape(self.shape, &mut *self.cells) else { return };
        let to = part_mut(&mut cells, piece);
        match self.mask.as_deref_mut().and_then(|mask| ArrayViewMutD::from_shape(self.shape, mask).ok()) {
            // Every cell of the array is data where the cells themselves cannot say otherwise.
            Some(mut mask) => Zip::from(to).and(part_mut(&mut mask, piece)).and(part).for_each(|to, valid, from| {
                if overlap != Overlap::Keep || *valid == 0 {
                    (*to, *valid) = (*from, 1);
                }
            }),
            None => Zip::from(to).and(part).for_each(|to, from| match overlap {
                Overlap::Replace => *to = if hole(from) { blank.fill } else { *from },
                Overlap::Keep if !hole(to) => {}
                _ if hole(from) => {}
                _ => *to = *from,
            }),
        }
    }

    /// Removes the data of a piece where a mask of the whole array has no 1.
    pub(super) fn cut(&mut self, of_array: &ArrayViewD<'_, u8>, piece: &Piece, blank: Blank<T>) {
        let Some(mask) = self.mask.as_deref_mut() else { return };
        let cells = ArrayViewMutD::from_shape(self.shape, &mut *self.cells);
        let (Ok(mut cells), Ok(mut mask)) = (cells, ArrayViewMutD::from_shape(self.shape, mask)) else { return };
        let of_array = part_of(of_array, piece);
        Zip::from(part_mut(&mut cells, piece)).and(part_mut(&mut mask, piece)).and(of_array).for_each(|cell, valid, from| {
            if *from == 0 {
                (*cell, *valid) = (blank.fill, 0);
            }
        });
    }

    /// Removes the data of a piece.
    pub(super) fn clear(&mut self, piece: &Piece, blank: Blank<T>) {
        let to = (self.shape, &*piece.in_chunk);
        fill_box(self.cells, to, &piece.shape, blank.fill);
        self.mask.iter_mut().for_each(|mask| fill_box(mask, to, &piece.shape, 0));
    }

    /// Whether there is data under a piece.
    pub(super) fn holds_data(&mut self, piece: &Piece, blank: Blank<T>) -> bool {
        match self.mask.as_deref_mut().and_then(|mask| ArrayViewMutD::from_shape(self.shape, mask).ok()) {
            Some(mut mask) => part_mut(&mut mask, piece).iter().any(|valid| *valid != 0),
            None => {
                let Ok(mut cells) = ArrayViewMutD::from_shape(self.shape, &mut *self.cells) else { return false };
                data(&part_mut(&mut cells, piece).view(), blank.nodata)
            }
        }
    }
}

/// Whether a chunk holds no data at all.
pub(super) fn is_blank(chunk: &BaseChunk, schema: &Schema) -> bool {
    if let Some(mask) = &chunk.mask {
        return mask.iter().all(|&valid| valid == 0);
    }
    with_dtype!(schema.dtype(), |T| {
        let nodata = schema.nodata().map(T::from_f64);
        chunk.cells.as_slice::<T>().is_some_and(|cells| {
            (T::DTYPE.is_float() || nodata.is_some()) && cells.iter().all(|cell| cell.is_nan() || Some(*cell) == nodata)
        })
    })
}
