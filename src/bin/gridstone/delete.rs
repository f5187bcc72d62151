//! `gridstone delete`

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::consent::Consent;
use super::removal::Removal;
use super::select::PartArgs;
use super::terminal::Terminal;
use super::{VerbOutcome, open};

/// Remove old data: of a period, or an extent, and give the space back
///
/// Like `clear`, but where the part cuts off one side of what was put, as the oldest times do, the
/// grid's extent ends there afterwards. What is left is not read.
#[derive(Args, Debug)]
#[command(
    group = ArgGroup::new("part").required(true).multiple(true).args(["extent", "window", "period"]),
    after_help = "Example:\n  gridstone delete store rain --period 2018-09-13T00:00Z/2018-09-14T00:00Z --yes"
)]
pub(super) struct Delete {
    /// The directory of the store
    store: PathBuf,
    /// The name of the grid
    grid: String,
    #[command(flatten)]
    part: PartArgs,
    #[command(flatten)]
    consent: Consent,
    /// Print {"grid", "window", "written", "gone", "bytes", "seconds"}: the cells, chunks written
    /// or removed, by how many there are fewer, and by how many bytes
    #[arg(long)]
    json: bool,
}

const VERB: (&str, &str) = ("delete", "deleted");

impl Delete {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        let store = open(&self.store)?;
        let grid = store.grid(&self.grid)?;
        match self.part.window(terminal, &grid, None)? {
            Some(window) => Removal::of(&grid, VERB, &window, (&self.consent, self.json)).run(
                terminal,
                true,
                || grid.delete(&window),
            ),
            None => Removal::nothing(&grid, terminal, VERB.1, self.json),
        }
    }
}
