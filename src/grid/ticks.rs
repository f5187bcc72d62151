//! The places of ticks along an irregular dimension.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::level::{Level, Levels};
use super::location::Location;
use super::structure::{Piece, Structure, saturate};
use super::window::Window;

/// An irregular dimension: where its ticks lie among chunks and bins.
///
/// A chunk at a level stands for `capacity` bins of 2^level ticks. Base data is kept at the level
/// of *buckets*, whose bins are not longer than the expected spacing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Irregular {
    /// The number of the dimension.
    pub(crate) dimension: usize,
    /// The number of its axis among all.
    pub(crate) axis: usize,
    /// The most events in a chunk, a power of two.
    pub(crate) capacity: usize,
    /// The level of buckets.
    pub(crate) bucket: Level,
    /// The position of tick 0 on the unsigned line of ticks.
    zero: i128,
}

impl Structure {
    /// The irregular dimension, if there is one.
    pub(crate) fn irregular_axis(&self) -> Option<Irregular> {
        let dimension = self.irregular()?;
        let of = &self.dimensions()[dimension];
        Some(Irregular {
            dimension,
            axis: self.axes_of(dimension).start,
            capacity: of.axes()[0].chunk() as usize,
            bucket: of.bucket()?,
            zero: of.zero(0, Level::ZERO),
        })
    }

    /// The levels of the chunks in which base cells of some levels are kept: those of buckets along
    /// an irregular dimension.
    pub(crate) fn chunk_levels(&self, cells: Levels) -> Levels {
        self.irregular_axis().map_or(cells, |irregular| {
            cells.with(irregular.dimension, irregular.bucket)
        })
    }

    /// The levels of the base cells in chunks of some levels: an event has a tick of its own.
    pub(crate) fn cell_levels(&self, chunks: Levels) -> Levels {
        self.irregular()
            .map_or(chunks, |dimension| chunks.with(dimension, Level::ZERO))
    }
}

impl Structure {
    /// A window of base cells as one whose chunks are those that the cells are in: along an
    /// irregular dimension the buckets of its ticks.
    pub(crate) fn bucket_window(&self, window: &Window) -> Window {
        let Some(irregular) = self.irregular_axis() else {
            return *window;
        };
        let bin = |tick: i64| irregular.bin(irregular.bucket, tick);
        let (first, end) = (window.start()[irregular.axis], window.end()[irregular.axis]);
        let (first, last) = (bin(first), bin(end.saturating_sub(1)));
        let len = last.abs_diff(first).saturating_add(1);
        let levels = self.chunk_levels(window.levels(self.dimensions().len()));
        window.along(irregular.axis, first, len).at(levels)
    }

    /// The same without extent along an irregular dimension, so that its chunks are one for each
    /// column.
    pub(crate) fn column_window(&self, window: &Window) -> Window {
        let whole = self.bucket_window(window);
        self.irregular_axis().map_or(whole, |irregular| {
            whole.along(irregular.axis, whole.start()[irregular.axis], 1)
        })
    }

    /// The parts of a window of base cells, one in each chunk; along an irregular dimension one in
    /// each bucket that some ticks, rising, lie in.
    pub(crate) fn split_at(
        &self,
        window: &Window,
        ticks: &[i64],
    ) -> impl Iterator<Item = Piece> + use<> {
        let irregular = self.irregular_axis();
        let mut codes: Vec<Option<u64>> = match irregular {
            None => vec![None],
            Some(irregular) => ticks
                .iter()
                .map(|tick| Some(irregular.code(irregular.bucket, *tick)))
                .collect(),
        };
        codes.dedup();
        let codes: Arc<[Option<u64>]> = codes.into();
        let of_column = move |piece: Piece| {
            let codes = Arc::clone(&codes);
            (0..codes.len()).map(move |number| Piece {
                location: irregular
                    .zip(codes[number])
                    .map_or(piece.location, |(irregular, code)| {
                        irregular.place(&piece.location, irregular.bucket, code)
                    }),
                ..piece.clone()
            })
        };
        self.split(&self.column_window(window)).flat_map(of_column)
    }
}

impl Irregular {
    fn position(&self, tick: i64) -> i128 {
        i128::from(tick) + self.zero
    }

    /// How many bits of a tick's position tell ticks of one chunk apart.
    fn bits(&self, level: Level) -> u32 {
        level.above(Level::ZERO) + self.capacity.ilog2()
    }

    /// The code of the chunk at a level in which a tick lies.
    pub(crate) fn code(&self, level: Level, tick: i64) -> u64 {
        u64::try_from(self.position(tick) >> self.bits(level)).unwrap_or(u64::MAX)
    }

    /// The location that differs from another in the place along the irregular dimension.
    pub(crate) fn place(&self, at: &Location, level: Level, code: u64) -> Location {
        let mut place = Location {
            levels: at.levels.with(self.dimension, level),
            codes: at.codes,
        };
        place.codes[self.axis] = code;
        place
    }

    /// The level of a location along the irregular dimension.
    pub(crate) fn level(&self, at: &Location) -> Level {
        at.levels[self.dimension]
    }

    /// Whether chunks of a location's level hold buckets, or parts of them.
    pub(crate) fn is_bucket(&self, at: &Location) -> bool {
        self.level(at) == self.bucket
    }

    /// The first and the last tick of a location's place.
    pub(crate) fn ticks(&self, at: &Location) -> RangeInclusive<i64> {
        let bits = self.bits(self.level(at));
        let first = (i128::from(at.codes[self.axis]) << bits) - self.zero;
        saturate(first)..=saturate(first + (1 << bits) - 1)
    }

