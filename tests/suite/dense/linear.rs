//! Looks at moments between two events.

use gridstone::{Aggregation, Answer, ErrorKind, Freshness, Grid, Layer, Moment, Query, Window};

use super::design::Design;
use super::ground::nums;
use super::look::{reach, validity, wrong};
use super::model::Model;
use super::space::{Span, product};
use super::want::{Want, want};
use crate::check::{Dice, levels, numbers};

/// The events before and after a moment, with the share of the later one.
type Pair = (i64, i64, f64);

/// Reads a moment between events, and says what is wrong.
pub fn look(
    grid: &Grid,
    model: &Model,
    design: &Design,
    (window, freshness): (Window, Freshness),
    dice: &mut Dice,
) -> Result<(), String> {
    let axis = model.irregular().unwrap();
    let dimension = model.space.lines[axis].dimension;
    let tick = dice.pick(&design.hot[axis]) + dice.range(-8, 8);
    let most = if dice.chance(30) {
        Some(dice.pick(&[0, 1, 4, 60]))
    } else {
        None
    };
    let mut at = design.base.clone();
    let layer = (dice.chance(50) && !design.schema.aggregators().is_empty())
        .then(|| dice.pick(design.schema.aggregators()));
    // The first cell of a place can be without data where others hold some.
    let layer = layer.filter(|layer| *layer != Aggregation::Sample);
    for (d, level) in at.iter_mut().enumerate() {
        let fixed = d == dimension || design.schema.structure().dimensions()[d].is_fixed();
        *level += if fixed || layer.is_none() {
            0
        } else {
            i8::try_from(dice.range(0, 2)).unwrap()
        };
    }
    let of = layer.clone().map_or(Layer::Base, Layer::Aggregate);
    let query = Query::window(window)
        .levels(levels(&at))
        .layer(of)
        .freshness(freshness)
        .moment(tick, Moment::Linear);
    let query = most.iter().fold(query, |query, most| query.within(*most));
    let blame = |what: String| format!("{query:?}: {what}");
    // The region can be the window, or the coarser cells that it touches.
    let structure = model.schema.structure();
    let wide = model.space.spans(&structure.cover(&window, levels(&at)));
    let pairs = [model.space.spans(&window), wide].map(|spans| pair(model, spans, tick, most));
    let answer = match grid.read(&query) {
        Ok(answer) => answer,
        Err(error) if *error.kind() == ErrorKind::NotFound => {
            let reach = reach(grid, freshness)?;
            let beyond =
                reach.is_none_or(|reach| !at.iter().zip(&reach).all(|(at, reach)| at <= reach));
            let behind = freshness == Freshness::Stored && layer.is_some();
            let right = beyond || behind || pairs.iter().any(Option::is_none);
            return if right {
                Ok(())
            } else {
                Err(blame(format!("{error}, between {pairs:?}")))
            };
        }
        Err(error) => {
            return Err(blame(format!(
                "{error} {:?}",
                std::error::Error::source(&error)
            )));
        }
    };
    if !answer.stale.is_empty() {
        // It may lie between others.
        return if freshness == Freshness::Stored {
            Ok(())
        } else {
            Err(blame(format!("is stale at {:?}", answer.stale)))
        };
    }
    if answer
        .coordinates
        .as_ref()
        .is_none_or(|along| along.ticks != [tick] || along.axis != axis)
    {
        return Err(blame(format!("it is at {:?}", answer.coordinates)));
    }
    let tries = pairs
        .iter()
        .flatten()
        .map(|pair| compare(&answer, model, (&at, layer.as_ref()), *pair));
    let wrong: Vec<String> = tries.filter_map(Result::err).collect();
    match pairs.iter().flatten().count() {
        0 => Err(blame("no two events are around it".into())),
        count if wrong.len() == count => Err(blame(wrong.join("; or "))),
        _ => Ok(()),
    }
}

/// The nearest events of a region that hold data, at most so far away.
fn pair(model: &Model, mut spans: Vec<Span>, tick: i64, most: Option<u64>) -> Option<Pair> {
    let axis = model.irregular().unwrap();
    let mut holds = |tick: &i64| {
        spans[axis] = (*tick, tick + 1);
        model.ground.any(&model.space, &spans)
    };
    let all = model.space.lines[axis]
        .segments
        .iter()
        .flat_map(|(from, to)| *from..*to);
    let ticks: Vec<i64> = all.filter(|tick| holds(tick)).collect();
    let (before, after) = (
        ticks.iter().rev().find(|at| **at <= tick)?,
        ticks.iter().find(|at| **at >= tick)?,
    );
    let near = |at: &i64| most.is_none_or(|most| at.abs_diff(tick) <= most);
    let share = if before == after {
        0.0
    } else {
        (tick - before) as f64 / (after - before) as f64
    };
    (near(before) && near(after)).then_some((*before, *after, share))
}

fn compare(
    answer: &Answer,
    model: &Model,
    (at, layer): (&[i8], Option<&Aggregation>),
    pair: Pair,
) -> Result<(), String> {
    let axis = model.irregular().unwrap();
    let ranges: Vec<Vec<i64>> = (0..model.space.lines.len())
        .map(|a| {
            let (start, len) = (answer.window.start()[a], answer.array.shape()[a] as i64);
            if a == axis {
                vec![0]
            } else {
                (start..start + len).collect()
            }
        })
        .collect();
    let cells = product(&ranges);
    if cells.len() != answer.array.shape().iter().product::<usize>() {
        return Err(format!("an array of {:?}", answer.array.shape()));
    }
    for ((cell, got), valid) in cells
        .into_iter()
        .zip(nums(&answer.array))
        .zip(validity(answer))
    {
        let at_tick = |tick: i64| {
            let lines = model.space.lines.iter().zip(&cell);
            let mut own: Vec<Span> = lines
                .map(|(line, &cell)| line.span(at[line.dimension].max(line.ground), cell, cell + 1))
                .collect();
            own[axis] = (tick, tick + 1);
            want(model, layer, &own)
        };
        let want = between(&at_tick(pair.0), &at_tick(pair.1), pair, layer);
        if let Some(wrong) = wrong(&want, got, valid, layer) {
            let read = numbers(&answer.window.levels(model.space.dimensions()));
            return Err(format!(
                "between {pair:?} at {read:?} cell {cell:?} {wrong}"
            ));
        }
    }
    Ok(())
}

/// What lies between two values.
fn between(
    low: &Want,
    high: &Want,
    (before, after, share): Pair,
    layer: Option<&Aggregation>,
) -> Want {
    if before == after {
        return low.clone();
    }
    let known = |want: &Want| match want {
        Want::Exactly(num) => Some((num.real(), 0.0)),
        Want::Near(value, slack) => Some((*value, *slack)),
        // Of nothing there is a count too.
        Want::Nothing if layer == Some(&Aggregation::Count) => Some((0.0, 0.0)),
        _ => None,
    };
    match (low, high) {
        (Want::Nothing, _) | (_, Want::Nothing) if layer != Some(&Aggregation::Count) => {
            Want::Nothing
        }
        _ => match (known(low), known(high)) {
            (Some(low), Some(high)) => {
                let most = low.0.abs().max(high.0.abs());
                Want::Near(
                    low.0 * (1.0 - share) + high.0 * share,
                    low.1 + high.1 + most * 1e-6,
                )
            }
            _ => Want::Unknown,
        },
    }
}
