//! Carries changed chunks up to the top, in parallel, each aggregate once.
//!
//! A node is computed by whoever delivers the last of the changes it waits for, so children are handed on decoded, in
//! memory, and dropped as soon as their parents have taken their part. Only what may be inherited is kept to the end.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use rayon::prelude::*;

use super::plan::{Feed, Node, Plan};
use crate::error::Result;
use crate::grid::{Levels, Location};
use crate::kernel::Chunk;
use crate::key::LayerId;
use crate::store::{Base, ChunkReader, LayerChunks, lock};

/// What became of a chunk, or of the part of a parent that it stands for: one chunk a layer.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// It is what it was.
    Same,
    /// It is not there any more.
    Gone,
    /// It is this now.
    Now(LayerChunks),
}

/// A chunk to be written, or deleted if there is no blob.
#[derive(Debug)]
pub(crate) struct ChunkWrite {
    pub(crate) layer: LayerId,
    pub(crate) at: Location,
    pub(crate) blob: Option<Vec<u8>>,
}

/// A change that reached a node.
#[derive(Debug)]
enum Arrival {
    /// The part that a child stands for now.
    Child(Part),
    /// Whether something changed above a child along the refinable dimension.
    Above(bool),
}

/// The part of a node that a child stands for, and whether that child is stored itself, not inherited.
struct Resolved {
    part: Option<LayerChunks>,
    stored: bool,
}

/// One run over a plan.
pub(crate) struct Propagation<'a> {
    chunks: ChunkReader<'a>,
    plan: &'a Plan,
    base: &'a Base,
    /// The levels up to which aggregates are stored now.
    built: Levels,
    arrived: Vec<Mutex<Vec<(u8, Arrival)>>>,
    /// What became of the chunks that others may inherit from, and whether each is an aggregate of this run.
    kept: HashMap<Location, (bool, Mutex<Option<Part>>)>,
    writes: Mutex<Vec<ChunkWrite>>,
}

impl<'a> Propagation<'a> {
    /// Prepares a run; `built` are the levels up to which aggregates are stored.
    pub(crate) fn new(chunks: ChunkReader<'a>, plan: &'a Plan, base: &'a Base, built: Levels) -> Self {
        let arrived = plan.nodes.iter().map(|_| Mutex::default()).collect();
        let inherited = |feeds: &[Feed]| feeds.iter().any(|feed| feed.above);
        let nodes = plan.nodes.iter().filter(|node| inherited(&node.feeds)).map(|node| (node.at, true));
        let leaves = plan.leaves.iter().filter(|leaf| inherited(&leaf.feeds)).map(|leaf| (leaf.at, false));
        let kept = nodes.chain(leaves).map(|(at, aggregate)| (at, (aggregate, Mutex::default()))).collect();
        Self { chunks, plan, base, built, arrived, kept, writes: Mutex::default() }
    }

    /// Adds a write to those of the run.
    pub(crate) fn emit(&self, write: ChunkWrite) {
        lock(&self.writes).push(write);
    }

