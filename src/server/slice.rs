//! Which axes of a grid a map and a query show, and where along the others they look.

use super::params::{Params, number, shortened};
use super::reply::Problem;
use crate::adapter::RasterAxes;
use crate::grid::{Level, Levels, Structure, Window};
use crate::reader::{Freshness, Query};
use crate::wire::{Along, Instant};
use crate::{Aggregation, Grid, Layer, Moment};

/// The axes of rows and columns, and of times if there are any.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plane<'a> {
    /// The dimension of rows and columns.
    pub(super) space: usize,
    pub(super) y: usize,
    pub(super) x: usize,
    pub(super) along: Option<Along<'a>>,
}

impl<'a> Plane<'a> {
    pub(super) fn of(grid: &'a Grid) -> Result<Self, Problem> {
        let structure = grid.structure();
        // Any number of dimensions of labels may stand beside.
        let mut planes = structure
            .dimensions()
            .iter()
            .enumerate()
            .filter(|(_, dimension)| dimension.axes().len() == 2);
        let (Some((space, _)), None) = (planes.next(), planes.next()) else {
            return Err(Problem::new(
                axum::http::StatusCode::BAD_REQUEST,
                format!(
                    "grid `{}` has no dimension of rows and columns, or several; only such grids are shown on a map",
                    grid.name()
                ),
            ));
        };
        let axes = structure.axes_of(space);
        let along = Along::find(structure).filter(|along| !axes.contains(&along.number));
        Ok(Self {
            space,
            y: axes.start,
            x: axes.start + 1,
            along,
        })
    }

    /// The axes that are neither rows nor columns nor times.
    pub(super) fn others(&self, structure: &Structure) -> Vec<usize> {
        let time = self.along.map(|along| along.number);
        (0..structure.rank())
            .filter(|axis| ![self.y, self.x].contains(axis) && Some(*axis) != time)
            .collect()
    }

    /// The bands: the only dimension of labels, if there is one.
    pub(super) fn band(&self, structure: &Structure) -> Option<usize> {
        RasterAxes::of(structure).ok().and_then(|axes| axes.band)
    }
}

/// The levels that are asked for: those of the base, or by `level.NAME`.
pub(super) fn levels(grid: &Grid, params: &Params, base: Levels) -> Result<Levels, Problem> {
    let structure = grid.structure();
    let mut levels = base;
    for (name, text) in params.starting("level.") {
        let parameter = format!("level.{name}");
        let d = structure.dimension(name).map_err(|error| {
            let names = structure.dimensions().iter();
            let names: Vec<&str> = names.map(crate::Dimension::name).collect();
            Problem::parameter(&parameter, error.to_string()).allowed(names)
        })?;
        let level = text
            .parse::<i8>()
            .ok()
            .and_then(|level| Level::new(level).ok());
        let range = structure.dimensions()[d].levels();
        let level = level.filter(|level| range.contains(level)).ok_or_else(|| {
            Problem::parameter(
                &parameter,
                format!(
                    "`{}` is no level of dimension `{name}`, whose levels go from {} to {}",
                    shortened(text),
                    range.start(),
                    range.end()
                ),
            )
        })?;
        levels = levels.with(d, level);
    }
    Ok(levels)
}

/// The cell along each axis that is no row, column or time, at some levels: that of `at.NAME` or
/// `band`, else the first.
pub(super) fn others(
    grid: &Grid,
    plane: Plane<'_>,
    params: &Params,
    bounds: &Window,
    levels: Levels,
) -> Result<Vec<(usize, i64)>, Problem> {
    let structure = grid.structure();
    let mut chosen = Vec::new();
    for axis in plane.others(structure) {
        let d = structure.dimension_of(axis);
        let dimension = &structure.dimensions()[d];
        let name = dimension.name();
        let parameter = format!("at.{name}");
        let band = params
            .get("band")
            .filter(|_| plane.band(structure) == Some(axis));
        let asked = params
            .get(&parameter)
            .map(|text| (parameter.as_str(), text))
            .or(band.map(|text| ("band", text)));
        let cell = match (asked, dimension.labels()) {
            (Some((parameter, text)), Some(labels)) => label(parameter, text, labels)?,
            (Some((parameter, text)), None) => {
                let world = number(parameter, text)?;
                floor(structure.position(axis, levels[d], world))
            }
            (None, Some(_)) => bounds.start()[axis],
            (None, None) => structure.cover(bounds, levels).start()[axis],
        };
        chosen.push((axis, cell));
    }
    for (name, _) in params.starting("at.") {
        let known = chosen
            .iter()
            .map(|(axis, _)| structure.dimensions()[structure.dimension_of(*axis)].name());
        let known: Vec<&str> = known.collect();
        if !known.contains(&name) {
            let parameter = format!("at.{}", shortened(name));
            return Err(Problem::parameter(
                &parameter,
                format!(
                    "grid `{}` has no such dimension beside rows, columns and times",
                    grid.name()
                ),
            )
            .allowed(known));
        }
    }
    if params.get("band").is_some() && plane.band(structure).is_none() {
        return Err(Problem::parameter(
            "band",
            format!(
                "grid `{}` has no dimension of bands, or several; say `at.NAME`",
                grid.name()
            ),
        ));
    }
    Ok(chosen)
}

