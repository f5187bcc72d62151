//! `gridstone import`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::aggregate::{self, Drained};
use super::files::Files;
use super::terminal::{Terminal, count};
use super::time::Along;
use super::{Outcome, args, json, open};
use gridstone::adapter::source::{self, Checked, Footprint};
use gridstone::{Grid, Overlap, Structure, Window};

/// Put GeoTIFF or NetCDF files into a grid, and bring its pyramid up to date
///
/// A file's cells must be the grid's times a power of two (those of NetCDF the grid's own), and aligned with them; nothing is
/// resampled unless --resampling says how. Times must lie on the grid's steps, or are kept exactly where time is irregular; files
/// come in any order, and their times before, between and behind those that are there. All files are read once before the first
/// is written, so a file that does not fit, is damaged or refused changes nothing. Memory does not depend on the size of the
/// files, but for a plan of several jobs. An import that was cut short is completed by the same command, which puts all again.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  gridstone import store dem srtm.tif\n  find tiles -name '*.tif' | gridstone import store dem --files-from - --priority newest --jobs 4"
)]
pub(super) struct Import {
    /// The directory of the store
    store: PathBuf,
    /// The name of the grid
    grid: String,
    #[command(flatten)]
    files: Files,
    /// Write by so many threads, each a part of the grid that no other writes; memory grows with them
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: u16,
    /// Leave out files that fail, name each, and end with code 1
    #[arg(long)]
    keep_going: bool,
    #[command(flatten)]
    how: How,
}

/// How sources are laid into a grid.
#[derive(Args, Debug)]
pub(super) struct How {
    /// Where there is data already: merge lays cells with data over it, replace those without data too, keep fills gaps only,
    /// refuse fails
    #[arg(long, value_name = "HOW", default_value = "merge", value_parser = args::parsed::<Overlap>)]
    pub(super) overlap: Overlap,
    /// Leave marks for `gridstone aggregate` instead
    #[arg(long)]
    no_aggregate: bool,
    /// Print the summary as JSON: files, failed, cells, chunks, base_chunks, aggregate_chunks, marks_drained, marks_pending, seconds,
    /// mb_per_s
    #[arg(long)]
    json: bool,
}

/// How many jobs a thread has.
const PARTS: usize = 4;

