//! Which cells of a grid are meant, and parts of them as planes.

use ndarray::{ArrayD, Axis, IxDyn};

use super::mark::{Viewer, cell_of};
use super::{Cuts, Marking, Part, absent, marking};
use crate::adapter::axes::RasterAxes;
use crate::array::{Array, Cells, DType, Validity, in_c_order, with_view};
use crate::error::{Error, Result};
use crate::grid::{Level, Levels, Window};
use crate::kernel::Aggregation;
use crate::reader::{Answer, Freshness, Layer, Query};
use crate::store::Grid;

/// Cells of a grid that go into a file: a window of one layer.
///
/// An [irregular](crate::Dimension::irregular) dimension counts by its events, of which those are
/// meant that any cell of the window has.
#[derive(Clone, Debug)]
pub struct Selection {
    grid: Grid,
    window: Window,
    layer: Layer,
    freshness: Freshness,
    axes: RasterAxes,
    dtype: DType,
    /// The ticks of the events, if there is an irregular dimension.
    ticks: Option<Vec<i64>>,
}

/// What was read of a grid into a file. What was looked at before is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// Cells, those of coarser levels among them.
    pub cells: u64,
    /// Chunks that were read and decoded, or taken from those that are kept decoded.
    pub chunks_read: u64,
    /// Parts that are out of date, because aggregation has not caught up.
    pub stale: u64,
    /// See [`Answer::inexact`].
    pub inexact: u64,
}

impl Exported {
    /// What was read for both.
    #[must_use]
    pub(in crate::adapter) fn and(self, other: Self) -> Self {
        Self {
            cells: self.cells + other.cells,
            chunks_read: self.chunks_read + other.chunks_read,
            stale: self.stale + other.stale,
            inexact: self.inexact + other.inexact,
        }
    }
}

/// A part of a selection: planes of rows and columns.
#[derive(Clone, Debug)]
pub(in crate::adapter) struct Planes {
    /// The cells (plane, y, x). What those without data hold is not said.
    pub(in crate::adapter) array: Array,
    /// Which of them hold data, in the same shape; `None` if all do.
    pub(in crate::adapter) valid: Option<ArrayD<bool>>,
    /// What was read for them.
    pub(in crate::adapter) exported: Exported,
}

impl Selection {
    /// The cells of a window, at its levels. The layer is, unless it is given, the base at the base
    /// levels and the grid's first aggregator above. Cells are as [fresh](Freshness::Fresh) as can
    /// be.
    ///
    /// An [`Invalid`](crate::ErrorKind::Invalid) error if the grid has no rows and columns, or not
    /// the layer; [`NotFound`](crate::ErrorKind::NotFound) if nothing was put, or no event lies in
    /// the window.
    pub fn new(grid: &Grid, window: &Window, layer: Option<Layer>) -> Result<Self> {
        let structure = grid.structure();
        structure.check(window)?;
        let axes = RasterAxes::of(structure)?;
        let levels = window.levels(structure.dimensions().len());
        let base = grid.base_levels()?.ok_or_else(|| {
            Error::not_found(format!(
                "grid `{}` is empty: nothing was put yet",
                grid.name()
            ))
        })?;
        let first = || grid.schema().aggregators().first().cloned();
        let above = (0..structure.dimensions().len()).any(|d| levels[d] > base[d]);
        let layer = layer
            .or_else(|| first().filter(|_| above).map(Layer::Aggregate))
            .unwrap_or(Layer::Base);
        let mut selection = Self {
            dtype: grid.layer_dtype(&layer)?,
            grid: grid.clone(),
            window: *window,
            layer,
            freshness: Freshness::Fresh,
            axes,
            ticks: None,
        };
        if structure.irregular().is_some() {
            let ticks = grid.events(&selection.query(window))?;
            if ticks.is_empty() {
                return Err(Error::not_found(format!(
                    "grid `{}` has no events in the window",
                    grid.name()
                )));
            }
            selection.ticks = Some(ticks);
        }
        Ok(selection)
    }

