//! Series along an irregular dimension: the values of some cells at the ticks at which any of them has an event.

use std::collections::BTreeSet;

use ndarray::ArrayD;

use super::query::{Coordinates, Layer, Query};
use super::series::{Series, SeriesQuery, Taken, cell_at, columns, other_type, too_many, validity};
use super::{events, read_in};
use crate::array::{Array, Cell, Cells, Validity, with_dtype};
use crate::error::{Error, Result};
use crate::grid::{CellIndex, Irregular, Level, Levels, Shape, Window};
use crate::kernel::Aggregation;
use crate::kv::Snapshot;
use crate::parallel;
use crate::store::{Grid, State};

/// One read: the box around some cells of one column of chunks.
struct Task {
    cells: Vec<usize>,
    query: Query,
    window: Window,
}

pub(super) fn read(grid: &Grid, snapshot: &dyn Snapshot, query: &SeriesQuery, state: State) -> Result<Series> {
    let structure = grid.structure();
    let Some((irregular, bounds, base)) =
        structure.irregular_axis().zip(state.bounds).zip(state.base).map(|((i, w), b)| (i, w, b))
    else {
        return Err(Error::not_found("it is empty: nothing was put yet"));
    };
    let axis = irregular.axis;
    let cells = query.cells.iter().map(|at| cell_at(structure, axis, at, base.cells())).collect::<Result<Vec<_>>>()?;
    let whole = query.steps.between((bounds.start()[axis], bounds.end()[axis]));
    let at_level = |level: Level| tasks(grid, query, &cells, (irregular, whole), base.cells().with(irregular.dimension, level));
    let list = || listed(grid, snapshot, state, &at_level(Level::ZERO));
    let level = query.steps.level(grid, state, (irregular, query.freshness), list)?;
    let tasks = at_level(level);
    let taken = parallel::map(&tasks, |task| task.read(grid, snapshot, &cells, axis))?;
    let Some((_, first)) = taken.first() else { return Err(Error::invalid("a series needs a cell")) };
    let (layer, dtype) = (first.layer.clone(), first.values.first().map_or(grid.schema().dtype(), Cells::dtype));
    let width = taken.iter().map(|(of, _)| of.width).max().unwrap_or(1);
    let steps: BTreeSet<i64> = taken.iter().flat_map(|(of, _)| of.ticks.iter().copied()).collect();
    let steps: Vec<i64> = steps.into_iter().collect();
    too_many(cells.len(), steps.len() as u64)?;
    let fill = match grid.layers().iter().find(|spec| Layer::Aggregate(spec.aggregation.clone()) == layer) {
        Some(spec) => spec.blank,
        None => crate::store::base_fill(grid.schema()),
    };
    let array = with_dtype!(dtype, |T| assembled::<T>((cells.len(), fill), &steps, &tasks, &taken))?;
    let validity = match layer {
        // Of nothing there is a count too.
        Layer::Aggregate(Aggregation::Count) => Validity::All,
        _ => validity(taken.iter().map(|(_, part)| part), || mask(cells.len(), &steps, &tasks, &taken)),
    };
    let mut stale: Vec<Window> = taken.iter().flat_map(|(_, part)| part.stale.iter().copied()).collect();
    stale.sort_unstable();
    stale.dedup();
    let of_last = |last: &i64| query.steps.cuts().map_or(last.saturating_add_unsigned(width), |cuts| cuts.end(*last));
    let end = steps.last().map(|last| of_last(last) as f64);
    Ok(Series {
        array,
        validity,
        edges: steps.iter().map(|tick| *tick as f64).chain(end).collect(),
        coordinates: Some(Coordinates { axis, ticks: steps, width }),
        axis,
        levels: base.cells().with(irregular.dimension, level),
        layer,
        stale,
        chunks_read: taken.iter().map(|(_, part)| part.chunks_read).sum(),
    })
}

