//! What is asked, and what is answered.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ndarray::ArrayD;

use super::steps::StepCuts;
use crate::array::{Array, Number, Validity};
use crate::error::{Error, Result};
use crate::grid::{Extent, Geometry, Levels, Window};
use crate::kernel::{Aggregation, Resampling};

/// Which values are read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// The cells as they were put, at the finest base levels; coarser ones are repeated.
    Base,
    /// Aggregates. At the base levels, what the aggregator makes of single cells.
    Aggregate(Aggregation),
}

impl Layer {
    /// Whether its values are in the unit of the cells that they are made of.
    pub(crate) fn keeps_unit(&self) -> bool {
        // A deviation of degrees above some zero is not such degrees.
        !matches!(
            self,
            Layer::Aggregate(
                Aggregation::Count
                    | Aggregation::Variance
                    | Aggregation::Std
                    | Aggregation::Custom { .. }
            )
        )
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Layer::Base => f.write_str("base"),
            Layer::Aggregate(aggregation) => fmt::Display::fmt(aggregation, f),
        }
    }
}

impl FromStr for Layer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "base" {
            Ok(Layer::Base)
        } else {
            text.parse().map(Layer::Aggregate)
        }
    }
}

/// How up to date a read is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Freshness {
    /// What is stored. The answer says which part of it is stale.
    #[default]
    Stored,
    /// Every commit that has returned is taken into account: stale aggregates are computed on the
    /// fly. Nothing waits.
    Fresh,
    /// What is stored once a commit is aggregated, so that every level shows it: the read waits for
    /// that. See [`Grid::wait`](crate::Grid::wait) for how a wait ends, and [`Query::wait`].
    Wait {
        /// The [`sequence`](crate::Commit::sequence) of the commit.
        commit: u64,
        /// How long to wait at most; then the read fails with
        /// [`TimedOut`](crate::ErrorKind::TimedOut).
        timeout: Duration,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum AskedRegion {
    All,
    Window(Window),
    Extent(Extent),
}

/// Which event of an irregular dimension stands for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Moment {
    /// The event that is nearest; of two that are equally near, the earlier.
    Nearest,
    /// The last event at or before the moment.
    Previous,
    /// The first event at or after the moment.
    Next,
    /// What lies between the events before and after, on a straight line; the event itself where
    /// there is one at the moment. Cells in which either has no data have none. Integer cells give
    /// float64.
    Linear,
}

impl FromStr for Moment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "nearest" => Ok(Self::Nearest),
            "previous" => Ok(Self::Previous),
            "next" => Ok(Self::Next),
            "linear" => Ok(Self::Linear),
            _ => Err(Error::invalid(format!(
                "`{text}` is none of nearest, previous, next, linear"
            ))),
        }
    }
}

/// Which events are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum EventChoice {
    #[default]
    Region,
    /// From the first to before the second tick.
    Ticks(i64, i64),
    Moment {
        tick: i64,
        how: Moment,
    },
    Latest,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Detail {
    Given,
    Levels(Levels),
    Resolution(Vec<f64>),
    Shape(Vec<usize>),
    Onto(Geometry),
}

/// What a read asks for: a region, how finely it is wanted, and which values.
///
/// By default all that was put is read, at the finest base levels, as it is stored. Nothing is
/// checked before the query is used: [`Grid::read`](crate::Grid::read) gives the errors.
///
/// ```
/// use gridstone::{Aggregation, Axis, DType, Dimension, Layer, Query, Resampling, Schema, Store, Structure, Window};
///
/// # fn main() -> gridstone::Result<()> {
/// let space = Dimension::regular("space", [Axis::new("y", 100.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)]);
/// let schema = Schema::builder(Structure::builder().dimension(space).build()?, DType::F32).aggregator(Aggregation::Max);
/// let grid = Store::in_memory()?.create("height", schema.build()?)?;
/// grid.put(&Window::new([0, 0], [8, 8]), &ndarray::Array2::from_shape_fn((8, 8), |(y, x)| (y + x) as f32))?;
///
/// // Cells of twice the size, each the greatest of the four below it.
/// let coarse = grid.read(&Query::all().level("space", 1).layer(Layer::Aggregate(Aggregation::Max)))?;
/// assert_eq!((coarse.array.shape(), coarse.values().next()), (&[4, 4][..], Some(Some(2.0))));
/// // A quarter of the grid as a picture of three by three cells.
/// let picture = Query::window(Window::new([0, 0], [4, 4])).shape([3, 3]).resampled(Resampling::Bilinear);
/// assert_eq!(grid.read(&picture)?.array.shape(), [3, 3]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub(super) region: AskedRegion,
    pub(super) detail: Detail,
    /// Levels by the names of their dimensions, in place of those of the region.
    pub(super) named: Vec<(String, i8)>,
    pub(super) layer: Option<Layer>,
    pub(super) when: EventChoice,
    /// How far an event may be from the moment for which it stands, in ticks.
    pub(super) tolerance: Option<u64>,
    /// How the irregular dimension, or that of time, is cut into steps.
    pub(super) steps: Option<StepCuts>,
    resampling: Resampling,
    freshness: Freshness,
}

