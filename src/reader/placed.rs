//! Answers on the cells of a target of another coordinate reference system.
//!
//! The target's cells are found among the base cells first: how far those reach that lie over data,
//! and how long they are there. That says which level is read, by the rule of every other target,
//! and which window. Its cells then become the target's block by block, each by what lies around it.

use std::ops::Range;

use ndarray::{ArrayD, Axis, Slice};

use super::layout::{AnswerLayout, CellMap, cell};
use super::plan::CELLS_MAX;
use crate::array::{Array, Cell, Validity, c_order, in_c_order, with_view};
use crate::error::{Error, Result};
use crate::grid::{Elsewhere, ElsewhereOnLevel, Extent, Level, Levels, Structure, Window};
use crate::kernel::{
    CellPlaces, GlobeColumns, PlacedReach, ResampleSource, ResamplingMethod, resample_placed,
    shaped,
};

/// The side of the blocks in which cells of a target are placed, and how many cells of an answer are
/// made at once, if no smaller block has more.
const SIDE_MAX: usize = 1024;
const SIDE_MIN: usize = 64;
const BLOCK_CELLS: usize = 1 << 22;
/// How far columns may be from whole ones that go once round the globe.
const CLOSES: f64 = 1e-3;
/// The part of a cell by which it may be coarser than one that it is as fine as.
const AS_FINE: f64 = 1e-9;

/// A target of another system, and how far it reaches on a grid's data.
#[derive(Debug)]
pub(super) struct AskedPlaces {
    /// All of what was put.
    bounds: Window,
    /// On the base cells, as is all that follows.
    on: ElsewhereOnLevel,
    base: Levels,
    plane: usize,
    reach: Option<PlacedReach>,
    turn: Option<GlobeColumns>,
    /// Whether cells go over the seam between the ends of the columns.
    is_over: bool,
}

/// A target of another system on the cells of a window.
#[derive(Clone, Debug)]
pub(super) struct PlacedTarget {
    on: ElsewhereOnLevel,
    /// The column and the row with which the window begins.
    first: [f64; 2],
    /// How columns go round the globe, counted from the first.
    turn: Option<GlobeColumns>,
    /// Whether the window's first column follows its last.
    is_round: bool,
    /// How many cells the answer has along each axis.
    pub(super) lens: Vec<usize>,
    /// The cells of the window that the target lies over, for each axis.
    pub(super) over: Vec<Range<usize>>,
}

impl AskedPlaces {
    /// Finds the cells of a target on the base cells of a grid.
    pub(super) fn find(
        structure: &Structure,
        target: &Elsewhere,
        (bounds, base): (&Window, Levels),
    ) -> Result<Self> {
        let lens = target.lens();
        if lens[0]
            .checked_mul(lens[1])
            .is_none_or(|cells| cells as u64 > CELLS_MAX)
        {
            return Err(Error::invalid(format!(
                "the answer would have more than {CELLS_MAX} cells; ask for a part of the target at a time"
            )));
        }
        let [x, y] = target.axes();
        let plane = structure.dimension_of(x);
        let on = target.on(structure, base[plane]);
        let cover = structure.cover(bounds, base);
        let ends = |window: &Window| {
            [
                [window.start()[x] as f64, window.start()[y] as f64],
                [window.end()[x] as f64, window.end()[y] as f64],
            ]
        };
        let data = ends(&cover);
        let columns = target.columns(structure, base[plane]);
        let turn = columns.map(|columns| GlobeColumns {
            columns,
            middle: f64::midpoint(data[0][0], data[1][0]),
        });
        let of_block = |[rows, cols]: [Range<i64>; 2]| {
            CellPlaces::of(&rows, &cols, turn, &|at| on.place(at)).reach_over(data)
        };
        let reach = blocks(lens, SIDE_MAX)
            .map(of_block)
            .fold(PlacedReach::NONE, PlacedReach::joined)
            .any();
        let is_over = turn.zip(reach).is_some_and(|(turn, reach)| {
            let half = turn.columns / 2.0 + CLOSES;
            reach.low[0] < turn.middle - half || reach.high[0] > turn.middle + half
        });
        Ok(Self {
            bounds: *bounds,
            on,
            base,
            plane,
            reach,
            turn,
            is_over,
        })
    }

