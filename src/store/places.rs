//! Verbs of a grid that look at which chunk stands where.

use super::Grid;
use crate::error::Result;
use crate::reader::{self, Query, Served};
use crate::statistics::{self, Polygon};
use crate::writer::Commit;

impl Grid {
    /// The stored chunks that serve a query, each with the part of the query's window that it serves: the optimal set for an
    /// extent and a resolution. At each place it is the chunk that [`read`](Self::read) takes its cells from, as stored: the one
    /// at the query's levels, else the nearest coarser one along the refinable dimension. No place is served twice; where none
    /// serves, there is no data. No chunk is read.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub fn serving(&self, query: &Query) -> Result<Vec<Served>> {
        reader::serving(self, query)
    }

    /// Removes all data in a polygon, durably and in one commit, like [`clear`](Self::clear): the base cells whose centres it
    /// holds, at whichever level they stand, and along all axes that are not the polygon's. Whole chunks are not read.
    ///
    /// # Errors
    ///
    /// Those of [`clear`](Self::clear), and [`NotFound`](crate::ErrorKind::NotFound) or [`Invalid`](crate::ErrorKind::Invalid) if
    /// the polygon's axes are not two of one dimension of the grid.
    pub fn clear_polygon(&self, polygon: &Polygon) -> Result<Commit> {
        self.writable()?;
        let windows = statistics::base_windows(self, self.present()?.as_ref(), polygon)?;
        let mut batch = self.store().batch();
        windows.iter().try_for_each(|window| batch.clear(self, window))?;
        batch.commit()
    }
}
