//! Carries changed chunks up to the top, in parallel, each aggregate once.
//!
//! A node is computed by whoever delivers the last of the changes it waits for, so children are
//! handed on decoded, in memory, and dropped as soon as their parents have taken their part. Only
//! what may be inherited is kept to the end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::plan::{AggregationPlan, Feed, Leaf, PlanNode};
use crate::error::{Error, Result};
use crate::events::{EventChange, Events, Trie, merge_all};
use crate::grid::Location;
use crate::key::LayerId;
use crate::parallel;
use crate::store::{ChunkReader, ChunkWrite, LayerChunks, Pyramid, lock};

/// What became of a chunk, or of the part of a parent that it stands for: one chunk a layer.
#[derive(Clone, Debug)]
pub(crate) enum ChunkChange {
    /// It is what it was.
    Same,
    /// It is not there any more.
    Gone,
    /// It is this now.
    Now(LayerChunks),
    /// A bucket of events has changed.
    Bucket(Arc<Bucket>),
}

/// A bucket of events after a change, so far as somebody asks for it.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// For those who derive along other dimensions.
    pub(crate) change: EventChange<LayerChunks>,
    /// For those who derive along the irregular one: its bins, `None` if it has no events.
    pub(crate) bins: Option<LayerChunks>,
}

/// A change that reached a node.
#[derive(Debug)]
enum Arrival {
    /// The part that a child stands for now.
    Child(ChunkChange),
    /// Whether something changed above a child along the refinable dimension.
    Above(bool),
}

/// The part of a node that a child stands for, and whether that child is stored itself, not
/// inherited.
struct Resolved {
    part: Option<LayerChunks>,
    stored: bool,
}

/// One run over a plan.
pub(crate) struct Propagation<'a> {
    chunks: ChunkReader<'a>,
    plan: &'a AggregationPlan,
    pyramid: &'a Pyramid,
    arrived: Vec<Mutex<Vec<(u8, Arrival)>>>,
    /// What became of the chunks that others may inherit from.
    kept: HashMap<Location, Mutex<Option<ChunkChange>>>,
    writes: Mutex<Vec<ChunkWrite>>,
    /// The directory's keys from which buckets were computed.
    seen: Mutex<Vec<Vec<u8>>>,
}

