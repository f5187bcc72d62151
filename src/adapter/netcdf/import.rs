//! Variables into a grid.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use ndarray::{ArrayD, Axis};

use super::field::Field;
use super::place::{Place, Run, Steps};
use crate::adapter::axes::RasterAxes;
use crate::adapter::imported::{Checked, Imported};
use crate::adapter::round::Columns;
use crate::adapter::values::{Found, Target};
use crate::array::{Array, with_view};
use crate::error::{Error, Result};
use crate::grid::{CellIndex, Levels, Shape, Window};
use crate::kv::Durability;
use crate::store::Grid;
use crate::writer::{Batch, Overlap};

/// The cells that are held in memory at a time, in bytes of the wider of the file's and the grid's types.
const PART_BYTES: u64 = 48 << 20;

/// A variable whose place in a grid is known. See the [module](super).
#[derive(Debug)]
pub struct Import {
    grid: Grid,
    field: Field,
    place: Place,
    overlap: Overlap,
}

/// Cells of a variable on their way into the grid, and which hold data (1) where their values cannot say it.
struct Values {
    array: Array,
    valid: Option<ArrayD<u8>>,
}

/// A box of a variable: steps, rows, columns and all bands.
#[derive(Clone, Debug)]
struct Part {
    steps: Range<u64>,
    cell: i64,
    rows: Range<u64>,
    columns: Columns,
}

impl Import {
    /// Finds the place of a variable in a grid. An [`Invalid`](crate::ErrorKind::Invalid) error says why it has none.
    pub fn new(grid: &Grid, field: Field) -> Result<Self> {
        Self::beside(grid, field, &[])
    }

    /// The same where other windows will be put before it. Longitudes that are one place are one cell of all of them.
    pub fn beside(grid: &Grid, mut field: Field, others: &[Window]) -> Result<Self> {
        let x = RasterAxes::of(grid.structure())?.x;
        let bounds = grid.bounds()?;
        let windows = || bounds.iter().chain(others);
        let taken = windows().map(|window| window.start()[x]).min().zip(windows().map(|window| window.end()[x]).max());
        let place = Place::of(&field, grid.schema(), taken.map(|(from, to)| from..to))?;
        field.decoding.rule.conversion = place.conversion;
        let import = Self { grid: grid.clone(), field, place, overlap: Overlap::default() };
        for window in import.parts().map(|part| import.window_of(&part)) {
            grid.structure().check(&window)?;
            grid.check(&window)?;
        }
        Ok(import)
    }

    /// What is to be known of how the variable is read, in sentences.
    pub fn notes(&self) -> Vec<String> {
        let twice = self.place.twice.filter(|_| self.overlap != Overlap::Refuse);
        let twice = twice.map(|at| format!("it has the time {at} twice; --overlap says which of both is kept"));
        self.field.remarks(self.grid.schema(), self.place.conversion).into_iter().chain(twice).collect()
    }

    /// What it does where the grid has data already.
    #[must_use]
    pub fn over(self, overlap: Overlap) -> Self {
        Self { overlap, ..self }
    }

    /// How many cells the variable has.
    pub fn cells(&self) -> u64 {
        self.field.shape.iter().product()
    }

    /// How many bytes its values have in their type.
    pub fn bytes(&self) -> u64 {
        self.cells() * self.field.decoding.dtype.size() as u64
    }

    /// Reads all of the variable, and says whether it can be written. `progress` is told how many cells were read.
    pub fn check(&mut self, progress: &mut dyn FnMut(u64)) -> Result<Checked> {
        if let Some(at) = self.place.twice.filter(|_| self.overlap == Overlap::Refuse) {
            return Err(Error::invalid(format!(
                "the file has the time {at} twice, and what is there may not be put again; import it with `--overlap keep` or `--overlap replace`"
            )));
        }
        let (mut checked, mut data_cells) = (Checked::default(), 0);
        for part in self.parts().collect::<Vec<_>>() {
            let (values, found) = self.values(&part)?;
            checked.nodata_cells += found.collisions;
            data_cells += found.data;
            if self.overlap == Overlap::Refuse {
                let mut batch = self.grid.store().batch();
                self.put(&mut batch, &part, &values)?;
                batch.rehearse()?;
            }
            progress(values.array.shape().iter().map(|len| *len as u64).product());
        }
        self.field.file.close();
        checked.is_blank = data_cells == 0;
        if checked.nodata_cells > 0 && self.field.decoding.declared {
            return Err(Error::invalid(format!(
                "{} valid cells of the variable have the grid's nodata value {}; make the grid with another `--nodata`",
                checked.nodata_cells,
                self.grid.schema().nodata().unwrap_or(f64::NAN)
            )));
        }
        Ok(checked)
    }

