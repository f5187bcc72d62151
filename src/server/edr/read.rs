//! From a question to cells.

use std::ops::Range;

use axum::http::HeaderMap;
use ndarray::Array2;

use super::super::app::App;
use super::super::params::shortened;
use super::super::reply::{Problem, Reply, etag_of};
use super::super::slice::{self, Plane, floor};
use super::ask::{EdrQuery, Format, QueryKind, QueryPlace, Times};
use super::radius::Circle;
use super::wkt::{self, Into};
use super::{collection, coverage, csv, height};
use crate::grid::longitude::{rising, turned, turns};
use crate::grid::{Level, Levels, Structure, Window};
use crate::{Answer, Grid, Layer, Polygon, Query, wire};

/// The share of the cells that an engine call may have that a text may have.
const TEXT_SHARE: u64 = 4;

/// The cells of an answer and how they are told.
pub(super) struct FoundCells<'a> {
    pub(super) grid: &'a Grid,
    pub(super) plane: Plane<'a>,
    pub(super) kind: QueryKind,
    pub(super) answer: Answer,
    /// The cells (y, x) that count.
    pub(super) mask: Option<Array2<bool>>,
    /// The axis of bands, and which of them are told, by their numbers in the answer and names.
    pub(super) band: Option<usize>,
    /// The axis of heights, if they are asked for and stand not in the place of times.
    pub(super) height: Option<usize>,
    pub(super) parameters: Vec<(usize, String)>,
}

/// Answers a question, unless the client has the answer.
pub(super) fn answer(
    app: &App,
    grid: &Grid,
    ask: &EdrQuery,
    raw: Option<&str>,
    headers: &HeaderMap,
) -> Result<Reply, Problem> {
    let plane = Plane::of(grid)?;
    let structure = grid.structure();
    let (Some(bounds), Some(base)) = (grid.bounds()?, grid.base_levels()?) else {
        return Err(Problem::not_found(format!(
            "grid `{}` is empty",
            grid.name()
        )));
    };
    slice::check_layer(grid, ask.layer.as_ref())?;
    let levels = slice::levels(grid, &ask.params, base)?;
    let region = Region::of(grid, plane, ask, (&bounds, levels))?;
    let band = plane.band(structure);
    let mut parameters = chosen(grid, ask, collection::parameters(grid, plane))?;
    let mut window = region.window;
    for (axis, cell) in slice::others(grid, plane, &ask.params, &bounds, levels)? {
        window = window.along(axis, cell, 1);
    }
    let heights = height::cells(grid, plane, &ask.params, (&bounds, levels))?;
    if let Some((axis, cells)) = &heights {
        window = window.along(*axis, cells.start, cells.end.abs_diff(cells.start));
    }
    let told_as_time = plane.along.map(|along| along.number);
    let height = heights
        .map(|(axis, _)| axis)
        .filter(|axis| Some(*axis) != told_as_time);
    if let Some(axis) = band {
        // From the first band that is asked for to the last, whether anything was put there or not.
        let numbers = || parameters.iter().map(|(number, _)| *number);
        let first = numbers().min().unwrap_or_default();
        let len = numbers().max().unwrap_or_default() - first + 1;
        window = window.along(
            axis,
            0_i64.saturating_add_unsigned(first as u64),
            len as u64,
        );
        parameters
            .iter_mut()
            .for_each(|(number, _)| *number -= first);
    }
    let (window, ticks) = timed(grid, plane, ask, (&bounds, window, levels))?;
    let query = Query::window(window).freshness(ask.freshness);
    let query = match ticks {
        Some(ticks) => query.ticks(ticks),
        None => query,
    };
    let query = match &ask.layer {
        Some(layer) => query.layer(layer.clone()),
        None => query,
    };
    check_size(app, grid, plane, (&window, levels), (ask, &query))?;
    let described = format!(
        "edr {} {} {}",
        ask.kind.name(),
        grid.name(),
        raw.unwrap_or_default()
    );
    let etag = etag_of(&described, &[grid.version(&query)?]);
    let mime = match ask.format {
        Format::CoverageJson => "application/prs.coverage+json",
        Format::Csv => "text/csv; charset=utf-8",
    };
    Reply::unless_known(&app.kept, headers, etag, mime, || {
        let found = FoundCells {
            grid,
            plane,
            kind: ask.kind,
            answer: grid.read(&query)?,
            mask: region.counting.mask(structure, plane, &window)?,
            band,
            height,
            parameters,
        };
        let text = match ask.format {
            Format::CoverageJson => coverage::text(&found),
            Format::Csv => csv::text(&found),
        };
        Ok(text.into_bytes())
    })
}

