//! Runs of cells along a regular axis that become one, as the hours of a day do.
//!
//! Two neighbours become one, and two of those, so that what is rounded on the way is rounded few
//! times. Each cell weighs by its area, whatever the length of its run. Means are made in doubles
//! and rounded once, at the end.

use std::ops::Range;

use super::chunk::{Chunk, Full};
use super::events::{Pick, Slabs, weave};
use super::rule::{Op, Rule, Weighting};
use super::{Halving, Weighed};
use crate::array::{Cell, Cells, DType, with_cells};
use crate::error::Result;

/// How the cells of a layer become one.
#[derive(Clone, Debug)]
pub(crate) struct Runs {
    rule: Rule,
    made: (DType, f64),
    /// The shape of a chunk, and the axis along which its cells become one.
    shape: Vec<usize>,
    axis: usize,
    full: Full,
}

impl Runs {
    /// For chunks of a layer, of which `full` is the weight of a wholly valid cell.
    pub(crate) fn new(rule: &Rule, (shape, axis): (&[usize], usize), full: Full) -> Self {
        let made = (rule.dtype, rule.fill);
        let rule = if let Op::Mean = rule.op {
            Rule::new(Op::Mean, DType::F64, f64::NAN)
        } else {
            rule.clone()
        };
        Self {
            rule,
            made,
            shape: shape.to_vec(),
            axis,
            full,
        }
    }

    fn slabs(&self) -> Slabs {
        Slabs::new(&self.shape, self.axis)
    }

    fn shape_of(&self, count: usize) -> Vec<usize> {
        let mut shape = self.shape.clone();
        shape[self.axis] = count;
        shape
    }

    /// What base cells are before they become one.
    pub(crate) fn lift(&self, base: &Weighed<'_>) -> Result<Chunk> {
        self.rule.lift(base, &self.shape, self.full)
    }

    /// What cells of the layer are before they become one.
    pub(crate) fn of_layer(&self, mut chunk: Chunk) -> Chunk {
        if chunk.values.dtype() != self.rule.dtype {
            let doubles: Vec<f64> = with_cells!(&chunk.values, |cells| cells
                .iter()
                .map(|cell| cell.to_f64())
                .collect());
            chunk.values = doubles.into();
        }
        chunk
    }

    /// Cells of a chunk as one. The first of them has the number `first` among the `count` of its
    /// run.
    pub(crate) fn part(
        &self,
        chunk: &Chunk,
        cells: Range<usize>,
        (first, count): (usize, usize),
    ) -> Result<Chunk> {
        let picks: Vec<Pick> = cells.clone().map(|cell| Some((0, cell))).collect();
        let mut part = weave(
            &self.rule,
            self.slabs(),
            &[(chunk, self.shape[self.axis])],
            &picks,
            self.full,
        );
        if let Op::Edge {
            axis,
            high,
            kept: true,
        } = self.rule.op
            && axis == self.axis
            && let Some(Cells::F64(away)) = part.state.first_mut()
        {
            let inner: usize = self.shape[axis + 1..].iter().product();
            let far = |cell: usize| {
                (if high {
                    count - 1 - first - cell
                } else {
                    first + cell
                }) as f64
                    / count as f64
            };
            away.chunks_exact_mut(inner)
                .enumerate()
                .for_each(|(run, away)| away.fill(far(run % cells.len())));
        }
        self.joined(part, cells.len())
    }

    /// Parts of one run, in their order, as one.
    pub(crate) fn join(&self, parts: &[Chunk]) -> Result<Option<Chunk>> {
        let sources: Vec<(&Chunk, usize)> = parts.iter().map(|part| (part, 1)).collect();
        let picks: Vec<Pick> = (0..parts.len()).map(|part| Some((part, 0))).collect();
        match parts {
            [] => Ok(None),
            [only] => Ok(Some(only.clone())),
            _ => self
                .joined(
                    weave(&self.rule, self.slabs(), &sources, &picks, self.full),
                    parts.len(),
                )
                .map(Some),
        }
    }

    /// Whether of a run only its first cell counts.
    pub(crate) fn takes_first(&self) -> bool {
        matches!(self.rule.op, Op::Sample)
    }

    /// All cells along the axis as one.
    fn joined(&self, mut chunk: Chunk, mut count: usize) -> Result<Chunk> {
        if self.takes_first() {
            return Ok(weave(
                &self.rule,
                self.slabs(),
                &[(&chunk, count)],
                &[Some((0, 0))],
                self.full,
            ));
        }
        while count > 1 {
            let pairs = count / 2;
            let even: Vec<Pick> = (0..pairs * 2).map(|cell| Some((0, cell))).collect();
            let paired = match count % 2 {
                0 => chunk.clone(),
                _ => weave(
                    &self.rule,
                    self.slabs(),
                    &[(&chunk, count)],
                    &even,
                    self.full,
                ),
            };
            let halving = Halving::merging(&self.shape_of(pairs * 2), self.axis);
            let halved = self.rule.reduce_bins(&paired, &halving, self.full)?;
            let last = (count % 2 == 1).then_some(Some((1, count - 1)));
            let picks: Vec<Pick> = (0..pairs).map(|cell| Some((0, cell))).chain(last).collect();
            chunk = weave(
                &self.rule,
                self.slabs(),
                &[(&halved, pairs), (&chunk, count)],
                &picks,
                self.full,
            );
            count = pairs + count % 2;
        }
        Ok(chunk)
    }

