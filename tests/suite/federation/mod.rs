//! A federation of shards against one store that was given the same.

mod failing;
mod model;
mod moving;
mod refused;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use gridstone::federation::{Columns, Federation, FederationOptions, Placed, Shards};
use gridstone::kv::{Engine, Faulty, Memory};
use gridstone::verify::{Damage, Finding, Thoroughness};
use gridstone::{
    Aggregation, Answer, Array, Axis, DType, Dimension, ErrorKind, Freshness, Grid, Layer, Levels,
    Overlap, Policy, Query, Schema, Store, Structure, Window,
};
use ndarray::{ArrayD, IxDyn};

use crate::check::{Dice, levels, structure};

/// Engines by the places that they stand for.
#[derive(Clone, Default)]
pub struct Engines(Arc<Mutex<BTreeMap<String, Arc<Faulty<Memory>>>>>);

impl Engines {
    pub fn of(&self, place: &str) -> Arc<Faulty<Memory>> {
        let mut engines = self.0.lock().unwrap();
        let new = || Arc::new(Faulty::new(Memory::new()));
        Arc::clone(engines.entry(place.to_owned()).or_insert_with(new))
    }

    pub fn options(&self, policy: Policy) -> FederationOptions {
        let engines = self.clone();
        Federation::options()
            .store(Store::options().policy(policy))
            .opener(move |place, options| options.open_engine(engines.of(place) as Arc<dyn Engine>))
    }
}

pub fn line(name: &str, chunk: u32) -> Dimension {
    Dimension::regular(name, [Axis::new(name, 0.0, 1.0, chunk)])
}

pub fn space() -> Dimension {
    Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 2)],
    )
}

/// What the histories of one kind of grid are made of.
pub struct Design {
    pub name: &'static str,
    pub dimensions: fn() -> Vec<Dimension>,
    /// Which one is divided.
    pub divided: &'static str,
    /// The levels of puts.
    pub put: &'static [&'static [i8]],
    /// The greatest levels that are read.
    pub high: &'static [i8],
    pub low: &'static [i8],
    /// How far data lies from the origin along each axis, in cells of level 0.
    pub span: &'static [i64],
}

pub const DESIGNS: [Design; 8] = [
    Design {
        name: "a line of one level or several",
        dimensions: || vec![line("x", 2)],
        divided: "x",
        put: &[&[0], &[-1], &[1]],
        low: &[-1],
        high: &[7],
        span: &[40],
    },
    Design {
        name: "space",
        dimensions: || vec![space()],
        divided: "space",
        put: &[&[0]],
        low: &[0],
        high: &[6],
        span: &[20, 14],
    },
    Design {
        name: "space in time",
        dimensions: || vec![line("t", 2), space()],
        divided: "space",
        put: &[&[0, 0]],
        low: &[0, 0],
        high: &[4, 6],
        span: &[6, 20, 12],
    },
    Design {
        name: "time of space",
        dimensions: || vec![space(), line("t", 2)],
        divided: "t",
        put: &[&[1, 0]],
        low: &[0, 0],
        high: &[5, 6],
        span: &[14, 9, 24],
    },
    Design {
        name: "mixed space in time",
        dimensions: || vec![line("t", 2), line("x", 4).refinable()],
        divided: "x",
        put: &[&[0, 0], &[0, -1], &[0, 1]],
        low: &[0, -1],
        high: &[4, 6],
        span: &[6, 60],
    },
    Design {
        name: "time of mixed space",
        dimensions: || vec![line("t", 2), line("x", 4).refinable()],
        divided: "t",
        put: &[&[0, 0], &[0, -1], &[0, 1]],
        low: &[0, -1],
        high: &[6, 5],
        span: &[24, 40],
    },
    Design {
        name: "three dimensions",
        dimensions: || {
            let band = Dimension::fixed("band", ["red", "green"]);
            vec![line("t", 2), line("z", 2).refinable(), band, line("x", 2)]
        },
        divided: "z",
        put: &[&[0, 0, 0, 0], &[0, 1, 0, 0]],
        low: &[0, 0, 0, 0],
        high: &[3, 5, 0, 4],
        span: &[4, 16, 0, 8],
    },
    Design {
        name: "events in space",
        dimensions: || {
            let time = Dimension::irregular("time", "seconds since 1970-01-01", 2, 10);
            vec![time, line("x", 4)]
        },
        divided: "x",
        put: &[&[0, 0]],
        low: &[0, 0],
        high: &[7, 6],
        span: &[120, 40],
    },
];

