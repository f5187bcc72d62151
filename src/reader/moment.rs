//! The event that stands for a moment.
//!
//! An event of a region is one that holds data in a cell of it. Sensors that share chunks share no
//! events for that: what the directory says of a chunk is where an event can be, and the chunk
//! whether it is there. The columns are looked at in the order of what is nearest in each, so that
//! seldom more than one chunk is read.

use std::collections::BinaryHeap;
use std::ops::{Range, RangeInclusive};

use super::columns::EventColumns;
use super::fresh::Fresh;
use super::query::{EventChoice, Moment};
use super::sources::WindowPart;
use super::values::{Decoded, Values};
use crate::error::{Error, Result};
use crate::events::{first, reach};
use crate::grid::{Location, Tuple};
use crate::kernel::any_of_event;
use crate::key::Ticks;
use crate::kv::Order;
use crate::parallel;

/// A tick of a column, which is named by its number: the nearest is the greatest. It holds data for
/// certain, or is the nearest that the directory has.
type Candidate = (i64, bool, usize);

/// A box of a chunk's cells: where it begins, and its size.
type InChunk = (Tuple<usize>, Tuple<usize>);

/// What grows as ticks get nearer; its own inverse.
fn nearness(tick: i64, order: Order) -> i64 {
    if order == Order::Ascending {
        !tick
    } else {
        tick
    }
}

