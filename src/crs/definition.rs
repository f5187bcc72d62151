//! A system by its parameters.

use std::collections::BTreeMap;

use super::methods::{self, Method, Parameter};
use super::{geographic, plain, projected, says_nothing};

/// Longitude and latitude, or what they are projected to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Definition {
    /// What it is called; it takes no part in comparisons.
    pub(crate) name: String,
    pub(crate) geodetic: Geodetic,
    /// `None` where the coordinates are longitude and latitude.
    pub(crate) projection: Option<MapProjection>,
}

/// What longitudes and latitudes refer to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Geodetic {
    /// What it is called; it takes no part in comparisons.
    pub(crate) name: String,
    /// The datum, in any spelling; a name like `unknown` if there is none.
    pub(crate) datum: String,
    /// The name of the ellipsoid; it takes no part in comparisons.
    pub(crate) ellipsoid: String,
    /// In metres.
    pub(crate) semi_major: f64,
    /// 0 for a sphere.
    pub(crate) inverse_flattening: f64,
    /// The name of the prime meridian; it takes no part in comparisons.
    pub(crate) meridian: String,
    /// The longitude of the prime meridian in degrees from Greenwich.
    pub(crate) greenwich: f64,
    /// One unit of longitude and latitude in radians.
    pub(crate) unit: f64,
    /// The seven parameters of a shift to WGS 84.
    pub(crate) to_wgs84: Option<[f64; 7]>,
}

/// How longitude and latitude become plane coordinates.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MapProjection {
    pub(crate) method: &'static Method,
    /// Angles in degrees, lengths in metres.
    pub(crate) values: BTreeMap<Parameter, f64>,
    /// One unit of the coordinates in metres.
    pub(crate) unit: f64,
}

/// One degree in radians.
pub(crate) const DEGREE: f64 = std::f64::consts::PI / 180.0;

impl Geodetic {
    /// An ellipsoid without a datum. The inverse flattening of a sphere is 0.
    pub(crate) fn unknown(ellipsoid: &str, semi_major: f64, inverse_flattening: f64) -> Self {
        Self {
            name: "unknown".to_owned(),
            datum: "unknown".to_owned(),
            ellipsoid: ellipsoid.to_owned(),
            semi_major,
            inverse_flattening,
            meridian: "Greenwich".to_owned(),
            greenwich: 0.0,
            unit: DEGREE,
            to_wgs84: None,
        }
    }

    /// Whether angles are in degrees.
    pub(crate) fn is_in_degrees(&self) -> bool {
        near(self.unit, DEGREE, 1e-9)
    }

    fn is_sphere(&self) -> bool {
        self.inverse_flattening == 0.0
    }

    /// Whether it has the ellipsoid and the prime meridian of another.
    fn has_shape_of(&self, other: &Self) -> bool {
        near(self.semi_major, other.semi_major, 1e-10)
            && (self.inverse_flattening - other.inverse_flattening).abs() < 1e-7
            && turned(self.greenwich, other.greenwich)
    }

    /// Whether longitudes and latitudes are those of another.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let shift = self
            .to_wgs84
            .zip(other.to_wgs84)
            .is_none_or(|(a, b)| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6));
        let (a, b) = (datum(&self.datum), datum(&other.datum));
        // A sphere has no datum but itself, and WGS 84 is alone on its ellipsoid.
        let wgs84 =
            |datum: &Option<String>| datum.as_deref().is_none_or(|datum| datum == "wgs1984");
        self.has_shape_of(other)
            && shift
            && (a == b || self.is_sphere() || self.is_wgs84_ellipsoid() && wgs84(&a) && wgs84(&b))
    }

    fn is_wgs84_ellipsoid(&self) -> bool {
        near(self.semi_major, 6_378_137.0, 1e-10)
            && (self.inverse_flattening - 298.257_223_563).abs() < 1e-7
    }

    fn wkt(&self) -> String {
        let shift = self.to_wgs84.map_or(String::new(), |shift| {
            format!(
                ",TOWGS84[{}]",
                shift
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(",")
            )
        });
        format!(
            "GEOGCS[\"{}\",DATUM[\"{}\",SPHEROID[\"{}\",{},{}]{shift}],PRIMEM[\"{}\",{}],UNIT[\"{}\",{}]]",
            quoted(&self.name),
            quoted(&self.datum),
            quoted(&self.ellipsoid),
            self.semi_major,
            self.inverse_flattening,
            quoted(&self.meridian),
            self.greenwich,
            if self.is_in_degrees() {
                "degree"
            } else {
                "angle"
            },
            self.unit
        )
    }
}

