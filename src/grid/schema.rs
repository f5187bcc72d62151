//! All that is fixed about a grid when it is created.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::axis::check_name;
use super::structure::Structure;
use crate::array::with_dtype;
use crate::array::{Cell, DType};
use crate::codec::{Codec, Filter, Settings};
use crate::error::{Error, Result};
use crate::kernel::{Aggregation, Aggregator, CustomPlanes, STATE_MAX};

/// All that is fixed about a grid when it is created: structure, cell type, nodata value,
/// aggregators, codec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "SchemaBuilder", into = "SchemaBuilder")]
pub struct Schema {
    fields: SchemaBuilder,
}

/// Collects a [`Schema`]; [`build`](Self::build) validates it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchemaBuilder {
    structure: Structure,
    dtype: DType,
    nodata: Option<f64>,
    aggregators: Vec<Aggregation>,
    filter: Filter,
    zstd_level: i32,
    codec: Codec,
    /// What is kept of a service's own aggregators.
    custom: Vec<CustomPlanes>,
    variable: Option<String>,
    unit: Option<String>,
    attributes: BTreeMap<String, String>,
}

impl SchemaBuilder {
    /// The value that stands for "no data", beside NaN, which always does. It must be one of the
    /// cell type's values; for float32 the nearest one is taken.
    #[must_use]
    pub fn nodata(mut self, nodata: f64) -> Self {
        self.nodata = Some(nodata);
        self
    }

    /// Adds a layer of aggregates. The first one is read where no layer is named.
    #[must_use]
    pub fn aggregator(mut self, aggregation: Aggregation) -> Self {
        self.aggregators.push(aggregation);
        self
    }

    /// The layers of aggregates, in place of those that were added so far.
    #[must_use]
    pub fn aggregators(mut self, aggregations: impl IntoIterator<Item = Aggregation>) -> Self {
        self.aggregators = aggregations.into_iter().collect();
        let kept = &self.aggregators;
        self.custom.retain(|planes| {
            kept.contains(&Aggregation::Custom {
                name: planes.name.clone(),
            })
        });
        self
    }

    /// Adds a layer of a service's own aggregator.
    #[must_use]
    pub fn custom(mut self, aggregator: &dyn Aggregator) -> Self {
        let planes = CustomPlanes::of(aggregator, self.dtype);
        self.aggregators.push(Aggregation::Custom {
            name: planes.name.clone(),
        });
        self.custom.push(planes);
        self
    }

    /// The reversible filter before cells are packed or compressed, in place of the cell type's
    /// default.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// What speed is traded for: [`Codec::Fast`] unless told otherwise.
    #[must_use]
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// The zstd level where zstd is used, 1 (the default) to 19.
    #[must_use]
    pub fn zstd_level(mut self, level: i32) -> Self {
        self.zstd_level = level;
        self
    }

