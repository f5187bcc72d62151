//! Tiles, held against where each pixel lies and which cell that is.

use gridstone::adapter::quicklook::{self, Look, Ramp};
use gridstone::{
    Aggregation, Axis, DType, Dimension, Freshness, Layer, Level, Levels, Query, Schema, Structure,
    Window,
};
use ndarray::{Array2, Array3};

use crate::fixture::{Server, degrees, hourly, hours, number, numbered, plane, space, store};
use crate::oracle::{heights, image, metres, place};

/// The value of the cell (row, col) at a position in cells, of a numbered grid.
fn cell(rows: usize, cols: usize, y: f64, x: f64) -> Option<f64> {
    let inside = y >= 0.0 && x >= 0.0 && y < rows as f64 && x < cols as f64;
    inside.then(|| number(y as usize, x as usize).into())
}

/// Looks at each pixel by its row, its column and what it holds; more than some have to count.
fn each(
    found: &[Option<f64>],
    side: usize,
    more_than: usize,
    counts: impl Fn(usize, usize, Option<f64>) -> bool,
) {
    assert_eq!(found.len(), side * side);
    let held = found
        .iter()
        .enumerate()
        .filter(|(pixel, found)| counts(pixel / side, pixel % side, **found))
        .count();
    assert!(held > more_than, "{held} pixels count");
}

fn check(found: &[Option<f64>], side: usize, expected: impl Fn(usize, usize) -> Option<f64>) {
    each(found, side, side * side / 50, |row, col, found| {
        assert_eq!(found, expected(row, col), "row {row}, column {col}");
        found.is_some()
    });
}

#[test]
fn pixels_of_degrees_are_the_cells_in_which_their_centres_lie() {
    let store = store();
    degrees(&store, "plain", 32, [150, 200]);
    let server = Server::new(&store);
    for (z, x, y) in [(9, 268, 178), (8, 134, 89), (12, 2142, 1427)] {
        let address = format!("/tiles/plain/{z}/{x}/{y}.png?encoding=terrarium&level.space=0");
        let found = server.heights(&address);
        check(&found, 256, |row, col| {
            let [lon, lat] = place(z, x, y, 256, row, col);
            cell(150, 200, (48.0 - lat) / 0.01, (lon - 8.0) / 0.01)
        });
    }
}

#[test]
fn pixels_of_mercator_metres_are_the_cells_in_which_their_centres_lie() {
    let store = store();
    numbered(
        &store,
        "metres",
        space("EPSG:3857", [1_000_003.0, 6_000_007.0], 1_000.0, 32),
        120,
        90,
    );
    let server = Server::new(&store);
    let (z, x, y) = (8, 134, 89);
    let found = server
        .get(&format!(
            "/tiles/metres/{z}/{x}/{y}@2x.png?encoding=terrarium&level.space=0"
        ))
        .ok();
    let (width, height, _) = image(&found.body);
    assert_eq!((width, height), (512, 512));
    check(&heights(&found.body), 512, |row, col| {
        let [mx, my] = metres(z, x, y, 512, row, col);
        cell(
            120,
            90,
            (6_000_007.0 - my) / 1_000.0,
            (mx - 1_000_003.0) / 1_000.0,
        )
    });
}

#[test]
fn pixels_of_a_projected_grid_are_cells_within_an_eighth_of_a_pixel() {
    use proj4rs::proj::Proj;
    let store = store();
    numbered(
        &store,
        "utm",
        space("EPSG:32632", [500_000.0, 5_400_000.0], 200.0, 64),
        300,
        400,
    );
    let server = Server::new(&store);
    let plain = Proj::from_proj_string("+proj=longlat +datum=WGS84 +no_defs").unwrap();
    let utm = Proj::from_proj_string("+proj=utm +zone=32 +datum=WGS84 +units=m +no_defs").unwrap();
    let (z, x, y) = (9, 269, 177);
    let found = server.heights(&format!(
        "/tiles/utm/{z}/{x}/{y}.png?encoding=terrarium&level.space=0"
    ));
    each(&found, 256, 5_000, |row, col, found| {
        let [lon, lat] = place(z, x, y, 256, row, col);
        let mut point = (lon.to_radians(), lat.to_radians(), 0.0);
        proj4rs::transform::transform(&plain, &utm, &mut point).unwrap();
        // A pixel is 206 m here at most: an eighth of it is an eighth of a cell and a little.
        let at = |dy: f64, dx: f64| {
            cell(
                300,
                400,
                (5_400_000.0 - point.1) / 200.0 + dy,
                (point.0 - 500_000.0) / 200.0 + dx,
            )
        };
        const OFF: f64 = 0.14;
        let near: Vec<Option<f64>> = [-OFF, 0.0, OFF]
            .iter()
            .flat_map(|dy| [-OFF, 0.0, OFF].map(|dx| at(*dy, dx)))
            .collect();
        assert!(
            near.contains(&found),
            "row {row}, column {col}: {found:?}, not of {near:?}"
        );
        found.is_some()
    });
}

