//! Tests of resampling against a plain oracle, cell by cell in float64.

use ndarray::{ArrayD, IxDyn};
use proptest::prelude::*;

use super::*;

fn cells(shape: &[usize], values: &[f64]) -> Array {
    ArrayD::from_shape_vec(IxDyn(shape), values.to_vec())
        .expect("one value a cell")
        .into()
}

fn map(start: f64, ratio: f64, len: usize) -> AxisMap {
    AxisMap { start, ratio, len }
}

fn doubles(of: &(Array, Validity)) -> Vec<Option<f64>> {
    of.1.values(&of.0).collect()
}

const NAN: Validity = Validity::Values { nodata: None };

/// The part of a source cell in a target cell, along one axis.
fn overlap(map: &AxisMap, i: usize, j: usize) -> f64 {
    let (low, high) = (
        map.start + i as f64 * map.ratio,
        map.start + (i + 1) as f64 * map.ratio,
    );
    (high.min(j as f64 + 1.0) - low.max(j as f64)).max(0.0)
}

fn kernel(resampling: Resampling, map: &AxisMap, i: usize, j: usize) -> f64 {
    let centre = map.start + (i as f64 + 0.5) * map.ratio;
    let x = ((j as f64 + 0.5 - centre) / map.ratio.max(1.0)).abs();
    match resampling {
        Resampling::Area | Resampling::Sum => overlap(map, i, j),
        Resampling::Bilinear => (1.0 - x).max(0.0),
        Resampling::Cubic if x < 1.0 => 1.5 * x.powi(3) - 2.5 * x.powi(2) + 1.0,
        Resampling::Cubic if x < 2.0 => -0.5 * x.powi(3) + 2.5 * x.powi(2) - 4.0 * x + 2.0,
        _ => 0.0,
    }
}

/// Value and share of each cell of a source of two axes; NaN is no data.
#[derive(Debug)]
struct Plain {
    shape: [usize; 2],
    values: Vec<f64>,
    shares: Vec<f64>,
}

impl Plain {
    /// The sums of weight times value, weights, and overlaps of a target cell.
    fn sums(
        &self,
        resampling: Resampling,
        maps: [&AxisMap; 2],
        [ty, tx]: [usize; 2],
    ) -> (f64, f64, f64) {
        let mut sums = (0.0, 0.0, 0.0);
        for y in 0..self.shape[0] {
            for x in 0..self.shape[1] {
                let at = y * self.shape[1] + x;
                if self.values[at].is_nan() || self.shares[at] == 0.0 {
                    continue;
                }
                let weight = kernel(resampling, maps[0], ty, y)
                    * kernel(resampling, maps[1], tx, x)
                    * self.shares[at];
                sums.0 += weight * self.values[at];
                sums.1 += weight;
                sums.2 += overlap(maps[0], ty, y) * overlap(maps[1], tx, x);
            }
        }
        sums
    }

    /// The values of the cells that a target cell overlaps, and the valid parts of them that it
    /// has.
    fn touched(
        &self,
        maps: [&AxisMap; 2],
        [ty, tx]: [usize; 2],
    ) -> impl Iterator<Item = (f64, f64)> {
        let part = |at: usize| {
            overlap(maps[0], ty, at / self.shape[1]) * overlap(maps[1], tx, at % self.shape[1])
        };
        let cells = (0..self.values.len()).map(|at| (self.values[at], part(at) * self.shares[at]));
        cells
            .filter(|(value, part)| !value.is_nan() && *part > 1e-12)
            .collect::<Vec<_>>()
            .into_iter()
    }

    fn value(&self, method: ResamplingMethod, maps: [&AxisMap; 2], at: [usize; 2]) -> Option<f64> {
        let resampling = method.resampling();
        let (sum, weight, overlap) = self.sums(resampling, maps, at);
        // A cubic kernel adds up to one but for rounding where a target cell is no larger than a
        // source cell.
        let whole = |map: &AxisMap, i: usize| {
            (-400..400_i32)
                .map(|j| shifted(resampling, map, i, j))
                .sum::<f64>()
        };
        match method {
            _ if overlap < 1e-9 => None,
            ResamplingMethod::Parts | ResamplingMethod::Values(Resampling::Sum) => Some(sum),
            ResamplingMethod::Values(Resampling::Min) => self
                .touched(maps, at)
                .map(|(value, _)| value)
                .reduce(f64::min),
            ResamplingMethod::Values(Resampling::Max) => self
                .touched(maps, at)
                .map(|(value, _)| value)
                .reduce(f64::max),
            // No two cells are of one class here.
            ResamplingMethod::Values(Resampling::Mode) => self
                .touched(maps, at)
                .reduce(|a, b| {
                    if b.1 > a.1 + 1e-9 || b.1 > a.1 - 1e-9 && b.0 < a.0 {
                        b
                    } else {
                        a
                    }
                })
                .map(|(value, _)| value),
            ResamplingMethod::Values(Resampling::Cubic)
                if weight / (whole(maps[0], at[0]) * whole(maps[1], at[1])) < 0.2 =>
            {
                self.value(ResamplingMethod::Values(Resampling::Bilinear), maps, at)
            }
            ResamplingMethod::Values(_) => Some(sum / weight),
        }
    }
}