    /// The levels that the cells are read from: the coarsest at least as fine as every cell that
    /// lies over data; where edges are to meet, which those of no such cell do, that of the base.
    pub(super) fn levels(&self, structure: &Structure, reach: Levels, edges_meet: bool) -> Levels {
        let base = self.base[self.plane];
        let Some(cells) = self.reach.filter(|_| !edges_meet) else {
            return self.base;
        };
        let fits = |level: &Level| {
            let scale = level.scale() / base.scale();
            *level == base
                || cells
                    .shortest
                    .iter()
                    .all(|len| len / scale >= 1.0 - AS_FINE)
        };
        let levels = std::iter::successors(Some(base), |level| level.coarser());
        let fitting = levels.take_while(|level| *level <= reach[self.plane] && fits(level));
        // What goes over the seam is made of columns that close the circle. Where the data does not
        // begin on an edge of a level, that has a column more, which would not be read.
        let x = self.on.target().axes()[0];
        let closing = |level: &Level| {
            let levels = self.base.with(self.plane, *level);
            let columns = structure.cover(&self.bounds, levels).shape()[x] as f64;
            let closed = self.closed(structure, *level);
            !self.is_over || closed.is_some_and(|all| columns <= all)
        };
        let level = fitting.filter(closing).last().unwrap_or(base);
        self.base.with(self.plane, level)
    }

    /// How many whole columns of a level go once round the globe, if they do.
    fn closed(&self, structure: &Structure, level: Level) -> Option<f64> {
        let columns = self.on.target().columns(structure, level)?;
        let whole = columns.round();
        (whole >= 1.0 && (columns - whole).abs() <= CLOSES).then_some(whole)
    }

    /// The columns of a level that close the circle, if cells are made of what lies on both sides of
    /// its seam.
    fn circle(&self, structure: &Structure, level: Level) -> Result<Option<f64>> {
        if !self.is_over {
            return Ok(None);
        }
        self.closed(structure, level).map(Some).ok_or_else(|| {
            Error::invalid(
                "the target goes over the seam of the grid's columns, and no whole number of these goes once round the globe; ask for it in two, as of the files that `gdal_translate -projwin` cuts a target into",
            )
        })
    }

    /// What to read at some levels, and how its cells become those of the target. Along other axes
    /// they are those of the region, at the base levels.
    pub(super) fn layout(
        &self,
        structure: &Structure,
        (bounds, region): (&Window, &Extent),
        levels: Levels,
        (method, span): (ResamplingMethod, (i64, u64)),
    ) -> Result<AnswerLayout> {
        let cover = structure.cover(bounds, levels);
        let mut window = structure.window(region, self.base)?.at(levels);
        if let Some(irregular) = structure.irregular_axis() {
            window = window.along(irregular.axis, span.0, span.1);
        }
        let level = levels[self.plane];
        let on = self.on.target().on(structure, level);
        let scale = level.scale() / self.base[self.plane].scale();
        let axes = on.target().axes();
        let turn = self.turn.map(|turn| GlobeColumns {
            columns: turn.columns / scale,
            middle: self.on.position([turn.middle, 0.0], &on)[0],
        });
        let ends = self.reach.map(|reach| {
            let ends = [reach.low, reach.high].map(|at| self.on.position(at, &on));
            (ends, reach.longest.map(|len| len / scale))
        });
        let circle = self.circle(structure, level)?;
        let mut over = vec![0..0; structure.rank()];
        let (mut first, mut is_round) = ([0.0; 2], false);
        for (number, axis) in axes.into_iter().enumerate() {
            let (start, end) = (cover.start()[axis], cover.end()[axis]);
            let (low, high, margin) = match ends {
                Some(([low, high], longest)) => (
                    low[number],
                    high[number],
                    method.reach(longest[number]) + 1.0,
                ),
                None => (start as f64, start as f64, 0.0),
            };
            let mut from = cell((low - margin).floor()).clamp(start, end - 1);
            let mut to = cell((high + margin).ceil()).clamp(from + 1, end);
            if let Some(columns) = circle.filter(|_| number == 0) {
                (from, to, is_round) = (start, start.saturating_add(cell(columns)), true);
            }
            window = window.along(axis, from, to.abs_diff(from));
            first[number] = from as f64;
            let within = |at: f64| usize::try_from(cell(at).clamp(from, to).abs_diff(from));
            // What goes over the seam lies on columns of both ends.
            let is_over = number == 0 && is_round && (low < from as f64 || high > to as f64);
            let slack = CLOSES.min((high - low) / 4.0);
            over[axis] = if is_over {
                0..usize::try_from(to.abs_diff(from)).unwrap_or(0)
            } else {
                within((low + slack).floor()).unwrap_or(0)
                    ..within((high - slack).ceil()).unwrap_or(0)
            };
        }
        let mut lens: Vec<usize> = window
            .shape()
            .iter()
            .map(|len| usize::try_from(*len).unwrap_or(usize::MAX))
            .collect();
        let mut sides = structure.extent(&window).bounds().to_vec();
        if let Some(irregular) = structure.irregular_axis() {
            sides[irregular.axis] = region.bounds()[irregular.axis];
            lens[irregular.axis] = 1;
        }
        for (number, axis) in axes.into_iter().enumerate() {
            (lens[axis], sides[axis]) = (on.target().lens()[number], on.target().sides()[number]);
        }
        for (axis, over) in over
            .iter_mut()
            .enumerate()
            .filter(|(axis, _)| !axes.contains(axis))
        {
            *over = 0..lens[axis];
        }
        let turn = turn.map(|turn| GlobeColumns {
            middle: turn.middle - first[0],
            ..turn
        });
        Ok(AnswerLayout {
            window,
            extent: Extent::new(sides),
            maps: Some(CellMap::Placed(Box::new(PlacedTarget {
                on,
                first,
                turn,
                is_round,
                lens,
                over,
            }))),
        })
    }
}

