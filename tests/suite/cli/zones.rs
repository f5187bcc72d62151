//! Figures a feature, polygons and places on a globe, bands of series, integers of 64 bits, and
//! cleaning a whole store.

use std::fs;

use gridstone::adapter::geotiff::Affine;
use gridstone::{Aggregation, Axis, DType, Dimension, Schema, Store, Structure, Window};
use ndarray::{Array2, Array4};
use serde_json::{Value, json};

use super::Work;

fn ring([w, s, e, n]: [f64; 4]) -> Value {
    json!([[w, s], [e, s], [e, n], [w, n], [w, s]])
}

fn feature(properties: Value, bounds: [f64; 4]) -> Value {
    json!({ "type": "Feature", "properties": properties, "geometry": { "type": "Polygon", "coordinates": [ring(bounds)] } })
}

fn write(work: &Work, name: &str, features: &[Value]) {
    let all = json!({ "type": "FeatureCollection", "features": features });
    fs::write(work.path(name), all.to_string()).expect("written");
}

/// 40 x 40 cells of 10 m, 0 in the west and 10 in the east.
fn halves(aggregator: &str) -> Work {
    let work = Work::new();
    let file = work.tif(
        "a.tif",
        &Array2::from_shape_fn((40, 40), |(_, x)| if x < 20 { 0.0_f32 } else { 10.0 }),
        |_| {},
    );
    work.ok(&[
        "create",
        "store",
        "g",
        "--like",
        &file,
        "--chunk",
        "16",
        "--aggregator",
        aggregator,
    ]);
    work.ok(&["import", "store", "g", &file]);
    work
}

#[test]
fn each_feature_has_its_figures() {
    for aggregator in ["mean", "none", "sum,count,min,max"] {
        let work = halves(aggregator);
        let zones = [
            feature(
                json!({ "name": "west", "area": 1 }),
                [400_000.0, 4_999_600.0, 400_200.0, 5_000_000.0],
            ),
            feature(
                json!({ "id": 7 }),
                [400_200.0, 4_999_600.0, 400_400.0, 5_000_000.0],
            ),
            feature(
                Value::Null,
                [400_100.0, 4_999_700.0, 400_300.0, 4_999_900.0],
            ),
            json!({ "type": "Feature", "properties": { "name": "nowhere" }, "geometry": null }),
            feature(
                json!({ "name": "garden" }),
                [400_021.0, 4_999_972.0, 400_024.0, 4_999_974.0],
            ),
        ];
        write(&work, "zones.geojson", &zones);
        let each = [
            "stats",
            "store",
            "g",
            "--polygon",
            "zones.geojson",
            "--each",
            "--stat",
            "count,mean",
        ];
        let got = work.json(&each);
        let of = |key: &str| -> Vec<Value> {
            got["features"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|of| of[key].clone())
                .collect()
        };
        assert_eq!(
            of("count"),
            [json!(800.0), json!(800.0), json!(400.0), json!(0.0)]
        );
        assert_eq!(
            of("mean"),
            [json!(0.0), json!(10.0), json!(5.0), json!(null)]
        );
        assert_eq!(
            of("name"),
            [
                json!("west"),
                json!("7"),
                json!("feature 3"),
                json!("garden")
            ]
        );
        assert_eq!(
            got["features"][0]["properties"],
            json!({ "name": "west", "area": 1 })
        );
        let ran = work.run(&each);
        let lines: Vec<&str> = ran.stdout.lines().collect();
        assert_eq!(
            (lines.len(), lines[0]),
            (5, "west                 count 800 cells, mean 0"),
            "{}",
            ran.stdout
        );
        assert!(
            ran.stderr
                .contains("`nowhere` of `zones.geojson` has no polygon"),
            "{}",
            ran.stderr
        );
        let cell = "`garden` of `zones.geojson` is smaller than a cell and holds the centre of none, so that no cell counts; \
                    the cell it lies in is `--extent 400020,4999970,400030,4999980`";
        assert!(ran.stderr.contains(cell), "{}", ran.stderr);
        assert_eq!(
            work.json(&[
                "stats",
                "store",
                "g",
                "--extent",
                "400020,4999970,400030,4999980"
            ])["count"],
            json!(1.0)
        );
        write(&work, "garden.geojson", &zones[4..]);
        let ran = work.run(&["stats", "store", "g", "--polygon", "garden.geojson"]);
        assert!(
            ran.stderr
                .contains("`garden.geojson` is smaller than a cell"),
            "{}",
            ran.stderr
        );
        assert_eq!(
            work.json(&["stats", "store", "g"])["mean"],
            json!(5.0),
            "without a word"
        );
    }
}

