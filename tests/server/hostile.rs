//! Requests that nobody should send.

use axum::body::Body;
use axum::http::{Method, Request};
use gridstone::{DType, Schema, Store, Window};
use ndarray::Array2;

use crate::fixture::{Dice, Server, degrees, hourly, numbered, space, store};

fn filled() -> Store {
    let store = store();
    degrees(&store, "plain", 32, [60, 60]);
    numbered(
        &store,
        "utm",
        space("EPSG:32632", [500_000.0, 5_400_000.0], 1_000.0, 64),
        30,
        30,
    );
    hourly(&store, 4);
    store
}

/// That an address is refused, as the client's fault.
fn refused(server: &Server, address: &str) {
    let Ok(request) = Request::builder().uri(address).body(Body::empty()) else {
        return;
    };
    let found = server.send(request);
    assert!(
        found.status.is_client_error(),
        "{address}: {}, {}",
        found.status,
        found.text()
    );
    assert_eq!(
        found.header("content-type"),
        "application/problem+json",
        "{address}"
    );
    assert!(found.body.len() < 8_000, "{address}: {}", found.text());
}

#[test]
fn nonsense_is_the_fault_of_who_asks() {
    let server = Server::new(&filled());
    for address in [
        "/tiles/plain/25/0/0.png",
        "/tiles/plain/4294967296/0/0.png",
        "/tiles/plain/99999999999999999999999/0/0.png",
        "/tiles/plain/-1/0/0.png",
        "/tiles/plain/+1/0/0.png",
        "/tiles/plain/1/0/NaN.png",
        "/tiles/plain/1/0/.png",
        "/tiles/plain/1/0/@2x.png",
        "/tiles/plain/1/0/0@3x.png",
        "/tiles/plain/1/0/0.jpg",
        "/tiles/plain/0/1/0.png",
        "/tiles/%00/0/0/0.png",
        "/tiles/%ff%fe/0/0/0.png",
        "/tiles/..%2f..%2fetc%2fpasswd/0/0/0.png",
        "/grids/..%2f..",
        "/grids/%F0%9F%98%80",
        "/grids/plain?%ff=1",
        "/page/..%2fmod.rs",
        "/tiles/plain/0/0/0.png?min=NaN",
        "/tiles/plain/0/0/0.png?max=inf",
        "/tiles/plain/0/0/0.png?min=1e999",
        "/tiles/plain/0/0/0.png?min=5&max=1",
        "/tiles/plain/0/0/0.png?min=1&min=2",
        "/tiles/plain/0/0/0.png?level.space=-128",
        "/tiles/plain/0/0/0.png?level.space=127",
        "/tiles/plain/0/0/0.png?level.=1",
        "/tiles/plain/0/0/0.png?level.space=x",
        "/tiles/plain/0/0/0.png?layer=mode:99999999999999999999",
        "/tiles/plain/0/0/0.png?band=1",
        "/tiles/plain/0/0/0.png?at.none=1",
        "/tiles/hourly/0/0/0.png?time=0000-00-00",
        "/tiles/hourly/0/0/0.png?time=99999999999999999999999-01-01",
        "/edr/collections/plain/position?coords=POINT(NaN%20NaN)",
        "/edr/collections/plain/position?coords=POINT(1e308%201e308)",
        "/edr/collections/plain/position?coords=POINT(-1e308%20-1e308)",
        "/edr/collections/utm/position?coords=POINT(1e308%201e308)&crs=EPSG:4326",
        "/edr/collections/plain/cube?bbox=1e308,1e308,1e308,1e308",
        "/edr/collections/plain/cube?bbox=8,48,8,47",
        "/edr/collections/plain/cube?bbox=nan,0,1,1",
        "/edr/collections/plain/cube?bbox=0,0,1,1,1,1",
        "/edr/collections/plain/area?coords=POLYGON((0%200,0%200,0%200))",
        "/edr/collections/plain/area?coords=POLYGON((0%200,170%200,-100%200,0%200))",
        "/edr/collections/plain/area?coords=POLYGON((8%2048,9%2048,9%2047,8%2048))&crs=nonsense",
        "/edr/collections/hourly/position?coords=POINT(6%2048)&datetime=2024-03-02/2024-03-01",
        "/edr/collections/hourly/position?coords=POINT(6%2048)&datetime=9223372036854775807",
        "/edr/collections/hourly/position?coords=POINT(6%2048)&f=exe",
        "/changes/plain?since=%00",
        "/wmts?request=%3Cscript%3E",
    ] {
        refused(&server, address);
    }
    for part in ["(", ")", ",", "((((", "POINT", "%F0%9F%98%80"] {
        let long = part.repeat(2_000);
        refused(
            &server,
            &format!("/edr/collections/plain/area?coords=POLYGON{long}"),
        );
        refused(&server, &format!("/tiles/plain/0/0/0.png?ramp={long}"));
        refused(&server, &format!("/tiles/{long}/0/0/0.png"));
    }
}

