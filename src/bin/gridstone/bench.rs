//! The workload that other systems are measured on, run on a store: build, update, read, scan,
//! append, series, events.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ndarray::{Array2, ArrayD};
use serde::{Deserialize, Serialize};

use super::bench_events::{self, EventsMeasured};
use gridstone::{
    Aggregation, Axis, Codec, Commit, DType, Dimension, Freshness, Grid, Layer, Level, Levels,
    Policy, Query, Schema, SeriesQuery, Store, Structure, Window,
};

/// The workload's size, as `shape.json` says it.
#[derive(Deserialize)]
struct Shape {
    side: usize,
    levels: usize,
    /// Steps, rows and columns of the fields in `rain.f32`.
    rain: [usize; 3],
}

#[derive(Deserialize)]
struct Patch {
    y: i64,
    x: i64,
    side: usize,
}

#[derive(Deserialize)]
struct ReadWindow {
    level: i8,
    y: i64,
    x: i64,
    side: u64,
}

/// Room for all that the windows touch, decoded: what GDAL's cache is given too.
const CACHE_BYTES: u64 = 1200 << 20;

/// What was measured, in the words of the other systems' line.
#[derive(Debug, Serialize)]
pub struct BenchFigures {
    system: &'static str,
    side: usize,
    chunk: u32,
    /// Seconds to write the base from memory and every level, durably.
    build_s: f64,
    /// Bytes on disk after the build.
    size: u64,
    /// Milliseconds from the start of a patch until it is durable and every level is fresh.
    update_ms_p50: f64,
    update_ms_max: f64,
    /// The largest difference of any cell of any level from the true mean, after the updates.
    exact: f64,
    /// Milliseconds to read a window of up to 512 x 512 cells, of which nothing decoded is kept.
    read_ms_p50: f64,
    read_ms_p99: f64,
    read_per_s: f64,
    /// The same where every chunk is kept decoded.
    read_cached_ms_p50: f64,
    /// Seconds to read the whole base.
    scan_s: f64,
    #[serde(flatten)]
    rain: Rain,
    /// Stores of more and more events.
    events: Vec<EventsMeasured>,
}

/// What was measured on a growing series of fields.
#[derive(Debug, Serialize)]
struct Rain {
    rain_chunk: [u32; 2],
    /// Milliseconds to append a field until it is durable and every level in space and time is
    /// fresh.
    append_ms_p50: f64,
    /// The same of the last 16 fields.
    append_ms_last: f64,
    /// Milliseconds to append a field until it is durable, where threads of the store bring the
    /// levels up to date.
    append_background_ms_p50: f64,
    /// Milliseconds a field where they are appended one after the other, until threads of the store
    /// have brought every level of all of them up to date.
    append_sustained_ms: f64,
    /// Bytes on disk after all fields.
    rain_size: u64,
    /// Milliseconds to read all steps of a cell.
    series_ms_p50: f64,
}

/// Runs the workload in the folder `dump` on new stores in the folder `work`, which are removed
/// afterwards. `rain_chunk` is the time steps, and the rows and columns, of a chunk of the growing
/// series.
pub fn run(
    dump: &Path,
    work: &Path,
    chunk: u32,
    rain_chunk: [u32; 2],
    codec: Codec,
) -> Result<BenchFigures> {
    let shape: Shape = json(dump, "shape.json")?;
    let rain = rain(
        &cells(&dump.join("rain.f32"))?,
        shape.rain,
        &work.join("gridstone-rain"),
        (rain_chunk, codec),
    )?;
    let (side, levels) = (shape.side, shape.levels);
    let mut truth = Array2::from_shape_vec((side, side), cells(&dump.join("base.f32"))?)?;
    let path = work.join("gridstone");
    if path.exists() {
        fs::remove_dir_all(&path)?;
    }

    let start = Instant::now();
    let store = Store::open(&path)?;
    let grid = create(&store, chunk, codec)?;
    grid.put(&Window::new([0, 0], [side as u64, side as u64]), &truth)?;
    let build_s = start.elapsed().as_secs_f64();
    // The logs are of use until their content is in its final files; they are no part of what the
    // data takes.
    store.flush()?;
    let size = disk_bytes(&path)?;

    let mut updates = update(&grid, dump, &mut truth)?;
    drop((grid, store));

    let store = Store::options().chunk_cache(0).open(&path)?;
    let grid = store.grid("dem")?;
    let exact = worst(&grid, truth, levels)?;
    let windows: Vec<ReadWindow> = json(dump, "windows.json")?;
    let mut reads = timed(&grid, &windows)?;
    let start = Instant::now();
    let whole = read(&grid, 0, [0, 0], [side as u64; 2])?;
    let scan_s = start.elapsed().as_secs_f64();
    ensure!(whole.len() == side * side, "a scan gave another shape");
    drop((grid, store));
    let store = Store::options().chunk_cache(CACHE_BYTES).open(&path)?;
    let grid = store.grid("dem")?;
    // Chunks are kept from their second read on.
    timed(&grid, &windows)?;
    timed(&grid, &windows)?;
    let mut cached = timed(&grid, &windows)?;
    drop((grid, store));
    fs::remove_dir_all(&path)?;
    let read_per_s = 1e3 * reads.len() as f64 / reads.iter().sum::<f64>();
    let update_ms_max = updates.iter().copied().fold(0.0, f64::max);
    let (update_ms_p50, read_ms_p50, read_ms_p99) = (
        quantile(&mut updates, 0.5),
        quantile(&mut reads, 0.5),
        quantile(&mut reads, 0.99),
    );
    Ok(BenchFigures {
        system: "gridstone",
        side,
        chunk,
        build_s,
        size,
        update_ms_p50,
        update_ms_max,
        exact,
        read_ms_p50,
        read_ms_p99,
        read_per_s,
        read_cached_ms_p50: quantile(&mut cached, 0.5),
        scan_s,
        rain,
        events: [100, 10_000, 1_000_000]
            .into_iter()
            .map(|events| bench_events::run(work, events))
            .collect::<Result<_>>()?,
    })
}

