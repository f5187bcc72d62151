//! Random histories against a dense oracle.

use std::sync::Arc;

use gridstone::kv::Memory;
use gridstone::{
    Aggregation, Axis, DType, Depth, Dimension, Freshness, Grid, Policy, Schema, Store, Structure,
    Window,
};
use proptest::prelude::*;

use crate::check::{self, Dice, levels};
use crate::oracle::{Oracle, array};

/// What a random grid is made from.
#[derive(Clone, Debug)]
struct Design {
    shape: u8,
    seed: u64,
}

#[derive(Clone, Debug)]
struct Put {
    grid: usize,
    replace: bool,
    /// Percent of cells without data.
    holes: u64,
    seed: u64,
}

#[derive(Clone, Debug)]
enum Op {
    Batch(Vec<Put>),
    Clear {
        grid: usize,
        shrink: bool,
        seed: u64,
    },
    /// Puts and removals that meet at few places, at several levels, with nothing aggregated in
    /// between but by chance.
    Burst {
        grid: usize,
        seed: u64,
    },
    Clean(usize),
    Step(usize),
    Aggregate(usize),
    AggregateAll,
    Reopen {
        how: u8,
        inline: bool,
    },
}

fn design() -> impl Strategy<Value = Design> {
    (0..8_u8, any::<u64>()).prop_map(|(shape, seed)| Design { shape, seed })
}

fn put() -> impl Strategy<Value = Put> {
    let holes = prop_oneof![3 => Just(0), 3 => Just(20), 2 => Just(90), 1 => Just(100)];
    (0..2_usize, any::<bool>(), holes, any::<u64>()).prop_map(|(grid, replace, holes, seed)| Put {
        grid,
        replace,
        holes,
        seed,
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => put().prop_map(|put| Op::Batch(vec![put])),
        2 => proptest::collection::vec(put(), 2..5).prop_map(Op::Batch),
        2 => (0..2_usize, any::<bool>(), any::<u64>()).prop_map(|(grid, shrink, seed)| Op::Clear { grid, shrink, seed }),
        2 => (0..2_usize, any::<u64>()).prop_map(|(grid, seed)| Op::Burst { grid, seed }),
        1 => (0..2_usize).prop_map(Op::Clean),
        2 => (0..2_usize).prop_map(Op::Step),
        1 => (0..2_usize).prop_map(Op::Aggregate),
        1 => Just(Op::AggregateAll),
        2 => (0..3_u8, any::<bool>()).prop_map(|(how, inline)| Op::Reopen { how, inline }),
    ]
}

/// The levels of a grid's puts: those of the first ones, and by how much others differ in the
/// refinable dimension.
struct Spread {
    base: Vec<i8>,
    refinable: Option<usize>,
    offsets: Vec<i8>,
}

impl Spread {
    fn oracle(&self, schema: &Schema) -> Oracle {
        let mut ground = self.base.clone();
        if let Some(d) = self.refinable {
            ground[d] += self.offsets.iter().min().unwrap();
        }
        Oracle::with_ground(schema, &self.base, &ground)
    }

    fn pick(&self, dice: &mut Dice) -> Vec<i8> {
        let mut levels = self.base.clone();
        if let Some(d) = self.refinable {
            levels[d] += dice.pick(&self.offsets);
        }
        levels
    }
}

/// Builds the schema and base levels of a design.
fn build(design: &Design) -> (Schema, Spread) {
    let mut dice = Dice(design.seed);
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
    let together = dice.chance(50);
    let band = || {
        let band = Dimension::fixed("band", ["red", "green", "blue"]);
        if together { band.together() } else { band }
    };
    let dimensions = match design.shape {
        0 => vec![line("x", &mut dice)],
        1 => vec![space(&mut dice)],
        2 => vec![line("time", &mut dice), space(&mut dice)],
        3 => vec![space(&mut dice), line("time", &mut dice)],
        4 => vec![band(), space(&mut dice)],
        5 => vec![line("time", &mut dice), space(&mut dice).refinable()],
        6 => vec![line("time", &mut dice), space(&mut dice), band()],
        _ => vec![
            line("time", &mut dice),
            line("z", &mut dice).refinable(),
            line("x", &mut dice),
        ],
    };
    let base = dimensions
        .iter()
        .map(|d| {
            if d.is_fixed() {
                0
            } else {
                dice.pick(&[0, 0, -1, 2])
            }
        })
        .collect();
    let offsets = match dimensions.len() {
        1 if design.shape == 0 => dice.pick(&[vec![0], vec![-4, -1, 0, 0, 3], vec![-2, 0]]),
        _ => dice.pick(&[vec![0], vec![-1, 0, 0, 1], vec![-2, 0]]),
    };
    let lines: Vec<String> = dimensions
        .iter()
        .filter(|d| !d.is_fixed() && d.axes().len() == 1)
        .map(|d| d.name().to_owned())
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
        (DType::U16, Some(0.0)),
    ]);
    let mut schema = Schema::builder(structure, dtype);
    if let Some(nodata) = nodata {
        schema = schema.nodata(nodata);
    }
    let first = lines.iter().map(|dimension| Aggregation::First {
        dimension: dimension.clone(),
    });
    let last = lines.iter().map(|dimension| Aggregation::Last {
        dimension: dimension.clone(),
    });
    let mut aggregators: Vec<_> = Aggregation::plain().chain(first).chain(last).collect();
    let all = aggregators.len();
    let keep = usize::try_from(dice.pick(&[0, 1, 1, 2, 2, 3, 4, 6])).unwrap();
    for _ in keep..all {
        aggregators.remove(usize::try_from(dice.range(0, aggregators.len() as i64 - 1)).unwrap());
    }
    let schema = aggregators
        .into_iter()
        .fold(schema, gridstone::SchemaBuilder::aggregator)
        .build()
        .unwrap();
    let refinable = schema.structure().refinable();
    (
        schema,
        Spread {
            base,
            refinable,
            offsets,
        },
    )
}

