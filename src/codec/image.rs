//! The integer image of a run of cells: what the delta filter takes differences of.
//!
//! *Ordered*: the bits of the cells without the low zero bits they have in common (the shift), floats with the bits of
//! negative values turned over, so that integers order as the floats do. Every bit pattern has an image.
//!
//! *Fixed-point*: floats that are all small multiples of one power of two (whole metres, eighths, and the means of such:
//! most elevation and most counts) as those multiples. Then a slope is the same difference at every height, where the
//! ordered image has a step at each power of two. NaN gets the number below the least, so that its edges stay short.

use super::narrow::Width;
use super::word::Word;
use crate::array::DType;

/// What was done to the cells of a strip before they were compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    /// Nothing.
    None,
    /// The bytes were shuffled: all lowest bytes, then all second bytes and so on.
    Shuffle,
    /// Differences of the ordered image, shuffled.
    Ordered {
        /// How many low zero bits all cells have in common.
        shift: u8,
    },
    /// Differences of the fixed-point image, shuffled.
    Fixed {
        /// Cells are multiples of two to this power.
        exponent: i16,
        /// The image of NaN.
        hole: i64,
    },
    /// The multiples of a power of two that all cells are, as whole numbers of fewer bytes.
    Narrow {
        /// Cells are multiples of two to this power.
        exponent: i16,
        /// The size of the whole numbers.
        width: Width,
    },
}

/// Of the exponents an `f32` can have, those for which no product leaves the normal range.
const EXPONENT_MAX_F32: u16 = 100;
/// The same for `f64`.
const EXPONENT_MAX_F64: u16 = 900;
/// Multiples are below two to this power: the most the magic number allows.
const BITS_F32: i32 = 22;
/// Beyond about this size the low bits are noise, and noise costs the same in either image.
const BITS_F64: i32 = 40;
/// The hole of a plane without NaN: no multiple comes near it.
const NO_HOLE_F32: i32 = i32::MIN;
const NO_HOLE_F64: i64 = i64::MIN;
/// The one NaN with a fixed-point image.
const NAN_F32: u32 = 0x7fc0_0000;
const NAN_F64: u64 = 0x7ff8_0000_0000_0000;
/// 1.5 x 2^23. Added to an integer below 2^22 in size, it leaves that integer, in two's complement, in the low bits: the
/// conversion costs one addition in either direction.
const MAGIC_F32: f32 = 12_582_912.0;
/// 1.5 x 2^52, the same for integers below 2^51.
const MAGIC_F64: f64 = 6_755_399_441_055_744.0;

impl Transform {
    /// Whether cells of a type can have been transformed so.
    pub(super) fn suits(self, dtype: DType) -> bool {
        match self {
            Self::None => true,
            Self::Shuffle => dtype.size() > 1,
            Self::Ordered { shift } => usize::from(shift) < 8 * dtype.size(),
            Self::Fixed { exponent, hole } => match dtype {
                DType::F32 => exponent.unsigned_abs() <= EXPONENT_MAX_F32 && i32::try_from(hole).is_ok(),
                DType::F64 => exponent.unsigned_abs() <= EXPONENT_MAX_F64,
                _ => false,
            },
            Self::Narrow { exponent, .. } => dtype == DType::F64 && exponent.unsigned_abs() <= EXPONENT_MAX_F64,
        }
    }

    /// The bytes that a cell of `size` bytes has after it.
    pub(super) fn size(self, size: usize) -> usize {
        match self {
            Self::Narrow { width, .. } => width.bytes(),
            _ => size,
        }
    }

    /// The best delta for cells: fixed-point where all of them have that image.
    pub(super) fn delta<W: Word>(dtype: DType, cells: &[W]) -> Self {
        let fixed = match dtype {
            DType::F32 => fixed_f32(bytemuck::cast_slice(cells)),
            DType::F64 => fixed_f64(bytemuck::cast_slice(cells)),
            _ => None,
        };
        fixed.unwrap_or_else(|| Self::Ordered { shift: W::shift(cells) })
    }
}

/// Rows of cells to rows of their images and back, for one dtype and transform.
#[derive(Clone, Copy, Debug)]
pub(super) enum Image {
    Unsigned { shift: u32 },
    Signed { shift: u32 },
    Float { shift: u32 },
    Fixed32 { exponent: i16, hole: i32 },
    Fixed64 { exponent: i16, hole: i64 },
}

impl Image {
    /// The image of a transform that takes differences; none for the others.
    pub(super) fn of(transform: Transform, dtype: DType) -> Option<Self> {
        match transform {
            Transform::None | Transform::Shuffle | Transform::Narrow { .. } => None,
            Transform::Ordered { shift } => {
                let shift = u32::from(shift);
                Some(match (dtype.is_float(), dtype.is_signed()) {
                    (true, _) => Self::Float { shift },
                    (false, true) => Self::Signed { shift },
                    (false, false) => Self::Unsigned { shift },
                })
            }
            Transform::Fixed { exponent, hole } => match dtype {
                DType::F32 => i32::try_from(hole).ok().map(|hole| Self::Fixed32 { exponent, hole }),
                DType::F64 => Some(Self::Fixed64 { exponent, hole }),
                _ => None,
            },
        }
    }

