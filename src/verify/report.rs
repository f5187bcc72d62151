//! What a verification found.

use std::fmt;

use crate::error::Error;
use crate::grid::Location;
use crate::key::LayerId;
use crate::store::{ChunkPlace, Grid};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Damage {
    /// A record of the store or of a grid cannot be read, or contradicts another.
    Record,
    /// A key that no grid has.
    Key,
    /// A chunk's bytes are damaged, or belong to another place.
    Chunk,
    /// The directory and the chunks disagree.
    Directory,
    /// An aggregate differs from its recomputation, and no mark says so (invariant 7).
    Wrong,
    /// An aggregate is missing above data, and no mark says so (invariants 5 and 7).
    Missing,
    /// An aggregate stands where no data is, or a base chunk at other levels than the rest
    /// (invariant 8).
    Stray,
    /// A mark that no commit could have written.
    Mark,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What is wrong.
    pub damage: Damage,
    /// The grid, where one is concerned.
    pub grid: Option<String>,
    /// The layer of the chunk, where one is concerned: `base`, or an aggregator's name.
    pub layer: Option<String>,
    /// Where the chunk stands.
    pub location: Option<Location>,
    /// A sentence that names the layer and the place.
    pub message: String,
}

impl Finding {
    pub(super) fn new(damage: Damage, grid: Option<String>, message: String) -> Self {
        Self {
            damage,
            grid,
            layer: None,
            location: None,
            message,
        }
    }

    /// What is wrong with a chunk: `what` follows its name.
    pub(super) fn at(
        grid: &Grid,
        damage: Damage,
        (layer, at): (LayerId, &Location),
        what: impl fmt::Display,
    ) -> Self {
        let message = format!(
            "grid `{}`: {} {what}",
            grid.name(),
            grid.chunk_name(layer, at)
        );
        Self {
            layer: Some(grid.layer_name(layer)),
            location: Some(*at),
            ..Self::new(damage, Some(grid.name()), message)
        }
    }

    /// That a chunk cannot be read, which the error names.
    pub(super) fn unreadable(grid: &Grid, error: &Error) -> Self {
        let place = error.subject::<ChunkPlace>();
        Self {
            layer: place.map(|place| grid.layer_name(place.layer)),
            location: place.map(|place| place.at),
            ..Self::new(Damage::Chunk, Some(grid.name()), error.sentence())
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What [`Store::verify`](crate::Store::verify) did and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Grids looked at.
    pub grids: u64,
    /// Chunks read, decoded and compared, counting each layer's.
    pub chunks: u64,
    /// The bytes of their blobs.
    pub bytes: u64,
    /// Aggregates recomputed, counting each layer's.
    pub recomputed: u64,
    /// Marks pending.
    pub marks: u64,
    /// What is wrong; empty if nothing is.
    pub findings: Vec<Finding>,
}

/// How thoroughly a store is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Thoroughness {
    /// Every value is read and its checksum compared, with that in the directory too. Nothing is
    /// decoded or recomputed.
    Quick,
    /// And every aggregate is recomputed from its children, down to the base.
    #[default]
    Full,
}
