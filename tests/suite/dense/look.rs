//! One look at a grid, compared with what it must hold.

use gridstone::{
    Aggregation, Answer, Depth, Dimension, ErrorKind, Freshness, Grid, Layer, Level, Policy, Query,
    Shape, Structure, Window,
};

use super::ground::{Num, nums};
use super::model::Model;
use super::want::{Want, want};
use crate::check::{Dice, levels, numbers, window};

/// What is read.
#[derive(Clone, Debug)]
pub struct Look {
    pub window: Window,
    pub layer: Option<Aggregation>,
    pub freshness: Freshness,
}

impl Look {
    pub fn query(&self) -> Query {
        let layer = self.layer.clone().map_or(Layer::Base, Layer::Aggregate);
        Query::window(self.window)
            .layer(layer)
            .freshness(self.freshness)
    }
}

/// How up to date a look is; at times it waits until a commit is aggregated, if somebody
/// aggregates.
pub fn freshness(dice: &mut Dice, commit: Option<u64>) -> Freshness {
    match commit.filter(|_| dice.chance(25)) {
        Some(commit) => Freshness::Wait {
            commit,
            timeout: std::time::Duration::from_secs(60),
        },
        None if dice.chance(50) => Freshness::Stored,
        None => Freshness::Fresh,
    }
}

/// Whether a cell lies in any of some windows of its levels.
pub fn within(windows: &[Window], cell: &[i64]) -> bool {
    let holds = |window: &Window| {
        let sides = window
            .start()
            .iter()
            .copied()
            .zip(window.end().iter().copied())
            .collect::<Vec<_>>();
        cell.iter()
            .zip(sides)
            .all(|(cell, (start, end))| (start..end).contains(cell))
    };
    windows.iter().any(holds)
}

/// The cells of an answer to a window that was not resampled, each with its number. Where they are
/// those of coarser base data they are repeated.
pub fn cells(structure: &Structure, window: &Window, answer: &Answer) -> Vec<(Vec<i64>, Num)> {
    let mut ranges: Vec<Vec<i64>> = window
        .start()
        .iter()
        .zip(window.end().iter())
        .map(|(a, b)| (*a..*b).collect())
        .collect();
    if let Some(along) = &answer.coordinates {
        let dimension = structure.dimension_of(along.axis);
        let level = window.levels(structure.dimensions().len())[dimension];
        ranges[along.axis] = along
            .ticks
            .iter()
            .map(|&tick| bin(structure, along.axis, level, tick))
            .collect();
    }
    let (places, nums) = (super::space::product(&ranges), nums(&answer.array));
    assert_eq!(nums.len(), places.len(), "cells of {window:?}");
    places.into_iter().zip(nums).collect()
}

/// The cell of a level in which a tick lies.
#[expect(clippy::cast_possible_truncation, reason = "small whole numbers")]
pub fn bin(structure: &Structure, axis: usize, level: Level, tick: i64) -> i64 {
    structure.position(axis, level, tick as f64).floor() as i64
}

/// Looks, and says what is wrong.
pub fn look(grid: &Grid, model: &Model, look: &Look) -> Result<(), String> {
    let blame = |what: String| format!("{look:?}: {what}");
    let at = look.window.levels(model.space.dimensions());
    let answer = match grid.read(&look.query()) {
        Ok(answer) => answer,
        Err(error) if *error.kind() == ErrorKind::NotFound => {
            let reach = reach(grid, look.freshness)?;
            return match reach {
                None if model.leaves.is_empty() => Ok(()),
                Some(reach) if !at.iter().zip(&reach).all(|(at, reach)| at.get() <= *reach) => {
                    Ok(())
                }
                _ => Err(blame(format!("{error}, and it reaches {reach:?}"))),
            };
        }
        Err(error) => {
            return Err(blame(format!(
                "{error} {:?}",
                std::error::Error::source(&error)
            )));
        }
    };
    if look.freshness != Freshness::Stored && !answer.stale.is_empty() {
        return Err(blame(format!("is stale at {:?}", answer.stale)));
    }
    differing(&answer, model, look).map_or(Ok(()), |wrong| Err(blame(wrong)))
}

