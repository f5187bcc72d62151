//! Marks: durable records that an aggregate is out of date because one of its children changed.
//!
//! A [`Marks`] can only be had by reading them from a snapshot, and is consumed by the commit that clears exactly these:
//! a mark that arrives in between stays (invariant 6).

use crate::error::{Error, Result};
use crate::grid::{Levels, Location, Window};
use crate::key::{Mark, MarkKey};
use crate::kv::{Batch, KeyRange, Order, Snapshot, Space};
use crate::store::Grid;

/// An edge of the pyramid along which something changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Edge {
    /// The aggregate chunk that is out of date.
    pub(crate) parent: Location,
    /// The dimension along which it derives from the child.
    pub(crate) dimension: usize,
    /// The number of the child that changed.
    pub(crate) child: u8,
}

/// Marks that were seen, in key order.
#[must_use]
#[derive(Debug)]
pub(crate) struct Marks {
    keys: Vec<Vec<u8>>,
    edges: Vec<Edge>,
    more: bool,
}

/// The edges along which a changed chunk at a location feeds its parents: those along every dimension not before the one it
/// derives along itself (`None` for a base chunk).
pub(crate) fn parents(grid: &Grid, at: &Location, derived: Option<usize>) -> Vec<Edge> {
    let structure = grid.structure();
    let edge = |dimension| structure.parent(at, dimension).map(|(parent, child)| Edge { parent, dimension, child });
    structure.levelled().skip_while(|d| derived.is_some_and(|derived| *d != derived)).filter_map(edge).collect()
}

/// The dimension along which an aggregate derives: the last in which it lies above the base. `None` at the base.
pub(crate) fn derivation(grid: &Grid, levels: Levels, base: Levels) -> Option<usize> {
    grid.structure().levelled().rev().find(|&d| levels[d] > base[d])
}

/// Writes a mark for each edge.
pub(crate) fn mark(grid: &Grid, batch: &mut Batch, edges: impl IntoIterator<Item = Edge>, sequence: u64) {
    for Edge { parent, dimension, child } in edges {
        let mark = Mark { parent, dimension, child, sequence };
        batch.put(Space::Dirty, MarkKey::new(grid.id(), grid.structure(), &mark).encode(), Vec::new());
    }
}

impl Marks {
    /// The first marks of a grid, at most `limit`.
    pub(crate) fn first(grid: &Grid, snapshot: &dyn Snapshot, limit: usize) -> Result<Self> {
        Self::scan(grid, snapshot, &MarkKey::all(grid.id()), limit)
    }

    fn scan(grid: &Grid, snapshot: &dyn Snapshot, range: &KeyRange, limit: usize) -> Result<Self> {
        let page = snapshot.scan(Space::Dirty, range, Order::Ascending, limit)?;
        let mut marks = Self { keys: Vec::new(), edges: Vec::new(), more: page.more };
        for (key, _) in page.entries {
            let mark = MarkKey::decode(grid.id(), grid.structure(), &key)
                .map_err(|e| Error::corrupt(format!("grid `{}`: a mark is damaged", grid.name())).because(e))?;
            marks.edges.push(Edge { parent: mark.parent, dimension: mark.dimension, child: mark.child });
            marks.keys.push(key);
        }
        Ok(marks)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// What changed, an edge once.
    pub(crate) fn edges(&self) -> Vec<Edge> {
        let mut edges = self.edges.clone();
        edges.dedup();
        edges
    }

    /// Deletes exactly these marks.
    pub(crate) fn clear(self, batch: &mut Batch) {
        self.keys.into_iter().for_each(|key| batch.delete(Space::Dirty, key));
    }
}

/// How many marks of sequences below `end` are pending.
pub(crate) fn count(grid: &Grid, snapshot: &dyn Snapshot, end: u64) -> Result<u64> {
    let mut range = MarkKey::all(grid.id());
    let mut count = 0;
    loop {
        let page = snapshot.scan(Space::Dirty, &range, Order::Ascending, PAGE)?;
        let of = |(key, _): &&(Vec<u8>, Vec<u8>)| MarkKey::origin(key).is_some_and(|(_, sequence)| sequence < end);
        count += page.entries.iter().filter(of).count() as u64;
        match page.entries.last() {
            Some((last, _)) if page.more => range.start = [last.as_slice(), &[0]].concat(),
            _ => return Ok(count),
        }
    }
}

/// How many marks are read at once.
const PAGE: usize = 4096;

/// The edges pending in the subtree of a location, itself included, in the order of their parents.
pub(crate) fn pending_under(grid: &Grid, snapshot: &dyn Snapshot, at: &Location, base: Levels) -> Result<Vec<Edge>> {
    let structure = grid.structure();
    let mut pending = Vec::new();
    for dimension in structure.levelled() {
        for levels in levels_between(grid, base, at.levels) {
            if derivation(grid, levels, base) != Some(dimension) {
                continue;
            }
            let mut range = MarkKey::subtree(grid.id(), structure, dimension, at, levels);
            loop {
                let marks = Marks::scan(grid, snapshot, &range, PAGE)?;
                let under = |edge: &Edge| structure.ancestor(&edge.parent, at.levels) == Some(*at);
                pending.extend(marks.edges().into_iter().filter(under));
                match marks.keys.last() {
                    Some(last) if marks.more => range.start = [last.as_slice(), &[0]].concat(),
                    _ => break,
                }
            }
        }
    }
    Ok(pending)
}

/// Every vector of levels from `low` to `high`, both included, `low` first. Fixed dimensions stay.
pub(crate) fn levels_between(grid: &Grid, low: Levels, high: Levels) -> Vec<Levels> {
    let mut all = vec![low];
    for d in grid.structure().levelled() {
        let mut next = Vec::new();
        for levels in all {
            let mut level = low[d];
            next.push(levels);
            while level < high[d] {
                let Some(coarser) = level.coarser() else { break };
                level = coarser;
                next.push(levels.with(d, level));
            }
        }
        all = next;
    }
    all
}

/// The part of a parent that an edge says is out of date, in the parent's cells.
pub(crate) fn stale_window(grid: &Grid, edge: &Edge) -> Option<Window> {
    let child = grid.structure().child(&edge.parent, edge.dimension, edge.child)?;
    Some(grid.structure().cover(&grid.structure().chunk_window(&child), edge.parent.levels()))
}
