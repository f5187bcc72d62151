//! What of a source target cells are made of that lie somewhere on it.

use std::ops::Range;

use rayon::prelude::*;

use super::places::{CellPlaces, PlacedCell};
use super::resample::ResamplingMethod;

/// Some target cells, and the part of the source that they are made of.
pub(crate) struct PlacedPart {
    /// On the part.
    pub(crate) places: CellPlaces,
    /// Whether its first column follows its last.
    pub(crate) is_round: bool,
    pub(crate) rows: Range<usize>,
    pub(crate) cols: Range<usize>,
}

/// How far target cells that lie over a source reach, x before y.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PlacedReach {
    /// The least of their corners and centres.
    pub(crate) low: [f64; 2],
    /// The greatest.
    pub(crate) high: [f64; 2],
    /// How many source cells the shortest of them is long.
    pub(crate) shortest: [f64; 2],
    /// How many the longest is.
    pub(crate) longest: [f64; 2],
}

impl PlacedReach {
    /// That of no cell.
    pub(crate) const NONE: Self = Self {
        low: [f64::INFINITY; 2],
        high: [f64::NEG_INFINITY; 2],
        shortest: [f64::INFINITY; 2],
        longest: [0.0; 2],
    };

    /// That of cells so long with some points.
    fn of(points: &[[f64; 2]], ratio: [f64; 2]) -> Self {
        let least = |of: [f64; 2], point: &[f64; 2]| [0, 1].map(|axis| of[axis].min(point[axis]));
        let most = |of: [f64; 2], point: &[f64; 2]| [0, 1].map(|axis| of[axis].max(point[axis]));
        Self {
            low: points.iter().fold(Self::NONE.low, least),
            high: points.iter().fold(Self::NONE.high, most),
            shortest: ratio,
            longest: ratio,
        }
    }

    /// That of these cells and others.
    pub(crate) fn joined(self, other: Self) -> Self {
        Self {
            low: [0, 1].map(|axis| self.low[axis].min(other.low[axis])),
            high: [0, 1].map(|axis| self.high[axis].max(other.high[axis])),
            shortest: [0, 1].map(|axis| self.shortest[axis].min(other.shortest[axis])),
            longest: [0, 1].map(|axis| self.longest[axis].max(other.longest[axis])),
        }
    }

    /// The same, if it is that of any.
    pub(crate) fn any(self) -> Option<Self> {
        (self.low[0] <= self.high[0]).then_some(self)
    }

    fn is_over(&self, [least, greatest]: [[f64; 2]; 2]) -> bool {
        (0..2).all(|axis| self.high[axis] >= least[axis] && self.low[axis] <= greatest[axis])
    }
}

impl CellPlaces {
    /// The part of a source of some rows and columns that the cells are made of; `None` if that is
    /// nothing of it.
    pub(crate) fn part(
        self,
        [height, width]: [usize; 2],
        is_round: bool,
        method: ResamplingMethod,
    ) -> Option<PlacedPart> {
        let [low, high] = self.bounds(&|ratio| method.reach(ratio))?;
        let rows = within(low[1], high[1], height)?;
        let is_over = low[0] < 0.0 || high[0] > width as f64;
        let (cols, is_round) = if is_round && is_over {
            (0..width, true)
        } else {
            (within(low[0], high[0], width)?, false)
        };
        Some(PlacedPart {
            places: self.on_part([cols.start, rows.start]),
            is_round,
            rows,
            cols,
        })
    }

    /// How far those cells reach that lie over a box of the source, from its least x and y to its
    /// greatest.
    pub(crate) fn reach_over(&self, source: [[f64; 2]; 2]) -> PlacedReach {
        let of_cell = |number: usize| {
            let centre = self.centres[number];
            let reach = match self.cell(number) {
                Some(PlacedCell {
                    centre,
                    corners: [a, b, c, d],
                    ratio,
                }) => PlacedReach::of(&[centre, a, b, c, d], ratio),
                // What has a centre alone can be the nearest cell. How long it is, is not known.
                None => PlacedReach::of(&[centre], [0.0; 2]),
            };
            if reach.is_over(source) {
                reach
            } else {
                PlacedReach::NONE
            }
        };
        (0..self.centres.len())
            .into_par_iter()
            .with_min_len(4096)
            .map(of_cell)
            .reduce(|| PlacedReach::NONE, PlacedReach::joined)
    }
}

/// The cells around some positions, among so many, and one more at each end.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole numbers within the source"
)]
fn within(low: f64, high: f64, len: usize) -> Option<Range<usize>> {
    let clamped = |position: f64| position.clamp(0.0, len as f64) as usize;
    let cells = clamped(low.floor() - 1.0)..clamped(high.ceil() + 1.0);
    (!cells.is_empty() && high > 0.0 && low < len as f64).then_some(cells)
}
