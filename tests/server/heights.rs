//! Queries around a point and at heights, held against the cells that were put.

use gridstone::{Axis, DType, Dimension, Grid, Schema, Store, Structure, Window};
use ndarray::{Array3, Array4};
use serde_json::{Value, json};

use crate::fixture::{Server, degrees, hours, number, numbered, plane, space, store};

/// Metres between two places, on a sphere.
fn apart([a_lon, a_lat]: [f64; 2], [b_lon, b_lat]: [f64; 2]) -> f64 {
    let unit = |lon: f64, lat: f64| {
        let (lon, lat) = (lon.to_radians(), lat.to_radians());
        [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()]
    };
    let (a, b) = (unit(a_lon, a_lat), unit(b_lon, b_lat));
    let chord: f64 = (0..3).map(|at| (a[at] - b[at]).powi(2)).sum();
    2.0 * (chord.sqrt() / 2.0).asin() * 6_371_008.8
}

fn centres(json: &Value, axis: &str) -> Vec<f64> {
    let values = json["domain"]["axes"][axis]["values"].as_array().unwrap();
    values.iter().map(|value| value.as_f64().unwrap()).collect()
}

/// The cells of an answer that hold something, by their centres.
fn held(json: &Value, parameter: &str) -> Vec<([f64; 2], f64)> {
    let (xs, ys) = (centres(json, "x"), centres(json, "y"));
    let values = json["ranges"][parameter]["values"].as_array().unwrap();
    assert_eq!(values.len(), xs.len() * ys.len());
    let at = |at: usize| [xs[at % xs.len()], ys[at / xs.len()]];
    let cells = values.iter().enumerate();
    cells
        .filter_map(|(cell, value)| Some((at(cell), value.as_f64()?)))
        .collect()
}

#[test]
fn a_radius_gives_the_cells_whose_centres_are_that_near() {
    let store = store();
    degrees(&store, "plain", 32, [100, 100]);
    let server = Server::new(&store);
    let centre = [8.423, 47.517];
    for (within, unit, metres) in [
        (12.5, "km", 12_500.0),
        (7_000.0, "m", 7_000.0),
        (3.0, "mi", 4_828.032),
    ] {
        let address = format!(
            "/edr/collections/plain/radius?coords=POINT({}%20{})&within={within}&within-units={unit}",
            centre[0], centre[1]
        );
        let found = held(&server.get(&address).ok().json(), "plain");
        let mut expected = Vec::new();
        for row in 0..100 {
            for col in 0..100 {
                let at = [8.005 + 0.01 * col as f64, 47.995 - 0.01 * row as f64];
                if apart(at, centre) <= metres {
                    expected.push((at, f64::from(number(row, col))));
                }
            }
        }
        assert_eq!(found.len(), expected.len(), "{within} {unit}");
        for ((at, value), (place, cell)) in found.iter().zip(&expected) {
            assert!((at[0] - place[0]).abs() < 1e-9 && (at[1] - place[1]).abs() < 1e-9);
            assert_eq!(value, cell, "{at:?}");
        }
        assert!(expected.len() > 50);
    }
}

#[test]
fn a_radius_is_in_metres_of_the_ground_in_any_system() {
    let store = store();
    let utm = space("EPSG:32632", [500_000.0, 5_400_000.0], 1_000.0, 64);
    numbered(&store, "utm", utm, 60, 60);
    let server = Server::new(&store);
    let address =
        "/edr/collections/utm/radius?coords=POINT(520500%205379500)&within=6.4&within-units=km";
    let found = held(&server.get(address).ok().json(), "utm");
    let distance = |at: [f64; 2]| (at[0] - 520_500.0).hypot(at[1] - 5_379_500.0);
    // A metre on the ground is 0.9996 of the system here, and a sphere is off by a third of a percent.
    let near = (0..60)
        .flat_map(|row| (0..60).map(move |col| (row, col)))
        .filter(|(row, col)| {
            let at = [
                500_500.0 + 1e3 * f64::from(*col),
                5_399_500.0 - 1e3 * f64::from(*row),
            ];
            distance(at) < 6_400.0 * 0.99
        });
    assert!(found.iter().all(|(at, _)| distance(*at) < 6_400.0 * 1.01));
    assert!(found.len() >= near.count() && found.len() > 100);
}

