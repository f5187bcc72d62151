//! The layers of a grid, as its schema makes them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::array::{Cell, Cells, DType};
use crate::error::Result;
use crate::grid::Schema;
use crate::kernel::{Aggregation, Aggregator, Custom, CustomPlanes, Op, Rule, Weighting};
use crate::key::LayerId;

/// A service's own aggregators, by name.
pub(crate) type Registered = HashMap<String, Arc<dyn Aggregator>>;

/// One layer of a grid, as its schema makes it.
#[derive(Clone, Debug)]
pub(crate) struct LayerSpec {
    pub(crate) id: LayerId,
    pub(crate) aggregation: Aggregation,
    pub(crate) dtype: DType,
    /// What stands in a cell without data in an answer.
    pub(crate) blank: f64,
    /// How such cells are told from others.
    pub(crate) gaps: Gaps,
    pub(super) rule: Rule,
    /// The types of the planes of a blob, and how many of them there are at least.
    pub(super) planes: (Vec<DType>, usize),
}

/// How cells without data are told from others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Gaps {
    /// There are none: every cell is a value.
    None,
    /// They hold NaN, or this value, which no cell with data has.
    Values(Option<f64>),
    /// By another plane of the chunk, which those without gaps leave out.
    Plane,
}

/// How base cells without data are told from others.
pub(crate) fn base_gaps(schema: &Schema) -> Gaps {
    if schema.needs_mask() {
        Gaps::Plane
    } else {
        Gaps::Values(schema.nodata())
    }
}

impl LayerSpec {
    /// The layers of a schema, in its order. Of a service's own aggregators `registered` are known.
    pub(crate) fn all(schema: &Schema, registered: &Registered) -> Vec<LayerSpec> {
        let layer = |(i, aggregation): (usize, &Aggregation)| {
            let dtype = schema.layer_dtype(aggregation).unwrap_or(schema.dtype());
            let nodata = schema.nodata().filter(|&nodata| {
                Cells::filled(dtype, 1, nodata) == Cells::filled(dtype, 1, nodata.round())
            });
            let fill = match (dtype.is_float(), aggregation) {
                (_, Aggregation::Count) => 0.0,
                (true, _) => f64::NAN,
                (false, _) => nodata.unwrap_or(0.0),
            };
            // What is made of cells, not chosen among them, can be the nodata value and have data.
            let (gaps, blank) = match (dtype, aggregation) {
                (_, Aggregation::Count) => (Gaps::None, fill),
                (DType::F32 | DType::F64, _) => (Gaps::Values(None), fill),
                (DType::I64, Aggregation::Sum) if nodata.is_some() => {
                    (Gaps::Plane, i64::MIN.to_f64())
                }
                (DType::U64, Aggregation::Sum) if nodata.is_some() => {
                    (Gaps::Plane, u64::MAX.to_f64())
                }
                (_, Aggregation::Sum | Aggregation::Custom { .. }) => (Gaps::Plane, fill),
                _ if nodata.is_some() => (Gaps::Values(nodata), fill),
                _ => (Gaps::Plane, fill),
            };
            let rule = Rule::new(operation(schema, aggregation, registered), dtype, fill);
            let id = LayerId(u8::try_from(i + 1).unwrap_or(u8::MAX));
            LayerSpec {
                id,
                aggregation: aggregation.clone(),
                dtype,
                blank,
                gaps,
                planes: rule.planes(),
                rule,
            }
        };
        schema.aggregators().iter().enumerate().map(layer).collect()
    }

    /// Checks that the layer can be computed: a service's own aggregator must be registered as the
    /// grid was made with it.
    pub(crate) fn check(&self, schema: &Schema) -> Result<()> {
        match &self.rule.op {
            Op::Custom(custom) => custom.check(schema.dtype()),
            _ => Ok(()),
        }
    }

    /// How it is computed.
    pub(crate) fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Whether the values measure an area: those of parts of a cell add up to its own.
    pub(crate) fn is_measure(&self) -> bool {
        matches!(self.rule.op, Op::Sum | Op::Count)
    }

    /// The number and the type of the plane of a blob that says how much of each cell is valid, if
    /// it is one of areas or a mask.
    pub(crate) fn weight_plane(&self) -> Option<(usize, DType)> {
        let number = 1 + self.rule.fixed();
        (self.rule.weighting() != Weighting::None).then(|| (number, self.planes.0[number]))
    }

    /// Whether the values of the layer may be inexact, which its chunks say of each cell.
    pub(crate) fn is_mode(&self) -> bool {
        matches!(self.rule.op, Op::Mode { .. })
    }
}

/// What an aggregation does to cells of a schema.
fn operation(schema: &Schema, aggregation: &Aggregation, registered: &Registered) -> Op {
    let structure = schema.structure();
    match aggregation {
        Aggregation::Mean => Op::Mean,
        Aggregation::Min => Op::Min,
        Aggregation::Max => Op::Max,
        Aggregation::Sum => Op::Sum,
        Aggregation::Count => Op::Count,
        Aggregation::Sample => Op::Sample,
        Aggregation::Variance => Op::Moments { root: false },
        Aggregation::Std => Op::Moments { root: true },
        Aggregation::Mode { classes } => Op::Mode {
            classes: usize::from(*classes),
        },
        Aggregation::First { dimension } | Aggregation::Last { dimension } => {
            // The schema has checked that there is such a dimension, of one axis.
            let d = structure.dimension(dimension).unwrap_or(0);
            let axis = structure.axes_of(d).start;
            let forward = structure.dimensions()[d].axes()[0].step() > 0.0;
            let last = matches!(aggregation, Aggregation::Last { .. });
            Op::Edge {
                axis,
                high: last == forward,
                kept: structure.levelled().next_back() != Some(d),
            }
        }
        Aggregation::Custom { name } => {
            let planes = schema.custom(aggregation).cloned();
            let planes = planes.unwrap_or(CustomPlanes {
                name: name.clone(),
                dtype: schema.dtype(),
                state: Vec::new(),
            });
            let dimensions = structure.dimensions().iter();
            let together = dimensions
                .flat_map(|d| d.axes().iter().map(|_| d.is_together()))
                .collect();
            Op::Custom(Arc::new(Custom {
                planes,
                together,
                code: registered.get(name).cloned(),
            }))
        }
    }
}

/// What stands in a base cell without data.
pub(crate) fn base_fill(schema: &Schema) -> f64 {
    schema.nodata().unwrap_or(if schema.dtype().is_float() {
        f64::NAN
    } else {
        0.0
    })
}
