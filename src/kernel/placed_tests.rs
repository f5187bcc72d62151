use ndarray::{Array3, ArrayD, Axis, IxDyn};

use super::super::places::{CellPlaces, GlobeColumns};
use super::super::resample::{ResampleSource, ResamplingMethod, resample};
use super::super::taps::AxisMap;
use super::{area, part, resample_placed};
use crate::Resampling;
use crate::array::{Array, Validity};

/// Uneven cells, some of them without data.
fn source(bands: usize, rows: usize, cols: usize) -> Array {
    Array::from(
        Array3::from_shape_fn((bands, rows, cols), |(band, row, col)| {
            let mixed = (band * 7 + row * 31 + col * 17 + row * col * 5) % 29;
            if mixed % 11 == 3 {
                f64::NAN
            } else {
                mixed as f64 + row as f64 / 7.0
            }
        })
        .into_dyn(),
    )
}

fn placed(cells: &Array, places: &CellPlaces, how: Resampling, is_round: bool) -> ArrayD<f64> {
    let source = ResampleSource {
        cells,
        validity: &Validity::Values { nodata: None },
        shares: None,
    };
    let method = ResamplingMethod::Values(how);
    let (array, validity) = resample_placed(source, (places, is_round), method, f64::NAN);
    let values: Vec<f64> = validity
        .values(&array)
        .map(|value| value.unwrap_or(f64::NAN))
        .collect();
    ArrayD::from_shape_vec(IxDyn(array.shape()), values).expect("of its shape")
}

/// Places on lines: where the first target cell begins, and how long it is.
fn lines(shape: [i64; 2], start: [f64; 2], ratio: [f64; 2]) -> CellPlaces {
    CellPlaces::of(&(0..shape[0]), &(0..shape[1]), None, &|[x, y]| {
        Some([start[0] + x * ratio[0], start[1] + y * ratio[1]])
    })
}

fn assert_close(found: &ArrayD<f64>, wanted: &ArrayD<f64>, off: f64, what: &str) {
    assert_eq!(found.shape(), wanted.shape(), "{what}");
    for ((at, found), wanted) in found.indexed_iter().zip(wanted) {
        let same = found.is_nan() && wanted.is_nan() || (found - wanted).abs() <= off;
        assert!(same, "{what}: cell {at:?} is {found}, not {wanted}");
    }
}

#[test]
fn along_the_rows_of_the_source_every_method_is_that_of_a_read() {
    let cells = source(2, 19, 23);
    for (start, ratio) in [
        ([1.0, 2.0], [1.0, 1.0]),
        ([-2.3, -1.7], [0.7, 0.9]),
        ([-4.25, 3.5], [1.75, 2.5]),
        ([0.31, 0.77], [0.25, 3.1]),
        ([18.0, 15.0], [0.5, 0.5]),
    ] {
        for how in Resampling::ALL {
            let (rows, cols) = (9, 12);
            let found = placed(&cells, &lines([rows, cols], start, ratio), how, false);
            let map = |axis: usize, len: i64| AxisMap {
                start: start[axis],
                ratio: ratio[axis],
                len: usize::try_from(len).expect("small"),
            };
            let bands = AxisMap {
                start: 0.0,
                ratio: 1.0,
                len: 2,
            };
            let source = ResampleSource {
                cells: &cells,
                validity: &Validity::Values { nodata: None },
                shares: None,
            };
            let axes = [bands, map(1, rows), map(0, cols)];
            let (array, validity) =
                resample(source, &axes, ResamplingMethod::Values(how), f64::NAN);
            let values = validity
                .values(&array)
                .map(|value| value.unwrap_or(f64::NAN));
            let wanted = ArrayD::from_shape_vec(IxDyn(array.shape()), values.collect())
                .expect("of its shape");
            assert_close(
                &found,
                &wanted,
                1e-9,
                &format!("{how} at {start:?} by {ratio:?}"),
            );
        }
    }
}

/// A lattice that is turned by an angle, around the middle of a source.
fn turned(shape: [i64; 2], degrees: f64, ratio: f64, middle: [f64; 2]) -> CellPlaces {
    let (sin, cos) = degrees.to_radians().sin_cos();
    CellPlaces::of(&(0..shape[0]), &(0..shape[1]), None, &|[x, y]| {
        let (x, y) = (x - shape[1] as f64 / 2.0, y - shape[0] as f64 / 2.0);
        Some([
            middle[0] + ratio * (x * cos - y * sin),
            middle[1] + ratio * (x * sin + y * cos),
        ])
    })
}