#[test]
fn no_request_makes_the_server_fail() {
    let store = filled();
    let server = Server::new(&store);
    let words = [
        "plain",
        "utm",
        "hourly",
        "0",
        "-1",
        "9",
        "268",
        "178.png",
        "1e300",
        "NaN",
        "%00",
        "%ff",
        "..",
        "time",
        "level.space",
        "POINT(8%2047.9)",
        "POLYGON((8%2048,9%2048,9%2047,8%2048))",
        "2024-03-01",
        "min",
        "max",
        "coords",
        "bbox",
        "8,47,9,48",
        "crs",
        "EPSG:3857",
        "EPSG:4326",
        "datetime",
        "../..",
        "f",
        "csv",
    ];
    let routes = [
        "/tiles/{}/{}/{}/{}",
        "/tiles/{}/tiles.json",
        "/edr/collections/{}/position",
        "/edr/collections/{}/area",
        "/edr/collections/{}/cube",
        "/grids/{}",
        "/{}/{}",
        "/wmts",
        "/page/{}",
    ];
    let mut dice = Dice(0x5eed);
    for _ in 0..3_000 {
        let mut address = routes[dice.below(routes.len() as u64) as usize].to_owned();
        while address.contains("{}") {
            address = address.replacen("{}", words[dice.below(words.len() as u64) as usize], 1);
        }
        for number in 0..dice.below(4) {
            let [name, value] = [(); 2].map(|()| words[dice.below(words.len() as u64) as usize]);
            address = format!(
                "{address}{}{name}={value}",
                if number == 0 { '?' } else { '&' }
            );
        }
        let Ok(request) = Request::builder().uri(&address).body(Body::empty()) else {
            continue;
        };
        let found = server.send(request);
        assert!(
            !found.status.is_server_error(),
            "{address}: {}",
            found.text()
        );
    }
}

#[test]
fn a_wide_place_is_refused_before_anything_is_made_for_its_cells() {
    let store = store();
    let structure = space("EPSG:4326", [8.0, 48.0], 1e-5, 256);
    let schema = Schema::builder(structure, DType::F32).build().unwrap();
    let grid = store.create("wide", schema).unwrap();
    for corner in [0_i64, 1_000_000] {
        let window = Window::new([corner, corner], [1, 1]);
        grid.put(&window, &Array2::<f32>::ones((1, 1))).unwrap();
    }
    let server = Server::new(&store);
    for query in [
        "cube?bbox=8,38,18,48",
        "radius?coords=POINT(13%2043)&within=900&within-units=km",
        "area?coords=POLYGON((8%2038,18%2038,18%2048,8%2048,8%2038))",
    ] {
        let found = server.get(&format!("/edr/collections/wide/{query}"));
        assert_eq!(found.status, 413, "{query}: {}", found.text());
    }
}

#[test]
fn an_answer_names_no_path_of_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret-place");
    let store = Store::open(&path).unwrap();
    degrees(&store, "plain", 32, [60, 60]);
    let server = Server::new(&store);
    // The files go while the store is open: what is asked then fails, or comes from memory.
    let mut addresses = vec![
        "/grids",
        "/grids/plain",
        "/metrics",
        "/readyz",
        "/edr/collections",
        "/wmts",
        "/tiles/plain/tiles.json",
    ];
    addresses.extend([
        "/grids/none",
        "/tiles/plain/9/268/178.png",
        "/edr/collections/plain/cube?bbox=8,47.9,8.1,48",
    ]);
    let check = || {
        for address in &addresses {
            let found = server.get(address);
            assert!(
                !found.text().contains("secret-place"),
                "{address}: {}",
                found.text()
            );
            for value in found.headers.values() {
                assert!(
                    !value.to_str().unwrap().contains("secret-place"),
                    "{address}"
                );
            }
        }
    };
    check();
    store.flush().unwrap();
    std::fs::remove_dir_all(&path).unwrap();
    check();
}

#[test]
fn damage_is_told_without_where_it_lies() {
    use gridstone::kv::{Batch, Durability, Engine, KeyRange, Memory, Order, Space};
    let engine = std::sync::Arc::new(Memory::new());
    let store = Store::options().open_engine(engine.clone()).unwrap();
    degrees(&store, "plain", 32, [60, 60]);
    let snapshot = engine.snapshot().unwrap();
    let chunks = snapshot
        .scan(Space::Base, &KeyRange::all(), Order::Ascending, 100)
        .unwrap();
    let mut batch = Batch::at(snapshot.as_ref());
    for (key, mut value) in chunks.entries {
        let last = value.len() - 1;
        value[last] ^= 1;
        batch.put(Space::Base, key, value);
    }
    engine.commit(batch, Durability::Sync).unwrap();
    let server = Server::new(&store);
    let found = server.get("/edr/collections/plain/cube?bbox=8,47.5,8.5,48");
    assert_eq!(found.status, 500);
    assert!(
        found.text().contains("gridstone verify"),
        "{}",
        found.text()
    );
}

#[test]
fn bodies_without_end_are_cut_off() {
    let store = filled();
    let options = gridstone::server::Options::default().body_bytes(1 << 20);
    let server = Server::with(&store, options);
    let piece = axum::body::Bytes::from(vec![b' '; 1 << 16]);
    let pieces = futures_util::stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone()));
    let request = Request::builder().method(Method::POST).uri("/stats/plain");
    let found = server.send(request.body(Body::from_stream(pieces)).unwrap());
    assert_eq!(found.status, 413);
}
