//! What a cell of a layer must hold.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use gridstone::{Aggregation, DType};

use super::ground::{Num, limits};
use super::model::Model;
use super::space::Span;

/// What a cell must hold.
#[derive(Clone, Debug)]
pub enum Want {
    /// No data.
    Nothing,
    Exactly(Num),
    /// A number, give or take.
    Near(f64, f64),
    /// One of these.
    Among(Vec<Num>),
    /// Data, of which the documentation does not say more.
    Something,
    /// Data or not.
    Unknown,
}

impl Want {
    pub fn is_valid(&self) -> bool {
        !matches!(self, Want::Nothing)
    }

    /// Whether a number is what is wanted, of a cell that must hold data.
    pub fn is_met_by(&self, got: Num) -> bool {
        match self {
            Want::Nothing => false,
            Want::Exactly(num) => got.same(*num),
            Want::Near(value, slack) => {
                got.real() == *value || (got.real() - value).abs() <= *slack
            }
            Want::Among(nums) => nums.iter().any(|num| got.same(*num)),
            Want::Something | Want::Unknown => true,
        }
    }
}

/// What a cell of a layer holds, by its ground cells.
pub fn want(model: &Model, layer: Option<&Aggregation>, spans: &[Span]) -> Want {
    let nums: Vec<Num> = model.ground.values(&model.space, spans).collect();
    let Some(&first) = nums.first() else {
        return Want::Nothing;
    };
    match layer {
        None => Want::Exactly(first),
        Some(Aggregation::Min) => Want::Exactly(
            nums.iter()
                .copied()
                .reduce(|a, b| if b.order(a) == Ordering::Less { b } else { a })
                .unwrap(),
        ),
        Some(Aggregation::Max) => Want::Exactly(
            nums.iter()
                .copied()
                .reduce(|a, b| {
                    if b.order(a) == Ordering::Greater {
                        b
                    } else {
                        a
                    }
                })
                .unwrap(),
        ),
        Some(Aggregation::Sum) => sum(model, &nums),
        Some(Aggregation::Count) => count(model, nums.len()),
        Some(layer @ Aggregation::Mean) => {
            let (mean, most) = mean(&nums);
            let single = model.schema.layer_dtype(layer) == Some(DType::F32);
            Want::Near(
                mean,
                most * if single {
                    40.0 * f64::from(f32::EPSILON)
                } else {
                    1e-12
                },
            )
        }
        Some(layer @ (Aggregation::Variance | Aggregation::Std)) => {
            spread(&nums, *layer == Aggregation::Std)
        }
        Some(Aggregation::Mode { classes }) => mode(&nums, usize::from(*classes)),
        // Of a bin of ticks the first event, of which there may be several.
        Some(Aggregation::Sample)
            if model
                .irregular()
                .is_some_and(|axis| spans[axis].1 - spans[axis].0 > 1) =>
        {
            Want::Unknown
        }
        Some(Aggregation::Sample) => {
            let corner: Vec<Span> = spans.iter().map(|span| (span.0, span.0 + 1)).collect();
            model
                .ground
                .values(&model.space, &corner)
                .next()
                .map_or(Want::Nothing, Want::Exactly)
        }
        Some(Aggregation::First { dimension }) => end(model, dimension, spans, false),
        Some(Aggregation::Last { dimension }) => end(model, dimension, spans, true),
        Some(_) => Want::Something,
    }
}

fn count(model: &Model, cells: usize) -> Want {
    let tallies = model.schema.layer_dtype(&Aggregation::Count) == Some(DType::U64);
    if tallies {
        Want::Exactly(Num::Int(cells as i128))
    } else {
        Want::Exactly(Num::Float(cells as f64 * model.space.area))
    }
}

