//! Loops over runs of cells whose type is known at run time: one loop a type, never one a pair of
//! types.
//!
//! Runs come as bytes in this machine's order, aligned for their type, as those of [`Cells`] are.
//! Where cells of one type become those of another, doubles stand between, block by block: exact
//! for every type but integers of 64 bits, which become no other integers.

use super::{Cell, Cells, DType, with_cells, with_dtype};

/// Cells that are converted at a time, so that what stands between is held in a processor's cache.
pub(crate) const BLOCK: usize = 4096;

/// The cells of an array in C order, as bytes.
pub(crate) enum Flat<'a> {
    /// As they lie in the array.
    Borrowed(&'a [u8]),
    /// Those of an array of another layout.
    Owned(Cells),
}

impl Flat<'_> {
    /// The bytes of the cells, aligned for their type.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Flat::Borrowed(bytes) => bytes,
            Flat::Owned(cells) => cells.as_bytes(),
        }
    }
}

/// Cells as doubles.
pub(crate) fn load(dtype: DType, cells: &[u8], values: &mut [f64]) {
    fn of<T: Cell>(cells: &[T], values: &mut [f64]) {
        values
            .iter_mut()
            .zip(cells)
            .for_each(|(value, cell)| *value = cell.to_f64());
    }
    with_dtype!(dtype, |T| of::<T>(bytemuck::cast_slice(cells), values));
}

/// The nearest cells to some doubles, as by [`Cell::from_f64`].
pub(crate) fn store(dtype: DType, values: &[f64], cells: &mut [u8]) {
    fn of<T: Cell>(values: &[f64], cells: &mut [T]) {
        cells
            .iter_mut()
            .zip(values)
            .for_each(|(cell, value)| *cell = T::from_f64(*value));
    }
    with_dtype!(dtype, |T| of::<T>(values, bytemuck::cast_slice_mut(cells)));
}

/// Lays one cell, given by its bytes, where the marks are.
pub(crate) fn lay(cell: &[u8], marks: &[bool], cells: &mut [u8]) {
    fn of<const N: usize>(cell: &[u8], marks: &[bool], cells: &mut [u8]) {
        let Some(cell) = cell.first_chunk::<N>() else {
            return;
        };
        for (to, mark) in cells.as_chunks_mut::<N>().0.iter_mut().zip(marks) {
            *to = if *mark { *cell } else { *to };
        }
    }
    match cell.len() {
        1 => of::<1>(cell, marks, cells),
        2 => of::<2>(cell, marks, cells),
        4 => of::<4>(cell, marks, cells),
        _ => of::<8>(cell, marks, cells),
    }
}

/// Marks cells that are NaN.
pub(crate) fn mark_nan(dtype: DType, cells: &[u8], marks: &mut [bool]) {
    match dtype {
        DType::F32 => mark(bytemuck::cast_slice(cells), marks, |cell: f32| {
            cell.is_nan()
        }),
        DType::F64 => mark(bytemuck::cast_slice(cells), marks, |cell: f64| {
            cell.is_nan()
        }),
        _ => {}
    }
}

/// Marks cells that equal one, which is of their type.
pub(crate) fn mark_equal(cell: &Cells, cells: &[u8], marks: &mut [bool]) {
    fn of<T: Cell>(cell: &[T], cells: &[T], marks: &mut [bool]) {
        let Some(cell) = cell.first().copied() else {
            return;
        };
        mark(cells, marks, |other| other == cell);
    }
    with_cells!(cell, |cell| of(cell, bytemuck::cast_slice(cells), marks));
}

/// Marks cells that are less than one, or greater, which is of their type.
pub(crate) fn mark_beyond(cell: &Cells, greater: bool, cells: &[u8], marks: &mut [bool]) {
    fn of<T: Cell>(cell: &[T], greater: bool, cells: &[T], marks: &mut [bool]) {
        let Some(cell) = cell.first().copied() else {
            return;
        };
        mark(cells, marks, |other| {
            if greater { other > cell } else { other < cell }
        });
    }
    with_cells!(cell, |cell| of(
        cell,
        greater,
        bytemuck::cast_slice(cells),
        marks
    ));
}

fn mark<T: Copy>(cells: &[T], marks: &mut [bool], is: impl Fn(T) -> bool) {
    marks
        .iter_mut()
        .zip(cells)
        .for_each(|(mark, cell)| *mark |= is(*cell));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_through_doubles_is_what_it_was() {
        for from in DType::ALL
            .into_iter()
            .filter(|dtype| ![DType::I64, DType::U64].contains(dtype))
        {
            let wanted = with_dtype!(from, |T| Cells::from(vec![
                T::from_f64(f64::MIN),
                T::from_f64(f64::MAX),
                T::from_f64(7.0)
            ]));
            let mut values = [0.0; 3];
            load(from, wanted.as_bytes(), &mut values);
            let mut cells = Cells::filled(from, 3, 0.0);
            store(from, &values, cells.as_bytes_mut());
            assert_eq!(cells, wanted);
        }
    }

    #[test]
    fn marks_are_added_and_cells_are_laid_at_them() {
        let mut marks = [false, false, true, false, false];
        let mut cells = Cells::from(vec![i64::MAX, i64::MAX - 1, 3, 4, -5]);
        mark_equal(&Cells::from(vec![i64::MAX]), cells.as_bytes(), &mut marks);
        assert_eq!(
            marks,
            [true, false, true, false, false],
            "integers of 64 bits are not compared as doubles"
        );
        mark_beyond(
            &Cells::from(vec![0_i64]),
            false,
            cells.as_bytes(),
            &mut marks,
        );
        assert_eq!(marks, [true, false, true, false, true]);
        lay(
            Cells::from(vec![9_i64]).as_bytes(),
            &marks,
            cells.as_bytes_mut(),
        );
        assert_eq!(cells, Cells::from(vec![9, i64::MAX - 1, 9, 4, 9_i64]));
        let mut marks = [false; 3];
        let floats = Cells::from(vec![1.0_f32, f32::NAN, 2.0]);
        mark_nan(DType::F32, floats.as_bytes(), &mut marks);
        mark_beyond(
            &Cells::from(vec![1.5_f32]),
            true,
            floats.as_bytes(),
            &mut marks,
        );
        assert_eq!(marks, [false, true, true]);
    }
}
