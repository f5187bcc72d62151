//! Where the cells of a target axis lie on a source axis, and with which weights source cells take
//! part in them.
//!
//! Positions are in source cells: cell `j` covers `j` to `j + 1`, its centre is `j + 0.5`.

/// How near a position is to the edge of a cell that it is taken for, in cells.
pub(super) const SNAP: f64 = 1e-6;

/// How many cells make a kernel wide.
const WIDE: f64 = 65_536.0;

/// The weights of source cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    Bilinear,
    Cubic,
    /// The part of the target cell that each is.
    Area,
    /// The part of each that is in the target cell.
    Parts,
}

impl Kernel {
    /// How far from the centre of a target cell of `ratio` source cells it reaches, in source
    /// cells.
    pub(super) fn reach(self, ratio: f64) -> f64 {
        match self {
            Self::Bilinear => ratio.max(1.0),
            Self::Cubic => 2.0 * ratio.max(1.0),
            Self::Area | Self::Parts => 0.0,
        }
    }

    /// The weight of a cell at a distance, in source cells or in target cells where these are
    /// larger.
    pub(super) fn weight(self, distance: f64) -> f64 {
        let x = distance.abs();
        match self {
            Self::Area | Self::Parts => 0.0,
            Self::Bilinear => (1.0 - x).max(0.0),
            Self::Cubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Cubic if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Self::Cubic => 0.0,
        }
    }
}

/// Consecutive source cells with their weights.
#[derive(Clone, Debug)]
pub(super) struct Taps {
    first: usize,
    weights: Vec<f64>,
}

impl Taps {
    /// Each source cell with its weight.
    pub(super) fn each(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.weights
            .iter()
            .enumerate()
            .filter(|(_, weight)| **weight != 0.0)
            .map(|(at, weight)| (self.first + at, *weight))
    }

    /// The weighted sum of a line of source cells.
    pub(super) fn of(&self, cells: &[f64]) -> f64 {
        self.each().map(|(at, weight)| weight * cells[at]).sum()
    }

    pub(super) fn sum(&self) -> f64 {
        self.weights.iter().sum()
    }
}

/// Where the cells of a target axis lie on a source axis: target cell `i` covers
/// `start + i * ratio` to `start + (i + 1) * ratio`, in source cells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AxisMap {
    pub(crate) start: f64,
    pub(crate) ratio: f64,
    pub(crate) len: usize,
}

impl AxisMap {
    /// Whether every edge of a target cell is one of a source cell.
    pub(crate) fn is_aligned(&self) -> bool {
        let (start, ratio) = (
            self.start - self.start.round(),
            self.ratio - self.ratio.round(),
        );
        self.ratio > 0.5 && start.abs() < SNAP / 2.0 && ratio.abs() * self.len as f64 <= SNAP / 2.0
    }

    /// What is no part of a cell, source or target.
    fn nothing(&self) -> f64 {
        SNAP * self.ratio.min(1.0)
    }

    /// A position, or the edge of a source cell that is as good as there.
    fn snapped(&self, position: f64) -> f64 {
        let edge = position.round();
        if (position - edge).abs() < self.nothing() {
            edge
        } else {
            position
        }
    }

    fn edges(&self, i: usize) -> (f64, f64) {
        (
            self.start + i as f64 * self.ratio,
            self.start + (i + 1) as f64 * self.ratio,
        )
    }

    /// The source cell that holds the centre of a target cell, if it is one of `0..source`.
    pub(super) fn holds_centre(&self, i: usize, source: usize) -> Option<usize> {
        let (low, high) = self.edges(i);
        let cell = self.snapped((low + high) / 2.0).floor();
        (cell >= 0.0 && cell < source as f64).then(|| index(cell))
    }

    /// The source cells, of those in `0..source`, that each target cell is made of.
    pub(super) fn all_taps(&self, source: usize, kernel: Kernel) -> Vec<Taps> {
        (0..self.len)
            .map(|i| self.taps(i, source, kernel))
            .collect()
    }

    /// The source cells that a target cell is made of, with their weights. Those of the whole
    /// kernel add up to one, but for parts. Cells outside `0..source` are left out.
    fn taps(&self, i: usize, source: usize, kernel: Kernel) -> Taps {
        let (low, high) = self.edges(i);
        let (centre, scale) = ((low + high) / 2.0, self.ratio.max(1.0));
        let (low, high) = (self.snapped(low), self.snapped(high));
        let (from, to) = match kernel {
            Kernel::Area | Kernel::Parts => (low.floor(), high.ceil()),
            _ => (
                (centre - kernel.reach(self.ratio)).floor(),
                (centre + kernel.reach(self.ratio)).ceil(),
            ),
        };
        let weight = |j: f64| {
            let weight = match kernel {
                Kernel::Area | Kernel::Parts => (high.min(j + 1.0) - low.max(j)).max(0.0),
                _ => kernel.weight((j + 0.5 - centre) / scale),
            };
            if weight.abs() < self.nothing() / 2.0 {
                0.0
            } else {
                weight
            }
        };
        let whole = match kernel {
            Kernel::Area => high - low,
            Kernel::Parts => 1.0,
            // Of a wide kernel it is its integral.
            _ if to - from > WIDE => scale,
            _ => (0..index(to - from))
                .map(|at| weight(from + at as f64))
                .sum(),
        };
        let clamp = |value: f64| index(value.clamp(0.0, source as f64));
        let first = clamp(from);
        Taps {
            first,
            weights: (first..clamp(to))
                .map(|j| weight(j as f64) / whole)
                .collect(),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number of cells, of at most an axis or a kernel; 0 if it is none"
)]
fn index(cell: f64) -> usize {
    cell as usize
}
