//! Resampled reads are what the base cells say, with a pyramid as without one, of every kind of
//! cells and of holes.

mod gdal;
mod onto;
mod picked;

use gridstone::{
    Aggregation, Answer, Axis, DType, Dimension, Extent, Freshness, Grid, Layer, Level, Levels,
    Policy, Query, Resampling, Schema, Store, Structure, Window,
};
use ndarray::{Array2, Array3};

use crate::check::{Dice, cases, levels};

/// Rows, columns and steps that may hold data.
const SIDE: usize = 24;
const STEPS: usize = 6;

/// A grid with one step or several, and its base cells of level 0, dense; `None` is no data.
struct World {
    grid: Grid,
    timed: bool,
    cells: Vec<Option<f64>>,
}

/// How cells and holes are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Floats,
    FloatsWithNodata,
    IntegersWithNodata,
    /// Integers without a nodata value, which have a mask.
    Masked,
}

const KINDS: [Kind; 4] = [
    Kind::Floats,
    Kind::FloatsWithNodata,
    Kind::IntegersWithNodata,
    Kind::Masked,
];

fn schema(kind: Kind, timed: bool, layers: &[Aggregation]) -> Schema {
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
    );
    let mut structure = Structure::builder();
    if timed {
        structure = structure.dimension(Dimension::regular("time", [Axis::new("t", 0.0, 1.0, 2)]));
    }
    let structure = structure.dimension(space).build().unwrap();
    let builder = match kind {
        Kind::Floats => Schema::builder(structure, DType::F64),
        Kind::FloatsWithNodata => Schema::builder(structure, DType::F32).nodata(0.0),
        Kind::IntegersWithNodata => Schema::builder(structure, DType::I32).nodata(7.0),
        Kind::Masked => Schema::builder(structure, DType::U8),
    };
    layers
        .iter()
        .fold(builder, |builder, layer| builder.aggregator(layer.clone()))
        .build()
        .unwrap()
}

impl World {
    fn new(
        kind: Kind,
        timed: bool,
        policy: Policy,
        layers: &[Aggregation],
        dice: &mut Dice,
    ) -> Self {
        let store = Store::options()
            .policy(policy)
            .open_engine(std::sync::Arc::new(gridstone::kv::Memory::new()))
            .unwrap();
        let grid = store.create("g", schema(kind, timed, layers)).unwrap();
        let steps = if timed { STEPS } else { 1 };
        let mut world = Self {
            grid,
            timed,
            cells: vec![None; steps * SIDE * SIDE],
        };
        for _ in 0..dice.range(1, 5) {
            world.put(kind, dice);
        }
        for _ in 0..dice.range(0, 2) {
            let (start, shape) = place(steps, dice);
            world.grid.clear(&world.window(start, shape)).unwrap();
            world.each(start, shape, |_, cell| *cell = None);
        }
        world
    }

    fn window(&self, [t, y, x]: [usize; 3], [dt, dy, dx]: [usize; 3]) -> Window {
        let at = |cell: usize| i64::try_from(cell).unwrap();
        match self.timed {
            true => Window::new([at(t), at(y), at(x)], [dt as u64, dy as u64, dx as u64]),
            false => Window::new([at(y), at(x)], [dy as u64, dx as u64]),
        }
    }

    fn each(
        &mut self,
        start: [usize; 3],
        shape: [usize; 3],
        mut change: impl FnMut([usize; 3], &mut Option<f64>),
    ) {
        for t in 0..shape[0] {
            for y in 0..shape[1] {
                for x in 0..shape[2] {
                    let at = ((start[0] + t) * SIDE + start[1] + y) * SIDE + start[2] + x;
                    change([t, y, x], &mut self.cells[at]);
                }
            }
        }
    }

