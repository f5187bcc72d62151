//! Events of a place, each made of the events of its tick at the places below along another
//! dimension.

use std::collections::BTreeSet;

use super::planes::{EventPlanes, Events};
use crate::grid::Levels;
use crate::kernel::Pick;
use crate::store::{ChunkReader, LayerChunks};

/// The part of a place that a child stands for: its number, and its events after they were reduced,
/// if it has any.
pub(crate) type EventPart<'a, P> = (u8, Option<&'a Events<P>>);

/// Every tick of some parts, rising.
pub(crate) fn ticks_of<P>(parts: &[EventPart<'_, P>]) -> Vec<i64> {
    let all: BTreeSet<i64> = parts
        .iter()
        .filter_map(|(_, events)| *events)
        .flat_map(|events| events.ticks.iter().copied())
        .collect();
    all.into_iter().collect()
}

/// The events at `ticks` of a place at some levels, which derives along a dimension. A part without
/// an event of a tick holds no data then.
pub(crate) fn merge(
    chunks: ChunkReader<'_>,
    (levels, dimension): (Levels, usize),
    ticks: &[i64],
    parts: &[EventPart<'_, LayerChunks>],
) -> LayerChunks {
    let grid = chunks.grid;
    let slabs = grid.part_slabs(dimension);
    let aligned = |events: &Events<LayerChunks>| {
        if events.ticks == ticks {
            return events.planes.clone();
        }
        let picks: Vec<Pick> = ticks
            .iter()
            .map(|tick| {
                events
                    .ticks
                    .binary_search(tick)
                    .ok()
                    .map(|event| (0, event))
            })
            .collect();
        LayerChunks::weave(
            chunks,
            levels,
            slabs,
            &[(&events.planes, events.len())],
            &picks,
        )
    };
    let parts = parts
        .iter()
        .map(|(number, events)| (*number, events.map(aligned)))
        .collect();
    chunks.assemble(
        None,
        parts,
        &grid.halving_of(ticks.len(), dimension),
        levels,
    )
}

/// The same at all ticks that any part has; `None` if there are none.
pub(crate) fn merge_all(
    chunks: ChunkReader<'_>,
    of: (Levels, usize),
    parts: &[EventPart<'_, LayerChunks>],
) -> Option<Events<LayerChunks>> {
    let ticks = ticks_of(parts);
    (!ticks.is_empty()).then(|| Events {
        planes: merge(chunks, of, &ticks, parts),
        ticks: ticks.clone(),
    })
}
