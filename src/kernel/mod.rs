//! Pure functions over cells: copying boxes, halving chunks, resampling.

mod aggregator;
mod boxes;
mod chunk;
mod reduce;
mod resample;
mod spread;

pub use aggregator::Aggregator;
pub(crate) use aggregator::Weighting;
pub(crate) use boxes::{copy_box, fill_box, for_each_row};
pub(crate) use chunk::{Chunk, Full, Weighed};
pub(crate) use reduce::{Halving, assemble, reduce};
pub use resample::Resampling;
pub(crate) use resample::{AxisMap, resample};
pub(crate) use spread::Spreading;
