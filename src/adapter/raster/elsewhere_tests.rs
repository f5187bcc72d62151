//! Files of other systems laid onto a grid, held against what each cell of the grid must be by
//! where its centre lies. Blocks are tiny here, so that most cells have their neighbours in others.

use ndarray::{Array2, ArrayD};

use super::resampled_tests::{import, tiff};
use super::tests;
use crate::adapter::geotiff::Affine;
use crate::adapter::raster::ResampledSource;
use crate::array::{Array, Cells};
use crate::crs::Transformation;
use crate::{Extent, Grid, Query, Resampling};

const UTM: Affine = Affine {
    x: 400_000.0,
    y: 5_000_000.0,
    dx: 30.0,
    dy: -30.0,
};

fn rough(rows: usize, cols: usize) -> Array2<f64> {
    Array2::from_shape_fn((rows, cols), |(row, col)| {
        if (4..9).contains(&row) && (11..20).contains(&col) {
            f64::NAN
        } else {
            ((row * 31 + col * 17) % 23) as f64 + row as f64 / 7.0
        }
    })
}

/// A grid of some cells in a system, without any.
fn grid(crs: &str, affine: Affine) -> Grid {
    let like = Array::from(ArrayD::from_elem(vec![4, 4], 0.0_f64));
    tests::grid(&tiff(&like, affine, crs, None))
}

fn degrees(size: f64) -> Grid {
    grid(
        "EPSG:4326",
        Affine {
            x: 7.0,
            y: 46.0,
            dx: size,
            dy: -size,
        },
    )
}

/// The value of a file at a position in its cells: that of the cell there, or mixed of four centres
/// with those that are data.
#[expect(clippy::cast_possible_truncation, reason = "within the file")]
fn at(file: &Array2<f64>, [x, y]: [f64; 2], how: Resampling) -> f64 {
    let (rows, cols) = file.dim();
    let cell = |x: f64, y: f64| {
        let inside = x >= 0.0 && y >= 0.0 && x < cols as f64 && y < rows as f64;
        if inside {
            file[[y.floor() as usize, x.floor() as usize]]
        } else {
            f64::NAN
        }
    };
    if how == Resampling::Nearest {
        return cell(x, y);
    }
    let (left, top) = ((x - 0.5).floor(), (y - 0.5).floor());
    let (mut sum, mut weight) = (0.0, 0.0);
    for (dx, dy) in [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)] {
        let value = cell(left + dx + 0.5, top + dy + 0.5);
        let part = (1.0 - (x - 0.5 - left - dx).abs()) * (1.0 - (y - 0.5 - top - dy).abs());
        if !value.is_nan() {
            (sum, weight) = (sum + value * part, weight + part);
        }
    }
    sum / weight
}

/// Every cell of a grid with the place of its centre in cells of a file.
fn centres(grid: &Grid, (crs, affine): (&str, Affine)) -> Vec<(f64, [f64; 2])> {
    let own = grid.structure().crs().expect("a system");
    let way = Transformation::between(own, crs).expect("known");
    let answer = grid.read(&Query::all()).expect("read");
    let bounds = answer.extent.bounds();
    let (rows, cols) = (answer.array.shape()[0], answer.array.shape()[1]);
    let ((y, x), mut all) = ((bounds[0], bounds[1]), Vec::new());
    for (number, value) in answer.array.iter_f64().enumerate() {
        let (row, col) = ((number / cols) as f64 + 0.5, (number % cols) as f64 + 0.5);
        let place = [
            x.0 + (x.1 - x.0) * col / cols as f64,
            y.1 + (y.0 - y.1) * row / rows as f64,
        ];
        let [e, n] = way.forward(place).expect("a place");
        all.push((
            value,
            [(e - affine.x) / affine.dx, (n - affine.y) / affine.dy],
        ));
    }
    all
}

