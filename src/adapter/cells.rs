//! Which cell types hold which.

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
