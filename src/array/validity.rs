//! Which cells of an array hold data.

use ndarray::ArrayD;

use super::view::with_view;
use super::{Array, Cell};

/// Which cells of an array hold data. It costs nothing where all do, or where the cells themselves
/// say it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Validity {
    /// Every cell does.
    All,
    /// Those do that are neither NaN nor this value.
    Values {
        /// The value that no cell with data has.
        nodata: Option<f64>,
    },
    /// Those do at which this array, which has the shape of the cells, is true.
    Mask(ArrayD<bool>),
}

impl Validity {
    /// What a mask says, if there is one.
    pub(crate) fn of_mask(mask: Option<ArrayD<bool>>) -> Self {
        mask.filter(|mask| mask.iter().any(|valid| !valid))
            .map_or(Self::All, Self::Mask)
    }

    /// Whether each cell of the array that this is about holds data, in its shape; `None` if every
    /// cell does.
    pub fn mask(&self, array: &Array) -> Option<ArrayD<bool>> {
        fn of<T: Cell>(cells: &ArrayD<T>, nodata: Option<f64>) -> Option<ArrayD<bool>> {
            let nodata = nodata.map(T::from_f64);
            let hole = |cell: &T| cell.is_nan() | (Some(*cell) == nodata);
            let any = match cells.as_slice() {
                _ if !T::DTYPE.is_float() && nodata.is_none() => false,
                Some(cells) => cells.iter().fold(false, |any, cell| any | hole(cell)),
                None => cells.iter().any(hole),
            };
            any.then(|| cells.map(|cell| !hole(cell)))
        }
        match self {
            Self::All => None,
            Self::Values { nodata } => with_view!(Array, array, |cells| of(cells, *nodata)),
            Self::Mask(mask) => Some(mask.clone()),
        }
    }

    /// Whether each cell holds data, in C order.
    pub fn iter<'a>(&'a self, array: &'a Array) -> Box<dyn Iterator<Item = bool> + 'a> {
        fn of<T: Cell>(
            cells: &ArrayD<T>,
            nodata: Option<f64>,
        ) -> Box<dyn Iterator<Item = bool> + '_> {
            let nodata = nodata.map(T::from_f64);
            Box::new(
                cells
                    .iter()
                    .map(move |cell| !cell.is_nan() && Some(*cell) != nodata),
            )
        }
        match self {
            Self::All => Box::new(std::iter::repeat_n(true, array.shape().iter().product())),
            Self::Values { nodata } => with_view!(Array, array, |cells| of(cells, *nodata)),
            Self::Mask(mask) => Box::new(mask.iter().copied()),
        }
    }

    /// Every cell as a double, in C order; `None` where it holds no data.
    pub fn values<'a>(&'a self, array: &'a Array) -> Box<dyn Iterator<Item = Option<f64>> + 'a> {
        Box::new(
            self.iter(array)
                .zip(array.iter_f64())
                .map(|(valid, value)| valid.then_some(value)),
        )
    }

    /// The same of one cell, by its index along each axis.
    pub fn at(&self, array: &Array, index: &[usize]) -> Option<bool> {
        fn of<T: Cell>(cells: &ArrayD<T>, index: &[usize], nodata: Option<f64>) -> Option<bool> {
            cells
                .get(index)
                .map(|cell| !cell.is_nan() && Some(*cell) != nodata.map(T::from_f64))
        }
        match self {
            Self::All => with_view!(Array, array, |cells| cells.get(index).map(|_| true)),
            Self::Values { nodata } => with_view!(Array, array, |cells| of(cells, index, *nodata)),
            Self::Mask(mask) => mask.get(index).copied(),
        }
    }
}

/// The number of an index in C order.
#[cfg(test)]
fn number(shape: &[usize], index: &[usize]) -> usize {
    shape
        .iter()
        .zip(index)
        .fold(0, |number, (len, at)| number * len + at)
}

#[cfg(test)]
mod tests {
    use ndarray::{IxDyn, arr2};

    use super::*;

    #[test]
    fn every_way_of_asking_says_the_same() {
        let floats = Array::from(arr2(&[[1.0_f32, f32::NAN], [-9.0, 0.0]]));
        let bytes = Array::from(arr2(&[[1_u8, 2], [3, 4]]));
        let mask =
            ArrayD::from_shape_vec(IxDyn(&[2, 2]), vec![true, false, false, true]).expect("four");
        let cases = [
            (
                &floats,
                Validity::Values { nodata: Some(-9.0) },
                vec![true, false, false, true],
            ),
            (
                &floats,
                Validity::Values { nodata: None },
                vec![true, false, true, true],
            ),
            (
                &bytes,
                Validity::Values { nodata: Some(9.0) },
                vec![true; 4],
            ),
            (&bytes, Validity::All, vec![true; 4]),
            (&bytes, Validity::Mask(mask), vec![true, false, false, true]),
        ];
        for (array, validity, expected) in cases {
            assert_eq!(validity.iter(array).collect::<Vec<_>>(), expected);
            assert_eq!(
                validity
                    .values(array)
                    .map(|value| value.is_some())
                    .collect::<Vec<_>>(),
                expected
            );
            let mask = validity.mask(array);
            assert_eq!(mask.is_none(), expected.iter().all(|valid| *valid));
            for index in [[0, 0], [0, 1], [1, 0], [1, 1]] {
                let wanted = expected[number(array.shape(), &index)];
                assert_eq!(validity.at(array, &index), Some(wanted));
                assert_eq!(mask.as_ref().is_none_or(|mask| mask[IxDyn(&index)]), wanted);
            }
            assert_eq!(validity.at(array, &[2, 0]), None, "outside");
        }
        let all = ArrayD::from_elem(IxDyn(&[2, 2]), true);
        assert_eq!(
            (Validity::of_mask(Some(all)), Validity::of_mask(None)),
            (Validity::All, Validity::All)
        );
    }
}
