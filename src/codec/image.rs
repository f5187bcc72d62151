//! The integer image of a run of cells: what the delta filter takes differences of.
//!
//! *Ordered*: the bits of the cells without the low zero bits they have in common (the shift), floats with the bits of
//! negative values turned over, so that integers order as the floats do. Every bit pattern has an image.
//!
//! *Fixed-point*: floats that are all small multiples of one power of two (whole metres, eighths, and the means of such:
//! most elevation and most counts) as those multiples. Then a slope is the same difference at every height, where the
//! ordered image has a step at each power of two.
//!
//! *Decimal*: floats that are all `k / 10^digits`, rounded to their type (rain in tenths, what was unpacked from scale and
//! offset), as the whole numbers `k`. That it is so is proven by the round trip of every cell. After ALP (Afroozeh, Kuffo and
//! Boncz, *ALP: Adaptive Lossless floating-Point Compression*, 2023).
//!
//! *Ranked*: cells of few different values as the ranks of these; see `ranks.rs`.
//!
//! In fixed-point and decimal images the *hole*, the cell that stands for no data, gets the number
//! below the least, so that its edges stay short.

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
        /// The cell without data.
        hole: Hole,
    },
    /// Differences of the decimal image, shuffled.
    Decimal {
        /// Cells are whole numbers divided by ten to this power.
        digits: u8,
        /// The cell without data.
        hole: Hole,
    },
    /// Differences of the ranks of cells with few values.
    Ranked,
    /// The multiples of a power of two that all cells are, as whole numbers of fewer bytes.
    Narrow {
        /// Cells are multiples of two to this power.
        exponent: i16,
        /// The size of the whole numbers.
        width: Width,
    },
}

/// The cell that stands for no data, and its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The bits of the cell.
    pub bits: u64,
    /// The number that it has in the image; no other cell has it.
    pub image: i64,
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
/// Whole numbers of the decimal image are below two to this power in size.
const DECIMAL_BITS_F32: i32 = 30;
const DECIMAL_BITS_F64: i32 = 50;
/// Digits behind the point that are tried: more than a type can tell are of no use.
const DIGITS_MAX_F32: u8 = 8;
const DIGITS_MAX_F64: u8 = 15;
/// Powers of ten, which doubles hold exactly.
const POW10: [f64; 16] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
];
/// 1.5 x 2^23. Added to an integer below 2^22 in size, it leaves that integer, in two's complement,
/// in the low bits: the conversion costs one addition in either direction.
const MAGIC_F32: f32 = 12_582_912.0;
/// 1.5 x 2^52, the same for integers below 2^51.
const MAGIC_F64: f64 = 6_755_399_441_055_744.0;

