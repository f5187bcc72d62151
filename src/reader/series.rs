//! Series: the values of some cells along one dimension, most often time.

use std::collections::BTreeSet;

use ndarray::ArrayD;

use super::query::{Answer, Coordinates, Freshness, Layer};
use super::read_in;
use super::series_reads::{Reads, Task};
use super::steps::Steps;
use crate::array::{Array, Cell, Cells, Validity, with_dtype, with_view};
use crate::error::{Error, Result};
use crate::grid::{CellIndex, Levels, Window};
use crate::kernel::Aggregation;
use crate::kv::Snapshot;
use crate::parallel;
use crate::store::{Grid, base_fill};

/// The values of all cells together that a series may have.
const VALUES_MAX: u64 = 1 << 28;

/// Which cells' values are wanted, and in which steps.
///
/// ```
/// use gridstone::{Axis, DType, Dimension, Freshness, Layer, Schema, SeriesQuery, Steps, Store, Structure, Window};
///
/// # fn main() -> gridstone::Result<()> {
/// let line = |name: &str, step: f64| Dimension::regular(name, [Axis::new(name, 0.0, step, 4)]);
/// let structure = Structure::builder().dimension(line("time", 60.0)).dimension(line("x", 1.0)).build()?;
/// let grid = Store::in_memory()?.create("level", Schema::builder(structure, DType::F32).build()?)?;
/// grid.put(&Window::new([0, 0], [6, 4]), &ndarray::Array2::from_shape_fn((6, 4), |(t, x)| (10 * t + x) as f32))?;
///
/// // Two cells, from the second minute to the fourth.
/// let query = SeriesQuery::at([0.5]).and([2.5]).steps(Steps::all().range(60.0, 240.0));
/// let series = grid.series(&query.layer(Layer::Base).freshness(Freshness::Fresh))?;
/// assert_eq!(series.edges, [60.0, 120.0, 180.0, 240.0]);
/// assert_eq!(series.values().flatten().collect::<Vec<_>>(), [10.0, 20.0, 30.0, 12.0, 22.0, 32.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesQuery {
    pub(super) cells: Vec<Vec<f64>>,
    pub(super) steps: Steps,
    pub(super) layer: Option<Layer>,
    pub(super) freshness: Freshness,
}

impl SeriesQuery {
    /// Asks for the series of one cell: a world coordinate for each axis but the series' own, in
    /// the structure's order. Along a Fixed dimension, the number of a label from 0.
    pub fn at(cell: impl IntoIterator<Item = f64>) -> Self {
        Self {
            cells: vec![cell.into_iter().collect()],
            steps: Steps::all(),
            layer: None,
            freshness: Freshness::default(),
        }
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

    /// Reads the values of this layer. The default is the base at the base level, and the grid's
    /// first aggregator above.
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
    /// (cell, step): a row for each cell, in the order they were asked for. Steps without data are
    /// as in [`Answer::array`](super::Answer).
    pub array: Array,
    /// Which values are data, as in [`Answer::validity`](super::Answer).
    pub validity: Validity,
    /// Where each step begins in world coordinates, and where the last one ends: one more than
    /// there are steps.
    pub edges: Vec<f64>,
    /// Along an irregular dimension the exact ticks: those at which any of the cells' chunks has an
    /// event, or bins with data.
    pub coordinates: Option<Coordinates>,
    /// The number of the series' axis.
    pub axis: usize,
    /// The levels that were read.
    pub levels: Levels,
    /// The layer that was read.
    pub layer: Layer,
    /// The parts that were read and are out of date because aggregation has not caught up.
    pub stale: Vec<Window>,
    /// Chunks read and decoded, or taken from those that are kept decoded.
    pub chunks_read: u64,
}

impl Series {
    /// Whether each value is data, in the shape of the [`array`](Self::array); `None` if every one
    /// is.
    pub fn valid(&self) -> Option<ArrayD<bool>> {
        self.validity.mask(&self.array)
    }

    /// Every value as a double, in C order; `None` where there is no data.
    pub fn values(&self) -> impl Iterator<Item = Option<f64>> + '_ {
        self.validity.values(&self.array)
    }
}

