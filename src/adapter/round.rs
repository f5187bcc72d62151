//! Where columns of longitudes lie among a grid's cells: those that are one place are one cell.

use std::ops::Range;

use super::axes::TOLERANCE;
use crate::error::{Error, Result};
use crate::grid::{Level, Levels, Structure, Window};
use crate::store::Grid;

/// Columns that follow each other in a file and in the grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ColumnRuns {
    /// Columns of the file, in the grid's direction.
    pub(super) columns: Range<u64>,
    /// The cell of the first.
    pub(super) cell: i64,
}

/// How many cells go once round, if a whole number of them does.
#[expect(clippy::cast_possible_truncation, reason = "whole and of at most 2^40")]
fn circle(step: f64, tolerance: f64) -> Option<i64> {
    let cells = (360.0 / step.abs()).round();
    let closes = (cells * step.abs() - 360.0).abs() <= tolerance * step.abs();
    ((1.0..1e12).contains(&cells) && closes).then_some(cells as i64)
}

/// How many cells of a level go once round along an axis of a grid, if it is one of longitudes and
/// a whole number of them does.
pub(super) fn circle_of(structure: &Structure, x: usize, level: Level) -> Option<i64> {
    let axis = structure
        .axes()
        .nth(x)
        .filter(|_| structure.longitude() == Some(x))?;
    circle(axis.step() * level.scale(), TOLERANCE)
}

/// The columns at some levels that the grid has data in, or will have when other windows are put.
pub(super) fn taken(
    grid: &Grid,
    others: &[Window],
    x: usize,
    levels: Levels,
) -> Result<Option<Range<i64>>> {
    let bounds = grid.bounds()?;
    let windows = bounds
        .iter()
        .chain(others)
        .map(|window| grid.structure().cover(window, levels));
    Ok(windows
        .map(|window| window.start()[x]..window.end()[x])
        .reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)))
}

/// The place of the columns of a file: as [`columns`] has it where a `circle` of cells goes once
/// round, else as they are. Only there it is asked what is `taken`.
pub(super) fn laid(
    first: i64,
    len: u64,
    circle: Option<i64>,
    taken: impl FnOnce() -> Result<Option<Range<i64>>>,
    once: impl FnOnce(i64) -> String,
) -> Result<Vec<ColumnRuns>> {
    match circle {
        Some(circle) => columns(first, len, circle, taken()?, once),
        None => Ok(vec![ColumnRuns {
            columns: 0..len,
            cell: first,
        }]),
    }
}

