//! Resampling from one regular lattice onto another, axis by axis. [`Resampling`] has the rules.

use std::fmt;
use std::str::FromStr;

use ndarray::ArrayD;
use rayon::prelude::*;

use super::picked;
use super::taps::{AxisMap, Kernel, Taps};
use crate::array::{Array, Cell, DType, Validity, with_dtype, with_view};
use crate::error::{Error, Result};

/// How cells are found at a resolution or a shape that is not a level's.
///
/// Target cells lie where the query puts them, whatever lies around. Source cells are those of the
/// coarsest level at least as fine as the target, of the layer that is read; which are data is
/// known of each, and those that are not take no part.
///
/// * [`Nearest`](Self::Nearest) takes the cell that holds the centre of the target cell, with or
///   without data. A centre on the edge of two cells, as at even ratios, is in the one of the
///   higher index, along every axis.
/// * With all others **a target cell is data where it overlaps a cell that is**, by more than a
///   millionth of a cell: at the edge of the data, around holes and beyond the data by one rule.
///   Its value is that of the cells that are data: their weights are scaled to one.
/// * [`Bilinear`](Self::Bilinear) is the triangle of half-width 1, [`Cubic`](Self::Cubic) the
///   kernel of R. Keys with a = -0.5 ("Cubic convolution interpolation", 1981) of half-width 2.
///   Both widen with the target cell where that is larger than a source cell. Where cells with data
///   have less than a fifth of the cubic kernel, the value is the bilinear one.
/// * [`Area`](Self::Area) is the mean of **the valid base cells in the target cell, weighted by the
///   area that they share with it**, with a pyramid as without one. Unless the query names another
///   layer it is read from the layer `mean`, which keeps the valid area of each cell, or else from
///   the base; and from the coarsest level on whose cell edges all edges of target cells lie, which
///   is exact. Where there is none, base cells are read. So it costs as many chunks as a read of
///   the levels where edges meet (resolutions that are the base's times 2, 4, 6, 8 .. from an edge
///   on), and as a read of the base elsewhere. Of any other layer it is the mean of that layer's
///   cells, by what is valid of each in the layers that know it (`variance`, `std`, `mode`).
/// * [`Min`](Self::Min) and [`Max`](Self::Max) are the least and the greatest of **the valid base
///   cells that the target cell overlaps**. Unless the query names another layer they are read from
///   the layer of their name, from levels as `area` is, or else from the base. Of any other layer
///   they are those of that layer's cells.
/// * [`Mode`](Self::Mode) is the class of which the target cell has **the largest valid area**, the
///   lowest of equal ones (areas that are a billionth apart are equal). Unless the query names a
///   layer it is read from the base, since of the classes of a coarser cell the first alone is a
///   cell of the layer `mode`.
/// * [`Sum`](Self::Sum) is the total: each valid cell divided by area among the target cells that
///   it overlaps, in float64. It is read from the layer `sum`, or else from the base, whose cells
///   count as that layer has them. Of layers that do not add up it is refused.
/// * The layers `sum` and `count` measure an area, so that their cells are never picked nor mixed:
///   however it is resampled, a target cell has **the sum of the parts of the cells that it
///   overlaps**, each cell divided by area. Totals are kept. It is in float64, and read from levels
///   as `area` is. A level finer than the base divides the cells of the base.
/// * A level that is asked for finer than the base repeats the cells of the base, in every other
///   layer.
///
/// Means and mixtures are computed in float64 and rounded to the type of the cells; one of an
/// integer layer that would be the nodata value becomes the next integer. `nearest`, `min`, `max`
/// and `mode` give cells as they are, bit for bit.
///
/// GDAL has the same rule for `nearest`; for `bilinear` and `cubic` of `RasterIO` where all cells
/// are data; for `average` where it computes from full resolution (its overviews do not know how
/// much of a cell is valid); and for `min`, `max` and `sum` of its warper. Around holes its
/// `bilinear` and `cubic` leave more cells without data, and its `mode` counts the cells that a
/// target cell touches, however little of them it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resampling {
    /// The cell that holds the target cell's centre. Values are never mixed.
    #[default]
    Nearest,
    /// Linear between centres, along each axis.
    Bilinear,
    /// Cubic convolution along each axis; can overshoot.
    Cubic,
    /// The mean over the target cell, weighted by overlap.
    Area,
    /// The least of the cells that the target cell overlaps.
    Min,
    /// The greatest of the cells that the target cell overlaps.
    Max,
    /// The class of the largest part of the target cell.
    Mode,
    /// The total of the parts of cells that the target cell has.
    Sum,
}

