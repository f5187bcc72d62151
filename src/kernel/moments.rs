//! Variance and standard deviation, by the combination of T. Chan, G. Golub and R. LeVeque ("Updating formulae and a pairwise
//! algorithm for computing sample variances", 1979), weighted by area.
//!
//! The state is the mean; the sum of squared differences from it is the variance times the weight.

use super::Halving;
use super::chunk::Chunk;
use crate::array::Cells;

/// Single cells: they are their mean, and do not vary.
pub(super) fn lift(mut chunk: Chunk) -> Chunk {
    let weight = chunk.weight.as_deref();
    if let (Cells::F64(values), Some(Cells::F64(mean))) = (&mut chunk.values, chunk.state.first_mut()) {
        for (i, (value, mean)) in values.iter_mut().zip(mean).enumerate() {
            if weight.is_none_or(|weight| weight[i] > 0.0) {
                *mean = finite(*value);
                *value = if mean.is_nan() { f64::NAN } else { 0.0 };
            }
        }
    }
    chunk
}

/// Weight, mean, and sum of squared differences from the mean.
#[derive(Clone, Copy)]
struct Moments {
    weight: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(self, other: Moments) -> Moments {
        if self.weight <= 0.0 {
            return other;
        }
        let weight = self.weight + other.weight;
        let apart = other.mean - self.mean;
        Moments {
            weight,
            // Equal means stay what they are, whatever the weights.
            mean: self.mean + apart * (other.weight / weight),
            squares: self.squares + other.squares + apart * apart * (self.weight * other.weight / weight),
        }
    }
}

/// The part of a parent that a child stands for; `root` says that the values are standard deviations.
pub(super) fn reduce(root: bool, child: &Chunk, halving: &Halving) -> Chunk {
    let (Cells::F64(values), [Cells::F64(means)]) = (&child.values, child.state.as_slice()) else {
        unreachable!("variances and means are float64")
    };
    let weight = child.weight.as_deref();
    let cells = values.len() / halving.children();
    let (mut out, mut mean) = (vec![f64::NAN; cells], vec![0.0; cells]);
    let mut area = weight.map(|_| vec![0.0; cells]);
    halving.cells(|number, under| {
        let mut all = Moments { weight: 0.0, mean: 0.0, squares: 0.0 };
        for &i in under {
            // Where every cell is valid throughout, any weight will do.
            let weight = weight.map_or(1.0, |weight| weight[i]);
            if weight > 0.0 {
                let variance = if root { values[i] * values[i] } else { values[i] };
                all = all.add(Moments { weight, mean: means[i], squares: variance * weight });
            }
        }
        if all.weight > 0.0 {
            let variance = all.squares / all.weight;
            out[number] = finite(if root { variance.sqrt() } else { variance });
            mean[number] = finite(all.mean);
        }
        if let Some(area) = &mut area {
            area[number] = all.weight;
        }
    });
    Chunk { values: out.into(), state: vec![mean.into()], weight: area }
}

/// An infinity, or what overflows, has no variance. Processors differ in the NaN that they would make of it.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { f64::NAN }
}
