//! Which level, layer and cells answer a query.

use std::ops::RangeInclusive;

use super::layout::{
    AnswerLayout, AskedCells, CellMap, Sizes, at_levels, cells_of, onto, region, repeat_base,
    shape_of, span,
};
use super::parts::Wanted;
use super::placed::AskedPlaces;
use super::query::{Detail, EventChoice, Freshness, Layer, Moment, Query};
use super::steps::StepRuns;
use super::times::{ReadTimes, times};
use crate::array::DType;
use crate::error::{Error, Result};
use crate::grid::{Axis, Extent, Geometry, Levels, Location, Structure, Window};
use crate::kernel::{Aggregation, Resampling, ResamplingMethod, Weighting};
use crate::key::LayerId;
use crate::store::{Gaps, Grid, LayerSpec, Pyramid, State, base_fill, base_gaps};

/// The most cells an answer, or what it is resampled from, may have.
pub(super) const CELLS_MAX: u64 = 1 << 30;
/// The most cells along one axis of a resampled answer, and in all of what it is resampled from.
const RESAMPLED_AXIS_MAX: usize = 1 << 22;
const RESAMPLED_MAX: u64 = 1 << 28;
/// The most chunks a read may touch.
pub(super) const CHUNKS_MAX: u64 = 1 << 20;

/// The layer that is read.
#[derive(Clone, Debug)]
pub(super) enum ReadLayer {
    Base,
    Aggregate(LayerSpec),
}

impl ReadLayer {
    pub(super) fn public(&self) -> Layer {
        match self {
            ReadLayer::Base => Layer::Base,
            ReadLayer::Aggregate(spec) => Layer::Aggregate(spec.aggregation.clone()),
        }
    }

    pub(super) fn id(&self) -> LayerId {
        match self {
            ReadLayer::Base => LayerId::BASE,
            ReadLayer::Aggregate(spec) => spec.id,
        }
    }

    /// How its cells become those of an answer. Levels that are asked for are not resampled: where
    /// they are finer than the base, its cells are repeated.
    fn method(&self, query: &Query) -> ResamplingMethod {
        match (self, &query.detail) {
            (ReadLayer::Aggregate(spec), _) if spec.is_measure() => ResamplingMethod::Parts,
            (_, Detail::Resolution(_) | Detail::Shape(_) | Detail::Onto(_)) => {
                ResamplingMethod::Values(query.resampling())
            }
            (_, Detail::Given | Detail::Levels(_)) => ResamplingMethod::Values(Resampling::Nearest),
        }
    }

    /// Whether resampled cells are those of the data only if their edges lie on edges of what is
    /// read.
    fn edges_meet(&self, method: ResamplingMethod) -> bool {
        let composed = composing(method.resampling());
        method == ResamplingMethod::Parts
            || match self {
                ReadLayer::Base => composed.is_some(),
                ReadLayer::Aggregate(spec) => composed.as_ref() == Some(&spec.aggregation),
            }
    }

    /// Refuses totals of what does not add up.
    fn check_total(&self, method: ResamplingMethod) -> Result<()> {
        match self {
            ReadLayer::Aggregate(spec) if method == ResamplingMethod::Values(Resampling::Sum) => {
                Err(Error::invalid(format!(
                    "the cells of layer `{}` have no total; resample the layer `sum` or `base` by `sum`, or this one by another of {}",
                    spec.aggregation,
                    Resampling::ALL
                        .map(|resampling| resampling.to_string())
                        .join(", ")
                )))
            }
            _ => Ok(()),
        }
    }

    /// What is to be read of its cells beside their values.
    fn wanted(&self, gaps: Gaps, method: Option<ResamplingMethod>) -> Wanted {
        match self {
            ReadLayer::Aggregate(spec)
                if method == Some(ResamplingMethod::Values(Resampling::Area))
                    && spec.rule().weighting() == Weighting::Area =>
            {
                Wanted::Shares
            }
            _ if gaps == Gaps::Plane => Wanted::Validity,
            _ => Wanted::Values,
        }
    }
}

