//! Steps of a calendar: hours, days and weeks, which have one length, and months, seasons and
//! years, which have not.

use std::fmt;
use std::str::FromStr;

use super::{DAY, Tick, TimeUnit, Timestamp};
use crate::error::{Error, Result};

/// A step along a time axis. Each one begins where the one before ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeStep {
    /// Of one length; one begins so many nanoseconds after midnight of 1970-01-01 of its calendar.
    /// Weeks begin on Mondays.
    Fixed {
        /// The length, above 0.
        nanoseconds: i128,
        /// Where one begins.
        from: i128,
    },
    /// Of so many whole months, the first of which begins with a month of 1970: seasons begin with
    /// December, March, June and September.
    Months {
        /// How many, above 0.
        count: u32,
        /// The month with which one begins, 1 to 12.
        first: u32,
    },
}

/// The most edges that are made at once.
const EDGES_MAX: usize = 1 << 22;

impl TimeStep {
    /// The beginning of the step that holds an instant; `None` if that is out of range.
    pub fn start(self, at: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Fixed { nanoseconds, from } => {
                // Weeks are of real days, whatever these are called.
                let own = Timestamp::from_date(at.calendar(), (1970, 1, 1));
                let epoch = own.filter(|_| from == 0).map_or(0, Timestamp::nanoseconds);
                at.after(-(at.nanoseconds() - epoch - from).rem_euclid(nanoseconds))
            }
            Self::Months { count, first } => {
                let (year, month) = year_and_month(at);
                let from = 1970 * 12 + i64::from(first) - 1;
                month_start(
                    at,
                    (year * 12 + month - 1 - from).div_euclid(count.into()) * i64::from(count)
                        + from,
                )
            }
        }
    }

    /// The beginning of the step behind the one that begins at an instant.
    pub fn next(self, start: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Fixed { nanoseconds, .. } => start.after(nanoseconds),
            Self::Months { count, .. } => {
                let (year, month) = year_and_month(start);
                month_start(start, year * 12 + month - 1 + i64::from(count))
            }
        }
    }

    /// How long it is at least, in nanoseconds.
    pub fn least(self) -> i128 {
        match self {
            Self::Fixed { nanoseconds, .. } => nanoseconds,
            Self::Months { count, .. } => i128::from(count) * 28 * DAY,
        }
    }
}

/// The year of an instant, on a line that has a year 0, and its month.
fn year_and_month(at: Timestamp) -> (i64, i64) {
    let (year, month, _) = at.date();
    (
        if year < 0 && !at.calendar().has_year_0() {
            year + 1
        } else {
            year
        },
        month,
    )
}

/// The midnight at which a month begins, by its number from January of the year 0 on, in the
/// calendar of an instant.
fn month_start(at: Timestamp, month: i64) -> Option<Timestamp> {
    let (calendar, year) = (at.calendar(), month.div_euclid(12));
    let written = if year <= 0 && !calendar.has_year_0() {
        year - 1
    } else {
        year
    };
    Timestamp::from_date(calendar, (written, month.rem_euclid(12) + 1, 1))
}

impl FromStr for TimeStep {
    type Err = Error;

    /// A number and a unit: `6h`, `1d`, `1w`, `1mo`, `1season`, `1y`; without a number, one.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let at = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = (&text[..at], text[at..].trim().to_ascii_lowercase());
        let number = if number.is_empty() {
            Some(1)
        } else {
            number.parse::<u32>().ok()
        };
        let strange = || {
            Error::invalid(format!(
                "`{text}` is no step of time like 6h, 1d, 1w, 1mo, 1season or 1y"
            ))
        };
        let number = number.filter(|number| *number > 0).ok_or_else(strange)?;
        let months = |each: u32, first: u32| {
            Some(Self::Months {
                count: number.checked_mul(each)?,
                first,
            })
        };
        let step = match unit.as_str() {
            "mo" | "mon" | "month" | "months" => months(1, 1),
            "q" | "quarter" | "quarters" => months(3, 1),
            "season" | "seasons" => months(3, 12),
            "y" | "yr" | "year" | "years" => months(12, 1),
            "w" | "week" | "weeks" => Some(Self::Fixed {
                nanoseconds: i128::from(number) * 7 * DAY,
                from: 4 * DAY,
            }),
            "" => None,
            unit => unit.parse::<Tick>().ok().map(|tick| Self::Fixed {
                nanoseconds: i128::from(number) * tick.nanoseconds(),
                from: 0,
            }),
        };
        step.ok_or_else(strange)
    }
}

impl fmt::Display for TimeStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Months { count, first: 12 } if count % 3 == 0 => {
                write!(f, "{} season", count / 3)
            }
            Self::Months { count, .. } if count % 12 == 0 => write!(f, "{} y", count / 12),
            Self::Months { count, .. } => write!(f, "{count} mo"),
            Self::Fixed { nanoseconds, .. } => {
                let tick = Tick::ALL
                    .into_iter()
                    .find(|tick| nanoseconds % tick.nanoseconds() == 0)
                    .unwrap_or(Tick::Nanosecond);
                write!(f, "{} {tick}", nanoseconds / tick.nanoseconds())
            }
        }
    }
}

