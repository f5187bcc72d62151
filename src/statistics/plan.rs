//! Which layers serve which statistics.

use crate::array::DType;
use crate::kernel::Aggregation;
use crate::store::{Grid, LayerSpec};

use super::query::{Stat, StatisticsQuery};

/// Something asked for that no layer of the grid serves, so that it is computed from base cells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unserved {
    /// What: the name of a [`Stat`], `histogram`, `classes`, or `where` for the condition.
    pub what: &'static str,
    /// The layers that would serve it.
    pub needs: &'static str,
}

/// What is computed for a query, and from which layers.
#[derive(Debug)]
pub(super) struct LayerPlan<'a> {
    pub(super) query: &'a StatisticsQuery,
    pub(super) stats: Vec<Stat>,
    pub(super) unserved: Vec<Unserved>,
    /// The layers that are read.
    pub(super) reads: Vec<&'a LayerSpec>,
    /// Whether aggregate cells are worth reading.
    pub(super) useful: bool,
    /// Whether a mean of float32 is the best there is for sums and means, so that it serves bounds
    /// only.
    pub(super) rounded_mean: bool,
    pub(super) found: LayersFound<'a>,
    pub(super) integer: bool,
    /// What an area in level-0 cells is multiplied by to weigh sums: 1 where sums weigh by area,
    /// else what makes it a number of base cells.
    pub(super) unit: f64,
    /// The area of a base cell.
    pub(super) full: f64,
}

/// The layers of a grid by what they say.
#[derive(Clone, Copy, Debug)]
pub(super) struct LayersFound<'a> {
    pub(super) area: Option<&'a LayerSpec>,
    pub(super) sum: Option<&'a LayerSpec>,
    pub(super) mean: Option<&'a LayerSpec>,
    pub(super) min: Option<&'a LayerSpec>,
    pub(super) max: Option<&'a LayerSpec>,
    /// Mean and variance, or deviation.
    pub(super) moments: Option<&'a LayerSpec>,
    /// The area of each class.
    pub(super) classes: Option<&'a LayerSpec>,
}

impl<'a> LayersFound<'a> {
    fn of(grid: &'a Grid) -> Self {
        let find = |aggregation: Aggregation| {
            grid.layers()
                .iter()
                .find(|spec| spec.aggregation == aggregation)
        };
        let (min, max) = (find(Aggregation::Min), find(Aggregation::Max));
        let both = min.is_some() && max.is_some();
        // Sums of int64 cells saturate both ways: what was lost on the way up shows only by how
        // large the cells are.
        let plain =
            |sum: &&LayerSpec| sum.dtype != DType::I64 || grid.schema().dtype().size() < 8 || both;
        let sum = find(Aggregation::Sum).filter(plain);
        let moments = find(Aggregation::Variance).or(find(Aggregation::Std));
        let classes = grid.layers().iter().find(|spec| spec.is_mode());
        // Variances keep means of float64, which are better than means of float32.
        let mean = find(Aggregation::Mean);
        let mean = mean
            .filter(|mean| mean.dtype == DType::F64)
            .or(moments)
            .or(mean);
        // Means say the area too; where they are read in any case, `count` need not be.
        let count = find(Aggregation::Count);
        let area = if sum.is_some() {
            count.or(mean)
        } else {
            mean.or(count)
        }
        .or(classes);
        Self {
            area,
            sum,
            mean,
            min,
            max,
            moments,
            classes,
        }
    }

    fn range(&self) -> bool {
        self.min.is_some() && self.max.is_some()
    }

    /// Whether means are as exact as doubles are.
    fn exact_mean(&self) -> bool {
        self.mean.is_some_and(|mean| mean.dtype == DType::F64)
    }

    /// The layers that a statistic lacks.
    fn lacks(&self, stat: Stat, integer: bool) -> Option<&'static str> {
        match stat {
            Stat::Count if self.area.is_none() => Some("`count` or `mean`"),
            Stat::Sum if integer && self.sum.is_none() => {
                Some("`sum`, with `min` and `max` for int64 cells")
            }
            Stat::Sum | Stat::Mean if self.sum.is_none() && !self.exact_mean() => Some("`sum`"),
            Stat::Mean if self.area.is_none() => Some("`count`"),
            Stat::Min if self.min.is_none() => Some("`min`"),
            Stat::Max if self.max.is_none() => Some("`max`"),
            Stat::Std if self.moments.is_none() => Some("`variance`"),
            _ => None,
        }
    }
}

/// The statistics that a grid's layers serve.
pub(super) fn served(grid: &Grid) -> Vec<Stat> {
    let (found, integer) = (LayersFound::of(grid), !grid.schema().dtype().is_float());
    Stat::ALL
        .into_iter()
        .filter(|stat| found.lacks(*stat, integer).is_none())
        .collect()
}

