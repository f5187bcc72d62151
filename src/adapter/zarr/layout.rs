//! Which arrays there are, where they lie in the grid, and how they are cut.

use std::ops::Range;

use super::ViewOptions;
use crate::array::{self, DType};
use crate::codec::Digest;
use crate::error::{Error, Result};
use crate::grid::{Axis, Levels, Structure, Window};
use crate::kernel::Aggregation;
use crate::reader::{Freshness, Layer, Query};
use crate::store::Grid;

/// The most cells of a chunk: readers hold whole ones.
const CHUNK_CELLS_MAX: u64 = 1 << 26;

/// What the cells of an axis are.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum AxisCells {
    /// Steps of a regular axis.
    Regular,
    /// Labels.
    Labels(Vec<String>),
    /// The ticks of events.
    Events(Vec<i64>),
}

/// An axis of the arrays.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ArrayAxis {
    pub(super) axis: Axis,
    pub(super) cells: AxisCells,
    /// Cells a chunk.
    pub(super) chunk: u64,
}

/// A level of the view.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ViewLevel {
    /// The levels of the grid.
    pub(super) levels: Levels,
    /// Its cells; of an irregular dimension all its ticks.
    pub(super) window: Window,
    /// Cells along each axis.
    pub(super) shape: Vec<u64>,
}

/// A box of an array: one of its chunks, as far as the array goes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ChunkBox {
    pub(super) level: usize,
    /// Its cells along each axis, counted in the array.
    pub(super) cells: Vec<Range<u64>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    /// The name of the array of cells.
    pub(super) name: String,
    pub(super) layer: Layer,
    pub(super) dtype: DType,
    /// One cell: what stands in cells without data.
    pub(super) fill: array::Cells,
    /// Whether no cell with data has that value.
    pub(super) marks: bool,
    /// Whether an array beside the cells says which hold data.
    pub(super) masked: bool,
    pub(super) axes: Vec<ArrayAxis>,
    /// The finest first.
    pub(super) levels: Vec<ViewLevel>,
    /// The axes that coarsen.
    pub(super) coarsening: Range<usize>,
    pub(super) structure: Structure,
}

impl Layout {
    pub(super) fn new(grid: &Grid, options: &ViewOptions) -> Result<Self> {
        let structure = grid.structure().clone();
        let first = grid.schema().aggregators().first().cloned();
        let layer = options
            .layer
            .clone()
            .unwrap_or_else(|| first.map_or(Layer::Base, Layer::Aggregate));
        let dtype = grid.layer_dtype(&layer)?;
        let bounds = region(grid, options, &layer)?;
        let coarsening = coarsening(&structure, &layer);
        let axes = axes(grid, &bounds)?;
        let levels = levels(grid, &bounds, coarsening, &layer)?;
        let levels = shaped(levels, &axes);
        let (fill, marks) = fill(grid, &layer, dtype);
        // Of nothing there is a count too.
        let masked = !marks && layer != Layer::Aggregate(Aggregation::Count);
        Ok(Self {
            name: array_name(grid),
            layer,
            dtype,
            fill,
            marks,
            masked,
            axes,
            levels,
            coarsening: coarsening.map_or(0..0, |dimension| structure.axes_of(dimension)),
            structure,
        })
    }

    /// Chunks along each axis of a level.
    pub(super) fn chunks(&self, level: usize) -> Vec<u64> {
        let of_axis = |(axis, len): (&ArrayAxis, &u64)| len.div_ceil(axis.chunk);
        self.axes
            .iter()
            .zip(&self.levels[level].shape)
            .map(of_axis)
            .collect()
    }

    /// The box of a chunk by its number along each axis, of which there is such a one.
    pub(super) fn chunk(&self, level: usize, index: &[u64]) -> ChunkBox {
        let shape = &self.levels[level].shape;
        let of_axis = |((axis, len), number): ((&ArrayAxis, &u64), &u64)| {
            number * axis.chunk..((number + 1) * axis.chunk).min(*len)
        };
        let cells = self
            .axes
            .iter()
            .zip(shape)
            .zip(index)
            .map(of_axis)
            .collect();
        ChunkBox { level, cells }
    }

    /// The cells of the grid that a box has, from its first tick to its last along an irregular
    /// dimension.
    pub(super) fn window(&self, chunk: &ChunkBox) -> Window {
        let level = &self.levels[chunk.level];
        let start = level.window.start();
        let along = |(axis, cells): (usize, &Range<u64>)| match &self.axes[axis].cells {
            AxisCells::Events(ticks) => {
                let ticks = &ticks[index(cells.start)..index(cells.end)];
                let (first, last) = (ticks[0], ticks[ticks.len() - 1]);
                (first, last.abs_diff(first).saturating_add(1))
            }
            AxisCells::Regular | AxisCells::Labels(_) => (
                start[axis].saturating_add_unsigned(cells.start),
                cells.end - cells.start,
            ),
        };
        let (first, shape): (Vec<i64>, Vec<u64>) =
            chunk.cells.iter().enumerate().map(along).unzip();
        Window::new(first.as_slice(), shape.as_slice()).at(level.levels)
    }

