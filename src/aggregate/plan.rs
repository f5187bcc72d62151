//! Which aggregates lie above changed chunks, and how many changes each waits for.

use std::collections::{HashMap, HashSet};

use crate::dirty::{Edge, parents};
use crate::error::Result;
use crate::grid::Location;
use crate::key::LayerId;
use crate::kv::{Batch, Space};
use crate::store::{Base, ChunkReader, Pyramid};

/// An aggregate to be recomputed.
#[derive(Debug)]
pub(crate) struct PlanNode {
    pub(crate) at: Location,
    /// The dimension along which it derives.
    pub(crate) dimension: usize,
    /// How many changes it waits for.
    pub(crate) changes: usize,
    pub(crate) feeds: Vec<Feed>,
    /// Whether it was changed before too, so that those it feeds need all of it, whatever this run
    /// changes.
    pub(crate) told: bool,
}

/// A chunk that changed without being recomputed.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) at: Location,
    pub(crate) feeds: Vec<Feed>,
}

/// A node to which a change matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Feed {
    pub(crate) node: usize,
    /// The number of the node's child that is fed.
    pub(crate) child: u8,
    /// Whether the change is above that child along the refinable dimension, so that the child may
    /// inherit it.
    pub(crate) above: bool,
}

/// Every aggregate above some changes, up to the top.
#[derive(Debug, Default)]
pub(crate) struct AggregationPlan {
    pub(crate) nodes: Vec<PlanNode>,
    pub(crate) leaves: Vec<Leaf>,
    /// Base chunks that become aggregates because finer data was put into their places.
    pub(crate) split: HashSet<Location>,
    /// Base chunks that are written in the same commit.
    pub(crate) put: HashSet<Location>,
}

/// A plan while its nodes are found.
struct Growth<'a> {
    chunks: ChunkReader<'a>,
    pyramid: &'a Pyramid,
    plan: AggregationPlan,
    numbers: HashMap<Location, usize>,
    /// The edges above each node.
    inner: Vec<(usize, Edge)>,
}

impl AggregationPlan {
    /// The plan for changes along `edges` in a pyramid. Edges that leave the pyramid are left out.
    pub(crate) fn new(
        chunks: ChunkReader<'_>,
        edges: Vec<Edge>,
        pyramid: &Pyramid,
    ) -> Result<Self> {
        let mut growth = Growth {
            chunks,
            pyramid,
            plan: AggregationPlan::default(),
            numbers: HashMap::new(),
            inner: Vec::new(),
        };
        let edges: Vec<Edge> = edges
            .into_iter()
            .filter(|edge| growth.inside(edge))
            .collect();
        growth.climb(&edges)?;
        growth.link(&edges);
        growth.inherit()?;
        Ok(growth.plan)
    }

    /// Names the base chunks that become aggregates.
    pub(crate) fn with_split(mut self, split: HashSet<Location>) -> Self {
        self.split = split;
        self
    }

    /// Names the base chunks that are written. Those that feed nothing become leaves, so that they
    /// are visited all the same.
    pub(crate) fn with_put(mut self, put: &[Location]) -> Self {
        let have: HashSet<Location> = self.leaves.iter().map(|leaf| leaf.at).collect();
        self.leaves
            .extend(put.iter().filter(|at| !have.contains(at)).map(|at| Leaf {
                at: *at,
                feeds: Vec::new(),
            }));
        self.put = put.iter().copied().collect();
        self
    }

    /// Expects that nobody else recomputes one of the nodes, nor puts coarser base data in its
    /// place.
    pub(crate) fn expect(&self, chunks: ChunkReader<'_>, base: &Base, batch: &mut Batch) {
        if chunks.grid.layers().is_empty() {
            return;
        }
        self.nodes.iter().for_each(|node| {
            batch.expect_key(Space::Directory, chunks.key(LayerId::FIRST, &node.at))
        });
        for node in self
            .nodes
            .iter()
            .filter(|node| base.mixed() == Some(node.dimension))
        {
            let over = std::iter::once(node.at).chain(base.over(chunks.grid.structure(), &node.at));
            let over = over.filter(|at| base.has(at.levels));
            over.for_each(|at| batch.expect_key(Space::Directory, chunks.key(LayerId::BASE, &at)));
        }
    }
}

