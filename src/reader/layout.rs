//! Which cells at which levels a region is read from, and how they become the cells that are asked for.

use super::plan::CELLS_MAX;
use super::query::{Detail, Query, Region};
use crate::error::{Error, Result};
use crate::grid::{Axis, CellIndex, Extent, Level, Levels, Shape, Structure, Window};
use crate::kernel::{AxisMap, Resampling};

pub(super) struct Layout {
    pub(super) window: Window,
    pub(super) extent: Extent,
    pub(super) maps: Option<Vec<AxisMap>>,
}

/// The cells at given levels that the region touches.
pub(super) fn at_levels(structure: &Structure, query: &Query, bounds: &Window, base: Levels) -> Result<Layout> {
    let levels = |given: Levels| match query.detail {
        Detail::Levels(levels) => structure.check_levels(levels).map(|()| levels),
        _ => Ok(given),
    };
    let window = match &query.region {
        Region::All => structure.cover(bounds, levels(base)?),
        Region::Window(window) => {
            structure.check(window)?;
            structure.cover(window, levels(window.levels(base.len()))?)
        }
        Region::Extent(extent) => structure.window(extent, levels(base)?)?,
    };
    Ok(Layout { window, extent: structure.extent(&window), maps: None })
}

/// The box of the world that is asked for.
pub(super) fn region(structure: &Structure, query: &Query, bounds: &Window) -> Result<Extent> {
    match &query.region {
        Region::All => Ok(structure.extent(bounds)),
        Region::Window(window) => structure.check(window).map(|()| structure.extent(window)),
        Region::Extent(extent) => {
            structure.window(extent, bounds.levels(structure.dimensions().len()))?;
            Ok(extent.clone())
        }
    }
}

/// The first tick of a region along the irregular dimension, and how many it has.
pub(super) fn span(structure: &Structure, query: &Query, bounds: &Window) -> Result<(i64, u64)> {
    let Some(irregular) = structure.irregular_axis() else { return Ok((0, 1)) };
    let cells = bounds.levels(structure.dimensions().len());
    let window = match &query.region {
        Region::All => *bounds,
        Region::Window(window) => {
            let levels = window.levels(structure.dimensions().len());
            structure.cover(window, levels.with(irregular.dimension, Level::ZERO))
        }
        Region::Extent(extent) => structure.window(extent, cells)?,
    };
    Ok((window.start()[irregular.axis], window.shape()[irregular.axis]))
}

/// Cell size and count along each axis.
pub(super) type Sizes = Vec<(f64, usize)>;

pub(super) fn cells_of(structure: &Structure, region: &Extent, cell: &[f64]) -> Result<Sizes> {
    one_an_axis(structure, cell.len(), "resolution")?;
    let of_axis = |(number, axis): (usize, &Axis)| {
        let (lower, upper) = region.bounds()[number];
        let dimension = &structure.dimensions()[structure.dimension_of(number)];
        if dimension.is_irregular() {
            return Ok((1.0, 1));
        }
        let cell = if dimension.is_fixed() { 1.0 } else { cell[number] };
        if !cell.is_finite() || cell <= 0.0 {
            return Err(Error::invalid(format!("resolution {cell} along axis `{}` is not a positive number", axis.name())));
        }
        Ok((cell, whole(((upper - lower) / cell - 1e-6).ceil().max(1.0))?))
    };
    structure.axes().enumerate().map(of_axis).collect()
}

pub(super) fn shape_of(structure: &Structure, region: &Extent, shape: &[usize]) -> Result<Sizes> {
    one_an_axis(structure, shape.len(), "shape")?;
    let irregular = structure.irregular_axis().map(|irregular| irregular.axis);
    let of_axis = |number: usize, &(lower, upper): &(f64, f64), len: usize, axis: &Axis| {
        if irregular == Some(number) {
            return Ok((1.0, 1));
        }
        if len == 0 || upper <= lower {
            return Err(Error::invalid(format!("{len} cells over {lower} to {upper} along axis `{}` is no shape", axis.name())));
        }
        Ok(((upper - lower) / len as f64, len))
    };
    let axes = region.bounds().iter().zip(shape).zip(structure.axes()).enumerate();
    axes.map(|(number, ((bounds, len), axis))| of_axis(number, bounds, *len, axis)).collect()
}

