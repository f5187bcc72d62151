//! Every way to read a grid, after each step of random histories: what is true of all of them.

mod above;
mod cached;
mod counts;
mod failures;
mod stale;
mod versions;

use std::sync::Arc;

use gridstone::grid::Geometry;
use gridstone::kv::Engine;
use gridstone::{
    Aggregation, Answer, Array, Axis, DType, Dimension, ErrorKind, Extent, Freshness, Grid, Layer,
    Levels, Moment, Overlap, Policy, Query, Resampling, Schema, Store, Window,
};
use ndarray::{ArrayD, IxDyn};

use crate::check::{self, Dice, levels};

/// A grid to be read in every way, and what may be done to it.
pub struct Kind {
    pub name: &'static str,
    schema: fn() -> Schema,
    /// The levels at which base data is put.
    put: &'static [&'static [i8]],
    /// The levels that are read.
    read: &'static [&'static [i8]],
    /// How far data lies from the origin along each axis, in cells of level 0.
    span: &'static [i64],
}

fn line(name: &str, chunk: u32) -> Dimension {
    Dimension::regular(name, [Axis::new(name, 0.0, 1.0, chunk)])
}

fn schema(
    dimensions: impl IntoIterator<Item = Dimension>,
    dtype: DType,
    nodata: Option<f64>,
    of: &[Aggregation],
) -> Schema {
    let structure = check::structure(dimensions);
    let schema = of.iter().cloned().fold(
        Schema::builder(structure, dtype),
        gridstone::SchemaBuilder::aggregator,
    );
    nodata
        .into_iter()
        .fold(schema, gridstone::SchemaBuilder::nodata)
        .build()
        .unwrap()
}

