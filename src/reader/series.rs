//! Series: the values of some cells along one dimension, most often time.

use std::collections::BTreeMap;
use std::ops::Range;

use ndarray::ArrayD;

use super::query::{Answer, Coordinates, Freshness, Layer, Query};
use super::steps::Steps;
use super::{read_in, series_events, series_runs};
use crate::array::{Array, Cell, Cells, Validity, with_dtype, with_view};
use crate::error::{Error, Result};
use crate::grid::{CellIndex, Levels, Shape, Structure, Window};
use crate::kv::Snapshot;
use crate::parallel;
use crate::store::Grid;

/// The values of all cells together that a series may have.
const VALUES_MAX: u64 = 1 << 28;
/// The cells that are decoded for some of a chunk's cells at a time.
const BOX_CELLS_MAX: u64 = 1 << 22;

/// Which cells' values are wanted, and in which steps.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesQuery {
    pub(super) cells: Vec<Vec<f64>>,
    pub(super) steps: Steps,
    pub(super) layer: Option<Layer>,
    pub(super) freshness: Freshness,
}

impl SeriesQuery {
    /// Asks for the series of one cell: a world coordinate for each axis but the series' own, in the structure's order. Along a
    /// Fixed dimension, the number of a label from 0.
    pub fn at(cell: impl IntoIterator<Item = f64>) -> Self {
        Self { cells: vec![cell.into_iter().collect()], steps: Steps::all(), layer: None, freshness: Freshness::default() }
    }

    /// Asks for one more cell. Cells in one chunk are read together.
    #[must_use]
    pub fn and(mut self, cell: impl IntoIterator<Item = f64>) -> Self {
        self.cells.push(cell.into_iter().collect());
        self
    }

    /// Chooses the steps. The default is [all of them](Steps::all).
    #[must_use]
    pub fn steps(mut self, steps: Steps) -> Self {
        self.steps = steps;
        self
    }

    /// Reads the values of this layer. The default is the base at the base level, and the grid's first aggregator above.
    #[must_use]
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layer = Some(layer);
        self
    }

    /// Chooses how up to date the series is. The default is what is stored.
    #[must_use]
    pub fn freshness(mut self, freshness: Freshness) -> Self {
        self.freshness = freshness;
        self
    }
}

/// The values of some cells along one dimension.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// (cell, step): a row for each cell, in the order they were asked for. Steps without data are as in
    /// [`Answer::array`](super::Answer).
    pub array: Array,
    /// Which values are data, as in [`Answer::validity`](super::Answer).
    pub validity: Validity,
    /// Where each step begins in world coordinates, and where the last one ends: one more than there are steps.
    pub edges: Vec<f64>,
    /// Along an irregular dimension the exact ticks: those at which any of the cells' chunks has an event, or bins with data.
    pub coordinates: Option<Coordinates>,
    /// The number of the series' axis.
    pub axis: usize,
    /// The levels that were read.
    pub levels: Levels,
    /// The layer that was read.
    pub layer: Layer,
    /// The parts that were read and are out of date because aggregation has not caught up.
    pub stale: Vec<Window>,
    /// Chunks read and decoded.
    pub chunks_read: u64,
}

impl Series {
    /// Whether each value is data, in the shape of the [`array`](Self::array); `None` if every one is.
    pub fn valid(&self) -> Option<ArrayD<bool>> {
        self.validity.mask(&self.array)
    }

    /// Every value as a double, in C order; `None` where there is no data.
    pub fn values(&self) -> impl Iterator<Item = Option<f64>> + '_ {
        self.validity.values(&self.array)
    }
}

/// Cells of one column of chunks: their numbers, and the box around them without the series' axis.
pub(super) struct Column {
    pub(super) cells: Vec<usize>,
    pub(super) low: CellIndex,
    pub(super) high: CellIndex,
}

/// Reads a series.
pub(crate) fn read(grid: &Grid, query: &SeriesQuery) -> Result<Series> {
    let snapshot = grid.snapshot()?;
    read_all(grid, snapshot.as_ref(), query).map_err(|e| grid.blame(e))
}