/// A degree a cell, each the number of its place; columns begin at `west`.
fn world(west: f64) -> Work {
    let work = Work::new();
    let cells = Array2::from_shape_fn((180, 360), |(y, x)| {
        let longitude = (x + usize::from(west < 0.0) * 180) % 360;
        (y * 360 + longitude) as f32
    });
    let file = work.tif("w.tif", &cells, |profile| {
        profile.crs = Some("EPSG:4326".to_owned());
        profile.affine = Some(Affine {
            x: west,
            y: 90.0,
            dx: 1.0,
            dy: -1.0,
        });
    });
    work.ok(&[
        "create",
        "store",
        "g",
        "--like",
        &file,
        "--chunk",
        "64",
        "--aggregator",
        "mean,sum,count",
    ]);
    work.ok(&["import", "store", "g", &file]);
    work
}

#[test]
fn regions_lie_where_the_globe_has_them() {
    for west in [-180.0, 0.0] {
        let work = world(west);
        let figures = |options: &[&str]| {
            let got =
                work.json(&[&["stats", "store", "g", "--stat", "count,mean"], options].concat());
            (
                got["count"].as_f64().expect("a count"),
                got["mean"].as_f64().unwrap_or(f64::NAN),
            )
        };
        let mean = |rows: std::ops::Range<usize>, longitudes: &[usize]| {
            let all = rows.flat_map(|y| longitudes.iter().map(move |x| (y * 360 + x) as f64));
            let all: Vec<f64> = all.collect();
            (all.len() as f64, all.iter().sum::<f64>() / all.len() as f64)
        };
        let fiji = mean(105..110, &[177, 178, 179, 180, 181]);
        let uk = mean(30..41, &(350..360).chain(0..2).collect::<Vec<_>>());
        for (name, bounds, want) in [
            ("jumps", [177.0, -20.0, -178.0, -15.0], fiji),
            ("goes-on", [177.0, -20.0, 182.0, -15.0], fiji),
            ("from-the-west", [-183.0, -20.0, -178.0, -15.0], fiji),
            ("greenwich", [-10.0, 49.0, 2.0, 60.0], uk),
            ("greenwich-east", [350.0, 49.0, 362.0, 60.0], uk),
            ("greenwich-jumps", [350.0, 49.0, 2.0, 60.0], uk),
        ] {
            write(&work, "p.geojson", &[feature(Value::Null, bounds)]);
            let got = figures(&["--polygon", "p.geojson"]);
            assert!(
                got.0 == want.0 && (got.1 - want.1).abs() < 1e-6,
                "{name} from {west}: {got:?}, not {want:?}"
            );
            let extent = bounds.map(|bound| bound.to_string()).join(",");
            let got = figures(&["--extent", &extent]);
            assert!(
                got.0 == want.0 && (got.1 - want.1).abs() < 1e-6,
                "{name} from {west} as a box: {got:?}, not {want:?}"
            );
        }
        write(
            &work,
            "p.geojson",
            &[feature(Value::Null, [177.0, -20.0, -178.0, -15.0])],
        );
        let ran = work.run(&["stats", "store", "g", "--polygon", "p.geojson"]);
        assert!(
            ran.stderr
                .contains("an edge from longitude 177 to -178: it is taken the short way"),
            "{}",
            ran.stderr
        );
        write(
            &work,
            "world.geojson",
            &[feature(Value::Null, [-180.0, -90.0, 180.0, 90.0])],
        );
        assert_eq!(figures(&["--polygon", "world.geojson"]).0, 64_800.0);
        assert_eq!(figures(&["--extent", "-180,-90,180,90"]).0, 64_800.0);
        // A box that the grid has in one piece is read, wherever it is counted from; one over the
        // seam is told how.
        let read = |extent: &str| {
            work.run(&[
                "read",
                "store",
                "g",
                "--extent",
                extent,
                "--out",
                "x.npy",
                "--overwrite",
            ])
        };
        assert_eq!(read("-71,10,-70,11").code, Some(0));
        assert!(
            work.ok(&["read", "store", "g", "--extent", "-71,10,-70,11"])
                .contains("values     28729 to 28729")
        );
        assert!(
            work.ok(&["read", "store", "g", "--extent", "289,10,290,11"])
                .contains("values     28729 to 28729")
        );
        let over = if west < 0.0 {
            "177,-20,-178,-15"
        } else {
            "-10,49,2,60"
        };
        let told = if west < 0.0 {
            ["`--extent 177,-20,180,-15`", "`--extent -180,-20,-178,-15`"]
        } else {
            ["`--extent 350,49,360,60`", "`--extent 0,49,2,60`"]
        };
        let why = work.fails(&["read", "store", "g", "--extent", over]);
        assert!(told.iter().all(|part| why.contains(part)), "{why}");
        for part in told {
            assert_eq!(
                read(part.trim_matches('`').trim_start_matches("--extent ")).code,
                Some(0),
                "{part}"
            );
        }
    }
    let work = halves("mean");
    let why = work.fails(&["read", "store", "g", "--extent", "150,40,-150,50"]);
    assert!(why.contains("west must be below east"), "{why}");
}