    fn put(&mut self, kind: Kind, dice: &mut Dice) {
        let (start, shape) = place(self.cells.len() / SIDE / SIDE, dice);
        let holes = if kind == Kind::Masked {
            0
        } else {
            dice.pick(&[0, 30, 80])
        };
        let values: Array3<Option<f64>> = Array3::from_shape_simple_fn(shape, || {
            // Values on both sides of the nodata values, and 0 where it is data.
            let value = dice.range(if kind == Kind::Masked { 0 } else { -20 }, 40) as f64;
            let is_nodata = kind == Kind::FloatsWithNodata && value == 0.0
                || kind == Kind::IntegersWithNodata && value == 7.0;
            (!dice.chance(holes) && !is_nodata).then_some(value)
        });
        let window = self.window(start, shape);
        macro_rules! put {
            ($type:ty, $nodata:expr) => {{
                let cells = values.mapv(|value| {
                    value.map_or($nodata, <$type as gridstone::array::Cell>::from_f64)
                });
                if self.timed {
                    self.grid.put(&window, &cells).unwrap();
                } else {
                    let plane: Array2<$type> = cells.index_axis(ndarray::Axis(0), 0).to_owned();
                    self.grid.put(&window, &plane).unwrap();
                }
            }};
        }
        match kind {
            Kind::Floats => put!(f64, f64::NAN),
            Kind::FloatsWithNodata => put!(f32, 0.0),
            Kind::IntegersWithNodata => put!(i32, 7),
            Kind::Masked => put!(u8, 0),
        }
        // Holes leave what is there alone.
        self.each(start, shape, |at, cell| *cell = values[at].or(*cell));
    }

    /// The sum of value times overlap with a box, and the overlap with what is valid.
    fn over(&self, sides: [(f64, f64); 3]) -> (f64, f64) {
        let cells = self.under(sides);
        (
            cells.iter().map(|(value, part)| value * part).sum(),
            cells.iter().map(|(_, part)| part).sum(),
        )
    }

    /// The valid cells that overlap a box, each with the part of it that does.
    fn under(&self, sides: [(f64, f64); 3]) -> Vec<(f64, f64)> {
        let part = |(low, high): (f64, f64), at: usize| {
            (high.min(at as f64 + 1.0) - low.max(at as f64)).max(0.0)
        };
        let overlap = |number: usize| -> f64 {
            let at = [number / SIDE / SIDE, number / SIDE % SIDE, number % SIDE];
            (0..3).map(|axis| part(sides[axis], at[axis])).product()
        };
        let cells = self
            .cells
            .iter()
            .enumerate()
            .filter_map(|(number, cell)| Some(((*cell)?, overlap(number))));
        cells.filter(|(_, overlap)| *overlap > 1e-9).collect()
    }

    /// What a resampling makes of a box by its definition, and the part of the box that is valid.
    fn made(&self, how: Resampling, sides: [(f64, f64); 3]) -> (Option<f64>, f64) {
        let (cells, (sum, area)) = (self.under(sides), self.over(sides));
        let of_class = |class: f64| {
            cells
                .iter()
                .filter(|(value, _)| *value == class)
                .map(|(_, part)| part)
                .sum::<f64>()
        };
        let frequent = |best: Option<(f64, f64)>, class: f64| match (best, of_class(class)) {
            (Some((best, most)), area)
                if area < most - 1e-9 || area < most + 1e-9 && best <= class =>
            {
                Some((best, most))
            }
            (_, area) => Some((class, area)),
        };
        let mut values = cells.iter().map(|(value, _)| *value);
        let value = match how {
            Resampling::Area => values.next().map(|_| sum / area),
            Resampling::Min => values.reduce(f64::min),
            Resampling::Max => values.reduce(f64::max),
            Resampling::Mode => values.fold(None, frequent).map(|(class, _)| class),
            Resampling::Sum => values.next().map(|_| sum),
            other => panic!("`{other}` is not made here"),
        };
        (value, area)
    }

