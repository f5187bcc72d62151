//! `gridstone read`

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::args;
use super::collapse::OverTime;
use super::figures::Figures;
use super::output::{Format, Output};
use super::select::Selection;
use super::show::{self, Show};
use super::terminal::{Terminal, count};
use super::{Outcome, json, open, time};
use gridstone::adapter::quicklook::Ramp;
use gridstone::adapter::raster::{self, Marked, Raster};
use gridstone::array::Cells;
use gridstone::{Answer, Grid};

/// Read an extent at a level, resolution or shape, and write it to a file
///
/// Without options: all there is, at the base level, rows as in the file that the grid was made
/// after. Without --out: figures on what was read.
///
/// .tif has the place, the coordinate reference system and the nodata value; a mask where every
/// value of the type is data. .npy is (y, x), (band, y, x) if there are several bands, or all axes
/// of the grid if there are several steps of time. In both, cells without data are NaN in float
/// layers, and in integer ones the grid's nodata value, or another that no cell with data has. .png
/// has transparent cells where there is no data.
///
/// The answer is held in memory; `gridstone export` writes files of any size.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  gridstone read store dem --extent -119.5,37,-119,37.5 --resolution 0.002 --resampling area --out part.tif\n  gridstone read store dem --like scene.tif --resampling bilinear --out dem-of-scene.tif"
)]
pub(super) struct Read {
    #[command(flatten)]
    selection: Selection,
    /// Make one of all steps of time, of the period if there is one: sum, mean, min or max, of the
    /// layer's values
    #[arg(long, value_name = "NAME")]
    over_time: Option<OverTime>,
    /// Instead of values, the level of the chunk that serves each cell; -128 where there is none
    #[arg(long, value_name = "WHAT", conflicts_with_all = ["over_time", "like"])]
    show: Option<Show>,
    /// The file to write: .tif, .npy or .png
    #[arg(long, value_name = "FILE", value_parser = Output::parse)]
    out: Option<Output>,
    /// Replace the file if there is one
    #[arg(long)]
    overwrite: bool,
    /// The colours of a .png: viridis, inferno, magma, plasma, cividis, turbo, grays, rdylbu, brbg
    /// or spectral
    #[arg(long, value_name = "NAME", default_value = "viridis", value_parser = args::parsed::<Ramp>)]
    colormap: Ramp,
    /// The value of the first colour of a .png [default: the least]
    #[arg(long, value_name = "V", allow_hyphen_values = true, value_parser = args::number)]
    min: Option<f64>,
    /// The value of the last colour of a .png [default: the greatest]
    #[arg(long, value_name = "V", allow_hyphen_values = true, value_parser = args::number)]
    max: Option<f64>,
    /// Print {"levels", "layer", "dtype", "shape", "min", "max", "mean", "valid_share", "window",
    /// "extent", "chunks_read", "stale", "coordinates": {"axis", "ticks", "times", "width"} along
    /// an irregular axis, else null, "inexact", "out", "nodata": what cells without data hold in a
    /// .npy of integers, else null}
    #[arg(long)]
    json: bool,
}

