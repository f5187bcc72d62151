//! Instants, and time axes in the words of the CF conventions: `hours since 2001-12-31T23:00:00Z`.
//!
//! An instant is a whole number of nanoseconds, so instants are compared exactly whatever the units
//! they came in. Days have 86,400 seconds; there are no leap seconds. Dates are those of ISO 8601
//! (the proleptic Gregorian calendar) unless an instant is one of another [`Calendar`], in which it
//! is then counted, read and shown.

mod dates;
mod step;
mod text;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

pub use dates::Calendar;
pub use step::TimeStep;

/// A point in time of a calendar: whole nanoseconds since its 1970-01-01T00:00:00Z, within 100,000
/// years of it.
///
/// Shown as ISO 8601 with the dates of its calendar. What is read is of the Gregorian calendar, and
/// may leave out the zone (UTC), seconds, minutes, the time and the day; [`Timestamp::read`] reads
/// another calendar's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp {
    nanoseconds: i128,
    calendar: Calendar,
}

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

/// What the numbers of a time axis count: ticks since an epoch, in the epoch's calendar. Shown and
/// read as CF `units`, with a calendar other than the proleptic Gregorian behind:
/// `days since 1850-01-01T00:00:00Z (360_day)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeUnit {
    tick: Tick,
    epoch: Timestamp,
}

const SECOND: i128 = 1_000_000_000;
const DAY: i128 = 86_400 * SECOND;
/// Timestamps lie within this many nanoseconds of 1970.
const RANGE: i128 = 36_524_250 * DAY;

impl Tick {
    /// Every tick, the longest first.
    pub const ALL: [Tick; 7] = [
        Tick::Day,
        Tick::Hour,
        Tick::Minute,
        Tick::Second,
        Tick::Millisecond,
        Tick::Microsecond,
        Tick::Nanosecond,
    ];

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
            "milliseconds" | "millisecond" | "millisecs" | "millisec" | "msecs" | "msec" | "ms" => {
                Ok(Tick::Millisecond)
            }
            "microseconds" | "microsecond" | "microsecs" | "microsec" | "us" => {
                Ok(Tick::Microsecond)
            }
            "nanoseconds" | "nanosecond" | "nanosecs" | "nanosec" | "ns" => Ok(Tick::Nanosecond),
            _ => Err(Error::invalid(format!(
                "`{text}` is not a unit of time of fixed length; use days, hours, minutes, seconds or parts of seconds"
            ))),
        }
    }
}

impl Timestamp {
    /// This many nanoseconds since 1970-01-01T00:00:00Z of the Gregorian calendar, if that is
    /// within 100,000 years.
    pub fn from_nanoseconds(nanoseconds: i128) -> Option<Self> {
        Self::new(nanoseconds, Calendar::Gregorian)
    }

    /// The midnight of a year, month and day of a calendar; `None` where it has no such date.
    pub fn from_date(calendar: Calendar, (year, month, day): (i64, i64, i64)) -> Option<Self> {
        let within = year.unsigned_abs() < 1_000_000;
        let days = within.then(|| calendar.days(year, month, day)).flatten()?;
        Self::new(i128::from(days) * DAY, calendar)
    }

    /// Reads a time of a calendar, as ISO 8601 writes times.
    pub fn read(text: &str, calendar: Calendar) -> Result<Self> {
        text::timestamp(text, calendar)
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z of its calendar; of a calendar of real days since the
    /// Gregorian one.
    pub fn nanoseconds(self) -> i128 {
        self.nanoseconds
    }

    /// The calendar that it is counted and shown in.
    pub fn calendar(self) -> Calendar {
        self.calendar
    }

    /// Year, month and day in its calendar.
    pub fn date(self) -> (i64, i64, i64) {
        self.calendar
            .date(i64::try_from(self.nanoseconds.div_euclid(DAY)).unwrap_or_default())
    }

    /// The instant so many nanoseconds later.
    pub fn after(self, nanoseconds: i128) -> Option<Self> {
        Self::new(self.nanoseconds.checked_add(nanoseconds)?, self.calendar)
    }

    /// The same in another calendar: the same instant where both count real days, else the same
    /// date and time of day. `None` where the other calendar has no such date.
    pub fn in_calendar(self, calendar: Calendar) -> Option<Self> {
        if self.calendar == calendar || self.calendar.is_real() && calendar.is_real() {
            return Some(Self { calendar, ..self });
        }
        self.same_date(calendar)
    }

    /// What has the same date and time of day in another calendar, if that has the date.
    pub fn same_date(self, calendar: Calendar) -> Option<Self> {
        Self::from_date(calendar, self.date())?.after(self.nanoseconds.rem_euclid(DAY))
    }

    /// The same in another calendar, or the first instant after it that there is.
    fn first_in(self, calendar: Calendar) -> Self {
        let (year, month, _) = self.date();
        let next = if month == 12 {
            (year + 1, 1, 1)
        } else {
            (year, month + 1, 1)
        };
        self.in_calendar(calendar)
            .or_else(|| Self::from_date(calendar, next))
            .unwrap_or(Self { calendar, ..self })
    }

    fn new(nanoseconds: i128, calendar: Calendar) -> Option<Self> {
        (-RANGE..=RANGE).contains(&nanoseconds).then_some(Self {
            nanoseconds,
            calendar,
        })
    }
}

impl TimeUnit {
    /// Ticks since an epoch, in its calendar.
    pub fn new(tick: Tick, epoch: Timestamp) -> Self {
        Self { tick, epoch }
    }

