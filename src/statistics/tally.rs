//! Sums over cells that compose: what is known for certain of a region.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::query::Bins;
use crate::array::{Cell, Number};
use crate::kernel::Sum;

/// Area, mean, and standard deviation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct TallyMoments {
    pub(super) area: f64,
    /// The double nearest to the mean, and what the mean is beyond it: integers beyond 2^53 differ
    /// by less than doubles do.
    pub(super) mean: f64,
    pub(super) rest: f64,
    pub(super) std: f64,
}

/// The double nearest to a sum, and what the sum is beyond it (D. Knuth, 1969).
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let of_b = sum - a;
    let rest = (a - (sum - of_b)) + (b - of_b);
    (sum, if rest.is_finite() { rest } else { 0.0 })
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
        let half = (other.mean / 2.0 - self.mean / 2.0) + (other.rest / 2.0 - self.rest / 2.0);
        let between = half * (2.0 * (mine * theirs).sqrt());
        let within = (self.std * mine.sqrt()).hypot(other.std * theirs.sqrt());
        // Of infinities there is no deviation.
        self.std = if within.is_finite() && between.is_finite() {
            within.hypot(between)
        } else {
            f64::NAN
        };
        let apart = (other.mean - self.mean) + (other.rest - self.rest);
        (self.mean, self.rest) = if apart.is_finite() {
            two_sum(self.mean, self.rest + apart * theirs)
        } else {
            (self.mean * mine + other.mean * theirs, 0.0)
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
            rest: 0.0,
            std,
        }
    }

    /// Those of an area of one value.
    pub(super) fn alike(area: f64, value: Number) -> Self {
        let of_none = Self {
            area,
            ..Self::default()
        };
        match value.whole() {
            Some(whole) => of_none.beyond(whole),
            None => Self {
                mean: value.to_f64(),
                ..of_none
            },
        }
    }

    /// Those of the values that are as far beyond a whole number.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the double nearest to a whole number of 64 bits"
    )]
    fn beyond(self, pivot: i128) -> Self {
        let nearest = pivot as f64;
        let rest = (pivot - nearest as i128) as f64;
        let (mean, rest) = two_sum(nearest, rest + self.mean);
        Self { mean, rest, ..self }
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

/// Base cells that are counted in one slot.
#[derive(Clone, Debug)]
pub(super) struct SlotCells {
    values: Vec<f64>,
    /// Of integers of 64 bits the first of them, and how far each is beyond it.
    apart: Option<(i128, Vec<f64>)>,
    /// Their sum, of integers.
    pub(super) whole: Option<i128>,
    range: Range,
    /// The same, exactly, where bins or classes are wanted.
    pub(super) counted: Vec<Number>,
}

impl Default for SlotCells {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            apart: None,
            whole: Some(0),
            range: no_range(),
            counted: Vec::new(),
        }
    }
}

impl SlotCells {
    pub(super) fn add<T: Cell>(&mut self, value: T, counted: bool) {
        let number = value.number();
        self.values.push(number.to_f64());
        self.range = joined(self.range, (number, number));
        let whole = number.whole().filter(|_| !T::DTYPE.is_float());
        self.whole = self
            .whole
            .zip(whole)
            .and_then(|(sum, value)| sum.checked_add(value));
        if let Some(value) = whole.filter(|_| T::DTYPE.size() == 8) {
            let (pivot, apart) = self.apart.get_or_insert((value, Vec::new()));
            apart.push((value - *pivot) as f64);
        }
        if counted {
            self.counted.push(number);
        }
    }

    fn moments(&self, mean: f64, full: f64) -> TallyMoments {
        let Some((pivot, apart)) = &self.apart else {
            return TallyMoments::of(&self.values, mean, full);
        };
        let mut sum = Sum::default();
        apart.iter().for_each(|value| sum.add(*value));
        TallyMoments::of(apart, sum.over(apart.len() as f64), full).beyond(*pivot)
    }
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

    /// Adds base cells, each of the area `full`, of which `scale` times the value is summed.
    pub(super) fn add_cells(
        &mut self,
        cells: &SlotCells,
        full: f64,
        scale: f64,
        whole: Option<i128>,
    ) {
        if cells.values.is_empty() {
            return;
        }
        let mut sum = Sum::default();
        cells.values.iter().for_each(|value| sum.add(*value));
        let count = cells.values.len() as f64;
        self.area += count * full;
        self.sum.merge(&sum, scale);
        self.add_whole(whole);
        self.range = joined(self.range, cells.range);
        self.moments.add(cells.moments(sum.over(count), full));
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

    fn of<T: Cell>(values: &[T]) -> SlotTally {
        let (mut cells, mut tally) = (SlotCells::default(), SlotTally::default());
        values.iter().for_each(|value| cells.add(*value, false));
        tally.add_cells(&cells, 1.0, 1.0, None);
        tally
    }

    /// The deviation of whole numbers, by whole numbers.
    fn deviation(values: &[i128]) -> f64 {
        let (n, pivot) = (i128::try_from(values.len()).expect("few"), values[0]);
        let apart = || values.iter().map(|value| value - pivot);
        let (sum, squares) = (apart().sum::<i128>(), apart().map(|v| v * v).sum::<i128>());
        ((n * squares - sum * sum) as f64).sqrt() / n as f64
    }

    #[test]
    fn whole_numbers_that_are_no_doubles_deviate_by_what_they_differ() {
        for pivot in [
            0,
            1 << 52,
            (1 << 53) + 1,
            1 << 60,
            i64::MAX - 1000,
            i64::MIN,
        ] {
            for spread in [1, 7, 1000] {
                let of_seed = |i: i64| pivot + (i * i * 37 + i * 11) % spread.min(1000);
                let values: Vec<i64> = (0..240).map(of_seed).collect();
                let whole: Vec<i128> = values.iter().map(|v| (*v).into()).collect();
                let want = deviation(&whole);
                for size in [1, 3, 16, 240] {
                    let mut parts = SlotTally::default();
                    values.chunks(size).for_each(|part| parts.merge(of(part)));
                    let got = parts.moments.std;
                    assert!(
                        (got - want).abs() <= 1e-9 * want,
                        "{pivot} {spread} {size}: {got}, not {want}"
                    );
                }
            }
        }
        let few = of(&[0_u64, 1, 6, 7].map(|v| v + (1 << 63)));
        assert!((few.moments.std - 9.25_f64.sqrt()).abs() < 1e-12);
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
