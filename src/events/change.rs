//! What changed of the events at a place.

use super::planes::{EventPlanes, Events, slabs};
use crate::grid::Levels;
use crate::kernel::Pick;
use crate::store::ChunkReader;

/// Events that are new, or are now as they are given, and the ticks of those that are gone.
#[derive(Clone, Debug)]
pub(crate) struct EventChange<P> {
    pub(crate) now: Option<Events<P>>,
    /// Rising; none of them is among those above.
    pub(crate) gone: Vec<i64>,
}

impl<P: EventPlanes> EventChange<P> {
    /// Whether nothing changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.now.is_none() && self.gone.is_empty()
    }

    /// Every tick that is concerned, rising.
    pub(crate) fn ticks(&self) -> Vec<i64> {
        let mut ticks = self.gone.clone();
        ticks.extend(self.now.iter().flat_map(|now| &now.ticks));
        ticks.sort_unstable();
        ticks
    }

    /// The part that concerns some ticks.
    pub(crate) fn only(
        &self,
        chunks: ChunkReader<'_>,
        levels: Levels,
        keep: impl Fn(i64) -> bool,
    ) -> Self {
        Self {
            now: self
                .now
                .as_ref()
                .and_then(|now| now.only(chunks, levels, &keep)),
            gone: self
                .gone
                .iter()
                .copied()
                .filter(|tick| keep(*tick))
                .collect(),
        }
    }

    /// What becomes of events; `None` if none is left.
    pub(crate) fn apply(
        self,
        chunks: ChunkReader<'_>,
        levels: Levels,
        old: &Events<P>,
    ) -> Option<Events<P>> {
        let Some(now) = self.now else {
            return old.only(chunks, levels, |tick| {
                self.gone.binary_search(&tick).is_err()
            });
        };
        let mut ticks: Vec<(i64, Pick)> = now
            .ticks
            .iter()
            .enumerate()
            .map(|(event, tick)| (*tick, Some((1, event))))
            .collect();
        let stays = |tick: &i64| {
            now.ticks.binary_search(tick).is_err() && self.gone.binary_search(tick).is_err()
        };
        let kept = old.ticks.iter().enumerate().filter(|(_, tick)| stays(tick));
        ticks.extend(kept.map(|(event, tick)| (*tick, Some((0, event)))));
        ticks.sort_unstable_by_key(|(tick, _)| *tick);
        let picks: Vec<Pick> = ticks.iter().map(|(_, pick)| *pick).collect();
        let sources = [(&old.planes, old.len()), (&now.planes, now.len())];
        let planes = P::weave(chunks, levels, slabs(chunks), &sources, &picks);
        Some(Events {
            ticks: ticks.into_iter().map(|(tick, _)| tick).collect(),
            planes,
        })
    }
}
