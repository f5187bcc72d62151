//! Carries changed chunks up to the top, in parallel, each aggregate once.
//!
//! A node is computed by whoever delivers the last of the changes it waits for, so children are handed on decoded, in
//! memory, and dropped as soon as their parents have taken their part.

use std::sync::Mutex;

use rayon::prelude::*;

use super::plan::{Node, Plan};
use crate::error::Result;
use crate::grid::{Levels, Location};
use crate::kernel::Chunk;
use crate::key::LayerId;
use crate::store::{ChunkReader, LayerChunks, lock};

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

/// One run over a plan.
pub(crate) struct Propagation<'a> {
    chunks: ChunkReader<'a>,
    plan: &'a Plan,
    base: Levels,
    /// The levels up to which aggregates are stored now.
    built: Levels,
    arrived: Vec<Mutex<Vec<(u8, Part)>>>,
    writes: Mutex<Vec<ChunkWrite>>,
}

impl<'a> Propagation<'a> {
    /// Prepares a run; `built` are the levels up to which aggregates are stored.
    pub(crate) fn new(chunks: ChunkReader<'a>, plan: &'a Plan, base: Levels, built: Levels) -> Self {
        let arrived = plan.nodes.iter().map(|_| Mutex::default()).collect();
        Self { chunks, plan, base, built, arrived, writes: Mutex::default() }
    }

    /// Adds a write to those of the run.
    pub(crate) fn emit(&self, write: ChunkWrite) {
        lock(&self.writes).push(write);
    }

    /// Visits every leaf and computes every node. `leaf` says what became of a leaf.
    pub(crate) fn run(self, leaf: &(dyn Fn(&Location) -> Result<Part> + Sync)) -> Result<Vec<ChunkWrite>> {
        self.run_with(&|_, at| leaf(at))
    }

