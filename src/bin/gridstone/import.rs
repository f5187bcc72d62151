//! `gridstone import`

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::aggregate::{self, Drained};
use super::naming::TimePattern;
use super::terminal::{Terminal, count};
use super::time::{Along, Instant as Moment};
use super::{Outcome, args, json, open};
use gridstone::adapter::geotiff::GeoTiff;
use gridstone::adapter::raster::Checked;
use gridstone::adapter::{netcdf, raster};
use gridstone::{Grid, Level, Overlap, Structure, Window};

/// Put GeoTIFF or NetCDF files into a grid, and bring its pyramid up to date
///
/// A file's cells must be the grid's times a power of two (those of NetCDF the grid's own), and aligned with them; nothing is
/// resampled. Times must lie on the grid's steps, or are kept exactly where time is irregular; files come in any order, and
/// their times before, between and behind those that are there. All files are read once before the first is written, so a file
/// that does not fit, is damaged or refused changes nothing. Memory does not depend on the size of the files.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gridstone import store dem srtm.tif")]
pub(super) struct Import {
    /// The directory of the store
    store: PathBuf,
    /// The name of the grid
    grid: String,
    /// The files, later ones over earlier ones
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The variable of NetCDF files [default: the one that the grid holds, or the only one]
    #[arg(long, value_name = "NAME")]
    variable: Option<String>,
    /// How the names of GeoTIFFs tell their times, in a grid with time: a pattern of strftime like rain-%Y%m%d.tif, in which * stands
    /// for any text
    #[arg(long, value_name = "PATTERN")]
    time_from_name: Option<TimePattern>,
    /// The time of all GeoTIFFs, in a grid with time, like 2020-01-01T06:00Z, or a number of an axis without times
    #[arg(long, value_name = "TIME", conflicts_with = "time_from_name")]
    at_time: Option<Moment>,
    /// Where there is data already: merge lays cells with data over it, replace those without data too, keep fills gaps only,
    /// refuse fails
    #[arg(long, value_name = "HOW", default_value = "merge", value_parser = args::parsed::<Overlap>)]
    overlap: Overlap,
    /// Leave marks for `gridstone aggregate` instead
    #[arg(long)]
    no_aggregate: bool,
    /// Print the summary as JSON: files, cells, chunks, base_chunks, aggregate_chunks, marks_drained, marks_pending, seconds, mb_per_s
    #[arg(long)]
    json: bool,
}

struct Source {
    path: PathBuf,
    import: Placed,
}

/// A file whose place in the grid is known.
enum Placed {
    Raster(Box<raster::Import>),
    NetCdf(Box<netcdf::Import>),
}

impl Placed {
    fn cells(&self) -> u64 {
        match self {
            Placed::Raster(import) => import.cells(),
            Placed::NetCdf(import) => import.cells(),
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Placed::Raster(import) => import.bytes(),
            Placed::NetCdf(import) => import.bytes(),
        }
    }

    fn level(&self) -> Level {
        match self {
            Placed::Raster(import) => import.level(),
            Placed::NetCdf(_) => Level::ZERO,
        }
    }

    /// What of the grid it covers, in boxes.
    fn windows(&self) -> Vec<Window> {
        match self {
            Placed::Raster(import) => vec![import.window()],
            Placed::NetCdf(import) => import.steps(),
        }
    }

    /// Closes the file until it is read again: there may be more of them than files that can be open.
    fn close(&mut self) {
        if let Placed::Raster(import) = self {
            import.close();
        }
    }

    /// What a look at all cells finds.
    fn check(&mut self, progress: &mut dyn FnMut(u64)) -> gridstone::Result<Checked> {
        match self {
            Placed::Raster(import) => import.check(progress),
            Placed::NetCdf(import) => import.check(progress),
        }
    }
}

impl Source {
    fn named<T>(&self, result: gridstone::Result<T>) -> anyhow::Result<T> {
        result.with_context(|| format!("`{}` cannot be imported", self.path.display()))
    }
}

