//! Variables into grids.

use super::*;
use crate::{Grid, Query, Store};

fn grid(store: &Store, name: &str, field: &Field, like: &Like) -> Grid {
    store.create(name, schema_like(field, like).expect("a schema")).expect("a new grid")
}

fn import(grid: &Grid, field: Field) -> Result<Imported, Error> {
    let mut import = Import::new(grid, field)?;
    import.check(&mut |_| {})?;
    write(&mut [&mut import], &mut |_| {})
}

#[test]
fn a_grid_holds_the_values_that_were_meant() {
    let expected = expected();
    for (name, wanted) in expected["fields"].as_object().expect("fields") {
        let variable = wanted["variable"].as_str().expect("a name");
        let store = Store::in_memory().expect("memory");
        let grid = grid(&store, "g", &field(name, variable).expect(name), &Like::default());
        import(&grid, field(name, variable).expect(name)).expect(name);
        let answer = grid.read(&Query::all()).expect("reads");
        assert_eq!(answer.array.dtype().name(), wanted["dtype"], "{name}");
        assert_eq!(listed(&answer.array), *wanted["values"].as_array().expect("values"), "{name}");
        assert!(answer.window.start().iter().all(|start| *start == 0), "cell 0 is the file's first");
        assert_eq!(store.verify().expect("sound").findings, []);
    }
}

#[test]
fn rows_and_columns_that_run_against_the_grids_are_turned() {
    let store = Store::in_memory().expect("memory");
    let grid = grid(&store, "g", &field("cdf2-packed", "dbz").expect("it"), &Like::default());
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
    // Cells without data leave what was there alone, so only cells with data on both sides are compared.
    for (step, chunk) in again.chunks(24).enumerate() {
        for (cell, value) in chunk.iter().enumerate() {
            let opposite = &once[step * 24 + 23 - cell];
            assert!(value == opposite || opposite.is_null(), "cell {cell} of step {step}: {value} for {opposite}");
        }
    }
}

#[test]
fn what_does_not_lie_on_the_grid_is_refused() {
    let store = Store::in_memory().expect("memory");
    let record = || field("cdf1-record", "rain").expect("it");
    let grid = grid(&store, "g", &record(), &Like::default());
    let error = |change: &dyn Fn(&mut Field)| {
        let mut field = record();
        change(&mut field);
        let error = Import::new(&grid, field).expect_err("refused");
        assert_eq!(*error.kind(), crate::ErrorKind::Invalid);
        story(&error)
    };
    let half_past = error(&|field| {
        let times = field.times.as_mut().expect("times");
        times.starts[2] = times.starts[2].after(1_800_000_000_000).expect("in range");
    });
    assert!(half_past.contains("the time 2018-09-13T21:30:00Z does not lie on the grid's steps of 1 hours"), "{half_past}");
    assert!(half_past.contains("irregular time is not supported yet"), "{half_past}");
    let shifted = error(&|field| field.x.origin += 0.5);
    assert!(shifted.contains("0.0500 of a cell off the grid's along `x`"), "{shifted}");
    let coarse = error(&|field| field.y.step = -1.1);
    assert!(coarse.contains("its cells are of 1.1, the grid's of 1 along `y`"), "{coarse}");
    let timeless = error(&|field| field.times = None);
    assert!(timeless.contains("does not say where it lies along axis `time`"), "{timeless}");
    let index = error(&|field| field.y = super::super::space::Cells::index(3));
    assert!(index.contains("the file has no coordinates along `y`, and the grid some"), "{index}");
    let nan = error(&|field| field.y.origin = f64::NAN);
    assert!(nan.contains("off the grid's along `y`"), "{nan}");
}

