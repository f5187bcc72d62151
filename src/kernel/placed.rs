//! Resampling onto target cells that lie askew on the source: by the rules of
//! [`Resampling`](super::Resampling), each cell being the quadrilateral between its corners.
//!
//! The kernels lie along the rows and columns of the source, as wide as the target cell is long
//! there. A cell that is data since its tip overlaps one that is, and whose kernel reaches none, is
//! the mean by area.

use std::ops::Range;

use ndarray::ArrayD;
use rayon::prelude::*;

use super::picked::{laid_out, largest};
use super::places::{CellPlaces, PlacedCell};
use super::resample::{CUBIC_LEAST, ResampleSource, ResamplingMethod, Valid, Way, finished, flat};
use super::taps::{Kernel, SNAP};
use crate::array::{Array, Cell, Validity, with_dtype, with_view};

/// A part of a cell, source or target, that is none.
const SLIVER: f64 = 1e-9;

/// A source (band, y, x) resampled onto target cells that lie somewhere on its rows and columns. If
/// it `is_round`, its first column follows its last. Cells without data hold `blank`.
pub(crate) fn resample_placed(
    source: ResampleSource<'_>,
    (places, is_round): (&CellPlaces, bool),
    method: ResamplingMethod,
    blank: f64,
) -> (Array, Validity) {
    let mask = source.validity.mask(source.cells);
    let shape = source.cells.shape();
    let sampling = Sampling {
        valid: Valid::new(&source, mask.as_ref()),
        size: [shape[2], shape[1]],
        is_round,
        places,
    };
    let bands = shape[0];
    let shape = [bands, places.shape[0], places.shape[1]];
    match method.way() {
        Way::Mixed(kernel) => {
            let mixed = with_view!(Array, source.cells, |cells| sampling.all(
                bands,
                &|lines: &mut Lines, plane, number| sampling.mixed(
                    kernel,
                    (flat(cells), plane),
                    (number, lines)
                )
            ));
            let dtype = method.dtype(source.cells.dtype());
            let nodata = match source.validity {
                Validity::Values { nodata } if !dtype.is_float() => *nodata,
                _ => None,
            };
            with_dtype!(dtype, |T| finished::<T>(mixed, &shape, nodata, blank))
        }
        way => with_view!(Array, source.cells, |cells| {
            let picked = sampling.picked(way, cells, bands);
            laid_out(picked, &shape, blank)
        }),
    }
}

struct Sampling<'a> {
    valid: Valid<'a>,
    /// Columns and rows of the source.
    size: [usize; 2],
    is_round: bool,
    places: &'a CellPlaces,
}

/// Columns and rows of a source with their weights, which a thread fills for one target cell after
/// the other.
type Lines = [Vec<(usize, f64)>; 2];

