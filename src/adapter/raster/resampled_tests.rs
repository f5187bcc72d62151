//! Files of other cells laid onto a grid, held against what each cell of the grid must be, cell by
//! cell and in doubles. Blocks are tiny here, so that most cells have their neighbours in others.

use ndarray::{Array2, Array3, ArrayD};

use super::{ResampledSource, tests};
use crate::adapter::geotiff::{Affine, GeoTiff, Profile};
use crate::adapter::source::{Import, Imported};
use crate::array::{Array, Cells};
use crate::{Grid, Level, Query, Resampling, Result};

const PLACE: Affine = Affine {
    x: 1000.0,
    y: 2000.0,
    dx: 10.0,
    dy: -10.0,
};

pub(super) fn tiff(array: &Array, affine: Affine, crs: &str, nodata: Option<Cells>) -> GeoTiff {
    let profile = Profile {
        affine: Some(affine),
        crs: Some(crs.to_owned()),
        nodata,
        ..Profile::default()
    };
    tests::opened(array, &profile)
}

/// A grid of cells of 10 m, without any.
pub(super) fn grid(array: &Array) -> Grid {
    tests::grid(&tiff(array, PLACE, "EPSG:32632", None))
}

pub(super) fn import(
    grid: &Grid,
    tiff: GeoTiff,
    how: Resampling,
    level: Option<i8>,
) -> Result<Imported> {
    let level = level.map(|level| Level::new(level).expect("a level"));
    let mut import = Import::new(
        grid,
        ResampledSource::new(grid, "a file", tiff, None, &[], (how, level))?,
    )?;
    import.check(&mut |_| {})?;
    import.write(&mut |_| {})
}

/// The part of each cell of a file, whose edges are given, that a cell of the grid has.
fn shares(edges: &[f64], low: f64, high: f64) -> Vec<f64> {
    edges
        .windows(2)
        .map(|pair| (pair[0].max(pair[1]).min(high) - pair[0].min(pair[1]).max(low)).max(0.0))
        .collect()
}

/// What the cells of the grid in a window are by their definition, NaN without data: the mean of
/// what they overlap, or the cell that holds the centre.
fn wanted(
    file: &Array2<f64>,
    affine: Affine,
    level: i8,
    (start, shape): ([i64; 2], [usize; 2]),
    how: Resampling,
) -> Vec<f64> {
    let edge = |from: f64, step: f64, at: usize| from + step * at as f64;
    let (rows, cols) = file.dim();
    let ys: Vec<f64> = (0..=rows).map(|at| edge(affine.y, affine.dy, at)).collect();
    let xs: Vec<f64> = (0..=cols).map(|at| edge(affine.x, affine.dx, at)).collect();
    let size = 10.0 * f64::from(level).exp2();
    let mut cells = Vec::new();
    for row in 0..shape[0] {
        for col in 0..shape[1] {
            let top = 2000.0 - size * (start[0] + row as i64) as f64;
            let left = 1000.0 + size * (start[1] + col as i64) as f64;
            let (down, across) = match how {
                Resampling::Nearest => {
                    let centre = |at: f64| (at - 1e-9, at + 1e-9);
                    let ((a, b), (c, d)) = (centre(top - size / 2.0), centre(left + size / 2.0));
                    (shares(&ys, a, b), shares(&xs, c, d))
                }
                _ => (shares(&ys, top - size, top), shares(&xs, left, left + size)),
            };
            let mut sum = (0.0, 0.0);
            for ((y, x), value) in file.indexed_iter().filter(|(_, value)| !value.is_nan()) {
                let share = down[y] * across[x];
                sum = (sum.0 + value * share, sum.1 + share);
            }
            cells.push(sum.0 / sum.1);
        }
    }
    cells
}

