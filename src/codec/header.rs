//! The header of a strip.
//!
//! All numbers are little-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | xxh3-64 of bytes 8.. of the strip (header and payload), seeded with the xxh3-64 of the key |
//! | 8 | format version: 3 |
//! | 9 | plane index |
//! | 10 | plane count |
//! | 11 | encoding: 0 constant, 1 raw, 2 zstd, packed (`pack.rs`) 3 of the plane, 4 of the left, 5 of the least (`predict.rs`) |
//! | 12 | filter: 0 none, 1 shuffle, 2 delta of the ordered image, 3 delta of the fixed-point image, 4 to 6 multiples as uint8, uint16, uint32, 7 delta of the decimal image, 8 ranked (`ranks.rs`) |
//! | 13 | dtype: the index in [`DType::ALL`] |
//! | 14..16 | scale, signed: filter 2 the shift, filters 3 to 6 the binary exponent, filter 7 the digits behind the point, else 0 |
//! | 16..24 | filters 3 and 7: the image of the hole, signed, else 0 |
//! | 24..32 | filters 3 and 7: the bits of the hole, the cell that stands for no data, else 0 |
//! | 32..36 | row length in cells |
//! | 36..40 | first row of the strip |
//! | 40..44 | payload length in bytes |
//! | 44..60 | xxh3-128 of the cells; 0 where the strip is the whole plane, or constant |

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128};

use super::DecodeError;
use super::image::{Hole, Transform};
use super::narrow::Width;
use super::predict::Predictor;
use crate::array::DType;

const VERSION: u8 = 3;
const AT_VERSION: usize = 8;
const AT_PLANE: usize = 9;
const AT_PLANES: usize = 10;
const AT_ENCODING: usize = 11;
const AT_FILTER: usize = 12;
const AT_DTYPE: usize = 13;
const AT_SCALE: usize = 14;
const AT_HOLE: usize = 16;
const AT_HOLE_BITS: usize = 24;
const AT_ROW_LEN: usize = 32;
const AT_FIRST_ROW: usize = 36;
const AT_PAYLOAD_LEN: usize = 40;
const AT_DIGEST: usize = 44;

/// Bytes of a strip's header.
pub const HEADER_LEN: usize = 60;

const _: () = assert!(AT_VERSION == size_of::<u64>());
const _: () = assert!(AT_HOLE == AT_SCALE + size_of::<i16>());
const _: () = assert!(AT_HOLE_BITS == AT_HOLE + size_of::<i64>());
const _: () = assert!(AT_ROW_LEN == AT_HOLE_BITS + size_of::<u64>());
const _: () = assert!(AT_FIRST_ROW == AT_ROW_LEN + size_of::<u32>());
const _: () = assert!(AT_PAYLOAD_LEN == AT_FIRST_ROW + size_of::<u32>());
const _: () = assert!(AT_DIGEST == AT_PAYLOAD_LEN + size_of::<u32>());
const _: () = assert!(HEADER_LEN == AT_DIGEST + size_of::<u128>());
// Payloads are cells as they lie in memory.
const _: () = assert!(
    cfg!(target_endian = "little"),
    "gridstone needs a little-endian machine"
);

/// How a strip's cells are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StripEncoding {
    /// One cell, of which all others are copies.
    Constant,
    /// The cells as they are.
    Raw,
    /// One zstd frame of the filtered cells.
    Zstd,
    /// What a prediction leaves of an image of the cells, each block at its least width.
    Packed(Predictor),
}

impl StripEncoding {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Raw => "raw",
            Self::Zstd => "zstd",
            Self::Packed(_) => "packed",
        }
    }
}

