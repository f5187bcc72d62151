//! `gridstone explain`

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::select::SelectionArgs;
use super::terminal::Terminal;
use super::{VerbOutcome, json, open};

/// Say how `read` would answer: which level and layer, how many chunks, how many of them out of
/// date
///
/// Takes the options of `read`, and reads no chunk.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gridstone explain store dem --shape 512x640")]
pub(super) struct Explain {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Print {"levels", "layer", "window", "extent", "chunks", "stored", "stale", "resampling",
    /// "shape", "version"}; the version is the same as long as the answer's cells are
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        let store = open(&self.selection.store)?;
        let grid = store.grid(&self.selection.grid)?;
        let structure = grid.structure();
        let query = self.selection.query(terminal, &grid)?;
        let (plan, version) = (grid.explain(&query)?, grid.version(&query)?);
        let shape: Vec<u64> = match &plan.resampling {
            Some((_, shape)) => shape.iter().map(|len| *len as u64).collect(),
            None => plan.window.shape().to_vec(),
        };
        if self.json {
            terminal.print_json(&json!({
                "levels": json::levels(structure, plan.levels), "layer": plan.layer.to_string(),
                "window": json::window(structure, &plan.window), "extent": json::extent(structure, &plan.extent),
                "chunks": plan.chunks, "stored": plan.stored, "stale": plan.stale,
                "resampling": plan.resampling.as_ref().map(|(resampling, _)| resampling.to_string()),
                "shape": json::by_axis(structure, shape), "version": version.to_string(),
            }))?;
        } else {
            terminal.print(format!("{plan}\nversion: {version}"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
