//! Looks along an irregular dimension: events at exact ticks, bins, moments, steps.

use gridstone::{
    Aggregation, Answer, ErrorKind, Freshness, Grid, Layer, Level, Moment, Policy, Query, Window,
};

use super::ground::nums;
use super::linear;
use super::look::{bin, freshness, reach, validity, whole, within, wrong};
use super::model::Model;
use super::region::ground;
use super::resampled;
use super::space::{Span, product};
use super::step::Source;
use super::want::want;
use crate::check::{Dice, levels};

/// Every event that is kept.
pub fn base(grid: &Grid, model: &Model) -> Result<(), String> {
    for window in whole(model, &ground(model)) {
        let at = ground(model);
        let asked = Asked {
            window,
            at,
            layer: None,
            freshness: Freshness::Stored,
            kind: Kind::Region,
        };
        look(grid, model, &asked)?;
    }
    Ok(())
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Region,
    Latest,
    Moment(i64, Moment),
    Every(u64, i64),
}

#[derive(Clone, Debug)]
struct Asked {
    /// At the levels of the events.
    window: Window,
    at: Vec<i8>,
    layer: Option<Aggregation>,
    freshness: Freshness,
    kind: Kind,
}

/// Looks here and there.
pub fn looks(
    grid: &Grid,
    model: &Model,
    source: &Source,
    (number, count, last): (usize, usize, Option<u64>),
    dice: &mut Dice,
) -> Result<(), String> {
    let design = &source.designs[number];
    let axis = model.irregular().unwrap();
    let dimension = model.space.lines[axis].dimension;
    let layers: Vec<_> = design.schema.aggregators().to_vec();
    for _ in 0..count {
        let mut window = source
            .area(dice, number, design.base.clone(), (8, false))
            .window();
        if dice.chance(70) {
            window = window.along(axis, dice.range(-40, 10), dice.next() % 80 + 1);
        }
        let mut kind = dice.pick(&[Kind::Region, Kind::Region, Kind::Region, Kind::Latest]);
        if dice.chance(30) {
            let tick = dice.pick(&design.hot[axis]) + dice.range(-8, 8);
            kind = Kind::Moment(
                tick,
                dice.pick(&[Moment::Nearest, Moment::Previous, Moment::Next]),
            );
        } else if dice.chance(20) && !layers.is_empty() {
            kind = Kind::Every(dice.pick(&[1, 3, 4, 7, 16, 64]), dice.range(-3, 3));
        }
        let mut at = design.base.clone();
        let mut layer = if layers.is_empty() || dice.chance(30) {
            None
        } else {
            Some(dice.pick(&layers))
        };
        if layer.is_some() {
            for (d, level) in at.iter_mut().enumerate() {
                let fixed = design.schema.structure().dimensions()[d].is_fixed()
                    || d == dimension && !matches!(kind, Kind::Region);
                *level += if fixed {
                    0
                } else {
                    i8::try_from(dice.range(0, 3)).unwrap()
                };
            }
        }
        if matches!(kind, Kind::Every(..)) {
            layer = layer.or_else(|| Some(layers[0].clone()));
        }
        let freshness = freshness(dice, last);
        if dice.chance(15) {
            linear::look(grid, model, design, (window, freshness), dice)?;
        }
        if dice.chance(15) {
            resampled::look(grid, model, window, dice)?;
        }
        look(
            grid,
            model,
            &Asked {
                window,
                at,
                layer,
                freshness,
                kind,
            },
        )?;
    }
    Ok(())
}

