//! The coordinate reference system that geokeys state: a code, well-known text, parameters, or a
//! name.

use std::collections::BTreeMap;

use super::georef::{GeoKeys, WKT_MARK, key};
use crate::crs::{self, DEGREE, Definition, Geodetic, MapProjection, Method, Parameter, degrees};
use crate::error::{Error, Result};

/// What stands in a key for what its parameters say.
const USER_DEFINED: u16 = 32767;

/// Geokeys that are angles, lengths and factors of a projection, the usual first.
const PARAMETERS: [(Parameter, &[u16]); 9] = [
    (Parameter::Latitude, &[3081, 3085, 3089]),
    (Parameter::Longitude, &[3080, 3084, 3088, 3095]),
    (Parameter::Parallel1, &[3078]),
    (Parameter::Parallel2, &[3079]),
    (Parameter::Scale, &[3092, 3093]),
    (Parameter::Azimuth, &[3094]),
    (Parameter::Rectified, &[3096]),
    (Parameter::Easting, &[3082, 3086, 3090]),
    (Parameter::Northing, &[3083, 3087, 3091]),
];

/// Units of lengths by their codes, in metres: all that projected systems of EPSG have.
const LENGTHS: [(u16, f64); 16] = [
    (9001, 1.0),
    (9002, 0.3048),
    (9003, 1200.0 / 3937.0),
    (9005, 0.304_797_265_4),
    (9031, 1.000_013_596_5),
    (9036, 1000.0),
    (9037, 0.914_391_796_2),
    (9039, 0.201_166_195_164),
    (9040, 0.914_398_414_616_028_7),
    (9041, 0.304_799_471_538_676_2),
    (9042, 20.116_765_121_552_632),
    (9062, 20.116_782_494_375_872),
    (9084, 0.914_398_530_744_440_8),
    (9094, 0.304_799_710_181_508_8),
    (9098, 0.201_168),
    (9301, 20.116_756),
];

impl GeoKeys {
    /// `EPSG:n`, `ESRI:n`, or the WKT of what the keys define; a name where they define nothing;
    /// `None` where they say nothing. An [`Invalid`](crate::ErrorKind::Invalid) error for a system
    /// that is defined by what is not known here.
    pub(super) fn system(&self) -> Result<Option<String>> {
        if let Some(code) = self.code(key::PROJECTED_CRS) {
            return Ok(Some(
                self.in_own_unit(&code)
                    .map_err(|what| unknown(&what))?
                    .unwrap_or(code),
            ));
        }
        let projected = self.short(key::MODEL_TYPE) == Some(1)
            || [key::PROJECTED_CRS, key::CONVERSION, key::METHOD]
                .iter()
                .any(|id| self.short(*id).is_some());
        let citations = [
            key::PROJECTED_CITATION,
            key::CITATION,
            key::GEODETIC_CITATION,
        ];
        let texts = || citations.iter().filter_map(|id| self.text(*id));
        if let Some(wkt) = texts().find_map(|text| text.strip_prefix(WKT_MARK)) {
            return Ok(Some(crs::kept(wkt)));
        }
        // A projected file names its geodetic system as well; it is the system of the cells only if
        // nothing is projected.
        if let Some(code) = self.code(key::GEODETIC_CRS)
            && !projected
        {
            return Ok(Some(code));
        }
        if let Some(definition) = self.definition(projected).map_err(|what| unknown(&what))? {
            return Ok(Some(definition.wkt()));
        }
        Ok(texts()
            .next()
            .filter(|text| !crs::says_nothing(text))
            .map(str::to_owned))
    }

    /// The WKT of a projected system of a code whose coordinates the file has in another unit than
    /// the code, if it has.
    fn in_own_unit(&self, code: &str) -> Result<Option<String>, String> {
        // 0 is no unit.
        let is_said = self.short(key::LENGTH_UNIT).is_some_and(|unit| unit != 0);
        if !is_said || crs::definition(code).is_none() {
            return Ok(None);
        }
        Ok(crs::in_unit(code, self.length()?))
    }

    /// The code of a system, if a key has one.
    fn code(&self, id: u16) -> Option<String> {
        match self.short(id)? {
            code @ 1024..=32766 => Some(format!("EPSG:{code}")),
            // What ArcGIS puts there.
            code @ 32768..=u16::MAX => Some(format!("ESRI:{code}")),
            _ => None,
        }
    }

