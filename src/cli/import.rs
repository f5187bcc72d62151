//! `gridstone import`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::aggregate::{self, Drained};
use super::terminal::{Terminal, count};
use super::{Outcome, open};
use crate::Grid;
use crate::adapter::geotiff::GeoTiff;
use crate::adapter::raster;

/// Put GeoTIFF files into a grid, and bring its pyramid up to date
///
/// A file's cells must be the grid's times a power of two, and aligned with them; nothing is resampled. Cells without data
/// leave what is there alone. All files are read once before the first is written, so a file that does not fit or is damaged
/// changes nothing. Memory does not depend on the size of the files.
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
    /// Leave marks for `gridstone aggregate` instead
    #[arg(long)]
    no_aggregate: bool,
    /// Print the summary as JSON: files, cells, chunks, base_chunks, aggregate_chunks, marks_drained, marks_pending, seconds, mb_per_s
    #[arg(long)]
    json: bool,
}

struct Source {
    path: PathBuf,
    import: raster::Import,
}

impl Source {
    fn named<T>(&self, result: crate::Result<T>) -> anyhow::Result<T> {
        result.with_context(|| format!("`{}` cannot be imported", self.path.display()))
    }
}

impl Import {
    pub(super) fn run(self, terminal: &Terminal) -> Outcome {
        let start = Instant::now();
        let store = open(&self.store)?;
        let grid = store.grid(&self.grid)?;
        let mut sources = self.sources(&grid, terminal)?;
        let cells = sources.iter().map(|source| source.import.cells()).sum();
        let bytes: u64 = sources.iter().map(|source| source.import.bytes()).sum();
        let bar = terminal.progress("checking", cells);
        for source in &mut sources {
            let checked = source.import.check(&mut |cells| bar.inc(cells));
            let checked = source.named(checked)?;
            if checked.nodata_cells > 0 {
                let nodata = grid.schema().nodata().unwrap_or(f64::NAN);
                let cells = count(checked.nodata_cells, "cell");
                terminal
                    .note(format!("{}: {cells} with the grid's nodata value {nodata} count as no data", source.path.display()));
            }
        }
        bar.finish_and_clear();
        let bar = terminal.progress("writing", cells);
        let (mut base, mut aggregates) = (0, 0);
        for source in &mut sources {
            let done = source.import.write(&mut |cells| bar.inc(cells));
            let done = source.named(done)?;
            base += done.chunks;
            aggregates += done.aggregates;
        }
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
        for path in &self.files {
            let tiff = GeoTiff::open(path)?;
            tiff.header().notes.iter().for_each(|note| terminal.note(format!("{}: {note}", path.display())));
            let import = raster::Import::new(grid, tiff);
            let import = import.with_context(|| format!("`{}` cannot be imported", path.display()))?;
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
}
