//! The times that stand in a file, from its numbers or texts.

use std::borrow::Cow;

use super::file::NetCdf;
use super::header::{Value, Variable};
use super::space::single;
use super::time::FileTimes;
use super::timing::Timing;
use crate::array::{Array, DType};
use crate::calendar::{Calendar, Tick, TimeUnit, Timestamp};
use crate::error::{Error, Result};

/// Steps of a file, at most.
const STEPS_MAX: usize = 1 << 24;
/// The day from which on the calendar `standard` is the Gregorian one.
const REFORM: (i64, i64, i64) = (1582, 10, 15);

/// How the numbers of a time coordinate are read.
struct TimeDecoder {
    unit: TimeUnit,
    scale: f64,
    offset: f64,
    /// What is to be known of it.
    note: Option<String>,
}

impl FileTimes {
    /// Reads the times that a variable has.
    pub(super) fn read(file: &NetCdf, timing: &Timing) -> Result<Self> {
        let variable = timing.times;
        let refused = |cause: Error| {
            Error::new(
                cause.kind().clone(),
                format!("time coordinate `{}`: {}", variable.name, cause.sentence()),
            )
        };
        let times = if variable.dtype.is_some() {
            of_numbers(file, variable)
        } else {
            of_texts(file, variable)
        };
        let times = times.and_then(|times| match timing.lead {
            Some(lead) => later(&times, file, lead),
            None => Ok(times),
        });
        let times = times.map_err(refused)?;
        if times.times.is_empty() {
            return Err(refused(Error::invalid("it has no values")));
        }
        Ok(plain(times))
    }
}

fn of_numbers(file: &NetCdf, variable: &Variable) -> Result<FileTimes> {
    let clock = TimeDecoder::of(file, variable)?;
    let times = clock.instants(file, variable)?;
    let bounds = variable
        .text("bounds")
        .and_then(|name| file.header().near(variable, name));
    let bounds = bounds
        .map(|bounds| clock.instants(file, bounds))
        .transpose()?;
    if let Some(edges) = bounds
        .as_ref()
        .filter(|edges| edges.len() != 2 * times.len())
    {
        return Err(Error::invalid(format!(
            "its bounds are {} numbers for {} steps",
            edges.len(),
            times.len()
        )));
    }
    let bounds = bounds.map(|edges| edges.as_chunks().0.to_vec());
    Ok(FileTimes {
        unit: clock.unit,
        times,
        bounds,
        note: clock.note,
    })
}

fn of_texts(file: &NetCdf, variable: &Variable) -> Result<FileTimes> {
    let calendar: Calendar = variable.text("calendar").unwrap_or_default().parse()?;
    let read = |(step, text): (usize, &String)| {
        Timestamp::read(text, calendar).map_err(|cause| {
            let (dimension, last) = (variable.dimensions.first().map_or("time", |of| of.name.as_str()), step.saturating_sub(1));
            Error::invalid(format!(
                "{}; take such steps away, as with `ncks -d {dimension},0,{last} FILE PART.nc`, or say with `--time` which other variable has the times",
                cause.sentence()
            ))
        })
    };
    let times = file
        .texts(&variable.name)?
        .iter()
        .enumerate()
        .map(read)
        .collect::<Result<Vec<_>>>()?;
    let first = times
        .first()
        .copied()
        .ok_or_else(|| Error::invalid("it has no values"))?;
    Ok(FileTimes {
        unit: TimeUnit::new(Tick::Day, first),
        times,
        bounds: None,
        note: None,
    })
}

/// Times that are later than a reference time by what a variable says.
fn later(start: &FileTimes, file: &NetCdf, lead: &Variable) -> Result<FileTimes> {
    let tick: Tick = lead.text("units").unwrap_or_default().parse()?;
    let from = start
        .times
        .first()
        .copied()
        .ok_or_else(|| Error::invalid("there is no reference time"))?;
    let clock = TimeDecoder {
        unit: TimeUnit::new(tick, from),
        ..TimeDecoder::plain(start.unit)
    };
    let note = format!(
        "`{}` and `{}` together are the times",
        lead.name, "the reference time"
    );
    Ok(FileTimes {
        unit: start.unit,
        times: clock.instants(file, lead)?,
        bounds: None,
        note: start.note.clone().or(Some(note)),
    })
}

/// The same by ISO 8601, where that gives each time the date that its own calendar does.
fn plain(times: FileTimes) -> FileTimes {
    let late =
        Timestamp::from_date(Calendar::Gregorian, REFORM).map_or(i128::MAX, Timestamp::nanoseconds);
    let mut all = times
        .times
        .iter()
        .chain(times.bounds.iter().flatten().flatten());
    if times.unit.calendar() != Calendar::Standard || !all.all(|at| at.nanoseconds() >= late) {
        return times;
    }
    times.in_calendar(Calendar::Gregorian).unwrap_or(times)
}

impl TimeDecoder {
    fn plain(unit: TimeUnit) -> Self {
        Self {
            unit,
            scale: 1.0,
            offset: 0.0,
            note: None,
        }
    }

