//! Which level, layer and cells answer a query.

use std::fmt;

use super::query::{Detail, Freshness, Layer, Query, Region};
use crate::array::DType;
use crate::dirty;
use crate::error::{Error, Result};
use crate::grid::{Axis, CellIndex, Extent, Level, Levels, Shape, Structure, Window};
use crate::kernel::{Aggregation, AxisMap, Resampling};
use crate::key::LayerId;
use crate::kv::Snapshot;
use crate::store::{Base, Grid, LayerSpec, State, base_fill};

/// The most cells an answer, or what it is resampled from, may have.
const CELLS_MAX: u64 = 1 << 30;
/// The most cells along one axis of a resampled answer, and in all of what it is resampled from.
const RESAMPLED_AXIS_MAX: usize = 1 << 22;
const RESAMPLED_MAX: u64 = 1 << 28;
/// The most chunks a read may touch.
const CHUNKS_MAX: u64 = 1 << 20;

/// The layer that is read.
#[derive(Clone, Debug)]
pub(super) enum ReadLayer {
    Base,
    Aggregate(LayerSpec),
}

impl ReadLayer {
    pub(super) fn public(&self) -> Layer {
        match self {
            ReadLayer::Base => Layer::Base,
            ReadLayer::Aggregate(spec) => Layer::Aggregate(spec.aggregation.clone()),
        }
    }

    pub(super) fn id(&self) -> LayerId {
        match self {
            ReadLayer::Base => LayerId::BASE,
            ReadLayer::Aggregate(spec) => spec.id,
        }
    }
}

/// How a query is answered.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) base: Base,
    /// The levels up to which aggregates are stored.
    pub(super) built: Levels,
    pub(super) bounds: Window,
    pub(super) layer: ReadLayer,
    pub(super) dtype: DType,
    pub(super) fill: f64,
    /// The cells to fetch.
    pub(super) window: Window,
    /// The box of the answer.
    pub(super) extent: Extent,
    /// How the window's cells become the answer's; absent if they are.
    pub(super) maps: Option<Vec<AxisMap>>,
}

impl Plan {
    pub(super) fn new(grid: &Grid, state: State, query: &Query) -> Result<Self> {
        let structure = grid.structure();
        let (Some(bounds), Some(all), Some(top)) = (state.bounds, state.base, state.top(structure)) else {
            return Err(Error::not_found("it is empty: nothing was put yet"));
        };
        let base = all.finest();
        let built = state.reach.unwrap_or(base);
        let reach = if grid.layers().is_empty() {
            base
        } else if query.freshness_wanted() == Freshness::Fresh {
            top
        } else {
            built
        };
        let layout = match &query.detail {
            Detail::Given | Detail::Levels(_) => at_levels(structure, query, &bounds, base)?,
            Detail::Resolution(cell) => {
                let region = region(structure, query, &bounds)?;
                let maps = cells_of(structure, &region, cell)?;
                resampled(structure, &bounds, region, maps, (base, reach), query.resampling())?
            }
            Detail::Shape(shape) => {
                let region = region(structure, query, &bounds)?;
                let maps = shape_of(structure, &region, shape)?;
                resampled(structure, &bounds, region, maps, (base, reach), query.resampling())?
            }
        };
        let Layout { window, extent, maps } = repeat_base(structure, layout, base)?;
        structure.check(&window)?;
        let levels = window.levels(structure.dimensions().len());
        check_reach(structure, levels, base, reach)?;
        let layer = choose_layer(grid, query.layer.as_ref(), levels, base)?;
        let (dtype, fill) = match &layer {
            ReadLayer::Base => (grid.schema().dtype(), base_fill(grid.schema())),
            ReadLayer::Aggregate(spec) => (spec.dtype, spec.fill),
        };
        let cells =
            maps.as_ref().map_or(window.cells(), |maps| maps.iter().try_fold(1_u64, |n, map| n.checked_mul(map.len as u64)));
        if cells.into_iter().chain(window.cells()).any(|cells| cells > CELLS_MAX) || cells.is_none() || window.cells().is_none() {
            return Err(Error::invalid(format!(
                "the answer would have more than {CELLS_MAX} cells; ask for a coarser level or a smaller extent"
            )));
        }
        let resampled = maps.as_ref().is_some_and(|maps| {
            maps.iter().any(|map| map.len > RESAMPLED_AXIS_MAX) || window.cells().is_none_or(|cells| cells > RESAMPLED_MAX)
        });
        if resampled {
            return Err(Error::invalid(format!(
                "a resampled answer may have {RESAMPLED_AXIS_MAX} cells along an axis, and be made of {RESAMPLED_MAX}; ask for less at a time"
            )));
        }
        let plan = Self { base: all, built, bounds, layer, dtype, fill, window, extent, maps };
        match plan.populated(structure).map(|window| structure.chunk_count(&window)) {
            Some(chunks) if chunks > CHUNKS_MAX => Err(Error::invalid(format!(
                "the read would touch {chunks} chunks, more than {CHUNKS_MAX}; ask for a coarser level or a smaller extent"
            ))),
            _ => Ok(plan),
        }
    }