/// A value of a cell type, or a hole.
fn value(dice: &mut Dice, schema: &Schema, holes: u64) -> f64 {
    let (dtype, nodata) = (schema.dtype(), schema.nodata());
    if dice.chance(holes) {
        match nodata {
            Some(nodata) if !dtype.is_float() || dice.chance(50) => return nodata,
            None if !dtype.is_float() => {}
            _ => return f64::NAN,
        }
    }
    let classes = schema
        .aggregators()
        .iter()
        .any(|layer| matches!(layer, Aggregation::Mode { .. }));
    let value = match dtype {
        // So few that the mode of all of them is exact.
        _ if classes => dice.pick(&[
            0.0,
            if dtype.is_float() && schema.structure().refinable().is_none() {
                -0.0
            } else {
                0.0
            },
            1.0,
            2.0,
            3.0,
            100.0,
        ]),
        DType::F32 => match dice.range(0, 9) {
            // Copied down, a negative zero would become a positive one in a mean.
            0 if schema.structure().refinable().is_none() => -0.0,
            1 => dice.range(-3, 3) as f64 / 8.0,
            _ => dice.range(-(1 << 24), 1 << 24) as f64 * (-14_f64).exp2(),
        },
        DType::F64 => dice.range(-(1 << 50), 1 << 50) as f64 * (-20_f64).exp2(),
        DType::I16 => dice.range(-32768, 32767) as f64,
        DType::U8 => dice.range(0, 255) as f64,
        DType::U16 => dice.range(0, 65535) as f64,
        _ => dice.range(-(1 << 40), 1 << 40) as f64,
    };
    match nodata {
        // One beside the nodata value is data like any other.
        Some(nodata) if value == nodata || dice.chance(5) => nodata + 1.0,
        _ => value,
    }
}

/// A random window and its values.
fn window(dice: &mut Dice, oracle: &Oracle, up: &[i8]) -> (Vec<i64>, Vec<u64>) {
    let structure = oracle.schema().structure();
    let (reach, most) = match structure.rank() {
        1 => (300, 40),
        2 => (24, 12),
        3 => (8, 6),
        _ => (4, 4),
    };
    let mut window = (Vec::new(), Vec::new());
    for (dimension, up) in structure.dimensions().iter().zip(up) {
        let reach = if *up > 0 { reach >> up } else { reach << -up };
        for _ in dimension.axes() {
            let (first, len) = match dimension.labels() {
                Some(labels) => {
                    let first = dice.range(0, labels.len() as i64 - 1);
                    (first, dice.range(1, labels.len() as i64 - first))
                }
                None => (dice.range(-reach, reach), dice.range(1, most)),
            };
            window.0.push(first);
            window.1.push(u64::try_from(len).unwrap());
        }
    }
    window
}

/// Where the store lives, and how it is opened again.
trait Host {
    fn reopen(&mut self, how: u8, policy: Policy) -> Store;
}

#[derive(Default)]
struct InMemory {
    engine: Arc<Memory>,
}

