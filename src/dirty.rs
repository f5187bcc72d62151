//! Marks: durable records that an aggregate is out of date because one of its children changed.
//!
//! A [`Marks`] can only be had by reading them from a snapshot, and is consumed by the commit that
//! clears exactly these: a mark that arrives in between stays (invariant 6).

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;

use crate::error::{Error, Result};
use crate::grid::{Levels, Location, Structure, Window};
use crate::key::{LayerId, Mark, MarkKey, Ticks};
use crate::kv::{Batch, Order, Snapshot, Space, for_each_page};
use crate::store::{Base, Grid, LayerSpec};

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
    edges: Vec<(Edge, Option<Ticks>)>,
}

/// Which events of a bucket have changed: these, whether they are there or gone, and perhaps all
/// that are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChangedTicks {
    pub(crate) all: bool,
    pub(crate) ticks: BTreeSet<i64>,
}

impl ChangedTicks {
    /// Adds what a mark says of the bucket that left it, if it is for one that derives along
    /// another dimension than the irregular one.
    pub(crate) fn add(
        changed: &mut HashMap<Location, Self>,
        grid: &Grid,
        edge: &Edge,
        ticks: Option<&Ticks>,
    ) {
        let structure = grid.structure();
        if structure
            .irregular()
            .is_none_or(|irregular| irregular == edge.dimension)
        {
            return;
        }
        let Some(child) = structure.child(&edge.parent, edge.dimension, edge.child) else {
            return;
        };
        let known = changed.entry(child).or_default();
        known.all |= ticks.is_none();
        known
            .ticks
            .extend(ticks.iter().flat_map(|ticks| ticks.iter()));
    }
}

/// The edges along which a changed chunk at a location feeds its parents: those along every
/// dimension not before the one it derives along itself (`None` for a base chunk).
pub(crate) fn parents(grid: &Grid, at: &Location, derived: Option<usize>) -> Vec<Edge> {
    let structure = grid.structure();
    let edge = |dimension| {
        structure.parent(at, dimension).map(|(parent, child)| Edge {
            parent,
            dimension,
            child,
        })
    };
    structure
        .levelled()
        .skip_while(|d| derived.is_some_and(|derived| *d != derived))
        .filter_map(edge)
        .collect()
}

/// The dimension along which an aggregate derives: the last in which it lies above the finest base
/// level. `None` at that.
pub(crate) fn derivation(grid: &Grid, levels: Levels, base: &Base) -> Option<usize> {
    grid.structure()
        .levelled()
        .rev()
        .find(|&d| levels[d] > base.finest()[d])
}

/// What stands in the value of a mark that is for some layers alone, in front of the numbers of the
/// first and the last of them, or of the only one. No ticks are so few bytes.
const OF_LAYERS: u8 = 0xff;

/// The layers that a mark is for, if it is for some alone.
fn layers_of(value: &[u8]) -> Option<RangeInclusive<LayerId>> {
    match value {
        [OF_LAYERS, layer] => Some(LayerId(*layer)..=LayerId(*layer)),
        [OF_LAYERS, first, last] => Some(LayerId(*first)..=LayerId(*last)),
        _ => None,
    }
}

/// Writes a mark for each edge that is for some layers alone, which follow one another.
pub(crate) fn mark_layers(
    grid: &Grid,
    batch: &mut Batch,
    edges: impl IntoIterator<Item = Edge>,
    (layers, sequence): (&[LayerSpec], u64),
) {
    let value = match layers {
        [] => return,
        [only] => vec![OF_LAYERS, only.id.0],
        [first, .., last] => vec![OF_LAYERS, first.id.0, last.id.0],
    };
    for Edge {
        parent,
        dimension,
        child,
    } in edges
    {
        let mark = Mark {
            parent,
            dimension,
            child,
            sequence,
        };
        let key = MarkKey::new(grid.id(), grid.structure(), &mark).encode();
        batch.put(Space::Dirty, key, value.clone());
    }
}