#[test]
fn coarse_tiles_show_the_coarsest_level_whose_cells_are_no_larger_than_a_pixel() {
    let store = store();
    let grid = numbered(
        &store,
        "metres",
        space("EPSG:3857", [0.0, 0.0], 100.0, 32),
        256,
        256,
    );
    let server = Server::new(&store);
    // A pixel of zoom 8 has 611.5 m: level 2, of 400 m.
    let (z, x, y) = (8, 128, 128);
    let found = server.heights(&format!("/tiles/metres/{z}/{x}/{y}.png?encoding=terrarium"));
    let two = Levels::zero(1).with(0, Level::new(2).unwrap());
    let read = grid
        .read(&Query::window(Window::new([0, 0], [64, 64]).at(two)))
        .unwrap();
    assert_eq!(read.layer, Layer::Aggregate(Aggregation::Mean));
    let values: Vec<Option<f64>> = read.values().collect();
    each(&found, 256, 1_000, |row, col, found| {
        let [mx, my] = metres(z, x, y, 256, row, col);
        let (cy, cx) = (-my / 400.0, mx / 400.0);
        let inside = cy < 64.0 && cx < 64.0;
        assert_eq!(found.is_some(), inside, "row {row}, column {col}");
        if let Some(found) = found {
            let expected = values[cy as usize * 64 + cx as usize].unwrap();
            // Terrarium has 1/256 of a metre.
            assert!(
                (found - expected).abs() <= 1.0 / 512.0 + 1e-9,
                "{found}, not {expected}"
            );
        }
        found.is_some()
    });
}

#[test]
fn what_holds_data_is_told_by_validity_and_not_by_values() {
    let store = store();
    // No nodata value: what was never put holds 0, and so do cells that were put as 0.
    let schema = Schema::builder(space("EPSG:3857", [0.0, 0.0], 1_000.0, 32), DType::I16);
    let grid = store.create("masked", schema.build().unwrap()).unwrap();
    grid.put(
        &Window::new([0, 0], [20, 40]),
        &Array2::<i16>::zeros((20, 40)),
    )
    .unwrap();
    grid.put(
        &Window::new([20, 20], [20, 20]),
        &Array2::<i16>::from_elem((20, 20), -5),
    )
    .unwrap();
    let server = Server::new(&store);
    let (z, x, y) = (9, 256, 256);
    let found = server.heights(&format!("/tiles/masked/{z}/{x}/{y}.png?encoding=terrarium"));
    check(&found, 256, |row, col| {
        let [mx, my] = metres(z, x, y, 256, row, col);
        let (cy, cx) = ((-my / 1_000.0) as usize, (mx / 1_000.0) as usize);
        match (cy, cx) {
            (0..20, 0..40) => Some(0.0),
            (20..40, 20..40) => Some(-5.0),
            _ => None,
        }
    });
    // The same in colours, and where there is no data at all.
    let (_, _, colours) = image(
        &server
            .get(&format!("/tiles/masked/{z}/{x}/{y}.png"))
            .ok()
            .body,
    );
    for (pixel, height) in colours.iter().zip(&found) {
        assert_eq!(pixel[3] == 255, height.is_some());
    }
    let (_, _, none) = image(&server.get("/tiles/masked/9/0/0.png").ok().body);
    assert!(none.iter().all(|pixel| pixel[3] == 0));
}

