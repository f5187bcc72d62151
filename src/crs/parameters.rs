//! The parameters of a system without a code in the words of PROJ.

use super::definition::{Definition, Geodetic, MapProjection};
use super::methods::{self, Parameter};
use super::{plain, says_nothing, shown};

/// Datums that are WGS 84 but for their realization: PROJ shifts them by nothing.
const SHIFTED_BY_NOTHING: [&str; 9] = [
    "wgs1984",
    "worldgeodeticsystem1984",
    "etrs1989",
    "europeanterrestrialreferencesystem1989",
    "northamerican1983",
    "northamericandatum1983",
    "gda1994",
    "geocentricdatumofaustralia1994",
    "nzgd2000",
];

/// What PROJ calls a method, and its parameters.
type ProjWords = (&'static str, &'static [(Parameter, &'static str)]);

/// The parameters of a system by its well-known text; an error is the reason why there are none.
pub(super) fn text(system: &str) -> Result<String, String> {
    let definition = super::definition(system)
        .ok_or_else(|| format!("{} has no parameters that are known here", shown(system)))?;
    of(&definition, shift(&definition.geodetic))
}

/// The same of a system whose datum is not shifted.
pub(super) fn of(definition: &Definition, shift: Option<[f64; 7]>) -> Result<String, String> {
    let geodetic = &definition.geodetic;
    if geodetic.greenwich != 0.0 || !geodetic.is_in_degrees() {
        return Err(
            "its longitudes are counted from elsewhere than Greenwich, or not in degrees"
                .to_owned(),
        );
    }
    let plane = match &definition.projection {
        None => "+proj=longlat".to_owned(),
        Some(plane) => plane_of(plane)?,
    };
    let shape = match geodetic.inverse_flattening {
        0.0 => format!("+a={0} +b={0}", geodetic.semi_major),
        flattening => format!("+a={} +rf={flattening}", geodetic.semi_major),
    };
    let shift = shift.map_or(String::new(), |shift| {
        format!(" +towgs84={}", shift.map(|part| part.to_string()).join(","))
    });
    Ok(format!("{plane} {shape}{shift} +no_defs"))
}

fn plane_of(plane: &MapProjection) -> Result<String, String> {
    let (name, parameters) = words(plane)
        .ok_or_else(|| format!("its projection, {}, is not known here", plane.method.name))?;
    let mut text = format!("+proj={name}");
    for (parameter, word) in parameters {
        text += &format!(" +{word}={}", plane.value(*parameter));
    }
    if plane.method.name == methods::POLAR_STEREOGRAPHIC {
        text += &format!(
            " +lat_0={}",
            90.0_f64.copysign(plane.value(Parameter::Latitude))
        );
    }
    let (x, y) = (
        plane.value(Parameter::Easting),
        plane.value(Parameter::Northing),
    );
    Ok(format!("{text} +x_0={x} +y_0={y} +to_meter={}", plane.unit))
}

fn words(plane: &MapProjection) -> Option<ProjWords> {
    use Parameter::{Latitude, Longitude, Parallel1, Parallel2, Scale};
    let is_zero = |parameter| plane.value(parameter) == 0.0;
    Some(match plane.method.name {
        methods::TRANSVERSE_MERCATOR => (
            "tmerc",
            &[(Latitude, "lat_0"), (Longitude, "lon_0"), (Scale, "k")],
        ),
        methods::MERCATOR_1SP if is_zero(Latitude) => {
            ("merc", &[(Longitude, "lon_0"), (Scale, "k")])
        }
        methods::MERCATOR_2SP => ("merc", &[(Parallel1, "lat_ts"), (Longitude, "lon_0")]),
        methods::LAMBERT_1SP => (
            "lcc",
            &[
                (Latitude, "lat_1"),
                (Latitude, "lat_0"),
                (Longitude, "lon_0"),
                (Scale, "k_0"),
            ],
        ),
        methods::LAMBERT_2SP => (
            "lcc",
            &[
                (Latitude, "lat_0"),
                (Longitude, "lon_0"),
                (Parallel1, "lat_1"),
                (Parallel2, "lat_2"),
            ],
        ),
        methods::POLAR_STEREOGRAPHIC => (
            "stere",
            &[(Latitude, "lat_ts"), (Longitude, "lon_0"), (Scale, "k_0")],
        ),
        "Lambert_Azimuthal_Equal_Area" => ("laea", &[(Latitude, "lat_0"), (Longitude, "lon_0")]),
        "Albers_Conic_Equal_Area" => (
            "aea",
            &[
                (Latitude, "lat_0"),
                (Longitude, "lon_0"),
                (Parallel1, "lat_1"),
                (Parallel2, "lat_2"),
            ],
        ),
        "Sinusoidal" => ("sinu", &[(Longitude, "lon_0")]),
        "Equirectangular" if is_zero(Latitude) => {
            ("eqc", &[(Parallel1, "lat_ts"), (Longitude, "lon_0")])
        }
        "Cylindrical_Equal_Area" => ("cea", &[(Parallel1, "lat_ts"), (Longitude, "lon_0")]),
        _ => return None,
    })
}

/// The shift to WGS 84, if it is known.
pub(super) fn shift(geodetic: &Geodetic) -> Option<[f64; 7]> {
    let datum = plain(&geodetic.datum);
    let datum = datum.strip_suffix("ensemble").unwrap_or(&datum);
    let datum = datum
        .strip_prefix('d')
        .filter(|name| SHIFTED_BY_NOTHING.contains(name))
        .unwrap_or(datum);
    geodetic.to_wgs84.or_else(|| {
        (!says_nothing(datum) && SHIFTED_BY_NOTHING.contains(&datum)).then_some([0.0; 7])
    })
}
