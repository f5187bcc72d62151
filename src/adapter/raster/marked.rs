//! Arrays for formats that know no mask: cells without data hold a value that no other cell has.

use ndarray::ArrayD;

use super::output::Raster;
use crate::adapter::export::{absent, marking};
use crate::array::{Array, Cells, block};
use crate::error::{Error, Result};

/// Cells of which those without data hold a value that no other cell has, if the type has one to
/// spare.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Marked {
    /// The cells. Those without data hold [`nodata`](Self::nodata).
    pub array: Array,
    /// Which cells hold data, in the array's shape; `None` if every one does.
    pub valid: Option<ArrayD<bool>>,
    /// One cell that marks absent data: NaN of floats, `preferred` of integers if no cell with data
    /// has it, else another value that none has. `None` if every value of the type stands for data,
    /// or nothing is absent and the preferred one is no mark.
    pub nodata: Option<Cells>,
}

impl Marked {
    /// Marks the cells of an array of any axes that hold no data. `valid`, in the array's shape,
    /// says which do; `None` if all. `preferred` is the value that marks them if it can, such as
    /// [`preferred`](super::preferred) gives.
    pub fn new(array: Array, valid: Option<ArrayD<bool>>, preferred: Option<f64>) -> Self {
        let shape = array.shape().to_vec();
        let mut cells = array.into_cells();
        let absent = absent(valid.as_ref());
        let of = (cells.dtype(), cells.len() as u64);
        let nodata = marking(of, preferred, |viewer| {
            viewer(&cells, &absent);
            Ok(())
        })
        .map_or(None, |marking| marking.nodata);
        if let Some(mark) = &nodata {
            block::lay(mark.as_bytes(), &absent, cells.as_bytes_mut());
        }
        let array = Array::from_cells(cells, &shape)
            .unwrap_or_else(|_| unreachable!("as many cells as before"));
        Self {
            array,
            valid,
            nodata,
        }
    }

    /// The array, for a format without a mask. An [`Invalid`](crate::ErrorKind::Invalid) error if
    /// no value could mark absent data.
    pub fn unmasked(&self) -> Result<&Array> {
        match (&self.valid, &self.nodata) {
            (Some(_), None) => Err(Error::invalid(format!(
                "every value of {} occurs, so that none can mark the cells without data; write one band at a time as a .tif, which has a mask, or a layer of floats (`--layer mean`)",
                self.array.dtype()
            ))),
            _ => Ok(&self.array),
        }
    }
}

impl From<Raster> for Marked {
    fn from(raster: Raster) -> Self {
        Self {
            array: raster.array,
            valid: raster.valid,
            nodata: raster.nodata,
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{IxDyn, arr1};

    use super::*;

    fn mask(valid: &[bool]) -> Option<ArrayD<bool>> {
        Some(ArrayD::from_shape_vec(IxDyn(&[valid.len()]), valid.to_vec()).expect("its length"))
    }

    #[test]
    fn a_mark_is_a_value_that_no_cell_with_data_has() {
        let of = |cells: &[i16], valid: &[bool], preferred| {
            Marked::new(arr1(cells).into(), mask(valid), preferred)
        };
        let nodata = |marked: &Marked| marked.nodata.clone();
        let some = |cell: i16| Some(Cells::from(vec![cell]));
        let plain = of(&[7, 0, 9], &[true, false, true], None);
        assert_eq!(
            (nodata(&plain), plain.array),
            (some(i16::MIN), arr1(&[7, i16::MIN, 9]).into())
        );
        assert_eq!(
            nodata(&of(&[7, 0], &[true, false], Some(5.0))),
            some(5),
            "the preferred one"
        );
        assert_eq!(
            nodata(&of(&[7, 0], &[true, false], Some(7.0))),
            some(i16::MIN),
            "it is held"
        );
        assert_eq!(
            nodata(&of(&[7, 0], &[true, false], Some(70_000.0))),
            some(i16::MIN),
            "it is none of the type"
        );
        assert_eq!(
            nodata(&of(&[i16::MIN, 7, 0], &[true, true, false], None)),
            some(i16::MAX)
        );
        let ends = of(
            &[i16::MIN, i16::MIN + 1, 0, i16::MAX, 3],
            &[true, true, true, true, false],
            Some(0.0),
        );
        assert_eq!(nodata(&ends), some(i16::MIN + 2));
        let all = Marked::new(arr1(&[1_i16, 2]).into(), None, Some(2.0));
        assert_eq!((nodata(&all), all.unmasked().is_ok()), (None, true));
        assert_eq!(
            nodata(&Marked::new(arr1(&[1_i16, 2]).into(), None, Some(3.0))),
            some(3)
        );
    }

    #[test]
    fn bytes_of_every_value_have_none_to_spare() {
        let cells: Vec<u8> = (0..=255).chain([0]).collect();
        let valid: Vec<bool> = (0..257).map(|at| at < 256).collect();
        let marked = Marked::new(arr1(&cells).into(), mask(&valid), Some(3.0));
        assert_eq!(marked.nodata, None);
        let refused = marked.unmasked().expect_err("no value is free").to_string();
        assert!(
            refused.contains("every value of uint8 occurs") && refused.contains(".tif"),
            "{refused}"
        );
        let one_missing: Vec<u8> = cells
            .iter()
            .map(|cell| if *cell == 200 { 9 } else { *cell })
            .collect();
        assert_eq!(
            Marked::new(arr1(&one_missing).into(), mask(&valid), Some(3.0)).nodata,
            Some(Cells::from(vec![200_u8]))
        );
    }

    #[test]
    fn integers_of_64_bits_are_told_apart() {
        let cells = [i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 1, 0];
        let marked = Marked::new(
            arr1(&cells).into(),
            mask(&[true, true, true, true, false]),
            None,
        );
        assert_eq!(marked.nodata, Some(Cells::from(vec![i64::MIN + 2])));
        let cells = [u64::MAX, u64::MAX - 1, 0, 1, 0];
        let marked = Marked::new(
            arr1(&cells).into(),
            mask(&[true, true, true, true, false]),
            None,
        );
        assert_eq!(marked.nodata, Some(Cells::from(vec![2_u64])));
    }

    #[test]
    fn floats_hold_nan_where_there_is_no_data() {
        let marked = Marked::new(
            arr1(&[-7.0_f32, 3.0]).into(),
            mask(&[false, true]),
            Some(-7.0),
        );
        let values: Vec<f64> = marked.array.iter_f64().collect();
        assert!(values[0].is_nan() && values[1] == 3.0, "{values:?}");
        let marked = Marked::new(arr1(&[-7.0_f32, 3.0]).into(), None, Some(-7.0));
        assert_eq!(
            marked.array,
            arr1(&[-7.0_f32, 3.0]).into(),
            "a value is data"
        );
    }
}
