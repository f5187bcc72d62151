//! The event that stands for a moment.
//!
//! An event of a region is one that holds data in a cell of it. Sensors that share chunks share no events for that: what the
//! directory says of a chunk is where an event can be, and the chunk whether it is there. The columns are looked at in the order
//! of what is nearest in each, so that seldom more than one chunk is read.

use std::collections::BinaryHeap;
use std::ops::{Range, RangeInclusive};
use std::sync::atomic::Ordering;

use super::super::fetch::Fetched;
use super::super::fresh::Fresh;
use super::super::interpolation::between;
use super::super::query::{Coordinates, Moment, When};
use super::super::values::Decoded;
use super::{EventColumn, Reader};
use crate::error::{Error, Result};
use crate::events::Column;
use crate::grid::Location;
use crate::kernel::{Chunk, any_of_event, holds_data};
use crate::key::Ticks;
use crate::kv::Order;
use crate::parallel;

/// A tick of a column, which is named by its number: the nearest is the greatest. It holds data for certain, or is the nearest
/// that the directory has.
type Candidate = (i64, bool, usize);

/// A box of a chunk's cells: where it begins, and its size.
type InChunk = (Vec<usize>, Vec<usize>);

/// What grows as ticks get nearer; its own inverse.
fn nearness(tick: i64, order: Order) -> i64 {
    if order == Order::Ascending { !tick } else { tick }
}

/// The ticks from one on in an order.
fn reach(tick: i64, order: Order) -> RangeInclusive<i64> {
    if order == Order::Ascending { tick..=i64::MAX } else { i64::MIN..=tick }
}

/// The first of rising ticks in an order.
fn first(mut ticks: impl DoubleEndedIterator<Item = i64>, order: Order) -> Option<i64> {
    if order == Order::Ascending { ticks.next() } else { ticks.next_back() }
}