    /// The name of what the cells hold, as files name it (`t2m`): [importers](crate::adapter) take
    /// no other variable.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>) -> Self {
        self.variable = Some(name.into());
        self
    }

    /// The unit of the cells (`K`): importers convert values of another one, or refuse them.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = Some(unit.into());
        self
    }

    /// Something else that is known of the cells, by its name: `long_name`, `height`. It is kept,
    /// not interpreted.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// The validated schema. [`Invalid`](crate::ErrorKind::Invalid) says what does not fit.
    pub fn build(mut self) -> Result<Schema> {
        if let Some(nodata) = self.nodata {
            let kept = with_dtype!(self.dtype, |T| T::from_f64(nodata).to_f64());
            let fits = if self.dtype.is_float() {
                nodata.is_nan() || kept.is_finite() || nodata.is_infinite()
            } else {
                kept == nodata
            };
            if !fits {
                return Err(Error::invalid(format!(
                    "nodata {nodata} is not a value of {}",
                    self.dtype
                )));
            }
            // NaN is nodata anyway; one encoding a value.
            self.nodata = (!nodata.is_nan()).then_some(kept);
        }
        for (i, aggregation) in self.aggregators.iter().enumerate() {
            if self.aggregators[..i].contains(aggregation) {
                return Err(Error::invalid(format!(
                    "aggregator `{aggregation}` is given twice"
                )));
            }
            self.check(aggregation)?;
        }
        if self.aggregators.len() > usize::from(u8::MAX) {
            return Err(Error::invalid(format!(
                "a grid has at most {} aggregators",
                u8::MAX
            )));
        }
        if self.custom.iter().any(|planes| {
            !self.aggregators.contains(&Aggregation::Custom {
                name: planes.name.clone(),
            })
        }) {
            return Err(Error::invalid(
                "a service's aggregator is described, but makes no layer",
            ));
        }
        if !(1..=19).contains(&self.zstd_level) {
            return Err(Error::invalid(format!(
                "zstd level {} is outside 1 to 19",
                self.zstd_level
            )));
        }
        self.check_texts()?;
        Ok(Schema { fields: self })
    }

    /// Checks that what is kept of the cells has a length that can be kept.
    fn check_texts(&self) -> Result<()> {
        let named = [
            ("variable", self.variable.as_deref()),
            ("unit", self.unit.as_deref()),
        ];
        let mut texts = named
            .into_iter()
            .filter_map(|(what, text)| Some((what, text?)));
        let known = self
            .attributes
            .iter()
            .flat_map(|(name, value)| [("name of an attribute", name), ("attribute", value)]);
        let known = known.map(|(what, text)| (what, text.as_str()));
        let fits = |text: &str| (1..=Schema::TEXT_MAX).contains(&text.len());
        if let Some((what, text)) = texts.by_ref().chain(known).find(|(_, text)| !fits(text)) {
            return Err(Error::invalid(format!(
                "the {what} has {} bytes; use 1 to {}",
                text.len(),
                Schema::TEXT_MAX
            )));
        }
        if self.attributes.len() > Schema::ATTRIBUTES_MAX {
            let (count, most) = (self.attributes.len(), Schema::ATTRIBUTES_MAX);
            return Err(Error::invalid(format!(
                "a grid keeps at most {most} attributes, not {count}"
            )));
        }
        Ok(())
    }

    /// Checks one aggregation against the structure and what is known of a service's own.
    fn check(&self, aggregation: &Aggregation) -> Result<()> {
        match aggregation {
            Aggregation::First { dimension: name } | Aggregation::Last { dimension: name } => {
                let d = self
                    .structure
                    .dimension(name)
                    .map_err(|e| Error::invalid(format!("`{aggregation}`: {e}")))?;
                let dimension = &self.structure.dimensions()[d];
                let why = match dimension.axes() {
                    _ if dimension.is_fixed() => "whose labels have no first and last",
                    [_] => return Ok(()),
                    _ => "which has several axes; it needs a dimension of one",
                };
                Err(Error::invalid(format!(
                    "`{aggregation}` is along dimension `{name}`, {why}"
                )))
            }
            Aggregation::Mode { classes } if !(1..=Aggregation::CLASSES_MAX).contains(classes) => {
                Err(Error::invalid(format!(
                    "`mode` keeps 1 to {} classes a cell, not {classes}",
                    Aggregation::CLASSES_MAX
                )))
            }
            Aggregation::Custom { name } => {
                check_name("aggregator", name)?;
                if name.parse::<Aggregation>()? != *aggregation {
                    return Err(Error::invalid(format!(
                        "`{name}` is built in; name the aggregator otherwise"
                    )));
                }
                let [planes] = self
                    .custom
                    .iter()
                    .filter(|planes| planes.name == *name)
                    .collect::<Vec<_>>()[..]
                else {
                    return Err(Aggregation::unknown(name));
                };
                if planes.state.len() > STATE_MAX {
                    let count = planes.state.len();
                    return Err(Error::invalid(format!(
                        "aggregator `{name}` has {count} state planes, more than {STATE_MAX}"
                    )));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Schema {
    /// The longest name, unit or attribute of what the cells hold, in bytes.
    pub const TEXT_MAX: usize = 1 << 12;
    /// The most attributes.
    pub const ATTRIBUTES_MAX: usize = 128;

    /// A builder for cells of one type, with no nodata value but NaN, no aggregators, and the
    /// default codec.
    pub fn builder(structure: Structure, dtype: DType) -> SchemaBuilder {
        SchemaBuilder {
            structure,
            dtype,
            nodata: None,
            aggregators: Vec::new(),
            custom: Vec::new(),
            filter: Filter::default_for(dtype),
            zstd_level: 1,
            codec: Codec::default(),
            variable: None,
            unit: None,
            attributes: BTreeMap::new(),
        }
    }

    /// The same in chunks of another shape, cells along each axis: another layout of one grid, to
    /// be [updated](crate::Grid::update_from) from it. Along an irregular dimension it is the
    /// capacity of a chunk.
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if there is not one number an axis, or a number is
    /// none that an axis can have.
    pub fn rechunked(&self, chunk: impl IntoIterator<Item = u32>) -> Result<Schema> {
        let (chunk, rank) = (
            chunk.into_iter().collect::<Vec<u32>>(),
            self.structure().rank(),
        );
        if chunk.len() != rank {
            return Err(Error::invalid(format!(
                "a chunk of {} numbers does not fit {rank} axes",
                chunk.len()
            )));
        }
        let mut lens = chunk.into_iter();
        let mut structure = self
            .structure()
            .crs()
            .into_iter()
            .fold(Structure::builder(), |builder, crs| builder.crs(crs));
        for mut dimension in self.structure().dimensions().iter().cloned() {
            dimension
                .axes
                .iter_mut()
                .zip(lens.by_ref())
                .for_each(|(axis, len)| axis.chunk = len);
            structure = structure.dimension(dimension);
        }
        SchemaBuilder {
            structure: structure.build()?,
            ..self.fields.clone()
        }
        .build()
    }

    /// Where the cells are.
    pub fn structure(&self) -> &Structure {
        &self.fields.structure
    }

    /// The cell type of base chunks.
    pub fn dtype(&self) -> DType {
        self.fields.dtype
    }

    /// The value that stands for "no data", beside NaN.
    pub fn nodata(&self) -> Option<f64> {
        self.fields.nodata
    }

    /// The layers, in the order they were declared.
    pub fn aggregators(&self) -> &[Aggregation] {
        &self.fields.aggregators
    }

    /// The cell type of a layer, if the grid has it.
    pub fn layer_dtype(&self, aggregation: &Aggregation) -> Option<DType> {
        let known = self.fields.aggregators.contains(aggregation);
        known.then(|| match self.custom(aggregation) {
            Some(planes) => planes.dtype,
            None => aggregation.dtype(self.dtype(), self.tallies()),
        })
    }

    /// What is kept of a service's own aggregator.
    pub(crate) fn custom(&self, aggregation: &Aggregation) -> Option<&CustomPlanes> {
        let Aggregation::Custom { name } = aggregation else {
            return None;
        };
        self.fields
            .custom
            .iter()
            .find(|planes| planes.name == *name)
    }

    /// Whether every levelled dimension has one base level, so that sums and counts are whole
    /// numbers of cells.
    pub(crate) fn tallies(&self) -> bool {
        !self
            .structure()
            .dimensions()
            .iter()
            .any(super::Dimension::is_refinable)
    }

    /// The filter of base chunks.
    pub fn filter(&self) -> Filter {
        self.fields.filter
    }

    /// The zstd level.
    pub fn zstd_level(&self) -> i32 {
        self.fields.zstd_level
    }

    /// What speed is traded for.
    pub fn codec(&self) -> Codec {
        self.fields.codec
    }

    /// How cells are encoded.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            codec: self.fields.codec,
            level: self.fields.zstd_level,
        }
    }

    /// The name of what the cells hold, if it is known.
    pub fn variable(&self) -> Option<&str> {
        self.fields.variable.as_deref()
    }

    /// The unit of the cells, if it is known.
    pub fn unit(&self) -> Option<&str> {
        self.fields.unit.as_deref()
    }

    /// What else is known of the cells, by name.
    pub fn attributes(&self) -> &BTreeMap<String, String> {
        &self.fields.attributes
    }

    /// Whether "no data" cannot be told from the value of a cell, so that chunks with holes carry a
    /// mask.
    pub(crate) fn needs_mask(&self) -> bool {
        !self.dtype().is_float() && self.nodata().is_none()
    }
}

impl TryFrom<SchemaBuilder> for Schema {
    type Error = Error;

    fn try_from(builder: SchemaBuilder) -> Result<Self> {
        builder.build()
    }
}

impl From<Schema> for SchemaBuilder {
    fn from(schema: Schema) -> Self {
        schema.fields
    }
}
