//! What a read makes of stored chunks.
//!
//! A read copies down, reduces, assembles and bins chunks in an order that the directory and the
//! marks alone decide. So the same code makes the [cells](Decoded) of an answer, and the
//! [print](Printed) of what it is made of: equal prints are the same steps over the same stored
//! bytes, and so equal cells, whatever lies between two moments.

use super::sources::entries;
use crate::codec::Digest;
use crate::error::Result;
use crate::events::{Column, EventPart, EventPlanes, Events, irregular, merge, slabs};
use crate::grid::{Levels, Location, Tuple};
use crate::kernel::{Chunk, InBin, Pick, holds_data};
use crate::key::{LayerId, Ticks};
use crate::store::{Base, ChunkReader, LayerChunks, LayerSpec};

/// How the chunks of one layer are made of stored ones.
pub(crate) trait Values<'a>: Copy + Send + Sync {
    /// What stands for a chunk.
    type Chunk: Clone + Send + Sync;

    /// Where the stored chunks are.
    fn chunks(&self) -> ChunkReader<'a>;

    /// The layer.
    fn layer(&self) -> LayerId;

    /// What the layer makes of the base chunk of cells at a location, if there is one.
    fn base(&self, at: &Location) -> Result<Option<Self::Chunk>>;

    /// The layer's stored chunk of cells at a location, if there is one.
    fn stored(&self, at: &Location) -> Result<Option<Self::Chunk>>;

    /// What the layer makes of the chunk of events at a location.
    fn events(&self, at: &Location, base: &Base, ticks: &Ticks) -> Result<Self::Chunk>;

    /// A chunk copied down along the refinable dimension.
    fn spread(&self, chunk: &Self::Chunk, from: &Location, at: &Location) -> Result<Self::Chunk>;

    /// The part of a parent at `levels` that a child along a dimension stands for.
    fn reduce(&self, child: &Self::Chunk, dimension: usize, levels: Levels) -> Result<Self::Chunk>;

    /// The parent at `levels` that derives from parts along a dimension, and is what it was where
    /// there is none.
    fn assemble(
        &self,
        old: Option<Self::Chunk>,
        parts: Vec<(u8, Option<Self::Chunk>)>,
        dimension: usize,
        levels: Levels,
    ) -> Self::Chunk;

    /// The events at `ticks` of a parent at some levels that derives from parts along a dimension.
    fn merge(
        &self,
        of: (Levels, usize),
        ticks: &[i64],
        parts: &[EventPart<'_, Self::Chunk>],
    ) -> Self::Chunk;

    /// The bins of a place in which events lie.
    fn bins(&self, at: &Location, events: &Events<Self::Chunk>) -> Result<Self::Chunk>;

    /// Some of the events at a location, by their number.
    fn pick(
        &self,
        at: &Location,
        events: &Events<Self::Chunk>,
        kept: &[usize],
    ) -> Events<Self::Chunk>;

    /// All events of several parts at some levels, whose ticks rise from part to part; `None` if
    /// there are none.
    fn join(&self, levels: Levels, parts: Vec<Events<Self::Chunk>>) -> Option<Events<Self::Chunk>>;

    /// Events laid into bins that follow each other, of which there are `count`; the events come
    /// from several chunks, each given with how many it has.
    fn bin(
        &self,
        levels: Levels,
        sources: &[(&Self::Chunk, usize)],
        picks: &[Pick],
        places: (&[InBin], usize),
    ) -> Result<Self::Chunk>;

    /// Which of so many events or bins hold data in a box that begins somewhere and is of some
    /// size.
    fn held(
        &self,
        chunk: &Self::Chunk,
        count: usize,
        of: (&Tuple<usize>, &Tuple<usize>),
    ) -> Vec<bool>;
}

/// The cells themselves: chunks of one layer.
#[derive(Clone, Copy)]
pub(crate) struct Decoded<'a> {
    chunks: ChunkReader<'a>,
    pub(super) layer: &'a LayerSpec,
}

impl<'a> Decoded<'a> {
    /// The cells of a layer.
    pub(crate) fn new(chunks: ChunkReader<'a>, layer: &'a LayerSpec) -> Self {
        Self {
            chunks: chunks.of_layer(layer),
            layer,
        }
    }
}

