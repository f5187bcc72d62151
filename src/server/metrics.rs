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

/// The requests so far, by route and status.
#[derive(Debug, Default)]
pub(super) struct Requests {
    under_way: AtomicU64,
    routes: Mutex<BTreeMap<(String, u16), u64>>,
    durations: Mutex<BTreeMap<String, Durations>>,
}

#[derive(Clone, Debug, Default)]
struct Durations {
    bins: [u64; BINS.len()],
    count: u64,
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
        let lock = |of: &Mutex<BTreeMap<String, Durations>>| {
            let mut durations = of.lock().unwrap_or_else(PoisonError::into_inner);
            let of_route = durations.entry(route.clone()).or_default();
            of_route.count += 1;
            of_route.sum += took;
            let bin = BINS.iter().position(|end| took.as_secs_f64() <= *end);
            bin.into_iter().for_each(|bin| of_route.bins[bin] += 1);
        };
        lock(&self.durations);
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        *routes.entry((route, status)).or_default() += 1;
    }

    /// All of it as Prometheus reads it.
    pub(super) fn write(&self, out: &mut String) {
        // Writing to a text does not fail.
        let _ = self.write_to(out);
    }

    fn write_to(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "# HELP gridstone_http_requests_total Requests that were answered.\n# TYPE gridstone_http_requests_total counter"
        )?;
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        for ((route, status), count) in routes.iter() {
            writeln!(
                out,
                "gridstone_http_requests_total{{route=\"{route}\",status=\"{status}\"}} {count}"
            )?;
        }
        drop(routes);
        writeln!(
            out,
            "# HELP gridstone_http_request_seconds Time until an answer began.\n# TYPE gridstone_http_request_seconds histogram"
        )?;
        let durations = self
            .durations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (route, of) in durations.iter() {
            let mut below = 0;
            for (end, count) in BINS.iter().zip(of.bins) {
                below += count;
                writeln!(
                    out,
                    "gridstone_http_request_seconds_bucket{{route=\"{route}\",le=\"{end}\"}} {below}"
                )?;
            }
            writeln!(
                out,
                "gridstone_http_request_seconds_bucket{{route=\"{route}\",le=\"+Inf\"}} {}\n\
                 gridstone_http_request_seconds_sum{{route=\"{route}\"}} {}\n\
                 gridstone_http_request_seconds_count{{route=\"{route}\"}} {}",
                of.count,
                of.sum.as_secs_f64(),
                of.count
            )?;
        }
        drop(durations);
        writeln!(
            out,
            "# HELP gridstone_http_requests_under_way Requests that are being answered.\n# TYPE gridstone_http_requests_under_way gauge\n\
             gridstone_http_requests_under_way {}",
            self.under_way.load(Ordering::Relaxed)
        )
    }
}
