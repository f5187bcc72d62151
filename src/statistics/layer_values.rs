//! What the chunks of the layers say of the cells at a location.

use crate::array::{Cell, Cells, DType, Number, with_cells};
use crate::error::Result;
use crate::grid::{Levels, Location};
use crate::kernel::{Aggregation, Chunk, Full, Sum, classes};
use crate::store::{ChunkReader, LayerSpec, only};

use super::plan::LayerPlan;
use super::query::Stat;
use super::tally::{Range, Share, TallyMoments};

/// What is known of the cells of an aggregate chunk. Each list has one entry a cell.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// 0 where nothing is valid under a cell; absent if something is everywhere.
    valid: Option<Vec<f64>>,
    area: Option<Vec<f64>>,
    sum: Option<Sums>,
    min: Option<Cells>,
    max: Option<Cells>,
    /// Mean and standard deviation.
    moments: Option<(Vec<f64>, Vec<f64>)>,
    classes: Option<(Chunk, Full)>,
}

/// The values of a layer that become sums.
#[derive(Debug)]
enum Sums {
    /// Sums. `sure` says that no partial sum can have left the integers, or the exact doubles,
    /// whatever the cells hold.
    Sums { values: Cells, sure: bool },
    /// Means, which areas weigh; each within `rounding` times the largest magnitude under it.
    Means { values: Cells, rounding: f64 },
}

/// How many times a deviation a mean may be, so that what a double rounds off the mean is some
/// billionth of the deviation.
const LARGE: f64 = 4_194_304.0;

/// How large sums may be without having lost a unit on the way: integers saturate, doubles round.
fn limit(sums: DType) -> f64 {
    if sums == DType::F64 {
        53.0_f64.exp2()
    } else {
        62.0_f64.exp2()
    }
}

impl Facts {
    /// Reads the layers at a location; `None` if nothing is stored there. The second is how many
    /// chunks were read.
    pub(super) fn read(
        chunks: ChunkReader<'_>,
        plan: &LayerPlan<'_>,
        at: &Location,
        base: Levels,
    ) -> Result<(Option<Self>, u64)> {
        let mut facts = Facts::default();
        let mut read = 0;
        for &spec in &plan.reads {
            let Some(chunk) = chunks.of_layer(spec).aggregates(at, None)? else {
                if read == 0 {
                    return Ok((None, 0));
                }
                return Err(chunks
                    .damaged(spec.id, at)
                    .because("it is missing while another layer's is there"));
            };
            read += 1;
            facts.take(chunks, plan, spec, only(chunk)?, (at.levels, base));
        }
        Ok((Some(facts), read))
    }

    /// Takes what a layer says of cells at some levels above the base.
    pub(super) fn take(
        &mut self,
        chunks: ChunkReader<'_>,
        plan: &LayerPlan<'_>,
        spec: &LayerSpec,
        chunk: Chunk,
        (levels, base): (Levels, Levels),
    ) {
        let full = chunks.grid.full(levels).0;
        // Of the events under a cell there is no end.
        let cells = if chunks.grid.structure().irregular().is_some() {
            f64::INFINITY
        } else {
            full / plan.full
        };
        let is = |found: Option<&LayerSpec>| found.is_some_and(|found| found.id == spec.id);
        if is(plan.found.classes) {
            self.classes = Some((chunk.clone(), Full(full)));
        }
        let Chunk {
            values,
            state,
            weight,
        } = chunk;
        if spec.aggregation == Aggregation::Count {
            // A tally numbers base cells; else it is an area already.
            let unit = if spec.dtype == DType::U64 {
                plan.full
            } else {
                1.0
            };
            let area: Vec<f64> = doubles(&values).iter().map(|count| count * unit).collect();
            self.valid = Some(area.clone());
            self.area = Some(area);
            return;
        }
        if is(plan.found.area) {
            self.area = Some(weight.clone().unwrap_or_else(|| vec![full; values.len()]));
        }
        if is(plan.found.min) {
            self.min = Some(values.clone());
        }
        if is(plan.found.max) {
            self.max = Some(values.clone());
        }
        self.valid = self.valid.take().or(weight);
        let values = if is(plan.found.moments) {
            let schema = chunks.grid.schema();
            let wide = plan.integer && schema.dtype().size() == 8;
            self.take_moments((spec, wide), &values, state)
        } else {
            values
        };
        if is(plan.found.sum) {
            let dtype = chunks.grid.schema().dtype();
            let bits = 8.0 * dtype.size() as f64 - if dtype.is_signed() { 1.0 } else { 0.0 };
            let sure = plan.integer && bits.exp2() * cells <= limit(spec.dtype);
            self.sum = Some(Sums::Sums { values, sure });
        } else if is(plan.found.mean) && plan.found.sum.is_none() {
            let rise = |(level, base): (&crate::grid::Level, &crate::grid::Level)| {
                f64::from(level.get()) - f64::from(base.get())
            };
            let steps: f64 = levels.iter().zip(base.iter()).map(rise).sum();
            let unit = if spec.dtype == DType::F64 {
                -52.0_f64
            } else {
                -24.0
            }
            .exp2();
            self.sum = Some(Sums::Means {
                values,
                rounding: (steps + 1.0) * unit * (1.0 + 1e-6),
            });
        }
    }