impl Reader<'_> {
    /// The first event of the region at or after a tick, or the last at or before it.
    fn edge(&self, columns: &[EventColumn], tick: i64, order: Order) -> Result<Option<i64>> {
        let of_column = |(number, place): &(usize, &EventColumn)| -> Result<Option<Candidate>> {
            let Some(cells) = self.asked(place) else { return Ok(None) };
            let found = match self.decoded() {
                Some(values) if self.is_computed(place) => {
                    self.edge_of(values, place, &cells, (tick, order))?.map(|tick| (tick, true))
                }
                _ => self.column(&place.piece.location).next(tick, order)?.map(|tick| (tick, false)),
            };
            Ok(found.map(|(tick, sure)| (nearness(tick, order), sure, *number)))
        };
        let nearest = parallel::map(&columns.iter().enumerate().collect::<Vec<_>>(), of_column)?;
        let mut open: BinaryHeap<Candidate> = nearest.into_iter().flatten().collect();
        while let Some((near, sure, number)) = open.pop() {
            let tick = nearness(near, order);
            if sure {
                return Ok(Some(tick));
            }
            let next = self.confirmed(&columns[number], tick, order)?;
            open.extend(next.map(|(tick, sure)| (nearness(tick, order), sure, number)));
        }
        Ok(None)
    }

    /// The same in a column that is computed.
    fn edge_of(
        &self,
        values: Decoded<'_>,
        place: &EventColumn,
        cells: &InChunk,
        (tick, order): (i64, Order),
    ) -> Result<Option<i64>> {
        let reach = reach(tick, order);
        let fresh = Fresh::new(values, &self.plan.pyramid);
        let mut buckets = self.buckets(place, &reach)?;
        if order == Order::Descending {
            buckets.reverse();
        }
        for bucket in buckets {
            let Some(events) = fresh.events(&bucket, &fresh.touching(&place.pending, &bucket))? else { continue };
            let held = self.holding(values, &events.planes, cells);
            let with_data = events.ticks.iter().zip(held).filter(|(tick, held)| *held && reach.contains(tick));
            let found = first(with_data.map(|(tick, _)| *tick).collect::<Vec<_>>().into_iter(), order);
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn column(&self, at: &Location) -> Column<'_> {
        Column::new(self.chunks, Column::layer(&self.plan.pyramid.base, at), at)
    }

    /// Of the chunk with an event at a tick the event nearest to it that holds data; without one the next tick behind the chunk.
    fn confirmed(&self, place: &EventColumn, tick: i64, order: Order) -> Result<Option<(i64, bool)>> {
        let Some(cells) = self.asked(place) else { return Ok(None) };
        let (mut found, mut behind) = (None, None);
        self.column(&place.piece.location).each(&(tick..=tick), &mut |at, ticks| {
            let held = self.holding_at(&at, &ticks, &cells)?;
            let with_data = ticks.iter().copied().zip(held).filter(|(of, held)| *held && reach(tick, order).contains(of));
            found = first(with_data.map(|(tick, _)| tick).collect::<Vec<_>>().into_iter(), order);
            behind = match order {
                Order::Ascending => ticks.last().and_then(|last| last.checked_add(1)),
                Order::Descending => ticks.first().and_then(|first| first.checked_sub(1)),
            };
            Ok(())
        })?;
        match (found, behind) {
            (Some(tick), _) => Ok(Some((tick, true))),
            (None, Some(behind)) => Ok(self.column(&place.piece.location).next(behind, order)?.map(|tick| (tick, false))),
            (None, None) => Ok(None),
        }
    }

    /// Which events of a stored chunk hold data in a box of its cells.
    fn holding_at(&self, at: &Location, ticks: &Ticks, cells: &InChunk) -> Result<Vec<bool>> {
        self.read.fetch_add(1, Ordering::Relaxed);
        if let Some(values) = self.decoded() {
            return Ok(self.holding(values, &self.chunks.layer_of(values.layer, at, &self.plan.pyramid.base, ticks)?, cells));
        }
        let grid = self.chunks.grid;
        let (base, shape) = (self.chunks.base_events(at, ticks)?, self.chunks.shape(Some(ticks)));
        let weighed = base.weigh(grid.schema(), grid.full(at.levels()));
        let valid = |cell: usize| weighed.weight().is_none_or(|weight| weight[cell] > 0.0);
        Ok(any_of_event((&shape, self.times.irregular.axis), (&cells.0, &cells.1), valid))
    }

    /// The same of a chunk of the layer that is read.
    fn holding(&self, values: Decoded<'_>, chunk: &Chunk, (start, size): &InChunk) -> Vec<bool> {
        let shape = self.chunks.grid.shape_of(chunk.values.len());
        holds_data(values.layer.rule(), chunk, (&shape, self.times.irregular.axis), (start, size))
    }

    /// The cells of a column that lie in the region; `None` if it is read for its neighbours' sake only.
    fn asked(&self, place: &EventColumn) -> Option<InChunk> {
        let (piece, mut cells) = (&place.piece, (Vec::new(), Vec::new()));
        for axis in 0..piece.shape.len() {
            let of_window = piece.in_window[axis]..piece.in_window[axis] + piece.shape[axis];
            let part = match self.region(axis) {
                Some(asked) => of_window.start.max(asked.start)..of_window.end.min(asked.end),
                None => of_window.clone(),
            };
            if part.is_empty() && axis != self.times.irregular.axis {
                return None;
            }
            cells.0.push(piece.in_chunk[axis] + part.start.saturating_sub(of_window.start));
            cells.1.push(part.len());
        }
        Some(cells)
    }

    /// The cells of the window that lie in the region along an axis, where others are read for what lies between them.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole numbers from 0 on, of at most the window")]
    fn region(&self, axis: usize) -> Option<Range<usize>> {
        let (maps, _) = self.plan.maps.as_ref()?;
        let map = maps.get(axis).filter(|_| axis != self.times.irregular.axis)?;
        let (first, end) = ((map.start + 1e-6).floor(), (map.start + map.ratio * map.len as f64 - 1e-6).ceil());
        Some(first.max(0.0) as usize..end.max(0.0) as usize)
    }

    /// The event that stands for a moment, or the two that it lies between with the share of the later one.
    pub(super) fn chosen(&self, columns: &[EventColumn]) -> Result<(Vec<i64>, f64)> {
        let When::Moment { tick, how } = self.times.when else {
            let last = self.edge(columns, i64::MAX, Order::Descending)?;
            return last.map(|last| (vec![last], 0.0)).ok_or_else(|| Error::not_found("there are no events in the region"));
        };
        let before = if how == Moment::Next { None } else { self.edge(columns, tick, Order::Descending)? };
        let after = if how == Moment::Previous { None } else { self.edge(columns, tick, Order::Ascending)? };
        let near = |other: &i64| self.times.tolerance.is_none_or(|most| other.abs_diff(tick) <= most);
        let nearest = [before, after].into_iter().flatten().min_by_key(|found| (found.abs_diff(tick), *found));
        let single = nearest.filter(|found| if how == Moment::Linear { *found == tick } else { near(found) });
        match (single, before.filter(near).zip(after.filter(near))) {
            (Some(event), _) => Ok((vec![event], 0.0)),
            (None, Some((before, after))) if how == Moment::Linear => {
                let distance = |from: i64, to: i64| (i128::from(to) - i128::from(from)) as f64;
                Ok((vec![before, after], distance(before, tick) / distance(before, after)))
            }
            _ => Err(self.missing(tick, nearest)),
        }
    }

    /// From which tick to which an event that came or went could stand for the moment in the place of what does now, or change
    /// it.
    pub(super) fn deciding(&self, columns: &[EventColumn]) -> Result<RangeInclusive<i64>> {
        let (found, _) = self.chosen(columns)?;
        let (first, last) = (found[0], found[found.len() - 1]);
        Ok(match self.times.when {
            When::Moment { tick, how: Moment::Nearest } => {
                let distance = first.abs_diff(tick);
                tick.saturating_sub_unsigned(distance)..=tick.saturating_add_unsigned(distance)
            }
            When::Moment { tick, .. } => first.min(tick)..=last.max(tick),
            _ => first..=i64::MAX,
        })
    }

    /// Reads the event that stands for a moment.
    pub(super) fn moment(&self, columns: &[EventColumn]) -> Result<Fetched> {
        match (self.chosen(columns)?, self.times.when) {
            ((ticks, share), When::Moment { tick, .. }) if ticks.len() > 1 => {
                let of = |event: i64| self.events(columns, &(event..=event));
                let (low, high) = (of(ticks[0])?, of(ticks[1])?);
                let low = (&low.array, &low.known.validity);
                let filled = between(low, (high.array, &high.known.validity), share, self.plan.fill);
                self.fetched(filled, Coordinates { axis: self.times.irregular.axis, ticks: vec![tick], width: 1 }, columns)
            }
            ((ticks, _), _) => self.events(columns, &(ticks[0]..=ticks[0])),
        }
    }

    /// The error where no event stands for a moment.
    fn missing(&self, tick: i64, nearest: Option<i64>) -> Error {
        let dimension = &self.chunks.grid.structure().dimensions()[self.times.irregular.dimension];
        let (name, axis) = (dimension.name(), &dimension.axes()[0]);
        let known = nearest.map(|tick| format!("; the nearest is at {}", axis.shown(tick))).unwrap_or_default();
        Error::not_found(format!("no event along dimension `{name}` stands for {}{known}", axis.shown(tick)))
    }
}
