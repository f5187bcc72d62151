//! The stored base cells that a polygon holds, each at its own level.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ndarray::{Array2, s};

use super::polygon::Polygon;
use super::region::PolygonPlane;
use super::scan::{CellOutline, Class, Clip, Rect};
use crate::error::{Error, Result};
use crate::grid::{CellIndex, Levels, Shape, Structure, Window};
use crate::key::{ChunkKey, LayerId};
use crate::kv::Snapshot;
use crate::store::Grid;

/// The most windows.
const WINDOWS_MAX: usize = 1 << 20;

/// Disjoint windows, each within one base chunk, or one column of events, and at its levels, that
/// are all base cells whose centres a polygon holds: the whole chunk along axes that are not the
/// polygon's, and every event.
pub(crate) fn base_windows(
    grid: &Grid,
    snapshot: &dyn Snapshot,
    polygon: &Polygon,
) -> Result<Vec<Window>> {
    let structure = grid.structure();
    let plane =
        |levels: Levels| PolygonPlane::new(structure, polygon, levels).map_err(|e| grid.blame(e));
    // A polygon that does not fit is refused by an empty grid too.
    plane(Levels::zero(structure.dimensions().len()))?;
    let mut planes: BTreeMap<Levels, PolygonPlane> = BTreeMap::new();
    let (irregular, bounds) = (structure.irregular_axis(), grid.state(snapshot)?.bounds);
    let mut locations = BTreeSet::new();
    grid.directory(
        snapshot,
        ChunkKey::layer(grid.id(), LayerId::BASE),
        &mut |chunk| {
            let column =
                irregular.map(|of| of.place(&chunk.location, of.bucket, of.code(of.bucket, 0)));
            locations.insert(column.unwrap_or(chunk.location));
        },
    )?;
    let mut windows = Vec::new();
    for location in locations {
        let levels = structure.cell_levels(location.levels());
        let plane = match planes.entry(levels) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(plane(levels)?),
        };
        let chunk = structure.chunk_window(&location);
        let (first, end) = (chunk.start(), chunk.end());
        let [rows, cols] = plane.axes.map(|axis| first[axis]..end[axis]);
        for rect in boxes(&plane.outlines, &Rect { rows, cols }) {
            let (mut start, mut shape): (CellIndex, Shape) = (first, chunk.shape());
            for (axis, side) in plane.axes.into_iter().zip([rect.rows, rect.cols]) {
                (start[axis], shape[axis]) = (side.start, side.end.abs_diff(side.start));
            }
            let window = Window::new(start, shape).at(levels);
            windows.push(match irregular.zip(bounds) {
                Some((of, bounds)) => {
                    window.along(of.axis, bounds.start()[of.axis], bounds.shape()[of.axis])
                }
                None => window,
            });
        }
        if windows.len() > WINDOWS_MAX {
            return Err(grid.blame(Error::invalid(format!(
                "the polygon cuts base chunks into more than {WINDOWS_MAX} boxes; remove less at a time"
            ))));
        }
    }
    Ok(windows)
}

impl Polygon {
    /// Which cells of a window it holds, by their centres: rows and columns are those of its two
    /// axes, in the order of arrays.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) or [`Invalid`](crate::ErrorKind::Invalid) if its
    /// axes are not two of one dimension, or the window does not fit the structure.
    pub fn cells(&self, structure: &Structure, window: &Window) -> Result<Array2<bool>> {
        structure.check(window)?;
        let levels = window.levels(structure.dimensions().len());
        let plane = PolygonPlane::new(structure, self, levels)?;
        let [rows, cols] = plane
            .axes
            .map(|axis| window.start()[axis]..window.end()[axis]);
        let place = |range: &Range<i64>, of: &Range<i64>| {
            let at = |cell: i64| usize::try_from(of.start.abs_diff(cell)).unwrap_or(usize::MAX);
            at(range.start)..at(range.end)
        };
        let lens = [&rows, &cols].map(|range| place(range, range).len());
        let mut held = Array2::from_elem((lens[0], lens[1]), false);
        let rect = Rect {
            rows: rows.clone(),
            cols: cols.clone(),
        };
        for part in boxes(&plane.outlines, &rect) {
            let part = [place(&part.rows, &rows), place(&part.cols, &cols)];
            held.slice_mut(s![part[0].clone(), part[1].clone()])
                .fill(true);
        }
        Ok(held)
    }

    /// Whether it holds the centre of any cell of some levels: one that is smaller than a cell, or
    /// narrower, need not.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) or [`Invalid`](crate::ErrorKind::Invalid) if its
    /// axes are not two of one dimension.
    pub fn holds_cells(&self, structure: &Structure, levels: Levels) -> Result<bool> {
        let plane = PolygonPlane::new(structure, self, levels)?;
        let holds = |outline: &CellOutline| {
            let mut any = false;
            if let Some(rect) = outline.bounds() {
                Clip::whole(outline)
                    .to(outline, &rect)
                    .runs(outline, &rect, |_, cols| any = any || !cols.is_empty());
            }
            any
        };
        Ok(plane.outlines.iter().any(holds))
    }
}

/// The cells of a box that any of some outlines holds, as disjoint boxes.
fn boxes(outlines: &[CellOutline], rect: &Rect) -> Vec<Rect> {
    let mut runs: BTreeMap<i64, Vec<Range<i64>>> = BTreeMap::new();
    for outline in outlines {
        let clip = Clip::whole(outline).to(outline, rect);
        match clip.class() {
            Class::Out => {}
            Class::In => return vec![rect.clone()],
            Class::Part => clip.runs(outline, rect, |row, cols| {
                runs.entry(row).or_default().push(cols)
            }),
        }
    }
    let mut boxes = Vec::new();
    let mut open: Option<(Range<i64>, Vec<Range<i64>>)> = None;
    let mut close = |open: Option<(Range<i64>, Vec<Range<i64>>)>| {
        if let Some((rows, all)) = open {
            boxes.extend(all.into_iter().map(|cols| Rect {
                rows: rows.clone(),
                cols,
            }));
        }
    };
    for (row, cols) in runs {
        let cols = joined(cols);
        match &mut open {
            Some((rows, above)) if rows.end == row && *above == cols => rows.end = row + 1,
            _ => close(open.replace((row..row + 1, cols))),
        }
    }
    close(open);
    boxes
}

/// The union of ranges, rising.
fn joined(mut ranges: Vec<Range<i64>>) -> Vec<Range<i64>> {
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut joined: Vec<Range<i64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}
