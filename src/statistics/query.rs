//! What is asked of a region.

use std::fmt;
use std::str::FromStr;

use super::polygon::Polygon;
use super::predicate::Predicate;
use crate::array::Number;
use crate::error::{Error, Result};
use crate::grid::{Extent, Window};

/// One number that sums up the valid cells of a region.
///
/// Every one of them weighs cells by their area, so that cells of several sizes count for what they
/// cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stat {
    /// How many valid cells there are, and their area.
    Count,
    /// The sum, each cell times its area in level-0 cells; of integer cells where no dimension is
    /// refinable, of the plain cells. It is what the `sum` layer holds.
    Sum,
    /// The mean.
    Mean,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The standard deviation of the population: divided by n, not n - 1.
    Std,
}

impl Stat {
    /// Every statistic.
    pub const ALL: [Stat; 6] = [
        Stat::Count,
        Stat::Sum,
        Stat::Mean,
        Stat::Min,
        Stat::Max,
        Stat::Std,
    ];

    /// The name of the statistic.
    pub const fn name(self) -> &'static str {
        match self {
            Stat::Count => "count",
            Stat::Sum => "sum",
            Stat::Mean => "mean",
            Stat::Min => "min",
            Stat::Max => "max",
            Stat::Std => "std",
        }
    }
}

impl fmt::Display for Stat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Stat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|stat| stat.name() == text)
            .ok_or_else(|| {
                Error::invalid(format!(
                    "`{text}` is not a statistic; use one of {}",
                    Self::ALL.map(Self::name).join(", ")
                ))
            })
    }
}

/// The most bins of a histogram.
const BINS_MAX: usize = 1 << 16;

/// The edges of the bins in which values are counted: a bin holds its lower edge and not its upper
/// one, but for the last, which holds both. Values are compared with edges exactly.
#[derive(Clone, Debug, PartialEq)]
pub struct Bins {
    edges: Vec<Number>,
    doubles: Vec<f64>,
}

impl Bins {
    /// Bins between edges, which must rise: two at least, and finite.
    pub fn edges<N: Into<Number>>(edges: impl IntoIterator<Item = N>) -> Result<Self> {
        let edges: Vec<Number> = edges.into_iter().map(Into::into).collect();
        if edges.len() < 2 || edges.len() > BINS_MAX + 1 {
            return Err(Error::invalid(format!(
                "a histogram of {} edges; give 2 to {}",
                edges.len(),
                BINS_MAX + 1
            )));
        }
        if !edges.iter().all(|edge| edge.is_finite())
            || edges.windows(2).any(|pair| pair[0] >= pair[1])
        {
            return Err(Error::invalid(
                "the edges of a histogram must be finite and rise",
            ));
        }
        let doubles = edges.iter().map(|edge| edge.to_f64()).collect();
        Ok(Self { edges, doubles })
    }

    /// Bins of one width from `low` to `high`.
    pub fn equal(bins: usize, low: f64, high: f64) -> Result<Self> {
        if !(1..=BINS_MAX).contains(&bins) {
            return Err(Error::invalid(format!(
                "a histogram of {bins} bins; give 1 to {BINS_MAX}"
            )));
        }
        let share = |i: usize| i as f64 / bins as f64;
        let width = high - low;
        let edge = |i: usize| match i {
            i if i == bins => high,
            i if width.is_finite() => low + width * share(i),
            i => low * (1.0 - share(i)) + high * share(i),
        };
        Self::edges((0..=bins).map(edge))
    }

    /// The edges, one more than there are bins, to the nearest doubles.
    pub fn as_slice(&self) -> &[f64] {
        &self.doubles
    }

    /// The same, exactly.
    pub fn exact(&self) -> &[Number] {
        &self.edges
    }

    /// How many counters there are: below, each bin, above.
    pub(super) fn counters(&self) -> usize {
        self.edges.len() + 1
    }

    /// The counter of a value: 0 is below all bins, the last one above.
    pub(super) fn counter(&self, value: impl Into<Number>) -> usize {
        let (value, last) = (value.into(), self.edges.len() - 1);
        if value == self.edges[last] {
            last
        } else {
            self.edges.partition_point(|edge| *edge <= value)
        }
    }
}

