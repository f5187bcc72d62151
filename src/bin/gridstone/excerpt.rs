//! What of a grid is copied, by the options of `copy`.

use super::region::RegionArgs;
use super::select::{band_number, windowed};
use super::terminal::Terminal;
use super::time::Along;
use gridstone::adapter::raster::RasterAxes;
use gridstone::{Aggregation, Excerpt, Extent, Grid, Levels, Structure, Window};

/// The part of a source that is asked for, whatever was put there, and its layer and levels.
pub(super) fn excerpt(
    region: &RegionArgs,
    layer: Option<&Aggregation>,
    source: &Grid,
    terminal: &Terminal,
) -> anyhow::Result<Excerpt> {
    let structure = source.structure();
    let base = source
        .base_levels()?
        .unwrap_or(Levels::zero(structure.dimensions().len()));
    let mut levels = base;
    let plane = region.extent.is_some()
        || region.window.is_some()
        || region.band.is_some()
        || region.level.is_some();
    let axes = plane.then(|| RasterAxes::of(structure)).transpose()?;
    if let Some((axes, level)) = axes.zip(region.level) {
        levels = levels.with(axes.space, level);
    }
    if let Some(level) = region.time_level {
        let along = Along::of(source, "--time-level")?;
        levels = levels.with(structure.dimension_of(along.number), level);
    }
    let limited = [
        region.extent.is_some(),
        region.window.is_some(),
        region.period.is_some(),
        region.band.is_some(),
    ];
    let mut excerpt = Excerpt::all();
    if limited.contains(&true) {
        excerpt = excerpt.levels(levels);
    }
    let asks_levels = region.level.is_some() || region.time_level.is_some();
    if layer.is_some() || levels != base {
        let first = || source.schema().aggregators().first().cloned();
        let aggregation = layer.cloned().or_else(first).ok_or_else(|| {
            anyhow::anyhow!(
                "grid `{}` has no aggregators, so no levels to be copied; add one with `gridstone alter STORE {0} --add-aggregator NAME`",
                source.name()
            )
        })?;
        anyhow::ensure!(
            asks_levels,
            "--layer {aggregation} is for --level or --time-level; say which level is copied"
        );
        excerpt = excerpt.layer(aggregation, levels);
    }
    let blank = one_cell(structure, levels);
    if let Some((axes, asked)) = axes.zip(region.extent) {
        let asked = asked.placed_once(terminal, source, axes)?;
        let mut sides = structure.extent(&blank).bounds().to_vec();
        (sides[axes.y], sides[axes.x]) = ((asked.south, asked.north), (asked.west, asked.east));
        let window = structure.window(&Extent::new(sides), levels)?;
        for axis in [axes.y, axes.x] {
            excerpt = excerpt.along(axis, window.start()[axis]..window.end()[axis]);
        }
    }
    if let Some((axes, asked)) = axes.zip(region.window) {
        let window = windowed(&blank, axes, asked, levels);
        for axis in [axes.y, axes.x] {
            excerpt = excerpt.along(axis, window.start()[axis]..window.end()[axis]);
        }
    }
    if let Some((axes, band)) = axes.zip(region.band.as_deref())
        && let Some((axis, number)) = axes.band.zip(band_number(source, axes, Some(band))?)
    {
        let number = i64::try_from(number)?;
        excerpt = excerpt.along(axis, number..number.saturating_add(1));
    }
    if let Some(period) = region.period {
        let along = Along::of(source, "--period")?;
        let cells = if along.irregular {
            along.ticks(period)?
        } else {
            let mut sides = structure.extent(&blank).bounds().to_vec();
            let (from, to) = along.range(period)?;
            sides[along.number] = (from, to);
            let window = structure.window(&Extent::new(sides), levels)?;
            window.start()[along.number]..window.end()[along.number]
        };
        excerpt = excerpt.along(along.number, cells);
    }
    Ok(excerpt)
}

/// The first cell of some levels.
fn one_cell(structure: &Structure, levels: Levels) -> Window {
    let rank = structure.rank();
    Window::new(
        vec![0; rank].as_slice(),
        gridstone::Shape::from(vec![1; rank].as_slice()),
    )
    .at(levels)
}