/// What a strip says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StripHeader {
    /// The position of the plane in the blob.
    pub plane: u8,
    /// How many planes the blob has.
    pub planes: u8,
    /// How the cells are stored.
    pub encoding: StripEncoding,
    /// What was done to the cells before compression.
    pub transform: Transform,
    /// The type of the cells.
    pub dtype: DType,
    /// Cells a row.
    pub row_len: u32,
    /// The first row of the plane that is in the strip.
    pub first_row: u32,
    /// Bytes of the payload.
    pub payload_len: u32,
    /// What tells the cells from others; 0 where the strip is the whole plane, or constant.
    pub digest: u128,
    /// The checksum read, which is not verified here.
    pub checksum: u64,
}

/// The checksum of a strip: all of it but the checksum itself, under its key.
pub(super) fn checksum(key: &[u8], after_checksum: &[u8]) -> u64 {
    xxh3_64_with_seed(after_checksum, xxh3_64(key))
}

/// The digest of a strip's cells that its header has: never 0, which stands for none.
pub(super) fn digest(cells: &[u8]) -> u128 {
    xxh3_128(cells).max(1)
}

impl StripHeader {
    /// The header's bytes, with a checksum of zero.
    pub(super) fn to_bytes(self) -> [u8; HEADER_LEN] {
        let none = Hole { bits: 0, image: 0 };
        let (filter, scale, hole) = match self.transform {
            Transform::None => (0, 0, none),
            Transform::Shuffle => (1, 0, none),
            Transform::Ordered { shift } => (2, i16::from(shift), none),
            Transform::Fixed { exponent, hole } => (3, exponent, hole),
            Transform::Narrow {
                exponent,
                width: Width::One,
            } => (4, exponent, none),
            Transform::Narrow {
                exponent,
                width: Width::Two,
            } => (5, exponent, none),
            Transform::Narrow {
                exponent,
                width: Width::Four,
            } => (6, exponent, none),
            Transform::Decimal { digits, hole } => (7, i16::from(digits), hole),
            Transform::Ranked => (8, 0, none),
        };
        let mut bytes = [0; HEADER_LEN];
        bytes[AT_VERSION] = VERSION;
        bytes[AT_PLANE] = self.plane;
        bytes[AT_PLANES] = self.planes;
        bytes[AT_ENCODING] = match self.encoding {
            StripEncoding::Constant => 0,
            StripEncoding::Raw => 1,
            StripEncoding::Zstd => 2,
            StripEncoding::Packed(Predictor::Plane) => 3,
            StripEncoding::Packed(Predictor::Left) => 4,
            StripEncoding::Packed(Predictor::Least) => 5,
        };
        bytes[AT_FILTER] = filter;
        bytes[AT_DTYPE] = code(self.dtype);
        bytes[AT_SCALE..AT_HOLE].copy_from_slice(&scale.to_le_bytes());
        bytes[AT_HOLE..AT_HOLE_BITS].copy_from_slice(&hole.image.to_le_bytes());
        bytes[AT_HOLE_BITS..AT_ROW_LEN].copy_from_slice(&hole.bits.to_le_bytes());
        bytes[AT_ROW_LEN..AT_FIRST_ROW].copy_from_slice(&self.row_len.to_le_bytes());
        bytes[AT_FIRST_ROW..AT_PAYLOAD_LEN].copy_from_slice(&self.first_row.to_le_bytes());
        bytes[AT_PAYLOAD_LEN..AT_DIGEST].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[AT_DIGEST..].copy_from_slice(&self.digest.to_le_bytes());
        bytes
    }

