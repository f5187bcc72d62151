//! What a grid holds, in three small records: the box of all that was put, the levels at which the
//! refinable dimension has base data, and how far the pyramid reaches.
//!
//! They are apart because writers that extend a grid change the first, writers at a new level the
//! second, and aggregation depends on the last only.

use serde::{Deserialize, Serialize};

use super::catalog::{self, RecordKind, encode_record};
use super::pyramid::{Base, Pyramid};
use crate::error::{Error, Result};
use crate::grid::{CellIndex, Level, Levels, Shape, Structure, Window};
use crate::key::{GridId, meta};
use crate::kv::{Batch, Snapshot, Space};

/// What a grid holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// The box of all that was put, in the finest base cells; nothing was put if absent.
    pub(crate) bounds: Option<Window>,
    /// The levels of base data; nothing was put if absent.
    pub(crate) base: Option<Base>,
    /// The levels up to which aggregates are kept; none are if absent.
    pub(crate) reach: Option<Levels>,
    /// A dimension and a level of it above which no aggregates are to be kept, since another store
    /// does; not of the records, but of how the store is opened.
    pub(crate) ceiling: Option<(usize, Level)>,
}

/// A window, in a record.
#[derive(Serialize, Deserialize)]
pub(crate) struct WindowRecord {
    levels: Vec<Level>,
    start: Vec<i64>,
    shape: Vec<u64>,
}

/// The levels at which the refinable dimension has base data, finest first. Kept only where there
/// is such a dimension.
#[derive(Serialize, Deserialize)]
struct BaseRecord {
    levels: Vec<Level>,
}

#[derive(Serialize, Deserialize)]
struct ReachRecord {
    levels: Vec<Level>,
}

impl State {
    /// Reads the state of a grid.
    pub(crate) fn read(snapshot: &dyn Snapshot, id: GridId, structure: &Structure) -> Result<Self> {
        let bounds = catalog::read::<WindowRecord>(snapshot, RecordKind::Bounds, meta::bounds(id))?
            .map(|r| r.bounds(structure))
            .transpose()?;
        let base = match (bounds, structure.refinable()) {
            (Some(bounds), Some(dimension)) => {
                let missing = || Error::corrupt("the grid's base level record is missing");
                let record = catalog::read::<BaseRecord>(
                    snapshot,
                    RecordKind::BaseLevels,
                    meta::base_levels(id),
                )?;
                Some(
                    record
                        .ok_or_else(missing)?
                        .check(bounds.levels(0), dimension)?,
                )
            }
            (bounds, _) => bounds.map(|bounds| Base::new(structure, bounds.levels(0))),
        };
        let reach = catalog::read::<ReachRecord>(snapshot, RecordKind::Reach, meta::reach(id))?
            .map(|r| r.check(structure))
            .transpose()?;
        Ok(Self {
            bounds,
            base,
            reach,
            ceiling: None,
        })
    }

    /// The levels of the pyramid; `None` if nothing was put.
    pub(crate) fn pyramid(&self, structure: &Structure) -> Option<Pyramid> {
        let (bounds, base) = (self.bounds?, self.base?);
        let top = structure.top(&bounds, base.coarsest());
        Some(Pyramid {
            base,
            built: self.reach.unwrap_or(base.finest()),
            top: self
                .ceiling
                .map_or(top, |(d, level)| top.with(d, top[d].min(level))),
        })
    }

    /// The levels up to which there can be any, however much was put.
    pub(crate) fn summit(&self, structure: &Structure) -> Option<Levels> {
        let summit = structure.summit(self.base?.coarsest());
        Some(
            self.ceiling
                .map_or(summit, |(d, level)| summit.with(d, summit[d].min(level))),
        )
    }

    /// The state once `window` was put too; the reach is as it was.
    pub(crate) fn grown(&self, structure: &Structure, window: &Window) -> Result<Self> {
        let levels = window.levels(structure.dimensions().len());
        let base = self
            .base
            .map_or_else(|| Base::new(structure, levels), |base| base.with(levels));
        let cells = base.cells();
        let window = structure.cover(window, cells);
        let union = self.bounds.map_or(window, |bounds| {
            structure.union(&structure.cover(&bounds, cells), &window)
        });
        let beyond = || {
            Error::invalid(format!(
                "cells at levels {cells:?} do not reach over all of the grid's data"
            ))
        };
        structure.check(&union).map_err(|e| beyond().because(e))?;
        if union.start().contains(&i64::MIN) {
            return Err(beyond());
        }
        Ok(Self {
            bounds: Some(union),
            base: Some(base),
            ..*self
        })
    }
}

