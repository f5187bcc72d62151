//! What holds for every answer: conditions, methods, other origins, errors; the pages for operators
//! and for people.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use gridstone::adapter::quicklook::Ramp;
use gridstone::{Axis, DType, Dimension, Grid, Schema, Store, Structure, Window, wire};
use ndarray::Array3;
use serde_json::json;

use crate::fixture::{Server, degrees, hourly, store};

fn filled() -> Store {
    let store = store();
    degrees(&store, "plain", 32, [60, 60]);
    hourly(&store, 4);
    store
}

const ADDRESSES: [&str; 13] = [
    "/",
    "/page/map.js",
    "/grids",
    "/grids/plain",
    "/tiles/plain/9/268/178.png",
    "/tiles/plain/tiles.json",
    "/tiles/plain/legend.png",
    "/wmts",
    "/edr/collections",
    "/edr/collections/hourly",
    "/edr/collections/hourly/position?coords=POINT(6%2048)",
    "/edr/collections/hourly/cube?bbox=6,47,8,48&f=csv",
    "/edr/collections/plain/area?coords=POLYGON((8%2047.5,8.3%2047.5,8.1%2047.9,8%2047.5))",
];

#[test]
fn an_answer_that_is_known_is_304_and_empty() {
    let server = Server::new(&filled());
    for address in ADDRESSES {
        let first = server.get(address).ok();
        let etag = first.header("etag").to_owned();
        assert!(
            etag.starts_with('"') && etag.len() > 20,
            "{address}: {etag}"
        );
        assert_eq!(first.header("cache-control"), "no-cache", "{address}");
        for known in [
            etag.clone(),
            format!("W/{etag}"),
            format!("\"a\", {etag}"),
            "*".to_owned(),
        ] {
            let again = server.get_with(address, "if-none-match", &known);
            assert_eq!(
                (again.status, again.body.len()),
                (StatusCode::NOT_MODIFIED, 0),
                "{address}: {known}"
            );
            assert_eq!(again.header("etag"), etag, "{address}");
        }
        let other = server.get_with(address, "if-none-match", "\"a\"").ok();
        assert_eq!(other.body, first.body, "{address}");
    }
}

#[test]
fn head_has_the_headers_and_no_body() {
    let server = Server::new(&filled());
    for address in ADDRESSES {
        let whole = server.get(address).ok();
        let head = server.ask(Method::HEAD, address, Body::empty()).ok();
        assert!(head.body.is_empty(), "{address}");
        for name in ["etag", "content-type"] {
            assert_eq!(head.header(name), whole.header(name), "{address}: {name}");
        }
        assert_eq!(
            head.header("content-length"),
            whole.body.len().to_string(),
            "{address}"
        );
    }
}

#[test]
fn pages_of_other_origins_may_read_and_see_what_they_need() {
    let server = Server::new(&filled());
    for address in ADDRESSES.into_iter().chain(["/tiles/none/0/0/0.png"]) {
        let found = server.get_with(address, "origin", "https://maps.example");
        assert_eq!(
            found.header("access-control-allow-origin"),
            "*",
            "{address}"
        );
        assert!(
            found
                .header("access-control-expose-headers")
                .contains("etag"),
            "{address}"
        );
        let request = Request::builder()
            .method(Method::OPTIONS)
            .uri(address)
            .header("origin", "https://maps.example")
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "if-none-match, range");
        let preflight = server.send(request.body(Body::empty()).unwrap()).ok();
        assert!(
            !preflight.header("access-control-allow-methods").is_empty(),
            "{address}"
        );
        assert!(
            !preflight.header("access-control-allow-headers").is_empty(),
            "{address}"
        );
    }
}