#[test]
fn between_cells_bilinear_weighs_the_four_around_that_hold_data() {
    let store = store();
    let schema = Schema::builder(space("EPSG:3857", [0.0, 0.0], 5_000.0, 32), DType::F64);
    let grid = store.create("ramp", schema.build().unwrap()).unwrap();
    // A plane, with a hole.
    let mut cells = Array2::from_shape_fn((16, 16), |(row, col)| {
        100.0 * row as f64 + 10.0 * col as f64
    });
    cells[[5, 5]] = f64::NAN;
    grid.put(&Window::new([0, 0], [16, 16]), &cells).unwrap();
    let server = Server::new(&store);
    let (z, x, y) = (9, 256, 256);
    let found = server.heights(&format!(
        "/tiles/ramp/{z}/{x}/{y}.png?encoding=terrarium&resampling=bilinear"
    ));
    each(&found, 256, 5_000, |row, col, found| {
        let [mx, my] = metres(z, x, y, 256, row, col);
        let (cy, cx) = (-my / 5_000.0, mx / 5_000.0);
        let hole = cy as usize == 5 && cx as usize == 5;
        let inside = cy < 16.0 && cx < 16.0;
        assert_eq!(found.is_some(), inside && !hole, "row {row}, column {col}");
        // Far from the hole and the edges it is the plane itself.
        let plain = (0.5..4.4).contains(&cy) && (0.5..15.5).contains(&cx);
        let Some(found) = found.filter(|_| plain) else {
            return false;
        };
        let expected = 100.0 * (cy - 0.5) + 10.0 * (cx - 0.5);
        assert!(
            (found - expected).abs() <= 1.0 / 500.0,
            "row {row}, column {col}: {found}, not {expected}"
        );
        true
    });
}

#[test]
fn rows_of_tms_are_counted_from_the_south() {
    let store = store();
    degrees(&store, "plain", 32, [150, 200]);
    let server = Server::new(&store);
    let xyz = server.get("/tiles/plain/9/268/178.png").ok();
    let tms = server
        .get(&format!("/tiles/plain/9/268/{}.png?scheme=tms", 511 - 178))
        .ok();
    assert_eq!(xyz.body, tms.body);
    let other = server.get("/tiles/plain/9/268/178.png?scheme=tms").ok();
    assert_ne!(xyz.body, other.body);
}

#[test]
fn colours_are_of_the_range_of_the_whole_layer_so_that_neighbours_agree() {
    let store = store();
    degrees(&store, "plain", 32, [150, 200]);
    let server = Server::new(&store);
    let greatest = (0..150)
        .flat_map(|row| (0..200).map(move |col| number(row, col)))
        .fold(0.0, f32::max);
    let json = server.get("/tiles/plain/tiles.json").ok().json();
    assert_eq!(
        json["gridstone"]["range"],
        serde_json::json!([0.0, greatest])
    );
    for (x, y) in [(535, 357), (536, 357), (536, 358)] {
        let plain = server
            .get(&format!("/tiles/plain/10/{x}/{y}.png?ramp=grays"))
            .ok();
        let said = server
            .get(&format!(
                "/tiles/plain/10/{x}/{y}.png?ramp=grays&min=0&max={greatest}"
            ))
            .ok();
        assert_eq!(plain.body, said.body);
        let heights = server.heights(&format!("/tiles/plain/10/{x}/{y}.png?encoding=terrarium"));
        let values = heights.into_iter().map(|height| height.unwrap_or(f64::NAN));
        let values = Array2::from_shape_vec((256, 256), values.collect()).unwrap();
        let look = Look {
            ramp: Ramp::Grays,
            stretch: Some([0.0, greatest.into()]),
            ..Look::default()
        };
        let mut expected = Vec::new();
        quicklook::write_to(&mut expected, &values, &look).unwrap();
        assert_eq!(image(&plain.body), image(&expected), "{x} {y}");
    }
}

#[test]
fn the_range_follows_what_is_put() {
    let store = store();
    let grid = degrees(&store, "plain", 32, [50, 50]);
    let server = Server::new(&store);
    let range = || {
        server.get("/tiles/plain/tiles.json").ok().json()["gridstone"]["range"][1]
            .as_f64()
            .unwrap()
    };
    assert!(range() < 8_000.0);
    grid.put(
        &Window::new([0, 0], [1, 1]),
        &Array2::from_elem((1, 1), 9_000.0_f32),
    )
    .unwrap();
    assert_eq!(range(), 9_000.0);
    grid.put(
        &Window::new([0, 0], [1, 1]),
        &Array2::from_elem((1, 1), 8_500.0_f32),
    )
    .unwrap();
    assert_eq!(range(), 8_500.0);
}

