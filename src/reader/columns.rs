//! Columns of events: where the events, bins or steps of an answer are along an irregular
//! dimension.

use std::collections::BTreeSet;
use std::ops::{Deref, RangeInclusive};
use std::rc::Rc;

use super::fresh::Fresh;
use super::query::Coordinates;
use super::sources::{CellSource, Listed, Lister, Sourced, WindowPart};
use super::times::ReadTimes;
use super::values::Values;
use crate::error::{Error, Result};
use crate::events::Column;
use crate::grid::{Level, Location};
use crate::key::{ChunkKey, LayerId};
use crate::parallel;

/// The parts of a window that are columns of events.
#[derive(Clone, Copy)]
pub(super) struct EventColumns<'l, 'a> {
    pub(super) lister: &'l Lister<'a>,
    pub(super) times: &'a ReadTimes,
}

impl<'a> Deref for EventColumns<'_, 'a> {
    type Target = Lister<'a>;

    fn deref(&self) -> &Lister<'a> {
        self.lister
    }
}

impl<'l, 'a> EventColumns<'l, 'a> {
    /// The ticks of the events that are asked for. Chunks are read only to find the event of a
    /// moment.
    pub(super) fn ticks(&self) -> Result<Vec<i64>> {
        if let Some((found, _)) = &self.lister.moment {
            return Ok(found.clone());
        }
        let within = &self.times.ticks;
        let found =
            self.each(|part| self.events_of(self.plan.printed(self.chunks), part, within))?;
        Ok(ticks_of(&found, within))
    }

    /// The ranges of ticks that are read: of the events that stand for a moment each has its own.
    pub(super) fn ranges(&self) -> Vec<RangeInclusive<i64>> {
        match &self.lister.moment {
            Some((events, _)) => events.iter().map(|tick| *tick..=*tick).collect(),
            None => vec![self.times.ticks.clone()],
        }
    }

    /// The ticks between which what is pending changes the answer, if that is another range than
    /// the window's.
    pub(super) fn deciding(&self) -> Option<RangeInclusive<i64>> {
        match (&self.lister.moment, &self.times.steps) {
            (Some((events, _)), _) => Some(self.deciding_moment(events)),
            (None, Some(_)) => Some(self.times.ticks.clone()),
            (None, None) => None,
        }
    }