#[test]
fn every_cell_is_what_lies_at_its_centre_wherever_blocks_end() {
    let file = rough(40, 50);
    for (name, crs, affine) in [
        ("a zone of UTM", "EPSG:32632", UTM),
        (
            "from south to north",
            "EPSG:32632",
            Affine {
                y: UTM.y - 1200.0,
                dy: 30.0,
                ..UTM
            },
        ),
        (
            "Europe",
            "EPSG:3035",
            Affine {
                x: 4_200_000.0,
                y: 2_500_000.0,
                dx: 25.0,
                dy: -25.0,
            },
        ),
        (
            "a Mercator projection",
            "EPSG:3857",
            Affine {
                x: 800_000.0,
                y: 5_600_000.0,
                dx: 40.0,
                dy: -40.0,
            },
        ),
    ] {
        for how in [Resampling::Nearest, Resampling::Bilinear] {
            let grid = degrees(1.0 / 7200.0);
            let tiff = tiff(&Array::from(file.clone().into_dyn()), affine, crs, None);
            import(&grid, tiff, how, Some(0)).expect("imported");
            let (mut data, mut nearby) = (0, 0);
            for (value, place) in centres(&grid, (crs, affine)) {
                let wanted = at(&file, place, how);
                // Within a ten-thousandth of an edge it may be either.
                let edge = |along: f64| (along - along.round()).abs() < 2e-4;
                if how == Resampling::Nearest && place.iter().copied().any(edge) {
                    nearby += 1;
                    continue;
                }
                if how == Resampling::Bilinear && wanted.is_nan() != value.is_nan() {
                    // A cell is data where it overlaps one that is, whatever its centre is near to.
                    let here = at(&file, place, Resampling::Nearest);
                    assert!(!value.is_nan() || here.is_nan(), "{name}: {place:?}");
                    continue;
                }
                let same = wanted.is_nan() && value.is_nan() || (wanted - value).abs() < 5e-3;
                assert!(same, "{name}, {how}: {value}, not {wanted}, at {place:?}");
                data += usize::from(!value.is_nan());
            }
            assert!(data > 1500 && nearby < 40, "{name}: {data} {nearby}");
        }
    }
}

#[test]
fn totals_are_kept_and_no_method_leaves_a_seam_between_blocks() {
    let file = rough(40, 50);
    let total: f64 = file.iter().filter(|value| !value.is_nan()).sum();
    let grid = degrees(1.0 / 3600.0);
    let tiff = |cells: &Array2<f64>| {
        tiff(
            &Array::from(cells.clone().into_dyn()),
            UTM,
            "EPSG:32632",
            None,
        )
    };
    import(&grid, tiff(&file), Resampling::Sum, None).expect("imported");
    let sum = |grid: &Grid| -> f64 {
        let answer = grid.read(&Query::all()).expect("read");
        answer
            .array
            .iter_f64()
            .filter(|value| !value.is_nan())
            .sum()
    };
    assert!(
        (sum(&grid) - total).abs() < 1e-7 * total,
        "{} of {total}",
        sum(&grid)
    );
    for how in Resampling::ALL
        .into_iter()
        .filter(|how| *how != Resampling::Sum)
    {
        let grid = degrees(1.0 / 3600.0);
        import(&grid, tiff(&Array2::from_elem((40, 50), 0.1)), how, None).expect("imported");
        let answer = grid.read(&Query::all()).expect("read");
        let data: Vec<f64> = answer
            .array
            .iter_f64()
            .filter(|value| !value.is_nan())
            .collect();
        assert!(
            data.len() > 1500 && data.iter().all(|value| *value == 0.1),
            "{how}"
        );
    }
}

#[test]
fn integers_keep_their_nodata_value_and_their_mask() {
    let cells = Array::from(
        Array2::from_shape_fn((20, 20), |(row, col)| {
            if (row + col) % 5 == 0 {
                -9999_i16
            } else {
                -9998 + i16::from(row % 2 == 0) * 2
            }
        })
        .into_dyn(),
    );
    let tiff = tiff(
        &cells,
        UTM,
        "EPSG:32632",
        Some(Cells::from(vec![-9999_i16])),
    );
    let like = super::resampled_tests::tiff(
        &cells,
        Affine {
            x: 7.0,
            y: 46.0,
            dx: 1.0 / 3600.0,
            dy: -1.0 / 3600.0,
        },
        "EPSG:4326",
        Some(Cells::from(vec![-9999_i16])),
    );
    let grid = tests::grid(&like);
    import(&grid, tiff, Resampling::Bilinear, None).expect("imported");
    let answer = grid.read(&Query::all()).expect("read");
    let data: Vec<f64> = answer
        .array
        .iter_f64()
        .filter(|value| *value != -9999.0)
        .collect();
    assert!(data.len() > 300 && data.iter().all(|value| (-9998.0..=-9996.0).contains(value)));
}

