//! Variance and standard deviation, by the combination of T. Chan, G. Golub and R. LeVeque
//! ("Updating formulae and a pairwise algorithm for computing sample variances", 1979), weighted by
//! area.
//!
//! The state is the mean; the sum of squared differences from it is the variance times the weight.
//! Where squares would leave the doubles, upwards or downwards, all is done on numbers scaled by a
//! power of two.

use super::Halving;
use super::chunk::Chunk;
use crate::array::Cells;

/// Single cells: they are their mean, and do not vary.
pub(super) fn lift(mut chunk: Chunk) -> Chunk {
    let weight = chunk.weight.as_deref();
    if let (Cells::F64(values), Some(Cells::F64(mean))) =
        (&mut chunk.values, chunk.state.first_mut())
    {
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
            squares: self.squares
                + other.squares
                + apart * apart * (self.weight * other.weight / weight),
        }
    }
}

/// The part of a parent that a child stands for; `root` says that the values are standard
/// deviations.
pub(super) fn reduce(root: bool, child: &Chunk, halving: &Halving) -> Chunk {
    let (Cells::F64(values), [Cells::F64(means)]) = (&child.values, child.state.as_slice()) else {
        unreachable!("variances and means are float64")
    };
    let weight = child.weight.as_deref();
    let cells = values.len() / halving.children();
    let (mut out, mut mean) = (vec![f64::NAN; cells], vec![0.0; cells]);
    let mut area = weight.map(|_| vec![0.0; cells]);
    halving.cells(|number, under| {
        // Where every cell is valid throughout, any weight will do.
        let weight = |i: usize| weight.map_or(1.0, |weight| weight[i]);
        let valid = || under.iter().copied().filter(|&i| weight(i) > 0.0);
        let together = |scale: f64| {
            let mut all = Moments {
                weight: 0.0,
                mean: 0.0,
                squares: 0.0,
            };
            for i in valid() {
                let scaled = values[i] * scale;
                let variance = if root {
                    scaled * scaled
                } else {
                    scaled * scale
                };
                all = all.add(Moments {
                    weight: weight(i),
                    mean: means[i] * scale,
                    squares: variance * weight(i),
                });
            }
            all
        };
        let deviation = |i: usize| if root { values[i] } else { values[i].sqrt() };
        let mut scale = 1.0;
        let mut all = together(scale);
        if !all.squares.is_finite() || all.squares < 2.0_f64.powi(-900) {
            scale = scale_of(valid().map(|i| (means[i], deviation(i))));
            all = if scale == 1.0 { all } else { together(scale) };
        }
        if all.weight > 0.0 {
            let variance = all.squares / all.weight;
            out[number] = finite(if root {
                variance.sqrt() / scale
            } else {
                variance / scale / scale
            });
            mean[number] = finite(all.mean / scale);
        }
        if let Some(area) = &mut area {
            area[number] = all.weight;
        }
    });
    Chunk {
        values: out.into(),
        state: vec![mean.into()],
        weight: area,
    }
}

/// What brings means and deviations to a size whose squares are doubles: a power of two, and 1
/// where they are of that size.
fn scale_of(parts: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (mut low, mut high, mut deviation) = (f64::INFINITY, f64::NEG_INFINITY, 0.0_f64);
    for (mean, of_part) in parts {
        (low, high, deviation) = (low.min(mean), high.max(mean), deviation.max(of_part));
    }
    let apart = (high / 2.0 - low / 2.0).max(deviation / 2.0);
    match apart {
        apart if apart > 2.0_f64.powi(500) => 2.0_f64.powi(-600),
        apart
            if apart > 0.0 && apart < 2.0_f64.powi(-450) && high.max(-low) < 2.0_f64.powi(400) =>
        {
            2.0_f64.powi(600)
        }
        _ => 1.0,
    }
}

/// An infinity has no variance, nor has what overflows. Processors differ in the NaN that they
/// would make of it.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { f64::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(root: bool, cells: [f64; 4]) -> (f64, f64) {
        let child = lift(Chunk {
            values: cells.to_vec().into(),
            state: vec![vec![0.0; 4].into()],
            weight: None,
        });
        let pairs = reduce(root, &child, &Halving::new(&[4], 0..1));
        let whole = reduce(root, &pairs, &Halving::new(&[2], 0..1));
        match (&whole.values, &whole.state[0]) {
            (Cells::F64(values), Cells::F64(means)) => (values[0], means[0]),
            _ => unreachable!("variances and means are float64"),
        }
    }

    #[test]
    fn deviations_of_the_largest_and_the_least_numbers_are_numbers() {
        assert_eq!(
            of(true, [1.5e308, -1.5e308, 1.5e308, -1.5e308]),
            (1.5e308, 0.0)
        );
        assert_eq!(of(true, [1.5e308; 4]), (0.0, 1.5e308));
        assert_eq!(of(true, [1e-200, -1e-200, 1e-200, -1e-200]), (1e-200, 0.0));
        assert!((of(false, [1e-150, -1e-150, 1e-150, -1e-150]).0 / 1e-300 - 1.0).abs() < 1e-12);
        let (variance, mean) = of(false, [1.5e308, -1.5e308, 1.5e308, -1.5e308]);
        assert_eq!((variance.is_nan(), mean), (true, 0.0));
        assert_eq!(of(false, [1.0, 3.0, 5.0, 7.0]), (5.0, 4.0));
        assert!(of(true, [1.0, f64::INFINITY, 5.0, 7.0]).0.is_nan());
    }
}
