//! A grid after a variable.

use super::field::Field;
use super::identity::LATER;
use super::time::FileTimes;
use crate::array::DType;
use crate::error::{Error, Result};
use crate::grid::{Dimension, Schema, SchemaBuilder, Structure};
use crate::kernel::Aggregation;

/// What a grid made after a variable has that the file does not say.
#[derive(Clone, Debug, PartialEq)]
pub struct Like {
    /// Time steps, or events, of a chunk, a power of two.
    pub time_chunk: u32,
    /// Whether time is an irregular dimension of events at the exact times of the file; by default
    /// where they lie on no steps, or most of these would be empty.
    pub irregular: Option<bool>,
    /// Rows and columns of a chunk, a power of two; by default 128 under a time axis, else 256.
    pub chunk: Option<u32>,
    /// The length of a time step in nanoseconds, in place of the file's; of events, the distance
    /// that most of them have.
    pub time_step: Option<i128>,
    /// The nodata value, in place of the file's.
    pub nodata: Option<f64>,
    /// The layers of aggregates.
    pub aggregators: Vec<Aggregation>,
}

impl Default for Like {
    fn default() -> Self {
        Self {
            time_chunk: 16,
            irregular: None,
            chunk: None,
            time_step: None,
            nodata: None,
            aggregators: vec![Aggregation::Mean],
        }
    }
}

/// The schema of a grid whose level 0 has the cells of the first of some files' variables, and the
/// times of all of them. See the [module](super), and [`Field::check`] for whether the others fit.
pub fn schema_like(fields: &[Field], like: &Like) -> Result<Schema> {
    let Some(field) = fields.first() else {
        return Err(Error::invalid("there is no variable"));
    };
    let mut structure = Structure::builder();
    let mut chunk = like.chunk.unwrap_or(256);
    let mut steps_are_later = false;
    if let Some(times) =
        FileTimes::together(fields.iter().filter_map(|field| field.times.as_ref()))?
    {
        chunk = like.chunk.unwrap_or(128);
        let irregular = like
            .irregular
            .unwrap_or(like.time_step.is_none() && times.are_irregular());
        steps_are_later = !irregular && times.are_later();
        structure = structure.dimension(if irregular {
            times.events(like.time_chunk, like.time_step)?
        } else {
            Dimension::regular("time", [times.axis(like.time_chunk, like.time_step)?])
        });
    } else if like.irregular == Some(true) {
        return Err(Error::invalid(
            "the variable has no time coordinate that could be irregular; leave `--irregular` out",
        ));
    } else if like.time_step.is_some() {
        return Err(Error::invalid(
            "the variable has no time, so it has no steps; leave the length of steps out, or say with `--time` which coordinate has its time",
        ));
    }
    if let Some(band) = &field.band {
        let name = band.dimension(field.times.is_some());
        structure = structure.dimension(Dimension::fixed(name, band.labels.clone()));
    }
    structure = structure.dimension(Dimension::regular(
        "space",
        [field.y.axis("y", chunk)?, field.x.axis("x", chunk)?],
    ));
    if let Some(crs) = &field.crs {
        structure = structure.crs(crs);
    }
    let dtype: DType = field.decoding.dtype;
    let mut schema = Schema::builder(structure.build()?, dtype);
    if let Some(nodata) = like.nodata.or_else(|| field.decoding.nodata()) {
        schema = schema.nodata(nodata);
    }
    let mut schema = field.keep(schema);
    if steps_are_later {
        schema = schema.attribute(LATER, "later than its beginning");
    }
    like.aggregators
        .iter()
        .cloned()
        .fold(schema, SchemaBuilder::aggregator)
        .build()
}