    /// What a variable says of its numbers; an error says how to mend it.
    fn of(file: &NetCdf, variable: &Variable) -> Result<Self> {
        let text = |name: &str| variable.text(name).unwrap_or_default();
        let units = dated(text("units"));
        let (units, calendar) = (units.as_ref(), text("calendar"));
        let name = variable.leaf();
        let number = |name: &str| {
            variable
                .attribute(name)
                .and_then(|value| value.numbers()?.first().copied())
        };
        let (scale, offset) = (
            number("scale_factor").unwrap_or(1.0),
            number("add_offset").unwrap_or(0.0),
        );
        let of = |unit: TimeUnit, scale: f64| Self {
            unit,
            scale,
            offset,
            note: None,
        };
        let remedy = |cause: Error, remedy: String| {
            Error::invalid(format!("{}; {remedy}", cause.sentence()))
        };
        let set = |attribute: &str, to: &str| {
            format!("say it with `ncatted -a {attribute},{name},o,c,'{to}' FILE`")
        };
        let known: Calendar = calendar
            .parse()
            .map_err(|cause| remedy(cause, set("calendar", "standard")))?;
        let (lower, first) = (
            units.to_ascii_lowercase(),
            units
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase(),
        );
        let in_days = || {
            TimeUnit::parse(
                &format!("days{}", &units.trim_start()[first.len()..]),
                calendar,
            )
        };
        let (is_weeks, months) = (
            ["week", "weeks"].contains(&first.as_str()),
            months_of(&first),
        );
        match months {
            Some(months) if known == Calendar::Days360 => {
                return Ok(of(in_days()?, scale * 30.0 * f64::from(months)));
            }
            None if is_weeks => return Ok(of(in_days()?, scale * 7.0)),
            _ => {}
        }
        let cause = match TimeUnit::parse(units, calendar) {
            Ok(unit) => return Ok(of(unit, scale)),
            Err(cause) => cause,
        };
        let iso = TimeUnit::parse(units, Calendar::Gregorian.name())
            .ok()
            .filter(|unit| unit.epoch().date().0 == 0);
        match iso.filter(|_| !known.has_year_0()) {
            Some(unit) if known == Calendar::Standard => {
                let note = format!(
                    "`{units}`: the calendar standard has no year 0, so its dates are taken as ISO 8601 has them"
                );
                Ok(Self {
                    note: Some(note),
                    ..of(unit, scale)
                })
            }
            Some(_) => Err(remedy(cause, set("calendar", "proleptic_gregorian"))),
            None if lower.starts_with("day as") => Err(remedy(
                cause,
                "make such units with `cdo -r copy FILE WITH_UNITS.nc`".to_owned(),
            )),
            None => match months.zip(in_days().ok()) {
                Some((months, days)) => Err(remedy(cause, anew(file, variable, days, months)?)),
                None => {
                    let tick = first
                        .parse::<Tick>()
                        .map_or("hours".to_owned(), |tick| tick.to_string());
                    Err(remedy(
                        cause,
                        set("units", &format!("{tick} since 2000-01-01")),
                    ))
                }
            },
        }
    }

    /// The instants of a variable's numbers.
    fn instants(&self, file: &NetCdf, variable: &Variable) -> Result<Vec<Timestamp>> {
        let array = file.whole(variable)?;
        let (dtype, count) = (array.dtype(), array.shape().iter().product::<usize>());
        if count > STEPS_MAX {
            return Err(Error::invalid(format!(
                "variable `{}` has {count} times, more than {STEPS_MAX}",
                variable.name
            )));
        }
        let unit = self.unit;
        let all = |times: Vec<Option<Timestamp>>| {
            let instants = times.iter().copied().collect::<Option<Vec<_>>>();
            instants.ok_or_else(|| strange(variable, &array, unit, &times))
        };
        let fills = ["_FillValue", "missing_value"]
            .into_iter()
            .filter_map(|name| variable.attribute(name).and_then(Value::numbers));
        let fills: Vec<f64> = fills.flatten().collect();
        if let Some(wholes) = integers(&array).filter(|_| (self.scale, self.offset) == (1.0, 0.0)) {
            let instant = |value: i128| {
                let never = never_written(dtype) == Some(value) || fills.contains(&(value as f64));
                let ticks = i64::try_from(value).ok().filter(|_| !never);
                ticks.and_then(|ticks| unit.timestamp(ticks))
            };
            return all(wholes.into_iter().map(instant).collect());
        }
        let stored: Vec<f64> = array.iter_f64().collect();
        let within = |precision: f64| {
            let instant = |stored: &f64| {
                let value = stored * self.scale + self.offset;
                unit.roundest(value, value.abs() * precision)
                    .filter(|_| !fills.contains(stored))
            };
            all(stored.iter().map(instant).collect())
        };
        let single_precision = f64::from(f32::EPSILON) / 2.0;
        if dtype == DType::F32 {
            return within(single_precision);
        }
        let times = within(f64::EPSILON)?;
        // Doubles that went through a float32 are of no whole milliseconds.
        let crooked = times.iter().any(|at| at.nanoseconds() % 1_000_000 != 0);
        if crooked
            && stored
                .iter()
                .all(|value| f64::from(single(*value)).total_cmp(value).is_eq())
        {
            return within(single_precision);
        }
        Ok(times)
    }
}

