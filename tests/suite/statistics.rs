//! Statistics of regions against a dense computation, cell by cell.

use std::collections::BTreeMap;

use gridstone::statistics::{Bins, Estimate, Predicate, Ring};
use gridstone::{
    Aggregation, Axis, DType, Depth, Dimension, ErrorKind, Extent, Grid, Policy, Polygon, Schema,
    Shape, Stat, Statistics, StatisticsQuery, Steps, Store, Structure, Window,
};
use ndarray::{Array1, Array2};
use proptest::prelude::*;

use crate::check::{self, Dice, levels};
use crate::oracle::{array, indices};

/// A grid, and the valid cells it must hold, by their numbers at the base levels.
pub struct Dense {
    pub grid: Grid,
    pub base: Vec<i8>,
    pub cells: BTreeMap<Vec<i64>, f64>,
}

/// A polygon in positions of base cells along the first and the second axis of its plane: parts of
/// rings of points.
pub type Plane = Vec<Vec<Vec<[f64; 2]>>>;

/// A region and condition as they are asked for, and as the dense computation takes them: in
/// positions of base cells.
#[derive(Clone)]
pub struct Asked {
    pub query: StatisticsQuery,
    /// From, to, along each axis, in positions.
    pub boxes: Vec<Vec<(f64, f64)>>,
    pub plane: Option<(usize, Plane)>,
    pub polygon: Option<Polygon>,
    pub predicate: Option<Predicate>,
    pub bins: Bins,
}

/// Whether the centre of a cell is between two positions, which stand for world coordinates.
fn between(cell: i64, (from, to): (f64, f64), rising: bool) -> bool {
    let at = cell as f64 + 0.5;
    if rising {
        from <= at && at < to
    } else {
        from < at && at <= to
    }
}

/// Even-odd: the crossings of the row's centre line that are not behind the centre.
pub fn inside(rings: &[Vec<[f64; 2]>], row: i64, col: i64, rising: [bool; 2]) -> bool {
    let mut inside = false;
    for ring in rings {
        for (i, a) in ring.iter().enumerate() {
            let b = ring[(i + 1) % ring.len()];
            let (a, b) = if (a[0], a[1]) <= (b[0], b[1]) {
                (*a, b)
            } else {
                (b, *a)
            };
            if between(row, (a[0], b[0]), rising[0]) {
                let at = a[1] + (row as f64 + 0.5 - a[0]) * ((b[1] - a[1]) / (b[0] - a[0]));
                let centre = col as f64 + 0.5;
                inside ^= if rising[1] { at <= centre } else { at < centre };
            }
        }
    }
    inside
}

impl Dense {
    pub fn rising(&self, axis: usize) -> bool {
        self.grid.structure().axes().nth(axis).unwrap().step() > 0.0
    }

    /// The area of a base cell.
    fn full(&self) -> f64 {
        let structure = self.grid.structure();
        (0..self.base.len())
            .map(|d| (f64::from(self.base[d]) * structure.axes_of(d).len() as f64).exp2())
            .product()
    }

    /// What a sum takes a cell times.
    fn weight(&self) -> f64 {
        let refinable = self
            .grid
            .structure()
            .dimensions()
            .iter()
            .any(Dimension::is_refinable);
        if refinable || self.grid.schema().dtype().is_float() {
            self.full()
        } else {
            1.0
        }
    }

    fn holds(&self, asked: &Asked, cell: &[i64], value: f64) -> bool {
        let boxed = |of: &Vec<(f64, f64)>| {
            (0..cell.len()).all(|axis| between(cell[axis], of[axis], self.rising(axis)))
        };
        asked.boxes.iter().all(boxed)
            && asked
                .predicate
                .as_ref()
                .is_none_or(|predicate| predicate.holds(value))
            && asked.plane.as_ref().is_none_or(|(axis, parts)| {
                let rising = [self.rising(*axis), self.rising(axis + 1)];
                parts
                    .iter()
                    .any(|rings| inside(rings, cell[*axis], cell[axis + 1], rising))
            })
    }

    fn values(&self, asked: &Asked) -> Vec<f64> {
        self.cells
            .iter()
            .filter(|(cell, value)| self.holds(asked, cell, **value))
            .map(|(_, value)| *value)
            .collect()
    }

