//! Times and units of time as text.

use std::fmt;
use std::str::FromStr;

use super::{Calendar, DAY, SECOND, TimeUnit, Timestamp};
use crate::error::{Error, Result};

/// Reads a date of a calendar and, if there is one, a time and a zone.
pub(super) fn timestamp(text: &str, calendar: Calendar) -> Result<Timestamp> {
    let strange = || Error::invalid(format!("`{text}` is not a time like 2018-09-13T19:00:00Z"));
    let trimmed = text.trim();
    // WRF writes 2018-09-13_19:00:00.
    let (date, time) = match trimmed.find(['T', 't', ' ', '_']) {
        Some(at) => (&trimmed[..at], trimmed[at + 1..].trim()),
        None => (trimmed, ""),
    };
    let (sign, digits) = match date.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, date.strip_prefix('+').unwrap_or(date)),
    };
    let parts: Vec<&str> = digits.split('-').collect();
    // Of two numbers the second is a day of the year if it has three digits.
    let is_ordinal = matches!(parts[..], [_, day] if day.len() == 3);
    let most = |at: usize| match at {
        0 => 6,
        _ if is_ordinal => 3,
        _ => 2,
    };
    let fields = parts.iter().enumerate();
    let fields: Vec<i64> = fields
        .map(|(at, field)| number(field, most(at)))
        .collect::<Option<_>>()
        .ok_or_else(strange)?;
    let (year, month, day) = match fields[..] {
        [year, month, day] => (sign * year, month, day),
        [year, day] if is_ordinal => {
            let date = of_year(calendar, sign * year, day).ok_or_else(strange)?;
            return date
                .after(time_of_day(time).ok_or_else(strange)?)
                .ok_or_else(strange);
        }
        [year, month] if time.is_empty() => (sign * year, month, 1),
        _ => return Err(strange()),
    };
    let nanoseconds = time_of_day(time).ok_or_else(strange)?;
    let midnight = Timestamp::from_date(calendar, (year, month, day)).ok_or_else(|| {
        let year_0 = if year == 0 && !calendar.has_year_0() {
            ", which has no year 0"
        } else {
            ""
        };
        strange().because(Error::invalid(format!(
            "{date} is not a date of the calendar {calendar}{year_0}"
        )))
    })?;
    midnight.after(nanoseconds).ok_or_else(strange)
}

/// Midnight of a day of a year, counted from 1.
fn of_year(calendar: Calendar, year: i64, day: i64) -> Option<Timestamp> {
    let first = Timestamp::from_date(calendar, (year, 1, 1))?;
    let date = first.after(i128::from(day - 1) * DAY)?;
    (day >= 1 && date.date().0 == year).then_some(date)
}

/// A number of at most so many digits.
fn number(text: &str, digits: usize) -> Option<i64> {
    let plain =
        (1..=digits).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
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
    let fields: Vec<i64> = clock
        .split(':')
        .map(|field| number(field, 2))
        .collect::<Option<_>>()?;
    let (hour, minute, second) = match fields[..] {
        [hour] if fraction.is_empty() => (hour, 0, 0),
        [hour, minute] if fraction.is_empty() => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    // ISO 8601 lets a day end at 24:00:00.
    let within = hour < 24 && minute < 60 && second < 60 || (hour, minute, second) == (24, 0, 0);
    let digits = fraction.trim_end_matches('0');
    let nanoseconds = if digits.is_empty() {
        0
    } else {
        number(&format!("{digits:0<9}"), 9)?
    };
    (within && (hour < 24 || nanoseconds == 0))
        .then(|| i128::from(hour * 3600 + minute * 60 + second) * SECOND + i128::from(nanoseconds))
}

/// `Z`, `UTC`, `GMT`, `+01`, `+01:00`, `+0100`, `-6:00`, `0:00`; UTC if there is none.
fn zone_offset(zone: &str) -> Option<i128> {
    let zone = zone
        .strip_prefix("UTC")
        .or_else(|| zone.strip_prefix("GMT"))
        .map_or(zone, str::trim);
    let (sign, digits) = match zone.split_at_checked(1) {
        None => return Some(0),
        Some(("Z", "")) => return Some(0),
        Some(("+", digits)) => (1, digits),
        Some(("-", digits)) => (-1, digits),
        Some(_) => (1, zone),
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) => (number(hours, 2)?, number(minutes, 2)?),
        None if digits.len() == 4 && digits.is_ascii() => {
            (number(&digits[..2], 2)?, number(&digits[2..], 2)?)
        }
        None => (number(digits, 2)?, 0),
    };
    (hours < 24 && minutes < 60).then(|| sign * i128::from(hours * 3600 + minutes * 60) * SECOND)
}

impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        timestamp(text, Calendar::Gregorian)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_day = self.nanoseconds.rem_euclid(DAY);
        let (year, month, day) = self.date();
        let (seconds, fraction) = (of_day / SECOND, of_day % SECOND);
        let sign = if year < 0 {
            "-"
        } else if year > 9999 {
            "+"
        } else {
            ""
        };
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{sign}{:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}",
            year.abs()
        )?;
        if fraction > 0 {
            write!(f, ".{}", format!("{fraction:09}").trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl FromStr for TimeUnit {
    type Err = Error;

    /// As it is shown: a calendar that is not named is the proleptic Gregorian one.
    fn from_str(text: &str) -> Result<Self> {
        match text
            .trim_end()
            .strip_suffix(')')
            .and_then(|text| text.rsplit_once(" ("))
        {
            Some((units, calendar)) => Self::parse(units, calendar),
            None => Self::parse(text, Calendar::Gregorian.name()),
        }
    }
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} since {}", self.tick, self.epoch)?;
        match self.calendar() {
            Calendar::Gregorian => Ok(()),
            calendar => write!(f, " ({calendar})"),
        }
    }
}