/// How a query is answered.
#[derive(Clone, Debug)]
pub(super) struct ReadPlan {
    pub(super) pyramid: Pyramid,
    /// Whether what is pending counts.
    pub(super) is_fresh: bool,
    pub(super) bounds: Window,
    pub(super) layer: ReadLayer,
    pub(super) dtype: DType,
    /// What stands in cells without data.
    pub(super) fill: f64,
    /// How these are told from others.
    pub(super) gaps: Gaps,
    /// What is to be read of cells beside their values.
    pub(super) wanted: Wanted,
    /// The cells to fetch.
    pub(super) window: Window,
    /// The box of the answer.
    pub(super) extent: Extent,
    /// How the window's cells become the answer's; absent if they are. Along an irregular dimension
    /// they are.
    pub(super) maps: Option<(CellMap, ResamplingMethod)>,
    /// Axes along which the answer runs against the grid.
    pub(super) reversed: Vec<usize>,
    /// What is read along the irregular dimension.
    pub(super) times: Option<ReadTimes>,
    /// The steps that the cells of the window become along a regular axis.
    pub(super) cut: Option<StepRuns>,
}

impl ReadPlan {
    pub(super) fn new(grid: &Grid, state: State, query: &Query) -> Result<Self> {
        let structure = grid.structure();
        let Some((pyramid, bounds)) = state.pyramid(structure).zip(state.bounds) else {
            return Err(Error::not_found("it is empty: nothing was put yet"));
        };
        let base = pyramid.base.cells();
        let reach = if grid.layers().is_empty() {
            base
        } else {
            pyramid.reach(query.freshness_wanted() == Freshness::Fresh)
        };
        if !query.named.is_empty() && !matches!(query.detail, Detail::Given | Detail::Levels(_)) {
            return Err(Error::invalid(
                "a level and a resolution, shape or target are asked for; leave one of them out",
            ));
        }
        let (layout, layer) = laid_out(grid, query, &bounds, (base, reach))?;
        let AnswerLayout {
            window,
            extent,
            maps,
        } = layout;
        structure.check(&window)?;
        // Levels above the top are made of it as they are read. Of what is stored they are not where
        // cells are inherited: then what is pending decides whose they are.
        let is_made = query.freshness_wanted() == Freshness::Fresh
            || reach == pyramid.top && pyramid.base.mixed().is_none();
        let summit = state
            .summit(structure)
            .filter(|_| !grid.layers().is_empty() && is_made);
        let levels = window.levels(base.len());
        check_reach(structure, levels, base, summit.unwrap_or(reach))?;
        let times = times(structure, query, &window, &bounds)?;
        let (dtype, fill, gaps) = match &layer {
            ReadLayer::Base => (
                grid.schema().dtype(),
                base_fill(grid.schema()),
                base_gaps(grid.schema()),
            ),
            ReadLayer::Aggregate(spec) => (spec.dtype, spec.blank, spec.gaps),
        };
        let maps = maps.map(|maps| (maps, layer.method(query)));
        let wanted = layer.wanted(gaps, maps.as_ref().map(|(_, method)| *method));
        let reversed = match (&maps, query.target()) {
            // Its cells are placed as they follow each other.
            (Some((CellMap::Placed(_), _)), _) | (_, None) => Vec::new(),
            (_, Some(target)) => against(structure, target),
        };
        let plan = Self {
            pyramid,
            is_fresh: query.freshness_wanted() == Freshness::Fresh,
            bounds,
            layer,
            dtype,
            fill,
            gaps,
            wanted,
            window,
            extent,
            maps,
            reversed,
            times,
            cut: None,
        };
        plan.check_size(structure)?;
        Ok(plan)
    }

