//! The steps of a series: along which dimension, over which range of it, and how long they are.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use super::query::Freshness;
use crate::array::Number;
use crate::error::{Error, Result};
use crate::grid::{Extent, Irregular, Level, Levels, Structure, Window};
use crate::store::{Grid, State};

/// Along which dimension a series goes, over which range of it, and in which steps.
///
/// By default it goes along the irregular dimension, or `time`, or else the only levelled one of a
/// single axis; over all that was put; in steps of the base level, or from event to event.
///
/// ```
/// use gridstone::{SeriesQuery, Steps};
///
/// // What a cell has between two times, in at most 500 points.
/// let query = SeriesQuery::at([54.5, 9.1]).steps(Steps::all().range(1_700_000.0, 1_800_000.0).points(500));
/// // Months of a grid whose time counts in days.
/// let months = Steps::all().along("time").edges([0.0, 31.0, 59.0, 90.0]);
/// # let _ = (query, months);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steps {
    along: Option<String>,
    range: Option<(f64, f64)>,
    ticks: Option<(i64, i64)>,
    points: Option<usize>,
    cuts: Option<StepCuts>,
}

impl Steps {
    /// Takes all steps there are.
    pub fn all() -> Self {
        Self::default()
    }

    /// Goes along the dimension of this name, which must have one axis.
    #[must_use]
    pub fn along(mut self, dimension: impl Into<String>) -> Self {
        self.along = Some(dimension.into());
        self
    }

    /// Takes only the steps that touch this range of world coordinates, of those that were put.
    #[must_use]
    pub fn range(mut self, from: f64, to: f64) -> Self {
        self.range = Some((from, to));
        self
    }

    /// Takes only the events of an irregular dimension from the first to before the second tick,
    /// exactly.
    #[must_use]
    pub fn ticks(mut self, ticks: Range<i64>) -> Self {
        self.ticks = Some((ticks.start, ticks.end));
        self
    }

    /// Makes steps of `step` ticks along an irregular dimension, one of which begins at the tick
    /// `from`; see [`Query::every`](super::Query::every).
    #[must_use]
    pub fn every(mut self, step: u64, from: i64) -> Self {
        self.cuts = Some(StepCuts::Even { step, from });
        self
    }

    /// Makes steps of any lengths, each of which begins where the one before ends: `edges` are
    /// where each begins and where the last one ends, rising, in world coordinates, which are ticks
    /// along an irregular dimension. A cell of a regular dimension belongs to the step in which it
    /// begins. Days, months and seasons are made by
    /// [`TimeUnit::edges`](crate::calendar::TimeUnit::edges).
    #[must_use]
    pub fn edges<N: Into<Number>>(mut self, edges: impl IntoIterator<Item = N>) -> Self {
        self.cuts = Some(StepCuts::edges(edges));
        self
    }

    /// Limits the number of steps: they are taken from the finest level along the dimension that
    /// has no more of them, or from the coarsest level that is kept. Above the base, the first and
    /// the last step may reach beyond the range.
    #[must_use]
    pub fn points(mut self, most: usize) -> Self {
        self.points = Some(most);
        self
    }

    /// The number of the axis, which is the irregular one if there is one.
    pub(crate) fn axis(&self, structure: &Structure) -> Result<usize> {
        let dimensions = structure.dimensions();
        let single: Vec<usize> = (0..dimensions.len())
            .filter(|d| !dimensions[*d].is_fixed() && dimensions[*d].axes().len() == 1)
            .collect();
        let named = |name: &str| {
            single
                .iter()
                .copied()
                .find(|d| dimensions[*d].name() == name)
        };
        let found = match (self.along.as_deref(), structure.irregular(), &single[..]) {
            (Some(name), ..) => named(name)
                .ok_or_else(|| format!("it has no levelled dimension `{name}` of one axis")),
            (None, Some(only), _) | (None, None, &[only]) => Ok(only),
            (None, None, _) => named("time").ok_or_else(|| {
                "it has no dimension `time`; say along which dimension the series goes".to_owned()
            }),
        };
        let found = found.map_err(Error::not_found)?;
        match structure.irregular() {
            Some(irregular) if irregular != found => Err(Error::invalid(format!(
                "a series goes along the irregular dimension `{}`, if there is one; read a window",
                dimensions[irregular].name()
            ))),
            None if self.ticks.is_some() || matches!(self.cuts, Some(StepCuts::Even { .. })) => {
                Err(Error::invalid(
                    "it has no irregular dimension, so neither ticks nor steps of ticks",
                ))
            }
            _ => Ok(structure.axes_of(found).start),
        }
    }

