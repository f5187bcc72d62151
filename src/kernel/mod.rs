//! Pure functions over cells: copying boxes, halving chunks, resampling.

mod aggregation;
mod boxes;
mod chunk;
mod custom;
mod edge;
mod events;
mod halving;
mod mode;
mod moments;
mod operations;
mod picked;
mod placed;
mod placed_part;
mod places;
mod reduce;
mod resample;
mod rule;
mod runs;
mod spread;
mod sum;
mod taps;

pub use aggregation::Aggregation;
pub(crate) use boxes::{copy_box, fill_box, for_each_row};
pub(crate) use chunk::{Chunk, Full, Weighed};
pub use custom::{Aggregator, Record, Summary};
pub(crate) use custom::{Custom, CustomPlanes, STATE_MAX};
pub(crate) use events::{InBin, Pick, Slabs, any_of_event, holds_data, weave};
pub(crate) use halving::Halving;
pub(crate) use mode::{classes, inexact};
pub(crate) use placed::resample_placed;
#[cfg(all(feature = "crs", feature = "geotiff"))]
pub(crate) use placed_part::PlacedPart;
pub(crate) use placed_part::PlacedReach;
pub(crate) use places::{CellPlaces, GlobeColumns};
pub use resample::Resampling;
#[cfg(feature = "geotiff")]
pub(crate) use resample::as_cell;
pub(crate) use resample::{ResampleSource, ResamplingMethod, resample, shaped};
pub(crate) use rule::{Op, Rule, Weighting};
pub(crate) use runs::Runs;
pub(crate) use spread::Spreading;
pub(crate) use sum::Sum;
pub(crate) use taps::AxisMap;
