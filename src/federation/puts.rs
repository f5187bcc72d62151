//! Puts and removals go to the shards that own the place.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLockReadGuard};

use ndarray::{Axis, Slice};

use super::members::Gate;
use super::state::adopt;
use super::{Federation, Inner};
use crate::array::{ArrayView, with_view};
use crate::error::{Error, Result};
use crate::grid::{CellIndex, Levels, Shape, Window};
use crate::store::{Grid, lock};
use crate::writer::{Batch, Commit, Overlap};

/// What a put did in one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Placed {
    /// The shard's name.
    pub shard: String,
    /// The commit in its store. Its [`sequence`](Commit::sequence) orders commits of this shard
    /// only.
    pub commit: Commit,
}

/// The parts of a window by the shards that own them.
type ShardWindows = BTreeMap<usize, Vec<Window>>;

impl Federation {
    /// Puts an array like [`Grid::put`], durably: in each shard that owns a part of the window in
    /// one commit.
    ///
    /// All parts are tried before the first is committed, so that what a shard refuses changes
    /// nothing anywhere. The commits follow each other: a failure of a disk or of the network, or a
    /// crash, may leave the parts of some shards in and those of others out. Each is whole or not
    /// there, and none that is in is lost; put the same again.
    ///
    /// # Errors
    ///
    /// Those of [`Grid::put`]. [`Invalid`](crate::ErrorKind::Invalid) if no shard owns a part of the
    /// window, its cells are coarser than the shards' columns, or a shard is open for reading only;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if a shard is not open. Where a part is in
    /// already, the error says so.
    pub fn put<'a>(&self, window: &Window, array: impl Into<ArrayView<'a>>) -> Result<Vec<Placed>> {
        self.put_over(window, array, Overlap::Merge)
    }

    /// Puts an array like [`put`](Self::put), and cells without data too.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put).
    pub fn replace<'a>(
        &self,
        window: &Window,
        array: impl Into<ArrayView<'a>>,
    ) -> Result<Vec<Placed>> {
        self.put_over(window, array, Overlap::Replace)
    }

    /// Puts an array like [`put`](Self::put); what becomes of data that is there already is for
    /// `overlap` to say.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put).
    pub fn put_over<'a>(
        &self,
        window: &Window,
        array: impl Into<ArrayView<'a>>,
        overlap: Overlap,
    ) -> Result<Vec<Placed>> {
        let array = array.into();
        let fits = array.shape().len() == window.shape().len()
            && array
                .shape()
                .iter()
                .zip(window.shape().iter())
                .all(|(cells, len)| *cells as u64 == *len);
        if !fits {
            return Err(self.inner.grid.blame(Error::invalid(format!(
                "an array of {:?} does not fit a window of {:?}",
                array.shape(),
                &*window.shape()
            ))));
        }
        let parts = self.owned(window)?;
        self.written(&parts, &|grid, batch, part| {
            batch.put_over(grid, part, part_of(&array, window, part), overlap)
        })
    }

    /// Puts events like [`Grid::put_events`], divided between shards like the window of a
    /// [`put`](Self::put).
    ///
    /// # Errors
    ///
    /// Those of [`Grid::put_events`] and of [`put`](Self::put).
    pub fn put_events<'a>(
        &self,
        ticks: &[i64],
        start: impl Into<CellIndex>,
        array: impl Into<ArrayView<'a>>,
        overlap: Overlap,
    ) -> Result<Vec<Placed>> {
        let (grid, array, start) = (&self.inner.grid, array.into(), start.into());
        let structure = grid.structure();
        let irregular = structure.irregular_axis().map(|irregular| irregular.axis);
        let Some(axis) = irregular.filter(|_| {
            start.len() + 1 == structure.rank() && array.shape().len() == structure.rank()
        }) else {
            return Err(grid.blame(Error::invalid(format!(
                "an array of {:?} whose first cell is {:?} is not of events of this grid: put a window, or give the first cell along all axes but the irregular one",
                array.shape(),
                &*start
            ))));
        };
        // A window over one tick, in the place of all.
        let mut first = start.to_vec();
        first.insert(axis, 0);
        let mut shape: Vec<u64> = array.shape().iter().map(|len| *len as u64).collect();
        shape[axis] = 1;
        let levels = self
            .view(false)?
            .state
            .base
            .map_or(Levels::zero(structure.dimensions().len()), |base| {
                base.cells()
            });
        let all = Window::new(first.as_slice(), Shape::from(shape.as_slice())).at(levels);
        let whole = |window: &Window| window.along(axis, 0, array.shape()[axis] as u64);
        let parts = self.owned(&all)?;
        self.written(&parts, &|shard, batch, part| {
            let mut start = part.start().to_vec();
            start.remove(axis);
            let events = part_of(&array, &whole(&all), &whole(part));
            batch.put_events(shard, ticks, start.as_slice(), events, overlap)
        })
    }

    /// Removes all data from a window like [`Grid::clear`], in each shard that owns a part of it.
    /// What no shard owns holds nothing.
    ///
    /// # Errors
    ///
    /// Those of [`Grid::clear`] and of [`put`](Self::put).
    pub fn clear(&self, window: &Window) -> Result<Vec<Placed>> {
        let Inner { grid, laid, .. } = self.inner.as_ref();
        let structure = grid.structure();
        structure.check(window).map_err(|e| grid.blame(e))?;
        let (d, level) = (laid.border.dimension, laid.border.level);
        let levels = window.levels(structure.dimensions().len());
        let window = structure.cover(window, levels.with(d, levels[d].min(level)));
        let mut parts = ShardWindows::new();
        for (part, columns) in &laid.boxes {
            let own = laid.part(structure, columns, &window);
            if let Some(own) = own {
                parts.entry(*part).or_default().push(own);
            }
        }
        self.written(&parts, &|grid, batch, part| batch.clear(grid, part))
    }

    /// Removes all data from a window like [`Grid::delete`], and takes it off what counts as put, in
    /// every shard: all of them are to be open for writing here.
    ///
    /// # Errors
    ///
    /// Those of [`Grid::delete`] and of [`put`](Self::put).
    pub fn delete(&self, window: &Window) -> Result<Vec<Placed>> {
        let _nobody_follows = lock(&self.inner.following);
        let gates = self.gates(0..self.inner.laid.parts);
        let _still = entered(&gates);
        let all = self.view(false)?.state;
        let shards = self.shards_of(0..gates.len())?;
        for (_, grid) in &shards {
            adopt(grid, &all)?;
        }
        let mut done = Vec::new();
        for (shard, grid) in shards {
            let commit = grid.delete(window).map_err(|e| partly(&shard, &done, e))?;
            done.push(Placed { shard, commit });
        }
        Ok(done)
    }

    /// The names and grids of shards, all to be written to.
    fn shards_of(&self, parts: impl IntoIterator<Item = usize>) -> Result<Vec<(String, Grid)>> {
        let members = self.members();
        parts
            .into_iter()
            .map(|part| members.writable(part))
            .collect()
    }

    /// The parts of a window, all of which somebody must own.
    fn owned(&self, window: &Window) -> Result<ShardWindows> {
        let Inner { grid, laid, .. } = self.inner.as_ref();
        let structure = grid.structure();
        structure.check(window).map_err(|e| grid.blame(e))?;
        let (d, level) = (laid.border.dimension, laid.border.level);
        let name = structure.dimensions()[d].name();
        let levels = window.levels(structure.dimensions().len());
        if levels[d] > level {
            return Err(grid.blame(Error::invalid(format!(
                "cells at level {} of dimension `{name}` at {:?} are coarser than the columns of its shards, which are at level {level}: put them at level {level} or finer",
                levels[d],
                window.start()
            ))));
        }
        let (mut parts, mut rest) = (ShardWindows::new(), vec![*window]);
        for (part, columns) in &laid.boxes {
            if let Some(own) = laid.part(structure, columns, window) {
                rest = rest
                    .into_iter()
                    .flat_map(|part| part.without(&own))
                    .collect();
                parts.entry(*part).or_default().push(own);
            }
        }
        match rest.first() {
            None => Ok(parts),
            Some(nobodys) => Err(grid.blame(Error::invalid(format!(
                "no shard owns the cells from {:?} to before {:?} along dimension `{name}`: put within the columns of its shards",
                nobodys.start(),
                nobodys.end()
            )))),
        }
    }

    /// Fills a batch for each shard, tries all of them where there are several, and commits them.
    fn written<'a>(
        &self,
        parts: &ShardWindows,
        fill: &dyn Fn(&Grid, &mut Batch<'a>, &Window) -> Result<()>,
    ) -> Result<Vec<Placed>> {
        let gates = self.gates(parts.keys().copied());
        // While it is held nothing is computed in the caller's pool, where others may move shards.
        let _still = entered(&gates);
        let shards = self.shards_of(parts.keys().copied())?;
        self.tell(&shards)?;
        let mut batches = Vec::new();
        for ((shard, grid), windows) in shards.into_iter().zip(parts.values()) {
            let mut batch = grid.store().batch();
            for window in windows {
                fill(&grid, &mut batch, window)
                    .map_err(|e| e.within(format!("shard `{shard}` refuses its part")))?;
            }
            batches.push((shard, batch));
        }
        if batches.len() > 1 {
            let workers = self.inner.grid.store().workers();
            batches.iter().try_for_each(|(shard, batch)| {
                workers
                    .run(|| batch.rehearse())
                    .map_err(|e| e.within(format!("shard `{shard}` refuses its part")))
            })?;
        }
        let mut done: Vec<Placed> = Vec::new();
        for (shard, batch) in batches {
            let commit = batch.commit().map_err(|e| partly(&shard, &done, e))?;
            done.push(Placed { shard, commit });
        }
        Ok(done)
    }

    /// Tells shards that hold nothing yet at which levels the others have base data.
    fn tell(&self, shards: &[(String, Grid)]) -> Result<()> {
        let mut all = None;
        for (shard, grid) in shards {
            let failed = |e: Error| e.within(format!("shard `{shard}` cannot be put into"));
            if grid.bounds().map_err(failed)?.is_none() {
                let known = match all {
                    Some(known) => known,
                    None => *all.insert(self.view(false)?.state),
                };
                adopt(grid, &known).map_err(failed)?;
            }
        }
        Ok(())
    }
}

