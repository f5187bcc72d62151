//! Changing a bucket: chunks that overflow are halved, halves that fit one chunk are joined.

use std::collections::{BTreeMap, BTreeSet};

use super::change::EventChange;
use super::column::BucketNode;
use super::planes::{EventPlanes, Events, irregular};
use crate::error::Result;
use crate::grid::{Irregular, Location};
use crate::key::LayerId;
use crate::store::{ChunkContent, ChunkReader, ChunkWrite, LayerChunks};

/// What a place of a bucket holds.
#[derive(Clone, Debug)]
pub(crate) enum TrieContent<P> {
    Nothing,
    /// At most `capacity` events.
    Events(Events<P>),
    /// More than that, in chunks below; the bins of each layer.
    Branch(LayerChunks),
}

/// The bucket tries of one column while they are changed.
pub(crate) struct Trie<'a> {
    chunks: ChunkReader<'a>,
    irregular: Irregular,
    writes: BTreeMap<(LayerId, Location), ChunkContent>,
    /// The keys of the directory entries that it was computed from.
    seen: Vec<Vec<u8>>,
}

/// A place after a change, and what was there before.
struct Altered<P> {
    content: TrieContent<P>,
    before: Option<BucketNode>,
}

/// One half of a branch: what it came to where the change is in it, else what stands there.
struct TrieHalf<P> {
    number: u8,
    at: Location,
    altered: Option<Altered<P>>,
    node: Option<BucketNode>,
}

impl<P> TrieHalf<P> {
    /// One that was made anew.
    fn of(number: u8, at: Location, altered: Altered<P>) -> Self {
        Self {
            number,
            at,
            altered: Some(altered),
            node: None,
        }
    }
}

impl<'a> Trie<'a> {
    pub(crate) fn new(chunks: ChunkReader<'a>) -> Self {
        Self {
            chunks,
            irregular: irregular(chunks),
            writes: BTreeMap::new(),
            seen: Vec::new(),
        }
    }

    /// Changes the events of a bucket, and gives what it holds then.
    pub(crate) fn change<P: EventPlanes>(
        &mut self,
        bucket: &Location,
        change: EventChange<P>,
    ) -> Result<TrieContent<P>> {
        let altered = self.alter(bucket, change)?;
        self.put(bucket, &altered);
        Ok(altered.content)
    }

    /// Takes chunks of events out of a bucket, none of which is read, and makes the bins of all of
    /// its branches anew.
    pub(crate) fn remake<P: EventPlanes>(
        &mut self,
        bucket: &Location,
        out: &BTreeSet<Location>,
    ) -> Result<()> {
        let remade: Altered<P> = self.remade(bucket, out)?;
        self.put_remade(bucket, &remade);
        Ok(())
    }

    /// What is to be written, each chunk once, and the keys of the directory that must be as they
    /// were.
    pub(crate) fn finish(self) -> (Vec<ChunkWrite>, Vec<Vec<u8>>) {
        let writes = self
            .writes
            .into_iter()
            .map(|((layer, at), what)| ChunkWrite { layer, at, what });
        (writes.collect(), self.seen)
    }

    fn node(&mut self, layer: LayerId, at: &Location) -> Result<Option<BucketNode>> {
        self.seen.push(self.chunks.key(layer, at));
        self.chunks.node(layer, at)
    }

    fn alter<P: EventPlanes>(
        &mut self,
        at: &Location,
        change: EventChange<P>,
    ) -> Result<Altered<P>> {
        let before = self.node(P::LAYER, at)?;
        let content = match &before {
            None => self.settle(at, change.now)?,
            Some(BucketNode::Events(ticks)) => {
                let concerned = change.ticks();
                let now = if ticks
                    .iter()
                    .all(|tick| concerned.binary_search(tick).is_ok())
                {
                    change.now
                } else {
                    let old = Events {
                        ticks: ticks.to_vec(),
                        planes: P::read(self.chunks, at, ticks)?,
                    };
                    change.apply(self.chunks, at.levels, &old)
                };
                self.settle(at, now)?
            }
            Some(BucketNode::Branch) => self.alter_branch(at, &change)?,
        };
        Ok(Altered { content, before })
    }

    /// What a place holds that has these events.
    fn settle<P: EventPlanes>(
        &mut self,
        at: &Location,
        events: Option<Events<P>>,
    ) -> Result<TrieContent<P>> {
        match events {
            None => Ok(TrieContent::Nothing),
            Some(events) if events.len() <= self.irregular.capacity => {
                Ok(TrieContent::Events(events))
            }
            Some(events) => {
                let mut parts = Vec::new();
                for (number, child) in self.halves(at) {
                    let half = events.only(self.chunks, at.levels, |tick| {
                        self.irregular.half(at, tick) == number
                    });
                    let altered = Altered {
                        content: self.settle(&child, half)?,
                        before: None,
                    };
                    parts.push((number, self.half_of(at, &child, &altered.content)?));
                    self.put(&child, &altered);
                }
                Ok(TrieContent::Branch(self.assemble(at, None, parts)))
            }
        }
    }

