//! Aggregates as they would be were every pending mark consumed, computed within the reader's
//! snapshot.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::values::Values;
use crate::dirty::{Edge, derivation, pending_under, touches};
use crate::error::Result;
use crate::events::{BucketNode, Column, Events, ticks_of};
use crate::grid::Location;
use crate::key::{ChunkKey, LayerId, Ticks};
use crate::store::{ChunkReader, Pyramid};

/// What is there at a place, if anything is.
type SharedChunk<T> = Option<Rc<T>>;

/// Chunks that were read: of which layer, and where.
pub(super) type ReadChunks = Vec<(LayerId, Location)>;

/// Computes the up-to-date chunks of one layer in one thread.
pub(super) struct Fresh<'a, V: Values<'a>> {
    pub(super) values: V,
    chunks: ChunkReader<'a>,
    pyramid: &'a Pyramid,
    read: RefCell<ReadChunks>,
    /// What was computed, not merely read: of several dimensions, each place is a child of several
    /// parents.
    computed: RefCell<HashMap<Location, SharedChunk<V::Chunk>>>,
    /// What is inherited from places above others, computed or read.
    inherited: RefCell<HashMap<Location, SharedChunk<V::Chunk>>>,
    /// The events of buckets.
    events: RefCell<HashMap<Location, SharedChunk<Events<V::Chunk>>>>,
    /// The base chunks under locations above what is built, where nothing else tells what is worth
    /// looking at.
    beneath: RefCell<HashMap<Location, Rc<[Location]>>>,
}

