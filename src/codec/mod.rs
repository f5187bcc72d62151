//! Cells to bytes and back: chunks to blobs, small values to records. Pure: no I/O.
//!
//! A blob is one plane or more, each of one strip or more, each of these a fixed header and a
//! payload (`header.rs` has the layout). A strip is a run of rows that is compressed for itself:
//! about 32 kB of a chunk that is one image of the last two axes, 8 kB of others (`strip.rs`). So
//! what is read decodes the strips it is in, and where one changes the others are taken over as
//! they are. Bytes are refused unless they are what `encode` would write for a chunk of the
//! caller's structure: sizes come from the caller, never from the blob, and the checksum over key,
//! header and payload is verified before anything is decompressed.
//!
//! Under [`Codec::Fast`] cells become numbers of an image (`image.rs`: the bits as they are,
//! multiples of a power of two or ten, or the ranks of few values), of which the strip's least, the
//! left neighbour or the plane through three neighbours is taken, whichever leaves the least of a
//! sample (`predict.rs`); what is left is packed at the least width (`pack.rs`).
//!
//! The delta filter before zstd predicts a cell from its left, upper and upper left neighbours
//! (left + above - upper left) in an integer image of the cells (`image.rs`), and zigzags and
//! shuffles what is left.
//!
//! Its size as part of plain zstd 1, of 256 x 256 cells as one strip: elevation as `f32` in eighths
//! 0.37 (byte shuffle 0.76; in the ordered image 0.42, and without its shift 0.55; row above alone
//! 0.43, left alone 0.44), `i16` elevation 0.43 (0.54, 0.51; without zigzag 0.58), with noise 0.68.
//! But radar rain with few distinct values 2.4: hence [`Filter::Auto`]. One core, GB/s: encode 0.73
//! (0.63 with `Auto`; zstd alone 1.05), decode 1.85 (2.85); plain zstd 0.22 and 0.75.

#![deny(unsafe_code)]

mod blob;
#[expect(
    unsafe_code,
    reason = "code for AVX2 is called where the machine has it"
)]
mod delta;
mod digest;
mod encode;
mod error;
mod frame;
mod header;
mod image;
mod narrow;
mod pack;
mod predict;
mod ranks;
mod record;
mod strip;
mod word;

#[cfg(test)]
mod blob_tests;
#[cfg(test)]
mod choice_tests;
#[cfg(test)]
mod strip_tests;

#[cfg(any(test, feature = "testing"))]
pub use blob::inspect;
pub use blob::{BlobSpec, checksum_of, decode, decode_into, decode_plane_into, strips, verify};
pub use digest::Digest;
pub use encode::encode;
pub use error::DecodeError;
#[cfg(any(test, feature = "testing"))]
pub use header::{HEADER_LEN, StripEncoding, StripHeader};
#[cfg(any(test, feature = "testing"))]
pub use image::{Hole, Transform};
#[cfg(any(test, feature = "testing"))]
pub use narrow::Width;
#[cfg(any(test, feature = "testing"))]
pub use predict::Predictor;
pub use record::{decode_record, encode_record, is_record, mended_record};
pub use strip::has_strips;
#[cfg(feature = "zarr")]
pub(crate) use word::shuffled;

use crate::array::{Cells, DType};

/// What is done to cells so that they compress well. Every filter can be undone bit for bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Filter {
    /// Nothing: for classes, masks and other cells whose neighbours are equal or unrelated.
    None,
    /// All lowest bytes first, then all second bytes and so on.
    Shuffle,
    /// What a linear prediction from the neighbours leaves, shuffled: for measurements.
    Delta,
    /// [`Filter::Delta`] or [`Filter::None`], whichever makes a sample of the rows smaller.
    Auto,
    /// Doubles that are small whole numbers times a power of two as these numbers; others stay as
    /// they are: for areas.
    Narrow,
}

impl Filter {
    /// The filter that suits most data of a type. No type tells a measurement from a class, so it
    /// is tried out.
    pub const fn default_for(_: DType) -> Self {
        Self::Auto
    }
}

/// What speed is traded for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum Codec {
    /// Predictions from neighbours at the least width, at the speed of memory; zstd only where that
    /// saves more than half of the raw bytes beside it, as a sample tells.
    #[default]
    Fast,
    /// Always zstd, which is about ten times slower, and mostly takes a tenth to a third less.
    Small,
}

/// How cells are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What speed is traded for.
    pub codec: Codec,
    /// The level of zstd where it is used.
    pub level: i32,
}

/// A plane to be encoded.
#[derive(Clone, Copy, Debug)]
pub struct RawPlane<'a> {
    /// The cells, in C order.
    pub cells: &'a Cells,
    /// What to do to them before compression.
    pub filter: Filter,
    /// The bits of the cell that stands for no data: of floats, wide places of it cost next to
    /// nothing.
    pub hole: u64,
}

impl<'a> RawPlane<'a> {
    /// A plane whose cells without data have a value: NaN unless told otherwise.
    pub fn new(cells: &'a Cells, filter: Filter, fill: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the float that stands for it"
        )]
        let hole = match cells.dtype() {
            DType::F32 => u64::from((fill as f32).to_bits()),
            _ => fill.to_bits(),
        };
        Self {
            cells,
            filter,
            hole,
        }
    }
}
