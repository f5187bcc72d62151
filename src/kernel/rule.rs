//! How a layer is computed: its operation, and the planes that a chunk of it has.

use std::sync::Arc;

use super::custom::{self, Custom};
use super::{Chunk, Full, Halving, Weighed, edge, mode, moments, reduce};
use crate::array::{Cells, DType};
use crate::error::Result;

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
    /// State planes from [`mode::planes`], none of them in a chunk of which every cell is of one
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
    pub(crate) fn new(op: Op, dtype: DType, fill: f64) -> Self {
        let (state, fixed) = match &op {
            Op::Mean | Op::Min | Op::Max | Op::Sum | Op::Count | Op::Sample => (Vec::new(), 0),
            Op::Moments { .. } => (vec![DType::F64], 1),
            Op::Mode { classes } => (mode::planes(dtype, *classes), 0),
            Op::Edge { kept, .. } => (vec![DType::F64; usize::from(*kept)], usize::from(*kept)),
            Op::Custom(custom) => (custom.planes.state.clone(), custom.planes.state.len()),
        };
        Self {
            op,
            dtype,
            fill,
            state,
            fixed,
        }
    }

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

    /// What the layer makes of base cells of a shape before anything is aggregated. `full` is the
    /// weight of a wholly valid one.
    pub(crate) fn lift(&self, base: &Weighed<'_>, shape: &[usize], full: Full) -> Result<Chunk> {
        match &self.op {
            Op::Custom(custom) => custom::lift(custom, self, base, shape, full),
            Op::Moments { .. } => Ok(moments::lift(base.lift(self, full))),
            _ => Ok(base.lift(self, full)),
        }
    }

    /// The part of a parent that a child stands for. `full` is the weight of a wholly valid cell of
    /// the parent.
    pub(crate) fn reduce(&self, child: &Chunk, halving: &Halving, full: Full) -> Result<Chunk> {
        let full = Full(full.0 / halving.children() as f64);
        match &self.op {
            Op::Custom(custom) => custom::reduce(custom, self, child, halving, full),
            Op::Moments { root } => Ok(moments::reduce(*root, child, halving)),
            Op::Mode { classes } => Ok(mode::reduce(*classes, self, child, halving, full)),
            Op::Edge { axis, high, kept } => {
                Ok(edge::reduce((*axis, *high, *kept), self, child, halving))
            }
            _ => Ok(reduce::reduce(self, child, halving)),
        }
    }

    /// A chunk of a shape whose cells are copies of coarser ones, each `part` of the area of the
    /// one it was copied from: what measures an area is divided. `full` is the weight of a wholly
    /// valid cell, after that.
    pub(crate) fn divide(
        &self,
        mut chunk: Chunk,
        shape: &[usize],
        part: f64,
        full: Full,
    ) -> Result<Chunk> {
        let scale = |plane: &mut Cells| {
            if let Cells::F64(plane) = plane {
                plane.iter_mut().for_each(|value| *value *= part);
            }
        };
        if self.weighting() == Weighting::Area {
            chunk
                .weight
                .iter_mut()
                .flatten()
                .for_each(|weight| *weight *= part);
        }
        match &self.op {
            Op::Sum | Op::Count => scale(&mut chunk.values),
            Op::Mode { .. } => mode::areas(&mut chunk.state).for_each(scale),
            Op::Custom(custom) => return custom::divide(custom, self, (&chunk, shape), part, full),
            Op::Mean | Op::Min | Op::Max | Op::Sample | Op::Moments { .. } | Op::Edge { .. } => {}
        }
        Ok(chunk)
    }

    /// Puts parts into their parent: `old` is the parent as it was, all nodata if absent; a part
    /// that is `None` is all nodata. `full` is the weight of a wholly valid cell of the parent.
    pub(crate) fn assemble(
        &self,
        old: Option<Chunk>,
        parts: &[(u8, Option<Chunk>)],
        halving: &Halving,
        full: Full,
    ) -> Chunk {
        reduce::assemble(self, old, parts, halving, full)
    }
}
