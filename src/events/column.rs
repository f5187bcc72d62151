//! Where the events at one place of the other dimensions are.

use std::ops::RangeInclusive;

use super::planes::{EventPlanes, Events, irregular};
use crate::error::Result;
use crate::grid::{Level, Location};
use crate::key::{ChunkKey, DirectoryEntry, LayerId, Ticks};
use crate::kv::{KeyRange, Order, Space, for_each_page};
use crate::store::{Base, BaseChunk, ChunkReader, LayerChunks};

/// What the directory has at a place of a bucket, or within one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BucketNode {
    /// A chunk of events.
    Events(Ticks),
    /// Chunks of events lie below.
    Branch,
}

/// Entries that are read at once.
const PAGE: usize = 1024;

/// The ticks from one on in an order.
pub(crate) fn reach(tick: i64, order: Order) -> RangeInclusive<i64> {
    if order == Order::Ascending {
        tick..=i64::MAX
    } else {
        i64::MIN..=tick
    }
}

/// The first of rising ticks in an order.
pub(crate) fn first(mut ticks: impl DoubleEndedIterator<Item = i64>, order: Order) -> Option<i64> {
    if order == Order::Ascending {
        ticks.next()
    } else {
        ticks.next_back()
    }
}

/// The events of a layer at one place of the other dimensions.
#[derive(Clone, Copy)]
pub(crate) struct Column<'a> {
    chunks: ChunkReader<'a>,
    layer: LayerId,
    /// Any of its locations.
    at: Location,
}

impl ChunkReader<'_> {
    /// What is at a place of a bucket, or within one.
    pub(crate) fn node(&self, layer: LayerId, at: &Location) -> Result<Option<BucketNode>> {
        Ok(self.nodes(layer, &[*at])?.pop().map(|(_, node)| node))
    }

    /// The same at several places, of those at which there is anything.
    fn nodes(&self, layer: LayerId, places: &[Location]) -> Result<Vec<(Location, BucketNode)>> {
        let mut nodes = Vec::new();
        for page in places.chunks(PAGE) {
            let keys: Vec<Vec<u8>> = page.iter().map(|at| self.key(layer, at)).collect();
            self.snapshot
                .get_many(Space::Directory, &keys, &mut |number, entry| {
                    let at = page[number];
                    nodes.extend(
                        entry
                            .map(|entry| self.node_of(layer, &at, entry))
                            .transpose()?
                            .map(|node| (at, node)),
                    );
                    Ok(())
                })?;
        }
        Ok(nodes)
    }

    /// What a directory entry of a bucket, or of a place within one, says.
    fn node_of(&self, layer: LayerId, at: &Location, entry: &[u8]) -> Result<BucketNode> {
        let damaged = || self.damaged(layer, at);
        let entry = DirectoryEntry::decode(entry).map_err(|e| damaged().because(e))?;
        let Some(ticks) = entry.ticks else {
            return Ok(BucketNode::Branch);
        };
        let (irregular, place) = (irregular(*self), irregular(*self).ticks(at));
        let fits =
            ticks.len() <= irregular.capacity && ticks.iter().all(|tick| place.contains(tick));
        if fits {
            Ok(BucketNode::Events(ticks))
        } else {
            Err(damaged().because("its ticks are not those of its place"))
        }
    }
}

