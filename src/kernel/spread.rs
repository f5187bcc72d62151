//! Copying cells down: the part of a chunk that a finer place lies in, each cell repeated.

use super::Chunk;
use super::boxes::for_each_row;
use crate::array::{Cells, with_cells};

/// Which cells of an ancestor's chunk the cells of a chunk lie in, along each axis, and what part
/// of one of them each is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spreading {
    shape: Vec<usize>,
    from: Vec<Vec<usize>>,
    part: f64,
}

impl Spreading {
    /// For chunks of `shape` that lie `up` levels below their ancestor along `axes`; `offset` is
    /// the number of the chunk among those below the ancestor, along each of these axes.
    pub(crate) fn new(
        shape: &[usize],
        axes: std::ops::Range<usize>,
        up: u32,
        offset: &[u64],
    ) -> Self {
        let from = |(axis, &len): (usize, &usize)| -> Vec<usize> {
            if !axes.contains(&axis) {
                return (0..len).collect();
            }
            let first = u128::from(offset[axis - axes.start]) * len as u128;
            (0..len)
                .map(|cell| {
                    usize::try_from((first + cell as u128) >> up)
                        .map_or(len - 1, |at| at.min(len - 1))
                })
                .collect()
        };
        let part = (-f64::from(up) * axes.len() as f64).exp2();
        Self {
            shape: shape.to_vec(),
            from: shape.iter().enumerate().map(from).collect(),
            part,
        }
    }

    /// The cells, repeated.
    pub(crate) fn cells(&self, cells: &Cells) -> Cells {
        with_cells!(cells, |cells| self.copy(cells).into())
    }

    /// The cells of a plane, repeated.
    pub(crate) fn copy<T: Copy>(&self, cells: &[T]) -> Vec<T> {
        let rank = self.shape.len();
        let mut out = Vec::with_capacity(cells.len());
        let (rows, zero) = (&self.shape[..rank - 1], vec![0; rank]);
        let row_box: Vec<usize> = rows.iter().copied().chain([1]).collect();
        for_each_row((&row_box, &zero), (&row_box, &zero), &row_box, |row, _| {
            let (mut rest, mut start, mut stride) = (row, 0, self.shape[rank - 1]);
            for axis in (0..rank - 1).rev() {
                start += self.from[axis][rest % self.shape[axis]] * stride;
                rest /= self.shape[axis];
                stride *= self.shape[axis];
            }
            out.extend(self.from[rank - 1].iter().map(|&at| cells[start + at]));
        });
        out
    }

    /// Every plane of a chunk, repeated.
    pub(crate) fn chunk(&self, chunk: &Chunk) -> Chunk {
        Chunk {
            values: self.cells(&chunk.values),
            state: chunk.state.iter().map(|plane| self.cells(plane)).collect(),
            weight: chunk.weight.as_ref().map(|weight| self.copy(weight)),
        }
    }

    /// What part of the cell that it is a copy of a cell is.
    pub(crate) fn part(&self) -> f64 {
        self.part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quadrant_is_repeated_in_every_plane() {
        let spreading = Spreading::new(&[1, 2, 4], 1..3, 1, &[1, 0]);
        let values = Cells::F64(vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        let repeated = vec![4.0, 4.0, 5.0, 5.0, 4.0, 4.0, 5.0, 5.0];
        let chunk = Chunk {
            values: values.clone(),
            state: vec![values.clone()],
            weight: Some(vec![4.0; 8]),
        };
        let spread = spreading.chunk(&chunk);
        assert_eq!(
            (spread.values, &spread.state[0]),
            (Cells::F64(repeated.clone()), &Cells::F64(repeated))
        );
        assert_eq!(
            (spread.weight, spreading.part()),
            (Some(vec![4.0; 8]), 0.25)
        );
    }

    #[test]
    fn a_cell_covers_whole_chunks_far_below() {
        let spreading = Spreading::new(&[4], 0..1, 60, &[(3 << 58) + 7]);
        assert_eq!(spreading.copy(&[10, 11, 12, 13]), [13; 4]);
    }
}
