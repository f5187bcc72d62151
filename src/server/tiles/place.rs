//! Where the pixels of a tile lie in the coordinates of a grid.

use crate::crs::{Projection, RADIUS};

/// Half the width of the world in EPSG:3857, in metres.
pub(super) const HALF: f64 = RADIUS * std::f64::consts::PI;
/// How far a position that is interpolated may be from the true one, in pixels.
const OFF_MAX: f64 = 0.125;
/// Pixels along the side of the blocks that are interpolated, at first.
const BLOCK: usize = 16;

/// A tile of WebMercatorQuad, in so many pixels a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Tile {
    pub(in crate::server) z: u32,
    pub(in crate::server) x: u32,
    pub(in crate::server) y: u32,
    pub(in crate::server) side: usize,
}

impl Tile {
    /// Metres a pixel.
    fn pixel(&self) -> f64 {
        2.0 * HALF / f64::from(self.z).exp2() / self.side as f64
    }

    /// The longitude at a place along x, in pixels from the left edge.
    pub(in crate::server) fn longitude(&self, at: f64) -> f64 {
        let tiles = f64::from(self.z).exp2();
        (f64::from(self.x) + at / self.side as f64) / tiles * 360.0 - 180.0
    }

    /// The latitude at a place along y, in pixels from the upper edge.
    pub(in crate::server) fn latitude(&self, at: f64) -> f64 {
        let tiles = f64::from(self.z).exp2();
        let part = 1.0 - 2.0 * (f64::from(self.y) + at / self.side as f64) / tiles;
        (part * std::f64::consts::PI).sinh().atan().to_degrees()
    }

    /// The coordinates of EPSG:3857 at a place in pixels.
    fn mercator(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let pixel = self.pixel();
        [
            -HALF + (f64::from(self.x) * self.side as f64 + x) * pixel,
            HALF - (f64::from(self.y) * self.side as f64 + y) * pixel,
        ]
    }

    /// Where a place of the tile lies in a grid; `None` where the grid's system has no such place.
    fn place(&self, projection: &Projection, at: [f64; 2]) -> Option<[f64; 2]> {
        match projection {
            Projection::Mercator => Some(self.mercator(at)),
            other => other.forward([self.longitude(at[0]), self.latitude(at[1])]),
        }
    }
}

/// The coordinates of the centres of all pixels, row by row.
#[derive(Clone, Debug)]
pub(in crate::server) enum Places {
    /// One x a column and one y a row.
    Lines { x: Vec<f64>, y: Vec<f64> },
    /// Each pixel its own; NaN where there is none.
    Each { x: Vec<f64>, y: Vec<f64> },
}

impl Places {
    pub(in crate::server) fn of(tile: Tile, projection: &Projection) -> Self {
        let centres = || (0..tile.side).map(|pixel| pixel as f64 + 0.5);
        if projection.is_separable() {
            let at = |at: [f64; 2]| tile.place(projection, at).unwrap_or([f64::NAN; 2]);
            return Self::Lines {
                x: centres().map(|x| at([x, 0.5])[0]).collect(),
                y: centres().map(|y| at([0.5, y])[1]).collect(),
            };
        }
        let cells = tile.side * tile.side;
        let (x, y) = (vec![f64::NAN; cells], vec![f64::NAN; cells]);
        let mut net = Net {
            tile,
            projection,
            x,
            y,
        };
        for top in (0..tile.side).step_by(BLOCK) {
            for left in (0..tile.side).step_by(BLOCK) {
                net.fill(left, top, BLOCK.min(tile.side - left).min(tile.side - top));
            }
        }
        Self::Each { x: net.x, y: net.y }
    }

    /// The coordinates of a pixel.
    pub(in crate::server) fn at(&self, side: usize, row: usize, col: usize) -> [f64; 2] {
        match self {
            Self::Lines { x, y } => [x[col], y[row]],
            Self::Each { x, y } => [x[row * side + col], y[row * side + col]],
        }
    }

    /// The least and the greatest x, and y, of the pixels that have any.
    pub(in crate::server) fn bounds(&self) -> Option<[(f64, f64); 2]> {
        let (Self::Lines { x, y } | Self::Each { x, y }) = self;
        let of = |along: &[f64]| {
            let finite = along.iter().filter(|at| at.is_finite());
            finite.fold(None, |bounds: Option<(f64, f64)>, at| {
                let (low, high) = bounds.unwrap_or((*at, *at));
                Some((low.min(*at), high.max(*at)))
            })
        };
        Some([of(x)?, of(y)?])
    }

    /// The size of a pixel along x and y of the grid, in the middle of those pixels of the tile
    /// that lie in a box (x, y).
    pub(in crate::server) fn pixel(
        &self,
        side: usize,
        within: [(f64, f64); 2],
    ) -> Option<[f64; 2]> {
        const PROBES: usize = 16;
        let mut sizes: Vec<[f64; 2]> = Vec::new();
        let step = (side / PROBES).max(1);
        for row in (step / 2..side - 1).step_by(step) {
            for col in (step / 2..side - 1).step_by(step) {
                let here = self.at(side, row, col);
                let inside = |(at, (low, high)): (f64, (f64, f64))| low <= at && at <= high;
                if !here.into_iter().zip(within).all(inside) {
                    continue;
                }
                let (right, below) = (self.at(side, row, col + 1), self.at(side, row + 1, col));
                let size = [0, 1]
                    .map(|axis: usize| (right[axis] - here[axis]).hypot(below[axis] - here[axis]));
                if size.iter().all(|size| size.is_finite() && *size > 0.0) {
                    sizes.push(size);
                }
            }
        }
        let middle = |axis: usize| {
            let mut of: Vec<f64> = sizes.iter().map(|size| size[axis]).collect();
            of.sort_by(f64::total_cmp);
            of.get(of.len() / 2).copied()
        };
        Some([middle(0)?, middle(1)?])
    }
}

