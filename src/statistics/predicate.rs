//! Conditions on values.

use std::fmt;
use std::str::FromStr;

use crate::array::Number;
use crate::error::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    AtLeast,
    Greater,
    Equal,
    NotEqual,
}

/// Operators by their names, the longer ones first.
const OPS: [(&str, Comparison); 7] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
    ("=", Comparison::Equal),
];

/// What a condition makes of all the values between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    None,
    Some,
    All,
}

/// A condition on the values of cells: comparisons, all of which must hold. NaN and the nodata
/// value are no values.
///
/// As text, comparisons joined by `and`: `>= 10`, `< 0`, `== 3`, `!= 3`, `>= 10 and < 20`; or a
/// range, `10..20` without its end and `10..=20` with it. Values are compared exactly, integers of
/// 64 bits too.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicate {
    conditions: Vec<(Comparison, Number)>,
}

impl Predicate {
    /// Values of at least `value`.
    pub fn at_least<N: Into<Number>>(value: N) -> Self {
        Self {
            conditions: vec![(Comparison::AtLeast, value.into())],
        }
    }

    /// Values of at most `value`.
    pub fn at_most<N: Into<Number>>(value: N) -> Self {
        Self {
            conditions: vec![(Comparison::AtMost, value.into())],
        }
    }

    /// Values above `value`.
    pub fn above<N: Into<Number>>(value: N) -> Self {
        Self {
            conditions: vec![(Comparison::Greater, value.into())],
        }
    }

    /// Values below `value`.
    pub fn below<N: Into<Number>>(value: N) -> Self {
        Self {
            conditions: vec![(Comparison::Less, value.into())],
        }
    }

    /// This value.
    pub fn equals<N: Into<Number>>(value: N) -> Self {
        Self {
            conditions: vec![(Comparison::Equal, value.into())],
        }
    }

    /// Any value but this.
    pub fn differs<N: Into<Number>>(value: N) -> Self {
        Self {
            conditions: vec![(Comparison::NotEqual, value.into())],
        }
    }

    /// Values for which both hold.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.conditions.extend(other.conditions);
        self
    }

    /// Whether it holds for a value.
    pub fn holds<N: Into<Number>>(&self, value: N) -> bool {
        let value = value.into();
        self.conditions.iter().all(|(op, bound)| match op {
            Comparison::Less => value < *bound,
            Comparison::AtMost => value <= *bound,
            Comparison::AtLeast => value >= *bound,
            Comparison::Greater => value > *bound,
            Comparison::Equal => value == *bound,
            Comparison::NotEqual => value != *bound,
        })
    }

    pub(super) fn check(&self) -> Result<()> {
        match self.conditions.iter().find(|(_, bound)| bound.is_nan()) {
            Some(_) => Err(Error::invalid("a value cannot be compared with NaN")),
            None => Ok(()),
        }
    }

    /// For how many of the values between two it holds. The ends are values that there are.
    pub(super) fn verdict(&self, min: Number, max: Number) -> Verdict {
        let of = |(op, bound): &(Comparison, Number)| {
            let (all, none) = match op {
                Comparison::Less => (max < *bound, min >= *bound),
                Comparison::AtMost => (max <= *bound, min > *bound),
                Comparison::AtLeast => (min >= *bound, max < *bound),
                Comparison::Greater => (min > *bound, max <= *bound),
                Comparison::Equal => (min == *bound && max == *bound, max < *bound || min > *bound),
                Comparison::NotEqual => {
                    (max < *bound || min > *bound, min == *bound && max == *bound)
                }
            };
            match (all, none) {
                (true, _) => Verdict::All,
                (_, true) => Verdict::None,
                _ => Verdict::Some,
            }
        };
        let verdicts = || self.conditions.iter().map(of);
        if verdicts().any(|verdict| verdict == Verdict::None) {
            Verdict::None
        } else if verdicts().all(|verdict| verdict == Verdict::All) {
            Verdict::All
        } else {
            Verdict::Some
        }
    }

    /// Doubles between which all values lie for which it can hold.
    pub(super) fn hull(&self) -> (f64, f64) {
        self.conditions.iter().fold(
            (f64::NEG_INFINITY, f64::INFINITY),
            |(low, high), &(op, bound)| match op {
                Comparison::Less | Comparison::AtMost => (low, high.min(bound.above())),
                Comparison::AtLeast | Comparison::Greater => (low.max(bound.below()), high),
                Comparison::Equal => (low.max(bound.below()), high.min(bound.above())),
                Comparison::NotEqual => (low, high),
            },
        )
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (op, bound)) in self.conditions.iter().enumerate() {
            let name = OPS
                .iter()
                .find(|(_, known)| known == op)
                .map_or("", |(name, _)| name);
            write!(f, "{}{name} {bound}", if i > 0 { " and " } else { "" })?;
        }
        Ok(())
    }
}