impl TimeUnit {
    /// Where the steps begin in which numbers from `from` to before `to` lie, and where the last of
    /// them ends, in numbers.
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if these are no instants, or too many steps lie
    /// between them.
    pub fn edges(&self, step: TimeStep, from: f64, to: f64) -> Result<Vec<f64>> {
        let far = || {
            Error::invalid(format!(
                "steps of {step} from {from} to {to} {self} are out of range"
            ))
        };
        let (first, end) = self.instant(from).zip(self.instant(to)).ok_or_else(far)?;
        let mut edges = vec![step.start(first).ok_or_else(far)?];
        loop {
            let next = step.next(edges[edges.len() - 1]).ok_or_else(far)?;
            edges.push(next);
            if next >= end {
                return Ok(edges.into_iter().map(|edge| self.value(edge)).collect());
            }
            if edges.len() > EDGES_MAX {
                return Err(Error::invalid(format!(
                    "there are more than {EDGES_MAX} steps of {step} there; ask for longer ones"
                )));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(step: &str, from: &str, to: &str) -> Vec<String> {
        let unit: TimeUnit = "hours since 2000-01-01".parse().expect("units");
        let at = |text: &str| unit.value(text.parse().expect("a time"));
        let edges = unit
            .edges(step.parse().expect("a step"), at(from), at(to))
            .expect("in range");
        edges
            .into_iter()
            .map(|edge| unit.instant(edge).expect("in range").to_string()[..13].to_owned())
            .collect()
    }

    #[test]
    fn steps_of_days_are_counted_from_1970_of_their_own_calendar() {
        let first = |calendar: &str, day: (i64, i64, i64)| {
            let calendar: super::super::Calendar = calendar.parse().expect("a calendar");
            let at = Timestamp::from_date(calendar, day).expect("a date");
            let step: TimeStep = "5d".parse().expect("a step");
            step.start(at).expect("in range").to_string()[..10].to_owned()
        };
        for calendar in ["julian", "standard", "noleap", "360_day"] {
            assert_eq!(first(calendar, (1970, 1, 10)), "1970-01-06", "{calendar}");
        }
        let monday = Timestamp::from_date(super::super::Calendar::Julian, (1970, 1, 1));
        let week: TimeStep = "1w".parse().expect("a step");
        let start = week.start(monday.expect("a date")).expect("in range");
        assert_eq!(start.nanoseconds().rem_euclid(7 * DAY), 4 * DAY, "a Monday");
    }

    #[test]
    fn days_begin_at_midnight_months_at_the_first_seasons_with_december_and_weeks_on_mondays() {
        assert_eq!(
            edges("1d", "2020-01-01T06:00", "2020-01-03T00:00"),
            ["2020-01-01T00", "2020-01-02T00", "2020-01-03T00"]
        );
        assert_eq!(
            edges("6h", "2020-01-01T07:00", "2020-01-01T12:01"),
            ["2020-01-01T06", "2020-01-01T12", "2020-01-01T18"]
        );
        assert_eq!(
            edges("1mo", "2020-01-21", "2020-03-20"),
            [
                "2020-01-01T00",
                "2020-02-01T00",
                "2020-03-01T00",
                "2020-04-01T00"
            ]
        );
        assert_eq!(
            edges("season", "2020-01-21", "2020-03-20"),
            ["2019-12-01T00", "2020-03-01T00", "2020-06-01T00"]
        );
        assert_eq!(
            edges("2 years", "1969-05-01", "1970-05-01"),
            ["1968-01-01T00", "1970-01-01T00", "1972-01-01T00"]
        );
        assert_eq!(
            edges("1w", "2024-02-28", "2024-02-29"),
            ["2024-02-26T00", "2024-03-04T00"],
            "a Wednesday"
        );
        assert_eq!(
            edges("quarter", "2020-05-05", "2020-05-06"),
            ["2020-04-01T00", "2020-07-01T00"]
        );
        for text in ["", "5", "0d", "1fortnight", "-1d", "1.5d", "5000000000mo"] {
            assert!(
                text.parse::<TimeStep>()
                    .expect_err(text)
                    .to_string()
                    .contains("no step of time"),
                "{text}"
            );
        }
        let shown = ["1d", "36h", "1mo", "1season", "24mo", "1w"]
            .map(|text| text.parse::<TimeStep>().expect(text).to_string());
        assert_eq!(
            shown,
            ["1 days", "36 hours", "1 mo", "1 season", "2 y", "7 days"]
        );
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        let lengths = |calendar: &str, since: &str, to: f64| -> Vec<f64> {
            let unit = TimeUnit::parse(&format!("days since {since}"), calendar).expect("units");
            let edges = unit
                .edges("1mo".parse().expect("a step"), 0.0, to)
                .expect("in range");
            edges.windows(2).map(|pair| pair[1] - pair[0]).collect()
        };
        assert_eq!(lengths("360_day", "2020-01-01", 90.0), [30.0, 30.0, 30.0]);
        assert_eq!(lengths("noleap", "2020-02-01", 59.0), [28.0, 31.0]);
        assert_eq!(lengths("all_leap", "2021-02-01", 60.0), [29.0, 31.0]);
        assert_eq!(lengths("julian", "1900-02-01", 60.0), [29.0, 31.0]);
        assert_eq!(
            lengths("standard", "1582-10-01", 40.0),
            [21.0, 30.0],
            "ten days were left out"
        );
        assert_eq!(
            lengths("standard", "-0001-12-01", 62.0),
            [31.0, 31.0],
            "there is no year 0"
        );
        assert_eq!(
            lengths("proleptic_gregorian", "2020-02-01", 60.0),
            [29.0, 31.0]
        );
    }

    #[test]
    fn what_has_no_end_is_refused() {
        let unit: TimeUnit = "seconds since 2000-01-01".parse().expect("units");
        let step = |text: &str| text.parse::<TimeStep>().expect("a step");
        assert!(
            unit.edges(step("1ns"), 0.0, 1.0)
                .expect_err("many")
                .to_string()
                .contains("more than")
        );
        for (from, to) in [(f64::NAN, 1.0), (0.0, 1e18)] {
            assert_eq!(
                unit.edges(step("1y"), from, to)
                    .map_err(|e| e.kind().clone()),
                Err(crate::ErrorKind::Invalid)
            );
        }
    }
}
