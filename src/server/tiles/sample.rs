//! The values of a tile's pixels from the cells of a grid.

use super::super::reply::Problem;
use super::super::slice::floor;
use super::place::Places;
use crate::array::{Cell, with_view};
use crate::grid::{Level, Structure};
use crate::{Answer, Resampling};

/// Where pixels lie among the cells of a level, and which cells they take.
#[derive(Clone, Debug)]
pub(super) struct Sampler<'a> {
    pub(super) places: &'a Places,
    pub(super) side: usize,
    pub(super) resampling: Resampling,
    /// How positions in cells follow from coordinates, along y and x.
    pub(super) lines: [AxisLine; 2],
}

/// From coordinates to positions in cells along an axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct AxisLine {
    axis: usize,
    level: Level,
    /// By how many degrees coordinates are turned first.
    turn: f64,
}

impl AxisLine {
    pub(super) fn new(axis: usize, level: Level, turn: f64) -> Self {
        Self { axis, level, turn }
    }

    fn position(&self, structure: &Structure, at: f64) -> f64 {
        structure.position(self.axis, self.level, at + self.turn)
    }
}

/// Half-open ranges of cells along y and x.
pub(super) type CellRanges = [std::ops::Range<i64>; 2];

impl Sampler<'_> {
    /// The positions of all pixels along an axis: 0 is y, 1 is x. One a row or column where they
    /// are on lines.
    fn positions(&self, structure: &Structure, axis: usize) -> Vec<f64> {
        let (Places::Lines { x, y } | Places::Each { x, y }) = self.places;
        let along = if axis == 0 { y } else { x };
        along
            .iter()
            .map(|at| self.lines[axis].position(structure, *at))
            .collect()
    }

    /// The cells that pixels take, of those that there are; `None` if they take none.
    pub(super) fn cells(&self, structure: &Structure, there: &CellRanges) -> Option<CellRanges> {
        // A pixel between cells takes the one on either side.
        let margin = i64::from(self.resampling == Resampling::Bilinear);
        let along = |axis: usize| {
            let there = &there[axis];
            let cells = self.positions(structure, axis).into_iter();
            let cells = cells.filter(|at| at.is_finite()).map(floor);
            let inside =
                cells.filter(|cell| there.start - margin <= *cell && *cell < there.end + margin);
            let (first, last) = inside.fold((i64::MAX, i64::MIN), |(first, last), cell| {
                (first.min(cell), last.max(cell))
            });
            let range = first.saturating_sub(margin).max(there.start)
                ..last.saturating_add(1 + margin).min(there.end);
            (!range.is_empty() && first <= last).then_some(range)
        };
        Some([along(0)?, along(1)?])
    }

    /// Lays the values of an answer, which has these cells or none, where pixels lie in them and
    /// have none yet.
    pub(super) fn lay(
        &self,
        structure: &Structure,
        answer: &Answer,
        cells: &CellRanges,
        out: &mut [f64],
    ) -> Result<(), Problem> {
        if answer.array.shape().contains(&0) {
            return Ok(());
        }
        let wrong = || {
            tracing::error!(shape = ?answer.array.shape(), ?cells, "a tile has other cells");
            Problem::internal()
        };
        let valid = answer.valid();
        let valid = match &valid {
            Some(valid) => Some(valid.as_slice().ok_or_else(wrong)?),
            None => None,
        };
        let width = usize::try_from(cells[1].end - cells[1].start).unwrap_or_default();
        let height = usize::try_from(cells[0].end - cells[0].start).unwrap_or_default();
        with_view!(Array, &answer.array, |array| {
            let array = array.as_slice();
            let array = array.filter(|array| array.len() == width * height);
            let source = Source {
                cells: array.ok_or_else(wrong)?,
                valid,
                width,
                height,
            };
            self.lay_from(structure, &source, [cells[0].start, cells[1].start], out);
        });
        Ok(())
    }

    fn lay_from<T: Cell>(
        &self,
        structure: &Structure,
        source: &Source<'_, T>,
        first: [i64; 2],
        out: &mut [f64],
    ) {
        let (ys, xs) = (self.positions(structure, 0), self.positions(structure, 1));
        let lines = matches!(self.places, Places::Lines { .. });
        let bilinear = self.resampling == Resampling::Bilinear;
        // Positions within the source.
        let within = |at: Vec<f64>, first: i64| -> Vec<f64> {
            at.into_iter().map(|at| at - first as f64).collect()
        };
        let (ys, xs) = (within(ys, first[0]), within(xs, first[1]));
        for row in 0..self.side {
            for col in 0..self.side {
                let pixel = row * self.side + col;
                if !out[pixel].is_nan() {
                    continue;
                }
                let (y, x) = if lines {
                    (ys[row], xs[col])
                } else {
                    (ys[pixel], xs[pixel])
                };
                let value = if bilinear {
                    source.between(y, x)
                } else {
                    source
                        .at(floor(y), floor(x))
                        .filter(|_| y.is_finite() && x.is_finite())
                };
                out[pixel] = value.unwrap_or(f64::NAN);
            }
        }
    }
}

/// Cells of one plane, and which hold data, if not all do.
struct Source<'a, T> {
    cells: &'a [T],
    valid: Option<&'a [bool]>,
    width: usize,
    height: usize,
}

impl<T: Cell> Source<'_, T> {
    /// The value of a cell; `None` where there is none.
    fn at(&self, row: i64, col: i64) -> Option<f64> {
        let (row, col) = (usize::try_from(row).ok()?, usize::try_from(col).ok()?);
        if row >= self.height || col >= self.width {
            return None;
        }
        let number = row * self.width + col;
        let valid = self.valid.is_none_or(|valid| valid[number]);
        valid.then(|| self.cells[number].to_f64())
    }

    /// The value between the centres of the four cells around a position. There is one where the
    /// cell of the position holds data; of the others those count that do.
    fn between(&self, y: f64, x: f64) -> Option<f64> {
        self.at(floor(y), floor(x))?;
        let (top, left) = ((y - 0.5).floor(), (x - 0.5).floor());
        let (down, right) = (y - 0.5 - top, x - 0.5 - left);
        let mut sum = 0.0;
        let mut weights = 0.0;
        for (dy, wy) in [(0, 1.0 - down), (1, down)] {
            for (dx, wx) in [(0, 1.0 - right), (1, right)] {
                let weight = wy * wx;
                if let Some(value) = self.at(floor(top) + dy, floor(left) + dx)
                    && weight > 0.0
                {
                    sum += weight * value;
                    weights += weight;
                }
            }
        }
        (weights > 0.0).then(|| sum / weights)
    }
}
