//! Why bytes are refused.

use std::fmt;

/// Why a blob or a record is refused. The caller knows, and adds, where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end too early.
    Truncated {
        /// Bytes needed from the start of the input.
        needed: usize,
        /// Bytes there are.
        got: usize,
    },
    /// Bytes are left over.
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// A field does not have the one value it can have here.
    Field {
        /// The name of the field.
        field: &'static str,
        /// The value the structure asks for.
        expected: u64,
        /// The value read.
        got: u64,
    },
    /// A field has a value without a meaning, or one that contradicts another field.
    Invalid {
        /// The name of the field.
        field: &'static str,
        /// The value read.
        got: i64,
    },
    /// The checksum over key, header and payload differs: damage, or a blob under another key.
    Checksum {
        /// The checksum computed.
        expected: u64,
        /// The checksum read.
        got: u64,
    },
    /// The payload is not the one zstd frame it must be.
    Frame {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The payload of a record is not what its type serialises to.
    Record {
        /// What is wrong with it.
        reason: String,
    },
    /// The caller asked for something impossible; the bytes may be good.
    Request {
        /// What was impossible.
        reason: &'static str,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { needed, got } => write!(f, "{got} bytes where {needed} are needed"),
            Self::Trailing { bytes } => write!(f, "{bytes} bytes after the end"),
            Self::Field {
                field,
                expected,
                got,
            } => write!(f, "the {field} is {got}, not {expected}"),
            Self::Invalid { field, got } => write!(f, "the {field} cannot be {got}"),
            Self::Checksum { expected, got } => {
                write!(f, "the checksum is {got:016x}, not {expected:016x}")
            }
            Self::Frame { reason } => write!(f, "the zstd frame {reason}"),
            Self::Record { reason } => write!(f, "the record does not decode: {reason}"),
            Self::Request { reason } => f.write_str(reason),
        }
    }
}

impl std::error::Error for DecodeError {}
