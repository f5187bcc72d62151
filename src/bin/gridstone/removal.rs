//! What `clear` and `delete` have in common.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::{Value, json};

use super::consent::Consent;
use super::terminal::{Terminal, bytes, count};
use super::{VerbOutcome, json};
use gridstone::{Commit, Grid, Window};

/// The removal of a part of a grid's data.
pub(super) struct Removal<'a> {
    pub(super) grid: &'a Grid,
    /// What it is called, and in the past tense.
    pub(super) verb: (&'static str, &'static str),
    /// What is removed, for people, and for programs.
    pub(super) what: (String, Value),
    pub(super) consent: &'a Consent,
    pub(super) json: bool,
}

impl<'a> Removal<'a> {
    /// The removal of a window.
    pub(super) fn of(
        grid: &'a Grid,
        verb: (&'static str, &'static str),
        window: &Window,
        (consent, json): (&'a Consent, bool),
    ) -> Self {
        let structure = grid.structure();
        let level = json::levels_text(structure, window.levels(structure.dimensions().len()));
        let text = format!("{} at level {level}", json::window_text(structure, window));
        Self {
            grid,
            verb,
            what: (text, json::window(structure, window)),
            consent,
            json,
        }
    }

    /// The removal of what is in the polygons of a file.
    pub(super) fn of_polygon(
        grid: &'a Grid,
        verb: (&'static str, &'static str),
        file: &Path,
        (consent, json): (&'a Consent, bool),
    ) -> Self {
        Self {
            grid,
            verb,
            what: (format!("the polygons of {}", file.display()), Value::Null),
            consent,
            json,
        }
    }

    /// Says that there is nothing to remove.
    pub(super) fn nothing(grid: &Grid, terminal: &Terminal, past: &str, json: bool) -> VerbOutcome {
        if json {
            terminal.print_json(
                &json!({ "grid": grid.name(), "window": null, "written": 0, "gone": 0, "bytes": 0, "seconds": 0.0 }),
            )?;
        } else {
            terminal.print(format!(
                "{past} nothing: grid `{}` holds nothing there",
                grid.name()
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Asks, removes, brings the aggregates up to date, gives the space back if that is wanted, and
    /// says what came of it.
    pub(super) fn run(
        self,
        terminal: &Terminal,
        reclaim: bool,
        remove: impl FnOnce() -> gridstone::Result<Commit>,
    ) -> VerbOutcome {
        let (grid, (verb, past)) = (self.grid, self.verb);
        let what = format!("{} of grid `{}`", self.what.0, grid.name());
        self.consent.obtain(terminal, (verb, past), &what)?;
        let start = Instant::now();
        let before = stored(grid)?;
        let commit = remove()?;
        let aggregated = grid.aggregate()?;
        if reclaim {
            grid.compact()?;
        }
        let after = stored(grid)?;
        let written = commit.chunks + commit.aggregates + aggregated.chunks;
        let (gone, freed) = (
            before.0.saturating_sub(after.0),
            before.1.saturating_sub(after.1),
        );
        let seconds = start.elapsed().as_secs_f64();
        if self.json {
            terminal.print_json(&json!({
                "grid": grid.name(), "window": self.what.1, "written": written, "gone": gone, "bytes": freed, "seconds": seconds,
            }))?;
        } else {
            terminal.print(format!(
                "{past} {what}: {} written or removed, {gone} fewer than before, {} less, {seconds:.2} s",
                count(written, "chunk"),
                bytes(freed)
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// How many chunks there are, and their bytes.
fn stored(grid: &Grid) -> gridstone::Result<(u64, u64)> {
    let chunks = grid.stored_chunks()?;
    Ok((
        chunks.len() as u64,
        chunks.iter().map(|chunk| chunk.bytes).sum(),
    ))
}
