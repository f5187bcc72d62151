//! All events of a column in a range of ticks as one, by whole bins where they lie in the range.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::rc::Rc;

use super::fresh::{Fresh, ReadChunks};
use super::values::Values;
use crate::dirty::Edge;
use crate::error::Result;
use crate::events::{BucketNode, Column, Events};
use crate::grid::{Irregular, Levels, Location};
use crate::kernel::{InBin, Pick};
use crate::store::{ChunkReader, Pyramid};

/// What a place holds.
enum HeldEvents<C> {
    Events(Events<C>),
    /// Bins, of which a place has as many as a chunk can have events.
    Bins(C, usize),
}

impl<C> HeldEvents<C> {
    /// The events or bins, and how many they are.
    fn chunk(&self) -> (&C, usize) {
        match self {
            HeldEvents::Events(events) => (&events.planes, events.ticks.len()),
            HeldEvents::Bins(bins, count) => (bins, *count),
        }
    }
}

/// Folds ranges of one column, one after the other.
pub(crate) struct Fold<'a, V: Values<'a>> {
    values: V,
    chunks: ChunkReader<'a>,
    levels: Levels,
    pyramid: &'a Pyramid,
    irregular: Option<Irregular>,
    fresh: Fresh<'a, V>,
    /// What is pending, where it counts.
    pending: Option<Vec<Edge>>,
    held: HashMap<Location, Option<Rc<HeldEvents<V::Chunk>>>>,
}

impl<'a, V: Values<'a>> Fold<'a, V> {
    /// Of a column at some levels. What is pending counts if it is given.
    pub(crate) fn new(
        values: V,
        levels: Levels,
        pyramid: &'a Pyramid,
        pending: Option<Vec<Edge>>,
    ) -> Self {
        let chunks = values.chunks();
        Self {
            values,
            chunks,
            levels,
            pyramid,
            irregular: chunks.grid.structure().irregular_axis(),
            fresh: Fresh::new(values, pyramid),
            pending,
            held: HashMap::new(),
        }
    }

    /// Chunks read and decoded so far.
    pub(crate) fn chunks_read(&self) -> u64 {
        self.fresh.chunks_read()
    }

    /// Which they were.
    pub(super) fn into_read(self) -> ReadChunks {
        self.fresh.into_read()
    }

    /// What the layer makes of all events under some places in a range of ticks; `None` if there
    /// are none. Ranges rise from call to call.
    pub(crate) fn over(
        &mut self,
        tops: &[Location],
        ticks: &RangeInclusive<i64>,
    ) -> Result<Option<V::Chunk>> {
        let Some(irregular) = self.irregular else {
            return Ok(None);
        };
        let mut found: Vec<(Rc<HeldEvents<V::Chunk>>, usize)> = Vec::new();
        for top in tops {
            self.collect(irregular, top, ticks, &mut found)?;
        }
        self.held
            .retain(|at, _| irregular.ticks(at).end() > ticks.end());
        let Some((first, _)) = found.first() else {
            return Ok(None);
        };
        let mut sources = vec![Rc::clone(first)];
        let mut picks: Vec<Pick> = Vec::new();
        for (held, number) in &found {
            if !sources.last().is_some_and(|last| Rc::ptr_eq(last, held)) {
                sources.push(Rc::clone(held));
            }
            picks.push(Some((sources.len() - 1, *number)));
        }
        let sources: Vec<(&V::Chunk, usize)> = sources.iter().map(|held| held.chunk()).collect();
        let places = vec![
            InBin {
                bin: 0,
                away: [0.0; 2]
            };
            picks.len()
        ];
        self.values
            .bin(self.levels, &sources, &picks, (&places, 1))
            .map(Some)
    }

    /// Collects what lies in a range: events, and whole bins; of bins that lie in it in part what
    /// is below.
    fn collect(
        &mut self,
        irregular: Irregular,
        at: &Location,
        ticks: &RangeInclusive<i64>,
        found: &mut Vec<(Rc<HeldEvents<V::Chunk>>, usize)>,
    ) -> Result<()> {
        let place = irregular.ticks(at);
        let within = (*ticks.start()).max(*place.start())..=(*ticks.end()).min(*place.end());
        if within.is_empty() {
            return Ok(());
        }
        let Some(held) = self.held(irregular, at)? else {
            return Ok(());
        };
        if let HeldEvents::Events(events) = held.as_ref() {
            let numbers = events
                .ticks
                .iter()
                .enumerate()
                .filter(|(_, tick)| within.contains(tick));
            found.extend(numbers.map(|(number, _)| (Rc::clone(&held), number)));
            return Ok(());
        }
        let level = irregular.level(at);
        for bin in irregular.bin(level, *within.start())..=irregular.bin(level, *within.end()) {
            let of_bin = irregular.ticks_of_bin(level, bin);
            if within.contains(of_bin.start()) && within.contains(of_bin.end()) {
                found.push((Rc::clone(&held), irregular.in_bin(at, *of_bin.start()).0));
                continue;
            }
            let half = irregular.half(at, (*of_bin.start()).max(*place.start()));
            let child = self
                .chunks
                .grid
                .structure()
                .child(at, irregular.dimension, half);
            let part = (*of_bin.start()).max(*within.start())..=(*of_bin.end()).min(*within.end());
            if let Some(child) = child {
                self.collect(irregular, &child, &part, found)?;
            }
        }
        Ok(())
    }

    fn held(
        &mut self,
        irregular: Irregular,
        at: &Location,
    ) -> Result<Option<Rc<HeldEvents<V::Chunk>>>> {
        if let Some(known) = self.held.get(at) {
            return Ok(known.clone());
        }
        let pending = self
            .pending
            .as_deref()
            .map_or(Vec::new(), |pending| self.fresh.touching(pending, at));
        let held = if irregular.level(at) > irregular.bucket {
            self.fresh
                .effective(at, &pending)?
                .map(|bins| HeldEvents::Bins(Rc::unwrap_or_clone(bins), irregular.capacity))
        } else if !pending.is_empty() || irregular.is_bucket(at) && !self.fresh.is_stored(at) {
            self.fresh
                .events(at, &pending)?
                .map(|events| HeldEvents::Events(Rc::unwrap_or_clone(events)))
        } else {
            self.stored(irregular, at)?
        };
        let held = held.map(Rc::new);
        self.held.insert(*at, held.clone());
        Ok(held)
    }

    fn stored(&self, irregular: Irregular, at: &Location) -> Result<Option<HeldEvents<V::Chunk>>> {
        match self
            .chunks
            .node(Column::layer_of(&self.pyramid.base, at), at)?
        {
            None => Ok(None),
            Some(BucketNode::Events(ticks)) => {
                let planes = self.fresh.layer_of(at, &ticks)?;
                Ok(Some(HeldEvents::Events(Events {
                    ticks: ticks.to_vec(),
                    planes,
                })))
            }
            Some(BucketNode::Branch) => Ok(Some(HeldEvents::Bins(
                self.fresh.bins_of_branch(at)?,
                irregular.capacity,
            ))),
        }
    }
}