impl Design {
    pub fn schema(&self, dice: &mut Dice) -> Schema {
        let structure = structure((self.dimensions)());
        let (dtype, nodata) = dice.pick(&[
            (DType::F32, None),
            (DType::F64, Some(-9.0)),
            (DType::I16, Some(-9.0)),
            (DType::U8, None),
            (DType::I64, None),
        ]);
        let mut layers: BTreeSet<String> = BTreeSet::new();
        let of_lines = structure
            .dimensions()
            .iter()
            .filter(|of| !of.is_fixed() && of.axes().len() == 1)
            .flat_map(|of| {
                let dimension = of.name().to_owned();
                [
                    Aggregation::First {
                        dimension: dimension.clone(),
                    },
                    Aggregation::Last { dimension },
                ]
            });
        let all: Vec<Aggregation> = Aggregation::plain().chain(of_lines).collect();
        let mut schema = Schema::builder(structure, dtype);
        for _ in 0..3 {
            let layer = dice.pick(&all);
            if layers.insert(layer.to_string()) {
                schema = schema.aggregator(layer);
            }
        }
        nodata
            .into_iter()
            .fold(schema, gridstone::SchemaBuilder::nodata)
            .build()
            .unwrap()
    }

    /// Columns over all that is put, given to so many shards.
    pub fn shards(&self, schema: &Schema, count: usize, dice: &mut Dice) -> Shards {
        let structure = schema.structure();
        let d = structure.dimension(self.divided).unwrap();
        let finest = self.put.iter().map(|at| at[d]).max().unwrap();
        let level = finest + dice.pick(&[0, 1, 1, 2]);
        let low: Vec<i64> = self.span.iter().map(|span| -span - 8).collect();
        let shape: Vec<u64> = self
            .span
            .iter()
            .map(|span| match span {
                0 => 2,
                span => u64::try_from(3 * span + 40).unwrap(),
            })
            .collect();
        let mut all = Window::new(low.as_slice(), shape.as_slice());
        for axis in (0..low.len()).filter(|axis| self.span[*axis] == 0) {
            all = all.along(axis, 0, 2);
        }
        let all = Columns::over(structure, self.divided, level, &all).unwrap();
        let first = all.first().to_vec();
        let end: Vec<i64> = first
            .iter()
            .zip(all.count())
            .map(|(first, count)| first.saturating_add_unsigned(*count))
            .collect();
        let mut columns = vec![Vec::new()];
        for axis in 0..first.len() {
            columns = columns
                .into_iter()
                .flat_map(|before: Vec<i64>| {
                    (first[axis]..end[axis])
                        .map(move |next| before.iter().copied().chain([next]).collect())
                })
                .collect();
        }
        let mut of: BTreeMap<usize, Vec<Columns>> = BTreeMap::new();
        for (number, column) in columns.into_iter().enumerate() {
            let shard = if number < count {
                number
            } else {
                dice.below(count)
            };
            let one = vec![1_u64; column.len()];
            of.entry(shard).or_default().push(Columns::new(column, one));
        }
        of.into_iter().fold(
            Shards::of(self.divided, level),
            |shards, (number, columns)| {
                shards.shard(format!("s{number}"), format!("place/{number}"), columns)
            },
        )
    }

    pub fn is_irregular(&self) -> bool {
        self.name == "events in space"
    }

