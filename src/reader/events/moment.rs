//! The event that stands for a moment.

use std::ops::RangeInclusive;

use rayon::prelude::*;

use super::super::between::between;
use super::super::fetch::Fetched;
use super::super::fresh::Fresh;
use super::super::query::{Coordinates, Moment, When};
use super::super::values::Printed;
use super::{Place, Reader};
use crate::error::{Error, Result};
use crate::events::Column;
use crate::kv::Order;

impl Reader<'_> {
    /// The first tick at or after one in any column, or the last at or before it.
    fn edge(&self, columns: &[Place], tick: i64, order: Order) -> Result<Option<i64>> {
        let of_column = |place: &Place| match self.printed(None) {
            Some(values) if self.is_computed(place) => self.edge_of(values, place, tick, order),
            _ => {
                let at = &place.piece.location;
                Column::new(self.chunks, Column::layer(&self.plan.base, at), at).next(tick, order)
            }
        };
        let found = columns.par_iter().map(of_column).collect::<Result<Vec<_>>>()?;
        let found = found.into_iter().flatten();
        Ok(if order == Order::Ascending { found.min() } else { found.max() })
    }

    /// The same in a column that is computed. No chunk is read.
    fn edge_of(&self, values: Printed<'_>, place: &Place, tick: i64, order: Order) -> Result<Option<i64>> {
        let reach = match order {
            Order::Ascending => tick..=i64::MAX,
            Order::Descending => i64::MIN..=tick,
        };
        let fresh = Fresh::new(values, &self.plan.base, self.plan.built);
        let mut buckets = self.buckets(place, &reach)?;
        if order == Order::Descending {
            buckets.reverse();
        }
        for bucket in buckets {
            let events = fresh.events(&bucket, &fresh.touching(&place.pending, &bucket))?;
            let mut within = events.iter().flat_map(|events| &events.ticks).copied().filter(|tick| reach.contains(tick));
            let found = if order == Order::Ascending { within.next() } else { within.next_back() };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The event that stands for a moment, or the two that it lies between with the share of the later one.
    pub(super) fn chosen(&self, columns: &[Place]) -> Result<(Vec<i64>, f64)> {
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

    /// From which tick to which an event that came or went could stand for the moment in the place of what does now, or change it.
    pub(super) fn deciding(&self, columns: &[Place]) -> Result<RangeInclusive<i64>> {
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
    pub(super) fn moment(&self, columns: &[Place]) -> Result<Fetched> {
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
