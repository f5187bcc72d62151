//! Stores with known cells, and requests.

use std::sync::{Arc, Condvar, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use gridstone::aggregator::{Aggregator, Record, Summary};
use gridstone::kv::Memory;
use gridstone::{
    Aggregation, Axis, DType, Dimension, Grid, Policy, Schema, Store, Structure, Window, server,
};
use ndarray::{Array2, Array3};
use serde_json::Value;
use tower::ServiceExt;

use crate::oracle::heights;

/// What came of a request.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub fn ok(self) -> Self {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text());
        self
    }
}

/// Routes over a store, and threads to ask them on.
pub struct Server {
    pub router: Router,
    pub runtime: tokio::runtime::Runtime,
}

impl Server {
    pub fn new(store: &Store) -> Self {
        Self::with(store, server::Options::default())
    }

    pub fn with(store: &Store, options: server::Options) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .worker_threads(2)
            .build()
            .unwrap();
        Self {
            router: server::router_with(store.clone(), options),
            runtime,
        }
    }

    pub fn send(&self, request: Request<Body>) -> Answer {
        self.runtime.block_on(answer(self.router.clone(), request))
    }

    pub fn get(&self, address: &str) -> Answer {
        self.send(get(address))
    }

    /// The heights of a tile in Terrarium's encoding.
    pub fn heights(&self, address: &str) -> Vec<Option<f64>> {
        heights(&self.get(address).ok().body)
    }

    pub fn get_with(&self, address: &str, header: &str, value: &str) -> Answer {
        self.send(
            Request::builder()
                .uri(address)
                .header(header, value)
                .body(Body::empty())
                .unwrap(),
        )
    }

    pub fn ask(&self, method: Method, address: &str, body: impl Into<Body>) -> Answer {
        let request = Request::builder().method(method).uri(address);
        self.send(request.body(body.into()).unwrap())
    }
}

pub fn get(address: &str) -> Request<Body> {
    Request::builder().uri(address).body(Body::empty()).unwrap()
}

pub async fn answer(router: Router, request: Request<Body>) -> Answer {
    let response = router.oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    Answer {
        status: head.status,
        headers: head.headers,
        body: axum::body::to_bytes(body, usize::MAX).await.unwrap(),
    }
}

/// Columns and rows from a corner on, in cells of a size.
pub fn space(crs: &str, [x, y]: [f64; 2], cell: f64, chunk: u32) -> Structure {
    Structure::builder()
        .dimension(Dimension::regular(
            "space",
            [
                Axis::new("y", y, -cell, chunk),
                Axis::new("x", x, cell, chunk),
            ],
        ))
        .crs(crs)
        .build()
        .unwrap()
}

pub fn store() -> Store {
    let options = Store::options().policy(Policy::Inline);
    options.open_engine(Arc::new(Memory::new())).unwrap()
}

pub fn manual() -> Store {
    let options = Store::options().policy(Policy::Manual);
    options.open_engine(Arc::new(Memory::new())).unwrap()
}

/// A value for each cell that no other has, as long as there are few.
pub fn number(row: usize, col: usize) -> f32 {
    (row * 251 + col * 3) as f32 % 8_000.0
}

/// A grid of `rows` x `cols` cells from its corner on, with `mean`.
pub fn numbered(store: &Store, name: &str, structure: Structure, rows: usize, cols: usize) -> Grid {
    let schema = Schema::builder(structure, DType::F32).aggregator(Aggregation::Mean);
    let grid = store.create(name, schema.build().unwrap()).unwrap();
    let cells = Array2::from_shape_fn((rows, cols), |(row, col)| number(row, col));
    grid.put(&Window::new([0, 0], [rows as u64, cols as u64]), &cells)
        .unwrap();
    grid
}

/// A grid of `rows` x `cols` hundredths of a degree from 8 degrees east, 48 north on, with `mean`.
pub fn degrees(store: &Store, name: &str, chunk: u32, [rows, cols]: [usize; 2]) -> Grid {
    let structure = space("EPSG:4326", [8.0, 48.0], 0.01, chunk);
    numbered(store, name, structure, rows, cols)
}

/// Puts one value into each of 40 x 40 cells from the corner on.
pub fn put(grid: &Grid, value: f32) {
    let cells = Array2::from_elem((40, 40), value);
    grid.put(&Window::new([0, 0], [40, 40]), &cells).unwrap();
}

/// Half degrees from 5 degrees east, 50 north on.
pub fn plane() -> Dimension {
    Dimension::regular(
        "space",
        [Axis::new("y", 50.0, -0.5, 8), Axis::new("x", 5.0, 0.5, 8)],
    )
}

/// Times from an hour of a day on, so many hours apart.
pub fn hours(first: f64, step: f64) -> Dimension {
    let time = Axis::new("time", first, step, 8).unit("hours since 2024-03-01T00:00:00Z");
    Dimension::regular("time", [time])
}

/// Hours of a plane of degrees: (time, y, x), each cell `1000 * hour + 10 * row + col`.
pub fn hourly(store: &Store, count: usize) -> Grid {
    let structure = Structure::builder()
        .dimension(hours(0.0, 1.0))
        .dimension(plane())
        .crs("EPSG:4326")
        .build()
        .unwrap();
    let schema = Schema::builder(structure, DType::F32).aggregator(Aggregation::Mean);
    let grid = store.create("hourly", schema.build().unwrap()).unwrap();
    let cells = Array3::from_shape_fn((count, 10, 12), |(hour, row, col)| {
        (1000 * hour + 10 * row + col) as f32
    });
    grid.put(&Window::new([0, 0, 0], [count as u64, 10, 12]), &cells)
        .unwrap();
    grid
}

/// An aggregator that waits until it may go on.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let mut open = self.0.0.lock().unwrap();
        while !*open {
            open = self.0.1.wait(open).unwrap();
        }
    }
}

impl Aggregator for Gate {
    fn name(&self) -> &str {
        "gate"
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
        self.pass();
        if let Some(cell) = cells.iter().find(|cell| !cell.is_empty()) {
            summary.copy(cell);
        }
    }
    fn divide(&self, cell: &Record<'_>, _: f64, summary: &mut Summary<'_>) {
        summary.copy(cell);
    }
}

/// A store with a grid whose fresh coarse cells wait for the gate, at [`SLOW`].
pub fn gated(gate: &Gate) -> Store {
    let options = Store::options().policy(Policy::Manual);
    let options = options.aggregator(Arc::new(gate.clone()));
    let store = options.open_engine(Arc::new(Memory::new())).unwrap();
    let structure = space("EPSG:4326", [0.0, 10.0], 0.1, 16);
    let schema = Schema::builder(structure, DType::F32).custom(gate);
    let grid = store.create("slow", schema.build().unwrap()).unwrap();
    grid.put(
        &Window::new([0, 0], [64, 64]),
        &Array2::<f32>::ones((64, 64)),
    )
    .unwrap();
    let structure = space("EPSG:4326", [0.0, 10.0], 0.1, 16);
    numbered(&store, "fast", structure, 64, 64);
    store
}

pub const SLOW: &str = "/edr/collections/slow/cube?bbox=0,4,6,10&level.space=1";
pub const FAST: &str = "/edr/collections/fast/cube?bbox=0,4,6,10";

/// Numbers that look like chance, the same each time.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
