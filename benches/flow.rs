//! The flow's verbs, timed: `make bench`. The comparison with other systems is `make peers`.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

mod landscape;
mod scene;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gridstone::array::Cells;
use gridstone::codec::{BlobSpec, Codec, Filter, RawPlane, Settings, decode, encode};
use gridstone::{
    Aggregation, DType, Extent, Freshness, Level, Levels, Policy, Polygon, Query, Resampling, Stat,
    StatisticsQuery, Store, Window,
};
use ndarray::Array2;
use scene::grid;

const SIDE: usize = 2048;

fn heights(side: usize) -> Array2<f32> {
    Array2::from_shape_fn((side, side), |(y, x)| landscape::height(y as f32, x as f32))
}

fn open(policy: Policy) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::options()
        .policy(policy)
        .open(folder.path().join("store"))
        .unwrap();
    (folder, store)
}

fn blobs(c: &mut Criterion) {
    let shape = [256, 256];
    let cells = Cells::from(heights(256).into_raw_vec_and_offset().0);
    let mut group = c.benchmark_group("blob");
    group.throughput(Throughput::Bytes(cells.as_bytes().len() as u64));
    let small = [Filter::None, Filter::Shuffle, Filter::Delta, Filter::Auto]
        .map(|filter| (Codec::Small, filter));
    for (codec, filter) in small.into_iter().chain([(Codec::Fast, Filter::Auto)]) {
        let planes = [RawPlane::new(&cells, filter, f64::NAN)];
        let settings = Settings { codec, level: 1 };
        group.bench_function(format!("encode {codec:?} {filter:?}"), |b| {
            b.iter(|| encode(b"key", &planes, &shape, settings, None))
        });
        let blob = encode(b"key", &planes, &shape, settings, None);
        let spec = BlobSpec::new(&shape, &[DType::F32], 1).unwrap();
        group.bench_function(format!("decode {codec:?} {filter:?}"), |b| {
            b.iter(|| decode(b"key", &blob, &spec).unwrap())
        });
    }
}

fn puts(c: &mut Criterion) {
    let array = heights(SIDE);
    let window = Window::new([0, 0], [SIDE as u64, SIDE as u64]);
    let mut group = c.benchmark_group("put");
    group.sample_size(10);
    for (name, policy) in [
        ("2048 x 2048, every level fresh", Policy::Inline),
        ("2048 x 2048, marks only", Policy::Manual),
    ] {
        let (_folder, store) = open(policy);
        let number = std::cell::Cell::new(0);
        let fresh = || {
            number.set(number.get() + 1);
            grid(
                &store,
                &format!("g{}", number.get()),
                256,
                &[Aggregation::Mean],
            )
        };
        group.bench_function(name, |b| {
            b.iter_batched(
                fresh,
                |grid| grid.put(&window, &array).unwrap(),
                BatchSize::PerIteration,
            )
        });
    }
    let (_folder, store) = open(Policy::Inline);
    let dem = grid(&store, "dem", 256, &[Aggregation::Mean]);
    dem.put(&window, &array).unwrap();
    let patch = heights(300);
    let mut at = 0;
    group.bench_function("300 x 300 patch, every level fresh", |b| {
        b.iter(|| {
            at = (at + 389) % 1700;
            dem.put(&Window::new([at, 1700 - at], [300, 300]), &patch)
                .unwrap()
        });
    });
}

/// Durable puts of small patches by several threads: concurrent commits share disk syncs.
fn writers(c: &mut Criterion) {
    const PUTS: u64 = 25;
    let patch = heights(16);
    let mut group = c.benchmark_group("durable puts");
    group.sample_size(10);
    for (places, spread) in [("different chunks", 64), ("one chunk", 0)] {
        for threads in [1_i64, 8] {
            let (_folder, store) = open(Policy::Background);
            let dem = grid(&store, "dem", 64, &[Aggregation::Mean]);
            dem.put(&Window::new([0, 0], [512, 512]), &heights(512))
                .unwrap();
            group.throughput(Throughput::Elements(threads.unsigned_abs() * PUTS));
            let write = |thread: i64| {
                let (y, x) = if spread == 0 {
                    (thread / 4 * 16, thread % 4 * 16)
                } else {
                    (thread * spread, 16)
                };
                let window = Window::new([y, x], [16, 16]);
                for _ in 0..PUTS {
                    dem.put(&window, &patch).unwrap();
                }
            };
            let round = || {
                std::thread::scope(|scope| {
                    (0..threads).for_each(|thread| _ = scope.spawn(move || write(thread)))
                })
            };
            group.bench_function(format!("{threads} threads into {places}"), |b| {
                b.iter(round)
            });
            let stats = store.stats().unwrap();
            println!(
                "{} commits, {} conflicts, {} marks left",
                stats.commits, stats.conflicts, stats.grids.marks
            );
        }
    }
}

