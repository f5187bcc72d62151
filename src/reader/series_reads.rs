//! Which reads a series is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::query::{Layer, Query};
use super::series::{SeriesQuery, too_many};
use super::steps::StepKind;
use super::ticks;
use crate::error::{Error, Result};
use crate::grid::{CellIndex, Irregular, Level, Levels, Shape, Structure, Window};
use crate::kv::Snapshot;
use crate::store::{Grid, State};

/// The cells that are decoded for some of a chunk's cells at a time.
const BOX_CELLS_MAX: u64 = 1 << 22;

/// One read: some steps of the cells of one column of chunks.
pub(super) struct Task {
    /// The numbers of the cells.
    pub(super) cells: Vec<usize>,
    /// The first step, among those of the series, where the answer does not tell by ticks.
    pub(super) from: usize,
    /// The box around the cells.
    pub(super) window: Window,
    pub(super) query: Query,
}

/// The reads of a series.
pub(super) struct Reads {
    pub(super) cells: Vec<CellIndex>,
    pub(super) tasks: Vec<Task>,
    pub(super) levels: Levels,
    /// Where the steps begin, and the last one ends, where that is known before.
    pub(super) edges: Option<Vec<f64>>,
}

impl Reads {
    /// The reads for a query along an axis.
    pub(super) fn new(
        grid: &Grid,
        snapshot: &dyn Snapshot,
        query: &SeriesQuery,
        axis: usize,
    ) -> Result<Self> {
        let (structure, state) = (grid.structure(), grid.state(snapshot)?);
        match query.steps.kind(structure) {
            StepKind::Cells => of_cells(grid, query, (state, axis)),
            StepKind::Runs(_) => of_runs(grid, query, (state, axis)),
            StepKind::Ticks(irregular) => of_ticks(grid, snapshot, query, (state, irregular)),
        }
    }
}

/// A query for a box as a series asks.
fn asked(query: &SeriesQuery, window: Window) -> Query {
    let mut asked = Query::window(window).freshness(query.freshness);
    asked.steps = query.steps.cuts().cloned();
    asked.layer = query.layer.clone();
    asked
}

/// Steps of one cell of a level along a regular axis.
fn of_cells(grid: &Grid, query: &SeriesQuery, (state, axis): (State, usize)) -> Result<Reads> {
    let structure = grid.structure();
    let steps = query.steps.window(grid, state, axis, query.freshness)?;
    let levels = steps.levels(structure.dimensions().len());
    let (start, len) = (steps.start()[axis], steps.shape()[axis]);
    too_many(query.cells.len(), len)?;
    let cells = cells_at(structure, axis, query, levels)?;
    for cell in &cells {
        let mut first = *cell;
        first[axis] = start;
        structure.check(
            &Window::new(first, Shape::from(vec![1; structure.rank()].as_slice())).at(levels),
        )?;
    }
    let level = levels[structure.dimension_of(axis)];
    let edges = (0..=len)
        .map(|step| structure.edge(axis, level, start.saturating_add_unsigned(step)))
        .collect();
    let tasks = tasks(structure, (query, axis), &cells, &steps);
    Ok(Reads {
        cells,
        tasks,
        levels,
        edges: Some(edges),
    })
}

/// Steps of any lengths along a regular axis.
fn of_runs(grid: &Grid, query: &SeriesQuery, (state, axis): (State, usize)) -> Result<Reads> {
    let structure = grid.structure();
    let levels = state
        .base
        .ok_or_else(|| Error::not_found("it is empty: nothing was put yet"))?
        .cells();
    let steps = query.steps.window(grid, state, axis, query.freshness)?;
    let steps = structure.cover(&steps, levels);
    let cells = cells_at(structure, axis, query, levels)?;
    let task = |column: CellColumn| {
        let window = column
            .along(axis, (steps.start()[axis], steps.shape()[axis]))
            .at(levels);
        Task {
            query: asked(query, window),
            cells: column.cells,
            from: 0,
            window,
        }
    };
    let tasks = columns(structure, axis, &cells, levels)
        .into_iter()
        .map(task)
        .collect();
    Ok(Reads {
        cells,
        tasks,
        levels,
        edges: None,
    })
}

