//! Times on the command line: which axis has them, and how they are read and shown.

use std::ops::Range;
use std::str::FromStr;

use anyhow::{Context, ensure};

use super::args::{Period, parsed};
use super::terminal::count;
use gridstone::adapter::raster::RasterAxes;
use gridstone::calendar::{Calendar, Tick, TimeUnit, Timestamp};
use gridstone::{Axis, Coordinates, Extent, Grid, Structure, Window};

/// A place along an axis: a time of ISO 8601, or a number of its ticks or world units. Which
/// calendar a time is of, the axis says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instant {
    Time(Timestamp),
    Number(i64),
}

impl FromStr for Instant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().parse() {
            Ok(number) => Ok(Instant::Number(number)),
            Err(_) => {
                // Every date that there is in some calendar.
                let other = [Calendar::Days360, Calendar::AllLeap]
                    .iter()
                    .find_map(|of| Timestamp::read(text, *of).ok());
                parsed(text)
                    .or_else(|refused| other.ok_or(refused))
                    .map(Instant::Time)
            }
        }
    }
}

/// Date and nanoseconds of the day: what orders times whose calendar is not known yet.
pub(super) fn written(at: Timestamp) -> ((i64, i64, i64), i128) {
    (
        at.date(),
        at.nanoseconds().rem_euclid(Tick::Day.nanoseconds()),
    )
}

/// A length along an axis: of time, like `1h`, or a number of its ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Nanoseconds(i128),
    Ticks(u64),
}

impl FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, tick) = text.split_at(at);
        let number = number.parse::<u32>().ok().filter(|number| *number > 0);
        let number =
            number.ok_or_else(|| format!("`{text}` is not a length of time like 1h or 15min"))?;
        if tick.trim().is_empty() {
            return Ok(Length::Ticks(number.into()));
        }
        let tick: Tick = parsed(tick)?;
        Ok(Length::Nanoseconds(i128::from(number) * tick.nanoseconds()))
    }
}

/// The axis that times lie along: the irregular one, else that of times, else the only one beside
/// rows, columns and bands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Along<'a> {
    /// The number of the axis.
    pub(super) number: usize,
    axis: &'a Axis,
    unit: Option<TimeUnit>,
    pub(super) irregular: bool,
}