    /// The system that the parameters define; `None` if there are none; an error names what is not
    /// known.
    fn definition(&self, projected: bool) -> Result<Option<Definition>, String> {
        if !projected {
            let geodetic = if self.short(key::MODEL_TYPE) == Some(3) {
                None
            } else {
                self.geodetic()?
            };
            return Ok(geodetic.map(|geodetic| Definition {
                name: geodetic.name.clone(),
                geodetic,
                projection: None,
            }));
        }
        let (method, conversion) = (self.short(key::METHOD), self.short(key::CONVERSION));
        let defined = |code: &u16| *code != USER_DEFINED && *code != 0;
        let (method, conversion) = (method.filter(defined), conversion.filter(defined));
        if method.is_none() && conversion.is_none() {
            return Ok(None);
        }
        let geodetic = self.geodetic()?.ok_or("it has no geodetic system")?;
        let citation = [key::CITATION, key::PROJECTED_CITATION]
            .iter()
            .find_map(|id| self.text(*id))
            .unwrap_or("unknown");
        let projection = match (method, conversion) {
            (Some(code), _) => self.projection(code, &geodetic)?,
            // The zones of UTM.
            (None, Some(code @ (16001..=16060 | 16101..=16160))) => {
                let (zone, south) = (u32::from(code) % 100, code > 16100);
                let utm = Definition::utm(geodetic.clone(), zone, south)
                    .and_then(|utm| utm.projection)
                    .ok_or("a zone of UTM")?;
                MapProjection {
                    unit: self.length()?,
                    ..utm
                }
            }
            (None, code) => return Err(format!("the projection {}", code.unwrap_or_default())),
        };
        Ok(Some(Definition {
            name: citation.to_owned(),
            geodetic,
            projection: Some(projection),
        }))
    }

    fn projection(&self, code: u16, geodetic: &Geodetic) -> Result<MapProjection, String> {
        let mut method =
            Method::of_geotiff(code).ok_or_else(|| format!("the projection method {code}"))?;
        let angle = self.angle()?.unwrap_or(geodetic.unit);
        let length = self.length()?;
        let mut values = BTreeMap::new();
        for (parameter, ids) in PARAMETERS {
            let Some(value) = ids.iter().find_map(|id| self.double(*id)) else {
                continue;
            };
            let unit = match parameter {
                _ if parameter.is_angle() => degrees(angle),
                _ if parameter.is_length() => length,
                _ => 1.0,
            };
            values.insert(parameter, value * unit);
        }
        // Mercator with a standard parallel goes by the same code as with a scale.
        if let (7, Some(other)) = (code, Method::mercator_by_parallel())
            && values.contains_key(&Parameter::Parallel1)
        {
            method = other;
        }
        Ok(MapProjection::new(method, values, length))
    }