#[test]
fn heights_of_terrain_rgb_are_tenths_of_a_metre() {
    let store = store();
    let schema = Schema::builder(space("EPSG:3857", [0.0, 0.0], 100_000.0, 32), DType::F64);
    let grid = store.create("heights", schema.build().unwrap()).unwrap();
    grid.put(
        &Window::new([0, 0], [8, 8]),
        &Array2::from_elem((8, 8), 1_234.56),
    )
    .unwrap();
    let server = Server::new(&store);
    let (_, _, pixels) = image(
        &server
            .get("/tiles/heights/9/256/256.png?encoding=terrain-rgb")
            .ok()
            .body,
    );
    let [red, green, blue, alpha] = pixels[0];
    let number = u32::from(red) << 16 | u32::from(green) << 8 | u32::from(blue);
    assert_eq!((number, alpha), (112_346, 255));
}

#[test]
fn a_tile_is_of_the_time_that_is_asked_for_else_of_the_last() {
    let store = store();
    hourly(&store, 20);
    let server = Server::new(&store);
    let address = "/tiles/hourly/6/33/21.png?encoding=terrarium";
    let hour = |more: &str| {
        let found = server.heights(&format!("{address}{more}"));
        found
            .into_iter()
            .flatten()
            .next()
            .map(|height| (height / 1000.0) as i64)
    };
    assert_eq!(hour(""), Some(19));
    assert_eq!(hour("&time=2024-03-01T05:30Z"), Some(5));
    assert_eq!(hour("&time=2024-03-01T00:00Z"), Some(0));
    assert_eq!(hour("&time=2025-01-01"), None);
    // The mean of the hours from 8 to 12, at the level of four hours.
    let found = server.heights(&format!("{address}&level.time=2&time=2024-03-01T09:00Z"));
    let of_cells: Vec<f64> = found.into_iter().flatten().collect();
    assert!(!of_cells.is_empty());
    for height in of_cells {
        assert!((9_500.0..9_700.0).contains(&height), "{height}");
    }
}

#[test]
fn of_times_that_run_back_the_last_is_shown() {
    let store = store();
    let structure = Structure::builder()
        .dimension(hours(3.0, -1.0))
        .dimension(plane())
        .crs("EPSG:4326")
        .build()
        .unwrap();
    let schema = Schema::builder(structure, DType::F32).build().unwrap();
    let grid = store.create("back", schema).unwrap();
    let cells = Array3::from_shape_fn((4, 10, 12), |(step, _, _)| 1.0 + step as f32);
    grid.put(&Window::new([0, 0, 0], [4, 10, 12]), &cells)
        .unwrap();
    let server = Server::new(&store);
    let shown = |more: &str| {
        let address = format!("/tiles/back/6/33/21.png?encoding=terrarium{more}");
        server.heights(&address).into_iter().flatten().next()
    };
    assert_eq!(shown(""), Some(1.0));
    assert_eq!(shown("&time=2024-03-01T03:00Z"), Some(1.0));
    assert_eq!(shown("&time=2024-03-01T00:00Z"), Some(4.0));
    let xml = server.get("/wmts").ok().text();
    assert!(
        xml.contains("<Default>2024-03-01T03:00:00Z</Default><Value>2024-03-01T00:00:00Z</Value>"),
        "{xml}"
    );
}

