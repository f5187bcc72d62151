//! What says how a read is served names the chunks that the read reads, and costs no more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use gridstone::kv::{
    Batch, Counters, Durability, Engine, KeyRange, Memory, Order, Page, Sequence, Snapshot, Space,
};
use gridstone::{Freshness, Policy, Query, Result};

use super::{KINDS, of_single_events};
use crate::check::{self, Dice};

/// What was asked of an engine.
#[derive(Debug, Default)]
struct Asked {
    calls: u64,
    /// How often each chunk's blob was had.
    blobs: BTreeMap<Vec<u8>, u64>,
}

#[derive(Debug, Default)]
struct Watched {
    engine: Memory,
    asked: Arc<Mutex<Asked>>,
}

struct View {
    view: Arc<dyn Snapshot>,
    asked: Arc<Mutex<Asked>>,
}

impl Watched {
    fn take(&self) -> Asked {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Engine for Watched {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        Ok(Arc::new(View {
            view: self.engine.snapshot()?,
            asked: Arc::clone(&self.asked),
        }))
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<Sequence> {
        self.engine.commit(batch, durability)
    }

    fn flush(&self) -> Result<()> {
        self.engine.flush()
    }

    fn compact(&self, space: Space, range: &KeyRange) -> Result<()> {
        self.engine.compact(space, range)
    }

    fn checkpoint(&self, path: &std::path::Path) -> Result<()> {
        self.engine.checkpoint(path)
    }

    fn counters(&self) -> Counters {
        self.engine.counters()
    }
}

impl Snapshot for View {
    fn sequence(&self) -> Sequence {
        self.view.sequence()
    }

    fn get_many(
        &self,
        space: Space,
        keys: &[Vec<u8>],
        visit: &mut dyn FnMut(usize, Option<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        self.asked.lock().unwrap().calls += 1;
        self.view.get_many(space, keys, &mut |i, value| {
            if value.is_some() && matches!(space, Space::Base | Space::Aggregate) {
                *self
                    .asked
                    .lock()
                    .unwrap()
                    .blobs
                    .entry(keys[i].clone())
                    .or_default() += 1;
            }
            visit(i, value)
        })
    }

    fn scan(&self, space: Space, range: &KeyRange, order: Order, limit: usize) -> Result<Page> {
        self.asked.lock().unwrap().calls += 1;
        self.view.scan(space, range, order, limit)
    }
}

#[test]
fn explain_and_serving_name_what_is_read_and_cost_no_more() {
    for kind in &KINDS {
        let (mut reads, mut chunks) = (0, 0);
        for seed in 0..u64::from(check::cases(4)) {
            let engine = Arc::new(Watched::default());
            let grid = kind.after(Arc::clone(&engine) as Arc<dyn Engine>, 9, &mut Dice(seed));
            for query in kind.queries() {
                let cost = |asked: &mut dyn FnMut()| {
                    engine.take();
                    asked();
                    engine.take()
                };
                let (mut answer, mut explained, mut served) = (None, None, None);
                let read = cost(&mut || answer = grid.read(&query).ok());
                let Some(answer) = answer else { continue };
                let told = format!("{}, seed {seed}: {query:?}", kind.name);
                let explain = cost(&mut || explained = Some(grid.explain(&query)));
                let print = cost(&mut || {
                    grid.version(&query).unwrap();
                });
                let serve = cost(&mut || served = Some(grid.serving(&query)));
                let explained = explained.unwrap().unwrap();
                // To choose the event that stands for a moment takes the cells of those near it.
                if of_single_events(&query) {
                    continue;
                }
                assert_eq!(explained.stored, answer.chunks_read, "{told}");
                assert_eq!(
                    read.blobs.values().sum::<u64>(),
                    answer.chunks_read,
                    "{told}"
                );
                for (what, asked) in [
                    ("explain", &explain),
                    ("serving", &serve),
                    ("version", &print),
                ] {
                    assert!(asked.blobs.is_empty(), "{told}: {what} reads no chunk");
                }
                assert!(
                    explain.calls <= read.calls && print.calls <= read.calls + 1,
                    "{told}: {explain:?} {print:?} {read:?}"
                );
                if query == query.clone().freshness(Freshness::Stored) {
                    let served = served.unwrap().unwrap();
                    let places: BTreeSet<_> = served
                        .iter()
                        .map(|of| (of.location, of.aggregator.as_ref().map(ToString::to_string)))
                        .collect();
                    assert_eq!(places.len(), read.blobs.len(), "{told}: {served:?}");
                    assert!(serve.calls <= read.calls, "{told}");
                    reads += 1;
                    chunks += places.len();
                }
            }
        }
        assert!(
            reads > 50 && chunks > 100,
            "{}: {reads} reads of {chunks} chunks",
            kind.name
        );
    }
}

/// Directory entries are asked for in batches, and what several places share is read once.
#[test]
fn many_chunks_take_few_calls_beside_those_for_their_blobs() {
    let kind = &KINDS[1];
    let engine = Arc::new(Watched::default());
    let grid = kind.create(Arc::clone(&engine) as Arc<dyn Engine>, Policy::Inline);
    let put = |start: i64, len: usize, level: i8| {
        let window = gridstone::Window::new([start], [len as u64]).at(check::levels(&[level]));
        grid.put(&window, &ndarray::Array1::from_elem(len, 1.0))
            .unwrap();
    };
    put(0, 4_000, 2);
    put(-4_000, 4_000, 0);
    engine.take();
    let query = Query::all().levels(check::levels(&[0]));
    let answer = grid.read(&query).unwrap();
    assert!(answer.array.iter_f64().all(|value| value == 1.0));
    let read = engine.take();
    assert_eq!(answer.chunks_read, read.blobs.len() as u64, "each once");
    assert!(
        (2_000..2_010).contains(&answer.chunks_read),
        "{} chunks",
        answer.chunks_read
    );
    assert!(read.calls < answer.chunks_read + 30, "{} calls", read.calls);
    for asked in [
        &|| drop(grid.explain(&query).unwrap()),
        &|| drop(grid.serving(&query).unwrap()),
        &|| {
            grid.version(&query).unwrap();
        },
    ] as [&dyn Fn(); 3]
    {
        asked();
        let calls = engine.take().calls;
        assert!(calls < 40, "{calls} calls");
    }
}

/// Blobs are asked for in groups, of which each thread gets some.
fn in_two_threads(grid: &gridstone::Grid, query: &Query) -> gridstone::Answer {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(2)
        .build()
        .unwrap();
    pool.install(|| grid.read(query)).unwrap()
}

#[test]
fn many_chunks_of_cells_take_few_calls() {
    let engine = Arc::new(Watched::default());
    let grid = KINDS[0].create(Arc::clone(&engine) as Arc<dyn Engine>, Policy::Inline);
    grid.put(
        &gridstone::Window::new([0, 0, 0], [2, 80, 80]),
        &ndarray::Array3::from_elem((2, 80, 80), 1.0_f32),
    )
    .unwrap();
    engine.take();
    let answer = in_two_threads(&grid, &Query::all());
    assert!(answer.array.iter_f64().all(|value| value == 1.0));
    let read = engine.take();
    assert_eq!(
        (answer.chunks_read, read.blobs.len()),
        (400, 400),
        "each once"
    );
    assert!(read.calls < 40, "{} calls", read.calls);
}

/// The halves of a fuller and fuller bucket are looked up together, level by level.
#[test]
fn many_chunks_of_events_take_few_calls() {
    let kind = &KINDS[4];
    let engine = Arc::new(Watched::default());
    let grid = kind.create(Arc::clone(&engine) as Arc<dyn Engine>, Policy::Inline);
    let ticks: Vec<i64> = (0..400).collect();
    let ones = ndarray::ArrayD::from_elem(ndarray::IxDyn(&[400, 4]), 1.0_f32);
    grid.put_events(&ticks, [0], &ones, gridstone::Overlap::Merge)
        .unwrap();
    engine.take();
    let query = Query::all();
    let answer = in_two_threads(&grid, &query);
    assert_eq!(answer.coordinates.unwrap().ticks, ticks);
    assert!(answer.array.iter_f64().all(|value| value == 1.0));
    let read = engine.take();
    assert_eq!(answer.chunks_read, read.blobs.len() as u64, "each once");
    assert!(answer.chunks_read >= 200, "{} chunks", answer.chunks_read);
    assert!(read.calls < 40, "{} calls", read.calls);
    for asked in [
        &|| drop(grid.explain(&query).unwrap()),
        &|| drop(grid.serving(&query).unwrap()),
        &|| {
            grid.version(&query).unwrap();
        },
    ] as [&dyn Fn(); 3]
    {
        asked();
        let calls = engine.take().calls;
        assert!(calls < 20, "{calls} calls");
    }
}
