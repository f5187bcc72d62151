//! `gridstone create`

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::args::{self, Aggregators, ChunkSize};
use super::naming::TimePattern;
use super::structure;
use super::terminal::Terminal;
use super::{VerbOutcome, info};
use gridstone::adapter::netcdf;
use gridstone::adapter::raster::{self, Like, RasterFile, schema_like};
use gridstone::{DType, Grid, Schema, SchemaBuilder, Store};

/// Make a grid, and the store if there is none
///
/// With --like, cell (0, 0) of level 0 is the file's upper left cell, chunks have 256 x 256 cells,
/// and the aggregator is `mean`; cell type, nodata value and coordinate reference system are the
/// file's, and several bands make a dimension `band`. No cell is read.
///
/// GeoTIFFs whose names tell their times make a dimension `time` in front together, with --time-from-name.
///
/// A NetCDF variable with a time coordinate makes a dimension `time` in front, whose cell 0 is the
/// first step, and chunks of 16 x 128 x 128 cells. Several files say together how far steps are
/// apart. Where times lie on no steps, or with --irregular, the dimension is irregular: it keeps
/// events at their exact times.
#[derive(Args, Debug)]
#[command(after_help = structure::HELP)]
pub(super) struct Create {
    /// The directory of the store
    store: PathBuf,
    /// The name of the new grid
    grid: String,
    #[command(flatten)]
    source: CreateSource,
    /// Rows and columns of a chunk, a power of two [default: 256]; with a comma, the time steps of
    /// one in front
    #[arg(long, value_name = "[T,]N")]
    chunk: Option<ChunkSize>,
    /// What coarser levels are computed by: mean, min, max, sum, count, sample, variance, std,
    /// mode, mode:K, first:DIMENSION, last:DIMENSION, several with commas, or none [default: mean]
    #[arg(long, value_name = "NAMES")]
    aggregator: Option<Aggregators>,
    /// What speed is traded for [default: fast]
    #[arg(long, value_name = "CODEC")]
    codec: Option<structure::CodecName>,
    /// The value that stands for "no data" [default: the file's]
    #[arg(long, value_name = "V", value_parser = args::nodata, allow_hyphen_values = true)]
    nodata: Option<f64>,
    /// The type of the cells, like float64, in place of that of a GeoTIFF's values
    /// [default: theirs]
    #[arg(long, value_name = "TYPE", value_parser = args::parsed::<DType>, requires = "like")]
    dtype: Option<DType>,
    /// The variable of a NetCDF file, behind the groups that it is in, like PRODUCT/no2
    /// [default: the only one]
    #[arg(long, value_name = "NAME", requires = "like")]
    variable: Option<String>,
    /// The coordinate of a NetCDF file that has its times, where several could
    /// [default: the one that CF tells]
    #[arg(long, value_name = "NAME", requires = "like")]
    time: Option<String>,
    /// Take the numbers of a NetCDF file's rows and columns for coordinates, where it has no 1-D
    /// ones
    #[arg(long, requires = "like")]
    index_axes: bool,
    /// The length of a time step, like 1h, 15min or 1d; of irregular times, the distance that most
    /// of them have [default: that of the files' times]
    #[arg(long, value_name = "STEP", value_parser = args::time_step, requires = "like")]
    time_step: Option<i128>,
    /// How the names of GeoTIFFs tell their times, a pattern of strftime like rain-%Y%m%d.tif, in
    /// which * stands for any text: makes a dimension `time` in front
    #[arg(long, value_name = "PATTERN", requires = "like")]
    time_from_name: Option<TimePattern>,
    /// Keep events at their exact times, in whatever distances they come
    #[arg(long, requires = "like")]
    irregular: bool,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct CreateSource {
    /// Take cells, type, nodata and coordinate reference system from a GeoTIFF, or from NetCDF
    /// files
    #[arg(long, value_name = "FILE", num_args = 1..)]
    like: Vec<PathBuf>,
    /// Take all of it from a description in TOML
    #[arg(long, value_name = "FILE.toml")]
    structure: Option<PathBuf>,
}

impl Create {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        // All that can be wrong with the grid is found before the store is touched.
        let schema = match (&self.source.like[..], &self.source.structure) {
            (files @ [first, ..], _) if netcdf::is_netcdf(first) => {
                self.like_netcdf(files, terminal)?
            }
            (files @ [_, ..], _) => self.like_rasters(files, terminal)?,
            ([], Some(file)) => {
                let mut description = structure::Description::read(file)?;
                description.override_with(
                    self.chunk,
                    self.nodata,
                    self.aggregator.map(|Aggregators(aggregators)| aggregators),
                );
                description.schema()?
            }
            ([], None) => anyhow::bail!("give --like or --structure"),
        };
        let schema = match self.codec {
            Some(codec) => SchemaBuilder::from(schema).codec(codec.into()).build()?,
            None => schema,
        };
        Grid::check_name(&self.grid)?;
        let store = Store::options().create(true).open(&self.store)?;
        let grid = store.create(&self.grid, schema)?;
        terminal.print(format!(
            "created grid `{}`: {}",
            grid.name(),
            info::cells(&grid)
        ))?;
        Ok(ExitCode::SUCCESS)
    }

