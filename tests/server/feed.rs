//! Changes as they come.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use futures_util::StreamExt;
use gridstone::kv::Memory;
use gridstone::server::Options;
use gridstone::{Store, Window};
use ndarray::Array2;
use serde_json::Value;
use tower::ServiceExt;

use crate::fixture::{Server, degrees, manual, put, store};
use crate::oracle::heights;

/// A stream of events that is being read.
struct Events {
    body: BodyDataStream,
    text: String,
}

#[derive(Debug)]
struct Event {
    kind: String,
    id: String,
    data: Value,
}

impl Event {
    /// How many commits of base data it tells of.
    fn puts(&self) -> usize {
        let changes = self.data["changes"].as_array().unwrap().iter();
        changes
            .filter(|change| !change["base"].as_array().unwrap().is_empty())
            .count()
    }
}

impl Events {
    fn open(server: &Server, address: &str, last: Option<&str>) -> Self {
        let mut request = Request::builder().uri(address);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = server
            .runtime
            .block_on(server.router.clone().oneshot(request))
            .unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        }
    }

    /// The next change of base data; what only aggregates is passed over.
    fn put(&mut self, server: &Server) -> Event {
        loop {
            let event = self.next(server).unwrap();
            assert_eq!(event.kind, "change");
            if event.puts() > 0 {
                return event;
            }
        }
    }

    /// The next event that is no change, which is of a kind.
    fn until(&mut self, server: &Server, kind: &str) {
        loop {
            let event = self.next(server).unwrap();
            if event.kind != "change" {
                return assert_eq!(event.kind, kind);
            }
        }
    }

    /// The next event; `None` when the stream has ended.
    fn next(&mut self, server: &Server) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .unwrap_or_default()
                        .trim()
                        .to_owned()
                };
                let found = Event {
                    kind: field("event:"),
                    id: field("id:"),
                    data: serde_json::from_str(&field("data:")).unwrap_or_default(),
                };
                self.text = rest.to_owned();
                // A comment says that the connection stands.
                if found.kind.is_empty() {
                    continue;
                }
                return Some(found);
            }
            let next =
                async { tokio::time::timeout(Duration::from_secs(20), self.body.next()).await };
            let bytes = server
                .runtime
                .block_on(next)
                .expect("an event comes in time")?
                .unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }
}

#[test]
fn after_an_event_no_tile_is_stale() {
    let store = store();
    let grid = degrees(&store, "plain", 16, [40, 40]);
    let server = Server::new(&store);
    let mut events = Events::open(&server, "/changes/plain", None);
    assert_eq!(events.next(&server).unwrap().kind, "ready");
    let address = "/tiles/plain/9/267/178.png?encoding=terrarium";
    let mut etag = server.get(address).ok().header("etag").to_owned();
    for value in 1..12 {
        put(&grid, value as f32);
        let event = events.put(&server);
        let changes = event.data["changes"].as_array().unwrap();
        let window = serde_json::json!({ "y": [0, 40], "x": [0, 40] });
        assert!(
            changes
                .iter()
                .any(|change| change["base"][0]["window"] == window)
        );
        // Who has the old tile gets the new one.
        let found = server.get_with(address, "if-none-match", &etag).ok();
        let shown: Vec<f64> = heights(&found.body).into_iter().flatten().collect();
        assert!(!shown.is_empty() && shown.iter().all(|height| *height == f64::from(value)));
        found.header("etag").clone_into(&mut etag);
    }
}

#[test]
fn who_comes_back_hears_what_it_missed() {
    let store = store();
    let grid = degrees(&store, "plain", 16, [40, 40]);
    let server = Server::new(&store);
    let mut events = Events::open(&server, "/changes/plain", None);
    let ready = events.next(&server).unwrap();
    drop(events);
    put(&grid, 1.0);
    put(&grid, 2.0);
    let since = format!("/changes/plain?since={}", ready.id);
    for (number, (address, last)) in [
        ("/changes/plain", Some(ready.id.as_str())),
        (since.as_str(), None),
    ]
    .into_iter()
    .enumerate()
    {
        let mut events = Events::open(&server, address, last);
        let missed = events.put(&server);
        assert_eq!(missed.puts(), 2 + number);
        put(&grid, 3.0);
        let next = events.put(&server);
        assert!(next.id > missed.id && next.puts() == 1);
    }
}

#[test]
fn who_missed_more_than_is_told_at_a_time_hears_all_of_it() {
    const PUTS: usize = 17_000;
    let store = manual();
    let grid = degrees(&store, "plain", 16, [40, 40]);
    let since = grid.changes_token().unwrap();
    for number in 0..PUTS {
        let cell = Array2::from_elem((1, 1), number as f32 + 0.5);
        grid.put(&Window::new([0, 0], [1, 1]), &cell).unwrap();
    }
    let server = Server::new(&store);
    let mut events = Events::open(&server, &format!("/changes/plain?since={since}"), None);
    let mut heard = 0;
    while heard < PUTS {
        heard += events.put(&server).puts();
    }
    assert_eq!(heard, PUTS);
}

#[test]
fn a_token_that_is_kept_no_longer_is_a_reset() {
    let options = Store::options()
        .policy(gridstone::Policy::Inline)
        .changes_kept(4);
    let store = options
        .open_engine(std::sync::Arc::new(Memory::new()))
        .unwrap();
    let grid = degrees(&store, "plain", 16, [40, 40]);
    let token = grid.changes_token().unwrap().to_string();
    for value in 0..600 {
        put(&grid, value as f32);
    }
    let server = Server::new(&store);
    for last in [
        token.as_str(),
        "no token",
        "00000000000000000000000000000000000000ff",
    ] {
        let mut events = Events::open(&server, "/changes/plain", Some(last));
        let reset = events.next(&server).unwrap();
        assert_eq!(reset.kind, "reset", "{last}");
        assert_eq!(reset.id, grid.changes_token().unwrap().to_string());
        put(&grid, 1.0);
        events.put(&server);
    }
    assert_eq!(server.get("/changes/plain?since=soon").status, 400);
    assert_eq!(server.get("/changes/none").status, 404);
}

#[test]
fn a_name_that_stands_for_another_grid_is_a_reset_and_for_none_the_end() {
    let store = store();
    let grid = degrees(&store, "a", 16, [40, 40]);
    degrees(&store, "b", 16, [40, 40]);
    let server = Server::new(&store);
    let mut events = Events::open(&server, "/changes/a", None);
    assert_eq!(events.next(&server).unwrap().kind, "ready");
    put(&grid, 1.0);
    events.put(&server);
    store.swap("a", "b").unwrap();
    events.until(&server, "reset");
    put(&store.grid("a").unwrap(), 1.0);
    events.put(&server);
    store.drop_grid("a").unwrap();
    events.until(&server, "gone");
    assert!(events.next(&server).is_none());
}

#[test]
fn no_more_listen_than_may() {
    let store = store();
    degrees(&store, "plain", 16, [40, 40]);
    let server = Server::with(&store, Options::default().listeners(2));
    let mut first = Events::open(&server, "/changes/plain", None);
    let _second = Events::open(&server, "/changes/plain", None);
    let refused = server.get("/changes/plain");
    assert_eq!(
        (refused.status.as_u16(), refused.header("retry-after")),
        (503, "1")
    );
    assert_eq!(first.next(&server).unwrap().kind, "ready");
    drop(first);
    Events::open(&server, "/changes/plain", None);
}
