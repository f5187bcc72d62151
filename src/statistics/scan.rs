//! Polygons over cells: which cell centres of a plane a set of rings holds, row by row, and for
//! boxes of cells whether all.
//!
//! A ring edge crosses the centre lines of some rows, and each crossing falls before one column:
//! the first whose centre is not before it. A cell is inside if an odd number of crossings of its
//! row fall at or before its column. All else is arithmetic on these integers, so what is said of a
//! box always agrees with what is said of its cells. A crossing is computed from the edge's two
//! ends in a fixed order: two rings that share an edge agree on it whichever way they run.

use std::ops::Range;

/// How far something lies within a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Not at all.
    Out,
    /// To be told by its parts.
    Part,
    /// Wholly.
    In,
}

/// The first cell whose centre is not before a position; cell `j` covers `j` to `j + 1`. A centre
/// at the position itself is before it where coordinates fall along the axis, so that "not before"
/// means the same in the world either way.
#[expect(
    clippy::cast_possible_truncation,
    reason = "positions beyond the numbers saturate, and no cell is there"
)]
pub(super) fn first_cell(position: f64, rising: bool) -> i64 {
    let at = position - 0.5;
    if rising {
        at.ceil() as i64
    } else {
        (at.floor() as i64).saturating_add(1)
    }
}

/// A box of cells of the plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rect {
    pub(super) rows: Range<i64>,
    pub(super) cols: Range<i64>,
}

impl Rect {
    /// The smallest box that holds both.
    pub(super) fn union(self, other: Self) -> Self {
        let join = |a: Range<i64>, b: Range<i64>| a.start.min(b.start)..a.end.max(b.end);
        Self {
            rows: join(self.rows, other.rows),
            cols: join(self.cols, other.cols),
        }
    }
}

#[derive(Clone, Debug)]
struct Segment {
    /// The rows whose centre line it crosses.
    rows: Range<i64>,
    /// Its upper end, and how far the column goes on with each row.
    row: f64,
    col: f64,
    slope: f64,
    /// The least and greatest column position of its ends.
    cols: (f64, f64),
}

/// The edges of some rings, in positions of rows and columns.
#[derive(Clone, Debug)]
pub(super) struct CellOutline {
    edges: Vec<Segment>,
    /// Whether world coordinates rise with the columns.
    rising: bool,
}

impl CellOutline {
    /// The outline of rings whose points are (row, column) positions. `rising` says of rows and
    /// columns whether world coordinates rise with them.
    pub(super) fn new(rings: &[Vec<[f64; 2]>], rising: [bool; 2]) -> Self {
        let mut edges = Vec::new();
        for ring in rings {
            for (i, &a) in ring.iter().enumerate() {
                let b = ring[(i + 1) % ring.len()];
                let (a, b) = if (a[0], a[1]) <= (b[0], b[1]) {
                    (a, b)
                } else {
                    (b, a)
                };
                let rows = first_cell(a[0], rising[0])..first_cell(b[0], rising[0]);
                if !rows.is_empty() {
                    let slope = (b[1] - a[1]) / (b[0] - a[0]);
                    edges.push(Segment {
                        rows,
                        row: a[0],
                        col: a[1],
                        slope,
                        cols: (a[1].min(b[1]), a[1].max(b[1])),
                    });
                }
            }
        }
        Self {
            edges,
            rising: rising[1],
        }
    }

    /// The column before which an edge crosses the centre line of a row. Monotone along the edge.
    fn crossing(&self, edge: &Segment, row: i64) -> i64 {
        let at = edge.col + (row as f64 + 0.5 - edge.row) * edge.slope;
        let at = if at.is_nan() {
            edge.col
        } else {
            at.clamp(edge.cols.0, edge.cols.1)
        };
        first_cell(at, self.rising)
    }

    /// The smallest box that holds every cell inside; `None` if no edge crosses the centre line of
    /// a row.
    pub(super) fn bounds(&self) -> Option<Rect> {
        let of = |edge: &Segment| Rect {
            rows: edge.rows.clone(),
            cols: first_cell(edge.cols.0, self.rising)..first_cell(edge.cols.1, self.rising),
        };
        self.edges.iter().map(of).reduce(Rect::union)
    }
}

