//! Sums over cells that compose: what is known for certain of a region.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::query::Bins;
use crate::array::Number;
use crate::kernel::Sum;

/// Area, mean, and standard deviation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct TallyMoments {
    pub(super) area: f64,
    pub(super) mean: f64,
    pub(super) std: f64,
}

impl TallyMoments {
    /// Both together (T. Chan, G. Golub and R. LeVeque, 1979), in roots, which stay within the
    /// doubles where squares would not.
    pub(super) fn add(&mut self, other: Self) {
        if other.area == 0.0 {
            return;
        }
        if self.area == 0.0 {
            *self = other;
            return;
        }
        let area = self.area + other.area;
        let (mine, theirs) = (self.area / area, other.area / area);
        // Half of it, as the distance itself may lie beyond the doubles; what it is multiplied by
        // is at most 1.
        let half = other.mean / 2.0 - self.mean / 2.0;
        let between = half * (2.0 * (mine * theirs).sqrt());
        let within = (self.std * mine.sqrt()).hypot(other.std * theirs.sqrt());
        // Of infinities there is no deviation.
        self.std = if within.is_finite() && between.is_finite() {
            within.hypot(between)
        } else {
            f64::NAN
        };
        let apart = other.mean - self.mean;
        self.mean = if apart.is_finite() {
            self.mean + apart * theirs
        } else {
            self.mean * mine + other.mean * theirs
        };
        self.area = area;
    }

    /// Those of values, each of the area `full`. Of infinities there is no deviation.
    fn of(values: &[f64], mean: f64, full: f64) -> Self {
        let count = values.len() as f64;
        let squares: f64 = values
            .iter()
            .map(|value| (value - mean) * (value - mean))
            .sum();
        let std = if squares.is_finite() && squares > 2.0_f64.powi(-900) {
            (squares / count).sqrt()
        } else {
            scaled(values, mean)
        };
        Self {
            area: count * full,
            mean,
            std,
        }
    }
}

/// The deviation of values whose squares leave the doubles, upwards or downwards.
fn scaled(values: &[f64], mean: f64) -> f64 {
    if !mean.is_finite() {
        return f64::NAN;
    }
    let half = |value: &f64| value / 2.0 - mean / 2.0;
    let most = values
        .iter()
        .map(|value| half(value).abs())
        .fold(0.0, f64::max);
    if most == 0.0 {
        return 0.0;
    }
    let squares: f64 = values
        .iter()
        .map(|value| (half(value) / most).powi(2))
        .sum();
    (squares / values.len() as f64).sqrt() * most * 2.0
}

/// The least and the greatest value.
pub(super) type Range = (Number, Number);

/// The range of no values.
pub(super) fn no_range() -> Range {
    (f64::INFINITY.into(), f64::NEG_INFINITY.into())
}

/// The range of the values of both.
pub(super) fn joined((low, high): Range, other: Range) -> Range {
    (
        if other.0 < low { other.0 } else { low },
        if other.1 > high { other.1 } else { high },
    )
}

/// What an aggregate cell adds, as far as it is known and asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) area: f64,
    pub(super) sum: Sum,
    /// The sum as an integer, if it is one for certain.
    pub(super) whole: Option<i128>,
    pub(super) range: Range,
    pub(super) moments: TallyMoments,
}

/// What is known for certain of some cells. Areas are in level-0 cells.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SlotTally {
    pub(super) area: f64,
    pub(super) sum: Sum,
    /// The sum as an integer, as long as every part of it is one.
    pub(super) whole: Option<i128>,
    pub(super) range: Range,
    pub(super) moments: TallyMoments,
    /// The area in each counter of the bins; empty where nothing was counted.
    bins: Vec<f64>,
    /// The area of each value.
    classes: BTreeMap<ClassValue, f64>,
}

impl Default for SlotTally {
    fn default() -> Self {
        Self {
            area: 0.0,
            sum: Sum::default(),
            whole: Some(0),
            range: no_range(),
            moments: TallyMoments::default(),
            bins: Vec::new(),
            classes: BTreeMap::new(),
        }
    }
}

/// A value that cells have, which is not NaN.
#[derive(Clone, Copy, Debug)]
struct ClassValue(Number);

impl PartialEq for ClassValue {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ClassValue {}

impl PartialOrd for ClassValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ClassValue {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal)
    }
}

impl SlotTally {
    /// Adds an aggregate cell.
    pub(super) fn add(&mut self, share: &Share) {
        self.area += share.area;
        self.sum.merge(&share.sum, 1.0);
        self.add_whole(share.whole);
        self.range = joined(self.range, share.range);
        self.moments.add(share.moments);
    }

    /// Adds base cells of a range, each of the area `full`, of which `scale` times the value is
    /// summed.
    pub(super) fn add_values(
        &mut self,
        (values, range): (&[f64], Range),
        full: f64,
        scale: f64,
        whole: Option<i128>,
    ) {
        if values.is_empty() {
            return;
        }
        let mut sum = Sum::default();
        values.iter().for_each(|value| sum.add(*value));
        let count = values.len() as f64;
        self.area += count * full;
        self.sum.merge(&sum, scale);
        self.add_whole(whole);
        self.range = joined(self.range, range);
        self.moments
            .add(TallyMoments::of(values, sum.over(count), full));
    }

