//! `gridstone import`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::aggregate::{self, Drained};
use super::files::{self, Files};
use super::terminal::{Terminal, count};
use super::time::Along;
use super::{VerbOutcome, args, json, open};
use gridstone::adapter::source::{self, Checked, Footprint};
use gridstone::{Grid, Overlap, Structure, Window};

/// Put GeoTIFF or NetCDF files into a grid, and bring its pyramid up to date
///
/// With the feature `gdal` whatever GDAL opens is taken like a GeoTIFF, and --resampling lays
/// rasters of other coordinate reference systems too.
///
/// A file's cells must be the grid's times a power of two (those of NetCDF the grid's own), and
/// aligned with them; nothing is resampled unless --resampling says how. Times must lie on the
/// grid's steps, or are kept exactly where time is irregular; files come in any order, and their
/// times before, between and behind those that are there. All files are read once before the first
/// is written, so a file that does not fit, is damaged or refused changes nothing. Memory does not
/// depend on the size of the files; that of several jobs grows with the number of chunks. An import
/// that was cut short is completed by the same command, which puts all again (after --overlap
/// refuse, say merge: what is there by then is its own).
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  gridstone import store dem srtm.tif\n  find tiles -name '*.tif' | gridstone import store dem --files-from - --priority newest --jobs 4"
)]
pub(super) struct ImportVerb {
    /// The directory of the store
    store: PathBuf,
    /// The name of the grid
    grid: String,
    #[command(flatten)]
    files: Files,
    /// Check and write with so many threads, each in a part of the grid of its own: the cells are
    /// the same, and memory grows with the threads
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: u16,
    /// Leave out files that cannot be read or do not fit, name each, and end with code 1. Once they
    /// are mended, import all again, so that each lies where it belongs; --overlap keep leaves what
    /// lies there by then
    #[arg(long)]
    keep_going: bool,
    #[command(flatten)]
    how: How,
}

/// How sources are laid into a grid.
#[derive(Args, Debug)]
pub(super) struct How {
    /// Where there is data already: merge lays cells with data over it, replace those without data
    /// too, keep fills gaps only, refuse fails
    #[arg(long, value_name = "HOW", default_value = "merge", value_parser = args::parsed::<Overlap>)]
    pub(super) overlap: Overlap,
    /// Leave marks for `gridstone aggregate` instead
    #[arg(long)]
    no_aggregate: bool,
    /// Print the summary as JSON: files, failed, cells, chunks, base_chunks, aggregate_chunks,
    /// marks_drained, marks_pending, seconds, mb_per_s
    #[arg(long)]
    json: bool,
}

/// How many jobs a thread has: so many that the last to be done are short.
const PARTS: usize = 4;

/// How an import goes on its way.
#[derive(Debug)]
pub(super) struct ImportWay {
    /// How many threads check and write.
    pub(super) jobs: usize,
    /// Whether a source that fails is left out.
    pub(super) keep_going: bool,
    /// How many were left out already.
    pub(super) failed: usize,
    /// What is said to be done, and with what.
    pub(super) words: (&'static str, &'static str),
}

impl ImportWay {
    /// The jobs of several threads.
    fn planned(
        &self,
        grid: &Grid,
        imports: &[source::Import],
    ) -> anyhow::Result<Option<source::Plan>> {
        (self.jobs > 1)
            .then(|| files::planned(grid, imports, self.jobs * PARTS))
            .transpose()
    }

    /// The sources whose cells can all be read and put. Any other fails, or is told and left out.
    fn sound(
        &self,
        grid: &Grid,
        mut imports: Vec<source::Import>,
        terminal: &Terminal,
    ) -> anyhow::Result<Vec<source::Import>> {
        let bar = terminal.progress("checking", files::cells(&imports));
        let checks = self.checks(&mut imports, &|cells| bar.inc(cells));
        bar.finish_and_clear();
        let mut sound = Vec::new();
        for (import, check) in imports.into_iter().zip(checks) {
            match check {
                Ok(check) => {
                    note(&check, &import, grid, terminal);
                    sound.push(import);
                }
                Err(error) => {
                    let error = anyhow::Error::from(error)
                        .context(format!("`{}` cannot be imported", import.footprint().name));
                    if !self.keep_going {
                        return Err(error);
                    }
                    terminal.error(&error);
                }
            }
        }
        Ok(sound)
    }

