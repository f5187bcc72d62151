//! Calls from inside a rayon pool: no thread of it waits for what another call below on its own
//! stack holds.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use gridstone::aggregator::{Aggregator, Record, Summary};
use gridstone::kv::Memory;
use gridstone::{
    Axis, DType, Dimension, ErrorKind, Freshness, Grid, Layer, Policy, Query, Schema, Store,
    Structure, Window,
};
use ndarray::Array2;

use crate::check::levels;

/// The largest cell. Whoever computes it gives way to other work of the pool that it is computed
/// in, as a thread does that waits for its part of a job.
#[derive(Debug)]
struct Giving;

impl Aggregator for Giving {
    fn name(&self) -> &str {
        "giving"
    }
    fn dtype(&self, cells: DType) -> DType {
        cells
    }
    fn state(&self) -> Vec<DType> {
        Vec::new()
    }
    fn lift(&self, cell: &Record<'_>, summary: &mut Summary<'_>) {
        summary.copy(cell);
    }
    fn combine(&self, cells: &[Record<'_>], summary: &mut Summary<'_>) {
        rayon::yield_now();
        let of = |cell: &&Record<'_>| !cell.is_empty();
        if let Some(most) = cells
            .iter()
            .filter(of)
            .max_by(|a, b| a.values()[0].total_cmp(&b.values()[0]))
        {
            summary.copy(most);
        }
    }
    fn divide(&self, cell: &Record<'_>, _: f64, summary: &mut Summary<'_>) {
        summary.copy(cell);
    }
}

fn schema(aggregator: &dyn Aggregator) -> Schema {
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 2), Axis::new("x", 0.0, 1.0, 2)],
    );
    let structure = Structure::builder().dimension(space).build().unwrap();
    Schema::builder(structure, DType::F32)
        .custom(aggregator)
        .build()
        .unwrap()
}

fn store(policy: Policy, aggregator: Arc<dyn Aggregator>) -> Store {
    let options = Store::options()
        .policy(policy)
        .marks_max(2)
        .aggregator(aggregator);
    options.open_engine(Arc::<Memory>::default()).unwrap()
}

/// Fails where `work` stands still.
fn in_time(work: impl FnOnce() + Send + 'static) {
    let (done, told) = channel();
    std::thread::spawn(move || {
        work();
        done.send(()).unwrap();
    });
    match told.recv_timeout(Duration::from_secs(120)) {
        Ok(()) => {}
        Err(RecvTimeoutError::Timeout) => panic!("nothing moves any more"),
        Err(RecvTimeoutError::Disconnected) => panic!("the work panicked"),
    }
}

fn put(grid: &Grid, cell: i64) {
    let window = Window::new([cell % 8, cell / 8], [1, 1]);
    grid.put(&window, &Array2::from_elem((1, 1), cell as f32))
        .unwrap();
}

fn top(grid: &Grid) -> f64 {
    let Some(top) = grid.top().unwrap() else {
        return 0.0;
    };
    let query = Query::all()
        .levels(top.levels())
        .layer(Layer::Aggregate("giving".parse().unwrap()));
    grid.read(&query.freshness(Freshness::Fresh))
        .unwrap()
        .array
        .iter_f64()
        .fold(f64::MIN, f64::max)
}

const CELLS: i64 = 64;

fn calls_from_a_pool(policy: Policy) {
    in_time(move || {
        let store = store(policy, Arc::new(Giving));
        let grid = store.create("a", schema(&Giving)).unwrap();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(3)
            .build()
            .unwrap();
        pool.scope(|scope| {
            for cell in 0..CELLS {
                let (store, grid) = (&store, &grid);
                scope.spawn(move |_| put(grid, cell));
                match cell % 8 {
                    1 => scope.spawn(move |_| assert!(top(grid) <= CELLS as f64)),
                    3 => scope.spawn(move |_| assert_eq!(store.verify().unwrap().findings, [])),
                    5 => scope.spawn(move |_| {
                        grid.aggregate().unwrap();
                    }),
                    7 => scope.spawn(move |_| drop(grid.stats().unwrap())),
                    _ => {}
                }
            }
        });
        if policy == Policy::Background {
            grid.wait(u64::MAX, Duration::from_secs(60)).unwrap();
        }
        grid.aggregate().unwrap();
        assert_eq!(top(&grid), (CELLS - 1) as f64);
        assert_eq!(
            grid.read(&Query::all().levels(levels(&[0])))
                .unwrap()
                .array
                .iter_f64()
                .count(),
            64
        );
        assert_eq!(store.verify().unwrap().findings, []);
    });
}

#[test]
fn calls_from_a_pool_come_to_an_end_inline() {
    calls_from_a_pool(Policy::Inline);
}

#[test]
fn calls_from_a_pool_come_to_an_end_in_the_background() {
    calls_from_a_pool(Policy::Background);
}

#[test]
fn calls_from_a_pool_come_to_an_end_by_hand() {
    calls_from_a_pool(Policy::Manual);
}

/// Puts a cell into another grid while it is asked to aggregate.
#[derive(Debug)]
struct Writing(
    std::sync::Mutex<Option<Grid>>,
    std::sync::Mutex<Option<ErrorKind>>,
);

impl Aggregator for Writing {
    fn name(&self) -> &str {
        "giving"
    }
    fn dtype(&self, cells: DType) -> DType {
        cells
    }
    fn state(&self) -> Vec<DType> {
        Vec::new()
    }
    fn lift(&self, cell: &Record<'_>, summary: &mut Summary<'_>) {
        summary.copy(cell);
    }
    fn combine(&self, cells: &[Record<'_>], summary: &mut Summary<'_>) {
        summary.copy(&cells[0]);
        if let Some(grid) = &*self.0.lock().unwrap() {
            let refused = grid
                .put(
                    &Window::new([0, 0], [1, 1]),
                    &Array2::from_elem((1, 1), 1.0_f32),
                )
                .unwrap_err();
            *self.1.lock().unwrap() = Some(refused.kind().clone());
        }
    }
    fn divide(&self, cell: &Record<'_>, _: f64, summary: &mut Summary<'_>) {
        summary.copy(cell);
    }
}

/// It would wait for the step of aggregation that it is called by.
#[test]
fn an_aggregator_that_writes_to_a_store_is_refused() {
    in_time(|| {
        let aggregator = Arc::new(Writing(Default::default(), Default::default()));
        let store = store(Policy::Inline, aggregator.clone());
        let grid = store.create("a", schema(aggregator.as_ref())).unwrap();
        *aggregator.0.lock().unwrap() = Some(grid.clone());
        (0..8).for_each(|cell| put(&grid, cell));
        assert_eq!(*aggregator.1.lock().unwrap(), Some(ErrorKind::Invalid));
        aggregator.0.lock().unwrap().take();
    });
}
