//! An embedded storage engine for gridded data whose pyramid is never wrong.

#[cfg(feature = "cli")]
extern crate self as gridstone;

pub mod adapter;
#[cfg(feature = "cli")]
pub mod cli;
pub mod codec;
#[cfg(any(test, feature = "testing"))]
pub mod fuzzing;
pub mod kv;

mod aggregate;
mod array;
mod dirty;
mod error;
mod grid;
mod kernel;
mod key;
mod reader;
mod store;
mod verify;
mod writer;

pub use aggregate::Aggregated;
pub use array::{Array, ArrayView, Cell, Cells, DType};
pub use error::{Error, ErrorKind, Result};
pub use grid::{
    Axis, CellIndex, ChunkIndex, Depth, Dimension, DimensionKind, Extent, Level, Levels, Location, MAX_AXES, Piece, Schema,
    SchemaBuilder, Shape, Structure, StructureBuilder, Tuple, Window,
};
pub use kernel::{Aggregator, Resampling};
pub use reader::{Answer, Explanation, Freshness, Layer, Query};
pub use store::{ChunkInfo, Grid, Policy, Store, StoreOptions};
pub use verify::{Damage, Finding, Report};
pub use writer::{Batch, Commit};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
