//! Resampling from one regular lattice onto another, axis by axis.
//!
//! Positions are in source cells: cell `j` covers `j` to `j + 1`, its centre is `j + 0.5`. `bilinear` is the triangle of
//! half-width 1, `cubic` the Keys kernel with a = -0.5 (R. Keys, "Cubic convolution interpolation", 1981) of half-width 2; both
//! widen with the target cell when that is larger than a source cell. `area` is the mean weighted by overlap. Nodata takes no
//! part: weights are those of the valid cells, scaled to one; a target cell of which less than half the weight is valid is
//! nodata.

use std::fmt;
use std::str::FromStr;

use crate::array::{Array, Cell, with_dtype, with_view};
use crate::error::{Error, Result};

/// How values between cell centres are found.
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
}

impl FromStr for Resampling {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "nearest" => Ok(Self::Nearest),
            "bilinear" => Ok(Self::Bilinear),
            "cubic" => Ok(Self::Cubic),
            "area" => Ok(Self::Area),
            _ => Err(Error::invalid(format!("`{text}` is not a resampling; use one of nearest, bilinear, cubic, area"))),
        }
    }
}

impl fmt::Display for Resampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nearest => "nearest",
            Self::Bilinear => "bilinear",
            Self::Cubic => "cubic",
            Self::Area => "area",
        })
    }
}

impl Resampling {
    /// How many source cells beyond the target's extent a kernel reaches, for target cells of `ratio` source cells.
    pub(crate) fn reach(self, ratio: f64) -> f64 {
        match self {
            Self::Nearest | Self::Area => 0.0,
            Self::Bilinear => ratio.max(1.0),
            Self::Cubic => 2.0 * ratio.max(1.0),
        }
    }

    fn weight(self, distance: f64) -> f64 {
        let x = distance.abs();
        match self {
            Self::Nearest | Self::Area => 0.0,
            Self::Bilinear => (1.0 - x).max(0.0),
            Self::Cubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Cubic if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Self::Cubic => 0.0,
        }
    }
}

/// Where the cells of a target axis lie on a source axis: target cell `i` covers `start + i * ratio` to
/// `start + (i + 1) * ratio`, in source cells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AxisMap {
    pub(crate) start: f64,
    pub(crate) ratio: f64,
    pub(crate) len: usize,
}

