//! The events of an irregular dimension, column of chunks by column.
//!
//! Which events there are is known for each column of chunks. A column of the target has those that
//! any of the source's columns has that share cells with it, and no others; so the ticks of all
//! columns together are the same in both grids.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::cells::{Fill, READ_AT_ONCE, distance, put};
use super::{CopiedState, CopyFrame, Updated};
use crate::error::Result;
use crate::events::Column;
use crate::grid::{Irregular, Location, Shape, Structure, Window};
use crate::key::{LayerId, Ticks};
use crate::parallel;
use crate::store::{BaseChunk, ChunkReader};

/// Windows that are cleared in one commit.
const CLEARED_AT_ONCE: usize = 1024;

/// What becomes of a column of the target.
struct ColumnCopy {
    /// Its cells along the other axes.
    window: Window,
    /// The events of the source that changed or may have.
    ticks: Vec<i64>,
    /// The columns of the source that have cells of it.
    from: Vec<Location>,
}

/// Copies the events of some boxes of a part.
pub(super) fn copy(
    places: &CopyFrame<'_>,
    claim: &CopiedState,
    irregular: Irregular,
    boxes: &[Window],
    done: &mut Updated,
) -> Result<()> {
    let snapshot = places.target().present()?;
    let (strips, gone) = strips(
        places,
        places.target().chunk_reader(snapshot.as_ref()),
        irregular.axis,
        boxes,
    )?;
    for gone in gone.chunks(CLEARED_AT_ONCE) {
        put(places, claim, (gone, &[]), done)?;
    }
    let ticks: BTreeSet<i64> = strips
        .iter()
        .flat_map(|strip| strip.ticks.iter().copied())
        .collect();
    let ticks: Vec<i64> = ticks.into_iter().collect();
    let cells: u64 = strips
        .iter()
        .map(|strip| {
            strip
                .window
                .along(irregular.axis, 0, 1)
                .cells()
                .unwrap_or(u64::MAX)
        })
        .sum();
    let bytes = cells
        .saturating_mul(places.target().schema().dtype().size() as u64)
        .max(1);
    let events = usize::try_from(places.update.part_bytes as u64 / bytes)
        .unwrap_or(1)
        .max(1);
    for run in ticks.chunks(events) {
        let fills = filled(places, irregular.axis, &strips, run, done)?;
        put(places, claim, (&[], &fills), done)?;
    }
    Ok(())
}

/// The columns that a window touches.
fn columns(structure: &Structure, window: &Window) -> Vec<Location> {
    let Some(irregular) = structure.irregular_axis() else {
        return Vec::new();
    };
    let levels = structure.chunk_levels(window.levels(structure.dimensions().len()));
    let flat = window
        .along(irregular.axis, irregular.bin(irregular.bucket, 0), 1)
        .at(levels);
    structure.split(&flat).map(|piece| piece.location).collect()
}

/// A window of events, widened to whole columns of chunks.
pub(super) fn widened(structure: &Structure, axis: usize, window: &Window) -> Window {
    let ends = [
        window.start(),
        window
            .end()
            .iter()
            .map(|end| end.saturating_sub(1))
            .collect(),
    ];
    let one: Shape = window.shape().iter().map(|_| 1).collect();
    let levels = window.levels(structure.dimensions().len());
    let columns = ends
        .into_iter()
        .flat_map(|cell| columns(structure, &Window::new(cell, one).at(levels)));
    let whole = columns
        .map(|at| structure.chunk_window(&at))
        .reduce(|a, b| structure.union(&a, &b));
    whole.map_or(*window, |whole| {
        whole
            .along(axis, window.start()[axis], window.shape()[axis])
            .at(levels)
    })
}

/// The ticks of a window, whose cells they are.
fn ticks_of(window: &Window, axis: usize) -> RangeInclusive<i64> {
    window.start()[axis]..=window.end()[axis].saturating_sub(1)
}

/// The ticks of a column in some ranges.
fn ticks_in(
    chunks: ChunkReader<'_>,
    at: &Location,
    ranges: &[RangeInclusive<i64>],
) -> Result<BTreeSet<i64>> {
    let mut ticks = BTreeSet::new();
    for range in ranges {
        Column::new(chunks, LayerId::BASE, at).each(range, &mut |_, of| {
            ticks.extend(of.iter().filter(|tick| range.contains(tick)));
            Ok(())
        })?;
    }
    Ok(ticks)
}

