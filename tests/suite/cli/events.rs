//! Irregular time on the command line: hourly radar fields as events, and statistics of a polygon
//! over time.

use serde_json::json;

use super::rain::{hours, import, npy};
use super::{Work, values};

/// A rectangle with a corner cut off, in index axes.
const CATCHMENT: &str =
    r#"{"type": "Polygon", "coordinates": [[[10, 10], [50, 10], [50, 40], [30, 60], [10, 60]]]}"#;

/// Whether the polygon holds the centre of a cell.
fn held(y: usize, x: usize) -> bool {
    let (row, column) = (y as f64 + 0.5, x as f64 + 0.5);
    (10.0..60.0).contains(&row) && (10.0..50.0).contains(&column) && row - 40.0 < 50.0 - column
}

/// A store of the hours as events.
fn events() -> Work {
    let work = Work::new();
    let mut create = vec![
        "create",
        "store",
        "rain",
        "--index-axes",
        "--irregular",
        "--chunk",
        "8,32",
        "--aggregator",
        "mean,sum,max",
    ];
    let files = hours();
    create.push("--like");
    create.extend(files.iter().map(String::as_str));
    work.ok(&create);
    // 7 and 23 share no divisor, so every hour comes once.
    let shuffled: Vec<String> = (0..23)
        .map(|number| files[(number * 7 + 5) % 23].clone())
        .collect();
    import(&work, "store", &shuffled);
    std::fs::write(work.path("catchment.geojson"), CATCHMENT).expect("written");
    work
}

#[test]
fn hours_are_read_as_events_by_their_time() {
    let work = events();
    let all = npy(&work, &["read", "store", "rain"]);
    assert_eq!(all.shape(), [23, 64, 64]);
    let all = values(&all);
    let hour = |number: usize| all[number * 4096..(number + 1) * 4096].to_vec();
    let read = |args: &[&str]| {
        values(&npy(
            &work,
            &[&["read", "store", "rain"][..], args].concat(),
        ))
    };
    assert_eq!(read(&["--latest"]), hour(22));
    assert_eq!(read(&["--at-time", "2018-09-14T00:20Z"]), hour(5));
    assert_eq!(
        read(&["--at-time", "2018-09-14T00:20Z", "--pick", "next"]),
        hour(6)
    );
    let why = work.fails(&[
        "read",
        "store",
        "rain",
        "--at-time",
        "2018-09-14T00:20Z",
        "--tolerance",
        "10min",
    ]);
    assert!(
        why.contains("2018-09-14T00:20:00Z") && why.contains("rain"),
        "{why}"
    );
    let middle = read(&["--at-time", "2018-09-14T00:30Z", "--pick", "linear"]);
    let want = (hour(5)[1234] + hour(6)[1234]) / 2.0;
    assert!(
        (middle[1234] - want).abs() <= want * 1e-6,
        "{} is not half way, {want}",
        middle[1234]
    );
    let days = work.json(&[
        "read", "store", "rain", "--every", "1d", "--layer", "sum", "--shape", "1x1",
    ]);
    assert_eq!(
        days["coordinates"]["times"],
        json!(["2018-09-13T00:00:00Z", "2018-09-14T00:00:00Z"])
    );
    let info = work.json(&["info", "store", "rain"]);
    assert_eq!(info["grids"][0]["events"], json!(23));
    assert!(
        work.ok(&["ls", "store"])
            .contains("; 23 events x 64 x 64 cells")
    );
    let again: Vec<String> = hours()[..2].to_vec();
    let again: Vec<&str> = again.iter().map(String::as_str).collect();
    let why = work.fails(
        &[
            &["import", "store", "rain", "--overlap", "refuse"][..],
            &again,
        ]
        .concat(),
    );
    assert!(
        why.contains("rain") && why.contains("2018-09-13T19:00:00Z"),
        "{why}"
    );
    work.ok(&[
        "clear",
        "store",
        "rain",
        "--period",
        "2018-09-13T20:00Z/2018-09-13T22:00Z",
        "--yes",
    ]);
    assert_eq!(
        work.json(&["info", "store", "rain"])["grids"][0]["events"],
        json!(21)
    );
    assert!(work.ok(&["verify", "store"]).starts_with("sound: "));
}