impl PlacedTarget {
    /// Tells what the answer's cells depend on, beside the cells of the window.
    pub(super) fn tell(&self, mut number: impl FnMut(u64)) {
        self.on.target().tell(&mut number);
        self.turn
            .iter()
            .flat_map(|turn| [turn.columns, turn.middle])
            .chain(self.first)
            .for_each(|at| number(at.to_bits()));
        number(self.is_round.into());
    }

    /// The cells of the target, made of those of the window. Cells without data hold `blank`.
    pub(super) fn resampled(
        &self,
        source: ResampleSource<'_>,
        method: ResamplingMethod,
        blank: f64,
    ) -> (Array, Validity) {
        let planes = Planes::new(source, self.on.target().axes());
        let [width, height] = self.on.target().lens();
        let mut array = Array::filled(
            method.dtype(source.cells.dtype()),
            &[planes.count(), height, width],
            blank,
        );
        let mut mask = ArrayD::from_elem(array.shape(), false);
        let side = (SIDE_MIN..=SIDE_MAX)
            .step_by(SIDE_MIN)
            .take_while(|side| side * side * planes.count() <= BLOCK_CELLS)
            .last();
        let place = |at: [f64; 2]| {
            let [x, y] = self.on.place(at)?;
            Some([x - self.first[0], y - self.first[1]])
        };
        for [rows, cols] in blocks([width, height], side.unwrap_or(SIDE_MIN)) {
            let places = CellPlaces::of(&rows, &cols, self.turn, &place);
            let Some(part) = places.part(planes.size(), self.is_round, method) else {
                continue;
            };
            let (cells, validity, shares) = planes.part(&part.rows, &part.cols);
            let source = ResampleSource {
                cells: &cells,
                validity: &validity,
                shares: shares.as_ref(),
            };
            let (made, valid) =
                resample_placed(source, (&part.places, part.is_round), method, blank);
            let at = [rows.start, cols.start].map(|at| usize::try_from(at).unwrap_or(0));
            let valid = valid
                .mask(&made)
                .unwrap_or_else(|| ArrayD::from_elem(made.shape(), true));
            lay(&mut mask, valid, at);
            with_view!(Array, &mut array, |cells| lay_typed(cells, made, at));
        }
        let array = with_view!(Array, array, |cells| Array::from(planes.back(cells)));
        (array, Validity::of_mask(Some(planes.back(mask))))
    }
}

