//! `gridstone verify`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::terminal::{Terminal, bytes, count};
use super::{Outcome, open};

/// Read every value of a store, and compare every aggregate with its recomputation
///
/// Exit code 0 if all is well, 1 if there is damage; each finding is a line.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gridstone verify store")]
pub(super) struct Verify {
    /// The directory of the store
    store: PathBuf,
    /// Print {"ok", "grids", "chunks", "bytes", "recomputed", "marks", "findings": [{"damage", "grid", "message"}]}
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) fn run(self, terminal: &Terminal) -> Outcome {
        let report = open(&self.store)?.verify()?;
        let ok = report.findings.is_empty();
        if self.json {
            let finding = |finding: &crate::Finding| {
                let damage = format!("{:?}", finding.damage).to_lowercase();
                json!({ "damage": damage, "grid": finding.grid, "message": finding.message })
            };
            terminal.print_json(&json!({
                "ok": ok, "grids": report.grids, "chunks": report.chunks, "bytes": report.bytes, "recomputed": report.recomputed,
                "marks": report.marks, "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
            }))?;
        } else {
            for finding in &report.findings {
                terminal.print(finding.to_string())?;
            }
            terminal.print(format!(
                "{}: {} in {}, {} read, {} recomputed, {} pending",
                if ok { "sound".to_owned() } else { count(report.findings.len() as u64, "finding") },
                count(report.chunks, "chunk"),
                count(report.grids, "grid"),
                bytes(report.bytes),
                count(report.recomputed, "aggregate"),
                count(report.marks, "mark"),
            ))?;
        }
        Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