    /// Whether the bounds of every figure hold what it must be, within the rounding of doubles.
    pub fn check(&self, asked: &Asked, got: &Statistics, what: &str) {
        let values = self.values(asked);
        let (n, full, weight) = (values.len() as f64, self.full(), self.weight());
        let size = values
            .iter()
            .fold(0.0_f64, |size, value| size.max(value.abs()));
        let sum: f64 = values.iter().sum::<f64>();
        let mean = sum / n;
        let variance = values
            .iter()
            .map(|value| (value - mean) * (value - mean))
            .sum::<f64>()
            / n;
        let figure = |name: &str, estimate: Option<Estimate>, want: f64, slack: f64| {
            let Some(Estimate {
                value, low, high, ..
            }) = estimate
            else {
                return;
            };
            let held = if want.is_nan() {
                !got.exact || value.is_nan()
            } else {
                low <= want + slack && want - slack <= high
            };
            assert!(held, "{what}: {name} {low} to {high} does not hold {want}");
            assert!(
                !got.exact || low.to_bits() == high.to_bits() && low.to_bits() == value.to_bits(),
                "{what}: {name}"
            );
            assert!(
                value.is_nan() || low <= value && value <= high,
                "{what}: {name} {value} is not within {low} to {high}"
            );
        };
        figure("count", got.count, n, 0.0);
        figure("area", got.area, n * full, 0.0);
        figure("sum", got.sum, sum * weight, 1e-13 * size * n * weight);
        figure("mean", got.mean, mean, 1e-13 * size);
        let least = |of: fn(f64, f64) -> f64| values.iter().copied().reduce(of).unwrap_or(f64::NAN);
        figure("min", got.min, least(f64::min), 0.0);
        figure("max", got.max, least(f64::max), 0.0);
        figure("std", got.std, variance.sqrt(), 1e-10 * size);
        if let Some(histogram) = &got.histogram {
            let edges = asked.bins.as_slice();
            let last = edges.len() - 2;
            let within =
                |of: &dyn Fn(f64) -> bool| values.iter().filter(|value| of(**value)).count() as f64;
            figure(
                "below",
                Some(histogram.below),
                within(&|value| value < edges[0]),
                0.0,
            );
            figure(
                "above",
                Some(histogram.above),
                within(&|value| value > edges[last + 1]),
                0.0,
            );
            for (i, bin) in histogram.counts.iter().enumerate() {
                let held =
                    |v: f64| edges[i] <= v && (v < edges[i + 1] || i == last && v == edges[i + 1]);
                figure("bin", Some(*bin), within(&held), 0.0);
            }
        }
        if let Some(classes) = &got.classes {
            let mut want: Vec<(f64, f64)> = Vec::new();
            let mut sorted = values.clone();
            sorted.sort_by(|a, b| a.partial_cmp(b).unwrap());
            for value in sorted {
                match want.last_mut() {
                    Some((last, count)) if *last == value => *count += 1.0,
                    _ => want.push((value, 1.0)),
                }
            }
            if got.exact {
                let got: Vec<(f64, f64)> = classes
                    .iter()
                    .map(|class| (class.value, class.count.value))
                    .collect();
                assert_eq!(got, want, "{what}: classes");
            } else {
                for class in classes {
                    let want = want
                        .iter()
                        .find(|(value, _)| *value == class.value)
                        .map_or(0.0, |class| class.1);
                    figure("class", Some(class.count), want, 0.0);
                }
            }
        }
    }

    /// The sum of integers to the last unit.
    fn whole(&self, asked: &Asked) -> i128 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole, and of at most 63 bits"
        )]
        let sum = self
            .values(asked)
            .into_iter()
            .map(|value| value as i128)
            .sum::<i128>();
        sum
    }
}

fn dimensions(dice: &mut Dice) -> Vec<Dimension> {
    let axis = |name: &str, dice: &mut Dice| {
        let (chunk, step) = (
            dice.pick(&[2, 2, 4, 8]),
            dice.pick(&[1.0, -1.0, 0.25, -30.0]),
        );
        Axis::new(name, dice.pick(&[0.0, -17.5, 1e6]), step, chunk)
    };
    let depth = |dice: &mut Dice| {
        dice.pick(&[
            Depth::Top,
            Depth::Top,
            Depth::Top,
            Depth::Levels(0),
            Depth::Levels(2),
        ])
    };
    let space = |dice: &mut Dice| {
        Dimension::regular("space", [axis("y", dice), axis("x", dice)]).depth(depth(dice))
    };
    let line = |name: &str, dice: &mut Dice| {
        Dimension::regular(name, [axis(name, dice)]).depth(depth(dice))
    };
    let band = || Dimension::fixed("band", ["red", "green", "blue"]);
    match dice.range(0, 7) {
        0 => vec![line("t", dice)],
        1 | 2 => vec![space(dice)],
        3 => vec![line("t", dice), space(dice)],
        4 => vec![space(dice), line("t", dice)],
        5 => vec![band(), space(dice)],
        6 => vec![line("t", dice), space(dice).refinable()],
        _ => vec![line("t", dice), space(dice), band()],
    }
}

