//! From well-known text, of any dialect, to a definition.

use std::collections::BTreeMap;

use super::definition::{DEGREE, Definition, Geodetic, MapProjection, degrees};
use super::methods::{LAMBERT_1SP, LAMBERT_2SP, Method, Parameter};
use super::wkt::{WktNode, WktValue};

const GEOGRAPHIC: [&str; 5] = [
    "GEOGCS",
    "GEOGCRS",
    "GEOGRAPHICCRS",
    "GEODCRS",
    "GEODETICCRS",
];
const BASE: [&str; 7] = [
    "GEOGCS",
    "BASEGEOGCRS",
    "BASEGEODCRS",
    "GEOGCRS",
    "GEODCRS",
    "GEOGRAPHICCRS",
    "GEODETICCRS",
];
const PROJECTED: [&str; 3] = ["PROJCS", "PROJCRS", "PROJECTEDCRS"];
const UNITS: [&str; 3] = ["UNIT", "LENGTHUNIT", "ANGLEUNIT"];

/// Authority and code of the horizontal system.
pub(super) fn code(node: &WktNode) -> Option<(&'static str, u32)> {
    let horizontal = horizontal(node)?;
    if let Some((authority, code)) = horizontal.code() {
        return match authority.as_str() {
            "EPSG" => Some(("EPSG", code)),
            "ESRI" => Some(("ESRI", code)),
            _ => None,
        };
    }
    is_web_mercator(horizontal).then_some(("EPSG", 3857))
}

/// The part of a compound or a bound system that is about x and y.
fn horizontal(node: &WktNode) -> Option<&WktNode> {
    match node.keyword.as_str() {
        "COMPD_CS" | "COMPOUNDCRS" => node.values.iter().find_map(|value| match value {
            WktValue::Node(part) => horizontal(part),
            _ => None,
        }),
        "BOUNDCRS" => node
            .child(&["SOURCECRS"])?
            .values
            .iter()
            .find_map(|value| match value {
                WktValue::Node(part) => horizontal(part),
                _ => None,
            }),
        keyword => (GEOGRAPHIC.contains(&keyword) || PROJECTED.contains(&keyword)).then_some(node),
    }
}

/// Whether it is the projection of web maps, which takes an ellipsoid for a sphere.
fn is_web_mercator(node: &WktNode) -> bool {
    let method = node
        .child(&["PROJECTION"])
        .or_else(|| node.child(&["CONVERSION"])?.child(&["METHOD"]));
    let name = method
        .map_or("", WktNode::name)
        .to_lowercase()
        .replace('_', " ");
    let proj4 = node
        .child(&["EXTENSION"])
        .and_then(|extension| match extension.values.get(1) {
            Some(WktValue::Text(text)) => Some(text.as_str()),
            _ => None,
        });
    let sphere = proj4.is_some_and(|text| {
        text.starts_with("+proj=merc +a=6378137 +b=6378137 +lat_ts=0 +lon_0=0 +x_0=0 +y_0=0")
    });
    let origin = || {
        node.children(&["PARAMETER"])
            .filter_map(|node| node.number(1))
            .all(|value| value == 0.0)
    };
    sphere || name == "mercator auxiliary sphere" && origin()
}

/// What the text defines, if it is one of the methods that are known.
pub(super) fn definition(node: &WktNode) -> Option<Definition> {
    let node = horizontal(node)?;
    if is_web_mercator(node) {
        return None;
    }
    let name = node.name().to_owned();
    if GEOGRAPHIC.contains(&node.keyword.as_str()) {
        return Some(Definition {
            name,
            geodetic: geodetic(node)?,
            projection: None,
        });
    }
    let base = geodetic(node.child(&BASE)?)?;
    let projection = projection(node, base.unit)?;
    Some(Definition {
        name,
        geodetic: base,
        projection: Some(projection),
    })
}