    /// Visits every leaf and computes every node. `leaf` says what became of a leaf, and may emit writes of its own.
    pub(crate) fn run(self, leaf: &(dyn Fn(&Self, &Location) -> Result<Part> + Sync)) -> Result<Vec<ChunkWrite>> {
        self.plan.leaves.par_iter().with_max_len(1).try_for_each(|changed| {
            let now = leaf(&self, &changed.at)?;
            self.deliver(&changed.at, &changed.feeds, &now)
        })?;
        debug_assert!(
            self.plan.nodes.iter().zip(&self.arrived).all(|(node, arrived)| node.changes > 0 && lock(arrived).is_empty()),
            "a node waits for what never comes"
        );
        Ok(self.writes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Hands a change to the nodes it feeds, and computes those that waited for nothing else.
    fn deliver(&self, at: &Location, feeds: &[Feed], now: &Part) -> Result<()> {
        if let Some((_, kept)) = self.kept.get(at) {
            *lock(kept) = Some(now.clone());
        }
        for feed in feeds {
            let node = &self.plan.nodes[feed.node];
            let arrival = if feed.above {
                Arrival::Above(!matches!(now, Part::Same))
            } else {
                Arrival::Child(match now {
                    Part::Now(chunks) => Part::Now(self.halve(node, chunks)?),
                    other => other.clone(),
                })
            };
            let complete = {
                let mut arrived = lock(&self.arrived[feed.node]);
                arrived.push((feed.child, arrival));
                (arrived.len() == node.changes).then(|| std::mem::take(&mut *arrived))
            };
            if let Some(arrived) = complete {
                self.compute(node, arrived)?;
            }
        }
        Ok(())
    }

    /// The part of a node that a child stands for.
    fn halve(&self, node: &Node, child: &LayerChunks) -> Result<LayerChunks> {
        let halving = self.chunks.grid.halving(node.dimension);
        let layers = self.chunks.grid.layers().iter().zip(child);
        layers.map(|(layer, chunk)| self.chunks.reduce(layer, chunk, &halving, node.at.levels)).collect()
    }

    /// Whether aggregates are stored at the levels of a location.
    fn is_built(&self, at: &Location) -> bool {
        self.built.covers(&at.levels)
    }

    fn stored(&self, at: &Location) -> Result<Option<LayerChunks>> {
        if self.is_built(at) || self.base.has(at.levels) { self.chunks.stored(at, self.base) } else { Ok(None) }
    }

    /// Whether a chunk that this run does not change is stored.
    fn is_stored(&self, at: &Location) -> Result<bool> {
        match self.chunks.stored_in(at, self.base)? {
            Some(LayerId::BASE) => Ok(!self.plan.split.contains(at)),
            Some(_) => Ok(self.is_built(at)),
            None => Ok(false),
        }
    }

    fn compute(&self, node: &Node, arrived: Vec<(u8, Arrival)>) -> Result<()> {
        let mut children: BTreeMap<u8, (Option<Part>, bool)> = BTreeMap::new();
        for (child, arrival) in arrived {
            let (direct, above) = children.entry(child).or_default();
            match arrival {
                Arrival::Child(part) => *direct = Some(part),
                Arrival::Above(changed) => *above |= changed,
            }
        }
        children.retain(|_, (direct, above)| *above || !matches!(direct, None | Some(Part::Same)));
        // Above what is built even an unchanged child is news.
        if children.is_empty() && self.is_built(&node.at) {
            return self.deliver(&node.at, &node.feeds, &Part::Same);
        }
        if self.base.has(node.at.levels) && !self.plan.split.contains(&node.at) && self.chunks.exists(LayerId::BASE, &node.at)? {
            // What was an aggregate is base data again, and nobody's parent.
            self.remove(node)?;
            return self.deliver(&node.at, &node.feeds, &Part::Same);
        }
        let places: Vec<Location> = self.chunks.grid.structure().children(&node.at, node.dimension).collect();
        let old = if children.len() < places.len() { self.stored(&node.at)? } else { None };
        let mut parts: Vec<(u8, Option<LayerChunks>)> = Vec::new();
        let mut has_child = false;
        for (number, place) in (0_u8..=u8::MAX).zip(&places) {
            let changed = children.remove(&number);
            if changed.is_some() || old.is_none() {
                let resolved = self.resolve(node, place, changed.and_then(|(direct, _)| direct))?;
                has_child |= resolved.stored;
                parts.push((number, resolved.part));
            } else if !has_child {
                has_child = self.is_stored(place)?;
            }
        }
        if !has_child {
            let was = self.remove(node)? || old.is_some() || self.plan.split.contains(&node.at);
            return self.deliver(&node.at, &node.feeds, if was { &Part::Gone } else { &Part::Same });
        }
        let now = Part::Now(self.assemble(node, old, parts));
        rayon::join(|| self.encode(node, &now), || self.deliver(&node.at, &node.feeds, &now)).1
    }

    /// Deletes an aggregate, if there is one.
    fn remove(&self, node: &Node) -> Result<bool> {
        let layers = self.chunks.grid.layers();
        let exists = self.chunks.exists(layers[0].id, &node.at)?;
        if exists {
            layers.iter().for_each(|layer| self.emit(ChunkWrite { layer: layer.id, at: node.at, blob: None }));
        }
        Ok(exists)
    }

    /// The part of a node that a child stands for after this run, by its effective value unless the node derives along the
    /// refinable dimension. `direct` is what became of the child, if it is in the run.
    fn resolve(&self, node: &Node, child: &Location, direct: Option<Part>) -> Result<Resolved> {
        let gone = matches!(direct, Some(Part::Gone));
        if let Some(Part::Now(part)) = direct {
            return Ok(Resolved { part: Some(part), stored: true });
        }
        if !gone && self.is_stored(child)? {
            let part = self.stored(child)?.map(|chunks| self.halve(node, &chunks)).transpose()?;
            return Ok(Resolved { part, stored: true });
        }
        let nothing = Resolved { part: None, stored: false };
        if self.base.mixed() == Some(node.dimension) {
            return Ok(nothing);
        }
        for above in self.chunks.above(child, self.base) {
            let kept = self.kept.get(&above).and_then(|(_, kept)| lock(kept).clone());
            let chunks = match kept {
                Some(Part::Now(chunks)) if self.can_leave(child, &above)? => Some(chunks),
                Some(Part::Now(_) | Part::Gone) => None,
                Some(Part::Same) | None => match self.chunks.stored_in(&above, self.base)? {
                    Some(LayerId::BASE) if self.plan.split.contains(&above) => None,
                    Some(layer) if layer == LayerId::BASE || self.base.heir(child.levels).is_some() => self.stored(&above)?,
                    _ => None,
                },
            };
            if let Some(chunks) = chunks {
                let part = self.halve(node, &self.chunks.spread(&chunks, &above, child)?)?;
                return Ok(Resolved { part: Some(part), stored: false });
            }
        }
        Ok(nothing)
    }

    /// Whether what this run makes of a place above a child can be inherited: where only base data can, whether it is that.
    fn can_leave(&self, child: &Location, above: &Location) -> Result<bool> {
        let aggregate = || -> Result<bool> {
            let computed = self.kept.get(above).is_some_and(|(aggregate, _)| *aggregate);
            Ok(computed || self.chunks.stored_in(above, self.base)?.is_some_and(|layer| layer != LayerId::BASE))
        };
        Ok(self.base.heir(child.levels).is_some() || !aggregate()?)
    }

    fn assemble(&self, node: &Node, old: Option<LayerChunks>, parts: Vec<(u8, Option<LayerChunks>)>) -> LayerChunks {
        let grid = self.chunks.grid;
        let halving = grid.halving(node.dimension);
        let mut old: Vec<Option<Chunk>> = match old {
            Some(chunks) => chunks.into_iter().map(Some).collect(),
            None => grid.layers().iter().map(|_| None).collect(),
        };
        let mut by_layer: Vec<Vec<(u8, Option<Chunk>)>> = grid.layers().iter().map(|_| Vec::new()).collect();
        for (child, part) in parts {
            match part {
                Some(chunks) => by_layer.iter_mut().zip(chunks).for_each(|(parts, chunk)| parts.push((child, Some(chunk)))),
                None => by_layer.iter_mut().for_each(|parts| parts.push((child, None))),
            }
        }
        let layers = grid.layers().iter().zip(old.iter_mut()).zip(&by_layer);
        layers.map(|((layer, old), parts)| self.chunks.assemble(layer, old.take(), parts, &halving, node.at.levels)).collect()
    }

    fn encode(&self, node: &Node, now: &Part) {
        let Part::Now(chunks) = now else { return };
        for (layer, chunk) in self.chunks.grid.layers().iter().zip(chunks) {
            let blob = self.chunks.encode_layer(layer, &node.at, chunk);
            self.emit(ChunkWrite { layer: layer.id, at: node.at, blob: Some(blob) });
        }
    }
}
