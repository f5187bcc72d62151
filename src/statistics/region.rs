//! The cells of a query in base cells, and how far the cells of a chunk of any level lie among
//! them.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use super::polygon::Polygon;
use super::query::StatisticsQuery;
use super::scan::{CellOutline, Class, Clip, Rect, first_cell};
use crate::error::{Error, Result};
use crate::grid::{Axis, Extent, Levels, Location, Structure, Tuple, Window};

/// A box of base cells, and a polygon in the plane of two of its axes.
#[derive(Clone, Debug)]
pub(super) struct CellRegion<'a> {
    structure: &'a Structure,
    base: Levels,
    /// The base cells along each axis, of those that there can be.
    ranges: Vec<Range<i64>>,
    /// The same, without an end where there is nothing beyond it: a cell that reaches out of all
    /// data is not cut by that.
    sides: Vec<Range<i64>>,
    plane: Option<Arc<PolygonPlane>>,
    /// The ticks along the irregular axis. All of them are one cell, number 0, in what stands
    /// above.
    pub(super) ticks: Option<RangeInclusive<i64>>,
}

#[derive(Debug)]
pub(super) struct PolygonPlane {
    /// The axes of rows and columns, in array order.
    pub(super) axes: [usize; 2],
    /// One outline a part of the polygon.
    pub(super) outlines: Vec<CellOutline>,
}

/// What of a polygon matters to a box of its plane.
#[derive(Clone, Debug, Default)]
pub(super) struct Cover {
    /// Whether the box is wholly inside.
    inside: bool,
    /// The parts that hold some of it.
    parts: Vec<(usize, Clip)>,
}

/// Where the cells of a chunk lie among the base cells: cell `k` covers `1 << up` of them along an
/// axis, from `start + (k << up)` on.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkFrame {
    start: Tuple<i128>,
    up: Tuple<u32>,
    shape: Tuple<usize>,
}

/// The class of each cell of a chunk.
#[derive(Debug)]
pub(super) struct Classes {
    /// Absent where every cell is in.
    pub(super) cells: Option<Vec<Class>>,
    /// The dimensions along which cells have to be told by their parts.
    pub(super) split: Vec<usize>,
}

impl ChunkFrame {
    /// Of the chunk of a shape at a location. Along an irregular axis cells are numbered from 0.
    pub(super) fn new(
        structure: &Structure,
        base: Levels,
        at: &Location,
        shape: Tuple<usize>,
    ) -> Self {
        let rank = structure.rank();
        let mut frame = Self {
            start: Tuple::filled(rank, 0),
            up: Tuple::filled(rank, 0),
            shape,
        };
        for (d, dimension) in structure
            .dimensions()
            .iter()
            .enumerate()
            .filter(|(_, dimension)| !dimension.is_irregular())
        {
            let up = u32::try_from(i16::from(at.levels[d].get()) - i16::from(base[d].get()))
                .unwrap_or(0);
            for (a, axis) in structure.axes_of(d).enumerate() {
                let line = i128::from(at.codes[axis]) * i128::from(dimension.axes()[a].chunk());
                frame.start[axis] = (line << up) - dimension.zero(a, base[d]);
                frame.up[axis] = up;
            }
        }
        frame
    }

    /// The first base cell of cell `cell`. Numbers beyond those of any cell saturate.
    pub(super) fn edge(&self, axis: usize, cell: usize) -> i64 {
        let at = self.start[axis] + ((cell as i128) << self.up[axis]);
        i64::try_from(at).unwrap_or(if at < 0 { i64::MIN } else { i64::MAX })
    }

    fn range(&self, axis: usize, cells: Range<usize>) -> Range<i64> {
        self.edge(axis, cells.start)..self.edge(axis, cells.end)
    }
}

