//! What a grid mapping says: the name of its variable, a code or WKT, or the attributes of CF.

use std::collections::BTreeMap;

use super::header::Variable;
use super::remedy;
use crate::adapter::text::quoted;
use crate::adapter::unit::Conversion;
use crate::crs::{self, Definition, Geodetic, MapProjection, Method, Parameter};

/// What longitude and latitude without a system refer to.
pub(super) const WGS84: &str = "EPSG:4326";

/// The name of a variable's grid mapping; of several (`crs: x y other: lat lon`) the one whose
/// coordinates are those of rows or columns.
pub(super) fn mapping_of<'a>(variable: &'a Variable, plane: [&str; 2]) -> Option<&'a str> {
    let mut mappings: Vec<(&str, Vec<&str>)> = Vec::new();
    for word in variable.text("grid_mapping")?.split_whitespace() {
        match (word.strip_suffix(':'), mappings.last_mut()) {
            (Some(name), _) => mappings.push((name, Vec::new())),
            (None, Some((_, coordinates))) => coordinates.push(word),
            (None, None) => mappings.push((word, Vec::new())),
        }
    }
    let of_plane = mappings
        .iter()
        .find(|(_, coordinates)| plane.iter().any(|name| coordinates.contains(name)));
    of_plane.or(mappings.first()).map(|(name, _)| *name)
}

/// The system that a grid mapping states by a code or in WKT, as far as either can be read.
pub(super) fn stated(mapping: &Variable) -> Option<String> {
    let texts = WKT
        .iter()
        .filter_map(|name| mapping.text(name))
        .map(crs::kept);
    code(mapping).or_else(|| texts.into_iter().find(|text| crs::argument(text).is_some()))
}

/// Attributes that hold WKT: those of CF, of GDAL and of ArcGIS.
const WKT: [&str; 3] = ["crs_wkt", "spatial_ref", "esri_pe_string"];

/// What a grid mapping says that is not known: its method, else a text of it.
pub(super) fn said(mapping: &Variable, method: &str) -> String {
    let others = ["proj4", "proj4text", "proj4_params", "proj4string", "proj"];
    let texts = WKT.iter().chain(&others);
    let text = texts.filter_map(|name| mapping.text(name)).next();
    crs::shown(text.filter(|_| method.is_empty()).unwrap_or(method))
}

/// One unit of coordinates in metres: of a length, or of an angle that a satellite scans from a
/// height; `None` of what is neither.
pub(super) fn metres(unit: &str, height: Option<f64>) -> Option<f64> {
    if let Some(length) = Conversion::between(unit, "m") {
        return Some(length.apply(1.0));
    }
    Some(Conversion::between(unit, "rad")?.apply(1.0) * height?)
}

/// Whether a length, in units of so many metres, is more than around the earth.
fn is_far(value: f64, metres: f64) -> bool {
    (value * metres).abs() >= AROUND
}

/// Around the earth, in metres, and a little more.
const AROUND: f64 = 5e7;
/// An EPSG code among the attributes of a grid mapping.
fn code(mapping: &Variable) -> Option<String> {
    let code = ["epsg_code", "EPSG_code", "EPSG", "epsg"]
        .iter()
        .find_map(|name| {
            let number = mapping.attribute(name)?;
            let text = number.text().map(str::to_owned);
            text.or_else(|| number.numbers()?.first().map(f64::to_string))
        })?;
    let digits = code.trim().trim_start_matches("EPSG:").to_owned();
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| format!("EPSG:{digits}"))
}

/// The attributes that hold a parameter.
const LATITUDE: [&str; 1] = ["latitude_of_projection_origin"];
const LONGITUDE: [&str; 3] = [
    "longitude_of_central_meridian",
    "longitude_of_projection_origin",
    "straight_vertical_longitude_from_pole",
];
const SCALE: [&str; 3] = [
    "scale_factor_at_projection_origin",
    "scale_factor_at_central_meridian",
    "scale_factor",
];

