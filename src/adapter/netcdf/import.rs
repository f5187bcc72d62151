//! Variables into a grid.

use std::ops::Range;

use ndarray::{ArrayD, Axis};

use super::field::Field;
use super::schema::fitting;
use crate::adapter::cells::widens;
use crate::adapter::imported::{Checked, Imported};
use crate::array::{Array, Cell, with_view};
use crate::error::{Error, Result};
use crate::grid::{CellIndex, Levels, Shape, Structure, Window};
use crate::kv::Durability;
use crate::store::Grid;

/// The cells that are held in memory at a time, in bytes of the wider of the file's and the grid's types.
const PART_BYTES: u64 = 48 << 20;

/// Steps of a file that follow each other in the grid too.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    /// Steps of the file.
    steps: Range<u64>,
    /// The cell of the first.
    cell: i64,
}

/// A variable whose place in a grid is known. See the [module](super).
#[derive(Debug)]
pub struct Import {
    grid: Grid,
    field: Field,
    axes: GridAxes,
    runs: Vec<Run>,
    /// The first cell along the rows, columns and bands of the grid.
    at: [i64; 3],
    /// Whether the file's rows and columns run against the grid's.
    reversed: [bool; 2],
}

/// The axes of a grid, by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct GridAxes {
    time: Option<usize>,
    band: Option<usize>,
    y: usize,
    x: usize,
}

/// A box of a variable: steps, rows, columns and bands.
#[derive(Clone, Debug)]
struct Part {
    steps: Range<u64>,
    cell: i64,
    rows: Range<u64>,
}

impl Import {
    /// Finds the place of a variable in a grid. An [`Invalid`](crate::ErrorKind::Invalid) error says why it has none.
    pub fn new(grid: &Grid, field: Field) -> Result<Self> {
        let structure = grid.structure();
        let axes = GridAxes::of(structure, field.times.is_some(), field.band.is_some())?;
        let (from, to) = (field.decoding.dtype, grid.schema().dtype());
        if !widens(from, to) {
            return Err(Error::invalid(format!("the variable's values are {from}, and not all of them fit the grid's {to}")));
        }
        if field.decoding.has_gaps() && grid.schema().needs_mask() {
            return Err(Error::invalid(format!(
                "the variable has missing values, and the grid's {to} cells have no nodata value"
            )));
        }
        if let (Some(of_file), Some(of_grid)) = (field.crs.as_deref(), structure.crs())
            && !of_file.trim().eq_ignore_ascii_case(of_grid.trim())
        {
            let short = |crs: &str| crs.chars().take(48).collect::<String>();
            return Err(Error::invalid(format!(
                "the file's coordinate reference system, {}, is not the grid's, {}",
                short(of_file),
                short(of_grid)
            )));
        }
        let axis =
            |number: usize| structure.axes().nth(number).ok_or_else(|| Error::invalid(format!("the grid has no axis {number}")));
        let ((y, upside), (x, mirrored)) = (field.y.place(axis(axes.y)?)?, field.x.place(axis(axes.x)?)?);
        let runs = match (&field.times, axes.time) {
            (Some(times), Some(time)) => runs(&times.cells(axis(time)?)?)?,
            _ => vec![Run { steps: 0..1, cell: 0 }],
        };
        let band = first_label(&field, structure, axes)?;
        let import = Self { grid: grid.clone(), field, axes, runs, at: [y, x, band], reversed: [upside, mirrored] };
        for window in import.parts().map(|part| import.window_of(&part)) {
            structure.check(&window)?;
            grid.check(&window)?;
        }
        Ok(import)
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
        let mut checked = Checked::default();
        for part in self.parts().collect::<Vec<_>>() {
            let (array, collisions) = self.values(&part)?;
            checked.nodata_cells += collisions;
            progress(array.shape().iter().map(|len| *len as u64).product());
        }
        self.field.file.forget_chunks()?;
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
        let steps = self.axes.time.map_or(1, |time| chunks[time]);
        let rows_fitting = (PART_BYTES / row_bytes / steps).max(1);
        let rows = if rows_fitting >= chunks[self.axes.y] {
            rows_fitting / chunks[self.axes.y] * chunks[self.axes.y]
        } else {
            rows_fitting
        };
        let (height, first, reversed) = (shape[roles.y], self.at[0], self.reversed[0]);
        let rows_of: Vec<Range<u64>> = pieces(first, height, rows)
            .map(|range| if reversed { height - range.end..height - range.start } else { range })
            .collect();
        let runs = self.runs.clone();
        runs.into_iter().flat_map(move |run| {
            let rows_of = rows_of.clone();
            let (cell, from) = (run.cell, run.steps.start);
            pieces(cell, run.steps.end - run.steps.start, steps).flat_map(move |steps| {
                let rows_of = rows_of.clone();
                let (cell, steps) = (cell.saturating_add_unsigned(steps.start), from + steps.start..from + steps.end);
                rows_of.into_iter().map(move |rows| Part { steps: steps.clone(), cell, rows })
            })
        })
    }