    /// The image of a row.
    #[inline(always)]
    pub(super) fn forward<W: Word>(self, cells: &[W], image: &mut [W]) {
        match self {
            Self::Unsigned { shift } => map(cells, image, |cell| cell.shr_logical(shift)),
            Self::Signed { shift } => map(cells, image, |cell| cell.shr_arithmetic(shift)),
            Self::Float { shift } => map(cells, image, |cell| cell.shr_arithmetic(shift).flip_negative()),
            Self::Fixed32 { exponent, hole } => {
                let scale = pow2_f32(-exponent);
                map::<u32>(bytemuck::cast_slice(cells), bytemuck::cast_slice_mut(image), |bits| {
                    let number = (f32::from_bits(bits) * scale + MAGIC_F32).to_bits().wrapping_sub(MAGIC_F32.to_bits());
                    if bits == NAN_F32 { hole.cast_unsigned() } else { number }
                });
            }
            Self::Fixed64 { exponent, hole } => {
                let scale = pow2_f64(-exponent);
                map::<u64>(bytemuck::cast_slice(cells), bytemuck::cast_slice_mut(image), |bits| {
                    let number = (f64::from_bits(bits) * scale + MAGIC_F64).to_bits().wrapping_sub(MAGIC_F64.to_bits());
                    if bits == NAN_F64 { hole.cast_unsigned() } else { number }
                });
            }
        }
    }

    /// The row of an image: the inverse of [`Image::forward`].
    #[inline(always)]
    pub(super) fn inverse<W: Word>(self, image: &[W], cells: &mut [W]) {
        match self {
            Self::Unsigned { shift } | Self::Signed { shift } => map(image, cells, |word| word.shl(shift)),
            Self::Float { shift } => map(image, cells, |word| word.flip_negative().shl(shift)),
            Self::Fixed32 { exponent, hole } => {
                let scale = pow2_f32(exponent);
                map::<u32>(bytemuck::cast_slice(image), bytemuck::cast_slice_mut(cells), |word| {
                    let value = (f32::from_bits(word.wrapping_add(MAGIC_F32.to_bits())) - MAGIC_F32) * scale;
                    if word.cast_signed() == hole { NAN_F32 } else { value.to_bits() }
                });
            }
            Self::Fixed64 { exponent, hole } => {
                let scale = pow2_f64(exponent);
                map::<u64>(bytemuck::cast_slice(image), bytemuck::cast_slice_mut(cells), |word| {
                    let value = (f64::from_bits(word.wrapping_add(MAGIC_F64.to_bits())) - MAGIC_F64) * scale;
                    if word.cast_signed() == hole { NAN_F64 } else { value.to_bits() }
                });
            }
        }
    }
}

#[inline(always)]
fn map<W: Word>(from: &[W], to: &mut [W], f: impl Fn(W) -> W) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = f(from);
    }
}

fn pow2_f32(exponent: i16) -> f32 {
    f32::from_bits((i32::from(exponent) + 127).cast_unsigned() << 23)
}

pub(super) fn pow2_f64(exponent: i16) -> f64 {
    f64::from_bits((i64::from(exponent) + 1023).cast_unsigned() << 52)
}

/// Cells looked at before asking whether there is still a fixed-point image: noise is found out in the first block.
const BLOCK: usize = 1024;

macro_rules! fixed {
    ($name:ident, $float:ty, $bits:ty, $mantissa:literal, $bias:literal, $nan:ident, $limit:ident, $range:ident,
     $no_hole:ident, $pow2:ident, $magic:ident, |$low:ident| $trailing:expr) => {
        /// The fixed-point image of cells, if every one of them has one.
        fn $name(cells: &[$bits]) -> Option<Transform> {
            const SIGN: $bits = 1 << (<$bits>::BITS - 1);
            const HIDDEN: $bits = 1 << $mantissa;
            const EXPONENTS: i32 = 2 * $bias + 1;
            // The place of the lowest bit set in any cell, and the place above the highest.
            let (mut lowest, mut top) = (i32::MAX, i32::MIN);
            let mut holes = false;
            for block in cells.chunks(BLOCK) {
                let mut strange = false;
                for &bits in block {
                    let nan = bits == $nan;
                    let empty = nan | (bits == 0);
                    let exponent = ((bits & !SIGN) >> $mantissa) as i32;
                    strange |= !empty & ((exponent == 0) | (exponent == EXPONENTS));
                    let mantissa = (bits & (HIDDEN - 1)) | HIDDEN;
                    let $low = mantissa & mantissa.wrapping_neg();
                    let low = exponent + $trailing - ($bias + $mantissa);
                    lowest = lowest.min(if empty { i32::MAX } else { low });
                    top = top.max(if empty { i32::MIN } else { exponent - $bias + 1 });
                    holes |= nan;
                }
                if strange || (top > lowest && top - lowest > $limit) {
                    return None;
                }
            }
            let exponent = if lowest == i32::MAX { 0 } else { i16::try_from(lowest).ok()? };
            if exponent.unsigned_abs() > $range {
                return None;
            }
            let mut hole = $no_hole;
            if holes {
                let mut least: $float = 0.0;
                for &bits in cells {
                    let cell = <$float>::from_bits(bits);
                    least = if cell < least { cell } else { least };
                }
                let number = (least * $pow2(-exponent) + $magic).to_bits().wrapping_sub($magic.to_bits());
                hole = number.cast_signed() - 1;
            }
            Some(Transform::Fixed { exponent, hole: i64::from(hole) })
        }
    };
}

// The conversion to a float is a vector instruction where the count of trailing zeros is none.
fixed!(fixed_f32, f32, u32, 23, 127, NAN_F32, BITS_F32, EXPONENT_MAX_F32, NO_HOLE_F32, pow2_f32, MAGIC_F32, |low| {
    ((low.cast_signed() as f32).to_bits() >> 23).cast_signed() - 127
});
fixed!(fixed_f64, f64, u64, 52, 1023, NAN_F64, BITS_F64, EXPONENT_MAX_F64, NO_HOLE_F64, pow2_f64, MAGIC_F64, |low| {
    low.trailing_zeros().cast_signed()
});
