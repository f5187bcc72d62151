//! Variables into grids.

use super::*;
use crate::{Query, Store};

fn grid(store: &Store, name: &str, field: Field, like: &Like) -> Grid {
    store
        .create(name, schema_like(&[field], like).expect("a schema"))
        .expect("a new grid")
}

fn import(grid: &Grid, field: Field) -> Result<Imported, Error> {
    let mut import = placed(grid, field)?;
    import.check(&mut |_| {})?;
    write(&mut [&mut import], &mut |_| {})
}

#[test]
fn a_grid_holds_the_values_that_were_meant() {
    let expected = expected();
    for (name, wanted) in expected["fields"].as_object().expect("fields") {
        let variable = wanted["variable"].as_str().expect("a name");
        let store = Store::in_memory().expect("memory");
        let grid = grid(
            &store,
            "g",
            field(name, variable).expect(name),
            &Like::default(),
        );
        import(&grid, field(name, variable).expect(name)).expect(name);
        let answer = grid.read(&Query::all()).expect("reads");
        assert_eq!(answer.array.dtype().name(), wanted["dtype"], "{name}");
        assert_eq!(
            listed(&answer.array),
            *wanted["values"].as_array().expect("values"),
            "{name}"
        );
        assert!(
            answer.window.start().iter().all(|start| *start == 0),
            "cell 0 is the file's first"
        );
        assert_eq!(store.verify().expect("sound").findings, []);
    }
}

#[test]
fn rows_and_columns_that_run_against_the_grids_are_turned() {
    let store = Store::in_memory().expect("memory");
    let grid = grid(
        &store,
        "g",
        field("cdf2-packed", "dbz").expect("it"),
        &Like::default(),
    );
    import(&grid, field("cdf2-packed", "dbz").expect("it")).expect("imports");
    let once = grid.read(&Query::all()).expect("reads");
    let mut turned = field("cdf2-packed", "dbz").expect("it");
    turned.y.origin += turned.y.step * turned.y.len as f64;
    turned.y.step = -turned.y.step;
    turned.x.origin += turned.x.step * turned.x.len as f64;
    turned.x.step = -turned.x.step;
    import(&grid, turned).expect("imports");
    let again = grid.read(&Query::all()).expect("reads");
    assert_eq!(once.window, again.window);
    let (once, again) = (listed(&once.array), listed(&again.array));
    // Cells without data leave what was there alone, so only cells with data on both sides are
    // compared.
    for (step, chunk) in again.chunks(24).enumerate() {
        for (cell, value) in chunk.iter().enumerate() {
            let opposite = &once[step * 24 + 23 - cell];
            assert!(
                value == opposite || opposite.is_null(),
                "cell {cell} of step {step}: {value} for {opposite}"
            );
        }
    }
}

#[test]
fn what_does_not_lie_on_the_grid_is_refused() {
    let store = Store::in_memory().expect("memory");
    let record = || field("cdf1-record", "rain").expect("it");
    let grid = grid(&store, "g", record(), &Like::default());
    let error = |change: &dyn Fn(&mut Field)| {
        let mut field = record();
        change(&mut field);
        let error = placed(&grid, field).expect_err("refused");
        assert_eq!(*error.kind(), crate::ErrorKind::Invalid);
        story(&error)
    };
    let half_past = error(&|field| {
        let times = field.times.as_mut().expect("times");
        times.times[2] = times.times[2].after(1_800_000_000_000).expect("in range");
    });
    assert!(
        half_past
            .contains("the time 2018-09-13T21:30:00Z does not lie on the grid's steps of 1 hours"),
        "{half_past}"
    );
    assert!(
        half_past.contains("make the grid with `--irregular`"),
        "{half_past}"
    );
    let shifted = error(&|field| field.x.origin += 0.5);
    assert!(
        shifted.contains("0.0500 of a cell off the grid's along `x`"),
        "{shifted}"
    );
    let coarse = error(&|field| field.y.step = -1.1);
    assert!(
        coarse.contains("its cells are of 1.1, the grid's of 1 along `y`"),
        "{coarse}"
    );
    let timeless = error(&|field| field.times = None);
    assert!(
        timeless.contains("does not say where it lies along axis `time`"),
        "{timeless}"
    );
    let index = error(&|field| field.y = super::super::space::EvenCells::index(3));
    assert!(
        index.contains("the file has no coordinates along `y`, and the grid some"),
        "{index}"
    );
    let nan = error(&|field| field.y.origin = f64::NAN);
    assert!(nan.contains("off the grid's along `y`"), "{nan}");
}