fn sum(model: &Model, nums: &[Num]) -> Want {
    let dtype = model.schema.layer_dtype(&Aggregation::Sum).unwrap();
    if dtype.is_float() {
        let most: f64 = nums
            .iter()
            .map(|num| num.real().abs() * model.space.area)
            .sum();
        if most > 1e300 {
            // It depends on the order of additions, infinities of both signs are no number, and of
            // one its parts are infinite too.
            return Want::Unknown;
        }
        return Want::Near(
            nums.iter().map(|num| num.real() * model.space.area).sum(),
            most * 1e-12,
        );
    }
    let ints: Vec<i128> = nums
        .iter()
        .map(|num| if let Num::Int(value) = num { *value } else { 0 })
        .collect();
    let (low, high) = limits(dtype);
    let (negative, positive): (i128, i128) = (
        ints.iter().filter(|int| **int < 0).sum(),
        ints.iter().filter(|int| **int > 0).sum(),
    );
    match (negative < low, positive > high) {
        (false, false) => Want::Exactly(Num::Int(negative + positive)),
        (true, _) if positive == 0 => Want::Exactly(Num::Int(low)),
        (_, true) if negative == 0 => Want::Exactly(Num::Int(high)),
        // Where it saturates depends on the order of additions.
        _ => Want::Something,
    }
}

/// The mean, and the largest magnitude.
fn mean(nums: &[Num]) -> (f64, f64) {
    let n = nums.len() as f64;
    let most = nums.iter().map(|num| num.real().abs()).fold(0.0, f64::max);
    if most == 0.0 {
        return (0.0, most);
    }
    // In parts of the largest, so that no sum overflows.
    (
        nums.iter()
            .map(|num| num.real() / most / n)
            .sum::<f64>()
            .clamp(-1.0, 1.0)
            * most,
        most,
    )
}

fn spread(nums: &[Num], root: bool) -> Want {
    let (mean, most) = mean(nums);
    if most > 1e150 {
        // Squares that overflow have no variance.
        return if root { Want::Something } else { Want::Unknown };
    }
    if most == 0.0 {
        return Want::Near(0.0, 0.0);
    }
    // In parts of the largest, so that no square is less than the least double.
    let n = nums.len() as f64;
    let variance: f64 = nums
        .iter()
        .map(|num| (num.real() / most - mean / most).powi(2) / n)
        .sum();
    let least = f64::MIN_POSITIVE * f64::EPSILON;
    if root {
        Want::Near(variance.sqrt() * most, 1e-6 * most + least)
    } else {
        Want::Near(variance * most * most, 1e-9 * most * most + least)
    }
}

fn mode(nums: &[Num], classes: usize) -> Want {
    let key = |num: Num| match num {
        Num::Int(value) => value,
        // The zeros are one.
        Num::Float(value) if value <= 0.0 => -i128::from((-value).abs().to_bits()),
        Num::Float(value) => i128::from(value.to_bits()),
    };
    let mut areas: BTreeMap<i128, (usize, Num)> = BTreeMap::new();
    nums.iter()
        .for_each(|num| areas.entry(key(*num)).or_insert((0, *num)).0 += 1);
    if areas.len() > classes {
        return Want::Something;
    }
    let most = areas.values().map(|(area, _)| *area).max().unwrap_or(0);
    areas
        .values()
        .find(|(area, _)| *area == most)
        .map_or(Want::Something, |(_, num)| Want::Exactly(*num))
}

/// The values at the lowest or highest coordinate along a dimension at which there are any.
fn end(model: &Model, dimension: &str, spans: &[Span], last: bool) -> Want {
    let structure = model.schema.structure();
    let axis = structure
        .axes_of(structure.dimension(dimension).unwrap())
        .start;
    let mut slices: Vec<i64> = (spans[axis].0..spans[axis].1).collect();
    if (structure.axes().nth(axis).unwrap().step() < 0.0) != last {
        slices.reverse();
    }
    let found = slices.into_iter().find_map(|at| {
        let mut slice = spans.to_vec();
        slice[axis] = (at, at + 1);
        let nums: Vec<Num> = model.ground.values(&model.space, &slice).collect();
        (!nums.is_empty()).then_some(nums)
    });
    found.map_or(Want::Nothing, Want::Among)
}
