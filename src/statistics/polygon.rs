//! Polygons in the world.

use crate::error::{Error, Result};
use crate::grid::longitude::{turned, turns, unrolled};

/// A ring of points, closed or not: the last point joins the first in any case.
pub type Ring = Vec<[f64; 2]>;

/// A region in the plane of two axes of one dimension: one or more parts, each of one or more
/// rings.
///
/// A point lies in a part if it is inside an odd number of its rings (even-odd), so the second ring
/// of a part is a hole in the first; it lies in the polygon if it lies in any part. Edges are
/// straight in the coordinates of the grid. A point that is exactly on an edge lies on the side of
/// the higher coordinates, so that of two polygons that share the edge, given by the same two
/// points, exactly one holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Polygon {
    pub(super) axes: [String; 2],
    pub(super) parts: Vec<Vec<Ring>>,
}

impl Polygon {
    /// The most points a polygon may have.
    pub const POINTS_MAX: usize = 1 << 22;

    /// A polygon of parts, each a list of rings. The two numbers of a point are coordinates along
    /// `axes`, in this order: `["x", "y"]` for GeoJSON.
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) names the ring that has fewer than three different
    /// points or one that is not finite; and there must be a part, a ring in each, and at most
    /// [`POINTS_MAX`](Self::POINTS_MAX) points.
    pub fn new<A: Into<String>>(
        axes: [A; 2],
        parts: impl IntoIterator<Item = Vec<Ring>>,
    ) -> Result<Self> {
        let mut points = 0;
        let mut kept = Vec::new();
        for (p, rings) in parts.into_iter().enumerate() {
            if rings.is_empty() {
                return Err(Error::invalid(format!(
                    "part {} of the polygon has no ring",
                    p + 1
                )));
            }
            let check = |(r, ring): (usize, Ring)| {
                check_ring(
                    ring,
                    &format!("ring {} of part {} of the polygon", r + 1, p + 1),
                )
            };
            let rings = rings
                .into_iter()
                .enumerate()
                .map(check)
                .collect::<Result<Vec<_>>>()?;
            points += rings.iter().map(Vec::len).sum::<usize>();
            kept.push(rings);
        }
        if kept.is_empty() {
            return Err(Error::invalid("the polygon has no part"));
        }
        if points > Self::POINTS_MAX {
            return Err(Error::invalid(format!(
                "the polygon has {points} points, more than {}",
                Self::POINTS_MAX
            )));
        }
        Ok(Self {
            axes: axes.map(Into::into),
            parts: kept,
        })
    }

    /// The same on a globe, for a grid whose data reaches from `west` to `east` along `axis`, which
    /// counts longitudes in degrees: an edge between two longitudes goes the short way round, over
    /// the antimeridian if need be, unless it is a whole circle long; and each part is there once
    /// for each turn by whole circles that brings some of it to the data. The second is the first
    /// edge that goes over the seam of the longitudes as they were written, if one does.
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) names the ring that goes around a pole;
    /// [`NotFound`](crate::ErrorKind::NotFound) if the polygon has no such axis.
    pub fn around(
        mut self,
        axis: &str,
        (west, east): (f64, f64),
    ) -> Result<(Self, Option<(f64, f64)>)> {
        let number = self.axes.iter().position(|name| name == axis);
        let number =
            number.ok_or_else(|| Error::not_found(format!("the polygon has no axis `{axis}`")))?;
        let (mut parts, mut seam) = (Vec::new(), None);
        for (p, mut rings) in std::mem::take(&mut self.parts).into_iter().enumerate() {
            let mut outer: Option<(f64, f64)> = None;
            for (r, ring) in rings.iter_mut().enumerate() {
                let mut along: Vec<f64> = ring.iter().map(|point| point[number]).collect();
                let what = || format!("ring {} of part {} of the polygon", r + 1, p + 1);
                let over = unrolled(&mut along)
                    .map_err(|cause| Error::invalid(format!("{}: {cause}", what())))?;
                seam = seam.or(over);
                // The others lie around, or in, the first.
                let shift = outer.map_or(0.0, |(first, _)| turned(along[0], first) - along[0]);
                ring.iter_mut()
                    .zip(&along)
                    .for_each(|(point, at)| point[number] = at + shift);
                outer = outer.or(Some(
                    along
                        .iter()
                        .fold((f64::INFINITY, f64::NEG_INFINITY), |b, at| {
                            (b.0.min(*at), b.1.max(*at))
                        }),
                ));
            }
            let meeting = outer.map_or(Vec::new(), |outer| turns(outer, (west, east)));
            for turn in if meeting.is_empty() {
                vec![0.0]
            } else {
                meeting
            } {
                let mut part = rings.clone();
                part.iter_mut()
                    .flatten()
                    .for_each(|point| point[number] += turn);
                parts.push(part);
            }
        }
        self.parts = parts;
        Ok((self, seam))
    }

    /// A box as a polygon: what lies from the first to before the second bound along each axis.
    pub fn rectangle<A: Into<String>>(
        axes: [A; 2],
        [(a, b), (c, d)]: [(f64, f64); 2],
    ) -> Result<Self> {
        Self::new(axes, [vec![vec![[a, c], [b, c], [b, d], [a, d]]]])
    }

    /// The lower and upper bound of its points along each of its axes.
    pub fn bounds(&self) -> [(f64, f64); 2] {
        let mut bounds = [(f64::INFINITY, f64::NEG_INFINITY); 2];
        for point in self.parts.iter().flatten().flatten() {
            bounds
                .iter_mut()
                .zip(point)
                .for_each(|(b, &at)| *b = (b.0.min(at), b.1.max(at)));
        }
        bounds
    }
}

