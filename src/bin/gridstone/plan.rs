//! `gridstone plan`

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::files::{self, Files};
use super::terminal::{Terminal, bytes, count};
use super::{VerbOutcome, json, open};
use gridstone::adapter::source::{Import, Job};
use gridstone::{Grid, Overlap};

/// Say which chunks an import would change, and cut it into jobs of which no two write the same
/// chunk
///
/// Takes the options of `import` that say where files lie. It reads the headers of the files and no
/// cell, and writes nothing. What it predicts contains what the import changes: chunks in which no
/// file has data stay as they are.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gridstone plan store dem tiles/*.tif --jobs 8")]
pub(super) struct PlanImport {
    /// The directory of the store
    store: PathBuf,
    /// The name of the grid
    grid: String,
    #[command(flatten)]
    files: Files,
    /// How many jobs there are to be, if there are so many parts [default: one a processor]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Print {"files", "cells", "bytes", "base_chunks", "aggregate_chunks", "jobs":
    /// [{"stage", "files", "window", "chunks", "cells"}]}; the jobs of a stage can be done at once,
    /// after those of the stages before
    #[arg(long)]
    json: bool,
}

impl PlanImport {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        let store = open(&self.store)?;
        let grid = store.grid(&self.grid)?;
        let (imports, _) = self
            .files
            .imports(&grid, Overlap::default(), false, terminal)?;
        let jobs = self
            .jobs
            .map_or_else(rayon::current_num_threads, NonZeroUsize::get);
        let all: Vec<usize> = (0..imports.len()).collect();
        let plan = files::planned(&grid, &imports, (&all, jobs))?;
        let cells = files::cells(&imports);
        let aggregates = plan.aggregates.len() * grid.schema().aggregators().len();
        if self.json {
            terminal.print_json(&json!({
                "files": imports.len(), "cells": cells, "bytes": plan.bytes, "base_chunks": plan.base.len(),
                "aggregate_chunks": aggregates,
                "jobs": plan.jobs.iter().map(|job| as_json(&grid, &imports, job)).collect::<Vec<_>>(),
            }))?;
            return Ok(ExitCode::SUCCESS);
        }
        terminal.print(format!(
            "{}: {cells} cells, {}, {} ({} base, {aggregates} aggregate), {}",
            count(imports.len() as u64, "file"),
            bytes(plan.bytes),
            count((plan.base.len() + aggregates) as u64, "chunk"),
            plan.base.len(),
            count(plan.jobs.len() as u64, "job"),
        ))?;
        let staged = plan.jobs.last().is_some_and(|last| last.stage > 0);
        for (number, job) in plan.jobs.iter().enumerate() {
            let stage = if staged {
                format!(", stage {}", job.stage + 1)
            } else {
                String::new()
            };
            terminal.print(format!(
                "job {}{stage}: {}, {}, {} cells, {}",
                number + 1,
                count(job.sources.len() as u64, "file"),
                count(job.chunks, "base chunk"),
                job.cells,
                json::window_text(grid.structure(), &job.window),
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn as_json(grid: &Grid, imports: &[Import], job: &Job) -> Value {
    let files: Vec<&str> = job
        .sources
        .iter()
        .map(|number| imports[*number].footprint().name.as_str())
        .collect();
    json!({
        "stage": job.stage, "files": files, "window": json::window(grid.structure(), &job.window), "chunks": job.chunks,
        "cells": job.cells,
    })
}
