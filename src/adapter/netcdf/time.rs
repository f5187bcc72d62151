//! Time coordinates: their instants, the axis that they make, and their places on one.

use crate::calendar::{Calendar, Tick, TimeUnit, Timestamp};
use crate::error::{Error, Result};
use crate::grid::{Axis, Dimension};

/// The times of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileTimes {
    pub(super) unit: TimeUnit,
    /// The time of each step.
    pub(super) times: Vec<Timestamp>,
    /// From when to when the cell of each step goes, if the file says so.
    pub(super) bounds: Option<Vec<[Timestamp; 2]>>,
    /// What of them is to be known before they are believed.
    pub(super) note: Option<String>,
}

/// What is told of times that lie on no steps.
const REMEDY: &str = "make the grid with `--irregular` to keep exact times";

impl FileTimes {
    /// The same in another calendar of real days; `None` where one of them is none.
    pub(super) fn in_calendar(&self, calendar: Calendar) -> Option<Self> {
        if self.unit.calendar() != calendar
            && !(self.unit.calendar().is_real() && calendar.is_real())
        {
            return None;
        }
        let of = |at: &Timestamp| at.in_calendar(calendar);
        let edges = |[from, to]: &[Timestamp; 2]| Some([of(from)?, of(to)?]);
        let bounds = match &self.bounds {
            Some(bounds) => Some(bounds.iter().map(edges).collect::<Option<_>>()?),
            None => None,
        };
        let times = self.times.iter().map(of).collect::<Option<_>>()?;
        Some(Self {
            unit: self.unit.in_calendar(calendar)?,
            times,
            bounds,
            note: self.note.clone(),
        })
    }

    /// The same in the calendar of a grid or of another file. Days of climate models' calendars are
    /// no days of another.
    fn as_in(&self, calendar: Calendar) -> Result<Self> {
        self.in_calendar(calendar).ok_or_else(|| {
            Error::invalid(format!(
                "the file's times are of the calendar {}, the grid's of {calendar}; make a grid for them with `gridstone create STORE NAME --like FILE`, or other times with `cdo setcalendar,{calendar} FILE OTHER.nc`, which changes dates",
                self.unit.calendar()
            ))
        })
    }

