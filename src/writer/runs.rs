//! A batch as runs of puts. Within a run puts are computed together, each chunk once; a later run
//! is computed from what those before it leave, as if they had been committed.

use std::collections::BTreeMap;

use super::batch::{Content, Put};
use super::{Added, Commit, PutWriter};
use crate::aggregate;
use crate::dirty::{self, Edge, Marks};
use crate::error::{ErrorKind, Result};
use crate::feed::{self, Changed};
use crate::grid::{Levels, Structure};
use crate::key::Ticks;
use crate::kv::{self, Overlay, Snapshot, Space};
use crate::store::{BatchNumber, Grid};

/// Bytes of a batch of several runs beyond which aggregates are left to later commits.
const INLINE_BYTES_MAX: usize = 1 << 28;

/// What a run is made of: arrays of which none is coarser than one before it, so that it cannot lie
/// over finer data of the run; or removals in cells of the same levels; or one removal that ends
/// what counts as put.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RunKind {
    Arrays,
    Removals(Levels),
    Cut,
}

/// The runs of a batch's puts into one grid.
fn runs<'p, 'a>(structure: &Structure, puts: &[&'p Put<'a>]) -> Vec<Vec<&'p Put<'a>>> {
    let levels = |put: &Put<'_>| put.window.levels(structure.dimensions().len());
    let kind = |put: &Put<'_>| match put.content {
        Content::Array(..) => RunKind::Arrays,
        Content::Nothing { shrink: false } => RunKind::Removals(levels(put)),
        Content::Nothing { shrink: true } => RunKind::Cut,
    };
    let joins = |before: &Put<'_>, put: &Put<'_>| match (kind(before), kind(put)) {
        (RunKind::Arrays, RunKind::Arrays) => levels(before).covers(&levels(put)),
        (RunKind::Removals(before), RunKind::Removals(levels)) => before == levels,
        _ => false,
    };
    puts.chunk_by(|before, put| joins(before, put))
        .map(<[_]>::to_vec)
        .collect()
}

/// Adds all that puts into one grid do to a batch, computed from one snapshot. `inline` says
/// whether aggregates may be brought up to date in it.
pub(super) fn write(
    grid: &Grid,
    snapshot: &dyn Snapshot,
    puts: &[&Put<'_>],
    (number, inline): (&BatchNumber, bool),
) -> Result<(kv::Batch, Commit)> {
    let runs = runs(grid.structure(), puts);
    let (mut batch, done) = match runs.as_slice() {
        [run] => alone(grid, snapshot, run, (number, inline))?,
        runs => together(grid, snapshot, runs, (number, inline))?,
    };
    if let Some(changed) = done.changed {
        feed::record(grid, &mut batch, number, changed)?;
    }
    let marks = batch
        .writes()
        .iter()
        .filter(|write| write.space == Space::Dirty && write.value.is_some())
        .count() as u64;
    let Added {
        chunks,
        aggregates,
        bytes,
        ..
    } = done;
    Ok((
        batch,
        Commit {
            sequence: number.get(),
            chunks,
            aggregates,
            bytes,
            marks,
        },
    ))
}

fn alone(
    grid: &Grid,
    snapshot: &dyn Snapshot,
    run: &[&Put<'_>],
    (number, inline): (&BatchNumber, bool),
) -> Result<(kv::Batch, Added)> {
    let mut batch = kv::Batch::at(snapshot);
    let mut done = PutWriter::new(grid, snapshot, run.to_vec())?.write(&mut batch, inline)?;
    dirty::mark(
        grid,
        &mut batch,
        std::mem::take(&mut done.marks),
        number.get(),
    );
    Ok((batch, done))
}

fn together(
    grid: &Grid,
    snapshot: &dyn Snapshot,
    runs: &[Vec<&Put<'_>>],
    (number, inline): (&BatchNumber, bool),
) -> Result<(kv::Batch, Added)> {
    let mut overlay = Overlay::new(snapshot);
    let (mut all, mut marks): (Added, BTreeMap<Edge, Option<Ticks>>) =
        (Added::default(), BTreeMap::new());
    for run in runs {
        let mut batch = kv::Batch::at(&overlay);
        let done = PutWriter::new(grid, &overlay, run.clone())?.write(&mut batch, false)?;
        if done.wiped {
            marks.clear();
        }
        for (edge, ticks) in &done.marks {
            let both = marks.get(edge).map_or_else(
                || ticks.clone(),
                |before| both(before.as_ref(), ticks.as_ref()),
            );
            marks.insert(*edge, both.clone());
            dirty::mark(grid, &mut batch, [(*edge, both)], number.get());
        }
        all.add(done);
        overlay.add(batch)?;
    }
    // Where nothing else is pending, all that is comes from here.
    let mut inline = inline && !Marks::pend(grid, snapshot)?;
    while inline && overlay.size() < INLINE_BYTES_MAX {
        let mut batch = kv::Batch::at(&overlay);
        match aggregate::advance(grid, &overlay, (&mut batch, number.get())) {
            Ok(Some((done, changed))) => {
                all.add(Added {
                    aggregates: done.chunks,
                    bytes: done.bytes,
                    changed,
                    ..Added::default()
                });
                overlay.add(batch)?;
            }
            Ok(None) => inline = false,
            // What is damaged above is for later commits, which know how to go around it.
            Err(error) if *error.kind() == ErrorKind::Corrupt => inline = false,
            Err(error) => return Err(error),
        }
    }
    Ok((overlay.into_batch(), all))
}

impl Added {
    /// Adds what came after it, but for its marks.
    fn add(&mut self, later: Added) {
        self.chunks += later.chunks;
        self.aggregates += later.aggregates;
        self.bytes += later.bytes;
        self.changed = match (self.changed.take(), later.changed) {
            (Some(changed), Some(later)) => Some(Changed::and(changed, later)),
            (changed, later) => changed.or(later),
        };
    }
}

/// The events that either of two marks is for; all if one of them is for all.
fn both(a: Option<&Ticks>, b: Option<&Ticks>) -> Option<Ticks> {
    let mut ticks: Vec<i64> = a?.iter().chain(b?.iter()).copied().collect();
    ticks.sort_unstable();
    ticks.dedup();
    Ticks::new(ticks)
}