/// The checks of all sources, so many at once; the first that fails is the last unless it is to keep going.
fn checked(
    imports: &mut [source::Import],
    jobs: usize,
    keep_going: bool,
    progress: &(dyn Fn(u64) + Sync),
) -> Vec<gridstone::Result<Checked>> {
    let count = imports.len();
    let (waiting, ends) = (Mutex::new(imports.iter_mut().enumerate()), Mutex::new(BTreeMap::new()));
    let work = || {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((number, import)) = next else { break };
            let end = import.check(&mut |cells| progress(cells));
            let failed = end.is_err() && !keep_going;
            ends.lock().unwrap_or_else(PoisonError::into_inner).insert(number, end);
            if failed {
                // Those before it are under way.
                waiting.lock().unwrap_or_else(PoisonError::into_inner).by_ref().for_each(drop);
            }
        }
    };
    std::thread::scope(|scope| {
        (1..jobs.min(count)).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    ends.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

impl How {
    /// Checks all sources, writes all of them, and brings the pyramid up to date. Those that failed before are `failed`.
    pub(super) fn carry_out(&self, grid: &Grid, mut imports: Vec<source::Import>, way: Way, terminal: &Terminal) -> Outcome {
        let start = Instant::now();
        if self.overlap == Overlap::Refuse {
            apart(grid.structure(), &imports)?;
        }
        let mut failed = way.failed.len();
        let mut plan = way.planned(grid, &imports)?;
        let bar = terminal.progress("checking", imports.iter().map(|import| import.footprint().cells).sum());
        let checks = checked(&mut imports, way.jobs, way.keep_going, &|cells| bar.inc(cells));
        bar.finish_and_clear();
        let mut sound = Vec::new();
        for (import, check) in imports.into_iter().zip(checks) {
            match check {
                Ok(check) => {
                    note(&check, &import, grid, terminal);
                    sound.push(import);
                }
                Err(error) => {
                    let error = anyhow::Error::from(error).context(format!("`{}` cannot be imported", import.footprint().name));
                    if !way.keep_going {
                        return Err(error);
                    }
                    terminal.error(&error);
                    failed += 1;
                }
            }
        }
        let mut imports = sound;
        if failed > way.failed.len() {
            plan = way.planned(grid, &imports)?;
        }
        let cells = imports.iter().map(|import| import.footprint().cells).sum();
        let bytes: u64 = imports.iter().map(|import| import.footprint().bytes).sum();
        let bar = terminal.progress("writing", cells);
        let run = plan.as_ref().map_or_else(source::Run::default, |plan| source::Run::default().jobs(plan, way.jobs));
        let run = if way.keep_going { run.keep_going() } else { run };
        let written = run.write(&mut imports, &|cells| bar.inc(cells))?;
        bar.finish_and_clear();
        let unread = written.failed.len();
        failed += unread;
        written.failed.into_values().for_each(|error| terminal.error(&error.into()));
        let drained = if self.no_aggregate { Drained::default() } else { aggregate::drain(grid, terminal)? };
        let (base, aggregates) = (written.done.chunks, written.done.aggregates + drained.chunks);
        let pending = grid.marks()?;
        let seconds = start.elapsed().as_secs_f64();
        let (rate, files) = (bytes as f64 / 1e6 / seconds, imports.len() - unread);
        if self.json {
            terminal.print_json(&json!({
                "files": files, "failed": failed, "cells": cells, "chunks": base + aggregates,
                "base_chunks": base, "aggregate_chunks": aggregates, "marks_drained": drained.marks, "marks_pending": pending,
                "seconds": seconds, "mb_per_s": rate,
            }))?;
        } else {
            let left = if pending > 0 { format!(", {pending} left") } else { String::new() };
            terminal.print(format!(
                "{}: {cells} cells, {} written ({base} base, {aggregates} aggregate), {} drained{left}, {seconds:.2} s, {rate:.1} MB/s",
                way.done.map_or_else(|| format!("imported {}", count(files as u64, "file")), str::to_owned),
                count(base + aggregates, "chunk"),
                count(drained.marks, "mark"),
            ))?;
        }
        Ok(if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// How an import goes on its way.
#[derive(Debug)]
pub(super) struct Way {
    /// How many threads write.
    pub(super) jobs: usize,
    /// Whether a source that fails is left out.
    pub(super) keep_going: bool,
    /// The files that were left out already.
    pub(super) failed: Vec<PathBuf>,
    /// What to say was done; if nothing, how many files were imported.
    pub(super) done: Option<&'static str>,
}

impl Default for Way {
    fn default() -> Self {
        Self { jobs: 1, keep_going: false, failed: Vec::new(), done: None }
    }
}

impl Way {
    /// The jobs of several threads.
    fn planned(&self, grid: &Grid, imports: &[source::Import]) -> anyhow::Result<Option<source::Plan>> {
        // So many that the last to be done are short.
        let plan = || source::Plan::new(grid, imports.iter().map(source::Import::footprint), self.jobs.saturating_mul(PARTS));
        Ok((self.jobs > 1).then(plan).transpose()?)
    }
}

/// Says what is to be known of the cells of a source.
fn note(check: &Checked, import: &source::Import, grid: &Grid, terminal: &Terminal) {
    let (Footprint { name, cells, .. }, Checked { nodata_cells, is_blank, .. }) = (import.footprint(), *check);
    if is_blank {
        terminal.note(format!("{name}: none of its {} has data, so nothing of it is put", count(*cells, "cell")));
    }
    if nodata_cells > 0 {
        let nodata = json::nodata(grid.schema()).unwrap_or(f64::NAN.into());
        let cells = count(nodata_cells, "cell");
        terminal.note(format!("{name}: {cells} with the grid's nodata value {nodata} count as no data"));
    }
}

impl Import {
    pub(super) fn run(self, terminal: &Terminal) -> Outcome {
        let store = open(&self.store)?;
        let grid = store.grid(&self.grid)?;
        let mut failed = Vec::new();
        let imports = self.files.imports(&grid, self.how.overlap, terminal, self.keep_going.then_some(&mut failed))?;
        let way = Way { jobs: usize::from(self.jobs), keep_going: self.keep_going, failed, done: None };
        self.how.carry_out(&grid, imports, way, terminal)
    }
}

/// Refuses sources that cover the same cells: which of them would be there already?
fn apart(structure: &Structure, imports: &[source::Import]) -> anyhow::Result<()> {
    let time = Along::find(structure).map(|along| along.number);
    let mut at_time: BTreeMap<i64, Vec<(&Footprint, &Window)>> = BTreeMap::new();
    for footprint in imports.iter().map(source::Import::footprint) {
        for window in &footprint.windows {
            let others = at_time.entry(time.map_or(0, |axis| window.start()[axis])).or_default();
            let same = |(other, of): &&(&Footprint, &Window)| {
                !std::ptr::eq(*other, footprint) && structure.intersection(of, window).is_some()
            };
            if let Some((other, _)) = others.iter().find(same) {
                let (a, b) = (&other.name, &footprint.name);
                anyhow::bail!("`{a}` and `{b}` cover the same cells, so the second cannot be put with --overlap refuse");
            }
            others.push((footprint, window));
        }
    }
    Ok(())
}
