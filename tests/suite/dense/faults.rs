//! Calls of the engine that fail in the midst of a step: what it did is there whole or not at all,
//! and whoever asked is told.

use std::sync::Arc;

use gridstone::kv::Failure;
use gridstone::{Error, ErrorKind, Policy};

use super::play::{Host, Stage, text};
use super::step::{Ending, Op};
use crate::check::Dice;

impl Stage<'_> {
    /// Does an op while a call of the engine fails, and opens the store again.
    pub(super) fn fail(&mut self, op: &Op, call: u64, after: bool) -> Result<(), String> {
        let Host::Memory(engine) = &self.host else {
            return self.done(op).map(drop);
        };
        let engine = Arc::clone(engine);
        if matches!(op, Op::Follow) {
            self.make_copy()?;
        }
        engine.fail_once(
            call,
            if after {
                Failure::After
            } else {
                Failure::Before
            },
        );
        self.failing = true;
        let done = self.done(op);
        self.failing = false;
        engine.heal();
        done?;
        let fell = std::mem::take(&mut self.fell);
        self.reopen(Ending::Kill, self.policy)?;
        match op {
            // A copy that was cut short is a part of one, and goes on where it was.
            Op::Follow => self.follow(),
            _ if fell => self.recall(),
            _ => Ok(()),
        }
    }

    /// Whether a call failed because its engine did.
    pub(super) fn excuses(&self, error: &Error) -> bool {
        self.failing && matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Poisoned)
    }

    /// What a call gave; nothing if it failed because its engine did.
    pub(super) fn met<T>(&mut self, done: gridstone::Result<T>) -> Result<Option<T>, String> {
        match done {
            Ok(done) => Ok(Some(done)),
            Err(error) if self.excuses(&error) => {
                self.fell = true;
                Ok(None)
            }
            Err(error) => Err(text(error)),
        }
    }

    /// Reads while a call fails: that is an error, or it made no difference.
    pub(super) fn fail_reads(&self, seed: u64) -> Result<(), String> {
        let Host::Memory(engine) = &self.host else {
            return Ok(());
        };
        // The store's own threads would meet the failure.
        if self.policy == Policy::Background {
            return Ok(());
        }
        let mut dice = Dice(seed);
        self.grids
            .iter()
            .try_for_each(|played| played.watch.fail(&played.grid, engine, &mut dice))
    }
}