impl<'a> CellRegion<'a> {
    /// The region of a query, with a polygon, within the box of all that was put; `None` if no cell
    /// is in it.
    pub(super) fn new(
        structure: &'a Structure,
        query: &StatisticsQuery,
        polygon: Option<&Polygon>,
        bounds: &Window,
    ) -> Result<Option<Self>> {
        let base = bounds.levels(structure.dimensions().len());
        let mut ranges: Vec<Range<i64>> = bounds
            .start()
            .iter()
            .zip(bounds.end().iter())
            .map(|(a, b)| *a..*b)
            .collect();
        for window in &query.windows {
            structure.check(window)?;
            narrow(&mut ranges, window_ranges(structure, window, base));
        }
        for extent in &query.extents {
            narrow(&mut ranges, extent_ranges(structure, extent, base)?);
        }
        let plane = polygon
            .map(|polygon| PolygonPlane::new(structure, polygon, base))
            .transpose()?
            .map(Arc::new);
        if let Some(plane) = &plane {
            let Some(whole) = plane
                .outlines
                .iter()
                .filter_map(CellOutline::bounds)
                .reduce(Rect::union)
            else {
                return Ok(None);
            };
            for (axis, range) in plane.axes.into_iter().zip([whole.rows, whole.cols]) {
                ranges[axis] = ranges[axis].start.max(range.start)..ranges[axis].end.min(range.end);
            }
        }
        let side = |(axis, range): (usize, &Range<i64>)| {
            let (first, end) = (bounds.start()[axis], bounds.end()[axis]);
            (if range.start <= first {
                i64::MIN
            } else {
                range.start
            })..(if range.end >= end {
                i64::MAX
            } else {
                range.end
            })
        };
        let mut sides: Vec<Range<i64>> = ranges.iter().enumerate().map(side).collect();
        if ranges.iter().any(Range::is_empty) {
            return Ok(None);
        }
        let ticks = structure.irregular_axis().map(|irregular| {
            sides[irregular.axis] = i64::MIN..i64::MAX;
            let Range { start, end } = std::mem::replace(&mut ranges[irregular.axis], 0..1);
            start..=end - 1
        });
        Ok(Some(Self {
            structure,
            base,
            ranges,
            sides,
            plane,
            ticks,
        }))
    }

    /// The base cells of a window along an axis.
    pub(super) fn along(&self, axis: usize, window: &Window) -> Range<i64> {
        window_ranges(self.structure, window, self.base)[axis].clone()
    }

    /// The part that lies within a range of base cells along an axis, if any does.
    pub(super) fn within(&self, axis: usize, by: &Range<i64>) -> Option<Self> {
        let mut part = self.clone();
        for range in [&mut part.ranges[axis], &mut part.sides[axis]] {
            *range = range.start.max(by.start)..range.end.min(by.end);
        }
        (!part.ranges[axis].is_empty()).then_some(part)
    }

    /// The smallest window of some levels that holds the region.
    pub(super) fn window(&self, levels: Levels) -> Window {
        let start: Vec<i64> = self.ranges.iter().map(|range| range.start).collect();
        let shape: Vec<u64> = self
            .ranges
            .iter()
            .map(|range| range.end.abs_diff(range.start))
            .collect();
        self.structure.cover(
            &Window::new(start.as_slice(), crate::grid::Shape::from(shape.as_slice()))
                .at(self.base),
            levels,
        )
    }

    /// What of the polygon matters to the region's box. What it says of cells beyond the box is of
    /// no consequence: they are outside, or hold nothing.
    pub(super) fn cover(&self) -> Cover {
        let Some(plane) = &self.plane else {
            return Cover {
                inside: true,
                parts: Vec::new(),
            };
        };
        let whole = Cover {
            inside: false,
            parts: plane.outlines.iter().map(Clip::whole).enumerate().collect(),
        };
        let [rows, cols] = plane.axes.map(|axis| self.ranges[axis].clone());
        whole.to(plane, &Rect { rows, cols })
    }

    /// What of the polygon matters to a chunk within the box of `cover`.
    pub(super) fn cover_of(&self, cover: &Cover, frame: &ChunkFrame) -> Cover {
        match &self.plane {
            Some(plane) if !cover.inside => cover.to(
                plane,
                &plane.rect(
                    frame,
                    &[0..frame.shape[plane.axes[0]], 0..frame.shape[plane.axes[1]]],
                ),
            ),
            _ => cover.clone(),
        }
    }

    /// The most base cells of a chunk that can be in the region.
    pub(super) fn cells_within(&self, frame: &ChunkFrame) -> f64 {
        let along = |(axis, range): (usize, &Range<i64>)| {
            let chunk = frame.range(axis, 0..frame.shape[axis]);
            let (first, end) = (chunk.start.max(range.start), chunk.end.min(range.end));
            if end > first {
                end.abs_diff(first) as f64
            } else {
                0.0
            }
        };
        self.ranges.iter().enumerate().map(along).product()
    }

