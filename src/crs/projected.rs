//! The projected systems of EPSG.

use super::definition::{Definition, MapProjection};
use super::geographic;
use super::methods::{Method, Parameter};

/// A line a system, tab-separated: its code; then, if it is of a method that is known here, the
/// code of its geographic system, that of the method, the unit of its coordinates in metres, and
/// the values of the method's parameters (see [`METHODS`]), easting and northing: angles in
/// degrees, lengths in metres. All projected systems of the EPSG dataset v12.029, as PROJ 9.7 has
/// it. Those whose axes run south or west by another method, and those that take an ellipsoid for a
/// sphere, are not known.
const TABLE: &str = include_str!("projected.tsv");

/// EPSG's code of a method, its name, and the order of its parameters in the table.
const METHODS: [(&str, &str, &[Parameter]); 24] = {
    use Parameter::{Azimuth, Latitude, Longitude, Parallel1, Parallel2, Rectified, Scale};
    const CENTRAL: &[Parameter] = &[Latitude, Longitude, Scale];
    const CONIC: &[Parameter] = &[Latitude, Longitude, Parallel1, Parallel2];
    const OBLIQUE: &[Parameter] = &[Latitude, Longitude, Azimuth, Rectified, Scale];
    [
        ("9807", "Transverse_Mercator", CENTRAL),
        ("9808", "Transverse_Mercator_South_Orientated", CENTRAL),
        ("9812", "Hotine_Oblique_Mercator", OBLIQUE),
        ("9815", "Hotine_Oblique_Mercator_Azimuth_Center", OBLIQUE),
        ("9804", "Mercator_1SP", CENTRAL),
        ("9805", "Mercator_2SP", &[Parallel1, Longitude]),
        ("9802", "Lambert_Conformal_Conic_2SP", CONIC),
        ("9801", "Lambert_Conformal_Conic_1SP", CENTRAL),
        (
            "9820",
            "Lambert_Azimuthal_Equal_Area",
            &[Latitude, Longitude],
        ),
        (
            "1027",
            "Lambert_Azimuthal_Equal_Area",
            &[Latitude, Longitude],
        ),
        ("9822", "Albers_Conic_Equal_Area", CONIC),
        ("9810", "Polar_Stereographic", CENTRAL),
        ("9829", "Polar_Stereographic", &[Latitude, Longitude]),
        ("9809", "Oblique_Stereographic", CENTRAL),
        ("1028", "Equirectangular", &[Parallel1, Longitude]),
        ("1029", "Equirectangular", &[Parallel1, Longitude]),
        ("9806", "Cassini_Soldner", &[Latitude, Longitude]),
        ("9818", "Polyconic", &[Latitude, Longitude]),
        ("9835", "Cylindrical_Equal_Area", &[Parallel1, Longitude]),
        ("9842", "Equirectangular", &[Parallel1, Longitude]),
        ("9823", "Equirectangular", &[Parallel1, Longitude]),
        ("9834", "Cylindrical_Equal_Area", &[Parallel1, Longitude]),
        ("9811", "New_Zealand_Map_Grid", &[Latitude, Longitude]),
        ("1125", "Azimuthal_Equidistant", &[Latitude, Longitude]),
    ]
};

/// The system with a code; `None` too if its method is not known.
pub(super) fn of_code(code: u32) -> Option<Definition> {
    let code = code.to_string();
    let (_, row) = TABLE
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .find(|(other, _)| *other == code)?;
    definition(&code, row)
}

fn definition(code: &str, row: &str) -> Option<Definition> {
    let mut row = row.split('\t');
    let geodetic = geographic::of_code(row.next()?.parse().ok()?)?;
    let method = row.next()?;
    let (_, name, parameters) = METHODS.into_iter().find(|(code, ..)| *code == method)?;
    let unit = row.next()?.parse().ok()?;
    let parameters = parameters
        .iter()
        .copied()
        .chain([Parameter::Easting, Parameter::Northing]);
    let values = parameters.map(|parameter| Some((parameter, row.next()?.parse().ok()?)));
    let projection = MapProjection::new(Method::named(name)?, values.collect::<Option<_>>()?, unit);
    Some(Definition {
        name: format!("EPSG:{code}"),
        geodetic,
        projection: Some(projection),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_defines_a_system() {
        let lines = || TABLE.lines().filter_map(|line| line.split_once('\t'));
        for (code, row) in lines() {
            assert!(
                definition(code, row).is_some_and(|system| system.projection.is_some()),
                "{code}: {row}"
            );
        }
        assert_eq!((TABLE.lines().count(), lines().count()), (5_708, 5_609));
    }
}