impl Transform {
    /// What the numbers are called that cells become.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Shuffle => "shuffled",
            Self::Ordered { .. } => "order",
            Self::Fixed { .. } => "multiples",
            Self::Decimal { .. } => "decimals",
            Self::Ranked => "ranks",
            Self::Narrow { .. } => "narrow",
        }
    }

    /// Whether cells of a type can have been transformed so.
    pub(super) fn suits(self, dtype: DType) -> bool {
        match self {
            Self::None | Self::Ranked => true,
            Self::Shuffle => dtype.size() > 1,
            Self::Ordered { shift } => usize::from(shift) < 8 * dtype.size(),
            Self::Fixed { exponent, hole } => match dtype {
                DType::F32 => exponent.unsigned_abs() <= EXPONENT_MAX_F32 && hole.suits_f32(),
                DType::F64 => exponent.unsigned_abs() <= EXPONENT_MAX_F64,
                _ => false,
            },
            Self::Decimal { digits, hole } => match dtype {
                DType::F32 => digits <= DIGITS_MAX_F32 && hole.suits_f32(),
                DType::F64 => digits <= DIGITS_MAX_F64,
                _ => false,
            },
            Self::Narrow { exponent, .. } => {
                dtype == DType::F64 && exponent.unsigned_abs() <= EXPONENT_MAX_F64
            }
        }
    }

    /// The bytes that a cell of `size` bytes has after it.
    pub(super) fn size(self, size: usize) -> usize {
        match self {
            Self::Narrow { width, .. } => width.bytes(),
            _ => size,
        }
    }

    /// Whether it leads to an image.
    pub(super) fn has_image(self) -> bool {
        matches!(
            self,
            Self::Ordered { .. } | Self::Fixed { .. } | Self::Decimal { .. } | Self::Ranked
        )
    }

    /// The best delta for cells, of which those with the bits `hole` stand for no data: fixed-point
    /// or decimal where all have such an image.
    #[inline(always)]
    pub(super) fn delta<W: Word>(dtype: DType, cells: &[W], hole: u64) -> Self {
        // No closures: what is not inlined is compiled for any machine.
        let whole = match (dtype, u32::try_from(hole)) {
            (DType::F32, Ok(hole)) => {
                let cells = bytemuck::cast_slice(cells);
                match fixed_f32(cells, hole) {
                    None => decimal_f32(cells, hole),
                    fixed => fixed,
                }
            }
            (DType::F64, _) => {
                let cells = bytemuck::cast_slice(cells);
                match fixed_f64(cells, hole) {
                    None => decimal_f64(cells, hole),
                    fixed => fixed,
                }
            }
            _ => None,
        };
        match whole {
            Some(whole) => whole,
            None => Self::ordered(cells),
        }
    }

    /// The delta of the bits of cells as they are.
    pub(super) fn ordered<W: Word>(cells: &[W]) -> Self {
        Self::Ordered {
            shift: W::shift(cells),
        }
    }
}

impl Hole {
    fn suits_f32(self) -> bool {
        u32::try_from(self.bits).is_ok() && i32::try_from(self.image).is_ok()
    }
}

/// Rows of cells to rows of their images and back, for one dtype and transform.
#[derive(Clone, Copy, Debug)]
pub(super) enum Image {
    Unsigned { shift: u32 },
    Signed { shift: u32 },
    Float { shift: u32 },
    Fixed32 { exponent: i16, hole: (u32, i32) },
    Fixed64 { exponent: i16, hole: (u64, i64) },
    Decimal32 { scale: f64, hole: (u32, i32) },
    Decimal64 { scale: f64, hole: (u64, i64) },
}

impl Image {
    /// The image of a transform that takes differences; none for the others.
    pub(super) fn of(transform: Transform, dtype: DType) -> Option<Self> {
        match transform {
            Transform::None | Transform::Shuffle | Transform::Narrow { .. } => None,
            // Ranks are made before and taken back behind the image.
            Transform::Ranked => Some(Self::Unsigned { shift: 0 }),
            Transform::Ordered { shift } => {
                let shift = u32::from(shift);
                Some(match (dtype.is_float(), dtype.is_signed()) {
                    (true, _) => Self::Float { shift },
                    (false, true) => Self::Signed { shift },
                    (false, false) => Self::Unsigned { shift },
                })
            }
            Transform::Fixed { exponent, hole } => match dtype {
                DType::F32 => narrow_hole(hole).map(|hole| Self::Fixed32 { exponent, hole }),
                DType::F64 => Some(Self::Fixed64 {
                    exponent,
                    hole: (hole.bits, hole.image),
                }),
                _ => None,
            },
            Transform::Decimal { digits, hole } => {
                let scale = *POW10.get(usize::from(digits))?;
                match dtype {
                    DType::F32 => narrow_hole(hole).map(|hole| Self::Decimal32 { scale, hole }),
                    DType::F64 => Some(Self::Decimal64 {
                        scale,
                        hole: (hole.bits, hole.image),
                    }),
                    _ => None,
                }
            }
        }
    }

    /// Whether its numbers have signs.
    pub(super) fn is_signed(self) -> bool {
        !matches!(self, Self::Unsigned { .. })
    }

