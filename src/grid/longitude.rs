//! Longitudes: degrees that come round after 360, so that 289.5 and -70.5 are one place.
//!
//! Grids and files count them from 0 to 360, from -180 to 180, or on beyond. What is asked for, or
//! comes in, is turned by whole circles to where the cells are. An edge between two longitudes goes
//! the short way round.

use super::structure::Structure;
use crate::crs;
use crate::error::{Error, Result};

/// Degrees once round.
const CIRCLE: f64 = 360.0;
/// More turns than this lie between no two longitudes that anybody means.
const TURNS_MAX: f64 = 1024.0;

/// A longitude turned by whole circles so that it lies from `west` on to before `west + 360`.
pub fn turned(longitude: f64, west: f64) -> f64 {
    longitude - ((longitude - west) / CIRCLE).floor() * CIRCLE
}

/// Each turn, a multiple of 360, that brings some of what reaches from `from` to `to` between
/// `west` and `east`; rising.
pub fn turns((from, to): (f64, f64), (west, east): (f64, f64)) -> Vec<f64> {
    let (first, last) = (
        ((west - to) / CIRCLE).floor() + 1.0,
        ((east - from) / CIRCLE).ceil() - 1.0,
    );
    if !(first.abs() <= TURNS_MAX && last.abs() <= TURNS_MAX) {
        return Vec::new();
    }
    std::iter::successors(Some(first), |turn| Some(turn + 1.0))
        .take_while(|turn| *turn <= last)
        .map(|turn| turn * CIRCLE)
        .collect()
}

/// The first longitude of a box and its last, which is not below it: where `east` is below `west`,
/// the box goes over the seam.
pub fn rising(west: f64, east: f64) -> (f64, f64) {
    (
        west,
        if east < west {
            turned(east, west)
        } else {
            east
        },
    )
}

/// Turns the longitudes of a ring one after the other so that none is farther than half a circle
/// from the one before: an edge goes the short way round, but for one of a whole circle, which goes
/// all the way. Gives the first edge that goes over the seam of the longitudes as they were
/// written.
///
/// [`Invalid`](crate::ErrorKind::Invalid) if the ring then does not close, as around a pole.
pub fn unrolled(ring: &mut [f64]) -> Result<Option<(f64, f64)>> {
    let Some(&first) = ring.first() else {
        return Ok(None);
    };
    let (mut turn, mut before, mut seam) = (0.0, first, None);
    let mut step = |to: f64| {
        let apart: f64 = to - before;
        if apart.abs() > CIRCLE / 2.0 && apart.abs() < CIRCLE {
            seam = seam.or(Some((before, to)));
            turn -= CIRCLE.copysign(apart);
        }
        before = to;
        turn
    };
    for longitude in ring.iter_mut().skip(1) {
        *longitude += step(*longitude);
    }
    if step(first) != 0.0 {
        return Err(Error::invalid(
            "it goes once around the world, as around a pole, and holds no plain area; split it at 180 degrees, and let its parts run along the pole",
        ));
    }
    Ok(seam)
}

impl Structure {
    /// The axis whose coordinates are longitudes in degrees, if one is known to be: its unit is
    /// `degrees_east` (CF), or it is the second axis of a plane whose coordinate reference system
    /// is of longitudes and latitudes.
    pub fn longitude(&self) -> Option<usize> {
        let by_unit = self
            .axes()
            .position(|axis| axis.unit_name().is_some_and(is_degrees_east));
        by_unit.or_else(|| {
            let mut planes =
                (0..self.dimensions().len()).filter(|d| self.dimensions()[*d].axes().len() == 2);
            let (plane, None) = (planes.next()?, planes.next()) else {
                return None;
            };
            self.crs()
                .filter(|system| crs::is_geographic(system) == Some(true))
                .map(|_| self.axes_of(plane).start + 1)
        })
    }
}

/// Whether a unit is one of those in which CF writes longitudes.
pub fn is_degrees_east(unit: &str) -> bool {
    [
        "degrees_east",
        "degree_east",
        "degrees_E",
        "degree_E",
        "degreesE",
        "degreeE",
    ]
    .contains(&unit)
}

#[cfg(test)]
mod tests {
    use super::super::{Axis, Dimension};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_place_has_one_longitude_from_any_west_on() {
        assert_eq!(
            [
                turned(289.5, -180.0),
                turned(-70.5, 0.0),
                turned(180.0, -180.0)
            ],
            [-70.5, 289.5, -180.0]
        );
        assert_eq!([turned(10.25, 0.0), turned(-540.0, 0.0)], [10.25, 180.0]);
    }

