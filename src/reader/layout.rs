//! Which cells at which levels a region is read from, and how they become the cells that are asked
//! for.

use std::ops::Range;

use super::placed::{AskedPlaces, PlacedTarget};
use super::plan::CELLS_MAX;
use super::query::{AskedRegion, Detail, Query};
use crate::error::{Error, Result};
use crate::grid::longitude::turns;
use crate::grid::{Axis, Extent, Geometry, Level, Levels, Structure, Window};
use crate::kernel::{AxisMap, ResamplingMethod};

pub(super) struct AnswerLayout {
    pub(super) window: Window,
    pub(super) extent: Extent,
    pub(super) maps: Option<CellMap>,
}

/// How the cells of the window become those of the answer.
#[derive(Clone, Debug)]
pub(super) enum CellMap {
    /// Along each axis.
    Axes(Vec<AxisMap>),
    /// Rows and columns lie somewhere on those of the window; along other axes there are those of
    /// the window.
    Placed(Box<PlacedTarget>),
}

impl CellMap {
    /// How many cells the answer has along each axis.
    pub(super) fn lens(&self) -> Vec<usize> {
        match self {
            Self::Axes(maps) => maps.iter().map(|map| map.len).collect(),
            Self::Placed(target) => target.lens.clone(),
        }
    }

    /// The cells of the window along an axis that the answer lies over.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole numbers from 0 on, of at most the window"
    )]
    pub(super) fn over(&self, axis: usize) -> Option<Range<usize>> {
        match self {
            Self::Axes(maps) => {
                let map = maps.get(axis)?;
                let (first, end) = (
                    (map.start + 1e-6).floor(),
                    (map.start + map.ratio * map.len as f64 - 1e-6).ceil(),
                );
                Some(first.max(0.0) as usize..end.max(0.0) as usize)
            }
            Self::Placed(target) => target.over.get(axis).cloned(),
        }
    }
}

/// The cells at given levels that the region touches.
pub(super) fn at_levels(
    structure: &Structure,
    query: &Query,
    bounds: &Window,
    base: Levels,
) -> Result<AnswerLayout> {
    let levels = |given: Levels| {
        let mut levels = if let Detail::Levels(levels) = query.detail {
            levels
        } else {
            given
        };
        structure.check_levels(levels)?;
        for (name, level) in &query.named {
            levels = levels.with(structure.dimension(name)?, Level::new(*level)?);
        }
        structure.check_levels(levels).map(|()| levels)
    };
    let window = match &query.region {
        AskedRegion::All => structure.cover(bounds, levels(base)?),
        AskedRegion::Window(window) => {
            structure.check(window)?;
            structure.cover(window, levels(window.levels(base.len()))?)
        }
        AskedRegion::Extent(extent) => structure.window(extent, levels(base)?)?,
    };
    Ok(AnswerLayout {
        window,
        extent: structure.extent(&window),
        maps: None,
    })
}

/// The box of the world that is asked for.
pub(super) fn region(structure: &Structure, query: &Query, bounds: &Window) -> Result<Extent> {
    match &query.region {
        AskedRegion::All => Ok(structure.extent(bounds)),
        AskedRegion::Window(window) => structure.check(window).map(|()| structure.extent(window)),
        AskedRegion::Extent(extent) => {
            structure.window(extent, bounds.levels(structure.dimensions().len()))?;
            Ok(extent.clone())
        }
    }
}

/// The first tick of a region along the irregular dimension, and how many it has.
pub(super) fn span(structure: &Structure, query: &Query, bounds: &Window) -> Result<(i64, u64)> {
    let Some(irregular) = structure.irregular_axis() else {
        return Ok((0, 1));
    };
    let cells = bounds.levels(structure.dimensions().len());
    let window = match &query.region {
        AskedRegion::All => *bounds,
        AskedRegion::Window(window) => {
            let levels = window.levels(structure.dimensions().len());
            structure.cover(window, levels.with(irregular.dimension, Level::ZERO))
        }
        AskedRegion::Extent(extent) => structure.window(extent, cells)?,
    };
    Ok((
        window.start()[irregular.axis],
        window.shape()[irregular.axis],
    ))
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
        if dimension.is_fixed() {
            return Ok((1.0, whole(upper.ceil() - lower.floor())?));
        }
        let cell = cell[number];
        if !cell.is_finite() || cell <= 0.0 {
            return Err(Error::invalid(format!(
                "resolution {cell} along axis `{}` is not a positive number",
                axis.name()
            )));
        }
        Ok((
            cell,
            whole(((upper - lower) / cell - 1e-6).ceil().max(1.0))?,
        ))
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
        if structure.dimensions()[structure.dimension_of(number)].is_fixed() {
            let labels = whole(upper.ceil() - lower.floor())?;
            let refused = || {
                format!(
                    "{len} cells of the {labels} labels along axis `{}`: labels are not resampled; ask for {labels}",
                    axis.name()
                )
            };
            return if len == labels {
                Ok((1.0, labels))
            } else {
                Err(Error::invalid(refused()))
            };
        }
        if len == 0 || upper <= lower {
            return Err(Error::invalid(format!(
                "{len} cells over {lower} to {upper} along axis `{}` is no shape",
                axis.name()
            )));
        }
        Ok(((upper - lower) / len as f64, len))
    };
    let axes = region
        .bounds()
        .iter()
        .zip(shape)
        .zip(structure.axes())
        .enumerate();
    axes.map(|(number, ((bounds, len), axis))| of_axis(number, bounds, *len, axis))
        .collect()
}