    /// The image of a row.
    #[inline(always)]
    pub(super) fn forward<W: Word>(self, cells: &[W], image: &mut [W]) {
        match self {
            Self::Unsigned { shift } => map(cells, image, |cell| cell.shr_logical(shift)),
            Self::Signed { shift } => map(cells, image, |cell| cell.shr_arithmetic(shift)),
            Self::Float { shift } => map(cells, image, |cell| {
                cell.shr_arithmetic(shift).flip_negative()
            }),
            Self::Fixed32 { exponent, hole } => {
                let scale = pow2_f32(-exponent);
                map::<u32>(
                    bytemuck::cast_slice(cells),
                    bytemuck::cast_slice_mut(image),
                    |bits| {
                        let number = (f32::from_bits(bits) * scale + MAGIC_F32)
                            .to_bits()
                            .wrapping_sub(MAGIC_F32.to_bits());
                        if bits == hole.0 {
                            hole.1.cast_unsigned()
                        } else {
                            number
                        }
                    },
                );
            }
            Self::Fixed64 { exponent, hole } => {
                let scale = pow2_f64(-exponent);
                map::<u64>(
                    bytemuck::cast_slice(cells),
                    bytemuck::cast_slice_mut(image),
                    |bits| {
                        let number = (f64::from_bits(bits) * scale + MAGIC_F64)
                            .to_bits()
                            .wrapping_sub(MAGIC_F64.to_bits());
                        if bits == hole.0 {
                            hole.1.cast_unsigned()
                        } else {
                            number
                        }
                    },
                );
            }
            Self::Decimal32 { scale, hole } => {
                map::<u32>(
                    bytemuck::cast_slice(cells),
                    bytemuck::cast_slice_mut(image),
                    |bits| {
                        let number = low(whole(f64::from(f32::from_bits(bits)), scale));
                        if bits == hole.0 {
                            hole.1.cast_unsigned()
                        } else {
                            number
                        }
                    },
                );
            }
            Self::Decimal64 { scale, hole } => {
                map::<u64>(
                    bytemuck::cast_slice(cells),
                    bytemuck::cast_slice_mut(image),
                    |bits| {
                        let number = whole(f64::from_bits(bits), scale);
                        if bits == hole.0 {
                            hole.1.cast_unsigned()
                        } else {
                            number
                        }
                    },
                );
            }
        }
    }

