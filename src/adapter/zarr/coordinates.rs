//! The coordinates of cells along each axis.

use super::layout::{Cells, Layout};
use super::place::Role;

/// The elements of an array of coordinates.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Coordinates {
    Whole(Vec<i64>),
    Number(Vec<f64>),
    Text(Vec<String>),
}

impl Coordinates {
    /// Whole numbers where all are.
    fn of_numbers(numbers: Vec<f64>) -> Self {
        let whole = |number: &f64| number.fract() == 0.0 && number.abs() < 9e15;
        if numbers.iter().all(whole) {
            Self::Whole(numbers.into_iter().map(to_whole).collect())
        } else {
            Self::Number(numbers)
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "whole and below 2^53 by contract"
)]
fn to_whole(number: f64) -> i64 {
    number as i64
}

impl Layout {
    /// Where the cells of an axis lie: the centre of each, the time at which it begins, the tick of
    /// an event, the label.
    pub(super) fn coordinates(&self, level: usize, axis: usize) -> Coordinates {
        match &self.axes[axis].cells {
            Cells::Events(ticks) => Coordinates::Whole(ticks.clone()),
            Cells::Labels(labels) => {
                let numbers = labels.iter().map(|label| label.parse::<f64>());
                match numbers.collect::<Result<Vec<f64>, _>>() {
                    Ok(numbers) => Coordinates::Number(numbers),
                    Err(_) => Coordinates::Text(labels.clone()),
                }
            }
            Cells::Regular if self.role(axis) == Role::Time => {
                let edges = self.edges(level, axis);
                Coordinates::of_numbers(edges[..edges.len() - 1].to_vec())
            }
            Cells::Regular => {
                let (start, step) = self.line(level, axis);
                let cells = 0..self.levels[level].shape[axis];
                let centre = |cell: u64| start + step * (cell as f64 + 0.5);
                Coordinates::Number(cells.map(centre).collect())
            }
        }
    }

    /// Where each step of a time axis begins and ends.
    pub(super) fn bounds(&self, level: usize, axis: usize) -> Coordinates {
        let edges = self.edges(level, axis);
        Coordinates::of_numbers(edges.windows(2).flatten().copied().collect())
    }

    /// Whether an axis has such bounds.
    pub(super) fn has_bounds(&self, axis: usize) -> bool {
        self.axes[axis].cells == Cells::Regular && self.role(axis) == Role::Time
    }

    fn edges(&self, level: usize, axis: usize) -> Vec<f64> {
        let own = &self.levels[level];
        let scale = own.levels[self.structure.dimension_of(axis)];
        let (start, len) = (own.window.start()[axis], own.shape[axis]);
        let edge = |cell: u64| {
            self.structure
                .edge(axis, scale, start.saturating_add_unsigned(cell))
        };
        (0..=len).map(edge).collect()
    }
}

impl Coordinates {
    /// The one chunk of the array.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Coordinates::Whole(numbers) => numbers
                .iter()
                .flat_map(|number| number.to_le_bytes())
                .collect(),
            Coordinates::Number(numbers) => numbers
                .iter()
                .flat_map(|number| number.to_le_bytes())
                .collect(),
            // The codec `vlen-utf8`: how many, then each with its length.
            Coordinates::Text(texts) => {
                let length = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
                let mut out = length(texts.len()).to_vec();
                for text in texts {
                    out.extend(length(text.len()));
                    out.extend(text.as_bytes());
                }
                out
            }
        }
    }
}