/// All longitudes are those that are asked for, in that order, or none: not those of the data.
#[test]
fn the_world_of_a_few_longitudes_is_the_world() {
    let work = Work::new();
    let store = Store::open(work.path("store")).expect("a store");
    let axes = [
        Axis::new("y", 8.0, -1.0, 16).unit("degrees_north"),
        Axis::new("x", 0.0, 1.0, 16).unit("degrees_east"),
    ];
    let structure = Structure::builder()
        .dimension(Dimension::regular("space", axes))
        .crs("EPSG:4326")
        .build()
        .expect("valid");
    let schema = Schema::builder(structure, DType::F32).build();
    let grid = store.create("g", schema.expect("valid")).expect("a grid");
    grid.put(
        &Window::new([0, 170], [8, 12]),
        &Array2::from_elem((8, 12), 5.0_f32),
    )
    .expect("put");
    drop((grid, store));
    for shape in [&[][..], &["--shape", "8x36"]] {
        let read = |extent: &str| {
            let mut all = vec!["read", "store", "g", "--extent", extent];
            all.extend_from_slice(shape);
            work.run(&all)
        };
        let over = read("-180,0,180,8");
        assert_eq!(over.code, Some(1), "{}", over.stdout);
        for part in ["`--extent 170,0,180,8`", "`--extent 180,0,182,8`"] {
            assert!(over.stderr.contains(part), "{}", over.stderr);
        }
        for whole in ["0,0,360,8", "-170,0,190,8"] {
            let ran = read(whole);
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
            let shown = if shape.is_empty() {
                "8 x 360"
            } else {
                "8 x 36"
            };
            assert!(ran.stdout.contains(shown), "{}", ran.stdout);
        }
    }
    let counted = work.ok(&["stats", "store", "g", "--extent", "-180,0,180,8", "--json"]);
    let counted: Value = serde_json::from_str(&counted).expect("JSON");
    assert_eq!(counted["count"].as_f64(), Some(96.0), "{counted}");
}

/// Six hours of three levels, 30, 20 and 10, each rising by one an hour.
fn levels() -> Work {
    let work = Work::new();
    let store = Store::open(work.path("store")).expect("a store");
    let time = Dimension::regular(
        "time",
        [Axis::new("time", 0.0, 1.0, 4).unit("hours since 2020-01-01")],
    );
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 40.0, -1.0, 16), Axis::new("x", 0.0, 1.0, 16)],
    );
    let structure = Structure::builder()
        .dimension(time)
        .dimension(Dimension::fixed("level", ["3", "2", "1"]))
        .dimension(space);
    let schema = Schema::builder(structure.build().expect("valid"), DType::F32)
        .aggregator(Aggregation::Mean);
    let grid = store
        .create("g", schema.build().expect("valid"))
        .expect("new");
    let cells = Array4::from_shape_fn((6, 3, 40, 40), |(hour, level, ..)| {
        (30 - 10 * level + hour) as f32
    });
    grid.put(&Window::new([0, 0, 0, 0], [6, 3, 40, 40]), &cells)
        .expect("put");
    write(
        &work,
        "p.geojson",
        &[
            feature(json!({ "name": "a, b" }), [5.0, 5.0, 30.0, 30.0]),
            feature(Value::Null, [9.0, 9.0, 20.0, 20.0]),
        ],
    );
    work
}

