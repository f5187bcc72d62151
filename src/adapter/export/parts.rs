//! A box of cells cut into parts of bounded size.

use std::ops::Range;

/// A part: a range along each axis, from the first cell of the whole.
pub(in crate::adapter) type Part = Vec<Range<usize>>;

/// How an axis is cut: anywhere between `unit` cells, the first of which lie `phase` cells before
/// the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::adapter) struct Cuts {
    pub(in crate::adapter) len: usize,
    pub(in crate::adapter) unit: usize,
    pub(in crate::adapter) phase: usize,
    /// Whether the unit may be cut through where parts would be too large otherwise.
    pub(in crate::adapter) soft: bool,
}

impl Cuts {
    /// The parts of a box in C order, of at most `cells_max` cells where units allow it. They are
    /// as long as can be along the last axis, then along the one before it.
    pub(in crate::adapter) fn parts(axes: &[Self], cells_max: usize) -> Vec<Part> {
        let mut axes = axes.to_vec();
        let cells = |axes: &[Self]| {
            axes.iter()
                .map(|axis| axis.unit.min(axis.len))
                .fold(1, usize::saturating_mul)
        };
        for at in 0..axes.len() {
            while axes[at].soft && axes[at].unit > 1 && cells(&axes) > cells_max {
                axes[at].unit = (axes[at].unit / 2).max(1);
                axes[at].phase %= axes[at].unit;
            }
        }
        let mut room = (cells_max / cells(&axes).max(1)).max(1);
        let ranges: Vec<Vec<Range<usize>>> = axes
            .iter()
            .rev()
            .map(|axis| {
                let units = (axis.phase + axis.len).div_ceil(axis.unit);
                let times = room.min(units);
                // What is left for the axes before it: nothing, unless this one is whole.
                room = if times < units { 1 } else { room / units };
                axis.ranges(times)
            })
            .collect();
        let one: Vec<Part> = vec![Vec::new()];
        ranges.iter().rev().fold(one, |parts, ranges| {
            let longer = |part: &Part| {
                let part = part.clone();
                ranges
                    .iter()
                    .map(move |range| [part.as_slice(), std::slice::from_ref(range)].concat())
            };
            parts.iter().flat_map(longer).collect()
        })
    }

    /// The ranges of so many units each.
    fn ranges(&self, times: usize) -> Vec<Range<usize>> {
        let (step, mut ranges) = (self.unit * times, Vec::new());
        let mut from = 0;
        while from < self.len {
            let to = (((from + self.phase) / self.unit + times) * self.unit - self.phase)
                .min(self.len)
                .max(from + 1);
            debug_assert!(to - from <= step, "at most so many units");
            ranges.push(from..to);
            from = to;
        }
        ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(len: usize, unit: usize, phase: usize, soft: bool) -> Cuts {
        Cuts {
            len,
            unit,
            phase,
            soft,
        }
    }

    #[test]
    fn parts_cover_every_cell_once_and_are_small() {
        for cells_max in [1, 7, 64, 500, 1 << 20] {
            for (soft, phase) in [(true, 0), (false, 3), (true, 3)] {
                let axes = [
                    cuts(5, 4, phase % 4, true),
                    cuts(3, 1, 0, true),
                    cuts(33, 8, phase, soft),
                    cuts(17, 8, 0, soft),
                ];
                let parts = Cuts::parts(&axes, cells_max);
                let mut seen = vec![0_u8; 5 * 3 * 33 * 17];
                for part in &parts {
                    let cells: usize = part.iter().map(ExactSizeIterator::len).product();
                    assert!(
                        cells <= cells_max.max(if soft { 1 } else { 64 }),
                        "{part:?}"
                    );
                    for a in part[0].clone() {
                        for b in part[1].clone() {
                            for y in part[2].clone() {
                                for x in part[3].clone() {
                                    seen[((a * 3 + b) * 33 + y) * 17 + x] += 1;
                                }
                            }
                        }
                    }
                    let whole = |range: &Range<usize>, axis: Cuts| {
                        let edge = |at: usize| (at + axis.phase).is_multiple_of(axis.unit);
                        (edge(range.start) || range.start == 0)
                            && (edge(range.end) || range.end == axis.len)
                    };
                    assert!(soft || (whole(&part[2], axes[2]) && whole(&part[3], axes[3])));
                }
                assert!(seen.iter().all(|count| *count == 1), "{cells_max} {soft}");
            }
        }
    }

    #[test]
    fn parts_are_as_long_as_can_be_along_the_last_axes() {
        let axes = [
            cuts(10, 1, 0, true),
            cuts(64, 16, 0, false),
            cuts(100, 16, 0, false),
        ];
        let shape = |cells_max| -> Vec<usize> {
            Cuts::parts(&axes, cells_max)[0]
                .iter()
                .map(ExactSizeIterator::len)
                .collect()
        };
        assert_eq!(shape(1), [1, 16, 16]);
        assert_eq!(shape(16 * 64), [1, 16, 64]);
        assert_eq!(shape(2 * 16 * 112), [1, 32, 100]);
        assert_eq!(shape(3 * 64 * 112), [3, 64, 100]);
    }
}