    /// Takes the chunk of a layer of variances or deviations, and gives its means. Of `wide` cells,
    /// integers of 64 bits, the layer has doubles, so that nothing is known for certain of those that
    /// are large beside what they deviate.
    fn take_moments(
        &mut self,
        (spec, wide): (&LayerSpec, bool),
        values: &Cells,
        state: Vec<Cells>,
    ) -> Cells {
        let means = state.into_iter().next().unwrap_or_else(|| values.clone());
        let root = spec.aggregation == Aggregation::Std;
        let deviations: Vec<f64> = doubles(values)
            .into_iter()
            .map(|value| if root { value } else { value.sqrt() })
            .collect();
        let sure = |(mean, std): (f64, &f64)| {
            let near = *std == 0.0 || mean.abs() <= std * LARGE;
            if !wide || near && mean.abs() < 52.0_f64.exp2() {
                mean
            } else {
                f64::NAN
            }
        };
        let known = doubles(&means).into_iter().zip(&deviations).map(sure);
        self.moments = Some((known.collect(), deviations));
        means
    }

    /// Whether nothing is valid under a cell.
    pub(super) fn is_empty(&self, cell: usize) -> bool {
        self.valid.as_ref().is_some_and(|valid| valid[cell] <= 0.0)
    }

    /// The valid area under a cell.
    pub(super) fn area(&self, cell: usize) -> Option<f64> {
        self.area.as_ref().map(|area| area[cell])
    }

    /// Values between which those under a cell lie; an end is infinite if it is not known.
    pub(super) fn range(&self, cell: usize) -> Range {
        let of = |values: &Option<Cells>, unknown: f64| {
            values
                .as_ref()
                .map_or(unknown.into(), |values| values.number(cell))
        };
        (
            of(&self.min, f64::NEG_INFINITY),
            of(&self.max, f64::INFINITY),
        )
    }

    /// The sum under a cell, and the same as an integer if it is one for certain. `None` if it is
    /// not known exactly: an infinity may be one of finite cells.
    fn sum(&self, plan: &LayerPlan<'_>, cell: usize) -> Option<(Sum, Option<i128>)> {
        match self.sum.as_ref()? {
            Sums::Means { .. } if plan.rounded_mean || plan.exact_sum() => None,
            Sums::Means { values, .. } => {
                let mean = double(values, cell);
                let area = self.area(cell).filter(|_| mean.is_finite())?;
                Some((Sum::of(mean, area * plan.unit), None))
            }
            Sums::Sums { values, sure } => {
                let (min, max) = self.range(cell);
                let cells = self
                    .area(cell)
                    .map_or(f64::INFINITY, |area| area / plan.full);
                let most = min.to_f64().abs().max(max.to_f64().abs());
                let sure = *sure || plan.integer && cells * most <= limit(values.dtype());
                let sum = double(values, cell);
                let exact = |whole: i128| (Sum::of(sum, 1.0), Some(whole));
                match values {
                    Cells::I64(cells) => sure.then(|| exact(cells[cell].into())),
                    // Unsigned sums only grow: below the largest number, nothing was lost.
                    Cells::U64(cells) => {
                        (cells[cell] < u64::MAX).then(|| exact(cells[cell].into()))
                    }
                    _ if plan.exact_sum() => sure.then(|| (Sum::of(sum, 1.0), whole(sum))),
                    _ => sum.is_finite().then(|| (Sum::of(sum, 1.0), None)),
                }
            }
        }
    }

