//! One value, exactly, whatever the type it came from.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A number, exactly: a double where it is one, else a whole number. Integers of 64 bits beyond
/// 2^53 are not all doubles.
///
/// Numbers are compared by their value, and NaN with nothing. Shown in as few digits as tell one
/// from others; what is read may be a whole number of any length up to 128 bits, or any double.
#[derive(Clone, Copy, Debug)]
pub struct Number(NumberKind);

#[derive(Clone, Copy, Debug)]
enum NumberKind {
    Double(f64),
    /// A whole number that no double is.
    Whole(i128),
}

impl Number {
    /// The nearest double.
    pub fn to_f64(self) -> f64 {
        match self.0 {
            NumberKind::Double(value) => value,
            NumberKind::Whole(value) => value as f64,
        }
    }

    /// The whole number that it is, if it is one of at most 127 bits.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole, and within the integers"
    )]
    pub fn whole(self) -> Option<i128> {
        match self.0 {
            NumberKind::Whole(value) => Some(value),
            NumberKind::Double(value) => {
                (value.fract() == 0.0 && value.abs() < 126.0_f64.exp2()).then_some(value as i128)
            }
        }
    }

    /// The greatest double that is not above it.
    pub fn below(self) -> f64 {
        let nearest = self.to_f64();
        if Self::from(nearest) > self {
            nearest.next_down()
        } else {
            nearest
        }
    }

    /// The least double that is not below it.
    pub fn above(self) -> f64 {
        let nearest = self.to_f64();
        if Self::from(nearest) < self {
            nearest.next_up()
        } else {
            nearest
        }
    }

    /// Whether it is not a number.
    pub fn is_nan(self) -> bool {
        self.to_f64().is_nan()
    }

    /// Whether it is neither infinite nor NaN.
    pub fn is_finite(self) -> bool {
        self.to_f64().is_finite()
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self(NumberKind::Double(value))
    }
}

impl From<&f64> for Number {
    fn from(value: &f64) -> Self {
        Self::from(*value)
    }
}

impl From<i128> for Number {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "`as` saturates, and what it saturates to is no double's value"
    )]
    fn from(value: i128) -> Self {
        let double = value as f64;
        if double as i128 == value && value != i128::MAX {
            Self(NumberKind::Double(double))
        } else {
            Self(NumberKind::Whole(value))
        }
    }
}

macro_rules! from {
    ($($type:ty => $wide:ty),*) => {
        $(impl From<$type> for Number {
            fn from(value: $type) -> Self {
                Self::from(<$wide>::from(value))
            }
        })*
    };
}
from!(f32 => f64, i8 => f64, u8 => f64, i16 => f64, u16 => f64, i32 => f64, u32 => f64, i64 => i128, u64 => i128);

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.partial_cmp(other) == Some(Ordering::Equal)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self.0, other.0) {
            (NumberKind::Double(a), NumberKind::Double(b)) => a.partial_cmp(&b),
            (NumberKind::Whole(a), NumberKind::Whole(b)) => Some(a.cmp(&b)),
            (NumberKind::Whole(a), NumberKind::Double(b)) => against(a, b),
            (NumberKind::Double(a), NumberKind::Whole(b)) => against(b, a).map(Ordering::reverse),
        }
    }
}

/// A whole number against a double.
#[expect(
    clippy::cast_possible_truncation,
    reason = "within the integers, where `as` cuts the fraction off"
)]
fn against(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    if double.abs() >= 127.0_f64.exp2() {
        return Some(if double > 0.0 {
            Ordering::Less
        } else {
            Ordering::Greater
        });
    }
    // Doubles of that size are whole; a fraction only tells where the whole parts are equal.
    Some(
        whole
            .cmp(&(double as i128))
            .then(0.0_f64.total_cmp(&(double.fract() + 0.0))),
    )
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            NumberKind::Double(value) => fmt::Display::fmt(&value, f),
            NumberKind::Whole(value) => fmt::Display::fmt(&value, f),
        }
    }
}

impl FromStr for Number {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        match (text.parse::<i128>(), text.parse::<f64>()) {
            (Ok(whole), _) => Ok(whole.into()),
            (_, Ok(double)) => Ok(double.into()),
            _ => Err(Error::invalid(format!("`{text}` is not a number"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: i128 = 9_223_372_049_200_455_096;

    #[test]
    fn whole_numbers_that_differ_by_one_differ() {
        let (a, b) = (Number::from(ID), Number::from(ID + 1));
        assert!(a < b && a != b && a.to_f64() == b.to_f64());
        assert_eq!(
            [
                a.to_string(),
                "9223372049200455097"
                    .parse::<Number>()
                    .expect("a number")
                    .to_string()
            ],
            [ID.to_string(), (ID + 1).to_string()]
        );
        assert_eq!(
            (
                Number::from(u64::MAX).whole(),
                Number::from(i64::MIN).whole()
            ),
            (Some(u64::MAX.into()), Some(i64::MIN.into()))
        );
        assert!(Number::from(u64::MAX) < Number::from(64.0_f64.exp2()));
        assert_eq!(Number::from(1_i64 << 60), Number::from(60.0_f64.exp2()));
        assert!(
            Number::from(i128::MAX) < Number::from(f64::INFINITY)
                && Number::from(i128::MIN) > Number::from(f64::NEG_INFINITY)
        );
        assert_eq!(Number::from(f64::NAN).partial_cmp(&Number::from(ID)), None);
        assert_eq!(
            (a.below(), a.above()),
            (9_223_372_049_200_453_632.0, 9_223_372_049_200_455_680.0)
        );
        assert_eq!(
            (Number::from(2.5).whole(), Number::from(-0.0).whole()),
            (None, Some(0))
        );
        for text in ["", "ten", "1,5", "0x10"] {
            text.parse::<Number>().expect_err(text);
        }
    }

    proptest! {
        #[test]
        fn order_is_that_of_the_values(a in any::<i64>(), b in any::<i64>(), near in -3..=3_i64) {
            let near = a.saturating_add(near);
            for b in [b, near] {
                prop_assert_eq!(Number::from(a).partial_cmp(&Number::from(b)), Some(a.cmp(&b)));
            }
            let (double, whole) = (near as f64, i128::from(a));
            #[expect(clippy::cast_possible_truncation, reason = "it came from 64 bits")]
            let wanted = whole.cmp(&(double as i128));
            prop_assert_eq!(Number::from(a).partial_cmp(&Number::from(double)), Some(wanted));
            prop_assert_eq!(Number::from(a).whole(), Some(whole));
        }
    }
}