    /// Chooses how up to date the cells are.
    #[must_use]
    pub fn freshness(mut self, freshness: Freshness) -> Self {
        self.freshness = freshness;
        self
    }

    /// The same cells of another layer. Errors are those of [`new`](Self::new).
    pub fn of_layer(&self, layer: Layer) -> Result<Self> {
        let (dtype, layer) = (self.grid.layer_dtype(&layer)?, layer);
        Ok(Self {
            dtype,
            layer,
            ..self.clone()
        })
    }

    /// The grid.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// The window, at its levels.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// The layer.
    pub fn layer(&self) -> &Layer {
        &self.layer
    }

    /// The type of the cells.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// How up to date the cells are.
    #[cfg(feature = "geotiff")]
    pub(in crate::adapter) fn freshness_wanted(&self) -> Freshness {
        self.freshness
    }

    /// Which axes are rows and columns.
    pub(in crate::adapter) fn axes(&self) -> RasterAxes {
        self.axes
    }

    /// The same of another window that differs in rows and columns only.
    #[cfg(feature = "geotiff")]
    pub(in crate::adapter) fn at(&self, window: Window) -> Self {
        Self {
            window,
            ..self.clone()
        }
    }

    pub(in crate::adapter) fn levels(&self) -> Levels {
        self.window.levels(self.grid.structure().dimensions().len())
    }

    /// The level of rows and columns.
    pub(in crate::adapter) fn level(&self) -> Level {
        self.levels()[self.axes.space]
    }

    /// Rows and columns.
    pub(in crate::adapter) fn size(&self) -> [usize; 2] {
        [self.axes.y, self.axes.x].map(|axis| self.len(axis))
    }

    /// The axes that planes lie along: all but rows and columns, in the grid's order.
    pub(in crate::adapter) fn others(&self) -> Vec<usize> {
        (0..self.grid.structure().rank())
            .filter(|axis| ![self.axes.y, self.axes.x].contains(axis))
            .collect()
    }

    /// All axes: those that planes lie along, then rows and columns.
    pub(in crate::adapter) fn order(&self) -> Vec<usize> {
        [self.others(), vec![self.axes.y, self.axes.x]].concat()
    }

    /// How many planes there are.
    pub(in crate::adapter) fn planes(&self) -> usize {
        self.others()
            .into_iter()
            .map(|axis| self.len(axis))
            .fold(1, usize::saturating_mul)
    }

    /// How many cells there are.
    pub(in crate::adapter) fn cells(&self) -> u64 {
        let [rows, cols] = self.size().map(|len| len as u64);
        (self.planes() as u64)
            .saturating_mul(rows)
            .saturating_mul(cols)
    }

    /// The unit of the values, if they are in that of the cells that they are made of.
    pub(in crate::adapter) fn unit(&self) -> Option<&str> {
        self.grid
            .schema()
            .unit()
            .filter(|_| self.layer.keeps_unit())
    }

    /// The ticks of the events along an axis, if it is the irregular one.
    pub(in crate::adapter) fn ticks(&self, axis: usize) -> Option<&[i64]> {
        let structure = self.grid.structure();
        let irregular = structure.irregular() == Some(structure.dimension_of(axis));
        self.ticks.as_deref().filter(|_| irregular)
    }

    /// Cells along an axis; events along the irregular one.
    pub(in crate::adapter) fn len(&self, axis: usize) -> usize {
        self.ticks(axis).map_or_else(
            || usize::try_from(self.window.shape()[axis]).unwrap_or(usize::MAX),
            <[i64]>::len,
        )
    }

    /// How an axis is cut best: at borders of chunks.
    pub(in crate::adapter) fn cuts(&self, axis: usize) -> Cuts {
        let len = self.len(axis);
        if self.ticks(axis).is_some() {
            return Cuts {
                len,
                unit: len.max(1),
                phase: 0,
                soft: true,
            };
        }
        let structure = self.grid.structure();
        let first = structure.split(&self.window).next();
        Cuts {
            len,
            unit: structure.chunk_shape()[axis],
            phase: first.map_or(0, |piece| piece.in_chunk[axis]),
            soft: true,
        }
    }