/// The box of the world that the cells of a target have, where the grid has its longitudes, and
/// these cells; along axes that it does not name, those of the region at the base levels.
pub(super) fn onto(
    structure: &Structure,
    target: &Geometry,
    region: &Extent,
    (bounds, base): (&Window, Levels),
) -> Result<(Extent, Sizes)> {
    let own = structure.window(region, base)?;
    let (own, lens, data) = (
        structure.extent(&own),
        own.shape(),
        structure.extent(bounds),
    );
    let (mut sides, mut cells) = (Vec::new(), Vec::new());
    for (number, axis) in structure.axes().enumerate() {
        let d = structure.dimension_of(number);
        let Some(line) = target.line(axis.name()) else {
            let (side, cell) = match &structure.dimensions()[d] {
                dimension if dimension.is_irregular() => (region.bounds()[number], (1.0, 1)),
                dimension if dimension.is_fixed() => {
                    (own.bounds()[number], (1.0, whole(lens[number] as f64)?))
                }
                _ => (
                    own.bounds()[number],
                    (
                        axis.step().abs() * base[d].scale(),
                        whole(lens[number] as f64)?,
                    ),
                ),
            };
            sides.push(side);
            cells.push(cell);
            continue;
        };
        let (lower, upper) = line.bounds();
        let turn = match structure.longitude() == Some(number) {
            true => turn_of(
                (lower, upper),
                line.step.abs(),
                (data.bounds()[number], axis.name()),
            )?,
            false => 0.0,
        };
        sides.push((lower + turn, upper + turn));
        cells.push((line.step.abs(), line.len));
    }
    Ok((Extent::new(sides), cells))
}

/// A target may go over the seam of longitudes by so much of a cell: the sizes of its cells may be
/// rounded.
const OVER_THE_SEAM: f64 = 0.01;

/// By how much longitudes are turned to where the data has them.
fn turn_of((lower, upper): (f64, f64), cell: f64, (data, axis): ((f64, f64), &str)) -> Result<f64> {
    let over = OVER_THE_SEAM * cell;
    let turned = turns((lower + over, upper - over), data);
    match turned.as_slice() {
        [] => Ok(0.0),
        [turn] => Ok(*turn),
        _ => Err(Error::invalid(format!(
            "the target, from {lower} to {upper} along axis `{axis}`, goes over the seam of the grid's longitudes, {} to {}; ask for it in two, as of the files that `gdal_translate -projwin` cuts a target into",
            data.0, data.1
        ))),
    }
}

fn one_an_axis(structure: &Structure, len: usize, what: &str) -> Result<()> {
    if len == structure.rank() {
        Ok(())
    } else {
        Err(Error::invalid(format!(
            "a {what} of {len} numbers does not fit {} axes",
            structure.rank()
        )))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive whole number, checked against the limit"
)]
fn whole(count: f64) -> Result<usize> {
    if count <= CELLS_MAX as f64 {
        Ok(count as usize)
    } else {
        Err(Error::invalid(format!(
            "{count} cells along an axis are too many"
        )))
    }
}

/// The cells that an answer is to have.
pub(super) enum AskedCells {
    /// Those of some sizes over a box of the world.
    Along(Extent, Sizes),
    /// Those of a target of another system; along other axes than rows and columns, the base cells
    /// of a box of the world.
    Placed(Extent, Box<AskedPlaces>),
}

impl AskedCells {
    /// The levels that they are read from: of each dimension the coarsest at least as fine, and
    /// where edges are to meet, one on whose edges those of all cells lie, or else that of the base.
    pub(super) fn levels(
        &self,
        structure: &Structure,
        (base, reach): (Levels, Levels),
        edges_meet: bool,
    ) -> Levels {
        match self {
            Self::Along(region, cells) => {
                levels_for(structure, region, cells, (base, reach), edges_meet)
            }
            Self::Placed(_, places) => places.levels(structure, reach, edges_meet),
        }
    }

    /// What to read at some levels, and how its cells become these.
    pub(super) fn layout(
        &self,
        structure: &Structure,
        bounds: &Window,
        levels: Levels,
        how: (ResamplingMethod, (i64, u64)),
    ) -> Result<AnswerLayout> {
        match self {
            Self::Along(region, cells) => {
                resampled(structure, bounds, (region, cells), levels, how)
            }
            Self::Placed(region, places) => places.layout(structure, (bounds, region), levels, how),
        }
    }
}

