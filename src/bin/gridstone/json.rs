//! Pieces of JSON, as the library has them, and the same for people.

pub(super) use gridstone::wire::{by_axis, cell, coordinates, extent, levels, nodata, window};

use gridstone::array::Cells;
use gridstone::array::with_cells;
use gridstone::{Axis, Level, Levels, Structure, Window};

/// One cell, for people.
pub(super) fn cell_text(cell: &Cells) -> String {
    let whole = || with_cells!(cell, |cells| cells.first().map(|cell| format!("{cell:?}")));
    let text = if cell.dtype().is_float() {
        cell.first_f64().map(|value| value.to_string())
    } else {
        whole()
    };
    text.unwrap_or_default()
}

/// The level of each levelled dimension, for people: `0`, or `space 0, time 2` if there are
/// several.
pub(super) fn levels_text(structure: &Structure, levels: Levels) -> String {
    let levels: Vec<_> = structure
        .dimensions()
        .iter()
        .zip(levels.iter())
        .filter(|(dimension, _)| !dimension.is_fixed())
        .collect();
    match levels[..] {
        [(_, level)] => level.to_string(),
        _ => levels
            .iter()
            .map(|(dimension, level)| format!("{} {level}", dimension.name()))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// First and one past the last cell of each axis, for people: `y 0:5, x -2:3`; the first and the
/// last event along an irregular one.
pub(super) fn window_text(structure: &Structure, window: &Window) -> String {
    let (start, end) = (window.start(), window.end());
    let events = structure
        .irregular()
        .filter(|dimension| window.levels(structure.dimensions().len())[*dimension] == Level::ZERO);
    let events = events.map(|dimension| structure.axes_of(dimension).start);
    let side = |(number, (axis, (start, end))): (usize, (&Axis, (&i64, &i64)))| match events {
        Some(events) if events == number => {
            format!(
                "{} {} to {}",
                axis.name(),
                axis.shown(*start),
                axis.shown(end.saturating_sub(1))
            )
        }
        _ => format!("{} {start}:{end}", axis.name()),
    };
    structure
        .axes()
        .zip(start.iter().zip(end.iter()))
        .enumerate()
        .map(side)
        .collect::<Vec<_>>()
        .join(", ")
}