/// Events, bins or steps of ticks along an irregular axis.
fn of_ticks(
    grid: &Grid,
    snapshot: &dyn Snapshot,
    query: &SeriesQuery,
    (state, irregular): (State, Irregular),
) -> Result<Reads> {
    let structure = grid.structure();
    let Some((bounds, base)) = state.bounds.zip(state.base) else {
        return Err(Error::not_found("it is empty: nothing was put yet"));
    };
    let (axis, levels) = (irregular.axis, base.cells());
    let cells = cells_at(structure, axis, query, levels)?;
    let whole = query
        .steps
        .between((bounds.start()[axis], bounds.end()[axis]));
    let at_level = |level: Level| {
        event_tasks(
            structure,
            query,
            &cells,
            (irregular, whole),
            levels.with(irregular.dimension, level),
        )
    };
    let list = || listed(grid, snapshot, state, &at_level(Level::ZERO));
    let level = query
        .steps
        .level(grid, state, (irregular, query.freshness), list)?;
    let tasks = at_level(level);
    Ok(Reads {
        cells,
        tasks,
        levels: levels.with(irregular.dimension, level),
        edges: None,
    })
}

/// The ticks of the events of all cells' chunks.
fn listed(grid: &Grid, snapshot: &dyn Snapshot, state: State, tasks: &[Task]) -> Result<Vec<i64>> {
    let mut all = BTreeSet::new();
    for task in tasks {
        // The base has every event, whichever layer is read.
        let query = task.query.clone().layer(Layer::Base);
        all.extend(ticks(
            grid,
            snapshot,
            &super::plan::ReadPlan::new(grid, state, &query)?,
            query.freshness_wanted(),
        )?);
    }
    Ok(all.into_iter().collect())
}

fn event_tasks(
    structure: &Structure,
    query: &SeriesQuery,
    cells: &[CellIndex],
    (irregular, (from, to)): (Irregular, (i64, i64)),
    levels: Levels,
) -> Vec<Task> {
    let flat = levels.with(irregular.dimension, Level::ZERO);
    let task = |column: CellColumn| {
        let window = column
            .along(irregular.axis, (from, to.abs_diff(from).max(1)))
            .at(flat);
        let all = structure.cover(&window, levels);
        // Of bins those that the ticks lie in.
        let bin = irregular.ticks_of_bin(levels[irregular.dimension], all.start()[irregular.axis]);
        let first = if levels == flat { from } else { *bin.start() };
        Task {
            query: asked(query, all).ticks(first..to),
            cells: column.cells,
            from: 0,
            window,
        }
    };
    columns(structure, irregular.axis, cells, flat)
        .into_iter()
        .map(task)
        .collect()
}

/// Cells of one column of chunks: their numbers, and the box around them without the series' axis.
struct CellColumn {
    cells: Vec<usize>,
    low: CellIndex,
    high: CellIndex,
}

impl CellColumn {
    /// The box around the cells, from a cell on along an axis.
    fn along(&self, axis: usize, (from, len): (i64, u64)) -> Window {
        let shape: Shape = self
            .high
            .iter()
            .zip(self.low.iter())
            .map(|(high, low)| high.abs_diff(*low) + 1)
            .collect();
        Window::new(self.low, shape).along(axis, from, len)
    }
}