#[test]
fn a_radius_goes_over_the_seam_and_the_pole() {
    let store = store();
    let globe = space("EPSG:4326", [-180.0, 90.0], 1.0, 64);
    numbered(&store, "globe", globe, 180, 360);
    let server = Server::new(&store);
    for centre in [
        [179.6, 10.2],
        [-179.9, -40.0],
        [30.0, 88.5],
        [0.3, -89.9],
        [12.0, 50.0],
    ] {
        let address = format!(
            "/edr/collections/globe/radius?coords=POINT({}%20{})&within=700&within-units=km",
            centre[0], centre[1]
        );
        let found = held(&server.get(&address).ok().json(), "globe");
        let all = (0..180).flat_map(|row| {
            (0..360).map(move |col| [f64::from(col) - 179.5, 89.5 - f64::from(row)])
        });
        let near = all.filter(|at| apart(*at, centre) <= 700_000.0).count();
        assert_eq!(found.len(), near, "{centre:?}");
        assert!(found.iter().all(|(at, _)| apart(*at, centre) <= 700_000.0));
    }
}

#[test]
fn a_radius_over_the_pole_has_what_is_nearest_to_it_in_mercator_too() {
    const RADIUS: f64 = 6_378_137.0;
    let store = store();
    let half = RADIUS * std::f64::consts::PI;
    let cell = half / 50.0;
    let world = space("EPSG:3857", [-half, half], cell, 64);
    numbered(&store, "world", world, 100, 100);
    let server = Server::new(&store);
    let centre: [f64; 2] = [30.0, 80.0];
    let address = format!(
        "/edr/collections/world/radius?coords=POINT({}%20{})&within=1835&within-units=km",
        RADIUS * centre[0].to_radians(),
        RADIUS * centre[1].to_radians().tan().asinh(),
    );
    let found = held(&server.get(&address).ok().json(), "world");
    let place = |row: i32, col: i32| {
        let x = -half + (f64::from(col) + 0.5) * cell;
        let y = half - (f64::from(row) + 0.5) * cell;
        [
            (x / RADIUS).to_degrees(),
            (y / RADIUS).sinh().atan().to_degrees(),
        ]
    };
    let all = (0..100).flat_map(|row| (0..100).map(move |col| (row, col)));
    let near = all.filter(|(row, col)| apart(place(*row, *col), centre) <= 1_835_000.0);
    assert_eq!(found.len(), near.count());
    assert!(found.iter().any(|(at, _)| at[1] > half - cell));
}

#[test]
fn a_radius_needs_a_length_and_a_known_system() {
    let store = store();
    degrees(&store, "plain", 32, [20, 20]);
    let server = Server::new(&store);
    let plain = "/edr/collections/plain/radius?coords=POINT(8.1%2047.9)";
    for (more, parameter) in [
        ("", "within"),
        ("&within=5", "within-units"),
        ("&within=-1&within-units=km", "within"),
        ("&within=5&within-units=parsecs", "within-units"),
    ] {
        let found = server.get(&format!("{plain}{more}"));
        assert_eq!(found.status, 400, "{more}");
        assert_eq!(found.json()["parameter"], parameter, "{more}");
    }
    let far = "/edr/collections/plain/radius?coords=POINT(60%2010)&within=5&within-units=km";
    assert_eq!(server.get(far).status, 404);
    let json = server.get("/edr/collections/plain").ok().json();
    let variables = &json["data_queries"]["radius"]["link"]["variables"];
    assert_eq!(variables["within_units"], json!(["m", "km", "mi"]));
}

/// (time, height, y, x): each cell `1000 * hour + 100 * height + 10 * row + col`, in steps of 50 m
/// from the ground on.
fn profile(store: &Store) -> Grid {
    let structure = Structure::builder()
        .dimension(hours(0.0, 1.0))
        .dimension(Dimension::regular(
            "height",
            [Axis::new("height", 0.0, 50.0, 4).unit("m")],
        ))
        .dimension(plane())
        .crs("EPSG:4326")
        .build()
        .unwrap();
    let schema = Schema::builder(structure, DType::F32).build().unwrap();
    let grid = store.create("profile", schema).unwrap();
    let cells = Array4::from_shape_fn((3, 6, 4, 5), |(hour, height, row, col)| {
        (1000 * hour + 100 * height + 10 * row + col) as f32
    });
    grid.put(&Window::new([0, 0, 0, 0], [3, 6, 4, 5]), &cells)
        .unwrap();
    grid
}

