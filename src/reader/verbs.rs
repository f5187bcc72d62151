//! What reads a grid: read, series, events, and what says how a read is served.

use super::{Answer, Explanation, Layer, Query, Series, SeriesQuery, Served, Version};
use crate::array::DType;
use crate::error::Result;
use crate::store::Grid;

impl Grid {
    /// Reads what a query asks for.
    pub fn read(&self, query: &Query) -> Result<Answer> {
        super::read(self, query)
    }

    /// Reads the values of some cells along one dimension.
    pub fn series(&self, query: &SeriesQuery) -> Result<Series> {
        super::series::read(self, query)
    }

    /// The ticks of the events that a query asks for, rising: those that any chunk under its region
    /// holds, of which no chunk is read; of a moment the events that stand for it, which take the
    /// chunks that could hold them.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub fn events(&self, query: &Query) -> Result<Vec<i64>> {
        super::events(self, query)
    }

    /// The type of the cells of a layer.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) for a layer that the grid does not have, with the
    /// names of those that it has.
    pub fn layer_dtype(&self, layer: &Layer) -> Result<DType> {
        match layer {
            Layer::Base => Ok(self.schema().dtype()),
            Layer::Aggregate(aggregation) => self
                .schema()
                .layer_dtype(aggregation)
                .ok_or_else(|| self.blame(self.no_layer(aggregation))),
        }
    }

    /// What stands for the answer to a query, for the ETag of a tile: while it is the same the
    /// whole answer is, its cells, its place and which parts of it are stale, whatever was done
    /// between two moments, across reopening too. It stays the same as long as the stored chunks
    /// are that the answer is made of, and which of them are out of date. No chunk is read, but to
    /// find the event of a moment.
    ///
    /// It counts whole chunks: a put beside the query's window within one of its chunks changes it
    /// too. With [`Freshness::Fresh`](crate::Freshness::Fresh) it changes once more when
    /// aggregation has caught up with a change.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub fn version(&self, query: &Query) -> Result<Version> {
        super::version::version(self, query)
    }

    /// What [`read`](Self::read) would do, without reading a chunk, but those that tell which event
    /// stands for a moment.
    pub fn explain(&self, query: &Query) -> Result<Explanation> {
        super::explain::explain(self, query)
    }

    /// The stored chunks that serve a query, each with the part of the query's window that it
    /// serves: the optimal set for an extent and a resolution. At each place it is the chunk that
    /// [`read`](Self::read) takes its cells from, as stored: the one at the query's levels, else
    /// the nearest coarser one along the refinable dimension. No place is served twice, but that
    /// steps of several events are made of bins and of what lies below them; where none serves,
    /// there is no data. No chunk is read, but those that tell which event stands for a moment.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub fn serving(&self, query: &Query) -> Result<Vec<Served>> {
        super::serving::serving(self, query)
    }
}