#[test]
fn a_series_has_the_same_band_at_a_place_and_over_a_polygon() {
    let work = levels();
    let first = |options: &[&str]| {
        let table = work.ok(&[&["series", "store", "g"], options].concat());
        table
            .lines()
            .nth(1)
            .and_then(|row| row.split(',').nth(1))
            .expect("a value")
            .parse::<f64>()
            .expect("a number")
    };
    // Labels come before numbers: `1` is the last of the three, and `3` the first.
    for (band, want) in [
        (None, 30.0),
        (Some("3"), 30.0),
        (Some("2"), 20.0),
        (Some("1"), 10.0),
    ] {
        let band: Vec<&str> = band.into_iter().flat_map(|band| ["--band", band]).collect();
        assert_eq!(
            first(&[&["--at", "10.5,10.5"], &band[..]].concat()),
            want,
            "{band:?}"
        );
        assert_eq!(
            first(&[&["--polygon", "p.geojson"], &band[..]].concat()),
            want,
            "{band:?}"
        );
    }
    let why = [["--at", "10.5,10.5"], ["--polygon", "p.geojson"]]
        .map(|place| work.fails(&[&["series", "store", "g", "--band", "4"], &place[..]].concat()));
    assert!(
        why.iter()
            .all(|why| why.contains("has no band `4`; it has 3, 2, 1")),
        "{why:?}"
    );
    let each = [
        "series",
        "store",
        "g",
        "--polygon",
        "p.geojson",
        "--each",
        "--stat",
        "max",
        "--every",
        "3h",
    ];
    let table = work.ok(&each);
    assert_eq!(
        table,
        "time,\"a, b\",feature 2\n2020-01-01T00:00:00Z,32.0,32.0\n2020-01-01T03:00:00Z,35.0,35.0\n"
    );
    let got = work.json(&each);
    assert_eq!(
        (&got["values"], &got["features"][1]["name"]),
        (&json!([[32.0, 35.0], [32.0, 35.0]]), &json!("feature 2"))
    );
}

#[test]
fn a_place_beside_the_data_is_told() {
    let work = levels();
    let ran = work.run(&["series", "store", "g", "--at", "100,10"]);
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.stderr.contains(
            "warning: the place 100,10 lies outside of all data of grid `g`, x 0 to 40, y 0 to 40"
        ),
        "{}",
        ran.stderr
    );
    let world = world(-180.0);
    let ran = world.run(&["stats", "store", "g", "--extent", "10,100,20,110"]);
    assert!(
        ran.stderr.contains("lies outside of all data"),
        "{}",
        ran.stderr
    );
}

#[test]
fn integers_that_no_double_is_are_told_apart() {
    let work = Work::new();
    let first = 9_223_372_049_200_454_709_u64;
    let ids = Array2::from_shape_fn((32, 32), |(y, x)| first + (y * 32 + x) as u64);
    let file = work.tif("ids.tif", &ids, |_| {});
    for (name, aggregator) in [
        ("a", "max,min,mode"),
        ("b", "none"),
        ("c", "sum,count,min,max"),
    ] {
        work.ok(&[
            "create",
            "store",
            name,
            "--like",
            &file,
            "--chunk",
            "8",
            "--aggregator",
            aggregator,
        ]);
        work.ok(&["import", "store", name, &file]);
        let stats = |options: &[&str]| work.json(&[&["stats", "store", name], options].concat());
        let id = (first + 77).to_string();
        for (op, count) in [
            ("==", 1.0),
            (">=", 1024.0 - 77.0),
            ("<", 77.0),
            ("!=", 1023.0),
        ] {
            assert_eq!(
                stats(&["--where", &format!("{op} {id}"), "--stat", "count"])["count"],
                json!(count),
                "{op} of {name}"
            );
        }
        let all = stats(&["--stat", "min,max,sum"]);
        assert_eq!(
            (&all["min"], &all["max"]),
            (&json!(first), &json!(first + 1023))
        );
        assert_eq!(
            all["sum"],
            json!((u128::from(first) * 1024 + 1023 * 512).to_string())
        );
        let classes =
            stats(&["--window", "0:1,0:4", "--classes", "--stat", "count"])["classes"].clone();
        let values: Vec<Value> = classes
            .as_array()
            .expect("a list")
            .iter()
            .map(|class| class["value"].clone())
            .collect();
        assert_eq!(values, (0..4).map(|i| json!(first + i)).collect::<Vec<_>>());
        let edges = format!("{first},{},{}", first + 1, first + 9);
        assert_eq!(
            stats(&["--histogram", &edges])["histogram"]["counts"],
            json!([1.0, 9.0])
        );
        let text = work.ok(&["stats", "store", name, "--stat", "min,max"]);
        assert!(
            text.starts_with(&format!(
                "min        {first}\nmax        {}\n",
                first + 1023
            )),
            "{text}"
        );
    }
    let ran = work.run(&[
        "create",
        "store",
        "d",
        "--like",
        &file,
        "--nodata",
        "9223372049200454709",
    ]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr.contains("cannot be kept exactly"),
        "{}",
        ran.stderr
    );
    work.ok(&[
        "create",
        "store",
        "d",
        "--like",
        &file,
        "--nodata",
        "18446744073709551615",
    ]);
}

