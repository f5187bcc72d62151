//! Base cells, told one by one.

use super::node::{NodeCells, NodeVisit, OpenedNodes};
use super::scan::Class;
use super::tally::{SlotCells, SlotTally};
use super::walk::Walk;
use crate::array::{Cell, with_cells};
use crate::error::Result;
use crate::grid::Levels;
use crate::store::BaseChunk;

impl Walk<'_> {
    /// Tells of base cells one by one. Of cells that are coarser than the finest, those on the
    /// boundary are told by their parts.
    pub(super) fn open_base(
        &self,
        nodes: &[NodeVisit],
        all: &[NodeCells<'_>],
        chunk: &BaseChunk,
    ) -> Result<OpenedNodes> {
        let mut opened = OpenedNodes::default();
        opened.read.base = 1;
        for (node, cells) in nodes.iter().zip(all) {
            let mut tallies = self.tallies();
            let left = self.tell(&mut tallies, cells, (chunk, node.at.levels), Some)?;
            opened.take(self.first_slot(node), tallies);
            if left.contains(&true) {
                opened
                    .children
                    .extend(self.children(node, cells, &left.into()));
            }
        }
        Ok(opened)
    }

    /// Counts the base cells of a chunk that are in, and gives which are in part. `place` tells
    /// which of `cells` one of the chunk's is, if it is any.
    pub(super) fn tell(
        &self,
        tallies: &mut [SlotTally],
        cells: &NodeCells<'_>,
        (chunk, levels): (&BaseChunk, Levels),
        place: impl Fn(usize) -> Option<usize>,
    ) -> Result<Vec<bool>> {
        let grid = self.chunks.grid;
        let full = grid.full(levels);
        let weighed = chunk.weigh(grid.schema(), full);
        let valid = weighed.weight();
        let mut found = vec![SlotCells::default(); tallies.len()];
        let mut left = vec![false; chunk.cells.len()];
        let (predicate, counted) = (
            self.query().predicate.as_ref(),
            self.query().bins.is_some() || self.query().classes,
        );
        with_cells!(&chunk.cells, |of| {
            for (number, &value) in of.iter().enumerate() {
                let Some(cell) = place(number) else { continue };
                let meets = valid.is_none_or(|valid| valid[number] > 0.0)
                    && predicate.is_none_or(|predicate| predicate.holds(value.number()));
                left[number] = meets && cells.class(cell) == Class::Part;
                if meets && cells.class(cell) == Class::In {
                    found[cells.slot(cell)].add(value, counted);
                }
            }
        });
        let weight = full.0 * self.plan.unit;
        for (tally, found) in tallies.iter_mut().zip(found) {
            let whole = found
                .whole
                .zip(super::layer_values::whole(weight))
                .and_then(|(sum, weight)| sum.checked_mul(weight));
            tally.add_cells(&found, full.0, weight, whole);
            if let Some(bins) = &self.query().bins {
                found
                    .counted
                    .iter()
                    .for_each(|&value| tally.count(bins, bins.counter(value), full.0));
            }
            if self.query().classes {
                for &value in &found.counted {
                    tally.class(value, full.0);
                    self.check_classes(tally)?;
                }
            }
        }
        Ok(left)
    }
}
