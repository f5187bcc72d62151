//! Looks at a shape, by the rules that [`Resampling`] has.

use std::collections::BTreeSet;

use gridstone::{
    Aggregation, Answer, ErrorKind, Extent, Freshness, Grid, Layer, Query, Resampling, Window,
};

use super::ground::{Num, limits, nums};
use super::kernels::Mixture;
use super::look::{validity, wrong};
use super::model::Model;
use super::space::{Span, product};
use super::want::{Want, want};
use crate::check::Dice;

/// Where a cell of the answer lies along an axis, in ground cells from cell 0 on.
pub struct Reach {
    pub from: f64,
    pub to: f64,
}

/// What is asked for: a window or a box that ends within cells, at a shape or a resolution.
pub fn draw(model: &Model, mut window: Window, dice: &mut Dice) -> (Query, Vec<usize>) {
    let structure = model.schema.structure();
    if let Some(axis) = model.irregular() {
        window = window.along(axis, dice.range(-40, 10), dice.next() % 80 + 1);
    }
    let fixed = |axis: usize| model.space.lines[axis].fixed || model.irregular() == Some(axis);
    let shape: Vec<usize> = (0..structure.rank())
        .map(|axis| {
            let most = if model.irregular() == Some(axis) {
                1
            } else {
                usize::try_from(window.shape()[axis]).unwrap()
            };
            if fixed(axis) {
                most
            } else {
                usize::try_from(dice.range(1, 2 * most as i64)).unwrap()
            }
        })
        .collect();
    let mut query = Query::window(window);
    let mut sides = structure.extent(&window).bounds().to_vec();
    if dice.chance(50) {
        for (_, (low, high)) in sides
            .iter_mut()
            .enumerate()
            .filter(|(axis, _)| !fixed(*axis))
        {
            let side = *high - *low;
            *low += side * dice.pick(&[0.0, 0.17, 0.25, 0.4375]);
            *high -= side * dice.pick(&[0.0, 0.11, 0.25, 0.375]);
        }
        query = Query::extent(Extent::new(sides.iter().copied()));
    }
    if dice.chance(20) {
        let cells = sides
            .iter()
            .zip(&shape)
            .map(|((low, high), len)| (high - low) / *len as f64);
        let cells: Vec<f64> = cells
            .map(|cell| cell * dice.pick(&[1.0, 0.93, 1.31]))
            .collect();
        return (query.resolution(cells), shape);
    }
    (query.shape(shape.clone()), shape)
}

/// Reads a window at a shape, and says what is wrong.
pub fn look(grid: &Grid, model: &Model, window: Window, dice: &mut Dice) -> Result<(), String> {
    let structure = model.schema.structure();
    let how = dice.pick(&[
        Resampling::Nearest,
        Resampling::Bilinear,
        Resampling::Cubic,
        Resampling::Area,
        Resampling::Area,
    ]);
    let layers = model.schema.aggregators();
    let layer = (dice.chance(50) && !layers.is_empty()).then(|| dice.pick(layers));
    let (query, mut shape) = draw(model, window, dice);
    let mut query = query.resampled(how).freshness(Freshness::Fresh);
    query = layer.iter().fold(query, |query, layer| {
        query.layer(Layer::Aggregate(layer.clone()))
    });
    let blame = |what: String| format!("{query:?}: {what}");
    let answer = match grid.read(&query) {
        Ok(answer) => answer,
        Err(error)
            if *error.kind() == ErrorKind::NotFound
                && model.ground.cells.iter().all(Option::is_none) =>
        {
            return Ok(());
        }
        Err(error) => {
            return Err(blame(format!(
                "{error} {:?}",
                std::error::Error::source(&error)
            )));
        }
    };
    let ticks = answer
        .coordinates
        .as_ref()
        .map(|along| (along.axis, along.ticks.clone(), along.width));
    if ticks.as_ref().is_some_and(|(_, _, width)| *width != 1) {
        return Ok(());
    }
    ticks
        .iter()
        .for_each(|(axis, ticks, _)| shape[*axis] = ticks.len());
    if answer.array.shape() != shape && !format!("{query:?}").contains("Resolution") {
        return Err(blame(format!(
            "it has the shape {:?}",
            answer.array.shape()
        )));
    }
    if !answer.stale.is_empty() {
        return Err(blame(format!("it is stale at {:?}", answer.stale)));
    }
    let read = answer.layer.clone();
    let layer = if let Layer::Aggregate(layer) = &read {
        Some(layer)
    } else {
        None
    };
    let measure = matches!(layer, Some(Aggregation::Sum | Aggregation::Count));
    let shape = answer.array.shape();
    let indices: Vec<Vec<i64>> = shape.iter().map(|&len| (0..len as i64).collect()).collect();
    let ground = structure.extent(&answer.window);
    let at = (0..shape.len())
        .map(|axis| level(model, &answer, axis))
        .collect();
    let mut kernels = Mixture::new(how, at, answer.array.dtype());
    for ((cell, got), valid) in product(&indices)
        .into_iter()
        .zip(nums(&answer.array))
        .zip(validity(&answer))
    {
        let reach = |(axis, &i): (usize, &i64)| match &ticks {
            Some((along, ticks, _)) if *along == axis => {
                let tick = ticks[usize::try_from(i).unwrap()] as f64;
                Reach {
                    from: tick,
                    to: tick + 1.0,
                }
            }
            _ => reach(model, &answer, axis, (i, shape[axis])),
        };
        let reaches = cell.iter().enumerate().map(reach).collect::<Vec<_>>();
        let want = match how {
            _ if measure => parts(model, &answer, layer, &reaches),
            Resampling::Nearest => nearest(model, &answer, layer, &reaches),
            Resampling::Area if layer.is_none_or(|layer| *layer == Aggregation::Mean) => {
                mean(model, &reaches, &answer)
            }
            _ if close(&reaches) => None,
            _ => Some(
                kernels
                    .mixture(model, layer, &reaches)
                    .unwrap_or_else(|| mixed(model, &answer, layer, &reaches)),
            ),
        };
        let Some(want) = want else { continue };
        if let Some(wrong) = wrong(&want, got, valid, layer) {
            return Err(blame(format!(
                "layer {read:?} from {:?} ({ground:?}): cell {cell:?} {wrong}",
                answer.window
            )));
        }
    }
    Ok(())
}

