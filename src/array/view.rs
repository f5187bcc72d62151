//! n-dimensional arrays whose element type is known at run time: owned and borrowed.

use ndarray::{ArrayBase, ArrayD, ArrayViewD, Dimension, IxDyn};

use super::cells::with_dtype;
use super::dtype::sealed::Wrap;
use super::{Cell, DType};
use crate::error::{Error, Result};

/// An owned n-dimensional array of one of the ten cell types.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// Unsigned, 8 bits.
    U8(ArrayD<u8>),
    /// Signed, 8 bits.
    I8(ArrayD<i8>),
    /// Unsigned, 16 bits.
    U16(ArrayD<u16>),
    /// Signed, 16 bits.
    I16(ArrayD<i16>),
    /// Unsigned, 32 bits.
    U32(ArrayD<u32>),
    /// Signed, 32 bits.
    I32(ArrayD<i32>),
    /// Unsigned, 64 bits.
    U64(ArrayD<u64>),
    /// Signed, 64 bits.
    I64(ArrayD<i64>),
    /// IEEE 754, 32 bits.
    F32(ArrayD<f32>),
    /// IEEE 754, 64 bits.
    F64(ArrayD<f64>),
}

/// A borrowed n-dimensional array of one of the ten cell types, of any memory layout.
#[derive(Clone, Debug)]
pub enum ArrayView<'a> {
    /// Unsigned, 8 bits.
    U8(ArrayViewD<'a, u8>),
    /// Signed, 8 bits.
    I8(ArrayViewD<'a, i8>),
    /// Unsigned, 16 bits.
    U16(ArrayViewD<'a, u16>),
    /// Signed, 16 bits.
    I16(ArrayViewD<'a, i16>),
    /// Unsigned, 32 bits.
    U32(ArrayViewD<'a, u32>),
    /// Signed, 32 bits.
    I32(ArrayViewD<'a, i32>),
    /// Unsigned, 64 bits.
    U64(ArrayViewD<'a, u64>),
    /// Signed, 64 bits.
    I64(ArrayViewD<'a, i64>),
    /// IEEE 754, 32 bits.
    F32(ArrayViewD<'a, f32>),
    /// IEEE 754, 64 bits.
    F64(ArrayViewD<'a, f64>),
}

/// Evaluates an expression with the typed array or view inside, for [`Array`](crate::Array) and
/// [`ArrayView`](crate::ArrayView) alike: once for each cell type.
#[doc(hidden)]
#[macro_export]
macro_rules! with_view {
    ($kind:ident, $value:expr, |$view:ident| $body:expr) => {
        match $value {
            $crate::array::$kind::U8($view) => $body,
            $crate::array::$kind::I8($view) => $body,
            $crate::array::$kind::U16($view) => $body,
            $crate::array::$kind::I16($view) => $body,
            $crate::array::$kind::U32($view) => $body,
            $crate::array::$kind::I32($view) => $body,
            $crate::array::$kind::U64($view) => $body,
            $crate::array::$kind::I64($view) => $body,
            $crate::array::$kind::F32($view) => $body,
            $crate::array::$kind::F64($view) => $body,
        }
    };
}
pub use with_view;

impl Array {
    /// An array of one value, which is converted as by [`Cell::from_f64`].
    pub fn filled(dtype: DType, shape: &[usize], value: f64) -> Self {
        with_dtype!(dtype, |T| T::wrap_array(ArrayD::from_elem(
            IxDyn(shape),
            T::from_f64(value)
        )))
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.view().dtype()
    }

    /// Cells along each axis.
    pub fn shape(&self) -> &[usize] {
        with_view!(Array, self, |array| array.shape())
    }

    /// A view of the whole array.
    pub fn view(&self) -> ArrayView<'_> {
        with_view!(Array, self, |array| Wrap::wrap_view(array.view()))
    }

    /// The array as ndarray's type; an [`Invalid`](crate::ErrorKind::Invalid) error if the cells
    /// are of another type.
    pub fn into_typed<T: Cell>(self) -> Result<ArrayD<T>> {
        T::unwrap_array(self).map_err(|array| {
            Error::invalid(format!(
                "the array holds {}, not {}",
                array.dtype(),
                T::DTYPE
            ))
        })
    }

    /// The cells in C order.
    pub fn to_cells(&self) -> super::Cells {
        with_view!(Array, self, |array| Wrap::wrap_cells(
            array.iter().copied().collect()
        ))
    }

    /// The same without a copy where they lie in C order.
    pub(crate) fn into_cells(self) -> super::Cells {
        with_view!(Array, self, |array| Wrap::wrap_cells(c_order(array)))
    }

    /// An array of cells in C order. An [`Invalid`](crate::ErrorKind::Invalid) error if the shape
    /// has more or fewer.
    pub(crate) fn from_cells(cells: super::Cells, shape: &[usize]) -> Result<Self> {
        let len = cells.len();
        let array = super::with_cells!(cells, |cells| ArrayD::from_shape_vec(IxDyn(shape), cells)
            .map(Wrap::wrap_array));
        array.map_err(|cause| {
            Error::invalid(format!("{len} cells are no array of {shape:?}")).because(cause)
        })
    }

    /// Every cell as a double, in C order.
    pub fn iter_f64(&self) -> Box<dyn Iterator<Item = f64> + '_> {
        with_view!(Array, self, |array| Box::new(
            array.iter().map(|cell| cell.to_f64())
        ))
    }
}

/// The elements of an array in C order, without a copy where they lie so.
pub(crate) fn c_order<T: Copy>(array: ArrayD<T>) -> Vec<T> {
    if !array.is_standard_layout() {
        return array.iter().copied().collect();
    }
    let len = array.len();
    let (mut elements, first) = array.into_raw_vec_and_offset();
    elements.drain(..first.unwrap_or(0));
    elements.truncate(len);
    elements
}

/// The array in C order, which is the fastest to put; itself where it lies so.
pub(crate) fn in_c_order<T: Copy>(array: ArrayD<T>) -> ArrayD<T> {
    if array.is_standard_layout() {
        array
    } else {
        array.as_standard_layout().into_owned()
    }
}

impl ArrayView<'_> {
    /// The element type.
    pub fn dtype(&self) -> DType {
        fn of<T: Cell>(_: &ArrayViewD<'_, T>) -> DType {
            T::DTYPE
        }
        with_view!(ArrayView, self, |view| of(view))
    }

    /// Cells along each axis.
    pub fn shape(&self) -> &[usize] {
        with_view!(ArrayView, self, |view| view.shape())
    }

    /// The cells in C order; a copy where they lie otherwise.
    pub(crate) fn flat(&self) -> super::block::Flat<'_> {
        use super::block::Flat;
        with_view!(ArrayView, self, |view| match view.as_slice() {
            Some(cells) => Flat::Borrowed(bytemuck::cast_slice(cells)),
            None => Flat::Owned(Wrap::wrap_cells(view.iter().copied().collect())),
        })
    }
}

impl<T: Cell, D: Dimension> From<ndarray::Array<T, D>> for Array {
    fn from(array: ndarray::Array<T, D>) -> Self {
        T::wrap_array(array.into_dyn())
    }
}

impl<'a, T: Cell, S: ndarray::Data<Elem = T>, D: Dimension> From<&'a ArrayBase<S, D>>
    for ArrayView<'a>
{
    fn from(array: &'a ArrayBase<S, D>) -> Self {
        T::wrap_view(array.view().into_dyn())
    }
}

impl<'a, T: Cell, D: Dimension> From<ndarray::ArrayView<'a, T, D>> for ArrayView<'a> {
    fn from(view: ndarray::ArrayView<'a, T, D>) -> Self {
        T::wrap_view(view.into_dyn())
    }
}

impl<'a> From<&'a Array> for ArrayView<'a> {
    fn from(array: &'a Array) -> Self {
        array.view()
    }
}