    /// Boxes that begin and end at borders of the grid's chunks where memory allows it.
    fn parts(&self) -> impl Iterator<Item = Part> + use<> {
        let structure = self.grid.structure();
        let (shape, roles) = (&self.field.shape, self.field.roles);
        let size = self.field.decoding.dtype.size().max(self.grid.schema().dtype().size()) as u64;
        let bands = roles.band.map_or(1, |axis| shape[axis]);
        let row_bytes = (shape[roles.x] * bands * size).max(1);
        let chunks: Vec<u64> = structure.axes().map(|axis| u64::from(axis.chunk())).collect();
        let steps = self.place.axes.time.map_or(1, |time| chunks[time]);
        let rows_fitting = (PART_BYTES / row_bytes / steps).max(1);
        let rows = if rows_fitting >= chunks[self.place.axes.y] {
            rows_fitting / chunks[self.place.axes.y] * chunks[self.place.axes.y]
        } else {
            rows_fitting
        };
        let (height, first, reversed) = (shape[roles.y], self.place.at[0], self.place.reversed[0]);
        let rows_of: Vec<Range<u64>> = pieces(first, height, rows)
            .map(|range| if reversed { height - range.end..height - range.start } else { range })
            .collect();
        let columns = self.place.columns.clone();
        let boxes: Vec<(Range<u64>, Columns)> =
            rows_of.into_iter().flat_map(|rows| columns.iter().map(move |columns| (rows.clone(), columns.clone()))).collect();
        let runs = match &self.place.steps {
            Steps::Runs(runs) => runs.clone(),
            Steps::Events(ticks) => each_once(ticks),
        };
        runs.into_iter().flat_map(move |run| {
            let boxes = boxes.clone();
            let (cell, from) = (run.cell, run.steps.start);
            pieces(cell, run.steps.end - run.steps.start, steps).flat_map(move |steps| {
                let (cell, steps) = (cell.saturating_add_unsigned(steps.start), from + steps.start..from + steps.end);
                boxes.clone().into_iter().map(move |(rows, columns)| Part { steps: steps.clone(), cell, rows, columns })
            })
        })
    }

    /// The ticks of a part's events, if they are events.
    fn ticks(&self, part: &Part) -> Option<&[i64]> {
        let Steps::Events(ticks) = &self.place.steps else { return None };
        let step = |step: u64| usize::try_from(step).unwrap_or(usize::MAX).min(ticks.len());
        Some(&ticks[step(part.steps.start)..step(part.steps.end)])
    }

