//! `gridstone create`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::args::{self, Aggregators, ChunkSize};
use super::structure;
use super::terminal::Terminal;
use super::{Outcome, info};
use crate::adapter::geotiff::GeoTiff;
use crate::adapter::netcdf;
use crate::adapter::raster::{Like, schema_like};
use crate::{Schema, Store};

/// Make a grid, and the store if there is none
///
/// With --like, cell (0, 0) of level 0 is the file's upper left cell, chunks have 256 x 256 cells, and the aggregator is
/// `mean`; cell type, nodata value and coordinate reference system are the file's, and several bands make a dimension `band`.
/// No cell is read.
///
/// A NetCDF variable with a time coordinate makes a dimension `time` in front, whose cell 0 is the file's first step, and chunks
/// of 16 x 128 x 128 cells.
#[derive(Args, Debug)]
#[command(after_help = structure::HELP)]
pub(super) struct Create {
    /// The directory of the store
    store: PathBuf,
    /// The name of the new grid
    grid: String,
    #[command(flatten)]
    source: Source,
    /// Rows and columns of a chunk, a power of two [default: 256]; with a comma, the time steps of one in front
    #[arg(long, value_name = "[T,]N")]
    chunk: Option<ChunkSize>,
    /// What coarser levels are computed by: mean, min, max, sum, count, sample, variance, std, mode, mode:K, first:DIMENSION, last:DIMENSION, several with commas, or none [default: mean]
    #[arg(long, value_name = "NAMES")]
    aggregator: Option<Aggregators>,
    /// The value that stands for "no data" [default: the file's]
    #[arg(long, value_name = "V", value_parser = args::nodata, allow_hyphen_values = true)]
    nodata: Option<f64>,
    /// The variable of a NetCDF file [default: the only one]
    #[arg(long, value_name = "NAME", requires = "like")]
    variable: Option<String>,
    /// Take the numbers of a NetCDF file's rows and columns for coordinates, where it has no 1-D ones
    #[arg(long, requires = "like")]
    index_axes: bool,
    /// The length of a time step, like 1h, 15min or 1d [default: the spacing of the file's times]
    #[arg(long, value_name = "STEP", value_parser = args::time_step, requires = "like")]
    time_step: Option<i128>,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Source {
    /// Take cells, type, nodata and coordinate reference system from a GeoTIFF or a NetCDF file
    #[arg(long, value_name = "FILE")]
    like: Option<PathBuf>,
    /// Take all of it from a description in TOML
    #[arg(long, value_name = "FILE.toml")]
    structure: Option<PathBuf>,
}

impl Create {
    pub(super) fn run(self, terminal: &Terminal) -> Outcome {
        // All that can be wrong with the grid is found before the store is touched.
        let schema = match (&self.source.like, &self.source.structure) {
            (Some(file), _) if netcdf::is_netcdf(file) => self.like_netcdf(file)?,
            (Some(file), _) => {
                let given = [("--variable", self.variable.is_some()), ("--index-axes", self.index_axes)];
                if let Some((option, _)) =
                    given.iter().chain(&[("--time-step", self.time_step.is_some())]).find(|(_, given)| *given)
                {
                    anyhow::bail!("{option} is for NetCDF files, and `{}` is none", file.display());
                }
                let tiff = GeoTiff::open(file)?;
                tiff.header().notes.iter().for_each(|note| terminal.note(format!("{}: {note}", file.display())));
                let mut like = Like { nodata: self.nodata, ..Like::default() };
                like.chunk = self.chunk.map_or(like.chunk, |chunk| chunk.space);
                like.aggregators = self.aggregator.map_or(like.aggregators, |Aggregators(aggregators)| aggregators);
                schema_like(tiff.header(), &like)?
            }
            (None, Some(file)) => {
                let mut description = structure::Description::read(file)?;
                description.override_with(
                    self.chunk.map(|chunk| chunk.space),
                    self.nodata,
                    self.aggregator.map(|Aggregators(aggregators)| aggregators),
                );
                description.schema()?
            }
            (None, None) => anyhow::bail!("give --like or --structure"),
        };
        crate::grid::check_name("grid", &self.grid)?;
        let store = Store::options().create(true).open(&self.store)?;
        let grid = store.create(&self.grid, schema)?;
        terminal.print(format!("created grid `{}`: {}", grid.name(), info::cells(&grid)))?;
        Ok(ExitCode::SUCCESS)
    }

    fn like_netcdf(&self, file: &Path) -> anyhow::Result<Schema> {
        let field = netcdf::Field::open(file, self.variable.as_deref(), self.index_axes)?;
        let mut like = netcdf::Like::default();
        like.time_chunk = self.chunk.and_then(|chunk| chunk.time).unwrap_or(like.time_chunk);
        like.chunk = self.chunk.map(|chunk| chunk.space);
        (like.time_step, like.nodata) = (self.time_step, self.nodata);
        if let Some(Aggregators(aggregators)) = &self.aggregator {
            like.aggregators = aggregators.clone();
        }
        netcdf::schema_like(&field, &like).with_context(|| format!("`{}` makes no grid", file.display()))
    }
}
