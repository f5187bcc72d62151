//! The steps of a series: along which dimension, over which range of it, and how long they are.

use std::ops::{Range, RangeInclusive};

use super::query::Freshness;
use crate::error::{Error, Result};
use crate::grid::{Extent, Irregular, Level, Levels, Structure, Window};
use crate::store::{Grid, State};

/// Along which dimension a series goes, over which range of it, and in which steps.
///
/// By default: along the irregular dimension, or `time`, or else the only levelled one of a single axis; over all that was put; in
/// steps of the base level, or from event to event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steps {
    along: Option<String>,
    range: Option<(f64, f64)>,
    ticks: Option<(i64, i64)>,
    points: Option<usize>,
    every: Option<Even>,
}

impl Steps {
    /// All of them.
    pub fn all() -> Self {
        Self::default()
    }

    /// Along the dimension of this name, which has one axis.
    #[must_use]
    pub fn along(mut self, dimension: impl Into<String>) -> Self {
        self.along = Some(dimension.into());
        self
    }

    /// Those steps of what was put that touch this range of world coordinates.
    #[must_use]
    pub fn range(mut self, from: f64, to: f64) -> Self {
        self.range = Some((from, to));
        self
    }

    /// The events from the first to before the second tick of an irregular dimension, exactly.
    #[must_use]
    pub fn ticks(mut self, ticks: Range<i64>) -> Self {
        self.ticks = Some((ticks.start, ticks.end));
        self
    }

    /// Along an irregular dimension in steps of `step` ticks, one of which begins at the tick `from`; see
    /// [`Query::every`](super::Query::every).
    #[must_use]
    pub fn every(mut self, step: u64, from: i64) -> Self {
        self.every = Some(Even { step, from });
        self
    }

    /// At most so many: from the finest level along the dimension that has no more, or the coarsest that is kept. Above the base,
    /// the first and the last step may reach beyond the range.
    #[must_use]
    pub fn points(mut self, most: usize) -> Self {
        self.points = Some(most);
        self
    }

    /// The number of the axis, which is the irregular one if there is one.
    pub(crate) fn axis(&self, structure: &Structure) -> Result<usize> {
        let dimensions = structure.dimensions();
        let single: Vec<usize> =
            (0..dimensions.len()).filter(|d| !dimensions[*d].is_fixed() && dimensions[*d].axes().len() == 1).collect();
        let named = |name: &str| single.iter().copied().find(|d| dimensions[*d].name() == name);
        let found = match (self.along.as_deref(), structure.irregular(), &single[..]) {
            (Some(name), ..) => named(name).ok_or_else(|| format!("it has no levelled dimension `{name}` of one axis")),
            (None, Some(only), _) | (None, None, &[only]) => Ok(only),
            (None, None, _) => {
                named("time").ok_or_else(|| "it has no dimension `time`; say along which dimension the series goes".to_owned())
            }
        };
        let found = found.map_err(Error::not_found)?;
        match structure.irregular() {
            Some(irregular) if irregular != found => Err(Error::invalid(format!(
                "a series goes along the irregular dimension `{}`, if there is one; read a window",
                dimensions[irregular].name()
            ))),
            None if self.ticks.is_some() || self.every.is_some() => {
                Err(Error::invalid("it has no irregular dimension, so neither ticks nor steps of ticks"))
            }
            _ => Ok(structure.axes_of(found).start),
        }
    }

    /// The steps along a regular axis as a window of their levels, of which only this axis counts.
    pub(crate) fn window(&self, grid: &Grid, state: State, axis: usize, freshness: Freshness) -> Result<Window> {
        let structure = grid.structure();
        let Some(bounds) = state.bounds else { return Err(Error::not_found("it is empty: nothing was put yet")) };
        let base = bounds.levels(structure.dimensions().len());
        let steps = self.of_base(structure, axis, &bounds)?;
        let reach = match (freshness, state.top(structure)) {
            _ if grid.layers().is_empty() => base,
            (Freshness::Fresh, Some(top)) => top,
            _ => state.reach.unwrap_or(base),
        };
        Ok(self.levelled(structure, axis, steps, (base, reach)))
    }