/// The parameters that are asked for, with their numbers.
fn chosen(
    grid: &Grid,
    ask: &EdrQuery,
    names: Vec<String>,
) -> Result<Vec<(usize, String)>, Problem> {
    let all = names.iter().cloned().enumerate();
    let Some(asked) = &ask.parameters else {
        return Ok(all.collect());
    };
    let number = |name: &String| {
        let found = names.iter().position(|known| known == name);
        found.map(|at| (at, name.clone())).ok_or_else(|| {
            let shown: Vec<String> = names.iter().take(64).cloned().collect();
            let why = format!(
                "grid `{}` has no parameter `{}`",
                grid.name(),
                shortened(name)
            );
            Problem::parameter("parameter-name", why).allowed(shown)
        })
    };
    asked.iter().map(number).collect()
}

/// What part of rows and columns is asked for.
struct Region {
    /// All that was put, but along rows and columns what is asked for.
    window: Window,
    counting: Counting,
}

/// Which cells of a region count.
enum Counting {
    All,
    /// Those whose centres lie in it.
    Circle(Circle),
    Polygon(Polygon),
}

impl Counting {
    /// The cells (y, x) of a window that count; `None` if all of them do.
    fn mask(
        &self,
        structure: &Structure,
        plane: Plane<'_>,
        window: &Window,
    ) -> Result<Option<Array2<bool>>, Problem> {
        Ok(match self {
            Self::All => None,
            Self::Circle(circle) => Some(circle.cells(structure, plane, window)),
            Self::Polygon(polygon) => Some(polygon.cells(structure, window)?),
        })
    }
}

impl Region {
    fn of(
        grid: &Grid,
        plane: Plane<'_>,
        ask: &EdrQuery,
        (bounds, levels): (&Window, Levels),
    ) -> Result<Self, Problem> {
        let structure = grid.structure();
        let into = Into::new(grid, ask.crs.as_deref())?;
        let covered = structure.cover(bounds, levels);
        let extent = structure.extent(bounds);
        let of = [plane.x, plane.y].map(|axis| extent.bounds()[axis]);
        let round = structure.longitude() == Some(plane.x);
        let within = |sides: [(f64, f64); 2], counting: Counting| -> Result<Self, Problem> {
            let window = meeting(structure, plane, (&covered, levels), sides);
            let window = window.ok_or_else(|| outside(grid, of))?;
            Ok(Self { window, counting })
        };
        match &ask.place {
            QueryPlace::Point(at) => {
                let at = into.point(*at);
                let [x, y] = at.map_err(|problem| problem.of("coords"))?;
                let x = if round { turned(x, of[0].0) } else { x };
                let inside = |at: f64, (low, high): (f64, f64)| low <= at && at <= high;
                if !inside(x, of[0]) || !inside(y, of[1]) {
                    return Err(outside(grid, of));
                }
                let mut window = covered;
                for (axis, at) in [(plane.x, x), (plane.y, y)] {
                    let cell = floor(structure.position(axis, levels[plane.space], at));
                    let last = covered.end()[axis] - 1;
                    window = window.along(axis, cell.clamp(covered.start()[axis], last), 1);
                }
                Ok(Self {
                    window,
                    counting: Counting::All,
                })
            }
            QueryPlace::Circle(at, metres) => {
                let at = into.point(*at).map_err(|problem| problem.of("coords"))?;
                let circle = Circle::new(grid, at, *metres)?;
                let sides = circle.bounds(structure, plane, of);
                within(sides, Counting::Circle(circle))
            }
            QueryPlace::Box(bbox) => {
                let sides = boxed(grid, &into, *bbox, (of, round))?;
                within(sides, Counting::All)
            }
            QueryPlace::Polygon(parts) => {
                let polygon = wkt::polygon(grid, plane, &into, parts.clone())
                    .map_err(|problem| problem.of("coords"))?;
                within(polygon.bounds(), Counting::Polygon(polygon))
            }
        }
    }
}

/// The part of what was put that lies in a box (x, y), if any does.
fn meeting(
    structure: &Structure,
    plane: Plane<'_>,
    (covered, levels): (&Window, Levels),
    [x, y]: [(f64, f64); 2],
) -> Option<Window> {
    let mut window = *covered;
    for (axis, (low, high)) in [(plane.x, x), (plane.y, y)] {
        let level = levels[plane.space];
        let ends = [low, high].map(|at| structure.position(axis, level, at));
        let (first, last) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
        // A box without extent has the cell in which it lies.
        let (first, last) = (floor(first), floor(last.ceil()).max(floor(first) + 1));
        let (first, last) = (
            first.max(covered.start()[axis]),
            last.min(covered.end()[axis]),
        );
        if first >= last {
            return None;
        }
        window = window.along(axis, first, last.abs_diff(first));
    }
    Some(window)
}

