//! Where target cells lie on a source lattice that another system of coordinates has.
//!
//! Positions are (x, y) in source cells: cell `j` covers `j` to `j + 1`. A target cell is the
//! quadrilateral between the places of its corners, which it has in common with its neighbours: all
//! of them together have all of the source, each part once.
//!
//! Where the source's system is cut open, neighbours on the two sides of the cut have places far from
//! each other, and a corner on it has that of one side. A cell that ends at the cut is then the
//! quadrilateral a hair within it. One that has the cut in it is none: its parts lie at both ends
//! of the source.

use std::f64::consts::PI;
use std::ops::Range;

use rayon::prelude::*;

use super::taps::SNAP;

/// Cells along the side of the patches whose places are interpolated.
const PATCH: i64 = 64;
/// Nodes along the side of a patch.
const NODES: usize = 7;
/// How far an interpolated place may be from the true one, in source cells.
const OFF_MAX: f64 = 1e-4;
/// Where in a patch interpolated places are held against true ones.
const PROBES: [[f64; 2]; 5] = [
    [0.09, 0.31],
    [0.63, 0.11],
    [0.36, 0.77],
    [0.94, 0.88],
    [0.44, 0.44],
];

/// Cells that are taken by one thread at once.
const RUN: usize = 4096;
/// How far the centre of a cell may lie from the middle of its corners, for each source cell that
/// it is long: where a corner lies beyond a cut it is more than a third.
const TORN: f64 = 0.25;
/// How much of itself a cell is made smaller by, on each side, to lie on one side of a cut.
const WITHIN: f64 = 1e-7;

/// Columns of a source that follow each other round the globe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct GlobeColumns {
    /// How many go once round.
    pub(crate) columns: f64,
    /// The column around which places are given, within half a turn.
    pub(crate) middle: f64,
}

impl GlobeColumns {
    /// A column as near to another as turns bring it.
    fn near(self, x: f64, other: f64) -> f64 {
        x - ((x - other) / self.columns).round() * self.columns
    }
}

/// The places of the cells of a box. What has no place is NaN.
#[derive(Clone, Debug)]
pub(crate) struct CellPlaces {
    /// Rows and columns.
    pub(crate) shape: [usize; 2],
    /// The centre of each cell, row by row.
    pub(crate) centres: Vec<[f64; 2]>,
    /// The corners: of one row and one column more.
    corners: Vec<[f64; 2]>,
    /// The corners of cells at a cut of the source's system, in the order of their numbers; `None`
    /// of those that have it in them.
    torn: Vec<(usize, Option<[[f64; 2]; 4]>)>,
    turn: Option<GlobeColumns>,
}

/// A target cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PlacedCell {
    pub(super) centre: [f64; 2],
    /// Its corners, one after the other.
    pub(super) corners: [[f64; 2]; 4],
    /// How many source cells it has along x and y.
    pub(super) ratio: [f64; 2],
}

impl CellPlaces {
    /// The places of the cells of a box: `place` has that of a point, which is (x, y) in target
    /// cells. No place depends on the box.
    pub(crate) fn of(
        rows: &Range<i64>,
        cols: &Range<i64>,
        turn: Option<GlobeColumns>,
        place: &(dyn Fn([f64; 2]) -> Option<[f64; 2]> + Sync),
    ) -> Self {
        let net = PatchNet {
            rows: rows.clone(),
            cols: cols.clone(),
            turn,
            place,
            weights: weights(),
        };
        let bands = rows.start.div_euclid(PATCH)..rows.end.div_euclid(PATCH) + 1;
        let parts: Vec<_> = bands.into_par_iter().map(|band| net.band(band)).collect();
        let (mut centres, mut corners, mut rough) = (Vec::new(), Vec::new(), Vec::new());
        for part in parts {
            centres.extend(part.centres);
            corners.extend(part.corners);
            rough.extend(part.rough);
        }
        let len = |of: &Range<i64>| usize::try_from(of.end - of.start).unwrap_or(0);
        let mut places = Self {
            shape: [len(rows), len(cols)],
            centres,
            corners,
            torn: Vec::new(),
            turn,
        };
        let torn = rough
            .par_iter()
            .flat_map_iter(|patch| places.torn_of(&net, *patch));
        let mut torn: Vec<_> = torn.collect();
        torn.sort_unstable_by_key(|(number, _)| *number);
        places.torn = torn;
        places
    }