/// What of an outline matters to a box: the edges with a crossing within it, and on which rows its
/// left side is inside.
#[derive(Clone, Debug)]
pub(super) struct Clip {
    edges: Vec<u32>,
    /// Whether the first cell of the first row would be inside were it not for `edges`.
    inside: bool,
    /// Rows, rising, from each of which on that is the other way round.
    flips: Vec<i64>,
}

impl Clip {
    /// The clip of the whole plane.
    pub(super) fn whole(outline: &CellOutline) -> Self {
        let edges = (0..u32::MAX).take(outline.edges.len()).collect();
        Self {
            edges,
            inside: false,
            flips: Vec::new(),
        }
    }

    /// The clip of a box within this one's.
    pub(super) fn to(&self, outline: &CellOutline, rect: &Rect) -> Self {
        let mut clip = Clip {
            edges: Vec::new(),
            inside: self.inside,
            flips: Vec::new(),
        };
        for &flip in &self.flips {
            clip.flip(flip, rect);
        }
        for &number in &self.edges {
            let edge = &outline.edges[number as usize];
            let (first, end) = (
                edge.rows.start.max(rect.rows.start),
                edge.rows.end.min(rect.rows.end),
            );
            if first >= end {
                continue;
            }
            let ends = [
                outline.crossing(edge, first),
                outline.crossing(edge, end - 1),
            ];
            if ends[0].max(ends[1]) <= rect.cols.start {
                clip.flip(first, rect);
                clip.flip(end, rect);
            } else if ends[0].min(ends[1]) < rect.cols.end {
                clip.edges.push(number);
            }
        }
        clip.flips.sort_unstable();
        let mut kept: Vec<i64> = Vec::with_capacity(clip.flips.len());
        for &flip in &clip.flips {
            if kept.last() == Some(&flip) {
                kept.pop();
            } else {
                kept.push(flip);
            }
        }
        clip.flips = kept;
        clip
    }

    fn flip(&mut self, row: i64, rect: &Rect) {
        if row <= rect.rows.start {
            self.inside = !self.inside;
        } else if row < rect.rows.end {
            self.flips.push(row);
        }
    }

    /// Whether the box that it was clipped to is wholly inside, wholly outside, or perhaps neither.
    pub(super) fn class(&self) -> Class {
        match (self.edges.is_empty() && self.flips.is_empty(), self.inside) {
            (false, _) => Class::Part,
            (true, true) => Class::In,
            (true, false) => Class::Out,
        }
    }

