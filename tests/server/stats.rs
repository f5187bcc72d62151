//! Statistics of features that are posted.

use axum::http::Method;
use gridstone::server::Options;
use gridstone::{Polygon, Stat, StatisticsQuery, wire};
use serde_json::{Value, json};

use crate::fixture::{Server, degrees, numbered, space, store};

fn feature(name: &str, ring: &[[f64; 2]]) -> Value {
    json!({ "type": "Feature", "properties": { "name": name }, "geometry": { "type": "Polygon", "coordinates": [ring] } })
}

const WEST: [[f64; 2]; 4] = [[8.0, 47.9], [8.3, 47.7], [8.1, 47.2], [8.0, 47.9]];
const EAST: [[f64; 2]; 4] = [[8.6, 47.9], [8.9, 47.7], [8.7, 47.2], [8.6, 47.9]];

#[test]
fn figures_are_those_of_the_engine_for_each_feature() {
    let store = store();
    let grid = degrees(&store, "plain", 32, [100, 100]);
    let server = Server::new(&store);
    let body = json!({ "type": "FeatureCollection", "features": [feature("west", &WEST), feature("east", &EAST)] });
    let found = server
        .ask(
            Method::POST,
            "/stats/plain?stat=count,mean,max&histogram=2:0:8000",
            body.to_string(),
        )
        .ok();
    let polygons =
        [WEST, EAST].map(|ring| Polygon::new(["x", "y"], [vec![ring.to_vec()]]).unwrap());
    let query = StatisticsQuery::all()
        .stats([Stat::Count, Stat::Mean, Stat::Max])
        .histogram("2:0:8000".parse().unwrap());
    let zones = grid.statistics_of_each(&query, &polygons).unwrap();
    let named = [json!({ "name": "west" }), json!({ "name": "east" })];
    let expected = wire::zones_json(
        [("west", &named[0]), ("east", &named[1])].into_iter(),
        &zones,
    );
    assert_eq!(found.json(), expected);
    assert!(found.json()["features"][0]["count"].as_f64().unwrap() > 500.0);
}

#[test]
fn polygons_of_another_system_are_converted() {
    let store = store();
    numbered(
        &store,
        "utm",
        space("EPSG:32632", [500_000.0, 5_400_000.0], 1_000.0, 64),
        100,
        100,
    );
    let server = Server::new(&store);
    let body = feature(
        "a",
        &[
            [9.2, 48.6],
            [9.6, 48.6],
            [9.6, 48.2],
            [9.2, 48.2],
            [9.2, 48.6],
        ],
    );
    let found = server
        .ask(
            Method::POST,
            "/stats/utm?crs=CRS84&stat=count",
            body.to_string(),
        )
        .ok()
        .json();
    // 29.5 by 44.5 km.
    let count = found["features"][0]["count"].as_f64().unwrap();
    assert!((1_250.0..1_380.0).contains(&count), "{count}");
}

/// By the parameter, by the member `crs` of the body, or by both where they are one.
#[test]
fn the_system_of_a_body_is_heeded_wherever_it_is_named() {
    let store = store();
    let utm = space("EPSG:32632", [500_000.0, 5_400_000.0], 1_000.0, 64);
    numbered(&store, "utm", utm, 100, 100);
    let server = Server::new(&store);
    let ring = [
        [9.2, 48.6],
        [9.6, 48.6],
        [9.6, 48.2],
        [9.2, 48.2],
        [9.2, 48.6],
    ];
    let asked = |parameter: &str, member: Option<&str>| {
        let mut body = feature("a", &ring);
        if let Some(name) = member {
            body["crs"] = json!({ "type": "name", "properties": { "name": name } });
        }
        let address = format!("/stats/utm?stat=count{parameter}");
        server.ask(Method::POST, &address, body.to_string())
    };
    let of_parameter = asked("&crs=CRS84", None).ok().json();
    for (parameter, member) in [
        ("", "EPSG:4326"),
        ("", "urn:ogc:def:crs:OGC:1.3:CRS84"),
        ("&crs=EPSG:4326", "urn:ogc:def:crs:OGC:1.3:CRS84"),
        ("&crs=CRS84", "urn:ogc:def:crs:EPSG::4326"),
    ] {
        let found = asked(parameter, Some(member)).ok().json();
        assert_eq!(found, of_parameter, "{parameter} {member}");
    }
    for (parameter, member) in [
        ("&crs=EPSG:32632", "EPSG:4326"),
        ("&crs=CRS84", "EPSG:3857"),
        ("&crs=CRS84", "nonsense"),
        ("", "nonsense"),
    ] {
        let found = asked(parameter, Some(member));
        assert_eq!(found.status.as_u16(), 400, "{parameter} {member}");
    }
}

#[test]
fn what_cannot_be_summed_up_is_refused() {
    let store = store();
    degrees(&store, "plain", 32, [20, 20]);
    let server = Server::with(&store, Options::default().body_bytes(10_000));
    let status =
        |address: &str, body: String| server.ask(Method::POST, address, body).status.as_u16();
    let good = feature("a", &WEST).to_string();
    assert_eq!(status("/stats/plain", good.clone()), 200);
    assert_eq!(status("/stats/plain", "{".to_owned()), 400);
    assert_eq!(status("/stats/plain", "[]".to_owned()), 400);
    assert_eq!(status("/stats/plain", String::new()), 400);
    assert_eq!(
        status(
            "/stats/plain",
            json!({ "type": "Point", "coordinates": [1, 2] }).to_string()
        ),
        400
    );
    assert_eq!(
        status(
            "/stats/plain",
            json!({ "type": "FeatureCollection", "features": [] }).to_string()
        ),
        400
    );
    assert_eq!(status("/stats/plain?stat=median", good.clone()), 400);
    assert_eq!(status("/stats/plain?where=very", good.clone()), 400);
    assert_eq!(status("/stats/none", good.clone()), 404);
    assert_eq!(
        status("/stats/plain", format!("{good}{}", " ".repeat(10_000))),
        413
    );
    let deep = format!("{}{}", "[".repeat(4_000), "]".repeat(4_000));
    assert_eq!(status("/stats/plain", deep), 400);
}
