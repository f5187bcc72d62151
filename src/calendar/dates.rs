//! Calendars: which dates there are, and how days are counted.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Which dates there are, and how they follow each other: the calendars of the CF conventions.
///
/// The first three are ways to write one and the same days. The others are those of climate models,
/// whose days are no days of the real world: times in them are never taken for times in another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Calendar {
    /// `proleptic_gregorian`: the dates of ISO 8601, also before 1582. There is a year 0.
    #[default]
    Gregorian,
    /// `standard` or `gregorian`: Julian before 1582-10-15, Gregorian from then on. There is no
    /// year 0.
    Standard,
    /// `julian`: every fourth year is a leap year. There is no year 0.
    Julian,
    /// `noleap` or `365_day`: no leap years.
    NoLeap,
    /// `all_leap` or `366_day`: every year is a leap year.
    AllLeap,
    /// `360_day`: twelve months of 30 days.
    Days360,
}

/// The days from 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_1970: i64 = 719_468;
/// The first Gregorian day of the calendar `standard`.
const REFORM: (i64, i64, i64) = (1582, 10, 15);
/// The last Julian month and day before it.
const LAST_JULIAN: i64 = 4;
/// The days of a year before each month, without a leap day.
const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

impl Calendar {
    /// All of them.
    pub const ALL: [Calendar; 6] = [
        Calendar::Gregorian,
        Calendar::Standard,
        Calendar::Julian,
        Calendar::NoLeap,
        Calendar::AllLeap,
        Calendar::Days360,
    ];

    /// The name in the CF conventions.
    pub const fn name(self) -> &'static str {
        match self {
            Calendar::Gregorian => "proleptic_gregorian",
            Calendar::Standard => "standard",
            Calendar::Julian => "julian",
            Calendar::NoLeap => "noleap",
            Calendar::AllLeap => "all_leap",
            Calendar::Days360 => "360_day",
        }
    }

    /// Whether its days are those of the real world.
    pub const fn is_real(self) -> bool {
        matches!(
            self,
            Calendar::Gregorian | Calendar::Standard | Calendar::Julian
        )
    }

    /// The number of a day from its own 1970-01-01 on (of real days from the Gregorian one), if
    /// there is such a date.
    pub(super) fn days(self, year: i64, month: i64, day: i64) -> Option<i64> {
        let inside = (1..=12).contains(&month) && (1..=self.length(year, month)).contains(&day);
        if !inside || year == 0 && !self.has_year_0() {
            return None;
        }
        let counted = self.counted(year);
        let of_year = BEFORE[usize::try_from(month - 1).ok()?] + day - 1;
        Some(match self {
            Calendar::Gregorian => days_of(year, month, day),
            Calendar::Standard if (year, month, day) >= REFORM => days_of(year, month, day),
            Calendar::Standard if (year, month) == (REFORM.0, REFORM.1) && day > LAST_JULIAN => {
                return None;
            }
            Calendar::Standard | Calendar::Julian => julian_days_of(counted, month, day),
            Calendar::NoLeap => (year - 1970) * 365 + of_year,
            Calendar::AllLeap => (year - 1970) * 366 + of_year + i64::from(month > 2),
            Calendar::Days360 => (year - 1970) * 360 + (month - 1) * 30 + day - 1,
        })
    }

    /// The inverse of [`days`](Self::days): year, month and day.
    pub(super) fn date(self, days: i64) -> (i64, i64, i64) {
        let of_months = |year: i64, of_year: i64, leap: i64| {
            let before = |month: usize| BEFORE[month] + if month > 1 { leap } else { 0 };
            let month = (0..12)
                .rev()
                .find(|month| before(*month) <= of_year)
                .unwrap_or(0);
            (year + 1970, month as i64 + 1, of_year - before(month) + 1)
        };
        let written = |(year, month, day): (i64, i64, i64)| {
            (if year > 0 { year } else { year - 1 }, month, day)
        };
        match self {
            Calendar::Gregorian => date_of(days),
            Calendar::Standard if days >= days_of(REFORM.0, REFORM.1, REFORM.2) => date_of(days),
            Calendar::Standard | Calendar::Julian => written(julian_date_of(days)),
            Calendar::NoLeap => of_months(days.div_euclid(365), days.rem_euclid(365), 0),
            Calendar::AllLeap => of_months(days.div_euclid(366), days.rem_euclid(366), 1),
            Calendar::Days360 => {
                let of_year = days.rem_euclid(360);
                (
                    1970 + days.div_euclid(360),
                    of_year / 30 + 1,
                    of_year % 30 + 1,
                )
            }
        }
    }

    /// The days of a month.
    fn length(self, year: i64, month: i64) -> i64 {
        let counted = self.counted(year);
        let fourth = counted.rem_euclid(4) == 0;
        let leap = match self {
            Calendar::Gregorian => is_leap(counted),
            Calendar::Standard => {
                if year > REFORM.0 {
                    is_leap(counted)
                } else {
                    fourth
                }
            }
            Calendar::Julian => fourth,
            Calendar::NoLeap => false,
            Calendar::AllLeap => true,
            Calendar::Days360 => return 30,
        };
        match month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// Whether there is a year 0. Where there is none, -1 is the year before 1.
    pub fn has_year_0(self) -> bool {
        !matches!(self, Calendar::Standard | Calendar::Julian)
    }

    /// A year as written on a line that has a 0.
    fn counted(self, year: i64) -> i64 {
        if year < 0 && !self.has_year_0() {
            year + 1
        } else {
            year
        }
    }
}

