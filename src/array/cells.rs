//! A flat run of cells whose type is known at run time.

use super::dtype::sealed::Wrap;
use super::{Cell, DType, Number};

/// A flat, C-order run of cells.
#[derive(Clone, Debug, PartialEq)]
pub enum Cells {
    /// Unsigned, 8 bits.
    U8(Vec<u8>),
    /// Signed, 8 bits.
    I8(Vec<i8>),
    /// Unsigned, 16 bits.
    U16(Vec<u16>),
    /// Signed, 16 bits.
    I16(Vec<i16>),
    /// Unsigned, 32 bits.
    U32(Vec<u32>),
    /// Signed, 32 bits.
    I32(Vec<i32>),
    /// Unsigned, 64 bits.
    U64(Vec<u64>),
    /// Signed, 64 bits.
    I64(Vec<i64>),
    /// IEEE 754, 32 bits.
    F32(Vec<f32>),
    /// IEEE 754, 64 bits.
    F64(Vec<f64>),
}

/// Evaluates an expression with the typed vector inside [`Cells`](crate::array::Cells): once for
/// each cell type.
#[doc(hidden)]
#[macro_export]
macro_rules! with_cells {
    ($value:expr, |$cells:ident| $body:expr) => {
        match $value {
            $crate::array::Cells::U8($cells) => $body,
            $crate::array::Cells::I8($cells) => $body,
            $crate::array::Cells::U16($cells) => $body,
            $crate::array::Cells::I16($cells) => $body,
            $crate::array::Cells::U32($cells) => $body,
            $crate::array::Cells::I32($cells) => $body,
            $crate::array::Cells::U64($cells) => $body,
            $crate::array::Cells::I64($cells) => $body,
            $crate::array::Cells::F32($cells) => $body,
            $crate::array::Cells::F64($cells) => $body,
        }
    };
}
pub use with_cells;

/// Evaluates an expression with `$type` bound to the Rust type of a [`DType`].
macro_rules! with_dtype {
    ($dtype:expr, |$type:ident| $body:expr) => {
        match $dtype {
            $crate::array::DType::U8 => {
                type $type = u8;
                $body
            }
            $crate::array::DType::I8 => {
                type $type = i8;
                $body
            }
            $crate::array::DType::U16 => {
                type $type = u16;
                $body
            }
            $crate::array::DType::I16 => {
                type $type = i16;
                $body
            }
            $crate::array::DType::U32 => {
                type $type = u32;
                $body
            }
            $crate::array::DType::I32 => {
                type $type = i32;
                $body
            }
            $crate::array::DType::U64 => {
                type $type = u64;
                $body
            }
            $crate::array::DType::I64 => {
                type $type = i64;
                $body
            }
            $crate::array::DType::F32 => {
                type $type = f32;
                $body
            }
            $crate::array::DType::F64 => {
                type $type = f64;
                $body
            }
        }
    };
}
pub(crate) use with_dtype;

impl Cells {
    /// `len` cells of one value, which is converted as by [`Cell::from_f64`].
    pub fn filled(dtype: DType, len: usize, value: f64) -> Self {
        with_dtype!(dtype, |T| T::wrap_cells(vec![T::from_f64(value); len]))
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        fn of<T: Cell>(_: &[T]) -> DType {
            T::DTYPE
        }
        with_cells!(self, |cells| of(cells))
    }

    /// How many cells.
    pub fn len(&self) -> usize {
        with_cells!(self, |cells| cells.len())
    }

    /// Whether there is no cell.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first cell as a double, if there is one.
    pub fn first_f64(&self) -> Option<f64> {
        with_cells!(self, |cells| cells.first().map(|cell| cell.to_f64()))
    }

    /// A cell, exactly.
    ///
    /// # Panics
    /// If there is no such cell.
    pub fn number(&self, cell: usize) -> Number {
        with_cells!(self, |cells| cells[cell].number())
    }

    /// The bytes of the cells, in this machine's order.
    pub fn as_bytes(&self) -> &[u8] {
        with_cells!(self, |cells| bytemuck::cast_slice(cells))
    }

    /// The same, to write through. Any bytes are valid cells.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        with_cells!(self, |cells| bytemuck::cast_slice_mut(cells))
    }

    /// The cells as a typed slice, if that is their type.
    pub fn as_slice<T: Cell>(&self) -> Option<&[T]> {
        T::cells(self)
    }

    /// The cells as a typed vector, if that is their type.
    pub fn as_mut<T: Cell>(&mut self) -> Option<&mut Vec<T>> {
        T::cells_mut(self)
    }
}

impl<T: Cell> From<Vec<T>> for Cells {
    fn from(cells: Vec<T>) -> Self {
        T::wrap_cells(cells)
    }
}