impl<'a> EventColumns<'_, 'a> {
    /// The first event of the region at or after a tick, or the last at or before it.
    fn edge(&self, tick: i64, order: Order) -> Result<Option<i64>> {
        let of_column = |(number, part): &(usize, &WindowPart)| -> Result<Option<Candidate>> {
            let Some(cells) = self.asked(part) else {
                return Ok(None);
            };
            let found = match self.plan.decoded(self.chunks) {
                Some(values) if self.is_computed(part) => self
                    .edge_of(values, part, &cells, (tick, order))?
                    .map(|tick| (tick, true)),
                _ => self
                    .column(&part.piece.location)
                    .next(tick, order)?
                    .map(|tick| (tick, false)),
            };
            Ok(found.map(|(tick, sure)| (nearness(tick, order), sure, *number)))
        };
        let nearest = parallel::map(
            &self.lister.parts.iter().enumerate().collect::<Vec<_>>(),
            of_column,
        )?;
        let mut open: BinaryHeap<Candidate> = nearest.into_iter().flatten().collect();
        while let Some((near, sure, number)) = open.pop() {
            let tick = nearness(near, order);
            if sure {
                return Ok(Some(tick));
            }
            let next = self.confirmed(&self.lister.parts[number], tick, order)?;
            open.extend(next.map(|(tick, sure)| (nearness(tick, order), sure, number)));
        }
        Ok(None)
    }

    /// The same in a column that is computed.
    fn edge_of(
        &self,
        values: Decoded<'_>,
        part: &WindowPart,
        cells: &InChunk,
        (tick, order): (i64, Order),
    ) -> Result<Option<i64>> {
        let reach = reach(tick, order);
        let fresh = Fresh::new(values, &self.plan.pyramid);
        let mut buckets = self.buckets(part, &reach)?;
        if order == Order::Descending {
            buckets.reverse();
        }
        let mut found = None;
        for bucket in buckets {
            let Some(events) = fresh.events(&bucket, &fresh.touching(&part.pending, &bucket))?
            else {
                continue;
            };
            let held = values.held(&events.planes, events.len(), (&cells.0, &cells.1));
            let with_data = events
                .ticks
                .iter()
                .zip(held)
                .filter(|(tick, held)| *held && reach.contains(tick));
            found = first(with_data.map(|(tick, _)| *tick), order);
            if found.is_some() {
                break;
            }
        }
        self.lister.count_chosen_by(fresh.chunks_read());
        Ok(found)
    }

    /// Of the chunk with an event at a tick the event nearest to it that holds data; without one
    /// the next tick behind the chunk.
    fn confirmed(&self, part: &WindowPart, tick: i64, order: Order) -> Result<Option<(i64, bool)>> {
        let Some(cells) = self.asked(part) else {
            return Ok(None);
        };
        let (mut found, mut behind) = (None, None);
        self.column(&part.piece.location)
            .each(&(tick..=tick), &mut |at, ticks| {
                let held = self.holding_at(&at, &ticks, &cells)?;
                let with_data = ticks
                    .iter()
                    .copied()
                    .zip(held)
                    .filter(|(of, held)| *held && reach(tick, order).contains(of));
                found = first(with_data.map(|(tick, _)| tick), order);
                behind = match order {
                    Order::Ascending => ticks.last().and_then(|last| last.checked_add(1)),
                    Order::Descending => ticks.first().and_then(|first| first.checked_sub(1)),
                };
                Ok(())
            })?;
        match (found, behind) {
            (Some(tick), _) => Ok(Some((tick, true))),
            (None, Some(behind)) => Ok(self
                .column(&part.piece.location)
                .next(behind, order)?
                .map(|tick| (tick, false))),
            (None, None) => Ok(None),
        }
    }

    /// Which events of a stored chunk hold data in a box of its cells.
    fn holding_at(&self, at: &Location, ticks: &Ticks, cells: &InChunk) -> Result<Vec<bool>> {
        self.lister.count_chosen_by(1);
        if let Some(values) = self.plan.decoded(self.chunks) {
            let chunks = self
                .chunks
                .events_of_chunk(at, &self.plan.pyramid.base, ticks)?;
            return Ok(values.held(&chunks, ticks.len(), (&cells.0, &cells.1)));
        }
        let grid = self.chunks.grid;
        let (base, shape) = (
            self.chunks.base_events(at, ticks)?,
            self.chunks.shape(Some(ticks)),
        );
        let weighed = base.weigh(grid.schema(), grid.full(at.levels()));
        let valid = |cell: usize| weighed.weight().is_none_or(|weight| weight[cell] > 0.0);
        Ok(any_of_event(
            (&shape, self.times.irregular.axis),
            (&cells.0, &cells.1),
            valid,
        ))
    }

    /// The cells of a column that lie in the region; `None` if it is read for its neighbours' sake
    /// only.
    fn asked(&self, part: &WindowPart) -> Option<InChunk> {
        let piece = &part.piece;
        let mut cells = (piece.in_chunk, piece.shape);
        for axis in 0..piece.shape.len() {
            let of_window = piece.in_window[axis]..piece.in_window[axis] + piece.shape[axis];
            let part = match self.region(axis) {
                Some(asked) => of_window.start.max(asked.start)..of_window.end.min(asked.end),
                None => of_window.clone(),
            };
            if part.is_empty() && axis != self.times.irregular.axis {
                return None;
            }
            cells.0[axis] += part.start.saturating_sub(of_window.start);
            cells.1[axis] = part.len();
        }
        Some(cells)
    }

    /// The cells of the window that lie in the region along an axis, where others are read for what
    /// lies between them.
    fn region(&self, axis: usize) -> Option<Range<usize>> {
        let (maps, _) = self.plan.maps.as_ref()?;
        maps.over(axis)
            .filter(|_| axis != self.times.irregular.axis)
    }

    /// The event that stands for a moment, or the two that it lies between with the share of the
    /// later one; `None` if no moment is asked for.
    pub(super) fn chosen(&self) -> Result<Option<(Vec<i64>, f64)>> {
        let (tick, how) = match self.times.when {
            EventChoice::Region | EventChoice::Ticks(..) => return Ok(None),
            EventChoice::Moment { tick, how } => (tick, how),
            EventChoice::Latest => {
                let last = self.edge(i64::MAX, Order::Descending)?;
                let last =
                    last.ok_or_else(|| Error::not_found("there are no events in the region"))?;
                return Ok(Some((vec![last], 0.0)));
            }
        };
        let before = if how == Moment::Next {
            None
        } else {
            self.edge(tick, Order::Descending)?
        };
        let after = if how == Moment::Previous {
            None
        } else {
            self.edge(tick, Order::Ascending)?
        };
        let near = |other: &i64| {
            self.times
                .tolerance
                .is_none_or(|most| other.abs_diff(tick) <= most)
        };
        let nearest = [before, after]
            .into_iter()
            .flatten()
            .min_by_key(|found| (found.abs_diff(tick), *found));
        let single = nearest.filter(|found| {
            if how == Moment::Linear {
                *found == tick
            } else {
                near(found)
            }
        });
        match (single, before.filter(near).zip(after.filter(near))) {
            (Some(event), _) => Ok(Some((vec![event], 0.0))),
            (None, Some((before, after))) if how == Moment::Linear => {
                let distance = |from: i64, to: i64| (i128::from(to) - i128::from(from)) as f64;
                Ok(Some((
                    vec![before, after],
                    distance(before, tick) / distance(before, after),
                )))
            }
            _ => Err(self.missing(tick, nearest)),
        }
    }

    /// From which tick to which an event that came or went could stand for the moment in the place
    /// of those that do now, or change it.
    pub(super) fn deciding_moment(&self, events: &[i64]) -> RangeInclusive<i64> {
        let (first, last) = (events[0], events[events.len() - 1]);
        match self.times.when {
            EventChoice::Moment {
                tick,
                how: Moment::Nearest,
            } => {
                let distance = first.abs_diff(tick);
                tick.saturating_sub_unsigned(distance)..=tick.saturating_add_unsigned(distance)
            }
            EventChoice::Moment { tick, .. } => first.min(tick)..=last.max(tick),
            _ => first..=i64::MAX,
        }
    }

    /// The error where no event stands for a moment.
    fn missing(&self, tick: i64, nearest: Option<i64>) -> Error {
        let dimension = &self.chunks.grid.structure().dimensions()[self.times.irregular.dimension];
        let (name, axis) = (dimension.name(), &dimension.axes()[0]);
        let known = nearest
            .map(|tick| format!("; the nearest is at {}", axis.shown(tick)))
            .unwrap_or_default();
        Error::not_found(format!(
            "no event along dimension `{name}` stands for {}{known}",
            axis.shown(tick)
        ))
    }
}