/// Places that are being filled, in squares that are cut in four until the places within follow
/// from their corners.
struct Net<'a> {
    tile: Tile,
    projection: &'a Projection,
    x: Vec<f64>,
    y: Vec<f64>,
}

impl Net<'_> {
    fn place(&self, at: [f64; 2]) -> Option<[f64; 2]> {
        self.tile.place(self.projection, at)
    }

    fn set(&mut self, col: usize, row: usize, at: [f64; 2]) {
        let cell = row * self.tile.side + col;
        (self.x[cell], self.y[cell]) = (at[0], at[1]);
    }

    /// Fills the pixels of a square.
    fn fill(&mut self, left: usize, top: usize, size: usize) {
        let (x, y, len) = (left as f64, top as f64, size as f64);
        if size <= 2 {
            for (row, col) in
                (top..top + size).flat_map(|row| (left..left + size).map(move |col| (row, col)))
            {
                let at = self.place([col as f64 + 0.5, row as f64 + 0.5]);
                self.set(col, row, at.unwrap_or([f64::NAN; 2]));
            }
            return;
        }
        let at = |dx: f64, dy: f64| self.place([x + dx * len, y + dy * len]);
        let corners = [at(0.0, 0.0), at(1.0, 0.0), at(0.0, 1.0), at(1.0, 1.0)];
        let between = [(0.5, 0.5), (0.5, 0.0), (0.0, 0.5), (1.0, 0.5), (0.5, 1.0)];
        let probes = between.map(|(dx, dy)| (dx, dy, at(dx, dy)));
        if let [Some(a), Some(b), Some(c), Some(d)] = corners {
            let mixed = |dx: f64, dy: f64| {
                [0, 1].map(|axis: usize| {
                    (a[axis] * (1.0 - dx) + b[axis] * dx) * (1.0 - dy)
                        + (c[axis] * (1.0 - dx) + d[axis] * dx) * dy
                })
            };
            // A pixel in the coordinates of the grid, by the shorter side of the square.
            let side = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]) / len;
            let pixel = side(a, b).min(side(a, c)).min(side(b, d)).min(side(c, d));
            let near = |(dx, dy, at): &(f64, f64, Option<[f64; 2]>)| {
                let mixed = mixed(*dx, *dy);
                at.is_some_and(|at| (at[0] - mixed[0]).hypot(at[1] - mixed[1]) <= OFF_MAX * pixel)
            };
            if probes.iter().all(near) {
                for row in 0..size {
                    for col in 0..size {
                        let at = mixed((col as f64 + 0.5) / len, (row as f64 + 0.5) / len);
                        self.set(left + col, top + row, at);
                    }
                }
                return;
            }
        }
        let half = size / 2;
        for (left, top) in [
            (left, top),
            (left + half, top),
            (left, top + half),
            (left + half, top + half),
        ] {
            self.fill(left, top, half);
        }
    }
}

/// The zoom at which a pixel is at most so many metres of EPSG:3857.
pub(in crate::server) fn zoom_of(metres: f64) -> u32 {
    let pixels = 2.0 * HALF / metres.max(1e-6) / 256.0;
    (0..ZOOM_MAX)
        .find(|zoom| f64::from(*zoom).exp2() >= pixels)
        .unwrap_or(ZOOM_MAX)
}

/// The finest zoom.
pub(in crate::server) const ZOOM_MAX: u32 = 24;

/// Metres of EPSG:3857 a degree of longitude.
pub(in crate::server) const DEGREE: f64 = HALF / 180.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolated_places_are_within_an_eighth_of_a_pixel() {
        for (system, z, x, y) in [
            ("EPSG:32632", 8, 134, 88),
            ("EPSG:32632", 3, 4, 2),
            ("EPSG:3035", 5, 16, 10),
            ("EPSG:3413", 4, 5, 3),
        ] {
            let projection = Projection::of_system(system).expect("known");
            let tile = Tile { z, x, y, side: 256 };
            let places = Places::of(tile, &projection);
            let mut worst: f64 = 0.0;
            for row in (0..255).step_by(3) {
                for col in (0..255).step_by(3) {
                    let found = places.at(256, row, col);
                    let Some(there) = tile.place(&projection, [col as f64 + 0.5, row as f64 + 0.5])
                    else {
                        assert!(found[0].is_nan(), "{system}: {row} {col}");
                        continue;
                    };
                    let next = tile.place(&projection, [col as f64 + 1.5, row as f64 + 0.5]);
                    let pixel = next.map_or(f64::INFINITY, |next| {
                        (next[0] - there[0]).hypot(next[1] - there[1])
                    });
                    worst = worst.max((found[0] - there[0]).hypot(found[1] - there[1]) / pixel);
                }
            }
            assert!(worst <= 0.14, "{system}: off by {worst} pixels");
        }
    }

    #[test]
    fn the_first_tile_is_the_whole_world() {
        let tile = Tile {
            z: 0,
            x: 0,
            y: 0,
            side: 256,
        };
        assert_eq!(
            (tile.longitude(0.0), tile.longitude(256.0)),
            (-180.0, 180.0)
        );
        assert!((tile.latitude(0.0) - 85.051_128_779_806_6).abs() < 1e-9);
        assert!(tile.latitude(128.0).abs() < 1e-9);
        assert_eq!(tile.mercator([0.0, 0.0]), [-HALF, HALF]);
    }
}