    /// What the layer `sum` makes of a base cell, in parts of it.
    pub(super) fn weight_of_base(&self, grid: &Grid) -> f64 {
        let of_cells = !Aggregation::Sum
            .dtype(grid.schema().dtype(), grid.schema().tallies())
            .is_float();
        if of_cells {
            1.0
        } else {
            grid.full(self.levels()).0
        }
    }

    /// Refuses what would not fit memory. How many events there are is found when they are read.
    fn check_size(&self, structure: &Structure) -> Result<()> {
        let (maps, times) = (&self.maps, &self.times);
        let one = |axis: usize| {
            times
                .as_ref()
                .is_some_and(|times| times.irregular.axis == axis)
        };
        let sized = times.as_ref().map_or(self.window, |times| {
            self.window
                .along(times.irregular.axis, *times.ticks.start(), 1)
        });
        let lens = maps.as_ref().map(|(maps, _)| {
            let lens = maps.lens().into_iter().enumerate();
            let counted = lens.filter(|(axis, _)| !one(*axis));
            counted.map(|(_, len)| len).collect::<Vec<_>>()
        });
        let all = |lens: &Vec<usize>| {
            lens.iter()
                .try_fold(1_u64, |product, len| product.checked_mul(*len as u64))
        };
        let cells = lens.as_ref().map_or(sized.cells(), all);
        if cells
            .into_iter()
            .chain(sized.cells())
            .any(|cells| cells > CELLS_MAX)
            || cells.is_none()
            || sized.cells().is_none()
        {
            return Err(Error::invalid(format!(
                "the answer would have more than {CELLS_MAX} cells; ask for a coarser level or a smaller extent"
            )));
        }
        let resampled = lens.is_some_and(|lens| {
            lens.iter().any(|len| *len > RESAMPLED_AXIS_MAX)
                || sized.cells().is_none_or(|cells| cells > RESAMPLED_MAX)
        });
        if resampled {
            return Err(Error::invalid(format!(
                "a resampled answer may have {RESAMPLED_AXIS_MAX} cells along an axis, and be made of {RESAMPLED_MAX}; ask for less at a time, or for cells whose edges are those of a coarser level, by a level or a resolution of 2, 4, 8 .. base cells"
            )));
        }
        match self
            .parts(structure)
            .map(|window| structure.chunk_count(&window))
        {
            Some(chunks) if chunks > CHUNKS_MAX => Err(Error::invalid(format!(
                "the read would touch {chunks} chunks, more than {CHUNKS_MAX}; ask for a coarser level or a smaller extent"
            ))),
            _ => Ok(()),
        }
    }

    pub(super) fn levels(&self) -> Levels {
        self.window.levels(self.bounds.levels(0).len())
    }

    /// The plane of a layer's blob at a place that says how much of its cells is valid, and the
    /// weight of a wholly valid one there.
    pub(super) fn weight(
        &self,
        grid: &Grid,
        layer: LayerId,
        at: &Location,
    ) -> (Option<(usize, DType)>, f64) {
        let plane = match &self.layer {
            ReadLayer::Aggregate(spec) if spec.id == layer => spec.weight_plane(),
            _ => (self.gaps == Gaps::Plane).then_some((1, DType::U8)),
        };
        (plane, grid.full(at.levels()).0)
    }

    /// The part of the window that counts as put. Beyond it there is nothing, whatever aggregates
    /// that wait for their marks still hold.
    pub(super) fn populated(&self, structure: &Structure) -> Option<Window> {
        structure.intersection(&self.window, &structure.cover(&self.bounds, self.levels()))
    }

