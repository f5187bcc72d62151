//! An embedded storage engine for gridded data whose pyramid is never wrong.
//!
//! A service links it, puts arrays anywhere on an unbounded grid, and reads any extent at any
//! resolution. Every put that is acknowledged is durable, and every level equals a recomputation
//! from the data, after any crash; [`Store::verify`] proves it.
//!
//! # What is what
//!
//! | word | meaning | GDAL, Zarr |
//! |---|---|---|
//! | [`Store`] | a directory with many grids; a cheap handle, shared between threads | a folder of files, a hierarchy |
//! | [`Grid`] | one dataset: schema, base data, pyramid | a dataset with overviews, a multiscale group |
//! | [`Schema`] | what is fixed when a grid is made: structure, cell type, nodata, aggregators, codec | creation options, array metadata |
//! | [`Structure`] | dimensions, axes, chunk shape, CRS; converts extents, cells and chunks | geotransform and SRS |
//! | [`Dimension`] | one or more axes that coarsen together: space = (y, x), time = (t); or labels ([Fixed](Dimension::fixed)), or events at odd times ([irregular](Dimension::irregular)) | - |
//! | [`Level`] | 0 is the declared cell size, +1 doubles it; one a dimension | overview level |
//! | [`Window`], [`Extent`] | a half-open box of cells, of the world | window, bounding box |
//! | [`Location`](grid::Location) | the place of one chunk | block or chunk index |
//! | [`Aggregator`](aggregator::Aggregator) | a service's own rule for coarser levels | pixel function |
//! | base, [`Aggregation`] | the cells as they were put; what coarser levels are computed by, a layer each | band; resampling of overviews |
//!
//! # How it stays right
//!
//! A put is split at chunk borders, merged with what is there, and committed as one atomic batch.
//! Under [`Policy::Inline`] the aggregates above it are in that same batch; under
//! [`Policy::Manual`] it holds a *mark* for each of them instead, and [`Grid::aggregate`] consumes
//! marks later, in steps that each are one commit, and under [`Policy::Background`] the store's own
//! threads do; see the [guide] for services. A read tells which part of its answer is stale, or
//! computes that part on the fly ([`Freshness::Fresh`]). Two writers of one chunk never lose an
//! update.
//!
//! # What changed
//!
//! Each commit that changes a grid says so in the same atomic batch. [`Grid::changes_since`] gives
//! these [`Change`]s in order, each once, for caches that drop what is out of date;
//! [`Grid::version`] stands for the answer to a query, as an ETag.
//!
//! # Costs
//!
//! A put into part of a chunk reads and writes the whole chunk, and one chunk a level above it. A
//! commit waits for one disk sync, which concurrent commits share. A batch is held in memory until
//! it is committed, at most 1 GiB of it encoded. A read decodes the chunks it touches, in parallel;
//! those that are read again are kept decoded, in [so many](StoreOptions::chunk_cache) bytes.
//! [`Grid::statistics`] of a region are exact, and read chunks along its boundary only where layers
//! serve what is asked for.
//!
//! # Surprises
//!
//! * The origin sits at one third of the index space, so that data on both sides of it has one top;
//!   choose the origin near the data.
//! * Up to level log2(chunk), cell `j` of a level covers base cells `j * 2^level` on; above, the
//!   lattice is shifted, and a read's [`Answer::extent`] says where its cells lie.
//! * [`Grid::extent`] is the box of all windows that were put, nodata cells included, so that a
//!   file that was put is read back in its own shape.
//! * Base data may be at several levels of one dimension, the one declared
//!   [refinable](Dimension::refinable) (the only levelled one is); of every other it is at the
//!   level of the first put. Finer data over coarser splits the coarse chunk: its cells are copied
//!   down around the new ones. Coarser data over a chunk that holds finer data is refused
//!   ([`AggregatedLevel`](ErrorKind::AggregatedLevel)) until that is [cleared](Grid::clear). Reads
//!   repeat the cells of coarser data.
//! * An integer grid without a nodata value keeps a mask where cells were never put or were
//!   cleared. What stands in such cells of an answer, 0, is no value: [`Answer::valid`] says which
//!   cells hold data, of every layer.
//! * A layer is made of the layer below it, so what does not compose (a median) is refused;
//!   [`Aggregation`] has the table of what there is, with its rules for types, rounding, overflow
//!   and nodata. `mode` is exact up to a stated number of classes a cell, and [`Answer::inexact`]
//!   counts the cells beyond.
//! * Along an [irregular](Dimension::irregular) dimension a window counts ticks at level 0, and
//!   bins of `2^level` ticks above; an answer has the events that there are, and
//!   [`Answer::coordinates`] their ticks. All chunks that a read touches share one list of ticks:
//!   of sensors that never measure at one tick, read a place at a time. Weights are events times
//!   area, so a mean of bins is a mean of events, however they are spread.
//! * A handle of a grid holds on to the data: after a [swap](Store::swap) or a
//!   [rename](Store::rename_grid) it reads and writes what it did before.
//! * One process has a store open for writing at a time; others may [read](Store::open_read_only)
//!   it as it is when they open it.

pub mod adapter;
pub mod array;
pub mod calendar;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod codec;
#[cfg_attr(
    not(feature = "geotiff"),
    allow(dead_code, unused_imports, reason = "what only files need")
)]
pub mod crs;
pub mod federation;
pub mod format;
#[cfg(any(test, feature = "testing"))]
pub mod fuzzing;
pub mod grid;
pub mod guide;
pub mod kv;
pub mod reliability;
#[cfg(feature = "server")]
pub mod server;
pub mod statistics;
pub mod verify;
#[cfg(feature = "wire")]
pub mod wire;

/// Aggregators of a service's own, beside the built-in ones of [`Aggregation`].
pub mod aggregator {
    pub use crate::kernel::{Aggregator, Record, Summary};
}

/// What a verb did, or would do: all but [`Commit`], which is that of a put.
pub mod outcome {
    pub use crate::aggregate::Aggregated;
    pub use crate::copy::Updated;
    pub use crate::writer::{Cleaned, Forecast};
}

/// What is told of stored chunks, and of the last import.
pub mod inspect {
    pub use crate::ledger::LastImport;
    pub use crate::reader::Served;
    pub use crate::store::{ChunkInfo, EncodingInfo};
}

mod aggregate;
#[cfg(not(feature = "testing"))]
mod codec;
mod copy;
mod dirty;
mod error;
mod events;
mod feed;
mod kernel;
mod key;
mod ledger;
mod open;
mod parallel;
mod reader;
mod store;
mod writer;

pub use array::{Array, ArrayView, DType};
pub use codec::{Codec, Filter};
pub use copy::Excerpt;
pub use error::{Error, ErrorKind, Result};
pub use feed::{Change, Changes, Token};
pub use grid::{
    Axis, Depth, Dimension, Extent, Level, Levels, Schema, SchemaBuilder, Shape, Structure,
    StructureBuilder, Window,
};
pub use kernel::{Aggregation, Resampling};
pub use reader::{
    Answer, Coordinates, Explanation, Freshness, Layer, Moment, Query, Series, SeriesQuery, Steps,
    Version,
};
pub use statistics::{Polygon, Stat, Statistics, StatisticsQuery};
pub use store::{Grid, GridStats, Policy, Store, StoreOptions, StoreSnapshot, StoreStats};
pub use writer::{Batch, Commit, Overlap};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