fn shifted(resampling: Resampling, map: &AxisMap, i: usize, j: i32) -> f64 {
    let far = AxisMap {
        start: map.start + 400.0,
        ..*map
    };
    kernel(
        resampling,
        &far,
        i,
        usize::try_from(j + 400).expect("no less than 0"),
    )
}

fn plain() -> impl Strategy<Value = (Plain, bool)> {
    ((1..9_usize, 1..9_usize), any::<bool>()).prop_flat_map(|((height, width), shared)| {
        let cell = prop_oneof![4 => -50.0..50.0_f64, 1 => Just(f64::NAN)];
        let share = if shared {
            prop_oneof![Just(0.0), Just(1.0), Just(0.25), 0.01..1.0_f64].boxed()
        } else {
            Just(1.0).boxed()
        };
        let cells = (
            prop::collection::vec(cell, height * width),
            prop::collection::vec(share, height * width),
        );
        cells.prop_map(move |(values, shares)| {
            (
                Plain {
                    shape: [height, width],
                    values,
                    shares,
                },
                shared,
            )
        })
    })
}

fn axis() -> impl Strategy<Value = AxisMap> {
    let ratio = prop_oneof![
        Just(1.0),
        Just(2.0),
        Just(0.5),
        Just(0.25),
        Just(3.0),
        0.1..4.0_f64
    ];
    (
        prop_oneof![Just(0.0), Just(-1.0), Just(0.5), -4.0..6.0_f64],
        ratio,
        1..7_usize,
    )
        .prop_map(|(start, ratio, len)| map(start, ratio, len))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn every_method_agrees_with_the_oracle((plain, shared) in plain(), y in axis(), x in axis()) {
        let source = cells(&plain.shape, &plain.values);
        let shares = ArrayD::from_shape_vec(IxDyn(&plain.shape), plain.shares.clone()).expect("one a cell");
        for method in Resampling::ALL[1..].iter().map(|how| ResamplingMethod::Values(*how)).chain([ResamplingMethod::Parts]) {
            let source = ResampleSource { cells: &source, validity: &NAN, shares: shared.then_some(&shares) };
            let found = resample(source, &[y, x], method, f64::NAN);
            // At the end of its reach a kernel weighs next to nothing, which is taken for nothing.
            let kernel = [Resampling::Bilinear, Resampling::Cubic].contains(&method.resampling());
            let tolerance = if kernel { 1e-4 } else { 1e-9 };
            let expected = (0..y.len).flat_map(|ty| (0..x.len).map(move |tx| [ty, tx])).map(|at| plain.value(method, [&y, &x], at));
            for (number, (found, expected)) in doubles(&found).into_iter().zip(expected).enumerate() {
                let near = match (found, expected) {
                    (Some(found), Some(expected)) => (found - expected).abs() <= tolerance * (1.0 + expected.abs()),
                    (None, None) => true,
                    _ => false,
                };
                // At the very edge of the trust in a cubic kernel rounding decides.
                prop_assert!(near, "{method:?} cell {number}: {found:?} for {expected:?}");
            }
        }
    }

    #[test]
    fn parts_keep_the_total(values in prop::collection::vec(0.0..9.0_f64, 24), y in 1..13_usize, x in 1..13_usize) {
        let source = cells(&[4, 6], &values);
        let source = ResampleSource { cells: &source, validity: &NAN, shares: None };
        let (array, _) = resample(source, &[map(0.0, 4.0 / y as f64, y), map(0.0, 6.0 / x as f64, x)], ResamplingMethod::Parts, f64::NAN);
        let (total, found) = (values.iter().sum::<f64>(), array.iter_f64().sum::<f64>());
        prop_assert!((total - found).abs() < 1e-9, "{total} became {found}");
    }

    #[test]
    fn equal_cells_stay_what_they_are(value in -1e9..1e9_f64, holes in prop::collection::vec(any::<bool>(), 16), y in axis(), x in axis()) {
        let values: Vec<f64> = holes.iter().map(|hole| if *hole { f64::NAN } else { value }).collect();
        let source = cells(&[4, 4], &values);
        for resampling in Resampling::ALL.into_iter().filter(|how| *how != Resampling::Sum) {
            let source = ResampleSource { cells: &source, validity: &NAN, shares: None };
            let found = resample(source, &[y, x], ResamplingMethod::Values(resampling), f64::NAN);
            prop_assert!(doubles(&found).into_iter().flatten().all(|found| found.to_bits() == value.to_bits()), "{resampling}");
        }
    }
}

