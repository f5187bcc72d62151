//! Queries by position, area and cube, held against the cells that were put.

use serde_json::{Value, json};

use gridstone::server::Options;
use gridstone::{Polygon, Query};

use crate::fixture::{Server, degrees, hourly, manual, number, numbered, space, store};

/// The value of the cell (row, col) of [`hourly`] at an hour.
fn hour(hour: usize, row: usize, col: usize) -> f64 {
    (1000 * hour + 10 * row + col) as f64
}

fn numbers(value: &Value) -> Vec<Option<f64>> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(Value::as_f64)
        .collect()
}

#[test]
fn a_position_gives_the_series_of_its_cell() {
    let store = store();
    hourly(&store, 20);
    let server = Server::new(&store);
    // Row 3 and column 5: latitudes 48 to 48.5, longitudes 7.5 to 8.
    let found = server
        .get("/edr/collections/hourly/position?coords=POINT(7.6%2048.1)")
        .ok();
    assert_eq!(
        found.header("content-type"),
        "application/prs.coverage+json"
    );
    let json = found.json();
    let range = &json["ranges"]["hourly"];
    let expected: Vec<Option<f64>> = (0..20).map(|at| Some(hour(at, 3, 5))).collect();
    assert_eq!(numbers(&range["values"]), expected);
    assert_eq!(
        (&range["axisNames"], &range["shape"]),
        (&json!(["t"]), &json!([20]))
    );
    let domain = &json["domain"];
    assert_eq!(domain["domainType"], "PointSeries");
    assert_eq!(domain["axes"]["t"]["values"][5], "2024-03-01T05:00:00Z");
    assert_eq!(
        (
            &domain["axes"]["x"]["values"],
            &domain["axes"]["y"]["values"]
        ),
        (&json!([7.75]), &json!([48.25]))
    );
    assert_eq!(
        domain["referencing"][0]["system"]["id"],
        "http://www.opengis.net/def/crs/EPSG/0/4326"
    );
}

#[test]
fn times_are_instants_and_closed_or_open_intervals() {
    let store = store();
    hourly(&store, 20);
    let server = Server::new(&store);
    let hours = |datetime: &str| -> Vec<i64> {
        let found = server
            .get(&format!(
                "/edr/collections/hourly/position?coords=POINT(7.6%2048.1)&datetime={datetime}"
            ))
            .ok();
        numbers(&found.json()["ranges"]["hourly"]["values"])
            .iter()
            .map(|at| (at.unwrap() / 1000.0) as i64)
            .collect()
    };
    assert_eq!(hours("2024-03-01T05:00Z"), [5]);
    assert_eq!(hours("2024-03-01T05:40Z"), [5]);
    assert_eq!(hours("2024-03-01T05:00Z/2024-03-01T07:00Z"), [5, 6, 7]);
    assert_eq!(hours("../2024-03-01T01:00Z"), [0, 1]);
    assert_eq!(hours("2024-03-01T18:00Z/.."), [18, 19]);
    let found =
        server.get("/edr/collections/hourly/position?coords=POINT(7.6%2048.1)&datetime=2030-01-01");
    assert!(
        found.status == 404 && found.text().contains("2024-03-01T00:00:00Z to"),
        "{}",
        found.text()
    );
}

#[test]
fn a_cube_gives_the_cells_that_a_box_touches() {
    let store = store();
    hourly(&store, 20);
    let server = Server::new(&store);
    let json = server.get("/edr/collections/hourly/cube?bbox=6.1,47.2,7.9,48.4&datetime=2024-03-01T02:00Z/2024-03-01T03:00Z").ok().json();
    let range = &json["ranges"]["hourly"];
    // Columns from 6 to 8 degrees, rows from 48.5 down to 47.
    assert_eq!(
        (&range["axisNames"], &range["shape"]),
        (&json!(["t", "y", "x"]), &json!([2, 3, 4]))
    );
    let cells = (2..4)
        .flat_map(|at| (3..6).flat_map(move |row| (2..6).map(move |col| Some(hour(at, row, col)))));
    assert_eq!(numbers(&range["values"]), cells.collect::<Vec<_>>());
    assert_eq!(
        json["domain"]["axes"]["y"]["values"],
        json!([48.25, 47.75, 47.25])
    );
    assert_eq!(
        json["domain"]["axes"]["x"]["values"],
        json!([6.25, 6.75, 7.25, 7.75])
    );
}

#[test]
fn an_area_gives_the_cells_whose_centres_a_polygon_holds() {
    let store = store();
    degrees(&store, "plain", 32, [100, 100]);
    let server = Server::new(&store);
    let corners = [
        [8.123, 47.911],
        [8.702, 47.655],
        [8.401, 47.222],
        [8.205, 47.402],
    ];
    let text: Vec<String> = corners
        .iter()
        .chain(&corners[..1])
        .map(|[x, y]| format!("{x}%20{y}"))
        .collect();
    let json = server
        .get(&format!(
            "/edr/collections/plain/area?coords=POLYGON(({}))",
            text.join(",")
        ))
        .ok()
        .json();
    // Inside of a convex polygon that runs clockwise, all edges have the point on the right.
    let inside = |x: f64, y: f64| {
        (0..4).all(|at| {
            let ([ax, ay], [bx, by]) = (corners[at], corners[(at + 1) % 4]);
            (bx - ax) * (y - ay) - (by - ay) * (x - ax) < 0.0
        })
    };
    let axes = &json["domain"]["axes"];
    let (xs, ys) = (numbers(&axes["x"]["values"]), numbers(&axes["y"]["values"]));
    let found = numbers(&json["ranges"]["plain"]["values"]);
    assert_eq!(found.len(), xs.len() * ys.len());
    let mut held = 0;
    for (at, value) in found.iter().enumerate() {
        let (x, y) = (xs[at % xs.len()].unwrap(), ys[at / xs.len()].unwrap());
        let (row, col) = (((48.0 - y) / 0.01) as usize, ((x - 8.0) / 0.01) as usize);
        let expected = inside(x, y).then(|| f64::from(number(row, col)));
        assert_eq!(*value, expected, "{x} {y}");
        held += usize::from(value.is_some());
    }
    // As many as statistics count.
    let polygon = Polygon::new(["x", "y"], [vec![corners.to_vec()]]).unwrap();
    let query = gridstone::StatisticsQuery::all().polygon(polygon);
    let count = store
        .grid("plain")
        .unwrap()
        .statistics(&query)
        .unwrap()
        .count
        .unwrap()
        .value;
    assert_eq!(held as f64, count);
    assert!(held > 500);
}