impl MapProjection {
    /// A method with some of its parameters, the others being what they are by default. Ways to say
    /// one thing become one way.
    pub(crate) fn new(
        method: &'static Method,
        mut values: BTreeMap<Parameter, f64>,
        unit: f64,
    ) -> Self {
        if let (Some(azimuth), None) = (
            values.get(&Parameter::Azimuth).copied(),
            values.get(&Parameter::Rectified),
        ) {
            values.insert(Parameter::Rectified, azimuth);
        }
        if method.name == methods::POLAR_STEREOGRAPHIC
            && let Some(parallel) = values.remove(&Parameter::Parallel1)
        {
            values.insert(Parameter::Latitude, parallel);
        }
        let mut projection = Self {
            method,
            values,
            unit,
        };
        projection.unify();
        let known: BTreeMap<Parameter, f64> = projection
            .method
            .all()
            .map(|(parameter, _)| (parameter, projection.value(parameter)))
            .collect();
        projection.values = known;
        projection
    }

    /// The value of a parameter in degrees or metres.
    pub(crate) fn value(&self, parameter: Parameter) -> f64 {
        self.values
            .get(&parameter)
            .copied()
            .unwrap_or(parameter.default())
    }

    fn unify(&mut self) {
        let [latitude, first, second] = [
            Parameter::Latitude,
            Parameter::Parallel1,
            Parameter::Parallel2,
        ]
        .map(|parameter| self.value(parameter));
        let become_one = |name: &str| Method::named(name).unwrap_or(self.method);
        match self.method.name {
            // What is true to scale at the equator is so by its scale.
            methods::MERCATOR_2SP if first == 0.0 => {
                self.method = become_one(methods::MERCATOR_1SP)
            }
            // A cone that touches at its origin.
            methods::LAMBERT_2SP if near(first, second, 1e-12) && near(first, latitude, 1e-12) => {
                self.method = become_one(methods::LAMBERT_1SP);
            }
            methods::STEREOGRAPHIC if near(latitude.abs(), 90.0, 1e-12) => {
                self.method = become_one(methods::POLAR_STEREOGRAPHIC)
            }
            _ => {}
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        // The order of two standard parallels means nothing.
        let values = |projection: &Self| {
            let mut values = projection.values.clone();
            if let (Some(first), Some(second)) = (
                values.get(&Parameter::Parallel1),
                values.get(&Parameter::Parallel2),
            ) && first > second
            {
                let (first, second) = (*first, *second);
                values.extend([
                    (Parameter::Parallel1, second),
                    (Parameter::Parallel2, first),
                ]);
            }
            values
        };
        let pairs = values(self).into_iter().zip(values(other));
        let same = |((parameter, a), (_, b)): ((Parameter, f64), (Parameter, f64))| {
            if parameter.is_angle() {
                turned(a, b)
            } else if parameter.is_length() {
                (a - b).abs() <= 1e-6
            } else {
                (a - b).abs() <= 1e-12
            }
        };
        self.method == other.method
            && near(self.unit, other.unit, 1e-9)
            && pairs.into_iter().all(same)
    }
}

impl Definition {
    /// The system of an EPSG code, if it is a geographic one, or a projected one of a method that
    /// is known here.
    pub(crate) fn of_epsg(code: u32) -> Option<Self> {
        match geographic::of_code(code) {
            Some(geodetic) => Some(Self {
                name: geodetic.name.clone(),
                geodetic,
                projection: None,
            }),
            None => projected::of_code(code),
        }
    }

    /// A zone of UTM, 1 to 60.
    pub(crate) fn utm(geodetic: Geodetic, zone: u32, south: bool) -> Option<Self> {
        let values = [
            (Parameter::Longitude, 6.0 * f64::from(zone) - 183.0),
            (Parameter::Scale, 0.9996),
            (Parameter::Easting, 500_000.0),
            (Parameter::Northing, if south { 10_000_000.0 } else { 0.0 }),
        ];
        let method = Method::named(methods::TRANSVERSE_MERCATOR)?;
        Some(Self {
            name: format!(
                "{} / UTM zone {zone}{}",
                geodetic.name,
                if south { "S" } else { "N" }
            ),
            geodetic,
            projection: Some(MapProjection::new(method, values.into(), 1.0)),
        })
    }

