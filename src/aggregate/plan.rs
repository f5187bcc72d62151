//! Which aggregates lie above changed chunks, and how many changes each waits for.

use std::collections::HashMap;

use crate::dirty::{Edge, parents};
use crate::grid::{Levels, Location};
use crate::key::LayerId;
use crate::kv::{Batch, Space};
use crate::store::{ChunkReader, Grid};

/// An aggregate to be recomputed.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: Location,
    /// The dimension along which it derives.
    pub(crate) dimension: usize,
    /// How many of its children change.
    pub(crate) changes: usize,
    /// The nodes it feeds, and its number among their children.
    pub(crate) feeds: Vec<(usize, u8)>,
}

/// A chunk that changed without being recomputed, and the nodes it feeds.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) at: Location,
    pub(crate) feeds: Vec<(usize, u8)>,
}

/// Every aggregate above some changes, up to the top.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) nodes: Vec<Node>,
    pub(crate) leaves: Vec<Leaf>,
}

impl Plan {
    /// The plan for changes along `edges` in a pyramid from `base` to `top`. Edges that leave the pyramid are left out.
    pub(crate) fn new(grid: &Grid, edges: Vec<Edge>, base: Levels, top: Levels) -> Self {
        let structure = grid.structure();
        let inside = |edge: &Edge| edge.parent.levels.iter().zip(top.iter()).all(|(level, top)| level <= top);
        let mut plan = Plan::default();
        let mut numbers: HashMap<Location, usize> = HashMap::new();
        let mut inner: Vec<(usize, Edge)> = Vec::new();
        let mut waiting: Vec<Edge> = edges.iter().filter(|edge| inside(edge)).copied().collect();
        waiting.reverse();
        while let Some(Edge { parent, dimension, .. }) = waiting.pop() {
            if numbers.contains_key(&parent) {
                continue;
            }
            let number = plan.nodes.len();
            numbers.insert(parent, number);
            plan.nodes.push(Node { at: parent, dimension, changes: 0, feeds: Vec::new() });
            for edge in parents(grid, &parent, Some(dimension)).into_iter().filter(inside) {
                inner.push((number, edge));
                waiting.push(edge);
            }
        }
        for (from, edge) in inner {
            let to = numbers[&edge.parent];
            plan.nodes[from].feeds.push((to, edge.child));
            plan.nodes[to].changes += 1;
        }
        let mut leaves: HashMap<Location, usize> = HashMap::new();
        for edge in edges.iter().filter(|edge| inside(edge)) {
            let Some(child) = structure.child(&edge.parent, edge.dimension, edge.child) else { continue };
            if numbers.contains_key(&child) {
                continue;
            }
            let leaf = *leaves.entry(child).or_insert_with(|| {
                plan.leaves.push(Leaf { at: child, feeds: Vec::new() });
                plan.leaves.len() - 1
            });
            let feed = (numbers[&edge.parent], edge.child);
            if !plan.leaves[leaf].feeds.contains(&feed) {
                plan.leaves[leaf].feeds.push(feed);
                plan.nodes[feed.0].changes += 1;
            }
        }
        debug_assert!(plan.nodes.iter().all(|node| node.at.levels.iter().zip(base.iter()).all(|(level, base)| level >= base)));
        plan
    }

    /// Adds leaves that feed nothing, so that they are visited all the same.
    pub(crate) fn with_leaves(mut self, locations: impl IntoIterator<Item = Location>) -> Self {
        let have: std::collections::HashSet<Location> = self.leaves.iter().map(|leaf| leaf.at).collect();
        self.leaves.extend(locations.into_iter().filter(|at| !have.contains(at)).map(|at| Leaf { at, feeds: Vec::new() }));
        self
    }

    /// Expects that nobody else recomputes one of the nodes.
    pub(crate) fn expect(&self, grid: &Grid, chunks: ChunkReader<'_>, batch: &mut Batch) {
        if let Some(layer) = grid.layers().first() {
            debug_assert_ne!(layer.id, LayerId::BASE);
            self.nodes.iter().for_each(|node| batch.expect_key(Space::Directory, chunks.key(layer.id, &node.at)));
        }
    }
}
