//! Between which values colours go where a request does not say: those of the whole layer, so that
//! neighbouring tiles agree.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::reply::Problem;
use super::super::slice::{self, Plane};
use super::ask::TileQuery;
use super::render;
use crate::grid::{Level, Levels, Window};
use crate::{Aggregation, Freshness, Grid, Layer, Query, Stat, StatisticsQuery, Token};

/// The most cells that a range is taken from.
const CELLS_MAX: u64 = 1 << 20;
/// The most base cells that are read for it where no layer knows it.
const BASE_CELLS_MAX: u64 = 1 << 22;
/// How many ranges are kept.
const KEPT_MAX: usize = 1024;

/// What of a grid is shown.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) layer: Layer,
    pub(super) levels: Levels,
    /// The cell along each axis that is no row, column or time.
    pub(super) others: Vec<(usize, i64)>,
    /// The dimension of rows and columns, and its axes.
    pub(super) plane: [usize; 3],
    /// The axis of times.
    pub(super) along: Option<usize>,
}

impl Shown {
    /// A window with one cell along the axes that are no rows, columns or times.
    pub(super) fn fixed(&self, window: Window) -> Window {
        let fix = |window: Window, (axis, cell): &(usize, i64)| window.along(*axis, *cell, 1);
        self.others.iter().fold(window, fix)
    }

    /// Whether its cells measure an area, so that they grow with it.
    fn is_measure(&self) -> bool {
        matches!(
            self.layer,
            Layer::Aggregate(Aggregation::Sum | Aggregation::Count)
        )
    }

    /// Whether its values are among those of the base, or between them.
    fn is_like_base(&self) -> bool {
        match &self.layer {
            Layer::Base => true,
            Layer::Aggregate(of) => matches!(
                of,
                Aggregation::Mean
                    | Aggregation::Min
                    | Aggregation::Max
                    | Aggregation::Sample
                    | Aggregation::Mode { .. }
                    | Aggregation::First { .. }
                    | Aggregation::Last { .. }
            ),
        }
    }

    /// All that the range depends on beside what is in the grid.
    fn key(&self, freshness: Freshness) -> String {
        let levels = self.is_measure().then_some(self.levels);
        format!("{} {levels:?} {:?} {freshness:?}", self.layer, self.others)
    }
}

/// A range, and the place in the change feed that it is of.
type KeptRange = Arc<Mutex<Option<(Token, [f64; 2])>>>;

/// Ranges that were found, each for the state of its grid.
#[derive(Debug, Default)]
pub(in crate::server) struct Stretches(Mutex<BTreeMap<String, KeptRange>>);

impl Stretches {
    /// The values of the first and the last colour.
    pub(super) fn of(
        &self,
        grid: &Grid,
        ask: &TileQuery,
        shown: &Shown,
    ) -> Result<[f64; 2], Problem> {
        if let [Some(min), Some(max)] = ask.ends {
            return Ok([min, max]);
        }
        let [low, high] = self.whole(grid, shown, ask.freshness)?;
        let (low, high) = (ask.ends[0].unwrap_or(low), ask.ends[1].unwrap_or(high));
        Ok([low.min(high), high.max(low)])
    }

    /// The range of the whole layer.
    fn whole(&self, grid: &Grid, shown: &Shown, freshness: Freshness) -> Result<[f64; 2], Problem> {
        let token = grid.changes_token()?;
        let key = format!("{:?} {}", grid.id(), shown.key(freshness));
        let kept = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= KEPT_MAX && !all.contains_key(&key) {
                all.clear();
            }
            Arc::clone(all.entry(key).or_default())
        };
        // Of several tiles one looks, and the others wait for it.
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, range)) = kept.as_ref()
            && *of == token
        {
            return Ok(*range);
        }
        let range = range(grid, shown, freshness)?.unwrap_or([0.0, 1.0]);
        *kept = Some((token, range));
        Ok(range)
    }
}

/// The least and the greatest finite value of a layer, or nearly so where its chunks are too many
/// to be looked at; `None` if there is none.
fn range(grid: &Grid, shown: &Shown, freshness: Freshness) -> Result<Option<[f64; 2]>, Problem> {
    let served = grid.statistics_served();
    let served = served.contains(&Stat::Min) && served.contains(&Stat::Max);
    let irregular = grid.structure().irregular().is_some();
    let (Some(bounds), Some(base)) = (grid.bounds()?, grid.base_levels()?) else {
        return Ok(None);
    };
    let structure = grid.structure();
    let of_base = |(axis, _): &(usize, i64)| {
        let d = structure.dimension_of(*axis);
        shown.levels[d] == base[d]
    };
    let few = !irregular
        && shown
            .fixed(bounds)
            .cells()
            .is_some_and(|cells| cells <= BASE_CELLS_MAX);
    if shown.is_like_base() && (served || few) && shown.others.iter().all(of_base) {
        let query = StatisticsQuery::all().stats([Stat::Min, Stat::Max]);
        let query = query.window(shown.fixed(bounds));
        let found = grid.statistics(&query)?;
        let ends = found
            .min
            .zip(found.max)
            .map(|(min, max)| [min.low, max.high]);
        match ends {
            Some([low, high]) if low.is_finite() && high.is_finite() => {
                return Ok(Some([low, high]));
            }
            // Not a single value.
            Some([low, high]) if low.is_nan() && high.is_nan() => return Ok(None),
            _ => {}
        }
    }
    overview(grid, shown, (&bounds, base), freshness)
}