    /// Whether it is the same system, whatever it is called.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.has_plane_of(other) && self.geodetic.is_same(&other.geodetic)
    }

    /// Whether it is the same system but for the datum, which one of both does not name.
    pub(crate) fn is_same_but_for_datum(&self, other: &Self) -> bool {
        let unnamed = [self, other]
            .iter()
            .any(|of| datum(&of.geodetic.datum).is_none() && of.geodetic.to_wgs84.is_none());
        unnamed && self.has_plane_of(other) && self.geodetic.has_shape_of(&other.geodetic)
    }

    /// Whether its coordinates are made from longitude and latitude as those of another.
    fn has_plane_of(&self, other: &Self) -> bool {
        match (&self.projection, &other.projection) {
            (None, None) => near(self.geodetic.unit, other.geodetic.unit, 1e-9),
            (Some(a), Some(b)) => a.is_same(b),
            _ => false,
        }
    }

    /// Well-known text (WKT 1 as GDAL writes it), axes being x and y.
    pub(crate) fn wkt(&self) -> String {
        let Some(projection) = &self.projection else {
            return self.geodetic.wkt();
        };
        let angle = degrees(self.geodetic.unit);
        let parameters: String = projection
            .method
            .all()
            .map(|(parameter, name)| {
                let value = projection.value(parameter);
                let value = match parameter {
                    _ if parameter.is_angle() => value / angle,
                    _ if parameter.is_length() => value / projection.unit,
                    _ => value,
                };
                format!(",PARAMETER[\"{name}\",{value}]")
            })
            .collect();
        let unit = if projection.unit == 1.0 {
            "metre"
        } else {
            "length"
        };
        format!(
            "PROJCS[\"{}\",{},PROJECTION[\"{}\"]{parameters},UNIT[\"{unit}\",{}]]",
            quoted(&self.name),
            self.geodetic.wkt(),
            projection.method.name,
            projection.unit
        )
    }
}

/// The datum in one spelling; `None` if the name stands for none.
fn datum(name: &str) -> Option<String> {
    let name = plain(name);
    let name = name.strip_suffix("ensemble").unwrap_or(&name);
    let esri = [
        "dwgs",
        "dnorth",
        "detrs",
        "dgda",
        "deuropean",
        "dunknown",
        "dnotspecified",
    ];
    let name = if esri.iter().any(|start| name.starts_with(start)) {
        &name[1..]
    } else {
        name
    };
    if says_nothing(name) {
        return None;
    }
    Some(match name {
        "worldgeodeticsystem1984" | "wgs84" => "wgs1984".to_owned(),
        "northamericandatum1983" | "nad83" => "northamerican1983".to_owned(),
        "northamericandatum1927" | "nad27" => "northamerican1927".to_owned(),
        "europeanterrestrialreferencesystem1989" | "etrs89" => "etrs1989".to_owned(),
        "geocentricdatumofaustralia1994" => "gda1994".to_owned(),
        "geocentricdatumofaustralia2020" => "gda2020".to_owned(),
        "europeandatum1950" => "european1950".to_owned(),
        other => other.to_owned(),
    })
}

/// A unit of angles, given in radians, in degrees; exactly 1 where it is the degree but for the
/// digits of a text.
pub(crate) fn degrees(unit: f64) -> f64 {
    if near(unit, DEGREE, 1e-12) {
        1.0
    } else {
        unit / DEGREE
    }
}

/// Whether two numbers are the same but for rounding.
fn near(a: f64, b: f64, off: f64) -> bool {
    (a - b).abs() <= off * a.abs().max(b.abs())
}

/// Whether two angles in degrees are the same, turns apart.
fn turned(a: f64, b: f64) -> bool {
    let off = (a - b).rem_euclid(360.0);
    off.min(360.0 - off) <= 1e-9
}

fn quoted(name: &str) -> String {
    name.replace('"', "\"\"")
}
