//! Disjoint boxes of one output array, to be filled from several threads.

use std::fmt;
use std::marker::PhantomData;

use bytemuck::Pod;

use super::dtype::sealed::Wrap;
use super::{Array, Cell, Cells, with_view};

/// A box inside an array: where it starts and how far it reaches, by axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The first index along each axis.
    pub start: Vec<usize>,
    /// The number of indices along each axis.
    pub shape: Vec<usize>,
}

/// Why an array cannot be cut into the boxes asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScatterError {
    /// The slice does not hold the product of the shape.
    Len {
        /// The product of the shape, saturated.
        expected: usize,
        /// The length of the slice.
        got: usize,
    },
    /// The array is not in C order.
    Order,
    /// A box is of another rank than the array or reaches beyond it.
    Outside {
        /// The position of the box in the list.
        index: usize,
    },
    /// Two boxes share a cell.
    Overlap {
        /// The positions of the two boxes in the list.
        indices: [usize; 2],
    },
}

impl fmt::Display for ScatterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Len { expected, got } => write!(
                f,
                "the array has {got} cells where its shape asks for {expected}"
            ),
            Self::Order => write!(f, "the array is not in C order"),
            Self::Outside { index } => write!(f, "box {index} is not inside the array"),
            Self::Overlap { indices: [a, b] } => write!(f, "boxes {a} and {b} overlap"),
        }
    }
}

impl std::error::Error for ScatterError {}

/// The right to write one box of an array. No other tile of that array reaches its cells, so tiles
/// go to other threads.
///
/// A tile is written by rows: the runs of its last axis, numbered in C order.
pub struct TileMut<'a, T> {
    /// The array's first cell, not the box's.
    array: *mut T,
    start: Vec<usize>,
    shape: Vec<usize>,
    strides: Vec<usize>,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: a tile is a `&mut` to the cells of its box: the constructors hand out disjoint boxes of
// one exclusive borrow.
unsafe impl<T: Send> Send for TileMut<'_, T> {}

impl<T> fmt::Debug for TileMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tile")
            .field("start", &self.start)
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

impl<'a, T> TileMut<'a, T> {
    /// One tile that is the whole of a C-order array.
    pub fn whole(array: &'a mut [T], shape: &[usize]) -> Result<Self, ScatterError> {
        let strides = strides(array.len(), shape)?;
        Ok(Self {
            array: array.as_mut_ptr(),
            start: vec![0; shape.len()],
            shape: shape.to_vec(),
            strides,
            lifetime: PhantomData,
        })
    }

    /// Tiles for boxes of a C-order array, in the order given. Boxes that overlap or reach outside
    /// are refused.
    pub fn split(
        array: &'a mut [T],
        shape: &[usize],
        boxes: &[Bounds],
    ) -> Result<Vec<Self>, ScatterError> {
        let strides = strides(array.len(), shape)?;
        let inside = |bounds: &Bounds| {
            bounds.start.len() == shape.len()
                && bounds.shape.len() == shape.len()
                && (0..shape.len()).all(|a| {
                    bounds.start[a]
                        .checked_add(bounds.shape[a])
                        .is_some_and(|end| end <= shape[a])
                })
        };
        if let Some(index) = boxes.iter().position(|bounds| !inside(bounds)) {
            return Err(ScatterError::Outside { index });
        }
        refuse_overlap(shape.len(), boxes)?;
        let array = array.as_mut_ptr();
        Ok(boxes
            .iter()
            .map(|bounds| Self {
                array,
                start: bounds.start.clone(),
                shape: bounds.shape.clone(),
                strides: strides.clone(),
                lifetime: PhantomData,
            })
            .collect())
    }

    /// Cells along each axis of the box.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many rows the box has: the product of all axes but the last.
    pub fn rows(&self) -> usize {
        match self.shape.split_last() {
            Some((0, _)) | None => 0,
            Some((_, leading)) => leading.iter().product(),
        }
    }