#[test]
fn a_polygon_has_a_series_of_its_statistics() {
    let work = events();
    let mut regular = vec![
        "create",
        "store",
        "hourly",
        "--index-axes",
        "--chunk",
        "8,32",
        "--aggregator",
        "mean,sum,max",
        "--like",
    ];
    let files = hours();
    regular.extend(files.iter().map(String::as_str));
    work.ok(&regular);
    work.ok(&[&["import", "store", "hourly"][..], &regular[9..]].concat());
    let all = values(&npy(&work, &["read", "store", "rain"]));
    let of_hour = |hour: usize| -> Vec<f64> {
        let cells = (0..4096)
            .filter(|cell| held(cell / 64, cell % 64))
            .map(|cell| all[hour * 4096 + cell]);
        cells.filter(|value| !value.is_nan()).collect()
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    for grid in ["rain", "hourly"] {
        let series = ["series", "store", grid, "--polygon", "catchment.geojson"];
        let table = work.ok(&series);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!((lines.len(), lines[0]), (24, "time,value"), "{grid}");
        for (hour, line) in lines[1..].iter().enumerate() {
            let (_, value) = line.split_once(',').expect("two columns");
            let (got, want) = (value.parse::<f64>().expect("a mean"), mean(&of_hour(hour)));
            assert!(
                (got - want).abs() < 1e-9,
                "{grid}: hour {hour} is {got}, not {want}"
            );
        }
        let part = work.json(
            &[
                &series[..],
                &[
                    "--stat",
                    "max",
                    "--period",
                    "2018-09-14T00:00Z/2018-09-14T02:00Z",
                ],
            ]
            .concat(),
        );
        let most = |hour: usize| of_hour(hour).into_iter().fold(f64::MIN, f64::max);
        assert_eq!(part["values"], json!([[most(5), most(6)]]), "{grid}");
        assert_eq!(
            (&part["layer"], &part["times"][0]),
            (&json!("max"), &json!("2018-09-14T00:00:00Z"))
        );
        let few = work.json(&[&series[..], &["--points", "6"]].concat());
        assert!(
            few["values"][0].as_array().expect("steps").len() <= 6,
            "{few}"
        );
        let day = [
            "stats",
            "store",
            grid,
            "--polygon",
            "catchment.geojson",
            "--period",
            "2018-09-14/2018-09-15",
            "--stat",
            "mean",
        ];
        let day = work.json(&day)["mean"].as_f64().expect("a mean");
        let want = mean(&(5..23).flat_map(of_hour).collect::<Vec<_>>());
        assert!(
            (day - want).abs() < 1e-9,
            "{grid}: the day is {day}, not {want}"
        );
    }
    work.ok(&[
        "series",
        "store",
        "rain",
        "--polygon",
        "catchment.geojson",
        "--out",
        "mean.png",
    ]);
    let both = work.run(&["series", "store", "rain", "--at", "3,4", "--stat", "max"]);
    assert!(
        both.code == Some(2) && both.stderr.contains("--at") && both.stderr.contains("--stat"),
        "{both:?}"
    );
    work.ok(&[
        "clear",
        "store",
        "rain",
        "--polygon",
        "catchment.geojson",
        "--yes",
    ]);
    let left = work.json(&[
        "stats",
        "store",
        "rain",
        "--polygon",
        "catchment.geojson",
        "--stat",
        "count",
    ]);
    assert_eq!(left["count"], json!(0.0));
    let valid = all.chunks(4096).flat_map(|hour| {
        (0..4096)
            .filter(|c| !held(c / 64, c % 64))
            .map(|cell| hour[cell])
    });
    let want = valid.filter(|value| !value.is_nan()).count() as f64;
    assert_eq!(
        work.json(&["stats", "store", "rain", "--stat", "count"])["count"],
        json!(want)
    );
    assert!(work.ok(&["verify", "store"]).starts_with("sound: "));
}