impl ChunkReader<'_> {
    /// The events of a bucket at some ticks, rising, as every layer has them; base cells are
    /// lifted. `None` if there are none.
    pub(crate) fn layers_at(
        &self,
        at: &Location,
        base: &Base,
        ticks: &[i64],
    ) -> Result<Option<Events<LayerChunks>>> {
        match Column::layer_of(base, at) {
            LayerId::BASE => self
                .events_at::<BaseChunk>(at, ticks)?
                .map(|events| events.lifted(*self, at.levels))
                .transpose(),
            _ => self.events_at::<LayerChunks>(at, ticks),
        }
    }

    /// The events of a bucket at some ticks, rising; `None` if there are none.
    pub(crate) fn events_at<P: EventPlanes>(
        &self,
        at: &Location,
        ticks: &[i64],
    ) -> Result<Option<Events<P>>> {
        let (Some(first), Some(last)) = (ticks.first(), ticks.last()) else {
            return Ok(None);
        };
        let wanted = |tick: i64| ticks.binary_search(&tick).is_ok();
        let mut parts = Vec::new();
        Column::new(*self, P::LAYER, at).each(&(*first..=*last), &mut |at, of| {
            if of.iter().any(|tick| wanted(*tick)) {
                let events = Events {
                    ticks: of.to_vec(),
                    planes: P::read(*self, &at, &of)?,
                };
                parts.extend(events.only(*self, at.levels, wanted));
            }
            Ok(())
        })?;
        Ok(Events::join(
            *self,
            at.levels,
            &parts.iter().collect::<Vec<_>>(),
        ))
    }

    /// Every place of a bucket at which something stands: its chunks of events, and what is halved
    /// above them.
    pub(crate) fn places_of(&self, layer: LayerId, bucket: &Location) -> Result<Vec<Location>> {
        let (mut places, mut waiting) = (Vec::new(), vec![*bucket]);
        while let Some(at) = waiting.pop() {
            let Some(node) = self.node(layer, &at)? else {
                continue;
            };
            places.push(at);
            if node == BucketNode::Branch {
                waiting.extend(
                    self.grid
                        .structure()
                        .children(&at, irregular(*self).dimension),
                );
            }
        }
        Ok(places)
    }

    /// Every tick of a bucket.
    pub(crate) fn ticks_of(&self, layer: LayerId, at: &Location) -> Result<Vec<i64>> {
        let mut ticks = Vec::new();
        Column::new(*self, layer, at).each(&irregular(*self).ticks(at), &mut |_, of| {
            ticks.extend(of.iter());
            Ok(())
        })?;
        Ok(ticks)
    }
}

impl<'a> Column<'a> {
    /// The events of the base, or of a layer of aggregates, at the place of a location.
    pub(crate) fn new(chunks: ChunkReader<'a>, layer: LayerId, at: &Location) -> Self {
        Self {
            chunks,
            layer,
            at: *at,
        }
    }

    /// The layer whose directory entries say where its events are.
    pub(crate) fn layer(&self) -> LayerId {
        self.layer
    }

    /// The same of the column of a location.
    pub(crate) fn layer_of(base: &Base, at: &Location) -> LayerId {
        let irregular = base
            .irregular()
            .map_or(at.levels, |d| at.levels.with(d, base.finest()[d]));
        if base.has(irregular) {
            LayerId::BASE
        } else {
            LayerId::FIRST
        }
    }

    /// The keys of what stands at a level, from the place of one tick to that of another.
    fn keys(&self, level: Level, ticks: &RangeInclusive<i64>) -> KeyRange {
        let irregular = irregular(self.chunks);
        let key = |tick: i64| {
            self.chunks.key(
                self.layer,
                &irregular.place(&self.at, level, irregular.code(level, tick)),
            )
        };
        KeyRange {
            start: key(*ticks.start()),
            end: KeyRange::prefix(&key(*ticks.end())).end,
        }
    }

    /// Calls `visit` with each chunk that has events between two ticks, both included, in their
    /// order.
    pub(crate) fn each(
        &self,
        ticks: &RangeInclusive<i64>,
        visit: &mut dyn FnMut(Location, Ticks) -> Result<()>,
    ) -> Result<()> {
        self.each_above(ticks, None, &mut |at, of| {
            of.map_or(Ok(()), |of| visit(at, of))
        })
    }

    /// The same, and of what is halved further at a level only the place, without ticks.
    pub(crate) fn each_above(
        &self,
        ticks: &RangeInclusive<i64>,
        level: Option<Level>,
        visit: &mut dyn FnMut(Location, Option<Ticks>) -> Result<()>,
    ) -> Result<()> {
        if ticks.is_empty() {
            return Ok(());
        }
        let irregular = irregular(self.chunks);
        for_each_page(
            self.chunks.snapshot,
            Space::Directory,
            self.keys(irregular.bucket, ticks),
            PAGE,
            |entries| {
                let node = |(key, value): &(Vec<u8>, Vec<u8>)| {
                    let at = self.location(key)?;
                    Ok((at, self.chunks.node_of(self.layer, &at, value)?))
                };
                let buckets = entries.iter().map(node).collect::<Result<Vec<_>>>()?;
                self.below(buckets, (ticks, level))?
                    .into_iter()
                    .try_for_each(|(at, of)| visit(at, of))
            },
        )
    }