/// Puts patch after patch, into the array too, and gives the milliseconds that each took.
fn update(grid: &Grid, dump: &Path, truth: &mut Array2<f32>) -> Result<Vec<f64>> {
    let patches: Vec<Patch> = json(dump, "patches.json")?;
    let values = cells(&dump.join("patches.f32"))?;
    let mut updates = Vec::new();
    for (patch, values) in patches
        .iter()
        .zip(values.chunks(patches[0].side * patches[0].side))
    {
        let array = ndarray::ArrayView2::from_shape((patch.side, patch.side), values)?;
        let start = Instant::now();
        grid.put(
            &Window::new([patch.y, patch.x], [patch.side as u64, patch.side as u64]),
            array,
        )?;
        updates.push(1e3 * start.elapsed().as_secs_f64());
        let (y, x) = (usize::try_from(patch.y)?, usize::try_from(patch.x)?);
        truth
            .slice_mut(ndarray::s![y..y + patch.side, x..x + patch.side])
            .assign(&array);
    }
    Ok(updates)
}

/// Reads windows one by one, and gives the milliseconds that each took.
fn timed(grid: &Grid, windows: &[ReadWindow]) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for window in windows {
        let start = Instant::now();
        let array = read(grid, window.level, [window.y, window.x], [window.side; 2])?;
        times.push(1e3 * start.elapsed().as_secs_f64());
        ensure!(
            array.len() as u64 == window.side * window.side,
            "a read gave another shape"
        );
    }
    Ok(times)
}

/// Appends field after field, then reads the series of cells here and there.
fn rain(
    fields: &[f32],
    [steps, height, width]: [usize; 3],
    path: &Path,
    of: ([u32; 2], Codec),
) -> Result<Rain> {
    if path.exists() {
        fs::remove_dir_all(path)?;
    }
    let (store, grid) = new_rain(path, of, Policy::Background)?;
    let mut acknowledged = Vec::new();
    for (step, field) in fields.chunks_exact(height * width).enumerate() {
        let start = Instant::now();
        let commit = put_field(&grid, step, [height, width], field)?;
        acknowledged.push(1e3 * start.elapsed().as_secs_f64());
        // The next one finds the store at rest.
        grid.wait(commit.sequence, Duration::from_secs(60))?;
    }
    drop((grid, store));
    fs::remove_dir_all(path)?;

    let append_sustained_ms = sustained(fields, [steps, height, width], path, of)?;
    let (store, grid) = new_rain(path, of, Policy::Inline)?;
    let mut appends = Vec::new();
    for (step, field) in fields.chunks_exact(height * width).enumerate() {
        let start = Instant::now();
        put_field(&grid, step, [height, width], field)?;
        appends.push(1e3 * start.elapsed().as_secs_f64());
    }
    ensure!(
        appends.len() == steps && grid.marks()? == 0,
        "not every level is fresh"
    );
    let mut last = appends[appends.len().saturating_sub(16)..].to_vec();
    store.flush()?;
    let rain_size = disk_bytes(path)?;
    drop((grid, store));
    let store = Store::open(path)?;
    let grid = store.grid("rain")?;
    let mut reads = Vec::new();
    for number in 0..100_usize {
        // Steps that share no divisor with the sides go everywhere.
        let (y, x) = (number * 197 % height, number * 331 % width);
        let start = Instant::now();
        let series = grid.series(&SeriesQuery::at([-(y as f64) - 0.5, x as f64 + 0.5]))?;
        reads.push(1e3 * start.elapsed().as_secs_f64());
        let got = series.array.into_typed::<f32>()?;
        let want = (0..steps).map(|step| fields[(step * height + y) * width + x]);
        ensure!(
            got.iter()
                .map(|cell| cell.to_bits())
                .eq(want.map(f32::to_bits)),
            "a series gave other values"
        );
    }
    drop((grid, store));
    fs::remove_dir_all(path)?;
    Ok(Rain {
        rain_chunk: of.0,
        append_ms_p50: quantile(&mut appends, 0.5),
        append_ms_last: quantile(&mut last, 0.5),
        append_background_ms_p50: quantile(&mut acknowledged, 0.5),
        append_sustained_ms,
        rain_size,
        series_ms_p50: quantile(&mut reads, 0.5),
    })
}