/// The levels that cells of some sizes over a region are read from: of each dimension the coarsest
/// at least as fine, and where edges are to meet, one on whose edges those of all cells lie, or
/// else that of the base.
fn levels_for(
    structure: &Structure,
    region: &Extent,
    cells: &Sizes,
    (base, reach): (Levels, Levels),
    edges_meet: bool,
) -> Levels {
    let irregular = structure.irregular();
    let fits = |axis: usize, level: Level| {
        let map = map_of(structure, axis, level, region, cells[axis]);
        map.ratio >= 1.0 - 1e-9 && (!edges_meet || map.is_aligned())
    };
    let level_of = |d: usize| {
        let all_fit = |level: &Level| {
            *level == base[d] || structure.axes_of(d).all(|axis| fits(axis, *level))
        };
        let levels = std::iter::successors(Some(base[d]), |level| level.coarser());
        let coarsest = levels
            .take_while(|level| *level <= reach[d] && all_fit(level))
            .last();
        coarsest.filter(|_| irregular != Some(d)).unwrap_or(base[d])
    };
    (0..structure.dimensions().len()).map(level_of).collect()
}

/// Where cells of a size lie among those of a level, counted from cell 0: from the lower bound of
/// the region on, or from the upper one where the axis runs backwards.
fn map_of(
    structure: &Structure,
    axis: usize,
    level: Level,
    region: &Extent,
    (cell, len): (f64, usize),
) -> AxisMap {
    let step = structure.axes().nth(axis).map_or(1.0, Axis::step);
    let (lower, upper) = region.bounds()[axis];
    let start = structure.position(axis, level, if step < 0.0 { upper } else { lower });
    AxisMap {
        start,
        ratio: cell / (step.abs() * level.scale()),
        len,
    }
}

/// What to read at some levels, and how its cells become those that are asked for.
fn resampled(
    structure: &Structure,
    bounds: &Window,
    (region, cells): (&Extent, &Sizes),
    levels: Levels,
    (method, span): (ResamplingMethod, (i64, u64)),
) -> Result<AnswerLayout> {
    let irregular = structure.irregular_axis();
    // Beyond what was put there is nothing to read, and no cell depends on how far that reaches.
    let cover = structure.cover(bounds, levels);
    let mut window = cover;
    let (mut maps, mut extent) = (Vec::new(), Vec::new());
    for (axis, world) in structure.axes().enumerate() {
        if irregular.is_some_and(|irregular| irregular.axis == axis) {
            window = window.along(axis, span.0, span.1);
            maps.push(AxisMap {
                start: 0.0,
                ratio: 1.0,
                len: 1,
            });
            extent.push(region.bounds()[axis]);
            continue;
        }
        let d = structure.dimension_of(axis);
        if structure.dimensions()[d].is_fixed() {
            // Labels are not mixed: those that the region touches, as they are.
            let (first, len) = (region.bounds()[axis].0.floor(), cells[axis].1);
            window = window.along(axis, cell(first), len as u64);
            maps.push(AxisMap {
                start: 0.0,
                ratio: 1.0,
                len,
            });
            extent.push((first, first + len as f64));
            continue;
        }
        let mut map = map_of(structure, axis, levels[d], region, cells[axis]);
        let margin = method.reach(map.ratio) + 1.0;
        let (first, end) = (cover.start()[axis], cover.end()[axis]);
        let low = cell((map.start - margin).floor()).clamp(first, end - 1);
        let high =
            cell((map.start + map.ratio * map.len as f64 + margin).ceil()).clamp(low + 1, end);
        window = window.along(axis, low, high.abs_diff(low));
        map.start -= low as f64;
        maps.push(map);
        let (lower, upper) = region.bounds()[axis];
        let first = if world.step() < 0.0 { upper } else { lower };
        extent.push((
            first,
            first + world.step().signum() * cells[axis].0 * map.len as f64,
        ));
    }
    Ok(AnswerLayout {
        window,
        extent: Extent::new(extent),
        maps: Some(CellMap::Axes(maps)),
    })
}

/// The number of a cell; those beyond the index space saturate.
#[expect(
    clippy::cast_possible_truncation,
    reason = "whole numbers, which `as` saturates to the index space"
)]
pub(super) fn cell(position: f64) -> i64 {
    position as i64
}

/// Levels finer than the base hold no chunks: the base cells under them are repeated.
pub(super) fn repeat_base(
    structure: &Structure,
    layout: AnswerLayout,
    base: Levels,
) -> Result<AnswerLayout> {
    let levels = layout.window.levels(base.len());
    if layout.maps.is_some()
        || levels
            .iter()
            .zip(base.iter())
            .all(|(level, base)| level >= base)
    {
        return Ok(layout);
    }
    let coarse: Levels = levels
        .iter()
        .zip(base.iter())
        .map(|(level, base)| *level.max(base))
        .collect();
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
    Ok(AnswerLayout {
        window,
        extent: layout.extent,
        maps: Some(CellMap::Axes(maps)),
    })
}