/// A grid with some random layers, into which windows were put; marks may be pending, of some of
/// them or all.
pub fn dense(dice: &mut Dice) -> Dense {
    let dimensions = dimensions(dice);
    let base: Vec<i8> = dimensions
        .iter()
        .map(|d| {
            if d.is_fixed() {
                0
            } else {
                dice.pick(&[0, 0, -1, 2])
            }
        })
        .collect();
    let structure = check::structure(dimensions);
    let (dtype, nodata) = dice.pick(&[
        (DType::F32, None),
        (DType::F32, Some(-9999.0)),
        (DType::I16, Some(-9999.0)),
        (DType::U8, None),
        (DType::F64, None),
        (DType::I64, None),
        (DType::I64, Some(-1.0)),
        (DType::U64, None),
        (DType::I32, None),
        (DType::U16, Some(0.0)),
    ]);
    let mut schema = Schema::builder(structure, dtype);
    if let Some(nodata) = nodata {
        schema = schema.nodata(nodata);
    }
    let drop = dice.pick(&[0, 20, 60, 100]);
    let layers = Aggregation::plain().map(|layer| match layer {
        Aggregation::Mode { .. } => Aggregation::Mode {
            classes: dice.pick(&[1, 2, 4, 64]),
        },
        other => other,
    });
    for aggregation in layers.collect::<Vec<_>>() {
        if !dice.chance(drop) {
            schema = schema.aggregator(aggregation);
        }
    }
    let policy = dice.pick(&[Policy::Inline, Policy::Manual, Policy::Manual]);
    let engine = std::sync::Arc::new(gridstone::kv::Memory::default());
    let store = Store::options().policy(policy).open_engine(engine).unwrap();
    let grid = store.create("a", schema.build().unwrap()).unwrap();
    let mut dense = Dense {
        grid,
        base,
        cells: BTreeMap::new(),
    };
    for _ in 0..dice.range(0, 4) {
        put(dice, &mut dense);
        match dice.range(0, 3) {
            0 => drop_step(&dense.grid),
            1 => _ = dense.grid.aggregate().unwrap(),
            _ => {}
        }
    }
    dense
}

fn drop_step(grid: &Grid) {
    grid.aggregate_step().unwrap();
}

/// Puts a random window: flat in part, so that whole cells of the pyramid hold one value.
fn put(dice: &mut Dice, dense: &mut Dense) {
    let structure = dense.grid.structure().clone();
    let (reach, most) = match structure.rank() {
        1 => (300, 40),
        2 => (24, 20),
        3 => (8, 7),
        _ => (4, 4),
    };
    let (mut start, mut shape) = (Vec::new(), Vec::new());
    for dimension in structure.dimensions() {
        for _ in dimension.axes() {
            let (first, len) = match dimension.labels() {
                Some(labels) => {
                    let first = dice.range(0, labels.len() as i64 - 1);
                    (first, dice.range(1, labels.len() as i64 - first))
                }
                None => (dice.range(-reach, reach), dice.range(1, most)),
            };
            start.push(first);
            shape.push(u64::try_from(len).unwrap());
        }
    }
    let schema = dense.grid.schema();
    let (dtype, nodata) = (schema.dtype(), schema.nodata());
    let (holes, noise) = (dice.pick(&[0, 20, 90]), dice.pick(&[0, 10, 100]));
    let cells = usize::try_from(shape.iter().product::<u64>()).unwrap();
    let value = |dice: &mut Dice| match dtype {
        DType::F32 => dice.range(-(1 << 20), 1 << 20) as f64 / 8.0,
        DType::F64 => dice.range(-(1 << 50), 1 << 50) as f64 * (-20_f64).exp2(),
        DType::U8 => dice.range(0, 5) as f64,
        DType::I16 => dice.range(-300, 300) as f64,
        DType::U16 => dice.range(1, 9) as f64,
        DType::I32 => dice.pick(&[-2_147_483_648.0, 2_147_483_647.0, 7.0]),
        // Of 62 bits, so that a few of them saturate a sum.
        DType::I64 => dice.range(-8, 8) as f64 * 59.0_f64.exp2(),
        _ => dice.range(0, 15) as f64 * 60.0_f64.exp2(),
    };
    let flat = value(dice);
    let values: Vec<f64> = (0..cells)
        .map(|_| {
            if dice.chance(holes) {
                if let Some(nodata) = nodata {
                    return nodata;
                }
                if dtype.is_float() {
                    return f64::NAN;
                }
            }
            if dice.chance(noise) {
                value(dice)
            } else {
                flat
            }
        })
        .collect();
    let sizes: Vec<usize> = shape
        .iter()
        .map(|&len| usize::try_from(len).unwrap())
        .collect();
    let window =
        Window::new(start.as_slice(), Shape::from(shape.as_slice())).at(levels(&dense.base));
    dense
        .grid
        .put(&window, &array(dtype, &sizes, &values))
        .unwrap();
    for (index, &value) in indices(&shape).zip(&values) {
        if !value.is_nan() && Some(value) != nodata {
            dense.cells.insert(
                index
                    .iter()
                    .zip(&start)
                    .map(|(i, start)| i + start)
                    .collect(),
                value,
            );
        }
    }
}