    /// What a step is.
    pub(crate) fn kind(&self, structure: &Structure) -> StepKind<'_> {
        match (structure.irregular_axis(), &self.cuts) {
            (Some(irregular), _) => StepKind::Ticks(irregular),
            (None, Some(cuts)) => StepKind::Runs(cuts),
            (None, None) => StepKind::Cells,
        }
    }

    /// The steps along a regular axis as a window of their levels, of which only this axis counts.
    pub(crate) fn window(
        &self,
        grid: &Grid,
        state: State,
        axis: usize,
        freshness: Freshness,
    ) -> Result<Window> {
        let structure = grid.structure();
        let Some(bounds) = state.bounds else {
            return Err(Error::not_found("it is empty: nothing was put yet"));
        };
        let base = bounds.levels(structure.dimensions().len());
        let steps = self.of_base(structure, axis, &bounds)?;
        let pyramid = state
            .pyramid(structure)
            .filter(|_| !grid.layers().is_empty());
        let reach = pyramid.map_or(base, |pyramid| pyramid.reach(freshness == Freshness::Fresh));
        Ok(self.levelled(structure, axis, steps, (base, reach)))
    }

    /// The steps of the base that are asked for and within what was put.
    fn of_base(&self, structure: &Structure, axis: usize, bounds: &Window) -> Result<Window> {
        let Some((from, to)) = self.range else {
            return Ok(*bounds);
        };
        let extent = structure.extent(bounds);
        let mut sides = extent.bounds().to_vec();
        let (lower, upper) = sides[axis];
        let missed = from.is_nan() || to.is_nan();
        let (from, to) = (from.min(to).max(lower), from.max(to).min(upper));
        if missed || from >= to {
            return Err(Error::not_found(format!(
                "nothing was put in the range; there are steps from {lower} to {upper}"
            )));
        }
        sides[axis] = (from, to);
        structure.window(
            &Extent::new(sides),
            bounds.levels(structure.dimensions().len()),
        )
    }

    /// The finest level along the axis with few enough steps.
    fn levelled(
        &self,
        structure: &Structure,
        axis: usize,
        steps: Window,
        (base, reach): (Levels, Levels),
    ) -> Window {
        let d = structure.dimension_of(axis);
        let most = self.points.map_or(u64::MAX, |points| points.max(1) as u64);
        let (mut levels, mut window) = (base, steps);
        while window.shape()[axis] > most && levels[d] < reach[d] {
            let Some(coarser) = levels[d].coarser() else {
                break;
            };
            levels[d] = coarser;
            window = structure.cover(&steps, levels);
        }
        window
    }

    /// How the axis is cut into steps, if not by cells or events.
    pub(crate) fn cuts(&self) -> Option<&StepCuts> {
        self.cuts.as_ref()
    }

    /// The first tick that is asked for along an irregular axis, and the one behind the last,
    /// within what was put.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "numbers beyond those of ticks saturate, and no event is there"
    )]
    pub(crate) fn between(&self, (first, end): (i64, i64)) -> (i64, i64) {
        let (from, to) = match (self.ticks, self.range) {
            (Some(ticks), _) => ticks,
            (None, Some((from, to))) => (from.min(to).ceil() as i64, from.max(to).ceil() as i64),
            (None, None) => (first, end),
        };
        (from.max(first), to.min(end))
    }

    /// The finest level along an irregular axis at which the ticks of some events, which `list`
    /// finds, lie in few enough bins.
    pub(crate) fn level(
        &self,
        grid: &Grid,
        state: State,
        (irregular, freshness): (Irregular, Freshness),
        list: impl FnOnce() -> Result<Vec<i64>>,
    ) -> Result<Level> {
        let Some(most) = self
            .points
            .filter(|_| self.cuts.is_none())
            .map(|points| points.max(1))
        else {
            return Ok(Level::ZERO);
        };
        let pyramid = state
            .pyramid(grid.structure())
            .filter(|_| !grid.layers().is_empty());
        let reach = pyramid.map_or(Level::ZERO, |pyramid| {
            pyramid.reach(freshness == Freshness::Fresh)[irregular.dimension]
        });
        let (ticks, mut level) = (list()?, Level::ZERO);
        let too_many = |level| {
            ticks
                .chunk_by(|a, b| irregular.bin(level, *a) == irregular.bin(level, *b))
                .nth(most)
                .is_some()
        };
        while level < reach && too_many(level) {
            let Some(coarser) = level.coarser() else {
                break;
            };
            level = coarser;
        }
        Ok(level)
    }
}

/// What a step of a series is.
pub(crate) enum StepKind<'s> {
    /// A cell of a level.
    Cells,
    /// A run of cells between edges.
    Runs(&'s StepCuts),
    /// An event, a bin of events, or some ticks, along an irregular axis.
    Ticks(Irregular),
}

/// The most steps that an axis is cut into.
pub(crate) const STEPS_MAX: usize = 1 << 22;

