//! Times of files (`tests/data/cf`) that are there twice, or mean several things.

use super::*;
use crate::{Query, Store};

/// Several runs of a forecast whose times are those of their beginnings do not lie over each other.
#[test]
fn runs_of_a_forecast_are_kept_apart_by_the_time_that_is_asked_for() {
    let choice = Choice {
        time: Some("time".to_owned()),
        ..Choice::default()
    };
    let run = || Field::new(file("step-valid-time"), &choice).expect("it");
    let like = Like {
        time_step: Some(43_200_000_000_000),
        ..Like::default()
    };
    let store = Store::in_memory().expect("memory");
    let grid = store
        .create("runs", schema_like(&[run()], &like).expect("a schema"))
        .expect("a grid");
    assert_eq!(
        grid.structure().dimensions()[1].labels(),
        Some(&["0", "6", "12"].map(str::to_owned)[..])
    );
    let mut later = run();
    let times = later.times.as_mut().expect("a time");
    times.times[0] = times.times[0].after(43_200_000_000_000).expect("in range");
    for field in [run(), later] {
        let mut import = placed(&grid, field).expect("fits");
        import.check(&mut |_| {}).expect("whole");
        write(&mut [&mut import], &mut |_| {}).expect("written");
    }
    assert_eq!(
        grid.read(&Query::all()).expect("reads").array.shape(),
        [2, 3, 3, 4]
    );
    // What the grid was made with is what its files are read with.
    let again = Choice::of(grid.schema());
    assert_eq!(
        (again.time.as_deref(), again.known.as_deref()),
        (Some("time"), Some("v"))
    );
}

#[test]
fn a_time_that_is_there_twice_is_replaced_or_kept_along_events() {
    use crate::Overlap;
    let store = Store::in_memory().expect("memory");
    let field = || Field::new(file("twice"), &Choice::default()).expect("it");
    let like = Like {
        irregular: Some(true),
        ..Like::default()
    };
    let raw: Vec<f64> = file("twice")
        .read("v", &[0, 0, 0], &[4, 3, 4])
        .expect("reads")
        .iter_f64()
        .collect();
    for (overlap, kept) in [
        (Overlap::Replace, [0, 2, 3]),
        (Overlap::Keep, [0, 1, 3]),
        (Overlap::Merge, [0, 2, 3]),
    ] {
        let name = format!("{overlap:?}").to_lowercase();
        let grid = store
            .create(&name, schema_like(&[field()], &like).expect("a schema"))
            .expect("a grid");
        let mut import = placed(&grid, field()).expect("fits").over(overlap);
        import.check(&mut |_| {}).expect("whole");
        assert!(
            import
                .notes()
                .iter()
                .any(|note| note.contains("2020-01-01T01:00:00Z twice")),
            "{:?}",
            import.notes()
        );
        write(&mut [&mut import], &mut |_| {}).expect("written");
        let got: Vec<f64> = grid
            .read(&Query::all())
            .expect("reads")
            .array
            .iter_f64()
            .collect();
        let wanted: Vec<f64> = kept
            .iter()
            .flat_map(|step: &usize| raw[step * 12..(step + 1) * 12].to_vec())
            .collect();
        assert_eq!(got, wanted, "{overlap:?}");
    }
    let grid = store
        .create("refused", schema_like(&[field()], &like).expect("a schema"))
        .expect("a grid");
    let error = placed(&grid, field())
        .expect("fits")
        .over(Overlap::Refuse)
        .check(&mut |_| {})
        .expect_err("twice");
    assert!(
        error.to_string().contains("2020-01-01T01:00:00Z twice")
            && error.to_string().contains("--overlap keep"),
        "{error}"
    );
}