impl AxisMap {
    /// The source cells that a target cell is made of, with their weights. Cells outside `0..source` are left out.
    fn taps(&self, i: usize, source: usize, resampling: Resampling) -> Vec<(usize, f64)> {
        let (low, high) = (self.start + i as f64 * self.ratio, self.start + (i + 1) as f64 * self.ratio);
        let centre = (low + high) / 2.0;
        let scale = self.ratio.max(1.0);
        let (from, to) = match resampling {
            Resampling::Nearest => (centre.floor(), centre.floor() + 1.0),
            Resampling::Area => ((low + 1e-9).floor(), (high - 1e-9).ceil()),
            _ => ((centre - resampling.reach(self.ratio)).floor(), (centre + resampling.reach(self.ratio)).ceil()),
        };
        let weight = |j: f64| match resampling {
            Resampling::Nearest => 1.0,
            Resampling::Area => (high.min(j + 1.0) - low.max(j)).max(0.0),
            _ => resampling.weight((j + 0.5 - centre) / scale),
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole numbers, clamped to the axis")]
        let clamp = |value: f64| value.clamp(0.0, source as f64) as usize;
        (clamp(from)..clamp(to)).map(|j| (j, weight(j as f64))).filter(|(_, w)| *w != 0.0).collect()
    }
}

/// A source array resampled onto target axes, one [`AxisMap`] an axis of the source. The cell type stays.
///
/// A cell is valid unless it is NaN or `nodata`; target cells without valid cells hold `fill`.
pub(crate) fn resample(source: &Array, axes: &[AxisMap], resampling: Resampling, nodata: Option<f64>, fill: f64) -> Array {
    let shape: Vec<usize> = axes.iter().map(|axis| axis.len).collect();
    let taps: Vec<Vec<Vec<(usize, f64)>>> = axes
        .iter()
        .zip(source.shape())
        .map(|(axis, &len)| (0..axis.len).map(|i| axis.taps(i, len, resampling)).collect())
        .collect();
    if resampling == Resampling::Nearest {
        let picks: Vec<Vec<Option<usize>>> =
            taps.iter().map(|axis| axis.iter().map(|taps| taps.first().map(|tap| tap.0)).collect()).collect();
        return with_view!(Array, source, |cells| gather(cells, &picks, &shape, fill));
    }
    let cells: Vec<f64> = source.iter_f64().collect();
    let valid = cells.iter().map(|value| f64::from(u8::from(!(value.is_nan() || Some(*value) == nodata)))).collect::<Vec<f64>>();
    let mut planes = [cells.iter().zip(&valid).map(|(value, w)| if *w > 0.0 { *value } else { 0.0 }).collect(), valid];
    let mut sizes = source.shape().to_vec();
    for (axis, taps) in taps.iter().enumerate() {
        planes = planes.map(|plane: Vec<f64>| along(&plane, &sizes, axis, taps));
        sizes[axis] = taps.len();
    }
    let [sums, weights] = planes;
    // What the weights would be were every cell valid, so that "half" means the same at every place.
    let total = |flat: usize| {
        let mut rest = flat;
        taps.iter().zip(&shape).rev().fold(1.0, |product, (taps, &len)| {
            let sum: f64 = taps[rest % len].iter().map(|tap| tap.1).sum();
            rest /= len;
            product * sum
        })
    };
    let value = |flat: usize| {
        let (weight, total) = (weights[flat], total(flat));
        (total > 0.0 && weight >= 0.5 * total - 1e-12).then(|| sums[flat] / weight)
    };
    with_dtype!(source.dtype(), |T| {
        let keep = |value: f64| step_off(T::from_f64(value), nodata);
        let cells: Vec<T> = (0..sums.len()).map(|flat| value(flat).map_or(T::from_f64(fill), keep)).collect();
        shaped(cells, &shape)
    })
}

/// A mixed value that happens to be the nodata value becomes its neighbour, so that valid cells stay valid.
fn step_off<T: Cell>(value: T, nodata: Option<f64>) -> T {
    match nodata {
        Some(nodata) if value.to_f64() == nodata && !T::DTYPE.is_float() => {
            let up = T::from_f64(nodata + 1.0);
            if up == value { T::from_f64(nodata - 1.0) } else { up }
        }
        _ => value,
    }
}

/// Picks one source cell for each target cell, by its index along each axis.
fn gather<T: Cell>(source: &ndarray::ArrayD<T>, picks: &[Vec<Option<usize>>], shape: &[usize], fill: f64) -> Array {
    let (last, outer) = (shape.len() - 1, shape[..shape.len() - 1].iter().product::<usize>());
    let fill = T::from_f64(fill);
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
                _ => fill,
            });
        }
    }
    shaped(cells, shape)
}

fn shaped<T: Cell>(cells: Vec<T>, shape: &[usize]) -> Array {
    match ndarray::ArrayD::from_shape_vec(shape, cells) {
        Ok(array) => Array::from(array),
        Err(_) => unreachable!("one cell was made for each place"),
    }
}

/// Replaces each line along an axis by weighted sums of its cells.
fn along(plane: &[f64], sizes: &[usize], axis: usize, taps: &[Vec<(usize, f64)>]) -> Vec<f64> {
    let (outer, inner) = (sizes[..axis].iter().product::<usize>(), sizes[axis + 1..].iter().product::<usize>());
    let mut out = vec![0.0; outer * taps.len() * inner];
    for o in 0..outer {
        for (i, taps_of) in taps.iter().enumerate() {
            let to = (o * taps.len() + i) * inner;
            for &(j, weight) in taps_of {
                let from = (o * sizes[axis] + j) * inner;
                for k in 0..inner {
                    out[to + k] += weight * plane[from + k];
                }
            }
        }
    }
    out
}
