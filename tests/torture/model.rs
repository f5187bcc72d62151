//! What writers do, act by act, and what a grid must hold after the first so many acts of its
//! writer.
//!
//! Each writer has a grid of its own. Its n-th act changes that grid, and in the same commit sets
//! its cell of a grid that all share to n.

use gridstone::{Aggregation, Axis, DType, Dimension, Schema, Structure, Window};
use ndarray::Array2;

use crate::dice::Dice;

pub const WRITERS: u32 = 2;
/// Cells along each axis of a writer's grid.
pub const SIDE: usize = 160;
pub const CHUNK: u32 = 32;
/// The shared grid: one cell a writer.
pub const SHARED: &str = "acts";

/// The name of a writer's grid.
pub fn own(writer: u32) -> String {
    format!("of-{writer}")
}

pub fn own_schema() -> Schema {
    let space = Dimension::regular(
        "space",
        [
            Axis::new("y", 0.0, -1.0, CHUNK),
            Axis::new("x", 0.0, 1.0, CHUNK),
        ],
    );
    let structure = Structure::builder().dimension(space).build().unwrap();
    let schema = Schema::builder(structure, DType::U32).nodata(0.0);
    schema
        .aggregator(Aggregation::Max)
        .aggregator(Aggregation::Count)
        .build()
        .unwrap()
}

pub fn shared_schema() -> Schema {
    let line = Dimension::regular("writer", [Axis::new("writer", 0.0, 1.0, 16)]);
    let structure = Structure::builder().dimension(line).build().unwrap();
    Schema::builder(structure, DType::I64)
        .nodata(-1.0)
        .aggregator(Aggregation::Max)
        .build()
        .unwrap()
}

/// What an act does to its writer's grid.
#[derive(Clone, Debug)]
pub struct Act {
    pub start: [usize; 2],
    /// The cells that are put; zeros clear.
    pub cells: Array2<u32>,
    pub synced: bool,
}

impl Act {
    /// The n-th act of a writer, from 1.
    pub fn of(seed: u64, writer: u32, number: i64) -> Self {
        let mut dice = Dice::of(
            seed,
            u64::from(writer) << 40 | u64::try_from(number).unwrap(),
        );
        // Now and then all of it: so many chunks that writers do not take turns at them.
        let whole = dice.chance(10);
        let len = if whole {
            [SIDE, SIDE]
        } else {
            [1 + dice.below(SIDE / 2), 1 + dice.below(SIDE / 2)]
        };
        let start = len.map(|len| dice.below(SIDE - len + 1));
        let cleared = dice.chance(15);
        // What does not pack goes into files of large values.
        let noisy = dice.chance(60);
        let flat = u32::try_from(dice.below(1000)).unwrap() + 1;
        let cells = Array2::from_shape_fn(len, |(y, _)| match (cleared, noisy) {
            (true, _) => 0,
            (false, true) => u32::try_from(dice.next() >> 32).unwrap(),
            (false, false) => flat + u32::try_from(y).unwrap(),
        });
        Self {
            start,
            cells,
            synced: dice.chance(40),
        }
    }

    pub fn window(&self) -> Window {
        let start = self.start.map(|start| i64::try_from(start).unwrap());
        let (rows, columns) = self.cells.dim();
        Window::new(
            start,
            [rows, columns].map(|len| u64::try_from(len).unwrap()),
        )
    }
}

/// A writer's grid after so many acts.
#[derive(Clone, Debug)]
pub struct Cells {
    seed: u64,
    writer: u32,
    acts: i64,
    cells: Array2<u32>,
}

impl Cells {
    pub fn after(seed: u64, writer: u32, acts: i64) -> Self {
        let mut cells = Self {
            seed,
            writer,
            acts: 0,
            cells: Array2::zeros([SIDE, SIDE]),
        };
        cells.forward(acts);
        cells
    }

    pub fn forward(&mut self, acts: i64) {
        for number in self.acts + 1..=acts {
            let act = Act::of(self.seed, self.writer, number);
            let (rows, columns) = act.cells.dim();
            let [y, x] = act.start;
            self.cells
                .slice_mut(ndarray::s![y..y + rows, x..x + columns])
                .assign(&act.cells);
        }
        self.acts = self.acts.max(acts);
    }

    pub fn base(&self) -> &Array2<u32> {
        &self.cells
    }

    /// The greatest cell, and how many hold data, of each cell of a level that is not above the
    /// size of a chunk.
    pub fn level(&self, level: u32) -> Array2<(u32, u64)> {
        let cell = 1usize << level;
        Array2::from_shape_fn([SIDE.div_ceil(cell), SIDE.div_ceil(cell)], |(y, x)| {
            let of = |i: usize| i * cell..((i + 1) * cell).min(SIDE);
            let part = self.cells.slice(ndarray::s![of(y), of(x)]);
            (
                part.iter().copied().max().unwrap_or(0),
                part.iter().filter(|cell| **cell != 0).count() as u64,
            )
        })
    }
}
