//! Numbers of NetCDF-4 as their bits: one Rust type a size, whatever kind of number it is; and which
//! of the bits of an integer are the number.

use std::ops::{Shl, Shr};

use hdf5_reader::error::{ByteOrder, Error, Result};
use hdf5_reader::{Datatype, H5Type};

/// The bits of a number in this machine's order. Those of an enumeration are the bits of the
/// numbers that stand for its names.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(super) struct NativeWord<W>(pub(super) W);

/// The order of the bytes of a number, if it is one of some size.
fn order(dtype: &Datatype, bytes: usize) -> Option<ByteOrder> {
    match dtype {
        Datatype::Enum { base, .. } => order(base, bytes),
        Datatype::FixedPoint {
            size, byte_order, ..
        }
        | Datatype::FloatingPoint { size, byte_order } => {
            Some(*byte_order).filter(|_| usize::from(*size) == bytes)
        }
        _ => None,
    }
}

/// Which bits of integers are the number, by the message of HDF5 that describes their type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Precision {
    /// Bits above the number.
    above: u32,
    /// Bits above it and below it.
    around: u32,
}

impl Precision {
    const WHOLE: Self = Self {
        above: 0,
        around: 0,
    };

    /// Of a type as the file describes it: what is no integer has all its bits.
    pub(super) fn of(datatype: &[u8]) -> Result<Self> {
        // Class and version, flags, and the size in bytes; then the lowest bit and their count.
        let [head, _, _, _, s0, s1, s2, s3, o0, o1, b0, b1, ..] = *datatype else {
            return Ok(Self::WHOLE);
        };
        if head & 0x0f != 0 {
            return Ok(Self::WHOLE);
        }
        let all = u32::from_le_bytes([s0, s1, s2, s3]).saturating_mul(8);
        let offset = u32::from(u16::from_le_bytes([o0, o1]));
        let bits = u32::from(u16::from_le_bytes([b0, b1]));
        if bits == 0 || offset + bits > all {
            return Err(Error::InvalidData(format!(
                "integers of {bits} bits from bit {offset} on do not fit {all} bits"
            )));
        }
        Ok(Self {
            above: all - offset - bits,
            around: all - bits,
        })
    }

    /// The numbers among the bits of stored ones. The sign is the highest bit of the number.
    pub(super) fn of_each<T>(self, mut numbers: Vec<T>) -> Vec<T>
    where
        T: Copy + Shl<u32, Output = T> + Shr<u32, Output = T>,
    {
        if self != Self::WHOLE {
            let each = numbers.iter_mut();
            each.for_each(|number| *number = *number << self.above >> self.around);
        }
        numbers
    }
}

fn is_native(order: ByteOrder) -> bool {
    (order == ByteOrder::LittleEndian) == cfg!(target_endian = "little")
}

macro_rules! word {
    ($($bits:ty: $size:literal),*) => {
        $(impl H5Type for NativeWord<$bits> {
            fn hdf5_type() -> Datatype {
                let byte_order = if cfg!(target_endian = "little") { ByteOrder::LittleEndian } else { ByteOrder::BigEndian };
                Datatype::FixedPoint { size: $size, signed: false, byte_order }
            }

            fn from_bytes(bytes: &[u8], dtype: &Datatype) -> Result<Self> {
                let mismatch = || Error::TypeMismatch { expected: stringify!($bits).into(), actual: format!("{dtype:?}") };
                let order = order(dtype, size_of::<$bits>()).ok_or_else(mismatch)?;
                let bits = bytes.first_chunk().map(|bits| <$bits>::from_ne_bytes(*bits)).ok_or_else(mismatch)?;
                Ok(NativeWord(if is_native(order) { bits } else { bits.swap_bytes() }))
            }

            fn element_size(_: &Datatype) -> usize {
                size_of::<$bits>()
            }

            fn decode_vec(raw: &[u8], dtype: &Datatype, count: usize) -> Option<Result<Vec<Self>>> {
                let native = is_native(order(dtype, size_of::<$bits>())?);
                let bytes = raw.get(..count.checked_mul(size_of::<$bits>())?)?;
                let bits = bytes.as_chunks().0.iter().map(|bits| <$bits>::from_ne_bytes(*bits));
                Some(Ok(if native { bits.map(NativeWord).collect() } else { bits.map(|bits| NativeWord(bits.swap_bytes())).collect() }))
            }

            fn native_copy_compatible(dtype: &Datatype) -> bool {
                order(dtype, size_of::<$bits>()).is_some_and(is_native)
            }
        })*
    };
}
word!(u8: 1, u16: 2, u32: 4, u64: 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_among_the_bits_with_its_sign() {
        let of = |class: u8, offset: u8, bits: u8| {
            Precision::of(&[0x10 | class, 8, 0, 0, 2, 0, 0, 0, offset, 0, bits, 0])
        };
        let twelve = of(0, 0, 12).expect("fits");
        assert_eq!(twelve.of_each(vec![0x0fe2_i16, 5]), [-30, 5]);
        assert_eq!(twelve.of_each(vec![0xffe2_u16]), [0x0fe2]);
        let above = of(0, 4, 12).expect("fits");
        assert_eq!(above.of_each(vec![0xe2f_u16 << 4 | 0xf]), [0xe2f]);
        assert_eq!(of(0, 0, 16).expect("fits"), Precision::WHOLE);
        assert_eq!(of(1, 0, 12).expect("a float"), Precision::WHOLE);
        assert!(of(0, 5, 12).is_err() && of(0, 0, 0).is_err());
    }

    #[test]
    fn the_bits_of_any_number_come_in_this_machines_order() {
        let other = if cfg!(target_endian = "little") {
            ByteOrder::BigEndian
        } else {
            ByteOrder::LittleEndian
        };
        let swapped = Datatype::FloatingPoint {
            size: 4,
            byte_order: other,
        };
        let raw = [1.5_f32, -2.0]
            .map(|value| value.to_bits().swap_bytes().to_ne_bytes())
            .concat();
        let words = NativeWord::<u32>::decode_vec(&raw, &swapped, 2)
            .expect("of its size")
            .expect("whole");
        assert_eq!(
            words
                .iter()
                .map(|word| f32::from_bits(word.0))
                .collect::<Vec<_>>(),
            [1.5, -2.0]
        );
        assert_eq!(
            NativeWord::<u32>::from_bytes(&raw, &swapped)
                .expect("whole")
                .0,
            1.5_f32.to_bits()
        );
        assert!(!NativeWord::<u32>::native_copy_compatible(&swapped));
        let own = if cfg!(target_endian = "little") {
            ByteOrder::LittleEndian
        } else {
            ByteOrder::BigEndian
        };
        let base = Box::new(Datatype::FixedPoint {
            size: 2,
            signed: true,
            byte_order: own,
        });
        let names = Datatype::Enum {
            base,
            members: Vec::new(),
        };
        assert_eq!(
            NativeWord::<u16>::from_bytes(&(-3_i16).to_ne_bytes(), &names)
                .expect("whole")
                .0,
            (-3_i16).cast_unsigned()
        );
        assert!(
            NativeWord::<u32>::from_bytes(&raw, &names).is_err()
                && NativeWord::<u32>::decode_vec(&raw, &names, 2).is_none()
        );
        assert!(
            NativeWord::<u32>::from_bytes(&raw[..3], &swapped).is_err()
                && NativeWord::<u32>::decode_vec(&raw, &swapped, 3).is_none()
        );
    }
}
