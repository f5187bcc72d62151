//! Sums over cells that compose: what is known for certain of a region.

use std::collections::BTreeMap;

use super::query::Bins;

/// A sum of doubles with the rounding errors of its additions (A. Neumaier, 1974), so that it does not matter how many
/// partial sums it is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sum {
    high: f64,
    low: f64,
}

impl Sum {
    pub(super) fn add(&mut self, value: f64) {
        let sum = self.high + value;
        self.low += if self.high.abs() >= value.abs() { (self.high - sum) + value } else { (value - sum) + self.high };
        self.high = sum;
    }

    pub(super) fn total(self) -> f64 {
        // Beyond the doubles, the errors are no numbers.
        if self.high.is_finite() { self.high + self.low } else { self.high }
    }
}

/// Area, mean, and the sum of squared differences from it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Moments {
    pub(super) area: f64,
    pub(super) mean: f64,
    pub(super) m2: f64,
}

impl Moments {
    /// Both together (T. Chan, G. Golub and R. LeVeque, 1979).
    pub(super) fn add(&mut self, other: Self) {
        if other.area == 0.0 {
            return;
        }
        if self.area == 0.0 {
            *self = other;
            return;
        }
        let area = self.area + other.area;
        let (delta, share) = (other.mean - self.mean, other.area / area);
        self.m2 += other.m2 + delta * delta * self.area * share;
        self.mean += delta * share;
        self.area = area;
    }
}

/// What an aggregate cell adds, as far as it is known and asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) area: f64,
    pub(super) sum: f64,
    /// The sum as an integer, if it is one for certain.
    pub(super) whole: Option<i128>,
    pub(super) range: (f64, f64),
    pub(super) moments: Moments,
}

/// What is known for certain of some cells. Areas are in level-0 cells.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tally {
    pub(super) area: f64,
    pub(super) sum: Sum,
    /// The sum as an integer, as long as every part of it is one.
    pub(super) whole: Option<i128>,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) moments: Moments,
    /// The area in each counter of the bins; empty where nothing was counted.
    bins: Vec<f64>,
    /// The area of each value, by its place in the order of doubles.
    classes: BTreeMap<u64, f64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            area: 0.0,
            sum: Sum::default(),
            whole: Some(0),
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            moments: Moments::default(),
            bins: Vec::new(),
            classes: BTreeMap::new(),
        }
    }
}

/// A double as an integer of the same order. Both zeros are one.
fn ordered(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn unordered(order: u64) -> f64 {
    f64::from_bits(if order >> 63 == 1 { order & !(1 << 63) } else { !order })
}

impl Tally {
    /// Adds an aggregate cell.
    pub(super) fn add(&mut self, share: &Share) {
        self.area += share.area;
        self.sum.add(share.sum);
        self.add_whole(share.whole);
        (self.min, self.max) = (self.min.min(share.range.0), self.max.max(share.range.1));
        self.moments.add(share.moments);
    }

    /// Adds base cells, each of the area `full`, of which `scale` times the value is summed.
    pub(super) fn add_values(&mut self, values: &[f64], full: f64, scale: f64, whole: Option<i128>) {
        if values.is_empty() {
            return;
        }
        let mut sum = Sum::default();
        for &value in values {
            sum.add(value);
            (self.min, self.max) = (self.min.min(value), self.max.max(value));
        }
        let count = values.len() as f64;
        self.area += count * full;
        self.sum.add(sum.total() * scale);
        self.add_whole(whole);
        let mean = sum.total() / count;
        let m2: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        self.moments.add(Moments { area: count * full, mean, m2: m2 * full });
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
    pub(super) fn class(&mut self, value: f64, area: f64) {
        *self.classes.entry(ordered(value)).or_default() += area;
    }

    pub(super) fn class_count(&self) -> usize {
        self.classes.len()
    }

    /// Each value and its area, lowest first.
    pub(super) fn classes(&self) -> impl Iterator<Item = (f64, f64)> {
        self.classes.iter().map(|(&order, &area)| (unordered(order), area))
    }

    /// The area in each counter.
    pub(super) fn counters(&self, bins: &Bins) -> Vec<f64> {
        if self.bins.is_empty() { vec![0.0; bins.counters()] } else { self.bins.clone() }
    }

    /// Both together.
    pub(super) fn merge(&mut self, other: Self) {
        self.area += other.area;
        self.sum.add(other.sum.high);
        self.sum.low += other.sum.low;
        self.add_whole(other.whole);
        (self.min, self.max) = (self.min.min(other.min), self.max.max(other.max));
        self.moments.add(other.moments);
        if self.bins.is_empty() {
            self.bins = other.bins;
        } else {
            self.bins.iter_mut().zip(other.bins).for_each(|(a, b)| *a += b);
        }
        for (order, area) in other.classes {
            *self.classes.entry(order).or_default() += area;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_any_size_have_the_sum_and_deviation_of_the_whole() {
        let values: Vec<f64> = (0..1000).map(|i| 1e6 + f64::from(i % 37) * 0.125).collect();
        let mut whole = Tally::default();
        whole.add_values(&values, 1.0, 1.0, None);
        for size in [1, 3, 500] {
            let mut parts = Tally::default();
            for part in values.chunks(size) {
                let mut tally = Tally::default();
                tally.add_values(part, 1.0, 1.0, None);
                parts.merge(tally);
            }
            assert_eq!((parts.sum.total(), parts.min, parts.max, parts.area), (whole.sum.total(), 1e6, 1e6 + 4.5, 1000.0));
            assert!((parts.moments.m2 / whole.moments.m2 - 1.0).abs() < 1e-9, "{size}");
        }
    }

    #[test]
    fn infinities_stay_what_they_are() {
        let mut tally = Tally::default();
        tally.add_values(&[1.0, f64::INFINITY], 1.0, 1.0, None);
        tally.add_values(&[2.0], 1.0, 1.0, None);
        assert_eq!((tally.sum.total(), tally.max), (f64::INFINITY, f64::INFINITY));
    }

    #[test]
    fn classes_are_in_the_order_of_their_values() {
        let mut tally = Tally::default();
        for value in [3.0, -0.0, -2.5, 0.0, f64::NEG_INFINITY] {
            tally.class(value, 1.0);
        }
        let classes: Vec<_> = tally.classes().collect();
        assert_eq!(classes, [(f64::NEG_INFINITY, 1.0), (-2.5, 1.0), (0.0, 2.0), (3.0, 1.0)]);
    }
}