    fn put<'a>(&self, batch: &mut Batch<'a>, part: &Part, Values { array, valid }: &'a Values) -> Result<()> {
        let window = self.window_of(part);
        match self.ticks(part) {
            None => batch.put_over(&self.grid, &window, array, self.overlap)?,
            Some(ticks) => {
                let (start, time) = (window.start(), self.place.axes.time);
                let others = start.iter().enumerate().filter(|(axis, _)| Some(*axis) != time).map(|(_, at)| *at);
                batch.put_events(&self.grid, ticks, others.collect::<CellIndex>(), array, self.overlap)?;
            }
        }
        valid.as_ref().map_or(Ok(()), |valid| batch.mask(&self.grid, valid.view()))
    }

    /// The cells of the grid that each step has.
    pub fn steps(&self) -> Vec<Window> {
        let rows = 0..self.field.shape[self.field.roles.y];
        let whole =
            |columns: &Columns| self.window_of(&Part { steps: 0..1, cell: 0, rows: rows.clone(), columns: columns.clone() });
        let one: Vec<Window> = self.place.columns.iter().map(whole).collect();
        let cells: BTreeSet<i64> = match &self.place.steps {
            Steps::Runs(runs) => runs.iter().flat_map(|run| (run.cell..).zip(run.steps.clone()).map(|(cell, _)| cell)).collect(),
            Steps::Events(ticks) => ticks.iter().copied().collect(),
        };
        let at = |cell: i64, one: &Window| self.place.axes.time.map_or(*one, |time| one.along(time, cell, 1));
        cells.into_iter().flat_map(|cell| one.iter().map(move |one| at(cell, one))).collect()
    }

    /// The cells of the grid that a part has; of events the box of their ticks.
    fn window_of(&self, part: &Part) -> Window {
        let (shape, roles) = (&self.field.shape, self.field.roles);
        let rank = self.grid.structure().rank();
        let mut start = CellIndex::from(vec![0; rank].as_slice());
        let mut len = Shape::from(vec![1; rank].as_slice());
        let rows = if self.place.reversed[0] { shape[roles.y] - part.rows.end } else { part.rows.start };
        (start[self.place.axes.y], len[self.place.axes.y]) =
            (self.place.at[0].saturating_add_unsigned(rows), part.rows.end - part.rows.start);
        let columns = &part.columns.columns;
        (start[self.place.axes.x], len[self.place.axes.x]) = (part.columns.cell, columns.end - columns.start);
        if let Some(time) = self.place.axes.time {
            let ticks = self.ticks(part).map(|ticks| (ticks.iter().min(), ticks.iter().max()));
            (start[time], len[time]) = match ticks {
                Some((Some(first), Some(last))) => (*first, last.abs_diff(*first).saturating_add(1)),
                _ => (part.cell, part.steps.end - part.steps.start),
            };
        }
        if let Some(band) = self.place.axes.band {
            (start[band], len[band]) = (self.place.at[1], roles.band.map_or(1, |axis| shape[axis]));
        }
        Window::new(start, len).at(Levels::zero(self.grid.structure().dimensions().len()))
    }

    /// The values of a part with the grid's axes, and what was found among them.
    fn values(&mut self, part: &Part) -> Result<(Values, Found)> {
        let roles = self.field.roles;
        let mut start = vec![0; self.field.shape.len()];
        let mut shape = vec![1; self.field.shape.len()];
        (start[roles.y], shape[roles.y]) = (part.rows.start, part.rows.end - part.rows.start);
        let (columns, width) = (&part.columns.columns, self.field.shape[roles.x]);
        let first = if self.place.reversed[1] { width - columns.end } else { columns.start };
        (start[roles.x], shape[roles.x]) = (first, columns.end - columns.start);
        if let Some(time) = roles.time {
            (start[time], shape[time]) = (part.steps.start, part.steps.end - part.steps.start);
        }
        if let Some(band) = roles.band {
            shape[band] = self.field.shape[band];
        }
        let raw = self.field.file.read(&self.field.name, &start, &shape)?;
        let (array, valid, found) = self.field.decoding.apply(raw, Target::of(self.grid.schema()))?;
        let array = with_view!(Array, array, |cells| Array::from(self.turned(cells)));
        Ok((Values { array, valid: valid.map(|valid| self.turned(valid)) }, found))
    }

    /// A variable's array with the grid's axes; those that only the grid has are of one cell.
    fn turned<T: Copy>(&self, mut cells: ArrayD<T>) -> ArrayD<T> {
        let (roles, axes) = (self.field.roles, self.place.axes);
        for (axis, _) in [roles.y, roles.x].into_iter().zip(self.place.reversed).filter(|(_, reversed)| *reversed) {
            cells.invert_axis(Axis(axis));
        }
        let mut order: Vec<(usize, Option<usize>)> = vec![(axes.y, Some(roles.y)), (axes.x, Some(roles.x))];
        order.extend(axes.time.map(|time| (time, roles.time)));
        order.extend(axes.band.map(|band| (band, roles.band)));
        order.sort_unstable();
        let kept: Vec<usize> = order.iter().filter_map(|(_, of_file)| *of_file).collect();
        let others: Vec<usize> = (0..cells.ndim()).filter(|axis| !kept.contains(axis)).collect();
        let permutation: Vec<usize> = others.iter().chain(&kept).copied().collect();
        let mut cells = cells.permuted_axes(permutation);
        for _ in others {
            cells = cells.index_axis_move(Axis(0), 0);
        }
        for (number, _) in order.iter().enumerate().filter(|(_, (_, of_file))| of_file.is_none()) {
            cells = cells.insert_axis(Axis(number));
        }
        cells.as_standard_layout().into_owned()
    }
}

