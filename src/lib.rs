//! An embedded storage engine for gridded data whose pyramid is never wrong.

pub mod adapter;
pub mod kv;

mod array;
mod error;

pub use array::{Array, ArrayView, Cell, Cells, DType};
pub use error::{Error, ErrorKind, Result};