    fn alter_branch<P: EventPlanes>(
        &mut self,
        at: &Location,
        change: &EventChange<P>,
    ) -> Result<TrieContent<P>> {
        let mut sides: Vec<TrieHalf<P>> = Vec::new();
        let mut count = 0;
        for (number, child) in self.halves(at) {
            let part = change.only(self.chunks, at.levels, |tick| {
                self.irregular.half(at, tick) == number
            });
            if part.is_empty() {
                let node = self.node(P::LAYER, &child)?;
                count += node.as_ref().map_or(0, |node| self.count(node));
                sides.push(TrieHalf {
                    number,
                    at: child,
                    altered: None,
                    node,
                });
            } else {
                let altered = self.alter(&child, part)?;
                count += self.held(&altered.content);
                sides.push(TrieHalf::of(number, child, altered));
            }
        }
        if count <= self.irregular.capacity {
            self.join(at, sides)
        } else {
            self.update(at, sides)
        }
    }

    fn remade<P: EventPlanes>(
        &mut self,
        at: &Location,
        out: &BTreeSet<Location>,
    ) -> Result<Altered<P>> {
        if out.contains(at) {
            let (content, before) = (TrieContent::Nothing, Some(BucketNode::Branch));
            return Ok(Altered { content, before });
        }
        let before = self.node(P::LAYER, at)?;
        let content = match &before {
            None => TrieContent::Nothing,
            Some(BucketNode::Events(ticks)) => TrieContent::Events(Events {
                ticks: ticks.to_vec(),
                planes: P::read(self.chunks, at, ticks)?,
            }),
            Some(BucketNode::Branch) => self.remade_branch(at, out)?,
        };
        Ok(Altered { content, before })
    }

    fn remade_branch<P: EventPlanes>(
        &mut self,
        at: &Location,
        out: &BTreeSet<Location>,
    ) -> Result<TrieContent<P>> {
        let (mut sides, mut count) = (Vec::new(), 0);
        for (number, child) in self.halves(at) {
            let altered: Altered<P> = self.remade(&child, out)?;
            count += self.held(&altered.content);
            sides.push(TrieHalf::of(number, child, altered));
        }
        if count <= self.irregular.capacity {
            return self.join(at, sides);
        }
        let mut parts = Vec::new();
        for side in &sides {
            if let Some(altered) = &side.altered {
                let part = self.half_of(at, &side.at, &altered.content)?;
                parts.push((side.number, part));
                self.put_remade(&side.at, altered);
            }
        }
        Ok(TrieContent::Branch(self.assemble(at, None, parts)))
    }

    /// How many events a place holds, or more than fit one chunk.
    fn held<P>(&self, content: &TrieContent<P>) -> usize {
        match content {
            TrieContent::Nothing => 0,
            TrieContent::Events(events) => events.ticks.len(),
            TrieContent::Branch(_) => self.irregular.capacity + 1,
        }
    }

    /// How many events lie under a node, or more than fit one chunk.
    fn count(&self, node: &BucketNode) -> usize {
        match node {
            BucketNode::Events(ticks) => ticks.len(),
            BucketNode::Branch => self.irregular.capacity + 1,
        }
    }

    /// All events below a place that fit one chunk.
    fn join<P: EventPlanes>(
        &mut self,
        at: &Location,
        sides: Vec<TrieHalf<P>>,
    ) -> Result<TrieContent<P>> {
        let mut parts = Vec::new();
        for TrieHalf {
            at: child,
            altered,
            node,
            ..
        } in sides
        {
            let before = altered
                .as_ref()
                .map_or(node.as_ref(), |altered| altered.before.as_ref());
            if before.is_some() {
                self.write(P::absent(self.chunks, &child, false));
            }
            match (altered.map(|altered| altered.content), node) {
                (Some(TrieContent::Events(events)), _) => parts.push(events),
                (None, Some(BucketNode::Events(ticks))) => {
                    parts.push(Events {
                        ticks: ticks.to_vec(),
                        planes: P::read(self.chunks, &child, &ticks)?,
                    });
                }
                _ => {}
            }
        }
        let joined = Events::join(self.chunks, at.levels, &parts.iter().collect::<Vec<_>>());
        Ok(joined.map_or(TrieContent::Nothing, TrieContent::Events))
    }