    /// The same; `leaf` may emit writes of its own.
    pub(crate) fn run_with(self, leaf: &(dyn Fn(&Self, &Location) -> Result<Part> + Sync)) -> Result<Vec<ChunkWrite>> {
        self.plan.leaves.par_iter().with_max_len(1).try_for_each(|changed| {
            let now = leaf(&self, &changed.at)?;
            self.deliver(&changed.feeds, &now)
        })?;
        Ok(self.writes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Hands a change to the nodes it feeds, and computes those that waited for nothing else.
    fn deliver(&self, feeds: &[(usize, u8)], now: &Part) -> Result<()> {
        for &(number, child) in feeds {
            let node = &self.plan.nodes[number];
            let part = self.halve(node, now)?;
            let complete = {
                let mut arrived = lock(&self.arrived[number]);
                arrived.push((child, part));
                (arrived.len() == node.changes).then(|| std::mem::take(&mut *arrived))
            };
            if let Some(parts) = complete {
                self.compute(node, parts)?;
            }
        }
        Ok(())
    }

    /// The part of a node that a child stands for.
    fn halve(&self, node: &Node, child: &Part) -> Result<Part> {
        Ok(match child {
            Part::Now(chunks) => {
                let halving = self.chunks.grid.halving(node.dimension);
                let layers = self.chunks.grid.layers().iter().zip(chunks);
                Part::Now(
                    layers
                        .map(|(layer, chunk)| self.chunks.reduce(layer, chunk, &halving, node.at.levels))
                        .collect::<Result<_>>()?,
                )
            }
            Part::Gone => Part::Gone,
            Part::Same => Part::Same,
        })
    }

    /// Whether aggregates are stored at the levels of a location.
    fn is_built(&self, at: &Location) -> bool {
        at.levels.iter().zip(self.built.iter()).all(|(level, built)| level <= built)
    }

    fn stored(&self, at: &Location) -> Result<Option<LayerChunks>> {
        if self.is_built(at) { self.chunks.layers(at, self.base) } else { Ok(None) }
    }

    fn compute(&self, node: &Node, mut parts: Vec<(u8, Part)>) -> Result<()> {
        parts.retain(|(_, part)| !matches!(part, Part::Same));
        // Above what is built even an unchanged child is news.
        if parts.is_empty() && self.is_built(&node.at) {
            return self.deliver(&node.feeds, &Part::Same);
        }
        parts.sort_by_key(|(child, _)| *child);
        let structure = self.chunks.grid.structure();
        let children: Vec<Location> = structure.children(&node.at, node.dimension).collect();
        let old = if parts.len() < children.len() { self.stored(&node.at)? } else { None };
        if old.is_none() {
            self.add_unchanged(node, &children, &mut parts)?;
        }
        if parts.is_empty() {
            return self.deliver(&node.feeds, &Part::Same);
        }
        if !self.has_child(&children, &parts, old.is_some())? {
            let layers = self.chunks.grid.layers();
            if self.chunks.exists(layers[0].id, &node.at)? {
                layers.iter().for_each(|layer| self.emit(ChunkWrite { layer: layer.id, at: node.at, blob: None }));
            }
            return self.deliver(&node.feeds, &Part::Gone);
        }
        let now = Part::Now(self.assemble(node, old, parts));
        let (written, delivered) = rayon::join(|| self.encode(node, &now), || self.deliver(&node.feeds, &now));
        written.and(delivered)
    }

    /// An aggregate that is not stored is computed from all its children: adds those that did not change.
    fn add_unchanged(&self, node: &Node, children: &[Location], parts: &mut Vec<(u8, Part)>) -> Result<()> {
        for (number, child) in (0_u8..=u8::MAX).zip(children) {
            if parts.iter().any(|(changed, _)| *changed == number) {
                continue;
            }
            if let Some(chunks) = self.stored(child)? {
                parts.push((number, self.halve(node, &Part::Now(chunks))?));
            }
        }
        Ok(())
    }

    /// Whether any child is there after the change.
    fn has_child(&self, children: &[Location], parts: &[(u8, Part)], had: bool) -> Result<bool> {
        if parts.iter().any(|(_, part)| matches!(part, Part::Now(_))) {
            return Ok(true);
        }
        if had {
            for (number, child) in (0_u8..=u8::MAX).zip(children) {
                let layer = if child.levels == self.base { LayerId::BASE } else { self.chunks.grid.layers()[0].id };
                if !parts.iter().any(|(changed, _)| *changed == number) && self.chunks.exists(layer, child)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn assemble(&self, node: &Node, old: Option<LayerChunks>, parts: Vec<(u8, Part)>) -> LayerChunks {
        let grid = self.chunks.grid;
        let halving = grid.halving(node.dimension);
        let mut old: Vec<Option<Chunk>> = match old {
            Some(chunks) => chunks.into_iter().map(Some).collect(),
            None => grid.layers().iter().map(|_| None).collect(),
        };
        let mut by_layer: Vec<Vec<(u8, Option<Chunk>)>> = grid.layers().iter().map(|_| Vec::new()).collect();
        for (child, part) in parts {
            match part {
                Part::Now(chunks) => by_layer.iter_mut().zip(chunks).for_each(|(parts, chunk)| parts.push((child, Some(chunk)))),
                Part::Gone | Part::Same => by_layer.iter_mut().for_each(|parts| parts.push((child, None))),
            }
        }
        let layers = grid.layers().iter().zip(old.iter_mut()).zip(&by_layer);
        layers.map(|((layer, old), parts)| self.chunks.assemble(layer, old.take(), parts, &halving, node.at.levels)).collect()
    }

    fn encode(&self, node: &Node, now: &Part) -> Result<()> {
        let Part::Now(chunks) = now else { return Ok(()) };
        for (layer, chunk) in self.chunks.grid.layers().iter().zip(chunks) {
            let blob = self.chunks.encode_layer(layer, &node.at, chunk);
            self.emit(ChunkWrite { layer: layer.id, at: node.at, blob: Some(blob) });
        }
        Ok(())
    }
}
