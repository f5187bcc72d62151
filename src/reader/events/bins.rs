//! Bins of a level, and steps of any length.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;

use rayon::prelude::*;

use super::super::fetch::Fetched;
use super::super::fold::Fold;
use super::super::fresh::Fresh;
use super::super::query::Coordinates;
use super::super::steps::Even;
use super::{Place, Reader, Source};
use crate::error::{Error, Result};
use crate::events::{Column, Events, bins_of};
use crate::grid::Location;
use crate::kernel::{Chunk, InBin, holds_data};
use crate::key::LayerId;
use crate::store::LayerSpec;

impl Reader<'_> {
    /// The bins of a column that hold data in the window.
    pub(super) fn bins_of(&self, place: &Place, layer: &LayerSpec, ticks: &RangeInclusive<i64>) -> Result<Vec<Source>> {
        let (irregular, level, chunks) = (self.times.irregular, self.times.level, self.chunks);
        let at = &place.piece.location;
        let fresh = Fresh::new(chunks, layer, &self.plan.base, self.plan.built);
        let mut sources = Vec::new();
        let mut take = |at: &Location, bins: Option<&Chunk>| {
            let Some(bins) = bins else { return };
            let first = irregular.first_bin(at);
            let numbers = (0..irregular.capacity).map(|bin| first.saturating_add_unsigned(bin as u64));
            let events: Vec<i64> = numbers.map(|bin| *irregular.ticks_of_bin(level, bin).start()).collect();
            sources.push(Source::Computed(Events { ticks: events, planes: bins.clone() }));
        };
        if level > irregular.bucket {
            let codes: BTreeSet<u64> = if self.is_computed(place) {
                let up = level.above(irregular.bucket);
                self.buckets(place, ticks)?.iter().map(|at| at.codes[irregular.axis].checked_shr(up).unwrap_or(0)).collect()
            } else {
                let stored = Column::new(chunks, LayerId(1), at).places(level, ticks)?;
                stored.iter().map(|at| at.codes[irregular.axis]).collect()
            };
            for code in codes {
                let at = irregular.place(at, level, code);
                let pending = if self.fresh { fresh.touching(&place.pending, &at) } else { Vec::new() };
                take(&at, fresh.effective(&at, &pending)?.as_deref());
            }
        } else if self.is_computed(place) {
            for bucket in self.buckets(place, ticks)? {
                let Some(events) = fresh.events(&bucket, &fresh.touching(&place.pending, &bucket))? else { continue };
                for group in events.ticks.chunk_by(|a, b| irregular.code(level, *a) == irregular.code(level, *b)) {
                    let place = irregular.place(&bucket, level, irregular.code(level, group[0]));
                    let of_place = chunks.only_layer(layer, &bucket, &events, |tick| group.contains(&tick));
                    take(&place, Some(&bins_of(chunks, layer, &place, &of_place)?));
                }
            }
        } else {
            let column = Column::new(chunks, Column::layer(&self.plan.base, at), at);
            let mut computed = Vec::new();
            column.each_above(ticks, Some(level), &mut |at, of| {
                match of {
                    None => take(&at, fresh.stored(&at)?.as_ref()),
                    Some(of) => computed.push((at, of)),
                }
                Ok(())
            })?;
            for (at, of) in computed {
                let planes = fresh.layer_of(&at, &of)?;
                sources.push(Source::Computed(self.sparse_bins(layer, &at, &Events { ticks: of.to_vec(), planes })?));
            }
        }
        self.read.fetch_add(fresh.chunks_read(), Ordering::Relaxed);
        let within = |source: Source| self.with_data(place, layer, source, ticks);
        Ok(sources.into_iter().filter_map(within).collect())
    }

    /// Those bins of a chunk's events that hold any.
    fn sparse_bins(&self, layer: &LayerSpec, at: &Location, events: &Events<Chunk>) -> Result<Events<Chunk>> {
        let (irregular, level) = (self.times.irregular, self.times.level);
        let mut ticks: Vec<i64> = Vec::new();
        let mut places = Vec::new();
        for tick in &events.ticks {
            let first = *irregular.ticks_of_bin(level, irregular.bin(level, *tick)).start();
            if ticks.last() != Some(&first) {
                ticks.push(first);
            }
            let (_, away) = irregular.in_bin(&irregular.place(at, level, irregular.code(level, *tick)), *tick);
            places.push(InBin { bin: ticks.len() - 1, away });
        }
        let shape = self.chunks.grid.shape_of(events.planes.values.len());
        let full = self.chunks.grid.full(at.levels());
        let planes = layer.rule().bin(&events.planes, (&shape, irregular.axis), (&places, ticks.len()), full);
        Ok(Events { planes: planes.map_err(|e| self.chunks.grid.blame(e))?, ticks })
    }

    /// A source without the bins that hold no data in the window.
    fn with_data(&self, place: &Place, layer: &LayerSpec, source: Source, ticks: &RangeInclusive<i64>) -> Option<Source> {
        let Source::Computed(events) = source else { return Some(source) };
        let shape = self.chunks.grid.shape_of(events.planes.values.len());
        let held = holds_data(
            layer.rule(),
            &events.planes,
            (&shape, self.times.irregular.axis),
            (&place.piece.in_chunk, &place.piece.shape),
        );
        let kept: Vec<usize> = (0..events.ticks.len()).filter(|&bin| held[bin] && ticks.contains(&events.ticks[bin])).collect();
        if kept.is_empty() {
            return None;
        }
        Some(Source::Computed(self.chunks.pick_layer(layer, &place.piece.location, &events, &kept)))
    }

    /// Steps of a regular axis.
    pub(super) fn steps(&self, columns: &[Place], even: Even) -> Result<Fetched> {
        let Some(layer) = self.layer() else { return Err(Error::invalid("steps of several events are made by an aggregator")) };
        let ticks = &self.times.ticks;
        self.plan.check_events(even.count(ticks))?;
        let starts = even.starts(ticks)?;
        let of_column = |place: &Place| -> Result<Vec<Source>> {
            let above = (self.plan.levels(), &self.plan.base, self.plan.built);
            let mut fold = Fold::new(self.chunks, above, layer, self.fresh.then_some(&place.pending));
            let tops = self.tops(place, ticks)?;
            let mut found: BTreeMap<i64, Chunk> = BTreeMap::new();
            for start in &starts {
                if let Some(chunk) = fold.over(&tops, &even.ticks(*start, ticks))? {
                    found.insert(*start, chunk);
                }
            }
            self.read.fetch_add(fold.chunks_read(), Ordering::Relaxed);
            let parts: Vec<Events<Chunk>> =
                found.into_iter().map(|(tick, planes)| Events { ticks: vec![tick], planes }).collect();
            let joined = self.chunks.join_layer(layer, place.piece.location.levels(), &parts);
            Ok(joined.map(Source::Computed).into_iter().collect())
        };
        let sources: Vec<Vec<Source>> = columns.par_iter().map(of_column).collect::<Result<_>>()?;
        let filled = self.fill(columns, &sources, &starts)?;
        Ok(self.fetched(filled, Coordinates { axis: self.times.irregular.axis, ticks: starts, width: even.step }, columns))
    }

    /// The coarsest places of a column under which all events between two ticks lie.
    fn tops(&self, place: &Place, ticks: &RangeInclusive<i64>) -> Result<Vec<Location>> {
        let irregular = self.times.irregular;
        let level = self.plan.built[irregular.dimension];
        let at = &place.piece.location;
        if level <= irregular.bucket || !self.built(at) || self.fresh && !place.pending.is_empty() {
            return self.buckets(place, ticks);
        }
        Column::new(self.chunks, LayerId(1), at).places(level, ticks)
    }
}