    /// The geodetic system; `None` if no key is about one.
    fn geodetic(&self) -> Result<Option<Geodetic>, String> {
        match self.short(key::GEODETIC_CRS) {
            Some(0) => {}
            Some(USER_DEFINED) | None => {}
            Some(code) => {
                let known = crs::geodetic_of_code(code.into())
                    .ok_or_else(|| format!("the geodetic system {code}"))?;
                // Axes that stand beside a code are those of the cells.
                let is_other = self.double(key::SEMI_MAJOR).is_some_and(|own| {
                    own.is_finite() && (own / known.semi_major - 1.0).abs() > 1e-7
                });
                if !is_other {
                    return Ok(Some(known));
                }
            }
        }
        let datum = self
            .short(key::DATUM)
            .filter(|code| *code != USER_DEFINED && *code != 0);
        let known = match datum {
            // Ellipsoids as datums: 6001 to 6035 are 7001 to 7035.
            Some(code @ 6001..=6035) => ellipsoid(code + 1000),
            Some(code) => Some(
                crs::geodetic_of_datum(code.into()).ok_or_else(|| format!("the datum {code}"))?,
            ),
            None => None,
        };
        let known = known.or_else(|| self.short(key::ELLIPSOID).and_then(ellipsoid));
        let semi_major = self
            .double(key::SEMI_MAJOR)
            .or(known.as_ref().map(|known| known.semi_major));
        let Some(semi_major) = semi_major else {
            return if self.short(key::GEODETIC_CRS).is_none() {
                Ok(None)
            } else {
                Err("an ellipsoid without axes".to_owned())
            };
        };
        let by_minor = |minor: f64| {
            if minor == semi_major {
                0.0
            } else {
                semi_major / (semi_major - minor)
            }
        };
        let flattening = self
            .double(key::INVERSE_FLATTENING)
            .filter(|value| value.is_finite());
        let flattening = flattening.or_else(|| self.double(key::SEMI_MINOR).map(by_minor));
        let flattening = flattening
            .or(known.as_ref().map(|known| known.inverse_flattening))
            .unwrap_or(0.0);
        let cited = |part: &str| self.cited(part);
        let mut geodetic = known
            .clone()
            .unwrap_or_else(|| Geodetic::unknown("unknown", semi_major, flattening));
        (geodetic.semi_major, geodetic.inverse_flattening) = (semi_major, flattening);
        geodetic.name = cited("GCS Name")
            .or_else(|| self.plain_citation())
            .unwrap_or(geodetic.name);
        if datum.is_none() {
            geodetic.datum = cited("Datum").unwrap_or_else(|| "unknown".to_owned());
        }
        geodetic.ellipsoid = cited("Ellipsoid").unwrap_or(geodetic.ellipsoid);
        geodetic.unit = self.angle()?.unwrap_or(DEGREE);
        self.meridian(&mut geodetic)?;
        geodetic.to_wgs84 = match self.doubles(key::TO_WGS84) {
            [] => None,
            shift => Some(std::array::from_fn(|at| {
                shift.get(at).copied().unwrap_or(0.0)
            })),
        };
        Ok(Some(geodetic))
    }

    fn meridian(&self, geodetic: &mut Geodetic) -> Result<(), String> {
        let code = self
            .short(key::MERIDIAN)
            .filter(|code| *code != USER_DEFINED && *code != 0);
        if let Some(longitude) = self.double(key::MERIDIAN_LONGITUDE) {
            geodetic.greenwich = longitude * degrees(geodetic.unit);
            geodetic.meridian = self.cited("Primem").unwrap_or_else(|| "unknown".to_owned());
        } else if let Some(code) = code.filter(|code| *code != 8901) {
            return Err(format!("the prime meridian {code}"));
        }
        Ok(())
    }

    /// The unit of the coordinates in metres.
    fn length(&self) -> Result<f64, String> {
        match self.short(key::LENGTH_UNIT) {
            None => Ok(1.0),
            Some(USER_DEFINED) => self.size(key::LENGTH_UNIT_SIZE, "lengths"),
            Some(code) => {
                let known = LENGTHS.iter().find(|(other, _)| *other == code);
                known
                    .map(|(_, metres)| *metres)
                    .ok_or_else(|| format!("the unit of lengths {code}"))
            }
        }
    }

    /// The unit of angles in radians, if a key says so.
    fn angle(&self) -> Result<Option<f64>, String> {
        Ok(Some(match self.short(key::ANGLE_UNIT) {
            None => return Ok(None),
            Some(9102 | 9122) => DEGREE,
            Some(9101) => 1.0,
            Some(9105) => std::f64::consts::PI / 200.0,
            Some(USER_DEFINED) => self.size(key::ANGLE_UNIT_SIZE, "angles")?,
            Some(code) => return Err(format!("the unit of angles {code}")),
        }))
    }

    /// The size of a unit that has no code.
    fn size(&self, id: u16, of: &str) -> Result<f64, String> {
        let size = self
            .double(id)
            .ok_or_else(|| format!("the unit of {of} has no size"))?;
        if size.is_finite() && size > 0.0 {
            Ok(size)
        } else {
            Err(format!("the unit of {of} has the size {size}"))
        }
    }