#[test]
fn heights_are_chosen_by_a_number_or_a_range() {
    let store = store();
    profile(&store);
    let server = Server::new(&store);
    let position = "/edr/collections/profile/position?coords=POINT(5.6%2049.9)";
    let json = server.get(&format!("{position}&z=60/170")).ok().json();
    let range = &json["ranges"]["profile"];
    assert_eq!(range["axisNames"], json!(["t", "z", "y", "x"]));
    assert_eq!(range["shape"], json!([3, 3, 1, 1]));
    let expected: Vec<f64> = (0..3)
        .flat_map(|hour| (1..4).map(move |height| f64::from(1000 * hour + 100 * height + 1)))
        .collect();
    assert_eq!(range["values"], json!(expected));
    assert_eq!(json["domain"]["domainType"], "Grid");
    assert_eq!(centres(&json, "z"), [75.0, 125.0, 175.0]);
    let systems = json["domain"]["referencing"].as_array().unwrap();
    let vertical = systems
        .iter()
        .find(|of| of["coordinates"] == json!(["z"]))
        .unwrap();
    assert_eq!(vertical["system"]["cs"]["csAxes"][0]["unit"]["symbol"], "m");
    // A single one, and one hour.
    let one = format!("{position}&z=120&datetime=2024-03-01T01:00Z");
    let json = server.get(&one).ok().json();
    assert_eq!(json["ranges"]["profile"]["values"], json!([1201.0]));
    // Without, the lowest, as by `at.`.
    let at = server.get(&format!("{position}&at.height=10")).ok().json();
    let plain = server.get(position).ok().json();
    assert_eq!(at["ranges"], plain["ranges"]);
    assert_eq!(plain["ranges"]["profile"]["axisNames"], json!(["t"]));
    let csv =
        "/edr/collections/profile/cube?bbox=5,49.5,6,50&z=50/110&datetime=2024-03-01T02:00Z&f=csv";
    let text = server.get(csv).ok().text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "time,height,x,y,profile");
    assert_eq!(lines[1], "2024-03-01T02:00:00Z,75.0,5.25,49.75,2100.0");
    assert_eq!(lines[4], "2024-03-01T02:00:00Z,125.0,5.75,49.75,2201.0");
    assert_eq!(lines.len(), 5);
    for (more, status) in [
        ("z=1000", 404),
        ("z=high", 400),
        ("z=1,2", 400),
        ("z=10&at.height=10", 400),
    ] {
        let found = server.get(&format!("{position}&{more}"));
        assert_eq!(found.status, status, "{more}: {}", found.text());
    }
    let json = server.get("/edr/collections/profile").ok().json();
    assert_eq!(
        json["extent"]["vertical"]["interval"],
        json!([["0", "300"]])
    );
    assert_eq!(json["extent"]["vertical"]["vrs"], "height");
}

#[test]
fn heights_may_be_labels_or_stand_in_the_place_of_times() {
    let store = store();
    let of = |vertical: Dimension| {
        let structure = Structure::builder().dimension(vertical);
        structure
            .dimension(plane())
            .crs("EPSG:4326")
            .build()
            .unwrap()
    };
    let cells = Array3::from_shape_fn((4, 4, 5), |(height, row, col)| {
        (100 * height + 10 * row + col) as f32
    });
    let depth = Dimension::regular("depth", [Axis::new("depth", 0.0, 10.0, 4)]);
    let schema = Schema::builder(of(depth), DType::F32).build().unwrap();
    let sea = store.create("sea", schema).unwrap();
    sea.put(&Window::new([0, 0, 0], [4, 4, 5]), &cells).unwrap();
    // Of two Fixed dimensions none is of bands; one has the name of a height.
    let structure = Structure::builder()
        .dimension(Dimension::fixed(
            "pressure",
            ["1000", "850", "500", "top", "2000"],
        ))
        .dimension(Dimension::fixed("run", ["only"]))
        .dimension(plane())
        .crs("EPSG:4326")
        .build()
        .unwrap();
    let schema = Schema::builder(structure, DType::F32).build().unwrap();
    let air = store.create("air", schema).unwrap();
    let cells = cells.into_shape_with_order((4, 1, 4, 5)).unwrap();
    air.put(&Window::new([0, 0, 0, 0], [4, 1, 4, 5]), &cells)
        .unwrap();
    let server = Server::new(&store);
    let values = |grid: &str, z: &str| {
        let address = format!("/edr/collections/{grid}/position?coords=POINT(5.6%2049.9)&{z}");
        server.get(&address).ok().json()["ranges"][grid]["values"].clone()
    };
    assert_eq!(values("sea", "z=15"), json!([101.0]));
    assert_eq!(values("sea", "z=15/25"), json!([101.0, 201.0]));
    assert_eq!(values("sea", ""), json!([1.0, 101.0, 201.0, 301.0]));
    for (z, expected) in [
        ("z=850", json!([101.0])),
        ("z=top", json!([301.0])),
        ("z=900/400", json!([101.0, 201.0])),
        ("at.pressure=850", json!([101.0])),
        ("", json!([1.0])),
    ] {
        assert_eq!(values("air", z), expected, "{z}");
    }
    let air = "/edr/collections/air/position?coords=POINT(5.6%2049.9)&z";
    let json = server.get(&format!("{air}=1000/500")).ok().json();
    assert_eq!(centres(&json, "z"), [1000.0, 850.0, 500.0]);
    let refused = server.get(&format!("{air}=12"));
    assert!(refused.status == 404 && refused.text().contains("1000, 850, 500, top"));
    let apart = server.get(&format!("{air}=2000/950"));
    assert!(apart.status == 400 && apart.text().contains("one label at a time"));
}