    /// A box of cells of the levels of a put.
    pub fn window(&self, structure: &Structure, dice: &mut Dice) -> Window {
        let one = |&span: &i64| match span {
            0 => (0, 2),
            span => (
                dice.range(-span, span - 1),
                u64::try_from(dice.pick(&[1, 2, 5, span])).unwrap(),
            ),
        };
        let (start, shape): (Vec<i64>, Vec<u64>) = self.span.iter().map(one).unzip();
        let at = levels(dice.pick(self.put));
        structure.cover(&Window::new(start.as_slice(), shape.as_slice()), at)
    }

    /// Levels to be read.
    pub fn some_levels(&self, dice: &mut Dice) -> Levels {
        let levels_of: Vec<i8> = self
            .low
            .iter()
            .zip(self.high)
            .map(|(low, high)| i8::try_from(dice.range(i64::from(*low), i64::from(*high))).unwrap())
            .collect();
        levels(&levels_of)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole numbers up to 100"
)]
pub fn cells(schema: &Schema, shape: &[u64], dice: &mut Dice) -> Array {
    let shape: Vec<usize> = shape
        .iter()
        .map(|len| usize::try_from(*len).unwrap())
        .collect();
    let holes = dice.pick(&[0, 20, 90]);
    let value = |dice: &mut Dice| match schema.nodata() {
        Some(nodata) if dice.chance(holes) => nodata,
        None if dice.chance(holes) => f64::NAN,
        _ => dice.range(0, 100) as f64,
    };
    let values = ArrayD::from_shape_simple_fn(IxDyn(&shape), || value(dice));
    // A cast of what is no number is 0.
    match schema.dtype() {
        DType::F64 => Array::from(values),
        DType::F32 => Array::from(values.mapv(|value| value as f32)),
        DType::I64 => Array::from(values.mapv(|value| value as i64)),
        DType::I16 => Array::from(values.mapv(|value| value as i16)),
        _ => Array::from(values.mapv(|value| value as u8)),
    }
}

/// What two answers must have in common.
pub type Shown = (Vec<(u64, bool)>, Window, Option<Vec<i64>>, u64, String);

pub fn shown(answer: &Answer) -> Shown {
    let valid: Vec<bool> = answer.validity.iter(&answer.array).collect();
    let bits = answer.array.iter_f64().map(|value| {
        // Any number that is none is as good as any other.
        if value.is_nan() {
            f64::NAN.to_bits()
        } else {
            value.to_bits()
        }
    });
    (
        bits.zip(valid).collect(),
        answer.window,
        answer.coordinates.as_ref().map(|of| of.ticks.clone()),
        answer.inexact,
        format!(
            "{:?} {:?} {:?}",
            answer.extent,
            answer.array.dtype(),
            answer.array.shape()
        ),
    )
}

pub fn read(grid: &Grid, query: &Query) -> Result<Answer, ErrorKind> {
    grid.read(query).map_err(|error| {
        assert!(
            matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid),
            "{query:?}: {error:?}"
        );
        error.kind().clone()
    })
}

/// A federation and one store with the same data.
pub struct Pair {
    pub design: &'static Design,
    pub engines: Engines,
    pub policy: Policy,
    pub federation: Federation,
    pub single: Grid,
    pub log: Vec<String>,
    pub moves: usize,
}

impl Pair {
    pub fn new(design: &'static Design, shards: usize, dice: &mut Dice) -> Self {
        let schema = design.schema(dice);
        let policy = dice.pick(&[Policy::Inline, Policy::Manual]);
        let engines = Engines::default();
        let division = design.shards(&schema, shards, dice);
        let federation = engines
            .options(policy)
            .create("top", "grid", schema.clone(), &division)
            .unwrap();
        let single = Store::in_memory().unwrap().create("grid", schema).unwrap();
        Self {
            design,
            engines,
            policy,
            federation,
            single,
            log: vec![format!("{division:?}")],
            moves: 0,
        }
    }

