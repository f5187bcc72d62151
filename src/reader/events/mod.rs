//! Gets the events or bins of an irregular dimension, column by column, each straight into its place.

mod bins;
mod moment;
mod paint;
mod serving;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};

use super::fetch::Fetched;
use super::fresh::Fresh;
use super::parts::Known;
use super::plan::{Plan, ReadLayer};
use super::query::{Coordinates, Freshness, When};
use super::times::Times;
use super::values::{Decoded, Printed, Trace, Values};
use crate::array::Array;
use crate::dirty::{self, Edge, Marks};
use crate::error::{Error, Result};
use crate::events::{Column, Events};
use crate::grid::{Level, Location, Piece, Window};
use crate::key::{ChunkKey, LayerId, Ticks};
use crate::kv::Snapshot;
use crate::parallel;
use crate::store::{ChunkReader, Grid, LayerSpec};

pub(super) use serving::{counts, digest, serving};

/// Reads what a plan wants of an irregular dimension.
pub(super) fn fetch(grid: &Grid, snapshot: &dyn Snapshot, plan: &Plan, freshness: Freshness) -> Result<Fetched> {
    let reader = Reader::new(grid, snapshot, plan, freshness)?;
    let columns = reader.columns()?;
    match reader.times.when {
        When::Moment { .. } | When::Latest => reader.moment(&columns),
        When::Region | When::Ticks(..) => reader.events(&columns, &reader.times.ticks),
    }
}

/// The ticks of the events that a plan wants. Chunks are read only to find the event of a moment.
pub(super) fn ticks(grid: &Grid, snapshot: &dyn Snapshot, plan: &Plan, freshness: Freshness) -> Result<Vec<i64>> {
    let reader = Reader::new(grid, snapshot, plan, freshness)?;
    let columns = reader.columns()?;
    if let When::Moment { .. } | When::Latest = reader.times.when {
        let (found, _) = reader.chosen(&columns)?;
        return Ok(found);
    }
    let ticks = &reader.times.ticks;
    let of_column = |place: &EventColumn| -> Result<Vec<i64>> {
        let within = |of: &[i64]| -> Vec<i64> { of.iter().copied().filter(|tick| ticks.contains(tick)).collect() };
        let found = match reader.printed(None) {
            Some(values) if reader.is_computed(place) => reader.computed(values, place, ticks)?,
            _ => reader.stored(place, ticks)?,
        };
        Ok(found.sources.iter().flat_map(|source| within(source.ticks())).collect())
    };
    let all: BTreeSet<i64> = parallel::map(&columns, of_column)?.into_iter().flatten().collect();
    Ok(all.into_iter().collect())
}

/// A place of the other dimensions, with the part of the window in it, and what is pending in it.
struct EventColumn {
    piece: Piece,
    pending: Vec<Edge>,
}

/// Cells along the irregular dimension, where they come from.
enum EventSource<C> {
    /// A chunk of events.
    Stored(Location, Ticks),
    Computed(Events<C>),
}

impl<C> EventSource<C> {
    fn ticks(&self) -> &[i64] {
        match self {
            EventSource::Stored(_, ticks) => ticks,
            EventSource::Computed(events) => &events.ticks,
        }
    }
}

/// What a column has, and how many chunks were read to know it.
struct ColumnSources<C> {
    sources: Vec<EventSource<C>>,
    read: u64,
}

/// Where the cells of an answer lie along the irregular dimension, and where those of each column come from.
struct Listed<C> {
    ticks: Vec<i64>,
    width: u64,
    columns: Vec<ColumnSources<C>>,
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

