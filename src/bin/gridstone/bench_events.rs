//! How long it takes to open a store of events and to read the latest one, whatever their number.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use ndarray::Array3;
use serde::Serialize;

use super::bench::quantile;
use gridstone::{Aggregation, Axis, DType, Dimension, Overlap, Query, Schema, Store, Structure};

/// Rows and columns of an event.
const SIDE: u32 = 4;
/// Events of one put.
const AT_ONCE: u32 = 10_000;
/// How often each verb is timed.
const TIMES: usize = 20;

/// What was measured on a store of so many events.
#[derive(Debug, Serialize)]
pub struct EventsMeasured {
    events: u32,
    /// Seconds to put them, durably and with every bin fresh.
    put_s: f64,
    /// Milliseconds to open the store for the first time after it was written.
    open_first_ms: f64,
    /// Milliseconds to open the store and the grid.
    open_ms_p50: f64,
    /// Milliseconds to read the latest event.
    latest_ms_p50: f64,
}

/// Puts events into a new store in the folder `work`, and times what should not depend on how many
/// there are.
pub fn run(work: &Path, events: u32) -> Result<EventsMeasured> {
    let path = work.join("gridstone-events");
    if path.exists() {
        fs::remove_dir_all(&path)?;
    }
    let store = Store::open(&path)?;
    let structure = Structure::builder()
        .dimension(Dimension::irregular(
            "time",
            "seconds since 2000-01-01",
            256,
            600,
        ))
        .dimension(Dimension::regular(
            "space",
            [
                Axis::new("y", 0.0, -1.0, SIDE),
                Axis::new("x", 0.0, 1.0, SIDE),
            ],
        ))
        .build()?;
    let grid = store.create(
        "events",
        Schema::builder(structure, DType::F32)
            .aggregator(Aggregation::Mean)
            .build()?,
    )?;
    // About ten minutes apart, on no steps.
    let tick = |event: u32| 600 * i64::from(event) + i64::from(event * 7 % 600);
    let start = Instant::now();
    for first in (0..events).step_by(AT_ONCE as usize) {
        let ticks: Vec<i64> = (first..events.min(first + AT_ONCE)).map(tick).collect();
        let fields = Array3::from_shape_fn(
            (ticks.len(), SIDE as usize, SIDE as usize),
            |(event, y, x)| (event + y + x) as f32,
        );
        grid.put_events(&ticks, [0, 0], &fields, Overlap::Merge)?;
    }
    let put_s = start.elapsed().as_secs_f64();
    ensure!(grid.marks()? == 0, "not every bin is fresh");
    drop((grid, store));
    let (mut opened, mut latest) = (Vec::new(), Vec::new());
    for _ in 0..=TIMES {
        let start = Instant::now();
        let store = Store::open(&path)?;
        let grid = store.grid("events")?;
        opened.push(1e3 * start.elapsed().as_secs_f64());
        let start = Instant::now();
        let answer = grid.read(&Query::all().latest())?;
        latest.push(1e3 * start.elapsed().as_secs_f64());
        ensure!(
            answer
                .coordinates
                .is_some_and(|of| of.ticks == [tick(events - 1)]),
            "another event is the latest"
        );
    }
    fs::remove_dir_all(&path)?;
    let open_first_ms = opened.remove(0);
    Ok(EventsMeasured {
        events,
        put_s,
        open_first_ms,
        open_ms_p50: quantile(&mut opened, 0.5),
        latest_ms_p50: quantile(&mut latest, 0.5),
    })
}
