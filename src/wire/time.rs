//! Times: which axis has them, and how they are read and shown.

use std::ops::Range;
use std::str::FromStr;

use crate::adapter::RasterAxes;
use crate::calendar::{Calendar, Tick, TimeUnit, Timestamp};
use crate::error::{Error, Result};
use crate::grid::{Axis, Extent, Structure, Window};
use crate::store::Grid;

/// A place along an axis: a time of ISO 8601, or a number of its ticks or world units. Which
/// calendar a time is of, the axis says; along one of time a number of four digits is a year, and
/// one of eight a date (`20200131`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instant {
    /// A time as it is written.
    Time(Timestamp),
    /// A number of the axis.
    Number(i64),
}

impl FromStr for Instant {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.trim().parse() {
            Ok(number) => Ok(Instant::Number(number)),
            Err(_) => {
                // Every date that there is in some calendar.
                let other = [Calendar::Days360, Calendar::AllLeap]
                    .iter()
                    .find_map(|of| Timestamp::read(text, *of).ok());
                text.parse()
                    .or_else(|refused| other.ok_or(refused))
                    .map(Instant::Time)
            }
        }
    }
}

/// Date and nanoseconds of the day: what orders times whose calendar is not known yet.
fn written(at: Timestamp) -> ((i64, i64, i64), i128) {
    (
        at.date(),
        at.nanoseconds().rem_euclid(Tick::Day.nanoseconds()),
    )
}

/// The date that four or eight digits are along a time axis; whether a calendar has it, that says.
fn of_digits(number: i64) -> Option<(i64, i64, i64)> {
    match number {
        1_000..=9_999 => Some((number, 1, 1)),
        10_000_000..=99_999_999 => Some((number / 10_000, number / 100 % 100, number % 100)),
        _ => None,
    }
}

fn falls() -> Error {
    Error::invalid("the period ends before it begins")
}

/// A length along an axis: of time, like `1h`, or a number of its ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// A length of time.
    Nanoseconds(i128),
    /// Ticks of the axis.
    Ticks(u64),
}

impl FromStr for Length {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let at = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, tick) = text.split_at(at);
        let number = number.parse::<u32>().ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| {
            Error::invalid(format!("`{text}` is not a length of time like 1h or 15min"))
        })?;
        if tick.trim().is_empty() {
            return Ok(Length::Ticks(number.into()));
        }
        let tick: Tick = tick.parse()?;
        Ok(Length::Nanoseconds(i128::from(number) * tick.nanoseconds()))
    }
}

/// The axis that times lie along: the irregular one, else that of times, else the only one beside
/// rows, columns and bands.
#[derive(Clone, Copy, Debug)]
pub struct Along<'a> {
    /// The number of the axis.
    pub number: usize,
    axis: &'a Axis,
    unit: Option<TimeUnit>,
    /// Whether there are events along it.
    pub irregular: bool,
}

impl<'a> Along<'a> {
    /// The axis of a grid, if it has one.
    pub fn find(structure: &'a Structure) -> Option<Self> {
        let irregular = structure
            .irregular()
            .map(|dimension| structure.axes_of(dimension).start);
        let timed = || structure.axes().position(|axis| axis.time().is_some());
        let beside = || {
            let own = RasterAxes::of(structure)
                .map(|axes| [Some(axes.y), Some(axes.x), axes.band])
                .unwrap_or_default();
            let mut others = (0..structure.rank()).filter(|axis| !own.contains(&Some(*axis)));
            others.next().filter(|_| others.next().is_none())
        };
        let number = irregular.or_else(timed).or_else(beside)?;
        let axis = structure.axes().nth(number)?;
        Some(Self {
            number,
            axis,
            unit: axis.time(),
            irregular: irregular.is_some(),
        })
    }

    /// The axis that an option is about.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if it has none.
    pub fn of(grid: &'a Grid, option: &str) -> Result<Self> {
        Self::find(grid.structure()).ok_or_else(|| {
            Error::invalid(format!(
                "grid `{0}` has no time axis for {option}; its cells are read with `gridstone read STORE {0}`",
                grid.name()
            ))
        })
    }

    /// The same, if it is irregular.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if it has none, or only one of steps.
    pub fn of_events(grid: &'a Grid, option: &str) -> Result<Self> {
        let along = Self::of(grid, option)?;
        if along.irregular {
            return Ok(along);
        }
        Err(Error::invalid(format!(
            "the times of grid `{}` are regular steps, and {option} is for events; say with `--period FROM/TO` which steps are meant",
            grid.name()
        )))
    }

