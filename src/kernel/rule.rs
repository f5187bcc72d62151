//! How a layer is computed: its operation, and the planes that a chunk of it has.

use std::sync::Arc;

use super::custom::Custom;
use crate::array::DType;

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

/// What is done to the cells under a cell.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Mean,
    Min,
    Max,
    Sum,
    Count,
    Sample,
    /// The variance, or its square root; one state plane, the mean.
    Moments {
        root: bool,
    },
    /// State planes from [`planes`](super::mode::planes), none of them in a chunk of which every cell is of one
    /// class.
    Mode {
        classes: usize,
    },
    /// The valid value nearest to an end of an axis. `kept` says that there is a state plane for
    /// the distance from that end.
    Edge {
        axis: usize,
        high: bool,
        kept: bool,
    },
    /// A service's own.
    Custom(Arc<Custom>),
}

/// How a layer is computed, and the planes of its chunks.
///
/// Plane 0 holds the values. State planes follow, all of one shape; the first `fixed` of them are
/// always there, the others as far as any cell needs them: those left out at the end are 0
/// throughout. A weight stands between the two kinds, unless every cell is valid throughout and no
/// plane comes behind.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) op: Op,
    /// The type of the values.
    pub(crate) dtype: DType,
    /// What stands in a cell without data.
    pub(crate) fill: f64,
    /// The types of the state planes.
    pub(super) state: Vec<DType>,
    /// How many of them every chunk has.
    pub(super) fixed: usize,
}

impl Rule {
    pub(crate) fn weighting(&self) -> Weighting {
        match self.op {
            Op::Mean | Op::Moments { .. } | Op::Mode { .. } | Op::Custom(_) => Weighting::Area,
            Op::Min | Op::Max | Op::Sum | Op::Sample | Op::Edge { .. } => Weighting::Mask,
            Op::Count => Weighting::None,
        }
    }

    /// The types of the planes of a blob, in order, and how many of them a blob has at least.
    pub(crate) fn planes(&self) -> (Vec<DType>, usize) {
        let weight = match self.weighting() {
            Weighting::Area => Some(DType::F64),
            Weighting::Mask => Some(DType::U8),
            Weighting::None => None,
        };
        let (fixed, rest) = self.state.split_at(self.fixed);
        let planes = std::iter::once(self.dtype)
            .chain(fixed.iter().copied())
            .chain(weight)
            .chain(rest.iter().copied());
        (planes.collect(), 1 + self.fixed)
    }

    /// How many of a chunk's state planes stand before the weight.
    pub(crate) fn fixed(&self) -> usize {
        self.fixed
    }
}