/// The attributes that name an earth.
const NAMES: [&str; 3] = [
    "horizontal_datum_name",
    "geographic_crs_name",
    "reference_ellipsoid_name",
];

/// A grid mapping by the attributes of CF.
pub(super) struct Mapping<'a>(pub(super) &'a Variable);

impl Mapping<'_> {
    fn numbers(&self, name: &str) -> Vec<f64> {
        let value = self.0.attribute(name);
        let text = || {
            Some(
                value?
                    .text()?
                    .split([',', ' '])
                    .filter_map(|word| word.parse().ok())
                    .collect(),
            )
        };
        value
            .and_then(super::header::Value::numbers)
            .or_else(text)
            .unwrap_or_default()
    }

    fn number(&self, names: &[&str]) -> Option<f64> {
        names
            .iter()
            .find_map(|name| self.numbers(name).first().copied())
    }

    /// The text that a grid keeps; `unit` is that of the columns.
    pub(super) fn crs(&self, method: &str, unit: &str) -> Option<String> {
        let geodetic = self.geodetic();
        match method {
            "latitude_longitude" => {
                let definition = Definition {
                    name: geodetic.name.clone(),
                    geodetic,
                    projection: None,
                };
                let wgs84 = crs::definition(WGS84).is_some_and(|wgs84| wgs84.is_same(&definition));
                Some(if wgs84 {
                    WGS84.to_owned()
                } else {
                    definition.wkt()
                })
            }
            "rotated_latitude_longitude" => Some(self.rotated(&geodetic)),
            _ => {
                let projection = self.projection(method, unit)?;
                let name = self
                    .0
                    .text("projected_crs_name")
                    .unwrap_or("unnamed")
                    .to_owned();
                Some(crs::kept(
                    &Definition {
                        name,
                        geodetic,
                        projection: Some(projection),
                    }
                    .wkt(),
                ))
            }
        }
    }

    /// What the attributes call the datum, the system or the ellipsoid, whichever is known by name.
    fn named(&self) -> Option<Geodetic> {
        let of = |name: &&str| crs::geodetic_of_name(self.0.text(name)?);
        NAMES.iter().find_map(of)
    }

    /// What is told of an earth that has a name which is not known, and no size.
    pub(super) fn unsized_earth(&self) -> Option<String> {
        let sizes = ["semi_major_axis", "earth_radius"];
        let name = NAMES.iter().find_map(|name| self.0.text(name))?;
        (self.number(&sizes).is_none() && self.named().is_none()).then(|| {
            format!(
                "its grid mapping names `{name}`, which is not known, and no size of the earth: that of WGS 84 is taken; say which it is with `ncatted -a semi_major_axis,{0},o,d,METRES -a inverse_flattening,{0},o,d,NUMBER FILE`",
                quoted(self.0.leaf())
            )
        })
    }

    /// What is told of attributes that are not those of the system which is stated in WKT or by a
    /// code.
    pub(super) fn contradiction(&self, method: &str, unit: &str, stated: &str) -> Option<String> {
        let own = self.projection(method, unit)?;
        let known = crs::definition(stated)?.projection?;
        if own.method != known.method {
            return None;
        }
        let differs = |(of, names): &(Parameter, &[&str])| {
            self.number(names)?;
            let (value, other) = (own.value(*of), known.value(*of));
            ((value - other).abs() > 1e-6).then_some((value, other))
        };
        let all = [
            (Parameter::Latitude, &LATITUDE[..]),
            (Parameter::Longitude, &LONGITUDE),
            (Parameter::Scale, &SCALE),
        ];
        let (value, other) = all.iter().find_map(differs)?;
        Some(format!(
            "its grid mapping states {}, whose parameters are others than those of its attributes ({other} and {value}): the system is taken; if the attributes are right, take it away with `ncatted {} FILE`",
            crs::shown(stated),
            ["crs_wkt", "spatial_ref"]
                .map(|of| remedy::unset(of, self.0.leaf()))
                .join(" ")
        ))
    }

    fn geodetic(&self) -> Geodetic {
        let text = |name: &str| self.0.text(name).map(str::to_owned);
        let (major, radius) = (
            self.number(&["semi_major_axis"]),
            self.number(&["earth_radius"]),
        );
        let inverse = self.number(&["inverse_flattening"]);
        let minor = self.number(&["semi_minor_axis"]);
        let mut geodetic = match (radius, major) {
            (Some(radius), None) => Geodetic::unknown("sphere", radius, 0.0),
            (_, Some(major)) => {
                let by_minor = minor.map(|minor| {
                    if minor == major {
                        0.0
                    } else {
                        major / (major - minor)
                    }
                });
                Geodetic::unknown("unknown", major, inverse.or(by_minor).unwrap_or(0.0))
            }
            (None, None) => self.named().unwrap_or_else(|| {
                crs::definition(WGS84).map_or_else(
                    || Geodetic::unknown("WGS 84", 6_378_137.0, 298.257_223_563),
                    |wgs84| wgs84.geodetic,
                )
            }),
        };
        if let Some(datum) = text("horizontal_datum_name") {
            geodetic.datum = datum;
        }
        if let Some(name) = text("geographic_crs_name") {
            geodetic.name = name;
        }
        if let Some(name) = text("reference_ellipsoid_name") {
            geodetic.ellipsoid = name;
        }
        if let Some(greenwich) = self
            .number(&["longitude_of_prime_meridian"])
            .filter(|greenwich| *greenwich != 0.0)
        {
            (geodetic.meridian, geodetic.greenwich) = (
                text("prime_meridian_name").unwrap_or("unknown".to_owned()),
                greenwich,
            );
        }
        geodetic.to_wgs84 = match self.numbers("towgs84")[..] {
            [x, y, z] => Some([x, y, z, 0.0, 0.0, 0.0, 0.0]),
            _ => self.numbers("towgs84").try_into().ok(),
        };
        geodetic
    }

    fn projection(&self, method: &str, unit: &str) -> Option<MapProjection> {
        let parallels = self.numbers("standard_parallel");
        let (first, second) = (
            parallels.first().copied(),
            parallels.get(1).or(parallels.first()).copied(),
        );
        let scale = self.number(&SCALE);
        let latitude = self.number(&LATITUDE);
        let longitude = self.number(&LONGITUDE);
        let height = self.number(&["perspective_point_height"]);
        let sweep = self.0.text("sweep_angle_axis") == Some("x")
            || self.0.text("fixed_angle_axis") == Some("y");
        let name = match method {
            "albers_conical_equal_area" => "Albers_Conic_Equal_Area",
            "azimuthal_equidistant" => "Azimuthal_Equidistant",
            "geostationary" if sweep => "Geostationary_Satellite_Sweep_X",
            "geostationary" => "Geostationary_Satellite",
            "lambert_azimuthal_equal_area" => "Lambert_Azimuthal_Equal_Area",
            "lambert_conformal_conic" => "Lambert_Conformal_Conic_2SP",
            "lambert_cylindrical_equal_area" => "Cylindrical_Equal_Area",
            "mercator" if first.is_some() => "Mercator_2SP",
            "mercator" => "Mercator_1SP",
            "oblique_mercator" => "Hotine_Oblique_Mercator_Azimuth_Center",
            "orthographic" => "Orthographic",
            "polar_stereographic" => "Polar_Stereographic",
            "sinusoidal" => "Sinusoidal",
            "stereographic" => "Stereographic",
            "transverse_mercator" => "Transverse_Mercator",
            _ => return None,
        };
        // The pole tells on which side the parallel of true scale is.
        let true_scale = first.map(|first| {
            if latitude.is_some_and(|pole| pole < 0.0) {
                -first.abs()
            } else {
                first.abs()
            }
        });
        let latitude = if method == "polar_stereographic" {
            true_scale.or(latitude)
        } else {
            latitude
        };
        let parallels = if method == "polar_stereographic" {
            [None, None]
        } else {
            [first, second]
        };
        let given = [
            (Parameter::Latitude, latitude),
            (Parameter::Longitude, longitude.map(turned)),
            (Parameter::Parallel1, parallels[0]),
            (Parameter::Parallel2, parallels[1]),
            (Parameter::Scale, scale),
            (
                Parameter::Azimuth,
                self.number(&["azimuth_of_central_line"]),
            ),
            (Parameter::Height, height),
            (Parameter::Easting, self.number(&["false_easting"])),
            (Parameter::Northing, self.number(&["false_northing"])),
        ];
        let values: BTreeMap<Parameter, f64> = given
            .into_iter()
            .filter_map(|(parameter, value)| Some((parameter, value?)))
            .collect();
        let metres = metres(unit, height).unwrap_or(1.0);
        let lengths = [Parameter::Easting, Parameter::Northing];
        let values = values
            .into_iter()
            .map(|(of, value)| {
                (
                    of,
                    // CF has them in the unit of the coordinates, and other writers in metres.
                    if lengths.contains(&of) && !is_far(value, metres) {
                        value * metres
                    } else {
                        value
                    },
                )
            })
            .collect();
        Some(MapProjection::new(Method::named(name)?, values, metres))
    }

    /// What is told of a false origin that is taken for metres, though coordinates are in another
    /// unit.
    pub(super) fn far_origin(&self, unit: &str) -> Option<String> {
        let metres = metres(unit, self.number(&["perspective_point_height"]))?;
        let name = ["false_easting", "false_northing"]
            .into_iter()
            .find(|name| {
                self.number(&[*name])
                    .is_some_and(|value| is_far(value, metres))
            })?;
        (metres > 1.0).then(|| {
            format!(
                "the `{name}` of its grid mapping would lie beyond the earth in {unit}, the unit of its coordinates: it is taken for metres"
            )
        })
    }

    /// Longitude and latitude about another pole, as PROJ writes it.
    fn rotated(&self, geodetic: &Geodetic) -> String {
        let parameter = |name: &str, value: f64| {
            format!(
                "PARAMETER[\"{name} (netCDF CF convention)\",{value},ANGLEUNIT[\"degree\",0.0174532925199433]]"
            )
        };
        let pole = [
            (
                "Grid north pole latitude",
                self.number(&["grid_north_pole_latitude"]).unwrap_or(90.0),
            ),
            (
                "Grid north pole longitude",
                self.number(&["grid_north_pole_longitude"]).unwrap_or(0.0),
            ),
            (
                "North pole grid longitude",
                self.number(&["north_pole_grid_longitude"]).unwrap_or(0.0),
            ),
        ];
        let parameters: Vec<String> = pole
            .iter()
            .map(|(name, value)| parameter(name, *value))
            .collect();
        format!(
            "GEOGCRS[\"Rotated pole\",BASEGEOGCRS[\"{0}\",DATUM[\"{1}\",ELLIPSOID[\"{2}\",{3},{4},LENGTHUNIT[\"metre\",1]]]],DERIVINGCONVERSION[\"Pole rotation (netCDF CF convention)\",METHOD[\"Pole rotation (netCDF CF convention)\"],{5}],CS[ellipsoidal,2],AXIS[\"longitude\",east],AXIS[\"latitude\",north],ANGLEUNIT[\"degree\",0.0174532925199433]]",
            unquoted(&geodetic.name),
            unquoted(&geodetic.datum),
            unquoted(&geodetic.ellipsoid),
            geodetic.semi_major,
            geodetic.inverse_flattening,
            parameters.join(",")
        )
    }
}

/// A longitude from -180 to 180.
fn turned(longitude: f64) -> f64 {
    if longitude > 180.0 {
        longitude - 360.0
    } else {
        longitude
    }
}

fn unquoted(text: &str) -> String {
    text.replace('"', "")
}
