//! What a layer of aggregates is called, and what it holds.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::array::DType;
use crate::error::{Error, Result};

/// How the cells under an aggregate cell become one value: the name of a layer in schemas and
/// queries.
///
/// NaN and the nodata value never take part; a cell with nothing valid under it is nodata. Areas
/// are in level-0 cells.
///
/// | aggregation | value | type for integer cells | for float cells | rounding and overflow |
/// |---|---|---|---|---|
/// | `mean` | the mean weighted by valid area, so the true mean of the valid base cells | float32 up to 16 bits, else float64 | float32, float64 | accumulated in f64, rounded to the type once a level |
/// | `min`, `max` | the least, the greatest; of equal values the first | the same | the same | none |
/// | `sum` | the sum, each cell weighted by its area; integer sums add plain base cells | int64 or uint64 if every dimension has one base level, else float64 | float64 | integers saturate; doubles are rounded once an addition, and an infinity beyond their end stays one in finer parts |
/// | `count` | the valid area, 0 where there is none; integer counts number the valid base cells | uint64 if every dimension has one base level, else float64 | the same | exact up to 2^53 |
/// | `sample` | the first cell along every axis (the top-left one), nodata if that is | the same | the same | none |
/// | `variance`, `std` | the population variance (divided by n, not n - 1) weighted by valid area, its square root | float64 | float64 | Chan's combination in f64; NaN where an infinity takes part, or the squares overflow |
/// | `mode` | the class of the largest valid area; the lowest of equal ones; -0 and 0 are one class | the same | the same | none; see [`Mode`](Self::Mode) |
/// | `first:d`, `last:d` | the valid value at the lowest, the highest coordinate along dimension `d`; of several the first in the order of children | the same | the same | none |
/// | a service's own | what its [`Aggregator`](crate::aggregator::Aggregator) makes | as it says | as it says | integers round half away from zero and saturate |
///
/// A layer is one aggregation along every dimension of the grid: cells of level 2 in space and 3 in
/// time hold the `max` of all base cells under them. A figure along one dimension of another figure
/// along the others (the greatest in a month of daily means over an area) is no layer, since it
/// would depend on which dimension is derived first. It is made from a layer when it is read: the
/// one along one dimension at the base level of the other, which all layers have, and the other
/// over the answer.
///
/// A cell is valid in an aggregate where any base cell under it is; for `sample` where the one
/// chosen is; for a service's own where it gives a value. [`Answer::valid`](crate::Answer::valid)
/// says which are. Where nothing is valid, float layers hold NaN and integer layers the nodata
/// value (0 if the grid has none, or one that the type does not hold); an integer `sum`, which can
/// be that, holds the least int64 or the greatest uint64 in its place; `count` holds 0, which is
/// data. All of it holds at every level: level 3 is made of level 2 as level 1 of the base, and is
/// the same whatever the order of writes and the number of threads, bit for bit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Aggregation {
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
    /// The population variance, weighted by valid area.
    Variance,
    /// The square root of the population variance.
    Std,
    /// The most frequent class by valid area.
    ///
    /// A cell keeps the exact area of each of its classes while there are at most `classes` of
    /// them. Beyond, it keeps the largest by the summary of J. Misra and D. Gries ("Finding
    /// repeated elements", 1982) as merged by P. Agarwal et al. ("Mergeable summaries", 2012): each
    /// area is then short by at most its cell's area / (`classes` + 1).
    /// [`Answer::inexact`](crate::Answer::inexact) counts the cells where another class could be
    /// the true one for that.
    Mode {
        /// How many classes a cell keeps, 1 to [`Aggregation::CLASSES_MAX`].
        classes: u8,
    },
    /// The valid value at the lowest coordinate along a dimension of one axis.
    First {
        /// The name of the dimension.
        dimension: String,
    },
    /// The valid value at the highest coordinate along a dimension of one axis.
    Last {
        /// The name of the dimension.
        dimension: String,
    },
    /// What a service's own [`Aggregator`](crate::aggregator::Aggregator) of that name makes.
    Custom {
        /// The name under which it is registered.
        name: String,
    },
}

/// The aggregations that a name alone stands for.
const PLAIN: [(&str, Aggregation); 9] = [
    ("mean", Aggregation::Mean),
    ("min", Aggregation::Min),
    ("max", Aggregation::Max),
    ("sum", Aggregation::Sum),
    ("count", Aggregation::Count),
    ("sample", Aggregation::Sample),
    ("variance", Aggregation::Variance),
    ("std", Aggregation::Std),
    (
        "mode",
        Aggregation::Mode {
            classes: Aggregation::CLASSES,
        },
    ),
];