impl Read {
    pub(super) fn run(self, terminal: &Terminal) -> Outcome {
        if let Some(out) = &self.out {
            out.check(self.overwrite)?;
        }
        let store = open(&self.selection.store)?;
        let grid = store.grid(&self.selection.grid)?;
        let query = self.selection.query(terminal, &grid)?;
        let answer = match self.show {
            Some(Show::Level) => show::levels(&grid, &query)?,
            None => grid.read(&query)?,
        };
        let answer = match self.over_time {
            Some(over_time) => over_time.of(&grid, answer)?,
            None => answer,
        };
        if !answer.stale.is_empty() {
            terminal.warn(format!(
                "{} of what was read {} out of date; read with --fresh, or run `gridstone aggregate {} {}`",
                count(answer.stale.len() as u64, "part"),
                if answer.stale.len() == 1 { "is" } else { "are" },
                self.selection.store.display(),
                grid.name()
            ));
        }
        if answer.inexact > 0 {
            terminal.warn(format!(
                "{} had more classes under them than the layer keeps, so that another may be the most frequent",
                count(answer.inexact, "cell")
            ));
        }
        let raster = Raster::new(&grid, &answer);
        let figures = Figures::of(&answer);
        let mut marked = None;
        if let Some(out) = &self.out {
            match (out.format, raster) {
                (Format::Npy, raster) => {
                    // An array may have any axes.
                    let whole = || {
                        Marked::new(
                            answer.array.clone(),
                            answer.valid(),
                            raster::preferred(&grid, &answer),
                        )
                    };
                    let cells = raster.map_or_else(|_| whole(), Marked::from);
                    gridstone::adapter::npy::write(&out.path, cells.unmasked()?)?;
                    marked = cells.nodata.filter(|cell| !cell.dtype().is_float());
                    if let Some((cell, _)) = marked.as_ref().zip(cells.valid) {
                        terminal.warn(format!(
                            "cells without data hold {} in {}",
                            json::cell_text(cell),
                            out.path.display()
                        ));
                    }
                }
                (Format::GeoTiff, raster) => raster?.write_geotiff(&out.path)?,
                (Format::Png, raster) => {
                    out.write_png(&raster?, self.colormap, (self.min, self.max), &figures)?
                }
            }
        }
        if self.json {
            terminal.print_json(&self.as_json(&grid, &answer, &figures, marked.as_ref()))?;
        } else {
            terminal.print(self.as_text(&grid, &answer, &figures))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn as_json(
        &self,
        grid: &Grid,
        answer: &Answer,
        figures: &Figures,
        marked: Option<&Cells>,
    ) -> Value {
        let structure = grid.structure();
        let levels = answer.window.levels(structure.dimensions().len());
        json!({
            "levels": json::levels(structure, levels), "layer": answer.layer.to_string(),
            "dtype": answer.array.dtype().name(), "shape": answer.array.shape(),
            "min": figures.end(0).map(json::cell), "max": figures.end(1).map(json::cell), "mean": figures.mean,
            "valid_share": figures.valid_share(),
            "window": json::window(structure, &answer.window), "extent": json::extent(structure, &answer.extent),
            "chunks_read": answer.chunks_read,
            "stale": answer.stale.iter().map(|window| json::window(structure, window)).collect::<Vec<_>>(),
            "coordinates": json::coordinates(structure, answer.coordinates.as_ref()),
            "inexact": answer.inexact, "out": self.out.as_ref().map(|out| out.path.display().to_string()),
            "nodata": marked.map(json::cell),
        })
    }

    fn as_text(&self, grid: &Grid, answer: &Answer, figures: &Figures) -> String {
        let structure = grid.structure();
        let shape = answer
            .array
            .shape()
            .iter()
            .map(usize::to_string)
            .collect::<Vec<_>>()
            .join(" x ");
        let level = json::levels_text(
            structure,
            answer.window.levels(structure.dimensions().len()),
        );
        let what = format!(
            "{shape} cells of {}, layer {}, level {level}, {} read",
            answer.array.dtype(),
            answer.layer,
            count(answer.chunks_read, "chunk")
        );
        if let Some(out) = &self.out {
            return format!("wrote {}: {what}", out.path.display());
        }
        let events = answer
            .coordinates
            .as_ref()
            .map(|of| format!("\ntimes      {}", time::coordinates(structure, of)));
        let end = |number: usize| {
            figures
                .end(number)
                .map_or("none".to_owned(), json::cell_text)
        };
        format!(
            "{what}\nvalues     {} to {}, mean {}, {:.2} % valid{}\nextent     {}\nwindow     {} at level {level}\nstale      {}",
            end(0),
            end(1),
            figures
                .mean
                .map_or("none".to_owned(), |mean| mean.to_string()),
            figures.valid_share() * 100.0,
            events.unwrap_or_default(),
            time::ranges(structure, answer.extent.bounds()),
            json::window_text(structure, &answer.window),
            if answer.stale.is_empty() {
                "nothing".to_owned()
            } else {
                count(answer.stale.len() as u64, "part")
            },
        )
    }
}