/// A box in the coordinates of the grid: that around its edges where they are of another system.
fn boxed(
    grid: &Grid,
    into: &Into<'_>,
    [west, south, east, north]: [f64; 4],
    (of, round): ([(f64, f64); 2], bool),
) -> Result<[(f64, f64); 2], Problem> {
    if !into.is_plain() {
        const STEPS: u32 = 32;
        let (mut x, mut y) = (
            (f64::INFINITY, f64::NEG_INFINITY),
            (f64::INFINITY, f64::NEG_INFINITY),
        );
        for step in 0..=STEPS {
            let part = f64::from(step) / f64::from(STEPS);
            let (ax, ay) = (west + (east - west) * part, south + (north - south) * part);
            for point in [[ax, south], [ax, north], [west, ay], [east, ay]] {
                let [px, py] = into.point(point).map_err(|problem| problem.of("bbox"))?;
                x = (x.0.min(px), x.1.max(px));
                y = (y.0.min(py), y.1.max(py));
            }
        }
        return Ok([x, y]);
    }
    if !round {
        if west > east {
            return Err(Problem::parameter("bbox", "its west is above its east"));
        }
        return Ok([(west, east), (south, north)]);
    }
    let (west, east) = rising(west, east);
    match turns((west, east), of[0])[..] {
        [] => Err(outside(grid, of)),
        [turn] => Ok([(west + turn, east + turn), (south, north)]),
        _ if east - west >= 360.0 => Ok([of[0], (south, north)]),
        _ => Err(Problem::parameter(
            "bbox",
            format!(
                "it goes over the seam of grid `{}`, whose longitudes go from {} to {}; ask in two parts",
                grid.name(),
                of[0].0,
                of[0].1
            ),
        )),
    }
}

fn outside(grid: &Grid, [x, y]: [(f64, f64); 2]) -> Problem {
    Problem::not_found(format!(
        "there is nothing there: the data of grid `{}` go from x {} to {}, y {} to {}",
        grid.name(),
        x.0,
        x.1,
        y.0,
        y.1
    ))
}

/// The window at the times that are asked for; of events their ticks, if not all are.
fn timed(
    grid: &Grid,
    plane: Plane<'_>,
    ask: &EdrQuery,
    (bounds, window, levels): (&Window, Window, Levels),
) -> Result<(Window, Option<Range<i64>>), Problem> {
    let Some(times) = ask.times else {
        return Ok((window, None));
    };
    let structure = grid.structure();
    let along = plane.along.ok_or_else(|| {
        Problem::parameter(
            "datetime",
            format!("grid `{}` has no time axis", grid.name()),
        )
    })?;
    let Times { from, to } = times;
    let place = |at: Option<wire::Instant>| {
        at.map(|at| along.world(at).map_err(Problem::by("datetime")))
            .transpose()
    };
    let (from, to) = (place(from)?, place(to)?);
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(Problem::parameter("datetime", "it ends before it begins"));
    }
    let level = levels[structure.dimension_of(along.number)];
    let cell = |at: f64| floor(structure.position(along.number, level, at));
    let covered = (window.start()[along.number], window.end()[along.number]);
    if along.irregular && level == Level::ZERO {
        // Ticks are whole: those from the first at or after `from` to the last at or before `to`.
        let first = from.map_or(covered.0, |from| floor(from.ceil()));
        let end = to.map_or(covered.1, |to| floor(to).saturating_add(1));
        if first >= end {
            return Err(nothing_then(grid, along, bounds));
        }
        return Ok((window, Some(first..end)));
    }
    let first = from.map_or(covered.0, cell).max(covered.0);
    let end = to
        .map_or(covered.1, |to| cell(to).saturating_add(1))
        .min(covered.1);
    if first >= end {
        return Err(nothing_then(grid, along, bounds));
    }
    let window = window.along(along.number, first, end.abs_diff(first));
    Ok((window, None))
}

fn nothing_then(grid: &Grid, along: wire::Along<'_>, bounds: &Window) -> Problem {
    let [from, to] = along.ends_shown(grid.structure(), bounds);
    Problem::not_found(format!(
        "there is nothing then: the times of grid `{}` go from {from} to {to}",
        grid.name()
    ))
}

/// Refuses more cells than a text may have.
fn check_size(
    app: &App,
    grid: &Grid,
    plane: Plane<'_>,
    (window, levels): (&Window, Levels),
    (ask, query): (&EdrQuery, &Query),
) -> Result<(), Problem> {
    let structure = grid.structure();
    let most = app.options.cells / TEXT_SHARE;
    let irregular = plane
        .along
        .filter(|along| along.irregular)
        .map(|along| along.number);
    let cells = match irregular {
        Some(axis) => {
            let events = grid.events(query)?.len() as u64;
            let each = window.along(axis, 0, 1).cells();
            each.and_then(|each| each.checked_mul(events.max(1)))
        }
        None => window.cells(),
    };
    if cells.is_some_and(|cells| cells <= most) {
        return Ok(());
    }
    // The base has no coarser levels.
    let layered = !grid.schema().aggregators().is_empty() && ask.layer != Some(Layer::Base);
    let coarser = levels[plane.space].coarser().filter(|_| layered);
    let coarser = coarser.map_or_else(String::new, |level| {
        let name = structure.dimensions()[plane.space].name();
        format!(", or `level.{name}={level}` and above")
    });
    Err(Problem::too_large(format!(
        "the answer would have more than {most} cells; ask for a smaller place or fewer times\
         {coarser}",
    )))
}
