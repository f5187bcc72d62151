//! Bins of ticks, made of events or of finer bins.

use super::column::{BucketNode, Column};
use super::planes::{Events, irregular};
use crate::error::{Error, Result};
use crate::grid::Location;
use crate::kernel::InBin;
use crate::key::{LayerId, Ticks};
use crate::store::{Base, ChunkReader, LayerChunks};

impl ChunkReader<'_> {
    /// The bins of a place that events lie in.
    pub(crate) fn bin(&self, at: &Location, events: &Events<LayerChunks>) -> Result<LayerChunks> {
        let irregular = irregular(*self);
        let place = |tick: &i64| {
            let (bin, away) = irregular.in_bin(at, *tick);
            InBin { bin, away }
        };
        let places: Vec<InBin> = events.ticks.iter().map(place).collect();
        let mut shape = self.grid.structure().chunk_shape();
        shape[irregular.axis] = events.ticks.len();
        let (of, full) = ((&shape[..], irregular.axis), self.grid.full(at.levels));
        self.each(|layer, number| {
            layer.rule().bin(
                &events.planes[number],
                of,
                (&places, irregular.capacity),
                full,
            )
        })
    }

    /// The bins of a place in which events lie, made as the trie makes them: of its halves, while
    /// there are more than `capacity` events.
    pub(crate) fn bins_of(
        &self,
        at: &Location,
        events: &Events<LayerChunks>,
    ) -> Result<LayerChunks> {
        let irregular = irregular(*self);
        if events.len() <= irregular.capacity {
            return self.bin(at, events);
        }
        let mut parts = Vec::new();
        for (number, child) in (0_u8..).zip(self.grid.structure().children(at, irregular.dimension))
        {
            let half = events.only(*self, at.levels, |tick| irregular.half(at, tick) == number);
            let bins = half.map(|half| self.bins_of(&child, &half)).transpose()?;
            let part = bins
                .map(|bins| self.reduce(&bins, irregular.dimension, at.levels))
                .transpose()?;
            parts.push((number, part));
        }
        Ok(self.assemble(
            None,
            parts,
            &self.grid.halving(irregular.dimension),
            at.levels,
        ))
    }

    /// The bins of a place whose events lie in chunks below, made of these events alone; `None` of
    /// any other place.
    pub(crate) fn branch_bins(&self, at: &Location, base: &Base) -> Result<Option<LayerChunks>> {
        let stored = Column::layer_of(base, at);
        let within = irregular(*self).level(at) <= irregular(*self).bucket;
        if !within || self.node(stored, at)? != Some(BucketNode::Branch) {
            return Ok(None);
        }
        let ticks = self.ticks_of(stored, at)?;
        let events = self.layers_at(at, base, &ticks)?;
        events.map(|events| self.bins_of(at, &events)).transpose()
    }

    /// The bins of a bucket; `None` if it has no events.
    pub(crate) fn bucket_bins(&self, at: &Location, base: &Base) -> Result<Option<LayerChunks>> {
        match self.node(Column::layer_of(base, at), at)? {
            None => Ok(None),
            Some(BucketNode::Branch) => self
                .aggregates(at, None)?
                .ok_or_else(|| self.binless(at))
                .map(Some),
            Some(BucketNode::Events(ticks)) => {
                let planes = self.events_of_chunk(at, base, &ticks)?;
                self.bin(
                    at,
                    &Events {
                        ticks: ticks.to_vec(),
                        planes,
                    },
                )
                .map(Some)
            }
        }
    }

    /// What the layers have of the events of a chunk, which the directory has.
    pub(crate) fn events_of_chunk(
        &self,
        at: &Location,
        base: &Base,
        ticks: &Ticks,
    ) -> Result<LayerChunks> {
        let stored = Column::layer_of(base, at);
        self.lifted(stored, at, Some(ticks))?
            .ok_or_else(|| self.lost(stored, at))
    }

    /// The error for a branch without bins.
    pub(crate) fn binless(&self, at: &Location) -> Error {
        self.damaged(LayerId::FIRST, at)
            .because("the bins of its events are missing")
    }
}
