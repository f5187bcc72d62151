//! Cells around a point.

use ndarray::Array2;

use super::super::projection;
use super::super::reply::Problem;
use super::super::slice::{Plane, centres};
use crate::Grid;
use crate::crs::Projection;
use crate::grid::longitude::{turned, turns};
use crate::grid::{Structure, Window};

/// The mean radius of the earth, in metres: distances are those on a sphere.
const RADIUS: f64 = 6_371_008.8;

/// The points on the edge of a circle that say in which box it lies, and by how much it is beyond
/// them at most.
const POINTS: u32 = 128;
const BEYOND: f64 = 0.01;

/// All that is within some metres of a point.
pub(super) struct Circle {
    projection: Projection,
    /// Longitude and latitude.
    centre: [f64; 2],
    /// The distance as an angle at the middle of the earth.
    angle: f64,
}

impl Circle {
    /// Around a point in the coordinates of a grid, the system of which must be known.
    pub(super) fn new(grid: &Grid, at: [f64; 2], metres: f64) -> Result<Self, Problem> {
        let projection = projection::of(grid)?;
        let centre = projection.inverse(at).ok_or_else(|| {
            Problem::parameter(
                "coords",
                format!("{} {} has no place on the earth", at[0], at[1]),
            )
        })?;
        Ok(Self {
            projection,
            centre,
            angle: (metres / RADIUS).min(std::f64::consts::PI),
        })
    }

    /// A box (x, y) in the coordinates of a grid that holds all of it that data which reach over
    /// `of` have.
    pub(super) fn bounds(
        &self,
        structure: &Structure,
        plane: Plane<'_>,
        of: [(f64, f64); 2],
    ) -> [(f64, f64); 2] {
        let [lon, lat] = self.centre;
        let wider = self.angle * (1.0 + BEYOND);
        let (south, north) = (lat - wider.to_degrees(), lat + wider.to_degrees());
        let over_pole = south <= -90.0 || north >= 90.0;
        let round = structure.longitude() == Some(plane.x);
        if round {
            let half = (wider.sin() / lat.to_radians().cos()).asin().to_degrees();
            let (west, east) = (lon - half, lon + half);
            let x = match turns((west, east), of[0])[..] {
                [turn] if !over_pole => (west + turn, east + turn),
                // It goes over the seam, or around; or nowhere near.
                [] if !over_pole => (turned(west, of[0].0), turned(west, of[0].0)),
                _ => of[0],
            };
            return [x, (south, north)];
        }
        // Around a pole it has all longitudes, and its edge lies on one side only.
        if over_pole && self.projection.is_separable() {
            return of;
        }
        let edge = (0..POINTS).map(|number| {
            let bearing = f64::from(number) / f64::from(POINTS) * std::f64::consts::TAU;
            self.projection.forward(self.towards(bearing))
        });
        let points: Option<Vec<[f64; 2]>> = edge.collect();
        let Some(points) = points else {
            return of;
        };
        [0, 1].map(|axis: usize| {
            let ends = (f64::INFINITY, f64::NEG_INFINITY);
            let (low, high) = points.iter().fold(ends, |(low, high), point| {
                (low.min(point[axis]), high.max(point[axis]))
            });
            let more = (high - low) * BEYOND;
            (low - more, high + more)
        })
    }

    /// The point on its edge in a direction, clockwise from north.
    fn towards(&self, bearing: f64) -> [f64; 2] {
        let [lon, lat] = self.centre.map(f64::to_radians);
        let (sin, cos) = self.angle.sin_cos();
        let to = (lat.sin() * cos + lat.cos() * sin * bearing.cos()).clamp(-1.0, 1.0);
        let by = (bearing.sin() * sin * lat.cos()).atan2(cos - lat.sin() * to);
        [
            turned((lon + by).to_degrees(), -180.0),
            to.asin().to_degrees(),
        ]
    }

    /// Whether a longitude and a latitude lie in it, or on its edge.
    fn holds(&self, [lon, lat]: [f64; 2]) -> bool {
        let half = |degrees: f64| (degrees.to_radians() / 2.0).sin().powi(2);
        let [own_lon, own_lat] = self.centre;
        let along = own_lat.to_radians().cos() * lat.to_radians().cos() * half(lon - own_lon);
        let square = half(lat - own_lat) + along;
        2.0 * square.sqrt().min(1.0).asin() <= self.angle
    }

    /// Which cells (y, x) of a window have their centres in it.
    pub(super) fn cells(
        &self,
        structure: &Structure,
        plane: Plane<'_>,
        window: &Window,
    ) -> Array2<bool> {
        let of = |axis: usize| -> Vec<f64> { centres(structure, window, axis).collect() };
        let (x, y) = (of(plane.x), of(plane.y));
        Array2::from_shape_fn((y.len(), x.len()), |(row, col)| {
            let at = self.projection.inverse([x[col], y[row]]);
            at.is_some_and(|at| self.holds(at))
        })
    }
}