/// Keeps shards from being moved.
fn entered(gates: &[Gate]) -> Vec<RwLockReadGuard<'_, ()>> {
    gates
        .iter()
        .map(|gate| gate.read().unwrap_or_else(PoisonError::into_inner))
        .collect()
}

/// The cells of a part of a window.
fn part_of<'v>(array: &ArrayView<'v>, window: &Window, part: &Window) -> ArrayView<'v> {
    let from = |axis: usize| {
        let first = part.start()[axis].abs_diff(window.start()[axis]);
        usize::try_from(first).unwrap_or(usize::MAX)
    };
    let len = |axis: usize| usize::try_from(part.shape()[axis]).unwrap_or(usize::MAX);
    with_view!(ArrayView, array, |view| {
        let mut view = view.clone();
        for axis in 0..view.ndim() {
            view.slice_axis_inplace(
                Axis(axis),
                Slice::from(from(axis)..from(axis).saturating_add(len(axis))),
            );
        }
        ArrayView::from(view)
    })
}

/// The error of a shard behind others that are done.
fn partly(shard: &str, done: &[Placed], error: Error) -> Error {
    let names: Vec<&str> = done.iter().map(|placed| placed.shard.as_str()).collect();
    let rest = match names.as_slice() {
        [] => "nothing was changed before".to_owned(),
        names => format!(
            "the parts of {} are in: do the same again once this is mended",
            names.join(", ")
        ),
    };
    error.within(format!("shard `{shard}` failed; {rest}"))
}