impl<'a> Propagation<'a> {
    /// Prepares a run.
    pub(crate) fn new(
        chunks: ChunkReader<'a>,
        plan: &'a AggregationPlan,
        pyramid: &'a Pyramid,
    ) -> Self {
        let arrived = plan.nodes.iter().map(|_| Mutex::default()).collect();
        let inherited = |feeds: &[Feed]| feeds.iter().any(|feed| feed.above);
        let nodes = plan
            .nodes
            .iter()
            .filter(|node| inherited(&node.feeds))
            .map(|node| node.at);
        let leaves = plan
            .leaves
            .iter()
            .filter(|leaf| inherited(&leaf.feeds))
            .map(|leaf| leaf.at);
        let kept = nodes
            .chain(leaves)
            .map(|at| (at, Mutex::default()))
            .collect();
        Self {
            chunks,
            plan,
            pyramid,
            arrived,
            kept,
            writes: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    /// The nodes that are fed.
    pub(crate) fn fed(&self, feeds: &'a [Feed]) -> impl Iterator<Item = &'a PlanNode> {
        feeds.iter().map(|feed| &self.plan.nodes[feed.node])
    }

    /// Whether one of the buckets that are fed is not there yet, so that it needs more than what
    /// changed.
    pub(crate) fn lacks(&self, feeds: &'a [Feed]) -> Result<bool> {
        let mut buckets = self.fed(feeds).filter(|node| self.is_bucket(&node.at));
        buckets.try_fold(false, |lacks, node| {
            Ok(lacks
                || !self.is_built(&node.at)
                || !self.chunks.exists(LayerId::FIRST, &node.at)?)
        })
    }

    /// Whether one of the nodes that are fed is above what is built.
    pub(crate) fn rises(&self, feeds: &'a [Feed]) -> bool {
        self.fed(feeds).any(|node| !self.is_built(&node.at))
    }

    /// Whether a location is one of a bucket of events.
    fn is_bucket(&self, at: &Location) -> bool {
        self.pyramid
            .base
            .irregular()
            .is_some_and(|d| at.levels[d] == self.pyramid.base.finest()[d])
    }

    /// Adds what the change of a bucket writes, and what it was computed from.
    pub(crate) fn emit_bucket(&self, trie: Trie<'_>) {
        let (writes, seen) = trie.finish();
        self.emit(writes);
        lock(&self.seen).extend(seen);
    }

    /// Adds writes to those of the run.
    pub(crate) fn emit(&self, writes: impl IntoIterator<Item = ChunkWrite>) {
        lock(&self.writes).extend(writes);
    }

    /// Visits every leaf and computes every node. `leaf` says what became of a leaf, and may emit
    /// writes of its own. Gives all writes, and the keys of the directory that they were computed
    /// from beside those of the plan.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if a node waits for what never comes: nothing may be
    /// committed then.
    pub(crate) fn run(
        self,
        leaf: &(dyn Fn(&Self, &'a Leaf) -> Result<ChunkChange> + Sync),
    ) -> Result<(Vec<ChunkWrite>, Vec<Vec<u8>>)> {
        parallel::each(self.plan.leaves.len(), &|number| {
            let changed = &self.plan.leaves[number];
            let now = leaf(&self, changed)?;
            self.deliver(&changed.at, &changed.feeds, &now)
        })?;
        let starved = self
            .plan
            .nodes
            .iter()
            .zip(&self.arrived)
            .find(|(node, at)| node.changes == 0 || !lock(at).is_empty());
        if let Some((node, _)) = starved {
            let at = self.chunks.grid.structure().describe(&node.at);
            return Err(Error::corrupt(format!(
                "the aggregate at {at} waits for a change that never comes; report this fault"
            )));
        }
        let (writes, seen) = (self.writes.into_inner(), self.seen.into_inner());
        Ok((
            writes.unwrap_or_else(PoisonError::into_inner),
            seen.unwrap_or_else(PoisonError::into_inner),
        ))
    }

    /// Hands a change to the nodes it feeds, and computes those that waited for nothing else.
    fn deliver(&self, at: &Location, feeds: &'a [Feed], now: &ChunkChange) -> Result<()> {
        if let Some(kept) = self.kept.get(at) {
            *lock(kept) = Some(now.clone());
        }
        for feed in feeds {
            let node = &self.plan.nodes[feed.node];
            let arrival = if feed.above {
                Arrival::Above(!matches!(now, ChunkChange::Same))
            } else {
                Arrival::Child(match now {
                    ChunkChange::Now(chunks) => ChunkChange::Now(self.halve(node, chunks)?),
                    ChunkChange::Bucket(bucket) => self.of_bucket(node, bucket)?,
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
    fn halve(&self, node: &PlanNode, child: &LayerChunks) -> Result<LayerChunks> {
        self.chunks.reduce(child, node.dimension, node.at.levels)
    }

    /// The part of a node that a bucket stands for: of its bins, or of the events that changed.
    fn of_bucket(&self, node: &PlanNode, bucket: &Bucket) -> Result<ChunkChange> {
        if self.pyramid.base.irregular() == Some(node.dimension) {
            return bucket.bins.as_ref().map_or(Ok(ChunkChange::Gone), |bins| {
                self.halve(node, bins).map(ChunkChange::Now)
            });
        }
        let reduced = |now: &Events<LayerChunks>| -> Result<_> {
            Ok(Events {
                ticks: now.ticks.clone(),
                planes: self.halve(node, &now.planes)?,
            })
        };
        let now = bucket.change.now.as_ref().map(reduced).transpose()?;
        Ok(ChunkChange::Bucket(Arc::new(Bucket {
            change: EventChange {
                now,
                gone: bucket.change.gone.clone(),
            },
            bins: None,
        })))
    }

    /// Whether aggregates are stored at the levels of a location.
    fn is_built(&self, at: &Location) -> bool {
        self.pyramid.built.covers(&at.levels)
    }

    fn stored(&self, at: &Location) -> Result<Option<LayerChunks>> {
        if self.is_built(at) || self.pyramid.base.has(at.levels) {
            self.chunks.stored(at, &self.pyramid.base)
        } else {
            Ok(None)
        }
    }

    /// Whether a chunk that this run does not change is stored.
    fn is_stored(&self, at: &Location) -> Result<bool> {
        match self.chunks.stored_in(at, &self.pyramid.base)? {
            Some(LayerId::BASE) => Ok(!self.plan.split.contains(at)),
            Some(_) => Ok(self.is_built(at)),
            None => Ok(false),
        }
    }

    fn compute(&self, node: &'a PlanNode, arrived: Vec<(u8, Arrival)>) -> Result<()> {
        if self.is_bucket(&node.at) {
            return self.compute_bucket(node, arrived);
        }
        let mut children: BTreeMap<u8, (Option<ChunkChange>, bool)> = BTreeMap::new();
        for (child, arrival) in arrived {
            let (direct, above) = children.entry(child).or_default();
            match arrival {
                Arrival::Child(part) => *direct = Some(part),
                Arrival::Above(changed) => *above |= changed,
            }
        }
        children.retain(|_, (direct, above)| {
            *above || !matches!(direct, None | Some(ChunkChange::Same))
        });
        // Above what is built even an unchanged child is news.
        if children.is_empty() && self.is_built(&node.at) && !node.told {
            return self.deliver(&node.at, &node.feeds, &ChunkChange::Same);
        }
        if self.is_base(&node.at)? {
            // What was an aggregate is base data again, and nobody's parent. If that was put since,
            // it is news above.
            self.remove(node)?;
            let now = if node.told {
                self.stored(&node.at)?
                    .map_or(ChunkChange::Gone, ChunkChange::Now)
            } else {
                ChunkChange::Same
            };
            return self.deliver(&node.at, &node.feeds, &now);
        }
        let places: Vec<Location> = self
            .chunks
            .grid
            .structure()
            .children(&node.at, node.dimension)
            .collect();
        let old = if children.len() < places.len() {
            self.stored(&node.at)?
        } else {
            None
        };
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
            // Whoever was told that it changed may still have it.
            let was = self.remove(node)?
                || old.is_some()
                || node.told
                || self.plan.split.contains(&node.at);
            return self.deliver(
                &node.at,
                &node.feeds,
                if was {
                    &ChunkChange::Gone
                } else {
                    &ChunkChange::Same
                },
            );
        }
        let halving = self.chunks.grid.halving(node.dimension);
        let now = ChunkChange::Now(self.chunks.assemble(old, parts, &halving, node.at.levels));
        rayon::join(
            || self.encode(node, &now),
            || self.deliver(&node.at, &node.feeds, &now),
        )
        .1
    }

    /// Recomputes those events of a bucket that changed in the buckets that it derives from.
    fn compute_bucket(&self, node: &'a PlanNode, arrived: Vec<(u8, Arrival)>) -> Result<()> {
        let mut changes: BTreeMap<u8, Arc<Bucket>> = BTreeMap::new();
        for (child, arrival) in arrived {
            if let Arrival::Child(ChunkChange::Bucket(bucket)) = arrival {
                changes.insert(child, bucket);
            }
        }
        let ticks: BTreeSet<i64> = changes
            .values()
            .flat_map(|bucket| bucket.change.ticks())
            .collect();
        if ticks.is_empty() && !node.told {
            return self.deliver(&node.at, &node.feeds, &ChunkChange::Same);
        }
        let change = self.merged(node, &changes, &ticks)?;
        let mut trie = Trie::new(self.chunks);
        let content = trie.change(&node.at, change.clone())?;
        let binned = self
            .fed(&node.feeds)
            .any(|node| self.pyramid.base.irregular() == Some(node.dimension));
        let bins = if binned {
            trie.bins(&node.at, &content)?
        } else {
            None
        };
        let change = if node.told || self.lacks(&node.feeds)? {
            trie.whole(&node.at, change, &content)?
        } else {
            change
        };
        self.emit_bucket(trie);
        self.deliver(
            &node.at,
            &node.feeds,
            &ChunkChange::Bucket(Arc::new(Bucket { change, bins })),
        )
    }

    /// What becomes of a bucket's events at some ticks: each is made of the events of that tick
    /// below.
    fn merged(
        &self,
        node: &PlanNode,
        changes: &BTreeMap<u8, Arc<Bucket>>,
        ticks: &BTreeSet<i64>,
    ) -> Result<EventChange<LayerChunks>> {
        let mut parts: Vec<(u8, Option<Events<LayerChunks>>)> = Vec::new();
        let slabs = self.chunks.grid.part_slabs(node.dimension);
        for (number, child) in (0_u8..=u8::MAX).zip(
            self.chunks
                .grid
                .structure()
                .children(&node.at, node.dimension),
        ) {
            let own = changes.get(&number).map(|bucket| &bucket.change);
            let told: BTreeSet<i64> = own.iter().flat_map(|own| own.ticks()).collect();
            let rest: Vec<i64> = ticks.difference(&told).copied().collect();
            let stored = match self.is_built(&child) || self.pyramid.base.has(child.levels) {
                true => self.chunks.layers_at(&child, &self.pyramid.base, &rest)?,
                false => None,
            };
            let halved = |stored: Events<LayerChunks>| -> Result<_> {
                Ok(Events {
                    planes: self.halve(node, &stored.planes)?,
                    ticks: stored.ticks,
                })
            };
            let stored = stored.map(halved).transpose()?;
            let both: Vec<&Events<LayerChunks>> = own
                .and_then(|own| own.now.as_ref())
                .into_iter()
                .chain(&stored)
                .collect();
            parts.push((
                number,
                Events::join_slabs(self.chunks, node.at.levels, slabs, &both),
            ));
        }
        let parts: Vec<_> = parts
            .iter()
            .map(|(number, events)| (*number, events.as_ref()))
            .collect();
        let now = merge_all(self.chunks, (node.at.levels, node.dimension), &parts);
        let stays = |tick: &i64| {
            now.as_ref()
                .is_some_and(|now| now.ticks.binary_search(tick).is_ok())
        };
        let gone = ticks.iter().copied().filter(|tick| !stays(tick)).collect();
        Ok(EventChange { now, gone })
    }

    /// Deletes an aggregate, if there is one.
    fn remove(&self, node: &PlanNode) -> Result<bool> {
        let exists = self.chunks.exists(LayerId::FIRST, &node.at)?;
        if exists {
            self.emit(self.chunks.without(&node.at));
        }
        Ok(exists)
    }

    /// The part of a node that a child stands for after this run, by its effective value unless the
    /// node derives along the refinable dimension. `direct` is what became of the child, if it is
    /// in the run.
    fn resolve(
        &self,
        node: &PlanNode,
        child: &Location,
        direct: Option<ChunkChange>,
    ) -> Result<Resolved> {
        let gone = matches!(direct, Some(ChunkChange::Gone));
        if let Some(ChunkChange::Now(part)) = direct {
            return Ok(Resolved {
                part: Some(part),
                stored: true,
            });
        }
        if !gone && self.is_stored(child)? {
            let part = self
                .stored(child)?
                .map(|chunks| self.halve(node, &chunks))
                .transpose()?;
            return Ok(Resolved { part, stored: true });
        }
        let nothing = Resolved {
            part: None,
            stored: false,
        };
        if self.pyramid.base.mixed() == Some(node.dimension) {
            return Ok(nothing);
        }
        let aggregates = self.pyramid.base.heir(child.levels).is_some();
        for above in self.chunks.above(child, &self.pyramid.base) {
            let chunks = match self.kept.get(&above).and_then(|kept| lock(kept).clone()) {
                Some(ChunkChange::Now(chunks)) if aggregates || self.is_base(&above)? => {
                    Some(chunks)
                }
                Some(ChunkChange::Now(_) | ChunkChange::Gone | ChunkChange::Bucket(_)) => None,
                Some(ChunkChange::Same) | None => match self
                    .chunks
                    .stored_in(&above, &self.pyramid.base)?
                {
                    Some(LayerId::BASE) if self.plan.split.contains(&above) => None,
                    Some(layer) if aggregates || layer == LayerId::BASE => self.stored(&above)?,
                    _ => None,
                },
            };
            if let Some(chunks) = chunks {
                let part = self.halve(node, &self.chunks.spread(&chunks, &above, child)?)?;
                return Ok(Resolved {
                    part: Some(part),
                    stored: false,
                });
            }
        }
        Ok(nothing)
    }

    /// Whether base data stands at a location after this run, so far as there is data at all.
    fn is_base(&self, at: &Location) -> Result<bool> {
        let stays = self.pyramid.base.has(at.levels) && !self.plan.split.contains(at);
        Ok(stays && (self.plan.put.contains(at) || self.chunks.exists(LayerId::BASE, at)?))
    }

    fn encode(&self, node: &PlanNode, now: &ChunkChange) {
        if let ChunkChange::Now(chunks) = now {
            self.emit(self.chunks.encode(&node.at, chunks, None));
        }
    }
}