/// The columns of the target that some boxes touch, and windows whose events are gone from the
/// source.
fn strips(
    places: &CopyFrame<'_>,
    target: ChunkReader<'_>,
    axis: usize,
    boxes: &[Window],
) -> Result<(Vec<ColumnCopy>, Vec<Window>)> {
    let (structure, source) = (places.target().structure(), places.source());
    let mut changed: BTreeMap<Location, Vec<RangeInclusive<i64>>> = BTreeMap::new();
    for window in boxes {
        for at in columns(structure, window) {
            changed.entry(at).or_default().push(ticks_of(window, axis));
        }
    }
    let (mut strips, mut gone) = (Vec::new(), Vec::new());
    for (at, ranges) in changed {
        let column = structure.chunk_window(&at).along(
            axis,
            places.bounds.start()[axis],
            places.bounds.shape()[axis],
        );
        let column = column.at(places.finest);
        let Some(window) = structure.intersection(&column, &places.bounds) else {
            continue;
        };
        // Beyond all that was put into the source its columns have no events.
        let within = places
            .update
            .from
            .bounds
            .map(|bounds| structure.cover(&bounds, places.finest));
        let within = within.and_then(|bounds| structure.intersection(&column, &bounds));
        let from = within.map_or(Vec::new(), |within| {
            columns(source.grid.structure(), &within)
        });
        // Nor have they beside an excerpt.
        let held = places.held().map(|held| ticks_of(&held, axis));
        let mut wanted = BTreeSet::new();
        for of_source in &from {
            let ticks = ticks_in(source, of_source, &ranges)?;
            let held = |tick: &i64| held.as_ref().is_some_and(|held| held.contains(tick));
            wanted.extend(ticks.into_iter().filter(held));
        }
        // Runs of ticks that go, without one that stays between.
        let mut run: Option<(i64, i64)> = None;
        let mut runs = Vec::new();
        for tick in ticks_in(target, &at, &[ticks_of(&places.bounds, axis)])? {
            if ranges.iter().any(|range| range.contains(&tick)) && !wanted.contains(&tick) {
                run = Some(run.map_or((tick, tick), |(first, _)| (first, tick)));
            } else {
                runs.extend(run.take());
            }
        }
        let runs = runs.into_iter().chain(run);
        gone.extend(runs.map(|(first, last)| {
            column.along(axis, first, last.abs_diff(first).saturating_add(1))
        }));
        if !wanted.is_empty() {
            strips.push(ColumnCopy {
                window,
                ticks: wanted.into_iter().collect(),
                from,
            });
        }
    }
    Ok((strips, gone))
}

/// What the source has of a run of ticks in some columns.
fn filled(
    places: &CopyFrame<'_>,
    axis: usize,
    strips: &[ColumnCopy],
    run: &[i64],
    done: &mut Updated,
) -> Result<Vec<Fill>> {
    let (Some(first), Some(last)) = (run.first(), run.last()) else {
        return Ok(Vec::new());
    };
    let within = first..=last;
    let (mut fills, mut of) = (Vec::new(), Vec::new());
    for strip in strips {
        let ticks: Vec<i64> = strip
            .ticks
            .iter()
            .copied()
            .filter(|tick| within.contains(&tick))
            .collect();
        if let (Some(first), Some(last)) = (ticks.first(), ticks.last()) {
            let window = strip
                .window
                .along(axis, *first, last.abs_diff(*first).saturating_add(1));
            fills.push(Fill::blank(places, window, ticks));
            of.push(strip);
        }
    }
    let source = places.source();
    let columns: BTreeSet<Location> = of
        .iter()
        .flat_map(|strip| strip.from.iter().copied())
        .collect();
    let mut stored: Vec<(Location, Location, Ticks)> = Vec::new();
    for column in columns {
        Column::new(source, LayerId::BASE, &column).each(&(*first..=*last), &mut |at, ticks| {
            stored.push((column, at, ticks));
            Ok(())
        })?;
    }
    for some in stored.chunks(READ_AT_ONCE) {
        let read = |(column, at, ticks): &(Location, Location, Ticks)| {
            Ok((*column, ticks.clone(), source.base_events(at, ticks)?))
        };
        let chunks: Vec<(Location, Ticks, BaseChunk)> = parallel::map(some, read)?;
        done.chunks_read += chunks.len() as u64;
        parallel::map_owned(fills.iter_mut().zip(&of).collect(), |(fill, strip)| {
            for (column, ticks, chunk) in chunks
                .iter()
                .filter(|(column, ..)| strip.from.contains(column))
            {
                paste(places, fill, axis, column, (ticks, chunk));
            }
            Ok(())
        })?;
    }
    Ok(fills)
}

/// Copies the events of a chunk of the source that are asked for.
fn paste(
    places: &CopyFrame<'_>,
    fill: &mut Fill,
    axis: usize,
    column: &Location,
    (ticks, chunk): (&Ticks, &BaseChunk),
) {
    let (source, structure) = (places.source(), places.source().grid.structure());
    let levels = fill.window.levels(structure.dimensions().len());
    let own = structure
        .chunk_window(column)
        .along(axis, fill.window.start()[axis], fill.window.shape()[axis])
        .at(levels);
    let held = places.held().map(|held| {
        let (first, len) = (fill.window.start()[axis], fill.window.shape()[axis]);
        held.along(axis, first, len).at(levels)
    });
    let shared = held
        .and_then(|held| structure.intersection(&own, &held))
        .and_then(|own| structure.intersection(&own, &fill.window));
    let Some(shared) = shared else { return };
    let offsets = |first: &Window| -> Vec<usize> {
        shared
            .start()
            .iter()
            .zip(first.start().iter())
            .map(|(cell, first)| distance(*cell, *first))
            .collect()
    };
    let (mut from, mut to) = (offsets(&own), offsets(&fill.window));
    let mut shape: Vec<usize> = shared
        .shape()
        .iter()
        .map(|len| usize::try_from(*len).unwrap_or(usize::MAX))
        .collect();
    shape[axis] = 1;
    for (number, tick) in ticks.iter().enumerate() {
        if let Ok(event) = fill.ticks.binary_search(tick) {
            (from[axis], to[axis]) = (number, event);
            fill.paste(chunk, (&source.shape(Some(ticks)), &from), &to, &shape);
        }
    }
}