    /// How the cells of a chunk lie; `cover` must be the chunk's. A cell with any of `cuts` within
    /// it along their axis is told by its parts.
    pub(super) fn classify(
        &self,
        frame: &ChunkFrame,
        cover: &Cover,
        cuts: Option<(usize, &[i64])>,
    ) -> Classes {
        let mut split = Vec::new();
        let mut cells: Option<Vec<Class>> = None;
        let strides = strides(&frame.shape);
        let all: usize = frame.shape.iter().product();
        for (axis, range) in self.sides.iter().enumerate() {
            let cuts = cuts
                .filter(|(of, _)| *of == axis)
                .map_or(&[][..], |(_, cuts)| cuts);
            let class = |cell: usize| {
                let cell = frame.range(axis, cell..cell + 1);
                let inner = cuts
                    .get(cuts.partition_point(|cut| *cut <= cell.start))
                    .is_some_and(|cut| *cut < cell.end);
                overlap(&cell, range).min(if inner { Class::Part } else { Class::In })
            };
            let along: Vec<Class> = (0..frame.shape[axis]).map(class).collect();
            if along.iter().all(|class| *class == Class::In) {
                continue;
            }
            if along.contains(&Class::Part) {
                split.push(self.structure.dimension_of(axis));
            }
            let cells = cells.get_or_insert_with(|| vec![Class::In; all]);
            for (run, part) in cells.chunks_exact_mut(strides[axis]).enumerate() {
                let class = along[run % along.len()];
                part.iter_mut().for_each(|cell| *cell = class.min(*cell));
            }
        }
        if let Some(plane) = self.plane.as_ref().filter(|_| !cover.inside) {
            let sides = plane.axes.map(|axis| frame.shape[axis]);
            let mut map = vec![Class::Out; sides[0] * sides[1]];
            plane.classify(frame, cover, [0..sides[0], 0..sides[1]], &mut map);
            if map.contains(&Class::Part) {
                split.push(self.structure.dimension_of(plane.axes[0]));
            }
            let cells = cells.get_or_insert_with(|| vec![Class::In; all]);
            if strides[plane.axes[0]] == sides[1] && strides[plane.axes[1]] == 1 {
                for part in cells.chunks_exact_mut(map.len()) {
                    part.iter_mut()
                        .zip(&map)
                        .for_each(|(cell, class)| *cell = *class.min(cell));
                }
            } else {
                for (i, cell) in cells.iter_mut().enumerate() {
                    let [row, col] = plane.axes.map(|axis| i / strides[axis] % frame.shape[axis]);
                    *cell = map[row * sides[1] + col].min(*cell);
                }
            }
        }
        Classes { cells, split }
    }
}

fn overlap(cell: &Range<i64>, range: &Range<i64>) -> Class {
    if cell.end <= range.start || cell.start >= range.end {
        Class::Out
    } else if cell.start >= range.start && cell.end <= range.end {
        Class::In
    } else {
        Class::Part
    }
}

/// The distance between neighbours along each axis of a C-order array.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (0..shape.len().saturating_sub(1)).rev() {
        strides[axis] = strides[axis + 1] * shape[axis + 1];
    }
    strides
}

fn narrow(ranges: &mut [Range<i64>], by: Vec<Range<i64>>) {
    ranges
        .iter_mut()
        .zip(by)
        .for_each(|(range, by)| *range = range.start.max(by.start)..range.end.min(by.end));
}

/// The base cells whose centres a window holds.
fn window_ranges(structure: &Structure, window: &Window, base: Levels) -> Vec<Range<i64>> {
    let levels = window.levels(base.len());
    let range = |axis: usize| {
        let d = structure.dimension_of(axis);
        let number = axis - structure.axes_of(d).start;
        let dimension = &structure.dimensions()[d];
        let up = i16::from(levels[d].get()) - i16::from(base[d].get());
        let bound = |cell: i64| {
            let line = i128::from(cell) + dimension.zero(number, levels[d]);
            // Below the base, a base cell's centre is an edge between the two middle cells of the
            // window's level.
            let half = 1_i128 << (-up - 1).max(0);
            let line = if up >= 0 {
                line << up
            } else {
                (line - half + (1 << -up) - 1) >> -up
            };
            let cell = line - dimension.zero(number, base[d]);
            i64::try_from(cell).unwrap_or(if cell < 0 { i64::MIN } else { i64::MAX })
        };
        bound(window.start()[axis])..bound(window.end()[axis])
    };
    (0..structure.rank()).map(range).collect()
}

/// The base cells whose centres an extent holds.
fn extent_ranges(structure: &Structure, extent: &Extent, base: Levels) -> Result<Vec<Range<i64>>> {
    if extent.bounds().len() != structure.rank() {
        return Err(Error::invalid(format!(
            "an extent of {} bounds does not fit {} axes",
            extent.bounds().len(),
            structure.rank()
        )));
    }
    let range = |(axis, (world, &(lower, upper))): (usize, (&Axis, &(f64, f64)))| {
        if lower.is_nan() || upper.is_nan() {
            return Err(Error::invalid(format!(
                "the extent is not a number along axis `{}`",
                world.name()
            )));
        }
        let rising = world.step() > 0.0;
        let first = |bound| {
            first_cell(
                structure.position(axis, base[structure.dimension_of(axis)], bound),
                rising,
            )
        };
        Ok(if rising {
            first(lower)..first(upper)
        } else {
            first(upper)..first(lower)
        })
    };
    structure
        .axes()
        .zip(extent.bounds())
        .enumerate()
        .map(range)
        .collect()
}