impl Host for InMemory {
    fn reopen(&mut self, how: u8, policy: Policy) -> Store {
        self.engine = match how {
            // Every put is synced, so power loss takes aggregates at most.
            0 => Arc::new(self.engine.crash(0)),
            1 => Arc::new(self.engine.crash(1)),
            _ => Arc::new(self.engine.reopen()),
        };
        Store::options()
            .policy(policy)
            .open_engine(Arc::clone(&self.engine) as Arc<dyn gridstone::kv::Engine>)
            .unwrap()
    }
}

fn run(host: &mut dyn Host, designs: [Design; 2], ops: &[Op]) -> Result<(), String> {
    let mut store = host.reopen(2, Policy::Manual);
    let spreads = designs.each_ref().map(build);
    let mut oracles = spreads
        .each_ref()
        .map(|(schema, spread)| spread.oracle(schema));
    for (name, oracle) in ["a", "b"].iter().zip(&oracles) {
        store.create(name, oracle.schema().clone()).unwrap();
    }
    let mut grids: Vec<Grid> = store.grids().unwrap();
    let mut dice = Dice(designs[0].seed);
    for (number, op) in ops.iter().enumerate() {
        let blame = |wrong: String| format!("after op {number}, {op:?}: {wrong}");
        match op {
            Op::Batch(puts) => {
                // All puts of a batch into one grid have the same levels; what happens else is told
                // elsewhere.
                let at = spreads
                    .each_ref()
                    .map(|(_, spread)| spread.pick(&mut Dice(puts[0].seed)));
                let arrays: Vec<_> = puts
                    .iter()
                    .map(|put| {
                        let (mut dice, oracle) = (Dice(put.seed), &oracles[put.grid]);
                        let up: Vec<i8> = at[put.grid]
                            .iter()
                            .zip(&spreads[put.grid].1.base)
                            .map(|(at, base)| at - base)
                            .collect();
                        let (start, shape) = window(&mut dice, oracle, &up);
                        let cells = shape.iter().product::<u64>();
                        let values: Vec<f64> = (0..cells)
                            .map(|_| value(&mut dice, oracle.schema(), put.holes))
                            .collect();
                        let sizes: Vec<usize> = shape
                            .iter()
                            .map(|&len| usize::try_from(len).unwrap())
                            .collect();
                        let array = array(oracle.schema().dtype(), &sizes, &values);
                        (start, shape, values, array)
                    })
                    .collect();
                let mut batch = store.batch();
                let mut refused = false;
                for (put, (start, shape, _, array)) in puts.iter().zip(&arrays) {
                    let window =
                        Window::new(start.as_slice(), gridstone::Shape::from(shape.as_slice()));
                    let window = window.at(levels(&at[put.grid]));
                    refused |= has_finer(&grids[put.grid], &window);
                    if put.replace {
                        batch.replace(&grids[put.grid], &window, array).unwrap();
                    } else {
                        batch.put(&grids[put.grid], &window, array).unwrap();
                    }
                }
                match batch.commit() {
                    Ok(commit) => {
                        assert!(
                            !refused,
                            "{}",
                            blame("a put over finer data went through".to_owned())
                        );
                        assert!(
                            store.policy() == Policy::Manual || commit.marks == 0,
                            "an inline commit leaves no marks"
                        );
                        for (put, (start, shape, values, _)) in puts.iter().zip(&arrays) {
                            oracles[put.grid].put_at(
                                &at[put.grid],
                                start,
                                shape,
                                values,
                                put.replace,
                            );
                        }
                    }
                    Err(error) => {
                        let aggregated =
                            matches!(error.kind(), gridstone::ErrorKind::AggregatedLevel { .. });
                        assert!(refused && aggregated, "{}", blame(error.to_string()));
                    }
                }
            }
            Op::Clear { grid, shrink, seed } => {
                let (mut dice, oracle, grid) = (Dice(*seed), &mut oracles[*grid], &grids[*grid]);
                let mut at = spreads
                    .iter()
                    .zip(&grids)
                    .find(|(_, other)| other.name() == grid.name())
                    .unwrap()
                    .0
                    .1
                    .pick(&mut dice);
                if let Some(used) = grid.base_levels().unwrap()
                    && dice.chance(60)
                {
                    at = check::numbers(&used);
                }
                let up: Vec<i8> = at.iter().map(|_| 0).collect();
                let (mut start, mut shape) = window(&mut dice, oracle, &up);
                if let Some((first, len)) = oracle
                    .bounds(&at)
                    .filter(|_| at.iter().zip(oracle.base()).all(|(at, base)| at >= base))
                {
                    // All of the data along most axes.
                    for axis in 0..start.len() {
                        if dice.chance(70) {
                            (start[axis], shape[axis]) = (first[axis], len[axis]);
                        }
                    }
                }
                let window =
                    Window::new(start.as_slice(), gridstone::Shape::from(shape.as_slice()))
                        .at(levels(&at));
                if *shrink {
                    grid.delete(&window).unwrap()
                } else {
                    grid.clear(&window).unwrap()
                };
                oracle.clear_at(&at, &start, &shape, *shrink);
                let used: Vec<Vec<i8>> = grid
                    .levels_in_use()
                    .unwrap()
                    .iter()
                    .map(check::numbers)
                    .collect();
                oracle.adopt(&used, None);
            }
            Op::Burst { grid, seed } => {
                burst(&grids[*grid], &mut oracles[*grid], &spreads[*grid].1, *seed)
                    .map_err(blame)?
            }
            Op::Clean(number) => {
                let (grid, oracle) = (&grids[*number], &mut oracles[*number]);
                grid.clean().unwrap();
                let used: Vec<Vec<i8>> = grid
                    .levels_in_use()
                    .unwrap()
                    .iter()
                    .map(check::numbers)
                    .collect();
                let bounds = grid
                    .bounds()
                    .unwrap()
                    .map(|bounds| (bounds.start().to_vec(), bounds.shape().to_vec()));
                oracle.adopt(&used, Some(bounds));
                check::drained(grid, oracle, &mut dice).map_err(blame)?;
                let base = grid.base_chunks().unwrap();
                let held: std::collections::BTreeSet<Vec<i8>> = base
                    .iter()
                    .map(|chunk| check::numbers(&chunk.location.levels()))
                    .collect();
                assert!(
                    used.iter().all(|levels| held.contains(levels)),
                    "a level without data is left: {used:?}, {held:?}"
                );
            }
            Op::Step(grid) => drop(grids[*grid].aggregate_step().unwrap()),
            Op::Aggregate(grid) => {
                grids[*grid].aggregate().unwrap();
                check::drained(&grids[*grid], &mut oracles[*grid], &mut dice).map_err(blame)?;
            }
            Op::AggregateAll => store.aggregate().unwrap(),
            Op::Reopen { how, inline } => {
                grids.clear();
                drop(store);
                store = host.reopen(
                    *how,
                    if *inline {
                        Policy::Inline
                    } else {
                        Policy::Manual
                    },
                );
                grids = store.grids().unwrap();
            }
        }
        for (grid, oracle) in grids.iter().zip(&mut oracles) {
            check::grid(grid, oracle, &mut dice, false)
                .map_err(|wrong| format!("grid {}: {}", grid.name(), blame(wrong)))?;
        }
    }
    let report = store.verify().unwrap();
    assert_eq!(report.findings, [], "marks explain whatever is out of date");
    store.aggregate().unwrap();
    for (grid, oracle) in grids.iter().zip(&mut oracles) {
        check::drained(grid, oracle, &mut dice)
            .map_err(|wrong| format!("at the end: grid {}: {wrong}", grid.name()))?;
    }
    Ok(())
}

