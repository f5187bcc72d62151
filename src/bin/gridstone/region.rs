//! Which part of a grid is asked for: the options that `read`, `explain` and `export` share.

use clap::Args;

use super::args::{self, BoundsArg, CellsArg, Period};
use super::select::{banded, windowed};
use super::terminal::Terminal;
use super::time::Along;
use gridstone::adapter::raster::RasterAxes;
use gridstone::{Extent, Grid, Level, Levels, Structure, Window};

#[derive(Args, Debug)]
pub(super) struct RegionArgs {
    /// A box in world units; over the antimeridian where W is above E [default: all there is]
    #[arg(
        long,
        value_name = "W,S,E,N",
        allow_hyphen_values = true,
        conflicts_with = "window"
    )]
    pub(super) extent: Option<BoundsArg>,
    /// Rows and columns in cells of the level asked for, half-open; with --resolution and --shape
    /// of the base level
    #[arg(long, value_name = "Y0:Y1,X0:X1", allow_hyphen_values = true)]
    pub(super) window: Option<CellsArg>,
    /// A level: 0 has the declared cells, each one above cells of twice the size
    /// [default: the base]
    #[arg(long, value_name = "L", allow_hyphen_values = true, value_parser = args::level)]
    pub(super) level: Option<Level>,
    /// From the first to before the second time, in ISO 8601 [default: all there is]
    #[arg(long, value_name = "FROM/TO")]
    pub(super) period: Option<Period>,
    /// A level of the time dimension: 0 has the declared steps, each one above steps of twice the
    /// length [default: the base]
    #[arg(long, value_name = "L", allow_hyphen_values = true, value_parser = args::level)]
    pub(super) time_level: Option<Level>,
    /// One band, by its label or its number from 1 [default: all]
    #[arg(long, value_name = "B")]
    pub(super) band: Option<String>,
}

/// What is asked for, found in a grid.
pub(super) struct RegionFound {
    /// The base cells of the bands and times, at the finest base levels.
    pub(super) bounds: Window,
    /// The levels that are asked for.
    pub(super) levels: Levels,
    pub(super) place: RegionPlace,
}

/// Which rows and columns.
pub(super) enum RegionPlace {
    Extent(Extent),
    Window(Window),
}

impl RegionArgs {
    /// Whether nothing is said of rows, columns, bands and levels.
    pub(super) fn is_whole(&self) -> bool {
        self.extent.is_none()
            && self.window.is_none()
            && self.level.is_none()
            && self.band.is_none()
            && self.time_level.is_none()
    }

    /// The part of what was put in the period.
    pub(super) fn within(&self, grid: &Grid, bounds: &Window) -> anyhow::Result<Window> {
        self.period.map_or(Ok(*bounds), |period| {
            Ok(Along::of(grid, "--period")?.within(grid.structure(), bounds, period)?)
        })
    }

    /// Finds it within what was put.
    pub(super) fn find(
        &self,
        terminal: &Terminal,
        grid: &Grid,
        (axes, bounds): (RasterAxes, Window),
    ) -> anyhow::Result<RegionFound> {
        let structure = grid.structure();
        let base = bounds.levels(structure.dimensions().len());
        let bounds = self
            .band
            .as_ref()
            .map_or(Ok(bounds), |band| banded(grid, axes, &bounds, Some(band)))?;
        let bounds = self.within(grid, &bounds)?;
        let mut levels = self
            .level
            .map_or(base, |level| base.with(axes.space, level));
        if let Some(level) = self.time_level {
            levels = levels.with(
                structure.dimension_of(Along::of(grid, "--time-level")?.number),
                level,
            );
        }
        let levelled = structure.cover(&bounds, levels);
        let place = match (self.extent, self.window) {
            (Some(asked), _) => {
                let asked = asked.placed_once(terminal, grid, axes)?;
                let mut sides = structure.extent(&bounds).bounds().to_vec();
                (sides[axes.y], sides[axes.x]) =
                    ((asked.south, asked.north), (asked.west, asked.east));
                RegionPlace::Extent(Extent::new(sides))
            }
            (None, Some(asked)) => RegionPlace::Window(windowed(&levelled, axes, asked, levels)),
            (None, None) => RegionPlace::Window(bounds),
        };
        Ok(RegionFound {
            bounds,
            levels,
            place,
        })
    }
}

impl RegionFound {
    /// The cells of the levels that are asked for.
    pub(super) fn window(
        &self,
        structure: &Structure,
        axes: RasterAxes,
    ) -> gridstone::Result<Window> {
        let whole = structure.cover(&self.bounds, self.levels);
        let asked = match &self.place {
            RegionPlace::Extent(extent) => structure.window(extent, self.levels)?,
            RegionPlace::Window(window) => structure.cover(window, self.levels),
        };
        Ok([axes.y, axes.x].into_iter().fold(whole, |window, axis| {
            window.along(axis, asked.start()[axis], asked.shape()[axis])
        }))
    }
}
