//! Coordinate reference systems: what a grid or a file says of its own, held against what another
//! says.
//!
//! A grid keeps its system as a text: `EPSG:n`, `ESRI:n`, or well-known text (WKT). Whether two
//! texts mean one system is told by what they define, never by what they are called: two systems
//! called `unknown` are one if every parameter is.
//!
//! `Definition` is the system of a file that states parameters, whatever the format: GeoTIFF keys,
//! CF attributes, WKT of any dialect. `Definition::wkt` is the text that a grid keeps of it.
//!
//! With the feature `crs`, `Projection` goes between a system and longitude and latitude, and
//! `Transformation` from one system to another, where that is as exact as PROJ.

mod definition;
mod geographic;
mod methods;
#[cfg(feature = "crs")]
mod parameters;
mod projected;
#[cfg(feature = "crs")]
mod projection;
mod read;
#[cfg(feature = "crs")]
mod transformation;
#[cfg(not(feature = "crs"))]
mod untransformed;
mod wkt;

#[cfg(test)]
mod tests;

pub(crate) use definition::{DEGREE, Definition, Geodetic, MapProjection, degrees};
#[cfg(feature = "netcdf")]
pub(crate) use geographic::of_name as geodetic_of_name;
pub(crate) use geographic::{of_code as geodetic_of_code, of_datum as geodetic_of_datum};
pub(crate) use methods::{Method, Parameter};
#[cfg(feature = "crs")]
#[cfg_attr(
    not(feature = "server"),
    allow(unused_imports, reason = "what only maps need")
)]
pub(crate) use projection::{Projection, RADIUS};
#[cfg(feature = "crs")]
pub(crate) use transformation::Transformation;
#[cfg(not(feature = "crs"))]
pub(crate) use untransformed::Transformation;

use wkt::WktNode;

/// The code that is meant by `EPSG:n` and `ESRI:n`; authority and number.
pub(crate) fn code(text: &str) -> Option<(&'static str, u32)> {
    // Longitude first, as all grids have it.
    if ["OGC:CRS84", "CRS:84"]
        .iter()
        .any(|name| text.trim().eq_ignore_ascii_case(name))
    {
        return Some(("EPSG", 4326));
    }
    let (authority, number) = text.trim().split_once(':')?;
    let number = number.trim().parse().ok()?;
    match authority.trim().to_uppercase().as_str() {
        "EPSG" => Some(("EPSG", number)),
        "ESRI" => Some(("ESRI", number)),
        _ => None,
    }
}

/// The text that a grid keeps of a system: `EPSG:n` of WKT that names its code, else the text
/// itself. Of a compound system only the horizontal part counts.
pub(crate) fn kept(text: &str) -> String {
    let text = text.trim();
    match code(text).or_else(|| WktNode::parse(text).and_then(|node| read::code(&node))) {
        Some((authority @ "EPSG", number)) => format!("{authority}:{number}"),
        _ => text.to_owned(),
    }
}

/// What a text defines; `None` of a code that is not known here, of a name, and of WKT beyond what
/// `Definition` can hold.
pub(crate) fn definition(text: &str) -> Option<Definition> {
    match code(text) {
        Some(("EPSG", number)) => Definition::of_epsg(number),
        Some(_) => None,
        None => read::definition(&WktNode::parse(text)?),
    }
}

/// Whether two texts mean one system.
///
/// Codes are held against codes, and parameters against parameters. What cannot be told by either
/// is one system only if the texts are the same and say something: not if they are a name that
/// stands for none, like `unknown`.
pub fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.trim(), b.trim());
    let code_of =
        |text: &str| code(text).or_else(|| WktNode::parse(text).and_then(|node| read::code(&node)));
    let codes = code_of(a).zip(code_of(b));
    if codes.is_some_and(|(a, b)| a == b) {
        return true;
    }
    if let (Some(a), Some(b)) = (definition(a), definition(b)) {
        return a.is_same(&b);
    }
    codes.is_none() && !says_nothing(a) && plain_wkt(a) == plain_wkt(b)
}