/// Reads a series.
pub(crate) fn read(grid: &Grid, query: &SeriesQuery) -> Result<Series> {
    let snapshot = grid.snapshot()?;
    read_all(grid, snapshot.as_ref(), query).map_err(|e| grid.blame(e))
}

fn read_all(grid: &Grid, snapshot: &dyn Snapshot, query: &SeriesQuery) -> Result<Series> {
    let axis = query.steps.axis(grid.structure())?;
    let reads = Reads::new(grid, snapshot, query, axis)?;
    let taken = parallel::map(&reads.tasks, |task| {
        task.read(grid, snapshot, &reads.cells, axis)
    })?;
    let Some(first) = taken.first() else {
        return Err(Error::invalid("a series needs a cell"));
    };
    let (layer, dtype) = (
        first.layer.clone(),
        first
            .values
            .first()
            .map_or(grid.schema().dtype(), Cells::dtype),
    );
    let coordinates = union(&taken);
    let edges = match &coordinates {
        Some(all) => all.edges(&query.steps),
        None => reads
            .edges
            .or_else(|| first.edges.clone())
            .unwrap_or_default(),
    };
    let shape = [reads.cells.len(), edges.len().saturating_sub(1)];
    too_many(shape[0], shape[1] as u64)?;
    let places: Vec<Vec<usize>> = reads
        .tasks
        .iter()
        .zip(&taken)
        .map(|(task, part)| part.places(task, coordinates.as_ref()))
        .collect();
    let rows = || {
        let parts = reads.tasks.iter().zip(&taken).zip(&places);
        parts.flat_map(|((task, part), places)| {
            task.cells
                .iter()
                .enumerate()
                .map(move |(at, row)| SeriesRow {
                    row: *row,
                    at,
                    part,
                    places,
                })
        })
    };
    let spec = grid
        .layers()
        .iter()
        .find(|spec| Layer::Aggregate(spec.aggregation.clone()) == layer);
    let fill = spec.map_or_else(|| base_fill(grid.schema()), |spec| spec.blank);
    let array = with_dtype!(dtype, |T| {
        let values = rows().map(|row| Ok((row.row, row.places, Some(row.values::<T>()?))));
        Array::from(laid::<T>(
            &shape,
            (T::from_f64(fill), T::from_f64(fill)),
            values,
        )?)
    });
    let told = taken
        .iter()
        .find(|part| part.valid.is_none() && part.told != Validity::All);
    let validity = match (&layer, told) {
        // Of nothing there is a count too.
        (Layer::Aggregate(Aggregation::Count), _) => Validity::All,
        (_, Some(part)) => part.told.clone(),
        (_, None) => {
            let valid = rows().map(|row| Ok((row.row, row.places, row.valid())));
            Validity::of_mask(Some(laid(&shape, (false, true), valid)?))
        }
    };
    let mut stale: Vec<Window> = taken
        .iter()
        .flat_map(|part| part.stale.iter().copied())
        .collect();
    stale.sort_unstable();
    stale.dedup();
    let chunks_read = taken.iter().map(|part| part.chunks_read).sum();
    Ok(Series {
        array,
        validity,
        edges,
        coordinates,
        axis,
        levels: reads.levels,
        layer,
        stale,
        chunks_read,
    })
}

impl Coordinates {
    /// Where each step begins, and where the last one ends.
    fn edges(&self, steps: &Steps) -> Vec<f64> {
        let end = |last: i64| match steps.cuts() {
            Some(cuts) => cuts.end(last),
            None => last.saturating_add_unsigned(self.width),
        };
        let last = self.ticks.last().map(|last| end(*last));
        let ticks = self.ticks.iter().copied().chain(last);
        ticks.map(|tick| tick as f64).collect()
    }
}

