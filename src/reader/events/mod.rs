//! Gets the events or bins of an irregular dimension, column by column, each straight into its place.

mod bins;
mod moment;
mod paint;
mod served;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::fetch::Fetched;
use super::fresh::Fresh;
use super::parts::Known;
use super::plan::{Plan, ReadLayer};
use super::query::{Coordinates, Freshness, When};
use super::times::Times;
use crate::array::Array;
use crate::dirty::{self, Edge, Marks};
use crate::error::{Error, Result};
use crate::events::{Column, Events};
use crate::grid::{Level, Location, Piece, Window};
use crate::kernel::Chunk;
use crate::key::{ChunkKey, LayerId, Ticks};
use crate::kv::Snapshot;
use crate::store::{ChunkReader, Grid, LayerSpec};

pub(super) use served::{counts, digest, serving};

/// Reads what a plan wants of an irregular dimension.
pub(super) fn fetch(grid: &Grid, snapshot: &dyn Snapshot, plan: &Plan, freshness: Freshness) -> Result<Fetched> {
    let reader = Reader::new(grid, snapshot, plan, freshness)?;
    let (columns, times) = (reader.columns()?, reader.times);
    match (times.when, times.steps) {
        (When::Moment { .. } | When::Latest, _) => reader.moment(&columns),
        (When::Region | When::Ticks(..), Some(even)) => reader.steps(&columns, even),
        (When::Region | When::Ticks(..), None) => reader.events(&columns, &times.ticks),
    }
}

/// The ticks of the events that a plan wants.
pub(super) fn ticks(grid: &Grid, snapshot: &dyn Snapshot, plan: &Plan, freshness: Freshness) -> Result<Vec<i64>> {
    let reader = Reader::new(grid, snapshot, plan, freshness)?;
    let columns = reader.columns()?;
    if let When::Moment { .. } | When::Latest = reader.times.when {
        let (found, _) = reader.chosen(&columns)?;
        return Ok(found);
    }
    let of_column = |place: &Place| -> Result<Vec<i64>> {
        let sources = match reader.layer() {
            Some(layer) if reader.is_computed(place) => reader.computed(place, layer, &reader.times.ticks)?,
            _ => reader.stored(place, &reader.times.ticks)?,
        };
        let within = sources.iter().flat_map(|source| source.ticks()).copied().filter(|tick| reader.times.ticks.contains(tick));
        Ok(within.collect())
    };
    let all: BTreeSet<i64> = columns.par_iter().map(of_column).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    Ok(all.into_iter().collect())
}

/// A place of the other dimensions, with the part of the window in it, and what is pending in it.
struct Place {
    piece: Piece,
    pending: Vec<Edge>,
}

/// Cells along the irregular dimension, where they come from.
enum Source {
    /// A chunk of events.
    Stored(Location, Ticks),
    Computed(Events<Chunk>),
}

impl Source {
    fn ticks(&self) -> &[i64] {
        match self {
            Source::Stored(_, ticks) => ticks,
            Source::Computed(events) => &events.ticks,
        }
    }
}

struct Reader<'a> {
    chunks: ChunkReader<'a>,
    plan: &'a Plan,
    times: &'a Times,
    fresh: bool,
    marked: bool,
    read: AtomicU64,
    inexact: AtomicU64,
}

impl<'a> Reader<'a> {
    fn new(grid: &'a Grid, snapshot: &'a dyn Snapshot, plan: &'a Plan, freshness: Freshness) -> Result<Self> {
        let times = plan.times.as_ref().ok_or_else(|| Error::invalid("it has no irregular dimension"))?;
        Ok(Self {
            chunks: grid.chunk_reader(snapshot),
            plan,
            times,
            fresh: freshness == Freshness::Fresh,
            marked: Marks::first(grid, snapshot, 1)?.len() > 0,
            read: AtomicU64::new(0),
            inexact: AtomicU64::new(0),
        })
    }
}