/// The reads that a series is made of. Each chunk is in one of them. A single cell's chunks are
/// read at once, in parallel; where a chunk has several cells, the box around them is decoded, a
/// bounded part at a time.
fn tasks(
    structure: &Structure,
    (query, axis): (&SeriesQuery, usize),
    cells: &[CellIndex],
    steps: &Window,
) -> Vec<Task> {
    let levels = steps.levels(structure.dimensions().len());
    let mut tasks = Vec::new();
    for column in columns(structure, axis, cells, levels) {
        let cells_a_step = column.along(axis, (0, 1)).shape().iter().product::<u64>();
        let whole = column
            .along(axis, (steps.start()[axis], steps.shape()[axis]))
            .at(levels);
        let most = if cells.len() == 1 {
            u64::MAX
        } else {
            BOX_CELLS_MAX / cells_a_step
        };
        let mut parts: Vec<Range<usize>> = Vec::new();
        for piece in structure.split(&whole) {
            let range = piece.in_window[axis]..piece.in_window[axis] + piece.shape[axis];
            match parts.last_mut() {
                Some(part) if (range.end - part.start) as u64 <= most => part.end = range.end,
                _ => parts.push(range),
            }
        }
        tasks.extend(parts.into_iter().map(|part| {
            let first = steps.start()[axis].saturating_add_unsigned(part.start as u64);
            let window = whole.along(axis, first, part.len() as u64);
            Task {
                cells: column.cells.clone(),
                from: part.start,
                window,
                query: asked(query, window),
            }
        }));
    }
    tasks
}

/// The cells that a query asks for.
fn cells_at(
    structure: &Structure,
    axis: usize,
    query: &SeriesQuery,
    levels: Levels,
) -> Result<Vec<CellIndex>> {
    query
        .cells
        .iter()
        .map(|at| cell_at(structure, axis, at, levels))
        .collect()
}

/// The cell at world coordinates of all axes but one.
fn cell_at(structure: &Structure, axis: usize, at: &[f64], base: Levels) -> Result<CellIndex> {
    if at.len() + 1 != structure.rank() {
        let others: Vec<&str> = structure
            .axes()
            .enumerate()
            .filter(|(number, _)| *number != axis)
            .map(|(_, axis)| axis.name())
            .collect();
        return Err(Error::invalid(format!(
            "a cell of {} coordinates does not fit the axes {}",
            at.len(),
            others.join(", ")
        )));
    }
    let mut world = at.to_vec();
    world.insert(axis, 0.0);
    let mut cell = CellIndex::from(vec![0; structure.rank()].as_slice());
    for number in (0..structure.rank()).filter(|number| *number != axis) {
        let position = structure
            .position(number, base[structure.dimension_of(number)], world[number])
            .floor();
        cell[number] = whole(position).ok_or_else(|| {
            let name = structure
                .axes()
                .nth(number)
                .map_or("", crate::grid::Axis::name);
            Error::invalid(format!(
                "the coordinate {} along `{name}` is outside the index space",
                world[number]
            ))
        })?;
    }
    Ok(cell)
}

#[expect(clippy::cast_possible_truncation, reason = "whole and of at most 1e18")]
fn whole(position: f64) -> Option<i64> {
    (position.abs() <= 1e18).then_some(position as i64)
}

/// Cells by the column of chunks that they are in.
fn columns(
    structure: &Structure,
    axis: usize,
    cells: &[CellIndex],
    levels: Levels,
) -> Vec<CellColumn> {
    let mut columns: BTreeMap<Vec<u64>, CellColumn> = BTreeMap::new();
    let ones = Shape::from(vec![1; structure.rank()].as_slice());
    for (number, cell) in cells.iter().enumerate() {
        let mut codes: Vec<u64> = structure
            .chunk_box(&Window::new(*cell, ones).at(levels))
            .into_iter()
            .map(|codes| codes.start)
            .collect();
        codes[axis] = 0;
        let column = columns.entry(codes).or_insert_with(|| CellColumn {
            cells: Vec::new(),
            low: *cell,
            high: *cell,
        });
        column.cells.push(number);
        for (axis, at) in cell.iter().enumerate() {
            column.low[axis] = column.low[axis].min(*at);
            column.high[axis] = column.high[axis].max(*at);
        }
    }
    columns.into_values().collect()
}
