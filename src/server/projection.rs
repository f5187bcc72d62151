//! From longitude and latitude to the coordinates of a grid, and back.

use proj4rs::proj::Proj;

use super::reply::Problem;
use crate::{Grid, crs};

/// The radius of the sphere of EPSG:3857, in metres.
pub(super) const RADIUS: f64 = 6_378_137.0;

/// How the coordinates of a grid follow from longitude and latitude, in degrees of WGS 84.
#[derive(Clone, Debug)]
pub(super) enum Projection {
    /// They are longitude and latitude.
    Geographic,
    /// They are those of EPSG:3857.
    Mercator,
    /// They are of another system.
    Other(Box<Other>),
}

#[derive(Clone, Debug)]
pub(super) struct Other {
    plain: Proj,
    of_grid: Proj,
}

impl Projection {
    /// Of a grid. Refuses systems that are not known here, by their names.
    pub(super) fn of(grid: &Grid) -> Result<Self, Problem> {
        let Some(system) = grid.structure().crs() else {
            return Err(Problem::new(
                axum::http::StatusCode::BAD_REQUEST,
                format!(
                    "grid `{}` has no coordinate reference system, so it is not known where on a map it lies; create it with one",
                    grid.name()
                ),
            ));
        };
        Self::of_system(system).map_err(|why| {
            Problem::new(
                axum::http::StatusCode::BAD_REQUEST,
                format!(
                    "grid `{}` is in {}, which cannot be laid onto a map here: {why}",
                    grid.name(),
                    crs::shown(system)
                ),
            )
        })
    }

    /// Of a system, as a grid or a request names it.
    pub(super) fn of_system(system: &str) -> Result<Self, String> {
        if crs::same(system, "EPSG:4326") {
            return Ok(Self::Geographic);
        }
        if crs::same(system, "EPSG:3857") {
            return Ok(Self::Mercator);
        }
        let Some(("EPSG", code)) = crs::code(&crs::kept(system)) else {
            return Err("it has no code of EPSG".to_owned());
        };
        let known = u16::try_from(code)
            .ok()
            .and_then(crs_definitions::from_code);
        let definition = known.ok_or_else(|| format!("EPSG:{code} is not among its systems"))?;
        let proj =
            |text: &str| Proj::from_proj_string(text).map_err(|cause| format!("`{text}`: {cause}"));
        let of_grid = proj(definition.proj4)?;
        if !(of_grid.is_latlong() || of_grid.has_forward() && of_grid.has_inverse()) {
            return Err(format!(
                "its projection, {}, is known in one direction only",
                of_grid.projname()
            ));
        }
        let plain = proj("+proj=longlat +datum=WGS84 +no_defs")?;
        Ok(Self::Other(Box::new(Other { plain, of_grid })))
    }

    /// The coordinates (x, y) of a longitude and a latitude; `None` where there are none.
    pub(super) fn forward(&self, [lon, lat]: [f64; 2]) -> Option<[f64; 2]> {
        let point = match self {
            Self::Geographic => [lon, lat],
            Self::Mercator => [
                RADIUS * lon.to_radians(),
                RADIUS * lat.to_radians().tan().asinh(),
            ],
            Self::Other(other) => through(&other.plain, &other.of_grid, [lon, lat])?,
        };
        finite(point)
    }

    /// The longitude and the latitude of coordinates (x, y).
    pub(super) fn inverse(&self, [x, y]: [f64; 2]) -> Option<[f64; 2]> {
        let point = match self {
            Self::Geographic => [x, y],
            Self::Mercator => [
                (x / RADIUS).to_degrees(),
                (y / RADIUS).sinh().atan().to_degrees(),
            ],
            Self::Other(other) => through(&other.of_grid, &other.plain, [x, y])?,
        };
        finite(point)
    }

    /// Whether x depends on the longitude alone and y on the latitude alone.
    pub(super) fn is_separable(&self) -> bool {
        !matches!(self, Self::Other(_))
    }

    /// Longitudes and latitudes, as west, south, east, north, of a box (x, y): those of points
    /// along its edges, as far as they have any.
    pub(super) fn bounds(&self, x: (f64, f64), y: (f64, f64)) -> Option<[f64; 4]> {
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
    fn what_is_not_known_is_refused_by_name() {
        let why = |system: &str| Projection::of_system(system).expect_err("not known");
        assert_eq!(why("EPSG:999999"), "EPSG:999999 is not among its systems");
        assert_eq!(why("ESRI:54009"), "it has no code of EPSG");
    }
}