/// How an axis is cut into steps that follow each other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StepCuts {
    /// Of `step` ticks each, one of which begins at `from`.
    Even { step: u64, from: i64 },
    /// Between edges, rising.
    Edges(Arc<[Number]>),
}

impl StepCuts {
    pub(crate) fn edges<N: Into<Number>>(edges: impl IntoIterator<Item = N>) -> Self {
        StepCuts::Edges(edges.into_iter().map(Into::into).collect())
    }

    /// Refuses what cuts nothing.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            StepCuts::Even { step: 0, .. } => {
                Err(Error::invalid("a step of 0 ticks has no events"))
            }
            StepCuts::Even { .. } => Ok(()),
            StepCuts::Edges(edges) if edges.len() < 2 => {
                Err(Error::invalid("steps take two edges at least"))
            }
            StepCuts::Edges(edges) if edges.len() > STEPS_MAX => Err(Error::invalid(format!(
                "{} steps are more than {STEPS_MAX}; ask for longer ones or a shorter range",
                edges.len() - 1
            ))),
            StepCuts::Edges(edges) => {
                match edges.iter().all(|edge| edge.is_finite())
                    && edges.windows(2).all(|pair| pair[0] < pair[1])
                {
                    true => Ok(()),
                    false => Err(Error::invalid("the edges of steps must be finite and rise")),
                }
            }
        }
    }

    /// How many of them some ticks lie in.
    pub(crate) fn count(&self, ticks: &RangeInclusive<i64>) -> usize {
        match self {
            _ if ticks.is_empty() => 0,
            StepCuts::Even { .. } => {
                let count = self.number(*ticks.end()) - self.number(*ticks.start()) + 1;
                usize::try_from(count).unwrap_or(usize::MAX)
            }
            StepCuts::Edges(edges) => between(edges, ticks).count(),
        }
    }

    /// The number of the even step that a tick lies in.
    fn number(&self, tick: i64) -> i128 {
        let StepCuts::Even { step, from } = self else {
            return 0;
        };
        (i128::from(tick) - i128::from(*from)).div_euclid(i128::from((*step).max(1)))
    }

    /// The steps that some ticks lie in: the first tick of each, and those of the ticks in it.
    pub(crate) fn of(
        &self,
        ticks: &RangeInclusive<i64>,
    ) -> Result<Vec<(i64, RangeInclusive<i64>)>> {
        let within =
            |first: i64, last: i64| (first, first.max(*ticks.start())..=last.min(*ticks.end()));
        match self {
            StepCuts::Even { step, from } => {
                let first = self.number(*ticks.start());
                let start = |number: usize| {
                    let tick = i128::from(*from) + (first + number as i128) * i128::from(*step);
                    let start = i64::try_from(tick);
                    let start = start.map_err(|_| {
                        Error::invalid(format!("a step that begins at tick {tick} is out of range"))
                    })?;
                    Ok(within(start, start.saturating_add_unsigned(step - 1)))
                };
                (0..self.count(ticks)).map(start).collect()
            }
            StepCuts::Edges(edges) => Ok(between(edges, ticks)
                .map(|(first, end)| within(first, end - 1))
                .collect()),
        }
    }

    /// How many ticks each of them has; 0 where they differ.
    pub(crate) fn width(&self) -> u64 {
        match self {
            StepCuts::Even { step, .. } => *step,
            StepCuts::Edges(_) => 0,
        }
    }

    /// Where the step that begins at a tick ends, in ticks.
    pub(crate) fn end(&self, start: i64) -> i64 {
        match self {
            StepCuts::Even { step, .. } => start.saturating_add_unsigned(*step),
            StepCuts::Edges(edges) => edges
                .iter()
                .map(|edge| tick(*edge))
                .find(|end| *end > start)
                .unwrap_or(start),
        }
    }

    /// What tells them from others, in numbers.
    pub(crate) fn digest(&self, mut digest: impl FnMut(u64)) {
        match self {
            StepCuts::Even { step, from } => {
                [*step, from.cast_unsigned()].into_iter().for_each(digest)
            }
            StepCuts::Edges(edges) => edges
                .iter()
                .for_each(|edge| digest(edge.to_f64().to_bits())),
        }
    }

    /// The steps that some cells of a regular axis begin in, as cells of a level: where the first
    /// begins, and where each ends. `None` if no cell begins in any.
    pub(crate) fn cells(
        &self,
        structure: &Structure,
        axis: usize,
        level: Level,
        cells: &Range<i64>,
    ) -> Result<Option<StepRun>> {
        let StepCuts::Edges(edges) = self else {
            return Err(Error::invalid(
                "it has no irregular dimension, so no steps of ticks",
            ));
        };
        if structure
            .axes()
            .nth(axis)
            .is_some_and(|axis| axis.step() < 0.0)
        {
            return Err(Error::invalid(
                "steps between edges go along an axis whose coordinates rise",
            ));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole numbers; those beyond all cells saturate"
        )]
        let cell =
            |edge: &Number| (structure.position(axis, level, edge.to_f64()) - 1e-6).ceil() as i64;
        let all: Vec<i64> = edges.iter().map(cell).collect();
        let (first, last) = (
            all.partition_point(|edge| *edge <= cells.start),
            all.partition_point(|edge| *edge < cells.end),
        );
        let (first, last) = (first.saturating_sub(1), last.min(all.len() - 1));
        let run = StepRun {
            cells: all[first..=last]
                .iter()
                .map(|edge| (*edge).clamp(cells.start, cells.end))
                .collect(),
            edges: edges[first..=last]
                .iter()
                .map(|edge| edge.to_f64())
                .collect(),
        };
        Ok((first < last && run.cells[0] < run.cells[last - first]).then_some(run))
    }
}