    /// The same of which each chunk is read as a part: without extent along an irregular dimension,
    /// at the level of its buckets, so that its chunks are columns.
    pub(super) fn parts(&self, structure: &Structure) -> Option<Window> {
        let Some(times) = &self.times else {
            return self.populated(structure);
        };
        let irregular = times.irregular;
        let levels = self.levels().with(irregular.dimension, irregular.bucket);
        let flat = |window: &Window| {
            window
                .along(
                    irregular.axis,
                    irregular.bin(irregular.bucket, *times.ticks.start()),
                    1,
                )
                .at(levels)
        };
        let bounds = structure.cover(&self.bounds, self.levels());
        if times.ticks.is_empty() {
            None
        } else {
            structure.intersection(&flat(&self.window), &flat(&bounds))
        }
    }

    /// The part of the window between two ticks.
    pub(super) fn along(&self, ticks: &RangeInclusive<i64>) -> Window {
        let Some(times) = &self.times else {
            return self.window;
        };
        let len = ticks.end().abs_diff(*ticks.start()).saturating_add(1);
        self.window.along(times.irregular.axis, *ticks.start(), len)
    }

    /// Whether the answer holds that many cells a cell along the irregular dimension.
    pub(super) fn check_events(&self, events: usize) -> Result<()> {
        let Some(times) = &self.times else {
            return Ok(());
        };
        let each = self.window.along(times.irregular.axis, 0, 1).cells();
        match each
            .and_then(|cells| cells.checked_mul(events as u64))
            .filter(|cells| *cells <= CELLS_MAX)
        {
            Some(_) => Ok(()),
            None => Err(Error::invalid(format!(
                "the answer would have {events} events, and more than {CELLS_MAX} cells; ask for a coarser level, fewer ticks or a smaller extent"
            ))),
        }
    }
}

/// Which cells are read for a query, of which layer, and how they become those of the answer: base
/// data is at `base` levels, and aggregates reach up to `reach`.
fn laid_out(
    grid: &Grid,
    query: &Query,
    bounds: &Window,
    (base, reach): (Levels, Levels),
) -> Result<(AnswerLayout, ReadLayer)> {
    let structure = grid.structure();
    let among = if query.steps.is_some() {
        None
    } else {
        Some(base)
    };
    let sizes = match &query.detail {
        Detail::Given | Detail::Levels(_) => None,
        Detail::Resolution(cell) => Some(of_region(structure, query, bounds, &|region| {
            cells_of(structure, region, cell)
        })?),
        Detail::Shape(shape) => Some(of_region(structure, query, bounds, &|region| {
            shape_of(structure, region, shape)
        })?),
        Detail::Onto(target) => {
            let elsewhere = target.check(structure)?;
            let region = region(structure, query, bounds)?;
            Some(match elsewhere {
                None => {
                    let (region, cells) = onto(structure, target, &region, (bounds, base))?;
                    AskedCells::Along(region, cells)
                }
                Some(elsewhere) => {
                    let places = AskedPlaces::find(structure, &elsewhere, (bounds, base))?;
                    AskedCells::Placed(region, Box::new(places))
                }
            })
        }
    };
    match sizes {
        None => {
            let layout = repeat_base(structure, at_levels(structure, query, bounds, base)?, base)?;
            let layer = choose_layer(
                grid,
                query.layer.as_ref(),
                layout.window.levels(base.len()),
                among,
            )?;
            Ok((layout, layer))
        }
        Some(cells) => {
            let asked = asked_for(grid, query);
            // Base cells are read at their own levels.
            let reach = if asked == Some(Layer::Base) {
                base
            } else {
                reach
            };
            let levels = |edges_meet| cells.levels(structure, (base, reach), edges_meet);
            let layer = choose_layer(grid, asked.as_ref(), levels(false), among)?;
            let method = layer.method(query);
            layer.check_total(method)?;
            let how = (method, span(structure, query, bounds)?);
            let levels = levels(layer.edges_meet(method));
            let layout = cells.layout(structure, bounds, levels, how)?;
            Ok((layout, layer))
        }
    }
}