    /// The chunks of events under some places, and what is halved further at a level, in the order
    /// of their ticks.
    fn below(
        &self,
        mut nodes: Vec<(Location, BucketNode)>,
        (ticks, level): (&RangeInclusive<i64>, Option<Level>),
    ) -> Result<Vec<(Location, Option<Ticks>)>> {
        let irregular = irregular(self.chunks);
        let overlaps = |at: &Location| {
            let place = irregular.ticks(at);
            place.start() <= ticks.end() && place.end() >= ticks.start()
        };
        let mut found = Vec::with_capacity(nodes.len());
        while !nodes.is_empty() {
            let mut halves = Vec::new();
            for (at, node) in nodes {
                match node {
                    BucketNode::Events(of) if of.iter().any(|tick| ticks.contains(tick)) => {
                        found.push((at, Some(of)))
                    }
                    BucketNode::Events(_) => {}
                    BucketNode::Branch if level == Some(irregular.level(&at)) => {
                        found.push((at, None))
                    }
                    BucketNode::Branch => halves.extend(
                        self.chunks
                            .grid
                            .structure()
                            .children(&at, irregular.dimension)
                            .filter(overlaps),
                    ),
                }
            }
            nodes = self.chunks.nodes(self.layer, &halves)?;
        }
        found.sort_by_key(|(at, _)| *irregular.ticks(at).start());
        Ok(found)
    }

    /// The places at a level, of buckets or above, at which something stands between two ticks,
    /// both included.
    pub(crate) fn places(
        &self,
        level: Level,
        ticks: &RangeInclusive<i64>,
    ) -> Result<Vec<Location>> {
        let mut places = Vec::new();
        for_each_page(
            self.chunks.snapshot,
            Space::Directory,
            self.keys(level, ticks),
            PAGE,
            |entries| {
                entries
                    .iter()
                    .try_for_each(|(key, _)| self.location(key).map(|at| places.push(at)))
            },
        )?;
        Ok(places)
    }

    fn location(&self, key: &[u8]) -> Result<Location> {
        let grid = self.chunks.grid;
        let decoded = ChunkKey::decode(grid.id(), grid.structure(), key);
        decoded
            .map(|(_, at)| at)
            .map_err(|e| grid.stray_key().because(e))
    }

    /// The first tick at or after one, or the last at or before it.
    pub(crate) fn next(&self, tick: i64, order: Order) -> Result<Option<i64>> {
        let reach = reach(tick, order);
        let mut range = self.keys(irregular(self.chunks).bucket, &reach);
        loop {
            // The bucket of the tick itself may have none on this side of it.
            let page = self
                .chunks
                .snapshot
                .scan(Space::Directory, &range, order, 2)?;
            for (key, value) in &page.entries {
                let at = self.location(key)?;
                let node = self.chunks.node_of(self.layer, &at, value)?;
                if let Some(found) = self.edge(&at, node, &reach, order)? {
                    return Ok(Some(found));
                }
                match order {
                    Order::Ascending => range.start = [key.as_slice(), &[0]].concat(),
                    Order::Descending => range.end = Some(key.clone()),
                }
            }
            if !page.more {
                return Ok(None);
            }
        }
    }

    /// The first or the last tick within a reach under a node.
    fn edge(
        &self,
        at: &Location,
        node: BucketNode,
        reach: &RangeInclusive<i64>,
        order: Order,
    ) -> Result<Option<i64>> {
        let irregular = irregular(self.chunks);
        match node {
            BucketNode::Events(ticks) => Ok(first(
                ticks.iter().copied().filter(|tick| reach.contains(tick)),
                order,
            )),
            BucketNode::Branch => {
                let mut children: Vec<Location> = self
                    .chunks
                    .grid
                    .structure()
                    .children(at, irregular.dimension)
                    .collect();
                if order == Order::Descending {
                    children.reverse();
                }
                let overlaps = |child: &Location| {
                    let place = irregular.ticks(child);
                    place.start() <= reach.end() && place.end() >= reach.start()
                };
                for child in children.into_iter().filter(overlaps) {
                    if let Some(node) = self.chunks.node(self.layer, &child)?
                        && let Some(tick) = self.edge(&child, node, reach, order)?
                    {
                        return Ok(Some(tick));
                    }
                }
                Ok(None)
            }
        }
    }
}
