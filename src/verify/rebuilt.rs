//! The proof that trusts no aggregate: a grid is built anew from its base, and both pyramids are
//! compared.

use super::report::{Damage, Finding, Report};
use crate::error::{Error, ErrorKind, Result};
use crate::grid::Location;
use crate::key::{ChunkKey, LayerId};
use crate::kv::{Snapshot, Space, for_each_page};
use crate::store::{Grid, Store};

impl Store {
    /// Verifies the store like [`verify`](Self::verify), then copies the base of every grid into
    /// `scratch`, aggregates it there, and compares each stored aggregate with what came of it.
    /// [`verify`](Self::verify) compares each with its own children, which comes to the same if the
    /// code is right. `scratch` is a store without grids, in memory or on a disk with room for one
    /// grid of this store at a time, whose own aggregators it knows. Grids along an irregular
    /// dimension are verified only.
    ///
    /// # Errors
    ///
    /// Those of [`verify`](Self::verify); [`Invalid`](ErrorKind::Invalid) if a grid waits to be
    /// aggregated, or `scratch` has grids; [`Conflict`](ErrorKind::Conflict) if a grid is written
    /// to meanwhile.
    pub fn verify_rebuilt(&self, scratch: &Store) -> Result<Report> {
        if !scratch.grids()?.is_empty() {
            return Err(Error::invalid(
                "the store to rebuild in has grids; give an empty one",
            ));
        }
        let mut report = self.verify()?;
        for grid in self.grids()? {
            if grid.structure().irregular_axis().is_some() || grid.layers().is_empty() {
                continue;
            }
            let name = grid.name();
            if grid.marks()? > 0 {
                let text = format!(
                    "grid `{name}` waits to be aggregated, so that its aggregates cannot be compared; aggregate it first"
                );
                return Err(Error::invalid(text));
            }
            let token = grid.changes_token()?;
            let anew = scratch.create(&name, grid.schema().clone())?;
            match anew.update_from(&grid).and_then(|_| anew.aggregate()) {
                // What cannot be read was found already.
                Err(error) if *error.kind() == ErrorKind::Corrupt => {}
                Err(error) => return Err(error),
                Ok(_) => compare(&grid, &anew, &mut report)?,
            }
            // First, so that it can be tried again.
            scratch.drop_grid(&name)?;
            if grid.changes_token()? != token {
                let text = format!(
                    "grid `{name}` was written to while it was rebuilt; verify again, at best while nobody writes"
                );
                return Err(Error::new(ErrorKind::Conflict, text));
            }
        }
        Ok(report)
    }
}

/// Compares the aggregates of two grids with the same base.
fn compare(grid: &Grid, anew: &Grid, report: &mut Report) -> Result<()> {
    let (stored, built) = (grid.store().current()?, anew.store().current()?);
    let (ours, theirs) = (
        grid.chunk_reader(stored.as_ref()),
        anew.chunk_reader(built.as_ref()),
    );
    let mut find = |damage, layer: LayerId, at, what: &str| {
        report
            .findings
            .push(Finding::at(grid, damage, (layer, &at), what))
    };
    let mut compared = 0;
    for at in aggregates(grid, stored.as_ref())? {
        if !theirs.exists(LayerId::FIRST, &at)? {
            find(
                Damage::Stray,
                LayerId::FIRST,
                at,
                "is not there when the pyramid is built anew",
            );
            continue;
        }
        let of_grid = match ours.aggregates(&at, None) {
            Err(error) if *error.kind() == ErrorKind::Corrupt => continue,
            of_grid => of_grid?,
        };
        for ((layer, a), b) in grid
            .layers()
            .iter()
            .zip(of_grid.iter().flatten())
            .zip(theirs.aggregates(&at, None)?.iter().flatten())
        {
            compared += 1;
            if !a.is(b) {
                find(
                    Damage::Wrong,
                    layer.id,
                    at,
                    "differs from that of a pyramid built anew",
                );
            }
        }
    }
    for at in aggregates(anew, built.as_ref())? {
        if !ours.exists(LayerId::FIRST, &at)? {
            find(
                Damage::Missing,
                LayerId::FIRST,
                at,
                "is missing, and is there when the pyramid is built anew",
            );
        }
    }
    report.recomputed += compared;
    Ok(())
}

/// Where a grid has aggregates.
fn aggregates(grid: &Grid, snapshot: &dyn Snapshot) -> Result<Vec<Location>> {
    let mut places = Vec::new();
    for_each_page(
        snapshot,
        Space::Directory,
        ChunkKey::layer(grid.id(), LayerId::FIRST),
        4096,
        |entries| {
            let known = entries
                .iter()
                .filter_map(|(key, _)| ChunkKey::decode(grid.id(), grid.structure(), key).ok());
            places.extend(known.map(|(_, at)| at));
            Ok(())
        },
    )?;
    Ok(places)
}