impl Sampling<'_> {
    /// What each target cell is, band by band: `one` knows the first source cell of the band and
    /// the number of the target cell, and has what its thread keeps from cell to cell.
    fn all<S: Default, V: Send>(
        &self,
        bands: usize,
        one: &(dyn Fn(&mut S, usize, usize) -> V + Sync),
    ) -> Vec<V> {
        let (cells, plane) = (self.places.centres.len(), self.size[0] * self.size[1]);
        (0..bands * cells)
            .into_par_iter()
            .with_min_len(256)
            .map_init(S::default, |kept, number| {
                one(kept, number / cells * plane, number % cells)
            })
            .collect()
    }

    fn picked<T: Cell>(&self, way: Way, cells: &ArrayD<T>, bands: usize) -> Vec<Option<T>> {
        let cells = flat(cells);
        self.all(
            bands,
            &|areas: &mut Vec<(T, f64)>, plane, number| match way {
                Way::Extreme { greatest } => {
                    let better = |a: T, b: T| if greatest { b > a } else { b < a };
                    self.overlapped(cells, plane, number)
                        .map(|(cell, _)| cell)
                        .reduce(|best, cell| if better(best, cell) { cell } else { best })
                }
                Way::Mode => {
                    areas.clear();
                    areas.extend(self.overlapped(cells, plane, number));
                    largest(areas)
                }
                Way::Centre | Way::Mixed(_) => self
                    .centre(number)
                    .and_then(|at| self.valid.share(plane + at).map(|_| cells[plane + at])),
            },
        )
    }

    /// The source cell that the centre of a target cell lies in.
    fn centre(&self, number: usize) -> Option<usize> {
        let [x, y] = self.places.centres[number].map(|at| {
            let edge = at.round();
            if (at - edge).abs() < SNAP { edge } else { at }.floor()
        });
        (!x.is_nan()).then(|| self.at([number_of(x), number_of(y)]))?
    }

    /// The number of a source cell in its plane, if there is one.
    fn at(&self, [x, y]: [i64; 2]) -> Option<usize> {
        Some(self.line(1, y)? * self.size[0] + self.line(0, x)?)
    }

    /// The column (axis 0) or the row of the source with a number, if there is one.
    fn line(&self, axis: usize, number: i64) -> Option<usize> {
        let len = self.size[axis];
        let at = usize::try_from(number).ok().filter(|at| *at < len);
        if at.is_some() || axis == 1 || !self.is_round {
            return at;
        }
        // Within the source, which has fewer columns than numbers.
        usize::try_from(number.rem_euclid(i64::try_from(len).ok()?)).ok()
    }

    /// The source cells with data that a target cell overlaps, with the valid area of the part.
    fn overlapped<'b, T: Cell>(
        &'b self,
        cells: &'b [T],
        plane: usize,
        number: usize,
    ) -> impl Iterator<Item = (T, f64)> + 'b {
        let cell = self.places.cell(number);
        let area = cell.map_or(0.0, |cell| area(&cell.corners));
        let least = SLIVER * area.min(1.0);
        cell.into_iter().flat_map(move |cell| {
            self.touched(cell).filter_map(move |(at, [x, y])| {
                let at = plane + at?;
                let share = self.valid.share(at).filter(|_| !cells[at].is_nan())?;
                let part = part(&cell.corners, [x, y]);
                (part > least).then_some((cells[at], part * share))
            })
        })
    }

    /// The columns and the rows of the box around a target cell, of the source and one beside it.
    fn around(&self, cell: &PlacedCell) -> [Range<i64>; 2] {
        [0, 1].map(|axis: usize| {
            let along = cell.corners.map(|corner| corner[axis]);
            let low = along.into_iter().fold(f64::INFINITY, f64::min);
            let high = along.into_iter().fold(f64::NEG_INFINITY, f64::max);
            let (low, high) = ((low + SNAP).floor(), (high - SNAP).ceil());
            let len = self.size[axis] as f64;
            let (low, high) = if axis == 0 && self.is_round {
                (low, high.min(low + len))
            } else {
                (low.max(-1.0), high.min(len + 1.0))
            };
            number_of(low)..number_of(high)
        })
    }

    /// The source cells in the box around a target cell, by their numbers, or none where there is
    /// no cell; and where they lie.
    fn touched(&self, cell: PlacedCell) -> impl Iterator<Item = (Option<usize>, [f64; 2])> + '_ {
        let [cols, rows] = self.around(&cell);
        rows.flat_map(move |y| {
            let cell = move |x| (self.at([x, y]), [x as f64, y as f64]);
            cols.clone().map(cell)
        })
    }

    /// Whether a target cell overlaps a cell with data.
    fn is_data(&self, cell: &PlacedCell, plane: usize) -> bool {
        let is_within = || {
            let mut ends = self.around(cell).into_iter().zip(self.size);
            let within = |(of, len): (Range<i64>, usize)| {
                of.start >= 0
                    && of.start < of.end
                    && usize::try_from(of.end).is_ok_and(|end| end <= len)
            };
            ends.all(within)
        };
        if self.valid.is_all() && is_within() {
            return true;
        }
        let is_valid =
            |at: Option<usize>| at.is_some_and(|at| self.valid.share(plane + at).is_some());
        let (mut any, mut all) = (false, true);
        for (at, _) in self.touched(*cell) {
            let valid = is_valid(at);
            (any, all) = (any | valid, all & valid);
        }
        let overlaps = || {
            let least = SLIVER * area(&cell.corners).min(1.0);
            self.touched(*cell)
                .any(|(at, corner)| is_valid(at) && part(&cell.corners, corner) > least)
        };
        any && (all || overlaps())
    }

    fn mixed<T: Cell>(
        &self,
        kernel: Kernel,
        (cells, plane): (&[T], usize),
        (number, lines): (usize, &mut Lines),
    ) -> Option<f64> {
        match kernel {
            Kernel::Parts => {
                let parts = self.overlapped(cells, plane, number);
                parts
                    .map(|(cell, part)| cell.to_f64() * part)
                    .reduce(|sum, part| sum + part)
            }
            Kernel::Area => mean(self.overlapped(cells, plane, number)),
            Kernel::Bilinear | Kernel::Cubic => {
                let cell = self.places.cell(number)?;
                if !self.is_data(&cell, plane) {
                    return None;
                }
                let least = if kernel == Kernel::Cubic {
                    CUBIC_LEAST
                } else {
                    SNAP
                };
                let (value, weight) = self.weighed(&cell, kernel, (cells, plane), lines);
                if weight >= least {
                    return Some(value);
                }
                let (value, weight) = self.weighed(&cell, Kernel::Bilinear, (cells, plane), lines);
                if weight >= SNAP {
                    Some(value)
                } else {
                    mean(self.overlapped(cells, plane, number))
                }
            }
        }
    }

    /// The mean by a kernel, and how much of the kernel has data.
    fn weighed<T: Cell>(
        &self,
        cell: &PlacedCell,
        kernel: Kernel,
        (cells, plane): (&[T], usize),
        lines: &mut Lines,
    ) -> (f64, f64) {
        let whole: f64 = (0..2)
            .map(|axis| self.weigh(axis, (cell, kernel), &mut lines[axis]))
            .product();
        let [across, down] = lines;
        // Measured from one of them, equal ones come out as they are.
        let (mut first, mut sum, mut weights) = (None, 0.0, 0.0);
        for (row, of_row) in down {
            let row = plane + *row * self.size[0];
            for (col, of_col) in across.iter() {
                if self.valid.share(row + col).is_none() {
                    continue;
                }
                let (value, weight) = (cells[row + col].to_f64(), *of_row * of_col);
                let from = *first.get_or_insert(value);
                sum += (value - from) * weight;
                weights += weight;
            }
        }
        let value = first.map_or(0.0, |first| first + sum / weights);
        (value, weights / whole)
    }

    /// The columns (axis 0) or the rows of the source that a kernel weighs, with their weights; and
    /// the weight of all, of those beside the source too.
    fn weigh(
        &self,
        axis: usize,
        (cell, kernel): (&PlacedCell, Kernel),
        line: &mut Vec<(usize, f64)>,
    ) -> f64 {
        let (at, ratio) = (cell.centre[axis], cell.ratio[axis]);
        let (reach, scale) = (kernel.reach(ratio), ratio.max(1.0));
        let least = SNAP * ratio.min(1.0) / 2.0;
        let (from, end) = (
            number_of((at - reach).floor()),
            number_of((at + reach).ceil()),
        );
        line.clear();
        let mut whole = 0.0;
        for number in from..end {
            let weight = kernel.weight((number as f64 + 0.5 - at) / scale);
            if weight.abs() >= least {
                whole += weight;
                line.extend(self.line(axis, number).map(|of| (of, weight)));
            }
        }
        whole
    }
}

