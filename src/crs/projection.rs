//! From longitude and latitude to the coordinates of a system, and back.

use std::f64::consts::PI;

use proj4rs::proj::Proj;

use super::{code, kept, parameters, same};

/// The radius of the sphere of EPSG:3857, in metres.
pub(crate) const RADIUS: f64 = 6_378_137.0;

/// What PROJ calls projections whose x is proportional to the longitude.
const CYLINDRICAL: [&str; 4] = ["merc", "eqc", "cea", "mill"];

/// How the coordinates of a system follow from longitude and latitude, in degrees of WGS 84.
#[derive(Clone, Debug)]
pub(crate) enum Projection {
    /// They are longitude and latitude.
    Geographic,
    /// They are those of EPSG:3857.
    Mercator,
    /// They are of another system.
    Other(Box<Other>),
}

#[derive(Clone, Debug)]
pub(crate) struct Other {
    plain: Proj,
    own: Proj,
}

impl Projection {
    /// Of a system, as a grid or a request names it. Refuses one that is not known here, with the
    /// reason.
    pub(crate) fn of_system(system: &str) -> Result<Self, String> {
        if same(system, "EPSG:4326") {
            return Ok(Self::Geographic);
        }
        if same(system, "EPSG:3857") {
            return Ok(Self::Mercator);
        }
        Self::of_proj(proj(&text_of(system)?)?)
    }

    /// Of what proj4rs made of a system.
    pub(super) fn of_proj(own: Proj) -> Result<Self, String> {
        if !(own.is_latlong() || own.has_forward() && own.has_inverse()) {
            return Err(format!(
                "its projection, {}, is known in one direction only",
                own.projname()
            ));
        }
        let plain = proj("+proj=longlat +datum=WGS84 +no_defs")?;
        Ok(Self::Other(Box::new(Other { plain, own })))
    }

    /// The grids by which the datum of a system of EPSG is shifted, if it is.
    pub(super) fn shifted_by_grid(number: u32) -> Option<String> {
        let known = u16::try_from(number)
            .ok()
            .and_then(crs_definitions::from_code)?;
        let words = || known.proj4.split_whitespace();
        if words().any(|word| word == "+datum=NAD27") {
            return Some("NADCON".to_owned());
        }
        let grids = words().find_map(|word| word.strip_prefix("+nadgrids="));
        grids.filter(|grids| *grids != "@null").map(str::to_owned)
    }

    /// How far x goes once round the globe, if all parallels are equally long: those of longitudes,
    /// and of cylindrical projections. Coordinates that lie so far from each other are one place.
    pub(crate) fn once_round(&self) -> Option<f64> {
        let other = match self {
            Self::Geographic => return Some(360.0),
            Self::Mercator => return Some(2.0 * PI * RADIUS),
            Self::Other(other) if other.own.is_latlong() => return Some(360.0),
            Self::Other(other) => other,
        };
        if !CYLINDRICAL.contains(&other.own.projname()) {
            return None;
        }
        // Of an unknown datum nothing is shifted. One of the two degrees may have the seam in it.
        let bare = proj("+proj=longlat +ellps=WGS84 +no_defs").ok()?;
        let x = |lon: f64| through(&bare, &other.own, [lon, 0.0]).map(|[x, _]| x);
        let degree = |lon: f64| Some((x(lon + 1.0)? - x(lon)?).abs());
        Some(360.0 * degree(0.0)?.min(degree(90.0)?))
    }

    /// The coordinates (x, y) of a longitude and a latitude; `None` where there are none.
    pub(crate) fn forward(&self, [lon, lat]: [f64; 2]) -> Option<[f64; 2]> {
        let point = match self {
            Self::Geographic => [lon, lat],
            Self::Mercator => [
                RADIUS * lon.to_radians(),
                RADIUS * lat.to_radians().tan().asinh(),
            ],
            Self::Other(other) => through(&other.plain, &other.own, [lon, lat])?,
        };
        finite(point)
    }

    /// The longitude and the latitude of coordinates (x, y).
    pub(crate) fn inverse(&self, [x, y]: [f64; 2]) -> Option<[f64; 2]> {
        let point = match self {
            Self::Geographic => [x, y],
            Self::Mercator => [
                (x / RADIUS).to_degrees(),
                (y / RADIUS).sinh().atan().to_degrees(),
            ],
            Self::Other(other) => through(&other.own, &other.plain, [x, y])?,
        };
        finite(point)
    }

    /// Whether x depends on the longitude alone and y on the latitude alone.
    #[cfg(feature = "server")]
    pub(crate) fn is_separable(&self) -> bool {
        !matches!(self, Self::Other(_))
    }

