//! Bins of ticks, made of events or of finer bins.

use super::column::{Column, Node};
use super::planes::{Events, Planes, irregular};
use crate::error::{Error, Result};
use crate::grid::Location;
use crate::kernel::{Chunk, InBin};
use crate::key::{LayerId, Ticks};
use crate::store::{Base, ChunkReader, LayerChunks, LayerSpec};

impl ChunkReader<'_> {
    /// The bins of a place that events of one layer lie in.
    pub(crate) fn bin_layer(&self, layer: &LayerSpec, at: &Location, events: &Events<Chunk>) -> Result<Chunk> {
        let irregular = irregular(*self);
        let place = |tick: &i64| {
            let (bin, away) = irregular.in_bin(at, *tick);
            InBin { bin, away }
        };
        let places: Vec<InBin> = events.ticks.iter().map(place).collect();
        let mut shape = self.grid.structure().chunk_shape();
        shape[irregular.axis] = events.ticks.len();
        let full = self.grid.full(at.levels);
        let binned = layer.rule().bin(&events.planes, (&shape, irregular.axis), (&places, irregular.capacity), full);
        binned.map_err(|e| self.grid.blame(e))
    }

    /// The same of every layer.
    pub(crate) fn bin(&self, at: &Location, events: &Events<LayerChunks>) -> Result<LayerChunks> {
        let layers = self.grid.layers().iter().zip(&events.planes);
        layers
            .map(|(layer, chunk)| self.bin_layer(layer, at, &Events { ticks: events.ticks.clone(), planes: chunk.clone() }))
            .collect()
    }

    /// The bins of a bucket, one chunk a layer; `None` if it has no events.
    pub(crate) fn bucket_bins(&self, at: &Location, base: &Base) -> Result<Option<LayerChunks>> {
        let of = Column::layer_of(base, at);
        match self.node(of, at)? {
            None => Ok(None),
            Some(Node::Branch) => self.aggregates(at)?.ok_or_else(|| self.binless(at)).map(Some),
            Some(Node::Events(ticks)) => {
                let planes = match of {
                    LayerId::BASE => self.base_events(at, &ticks)?.lift(*self, at.levels)?,
                    _ => LayerChunks::read(*self, at, &ticks)?,
                };
                self.bin(at, &Events { ticks: ticks.to_vec(), planes }).map(Some)
            }
        }
    }

    /// What a layer makes of the events of a chunk.
    pub(crate) fn layer_of(&self, layer: &LayerSpec, at: &Location, base: &Base, ticks: &Ticks) -> Result<Chunk> {
        match Column::layer_of(base, at) {
            LayerId::BASE => {
                let chunk = self.base_events(at, ticks)?;
                self.lift_layer(layer, &chunk.weigh(self.grid.schema(), self.grid.full(at.levels)), at.levels)
            }
            _ => self.layer_events(layer, at, ticks),
        }
    }

    /// The error for a branch without bins.
    pub(crate) fn binless(&self, at: &Location) -> Error {
        self.damaged(LayerId::FIRST, at).because("the bins of its events are missing")
    }
}

/// The bins of a place in which events of one layer lie, made as the trie makes them: of its halves, while there are more than
/// `capacity` events.
pub(crate) fn bins_of(chunks: ChunkReader<'_>, layer: &LayerSpec, at: &Location, events: &Events<Chunk>) -> Result<Chunk> {
    let irregular = irregular(chunks);
    if events.ticks.len() <= irregular.capacity {
        return chunks.bin_layer(layer, at, events);
    }
    let mut parts = Vec::new();
    for (number, child) in (0_u8..).zip(chunks.grid.structure().children(at, irregular.dimension)) {
        let half = chunks.only_layer(layer, at, events, |tick| irregular.half(at, tick) == number);
        if half.ticks.is_empty() {
            parts.push((number, None));
            continue;
        }
        let bins = bins_of(chunks, layer, &child, &half)?;
        parts.push((number, Some(chunks.reduce(layer, &bins, irregular.dimension, at.levels)?)));
    }
    Ok(chunks.assemble(layer, None, &parts, &chunks.grid.halving(irregular.dimension), at.levels))
}