    /// What an answer's cells cover, in cells of level 0, one after the other; those of a target
    /// where it names an axis.
    fn boxes(&self, answer: &Answer) -> Vec<[(f64, f64); 3]> {
        let mut sides: Vec<Vec<(f64, f64)>> = Vec::new();
        if !self.timed {
            sides.push(vec![(0.0, 1.0)]);
        }
        let axes = self
            .grid
            .structure()
            .axes()
            .zip(answer.extent.bounds())
            .zip(answer.array.shape());
        for ((axis, (lower, upper)), len) in axes {
            let (first, last) = match answer
                .target
                .as_ref()
                .and_then(|target| target.line(axis.name()))
            {
                Some(line) => (line.start, line.start + line.step * line.len as f64),
                None if axis.step() < 0.0 => (*upper, *lower),
                None => (*lower, *upper),
            };
            let edge =
                |cell: usize| axis.step() * (first + (last - first) * cell as f64 / *len as f64);
            let side = |cell: usize| {
                (
                    edge(cell).min(edge(cell + 1)),
                    edge(cell).max(edge(cell + 1)),
                )
            };
            sides.push((0..*len).map(side).collect());
        }
        let (t, y, x) = (&sides[0], &sides[1], &sides[2]);
        t.iter()
            .flat_map(|t| {
                y.iter()
                    .flat_map(move |y| x.iter().map(move |x| [*t, *y, *x]))
            })
            .collect()
    }

    /// A box of the world, partly beyond the data, on edges of cells or not.
    fn extent(&self, dice: &mut Dice) -> Extent {
        let quarters = dice.pick(&[1, 4]);
        let mut side = |from: i64, to: i64, least: i64| {
            let start = dice.range(from * quarters, (to - 1) * quarters);
            let len = dice.range(least, (to - from) * quarters);
            (
                start as f64 / quarters as f64,
                (start + len) as f64 / quarters as f64,
            )
        };
        let (y, x) = (side(-6, 30, 1), side(-6, 30, 1));
        let time = side(-2, 8, 1);
        let space = [(-y.1, -y.0), x];
        Extent::new(self.timed.then_some(time).into_iter().chain(space))
    }

    fn shape(&self, dice: &mut Dice) -> Vec<usize> {
        let rank = if self.timed { 3 } else { 2 };
        (0..rank)
            .map(|_| usize::try_from(dice.range(1, 13)).unwrap())
            .collect()
    }
}

fn place(steps: usize, dice: &mut Dice) -> ([usize; 3], [usize; 3]) {
    let mut side = |len: usize| {
        let start = usize::try_from(dice.range(0, i64::try_from(len).unwrap() - 1)).unwrap();
        (
            start,
            usize::try_from(dice.range(1, i64::try_from(len - start).unwrap())).unwrap(),
        )
    };
    let [t, y, x] = [side(steps), side(SIDE), side(SIDE)];
    ([t.0, y.0, x.0], [t.1, y.1, x.1])
}

/// How far a mean may be off: float32 rounds, and integers round to whole ones.
fn tolerance(answer: &Answer) -> f64 {
    match answer.array.dtype() {
        DType::F64 => 1e-9,
        DType::F32 => 1e-5,
        _ => 0.5 + 1e-9,
    }
}

fn worlds(seed: u64, layers: &[&[Aggregation]], mut check: impl FnMut(&World, &mut Dice, &str)) {
    let mut dice = Dice(seed);
    for case in 0..cases(20) {
        let (kind, timed) = (dice.pick(&KINDS), dice.chance(40));
        let policy = dice.pick(&[Policy::Inline, Policy::Manual]);
        let layers = dice.pick(layers);
        let at = format!(
            "seed {seed}, case {case}: {kind:?}, timed {timed}, {policy:?}, layers {layers:?}"
        );
        let world = World::new(kind, timed, policy, layers, &mut dice);
        for _ in 0..6 {
            check(&world, &mut dice, &at);
        }
    }
}

/// A query of any extent and shape that is read fresh, since nobody aggregates under
/// `Policy::Manual`.
fn query(world: &World, dice: &mut Dice) -> Query {
    let extent = world.extent(dice);
    let query = Query::extent(extent).freshness(Freshness::Fresh);
    if dice.chance(30) {
        let size = dice.pick(&[0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0]);
        return query.resolution(world.grid.structure().axes().map(|_| size));
    }
    query.shape(world.shape(dice))
}