    /// The steps of the base that are asked for and within what was put.
    fn of_base(&self, structure: &Structure, axis: usize, bounds: &Window) -> Result<Window> {
        let Some((from, to)) = self.range else { return Ok(*bounds) };
        let extent = structure.extent(bounds);
        let mut sides = extent.bounds().to_vec();
        let (lower, upper) = sides[axis];
        let missed = from.is_nan() || to.is_nan();
        let (from, to) = (from.min(to).max(lower), from.max(to).min(upper));
        if missed || from >= to {
            return Err(Error::not_found(format!("nothing was put in the range; there are steps from {lower} to {upper}")));
        }
        sides[axis] = (from, to);
        structure.window(&Extent::new(sides), bounds.levels(structure.dimensions().len()))
    }

    /// The finest level along the axis with few enough steps.
    fn levelled(&self, structure: &Structure, axis: usize, steps: Window, (base, reach): (Levels, Levels)) -> Window {
        let d = structure.dimension_of(axis);
        let most = self.points.map_or(u64::MAX, |points| points.max(1) as u64);
        let (mut levels, mut window) = (base, steps);
        while window.shape()[axis] > most && levels[d] < reach[d] {
            let Some(coarser) = levels[d].coarser() else { break };
            levels[d] = coarser;
            window = structure.cover(&steps, levels);
        }
        window
    }

    /// The steps of one length along an irregular axis, if they are wanted.
    pub(crate) fn even(&self) -> Option<Even> {
        self.every
    }

    /// The first tick that is asked for along an irregular axis, and the one behind the last, within what was put.
    #[expect(clippy::cast_possible_truncation, reason = "numbers beyond those of ticks saturate, and no event is there")]
    pub(crate) fn between(&self, (first, end): (i64, i64)) -> (i64, i64) {
        let (from, to) = match (self.ticks, self.range) {
            (Some(ticks), _) => ticks,
            (None, Some((from, to))) => (from.min(to).ceil() as i64, from.max(to).ceil() as i64),
            (None, None) => (first, end),
        };
        (from.max(first), to.min(end))
    }

    /// The finest level along an irregular axis at which the ticks of some events, which `list` finds, lie in few enough bins.
    pub(crate) fn level(
        &self,
        grid: &Grid,
        state: State,
        (irregular, freshness): (Irregular, Freshness),
        list: impl FnOnce() -> Result<Vec<i64>>,
    ) -> Result<Level> {
        let Some(most) = self.points.filter(|_| self.every.is_none()).map(|points| points.max(1)) else { return Ok(Level::ZERO) };
        let top = if grid.layers().is_empty() { None } else { state.top(grid.structure()) };
        let reach = top.map_or(Level::ZERO, |top| top[irregular.dimension]);
        let built = state.reach.map_or(irregular.bucket, |reach| reach[irregular.dimension]);
        let reach = if freshness == Freshness::Fresh { reach } else { built.min(reach) };
        let (ticks, mut level) = (list()?, Level::ZERO);
        let too_many = |level| ticks.chunk_by(|a, b| irregular.bin(level, *a) == irregular.bin(level, *b)).nth(most).is_some();
        while level < reach && too_many(level) {
            let Some(coarser) = level.coarser() else { break };
            level = coarser;
        }
        Ok(level)
    }
}

/// Steps of one length in ticks, one of which begins at a given one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Even {
    pub(crate) step: u64,
    pub(crate) from: i64,
}

impl Even {
    fn number(&self, tick: i64) -> i128 {
        (i128::from(tick) - i128::from(self.from)).div_euclid(i128::from(self.step.max(1)))
    }

    /// How many of them ticks lie in.
    pub(crate) fn count(&self, ticks: &RangeInclusive<i64>) -> usize {
        let count = if ticks.is_empty() { 0 } else { self.number(*ticks.end()) - self.number(*ticks.start()) + 1 };
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    /// The first tick of each.
    pub(crate) fn starts(&self, ticks: &RangeInclusive<i64>) -> Result<Vec<i64>> {
        let first = self.number(*ticks.start());
        let start = |number: usize| {
            let tick = i128::from(self.from) + (first + number as i128) * i128::from(self.step);
            i64::try_from(tick).map_err(|_| Error::invalid(format!("a step that begins at tick {tick} is out of range")))
        };
        (0..self.count(ticks)).map(start).collect()
    }

    /// The ticks of the step that begins at one, within others.
    pub(crate) fn ticks(&self, start: i64, within: &RangeInclusive<i64>) -> RangeInclusive<i64> {
        start.max(*within.start())..=start.saturating_add_unsigned(self.step - 1).min(*within.end())
    }
}