impl Growth<'_> {
    fn inside(&self, edge: &Edge) -> bool {
        self.pyramid.top.covers(&edge.parent.levels)
    }

    /// Finds every node at or above the parents of `edges`.
    fn climb(&mut self, edges: &[Edge]) -> Result<()> {
        // Whether its child may be inherited from: base data is, wherever it stands.
        let mut waiting: Vec<(Edge, bool)> = edges.iter().rev().map(|edge| (*edge, true)).collect();
        let mut seen = HashSet::new();
        while let Some((edge, inherited)) = waiting.pop() {
            if inherited && seen.insert(edge) {
                waiting.extend(self.heirs(&edge)?.into_iter().map(|heir| (heir, true)));
            }
            let Edge {
                parent, dimension, ..
            } = edge;
            if self.numbers.contains_key(&parent) {
                continue;
            }
            let number = self.plan.nodes.len();
            self.numbers.insert(parent, number);
            self.plan.nodes.push(PlanNode {
                at: parent,
                dimension,
                changes: 0,
                feeds: Vec::new(),
                told: false,
            });
            // Nothing inherits from an aggregate along the refinable dimension: where that has no
            // child it has no data.
            let inherited = self.pyramid.base.mixed() != Some(dimension);
            for edge in parents(self.chunks.grid, &parent, Some(dimension)) {
                if self.inside(&edge) {
                    self.inner.push((number, edge));
                    waiting.push((edge, inherited));
                }
            }
        }
        Ok(())
    }

    /// Stored aggregates finer than a parent along the refinable dimension, within its place, that
    /// inherit what changed because they have no such child of their own.
    fn heirs(&self, edge: &Edge) -> Result<Vec<Edge>> {
        let Some(mixed) = self
            .pyramid
            .base
            .mixed()
            .filter(|&mixed| mixed != edge.dimension)
        else {
            return Ok(Vec::new());
        };
        let structure = self.chunks.grid.structure();
        let Some(source) = structure.child(&edge.parent, edge.dimension, edge.child) else {
            return Ok(Vec::new());
        };
        let mut heirs = Vec::new();
        if source.levels[mixed] > self.pyramid.base.coarsest()[mixed] {
            return Ok(heirs);
        }
        let mut level = edge.parent.levels[mixed];
        while level > self.pyramid.base.finest()[mixed] {
            let Some(finer) = level.finer() else { break };
            level = finer;
            for heir in self
                .chunks
                .under(LayerId::FIRST, &edge.parent, level, usize::MAX)?
            {
                let Some(child) = structure.child(&heir, edge.dimension, edge.child) else {
                    continue;
                };
                if self
                    .chunks
                    .above(&child, &self.pyramid.base)
                    .contains(&source)
                    && self.chunks.stored_in(&child, &self.pyramid.base)?.is_none()
                {
                    heirs.push(Edge {
                        parent: heir,
                        ..*edge
                    });
                }
            }
        }
        Ok(heirs)
    }

    /// Links each changed child with its parents.
    fn link(&mut self, edges: &[Edge]) {
        for (from, edge) in std::mem::take(&mut self.inner) {
            let node = self.numbers[&edge.parent];
            self.plan.nodes[from].feeds.push(Feed {
                node,
                child: edge.child,
                above: false,
            });
            self.plan.nodes[node].changes += 1;
        }
        let mut leaves: HashMap<Location, usize> = HashMap::new();
        for edge in edges {
            let Some(child) =
                self.chunks
                    .grid
                    .structure()
                    .child(&edge.parent, edge.dimension, edge.child)
            else {
                continue;
            };
            if let Some(&number) = self.numbers.get(&child) {
                self.plan.nodes[number].told = true;
                continue;
            }
            let leaf = *leaves.entry(child).or_insert_with(|| {
                self.plan.leaves.push(Leaf {
                    at: child,
                    feeds: Vec::new(),
                });
                self.plan.leaves.len() - 1
            });
            let feed = Feed {
                node: self.numbers[&edge.parent],
                child: edge.child,
                above: false,
            };
            if !self.plan.leaves[leaf].feeds.contains(&feed) {
                self.plan.leaves[leaf].feeds.push(feed);
                self.plan.nodes[feed.node].changes += 1;
            }
        }
    }

    /// Lets nodes wait for what their children may inherit.
    fn inherit(&mut self) -> Result<()> {
        let Some(mixed) = self.pyramid.base.mixed() else {
            return Ok(());
        };
        let structure = self.chunks.grid.structure();
        let leaves: HashMap<Location, usize> = self
            .plan
            .leaves
            .iter()
            .enumerate()
            .map(|(i, leaf)| (leaf.at, i))
            .collect();
        for number in 0..self.plan.nodes.len() {
            let (at, dimension) = (
                self.plan.nodes[number].at,
                self.plan.nodes[number].dimension,
            );
            if dimension == mixed {
                continue;
            }
            for (child_number, child) in (0_u8..=u8::MAX).zip(structure.children(&at, dimension)) {
                let changes = self.numbers.contains_key(&child) || leaves.contains_key(&child);
                if !changes && self.chunks.stored_in(&child, &self.pyramid.base)?.is_some() {
                    continue;
                }
                let feed = Feed {
                    node: number,
                    child: child_number,
                    above: true,
                };
                for above in self.chunks.above(&child, &self.pyramid.base) {
                    match (leaves.get(&above), self.numbers.get(&above)) {
                        (Some(&leaf), _) => self.plan.leaves[leaf].feeds.push(feed),
                        (None, Some(&node)) => self.plan.nodes[node].feeds.push(feed),
                        (None, None) => continue,
                    }
                    self.plan.nodes[number].changes += 1;
                }
            }
        }
        Ok(())
    }
}