    pub fn reopen(&mut self) {
        let options = self.engines.options(self.policy);
        self.federation = options.open("top").unwrap();
    }

    /// Notes what both did, which is to be the same.
    pub fn both(
        &mut self,
        what: String,
        single: gridstone::Result<gridstone::Commit>,
        federation: gridstone::Result<Vec<Placed>>,
    ) {
        let kind = |error: &gridstone::Error| error.kind().clone();
        assert_eq!(
            federation.as_ref().map(drop).map_err(kind),
            single.as_ref().map(drop).map_err(kind),
            "{what}: {federation:?}, {single:?}; after {:#?}",
            self.log
        );
        self.log.push(what);
    }

    pub fn put(&mut self, dice: &mut Dice) {
        let structure = self.single.structure().clone();
        let window = self.design.window(&structure, dice);
        let overlap = dice.pick(&[Overlap::Merge, Overlap::Replace, Overlap::Keep]);
        if self.design.is_irregular() {
            let ticks: BTreeSet<i64> = (0..dice.range(1, 4))
                .map(|_| dice.range(-120, 120))
                .collect();
            let ticks: Vec<i64> = ticks.into_iter().collect();
            let shape = [ticks.len() as u64, window.shape()[1]];
            let array = cells(self.single.schema(), &shape, dice);
            let start = [window.start()[1]];
            let single = self.single.put_events(&ticks, start, array.view(), overlap);
            let federation = self
                .federation
                .put_events(&ticks, start, array.view(), overlap);
            let what = format!("events {ticks:?} {window:?} {overlap:?}");
            return self.both(what, single, federation);
        }
        let array = cells(self.single.schema(), &window.shape(), dice);
        let single = self.single.put_over(&window, array.view(), overlap);
        let federation = self.federation.put_over(&window, array.view(), overlap);
        self.both(format!("put {window:?} {overlap:?}"), single, federation);
    }

    pub fn clear(&mut self, dice: &mut Dice) {
        let window = self.design.window(self.single.structure(), dice);
        let (single, federation) = (self.single.clear(&window), self.federation.clear(&window));
        self.both(format!("clear {window:?}"), single, federation);
    }

    pub fn delete(&mut self, dice: &mut Dice) {
        // One side of all that was put, as a rolling window leaves it, or anything.
        let mut window = self.design.window(self.single.structure(), dice);
        if dice.chance(70) {
            let axis = dice.below(window.start().len());
            for other in (0..window.start().len()).filter(|other| *other != axis) {
                window = window.along(other, -200, 400);
            }
            let end = window.start()[axis];
            window = window.along(axis, end - 300, 300);
        }
        let (single, federation) = (self.single.delete(&window), self.federation.delete(&window));
        self.both(format!("delete {window:?}"), single, federation);
    }

    /// Queries of some levels and layers, of all or of a window.
    fn query(&self, dice: &mut Dice) -> Query {
        let at = self.design.some_levels(dice);
        let structure = self.single.structure();
        let layers = self.single.schema().aggregators();
        let layer = match dice.chance(20) || layers.is_empty() {
            true => Layer::Base,
            false => Layer::Aggregate(dice.pick(layers)),
        };
        let query = match dice.chance(40) {
            true => Query::all(),
            false => {
                let window = self.design.window(structure, dice);
                Query::window(structure.cover(&window, at))
            }
        };
        query.levels(at).layer(layer)
    }

    /// Fresh answers are the same; stored ones are so outside of what they call stale.
    pub fn check(&self, count: usize, dice: &mut Dice) {
        let grid = self.federation.grid().unwrap();
        assert_eq!(
            grid.bounds().unwrap(),
            self.single.bounds().unwrap(),
            "{:#?}",
            self.log
        );
        for _ in 0..count {
            let query = self.query(dice);
            let fresh = query.clone().freshness(Freshness::Fresh);
            let want = read(&self.single, &fresh);
            let got = read(&grid, &fresh);
            assert_eq!(
                got.as_ref().map(shown),
                want.as_ref().map(shown),
                "{}: {query:?} fresh, after {:#?}",
                self.design.name,
                self.log
            );
            let (Ok(stored), Ok(want)) = (read(&grid, &query), want) else {
                continue;
            };
            if let Some(wrong) = told(&stored, &want) {
                panic!(
                    "{}: {query:?}: {wrong}, and only {:?} is stale, after {:#?}",
                    self.design.name, stored.stale, self.log
                );
            }
        }
    }

