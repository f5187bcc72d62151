//! What is read along an irregular dimension.

use std::ops::RangeInclusive;

use super::query::{EventChoice, Query};
use super::steps::StepCuts;
use crate::dirty::Edge;
use crate::error::{Error, Result};
use crate::grid::{Irregular, Level, Levels, Location, Structure, Window};
use crate::store::Pyramid;

/// What is read along the irregular dimension.
#[derive(Clone, Debug)]
pub(super) struct ReadTimes {
    pub(super) irregular: Irregular,
    /// 0 for events, else that of the bins.
    pub(super) level: Level,
    /// The first and the last tick.
    pub(super) ticks: RangeInclusive<i64>,
    pub(super) when: EventChoice,
    pub(super) tolerance: Option<u64>,
    pub(super) steps: Option<StepCuts>,
}

impl ReadTimes {
    /// The levels of the chunks that are read as they are stored, for cells of some levels.
    pub(super) fn chunk_levels(&self, cells: Levels) -> Levels {
        cells.with(
            self.irregular.dimension,
            self.level.max(self.irregular.bucket),
        )
    }

    /// The place under which all events of a column lie.
    pub(super) fn whole(&self, structure: &Structure, at: &Location) -> Location {
        let levels = structure.dimensions()[self.irregular.dimension].levels();
        self.irregular.place(at, *levels.end(), 0)
    }

    /// Keeps those changes that what is read depends on: up to the level of the bins, or of any
    /// bins if steps are made of them.
    pub(super) fn retain(&self, pending: &mut Vec<Edge>, pyramid: &Pyramid) {
        let bins = if self.steps.is_some() {
            pyramid.built[self.irregular.dimension]
        } else {
            self.level
        };
        let level = bins.max(self.irregular.bucket);
        pending.retain(|edge| self.irregular.level(&edge.parent) <= level);
    }

    /// The part of a window along the irregular axis that lies between two ticks.
    pub(super) fn within(&self, window: &Window, ticks: &RangeInclusive<i64>) -> Window {
        let bin = |tick: i64| self.irregular.bin(self.level, tick);
        let first = bin((*ticks.start()).max(*self.ticks.start()));
        let last = bin((*ticks.end()).min(*self.ticks.end()));
        window.along(
            self.irregular.axis,
            first,
            last.abs_diff(first).saturating_add(1),
        )
    }
}

/// What is read along the irregular dimension of a window.
pub(super) fn times(
    structure: &Structure,
    query: &Query,
    window: &Window,
    bounds: &Window,
) -> Result<Option<ReadTimes>> {
    let Some(irregular) = structure.irregular_axis() else {
        return match (query.when, &query.steps, query.tolerance) {
            (EventChoice::Region, None, None) => Ok(None),
            _ => Err(Error::invalid(
                "it has no irregular dimension, so neither events nor moments nor steps of ticks",
            )),
        };
    };
    let level = window.levels(structure.dimensions().len())[irregular.dimension];
    let single = matches!(query.when, EventChoice::Moment { .. } | EventChoice::Latest);
    if (single || query.steps.is_some()) && level != Level::ZERO || single && query.steps.is_some()
    {
        return Err(Error::invalid(
            "a moment is one of the events, and steps are made of events: ask for one of them, at level 0",
        ));
    }
    query.steps.as_ref().map_or(Ok(()), StepCuts::check)?;
    let axis = irregular.axis;
    let (first, last) = (window.start()[axis], window.end()[axis].saturating_sub(1));
    let mut ticks =
        *irregular.ticks_of_bin(level, first).start()..=*irregular.ticks_of_bin(level, last).end();
    if let EventChoice::Ticks(from, to) = query.when {
        ticks = from.max(*ticks.start())..=to.saturating_sub(1).min(*ticks.end());
        if level != Level::ZERO {
            // Bins that begin in the range, whole.
            let last = irregular.bin(level, *ticks.end());
            let first = irregular.bin(level, *ticks.start());
            let first = if irregular.ticks_of_bin(level, first).start() < ticks.start() {
                first.saturating_add(1)
            } else {
                first
            };
            ticks = *irregular.ticks_of_bin(level, first).start()
                ..=*irregular.ticks_of_bin(level, last).end();
        }
    }
    if !single {
        // Outside of what was put there are no events.
        let (low, high) = (bounds.start()[axis], bounds.end()[axis].saturating_sub(1));
        let bin = |tick| irregular.ticks_of_bin(level, irregular.bin(level, tick));
        ticks = (*ticks.start()).max(*bin(low).start())..=(*ticks.end()).min(*bin(high).end());
    }
    Ok(Some(ReadTimes {
        irregular,
        level,
        ticks,
        when: query.when,
        tolerance: query.tolerance,
        steps: query.steps.clone(),
    }))
}
