//! Which cells of a child lie under which cell of its parent.

/// Which axes of a chunk are halved, and the chunk's shape.
#[derive(Clone, Debug)]
pub(crate) struct Halving {
    shape: Vec<usize>,
    halved: Vec<bool>,
    /// Whether the cells that become one lie at one place, not side by side.
    merging: bool,
}

impl Halving {
    /// Halves the axes `axes` of chunks of `shape`, whose lengths along these are even.
    pub(crate) fn new(shape: &[usize], axes: std::ops::Range<usize>) -> Self {
        let halved = (0..shape.len()).map(|axis| axes.contains(&axis)).collect();
        Self {
            shape: shape.to_vec(),
            halved,
            merging: false,
        }
    }

    /// Makes one cell of each two that follow each other along an axis and lie at one place, the
    /// earlier one first.
    pub(super) fn merging(shape: &[usize], axis: usize) -> Self {
        Self {
            merging: true,
            ..Self::new(shape, axis..axis + 1)
        }
    }

    /// Whether the cells that become one lie at one place.
    pub(super) fn merges(&self) -> bool {
        self.merging
    }

    /// The shape of the chunk, of a child as of its parent.
    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Which axes are halved.
    pub(super) fn halved(&self) -> &[bool] {
        &self.halved
    }

    /// The shape of the part of the parent that a child stands for.
    pub(super) fn part_shape(&self) -> Vec<usize> {
        self.shape
            .iter()
            .zip(&self.halved)
            .map(|(&len, &halved)| if halved { len / 2 } else { len })
            .collect()
    }

    /// Where the part of child `number` begins in the parent.
    pub(super) fn part_start(&self, number: u8) -> Vec<usize> {
        let mut bit = self.halved.iter().filter(|halved| **halved).count();
        let start = |(&len, &halved): (&usize, &bool)| {
            if !halved {
                return 0;
            }
            bit -= 1;
            if number >> bit & 1 == 1 { len / 2 } else { 0 }
        };
        self.shape.iter().zip(&self.halved).map(start).collect()
    }

    /// How many children a parent has.
    pub(super) fn children(&self) -> usize {
        1 << self.halved.iter().filter(|halved| **halved).count()
    }

    /// Calls `visit` for each row of a part with the offset of every row of the child under it.
    pub(super) fn rows(&self, mut visit: impl FnMut(&[usize])) {
        let rank = self.shape.len();
        let mut strides = vec![1; rank];
        for axis in (0..rank - 1).rev() {
            strides[axis] = strides[axis + 1] * self.shape[axis + 1];
        }
        let mut within = vec![0];
        for axis in (0..rank - 1).filter(|&axis| self.halved[axis]) {
            within = within
                .iter()
                .flat_map(|&offset| [offset, offset + strides[axis]])
                .collect();
        }
        let part = self.part_shape();
        let rows: usize = part[..rank - 1].iter().product();
        let mut offsets = within.clone();
        for number in 0..rows {
            let (mut rest, mut start) = (number, 0);
            for axis in (0..rank - 1).rev() {
                let scale = if self.halved[axis] { 2 } else { 1 };
                start += rest % part[axis] * scale * strides[axis];
                rest /= part[axis];
            }
            offsets
                .iter_mut()
                .zip(&within)
                .for_each(|(offset, within)| *offset = start + within);
            visit(&offsets);
        }
    }

    pub(super) fn row(&self) -> usize {
        self.shape[self.shape.len() - 1]
    }

    pub(super) fn pairs(&self) -> bool {
        self.halved[self.halved.len() - 1]
    }

    /// Calls `visit` for each cell of a part with its number and the cells of the child under it,
    /// in the order of children.
    pub(super) fn cells(&self, mut visit: impl FnMut(usize, &[usize])) {
        let (pairs, row) = (self.pairs(), self.row());
        let len = if pairs { row / 2 } else { row };
        let mut under = Vec::with_capacity(self.children());
        let mut number = 0;
        self.rows(|offsets| {
            for column in 0..len {
                under.clear();
                for &offset in offsets {
                    if pairs {
                        under.extend([offset + 2 * column, offset + 2 * column + 1]);
                    } else {
                        under.push(offset + column);
                    }
                }
                visit(number, &under);
                number += 1;
            }
        });
    }

    /// The bit of a child's number that is its half along an axis, if the axis is halved.
    pub(super) fn bit(&self, axis: usize) -> Option<usize> {
        self.halved[axis].then(|| {
            self.halved[axis + 1..]
                .iter()
                .filter(|halved| **halved)
                .count()
        })
    }
}
