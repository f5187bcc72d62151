//! Time coordinates: their instants, the regular axis that they make, and their places on one.

use super::file::NetCdf;
use crate::array::DType;
use crate::calendar::{Tick, TimeUnit, Timestamp};
use crate::error::{Error, Result};
use crate::grid::Axis;

/// Steps of a file, at most.
const STEPS_MAX: usize = 1 << 24;

/// The time coordinate of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) unit: TimeUnit,
    /// Where the cell of each step begins: its lower bound if the file has bounds, else its time.
    pub(super) starts: Vec<Timestamp>,
    /// How long each cell is, if the file says so by bounds.
    width: Option<i128>,
}

/// What irregular times are told.
const IRREGULAR: &str = "irregular time is not supported yet";

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
        let Some(bounds) = bounds else { return Ok(Self { unit, starts: times, width: None }) };
        let edges = instants(file, &bounds, unit)?;
        let cells: Vec<[Timestamp; 2]> = edges.as_chunks().0.to_vec();
        if edges.len() != 2 * times.len() {
            return Err(refused(format!("its bounds `{bounds}` are {} numbers for {} steps", edges.len(), times.len())));
        }
        let widths = cells.iter().map(|[from, to]| to.nanoseconds() - from.nanoseconds());
        let width = widths.clone().min().filter(|width| *width > 0 && widths.clone().all(|other| other == *width));
        let width = width.ok_or_else(|| refused(format!("its bounds `{bounds}` are not cells of one length: {IRREGULAR}")))?;
        Ok(Self { unit, starts: cells.into_iter().map(|[from, _]| from).collect(), width: Some(width) })
    }

    /// The regular axis whose cell 0 is the first of these; `step` is the length of a cell where the file does not say it.
    pub(super) fn axis(&self, chunk: u32, step: Option<i128>) -> Result<Axis> {
        let mut sorted = self.starts.clone();
        sorted.sort_unstable();
        let refused = |why: String| Err(Error::invalid(why));
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return refused(format!("the file has the time {} twice", twice[0]));
        }
        let spacing = sorted.windows(2).map(|pair| pair[1].nanoseconds() - pair[0].nanoseconds()).min();
        let Some(step) = step.or(self.width).or(spacing) else {
            return refused("the file has a single time and no bounds, so no spacing; give it with `--time-step`".to_owned());
        };
        let origin = sorted[0];
        if let Some(off) = sorted.iter().find(|at| (at.nanoseconds() - origin.nanoseconds()) % step != 0) {
            return refused(format!(
                "the time {off} is not a whole number of steps of {} after {origin}: {IRREGULAR}",
                Step(step)
            ));
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

    /// The cell of each step on a regular axis.
    pub(super) fn cells(&self, axis: &Axis) -> Result<Vec<i64>> {
        let unit = axis.time().ok_or_else(|| {
            Error::invalid(format!("axis `{}` of the grid is no time axis: it has no unit like `hours since ...`", axis.name()))
        })?;
        let length = |value: f64| Some(unit.instant(value)?.nanoseconds() - unit.epoch().nanoseconds());
        let (Some(origin), Some(step)) = (unit.instant(axis.origin()), length(axis.step()).filter(|step| *step != 0)) else {
            return Err(Error::invalid(format!("axis `{}` of the grid begins at no instant", axis.name())));
        };
        if let Some(width) = self.width.filter(|width| *width != step) {
            return Err(Error::invalid(format!("the file's times are of {}, the grid's of {}", Step(width), Step(step))));
        }
        let place = |at: &Timestamp| {
            let since = at.nanoseconds() - origin.nanoseconds();
            let cell = (since % step == 0).then(|| i64::try_from(since / step).ok()).flatten();
            cell.ok_or_else(|| {
                Error::invalid(format!(
                    "the time {at} does not lie on the grid's steps of {} from {origin}: {IRREGULAR}",
                    Step(step)
                ))
            })
        };
        self.starts.iter().map(place).collect()
    }
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
