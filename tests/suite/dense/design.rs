//! What a history is played on: small grids of every kind, made so that trouble is near.

use std::sync::Arc;

use gridstone::{
    Aggregation, Axis, Codec, DType, Depth, Dimension, Level, Polygon, Schema, SchemaBuilder,
};
use serde::{Deserialize, Serialize};

use super::model::Model;
use super::region::Region;
use super::space::{Space, Span};
use crate::check::{self, Dice};

/// Which values are put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Values {
    /// A few small numbers, so that sums and nodata values meet.
    Small,
    /// The whole range of integers that doubles hold, and eighths.
    Wide,
    /// The least and the greatest numbers of the type, among small ones.
    Extreme,
}

/// One grid, and where things happen in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Design {
    pub schema: Schema,
    /// The levels of the first puts.
    pub base: Vec<i8>,
    /// By how much others differ in the refinable dimension.
    pub offsets: Vec<i8>,
    /// The parts of each axis that are used, in ground cells.
    pub segments: Vec<Vec<Span>>,
    /// Ground cells along each axis that are hit again and again.
    pub hot: Vec<Vec<i64>>,
    pub values: Values,
    /// Whether nearly all that happens is puts and removals of a few cells.
    pub tight: bool,
}

impl Design {
    /// The design in a line.
    pub fn told(&self) -> String {
        let structure = self.schema.structure();
        let dimension = |d: &Dimension| {
            let axes: Vec<String> = d
                .axes()
                .iter()
                .map(|a| format!("{} {}+{}i/{}", a.name(), a.origin(), a.step(), a.chunk()))
                .collect();
            format!("{} [{}] {:?}", d.name(), axes.join(", "), d.kind())
        };
        let dimensions: Vec<String> = structure.dimensions().iter().map(dimension).collect();
        let (schema, layers) = (&self.schema, self.schema.aggregators());
        let kept = (&self.base, &self.offsets, &self.segments);
        format!(
            "{}: {:?} nodata {:?} {layers:?} {kept:?}",
            dimensions.join("; "),
            schema.dtype(),
            schema.nodata()
        )
    }

    pub fn ground(&self) -> Vec<i8> {
        let mut ground = self.base.clone();
        if let Some(d) = self.schema.structure().refinable() {
            ground[d] += self.offsets.iter().min().unwrap();
        }
        ground
    }

    pub fn model(&self) -> Model {
        Model::new(
            self.schema.clone(),
            Arc::new(Space::new(&self.schema, &self.ground(), &self.segments)),
        )
    }

    /// Levels for a put.
    pub fn levels(&self, dice: &mut Dice) -> Vec<i8> {
        let mut levels = self.base.clone();
        if let Some(d) = self.schema.structure().refinable() {
            levels[d] += dice.pick(&self.offsets);
        }
        levels
    }

    /// The two axes of a plane, if there is one, in which polygons lie.
    pub fn plane(&self) -> Option<[usize; 2]> {
        let structure = self.schema.structure();
        let axes = (0..structure.dimensions().len())
            .map(|d| structure.axes_of(d))
            .find(|axes| axes.len() == 2)?;
        Some([axes.start + 1, axes.start])
    }

    /// A triangle or two about a hot place, a hole in one of them at times.
    pub fn polygon(&self, dice: &mut Dice) -> Option<Region> {
        let [x, y] = self.plane()?;
        let structure = self.schema.structure();
        let names: Vec<&str> = structure.axes().map(Axis::name).collect();
        let ground = self.ground();
        let point = |dice: &mut Dice, axis: usize, reach: i64| {
            let level = Level::new(ground[structure.dimension_of(axis)]).unwrap();
            let at = dice.pick(&self.hot[axis]) + dice.range(-reach, reach);
            let (from, to) = (
                structure.edge(axis, level, at),
                structure.edge(axis, level, at + 1),
            );
            from + (to - from) * dice.pick(&[0.0, 0.25, 0.5, 0.625])
        };
        let parts = (0..dice.range(1, 2)).map(|_| {
            let rings = (0..dice.pick(&[1, 1, 2])).map(|_| {
                (0..dice.range(3, 5))
                    .map(|_| [point(dice, x, 9), point(dice, y, 9)])
                    .collect()
            });
            rings.collect::<Vec<_>>()
        });
        let parts: Vec<_> = parts.collect();
        let polygon = Polygon::new([names[x], names[y]], parts.clone()).ok()?;
        Some(Region {
            polygon,
            parts,
            axes: [x, y],
        })
    }
}

