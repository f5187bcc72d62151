//! What is answered.

use super::bounds::{FigureBounds, KnownStatistics};
use super::node::ChunksRead;
use super::plan::Unserved;
use super::query::{Bins, Stat};
use crate::array::Number;

/// A figure and the bounds between which its true value lies for certain, up to the rounding of
/// doubles.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Estimate {
    /// The figure. NaN where there is none, as of the mean of no cells.
    pub value: f64,
    /// The least that the true value can be; infinite if nothing is known.
    pub low: f64,
    /// The most that the true value can be.
    pub high: f64,
}

impl Estimate {
    /// Whether the figure is the true value.
    pub fn is_exact(&self) -> bool {
        self.low == self.high || self.value.is_nan()
    }

    fn new((low, high): FigureBounds, exact: bool) -> Self {
        if exact || low == high {
            return Self {
                value: low,
                low,
                high: low,
            };
        }
        // Of infinities of both signs nothing is known; and two ways to one figure can round to
        // either side of it.
        let low = if low.is_nan() { f64::NEG_INFINITY } else { low };
        let high = if high.is_nan() { f64::INFINITY } else { high };
        let (low, high) = (low.min(high), low.max(high));
        let middle = (low / 2.0 + high / 2.0).clamp(low, high);
        let value = if middle.is_finite() {
            middle
        } else {
            [low, high, 0.0]
                .into_iter()
                .find(|v| v.is_finite())
                .unwrap_or(0.0)
        };
        Self { value, low, high }
    }

    fn scaled(self, by: f64) -> Self {
        Self {
            value: self.value * by,
            low: self.low * by,
            high: self.high * by,
        }
    }

    /// Whether half the distance of the bounds is at most `error` times the larger of them.
    pub(super) fn is_within(&self, error: f64) -> bool {
        self.is_exact()
            || (self.high - self.low) / 2.0 <= error * self.low.abs().max(self.high.abs())
    }
}

/// How many cells have their value in each bin.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Histogram {
    /// The bins that were asked for.
    pub bins: Bins,
    /// Cells below the first edge.
    pub below: Estimate,
    /// Cells in each bin.
    pub counts: Vec<Estimate>,
    /// Cells above the last edge.
    pub above: Estimate,
}

/// How many cells have one value.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ClassArea {
    /// The value, to the nearest double.
    pub value: f64,
    /// The same, exactly: of integers of 64 bits too.
    pub exact: Number,
    /// How many cells.
    pub count: Estimate,
    /// Their area in level-0 cells.
    pub area: Estimate,
}

/// The statistics of a region, of one commit boundary. What was not asked for is `None`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Statistics {
    /// Valid base cells.
    pub count: Option<Estimate>,
    /// The area of the valid cells, in level-0 cells. With [`Stat::Count`].
    pub area: Option<Estimate>,
    /// See [`Stat::Sum`].
    pub sum: Option<Estimate>,
    /// The exact sum of integer cells, to the last unit. `None` for floats, for base cells smaller
    /// than those of level 0 where sums weigh by area, and for an answer that is not exact.
    pub whole_sum: Option<i128>,
    /// The least and the greatest value, exactly, of integers of 64 bits too, as far as they were
    /// asked for. `None` for an answer that is not exact, and where there is none.
    pub extremes: [Option<Number>; 2],
    /// See [`Stat::Mean`].
    pub mean: Option<Estimate>,
    /// See [`Stat::Min`].
    pub min: Option<Estimate>,
    /// See [`Stat::Max`].
    pub max: Option<Estimate>,
    /// See [`Stat::Std`].
    pub std: Option<Estimate>,
    /// The histogram.
    pub histogram: Option<Histogram>,
    /// Each value that is known to be there, lowest first. In an answer that is not exact there may
    /// be others.
    pub classes: Option<Vec<ClassArea>>,
    /// Whether every figure is the true value. Only
    /// [`max_chunks`](super::StatisticsQuery::max_chunks) and
    /// [`max_error`](super::StatisticsQuery::max_error) allow others.
    pub exact: bool,
    /// What was asked for that no layer of the grid serves, so that every base chunk of the region
    /// had to be read.
    pub unserved: Vec<Unserved>,
    /// Chunks read and decoded.
    pub chunks_read: ChunksRead,
}