#[test]
fn centres_on_edges_are_in_the_higher_cell_on_every_axis_whatever_rounding_makes_of_them() {
    let source = cells(&[4, 4], &(0..16).map(f64::from).collect::<Vec<_>>());
    let source = ResampleSource {
        cells: &source,
        validity: &NAN,
        shares: None,
    };
    for [y, x] in [[0.0, 0.0], [-1e-9, 1e-9], [1e-9, -1e-9], [-1e-7, -1e-7]] {
        let found = resample(
            source,
            &[map(y, 2.0, 2), map(x, 2.0, 2)],
            ResamplingMethod::Values(Resampling::Nearest),
            f64::NAN,
        );
        assert_eq!(
            found.0.iter_f64().collect::<Vec<_>>(),
            [5.0, 7.0, 13.0, 15.0],
            "off by {y} and {x}"
        );
    }
}

#[test]
fn means_of_finite_cells_are_finite() {
    let source = cells(&[1, 4], &[1.7e308, -1.7e308, 1.7e308, 1.7e308]);
    let source = ResampleSource {
        cells: &source,
        validity: &NAN,
        shares: None,
    };
    let found = resample(
        source,
        &[map(0.0, 1.0, 1), map(0.0, 4.0, 1)],
        ResamplingMethod::Values(Resampling::Area),
        f64::NAN,
    );
    assert_eq!(doubles(&found), [Some(8.5e307)]);
}

#[test]
fn a_mask_says_what_values_cannot() {
    let bytes = Array::from(ndarray::arr2(&[[0_u8, 0, 100, 100]]));
    let mask = ArrayD::from_shape_vec(IxDyn(&[1, 4]), vec![false, true, true, true]).expect("four");
    let validity = Validity::Mask(mask);
    let source = ResampleSource {
        cells: &bytes,
        validity: &validity,
        shares: None,
    };
    let of = |resampling| {
        doubles(&resample(
            source,
            &[map(0.0, 1.0, 1), map(0.0, 2.0, 2)],
            ResamplingMethod::Values(resampling),
            7.0,
        ))
    };
    assert_eq!(of(Resampling::Area), [Some(0.0), Some(100.0)]);
    assert_eq!(of(Resampling::Nearest), [Some(0.0), Some(100.0)]);
    let finer = resample(
        source,
        &[map(0.0, 1.0, 1), map(0.0, 0.5, 4)],
        ResamplingMethod::Values(Resampling::Bilinear),
        7.0,
    );
    assert_eq!(doubles(&finer), [None, None, Some(0.0), Some(25.0)]);
    assert_eq!(
        finer.0.iter_f64().next(),
        Some(7.0),
        "what stands in cells without data"
    );
    // Zeros that are data are no holes, and beyond the source there is nothing.
    let beyond = resample(
        source,
        &[map(0.0, 1.0, 1), map(3.0, 1.0, 2)],
        ResamplingMethod::Values(Resampling::Nearest),
        7.0,
    );
    assert_eq!(doubles(&beyond), [Some(100.0), None]);
}

/// Far from a large value small ones keep their digits, and means of the largest numbers are
/// numbers.
#[test]
fn values_are_mixed_at_their_own_size() {
    let line = |cells: &[f64], len: usize, resampling| {
        let source = Array::from(
            ArrayD::from_shape_vec(IxDyn(&[cells.len()]), cells.to_vec()).expect("a line"),
        );
        let source = ResampleSource {
            cells: &source,
            validity: &NAN,
            shares: None,
        };
        let map = AxisMap {
            start: 0.0,
            ratio: cells.len() as f64 / len as f64,
            len,
        };
        resample(
            source,
            &[map],
            ResamplingMethod::Values(resampling),
            f64::NAN,
        )
        .0
        .iter_f64()
        .collect::<Vec<f64>>()
    };
    for resampling in [Resampling::Bilinear, Resampling::Cubic, Resampling::Area] {
        let far = line(
            &[1e20, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5, 0.5],
            22,
            resampling,
        );
        assert_eq!(
            (&far[6..8], far[21]),
            ([0.0; 2].as_slice(), 0.5),
            "{resampling}: {far:?}"
        );
        let equal = line(&[0.1; 7], 5, resampling);
        assert_eq!(equal, [0.1; 5], "{resampling}");
        for cells in [
            [f64::MAX; 7],
            [
                f64::MAX,
                f64::MIN,
                f64::MAX,
                f64::MAX,
                f64::MAX,
                f64::MIN,
                f64::MAX,
            ],
        ] {
            let large = line(&cells, 5, resampling);
            assert!(
                large.iter().all(|value| value.is_finite()),
                "{resampling}: {large:?}"
            );
        }
        let single = Array::from(
            ArrayD::from_shape_vec(IxDyn(&[4]), vec![f32::MAX, f32::MAX, -1.0, -1.0])
                .expect("a line"),
        );
        let source = ResampleSource {
            cells: &single,
            validity: &NAN,
            shares: None,
        };
        let map = AxisMap {
            start: 0.0,
            ratio: 0.4,
            len: 10,
        };
        let single = resample(
            source,
            &[map],
            ResamplingMethod::Values(resampling),
            f64::NAN,
        )
        .0;
        assert!(
            single.iter_f64().all(f64::is_finite),
            "{resampling}: {single:?}"
        );
    }
}