/// What is told of numbers of which some are no times: the first of these, and the command that
/// keeps the longest run of the others.
fn strange(
    variable: &Variable,
    numbers: &Array,
    unit: TimeUnit,
    times: &[Option<Timestamp>],
) -> Error {
    let first = times.iter().position(Option::is_none).unwrap_or(0);
    let value = numbers.iter_f64().nth(first).unwrap_or(f64::NAN);
    let shown = if value.abs() < 1e15 {
        value.to_string()
    } else {
        format!("{value:e}")
    };
    let (mut best, mut from) = (0..0, 0);
    for (step, time) in times.iter().enumerate() {
        if time.is_none() {
            from = step + 1;
        } else if step + 1 - from > best.len() {
            best = from..step + 1;
        }
    }
    let remedy = match variable.dimensions.as_slice() {
        [of] if !best.is_empty() => format!(
            "take steps without a time away, as with `ncks -d {},{},{} FILE PART.nc`",
            of.name,
            best.start,
            best.end - 1
        ),
        _ => format!(
            "take it away with `ncks -C -x -v {} FILE TIMELESS.nc`, or say with `--time` which other variable has the times",
            variable.leaf()
        ),
    };
    Error::invalid(format!(
        "variable `{}`: {shown} {unit} is no time that can be kept; {remedy}",
        variable.name
    ))
}

/// Units of time with a date that is written without what lies between its parts, as UDUNITS reads
/// it: `days since 20000131`, `days since 2000`.
fn dated(units: &str) -> Cow<'_, str> {
    let Some(at) = units.to_ascii_lowercase().find(" since ") else {
        return units.into();
    };
    let (tick, rest) = units.split_at(at + " since ".len());
    let (date, clock) = rest.split_at(rest.find([' ', 'T', 't']).unwrap_or(rest.len()));
    match date.len() {
        _ if !date.bytes().all(|byte| byte.is_ascii_digit()) => units.into(),
        8 => format!("{tick}{}-{}-{}{clock}", &date[..4], &date[4..6], &date[6..]).into(),
        4 => format!("{tick}{date}-01-01{clock}").into(),
        _ => units.into(),
    }
}

/// How many months a unit is, which are of no fixed length.
fn months_of(unit: &str) -> Option<u8> {
    match unit {
        "month" | "months" | "mon" => Some(1),
        "year" | "years" | "yr" | "yrs" => Some(12),
        _ => None,
    }
}

/// The command that counts the times of a file anew, which it counts in units of `months` from the
/// epoch of `days` on.
fn anew(file: &NetCdf, variable: &Variable, days: TimeUnit, months: u8) -> Result<String> {
    let numbers: Vec<f64> = file.whole(variable)?.iter_f64().collect();
    let (year, month, day) = days.epoch().date();
    let first = numbers.first().copied().unwrap_or(0.0) * f64::from(months);
    let step = numbers
        .get(1)
        .map_or(1.0, |second| second * f64::from(months) - first)
        .abs()
        .round()
        .max(1.0);
    // Months since the year 0, of which the parts are days of a month of 30.
    let all = year as f64 * 12.0 + (month - 1) as f64 + first.floor();
    let day = day as f64 + ((first - first.floor()) * 30.0).round();
    Ok(format!(
        "set the times anew, as with `cdo -r settaxis,{:04}-{:02}-{day:02},00:00:00,{step}mon FILE WITH_TIMES.nc`, if the first one is meant by that",
        (all / 12.0).floor(),
        all.rem_euclid(12.0) + 1.0
    ))
}

/// Whole numbers, exactly; `None` of others.
fn integers(array: &Array) -> Option<Vec<i128>> {
    fn of<T: Copy + Into<i128>>(cells: &ndarray::ArrayD<T>) -> Option<Vec<i128>> {
        Some(cells.iter().map(|cell| (*cell).into()).collect())
    }
    match array {
        Array::U8(cells) => of(cells),
        Array::I8(cells) => of(cells),
        Array::U16(cells) => of(cells),
        Array::I16(cells) => of(cells),
        Array::U32(cells) => of(cells),
        Array::I32(cells) => of(cells),
        Array::U64(cells) => of(cells),
        Array::I64(cells) => of(cells),
        Array::F32(_) | Array::F64(_) => None,
    }
}

/// What netCDF writes where an integer was never put; of floating point it lies beyond all times.
fn never_written(dtype: DType) -> Option<i128> {
    match dtype {
        DType::I32 => Some(-2_147_483_647),
        DType::I64 => Some(-9_223_372_036_854_775_806),
        DType::U64 => Some(18_446_744_073_709_551_614),
        _ => None,
    }
}