    /// In which half of a location's place a tick of it lies.
    pub(crate) fn half(&self, at: &Location, tick: i64) -> u8 {
        let upper = self.position(tick) >> (self.bits(self.level(at)) - 1) & 1 == 1;
        u8::from(upper)
    }

    /// The number of a tick's bin of a level among all of that level.
    pub(crate) fn bin(&self, level: Level, tick: i64) -> i64 {
        let first = self.zero >> level.above(Level::ZERO);
        saturate((self.position(tick) >> level.above(Level::ZERO)) - first)
    }

    /// The number of a location's first bin.
    pub(crate) fn first_bin(&self, at: &Location) -> i64 {
        let first = i128::from(at.codes[self.axis]) << self.capacity.ilog2();
        saturate(first - (self.zero >> self.level(at).above(Level::ZERO)))
    }

    /// The first and the last tick of a bin of a level.
    pub(crate) fn ticks_of_bin(&self, level: Level, bin: i64) -> RangeInclusive<i64> {
        let up = level.above(Level::ZERO);
        let first = ((i128::from(bin) + (self.zero >> up)) << up) - self.zero;
        saturate(first)..=saturate(first + (1 << up) - 1)
    }

    /// In which of a location's bins a tick of it lies, and how far it is from the lower and from
    /// the upper end of the bin, as parts of the bin.
    pub(crate) fn in_bin(&self, at: &Location, tick: i64) -> (usize, [f64; 2]) {
        let level = self.level(at).above(Level::ZERO);
        let position = self.position(tick);
        let bin = (position >> level) & (self.capacity as i128 - 1);
        let (offset, last) = (position & ((1 << level) - 1), (1_i128 << level) - 1);
        let part = |ticks: i128| ticks as f64 / (1_i128 << level) as f64;
        (
            usize::try_from(bin).unwrap_or(0),
            [part(offset), part(last - offset)],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Axis, Dimension};
    use super::*;

    fn structure(capacity: u32, spacing: u64) -> Structure {
        let space = Dimension::regular("space", [Axis::new("x", 0.0, 1.0, 4)]);
        let time = Dimension::irregular("time", "seconds since 1970-01-01", capacity, spacing);
        Structure::builder()
            .dimension(time)
            .dimension(space)
            .build()
            .expect("valid")
    }

    #[test]
    fn i3_a_tick_lies_in_the_chunk_whose_ticks_hold_it_at_every_level() {
        let structure = structure(16, 3600);
        let irregular = structure.irregular_axis().expect("it is irregular");
        assert_eq!((irregular.bucket.get(), irregular.capacity), (11, 16));
        let origin = Location {
            levels: structure.chunk_levels(Levels::zero(2)),
            codes: [0, 0].into_iter().collect(),
        };
        for tick in [
            0,
            1,
            -1,
            15,
            16,
            1 << 40,
            i64::MAX - 1,
            i64::MIN + 1,
            -(1 << 62),
        ] {
            let mut below = None;
            for level in (0..=64).filter_map(|level| Level::new(level).ok()) {
                let at = irregular.place(&origin, level, irregular.code(level, tick));
                assert!(
                    irregular.ticks(&at).contains(&tick),
                    "{tick} at level {level}"
                );
                assert!(u128::from(at.codes[0]) < structure.dimensions()[0].codes(level));
                if let Some(below) = below {
                    assert_eq!(
                        structure.parent(&below, 0),
                        Some((at, irregular.half(&at, tick))),
                        "{tick} at level {level}"
                    );
                }
                let (bin, away) = irregular.in_bin(&at, tick);
                assert!(
                    bin < 16 && away.iter().all(|away| (0.0..1.0).contains(away)),
                    "{bin} {away:?}"
                );
                let number = irregular.bin(level, tick);
                assert!(irregular.ticks_of_bin(level, number).contains(&tick));
                assert_eq!(
                    irregular.first_bin(&at).checked_add_unsigned(bin as u64),
                    Some(number),
                    "{tick} at level {level}"
                );
                below = Some(at);
            }
        }
    }

    #[test]
    fn at_most_one_dimension_is_irregular_and_none_is_refinable_beside_it() {
        let time = |name: &str| Dimension::irregular(name, "ticks", 4, 1);
        let space = Dimension::regular("space", [Axis::new("x", 0.0, 1.0, 4)]);
        let two = Structure::builder()
            .dimension(time("a"))
            .dimension(time("b"))
            .build();
        assert!(
            two.expect_err("two")
                .to_string()
                .contains("`a` and `b` are both irregular")
        );
        let mixed = Structure::builder()
            .dimension(time("a"))
            .dimension(space.clone().refinable())
            .build();
        assert!(
            mixed
                .expect_err("both")
                .to_string()
                .contains("`space` cannot be refinable beside the irregular `a`")
        );
        let alone = Structure::builder()
            .dimension(time("a"))
            .dimension(space)
            .build()
            .expect("valid");
        assert_eq!((alone.refinable(), alone.irregular()), (None, Some(0)));
        for (capacity, spacing) in [(3, 1), (1, 1), (1 << 13, 1), (4, 0), (4, u64::MAX)] {
            let refused = Structure::builder()
                .dimension(Dimension::irregular("t", "ticks", capacity, spacing))
                .build();
            assert!(
                refused
                    .expect_err("out of range")
                    .to_string()
                    .contains("`t`"),
                "{capacity} {spacing}"
            );
        }
    }
}
