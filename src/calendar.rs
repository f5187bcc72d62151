//! Instants, and time axes in the words of the CF conventions: `hours since 2001-12-31T23:00:00Z`.
//!
//! An instant is a whole number of nanoseconds, so instants are compared exactly whatever the units they came in. Days have
//! 86,400 seconds; there are no leap seconds. Dates are those of the proleptic Gregorian calendar (ISO 8601), but for the epoch
//! of units in the calendar `standard`, which counts by Julian dates before 1582-10-15.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A point in time: whole nanoseconds since 1970-01-01T00:00:00Z, within 100,000 years of it.
///
/// Shown and read as ISO 8601. What is read may leave out the zone (UTC), seconds, minutes, the time and the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i128);

/// The length of one unit of a time axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tick {
    /// 1e-9 s.
    Nanosecond,
    /// 1e-6 s.
    Microsecond,
    /// 1e-3 s.
    Millisecond,
    /// 1 s.
    Second,
    /// 60 s.
    Minute,
    /// 3600 s.
    Hour,
    /// 86,400 s.
    Day,
}

/// What the numbers of a time axis count: ticks since an epoch. Shown and read as CF `units`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeUnit {
    tick: Tick,
    epoch: Timestamp,
}

const SECOND: i128 = 1_000_000_000;
const DAY: i128 = 86_400 * SECOND;
/// Timestamps lie within this many nanoseconds of 1970.
const RANGE: i128 = 36_524_250 * DAY;
/// The days from 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_1970: i64 = 719_468;

impl Tick {
    /// Every tick, the longest first.
    pub const ALL: [Tick; 7] =
        [Tick::Day, Tick::Hour, Tick::Minute, Tick::Second, Tick::Millisecond, Tick::Microsecond, Tick::Nanosecond];

    /// Its length.
    pub const fn nanoseconds(self) -> i128 {
        match self {
            Tick::Nanosecond => 1,
            Tick::Microsecond => 1_000,
            Tick::Millisecond => 1_000_000,
            Tick::Second => SECOND,
            Tick::Minute => 60 * SECOND,
            Tick::Hour => 3_600 * SECOND,
            Tick::Day => DAY,
        }
    }

    /// The name in CF units.
    pub const fn name(self) -> &'static str {
        match self {
            Tick::Nanosecond => "nanoseconds",
            Tick::Microsecond => "microseconds",
            Tick::Millisecond => "milliseconds",
            Tick::Second => "seconds",
            Tick::Minute => "minutes",
            Tick::Hour => "hours",
            Tick::Day => "days",
        }
    }
}

impl fmt::Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Tick {
    type Err = Error;

    /// The name or an abbreviation (`hours`, `hour`, `hrs`, `hr`, `h`), in any case of letters.
    fn from_str(text: &str) -> Result<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "days" | "day" | "d" => Ok(Tick::Day),
            "hours" | "hour" | "hrs" | "hr" | "h" => Ok(Tick::Hour),
            "minutes" | "minute" | "mins" | "min" => Ok(Tick::Minute),
            "seconds" | "second" | "secs" | "sec" | "s" => Ok(Tick::Second),
            "milliseconds" | "millisecond" | "millisecs" | "millisec" | "msecs" | "msec" | "ms" => Ok(Tick::Millisecond),
            "microseconds" | "microsecond" | "microsecs" | "microsec" | "us" => Ok(Tick::Microsecond),
            "nanoseconds" | "nanosecond" | "nanosecs" | "nanosec" | "ns" => Ok(Tick::Nanosecond),
            _ => Err(Error::invalid(format!(
                "`{text}` is not a unit of time of fixed length; use days, hours, minutes, seconds or parts of seconds"
            ))),
        }
    }
}

impl Timestamp {
    /// This many nanoseconds since 1970-01-01T00:00:00Z, if that is within 100,000 years.
    pub fn from_nanoseconds(nanoseconds: i128) -> Option<Self> {
        (-RANGE..=RANGE).contains(&nanoseconds).then_some(Self(nanoseconds))
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub fn nanoseconds(self) -> i128 {
        self.0
    }

    /// The instant so many nanoseconds later.
    pub fn after(self, nanoseconds: i128) -> Option<Self> {
        self.0.checked_add(nanoseconds).and_then(Self::from_nanoseconds)
    }
}

/// The number of a day of the proleptic Gregorian calendar, from 1970-01-01. Years of 400 start in March, so that leap days come
/// last (H. Hinnant, chrono-compatible low-level date algorithms).
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - DAYS_BEFORE_1970
}