    /// Calls `visit` for each run of cells inside: row, first column, and one past the last, within
    /// the box clipped to.
    pub(super) fn runs(
        &self,
        outline: &CellOutline,
        rect: &Rect,
        mut visit: impl FnMut(i64, Range<i64>),
    ) {
        let (mut inside, mut flips) = (self.inside, self.flips.iter().peekable());
        let mut crossings = Vec::new();
        for row in rect.rows.clone() {
            while flips.next_if(|flip| **flip <= row).is_some() {
                inside = !inside;
            }
            crossings.clear();
            let edges = self
                .edges
                .iter()
                .map(|&number| &outline.edges[number as usize]);
            let crossed = edges
                .filter(|edge| edge.rows.contains(&row))
                .map(|edge| outline.crossing(edge, row));
            crossings.extend(crossed.map(|at| at.clamp(rect.cols.start, rect.cols.end)));
            crossings.sort_unstable();
            let (mut start, mut within) = (rect.cols.start, inside);
            for &at in crossings.iter().chain([&rect.cols.end]) {
                if within && at > start {
                    visit(row, start..at);
                }
                (start, within) = (at, !within);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Even-odd by the definition: crossings of the row's centre line at or before the cell's
    /// centre.
    fn inside(rings: &[Vec<[f64; 2]>], row: i64, col: i64) -> bool {
        let (y, x) = (row as f64 + 0.5, col as f64 + 0.5);
        let mut inside = false;
        for ring in rings {
            for (i, a) in ring.iter().enumerate() {
                let b = ring[(i + 1) % ring.len()];
                let (a, b) = if (a[0], a[1]) <= (b[0], b[1]) {
                    (*a, b)
                } else {
                    (b, *a)
                };
                if a[0] <= y
                    && y < b[0]
                    && (a[1] + (y - a[0]) * ((b[1] - a[1]) / (b[0] - a[0]))) <= x
                {
                    inside = !inside;
                }
            }
        }
        inside
    }

    fn cells(clip: &Clip, outline: &CellOutline, rect: &Rect) -> Vec<(i64, i64)> {
        let mut cells = Vec::new();
        clip.runs(outline, rect, |row, cols| {
            cells.extend(cols.map(|col| (row, col)))
        });
        cells
    }

    fn rings() -> impl Strategy<Value = Vec<Vec<[f64; 2]>>> {
        // Halves are cell edges and centres: vertices on centres and edges along centre lines are
        // common.
        let point = prop_oneof![
            (-12..=12_i32, -12..=12_i32)
                .prop_map(|(y, x)| [f64::from(y) / 2.0, f64::from(x) / 2.0]),
            (-6.0..6.0, -6.0..6.0).prop_map(|(y, x)| [y, x]),
        ];
        proptest::collection::vec(proptest::collection::vec(point, 3..9), 1..4)
    }

    const ALL: Rect = Rect {
        rows: -8..8,
        cols: -8..8,
    };

    proptest! {
        #[test]
        fn a_clip_of_a_clip_has_the_cells_of_the_definition(rings in rings(), a in -8..8_i64, b in -8..8_i64, c in -8..8_i64, d in -8..8_i64) {
            let outline = CellOutline::new(&rings, [true, true]);
            let whole = Clip::whole(&outline).to(&outline, &ALL);
            let part = Rect { rows: a.min(b)..a.max(b) + 1, cols: c.min(d)..c.max(d) + 1 };
            let clip = whole.to(&outline, &part);
            let all = part.rows.clone().flat_map(|row| part.cols.clone().map(move |col| (row, col)));
            let want: Vec<_> = all.clone().filter(|&(row, col)| inside(&rings, row, col)).collect();
            prop_assert_eq!(&cells(&clip, &outline, &part), &want);
            match clip.class() {
                Class::In => prop_assert_eq!(want.len(), all.count()),
                Class::Out => prop_assert!(want.is_empty()),
                Class::Part => {}
            }
            let bounds = outline.bounds();
            let bounded = |row, col| bounds.as_ref().is_some_and(|bounds| bounds.rows.contains(row) && bounds.cols.contains(col));
            prop_assert!(want.iter().all(|(row, col)| bounded(row, col)));
        }

        /// A fan of triangles around a point tiles the square, whichever way axes run and wherever
        /// the point lies.
        #[test]
        fn polygons_that_share_edges_share_no_cell_and_leave_none_out(y in -6.0..6.0_f64, x in -6.0..6.0_f64, snap: bool, rising: [bool; 2]) {
            let centre = if snap { [(2.0 * y).round() / 2.0, (2.0 * x).round() / 2.0] } else { [y, x] };
            let corners = [[-6.0, -6.0], [-6.0, 6.0], [6.0, 6.0], [6.0, -6.0]];
            let mut seen = Vec::new();
            for i in 0..4 {
                let outline = CellOutline::new(&[vec![corners[i], corners[(i + 1) % 4], centre]], rising);
                seen.extend(cells(&Clip::whole(&outline).to(&outline, &ALL), &outline, &ALL));
            }
            seen.sort_unstable();
            let want: Vec<_> = (-6..6).flat_map(|row| (-6..6).map(move |col| (row, col))).collect();
            prop_assert_eq!(seen, want);
        }
    }

    #[test]
    fn a_centre_on_an_edge_lies_on_the_side_of_higher_coordinates() {
        assert_eq!([first_cell(2.5, true), first_cell(2.5, false)], [2, 3]);
        assert_eq!([first_cell(2.0, true), first_cell(2.0, false)], [2, 2]);
        assert_eq!(first_cell(f64::INFINITY, true), i64::MAX);
        let square = vec![[0.5, 0.5], [0.5, 3.5], [3.5, 3.5], [3.5, 0.5]];
        let held = |rising| {
            let outline = CellOutline::new(std::slice::from_ref(&square), rising);
            let cells = cells(&Clip::whole(&outline).to(&outline, &ALL), &outline, &ALL);
            (cells[0], cells[cells.len() - 1])
        };
        assert_eq!(held([true, true]), ((0, 0), (2, 2)));
        assert_eq!(held([false, true]), ((1, 0), (3, 2)));
        assert_eq!(held([true, false]), ((0, 1), (2, 3)));
    }
}
