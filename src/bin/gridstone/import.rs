//! `gridstone import`

use std::collections::{BTreeMap, BTreeSet};
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
use super::{VerbOutcome, args, json, ledger, open};
use gridstone::adapter::source::{self, Checked, Footprint, Ledger, Run, Standing, Written};
use gridstone::{Grid, Overlap, Structure, Window};

/// Put GeoTIFF or NetCDF files into a grid, and bring its pyramid up to date
///
/// With the feature `gdal` whatever GDAL opens is taken like a GeoTIFF.
///
/// A file's cells must be the grid's times a power of two (those of NetCDF the grid's own), and
/// aligned with them; nothing is resampled unless --resampling says how, which lays GeoTIFFs of
/// other coordinate reference systems too. Times must lie on the
/// grid's steps, or are kept exactly where time is irregular; files come in any order, and their
/// times before, between and behind those that are there. All files are read once before the first
/// is written, so a file that does not fit, is damaged or refused changes nothing. Memory does not
/// depend on the size of the files; that of several jobs grows with the number of chunks.
///
/// The grid has a ledger of its last import, written together with the cells. An import that was cut
/// short at whatever moment goes on where it was with the same command. Done again, a command leaves
/// files alone that are in the grid to their end and are what they were (size, time, first and last
/// bytes), but for cells that others have changed since, and cells where they meet a file that is
/// put: all is as if the whole import was done now. `info` tells of an import that is not complete.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  gridstone import store dem srtm.tif\n  find tiles -name '*.tif' | gridstone import store dem --files-from - --priority newest --jobs 4\n  gridstone import store dem utm.tif --resampling bilinear"
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
    /// are mended, the same command lays each where it belongs; --overlap keep leaves what lies there
    /// by then
    #[arg(long)]
    keep_going: bool,
    /// Put all files again, whatever is there already, as after damage
    #[arg(long)]
    again: bool,
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
    /// Print the summary as JSON: files, there (already), failed, cells, chunks, base_chunks,
    /// aggregate_chunks, marks_drained, marks_pending, seconds, mb_per_s
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
    /// The names of those that were left out already.
    pub(super) failed: Vec<String>,
    /// What notes how far it is, if that is kept.
    pub(super) ledger: Option<Ledger>,
    /// What is said to be done, and with what.
    pub(super) words: (&'static str, &'static str),
}

/// Sources that can all be read and put, and what of them is to be put.
struct Sound {
    imports: Vec<source::Import>,
    standing: Option<Standing>,
    /// The jobs of several threads.
    plan: Option<source::Plan>,
}

impl Sound {
    /// The numbers of the sources that are to be put.
    fn left(&self) -> Vec<usize> {
        left(self.imports.len(), self.standing.as_ref())
    }
}

fn left(sources: usize, standing: Option<&Standing>) -> Vec<usize> {
    standing.map_or_else(
        || (0..sources).collect(),
        |standing| standing.left().to_vec(),
    )
}

impl ImportWay {
    /// What is left of some sources by the ledger.
    fn look(&self, grid: &Grid, imports: &[source::Import]) -> gridstone::Result<Option<Standing>> {
        let look = |ledger: &Ledger| {
            let ledger = ledger.clone().failed(self.failed.clone());
            ledger.look(grid, imports, self.jobs)
        };
        self.ledger.as_ref().map(look).transpose()
    }

    /// The sources whose cells can all be read and put. Any other fails, or is told and left out:
    /// others may have to be put then that lie where it does, so that it is looked again.
    fn sound(
        &mut self,
        grid: &Grid,
        mut imports: Vec<source::Import>,
        terminal: &Terminal,
    ) -> anyhow::Result<Sound> {
        let mut checked = vec![false; imports.len()];
        let mut is_first = true;
        loop {
            let standing = self.look(grid, &imports)?;
            if let Some(standing) = standing.as_ref().filter(|_| is_first) {
                ledger::note(standing, &imports, terminal);
            }
            is_first = false;
            let left = left(imports.len(), standing.as_ref());
            let continues = standing.as_ref().is_some_and(Standing::continues);
            // What is refused for its place is told before a cell is read.
            let plan = (self.jobs > 1 && !continues)
                .then(|| files::planned(grid, &imports, (&left, self.jobs * PARTS)))
                .transpose()?;
            let before = standing.as_ref().map_or(&[][..], Standing::checked);
            let unchecked: BTreeSet<usize> = left
                .into_iter()
                .filter(|number| !checked[*number] && before.binary_search(number).is_err())
                .collect();
            let failed = self.check(grid, (&mut imports, &unchecked), terminal)?;
            if failed.is_empty() {
                return Ok(Sound {
                    imports,
                    standing,
                    plan,
                });
            }
            unchecked.iter().for_each(|number| checked[*number] = true);
            let all = imports.into_iter().zip(checked).enumerate();
            let (bad, sound): (Vec<_>, Vec<_>) =
                all.partition(|(number, _)| failed.contains(number));
            let name =
                |(_, (import, _)): (usize, (source::Import, bool))| import.footprint().name.clone();
            self.failed.extend(bad.into_iter().map(name));
            (imports, checked) = sound.into_iter().map(|(_, one)| one).unzip();
        }
    }