impl Resampling {
    /// Every one of them.
    pub const ALL: [Self; 8] = [
        Self::Nearest,
        Self::Bilinear,
        Self::Cubic,
        Self::Area,
        Self::Min,
        Self::Max,
        Self::Mode,
        Self::Sum,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Nearest => "nearest",
            Self::Bilinear => "bilinear",
            Self::Cubic => "cubic",
            Self::Area => "area",
            Self::Min => "min",
            Self::Max => "max",
            Self::Mode => "mode",
            Self::Sum => "sum",
        }
    }
}

impl FromStr for Resampling {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|resampling| resampling.name() == text)
            .ok_or_else(|| {
                let names = Self::ALL.map(Self::name).join(", ");
                Error::invalid(format!("`{text}` is not a resampling; use one of {names}"))
            })
    }
}

impl fmt::Display for Resampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the cells of an answer are made of those that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResamplingMethod {
    /// As values.
    Values(Resampling),
    /// As measures of an area, of which parts add up.
    Parts,
}

impl ResamplingMethod {
    /// What it is called.
    pub(crate) fn resampling(self) -> Resampling {
        match self {
            Self::Values(resampling) => resampling,
            Self::Parts => Resampling::Area,
        }
    }

    /// How many source cells beyond the target's extent are looked at, for target cells of `ratio`
    /// source cells.
    pub(crate) fn reach(self, ratio: f64) -> f64 {
        match self.way() {
            Way::Mixed(kernel) => kernel.reach(ratio),
            Way::Centre | Way::Extreme { .. } | Way::Mode => 0.0,
        }
    }

    /// The type that it gives of cells of a type.
    pub(crate) fn dtype(self, cells: DType) -> DType {
        if self.way() == Way::Mixed(Kernel::Parts) {
            DType::F64
        } else {
            cells
        }
    }

    pub(super) fn way(self) -> Way {
        match self {
            Self::Values(Resampling::Nearest) => Way::Centre,
            Self::Values(Resampling::Bilinear) => Way::Mixed(Kernel::Bilinear),
            Self::Values(Resampling::Cubic) => Way::Mixed(Kernel::Cubic),
            Self::Values(Resampling::Area) => Way::Mixed(Kernel::Area),
            Self::Values(Resampling::Min) => Way::Extreme { greatest: false },
            Self::Values(Resampling::Max) => Way::Extreme { greatest: true },
            Self::Values(Resampling::Mode) => Way::Mode,
            Self::Values(Resampling::Sum) | Self::Parts => Way::Mixed(Kernel::Parts),
        }
    }
}

/// What is done with source cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The one at the centre is taken.
    Centre,
    /// They are weighed.
    Mixed(Kernel),
    /// One is picked by its value.
    Extreme { greatest: bool },
    /// One is picked by its area.
    Mode,
}

/// Cells to resample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResampleSource<'a> {
    pub(crate) cells: &'a Array,
    pub(crate) validity: &'a Validity,
    /// The valid part of each cell, where it is not all of each that is valid.
    pub(crate) shares: Option<&'a ArrayD<f64>>,
}

/// The least part of the cubic kernel by which it is trusted.
pub(super) const CUBIC_LEAST: f64 = 0.2;

