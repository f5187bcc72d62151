//! The coordinate reference system of a variable: what its `grid_mapping` says in a code, in WKT,
//! or in the attributes of CF.

use std::collections::BTreeMap;

use super::field::Roles;
use super::header::{Header, Variable};
use crate::crs::{self, Definition, Geodetic, Method, Parameter, Projection};
use crate::grid::longitude::is_degrees_east;

/// A system as a grid keeps it, and what is to be known of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct System {
    pub(super) crs: Option<String>,
    pub(super) note: Option<String>,
}

/// What longitude and latitude without a system refer to.
const WGS84: &str = "EPSG:4326";

impl System {
    /// The system of a variable whose rows and columns have coordinates of these `units`.
    pub(super) fn of(
        header: &Header,
        variable: &Variable,
        roles: &Roles,
        units: [&str; 2],
    ) -> Self {
        let axes = [roles.y, roles.x].map(|axis| super::field::coordinate(header, variable, axis));
        let of = |axis: usize, name: &str| {
            axes[axis]
                .and_then(|axis| axis.text(name))
                .unwrap_or_default()
        };
        let rotated =
            of(0, "standard_name") == "grid_latitude" || of(1, "standard_name") == "grid_longitude";
        let plain = !rotated
            && is_degrees_east(units[1])
            && units[0].to_ascii_lowercase().starts_with("degree");
        let without = |note: Option<String>| Self {
            crs: plain.then(|| WGS84.to_owned()),
            note: note.filter(|_| !plain),
        };
        let Some(name) = variable
            .text("grid_mapping")
            .and_then(|text| text.split_whitespace().next())
        else {
            return without(None);
        };
        let name = name.trim_end_matches(':');
        let Some(mapping) = header.near(variable, name) else {
            return without(Some(format!(
                "its grid mapping `{name}` is not in the file: the grid has no coordinate reference system"
            )));
        };
        if let Some(crs) = code(mapping) {
            return Self {
                crs: Some(crs),
                note: None,
            };
        }
        if let Some(wkt) = mapping
            .text("crs_wkt")
            .or_else(|| mapping.text("spatial_ref"))
        {
            return Self {
                crs: Some(crs::kept(wkt)),
                note: None,
            };
        }
        let method = mapping.text("grid_mapping_name").unwrap_or_default();
        match Mapping(mapping).crs(method, units[1]) {
            Some(crs) => Self {
                crs: Some(crs),
                note: None,
            },
            None => without(Some(format!(
                "its grid mapping `{name}` is `{method}`, which is not known: the grid has no coordinate reference system"
            ))),
        }
    }
}

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

/// A grid mapping by the attributes of CF.
struct Mapping<'a>(&'a Variable);

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
    fn crs(&self, method: &str, unit: &str) -> Option<String> {
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
            (None, None) => crs::definition(WGS84).map_or_else(
                || Geodetic::unknown("WGS 84", 6_378_137.0, 298.257_223_563),
                |wgs84| wgs84.geodetic,
            ),
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

    fn projection(&self, method: &str, unit: &str) -> Option<Projection> {
        let parallels = self.numbers("standard_parallel");
        let (first, second) = (
            parallels.first().copied(),
            parallels.get(1).or(parallels.first()).copied(),
        );
        let scale = self.number(&[
            "scale_factor_at_projection_origin",
            "scale_factor_at_central_meridian",
            "scale_factor",
        ]);
        let latitude = self.number(&["latitude_of_projection_origin"]);
        let longitude = self.number(&[
            "longitude_of_central_meridian",
            "longitude_of_projection_origin",
            "straight_vertical_longitude_from_pole",
        ]);
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
        let metres = match unit {
            "km" | "kilometre" | "kilometres" | "kilometer" | "kilometers" => 1_000.0,
            // Angles that a satellite scans, which are lengths at its height.
            "rad" | "radian" | "radians" => height?,
            _ => 1.0,
        };
        let lengths = [Parameter::Easting, Parameter::Northing];
        let values = values
            .into_iter()
            .map(|(of, value)| {
                (
                    of,
                    if lengths.contains(&of) {
                        value * metres
                    } else {
                        value
                    },
                )
            })
            .collect();
        Some(Projection::new(Method::named(name)?, values, metres))
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
            quoted(&geodetic.name),
            quoted(&geodetic.datum),
            quoted(&geodetic.ellipsoid),
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

fn quoted(text: &str) -> String {
    text.replace('"', "")
}
