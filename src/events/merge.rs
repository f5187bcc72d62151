//! Events of a place, each made of the events of its tick at the places below along another dimension.

use std::collections::BTreeSet;

use super::planes::Events;
use crate::grid::Levels;
use crate::kernel::{Chunk, Pick, weave};
use crate::store::{ChunkReader, LayerChunks, LayerSpec};

/// The part of a place that a child stands for: its number, and its events after they were reduced, if it has any.
pub(crate) type EventPart<'a, P> = (u8, Option<&'a Events<P>>);

/// Every tick of some parts, rising.
pub(crate) fn ticks_of<P>(parts: &[EventPart<'_, P>]) -> Vec<i64> {
    let all: BTreeSet<i64> =
        parts.iter().filter_map(|(_, events)| *events).flat_map(|events| events.ticks.iter().copied()).collect();
    all.into_iter().collect()
}

/// The events at `ticks` of a place at some levels, which derives along a dimension, in one layer. A part without an event of a
/// tick holds no data then.
pub(crate) fn merge(
    chunks: ChunkReader<'_>,
    layer: &LayerSpec,
    (levels, dimension): (Levels, usize),
    ticks: &[i64],
    parts: &[EventPart<'_, Chunk>],
) -> Chunk {
    let grid = chunks.grid;
    let (slabs, full) = (grid.part_slabs(dimension), grid.full(levels));
    let aligned = |events: &Events<Chunk>| {
        if events.ticks == ticks {
            return events.planes.clone();
        }
        let picks: Vec<Pick> = ticks.iter().map(|tick| events.ticks.binary_search(tick).ok().map(|event| (0, event))).collect();
        weave(layer.rule(), slabs, &[(&events.planes, events.ticks.len())], &picks, full)
    };
    let parts: Vec<(u8, Option<Chunk>)> = parts.iter().map(|(number, events)| (*number, events.map(aligned))).collect();
    chunks.assemble(layer, None, &parts, &grid.halving_of(ticks.len(), dimension), levels)
}

/// The same in every layer, at all ticks that any part has; `None` if there are none.
pub(crate) fn merge_all(
    chunks: ChunkReader<'_>,
    at: (Levels, usize),
    parts: &[EventPart<'_, LayerChunks>],
) -> Option<Events<LayerChunks>> {
    let ticks = ticks_of(parts);
    let of_layer = |(number, layer): (usize, &LayerSpec)| {
        let take = |events: &Events<LayerChunks>| Events { ticks: events.ticks.clone(), planes: events.planes[number].clone() };
        let of: Vec<(u8, Option<Events<Chunk>>)> = parts.iter().map(|(child, events)| (*child, events.map(take))).collect();
        let of: Vec<EventPart<'_, Chunk>> = of.iter().map(|(child, events)| (*child, events.as_ref())).collect();
        merge(chunks, layer, at, &ticks, &of)
    };
    let planes = || chunks.grid.layers().iter().enumerate().map(of_layer).collect();
    (!ticks.is_empty()).then(|| Events { planes: planes(), ticks: ticks.clone() })
}
