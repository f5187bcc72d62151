//! Which cells of a grid are asked for: the options that `read` and `explain` share, and those that
//! `clear` and `delete` share.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::args::{self, BoundsArg, CellSize, CellsArg, Period, Size};
use super::every::{Every, TimeCut};
use super::place::DataPlane;
use super::region::{RegionArgs, RegionFound, RegionPlace};
use super::terminal::Terminal;
use super::time::{Along, Instant, Length};
use gridstone::adapter::raster::{self, RasterAxes, RasterFile};
use gridstone::crs;
use gridstone::grid::{CellIndex, Geometry};
use gridstone::{
    Axis, Freshness, Grid, Layer, Levels, Moment, Query, Resampling, Shape, Structure, Window,
};

/// Cells that an answer may have: it is held in memory.
const CELLS_MAX: f64 = 2e9;

#[derive(Args, Debug)]
pub(super) struct SelectionArgs {
    /// The directory of the store
    pub(super) store: PathBuf,
    /// The name of the grid
    pub(super) grid: String,
    #[command(flatten)]
    region: RegionArgs,
    /// The size of a cell in world units, or its width and height
    #[arg(long, value_name = "R", conflicts_with_all = ["shape", "level", "time_level"])]
    resolution: Option<CellSize>,
    /// Rows and columns of the answer
    #[arg(long, value_name = "HxW", conflicts_with_all = ["level", "time_level"])]
    shape: Option<Size>,
    /// Exactly the cells of a GeoTIFF, of any size and coordinate reference system, anywhere and in
    /// any direction, with and without data
    #[arg(long, value_name = "TARGET.tif", conflicts_with_all = ["extent", "window", "level", "resolution", "shape"])]
    like: Option<PathBuf>,
    #[command(flatten)]
    times: AskedTimes,
    /// base, or an aggregator of the grid
    /// [default: the base where there is one, else the first aggregator]
    #[arg(long, value_name = "NAME", value_parser = args::parsed::<Layer>)]
    layer: Option<Layer>,
    /// nearest, bilinear, cubic, area, min, max, mode or sum, for --resolution, --shape and --like;
    /// the layers sum and count are divided by area, whatever it says
    #[arg(long, value_name = "NAME", default_value = "nearest", value_parser = args::parsed::<Resampling>)]
    resampling: Resampling,
    /// Compute aggregates that are out of date on the fly
    #[arg(long)]
    fresh: bool,
}

impl SelectionArgs {
    /// The query. The grid must not be empty.
    pub(super) fn query(&self, terminal: &Terminal, grid: &Grid) -> anyhow::Result<Query> {
        let structure = grid.structure();
        let bounds = grid.bounds()?.ok_or_else(|| {
            anyhow::anyhow!("grid `{}` is empty: nothing was put yet", grid.name())
        })?;
        // Whatever else is asked.
        self.layer
            .iter()
            .try_for_each(|layer| grid.layer_dtype(layer).map(drop))?;
        let sized = self.resolution.is_some() || self.shape.is_some() || self.like.is_some();
        let axes = match RasterAxes::of(structure) {
            Ok(axes) => axes,
            Err(_) if !sized && self.region.is_whole() => {
                let bounds = self.region.within(grid, &bounds)?;
                return self
                    .times
                    .of(grid, &bounds, self.dressed(Query::window(bounds)));
            }
            Err(error) => return Err(error.into()),
        };
        let base = bounds.levels(structure.dimensions().len());
        let RegionFound {
            bounds,
            levels,
            place,
        } = self.region.find(terminal, grid, (axes, bounds))?;
        let query = match &place {
            RegionPlace::Extent(extent) => Query::extent(extent.clone()),
            RegionPlace::Window(window) => Query::window(*window),
        };
        let others = |axis: usize| bounds.shape()[axis];
        let target = self
            .like
            .as_ref()
            .map(|file| target(terminal, grid, axes, file))
            .transpose()?;
        let query = if let Some((target, _)) = &target {
            query.onto(target.clone())
        } else if let Some(cell) = self.resolution {
            let size = |(axis, world): (usize, &Axis)| match axis {
                axis if axis == axes.y => cell.y,
                axis if axis == axes.x => cell.x,
                axis => world.step().abs() * base[structure.dimension_of(axis)].scale(),
            };
            query.resolution(structure.axes().enumerate().map(size))
        } else if let Some(shape) = self.shape {
            let len = |axis: usize| match axis {
                axis if axis == axes.y => shape.rows,
                axis if axis == axes.x => shape.cols,
                axis => usize::try_from(others(axis)).unwrap_or(usize::MAX),
            };
            query.shape((0..structure.rank()).map(len))
        } else {
            query.levels(levels)
        };
        let query = self.times.of(grid, &bounds, self.dressed(query))?;
        let asked = target.map(|(_, size)| size).or(self.shape);
        self.check_size(
            grid,
            axes,
            &place,
            (levels, asked, self.times.steps(grid, &bounds)?),
        )?;
        Ok(query)
    }