/// The inverse of [`days_of`]: year, month and day.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_BEFORE_1970;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, of_year - (153 * shifted + 2) / 5 + 1)
}

/// The number of a day of the Julian calendar, from 1970-01-01.
fn julian_days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    // The calendars agree from 0200-03-01 to 0300-02-28.
    year * 365 + year.div_euclid(4) + of_year - DAYS_BEFORE_1970 - 2
}

/// Which dates an epoch is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dates {
    Gregorian,
    /// Julian before 1582-10-15.
    Mixed,
}

impl Dates {
    fn of(calendar: &str) -> Result<Self> {
        match calendar.trim().to_ascii_lowercase().as_str() {
            "" | "standard" | "gregorian" => Ok(Dates::Mixed),
            "proleptic_gregorian" => Ok(Dates::Gregorian),
            other => Err(Error::invalid(format!(
                "times of the calendar `{other}` are not supported; only standard, gregorian and proleptic_gregorian are"
            ))),
        }
    }

    fn days(self, year: i64, month: i64, day: i64) -> Result<i64> {
        let julian = self == Dates::Mixed && (year, month, day) < (1582, 10, 15);
        let leap = year % 4 == 0 && (julian || year % 100 != 0 || year % 400 == 0);
        let length = match month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => 0,
        };
        let gap = self == Dates::Mixed && year == 1582 && month == 10 && (5..15).contains(&day);
        if !(1..=length).contains(&day) || gap || julian && year == 0 {
            return Err(Error::invalid(format!("{year:04}-{month:02}-{day:02} is not a date")));
        }
        Ok(if julian { julian_days_of(year, month, day) } else { days_of(year, month, day) })
    }
}

/// Reads a date and, if there is one, a time and a zone.
fn timestamp(text: &str, dates: Dates) -> Result<Timestamp> {
    let strange = || Error::invalid(format!("`{text}` is not a time like 2018-09-13T19:00:00Z"));
    let trimmed = text.trim();
    let (date, time) = match trimmed.find(['T', 't', ' ']) {
        Some(at) => (&trimmed[..at], trimmed[at + 1..].trim()),
        None => (trimmed, ""),
    };
    let (sign, digits) = match date.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, date.strip_prefix('+').unwrap_or(date)),
    };
    let fields: Vec<i64> = digits.split('-').map(|field| number(field, 6)).collect::<Option<_>>().ok_or_else(strange)?;
    let (year, month, day) = match fields[..] {
        [year, month, day] => (sign * year, month, day),
        [year, month] if time.is_empty() => (sign * year, month, 1),
        _ => return Err(strange()),
    };
    let days = dates.days(year, month, day).map_err(|cause| strange().because(cause))?;
    let nanoseconds = time_of_day(time).ok_or_else(strange)?;
    Timestamp::from_nanoseconds(i128::from(days) * DAY + nanoseconds).ok_or_else(strange)
}

/// A number of at most so many digits.
fn number(text: &str, digits: usize) -> Option<i64> {
    let plain = (1..=digits).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Nanoseconds from midnight UTC to a time with its zone; 0 if there is no time.
fn time_of_day(text: &str) -> Option<i128> {
    if text.is_empty() {
        return Some(0);
    }
    let upper = text.to_ascii_uppercase();
    let (clock, zone) = match upper.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.') {
        Some(at) => (&upper[..at], upper[at..].trim()),
        None => (upper.as_str(), ""),
    };
    Some(clock_time(clock)? - zone_offset(zone)?)
}

