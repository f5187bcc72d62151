//! Typed cells: the element types, and arrays whose element type is known at run time only.

mod cells;
mod dtype;
mod view;

pub use cells::Cells;
pub(crate) use cells::with_cells;
pub(crate) use cells::with_dtype;
pub use dtype::{Cell, DType};
pub(crate) use view::with_view;
pub use view::{Array, ArrayView};
