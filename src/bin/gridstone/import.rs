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
use gridstone::adapter::netcdf::{self, VariableSource};
use gridstone::adapter::raster::{self, RasterAxes, RasterSource, ResampledSource};
use gridstone::adapter::source::{self, Checked, Footprint};
use gridstone::{Grid, Level, Levels, Overlap, Resampling, Structure, Window};

/// Put GeoTIFF or NetCDF files into a grid, and bring its pyramid up to date
///
/// A file's cells must be the grid's times a power of two (those of NetCDF the grid's own), and aligned with them; nothing is
/// resampled unless --resampling says how. Times must lie on the grid's steps, or are kept exactly where time is irregular; files
/// come in any order, and their times before, between and behind those that are there. All files are read once before the first
/// is written, so a file that does not fit, is damaged or refused changes nothing. Memory does not depend on the size of the
/// files.
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
    /// How the names of GeoTIFFs tell their times, in a grid with time: a pattern of strftime like rain-%Y%m%d.tif, in which *
    /// stands for any text
    #[arg(long, value_name = "PATTERN")]
    time_from_name: Option<TimePattern>,
    /// The time of all GeoTIFFs, in a grid with time, like 2020-01-01T06:00Z, or a number of an axis without times
    #[arg(long, value_name = "TIME", conflicts_with = "time_from_name")]
    at_time: Option<Moment>,
    /// Lay GeoTIFFs whose cells are not the grid's onto them: nearest, bilinear, cubic, area (the mean), min, max, mode (the class
    /// of the largest part), or sum (totals are divided by area and kept). Without it they are refused
    #[arg(long, value_name = "R", value_parser = args::parsed::<Resampling>)]
    resampling: Option<Resampling>,
    /// The level that they are laid onto [default: the first whose cells are at least as fine as theirs]
    #[arg(long, value_name = "L", allow_hyphen_values = true, value_parser = args::level, requires = "resampling")]
    level: Option<Level>,
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
    /// Print the summary as JSON: files, cells, chunks, base_chunks, aggregate_chunks, marks_drained, marks_pending, seconds,
    /// mb_per_s
    #[arg(long)]
    json: bool,
}