impl FromStr for Bins {
    type Err = Error;

    /// `20:0:100` for bins of one width, or `0,10,20,50` for edges.
    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| {
            let number = text.trim().parse::<f64>().ok();
            number
                .filter(|number| number.is_finite())
                .ok_or_else(|| Error::invalid(format!("`{text}` is not a finite number")))
        };
        match text.split(':').collect::<Vec<_>>()[..] {
            [bins, low, high] => {
                let bins = bins.trim().parse::<usize>();
                let bins = bins.map_err(|_| {
                    Error::invalid(format!("`{text}` does not begin with a number of bins"))
                })?;
                Self::equal(bins, number(low)?, number(high)?)
            }
            [edges] => {
                let edges = edges.split(',').map(str::parse::<Number>);
                Self::edges(edges.collect::<Result<Vec<_>>>()?)
            }
            _ => Err(Error::invalid(
                "give bins and their range, like 20:0:100, or edges, like 0,10,20,50",
            )),
        }
    }
}

/// What statistics are asked for, and of which cells.
///
/// By default these are all cells, and every [`Stat`] that the grid's layers serve (all of them
/// where none does, or where base cells are read in any case).
///
/// A cell belongs to an extent, a window or a polygon if its centre does. Extents and windows are
/// half-open, and a centre on the edge of a [`Polygon`] lies on one side only; so regions that
/// partition the plane partition the cells, and counts and sums add up. Several regions narrow each
/// other.
///
/// Along an irregular dimension each event counts: a place with three events has three cells. There
/// all answers are exact, so [`max_chunks`](Self::max_chunks) and [`max_error`](Self::max_error)
/// are refused.
///
/// ```
/// use gridstone::statistics::{Bins, Predicate};
/// use gridstone::{Axis, DType, Dimension, Schema, Stat, StatisticsQuery, Store, Structure, Window};
///
/// # fn main() -> gridstone::Result<()> {
/// let space = Dimension::regular("space", [Axis::new("y", 0.0, 1.0, 4), Axis::new("x", 0.0, 1.0, 4)]);
/// let schema = Schema::builder(Structure::builder().dimension(space).build()?, DType::U8).build()?;
/// let grid = Store::in_memory()?.create("height", schema)?;
/// grid.put(&Window::new([0, 0], [4, 4]), &ndarray::Array2::from_shape_fn((4, 4), |(y, _)| y as u8))?;
///
/// // The two rows in the middle, of which one has values of 2 or more.
/// let rows = StatisticsQuery::all().window(Window::new([1, 0], [2, 4]));
/// let found = grid.statistics(&rows.clone().stats([Stat::Count, Stat::Mean]).histogram(Bins::equal(2, 0.0, 4.0)?))?;
/// assert_eq!((found.count.map(|of| of.value), found.mean.map(|of| of.value)), (Some(8.0), Some(1.5)));
/// let high = grid.statistics(&rows.matching(">= 2".parse::<Predicate>()?).stats([Stat::Count]))?;
/// assert_eq!(high.count.map(|of| of.value), Some(4.0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatisticsQuery {
    pub(super) extents: Vec<Extent>,
    pub(super) windows: Vec<Window>,
    pub(super) polygon: Option<Polygon>,
    pub(super) predicate: Option<Predicate>,
    pub(super) stats: Vec<Stat>,
    pub(super) bins: Option<Bins>,
    pub(super) classes: bool,
    pub(super) max_chunks: Option<u64>,
    pub(super) max_error: Option<f64>,
}

impl StatisticsQuery {
    /// Sums up every cell.
    pub fn all() -> Self {
        Self::default()
    }

    /// Sums up only the cells of a box of the world. A bound may be infinite:
    /// `(f64::NEG_INFINITY, f64::INFINITY)` leaves an axis whole.
    #[must_use]
    pub fn extent(mut self, extent: Extent) -> Self {
        self.extents.push(extent);
        self
    }

    /// Sums up only the cells of a window, which may be at any levels.
    #[must_use]
    pub fn window(mut self, window: Window) -> Self {
        self.windows.push(window);
        self
    }