fn close(got: &ArrayD<f64>, wanted: &[f64], what: &str) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (at, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        let same =
            got.is_nan() && wanted.is_nan() || (got - wanted).abs() <= 1e-6 * wanted.abs().max(1.0);
        assert!(same, "{what}: cell {at} is {got}, not {wanted}");
    }
}

fn rough(rows: usize, cols: usize) -> Array2<f64> {
    Array2::from_shape_fn((rows, cols), |(y, x)| {
        ((y * 31 + x * 17) % 23) as f64 + y as f64 / 7.0
    })
}

#[test]
fn every_cell_is_what_it_overlaps_wherever_blocks_end() {
    for (affine, level) in [
        (
            Affine {
                x: 1003.0,
                y: 1999.0,
                dx: 7.0,
                dy: -7.0,
            },
            -1,
        ),
        (
            Affine {
                x: 978.5,
                y: 2031.25,
                dx: 13.0,
                dy: -17.0,
            },
            0,
        ),
        // From south to north, and from east to west.
        (
            Affine {
                x: 1003.0,
                y: 1801.0,
                dx: 7.0,
                dy: 7.0,
            },
            -1,
        ),
        (
            Affine {
                x: 1203.25,
                y: 1999.25,
                dx: -21.0,
                dy: -21.0,
            },
            1,
        ),
    ] {
        let mut file = rough(23, 19);
        file[[5, 5]] = f64::NAN;
        file[[0, 18]] = f64::NAN;
        for how in [Resampling::Area, Resampling::Nearest] {
            let grid = grid(&Array2::<f64>::zeros((4, 4)).into());
            import(
                &grid,
                tiff(&file.clone().into(), affine, "EPSG:32632", None),
                how,
                None,
            )
            .expect("laid");
            let answer = grid.read(&Query::all()).expect("reads");
            let of_level = answer.window.levels(1)[0].get();
            assert_eq!(of_level, level, "the first that is at least as fine");
            let (start, shape) = (answer.window.start(), answer.array.shape().to_vec());
            let wanted = wanted(
                &file,
                affine,
                level,
                ([start[0], start[1]], [shape[0], shape[1]]),
                how,
            );
            close(
                &answer.array.into_typed().expect("float64"),
                &wanted,
                &format!("{how} {affine:?}"),
            );
            assert_eq!(grid.store().verify().expect("sound").findings, []);
        }
    }
}

/// A mean over cells keeps the total of what was there, at a coarser level too.
#[test]
fn the_mean_is_conserved() {
    let file = rough(40, 40);
    let affine = Affine {
        x: 1000.0,
        y: 2000.0,
        dx: 8.0,
        dy: -8.0,
    };
    for (level, cells) in [(None, 64 * 64), (Some(0), 32 * 32), (Some(2), 8 * 8)] {
        let grid = grid(&Array2::<f64>::zeros((4, 4)).into());
        import(
            &grid,
            tiff(&file.clone().into(), affine, "EPSG:32632", None),
            Resampling::Area,
            level,
        )
        .expect("laid");
        let levels = grid.base_levels().expect("reads").expect("some");
        let got = grid
            .read(&Query::all().levels(levels))
            .expect("reads")
            .array;
        let (sum, count) = got
            .iter_f64()
            .fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
        assert_eq!(count, cells);
        assert!(
            (sum / f64::from(count) - file.mean().expect("some")).abs() < 1e-9,
            "{level:?}"
        );
    }
}