/// A random region with a random condition. Positions are quarters of cells, so centres and edges
/// are common.
pub fn ask(dice: &mut Dice, dense: &Dense) -> Asked {
    let structure = dense.grid.structure();
    let level = |axis: usize| levels(&dense.base)[structure.dimension_of(axis)];
    let world = |axis: usize, position: f64| {
        let edge = |cell| structure.edge(axis, level(axis), cell);
        edge(0) + position * (edge(1) - edge(0))
    };
    let reach = |axis: usize| {
        if structure.rank() == 1 {
            1200
        } else if structure.dimensions()[structure.dimension_of(axis)].is_fixed() {
            14
        } else {
            120
        }
    };
    let mut asked = Asked {
        query: StatisticsQuery::all(),
        boxes: Vec::new(),
        plane: None,
        polygon: None,
        predicate: None,
        bins: Bins::equal(3, 0.0, 1.0).unwrap(),
    };
    if dice.chance(50) {
        let mut sides = Vec::new();
        for axis in 0..structure.rank() {
            let (a, b) = (
                dice.range(-reach(axis), reach(axis)) as f64 / 4.0,
                dice.range(-reach(axis), reach(axis)) as f64 / 4.0,
            );
            sides.push(if dice.chance(20) {
                (f64::NEG_INFINITY, f64::INFINITY)
            } else {
                (a.min(b), a.max(b))
            });
        }
        let extent = sides.iter().enumerate().map(|(axis, (a, b))| {
            if a.is_finite() {
                (world(axis, *a), world(axis, *b))
            } else {
                (*a, *b)
            }
        });
        asked.query = asked.query.extent(Extent::new(extent));
        asked.boxes.push(sides);
    }
    if dice.chance(30) {
        // At levels of its own, in whose cells its edges lie.
        let at: Vec<i8> = (0..dense.base.len())
            .map(|d| {
                if structure.dimensions()[d].is_fixed() {
                    0
                } else {
                    dense.base[d] + dice.pick(&[-2, -1, 0, 1, 2])
                }
            })
            .collect();
        let at = levels(&at);
        let (mut start, mut shape, mut sides) = (Vec::new(), Vec::new(), Vec::new());
        for axis in 0..structure.rank() {
            let fixed = structure.dimensions()[structure.dimension_of(axis)].is_fixed();
            let first = if fixed {
                dice.range(0, 2)
            } else {
                dice.range(-reach(axis) / 4, reach(axis) / 4)
            };
            let len = if fixed {
                dice.range(1, 3 - first)
            } else {
                dice.range(1, reach(axis) / 2)
            };
            let edge = |cell| {
                structure.position(
                    axis,
                    level(axis),
                    structure.edge(axis, at[structure.dimension_of(axis)], cell),
                )
            };
            sides.push((edge(first), edge(first + len)));
            start.push(first);
            shape.push(u64::try_from(len).unwrap());
        }
        asked.query = asked
            .query
            .window(Window::new(start.as_slice(), Shape::from(shape.as_slice())).at(at));
        // A window's first edge is inside, whichever way the axis runs.
        asked.boxes.push(
            sides
                .iter()
                .enumerate()
                .map(|(axis, (a, b))| {
                    if dense.rising(axis) {
                        (*a, *b)
                    } else {
                        (a - 1e-9, b - 1e-9)
                    }
                })
                .collect(),
        );
    }
    let plane = (0..structure.dimensions().len())
        .find(|d| structure.axes_of(*d).len() == 2)
        .map(|d| structure.axes_of(d).start);
    if let Some(first) = plane.filter(|_| dice.chance(50)) {
        let ring = |dice: &mut Dice| -> Vec<[f64; 2]> {
            let count = dice.range(3, 8);
            (0..count)
                .map(|_| [0, 1].map(|_| dice.range(-120, 120) as f64 / 4.0))
                .collect()
        };
        let parts: Plane = (0..dice.range(1, 3))
            .map(|_| (0..dice.range(1, 2)).map(|_| ring(dice)).collect())
            .collect();
        // The axes are named: their order is free.
        let turned = dice.chance(50);
        let point = |point: &[f64; 2]| {
            let (y, x) = (world(first, point[0]), world(first + 1, point[1]));
            if turned { [x, y] } else { [y, x] }
        };
        let rings: Vec<Vec<Ring>> = parts
            .iter()
            .map(|rings| {
                rings
                    .iter()
                    .map(|ring| ring.iter().map(point).collect())
                    .collect()
            })
            .collect();
        if let Ok(polygon) = Polygon::new(if turned { ["x", "y"] } else { ["y", "x"] }, rings) {
            asked.query = asked.query.polygon(polygon.clone());
            asked.polygon = Some(polygon);
            asked.plane = Some((first, parts));
        }
    }
    let some = dense
        .cells
        .values()
        .nth(usize::try_from(dice.range(0, dense.cells.len().max(1) as i64 - 1)).unwrap())
        .copied()
        .unwrap_or(3.0);
    if dice.chance(40) {
        let one = dice.pick(&[
            Predicate::at_least,
            Predicate::at_most,
            Predicate::above,
            Predicate::below,
            Predicate::equals,
            Predicate::differs,
        ]);
        let predicate = if dice.chance(30) {
            Predicate::at_least(some - 10.0).and(Predicate::below(some + 100.0))
        } else {
            one(some)
        };
        asked.query = asked.query.matching(predicate.clone());
        asked.predicate = Some(predicate);
    }
    asked.bins = dice.pick(&[
        Bins::equal(4, -100.0, 100.0).unwrap(),
        Bins::edges([some - 1.0, some + 1.0 + some.abs()])
            .unwrap_or(Bins::equal(1, 0.0, 1.0).unwrap()),
        Bins::edges([0.0, 1.0, 2.0, 5.0, 1e6]).unwrap(),
    ]);
    asked
}

