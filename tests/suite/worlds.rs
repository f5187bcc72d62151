//! Small grids with data at several levels, and random calls that meet at few places: what a fault
//! of the pyramid, of a batch or of the change feed needs.

use gridstone::{
    Aggregation, Axis, Batch, DType, Depth, Dimension, ErrorKind, Grid, Overlap, Schema, Window,
};

use crate::check::{self, Dice, window};
use crate::oracle::array;

/// A schema, and how its random calls are made.
#[derive(Clone, Debug)]
pub struct World {
    pub schema: Schema,
    /// The levels of calls in the refinable dimension.
    pub offsets: Vec<i8>,
    /// Calls begin within so many cells of level 0 of the origin.
    pub near: i64,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    pub what: What,
    pub window: Window,
    /// A value a cell; NaN is none.
    pub values: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Put(Overlap),
    Clear,
    Delete,
}

impl World {
    /// One to three levelled dimensions, of small chunks.
    pub fn new(dice: &mut Dice, layers: &[Aggregation]) -> Self {
        let mut axis = |name: &str| Axis::new(name, 0.0, 1.0, dice.pick(&[2, 2, 4, 8]));
        let (x, y, t, z) = (axis("x"), axis("y"), axis("t"), axis("z"));
        let refined = Dimension::regular("x", [x.clone()]).refinable();
        let t = Dimension::regular("t", [t]);
        let dimensions = match dice.range(0, 6) {
            0 | 1 => vec![refined],
            2 => vec![Dimension::regular("space", [y, x])],
            3 => vec![t, refined],
            4 => vec![refined, t],
            5 => vec![t, Dimension::regular("space", [y, x]).refinable()],
            _ => vec![t, refined, Dimension::regular("z", [z])],
        };
        let depth = dice.pick(&[Depth::Top, Depth::Top, Depth::Top, Depth::Levels(2)]);
        let dimensions = dimensions
            .into_iter()
            .map(|dimension| dimension.depth(depth));
        let structure = check::structure(dimensions);
        let (dtype, nodata) = dice.pick(&[
            (DType::I32, Some(-1.0)),
            (DType::F64, None),
            (DType::U8, None),
        ]);
        let schema = Schema::builder(structure, dtype);
        let schema = nodata.map_or(schema.clone(), |nodata| schema.nodata(nodata));
        let schema = layers
            .iter()
            .cloned()
            .fold(schema, gridstone::SchemaBuilder::aggregator)
            .build()
            .unwrap();
        let offsets = dice.pick(&[vec![0], vec![-1, 0, 1], vec![-2, -1, 0, 1], vec![0, 1]]);
        let near = if schema.structure().rank() == 1 {
            dice.pick(&[4, 8, 20])
        } else {
            4
        };
        Self {
            schema,
            offsets,
            near,
        }
    }

    fn value(&self, dice: &mut Dice, holes: u64) -> f64 {
        if !dice.chance(holes) {
            return dice.range(1, 100) as f64;
        }
        match self.schema.nodata() {
            Some(nodata) => nodata,
            None if self.schema.dtype().is_float() => f64::NAN,
            None => 0.0,
        }
    }

    /// A call near the origin.
    pub fn call(&self, dice: &mut Dice) -> Call {
        let what = match dice.range(0, 9) {
            0..=3 => What::Put(Overlap::Merge),
            4 => What::Put(dice.pick(&[Overlap::Replace, Overlap::Keep, Overlap::Refuse])),
            5..=8 => What::Clear,
            _ => What::Delete,
        };
        self.call_of(what, dice)
    }

    /// A call of some kind.
    pub fn call_of(&self, what: What, dice: &mut Dice) -> Call {
        let structure = self.schema.structure();
        let mut at = vec![0_i8; structure.dimensions().len()];
        let (mut start, mut shape) = (Vec::new(), Vec::new());
        for (d, dimension) in structure.dimensions().iter().enumerate() {
            at[d] = if dimension.is_refinable() {
                dice.pick(&self.offsets)
            } else {
                0
            };
            let near = if at[d] > 0 {
                (self.near >> at[d]).max(1)
            } else {
                self.near << -at[d]
            };
            for _ in dimension.axes() {
                let wide = what == What::Delete || what == What::Clear && dice.chance(20);
                start.push(if wide && dice.chance(50) {
                    -4 * near
                } else {
                    dice.range(-near, near)
                });
                let most = if structure.rank() == 1 { 8 } else { 3 };
                shape.push(
                    u64::try_from(if wide {
                        dice.range(1, 6 * near)
                    } else {
                        dice.range(1, most)
                    })
                    .unwrap(),
                );
            }
        }
        self.made(what, (&at, &start, &shape), dice)
    }

    /// A put of one cell far away from all others.
    pub fn far(&self, dice: &mut Dice) -> Call {
        let dimensions = self.schema.structure().dimensions();
        let at: Vec<i8> = dimensions
            .iter()
            .map(|d| if d.is_refinable() { self.offsets[0] } else { 0 })
            .collect();
        let start: Vec<i64> = self
            .schema
            .structure()
            .axes()
            .map(|_| dice.pick(&[0, 300, -500]))
            .collect();
        self.made(
            What::Put(Overlap::Merge),
            (&at, &start, &vec![1; start.len()]),
            dice,
        )
    }

    fn made(
        &self,
        what: What,
        (at, start, shape): (&[i8], &[i64], &[u64]),
        dice: &mut Dice,
    ) -> Call {
        let window = window(at, start, shape);
        let holes = dice.pick(&[0, 0, 0, 30, 100]);
        let cells = shape.iter().product::<u64>();
        let values = if let What::Put(_) = what {
            (0..cells).map(|_| self.value(dice, holes)).collect()
        } else {
            Vec::new()
        };
        Call {
            what,
            window,
            values,
        }
    }
}

impl Call {
    /// A call of some kind in the same place.
    pub fn again(&self, what: What, world: &World, dice: &mut Dice) -> Self {
        let window = self.window;
        let at: Vec<i8> = window
            .levels(world.schema.structure().dimensions().len())
            .iter()
            .map(|level| level.get())
            .collect();
        world.made(what, (&at, &window.start(), &window.shape()), dice)
    }

    /// Adds the call to a batch.
    pub fn add(&self, batch: &mut Batch<'_>, grid: &Grid) {
        match self.what {
            What::Put(overlap) => {
                let shape: Vec<usize> = self
                    .window
                    .shape()
                    .iter()
                    .map(|len| usize::try_from(*len).unwrap())
                    .collect();
                let array = array(grid.schema().dtype(), &shape, &self.values);
                // A batch borrows its arrays.
                batch
                    .put_over(grid, &self.window, &*Box::leak(Box::new(array)), overlap)
                    .unwrap();
            }
            What::Clear => batch.clear(grid, &self.window).unwrap(),
            What::Delete => batch.delete(grid, &self.window).unwrap(),
        }
    }

    /// Makes the call. False if it was refused.
    pub fn make(&self, grid: &Grid) -> bool {
        commit(grid, std::slice::from_ref(self))
    }
}

/// Makes calls in one batch. False if it was refused.
pub fn commit(grid: &Grid, calls: &[Call]) -> bool {
    let mut batch = grid.store().batch();
    calls.iter().for_each(|call| call.add(&mut batch, grid));
    match batch.commit() {
        Ok(_) => true,
        Err(error) => {
            let refused = matches!(
                error.kind(),
                ErrorKind::AggregatedLevel { .. } | ErrorKind::Invalid
            );
            assert!(refused, "{error}: {:?}", std::error::Error::source(&error));
            false
        }
    }
}
