//! Typed cells: the element types, and arrays whose element type is known at run time only.

#[cfg_attr(
    not(feature = "geotiff"),
    allow(dead_code, reason = "loops that formats need")
)]
pub(crate) mod block;
mod cells;
mod dtype;
mod number;
mod scatter;
mod validity;
mod view;

pub use cells::Cells;
pub use cells::with_cells;
pub(crate) use cells::with_dtype;
pub use dtype::{Cell, DType};
pub use number::Number;
pub(crate) use scatter::{AnyTile, Bounds, TileMut};
pub use validity::Validity;
#[cfg(any(feature = "geotiff", feature = "netcdf", feature = "zarr"))]
pub(crate) use view::c_order;
pub(crate) use view::in_c_order;
pub use view::{Array, ArrayView, with_view};
