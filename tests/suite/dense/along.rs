//! Series of cells along a dimension.

use gridstone::{ErrorKind, Freshness, Grid, Layer, Level, SeriesQuery, Steps};

use super::ground::nums;
use super::look::{within, wrong};
use super::model::Model;
use super::want::want;
use crate::check::{Dice, numbers};

/// Reads a series of cells near places that are hit, and says what is wrong.
pub fn series(grid: &Grid, model: &Model, hot: &[Vec<i64>], dice: &mut Dice) -> Result<(), String> {
    let structure = model.schema.structure();
    let lines: Vec<usize> = (0..structure.dimensions().len())
        .filter(|&d| !structure.dimensions()[d].is_fixed() && structure.axes_of(d).len() == 1)
        .collect();
    if lines.is_empty() || structure.rank() < 2 || model.irregular().is_some() {
        return Ok(());
    }
    let d = dice.pick(&lines);
    let (axis, name) = (structure.axes_of(d).start, structure.dimensions()[d].name());
    // Ground cells, and the world coordinates of their middles.
    let cells: Vec<Vec<i64>> = (0..dice.range(1, 3))
        .map(|_| hot.iter().map(|hot| dice.pick(hot)).collect())
        .collect();
    let world = |cell: &Vec<i64>| {
        let of = |(other, &at): (usize, &i64)| {
            let line = &model.space.lines[other];
            if line.fixed {
                return at as f64;
            }
            let edge = |at| structure.edge(other, Level::new(line.ground).unwrap(), at);
            f64::midpoint(edge(at), edge(at + 1))
        };
        cell.iter()
            .enumerate()
            .filter(|(other, _)| *other != axis)
            .map(of)
            .collect::<Vec<f64>>()
    };
    let mut steps = Steps::all().along(name);
    if dice.chance(50) {
        steps = steps.points(usize::try_from(dice.range(1, 12)).unwrap());
    }
    let freshness = if dice.chance(50) {
        Freshness::Stored
    } else {
        Freshness::Fresh
    };
    let first = SeriesQuery::at(world(&cells[0]))
        .steps(steps)
        .freshness(freshness);
    let query = cells[1..]
        .iter()
        .fold(first, |query, cell| query.and(world(cell)));
    let blame = |what: String| format!("series {query:?}: {what}");
    let series = match grid.series(&query) {
        Ok(series) => series,
        Err(error) if *error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(blame(error.to_string())),
    };
    let levels = numbers(&series.levels);
    let layer = match &series.layer {
        Layer::Base => None,
        Layer::Aggregate(layer) => Some(layer),
    };
    let count = series.edges.len() - 1;
    #[expect(clippy::cast_possible_truncation, reason = "a whole number of cells")]
    let first = structure
        .position(axis, Level::new(levels[d]).unwrap(), series.edges[0])
        .round() as i64;
    let valid: Vec<bool> = series.validity.iter(&series.array).collect();
    let nums = nums(&series.array);
    if nums.len() != cells.len() * count {
        return Err(blame(format!(
            "{} values of {} cells at {count} steps",
            nums.len(),
            cells.len()
        )));
    }
    for (number, got) in nums.into_iter().enumerate() {
        let ground = &cells[number / count];
        let lines = model.space.lines.iter().zip(ground).enumerate();
        let cell: Vec<i64> = lines
            .map(|(other, (line, &at))| {
                if other == axis {
                    first + (number % count) as i64
                } else {
                    line.cell_of(levels[line.dimension], at)
                }
            })
            .collect();
        if within(&series.stale, &cell) {
            continue;
        }
        let lines = model.space.lines.iter().zip(&cell);
        let spans: Vec<_> = lines
            .map(|(line, &cell)| line.span(levels[line.dimension], cell, cell + 1))
            .collect();
        if let Some(wrong) = wrong(&want(model, layer, &spans), got, valid[number], layer) {
            return Err(blame(format!(
                "{layer:?} at {levels:?}: cell {cell:?} {wrong}"
            )));
        }
    }
    Ok(())
}