    fn layer(&self) -> Option<&'a LayerSpec> {
        match &self.plan.layer {
            ReadLayer::Base => None,
            ReadLayer::Aggregate(layer) => Some(layer),
        }
    }

    /// The cells of the layer that is read, if it is one.
    fn decoded(&self) -> Option<Decoded<'a>> {
        self.layer().map(|layer| Decoded { chunks: self.chunks, layer })
    }

    /// What stands for them.
    fn printed(&self, trace: Option<&'a Trace>) -> Option<Printed<'a>> {
        self.layer().map(|layer| Printed { chunks: self.chunks, layer, trace })
    }

    /// Lists where the events between two ticks are, or the bins where the plan has a level of them, or its steps. `values` are
    /// those of the layer, if one is read.
    fn listed<V: Values<'a>>(
        &self,
        values: Option<V>,
        columns: &[EventColumn],
        ticks: &RangeInclusive<i64>,
    ) -> Result<Listed<V::Chunk>> {
        let steps = match &self.times.steps {
            None => None,
            Some(cuts) => {
                self.plan.check_events(cuts.count(&self.times.ticks))?;
                Some((cuts, cuts.of(&self.times.ticks)?))
            }
        };
        let of_column = |place: &EventColumn| match (values, &steps) {
            (Some(values), Some((_, steps))) => self.steps_of(values, place, steps),
            (None, Some(_)) => Err(Error::invalid("steps of several events are made by an aggregator")),
            (Some(values), None) if self.times.level > Level::ZERO => self.bins_of(values, place, ticks),
            (Some(values), None) if self.is_computed(place) => self.computed(values, place, ticks),
            _ => self.stored(place, ticks),
        };
        let columns = parallel::map(columns, of_column)?;
        if let Some((cuts, steps)) = steps {
            return Ok(Listed { ticks: steps.into_iter().map(|(start, _)| start).collect(), width: cuts.width(), columns });
        }
        let sources = columns.iter().flat_map(|found| &found.sources);
        let all: BTreeSet<i64> = sources.flat_map(|source| source.ticks()).filter(|t| ticks.contains(t)).copied().collect();
        let width = 1_u64.checked_shl(self.times.level.above(Level::ZERO)).unwrap_or(u64::MAX);
        Ok(Listed { ticks: all.into_iter().collect(), width, columns })
    }

    /// Events, or bins where the plan has a level of them, between two ticks, or the plan's steps.
    fn events(&self, columns: &[EventColumn], ticks: &RangeInclusive<i64>) -> Result<Fetched> {
        let Listed { ticks, width, columns: found } = self.listed(self.decoded(), columns, ticks)?;
        self.read.fetch_add(found.iter().map(|found| found.read).sum(), Ordering::Relaxed);
        let filled = self.fill(columns, &found, &ticks)?;
        self.fetched(filled, Coordinates { axis: self.times.irregular.axis, ticks, width }, columns)
    }

    /// The events of a column as they are once all is aggregated.
    fn computed<V: Values<'a>>(
        &self,
        values: V,
        place: &EventColumn,
        ticks: &RangeInclusive<i64>,
    ) -> Result<ColumnSources<V::Chunk>> {
        let fresh = Fresh::new(values, &self.plan.pyramid);
        let mut sources = Vec::new();
        for bucket in self.buckets(place, ticks)? {
            if let Some(events) = fresh.events(&bucket, &fresh.touching(&place.pending, &bucket))? {
                sources.push(EventSource::Computed(Events::clone(&events)));
            }
        }
        Ok(ColumnSources { sources, read: fresh.chunks_read() })
    }

    /// The chunks of events of a column.
    fn stored<C>(&self, place: &EventColumn, ticks: &RangeInclusive<i64>) -> Result<ColumnSources<C>> {
        let at = &place.piece.location;
        let mut sources = Vec::new();
        Column::new(self.chunks, Column::layer(&self.plan.pyramid.base, at), at).each(ticks, &mut |at, of| {
            sources.push(EventSource::Stored(at, of));
            Ok(())
        })?;
        Ok(ColumnSources { sources, read: 0 })
    }
}