    /// The cells of the grid that a part has.
    fn window_of(&self, part: &Part) -> Window {
        let (shape, roles) = (&self.field.shape, self.field.roles);
        let rank = self.grid.structure().rank();
        let mut start = CellIndex::from(vec![0; rank].as_slice());
        let mut len = Shape::from(vec![1; rank].as_slice());
        let rows = if self.reversed[0] { shape[roles.y] - part.rows.end } else { part.rows.start };
        (start[self.axes.y], len[self.axes.y]) = (self.at[0].saturating_add_unsigned(rows), part.rows.end - part.rows.start);
        (start[self.axes.x], len[self.axes.x]) = (self.at[1], shape[roles.x]);
        if let Some(time) = self.axes.time {
            (start[time], len[time]) = (part.cell, part.steps.end - part.steps.start);
        }
        if let Some(band) = self.axes.band {
            (start[band], len[band]) = (self.at[2], roles.band.map_or(1, |axis| shape[axis]));
        }
        Window::new(start, len).at(Levels::zero(self.grid.structure().dimensions().len()))
    }

    /// The values of a part with the grid's axes, and how many of them equal its nodata value.
    fn values(&mut self, part: &Part) -> Result<(Array, u64)> {
        let roles = self.field.roles;
        let mut start = vec![0; self.field.shape.len()];
        let mut shape = vec![1; self.field.shape.len()];
        (start[roles.y], shape[roles.y]) = (part.rows.start, part.rows.end - part.rows.start);
        shape[roles.x] = self.field.shape[roles.x];
        if let Some(time) = roles.time {
            (start[time], shape[time]) = (part.steps.start, part.steps.end - part.steps.start);
        }
        if let Some(band) = roles.band {
            shape[band] = self.field.shape[band];
        }
        let raw = self.field.file.read(&self.field.name, &start, &shape)?;
        let schema = self.grid.schema();
        let (array, collisions) = self.field.decoding.apply(raw, schema.dtype(), schema.nodata())?;
        Ok((with_view!(Array, array, |cells| self.turned(cells)), collisions))
    }

    /// A variable's array with the grid's axes.
    fn turned<T: Cell>(&self, mut cells: ArrayD<T>) -> Array {
        let roles = self.field.roles;
        for (axis, _) in [roles.y, roles.x].into_iter().zip(self.reversed).filter(|(_, reversed)| *reversed) {
            cells.invert_axis(Axis(axis));
        }
        let mut order: Vec<(usize, usize)> = vec![(self.axes.y, roles.y), (self.axes.x, roles.x)];
        order.extend(self.axes.time.zip(roles.time));
        order.extend(self.axes.band.zip(roles.band));
        let kept: Vec<usize> = order.iter().map(|(_, of_file)| *of_file).collect();
        let others: Vec<usize> = (0..cells.ndim()).filter(|axis| !kept.contains(axis)).collect();
        order.sort_unstable();
        let permutation: Vec<usize> = others.iter().copied().chain(order.iter().map(|(_, of_file)| *of_file)).collect();
        let mut cells = cells.permuted_axes(permutation);
        for _ in others {
            cells = cells.index_axis_move(Axis(0), 0);
        }
        Array::from(cells.as_standard_layout().into_owned())
    }
}

