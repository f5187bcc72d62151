//! Target cells that are one of the source cells which they overlap: the least, the greatest, the most frequent.

use std::ops::Range;

use ndarray::ArrayD;
use rayon::prelude::*;

use super::resample::{ResampleSource, flat, shaped};
use super::taps::{AxisMap, Kernel, Taps};
use crate::array::{Array, Cell, Validity, with_view};

/// How much larger than another an area is, in parts of it, unless they are equal.
const EQUAL: f64 = 1e-9;

/// The least or the greatest of the valid cells that each target cell overlaps; of equal ones the first.
pub(super) fn extreme(source: ResampleSource<'_>, axes: &[AxisMap], greatest: bool, blank: f64) -> (Array, Validity) {
    fn of<T: Cell>(cells: &ArrayD<T>, valid: &Valid<'_>, axes: &[AxisMap], greatest: bool) -> Vec<Option<T>> {
        let (cells, mut sizes) = (flat(cells), cells.shape().to_vec());
        let spans = |axis: usize, len: usize| -> Vec<Range<usize>> {
            (0..axes[axis].len).map(|at| axes[axis].taps(at, len, Kernel::Area).span()).collect()
        };
        let better = |a: T, b: T| if greatest { b > a } else { b < a };
        let best = |best: Option<T>, cell: Option<T>| match (best, cell) {
            (Some(a), Some(b)) => Some(if better(a, b) { b } else { a }),
            (a, b) => a.or(b),
        };
        // Along the last axis first, so that no second plane of all source cells is kept.
        let last = sizes.len() - 1;
        let (row, across) = (sizes[last], spans(last, sizes[last]));
        let mut plane = vec![None; sizes[..last].iter().product::<usize>() * across.len()];
        if plane.is_empty() {
            return vec![None; axes.iter().map(|axis| axis.len).product()];
        }
        plane.par_chunks_mut(across.len()).enumerate().for_each(|(number, out)| {
            let cell = |at: usize| (valid.share(at).is_some() && !cells[at].is_nan()).then(|| cells[at]);
            let first = number * row;
            let of_span = |span: &Range<usize>| span.clone().map(|at| cell(first + at)).fold(None, best);
            out.iter_mut().zip(&across).for_each(|(to, span)| *to = of_span(span));
        });
        sizes[last] = across.len();
        for axis in (0..last).rev() {
            let spans = spans(axis, sizes[axis]);
            let (outer, inner) = (sizes[..axis].iter().product::<usize>(), sizes[axis + 1..].iter().product::<usize>());
            let mut out = vec![None; outer * spans.len() * inner];
            out.par_chunks_mut(inner).enumerate().for_each(|(number, out)| {
                let (o, i) = (number / spans.len(), number % spans.len());
                for at in spans[i].clone() {
                    let from = &plane[(o * sizes[axis] + at) * inner..][..inner];
                    out.iter_mut().zip(from).for_each(|(to, cell)| *to = best(*to, *cell));
                }
            });
            plane = out;
            sizes[axis] = spans.len();
        }
        plane
    }
    let mask = source.validity.mask(source.cells);
    let valid = Valid::new(&source, mask.as_ref());
    with_view!(Array, source.cells, |cells| laid_out(of(cells, &valid, axes, greatest), axes, blank))
}

/// The class of which each target cell has the largest valid area; of equal ones the lowest.
pub(super) fn mode(source: ResampleSource<'_>, axes: &[AxisMap], blank: f64) -> (Array, Validity) {
    fn of<T: Cell>(cells: &ArrayD<T>, valid: &Valid<'_>, axes: &[AxisMap]) -> Vec<Option<T>> {
        let sizes = cells.shape();
        let taps: Vec<Vec<Taps>> = axes
            .iter()
            .zip(sizes)
            .map(|(axis, &len)| (0..axis.len).map(|at| axis.taps(at, len, Kernel::Area)).collect())
            .collect();
        let cells = flat(cells);
        let one = |areas: &mut Vec<(T, f64)>, target: usize| {
            areas.clear();
            let (mut rest, mut own) = (target, Vec::with_capacity(axes.len()));
            for taps in taps.iter().rev() {
                own.push(&taps[rest % taps.len()]);
                rest /= taps.len();
            }
            own.reverse();
            overlapped(&own, sizes, (0, 1.0), &mut |at, part| {
                areas.extend(valid.share(at).filter(|_| !cells[at].is_nan()).map(|share| (cells[at], part * share)));
            });
            largest(areas)
        };
        (0..axes.iter().map(|axis| axis.len).product()).into_par_iter().map_init(Vec::new, one).collect()
    }
    let mask = source.validity.mask(source.cells);
    let valid = Valid::new(&source, mask.as_ref());
    with_view!(Array, source.cells, |cells| laid_out(of(cells, &valid, axes), axes, blank))
}

/// Visits the cells that one target cell overlaps, each with the part of the target cell that it is.
fn overlapped(taps: &[&Taps], sizes: &[usize], (first, part): (usize, f64), visit: &mut impl FnMut(usize, f64)) {
    let ([own, taps @ ..], [size, sizes @ ..]) = (taps, sizes) else { return visit(first, part) };
    for (at, weight) in own.each() {
        overlapped(taps, sizes, (first * size + at, part * weight), visit);
    }
}

fn largest<T: Cell>(areas: &mut [(T, f64)]) -> Option<T> {
    // Cells that are data are all comparable.
    areas.sort_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    let mut best: Option<(T, f64)> = None;
    for class in areas.chunk_by(|(a, _), (b, _)| a == b) {
        let area: f64 = class.iter().map(|(_, area)| area).sum();
        if best.is_none_or(|(_, most)| area > most * (1.0 + EQUAL)) {
            best = class.first().map(|(class, _)| (*class, area));
        }
    }
    best.map(|(class, _)| class)
}

/// Which source cells are data, and how much of each is.
struct Valid<'a> {
    mask: Option<&'a [bool]>,
    shares: Option<&'a [f64]>,
}

impl<'a> Valid<'a> {
    fn new(source: &ResampleSource<'a>, mask: Option<&'a ArrayD<bool>>) -> Self {
        Self { mask: mask.map(flat), shares: source.shares.map(flat) }
    }

    /// The valid part of a cell, if there is one.
    fn share(&self, at: usize) -> Option<f64> {
        let share = self.shares.map_or(1.0, |shares| shares[at]);
        (self.mask.is_none_or(|mask| mask[at]) && share > 0.0).then_some(share)
    }
}

fn laid_out<T: Cell>(cells: Vec<Option<T>>, axes: &[AxisMap], blank: f64) -> (Array, Validity) {
    let shape: Vec<usize> = axes.iter().map(|axis| axis.len).collect();
    let mask = cells.iter().map(Option::is_some).collect();
    let cells = cells.into_iter().map(|cell| cell.unwrap_or_else(|| T::from_f64(blank))).collect();
    (Array::from(shaped::<T>(cells, &shape)), Validity::of_mask(Some(shaped(mask, &shape))))
}
