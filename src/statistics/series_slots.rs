//! Where the cells of a walk are counted: all in one place, or each in the step of a series that it
//! lies in.

use std::ops::RangeInclusive;

/// The most runs of ticks of which not all aggregates are up to date that are told apart.
const STALE_MAX: usize = 64;

/// Which cells are counted together.
#[derive(Clone, Debug)]
pub(super) enum Slots {
    /// All of them.
    One,
    /// Those of each run of base cells along an axis: the first of each, and one past the last of
    /// the last, rising.
    Runs { axis: usize, edges: Vec<i64> },
    /// Those of each range of ticks along the irregular axis.
    Ticks {
        axis: usize,
        ticks: Vec<RangeInclusive<i64>>,
    },
}

impl Slots {
    /// How many places there are to count in.
    pub(super) fn count(&self) -> usize {
        match self {
            Slots::One => 1,
            Slots::Runs { edges, .. } => edges.len() - 1,
            Slots::Ticks { ticks, .. } => ticks.len(),
        }
    }

    /// The axis along which a cell may have to be told by its parts because these lie in several
    /// runs, and where runs begin.
    pub(super) fn cuts(&self) -> Option<(usize, &[i64])> {
        match self {
            Slots::Runs { axis, edges } => Some((*axis, edges)),
            Slots::One | Slots::Ticks { .. } => None,
        }
    }

    /// The ticks within `all` that are counted together.
    pub(super) fn pieces(&self, all: &RangeInclusive<i64>) -> Vec<TickPiece> {
        let slots = match self {
            Slots::Ticks { ticks, .. } => ticks.clone(),
            Slots::One | Slots::Runs { .. } => vec![all.clone()],
        };
        let piece = |(slot, ticks): (usize, RangeInclusive<i64>)| TickPiece {
            slot,
            ticks: (*ticks.start()).max(*all.start())..=(*ticks.end()).min(*all.end()),
        };
        slots
            .into_iter()
            .enumerate()
            .map(piece)
            .filter(|piece| !piece.ticks.is_empty())
            .collect()
    }
}

/// Ticks that are counted together, as far as they are told alike.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TickPiece {
    pub(super) slot: usize,
    pub(super) ticks: RangeInclusive<i64>,
}

/// Pieces, rising, without what lies in some ranges, and what of them does.
pub(super) fn cut(pieces: &[TickPiece], stale: Vec<RangeInclusive<i64>>) -> [Vec<TickPiece>; 2] {
    let stale = merged(stale);
    let (mut clean, mut cut) = (Vec::new(), Vec::new());
    for TickPiece { slot, ticks } in pieces {
        let (start, end) = (*ticks.start(), *ticks.end());
        let (mut at, mut whole) = (start, true);
        for stale in stale
            .iter()
            .filter(|stale| *stale.start() <= end && *stale.end() >= start)
        {
            let first = at.max(*stale.start());
            if first > at {
                clean.push(TickPiece {
                    slot: *slot,
                    ticks: at..=first - 1,
                });
            }
            cut.push(TickPiece {
                slot: *slot,
                ticks: first..=end.min(*stale.end()),
            });
            whole = *stale.end() < end;
            at = stale.end().saturating_add(1);
        }
        if whole && at <= end {
            clean.push(TickPiece {
                slot: *slot,
                ticks: at..=end,
            });
        }
    }
    [clean, cut]
}

/// The same ranges, rising and apart, and no more than a few: those that are closest become one.
fn merged(mut ranges: Vec<RangeInclusive<i64>>) -> Vec<RangeInclusive<i64>> {
    ranges.sort_unstable_by_key(|range| (*range.start(), *range.end()));
    let within = |ranges: Vec<RangeInclusive<i64>>, gap: u64| {
        let mut merged: Vec<RangeInclusive<i64>> = Vec::new();
        for range in ranges {
            match merged.last_mut() {
                Some(last) if *range.start() <= last.end().saturating_add_unsigned(gap) => {
                    *last = *last.start()..=(*last.end()).max(*range.end());
                }
                _ => merged.push(range),
            }
        }
        merged
    };
    let ranges = within(ranges, 1);
    let Some(over) = ranges.len().checked_sub(STALE_MAX).filter(|over| *over > 0) else {
        return ranges;
    };
    let mut gaps: Vec<u64> = ranges
        .windows(2)
        .map(|pair| pair[1].start().abs_diff(*pair[0].end()))
        .collect();
    gaps.sort_unstable();
    within(ranges, gaps[over - 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_cut_and_what_is_left_are_the_pieces(
            bounds in proptest::collection::btree_set(-300..300_i64, 2..12),
            stale in proptest::collection::vec((-320..320_i64, 0..9_i64), 0..90),
        ) {
            let bounds: Vec<i64> = bounds.into_iter().collect();
            let slots: Vec<_> = bounds.windows(2).step_by(2).map(|pair| pair[0]..=pair[1]).collect();
            let pieces = Slots::Ticks { axis: 0, ticks: slots }.pieces(&(-250..=250));
            let stale: Vec<_> = stale.into_iter().map(|(start, len)| start..=start + len).collect();
            let [clean, cut] = cut(&pieces, stale.clone());
            let slot = |pieces: &[TickPiece], tick: i64| -> Vec<usize> {
                pieces.iter().filter(|piece| piece.ticks.contains(&tick)).map(|piece| piece.slot).collect()
            };
            for tick in -330..330 {
                let of_both = [slot(&clean, tick), slot(&cut, tick)].concat();
                prop_assert_eq!(of_both, slot(&pieces, tick));
                let is_stale = stale.iter().any(|range| range.contains(&tick));
                prop_assert!(!is_stale || slot(&clean, tick).is_empty(), "{} is not up to date", tick);
                prop_assert!(is_stale || stale.len() > STALE_MAX || slot(&cut, tick).is_empty(), "{} is up to date", tick);
            }
            prop_assert!(merged(stale).len() <= STALE_MAX);
            for part in [clean, cut] {
                prop_assert!(part.windows(2).all(|pair| pair[0].ticks.end() < pair[1].ticks.start()));
            }
        }
    }

    #[test]
    fn ranges_reach_to_the_ends_of_all_ticks() {
        let pieces = Slots::One.pieces(&(i64::MIN + 1..=i64::MAX - 1));
        let [clean, stale] = cut(&pieces, vec![i64::MIN..=0, 7..=i64::MAX]);
        assert_eq!(
            clean,
            [TickPiece {
                slot: 0,
                ticks: 1..=6
            }]
        );
        assert_eq!(
            stale,
            [i64::MIN + 1..=0, 7..=i64::MAX - 1].map(|ticks| TickPiece { slot: 0, ticks })
        );
    }
}