/// What is asked for and cannot be had, with the reason and the way out.
const REFUSED: [(&[&str], &str); 3] = [
    (
        &["median", "percentile", "quantile", "mad"],
        "does not compose: of the medians of parts nobody can tell the median of the whole. Compute it from the base cells, or keep `mean`, `std`, `mode`, or `min` and `max`",
    ),
    (
        &["range"],
        "is no layer of its own: keep `min` and `max` and subtract them",
    ),
    (
        &["rms"],
        "is no layer of its own: keep `mean` and `variance`; its square is mean^2 + variance",
    ),
];

impl Aggregation {
    /// The classes that a cell of `mode` keeps unless told otherwise.
    pub const CLASSES: u8 = 8;
    /// The most classes that a cell of `mode` can keep.
    pub const CLASSES_MAX: u8 = 64;

    /// Every aggregation that needs neither a dimension nor a service's own code, `mode` with its
    /// default of classes.
    pub fn plain() -> impl Iterator<Item = Aggregation> {
        PLAIN.into_iter().map(|(_, aggregation)| aggregation)
    }

    /// The layer's type over base cells of a type. `tallies` says that every levelled dimension has
    /// one base level, so that sums and counts are whole numbers of cells. The schema says the type
    /// of a service's own.
    pub(crate) fn dtype(&self, base: DType, tallies: bool) -> DType {
        match self {
            Self::Mean if base == DType::F32 || base.size() < 4 => DType::F32,
            Self::Sum if base.is_float() || !tallies => DType::F64,
            Self::Sum if base.is_signed() => DType::I64,
            Self::Sum => DType::U64,
            Self::Count if tallies => DType::U64,
            Self::Mean | Self::Count | Self::Variance | Self::Std => DType::F64,
            Self::Min
            | Self::Max
            | Self::Sample
            | Self::Mode { .. }
            | Self::First { .. }
            | Self::Last { .. } => base,
            Self::Custom { .. } => base,
        }
    }

    /// The error for a name that stands for nothing.
    pub(crate) fn unknown(name: &str) -> Error {
        Error::invalid(format!(
            "`{name}` is not an aggregation; use one of {}, mode:K, first:DIMENSION, last:DIMENSION",
            PLAIN.map(|(name, _)| name).join(", ")
        ))
    }
}

fn refusal(name: &str) -> Option<&'static str> {
    REFUSED
        .iter()
        .find(|(names, _)| names.contains(&name))
        .map(|(_, why)| *why)
}

impl fmt::Display for Aggregation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First { dimension } => write!(f, "first:{dimension}"),
            Self::Last { dimension } => write!(f, "last:{dimension}"),
            Self::Custom { name } => f.write_str(name),
            Self::Mode { classes } if *classes != Self::CLASSES => write!(f, "mode:{classes}"),
            plain => f.write_str(
                PLAIN
                    .iter()
                    .find(|(_, other)| other == plain)
                    .map_or("", |(name, _)| *name),
            ),
        }
    }
}

impl FromStr for Aggregation {
    type Err = Error;

    /// Reads what `Display` writes: `mean`, `mode:16`, `last:time`. A name that is not built in is
    /// a service's own.
    fn from_str(text: &str) -> Result<Self> {
        if let Some((_, plain)) = PLAIN.into_iter().find(|(name, _)| *name == text) {
            return Ok(plain);
        }
        let (name, argument) = text
            .split_once(':')
            .map_or((text, None), |(name, argument)| (name, Some(argument)));
        if let Some(why) = refusal(name) {
            return Err(Error::invalid(format!("`{name}` {why}")));
        }
        match (name, argument.filter(|argument| !argument.is_empty())) {
            ("first", Some(dimension)) => Ok(Self::First {
                dimension: dimension.to_owned(),
            }),
            ("last", Some(dimension)) => Ok(Self::Last {
                dimension: dimension.to_owned(),
            }),
            ("first" | "last", None) => Err(Error::invalid(format!(
                "`{name}` needs a dimension, such as `{name}:time`"
            ))),
            ("mode", Some(classes)) => {
                let classes = classes
                    .parse()
                    .ok()
                    .filter(|classes| (1..=Self::CLASSES_MAX).contains(classes));
                classes
                    .map(|classes| Self::Mode { classes })
                    .ok_or_else(|| {
                        Error::invalid(format!(
                            "`{text}`: `mode` keeps 1 to {} classes a cell, such as `mode:16`",
                            Self::CLASSES_MAX
                        ))
                    })
            }
            (name, Some(dimension)) if PLAIN.iter().any(|(plain, _)| *plain == name) => {
                Err(Error::invalid(format!(
                    "`{text}`: `{name}` is aggregated along every dimension, in the order in which the dimensions are derived, so that it \
                 is no layer of `{dimension}` alone. Keep `{name}` and read a level of one dimension and the base level of the others; \
                 one figure over time of another over space is read with `gridstone read STORE GRID --layer mean --level L --over-time max`"
                )))
            }
            (_, None) if !text.contains(':') && !["", "base"].contains(&name) => Ok(Self::Custom {
                name: name.to_owned(),
            }),
            _ => Err(Self::unknown(text)),
        }
    }
}
