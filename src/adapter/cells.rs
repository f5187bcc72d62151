//! Types of cells: which hold which, and what GDAL calls them.

use crate::array::DType;

/// Whether every value of one type is a value of the other.
pub(super) fn widens(from: DType, to: DType) -> bool {
    if from == to {
        return true;
    }
    let bits = |dtype: DType| dtype.size() * 8;
    match (from.is_float(), to.is_float()) {
        (true, true) => bits(from) < bits(to),
        (true, false) => false,
        // Whole numbers up to the length of the significand.
        (false, true) => bits(from) <= if to == DType::F32 { 16 } else { 32 },
        (false, false) => bits(from) < bits(to) && (to.is_signed() || !from.is_signed()),
    }
}

/// The name that GDAL gives a type.
#[cfg(feature = "geotiff")]
pub(super) fn gdal_name(dtype: DType) -> &'static str {
    match dtype {
        DType::U8 => "Byte",
        DType::I8 => "Int8",
        DType::U16 => "UInt16",
        DType::I16 => "Int16",
        DType::U32 => "UInt32",
        DType::I32 => "Int32",
        DType::U64 => "UInt64",
        DType::I64 => "Int64",
        DType::F32 => "Float32",
        DType::F64 => "Float64",
    }
}
