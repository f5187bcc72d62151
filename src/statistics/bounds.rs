//! What can still lie in what was not read, and what follows for the whole.

use super::layer_values::times;
use super::plan::LayerPlan;
use super::query::Bins;
use super::tally::SlotTally;
use super::walk::Walk;
use crate::array::DType;
use crate::kernel::Sum;

/// What can lie in some cells. Areas are in level-0 cells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Doubt {
    /// The valid area that is in the region for certain, and bounds of its sum.
    sure: f64,
    sum: (f64, f64),
    /// The area that can be in the region beside it, at most.
    more: f64,
    /// Values between which all of them lie; nothing is known of no area.
    low: f64,
    high: f64,
}

/// Bounds of one figure.
pub(super) type FigureBounds = (f64, f64);

impl Doubt {
    /// Up to an area of cells of which nothing is known but their type and the condition they must
    /// meet.
    pub(super) fn unknown(walk: &Walk<'_>, area: f64) -> Self {
        let (low, high) = limits(walk.chunks.grid.schema().dtype());
        let range = walk
            .plan
            .query
            .predicate
            .as_ref()
            .map_or((f64::NEG_INFINITY, f64::INFINITY), |predicate| {
                predicate.hull()
            });
        Self {
            more: area,
            low,
            high,
            ..Self::default()
        }
        .within(range)
    }

    /// The same, with values between two.
    pub(super) fn within(mut self, (low, high): FigureBounds) -> Self {
        (self.low, self.high) = (self.low.max(low), self.high.min(high));
        if self.low > self.high {
            Self::default()
        } else {
            self
        }
    }

    pub(super) fn range(&self) -> FigureBounds {
        (self.low, self.high)
    }

    /// The same, but in the region for certain, with bounds of its sum.
    pub(super) fn sure(mut self, sum: FigureBounds) -> Self {
        (self.sure, self.more, self.sum) = (self.more, 0.0, sum);
        self
    }

    /// Both together.
    pub(super) fn add(&mut self, other: &Self) {
        if other.area() == 0.0 {
            return;
        }
        if self.area() == 0.0 {
            *self = *other;
            return;
        }
        self.sure += other.sure;
        self.more += other.more;
        self.sum = (self.sum.0 + other.sum.0, self.sum.1 + other.sum.1);
        (self.low, self.high) = (self.low.min(other.low), self.high.max(other.high));
    }

    /// The same, of an area that is known to be no larger.
    pub(super) fn at_most(mut self, area: f64) -> Self {
        self.more = self.more.min((area - self.sure).max(0.0));
        if self.area() == 0.0 {
            Self::default()
        } else {
            self
        }
    }

    /// The most area there can be.
    pub(super) fn area(&self) -> f64 {
        self.sure + self.more
    }

    /// How much there is to be gained from telling it.
    pub(super) fn weight(&self, sums: bool) -> f64 {
        if sums {
            let (low, high) = (
                self.sum.0 + times(self.more, self.low.min(0.0)),
                self.sum.1 + times(self.more, self.high.max(0.0)),
            );
            // What is not bounded comes first, by its area.
            if (high - low).is_finite() {
                high - low
            } else {
                f64::MAX / 2.0 + self.area() * 1e290
            }
        } else {
            self.area()
        }
    }
}

/// The least and greatest value of a cell type.
fn limits(dtype: DType) -> FigureBounds {
    match dtype {
        DType::F32 | DType::F64 => (f64::NEG_INFINITY, f64::INFINITY),
        _ => {
            let bits = 8.0 * dtype.size() as f64;
            if dtype.is_signed() {
                (-(bits - 1.0).exp2(), (bits - 1.0).exp2())
            } else {
                (0.0, bits.exp2())
            }
        }
    }
}

/// What is known of the whole: a tally for certain, and doubts.
pub(super) struct KnownStatistics<'a> {
    pub(super) tally: &'a SlotTally,
    /// Of areas above 0.
    pub(super) doubts: Vec<Doubt>,
    pub(super) plan: &'a LayerPlan<'a>,
}