#[test]
fn a_slope_stays_a_slope() {
    let affine = Affine {
        x: 1001.0,
        y: 1998.0,
        dx: 6.0,
        dy: -6.0,
    };
    let plane = |y: f64, x: f64| 3.0 * x - 2.0 * y;
    let centre = |from: f64, step: f64, at: usize| from + step * (at as f64 + 0.5);
    let file = Array2::from_shape_fn((40, 30), |(y, x)| {
        plane(
            centre(affine.y, affine.dy, y),
            centre(affine.x, affine.dx, x),
        )
    });
    for how in [Resampling::Bilinear, Resampling::Cubic] {
        let grid = grid(&Array2::<f64>::zeros((4, 4)).into());
        import(
            &grid,
            tiff(&file.clone().into(), affine, "EPSG:32632", None),
            how,
            None,
        )
        .expect("laid");
        let answer = grid.read(&Query::all()).expect("reads");
        let start = answer.window.start();
        let cells = answer.array.into_typed::<f64>().expect("float64");
        let (rows, cols) = (cells.shape()[0], cells.shape()[1]);
        for row in 4..rows - 4 {
            for col in 4..cols - 4 {
                let y = 2000.0 - 5.0 * ((start[0] + row as i64) as f64 + 0.5);
                let x = 1000.0 + 5.0 * ((start[1] + col as i64) as f64 + 0.5);
                let got = cells[[row, col]];
                assert!(
                    (got - plane(y, x)).abs() < 1e-6,
                    "{how} {row} {col}: {got} for {}",
                    plane(y, x)
                );
            }
        }
    }
}

#[test]
fn bands_holes_and_types_go_along() {
    let affine = Affine {
        x: 1002.0,
        y: 1998.0,
        dx: 5.0,
        dy: -5.0,
    };
    let file = Array3::from_shape_fn((2, 9, 9), |(band, y, x)| {
        if (y, x) == (4, 4) {
            255
        } else {
            u8::try_from(10 * band + 1).expect("small")
        }
    });
    let grid = grid(&Array3::<i16>::zeros((2, 4, 4)).into());
    assert!(grid.schema().needs_mask());
    let nodata = Some(Cells::from(vec![255_u8]));
    import(
        &grid,
        tiff(&file.into(), affine, "EPSG:32632", nodata),
        Resampling::Nearest,
        None,
    )
    .expect("laid");
    let answer = grid.read(&Query::all()).expect("reads");
    let valid = answer.valid().expect("a hole");
    let cells = answer.array.into_typed::<i16>().expect("int16");
    for ((at, cell), valid) in cells
        .indexed_iter()
        .zip(&valid)
        .filter(|(_, valid)| **valid)
    {
        assert_eq!(*cell, if at[0] == 0 { 1 } else { 11 }, "{at:?} {valid}");
    }
    let holes = valid.iter().filter(|valid| !**valid).count();
    assert_eq!(
        holes,
        2 * 20,
        "one a band, and the last row and column, whose centres are beyond the file"
    );
}

/// A grid of cells of 45 degrees, without any.
fn globe() -> Grid {
    let like = tiff(
        &Array2::<f64>::zeros((4, 8)).into(),
        Affine {
            x: -180.0,
            y: 90.0,
            dx: 45.0,
            dy: -45.0,
        },
        "EPSG:4326",
        None,
    );
    tests::grid(&like)
}