impl FromStr for Predicate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parsed = text
            .split(" and ")
            .map(|part| condition(part.trim()))
            .collect::<Option<Vec<Vec<_>>>>();
        let conditions = parsed.ok_or_else(|| {
            Error::invalid(format!(
                "`{text}` is no condition; give comparisons like `>= 10`, `< 0`, `== 3`, `!= 3`, `>= 10 and < 20`, or a range like 10..20"
            ))
        })?;
        Ok(Self {
            conditions: conditions.concat(),
        })
    }
}

fn condition(text: &str) -> Option<Vec<(Comparison, Number)>> {
    let number = |text: &str| {
        text.parse::<Number>()
            .ok()
            .filter(|number| !number.is_nan())
    };
    if let Some((op, rest)) = OPS
        .iter()
        .find_map(|(name, op)| Some((*op, text.strip_prefix(name)?)))
    {
        return Some(vec![(op, number(rest)?)]);
    }
    let (low, high) = text.split_once("..")?;
    let (end, high) = high
        .strip_prefix('=')
        .map_or((Comparison::Less, high), |high| (Comparison::AtMost, high));
    Some(vec![
        (Comparison::AtLeast, number(low)?),
        (end, number(high)?),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_constructors_say_the_same() {
        let of = |text: &str| text.parse::<Predicate>().expect("a condition");
        assert_eq!(of(">= 10"), Predicate::at_least(10.0));
        assert_eq!(
            of("<0 and != -5"),
            Predicate::below(0.0).and(Predicate::differs(-5.0))
        );
        assert_eq!(
            of("10..20"),
            Predicate::at_least(10.0).and(Predicate::below(20.0))
        );
        assert_eq!(
            of("-1..=1e3"),
            Predicate::at_least(-1.0).and(Predicate::at_most(1000.0))
        );
        assert_eq!(
            (of("= 3"), of("> 3")),
            (Predicate::equals(3.0), Predicate::above(3.0))
        );
        for text in [">= 10", "< 0 and != -5", "== 3", "<= 2.5 and > 1"] {
            assert_eq!(of(text).to_string(), text);
        }
        for text in [
            "", "10", ">=", ">= ten", "== nan", ">= 1 and", "=> 1", "1..", "and",
        ] {
            assert!(
                text.parse::<Predicate>()
                    .expect_err("it is none")
                    .to_string()
                    .contains("is no condition"),
                "{text}"
            );
        }
    }

    #[test]
    fn whole_numbers_beyond_the_doubles_are_told_apart() {
        let id = 9_223_372_049_200_455_096_u64;
        let of = |text: &str| text.parse::<Predicate>().expect("a condition");
        let equal = of("== 9223372049200455096");
        assert_eq!(
            [id - 1, id, id + 1].map(|value| equal.holds(value)),
            [false, true, false]
        );
        assert_eq!(
            [id - 1, id, id + 1].map(|value| of(">= 9223372049200455096").holds(value)),
            [false, true, true]
        );
        assert_eq!(
            (equal.clone(), equal.to_string()),
            (Predicate::equals(id), "== 9223372049200455096".to_owned())
        );
        assert_eq!(equal.verdict(id.into(), id.into()), Verdict::All);
        assert_eq!(
            equal.verdict((id - 1).into(), (id + 1).into()),
            Verdict::Some
        );
        assert_eq!(
            equal.verdict((id + 1).into(), (id + 9).into()),
            Verdict::None
        );
        assert!(
            of("!= -9223372036854775807").holds(i64::MIN)
                && !of("!= -9223372036854775807").holds(i64::MIN + 1)
        );
        let (low, high) = equal.hull();
        assert!(low < high && (low..=high).contains(&(id as f64)));
    }

    #[test]
    fn a_verdict_on_a_range_agrees_with_every_value_in_it() {
        let texts = [
            "< 2",
            "<= 2",
            "> 2",
            ">= 2",
            "== 2",
            "!= 2",
            "1..3",
            "1..=3",
            "> 1 and < 1",
            "!= 1 and != 2",
        ];
        for predicate in texts.map(|text| text.parse::<Predicate>().expect("a condition")) {
            for min in 0..5 {
                for max in min..5 {
                    let held: Vec<bool> = (min..=max)
                        .map(|value| predicate.holds(f64::from(value)))
                        .collect();
                    match predicate.verdict(min.into(), max.into()) {
                        Verdict::All => assert!(
                            held.iter().all(|held| *held),
                            "{predicate} over {min}..={max}"
                        ),
                        Verdict::None => {
                            assert!(!held.contains(&true), "{predicate} over {min}..={max}")
                        }
                        Verdict::Some => assert!(max > min, "{predicate} is decided by one value"),
                    }
                    let (low, high) = predicate.hull();
                    assert!(
                        (min..=max)
                            .map(f64::from)
                            .all(|value| !predicate.holds(value) || (low..=high).contains(&value))
                    );
                }
            }
        }
    }
}