    /// The cells of one row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&mut self, row: usize) -> &mut [T] {
        assert!(
            row < self.rows(),
            "a tile of {} rows has no row {row}",
            self.rows()
        );
        let last = self.shape.len() - 1;
        let mut offset = self.start[last];
        let mut rest = row;
        for axis in (0..last).rev() {
            offset += (self.start[axis] + rest % self.shape[axis]) * self.strides[axis];
            rest /= self.shape[axis];
        }
        // SAFETY: the constructors checked start + shape against the array's shape and that against
        // its length, so the run lies inside the array; no other tile reaches it, and `&mut self`
        // is the only way to it through this one.
        unsafe { std::slice::from_raw_parts_mut(self.array.add(offset), self.shape[last]) }
    }

    /// Cells as a slice of the tile's type, if that is their type.
    pub(crate) fn of_type<'c>(&self, cells: &'c Cells) -> Option<&'c [T]>
    where
        T: Cell,
    {
        cells.as_slice()
    }

    /// The same cells as words of another type of the same layout.
    ///
    /// # Panics
    /// If the layouts differ.
    pub(crate) fn words<W: Pod>(&mut self) -> TileMut<'_, W>
    where
        T: Pod,
    {
        assert!(
            size_of::<T>() == size_of::<W>() && align_of::<T>() == align_of::<W>(),
            "words of the cells' own layout"
        );
        TileMut {
            array: self.array.cast(),
            start: self.start.clone(),
            shape: self.shape.clone(),
            strides: self.strides.clone(),
            lifetime: PhantomData,
        }
    }
}

