//! The coordinates of cells along each axis.

use super::layout::{AxisCells, Layout};
use super::place::Role;
use crate::adapter::cf;

/// What the elements of an array of coordinates are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ElementKind {
    Whole,
    Number,
    Text,
}

/// The elements of an array of coordinates.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum AxisCoordinates {
    Whole(Vec<i64>),
    Number(Vec<f64>),
    Text(Vec<String>),
}

impl Layout {
    /// What the coordinates along an axis are. The bounds of times are of the same kind.
    pub(super) fn kind(&self, level: usize, axis: usize) -> ElementKind {
        match &self.axes[axis].cells {
            AxisCells::Events(_) => ElementKind::Whole,
            AxisCells::Labels(labels) if cf::numbers(labels).is_some() => ElementKind::Number,
            AxisCells::Labels(_) => ElementKind::Text,
            AxisCells::Regular if self.role(axis) == Role::Time => {
                let (start, step) = self.line(level, axis);
                let end = start + step * self.levels[level].shape[axis] as f64;
                let is_whole = |number: f64| number.fract() == 0.0 && number.abs() < 9e15;
                if [start, step, end].into_iter().all(is_whole) {
                    ElementKind::Whole
                } else {
                    ElementKind::Number
                }
            }
            AxisCells::Regular => ElementKind::Number,
        }
    }

    /// Where the cells of an axis lie: the centre of each, the time at which it begins, the tick of
    /// an event, the label.
    pub(super) fn coordinates(&self, level: usize, axis: usize) -> AxisCoordinates {
        match &self.axes[axis].cells {
            AxisCells::Events(ticks) => AxisCoordinates::Whole(ticks.clone()),
            AxisCells::Labels(labels) => match cf::numbers(labels) {
                Some(numbers) => AxisCoordinates::Number(numbers),
                None => AxisCoordinates::Text(labels.clone()),
            },
            AxisCells::Regular if self.role(axis) == Role::Time => {
                let mut edges = self.edges(level, axis);
                edges.pop();
                AxisCoordinates::of_times(edges, self.kind(level, axis))
            }
            AxisCells::Regular => {
                let (start, step) = self.line(level, axis);
                let cells = 0..self.levels[level].shape[axis];
                let centre = |cell: u64| start + step * (cell as f64 + 0.5);
                AxisCoordinates::Number(cells.map(centre).collect())
            }
        }
    }

    /// Where each step of a time axis begins and ends.
    pub(super) fn bounds(&self, level: usize, axis: usize) -> AxisCoordinates {
        let edges = self.edges(level, axis);
        let bounds = edges.windows(2).flatten().copied().collect();
        AxisCoordinates::of_times(bounds, self.kind(level, axis))
    }

    /// Whether an axis has such bounds.
    pub(super) fn has_bounds(&self, axis: usize) -> bool {
        self.axes[axis].cells == AxisCells::Regular && self.role(axis) == Role::Time
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

impl AxisCoordinates {
    fn of_times(times: Vec<f64>, kind: ElementKind) -> Self {
        if kind == ElementKind::Whole {
            Self::Whole(times.into_iter().map(whole).collect())
        } else {
            Self::Number(times)
        }
    }

    /// The one chunk of the array.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Whole(numbers) => numbers.iter().flat_map(|of| of.to_le_bytes()).collect(),
            Self::Number(numbers) => numbers.iter().flat_map(|of| of.to_le_bytes()).collect(),
            // The codec `vlen-utf8`: how many, then each with its length.
            Self::Text(texts) => {
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

#[expect(
    clippy::cast_possible_truncation,
    reason = "whole and below 2^53 by contract"
)]
fn whole(number: f64) -> i64 {
    number as i64
}