/// Steps of a regular axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StepRun {
    /// The first cell of each, and one past the last of the last; no step has cells out of what was
    /// asked for.
    pub(crate) cells: Vec<i64>,
    /// The same in world coordinates, where the steps begin and end themselves.
    pub(crate) edges: Vec<f64>,
}

/// The steps of a plan along a regular axis.
#[derive(Clone, Debug)]
pub(super) struct StepRuns {
    pub(super) axis: usize,
    pub(super) run: StepRun,
}

/// The first tick that is not before an edge.
#[expect(
    clippy::cast_possible_truncation,
    reason = "numbers beyond those of ticks saturate, and no event is there"
)]
fn tick(edge: Number) -> i64 {
    match edge.whole() {
        Some(whole) => i64::try_from(whole).unwrap_or(if whole < 0 { i64::MIN } else { i64::MAX }),
        None => edge.to_f64().ceil() as i64,
    }
}

/// The steps between edges that some ticks lie in: the first tick of each, and one past its last.
fn between(edges: &[Number], ticks: &RangeInclusive<i64>) -> impl Iterator<Item = (i64, i64)> {
    let (first, last) = (*ticks.start(), *ticks.end());
    let steps = edges.windows(2).map(|pair| (tick(pair[0]), tick(pair[1])));
    steps.filter(move |(start, end)| start < end && *start <= last && *end > first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::{Axis, Dimension};

    fn hours() -> Structure {
        Structure::builder()
            .dimension(Dimension::regular("time", [Axis::new("time", 6.0, 1.0, 4)]))
            .build()
            .expect("valid")
    }

    #[test]
    fn a_cell_belongs_to_the_step_in_which_it_begins() {
        let (hours, days) = (hours(), StepCuts::edges([-24.0, 0.0, 24.0, 48.0, 72.0]));
        let run = |cells: Range<i64>| {
            days.cells(&hours, 0, Level::ZERO, &cells)
                .expect("it rises")
        };
        assert_eq!(
            run(0..54),
            Some(StepRun {
                cells: vec![0, 18, 42, 54],
                edges: vec![0.0, 24.0, 48.0, 72.0]
            })
        );
        assert_eq!(
            run(18..42),
            Some(StepRun {
                cells: vec![18, 42],
                edges: vec![24.0, 48.0]
            })
        );
        assert_eq!(run(-40..-30), None, "before all of them");
        assert_eq!(run(70..80), None, "behind all of them");
        let odd = StepCuts::edges([6.5, 7.0, 8.5]);
        assert_eq!(
            odd.cells(&hours, 0, Level::ZERO, &(0..9))
                .expect("it rises")
                .map(|run| run.cells),
            Some(vec![1, 1, 3])
        );
    }

    #[test]
    fn ticks_lie_in_steps_of_any_length() {
        let even = StepCuts::Even { step: 10, from: 3 };
        assert_eq!(
            even.of(&(0..=14)).expect("in range"),
            [(-7, 0..=2), (3, 3..=12), (13, 13..=14)]
        );
        assert_eq!(
            (even.count(&(0..=14)), even.end(3), even.width()),
            (3, 13, 10)
        );
        let months = StepCuts::edges([0_i64, 31, 59, 90]);
        assert_eq!(
            months.of(&(40..=60)).expect("in range"),
            [(31, 40..=58), (59, 59..=60)]
        );
        assert_eq!(
            (months.count(&(40..=60)), months.end(31), months.width()),
            (2, 59, 0)
        );
        assert_eq!(
            StepCuts::edges([0.5, 1.5]).of(&(0..=9)).expect("in range"),
            [(1, 1..=1)]
        );
        for wrong in [
            StepCuts::edges([1.0]),
            StepCuts::edges([1.0, 1.0]),
            StepCuts::edges([0.0, f64::INFINITY]),
            StepCuts::Even { step: 0, from: 0 },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
