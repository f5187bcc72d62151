//! A copy cut into parts.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::CopyFrame;
use crate::error::Result;
use crate::feed;
use crate::grid::{Axis, CellIndex, Shape, Structure, Window};
use crate::key::{ChunkKey, LayerId};
use crate::store::ChunkReader;

/// Parts that are looked at whether there is anything in them or not, at most.
const LOOKED_AT_MAX: u64 = 4096;
/// Boxes of one part that are kept apart, at most.
const BOXES_MAX: usize = 64;

/// Boxes of whole chunks of the target, at the coarsest levels of base data. They hold whole chunks
/// of the source too as far as memory allows, so that few of these are read more than once. An
/// irregular dimension is not cut.
pub(super) struct Cut {
    /// Where one of them begins along each axis, and how long they are.
    axes: Vec<Option<(i64, u64)>>,
    /// The box of all that there is.
    bounds: Window,
}

/// The number of a part along each axis.
type PartNumber = CellIndex;

impl Cut {
    pub(super) fn new(places: &CopyFrame<'_>) -> Self {
        let (target, source) = (places.target(), places.source().grid);
        let structure = target.structure();
        let bounds = structure.cover(&places.bounds, places.coarsest);
        let uncut = structure.irregular_axis().map(|irregular| irregular.axis);
        let (mut lens, wanted) = (structure.chunk_shape(), source.structure().chunk_shape());
        uncut.iter().for_each(|axis| lens[*axis] = 1);
        while let Some(axis) = (0..lens.len())
            .rev()
            .filter(|axis| Some(*axis) != uncut)
            .find(|&axis| {
                let longer = lens.iter().product::<usize>() / lens[axis]
                    * (2 * lens[axis]).min(wanted[axis]);
                lens[axis] < wanted[axis]
                    && longer * target.schema().dtype().size() <= places.update.part_bytes
            })
        {
            lens[axis] = (2 * lens[axis]).min(wanted[axis]);
        }
        let first = structure
            .split(&bounds)
            .next()
            .map(|piece| structure.chunk_window(&piece.location));
        let chunks: Vec<u32> = structure.axes().map(Axis::chunk).collect();
        let border = |axis: usize| {
            first.map_or(0, |first| {
                first.start()[axis].rem_euclid(i64::from(chunks[axis]))
            })
        };
        let axes = (0..lens.len())
            .map(|axis| (Some(axis) != uncut).then(|| (border(axis), lens[axis] as u64)))
            .collect();
        Self { axes, bounds }
    }

    /// The first and the last number of the parts that a window touches, along each axis.
    fn numbers(&self, window: &Window) -> Vec<RangeInclusive<i64>> {
        let of = |axis: usize| {
            let Some((border, len)) = self.axes[axis] else {
                return 0..=0;
            };
            let number = |cell: i64| {
                cell.saturating_sub(border)
                    .div_euclid(i64::try_from(len).unwrap_or(i64::MAX))
            };
            number(window.start()[axis])..=number(window.end()[axis].saturating_sub(1))
        };
        (0..self.axes.len()).map(of).collect()
    }

    /// The cells of a part, as far as there can be anything.
    fn window(&self, structure: &Structure, number: &PartNumber) -> Option<Window> {
        let of = |axis: usize| match self.axes[axis] {
            None => (self.bounds.start()[axis], self.bounds.shape()[axis]),
            Some((border, len)) => (
                number[axis]
                    .saturating_mul(i64::try_from(len).unwrap_or(i64::MAX))
                    .saturating_add(border),
                len,
            ),
        };
        let start: CellIndex = (0..self.axes.len()).map(|axis| of(axis).0).collect();
        let shape: Shape = (0..self.axes.len()).map(|axis| of(axis).1).collect();
        structure.intersection(
            &Window::new(start, shape).at(self.bounds.levels(0)),
            &self.bounds,
        )
    }

    /// The parts in which boxes at the finest levels lie, each with what of the boxes is in it.
    /// Where they are many, those only in which either grid has a chunk.
    pub(super) fn parts(
        &self,
        places: &CopyFrame<'_>,
        boxes: &[Window],
    ) -> Result<Vec<(Window, Vec<Window>)>> {
        let structure = places.target().structure();
        let (mut parts, mut wide): (BTreeMap<PartNumber, Vec<Window>>, Vec<Window>) =
            (BTreeMap::new(), Vec::new());
        let mut add = |number: PartNumber, window: &Window| {
            let of_part = self
                .window(structure, &number)
                .map(|part| structure.cover(&part, places.finest));
            let Some(window) = of_part.and_then(|part| structure.intersection(&part, window))
            else {
                return;
            };
            let boxes = parts.entry(number).or_default();
            boxes.push(window);
            if boxes.len() > BOXES_MAX {
                *boxes = feed::few(structure, std::mem::take(boxes));
            }
        };
        for window in boxes {
            let numbers = self.numbers(&structure.cover(window, places.coarsest));
            let count = numbers.iter().fold(1, |count: u64, of| {
                count.saturating_mul(of.end().abs_diff(*of.start()) + 1)
            });
            if count > LOOKED_AT_MAX {
                wide.push(*window);
            } else {
                each(numbers).for_each(|number| add(number, window));
            }
        }
        if !wide.is_empty() {
            for number in self.populated(places)? {
                wide.iter().for_each(|window| add(number, window));
            }
        }
        Ok(parts
            .into_iter()
            .filter_map(|(number, boxes)| Some((self.window(structure, &number)?, boxes)))
            .collect())
    }

    /// The parts in which either grid has a base chunk.
    fn populated(&self, places: &CopyFrame<'_>) -> Result<BTreeSet<PartNumber>> {
        let mut numbers = BTreeSet::new();
        let snapshot = places.target().present()?;
        for ChunkReader { grid, snapshot, .. } in [
            places.source(),
            places.target().chunk_reader(snapshot.as_ref()),
        ] {
            let structure = grid.structure();
            grid.directory(
                snapshot,
                ChunkKey::layer(grid.id(), LayerId::BASE),
                &mut |chunk| {
                    let window =
                        structure.cover(&structure.chunk_window(&chunk.location), places.coarsest);
                    let window = structure.intersection(&window, &self.bounds);
                    let of = window.iter().flat_map(|window| each(self.numbers(window)));
                    numbers.extend(of);
                },
            )?;
        }
        Ok(numbers)
    }
}

/// Each number of a box of them, which is not empty.
fn each(numbers: Vec<RangeInclusive<i64>>) -> impl Iterator<Item = PartNumber> {
    let first: PartNumber = numbers.iter().map(|of| *of.start()).collect();
    std::iter::successors(Some(first), move |last| {
        let mut next = *last;
        let axis = (0..numbers.len())
            .rev()
            .find(|axis| last[*axis] < *numbers[*axis].end())?;
        next[axis] += 1;
        (axis + 1..numbers.len()).for_each(|behind| next[behind] = *numbers[behind].start());
        Some(next)
    })
}
