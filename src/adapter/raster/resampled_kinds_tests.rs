//! Means, extremes, classes and totals of files of other cells: held against GDAL's, and against
//! what must be kept.

use ndarray::{Array2, ArrayD};
use serde_json::Value;

use super::resampled_tests::{grid, import, tiff};
use super::{Like, schema_like};
use crate::adapter::geotiff::Affine;
use crate::array::{Array, Cells, DType};
use crate::{Grid, Level, Levels, Query, Resampling, Store, Window};

fn numbers(value: &Value) -> Vec<f64> {
    let flat = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let of = |value: &Value| {
        value
            .as_array()
            .map_or_else(|| vec![flat(value)], |row| row.iter().map(flat).collect())
    };
    value
        .as_array()
        .expect("a list")
        .iter()
        .flat_map(of)
        .collect()
}

fn square(value: &Value) -> Array2<f64> {
    let rows = value.as_array().expect("rows").len();
    let cells = numbers(value);
    Array2::from_shape_vec((rows, cells.len() / rows), cells).expect("rows of one length")
}

/// tests/data/resampling/warp.py made them.
#[test]
fn cells_are_those_of_gdals_warper() {
    let golden: Value =
        serde_json::from_str(include_str!("../../../tests/data/resampling/warp.json"))
            .expect("JSON");
    for case in golden["cases"].as_array().expect("cases") {
        let method = case["method"].as_str().expect("a name");
        let how: Resampling = if method == "average" {
            Resampling::Area
        } else {
            method.parse().expect("one of ours")
        };
        let file = square(
            &golden[if method == "mode" {
                "classes"
            } else {
                "source"
            }],
        );
        let (cell, start) = (numbers(&case["cell"]), numbers(&case["start"]));
        let affine = Affine {
            x: start[1],
            y: start[0],
            dx: cell[1],
            dy: cell[0],
        };
        let level = i8::try_from(case["level"].as_i64().expect("a level")).expect("small");
        let grid = grid(&Array2::<f64>::zeros((4, 4)).into());
        import(
            &grid,
            tiff(&file.into(), affine, "EPSG:32632", None),
            how,
            Some(level),
        )
        .expect("laid");
        let first: Vec<i64> = case["first"]
            .as_array()
            .expect("two")
            .iter()
            .filter_map(Value::as_i64)
            .collect();
        let shape: Vec<u64> = case["shape"]
            .as_array()
            .expect("two")
            .iter()
            .filter_map(Value::as_u64)
            .collect();
        let levels: Levels = [Level::new(level).expect("a level")].into_iter().collect();
        let window = Window::new([first[0], first[1]], [shape[0], shape[1]]).at(levels);
        let answer = grid.read(&Query::window(window)).expect("reads");
        for (at, (found, wanted)) in answer.values().zip(numbers(&case["cells"])).enumerate() {
            let near = found.map_or(wanted.is_nan(), |found| (found - wanted).abs() < 1e-8);
            assert!(
                near,
                "{method} of {affine:?} at level {level}: cell {at} is {found:?}, GDAL's {wanted}"
            );
        }
    }
}

fn holed(rows: usize, cols: usize) -> Array2<f64> {
    let value = |(y, x): (usize, usize)| {
        if (y * 5 + x * 3) % 7 == 0 {
            f64::NAN
        } else {
            ((y * 31 + x * 17) % 23) as f64 - 5.5
        }
    };
    Array2::from_shape_fn((rows, cols), value)
}

fn total(grid: &Grid) -> f64 {
    grid.read(&Query::all())
        .expect("reads")
        .values()
        .flatten()
        .sum()
}

/// Rational cells and offsets, of which no double is exact, one beside the grid's edges by less
/// than anything.
#[test]
fn totals_are_kept_whatever_the_cells_and_their_place() {
    let file = holed(31, 17);
    let wanted: f64 = file.iter().filter(|value| !value.is_nan()).sum();
    for (cell, offset) in [
        (10.0 / 3.0, 1.0 / 7.0),
        (7.0, -3.0),
        (17.0 / 3.0, 0.1),
        (101.0, 1.0 / 3.0),
        (5.0, 2.5),
        (10.0 / 3.0, 4e-6),
        (70.0, -7e-7),
    ] {
        for (dx, dy) in [(cell, -cell), (cell, 1.5 * cell), (-cell, -cell)] {
            let levels = [None, Some(2), Some(-1)];
            for level in levels.into_iter().take(if cell > 50.0 { 2 } else { 3 }) {
                let grid = grid(&Array2::<f64>::zeros((4, 4)).into());
                let affine = Affine {
                    x: 1000.0 + offset,
                    y: 2000.0 - offset,
                    dx,
                    dy,
                };
                import(
                    &grid,
                    tiff(&file.clone().into(), affine, "EPSG:32632", None),
                    Resampling::Sum,
                    level,
                )
                .expect("laid");
                let found = total(&grid);
                assert!(
                    (found - wanted).abs() < 1e-7,
                    "{affine:?} at {level:?}: {found} for {wanted}"
                );
            }
        }
    }
}

