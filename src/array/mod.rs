//! Typed cells: the element types, and arrays whose element type is known at run time only.

mod cells;
mod dtype;
mod number;
mod scatter;
mod validity;
mod view;

pub use cells::Cells;
pub(crate) use cells::{with_cells, with_dtype};
pub use dtype::{Cell, DType};
pub use number::Number;
pub use scatter::{AnyTile, Bounds, Tile};
pub use validity::Validity;
pub(crate) use view::with_view;
pub use view::{Array, ArrayView};