#[test]
fn all_tiles_show_the_same_event() {
    let store = store();
    let structure = Structure::builder()
        .dimension(Dimension::irregular(
            "time",
            "seconds since 2024-01-01T00:00:00Z",
            8,
            60,
        ))
        .dimension(Dimension::regular(
            "space",
            [Axis::new("y", 10.0, -1.0, 8), Axis::new("x", 0.0, 1.0, 8)],
        ))
        .crs("EPSG:4326")
        .build()
        .unwrap();
    let schema = Schema::builder(structure, DType::F32).build().unwrap();
    let grid = store.create("scenes", schema).unwrap();
    // The west at 100 s, the east at 200 s.
    grid.put(
        &Window::new([100, 0, 0], [1, 10, 10]),
        &Array3::from_elem((1, 10, 10), 1.0_f32),
    )
    .unwrap();
    grid.put(
        &Window::new([200, 0, 10], [1, 10, 10]),
        &Array3::from_elem((1, 10, 10), 2.0_f32),
    )
    .unwrap();
    let server = Server::new(&store);
    let values = |x: u32, more: &str| {
        let found = server.heights(&format!(
            "/tiles/scenes/5/{x}/15.png?encoding=terrarium{more}"
        ));
        let mut found: Vec<i64> = found
            .into_iter()
            .flatten()
            .map(|height| height as i64)
            .collect();
        found.dedup();
        found
    };
    assert_eq!((values(16, ""), values(17, "")), (vec![2], vec![2]));
    assert_eq!(
        (values(16, "&time=120"), values(17, "&time=120")),
        (vec![1], vec![])
    );
    assert_eq!(values(17, "&time=2024-01-01T00:03:00Z"), vec![2]);
}

#[test]
fn longitudes_from_0_to_360_are_found_on_either_side_of_greenwich() {
    let store = store();
    numbered(
        &store,
        "globe",
        space("EPSG:4326", [0.0, 90.0], 1.0, 64),
        180,
        360,
    );
    let server = Server::new(&store);
    for (z, x, y) in [(0, 0, 0), (3, 3, 3), (3, 4, 3), (2, 0, 1)] {
        let found = server.heights(&format!(
            "/tiles/globe/{z}/{x}/{y}.png?encoding=terrarium&level.space=0"
        ));
        check(&found, 256, |row, col| {
            let [lon, lat] = place(z, x, y, 256, row, col);
            cell(180, 360, 90.0 - lat, lon.rem_euclid(360.0))
        });
    }
}

#[test]
fn what_lies_on_no_map_is_refused_by_name() {
    let store = store();
    numbered(
        &store,
        "moon",
        space("PROJCS[\"Moon somewhere\"]", [0.0, 0.0], 1.0, 32),
        8,
        8,
    );
    let structure = Structure::builder()
        .dimension(Dimension::regular("line", [Axis::new("line", 0.0, 1.0, 8)]))
        .build()
        .unwrap();
    store
        .create(
            "line",
            Schema::builder(structure, DType::F32).build().unwrap(),
        )
        .unwrap();
    let server = Server::new(&store);
    let found = server.get("/tiles/moon/0/0/0.png");
    assert_eq!(found.status, 400);
    assert!(found.text().contains("Moon somewhere"), "{}", found.text());
    let found = server.get("/tiles/line/0/0/0.png");
    assert!(
        found.status == 400 && found.text().contains("rows and columns"),
        "{}",
        found.text()
    );
}

#[test]
fn a_fresh_tile_shows_what_is_not_aggregated_yet() {
    let store = crate::fixture::manual();
    let grid = numbered(
        &store,
        "metres",
        space("EPSG:3857", [0.0, 0.0], 100.0, 32),
        256,
        256,
    );
    grid.aggregate().unwrap();
    grid.put(
        &Window::new([0, 0], [256, 256]),
        &Array2::from_elem((256, 256), 7.0_f32),
    )
    .unwrap();
    let server = Server::new(&store);
    let values = |more: &str| -> Vec<f64> {
        let address = format!("/tiles/metres/8/128/128.png?encoding=terrarium{more}");
        let found: Vec<f64> = server.heights(&address).into_iter().flatten().collect();
        assert!(found.len() > 1_000, "{} pixels hold data", found.len());
        found
    };
    assert!(values("").iter().all(|height| *height == 7.0));
    assert!(
        values("&freshness=stored")
            .iter()
            .all(|height| *height != 7.0)
    );
    assert_eq!(
        grid.read(&Query::all().freshness(Freshness::Fresh))
            .unwrap()
            .values()
            .next(),
        Some(Some(7.0))
    );
}