fn one_an_axis(structure: &Structure, len: usize, what: &str) -> Result<()> {
    if len == structure.rank() {
        Ok(())
    } else {
        Err(Error::invalid(format!("a {what} of {len} numbers does not fit {} axes", structure.rank())))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive whole number, checked against the limit")]
fn whole(count: f64) -> Result<usize> {
    if count <= CELLS_MAX as f64 {
        Ok(count as usize)
    } else {
        Err(Error::invalid(format!("{count} cells along an axis are too many")))
    }
}

/// The coarsest level at least as fine as the cells, what to read there, and how its cells become the answer's.
pub(super) fn resampled(
    structure: &Structure,
    bounds: &Window,
    region: Extent,
    cells: Sizes,
    (base, reach): (Levels, Levels),
    (resampling, span): (Resampling, (i64, u64)),
) -> Result<Layout> {
    let steps: Vec<f64> = structure.axes().map(|axis| axis.step().abs()).collect();
    let irregular = structure.irregular_axis();
    let levels: Levels = (0..structure.dimensions().len())
        .map(|d| {
            if irregular.is_some_and(|irregular| irregular.dimension == d) {
                return base[d];
            }
            let fits =
                |level: Level| structure.axes_of(d).all(|axis| steps[axis] * level.scale() <= cells[axis].0 * (1.0 + 1e-9));
            std::iter::successors(Some(base[d]), |level| level.coarser())
                .take_while(|level| *level <= reach[d] && (*level == base[d] || fits(*level)))
                .last()
                .unwrap_or(base[d])
        })
        .collect();
    let cover = structure.cover(bounds, levels);
    let mut start = vec![0; structure.rank()];
    let mut shape = vec![0; structure.rank()];
    let mut maps = Vec::new();
    let mut extent = Vec::new();
    for (axis, world) in structure.axes().enumerate() {
        let level = levels[structure.dimension_of(axis)];
        let (lower, upper) = region.bounds()[axis];
        if irregular.is_some_and(|irregular| irregular.axis == axis) {
            (start[axis], shape[axis]) = span;
            maps.push(AxisMap { start: 0.0, ratio: 1.0, len: 1 });
            extent.push((lower, upper));
            continue;
        }
        let (cell, len) = cells[axis];
        // The first cell lies at the lower bound, or at the upper one where the axis runs backwards.
        let first = if world.step() < 0.0 { upper } else { lower };
        let ratio = cell / (steps[axis] * level.scale());
        let from = structure.position(axis, level, first);
        let to = from + ratio * len as f64;
        let margin = resampling.reach(ratio) + 1.0;
        // Beyond the bounds there is nothing; one kernel of nothing around them is enough.
        let low = clamp_cell((from - margin).floor(), cover.start()[axis], margin, false);
        let high = clamp_cell((to + margin).ceil(), cover.end()[axis], margin, true).max(low + 1);
        (start[axis], shape[axis]) = (low, high.abs_diff(low));
        maps.push(AxisMap { start: from - low as f64, ratio, len });
        let last = first + world.step().signum() * cell * len as f64;
        extent.push((first, last));
    }
    let window = Window::new(CellIndex::from(start.as_slice()), Shape::from(shape.as_slice())).at(levels);
    let space = structure.check(&window);
    let window = if space.is_ok() {
        window
    } else {
        structure.intersection(&window, &cover).ok_or_else(|| Error::invalid("the extent holds no data"))?
    };
    let shift = window.start();
    maps.iter_mut().zip(start.iter().zip(shift.iter())).for_each(|(map, (old, new))| map.start -= (new - old) as f64);
    Ok(Layout { window, extent: Extent::new(extent), maps: Some(maps) })
}

/// A cell bound, held within `margin` cells of the bound of the data.
#[expect(clippy::cast_possible_truncation, reason = "whole numbers within the index space, which `as` saturates to")]
fn clamp_cell(bound: f64, data: i64, margin: f64, upper: bool) -> i64 {
    let bound = bound as i64;
    let margin = margin.ceil() as i64;
    if upper { bound.min(data.saturating_add(margin)) } else { bound.max(data.saturating_sub(margin)) }
}

/// Levels finer than the base hold no chunks: the base cells under them are repeated.
pub(super) fn repeat_base(structure: &Structure, layout: Layout, base: Levels) -> Result<Layout> {
    let levels = layout.window.levels(base.len());
    if layout.maps.is_some() || levels.iter().zip(base.iter()).all(|(level, base)| level >= base) {
        return Ok(layout);
    }
    let coarse: Levels = levels.iter().zip(base.iter()).map(|(level, base)| *level.max(base)).collect();
    let window = structure.cover(&layout.window, coarse);
    let back = structure.cover(&window, levels);
    let maps = (0..structure.rank())
        .map(|axis| {
            let d = structure.dimension_of(axis);
            let ratio = levels[d].scale() / coarse[d].scale();
            let start = (layout.window.start()[axis] - back.start()[axis]) as f64 * ratio;
            let len = usize::try_from(layout.window.shape()[axis]).unwrap_or(usize::MAX);
            AxisMap { start, ratio, len }
        })
        .collect();
    Ok(Layout { window, extent: layout.extent, maps: Some(maps) })
}