    /// Whether it counts time.
    pub fn is_time(&self) -> bool {
        self.unit.is_some()
    }

    /// What the axis counts.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if it counts no time.
    pub fn unit(&self) -> Result<TimeUnit> {
        self.unit.ok_or_else(|| {
            Error::invalid(format!(
                "axis `{}` counts no time; give numbers",
                self.axis.name()
            ))
        })
    }

    /// What is meant: along a time axis a number of four digits is a year, and one of eight a date.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) of eight digits that are no date.
    pub fn meant(&self, at: Instant) -> Result<Instant> {
        let (Instant::Number(number), Some(unit)) = (at, self.unit) else {
            return Ok(at);
        };
        let Some(date) = of_digits(number) else {
            return Ok(at);
        };
        let time = Timestamp::from_date(unit.calendar(), date).map(Instant::Time);
        time.ok_or_else(|| {
            Error::invalid(format!(
                "{number} is no date of the calendar {}, and eight digits are one along axis `{}`; give a time like 2018-09-13T19:00Z",
                unit.calendar(),
                self.axis.name()
            ))
        })
    }

    /// What is meant by the ends of a period.
    fn ends_meant(&self, period: Period) -> Result<[Instant; 2]> {
        let ends = [self.meant(period.from)?, self.meant(period.to)?];
        let rises = match ends {
            [Instant::Time(from), Instant::Time(to)] => written(from) < written(to),
            [Instant::Number(from), Instant::Number(to)] => from < to,
            [Instant::Number(number), _] | [_, Instant::Number(number)] => {
                return Err(Error::invalid(format!(
                    "of the ends of the period one is a date along axis `{}` by its digits, and {number} is none; give two times, like 2018-09-13T19:00Z/2018-09-14",
                    self.axis.name()
                )));
            }
        };
        if rises { Ok(ends) } else { Err(falls()) }
    }

    /// A time as it is written, in the axis's calendar.
    fn dated(&self, at: Timestamp) -> Result<(TimeUnit, Timestamp)> {
        let unit = self.unit()?;
        let calendar = unit.calendar();
        let dated = at.same_date(calendar);
        Ok((
            unit,
            dated.ok_or_else(|| {
                Error::invalid(format!(
                    "{at} is no time of the calendar {calendar}, in which the grid counts"
                ))
            })?,
        ))
    }

    /// The world coordinate of a time.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) of a time if the axis counts none, or its calendar
    /// has no such time; and that of [`meant`](Self::meant).
    pub fn world(&self, at: Instant) -> Result<f64> {
        Ok(match self.meant(at)? {
            Instant::Time(at) => self.dated(at).map(|(unit, at)| unit.value(at))?,
            Instant::Number(number) => number as f64,
        })
    }

    /// A period in world coordinates.
    ///
    /// # Errors
    ///
    /// Those of [`world`](Self::world), and [`Invalid`](crate::ErrorKind::Invalid) if it ends
    /// before it begins, or only one of its ends is a date by its digits.
    pub fn range(&self, period: Period) -> Result<(f64, f64)> {
        let [from, to] = self.ends_meant(period)?;
        Ok((self.world(from)?, self.world(to)?))
    }

    /// A period in ticks.
    ///
    /// # Errors
    ///
    /// Those of [`range`](Self::range).
    pub fn ticks(&self, period: Period) -> Result<Range<i64>> {
        let first = |at| match at {
            Instant::Time(at) => self.dated(at).map(|(unit, at)| unit.first_at(at)),
            Instant::Number(number) => Ok(number),
        };
        let [from, to] = self.ends_meant(period)?;
        Ok(first(from)?..first(to)?)
    }

    /// The tick of a time.
    ///
    /// # Errors
    ///
    /// Those of [`world`](Self::world), and [`Invalid`](crate::ErrorKind::Invalid)
    /// if the time lies between two ticks.
    pub fn tick(&self, at: Instant) -> Result<i64> {
        match self.meant(at)? {
            Instant::Number(number) => Ok(number),
            Instant::Time(at) => {
                let (unit, at) = self.dated(at)?;
                unit.ticks(at).ok_or_else(|| {
                    Error::invalid(format!(
                        "{at} is no whole number of {unit}, in which the grid counts"
                    ))
                })
            }
        }
    }

