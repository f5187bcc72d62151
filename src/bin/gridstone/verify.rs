//! `gridstone verify`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::terminal::{Terminal, bytes, count};
use super::{VerbOutcome, open};
use gridstone::grid::Location;
use gridstone::verify::{Finding, Report, Thoroughness};
use gridstone::{Policy, Store};

/// Read every value of a store, and compare every aggregate with its recomputation
///
/// Exit code 0 if all is well, 1 if there is damage; each finding is a line. The check goes on
/// behind damage. `gridstone repair` mends what can be mended.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gridstone verify store")]
pub(super) struct Verify {
    /// The directory of the store
    store: PathBuf,
    /// Only read every value and compare its checksum; recompute nothing
    #[arg(long)]
    quick: bool,
    /// And build every pyramid anew from its base, in the system's temporary directory (TMPDIR),
    /// and compare
    #[arg(long, conflicts_with = "quick")]
    rebuild: bool,
    /// Print {"ok", "grids", "chunks", "bytes", "recomputed", "marks", "findings":
    /// [{"damage", "grid", "layer", "place", "message"}]}
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        let store = open(&self.store)?;
        let report = match (self.quick, self.rebuild) {
            (true, _) => store.verify_to(Thoroughness::Quick)?,
            (false, false) => store.verify()?,
            (false, true) => rebuilt(&store)?,
        };
        let ok = report.findings.is_empty();
        if self.json {
            terminal.print_json(&json!({
                "ok": ok, "grids": report.grids, "chunks": report.chunks, "bytes": report.bytes, "recomputed": report.recomputed,
                "marks": report.marks, "findings": report.findings.iter().map(|of| finding(&store, of)).collect::<Vec<_>>(),
            }))?;
        } else {
            for finding in &report.findings {
                terminal.print(finding.to_string())?;
            }
            terminal.print(format!(
                "{}: {} in {}, {} read, {} recomputed, {} pending",
                if ok {
                    "sound".to_owned()
                } else {
                    count(report.findings.len() as u64, "finding")
                },
                count(report.chunks, "chunk"),
                count(report.grids, "grid"),
                bytes(report.bytes),
                count(report.recomputed, "aggregate"),
                count(report.marks, "mark"),
            ))?;
        }
        Ok(if ok {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// Verifies with a store to rebuild in that is gone afterwards.
fn rebuilt(store: &Store) -> anyhow::Result<Report> {
    let place = std::env::temp_dir().join(format!("gridstone-rebuild-{}", std::process::id()));
    let scratch = Store::options().policy(Policy::Manual).open(&place)?;
    let report = store.verify_rebuilt(&scratch);
    drop(scratch);
    std::fs::remove_dir_all(&place)
        .with_context(|| format!("`{}` cannot be removed", place.display()))?;
    Ok(report?)
}

/// A finding, for programs.
pub(super) fn finding(store: &Store, finding: &Finding) -> Value {
    let damage = format!("{:?}", finding.damage).to_lowercase();
    let place = finding
        .grid
        .as_ref()
        .zip(finding.location)
        .map(|(grid, at)| place(store, grid, &at));
    json!({ "damage": damage, "grid": finding.grid, "layer": finding.layer, "place": place, "message": finding.message })
}

/// Where a chunk stands, for people.
pub(super) fn place(store: &Store, grid: &str, at: &Location) -> String {
    store
        .grid(grid)
        .map_or_else(|_| format!("{at:?}"), |grid| grid.structure().describe(at))
}