impl Query {
    /// Reads all that was put.
    pub fn all() -> Self {
        Self {
            region: AskedRegion::All,
            detail: Detail::Given,
            named: Vec::new(),
            layer: None,
            when: EventChoice::default(),
            tolerance: None,
            steps: None,
            resampling: Resampling::default(),
            freshness: Freshness::default(),
        }
    }

    /// Reads a window of cells, at its own levels unless told otherwise.
    pub fn window(window: Window) -> Self {
        Self {
            region: AskedRegion::Window(window),
            ..Self::all()
        }
    }

    /// Reads a box of the world, at the base levels unless told otherwise: every cell that the box
    /// touches.
    pub fn extent(extent: Extent) -> Self {
        Self {
            region: AskedRegion::Extent(extent),
            ..Self::all()
        }
    }

    /// Reads the region at these levels, one a dimension in the structure's order: the cells that
    /// the region touches, unresampled. Levels above the [top](crate::Grid::top), where one chunk
    /// holds all data, are made as they are read, of the nearest levels below that are stored and
    /// that they would be stored from; where base data lies at several levels, or marks are
    /// pending, for fresh answers only.
    ///
    /// The read fails with [`NotFound`](crate::ErrorKind::NotFound) above the
    /// [depth](crate::Dimension::depth) of a dimension, above the base of a grid without
    /// aggregators, and where what is asked for as it is stored is not stored yet; with
    /// [`Invalid`](crate::ErrorKind::Invalid) where these are not the levels of the grid's
    /// dimensions.
    #[must_use]
    pub fn levels(mut self, levels: Levels) -> Self {
        self.detail = Detail::Levels(levels);
        self
    }

    /// Reads the region at a level of the dimension of this name, and of the others at those that
    /// it has anyway: level 1 has cells of twice the declared size, level -1 of half. Not together
    /// with a resolution or a shape. The read fails with [`Invalid`](crate::ErrorKind::Invalid)
    /// where the grid has no such dimension, or the dimension no such level.
    #[must_use]
    pub fn level(mut self, dimension: impl Into<String>, level: i8) -> Self {
        self.named.push((dimension.into(), level));
        self
    }

    /// Reads the region in cells of this size, in world units along each axis (ignored along Fixed
    /// and irregular ones), from the region's first corner on. They are taken from the coarsest
    /// level at least as fine, and resampled.
    #[must_use]
    pub fn resolution(mut self, cell: impl IntoIterator<Item = f64>) -> Self {
        self.detail = Detail::Resolution(cell.into_iter().collect());
        self
    }

    /// Reads the region in this many cells along each axis (ignored along irregular ones). They are
    /// taken from the coarsest level at least as fine, and resampled.
    #[must_use]
    pub fn shape(mut self, cells: impl IntoIterator<Item = usize>) -> Self {
        self.detail = Detail::Shape(cells.into_iter().collect());
        self
    }