    /// The row of an image: the inverse of [`Image::forward`].
    #[inline(always)]
    pub(super) fn inverse<W: Word>(self, image: &[W], cells: &mut [W]) {
        match self {
            Self::Unsigned { shift } | Self::Signed { shift } => {
                map(image, cells, |word| word.shl(shift))
            }
            Self::Float { shift } => map(image, cells, |word| word.flip_negative().shl(shift)),
            Self::Fixed32 { exponent, hole } => {
                let scale = pow2_f32(exponent);
                map::<u32>(
                    bytemuck::cast_slice(image),
                    bytemuck::cast_slice_mut(cells),
                    |word| {
                        let value = (f32::from_bits(word.wrapping_add(MAGIC_F32.to_bits()))
                            - MAGIC_F32)
                            * scale;
                        if word.cast_signed() == hole.1 {
                            hole.0
                        } else {
                            value.to_bits()
                        }
                    },
                );
            }
            Self::Fixed64 { exponent, hole } => {
                let scale = pow2_f64(exponent);
                map::<u64>(
                    bytemuck::cast_slice(image),
                    bytemuck::cast_slice_mut(cells),
                    |word| {
                        let value = (f64::from_bits(word.wrapping_add(MAGIC_F64.to_bits()))
                            - MAGIC_F64)
                            * scale;
                        if word.cast_signed() == hole.1 {
                            hole.0
                        } else {
                            value.to_bits()
                        }
                    },
                );
            }
            Self::Decimal32 { scale, hole } => {
                map::<u32>(
                    bytemuck::cast_slice(image),
                    bytemuck::cast_slice_mut(cells),
                    |word| {
                        let bits = decimal_of_f32(f64::from(word.cast_signed()), scale);
                        if word.cast_signed() == hole.1 {
                            hole.0
                        } else {
                            bits
                        }
                    },
                );
            }
            Self::Decimal64 { scale, hole } => {
                map::<u64>(
                    bytemuck::cast_slice(image),
                    bytemuck::cast_slice_mut(cells),
                    |word| {
                        let bits = decimal_of_f64(
                            f64::from_bits(word.wrapping_add(MAGIC_F64.to_bits())) - MAGIC_F64,
                            scale,
                        );
                        if word.cast_signed() == hole.1 {
                            hole.0
                        } else {
                            bits
                        }
                    },
                );
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

fn narrow_hole(hole: Hole) -> Option<(u32, i32)> {
    Some((
        u32::try_from(hole.bits).ok()?,
        i32::try_from(hole.image).ok()?,
    ))
}

/// The whole number next to `value * scale`, in two's complement, if it is below 2^51 in size.
#[inline(always)]
fn whole(value: f64, scale: f64) -> u64 {
    (value * scale + MAGIC_F64)
        .to_bits()
        .wrapping_sub(MAGIC_F64.to_bits())
}

#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is wanted"
)]
fn low(word: u64) -> u32 {
    word as u32
}

/// The cell that is a whole number divided by a power of ten.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the nearest float is what is wanted"
)]
fn decimal_of_f32(number: f64, scale: f64) -> u32 {
    ((number / scale) as f32).to_bits()
}

#[inline(always)]
fn decimal_of_f64(number: f64, scale: f64) -> u64 {
    (number / scale).to_bits()
}

fn pow2_f32(exponent: i16) -> f32 {
    f32::from_bits((i32::from(exponent) + 127).cast_unsigned() << 23)
}

pub(super) fn pow2_f64(exponent: i16) -> f64 {
    f64::from_bits((i64::from(exponent) + 1023).cast_unsigned() << 52)
}

/// Cells looked at before asking whether there is still a fixed-point image: noise is found out in
/// the first block.
const BLOCK: usize = 1024;

macro_rules! fixed {
    ($name:ident, $float:ty, $bits:ty, $mantissa:literal, $bias:literal, $limit:ident, $range:ident,
     $no_hole:ident, $pow2:ident, $magic:ident, |$low:ident| $trailing:expr) => {
        /// The fixed-point image of cells, if every one of them has one.
        #[inline(always)]
        fn $name(cells: &[$bits], hole: $bits) -> Option<Transform> {
            const SIGN: $bits = 1 << (<$bits>::BITS - 1);
            const HIDDEN: $bits = 1 << $mantissa;
            const EXPONENTS: i32 = 2 * $bias + 1;
            // The place of the lowest bit set in any cell, and the place above the highest.
            let (mut lowest, mut top) = (i32::MAX, i32::MIN);
            let mut holes = false;
            for block in cells.chunks(BLOCK) {
                let mut strange = false;
                for &bits in block {
                    let none = bits == hole;
                    let empty = none | (bits == 0);
                    let exponent = ((bits & !SIGN) >> $mantissa) as i32;
                    strange |= !empty & ((exponent == 0) | (exponent == EXPONENTS));
                    let mantissa = (bits & (HIDDEN - 1)) | HIDDEN;
                    let $low = mantissa & mantissa.wrapping_neg();
                    let low = exponent + $trailing - ($bias + $mantissa);
                    lowest = lowest.min(if empty { i32::MAX } else { low });
                    top = top.max(if empty {
                        i32::MIN
                    } else {
                        exponent - $bias + 1
                    });
                    holes |= none;
                }
                if strange || (top > lowest && top - lowest > $limit) {
                    return None;
                }
            }
            let exponent = if lowest == i32::MAX {
                0
            } else {
                i16::try_from(lowest).ok()?
            };
            if exponent.unsigned_abs() > $range {
                return None;
            }
            let mut image = $no_hole;
            if holes {
                let mut least: $float = 0.0;
                for &bits in cells {
                    let cell = <$float>::from_bits(bits);
                    least = if bits != hole && cell < least {
                        cell
                    } else {
                        least
                    };
                }
                let number = (least * $pow2(-exponent) + $magic)
                    .to_bits()
                    .wrapping_sub($magic.to_bits());
                image = number.cast_signed() - 1;
            }
            Some(Transform::Fixed {
                exponent,
                hole: Hole {
                    bits: u64::from(hole),
                    image: i64::from(image),
                },
            })
        }
    };
}