impl<'a, V: Values<'a>> Fresh<'a, V> {
    pub(super) fn new(values: V, pyramid: &'a Pyramid) -> Self {
        Self {
            values,
            chunks: values.chunks(),
            pyramid,
            read: RefCell::default(),
            computed: RefCell::default(),
            inherited: RefCell::default(),
            events: RefCell::default(),
            beneath: RefCell::default(),
        }
    }

    /// Chunks read and decoded so far.
    pub(super) fn chunks_read(&self) -> u64 {
        self.read.borrow().len() as u64
    }

    /// Which they were.
    pub(super) fn into_read(self) -> ReadChunks {
        self.read.into_inner()
    }

    /// The effective value of a location; `pending` are the changes that it depends on.
    pub(super) fn effective(
        &self,
        at: &Location,
        pending: &[Edge],
    ) -> Result<Option<Rc<V::Chunk>>> {
        if let Some(chunk) = self.chunk(at, pending)? {
            return Ok(Some(chunk));
        }
        for above in self.chunks.above(at, &self.pyramid.base) {
            let chunk = if self.pyramid.base.heir(at.levels).is_some() {
                self.inherited(&above)?
            } else {
                self.base(&above)?
            };
            if let Some(chunk) = chunk {
                return Ok(Some(Rc::new(self.values.spread(&chunk, &above, at)?)));
            }
        }
        Ok(None)
    }

    /// The aggregate at a location that others inherit from. What changes it may lie beside them.
    fn inherited(&self, above: &Location) -> Result<Option<Rc<V::Chunk>>> {
        if let Some(known) = self.inherited.borrow().get(above) {
            return Ok(known.clone());
        }
        let pending = pending_under(
            self.chunks.grid,
            self.chunks.snapshot,
            (above, &[self.values.layer()]),
            &self.pyramid.base,
        )?;
        let chunk = self.chunk(above, &pending)?;
        self.inherited.borrow_mut().insert(*above, chunk.clone());
        Ok(chunk)
    }

    /// The chunk that belongs at a location itself. Nothing stored above what is built is trusted.
    fn chunk(&self, at: &Location, pending: &[Edge]) -> Result<Option<Rc<V::Chunk>>> {
        if let Some(known) = self.computed.borrow().get(at) {
            return Ok(known.clone());
        }
        if !self.is_stored(at) && self.beneath(at)?.is_empty() {
            return Ok(None);
        }
        if self
            .pyramid
            .base
            .irregular()
            .is_some_and(|d| at.levels[d] == self.pyramid.base.finest()[d])
        {
            let bins = self.bins(at, pending)?.map(Rc::new);
            self.computed.borrow_mut().insert(*at, bins.clone());
            return Ok(bins);
        }
        if let Some(base) = self.base(at)? {
            return Ok(Some(base));
        }
        let Some(dimension) = derivation(self.chunks.grid, at.levels, &self.pyramid.base) else {
            return Ok(None);
        };
        let old = if self.pyramid.built.covers(&at.levels) {
            self.stored(at)?
        } else {
            None
        };
        if self.pyramid.built.covers(&at.levels) && pending.is_empty() {
            return Ok(old.map(Rc::new));
        }
        let computed = self.compute(at, dimension, old, pending)?.map(Rc::new);
        self.computed.borrow_mut().insert(*at, computed.clone());
        Ok(computed)
    }

    /// The bins of a bucket.
    fn bins(&self, at: &Location, pending: &[Edge]) -> Result<Option<V::Chunk>> {
        if self.is_settled(at, pending) {
            return match self
                .chunks
                .node(Column::layer_of(&self.pyramid.base, at), at)?
            {
                None => Ok(None),
                Some(BucketNode::Branch) => self.bins_of_branch(at).map(Some),
                Some(BucketNode::Events(ticks)) => {
                    let planes = self.layer_of(at, &ticks)?;
                    self.values
                        .bins(
                            at,
                            &Events {
                                ticks: ticks.to_vec(),
                                planes,
                            },
                        )
                        .map(Some)
                }
            };
        }
        let events = self.events(at, pending)?;
        events
            .map(|events| self.values.bins(at, &events))
            .transpose()
    }

    /// Whether what is stored of a bucket is up to date.
    fn is_settled(&self, at: &Location, pending: &[Edge]) -> bool {
        self.pyramid.base.has(at.levels)
            || self.pyramid.built.covers(&at.levels) && pending.is_empty()
    }

    /// All events of a bucket.
    pub(super) fn events(
        &self,
        at: &Location,
        pending: &[Edge],
    ) -> Result<Option<Rc<Events<V::Chunk>>>> {
        if let Some(known) = self.events.borrow().get(at) {
            return Ok(known.clone());
        }
        let events = match self.is_settled(at, pending) {
            true => self.stored_events(at)?,
            false if !self.is_stored(at) && self.beneath(at)?.is_empty() => None,
            false => self.merged(at, pending)?,
        };
        let events = events.map(Rc::new);
        self.events.borrow_mut().insert(*at, events.clone());
        Ok(events)
    }

    fn stored_events(&self, at: &Location) -> Result<Option<Events<V::Chunk>>> {
        let column = Column::new(self.chunks, Column::layer_of(&self.pyramid.base, at), at);
        let Some(irregular) = self.chunks.grid.structure().irregular_axis() else {
            return Ok(None);
        };
        let mut parts = Vec::new();
        column.each(&irregular.ticks(at), &mut |at, ticks| {
            let planes = self.layer_of(&at, &ticks)?;
            parts.push(Events {
                ticks: ticks.to_vec(),
                planes,
            });
            Ok(())
        })?;
        Ok(self.values.join(at.levels, parts))
    }

    /// The events of a bucket, each made of the events of its tick below.
    fn merged(&self, at: &Location, pending: &[Edge]) -> Result<Option<Events<V::Chunk>>> {
        let grid = self.chunks.grid;
        let Some(dimension) = derivation(grid, at.levels, &self.pyramid.base) else {
            return Ok(None);
        };
        self.share_beneath(at, dimension)?;
        let mut parts = Vec::new();
        for (number, child) in (0_u8..=u8::MAX).zip(grid.structure().children(at, dimension)) {
            let reduced = |events: Rc<Events<V::Chunk>>| -> Result<_> {
                let planes = self.values.reduce(&events.planes, dimension, at.levels)?;
                Ok(Events {
                    ticks: events.ticks.clone(),
                    planes,
                })
            };
            let events = self.events(&child, &self.touching(pending, &child))?;
            parts.push((number, events.map(reduced).transpose()?));
        }
        let parts: Vec<_> = parts
            .iter()
            .map(|(number, events)| (*number, events.as_ref()))
            .collect();
        let ticks = ticks_of(&parts);
        let planes = || self.values.merge((at.levels, dimension), &ticks, &parts);
        Ok((!ticks.is_empty()).then(|| Events {
            planes: planes(),
            ticks: ticks.clone(),
        }))
    }

    fn compute(
        &self,
        at: &Location,
        dimension: usize,
        old: Option<V::Chunk>,
        pending: &[Edge],
    ) -> Result<Option<V::Chunk>> {
        let grid = self.chunks.grid;
        let inherits = self
            .pyramid
            .base
            .mixed()
            .is_some_and(|mixed| mixed != dimension);
        self.share_beneath(at, dimension)?;
        let (mut parts, mut has_child) = (Vec::new(), false);
        for (number, child) in (0_u8..=u8::MAX).zip(grid.structure().children(at, dimension)) {
            let under = self.touching(pending, &child);
            let changed = pending
                .iter()
                .any(|edge| edge.child == number && self.is_parent(edge, dimension, at));
            if old.is_some() && !changed && under.is_empty() {
                has_child = has_child || self.exists(&child)?;
                continue;
            }
            let own = self.chunk(&child, &under)?;
            has_child |= own.is_some();
            let chunk = if own.is_none() && inherits {
                self.effective(&child, &under)?
            } else {
                own
            };
            let reduce = |chunk: Rc<V::Chunk>| self.values.reduce(&chunk, dimension, at.levels);
            parts.push((number, chunk.map(reduce).transpose()?));
        }
        if !has_child {
            return Ok(None);
        }
        Ok(Some(self.values.assemble(old, parts, dimension, at.levels)))
    }

    /// The base chunks, or buckets, under a location.
    fn beneath(&self, at: &Location) -> Result<Rc<[Location]>> {
        if let Some(known) = self.beneath.borrow().get(at) {
            return Ok(Rc::clone(known));
        }
        let (grid, structure) = (self.chunks.grid, self.chunks.grid.structure());
        let mut found = Vec::new();
        for levels in self
            .pyramid
            .base
            .levels()
            .filter(|levels| at.levels.covers(levels))
        {
            let range = ChunkKey::subtree(grid.id(), structure, LayerId::BASE, at, levels);
            grid.directory(self.chunks.snapshot, range, &mut |chunk| {
                if structure.ancestor(&chunk.location, at.levels) == Some(*at) {
                    found.push(chunk.location);
                }
            })?;
        }
        let found: Rc<[Location]> = found.into();
        self.beneath.borrow_mut().insert(*at, Rc::clone(&found));
        Ok(found)
    }

    /// Tells the children of a location above what is built which of the base chunks under it are
    /// under them.
    fn share_beneath(&self, at: &Location, dimension: usize) -> Result<()> {
        if self.is_stored(at) {
            return Ok(());
        }
        let (all, structure) = (self.beneath(at)?, self.chunks.grid.structure());
        for child in structure.children(at, dimension) {
            let of_child = all
                .iter()
                .filter(|base| structure.ancestor(base, child.levels) == Some(child));
            self.beneath
                .borrow_mut()
                .insert(child, of_child.copied().collect());
        }
        Ok(())
    }

    /// Whether an edge ends at a location, or above it along the refinable dimension, so that the
    /// location's children inherit.
    fn is_parent(&self, edge: &Edge, dimension: usize, at: &Location) -> bool {
        let levels = match self
            .pyramid
            .base
            .mixed()
            .filter(|&mixed| edge.parent.levels[mixed] > at.levels[mixed])
        {
            Some(mixed) => edge.parent.levels.with(mixed, at.levels[mixed]),
            None => edge.parent.levels,
        };
        edge.dimension == dimension
            && levels == at.levels
            && touches(self.chunks.grid, &self.pyramid.base, edge, at)
    }

    /// The changes on which a location depends.
    pub(super) fn touching(&self, pending: &[Edge], at: &Location) -> Vec<Edge> {
        pending
            .iter()
            .filter(|edge| touches(self.chunks.grid, &self.pyramid.base, edge, at))
            .copied()
            .collect()
    }

    /// Whether a chunk under which nothing is pending is there.
    fn exists(&self, at: &Location) -> Result<bool> {
        Ok(match self.chunks.stored_in(at, &self.pyramid.base)? {
            Some(LayerId::BASE) => true,
            Some(_) => self.pyramid.built.covers(&at.levels),
            None => false,
        })
    }

    fn base(&self, at: &Location) -> Result<Option<Rc<V::Chunk>>> {
        if !self.pyramid.base.has(at.levels) {
            return Ok(None);
        }
        let base = self.values.base(at)?;
        self.count(LayerId::BASE, at, base.is_some());
        Ok(base.map(Rc::new))
    }

    /// Whether something of a location's level is stored.
    pub(super) fn is_stored(&self, at: &Location) -> bool {
        self.pyramid.base.has(at.levels) || self.pyramid.built.covers(&at.levels)
    }

    /// What the layer makes of a chunk of events.
    pub(super) fn layer_of(&self, at: &Location, ticks: &Ticks) -> Result<V::Chunk> {
        let layer = Column::layer_of(&self.pyramid.base, at);
        self.count(
            if layer == LayerId::BASE {
                layer
            } else {
                self.values.layer()
            },
            at,
            true,
        );
        self.values.events(at, &self.pyramid.base, ticks)
    }

    /// The chunk of cells that is stored at a location.
    pub(super) fn stored(&self, at: &Location) -> Result<Option<V::Chunk>> {
        let chunk = self.values.stored(at)?;
        self.count(self.values.layer(), at, chunk.is_some());
        Ok(chunk)
    }

    /// The bins of a branch, which are stored where it is.
    pub(super) fn bins_of_branch(&self, at: &Location) -> Result<V::Chunk> {
        self.stored(at)?.ok_or_else(|| self.chunks.binless(at))
    }

    fn count(&self, layer: LayerId, at: &Location, read: bool) {
        self.read.borrow_mut().extend(read.then_some((layer, *at)));
    }
}