#[test]
fn steps_come_in_any_order_with_gaps_and_before_the_origin() {
    let store = Store::in_memory().expect("memory");
    let whole = || field("cdf1-record", "rain").expect("it");
    let grid = grid(&store, "g", &whole(), &Like { time_chunk: 2, ..Like::default() });
    let mut scattered = whole();
    let times = scattered.times.as_mut().expect("times");
    let first = times.starts[0];
    times.starts = [7, -9, -8, 3].map(|hour| first.after(hour * 3_600_000_000_000).expect("in range")).to_vec();
    let wanted = listed(&grid_values(&whole()));
    import(&grid, scattered).expect("imports");
    let answer = grid.read(&Query::all()).expect("reads");
    assert_eq!((answer.window.start()[0], answer.window.shape()[0]), (-9, 17));
    let got = listed(&answer.array);
    for (step, cell) in [7_i64, -9, -8, 3].into_iter().enumerate() {
        let at = usize::try_from(cell + 9).expect("within") * 15;
        assert_eq!(got[at..at + 15], wanted[step * 15..step * 15 + 15], "hour {cell}");
    }
    assert_eq!(got.iter().filter(|value| !value.is_null()).count(), wanted.iter().filter(|value| !value.is_null()).count());
}

/// The values of a field, by a grid of its own.
fn grid_values(like: &Field) -> Array {
    let store = Store::in_memory().expect("memory");
    let grid = grid(&store, "own", like, &Like::default());
    import(&grid, field("cdf1-record", "rain").expect("it")).expect("imports");
    grid.read(&Query::all()).expect("reads").array
}

#[test]
fn integers_without_a_nodata_value_are_kept_whole() {
    let store = Store::in_memory().expect("memory");
    for code in ["u1", "i8", "u8"] {
        let grid = grid(&store, code, &field("cdf5-types", code).expect(code), &Like::default());
        assert_eq!(grid.schema().nodata(), None, "{code}");
        import(&grid, field("cdf5-types", code).expect(code)).expect(code);
        let wanted = &expected()["raw"]["cdf5-types"][code]["values"];
        assert_eq!(listed(&grid.read(&Query::all()).expect("reads").array), *wanted.as_array().expect("values"), "{code}");
    }
}

#[test]
fn a_valid_value_that_is_the_grids_nodata_is_told() {
    let store = Store::in_memory().expect("memory");
    let like = Like { nodata: Some(2.0), ..Like::default() };
    let bytes = || field("cdf5-types", "u1").expect("it");
    let grid_of_bytes = grid(&store, "bytes", &bytes(), &like);
    let checked = Import::new(&grid_of_bytes, bytes()).expect("fits").check(&mut |_| {}).expect("undeclared");
    assert_eq!(checked.nodata_cells, 1);
    // This file declares others, so that a cell of this value is valid.
    let packed = || field("cdf2-packed", "dbz").expect("it");
    let plain = grid(&store, "plain", &packed(), &Like::default());
    import(&plain, packed()).expect("imports");
    let taken = plain.read(&Query::all()).expect("reads").array.iter_f64().find(|value| !value.is_nan()).expect("a value");
    let like = Like { nodata: Some(taken), ..Like::default() };
    let of_packed = grid(&store, "packed", &packed(), &like);
    let error = Import::new(&of_packed, packed()).expect("fits").check(&mut |_| {}).expect_err("declared");
    assert!(error.to_string().contains(&format!("have the grid's nodata value {taken}")), "{error}");
}

#[test]
fn parts_end_at_chunk_borders_and_cover_all_once() {
    for (first, len, chunk) in [(0, 10, 4), (-3, 10, 4), (5, 1, 16), (-16, 32, 16), (7, 100, 1)] {
        let cut: Vec<_> = super::super::import::pieces(first, len, chunk).collect();
        assert_eq!((cut[0].start, cut[cut.len() - 1].end), (0, len));
        assert!(cut.windows(2).all(|pair| pair[0].end == pair[1].start && pair[0].end > pair[0].start));
        let inner = &cut[..cut.len() - 1];
        let border = |end: u64| (first + i64::try_from(end).expect("small")).rem_euclid(i64::try_from(chunk).expect("small"));
        assert!(inner.iter().all(|range| border(range.end) == 0), "{cut:?}");
    }
}