/// A mean weighted by area.
fn mean<T: Cell>(parts: impl Iterator<Item = (T, f64)>) -> Option<f64> {
    let (mut first, mut sums) = (None, (0.0, 0.0));
    for (cell, part) in parts {
        let from = *first.get_or_insert(cell.to_f64());
        sums = (sums.0 + (cell.to_f64() - from) * part, sums.1 + part);
    }
    first.map(|first: f64| first + sums.0 / sums.1)
}

/// The number of a source cell, or of one beside the source.
#[expect(clippy::cast_possible_truncation, reason = "a whole number of cells")]
fn number_of(cell: f64) -> i64 {
    cell as i64
}

fn area(corners: &[[f64; 2]]) -> f64 {
    let next = corners.iter().cycle().skip(1);
    let twice: f64 = corners
        .iter()
        .zip(next)
        .map(|(a, b)| a[0] * b[1] - b[0] * a[1])
        .sum();
    twice.abs() / 2.0
}

/// The area of the part of a quadrilateral that lies in a source cell: the quadrilateral is cut
/// along the four edges of the cell, one after the other (Sutherland and Hodgman, 1974).
fn part(corners: &[[f64; 2]; 4], [x, y]: [f64; 2]) -> f64 {
    // Each cut adds half of the points at most.
    let mut points = [[0.0; 2]; 20];
    let mut count = 4;
    // Measured from the cell, no digits are lost.
    for (to, from) in points.iter_mut().zip(corners) {
        *to = [from[0] - x, from[1] - y];
    }
    for (axis, edge, side) in [(0, 0.0, 1.0), (0, 1.0, -1.0), (1, 0.0, 1.0), (1, 1.0, -1.0)] {
        let inside = |point: [f64; 2]| (point[axis] - edge) * side;
        let (from, len) = (points, count);
        count = 0;
        for at in 0..len {
            let (a, b) = (from[at], from[(at + 1) % len]);
            let (of_a, of_b) = (inside(a), inside(b));
            if of_a >= 0.0 {
                points[count] = a;
                count += 1;
            }
            if (of_a >= 0.0) != (of_b >= 0.0) {
                let share = of_a / (of_a - of_b);
                let mut cut = [a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share];
                cut[axis] = edge;
                points[count] = cut;
                count += 1;
            }
        }
    }
    area(&points[..count])
}

#[cfg(test)]
#[path = "placed_tests.rs"]
mod tests;
