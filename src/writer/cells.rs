//! Cells of arrays laid over the cells of chunks.

use ndarray::{ArrayD, ArrayViewD, ArrayViewMutD, Slice, Zip};

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

/// A plane of a chunk, which has a cell for each place of its shape.
fn plane<'v, T>(shape: &[usize], cells: &'v mut [T]) -> ArrayViewMutD<'v, T> {
    ArrayViewMutD::from_shape(shape, cells)
        .unwrap_or_else(|_| unreachable!("a plane has the cells of its chunk"))
}

fn holes<T: Cell>(array: &ArrayViewD<'_, T>, nodata: Option<T>) -> bool {
    if !T::DTYPE.is_float() && nodata.is_none() {
        return false;
    }
    let hole = |cell: &T| cell.is_nan() | (Some(*cell) == nodata);
    array.rows().into_iter().any(|row| match row.as_slice() {
        Some(cells) => cells.iter().fold(false, |any, cell| any | hole(cell)),
        None => row.iter().any(hole),
    })
}

fn data<T: Cell>(array: &ArrayViewD<'_, T>, nodata: Option<T>) -> bool {
    !T::DTYPE.is_float() && nodata.is_none()
        || array
            .iter()
            .any(|cell| !cell.is_nan() && Some(*cell) != nodata)
}

/// The array of a put, and which of its cells hold data (1) where their values cannot say it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PutArray<'v, T> {
    pub(super) array: &'v ArrayViewD<'v, T>,
    pub(super) mask: Option<&'v ArrayViewD<'v, u8>>,
}

impl<T: Cell> PutArray<'_, T> {
    /// Whether a piece has a cell without data.
    pub(super) fn has_holes(&self, piece: &Piece, nodata: Option<T>) -> bool {
        self.mask
            .is_some_and(|mask| part_of(mask, piece).iter().any(|valid| *valid == 0))
            || holes(&part_of(self.array, piece), nodata)
    }

    /// Whether a piece has a cell with data.
    pub(super) fn has_data(&self, piece: &Piece, nodata: Option<T>) -> bool {
        let part = part_of(self.array, piece);
        match self.mask {
            None => data(&part, nodata),
            Some(mask) => part
                .iter()
                .zip(part_of(mask, piece))
                .any(|(cell, valid)| *valid != 0 && !cell.is_nan() && Some(*cell) != nodata),
        }
    }
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
    /// Lays a piece of an array over the chunk; cells of the array without a 1 in its mask hold no
    /// data. False if the overlap is refused.
    pub(super) fn overlay(
        &mut self,
        put: &PutArray<'_, T>,
        piece: &Piece,
        overlap: Overlap,
        blank: Blank<T>,
    ) -> bool {
        if overlap == Overlap::Refuse && self.holds_data(piece, blank) {
            return false;
        }
        match put
            .array
            .as_slice()
            .filter(|_| overlap != Overlap::Keep && !put.has_holes(piece, blank.nodata))
        {
            Some(cells) => {
                let (from, to) = (
                    (put.array.shape(), &*piece.in_window),
                    (self.shape, &*piece.in_chunk),
                );
                copy_box(cells, from, self.cells, to, &piece.shape);
                self.mask
                    .iter_mut()
                    .for_each(|mask| fill_box(mask, to, &piece.shape, 1));
            }
            None => self.overlay_cells(put, piece, overlap, blank),
        }
        true
    }

    fn overlay_cells(
        &mut self,
        put: &PutArray<'_, T>,
        piece: &Piece,
        overlap: Overlap,
        blank: Blank<T>,
    ) {
        let hole = |cell: &T| cell.is_nan() || Some(*cell) == blank.nodata;
        let part = part_of(put.array, piece);
        let valid = put.mask.map(|mask| part_of(mask, piece)).map_or_else(
            || ArrayD::from_elem(part.raw_dim(), 1),
            |mask| mask.to_owned(),
        );
        let mut cells = plane(self.shape, self.cells);
        let to = part_mut(&mut cells, piece);
        match self.mask.as_deref_mut().map(|mask| plane(self.shape, mask)) {
            Some(mut mask) => {
                Zip::from(to)
                    .and(part_mut(&mut mask, piece))
                    .and(part)
                    .and(&valid)
                    .for_each(|to, is, from, valid| match overlap {
                        Overlap::Replace => {
                            (*to, *is) = if *valid == 0 {
                                (blank.fill, 0)
                            } else {
                                (*from, 1)
                            }
                        }
                        Overlap::Keep if *is != 0 => {}
                        _ if *valid == 0 => {}
                        _ => (*to, *is) = (*from, 1),
                    });
            }
            None => Zip::from(to)
                .and(part)
                .and(&valid)
                .for_each(|to, from, valid| {
                    let from_is_hole = *valid == 0 || hole(from);
                    match overlap {
                        Overlap::Replace => *to = if from_is_hole { blank.fill } else { *from },
                        Overlap::Keep if !hole(to) => {}
                        _ if from_is_hole => {}
                        _ => *to = *from,
                    }
                }),
        }
    }

    /// Removes the data of a piece.
    pub(super) fn clear(&mut self, piece: &Piece, blank: Blank<T>) {
        let to = (self.shape, &*piece.in_chunk);
        fill_box(self.cells, to, &piece.shape, blank.fill);
        self.mask
            .iter_mut()
            .for_each(|mask| fill_box(mask, to, &piece.shape, 0));
    }

    /// Whether there is data under a piece.
    pub(super) fn holds_data(&mut self, piece: &Piece, blank: Blank<T>) -> bool {
        match self.mask.as_deref_mut().map(|mask| plane(self.shape, mask)) {
            Some(mut mask) => part_mut(&mut mask, piece).iter().any(|valid| *valid != 0),
            None => {
                let mut cells = plane(self.shape, self.cells);
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
            (T::DTYPE.is_float() || nodata.is_some())
                && cells
                    .iter()
                    .all(|cell| cell.is_nan() || Some(*cell) == nodata)
        })
    })
}