    /// The new bins of a branch.
    fn update<P: EventPlanes>(
        &mut self,
        at: &Location,
        sides: Vec<TrieHalf<P>>,
    ) -> Result<TrieContent<P>> {
        let mut parts = Vec::new();
        for TrieHalf {
            number,
            at: child,
            altered,
            ..
        } in &sides
        {
            if let Some(altered) = altered {
                parts.push((*number, self.half_of(at, child, &altered.content)?));
                self.put(child, altered);
            }
        }
        let old = if parts.len() < sides.len() {
            self.seen.push(self.chunks.key(LayerId::FIRST, at));
            self.chunks.aggregates(at, None)?
        } else {
            None
        };
        Ok(TrieContent::Branch(self.assemble(at, old, parts)))
    }

    fn halves(&self, at: &Location) -> Vec<(u8, Location)> {
        (0..)
            .zip(
                self.chunks
                    .grid
                    .structure()
                    .children(at, self.irregular.dimension),
            )
            .collect()
    }

    /// The part of a place's bins that one of its halves stands for.
    fn half_of<P: EventPlanes>(
        &self,
        at: &Location,
        child: &Location,
        content: &TrieContent<P>,
    ) -> Result<Option<LayerChunks>> {
        let bins = self.bins(child, content)?;
        bins.map(|bins| {
            self.chunks
                .reduce(&bins, self.irregular.dimension, at.levels)
        })
        .transpose()
    }

    /// The bins of a place.
    pub(crate) fn bins<P: EventPlanes>(
        &self,
        at: &Location,
        content: &TrieContent<P>,
    ) -> Result<Option<LayerChunks>> {
        match content {
            TrieContent::Nothing => Ok(None),
            TrieContent::Branch(bins) => Ok(Some(bins.clone())),
            TrieContent::Events(events) => {
                let planes = events.planes.lift(self.chunks, at.levels)?;
                self.chunks
                    .bin(
                        at,
                        &Events {
                            ticks: events.ticks.clone(),
                            planes,
                        },
                    )
                    .map(Some)
            }
        }
    }

    /// The change of a bucket told to those who know nothing of it: all events that it holds then.
    pub(crate) fn whole<P: EventPlanes>(
        &self,
        bucket: &Location,
        change: EventChange<P>,
        content: &TrieContent<P>,
    ) -> Result<EventChange<P>> {
        let gone = change.gone.clone();
        let now = match content {
            TrieContent::Nothing => None,
            TrieContent::Events(events) => Some(events.clone()),
            TrieContent::Branch(_) => {
                let ticks = self.chunks.ticks_of(P::LAYER, bucket)?;
                match self.chunks.events_at(bucket, &ticks)? {
                    Some(old) => change.apply(self.chunks, bucket.levels, &old),
                    None => change.now,
                }
            }
        };
        Ok(EventChange { now, gone })
    }

    fn assemble(
        &self,
        at: &Location,
        old: Option<LayerChunks>,
        parts: Vec<(u8, Option<LayerChunks>)>,
    ) -> LayerChunks {
        self.chunks.assemble(
            old,
            parts,
            &self.chunks.grid.halving(self.irregular.dimension),
            at.levels,
        )
    }

    /// Writes what a place holds, unless nothing is and was there.
    fn put<P: EventPlanes>(&mut self, at: &Location, altered: &Altered<P>) {
        match &altered.content {
            TrieContent::Nothing if altered.before.is_none() => {}
            TrieContent::Nothing => self.write(P::absent(self.chunks, at, false)),
            TrieContent::Events(events) => {
                if altered.before == Some(BucketNode::Branch) {
                    self.write(P::absent(self.chunks, at, false));
                }
                if let Some(ticks) = crate::key::Ticks::new(events.ticks.clone()) {
                    self.write(events.planes.write(self.chunks, at, &ticks));
                }
            }
            TrieContent::Branch(bins) => {
                self.write(P::absent(self.chunks, at, true));
                self.write(self.chunks.encode(at, bins, None));
            }
        }
    }

    /// The same, but of chunks of events that are what they were.
    fn put_remade<P: EventPlanes>(&mut self, at: &Location, altered: &Altered<P>) {
        let is = matches!(altered.content, TrieContent::Events(_));
        if !(is && matches!(altered.before, Some(BucketNode::Events(_)))) {
            self.put(at, altered);
        }
    }

    fn write(&mut self, writes: impl IntoIterator<Item = ChunkWrite>) {
        self.writes.extend(
            writes
                .into_iter()
                .map(|ChunkWrite { layer, at, what }| ((layer, at), what)),
        );
    }
}
