//! Cells of arrays laid over the cells of chunks.

use ndarray::{ArrayViewD, ArrayViewMutD, Slice, Zip};

use crate::array::{ArrayView, Cell, with_dtype};
use crate::grid::{Piece, Schema};
use crate::kernel::copy_box;
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

/// Lays a piece of an array over a chunk. Cells without data become `fill`, or leave the chunk's alone if there is none.
pub(super) fn overlay<T: Cell>(
    chunk: &mut [T],
    shape: &[usize],
    array: &ArrayViewD<'_, T>,
    piece: &Piece,
    nodata: Option<T>,
    fill: Option<T>,
) {
    match array.as_slice() {
        Some(cells) if !holes(&part_of(array, piece), nodata) => {
            copy_box(cells, (array.shape(), &piece.in_window), chunk, (shape, &piece.in_chunk), &piece.shape);
        }
        _ => {
            let Ok(mut whole) = ArrayViewMutD::from_shape(shape, chunk) else { return };
            let mut to = whole.slice_each_axis_mut(|axis| {
                let start = piece.in_chunk[axis.axis.index()];
                Slice::from(start..start + piece.shape[axis.axis.index()])
            });
            Zip::from(&mut to).and(&part_of(array, piece)).for_each(|to, from| {
                let hole = from.is_nan() || Some(*from) == nodata;
                *to = if hole { fill.unwrap_or(*to) } else { *from };
            });
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