fn is_leap(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Calendar {
    type Err = Error;

    /// A name of the CF conventions, in any case of letters; an empty one is `standard`.
    fn from_str(text: &str) -> Result<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "" | "standard" | "gregorian" => Ok(Calendar::Standard),
            "proleptic_gregorian" => Ok(Calendar::Gregorian),
            "julian" => Ok(Calendar::Julian),
            "noleap" | "365_day" => Ok(Calendar::NoLeap),
            "all_leap" | "366_day" => Ok(Calendar::AllLeap),
            "360_day" => Ok(Calendar::Days360),
            other => {
                let names = Calendar::ALL.map(Calendar::name).join(", ");
                Err(Error::invalid(format!(
                    "times of the calendar `{other}` are not known; known are {names}"
                )))
            }
        }
    }
}

/// The days of a year that starts in March, before a month and a day of it.
fn of_march_year(month: i64, day: i64) -> i64 {
    (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1
}

/// The inverse of [`of_march_year`], and whether it lies in the next calendar year.
fn of_march_day(of_year: i64) -> (i64, i64, i64) {
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (
        month,
        of_year - (153 * shifted + 2) / 5 + 1,
        i64::from(month <= 2),
    )
}

/// The number of a day of the proleptic Gregorian calendar, from 1970-01-01. Years of 400 start in
/// March, so that leap days come last (H. Hinnant, chrono-compatible low-level date algorithms).
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_march_year(month, day)
        - DAYS_BEFORE_1970
}

/// The inverse of [`days_of`]: year, month and day.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_BEFORE_1970;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let (month, day, next) = of_march_day(of_era - (365 * year + year / 4 - year / 100));
    (year + era * 400 + next, month, day)
}

/// The number of a day of the Julian calendar, from the Gregorian 1970-01-01. The calendars agree
/// from 0200-03-01 to 0300-02-28.
fn julian_days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    year * 365 + year.div_euclid(4) + of_march_year(month, day) - DAYS_BEFORE_1970 - 2
}

/// The inverse of [`julian_days_of`]: year, month and day.
fn julian_date_of(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_BEFORE_1970 + 2;
    let (era, of_era) = (days.div_euclid(1_461), days.rem_euclid(1_461));
    let year = (of_era - of_era / 1_460) / 365;
    let (month, day, next) = of_march_day(of_era - 365 * year);
    (era * 4 + year + next, month, day)
}
