//! `gridstone create`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::args::{self, Aggregators};
use super::structure;
use super::terminal::Terminal;
use super::{Outcome, info};
use crate::Store;
use crate::adapter::geotiff::GeoTiff;
use crate::adapter::raster::{Like, schema_like};

/// Make a grid, and the store if there is none
///
/// With --like, cell (0, 0) of level 0 is the file's upper left cell, chunks have 256 x 256 cells, and the aggregator is
/// `mean`; cell type, nodata value and coordinate reference system are the file's, and several bands make a dimension `band`.
/// No cell is read.
#[derive(Args, Debug)]
#[command(after_help = structure::HELP)]
pub(super) struct Create {
    /// The directory of the store
    store: PathBuf,
    /// The name of the new grid
    grid: String,
    #[command(flatten)]
    source: Source,
    /// Rows and columns of a chunk, a power of two [default: 256]
    #[arg(long, value_name = "N", value_parser = args::chunk)]
    chunk: Option<u32>,
    /// What coarser levels are computed by: mean, min, max, sum, count, sample, variance, std, mode, mode:K, first:DIMENSION, last:DIMENSION, several with commas, or none [default: mean]
    #[arg(long, value_name = "NAMES")]
    aggregator: Option<Aggregators>,
    /// The value that stands for "no data" [default: the file's]
    #[arg(long, value_name = "V", value_parser = args::nodata, allow_hyphen_values = true)]
    nodata: Option<f64>,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Source {
    /// Take cells, type, nodata and coordinate reference system from a GeoTIFF
    #[arg(long, value_name = "FILE.tif")]
    like: Option<PathBuf>,
    /// Take all of it from a description in TOML
    #[arg(long, value_name = "FILE.toml")]
    structure: Option<PathBuf>,
}

impl Create {
    pub(super) fn run(self, terminal: &Terminal) -> Outcome {
        // All that can be wrong with the grid is found before the store is touched.
        let schema = match (&self.source.like, &self.source.structure) {
            (Some(file), _) => {
                let tiff = GeoTiff::open(file)?;
                tiff.header().notes.iter().for_each(|note| terminal.note(format!("{}: {note}", file.display())));
                let mut like = Like { nodata: self.nodata, ..Like::default() };
                like.chunk = self.chunk.unwrap_or(like.chunk);
                like.aggregators = self.aggregator.map_or(like.aggregators, |Aggregators(aggregators)| aggregators);
                schema_like(tiff.header(), &like)?
            }
            (None, Some(file)) => {
                let mut description = structure::Description::read(file)?;
                description.override_with(self.chunk, self.nodata, self.aggregator.map(|Aggregators(aggregators)| aggregators));
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
}
