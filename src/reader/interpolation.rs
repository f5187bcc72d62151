//! Values between those of two moments.

use ndarray::{ArrayD, Zip};

use super::parts::KnownCells;
use crate::array::{Array, Cell, DType, Validity, with_view};

/// Cell by cell, `share` of the way from one array to another of the same type and shape. Cells in
/// which either has no data have none. Floats stay what they are, and `blank` stands where there is
/// no data; integers give float64, with NaN there.
pub(super) fn between(
    (low, of_low): (&Array, &Validity),
    (high, of_high): (Array, &Validity),
    share: f64,
    blank: f64,
) -> (Array, KnownCells) {
    fn of<T: Cell>(low: &ArrayD<T>, high: Array, share: f64) -> ArrayD<f64> {
        let Ok(high) = T::unwrap_array(high) else {
            unreachable!("both were read from one layer")
        };
        Zip::from(low).and(&high).map_collect(|low, high| {
            let (low, high) = (low.to_f64(), high.to_f64());
            // The difference of finite values can be beyond all of them.
            if (high - low).is_finite() {
                low + (high - low) * share
            } else {
                low * (1.0 - share) + high * share
            }
        })
    }
    let (of_low, of_high, dtype) = (of_low.mask(low), of_high.mask(&high), low.dtype());
    let mut mixed = with_view!(Array, low, |low| of(low, high, share));
    let mut mask = mixed.mapv(|value| !value.is_nan());
    for valid in of_low.iter().chain(&of_high) {
        mask.zip_mut_with(valid, |both, valid| *both &= *valid);
    }
    let blank = if dtype.is_float() { blank } else { f64::NAN };
    mixed.zip_mut_with(&mask, |value, valid| {
        *value = if *valid { *value } else { blank }
    });
    let array = if dtype == DType::F32 {
        mixed.mapv(f32::from_f64).into()
    } else {
        mixed.into()
    };
    (
        array,
        KnownCells {
            validity: Validity::of_mask(Some(mask)),
            shares: None,
        },
    )
}