    /// The query for the cells of a box.
    pub(super) fn query(&self, chunk: &ChunkBox) -> Query {
        Query::window(self.window(chunk))
            .layer(self.layer.clone())
            .freshness(Freshness::Fresh)
    }

    /// Adds what the bytes of a chunk depend on beside the answer to its query.
    pub(super) fn digest(&self, chunk: &ChunkBox, digest: &mut Digest) {
        for (axis, cells) in self.axes.iter().zip(&chunk.cells) {
            digest.number(axis.chunk);
            if let AxisCells::Events(ticks) = &axis.cells {
                let ticks = &ticks[index(cells.start)..index(cells.end)];
                ticks
                    .iter()
                    .for_each(|tick| digest.number(tick.cast_unsigned()));
            }
        }
    }

    /// The two axes of space, rows and columns, if the view has them.
    pub(super) fn plane(&self) -> Option<[usize; 2]> {
        (self.coarsening.len() == 2).then_some([self.coarsening.start, self.coarsening.start + 1])
    }

    /// Where the cells of an axis begin and what each is long at a level, in world coordinates.
    pub(super) fn line(&self, level: usize, axis: usize) -> (f64, f64) {
        let level = &self.levels[level];
        let own = level.levels[self.structure.dimension_of(axis)];
        let start = self.structure.edge(axis, own, level.window.start()[axis]);
        (start, self.axes[axis].axis.step() * own.scale())
    }
}

/// A number of cells of an array as an index: those of a chunk are few, and events are held.
pub(super) fn index(cells: u64) -> usize {
    usize::try_from(cells).unwrap_or(usize::MAX)
}

/// The cells that are shown, at the finest levels.
fn region(grid: &Grid, options: &ViewOptions, layer: &Layer) -> Result<Window> {
    let structure = grid.structure();
    let name = grid.name();
    let (Some(bounds), Some(top)) = (grid.bounds()?, grid.top()?) else {
        return Err(Error::not_found(format!(
            "grid `{name}` is empty: nothing was put yet"
        )));
    };
    let Some(window) = &options.window else {
        let all = |region: Window, (axis, labels): (usize, &[String])| {
            region.along(axis, 0, labels.len() as u64)
        };
        let labels = structure
            .dimensions()
            .iter()
            .enumerate()
            .filter_map(|(d, dimension)| Some((structure.axes_of(d).start, dimension.labels()?)));
        return Ok(labels.fold(bounds, all));
    };
    structure.check(window)?;
    let dimensions = structure.dimensions().len();
    let (asked, base) = (window.levels(dimensions), bounds.levels(dimensions));
    for (d, dimension) in structure.dimensions().iter().enumerate() {
        let is_one = *layer == Layer::Base || dimension.is_irregular();
        let highest = if is_one {
            base[d]
        } else {
            top.levels()[d].max(base[d])
        };
        if !(base[d]..=highest).contains(&asked[d]) {
            return Err(Error::not_found(format!(
                "layer `{layer}` of grid `{name}` has no level {} of dimension `{}` to show: it has {} to {highest}",
                asked[d],
                dimension.name(),
                base[d],
            )));
        }
    }
    structure
        .intersection(window, &structure.cover(&bounds, asked))
        .ok_or_else(|| {
            let extent = structure.extent(window);
            Error::not_found(format!(
                "grid `{name}` has no data in {:?}",
                extent.bounds()
            ))
        })
}

/// The dimension that coarsens: the one of two axes, or else the first regular one.
fn coarsening(structure: &Structure, layer: &Layer) -> Option<usize> {
    let regular = |d: &usize| {
        let dimension = &structure.dimensions()[*d];
        !dimension.is_fixed() && !dimension.is_irregular()
    };
    let mut dimensions = (0..structure.dimensions().len()).filter(regular);
    let plane = dimensions
        .clone()
        .find(|d| structure.axes_of(*d).len() == 2);
    let found = plane.or_else(|| dimensions.next());
    // The base has no coarser levels; where rows and columns are is to be known all the same.
    if *layer == Layer::Base { plane } else { found }
}