/// The ticks of the events of all cells' chunks.
fn listed(grid: &Grid, snapshot: &dyn Snapshot, state: State, tasks: &[Task]) -> Result<Vec<i64>> {
    let mut all = BTreeSet::new();
    for task in tasks {
        // The base has every event, whichever layer is read.
        let query = task.query.clone().layer(Layer::Base);
        all.extend(events::ticks(grid, snapshot, &super::plan::Plan::new(grid, state, &query)?, query.freshness_wanted())?);
    }
    Ok(all.into_iter().collect())
}

fn tasks(
    grid: &Grid,
    query: &SeriesQuery,
    cells: &[CellIndex],
    (irregular, (from, to)): (Irregular, (i64, i64)),
    levels: Levels,
) -> Vec<Task> {
    let structure = grid.structure();
    let flat = levels.with(irregular.dimension, Level::ZERO);
    let task = |column: super::series::Column| {
        let shape: Shape = column.high.iter().zip(column.low.iter()).map(|(high, low)| high.abs_diff(*low) + 1).collect();
        let window = Window::new(column.low, shape).along(irregular.axis, from, to.abs_diff(from).max(1)).at(flat);
        let mut asked = Query::window(structure.cover(&window, levels)).freshness(query.freshness).ticks(from..to);
        if levels != flat {
            // The bins that the ticks lie in.
            let all = structure.cover(&window, levels);
            let first = *irregular.ticks_of_bin(levels[irregular.dimension], all.start()[irregular.axis]).start();
            asked = asked.ticks(first..to);
        }
        asked.steps = query.steps.cuts().cloned();
        if let Some(layer) = query.layer.clone() {
            asked = asked.layer(layer);
        }
        Task { cells: column.cells, query: asked, window }
    };
    columns(structure, irregular.axis, cells, flat).into_iter().map(task).collect()
}

impl Task {
    fn read(&self, grid: &Grid, snapshot: &dyn Snapshot, cells: &[CellIndex], axis: usize) -> Result<(Coordinates, Taken)> {
        let answer = read_in(grid, snapshot, &self.query)?;
        let coordinates = answer.coordinates.clone().ok_or_else(|| Error::invalid("it has no irregular dimension"))?;
        let at: Vec<CellIndex> = self.cells.iter().map(|number| cells[*number]).collect();
        Ok((coordinates, Taken::of(answer, axis, &at, &self.window)))
    }
}

/// Where a series has data: nowhere but where one of its reads has.
fn mask(cells: usize, steps: &[i64], tasks: &[Task], taken: &[(Coordinates, Taken)]) -> ArrayD<bool> {
    let mut mask = ArrayD::from_elem(&[cells, steps.len()][..], false);
    for (task, (coordinates, part)) in tasks.iter().zip(taken) {
        let places: Vec<usize> = coordinates.ticks.iter().filter_map(|tick| steps.binary_search(tick).ok()).collect();
        for (at, number) in task.cells.iter().enumerate() {
            let mut row = mask.index_axis_mut(ndarray::Axis(0), *number);
            let valid = part.valid.as_ref().and_then(|valid| valid.get(at));
            places.iter().enumerate().for_each(|(step, place)| row[*place] = valid.is_none_or(|valid| valid[step]));
        }
    }
    mask
}

fn assembled<T: Cell>(
    (cells, fill): (usize, f64),
    steps: &[i64],
    tasks: &[Task],
    taken: &[(Coordinates, Taken)],
) -> Result<Array> {
    let mut array = ndarray::ArrayD::from_elem(ndarray::IxDyn(&[cells, steps.len()]), T::from_f64(fill));
    for (task, (coordinates, part)) in tasks.iter().zip(taken) {
        let places: Vec<usize> = coordinates.ticks.iter().filter_map(|tick| steps.binary_search(tick).ok()).collect();
        for (number, values) in task.cells.iter().zip(&part.values) {
            let mut row = array.index_axis_mut(ndarray::Axis(0), *number);
            let values = values.as_slice::<T>().ok_or_else(other_type)?;
            places.iter().zip(values).for_each(|(place, value)| row[*place] = *value);
        }
    }
    Ok(Array::from(array))
}