#[test]
fn longitudes_are_turned_to_where_the_grid_has_them() {
    let grid = globe();
    let west = Array2::from_shape_fn((4, 8), |(_, x)| x as f64);
    let place = Affine {
        x: -180.0,
        y: 90.0,
        dx: 45.0,
        dy: -45.0,
    };
    import(
        &grid,
        tiff(&west.into(), place, "EPSG:4326", None),
        Resampling::Area,
        None,
    )
    .expect("laid");
    // Columns of 40 degrees from Greenwich on.
    let east = Array2::from_shape_fn((4, 9), |(_, x)| 100.0 + x as f64);
    let place = Affine {
        x: 0.0,
        y: 90.0,
        dx: 40.0,
        dy: -45.0,
    };
    import(
        &grid,
        tiff(&east.clone().into(), place, "EPSG:4326", None),
        Resampling::Area,
        Some(0),
    )
    .expect("laid");
    let answer = grid.read(&Query::all()).expect("reads");
    assert_eq!(
        (answer.window.start()[1], answer.array.shape()),
        (0, &[4, 8][..]),
        "once round"
    );
    let cells = answer.array.into_typed::<f64>().expect("float64");
    let at = |west: f64| -> f64 {
        (0..9)
            .map(|x| 40.0 * f64::from(x))
            .map(|left| {
                ((left + 40.0).min(west + 45.0) - left.max(west)).max(0.0) * (100.0 + left / 40.0)
            })
            .sum::<f64>()
            / 45.0
    };
    for x in 0..8_u8 {
        let west = (f64::from(x) * 45.0 + 180.0).rem_euclid(360.0);
        assert!(
            (cells[[0, usize::from(x)]] - at(west)).abs() < 1e-9,
            "{x}: {} for {}",
            cells[[0, usize::from(x)]],
            at(west)
        );
    }
    // Both ends lie in the cell from 0 on, which has parts of both.
    let place = Affine {
        x: 10.0,
        y: 90.0,
        dx: 40.0,
        dy: -45.0,
    };
    let refused = import(
        &grid,
        tiff(&east.into(), place, "EPSG:4326", None),
        Resampling::Sum,
        Some(0),
    )
    .expect_err("a part is lost");
    assert!(
        refused
            .to_string()
            .contains("one cell of the grid, which begins at 0, and"),
        "{refused}"
    );
    assert!(
        refused
            .to_string()
            .contains("gridstone create STORE TOTALS --like FILE"),
        "{refused}"
    );
}

/// The cell from Greenwich on holds both ends of a file that goes once round, and its centre is in
/// one of them.
#[test]
fn a_cell_that_both_ends_touch_is_made_of_the_larger() {
    let file = Array2::from_shape_fn((4, 9), |(_, x)| 100.0 + x as f64);
    let methods = [
        Resampling::Nearest,
        Resampling::Area,
        Resampling::Min,
        Resampling::Max,
        Resampling::Mode,
    ];
    for (x, wanted, first) in [(10.0, 100.0, 4), (30.0, 108.0, 5)] {
        for how in methods {
            let grid = globe();
            let place = Affine {
                x,
                y: 90.0,
                dx: 40.0,
                dy: -45.0,
            };
            let tiff = tiff(&file.clone().into(), place, "EPSG:4326", None);
            let source =
                ResampledSource::new(&grid, "a file", tiff, None, &[], (how, Some(Level::ZERO)))
                    .expect("laid");
            let mut import = Import::new(&grid, source).expect("fits");
            let notes = import.notes();
            assert!(
                notes.iter().any(|note| note
                    .contains("both its ends lie in the cell of the grid that begins at 0")),
                "{notes:?}"
            );
            import.write(&mut |_| {}).expect("written");
            let answer = grid.read(&Query::all()).expect("reads");
            assert_eq!(
                (answer.window.start()[1], answer.array.shape()),
                (first, &[4, 8][..]),
                "{how}: once round"
            );
            let cells = answer.array.into_typed::<f64>().expect("float64");
            let column = if first == 4 { 0 } else { 7 };
            assert!(
                (cells[[0, column]] - wanted).abs() < 1e-9,
                "{how} from {x}: {cells}"
            );
            assert!(
                cells.iter().all(|cell| !cell.is_nan()),
                "{how} from {x}: {cells}"
            );
        }
    }
}

#[test]
fn a_system_that_needs_a_grid_of_shifts_is_refused() {
    let grid = grid(&Array2::<f64>::zeros((4, 4)).into());
    let other = tiff(
        &rough(5, 5).into(),
        Affine { dx: 7.0, ..PLACE },
        "EPSG:26711",
        None,
    );
    let error = import(&grid, other, Resampling::Area, None)
        .expect_err("NAD27")
        .to_string();
    assert!(
        error.contains("EPSG:26711") && error.contains("gdalwarp"),
        "{error}"
    );
    assert_eq!(grid.bounds().expect("reads"), None, "nothing was put");
}
