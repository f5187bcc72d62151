//! What a federation holds, as a grid's records say it: the box of all that was put into any shard,
//! the levels of base data in any, and how far all of them have built their pyramids.

use crate::error::{Error, ErrorKind, Result};
use crate::feed::{self, Changed};
use crate::grid::{Level, Levels, Structure, Window};
use crate::key::meta;
use crate::kv::{Batch, Durability, Space};
use crate::store::{
    Base, Grid, Pyramid, State, Store, expect_base_levels, write_reach, write_state,
};

/// The levels at which the columns of shards are: a dimension, and its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Border {
    pub(super) dimension: usize,
    pub(super) level: Level,
}

/// What two grids of one schema hold together; all else is the first one's.
///
/// # Errors
///
/// [`Invalid`](ErrorKind::Invalid) names the dimension along which they have base data at different
/// levels, although it is not refinable.
pub(super) fn united(structure: &Structure, a: &State, b: &State) -> Result<State> {
    let (Some(first), Some(second)) = (a.base, b.base) else {
        return Ok(State {
            bounds: a.bounds.or(b.bounds),
            base: a.base.or(b.base),
            ..*a
        });
    };
    let mut dimensions = structure.dimensions().iter().enumerate();
    let other = dimensions.find(|(d, _)| {
        Some(*d) != structure.refinable() && first.finest()[*d] != second.finest()[*d]
    });
    if let Some((d, dimension)) = other {
        return Err(Error::invalid(format!(
            "one shard has base data at level {} of dimension `{}`, another at level {}, and it is not refinable: open the store of one of them by itself, and delete all that is in its grid",
            first.finest()[d],
            dimension.name(),
            second.finest()[d]
        )));
    }
    let base = second.levels().fold(first, Base::with);
    let cells = base.cells();
    let cover = |bounds: Window| structure.cover(&bounds, cells);
    let bounds = match (a.bounds.map(cover), b.bounds.map(cover)) {
        (Some(a), Some(b)) => Some(structure.union(&a, &b)),
        (one, other) => one.or(other),
    };
    Ok(State {
        bounds,
        base: Some(base),
        ..*a
    })
}

/// The levels of the pyramid over all that is put into any shard.
pub(super) fn top(structure: &Structure, state: &State) -> Option<Levels> {
    state.pyramid(structure).map(|pyramid| pyramid.top)
}

/// Whether what was aggregated above shards that held the first state is of the same levels as what
/// is above shards that hold the second: base data may have come at further levels, but none gone.
pub(super) fn goes_on(structure: &Structure, before: &State, now: &State) -> bool {
    let (Some(before), Some(now)) = (before.base, now.base) else {
        return before.base.is_none();
    };
    let same = |d: usize| Some(d) == structure.refinable() || before.finest()[d] == now.finest()[d];
    (0..structure.dimensions().len()).all(same) && before.levels().all(|levels| now.has(levels))
}

/// The levels up to which answers are stored: what a shard has not built of them is marked in a
/// view for reading.
pub(super) fn reach_of_all(
    structure: &Structure,
    border: Border,
    state: &State,
    (above, shards): (Option<Levels>, &[State]),
) -> Option<Levels> {
    let (d, level) = (border.dimension, border.level);
    let top = top(structure, state)?;
    if let Some(above) = above.filter(|above| top[d] > level && above[d] > level) {
        return Some(above);
    }
    let built = shards.iter().filter_map(|shard| shard.reach);
    let built = built.reduce(|a, b| a.coarser_of(&b))?;
    // What a shard builds above its columns is not read.
    Some(built.with(d, built[d].min(level)))
}

/// What a shard has yet to build of the levels up to which answers are stored.
pub(super) fn to_build(border: Border, all: &State, shard: &State) -> Option<Pyramid> {
    let (base, reach) = (all.base?, all.reach?);
    let top = reach.with(border.dimension, reach[border.dimension].min(border.level));
    let built = shard.reach.unwrap_or(base.finest());
    shard.bounds?;
    (!built.covers(&top)).then_some(Pyramid {
        base,
        built: built.finer_of(&top),
        top,
    })
}

/// The levels from which the top goes on to raise what it has: those of the shards are theirs.
pub(super) fn reach_of_top(
    structure: &Structure,
    border: Border,
    (state, above): (&State, Option<Levels>),
) -> Option<Levels> {
    let (d, level) = (border.dimension, border.level);
    let top = top(structure, state)?;
    Some(match above.filter(|above| above[d] > level) {
        Some(above) => above,
        None => top.with(d, top[d].min(level)),
    })
}

/// A batch of the records that say a state; only to be looked at.
pub(super) fn records(grid: &Grid, state: &State) -> Result<Batch> {
    let mut batch = Batch::default();
    write_state(&mut batch, grid.id(), &State::default(), state)?;
    if let Some(reach) = state.reach {
        write_reach(&mut batch, grid.id(), reach)?;
    }
    Ok(batch)
}

/// Lets a shard know what the others hold, so that its pyramid goes as far as theirs. Whether it
/// did not.
pub(super) fn adopt(shard: &Grid, all: &State) -> Result<bool> {
    loop {
        let snapshot = shard.snapshot()?;
        let old = shard.state(snapshot.as_ref())?;
        let new = united(shard.structure(), &old, all)?;
        if new == old {
            return Ok(false);
        }
        let number = shard.store().reserve_sequence();
        let mut batch = Batch::at(snapshot.as_ref());
        batch.expect_key(Space::Meta, meta::schema(shard.id()));
        batch.expect_key(Space::Meta, meta::bounds(shard.id()));
        expect_base_levels(&mut batch, shard.id());
        if let (Some(before), Some(bounds), Some(base), Some(to)) = (
            old.bounds,
            new.bounds,
            new.base,
            old.summit(shard.structure()),
        ) && old.reach.is_some()
        {
            let before = shard.structure().cover(&before, base.cells());
            // Layers are read that were not before.
            let aggregates = bounds.without(&before);
            if !aggregates.is_empty() {
                let changed = Changed {
                    base: Vec::new(),
                    aggregates,
                    to,
                    finest: base.cells(),
                };
                feed::record(shard, &mut batch, &number, changed)?;
            }
        }
        write_state(&mut batch, shard.id(), &old, &new)?;
        Store::stamp(&mut batch, &number);
        match shard.store().commit(batch, Durability::Sync) {
            Err(error) if *error.kind() == ErrorKind::Conflict => {}
            committed => return committed.map(|_| true),
        }
    }
}
