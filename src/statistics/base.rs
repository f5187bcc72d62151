//! Base cells, told one by one.

use super::scan::Class;
use super::tally::Tally;
use super::walk::{Cells, Node, Opened, Walk};
use crate::array::{Cell, DType, with_cells};
use crate::error::Result;
use crate::grid::Levels;
use crate::store::BaseChunk;

impl Walk<'_> {
    /// Tells of base cells one by one. Of cells that are coarser than the finest, those on the boundary are told by their parts.
    pub(super) fn open_base(&self, node: &Node, cells: &Cells<'_>, chunk: &BaseChunk) -> Result<Opened> {
        let mut opened = self.opened();
        opened.read.base = 1;
        let left = self.tell(&mut opened.tallies, cells, (chunk, node.at.levels), Some)?;
        if left.contains(&true) {
            opened.children = self.children(node, cells, &left.into());
        }
        Ok(opened)
    }

    /// Counts the base cells of a chunk that are in, and gives which are in part. `place` tells which of `cells` one of the chunk's
    /// is, if it is any.
    pub(super) fn tell(
        &self,
        tallies: &mut [Tally],
        cells: &Cells<'_>,
        (chunk, levels): (&BaseChunk, Levels),
        place: impl Fn(usize) -> Option<usize>,
    ) -> Result<Vec<bool>> {
        let grid = self.chunks.grid;
        let full = grid.full(levels);
        let weighed = chunk.weigh(grid.schema(), full);
        let valid = weighed.weight();
        let mut found = vec![(Vec::new(), Some(0_i128)); tallies.len()];
        let mut left = vec![false; chunk.cells.len()];
        with_cells!(&chunk.cells, |of| {
            for (number, &value) in of.iter().enumerate() {
                let Some(cell) = place(number) else { continue };
                let double = value.to_f64();
                let meets = valid.is_none_or(|valid| valid[number] > 0.0)
                    && self.query().predicate.as_ref().is_none_or(|predicate| predicate.holds(double));
                left[number] = meets && cells.class(cell) == Class::Part;
                if meets && cells.class(cell) == Class::In {
                    let (values, whole) = &mut found[cells.slot(cell)];
                    values.push(double);
                    *whole = whole.zip(integer(value)).map(|(sum, value)| sum + value);
                }
            }
        });
        let weight = full.0 * self.plan.unit;
        for (tally, (values, whole)) in tallies.iter_mut().zip(found) {
            let whole = whole.zip(super::facts::whole(weight)).and_then(|(sum, weight)| sum.checked_mul(weight));
            tally.add_values(&values, full.0, weight, whole);
            if let Some(bins) = &self.query().bins {
                values.iter().for_each(|&value| tally.count(bins, bins.counter(value), full.0));
            }
            if self.query().classes {
                for &value in &values {
                    tally.class(value, full.0);
                    self.check_classes(tally)?;
                }
            }
        }
        Ok(left)
    }
}

/// An integer cell as a wide integer; `None` for doubles and floats.
#[expect(clippy::cast_possible_truncation, reason = "integers of up to 32 bits are whole doubles")]
fn integer<T: Cell>(value: T) -> Option<i128> {
    match T::DTYPE {
        DType::F32 | DType::F64 => None,
        DType::I64 => Some(i128::from(bytemuck::cast::<T, i64>(value))),
        DType::U64 => Some(i128::from(bytemuck::cast::<T, u64>(value))),
        _ => Some(value.to_f64() as i128),
    }
}
