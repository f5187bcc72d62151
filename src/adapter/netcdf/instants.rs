//! The times that stand in a file, from its numbers or texts.

use std::borrow::Cow;

use super::TOLERANCE;
use super::file::NetCdf;
use super::header::Variable;
use super::remedy;
use super::stored::{StoredNumbers, are_cells, bounds_of, single, without};
use super::time::FileTimes;
use super::timing::Timing;
use crate::array::{Cells, DType};
use crate::calendar::{Calendar, Tick, TimeUnit, Timestamp};
use crate::error::{Error, Result};

/// Steps of a file, at most.
const STEPS_MAX: usize = 1 << 24;
/// The day from which on the calendar `standard` is the Gregorian one.
const REFORM: (i64, i64, i64) = (1582, 10, 15);

/// What the values of a time coordinate count.
struct TimeDecoder {
    unit: TimeUnit,
    /// How many of these one value is.
    factor: f64,
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
    let clock = TimeDecoder::of(file, variable, variable)?;
    let stored = StoredNumbers::read(file, variable)?;
    let times = clock.instants(variable, &stored)?;
    let climatology = variable.text("climatology");
    let bounds = match bounds_of(file.header(), variable) {
        Some(bounds) if variable.text("bounds") != climatology => {
            cells(file, variable, &stored, &times, bounds)?
        }
        _ => None,
    };
    let climatology = climatology.map(|bounds| {
        format!(
            "its times are of a climatology: over which years their values go, which its bounds `{bounds}` say, the grid does not keep"
        )
    });
    let notes: Vec<String> = clock.note.into_iter().chain(climatology).collect();
    Ok(FileTimes {
        unit: clock.unit,
        times,
        bounds,
        note: Some(notes.join("; ")).filter(|note| !note.is_empty()),
    })
}

/// From when to when each step goes by the bounds of a time coordinate, which may be given either
/// way round, in its calendar. Bounds have units and a calendar of their own where they say so.
/// `None` of bounds that are nowhere any cells: times of instants, or what was never written.
fn cells(
    file: &NetCdf,
    variable: &Variable,
    stored: &StoredNumbers,
    times: &[Timestamp],
    bounds: &Variable,
) -> Result<Option<Vec<[Timestamp; 2]>>> {
    let numbers = StoredNumbers::bounds(file, bounds, variable, stored)?;
    if numbers.cells.len() == 2 * times.len() && !are_cells(&numbers.values()) {
        return Ok(None);
    }
    let edges = TimeDecoder::of(file, bounds, variable)?.instants(bounds, &numbers)?;
    let misfit = |why: String| {
        Error::invalid(format!(
            "its bounds `{}` {why}; {}",
            bounds.name,
            without(bounds)
        ))
    };
    if edges.len() != 2 * times.len() {
        return Err(misfit(format!(
            "are {} numbers for {} steps",
            edges.len(),
            times.len()
        )));
    }
    let pairs = edges.as_chunks::<2>().0.iter().zip(times);
    let pair = |([a, b], at): (&[Timestamp; 2], &Timestamp)| {
        let of = |edge: &Timestamp| edge.in_calendar(at.calendar());
        let (Some(a), Some(b)) = (of(a), of(b)) else {
            return Err(misfit(format!(
                "are of the calendar {}, its times of {}",
                a.calendar(),
                at.calendar()
            )));
        };
        let (from, to) = (a.min(b), a.max(b));
        let length = |to: Timestamp| (to.nanoseconds() - from.nanoseconds()) as f64;
        let slack = length(to) * TOLERANCE;
        // A step may be known by its beginning or its end.
        if (-slack..=length(to) + slack).contains(&length(*at)) {
            Ok([from, to])
        } else {
            Err(misfit(format!(
                "do not fit it: {at} is not between {a} and {b}"
            )))
        }
    };
    pairs.map(pair).collect::<Result<_>>().map(Some)
}