impl PolygonPlane {
    /// The polygon in the cells of some levels.
    pub(super) fn new(structure: &Structure, polygon: &Polygon, base: Levels) -> Result<Self> {
        let find = |name: &String| {
            structure
                .axes()
                .position(|axis| axis.name() == name)
                .ok_or_else(|| {
                    let names: Vec<_> = structure.axes().map(Axis::name).collect();
                    Error::not_found(format!(
                        "there is no axis `{name}` for the polygon; there is {}",
                        names.join(", ")
                    ))
                })
        };
        let axes = [find(&polygon.axes[0])?, find(&polygon.axes[1])?];
        let d = structure.dimension_of(axes[0]);
        if axes[0] == axes[1] || structure.dimension_of(axes[1]) != d {
            let [a, b] = &polygon.axes;
            return Err(Error::invalid(format!(
                "a polygon lies in the plane of two axes of one dimension, not of `{a}` and `{b}`"
            )));
        }
        let level = base[d];
        let (row, col) = if axes[0] < axes[1] { (0, 1) } else { (1, 0) };
        let rising = |axis: usize| {
            structure
                .axes()
                .nth(axis)
                .is_some_and(|axis| axis.step() > 0.0)
        };
        let place =
            |point: &[f64; 2]| [row, col].map(|i| structure.position(axes[i], level, point[i]));
        let outline = |rings: &Vec<Vec<[f64; 2]>>| {
            let rings: Vec<Vec<[f64; 2]>> = rings
                .iter()
                .map(|ring| ring.iter().map(place).collect())
                .collect();
            CellOutline::new(&rings, [rising(axes[row]), rising(axes[col])])
        };
        Ok(Self {
            axes: [axes[row], axes[col]],
            outlines: polygon.parts.iter().map(outline).collect(),
        })
    }

    fn rect(&self, frame: &ChunkFrame, cells: &[Range<usize>; 2]) -> Rect {
        Rect {
            rows: frame.range(self.axes[0], cells[0].clone()),
            cols: frame.range(self.axes[1], cells[1].clone()),
        }
    }

    /// Fills the classes of a box of the chunk's cells in this plane; `cover` must be that of a box
    /// around it.
    fn classify(
        &self,
        frame: &ChunkFrame,
        cover: &Cover,
        cells: [Range<usize>; 2],
        map: &mut [Class],
    ) {
        let width = frame.shape[self.axes[1]];
        let rect = self.rect(frame, &cells);
        let cover = cover.to(self, &rect);
        let class = cover.class();
        if class != Class::Part || cells.iter().all(|side| side.len() == 1) {
            for row in cells[0].clone() {
                map[row * width + cells[1].start..row * width + cells[1].end].fill(class);
            }
        } else if frame.up[self.axes[0]] == 0 {
            for (part, clip) in &cover.parts {
                clip.runs(&self.outlines[*part], &rect, |row, cols| {
                    let at = |number: i64, from: i64, first: usize| {
                        first + usize::try_from(number - from).unwrap_or(0)
                    };
                    let start = at(row, rect.rows.start, cells[0].start) * width;
                    let [first, end] =
                        [cols.start, cols.end].map(|col| at(col, rect.cols.start, cells[1].start));
                    map[start + first..start + end].fill(Class::In);
                });
            }
        } else {
            let halves = |side: &Range<usize>| {
                let middle = side.start + side.len().div_ceil(2);
                [side.start..middle, middle..side.end]
            };
            for rows in halves(&cells[0]) {
                for cols in halves(&cells[1])
                    .into_iter()
                    .filter(|cols| !cols.is_empty() && !rows.is_empty())
                {
                    self.classify(frame, &cover, [rows.clone(), cols], map);
                }
            }
        }
    }
}

impl Cover {
    fn to(&self, plane: &PolygonPlane, rect: &Rect) -> Self {
        let mut cover = Cover {
            inside: self.inside,
            parts: Vec::new(),
        };
        for (part, clip) in &self.parts {
            let clip = clip.to(&plane.outlines[*part], rect);
            match clip.class() {
                Class::Out => {}
                Class::Part => cover.parts.push((*part, clip)),
                Class::In => {
                    return Cover {
                        inside: true,
                        parts: Vec::new(),
                    };
                }
            }
        }
        cover
    }

    fn class(&self) -> Class {
        match (self.inside, self.parts.is_empty()) {
            (true, _) => Class::In,
            (false, true) => Class::Out,
            (false, false) => Class::Part,
        }
    }
}