impl<'a> Values<'a> for Decoded<'a> {
    type Chunk = LayerChunks;

    fn chunks(&self) -> ChunkReader<'a> {
        self.chunks
    }

    fn layer(&self) -> LayerId {
        self.layer.id
    }

    fn base(&self, at: &Location) -> Result<Option<LayerChunks>> {
        self.chunks.lifted(LayerId::BASE, at, None)
    }

    fn stored(&self, at: &Location) -> Result<Option<LayerChunks>> {
        self.chunks.aggregates(at, None)
    }

    fn events(&self, at: &Location, base: &Base, ticks: &Ticks) -> Result<LayerChunks> {
        self.chunks.events_of_chunk(at, base, ticks)
    }

    fn spread(&self, chunks: &LayerChunks, from: &Location, at: &Location) -> Result<LayerChunks> {
        self.chunks.spread(chunks, from, at)
    }

    fn reduce(&self, child: &LayerChunks, dimension: usize, levels: Levels) -> Result<LayerChunks> {
        self.chunks.reduce(child, dimension, levels)
    }

    fn assemble(
        &self,
        old: Option<LayerChunks>,
        parts: Vec<(u8, Option<LayerChunks>)>,
        dimension: usize,
        levels: Levels,
    ) -> LayerChunks {
        self.chunks
            .assemble(old, parts, &self.chunks.grid.halving(dimension), levels)
    }

    fn merge(
        &self,
        of: (Levels, usize),
        ticks: &[i64],
        parts: &[EventPart<'_, LayerChunks>],
    ) -> LayerChunks {
        merge(self.chunks, of, ticks, parts)
    }

    fn bins(&self, at: &Location, events: &Events<LayerChunks>) -> Result<LayerChunks> {
        self.chunks.bins_of(at, events)
    }

    fn pick(
        &self,
        at: &Location,
        events: &Events<LayerChunks>,
        kept: &[usize],
    ) -> Events<LayerChunks> {
        events.pick(self.chunks, at.levels(), kept)
    }

    fn join(
        &self,
        levels: Levels,
        mut parts: Vec<Events<LayerChunks>>,
    ) -> Option<Events<LayerChunks>> {
        if parts.len() == 1 {
            return parts.pop();
        }
        Events::join(self.chunks, levels, &parts.iter().collect::<Vec<_>>())
    }

    fn bin(
        &self,
        levels: Levels,
        sources: &[(&LayerChunks, usize)],
        picks: &[Pick],
        (places, count): (&[InBin], usize),
    ) -> Result<LayerChunks> {
        let (grid, axis) = (self.chunks.grid, irregular(self.chunks).axis);
        let full = grid.full(levels);
        let whole = |events: usize| {
            picks
                .iter()
                .copied()
                .eq((0..events).map(|event| Some((0, event))))
        };
        let woven;
        let all = match sources {
            [(chunks, events)] if whole(*events) => *chunks,
            _ => {
                woven = LayerChunks::weave(self.chunks, levels, slabs(self.chunks), sources, picks);
                &woven
            }
        };
        self.chunks.each(|layer, number| {
            let chunk = &all[number];
            layer.rule().bin(
                chunk,
                (&grid.shape_of(chunk.values.len()), axis),
                (places, count),
                full,
            )
        })
    }

    fn held(
        &self,
        chunks: &LayerChunks,
        count: usize,
        (start, size): (&Tuple<usize>, &Tuple<usize>),
    ) -> Vec<bool> {
        let axis = irregular(self.chunks).axis;
        let held = |chunk: &Chunk| {
            let shape = self.chunks.grid.shape_of(chunk.values.len());
            holds_data(self.layer.rule(), chunk, (&shape, axis), (start, size))
        };
        chunks.first().map_or_else(|| vec![false; count], held)
    }
}

/// What stands for a chunk: a digest of the stored chunks that it is made of, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Print(u128);

impl Print {
    fn of(how: &str, add: impl FnOnce(&mut Digest)) -> Self {
        let mut digest = Digest::default();
        digest.bytes(how.as_bytes());
        add(&mut digest);
        Self(digest.finish())
    }

    /// Of a directory entry, which holds the checksum of its chunk.
    pub(super) fn of_entry(key: &[u8], entry: &[u8]) -> Self {
        Self::of("stored", |digest| {
            digest.bytes(key);
            digest.bytes(entry);
        })
    }

    pub(super) fn add(self, digest: &mut Digest) {
        digest.print(self.0);
    }
}

/// What stands for the cells. No chunk is read.
#[derive(Clone, Copy)]
pub(super) struct Printed<'a> {
    pub(super) chunks: ChunkReader<'a>,
    pub(super) layer: &'a LayerSpec,
}

impl Printed<'_> {
    fn entry(&self, layer: LayerId, at: &Location) -> Result<Option<Print>> {
        let mut found = None;
        entries(self.chunks, &[(layer, *at)], &mut |_, print| {
            found = print;
            Ok(())
        })?;
        Ok(found)
    }

    fn place(&self, digest: &mut Digest, at: &Location) {
        digest.bytes(&self.chunks.key(self.layer.id, at));
    }
}

pub(super) fn levels_of(digest: &mut Digest, levels: Levels) {
    levels
        .iter()
        .for_each(|level| digest.number(level.get().cast_unsigned().into()));
}

fn events_of(digest: &mut Digest, events: &Events<Print>) {
    ticks_of(digest, &events.ticks);
    events.planes.add(digest);
}

