//! `gridstone read`

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::args;
use super::collapse::OverTime;
use super::figures::Figures;
use super::output::{Output, OutputFormat};
use super::parts::Parts;
use super::select::SelectionArgs;
use super::show::{self, Show};
use super::terminal::{Terminal, count};
use super::{VerbOutcome, json, open, time};
use gridstone::adapter::quicklook::Ramp;
use gridstone::adapter::raster::{self, Marked, Raster};
use gridstone::adapter::text::quoted;
use gridstone::array::Cells;
use gridstone::{Answer, Coordinates, DType, Explanation, Extent, Grid, Layer, Query, Window};

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
/// A .tif of cells as they are may be of any size; what is resampled, and other files, are held in
/// memory. `gridstone export` writes files of any size.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  gridstone read store dem --extent -119.5,37,-119,37.5 --resolution 0.002 --resampling area --out part.tif\n  gridstone read store dem --like scene.tif --resampling bilinear --out dem-of-scene.tif"
)]
pub(super) struct Read {
    #[command(flatten)]
    selection: SelectionArgs,
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

/// What is said of what was read.
struct Told {
    dtype: DType,
    shape: Vec<usize>,
    layer: Layer,
    window: Window,
    extent: Extent,
    chunks_read: u64,
    /// How many parts are out of date.
    parts_stale: u64,
    /// These, as far as they are told.
    stale: Vec<Window>,
    coordinates: Option<Coordinates>,
    inexact: u64,
    figures: Figures,
    /// What cells without data hold, if nothing else says it.
    marked: Option<Cells>,
}

/// Cells along each axis.
fn lens(window: &Window) -> Vec<usize> {
    let len = |len: &u64| usize::try_from(*len).unwrap_or(usize::MAX);
    window.shape().iter().map(len).collect()
}

impl Read {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        if let Some(out) = &self.out {
            out.check(self.overwrite)?;
        }
        let store = open(&self.selection.store)?;
        let grid = store.snapshot()?.grid(&self.selection.grid)?;
        let query = self.selection.query(terminal, &grid)?;
        let told = match self.parts(&grid, &query)? {
            Some((parts, plan, out)) => {
                let exported = parts.write(terminal, &out.path)?;
                let looked = self.json.then(|| parts.look()).transpose()?;
                let (figures, stale) = looked.unwrap_or_default();
                Told {
                    dtype: parts.dtype(),
                    shape: lens(&plan.window),
                    layer: plan.layer,
                    window: plan.window,
                    extent: plan.extent,
                    chunks_read: exported.chunks_read,
                    parts_stale: exported.stale,
                    stale,
                    coordinates: None,
                    inexact: exported.inexact,
                    figures,
                    marked: None,
                }
            }
            None => self.held(terminal, &grid, &query)?,
        };
        self.warn(terminal, &grid, &told);
        if self.json {
            terminal.print_json(&self.as_json(&grid, &told))?;
        } else {
            terminal.print(self.as_text(&grid, &told))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What of the answer goes into a file part by part, and where, if it can.
    fn parts(
        &self,
        grid: &Grid,
        query: &Query,
    ) -> anyhow::Result<Option<(Parts, Explanation, &Output)>> {
        let out = self
            .out
            .as_ref()
            .filter(|out| out.format == OutputFormat::GeoTiff);
        let Some(out) = out.filter(|_| self.over_time.is_none() && self.show.is_none()) else {
            return Ok(None);
        };
        let plan = grid.explain(query)?;
        let parts = Parts::of(grid, &plan, self.selection.freshness())?;
        Ok(parts.map(|parts| (parts, plan, out)))
    }

    /// Reads an answer whole, and writes it where there is a file.
    fn held(&self, terminal: &Terminal, grid: &Grid, query: &Query) -> anyhow::Result<Told> {
        let answer = match self.show {
            Some(Show::Level) => show::levels(grid, query)?,
            None => grid.read(query)?,
        };
        let answer = match self.over_time {
            Some(over_time) => over_time.of(grid, answer)?,
            None => answer,
        };
        let figures = Figures::of(&answer);
        let marked = self.write(terminal, grid, (&answer, &figures))?;
        Ok(Told {
            dtype: answer.array.dtype(),
            shape: answer.array.shape().to_vec(),
            layer: answer.layer,
            window: answer.window,
            extent: answer.extent,
            chunks_read: answer.chunks_read,
            parts_stale: answer.stale.len() as u64,
            stale: answer.stale,
            coordinates: answer.coordinates,
            inexact: answer.inexact,
            figures,
            marked,
        })
    }

    fn warn(&self, terminal: &Terminal, grid: &Grid, told: &Told) {
        if told.parts_stale > 0 {
            terminal.warn(format!(
                "{} of what was read {} out of date; read with --fresh, or run `gridstone aggregate {} {}`",
                count(told.parts_stale, "part"),
                if told.parts_stale == 1 { "is" } else { "are" },
                quoted(&self.selection.store.display().to_string()),
                grid.name()
            ));
        }
        if told.inexact > 0 {
            terminal.warn(format!(
                "{} had more classes under them than the layer keeps, so that another may be the most frequent",
                count(told.inexact, "cell")
            ));
        }
    }

    /// Writes the file, if one is asked for; what cells without data hold in it, if that has to be
    /// said.
    fn write(
        &self,
        terminal: &Terminal,
        grid: &Grid,
        (answer, figures): (&Answer, &Figures),
    ) -> anyhow::Result<Option<Cells>> {
        let Some(out) = &self.out else {
            return Ok(None);
        };
        let raster = Raster::new(grid, answer);
        match (out.format, raster) {
            (OutputFormat::Npy, raster) => {
                // An array may have any axes.
                let whole = || {
                    Marked::new(
                        answer.array.clone(),
                        answer.valid(),
                        raster::preferred(grid, answer),
                    )
                };
                let cells = raster.map_or_else(|_| whole(), Marked::from);
                gridstone::adapter::npy::write(&out.path, cells.unmasked()?)?;
                let marked = cells.nodata.filter(|cell| !cell.dtype().is_float());
                if let Some((cell, _)) = marked.as_ref().zip(cells.valid) {
                    terminal.warn(format!(
                        "cells without data hold {} in {}",
                        json::cell_text(cell),
                        out.path.display()
                    ));
                }
                return Ok(marked);
            }
            (OutputFormat::GeoTiff, raster) => raster?.write_geotiff(&out.path)?,
            (OutputFormat::Png, raster) => {
                out.write_png(&raster?, self.colormap, (self.min, self.max), figures)?;
            }
        }
        Ok(None)
    }

    fn as_json(&self, grid: &Grid, told: &Told) -> Value {
        let structure = grid.structure();
        let levels = told.window.levels(structure.dimensions().len());
        let figures = &told.figures;
        json!({
            "levels": json::levels(structure, levels), "layer": told.layer.to_string(),
            "dtype": told.dtype.name(), "shape": told.shape,
            "min": figures.end(0).map(json::cell), "max": figures.end(1).map(json::cell), "mean": figures.mean,
            "valid_share": figures.valid_share(),
            "window": json::window(structure, &told.window), "extent": json::extent(structure, &told.extent),
            "chunks_read": told.chunks_read,
            "stale": told.stale.iter().map(|window| json::window(structure, window)).collect::<Vec<_>>(),
            "coordinates": json::coordinates(structure, told.coordinates.as_ref()),
            "inexact": told.inexact, "out": self.out.as_ref().map(|out| out.path.display().to_string()),
            "nodata": told.marked.as_ref().map(json::cell),
        })
    }

    fn as_text(&self, grid: &Grid, told: &Told) -> String {
        let (structure, figures) = (grid.structure(), &told.figures);
        let shape: Vec<String> = told.shape.iter().map(usize::to_string).collect();
        let shape = shape.join(" x ");
        let level = json::levels_text(structure, told.window.levels(structure.dimensions().len()));
        let what = format!(
            "{shape} cells of {}, layer {}, level {level}, {} read",
            told.dtype,
            told.layer,
            count(told.chunks_read, "chunk")
        );
        if let Some(out) = &self.out {
            return format!("wrote {}: {what}", out.path.display());
        }
        let events = told
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
            time::ranges(structure, told.extent.bounds()),
            json::window_text(structure, &told.window),
            if told.parts_stale == 0 {
                "nothing".to_owned()
            } else {
                count(told.parts_stale, "part")
            },
        )
    }
}