fn axis(name: &str, dice: &mut Dice, ahead: bool) -> Axis {
    let step = if ahead {
        dice.pick(&[1.0, 0.25, 30.0])
    } else {
        dice.pick(&[1.0, -1.0, 0.25, -30.0])
    };
    Axis::new(
        name,
        dice.pick(&[0.0, 0.0, -17.5, 1e6]),
        step,
        dice.pick(&[2, 2, 4, 8]),
    )
}

fn dimensions(dice: &mut Dice) -> Vec<Dimension> {
    let depth = |dice: &mut Dice| {
        dice.pick(&[
            Depth::Top,
            Depth::Top,
            Depth::Top,
            Depth::Top,
            Depth::Levels(0),
            Depth::Levels(2),
        ])
    };
    let space = |dice: &mut Dice| {
        Dimension::regular("space", [axis("y", dice, false), axis("x", dice, false)])
            .depth(depth(dice))
    };
    let line = |name: &str, dice: &mut Dice| {
        Dimension::regular(name, [axis(name, dice, true)]).depth(depth(dice))
    };
    let together = dice.chance(50);
    let band = || {
        let band = Dimension::fixed("band", ["red", "green", "blue"]);
        if together { band.together() } else { band }
    };
    let events = |dice: &mut Dice| {
        let (capacity, spacing) = (dice.pick(&[2, 2, 4, 8]), dice.pick(&[1, 2, 4, 5, 100]));
        Dimension::irregular("time", "seconds since 2024-01-01", capacity, spacing)
    };
    match dice.range(-4, 16) {
        ..-1 => vec![line("x", dice).refinable()],
        2 => vec![line("x", dice)],
        3 | 4 => vec![space(dice).refinable()],
        5 => vec![space(dice)],
        -1 | 0 | 6 => vec![line("time", dice), line("x", dice).refinable()],
        1 | 7 => vec![line("x", dice).refinable(), line("time", dice)],
        8 => vec![line("time", dice), space(dice).refinable()],
        9 => vec![line("time", dice), space(dice)],
        10 => vec![band(), space(dice).refinable()],
        11 => vec![line("time", dice), band(), line("x", dice).refinable()],
        14 => vec![events(dice), space(dice)],
        15 => vec![line("x", dice), events(dice)],
        16 => vec![events(dice), line("x", dice), band()],
        12 => vec![
            line("time", dice),
            line("z", dice).refinable(),
            line("x", dice),
        ],
        _ => vec![space(dice), line("time", dice).refinable(), band()],
    }
}

fn cell_type(dice: &mut Dice, schema: SchemaBuilder, dtype: DType) -> SchemaBuilder {
    match dice.range(0, 5) {
        0 => schema,
        // Sums and counts of the values that are put can be these.
        1 => schema.nodata(dice.pick(&[0.0, 1.0, 2.0, 4.0, 6.0])),
        2 if dtype.is_signed() => schema.nodata(-1.0),
        3 if dtype.is_float() => schema.nodata(dice.pick(&[-9999.0, f64::NAN])),
        4 if dtype.size() < 8 && !dtype.is_float() => {
            schema.nodata(dtype_limit(dtype, dice.chance(50)))
        }
        _ => schema,
    }
}

/// The least or the greatest number of a type that doubles hold.
fn dtype_limit(dtype: DType, least: bool) -> f64 {
    let (low, high) = super::ground::limits(dtype);
    super::ground::Num::Int(if least { low } else { high }).real()
}