pub(super) fn ticks_of(digest: &mut Digest, ticks: &[i64]) {
    digest.number(ticks.len() as u64);
    ticks
        .iter()
        .for_each(|tick| digest.number(tick.cast_unsigned()));
}

impl<'a> Values<'a> for Printed<'a> {
    type Chunk = Print;

    fn chunks(&self) -> ChunkReader<'a> {
        self.chunks
    }

    fn layer(&self) -> LayerId {
        self.layer.id
    }

    fn base(&self, at: &Location) -> Result<Option<Print>> {
        self.entry(LayerId::BASE, at)
    }

    fn stored(&self, at: &Location) -> Result<Option<Print>> {
        self.entry(self.layer.id, at)
    }

    fn events(&self, at: &Location, base: &Base, _: &Ticks) -> Result<Print> {
        let layer = Column::layer_of(base, at);
        let layer = if layer == LayerId::BASE {
            layer
        } else {
            self.layer.id
        };
        self.entry(layer, at)?
            .ok_or_else(|| self.chunks.lost(layer, at))
    }

    fn spread(&self, chunk: &Print, from: &Location, at: &Location) -> Result<Print> {
        Ok(Print::of("spread", |digest| {
            chunk.add(digest);
            self.place(digest, from);
            self.place(digest, at);
        }))
    }

    fn reduce(&self, child: &Print, dimension: usize, levels: Levels) -> Result<Print> {
        Ok(Print::of("reduce", |digest| {
            child.add(digest);
            digest.number(dimension as u64);
            levels_of(digest, levels);
        }))
    }

    fn assemble(
        &self,
        old: Option<Print>,
        parts: Vec<(u8, Option<Print>)>,
        dimension: usize,
        levels: Levels,
    ) -> Print {
        Print::of("assemble", |digest| {
            digest.number(dimension as u64);
            levels_of(digest, levels);
            for (number, part) in std::iter::once((u64::MAX, old))
                .chain(parts.iter().map(|(n, part)| (u64::from(*n), *part)))
            {
                digest.number(number);
                digest.number(part.is_some().into());
                part.iter().for_each(|part| part.add(digest));
            }
        })
    }

    fn merge(
        &self,
        (levels, dimension): (Levels, usize),
        ticks: &[i64],
        parts: &[EventPart<'_, Print>],
    ) -> Print {
        Print::of("merge", |digest| {
            digest.number(dimension as u64);
            levels_of(digest, levels);
            ticks_of(digest, ticks);
            for (number, events) in parts {
                digest.number(u64::from(*number));
                digest.number(events.is_some().into());
                events.iter().for_each(|events| events_of(digest, events));
            }
        })
    }

    fn bins(&self, at: &Location, events: &Events<Print>) -> Result<Print> {
        Ok(Print::of("bins", |digest| {
            self.place(digest, at);
            events_of(digest, events);
        }))
    }

    fn pick(&self, _: &Location, events: &Events<Print>, kept: &[usize]) -> Events<Print> {
        let planes = Print::of("pick", |digest| {
            events_of(digest, events);
            kept.iter().for_each(|number| digest.number(*number as u64));
        });
        Events {
            ticks: kept.iter().map(|number| events.ticks[*number]).collect(),
            planes,
        }
    }

    fn join(&self, levels: Levels, parts: Vec<Events<Print>>) -> Option<Events<Print>> {
        let ticks: Vec<i64> = parts
            .iter()
            .flat_map(|part| part.ticks.iter().copied())
            .collect();
        let planes = || {
            Print::of("join", |digest| {
                levels_of(digest, levels);
                parts.iter().for_each(|part| events_of(digest, part));
            })
        };
        (!ticks.is_empty()).then(|| Events {
            planes: planes(),
            ticks,
        })
    }

    fn bin(
        &self,
        levels: Levels,
        sources: &[(&Print, usize)],
        picks: &[Pick],
        (places, count): (&[InBin], usize),
    ) -> Result<Print> {
        Ok(Print::of("bin", |digest| {
            levels_of(digest, levels);
            sources.iter().for_each(|(chunk, _)| chunk.add(digest));
            for (source, event) in picks.iter().map(|pick| pick.unwrap_or((usize::MAX, 0))) {
                digest.number(source as u64);
                digest.number(event as u64);
            }
            places
                .iter()
                .for_each(|place| digest.number(place.bin as u64));
            places
                .iter()
                .flat_map(|place| place.away)
                .for_each(|away| digest.number(away.to_bits()));
            digest.number(count as u64);
        }))
    }

    /// It takes cells to know; the answer has of these what holds data.
    fn held(&self, _: &Print, count: usize, _: (&Tuple<usize>, &Tuple<usize>)) -> Vec<bool> {
        vec![true; count]
    }
}