    /// Once the top has caught up, stored answers are the same and nothing is stale.
    /// Checks that every aggregate is as its recomputation, or marked: of all shards with what is
    /// above them, and of each store alone. Where the top has not caught up, deletions may have left
    /// aggregates there.
    pub fn verify(&self, caught_up: bool) {
        let mut whole = self.federation.verify(Thoroughness::Full).unwrap().findings;
        let reach = self.federation.grid().unwrap().reach().unwrap();
        let is_above = |finding: &Finding| {
            let at = finding.location.map(|at| at.levels());
            at.zip(reach)
                .is_none_or(|(at, reach)| at.iter().zip(reach.iter()).any(|(at, top)| at > top))
        };
        whole.retain(|finding| caught_up || finding.damage != Damage::Stray || !is_above(finding));
        assert_eq!(whole, [], "after {:#?}", self.log);
        let shards = self.federation.shards();
        let places = shards.iter().map(|info| info.shard.place());
        for place in places.chain(["top"]) {
            let engine = self.engines.of(place) as Arc<dyn Engine>;
            let store = Store::options().read_only(true).open_engine(engine);
            let alone = store.unwrap().verify().unwrap();
            assert_eq!(alone.findings, [], "of {place}, after {:#?}", self.log);
        }
    }

    pub fn check_caught_up(&self, count: usize, dice: &mut Dice) {
        self.federation.catch_up().unwrap();
        self.single.aggregate().unwrap();
        let grid = self.federation.grid().unwrap();
        assert_eq!(grid.reach().unwrap(), self.single.reach().unwrap());
        assert_eq!(grid.top().unwrap(), self.single.top().unwrap());
        assert_eq!(grid.marks().unwrap(), 0);
        for _ in 0..count {
            let query = self.query(dice);
            let (got, want) = (read(&grid, &query), read(&self.single, &query));
            assert_eq!(
                got.as_ref().map(shown),
                want.as_ref().map(shown),
                "{}: {query:?} stored, after {:#?}",
                self.design.name,
                self.log
            );
            let stale = got.map_or(Vec::new(), |answer| answer.stale);
            assert_eq!(stale, [], "{query:?}, after {:#?}", self.log);
        }
    }
}

/// A cell of a stored answer that is another one and is not called stale.
fn told(stored: &Answer, fresh: &Answer) -> Option<String> {
    // Cells of an answer that are finer than those that were read are another lattice.
    let plain = stored
        .array
        .shape()
        .iter()
        .zip(stored.window.shape().iter())
        .all(|(len, cells)| *len as u64 == *cells);
    if stored.coordinates.is_some() || stored.window != fresh.window || !plain {
        return None;
    }
    let (got, want) = (shown(stored).0, shown(fresh).0);
    ndarray::indices(stored.array.shape())
        .into_iter()
        .zip(got.into_iter().zip(want))
        .filter(|(_, (got, want))| got != want)
        .find_map(|(index, (got, want))| {
            let cell: Vec<i64> = (0..stored.window.start().len())
                .map(|axis| stored.window.start()[axis] + i64::try_from(index[axis]).unwrap())
                .collect();
            let within = |window: &Window| {
                cell.iter()
                    .zip(window.start().iter().zip(window.end().iter()))
                    .all(|(cell, (start, end))| start <= cell && cell < end)
            };
            (!stored.stale.iter().any(within))
                .then(|| format!("cell {cell:?} is {got:?}, not {want:?}"))
        })
}