impl How {
    /// Checks all sources, writes all of them, and brings the pyramid up to date; `done` is what to say was done then.
    pub(super) fn carry_out(&self, grid: &Grid, mut imports: Vec<source::Import>, done: &str, terminal: &Terminal) -> Outcome {
        let start = Instant::now();
        if self.overlap == Overlap::Refuse {
            apart(grid.structure(), &imports)?;
        }
        let cells = imports.iter().map(|import| import.footprint().cells).sum();
        let bytes: u64 = imports.iter().map(|import| import.footprint().bytes).sum();
        let bar = terminal.progress("checking", cells);
        for import in &mut imports {
            let checked = import.check(&mut |cells| bar.inc(cells));
            let Footprint { name, cells, .. } = import.footprint();
            let Checked { nodata_cells, is_blank, .. } = checked.with_context(|| format!("`{name}` cannot be imported"))?;
            if is_blank {
                terminal.note(format!("{name}: none of its {} has data, so nothing of it is put", count(*cells, "cell")));
            }
            if nodata_cells > 0 {
                let nodata = json::nodata(grid.schema()).unwrap_or(f64::NAN.into());
                let cells = count(nodata_cells, "cell");
                terminal.note(format!("{name}: {cells} with the grid's nodata value {nodata} count as no data"));
            }
        }
        bar.finish_and_clear();
        let bar = terminal.progress("writing", cells);
        let written = source::write(&mut imports.iter_mut().collect::<Vec<_>>(), &mut |cells| bar.inc(cells))?;
        bar.finish_and_clear();
        let drained = if self.no_aggregate { Drained::default() } else { aggregate::drain(grid, terminal)? };
        let (base, aggregates) = (written.chunks, written.aggregates + drained.chunks);
        let pending = grid.marks()?;
        let seconds = start.elapsed().as_secs_f64();
        let rate = bytes as f64 / 1e6 / seconds;
        if self.json {
            terminal.print_json(&json!({
                "files": imports.len(), "cells": cells, "chunks": base + aggregates, "base_chunks": base,
                "aggregate_chunks": aggregates, "marks_drained": drained.marks, "marks_pending": pending,
                "seconds": seconds, "mb_per_s": rate,
            }))?;
        } else {
            let left = if pending > 0 { format!(", {pending} left") } else { String::new() };
            terminal.print(format!(
                "{done}: {cells} cells, {} written ({base} base, {aggregates} aggregate), {} drained{left}, {seconds:.2} s, {rate:.1} MB/s",
                count(base + aggregates, "chunk"),
                count(drained.marks, "mark"),
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Import {
    pub(super) fn run(self, terminal: &Terminal) -> Outcome {
        let store = open(&self.store)?;
        let grid = store.grid(&self.grid)?;
        let imports = self.imports(&grid, terminal)?;
        let done = format!("imported {}", count(imports.len() as u64, "file"));
        self.how.carry_out(&grid, imports, &done, terminal)
    }

    /// Every file with its place. One that has none is found before anything is written.
    fn imports(&self, grid: &Grid, terminal: &Terminal) -> anyhow::Result<Vec<source::Import>> {
        let structure = grid.structure();
        let mut imports: Vec<source::Import> = Vec::new();
        // What is noted of one file is not said again of every other.
        let (mut covered, mut seen): (Option<Window>, BTreeSet<String>) = (None, BTreeSet::new());
        for path in &self.files {
            let mut import = self.import(path, grid, covered.as_slice(), (terminal, &mut seen))?;
            import.close();
            let windows = || import.footprint().windows.iter();
            let level = |import: &source::Import| levels_of(structure, import);
            if let Some(first) = imports.first()
                && level(first) != level(&import)
            {
                anyhow::bail!(
                    "`{}` lands at level {} and `{}` at level {}; import them one by one, the coarser first",
                    path.display(),
                    shown(structure, level(&import)),
                    first.footprint().name,
                    shown(structure, level(first))
                );
            }
            covered = windows().copied().chain(covered).reduce(|a, b| structure.union(&a, &b));
            imports.push(import);
        }
        Ok(imports)
    }

    /// The place of a file in the grid, where others will be put before it.
    fn import(
        &self,
        path: &Path,
        grid: &Grid,
        others: &[Window],
        (terminal, seen): (&Terminal, &mut BTreeSet<String>),
    ) -> anyhow::Result<source::Import> {
        let name = path.display().to_string();
        let misfit = || format!("`{name}` cannot be imported");
        let import = if netcdf::is_netcdf(path) {
            if self.resampling.is_some() {
                anyhow::bail!(
                    "`{name}` is NetCDF, and --resampling is for GeoTIFFs; make one of it with `gdal_translate NETCDF:\"{name}\":VARIABLE FILE.tif`"
                );
            }
            let mut choice = netcdf::Choice::of(grid.schema());
            choice.variable.clone_from(&self.variable);
            let field = netcdf::Field::open(path, &choice)?;
            source::Import::new(grid, VariableSource::placed(grid, &name, field, others).with_context(misfit)?)
        } else {
            let tiff = GeoTiff::open(path)?;
            tiff.header().notes.iter().for_each(|note| terminal.note(format!("{name}: {note}")));
            let cell = self.cell(path, grid).with_context(misfit)?;
            match self.resampling.filter(|_| self.level.is_some() || !raster::fits(grid, tiff.header())) {
                Some(resampling) => {
                    let source = ResampledSource::new(grid, &name, tiff, cell, others, (resampling, self.level));
                    source::Import::new(grid, source.with_context(misfit)?)
                }
                None => source::Import::new(grid, RasterSource::placed(grid, &name, tiff, cell, others).with_context(misfit)?),
            }
        };
        let import = import.with_context(misfit)?.over(self.how.overlap);
        for note in import.notes().into_iter().filter(|note| seen.insert(note.clone())) {
            terminal.note(format!("{name}: {note}"));
        }
        Ok(import)
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

/// The levels at which a source lands.
fn levels_of(structure: &Structure, import: &source::Import) -> Option<Levels> {
    import.footprint().windows.first().map(|window| window.levels(structure.dimensions().len()))
}

/// The level of the dimension of rows and columns.
fn shown(structure: &Structure, levels: Option<Levels>) -> String {
    let space = RasterAxes::of(structure).map(|axes| axes.space);
    levels.zip(space.ok()).map_or_else(String::new, |(levels, space)| levels[space].to_string())
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