    pub(super) fn levels(&self) -> Levels {
        self.window.levels(self.bounds.levels(0).len())
    }

    /// The part of the window within which anything can be stored.
    pub(super) fn populated(&self, structure: &Structure) -> Option<Window> {
        structure.intersection(&self.window, &structure.cover(&self.bounds, self.levels()))
    }

    pub(super) fn explain(&self, grid: &Grid, snapshot: &dyn Snapshot, query: &Query) -> Result<Explanation> {
        let structure = grid.structure();
        let locations: Vec<_> =
            self.populated(structure).iter().flat_map(|window| structure.split(window)).map(|piece| piece.location).collect();
        let chunks = grid.chunk_reader(snapshot);
        let mut stored = 0;
        let mut stale = 0;
        for at in &locations {
            stored += u64::from(chunks.source(at, &self.base)?.is_some());
            stale += u64::from(!dirty::pending_under(grid, snapshot, at, &self.base)?.is_empty());
        }
        Ok(Explanation {
            layer: self.layer.public(),
            levels: self.levels(),
            window: self.window,
            extent: self.extent.clone(),
            chunks: structure.chunk_count(&self.window),
            stored,
            stale,
            resampling: self.maps.as_ref().map(|maps| (query.resampling(), maps.iter().map(|map| map.len).collect())),
            dimensions: structure.dimensions().iter().map(|d| d.name().to_owned()).collect(),
        })
    }
}

/// How a query would be answered.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// The layer that is read.
    pub layer: Layer,
    /// The level of each dimension.
    pub levels: Levels,
    /// The cells that are read.
    pub window: Window,
    /// The box of the answer.
    pub extent: Extent,
    /// Chunks that the window touches.
    pub chunks: u64,
    /// How many of them are stored, and so read.
    pub stored: u64,
    /// How many of them are out of date.
    pub stale: u64,
    /// How the cells are resampled, and to which shape, if they are.
    pub resampling: Option<(Resampling, Vec<usize>)>,
    dimensions: Vec<String>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels: Vec<_> =
            self.dimensions.iter().zip(self.levels.iter()).map(|(name, level)| format!("{name} {level}")).collect();
        writeln!(f, "level: {}", levels.join(", "))?;
        writeln!(f, "layer: {}", self.layer)?;
        writeln!(f, "window: {:?} cells at {:?}", self.window.shape(), self.window.start())?;
        writeln!(f, "chunks: {} touched, {} stored, {} stale", self.chunks, self.stored, self.stale)?;
        match &self.resampling {
            None => write!(f, "resampling: none"),
            Some((resampling, shape)) => write!(f, "resampling: {resampling} to {shape:?} cells"),
        }
    }
}

struct Layout {
    window: Window,
    extent: Extent,
    maps: Option<Vec<AxisMap>>,
}

