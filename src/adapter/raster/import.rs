//! A file into a grid.

use std::fs::File;
use std::io::{Read, Seek};

use ndarray::{ArrayViewD, Axis};

use crate::adapter::geotiff::{self, GeoTiff};
use crate::adapter::imported::{Checked, Imported};
use crate::array::{Array, ArrayView, Cell, with_view};
use crate::error::{Error, Result};
use crate::grid::{Level, Window};
use crate::kv::Durability;
use crate::store::Grid;
use crate::writer::{Batch, Overlap};

use super::convert::Conversion;
use super::place::{Placement, place};

/// The cells of one put, in bytes of the wider of the file's and the grid's types.
const WINDOW_BYTES: usize = 48 << 20;

/// A file whose place in a grid is known. See the [module](super).
#[derive(Debug)]
pub struct Import<R = File> {
    grid: Grid,
    tiff: GeoTiff<R>,
    placement: Placement,
    conversion: Conversion,
    overlap: Overlap,
}

impl<R: Read + Seek> Import<R> {
    /// Finds the place of a file in a grid. An [`Invalid`](crate::ErrorKind::Invalid) error says why it has none, and what to
    /// do about it. Only the header is read.
    pub fn new(grid: &Grid, tiff: GeoTiff<R>) -> Result<Self> {
        let placement = place(grid, tiff.header())?;
        grid.check(&placement.window)?;
        let conversion = Conversion::new(grid.schema(), tiff.header())?;
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

    /// The cells of the grid that the file has.
    pub fn window(&self) -> Window {
        self.placement.window
    }

    /// Reads all of the file, and says whether it can be written. `progress` is told how many cells were read.
    pub fn check(&mut self, progress: &mut dyn FnMut(u64)) -> Result<Checked> {
        let mut checked = Checked::default();
        for part in self.plan() {
            let array = self.tiff.read(&part)?;
            checked.nodata_cells += self.conversion.collisions(&array);
            if self.overlap == Overlap::Refuse {
                let array = self.conversion.apply(array)?;
                let mut batch = self.grid.store().batch();
                self.put(&mut batch, &part, &array)?;
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
            let array = self.conversion.apply(self.tiff.read(&part)?)?;
            let durability = if parts.peek().is_some() { Durability::Buffered } else { Durability::Sync };
            let mut batch = self.grid.store().batch().durability(durability);
            self.put(&mut batch, &part, &array)?;
            let commit = batch.commit()?;
            done.chunks += commit.chunks;
            done.aggregates += commit.aggregates;
            done.marks += commit.marks;
            progress(part.shape().iter().map(|len| *len as u64).product());
        }
        Ok(done)
    }

    fn put<'a>(&self, batch: &mut Batch<'a>, part: &geotiff::Window, array: &'a Array) -> Result<()> {
        with_view!(Array, array, |cells| {
            batch.put_over(&self.grid, &self.window_of(part), self.turned(cells.view()), self.overlap)
        })
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

    /// The cells of the grid that a part of the file has.
    fn window_of(&self, part: &geotiff::Window) -> Window {
        let Placement { axes, window, reversed } = self.placement;
        let header = self.tiff.header();
        let (mut start, mut shape) = (window.start(), window.shape());
        let rows = if reversed[0] { header.height - part.rows.end } else { part.rows.start };
        let cols = if reversed[1] { header.width - part.cols.end } else { part.cols.start };
        start[axes.y] = start[axes.y].saturating_add_unsigned(rows as u64);
        start[axes.x] = start[axes.x].saturating_add_unsigned(cols as u64);
        (shape[axes.y], shape[axes.x]) = (part.rows.len() as u64, part.cols.len() as u64);
        if let Some(band) = axes.band {
            start[band] = start[band].saturating_add_unsigned(part.bands.start as u64);
            shape[band] = part.bands.len() as u64;
        }
        Window::new(start, shape).at(window.levels(self.grid.structure().dimensions().len()))
    }

    /// A file's array (band, y, x) with the grid's axes.
    fn turned<'a, T: Cell>(&self, mut cells: ArrayViewD<'a, T>) -> ArrayView<'a> {
        let Placement { axes, reversed, .. } = self.placement;
        for (axis, _) in [1, 2].into_iter().zip(reversed).filter(|(_, reversed)| *reversed) {
            cells.invert_axis(Axis(axis));
        }
        match axes.band {
            None => ArrayView::from(cells.index_axis_move(Axis(0), 0)),
            Some(band) => {
                let mut order = [0; 3];
                (order[band], order[axes.y], order[axes.x]) = (0, 1, 2);
                ArrayView::from(cells.permuted_axes(order.as_slice()))
            }
        }
    }
}
