//! Levels: powers of two of the declared cell size.

use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

use super::tuple::Tuple;
use crate::error::{Error, Result};

/// A level of one dimension: 0 is the declared cell size, +1 doubles it, -1 halves it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i8", into = "i8")]
pub struct Level(i8);

impl Level {
    /// The declared cell size.
    pub const ZERO: Level = Level(0);
    /// The finest level of any dimension, of regular ones.
    pub const FINEST: Level = Level(-24);
    /// The coarsest level of any dimension, of irregular ones;
    /// [`Dimension::levels`](super::Dimension::levels) has each kind's.
    pub const COARSEST: Level = Level(64);

    /// The coarsest level of a regular dimension.
    pub(super) const COARSEST_REGULAR: Level = Level(40);

    /// A level; [`Invalid`](crate::ErrorKind::Invalid) outside [`FINEST`](Self::FINEST) to
    /// [`COARSEST`](Self::COARSEST).
    pub fn new(level: i8) -> Result<Self> {
        if (Self::FINEST.0..=Self::COARSEST.0).contains(&level) {
            Ok(Self(level))
        } else {
            Err(Error::invalid(format!(
                "level {level} is outside {} to {}",
                Self::FINEST,
                Self::COARSEST
            )))
        }
    }

    /// The number.
    pub const fn get(self) -> i8 {
        self.0
    }

    /// The next coarser level, if there is one.
    pub fn coarser(self) -> Option<Self> {
        (self < Self::COARSEST).then(|| Self(self.0 + 1))
    }

    /// The next finer level, if there is one.
    pub fn finer(self) -> Option<Self> {
        (self > Self::FINEST).then(|| Self(self.0 - 1))
    }

    /// How many levels it lies above another; 0 if it is below.
    pub(crate) fn above(self, other: Level) -> u32 {
        u32::try_from(i16::from(self.0) - i16::from(other.0)).unwrap_or(0)
    }

    /// Cell size at this level over the declared cell size.
    pub fn scale(self) -> f64 {
        f64::from(self.0).exp2()
    }
}

impl TryFrom<i8> for Level {
    type Error = Error;

    fn try_from(level: i8) -> Result<Self> {
        Self::new(level)
    }
}

impl From<Level> for i8 {
    fn from(level: Level) -> Self {
        level.0
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A level for each dimension, in the structure's order. A Fixed dimension is always at level 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Levels(Tuple<Level>);

impl Levels {
    /// The declared cell size in each of `dimensions` dimensions.
    pub fn zero(dimensions: usize) -> Self {
        Self(Tuple::filled(dimensions, Level::ZERO))
    }

    /// The same with another level for one dimension.
    #[must_use]
    pub fn with(mut self, dimension: usize, level: Level) -> Self {
        self.0[dimension] = level;
        self
    }

    /// The coarser level of each dimension.
    #[must_use]
    pub(crate) fn coarser_of(&self, other: &Levels) -> Self {
        self.iter()
            .zip(other.iter())
            .map(|(a, b)| *a.max(b))
            .collect()
    }

    /// The finer level of each dimension.
    #[must_use]
    pub(crate) fn finer_of(&self, other: &Levels) -> Self {
        self.iter()
            .zip(other.iter())
            .map(|(a, b)| *a.min(b))
            .collect()
    }

    /// Whether every level is coarser than or equal to the other's.
    pub(crate) fn covers(&self, other: &Levels) -> bool {
        self.iter().zip(other.iter()).all(|(a, b)| a >= b)
    }
}

impl<const N: usize> TryFrom<[i8; N]> for Levels {
    type Error = Error;

    /// The levels of a structure of `N` dimensions, in their order.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if one is outside [`Level::FINEST`] to
    /// [`Level::COARSEST`], or there are more than a grid has dimensions.
    fn try_from(levels: [i8; N]) -> Result<Self> {
        if N > super::MAX_AXES {
            return Err(Error::invalid(format!(
                "{N} levels are given; no grid has more than {} dimensions",
                super::MAX_AXES
            )));
        }
        levels.into_iter().map(Level::new).collect()
    }
}

impl FromIterator<Level> for Levels {
    fn from_iter<I: IntoIterator<Item = Level>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

impl Deref for Levels {
    type Target = [Level];

    fn deref(&self) -> &[Level] {
        &self.0
    }
}

impl DerefMut for Levels {
    fn deref_mut(&mut self) -> &mut [Level] {
        &mut self.0
    }
}

impl fmt::Debug for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
