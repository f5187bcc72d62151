//! The element types.
#![expect(
    clippy::cast_possible_truncation,
    reason = "`as` rounds and saturates, which is the documented rule"
)]

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Number;
use crate::error::{Error, Result};

/// The type of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DType {
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 16 bits.
    U16,
    /// Signed, 16 bits.
    I16,
    /// Unsigned, 32 bits.
    U32,
    /// Signed, 32 bits.
    I32,
    /// Unsigned, 64 bits.
    U64,
    /// Signed, 64 bits.
    I64,
    /// IEEE 754, 32 bits.
    F32,
    /// IEEE 754, 64 bits.
    F64,
}

impl DType {
    /// Every element type, in the order of their codes.
    pub const ALL: [DType; 10] = [
        DType::U8,
        DType::I8,
        DType::U16,
        DType::I16,
        DType::U32,
        DType::I32,
        DType::U64,
        DType::I64,
        DType::F32,
        DType::F64,
    ];

    /// Bytes a cell.
    pub const fn size(self) -> usize {
        match self {
            DType::U8 | DType::I8 => 1,
            DType::U16 | DType::I16 => 2,
            DType::U32 | DType::I32 | DType::F32 => 4,
            DType::U64 | DType::I64 | DType::F64 => 8,
        }
    }

    /// Whether the type is a floating-point one.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64)
    }

    /// Whether the type is a signed integer or a floating-point one.
    pub const fn is_signed(self) -> bool {
        matches!(
            self,
            DType::I8 | DType::I16 | DType::I32 | DType::I64 | DType::F32 | DType::F64
        )
    }

    /// The name numpy gives the type.
    pub const fn name(self) -> &'static str {
        match self {
            DType::U8 => "uint8",
            DType::I8 => "int8",
            DType::U16 => "uint16",
            DType::I16 => "int16",
            DType::U32 => "uint32",
            DType::I32 => "int32",
            DType::U64 => "uint64",
            DType::I64 => "int64",
            DType::F32 => "float32",
            DType::F64 => "float64",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DType {
    type Err = Error;

    /// Reads numpy's name (`float32`) or Rust's (`f32`).
    fn from_str(text: &str) -> Result<Self> {
        let long = match text.split_at_checked(1) {
            Some(("u", bits)) if !text.starts_with("uint") => format!("uint{bits}"),
            Some(("i", bits)) if !text.starts_with("int") => format!("int{bits}"),
            Some(("f", bits)) if !text.starts_with("float") => format!("float{bits}"),
            _ => text.to_owned(),
        };
        DType::ALL.into_iter().find(|dtype| dtype.name() == long).ok_or_else(|| {
            Error::invalid(format!("`{text}` is not a cell type; use one of uint8 to uint64, int8 to int64, float32, float64"))
        })
    }
}

/// A Rust type that can stand in a cell. Sealed: the ten types of [`DType`] implement it.
pub trait Cell:
    Copy + PartialEq + PartialOrd + Send + Sync + fmt::Debug + bytemuck::Pod + sealed::Wrap + 'static
{
    /// The run-time name of this type.
    const DTYPE: DType;

    /// The value as a double: exact up to 53 bits, rounded to nearest beyond.
    fn to_f64(self) -> f64;

    /// The value, exactly.
    fn number(self) -> Number;

    /// The nearest value of this type: integers round half away from zero and saturate; NaN becomes 0.
    fn from_f64(value: f64) -> Self;

    /// Whether the value is a NaN; never for integers.
    fn is_nan(self) -> bool;
}

pub(super) mod sealed {
    use super::super::cells::Cells;
    use super::super::scatter::{AnyTile, TileMut};
    use super::super::view::{Array, ArrayView};

    /// The conversions between a typed container and the enum over all types.
    pub trait Wrap: Sized {
        fn wrap_cells(cells: Vec<Self>) -> Cells;
        fn cells(cells: &Cells) -> Option<&[Self]>;
        fn cells_mut(cells: &mut Cells) -> Option<&mut Vec<Self>>;
        fn wrap_array(array: ndarray::ArrayD<Self>) -> Array;
        fn unwrap_array(array: Array) -> Result<ndarray::ArrayD<Self>, Array>;
        fn wrap_view(view: ndarray::ArrayViewD<'_, Self>) -> ArrayView<'_>;
        fn unwrap_view<'v>(view: &'v ArrayView<'_>) -> Option<ndarray::ArrayViewD<'v, Self>>;
        fn wrap_tile(tile: TileMut<'_, Self>) -> AnyTile<'_>;
    }
}

macro_rules! cell {
    ($type:ty, $variant:ident, |$value:ident| $round:expr, $nan:expr) => {
        impl Cell for $type {
            const DTYPE: DType = DType::$variant;

            #[inline]
            fn to_f64(self) -> f64 {
                self as f64
            }

            #[inline]
            fn number(self) -> Number {
                Number::from(self)
            }

            #[inline]
            fn from_f64($value: f64) -> Self {
                $round as $type
            }

            #[inline]
            fn is_nan(self) -> bool {
                let test: fn($type) -> bool = $nan;
                test(self)
            }
        }

        impl sealed::Wrap for $type {
            fn wrap_cells(cells: Vec<Self>) -> super::Cells {
                super::Cells::$variant(cells)
            }
            fn cells(cells: &super::Cells) -> Option<&[Self]> {
                match cells {
                    super::Cells::$variant(cells) => Some(cells),
                    _ => None,
                }
            }
            fn cells_mut(cells: &mut super::Cells) -> Option<&mut Vec<Self>> {
                match cells {
                    super::Cells::$variant(cells) => Some(cells),
                    _ => None,
                }
            }
            fn wrap_array(array: ndarray::ArrayD<Self>) -> super::Array {
                super::Array::$variant(array)
            }
            fn unwrap_array(array: super::Array) -> Result<ndarray::ArrayD<Self>, super::Array> {
                match array {
                    super::Array::$variant(array) => Ok(array),
                    other => Err(other),
                }
            }
            fn wrap_view(view: ndarray::ArrayViewD<'_, Self>) -> super::ArrayView<'_> {
                super::ArrayView::$variant(view)
            }
            fn unwrap_view<'v>(
                view: &'v super::ArrayView<'_>,
            ) -> Option<ndarray::ArrayViewD<'v, Self>> {
                match view {
                    super::ArrayView::$variant(view) => Some(view.view()),
                    _ => None,
                }
            }
            fn wrap_tile(tile: super::TileMut<'_, Self>) -> super::AnyTile<'_> {
                super::AnyTile::$variant(tile)
            }
        }
    };
}

cell!(u8, U8, |value| value.round(), |_| false);
cell!(i8, I8, |value| value.round(), |_| false);
cell!(u16, U16, |value| value.round(), |_| false);
cell!(i16, I16, |value| value.round(), |_| false);
cell!(u32, U32, |value| value.round(), |_| false);
cell!(i32, I32, |value| value.round(), |_| false);
cell!(u64, U64, |value| value.round(), |_| false);
cell!(i64, I64, |value| value.round(), |_| false);
cell!(f32, F32, |value| value, |value| value.is_nan());
cell!(f64, F64, |value| value, |value| value.is_nan());
