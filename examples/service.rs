//! A service in small: writers, readers and the background aggregation on one store, for a few
//! seconds.
//!
//! `cargo run --release --example service [seconds]`. Prints the puts and reads a second, and the
//! freshness lag: how long after a durable put has returned every level shows it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gridstone::{
    Aggregation, Axis, Batch, DType, Dimension, ErrorKind, Freshness, Grid, Policy, Query, Schema,
    Store, Structure, Window,
};
use ndarray::Array2;

/// Rows and columns of the data, and of what is put at a time.
const SIDE: i64 = 4096;
const PATCH: usize = 64;
const WRITERS: u64 = 4;
const READERS: u64 = 2;

fn main() -> gridstone::Result<()> {
    let seconds = std::env::args()
        .nth(1)
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(5);
    let folder = std::env::temp_dir().join(format!("gridstone-service-{}", std::process::id()));
    let outcome = serve(&folder, Duration::from_secs(seconds));
    // What is left behind in a temporary folder does no harm.
    let _ = std::fs::remove_dir_all(&folder);
    outcome
}

fn serve(folder: &std::path::Path, time: Duration) -> gridstone::Result<()> {
    let store = Store::options().policy(Policy::Background).open(folder)?;
    let space = Dimension::regular(
        "space",
        [
            Axis::new("y", 0.0, -1.0, 256),
            Axis::new("x", 0.0, 1.0, 256),
        ],
    );
    let structure = Structure::builder().dimension(space).build()?;
    let schema = Schema::builder(structure, DType::F32)
        .aggregator(Aggregation::Mean)
        .aggregator(Aggregation::Max)
        .build()?;
    let grid = store.create("heights", schema)?;
    let all = Array2::from_shape_fn((4096, 4096), |(y, x)| ((y / 16 + x / 16) % 100) as f32);
    let commit = grid.put(&Window::new([0, 0], [SIDE.unsigned_abs(); 2]), &all)?;
    grid.wait(commit.sequence, Duration::from_secs(60))?;

    let (done, puts, reads, stale) = (
        AtomicBool::new(false),
        AtomicU64::new(0),
        AtomicU64::new(0),
        AtomicU64::new(0),
    );
    let lags = Mutex::new(Vec::new());
    let start = Instant::now();
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for writer in 0..WRITERS {
            let (grid, done, puts) = (&grid, &done, &puts);
            threads.push(scope.spawn(move || write(grid, writer, done, puts)));
        }
        for reader in 0..READERS {
            let (grid, done, reads, stale) = (&grid, &done, &reads, &stale);
            threads.push(scope.spawn(move || read(grid, reader, done, reads, stale)));
        }
        threads.push(scope.spawn(|| watch(&store, &grid, &done, &lags)));
        thread::sleep(time);
        done.store(true, Ordering::Relaxed);
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let rate = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64 / seconds;
    let mut lags = lags.into_inner().unwrap_or_default();
    lags.sort_unstable();
    let stats = store.stats()?;
    println!(
        "{WRITERS} writers   {:8.0} durable puts/s of {PATCH} x {PATCH} cells",
        rate(&puts)
    );
    println!(
        "{READERS} readers   {:8.0} reads/s of 256 x 256 cells, {} of them partly stale",
        rate(&reads),
        stale.into_inner()
    );
    if let (Some(median), Some(most)) = (lags.get(lags.len() / 2), lags.last()) {
        println!(
            "lag         median {median:.1?}, most {most:.1?}, of {} commits",
            lags.len()
        );
    }
    println!(
        "aggregated  {} chunks from {} marks; {} marks pending",
        stats.grids.chunks_aggregated, stats.grids.marks_consumed, stats.grids.marks
    );
    println!(
        "conflicts   {} in {} commits",
        stats.conflicts, stats.commits
    );
    store.close()
}

/// A sequence of places that looks random.
fn places(seed: u64) -> impl Iterator<Item = [i64; 2]> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        i64::try_from(state % (SIDE - 256).unsigned_abs()).unwrap_or(0)
    };
    std::iter::repeat_with(move || [next(), next()])
}

fn write(grid: &Grid, writer: u64, done: &AtomicBool, puts: &AtomicU64) -> gridstone::Result<()> {
    for (number, at) in places(writer + 1).enumerate() {
        if done.load(Ordering::Relaxed) {
            break;
        }
        let patch = Array2::from_elem((PATCH, PATCH), number as f32);
        grid.put(&Window::new(at, [PATCH as u64; 2]), &patch)?;
        puts.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Reads at any level, every tenth time in a snapshot and fresh.
fn read(
    grid: &Grid,
    reader: u64,
    done: &AtomicBool,
    reads: &AtomicU64,
    stale: &AtomicU64,
) -> gridstone::Result<()> {
    for (number, at) in places(100 + reader).enumerate() {
        if done.load(Ordering::Relaxed) {
            break;
        }
        let side = 256 << (number % 5);
        let query = Query::window(Window::new(at, [side; 2])).shape([256, 256]);
        let answer = if number % 10 == 0 {
            let then = grid.store().snapshot()?.grid(&grid.name())?;
            then.read(&query.freshness(Freshness::Fresh))?
        } else {
            grid.read(&query)?
        };
        stale.fetch_add(u64::from(!answer.stale.is_empty()), Ordering::Relaxed);
        reads.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Measures how long it takes from a commit's return until it is visible at the top.
fn watch(
    store: &Store,
    grid: &Grid,
    done: &AtomicBool,
    lags: &Mutex<Vec<Duration>>,
) -> gridstone::Result<()> {
    for at in places(1000) {
        if done.load(Ordering::Relaxed) {
            break;
        }
        let cell = Array2::from_elem((1, 1), 1.0_f32);
        let mut batch: Batch<'_> = store.batch();
        batch.put(grid, &Window::new(at, [1, 1]), &cell)?;
        let commit = batch.commit()?;
        let start = Instant::now();
        match grid.wait(commit.sequence, Duration::from_secs(30)) {
            Ok(()) => lags
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .push(start.elapsed()),
            Err(error) if *error.kind() == ErrorKind::TimedOut => {
                println!("a commit took longer than 30 s to be aggregated")
            }
            Err(error) => return Err(error),
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
