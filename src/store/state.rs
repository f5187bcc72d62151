//! What a grid holds, in two small records: the box of all that was put, and how far the pyramid reaches.
//!
//! They are apart because writers that extend a grid change the first, and aggregation depends on the second only.

use serde::{Deserialize, Serialize};

use super::catalog::{self, RecordKind, encode_record};
use crate::error::{Error, Result};
use crate::grid::{CellIndex, Level, Levels, Shape, Structure, Window};
use crate::key::{GridId, meta};
use crate::kv::{Batch, Snapshot, Space};

/// What a grid holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// The box of all that was put, at the base levels; nothing was put if absent.
    pub(crate) bounds: Option<Window>,
    /// The levels up to which aggregates are kept; none are if absent.
    pub(crate) reach: Option<Levels>,
}

/// A window, in a record.
#[derive(Serialize, Deserialize)]
pub(crate) struct WindowRecord {
    levels: Vec<Level>,
    start: Vec<i64>,
    shape: Vec<u64>,
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
        let reach = catalog::read::<ReachRecord>(snapshot, RecordKind::Reach, meta::reach(id))?
            .map(|r| r.check(structure))
            .transpose()?;
        Ok(Self { bounds, reach })
    }

    /// The base level of each dimension, once something was put.
    pub(crate) fn base(&self) -> Option<Levels> {
        self.bounds.map(|bounds| bounds.levels(0))
    }

    /// The levels up to which the pyramid goes once it is up to date.
    pub(crate) fn top(&self, structure: &Structure) -> Option<Levels> {
        self.bounds.map(|bounds| structure.top(&bounds))
    }

    /// The bounds as they are once `window`, which is at the base levels, was put too.
    pub(crate) fn grown(&self, structure: &Structure, window: &Window) -> Window {
        let window = window.at(window.levels(structure.dimensions().len()));
        self.bounds.map_or(window, |bounds| structure.union(&bounds, &window))
    }
}

/// Writes the bounds, expecting them as they were.
pub(crate) fn write_bounds(batch: &mut Batch, id: GridId, bounds: &Window) -> Result<()> {
    batch.expect_key(Space::Meta, meta::bounds(id));
    batch.put(Space::Meta, meta::bounds(id), encode_record(RecordKind::Bounds, &WindowRecord::new(bounds))?);
    Ok(())
}

/// Writes the reach. Whoever aggregates expects the reach unchanged in any case.
pub(crate) fn write_reach(batch: &mut Batch, id: GridId, reach: Levels) -> Result<()> {
    batch.put(Space::Meta, meta::reach(id), encode_record(RecordKind::Reach, &ReachRecord { levels: reach.to_vec() })?);
    Ok(())
}

impl WindowRecord {
    /// The record of a window that says at which levels it is.
    pub(crate) fn new(window: &Window) -> Self {
        Self { levels: window.levels(0).to_vec(), start: window.start().to_vec(), shape: window.shape().to_vec() }
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
        Ok(Window::new(CellIndex::from(self.start.as_slice()), Shape::from(self.shape.as_slice())).at(levels))
    }

    fn bounds(&self, structure: &Structure) -> Result<Window> {
        let checked = self.window(structure).and_then(|window| structure.check(&window).map(|()| window));
        checked.map_err(|e| Error::corrupt("the grid's bounds record does not fit its structure").because(e))
    }
}

impl ReachRecord {
    fn check(&self, structure: &Structure) -> Result<Levels> {
        let wrong = || Error::corrupt("the grid's reach record does not fit its structure");
        if self.levels.len() != structure.dimensions().len() {
            return Err(wrong());
        }
        let levels: Levels = self.levels.iter().copied().collect();
        structure.check_levels(levels).map_err(|e| wrong().because(e))?;
        Ok(levels)
    }
}