impl<'a> Along<'a> {
    pub(super) fn find(structure: &'a Structure) -> Option<Self> {
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
    pub(super) fn of(grid: &'a Grid, option: &str) -> anyhow::Result<Self> {
        Self::find(grid.structure())
            .with_context(|| format!("grid `{}` has no time axis for {option}", grid.name()))
    }

    /// The same, if it is irregular.
    pub(super) fn of_events(grid: &'a Grid, option: &str) -> anyhow::Result<Self> {
        let along = Self::of(grid, option)?;
        ensure!(
            along.irregular,
            "the times of grid `{}` are regular steps, and {option} is for events; say with `--period FROM/TO` which steps are meant",
            grid.name()
        );
        Ok(along)
    }

    /// Whether it counts time.
    pub(super) fn is_time(&self) -> bool {
        self.unit.is_some()
    }

    /// What the axis counts.
    pub(super) fn unit(&self) -> anyhow::Result<TimeUnit> {
        self.unit
            .with_context(|| format!("axis `{}` counts no time; give numbers", self.axis.name()))
    }

    /// A time as it is written, in the axis's calendar.
    fn dated(&self, at: Timestamp) -> anyhow::Result<(TimeUnit, Timestamp)> {
        let unit = self.unit()?;
        let calendar = unit.calendar();
        let dated = at.same_date(calendar);
        Ok((
            unit,
            dated.with_context(|| {
                format!("{at} is no time of the calendar {calendar}, in which the grid counts")
            })?,
        ))
    }

    fn world(&self, at: Instant) -> anyhow::Result<f64> {
        Ok(match at {
            Instant::Time(at) => self.dated(at).map(|(unit, at)| unit.value(at))?,
            Instant::Number(number) => number as f64,
        })
    }

    /// A period in world coordinates.
    pub(super) fn range(&self, period: Period) -> anyhow::Result<(f64, f64)> {
        Ok((self.world(period.from)?, self.world(period.to)?))
    }

    /// A period in ticks.
    pub(super) fn ticks(&self, period: Period) -> anyhow::Result<Range<i64>> {
        let first = |at| match at {
            Instant::Time(at) => self.dated(at).map(|(unit, at)| unit.first_at(at)),
            Instant::Number(number) => Ok(number),
        };
        Ok(first(period.from)?..first(period.to)?)
    }

    /// The tick of a time.
    pub(super) fn tick(&self, at: Instant) -> anyhow::Result<i64> {
        match at {
            Instant::Number(number) => Ok(number),
            Instant::Time(at) => {
                let (unit, at) = self.dated(at)?;
                unit.ticks(at).with_context(|| {
                    format!("{at} is no whole number of {unit}, in which the grid counts")
                })
            }
        }
    }

    /// The ticks of a length.
    pub(super) fn length(&self, length: Length) -> anyhow::Result<u64> {
        match length {
            Length::Ticks(ticks) => Ok(ticks),
            Length::Nanoseconds(nanoseconds) => {
                let tick = self.unit()?.tick();
                let whole = nanoseconds % tick.nanoseconds() == 0;
                ensure!(
                    whole,
                    "the length is no whole number of {tick}, in which the grid counts"
                );
                Ok(u64::try_from(nanoseconds / tick.nanoseconds())?)
            }
        }
    }

    /// The tick from which steps are counted: midnight of 1970-01-01, so that days begin where days
    /// do.
    pub(super) fn midnight(&self) -> i64 {
        let epoch = Timestamp::from_nanoseconds(0);
        self.unit
            .zip(epoch)
            .map_or(0, |(unit, epoch)| unit.first_at(epoch))
    }

    /// The first and the last tick of what was put.
    pub(super) fn ends(&self, bounds: &Window) -> (i64, i64) {
        (
            bounds.start()[self.number],
            bounds.end()[self.number].saturating_sub(1),
        )
    }

    /// From when to when there is something, for people.
    pub(super) fn ends_shown(&self, structure: &Structure, bounds: &Window) -> [String; 2] {
        if self.irregular {
            let (first, last) = self.ends(bounds);
            return [self.axis.shown(first), self.axis.shown(last)];
        }
        let (from, to) = structure.extent(bounds).bounds()[self.number];
        [shown(self.axis, from), shown(self.axis, to)]
    }

    /// The part of a window of base cells that lies in a period.
    pub(super) fn within(
        &self,
        structure: &Structure,
        bounds: &Window,
        period: Period,
    ) -> anyhow::Result<Window> {
        let nothing = || {
            let [from, to] = self.ends_shown(structure, bounds);
            let what = if self.irregular { "events" } else { "steps" };
            anyhow::anyhow!("nothing was put in the period; there are {what} from {from} to {to}")
        };
        if self.irregular {
            let (ticks, (first, last)) = (self.ticks(period)?, self.ends(bounds));
            let (from, to) = (
                ticks.start.max(first),
                ticks.end.min(last.saturating_add(1)),
            );
            ensure!(from < to, nothing());
            return Ok(bounds.along(self.number, from, to.abs_diff(from)));
        }
        let (from, to) = self.range(period)?;
        let levels = bounds.levels(structure.dimensions().len());
        let mut sides = structure.extent(bounds).bounds().to_vec();
        let (lower, upper) = sides[self.number];
        sides[self.number] = (from.max(lower), to.min(upper));
        ensure!(sides[self.number].0 < sides[self.number].1, nothing());
        let asked = structure.window(&Extent::new(sides), levels)?;
        Ok(bounds.along(
            self.number,
            asked.start()[self.number],
            asked.shape()[self.number],
        ))
    }
}

/// A world coordinate for people: ISO 8601 along a time axis.
pub(super) fn shown(axis: &Axis, world: f64) -> String {
    axis.time()
        .and_then(|unit| unit.instant(world))
        .map_or_else(|| world.to_string(), |at| at.to_string())
}

/// `y 0 to 5, time 2018-09-13T19:00:00Z to 2018-09-14T18:00:00Z`, without the irregular axis.
pub(super) fn ranges(structure: &Structure, bounds: &[(f64, f64)]) -> String {
    let irregular = structure
        .irregular()
        .map(|dimension| structure.axes_of(dimension).start);
    let regular = structure
        .axes()
        .zip(bounds)
        .enumerate()
        .filter(|(number, _)| Some(*number) != irregular);
    let range = |(_, (axis, (lower, upper))): (usize, (&Axis, &(f64, f64)))| {
        format!(
            "{} {} to {}",
            axis.name(),
            shown(axis, *lower),
            shown(axis, *upper)
        )
    };
    regular.map(range).collect::<Vec<_>>().join(", ")
}

/// `3 events from 2018-09-13T19:00:07Z to 2018-09-14T18:00:00Z`.
pub(super) fn coordinates(structure: &Structure, coordinates: &Coordinates) -> String {
    let what = if coordinates.width == 1 {
        "event"
    } else {
        "bin"
    };
    let length = if coordinates.width == 1 {
        String::new()
    } else {
        format!(" of {} ticks", coordinates.width)
    };
    let many = count(coordinates.ticks.len() as u64, what);
    match (
        structure.axes().nth(coordinates.axis),
        coordinates.ticks.first(),
        coordinates.ticks.last(),
    ) {
        (Some(axis), Some(first), Some(last)) if first == last => {
            format!("{many}{length} at {}", axis.shown(*first))
        }
        (Some(axis), Some(first), Some(last)) => format!(
            "{many}{length} from {} to {}",
            axis.shown(*first),
            axis.shown(*last)
        ),
        _ => format!("{many}{length}"),
    }
}
