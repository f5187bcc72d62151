//! Keys of a hierarchy, and what they stand for.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::Format;
use super::layout::{ArrayAxis, AxisCells, Layout};
use crate::error::Result;
use crate::grid::Window;
use crate::store::{ChunkInfo, Grid};

/// What is not metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A chunk of cells, by its number along each axis.
    Cells { level: usize, index: Vec<u64> },
    /// The chunk that says which of these hold data.
    Valid { level: usize, index: Vec<u64> },
    /// The coordinates along an axis.
    Coordinates { level: usize, axis: usize },
    /// Where the steps of a time axis begin and end.
    Bounds { level: usize, axis: usize },
}

impl Key {
    /// What a key stands for; `None` if it is none of the hierarchy's.
    pub(super) fn parse(key: &str, layout: &Layout, format: Format) -> Option<Self> {
        let mut parts = key.split('/');
        let level = usize::try_from(number(parts.next()?)?).ok()?;
        if level >= layout.levels.len() {
            return None;
        }
        let array = parts.next()?;
        if format == Format::V3 && parts.next()? != "c" {
            return None;
        }
        let index = parts.map(number).collect::<Option<Vec<u64>>>()?;
        let is_within = || {
            let chunks = layout.chunks(level);
            index.len() == chunks.len() && index.iter().zip(&chunks).all(|(at, len)| at < len)
        };
        if array == layout.name {
            return is_within().then_some(Self::Cells { level, index });
        }
        if layout.masked && array.strip_suffix("_valid") == Some(&layout.name) {
            return is_within().then_some(Self::Valid { level, index });
        }
        let (name, is_bounds) = match array.strip_suffix("_bnds") {
            Some(name) => (name, true),
            None => (array, false),
        };
        let axis_of = |name: &str| layout.axes.iter().position(|axis| axis.axis.name() == name);
        if let Some(axis) = axis_of(array) {
            return (index == [0]).then_some(Self::Coordinates { level, axis });
        }
        let axis = axis_of(name).filter(|axis| is_bounds && layout.has_bounds(*axis))?;
        (index == [0, 0]).then_some(Self::Bounds { level, axis })
    }

    /// The text of it.
    pub(super) fn text(&self, layout: &Layout, format: Format) -> String {
        let c = if format == Format::V3 { "c/" } else { "" };
        let joined = |index: &[u64]| {
            let numbers: Vec<String> = index.iter().map(u64::to_string).collect();
            numbers.join("/")
        };
        let axis_name = |axis: usize| layout.axes[axis].axis.name();
        match self {
            Self::Cells { level, index } => {
                format!("{level}/{}/{c}{}", layout.name, joined(index))
            }
            Self::Valid { level, index } => {
                format!("{level}/{}_valid/{c}{}", layout.name, joined(index))
            }
            Self::Coordinates { level, axis } => format!("{level}/{}/{c}0", axis_name(*axis)),
            Self::Bounds { level, axis } => format!("{level}/{}_bnds/{c}0/0", axis_name(*axis)),
        }
    }
}

/// A whole number, written in the one way that there is.
fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// The keys of all chunks of cells under which there are base chunks.
pub(super) fn chunks(grid: &Grid, layout: &Layout, format: Format) -> Result<Vec<String>> {
    let base = grid.base_chunks()?;
    let mut keys = Vec::new();
    for level in 0..layout.levels.len() {
        let mut found: BTreeSet<Vec<u64>> = BTreeSet::new();
        for chunk in &base {
            if let Some(ranges) = touched(layout, level, chunk) {
                add_product(&ranges, &mut Vec::new(), &mut found);
            }
        }
        for index in found {
            if layout.masked {
                let index = index.clone();
                keys.push(Key::Valid { level, index }.text(layout, format));
            }
            keys.push(Key::Cells { level, index }.text(layout, format));
        }
    }
    Ok(keys)
}

/// The chunks of a level that a base chunk touches: their numbers along each axis.
fn touched(layout: &Layout, level: usize, base: &ChunkInfo) -> Option<Vec<RangeInclusive<u64>>> {
    let structure = &layout.structure;
    let own = &layout.levels[level];
    let window = structure.cover(&structure.chunk_window(&base.location), own.levels);
    // Along an irregular dimension ticks say which.
    let irregular = layout
        .axes
        .iter()
        .position(|axis| matches!(axis.cells, AxisCells::Events(_)));
    let window = irregular.map_or(window, |axis| {
        let ticks = &own.window;
        window.along(axis, ticks.start()[axis], ticks.shape()[axis])
    });
    let met: Window = structure.intersection(&window, &own.window)?;
    let (first, end) = (met.start(), met.end());
    let of_axis = |(number, axis): (usize, &ArrayAxis)| {
        let cells = match (&axis.cells, &base.ticks) {
            (AxisCells::Events(ticks), Some(held)) => {
                let places = held
                    .iter()
                    .filter_map(|tick| ticks.binary_search(tick).ok());
                let (least, most) = places.fold((usize::MAX, 0), |(least, most), at| {
                    (least.min(at), most.max(at))
                });
                if least > most {
                    return None;
                }
                least as u64..=most as u64
            }
            (AxisCells::Events(ticks), None) => 0..=(ticks.len() as u64 - 1),
            _ => {
                let from = own.window.start()[number];
                first[number].abs_diff(from)..=(end[number].abs_diff(from) - 1)
            }
        };
        Some(cells.start() / axis.chunk..=cells.end() / axis.chunk)
    };
    layout.axes.iter().enumerate().map(of_axis).collect()
}

fn add_product(
    ranges: &[RangeInclusive<u64>],
    begun: &mut Vec<u64>,
    found: &mut BTreeSet<Vec<u64>>,
) {
    let Some((first, rest)) = ranges.split_first() else {
        found.insert(begun.clone());
        return;
    };
    for number in first.clone() {
        begun.push(number);
        add_product(rest, begun, found);
        begun.pop();
    }
}

/// The keys of coordinates.
pub(super) fn coordinates(layout: &Layout, format: Format) -> Vec<String> {
    let mut keys = Vec::new();
    for level in 0..layout.levels.len() {
        for axis in 0..layout.axes.len() {
            keys.push(Key::Coordinates { level, axis }.text(layout, format));
            if layout.has_bounds(axis) {
                keys.push(Key::Bounds { level, axis }.text(layout, format));
            }
        }
    }
    keys
}