#[test]
fn csv_has_a_row_for_each_cell_with_a_value() {
    let store = store();
    hourly(&store, 3);
    let server = Server::new(&store);
    let found = server
        .get("/edr/collections/hourly/cube?bbox=5,49.5,6,50&f=csv")
        .ok();
    assert_eq!(found.header("content-type"), "text/csv; charset=utf-8");
    let text = found.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "time,x,y,hourly");
    assert_eq!(lines[1], "2024-03-01T00:00:00Z,5.25,49.75,0.0");
    assert_eq!(lines[6], "2024-03-01T02:00:00Z,5.75,49.75,2001.0");
    assert_eq!(lines.len(), 7);
}

#[test]
fn coordinates_of_another_system_are_converted() {
    let store = store();
    numbered(
        &store,
        "utm",
        space("EPSG:32632", [500_000.0, 5_400_000.0], 1_000.0, 64),
        100,
        100,
    );
    let server = Server::new(&store);
    // 9.5 degrees east, 48.5 north are 536,935.869 east and 5,371,996.282 north (by Krueger's
    // series).
    let plain = server
        .get("/edr/collections/utm/position?coords=POINT(536935.869%205371996.282)")
        .ok()
        .json();
    let value = &plain["ranges"]["utm"]["values"];
    assert_eq!(numbers(value), [Some(number(28, 36).into())]);
    for crs in [
        "EPSG:4326",
        "CRS84",
        "http://www.opengis.net/def/crs/OGC/1.3/CRS84",
        "http://www.opengis.net/def/crs/EPSG/0/4326",
    ] {
        let found = server
            .get(&format!(
                "/edr/collections/utm/position?coords=POINT(9.5%2048.5)&crs={crs}"
            ))
            .ok()
            .json();
        assert_eq!(found["ranges"]["utm"]["values"], *value, "{crs}");
    }
    let found = server.get("/edr/collections/utm/position?coords=POINT(9.5%2048.5)&crs=EPSG:1");
    assert_eq!(
        (found.status.as_u16(), &found.json()["parameter"]),
        (400, &json!("crs"))
    );
    // Degrees taken for metres lie beside all data.
    assert_eq!(
        server
            .get("/edr/collections/utm/position?coords=POINT(9.5%2048.5)")
            .status,
        404
    );
}

#[test]
fn coarser_levels_are_those_of_the_pyramid_and_fresh() {
    let store = manual();
    let grid = degrees(&store, "plain", 32, [64, 64]);
    let server = Server::new(&store);
    let json = server
        .get("/edr/collections/plain/cube?bbox=8,47,9,48&level.space=2")
        .ok()
        .json();
    let read = grid
        .read(
            &Query::all()
                .level("space", 2)
                .freshness(gridstone::Freshness::Fresh),
        )
        .unwrap();
    assert_eq!(
        numbers(&json["ranges"]["plain"]["values"]),
        read.values().collect::<Vec<_>>()
    );
    assert_eq!(json["ranges"]["plain"]["shape"], json!([16, 16]));
}

#[test]
fn an_answer_of_too_many_cells_is_refused_with_a_remedy() {
    let store = store();
    hourly(&store, 20);
    let server = Server::with(&store, Options::default().cells(4 * 1000));
    let found = server.get("/edr/collections/hourly/cube?bbox=5,45,11,50");
    assert_eq!(found.status, 413);
    assert!(found.text().contains("level.space=1"), "{}", found.text());
    server
        .get("/edr/collections/hourly/cube?bbox=5,45,11,50&datetime=2024-03-01T02:00Z")
        .ok();
}

#[test]
fn collections_tell_extents_parameters_and_queries() {
    let store = store();
    hourly(&store, 20);
    let server = Server::new(&store);
    let json = server
        .get_with("/edr/collections", "host", "a.b")
        .ok()
        .json();
    let collection = &json["collections"][0];
    assert_eq!(collection["id"], "hourly");
    assert_eq!(
        collection["extent"]["spatial"]["bbox"],
        json!([[5.0, 45.0, 11.0, 50.0]])
    );
    assert_eq!(
        collection["extent"]["temporal"]["interval"],
        json!([["2024-03-01T00:00:00Z", "2024-03-01T20:00:00Z"]])
    );
    assert_eq!(
        collection["data_queries"]["position"]["link"]["href"],
        "http://a.b/edr/collections/hourly/position"
    );
    assert!(collection["parameter_names"]["hourly"].is_object());
    assert_eq!(
        server
            .get_with("/edr/collections/hourly", "host", "a.b")
            .ok()
            .json(),
        *collection
    );
}