#[test]
fn steps_come_in_any_order_with_gaps_and_before_the_origin() {
    let store = Store::in_memory().expect("memory");
    let whole = || field("cdf1-record", "rain").expect("it");
    let grid = grid(
        &store,
        "g",
        whole(),
        &Like {
            time_chunk: 2,
            ..Like::default()
        },
    );
    let mut scattered = whole();
    let times = scattered.times.as_mut().expect("times");
    let first = times.times[0];
    times.times = [7, -9, -8, 3]
        .map(|hour| first.after(hour * 3_600_000_000_000).expect("in range"))
        .to_vec();
    let wanted = listed(&grid_values(whole()));
    import(&grid, scattered).expect("imports");
    let answer = grid.read(&Query::all()).expect("reads");
    assert_eq!(
        (answer.window.start()[0], answer.window.shape()[0]),
        (-9, 17)
    );
    let got = listed(&answer.array);
    for (step, cell) in [7_i64, -9, -8, 3].into_iter().enumerate() {
        let at = usize::try_from(cell + 9).expect("within") * 15;
        assert_eq!(
            got[at..at + 15],
            wanted[step * 15..step * 15 + 15],
            "hour {cell}"
        );
    }
    assert_eq!(
        got.iter().filter(|value| !value.is_null()).count(),
        wanted.iter().filter(|value| !value.is_null()).count()
    );
}

/// The values of a field, by a grid of its own.
fn grid_values(like: Field) -> Array {
    let store = Store::in_memory().expect("memory");
    let grid = grid(&store, "own", like, &Like::default());
    import(&grid, field("cdf1-record", "rain").expect("it")).expect("imports");
    grid.read(&Query::all()).expect("reads").array
}

#[test]
fn integers_without_a_nodata_value_are_kept_whole() {
    let store = Store::in_memory().expect("memory");
    for code in ["u1", "i8", "u8"] {
        let grid = grid(
            &store,
            code,
            field("cdf5-types", code).expect(code),
            &Like::default(),
        );
        assert_eq!(grid.schema().nodata(), None, "{code}");
        import(&grid, field("cdf5-types", code).expect(code)).expect(code);
        let wanted = &expected()["raw"]["cdf5-types"][code]["values"];
        assert_eq!(
            listed(&grid.read(&Query::all()).expect("reads").array),
            *wanted.as_array().expect("values"),
            "{code}"
        );
    }
}

#[test]
fn a_valid_value_that_is_the_grids_nodata_is_told() {
    let store = Store::in_memory().expect("memory");
    let like = Like {
        nodata: Some(2.0),
        ..Like::default()
    };
    let bytes = || field("cdf5-types", "u1").expect("it");
    let grid_of_bytes = grid(&store, "bytes", bytes(), &like);
    let checked = placed(&grid_of_bytes, bytes())
        .expect("fits")
        .check(&mut |_| {})
        .expect("undeclared");
    assert_eq!(checked.nodata_cells, 1);
    // This file declares others, so that a cell of this value is valid.
    let packed = || field("cdf2-packed", "dbz").expect("it");
    let plain = grid(&store, "plain", packed(), &Like::default());
    import(&plain, packed()).expect("imports");
    let taken = plain
        .read(&Query::all())
        .expect("reads")
        .array
        .iter_f64()
        .find(|value| !value.is_nan())
        .expect("a value");
    let like = Like {
        nodata: Some(taken),
        ..Like::default()
    };
    let of_packed = grid(&store, "packed", packed(), &like);
    let error = placed(&of_packed, packed())
        .expect("fits")
        .check(&mut |_| {})
        .expect_err("declared");
    assert!(
        error
            .to_string()
            .contains(&format!("have the grid's nodata value {taken}")),
        "{error}"
    );
}

