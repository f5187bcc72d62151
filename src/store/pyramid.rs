//! The levels of a grid's pyramid: where base data stands, up to where aggregates are stored, and
//! up to where they are to be.

use crate::grid::{Level, Levels, Location, Structure};

/// The levels of a grid's pyramid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pyramid {
    /// The levels of base data.
    pub(crate) base: Base,
    /// The levels up to which aggregates are stored.
    pub(crate) built: Levels,
    /// The levels up to which they are once all is up to date.
    pub(crate) top: Levels,
}

impl Pyramid {
    /// One of nothing but base data.
    pub(crate) fn of(base: Base) -> Self {
        Self {
            base,
            built: base.finest(),
            top: base.finest(),
        }
    }

    /// The levels up to which there are answers: fresh ones, or such of what is stored.
    pub(crate) fn reach(&self, fresh: bool) -> Levels {
        if fresh { self.top } else { self.built }
    }
}

/// The levels of base chunks: one for every dimension but the refinable one, which may have
/// several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    finest: Levels,
    refinable: Option<usize>,
    irregular: Option<usize>,
    /// A bit for each level of the refinable dimension that has base data, the finest level there
    /// can be first.
    used: u128,
}

fn bit(level: Level) -> u128 {
    1 << (i16::from(level.get()) - i16::from(Level::FINEST.get()))
}

impl Base {
    /// The levels of a first put, whose cells are at `levels`.
    pub(crate) fn new(structure: &Structure, levels: Levels) -> Self {
        Self {
            irregular: structure.irregular(),
            ..Self::of(structure.chunk_levels(levels), structure.refinable())
        }
    }

    pub(super) fn of(levels: Levels, refinable: Option<usize>) -> Self {
        Self {
            finest: levels,
            refinable,
            irregular: None,
            used: refinable.map_or(0, |d| bit(levels[d])),
        }
    }

    /// The same with base data at `levels`, which may differ in the refinable dimension.
    #[must_use]
    pub(crate) fn with(mut self, levels: Levels) -> Self {
        if let Some(d) = self.refinable {
            self.used |= bit(levels[d]);
            self.finest[d] = self.finest[d].min(levels[d]);
        }
        self
    }

    /// The same with base data at these levels of the refinable dimension only; `None` if that
    /// leaves none.
    pub(crate) fn only(self, levels: impl IntoIterator<Item = Level>) -> Option<Self> {
        let d = self.refinable?;
        let mut levels = levels.into_iter();
        let first = Self::of(self.finest.with(d, levels.next()?), Some(d));
        Some(levels.fold(first, |base, level| base.with(first.finest.with(d, level))))
    }

    /// The finest level of each dimension.
    pub(crate) fn finest(&self) -> Levels {
        self.finest
    }

    /// The levels of the finest base cells: those of chunks, but along an irregular dimension,
    /// where each event has its own tick.
    pub(crate) fn cells(&self) -> Levels {
        self.irregular
            .map_or(self.finest, |d| self.finest.with(d, Level::ZERO))
    }

    /// The coarsest level of each dimension.
    pub(crate) fn coarsest(&self) -> Levels {
        self.levels().last().unwrap_or(self.finest)
    }

    /// The dimension that has several levels of base data.
    pub(crate) fn mixed(&self) -> Option<usize> {
        self.refinable.filter(|_| self.used.count_ones() > 1)
    }

    /// The dimension of events at exact ticks.
    pub(crate) fn irregular(&self) -> Option<usize> {
        self.irregular
    }

    /// The dimension that may have several.
    pub(crate) fn refinable(&self) -> Option<usize> {
        self.refinable
    }

    /// Each vector of levels that has base data, the finest first.
    pub(crate) fn levels(&self) -> impl Iterator<Item = Levels> + use<> {
        let (finest, used) = (self.finest, self.used);
        let several = (Level::FINEST.get()..=Level::COARSEST.get())
            .filter_map(|level| Level::new(level).ok());
        let mixed = self.refinable.map(|d| {
            several
                .filter(move |&level| used & bit(level) != 0)
                .map(move |level| finest.with(d, level))
        });
        mixed
            .into_iter()
            .flatten()
            .chain(self.refinable.is_none().then_some(finest))
    }

    /// The dimension along which a location of some levels may inherit aggregates, if it may. Where
    /// the other dimensions are at their base levels it inherits base data only: below an
    /// aggregate, what is not stored has no data.
    pub(crate) fn heir(&self, levels: Levels) -> Option<usize> {
        self.mixed()
            .filter(|&d| levels.with(d, self.finest[d]) != self.finest)
    }

    /// The places above a location along the refinable dimension, up to its coarsest base level,
    /// the nearest first.
    pub(crate) fn over(
        &self,
        structure: &Structure,
        at: &Location,
    ) -> impl Iterator<Item = Location> {
        let (at, coarsest) = (*at, self.coarsest());
        let above = move |d: usize| {
            std::iter::successors(at.levels[d].coarser(), |level| level.coarser())
                .take_while(move |level| *level <= coarsest[d])
                .filter_map(move |level| structure.ancestor(&at, at.levels.with(d, level)))
        };
        self.mixed().into_iter().flat_map(above)
    }

    /// The levels of the refinable dimension that have base data, the finest first.
    pub(crate) fn used(&self) -> Option<Vec<Level>> {
        self.refinable
            .map(|d| self.levels().map(|levels| levels[d]).collect())
    }

    /// Whether base data can stand at some levels.
    pub(crate) fn has(&self, levels: Levels) -> bool {
        match self.refinable {
            None => levels == self.finest,
            Some(d) => {
                levels.with(d, self.finest[d]) == self.finest && self.used & bit(levels[d]) != 0
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use crate::grid::{Axis, Dimension};

    #[test]
    fn levels_in_use_are_a_set_along_the_refinable_dimension_only() {
        let line = |name: &str| Dimension::regular(name, [Axis::new(name, 0.0, 1.0, 2)]);
        let structure = Structure::builder()
            .dimension(line("t"))
            .dimension(line("x").refinable())
            .build()
            .unwrap();
        let level = |level: i8| Level::new(level).unwrap();
        let levels = |t: i8, x: i8| [level(t), level(x)].into_iter().collect::<Levels>();
        let base = Base::new(&structure, levels(1, 3));
        assert_eq!(
            (base.mixed(), base.has(levels(1, 3)), base.has(levels(0, 3))),
            (None, true, false)
        );
        let base = base
            .with(levels(1, -24))
            .with(levels(1, 40))
            .with(levels(1, 3));
        assert_eq!(base.used().unwrap(), [level(-24), level(3), level(40)]);
        assert_eq!(
            (base.finest(), base.coarsest(), base.mixed()),
            (levels(1, -24), levels(1, 40), Some(1))
        );
        assert_eq!(
            base.only([level(40), level(5)]).unwrap().used().unwrap(),
            [level(5), level(40)]
        );
        assert_eq!(base.only([]), None);
    }
}