/// Asks for each step along a dimension of one axis, if there is one.
fn steps(dice: &mut Dice, dense: &Dense, asked: &Asked, what: &str) {
    let structure = dense.grid.structure();
    let single =
        |d: &usize| structure.axes_of(*d).len() == 1 && !structure.dimensions()[*d].is_fixed();
    let Some(d) = (0..structure.dimensions().len()).find(single) else {
        return;
    };
    let axis = structure.axes_of(d).start;
    let mut steps = Steps::all().along(structure.dimensions()[d].name());
    if dice.chance(70) {
        steps = steps.points(usize::try_from(dice.range(1, 40)).unwrap());
    }
    let range = dice.chance(50).then(|| {
        let edge = |cell| structure.edge(axis, levels(&dense.base)[d], cell);
        (edge(dice.range(-30, 10)), edge(dice.range(0, 40)))
    });
    steps = range.map_or(steps.clone(), |(from, to)| steps.clone().range(from, to));
    let everything = asked
        .query
        .clone()
        .stats(Stat::ALL)
        .histogram(asked.bins.clone())
        .classes();
    let series = match dense
        .grid
        .statistics_series(&dice.pick(&[everything, asked.query.clone()]), &steps)
    {
        Err(error) => {
            let expected = dense.cells.is_empty() || range.is_some();
            assert!(
                *error.kind() == ErrorKind::NotFound && expected,
                "{what}: {steps:?}: {error}"
            );
            return;
        }
        Ok(series) => series,
    };
    assert_eq!(series.edges.len(), series.steps.len() + 1);
    let mut held = 0;
    for (number, (edges, got)) in series.edges.windows(2).zip(&series.steps).enumerate() {
        let position = |edge: f64| {
            structure
                .position(axis, levels(&dense.base)[d], edge)
                .round()
        };
        let mut sides = vec![(f64::NEG_INFINITY, f64::INFINITY); structure.rank()];
        // A step's first edge is inside, whichever way the axis runs.
        let off = if dense.rising(axis) { 0.0 } else { 1e-9 };
        sides[axis] = (position(edges[0]) - off, position(edges[1]) - off);
        let of_step = Asked {
            boxes: [asked.boxes.clone(), vec![sides]].concat(),
            ..asked.clone()
        };
        dense.check(
            &of_step,
            got,
            &format!("{what}: step {number} of {steps:?}"),
        );
        held += dense.values(&of_step).len();
    }
    if range.is_none() {
        assert_eq!(
            held,
            dense.values(asked).len(),
            "{what}: {steps:?} leave cells out"
        );
    }
}