#[test]
fn errors_are_problems_that_say_what_is_allowed() {
    let server = Server::new(&filled());
    let problem = |address: &str, status: u16| {
        let found = server.get(address);
        assert_eq!(found.status, status, "{address}: {}", found.text());
        assert_eq!(
            found.header("content-type"),
            "application/problem+json",
            "{address}"
        );
        let json = found.json();
        assert_eq!(json["status"], status, "{address}");
        assert!(!json["detail"].as_str().unwrap().is_empty(), "{address}");
        json
    };
    let json = problem("/tiles/plain/0/0/0.png?ramp=beige", 400);
    assert_eq!(json["parameter"], "ramp");
    assert!(
        json["allowed"]
            .as_array()
            .unwrap()
            .contains(&"viridis".into())
    );
    let json = problem("/tiles/plain/0/0/0.png?layer=sum", 400);
    assert_eq!(
        (&json["parameter"], &json["allowed"]),
        (&"layer".into(), &json!(["base", "mean"]))
    );
    let json = problem("/tiles/plain/0/0/0.png?colour=red", 400);
    assert!(json["allowed"].as_array().unwrap().contains(&"ramp".into()));
    assert_eq!(
        problem("/tiles/plain/0/0/0.png?level.time=1", 400)["parameter"],
        "level.time"
    );
    assert_eq!(
        problem("/tiles/hourly/0/0/0.png?time=soon", 400)["parameter"],
        "time"
    );
    assert_eq!(
        problem("/tiles/plain/0/0/0.png?time=2024-01-01", 400)["parameter"],
        "time"
    );
    assert_eq!(
        problem("/edr/collections/hourly/position", 400)["parameter"],
        "coords"
    );
    assert_eq!(
        problem("/edr/collections/hourly/cube?bbox=1,2,3", 400)["parameter"],
        "bbox"
    );
    problem("/tiles/none/0/0/0.png", 404);
    problem("/tiles/plain/1/2/0.png", 404);
    problem("/nowhere", 404);
    let found = server.ask(Method::DELETE, "/grids/plain", Body::empty());
    assert_eq!(
        (found.status.as_u16(), found.header("allow")),
        (405, "GET, HEAD, OPTIONS")
    );
    assert_eq!(found.json()["status"], 405);
    let found = server.get("/stats/plain");
    assert_eq!(
        (found.status.as_u16(), found.header("allow")),
        (405, "POST, OPTIONS")
    );
}

#[test]
fn grids_are_as_info_has_them() {
    let store = filled();
    let server = Server::new(&store);
    let expected = wire::grid_json(&store.grid("hourly").unwrap()).unwrap();
    assert_eq!(
        server.get("/grids/hourly").ok().text(),
        expected.to_string()
    );
    let all = server.get("/grids").ok();
    assert!(all.text().contains(&expected.to_string()));
    let all = all.json();
    let names: Vec<&str> = all["grids"]
        .as_array()
        .unwrap()
        .iter()
        .map(|grid| grid["grid"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["hourly", "plain"]);
    assert!(all["storage"].is_object());
}

#[test]
fn figures_count_requests_and_chunks() {
    let server = Server::new(&filled());
    for _ in 0..3 {
        server.get("/tiles/plain/9/268/178.png").ok();
    }
    server.get("/tiles/plain/9/268/178.gif");
    let found = server.get("/metrics").ok();
    assert!(
        found
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    let text = found.text();
    let figure = |name: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("no {name} in {text}"));
        line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
    };
    let route = "route=\"/tiles/{grid}/{z}/{x}/{y}\"";
    assert_eq!(
        figure(&format!(
            "gridstone_http_requests_total{{{route},status=\"200\"}}"
        )),
        3.0
    );
    assert_eq!(
        figure(&format!(
            "gridstone_http_requests_total{{{route},status=\"404\"}}"
        )),
        1.0
    );
    assert_eq!(
        figure(&format!("gridstone_http_request_seconds_count{{{route}}}")),
        4.0
    );
    assert_eq!(figure("gridstone_http_requests_under_way"), 1.0);
    assert_eq!(figure("gridstone_commits_total"), 2.0);
    assert_eq!(figure("gridstone_marks "), 0.0);
    // Every line is a comment or a name and a number.
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, number) = line.rsplit_once(' ').unwrap();
        assert!(
            name.starts_with("gridstone_") && number.parse::<f64>().is_ok(),
            "{line}"
        );
    }
}

#[test]
fn health_and_readiness_are_told() {
    let server = Server::new(&filled());
    assert_eq!(server.get("/healthz").ok().text(), "ok\n");
    assert_eq!(server.get("/readyz").ok().text(), "ready\n");
}

#[test]
fn the_page_asks_nobody_else() {
    let server = Server::new(&filled());
    let page = server.get("/").ok();
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(
        page.header("content-security-policy")
            .starts_with("default-src 'self'")
    );
    let text = page.text();
    assert!(text.contains("<base href=\"/\">"));
    assert!(!text.contains("http://") && !text.contains("https://"));
    let files = text
        .split(['"', '\''])
        .filter(|part| part.starts_with("page/"));
    let mut count = 0;
    for file in files {
        server.get(&format!("/{file}")).ok();
        count += 1;
    }
    assert_eq!(count, 6);
    assert!(
        server
            .get("/page/leaflet-license.txt")
            .ok()
            .text()
            .contains("BSD 2-Clause")
    );
    assert_eq!(server.get("/page/Cargo.toml").status, 404);
}

