//! Where a raster lies in another system.

use crate::error::{Error, Result};

/// The box that a raster covers in another system, and how long its cells are there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::adapter) struct Reach {
    /// West and east. East may be beyond 180 degrees, and west before -180.
    pub(in crate::adapter) x: [f64; 2],
    /// South and north.
    pub(in crate::adapter) y: [f64; 2],
    /// The length of its cells along y and x, where half of them are shorter.
    pub(in crate::adapter) cell: [f64; 2],
    /// Whether it goes round a pole, or all the way round.
    pub(in crate::adapter) is_round: bool,
}

/// Parts of an edge, between which it is nearly straight.
const EDGE: u32 = 1024;
/// Places across and down at which cells are measured.
const LATTICE: u32 = 64;

/// From places in one system to those in another; in place of what has none there stands what is not
/// finite.
pub(in crate::adapter) type Mapped<'a> = dyn Fn(&[[f64; 2]]) -> Vec<[f64; 2]> + 'a;

/// The affine transformation of a raster.
#[derive(Clone, Copy, Debug)]
pub(in crate::adapter) struct AffineMap(pub(in crate::adapter) [f64; 6]);

impl AffineMap {
    pub(in crate::adapter) fn world(self, [col, row]: [f64; 2]) -> [f64; 2] {
        let [x, dx, row_to_x, y, column_to_y, dy] = self.0;
        [
            x + col * dx + row * row_to_x,
            y + col * column_to_y + row * dy,
        ]
    }

    pub(in crate::adapter) fn cell(self, [x, y]: [f64; 2]) -> [f64; 2] {
        let [x0, dx, row_to_x, y0, column_to_y, dy] = self.0;
        let area = dx * dy - row_to_x * column_to_y;
        let (x, y) = (x - x0, y - y0);
        [
            (x * dy - y * row_to_x) / area,
            (y * dx - x * column_to_y) / area,
        ]
    }
}

impl Reach {
    /// The box of a raster of some rows and columns. `way` leads from its own system to the other
    /// one, and back where that has longitudes for x.
    pub(in crate::adapter) fn of(
        turn: AffineMap,
        [height, width]: [usize; 2],
        (way, back): (&Mapped<'_>, Option<&Mapped<'_>>),
        is_circle: bool,
    ) -> Result<Self> {
        let none = || {
            Error::invalid(
                "no place of the file lies where the grid's coordinate reference system is defined",
            )
        };
        let (high, wide) = (height as f64, width as f64);
        let there = |cells: &[[f64; 2]]| {
            let world: Vec<[f64; 2]> = cells.iter().map(|cell| turn.world(*cell)).collect();
            way(&world)
        };
        let centre = there(&[[wide / 2.0, high / 2.0]])[0][0];
        let seam = |x: f64| {
            if is_circle && centre.is_finite() {
                x - ((x - centre) / 360.0).round() * 360.0
            } else {
                x
            }
        };
        let mut points = there(&edges(wide, high));
        points.extend(there(&lattice(wide, high)));
        points.retain(|[x, y]| x.is_finite() && y.is_finite());
        points
            .iter_mut()
            .for_each(|point| point[0] = seam(point[0]));
        let bounds = |axis: usize| {
            let along = points.iter().map(|point| point[axis]);
            [
                along.clone().fold(f64::INFINITY, f64::min),
                along.fold(f64::NEG_INFINITY, f64::max),
            ]
        };
        if points.is_empty() {
            return Err(none());
        }
        let (mut x, mut y, mut is_round) = (bounds(0), bounds(1), false);
        let poles = back.map_or_else(Vec::new, |back| back(&[[centre, -90.0], [centre, 90.0]]));
        for (pole, latitude) in poles.into_iter().zip([-90.0, 90.0]) {
            // One at the very edge is in none of the cells.
            let [col, row] = turn.cell(pole);
            let within = |at: f64, end: f64| at > 0.01 && at < end - 0.01;
            if within(col, wide) && within(row, high) {
                (y, is_round) = ([y[0].min(latitude), y[1].max(latitude)], true);
            }
        }
        if is_circle && (is_round || x[1] - x[0] >= 359.0) {
            (x, is_round) = ([centre - 180.0, centre + 180.0], true);
        }
        let cell = measured(&there, [wide, high], is_circle).ok_or_else(none)?;
        Ok(Self {
            x,
            y,
            cell,
            is_round,
        })
    }
}

/// Points along the edges.
fn edges(wide: f64, high: f64) -> Vec<[f64; 2]> {
    let along = (0..=EDGE).map(|at| f64::from(at) / f64::from(EDGE));
    along
        .flat_map(|part| {
            let (col, row) = (part * wide, part * high);
            [[col, 0.0], [col, high], [0.0, row], [wide, row]]
        })
        .collect()
}

/// Points within.
fn lattice(wide: f64, high: f64) -> Vec<[f64; 2]> {
    let along = || (0..LATTICE).map(|at| (f64::from(at) + 0.5) / f64::from(LATTICE));
    along()
        .flat_map(|row| along().map(move |col| [col * wide, row * high]))
        .collect()
}

/// How long cells are along y and x: as far as one has to go to leave one, at half of the places.
fn measured(
    there: &impl Fn(&[[f64; 2]]) -> Vec<[f64; 2]>,
    [wide, high]: [f64; 2],
    is_circle: bool,
) -> Option<[f64; 2]> {
    let at = lattice(wide, high);
    let moved = |by: [f64; 2]| {
        let moved: Vec<[f64; 2]> = at.iter().map(|[c, r]| [c + by[0], r + by[1]]).collect();
        there(&moved)
    };
    let short = |x: f64| {
        if is_circle {
            x - (x / 360.0).round() * 360.0
        } else {
            x
        }
    };
    let [left, right, above, below] = [[-0.5, 0.0], [0.5, 0.0], [0.0, -0.5], [0.0, 0.5]].map(moved);
    let between = |(a, b): (&[f64; 2], &[f64; 2])| [short(b[0] - a[0]), b[1] - a[1]];
    let columns = left.iter().zip(&right).map(between);
    let rows = above.iter().zip(&below).map(between);
    let (mut down, mut across) = (Vec::new(), Vec::new());
    for ([xc, yc], [xr, yr]) in columns.zip(rows) {
        let area = (xc * yr - xr * yc).abs();
        let (y, x) = (area / xc.hypot(xr), area / yc.hypot(yr));
        if y.is_finite() && x.is_finite() && y > 0.0 && x > 0.0 {
            down.push(y);
            across.push(x);
        }
    }
    let half = |mut of: Vec<f64>| {
        of.sort_by(f64::total_cmp);
        of.get(of.len() / 2).copied()
    };
    Some([half(down)?, half(across)?])
}
