//! What a federation keeps, in the meta space: which stores its shards are, up to where the top has
//! followed them, and in each shard which one it is.

use serde::{Deserialize, Serialize};

use super::shards::{Shard, Shards};
use crate::error::Result;
use crate::feed::Token;
use crate::grid::{Level, Levels, Structure};
use crate::key::meta;
use crate::kv::{Snapshot, Space};
use crate::store::{Base, Grid, RecordKind, State, WindowRecord, decode_record, encode_record};

/// The manifest: it stands in the store of the top, and is replaced by commits that expect it as it
/// was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ShardManifest {
    /// What tells the federation from every other.
    pub(super) identity: u64,
    pub(super) dimension: String,
    pub(super) level: Level,
    pub(super) shards: Vec<Shard>,
}

impl ShardManifest {
    pub(super) fn division(&self) -> Shards {
        Shards {
            dimension: self.dimension.clone(),
            level: self.level.get(),
            shards: self.shards.clone(),
        }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        encode_record(RecordKind::Shards, self)
    }

    /// The manifest of a grid, with its bytes; `None` if the grid has no shards.
    pub(super) fn read(grid: &Grid, snapshot: &dyn Snapshot) -> Result<Option<(Self, Vec<u8>)>> {
        let Some(bytes) = bytes(snapshot, meta::shards(grid.id()))? else {
            return Ok(None);
        };
        let manifest = decode_record(RecordKind::Shards, &bytes).map_err(|e| grid.blame(e))?;
        Ok(Some((manifest, bytes)))
    }
}

/// Which shard a grid is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ShardRecord {
    pub(super) federation: u64,
    pub(super) name: String,
    pub(super) moves: u64,
}

impl ShardRecord {
    pub(super) fn of(federation: u64, shard: &Shard) -> Self {
        Self {
            federation,
            name: shard.name.clone(),
            moves: shard.moves,
        }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        encode_record(RecordKind::Shard, self)
    }

    pub(super) fn read(grid: &Grid, snapshot: &dyn Snapshot) -> Result<Option<Self>> {
        bytes(snapshot, meta::shard(grid.id()))?
            .map(|bytes| decode_record(RecordKind::Shard, &bytes).map_err(|e| grid.blame(e)))
            .transpose()
    }
}

/// Up to where the top has marks, or more, for what changed in each shard, in the order of the
/// manifest; and what the shards held by then.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Followed {
    pub(super) tokens: Vec<Option<Token>>,
    bounds: Option<WindowRecord>,
    used: Vec<Level>,
}

impl Followed {
    pub(super) fn new(tokens: Vec<Option<Token>>, state: &State) -> Self {
        Self {
            tokens,
            bounds: state.bounds.as_ref().map(WindowRecord::new),
            used: state.base.and_then(|base| base.used()).unwrap_or_default(),
        }
    }

    /// The record, with its bytes.
    pub(super) fn read(grid: &Grid, snapshot: &dyn Snapshot) -> Result<(Self, Option<Vec<u8>>)> {
        let bytes = bytes(snapshot, meta::followed(grid.id()))?;
        let record = bytes
            .as_deref()
            .map(|bytes| decode_record(RecordKind::Followed, bytes).map_err(|e| grid.blame(e)));
        Ok((record.transpose()?.unwrap_or_default(), bytes))
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        encode_record(RecordKind::Followed, self)
    }

    /// What the shards held.
    pub(super) fn state(&self, structure: &Structure) -> Result<State> {
        let Some(bounds) = &self.bounds else {
            return Ok(State::default());
        };
        let bounds = bounds.window(structure)?;
        let levels = bounds.levels(structure.dimensions().len());
        let with = |levels: Levels, level: Level| match structure.refinable() {
            Some(d) => levels.with(d, level),
            None => levels,
        };
        let base = self
            .used
            .iter()
            .fold(Base::new(structure, levels), |base, level| {
                base.with(with(base.finest(), *level))
            });
        Ok(State {
            bounds: Some(bounds),
            base: Some(base),
            ..State::default()
        })
    }
}

fn bytes(snapshot: &dyn Snapshot, key: Vec<u8>) -> Result<Option<Vec<u8>>> {
    let mut found = None;
    snapshot.get_many(Space::Meta, &[key], &mut |_, bytes| {
        found = bytes.map(<[u8]>::to_vec);
        Ok(())
    })?;
    Ok(found)
}