    /// The checks of all sources, so many at once; the first that fails is the last unless it is to
    /// keep going.
    fn checks(
        &self,
        imports: &mut [source::Import],
        progress: &(dyn Fn(u64) + Sync),
    ) -> Vec<gridstone::Result<Checked>> {
        let count = imports.len();
        let (waiting, ends) = (
            Mutex::new(imports.iter_mut().enumerate()),
            Mutex::new(BTreeMap::new()),
        );
        let work = || {
            loop {
                let next = waiting
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .next();
                let Some((number, import)) = next else { break };
                let end = import.check(&mut |cells| progress(cells));
                let failed = end.is_err() && !self.keep_going;
                ends.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(number, end);
                if failed {
                    // Those before it are under way.
                    waiting
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .by_ref()
                        .for_each(drop);
                }
            }
        };
        std::thread::scope(|scope| {
            (1..self.jobs.min(count)).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        ends.into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .into_values()
            .collect()
    }
}

impl How {
    /// Checks all sources, writes all of them, and brings the pyramid up to date.
    pub(super) fn carry_out(
        &self,
        grid: &Grid,
        imports: Vec<source::Import>,
        way: &ImportWay,
        terminal: &Terminal,
    ) -> VerbOutcome {
        let start = Instant::now();
        if self.overlap == Overlap::Refuse {
            apart(grid.structure(), &imports)?;
        }
        let named = imports.len();
        // What is refused for its place is told before a cell is read.
        let plan = way.planned(grid, &imports)?;
        let mut imports = way.sound(grid, imports, terminal)?;
        // A plan knows its sources by their numbers.
        let plan = if imports.len() < named {
            way.planned(grid, &imports)?
        } else {
            plan
        };
        let bar = terminal.progress("writing", files::cells(&imports));
        let run = plan.as_ref().map_or_else(source::Run::default, |plan| {
            source::Run::default().jobs(plan, way.jobs)
        });
        let run = if way.keep_going {
            run.keep_going()
        } else {
            run
        };
        let written = run.write(&mut imports, &|cells| bar.inc(cells))?;
        bar.finish_and_clear();
        let whole = imports
            .iter()
            .enumerate()
            .filter(|(number, _)| !written.failed.contains_key(number));
        let whole: Vec<&Footprint> = whole.map(|(_, import)| import.footprint()).collect();
        written
            .failed
            .into_values()
            .for_each(|error| terminal.error(&error.into()));
        let drained = if self.no_aggregate {
            Drained::default()
        } else {
            aggregate::drain(grid, terminal)?
        };
        let (base, aggregates) = (
            written.done.chunks,
            written.done.aggregates + drained.chunks,
        );
        let pending = grid.marks()?;
        let seconds = start.elapsed().as_secs_f64();
        let (files, failed) = (whole.len() as u64, way.failed + named - whole.len());
        let (cells, bytes) = whole.iter().fold((0_u64, 0_u64), |(cells, bytes), of| {
            (cells + of.cells, bytes + of.bytes)
        });
        let rate = bytes as f64 / 1e6 / seconds;
        if self.json {
            terminal.print_json(&json!({
                "files": files, "failed": failed, "cells": cells, "chunks": base + aggregates,
                "base_chunks": base, "aggregate_chunks": aggregates, "marks_drained": drained.marks, "marks_pending": pending,
                "seconds": seconds, "mb_per_s": rate,
            }))?;
        } else {
            let (done, what) = way.words;
            let left = if pending > 0 {
                format!(", {pending} left")
            } else {
                String::new()
            };
            terminal.print(format!(
                "{done} {}: {cells} cells, {} written ({base} base, {aggregates} aggregate), {} drained{left}, {seconds:.2} s, {rate:.1} MB/s",
                count(files, what),
                count(base + aggregates, "chunk"),
                count(drained.marks, "mark"),
            ))?;
        }
        Ok(if failed > 0 {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}

/// Says what is to be known of the cells of a source.
fn note(check: &Checked, import: &source::Import, grid: &Grid, terminal: &Terminal) {
    let (
        Footprint { name, cells, .. },
        Checked {
            nodata_cells,
            is_blank,
            ..
        },
    ) = (import.footprint(), *check);
    if is_blank {
        terminal.note(format!(
            "{name}: none of its {} has data, so nothing of it is put",
            count(*cells, "cell")
        ));
    }
    if nodata_cells > 0 {
        let nodata = json::nodata(grid.schema()).unwrap_or(f64::NAN.into());
        let cells = count(nodata_cells, "cell");
        terminal.note(format!(
            "{name}: {cells} with the grid's nodata value {nodata} count as no data"
        ));
    }
}

impl ImportVerb {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        let store = open(&self.store)?;
        let grid = store.grid(&self.grid)?;
        let (imports, failed) =
            self.files
                .imports(&grid, self.how.overlap, self.keep_going, terminal)?;
        let way = ImportWay {
            jobs: usize::from(self.jobs),
            keep_going: self.keep_going,
            failed,
            words: ("imported", "file"),
        };
        self.how.carry_out(&grid, imports, &way, terminal)
    }
}

/// Refuses sources that cover the same cells: which of them would be there already?
fn apart(structure: &Structure, imports: &[source::Import]) -> anyhow::Result<()> {
    let time = Along::find(structure).map(|along| along.number);
    let mut at_time: BTreeMap<i64, Vec<(&Footprint, &Window)>> = BTreeMap::new();
    for footprint in imports.iter().map(source::Import::footprint) {
        for window in &footprint.windows {
            let others = at_time
                .entry(time.map_or(0, |axis| window.start()[axis]))
                .or_default();
            let same = |(other, of): &&(&Footprint, &Window)| {
                !std::ptr::eq(*other, footprint) && structure.intersection(of, window).is_some()
            };
            if let Some((other, _)) = others.iter().find(same) {
                let (a, b) = (&other.name, &footprint.name);
                anyhow::bail!(
                    "`{a}` and `{b}` cover the same cells, so the second cannot be put with --overlap refuse"
                );
            }
            others.push((footprint, window));
        }
    }
    Ok(())
}
