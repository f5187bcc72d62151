//! `gridstone export`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::{Value, json};

use super::output::check_path;
use super::region::RegionArgs;
use super::terminal::{self, Terminal, count};
use super::{VerbOutcome, args, json, open};
use gridstone::adapter::export::{Exported, Selection};
use gridstone::adapter::geotiff::Compression;
use gridstone::adapter::netcdf::export::NetCdfExport;
use gridstone::adapter::raster::RasterAxes;
use gridstone::adapter::raster::export::{GeoTiffExport, Make};
use gridstone::adapter::text::quoted;
use gridstone::adapter::zarr::{self, View, ViewOptions};
use gridstone::{Freshness, Grid, Layer, Window};

/// Write a grid, or a part of it, to a file of any size, or to a folder of Zarr
///
/// OUT.tif is a Cloud Optimized GeoTIFF, whose overviews are levels of the grid. So that their
/// cells lie exactly over those of the image, this is widened to a multiple of the coarsest ones:
/// with N overviews by fewer than 2^N cells at each side, mostly without data. All of its cells
/// have one type: those of the layer, which makes of single cells what level 0 has. With --layer
/// base the overviews are of the first aggregator of the same type, and there are none without one.
/// A band is a label, or a step of time. Cells without data are NaN, the grid's nodata value, or
/// another that no cell with data has; where there is none, the file has masks.
///
/// OUT.nc is a NetCDF file by the CF conventions, of the classic format, with a variable for each
/// layer that --layer names: the base at the base levels, else the first aggregator. Absent cells
/// are NaN, or _FillValue. It is not compressed.
///
/// OUT.zarr is a folder with a Zarr hierarchy: a group for each level from the cells that are asked
/// for up, of the layer that --layer names, else of the first aggregator. The box is widened to
/// whole cells of the coarsest level. Its metadata comes last; what was cut short is completed by
/// the same command, and --overwrite brings a finished one up to date.
///
/// All is read from one snapshot of the store, as fresh as it is then, in bounded memory. The file
/// appears when it is complete.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  gridstone export store dem dem.tif\n  gridstone export store dem part.tif --extent -119.5,37,-119,37.5 --layer base --plain --compress zstd\n  gridstone export store rain may.nc --period 2020-05-01/2020-06-01\n  gridstone export store dem dem.zarr"
)]
pub(super) struct Export {
    /// The directory of the store
    store: PathBuf,
    /// The name of the grid
    grid: String,
    /// What to write: .tif, .nc or .zarr
    #[arg(value_name = "OUT", value_parser = ExportTarget::parse)]
    out: ExportTarget,
    #[command(flatten)]
    region: RegionArgs,
    /// base, or an aggregator of the grid; of a .nc several with commas between
    /// [default: of a .tif with overviews the first aggregator, else the base at the base levels]
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = args::parsed::<Layer>)]
    layer: Vec<Layer>,
    /// Take aggregates as they are stored, in place of computing what is out of date
    #[arg(long)]
    stored: bool,
    /// A .tif without overviews, of exactly the cells that are asked for
    #[arg(long, conflicts_with = "overviews")]
    plain: bool,
    /// How many overviews a .tif has at most [default: until one fits into a tile]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=40))]
    overviews: Option<u8>,
    /// Rows and columns of a tile of a .tif, a multiple of 16 [default: 512]
    #[arg(long, value_name = "N")]
    tile: Option<usize>,
    /// deflate, zstd or none, for a .tif [default: deflate]
    #[arg(long, value_name = "NAME", value_parser = compression())]
    compress: Option<Compression>,
    /// 3, or 2 for readers that know no other, of a .zarr [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=3))]
    zarr_format: Option<u8>,
    /// Replace the file if there is one, or bring the .zarr up to date
    #[arg(long)]
    overwrite: bool,
    /// Print {"out", "bytes", "cells", "chunks_read", "stale", "levels", "layers", "overviews",
    /// "window", "extent", "seconds"}, of a .zarr {"out", "bytes", "files", "kept", "levels",
    /// "layers", "seconds"}
    #[arg(long)]
    json: bool,
}

fn compression() -> impl TypedValueParser<Value = Compression> {
    PossibleValuesParser::new(["deflate", "zstd", "none"]).map(|name| match name.as_str() {
        "zstd" => Compression::Zstd,
        "none" => Compression::None,
        _ => Compression::Deflate,
    })
}

