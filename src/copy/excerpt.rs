//! What of a source is copied: all, a part, or the cells of a layer at coarser levels.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::grid::{Level, Levels, Schema, Structure, Window};
use crate::kernel::Aggregation;
use crate::reader::Layer;
use crate::store::{Base, Gaps, Grid, State};

/// What of a source a copy holds: [all](Self::all) of it, a part in space and time, or the cells of
/// one of its layers at coarser levels.
///
/// ```
/// # use gridstone::{Aggregation, Axis, DType, Dimension, Excerpt, Level, Levels, Query, Schema, Store, Structure, Window};
/// # use ndarray::Array2;
/// # fn main() -> gridstone::Result<()> {
/// # let space = Dimension::regular("space", [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)]);
/// # let schema = Schema::builder(Structure::builder().dimension(space).build()?, DType::F32).aggregator(Aggregation::Max);
/// # let store = Store::in_memory()?;
/// let fine = store.create("fine", schema.build()?)?;
/// fine.put(&Window::new([0, 0], [8, 8]), &Array2::from_shape_fn((8, 8), |(y, x)| (y + x) as f32))?;
/// // Cells of twice the size, the greatest of four each.
/// let levels: Levels = [Level::new(1)?].into_iter().collect();
/// let excerpt = Excerpt::all().layer(Aggregation::Max, levels);
/// let coarse = store.create("coarse", excerpt.schema(&fine)?)?;
/// coarse.update_from_excerpt(&fine, &excerpt)?;
/// let answer = coarse.read(&Query::all())?;
/// assert_eq!((answer.array.shape(), answer.values().next()), (&[4, 4][..], Some(Some(2.0))));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excerpt {
    /// The levels in which the sides are counted; those of declared cells if absent.
    levels: Option<Levels>,
    /// The first cell, and the one behind the last, along the axes that are limited.
    sides: BTreeMap<usize, (i64, i64)>,
    layer: Option<(Aggregation, Levels)>,
}

/// What was copied, in a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ExcerptRecord {
    levels: Vec<Level>,
    sides: BTreeMap<usize, (i64, i64)>,
    layer: Option<(Aggregation, Vec<Level>)>,
    /// The levels to whose cells the part was widened.
    whole: Vec<Level>,
}

impl ExcerptRecord {
    /// Whether two are of the same cells, but for the part that is taken.
    pub(super) fn has_cells_of(&self, other: &Self) -> bool {
        self.layer == other.layer
    }

    /// The record of all of a source.
    pub(super) fn of_all() -> Self {
        Self {
            levels: Vec::new(),
            sides: BTreeMap::new(),
            layer: None,
            whole: Vec::new(),
        }
    }
}

impl Excerpt {
    /// All cells that were put.
    pub fn all() -> Self {
        Self::default()
    }

    /// Only what lies in a window, which may be of any levels. It is widened to whole cells of the
    /// coarsest that there are in the base, or of the levels of the [layer](Self::layer).
    #[must_use]
    pub fn window(mut self, window: &Window) -> Self {
        let (start, end) = (window.start(), window.end());
        self.levels = Some(window.levels(0)).filter(|levels| levels.iter().next().is_some());
        self.sides = start
            .iter()
            .copied()
            .zip(end.iter().copied())
            .enumerate()
            .collect();
        self
    }

    /// Only what lies in these cells along one axis, counted from 0 in the structure's order. The
    /// cells are of the levels of [`levels`](Self::levels) or of the [window](Self::window), else
    /// of level 0, which has ticks along an irregular dimension.
    #[must_use]
    pub fn along(mut self, axis: usize, cells: Range<i64>) -> Self {
        self.sides.insert(axis, (cells.start, cells.end));
        self
    }

    /// Counts the cells of [`along`](Self::along) in these levels, one a dimension.
    #[must_use]
    pub fn levels(mut self, levels: Levels) -> Self {
        self.levels = Some(levels);
        self
    }

    /// The cells of a layer at some levels, one a dimension, in place of those that were put: the
    /// copy's base data are at these levels. They are computed where aggregates are out of date.
    #[must_use]
    pub fn layer(mut self, aggregation: Aggregation, levels: Levels) -> Self {
        self.layer = Some((aggregation, levels));
        self
    }

    /// The layer that is copied in place of the base, and its levels.
    pub(super) fn of_layer(&self) -> Option<&(Aggregation, Levels)> {
        self.layer.as_ref()
    }

    /// The schema of a grid that can hold it, in the chunks of the source. Of the base it is the
    /// source's own; codec, aggregators and [chunks](Schema::rechunked) may be others. Of a layer
    /// it has that layer's cell type, and the aggregator that makes coarser cells of such ones: the
    /// same, `sum` of `count`, and none where the cells do not compose (`variance`, `std`, a
    /// service's own). A `count` of 0 is no data in it.
    ///
    /// Aggregates of a copy are made of its cells: where only a part of a cell was valid in the
    /// source, `mean` takes the cell for a whole one.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if the source has no such layer.
    pub fn schema(&self, source: &Grid) -> Result<Schema> {
        let Some((aggregation, _)) = &self.layer else {
            return Ok(source.schema().clone());
        };
        let (schema, spec) = (
            source.schema(),
            source
                .layers()
                .iter()
                .find(|spec| spec.aggregation == *aggregation)
                .ok_or_else(|| source.blame(source.no_layer(aggregation)))?,
        );
        let mut builder = Schema::builder(schema.structure().clone(), spec.dtype)
            .codec(schema.codec())
            .zstd_level(schema.zstd_level());
        if spec.dtype == schema.dtype() {
            builder = builder.filter(schema.filter());
        }
        builder = match spec.gaps {
            Gaps::Values(Some(nodata)) => builder.nodata(nodata),
            // Where nothing is, nothing is to be stored.
            Gaps::None => builder.nodata(0.0),
            Gaps::Values(None) | Gaps::Plane => builder,
        };
        let kept = Layer::Aggregate(aggregation.clone()).keeps_unit();
        if let Some(unit) = schema.unit().filter(|_| kept) {
            builder = builder.unit(unit);
        }
        if let Some(variable) = schema.variable() {
            builder = builder.variable(variable);
        }
        builder = schema
            .attributes()
            .iter()
            .fold(builder, |builder, (name, value)| {
                builder.attribute(name, value)
            });
        let above = match aggregation {
            Aggregation::Count => Some(Aggregation::Sum),
            Aggregation::Variance | Aggregation::Std | Aggregation::Custom { .. } => None,
            same => Some(same.clone()),
        };
        above
            .into_iter()
            .fold(builder, |builder, above| builder.aggregator(above))
            .build()
    }