#[test]
fn parts_end_at_chunk_borders_and_cover_all_once() {
    for (first, len, chunk) in [
        (0, 10, 4),
        (-3, 10, 4),
        (5, 1, 16),
        (-16, 32, 16),
        (7, 100, 1),
    ] {
        let cut: Vec<_> = super::super::source::pieces(first, len, chunk).collect();
        assert_eq!((cut[0].start, cut[cut.len() - 1].end), (0, len));
        assert!(
            cut.windows(2)
                .all(|pair| pair[0].end == pair[1].start && pair[0].end > pair[0].start)
        );
        let inner = &cut[..cut.len() - 1];
        let border = |end: u64| {
            (first + i64::try_from(end).expect("small"))
                .rem_euclid(i64::try_from(chunk).expect("small"))
        };
        assert!(inner.iter().all(|range| border(range.end) == 0), "{cut:?}");
    }
}

/// Each file by itself, in any order, and where its times lie on no steps.
#[test]
fn times_that_lie_on_no_steps_are_kept_exactly() {
    let whole = || field("irregular", "v").expect("it");
    let times: Vec<_> = whole().times.expect("times").times;
    let store = Store::in_memory().expect("memory");
    let events = grid(&store, "events", whole(), &Like::default());
    let axis = events.structure().axes().next().expect("time").clone();
    assert!(events.structure().irregular().is_some());
    import(&events, whole()).expect("imports");
    let found = events.read(&Query::all()).expect("reads");
    let ticks = found.coordinates.expect("events").ticks;
    let instants: Vec<_> = ticks
        .iter()
        .map(|tick| {
            axis.time()
                .expect("time")
                .timestamp(*tick)
                .expect("in range")
        })
        .collect();
    let mut sorted = times.clone();
    sorted.sort_unstable();
    assert_eq!(instants, sorted);
    let raw = whole();
    let raw = raw
        .file
        .read("v", &vec![0; raw.shape.len()], &raw.shape)
        .expect("reads");
    assert_eq!(listed(&found.array), listed(&raw), "the file's times rise");
    assert_eq!(store.verify().expect("sound").findings, []);
}

/// Steps of which most are empty are no regular axis; one gap is nothing.
#[test]
fn times_that_are_mostly_apart_are_events() {
    const HOUR: i128 = 3_600_000_000_000;
    let is_irregular = |hours: &dyn Fn(i128) -> i128| {
        let mut field = field("cdf1-record", "rain").expect("it");
        let times = field.times.as_mut().expect("times");
        assert!(
            times.bounds.is_none() && times.times.len() > 2,
            "no bounds, and some times"
        );
        let first = times.times[0];
        for (number, time) in (0..).zip(&mut times.times) {
            *time = first.after(hours(number) * HOUR).expect("in range");
        }
        let store = Store::in_memory().expect("memory");
        grid(&store, "rain", field, &Like::default())
            .structure()
            .irregular()
            .is_some()
    };
    assert!(!is_irregular(&|number| number));
    assert!(!is_irregular(&|number| if number > 1 {
        number + 1000
    } else {
        number
    }));
    assert!(is_irregular(&|number| number * number * number));
}