    /// The parts of at most so many cells, cut at borders of chunks where these allow it.
    pub(in crate::adapter) fn parts(&self, cells_max: usize) -> Vec<Part> {
        let cuts: Vec<Cuts> = self
            .order()
            .into_iter()
            .map(|axis| self.cuts(axis))
            .collect();
        Cuts::parts(&cuts, cells_max)
    }

    fn query(&self, window: &Window) -> Query {
        let query = Query::window(*window)
            .layer(self.layer.clone())
            .freshness(self.freshness);
        let structure = self.grid.structure();
        let Some(axis) = structure
            .irregular()
            .map(|dimension| structure.axes_of(dimension).start)
        else {
            return query;
        };
        let scale = i32::from(self.levels()[structure.dimension_of(axis)].get());
        // A bin is a window's cell, and begins at a tick.
        let tick = |cell: i64| {
            u32::try_from(scale)
                .ok()
                .and_then(|up| cell.checked_mul(1_i64.checked_shl(up)?))
                .unwrap_or(if cell < 0 { i64::MIN } else { i64::MAX })
        };
        query.ticks(tick(window.start()[axis])..tick(window.end()[axis]))
    }

    /// The cells of a part: ranges along the axes of planes, rows and columns, in this order.
    pub(in crate::adapter) fn read(&self, part: &Part) -> Result<Planes> {
        let axes = self.order();
        let (mut window, mut events) = (self.window, None);
        for (axis, range) in axes.iter().zip(part) {
            if let Some(ticks) = self.ticks(*axis) {
                events = Some((*axis, &ticks[range.clone()]));
                continue;
            }
            let from = self.window.start()[*axis].saturating_add_unsigned(range.start as u64);
            window = window.along(*axis, from, range.len() as u64);
        }
        let query = self.query(&window);
        let query = match events {
            Some((_, [first, .., last])) => query.ticks(*first..last.saturating_add(1)),
            Some((_, [only])) => query.ticks(*only..only.saturating_add(1)),
            _ => query,
        };
        let mut answer = self.grid.read(&query)?;
        let exported = counted(&answer);
        if let Some((axis, ticks)) = events {
            answer = spread(answer, axis, ticks);
        }
        let shape = [
            part[..part.len() - 2]
                .iter()
                .map(ExactSizeIterator::len)
                .product(),
            part[part.len() - 2].len(),
            part[part.len() - 1].len(),
        ];
        let valid = answer.valid();
        let array = with_view!(Array, answer.array, |cells| Array::from(laid(
            cells, &axes, shape
        )?));
        let valid = valid.map(|valid| laid(valid, &axes, shape)).transpose()?;
        Ok(Planes {
            array,
            valid,
            exported,
        })
    }

    /// What stands for absent data in the cells of these selections of one grid and one type; what
    /// a cell with data has is looked for only where the grid does not say it. With `always` a
    /// value is found where nothing is absent, too. `progress` is told how many cells were looked
    /// at.
    pub(in crate::adapter) fn marking(
        all: &[&Self],
        (always, cells_max): (bool, usize),
        progress: &dyn Fn(u64),
    ) -> Result<Marking> {
        let Some(first) = all.first() else {
            return Err(Error::invalid("there is nothing to be exported"));
        };
        let is_count = |of: &&Self| of.layer == Layer::Aggregate(Aggregation::Count);
        if !always && all.iter().all(is_count) {
            // Every cell has a count.
            return Ok(Marking {
                nodata: None,
                absent: false,
            });
        }
        let mut said = Vec::new();
        for of in all.iter().filter(|of| !of.dtype.is_float()) {
            said.push(of.nodata()?);
        }
        if let Some(Some(nodata)) = said.first().copied()
            && said.iter().all(|other| *other == Some(nodata))
            && let Some(cell) = cell_of(first.dtype, nodata)
        {
            return Ok(Marking {
                nodata: Some(cell),
                absent: true,
            });
        }
        let own = || first.grid.schema().nodata();
        let preferred = said.into_iter().flatten().next().or_else(own);
        let cells = all.iter().map(|of| of.cells()).fold(0, u64::saturating_add);
        marking((first.dtype, cells), preferred, |viewer| {
            if always {
                viewer(&Cells::filled(first.dtype, 1, 0.0), &[true]);
            }
            all.iter()
                .try_for_each(|of| of.show(cells_max, viewer, progress))
        })
    }

