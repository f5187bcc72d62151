//! Where things are: dimensions, levels, chunks, cells and world coordinates. Values only, no I/O.
//!
//! # The index space
//!
//! Every axis numbers its chunks with signed integers that are unbounded in practice, and every
//! pair of chunks must meet in a common ancestor. With plain floor division, chunks -1 and 0 never
//! do. So the signed index `i` of a chunk at level `l` is mapped onto an unsigned *code* of `w(l)`
//! bits, with the origin at one third of the space:
//!
//! ```text
//! w(l) = 64 - (l - finest)        code(l, i) = i + floor(2^w(l) / 3)        parent code = code >> 1
//! ```
//!
//! Because `floor(2^k / 3) >> 1 = floor(2^(k-1) / 3)`, chunk 0 is always an ancestor of chunk 0,
//! and since one third is `0.010101...` in binary, the place of the seam alternates from level to
//! level: two chunks at distance `n` from the origin, on whichever sides, meet within `log2(n) + 2`
//! levels.

mod axis;
mod dimension;
mod elsewhere;
mod geometry;
mod level;
mod location;
pub mod longitude;
mod schema;
mod structure;
mod ticks;
mod tuple;
mod window;
mod world;

pub use axis::Axis;
pub(crate) use axis::check_name;
pub use dimension::{Depth, Dimension, DimensionKind};
pub(crate) use elsewhere::{Elsewhere, ElsewhereOnLevel};
pub use geometry::{Geometry, Line};
pub use level::{Level, Levels};
pub use location::Location;
pub use schema::{Schema, SchemaBuilder};
pub use structure::{Piece, Structure, StructureBuilder};
pub(crate) use ticks::Irregular;
pub use tuple::{CellIndex, ChunkIndex, MAX_AXES, Shape, Tuple};
pub use window::{Extent, Window};
