//! One or more axes that coarsen together.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::axis::{Axis, check_name};
use super::level::Level;
use crate::error::{Error, Result};

/// How far a dimension is aggregated above its coarsest base level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Depth {
    /// Until one chunk covers all the data.
    #[default]
    Top,
    /// This many levels, or to the top if that is fewer. 0 means not at all.
    Levels(u8),
}

/// What a dimension's coordinates are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DimensionKind {
    /// Equidistant cells on an unbounded axis, aggregated by halving.
    Regular {
        /// How far the pyramid goes.
        depth: Depth,
        /// Whether base data may come at several levels. At most one dimension of a grid may.
        refinable: bool,
    },
    /// Labels (bands, members) in a given order, which never aggregate.
    Fixed {
        /// One label a cell.
        labels: Vec<String>,
    },
    /// Exact ticks at which there are events, at any distances, aggregated by halving into bins of
    /// ticks. At most one dimension of a grid is. See [`Dimension::irregular`].
    Irregular {
        /// How far the pyramid goes.
        depth: Depth,
        /// The distance of events that is expected, in ticks.
        spacing: u64,
    },
}

/// One or more axes that coarsen together and share one level: space = (y, x), time = (t).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dimension {
    pub(super) name: String,
    pub(super) axes: Vec<Axis>,
    pub(super) kind: DimensionKind,
}

impl Dimension {
    /// The most events that a chunk of an irregular dimension can hold.
    pub const CAPACITY_MAX: u32 = 1 << 12;

    /// An equidistant dimension, aggregated to the top. It is refinable unless told otherwise or it
    /// is not the only one.
    pub fn regular(name: impl Into<String>, axes: impl IntoIterator<Item = Axis>) -> Self {
        Self {
            name: name.into(),
            axes: axes.into_iter().collect(),
            kind: DimensionKind::Regular {
                depth: Depth::Top,
                refinable: false,
            },
        }
    }

    /// Events at exact ticks, in whatever distances and order they come: one axis of the
    /// dimension's name, whose cells are ticks of `unit` (`seconds since 1970-01-01` makes it a
    /// time axis), as [`Axis::unit`] has it.
    ///
    /// A chunk of base data holds at most `capacity` events, a power of two from 2 to
    /// [`CAPACITY_MAX`](Self::CAPACITY_MAX). Where they lie closer than `spacing`, the distance
    /// that is expected, in ticks, chunks get shorter; where they lie farther apart, chunks hold
    /// less. So the choice costs or gains speed, and changes no answer. Good is the distance that
    /// most events have.
    ///
    /// Aggregates are events while at most `capacity` lie in a chunk's place, then `capacity` equal
    /// bins of ticks: level `l` is made of bins of 2^l ticks, and level 0 of the events themselves.
    pub fn irregular(
        name: impl Into<String>,
        unit: impl Into<String>,
        capacity: u32,
        spacing: u64,
    ) -> Self {
        let name = name.into();
        Self {
            axes: vec![Axis::new(name.clone(), 0.0, 1.0, capacity).unit(unit)],
            name,
            kind: DimensionKind::Irregular {
                depth: Depth::Top,
                spacing,
            },
        }
    }

    /// Labels that never aggregate; a chunk holds one of them, unless they are held
    /// [`together`](Self::together).
    pub fn fixed<L: Into<String>>(
        name: impl Into<String>,
        labels: impl IntoIterator<Item = L>,
    ) -> Self {
        let name = name.into();
        let labels = labels.into_iter().map(Into::into).collect();
        Self {
            axes: vec![Axis::new(name.clone(), 0.0, 1.0, 1)],
            name,
            kind: DimensionKind::Fixed { labels },
        }
    }

    /// The same with all labels in one chunk, at most [`Axis::CHUNK_MAX`]: a service's own
    /// [`Aggregator`](crate::aggregator::Aggregator) then sees a cell as one record of a value for
    /// each label. No effect on other dimensions than Fixed ones.
    #[must_use]
    pub fn together(mut self) -> Self {
        if let DimensionKind::Fixed { labels } = &self.kind {
            self.axes
                .iter_mut()
                .for_each(|axis| axis.chunk = u32::try_from(labels.len()).unwrap_or(u32::MAX));
        }
        self
    }

    /// Whether all labels of a Fixed dimension are in one chunk.
    pub fn is_together(&self) -> bool {
        self.labels()
            .is_some_and(|labels| labels.len() == self.axes[0].chunk as usize)
    }

    /// The same, aggregated so far only. No effect on a Fixed dimension.
    #[must_use]
    pub fn depth(mut self, to: Depth) -> Self {
        if let DimensionKind::Regular { depth, .. } | DimensionKind::Irregular { depth, .. } =
            &mut self.kind
        {
            *depth = to;
        }
        self
    }

    /// The same, declared as the one whose base data may come at several levels. No effect on other
    /// dimensions than regular ones.
    #[must_use]
    pub fn refinable(mut self) -> Self {
        if let DimensionKind::Regular { refinable, .. } = &mut self.kind {
            *refinable = true;
        }
        self
    }

    /// The dimension's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The axes, in the order of an array's axes.
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// What the coordinates are.
    pub fn kind(&self) -> &DimensionKind {
        &self.kind
    }

    /// Whether the dimension never aggregates because its coordinates are labels.
    pub fn is_fixed(&self) -> bool {
        matches!(self.kind, DimensionKind::Fixed { .. })
    }