/// Refuses levels above those up to which there are answers.
fn check_reach(structure: &Structure, levels: Levels, base: Levels, reach: Levels) -> Result<()> {
    match structure
        .dimensions()
        .iter()
        .enumerate()
        .find(|(d, _)| levels[*d] > reach[*d])
    {
        None => Ok(()),
        Some((d, dimension)) => Err(Error::not_found(format!(
            "there is no level {} of dimension `{}`: it has {} to {}; a coarser answer is asked for by its resolution or its shape",
            levels[d],
            dimension.name(),
            base[d],
            reach[d]
        ))),
    }
}

/// The axes of a grid along which the cells of a target run in the other direction.
fn against(structure: &Structure, target: &Geometry) -> Vec<usize> {
    let reversed = |axis: &Axis| {
        target
            .line(axis.name())
            .is_some_and(|line| (line.step < 0.0) != (axis.step() < 0.0))
    };
    structure
        .axes()
        .enumerate()
        .filter(|(_, axis)| reversed(axis))
        .map(|(number, _)| number)
        .collect()
}

/// The box of the world that is asked for, and the cells that it is to have.
fn of_region(
    structure: &Structure,
    query: &Query,
    bounds: &Window,
    cells: &dyn Fn(&Extent) -> Result<Sizes>,
) -> Result<AskedCells> {
    let region = region(structure, query, bounds)?;
    let cells = cells(&region)?;
    Ok(AskedCells::Along(region, cells))
}

/// The layer whose cells of a level are made of those of finer ones as a resampling makes cells.
fn composing(resampling: Resampling) -> Option<Aggregation> {
    match resampling {
        Resampling::Area => Some(Aggregation::Mean),
        Resampling::Min => Some(Aggregation::Min),
        Resampling::Max => Some(Aggregation::Max),
        Resampling::Sum => Some(Aggregation::Sum),
        Resampling::Nearest | Resampling::Bilinear | Resampling::Cubic | Resampling::Mode => None,
    }
}

/// The layer that is asked for, by name or by how cells are made of others.
fn asked_for(grid: &Grid, query: &Query) -> Option<Layer> {
    if query.layer.is_some() || query.steps.is_some() {
        return query.layer.clone();
    }
    // What lies between two moments is known of base cells alone.
    let between = matches!(
        query.when,
        EventChoice::Moment {
            how: Moment::Linear,
            ..
        }
    );
    let kept = composing(query.resampling())
        .filter(|layer| !between && grid.schema().aggregators().contains(layer));
    match query.resampling() {
        Resampling::Nearest | Resampling::Bilinear | Resampling::Cubic => None,
        Resampling::Area
        | Resampling::Min
        | Resampling::Max
        | Resampling::Mode
        | Resampling::Sum => Some(kept.map_or(Layer::Base, Layer::Aggregate)),
    }
}

/// The layer to read at some levels; `base` are those at which base cells can be read, if they can.
fn choose_layer(
    grid: &Grid,
    asked: Option<&Layer>,
    levels: Levels,
    base: Option<Levels>,
) -> Result<ReadLayer> {
    let find = |aggregation: &Aggregation| {
        grid.layers()
            .iter()
            .find(|spec| spec.aggregation == *aggregation)
            .cloned()
            .map(ReadLayer::Aggregate)
    };
    match asked {
        None | Some(Layer::Base) if Some(levels) == base => Ok(ReadLayer::Base),
        None => grid
            .layers()
            .first()
            .cloned()
            .map(ReadLayer::Aggregate)
            .ok_or_else(|| Error::not_found("it has no aggregators, so no levels above the base")),
        Some(Layer::Base) => Err(match base {
            Some(base) => Error::not_found(format!(
                "layer `base` is read at the finest base levels {base:?} only, not at {levels:?}"
            )),
            None => Error::not_found(
                "steps of several events are made by an aggregator; name its layer",
            ),
        }),
        Some(Layer::Aggregate(aggregation)) => {
            find(aggregation).ok_or_else(|| grid.no_layer(aggregation))
        }
    }
}