    /// How up to date the answer is to be.
    pub(super) fn freshness(&self) -> Freshness {
        if self.fresh {
            Freshness::Fresh
        } else {
            Freshness::Stored
        }
    }

    fn dressed(&self, query: Query) -> Query {
        let query = query.resampled(self.resampling).freshness(self.freshness());
        match &self.layer {
            Some(layer) => query.layer(layer.clone()),
            None => query,
        }
    }

    /// Refuses an answer that would not fit memory, before it is allocated.
    fn check_size(
        &self,
        grid: &Grid,
        axes: RasterAxes,
        place: &RegionPlace,
        (levels, asked, steps): (Levels, Option<Size>, f64),
    ) -> anyhow::Result<()> {
        let structure = grid.structure();
        let extent = match place {
            RegionPlace::Extent(extent) => extent.clone(),
            RegionPlace::Window(window) => structure.extent(window),
        };
        let len = |axis: usize, asked: Option<usize>, cell: Option<f64>| {
            let (lower, upper) = extent.bounds()[axis];
            let step = structure
                .axes()
                .nth(axis)
                .map_or(1.0, |axis| axis.step().abs());
            let cell = cell.unwrap_or(step * levels[structure.dimension_of(axis)].scale());
            asked.map_or(((upper - lower) / cell).ceil(), |asked| asked as f64)
        };
        let irregular = structure
            .irregular()
            .map(|dimension| structure.axes_of(dimension).start);
        let cut = self
            .times
            .every
            .and_then(|_| Along::find(structure))
            .map(|along| along.number);
        let cells: f64 = (0..structure.rank())
            .map(|axis| match axis {
                axis if axis == axes.y => len(
                    axis,
                    asked.map(|size| size.rows),
                    self.resolution.map(|cell| cell.y),
                ),
                axis if axis == axes.x => len(
                    axis,
                    asked.map(|size| size.cols),
                    self.resolution.map(|cell| cell.x),
                ),
                axis if Some(axis) == irregular || Some(axis) == cut => steps,
                axis => len(axis, None, None),
            })
            .product();
        anyhow::ensure!(
            cells <= CELLS_MAX,
            "the answer would have {cells:.1e} cells, more than {CELLS_MAX:.0e}; ask for {}",
            if self.like.is_some() {
                "a part of the target at a time"
            } else {
                "a smaller --extent, a coarser --level or a --shape"
            }
        );
        Ok(())
    }
}

/// The cells of a file that an answer is to have, and how many they are.
fn target(
    terminal: &Terminal,
    grid: &Grid,
    axes: RasterAxes,
    file: &Path,
) -> anyhow::Result<(Geometry, Size)> {
    let opened = raster::open(file)?;
    let shown = file.display();
    let target = raster::geometry(grid, opened.header())
        .with_context(|| format!("nothing can be laid onto `{shown}`"))?;
    let systems = target.system().zip(grid.structure().crs());
    let is_here = systems.is_none_or(|(own, grid)| crs::same(own, grid));
    if let (Some(plane), [y, x], true) = (DataPlane::of(grid, axes)?, target.lines(), is_here) {
        plane.note_beside(
            terminal,
            grid,
            &format!("`{shown}`"),
            (x.bounds(), y.bounds()),
        );
    }
    Ok((
        target,
        Size {
            rows: opened.header().height,
            cols: opened.header().width,
        },
    ))
}