impl Reader<'_> {
    fn columns(&self) -> Result<Vec<Place>> {
        let structure = self.chunks.grid.structure();
        let Some(window) = self.plan.columns(structure) else { return Ok(Vec::new()) };
        let place = |mut piece: Piece| {
            for (axis, (part, whole)) in window.start().iter().zip(self.plan.window.start().iter()).enumerate() {
                if axis != self.times.irregular.axis {
                    piece.in_window[axis] += usize::try_from(part - whole).unwrap_or(0);
                }
            }
            let pending = self.pending(&piece.location)?;
            Ok(Place { piece, pending })
        };
        structure.split(&window).map(place).collect()
    }

    /// What is pending in a column.
    fn pending(&self, at: &Location) -> Result<Vec<Edge>> {
        let grid = self.chunks.grid;
        if !self.marked {
            return Ok(Vec::new());
        }
        let top = self.top(at);
        let irregular = self.times.irregular;
        let mut pending = dirty::pending_under(grid, self.chunks.snapshot, &top, &self.plan.base)?;
        let level = self.level().max(irregular.bucket);
        pending.retain(|edge| edge.parent.levels()[irregular.dimension] <= level);
        Ok(pending)
    }

    /// The place of a column in which all events lie.
    fn top(&self, at: &Location) -> Location {
        let irregular = self.times.irregular;
        let levels = self.chunks.grid.structure().dimensions()[irregular.dimension].levels();
        irregular.place(at, *levels.end(), 0)
    }

    /// The level along the irregular dimension at which bins are read; steps take those of any.
    fn level(&self) -> Level {
        match self.times.steps {
            Some(_) => self.plan.built[self.times.irregular.dimension],
            None => self.times.level,
        }
    }

    fn layer(&self) -> Option<&LayerSpec> {
        match &self.plan.layer {
            ReadLayer::Base => None,
            ReadLayer::Aggregate(layer) => Some(layer),
        }
    }

    /// Whether a column is computed, not merely read.
    fn is_computed(&self, place: &Place) -> bool {
        let (irregular, levels) = (self.times.irregular, place.piece.location.levels());
        let levels = levels.with(irregular.dimension, self.times.level.max(irregular.bucket));
        let stored = self.plan.base.has(levels) || self.plan.built.covers(&levels);
        self.fresh && (!place.pending.is_empty() || !stored)
    }

    fn built(&self, at: &Location) -> bool {
        self.plan.built.covers(&at.levels())
    }

    /// Events, or bins where the plan has a level of them, between two ticks.
    fn events(&self, columns: &[Place], ticks: &RangeInclusive<i64>) -> Result<Fetched> {
        let of_column = |place: &Place| -> Result<Vec<Source>> {
            match self.layer() {
                Some(layer) if self.times.level > Level::ZERO => self.bins_of(place, layer, ticks),
                Some(layer) if self.is_computed(place) => self.computed(place, layer, ticks),
                _ => self.stored(place, ticks),
            }
        };
        let sources: Vec<Vec<Source>> = columns.par_iter().map(of_column).collect::<Result<_>>()?;
        let all: BTreeSet<i64> =
            sources.iter().flatten().flat_map(|source| source.ticks()).filter(|t| ticks.contains(t)).copied().collect();
        let all: Vec<i64> = all.into_iter().collect();
        let width = 1_u64.checked_shl(self.times.level.above(Level::ZERO)).unwrap_or(u64::MAX);
        let filled = self.fill(columns, &sources, &all)?;
        Ok(self.fetched(filled, Coordinates { axis: self.times.irregular.axis, ticks: all, width }, columns))
    }

    fn fetched(&self, (array, known): (Array, Known), coordinates: Coordinates, columns: &[Place]) -> Fetched {
        let stale = if self.fresh { Vec::new() } else { self.stale(columns, &coordinates) };
        Fetched {
            array,
            known,
            stale,
            chunks_read: self.read.load(Ordering::Relaxed),
            inexact: self.inexact.load(Ordering::Relaxed),
            coordinates: Some(coordinates),
        }
    }

    /// The parts of what is answered that are out of date.
    fn stale(&self, columns: &[Place], coordinates: &Coordinates) -> Vec<Window> {
        let (grid, levels) = (self.chunks.grid, self.plan.levels());
        let structure = grid.structure();
        let axis = self.times.irregular.axis;
        if self.plan.layer.id() == LayerId::BASE {
            return Vec::new();
        }
        let within = |window: &Window| match (coordinates.ticks.first(), coordinates.ticks.last()) {
            _ if self.times.steps.is_none() && matches!(self.times.when, When::Region | When::Ticks(..)) => Some(*window),
            (Some(first), Some(last)) => {
                let last = last.saturating_add_unsigned(coordinates.width - 1);
                structure.intersection(window, &window.along(axis, *first, last.abs_diff(*first).saturating_add(1)))
            }
            _ => None,
        };
        let changed = columns.iter().flat_map(|place| &place.pending).filter_map(|edge| dirty::stale_window(grid, edge));
        let covered = changed.map(|window| structure.cover(&window, levels));
        let stale: BTreeSet<Window> =
            covered.filter_map(|window| within(&structure.intersection(&window, &self.plan.window)?)).collect();
        stale.into_iter().collect()
    }

    /// The chunks of events of a column.
    fn stored(&self, place: &Place, ticks: &RangeInclusive<i64>) -> Result<Vec<Source>> {
        let at = &place.piece.location;
        let mut sources = Vec::new();
        Column::new(self.chunks, Column::layer(&self.plan.base, at), at).each(ticks, &mut |at, of| {
            sources.push(Source::Stored(at, of));
            Ok(())
        })?;
        Ok(sources)
    }

    /// The buckets of a column that hold events between two ticks, or will once all is aggregated.
    fn buckets(&self, place: &Place, ticks: &RangeInclusive<i64>) -> Result<Vec<Location>> {
        let (irregular, at, chunks) = (self.times.irregular, &place.piece.location, self.chunks);
        let mut codes: BTreeSet<u64> = BTreeSet::new();
        if self.built(at) || self.plan.base.has(at.levels()) {
            let stored = Column::new(chunks, Column::layer(&self.plan.base, at), at).places(irregular.bucket, ticks)?;
            codes.extend(stored.iter().map(|at| at.codes[irregular.axis]));
        } else {
            let top = self.top(at);
            let below =
                ChunkKey::subtree(chunks.grid.id(), chunks.grid.structure(), LayerId::BASE, &top, self.plan.base.finest());
            chunks.grid.directory(chunks.snapshot, below, &mut |chunk| {
                if chunks.grid.structure().ancestor(&chunk.location, top.levels()) == Some(top) {
                    codes.insert(chunk.location.codes[irregular.axis]);
                }
            })?;
        }
        let pending = place.pending.iter().filter(|edge| irregular.is_bucket(&edge.parent));
        codes.extend(pending.map(|edge| edge.parent.codes[irregular.axis]));
        let first = irregular.code(irregular.bucket, *ticks.start());
        let last = irregular.code(irregular.bucket, *ticks.end());
        let within = codes.into_iter().filter(|code| (first..=last).contains(code));
        Ok(within.map(|code| irregular.place(at, irregular.bucket, code)).collect())
    }

    /// The events of a column as they are once all is aggregated.
    fn computed(&self, place: &Place, layer: &LayerSpec, ticks: &RangeInclusive<i64>) -> Result<Vec<Source>> {
        let fresh = Fresh::new(self.chunks, layer, &self.plan.base, self.plan.built);
        let mut sources = Vec::new();
        for bucket in self.buckets(place, ticks)? {
            if let Some(events) = fresh.events(&bucket, &fresh.touching(&place.pending, &bucket))? {
                sources.push(Source::Computed(Events::clone(&events)));
            }
        }
        self.read.fetch_add(fresh.chunks_read(), Ordering::Relaxed);
        Ok(sources)
    }
}
