//! Which chunks an answer is made of.

use std::collections::BTreeSet;

use super::super::query::Freshness;
use super::super::serving::Served;
use super::{Place, Plan, Reader, When};
use crate::codec::Digest;
use crate::error::Result;
use crate::events::Column;
use crate::grid::{Level, Location, Window};
use crate::key::{ChunkKey, LayerId};
use crate::kv::{Snapshot, Space};
use crate::store::Grid;

/// The chunks that serve a plan, each with the part of the window that it serves.
pub(in super::super) fn serving(grid: &Grid, snapshot: &dyn Snapshot, plan: &Plan) -> Result<Vec<Served>> {
    let reader = Reader::new(grid, snapshot, plan, Freshness::Stored)?;
    let mut served = Vec::new();
    for place in reader.columns()? {
        for (layer, location) in reader.chunks_of(&place)? {
            let aggregator = grid.layers().iter().find(|spec| spec.id == layer).map(|spec| spec.aggregation.clone());
            served.push(Served { location, aggregator, window: reader.part(&place, &location) });
        }
    }
    Ok(served)
}

/// How many chunks a plan reads, and how many of them are out of date.
pub(in super::super) fn counts(grid: &Grid, snapshot: &dyn Snapshot, plan: &Plan) -> Result<(u64, u64)> {
    let reader = Reader::new(grid, snapshot, plan, Freshness::Stored)?;
    let (mut stored, mut stale) = (0, 0);
    for place in reader.columns()? {
        let chunks = reader.chunks_of(&place)?.len() as u64;
        stored += chunks;
        stale += if place.pending.is_empty() { 0 } else { chunks };
    }
    Ok((stored, stale))
}

/// Adds all that an answer depends on to a digest.
pub(in super::super) fn digest(
    grid: &Grid,
    snapshot: &dyn Snapshot,
    plan: &Plan,
    freshness: Freshness,
    digest: &mut Digest,
) -> Result<()> {
    let reader = Reader::new(grid, snapshot, plan, freshness)?;
    let (irregular, chunks) = (reader.times.irregular, reader.chunks);
    let columns = reader.columns()?;
    let tick = |digest: &mut Digest, tick: i64| digest.number(tick.cast_unsigned());
    if let When::Moment { .. } | When::Latest = reader.times.when {
        reader.chosen(&columns)?.0.into_iter().for_each(|event| tick(digest, event));
    }
    tick(digest, *reader.times.ticks.start());
    tick(digest, *reader.times.ticks.end());
    if let Some(even) = reader.times.steps {
        digest.number(even.step);
        tick(digest, even.from);
    }
    for place in &columns {
        let mut keys: Vec<Vec<u8>> = reader.chunks_of(place)?.iter().map(|(layer, at)| chunks.key(*layer, at)).collect();
        if reader.is_computed(place) {
            let top = reader.top(&place.piece.location);
            let range = ChunkKey::subtree(grid.id(), grid.structure(), LayerId::BASE, &top, plan.base.finest());
            let mut buckets = BTreeSet::new();
            grid.directory(snapshot, range, &mut |chunk| {
                if grid.structure().ancestor(&chunk.location, top.levels()) == Some(top) {
                    buckets.insert(chunk.location);
                }
            })?;
            for bucket in buckets {
                let below = chunks.places_of(LayerId::BASE, &bucket)?;
                keys.extend(below.iter().map(|at| chunks.key(LayerId::BASE, at)));
            }
        }
        if reader.times.steps.is_some() {
            // Steps take whole bins of any level.
            let at = &place.piece.location;
            let mut level = irregular.bucket;
            while level < plan.built[irregular.dimension] {
                let Some(coarser) = level.coarser() else { break };
                level = coarser;
                let above = Column::new(chunks, LayerId(1), at).places(level, &reader.times.ticks)?;
                keys.extend(above.iter().map(|at| chunks.key(plan.layer.id(), at)));
            }
        }
        snapshot.get_many(Space::Directory, &keys, &mut |i, entry| {
            digest.bytes(&keys[i]);
            digest.bytes(entry.unwrap_or_default());
            Ok(())
        })?;
    }
    Ok(())
}

impl Reader<'_> {
    /// The stored chunks of a column that hold what is read, with their layer.
    fn chunks_of(&self, place: &Place) -> Result<Vec<(LayerId, Location)>> {
        let (irregular, at) = (self.times.irregular, &place.piece.location);
        let of = Column::layer(&self.plan.base, at);
        let layer = if of == LayerId::BASE { of } else { self.plan.layer.id() };
        let ticks = match self.times.when {
            When::Moment { .. } | When::Latest => {
                let found = self.chosen(std::slice::from_ref(place));
                let Ok((found, _)) = found else { return Ok(Vec::new()) };
                found[0]..=found[found.len() - 1]
            }
            When::Region | When::Ticks(..) => self.times.ticks.clone(),
        };
        if self.times.level > irregular.bucket {
            let above = Column::new(self.chunks, LayerId(1), at).places(self.times.level, &ticks)?;
            return Ok(above.into_iter().map(|at| (self.plan.layer.id(), at)).collect());
        }
        let mut found = Vec::new();
        let stop = Some(self.times.level).filter(|level| *level > Level::ZERO);
        Column::new(self.chunks, of, at).each_above(&ticks, stop, &mut |at, events| {
            // The bins of a branch are in the layer, of the base too.
            found.push((if events.is_some() { layer } else { self.plan.layer.id() }, at));
            Ok(())
        })?;
        Ok(found)
    }

    /// The part of the window that a chunk of a column serves.
    fn part(&self, place: &Place, at: &Location) -> Window {
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