/// Where a cell of the answer lies.
fn reach(model: &Model, answer: &Answer, axis: usize, (cell, len): (i64, usize)) -> Reach {
    let (structure, line) = (model.schema.structure(), &model.space.lines[axis]);
    let level = gridstone::Level::new(line.ground).unwrap();
    let (low, high) = answer.extent.bounds()[axis];
    let backwards = structure.axes().nth(axis).unwrap().step() < 0.0;
    let (first, last) = if backwards { (high, low) } else { (low, high) };
    let (a, b) = (
        structure.position(axis, level, first),
        structure.position(axis, level, last),
    );
    let each = (b - a) / len as f64;
    Reach {
        from: a + each * cell as f64,
        to: a + each * (cell + 1) as f64,
    }
}

/// Whole cells that a part of an axis overlaps, by more than a hair.
#[expect(clippy::cast_possible_truncation, reason = "small whole numbers")]
pub fn overlapped(reach: &Reach) -> Span {
    (
        (reach.from + 1e-5).floor() as i64,
        (reach.to - 1e-5).ceil() as i64,
    )
}

/// The ground cells that a target cell overlaps: their values, and how much of each lies in it.
fn overlaps(model: &Model, reaches: &[Reach]) -> Vec<(Num, f64)> {
    let spans: Vec<Span> = reaches.iter().map(overlapped).collect();
    let kept = |(from, to): Span, line: &super::space::Line| {
        line.segments
            .iter()
            .flat_map(|(first, end)| from.max(*first)..to.min(*end))
            .collect::<Vec<i64>>()
    };
    let lists: Vec<Vec<i64>> = spans
        .iter()
        .zip(&model.space.lines)
        .map(|(span, line)| kept(*span, line))
        .collect();
    let mut found = Vec::new();
    for cell in product(&lists) {
        let own: Vec<Span> = cell.iter().map(|&cell| (cell, cell + 1)).collect();
        let part = |(reach, &cell): (&Reach, &i64)| {
            reach.to.min((cell + 1) as f64) - reach.from.max(cell as f64)
        };
        let share: f64 = reaches.iter().zip(&cell).map(part).product();
        found.extend(
            model
                .ground
                .values(&model.space, &own)
                .map(|num| (num, share)),
        );
    }
    found
}

/// Whether any edge lies so near to that of a cell that rounding decides.
fn close(reaches: &[Reach]) -> bool {
    let near = |at: f64| (at - at.round()).abs() < 1e-4 && (at - at.round()).abs() > 1e-8;
    reaches
        .iter()
        .any(|reach| near(reach.from) || near(reach.to))
}

/// The area-weighted mean of the base cells in a target cell.
fn mean(model: &Model, reaches: &[Reach], answer: &Answer) -> Option<Want> {
    if close(reaches) {
        return None;
    }
    // Where a cell ends is known as doubles know it, far from 0 at times, so that the largest
    // number around leaves a trace.
    let around = model
        .ground
        .cells
        .iter()
        .flatten()
        .map(|num| num.real().abs())
        .fold(0.0, f64::max);
    let cells = overlaps(model, reaches);
    let all: f64 = cells.iter().map(|(_, share)| share).sum();
    if cells.is_empty() {
        return Some(Want::Nothing);
    }
    let most = cells
        .iter()
        .map(|(num, _)| num.real().abs())
        .fold(f64::MIN_POSITIVE, f64::max);
    let mean = cells
        .iter()
        .map(|(num, share)| num.real() / most * (share / all))
        .sum::<f64>()
        .clamp(-1.0, 1.0)
        * most;
    let slack = if !answer.array.dtype().is_float() {
        // Rounded, and off the nodata value.
        1.51 + around * 1e-8
    } else if answer.array.dtype() == gridstone::DType::F32 {
        most * 1e-5 + around * 1e-8
    } else {
        around * 1e-8
    };
    Some(Want::Near(mean, slack))
}