/// Writes a mark for each edge, with the ticks of the events that changed in the child where it is
/// a bucket, unless all have.
pub(crate) fn mark(
    grid: &Grid,
    batch: &mut Batch,
    edges: impl IntoIterator<Item = (Edge, Option<Ticks>)>,
    sequence: u64,
) {
    for (
        Edge {
            parent,
            dimension,
            child,
        },
        ticks,
    ) in edges
    {
        let mark = Mark {
            parent,
            dimension,
            child,
            sequence,
        };
        let mut value = Vec::new();
        ticks.iter().for_each(|ticks| ticks.encode(&mut value));
        batch.put(
            Space::Dirty,
            MarkKey::new(grid.id(), grid.structure(), &mark).encode(),
            value,
        );
    }
}

impl Marks {
    /// The first marks of a grid, at most `limit`.
    pub(crate) fn first(grid: &Grid, snapshot: &dyn Snapshot, limit: usize) -> Result<Self> {
        Self::first_but(grid, snapshot, limit, &BTreeSet::new())
    }

    /// The first marks of a grid that are not to be skipped, at most `limit`.
    pub(crate) fn first_but(
        grid: &Grid,
        snapshot: &dyn Snapshot,
        limit: usize,
        skipped: &BTreeSet<Vec<u8>>,
    ) -> Result<Self> {
        let mut page = snapshot.scan(
            Space::Dirty,
            &MarkKey::all(grid.id()),
            Order::Ascending,
            limit + skipped.len(),
        )?;
        page.entries.retain(|(key, _)| !skipped.contains(key));
        page.entries.truncate(limit);
        let edges = page
            .entries
            .iter()
            .map(|(key, value)| Ok((edge(grid, key)?, ticks(grid, value)?)))
            .collect::<Result<_>>()?;
        Ok(Self {
            keys: page.entries.into_iter().map(|(key, _)| key).collect(),
            edges,
        })
    }