fn aggregation(c: &mut Criterion) {
    let mut group = c.benchmark_group("aggregate");
    group.sample_size(10);
    // Work must follow what changed: one patch of one chunk, of ten, of a hundred.
    let (_folder, store) = open(Policy::Manual);
    let dem = grid(&store, "dem", 64, &[Aggregation::Mean]);
    dem.put(
        &Window::new([0, 0], [SIDE as u64, SIDE as u64]),
        &heights(SIDE),
    )
    .unwrap();
    dem.aggregate().unwrap();
    for chunks in [1_u64, 10, 100, 1000] {
        let rows = chunks.div_ceil(32).max(1);
        let shape = [64 * rows, 64 * chunks.min(32)];
        let patch = heights(2048).slice_move(ndarray::s![
            ..usize::try_from(shape[0]).unwrap(),
            ..usize::try_from(shape[1]).unwrap()
        ]);
        let change = || {
            dem.put(&Window::new([0, 0], shape), &patch).unwrap();
        };
        change();
        let done = dem.aggregate().unwrap();
        println!(
            "{chunks} changed chunks: {} marks, {} aggregates written",
            done.marks, done.chunks
        );
        group.bench_function(format!("{chunks} changed chunks"), |b| {
            b.iter_batched(
                change,
                |()| dem.aggregate().unwrap(),
                BatchSize::PerIteration,
            );
        });
    }
}

fn reads(c: &mut Criterion) {
    let (_folder, store) = open(Policy::Inline);
    let dem = grid(&store, "dem", 256, &[Aggregation::Mean]);
    dem.put(
        &Window::new([0, 0], [SIDE as u64, SIDE as u64]),
        &heights(SIDE),
    )
    .unwrap();
    store.flush().unwrap();
    let level = |l| Levels::zero(1).with(0, Level::new(l).unwrap());
    let mut group = c.benchmark_group("read");
    let window = Query::window(Window::new([333, 777], [512, 512]));
    group.bench_function("512 x 512 of the base", |b| {
        b.iter(|| dem.read(&window).unwrap())
    });
    let coarse = Query::window(Window::new([33, 77], [512, 512]).at(level(1)));
    group.bench_function("512 x 512 of level 1", |b| {
        b.iter(|| dem.read(&coarse).unwrap())
    });
    let shape = Query::all()
        .shape([300, 300])
        .resampled(Resampling::Bilinear);
    group.bench_function("300 x 300 of everything, bilinear", |b| {
        b.iter(|| dem.read(&shape).unwrap())
    });
    let (_folder, store) = open(Policy::Manual);
    let dem = grid(&store, "dem", 64, &[Aggregation::Mean]);
    dem.put(
        &Window::new([0, 0], [SIDE as u64, SIDE as u64]),
        &heights(SIDE),
    )
    .unwrap();
    dem.aggregate().unwrap();
    dem.put(
        &Window::new([0, 0], [SIDE as u64, SIDE as u64]),
        &heights(SIDE),
    )
    .unwrap();
    let stale = Query::window(Window::new([0, 0], [256, 256]).at(level(1)));
    group.bench_function("256 x 256 of level 1, stored, 1024 marks pending", |b| {
        b.iter(|| dem.read(&stale).unwrap())
    });
    let fresh = stale.clone().freshness(Freshness::Fresh);
    group.bench_function("256 x 256 of level 1, fresh, 1024 marks pending", |b| {
        b.iter(|| dem.read(&fresh).unwrap())
    });
}

fn statistics(c: &mut Criterion) {
    let (_folder, store) = open(Policy::Inline);
    let dem = grid(
        &store,
        "dem",
        64,
        &[
            Aggregation::Sum,
            Aggregation::Count,
            Aggregation::Min,
            Aggregation::Max,
        ],
    );
    dem.put(
        &Window::new([0, 0], [SIDE as u64, SIDE as u64]),
        &heights(SIDE),
    )
    .unwrap();
    store.flush().unwrap();
    let mut group = c.benchmark_group("statistics");
    // Work must follow the boundary: sides double, areas are four times as large.
    for side in [250.0, 500.0, 1000.0, 2000.0] {
        let square = StatisticsQuery::all()
            .extent(Extent::new([(-23.0 - side, -23.0), (23.0, 23.0 + side)]));
        let (c, r) = (1023.7, side / 2.0);
        let ring = vec![[c - r, -c], [c, r - c], [c + r, -c], [c, -r - c]];
        let diamond =
            StatisticsQuery::all().polygon(Polygon::new(["x", "y"], [vec![ring]]).unwrap());
        for (name, query) in [("square", square), ("diamond", diamond)] {
            let read = dem.statistics(&query).unwrap().chunks_read;
            println!(
                "{name} of {side} cells a side: {} base chunks, {} aggregate chunks read",
                read.base, read.aggregate
            );
            group.bench_function(format!("{name} of {side} cells a side"), |b| {
                b.iter(|| dem.statistics(&query).unwrap())
            });
        }
    }
    let all = StatisticsQuery::all().stats(Stat::ALL);
    group.bench_function("everything from the base", |b| {
        b.iter(|| dem.statistics(&all).unwrap())
    });
}

fn navigation(c: &mut Criterion) {
    let (_folder, store) = open(Policy::Manual);
    let dem = grid(&store, "dem", 2, &[]);
    for band in 0..20 {
        dem.put(
            &Window::new([band * 100, 0], [100, 2000]),
            &Array2::from_elem((100, 2000), 1.0_f32),
        )
        .unwrap();
    }
    store.flush().unwrap();
    assert_eq!(dem.base_chunks().unwrap().len(), 1_000_000);
    let mut group = c.benchmark_group("a million chunks");
    group.bench_function("top", |b| b.iter(|| dem.top().unwrap()));
    group.bench_function("extent", |b| b.iter(|| dem.extent().unwrap()));
}

criterion_group!(
    flow,
    blobs,
    puts,
    writers,
    aggregation,
    reads,
    statistics,
    navigation
);
criterion_main!(flow);
