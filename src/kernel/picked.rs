//! Target cells that are one of the source cells which they overlap: the least, the greatest, the
//! most frequent.

use ndarray::ArrayD;
use rayon::prelude::*;

use super::resample::{ResampleSource, Valid, along, flat, shaped};
use super::taps::{AxisMap, Kernel, Taps};
use crate::array::{Array, Cell, Validity, with_view};

/// How much larger than another an area is, in parts of it, unless they are equal.
const EQUAL: f64 = 1e-9;

/// The least or the greatest of the valid cells that each target cell overlaps; of equal ones the
/// first.
pub(super) fn extreme(
    source: ResampleSource<'_>,
    axes: &[AxisMap],
    greatest: bool,
    blank: f64,
) -> (Array, Validity) {
    fn of<T: Cell>(
        cells: &ArrayD<T>,
        valid: &Valid<'_>,
        axes: &[AxisMap],
        greatest: bool,
    ) -> Vec<Option<T>> {
        let (cells, mut sizes) = (flat(cells), cells.shape().to_vec());
        let better = |a: T, b: T| if greatest { b > a } else { b < a };
        let best = |best: Option<T>, cell: Option<T>| match (best, cell) {
            (Some(a), Some(b)) => Some(if better(a, b) { b } else { a }),
            (a, b) => a.or(b),
        };
        // Along the last axis first, so that no second plane of all source cells is kept.
        let last = sizes.len() - 1;
        let (row, across) = (sizes[last], axes[last].all_taps(sizes[last], Kernel::Area));
        let mut plane = vec![None; sizes[..last].iter().product::<usize>() * across.len()];
        if plane.is_empty() {
            return vec![None; axes.iter().map(|axis| axis.len).product()];
        }
        plane
            .par_chunks_mut(across.len())
            .enumerate()
            .for_each(|(number, out)| {
                let cell = |at: usize| {
                    (valid.share(at).is_some() && !cells[at].is_nan()).then(|| cells[at])
                };
                let of_target = |taps: &Taps| {
                    taps.each()
                        .map(|(at, _)| cell(number * row + at))
                        .fold(None, best)
                };
                out.iter_mut()
                    .zip(&across)
                    .for_each(|(to, taps)| *to = of_target(taps));
            });
        sizes[last] = across.len();
        for axis in (0..last).rev() {
            let taps = axes[axis].all_taps(sizes[axis], Kernel::Area);
            plane = along(
                &plane,
                (&sizes, axis),
                &taps,
                None,
                |a: Option<T>, b: Option<T>, _: f64| best(a, b),
            );
            sizes[axis] = taps.len();
        }
        plane
    }
    let mask = source.validity.mask(source.cells);
    let valid = Valid::new(&source, mask.as_ref());
    with_view!(Array, source.cells, |cells| laid_out(
        of(cells, &valid, axes, greatest),
        &shape_of(axes),
        blank
    ))
}

/// The class of which each target cell has the largest valid area; of equal ones the lowest.
pub(super) fn mode(source: ResampleSource<'_>, axes: &[AxisMap], blank: f64) -> (Array, Validity) {
    fn of<T: Cell>(cells: &ArrayD<T>, valid: &Valid<'_>, axes: &[AxisMap]) -> Vec<Option<T>> {
        let sizes = cells.shape();
        let taps: Vec<Vec<Taps>> = axes
            .iter()
            .zip(sizes)
            .map(|(axis, &len)| axis.all_taps(len, Kernel::Area))
            .collect();
        let cells = flat(cells);
        let one = |(own, areas): &mut (Vec<usize>, Vec<(T, f64)>), target: usize| {
            own.clear();
            areas.clear();
            let mut rest = target;
            for taps in taps.iter().rev() {
                own.push(rest % taps.len());
                rest /= taps.len();
            }
            own.reverse();
            overlapped((&taps, own), sizes, (0, 1.0), &mut |at, part| {
                areas.extend(
                    valid
                        .share(at)
                        .filter(|_| !cells[at].is_nan())
                        .map(|share| (cells[at], part * share)),
                );
            });
            largest(areas)
        };
        let buffers = || (Vec::with_capacity(axes.len()), Vec::new());
        (0..axes.iter().map(|axis| axis.len).product())
            .into_par_iter()
            .map_init(buffers, one)
            .collect()
    }
    let mask = source.validity.mask(source.cells);
    let valid = Valid::new(&source, mask.as_ref());
    with_view!(Array, source.cells, |cells| laid_out(
        of(cells, &valid, axes),
        &shape_of(axes),
        blank
    ))
}

/// Visits the cells that one target cell overlaps, each with the part of the target cell that it
/// is: `own` is the target cell's number along each axis.
fn overlapped(
    (taps, own): (&[Vec<Taps>], &[usize]),
    sizes: &[usize],
    (first, part): (usize, f64),
    visit: &mut impl FnMut(usize, f64),
) {
    let ([axis, taps @ ..], [number, own @ ..], [size, sizes @ ..]) = (taps, own, sizes) else {
        return visit(first, part);
    };
    for (at, weight) in axis[*number].each() {
        overlapped(
            (taps, own),
            sizes,
            (first * size + at, part * weight),
            visit,
        );
    }
}

/// The class of the largest area; of equal ones the lowest.
pub(super) fn largest<T: Cell>(areas: &mut [(T, f64)]) -> Option<T> {
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

/// Cells as an array of a shape; those that are none hold `blank`.
pub(super) fn laid_out<T: Cell>(
    cells: Vec<Option<T>>,
    shape: &[usize],
    blank: f64,
) -> (Array, Validity) {
    let mask = cells.iter().map(Option::is_some).collect();
    let cells = cells
        .into_iter()
        .map(|cell| cell.unwrap_or_else(|| T::from_f64(blank)))
        .collect();
    (
        Array::from(shaped::<T>(cells, shape)),
        Validity::of_mask(Some(shaped(mask, shape))),
    )
}

fn shape_of(axes: &[AxisMap]) -> Vec<usize> {
    axes.iter().map(|axis| axis.len).collect()
}