impl<'a> LayerPlan<'a> {
    /// The plan for a query on base cells of the area `full`. `bounded` says that bounds are
    /// wanted, with which layers help that serve nothing exactly.
    pub(super) fn new(
        grid: &'a Grid,
        query: &'a StatisticsQuery,
        full: f64,
        bounded: bool,
    ) -> Self {
        let found = LayersFound::of(grid);
        let integer = !grid.schema().dtype().is_float();
        let mut unserved = Vec::new();
        let told = found.range() && found.area.is_some();
        if query.bins.is_some() && !told {
            unserved.push(Unserved {
                what: "histogram",
                needs: "`min`, `max` and `count`",
            });
        }
        if query.classes && !told && found.classes.is_none() {
            unserved.push(Unserved {
                what: "classes",
                needs: "`mode`",
            });
        }
        if query.predicate.is_some() && found.min.is_none() && found.max.is_none() {
            unserved.push(Unserved {
                what: "where",
                needs: "`min` and `max`",
            });
        }
        let served = |stat: &Stat| found.lacks(*stat, integer).is_none();
        // Where base cells are read in any case, everything is to be had from them.
        let free = !unserved.is_empty() || !Stat::ALL.iter().any(served);
        let asked = |stat: &Stat| {
            if query.stats.is_empty() {
                free || served(stat)
            } else {
                query.stats.contains(stat)
            }
        };
        let stats: Vec<Stat> = Stat::ALL.into_iter().filter(asked).collect();
        let lacking = |stat: &Stat| {
            found.lacks(*stat, integer).map(|needs| Unserved {
                what: stat.name(),
                needs,
            })
        };
        unserved.extend(stats.iter().filter_map(lacking));
        let weighted = !integer
            || grid
                .structure()
                .dimensions()
                .iter()
                .any(|dimension| dimension.is_refinable());
        let unit = if weighted { 1.0 } else { 1.0 / full };
        let mut plan = Self {
            query,
            stats,
            unserved,
            reads: Vec::new(),
            useful: false,
            rounded_mean: false,
            found,
            integer,
            unit,
            full,
        };
        plan.rounded_mean =
            plan.sums() && found.sum.is_none() && found.mean.is_some() && !found.exact_mean();
        plan.reads = plan.choose(grid.schema().dtype(), bounded);
        let prunes = query.predicate.is_some() && (found.min.is_some() || found.max.is_some());
        plan.useful = !plan.reads.is_empty() && (bounded || prunes || plan.unserved.is_empty());
        plan
    }

    /// The layers to read, each once.
    fn choose(&self, dtype: DType, bounded: bool) -> Vec<&'a LayerSpec> {
        let found = &self.found;
        // If base cells are read in any case, aggregates only tell which.
        let exact = self.unserved.is_empty() || bounded;
        let ranges = self.query.predicate.is_some()
            || self.query.bins.is_some()
            || self.query.classes
            || bounded;
        let wide = self.sums() && found.sum.is_some() && self.integer && dtype.size() == 8;
        let sum = found.sum.or(found.mean);
        let chosen = [
            found
                .area
                .filter(|_| self.areas() || wide || bounded || !exact),
            sum.filter(|_| exact && self.sums()),
            found.moments.filter(|_| exact && self.wants(Stat::Std)),
            found.classes.filter(|_| exact && self.query.classes),
            found
                .min
                .filter(|_| ranges || wide || self.wants(Stat::Min)),
            found
                .max
                .filter(|_| ranges || wide || self.wants(Stat::Max)),
        ];
        let mut reads: Vec<&LayerSpec> = Vec::new();
        for spec in chosen.into_iter().flatten() {
            if !reads.iter().any(|known| known.id == spec.id) {
                reads.push(spec);
            }
        }
        reads
    }

    pub(super) fn wants(&self, stat: Stat) -> bool {
        self.stats.contains(&stat)
    }

    /// Whether sums are wanted.
    pub(super) fn sums(&self) -> bool {
        self.wants(Stat::Sum) || self.wants(Stat::Mean)
    }

    /// Whether sums are integers to the last unit.
    pub(super) fn exact_sum(&self) -> bool {
        self.integer && self.wants(Stat::Sum)
    }

    /// Whether areas are wanted.
    pub(super) fn areas(&self) -> bool {
        [Stat::Count, Stat::Mean, Stat::Std]
            .into_iter()
            .any(|stat| self.wants(stat))
            || self.query.bins.is_some()
            || self.query.classes
    }
}