    /// Reads some of the sources, and gives the numbers of those that fail.
    fn check(
        &self,
        grid: &Grid,
        (imports, which): (&mut [source::Import], &BTreeSet<usize>),
        terminal: &Terminal,
    ) -> anyhow::Result<BTreeSet<usize>> {
        let bar = terminal.progress(
            "checking",
            files::cells(which.iter().map(|number| &imports[*number])),
        );
        let some = imports.iter_mut().enumerate();
        let some = some.filter(|(number, _)| which.contains(number)).collect();
        let checks = self.checks(some, &|cells| bar.inc(cells));
        bar.finish_and_clear();
        let mut failed = BTreeSet::new();
        for (number, check) in checks {
            match check {
                Ok(check) => note(&check, &imports[number], grid, terminal),
                Err(error) => {
                    let name = &imports[number].footprint().name;
                    let error =
                        anyhow::Error::from(error).context(format!("`{name}` cannot be imported"));
                    if !self.keep_going {
                        return Err(error);
                    }
                    terminal.error(&error);
                    failed.insert(number);
                }
            }
        }
        Ok(failed)
    }

    /// The checks of all sources, so many at once; the first that fails is the last unless it is to
    /// keep going.
    fn checks(
        &self,
        imports: Vec<(usize, &mut source::Import)>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> BTreeMap<usize, gridstone::Result<Checked>> {
        let count = imports.len();
        let (waiting, ends) = (Mutex::new(imports.into_iter()), Mutex::new(BTreeMap::new()));
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
        ends.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is left.
    fn written(
        &self,
        sound: &mut Sound,
        left: &[usize],
        terminal: &Terminal,
    ) -> gridstone::Result<Written> {
        let cells = files::cells(left.iter().map(|number| &sound.imports[*number]));
        let bar = terminal.progress("writing", cells);
        let mut run = Run::default().threads(self.jobs);
        if let Some(plan) = &sound.plan {
            run = run.jobs(plan, self.jobs);
        }
        if let Some(standing) = &sound.standing {
            run = run.ledger(standing);
        }
        if self.keep_going {
            run = run.keep_going();
        }
        let written = run.write(&mut sound.imports, &|cells| bar.inc(cells));
        bar.finish_and_clear();
        written
    }
}

impl How {
    /// Checks what is left of the sources, writes it, and brings the pyramid up to date.
    pub(super) fn carry_out(
        &self,
        grid: &Grid,
        imports: Vec<source::Import>,
        mut way: ImportWay,
        terminal: &Terminal,
    ) -> VerbOutcome {
        let start = Instant::now();
        if self.overlap == Overlap::Refuse {
            apart(grid.structure(), &imports)?;
        }
        let mut sound = way.sound(grid, imports, terminal)?;
        let left = sound.left();
        let written = way.written(&mut sound, &left, terminal)?;
        let of_left = left.iter().map(|number| sound.imports[*number].footprint());
        let (expected, bytes) = of_left.fold((0_u64, 0_u64), |(cells, bytes), of| {
            (cells + of.cells, bytes + of.bytes)
        });
        let failed = way.failed.len() + written.failed.len();
        let files = (left.len() - written.failed.len()) as u64;
        let there = (sound.imports.len() - left.len()) as u64;
        written
            .failed
            .into_values()
            .for_each(|error| terminal.error(&error.into()));
        let drained = if self.no_aggregate {
            Drained::default()
        } else {
            aggregate::drain(grid, terminal)?
        };
        let (cells, base) = (written.done.cells, written.done.chunks);
        let aggregates = written.done.aggregates + drained.chunks;
        let pending = grid.marks()?;
        let seconds = start.elapsed().as_secs_f64();
        // Of what is not put all, as much as of its cells.
        let share = cells as f64 / expected.max(1) as f64;
        let rate = bytes as f64 * share / 1e6 / seconds;
        if self.json {
            terminal.print_json(&json!({
                "files": files, "there": there, "failed": failed, "cells": cells, "chunks": base + aggregates,
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
            let others = if there > 0 {
                format!(" ({there} there already)")
            } else {
                String::new()
            };
            terminal.print(format!(
                "{done} {}{others}: {cells} cells, {} written ({base} base, {aggregates} aggregate), {} drained{left}, {seconds:.2} s, {rate:.1} MB/s",
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
        let ledger = ledger::of((&self.files, self.how.overlap), &imports, &failed)?;
        let way = ImportWay {
            jobs: usize::from(self.jobs),
            keep_going: self.keep_going,
            failed,
            ledger: Some(if self.again { ledger.again() } else { ledger }),
            words: ("imported", "file"),
        };
        self.how.carry_out(&grid, imports, way, terminal)
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
