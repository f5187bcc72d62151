//! Time coordinates: their instants, the axis that they make, and their places on one.

use super::file::NetCdf;
use crate::array::DType;
use crate::calendar::{Tick, TimeUnit, Timestamp};
use crate::error::{Error, Result};
use crate::grid::{Axis, Dimension};

/// Steps of a file, at most.
const STEPS_MAX: usize = 1 << 24;

/// The time coordinate of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) unit: TimeUnit,
    /// The time of each step.
    pub(super) times: Vec<Timestamp>,
    /// From when to when the cell of each step goes, if the file says so.
    pub(super) bounds: Option<Vec<[Timestamp; 2]>>,
}

/// What is told of times that lie on no steps.
const REMEDY: &str = "make the grid with `--irregular` to keep exact times";

impl Times {
    /// Reads the coordinate variable of a dimension.
    pub(super) fn read(file: &NetCdf, name: &str) -> Result<Self> {
        let refused = |why: String| Error::invalid(format!("time coordinate `{name}`: {why}"));
        let variable = file.header().variable(name).ok_or_else(|| refused("there is no such variable".to_owned()))?;
        let calendar = variable.text("calendar").unwrap_or_default().to_owned();
        let units = variable.text("units").unwrap_or_default().to_owned();
        let bounds = variable.text("bounds").map(str::to_owned).filter(|name| file.header().variable(name).is_some());
        let unit = TimeUnit::parse(&units, &calendar).map_err(|cause| refused(cause.to_string()))?;
        let times = instants(file, name, unit)?;
        if times.is_empty() {
            return Err(refused("it has no values".to_owned()));
        }
        let Some(bounds) = bounds else { return Ok(Self { unit, times, bounds: None }) };
        let edges = instants(file, &bounds, unit)?;
        if edges.len() != 2 * times.len() {
            return Err(refused(format!("its bounds `{bounds}` are {} numbers for {} steps", edges.len(), times.len())));
        }
        Ok(Self { unit, times, bounds: Some(edges.as_chunks().0.to_vec()) })
    }