fn look(grid: &Grid, model: &Model, asked: &Asked) -> Result<(), String> {
    let blame = |what: String| format!("{asked:?}: {what}");
    let layer = asked.layer.clone().map_or(Layer::Base, Layer::Aggregate);
    let mut query = Query::window(asked.window)
        .levels(levels(&asked.at))
        .layer(layer)
        .freshness(asked.freshness);
    query = match asked.kind {
        Kind::Region => query,
        Kind::Latest => query.latest(),
        Kind::Moment(tick, how) => query.moment(tick, how),
        Kind::Every(step, from) => query.every(step, from),
    };
    let answer = match grid.read(&query) {
        Ok(answer) => answer,
        Err(error) if *error.kind() == ErrorKind::NotFound => {
            return absent(grid, model, asked).map_err(|e| blame(format!("{error}: {e}")));
        }
        Err(error) => {
            return Err(blame(format!(
                "{error} {:?}",
                std::error::Error::source(&error)
            )));
        }
    };
    compare(&answer, model, asked).map_err(blame)
}

/// Whether there is a reason that nothing is found.
fn absent(grid: &Grid, model: &Model, asked: &Asked) -> Result<(), String> {
    let reach = reach(grid, asked.freshness)?;
    let (single, of_layer) = (
        !matches!(asked.kind, Kind::Region | Kind::Every(..)),
        asked.layer.is_some(),
    );
    match reach {
        None if model.ground.cells.iter().all(Option::is_none) => Ok(()),
        Some(reach) if !asked.at.iter().zip(&reach).all(|(at, reach)| at <= reach) => Ok(()),
        // Of a stored layer that is behind it cannot be said which part it lacks.
        _ if of_layer
            && asked.freshness == Freshness::Stored
            && grid.store().policy() == Policy::Background =>
        {
            Ok(())
        }
        _ if of_layer
            && asked.freshness == Freshness::Stored
            && grid.marks().map_err(|e| e.to_string())? > 0 =>
        {
            Ok(())
        }
        // The first cell of a place can be without data where others hold some.
        _ if single && asked.layer == Some(Aggregation::Sample) => Ok(()),
        _ if single && candidates(model, asked, true).is_empty() => Ok(()),
        reach => Err(format!(
            "it reaches {reach:?}, and there are events at {:?}",
            candidates(model, asked, true)
        )),
    }
}

/// The ticks at which a cell of the region holds data and that may stand for what is asked.
fn candidates(model: &Model, asked: &Asked, exact: bool) -> Vec<i64> {
    let axis = model.irregular().unwrap();
    let mut spans = if exact {
        model.space.spans(&asked.window)
    } else {
        region(model, asked)
    };
    if matches!(asked.kind, Kind::Latest | Kind::Moment(..)) {
        // Whatever times the region has.
        spans[axis] = (i64::MIN, i64::MAX);
    }
    let holds = |tick: &i64| {
        let mut slab = spans.clone();
        slab[axis] = (*tick, tick + 1);
        (spans[axis].0..spans[axis].1).contains(tick) && model.ground.any(&model.space, &slab)
    };
    let all = model.space.lines[axis]
        .segments
        .iter()
        .flat_map(|(from, to)| *from..*to);
    let ticks: Vec<i64> = all.filter(holds).collect();
    match asked.kind {
        Kind::Moment(at, Moment::Previous) => ticks
            .into_iter()
            .rev()
            .find(|tick| *tick <= at)
            .into_iter()
            .collect(),
        Kind::Moment(at, Moment::Next) => ticks
            .into_iter()
            .find(|tick| *tick >= at)
            .into_iter()
            .collect(),
        Kind::Moment(at, _) => ticks
            .into_iter()
            .min_by_key(|tick| (tick.abs_diff(at), *tick))
            .into_iter()
            .collect(),
        Kind::Latest => ticks.last().copied().into_iter().collect(),
        _ => ticks,
    }
}

/// The ground cells of the region, at the levels that are asked for.
fn region(model: &Model, asked: &Asked) -> Vec<Span> {
    let axis = model.irregular().unwrap();
    let structure = model.schema.structure();
    let at = levels(&asked.at).with(model.space.lines[axis].dimension, Level::ZERO);
    model.space.spans(&structure.cover(&asked.window, at))
}

