//! `gridstone alter`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::aggregate::{self, Drained};
use super::args::Aggregators;
use super::terminal::{Terminal, count};
use super::{VerbOutcome, open};
use gridstone::adapter::text::quoted;

/// Add layers of aggregates to a grid
///
/// The grid has the layers at once, in one commit, all of them or none, and they are filled after
/// that; other layers stay as they are. Cut short, or with --no-aggregate, `gridstone aggregate` goes on: until then `read
/// --layer NAME` says what is out of date, and with --fresh computes it.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gridstone alter store dem --add-aggregator max")]
pub(super) struct Alter {
    /// The directory of the store
    store: PathBuf,
    /// The name of the grid
    grid: String,
    /// What the new layers are computed by, as in `gridstone create`: one, or several with commas
    #[arg(long, value_name = "NAMES", required = true)]
    add_aggregator: Aggregators,
    /// Leave marks for `gridstone aggregate` instead
    #[arg(long)]
    no_aggregate: bool,
    /// Print the summary as JSON: layers, aggregate_chunks, marks_drained, marks_pending, seconds
    #[arg(long)]
    json: bool,
}

impl Alter {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        let start = Instant::now();
        let Aggregators(added) = &self.add_aggregator;
        anyhow::ensure!(
            !added.is_empty(),
            "--add-aggregator none adds nothing; name an aggregator"
        );
        let store = open(&self.store)?;
        let old = store.grid(&self.grid)?;
        if let Some(there) = added
            .iter()
            .find(|of| old.schema().aggregators().contains(of))
        {
            anyhow::bail!(
                "grid `{0}` has the layer `{there}` already; what is left to be computed of it is by `gridstone aggregate {1} {0}`",
                self.grid,
                quoted(&self.store.display().to_string())
            );
        }
        let grid = store.add_aggregators(&self.grid, added.iter().cloned())?;
        let drained = if self.no_aggregate {
            Drained::default()
        } else {
            aggregate::drain(&grid, terminal)?
        };
        let pending = grid.marks()?;
        let layers: Vec<String> = grid
            .schema()
            .aggregators()
            .iter()
            .map(ToString::to_string)
            .collect();
        let seconds = start.elapsed().as_secs_f64();
        if self.json {
            terminal.print_json(&json!({
                "layers": layers, "aggregate_chunks": drained.chunks, "marks_drained": drained.marks,
                "marks_pending": pending, "seconds": seconds,
            }))?;
        } else {
            let left = if pending > 0 {
                format!(", {pending} left for `gridstone aggregate`")
            } else {
                String::new()
            };
            terminal.print(format!(
                "grid `{}` has the layers {}: {} written, {} drained{left}, {seconds:.2} s",
                self.grid,
                layers.join(", "),
                count(drained.chunks, "aggregate chunk"),
                count(drained.marks, "mark"),
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