    /// The moments of a cell, if they are known: of infinities there are none.
    fn moments(&self, cell: usize) -> Option<TallyMoments> {
        let (means, deviations) = self.moments.as_ref()?;
        let area = self.area(cell)?;
        let finite = means[cell].is_finite() && deviations[cell].is_finite();
        finite.then(|| TallyMoments {
            area,
            mean: means[cell],
            rest: 0.0,
            std: deviations[cell],
        })
    }

    /// Calls `visit` with each class under a cell and its area. False if they are not all known.
    pub(super) fn classes(&self, cell: usize, visit: &mut dyn FnMut(Number, f64)) -> bool {
        self.classes
            .as_ref()
            .is_some_and(|(chunk, full)| classes(chunk, *full, cell, visit))
    }

    /// What a cell of one value adds, if it is one and its area is known.
    fn uniform(&self, plan: &LayerPlan<'_>, cell: usize) -> Option<Share> {
        let (value, max) = self.range(cell);
        let area = self
            .area(cell)
            .filter(|_| value == max && value.is_finite())?;
        let weight = area * plan.unit;
        let integers = value.whole().zip(whole(weight)).filter(|_| plan.integer);
        let mean = value.to_f64();
        Some(Share {
            area,
            sum: Sum::of(mean, weight),
            whole: integers.and_then(|(value, weight)| value.checked_mul(weight)),
            range: (value, value),
            moments: TallyMoments::alike(area, value),
        })
    }

    /// What a cell adds, if that is known exactly as far as it is asked for.
    pub(super) fn share(&self, plan: &LayerPlan<'_>, cell: usize) -> Option<Share> {
        if let Some(share) = self.uniform(plan, cell) {
            return Some(share);
        }
        let (area, range) = (self.area(cell), self.range(cell));
        let moments = self.moments(cell).unwrap_or_default();
        let missing = plan.wants(Stat::Std) && moments.area == 0.0
            || plan.query.classes && !self.classes(cell, &mut |_, _| ())
            || plan.areas() && area.is_none()
            || plan.wants(Stat::Min) && self.min.is_none()
            || plan.wants(Stat::Max) && self.max.is_none();
        let apart = plan
            .query
            .bins
            .as_ref()
            .is_some_and(|bins| bins.counter(range.0) != bins.counter(range.1));
        if missing || apart {
            return None;
        }
        let (sum, whole) = if plan.sums() {
            self.sum(plan, cell)?
        } else {
            (Sum::default(), None)
        };
        Some(Share {
            area: area.unwrap_or(0.0),
            sum,
            whole,
            range,
            moments,
        })
    }

    /// Bounds of the sum under a cell of a known area whose values lie between two.
    pub(super) fn sum_bounds(
        &self,
        plan: &LayerPlan<'_>,
        cell: usize,
        area: f64,
        (low, high): (f64, f64),
    ) -> (f64, f64) {
        let weight = area * plan.unit;
        let (least, most) = (times(weight, low), times(weight, high));
        match &self.sum {
            Some(Sums::Means { values, rounding }) => {
                let (mean, off) = (double(values, cell), rounding * low.abs().max(high.abs()));
                if (mean + off).is_finite() {
                    (
                        least.max(weight * (mean - off)),
                        most.min(weight * (mean + off)),
                    )
                } else {
                    (least, most)
                }
            }
            Some(Sums::Sums { .. }) => self
                .sum(plan, cell)
                .map_or((least, most), |(sum, _)| (sum.total(), sum.total())),
            None => (least, most),
        }
    }
}

/// A product in which nothing of anything is nothing.
pub(super) fn times(area: f64, value: f64) -> f64 {
    if area == 0.0 { 0.0 } else { area * value }
}

fn double(values: &Cells, cell: usize) -> f64 {
    with_cells!(values, |cells| cells[cell].to_f64())
}

fn doubles(values: &Cells) -> Vec<f64> {
    with_cells!(values, |cells| cells
        .iter()
        .map(|cell| cell.to_f64())
        .collect())
}

/// A double that is a whole number of at most 2^53 as an integer.
#[expect(
    clippy::cast_possible_truncation,
    reason = "whole, and within the exact integers"
)]
pub(super) fn whole(value: f64) -> Option<i128> {
    (value.fract() == 0.0 && value.abs() <= 53.0_f64.exp2()).then_some(value as i128)
}