    /// Reads on exactly the cells of a target, whatever their size, place and direction. The answer
    /// has the grid's axes, in the grid's order. Along those that the target names it has the
    /// target's cells, as many and in the target's order, whatever the region, and whether there is
    /// data or not; along the others it has the region's, at the base levels. They are taken from
    /// the coarsest level at least as fine, and [resampled](Self::resampled). Longitudes are turned
    /// to where the grid has them.
    ///
    /// With the feature `crs` the target may be in another
    /// [coordinate reference system](Geometry::crs), if that and the grid's are transformed as
    /// exactly as PROJ does. It names the two axes of the grid's rows and columns, and none beside.
    /// A cell is then the quadrilateral between the places of its corners, and it may lie over a
    /// pole or over the seam of the grid's longitudes. The level is one that is as fine as each cell
    /// that lies over data; where edges of cells are to meet ([`Resampling`]), that of the base.
    /// [`Answer::extent`] has such a target's own coordinates.
    ///
    /// The read fails with [`Invalid`](crate::ErrorKind::Invalid) where the target is in a system
    /// that is not transformed to the grid's, is in the grid's and goes over the seam of its
    /// longitudes, names an axis twice, or one that the grid does not have or whose cells are labels
    /// or events, or has no cells along one; and where a [level](Self::level) is asked for too.
    ///
    /// ```
    /// use gridstone::grid::Geometry;
    /// use gridstone::{Axis, DType, Dimension, Query, Resampling, Schema, Store, Structure, Window};
    ///
    /// # fn main() -> gridstone::Result<()> {
    /// let space = Dimension::regular("space", [Axis::new("y", 100.0, -10.0, 8), Axis::new("x", 0.0, 10.0, 8)]);
    /// let schema = Schema::builder(Structure::builder().dimension(space).build()?, DType::F64).build()?;
    /// let grid = Store::in_memory()?.create("height", schema)?;
    /// grid.put(&Window::new([0, 0], [10, 10]), &ndarray::Array2::from_shape_fn((10, 10), |(_, x)| x as f64))?;
    ///
    /// // Cells of 15, from south to north, the last columns beyond the data.
    /// let target = Geometry::new().axis("y", 25.0, 15.0, 3).axis("x", 62.5, 15.0, 4);
    /// let answer = grid.read(&Query::all().onto(target).resampled(Resampling::Area))?;
    /// assert_eq!(answer.array.shape(), [3, 4]);
    /// assert_eq!(answer.values().nth(1), Some(Some((0.25 * 7.0 + 1.0 * 8.0 + 0.25 * 9.0) / 1.5)));
    /// assert_eq!(answer.values().nth(3), Some(None));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn onto(mut self, target: Geometry) -> Self {
        self.detail = Detail::Onto(target);
        self
    }

    /// Reads the values of this layer. The default is the base at the base levels, and the grid's
    /// first aggregator above; but what is resampled by area is taken from the layer `mean`, and by
    /// `min`, `max` or `sum` from the layer of that name, or from the base where there is none; and
    /// by `mode` from the base.
    #[must_use]
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layer = Some(layer);
        self
    }

    /// Chooses how cells are made of others where a resolution, a shape or a target is asked for.
    /// The default is the nearest cell. [`Resampling`] has the rules, for the layers `sum` and
    /// `count` too.
    #[must_use]
    pub fn resampled(mut self, resampling: Resampling) -> Self {
        self.resampling = resampling;
        self
    }

    /// Reads the events of the irregular dimension from the first to before the second tick,
    /// exactly; above the base, the bins that begin in that range.
    #[must_use]
    pub fn ticks(mut self, ticks: std::ops::Range<i64>) -> Self {
        self.when = EventChoice::Ticks(ticks.start, ticks.end);
        self
    }

    /// Reads the one event of the irregular dimension that stands for a moment, which is a tick,
    /// whatever times the region has. An event counts if any cell of the region has data in it. The
    /// read fails with [`NotFound`](crate::ErrorKind::NotFound) where no event does.
    #[must_use]
    pub fn moment(mut self, tick: i64, how: Moment) -> Self {
        self.when = EventChoice::Moment { tick, how };
        self
    }

    /// Limits how many ticks an event may be away from the [moment](Self::moment) that it stands
    /// for.
    #[must_use]
    pub fn within(mut self, ticks: u64) -> Self {
        self.tolerance = Some(ticks);
        self
    }

    /// Reads the last event of the irregular dimension that has data in any cell of the region,
    /// whatever times the region has.
    #[must_use]
    pub fn latest(mut self) -> Self {
        self.when = EventChoice::Latest;
        self
    }

    /// Lays the irregular dimension onto a regular axis: each cell is what the [layer](Self::layer)
    /// makes of all events of the region in `step` ticks, one of these steps beginning at the tick
    /// `from`. Steps without events have no data. Whole bins of the pyramid are taken where they
    /// lie within a step, so a long step costs little more than a short one.
    #[must_use]
    pub fn every(mut self, step: u64, from: i64) -> Self {
        self.steps = Some(StepCuts::Even { step, from });
        self
    }

    /// Lays the dimension along which a [series](crate::Steps) goes by default onto steps of any
    /// lengths, each of which begins where the one before ends: `edges` are where each begins and
    /// where the last one ends, rising, in world coordinates, which are ticks along an irregular
    /// dimension. Each cell is what the [layer](Self::layer) makes of all cells of the region that
    /// begin in a step, or of all events in it. The answer has those steps in which there are any,
    /// and [says](Answer::steps) which these are. Days, months and seasons are made by
    /// [`TimeUnit::edges`](crate::calendar::TimeUnit::edges).
    #[must_use]
    pub fn edges<N: Into<Number>>(mut self, edges: impl IntoIterator<Item = N>) -> Self {
        self.steps = Some(StepCuts::edges(edges));
        self
    }

    /// Waits until the commit of this [`sequence`](crate::Commit::sequence) is aggregated, but not
    /// longer than `timeout`. Short for [`Freshness::Wait`].
    #[must_use]
    pub fn wait(self, commit: u64, timeout: Duration) -> Self {
        self.freshness(Freshness::Wait { commit, timeout })
    }

    /// Chooses how up to date the answer is. The default is what is stored, with the stale parts
    /// named.
    #[must_use]
    pub fn freshness(mut self, freshness: Freshness) -> Self {
        self.freshness = freshness;
        self
    }
}