#[test]
fn area_is_the_mean_of_the_valid_base_cells() {
    let layers: [&[Aggregation]; 4] = [
        &[],
        &[Aggregation::Mean],
        &[Aggregation::Max, Aggregation::Mean],
        &[Aggregation::Sum, Aggregation::Count],
    ];
    worlds(1, &layers, |world, dice, at| {
        let query = query(world, dice).resampled(Resampling::Area);
        let answer = match world.grid.read(&query) {
            Ok(answer) => answer,
            Err(error) => panic!("{at}: {query:?}: {error}"),
        };
        for (number, (found, sides)) in answer.values().zip(world.boxes(&answer)).enumerate() {
            let (sum, area) = world.over(sides);
            let off = tolerance(&answer);
            let right = match found {
                None => area < 1e-6,
                Some(found) => {
                    area > 1e-9
                        && (found - sum / area).abs() <= off * (1.0 + (sum / area).abs()).max(1.0)
                }
            };
            // An integer that would be the nodata value is the next one.
            let stepped = answer.array.dtype() == DType::I32
                && found.is_some_and(|found| (found - sum / area).abs() <= 1.5);
            assert!(
                right || stepped,
                "{at}: {query:?}: cell {number} over {sides:?}: {found:?} for {} ({area} valid)",
                sum / area
            );
        }
    });
}

#[test]
fn sums_and_counts_are_those_of_the_answers_own_cells() {
    let layers: [&[Aggregation]; 1] = [&[Aggregation::Sum, Aggregation::Count]];
    worlds(2, &layers, |world, dice, at| {
        let resampling = dice.pick(&[
            Resampling::Nearest,
            Resampling::Bilinear,
            Resampling::Cubic,
            Resampling::Area,
        ]);
        let rank = if world.timed { 2 } else { 1 };
        let query = match dice.chance(40) {
            // Levels finer and coarser than the base, of which the coarser ones may not be there.
            true => {
                let level = |dice: &mut Dice| i8::try_from(dice.range(-2, 2)).unwrap();
                let levels: Levels = levels(&(0..rank).map(|_| level(dice)).collect::<Vec<_>>());
                Query::extent(world.extent(dice))
                    .levels(levels)
                    .freshness(Freshness::Fresh)
            }
            false => query(world, dice),
        };
        let query = query.resampled(resampling);
        for layer in [Aggregation::Sum, Aggregation::Count] {
            let query = query.clone().layer(Layer::Aggregate(layer.clone()));
            let answer = match world.grid.read(&query) {
                Ok(answer) => answer,
                Err(error) if error.to_string().contains("there is no level") => return,
                Err(error) => panic!("{at}: {query:?}: {error}"),
            };
            for (number, (found, sides)) in answer.values().zip(world.boxes(&answer)).enumerate() {
                let (sum, area) = world.over(sides);
                let wanted = if layer == Aggregation::Sum { sum } else { area };
                let right = match found {
                    None => layer == Aggregation::Sum && area < 1e-6,
                    Some(found) => {
                        (layer == Aggregation::Count || area > 1e-9)
                            && (found - wanted).abs() < 1e-6 * (1.0 + wanted.abs())
                    }
                };
                assert!(
                    right,
                    "{at}: {query:?}: {layer} of cell {number} over {sides:?}: {found:?} for {wanted} ({area} valid)"
                );
            }
        }
    });
}

