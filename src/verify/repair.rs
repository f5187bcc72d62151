//! Repair: what cannot be read of the base is put aside, and aggregates are made anew from the
//! base.

use std::collections::BTreeSet;

use super::{Damage, Finding, Report, records};
use crate::aggregate;
use crate::error::{ErrorKind, Result};
use crate::grid::Location;
use crate::key::meta;
use crate::kv::{Batch, Durability, Space};
use crate::ledger;
use crate::store::{Grid, Store};

/// A base chunk that could not be read, and was taken out of its grid.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quarantined {
    /// The grid.
    pub grid: String,
    /// Where the chunk stood. There is no data any more until it is put anew.
    pub location: Location,
    /// What was wrong.
    pub message: String,
    /// The chunk's bytes as they were stored, if those can be read.
    pub bytes: Option<Vec<u8>>,
}

/// What [`Store::repair`] found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repaired {
    /// What was wrong before.
    pub findings: Vec<Finding>,
    /// Base chunks that are no longer there.
    pub quarantined: Vec<Quarantined>,
    /// Grids whose aggregates were all made anew.
    pub rebuilt: Vec<String>,
    /// What is wrong still.
    pub left: Report,
}

impl Store {
    /// Verifies the store and mends what can be mended: base chunks that cannot be read are taken
    /// out of their grids, and handed over with what can be read of their bytes; where an aggregate
    /// is damaged, all of its grid's are made anew from the base; records of which a bit has
    /// flipped are written anew, and a ledger of imports that is damaged otherwise is taken away.
    /// Nothing is done to grids without findings.
    ///
    /// # Errors
    ///
    /// Those of [`verify`](Self::verify), [`Grid::clear`] and [`Grid::aggregate`]. It can be called
    /// again.
    pub fn repair(&self) -> Result<Repaired> {
        let mut repaired = Repaired {
            findings: self.verify()?.findings,
            ..Repaired::default()
        };
        records::mend(self)?;
        for grid in self.shown()?.grids {
            let name = grid.name();
            forget_damaged_ledger(&grid)?;
            let of: Vec<&Finding> = repaired
                .findings
                .iter()
                .filter(|finding| finding.grid.as_ref() == Some(&name))
                .collect();
            let is_base = |finding: &&&Finding| finding.layer.as_deref() == Some("base");
            let unreadable = [Damage::Chunk, Damage::Directory];
            let mut lost: BTreeSet<Location> = BTreeSet::new();
            for finding in of
                .iter()
                .filter(is_base)
                .filter(|finding| unreadable.contains(&finding.damage))
            {
                if let Some(location) = finding.location.filter(|location| lost.insert(*location)) {
                    let bytes = readable(&grid, &location)?;
                    let message = finding.message.clone();
                    repaired.quarantined.push(Quarantined {
                        grid: name.clone(),
                        location,
                        message,
                        bytes,
                    });
                }
            }
            let aggregates = of
                .iter()
                .any(|finding| finding.damage != Damage::Record && !is_base(&finding));
            if aggregates || !lost.is_empty() {
                aggregate::rebuild(&grid, &lost)?;
                repaired.rebuilt.push(name);
            }
        }
        repaired.left = self.verify()?;
        Ok(repaired)
    }
}

/// Takes away a ledger that cannot be read: the next import puts all again.
fn forget_damaged_ledger(grid: &Grid) -> Result<()> {
    let snapshot = grid.snapshot()?;
    if ledger::wrong_record(grid, snapshot.as_ref())?.is_none() {
        return Ok(());
    }
    let mut batch = Batch::at(snapshot.as_ref());
    batch.expect_key(Space::Meta, meta::ledger(grid.id()));
    ledger::forget(grid.id(), &mut batch);
    grid.store().commit(batch, Durability::Sync).map(drop)
}

/// What can be read of a base chunk.
fn readable(grid: &Grid, at: &Location) -> Result<Option<Vec<u8>>> {
    let snapshot = grid.snapshot()?;
    match grid.chunk_reader(snapshot.as_ref()).raw_base(at) {
        Err(error) if *error.kind() == ErrorKind::Corrupt => Ok(None),
        bytes => bytes,
    }
}
