//! Requests in numbers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::app::Shared;

/// The upper ends of the bins of durations, in seconds.
const BINS: [f64; 8] = [0.001, 0.004, 0.016, 0.064, 0.25, 1.0, 4.0, 16.0];

/// The requests so far.
#[derive(Debug, Default)]
pub(super) struct Requests {
    under_way: AtomicU64,
    routes: Mutex<BTreeMap<String, Answered>>,
}

/// The requests of a route that were answered.
#[derive(Debug, Default)]
struct Answered {
    by_status: BTreeMap<u16, u64>,
    /// How many took no longer than the end of a bin, and longer than that of the one before.
    bins: [u64; BINS.len()],
    sum: Duration,
}

/// Counts a request while it is under way, however it ends.
struct UnderWay<'a>(&'a AtomicU64);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a request and times it until its answer begins.
pub(super) async fn count(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    app.requests.under_way.fetch_add(1, Ordering::Relaxed);
    let _under_way = UnderWay(&app.requests.under_way);
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", |path| path.as_str())
        .to_owned();
    let response = next.run(request).await;
    app.requests
        .add(route, response.status().as_u16(), began.elapsed());
    response
}

impl Requests {
    fn add(&self, route: String, status: u16, took: Duration) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let of = routes.entry(route).or_default();
        *of.by_status.entry(status).or_default() += 1;
        of.sum += took;
        if let Some(bin) = BINS.iter().position(|end| took.as_secs_f64() <= *end) {
            of.bins[bin] += 1;
        }
    }

    /// All of it as Prometheus reads it.
    pub(super) fn write(&self, out: &mut String) -> std::fmt::Result {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let name = "http_requests_total";
        head(out, name, "counter", "Requests that were answered.")?;
        for (route, of) in routes.iter() {
            for (status, count) in &of.by_status {
                writeln!(
                    out,
                    "gridstone_{name}{{route=\"{route}\",status=\"{status}\"}} {count}"
                )?;
            }
        }
        let name = "http_request_seconds";
        head(out, name, "histogram", "Time until an answer began.")?;
        for (route, of) in routes.iter() {
            let mut below = 0;
            for (end, count) in BINS.iter().zip(of.bins) {
                below += count;
                writeln!(
                    out,
                    "gridstone_{name}_bucket{{route=\"{route}\",le=\"{end}\"}} {below}"
                )?;
            }
            let count: u64 = of.by_status.values().sum();
            writeln!(
                out,
                "gridstone_{name}_bucket{{route=\"{route}\",le=\"+Inf\"}} {count}\n\
                 gridstone_{name}_sum{{route=\"{route}\"}} {}\n\
                 gridstone_{name}_count{{route=\"{route}\"}} {count}",
                of.sum.as_secs_f64(),
            )?;
        }
        drop(routes);
        let name = "http_requests_under_way";
        head(out, name, "gauge", "Requests that are being answered.")?;
        let under_way = self.under_way.load(Ordering::Relaxed);
        writeln!(out, "gridstone_{name} {under_way}")
    }
}

/// What a figure is, before its numbers.
pub(super) fn head(out: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    writeln!(
        out,
        "# HELP gridstone_{name} {help}\n# TYPE gridstone_{name} {kind}"
    )
}
