//! Sums and means of doubles that do not overflow on the way.

/// Values from here on are summed up apart, times [`SCALE`], so that no sum of finite values leaves
/// the doubles before it is told.
const HUGE: f64 = 6.668_014_432_879_854e240; // 2^800
const SCALE: f64 = 3.872_591_914_849_318_3e-121; // 2^-400

/// A sum of doubles with the rounding errors of its additions (A. Neumaier, 1974), so that it does
/// not matter how many partial sums it is made of, nor whether these lie beyond the doubles.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sum {
    plain: Compensated,
    huge: Compensated,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Compensated {
    high: f64,
    low: f64,
}

impl Compensated {
    fn add(&mut self, value: f64) {
        let sum = self.high + value;
        self.low += if self.high.abs() >= value.abs() {
            (self.high - sum) + value
        } else {
            (value - sum) + self.high
        };
        self.high = sum;
    }

    fn total(self) -> f64 {
        // Of infinities, the errors are no numbers.
        if self.high.is_finite() {
            self.high + self.low
        } else {
            self.high
        }
    }
}

impl Sum {
    pub(crate) fn add(&mut self, value: f64) {
        self.add_product(value, 1.0);
    }

    /// Adds a value times a weight of at most 2^120.
    pub(crate) fn add_product(&mut self, value: f64, weight: f64) {
        if value.abs() < HUGE {
            self.plain.add(value * weight);
        } else {
            self.huge.add(value * SCALE * weight);
        }
    }

    /// Adds another sum times a weight, a power of two of at most 2^120.
    pub(crate) fn merge(&mut self, other: &Self, weight: f64) {
        for (to, from) in [(&mut self.plain, other.plain), (&mut self.huge, other.huge)] {
            to.add(from.high * weight);
            to.low += from.low * weight;
        }
    }

    /// A value times a weight.
    pub(crate) fn of(value: f64, weight: f64) -> Self {
        let mut sum = Self::default();
        sum.add_product(value, weight);
        sum
    }

    /// The sum; an infinity if it lies beyond the doubles.
    pub(crate) fn total(self) -> f64 {
        if self.huge == Compensated::default() {
            self.plain.total()
        } else {
            self.scaled() / SCALE
        }
    }

    /// The sum divided by a weight above 0, which need not lie beyond the doubles where the sum
    /// does.
    pub(crate) fn over(self, weight: f64) -> f64 {
        if self.huge == Compensated::default() {
            self.plain.total() / weight
        } else {
            self.scaled() / weight / SCALE
        }
    }

    fn scaled(self) -> f64 {
        let mut both = self.huge;
        both.add(self.plain.high * SCALE);
        both.low += self.plain.low * SCALE;
        both.total()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> Sum {
        let mut sum = Sum::default();
        values.iter().for_each(|value| sum.add(*value));
        sum
    }

    #[test]
    fn the_scale_is_a_power_of_two_and_huge_values_stay_exact() {
        assert_eq!((HUGE, SCALE), (2.0_f64.powi(800), 2.0_f64.powi(-400)));
        for value in [f64::MAX, -f64::MAX, HUGE, f64::MIN_POSITIVE, 5e-324, 0.1] {
            assert_eq!(
                (sum(&[value]).total(), sum(&[value; 7]).over(7.0)),
                (value, value)
            );
        }
    }

    #[test]
    fn means_of_finite_values_are_finite_and_sums_that_come_back_are_right() {
        assert_eq!(sum(&[1.5e308; 8]).total(), f64::INFINITY);
        assert_eq!(sum(&[1.5e308; 8]).over(8.0), 1.5e308);
        assert_eq!(
            sum(&[1.5e308, 1.5e308, -1.5e308, -1.5e308, 3.0]).total(),
            3.0
        );
        assert_eq!(sum(&[f64::MAX, 1.0, -f64::MAX]).over(3.0), 1.0 / 3.0);
        assert_eq!(sum(&[f64::INFINITY, 1.0]).total(), f64::INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).total().is_nan());
        assert_eq!(sum(&[1e100, 1.0, -1e100]).total(), 1.0);
    }

    #[test]
    fn parts_are_as_good_as_the_whole() {
        let values: Vec<f64> = (0..1000)
            .map(|i| {
                if i % 3 == 0 {
                    1e300
                } else {
                    -0.1 * f64::from(i)
                }
            })
            .collect();
        let mut parts = Sum::default();
        values
            .chunks(7)
            .for_each(|part| parts.merge(&sum(part), 4.0));
        assert_eq!(parts.total(), sum(&values).total() * 4.0);
    }
}