/// Hours that are regular make an irregular grid too if that is asked for; what is there is
/// replaced, kept or refused.
#[test]
fn events_that_are_there_are_replaced_kept_or_refused() {
    let whole = || field("cdf1-record", "rain").expect("it");
    let like = Like {
        irregular: Some(true),
        time_chunk: 2,
        ..Like::default()
    };
    let values = |grid: &Grid| listed(&grid.read(&Query::all()).expect("reads").array);
    let put = |grid: &Grid, field: Field, overlap: crate::Overlap| {
        let mut import = placed(grid, field)?.over(overlap);
        import.check(&mut |_| {})?;
        write(&mut [&mut import], &mut |_| {})
    };
    let store = Store::in_memory().expect("memory");
    let grid = grid(&store, "events", whole(), &like);
    import(&grid, whole()).expect("imports");
    let first = values(&grid);
    // The steps turned round: each has the values of another.
    let turned = || {
        let mut field = whole();
        field.times.as_mut().expect("times").times.reverse();
        field
    };
    let error = put(&grid, turned(), crate::Overlap::Refuse).expect_err("all is there");
    assert!(
        error.to_string().contains("grid `events`") && error.to_string().contains("2018-09-13T"),
        "{error}"
    );
    assert_eq!(values(&grid), first);
    put(&grid, turned(), crate::Overlap::Keep).expect("fills gaps");
    let kept = values(&grid);
    assert!(
        first
            .iter()
            .zip(&kept)
            .all(|(first, kept)| first.is_null() || first == kept)
    );
    put(&grid, turned(), crate::Overlap::Replace).expect("replaces");
    let cells = first.len() / usize::try_from(whole().shape[0]).expect("short");
    let wanted: Vec<_> = first.chunks(cells).rev().flatten().cloned().collect();
    assert_eq!(values(&grid), wanted);
    assert_eq!(store.verify().expect("sound").findings, []);
    let mut odd = whole();
    let times = odd.times.as_mut().expect("times");
    times.times[1] = times.times[1].after(1).expect("in range");
    let error = placed(&grid, odd).expect_err("a nanosecond past a second");
    assert!(
        error
            .to_string()
            .contains("2018-09-13T20:00:00.000000001Z is no whole number of seconds since"),
        "{error}"
    );
}

#[test]
fn several_files_say_together_how_far_steps_are_apart() {
    let hour = |hour: i128| {
        let mut field =
            Field::open(data().join("../radar/2018091319.nc"), &index_axes()).expect("index axes");
        let times = field.times.as_mut().expect("times");
        times.times[0] = times.times[0]
            .after(hour * 3_600_000_000_000)
            .expect("in range");
        field
    };
    let schema = |hours: &[i128]| {
        schema_like(
            &hours.iter().map(|at| hour(*at)).collect::<Vec<_>>(),
            &Like::default(),
        )
    };
    let regular = schema(&[7, 1, 3, 1]).expect("steps of two hours");
    let axis = regular.structure().axes().next().expect("time").clone();
    let at = |cell: f64| {
        axis.time()
            .expect("time")
            .instant(axis.world(cell))
            .expect("in range")
            .to_string()
    };
    assert_eq!(
        (at(0.0).as_str(), at(1.0).as_str()),
        ("2018-09-13T20:00:00Z", "2018-09-13T22:00:00Z")
    );
    assert!(
        schema(&[0, 2, 5])
            .expect("on no steps")
            .structure()
            .irregular()
            .is_some()
    );
    let error = schema(&[0]).expect_err("a single time");
    assert!(error.to_string().contains("--time-step"), "{error}");
    hour(9).check(&regular).expect("its steps");
    let error = hour(0).check(&regular).expect_err("between two steps");
    assert!(
        error
            .to_string()
            .contains("the time 2018-09-13T19:00:00Z does not lie on the grid's steps of 2 hours"),
        "{error}"
    );
}

#[test]
fn times_that_make_no_dimension_are_refused() {
    let at = |hours: i128| {
        crate::calendar::Timestamp::from_nanoseconds(hours * 3_600_000_000_000).expect("in range")
    };
    let refused =
        |times: Vec<_>, like: Like| dimension_of(times, &like).expect_err("refused").to_string();
    assert!(refused(Vec::new(), Like::default()).contains("no times"));
    assert!(refused(vec![at(0)], Like::default()).contains("no spacing"));
    assert!(
        refused(
            vec![at(0), at(1)],
            Like {
                time_step: Some(0),
                ..Like::default()
            }
        )
        .contains("above 0")
    );
    assert!(
        !dimension_of(vec![at(0), at(1)], &Like::default())
            .expect("two steps")
            .is_irregular()
    );
}