    /// Whether there are any of a grid.
    pub(crate) fn pend(grid: &Grid, snapshot: &dyn Snapshot) -> Result<bool> {
        Ok(!snapshot
            .scan(Space::Dirty, &MarkKey::all(grid.id()), Order::Ascending, 1)?
            .entries
            .is_empty())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Their keys.
    pub(crate) fn keys(&self) -> &[Vec<u8>] {
        &self.keys
    }

    /// What changed, an edge once.
    pub(crate) fn edges(&self) -> Vec<Edge> {
        let mut edges: Vec<Edge> = self.edges.iter().map(|(edge, _)| *edge).collect();
        edges.dedup();
        edges
    }

    /// Which events of each bucket changed for those who derive along other dimensions than the
    /// irregular one.
    pub(crate) fn changed(&self, grid: &Grid) -> HashMap<Location, ChangedTicks> {
        let mut changed = HashMap::new();
        self.edges
            .iter()
            .for_each(|(edge, ticks)| ChangedTicks::add(&mut changed, grid, edge, ticks.as_ref()));
        changed
    }

    /// Deletes exactly these marks.
    pub(crate) fn clear(self, batch: &mut Batch) {
        self.keys
            .into_iter()
            .for_each(|key| batch.delete(Space::Dirty, key));
    }
}

/// The edge that a mark is for.
fn edge(grid: &Grid, key: &[u8]) -> Result<Edge> {
    let Mark {
        parent,
        dimension,
        child,
        ..
    } = MarkKey::decode(grid.id(), grid.structure(), key).map_err(|e| {
        Error::corrupt(format!("grid `{}`: a mark is damaged", grid.name())).because(e)
    })?;
    Ok(Edge {
        parent,
        dimension,
        child,
    })
}

/// The ticks that a mark is for.
pub(crate) fn ticks(grid: &Grid, value: &[u8]) -> Result<Option<Ticks>> {
    if value.is_empty() || layers_of(value).is_some() {
        return Ok(None);
    }
    let damaged =
        |cause| Error::corrupt(format!("grid `{}`: a mark is damaged", grid.name())).because(cause);
    Ticks::decode(value).map(Some).map_err(damaged)
}

/// How many marks are read at once.
const PAGE: usize = 4096;

/// The pending edges on which the value of a location depends, in some of the grid's layers: those
/// in its subtree, itself included, and those above along the refinable dimension, from where it
/// may inherit. In the order of their parents.
pub(crate) fn pending_under(
    grid: &Grid,
    snapshot: &dyn Snapshot,
    (at, layers): (&Location, &[LayerId]),
    base: &Base,
) -> Result<Vec<Edge>> {
    let structure = grid.structure();
    let mut pending = Vec::new();
    // Where only base data could be inherited, no mark above matters.
    let heir = base.heir(at.levels).is_some();
    for of in std::iter::once(*at).chain(base.over(structure, at).filter(|_| heir)) {
        let low = base
            .refinable()
            .filter(|_| of != *at)
            .map_or(base.finest(), |d| base.finest().with(d, of.levels[d]));
        for levels in levels_between(grid, low, of.levels) {
            let Some(dimension) = derivation(grid, levels, base) else {
                continue;
            };
            let range = MarkKey::subtree(grid.id(), structure, dimension, &of, levels);
            for_each_page(snapshot, Space::Dirty, range, PAGE, |entries| {
                let concerns = |value: &[u8]| {
                    layers_of(value).is_none_or(|of| layers.iter().any(|layer| of.contains(layer)))
                };
                for (key, _) in entries.iter().filter(|(_, value)| concerns(value)) {
                    let edge = edge(grid, key)?;
                    if touches(grid, base, &edge, at) {
                        pending.push(edge);
                    }
                }
                Ok(())
            })?;
        }
    }
    pending.dedup();
    Ok(pending)
}

/// Whether the value of a location depends on what an edge says has changed: its parent is in the
/// location's subtree, or above it along the refinable dimension, from where the location may
/// inherit.
pub(crate) fn touches(grid: &Grid, base: &Base, edge: &Edge, at: &Location) -> bool {
    let structure = grid.structure();
    let of = match base
        .heir(at.levels)
        .filter(|&d| edge.parent.levels[d] > at.levels[d])
    {
        Some(d) => structure.ancestor(at, at.levels.with(d, edge.parent.levels[d])),
        None => Some(*at),
    };
    of.is_some_and(|of| structure.ancestor(&edge.parent, of.levels) == Some(of))
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
                let Some(coarser) = level.coarser() else {
                    break;
                };
                level = coarser;
                next.push(levels.with(d, level));
            }
        }
        all = next;
    }
    all
}

/// The parts of parents that edges say are out of date.
pub(crate) fn stale_windows(grid: &Grid, edges: &[Edge]) -> Vec<Window> {
    edges
        .iter()
        .filter_map(|edge| stale_window(grid, edge))
        .collect()
}

/// The part of a parent that an edge says is out of date, in the parent's cells.
pub(crate) fn stale_window(grid: &Grid, edge: &Edge) -> Option<Window> {
    let child = grid
        .structure()
        .child(&edge.parent, edge.dimension, edge.child)?;
    Some(changed_window(grid, &child, edge.parent.levels()))
}

/// The place of a chunk in cells of some levels.
pub(crate) fn changed_window(grid: &Grid, at: &Location, levels: Levels) -> Window {
    let structure = grid.structure();
    // Events have no other level than that of ticks.
    let levels = if are_events(structure, levels) {
        structure.cell_levels(levels)
    } else {
        levels
    };
    structure.cover(&structure.chunk_window(at), levels)
}

/// Whether chunks at some levels are buckets, so that events change in them.
pub(crate) fn are_events(structure: &Structure, levels: Levels) -> bool {
    let irregular = structure.irregular_axis();
    irregular.is_some_and(|irregular| irregular.bucket == levels[irregular.dimension])
}