    /// Refuses what a source has not.
    pub(super) fn check(&self, source: &Grid, state: &State) -> Result<()> {
        let structure = source.structure();
        let blame = |what: String| Err(source.blame(Error::invalid(what)));
        if let Some(axis) = self.sides.keys().find(|axis| **axis >= structure.rank()) {
            return blame(format!(
                "it has {} axes, and no axis {axis}",
                structure.rank()
            ));
        }
        if let Some((axis, (first, end))) = self.sides.iter().find(|(_, (a, b))| a >= b) {
            let name = structure.axes().nth(*axis).map_or("", |axis| axis.name());
            return blame(format!(
                "the part {first}:{end} along axis `{name}` is empty"
            ));
        }
        if let Some(levels) = self.levels {
            structure
                .check_levels(levels)
                .map_err(|e| source.blame(e))?;
        }
        let Some((aggregation, levels)) = &self.layer else {
            return Ok(());
        };
        structure
            .check_levels(*levels)
            .map_err(|e| source.blame(e))?;
        if let Some(dimension) = structure.dimensions().iter().find(|d| d.is_irregular()) {
            return blame(format!(
                "a copy of layer `{aggregation}` would have no events along dimension `{}`; copy the base, or write the layer with `gridstone read STORE {} --layer {aggregation}`",
                dimension.name(),
                source.name()
            ));
        }
        let Some(pyramid) = state.pyramid(structure) else {
            return Ok(());
        };
        for (d, dimension) in structure.dimensions().iter().enumerate() {
            let (level, base, top) = (levels[d], pyramid.base.cells()[d], pyramid.top[d]);
            if level < base {
                return blame(format!(
                    "level {level} of dimension `{}` is finer than its cells, which are at level {base}: a copy would only repeat them. Copy level {base}; finer cells are made by `gridstone read STORE {} --resolution R --resampling bilinear --out FILE.tif` and imported into a grid of their own",
                    dimension.name(),
                    source.name()
                ));
            }
            if level > top {
                return blame(format!(
                    "there is no level {level} of dimension `{}` to be copied: it has {base} to {top}",
                    dimension.name()
                ));
            }
        }
        Ok(())
    }

    /// What a source holds of it.
    pub(super) fn of(&self, structure: &Structure, state: State) -> State {
        let Some((base, bounds)) = state.base.zip(state.bounds) else {
            return state;
        };
        let base = self
            .layer
            .as_ref()
            .map_or(base, |(_, levels)| Base::new(structure, *levels));
        let nothing = State {
            ceiling: state.ceiling,
            ..State::default()
        };
        let bounds = structure.cover(&bounds, base.cells());
        match self.within(structure, &base, &bounds) {
            Some(bounds) => State {
                bounds: Some(bounds),
                base: Some(base),
                ..state
            },
            None => nothing,
        }
    }

    /// The part of what was put, at the finest base cells.
    fn within(&self, structure: &Structure, base: &Base, bounds: &Window) -> Option<Window> {
        if self.sides.is_empty() {
            return Some(*bounds);
        }
        let dimensions = structure.dimensions().len();
        let levels = self.levels.unwrap_or(Levels::zero(dimensions));
        // Whole cells of the coarsest, before the part is cut to what there is: one of them may lie
        // in it though what it holds of the bounds does not.
        let coarsest = structure.cell_levels(base.coarsest());
        let whole = structure.cover(&structure.cover(bounds, coarsest), levels);
        let (first, end) = (whole.start(), whole.end());
        let part = self
            .sides
            .iter()
            .try_fold(whole, |part, (&axis, &(from, to))| {
                let (from, to) = (from.max(first[axis]), to.min(end[axis]));
                (from < to).then(|| part.along(axis, from, to.abs_diff(from)))
            })?;
        let widened = structure.cover(&part, coarsest);
        structure.intersection(&structure.cover(&widened, base.cells()), bounds)
    }

    /// The record of it, of a source that holds this.
    pub(super) fn record(&self, structure: &Structure, state: &State) -> ExcerptRecord {
        let coarsest = state
            .base
            .map(|base| structure.cell_levels(base.coarsest()));
        let limited = !self.sides.is_empty();
        ExcerptRecord {
            levels: self
                .levels
                .filter(|_| limited)
                .map_or(Vec::new(), |of| of.to_vec()),
            sides: self.sides.clone(),
            layer: self
                .layer
                .as_ref()
                .map(|(aggregation, levels)| (aggregation.clone(), levels.to_vec())),
            whole: coarsest
                .filter(|_| limited)
                .map_or(Vec::new(), |of| of.to_vec()),
        }
    }
}