/// A ring without the repetition of its first point at its end.
fn check_ring(mut ring: Ring, what: &str) -> Result<Ring> {
    if let Some(at) = ring
        .iter()
        .position(|point| !point.iter().all(|number| number.is_finite()))
    {
        return Err(Error::invalid(format!(
            "{what}: point {} is not finite",
            at + 1
        )));
    }
    while ring.len() > 1 && ring.first() == ring.last() {
        ring.pop();
    }
    let mut different = ring.clone();
    different.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    different.dedup();
    if different.len() < 3 {
        return Err(Error::invalid(format!(
            "{what} has {} different points; it takes three",
            different.len()
        )));
    }
    Ok(ring)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(parts: Vec<Vec<Ring>>) -> String {
        Polygon::new(["x", "y"], parts)
            .expect_err("it is no polygon")
            .to_string()
    }

    #[test]
    fn a_ring_may_be_closed_or_not() {
        let open = vec![[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]];
        let closed = [open.clone(), vec![open[0]]].concat();
        let of = |ring| Polygon::new(["x", "y"], [vec![ring]]).expect("a polygon");
        assert_eq!(of(open.clone()), of(closed));
        assert_eq!(of(open).bounds(), [(0.0, 1.0), (0.0, 1.0)]);
    }

    #[test]
    fn a_polygon_around_the_globe_is_where_the_data_is() {
        let fiji = Polygon::new(
            ["x", "y"],
            [vec![vec![
                [177.0, -20.0],
                [-178.0, -20.0],
                [-178.0, -15.0],
                [177.0, -15.0],
            ]]],
        );
        let (both, seam) = fiji
            .expect("a polygon")
            .around("x", (-180.0, 180.0))
            .expect("it closes");
        assert_eq!((both.parts.len(), seam), (2, Some((177.0, -178.0))));
        assert_eq!(both.bounds(), [(-183.0, 182.0), (-20.0, -15.0)]);
        let uk = Polygon::rectangle(["x", "y"], [(-10.0, 2.0), (49.0, 60.0)]).expect("a box");
        let (uk, seam) = uk.around("x", (0.0, 360.0)).expect("it closes");
        assert_eq!((uk.bounds()[0], seam), ((-10.0, 362.0), None));
        let far = Polygon::rectangle(["x", "y"], [(10.0, 20.0), (0.0, 1.0)]).expect("a box");
        assert_eq!(
            far.clone().around("x", (30.0, 40.0)).expect("it closes").0,
            far,
            "it lies beside all data"
        );
        let hole = vec![[-179.0, 0.5], [-178.5, 0.5], [-178.5, 0.6]];
        let ring = vec![[175.0, 0.0], [-175.0, 0.0], [-175.0, 1.0], [175.0, 1.0]];
        let (holed, _) = Polygon::new(["x", "y"], [vec![ring, hole]])
            .expect("rings")
            .around("x", (170.0, 190.0))
            .expect("they close");
        assert_eq!((holed.parts.len(), holed.parts[0][1][0]), (1, [181.0, 0.5]));
        let pole = Polygon::new(
            ["x", "y"],
            [vec![vec![[0.0, 60.0], [120.0, 60.0], [-120.0, 60.0]]]],
        )
        .expect("a ring");
        assert!(
            pole.around("x", (-180.0, 180.0))
                .expect_err("a pole")
                .to_string()
                .contains("ring 1 of part 1")
        );
    }

    #[test]
    fn what_is_no_polygon_is_refused_with_the_ring_at_fault() {
        let ring = vec![[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]];
        assert_eq!(refused(vec![]), "the polygon has no part");
        assert_eq!(
            refused(vec![vec![ring.clone()], vec![]]),
            "part 2 of the polygon has no ring"
        );
        let line = vec![[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]];
        assert_eq!(
            refused(vec![vec![ring.clone(), line]]),
            "ring 2 of part 1 of the polygon has 2 different points; it takes three"
        );
        let nan = vec![[0.0, 0.0], [1.0, f64::NAN], [0.0, 1.0]];
        assert_eq!(
            refused(vec![vec![nan]]),
            "ring 1 of part 1 of the polygon: point 2 is not finite"
        );
        let many = vec![[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]].repeat(Polygon::POINTS_MAX / 3 + 1)];
        assert!(refused(vec![many]).contains("points, more than 4194304"));
    }
}