/// Whether a cell is data and what it may be does not depend on what lies far away, on bands, or on
/// where the window ends.
#[test]
fn an_answer_depends_on_the_cells_around_it_alone() {
    let layers: [&[Aggregation]; 2] = [&[], &[Aggregation::Mean]];
    worlds(3, &layers, |world, dice, at| {
        let resampling = dice.pick(&[
            Resampling::Nearest,
            Resampling::Bilinear,
            Resampling::Cubic,
            Resampling::Area,
        ]);
        let extent = world.extent(dice);
        let query = Query::extent(extent.clone())
            .resampled(resampling)
            .freshness(Freshness::Fresh);
        // Finer than the data, so that it is read at the base's level whatever is aggregated.
        let shape: Vec<usize> = extent
            .bounds()
            .iter()
            .map(|(lower, upper)| usize::try_from(whole((upper - lower) * 2.0)).unwrap())
            .collect();
        let query = query.shape(shape.iter().map(|len| (*len).max(1)));
        let before: Vec<Option<f64>> = world.grid.read(&query).unwrap().values().collect();
        let far = if world.timed {
            Window::new([0, 400, -300], [1, 1, 1])
        } else {
            Window::new([400, -300], [1, 1])
        };
        let ones = ndarray::ArrayD::from_elem(
            if world.timed {
                vec![1, 1, 1]
            } else {
                vec![1, 1]
            },
            1.0_f64,
        );
        let typed = |dtype: DType| match dtype {
            DType::F64 => gridstone::Array::from(ones.clone()),
            DType::F32 => ones.mapv(|_| 1.0_f32).into(),
            DType::I32 => ones.mapv(|_| 1_i32).into(),
            _ => ones.mapv(|_| 1_u8).into(),
        };
        world
            .grid
            .put(&far, &typed(world.grid.schema().dtype()))
            .unwrap();
        let after: Vec<Option<f64>> = world.grid.read(&query).unwrap().values().collect();
        world.grid.clear(&far).unwrap();
        assert_eq!(before, after, "{at}: {query:?}");
    });
}

#[expect(clippy::cast_possible_truncation, reason = "small")]
fn whole(number: f64) -> i64 {
    number.floor() as i64
}

fn plane(layers: &[Aggregation], dtype: DType, bands: usize) -> Grid {
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 8), Axis::new("x", 0.0, 1.0, 8)],
    );
    let band =
        (bands > 0).then(|| Dimension::fixed("band", (1..=bands).map(|band| band.to_string())));
    let structure = band
        .into_iter()
        .fold(Structure::builder(), |builder, band| {
            builder.dimension(band)
        });
    let schema = Schema::builder(structure.dimension(space).build().unwrap(), dtype);
    let schema = layers
        .iter()
        .fold(schema, |schema, layer| schema.aggregator(layer.clone()))
        .build()
        .unwrap();
    Store::in_memory().unwrap().create("g", schema).unwrap()
}

#[test]
fn constant_data_is_constant_to_its_edge() {
    for dtype in [DType::I16, DType::F32] {
        let grid = plane(&[Aggregation::Max], dtype, 0);
        let cells = ndarray::Array2::from_elem((8, 8), 1000_i16);
        match dtype {
            DType::I16 => grid.put(&Window::new([0, 0], [8, 8]), &cells).unwrap(),
            _ => grid
                .put(&Window::new([0, 0], [8, 8]), &cells.mapv(f32::from))
                .unwrap(),
        };
        for resampling in [
            Resampling::Nearest,
            Resampling::Bilinear,
            Resampling::Cubic,
            Resampling::Area,
        ] {
            for n in [1, 3, 4, 8, 13, 16, 64] {
                let answer = grid
                    .read(&Query::all().shape([n, n]).resampled(resampling))
                    .unwrap();
                assert!(
                    answer.values().all(|value| value == Some(1000.0)),
                    "{dtype} {resampling} {n}: {:?}",
                    answer.array
                );
            }
            let over = Extent::new([(-8.0, 0.0), (-1.0, 8.0)]);
            let answer = grid
                .read(&Query::extent(over).shape([1, 3]).resampled(resampling))
                .unwrap();
            assert_eq!(
                answer.values().collect::<Vec<_>>(),
                [Some(1000.0); 3],
                "{dtype} {resampling}"
            );
        }
    }
}

#[test]
fn beside_the_data_there_is_none_with_bands_as_without() {
    for bands in [0, 3] {
        let grid = plane(&[Aggregation::Mean], DType::U8, bands);
        let (start, shape) = if bands > 0 {
            (vec![0, 0, 0], vec![bands, 8, 8])
        } else {
            (vec![0, 0], vec![8, 8])
        };
        let window = Window::new(
            &start[..],
            &shape.iter().map(|len| *len as u64).collect::<Vec<_>>()[..],
        );
        grid.put(&window, &ndarray::ArrayD::from_elem(shape, 9_u8))
            .unwrap();
        let sides = [(50.0, 60.0), (-70.0, -40.0)];
        let labels = (bands > 0).then_some((0.0, bands as f64));
        let beside = Extent::new(labels.into_iter().chain(sides));
        for resampling in [
            Resampling::Nearest,
            Resampling::Bilinear,
            Resampling::Cubic,
            Resampling::Area,
        ] {
            let shape = (bands > 0).then_some(bands).into_iter().chain([5, 5]);
            let answer = grid
                .read(
                    &Query::extent(beside.clone())
                        .shape(shape)
                        .resampled(resampling),
                )
                .unwrap();
            assert!(
                answer.values().all(|value| value.is_none()),
                "{bands} bands, {resampling}"
            );
            assert_eq!(answer.values().count(), 25 * bands.max(1));
        }
    }
}