impl Reader<'_> {
    fn columns(&self) -> Result<Vec<EventColumn>> {
        let structure = self.chunks.grid.structure();
        let Some(window) = self.plan.columns(structure) else { return Ok(Vec::new()) };
        let place = |mut piece: Piece| {
            for (axis, (part, whole)) in window.start().iter().zip(self.plan.window.start().iter()).enumerate() {
                if axis != self.times.irregular.axis {
                    piece.in_window[axis] += usize::try_from(part - whole).unwrap_or(0);
                }
            }
            let pending = self.pending(&piece.location)?;
            Ok(EventColumn { piece, pending })
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
        let mut pending = dirty::pending_under(grid, self.chunks.snapshot, &top, &self.plan.pyramid.base)?;
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
        match &self.times.steps {
            Some(_) => self.plan.pyramid.built[self.times.irregular.dimension],
            None => self.times.level,
        }
    }

    /// Whether a column is computed, not merely read.
    fn is_computed(&self, place: &EventColumn) -> bool {
        let (irregular, levels) = (self.times.irregular, place.piece.location.levels());
        let levels = levels.with(irregular.dimension, self.times.level.max(irregular.bucket));
        let stored = self.plan.pyramid.base.has(levels) || self.plan.pyramid.built.covers(&levels);
        self.fresh && (!place.pending.is_empty() || !stored)
    }

    fn built(&self, at: &Location) -> bool {
        self.plan.pyramid.built.covers(&at.levels())
    }

    fn fetched(&self, (array, known): (Array, Known), coordinates: Coordinates, columns: &[EventColumn]) -> Result<Fetched> {
        let stale = if self.fresh { Vec::new() } else { self.stale(columns)? };
        Ok(Fetched {
            array,
            known,
            stale,
            chunks_read: self.read.load(Ordering::Relaxed),
            inexact: self.inexact.load(Ordering::Relaxed),
            coordinates: Some(coordinates),
        })
    }

    /// The parts of what is answered that are out of date. Where that may be which event stands for a moment, it is all of them.
    fn stale(&self, columns: &[EventColumn]) -> Result<Vec<Window>> {
        let (grid, levels) = (self.chunks.grid, self.plan.levels());
        let structure = grid.structure();
        if self.plan.layer.id() == LayerId::BASE || columns.iter().all(|place| place.pending.is_empty()) {
            return Ok(Vec::new());
        }
        let between = |ticks: &RangeInclusive<i64>| {
            let len = ticks.end().abs_diff(*ticks.start()).saturating_add(1);
            self.plan.window.along(self.times.irregular.axis, *ticks.start(), len)
        };
        let single = matches!(self.times.when, When::Moment { .. } | When::Latest);
        let window = match (single, &self.times.steps) {
            (true, _) => between(&self.deciding(columns)?),
            (false, Some(_)) => between(&self.times.ticks),
            (false, None) => self.plan.window,
        };
        let changed = columns.iter().flat_map(|place| &place.pending).filter_map(|edge| dirty::stale_window(grid, edge));
        let within = changed.filter_map(|changed| structure.intersection(&structure.cover(&changed, levels), &window));
        let stale: BTreeSet<Window> = within.map(|part| if single { window } else { part }).collect();
        Ok(stale.into_iter().collect())
    }

    /// The buckets of a column that hold events between two ticks, or will once all is aggregated.
    fn buckets(&self, place: &EventColumn, ticks: &RangeInclusive<i64>) -> Result<Vec<Location>> {
        let (irregular, at, chunks) = (self.times.irregular, &place.piece.location, self.chunks);
        let mut codes: BTreeSet<u64> = BTreeSet::new();
        if self.built(at) || self.plan.pyramid.base.has(at.levels()) {
            let stored = Column::new(chunks, Column::layer(&self.plan.pyramid.base, at), at).places(irregular.bucket, ticks)?;
            codes.extend(stored.iter().map(|at| at.codes[irregular.axis]));
        } else {
            let top = self.top(at);
            let below = ChunkKey::subtree(
                chunks.grid.id(),
                chunks.grid.structure(),
                LayerId::BASE,
                &top,
                self.plan.pyramid.base.finest(),
            );
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
}