    /// Whether it holds events at exact ticks.
    pub fn is_irregular(&self) -> bool {
        matches!(self.kind, DimensionKind::Irregular { .. })
    }

    /// Whether base data may come at several levels.
    pub fn is_refinable(&self) -> bool {
        matches!(
            self.kind,
            DimensionKind::Regular {
                refinable: true,
                ..
            }
        )
    }

    /// How far the dimension is aggregated; `None` of a Fixed one.
    pub fn aggregated(&self) -> Option<Depth> {
        match self.kind {
            DimensionKind::Regular { depth, .. } | DimensionKind::Irregular { depth, .. } => {
                Some(depth)
            }
            DimensionKind::Fixed { .. } => None,
        }
    }

    /// The labels of a Fixed dimension.
    pub fn labels(&self) -> Option<&[String]> {
        match &self.kind {
            DimensionKind::Fixed { labels } => Some(labels),
            DimensionKind::Regular { .. } | DimensionKind::Irregular { .. } => None,
        }
    }

    /// The finest and the coarsest level there can be. At the coarsest one chunk covers the whole
    /// index space.
    pub fn levels(&self) -> RangeInclusive<Level> {
        match self.kind {
            DimensionKind::Regular { .. } => Level::FINEST..=Level::COARSEST_REGULAR,
            DimensionKind::Irregular { .. } => Level::ZERO..=Level::COARSEST,
            DimensionKind::Fixed { .. } => Level::ZERO..=Level::ZERO,
        }
    }

    /// The bits of a chunk's code along an axis at a level, of a levelled dimension.
    pub(crate) fn code_bits(&self, level: Level) -> u32 {
        self.levels().end().above(level)
    }

    /// How many chunks an axis of this dimension has at a level.
    pub(crate) fn codes(&self, level: Level) -> u128 {
        match &self.kind {
            DimensionKind::Regular { .. } | DimensionKind::Irregular { .. } => {
                1 << self.code_bits(level)
            }
            DimensionKind::Fixed { labels } => {
                labels.len().div_ceil(self.axes[0].chunk as usize) as u128
            }
        }
    }

    /// The code of chunk 0 along an axis at a level.
    pub(crate) fn origin_code(&self, level: Level) -> i128 {
        if self.is_fixed() {
            0
        } else {
            (1 << self.code_bits(level)) / 3
        }
    }

    /// The position of cell 0 on the unsigned line of a level's cells, on which chunk `code` begins
    /// at `code * chunk`.
    ///
    /// Two levels of this line differ by a shift: position `p` covers positions `2p` and `2p + 1`
    /// of the next finer level.
    pub(crate) fn zero(&self, axis: usize, level: Level) -> i128 {
        if self.is_fixed() {
            return 0;
        }
        let finest = *self.levels().start();
        let zero = (self.origin_code(finest) >> Level::ZERO.above(finest))
            * i128::from(self.axes[axis].chunk);
        if level.get() >= 0 {
            zero >> level.get()
        } else {
            zero << -level.get()
        }
    }

    /// The level of the chunks in which an irregular dimension keeps its events: bins of that level
    /// are not longer than the expected spacing.
    pub(crate) fn bucket(&self) -> Option<Level> {
        let DimensionKind::Irregular { spacing, .. } = self.kind else {
            return None;
        };
        i8::try_from(spacing.max(1).ilog2())
            .ok()
            .and_then(|level| Level::new(level).ok())
    }

    pub(super) fn validate(&self) -> Result<()> {
        let name = &self.name;
        check_name("dimension", name)?;
        if self.axes.is_empty() {
            return Err(Error::invalid(format!("dimension `{name}` has no axis")));
        }
        if let DimensionKind::Irregular { spacing, .. } = self.kind {
            let [axis] = self.axes.as_slice() else {
                return Err(Error::invalid(format!(
                    "dimension `{name}` is irregular and has several axes; it must have one"
                )));
            };
            if spacing == 0 || i64::try_from(spacing).is_err() {
                return Err(Error::invalid(format!(
                    "dimension `{name}`: an expected spacing of {spacing} ticks is outside 1 to {}",
                    i64::MAX
                )));
            }
            if axis.origin() != 0.0 || axis.step() != 1.0 {
                return Err(Error::invalid(format!(
                    "dimension `{name}` is irregular: its axis counts ticks from 0"
                )));
            }
            if axis.chunk() > Self::CAPACITY_MAX {
                let (capacity, most) = (axis.chunk(), Self::CAPACITY_MAX);
                return Err(Error::invalid(format!(
                    "dimension `{name}`: a capacity of {capacity} events is outside 2 to {most}"
                )));
            }
        }
        if let Some(labels) = self.labels() {
            if self.axes.len() != 1 {
                return Err(Error::invalid(format!(
                    "dimension `{name}` has labels and {} axes; it must have one",
                    self.axes.len()
                )));
            }
            if labels.is_empty() || labels.len() > 1 << 20 {
                return Err(Error::invalid(format!(
                    "dimension `{name}` has {} labels; give 1 to {}",
                    labels.len(),
                    1 << 20
                )));
            }
            if self.axes[0].chunk != 1 && !self.is_together() {
                return Err(Error::invalid(format!(
                    "dimension `{name}` has chunks of {} labels; a chunk holds one of them, or all {}",
                    self.axes[0].chunk,
                    labels.len()
                )));
            }
        }
        self.axes
            .iter()
            .try_for_each(|axis| axis.validate(self.is_fixed()))
    }
}
