//! A file into a grid.

use std::io::{Read, Seek};

use ndarray::{ArrayD, Axis};

use crate::adapter::geotiff::{self, GeoTiff, LazyFile};
use crate::adapter::imported::{Checked, Imported};
use crate::adapter::values::Found;
use crate::array::{Array, with_view};
use crate::error::{Error, Result};
use crate::grid::{Level, Window};
use crate::kv::Durability;
use crate::store::Grid;
use crate::writer::{Batch, Overlap};

use super::bands::Run;
use super::convert::Conversion;
use super::place::{Placement, place};

/// The cells of one put, in bytes of the wider of the file's and the grid's types.
const WINDOW_BYTES: usize = 48 << 20;

/// A file whose place in a grid is known. See the [module](super).
#[derive(Debug)]
pub struct Import<R = LazyFile> {
    grid: Grid,
    tiff: GeoTiff<R>,
    placement: Placement,
    conversion: Conversion,
    overlap: Overlap,
}

impl Import {
    /// Closes the file until it is read again. See [`GeoTiff::close`].
    pub fn close(&mut self) {
        self.tiff.close();
    }
}

impl<R: Read + Seek> Import<R> {
    /// Finds the place of a file in a grid. An [`Invalid`](crate::ErrorKind::Invalid) error says why it has none, and what to
    /// do about it. Only the header is read.
    pub fn new(grid: &Grid, tiff: GeoTiff<R>) -> Result<Self> {
        Self::placed(grid, tiff, None)
    }

    /// The same in a grid with one dimension beside rows, columns and bands, such as time: at a cell of it, or a tick of an
    /// irregular one.
    pub fn at(grid: &Grid, tiff: GeoTiff<R>, cell: i64) -> Result<Self> {
        Self::placed(grid, tiff, Some(cell))
    }

    fn placed(grid: &Grid, tiff: GeoTiff<R>, at: Option<i64>) -> Result<Self> {
        let mut placement = place(grid, tiff.header(), at)?;
        grid.check(&placement.window)?;
        let conversion = Conversion::new(grid.schema(), tiff.header())?;
        placement.notes.extend(conversion.note.clone());
        Ok(Self { grid: grid.clone(), tiff, placement, conversion, overlap: Overlap::default() })
    }

    /// What it does where the grid has data already.
    #[must_use]
    pub fn over(self, overlap: Overlap) -> Self {
        Self { overlap, ..self }
    }

    /// How many cells the file has, in all bands.
    pub fn cells(&self) -> u64 {
        self.tiff.window().shape().iter().map(|len| *len as u64).product()
    }

    /// How many bytes its cells have in the file's type.
    pub fn bytes(&self) -> u64 {
        self.cells() * self.tiff.header().dtype.size() as u64
    }

    /// The level at which the file's cells land.
    pub fn level(&self) -> Level {
        let dimensions = self.grid.structure().dimensions().len();
        self.placement.window.levels(dimensions)[self.placement.axes.space]
    }

    /// The box of the grid's cells that the file has.
    pub fn window(&self) -> Window {
        self.placement.window
    }

