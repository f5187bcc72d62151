//! For operators: health, readiness, figures.

use std::fmt::Write as _;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::app::{App, Shared};
use super::metrics::head;
use super::reply::{Problem, passing};
use crate::{GridStats, StoreStats};

/// Of a store whose oldest mark is older than this, aggregation has come to a stand.
const LAG_MAX: Duration = Duration::from_secs(600);

/// The process answers.
pub(super) async fn health() -> &'static str {
    "ok\n"
}

/// The store can be read, and follows what is put into it.
pub(super) async fn ready(State(app): State<Shared>) -> Result<&'static str, Problem> {
    let why = app.aside(|app| Ok(unready(&app.store().stats()?))).await?;
    match why {
        None => Ok("ready\n"),
        Some(why) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why)),
    }
}

fn unready(stats: &StoreStats) -> Option<&'static str> {
    if stats.poisoned.is_some() {
        return Some("commits are refused since a write failed; the store must be opened again");
    }
    let behind = stats.grids.failure.is_some() && stats.grids.oldest_mark > Some(LAG_MAX);
    behind.then_some("aggregation fails, and is more than ten minutes behind")
}

/// All figures as Prometheus reads them.
pub(super) async fn metrics(
    State(app): State<Shared>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stats = app.aside(|app| Ok(app.store().stats()?)).await?;
    let mut out = String::new();
    // Writing to a text does not fail.
    let _ = write_all(&mut out, &app, &stats);
    let mime = "text/plain; version=0.0.4; charset=utf-8";
    Ok(passing(&headers, mime, out))
}

/// A figure: its name, its kind, what it is, and the number, if there is one.
type Figure = (&'static str, &'static str, &'static str, Option<f64>);

fn write_all(out: &mut String, app: &App, stats: &StoreStats) -> std::fmt::Result {
    let figures = of_grids(&stats.grids).into_iter();
    for (name, kind, help, value) in figures.chain(of_store(stats)).chain(of_server(app)) {
        let Some(value) = value else { continue };
        head(out, name, kind, help)?;
        writeln!(out, "gridstone_{name} {value}")?;
    }
    app.requests.write(out)
}

/// How the server is doing.
fn of_server(app: &App) -> [Figure; 3] {
    let (queued, free) = app.load();
    [
        (
            "http_queued",
            "gauge",
            "Requests that wait for their turn.",
            Some(queued as f64),
        ),
        (
            "http_calls_free",
            "gauge",
            "Engine calls that may still begin.",
            Some(free as f64),
        ),
        (
            "http_listeners",
            "gauge",
            "Clients that listen to changes.",
            Some(app.watchers.listeners() as f64),
        ),
    ]
}

fn number(of: u64) -> Option<f64> {
    Some(of as f64)
}

fn seconds(of: Option<Duration>) -> Option<f64> {
    of.map(|of| of.as_secs_f64())
}

/// What was done with the grids.
fn of_grids(grids: &GridStats) -> Vec<Figure> {
    vec![
        (
            "marks",
            "gauge",
            "Aggregates that are out of date.",
            number(grids.marks),
        ),
        (
            "oldest_mark_seconds",
            "gauge",
            "The age of the oldest mark.",
            Some(seconds(grids.oldest_mark).unwrap_or(0.0)),
        ),
        (
            "marks_consumed_total",
            "counter",
            "Marks consumed.",
            number(grids.marks_consumed),
        ),
        (
            "chunks_read_total",
            "counter",
            "Chunks read and decoded.",
            number(grids.chunks_read),
        ),
        (
            "bytes_read_total",
            "counter",
            "The bytes of their blobs.",
            number(grids.bytes_read),
        ),
        (
            "chunks_put_total",
            "counter",
            "Base chunks written.",
            number(grids.chunks_put),
        ),
        (
            "chunks_aggregated_total",
            "counter",
            "Aggregate chunks written.",
            number(grids.chunks_aggregated),
        ),
        (
            "bytes_written_total",
            "counter",
            "The bytes of the blobs written.",
            number(grids.bytes_written),
        ),
        (
            "aggregation_failures_total",
            "counter",
            "Steps of aggregation that failed.",
            number(grids.failures),
        ),
    ]
}

/// What the storage tells.
fn of_store(stats: &StoreStats) -> Vec<Figure> {
    vec![
        (
            "commits_total",
            "counter",
            "Commits that were accepted.",
            number(stats.commits),
        ),
        (
            "conflicts_total",
            "counter",
            "Commits that were computed again.",
            number(stats.conflicts),
        ),
        (
            "snapshots",
            "gauge",
            "Snapshots that are held.",
            number(stats.snapshots),
        ),
        (
            "poisoned",
            "gauge",
            "1 if commits are refused.",
            number(stats.poisoned.is_some().into()),
        ),
        (
            "chunk_cache_hits_total",
            "counter",
            "Chunks that were found decoded.",
            number(stats.chunks_cached),
        ),
        (
            "chunk_cache_misses_total",
            "counter",
            "Chunks that had to be decoded.",
            number(stats.chunks_not_cached),
        ),
        (
            "chunk_cache_bytes",
            "gauge",
            "What decoded chunks take.",
            number(stats.chunk_cache_bytes),
        ),
        (
            "block_cache_hits_total",
            "counter",
            "Blocks that the storage found in its cache.",
            stats.cache_hits.and_then(number),
        ),
        (
            "block_cache_misses_total",
            "counter",
            "Blocks that it had to read.",
            stats.cache_misses.and_then(number),
        ),
        (
            "file_bytes",
            "gauge",
            "The bytes of its data files.",
            stats.file_bytes.and_then(number),
        ),
        (
            "log_bytes",
            "gauge",
            "The bytes of its logs.",
            stats.log_bytes.and_then(number),
        ),
        (
            "stalled_seconds_total",
            "counter",
            "How long commits were held up.",
            seconds(stats.stalled),
        ),
        (
            "age_seconds",
            "gauge",
            "How old the shown state is, where another process writes.",
            seconds(stats.age),
        ),
    ]
}