fn run(seed: u64) {
    let mut dice = Dice(seed);
    let dense = dense(&mut dice);
    for number in 0..6 {
        let asked = ask(&mut dice, &dense);
        let what = format!("seed {seed}, query {number} {:?}", asked.query);
        let ask = |query: &StatisticsQuery| {
            dense
                .grid
                .statistics(query)
                .unwrap_or_else(|error| panic!("{what}: {error}"))
        };
        let everything = asked
            .query
            .clone()
            .stats(Stat::ALL)
            .histogram(asked.bins.clone())
            .classes();
        let each = Stat::ALL.map(|stat| asked.query.clone().stats([stat]));
        let queries = [
            vec![
                asked.query.clone(),
                everything.clone(),
                asked
                    .query
                    .clone()
                    .histogram(asked.bins.clone())
                    .stats([Stat::Count]),
            ],
            each.to_vec(),
        ]
        .concat();
        for query in &queries {
            let got = ask(query);
            assert!(got.exact, "{what}");
            dense.check(&asked, &got, &what);
            let tallied = dense.weight() == 1.0
                && !dense
                    .grid
                    .structure()
                    .dimensions()
                    .iter()
                    .any(Dimension::is_refinable);
            if got.sum.is_some() && !dense.grid.schema().dtype().is_float() {
                assert!(
                    got.whole_sum.is_some() || !tallied,
                    "{what}: no sum to the last unit"
                );
                if dense.weight() >= 1.0
                    && let Some(whole) = got.whole_sum
                {
                    #[expect(clippy::cast_possible_truncation, reason = "a small power of two")]
                    let weight = dense.weight() as i128;
                    assert_eq!(
                        whole,
                        dense.whole(&asked) * weight,
                        "{what}: the sum to the last unit"
                    );
                }
            }
        }
        steps(&mut dice, &dense, &asked, &what);
        let one = asked.query.clone().stats([dice.pick(&Stat::ALL)]);
        let query = dice.pick(&[everything, asked.query.clone(), one]);
        let most = u64::try_from(dice.range(0, 30)).unwrap();
        let some = ask(&query.clone().max_chunks(most));
        assert!(
            some.chunks_read.total() <= most,
            "{what}: {:?} are more than {most}",
            some.chunks_read
        );
        dense.check(&asked, &some, &format!("{what} within {most} chunks"));
        let error = dice.pick(&[0.0, 1e-6, 0.01, 0.3]);
        let near = ask(&query.max_error(error));
        dense.check(&asked, &near, &format!("{what} within {error}"));
        for estimate in Stat::ALL
            .into_iter()
            .filter_map(|stat| near.get(stat))
            .filter(|estimate| !estimate.value.is_nan())
        {
            let most = error * estimate.low.abs().max(estimate.high.abs());
            assert!(
                (estimate.high - estimate.low) / 2.0 <= most,
                "{what}: {estimate:?} is not within {error}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: check::cases(150), ..ProptestConfig::default() })]

    /// Whatever the layers, marks pending or not.
    #[test]
    fn i7_i9_statistics_are_those_of_the_cells_themselves(seed: u64) {
        run(seed);
    }
}

/// A square of rising heights with some layers, in chunks of 16.
fn square(side: usize, aggregators: &[Aggregation]) -> Grid {
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 16), Axis::new("x", 0.0, 1.0, 16)],
    );
    let structure = Structure::builder().dimension(space).build().unwrap();
    let schema = aggregators.iter().fold(
        Schema::builder(structure, DType::F32),
        |schema, aggregator| schema.aggregator(aggregator.clone()),
    );
    let grid = Store::in_memory()
        .unwrap()
        .create("dem", schema.build().unwrap())
        .unwrap();
    let cells = Array2::from_shape_fn((side, side), |(y, x)| (y * side + x) as f32 / 64.0);
    grid.put(&Window::new([0, 0], [side as u64, side as u64]), &cells)
        .unwrap();
    grid
}

const SERVED: [Aggregation; 4] = [
    Aggregation::Sum,
    Aggregation::Count,
    Aggregation::Min,
    Aggregation::Max,
];

#[test]
fn chunks_read_grow_with_the_boundary_and_not_with_the_area() {
    let grid = square(1024, &SERVED);
    let read = |query: StatisticsQuery| {
        let answer = grid.statistics(&query).unwrap();
        assert!(answer.exact && answer.unserved.is_empty());
        (answer.count.unwrap().value, answer.chunks_read)
    };
    let extent = |side: f64| Extent::new([(-7.0 - side, -7.0), (7.0, 7.0 + side)]);
    let diamond = |side: f64| {
        let (c, r) = (511.3, side / 2.0);
        let ring = vec![[c - r, -c], [c, r - c], [c + r, -c], [c, -r - c]];
        Polygon::new(["x", "y"], [vec![ring]]).unwrap()
    };
    for shape in 0..2 {
        let mut last = None;
        for side in [120.0, 250.0, 500.0, 1000.0] {
            let query = StatisticsQuery::all();
            let (cells, chunks) = read(if shape == 0 {
                query.extent(extent(side))
            } else {
                query.polygon(diamond(side))
            });
            if let Some((area, base)) = last {
                let (larger, more): (f64, f64) = (cells / area, chunks.base as f64 / base);
                assert!(
                    larger > 3.9 && more < 2.4,
                    "{more} times the base chunks of {larger} times the area"
                );
            }
            // Chunks are 16 cells long. Of the base no more than the perimeter is read, of four
            // layers half as much a level.
            let perimeter = 4.0 * side / 16.0 + 8.0;
            assert!(
                (chunks.base as f64) < perimeter,
                "{chunks:?} for a side of {side}"
            );
            assert!(
                (chunks.aggregate as f64) < 4.0 * perimeter,
                "{chunks:?} for a side of {side}"
            );
            last = Some((cells, chunks.base as f64));
        }
    }
    // Everything is one chunk of each layer.
    assert_eq!(read(StatisticsQuery::all()).1.total(), 4);
}