fn clock_time(text: &str) -> Option<i128> {
    let (clock, fraction) = match text.split_once('.') {
        Some((clock, fraction)) => (clock, fraction),
        None => (text, ""),
    };
    let fields: Vec<i64> = clock.split(':').map(|field| number(field, 2)).collect::<Option<_>>()?;
    let (hour, minute, second) = match fields[..] {
        [hour] if fraction.is_empty() => (hour, 0, 0),
        [hour, minute] if fraction.is_empty() => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    // ISO 8601 lets a day end at 24:00:00.
    let within = hour < 24 && minute < 60 && second < 60 || (hour, minute, second) == (24, 0, 0);
    let digits = fraction.trim_end_matches('0');
    let nanoseconds = if digits.is_empty() { 0 } else { number(&format!("{digits:0<9}"), 9)? };
    (within && (hour < 24 || nanoseconds == 0))
        .then(|| i128::from(hour * 3600 + minute * 60 + second) * SECOND + i128::from(nanoseconds))
}

/// `Z`, `UTC`, `GMT`, `+01`, `+01:00`, `+0100`, `-6:00`; UTC if there is none.
fn zone_offset(zone: &str) -> Option<i128> {
    let zone = zone.strip_prefix("UTC").or_else(|| zone.strip_prefix("GMT")).map_or(zone, str::trim);
    let (sign, digits) = match zone.split_at_checked(1) {
        None => return Some(0),
        Some(("Z", "")) => return Some(0),
        Some(("+", digits)) => (1, digits),
        Some(("-", digits)) => (-1, digits),
        Some(_) => return None,
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) => (number(hours, 2)?, number(minutes, 2)?),
        None if digits.len() == 4 => (number(&digits[..2], 2)?, number(&digits[2..], 2)?),
        None => (number(digits, 2)?, 0),
    };
    (hours < 24 && minutes < 60).then(|| sign * i128::from(hours * 3600 + minutes * 60) * SECOND)
}

impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        timestamp(text, Dates::Gregorian)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, of_day) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        let (year, month, day) = date_of(i64::try_from(days).unwrap_or_default());
        let (seconds, fraction) = (of_day / SECOND, of_day % SECOND);
        let sign = if year < 0 {
            "-"
        } else if year > 9999 {
            "+"
        } else {
            ""
        };
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{sign}{:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}", year.abs())?;
        if fraction > 0 {
            write!(f, ".{}", format!("{fraction:09}").trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl TimeUnit {
    /// Ticks since an epoch.
    pub fn new(tick: Tick, epoch: Timestamp) -> Self {
        Self { tick, epoch }
    }

    /// Reads CF `units` in a CF `calendar`; an empty one is `standard`.
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) names what is not understood: units without a fixed length (months, years), a
    /// calendar other than the three Gregorian ones, an epoch that is no date of the calendar.
    pub fn parse(units: &str, calendar: &str) -> Result<Self> {
        let since = |text: &str| text.to_ascii_lowercase().find(" since ");
        let at = since(units)
            .ok_or_else(|| Error::invalid(format!("`{units}` are not units of time like `hours since 2001-12-31T23:00:00Z`")))?;
        let dates = Dates::of(calendar)?;
        let (tick, epoch) = (units[..at].parse()?, &units[at + " since ".len()..]);
        Ok(Self { tick, epoch: timestamp(epoch, dates)? })
    }

    /// The length of one unit.
    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// Where the numbers begin.
    pub fn epoch(&self) -> Timestamp {
        self.epoch
    }

    /// The same epoch counted in other ticks.
    #[must_use]
    pub fn in_ticks(self, tick: Tick) -> Self {
        Self { tick, ..self }
    }

    /// The instant of a whole number, if there is one.
    pub fn timestamp(&self, ticks: i64) -> Option<Timestamp> {
        self.epoch.after(i128::from(ticks) * self.tick.nanoseconds())
    }

    /// The whole number of an instant, if it has one.
    pub fn ticks(&self, at: Timestamp) -> Option<i64> {
        let (since, tick) = (at.0 - self.epoch.0, self.tick.nanoseconds());
        (since % tick == 0).then(|| i64::try_from(since / tick).ok()).flatten()
    }

    /// The first whole number that is not before an instant; the nearest there is for one that is too far away.
    pub fn first_at(&self, at: Timestamp) -> i64 {
        let (since, tick) = (at.0 - self.epoch.0, self.tick.nanoseconds());
        let first = since.div_euclid(tick) + i128::from(since.rem_euclid(tick) > 0);
        i64::try_from(first).unwrap_or(if first < 0 { i64::MIN } else { i64::MAX })
    }

    /// The number of an instant, rounded to a double where it has no exact one.
    pub fn value(&self, at: Timestamp) -> f64 {
        let (since, tick) = (at.0 - self.epoch.0, self.tick.nanoseconds());
        (since / tick) as f64 + (since % tick) as f64 / tick as f64
    }

    /// The instant of a number, to the nearest nanosecond.
    pub fn instant(&self, value: f64) -> Option<Timestamp> {
        let tick = self.tick.nanoseconds();
        let whole = whole(value.trunc())?.checked_mul(tick)?;
        self.epoch.after(whole)?.after(self::whole((value.fract() * tick as f64).round())?)
    }

    /// The roundest instant that a stored number can stand for: a third of a day is 8 hours, whatever its binary digits.
    /// `precision` is how far the stored number may be from the one that was meant.
    pub fn roundest(&self, value: f64, precision: f64) -> Option<Timestamp> {
        let nearest = self.instant(value)?;
        let reach = whole((precision * self.tick.nanoseconds() as f64).ceil().min(DAY as f64))?;
        let since = nearest.0 - self.epoch.0;
        let rounded = Tick::ALL.iter().map(|tick| {
            let tick = tick.nanoseconds();
            (since + tick / 2).div_euclid(tick) * tick
        });
        let found = rounded.into_iter().find(|rounded| (rounded - since).abs() <= reach);
        self.epoch.after(found.unwrap_or(since))
    }
}

/// A whole number as an integer, if it is small enough for one.
#[expect(clippy::cast_possible_truncation, reason = "whole, and far below the limit of i128")]
fn whole(value: f64) -> Option<i128> {
    (value.abs() < 1e30).then_some(value as i128)
}

impl FromStr for TimeUnit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text, "proleptic_gregorian")
    }
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} since {}", self.tick, self.epoch)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        text.parse::<Timestamp>().expect(text).to_string()
    }

    #[test]
    fn times_are_read_in_the_forms_of_iso_8601_and_of_udunits() {
        for (text, wanted) in [
            ("2018-09-13", "2018-09-13T00:00:00Z"),
            ("2018-09", "2018-09-01T00:00:00Z"),
            ("2018-9-3 7:5:4.250", "2018-09-03T07:05:04.25Z"),
            ("2018-09-13T19", "2018-09-13T19:00:00Z"),
            ("2018-09-13t19:30z", "2018-09-13T19:30:00Z"),
            ("2018-09-13T19:30:00+02:00", "2018-09-13T17:30:00Z"),
            ("1992-10-8 15:15:42.5 -6:00", "1992-10-08T21:15:42.5Z"),
            ("1970-01-01 00:00:00 UTC", "1970-01-01T00:00:00Z"),
            ("1970-01-01 00:00 +0530", "1969-12-31T18:30:00Z"),
            ("2016-02-29T24:00:00", "2016-03-01T00:00:00Z"),
            ("0000-02-29", "0000-02-29T00:00:00Z"),
            ("-0044-03-15", "-0044-03-15T00:00:00Z"),
            ("12018-01-01", "+12018-01-01T00:00:00Z"),
            ("2018-01-01T00:00:00.000000001", "2018-01-01T00:00:00.000000001Z"),
        ] {
            assert_eq!(shown(text), wanted, "{text}");
            assert_eq!(shown(wanted), wanted);
        }
        for wrong in [
            "",
            "2018",
            "2018-13-01",
            "2018-02-29",
            "2018-00-01",
            "2018-01-32",
            "2018-01-01T25:00",
            "2018-01-01T00:60",
            "noon",
            "2018-01-01T24:00:01",
            "2018-01-01T00:00:60",
            "2018-01-01T00:00:00+25:00",
            "2018-01-01T00:00:00 CET",
            "2018--1",
            "2018-01-01T00:00:00.0000000001",
            "999999-01-01",
            "2018-01-01T1.5",
        ] {
            wrong.parse::<Timestamp>().expect_err(wrong);
        }
    }

    #[test]
    fn units_are_read_as_cf_writes_them() {
        for (units, wanted) in [
            ("Hour since 2001-12-31T23:00:00Z", "hours since 2001-12-31T23:00:00Z"),
            ("days since 1900-1-1", "days since 1900-01-01T00:00:00Z"),
            ("s SINCE 1970-01-01 00:00:00 +1:00", "seconds since 1969-12-31T23:00:00Z"),
            ("msec since 2000-01-01", "milliseconds since 2000-01-01T00:00:00Z"),
        ] {
            let unit = TimeUnit::parse(units, "").expect(units);
            assert_eq!(unit.to_string(), wanted);
            assert_eq!(wanted.parse::<TimeUnit>().expect("its own form"), unit);
        }
        for units in ["months since 2000-01-01", "years since 2000-01-01", "hours", "hours after 2000-01-01", "h since noon"] {
            TimeUnit::parse(units, "").expect_err(units);
        }
    }

    #[test]
    fn calendars_that_are_not_gregorian_are_refused_by_name() {
        for calendar in ["noleap", "365_day", "360_day", "all_leap", "366_day", "julian", "none", "utc"] {
            let error = TimeUnit::parse("days since 2000-01-01", calendar).expect_err(calendar);
            assert!(error.to_string().contains(&format!("`{calendar}`")), "{error}");
        }
        for calendar in ["standard", "gregorian", "Proleptic_Gregorian", ""] {
            TimeUnit::parse("days since 2000-01-01", calendar).expect(calendar);
        }
    }

    #[test]
    fn the_standard_calendar_counts_by_julian_dates_before_1582_10_15() {
        let epoch = |date: &str, calendar| TimeUnit::parse(&format!("days since {date}"), calendar).map(|unit| unit.epoch());
        let of = |date: &str, calendar| epoch(date, calendar).expect(date).to_string();
        assert_eq!(of("1582-10-15", "standard"), "1582-10-15T00:00:00Z");
        assert_eq!(of("1582-10-04", "standard"), "1582-10-14T00:00:00Z", "the day before");
        assert_eq!(of("0001-01-01", "standard"), "0000-12-30T00:00:00Z");
        assert_eq!(of("0001-01-01", "proleptic_gregorian"), "0001-01-01T00:00:00Z");
        assert_eq!(of("1500-02-29", "standard"), "1500-03-10T00:00:00Z", "a leap day of that calendar");
        for (date, calendar) in [("1582-10-10", "standard"), ("0000-01-01", "standard"), ("1500-02-29", "proleptic_gregorian")] {
            epoch(date, calendar).expect_err(date);
        }
    }

    #[test]
    fn a_number_stands_for_the_roundest_instant_within_its_precision() {
        let days = TimeUnit::parse("days since 2000-01-01", "").expect("units");
        for hours in 0..400_000_i64 {
            let value = hours as f64 / 24.0;
            let wanted = days.in_ticks(Tick::Hour).timestamp(hours);
            assert_eq!(days.roundest(value, value.abs() * f64::EPSILON), wanted, "{hours} hours");
        }
        let half_second = days.roundest(0.5 / 86_400.0, 1e-20).expect("in range");
        assert_eq!(half_second.to_string(), "2000-01-01T00:00:00.5Z");
        assert_eq!(days.instant(f64::NAN), None);
        assert_eq!(days.instant(1e12), None);
    }

    proptest! {
        #[test]
        fn instants_survive_text_and_units(ns in -RANGE..=RANGE, tick in 0..7_usize, ticks in -1_000_000_i64..1_000_000) {
            let at = Timestamp::from_nanoseconds(ns).expect("in range");
            prop_assert_eq!(at.to_string().parse::<Timestamp>().expect("its own form"), at);
            let unit = TimeUnit::new(Tick::ALL[tick], Timestamp::from_nanoseconds(ns / 2).expect("in range"));
            prop_assert_eq!(unit.to_string().parse::<TimeUnit>().expect("its own form"), unit);
            let at = unit.timestamp(ticks).expect("in range");
            prop_assert_eq!(unit.ticks(at), Some(ticks));
            prop_assert_eq!(unit.value(at), ticks as f64);
            prop_assert_eq!(unit.instant(ticks as f64), Some(at));
        }

        #[test]
        fn no_text_makes_reading_panic(text in "\\PC*", units in "[a-z ]{0,9} since [-0-9TZ:. +]{0,20}") {
            let _ = (text.parse::<Timestamp>(), TimeUnit::parse(&text, ""), TimeUnit::parse(&units, ""));
        }

        #[test]
        fn dates_follow_each_other(days in -36_000_000_i64..36_000_000) {
            let (year, month, day) = date_of(days);
            prop_assert_eq!(days_of(year, month, day), days);
            let (next_year, next_month, next_day) = date_of(days + 1);
            prop_assert!((next_year, next_month, next_day) > (year, month, day));
        }
    }
}
