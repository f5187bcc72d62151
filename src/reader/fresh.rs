//! Aggregates as they would be were every pending mark consumed, computed within the reader's snapshot.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::dirty::{Edge, derivation};
use crate::error::Result;
use crate::grid::{Levels, Location};
use crate::kernel::Chunk;
use crate::store::{ChunkReader, LayerSpec};

/// Computes the up-to-date chunks of one layer.
pub(super) struct Fresh<'a> {
    chunks: ChunkReader<'a>,
    layer: &'a LayerSpec,
    base: Levels,
    built: Levels,
    read: AtomicU64,
}

impl<'a> Fresh<'a> {
    pub(super) fn new(chunks: ChunkReader<'a>, layer: &'a LayerSpec, base: Levels, built: Levels) -> Self {
        Self { chunks, layer, base, built, read: AtomicU64::new(0) }
    }

    /// Chunks read and decoded so far.
    pub(super) fn chunks_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// The chunk at a location; `pending` are the changes in its subtree. Nothing stored above what is built is trusted.
    pub(super) fn chunk(&self, at: &Location, pending: &[Edge]) -> Result<Option<Chunk>> {
        let built = at.levels.iter().zip(self.built.iter()).all(|(level, built)| level <= built);
        let Some(dimension) = derivation(self.chunks.grid, at.levels, self.base) else { return self.base(at) };
        let old = if built { self.stored(at)? } else { None };
        if built && pending.is_empty() {
            return Ok(old);
        }
        let grid = self.chunks.grid;
        let halving = grid.halving(dimension);
        let mut parts = Vec::new();
        for (number, child) in (0_u8..=u8::MAX).zip(grid.structure().children(at, dimension)) {
            let under: Vec<Edge> = pending
                .iter()
                .filter(|edge| grid.structure().ancestor(&edge.parent, child.levels) == Some(child))
                .copied()
                .collect();
            let changed = pending.iter().any(|edge| edge.parent == *at && edge.child == number);
            if old.is_none() || changed || !under.is_empty() {
                let reduce = |chunk: Chunk| self.chunks.reduce(self.layer, &chunk, &halving, at.levels);
                parts.push((number, self.chunk(&child, &under)?.map(reduce).transpose()?));
            }
        }
        if old.is_none() && parts.iter().all(|(_, part)| part.is_none()) {
            return Ok(None);
        }
        Ok(Some(self.chunks.assemble(self.layer, old, &parts, &halving, at.levels)))
    }

    fn base(&self, at: &Location) -> Result<Option<Chunk>> {
        let full = self.chunks.grid.full(self.base);
        let base = self.chunks.base(at)?;
        self.read.fetch_add(u64::from(base.is_some()), Ordering::Relaxed);
        base.map(|base| self.chunks.lift_layer(self.layer, &base.weigh(self.chunks.grid.schema(), full), self.base)).transpose()
    }

    fn stored(&self, at: &Location) -> Result<Option<Chunk>> {
        let chunk = self.chunks.layer(self.layer, at)?;
        self.read.fetch_add(u64::from(chunk.is_some()), Ordering::Relaxed);
        Ok(chunk)
    }
}
