//! Tightening what a grid remembers of data that is gone.

use super::clear;
use crate::error::{Error, ErrorKind, Result};
use crate::grid::{Level, Structure, Window};
use crate::key::{ChunkKey, LayerId, MarkKey};
use crate::kv::{Batch, Durability, Space};
use crate::store::{Base, ChunkInfo, Grid, State, write_state};

/// How often it is tried while others write.
const TRIES: usize = 16;

/// What [`Grid::clean`] found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cleaned {
    /// Base chunks that there are.
    pub chunks: u64,
    /// Whether bounds, base levels or the top came down.
    pub changed: bool,
}

/// Brings the records of a grid down to what is there. Each commit leaves a whole grid, so it can
/// be cut short and done again.
pub(crate) fn clean(grid: &Grid) -> Result<Cleaned> {
    for _ in 0..TRIES {
        grid.aggregate()?;
        match attempt(grid) {
            Err(error) if *error.kind() == ErrorKind::Conflict => {}
            Ok(cleaned) => {
                grid.aggregate()?;
                return Ok(cleaned);
            }
            Err(error) => return Err(error),
        }
    }
    Err(grid.blame(Error::new(
        ErrorKind::Conflict,
        "others write all the time; try again when they rest",
    )))
}

fn attempt(grid: &Grid) -> Result<Cleaned> {
    let snapshot = grid.present()?;
    let (chunks, structure) = (grid.chunk_reader(snapshot.as_ref()), grid.structure());
    let old = grid.state(snapshot.as_ref())?;
    let mut cleaned = Cleaned::default();
    let Some(base) = old.base else {
        return Ok(cleaned);
    };
    let mut held: Option<Window> = None;
    let mut levels: Vec<Level> = Vec::new();
    grid.directory(
        snapshot.as_ref(),
        ChunkKey::layer(grid.id(), LayerId::BASE),
        &mut |chunk| {
            let Some(window) = holding(structure, &base, &chunk) else {
                return;
            };
            cleaned.chunks += 1;
            levels.extend(base.refinable().map(|d| chunk.location.levels()[d]));
            held = Some(held.map_or(window, |held| structure.union(&held, &window)));
        },
    )?;
    let used: Option<Base> = if base.refinable().is_some() {
        base.only(levels)
    } else {
        Some(base)
    };
    let bounds = held
        .zip(old.bounds)
        .and_then(|(held, bounds)| structure.intersection(&held, &bounds));
    let new = match bounds.zip(used) {
        Some((bounds, base)) => State {
            bounds: Some(structure.cover(&bounds, base.cells())),
            base: Some(base),
            ..old
        },
        None => State {
            ceiling: old.ceiling,
            ..State::default()
        },
    };
    if new == old {
        return Ok(cleaned);
    }
    cleaned.changed = true;
    let mut batch = Batch::at(snapshot.as_ref());
    grid.expect_schema(snapshot.as_ref(), &mut batch)?;
    batch.expect_range(Space::Dirty, MarkKey::all(grid.id()));
    clear::expect_alone(chunks, &mut batch, &new)?;
    write_state(&mut batch, grid.id(), &old, &new)?;
    if new.bounds.is_none() {
        clear::wipe(grid, snapshot.as_ref(), &mut batch)?;
    }
    grid.store().commit(batch, Durability::Sync)?;
    Ok(cleaned)
}

/// The box of base cells in which all that a base chunk holds lies.
fn holding(structure: &Structure, base: &Base, chunk: &ChunkInfo) -> Option<Window> {
    let window = structure.cover(&structure.chunk_window(&chunk.location), base.cells());
    let Some(irregular) = structure.irregular_axis() else {
        return Some(window);
    };
    let ticks = chunk.ticks.as_deref()?;
    let (first, last) = (ticks.first()?, ticks.last()?);
    Some(window.along(
        irregular.axis,
        *first,
        last.abs_diff(*first).saturating_add(1),
    ))
}