/// A tile of cells whose type is known at run time.
#[derive(Debug)]
pub enum AnyTile<'a> {
    /// Unsigned, 8 bits.
    U8(TileMut<'a, u8>),
    /// Signed, 8 bits.
    I8(TileMut<'a, i8>),
    /// Unsigned, 16 bits.
    U16(TileMut<'a, u16>),
    /// Signed, 16 bits.
    I16(TileMut<'a, i16>),
    /// Unsigned, 32 bits.
    U32(TileMut<'a, u32>),
    /// Signed, 32 bits.
    I32(TileMut<'a, i32>),
    /// Unsigned, 64 bits.
    U64(TileMut<'a, u64>),
    /// Signed, 64 bits.
    I64(TileMut<'a, i64>),
    /// IEEE 754, 32 bits.
    F32(TileMut<'a, f32>),
    /// IEEE 754, 64 bits.
    F64(TileMut<'a, f64>),
}

impl<'a> AnyTile<'a> {
    /// Tiles for boxes of an array in C order, as [`TileMut::split`] makes them.
    pub fn split(array: &'a mut Array, boxes: &[Bounds]) -> Result<Vec<Self>, ScatterError> {
        let shape = array.shape().to_vec();
        with_view!(Array, array, |array| {
            let cells = array.as_slice_mut().ok_or(ScatterError::Order)?;
            Ok(TileMut::split(cells, &shape, boxes)?
                .into_iter()
                .map(Wrap::wrap_tile)
                .collect())
        })
    }

    /// Cells along each axis of the box.
    pub fn shape(&self) -> &[usize] {
        with_view!(AnyTile, self, |tile| tile.shape())
    }
}

/// C-order strides of a shape, which must hold exactly `len` cells.
fn strides(len: usize, shape: &[usize]) -> Result<Vec<usize>, ScatterError> {
    let mut strides = vec![1; shape.len()];
    let mut cells = 1_usize;
    for axis in (0..shape.len()).rev() {
        strides[axis] = cells;
        cells = cells.saturating_mul(shape[axis]);
    }
    if cells == len && !shape.is_empty() {
        Ok(strides)
    } else {
        Err(ScatterError::Len {
            expected: cells,
            got: len,
        })
    }
}

/// A sweep along the axis with the most distinct starts, so that a regular grid of n boxes costs
/// far less than n².
fn refuse_overlap(rank: usize, boxes: &[Bounds]) -> Result<(), ScatterError> {
    let starts = |axis: usize| {
        let mut starts: Vec<usize> = boxes.iter().map(|bounds| bounds.start[axis]).collect();
        starts.sort_unstable();
        starts.dedup();
        starts.len()
    };
    let Some(sweep) = (0..rank).max_by_key(|&axis| starts(axis)) else {
        return Ok(());
    };
    let mut order: Vec<usize> = (0..boxes.len())
        .filter(|&i| !boxes[i].shape.contains(&0))
        .collect();
    order.sort_unstable_by_key(|&i| boxes[i].start[sweep]);
    let end = |i: usize, axis: usize| boxes[i].start[axis] + boxes[i].shape[axis];
    for (rank_of_a, &a) in order.iter().enumerate() {
        for &b in order[rank_of_a + 1..]
            .iter()
            .take_while(|&&b| boxes[b].start[sweep] < end(a, sweep))
        {
            if (0..rank).all(|axis| {
                boxes[a].start[axis] < end(b, axis) && boxes[b].start[axis] < end(a, axis)
            }) {
                return Err(ScatterError::Overlap {
                    indices: [a.min(b), a.max(b)],
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(start: [usize; 2], shape: [usize; 2]) -> Bounds {
        Bounds {
            start: start.to_vec(),
            shape: shape.to_vec(),
        }
    }

    #[test]
    fn i4_tiles_of_a_grid_fill_their_own_cells_from_other_threads() {
        let mut array = vec![9_u32; 5 * 7];
        let boxes = [
            bounds([0, 0], [3, 4]),
            bounds([0, 4], [3, 3]),
            bounds([3, 0], [2, 4]),
            bounds([3, 4], [2, 3]),
        ];
        let tiles = TileMut::split(&mut array, &[5, 7], &boxes).expect("disjoint");
        std::thread::scope(|scope| {
            for (value, mut tile) in (0_u32..).zip(tiles) {
                scope.spawn(move || (0..tile.rows()).for_each(|row| tile.row(row).fill(value)));
            }
        });
        let expected: Vec<u32> = (0..35)
            .map(|i| u32::from(i % 7 >= 4) + 2 * u32::from(i / 7 >= 3))
            .collect();
        assert_eq!(array, expected);
    }

    #[test]
    fn i4_boxes_that_share_a_cell_are_refused() {
        let mut array = vec![0_u8; 35];
        let boxes = [
            bounds([0, 0], [3, 4]),
            bounds([4, 4], [0, 3]),
            bounds([2, 3], [2, 2]),
        ];
        let error = TileMut::split(&mut array, &[5, 7], &boxes).expect_err("they share (2, 3)");
        assert_eq!(error, ScatterError::Overlap { indices: [0, 2] });
    }

    #[test]
    fn boxes_outside_and_wrong_lengths_are_refused() {
        let mut array = vec![0_u8; 35];
        for outside in [
            bounds([0, 4], [1, 4]),
            bounds([usize::MAX, 0], [2, 1]),
            Bounds {
                start: vec![0],
                shape: vec![1],
            },
        ] {
            let error = TileMut::split(&mut array, &[5, 7], &[bounds([0, 0], [1, 1]), outside])
                .expect_err("outside");
            assert_eq!(error, ScatterError::Outside { index: 1 });
        }
        let error = TileMut::whole(&mut array, &[5, 8]).expect_err("40 cells");
        assert_eq!(
            error,
            ScatterError::Len {
                expected: 40,
                got: 35
            }
        );
    }

    #[test]
    fn a_row_is_a_run_of_the_last_axis() {
        let mut array: Vec<u16> = (0..24).collect();
        let boxes = [Bounds {
            start: vec![1, 0, 1],
            shape: vec![1, 2, 2],
        }];
        let mut tiles = TileMut::split(&mut array, &[2, 3, 4], &boxes).expect("inside");
        assert_eq!(tiles[0].rows(), 2);
        assert_eq!(tiles[0].row(0), [13, 14]);
        assert_eq!(tiles[0].row(1), [17, 18]);
    }
}