    /// The schema of a grid with the cells of the first of some GeoTIFFs, and the times that the
    /// names of all of them say.
    fn like_rasters(&self, files: &[PathBuf], terminal: &Terminal) -> anyhow::Result<Schema> {
        let first = &files[0];
        let timed = self.time_from_name.is_some();
        let given = [
            ("--variable", self.variable.is_some()),
            ("--time", self.time.is_some()),
            ("--index-axes", self.index_axes),
            ("--time-step", self.time_step.is_some() && !timed),
            ("--irregular", self.irregular && !timed),
        ];
        if let Some((option, _)) = given.iter().find(|(_, given)| *given) {
            anyhow::bail!(
                "{option} is for NetCDF files, and `{}` is none",
                first.display()
            );
        }
        if let (Some(second), false) = (files.get(1), timed) {
            anyhow::bail!(
                "GeoTIFFs make a grid together by their times: say how names tell them with --time-from-name, like `rain-%Y%m%d.tif`, or leave `{}` out",
                second.display()
            );
        }
        let mut like = Like {
            nodata: self.nodata,
            dtype: self.dtype,
            ..Like::default()
        };
        if let Some(pattern) = &self.time_from_name {
            // Files of one time are its tiles.
            let times: BTreeSet<_> = files
                .iter()
                .map(|file| pattern.time(file))
                .collect::<anyhow::Result<_>>()?;
            let mut steps = netcdf::Like {
                time_step: self.time_step,
                ..netcdf::Like::default()
            };
            steps.time_chunk = self
                .chunk
                .and_then(|chunk| chunk.time)
                .unwrap_or(steps.time_chunk);
            steps.irregular = self.irregular.then_some(true);
            let dimension = netcdf::dimension_of(times.into_iter().collect(), &steps)
                .context("the times in the names make no dimension")?;
            self.note_irregular(dimension.is_irregular(), terminal);
            (like.time, like.chunk) = (Some(dimension), 128);
        }
        let raster = raster::open(first)?;
        raster
            .header()
            .notes
            .iter()
            .for_each(|note| terminal.note(format!("{}: {note}", first.display())));
        like.chunk = self.chunk.map_or(like.chunk, |chunk| chunk.space);
        if let Some(Aggregators(aggregators)) = &self.aggregator {
            like.aggregators.clone_from(aggregators);
        }
        let alone = || format!("`{}` makes no grid", first.display());
        schema_like(raster.header(), &like).with_context(alone)
    }

    fn note_irregular(&self, irregular: bool, terminal: &Terminal) {
        if !self.irregular && irregular {
            terminal.note("the times lie on no steps, or on few of them: dimension `time` keeps events at their exact times");
        }
    }

    fn like_netcdf(&self, files: &[PathBuf], terminal: &Terminal) -> anyhow::Result<Schema> {
        anyhow::ensure!(
            self.dtype.is_none(),
            "--dtype is for GeoTIFFs, and `{}` is NetCDF, whose type is kept",
            files[0].display()
        );
        let mut choice = netcdf::Choice::default();
        (choice.variable, choice.time, choice.index_axes) =
            (self.variable.clone(), self.time.clone(), self.index_axes);
        let open = |file: &PathBuf| netcdf::Field::open(file, &choice);
        let fields = files
            .iter()
            .map(open)
            .collect::<gridstone::Result<Vec<_>>>()?;
        let mut like = netcdf::Like::default();
        like.time_chunk = self
            .chunk
            .and_then(|chunk| chunk.time)
            .unwrap_or(like.time_chunk);
        like.chunk = self.chunk.map(|chunk| chunk.space);
        (like.time_step, like.nodata) = (self.time_step, self.nodata);
        like.irregular = self.irregular.then_some(true);
        if let Some(Aggregators(aggregators)) = &self.aggregator {
            like.aggregators = aggregators.clone();
        }
        let shown = |file: &PathBuf| file.display().to_string();
        for (file, field) in files.iter().zip(&fields) {
            field
                .notes()
                .iter()
                .for_each(|note| terminal.note(format!("{}: {note}", shown(file))));
        }
        let together = || {
            format!(
                "`{}` make no grid",
                files.iter().map(shown).collect::<Vec<_>>().join("`, `")
            )
        };
        let alone = || format!("`{}` makes no grid", shown(&files[0]));
        let made = netcdf::schema_like(&fields, &like);
        let schema = if files.len() > 1 {
            made.with_context(together)?
        } else {
            made.with_context(alone)?
        };
        for (file, field) in files.iter().zip(&fields) {
            field.check(&schema).with_context(|| {
                format!(
                    "`{}` does not fit the grid of `{}`",
                    shown(file),
                    shown(&files[0])
                )
            })?;
        }
        self.note_irregular(schema.structure().irregular().is_some(), terminal);
        Ok(schema)
    }
}