/// The number of a band from 0: by its label, or by its number from 1; the first if none is named.
/// `None` if there are no bands.
pub(super) fn band_number(
    grid: &Grid,
    axes: RasterAxes,
    band: Option<&str>,
) -> anyhow::Result<Option<usize>> {
    let Some(axis) = axes.band else {
        anyhow::ensure!(
            band.is_none_or(|band| band == "1"),
            "grid `{}` has no bands to choose from",
            grid.name()
        );
        return Ok(None);
    };
    let structure = grid.structure();
    let labels = structure.dimensions()[structure.dimension_of(axis)]
        .labels()
        .unwrap_or_default();
    let Some(band) = band else { return Ok(Some(0)) };
    let by_label = labels.iter().position(|label| label == band);
    let by_number = || {
        band.parse::<usize>()
            .ok()
            .and_then(|number| number.checked_sub(1))
            .filter(|number| *number < labels.len())
    };
    let number = by_label.or_else(by_number).ok_or_else(|| {
        let shown: Vec<_> = labels.iter().take(20).map(String::as_str).collect();
        anyhow::anyhow!(
            "grid `{}` has no band `{band}`; it has {}",
            grid.name(),
            shown.join(", ")
        )
    })?;
    Ok(Some(number))
}

/// The bounds with one band only.
pub(super) fn banded(
    grid: &Grid,
    axes: RasterAxes,
    bounds: &Window,
    band: Option<&str>,
) -> anyhow::Result<Window> {
    Ok(match axes.band.zip(band_number(grid, axes, band)?) {
        Some((axis, number)) => bounds.along(axis, i64::try_from(number)?, 1),
        None => *bounds,
    })
}

/// A part of what was put, at the finest base levels. Axes that nothing is said of are whole.
#[derive(Args, Debug)]
pub(super) struct PartArgs {
    /// The cells whose centres lie in a box in world units
    #[arg(
        long,
        value_name = "W,S,E,N",
        allow_hyphen_values = true,
        conflicts_with = "window"
    )]
    extent: Option<BoundsArg>,
    /// Rows and columns in cells of the finest base level, half-open
    #[arg(long, value_name = "Y0:Y1,X0:X1", allow_hyphen_values = true)]
    window: Option<CellsArg>,
    /// The steps whose middles lie, or the events that lie, from the first to before the second
    /// time, in ISO 8601 [default: all]
    #[arg(long, value_name = "FROM/TO")]
    period: Option<Period>,
}

impl PartArgs {
    /// The cells; `None` if nothing was put there.
    pub(super) fn window(
        &self,
        terminal: &Terminal,
        grid: &Grid,
        band: Option<&String>,
    ) -> anyhow::Result<Option<Window>> {
        let structure = grid.structure();
        let plane = self.extent.is_some() || self.window.is_some() || band.is_some();
        let axes = plane.then(|| RasterAxes::of(structure)).transpose()?;
        let mut sides: Vec<(usize, (f64, f64))> = Vec::new();
        if let Some((axes, asked)) = axes.zip(self.extent) {
            let asked = asked.placed_once(terminal, grid, axes)?;
            sides.extend([
                (axes.y, (asked.south, asked.north)),
                (axes.x, (asked.west, asked.east)),
            ]);
        }
        let mut ticks = None;
        if let Some(period) = self.period {
            let along = Along::of(grid, "--period")?;
            if along.irregular {
                ticks = Some((along.number, along.ticks(period)?));
            } else {
                sides.push((along.number, along.range(period)?));
            }
        }
        let Some(bounds) = grid.bounds()? else {
            return Ok(None);
        };
        let levels = bounds.levels(structure.dimensions().len());
        let part = axes.zip(band).map_or(Ok(bounds), |(axes, band)| {
            banded(grid, axes, &bounds, Some(band))
        })?;
        let part = match axes.zip(self.window) {
            Some((axes, asked)) => {
                structure.intersection(&part, &windowed(&part, axes, asked, levels))
            }
            None => Some(part),
        };
        let part = match ticks {
            Some((axis, ticks)) => part.and_then(|part| {
                let asked = part.along(axis, ticks.start, ticks.end.abs_diff(ticks.start));
                structure.intersection(&part, &asked)
            }),
            None => part,
        };
        Ok(sides.into_iter().fold(part, |part, (axis, side)| {
            centred(structure, &part?, axis, side)
        }))
    }
}

/// The cells of a window whose centres lie between two coordinates of an axis.
#[expect(
    clippy::cast_possible_truncation,
    reason = "whole numbers between those of cells"
)]
fn centred(
    structure: &Structure,
    window: &Window,
    axis: usize,
    (lower, upper): (f64, f64),
) -> Option<Window> {
    let levels = window.levels(structure.dimensions().len());
    let position =
        |world: f64| structure.position(axis, levels[structure.dimension_of(axis)], world);
    let (mut start, mut shape) = (window.start(), window.shape());
    let (first, end) = (start[axis], window.end()[axis]);
    let cell = |position: f64| ((position - 0.5).ceil() as i64).clamp(first, end);
    let (a, b) = (position(lower), position(upper));
    start[axis] = cell(a.min(b));
    shape[axis] = cell(a.max(b)).abs_diff(start[axis]);
    (shape[axis] > 0).then(|| Window::new(start, shape).at(levels))
}

