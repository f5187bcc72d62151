//! The geographic systems of EPSG: their datums and ellipsoids.

use super::definition::Geodetic;

/// A line a system, tab-separated: code, name, code of the datum, datum, ellipsoid, its semi-major axis in metres and inverse
/// flattening, prime meridian, its longitude in degrees, the unit of angles in radians. All geographic 2D systems of the EPSG
/// dataset v12.029, as PROJ 9.7 has it.
const TABLE: &str = include_str!("geographic.tsv");

/// The system with a code.
pub(crate) fn of_code(code: u32) -> Option<Geodetic> {
    rows().find(|row| row[0].parse() == Ok(code)).and_then(|row| geodetic(&row))
}

/// The first system with a datum of a code.
pub(crate) fn of_datum(code: u32) -> Option<Geodetic> {
    rows().find(|row| row[2].parse() == Ok(code)).and_then(|row| geodetic(&row))
}

fn rows() -> impl Iterator<Item = [&'static str; 10]> {
    TABLE.lines().filter_map(|line| line.split('\t').collect::<Vec<_>>().try_into().ok())
}

fn geodetic(row: &[&str; 10]) -> Option<Geodetic> {
    let number = |at: usize| row[at].parse::<f64>().ok();
    Some(Geodetic {
        name: row[1].to_owned(),
        datum: row[3].to_owned(),
        ellipsoid: row[4].to_owned(),
        semi_major: number(5)?,
        inverse_flattening: number(6)?,
        meridian: row[7].to_owned(),
        greenwich: number(8)?,
        unit: number(9)?,
        to_wgs84: None,
    })
}