/// A file to write, of the format that its name says.
#[derive(Clone, Debug)]
struct ExportTarget {
    path: PathBuf,
    format: FileFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileFormat {
    GeoTiff,
    NetCdf,
    Zarr,
}

impl ExportTarget {
    fn parse(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        let ending = path
            .extension()
            .map(|ending| ending.to_string_lossy().to_lowercase());
        let format = match ending.as_deref() {
            Some("tif" | "tiff") => FileFormat::GeoTiff,
            Some("nc") => FileFormat::NetCdf,
            Some("zarr") => FileFormat::Zarr,
            _ => return Err("its name must end in .tif, .nc or .zarr".to_owned()),
        };
        Ok(Self { path, format })
    }
}

/// What was written.
struct WrittenFile {
    exported: Exported,
    window: Window,
    /// The layers of the image, or of the variables.
    layers: Vec<Layer>,
    /// How many levels above those of the image there are.
    overviews: usize,
}

impl Export {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        let start = Instant::now();
        self.check_options()?;
        // What a folder holds is looked at later.
        check_path(
            &self.out.path,
            self.overwrite || self.out.format == FileFormat::Zarr,
        )?;
        let store = open(&self.store)?;
        let grid = store.snapshot()?.grid(&self.grid)?;
        for layer in &self.layer {
            grid.layer_dtype(layer)?;
        }
        let written = match self.out.format {
            FileFormat::GeoTiff => self.geotiff(terminal, &grid, &self.window(terminal, &grid)?)?,
            FileFormat::NetCdf => self.netcdf(terminal, &grid, &self.window(terminal, &grid)?)?,
            FileFormat::Zarr => return self.zarr(terminal, &grid, start),
        };
        if written.exported.stale > 0 {
            terminal.warn(format!(
                "{} of what was read out of date; leave --stored out, or run `gridstone aggregate {} {}`",
                if written.exported.stale == 1 { "a part is" } else { "parts are" },
                quoted(&self.store.display().to_string()),
                grid.name()
            ));
        }
        if written.exported.inexact > 0 {
            terminal.warn(format!(
                "{} had more classes under them than the layer keeps, so that another may be the most frequent",
                count(written.exported.inexact, "cell")
            ));
        }
        let bytes = std::fs::metadata(&self.out.path)
            .with_context(|| format!("`{}` cannot be looked at", self.out.path.display()))?
            .len();
        let seconds = start.elapsed().as_secs_f64();
        if self.json {
            terminal.print_json(&self.as_json(&grid, &written, (bytes, seconds)))?;
        } else {
            terminal.print(self.as_text(&grid, &written, (bytes, seconds)))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Refuses options that the format has no use for.
    fn check_options(&self) -> anyhow::Result<()> {
        use FileFormat::{GeoTiff, Zarr};
        let own = [
            ("--plain", self.plain, GeoTiff),
            ("--overviews", self.overviews.is_some(), GeoTiff),
            ("--tile", self.tile.is_some(), GeoTiff),
            ("--compress", self.compress.is_some(), GeoTiff),
            ("--zarr-format", self.zarr_format.is_some(), Zarr),
        ];
        let ending = |format: FileFormat| match format {
            GeoTiff => ".tif",
            FileFormat::NetCdf => ".nc",
            Zarr => ".zarr",
        };
        for (option, given, format) in own {
            anyhow::ensure!(
                !given || self.out.format == format,
                "{option} is of a {}, and does nothing for a {}; leave it out, or write a {0}",
                ending(format),
                ending(self.out.format)
            );
        }
        Ok(())
    }

    /// The cells that are asked for.
    fn window(&self, terminal: &Terminal, grid: &Grid) -> anyhow::Result<Window> {
        let structure = grid.structure();
        let bounds = grid
            .bounds()?
            .with_context(|| format!("grid `{}` is empty: nothing was put yet", grid.name()))?;
        let axes = RasterAxes::of(structure)?;
        let found = self.region.find(terminal, grid, (axes, bounds))?;
        Ok(found.window(structure, axes)?)
    }

    fn freshness(&self) -> Freshness {
        if self.stored {
            Freshness::Stored
        } else {
            Freshness::Fresh
        }
    }

    fn geotiff(
        &self,
        terminal: &Terminal,
        grid: &Grid,
        window: &Window,
    ) -> anyhow::Result<WrittenFile> {
        let first = || grid.schema().aggregators().first().cloned();
        let overviews = if self.plain { Some(0) } else { self.overviews };
        anyhow::ensure!(
            self.layer.len() < 2,
            "a .tif has one layer; write one at a time, or a .nc, which has several"
        );
        let own = first()
            .filter(|_| overviews != Some(0))
            .map(Layer::Aggregate);
        let layer = self.layer.first().cloned().or(own);
        let selection = Selection::new(grid, window, layer)?.freshness(self.freshness());
        let mut make = Make::default();
        make.overviews = overviews;
        make.compression = self.compress.unwrap_or(make.compression);
        make.tile = self.tile.unwrap_or(make.tile);
        let tile = make.tile as u64;
        let mut export = GeoTiffExport::new(&selection, make)?;
        let axes = RasterAxes::of(grid.structure())?;
        let more = |axis: usize| export.window().shape()[axis] - window.shape()[axis];
        if more(axes.y) + more(axes.x) > 0 {
            terminal.note(format!(
                "the image has {} rows and {} columns more than was asked for, so that overviews lie over whole cells; --plain leaves both out",
                more(axes.y),
                more(axes.x)
            ));
        }
        if export.layers().count() == 1 && overviews.is_none() && *selection.layer() == Layer::Base
        {
            let [y, x] = [axes.y, axes.x].map(|axis| window.shape()[axis]);
            if y.max(x) > tile {
                terminal.note("no aggregator of the grid gives cells of the type and unit of the base, so the file has no overviews");
            }
        }
        let bar = terminal.progress("looking", export.cells());
        export.look(&|cells| bar.inc(cells))?;
        bar.finish_and_clear();
        let bar = terminal.progress("writing", export.cells());
        let exported = export.write(&self.out.path, &|cells| bar.inc(cells))?;
        bar.finish_and_clear();
        Ok(WrittenFile {
            exported,
            window: *export.window(),
            layers: export.layers().take(1).cloned().collect(),
            overviews: export.layers().count() - 1,
        })
    }

    fn netcdf(
        &self,
        terminal: &Terminal,
        grid: &Grid,
        window: &Window,
    ) -> anyhow::Result<WrittenFile> {
        let selection = Selection::new(grid, window, None)?.freshness(self.freshness());
        let mut export = NetCdfExport::new(&selection, &self.layer)?;
        let bar = terminal.progress("looking", export.cells());
        export.look(&|cells| bar.inc(cells))?;
        bar.finish_and_clear();
        let bar = terminal.progress("writing", export.cells());
        let exported = export.write(&self.out.path, &|cells| bar.inc(cells))?;
        bar.finish_and_clear();
        Ok(WrittenFile {
            exported,
            window: *window,
            layers: export.layers().cloned().collect(),
            overviews: 0,
        })
    }

    fn zarr(&self, terminal: &Terminal, grid: &Grid, start: Instant) -> VerbOutcome {
        anyhow::ensure!(
            self.layer.len() < 2,
            "a .zarr has one layer; write one at a time, or a .nc, which has several"
        );
        anyhow::ensure!(!self.stored, "a .zarr is always fresh; leave --stored out");
        let is_whole = self.region.is_whole() && self.region.period.is_none();
        let options = ViewOptions {
            layer: self.layer.first().cloned(),
            window: (!is_whole)
                .then(|| self.window(terminal, grid))
                .transpose()?,
            format: if self.zarr_format == Some(2) {
                zarr::Format::V2
            } else {
                zarr::Format::V3
            },
        };
        let view = View::new(grid, &options)?;
        let bar = terminal.progress("writing", 0);
        let written = zarr::export(&view, &self.out.path, self.overwrite, &|done, all| {
            bar.set_length(all);
            bar.set_position(done);
        })?;
        bar.finish_and_clear();
        let seconds = start.elapsed().as_secs_f64();
        let (out, layer) = (self.out.path.display(), view.layer());
        if self.json {
            terminal.print_json(&json!({
                "out": out.to_string(), "bytes": written.bytes, "files": written.written, "kept": written.kept,
                "levels": view.levels(), "layers": [layer.to_string()], "seconds": seconds,
            }))?;
        } else {
            let kept = match written.kept {
                0 => String::new(),
                kept => format!(", {} kept", count(kept, "chunk")),
            };
            terminal.print(format!(
                "wrote {out}: {} of layer {layer}, {} of {}{kept}, {seconds:.2} s",
                count(view.levels() as u64, "level"),
                count(written.written, "file"),
                terminal::bytes(written.bytes),
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn as_json(&self, grid: &Grid, written: &WrittenFile, (bytes, seconds): (u64, f64)) -> Value {
        let structure = grid.structure();
        let levels = written.window.levels(structure.dimensions().len());
        json!({
            "out": self.out.path.display().to_string(), "bytes": bytes,
            "cells": written.exported.cells, "chunks_read": written.exported.chunks_read,
            "stale": written.exported.stale, "levels": json::levels(structure, levels),
            "layers": written.layers.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "overviews": written.overviews,
            "window": json::window(structure, &written.window),
            "extent": json::extent(structure, &structure.extent(&written.window)), "seconds": seconds,
        })
    }

    fn as_text(&self, grid: &Grid, written: &WrittenFile, (bytes, seconds): (u64, f64)) -> String {
        let structure = grid.structure();
        let shape = written.window.shape();
        let shape: Vec<String> = shape.iter().map(u64::to_string).collect();
        let level = json::levels_text(
            structure,
            written.window.levels(structure.dimensions().len()),
        );
        let layers: Vec<String> = written.layers.iter().map(ToString::to_string).collect();
        let overviews = match written.overviews as u64 {
            0 => String::new(),
            many => format!(", {}", count(many, "overview")),
        };
        format!(
            "wrote {}: {} cells, layer {}, level {level}{overviews}, {}, {seconds:.2} s",
            self.out.path.display(),
            shape.join(" x "),
            layers.join(", "),
            terminal::bytes(bytes)
        )
    }
}