#[test]
#[expect(clippy::cast_possible_truncation, reason = "within the source")]
fn turned_cells_have_the_parts_that_lie_in_them() {
    let cells = source(1, 15, 17);
    let Array::F64(values) = &cells else {
        panic!("doubles")
    };
    // A target cell is what a fine lattice of points in it sees.
    const FINE: usize = 200;
    for (degrees, ratio) in [(30.0, 1.0), (-12.0, 1.6), (77.0, 0.6)] {
        let (sin, cos) = f64::to_radians(degrees).sin_cos();
        let shape = [24_i64, 26];
        let places = turned(shape, degrees, ratio, [8.5, 7.5]);
        let (area, sum) = (
            placed(&cells, &places, Resampling::Area, false),
            placed(&cells, &places, Resampling::Sum, false),
        );
        let total: f64 = values.iter().filter(|value| !value.is_nan()).sum();
        let kept: f64 = sum.iter().filter(|value| !value.is_nan()).sum();
        assert!(
            (kept - total).abs() < 1e-7 * total || ratio < 1.0,
            "{kept} of {total}"
        );
        for (row, col) in [(11, 12), (9, 14), (14, 10), (12, 13)] {
            let (mut seen, mut count) = (0.0, 0.0);
            for point in 0..FINE * FINE {
                let along = |at: usize| (at as f64 + 0.5) / FINE as f64;
                let x = col as f64 + along(point % FINE) - shape[1] as f64 / 2.0;
                let y = row as f64 + along(point / FINE) - shape[0] as f64 / 2.0;
                let at = [
                    7.5 + ratio * (x * sin + y * cos),
                    8.5 + ratio * (x * cos - y * sin),
                ];
                let value = values[[0, at[0].floor() as usize, at[1].floor() as usize]];
                if !value.is_nan() {
                    (seen, count) = (seen + value, count + 1.0);
                }
            }
            let (found, wanted) = (area[[0, row, col]], seen / count);
            assert!(
                (found - wanted).abs() < 0.05,
                "{degrees}: {found}, not {wanted}"
            );
        }
    }
}

#[test]
fn a_turned_cell_is_data_where_it_overlaps_one_that_is() {
    let cells = source(1, 15, 17);
    let places = turned([30, 30], 33.0, 0.8, [8.5, 7.5]);
    let wanted = placed(&cells, &places, Resampling::Area, false).mapv(f64::is_nan);
    for how in [
        Resampling::Bilinear,
        Resampling::Cubic,
        Resampling::Max,
        Resampling::Mode,
    ] {
        let found = placed(&cells, &places, how, false).mapv(f64::is_nan);
        assert_eq!(found, wanted, "{how}");
    }
    assert!(wanted.iter().any(|blank| *blank) && !wanted.iter().all(|blank| *blank));
}

#[test]
fn equal_cells_stay_what_they_are() {
    let cells = Array::from(ArrayD::from_elem(IxDyn(&[1, 9, 9]), 0.1_f64));
    let places = turned([9, 9], 21.0, 0.9, [4.5, 4.5]);
    for how in [Resampling::Bilinear, Resampling::Cubic, Resampling::Area] {
        let found = placed(&cells, &places, how, false);
        assert!(
            found.iter().all(|value| value.is_nan() || *value == 0.1),
            "{how}"
        );
    }
}

#[test]
fn integers_of_64_bits_are_picked_bit_by_bit() {
    let large = (1_i64 << 60) + 1;
    let cells = Array::from(ArrayD::from_elem(IxDyn(&[1, 4, 4]), large));
    let places = turned([4, 4], 10.0, 0.5, [2.0, 2.0]);
    let source = ResampleSource {
        cells: &cells,
        validity: &Validity::All,
        shares: None,
    };
    for how in [
        Resampling::Nearest,
        Resampling::Min,
        Resampling::Max,
        Resampling::Mode,
    ] {
        let method = ResamplingMethod::Values(how);
        let (found, _) = resample_placed(source, (&places, false), method, 0.0);
        assert_eq!(found, cells, "{how}");
    }
}

/// Something that bends as a projection does.
fn bent([x, y]: [f64; 2]) -> [f64; 2] {
    let (x, y) = (x / 4000.0, y / 4000.0);
    [4000.0 * (x * y.cos() + 0.1 * y), 4000.0 * (y + 0.2 * x * x)]
}

#[test]
fn interpolated_places_are_within_a_ten_thousandth_of_a_cell_whatever_the_box() {
    let whole = CellPlaces::of(&(-70..150), &(-10..200), None, &|at| Some(bent(at)));
    for (number, centre) in whole.centres.iter().enumerate() {
        let at = [(number % 210) as f64 - 9.5, (number / 210) as f64 - 69.5];
        let there = bent(at);
        let off = (centre[0] - there[0]).hypot(centre[1] - there[1]);
        assert!(off < 1e-4, "{at:?} is off by {off}");
    }
    let part = CellPlaces::of(&(5..8), &(60..70), None, &|at| Some(bent(at)));
    for row in 0..3 {
        for col in 0..10 {
            let of_whole = (row + 75) * 210 + col + 70;
            assert_eq!(part.centres[row * 10 + col], whole.centres[of_whole]);
            assert_eq!(part.cell(row * 10 + col), whole.cell(of_whole));
        }
    }
}