/// A source resampled onto target axes, one [`AxisMap`] an axis of the source. Cells without data
/// hold `blank`. The cell type is that of [`ResamplingMethod::dtype`].
pub(crate) fn resample(
    source: ResampleSource<'_>,
    axes: &[AxisMap],
    method: ResamplingMethod,
    blank: f64,
) -> (Array, Validity) {
    match method.way() {
        Way::Centre => nearest(source, axes, blank),
        Way::Extreme { greatest } => picked::extreme(source, axes, greatest, blank),
        Way::Mode => picked::mode(source, axes, blank),
        Way::Mixed(kernel) => mix(
            source,
            axes,
            kernel,
            method.dtype(source.cells.dtype()),
            blank,
        ),
    }
}

fn mix(
    source: ResampleSource<'_>,
    axes: &[AxisMap],
    kernel: Kernel,
    dtype: DType,
    blank: f64,
) -> (Array, Validity) {
    let mask = source.validity.mask(source.cells);
    let valid = Valid::new(&source, mask.as_ref());
    let mixing = Mixing {
        source,
        valid,
        axes,
        shape: axes.iter().map(|axis| axis.len).collect(),
    };
    let mixed = mixing.mixed(kernel);
    let nodata = match source.validity {
        Validity::Values { nodata } if !dtype.is_float() => *nodata,
        _ => None,
    };
    with_dtype!(dtype, |T| finished::<T>(
        mixed,
        &mixing.shape,
        nodata,
        blank
    ))
}

/// Values as cells; what is not a number is not data.
pub(super) fn finished<T: Cell>(
    mixed: Vec<Option<f64>>,
    shape: &[usize],
    nodata: Option<f64>,
    blank: f64,
) -> (Array, Validity) {
    let keep = |value: Option<f64>| match value.filter(|value| !value.is_nan()) {
        Some(value) => (step_off(as_cell(value), nodata), true),
        None => (T::from_f64(blank), false),
    };
    let (mut cells, mut valid) = (Vec::new(), Vec::new());
    let each = mixed.into_par_iter().with_min_len(4096).map(keep);
    each.unzip_into_vecs(&mut cells, &mut valid);
    (
        Array::from(shaped::<T>(cells, shape)),
        Validity::of_mask(Some(shaped(valid, shape))),
    )
}

/// A number as a cell; one beyond all of its type is the largest of them.
pub(crate) fn as_cell<T: Cell>(value: f64) -> T {
    let cell = T::from_f64(value);
    let beyond = value.is_finite() && !cell.to_f64().is_finite();
    if beyond {
        T::from_f64(f64::from(f32::MAX).copysign(value))
    } else {
        cell
    }
}

/// A mixed value that happens to be the nodata value becomes its neighbour, so that valid cells
/// stay valid.
fn step_off<T: Cell>(value: T, nodata: Option<f64>) -> T {
    match nodata {
        Some(nodata) if value.to_f64() == nodata => {
            let up = T::from_f64(nodata + 1.0);
            if up == value {
                T::from_f64(nodata - 1.0)
            } else {
                up
            }
        }
        _ => value,
    }
}

/// Cells as an array of a shape that has a place for each.
pub(crate) fn shaped<T>(cells: Vec<T>, shape: &[usize]) -> ArrayD<T> {
    ArrayD::from_shape_vec(shape, cells)
        .unwrap_or_else(|_| unreachable!("one cell was made for each place"))
}

/// The cells that the centres of target cells lie in.
fn nearest(source: ResampleSource<'_>, axes: &[AxisMap], blank: f64) -> (Array, Validity) {
    let shape: Vec<usize> = axes.iter().map(|axis| axis.len).collect();
    let picks: Vec<Vec<Option<usize>>> = axes
        .iter()
        .zip(source.cells.shape())
        .map(|(axis, &len)| (0..axis.len).map(|i| axis.holds_centre(i, len)).collect())
        .collect();
    let array = with_view!(Array, source.cells, |cells| Array::from(gather(
        cells,
        &picks,
        &shape,
        Cell::from_f64(blank)
    )));
    let outside = || picks.iter().flatten().any(Option::is_none);
    let validity = match source.validity {
        Validity::Values { nodata } => Validity::Values { nodata: *nodata },
        Validity::All if !outside() => Validity::All,
        Validity::All => Validity::of_mask(Some(gather(
            &ArrayD::from_elem(source.cells.shape(), true),
            &picks,
            &shape,
            false,
        ))),
        Validity::Mask(mask) => Validity::of_mask(Some(gather(mask, &picks, &shape, false))),
    };
    (array, validity)
}