/// Regular and irregular grids, with one level of base data and with several.
pub const KINDS: [Kind; 5] = [
    Kind {
        name: "regular",
        schema: || {
            let space = Dimension::regular(
                "space",
                [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
            );
            schema(
                [line("t", 2), space],
                DType::F32,
                None,
                &[Aggregation::Mean, Aggregation::Max],
            )
        },
        put: &[&[0, 0]],
        read: &[&[0, 0], &[0, 1], &[1, 0], &[1, 2], &[2, 3]],
        span: &[8, 12, 12],
    },
    Kind {
        name: "mixed",
        schema: || {
            schema(
                [line("x", 4)],
                DType::F64,
                Some(-9.0),
                &[Aggregation::Sum, Aggregation::Count],
            )
        },
        put: &[&[-1], &[0], &[1], &[2]],
        read: &[&[-1], &[0], &[1], &[2], &[3], &[5]],
        span: &[60],
    },
    Kind {
        name: "mixed over time",
        schema: || {
            schema(
                [line("t", 2), line("x", 4).refinable()],
                DType::I16,
                None,
                &[Aggregation::Sum, Aggregation::Max],
            )
        },
        put: &[&[0, -1], &[0, 0], &[0, 1]],
        read: &[
            &[0, -1],
            &[0, 0],
            &[0, 1],
            &[0, 2],
            &[1, -1],
            &[1, 0],
            &[1, 1],
            &[2, 2],
            &[2, 0],
        ],
        span: &[8, 24],
    },
    Kind {
        name: "mixed in bands",
        schema: || {
            let band = Dimension::fixed("band", ["a", "b", "c"]);
            let space = Dimension::regular(
                "space",
                [Axis::new("y", 0.0, 1.0, 2), Axis::new("x", 0.0, 1.0, 4)],
            )
            .refinable();
            schema(
                [space, band],
                DType::U8,
                Some(0.0),
                &[Aggregation::Max, Aggregation::Mode { classes: 2 }],
            )
        },
        put: &[&[0, 0], &[1, 0], &[2, 0]],
        read: &[&[0, 0], &[1, 0], &[2, 0], &[3, 0]],
        span: &[16, 24, 0],
    },
    Kind {
        name: "irregular",
        schema: || {
            let last = Aggregation::Last {
                dimension: "time".to_owned(),
            };
            let time = Dimension::irregular("time", "seconds since 1970-01-01", 2, 10);
            schema(
                [time, line("x", 4)],
                DType::F32,
                None,
                &[Aggregation::Mean, last],
            )
        },
        put: &[&[0, 0]],
        read: &[&[0, 0], &[0, 1], &[0, 2], &[2, 0], &[5, 0], &[5, 1]],
        span: &[120, 12],
    },
];

impl Kind {
    pub fn is_irregular(&self) -> bool {
        self.name == "irregular"
    }

    pub fn create(&self, engine: Arc<dyn Engine>, policy: Policy) -> Grid {
        // What is read again is asked of the engine again.
        self.create_in(
            &Store::options()
                .policy(policy)
                .chunk_cache(0)
                .open_engine(engine)
                .unwrap(),
        )
    }

    pub fn create_in(&self, store: &Store) -> Grid {
        store.create("a", (self.schema)()).unwrap()
    }

    /// A box of cells of level 0, from a corner on, or anywhere.
    fn place(&self, dice: &mut Dice) -> (Vec<i64>, Vec<u64>) {
        let one = |&span: &i64| match span {
            0 => (0, 3),
            span => (
                dice.range(-span, span),
                u64::try_from(dice.pick(&[1, 2, 4, span])).unwrap(),
            ),
        };
        self.span.iter().map(one).unzip()
    }

    /// Does something; what is not allowed is left.
    pub fn step(&self, grid: &Grid, dice: &mut Dice) -> gridstone::Result<String> {
        let (start, shape) = self.place(dice);
        let window = Window::new(start.as_slice(), shape.as_slice());
        let at = levels(dice.pick(self.put));
        let (what, done) = match dice.range(0, 11) {
            0 => ("aggregate a step", grid.aggregate_step().map(drop)),
            1 | 2 => ("aggregate", grid.aggregate().map(drop)),
            3 => ("clean", grid.clean().map(drop)),
            4 | 5 => (
                "clear",
                grid.clear(&grid.structure().cover(&window, at)).map(drop),
            ),
            6 => {
                // One side of all that was put, as a rolling window leaves it.
                let far: Vec<u64> = self
                    .span
                    .iter()
                    .map(|span| if *span == 0 { 3 } else { 400 })
                    .collect();
                let sides: Vec<i64> = self
                    .span
                    .iter()
                    .map(|span| if *span == 0 { 0 } else { -200 })
                    .collect();
                let mut low = Window::new(sides.as_slice(), far.as_slice());
                low = low.along(0, start[0] - 400, 400);
                (
                    "delete",
                    grid.delete(&grid.structure().cover(&low, at)).map(drop),
                )
            }
            _ if self.is_irregular() => {
                let value = dice.pick(&[1.0_f32, 2.0, f32::NAN]);
                let array =
                    ArrayD::from_elem(IxDyn(&[1, usize::try_from(shape[1]).unwrap()]), value);
                (
                    "put an event",
                    grid.put_events(&[start[0]], [start[1]], &array, Overlap::Merge)
                        .map(drop),
                )
            }
            _ => {
                let window = grid.structure().cover(&window, at);
                let shape: Vec<usize> = window
                    .shape()
                    .iter()
                    .map(|len| usize::try_from(*len).unwrap())
                    .collect();
                ("put", put(grid, &window, &shape, dice))
            }
        };
        match done {
            Err(error)
                if !matches!(
                    error.kind(),
                    ErrorKind::AggregatedLevel { .. } | ErrorKind::Invalid
                ) =>
            {
                Err(error)
            }
            done => Ok(format!(
                "{what} {window:?} at {at:?}: {:?}",
                done.map_err(|error| error.to_string()).err()
            )),
        }
    }

    /// A grid after some steps of a history.
    pub fn after(&self, engine: Arc<dyn Engine>, steps: usize, dice: &mut Dice) -> Grid {
        let grid = self.create(engine, Policy::Manual);
        for _ in 0..steps {
            self.step(&grid, dice).unwrap();
        }
        grid
    }

    /// Every kind of query, fresh and as stored.
    pub fn queries(&self) -> Vec<Query> {
        let regions = self.regions();
        let layers: Vec<Layer> = (self.schema)()
            .aggregators()
            .iter()
            .cloned()
            .map(Layer::Aggregate)
            .collect();
        let mut queries = vec![Query::all(), Query::all().layer(layers[0].clone())];
        for at in self.read {
            for (region, layer) in regions
                .iter()
                .flat_map(|region| layers.iter().map(move |layer| (region, layer)))
            {
                queries.push(region.clone().levels(levels(at)).layer(layer.clone()));
            }
        }
        for resampling in [Resampling::Nearest, Resampling::Bilinear, Resampling::Area] {
            for cells in [1.0, 2.5] {
                let cells = self.span.iter().map(move |_| cells);
                queries.extend(regions.iter().map(|region| {
                    region
                        .clone()
                        .resolution(cells.clone())
                        .resampled(resampling)
                }));
            }
        }
        let coarse = || regions[0].clone().resolution(self.span.iter().map(|_| 2.5));
        queries.extend(
            [Resampling::Min, Resampling::Mode, Resampling::Sum].map(|how| coarse().resampled(how)),
        );
        let onto = || Query::all().onto(self.target());
        queries.extend([Resampling::Nearest, Resampling::Area].map(|how| onto().resampled(how)));
        if self.is_irregular() {
            queries.extend(moments(&layers));
        }
        let fresh = queries
            .iter()
            .map(|query| query.clone().freshness(Freshness::Fresh));
        fresh.chain(queries.clone()).collect()
    }

    /// Cells of no level's size, partly beyond the data, which follow each other against the axes
    /// of the grid.
    fn target(&self) -> Geometry {
        let schema = (self.schema)();
        let levelled = schema
            .structure()
            .dimensions()
            .iter()
            .filter(|of| !of.is_fixed() && !of.is_irregular());
        levelled
            .flat_map(Dimension::axes)
            .fold(Geometry::new(), |target, axis| {
                target.axis(axis.name(), 9.0 * axis.step(), -2.5 * axis.step(), 7)
            })
    }

    /// A window about the origin, one at its side, and an extent that reaches beyond the data.
    fn regions(&self) -> [Query; 3] {
        let sized = |start: i64, len: u64| {
            let start: Vec<i64> = self
                .span
                .iter()
                .map(|span| if *span == 0 { 0 } else { start })
                .collect();
            let shape: Vec<u64> = self
                .span
                .iter()
                .map(|span| if *span == 0 { 3 } else { len })
                .collect();
            Query::window(Window::new(start.as_slice(), shape.as_slice()))
        };
        let side = |span: &i64| {
            if *span == 0 {
                (0.0, 3.0)
            } else {
                (3.25, 2.0 * *span as f64)
            }
        };
        [
            sized(-6, 13),
            sized(4, 4),
            Query::extent(Extent::new(self.span.iter().map(side))),
        ]
    }
}

/// Moments, ticks and steps of events.
fn moments(layers: &[Layer]) -> Vec<Query> {
    let mut queries = Vec::new();
    let coarse = |query: Query| {
        [
            query.clone(),
            query.levels(levels(&[0, 1])).layer(layers[0].clone()),
        ]
    };
    for how in [
        Moment::Nearest,
        Moment::Previous,
        Moment::Next,
        Moment::Linear,
    ] {
        queries.extend(
            [-30, 5, 41]
                .into_iter()
                .flat_map(|tick| coarse(Query::all().moment(tick, how))),
        );
    }
    queries.extend(coarse(Query::all().latest()));
    queries.extend(coarse(Query::all().moment(12, Moment::Nearest).within(9)));
    queries.extend(coarse(Query::all().ticks(-20..33)));
    for (step, from) in [(7, 0), (64, -3)] {
        let steps = Query::all().layer(layers[0].clone()).every(step, from);
        queries.extend([steps.clone(), steps.levels(levels(&[0, 1]))]);
    }
    queries
}

/// Whether an event stands for a moment, or is the latest of a place.
fn of_single_events(query: &Query) -> bool {
    let told = format!("{query:?}");
    told.contains("when: Moment") || told.contains("when: Latest")
}

fn put(grid: &Grid, window: &Window, shape: &[usize], dice: &mut Dice) -> gridstone::Result<()> {
    // Few values, so that content comes again.
    let value = dice.pick(&[1_u8, 2]);
    match grid.schema().dtype() {
        DType::F32 => grid.put(window, &ArrayD::from_elem(IxDyn(shape), f32::from(value))),
        DType::F64 => grid.put(window, &ArrayD::from_elem(IxDyn(shape), f64::from(value))),
        DType::I16 => grid.put(window, &ArrayD::from_elem(IxDyn(shape), i16::from(value))),
        _ => grid.put(window, &ArrayD::from_elem(IxDyn(shape), value)),
    }
    .map(drop)
}

fn bits(array: &Array) -> Vec<u64> {
    array
        .iter_f64()
        .map(|value| {
            if value.is_nan() {
                u64::MAX
            } else {
                value.to_bits()
            }
        })
        .collect()
}

/// All that an answer says, but for what it cost.
fn told(answer: gridstone::Result<Answer>) -> String {
    match answer {
        Err(error) => format!("{:?}: {error}", error.kind()),
        Ok(mut answer) => {
            let array = std::mem::replace(
                &mut answer.array,
                Array::from(ArrayD::<u8>::zeros(IxDyn(&[0]))),
            );
            answer.chunks_read = 0;
            let valid: Vec<bool> = answer.validity.iter(&array).collect();
            format!(
                "{:?} {:?} {:?} {valid:?} {answer:?}",
                array.dtype(),
                array.shape(),
                bits(&array)
            )
        }
    }
}

/// The levels of a query that names a window and levels, as it is answered.
fn levels_of(answer: &Answer, dimensions: usize) -> Levels {
    answer.window.levels(dimensions)
}
