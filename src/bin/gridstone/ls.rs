//! `gridstone ls`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::terminal::{Terminal, count};
use super::{VerbOutcome, info, json, open};

/// List the grids of a store, one a line
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gridstone ls store")]
pub(super) struct Ls {
    /// The directory of the store
    store: PathBuf,
    /// Print {"grids": [{"grid", "dtype", "cells", "extent", "marks"}]}; cells and extent are by
    /// axis, null before the first put
    #[arg(long)]
    json: bool,
}

impl Ls {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        let grids = open(&self.store)?.grids()?;
        if self.json {
            let mut rows = Vec::new();
            for grid in &grids {
                let cells = grid
                    .bounds()?
                    .map(|bounds| json::by_axis(grid.structure(), bounds.shape().iter().copied()));
                rows.push(json!({
                    "grid": grid.name(), "dtype": grid.schema().dtype().name(), "cells": cells,
                    "extent": grid.extent()?.map(|extent| json::extent(grid.structure(), &extent)), "marks": grid.marks()?,
                }));
            }
            terminal.print_json(&json!({ "grids": rows }))?;
            return Ok(ExitCode::SUCCESS);
        }
        let width = grids
            .iter()
            .map(|grid| grid.name().len())
            .max()
            .unwrap_or(0);
        for grid in &grids {
            let size = match grid.bounds()? {
                Some(bounds) => {
                    let mut lens: Vec<String> = bounds.shape().iter().map(u64::to_string).collect();
                    if let (Some(dimension), Some(events)) =
                        (grid.structure().irregular(), gridstone::wire::events(grid)?)
                    {
                        lens[grid.structure().axes_of(dimension).start] = count(events, "event");
                    }
                    lens.join(" x ") + " cells"
                }
                None => "empty".to_owned(),
            };
            let marks = grid.marks()?;
            let marks = if marks > 0 {
                format!(", {marks} marks pending")
            } else {
                String::new()
            };
            terminal.print(format!(
                "{:<width$}  {}; {size}{marks}",
                grid.name(),
                info::cells(grid)
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