    /// The cells of a patch that are torn, by their numbers, with corners of their own.
    fn torn_of(
        &self,
        net: &PatchNet<'_>,
        [left, top]: [i64; 2],
    ) -> Vec<(usize, Option<[[f64; 2]; 4]>)> {
        let part = |of: &Range<i64>, first: i64| of.start.max(first)..of.end.min(first + PATCH);
        let (rows, cols) = (part(&net.rows, top), part(&net.cols, left));
        let mut torn = Vec::new();
        for (row, col) in rows.flat_map(|row| cols.clone().map(move |col| (row, col))) {
            let number = index(row - net.rows.start) * self.shape[1] + index(col - net.cols.start);
            if self
                .cell(number)
                .is_none_or(|cell| !cell.is_torn(self.turn))
            {
                continue;
            }
            let (low, high) = (WITHIN, 1.0 - WITHIN);
            let at = |[x, y]: [f64; 2]| (net.place)([col as f64 + x, row as f64 + y]);
            let corners = [[low, low], [high, low], [high, high], [low, high]].map(at);
            let corners = match corners {
                [Some(a), Some(b), Some(c), Some(d)] => Some([a, b, c, d]),
                _ => None,
            };
            let whole = corners
                .map(|corners| placed(self.turn, self.centres[number], corners))
                .filter(|cell| !cell.is_torn(self.turn));
            torn.push((number, whole.map(|cell| cell.corners)));
        }
        torn
    }

    /// The same places on a part of the source that begins at a cell.
    pub(crate) fn on_part(mut self, [x, y]: [usize; 2]) -> Self {
        let moved = |at: &mut [f64; 2]| *at = [at[0] - x as f64, at[1] - y as f64];
        let of_both = [&mut self.centres, &mut self.corners];
        of_both
            .into_par_iter()
            .for_each(|of| of.par_iter_mut().with_min_len(RUN).for_each(moved));
        let torn = self.torn.iter_mut().filter_map(|(_, own)| own.as_mut());
        torn.flatten().for_each(moved);
        if let Some(turn) = &mut self.turn {
            turn.middle -= x as f64;
        }
        self
    }

    /// The least and the greatest x and y of the source cells of which cells are made that reach so
    /// many source cells from their centres, for each source cell that they are long; `None` if no
    /// cell has a place.
    pub(crate) fn bounds(&self, reach: &(dyn Fn(f64) -> f64 + Sync)) -> Option<[[f64; 2]; 2]> {
        let of_run = |first: usize| {
            let mut bounds: Option<[[f64; 2]; 2]> = None;
            let mut lay = |at: [f64; 2], by: [f64; 2]| {
                let [low, high] = bounds.get_or_insert([at, at]);
                for axis in 0..2 {
                    low[axis] = low[axis].min(at[axis] - by[axis]);
                    high[axis] = high[axis].max(at[axis] + by[axis]);
                }
            };
            for number in first..(first + RUN).min(self.centres.len()) {
                match self.cell(number) {
                    Some(cell) => {
                        let by = cell.ratio.map(reach);
                        lay(cell.centre, by);
                        let corners = cell.corners.iter();
                        corners.for_each(|corner| lay(*corner, [0.0; 2]));
                    }
                    None if !self.centres[number][0].is_nan() => {
                        lay(self.centres[number], [0.0; 2]);
                    }
                    None => {}
                }
            }
            bounds
        };
        let runs = (0..self.centres.len()).into_par_iter().step_by(RUN);
        runs.filter_map(of_run).reduce_with(|[a, b], [c, d]| {
            [
                [a[0].min(c[0]), a[1].min(c[1])],
                [b[0].max(d[0]), b[1].max(d[1])],
            ]
        })
    }

    /// A cell by its number, if its corners and its centre have places on one side of any cut.
    pub(super) fn cell(&self, number: usize) -> Option<PlacedCell> {
        let wide = self.shape[1];
        let first = number / wide * (wide + 1) + number % wide;
        let centre = self.centres[number];
        let corners = [first, first + 1, first + wide + 2, first + wide + 1]
            .map(|corner| self.corners[corner]);
        let all = corners.iter().chain([&centre]).flatten();
        if all.copied().any(f64::is_nan) {
            return None;
        }
        let corners = self.own_corners(number).unwrap_or(Some(corners))?;
        Some(placed(self.turn, centre, corners))
    }