    /// Reads a header and refuses every field that has no meaning; the checksum is not looked at.
    pub(super) fn from_bytes(bytes: &[u8; HEADER_LEN]) -> Result<Self, DecodeError> {
        expect(
            "format version",
            u64::from(VERSION),
            u64::from(bytes[AT_VERSION]),
        )?;
        let invalid = |field, at: usize| DecodeError::Invalid {
            field,
            got: i64::from(bytes[at]),
        };
        let encoding = match bytes[AT_ENCODING] {
            0 => StripEncoding::Constant,
            1 => StripEncoding::Raw,
            2 => StripEncoding::Zstd,
            3 => StripEncoding::Packed(Predictor::Plane),
            4 => StripEncoding::Packed(Predictor::Left),
            5 => StripEncoding::Packed(Predictor::Least),
            _ => return Err(invalid("encoding", AT_ENCODING)),
        };
        let dtype = *DType::ALL
            .get(usize::from(bytes[AT_DTYPE]))
            .ok_or_else(|| invalid("dtype", AT_DTYPE))?;
        let scale = i16::from_le_bytes(field(bytes, AT_SCALE));
        let hole = Hole {
            bits: u64::from_le_bytes(field(bytes, AT_HOLE_BITS)),
            image: i64::from_le_bytes(field(bytes, AT_HOLE)),
        };
        let small = |scale: i16| {
            u8::try_from(scale).map_err(|_| DecodeError::Invalid {
                field: "scale",
                got: i64::from(scale),
            })
        };
        let transform = match bytes[AT_FILTER] {
            0 => Transform::None,
            1 => Transform::Shuffle,
            2 => Transform::Ordered {
                shift: small(scale)?,
            },
            3 => Transform::Fixed {
                exponent: scale,
                hole,
            },
            4 => Transform::Narrow {
                exponent: scale,
                width: Width::One,
            },
            5 => Transform::Narrow {
                exponent: scale,
                width: Width::Two,
            },
            6 => Transform::Narrow {
                exponent: scale,
                width: Width::Four,
            },
            7 => Transform::Decimal {
                digits: small(scale)?,
                hole,
            },
            8 => Transform::Ranked,
            _ => return Err(invalid("filter", AT_FILTER)),
        };
        let filtered = match encoding {
            StripEncoding::Constant | StripEncoding::Raw => transform == Transform::None,
            StripEncoding::Zstd => transform != Transform::Ranked,
            StripEncoding::Packed(_) => transform.has_image(),
        };
        if !transform.suits(dtype) || !filtered {
            return Err(invalid("filter", AT_FILTER));
        }
        let header = Self {
            plane: bytes[AT_PLANE],
            planes: bytes[AT_PLANES],
            encoding,
            transform,
            dtype,
            row_len: u32::from_le_bytes(field(bytes, AT_ROW_LEN)),
            first_row: u32::from_le_bytes(field(bytes, AT_FIRST_ROW)),
            payload_len: u32::from_le_bytes(field(bytes, AT_PAYLOAD_LEN)),
            digest: u128::from_le_bytes(field(bytes, AT_DIGEST)),
            checksum: u64::from_le_bytes(field(bytes, 0)),
        };
        // Scale and hole mean nothing to some filters; then they must be zero.
        if header.to_bytes()[AT_VERSION..] == bytes[AT_VERSION..] {
            Ok(header)
        } else {
            Err(DecodeError::Invalid {
                field: "scale or hole",
                got: i64::from(scale),
            })
        }
    }
}

impl StripHeader {
    /// The bytes of the strip.
    pub fn bytes(&self) -> u64 {
        HEADER_LEN as u64 + u64::from(self.payload_len)
    }

    /// Refuses a payload of a length that cells of `len` bytes cannot have.
    pub(super) fn check_len(&self, len: usize) -> Result<(), DecodeError> {
        let (len, got) = (len as u64, u64::from(self.payload_len));
        match self.encoding {
            StripEncoding::Constant => expect("payload length", self.dtype.size() as u64, got),
            StripEncoding::Raw => expect("payload length", len, got),
            StripEncoding::Zstd | StripEncoding::Packed(_) if got < len => Ok(()),
            StripEncoding::Zstd | StripEncoding::Packed(_) => {
                expect("payload length", len - 1, got)
            }
        }
    }
}

/// A field that has one right value.
pub(super) fn expect(field: &'static str, expected: u64, got: u64) -> Result<(), DecodeError> {
    if expected == got {
        Ok(())
    } else {
        Err(DecodeError::Field {
            field,
            expected,
            got,
        })
    }
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