/// The cells at given levels that the region touches.
fn at_levels(structure: &Structure, query: &Query, bounds: &Window, base: Levels) -> Result<Layout> {
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
fn region(structure: &Structure, query: &Query, bounds: &Window) -> Result<Extent> {
    match &query.region {
        Region::All => Ok(structure.extent(bounds)),
        Region::Window(window) => structure.check(window).map(|()| structure.extent(window)),
        Region::Extent(extent) => {
            structure.window(extent, bounds.levels(structure.dimensions().len()))?;
            Ok(extent.clone())
        }
    }
}

/// Cell size and count along each axis.
type Cells = Vec<(f64, usize)>;

fn cells_of(structure: &Structure, region: &Extent, cell: &[f64]) -> Result<Cells> {
    one_an_axis(structure, cell.len(), "resolution")?;
    let of_axis = |(number, axis): (usize, &Axis)| {
        let (lower, upper) = region.bounds()[number];
        let fixed = structure.dimensions()[structure.dimension_of(number)].is_fixed();
        let cell = if fixed { 1.0 } else { cell[number] };
        if !cell.is_finite() || cell <= 0.0 {
            return Err(Error::invalid(format!("resolution {cell} along axis `{}` is not a positive number", axis.name())));
        }
        Ok((cell, whole(((upper - lower) / cell - 1e-6).ceil().max(1.0))?))
    };
    structure.axes().enumerate().map(of_axis).collect()
}

fn shape_of(structure: &Structure, region: &Extent, shape: &[usize]) -> Result<Cells> {
    one_an_axis(structure, shape.len(), "shape")?;
    let of_axis = |((&(lower, upper), &len), axis): ((&(f64, f64), &usize), &Axis)| {
        if len == 0 || upper <= lower {
            return Err(Error::invalid(format!("{len} cells over {lower} to {upper} along axis `{}` is no shape", axis.name())));
        }
        Ok(((upper - lower) / len as f64, len))
    };
    region.bounds().iter().zip(shape).zip(structure.axes()).map(of_axis).collect()
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
fn resampled(
    structure: &Structure,
    bounds: &Window,
    region: Extent,
    cells: Cells,
    (base, reach): (Levels, Levels),
    resampling: Resampling,
) -> Result<Layout> {
    let steps: Vec<f64> = structure.axes().map(|axis| axis.step().abs()).collect();
    let levels: Levels = (0..structure.dimensions().len())
        .map(|d| {
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
fn repeat_base(structure: &Structure, layout: Layout, base: Levels) -> Result<Layout> {
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

/// Refuses levels above the pyramid.
fn check_reach(structure: &Structure, levels: Levels, base: Levels, reach: Levels) -> Result<()> {
    match structure.dimensions().iter().enumerate().find(|(d, _)| levels[*d] > reach[*d]) {
        None => Ok(()),
        Some((d, dimension)) => Err(Error::not_found(format!(
            "there is no level {} of dimension `{}`: it has {} to {}",
            levels[d],
            dimension.name(),
            base[d],
            reach[d]
        ))),
    }
}

fn choose_layer(grid: &Grid, asked: Option<&Layer>, levels: Levels, base: Levels) -> Result<ReadLayer> {
    let find = |aggregation: &Aggregation| {
        grid.layers().iter().find(|spec| spec.aggregation == *aggregation).cloned().map(ReadLayer::Aggregate)
    };
    match asked {
        None | Some(Layer::Base) if levels == base => Ok(ReadLayer::Base),
        None => grid
            .layers()
            .first()
            .cloned()
            .map(ReadLayer::Aggregate)
            .ok_or_else(|| Error::not_found("it has no aggregators, so no levels above the base")),
        Some(Layer::Base) => {
            Err(Error::not_found(format!("layer `base` is read at the finest base levels {base:?} only, not at {levels:?}")))
        }
        Some(Layer::Aggregate(aggregation)) => find(aggregation).ok_or_else(|| {
            let names: Vec<_> = grid.layers().iter().map(|spec| spec.aggregation.to_string()).collect();
            Error::not_found(format!("it has no layer `{aggregation}`; it has base, {}", names.join(", ")))
        }),
    }
}
