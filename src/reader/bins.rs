//! Bins of a level, and steps of any length.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::rc::Rc;

use super::columns::EventColumns;
use super::fold::Fold;
use super::fresh::Fresh;
use super::sources::{CellSource, Sourced, WindowPart};
use super::values::Values;
use crate::error::Result;
use crate::events::{Column, Events};
use crate::grid::Location;
use crate::kernel::{InBin, Pick};
use crate::key::LayerId;

impl<'l, 'a> EventColumns<'l, 'a> {
    /// The bins of a column that hold data in the window.
    pub(super) fn bins_of<V: Values<'a>>(
        &self,
        values: V,
        part: &'l WindowPart,
        ticks: &RangeInclusive<i64>,
    ) -> Result<Sourced<'l, V::Chunk>> {
        let fresh = Fresh::new(values, &self.plan.pyramid);
        let found = if self.times.level > self.times.irregular.bucket {
            self.bins_above(&fresh, part, ticks)
        } else if self.is_computed(part) {
            self.bins_computed(&fresh, part, ticks)
        } else {
            self.bins_within(&fresh, part, ticks)
        };
        let sources = found?
            .into_iter()
            .filter_map(|events| self.with_data(values, part, events, ticks))
            .collect();
        Ok(Sourced {
            part,
            sources,
            read: fresh.into_read(),
        })
    }

    /// The bins of one place of a level.
    fn bins_at<C>(&self, at: &Location, planes: C) -> Events<C> {
        let (irregular, level) = (self.times.irregular, self.times.level);
        let first = irregular.first_bin(at);
        let numbers = (0..irregular.capacity).map(|bin| first.saturating_add_unsigned(bin as u64));
        Events {
            ticks: numbers
                .map(|bin| *irregular.ticks_of_bin(level, bin).start())
                .collect(),
            planes,
        }
    }

    /// Bins of a level above that of buckets.
    fn bins_above<V: Values<'a>>(
        &self,
        fresh: &Fresh<'a, V>,
        part: &'l WindowPart,
        ticks: &RangeInclusive<i64>,
    ) -> Result<Vec<Events<V::Chunk>>> {
        let (irregular, level, at) = (self.times.irregular, self.times.level, &part.piece.location);
        let codes: BTreeSet<u64> = if self.is_computed(part) {
            let up = level.above(irregular.bucket);
            self.buckets(part, ticks)?
                .iter()
                .map(|at| at.codes[irregular.axis].checked_shr(up).unwrap_or(0))
                .collect()
        } else {
            let stored = Column::new(self.chunks, LayerId::FIRST, at).places(level, ticks)?;
            stored.iter().map(|at| at.codes[irregular.axis]).collect()
        };
        let mut found = Vec::new();
        for code in codes {
            let at = irregular.place(at, level, code);
            let pending = if self.fresh {
                fresh.touching(&part.pending, &at)
            } else {
                Vec::new()
            };
            found.extend(
                fresh
                    .effective(&at, &pending)?
                    .map(|bins| self.bins_at(&at, Rc::unwrap_or_clone(bins))),
            );
        }
        Ok(found)
    }

    /// Bins within buckets that are computed.
    fn bins_computed<V: Values<'a>>(
        &self,
        fresh: &Fresh<'a, V>,
        part: &'l WindowPart,
        ticks: &RangeInclusive<i64>,
    ) -> Result<Vec<Events<V::Chunk>>> {
        let (irregular, level) = (self.times.irregular, self.times.level);
        let mut found = Vec::new();
        for bucket in self.buckets(part, ticks)? {
            let Some(events) = fresh.events(&bucket, &fresh.touching(&part.pending, &bucket))?
            else {
                continue;
            };
            let mut first = 0;
            for group in events
                .ticks
                .chunk_by(|a, b| irregular.code(level, *a) == irregular.code(level, *b))
            {
                let at = irregular.place(&bucket, level, irregular.code(level, group[0]));
                let numbers: Vec<usize> = (first..first + group.len()).collect();
                first += group.len();
                let of_place = fresh.values.pick(&bucket, &events, &numbers);
                found.push(self.bins_at(&at, fresh.values.bins(&at, &of_place)?));
            }
        }
        Ok(found)
    }

    /// Bins within buckets that are stored.
    fn bins_within<V: Values<'a>>(
        &self,
        fresh: &Fresh<'a, V>,
        part: &'l WindowPart,
        ticks: &RangeInclusive<i64>,
    ) -> Result<Vec<Events<V::Chunk>>> {
        let at = &part.piece.location;
        let mut found = Vec::new();
        self.column(at)
            .each_above(ticks, Some(self.times.level), &mut |at, of| {
                found.push(match of {
                    None => self.bins_at(&at, fresh.bins_of_branch(&at)?),
                    Some(of) => {
                        let planes = fresh.layer_of(&at, &of)?;
                        self.sparse_bins(
                            fresh.values,
                            &at,
                            &Events {
                                ticks: of.to_vec(),
                                planes,
                            },
                        )?
                    }
                });
                Ok(())
            })?;
        Ok(found)
    }

    /// Those bins of a chunk's events that hold any.
    fn sparse_bins<V: Values<'a>>(
        &self,
        values: V,
        at: &Location,
        events: &Events<V::Chunk>,
    ) -> Result<Events<V::Chunk>> {
        let (irregular, level) = (self.times.irregular, self.times.level);
        let mut ticks: Vec<i64> = Vec::new();
        let mut places = Vec::new();
        for tick in &events.ticks {
            let first = *irregular
                .ticks_of_bin(level, irregular.bin(level, *tick))
                .start();
            if ticks.last() != Some(&first) {
                ticks.push(first);
            }
            let (_, away) = irregular.in_bin(
                &irregular.place(at, level, irregular.code(level, *tick)),
                *tick,
            );
            places.push(InBin {
                bin: ticks.len() - 1,
                away,
            });
        }
        let picks: Vec<Pick> = (0..events.ticks.len())
            .map(|event| Some((0, event)))
            .collect();
        let planes = values.bin(
            at.levels(),
            &[(&events.planes, events.ticks.len())],
            &picks,
            (&places, ticks.len()),
        )?;
        Ok(Events { ticks, planes })
    }

    /// Bins without those that hold no data in the window.
    fn with_data<V: Values<'a>>(
        &self,
        values: V,
        part: &'l WindowPart,
        events: Events<V::Chunk>,
        ticks: &RangeInclusive<i64>,
    ) -> Option<CellSource<V::Chunk>> {
        let held = values.held(
            &events.planes,
            events.ticks.len(),
            (&part.piece.in_chunk, &part.piece.shape),
        );
        let kept: Vec<usize> = (0..events.ticks.len())
            .filter(|&bin| held[bin] && ticks.contains(&events.ticks[bin]))
            .collect();
        match kept.len() {
            0 => None,
            all if all == events.ticks.len() => Some(CellSource::Computed(events)),
            _ => Some(CellSource::Computed(values.pick(
                &part.piece.location,
                &events,
                &kept,
            ))),
        }
    }

    /// Steps of a regular axis in a column.
    pub(super) fn steps_of<V: Values<'a>>(
        &self,
        values: V,
        part: &'l WindowPart,
        steps: &[(i64, RangeInclusive<i64>)],
    ) -> Result<Sourced<'l, V::Chunk>> {
        let ticks = &self.times.ticks;
        let mut fold = Fold::new(
            values,
            self.plan.levels(),
            &self.plan.pyramid,
            self.fresh.then(|| part.pending.clone()),
        );
        let tops = self.tops(part, ticks)?;
        let mut parts = Vec::new();
        for (start, of_step) in steps {
            parts.extend(fold.over(&tops, of_step)?.map(|planes| Events {
                ticks: vec![*start],
                planes,
            }));
        }
        let joined = values.join(part.piece.location.levels(), parts);
        Ok(Sourced {
            part,
            sources: joined.map(CellSource::Computed).into_iter().collect(),
            read: fold.into_read(),
        })
    }

    /// The coarsest places of a column under which all events between two ticks lie.
    fn tops(&self, part: &'l WindowPart, ticks: &RangeInclusive<i64>) -> Result<Vec<Location>> {
        let irregular = self.times.irregular;
        let level = self.plan.pyramid.built[irregular.dimension];
        let at = &part.piece.location;
        if level <= irregular.bucket
            || !self.plan.pyramid.built.covers(&at.levels())
            || self.fresh && !part.pending.is_empty()
        {
            return self.buckets(part, ticks);
        }
        Column::new(self.chunks, LayerId::FIRST, at).places(level, ticks)
    }
}