impl Import {
    pub(super) fn run(self, terminal: &Terminal) -> Outcome {
        let start = Instant::now();
        let store = open(&self.store)?;
        let grid = store.grid(&self.grid)?;
        let mut sources = self.sources(&grid, terminal)?;
        if self.overlap == Overlap::Refuse {
            apart(grid.structure(), &sources)?;
        }
        let cells = sources.iter().map(|source| source.import.cells()).sum();
        let bytes: u64 = sources.iter().map(|source| source.import.bytes()).sum();
        let bar = terminal.progress("checking", cells);
        for source in &mut sources {
            let checked = source.import.check(&mut |cells| bar.inc(cells));
            source.import.close();
            let Checked { nodata_cells, is_blank, .. } = source.named(checked)?;
            if is_blank {
                let cells = count(source.import.cells(), "cell");
                terminal.note(format!("{}: none of its {cells} has data, so nothing of it is put", source.path.display()));
            }
            if nodata_cells > 0 {
                let nodata = json::nodata(grid.schema()).unwrap_or(f64::NAN.into());
                let cells = count(nodata_cells, "cell");
                terminal
                    .note(format!("{}: {cells} with the grid's nodata value {nodata} count as no data", source.path.display()));
            }
        }
        bar.finish_and_clear();
        let bar = terminal.progress("writing", cells);
        let (base, mut aggregates) = written(&mut sources, &mut |cells| bar.inc(cells))?;
        bar.finish_and_clear();
        let drained = if self.no_aggregate { Drained::default() } else { aggregate::drain(&grid, terminal)? };
        aggregates += drained.chunks;
        let pending = grid.marks()?;
        let seconds = start.elapsed().as_secs_f64();
        let rate = bytes as f64 / 1e6 / seconds;
        if self.json {
            terminal.print_json(&json!({
                "files": sources.len(), "cells": cells, "chunks": base + aggregates, "base_chunks": base,
                "aggregate_chunks": aggregates, "marks_drained": drained.marks, "marks_pending": pending,
                "seconds": seconds, "mb_per_s": rate,
            }))?;
        } else {
            let left = if pending > 0 { format!(", {pending} left") } else { String::new() };
            terminal.print(format!(
                "imported {}: {cells} cells, {} written ({base} base, {aggregates} aggregate), {} drained{left}, {seconds:.2} s, {rate:.1} MB/s",
                count(sources.len() as u64, "file"),
                count(base + aggregates, "chunk"),
                count(drained.marks, "mark"),
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Every file with its place. One that has none is found before anything is written.
    fn sources(&self, grid: &Grid, terminal: &Terminal) -> anyhow::Result<Vec<Source>> {
        let mut sources: Vec<Source> = Vec::new();
        // What is noted of one file is not said again of every other.
        let (mut covered, mut seen): (Option<Window>, BTreeSet<String>) = (None, BTreeSet::new());
        for path in &self.files {
            let mut import = self.placed(path, grid, covered.as_slice(), (terminal, &mut seen))?;
            import.close();
            if let Placed::NetCdf(_) = &import {
                covered = import.windows().into_iter().chain(covered).reduce(|a, b| grid.structure().union(&a, &b));
            }
            if let Some(first) = sources.first()
                && first.import.level() != import.level()
            {
                let (a, b) = (first.import.level(), import.level());
                anyhow::bail!(
                    "`{}` lands at level {b} and `{}` at level {a}; import them one by one, the coarser first",
                    path.display(),
                    first.path.display()
                );
            }
            sources.push(Source { path: path.clone(), import });
        }
        Ok(sources)
    }

    /// The place of a file in the grid, where others will be put before it.
    fn placed(
        &self,
        path: &Path,
        grid: &Grid,
        others: &[Window],
        (terminal, seen): (&Terminal, &mut BTreeSet<String>),
    ) -> anyhow::Result<Placed> {
        let misfit = || format!("`{}` cannot be imported", path.display());
        if netcdf::is_netcdf(path) {
            let mut choice = netcdf::Choice::of(grid.schema());
            choice.variable.clone_from(&self.variable);
            let field = netcdf::Field::open(path, &choice)?;
            let import = netcdf::Import::beside(grid, field, others).with_context(misfit)?.over(self.overlap);
            for note in import.notes().into_iter().filter(|note| seen.insert(note.clone())) {
                terminal.note(format!("{}: {note}", path.display()));
            }
            return Ok(Placed::NetCdf(Box::new(import)));
        }
        let tiff = GeoTiff::open(path)?;
        tiff.header().notes.iter().for_each(|note| terminal.note(format!("{}: {note}", path.display())));
        let import = match self.cell(path, grid).with_context(misfit)? {
            Some(cell) => raster::Import::at(grid, tiff, cell),
            None => raster::Import::new(grid, tiff),
        };
        let import = import.with_context(misfit)?.over(self.overlap);
        import.notes().iter().for_each(|note| terminal.note(format!("{}: {note}", path.display())));
        Ok(Placed::Raster(Box::new(import)))
    }

    /// Where a GeoTIFF lies in time, if that is said.
    fn cell(&self, path: &Path, grid: &Grid) -> anyhow::Result<Option<i64>> {
        let (at, option) = match (&self.time_from_name, self.at_time) {
            (Some(pattern), _) => (Moment::Time(pattern.time(path)?), "--time-from-name"),
            (None, Some(at)) => (at, "--at-time"),
            (None, None) => return Ok(None),
        };
        let along = Along::of(grid, option)?;
        match at {
            Moment::Time(at) => Ok(Some(netcdf::cell_of(grid.structure(), along.number, at)?)),
            Moment::Number(number) => Ok(Some(number)),
        }
    }
}

/// Refuses files that cover the same cells: which of them would be there already?
fn apart(structure: &Structure, sources: &[Source]) -> anyhow::Result<()> {
    let time = Along::find(structure).map(|along| along.number);
    let mut at_time: BTreeMap<i64, Vec<(&Source, Window)>> = BTreeMap::new();
    for source in sources {
        for window in source.import.windows() {
            let others = at_time.entry(time.map_or(0, |axis| window.start()[axis])).or_default();
            if let Some((other, _)) = others.iter().find(|(_, of)| structure.intersection(of, &window).is_some()) {
                let (a, b) = (other.path.display(), source.path.display());
                anyhow::bail!("`{a}` and `{b}` cover the same cells, so the second cannot be put with --overlap refuse");
            }
            others.push((source, window));
        }
    }
    Ok(())
}

/// Writes all files in their order; how many base and aggregate chunks were written.
fn written(sources: &mut [Source], progress: &mut dyn FnMut(u64)) -> anyhow::Result<(u64, u64)> {
    let (mut base, mut aggregates) = (0, 0);
    let is_netcdf = |source: &Source| matches!(source.import, Placed::NetCdf(_));
    for group in sources.chunk_by_mut(|a, b| is_netcdf(a) && is_netcdf(b)) {
        let first = group.first().map_or(String::new(), |source| source.path.display().to_string());
        let more = if group.len() > 1 { format!(", or one of {} after it,", group.len() - 1) } else { String::new() };
        let mut variables = Vec::new();
        let mut rasters = Vec::new();
        for source in group {
            match &mut source.import {
                Placed::Raster(import) => rasters.push(import),
                Placed::NetCdf(import) => variables.push(import.as_mut()),
            }
        }
        let failed = || format!("`{first}`{more} cannot be imported");
        for import in rasters {
            let done = import.write(progress).with_context(failed)?;
            import.close();
            (base, aggregates) = (base + done.chunks, aggregates + done.aggregates);
        }
        let done = netcdf::write(&mut variables, progress).with_context(failed)?;
        (base, aggregates) = (base + done.chunks, aggregates + done.aggregates);
    }
    Ok((base, aggregates))
}