/// Whether two texts may mean one system: they define the same but for a datum, which one of them
/// does not name.
pub(crate) fn may_be_same(a: &str, b: &str) -> bool {
    definition(a)
        .zip(definition(b))
        .is_some_and(|(a, b)| a.is_same_but_for_datum(&b))
}

/// Whether the coordinates of a system are longitude and latitude in degrees; `None` if that is not
/// known.
pub(crate) fn is_geographic(text: &str) -> Option<bool> {
    if let Some(definition) = definition(text) {
        return Some(definition.projection.is_none() && definition.geodetic.is_in_degrees());
    }
    match code(text) {
        // Every geographic system of EPSG is defined here.
        Some(("EPSG", _)) => Some(false),
        _ => None,
    }
}

/// The WKT of a projected system whose coordinates are in another unit than it has them in; the text
/// itself where they are not. `None` of what is not projected, or not known here.
#[cfg_attr(
    not(any(feature = "netcdf", feature = "geotiff")),
    allow(dead_code, reason = "what only other formats need")
)]
pub(crate) fn in_unit(text: &str, metres: f64) -> Option<String> {
    let mut definition = definition(text)?;
    let projection = definition.projection.as_mut()?;
    if (projection.unit / metres - 1.0).abs() <= 1e-6 {
        return Some(text.to_owned());
    }
    projection.unit = metres;
    definition.name = format!("{} in units of {metres} m", shown(text));
    Some(definition.wkt())
}

/// Whether a name stands for no system.
pub(crate) fn says_nothing(name: &str) -> bool {
    let name = plain(name);
    let known = [
        "",
        "unnamed",
        "userdefined",
        "undefined",
        "none",
        "null",
        "local",
        "custom",
        "arbitrary",
    ];
    known.contains(&name.as_str())
        || ["unknown", "notspecified", "unspecified"]
            .iter()
            .any(|start| name.starts_with(start))
}

/// The system as an option of a GDAL command on a command line; `None` for what GDAL cannot take
/// from there.
pub fn argument(text: &str) -> Option<String> {
    if let Some((authority, number)) = code(text) {
        return Some(format!("{authority}:{number}"));
    }
    // A quote would end the argument: in a name it can go.
    let node = WktNode::parse(text)?;
    (!node.keyword.starts_with("LOCAL_CS")).then(|| format!("'{}'", text.trim().replace('\'', "")))
}

/// The system as well-known text, with its code if it has one; `None` of a code that is not known
/// here, and of a name.
#[cfg_attr(
    not(any(feature = "netcdf", feature = "zarr")),
    allow(dead_code, reason = "what only other formats need")
)]
pub(crate) fn well_known(text: &str) -> Option<String> {
    let text = text.trim();
    let Some((authority, number)) = code(text) else {
        return text.ends_with(']').then(|| text.to_owned());
    };
    let wkt = definition(text)?.wkt();
    let inner = wkt.strip_suffix(']')?;
    Some(format!("{inner},AUTHORITY[\"{authority}\",\"{number}\"]]"))
}

/// The system in a few words: its code, its name if that tells something, or its method of
/// projection.
pub fn shown(text: &str) -> String {
    let text = text.trim();
    let Some(node) = WktNode::parse(text) else {
        return shortened(text);
    };
    if !says_nothing(node.name()) {
        return shortened(node.name());
    }
    match definition(text).map(|definition| definition.projection) {
        Some(Some(projection)) => format!("an unnamed {}", projection.method.name),
        Some(None) => "unnamed longitude and latitude".to_owned(),
        None => shortened(text),
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= 60 {
        text.to_owned()
    } else {
        text.chars().take(57).chain("...".chars()).collect()
    }
}

/// Letters and digits of a name, in small letters.
pub(super) fn plain(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// A text without blanks, in small letters.
fn plain_wkt(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_whitespace())
        .flat_map(char::to_lowercase)
        .collect()
}