#[test]
fn regions_that_partition_the_plane_add_up() {
    let grid = square(100, &SERVED);
    let all = grid.statistics(&StatisticsQuery::all()).unwrap();
    // Borders through cells, on their edges, and on their centres.
    let borders = [f64::NEG_INFINITY, -93.5, -60.0, -33.3, -10.5, f64::INFINITY];
    let parts = borders.windows(2).flat_map(|y| {
        borders
            .windows(2)
            .map(move |x| Extent::new([(y[0], y[1]), (-x[1], -x[0])]))
    });
    let (mut count, mut sum) = (0.0, 0.0);
    for part in parts {
        let part = grid
            .statistics(&StatisticsQuery::all().extent(part))
            .unwrap();
        (count, sum) = (
            count + part.count.unwrap().value,
            sum + part.sum.unwrap().value,
        );
    }
    assert_eq!(
        (count, sum),
        (all.count.unwrap().value, all.sum.unwrap().value)
    );
    // A rectangle is the same region as a polygon and as an extent.
    for [a, b, c, d] in [[3.0, 7.5, 40.5, 77.25], [10.5, 10.5, 60.5, 60.5]] {
        let ring = vec![[a, -d], [c, -d], [c, -b], [a, -b]];
        let polygon =
            StatisticsQuery::all().polygon(Polygon::new(["x", "y"], [vec![ring]]).unwrap());
        let extent = StatisticsQuery::all().extent(Extent::new([(-d, -b), (a, c)]));
        assert_eq!(
            grid.statistics(&polygon).unwrap().sum,
            grid.statistics(&extent).unwrap().sum
        );
    }
}

#[test]
fn only_what_is_asked_for_is_computed_and_read() {
    let grid = square(256, &[Aggregation::Mean, Aggregation::Max]);
    let all = StatisticsQuery::all();
    let read = |stats: &[Stat]| {
        grid.statistics(&all.clone().stats(stats.iter().copied()))
            .unwrap()
    };
    let max = read(&[Stat::Max]);
    assert_eq!(
        (
            max.chunks_read.base,
            max.chunks_read.aggregate,
            max.count,
            max.unserved.len()
        ),
        (0, 1, None, 0)
    );
    // A mean of float32 is not exact, so it serves no sum.
    let sum = read(&[Stat::Sum, Stat::Max]);
    assert_eq!(
        (
            sum.chunks_read.base,
            sum.unserved.len(),
            sum.unserved[0].what
        ),
        (256, 1, "sum")
    );
    let by_default = grid.statistics(&all).unwrap();
    assert_eq!((by_default.mean, by_default.chunks_read.base), (None, 0));
    assert_eq!(by_default.max.unwrap().value, (256.0 * 256.0 - 1.0) / 64.0);
    // Without `min`, `max` tells which cells are below a value throughout, and not which are above.
    let low = grid
        .statistics(
            &all.clone()
                .matching(Predicate::below(256.0))
                .stats([Stat::Count]),
        )
        .unwrap();
    assert_eq!(
        (low.count.unwrap().value, low.chunks_read.base),
        (64.0 * 256.0, 192)
    );
    let none = grid
        .statistics(&all.matching(Predicate::above(1e6)))
        .unwrap();
    assert_eq!(
        (none.count.unwrap().value, none.chunks_read.total()),
        (0.0, 2)
    );
}

#[test]
fn what_is_not_there_counts_nothing() {
    let grid = square(20, &SERVED);
    let outside = StatisticsQuery::all().extent(Extent::new([(100.0, 200.0), (0.0, 10.0)]));
    let empty = Store::in_memory()
        .unwrap()
        .create("empty", grid.schema().clone())
        .unwrap();
    let between_centres = StatisticsQuery::all().extent(Extent::new([(-5.4, -4.6), (3.0, 8.0)]));
    for (grid, query) in [
        (&grid, &outside),
        (&empty, &StatisticsQuery::all()),
        (&grid, &between_centres),
    ] {
        let got = grid.statistics(query).unwrap();
        let value = |stat| got.get(stat).unwrap().value;
        assert_eq!(
            (
                value(Stat::Count),
                value(Stat::Sum),
                got.chunks_read.total(),
                got.exact
            ),
            (0.0, 0.0, 0, true)
        );
        assert!(
            [Stat::Mean, Stat::Min, Stat::Max]
                .into_iter()
                .all(|stat| value(stat).is_nan())
        );
        let classes = grid
            .statistics(&query.clone().classes().stats(Stat::ALL))
            .unwrap();
        assert_eq!(
            (classes.classes, classes.std.unwrap().value.is_nan()),
            (Some(vec![]), true)
        );
    }
}