    /// Sums up only the cells of a polygon. A second one takes the place of the first.
    #[must_use]
    pub fn polygon(mut self, polygon: Polygon) -> Self {
        self.polygon = Some(polygon);
        self
    }

    /// Sums up only the cells for whose values a condition holds. A second condition must hold too.
    #[must_use]
    pub fn matching(mut self, predicate: Predicate) -> Self {
        self.predicate = Some(match self.predicate.take() {
            Some(first) => first.and(predicate),
            None => predicate,
        });
        self
    }

    /// Asks for these statistics instead of the default ones. Only what is asked for is computed.
    #[must_use]
    pub fn stats(mut self, stats: impl IntoIterator<Item = Stat>) -> Self {
        self.stats.extend(stats);
        self
    }

    /// Asks how many cells have their value in each of some bins.
    #[must_use]
    pub fn histogram(mut self, bins: Bins) -> Self {
        self.bins = Some(bins);
        self
    }

    /// Asks how many cells have each value that occurs; for cells that hold classes, at most
    /// [`CLASSES_MAX`](Self::CLASSES_MAX) of them.
    #[must_use]
    pub fn classes(mut self) -> Self {
        self.classes = true;
        self
    }

    /// Reads at most this many chunks. The answer's bounds hold all the same; they are as tight as
    /// that many chunks make them.
    #[must_use]
    pub fn max_chunks(mut self, chunks: u64) -> Self {
        self.max_chunks = Some(chunks);
        self
    }

    /// Reads chunks until each statistic's bounds are within this error: half their distance is at
    /// most `error` times the larger of the two by magnitude. In a histogram and among classes,
    /// half the area that is not yet told apart is at most `error` times all of it.
    #[must_use]
    pub fn max_error(mut self, error: f64) -> Self {
        self.max_error = Some(error);
        self
    }

    /// The most classes that an answer lists.
    pub const CLASSES_MAX: usize = 1 << 16;

    pub(super) fn check(&self) -> Result<()> {
        if let Some(error) = self
            .max_error
            .filter(|error| !(*error >= 0.0 && error.is_finite()))
        {
            return Err(Error::invalid(format!(
                "max_error {error} is not a finite number from 0 on"
            )));
        }
        self.predicate.as_ref().map_or(Ok(()), Predicate::check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_holds_its_lower_edge_and_the_last_one_both() {
        let bins = Bins::edges([0.0, 1.0, 2.5]).expect("bins");
        let counters = [-0.1, 0.0, 0.5, 1.0, 2.5, 2.6].map(|value| bins.counter(value));
        assert_eq!((counters, bins.counters()), ([0, 1, 1, 2, 2, 3], 4));
        assert_eq!(
            Bins::equal(4, 0.0, 1.0).expect("bins").as_slice(),
            [0.0, 0.25, 0.5, 0.75, 1.0]
        );
        let wide = Bins::equal(2, -f64::MAX, f64::MAX).expect("bins");
        assert_eq!(wide.as_slice(), [-f64::MAX, 0.0, f64::MAX]);
        let id = 9_007_199_254_740_993_i64;
        let ids = Bins::edges([id - 1, id, id + 1]).expect("bins");
        assert_eq!(
            [id - 2, id - 1, id, id + 1, id + 2].map(|value| ids.counter(value)),
            [0, 1, 2, 2, 3]
        );
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        for edges in [
            vec![],
            vec![1.0],
            vec![1.0, 1.0],
            vec![2.0, 1.0],
            vec![0.0, f64::NAN],
            vec![0.0, f64::INFINITY],
        ] {
            let why = Bins::edges(edges.clone()).expect_err("no bins").to_string();
            assert!(why.contains("histogram"), "{edges:?}: {why}");
        }
        assert!(
            Bins::equal(0, 0.0, 1.0)
                .expect_err("no bins")
                .to_string()
                .contains("0 bins")
        );
        assert!(
            Bins::equal(3, 1.0, 1.0)
                .expect_err("no bins")
                .to_string()
                .contains("rise")
        );
    }
}