    /// The ticks of a length.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) of a length of time if the axis counts none, or
    /// if it is no whole number of ticks.
    pub fn length(&self, length: Length) -> Result<u64> {
        match length {
            Length::Ticks(ticks) => Ok(ticks),
            Length::Nanoseconds(nanoseconds) => {
                let tick = self.unit()?.tick();
                let whole = nanoseconds % tick.nanoseconds() == 0;
                let ticks = u64::try_from(nanoseconds / tick.nanoseconds()).ok();
                ticks.filter(|_| whole).ok_or_else(|| {
                    Error::invalid(format!(
                        "the length is no whole number of {tick}, in which the grid counts"
                    ))
                })
            }
        }
    }

    /// The tick from which steps are counted: midnight of 1970-01-01, so that days begin where days
    /// do.
    pub fn midnight(&self) -> i64 {
        let first = |unit: TimeUnit| {
            let epoch = Timestamp::from_date(unit.calendar(), (1970, 1, 1))?;
            Some(unit.first_at(epoch))
        };
        self.unit.and_then(first).unwrap_or(0)
    }

    /// The first and the last tick of what was put.
    pub fn ends(&self, bounds: &Window) -> (i64, i64) {
        (
            bounds.start()[self.number],
            bounds.end()[self.number].saturating_sub(1),
        )
    }

    /// From when to when there is something, for people.
    pub fn ends_shown(&self, structure: &Structure, bounds: &Window) -> [String; 2] {
        if self.irregular {
            let (first, last) = self.ends(bounds);
            return [self.axis.shown(first), self.axis.shown(last)];
        }
        let (from, to) = structure.extent(bounds).bounds()[self.number];
        [shown(self.axis, from), shown(self.axis, to)]
    }

    /// The part of a window of base cells that lies in a period.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if nothing was put in the period; and those of
    /// [`range`](Self::range).
    pub fn within(&self, structure: &Structure, bounds: &Window, period: Period) -> Result<Window> {
        let nothing = || {
            let [from, to] = self.ends_shown(structure, bounds);
            let what = if self.irregular { "events" } else { "steps" };
            Error::invalid(format!(
                "nothing was put in the period; there are {what} from {from} to {to}"
            ))
        };
        if self.irregular {
            let (ticks, (first, last)) = (self.ticks(period)?, self.ends(bounds));
            let (from, to) = (
                ticks.start.max(first),
                ticks.end.min(last.saturating_add(1)),
            );
            if from >= to {
                return Err(nothing());
            }
            return Ok(bounds.along(self.number, from, to.abs_diff(from)));
        }
        let (from, to) = self.range(period)?;
        let levels = bounds.levels(structure.dimensions().len());
        let mut sides = structure.extent(bounds).bounds().to_vec();
        let (lower, upper) = sides[self.number];
        sides[self.number] = (from.max(lower), to.min(upper));
        if sides[self.number].0 >= sides[self.number].1 {
            return Err(nothing());
        }
        let asked = structure.window(&Extent::new(sides), levels)?;
        Ok(bounds.along(
            self.number,
            asked.start()[self.number],
            asked.shape()[self.number],
        ))
    }
}

/// A world coordinate for people: ISO 8601 along a time axis.
pub fn shown(axis: &Axis, world: f64) -> String {
    axis.time()
        .and_then(|unit| unit.instant(world))
        .map_or_else(|| world.to_string(), |at| at.to_string())
}

/// `FROM/TO`: two times of ISO 8601, or numbers of an axis without times; the second is not in the
/// period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Where it begins.
    pub from: Instant,
    /// Where it ends.
    pub to: Instant,
}

impl FromStr for Period {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (from, to) = text
            .split_once('/')
            .ok_or_else(|| Error::invalid("give two times, like 2018-09-13T19:00Z/2018-09-14"))?;
        let (from, to): (Instant, Instant) = (from.parse()?, to.parse()?);
        let rises = match (from, to) {
            (Instant::Time(from), Instant::Time(to)) => written(from) < written(to),
            // Whether they are dates, the axis says.
            (Instant::Number(from), Instant::Number(to)) => {
                let dates = of_digits(from).zip(of_digits(to));
                from < to || dates.is_some_and(|(from, to)| from < to)
            }
            _ => return Err(Error::invalid("give two times, or two numbers")),
        };
        if rises {
            Ok(Self { from, to })
        } else {
            Err(falls())
        }
    }
}