#[test]
fn the_page_offers_every_ramp() {
    let server = Server::new(&store());
    let script = server.get("/page/panel.js").ok().text();
    for ramp in Ramp::ALL {
        let name = ramp.name();
        assert!(script.contains(&format!("'{name}'")), "{name}");
    }
}

#[test]
fn files_are_given_in_ranges() {
    let server = Server::new(&filled());
    let whole = server.get("/page/leaflet.js").ok();
    let len = whole.body.len();
    assert_eq!(whole.header("accept-ranges"), "bytes");
    let part = server.get_with("/page/leaflet.js", "range", "bytes=-10");
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.body, whole.body.slice(len - 10..));
    assert_eq!(
        part.header("content-range"),
        format!("bytes {}-{}/{len}", len - 10, len - 1)
    );
    let beyond = server.get_with("/page/leaflet.js", "range", &format!("bytes={len}-"));
    assert_eq!(
        (beyond.status.as_u16(), beyond.header("content-range")),
        (416, &*format!("bytes */{len}"))
    );
}

#[test]
fn routes_work_below_the_address_at_which_they_are_mounted() {
    let store = filled();
    let mut server = Server::new(&store);
    server.router = axum::Router::new().nest("/data", server.router.clone());
    assert!(
        server
            .get("/data")
            .ok()
            .text()
            .contains("<base href=\"/data/\">")
    );
    let json = server
        .get_with("/data/tiles/plain/tiles.json", "host", "a.b")
        .ok()
        .json();
    assert_eq!(
        json["tiles"][0],
        "http://a.b/data/tiles/plain/{z}/{x}/{y}.png"
    );
    let json = server
        .get_with("/data/edr/collections/plain", "host", "a.b")
        .ok()
        .json();
    assert_eq!(
        json["links"][0]["href"],
        "http://a.b/data/edr/collections/plain"
    );
    server.get("/data/tiles/plain/9/268/178.png").ok();
}

/// A grid of two bands of which nothing is put.
fn bands(store: &Store) -> Grid {
    let structure = Structure::builder()
        .dimension(Dimension::fixed("band", ["red", "green"]))
        .dimension(Dimension::regular(
            "space",
            [Axis::new("y", 10.0, -1.0, 8), Axis::new("x", 0.0, 1.0, 8)],
        ))
        .crs("EPSG:4326")
        .build()
        .unwrap();
    let schema = Schema::builder(structure, DType::U8).build().unwrap();
    store.create("bands", schema).unwrap()
}

#[test]
fn a_band_that_was_never_put_is_told_as_one_without_data() {
    let store = store();
    let green = Array3::from_elem((1, 10, 10), 90_u8);
    bands(&store)
        .put(&Window::new([1, 0, 0], [1, 10, 10]), &green)
        .unwrap();
    let server = Server::new(&store);
    let position = "/edr/collections/bands/position?coords=POINT(3%205)";
    let both = server.get(position).ok().json();
    assert_eq!(both["ranges"]["red"]["values"], json!([null]));
    assert_eq!(both["ranges"]["green"]["values"], json!([90]));
    let one = server.get(&format!("{position}&parameter-name=green"));
    assert_eq!(one.ok().json()["ranges"]["green"]["values"], json!([90]));
}

#[test]
fn bands_are_chosen_by_label_or_number() {
    let store = store();
    let cells = Array3::from_shape_fn(
        (2, 10, 10),
        |(band, _, _)| if band == 0 { 40_u8 } else { 90 },
    );
    bands(&store)
        .put(&Window::new([0, 0, 0], [2, 10, 10]), &cells)
        .unwrap();
    let server = Server::new(&store);
    let value = |more: &str| {
        let found = server
            .get(&format!(
                "/tiles/bands/5/16/15.png?encoding=terrarium{more}"
            ))
            .ok();
        crate::oracle::heights(&found.body)
            .into_iter()
            .flatten()
            .next()
    };
    assert_eq!(
        [
            value(""),
            value("&band=green"),
            value("&band=2"),
            value("&at.band=red")
        ],
        [Some(40.0), Some(90.0), Some(90.0), Some(40.0)]
    );
    assert_eq!(
        server.get("/tiles/bands/5/16/15.png?band=blue").json()["allowed"],
        json!(["red", "green"])
    );
    let json = server
        .get("/edr/collections/bands/position?coords=POINT(3%205)")
        .ok()
        .json();
    assert_eq!(
        (
            &json["ranges"]["red"]["values"],
            &json["ranges"]["green"]["values"]
        ),
        (&json!([40]), &json!([90]))
    );
    let json = server
        .get("/edr/collections/bands/position?coords=POINT(3%205)&parameter-name=green")
        .ok()
        .json();
    assert_eq!(json["ranges"].as_object().unwrap().len(), 1);
}
