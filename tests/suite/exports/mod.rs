//! Grids written to files and read back: every level has the cells that the grid has, and cells
//! without data have none.

mod command;
mod geotiffs;
mod netcdfs;

use gridstone::array::Cell;
use gridstone::{
    Answer, Axis, DType, Dimension, Freshness, Grid, Layer, Overlap, Policy, Query, Schema,
    SchemaBuilder, Store, Structure, Window,
};
use ndarray::ArrayD;

use crate::dice::Dice;

/// How many grids are drawn, unless `GRIDSTONE_CASES` says it.
fn cases(count: u64) -> u64 {
    std::env::var("GRIDSTONE_CASES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(count)
}

/// Rows and columns in either direction.
fn space(dice: &mut Dice, chunk: u32) -> Dimension {
    let step = |dice: &mut Dice| dice.pick(&[30.0, -30.0, 0.25, -0.1]);
    let (y, x) = (step(dice), step(dice));
    Dimension::regular(
        "space",
        [
            Axis::new("y", 5_000_000.0, y, chunk),
            Axis::new("x", 400_000.0, x, chunk),
        ],
    )
}

/// Rows and columns of one unit from the origin on, southward.
fn plane(chunk: u32) -> Dimension {
    let axes = [
        Axis::new("y", 0.0, -1.0, chunk),
        Axis::new("x", 0.0, 1.0, chunk),
    ];
    Dimension::regular("space", axes)
}

/// A grid of some structure with random cells, gaps among them, in a few windows around a place.
fn filled(
    dice: &mut Dice,
    structure: Structure,
    dressed: impl Fn(SchemaBuilder) -> SchemaBuilder,
    lens: &[(i64, u64)],
) -> (Store, Grid) {
    // Bytes of every value have none to spare.
    let full = dice.chance(20);
    let dtype = if full {
        dice.pick(&[DType::U8, DType::I8])
    } else {
        dice.pick(&DType::ALL)
    };
    let mut schema = dressed(Schema::builder(structure, dtype));
    let nodata = (!full && dice.chance(50)).then(|| dice.pick(&[0.0, 7.0, 100.0]));
    if let Some(nodata) = nodata {
        schema = schema.nodata(nodata);
    }
    let options = Store::options().policy(Policy::Manual);
    let store = options
        .open_engine(std::sync::Arc::new(gridstone::kv::Memory::new()))
        .unwrap();
    let grid = store.create("grid", schema.build().unwrap()).unwrap();
    let values = if full { 256 } else { dice.pick(&[3, 90]) };
    for _ in 0..1 + dice.below(3) {
        let (mut start, mut shape) = (Vec::new(), Vec::new());
        for (first, len) in lens {
            let len = usize::try_from(*len).unwrap();
            let from = dice.below(len);
            let cells = 1 + dice.below(len - from);
            start.push(first + i64::try_from(from).unwrap());
            shape.push(cells as u64);
        }
        let window = Window::new(start.as_slice(), shape.as_slice());
        put(dice, &grid, &window, (dtype, values));
    }
    if dice.chance(70) {
        grid.aggregate().unwrap();
    }
    if dice.chance(50) {
        // What waits for its aggregation is exported fresh.
        let start: Vec<i64> = lens.iter().map(|(first, _)| *first).collect();
        let window = Window::new(start.as_slice(), vec![1_u64; lens.len()].as_slice());
        put(dice, &grid, &window, (dtype, values));
    }
    (store, grid)
}

fn put(dice: &mut Dice, grid: &Grid, window: &Window, (dtype, values): (DType, usize)) {
    let shape: Vec<usize> = window
        .shape()
        .iter()
        .map(|len| usize::try_from(*len).unwrap())
        .collect();
    macro_rules! put {
        ($type:ty) => {{
            let lowest = match (dtype.is_signed(), values) {
                (true, 256) => -128.0,
                (true, _) => -20.0,
                (false, _) => 0.0,
            };
            let cells = ArrayD::from_shape_fn(shape.as_slice(), |_| {
                <$type>::from_f64(lowest + dice.below(values) as f64)
            });
            grid.put_over(window, &cells, Overlap::Merge).unwrap()
        }};
    }
    match dtype {
        DType::U8 => put!(u8),
        DType::I8 => put!(i8),
        DType::U16 => put!(u16),
        DType::I16 => put!(i16),
        DType::U32 => put!(u32),
        DType::I32 => put!(i32),
        DType::U64 => put!(u64),
        DType::I64 => put!(i64),
        DType::F32 => put!(f32),
        DType::F64 => put!(f64),
    };
}

/// Every cell of an answer; `None` where it holds no data.
fn told(answer: &Answer) -> Vec<Option<f64>> {
    answer.values().collect()
}

/// What the grid has in a window of a layer.
fn wanted(grid: &Grid, window: &Window, layer: &Layer) -> Answer {
    let query = Query::window(*window).layer(layer.clone());
    grid.read(&query.freshness(Freshness::Fresh)).unwrap()
}
