//! NetCDF in, time, and series, on hourly radar fields.

use gridstone::adapter::npy;
use serde_json::json;

use super::{Work, data, values};

/// The files of the hours, in order.
pub fn hours() -> Vec<String> {
    let mut files: Vec<String> = std::fs::read_dir(data("radar"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path().display().to_string())
        .filter(|path| path.ends_with(".nc"))
        .collect();
    files.sort();
    assert_eq!(files.len(), 23);
    files
}

/// A store with an empty grid for them.
fn create(work: &Work, store: &str, chunk: &str) {
    let like = &hours()[0];
    let options = [
        "--index-axes",
        "--time-step",
        "1h",
        "--chunk",
        chunk,
        "--aggregator",
        "sum,max",
    ];
    work.ok(&[&["create", store, "rain", "--like", like][..], &options].concat());
}

pub fn import(work: &Work, store: &str, files: &[String]) {
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    work.ok(&[&["import", store, "rain"][..], &files].concat());
}

pub fn npy(work: &Work, args: &[&str]) -> gridstone::Array {
    work.ok(&[args, &["--out", "cells.npy", "--overwrite"]].concat());
    npy::read(work.path("cells.npy")).expect("a .npy")
}

#[test]
fn hours_in_any_order_make_the_same_store() {
    let work = Work::new();
    create(&work, "ordered", "4,32");
    import(&work, "ordered", &hours());
    create(&work, "shuffled", "4,32");
    let files = hours();
    // 7 and 23 share no divisor, so every hour comes once; in three batches.
    let shuffled: Vec<String> = (0..23)
        .map(|number| files[(number * 7 + 5) % 23].clone())
        .collect();
    shuffled
        .chunks(9)
        .for_each(|files| import(&work, "shuffled", files));
    let content = |store: &str| {
        let info = work.json(&["info", store, "rain"])["grids"][0].clone();
        let mut cells = Vec::new();
        for layer in info["layers"].as_array().expect("layers") {
            let (space, time) = (
                layer["levels"]["space"].to_string(),
                layer["levels"]["time"].to_string(),
            );
            let layer = layer["layer"].as_str().expect("a name").to_owned();
            cells.push(npy(
                &work,
                &[
                    "read",
                    store,
                    "rain",
                    "--level",
                    &space,
                    "--time-level",
                    &time,
                    "--layer",
                    &layer,
                ],
            ));
        }
        let mut info = info;
        // A token names its store, and the last import its command.
        let object = info.as_object_mut().expect("an object");
        assert!(object.remove("token").is_some() && object.remove("import").is_some());
        (info, cells)
    };
    let (ordered, shuffled) = (content("ordered"), content("shuffled"));
    assert_eq!(ordered.0, shuffled.0);
    assert_eq!(ordered.1, shuffled.1);
    assert!(ordered.1.len() > 10, "levels in space and time");
    assert!(work.ok(&["verify", "shuffled"]).starts_with("sound: "));
    assert_eq!(
        ordered.0["period"],
        json!(["2018-09-13T19:00:00Z", "2018-09-14T18:00:00Z"])
    );
}

#[test]
fn periods_and_levels_of_time_are_read() {
    let work = Work::new();
    create(&work, "store", "4,32");
    import(&work, "store", &hours());
    let all = npy(&work, &["read", "store", "rain"]);
    assert_eq!(all.shape(), [23, 64, 64]);
    let all = values(&all);
    let period = npy(
        &work,
        &[
            "read",
            "store",
            "rain",
            "--period",
            "2018-09-14T00:00Z/2018-09-14T05:30:00+00:00",
        ],
    );
    // The step from 5 to 6 is touched.
    assert_eq!(
        (period.shape(), values(&period)),
        (&[6, 64, 64][..], all[5 * 4096..11 * 4096].to_vec())
    );
    let hour = npy(
        &work,
        &[
            "read",
            "store",
            "rain",
            "--period",
            "2018-09-14T06:00Z/2018-09-14T07:00Z",
        ],
    );
    assert_eq!(
        (hour.shape(), values(&hour)),
        (&[64, 64][..], all[11 * 4096..12 * 4096].to_vec())
    );
    let pairs = npy(
        &work,
        &[
            "read",
            "store",
            "rain",
            "--time-level",
            "1",
            "--layer",
            "sum",
        ],
    );
    assert_eq!(pairs.shape(), [12, 64, 64]);
    assert_eq!(
        values(&pairs)[..4096],
        (0..4096)
            .map(|cell| all[cell] + all[4096 + cell])
            .collect::<Vec<_>>()
    );
    let day = npy(&work, &["read", "store", "rain", "--over-time", "sum"]);
    let sum = |cell: usize| (0..23).map(|hour| all[hour * 4096 + cell]).sum::<f64>();
    assert_eq!(
        (day.shape(), values(&day)),
        (&[64, 64][..], (0..4096).map(sum).collect::<Vec<_>>())
    );
    let most = npy(
        &work,
        &[
            "read",
            "store",
            "rain",
            "--over-time",
            "max",
            "--layer",
            "max",
        ],
    );
    let greatest = |cell: usize| {
        (0..23)
            .map(|hour| all[hour * 4096 + cell])
            .fold(f64::MIN, f64::max)
    };
    assert_eq!(values(&most), (0..4096).map(greatest).collect::<Vec<_>>());
    // Years and dates without what lies between their parts are no numbers of hours.
    for (words, steps) in [
        ("2018/2019", 0..23),
        ("20180914/20180915", 5..23),
        ("20180914/2019", 5..23),
    ] {
        let period = npy(&work, &["read", "store", "rain", "--period", words]);
        assert_eq!(
            values(&period),
            all[steps.start * 4096..steps.end * 4096],
            "{words}"
        );
    }
    for (words, told) in [
        ("20180931/20181001", "20180931 is no date of the calendar"),
        ("0/2019", "and 0 is none; give two times"),
        ("2019/20180914", "ends before it begins"),
    ] {
        let why = work.fails(&["read", "store", "rain", "--period", words]);
        assert!(why.contains(told), "{words}: {why}");
    }
    let why = work.fails(&["read", "store", "rain", "--period", "2017-01-01/2017-01-02"]);
    assert!(
        why.contains("there are steps from 2018-09-13T19:00:00Z to 2018-09-14T18:00:00Z"),
        "{why}"
    );
}

#[test]
fn a_series_is_a_table_an_array_or_a_plot() {
    let work = Work::new();
    create(&work, "store", "4,32");
    import(&work, "store", &hours());
    let all = values(&npy(&work, &["read", "store", "rain"]));
    let at = |hour: usize, y: usize, x: usize| all[hour * 4096 + y * 64 + x];
    let series = ["series", "store", "rain", "--at", "40.5,20"];
    let table = work.ok(&series);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!((lines.len(), lines[0]), (24, "time,value"));
    assert!(
        lines[1].starts_with("2018-09-13T19:00:00Z,")
            && lines[23].starts_with("2018-09-14T17:00:00Z,"),
        "{table}"
    );
    let of_table: Vec<f64> = lines[1..]
        .iter()
        .map(|line| {
            f64::from(
                line.split(',')
                    .nth(1)
                    .expect("a value")
                    .parse::<f32>()
                    .expect("float32"),
            )
        })
        .collect();
    assert_eq!(
        of_table,
        (0..23).map(|hour| at(hour, 20, 40)).collect::<Vec<_>>()
    );
    let one = npy(&work, &series);
    assert_eq!((one.shape(), values(&one)), (&[23][..], of_table.clone()));
    let two = npy(
        &work,
        &[
            &series[..],
            &[
                "--at",
                "10,50",
                "--period",
                "2018-09-14T00:00Z/2018-09-14T02:00Z",
            ],
        ]
        .concat(),
    );
    assert_eq!(
        (two.shape(), values(&two)),
        (
            &[2, 2][..],
            vec![at(5, 20, 40), at(6, 20, 40), at(5, 50, 10), at(6, 50, 10)]
        )
    );
    // 23 hours in at most 7 steps: level 2, of 4 hours each.
    let few = work.json(&[&series[..], &["--points", "7", "--layer", "sum"]].concat());
    assert_eq!(
        (&few["levels"]["time"], &few["times"][1]),
        (&json!(2), &json!("2018-09-13T23:00:00Z"))
    );
    assert_eq!(
        few["values"][0][0],
        json!((0..4).map(|hour| at(hour, 20, 40)).sum::<f64>())
    );
    work.ok(&[&series[..], &["--out", "cell.png"]].concat());
    assert!(
        std::fs::read(work.path("cell.png"))
            .expect("written")
            .starts_with(b"\x89PNG")
    );
    assert!(
        work.fails(&[&series[..], &["--out", "cell.png"]].concat())
            .contains("--overwrite")
    );
    work.ok(&[&series[..], &["--out", "cell.csv"]].concat());
    assert_eq!(
        std::fs::read_to_string(work.path("cell.csv")).expect("written"),
        table
    );
}

#[test]
fn a_file_that_does_not_fit_is_refused_with_the_remedy() {
    let work = Work::new();
    let hour = &hours()[0];
    let why = work.fails(&[
        "create",
        "store",
        "rain",
        "--like",
        hour,
        "--time-step",
        "1h",
    ]);
    assert!(
        why.contains("(its coordinates `lat`, `lon` have two axes); keep it in a grid of its own, made with `gridstone create STORE NAME --like FILE --index-axes`"),
        "{why}"
    );
    let why = work.fails(&["create", "store", "rain", "--like", hour, "--index-axes"]);
    assert!(
        why.contains("a single time and no bounds, so no spacing; give it with `--time-step 1h`"),
        "{why}"
    );
    let why = work.fails(&[
        "create",
        "store",
        "rain",
        "--like",
        &data("netcdf/irregular.nc"),
        "--time-step",
        "1d",
    ]);
    assert!(
        why.contains("2001-01-04T12:00:00Z is not a whole number of steps of 1 days")
            && why.contains("irregular"),
        "{why}"
    );
    let why = work.fails(&[
        "create",
        "store",
        "rain",
        "--like",
        &data("cf/month-steps.nc"),
    ]);
    assert!(why.contains("-settaxis,"), "{why}");
    let why = work.fails(&[
        "create",
        "store",
        "rain",
        "--like",
        &data("cf/poles.nc"),
        "--time-step",
        "1d",
    ]);
    assert!(why.contains("the variable has no time"), "{why}");
    let why = work.fails(&[
        "create",
        "store",
        "rain",
        "--like",
        &data("srtm.tif"),
        "--index-axes",
    ]);
    assert!(why.contains("--index-axes is for NetCDF files"), "{why}");
    assert!(!work.path("store").exists());
    // Steps of two hours have no place for every second file.
    work.ok(&[
        "create",
        "store",
        "rain",
        "--like",
        hour,
        "--index-axes",
        "--time-step",
        "2h",
    ]);
    let why = work.fails(&["import", "store", "rain", hour, &hours()[1]]);
    assert!(
        why.contains("2018-09-13T20:00:00Z does not lie on the grid's steps of 2 hours"),
        "{why}"
    );
    assert_eq!(
        work.json(&["info", "store", "rain"])["grids"][0]["extent"],
        json!(null),
        "nothing was changed"
    );
    std::fs::write(work.path("four.nc"), b"\x89HDF\r\n\x1a\n....").expect("written");
    assert!(
        work.fails(&["import", "store", "rain", "four.nc"])
            .contains("`nccopy -k cdf5 FILE CLASSIC.nc`")
    );
}

#[test]
fn a_variable_with_coordinates_lies_where_they_say() {
    // The same variable in a classic file and in NetCDF-4.
    for (file, others) in [
        ("netcdf/cdf1-record.nc", "flag, rain, short"),
        ("netcdf/nc4-record.nc", "flag, rain"),
    ] {
        let work = Work::new();
        let file = data(file);
        work.ok(&[
            "create",
            "store",
            "dem",
            "--like",
            &file,
            "--variable",
            "rain",
            "--chunk",
            "2,4",
        ]);
        work.ok(&["import", "store", "dem", &file, "--variable", "rain"]);
        let grid = work.json(&["info", "store", "dem"])["grids"][0].clone();
        assert_eq!(
            grid["extent"],
            json!({ "time": [0.0, 4.0], "y": [33.0, 36.0], "x": [95.0, 145.0] })
        );
        assert_eq!(
            grid["dimensions"][0]["axes"][0]["unit"],
            json!("hours since 2018-09-13T19:00:00Z")
        );
        work.ok(&["import", "store", "dem", &file]);
        let why = work.fails(&["create", "store", "other", "--like", &file]);
        assert!(
            why.trim_end()
                .ends_with(&format!("choose one with `--variable`: {others}")),
            "{why}"
        );
        let part = work.cells(&[
            "--extent",
            "95,35,115,36",
            "--period",
            "2018-09-13T20:00Z/2018-09-13T21:00Z",
        ]);
        assert_eq!(part.shape(), [1, 2]);
    }
}

#[test]
fn what_the_climate_data_store_gives_out_is_taken_as_it_is() {
    let work = Work::new();
    let file = data("netcdf/nc4-xarray.nc");
    work.ok(&["create", "store", "t2m", "--like", &file]);
    work.ok(&["import", "store", "t2m", &file]);
    let grid = work.json(&["info", "store", "t2m"])["grids"][0].clone();
    assert_eq!(
        grid["extent"],
        json!({ "time": [1709143200.0, 1709208000.0], "y": [52.125, 53.125], "x": [3.875, 5.125] })
    );
    assert_eq!(
        grid["period"],
        json!(["2024-02-28T18:00:00Z", "2024-02-29T12:00:00Z"])
    );
    let mut cut = std::fs::read(&file).expect("a stored file");
    cut.truncate(cut.len() - 1);
    std::fs::write(work.path("cut.nc"), cut).expect("written");
    let why = work.fails(&["import", "store", "t2m", "cut.nc"]);
    assert!(why.contains("the file has 14235 bytes of 14236"), "{why}");
}

/// Times of a climate model's calendar are asked for and shown by its own dates.
#[test]
fn a_calendar_of_a_model_keeps_its_dates() {
    let work = Work::new();
    let file = data("cf/360-day.nc");
    work.ok(&["create", "store", "m", "--like", &file]);
    work.ok(&["import", "store", "m", &file]);
    let grid = work.json(&["info", "store", "m"])["grids"][0].clone();
    assert_eq!(
        grid["period"],
        json!(["1850-02-29T00:00:00Z", "1850-03-02T00:00:00Z"])
    );
    assert_eq!(
        grid["dimensions"][0]["axes"][0]["unit"],
        json!("days since 1850-01-01T00:00:00Z (360_day)")
    );
    let series = |period: &str| {
        work.ok(&[
            "series",
            "store",
            "m",
            "--at",
            "10.1,45.1",
            "--period",
            period,
        ])
        .lines()
        .count()
            - 1
    };
    assert_eq!(
        (
            series("1850-02-30/1850-03-01"),
            series("1850-02-29/1850-03-02")
        ),
        (1, 3)
    );
    let why = work.fails(&[
        "series",
        "store",
        "m",
        "--at",
        "10.1,45.1",
        "--period",
        "1850-02-29/1850-03-31",
    ]);
    assert!(
        why.contains("1850-03-31T00:00:00Z is no time of the calendar 360_day"),
        "{why}"
    );
    // Days of another calendar are no days of this one.
    let why = work.fails(&["import", "store", "m", &data("cf/noleap.nc")]);
    assert!(
        why.contains("calendar noleap, the grid's of 360_day") && why.contains("gridstone create"),
        "{why}"
    );
}

#[test]
fn an_import_that_drops_all_cells_says_so() {
    let work = Work::new();
    let file = data("cf/blank.nc");
    work.ok(&["create", "store", "g", "--like", &file]);
    let notes = work.run(&["import", "store", "g", &file]).stderr;
    assert!(notes.contains("none of its 24 cells has data"), "{notes}");
}