    /// Reads CF `units` in a CF `calendar`; an empty one is `standard`.
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) names what is not understood: units without a fixed
    /// length (months, years), a calendar that is not known, an epoch that is no date of the
    /// calendar.
    pub fn parse(units: &str, calendar: &str) -> Result<Self> {
        let at = units.to_ascii_lowercase().find(" since ");
        let at = at.ok_or_else(|| {
            Error::invalid(format!(
                "`{units}` are not units of time like `hours since 2001-12-31T23:00:00Z`"
            ))
        })?;
        let calendar: Calendar = calendar.parse()?;
        let (tick, epoch) = (units[..at].parse()?, &units[at + " since ".len()..]);
        Ok(Self {
            tick,
            epoch: text::timestamp(epoch, calendar)?,
        })
    }

    /// The length of one unit.
    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// Where the numbers begin.
    pub fn epoch(&self) -> Timestamp {
        self.epoch
    }

    /// The calendar of its times.
    pub fn calendar(&self) -> Calendar {
        self.epoch.calendar
    }

    /// The same epoch counted in other ticks.
    #[must_use]
    pub fn in_ticks(self, tick: Tick) -> Self {
        Self { tick, ..self }
    }

    /// The same in another calendar, as [`Timestamp::in_calendar`] has it.
    pub fn in_calendar(self, calendar: Calendar) -> Option<Self> {
        Some(Self {
            epoch: self.epoch.in_calendar(calendar)?,
            ..self
        })
    }

    /// The time so many nanoseconds after 1970-01-01T00:00:00Z of its calendar.
    pub fn since_1970(&self, nanoseconds: i128) -> Option<Timestamp> {
        Timestamp::new(nanoseconds, self.calendar())
    }

    /// The instant of a whole number, if there is one.
    pub fn timestamp(&self, ticks: i64) -> Option<Timestamp> {
        self.epoch
            .after(i128::from(ticks) * self.tick.nanoseconds())
    }

    /// Nanoseconds from the epoch to a time, which is one of another calendar too if that has the
    /// date.
    fn since(&self, at: Timestamp) -> Option<i128> {
        Some(at.in_calendar(self.calendar())?.nanoseconds - self.epoch.nanoseconds)
    }

    /// The whole number of a time, if it has one.
    pub fn ticks(&self, at: Timestamp) -> Option<i64> {
        let (since, tick) = (self.since(at)?, self.tick.nanoseconds());
        (since % tick == 0)
            .then(|| i64::try_from(since / tick).ok())
            .flatten()
    }

    /// The first whole number that is not before a time; the nearest there is for one that is too
    /// far away.
    pub fn first_at(&self, at: Timestamp) -> i64 {
        let since = at.first_in(self.calendar()).nanoseconds - self.epoch.nanoseconds;
        let tick = self.tick.nanoseconds();
        let first = since.div_euclid(tick) + i128::from(since.rem_euclid(tick) > 0);
        i64::try_from(first).unwrap_or(if first < 0 { i64::MIN } else { i64::MAX })
    }

    /// The number of a time, rounded to a double where it has no exact one.
    pub fn value(&self, at: Timestamp) -> f64 {
        let since = at.first_in(self.calendar()).nanoseconds - self.epoch.nanoseconds;
        let tick = self.tick.nanoseconds();
        (since / tick) as f64 + (since % tick) as f64 / tick as f64
    }

    /// The instant of a number, to the nearest nanosecond.
    pub fn instant(&self, value: f64) -> Option<Timestamp> {
        let tick = self.tick.nanoseconds();
        let whole = whole(value.trunc())?.checked_mul(tick)?;
        self.epoch
            .after(whole)?
            .after(self::whole((value.fract() * tick as f64).round())?)
    }

    /// The roundest instant that a stored number can stand for: a third of a day is 8 hours,
    /// whatever its binary digits. `precision` is how far the stored number may be from the one
    /// that was meant.
    pub fn roundest(&self, value: f64, precision: f64) -> Option<Timestamp> {
        let nearest = self.instant(value)?;
        let reach = whole(
            (precision * self.tick.nanoseconds() as f64)
                .ceil()
                .min(DAY as f64),
        )?;
        let since = nearest.nanoseconds - self.epoch.nanoseconds;
        let rounded = Tick::ALL.iter().map(|tick| {
            let tick = tick.nanoseconds();
            (since + tick / 2).div_euclid(tick) * tick
        });
        let found = rounded
            .into_iter()
            .find(|rounded| (rounded - since).abs() <= reach);
        self.epoch.after(found.unwrap_or(since))
    }
}

/// A whole number as an integer, if it is small enough for one.
#[expect(
    clippy::cast_possible_truncation,
    reason = "whole, and far below the limit of i128"
)]
fn whole(value: f64) -> Option<i128> {
    (value.abs() < 1e30).then_some(value as i128)
}