/// Picks one source cell for each target cell, by its index along each axis.
fn gather<T: Copy>(
    source: &ArrayD<T>,
    picks: &[Vec<Option<usize>>],
    shape: &[usize],
    blank: T,
) -> ArrayD<T> {
    let (last, outer) = (
        shape.len() - 1,
        shape[..shape.len() - 1].iter().product::<usize>(),
    );
    let mut cells = Vec::with_capacity(outer * shape[last]);
    let mut at = vec![0; shape.len()];
    for row in 0..outer {
        let mut rest = row;
        let mut inside = true;
        for axis in (0..last).rev() {
            match picks[axis][rest % shape[axis]] {
                Some(pick) => at[axis] = pick,
                None => inside = false,
            }
            rest /= shape[axis];
        }
        for pick in &picks[last] {
            cells.push(match pick {
                Some(pick) if inside => {
                    at[last] = *pick;
                    source[at.as_slice()]
                }
                _ => blank,
            });
        }
    }
    shaped(cells, shape)
}

/// Cells that were read, which are in C order.
pub(super) fn flat<T>(cells: &ArrayD<T>) -> &[T] {
    cells
        .as_slice()
        .unwrap_or_else(|| unreachable!("what was read is in C order"))
}

/// Which source cells are data, and how much of each is.
pub(super) struct Valid<'a> {
    mask: Option<&'a [bool]>,
    shares: Option<&'a [f64]>,
}

impl<'a> Valid<'a> {
    /// Of a source, of whose validity `mask` was made.
    pub(super) fn new(source: &ResampleSource<'a>, mask: Option<&'a ArrayD<bool>>) -> Self {
        Self {
            mask: mask.map(flat),
            shares: source.shares.map(flat),
        }
    }

    /// Whether all of every cell is.
    pub(super) fn is_all(&self) -> bool {
        self.mask.is_none() && self.shares.is_none()
    }

    /// The valid part of a cell, if there is one.
    pub(super) fn share(&self, at: usize) -> Option<f64> {
        let share = self.shares.map_or(1.0, |shares| shares[at]);
        (self.mask.is_none_or(|mask| mask[at]) && share > 0.0).then_some(share)
    }
}

/// A source on its way to weighted sums.
struct Mixing<'a> {
    source: ResampleSource<'a>,
    valid: Valid<'a>,
    axes: &'a [AxisMap],
    shape: Vec<usize>,
}

/// Weights of target cells.
enum Weights {
    Cells(Vec<f64>),
    /// Where every source cell has the same: the product of one an axis.
    Axes(Vec<Vec<f64>>),
}

impl Weights {
    fn at(&self, flat: usize, shape: &[usize]) -> f64 {
        match self {
            Self::Cells(weights) => weights[flat],
            Self::Axes(axes) => {
                let mut rest = flat;
                axes.iter()
                    .zip(shape)
                    .rev()
                    .fold(1.0, |product, (weights, &len)| {
                        let weight = weights[rest % len];
                        rest /= len;
                        product * weight
                    })
            }
        }
    }
}