/// The levels up to which a grid can be read: whatever the depth of its dimensions allows, unless
/// what is stored lags behind the top.
pub fn reach(grid: &Grid, freshness: Freshness) -> Result<Option<Vec<i8>>, String> {
    let Some(top) = grid.top().map_err(|e| e.to_string())? else {
        return Ok(None);
    };
    let used = grid.levels_in_use().map_err(|e| e.to_string())?;
    let stored = freshness != Freshness::Fresh;
    // What somebody aggregates unasked may have been there no sooner than now.
    let unasked = grid.store().policy() == Policy::Background;
    let built = match unasked && stored {
        true => None,
        false => grid.reach().map_err(|e| e.to_string())?,
    };
    let lags = unasked || grid.marks().map_err(|e| e.to_string())? > 0;
    Ok(match built.or(used.first().copied()) {
        Some(built) if stored && (built != top.levels() || used.len() > 1 || lags) => {
            Some(numbers(&built))
        }
        _ => used.last().map(|base| summit(grid, &numbers(base))),
    })
}

/// The levels up to which there can be any above those of the base, by the depths of dimensions.
fn summit(grid: &Grid, base: &[i8]) -> Vec<i8> {
    let of = |(dimension, base): (&Dimension, &i8)| match dimension.aggregated() {
        None => 0,
        Some(Depth::Top) => dimension.levels().end().get(),
        Some(Depth::Levels(most)) => base.saturating_add_unsigned(most),
    };
    grid.structure()
        .dimensions()
        .iter()
        .zip(base)
        .map(of)
        .collect()
}

/// Whether each cell of an answer holds data.
pub fn validity(answer: &Answer) -> Vec<bool> {
    answer.validity.iter(&answer.array).collect()
}

/// What is wrong with a cell, if anything.
pub fn wrong(want: &Want, got: Num, valid: bool, layer: Option<&Aggregation>) -> Option<String> {
    let right = match want {
        // Of nothing there is a count too.
        Want::Nothing if layer == Some(&Aggregation::Count) => valid && got.real() == 0.0,
        Want::Nothing => {
            !valid && (!matches!(got, Num::Float(_)) || layer.is_none() || got.real().is_nan())
        }
        Want::Unknown => true,
        _ => valid && want.is_met_by(got),
    };
    (!right).then(|| format!("is {got:?} (valid: {valid}), not {want:?}"))
}

/// The first cell of an answer that is wrong and not said to be stale.
fn differing(answer: &Answer, model: &Model, look: &Look) -> Option<String> {
    let structure = model.schema.structure();
    let cells = cells(structure, &look.window, answer);
    let at = numbers(&look.window.levels(model.space.dimensions()));
    // Cells finer than the finest data are parts of those that were read.
    let read = answer.window.levels(model.space.dimensions());
    for ((cell, got), valid) in cells.iter().zip(validity(answer)) {
        let of = Window::new(
            cell.as_slice(),
            vec![1; cell.len()].into_iter().collect::<Shape>(),
        )
        .at(levels(&at));
        if within(&answer.stale, &structure.cover(&of, read).start()) {
            continue;
        }
        let layer = look.layer.as_ref();
        if let Some(wrong) = wrong(
            &want(model, layer, &model.space.spans(&of)),
            *got,
            valid,
            layer,
        ) {
            return Some(format!("cell {cell:?} {wrong}; stale {:?}", answer.stale));
        }
    }
    None
}

/// All that is kept, as windows of some levels.
pub fn whole(model: &Model, at: &[i8]) -> Vec<Window> {
    let side = |line: &super::space::Line, number: i64| {
        let (from, to) = line.segments[usize::try_from(number).unwrap()];
        let level = at[line.dimension];
        let (first, end) = (line.cell_of(level, from), line.cell_of(level, to - 1) + 1);
        // Where a cell lies in two segments it is the first one's.
        let before = number > 0
            && line.cell_of(
                level,
                line.segments[usize::try_from(number - 1).unwrap()].1 - 1,
            ) >= first;
        (first + i64::from(before), end)
    };
    let choices: Vec<Vec<i64>> = model
        .space
        .lines
        .iter()
        .map(|line| (0..line.segments.len() as i64).collect())
        .collect();
    let windows = super::space::product(&choices)
        .into_iter()
        .filter_map(|choice| {
            let sides: Vec<_> = model
                .space
                .lines
                .iter()
                .zip(choice)
                .map(|(line, number)| side(line, number))
                .collect();
            let start: Vec<i64> = sides.iter().map(|side| side.0).collect();
            let shape: Option<Vec<u64>> = sides
                .iter()
                .map(|side| u64::try_from(side.1 - side.0).ok().filter(|len| *len > 0))
                .collect();
            shape.map(|shape| window(at, &start, &shape))
        });
    windows.collect()
}