/// Integers become sums in a grid of floats; holes of any kind take no part; a sum that is the
/// nodata value stays data.
#[test]
fn totals_of_integers_lie_in_a_grid_of_floats() {
    let affine = Affine {
        x: 1002.0,
        y: 1998.0,
        dx: 3.0,
        dy: -3.0,
    };
    let file = Array2::from_shape_fn(
        (20, 20),
        |(y, x)| if (y + x) % 6 == 0 { 255_u8 } else { 200 },
    );
    let held = file.iter().filter(|cell| **cell != 255).count();
    for dtype in [DType::F32, DType::F64] {
        for nodata in [None, Some(0.0)] {
            let source = || {
                tiff(
                    &file.clone().into(),
                    affine,
                    "EPSG:32632",
                    Some(Cells::from(vec![255_u8])),
                )
            };
            let like = Like {
                chunk: 4,
                dtype: Some(dtype),
                nodata: nodata.or(Some(-1.0)),
                ..Like::default()
            };
            let schema = schema_like(source().header(), &like).expect("a schema");
            assert_eq!(schema.dtype(), dtype);
            let grid = Store::in_memory()
                .expect("a store")
                .create("g", schema)
                .expect("a grid");
            import(&grid, source(), Resampling::Sum, Some(2)).expect("laid");
            let found = total(&grid);
            assert!(
                (found - 200.0 * held as f64).abs() < 1e-2,
                "{dtype} {nodata:?}: {found}"
            );
        }
    }
    // Cells of one sign and of the other in each cell of the grid, whose total is its nodata value.
    let file = Array2::from_shape_fn((8, 8), |(_, x)| if x % 2 == 0 { 4.0_f32 } else { -4.0 });
    let affine = Affine {
        x: 1000.0,
        y: 2000.0,
        dx: 5.0,
        dy: -5.0,
    };
    let source = tiff(
        &file.into(),
        affine,
        "EPSG:32632",
        Some(Cells::from(vec![-99.0_f32])),
    );
    let like = Like {
        chunk: 4,
        nodata: Some(0.0),
        ..Like::default()
    };
    let place = tiff(
        &Array2::<f32>::zeros((4, 4)).into(),
        Affine {
            dx: 10.0,
            dy: -10.0,
            ..affine
        },
        "EPSG:32632",
        None,
    );
    let schema = schema_like(place.header(), &like).expect("a schema");
    let grid = Store::in_memory()
        .expect("a store")
        .create("g", schema)
        .expect("a grid");
    import(&grid, source, Resampling::Sum, Some(0)).expect("laid");
    let answer = grid.read(&Query::all()).expect("reads");
    assert_eq!(
        answer
            .values()
            .flatten()
            .filter(|value| value.abs() < 1e-30)
            .count(),
        16,
        "{:?}",
        answer.array
    );
}

#[test]
fn parts_are_refused_in_a_grid_of_integers() {
    for array in [
        Array::from(Array2::<i16>::zeros((4, 4))),
        Array2::<u64>::zeros((4, 4)).into(),
    ] {
        let dtype = array.dtype();
        let grid = grid(&array);
        let affine = Affine {
            x: 1002.0,
            y: 1998.0,
            dx: 3.0,
            dy: -3.0,
        };
        let error = import(
            &grid,
            tiff(&array, affine, "EPSG:32632", None),
            Resampling::Sum,
            None,
        )
        .expect_err("parts")
        .to_string();
        assert!(
            error.contains(&dtype.to_string()) && error.contains("--dtype float64"),
            "{error}"
        );
        assert_eq!(grid.bounds().expect("reads"), None, "nothing was put");
    }
}

/// The least, the greatest and the most frequent are cells of the file, of whatever type, bit for
/// bit.
#[test]
fn picked_cells_are_cells_of_the_file() {
    let high = 1_u64 << 60;
    let file = Array2::from_shape_fn((12, 12), |(y, x)| high + ((y * 7 + x * 5) % 4) as u64);
    let affine = Affine {
        x: 1000.0,
        y: 2000.0,
        dx: 5.0,
        dy: -5.0,
    };
    for (how, pick) in [
        (Resampling::Min, 0),
        (Resampling::Max, 1),
        (Resampling::Mode, 2),
    ] {
        let grid = grid(&Array2::<u64>::zeros((4, 4)).into());
        import(
            &grid,
            tiff(&file.clone().into(), affine, "EPSG:32632", None),
            how,
            Some(0),
        )
        .expect("laid");
        let got: ArrayD<u64> = grid
            .read(&Query::all())
            .expect("reads")
            .array
            .into_typed()
            .expect("uint64");
        assert_eq!(got.shape(), [6, 6]);
        for (at, got) in got.indexed_iter() {
            let mut four: Vec<u64> = (0..4)
                .map(|part| file[[2 * at[0] + part / 2, 2 * at[1] + part % 2]])
                .collect();
            four.sort_unstable();
            // The lowest of those that are as frequent as any.
            let times = |cell: &u64| four.iter().filter(|other| *other == cell).count();
            let frequent = four.iter().copied().rev().max_by_key(times).expect("four");
            assert_eq!(
                *got,
                [four[0], four[3], frequent][pick],
                "{how} at {at:?} of {four:?}"
            );
        }
    }
}
