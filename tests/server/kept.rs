//! Answers that are kept: given again without a turn, and never once the data are others.

use std::collections::HashMap;
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use gridstone::adapter::zarr::{View, ViewOptions};
use gridstone::server::Options;
use gridstone::{Grid, Store};

use crate::fixture::{FAST, Gate, SLOW, Server, answer, degrees, gated, get, hourly, put, store};
use crate::oracle::heights;

const TILE: &str = "/tiles/plain/9/267/178.png?encoding=terrarium";
const CHUNK: &str = "0/plain/c/1/1";
const POSITION: &str = "/edr/collections/plain/position?coords=POINT(8.2%2047.8)&f=csv";

/// A store whose grid `plain` holds one value.
fn even(value: usize) -> (Store, Grid) {
    let store = store();
    let grid = degrees(&store, "plain", 16, [40, 40]);
    put(&grid, value as f32);
    (store, grid)
}

fn chunk(store: &Store) -> Vec<u8> {
    let grid = store.snapshot().unwrap().grid("plain").unwrap();
    let view = View::new(&grid, &ViewOptions::default()).unwrap();
    view.get(CHUNK).unwrap().unwrap()
}

#[test]
fn no_answer_is_older_than_a_put_that_had_returned_before_it_was_asked_for() {
    const VALUES: usize = 60;
    let of_value: HashMap<Vec<u8>, usize> = (1..=VALUES)
        .map(|value| (chunk(&even(value).0), value))
        .collect();
    let (store, grid) = even(1);
    let server = Server::new(&store);
    let (returned, asked) = (AtomicUsize::new(1), AtomicUsize::new(0));
    let value_of = |address: &str, body: &[u8]| match address {
        TILE => {
            let mut shown = heights(body)
                .into_iter()
                .flatten()
                .map(|height| height as usize);
            let first = shown.next().unwrap();
            assert!(shown.all(|height| height == first), "a tile of two moments");
            first
        }
        POSITION => {
            let text = std::str::from_utf8(body).unwrap();
            text.trim_end()
                .rsplit(',')
                .next()
                .unwrap()
                .parse::<f64>()
                .unwrap() as usize
        }
        _ => of_value[body],
    };
    thread::scope(|scope| {
        let zarr = format!("/zarr/plain/{CHUNK}");
        for address in [TILE, POSITION, &zarr, TILE, POSITION, &zarr] {
            let address = address.to_owned();
            let (server, returned, asked) = (&server, &returned, &asked);
            scope.spawn(move || {
                let mut last = 0;
                while last < VALUES {
                    let before = returned.load(Ordering::SeqCst);
                    let found = server.get(&address).ok();
                    let value = value_of(&address, &found.body);
                    assert!(
                        value >= before.max(last),
                        "{address}: {value} after {before}"
                    );
                    last = value;
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for value in 2..=VALUES {
            put(&grid, value as f32);
            returned.store(value, Ordering::SeqCst);
            // Some are asked for between two puts, so that what is kept is given.
            let until = asked.load(Ordering::SeqCst) + 12;
            while asked.load(Ordering::SeqCst) < until && value < VALUES {
                thread::yield_now();
            }
        }
    });
}

#[test]
fn what_is_kept_is_given_while_all_calls_are_taken() {
    let gate = Gate::default();
    let store = gated(&gate);
    let server = Server::with(&store, Options::default().calls(1).queue(0));
    let first = server.get(FAST).ok();
    let chunk = "/zarr/fast/0/fast/c/1/1";
    let first_chunk = server.get(chunk).ok();
    let running = server
        .runtime
        .spawn(answer(server.router.clone(), get(SLOW)));
    while !server
        .get("/metrics")
        .text()
        .contains("gridstone_http_calls_free 0")
    {
        thread::yield_now();
    }
    let same = |address: &str, etag: &str| {
        let known = server.get_with(address, "if-none-match", etag);
        assert_eq!(known.status, StatusCode::NOT_MODIFIED, "{address}");
    };
    assert_eq!(server.get(FAST).ok().body, first.body);
    assert_eq!(server.get(chunk).ok().body, first_chunk.body);
    same(FAST, first.header("etag"));
    same(chunk, first_chunk.header("etag"));
    // What is not kept has to wait, and there is no room to.
    assert_eq!(server.get(&format!("{FAST}&v=1")).status, 503);
    // After a commit nothing is known to hold.
    put(&store.grid("fast").unwrap(), 3.0);
    assert_eq!(server.get(FAST).status, 503);
    gate.open();
    let ended = server.runtime.block_on(running).unwrap();
    assert_eq!(ended.status, StatusCode::OK);
    assert_ne!(server.get(FAST).ok().body, first.body);
}

#[test]
fn names_that_change_hands_take_their_answers_along() {
    let store = store();
    degrees(&store, "a", 16, [40, 40]);
    put(&degrees(&store, "b", 16, [40, 40]), 7.0);
    let server = Server::new(&store);
    let chunk = |grid: &str| format!("/zarr/{grid}@base/0/{grid}/c/0/0");
    let point = |grid: &str| {
        let address = format!("/edr/collections/{grid}/position?coords=POINT(8.2%2047.8)&f=csv");
        server.get(&address)
    };
    let row = |grid: &str| point(grid).ok().text().lines().nth(1).unwrap().to_owned();
    let (a, b) = (row("a"), row("b"));
    let chunks = ["a", "b"].map(|grid| server.get(&chunk(grid)).ok().body);
    store.swap("a", "b").unwrap();
    assert_eq!((row("a"), row("b")), (b.clone(), a.clone()));
    let now = ["b", "a"].map(|grid| server.get(&chunk(grid)).ok().body);
    assert_eq!(now, chunks);
    store.rename_grid("a", "c").unwrap();
    assert_eq!(row("c"), b);
    store.drop_grid("b").unwrap();
    for gone in ["a", "b"] {
        assert_eq!(point(gone).status, StatusCode::NOT_FOUND, "{gone}");
        assert_eq!(
            server.get(&chunk(gone)).status,
            StatusCode::NOT_FOUND,
            "{gone}"
        );
    }
    assert_eq!(server.get(&chunk("c")).ok().body, chunks[1]);
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut packed = flate2::read::GzDecoder::new(bytes);
    packed.read_to_end(&mut plain).unwrap();
    plain
}

#[test]
fn texts_are_packed_for_those_who_take_them_so() {
    let store = store();
    degrees(&store, "plain", 32, [60, 60]);
    hourly(&store, 4);
    let server = Server::new(&store);
    for address in [
        "/page/leaflet.js",
        "/grids",
        "/wmts",
        "/edr/collections",
        "/edr/collections/plain/cube?bbox=8,47.5,8.5,48",
        "/edr/collections/hourly/cube?bbox=6,47,9,49&f=csv",
        "/zarr/plain/zarr.json",
    ] {
        let taking = |header: &str, value: &str| {
            let request = Request::builder().uri(address).header(header, value);
            let request = request.header("accept-encoding", "gzip");
            server.send(request.body(Body::empty()).unwrap())
        };
        // First made, then kept.
        for _ in 0..2 {
            let plain = server.get(address).ok();
            assert!(!plain.headers.contains_key("content-encoding"), "{address}");
            assert_eq!(plain.header("vary"), "accept-encoding", "{address}");
            let packed = server.get_with(address, "accept-encoding", "gzip, br").ok();
            assert_eq!(packed.header("content-encoding"), "gzip", "{address}");
            assert_eq!(packed.header("vary"), "accept-encoding", "{address}");
            assert!(packed.body.len() < plain.body.len(), "{address}");
            assert_eq!(unpacked(&packed.body), plain.body, "{address}");
            assert_eq!(packed.header("content-type"), plain.header("content-type"));
            // They are other bytes, and each is known by its own name.
            let tags = [&plain, &packed].map(|found| found.header("etag"));
            assert_ne!(tags[0], tags[1], "{address}");
            for tag in tags {
                let known = taking("if-none-match", tag);
                assert_eq!(known.status, StatusCode::NOT_MODIFIED, "{address}");
                assert_eq!(known.header("etag"), tag, "{address}");
            }
            let part = taking("range", "bytes=1-4");
            assert_eq!(part.status, StatusCode::PARTIAL_CONTENT, "{address}");
            assert_eq!(part.body, plain.body.slice(1..5), "{address}");
            assert!(!part.headers.contains_key("content-encoding"), "{address}");
        }
    }
    for address in [TILE, "/zarr/plain/0/plain/c/0/0", "/zarr/plain/zarr.json"] {
        let refusing = server.get_with(address, "accept-encoding", "gzip;q=0").ok();
        assert!(
            !refusing.headers.contains_key("content-encoding"),
            "{address}"
        );
    }
    for address in [TILE, "/zarr/plain/0/plain/c/0/0"] {
        let taking = server.get_with(address, "accept-encoding", "gzip").ok();
        assert!(
            !taking.headers.contains_key("content-encoding"),
            "{address}"
        );
        assert!(!taking.headers.contains_key("vary"), "{address}");
    }
}