#[test]
fn tilejson_and_wmts_name_addresses_that_work() {
    let store = store();
    degrees(&store, "plain", 32, [150, 200]);
    let server = Server::new(&store);
    let json = server
        .get_with(
            "/tiles/plain/tiles.json?ramp=turbo",
            "host",
            "maps.example:81",
        )
        .ok()
        .json();
    assert_eq!(json["tilejson"], "3.0.0");
    let template = json["tiles"][0].as_str().unwrap();
    assert_eq!(
        template,
        "http://maps.example:81/tiles/plain/{z}/{x}/{y}.png?ramp=turbo"
    );
    let bounds: Vec<f64> = json["bounds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|at| at.as_f64().unwrap())
        .collect();
    for (found, expected) in bounds.iter().zip([8.0, 46.5, 10.0, 48.0]) {
        assert!((found - expected).abs() < 1e-9, "{bounds:?}");
    }
    let zoom = json["maxzoom"].as_u64().unwrap();
    assert!((8..=10).contains(&zoom), "{zoom}");
    let address = template
        .replace("http://maps.example:81", "")
        .replace("{z}", "9")
        .replace("{x}", "268")
        .replace("{y}", "178");
    assert_eq!(
        server.get(&address).ok().header("content-type"),
        "image/png"
    );
    let xml = server
        .get_with(
            "/wmts?service=WMTS&request=GetCapabilities",
            "host",
            "maps.example:81",
        )
        .ok()
        .text();
    assert!(
        xml.contains("http://maps.example:81/tiles/plain/{TileMatrix}/{TileCol}/{TileRow}.png"),
        "{xml}"
    );
    for wrong in ["request=GetTile", "service=WMS", "version=1.3.0"] {
        assert_eq!(server.get(&format!("/wmts?{wrong}")).status, 400, "{wrong}");
    }
    assert!(
        xml.contains("xlink:href=\"http://maps.example:81/wmts?\""),
        "{xml}"
    );
    assert!(!xml.contains("<Dimension>"), "{xml}");
    let tile = "/wmts?SERVICE=WMTS&REQUEST=GetTile&VERSION=1.0.0&LAYER=plain&STYLE=default&FORMAT=image/png\
                &TILEMATRIXSET=WebMercatorQuad&TILEMATRIX=9&TILEROW=178&TILECOL=268";
    let asked = server.get(&format!("{tile}&ramp=turbo")).ok();
    assert_eq!(asked.body, server.get(&address).ok().body);
    assert_eq!(
        server
            .get(&tile.replace("LAYER=plain", "LAYER=none"))
            .status,
        404
    );
}

#[test]
fn wmts_tells_times_and_shows_each() {
    let store = store();
    hourly(&store, 4);
    let server = Server::new(&store);
    let xml = server.get("/wmts").ok().text();
    assert!(
        xml.contains("<Default>2024-03-01T03:00:00Z</Default><Value>2024-03-01T00:00:00Z</Value>"),
        "{xml}"
    );
    assert_eq!(xml.matches("<Value>").count(), 4);
    assert!(xml.contains("{TileRow}.png?time={time}"), "{xml}");
    let tile =
        "/wmts?request=GetTile&layer=hourly&tilematrix=6&tilecol=33&tilerow=21&encoding=terrarium";
    for hour in 0..4 {
        let time = format!("2024-03-01T0{hour}:00:00Z");
        let shown = server.heights(&format!("{tile}&TIME={time}"));
        let plain = format!("/tiles/hourly/6/33/21.png?encoding=terrarium&time={time}");
        assert_eq!(shown, server.heights(&plain));
        let (low, high) = (1000.0 * f64::from(hour), 1000.0 * f64::from(hour + 1));
        let held = shown.into_iter().flatten();
        assert!(held.clone().count() > 100 && held.clone().all(|of| low <= of && of < high));
    }
    let last = server.heights(&format!("{tile}&time=default"));
    assert_eq!(
        last,
        server.heights(&format!("{tile}&time=2024-03-01T03:00Z"))
    );
    // Many steps are told by the first, the last and how far they lie apart.
    let other = crate::fixture::store();
    hourly(&other, 1100);
    let xml = Server::new(&other).get("/wmts").ok().text();
    assert!(
        xml.contains("<Value>2024-03-01T00:00:00Z/2024-04-15T19:00:00Z/PT3600S</Value>"),
        "{xml}"
    );
}