fn segments(dice: &mut Dice, unit: i64, levelled: usize) -> Vec<Span> {
    let (near, far) = match levelled {
        1 => (24, 4000),
        2 => (8, 300),
        _ => (5, 60),
    };
    let width = (near / 3).max(3);
    let mut segments = vec![(-near * unit, near * unit)];
    let far = far + dice.range(0, far / 10);
    if dice.chance(70) {
        segments.push((far * unit, (far + width) * unit));
    }
    if dice.chance(40) {
        segments.insert(0, ((-far - width) * unit, -far * unit));
    }
    segments
}

/// A grid of any kind.
pub fn design(dice: &mut Dice) -> Design {
    let dimensions = dimensions(dice);
    let structure = check::structure(dimensions);
    let dtype = dice.pick(&DType::ALL);
    let mut schema = cell_type(dice, Schema::builder(structure.clone(), dtype), dtype);
    schema = schema.codec(dice.pick(&[Codec::Fast, Codec::Small]));
    let lines = structure
        .dimensions()
        .iter()
        .filter(|d| !d.is_fixed() && d.axes().len() == 1);
    let ends = lines.flat_map(|d| {
        let dimension = d.name().to_owned();
        [
            Aggregation::First {
                dimension: dimension.clone(),
            },
            Aggregation::Last { dimension },
        ]
    });
    let mut layers: Vec<Aggregation> = Aggregation::plain().chain(ends).collect();
    let first = dice.pick(&[
        Aggregation::Sum,
        Aggregation::Max,
        Aggregation::Mean,
        Aggregation::Count,
    ]);
    layers.retain(|layer| *layer != first);
    if !dice.chance(4) {
        schema = schema.aggregator(first);
        for _ in 0..dice.pick(&[0, 0, 1, 1, 2, 4]) {
            let index = usize::try_from(dice.range(0, layers.len() as i64 - 1)).unwrap();
            schema = schema.aggregator(layers.remove(index));
        }
    }
    let base: Vec<i8> = structure
        .dimensions()
        .iter()
        .map(|d| {
            if d.is_fixed() || structure.irregular().is_some() {
                0
            } else {
                dice.pick(&[0, 0, 0, -1, 1])
            }
        })
        .collect();
    let levelled = structure
        .axes()
        .enumerate()
        .filter(|(a, _)| !structure.dimensions()[structure.dimension_of(*a)].is_fixed())
        .count();
    let offsets = match levelled {
        1 => dice.pick(&[
            vec![-2, -1, 0, 1, 2],
            vec![-4, -1, 0, 3],
            vec![-1, 0, 0, 1],
            vec![0],
        ]),
        _ => dice.pick(&[
            vec![-1, 0, 1],
            vec![-2, 0, 1],
            vec![-1, 0, 0, 1, 2],
            vec![0],
        ]),
    };
    let least = *offsets.iter().min().unwrap();
    let segments: Vec<Vec<Span>> = (0..structure.rank())
        .map(|axis| {
            let d = structure.dimension_of(axis);
            match structure.dimensions()[d].labels() {
                Some(labels) => vec![(0, i64::try_from(labels.len()).unwrap())],
                None => segments(
                    dice,
                    if structure.refinable() == Some(d) {
                        1 << -least
                    } else {
                        1
                    },
                    levelled,
                ),
            }
        })
        .collect();
    let hot = segments
        .iter()
        .map(|segments| {
            let place = |dice: &mut Dice| {
                let (from, to) = dice.pick(segments);
                dice.range(from, to - 1)
            };
            let count = dice.pick(&[0, 1, 2]);
            (0..count).map(|_| place(dice)).chain([0]).collect()
        })
        .collect();
    let values = dice.pick(&[Values::Small, Values::Small, Values::Wide, Values::Extreme]);
    Design {
        schema: schema.build().unwrap(),
        base,
        offsets,
        segments,
        hot,
        values,
        tight: dice.chance(50),
    }
}
