//! The verbs on grids of more and more chunks:
//! `cargo bench --features cli,testing --bench scale -- 10000 100000 1000000`.
//!
//! Chunks are small and constant, so that what is timed is what grows with their number:
//! directories, keys, marks, levels. Prints a table in Markdown.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

mod scene;

use std::time::Instant;

use gridstone::{Aggregation, Grid, Policy, Query, Store, StoreOptions, Window};
use ndarray::Array2;

/// Cells along the side of a chunk.
const CHUNK: u64 = 16;
/// Chunks along the side of a put.
const BLOCK: u64 = 64;
/// How often a verb is timed; the median counts.
const TIMES: u64 = 21;

/// Seconds that something took, and what it gave.
fn timed<T>(run: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let gave = run();
    (start.elapsed().as_secs_f64(), gave)
}

/// The median of milliseconds.
fn milliseconds(mut run: impl FnMut(u64)) -> f64 {
    let mut times: Vec<f64> = (0..TIMES).map(|time| 1e3 * timed(|| run(time)).0).collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A figure of this process in MB, as `/proc/self/status` tells it.
fn status(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|rest| {
        rest.trim_start_matches(':')
            .split_whitespace()
            .next()?
            .parse::<f64>()
            .ok()
    });
    kilobytes.map_or(f64::NAN, |kilobytes| kilobytes / 1e3)
}

fn options() -> StoreOptions {
    Store::options().policy(Policy::Manual)
}

/// Puts a square of that many chunks along its side, each of one value.
fn fill(grid: &Grid, side: u64) {
    for y in (0..side).step_by(usize::try_from(BLOCK).unwrap()) {
        for x in (0..side).step_by(usize::try_from(BLOCK).unwrap()) {
            let [height, width] = [y, x].map(|at| CHUNK * BLOCK.min(side - at));
            let value = |(row, column): (usize, usize)| {
                let [row, column] = [row, column].map(|at| at as u64 / CHUNK);
                ((y + row) * side + x + column) as f32
            };
            let cells = Array2::from_shape_fn(
                [height, width].map(|len| usize::try_from(len).unwrap()),
                value,
            );
            let start = [y, x].map(|at| i64::try_from(at * CHUNK).unwrap());
            grid.put(&Window::new(start, [height, width]), &cells)
                .unwrap();
        }
    }
}

/// A place of the square, another one each time.
fn place(side: u64, time: u64) -> [i64; 2] {
    [time * 7_919, time * 104_729].map(|at| i64::try_from(at % (side * CHUNK - 100)).unwrap())
}

/// Runs the verbs on a store of about that many chunks; a line of the table.
fn measure(chunks: u64) -> String {
    let side = chunks.isqrt();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = options().open(&path).unwrap();
    let grid = scene::grid(
        &store,
        "chunks",
        u32::try_from(CHUNK).unwrap(),
        &[Aggregation::Mean],
    );
    let (put, ()) = timed(|| fill(&grid, side));
    let (aggregate, _) = timed(|| grid.aggregate().unwrap());
    let patch = Array2::from_elem((20, 20), 7.5_f32);
    let step = milliseconds(|time| {
        grid.replace(&Window::new(place(side, time), [20, 20]), &patch)
            .unwrap();
        grid.aggregate().unwrap();
    });
    let bytes = store.stats().unwrap().file_bytes.unwrap_or(0);
    drop((grid, store));

    let mut open = None;
    let opening = milliseconds(|_| {
        open = None;
        open = Some(options().chunk_cache(0).open(&path).unwrap());
    });
    let store = open.take().unwrap();
    let grid = store.grid("chunks").unwrap();
    let read = milliseconds(|time| {
        grid.read(&Query::window(Window::new(place(side, time), [64, 64])))
            .unwrap();
    });
    let whole = milliseconds(|_| {
        grid.read(&Query::all().shape([16, 16])).unwrap();
    });
    let top = milliseconds(|_| {
        grid.top().unwrap().unwrap();
    });
    let extent = milliseconds(|_| {
        grid.extent().unwrap().unwrap();
    });
    drop(grid);
    let (dropping, ()) = timed(|| store.drop_grid("chunks").unwrap());
    let each = 1e6 / (side * side) as f64;
    format!(
        "| {} | {:.1} | {:.1} | {step:.2} | {read:.2} | {whole:.2} | {top:.3} | {extent:.3} | {opening:.1} | {:.1} | {:.1} | {:.0} |",
        side * side,
        put * each,
        aggregate * each,
        1e3 * dropping,
        bytes as f64 / 1e6,
        status("VmHWM"),
    )
}

fn main() {
    let asked: Vec<u64> = std::env::args()
        .skip(1)
        .filter_map(|text| text.parse().ok())
        .collect();
    println!(
        "| base chunks | put, us each | aggregate, us each | patch fresh at every level, ms | read 64 x 64, ms | read all as 16 x 16, ms \
         | top, ms | extent, ms | open, ms | drop, ms | MB on disk | peak memory, MB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for chunks in if asked.is_empty() {
        vec![10_000, 100_000, 1_000_000]
    } else {
        asked
    } {
        println!("{}", measure(chunks));
    }
}
