//! `gridstone clean`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::terminal::{Terminal, count};
use super::{VerbOutcome, open};
use gridstone::outcome::Cleaned;

/// Bring extent, base levels and top down to the data that is there, of one grid or of all
///
/// No data is removed. It can be cut short and done again.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gridstone clean store dem\n  gridstone clean store")]
pub(super) struct Clean {
    /// The directory of the store
    store: PathBuf,
    /// The name of the grid [default: all there are]
    grid: Option<String>,
    /// Print {"grid", "base_chunks", "changed", "seconds"}: base chunks there are, and whether
    /// anything came down; of all grids {"grids": [{"grid", "base_chunks", "changed"}], "seconds"}
    #[arg(long)]
    json: bool,
}

impl Clean {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        let store = open(&self.store)?;
        let start = Instant::now();
        let all = match &self.grid {
            Some(name) => vec![(name.clone(), store.grid(name)?.clean()?)],
            None => store.clean()?,
        };
        let seconds = start.elapsed().as_secs_f64();
        if self.json {
            let of = |(name, cleaned): &(String, Cleaned)| json!({ "grid": name, "base_chunks": cleaned.chunks, "changed": cleaned.changed });
            let mut answer = match (&self.grid, all.first()) {
                (Some(_), Some(only)) => of(only),
                _ => json!({ "grids": all.iter().map(of).collect::<Vec<_>>() }),
            };
            answer["seconds"] = json!(seconds);
            terminal.print_json(&answer)?;
            return Ok(ExitCode::SUCCESS);
        }
        for (name, cleaned) in &all {
            let came = if cleaned.changed {
                "brought down to"
            } else {
                "nothing to bring down:"
            };
            let chunks = count(cleaned.chunks, "base chunk");
            let time = if all.len() == 1 {
                format!(", {seconds:.2} s")
            } else {
                String::new()
            };
            terminal.print(format!("cleaned grid `{name}`: {came} {chunks}{time}"))?;
        }
        if all.len() != 1 {
            terminal.print(format!(
                "cleaned {}, {seconds:.2} s",
                count(all.len() as u64, "grid")
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