    #[test]
    fn a_box_meets_data_after_each_turn_that_overlaps_it() {
        assert_eq!(turns((-10.0, 2.0), (0.0, 360.0)), [0.0, 360.0]);
        assert_eq!(turns((177.0, 182.0), (-180.0, 180.0)), [-360.0, 0.0]);
        assert_eq!(turns((-80.0, -70.0), (0.0, 360.0)), [360.0]);
        assert_eq!(
            turns((0.0, 360.0), (0.0, 360.0)),
            [0.0],
            "edges that touch do not overlap"
        );
        assert_eq!(turns((10.0, 20.0), (30.0, 40.0)), [0.0; 0]);
        assert_eq!(
            turns((0.0, 1.0), (f64::NEG_INFINITY, f64::INFINITY)),
            [0.0; 0]
        );
        assert_eq!(
            [
                rising(177.0, -178.0),
                rising(-10.0, 10.0),
                rising(350.0, 10.0)
            ],
            [(177.0, 182.0), (-10.0, 10.0), (350.0, 370.0)]
        );
    }

    #[test]
    fn edges_go_the_short_way_round() {
        let of = |ring: &[f64]| {
            let mut ring = ring.to_vec();
            unrolled(&mut ring).map(|seam| (ring, seam))
        };
        let (ring, seam) = of(&[177.0, -178.0, -178.0, 177.0]).expect("it closes");
        assert_eq!(
            (ring, seam),
            (vec![177.0, 182.0, 182.0, 177.0], Some((177.0, -178.0)))
        );
        let (ring, seam) = of(&[-178.0, 177.0, 177.0, -178.0]).expect("it closes");
        assert_eq!(
            (ring, seam),
            (vec![-178.0, -183.0, -183.0, -178.0], Some((-178.0, 177.0)))
        );
        let world = [-180.0, 180.0, 180.0, -180.0];
        assert_eq!(
            of(&world).expect("it closes"),
            (world.to_vec(), None),
            "all the way round"
        );
        let plain = [-10.0, 2.0, 2.0, -10.0];
        assert_eq!(of(&plain).expect("it closes"), (plain.to_vec(), None));
        let error = of(&[0.0, 120.0, -120.0]).expect_err("around the pole");
        assert!(error.to_string().contains("around a pole"), "{error}");
    }

    #[test]
    fn longitudes_are_known_by_unit_or_system() {
        let structure = |unit: Option<&str>, crs: Option<&str>| {
            let x = unit
                .into_iter()
                .fold(Axis::new("x", 0.0, 1.0, 4), |axis, unit| axis.unit(unit));
            let space = Dimension::regular("space", [Axis::new("y", 0.0, -1.0, 4), x]);
            let builder = Structure::builder()
                .dimension(Dimension::fixed("band", ["a"]))
                .dimension(space);
            crs.into_iter()
                .fold(builder, |builder, crs| builder.crs(crs))
                .build()
                .expect("valid")
                .longitude()
        };
        for (unit, crs) in [
            (Some("degrees_east"), None),
            (Some("degreeE"), None),
            (None, Some("EPSG:4326")),
            (None, Some("EPSG:7844")),
        ] {
            assert_eq!(structure(unit, crs), Some(2), "{unit:?} {crs:?}");
        }
        let wkt = "GEOGCS[\"mine\",DATUM[\"WGS_1984\",SPHEROID[\"WGS 84\",6378137,298.257223563]],PRIMEM[\"Greenwich\",0],UNIT[\"degree\",0.0174532925199433]]";
        assert_eq!(structure(None, Some(wkt)), Some(2));
        for (unit, crs) in [
            (None, None),
            (Some("degrees"), None),
            (Some("m"), Some("EPSG:32632")),
            (None, Some("EPSG:4807")),
        ] {
            assert_eq!(structure(unit, crs), None, "{unit:?} {crs:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_turned_is_the_same_place(longitude in -1000.0..1000.0_f64, west in -400.0..400.0_f64) {
            let turned = turned(longitude, west);
            prop_assert!(turned >= west - 1e-9 && turned <= west + CIRCLE + 1e-9);
            let turns = (turned - longitude) / CIRCLE;
            prop_assert!((turns - turns.round()).abs() < 1e-9, "{turns} turns");
        }

        #[test]
        fn no_turn_is_left_out(from in -500.0..500.0_f64, len in 0.1..400.0_f64, west in -500.0..500.0_f64, width in 0.1..400.0_f64) {
            let found = turns((from, from + len), (west, west + width));
            let all = (-9..9).map(|turn| f64::from(turn) * CIRCLE);
            let overlapping: Vec<f64> = all.filter(|turn| from + turn < west + width && from + len + turn > west).collect();
            prop_assert_eq!(found, overlapping);
        }
    }
}