    /// Lists where the events between two ticks are, or the bins where the plan has a level of
    /// them, or its steps.
    pub(super) fn listed<V: Values<'a>>(
        &self,
        values: Option<V>,
        ticks: &RangeInclusive<i64>,
    ) -> Result<Listed<'l, V::Chunk>> {
        let steps = match &self.times.steps {
            None => None,
            Some(cuts) => {
                self.plan.check_events(cuts.count(&self.times.ticks))?;
                Some((cuts, cuts.of(&self.times.ticks)?))
            }
        };
        let of_column = |part: &'l WindowPart| match (values, &steps) {
            (Some(values), Some((_, steps))) => self.steps_of(values, part, steps),
            (None, Some(_)) => Err(Error::invalid(
                "steps of several events are made by an aggregator",
            )),
            (Some(values), None) if self.times.level > Level::ZERO => {
                self.bins_of(values, part, ticks)
            }
            (values, None) => self.events_of(values, part, ticks),
        };
        let parts = self.each(of_column)?;
        let (ticks, width) = match steps {
            Some((cuts, steps)) => (
                steps.into_iter().map(|(start, _)| start).collect(),
                cuts.width(),
            ),
            None => (
                ticks_of(&parts, ticks),
                1_u64
                    .checked_shl(self.times.level.above(Level::ZERO))
                    .unwrap_or(u64::MAX),
            ),
        };
        Ok(Listed {
            parts,
            coordinates: Some(Coordinates {
                axis: self.times.irregular.axis,
                ticks,
                width,
            }),
        })
    }

    /// What becomes of each column.
    fn each<T: Send>(&self, of: impl Fn(&'l WindowPart) -> Result<T> + Sync) -> Result<Vec<T>> {
        parallel::map_owned(self.lister.parts.iter().collect(), of)
    }

    /// The events of a column between two ticks.
    fn events_of<V: Values<'a>>(
        &self,
        values: Option<V>,
        part: &'l WindowPart,
        ticks: &RangeInclusive<i64>,
    ) -> Result<Sourced<'l, V::Chunk>> {
        match values {
            Some(values) if self.is_computed(part) => self.computed(values, part, ticks),
            _ => self.stored_events(part, ticks),
        }
    }

    /// The same as they are once all is aggregated.
    fn computed<V: Values<'a>>(
        &self,
        values: V,
        part: &'l WindowPart,
        ticks: &RangeInclusive<i64>,
    ) -> Result<Sourced<'l, V::Chunk>> {
        let fresh = Fresh::new(values, &self.plan.pyramid);
        let mut found = Vec::new();
        for bucket in self.buckets(part, ticks)? {
            found.extend(fresh.events(&bucket, &fresh.touching(&part.pending, &bucket))?);
        }
        // From here on nobody else holds them.
        let read = fresh.into_read();
        let sources = found
            .into_iter()
            .map(|events| CellSource::Computed(Rc::unwrap_or_clone(events)))
            .collect();
        Ok(Sourced {
            part,
            sources,
            read,
        })
    }

    /// The same as they are stored.
    fn stored_events<C>(
        &self,
        part: &'l WindowPart,
        ticks: &RangeInclusive<i64>,
    ) -> Result<Sourced<'l, C>> {
        let column = self.column(&part.piece.location);
        let layer = if column.layer() == LayerId::BASE {
            LayerId::BASE
        } else {
            self.plan.layer.id()
        };
        let mut sources = Vec::new();
        column.each(ticks, &mut |at, of| {
            sources.push(CellSource::Stored(layer, at, Some(of)));
            Ok(())
        })?;
        Ok(Sourced {
            part,
            sources,
            read: Vec::new(),
        })
    }

    /// The events that are stored at a place of the other dimensions.
    pub(super) fn column(&self, at: &Location) -> Column<'a> {
        Column::new(
            self.chunks,
            Column::layer_of(&self.plan.pyramid.base, at),
            at,
        )
    }

    /// The buckets of a column that hold events between two ticks, or will once all is aggregated.
    pub(super) fn buckets(
        &self,
        part: &WindowPart,
        ticks: &RangeInclusive<i64>,
    ) -> Result<Vec<Location>> {
        let (irregular, at, pyramid) = (
            self.times.irregular,
            &part.piece.location,
            &self.plan.pyramid,
        );
        let (grid, structure) = (self.chunks.grid, self.chunks.grid.structure());
        let mut codes: BTreeSet<u64> = BTreeSet::new();
        if pyramid.built.covers(&at.levels()) || pyramid.base.has(at.levels()) {
            let stored = self.column(at).places(irregular.bucket, ticks)?;
            codes.extend(stored.iter().map(|at| at.codes[irregular.axis]));
        } else {
            let whole = self.times.whole(structure, at);
            let below = ChunkKey::subtree(
                grid.id(),
                structure,
                LayerId::BASE,
                &whole,
                pyramid.base.finest(),
            );
            grid.directory(self.chunks.snapshot, below, &mut |chunk| {
                if structure.ancestor(&chunk.location, whole.levels()) == Some(whole) {
                    codes.insert(chunk.location.codes[irregular.axis]);
                }
            })?;
        }
        let pending = part
            .pending
            .iter()
            .filter(|edge| irregular.is_bucket(&edge.parent));
        codes.extend(pending.map(|edge| edge.parent.codes[irregular.axis]));
        let first = irregular.code(irregular.bucket, *ticks.start());
        let last = irregular.code(irregular.bucket, *ticks.end());
        let within = codes
            .into_iter()
            .filter(|code| (first..=last).contains(code));
        Ok(within
            .map(|code| irregular.place(at, irregular.bucket, code))
            .collect())
    }
}

/// The ticks of the sources of some parts between two, rising, each once.
fn ticks_of<C>(parts: &[Sourced<'_, C>], within: &RangeInclusive<i64>) -> Vec<i64> {
    let all = parts
        .iter()
        .flat_map(|of| &of.sources)
        .filter_map(CellSource::ticks)
        .flatten();
    let all: BTreeSet<i64> = all.copied().filter(|tick| within.contains(tick)).collect();
    all.into_iter().collect()
}