#[test]
fn bands_are_not_mixed() {
    let grid = plane(&[], DType::F64, 2);
    let cells = ndarray::arr3(&[[[1.0, 1.0], [1.0, 1.0]], [[9.0, 9.0], [9.0, 9.0]]]);
    grid.put(&Window::new([0, 0, 0], [2, 2, 2]), &cells)
        .unwrap();
    for resampling in [Resampling::Bilinear, Resampling::Cubic, Resampling::Area] {
        let answer = grid
            .read(&Query::all().shape([2, 3, 3]).resampled(resampling))
            .unwrap();
        let wanted = [[1.0; 9], [9.0; 9]].concat();
        let near = answer
            .values()
            .zip(&wanted)
            .all(|(found, wanted)| found.is_some_and(|found| (found - wanted).abs() < 1e-12));
        assert!(near, "{resampling}: {:?}", answer.array);
    }
    let error = grid
        .read(&Query::all().shape([1, 3, 3]).resampled(Resampling::Area))
        .expect_err("labels do not mix");
    assert!(
        error.to_string().contains("labels are not resampled"),
        "{error}"
    );
}

#[test]
fn nearest_takes_the_same_side_on_both_axes() {
    // Origins and steps that no double has exactly.
    let space = Dimension::regular(
        "space",
        [
            Axis::new("y", 37.488_578_306, -0.000_808_483, 8),
            Axis::new("x", -119.514_096, 0.000_808_483, 8),
        ],
    );
    let schema = Schema::builder(
        Structure::builder().dimension(space).build().unwrap(),
        DType::I32,
    )
    .build()
    .unwrap();
    let grid = Store::in_memory().unwrap().create("g", schema).unwrap();
    let cells =
        ndarray::Array2::from_shape_fn((64, 64), |(y, x)| i32::try_from(100 * y + x).unwrap());
    grid.put(&Window::new([0, 0], [64, 64]), &cells).unwrap();
    for ratio in [2, 4, 8, 16] {
        let n = 64 / ratio;
        let answer = grid
            .read(&Query::all().shape([n, n]))
            .unwrap()
            .array
            .into_typed::<i32>()
            .unwrap();
        let middle = |cell: usize| cell * ratio + ratio / 2;
        let wanted = ndarray::Array2::from_shape_fn((n, n), |(y, x)| cells[[middle(y), middle(x)]]);
        assert_eq!(answer, wanted.into_dyn(), "every {ratio} cells");
    }
}

#[test]
fn finer_levels_divide_sums_before_finer_data_comes_and_after() {
    let grid = plane(&[Aggregation::Sum, Aggregation::Count], DType::F64, 0);
    let at: Levels = [Level::new(-1).unwrap()].into_iter().collect();
    grid.put(
        &Window::new([0, 0], [4, 4]),
        &Array2::from_elem((4, 4), 1.0),
    )
    .unwrap();
    let total = |layer: Aggregation| -> f64 {
        let query =
            Query::window(Window::new([0, 0], [8, 8]).at(at)).layer(Layer::Aggregate(layer));
        grid.read(&query).unwrap().values().flatten().sum()
    };
    let first = (total(Aggregation::Sum), total(Aggregation::Count));
    grid.put(
        &Window::new([100, 100], [2, 2]).at(at),
        &Array2::from_elem((2, 2), 1.0),
    )
    .unwrap();
    assert_eq!(
        (first, (total(Aggregation::Sum), total(Aggregation::Count))),
        ((16.0, 16.0), (16.0, 16.0))
    );
}