#[test]
fn a_whole_store_is_cleaned() {
    let work = halves("mean");
    work.ok(&[
        "create",
        "store",
        "h",
        "--like",
        "a.tif",
        "--aggregator",
        "none",
    ]);
    work.ok(&["import", "store", "h", "a.tif"]);
    work.ok(&[
        "clear",
        "store",
        "h",
        "--extent",
        "400000,4999600,400320,5000000",
        "--yes",
    ]);
    let got = work.json(&["clean", "store"]);
    let names: Vec<&Value> = got["grids"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|of| &of["grid"])
        .collect();
    assert_eq!(names, [&json!("g"), &json!("h")]);
    let text = work.ok(&["clean", "store"]);
    assert!(
        text.starts_with("cleaned grid `g`: nothing to bring down: ")
            && text.contains("cleaned 2 grids, "),
        "{text}"
    );
}

#[test]
fn polygons_of_another_system_are_refused_by_its_name() {
    let work = halves("mean");
    let square = feature(
        json!({ "name": "west" }),
        [400_000.0, 4_999_600.0, 400_200.0, 5_000_000.0],
    );
    let named = |name: &str| {
        let crs = json!({ "type": "name", "properties": { "name": name } });
        let all = json!({ "type": "FeatureCollection", "crs": crs, "features": [square] });
        fs::write(work.path("zones.geojson"), all.to_string()).expect("written");
    };
    let system = work.json(&["info", "store", "g"])["grids"][0]["crs"]
        .as_str()
        .expect("a system")
        .to_owned();
    let code = system.strip_prefix("EPSG:").expect("a code");
    let ask = [
        "stats",
        "store",
        "g",
        "--polygon",
        "zones.geojson",
        "--stat",
        "count",
    ];
    let names = [
        "urn:ogc:def:crs:EPSG::",
        "http://www.opengis.net/def/crs/EPSG/0/",
        "EPSG:",
    ];
    for own in names.map(|name| format!("{name}{code}")) {
        named(&own);
        assert_eq!(work.json(&ask)["count"], json!(800.0), "{own}");
    }
    for (other, shown) in [
        ("urn:ogc:def:crs:EPSG::3857", "EPSG:3857"),
        ("urn:ogc:def:crs:OGC:1.3:CRS84", "OGC:CRS84"),
    ] {
        named(other);
        for ask in [
            &ask[..],
            &[
                "stats",
                "store",
                "g",
                "--polygon",
                "zones.geojson",
                "--each",
            ],
        ] {
            let why = work.fails(ask);
            let remedy =
                format!("`ogr2ogr -f GeoJSON -t_srs {system} FITTING.geojson zones.geojson`");
            assert!(why.contains(shown) && why.contains(&remedy), "{why}");
        }
    }
}

/// RFC 7946 has longitude and latitude without a word; older files name them.
#[test]
fn polygons_of_longitude_and_latitude_fit_a_grid_of_them() {
    let work = Work::with_srtm();
    let mut all = json!({ "type": "FeatureCollection", "features": [feature(Value::Null, [-119.4, 36.8, -119.0, 37.2])] });
    let count = |all: &Value| {
        fs::write(work.path("zones.geojson"), all.to_string()).expect("written");
        work.json(&[
            "stats",
            "store",
            "dem",
            "--polygon",
            "zones.geojson",
            "--stat",
            "count",
        ])["count"]
            .clone()
    };
    let plain = count(&all);
    assert!(plain.as_f64() > Some(100_000.0), "{plain}");
    for name in [
        "urn:ogc:def:crs:OGC:1.3:CRS84",
        "http://www.opengis.net/def/crs/OGC/1.3/CRS84",
        "EPSG:4326",
    ] {
        all["crs"] = json!({ "type": "name", "properties": { "name": name } });
        assert_eq!(count(&all), plain, "{name}");
    }
}