    /// The value that marks absent cells, if the grid says that there is one for all of its cells.
    fn nodata(&self) -> Result<Option<f64>> {
        let first = |window: Window, axis: usize| window.along(axis, window.start()[axis], 1);
        let mut axes = self.order();
        axes.retain(|axis| self.ticks(*axis).is_none());
        let query = self.query(&axes.into_iter().fold(self.window, first));
        let query = match self.ticks.as_deref() {
            Some([tick, ..]) => query.ticks(*tick..tick.saturating_add(1)),
            _ => query,
        };
        let validity = self.grid.read(&query).map(|answer| answer.validity)?;
        Ok(match validity {
            Validity::Values { nodata } => nodata,
            _ => None,
        })
    }

    fn show(
        &self,
        cells_max: usize,
        viewer: &mut Viewer<'_>,
        progress: &dyn Fn(u64),
    ) -> Result<()> {
        for part in self.parts(cells_max) {
            let Planes { array, valid, .. } = self.read(&part)?;
            let cells = array.into_cells();
            viewer(&cells, &absent(valid.as_ref()));
            progress(cells.len() as u64);
        }
        Ok(())
    }
}

/// What was read for an answer.
fn counted(answer: &Answer) -> Exported {
    Exported {
        cells: answer.array.shape().iter().map(|len| *len as u64).product(),
        chunks_read: answer.chunks_read,
        stale: answer.stale.len() as u64,
        inexact: answer.inexact,
    }
}

/// Cells with the axes of planes in front, then rows and columns, as planes.
fn laid<T: Copy>(cells: ArrayD<T>, axes: &[usize], shape: [usize; 3]) -> Result<ArrayD<T>> {
    in_c_order(cells.permuted_axes(axes))
        .into_shape_with_order(IxDyn(&shape))
        .map_err(|cause| Error::invalid("the cells are no planes").because(cause))
}

/// An answer laid onto all of some events, of which it may have a part.
fn spread(answer: Answer, axis: usize, ticks: &[i64]) -> Answer {
    let own = answer
        .coordinates
        .as_ref()
        .map_or(&[][..], |coordinates| &coordinates.ticks);
    if own == ticks {
        return answer;
    }
    let place = |tick: &i64| ticks.binary_search(tick).ok();
    let places: Vec<Option<usize>> = own.iter().map(place).collect();
    fn of<T: Copy>(
        cells: &ArrayD<T>,
        (axis, len, places): (usize, usize, &[Option<usize>]),
        blank: T,
    ) -> ArrayD<T> {
        let mut shape = cells.shape().to_vec();
        shape[axis] = len;
        let mut all = ArrayD::from_elem(IxDyn(&shape), blank);
        for (from, at) in places.iter().enumerate() {
            if let Some(at) = at {
                all.index_axis_mut(Axis(axis), *at)
                    .assign(&cells.index_axis(Axis(axis), from));
            }
        }
        all
    }
    let valid = answer
        .valid()
        .unwrap_or_else(|| ArrayD::from_elem(IxDyn(answer.array.shape()), true));
    let way = (axis, ticks.len(), places.as_slice());
    let valid = of(&valid, way, false);
    let array = with_view!(Array, &answer.array, |cells| Array::from(of(
        cells,
        way,
        bytemuck::Zeroable::zeroed()
    )));
    Answer {
        array,
        validity: Validity::of_mask(Some(valid)),
        ..answer
    }
}