impl Statistics {
    /// One statistic, if it was asked for.
    pub fn get(&self, stat: Stat) -> Option<Estimate> {
        match stat {
            Stat::Count => self.count,
            Stat::Sum => self.sum,
            Stat::Mean => self.mean,
            Stat::Min => self.min,
            Stat::Max => self.max,
            Stat::Std => self.std,
        }
    }

    /// What follows from what is known.
    pub(super) fn new(known: &KnownStatistics<'_>, chunks_read: ChunksRead) -> Self {
        let (tally, plan) = (known.tally, known.plan);
        let doubted = known.doubted();
        let exact = doubted == 0.0;
        let wanted = |stat: Stat, bounds: &dyn Fn() -> FigureBounds| {
            plan.wants(stat).then(|| Estimate::new(bounds(), exact))
        };
        let of_some = |stat: Stat, bounds: &dyn Fn() -> FigureBounds| {
            let none =
                plan.areas() && known.area().1 == 0.0 || exact && tally.range.0 > tally.range.1;
            wanted(stat, &|| if none { (f64::NAN, f64::NAN) } else { bounds() })
        };
        let area = wanted(Stat::Count, &|| known.area());
        let deviation = || {
            let (low, high) = known.variance();
            (low.sqrt(), high.max(0.0).sqrt())
        };
        let exact_deviation = || (tally.moments.std, tally.moments.std);
        let extreme = |stat: Stat, value: Number| {
            let there = exact && tally.range.0 <= tally.range.1 && plan.wants(stat);
            there.then_some(value)
        };
        let sum = tally
            .whole
            .filter(|_| exact && plan.integer && plan.wants(Stat::Sum));
        // An integer sum beyond the exact doubles is rounded once.
        let sums = || sum.map_or_else(|| known.sum(), |sum| (sum as f64, sum as f64));
        Self {
            count: area.map(|area| area.scaled(1.0 / plan.full)),
            area,
            sum: wanted(Stat::Sum, &sums),
            whole_sum: sum,
            extremes: [
                extreme(Stat::Min, tally.range.0),
                extreme(Stat::Max, tally.range.1),
            ],
            mean: of_some(Stat::Mean, &|| known.mean()),
            min: of_some(Stat::Min, &|| known.min()),
            max: of_some(Stat::Max, &|| known.max()),
            std: of_some(Stat::Std, if exact { &exact_deviation } else { &deviation }),
            histogram: plan
                .query
                .bins
                .as_ref()
                .map(|bins| Histogram::new(bins, known, exact)),
            classes: plan.query.classes.then(|| {
                let class = |(exact, area): (Number, f64)| {
                    let area = Estimate {
                        value: area,
                        low: area,
                        high: area + doubted,
                    };
                    ClassArea {
                        value: exact.to_f64(),
                        exact,
                        area,
                        count: area.scaled(1.0 / plan.full),
                    }
                };
                tally.classes().map(class).collect()
            }),
            exact,
            unserved: plan.unserved.clone(),
            chunks_read,
        }
    }
}

impl Histogram {
    fn new(bins: &Bins, known: &KnownStatistics<'_>, exact: bool) -> Self {
        let count =
            |bounds: &FigureBounds| Estimate::new(*bounds, exact).scaled(1.0 / known.plan.full);
        let counters: Vec<Estimate> = known.counters(bins).iter().map(count).collect();
        let (below, above) = (counters[0], counters[counters.len() - 1]);
        Self {
            bins: bins.clone(),
            below,
            counts: counters[1..counters.len() - 1].to_vec(),
            above,
        }
    }
}
