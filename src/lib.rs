//! An embedded storage engine for gridded data whose pyramid is never wrong.

pub mod codec;
pub mod kv;

mod array;
mod error;

pub use array::{Array, ArrayView, Bounds, Cell, Cells, DType, ScatterError, Tile};
pub use error::{Error, ErrorKind, Result};