    /// Longitudes and latitudes, as west, south, east, north, of a box (x, y): those of points
    /// along its edges, as far as they have any.
    #[cfg(feature = "server")]
    pub(crate) fn bounds(&self, x: (f64, f64), y: (f64, f64)) -> Option<[f64; 4]> {
        const STEPS: u32 = 32;
        let mut bounds: Option<[f64; 4]> = None;
        for step in 0..=STEPS {
            let part = f64::from(step) / f64::from(STEPS);
            let (ax, ay) = (x.0 + (x.1 - x.0) * part, y.0 + (y.1 - y.0) * part);
            for point in [[ax, y.0], [ax, y.1], [x.0, ay], [x.1, ay]] {
                let Some([lon, lat]) = self.inverse(point) else {
                    continue;
                };
                let [w, s, e, n] = bounds.unwrap_or([lon, lat, lon, lat]);
                bounds = Some([w.min(lon), s.min(lat), e.max(lon), n.max(lat)]);
            }
        }
        bounds
    }
}

/// The parameters of a system in the words of PROJ.
fn text_of(system: &str) -> Result<String, String> {
    let kept = kept(system);
    match code(&kept) {
        Some(("EPSG", number)) => {
            let known = u16::try_from(number)
                .ok()
                .and_then(crs_definitions::from_code);
            let known = known.map(|definition| definition.proj4.to_owned());
            known.ok_or_else(|| format!("EPSG:{number} is not among its systems"))
        }
        Some(_) => Err("it has no code of EPSG".to_owned()),
        None => parameters::text(&kept),
    }
}

pub(super) fn proj(text: &str) -> Result<Proj, String> {
    Proj::from_proj_string(text).map_err(|cause| format!("`{text}`: {cause}"))
}

fn through(from: &Proj, to: &Proj, [x, y]: [f64; 2]) -> Option<[f64; 2]> {
    let radians = |value: f64, of: &Proj| {
        if of.is_latlong() {
            value.to_radians()
        } else {
            value
        }
    };
    let mut point = (radians(x, from), radians(y, from), 0.0);
    proj4rs::transform::transform(from, to, &mut point).ok()?;
    if to.is_latlong() {
        Some([point.0.to_degrees(), point.1.to_degrees()])
    } else {
        Some([point.0, point.1])
    }
}

fn finite(point: [f64; 2]) -> Option<[f64; 2]> {
    point.iter().all(|at| at.is_finite()).then_some(point)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places by the formulas of the projections, computed elsewhere: longitude, latitude; x, y.
    const PLACES: [(&str, [f64; 2], [f64; 2]); 4] = [
        (
            "EPSG:3857",
            [9.0, 48.0],
            [1_001_875.417_138_86, 6_106_854.834_885_075],
        ),
        (
            "EPSG:32632",
            [9.0, 48.0],
            [500_000.0, 5_316_300.224_402_352],
        ),
        ("EPSG:4326", [9.0, 48.0], [9.0, 48.0]),
        ("EPSG:3035", [10.0, 52.0], [4_321_000.0, 3_210_000.0]),
    ];

    #[test]
    fn places_are_those_of_proj_and_come_back() {
        for (system, place, there) in PLACES {
            let projection = Projection::of_system(system).expect("known");
            let found = projection.forward(place).expect("a place");
            let off = (found[0] - there[0]).hypot(found[1] - there[1]);
            assert!(off < 1e-3, "{system}: {found:?}, off by {off}");
            let back = projection.inverse(found).expect("a place");
            let off = (back[0] - place[0]).hypot(back[1] - place[1]);
            assert!(off < 1e-9, "{system}: {back:?}");
        }
    }

    #[test]
    fn once_round_is_the_length_of_a_parallel_where_all_have_one() {
        let round = |system: &str| Projection::of_system(system).expect("known").once_round();
        let equator = 2.0 * PI * RADIUS;
        assert_eq!(
            (round("EPSG:4326"), round("EPSG:4258")),
            (Some(360.0), Some(360.0))
        );
        for (system, length) in [
            ("EPSG:3857", equator),
            ("EPSG:3395", equator),
            ("EPSG:3832", equator),
            ("EPSG:6933", equator * 0.867_2),
        ] {
            let found = round(system).expect("a cylinder");
            assert!((found / length - 1.0).abs() < 1e-3, "{system}: {found}");
        }
        assert_eq!((round("EPSG:32601"), round("EPSG:3413")), (None, None));
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        let why = |system: &str| Projection::of_system(system).expect_err("not known");
        assert_eq!(why("EPSG:999999"), "EPSG:999999 is not among its systems");
        assert_eq!(why("ESRI:54009"), "it has no code of EPSG");
    }
}