fn read_all(grid: &Grid, snapshot: &dyn Snapshot, query: &SeriesQuery) -> Result<Series> {
    let structure = grid.structure();
    let axis = query.steps.axis(structure)?;
    let state = grid.state(snapshot)?;
    if structure.irregular().is_some() {
        return series_events::read(grid, snapshot, query, state);
    }
    if query.steps.cuts().is_some() {
        return series_runs::read(grid, snapshot, query, state, axis);
    }
    let steps = query.steps.window(grid, state, axis, query.freshness)?;
    let levels = steps.levels(structure.dimensions().len());
    let (start, len) = (steps.start()[axis], steps.shape()[axis]);
    too_many(query.cells.len(), len)?;
    let cells = query.cells.iter().map(|at| cell_at(structure, axis, at, levels)).collect::<Result<Vec<_>>>()?;
    for cell in &cells {
        let mut first = *cell;
        first[axis] = start;
        structure.check(&Window::new(first, Shape::from(vec![1; structure.rank()].as_slice())).at(levels))?;
    }
    let tasks = tasks(structure, axis, &cells, &steps);
    let taken = parallel::map(&tasks, |task| task.read(grid, snapshot, query, &cells, axis))?;
    let Some(first) = taken.first() else { return Err(Error::invalid("a series needs a cell")) };
    let (layer, dtype) = (first.layer.clone(), first.values.first().map_or(grid.schema().dtype(), Cells::dtype));
    let chunks_read = taken.iter().map(|part| part.chunks_read).sum();
    let mut stale: Vec<Window> = taken.iter().flat_map(|part| part.stale.iter().copied()).collect();
    stale.sort_unstable();
    stale.dedup();
    let shape = [cells.len(), usize::try_from(len).unwrap_or(usize::MAX)];
    let array = with_dtype!(dtype, |T| assembled::<T>(&shape, &tasks, &taken))?;
    let validity = validity(taken.iter(), || {
        let mut mask = ArrayD::from_elem(&shape[..], true);
        for (task, part) in tasks.iter().zip(&taken) {
            for (number, valid) in task.cells.iter().zip(part.valid.iter().flatten()) {
                let mut row = mask.index_axis_mut(ndarray::Axis(0), *number);
                row.iter_mut().skip(task.from).zip(valid).for_each(|(to, valid)| *to = *valid);
            }
        }
        mask
    });
    let level = levels[structure.dimension_of(axis)];
    let edges = (0..=len).map(|step| structure.edge(axis, level, start.saturating_add_unsigned(step))).collect();
    Ok(Series { array, validity, edges, coordinates: None, axis, levels, layer, stale, chunks_read })
}

/// Refuses a series that would not fit memory.
pub(super) fn too_many(cells: usize, steps: u64) -> Result<()> {
    if steps.saturating_mul(cells as u64) <= VALUES_MAX {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the series of {cells} cells over {steps} steps are more than {VALUES_MAX} values; ask for fewer points or a shorter range"
    )))
}

/// One read: a range of steps of the cells of one column of chunks.
struct Task {
    cells: Vec<usize>,
    /// The first step, among those of the series.
    from: usize,
    window: Window,
}

/// What a task came to: the values of each of its cells.
pub(super) struct Taken {
    pub(super) values: Vec<Cells>,
    /// Which of them are data, where there is a mask.
    pub(super) valid: Option<Vec<Vec<bool>>>,
    /// What says so elsewhere.
    pub(super) told: Validity,
    pub(super) layer: Layer,
    pub(super) stale: Vec<Window>,
    pub(super) chunks_read: u64,
}

impl Task {
    fn read(&self, grid: &Grid, snapshot: &dyn Snapshot, query: &SeriesQuery, cells: &[CellIndex], axis: usize) -> Result<Taken> {
        let mut asked = Query::window(self.window).freshness(query.freshness);
        if let Some(layer) = query.layer.clone() {
            asked = asked.layer(layer);
        }
        let answer = read_in(grid, snapshot, &asked)?;
        let at: Vec<CellIndex> = self.cells.iter().map(|number| cells[*number]).collect();
        Ok(Taken::of(answer, axis, &at, &self.window))
    }
}

impl Taken {
    /// The values of some cells of an answer along an axis.
    pub(super) fn of(answer: Answer, axis: usize, cells: &[CellIndex], window: &Window) -> Self {
        let values =
            cells.iter().map(|cell| with_view!(Array, &answer.array, |array| line(array, axis, cell, window).into())).collect();
        let (valid, told) = match answer.validity {
            Validity::Mask(mask) => (Some(cells.iter().map(|cell| line(&mask, axis, cell, window)).collect()), Validity::All),
            told => (None, told),
        };
        Self { values, valid, told, layer: answer.layer, stale: answer.stale, chunks_read: answer.chunks_read }
    }
}

/// Which values of a series are data: those of its reads say it, or else a mask does.
pub(super) fn validity<'t>(mut taken: impl Iterator<Item = &'t Taken>, mask: impl FnOnce() -> ArrayD<bool>) -> Validity {
    match taken.find(|part| part.valid.is_none() && part.told != Validity::All) {
        Some(part) => part.told.clone(),
        None => Validity::of_mask(Some(mask())),
    }
}

