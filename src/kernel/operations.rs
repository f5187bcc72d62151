//! What each operation does with the cells of a layer: the one place that knows them all.

use super::rule::{Op, Rule, Weighting};
use super::{Chunk, Full, Halving, Weighed, custom, edge, mode, moments, reduce};
use crate::array::{Cells, DType};
use crate::error::Result;

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

    /// A chunk of so many cells without data.
    pub(crate) fn blank(&self, cells: usize) -> Chunk {
        let plane = |dtype: &DType| Cells::filled(*dtype, cells, 0.0);
        Chunk {
            values: Cells::filled(self.dtype, cells, self.fill),
            state: self.state[..self.fixed].iter().map(plane).collect(),
            weight: (self.weighting() != Weighting::None).then(|| vec![0.0; cells]),
        }
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
