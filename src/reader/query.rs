//! What is asked, and what is answered.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::array::Array;
use crate::error::Result;
use crate::grid::{Extent, Levels, Window};
use crate::kernel::{Aggregation, Resampling};

/// Which values are read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// The cells as they were put, at the finest base levels; coarser ones are repeated.
    Base,
    /// Aggregates. At the base levels, what the aggregator makes of single cells.
    Aggregate(Aggregation),
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
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "base" { Ok(Layer::Base) } else { text.parse().map(Layer::Aggregate) }
    }
}

/// How up to date a read is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Freshness {
    /// What is stored. The answer says which part of it is stale.
    #[default]
    Stored,
    /// Every commit that has returned is taken into account: stale aggregates are computed on the fly. Nothing waits.
    Fresh,
    /// What is stored once a commit is aggregated, so that every level shows it: the read waits for that. See
    /// [`Grid::wait`](crate::Grid::wait) for how a wait ends, and [`Query::wait`].
    Wait {
        /// The [`sequence`](crate::Commit::sequence) of the commit.
        commit: u64,
        /// How long to wait at most; then the read fails with [`TimedOut`](crate::ErrorKind::TimedOut).
        timeout: Duration,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Region {
    All,
    Window(Window),
    Extent(Extent),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Detail {
    Given,
    Levels(Levels),
    Resolution(Vec<f64>),
    Shape(Vec<usize>),
}

/// A region, how finely it is wanted, and which values. By default: all there is, at the finest base levels, as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub(super) region: Region,
    pub(super) detail: Detail,
    pub(super) layer: Option<Layer>,
    resampling: Resampling,
    freshness: Freshness,
}

impl Query {
    /// All that was put.
    pub fn all() -> Self {
        Self {
            region: Region::All,
            detail: Detail::Given,
            layer: None,
            resampling: Resampling::default(),
            freshness: Freshness::default(),
        }
    }

    /// A window of cells, at its own levels unless told otherwise.
    pub fn window(window: Window) -> Self {
        Self { region: Region::Window(window), ..Self::all() }
    }

    /// A box of the world, at the base levels unless told otherwise.
    pub fn extent(extent: Extent) -> Self {
        Self { region: Region::Extent(extent), ..Self::all() }
    }

    /// At these levels: the cells that the region touches, unresampled.
    #[must_use]
    pub fn levels(mut self, levels: Levels) -> Self {
        self.detail = Detail::Levels(levels);
        self
    }

    /// In cells of this size, in world units along each axis (ignored along Fixed ones), from the region's first corner on.
    /// Taken from the coarsest level at least as fine, and resampled.
    #[must_use]
    pub fn resolution(mut self, cell: impl IntoIterator<Item = f64>) -> Self {
        self.detail = Detail::Resolution(cell.into_iter().collect());
        self
    }

    /// In this many cells along each axis. Taken from the coarsest level at least as fine, and resampled.
    #[must_use]
    pub fn shape(mut self, cells: impl IntoIterator<Item = usize>) -> Self {
        self.detail = Detail::Shape(cells.into_iter().collect());
        self
    }

    /// These values; by default the base at the base levels, and the grid's first aggregator above.
    #[must_use]
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layer = Some(layer);
        self
    }

    /// How cells between cells are found where a resolution or shape is asked for; the nearest by default.
    #[must_use]
    pub fn resampled(mut self, resampling: Resampling) -> Self {
        self.resampling = resampling;
        self
    }

    /// Waits until the commit of this [`sequence`](crate::Commit::sequence) is aggregated, but not longer than `timeout`. Short
    /// for [`Freshness::Wait`].
    #[must_use]
    pub fn wait(self, commit: u64, timeout: Duration) -> Self {
        self.freshness(Freshness::Wait { commit, timeout })
    }

    /// How up to date the answer is.
    #[must_use]
    pub fn freshness(mut self, freshness: Freshness) -> Self {
        self.freshness = freshness;
        self
    }
}

impl Query {
    pub(crate) fn resampling(&self) -> Resampling {
        self.resampling
    }

    pub(crate) fn freshness_wanted(&self) -> Freshness {
        self.freshness
    }
}

/// The answer to a [`Query`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// The cells, with an axis for each of the grid's. Cells without data hold NaN in aggregates that are floats, the grid's
    /// nodata value in those that are integers (0 where it has none). In the base they hold the grid's nodata value; where it has none, NaN
    /// or 0.
    pub array: Array,
    /// The box of the world that the array covers.
    pub extent: Extent,
    /// The cells that were read: at which levels, and which. The array's own where nothing was resampled.
    pub window: Window,
    /// The layer that was read.
    pub layer: Layer,
    /// The parts of the window that are out of date because aggregation has not caught up. Empty after a fresh read.
    pub stale: Vec<Window>,
    /// Chunks read and decoded.
    pub chunks_read: u64,
    /// Cells of the window, before resampling, of which another class than the one given could be the most frequent, because
    /// a cell under them had more classes than the layer keeps ([`Aggregation::Mode`]). 0 in every other layer.
    pub inexact: u64,
}