    /// The cells that runs became, one after the other, as the layer has them; runs without any
    /// hold no data.
    pub(crate) fn conclude(&self, runs: &[Option<Chunk>]) -> Chunk {
        let sources: Vec<(&Chunk, usize)> = runs.iter().flatten().map(|run| (run, 1)).collect();
        let mut next = 0..;
        let picks: Vec<Pick> = runs
            .iter()
            .map(|run| {
                run.as_ref()
                    .and_then(|_| next.next())
                    .map(|number| (number, 0))
            })
            .collect();
        let mut chunk = weave(&self.rule, self.slabs(), &sources, &picks, self.full);
        let (dtype, fill) = self.made;
        if chunk.values.dtype() != dtype {
            let held = chunk.weight.as_deref();
            let value = |(cell, value): (usize, &f64)| {
                if held.is_none_or(|held| held[cell] > 0.0) {
                    *value
                } else {
                    fill
                }
            };
            if let Cells::F64(values) = &chunk.values {
                let rounded = values
                    .iter()
                    .enumerate()
                    .map(value)
                    .map(f32::from_f64)
                    .collect::<Vec<f32>>();
                chunk.values = rounded.into();
            }
        }
        chunk
    }

    /// The same with weights that are parts of wholly valid cells: of runs of so many cells.
    pub(crate) fn shares(&self, mut chunk: Chunk, lengths: &[usize]) -> Chunk {
        if self.rule.weighting() == Weighting::Area {
            let inner: usize = self.shape[self.axis + 1..].iter().product();
            let weight = chunk
                .weight
                .get_or_insert_with(|| vec![self.full.0; chunk.values.len()]);
            for (run, weight) in weight.chunks_exact_mut(inner).enumerate() {
                let whole = self.full.0 * lengths[run % lengths.len()].max(1) as f64;
                weight.iter_mut().for_each(|weight| *weight /= whole);
            }
        }
        chunk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(op: Op, dtype: DType, full: f64) -> Runs {
        let fill = if dtype.is_float() { f64::NAN } else { 0.0 };
        Runs::new(&Rule::new(op, dtype, fill), (&[8, 2], 0), Full(full))
    }

    /// What becomes of cells 1..6 of two columns, in two parts.
    fn of(
        op: Op,
        dtype: DType,
        cells: &Cells,
        nodata: Option<f64>,
    ) -> (Vec<f64>, Option<Vec<f64>>) {
        let runs = runs(op, dtype, 2.0);
        let lifted = runs
            .lift(&Weighed::new(cells, nodata, None, Full(2.0)))
            .expect("no fault");
        let parts = [
            runs.part(&lifted, 1..4, (0, 5)),
            runs.part(&lifted, 4..6, (3, 5)),
        ]
        .map(|part| part.expect("no fault"));
        let joined = runs.join(&parts).expect("no fault");
        let chunk = runs.shares(runs.conclude(&[None, joined]), &[3, 5]);
        let all: Vec<f64> = with_cells!(&chunk.values, |cells| cells
            .iter()
            .map(|cell| cell.to_f64())
            .collect());
        assert_eq!(all.len(), 4);
        (
            all[2..].to_vec(),
            chunk.weight.map(|weight| weight[2..].to_vec()),
        )
    }

    #[test]
    fn a_run_is_what_its_cells_are_together() {
        let hole = f32::NAN;
        let cells: Cells = vec![
            9.0, 9.0, 1.0, hole, 2.0, 7.0, 3.0, 7.0, 4.0, hole, 5.0, 7.0, 9.0, 9.0, 9.0, 9.0_f32,
        ]
        .into();
        assert_eq!(
            of(Op::Mean, DType::F32, &cells, None),
            (vec![3.0, 7.0], Some(vec![1.0, 0.6]))
        );
        assert_eq!(
            of(Op::Sum, DType::F64, &cells, None).0,
            [30.0, 42.0],
            "each times its area"
        );
        assert_eq!(of(Op::Count, DType::F64, &cells, None).0, [10.0, 6.0]);
        assert_eq!(
            (
                of(Op::Min, DType::F32, &cells, None).0,
                of(Op::Max, DType::F32, &cells, None).0
            ),
            (vec![1.0, 7.0], vec![5.0, 7.0])
        );
        let edge = |high, kept| {
            of(
                Op::Edge {
                    axis: 0,
                    high,
                    kept,
                },
                DType::F32,
                &cells,
                None,
            )
            .0
        };
        assert_eq!(
            [
                edge(false, true),
                edge(true, true),
                edge(false, false),
                edge(true, false)
            ],
            [[1.0, 7.0], [5.0, 7.0], [1.0, 7.0], [5.0, 7.0]]
        );
        let (std, _) = of(Op::Moments { root: true }, DType::F64, &cells, None);
        assert!(
            (std[0] - 2.0_f64.sqrt()).abs() < 1e-12 && std[1] == 0.0,
            "{std:?}"
        );
        let (first, weight) = of(Op::Sample, DType::F32, &cells, None);
        assert_eq!(
            (first[0], weight),
            (1.0, Some(vec![1.0, 0.0])),
            "the first cell, which holds no data in the second column"
        );
    }

    #[test]
    fn means_of_many_are_rounded_once() {
        let cells: Cells = (0..16)
            .map(|i| 16_777_216.0 + f64::from(i))
            .map(f32::from_f64)
            .collect::<Vec<f32>>()
            .into();
        let runs = runs(Op::Mean, DType::F32, 1.0);
        let lifted = runs
            .lift(&Weighed::new(&cells, None, None, Full(1.0)))
            .expect("no fault");
        let all = runs.conclude(&[Some(runs.part(&lifted, 0..8, (0, 8)).expect("no fault"))]);
        let want = |first: usize| {
            let cells = cells.as_slice::<f32>().unwrap_or_default();
            f32::from_f64((0..8).map(|i| f64::from(cells[2 * i + first])).sum::<f64>() / 8.0)
        };
        assert_eq!(all.values, Cells::from(vec![want(0), want(1)]));
    }
}
