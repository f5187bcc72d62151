//! Values between those of two moments.

use crate::array::{Array, Cell, DType, with_view};

/// Cell by cell, `share` of the way from one array to another of the same type and shape. Cells in which either has no data have
/// none. Floats stay what they are; integers give float64, with NaN where there is no data.
pub(super) fn between(low: &Array, high: Array, share: f64, nodata: Option<f64>) -> Array {
    fn of<T: Cell>(low: &ndarray::ArrayD<T>, high: Array, share: f64, nodata: Option<f64>) -> Array {
        let Ok(high) = T::unwrap_array(high) else { unreachable!("both were read from one layer") };
        let (fill, nodata) = (T::from_f64(nodata.unwrap_or(f64::NAN)), nodata.map(T::from_f64));
        let value = |cell: T| if Some(cell) == nodata { f64::NAN } else { cell.to_f64() };
        let mixed = ndarray::Zip::from(low).and(&high).map_collect(|low, high| {
            let (low, high) = (value(*low), value(*high));
            low + (high - low) * share
        });
        match T::DTYPE {
            DType::F32 | DType::F64 => mixed.mapv(|value| if value.is_nan() { fill } else { T::from_f64(value) }).into(),
            _ => mixed.into(),
        }
    }
    with_view!(Array, low, |low| of(low, high, share, nodata))
}
