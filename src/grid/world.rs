//! Between cells and world coordinates.

use super::level::{Level, Levels};
use super::structure::{Structure, saturate};
use super::tuple::Shape;
use super::window::{Extent, Window};
use crate::error::{Error, Result};

impl Structure {
    /// The part of a level-0 cell by which the cells of a level lie before multiples of their size.
    /// 0 up to log2(chunk).
    fn lattice_shift(&self, d: usize, a: usize, level: Level) -> i128 {
        if level.get() > 0 {
            self.dimensions()[d].zero(a, Level::ZERO) & ((1 << level.get()) - 1)
        } else {
            0
        }
    }

    /// Where an edge between cells lies along an axis: cell `cell - 1` of a level ends and cell
    /// `cell` begins.
    pub fn edge(&self, axis: usize, level: Level, cell: i64) -> f64 {
        let (d, a) = self.place(axis);
        let axis = &self.dimensions()[d].axes()[a];
        let position = if level.get() >= 0 {
            ((i128::from(cell) << level.get()) - self.lattice_shift(d, a, level)) as f64
        } else {
            cell as f64 * level.scale()
        };
        axis.world(position)
    }

    /// The box of the world that a window stands for.
    pub fn extent(&self, window: &Window) -> Extent {
        let levels = window.levels(self.dimensions().len());
        let (start, end) = (window.start(), window.end());
        Extent::new((0..self.rank()).map(|axis| {
            let level = levels[self.dimension_of(axis)];
            (
                self.edge(axis, level, start[axis]),
                self.edge(axis, level, end[axis]),
            )
        }))
    }

    /// The position of a world coordinate along an axis, in cells of a level: cell `j` covers `j`
    /// to `j + 1`.
    pub fn position(&self, axis: usize, level: Level, world: f64) -> f64 {
        let (d, a) = self.place(axis);
        (self.dimensions()[d].axes()[a].position(world) + self.lattice_shift(d, a, level) as f64)
            / level.scale()
    }

    /// The smallest window at some levels that covers a box of the world. Bounds within a millionth
    /// of a cell of a cell edge count as that edge. Fixed dimensions: bounds are positions among
    /// the labels.
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if the box has other axes, is not finite, or leaves
    /// the index space.
    pub fn window(&self, extent: &Extent, levels: Levels) -> Result<Window> {
        self.check_levels(levels)?;
        if extent.bounds().len() != self.rank() {
            return Err(Error::invalid(format!(
                "an extent of {} bounds does not fit {} axes",
                extent.bounds().len(),
                self.rank()
            )));
        }
        let mut start = vec![0; self.rank()];
        let mut shape = vec![0; self.rank()];
        for (axis, &(lower, upper)) in extent.bounds().iter().enumerate() {
            let (d, a) = self.place(axis);
            let name = self.dimensions()[d].axes()[a].name();
            if !lower.is_finite() || !upper.is_finite() {
                return Err(Error::invalid(format!(
                    "the extent is not finite along axis `{name}`"
                )));
            }
            let (p, q) = (
                self.position(axis, levels[d], lower),
                self.position(axis, levels[d], upper),
            );
            let (first, last) = ((p.min(q) + 1e-6).floor(), (p.max(q) - 1e-6).ceil());
            let last = last.max(first + 1.0);
            if first.abs() > 1e18 || last.abs() > 1e18 {
                return Err(Error::invalid(format!(
                    "the extent {lower} to {upper} along axis `{name}` is outside the index space"
                )));
            }
            start[axis] = saturate(exact(first));
            shape[axis] = u64::try_from(exact(last - first)).unwrap_or(u64::MAX);
        }
        let window = Window::new(start.as_slice(), Shape::from(shape.as_slice())).at(levels);
        self.check(&window)?;
        Ok(window)
    }
}

/// A whole number of at most 1e18 as an integer.
#[expect(
    clippy::cast_possible_truncation,
    reason = "whole and of at most 1e18 by contract"
)]
fn exact(value: f64) -> i128 {
    value as i128
}