/// The blocks of so many columns and rows, each a range of rows and one of columns.
fn blocks([width, height]: [usize; 2], side: usize) -> impl Iterator<Item = [Range<i64>; 2]> {
    let cuts = move |len: usize| {
        (0..len).step_by(side).map(move |from| {
            let number = |at: usize| i64::try_from(at).unwrap_or(i64::MAX);
            number(from)..number((from + side).min(len))
        })
    };
    cuts(height).flat_map(move |rows| cuts(width).map(move |cols| [rows.clone(), cols]))
}

/// What was read as planes of rows and columns, one after the other.
struct Planes<'a> {
    source: ResampleSource<'a>,
    /// The axes of what was read, rows and columns last.
    order: Vec<usize>,
    /// How many cells there are along them.
    lens: Vec<usize>,
}

impl<'a> Planes<'a> {
    fn new(source: ResampleSource<'a>, [x, y]: [usize; 2]) -> Self {
        let shape = source.cells.shape();
        let mut order: Vec<usize> = (0..shape.len())
            .filter(|axis| ![y, x].contains(axis))
            .collect();
        order.extend([y, x]);
        let lens = order.iter().map(|axis| shape[*axis]).collect();
        Self {
            source,
            order,
            lens,
        }
    }

    fn count(&self) -> usize {
        self.lens[..self.lens.len() - 2].iter().product()
    }

    /// Rows and columns.
    fn size(&self) -> [usize; 2] {
        [
            self.lens[self.lens.len() - 2],
            self.lens[self.lens.len() - 1],
        ]
    }

    /// Some rows and columns of all planes.
    fn part(
        &self,
        rows: &Range<usize>,
        cols: &Range<usize>,
    ) -> (Array, Validity, Option<ArrayD<f64>>) {
        let at = (rows, cols);
        let validity = match self.source.validity {
            Validity::Mask(mask) => Validity::Mask(self.part_of(mask, at)),
            of_all @ (Validity::All | Validity::Values { .. }) => of_all.clone(),
        };
        let cells = with_view!(Array, self.source.cells, |cells| Array::from(
            self.part_of(cells, at)
        ));
        (
            cells,
            validity,
            self.source.shares.map(|shares| self.part_of(shares, at)),
        )
    }

    fn part_of<T: Copy>(
        &self,
        cells: &ArrayD<T>,
        (rows, cols): (&Range<usize>, &Range<usize>),
    ) -> ArrayD<T> {
        let first = self.order.len() - 2;
        let mut part = cells.view().permuted_axes(self.order.as_slice());
        part.slice_axis_inplace(Axis(first), Slice::from(rows.clone()));
        part.slice_axis_inplace(Axis(first + 1), Slice::from(cols.clone()));
        shaped(
            part.iter().copied().collect(),
            &[self.count(), rows.len(), cols.len()],
        )
    }

    /// Planes of other rows and columns as an array with the axes of what was read.
    fn back<T: Copy>(&self, cells: ArrayD<T>) -> ArrayD<T> {
        let first = self.order.len() - 2;
        let mut lens = self.lens.clone();
        lens[first..].copy_from_slice(&cells.shape()[1..]);
        let mut places = vec![0; self.order.len()];
        for (place, axis) in self.order.iter().enumerate() {
            places[*axis] = place;
        }
        in_c_order(shaped(c_order(cells), &lens).permuted_axes(places))
    }
}

/// Lays a block into planes.
fn lay<T: Copy>(planes: &mut ArrayD<T>, block: ArrayD<T>, [row, col]: [usize; 2]) {
    let (rows, cols) = (block.shape()[1], block.shape()[2]);
    planes
        .slice_axis_mut(Axis(1), Slice::from(row..row + rows))
        .slice_axis_mut(Axis(2), Slice::from(col..col + cols))
        .assign(&block);
}

fn lay_typed<T: Cell>(planes: &mut ArrayD<T>, block: Array, at: [usize; 2]) {
    let block = block
        .into_typed()
        .unwrap_or_else(|_| unreachable!("of the type that the method gives"));
    lay(planes, block, at);
}

#[cfg(all(test, feature = "crs"))]
#[path = "placed_tests.rs"]
mod tests;