/// Appends all fields while threads of the store bring the levels up to date, and gives the
/// milliseconds a field until they are.
fn sustained(
    fields: &[f32],
    [steps, height, width]: [usize; 3],
    path: &Path,
    of: ([u32; 2], Codec),
) -> Result<f64> {
    let (store, grid) = new_rain(path, of, Policy::Background)?;
    let start = Instant::now();
    let mut last = None;
    for (step, field) in fields.chunks_exact(height * width).enumerate() {
        last = Some(put_field(&grid, step, [height, width], field)?);
    }
    if let Some(commit) = last {
        grid.wait(commit.sequence, Duration::from_secs(600))?;
    }
    let each = 1e3 * start.elapsed().as_secs_f64() / steps as f64;
    ensure!(grid.marks()? == 0, "not every level is fresh");
    drop((grid, store));
    fs::remove_dir_all(path)?;
    Ok(each)
}

fn put_field(
    grid: &Grid,
    step: usize,
    [height, width]: [usize; 2],
    field: &[f32],
) -> Result<Commit> {
    let array = ndarray::ArrayView3::from_shape((1, height, width), field)?;
    Ok(grid.put(
        &Window::new(
            [i64::try_from(step)?, 0, 0],
            [1, height as u64, width as u64],
        ),
        array,
    )?)
}

/// A new store with an empty grid of fields over time.
fn new_rain(
    path: &Path,
    ([time, side], codec): ([u32; 2], Codec),
    policy: Policy,
) -> Result<(Store, Grid)> {
    let store = Store::options().policy(policy).open(path)?;
    let structure = Structure::builder()
        .dimension(Dimension::regular(
            "time",
            [Axis::new("time", 0.0, 1.0, time)],
        ))
        .dimension(Dimension::regular(
            "space",
            [
                Axis::new("y", 0.0, -1.0, side),
                Axis::new("x", 0.0, 1.0, side),
            ],
        ))
        .build()?;
    let grid = store.create(
        "rain",
        Schema::builder(structure, DType::F32)
            .aggregator(Aggregation::Mean)
            .codec(codec)
            .build()?,
    )?;
    Ok((store, grid))
}

fn create(store: &Store, chunk: u32, codec: Codec) -> Result<Grid> {
    let space = Dimension::regular(
        "space",
        [
            Axis::new("y", 0.0, -1.0, chunk),
            Axis::new("x", 0.0, 1.0, chunk),
        ],
    );
    let structure = Structure::builder().dimension(space).build()?;
    Ok(store.create(
        "dem",
        Schema::builder(structure, DType::F32)
            .aggregator(Aggregation::Mean)
            .codec(codec)
            .build()?,
    )?)
}

fn read(grid: &Grid, level: i8, start: [i64; 2], shape: [u64; 2]) -> Result<ArrayD<f32>> {
    let window = Window::new(start, shape).at(Levels::zero(1).with(0, Level::new(level)?));
    let layer = if level == 0 {
        Layer::Base
    } else {
        Layer::Aggregate(Aggregation::Mean)
    };
    let answer = grid.read(
        &Query::window(window)
            .layer(layer)
            .freshness(Freshness::Stored),
    )?;
    ensure!(answer.stale.is_empty(), "level {level} is stale");
    Ok(answer.array.into_typed::<f32>()?)
}

/// The largest difference of any cell of any level from the mean of the cells under it, level by
/// level as the others do.
fn worst(grid: &Grid, truth: Array2<f32>, levels: usize) -> Result<f64> {
    let (mut worst, mut want) = (0.0_f64, truth);
    for level in 0..levels {
        let side = want.nrows();
        let got = read(grid, i8::try_from(level)?, [0, 0], [side as u64; 2])?;
        worst = got
            .iter()
            .zip(want.iter())
            .map(|(a, b)| f64::from((a - b).abs()))
            .fold(worst, f64::max);
        #[expect(clippy::cast_possible_truncation, reason = "means are kept as float32")]
        let halved = |(y, x)| {
            let cell = |a: usize, b: usize| f64::from(want[[2 * y + a, 2 * x + b]]);
            ((cell(0, 0) + cell(0, 1) + cell(1, 0) + cell(1, 1)) / 4.0) as f32
        };
        want = Array2::from_shape_fn((side / 2, side / 2), halved);
    }
    Ok(worst)
}

fn json<T: serde::de::DeserializeOwned>(dump: &Path, name: &str) -> Result<T> {
    let path = dump.join(name);
    let text = fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{} is not the workload's", path.display()))
}

/// The float32 cells of a raw little-endian file.
fn cells(path: &Path) -> Result<Vec<f32>> {
    let bytes = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(bytes
        .as_chunks()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect())
}

fn disk_bytes(path: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        total += if meta.is_dir() {
            disk_bytes(&entry.path())?
        } else {
            meta.len()
        };
    }
    Ok(total)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a length"
)]
pub(super) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() as f64 * share) as usize).min(values.len() - 1)]
}