/// The place of `len` columns whose first has the cell `first`, where `circle` cells go once round
/// and the grid has cells from `taken.start` to `taken.end`: turned alike to where they touch what
/// is there, else as they are, else turned alike; and where the grid would go round more than once
/// in each way, each is turned to where the grid has it.
///
/// An [`Invalid`](crate::ErrorKind::Invalid) error if the columns go round more than once; `once`
/// is the command that makes a file with so many.
fn columns(
    first: i64,
    len: u64,
    circle: i64,
    taken: Option<Range<i64>>,
    once: impl FnOnce(i64) -> String,
) -> Result<Vec<ColumnRuns>> {
    let round = circle.unsigned_abs();
    if len > round {
        return Err(Error::invalid(format!(
            "the file has {len} columns, and {circle} go once round: the last are places that the first are too; take them away with `{}`",
            once(circle)
        )));
    }
    let Some(taken) = taken.filter(|taken| !taken.is_empty()) else {
        return Ok(vec![ColumnRuns {
            columns: 0..len,
            cell: first,
        }]);
    };
    let width = taken.end.saturating_sub(taken.start).min(circle);
    let near = first.saturating_sub(taken.start).div_euclid(circle);
    let whole = |turns: i64| first.saturating_add(turns.saturating_mul(circle));
    let reach = |cell: &i64| {
        taken
            .end
            .max(cell.saturating_add_unsigned(len))
            .saturating_sub(taken.start.min(*cell))
    };
    let turned = [0, -near - 1, -near, 1 - near].map(whole);
    let touches =
        |cell: &i64| *cell <= taken.end && cell.saturating_add_unsigned(len) >= taken.start;
    let mut once = turned
        .into_iter()
        .filter(|cell| reach(cell) <= circle)
        .peekable();
    if let Some(first) = once.peek().copied() {
        let cell = once.find(touches).unwrap_or(first);
        return Ok(vec![ColumnRuns {
            columns: 0..len,
            cell,
        }]);
    }
    // What of the grid's line goes round once together with what is taken.
    let (low, high) = (
        taken.start.saturating_add(width).saturating_sub(circle),
        taken.start.saturating_add(circle),
    );
    let turned = |cell: i64| {
        if (low..high).contains(&cell) {
            cell
        } else {
            taken
                .start
                .saturating_add(cell.saturating_sub(taken.start).rem_euclid(circle))
        }
    };
    let mut runs: Vec<ColumnRuns> = Vec::new();
    let mut column = 0;
    while column < len {
        let natural = first.saturating_add_unsigned(column);
        let cell = turned(natural);
        // As far as the next cells are turned alike.
        let bound = if cell == natural {
            high
        } else {
            taken.start.saturating_add(circle)
        };
        let until = bound.abs_diff(cell).max(1);
        let until = if cell != natural && natural < low {
            until.min(low.abs_diff(natural).max(1))
        } else {
            until
        };
        let end = column.saturating_add(until).min(len);
        runs.push(ColumnRuns {
            columns: column..end,
            cell,
        });
        column = end;
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn columns_stay_or_are_turned_where_the_grid_has_them() {
        let of = |first: i64, len: u64, taken: Option<Range<i64>>| {
            columns(first, len, 360, taken, |_| String::new())
                .expect("once round")
                .into_iter()
                .map(|run| (run.columns, run.cell))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(-180, 360, Some(0..360)), [(0..180, 180), (180..360, 0)]);
        assert_eq!(of(0, 360, Some(-180..180)), [(0..180, 0), (180..360, -180)]);
        assert_eq!(of(0, 360, None), [(0..360, 0)]);
        assert_eq!(
            of(-10, 20, Some(0..30)),
            [(0..20, -10)],
            "beside what is there"
        );
        assert_eq!(
            of(350, 10, Some(0..30)),
            [(0..10, -10)],
            "beside what is there too"
        );
        assert_eq!(of(0, 10, Some(350..360)), [(0..10, 360)]);
        assert_eq!(
            of(180, 180, Some(0..180)),
            [(0..180, 180)],
            "as it is where that touches"
        );
        assert_eq!(
            of(200, 10, Some(0..30)),
            [(0..10, 200)],
            "as it is where nothing touches"
        );
        assert_eq!(of(-10, 20, Some(0..360)), [(0..10, 350), (10..20, 0)]);
        let error = columns(0, 361, 360, None, |circle| format!("cut {circle}"))
            .expect_err("more than once round");
        assert!(
            error.to_string().contains("take them away with `cut 360`"),
            "{error}"
        );
        assert_eq!(
            (circle(0.25, 0.01), circle(-2.5, 0.01), circle(0.7, 0.01)),
            (Some(1440), Some(144), None)
        );
    }

    proptest! {
        #[test]
        fn every_column_is_at_its_place_and_the_grid_goes_round_once(
            first in -500_i64..500, len in 1_u64..=36, start in -60_i64..60, width in 1_i64..=36,
        ) {
            let runs = columns(first, len, 36, Some(start..start + width), |_| String::new()).expect("once round");
            let cells: Vec<i64> = runs.iter().flat_map(|run| (0_i64..).zip(run.columns.clone()).map(|(n, _)| run.cell + n)).collect();
            prop_assert_eq!(cells.len() as u64, len);
            for (column, cell) in (0_i64..).zip(&cells) {
                prop_assert_eq!((first + column - cell).rem_euclid(36), 0);
            }
            let low = cells.iter().copied().chain([start]).min().unwrap_or(0);
            let high = cells.iter().copied().chain([start + width - 1]).max().unwrap_or(0);
            prop_assert!(high - low < 36, "{} to {}", low, high);
        }
    }
}