#[test]
fn places_that_jump_are_not_interpolated() {
    let jump = |[x, y]: [f64; 2]| (x + y < 90.0).then_some([x + 0.001 * x * x, y]);
    let places = CellPlaces::of(&(0..64), &(0..128), None, &jump);
    for (number, centre) in places.centres.iter().enumerate() {
        let at = [(number % 128) as f64 + 0.5, (number / 128) as f64 + 0.5];
        match jump(at) {
            Some(there) => assert!((centre[0] - there[0]).abs() < 1e-4, "{at:?}"),
            None => assert!(centre[0].is_nan(), "{at:?}"),
        }
    }
}

/// A globe of 36 columns and 18 rows around its south pole: x and y are distances from the pole.
fn polar([x, y]: [f64; 2]) -> Option<[f64; 2]> {
    let longitude = (x - 8.0).atan2(y - 8.0).to_degrees();
    let latitude = -90.0 + 2.0 * (x - 8.0).hypot(y - 8.0);
    Some([(longitude + 180.0) / 10.0, (latitude + 90.0) / 10.0])
}

#[test]
fn cells_over_the_seam_and_the_pole_are_made_of_all_that_lies_there() {
    let turn = GlobeColumns {
        columns: 36.0,
        middle: 18.0,
    };
    // Heights that are the same all around: none may be mixed with what lies elsewhere.
    let cells =
        Array::from(Array3::from_shape_fn((1, 18, 36), |(_, row, _)| row as f64).into_dyn());
    for end in [16, 17] {
        let shift = f64::from(end - 16) / 2.0;
        let places = CellPlaces::of(
            &(0..i64::from(end)),
            &(0..i64::from(end)),
            Some(turn),
            &|[x, y]| polar([x - shift, y - shift]),
        );
        for how in Resampling::ALL {
            let found = placed(&cells, &places, how, true);
            for ((at, value), centre) in found.indexed_iter().zip(&places.centres) {
                let wanted = (centre[1] - 0.5).max(0.0);
                let near = how == Resampling::Sum || (value - wanted).abs() <= 1.01;
                assert!(
                    !value.is_nan() && near,
                    "{how}: {at:?} is {value}, not {wanted}"
                );
            }
        }
    }
}

#[test]
fn the_part_of_a_cell_is_what_is_left_when_the_rest_is_cut_off() {
    let square = [[0.5, 0.5], [2.5, 0.5], [2.5, 2.5], [0.5, 2.5]];
    assert_eq!(part(&square, [0.0, 0.0]), 0.25);
    assert_eq!(part(&square, [1.0, 1.0]), 1.0);
    assert_eq!(part(&square, [3.0, 0.0]), 0.0);
    let diamond = [[1.0, 0.0], [2.0, 1.0], [1.0, 2.0], [0.0, 1.0]];
    assert_eq!(area(&diamond), 2.0);
    assert_eq!(part(&diamond, [0.0, 0.0]), 0.5);
    let backwards = [[0.0, 1.0], [1.0, 2.0], [2.0, 1.0], [1.0, 0.0]];
    assert_eq!(part(&backwards, [1.0, 1.0]), 0.5);
}

#[test]
fn cells_at_a_cut_of_the_source_lie_on_one_side_of_it() {
    // The left half of the target is the right one of the source.
    let cells = source(1, 8, 100);
    for (cut, blank) in [(50.0_f64, None), (50.3, Some(50)), (64.0, None)] {
        for of_left in [true, false] {
            let place = move |[x, y]: [f64; 2]| {
                let is_left = x < cut || of_left && x == cut;
                Some([if is_left { x + 100.0 - cut } else { x - cut }, y])
            };
            let places = CellPlaces::of(&(0..8), &(0..100), None, &place);
            for how in Resampling::ALL {
                let found = placed(&cells, &places, how, false);
                // A cell without the cut in it is what it would be anywhere.
                let alone = |col: i64| {
                    let part = CellPlaces::of(&(0..8), &(col..col + 1), None, &|[x, y]| {
                        let left = col as f64 + 0.5 < cut;
                        Some([if left { x + 100.0 - cut } else { x - cut }, y])
                    });
                    placed(&cells, &part, how, false)
                };
                for col in 0..100 {
                    let number = usize::try_from(col).expect("a column");
                    let column = found.slice_axis(Axis(2), (number..number + 1).into());
                    let column = column.to_owned();
                    if blank == Some(col) {
                        let is_blank = column.iter().all(|value| value.is_nan());
                        assert!(is_blank || how == Resampling::Nearest, "{how}, {cut}");
                        continue;
                    }
                    assert_close(&column, &alone(col), 1e-4, &format!("{how}, {cut}: {col}"));
                }
            }
        }
    }
}