#[test]
fn a_globe_is_laid_around_a_pole_and_over_the_seam() {
    let world = Affine {
        x: -180.0,
        y: 90.0,
        dx: 2.0,
        dy: -2.0,
    };
    let polar = Affine {
        x: -3_000_000.0,
        y: 3_000_000.0,
        dx: 100_000.0,
        dy: -100_000.0,
    };
    let grid = grid("EPSG:3413", polar);
    // Heights are latitudes: nothing of another longitude is mixed in that is not as high.
    let part = Array2::from_shape_fn((15, 180), |(row, _)| 89.0 - 2.0 * row as f64);
    let tiff =
        super::resampled_tests::tiff(&Array::from(part.into_dyn()), world, "EPSG:4326", None);
    import(&grid, tiff, Resampling::Bilinear, Some(0)).expect("imported");
    let way = Transformation::between("EPSG:3413", "EPSG:4326").expect("known");
    let answer = grid
        .read(&Query::extent(Extent::new([(-2e6, 2e6), (-2e6, 2e6)])))
        .expect("read");
    let (rows, cols) = (answer.array.shape()[0], answer.array.shape()[1]);
    assert_eq!((rows, cols), (40, 40));
    for (number, value) in answer.array.iter_f64().enumerate() {
        let (x, y) = (
            -2e6 + 1e5 * ((number % cols) as f64 + 0.5),
            2e6 - 1e5 * ((number / cols) as f64 + 0.5),
        );
        let latitude = way.forward([x, y]).expect("a place")[1];
        assert!(
            (value - latitude.min(89.0)).abs() < 0.4,
            "{x} {y}: {value}, not {latitude}"
        );
    }
}

#[test]
fn a_file_over_the_antimeridian_lies_on_both_sides_of_it() {
    // The zone 1 of UTM begins at 180 degrees.
    let affine = Affine {
        x: 235_000.0,
        y: 5_000_000.0,
        dx: 1000.0,
        dy: -1000.0,
    };
    let file = rough(40, 60);
    let grid = grid(
        "EPSG:4326",
        Affine {
            x: -180.0,
            y: 90.0,
            dx: 0.01,
            dy: -0.01,
        },
    );
    let tiff = tiff(
        &Array::from(file.clone().into_dyn()),
        affine,
        "EPSG:32601",
        None,
    );
    import(&grid, tiff, Resampling::Nearest, None).expect("imported");
    let way = Transformation::between("EPSG:32601", "EPSG:4326").expect("known");
    let (mut west, mut east) = (0, 0);
    for ((row, col), value) in file.indexed_iter().filter(|(_, value)| !value.is_nan()) {
        let place = [
            affine.x + affine.dx * (col as f64 + 0.5),
            affine.y + affine.dy * (row as f64 + 0.5),
        ];
        let [x, y] = way.forward(place).expect("a place");
        let found = [0.0, 360.0, -360.0].into_iter().find_map(|turn| {
            let extent = Extent::new([(y - 1e-4, y + 1e-4), (x + turn - 1e-4, x + turn + 1e-4)]);
            let answer = grid.read(&Query::extent(extent)).ok()?;
            answer.array.iter_f64().find(|value| !value.is_nan())
        });
        assert_eq!(found, Some(*value), "{x} {y}");
        (west, east) = (west + usize::from(x > 0.0), east + usize::from(x < 0.0));
    }
    assert!(west > 500 && east > 500, "{west} {east}");
}

#[test]
fn what_is_not_exact_is_refused_with_the_line_that_works() {
    let grid = degrees(1.0 / 3600.0);
    let file = tiff(
        &Array::from(rough(4, 4).into_dyn()),
        UTM,
        "EPSG:26711",
        None,
    );
    let how = (Resampling::Nearest, None);
    let error = ResampledSource::new(&grid, "a file", file, None, &[], how).expect_err("refused");
    let text = error.to_string();
    // GDAL can.
    let why = "shifted by a grid (NADCON)";
    assert!(cfg!(feature = "gdal") || text.contains(why), "{text}");
    assert!(text.contains("gdalwarp -t_srs EPSG:4326"), "{text}");
}