fn geodetic(node: &WktNode) -> Option<Geodetic> {
    let is_cartesian = node.child(&["CS"]).is_some_and(|cs| {
        cs.values.first().is_some_and(
            |value| matches!(value, WktValue::Word(word) if !word.eq_ignore_ascii_case("ellipsoidal")),
        )
    });
    if node.child(&["DERIVINGCONVERSION", "EXTENSION"]).is_some() || is_cartesian {
        return None;
    }
    let datum = node.child(&["DATUM", "GEODETICDATUM", "TRF", "ENSEMBLE"])?;
    let ellipsoid = datum.child(&["SPHEROID", "ELLIPSOID"])?;
    let metre = ellipsoid
        .child(&UNITS)
        .and_then(|unit| unit.number(1))
        .unwrap_or(1.0);
    let unit = unit(node).unwrap_or(DEGREE);
    let meridian = node.child(&["PRIMEM", "PRIMEMERIDIAN"]);
    let greenwich = meridian.map_or(Some(0.0), |meridian| {
        // In WKT 1 it is in degrees, whatever the unit of the system.
        let by_default = if node.keyword == "GEOGCS" {
            DEGREE
        } else {
            unit
        };
        let own = meridian
            .child(&UNITS)
            .and_then(|unit| unit.number(1))
            .unwrap_or(by_default);
        meridian.number(1).map(|value| value * degrees(own))
    })?;
    let to_wgs84 = datum.child(&["TOWGS84"]).map(|shift| {
        let mut numbers = [0.0; 7];
        numbers
            .iter_mut()
            .enumerate()
            .for_each(|(at, number)| *number = shift.number(at).unwrap_or(0.0));
        numbers
    });
    Some(Geodetic {
        name: node.name().to_owned(),
        datum: datum.name().to_owned(),
        ellipsoid: ellipsoid.name().to_owned(),
        semi_major: ellipsoid.number(1)? * metre,
        inverse_flattening: ellipsoid.number(2)?,
        meridian: meridian.map_or("Greenwich", WktNode::name).to_owned(),
        greenwich,
        unit,
        to_wgs84,
    })
}

/// The unit of the coordinates, which may stand with the axes.
fn unit(node: &WktNode) -> Option<f64> {
    let own = |node: &WktNode| node.child(&UNITS).and_then(|unit| unit.number(1));
    own(node).or_else(|| node.child(&["AXIS"]).and_then(own))
}

fn projection(node: &WktNode, angle: f64) -> Option<MapProjection> {
    if node.child(&["EXTENSION"]).is_some() {
        return None;
    }
    let conversion = node.child(&["CONVERSION"]).unwrap_or(node);
    let method = Method::named(conversion.child(&["PROJECTION", "METHOD"])?.name())?;
    let length = unit(node).unwrap_or(1.0);
    let mut values = BTreeMap::new();
    for parameter in conversion.children(&["PARAMETER"]) {
        let own = parameter
            .child(&["UNIT", "LENGTHUNIT", "ANGLEUNIT", "SCALEUNIT"])
            .and_then(|unit| unit.number(1));
        let value = parameter.number(1)?;
        let Some(kind) = Parameter::named(parameter.name()) else {
            // ESRI's switches, which are off at 0.
            if value == 0.0 { continue } else { return None }
        };
        let value = match kind {
            _ if kind.is_angle() => value * degrees(own.unwrap_or(angle)),
            _ if kind.is_length() => value * own.unwrap_or(length),
            _ => value * own.unwrap_or(1.0),
        };
        values.insert(kind, value);
    }
    if method.name != LAMBERT_2SP || values.contains_key(&Parameter::Parallel2) {
        return Some(MapProjection::new(method, values, length));
    }
    // ESRI has one name for both cones: one parallel, which is the origin, makes the cone that
    // touches.
    let parallel = values.remove(&Parameter::Parallel1)?;
    let apart = values
        .insert(Parameter::Latitude, parallel)
        .is_some_and(|latitude| (latitude - parallel).abs() > 1e-12);
    if apart {
        None
    } else {
        Some(MapProjection::new(
            Method::named(LAMBERT_1SP)?,
            values,
            length,
        ))
    }
}