// The conversion to a float is a vector instruction where the count of trailing zeros is none.
fixed!(
    fixed_f32,
    f32,
    u32,
    23,
    127,
    BITS_F32,
    EXPONENT_MAX_F32,
    NO_HOLE_F32,
    pow2_f32,
    MAGIC_F32,
    |low| { ((low.cast_signed() as f32).to_bits() >> 23).cast_signed() - 127 }
);
fixed!(
    fixed_f64,
    f64,
    u64,
    52,
    1023,
    BITS_F64,
    EXPONENT_MAX_F64,
    NO_HOLE_F64,
    pow2_f64,
    MAGIC_F64,
    |low| { low.trailing_zeros().cast_signed() }
);

/// Cells that say whether any number of digits may do.
const PROBES: usize = 32;

macro_rules! decimal {
    ($name:ident, $float:ty, $bits:ty, $digits:ident, $limit:ident, $of:ident) => {
        /// The decimal image of cells, if every one of them has one: that of the fewest digits.
        #[inline(always)]
        fn $name(cells: &[$bits], hole: $bits) -> Option<Transform> {
            /// The whole number that a cell is, 0 and whether it is none.
            #[inline(always)]
            fn number(bits: $bits, hole: $bits, scale: f64) -> (f64, bool) {
                let number = f64::from(<$float>::from_bits(bits)) * scale + MAGIC_F64 - MAGIC_F64;
                let limit = f64::from_bits(((1023 + $limit) as u64) << 52);
                let same = ($of(number, scale) == bits) & (number.abs() < limit);
                if bits == hole {
                    (0.0, false)
                } else {
                    (number, !same)
                }
            }
            // The fewest digits, not fewer than some, with which a cell is a whole number.
            let raised = |from: u8, bits: $bits| {
                (from..=$digits).find(|&digits| !number(bits, hole, POW10[usize::from(digits)]).1)
            };
            let mut digits = 0;
            for &bits in cells.iter().step_by(cells.len().div_ceil(PROBES).max(1)) {
                digits = raised(digits, bits)?;
            }
            loop {
                let scale = POW10[usize::from(digits)];
                let (mut least, mut strange) = (0.0_f64, None);
                for block in cells.chunks(BLOCK) {
                    let mut any = false;
                    for &bits in block {
                        let (number, none) = number(bits, hole, scale);
                        least = if number < least { number } else { least };
                        any |= none;
                    }
                    if any {
                        strange = block.iter().find(|&&bits| number(bits, hole, scale).1);
                        break;
                    }
                }
                let Some(&bits) = strange else {
                    let image = whole(least, 1.0).cast_signed() - 1;
                    return Some(Transform::Decimal {
                        digits,
                        hole: Hole {
                            bits: u64::from(hole),
                            image,
                        },
                    });
                };
                digits = raised(digits + 1, bits)?;
            }
        }
    };
}

decimal!(
    decimal_f32,
    f32,
    u32,
    DIGITS_MAX_F32,
    DECIMAL_BITS_F32,
    decimal_of_f32
);
decimal!(
    decimal_f64,
    f64,
    u64,
    DIGITS_MAX_F64,
    DECIMAL_BITS_F64,
    decimal_of_f64
);