fn of_texts(file: &NetCdf, variable: &Variable) -> Result<FileTimes> {
    let calendar: Calendar = variable.text("calendar").unwrap_or_default().parse()?;
    let read = |(step, text): (usize, &String)| {
        Timestamp::read(text, calendar).map_err(|cause| {
            let (dimension, last) = (variable.dimensions.first().map_or("time", |of| of.name.as_str()), step.saturating_sub(1));
            Error::invalid(format!(
                "{}; take such steps away, as with `ncks {} FILE PART.nc`, or say with `--time` which other variable has the times",
                cause.sentence(),
                remedy::part(dimension, 0, last)
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
        times: clock.instants(lead, &StoredNumbers::read(file, lead)?)?,
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
            factor: 1.0,
            note: None,
        }
    }

    /// What a variable says of its values, or else `coordinate`, whose bounds they are; an error
    /// says how to mend it. Units of bounds without a date (`days`) say nothing.
    fn of(file: &NetCdf, variable: &Variable, coordinate: &Variable) -> Result<Self> {
        let text = |name: &str| {
            let is_whole =
                |text: &&str| name != "units" || text.to_ascii_lowercase().contains(" since ");
            let own = variable.text(name).filter(is_whole);
            own.or_else(|| coordinate.text(name)).unwrap_or_default()
        };
        let units = dated(text("units"));
        let (units, calendar) = (units.as_ref(), text("calendar"));
        let name = variable.leaf();
        let of = |unit: TimeUnit, factor: f64| Self {
            unit,
            factor,
            note: None,
        };
        let with = |cause: Error, remedy: String| {
            Error::invalid(format!("{}; {remedy}", cause.sentence()))
        };
        let set = |attribute: &str, to: &str| {
            format!("say it with `{}`", remedy::set(attribute, name, to))
        };
        let known: Calendar = calendar
            .parse()
            .map_err(|cause| with(cause, set("calendar", "standard")))?;
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
                return Ok(of(in_days()?, 30.0 * f64::from(months)));
            }
            None if is_weeks => return Ok(of(in_days()?, 7.0)),
            _ => {}
        }
        let cause = match TimeUnit::parse(units, calendar) {
            Ok(unit) => return Ok(of(unit, 1.0)),
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
                    ..of(unit, 1.0)
                })
            }
            Some(_) => Err(with(cause, set("calendar", "proleptic_gregorian"))),
            None if lower.starts_with("day as") => Err(with(
                cause,
                "make such units with `cdo -r copy FILE WITH_UNITS.nc`".to_owned(),
            )),
            None => match months.zip(in_days().ok()) {
                Some((months, days)) => Err(with(cause, anew(file, variable, days, months)?)),
                None => {
                    let tick = first
                        .parse::<Tick>()
                        .map_or("hours".to_owned(), |tick| tick.to_string());
                    Err(with(
                        cause,
                        set("units", &format!("{tick} since YYYY-MM-DD")),
                    ))
                }
            },
        }
    }

    /// The instants of a variable's numbers.
    fn instants(&self, variable: &Variable, stored: &StoredNumbers) -> Result<Vec<Timestamp>> {
        let (cells, count) = (&stored.cells, stored.cells.len());
        let dtype = cells.dtype();
        if count > STEPS_MAX {
            return Err(Error::invalid(format!(
                "variable `{}` has {count} times, more than {STEPS_MAX}",
                variable.name
            )));
        }
        let unit = self.unit;
        let all = |times: Vec<Option<Timestamp>>| {
            let instants = times.iter().copied().collect::<Option<Vec<_>>>();
            instants.ok_or_else(|| strange(variable, cells, unit, &times))
        };
        let is_plain = stored.packing.is_none() && self.factor.total_cmp(&1.0).is_eq();
        if is_plain && !dtype.is_float() {
            let instant = |cell: usize| {
                let whole = cells.number(cell).whole();
                let ticks = i64::try_from(whole.filter(|_| !stored.is_missing[cell])?).ok()?;
                unit.timestamp(ticks)
            };
            return all((0..count).map(instant).collect());
        }
        let values = stored.values();
        let within = |precision: f64| {
            let instant = |value: &f64| {
                let value = value * self.factor;
                unit.roundest(value, value.abs() * precision)
            };
            all(values.iter().map(instant).collect())
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
                .numbers()
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
    numbers: &Cells,
    unit: TimeUnit,
    times: &[Option<Timestamp>],
) -> Error {
    let first = times.iter().position(Option::is_none).unwrap_or(0);
    let value = numbers.number(first).to_f64();
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
            "take steps without a time away, as with `ncks {} FILE PART.nc`",
            remedy::part(&of.name, best.start, best.end - 1)
        ),
        _ => format!(
            "take it away with `{}`, or say with `--time` which other variable has the times",
            remedy::without(variable.leaf(), "TIMELESS.nc")
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
    let numbers = StoredNumbers::read(file, variable)?.values();
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
    let (year, month) = ((all / 12.0).floor(), all.rem_euclid(12.0) + 1.0);
    let date = format!("{year:04}-{month:02}-{day:02},00:00:00");
    Ok(format!(
        "set the times anew, as with `cdo -r -setreftime,{date},days -settaxis,{date},{step}mon FILE WITH_TIMES.nc`, if the first one is meant by that"
    ))
}