impl KnownStatistics<'_> {
    fn total(&self, of: impl Fn(&Doubt) -> f64) -> f64 {
        self.doubts.iter().map(of).sum()
    }

    /// The area in doubt.
    pub(super) fn doubted(&self) -> f64 {
        self.total(Doubt::area)
    }

    pub(super) fn area(&self) -> FigureBounds {
        let sure = self.tally.area + self.total(|doubt| doubt.sure);
        (sure, sure + self.total(|doubt| doubt.more))
    }

    pub(super) fn sum(&self) -> FigureBounds {
        let (sum, unit) = (self.tally.sum.total(), self.plan.unit);
        let low = self.total(|doubt| doubt.sum.0 + times(doubt.more * unit, doubt.low.min(0.0)));
        let high = self.total(|doubt| doubt.sum.1 + times(doubt.more * unit, doubt.high.max(0.0)));
        (sum + low, sum + high)
    }

    pub(super) fn mean(&self) -> FigureBounds {
        let area = self.tally.area * self.plan.unit;
        if self.doubts.is_empty() {
            // A mean lies between the values, whatever was rounded.
            let (least, greatest) = (self.tally.range.0.to_f64(), self.tally.range.1.to_f64());
            let mean = self.tally.sum.over(area);
            let mean = if least <= greatest {
                mean.clamp(least, greatest)
            } else {
                mean
            };
            return (mean, mean);
        }
        self.mean_of(self.tally.sum, area)
    }

    /// Bounds of the mean, with what is known for certain summing up to `sum` over `area`.
    fn mean_of(&self, sum: Sum, area: f64) -> FigureBounds {
        let unit = self.plan.unit;
        // Sums may leave the doubles where means do not.
        let large = |sum: f64| sum.abs() >= 2.0_f64.powi(800);
        let scale = match large(sum.total())
            || self.doubts.iter().any(|d| large(d.sum.0) || large(d.sum.1))
        {
            true => 2.0_f64.powi(-300),
            false => 1.0,
        };
        let mut scaled = Sum::default();
        scaled.merge(&sum, scale);
        let sum = scaled.total();
        let least = |sum: f64| sum.min(f64::MAX) * scale;
        let low = self
            .doubts
            .iter()
            .map(|d| (d.sure * unit, least(d.sum.0), d.more * unit, d.low * scale));
        let high = self.doubts.iter().map(|d| {
            (
                d.sure * unit,
                least(-d.sum.1),
                d.more * unit,
                -d.high * scale,
            )
        });
        (
            least_mean(sum, area, low) / scale,
            -least_mean(-sum, area, high) / scale,
        )
    }

    pub(super) fn min(&self) -> FigureBounds {
        least(
            self.tally.range.0.to_f64(),
            self.doubts
                .iter()
                .map(|doubt| (doubt.sure, doubt.low, doubt.high)),
        )
    }

    pub(super) fn max(&self) -> FigureBounds {
        let (low, high) = least(
            -self.tally.range.1.to_f64(),
            self.doubts
                .iter()
                .map(|doubt| (doubt.sure, -doubt.high, -doubt.low)),
        );
        (-high, -low)
    }

    /// The variance, from the mean of squares about a value near the mean, so that little is lost
    /// by cancellation.
    pub(super) fn variance(&self) -> FigureBounds {
        // Sums are there only where they are asked for.
        let moments = self.tally.moments;
        let area = moments.area * self.plan.unit;
        let mean = self.mean_of(Sum::of(moments.mean, area), area);
        let middle = mean.0 / 2.0 + mean.1 / 2.0;
        let about = if middle.is_finite() {
            middle
        } else {
            moments.mean
        };
        let squares = |doubt: &Doubt| {
            let (low, high) = (doubt.low - about, doubt.high - about);
            let least = if low <= 0.0 && high >= 0.0 {
                0.0
            } else {
                (low * low).min(high * high)
            };
            (least, (low * low).max(high * high))
        };
        let known = times(
            moments.area,
            moments.std.powi(2) + (moments.mean - about + moments.rest).powi(2),
        );
        let parts = || self.doubts.iter().map(|doubt| (doubt, squares(doubt)));
        let low = least_mean(
            known,
            self.tally.area,
            parts().map(|(d, (q, _))| (d.sure, times(d.sure, q), d.more, q)),
        );
        let high = -least_mean(
            -known,
            self.tally.area,
            parts().map(|(d, (_, q))| (d.sure, times(d.sure, -q), d.more, -q)),
        );
        let (from, to) = (mean.0 - about, mean.1 - about);
        // What means are beyond doubles, and what was rounded off their bounds.
        let off = moments.rest.abs() + 4.0 * f64::EPSILON * about.abs();
        let low = low - (from.abs().max(to.abs()) + off).powi(2);
        // No values deviate by more than half their range (T. Popoviciu, 1935).
        let most = self.max().1.max(self.tally.range.1.above());
        let least = self.min().0.min(self.tally.range.0.below());
        let range = most / 2.0 - least / 2.0;
        (
            if low > 0.0 { low } else { 0.0 },
            if range.is_finite() {
                high.min(range * range)
            } else {
                high
            },
        )
    }

    /// The bounds of each counter of a histogram.
    pub(super) fn counters(&self, bins: &Bins) -> Vec<FigureBounds> {
        let known = self.tally.counters(bins);
        // Each doubt can add to a run of counters: it is added at the first, and taken off behind
        // the last.
        let (mut least, mut steps) = (known.clone(), vec![0.0; known.len() + 1]);
        for doubt in self
            .doubts
            .iter()
            .filter(|doubt| doubt.area() > 0.0 && doubt.low <= doubt.high)
        {
            let (first, last) = (bins.counter(doubt.low), bins.counter(doubt.high));
            if first == last {
                least[first] += doubt.sure;
            }
            steps[first] += doubt.area();
            steps[last + 1] -= doubt.area();
        }
        let mut more = 0.0;
        let bounds = known
            .iter()
            .zip(&least)
            .zip(&steps)
            .map(|((known, least), step)| {
                more += step;
                (*least, known + more)
            });
        bounds.collect()
    }
}

/// The least mean there can be: of a sum over a known area, parts that are sure (area, sum), and
/// parts of which as much is taken as makes it less (area, value). NaN if there is no area at all.
fn least_mean(sum: f64, area: f64, parts: impl Iterator<Item = (f64, f64, f64, f64)>) -> f64 {
    let (mut sum, mut area) = (sum, area);
    let mut free = Vec::new();
    for (sure, of_sure, more, value) in parts {
        (sum, area) = (sum + of_sure, area + sure);
        if more > 0.0 {
            free.push((value, more));
        }
    }
    free.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (value, more) in free {
        if area > 0.0 && value >= sum / area {
            break;
        }
        if value.is_infinite() {
            return value;
        }
        (sum, area) = (sum + value * more, area + more);
    }
    sum / area
}

/// Bounds of the least value: of the least that is known, and parts with the area that is sure,
/// their low and high.
fn least(known: f64, parts: impl Iterator<Item = (f64, f64, f64)>) -> FigureBounds {
    let (mut low, mut high) = (known, known);
    let mut highest = f64::NEG_INFINITY;
    for (sure, from, to) in parts {
        low = low.min(from);
        highest = highest.max(to);
        if sure > 0.0 {
            high = high.min(to);
        }
    }
    (
        low,
        if high == f64::INFINITY {
            high.min(highest.max(low))
        } else {
            high
        },
    )
}