    /// The times of several files, each once, in the unit of the first.
    pub(super) fn together<'a>(all: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut all = all.into_iter();
        let first = all.next()?.clone();
        let together = all.fold(first, |mut together, more| {
            together.times.extend(&more.times);
            let bounds = together.bounds.zip(more.bounds.as_ref());
            together.bounds = bounds.map(|(bounds, more)| [bounds.as_slice(), more.as_slice()].concat());
            together
        });
        let starts = together.bounds.clone().unwrap_or_else(|| together.times.iter().map(|at| [*at, *at]).collect());
        let mut steps: Vec<_> = together.times.iter().copied().zip(starts).collect();
        steps.sort_unstable();
        steps.dedup();
        let (times, bounds): (_, Vec<_>) = steps.into_iter().unzip();
        Some(Self { times, bounds: together.bounds.map(|_| bounds), unit: together.unit })
    }

    /// Where the cell of each step begins on a regular axis, and how long it is if the file says so by bounds.
    pub(super) fn cells(&self) -> Result<(Vec<Timestamp>, Option<i128>)> {
        let Some(bounds) = &self.bounds else { return Ok((self.times.clone(), None)) };
        let mut widths = bounds.iter().map(|[from, to]| to.nanoseconds() - from.nanoseconds());
        let first = widths.next().unwrap_or(0);
        if first <= 0 || widths.any(|width| width != first) {
            return Err(Error::invalid(format!("the bounds of the times are not cells of one length; {REMEDY}")));
        }
        Ok((bounds.iter().map(|[from, _]| *from).collect(), Some(first)))
    }

    /// Whether no regular axis has these times, or one of which most steps would be empty: where the file does not say by bounds
    /// how long steps are, and most of its times are further apart than the closest.
    pub(super) fn are_irregular(&self) -> bool {
        let Ok((mut starts, width)) = self.cells() else { return true };
        starts.sort_unstable();
        let spacings = spacings(&starts);
        let Some(step) = width.or_else(|| spacings.first().copied()) else { return false };
        if width.is_none() && spacings[(spacings.len() - 1) / 2] > step {
            return true;
        }
        starts.iter().any(|at| (at.nanoseconds() - starts[0].nanoseconds()) % step != 0)
    }

    /// The irregular dimension that has these times as events; `spacing` is the distance that is expected where the file does
    /// not say it by what most of them have.
    pub(super) fn events(&self, capacity: u32, spacing: Option<i128>) -> Result<Dimension> {
        let mut sorted = self.times.clone();
        sorted.sort_unstable();
        let spacings = spacings(&sorted);
        let Some(spacing) = spacing.or_else(|| spacings.get(spacings.len() / 2).copied()) else {
            return Err(Error::invalid(
                "the file has a single time, so no spacing; give the one that is expected with `--time-step`",
            ));
        };
        // The longest tick, up to a second, of which all are whole numbers.
        let since = |at: &Timestamp| at.nanoseconds() - self.unit.epoch().nanoseconds();
        let fits = |tick: &&Tick| **tick <= Tick::Second && self.times.iter().all(|at| since(at) % tick.nanoseconds() == 0);
        let tick = Tick::ALL.iter().find(fits).copied().unwrap_or(Tick::Nanosecond);
        let unit = self.unit.in_ticks(tick);
        if let Some(far) = self.times.iter().find(|at| unit.ticks(**at).is_none()) {
            return Err(Error::invalid(format!("the time {far} is too far from {} to be counted in {tick}", unit.epoch())));
        }
        let spacing = u64::try_from(spacing / tick.nanoseconds()).unwrap_or(u64::MAX).max(1);
        Ok(Dimension::irregular("time", unit.to_string(), capacity, spacing))
    }

    /// The regular axis whose cell 0 is the first of these; `step` is the length of a cell where the file does not say it.
    pub(super) fn axis(&self, chunk: u32, step: Option<i128>) -> Result<Axis> {
        let (mut sorted, width) = self.cells()?;
        sorted.sort_unstable();
        let refused = |why: String| Err(Error::invalid(why));
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return refused(format!("there is the time {} twice", twice[0]));
        }
        let Some(step) = step.or(width).or(spacings(&sorted).into_iter().next()) else {
            return refused("the file has a single time and no bounds, so no spacing; give it with `--time-step`".to_owned());
        };
        let origin = sorted[0];
        if let Some(off) = sorted.iter().find(|at| (at.nanoseconds() - origin.nanoseconds()) % step != 0) {
            return refused(format!("the time {off} is not a whole number of steps of {} after {origin}; {REMEDY}", Step(step)));
        }
        // The longest tick of which the origin and the step are whole numbers, not longer than the file's.
        let since = origin.nanoseconds() - self.unit.epoch().nanoseconds();
        let fits = |tick: &&Tick| **tick <= self.unit.tick() && since % tick.nanoseconds() == 0 && step % tick.nanoseconds() == 0;
        let tick = Tick::ALL.iter().find(fits).copied().unwrap_or(Tick::Nanosecond);
        let unit = self.unit.in_ticks(tick);
        let (first, step) = (since / tick.nanoseconds(), step / tick.nanoseconds());
        let exact = |number: i128| i64::try_from(number).ok().filter(|number| number.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS);
        match (exact(first), exact(step)) {
            (Some(first), Some(step)) => Ok(Axis::new("time", first as f64, step as f64, chunk).unit(unit.to_string())),
            _ => refused(format!("times in {unit} are too large to be kept exactly")),
        }
    }

    /// The tick of each step on an irregular axis.
    pub(super) fn ticks(&self, axis: &Axis) -> Result<Vec<i64>> {
        let unit = time_of(axis)?;
        let tick = |at: &Timestamp| {
            let off = || Error::invalid(format!("the time {at} is no whole number of {} since {}", unit.tick(), unit.epoch()));
            unit.ticks(*at).ok_or_else(off)
        };
        self.times.iter().map(tick).collect()
    }

    /// The cell of each step on a regular axis.
    pub(super) fn places(&self, axis: &Axis) -> Result<Vec<i64>> {
        let (unit, (starts, width)) = (time_of(axis)?, self.cells()?);
        let length = |value: f64| Some(unit.instant(value)?.nanoseconds() - unit.epoch().nanoseconds());
        let (Some(origin), Some(step)) = (unit.instant(axis.origin()), length(axis.step()).filter(|step| *step != 0)) else {
            return Err(Error::invalid(format!("axis `{}` of the grid begins at no instant", axis.name())));
        };
        if let Some(width) = width.filter(|width| *width != step) {
            return Err(Error::invalid(format!("the file's times are of {}, the grid's of {}", Step(width), Step(step))));
        }
        let place = |at: &Timestamp| {
            let since = at.nanoseconds() - origin.nanoseconds();
            let cell = (since % step == 0).then(|| i64::try_from(since / step).ok()).flatten();
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
        Error::invalid(format!("axis `{}` of the grid is no time axis: it has no unit like `hours since ...`", axis.name()))
    })
}

/// The distances of rising times, rising.
fn spacings(times: &[Timestamp]) -> Vec<i128> {
    let mut spacings: Vec<i128> = times.windows(2).map(|pair| pair[1].nanoseconds() - pair[0].nanoseconds()).collect();
    spacings.retain(|spacing| *spacing > 0);
    spacings.sort_unstable();
    spacings
}

/// A length of time for people.
struct Step(i128);

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tick = Tick::ALL.iter().find(|tick| self.0 % tick.nanoseconds() == 0).copied().unwrap_or(Tick::Nanosecond);
        write!(f, "{} {tick}", self.0 / tick.nanoseconds())
    }
}

/// The instants of a variable's numbers.
fn instants(file: &NetCdf, name: &str, unit: TimeUnit) -> Result<Vec<Timestamp>> {
    let (values, dtype) = file.doubles(name)?;
    if values.len() > STEPS_MAX {
        return Err(Error::invalid(format!("variable `{name}` has {} times, more than {STEPS_MAX}", values.len())));
    }
    let instant = |value: &f64| {
        let precision = match dtype {
            DType::F32 => value.abs() * f64::from(f32::EPSILON) / 2.0,
            DType::F64 => value.abs() * f64::EPSILON,
            _ => 0.0,
        };
        unit.roundest(*value, precision)
            .ok_or_else(|| Error::invalid(format!("variable `{name}`: {value} {unit} is no time that can be kept")))
    };
    values.iter().map(instant).collect()
}
