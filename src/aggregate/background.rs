//! The life of the threads that aggregate in the background, and how commits wait for them.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::step;
use crate::error::{Error, ErrorKind, Result};
use crate::key::GridId;
use crate::store::{CommitRoom, Grid, Outcome, Policy, Store, Workers};

/// The life of a background thread.
pub(crate) fn run(store: &Store) {
    let mut grids = HashMap::new();
    while let Some(id) = store.backlog().take(&|| store.now()) {
        let turn = || match grid_of(store, &mut grids, id).and_then(|grid| step(&grid)) {
            // It has another layer since.
            Err(error) if *error.kind() == ErrorKind::Expired => {
                grids.remove(&id);
                grid_of(store, &mut grids, id).and_then(|grid| step(&grid))
            }
            done => done,
        };
        let outcome = match catch_unwind(AssertUnwindSafe(turn)) {
            Ok(Ok(Some(_))) => Outcome::More,
            Ok(Ok(None)) => Outcome::Done,
            Ok(Err(error)) => {
                let why = error.sentence();
                tracing::warn!(
                    grid = id.0,
                    error = why,
                    "aggregation in the background failed"
                );
                let kind = error.kind();
                if [ErrorKind::Poisoned, ErrorKind::Fenced].contains(kind) {
                    store.backlog().poison(kind.clone(), why.clone());
                }
                if *error.kind() == ErrorKind::Corrupt {
                    Outcome::Blocked(why)
                } else {
                    Outcome::Failed(why)
                }
            }
            Err(panic) => {
                let why = format!(
                    "aggregation of grid number {} panicked: {}",
                    id.0,
                    message(panic.as_ref())
                );
                tracing::error!(
                    grid = id.0,
                    error = why,
                    "aggregation in the background panicked"
                );
                store.backlog().poison(ErrorKind::Poisoned, why.clone());
                Outcome::Failed(why)
            }
        };
        store.backlog().hand_back(id, outcome, store.now());
    }
}

fn grid_of(store: &Store, grids: &mut HashMap<GridId, Grid>, id: GridId) -> Result<Grid> {
    if !grids.contains_key(&id) {
        grids.extend(
            store
                .shown()?
                .grids
                .into_iter()
                .map(|grid| (grid.id(), grid)),
        );
    }
    grids
        .get(&id)
        .cloned()
        .ok_or_else(|| Error::not_found(format!("there is no grid of number {}", id.0)))
}

/// Lets a commit into a grid begin. Under [`Policy::Background`] it waits until the grid has fewer
/// marks pending than the store allows, or does a part of their work.
pub(crate) fn make_room(grid: &Grid) -> Result<()> {
    let store = grid.store();
    store.backlog().admit()?;
    if store.policy() != Policy::Background || Workers::is_one() {
        return Ok(());
    }
    let marks_max = store.marks_max();
    while store.backlog().make_room(grid.id(), marks_max)? == CommitRoom::Help {
        tracing::debug!(grid = grid.name(), marks_max, "a commit aggregates first");
        let mut turn = HeldTurn {
            grid,
            outcome: Some(Outcome::More),
        };
        match step(grid) {
            Ok(Some(_)) => {}
            Ok(None) => turn.outcome = Some(Outcome::Done),
            Err(error) => {
                turn.outcome = Some(Outcome::Failed(error.sentence()));
                let text = format!(
                    "grid `{}`: more than {marks_max} marks are pending and cannot be aggregated",
                    grid.name()
                );
                return Err(error.within(text));
            }
        }
    }
    Ok(())
}

/// A turn that is handed back whatever happens.
struct HeldTurn<'a> {
    grid: &'a Grid,
    outcome: Option<Outcome>,
}

impl Drop for HeldTurn<'_> {
    fn drop(&mut self) {
        let store = self.grid.store();
        store.backlog().hand_back(
            self.grid.id(),
            self.outcome.take().unwrap_or(Outcome::More),
            store.now(),
        );
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