/// Puts and clears small windows in the same few places.
fn burst(grid: &Grid, oracle: &mut Oracle, spread: &Spread, seed: u64) -> Result<(), String> {
    let mut dice = Dice(seed);
    let structure = oracle.schema().structure().clone();
    let middle: Vec<i64> = structure.axes().map(|_| dice.range(-6, 6)).collect();
    let mut last: Option<(Vec<i8>, Vec<i64>, Vec<u64>)> = None;
    for _ in 0..dice.range(3, 8) {
        let (mut at, mut start, mut shape) = (spread.pick(&mut dice), Vec::new(), Vec::new());
        for (d, dimension) in structure.dimensions().iter().enumerate() {
            let up = at[d] - spread.base[d];
            for axis in structure.axes_of(d) {
                let near = if up > 0 {
                    middle[axis] >> up
                } else {
                    middle[axis] << -up
                };
                let labels = dimension
                    .labels()
                    .map_or(i64::MAX, |labels| labels.len() as i64);
                let first = if dimension.is_fixed() {
                    dice.range(0, labels - 1)
                } else {
                    near + dice.range(-1, 2)
                };
                start.push(first);
                shape.push(
                    u64::try_from(dice.range(1, 3).min(labels.saturating_sub(first))).unwrap(),
                );
            }
        }
        // The same place once more.
        if let Some(same) = last.take().filter(|_| dice.chance(35)) {
            (at, start, shape) = same;
        }
        let window = check::window(&at, &start, &shape);
        if dice.chance(55) {
            let holes = dice.pick(&[0, 0, 30, 100]);
            let values: Vec<f64> = (0..shape.iter().product())
                .map(|_| value(&mut dice, oracle.schema(), holes))
                .collect();
            let sizes: Vec<usize> = shape
                .iter()
                .map(|&len| usize::try_from(len).unwrap())
                .collect();
            let (array, replace) = (
                array(oracle.schema().dtype(), &sizes, &values),
                dice.chance(50),
            );
            let refused = has_finer(grid, &window);
            let put = if replace {
                grid.replace(&window, &array)
            } else {
                grid.put(&window, &array)
            };
            match put {
                Ok(_) if !refused => oracle.put_at(&at, &start, &shape, &values, replace),
                Err(error)
                    if refused
                        && matches!(error.kind(), gridstone::ErrorKind::AggregatedLevel { .. }) => {
                }
                other => return Err(format!("{window:?}, to be refused {refused}: {other:?}")),
            }
        } else if oracle.top().is_some() {
            grid.clear(&window).map_err(|error| error.to_string())?;
            oracle.clear_at(&at, &start, &shape, false);
            let used: Vec<Vec<i8>> = grid
                .levels_in_use()
                .unwrap()
                .iter()
                .map(check::numbers)
                .collect();
            oracle.adopt(&used, None);
        }
        if dice.chance(10) {
            grid.aggregate_step().unwrap();
        }
        last = Some((at, start, shape));
    }
    Ok(())
}

