//! The description of a grid in TOML.

use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

use super::args::ChunkSize;
use gridstone::{Aggregation, Axis, Codec, Depth, Dimension, Filter, Schema, Structure};

/// What `gridstone create --help` ends with.
pub(super) const HELP: &str = "Example:
  gridstone create store dem --like srtm.tif --aggregator mean,max

A description for --structure; unknown keys are refused, and what has a default may be left out:

  dtype = \"int16\"                     # uint8 to uint64, int8 to int64, float32, float64
  nodata = -32768                     # default: none but NaN
  crs = \"EPSG:32632\"                  # or WKT; default: none
  variable = \"t2m\"                   # what the cells hold; NetCDF files with another variable are refused; default: none
  unit = \"K\"                         # values in other units are converted, or refused; default: none
  aggregators = [\"mean\", \"mode:16\"]   # see --aggregator; default: mean
  filter = \"delta\"                    # none, shuffle, delta or auto (default): delta or none, whichever is smaller
  codec = \"fast\"                      # fast (default): packed at the speed of memory; small: always zstd
  zstd_level = 1                      # 1 (default) to 19

  [[dimension]]                       # in the order of an array's axes
  name = \"band\"
  labels = [\"red\", \"infrared\"]        # a Fixed dimension
  together = true                     # all labels in one chunk; default: a chunk for each

  [[dimension]]
  name = \"space\"
  refinable = true                    # base data at several levels; default: if it is the only levelled one
  depth = 4                           # levels above the base; default: to the top
  axis = [
    { name = \"y\", origin = 5400000, step = -10, chunk = 256 },
    { name = \"x\", origin = 300000, step = 10, chunk = 256 },
  ]

  [[dimension]]
  name = \"time\"                       # regular steps of time
  axis = [{ name = \"time\", origin = 0, step = 1, chunk = 16, unit = \"hours since 1970-01-01\" }]

  [[dimension]]
  name = \"time\"                       # or an irregular dimension: events at exact times, whole numbers of the unit
  unit = \"seconds since 1970-01-01\"
  spacing = 3600                      # how far apart most of them are; changes speed, and nothing else
  capacity = 16                       # events of a chunk, a power of two; default: 16";

/// Events of a chunk.
const CAPACITY: u32 = 16;

/// A whole description.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    dtype: String,
    nodata: Option<f64>,
    crs: Option<String>,
    variable: Option<String>,
    unit: Option<String>,
    aggregators: Option<Vec<String>>,
    filter: Option<FilterName>,
    zstd_level: Option<i32>,
    codec: Option<CodecName>,
    dimension: Vec<DimensionTable>,
}

/// What speed is traded for.
#[derive(Clone, Copy, Debug, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum CodecName {
    /// Packed at the speed of memory; zstd only where that saves more than half of the raw bytes
    Fast,
    /// Always zstd
    Small,
}

impl From<CodecName> for Codec {
    fn from(name: CodecName) -> Self {
        match name {
            CodecName::Fast => Self::Fast,
            CodecName::Small => Self::Small,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FilterName {
    Auto,
    None,
    Shuffle,
    Delta,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DimensionTable {
    name: String,
    labels: Option<Vec<String>>,
    together: Option<bool>,
    refinable: Option<bool>,
    depth: Option<u8>,
    axis: Option<Vec<AxisTable>>,
    unit: Option<String>,
    spacing: Option<u64>,
    capacity: Option<u32>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AxisTable {
    name: String,
    origin: f64,
    step: f64,
    chunk: u32,
    unit: Option<String>,
}

impl AxisTable {
    fn is_time(&self) -> bool {
        self.axis().time().is_some()
    }

    fn axis(&self) -> Axis {
        let axis = Axis::new(&self.name, self.origin, self.step, self.chunk);
        self.unit.iter().fold(axis, |axis, unit| axis.unit(unit))
    }
}

impl Description {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("`{}` cannot be read", path.display()))?;
        toml::from_str(&text).map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            anyhow::anyhow!("`{}`, line {line}: {}", path.display(), error.message())
        })
    }

    /// Options of the command line come before the file's.
    pub(super) fn override_with(
        &mut self,
        chunk: Option<ChunkSize>,
        nodata: Option<f64>,
        aggregators: Option<Vec<Aggregation>>,
    ) {
        for dimension in self.dimension.iter_mut().filter(|_| chunk.is_some()) {
            let time = dimension
                .axis
                .as_ref()
                .is_some_and(|axes| axes.iter().any(AxisTable::is_time));
            let size = chunk.and_then(|chunk| if time { chunk.time } else { Some(chunk.space) });
            size.into_iter().for_each(|size| {
                dimension
                    .axis
                    .iter_mut()
                    .flatten()
                    .for_each(|axis| axis.chunk = size)
            });
            dimension.capacity = dimension
                .spacing
                .and(chunk.and_then(|chunk| chunk.time))
                .or(dimension.capacity);
        }
        self.nodata = nodata.or(self.nodata);
        if let Some(aggregators) = aggregators {
            self.aggregators = Some(aggregators.iter().map(Aggregation::to_string).collect());
        }
    }

    pub(super) fn schema(&self) -> anyhow::Result<Schema> {
        let mut structure = Structure::builder();
        for table in &self.dimension {
            structure = structure.dimension(table.dimension()?);
        }
        if let Some(crs) = &self.crs {
            structure = structure.crs(crs);
        }
        let mut schema = Schema::builder(structure.build()?, self.dtype.parse()?);
        if let Some(nodata) = self.nodata {
            schema = schema.nodata(nodata);
        }
        schema = self
            .variable
            .iter()
            .fold(schema, |schema, variable| schema.variable(variable));
        schema = self
            .unit
            .iter()
            .fold(schema, |schema, unit| schema.unit(unit));
        let default = vec![Aggregation::Mean.to_string()];
        for name in self.aggregators.as_ref().unwrap_or(&default) {
            schema = schema.aggregator(name.parse()?);
        }
        if let Some(filter) = self.filter {
            schema = schema.filter(match filter {
                FilterName::Auto => Filter::Auto,
                FilterName::None => Filter::None,
                FilterName::Shuffle => Filter::Shuffle,
                FilterName::Delta => Filter::Delta,
            });
        }
        if let Some(codec) = self.codec {
            schema = schema.codec(codec.into());
        }
        if let Some(level) = self.zstd_level {
            schema = schema.zstd_level(level);
        }
        Ok(schema.build()?)
    }
}

impl DimensionTable {
    fn dimension(&self) -> anyhow::Result<Dimension> {
        let name = &self.name;
        if let (Some(unit), Some(spacing)) = (&self.unit, self.spacing) {
            let strange = self.labels.is_some()
                || self.axis.is_some()
                || self.together.is_some()
                || self.refinable.is_some();
            anyhow::ensure!(
                !strange,
                "dimension `{name}` is irregular, so it has a unit, a spacing, a capacity and a depth only"
            );
            let dimension =
                Dimension::irregular(name, unit, self.capacity.unwrap_or(CAPACITY), spacing);
            return Ok(self.depth.map_or(dimension.clone(), |depth| {
                dimension.depth(Depth::Levels(depth))
            }));
        }
        let partly = self.unit.is_some() || self.spacing.is_some() || self.capacity.is_some();
        anyhow::ensure!(
            !partly,
            "dimension `{name}` is irregular, and needs both a unit and a spacing"
        );
        match (&self.labels, &self.axis) {
            (Some(labels), None) if self.refinable.is_none() && self.depth.is_none() => {
                let dimension = Dimension::fixed(name, labels.clone());
                Ok(if self.together == Some(true) {
                    dimension.together()
                } else {
                    dimension
                })
            }
            (None, Some(_)) if self.together.is_some() => {
                anyhow::bail!("dimension `{name}` has no labels that could be together")
            }
            (None, Some(axes)) => {
                let mut dimension = Dimension::regular(name, axes.iter().map(AxisTable::axis));
                if let Some(depth) = self.depth {
                    dimension = dimension.depth(Depth::Levels(depth));
                }
                Ok(if self.refinable == Some(true) {
                    dimension.refinable()
                } else {
                    dimension
                })
            }
            (Some(_), None) => anyhow::bail!(
                "dimension `{name}` has labels, so it can be neither refinable nor have a depth"
            ),
            _ => anyhow::bail!("dimension `{name}` needs labels, or axes, or a unit and a spacing"),
        }
    }
}