impl Mixing<'_> {
    /// The value of each target cell.
    fn mixed(&self, kernel: Kernel) -> Vec<Option<f64>> {
        let reference = if kernel == Kernel::Parts {
            0.0
        } else {
            self.reference()
        };
        let mixed = self.scaled(kernel, (reference, 1.0));
        let beyond = |value: Option<f64>| value.is_some_and(|value| !value.is_finite());
        if kernel == Kernel::Parts || !mixed.iter().copied().any(beyond) || !self.is_finite() {
            return mixed;
        }
        // Weights that overshoot, or that are a hair more than one, lead beyond the largest
        // numbers.
        let small = self.scaled(kernel, (0.0, 0.0625)).into_iter();
        let large =
            small.map(|value| value.map(|value| (value / 0.0625).clamp(f64::MIN, f64::MAX)));
        mixed
            .into_iter()
            .zip(large)
            .map(|(value, large)| if beyond(value) { large } else { value })
            .collect()
    }

    /// The same of values times a factor, measured from a reference.
    fn scaled(&self, kernel: Kernel, (reference, factor): (f64, f64)) -> Vec<Option<f64>> {
        let (sums, weights) = (self.sums(kernel, (reference, factor)), self.weights(kernel));
        let overlap = match kernel {
            // What has a weight is overlapped.
            Kernel::Area => None,
            _ => Some(self.weights(Kernel::Area)),
        };
        let is_data =
            |flat: usize| overlap.as_ref().unwrap_or(&weights).at(flat, &self.shape) > 0.0;
        let trusted =
            |flat: usize| kernel != Kernel::Cubic || weights.at(flat, &self.shape) >= CUBIC_LEAST;
        let all = 0..sums.len();
        if all
            .clone()
            .into_par_iter()
            .any(|flat| is_data(flat) && !trusted(flat))
        {
            let bilinear = self.scaled(Kernel::Bilinear, (reference, factor));
            let value = |flat: usize| {
                if trusted(flat) {
                    is_data(flat).then(|| reference + sums[flat] / weights.at(flat, &self.shape))
                } else {
                    bilinear[flat]
                }
            };
            return all.into_par_iter().map(value).collect();
        }
        let value = |flat: usize| match kernel {
            Kernel::Parts => sums[flat],
            _ => reference + sums[flat] / weights.at(flat, &self.shape),
        };
        all.into_par_iter()
            .map(|flat| is_data(flat).then(|| value(flat)))
            .collect()
    }

    /// A value from which others are measured, so that equal ones come out as they are; 0 where
    /// some are so much smaller that this would cost them digits.
    fn reference(&self) -> f64 {
        fn of<T: Cell>(mixing: &Mixing<'_>, cells: &ArrayD<T>) -> f64 {
            let cells = flat(cells);
            let value = |at: usize| mixing.valid.share(at).map(|_| cells[at].to_f64());
            // Differences from a greater one could overflow.
            let first = (0..cells.len())
                .find_map(value)
                .filter(|first| first.abs() < 1e290)
                .unwrap_or(0.0);
            let alike = |at: usize| value(at).is_none_or(|value| value.abs() >= first.abs() / 4.0);
            if first != 0.0 && (0..cells.len()).all(alike) {
                first
            } else {
                0.0
            }
        }
        with_view!(Array, self.source.cells, |cells| of(self, cells))
    }

    fn is_finite(&self) -> bool {
        self.source
            .cells
            .iter_f64()
            .enumerate()
            .all(|(at, value)| value.is_finite() || self.valid.share(at).is_none())
    }

    /// Sums of weighted values.
    fn sums(&self, kernel: Kernel, measure: (f64, f64)) -> Vec<f64> {
        fn of<T: Cell>(
            mixing: &Mixing<'_>,
            cells: &ArrayD<T>,
            kernel: Kernel,
            (reference, factor): (f64, f64),
        ) -> Vec<f64> {
            let cells = flat(cells);
            mixing.along_all(kernel, &|first, row| {
                let measured =
                    |(to, cell): (&mut f64, &T)| *to = (cell.to_f64() - reference) * factor;
                row.iter_mut().zip(&cells[first..]).for_each(measured);
                let places = first..first + row.len();
                if let Some(valid) = mixing.valid.mask {
                    row.iter_mut()
                        .zip(&valid[places.clone()])
                        .filter(|(_, valid)| !**valid)
                        .for_each(|(to, _)| *to = 0.0);
                }
                if let Some(shares) = mixing.valid.shares {
                    let weigh = |(to, share): (&mut f64, &f64)| {
                        *to = if *share > 0.0 { *to * share } else { 0.0 }
                    };
                    row.iter_mut().zip(&shares[places]).for_each(weigh);
                }
            })
        }
        with_view!(Array, self.source.cells, |cells| of(
            self, cells, kernel, measure
        ))
    }

    /// Sums of the weights of what is valid.
    fn weights(&self, kernel: Kernel) -> Weights {
        match (self.valid.mask, self.valid.shares) {
            (None, None) => Weights::Axes(
                self.taps(kernel)
                    .iter()
                    .map(|taps| taps.iter().map(Taps::sum).collect())
                    .collect(),
            ),
            (Some(valid), None) => {
                Weights::Cells(self.along_cells(kernel, |flat| f64::from(u8::from(valid[flat]))))
            }
            (mask, Some(shares)) => {
                let valid = |flat: usize| mask.is_none_or(|valid| valid[flat]);
                Weights::Cells(
                    self.along_cells(kernel, |flat| if valid(flat) { shares[flat] } else { 0.0 }),
                )
            }
        }
    }

    fn taps(&self, kernel: Kernel) -> Vec<Vec<Taps>> {
        self.axes
            .iter()
            .zip(self.source.cells.shape())
            .map(|(axis, &len)| axis.all_taps(len, kernel))
            .collect()
    }

    fn along_cells(&self, kernel: Kernel, cell: impl Fn(usize) -> f64 + Sync) -> Vec<f64> {
        self.along_all(kernel, &|first, row| {
            row.iter_mut()
                .zip(first..)
                .for_each(|(to, flat)| *to = cell(flat))
        })
    }

    /// Weighted sums of the values of source cells, which `fill` gives of a row that begins with
    /// the cell of a number: first along the last axis, so that no plane of all source cells is
    /// kept, then along the others.
    fn along_all(&self, kernel: Kernel, fill: &(dyn Fn(usize, &mut [f64]) + Sync)) -> Vec<f64> {
        let (taps, mut sizes) = (self.taps(kernel), self.source.cells.shape().to_vec());
        let last = sizes.len() - 1;
        let row = sizes[last];
        let mut out = vec![0.0; sizes[..last].iter().product::<usize>() * taps[last].len()];
        if out.is_empty() {
            return vec![0.0; self.shape.iter().product()];
        }
        out.par_chunks_mut(taps[last].len())
            .enumerate()
            .for_each(|(number, out)| {
                let mut cells = vec![0.0; row];
                fill(number * row, &mut cells);
                out.iter_mut()
                    .zip(&taps[last])
                    .for_each(|(to, taps)| *to = taps.of(&cells));
            });
        sizes[last] = taps[last].len();
        for axis in (0..last).rev() {
            out = along(
                &out,
                (&sizes, axis),
                &taps[axis],
                0.0,
                |sum: f64, cell: f64, weight: f64| sum + weight * cell,
            );
            sizes[axis] = taps[axis].len();
        }
        out
    }
}

/// Replaces each line along an axis of a plane by what its cells come to: from `nothing` on, `add`
/// adds a cell with its weight.
pub(super) fn along<C: Copy + Send + Sync>(
    plane: &[C],
    (sizes, axis): (&[usize], usize),
    taps: &[Taps],
    nothing: C,
    add: impl Fn(C, C, f64) -> C + Sync,
) -> Vec<C> {
    let (outer, inner) = (
        sizes[..axis].iter().product::<usize>(),
        sizes[axis + 1..].iter().product::<usize>(),
    );
    let mut out = vec![nothing; outer * taps.len() * inner];
    out.par_chunks_mut(inner)
        .enumerate()
        .for_each(|(number, out)| {
            let (o, i) = (number / taps.len(), number % taps.len());
            for (j, weight) in taps[i].each() {
                let from = &plane[(o * sizes[axis] + j) * inner..][..inner];
                out.iter_mut()
                    .zip(from)
                    .for_each(|(to, cell)| *to = add(*to, *cell, weight));
            }
        });
    out
}

#[cfg(test)]
#[path = "resample_tests.rs"]
mod tests;