    /// The corners of a cell at a cut, if it is one.
    fn own_corners(&self, number: usize) -> Option<Option<[[f64; 2]; 4]>> {
        let at = self
            .torn
            .binary_search_by_key(&number, |(of, _)| *of)
            .ok()?;
        Some(self.torn[at].1)
    }
}

impl PlacedCell {
    /// Whether its corners are not around its centre, as those of a cell are whose corners lie on
    /// two sides of a cut. Where columns go round there is a cut along them at most, and rows of a
    /// cell with an edge through a pole are bent as much.
    fn is_torn(&self, turn: Option<GlobeColumns>) -> bool {
        let axes = if turn.is_some() { 0..1 } else { 0..2 };
        axes.into_iter().any(|axis: usize| {
            let middle = self.corners.iter().map(|corner| corner[axis]).sum::<f64>() / 4.0;
            (self.centre[axis] - middle).abs() > TORN * self.ratio[axis] + SNAP
        })
    }
}

/// A cell between some corners, which are brought to its centre where columns go round.
fn placed(turn: Option<GlobeColumns>, centre: [f64; 2], mut corners: [[f64; 2]; 4]) -> PlacedCell {
    if let Some(turn) = turn {
        if let Some(cap) = cap(turn, centre, &corners) {
            return cap;
        }
        corners
            .iter_mut()
            .for_each(|corner| corner[0] = turn.near(corner[0], centre[0]));
    }
    let [a, b, c, d] = corners;
    let long = |axis: usize| {
        let across = (b[axis] + c[axis] - a[axis] - d[axis]) / 2.0;
        let down = (c[axis] + d[axis] - a[axis] - b[axis]) / 2.0;
        (across * across + down * down).sqrt()
    };
    PlacedCell {
        centre,
        corners,
        ratio: [long(0), long(1)],
    }
}

/// A cell with a pole in it, which has all columns from there on.
fn cap(turn: GlobeColumns, centre: [f64; 2], corners: &[[f64; 2]; 4]) -> Option<PlacedCell> {
    let next = |at: usize| corners[(at + 1) % 4][0];
    let round: f64 = (0..4)
        .map(|at| turn.near(next(at), corners[at][0]) - corners[at][0])
        .sum();
    if round.abs() < turn.columns / 2.0 {
        return None;
    }
    let rows = corners
        .iter()
        .chain([&centre])
        .map(|[_, row]| *row)
        .fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], row| {
            [low.min(row), high.max(row)]
        });
    let (left, right) = (
        turn.middle - turn.columns / 2.0,
        turn.middle + turn.columns / 2.0,
    );
    let [top, bottom] = rows;
    Some(PlacedCell {
        centre: [turn.middle, (top + bottom) / 2.0],
        corners: [[left, top], [right, top], [right, bottom], [left, bottom]],
        ratio: [turn.columns, bottom - top],
    })
}

/// Where nodes lie in a patch: at its edges too, so that patches meet.
fn node(number: usize) -> f64 {
    (1.0 - (PI * number as f64 / (NODES - 1) as f64).cos()) / 2.0
}

/// The weights of the nodes at a place along a side.
fn weights_at(at: f64) -> [f64; NODES] {
    std::array::from_fn(|own| {
        (0..NODES)
            .filter(|other| *other != own)
            .map(|other| (at - node(other)) / (node(own) - node(other)))
            .product()
    })
}

/// Those at all halves of cells.
fn weights() -> Vec<[f64; NODES]> {
    (0..=2 * PATCH)
        .map(|half| weights_at(half as f64 / (2 * PATCH) as f64))
        .collect()
}

fn mixed(weights: &[f64; NODES], of: impl Fn(usize) -> [f64; 2]) -> [f64; 2] {
    weights
        .iter()
        .enumerate()
        .fold([0.0; 2], |[x, y], (node, weight)| {
            let at = of(node);
            [x + weight * at[0], y + weight * at[1]]
        })
}

/// Places that are made patch by patch. Patches lie where the numbers of target cells are multiples
/// of their size, so that no place depends on the box that is asked for.
struct PatchNet<'a> {
    rows: Range<i64>,
    cols: Range<i64>,
    turn: Option<GlobeColumns>,
    place: &'a (dyn Fn([f64; 2]) -> Option<[f64; 2]> + Sync),
    weights: Vec<[f64; NODES]>,
}