    fn add_whole(&mut self, whole: Option<i128>) {
        self.whole = self.whole.zip(whole).and_then(|(a, b)| a.checked_add(b));
    }

    /// Counts an area of one counter.
    pub(super) fn count(&mut self, bins: &Bins, counter: usize, area: f64) {
        if self.bins.is_empty() {
            self.bins = vec![0.0; bins.counters()];
        }
        self.bins[counter] += area;
    }

    /// Counts an area of one value.
    pub(super) fn class(&mut self, value: Number, area: f64) {
        // Both zeros are one.
        let zero = Number::from(0.0);
        *self
            .classes
            .entry(ClassValue(if value == zero { zero } else { value }))
            .or_default() += area;
    }

    pub(super) fn class_count(&self) -> usize {
        self.classes.len()
    }

    /// Each value and its area, lowest first.
    pub(super) fn classes(&self) -> impl Iterator<Item = (Number, f64)> {
        self.classes.iter().map(|(class, area)| (class.0, *area))
    }

    /// The area in each counter.
    pub(super) fn counters(&self, bins: &Bins) -> Vec<f64> {
        if self.bins.is_empty() {
            vec![0.0; bins.counters()]
        } else {
            self.bins.clone()
        }
    }

    /// Both together.
    pub(super) fn merge(&mut self, other: Self) {
        self.area += other.area;
        self.sum.merge(&other.sum, 1.0);
        self.add_whole(other.whole);
        self.range = joined(self.range, other.range);
        self.moments.add(other.moments);
        if self.bins.is_empty() {
            self.bins = other.bins;
        } else {
            self.bins
                .iter_mut()
                .zip(other.bins)
                .for_each(|(a, b)| *a += b);
        }
        for (class, area) in other.classes {
            *self.classes.entry(class).or_default() += area;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> SlotTally {
        let range = values.iter().fold(no_range(), |range, value| {
            joined(range, ((*value).into(), (*value).into()))
        });
        let mut tally = SlotTally::default();
        tally.add_values((values, range), 1.0, 1.0, None);
        tally
    }

    #[test]
    fn parts_of_any_size_have_the_sum_and_deviation_of_the_whole() {
        let values: Vec<f64> = (0..1000).map(|i| 1e6 + f64::from(i % 37) * 0.125).collect();
        let whole = of(&values);
        for size in [1, 3, 500] {
            let mut parts = SlotTally::default();
            values.chunks(size).for_each(|part| parts.merge(of(part)));
            let range = (1e6.into(), (1e6 + 4.5).into());
            assert_eq!(
                (parts.sum.total(), parts.range, parts.area),
                (whole.sum.total(), range, 1000.0)
            );
            assert!(
                (parts.moments.std / whole.moments.std - 1.0).abs() < 1e-9,
                "{size}"
            );
        }
    }

    #[test]
    fn means_and_deviations_of_extremes_are_numbers() {
        for size in [1, 3, 8] {
            let merged = |values: &[f64]| {
                let mut parts = SlotTally::default();
                values.chunks(size).for_each(|part| parts.merge(of(part)));
                (
                    parts.sum.over(parts.area),
                    parts.moments.mean,
                    parts.moments.std,
                )
            };
            let near = |got: f64, want: f64| (got / want - 1.0).abs() < 1e-12;
            let (mean, of_moments, std) = merged(&[1.5e308; 8]);
            assert_eq!((mean, of_moments, std), (1.5e308, 1.5e308, 0.0), "{size}");
            let (mean, _, std) = merged(&[
                1.5e308, -1.5e308, 1.5e308, -1.5e308, 1.5e308, -1.5e308, 1.5e308, -1.5e308,
            ]);
            assert!(mean == 0.0 && near(std, 1.5e308), "{size}: {mean} {std}");
            let (_, _, std) = merged(&[1e-200, -1e-200, 1e-200, -1e-200]);
            assert!(near(std, 1e-200), "{size}: {std}");
        }
    }

    #[test]
    fn infinities_stay_what_they_are() {
        let mut tally = of(&[1.0, f64::INFINITY]);
        tally.merge(of(&[2.0]));
        assert_eq!(
            (tally.sum.total(), tally.range.1),
            (f64::INFINITY, f64::INFINITY.into())
        );
        assert!(tally.moments.std.is_nan());
    }

    #[test]
    fn classes_are_in_the_order_of_their_values() {
        let mut tally = SlotTally::default();
        for value in [3.0, -0.0, -2.5, 0.0, f64::NEG_INFINITY] {
            tally.class(value.into(), 1.0);
        }
        let id = 9_007_199_254_740_993_i64;
        [id, id + 1, id - 1, id]
            .into_iter()
            .for_each(|value| tally.class(value.into(), 1.0));
        let classes: Vec<_> = tally.classes().collect();
        let doubles = [
            (f64::NEG_INFINITY, 1.0),
            (-2.5, 1.0),
            (0.0, 2.0),
            (3.0, 1.0),
        ]
        .map(|(value, area)| (value.into(), area));
        assert_eq!(
            classes,
            [
                doubles.to_vec(),
                vec![
                    ((id - 1).into(), 1.0),
                    (id.into(), 2.0),
                    ((id + 1).into(), 1.0)
                ]
            ]
            .concat()
        );
    }
}
