//! What an aggregate is computed by, and of what type it is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::array::DType;
use crate::error::{Error, Result};

/// How the cells under an aggregate cell become one value. NaN and the nodata value never take part; a cell with nothing
/// valid under it is nodata.
///
/// | aggregator | value | type for integer cells | for float cells |
/// |---|---|---|---|
/// | `mean` | the mean weighted by valid area, so the true mean of the valid base cells; accumulated in f64 | float32 up to 16 bits, else float64 | the same |
/// | `min`, `max` | the least, the greatest | the same | the same |
/// | `sum` | the sum, each cell weighted by its area in level-0 cells; integer sums add plain base cells | int64 or uint64, saturating, if every dimension has one base level, else float64 | float64 |
/// | `count` | the valid area in level-0 cells, 0 where there is none; integer counts number the valid base cells | uint64 if every dimension has one base level, else float64 | the same |
/// | `sample` | the first cell along every axis (the top-left one), nodata if that is | the same | the same |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Aggregator {
    /// The mean, weighted by valid area.
    Mean,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The sum, weighted by area.
    Sum,
    /// The valid area.
    Count,
    /// The first cell along every axis.
    Sample,
}

/// What a layer keeps beside its values about how much of a cell is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weighting {
    /// The valid area in level-0 cells.
    Area,
    /// Whether anything is valid.
    Mask,
    /// Nothing: the value says it.
    None,
}

impl Aggregator {
    /// Every aggregator.
    pub const ALL: [Aggregator; 6] =
        [Aggregator::Mean, Aggregator::Min, Aggregator::Max, Aggregator::Sum, Aggregator::Count, Aggregator::Sample];

    /// The name of the aggregator and of its layer.
    pub const fn name(self) -> &'static str {
        match self {
            Aggregator::Mean => "mean",
            Aggregator::Min => "min",
            Aggregator::Max => "max",
            Aggregator::Sum => "sum",
            Aggregator::Count => "count",
            Aggregator::Sample => "sample",
        }
    }

    /// The type of the layer's cells over base cells of a type. `tallies` says that every levelled dimension has one base
    /// level, so that sums and counts are whole numbers of cells.
    pub fn dtype(self, base: DType, tallies: bool) -> DType {
        match self {
            Aggregator::Min | Aggregator::Max | Aggregator::Sample => base,
            Aggregator::Mean if base == DType::F32 || base.size() < 4 => DType::F32,
            Aggregator::Mean => DType::F64,
            Aggregator::Sum if base.is_float() || !tallies => DType::F64,
            Aggregator::Sum if base.is_signed() => DType::I64,
            Aggregator::Sum => DType::U64,
            Aggregator::Count if tallies => DType::U64,
            Aggregator::Count => DType::F64,
        }
    }

    pub(crate) const fn weighting(self) -> Weighting {
        match self {
            Aggregator::Mean => Weighting::Area,
            Aggregator::Min | Aggregator::Max | Aggregator::Sum | Aggregator::Sample => Weighting::Mask,
            Aggregator::Count => Weighting::None,
        }
    }
}

impl fmt::Display for Aggregator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Aggregator {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|aggregator| aggregator.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|a| a.name()).collect();
            Error::invalid(format!("`{text}` is not an aggregator; use one of {}", names.join(", ")))
        })
    }
}
