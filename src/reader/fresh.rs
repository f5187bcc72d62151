//! Aggregates as they would be were every pending mark consumed, computed within the reader's snapshot.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::dirty::{Edge, derivation, touches};
use crate::error::Result;
use crate::grid::{Levels, Location};
use crate::kernel::Chunk;
use crate::key::LayerId;
use crate::store::{Base, BaseChunk, ChunkReader, LayerSpec};

/// Computes the up-to-date chunks of one layer in one thread.
pub(super) struct Fresh<'a> {
    chunks: ChunkReader<'a>,
    layer: &'a LayerSpec,
    base: &'a Base,
    built: Levels,
    read: Cell<u64>,
    /// What was computed, not merely read: of several dimensions, each place is a child of several parents.
    computed: RefCell<HashMap<Location, Option<Rc<Chunk>>>>,
}

impl<'a> Fresh<'a> {
    pub(super) fn new(chunks: ChunkReader<'a>, layer: &'a LayerSpec, base: &'a Base, built: Levels) -> Self {
        Self { chunks, layer, base, built, read: Cell::new(0), computed: RefCell::default() }
    }

    /// Chunks read and decoded so far.
    pub(super) fn chunks_read(&self) -> u64 {
        self.read.get()
    }

    /// The effective value of a location; `pending` are the changes that it depends on.
    pub(super) fn effective(&self, at: &Location, pending: &[Edge]) -> Result<Option<Rc<Chunk>>> {
        if let Some(chunk) = self.chunk(at, pending)? {
            return Ok(Some(chunk));
        }
        for above in self.chunks.above(at, self.base) {
            let chunk = if self.base.heir(at.levels).is_some() {
                self.chunk(&above, &self.touching(pending, &above))?
            } else {
                self.base(&above)?
            };
            if let Some(chunk) = chunk {
                return Ok(Some(Rc::new(self.chunks.spread_layer(self.layer, Chunk::clone(&chunk), &above, at)?)));
            }
        }
        Ok(None)
    }

    /// The chunk that belongs at a location itself. Nothing stored above what is built is trusted.
    fn chunk(&self, at: &Location, pending: &[Edge]) -> Result<Option<Rc<Chunk>>> {
        if let Some(known) = self.computed.borrow().get(at) {
            return Ok(known.clone());
        }
        if let Some(base) = self.base(at)? {
            return Ok(Some(base));
        }
        let Some(dimension) = derivation(self.chunks.grid, at.levels, self.base) else { return Ok(None) };
        let old = if self.built.covers(&at.levels) { self.stored(at)? } else { None };
        if self.built.covers(&at.levels) && pending.is_empty() {
            return Ok(old.map(Rc::new));
        }
        let computed = self.compute(at, dimension, old, pending)?.map(Rc::new);
        self.computed.borrow_mut().insert(*at, computed.clone());
        Ok(computed)
    }

    fn compute(&self, at: &Location, dimension: usize, old: Option<Chunk>, pending: &[Edge]) -> Result<Option<Chunk>> {
        let grid = self.chunks.grid;
        let halving = grid.halving(dimension);
        let inherits = self.base.mixed().is_some_and(|mixed| mixed != dimension);
        let (mut parts, mut has_child) = (Vec::new(), false);
        for (number, child) in (0_u8..=u8::MAX).zip(grid.structure().children(at, dimension)) {
            let under = self.touching(pending, &child);
            let changed = pending.iter().any(|edge| edge.child == number && self.is_parent(edge, dimension, at));
            if old.is_some() && !changed && under.is_empty() {
                has_child = has_child || self.exists(&child)?;
                continue;
            }
            let own = self.chunk(&child, &under)?;
            has_child |= own.is_some();
            let chunk = if own.is_none() && inherits { self.effective(&child, &under)? } else { own };
            let reduce = |chunk: Rc<Chunk>| self.chunks.reduce(self.layer, &chunk, &halving, at.levels);
            parts.push((number, chunk.map(reduce).transpose()?));
        }
        if !has_child {
            return Ok(None);
        }
        Ok(Some(self.chunks.assemble(self.layer, old, &parts, &halving, at.levels)))
    }

    /// Whether an edge ends at a location, or above it along the refinable dimension, so that the location's children inherit.
    fn is_parent(&self, edge: &Edge, dimension: usize, at: &Location) -> bool {
        let levels = match self.base.mixed().filter(|&mixed| edge.parent.levels[mixed] > at.levels[mixed]) {
            Some(mixed) => edge.parent.levels.with(mixed, at.levels[mixed]),
            None => edge.parent.levels,
        };
        edge.dimension == dimension && levels == at.levels && touches(self.chunks.grid, self.base, edge, at)
    }

    fn touching(&self, pending: &[Edge], at: &Location) -> Vec<Edge> {
        pending.iter().filter(|edge| touches(self.chunks.grid, self.base, edge, at)).copied().collect()
    }

    /// Whether a chunk under which nothing is pending is there.
    fn exists(&self, at: &Location) -> Result<bool> {
        Ok(match self.chunks.stored_in(at, self.base)? {
            Some(LayerId::BASE) => true,
            Some(_) => self.built.covers(&at.levels),
            None => false,
        })
    }

    fn base(&self, at: &Location) -> Result<Option<Rc<Chunk>>> {
        if !self.base.has(at.levels) {
            return Ok(None);
        }
        let full = self.chunks.grid.full(at.levels);
        let base = self.chunks.base(at)?;
        self.count(base.is_some());
        let lift = |base: BaseChunk| self.chunks.lift_layer(self.layer, &base.weigh(self.chunks.grid.schema(), full), at.levels);
        Ok(base.map(lift).transpose()?.map(Rc::new))
    }

    fn stored(&self, at: &Location) -> Result<Option<Chunk>> {
        let chunk = self.chunks.layer(self.layer, at)?;
        self.count(chunk.is_some());
        Ok(chunk)
    }

    fn count(&self, read: bool) {
        self.read.set(self.read.get() + u64::from(read));
    }
}