/// Puts all of the variables into their grid, later ones over earlier ones. Small files are committed together, as far as
/// memory allows. All of it is durable when this returns. `progress` is told how many cells were written.
///
/// With [`Policy::Manual`](crate::Policy) the aggregates are left for [`Grid::aggregate`], which is faster for many files.
pub fn write(imports: &mut [&mut Import], progress: &mut dyn FnMut(u64)) -> Result<Imported> {
    let mut done = Imported::default();
    let mut waiting: Vec<(Window, Array)> = Vec::new();
    let mut bytes = 0;
    let Some(grid) = imports.first().map(|import| import.grid.clone()) else { return Ok(done) };
    for import in imports {
        for part in import.parts().collect::<Vec<_>>() {
            let (array, _) = import.values(&part)?;
            let cells: u64 = array.shape().iter().map(|len| *len as u64).product();
            bytes += cells * array.dtype().size() as u64;
            done.cells += cells;
            waiting.push((import.window_of(&part), array));
            if bytes >= PART_BYTES {
                commit(&grid, &mut waiting, Durability::Buffered, &mut done)?;
                bytes = 0;
            }
            progress(cells);
        }
        import.field.file.forget_chunks()?;
    }
    commit(&grid, &mut waiting, Durability::Sync, &mut done)?;
    Ok(done)
}

fn commit(grid: &Grid, waiting: &mut Vec<(Window, Array)>, durability: Durability, done: &mut Imported) -> Result<()> {
    if waiting.is_empty() {
        // What was committed before is synced with the store's own log.
        return if durability == Durability::Sync { grid.store().flush() } else { Ok(()) };
    }
    let mut batch = grid.store().batch().durability(durability);
    for (window, array) in waiting.iter() {
        batch.put(grid, window, array)?;
    }
    let commit = batch.commit()?;
    done.chunks += commit.chunks;
    done.aggregates += commit.aggregates;
    done.marks += commit.marks;
    waiting.clear();
    Ok(())
}

impl GridAxes {
    /// The axes of a grid that has the same dimensions as a variable.
    fn of(structure: &Structure, time: bool, band: bool) -> Result<Self> {
        let raster = crate::adapter::axes::RasterAxes::of(structure)?;
        let own = [Some(raster.y), Some(raster.x), raster.band];
        let mut others = (0..structure.rank()).filter(|axis| !own.contains(&Some(*axis)));
        let (along, more) = (others.next(), others.next());
        let name = |axis: usize| structure.axes().nth(axis).map_or("", crate::grid::Axis::name);
        let refused = |why: String| Err(Error::invalid(why));
        match (along, more, time) {
            (_, Some(more), _) => return refused(format!("a variable does not say where it lies along axis `{}`", name(more))),
            (None, _, true) => return refused("the variable has a time axis, and the grid has none".to_owned()),
            (Some(axis), _, false) => {
                return refused(format!("the variable does not say where it lies along axis `{}`", name(axis)));
            }
            _ => {}
        }
        if band && raster.band.is_none() {
            return refused("the variable has an axis of labels, and the grid has none".to_owned());
        }
        Ok(Self { time: along, band: raster.band, y: raster.y, x: raster.x })
    }
}

/// The number of a variable's first label among the grid's, which must follow each other in the same order.
fn first_label(field: &Field, structure: &Structure, axes: GridAxes) -> Result<i64> {
    let Some(axis) = axes.band else { return Ok(0) };
    let dimension = &structure.dimensions()[structure.dimension_of(axis)];
    let known = dimension.labels().unwrap_or_default();
    let refused = || {
        let shown: Vec<&str> = known.iter().take(20).map(String::as_str).collect();
        Error::invalid(format!(
            "the variable's labels are not some of the grid's along `{}`: {}",
            dimension.name(),
            shown.join(", ")
        ))
    };
    let Some(band) = &field.band else { return if known.len() == 1 { Ok(0) } else { Err(refused()) } };
    if fitting(&band.name) != dimension.name() {
        return Err(Error::invalid(format!(
            "the variable has labels along `{}`, the grid along `{}`",
            band.name,
            dimension.name()
        )));
    }
    let first = known.iter().position(|label| *label == band.labels[0]).ok_or_else(refused)?;
    if known.get(first..first + band.labels.len()) != Some(&band.labels[..]) {
        return Err(refused());
    }
    i64::try_from(first).map_err(|cause| refused().because(cause))
}

/// Steps that follow each other in the file and in the grid, as one.
fn runs(cells: &[i64]) -> Result<Vec<Run>> {
    let mut sorted = cells.to_vec();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Error::invalid("the file has a time twice"));
    }
    let mut runs: Vec<Run> = Vec::new();
    for (step, cell) in (0_u64..).zip(cells) {
        match runs.last_mut() {
            Some(run) if run.cell.checked_add_unsigned(step - run.steps.start) == Some(*cell) => run.steps.end = step + 1,
            _ => runs.push(Run { steps: step..step + 1, cell: *cell }),
        }
    }
    Ok(runs)
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
