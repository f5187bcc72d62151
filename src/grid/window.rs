//! Boxes of cells, and boxes of the world.

use super::level::Levels;
use super::structure::Structure;
use super::tuple::{CellIndex, Shape};

/// A half-open box of cells at given levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window {
    levels: Option<Levels>,
    start: CellIndex,
    shape: Shape,
}

impl Window {
    /// `shape` cells from `start` on, one number an axis, at level 0 of every dimension.
    ///
    /// Whether it fits a grid is checked where it is used.
    pub fn new(start: impl Into<CellIndex>, shape: impl Into<Shape>) -> Self {
        Self {
            levels: None,
            start: start.into(),
            shape: shape.into(),
        }
    }

    /// The same box of cells at other levels.
    #[must_use]
    pub fn at(mut self, levels: Levels) -> Self {
        self.levels = Some(levels);
        self
    }

    /// The level of each of the grid's `dimensions` dimensions.
    pub fn levels(&self, dimensions: usize) -> Levels {
        self.levels.unwrap_or_else(|| Levels::zero(dimensions))
    }

    /// The first cell along each axis.
    pub fn start(&self) -> CellIndex {
        self.start
    }

    /// Cells along each axis.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// One past the last cell along each axis; saturates at the end of the numbers.
    pub fn end(&self) -> CellIndex {
        self.start
            .iter()
            .zip(self.shape.iter())
            .map(|(start, len)| start.saturating_add_unsigned(*len))
            .collect()
    }

    /// The same box but for one of its axes, along which it has `len` cells from `start` on.
    #[must_use]
    pub fn along(mut self, axis: usize, start: i64, len: u64) -> Self {
        if axis < self.start.len().min(self.shape.len()) {
            (self.start[axis], self.shape[axis]) = (start, len);
        }
        self
    }

    /// The parts, of the same levels, that are not in another window.
    pub(crate) fn without(self, other: &Self) -> Vec<Self> {
        let (mut rest, mut parts) = (self, Vec::new());
        for axis in 0..self.start.len() {
            let (first, end) = (rest.start[axis], rest.end()[axis]);
            let (from, to) = (
                other.start[axis].clamp(first, end),
                other.end()[axis].clamp(first, end),
            );
            if from >= to {
                parts.push(rest);
                return parts;
            }
            let slabs = [(first, from), (to, end)]
                .into_iter()
                .filter(|(first, end)| first < end);
            parts.extend(slabs.map(|(first, end)| rest.along(axis, first, end.abs_diff(first))));
            rest = rest.along(axis, from, to.abs_diff(from));
        }
        parts
    }

    /// How many cells, unless that overflows.
    pub fn cells(&self) -> Option<u64> {
        self.shape
            .iter()
            .try_fold(1_u64, |product, len| product.checked_mul(*len))
    }
}

impl Structure {
    /// The smallest box that holds two windows of the same levels.
    pub fn union(&self, a: &Window, b: &Window) -> Window {
        let start: CellIndex = a
            .start()
            .iter()
            .zip(b.start().iter())
            .map(|(a, b)| *a.min(b))
            .collect();
        let shape = a
            .end()
            .iter()
            .zip(b.end().iter())
            .zip(start.iter())
            .map(|((a, b), start)| a.max(b).abs_diff(*start))
            .collect::<Shape>();
        Window::new(start, shape).at(a.levels(self.dimensions().len()))
    }

    /// The part that two windows of the same levels share.
    pub fn intersection(&self, a: &Window, b: &Window) -> Option<Window> {
        let start: CellIndex = a
            .start()
            .iter()
            .zip(b.start().iter())
            .map(|(a, b)| *a.max(b))
            .collect();
        let shape: Option<Shape> = a
            .end()
            .iter()
            .zip(b.end().iter())
            .zip(start.iter())
            .map(|((a, b), start)| (a.min(b) > start).then(|| a.min(b).abs_diff(*start)))
            .collect::<Option<Vec<_>>>()
            .map(|v| v.into_iter().collect());
        shape.map(|shape| Window::new(start, shape).at(a.levels(self.dimensions().len())))
    }
}

/// A half-open box of the world, in world units: lower and upper bound along each axis, lower first
/// whatever the axis's step.
#[derive(Clone, Debug, PartialEq)]
pub struct Extent {
    bounds: Vec<(f64, f64)>,
}

impl Extent {
    /// A box from lower and upper bounds, one pair an axis in the structure's order. A reversed
    /// pair is turned round.
    pub fn new(bounds: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self {
            bounds: bounds
                .into_iter()
                .map(|(a, b)| if a <= b { (a, b) } else { (b, a) })
                .collect(),
        }
    }

    /// Lower and upper bound along each axis.
    pub fn bounds(&self) -> &[(f64, f64)] {
        &self.bounds
    }
}