/// Which times of a grid are asked for.
#[derive(Args, Debug)]
struct AskedTimes {
    /// Of events the one that stands for a time
    #[arg(long, value_name = "TIME", conflicts_with_all = ["period", "latest", "every", "time_level"])]
    at_time: Option<Instant>,
    /// Which one that is: nearest, previous, next, or linear between the two
    #[arg(long, value_name = "HOW", default_value = "nearest", requires = "at_time", value_parser = args::parsed::<Moment>)]
    pick: Moment,
    /// How far from it that may be, like 30min [default: any distance]
    #[arg(long, value_name = "LENGTH", requires = "at_time")]
    tolerance: Option<Length>,
    /// Of events the last one
    #[arg(long, conflicts_with_all = ["period", "every", "time_level"])]
    latest: bool,
    /// Make steps of all that begins in them, by the layer: 6h, 1d, 1w, 1mo, 1season, 1y. Those of
    /// one length are counted from midnight of 1970-01-01, weeks begin on Mondays, seasons with
    /// December, March, June and September
    #[arg(long, value_name = "STEP", conflicts_with = "time_level")]
    every: Option<Every>,
}

impl AskedTimes {
    /// Whether a single step is asked for.
    fn is_one(&self) -> bool {
        self.at_time.is_some() || self.latest
    }

    /// How many events or steps there are at most, along an irregular axis.
    fn steps(&self, grid: &Grid, bounds: &Window) -> anyhow::Result<f64> {
        let Some(along) = Along::find(grid.structure()).filter(|_| !self.is_one()) else {
            return Ok(1.0);
        };
        let (first, last) = along.ends(bounds);
        match self
            .every
            .map(|every| every.cut(grid, bounds))
            .transpose()?
        {
            Some(TimeCut::Even(step, _)) => return Ok(last.abs_diff(first) as f64 / step as f64),
            Some(TimeCut::Edges(edges)) => return Ok(edges.len() as f64),
            None if !along.irregular => return Ok(1.0),
            None => {}
        }
        let events = grid.events(&Query::window(*bounds).ticks(first..last.saturating_add(1)))?;
        anyhow::ensure!(
            !events.is_empty(),
            "grid `{}` has no events in the period",
            grid.name()
        );
        Ok(events.len() as f64)
    }

    /// A query with what is asked of an irregular axis.
    fn of(&self, grid: &Grid, bounds: &Window, query: Query) -> anyhow::Result<Query> {
        if let Some(at) = self.at_time {
            let along = Along::of_events(grid, "--at-time")?;
            let query = query.moment(along.tick(at)?, self.pick);
            return self.tolerance.map_or(Ok(query.clone()), |tolerance| {
                Ok(query.within(along.length(tolerance)?))
            });
        }
        if self.latest {
            Along::of_events(grid, "--latest")?;
            return Ok(query.latest());
        }
        let query = match Along::find(grid.structure()).filter(|along| along.irregular) {
            Some(along) => {
                let (first, last) = along.ends(bounds);
                query.ticks(first..last.saturating_add(1))
            }
            None => query,
        };
        Ok(
            match self
                .every
                .map(|every| every.cut(grid, bounds))
                .transpose()?
            {
                Some(TimeCut::Even(step, from)) => query.every(step, from),
                Some(TimeCut::Edges(edges)) => query.edges(edges),
                None => query,
            },
        )
    }
}

/// The rows and columns of a command line in the levels of `all`, which has the other axes.
pub(super) fn windowed(all: &Window, axes: RasterAxes, asked: CellsArg, levels: Levels) -> Window {
    let (mut start, mut shape): (CellIndex, Shape) = (all.start(), all.shape());
    (start[axes.y], shape[axes.y]) = (asked.rows.0, asked.rows.1.abs_diff(asked.rows.0));
    (start[axes.x], shape[axes.x]) = (asked.cols.0, asked.cols.1.abs_diff(asked.cols.0));
    Window::new(start, shape).at(levels)
}
