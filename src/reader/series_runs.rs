//! Series in steps of any lengths along a regular axis.

use ndarray::ArrayD;

use super::query::Query;
use super::read_in;
use super::series::{Series, SeriesQuery, Taken, cell_at, columns, too_many, validity};
use crate::array::{Array, Cell, Cells, with_dtype};
use crate::error::{Error, Result};
use crate::grid::{CellIndex, Shape, Window};
use crate::kv::Snapshot;
use crate::parallel;
use crate::store::{Grid, State};

pub(super) fn read(grid: &Grid, snapshot: &dyn Snapshot, query: &SeriesQuery, state: State, axis: usize) -> Result<Series> {
    let structure = grid.structure();
    let base = state.base.ok_or_else(|| Error::not_found("it is empty: nothing was put yet"))?.cells();
    let steps = query.steps.window(grid, state, axis, query.freshness)?;
    let steps = structure.cover(&steps, base);
    let cells = query.cells.iter().map(|at| cell_at(structure, axis, at, base)).collect::<Result<Vec<_>>>()?;
    let of_column = |column: super::series::Column| -> Result<OfColumn> {
        let shape: Shape = column.high.iter().zip(column.low.iter()).map(|(high, low)| high.abs_diff(*low) + 1).collect();
        let window = Window::new(column.low, shape).along(axis, steps.start()[axis], steps.shape()[axis]).at(base);
        let mut asked = Query::window(window).freshness(query.freshness);
        asked.steps = query.steps.cuts().cloned();
        asked.layer = query.layer.clone();
        let answer = read_in(grid, snapshot, &asked)?;
        let edges = answer.steps.clone();
        let at: Vec<CellIndex> = column.cells.iter().map(|number| cells[*number]).collect();
        Ok((column.cells, edges, Taken::of(answer, axis, &at, &window)))
    };
    let taken = parallel::map_owned(columns(structure, axis, &cells, base), of_column)?;
    let Some((_, edges, first)) = taken.first() else { return Err(Error::invalid("a series needs a cell")) };
    let edges = edges.clone().unwrap_or_default();
    too_many(cells.len(), edges.len() as u64)?;
    let shape = [cells.len(), edges.len().saturating_sub(1)];
    let dtype = first.values.first().map_or(grid.schema().dtype(), Cells::dtype);
    let array = with_dtype!(dtype, |T| assembled::<T>(&shape, &taken));
    let validity = validity(taken.iter().map(|(.., part)| part), || {
        let mut mask = ArrayD::from_elem(&shape[..], true);
        for (numbers, _, part) in &taken {
            for (number, valid) in numbers.iter().zip(part.valid.iter().flatten()) {
                mask.index_axis_mut(ndarray::Axis(0), *number).iter_mut().zip(valid).for_each(|(to, valid)| *to = *valid);
            }
        }
        mask
    });
    let mut stale: Vec<Window> = taken.iter().flat_map(|(.., part)| part.stale.iter().copied()).collect();
    stale.sort_unstable();
    stale.dedup();
    let chunks_read = taken.iter().map(|(.., part)| part.chunks_read).sum();
    Ok(Series { array, validity, edges, coordinates: None, axis, levels: base, layer: first.layer.clone(), stale, chunks_read })
}

/// The numbers of the cells of a column, the edges of the steps, and what was taken.
type OfColumn = (Vec<usize>, Option<Vec<f64>>, Taken);

fn assembled<T: Cell>(shape: &[usize], taken: &[OfColumn]) -> Array {
    let mut array = ArrayD::from_elem(ndarray::IxDyn(shape), T::from_f64(0.0));
    for (numbers, _, part) in taken {
        for (number, values) in numbers.iter().zip(&part.values) {
            let values = values.as_slice::<T>().unwrap_or_default();
            array.index_axis_mut(ndarray::Axis(0), *number).iter_mut().zip(values).for_each(|(to, value)| *to = *value);
        }
    }
    Array::from(array)
}
