//! What writes to a grid: put, replace, clear, delete, clean.

use super::{Batch, Cleaned, Commit, Overlap};
use crate::array::ArrayView;
use crate::error::Result;
use crate::grid::{CellIndex, Window};
use crate::store::{Grid, Store, unless_dropped};

impl Store {
    /// A batch of puts, to any grids of this store, that are committed together.
    pub fn batch<'a>(&self) -> Batch<'a> {
        Batch::new(self.clone())
    }

    /// [Cleans](Grid::clean) every grid, in the order of their names; says of each what was found
    /// and done. It can be cut short and done again. Grids that are dropped meanwhile are passed
    /// over.
    ///
    /// # Errors
    ///
    /// Those of [`Grid::clean`]; the grids before the one that it names are cleaned.
    pub fn clean(&self) -> Result<Vec<(String, Cleaned)>> {
        let clean = |grid: &Grid| Ok((grid.name(), unless_dropped(grid.clean())?));
        self.grids()?.iter().map(clean).collect()
    }
}

impl Grid {
    /// Puts an array of the grid's cell type into a window of the same shape, durably. Cells
    /// without data (NaN and the nodata value) leave what is there alone;
    /// [`replace`](Self::replace) does not.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if the type, the shape or the window does not fit;
    /// [`AggregatedLevel`](crate::ErrorKind::AggregatedLevel) if the window is coarser than the
    /// grid's base data. Nothing is changed by a put that fails.
    pub fn put<'a>(&self, window: &Window, array: impl Into<ArrayView<'a>>) -> Result<Commit> {
        let mut batch = self.store().batch();
        batch.put(self, window, array)?;
        batch.commit()
    }

    /// Puts an array like [`put`](Self::put), and cells without data too.
    pub fn replace<'a>(&self, window: &Window, array: impl Into<ArrayView<'a>>) -> Result<Commit> {
        let mut batch = self.store().batch();
        batch.replace(self, window, array)?;
        batch.commit()
    }

    /// Puts an array like [`put`](Self::put); what becomes of data that is there already is for
    /// `overlap` to say.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put), and those that [`Overlap`] states.
    pub fn put_over<'a>(
        &self,
        window: &Window,
        array: impl Into<ArrayView<'a>>,
        overlap: Overlap,
    ) -> Result<Commit> {
        let mut batch = self.store().batch();
        batch.put_over(self, window, array, overlap)?;
        batch.commit()
    }

    /// Puts events of the irregular dimension, durably and in one commit: any ticks in any order,
    /// each once, before, between and behind those that are there. `start` is the first cell along
    /// every other axis, in their order, and the array has an event for each tick along the
    /// irregular axis. What becomes of data that an event of the same tick holds already is for
    /// `overlap` to say. An event without any data is an event too.
    ///
    /// ```
    /// use gridstone::{Axis, DType, Dimension, Moment, Overlap, Query, Schema, Store, Structure};
    /// use ndarray::{Array3, array};
    ///
    /// # fn main() -> gridstone::Result<()> {
    /// let space = Dimension::regular("space", [Axis::new("y", 0.0, -1.0, 64), Axis::new("x", 0.0, 1.0, 64)]);
    /// let time = Dimension::irregular("time", "seconds since 2024-01-01", 16, 3600);
    /// let structure = Structure::builder().dimension(time).dimension(space).build()?;
    /// let store = Store::in_memory()?;
    /// let level = store.create("level", Schema::builder(structure, DType::F32).build()?)?;
    ///
    /// let later = Array3::from_elem((2, 10, 20), 1.0_f32);
    /// level.put_events(&[7_211, 3_605], [0, 0], &later, Overlap::Merge)?;
    /// level.put_events(&[-60], [0, 0], &Array3::from_elem((1, 10, 20), 2.0_f32), Overlap::Refuse)?;
    /// assert_eq!(level.events(&Query::all())?, [-60, 3_605, 7_211]);
    ///
    /// let then = level.read(&Query::all().moment(3_600, Moment::Previous).within(7_200))?;
    /// assert_eq!(then.coordinates.map(|of| of.ticks), Some(vec![-60]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if the grid has no irregular dimension, a tick is
    /// given twice, type, shape or place do not fit, or the overlap is refused. Nothing is changed
    /// by a put that fails.
    pub fn put_events<'a>(
        &self,
        ticks: &[i64],
        start: impl Into<CellIndex>,
        array: impl Into<ArrayView<'a>>,
        overlap: Overlap,
    ) -> Result<Commit> {
        let mut batch = self.store().batch();
        batch.put_events(self, ticks, start, array, overlap)?;
        batch.commit()
    }

    /// Removes all data from a window, durably: base data of every level there, whole chunks
    /// without reading them. Of coarser data that lies in the window in part, the cells are first
    /// copied down to the window's level. Where nothing finer is left, coarser data may be put. The
    /// window goes on to count as put; [`delete`](Self::delete) and [`clean`](Self::clean) see to
    /// that.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put), and [`Invalid`](crate::ErrorKind::Invalid) if that would be
    /// more than 2^20 pieces.
    pub fn clear(&self, window: &Window) -> Result<Commit> {
        let mut batch = self.store().batch();
        batch.clear(self, window)?;
        batch.commit()
    }

    /// Removes all data from a window like [`clear`](Self::clear), and takes the window off what
    /// counts as put: where it cuts off one side of [`bounds`](Self::bounds), these and with them
    /// extent and top end there. For rolling windows: what lies outside of the window is not read.
    /// [`compact`](Self::compact) gives the space back to the file system at once.
    pub fn delete(&self, window: &Window) -> Result<Commit> {
        let mut batch = self.store().batch();
        batch.delete(self, window)?;
        batch.commit()
    }

    /// Brings all that the grid remembers down to what it holds: bounds to the chunks that are
    /// there, base levels to those in use, the top to what lies under it, and aggregates up to
    /// date. One small entry a base chunk is read.
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) if others write all the time.
    pub fn clean(&self) -> Result<Cleaned> {
        self.writable()?;
        super::clean::clean(self)
    }

    /// Says whether a window's levels fit the grid's base data, as [`put`](Self::put) would.
    /// Whether there is finer data below is found by the put itself.
    pub fn check(&self, window: &Window) -> Result<()> {
        let state = self.state(self.snapshot()?.as_ref())?;
        super::levels::check_levels(self, state.base.as_ref(), window, true)
    }
}
