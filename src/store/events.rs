//! Verbs of a grid with an irregular dimension.

use super::Grid;
use crate::array::ArrayView;
use crate::error::Result;
use crate::grid::CellIndex;
use crate::reader::{self, Query};
use crate::writer::{Commit, Overlap};

impl Grid {
    /// Puts events of the irregular dimension, durably and in one commit: any ticks in any order, each once, before, between and
    /// behind those that are there. `start` is the first cell along every other axis, in their order, and the array has an event
    /// for each tick along the irregular axis. What becomes of data that an event of the same tick holds already is for `overlap`
    /// to say. An event without any data is an event too.
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
    /// [`Invalid`](crate::ErrorKind::Invalid) if the grid has no irregular dimension, a tick is given twice, type, shape or place
    /// do not fit, or the overlap is refused. Nothing is changed by a put that fails.
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

    /// The ticks of the events that a query asks for, rising: those that any chunk under its region holds. No chunk is read.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub fn events(&self, query: &Query) -> Result<Vec<i64>> {
        reader::events(self, query)
    }
}