/// Steps of a file in runs of which each has a tick at most once, so that later ones are put over earlier ones.
fn each_once(ticks: &[i64]) -> Vec<Run> {
    let (mut runs, mut seen, mut from) = (Vec::new(), HashSet::new(), 0);
    for (step, tick) in (0_u64..).zip(ticks) {
        if !seen.insert(*tick) {
            runs.push(Run { steps: from..step, cell: 0 });
            seen = HashSet::from([*tick]);
            from = step;
        }
    }
    runs.push(Run { steps: from..ticks.len() as u64, cell: 0 });
    runs
}

/// Puts all of the variables into their grid, later ones over earlier ones. Small files are committed together, as far as
/// memory allows. All of it is durable when this returns. `progress` is told how many cells were written.
///
/// With [`Policy::Manual`](crate::Policy) the aggregates are left for [`Grid::aggregate`], which is faster for many files.
///
/// Where [`Overlap::Refuse`] refuses a part, the parts that were committed before it stay; [`Import::check`] tells beforehand.
pub fn write(imports: &mut [&mut Import], progress: &mut dyn FnMut(u64)) -> Result<Imported> {
    let mut done = Imported::default();
    let mut waiting: Vec<(usize, Part, Values)> = Vec::new();
    let mut bytes = 0;
    for number in 0..imports.len() {
        for part in imports[number].parts().collect::<Vec<_>>() {
            let (values, _) = imports[number].values(&part)?;
            let cells: u64 = values.array.shape().iter().map(|len| *len as u64).product();
            bytes += cells * values.array.dtype().size() as u64;
            done.cells += cells;
            waiting.push((number, part, values));
            if bytes >= PART_BYTES {
                commit(imports, &mut waiting, Durability::Buffered, &mut done)?;
                bytes = 0;
            }
            progress(cells);
        }
        imports[number].field.file.close();
    }
    commit(imports, &mut waiting, Durability::Sync, &mut done)?;
    Ok(done)
}

fn commit(
    imports: &[&mut Import],
    waiting: &mut Vec<(usize, Part, Values)>,
    durability: Durability,
    done: &mut Imported,
) -> Result<()> {
    let Some(store) = imports.first().map(|import| import.grid.store()) else { return Ok(()) };
    if waiting.is_empty() {
        // What was committed before is synced with the store's own log.
        return if durability == Durability::Sync { store.flush() } else { Ok(()) };
    }
    let mut batch = store.batch().durability(durability);
    for (number, part, values) in waiting.iter() {
        imports[*number].put(&mut batch, part, values)?;
    }
    let commit = batch.commit()?;
    done.chunks += commit.chunks;
    done.aggregates += commit.aggregates;
    done.marks += commit.marks;
    waiting.clear();
    Ok(())
}

/// Cuts `len` cells from `first` on where multiples of `chunk` are; ranges are relative to `first`.
pub(super) fn pieces(first: i64, len: u64, chunk: u64) -> impl Iterator<Item = Range<u64>> {
    let chunk_signed = i64::try_from(chunk).unwrap_or(i64::MAX);
    // In front of the first border.
    let head = chunk - u64::try_from(first.rem_euclid(chunk_signed)).unwrap_or(0);
    let mut from = 0_u64;
    std::iter::from_fn(move || {
        let to = if from == 0 { head.min(len) } else { from.saturating_add(chunk).min(len) };
        let range = from..to;
        from = to;
        (range.start < range.end).then_some(range)
    })
}
