//! The geographic systems of EPSG: their datums and ellipsoids.

use super::definition::Geodetic;

/// A line a system, tab-separated: code, name, code of the datum, datum, ellipsoid, its semi-major
/// axis in metres and inverse flattening, prime meridian, its longitude in degrees, the unit of
/// angles in radians. All geographic systems of the EPSG dataset v12.029, as PROJ 9.7 has it: those
/// of two dimensions, then those of three, of which height is left out.
const TABLE: &str = include_str!("geographic.tsv");

/// The system with a code.
pub(crate) fn of_code(code: u32) -> Option<Geodetic> {
    let code = code.to_string();
    rows()
        .find(|(other, _)| *other == code)
        .and_then(|(_, row)| geodetic(row))
}

/// The first system with a datum of a code.
pub(crate) fn of_datum(code: u32) -> Option<Geodetic> {
    let code = code.to_string();
    rows()
        .find(|(_, row)| row.split('\t').nth(1) == Some(&code))
        .and_then(|(_, row)| geodetic(row))
}

/// The first system with a name, or whose datum or ellipsoid has it, in any spelling.
#[cfg(feature = "netcdf")]
pub(crate) fn of_name(name: &str) -> Option<Geodetic> {
    let plain = |text: &str| -> String {
        let letters = text.chars().filter(char::is_ascii_alphanumeric);
        letters.map(|c| c.to_ascii_lowercase()).collect()
    };
    let wanted = plain(name);
    // The system, its datum, and its ellipsoid.
    [0, 2, 3].into_iter().find_map(|column| {
        let mut found = rows()
            .filter(|(_, row)| row.split('\t').nth(column).map(plain) == Some(wanted.clone()));
        geodetic(found.next()?.1)
    })
}

/// Codes and what the table has behind them.
fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE.lines().filter_map(|line| line.split_once('\t'))
}

fn geodetic(row: &str) -> Option<Geodetic> {
    let row: [&str; 9] = row.split('\t').collect::<Vec<_>>().try_into().ok()?;
    let number = |at: usize| row[at].parse::<f64>().ok();
    Some(Geodetic {
        name: row[0].to_owned(),
        datum: row[2].to_owned(),
        ellipsoid: row[3].to_owned(),
        semi_major: number(4)?,
        inverse_flattening: number(5)?,
        meridian: row[6].to_owned(),
        greenwich: number(7)?,
        unit: number(8)?,
        to_wgs84: None,
    })
}