#[test]
fn a_region_that_does_not_fit_the_grid_is_refused() {
    let grid = square(20, &SERVED);
    let empty = Store::in_memory()
        .unwrap()
        .create("dem", grid.schema().clone())
        .unwrap();
    let all = StatisticsQuery::all;
    let ring = vec![vec![[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]];
    let of = |axes: [&str; 2]| all().polygon(Polygon::new(axes, [ring.clone()]).unwrap());
    let queries = [
        (
            all().extent(Extent::new([(0.0, 1.0)])),
            "grid `dem`: an extent of 1 bounds does not fit 2 axes",
        ),
        (
            all().extent(Extent::new([(0.0, 1.0), (f64::NAN, 1.0)])),
            "the extent is not a number along axis `x`",
        ),
        (all().window(Window::new([0], [1])), "grid `dem`: "),
        (
            of(["x", "z"]),
            "there is no axis `z` for the polygon; there is y, x",
        ),
        (
            of(["x", "x"]),
            "two axes of one dimension, not of `x` and `x`",
        ),
        (
            all().matching(Predicate::below(f64::NAN)),
            "compared with NaN",
        ),
        (all().max_error(-1.0), "max_error -1 is not"),
    ];
    for (query, why) in queries {
        for grid in [&grid, &empty] {
            let error = grid.statistics(&query).unwrap_err();
            assert!(
                [ErrorKind::Invalid, ErrorKind::NotFound].contains(error.kind())
                    && error.to_string().contains(why),
                "{error}"
            );
        }
    }
    let side = 300_u64;
    let cells = Array2::from_shape_fn((300, 300), |(y, x)| (y * 300 + x) as f32);
    grid.put(&Window::new([0, 0], [side, side]), &cells)
        .unwrap();
    let error = grid.statistics(&all().classes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "grid `dem`: there are more than 65536 different values there; ask for a histogram in place of classes"
    );
}

#[test]
fn sums_that_saturate_in_a_layer_are_computed_from_below() {
    let line = |name: &str| Dimension::regular(name, [Axis::new(name, 0.0, 1.0, 2)]);
    let structure = Structure::builder()
        .dimension(line("t").depth(Depth::Levels(0)))
        .dimension(line("x"))
        .build()
        .unwrap();
    let schema = SERVED.into_iter().fold(
        Schema::builder(structure, DType::I64),
        gridstone::SchemaBuilder::aggregator,
    );
    let grid = Store::in_memory()
        .unwrap()
        .create("a", schema.build().unwrap())
        .unwrap();
    let cells: Vec<i64> = (0..64)
        .map(|i| if i < 40 { i64::MAX } else { i64::MIN + i })
        .collect();
    grid.put(
        &Window::new([0, 0], [1, 64]),
        &Array1::from(cells.clone()).insert_axis(ndarray::Axis(0)),
    )
    .unwrap();
    let got = grid.statistics(&StatisticsQuery::all()).unwrap();
    assert_eq!(
        got.whole_sum,
        Some(cells.iter().map(|&cell| i128::from(cell)).sum())
    );
    assert!(got.exact && got.chunks_read.base > 0);
}

#[test]
fn the_answer_is_the_same_whatever_the_threads() {
    let grid = square(300, &SERVED);
    let ring = vec![
        [10.2, -280.0],
        [200.0, -250.5],
        [290.0, -20.0],
        [100.0, -120.0],
    ];
    let query = StatisticsQuery::all()
        .polygon(Polygon::new(["x", "y"], [vec![ring]]).unwrap())
        .stats(Stat::ALL);
    let of = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| grid.statistics(&query).unwrap())
    };
    let (one, several) = (of(1), of(4));
    assert_eq!(one, several);
    assert_eq!(
        one.std.unwrap().value.to_bits(),
        several.std.unwrap().value.to_bits()
    );
}

#[test]
fn deviations_and_classes_come_from_their_layers() {
    let grid = square(256, &[Aggregation::Variance]);
    let got = grid.statistics(&StatisticsQuery::all()).unwrap();
    // The layer keeps means of float64 and areas too.
    assert_eq!(
        (
            got.unserved.len(),
            got.chunks_read.base,
            got.chunks_read.aggregate,
            got.min
        ),
        (0, 0, 1, None)
    );
    let n = 65536.0_f64;
    let want = ((n * n - 1.0) / 12.0).sqrt() / 64.0;
    assert!(
        (got.std.unwrap().value / want - 1.0).abs() < 1e-12
            && (got.mean.unwrap().value - (n - 1.0) / 128.0).abs() < 1e-9
    );
    let grid = square(256, &[Aggregation::Mode { classes: 8 }]);
    let cells = Array2::from_shape_fn(
        (256, 256),
        |(y, x)| if y < 101 { 1.0 } else { (2 + x / 100) as f32 },
    );
    grid.put(&Window::new([0, 0], [256, 256]), &cells).unwrap();
    let query = StatisticsQuery::all().classes().stats([Stat::Count]);
    let got = grid.statistics(&query).unwrap();
    let classes: Vec<(f64, f64)> = got
        .classes
        .unwrap()
        .iter()
        .map(|class| (class.value, class.count.value))
        .collect();
    assert_eq!(
        classes,
        [
            (1.0, 25856.0),
            (2.0, 15500.0),
            (3.0, 15500.0),
            (4.0, 8680.0)
        ]
    );
    assert_eq!((got.unserved.len(), got.chunks_read.base), (0, 0));
    // More classes than a cell keeps are told from below.
    let grid = square(256, &[Aggregation::Mode { classes: 1 }]);
    grid.put(&Window::new([0, 0], [256, 256]), &cells).unwrap();
    let got = grid.statistics(&query).unwrap();
    assert_eq!(
        got.classes
            .unwrap()
            .iter()
            .map(|class| class.count.value)
            .collect::<Vec<_>>(),
        [25856.0, 15500.0, 15500.0, 8680.0]
    );
    assert!(
        (1..100).contains(&got.chunks_read.base),
        "{:?}",
        got.chunks_read
    );
}