/// The number of a label: its own, or counted from 1.
pub(super) fn label(parameter: &str, text: &str, labels: &[String]) -> Result<i64, Problem> {
    let named = labels.iter().position(|label| label == text);
    let counted = || {
        let number = text.parse::<usize>().ok()?.checked_sub(1)?;
        (number < labels.len()).then_some(number)
    };
    let found = named.or_else(counted).and_then(|at| i64::try_from(at).ok());
    found.ok_or_else(|| {
        let shown: Vec<&str> = labels.iter().take(64).map(String::as_str).collect();
        Problem::parameter(
            parameter,
            format!(
                "`{}` is no label and no number from 1 to {}",
                shortened(text),
                labels.len()
            ),
        )
        .allowed(shown)
    })
}

/// The cell in which a position lies.
#[expect(
    clippy::cast_possible_truncation,
    reason = "clamped to whole numbers that fit"
)]
pub(super) fn floor(position: f64) -> i64 {
    position.floor().clamp(-1e18, 1e18) as i64
}

/// The centres of the cells of a window along an axis.
pub(super) fn centres(
    structure: &Structure,
    window: &Window,
    axis: usize,
) -> impl Iterator<Item = f64> {
    let level = window.levels(structure.dimensions().len())[structure.dimension_of(axis)];
    let edge = move |cell: i64| structure.edge(axis, level, cell);
    let cells = window.start()[axis]..window.end()[axis];
    cells.map(move |cell| edge(cell) / 2.0 + edge(cell.saturating_add(1)) / 2.0)
}

/// When a map is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum When {
    /// The grid has no times.
    Always,
    /// A cell of the time axis at its level.
    Step(i64),
    /// The event of a tick.
    Event(i64),
    /// There is nothing then.
    Never,
}

/// The time of `time`, else the last there is. Of events it is the one that is nearest in the whole
/// grid, so that all tiles show one.
pub(super) fn when(
    grid: &Grid,
    plane: Plane<'_>,
    params: &Params,
    (bounds, levels): (&Window, Levels),
    freshness: Freshness,
) -> Result<When, Problem> {
    let structure = grid.structure();
    let asked: Option<Instant> = params.parsed("time")?;
    let Some(along) = plane.along else {
        return match asked {
            None => Ok(When::Always),
            Some(_) => Err(Problem::parameter(
                "time",
                format!("grid `{}` has no time axis", grid.name()),
            )),
        };
    };
    let d = structure.dimension_of(along.number);
    if along.irregular && levels[d] == Level::ZERO {
        let query = Query::all().layer(Layer::Base).freshness(freshness);
        let query = match asked {
            None => query.latest(),
            Some(at) => {
                let tick = match along.meant(at).map_err(Problem::by("time"))? {
                    Instant::Number(tick) => tick,
                    at @ Instant::Time(_) => floor(along.world(at).map_err(Problem::by("time"))?),
                };
                query.moment(tick, Moment::Nearest)
            }
        };
        return match grid.events(&query) {
            Ok(ticks) => Ok(ticks.first().map_or(When::Never, |tick| When::Event(*tick))),
            Err(error) if *error.kind() == crate::ErrorKind::NotFound => Ok(When::Never),
            Err(error) => Err(error.into()),
        };
    }
    let covered = structure.cover(bounds, levels);
    let Some(at) = asked else {
        let (first, end) = (covered.start()[along.number], covered.end()[along.number]);
        let last = if falls(structure, along.number) {
            first
        } else {
            end - 1
        };
        return Ok(When::Step(last));
    };
    let world = along.world(at).map_err(Problem::by("time"))?;
    let cell = floor(structure.position(along.number, levels[d], world));
    let there = covered.start()[along.number]..covered.end()[along.number];
    Ok(if there.contains(&cell) {
        When::Step(cell)
    } else {
        When::Never
    })
}

/// Whether later cells of an axis have lower coordinates: of one of times, the first is the last.
pub(super) fn falls(structure: &Structure, axis: usize) -> bool {
    let axis = structure.axes().nth(axis);
    axis.is_some_and(|axis| axis.step() < 0.0)
}

/// Refuses a layer that the grid does not have, by the names of those that it has.
pub(super) fn check_layer(grid: &Grid, layer: Option<&Layer>) -> Result<(), Problem> {
    let kept = grid.schema().aggregators();
    let names = || {
        let aggregators = kept.iter().map(Aggregation::to_string);
        std::iter::once("base".to_owned())
            .chain(aggregators)
            .collect::<Vec<String>>()
    };
    match layer {
        Some(Layer::Aggregate(asked)) if !kept.contains(asked) => Err(Problem::parameter(
            "layer",
            format!(
                "grid `{}` has no layer `{asked}`; it has {}",
                grid.name(),
                names().join(", ")
            ),
        )
        .allowed(names())),
        _ => Ok(()),
    }
}