    /// One part of what GDAL writes into the geodetic citation:
    /// `GCS Name = X|Datum = Y|Ellipsoid = Z|Primem = P|`.
    fn cited(&self, part: &str) -> Option<String> {
        let parts = self.text(key::GEODETIC_CITATION)?.split('|');
        let value = parts
            .filter_map(|text| text.split_once('='))
            .find(|(name, _)| name.trim() == part)?
            .1
            .trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    fn plain_citation(&self) -> Option<String> {
        self.text(key::GEODETIC_CITATION)
            .filter(|text| !text.contains('='))
            .map(str::to_owned)
    }

    /// What the keys say that is not kept, a sentence each.
    pub(super) fn notes(&self, system: Option<&str>) -> Vec<String> {
        let vertical =
            self.short(key::VERTICAL_CRS)
                .filter(|code| *code != 0)
                .map(|code| match code {
                    USER_DEFINED => "the system of heights is not kept".to_owned(),
                    code => format!("the system of heights, EPSG:{code}, is not kept"),
                });
        let nameless = (system.is_none() && self.short(key::MODEL_TYPE).is_some()).then(|| {
            "the coordinate reference system has neither a code nor parameters, and is not kept"
                .to_owned()
        });
        let notes = vertical.into_iter().chain(nameless);
        notes.chain(self.contradiction()).collect()
    }

    /// What other keys say that is not so in the system of a code, which counts.
    fn contradiction(&self) -> Option<String> {
        let geodetic = || {
            let code = self.short(key::GEODETIC_CRS)?;
            Some((code, crs::geodetic_of_code(code.into())?))
        };
        if let Some(code) = self.code(key::PROJECTED_CRS) {
            let (number, own) = geodetic()?;
            let known = crs::definition(&code)?.geodetic;
            let other = (own.semi_major / known.semi_major - 1.0).abs() > 1e-7
                || (own.greenwich - known.greenwich).abs() > 1e-7;
            return other.then(|| {
                format!(
                    "its keys state {code}, and beside it longitudes and latitudes of EPSG:{number}, which are not those of {code}: it is taken for {code}; if it is not, say so with `gdal_translate -a_srs SYSTEM FILE NAMED.tif`"
                )
            });
        }
        let (number, known) = geodetic()?;
        // One that is not known is none of a code.
        let unit = self.angle().unwrap_or(Some(f64::NAN));
        let is_known = |unit: f64| (unit / known.unit - 1.0).abs() <= 1e-7;
        let other_unit = unit.is_some_and(|unit| !is_known(unit));
        let meridian = self
            .short(key::MERIDIAN)
            .filter(|code| ![0, USER_DEFINED].contains(code));
        // 8901 is Greenwich.
        let other_meridian =
            meridian.is_some_and(|code| (code == 8901) != (known.greenwich == 0.0));
        let what = match (other_unit, other_meridian) {
            (true, _) => "another unit of angles",
            (false, true) => "another prime meridian",
            (false, false) => return None,
        };
        Some(format!(
            "its keys state EPSG:{number}, and beside it {what}: coordinates are taken for those of EPSG:{number}; if they are not, say so with `gdal_translate -a_srs SYSTEM FILE NAMED.tif`"
        ))
    }
}

/// An ellipsoid by its code, without a datum.
fn ellipsoid(code: u16) -> Option<Geodetic> {
    let (name, semi_major, inverse_flattening) = match code {
        7004 => ("Bessel 1841", 6_377_397.155, 299.152_812_8),
        7008 => ("Clarke 1866", 6_378_206.4, 294.978_698_213_898),
        7012 => ("Clarke 1880 (RGS)", 6_378_249.145, 293.465),
        7019 => ("GRS 1980", 6_378_137.0, 298.257_222_101),
        7022 => ("International 1924", 6_378_388.0, 297.0),
        7024 => ("Krassowsky 1940", 6_378_245.0, 298.3),
        7030 => ("WGS 84", 6_378_137.0, 298.257_223_563),
        7035 => ("Sphere", 6_371_000.0, 0.0),
        7043 => ("WGS 72", 6_378_135.0, 298.26),
        7048 => ("GRS 1980 Authalic Sphere", 6_371_007.0, 0.0),
        _ => return None,
    };
    Some(Geodetic::unknown(name, semi_major, inverse_flattening))
}

fn unknown(what: &str) -> Error {
    Error::invalid(format!(
        "the coordinate reference system of the TIFF is defined by what is not known here ({what}); say which it is with `gdal_translate -a_srs EPSG:CODE FILE NAMED.tif`"
    ))
}