/// The same from a level that has few cells.
fn overview(
    grid: &Grid,
    shown: &Shown,
    (bounds, base): (&Window, Levels),
    freshness: Freshness,
) -> Result<Option<[f64; 2]>, Problem> {
    let structure = grid.structure();
    let [space, y, x] = shown.plane;
    let reach = render::reach(grid, None, freshness, base)?;
    let other = |levels: Levels, (axis, _): &(usize, i64)| {
        let d = structure.dimension_of(*axis);
        levels.with(d, shown.levels[d])
    };
    let mut levels = if shown.is_measure() {
        shown.levels
    } else {
        shown.others.iter().fold(base, other)
    };
    let window = |levels: Levels| shown.fixed(structure.cover(bounds, levels));
    let many = |levels: Levels| window(levels).cells().is_none_or(|cells| cells > CELLS_MAX);
    let time = shown.along.map(|axis| structure.dimension_of(axis));
    for dimension in std::iter::once(space).chain(time) {
        while many(levels)
            && levels[dimension] < reach[dimension]
            && let Some(coarser) = levels[dimension].coarser()
        {
            levels = levels.with(dimension, coarser);
        }
    }
    // What is left is looked at in the middle, at the last time.
    let mut window = window(levels);
    for (axis, most) in shown
        .along
        .map(|axis| (axis, 1))
        .into_iter()
        .chain([(y, 1024), (x, 1024)])
    {
        if window.cells().is_some_and(|cells| cells <= CELLS_MAX) {
            break;
        }
        let (first, len) = (window.start()[axis], window.shape()[axis]);
        let most = most.min(len);
        let skipped = if most == 1 { len - 1 } else { (len - most) / 2 };
        window = window.along(axis, first.saturating_add_unsigned(skipped), most);
    }
    let layer = match (&shown.layer, grid.schema().aggregators().first()) {
        (Layer::Base, Some(first)) if !base.covers(&levels) => Layer::Aggregate(first.clone()),
        (layer, _) => layer.clone(),
    };
    let answer = grid.read(&Query::window(window).layer(layer).freshness(freshness))?;
    let found = answer.values().flatten().filter(|value| value.is_finite());
    let found = found.fold(None, |range: Option<[f64; 2]>, value| {
        let [low, high] = range.unwrap_or([value, value]);
        Some([low.min(value), high.max(value)])
    });
    // Sums of larger cells are larger.
    let up = |d: usize| {
        let up = f64::from(levels[d].get()) - f64::from(shown.levels[d].get());
        up * structure.axes_of(d).len() as f64
    };
    let scale = if shown.is_measure() {
        (-(0..levels.len()).map(up).sum::<f64>()).exp2()
    } else {
        1.0
    };
    Ok(found.map(|[low, high]| [low * scale, high * scale]))
}

/// What is shown at the levels of the base, for those who ask for no tile yet.
pub(super) fn at_base(grid: &Grid, ask: &TileQuery) -> Result<Option<Shown>, Problem> {
    slice::check_layer(grid, ask.layer.as_ref())?;
    let plane = Plane::of(grid)?;
    let (Some(bounds), Some(base)) = (grid.bounds()?, grid.base_levels()?) else {
        return Ok(None);
    };
    let mut levels = slice::levels(grid, &ask.params, base)?;
    if levels == base && !grid.schema().aggregators().is_empty() {
        // Maps show the first aggregator at most zooms.
        let above = levels[plane.space].coarser().unwrap_or(Level::ZERO);
        let reach = render::reach(grid, ask.layer.as_ref(), ask.freshness, base)?;
        levels = levels.with(plane.space, above.min(reach[plane.space]));
    }
    Ok(Some(Shown {
        layer: render::layer_at(grid, ask, levels, base),
        levels,
        others: slice::others(grid, plane, &ask.params, &bounds, levels)?,
        plane: [plane.space, plane.y, plane.x],
        along: plane.along.map(|along| along.number),
    }))
}
