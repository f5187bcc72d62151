//! Which chunks an answer is made of.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;

use super::super::query::Freshness;
use super::super::serving::Served;
use super::super::sources::entries;
use super::super::values::Trace;
use super::{EventColumn, EventSource, Listed, Plan, Reader, When};
use crate::codec::Digest;
use crate::error::Result;
use crate::events::Column;
use crate::grid::{Location, Window};
use crate::key::LayerId;
use crate::kv::Snapshot;
use crate::store::{Grid, lock};

/// The chunks that serve a plan, each with the part of the window that it serves.
pub(in super::super) fn serving(grid: &Grid, snapshot: &dyn Snapshot, plan: &Plan) -> Result<Vec<Served>> {
    let trace = Trace::default();
    let reader = Reader::new(grid, snapshot, plan, Freshness::Stored)?;
    let columns = reader.columns()?;
    let ranges = reader.ranges(&columns)?;
    let mut served = Vec::new();
    for place in &columns {
        let mut chunks: BTreeSet<(LayerId, Location)> = BTreeSet::new();
        for ticks in &ranges {
            let listed = reader.listed(reader.printed(Some(&trace)), std::slice::from_ref(place), ticks)?;
            chunks.extend(reader.chunks_of(place, &listed));
        }
        chunks.extend(lock(&trace).drain(..));
        for (layer, location) in chunks {
            let aggregator = grid.layers().iter().find(|spec| spec.id == layer).map(|spec| spec.aggregation.clone());
            served.push(Served { location, aggregator, window: reader.part(place, &location) });
        }
    }
    Ok(served)
}

/// How many chunks a plan reads, and how many of them are out of date.
pub(in super::super) fn counts(grid: &Grid, snapshot: &dyn Snapshot, plan: &Plan, freshness: Freshness) -> Result<(u64, u64)> {
    let reader = Reader::new(grid, snapshot, plan, freshness)?;
    let columns = reader.columns()?;
    let (mut read, mut stale) = (0, 0);
    for ticks in reader.ranges(&columns)? {
        let listed = reader.listed(reader.printed(None), &columns, &ticks)?;
        for (place, found) in columns.iter().zip(&listed.columns) {
            let stored = found.sources.iter().filter(|source| matches!(source, EventSource::Stored(..))).count() as u64;
            read += found.read + stored;
            stale += if place.pending.is_empty() { 0 } else { found.read + stored };
        }
    }
    // To choose the event that stands for a moment takes the cells of those near it.
    Ok((read + reader.read.load(Ordering::Relaxed), stale))
}

/// Adds all that an answer is made of to a digest, and says which parts of it are out of date.
pub(in super::super) fn digest(
    grid: &Grid,
    snapshot: &dyn Snapshot,
    plan: &Plan,
    freshness: Freshness,
    digest: &mut Digest,
) -> Result<Vec<Window>> {
    let reader = Reader::new(grid, snapshot, plan, freshness)?;
    let columns = reader.columns()?;
    if let When::Moment { tick, .. } = reader.times.when {
        digest.number(tick.cast_unsigned());
    }
    reader.times.steps.iter().for_each(|cuts| cuts.digest(|number| digest.number(number)));
    for range in reader.ranges(&columns)? {
        let listed = reader.listed(reader.printed(None), &columns, &range)?;
        let add_ticks = |digest: &mut Digest, ticks: &[i64]| {
            digest.number(ticks.len() as u64);
            ticks.iter().for_each(|tick| digest.number(tick.cast_unsigned()));
        };
        add_ticks(digest, &listed.ticks);
        digest.number(listed.width);
        let mut stored = Vec::new();
        for (place, found) in columns.iter().zip(&listed.columns) {
            for source in &found.sources {
                digest.bytes(&reader.chunks.key(LayerId::BASE, &place.piece.location));
                // Beyond what was put nothing is read.
                place.piece.in_window.iter().chain(place.piece.shape.iter()).for_each(|number| digest.number(*number as u64));
                let within = |tick: &i64| listed.ticks.binary_search(tick).is_ok();
                add_ticks(digest, &source.ticks().iter().copied().filter(within).collect::<Vec<i64>>());
                match source {
                    EventSource::Stored(at, _) => stored.push((reader.stored_layer(place), *at)),
                    EventSource::Computed(events) => events.planes.add(digest),
                }
            }
        }
        entries(reader.chunks, &stored, &mut |number, print| {
            let (layer, at) = &stored[number];
            print.ok_or_else(|| reader.chunks.lost(*layer, at)).map(|print| print.add(digest))
        })?;
    }
    if reader.fresh { Ok(Vec::new()) } else { reader.stale(&columns) }
}

impl Reader<'_> {
    /// The ranges of ticks that are read: of the events that stand for a moment each has its own.
    fn ranges(&self, columns: &[EventColumn]) -> Result<Vec<RangeInclusive<i64>>> {
        Ok(match self.times.when {
            When::Moment { .. } | When::Latest => self.chosen(columns)?.0.into_iter().map(|tick| tick..=tick).collect(),
            When::Region | When::Ticks(..) => vec![self.times.ticks.clone()],
        })
    }

    /// The layer in which the chunks of events of a column are.
    fn stored_layer(&self, place: &EventColumn) -> LayerId {
        match Column::layer(&self.plan.pyramid.base, &place.piece.location) {
            LayerId::BASE => LayerId::BASE,
            _ => self.plan.layer.id(),
        }
    }

    /// The chunks of events of a column that are read as they are stored.
    fn chunks_of<C>(&self, place: &EventColumn, listed: &Listed<C>) -> Vec<(LayerId, Location)> {
        let sources = listed.columns.iter().flat_map(|found| &found.sources);
        let stored = sources.filter_map(|source| if let EventSource::Stored(at, _) = source { Some(*at) } else { None });
        stored.map(|at| (self.stored_layer(place), at)).collect()
    }

    /// The part of the window that a chunk of a column serves.
    fn part(&self, place: &EventColumn, at: &Location) -> Window {
        let structure = self.chunks.grid.structure();
        let irregular = self.times.irregular;
        let ticks = irregular.ticks(at);
        let mut window = self.plan.window;
        for axis in (0..structure.rank()).filter(|axis| *axis != irregular.axis) {
            let first = self.plan.window.start()[axis].saturating_add_unsigned(place.piece.in_window[axis] as u64);
            window = window.along(axis, first, place.piece.shape[axis] as u64);
        }
        let bin = |tick: i64| irregular.bin(self.times.level, tick);
        let first = bin((*ticks.start()).max(*self.times.ticks.start()));
        let last = bin((*ticks.end()).min(*self.times.ticks.end()));
        window.along(irregular.axis, first, last.abs_diff(first).saturating_add(1))
    }
}