/// Writes the records of the bounds and the base levels so far as they change, expecting them as
/// they were.
pub(crate) fn write_state(batch: &mut Batch, id: GridId, old: &State, new: &State) -> Result<()> {
    if old.bounds != new.bounds {
        batch.expect_key(Space::Meta, meta::bounds(id));
        match new.bounds {
            Some(bounds) => batch.put(
                Space::Meta,
                meta::bounds(id),
                encode_record(RecordKind::Bounds, &WindowRecord::new(&bounds))?,
            ),
            None => batch.delete(Space::Meta, meta::bounds(id)),
        }
    }
    let used = |state: &State| state.base.and_then(|base| base.used());
    if used(old) != used(new) {
        touch_base_levels(batch, id, new)?;
    }
    Ok(())
}

/// Expects that base data stands at the same levels as it was seen, and that the bounds did not
/// shrink since.
pub(crate) fn expect_base_levels(batch: &mut Batch, id: GridId) {
    batch.expect_key(Space::Meta, meta::base_levels(id));
}

/// Makes everybody fail who has [expected](expect_base_levels) the base levels.
pub(crate) fn touch_base_levels(batch: &mut Batch, id: GridId, state: &State) -> Result<()> {
    match state.base.and_then(|base| base.used()) {
        Some(levels) => batch.put(
            Space::Meta,
            meta::base_levels(id),
            encode_record(RecordKind::BaseLevels, &BaseRecord { levels })?,
        ),
        None => batch.delete(Space::Meta, meta::base_levels(id)),
    }
    Ok(())
}

/// Writes the reach. Whoever aggregates expects the reach unchanged in any case.
pub(crate) fn write_reach(batch: &mut Batch, id: GridId, reach: Levels) -> Result<()> {
    batch.put(
        Space::Meta,
        meta::reach(id),
        encode_record(
            RecordKind::Reach,
            &ReachRecord {
                levels: reach.to_vec(),
            },
        )?,
    );
    Ok(())
}

impl WindowRecord {
    /// The record of a window that says at which levels it is.
    pub(crate) fn new(window: &Window) -> Self {
        Self {
            levels: window.levels(0).to_vec(),
            start: window.start().to_vec(),
            shape: window.shape().to_vec(),
        }
    }

    /// The window, with the axes and levels of a structure. It may leave the index space.
    pub(crate) fn window(&self, structure: &Structure) -> Result<Window> {
        if self.levels.len() != structure.dimensions().len()
            || self.start.len() != structure.rank()
            || self.shape.len() != structure.rank()
        {
            return Err(Error::corrupt("a window of other axes"));
        }
        let levels: Levels = self.levels.iter().copied().collect();
        structure.check_levels(levels)?;
        Ok(Window::new(
            CellIndex::from(self.start.as_slice()),
            Shape::from(self.shape.as_slice()),
        )
        .at(levels))
    }

    fn bounds(&self, structure: &Structure) -> Result<Window> {
        let checked = self
            .window(structure)
            .and_then(|window| structure.check(&window).map(|()| window));
        checked.map_err(|e| {
            Error::corrupt("the grid's bounds record does not fit its structure").because(e)
        })
    }
}

impl BaseRecord {
    fn check(&self, finest: Levels, dimension: usize) -> Result<Base> {
        let sound = self.levels.first() == Some(&finest[dimension])
            && self.levels.is_sorted_by(|a, b| a < b);
        if !sound {
            return Err(Error::corrupt(
                "the grid's base level record does not fit its bounds",
            ));
        }
        Ok(self
            .levels
            .iter()
            .fold(Base::of(finest, Some(dimension)), |base, level| {
                base.with(finest.with(dimension, *level))
            }))
    }
}

impl ReachRecord {
    fn check(&self, structure: &Structure) -> Result<Levels> {
        let wrong = || Error::corrupt("the grid's reach record does not fit its structure");
        if self.levels.len() != structure.dimensions().len() {
            return Err(wrong());
        }
        let levels: Levels = self.levels.iter().copied().collect();
        structure
            .check_levels(levels)
            .map_err(|e| wrong().because(e))?;
        Ok(levels)
    }
}