    /// What is to be said of how the file lies in the grid, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.placement.notes
    }

    /// Reads all of the file, and says whether it can be written. `progress` is told how many cells were read.
    pub fn check(&mut self, progress: &mut dyn FnMut(u64)) -> Result<Checked> {
        let mut checked = Checked { is_blank: true, ..Checked::default() };
        for part in self.plan() {
            let values = self.values(&part)?;
            checked.nodata_cells += values.found.collisions;
            checked.is_blank &= values.found.data == 0;
            if self.overlap == Overlap::Refuse {
                let mut batch = self.grid.store().batch();
                self.put(&mut batch, &values)?;
                batch.rehearse()?;
            }
            progress(part.shape().iter().map(|len| *len as u64).product());
        }
        if checked.nodata_cells > 0 && self.conversion.collisions_are_valid() {
            return Err(Error::invalid(format!(
                "{} valid cells of the file have the grid's nodata value {}; make the grid with another `--nodata`",
                checked.nodata_cells,
                self.grid.schema().nodata().unwrap_or(f64::NAN)
            )));
        }
        Ok(checked)
    }

    /// Puts all cells of the file into the grid. `progress` is told how many cells were written. All of it is durable when this
    /// returns. Where [`Overlap::Refuse`] refuses a part, those before it stay; [`check`](Self::check) tells beforehand.
    ///
    /// With [`Policy::Manual`](crate::Policy) the aggregates are left for [`Grid::aggregate`], which is faster for a whole file.
    pub fn write(&mut self, progress: &mut dyn FnMut(u64)) -> Result<Imported> {
        let mut done = Imported { cells: self.cells(), ..Imported::default() };
        let mut parts = self.plan().peekable();
        while let Some(part) = parts.next() {
            let values = self.values(&part)?;
            let durability = if parts.peek().is_some() { Durability::Buffered } else { Durability::Sync };
            let mut batch = self.grid.store().batch().durability(durability);
            self.put(&mut batch, &values)?;
            let commit = batch.commit()?;
            done.chunks += commit.chunks;
            done.aggregates += commit.aggregates;
            done.marks += commit.marks;
            progress(part.shape().iter().map(|len| *len as u64).product());
        }
        Ok(done)
    }

    /// The cells of a part as the grid has them, in pieces that lie together in the grid.
    fn values(&mut self, part: &geotiff::Window) -> Result<Values> {
        let (array, valid) = self.tiff.read_valid(part)?;
        let ((array, valid), found) = self.conversion.apply(array, valid, part.bands.clone())?;
        let runs = self.placement.bands.runs(part.bands.clone());
        // Mostly the bands lie in the grid as in the file.
        if let [run] = runs.as_slice()
            && run.bands.iter().copied().eq(part.bands.clone())
        {
            let piece = Piece {
                window: self.window_of(part, run),
                array: with_view!(Array, array, |cells| Array::from(self.turned(cells))),
                valid: valid.map(|valid| self.turned(valid)),
            };
            return Ok(Values { pieces: vec![piece], found });
        }
        let piece = |run: &Run| {
            let numbers: Vec<usize> = run.bands.iter().map(|band| band - part.bands.start).collect();
            Piece {
                window: self.window_of(part, run),
                array: with_view!(Array, &array, |cells| Array::from(self.turned(cells.select(Axis(0), &numbers)))),
                valid: valid.as_ref().map(|valid| self.turned(valid.select(Axis(0), &numbers))),
            }
        };
        Ok(Values { pieces: runs.iter().map(piece).collect(), found })
    }

    fn put<'a>(&self, batch: &mut Batch<'a>, values: &'a Values) -> Result<()> {
        for Piece { window, array, valid } in &values.pieces {
            batch.put_over(&self.grid, window, array, self.overlap)?;
            valid.as_ref().map_or(Ok(()), |valid| batch.mask(&self.grid, valid.view()))?;
        }
        Ok(())
    }

    /// Windows of whole rows of chunks, as far as memory allows.
    fn plan(&self) -> geotiff::Plan {
        let header = self.tiff.header();
        let chunk = self.grid.structure().chunk_shape()[self.placement.axes.y];
        let (from, to) = (header.dtype.size(), self.grid.schema().dtype().size());
        let bytes_max = WINDOW_BYTES / from.max(to) * from;
        let rows = bytes_max / (header.width * header.bands.len() * from).max(1);
        self.tiff.plan((rows / chunk * chunk).max(chunk), bytes_max)
    }

    /// The cells of the grid that some bands of a part of the file have.
    fn window_of(&self, part: &geotiff::Window, run: &Run) -> Window {
        let Placement { axes, window, reversed, .. } = &self.placement;
        let header = self.tiff.header();
        let (mut start, mut shape) = (window.start(), window.shape());
        let rows = if reversed[0] { header.height - part.rows.end } else { part.rows.start };
        let cols = if reversed[1] { header.width - part.cols.end } else { part.cols.start };
        start[axes.y] = start[axes.y].saturating_add_unsigned(rows as u64);
        start[axes.x] = start[axes.x].saturating_add_unsigned(cols as u64);
        (shape[axes.y], shape[axes.x]) = (part.rows.len() as u64, part.cols.len() as u64);
        if let Some(band) = axes.band {
            start[band] = i64::try_from(run.at).unwrap_or(i64::MAX);
            shape[band] = run.bands.len() as u64;
        }
        Window::new(start, shape).at(window.levels(self.grid.structure().dimensions().len()))
    }

    /// A file's array (band, y, x) with the grid's axes.
    fn turned<T>(&self, mut cells: ArrayD<T>) -> ArrayD<T> {
        let Placement { axes, reversed, .. } = &self.placement;
        for (axis, _) in [1, 2].into_iter().zip(reversed).filter(|(_, reversed)| **reversed) {
            cells.invert_axis(Axis(axis));
        }
        // (band, y, x) in front of the grid's other axes, of which it has one cell.
        let others = self.grid.structure().rank() - 2 - usize::from(axes.band.is_some());
        if axes.band.is_none() {
            cells = cells.index_axis_move(Axis(0), 0);
        }
        (0..others).for_each(|_| cells.insert_axis_inplace(Axis(cells.ndim())));
        let own: Vec<usize> = axes.band.into_iter().chain([axes.y, axes.x]).collect();
        let rest = (0..self.grid.structure().rank()).filter(|axis| !own.contains(axis));
        let mut order = vec![0; own.len() + others];
        own.iter().copied().chain(rest).enumerate().for_each(|(from, axis)| order[axis] = from);
        cells.permuted_axes(order)
    }
}

/// Cells of a file on their way into the grid.
struct Values {
    pieces: Vec<Piece>,
    found: Found,
}

/// What one put lays into the grid, and which of its cells hold data where their values cannot say it.
struct Piece {
    window: Window,
    array: Array,
    valid: Option<ArrayD<u8>>,
}