fn compare(answer: &Answer, model: &Model, asked: &Asked) -> Result<(), String> {
    let axis = model.irregular().unwrap();
    let dimension = model.space.lines[axis].dimension;
    let structure = model.schema.structure();
    let Some(along) = &answer.coordinates else {
        return Err("it has no ticks".into());
    };
    let level = Level::new(asked.at[dimension]).unwrap();
    let spans = region(model, asked);
    let mut shape: Vec<usize> = answer
        .window
        .shape()
        .iter()
        .map(|&len| usize::try_from(len).unwrap())
        .collect();
    shape[axis] = along.ticks.len();
    if answer.array.shape() != shape {
        return Err(format!(
            "an array of {:?}, not {shape:?}",
            answer.array.shape()
        ));
    }
    let rising = along.ticks.windows(2).all(|pair| {
        pair[0]
            .checked_add_unsigned(along.width)
            .is_some_and(|end| end <= pair[1])
    });
    if !rising {
        return Err(format!(
            "bins of {} ticks at {:?}",
            along.width, along.ticks
        ));
    }
    let ranges: Vec<Vec<i64>> = (0..shape.len())
        .map(|a| {
            let start = answer.window.start()[a];
            if a == axis {
                (0..shape[a] as i64).collect()
            } else {
                (start..start + shape[a] as i64).collect()
            }
        })
        .collect();
    let bin = |tick: i64| bin(structure, axis, level, tick);
    for ((cell, got), valid) in product(&ranges)
        .into_iter()
        .zip(nums(&answer.array))
        .zip(validity(answer))
    {
        let tick = along.ticks[usize::try_from(cell[axis]).unwrap()];
        let mut place = cell.clone();
        let stale = (0..along.width.min(1 << 12)).any(|offset| {
            place[axis] = bin(tick.saturating_add_unsigned(offset));
            within(&answer.stale, &place)
        });
        if stale {
            continue;
        }
        let lines = model.space.lines.iter().zip(&cell);
        let mut own: Vec<Span> = lines
            .map(|(line, &cell)| {
                line.span(asked.at[line.dimension].max(line.ground), cell, cell + 1)
            })
            .collect();
        own[axis] = (tick, tick.saturating_add_unsigned(along.width));
        if matches!(asked.kind, Kind::Every(..)) {
            own[axis] = (
                own[axis].0.max(spans[axis].0),
                own[axis].1.min(spans[axis].1),
            );
        }
        let layer = asked.layer.as_ref();
        if let Some(wrong) = wrong(&want(model, layer, &own), got, valid, layer) {
            return Err(format!(
                "at tick {tick} (of {:?}, {} wide) cell {cell:?} {wrong}; stale {:?}",
                along.ticks, along.width, answer.stale
            ));
        }
    }
    let holds = |tick: &i64| {
        along.ticks.iter().any(|start| {
            (0..i128::from(along.width)).contains(&(i128::from(*tick) - i128::from(*start)))
        })
    };
    // The first cell of a place can be without data where others hold some.
    let mut all = if asked.layer == Some(Aggregation::Sample) {
        Vec::new()
    } else {
        candidates(model, asked, false)
    };
    let single = matches!(asked.kind, Kind::Latest | Kind::Moment(..));
    if single && !answer.stale.is_empty() {
        // What is stale may be of an event that is gone.
        return Ok(());
    }
    if single
        && candidates(model, asked, true)
            .iter()
            .any(|tick| along.ticks.contains(tick))
    {
        // The region can be the window, or the coarser cells that it touches.
        all.clear();
    }
    let missed = all.into_iter().find(|tick| {
        let stale = answer
            .stale
            .iter()
            .any(|stale| (stale.start()[axis]..stale.end()[axis]).contains(&bin(*tick)));
        !holds(tick) && !stale
    });
    match missed {
        Some(tick) => Err(format!(
            "the event at {tick} is not in {:?}, {} wide",
            along.ticks, along.width
        )),
        None => Ok(()),
    }
}
