//! `gridstone repair` and `gridstone salvage`

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::consent::Consent;
use super::terminal::{Terminal, count};
use super::{VerbOutcome, is_url, open, verify};
use gridstone::Store;
use gridstone::kv::Lost;
use gridstone::verify::Repaired;

/// Take base chunks that cannot be read out of a store, and make damaged aggregates anew
///
/// What can be read of such chunks goes to files in STORE/quarantine-N, with a report. Their cells
/// are no data until they are imported again. Exit code 0 if the store is sound then, 1 if not.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gridstone repair store --yes")]
pub(super) struct Repair {
    /// The directory of the store
    store: PathBuf,
    #[command(flatten)]
    consent: Consent,
    /// Print {"ok", "findings", "quarantined": [{"grid", "place", "message", "file"}], "rebuilt",
    /// "lost", "left"}
    #[arg(long)]
    json: bool,
}

impl Repair {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        let store = open(&self.store)?;
        let what = format!(
            "the store at {}: base chunks that cannot be read are taken out of it",
            self.store.display()
        );
        self.consent
            .obtain(terminal, ("repair", "repaired"), &what)?;
        told(&store, (&self.store, &[]), self.json, terminal)
    }
}

/// Write what can be read of a store into a new one, and list what cannot
///
/// The old store is only read, and stays as it is.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gridstone salvage store rescued")]
pub(super) struct Salvage {
    /// The directory of the damaged store
    store: PathBuf,
    /// The directory of the new one: not there, or empty
    new: PathBuf,
    /// Print {"ok", "findings", "quarantined": [{"grid", "place", "message", "file"}], "rebuilt",
    /// "lost", "left"}
    #[arg(long)]
    json: bool,
}

impl Salvage {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        let lost = Store::salvage(&self.store, &self.new)?;
        told(
            &Store::options()
                .create(false)
                .accept_data_loss(true)
                .open(&self.new)?,
            (&self.new, &lost),
            self.json,
            terminal,
        )
    }
}

/// Repairs a store, without tables that were lost, and tells what came of it.
fn told(
    store: &Store,
    (path, lost): (&Path, &[Lost]),
    as_json: bool,
    terminal: &Terminal,
) -> VerbOutcome {
    let repaired = store.repair()?;
    let files = keep(&repaired, path)?;
    let ok = repaired.left.findings.is_empty();
    if as_json {
        terminal.print_json(&report(store, &repaired, &files, lost))?;
    } else {
        for lost in lost {
            terminal.print(format!(
                "left out: the table {} of the space {} cannot be read",
                lost.file,
                space(lost)
            ))?;
        }
        for finding in &repaired.findings {
            terminal.print(finding.to_string())?;
        }
        for (chunk, file) in repaired.quarantined.iter().zip(&files) {
            let place = verify::place(store, &chunk.grid, &chunk.location);
            let kept = file
                .as_ref()
                .map_or("nothing of it can be read".to_owned(), |file| {
                    format!("kept as {}", file.display())
                });
            terminal.print(format!(
                "taken out of grid `{}`: the base chunk at {place}; {kept}",
                chunk.grid
            ))?;
        }
        for finding in &repaired.left.findings {
            terminal.print(format!("left: {finding}"))?;
        }
        terminal.print(format!(
            "{}: {}, {} taken out, aggregates made anew of {}",
            if ok { "sound" } else { "not sound" },
            count(repaired.findings.len() as u64, "finding"),
            count(repaired.quarantined.len() as u64, "base chunk"),
            count(repaired.rebuilt.len() as u64, "grid"),
        ))?;
    }
    Ok(if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Writes what was taken out into files, and a report beside them; a file for each chunk that could
/// be read.
fn keep(repaired: &Repaired, path: &Path) -> anyhow::Result<Vec<Option<PathBuf>>> {
    if repaired.quarantined.is_empty() {
        return Ok(Vec::new());
    }
    // Beside no directory, here.
    let path = if is_url(path) { Path::new("") } else { path };
    let free = (1..)
        .map(|number| path.join(format!("quarantine-{number}")))
        .find(|place| !place.exists());
    let place = free.context("there is no name left for a quarantine")?;
    fs::create_dir(&place).with_context(|| format!("{} cannot be made", place.display()))?;
    let mut files = Vec::new();
    let mut text = String::new();
    for (number, chunk) in repaired.quarantined.iter().enumerate() {
        let file = chunk
            .bytes
            .as_ref()
            .map(|_| place.join(format!("chunk-{number}.blob")));
        if let (Some(bytes), Some(file)) = (&chunk.bytes, &file) {
            fs::write(file, bytes)
                .with_context(|| format!("{} cannot be written", file.display()))?;
        }
        text += &format!("chunk-{number}: {}\n", chunk.message);
        files.push(file);
    }
    fs::write(place.join("report.txt"), text)
        .with_context(|| format!("{} cannot be written", place.display()))?;
    Ok(files)
}

/// Where the keys of a table were.
fn space(lost: &Lost) -> String {
    format!("{:?}", lost.space).to_lowercase()
}

fn report(store: &Store, repaired: &Repaired, files: &[Option<PathBuf>], lost: &[Lost]) -> Value {
    let chunks = repaired.quarantined.iter().zip(files).map(|(chunk, file)| {
        json!({
            "grid": chunk.grid, "place": verify::place(store, &chunk.grid, &chunk.location), "message": chunk.message,
            "file": file.as_ref().map(|file| file.display().to_string()),
        })
    });
    let lost = lost
        .iter()
        .map(|lost| json!({ "file": lost.file, "space": space(lost) }));
    json!({
        "ok": repaired.left.findings.is_empty(),
        "findings": repaired.findings.iter().map(|finding| verify::finding(store, finding)).collect::<Vec<_>>(),
        "quarantined": chunks.collect::<Vec<_>>(),
        "rebuilt": repaired.rebuilt,
        "lost": lost.collect::<Vec<_>>(),
        "left": repaired.left.findings.iter().map(|finding| verify::finding(store, finding)).collect::<Vec<_>>(),
    })
}