/// The sum of the parts of cells.
fn parts(
    model: &Model,
    answer: &Answer,
    layer: Option<&Aggregation>,
    reaches: &[Reach],
) -> Option<Want> {
    if close(reaches) {
        return None;
    }
    let cells = overlaps(model, reaches);
    let plain = layer
        .and_then(|layer| model.schema.layer_dtype(layer))
        .is_some_and(|dtype| !dtype.is_float());
    let area = if plain { 1.0 } else { model.space.area };
    let value = |num: Num| {
        if layer == Some(&Aggregation::Count) {
            1.0
        } else {
            num.real()
        }
    };
    if cells.is_empty() {
        return Some(Want::Nothing);
    }
    let total: f64 = cells
        .iter()
        .map(|(num, share)| value(*num) * share * area)
        .sum();
    let most: f64 = cells
        .iter()
        .map(|(num, share)| value(*num).abs() * share * area)
        .sum();
    // Whole sums end at the ends of their type, cell by cell.
    let end = if plain {
        limits(model.schema.layer_dtype(&Aggregation::Sum)?).1 as f64
    } else {
        1e300
    };
    let whole = |spans: &Vec<Span>| -> f64 {
        model
            .ground
            .values(&model.space, spans)
            .map(|num| value(num).abs() * area)
            .sum()
    };
    let most_read = cells_read(model, answer, reaches)
        .iter()
        .map(whole)
        .fold(most, f64::max);
    (most_read < end).then_some(Want::Near(total, most * 1e-6))
}

/// The levels at which the cells were read, an axis.
fn level(model: &Model, answer: &Answer, axis: usize) -> i8 {
    if model.irregular() == Some(axis) {
        return 0;
    }
    answer.window.levels(model.space.dimensions())[model.space.lines[axis].dimension].get()
}

/// The cell of the levels read that holds the middle of a target cell.
#[expect(clippy::cast_possible_truncation, reason = "small whole numbers")]
fn nearest(
    model: &Model,
    answer: &Answer,
    layer: Option<&Aggregation>,
    reaches: &[Reach],
) -> Option<Want> {
    let mut spans = Vec::new();
    for (axis, (reach, line)) in reaches.iter().zip(&model.space.lines).enumerate() {
        let middle = f64::midpoint(reach.from, reach.to);
        let whole = middle.round();
        if (middle - whole).abs() < 1e-4 && middle != whole {
            return None;
        }
        let level = level(model, answer, axis).max(line.ground);
        let cell = line.cell_of(level, middle.floor() as i64);
        spans.push(line.span(level, cell, cell + 1));
    }
    Some(want(model, layer, &spans))
}

/// The cells of the levels read that a target cell overlaps, those with anything in them that is
/// kept.
fn cells_read(model: &Model, answer: &Answer, reaches: &[Reach]) -> Vec<Vec<Span>> {
    let lists: Vec<Vec<i64>> = reaches
        .iter()
        .zip(&model.space.lines)
        .enumerate()
        .map(|(axis, (reach, line))| {
            let (level, (from, to)) = (
                level(model, answer, axis).max(line.ground),
                overlapped(reach),
            );
            let kept = line.segments.iter().flat_map(|(first, end)| {
                line.cell_of(level, *first)..=line.cell_of(level, end - 1)
            });
            let cells = (line.cell_of(level, from), line.cell_of(level, to - 1));
            kept.filter(|cell| cells.0 <= *cell && *cell <= cells.1)
                .collect::<BTreeSet<i64>>()
                .into_iter()
                .collect()
        })
        .collect();
    let spans = |cell: Vec<i64>| {
        let lines = model.space.lines.iter().zip(cell).enumerate();
        lines
            .map(|(axis, (line, cell))| {
                line.span(level(model, answer, axis).max(line.ground), cell, cell + 1)
            })
            .collect()
    };
    product(&lists).into_iter().map(spans).collect()
}

/// Whether there is data: where the target cell overlaps a cell with data of the levels read.
fn mixed(model: &Model, answer: &Answer, layer: Option<&Aggregation>, reaches: &[Reach]) -> Want {
    let mut found = Want::Nothing;
    for spans in cells_read(model, answer, reaches) {
        match want(model, layer, &spans) {
            Want::Unknown => return Want::Unknown,
            want if want.is_valid() => found = Want::Something,
            _ => {}
        }
    }
    found
}