/// Whether any base chunk lies below a chunk that a window touches.
fn has_finer(grid: &Grid, window: &Window) -> bool {
    let structure = grid.structure();
    let at = window.levels(structure.dimensions().len());
    let touched: Vec<gridstone::grid::Location> = structure
        .split(window)
        .map(|piece| piece.location)
        .collect();
    grid.base_chunks().unwrap().iter().any(|chunk| {
        let mut above = chunk.location;
        for (d, level) in at.iter().enumerate() {
            while above.levels()[d] < *level {
                above = structure.parent(&above, d).unwrap().0;
            }
        }
        chunk.location.levels() != at && touched.contains(&above)
    })
}

fn history() -> impl Strategy<Value = ([Design; 2], Vec<Op>)> {
    ([design(), design()], proptest::collection::vec(op(), 1..14))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: check::cases(200), max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn i7_i9_any_history_in_memory_agrees_with_the_oracle((designs, ops) in history()) {
        if let Err(wrong) = run(&mut InMemory::default(), designs, &ops) {
            prop_assert!(false, "{}", wrong);
        }
    }
}

#[cfg(feature = "rocksdb")]
mod rocks {
    use super::*;

    struct OnDisk {
        directory: tempfile::TempDir,
    }

    impl Host for OnDisk {
        fn reopen(&mut self, _how: u8, policy: Policy) -> Store {
            Store::options()
                .policy(policy)
                .open(self.directory.path().join("store"))
                .unwrap()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: check::cases(200) / 20 + 1, max_shrink_iters: 200, ..ProptestConfig::default() })]

        #[test]
        fn i7_i9_any_history_on_rocksdb_agrees_with_the_oracle((designs, ops) in history()) {
            let mut host = OnDisk { directory: tempfile::tempdir().unwrap() };
            if let Err(wrong) = run(&mut host, designs, &ops) {
                prop_assert!(false, "{}", wrong);
            }
        }
    }
}

/// A read of a window that holds nothing is blank, and says so of no chunk.
#[test]
fn a_window_far_from_the_data_is_blank_at_every_level() {
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
    );
    let structure = Structure::builder().dimension(space).build().unwrap();
    let schema = Schema::builder(structure, DType::F32)
        .aggregator(Aggregation::Mean)
        .build()
        .unwrap();
    let base = vec![0];
    let (store, mut oracle) = (Store::in_memory().unwrap(), Oracle::new(&schema, &base));
    let grid = store.create("a", schema.clone()).unwrap();
    let values = vec![1.0; 20 * 20];
    let window = Window::new([-10, -10], [20, 20]).at(levels(&base));
    grid.put(&window, &array(schema.dtype(), &[20, 20], &values))
        .unwrap();
    oracle.put(&[-10, -10], &[20, 20], &values, false);
    for at in oracle.lattice() {
        for freshness in [Freshness::Stored, Freshness::Fresh] {
            let far = Window::new([1_000_000, -5_000_000], [3, 4]).at(levels(&at));
            check::read(
                &grid,
                &mut oracle,
                Some(far),
                &at,
                Some(&Aggregation::Mean),
                freshness,
            )
            .unwrap();
        }
    }
}