/// The reads that a series is made of. Each chunk is in one of them. A single cell's chunks are read at once, in parallel;
/// where a chunk has several cells, the box around them is decoded, a bounded part at a time.
fn tasks(structure: &Structure, axis: usize, cells: &[CellIndex], steps: &Window) -> Vec<Task> {
    let levels = steps.levels(structure.dimensions().len());
    let mut tasks = Vec::new();
    for Column { cells, low, high } in columns(structure, axis, cells, levels) {
        let (mut start, mut shape) = (low, Shape::from(vec![1; low.len()].as_slice()));
        shape.iter_mut().zip(high.iter().zip(low.iter())).for_each(|(len, (high, low))| *len = high.abs_diff(*low) + 1);
        let cells_a_step = shape.iter().product::<u64>();
        (start[axis], shape[axis]) = (steps.start()[axis], steps.shape()[axis]);
        let whole = Window::new(start, shape).at(levels);
        let most = if cells.len() == 1 { u64::MAX } else { BOX_CELLS_MAX / cells_a_step };
        let mut parts: Vec<Range<usize>> = Vec::new();
        for piece in structure.split(&whole) {
            let range = piece.in_window[axis]..piece.in_window[axis] + piece.shape[axis];
            match parts.last_mut() {
                Some(part) if (range.end - part.start) as u64 <= most => part.end = range.end,
                _ => parts.push(range),
            }
        }
        tasks.extend(parts.into_iter().map(|part| {
            let (mut start, mut shape) = (start, shape);
            (start[axis], shape[axis]) = (start[axis].saturating_add_unsigned(part.start as u64), part.len() as u64);
            Task { cells: cells.clone(), from: part.start, window: Window::new(start, shape).at(levels) }
        }));
    }
    tasks
}

/// The error for values of another type than those of the first cell.
pub(super) fn other_type() -> Error {
    Error::corrupt("the cells of a series are of several types")
}

fn assembled<T: Cell>(shape: &[usize], tasks: &[Task], taken: &[Taken]) -> Result<Array> {
    let mut array = ndarray::ArrayD::from_elem(ndarray::IxDyn(shape), T::from_f64(0.0));
    for (task, part) in tasks.iter().zip(taken) {
        for (number, values) in task.cells.iter().zip(&part.values) {
            let values = values.as_slice::<T>().ok_or_else(other_type)?;
            let mut row = array.index_axis_mut(ndarray::Axis(0), *number);
            row.iter_mut().skip(task.from).zip(values).for_each(|(to, value)| *to = *value);
        }
    }
    Ok(Array::from(array))
}

/// The cell at world coordinates of all axes but one.
pub(super) fn cell_at(structure: &Structure, axis: usize, at: &[f64], base: Levels) -> Result<CellIndex> {
    if at.len() + 1 != structure.rank() {
        let others: Vec<&str> =
            structure.axes().enumerate().filter(|(number, _)| *number != axis).map(|(_, axis)| axis.name()).collect();
        return Err(Error::invalid(format!("a cell of {} coordinates does not fit the axes {}", at.len(), others.join(", "))));
    }
    let mut world = at.to_vec();
    world.insert(axis, 0.0);
    let mut cell = CellIndex::from(vec![0; structure.rank()].as_slice());
    for number in (0..structure.rank()).filter(|number| *number != axis) {
        let position = structure.position(number, base[structure.dimension_of(number)], world[number]).floor();
        cell[number] = whole(position).ok_or_else(|| {
            let name = structure.axes().nth(number).map_or("", crate::grid::Axis::name);
            Error::invalid(format!("the coordinate {} along `{name}` is outside the index space", world[number]))
        })?;
    }
    Ok(cell)
}

#[expect(clippy::cast_possible_truncation, reason = "whole and of at most 1e18")]
fn whole(position: f64) -> Option<i64> {
    (position.abs() <= 1e18).then_some(position as i64)
}

/// Cells by the column of chunks that they are in.
pub(super) fn columns(structure: &Structure, axis: usize, cells: &[CellIndex], levels: Levels) -> Vec<Column> {
    let mut columns: BTreeMap<Vec<u64>, Column> = BTreeMap::new();
    let ones = Shape::from(vec![1; structure.rank()].as_slice());
    for (number, cell) in cells.iter().enumerate() {
        let mut codes: Vec<u64> =
            structure.chunk_box(&Window::new(*cell, ones).at(levels)).into_iter().map(|codes| codes.start).collect();
        codes[axis] = 0;
        let column = columns.entry(codes).or_insert_with(|| Column { cells: Vec::new(), low: *cell, high: *cell });
        column.cells.push(number);
        for (axis, at) in cell.iter().enumerate() {
            column.low[axis] = column.low[axis].min(*at);
            column.high[axis] = column.high[axis].max(*at);
        }
    }
    columns.into_values().collect()
}

/// The line of one cell along the series' axis of a window's array.
fn line<T: Copy>(cells: &ArrayD<T>, axis: usize, cell: &CellIndex, window: &Window) -> Vec<T> {
    let index = |number: usize| usize::try_from(cell[number] - window.start()[number]).unwrap_or(0);
    let mut view = cells.view();
    for number in (0..cell.len()).rev().filter(|number| *number != axis) {
        view = view.index_axis_move(ndarray::Axis(number), index(number));
    }
    view.iter().copied().collect()
}
