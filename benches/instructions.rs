//! Work to count instructions of: `instructions CASE TIMES` does a case that often, and
//! `instructions` names the cases.
//!
//! `.ci/instructions` runs each case under callgrind once and three times, and compares half of the
//! difference with the stored figures: what a case takes beside its preparation, on a machine
//! however busy.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

mod landscape;
mod scene;

use std::hint::black_box;

use gridstone::array::Cells;
use gridstone::codec::{BlobSpec, Codec, Filter, RawPlane, Settings, decode, encode};
use gridstone::{
    Aggregation, DType, Grid, Polygon, Query, Resampling, StatisticsQuery, Store, Window,
};
use landscape::height as heights;
use ndarray::Array2;

const SIDE: usize = 256;

/// A case by its name, and its preparation, which gives what is counted.
type Case = (&'static str, fn() -> Box<dyn Fn()>);

const CASES: [Case; 14] = [
    ("encode heights, fast", || encoding(heights, Codec::Fast)),
    ("encode heights, small", || encoding(heights, Codec::Small)),
    ("encode tenths, fast", || encoding(tenths, Codec::Fast)),
    ("encode classes, fast", || encoding(classes, Codec::Fast)),
    ("decode heights, fast", || decoding(heights, Codec::Fast)),
    ("decode heights, small", || decoding(heights, Codec::Small)),
    ("decode tenths, fast", || decoding(tenths, Codec::Fast)),
    ("decode classes, fast", || decoding(classes, Codec::Fast)),
    ("put, mean at every level", || putting(Aggregation::Mean)),
    ("put, max at every level", || putting(Aggregation::Max)),
    ("put, mode at every level", || {
        putting(Aggregation::Mode { classes: 8 })
    }),
    ("read a window", || {
        reading(|| Query::window(Window::new([31, 57], [150, 150])))
    }),
    ("read all, bilinear", || {
        reading(|| {
            Query::all()
                .shape([100, 100])
                .resampled(Resampling::Bilinear)
        })
    }),
    ("statistics of a polygon", || {
        let grid = filled();
        let ring = vec![
            [20.5, -120.0],
            [130.0, -20.5],
            [240.5, -120.0],
            [130.0, -230.5],
        ];
        let query = StatisticsQuery::all().polygon(Polygon::new(["x", "y"], [vec![ring]]).unwrap());
        Box::new(move || _ = black_box(grid.statistics(&query).unwrap()))
    }),
];

/// Decimal numbers, as rain has them.
fn tenths(y: f32, x: f32) -> f32 {
    (30.0 * (y / 31.0).sin() * (x / 17.0).cos())
        .max(0.0)
        .round()
        / 10.0
}

/// Few values, as land cover has them.
fn classes(y: f32, x: f32) -> f32 {
    (3.0 * (y / 31.0).sin() * (x / 17.0).cos()).floor() + 7.3
}

fn array(of: fn(f32, f32) -> f32) -> Array2<f32> {
    Array2::from_shape_fn((SIDE, SIDE), |(y, x)| of(y as f32, x as f32))
}

fn blob(cells: &Cells, codec: Codec) -> Vec<u8> {
    encode(
        b"key",
        &[RawPlane::new(cells, Filter::Auto, f64::NAN)],
        &[SIDE, SIDE],
        Settings { codec, level: 1 },
        None,
    )
}

fn encoding(of: fn(f32, f32) -> f32, codec: Codec) -> Box<dyn Fn()> {
    let cells = Cells::from(array(of).into_raw_vec_and_offset().0);
    Box::new(move || _ = black_box(blob(&cells, codec)))
}

fn decoding(of: fn(f32, f32) -> f32, codec: Codec) -> Box<dyn Fn()> {
    let blob = blob(&Cells::from(array(of).into_raw_vec_and_offset().0), codec);
    let spec = BlobSpec::new(&[SIDE, SIDE], &[DType::F32], 1).unwrap();
    Box::new(move || _ = black_box(decode(b"key", &blob, &spec).unwrap()))
}

fn grid(aggregation: Aggregation) -> Grid {
    scene::grid(&Store::in_memory().unwrap(), "g", 64, &[aggregation])
}

fn putting(aggregation: Aggregation) -> Box<dyn Fn()> {
    let (grid, window) = (
        grid(aggregation),
        Window::new([0, 0], [SIDE as u64, SIDE as u64]),
    );
    let cells = array(heights);
    Box::new(move || _ = black_box(grid.put(&window, &cells).unwrap()))
}

fn filled() -> Grid {
    let grid = grid(Aggregation::Mean);
    grid.put(
        &Window::new([0, 0], [SIDE as u64, SIDE as u64]),
        &array(heights),
    )
    .unwrap();
    grid
}

fn reading(query: fn() -> Query) -> Box<dyn Fn()> {
    let (grid, query) = (filled(), query());
    Box::new(move || _ = black_box(grid.read(&query).unwrap()))
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let [name, times] = &arguments[..] else {
        CASES.iter().for_each(|(name, _)| println!("{name}"));
        return;
    };
    let (_, prepare) = CASES
        .iter()
        .find(|(case, _)| case == name)
        .expect("a case that there is");
    let run = prepare();
    (0..times.parse().expect("a number of times")).for_each(|_: u32| run());
}
