//! An array at a window.

use ndarray::{ArrayD, Axis, Slice};

use super::{BLOCK_BYTES, Block, Footprint, Source, SourceCells};
use crate::array::{Array, with_view};
use crate::error::{Error, Result};
use crate::grid::Window;
use crate::store::Grid;

/// An array, such as a `.npy` file holds it, for a window of a grid.
#[derive(Clone, Debug)]
pub struct ArraySource {
    footprint: Footprint,
    window: Window,
    array: Array,
    /// Rows of the first axis that a block has.
    rows: usize,
}

impl ArraySource {
    /// An array for the window of its shape. Axes of the window of length 1 that the array does not
    /// have are added to it.
    ///
    /// An [`Invalid`](crate::ErrorKind::Invalid) error if the array has another shape or type than
    /// the window and the grid.
    pub fn new(grid: &Grid, name: impl Into<String>, window: Window, array: Array) -> Result<Self> {
        let name = name.into();
        let wanted: Vec<usize> = window
            .shape()
            .iter()
            .map(|len| usize::try_from(*len).unwrap_or(usize::MAX))
            .collect();
        let long = |shape: &[usize]| {
            shape
                .iter()
                .copied()
                .filter(|len| *len != 1)
                .collect::<Vec<_>>()
        };
        if long(array.shape()) != long(&wanted) {
            return Err(Error::invalid(format!(
                "the array has the shape {:?}, and the window {wanted:?}; give a window with as many cells along each axis",
                array.shape()
            )));
        }
        let (of_array, of_grid) = (array.dtype(), grid.schema().dtype());
        if of_array != of_grid {
            return Err(Error::invalid(format!(
                "the array has cells of {of_array}, and the grid of {of_grid}; if all its numbers are such, convert it in numpy: `b = a.astype(\"{of_grid}\"); assert ((a == b) | (a != a)).all()`"
            )));
        }
        let array = Array::from_cells(array.into_cells(), &wanted)?;
        let footprint = Footprint::new(name, vec![window], of_array);
        let chunk = grid
            .structure()
            .chunk_shape()
            .first()
            .copied()
            .unwrap_or(1)
            .max(1);
        let row = wanted
            .iter()
            .skip(1)
            .product::<usize>()
            .saturating_mul(of_array.size())
            .max(1);
        let rows = (BLOCK_BYTES / row / chunk * chunk).max(chunk);
        Ok(Self {
            footprint,
            window,
            array,
            rows,
        })
    }
}

impl Source for ArraySource {
    fn footprint(&self) -> &Footprint {
        &self.footprint
    }

    fn blocks(&self) -> Vec<Block> {
        let (start, len) = (self.window.start()[0], self.window.shape()[0]);
        let block = |(number, from): (usize, u64)| {
            let rows = (self.rows as u64).min(len - from);
            Block {
                number,
                ..Block::new(
                    self.window
                        .along(0, start.saturating_add_unsigned(from), rows),
                )
            }
        };
        (0..len).step_by(self.rows).enumerate().map(block).collect()
    }

    fn read(&mut self, block: &Block) -> Result<SourceCells> {
        let from = usize::try_from(block.window.start()[0].abs_diff(self.window.start()[0]))
            .unwrap_or(usize::MAX);
        let rows = usize::try_from(block.window.shape()[0]).unwrap_or(usize::MAX);
        Ok(SourceCells::new(with_view!(Array, &self.array, |cells| {
            Array::from(part(cells, from, rows))
        })))
    }
}

/// Some rows of the first axis.
fn part<T: Copy>(cells: &ArrayD<T>, from: usize, rows: usize) -> ArrayD<T> {
    let end = from.saturating_add(rows).min(cells.len_of(Axis(0)));
    cells
        .slice_axis(Axis(0), Slice::from(from.min(end)..end))
        .to_owned()
}