/// The nodes of a patch that is smooth enough.
type PatchNodes = [[[f64; 2]; NODES]; NODES];

/// The places of rows of patches.
struct Band {
    centres: Vec<[f64; 2]>,
    corners: Vec<[f64; 2]>,
    /// Where patches begin whose places are not interpolated.
    rough: Vec<[i64; 2]>,
}

impl PatchNet<'_> {
    /// The places of the rows of patches of a number.
    fn band(&self, band: i64) -> Band {
        let (top, end) = (band * PATCH, (band + 1) * PATCH);
        let part = |end_of_box: i64| self.rows.start.max(top)..end_of_box.min(end);
        let (centre_rows, corner_rows) = (part(self.rows.end), part(self.rows.end + 1));
        let size = |rows: &Range<i64>, wide: i64| {
            usize::try_from((rows.end - rows.start).max(0) * wide).unwrap_or(0)
        };
        let wide = self.cols.end - self.cols.start;
        let mut centres = Vec::with_capacity(size(&centre_rows, wide));
        let mut corners = Vec::with_capacity(size(&corner_rows, wide + 1));
        let first = self.cols.start.div_euclid(PATCH);
        let patches: Vec<Option<PatchNodes>> = (first..=self.cols.end.div_euclid(PATCH))
            .map(|patch| self.nodes([patch * PATCH, top]))
            .collect();
        for row in corner_rows {
            self.line((row, false), (first, &patches), &mut corners);
            if centre_rows.contains(&row) {
                self.line((row, true), (first, &patches), &mut centres);
            }
        }
        let rough = (first..)
            .zip(&patches)
            .filter(|(_, nodes)| nodes.is_none())
            .map(|(patch, _)| [patch * PATCH, top])
            .collect();
        Band {
            centres,
            corners,
            rough,
        }
    }

    /// The corners of a row, or its centres.
    fn line(
        &self,
        (row, is_centre): (i64, bool),
        (first, patches): (i64, &[Option<PatchNodes>]),
        line: &mut Vec<[f64; 2]>,
    ) {
        let half = i64::from(is_centre);
        let by = half as f64 / 2.0;
        let down = self.weights[index(2 * row.rem_euclid(PATCH) + half)];
        for (patch, nodes) in (first..).zip(patches) {
            let left = patch * PATCH;
            let end = (left + PATCH).min(self.cols.end + 1 - half);
            let across = nodes.as_ref().map(|nodes| {
                std::array::from_fn::<[f64; 2], NODES, _>(|col| mixed(&down, |row| nodes[row][col]))
            });
            for col in left.max(self.cols.start)..end {
                let at = match &across {
                    Some(across) => mixed(&self.weights[index(2 * (col - left) + half)], |node| {
                        across[node]
                    }),
                    None => {
                        (self.place)([col as f64 + by, row as f64 + by]).unwrap_or([f64::NAN; 2])
                    }
                };
                line.push(match self.turn {
                    Some(turn) => [turn.near(at[0], turn.middle), at[1]],
                    None => at,
                });
            }
        }
    }

    /// The nodes of the patch that begins at a cell, if the places between follow from them.
    fn nodes(&self, [left, top]: [i64; 2]) -> Option<PatchNodes> {
        let at = |[x, y]: [f64; 2]| {
            (self.place)([
                left as f64 + x * PATCH as f64,
                top as f64 + y * PATCH as f64,
            ])
        };
        let middle = at([0.5, 0.5])?;
        let near = |[x, y]: [f64; 2]| [self.turn.map_or(x, |turn| turn.near(x, middle[0])), y];
        let mut nodes = [[[0.0; 2]; NODES]; NODES];
        for (row, line) in nodes.iter_mut().enumerate() {
            for (col, to) in line.iter_mut().enumerate() {
                *to = near(at([node(col), node(row)])?);
            }
        }
        let is_near = |probe: &[f64; 2]| {
            let (across, down) = (weights_at(probe[0]), weights_at(probe[1]));
            let found = mixed(&down, |row| mixed(&across, |col| nodes[row][col]));
            at(*probe).map(near).is_some_and(|there| {
                (there[0] - found[0]).abs().max((there[1] - found[1]).abs()) <= OFF_MAX
            })
        };
        PROBES.iter().all(is_near).then_some(nodes)
    }
}

fn index(half: i64) -> usize {
    usize::try_from(half).unwrap_or(0)
}
