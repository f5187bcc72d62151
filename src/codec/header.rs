//! The header of a plane.
//!
//! All numbers are little-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | xxh3-64 of bytes 8.. of the plane (header and payload), seeded with the xxh3-64 of the key |
//! | 8 | format version: 1 |
//! | 9 | plane index |
//! | 10 | plane count |
//! | 11 | encoding: 0 constant, 1 raw, 2 zstd |
//! | 12 | filter: 0 none, 1 shuffle, 2 delta of the ordered image, 3 delta of the fixed-point image |
//! | 13 | dtype: the index in [`DType::ALL`] |
//! | 14..16 | scale, signed: filter 2 the shift, filter 3 the binary exponent, else 0 |
//! | 16..24 | hole, signed: filter 3 the image of NaN, else 0 |
//! | 24..28 | row length in cells |
//! | 28..32 | payload length in bytes |

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::DecodeError;
use super::image::Transform;
use crate::array::DType;

const VERSION: u8 = 1;
const AT_VERSION: usize = 8;
const AT_INDEX: usize = 9;
const AT_COUNT: usize = 10;
const AT_ENCODING: usize = 11;
const AT_FILTER: usize = 12;
const AT_DTYPE: usize = 13;
const AT_SCALE: usize = 14;
const AT_HOLE: usize = 16;
const AT_ROW_LEN: usize = 24;
const AT_PAYLOAD_LEN: usize = 28;

/// Bytes of a plane's header.
pub const HEADER_LEN: usize = 32;

const _: () = assert!(AT_VERSION == size_of::<u64>());
const _: () = assert!(AT_HOLE == AT_SCALE + size_of::<i16>());
const _: () = assert!(AT_ROW_LEN == AT_HOLE + size_of::<i64>());
const _: () = assert!(AT_PAYLOAD_LEN == AT_ROW_LEN + size_of::<u32>());
const _: () = assert!(HEADER_LEN == AT_PAYLOAD_LEN + size_of::<u32>());
// Payloads are cells as they lie in memory.
const _: () = assert!(cfg!(target_endian = "little"), "gridstone needs a little-endian machine");

/// How a plane's cells are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// One cell, of which all others are copies.
    Constant,
    /// The cells as they are.
    Raw,
    /// One zstd frame of the filtered cells.
    Zstd,
}

/// What a plane says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaneHeader {
    /// The position of the plane in the blob.
    pub index: u8,
    /// How many planes the blob has.
    pub count: u8,
    /// How the cells are stored.
    pub encoding: Encoding,
    /// What was done to the cells before compression.
    pub transform: Transform,
    /// The type of the cells.
    pub dtype: DType,
    /// Cells a row.
    pub row_len: u32,
    /// Bytes of the payload.
    pub payload_len: u32,
    /// The checksum read, which is not verified here.
    pub checksum: u64,
}

/// The checksum of a plane: all of it but the checksum itself, under its key.
pub(super) fn checksum(key: &[u8], after_checksum: &[u8]) -> u64 {
    xxh3_64_with_seed(after_checksum, xxh3_64(key))
}

impl PlaneHeader {
    /// The header's bytes, with a checksum of zero.
    pub(super) fn to_bytes(self) -> [u8; HEADER_LEN] {
        let (filter, scale, hole) = match self.transform {
            Transform::None => (0, 0, 0),
            Transform::Shuffle => (1, 0, 0),
            Transform::Ordered { shift } => (2, i16::from(shift), 0),
            Transform::Fixed { exponent, hole } => (3, exponent, hole),
        };
        let mut bytes = [0; HEADER_LEN];
        bytes[AT_VERSION] = VERSION;
        bytes[AT_INDEX] = self.index;
        bytes[AT_COUNT] = self.count;
        bytes[AT_ENCODING] = match self.encoding {
            Encoding::Constant => 0,
            Encoding::Raw => 1,
            Encoding::Zstd => 2,
        };
        bytes[AT_FILTER] = filter;
        bytes[AT_DTYPE] = code(self.dtype);
        bytes[AT_SCALE..AT_HOLE].copy_from_slice(&scale.to_le_bytes());
        bytes[AT_HOLE..AT_ROW_LEN].copy_from_slice(&hole.to_le_bytes());
        bytes[AT_ROW_LEN..AT_PAYLOAD_LEN].copy_from_slice(&self.row_len.to_le_bytes());
        bytes[AT_PAYLOAD_LEN..].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes
    }

    /// Reads a header and refuses every field that has no meaning; the checksum is not looked at.
    pub(super) fn from_bytes(bytes: &[u8; HEADER_LEN]) -> Result<Self, DecodeError> {
        expect("format version", u64::from(VERSION), u64::from(bytes[AT_VERSION]))?;
        let invalid = |field, at: usize| DecodeError::Invalid { field, got: i64::from(bytes[at]) };
        let encoding = match bytes[AT_ENCODING] {
            0 => Encoding::Constant,
            1 => Encoding::Raw,
            2 => Encoding::Zstd,
            _ => return Err(invalid("encoding", AT_ENCODING)),
        };
        let dtype = *DType::ALL.get(usize::from(bytes[AT_DTYPE])).ok_or_else(|| invalid("dtype", AT_DTYPE))?;
        let scale = i16::from_le_bytes(field(bytes, AT_SCALE));
        let hole = i64::from_le_bytes(field(bytes, AT_HOLE));
        let transform = match bytes[AT_FILTER] {
            0 => Transform::None,
            1 => Transform::Shuffle,
            2 => Transform::Ordered {
                shift: u8::try_from(scale).map_err(|_| DecodeError::Invalid { field: "scale", got: i64::from(scale) })?,
            },
            3 => Transform::Fixed { exponent: scale, hole },
            _ => return Err(invalid("filter", AT_FILTER)),
        };
        if !transform.suits(dtype) || (encoding != Encoding::Zstd && transform != Transform::None) {
            return Err(invalid("filter", AT_FILTER));
        }
        let header = Self {
            index: bytes[AT_INDEX],
            count: bytes[AT_COUNT],
            encoding,
            transform,
            dtype,
            row_len: u32::from_le_bytes(field(bytes, AT_ROW_LEN)),
            payload_len: u32::from_le_bytes(field(bytes, AT_PAYLOAD_LEN)),
            checksum: u64::from_le_bytes(field(bytes, 0)),
        };
        // Scale and hole mean nothing to some filters; then they must be zero.
        if header.to_bytes()[AT_VERSION..] == bytes[AT_VERSION..] {
            Ok(header)
        } else {
            Err(DecodeError::Invalid { field: "scale or hole", got: i64::from(scale) })
        }
    }
}

/// A field that has one right value.
pub(super) fn expect(field: &'static str, expected: u64, got: u64) -> Result<(), DecodeError> {
    if expected == got { Ok(()) } else { Err(DecodeError::Field { field, expected, got }) }
}

fn field<const N: usize>(bytes: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[at + i])
}

pub(super) const fn code(dtype: DType) -> u8 {
    match dtype {
        DType::U8 => 0,
        DType::I8 => 1,
        DType::U16 => 2,
        DType::I16 => 3,
        DType::U32 => 4,
        DType::I32 => 5,
        DType::U64 => 6,
        DType::I64 => 7,
        DType::F32 => 8,
        DType::F64 => 9,
    }
}

const _: () = {
    let mut index = 0;
    while index < DType::ALL.len() {
        assert!(code(DType::ALL[index]) as usize == index);
        index += 1;
    }
};
