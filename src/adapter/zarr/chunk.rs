//! The bytes of a chunk.

use ndarray::{ArrayD, Axis, IxDyn, Slice};

use super::blosc;
use super::layout::{AxisCells, ChunkBox, Layout, index};
use crate::array::{self, Array, Cell, Validity, with_view};
use crate::error::{Error, Result};
use crate::reader::Answer;
use crate::store::Grid;

/// The cells of a chunk, compressed; `None` if none holds data.
pub(super) fn cells(
    grid: &Grid,
    layout: &Layout,
    level: usize,
    number: &[u64],
) -> Result<Option<Vec<u8>>> {
    let chunk = layout.chunk(level, number);
    let mut answer = grid.read(&layout.query(&chunk))?;
    let place = ChunkPart::of(layout, &chunk, &answer)?;
    let fill = &layout.fill;
    if layout.dtype.is_float()
        && let Validity::Values { nodata: Some(_) } = answer.validity
        && let Some(valid) = answer.valid()
    {
        // A base of floats may have a nodata value beside NaN.
        with_view!(Array, &mut answer.array, |cells| {
            let fill = first(fill);
            cells.zip_mut_with(&valid, |cell, valid| {
                *cell = if *valid { *cell } else { fill }
            });
        });
    }
    let array = with_view!(Array, answer.array, |cells| Array::from(
        place.laid(cells, first(fill))
    ));
    compressed(&array.into_cells(), fill)
}

/// Which cells of a chunk hold data, 1 or 0, compressed; `None` if none does.
pub(super) fn valid(
    grid: &Grid,
    layout: &Layout,
    level: usize,
    number: &[u64],
) -> Result<Option<Vec<u8>>> {
    let chunk = layout.chunk(level, number);
    let answer = grid.read(&layout.query(&chunk))?;
    let place = ChunkPart::of(layout, &chunk, &answer)?;
    let valid = match answer.valid() {
        Some(valid) => valid.mapv(u8::from),
        None => ArrayD::from_elem(IxDyn(answer.array.shape()), 1),
    };
    let valid = Array::from(place.laid(valid, 0));
    compressed(&valid.into_cells(), &vec![0_u8].into())
}

/// A buffer of the cells; `None` if all are what stands in cells without data.
fn compressed(cells: &array::Cells, fill: &array::Cells) -> Result<Option<Vec<u8>>> {
    let (cell, size) = (fill.as_bytes(), fill.dtype().size());
    if cells
        .as_bytes()
        .chunks_exact(size)
        .all(|other| other == cell)
    {
        return Ok(None);
    }
    blosc::compress(cells).map(Some)
}

/// The first of some cells of a type.
fn first<T: Cell>(cells: &array::Cells) -> T {
    let cells = cells.as_slice::<T>().unwrap_or_default();
    cells.first().copied().unwrap_or(T::from_f64(0.0))
}

/// Where the cells of an answer lie in a chunk.
struct ChunkPart {
    shape: Vec<usize>,
    /// The axis of events, and the place of each of the answer's.
    events: Option<(usize, Vec<usize>)>,
}

impl ChunkPart {
    fn of(layout: &Layout, chunk: &ChunkBox, answer: &Answer) -> Result<Self> {
        let shape = layout.axes.iter().map(|axis| index(axis.chunk)).collect();
        let Some(found) = &answer.coordinates else {
            return Ok(Self {
                shape,
                events: None,
            });
        };
        let AxisCells::Events(ticks) = &layout.axes[found.axis].cells else {
            return Ok(Self {
                shape,
                events: None,
            });
        };
        let own = &chunk.cells[found.axis];
        let own = &ticks[index(own.start)..index(own.end)];
        let place = |tick: &i64| {
            own.binary_search(tick).map_err(|_| {
                let axis = layout.axes[found.axis].axis.name();
                Error::invalid(format!(
                    "an event at tick {tick} along `{axis}` was put after the view was made; make a new view, of a snapshot"
                ))
            })
        };
        let places = found.ticks.iter().map(place).collect::<Result<_>>()?;
        Ok(Self {
            shape,
            events: Some((found.axis, places)),
        })
    }

    /// The cells of an answer in a whole chunk.
    fn laid<T: Copy>(&self, cells: ArrayD<T>, fill: T) -> ArrayD<T> {
        if self.events.is_none() && cells.shape() == self.shape {
            return cells;
        }
        let mut chunk = ArrayD::from_elem(IxDyn(&self.shape), fill);
        let Some((axis, places)) = &self.events else {
            let len = |axis: usize| Slice::from(0..cells.shape()[axis]);
            chunk
                .slice_each_axis_mut(|of| len(of.axis.index()))
                .assign(&cells);
            return chunk;
        };
        for (event, place) in cells.axis_iter(Axis(*axis)).zip(places) {
            let mut at = chunk.index_axis_mut(Axis(*axis), *place);
            let len = |axis: usize| Slice::from(0..event.shape()[axis]);
            at.slice_each_axis_mut(|of| len(of.axis.index()))
                .assign(&event);
        }
        chunk
    }
}