impl Query {
    pub(crate) fn target(&self) -> Option<&Geometry> {
        if let Detail::Onto(target) = &self.detail {
            Some(target)
        } else {
            None
        }
    }

    pub(crate) fn resampling(&self) -> Resampling {
        self.resampling
    }

    pub(crate) fn freshness_wanted(&self) -> Freshness {
        self.freshness
    }
}

/// Where the cells of an answer lie along the irregular dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Coordinates {
    /// The number of the axis.
    pub axis: usize,
    /// The tick of each event, rising; the first tick of each bin or step. Where events before and
    /// after were weighed, the moment.
    pub ticks: Vec<i64>,
    /// How many ticks each stands for: 1 for events, 0 for steps of several lengths.
    pub width: u64,
}

/// The answer to a [`Query`].
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The cells, with an axis for each of the grid's. [`valid`](Self::valid) says which hold data.
    /// The others hold the grid's nodata value in the base and in integer layers, or where it has
    /// none 0, and NaN in layers and bases of floats. But those of an integer `sum` of a grid with
    /// a nodata value, which can be a sum, hold the least int64 or the greatest uint64.
    pub array: Array,
    /// Which cells hold data. What it does not cost to say is not said of each: see
    /// [`valid`](Self::valid), [`values`](Self::values).
    pub validity: Validity,
    /// Where the array's cells lie along the irregular dimension, of which it has those cells only
    /// that hold something: events, or bins with data. `None` if the grid has no such dimension.
    pub coordinates: Option<Coordinates>,
    /// Where the steps begin that were asked for, and where the last one ends, in world
    /// coordinates: one more than there are. `None` where cells or events were read.
    pub steps: Option<Vec<f64>>,
    /// The box of the world that the array covers; along the rows and columns of a target of another
    /// system, in that.
    pub extent: Extent,
    /// The cells that were [asked for](Query::onto), if any were: along the axes that it names the
    /// array runs as it does, and along the others as the grid does.
    pub target: Option<Geometry>,
    /// The cells that were read: at which levels, and which. The array's own where nothing was
    /// resampled, and along the irregular dimension the box that they lie in.
    pub window: Window,
    /// The layer that was read.
    pub layer: Layer,
    /// The parts of the window that are out of date because aggregation has not caught up. Empty
    /// after a fresh read.
    pub stale: Vec<Window>,
    /// Chunks read and decoded, or taken from those that are kept decoded.
    pub chunks_read: u64,
    /// Cells of the window, before resampling, of which another class than the one given could be
    /// the most frequent, because a cell under them had more classes than the layer keeps
    /// ([`Aggregation::Mode`]). 0 in every other layer.
    pub inexact: u64,
}

impl Answer {
    /// Whether each cell holds data, in the shape of the [`array`](Self::array); `None` if every
    /// cell does. Every cell of the layer `count` does: of nothing there is a count too.
    pub fn valid(&self) -> Option<ArrayD<bool>> {
        self.validity.mask(&self.array)
    }

    /// Every cell as a double, in C order; `None` where it holds no data.
    pub fn values(&self) -> impl Iterator<Item = Option<f64>> + '_ {
        self.validity.values(&self.array)
    }
}