/// Where the steps of all reads lie along an irregular axis, each once.
fn union(taken: &[Taken]) -> Option<Coordinates> {
    let all = || taken.iter().filter_map(|part| part.coordinates.as_ref());
    let ticks: BTreeSet<i64> = all().flat_map(|of| of.ticks.iter().copied()).collect();
    let (axis, width) = (all().next()?.axis, all().map(|of| of.width).max()?);
    Some(Coordinates {
        axis,
        ticks: ticks.into_iter().collect(),
        width,
    })
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

/// What a read came to: the values of each of its cells.
struct Taken {
    values: Vec<Cells>,
    /// Which of them are data, where there is a mask.
    valid: Option<Vec<Vec<bool>>>,
    /// What says so elsewhere.
    told: Validity,
    layer: Layer,
    stale: Vec<Window>,
    chunks_read: u64,
    /// Where its steps lie along an irregular axis.
    coordinates: Option<Coordinates>,
    /// Where they begin along a regular one, if they are of any lengths.
    edges: Option<Vec<f64>>,
}

impl Task {
    fn read(
        &self,
        grid: &Grid,
        snapshot: &dyn Snapshot,
        cells: &[CellIndex],
        axis: usize,
    ) -> Result<Taken> {
        let answer = read_in(grid, snapshot, &self.query)?;
        let window = &self.window;
        let cells: Vec<CellIndex> = self.cells.iter().map(|number| cells[*number]).collect();
        let of_cell = |cell: &CellIndex| {
            with_view!(Array, &answer.array, |array| line(
                array, axis, cell, window
            )
            .into())
        };
        let values = cells.iter().map(of_cell).collect();
        let (valid, told) = match answer.validity {
            Validity::Mask(mask) => (
                Some(
                    cells
                        .iter()
                        .map(|cell| line(&mask, axis, cell, window))
                        .collect(),
                ),
                Validity::All,
            ),
            told => (None, told),
        };
        let Answer {
            layer,
            stale,
            chunks_read,
            coordinates,
            steps: edges,
            ..
        } = answer;
        Ok(Taken {
            values,
            valid,
            told,
            layer,
            stale,
            chunks_read,
            coordinates,
            edges,
        })
    }
}

impl Taken {
    /// The numbers of its steps among all of the series.
    fn places(&self, task: &Task, all: Option<&Coordinates>) -> Vec<usize> {
        match self.coordinates.as_ref().zip(all) {
            Some((own, all)) => own
                .ticks
                .iter()
                .filter_map(|tick| all.ticks.binary_search(tick).ok())
                .collect(),
            None => (task.from..task.from + self.values.first().map_or(0, Cells::len)).collect(),
        }
    }
}

/// The row of a cell, what a read has of it, and the numbers of the steps it has.
struct SeriesRow<'t> {
    row: usize,
    /// The number of the cell among those of the read.
    at: usize,
    part: &'t Taken,
    places: &'t [usize],
}

impl<'t> SeriesRow<'t> {
    fn values<T: Cell>(&self) -> Result<&'t [T]> {
        let values = self.part.values.get(self.at).and_then(Cells::as_slice::<T>);
        values.ok_or_else(|| Error::corrupt("the cells of a series are of several types"))
    }

    fn valid(&self) -> Option<&'t [bool]> {
        Some(self.part.valid.as_ref()?.get(self.at)?)
    }
}

/// Rows of steps: what parts of them hold at some places, `whole` if they do not say it, and
/// `blank` elsewhere.
fn laid<'t, T: Copy + 't>(
    shape: &[usize; 2],
    (blank, whole): (T, T),
    rows: impl Iterator<Item = Result<(usize, &'t [usize], Option<&'t [T]>)>>,
) -> Result<ArrayD<T>> {
    let mut all = vec![blank; shape[0] * shape[1]];
    for row in rows {
        let (row, places, values) = row?;
        let row = &mut all[row * shape[1]..(row + 1) * shape[1]];
        match values {
            Some(values) => places
                .iter()
                .zip(values)
                .for_each(|(place, value)| row[*place] = *value),
            None => places.iter().for_each(|place| row[*place] = whole),
        }
    }
    ArrayD::from_shape_vec(&shape[..], all)
        .map_err(|e| Error::invalid("a series has a row of steps a cell").because(e))
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