    /// The times of several files, each once, in the unit of the first.
    pub(super) fn together<'a>(all: impl IntoIterator<Item = &'a Self>) -> Result<Option<Self>> {
        let mut all = all.into_iter();
        let Some(first) = all.next() else {
            return Ok(None);
        };
        let mut together = first.clone();
        for more in all {
            let more = more.as_in(together.unit.calendar())?;
            together.times.extend(&more.times);
            let bounds = together.bounds.zip(more.bounds.as_ref());
            together.bounds =
                bounds.map(|(bounds, more)| [bounds.as_slice(), more.as_slice()].concat());
        }
        let starts = together
            .bounds
            .clone()
            .unwrap_or_else(|| together.times.iter().map(|at| [*at, *at]).collect());
        let mut steps: Vec<_> = together.times.iter().copied().zip(starts).collect();
        steps.sort_unstable();
        steps.dedup();
        let (times, bounds): (_, Vec<_>) = steps.into_iter().unzip();
        Ok(Some(Self {
            times,
            bounds: together.bounds.map(|_| bounds),
            ..together
        }))
    }

    /// Where the cell of each step begins on a regular axis, and how long it is if the file says so
    /// by bounds.
    pub(super) fn cells(&self) -> Result<(Vec<Timestamp>, Option<i128>)> {
        let Some(bounds) = &self.bounds else {
            return Ok((self.times.clone(), None));
        };
        let mut widths = bounds
            .iter()
            .map(|[from, to]| to.nanoseconds() - from.nanoseconds());
        let first = widths.next().unwrap_or(0);
        if first <= 0 || widths.any(|width| width != first) {
            return Err(Error::invalid(format!(
                "the bounds of the times are not cells of one length; {REMEDY}"
            )));
        }
        Ok((bounds.iter().map(|[from, _]| *from).collect(), Some(first)))
    }

    /// Whether bounds say that steps begin before their times.
    pub(super) fn are_later(&self) -> bool {
        let mut steps = self.times.iter().zip(self.bounds.iter().flatten());
        steps.any(|(at, [from, _])| at != from)
    }

    /// Whether no regular axis has these times, or one of which most steps would be empty: where
    /// the file does not say by bounds how long steps are, and most of its times are further apart
    /// than the closest.
    pub(super) fn are_irregular(&self) -> bool {
        let Ok((mut starts, width)) = self.cells() else {
            return true;
        };
        starts.sort_unstable();
        let spacings = spacings(&starts);
        let Some(step) = width.or_else(|| spacings.first().copied()) else {
            return false;
        };
        if width.is_none() && spacings[(spacings.len() - 1) / 2] > step {
            return true;
        }
        starts
            .iter()
            .any(|at| (at.nanoseconds() - starts[0].nanoseconds()) % step != 0)
    }

    /// The irregular dimension that has these times as events; `spacing` is the distance that is
    /// expected where the file does not say it by what most of them have.
    pub(super) fn events(&self, capacity: u32, spacing: Option<i128>) -> Result<Dimension> {
        let mut sorted = self.times.clone();
        sorted.sort_unstable();
        let spacings = spacings(&sorted);
        let Some(spacing) = spacing.or_else(|| spacings.get(spacings.len() / 2).copied()) else {
            return Err(Error::invalid(
                "the file has a single time, so no spacing; give the one that is expected with `--time-step 1h`, or another",
            ));
        };
        // The longest tick, up to a second, of which all are whole numbers.
        let since = |at: &Timestamp| at.nanoseconds() - self.unit.epoch().nanoseconds();
        let fits = |tick: &&Tick| {
            **tick <= Tick::Second
                && self
                    .times
                    .iter()
                    .all(|at| since(at) % tick.nanoseconds() == 0)
        };
        let tick = Tick::ALL
            .iter()
            .find(fits)
            .copied()
            .unwrap_or(Tick::Nanosecond);
        let unit = self.unit.in_ticks(tick);
        if let Some(far) = self.times.iter().find(|at| unit.ticks(**at).is_none()) {
            return Err(Error::invalid(format!(
                "the time {far} is too far from {} to be counted in {tick}",
                unit.epoch()
            )));
        }
        let spacing = u64::try_from(spacing / tick.nanoseconds())
            .unwrap_or(u64::MAX)
            .max(1);
        Ok(Dimension::irregular(
            "time",
            unit.to_string(),
            capacity,
            spacing,
        ))
    }

    /// The regular axis whose cell 0 is the first of these; `step` is the length of a cell where
    /// the file does not say it.
    pub(super) fn axis(&self, chunk: u32, step: Option<i128>) -> Result<Axis> {
        let (mut sorted, width) = self.cells()?;
        sorted.sort_unstable();
        let refused = |why: String| Err(Error::invalid(why));
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return refused(twice_on_steps(twice[0]));
        }
        let Some(step) = step.or(width).or(spacings(&sorted).into_iter().next()) else {
            return refused(
                "the file has a single time and no bounds, so no spacing; give it with `--time-step 1h`, or another".to_owned(),
            );
        };
        if step <= 0 {
            return refused(format!(
                "a time step of {step} nanoseconds is none; give a length above 0"
            ));
        }
        let origin = sorted[0];
        if let Some(off) = sorted
            .iter()
            .find(|at| (at.nanoseconds() - origin.nanoseconds()) % step != 0)
        {
            return refused(format!(
                "the time {off} is not a whole number of steps of {} after {origin}; {REMEDY}",
                Step(step)
            ));
        }
        // The longest tick of which the origin and the step are whole numbers, not longer than the
        // file's.
        let longest = |unit: TimeUnit| {
            let since = origin.nanoseconds() - unit.epoch().nanoseconds();
            let whole =
                |tick: &&Tick| since % tick.nanoseconds() == 0 && step % tick.nanoseconds() == 0;
            let fits = |tick: &&Tick| **tick <= unit.tick() && whole(tick);
            let tick = Tick::ALL
                .iter()
                .find(fits)
                .copied()
                .unwrap_or(Tick::Nanosecond);
            let exact = |number: i128| {
                i64::try_from(number)
                    .ok()
                    .filter(|number| number.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS)
            };
            Some((
                unit.in_ticks(tick),
                exact(since / tick.nanoseconds())?,
                exact(step / tick.nanoseconds())?,
            ))
        };
        // Where the file's ticks are too many to be kept exactly, longer ones, or those since the
        // first time.
        let unit = self.unit;
        let found = longest(unit)
            .or_else(|| longest(unit.in_ticks(Tick::Day)))
            .or_else(|| longest(TimeUnit::new(Tick::Day, origin)));
        match found {
            Some((unit, first, step)) => {
                Ok(Axis::new("time", first as f64, step as f64, chunk).unit(unit.to_string()))
            }
            None => refused(format!(
                "steps of {} are too long to be kept exactly",
                Step(step)
            )),
        }
    }

    /// The tick of each step on an irregular axis.
    pub(super) fn ticks(&self, axis: &Axis) -> Result<Vec<i64>> {
        let unit = time_of(axis)?;
        let times = self.as_in(unit.calendar())?.times;
        let tick = |at: &Timestamp| {
            let off = || {
                Error::invalid(format!(
                    "the time {at} is no whole number of {} since {}",
                    unit.tick(),
                    unit.epoch()
                ))
            };
            unit.ticks(*at).ok_or_else(off)
        };
        times.iter().map(tick).collect()
    }

    /// The cell of each step on a regular axis.
    pub(super) fn places(&self, axis: &Axis) -> Result<Vec<i64>> {
        let unit = time_of(axis)?;
        let (starts, width) = self.as_in(unit.calendar())?.cells()?;
        let length =
            |value: f64| Some(unit.instant(value)?.nanoseconds() - unit.epoch().nanoseconds());
        let (Some(origin), Some(step)) = (
            unit.instant(axis.origin()),
            length(axis.step()).filter(|step| *step != 0),
        ) else {
            return Err(Error::invalid(format!(
                "axis `{}` of the grid begins at no instant",
                axis.name()
            )));
        };
        if let Some(width) = width.filter(|width| *width != step) {
            return Err(Error::invalid(format!(
                "the file's times are of {}, the grid's of {}; make a grid for them with `gridstone create STORE NAME --like FILE`",
                Step(width),
                Step(step)
            )));
        }
        let place = |at: &Timestamp| {
            let since = at.nanoseconds() - origin.nanoseconds();
            let cell = (since % step == 0)
                .then(|| i64::try_from(since / step).ok())
                .flatten();
            cell.ok_or_else(|| {
                Error::invalid(format!(
                    "the time {at} does not lie on the grid's steps of {} from {origin}; {REMEDY}",
                    Step(step)
                ))
            })
        };
        starts.iter().map(place).collect()
    }
}

/// What a time axis counts.
fn time_of(axis: &Axis) -> Result<TimeUnit> {
    axis.time().ok_or_else(|| {
        Error::invalid(format!(
            "axis `{}` of the grid is no time axis: it has no unit like `hours since ...`",
            axis.name()
        ))
    })
}

/// The distances of rising times, rising.
fn spacings(times: &[Timestamp]) -> Vec<i128> {
    let mut spacings: Vec<i128> = times
        .windows(2)
        .map(|pair| pair[1].nanoseconds() - pair[0].nanoseconds())
        .collect();
    spacings.retain(|spacing| *spacing > 0);
    spacings.sort_unstable();
    spacings
}

/// A length of time for people.
struct Step(i128);

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tick = Tick::ALL
            .iter()
            .find(|tick| self.0 % tick.nanoseconds() == 0)
            .copied()
            .unwrap_or(Tick::Nanosecond);
        write!(f, "{} {tick}", self.0 / tick.nanoseconds())
    }
}

/// What is told of a time that is there twice where times are steps.
pub(super) fn twice_on_steps(at: Timestamp) -> String {
    format!(
        "the time {at} is there twice; make the grid with `--irregular` and import with `--overlap keep` or `--overlap replace`, or take one of the two away"
    )
}