/// The sphere of MODIS, its seam at 180 degrees.
const SINUSOIDAL: &str = r#"PROJCS["sinusoidal",GEOGCS["sphere",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Sinusoidal"],PARAMETER["longitude_of_center",0],UNIT["metre",1]]"#;

/// Values of a globe in some columns that go on over its seam, and lose half of what they are in
/// a quarter turn: nothing of elsewhere is taken for what is here.
fn going_round(col: f64, cols: f64) -> f64 {
    1000.0 * (std::f64::consts::TAU * col / cols).cos()
}

#[test]
fn the_cells_at_a_seam_of_the_file_hold_what_lies_there() {
    const ROUND: f64 = std::f64::consts::TAU * 6_378_137.0;
    // Mercator with its seam at 30 W, or at 180; and one of which only the equator goes round.
    let of = |west: f64, high: f64| Affine {
        x: west,
        y: high,
        dx: ROUND / 180.0,
        dy: -ROUND / 180.0,
    };
    for (system, rows) in [("EPSG:3832", 120), ("EPSG:3857", 120), (SINUSOIDAL, 89)] {
        let affine = of(-ROUND / 2.0, ROUND / 360.0 * rows as f64);
        let file =
            Array2::from_shape_fn((rows, 180), |(_, col)| going_round(col as f64 + 0.5, 180.0));
        let file = Array::from(file.into_dyn());
        // The seam is an edge of cells, or in the middle of one; the grid has it as its own or not.
        for (size, west) in [(1.5, -180.0), (1.5, 0.0), (1.6, 0.0)] {
            let cut = system == SINUSOIDAL && size == 1.6;
            for how in [
                Resampling::Nearest,
                Resampling::Bilinear,
                Resampling::Area,
                Resampling::Min,
            ] {
                let like = Affine {
                    x: west,
                    y: 60.0,
                    dx: size,
                    dy: -size,
                };
                let grid = grid("EPSG:4326", like);
                let tiff = tiff(&file, affine, system, None);
                import(&grid, tiff, how, Some(0)).expect("imported");
                let (mut data, mut blank) = (0, 0);
                for (value, [x, y]) in centres(&grid, (system, affine)) {
                    if y < 2.0 || y > rows as f64 - 2.0 {
                        continue;
                    }
                    let wanted = going_round(x, 180.0);
                    let off = (value - wanted).abs();
                    let at = || format!("{how} of {}, {size} from {west}", &system[..9]);
                    assert!(
                        value.is_nan() || off < 90.0,
                        "{}: {x} {y}: {value}, not {wanted}",
                        at()
                    );
                    (data, blank) = (
                        data + i32::from(!value.is_nan()),
                        blank + i32::from(value.is_nan()),
                    );
                }
                let is_whole = blank == 0 || cut && how != Resampling::Nearest && blank < 130;
                assert!(
                    is_whole && data > 15_000,
                    "{how} of {}, {size} from {west}: {data} {blank}",
                    &system[..9]
                );
            }
        }
    }
}

#[test]
fn totals_are_kept_over_the_seam_of_a_cylinder() {
    const ROUND: f64 = std::f64::consts::TAU * 6_378_137.0;
    let affine = Affine {
        x: -ROUND / 2.0,
        y: 100.0 * ROUND / 360.0,
        dx: ROUND / 360.0,
        dy: -ROUND / 360.0,
    };
    let file = Array::from(ArrayD::from_elem(vec![200, 360], 1.0));
    for size in [0.75, 0.8] {
        let like = Affine {
            x: -180.0,
            y: 60.0,
            dx: size,
            dy: -size,
        };
        let grid = grid("EPSG:4326", like);
        let tiff = tiff(&file, affine, "EPSG:3832", None);
        import(&grid, tiff, Resampling::Sum, Some(0)).expect("imported");
        let answer = grid.read(&Query::all()).expect("read");
        let total: f64 = answer
            .array
            .iter_f64()
            .filter(|value| !value.is_nan())
            .sum();
        assert!((total - 72_000.0).abs() < 1e-3, "{size}: {total}");
    }
}