fn axes(grid: &Grid, bounds: &Window) -> Result<Vec<ArrayAxis>> {
    let structure = grid.structure();
    let mut axes = Vec::new();
    for (number, axis) in structure.axes().enumerate() {
        let dimension = &structure.dimensions()[structure.dimension_of(number)];
        let cells = if dimension.is_irregular() {
            AxisCells::Events(grid.events(&Query::window(*bounds).freshness(Freshness::Fresh))?)
        } else if let Some(labels) = dimension.labels() {
            let (first, end) = (bounds.start()[number], bounds.end()[number]);
            let within = |at: i64| usize::try_from(at).unwrap_or(0).min(labels.len());
            AxisCells::Labels(labels[within(first)..within(end)].to_vec())
        } else {
            AxisCells::Regular
        };
        axes.push(ArrayAxis {
            axis: axis.clone(),
            cells,
            chunk: u64::from(axis.chunk()),
        });
    }
    if let Some(empty) = axes
        .iter()
        .find(|axis| axis.cells == AxisCells::Events(Vec::new()))
    {
        let (name, axis) = (grid.name(), empty.axis.name());
        return Err(Error::not_found(format!(
            "grid `{name}` has no events along `{axis}` there"
        )));
    }
    let cells = axes
        .iter()
        .map(|axis| axis.chunk)
        .fold(1, u64::saturating_mul);
    if cells > CHUNK_CELLS_MAX {
        return Err(Error::invalid(format!(
            "a chunk of grid `{}` has {cells} cells, more than the {CHUNK_CELLS_MAX} that readers of Zarr are given at once; copy it into smaller ones with `gridstone copy --chunk`",
            grid.name()
        )));
    }
    Ok(axes)
}

/// The levels of the view: their cells have one corner.
fn levels(
    grid: &Grid,
    bounds: &Window,
    coarsening: Option<usize>,
    layer: &Layer,
) -> Result<Vec<(Levels, Window)>> {
    let structure = grid.structure();
    let finest = bounds.levels(structure.dimensions().len());
    let (Some(dimension), Some(top), Layer::Aggregate(_)) = (coarsening, grid.top()?, layer) else {
        return Ok(vec![(finest, *bounds)]);
    };
    let highest = top.levels()[dimension];
    let fits = |levels: Levels| {
        let shape = structure.cover(bounds, levels).shape();
        let mut axes = structure.axes_of(dimension);
        axes.all(|axis| shape[axis] <= structure.chunk_shape()[axis] as u64)
    };
    let mut coarsest = finest;
    let mut all = vec![finest];
    while coarsest[dimension] < highest && !fits(coarsest) {
        let Some(next) = coarsest[dimension].coarser() else {
            break;
        };
        coarsest = coarsest.with(dimension, next);
        all.push(coarsest);
    }
    let widest = structure.cover(bounds, coarsest);
    let of_level = |levels: Levels| (levels, structure.cover(&widest, levels));
    Ok(all.into_iter().map(of_level).collect())
}

fn shaped(levels: Vec<(Levels, Window)>, axes: &[ArrayAxis]) -> Vec<ViewLevel> {
    let of_level = |(levels, window): (Levels, Window)| {
        let len = |(axis, len): (&ArrayAxis, &u64)| match &axis.cells {
            AxisCells::Events(ticks) => ticks.len() as u64,
            AxisCells::Regular | AxisCells::Labels(_) => *len,
        };
        let shape = axes.iter().zip(window.shape().iter()).map(len).collect();
        ViewLevel {
            levels,
            window,
            shape,
        }
    };
    levels.into_iter().map(of_level).collect()
}

/// What stands in cells without data, as [`Answer::array`](crate::Answer::array) has it, and
/// whether no cell with data has that value.
fn fill(grid: &Grid, layer: &Layer, dtype: DType) -> (array::Cells, bool) {
    let (value, marks) = match (layer, grid.schema().nodata()) {
        (Layer::Aggregate(Aggregation::Count), _) => (0.0, false),
        _ if dtype.is_float() => (f64::NAN, true),
        (_, None) => (0.0, false),
        (Layer::Aggregate(Aggregation::Sum), Some(_)) if dtype.is_signed() => (f64::MIN, true),
        (Layer::Aggregate(Aggregation::Sum), Some(_)) => (f64::MAX, true),
        (_, Some(nodata)) => (nodata, true),
    };
    (array::Cells::filled(dtype, 1, value), marks)
}

/// The name of the array: the variable's if the grid has one, else the grid's; never one of the
/// other arrays'.
fn array_name(grid: &Grid) -> String {
    let variable = grid
        .schema()
        .variable()
        .and_then(|name| name.rsplit('/').next());
    let plain: String = variable
        .unwrap_or_default()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    let is_name = plain.chars().any(|c| c != '.') && !plain.starts_with("__");
    let mut name = if is_name { plain } else { grid.name() };
    let taken = |name: &str| {
        let ends = ["_bnds", "_valid"];
        let of_axis = |axis: &Axis| {
            let has_end = |end: &str| name.strip_suffix(end) == Some(axis.name());
            let is_end = |end: &str| axis.name().strip_suffix(end) == Some(name);
            name == axis.name() || ends.iter().any(|end| has_end(end) || is_end(end))
        };
        name == "spatial_ref"
            || name.starts_with('.')
            || name.starts_with("__")
            || grid.structure().axes().any(of_axis)
    };
    if taken(&name) {
        name = format!("data_{}", name.trim_start_matches(['.', '_']));
    }
    name
}
