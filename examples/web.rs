//! A service that puts data and shows it: rain that moves over a map while one looks at it.
//!
//! `cargo run --release --example web --features server`, then <http://127.0.0.1:8080/data>. The
//! page is drawn anew by the events of `/data/changes/rain`; `/hello` is the service's own route.

use std::thread;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use gridstone::{
    Aggregation, Axis, DType, Depth, Dimension, Grid, Policy, Schema, Store, Structure, Window,
};
use ndarray::Array3;

/// Rows and columns of degrees over central Europe.
const ROWS: usize = 160;
const COLS: usize = 240;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Store::options().policy(Policy::Background);
    let store = options.open_engine(std::sync::Arc::new(gridstone::kv::Memory::new()))?;
    let rain = create(&store)?;
    put(&rain, 0, 24)?;
    thread::spawn(move || {
        for hour in 24.. {
            thread::sleep(Duration::from_secs(2));
            if let Err(error) = put(&rain, hour, 1) {
                return eprintln!("hour {hour} was not put: {error}");
            }
        }
    });
    let routes = Router::new()
        .route("/hello", get(|| async { "a route of the service\n" }))
        .nest("/data", gridstone::server::router(store));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
        println!("http://{}/data", listener.local_addr()?);
        axum::serve(listener, routes).await
    })?;
    Ok(())
}

fn create(store: &Store) -> gridstone::Result<Grid> {
    let time = Axis::new("time", 0.0, 1.0, 16).unit("hours since 2024-06-01T00:00:00Z");
    let space = [
        Axis::new("y", 56.0, -0.0625, 64),
        Axis::new("x", 2.0, 0.0625, 64),
    ];
    let structure = Structure::builder()
        .dimension(Dimension::regular("time", [time]).depth(Depth::Levels(3)))
        .dimension(Dimension::regular("space", space))
        .crs("EPSG:4326")
        .build()?;
    let schema = Schema::builder(structure, DType::F64)
        .aggregator(Aggregation::Mean)
        .aggregator(Aggregation::Max)
        .unit("mm");
    store.create("rain", schema.build()?)
}

/// Puts some hours: three clouds that drift.
fn put(rain: &Grid, first: i64, hours: usize) -> gridstone::Result<()> {
    let cells = Array3::from_shape_fn((hours, ROWS, COLS), |(hour, row, col)| {
        let at = (first + hour as i64) as f64;
        let cloud = |number: f64| {
            let y = 40.0 + 40.0 * number + 20.0 * (at / 9.0 + number).sin();
            let x = (at * (3.0 + number) + 80.0 * number).rem_euclid(COLS as f64);
            let off = ((row as f64 - y).powi(2) + (col as f64 - x).powi(2)) / 300.0;
            12.0 * (-off).exp()
        };
        let millimetres = cloud(0.0) + cloud(1.0) + cloud(2.0);
        if millimetres < 0.1 {
            f64::NAN
        } else {
            millimetres
        }
    });
    let window = Window::new([first, 0, 0], [hours as u64, ROWS as u64, COLS as u64]);
    rain.put(&window, &cells).map(drop)
}
