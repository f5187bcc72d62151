//! Where the rows and columns of a variable lie that a grid keeps on index axes: what its
//! coordinates are in the first and in the last cell. Files whose cells lie elsewhere are told from
//! those that the grid was made after.

use std::collections::BTreeMap;

use super::decode::Decoding;
use super::file::NetCdf;
use super::header::Variable;
use super::roles::Roles;
use super::stored::StoredNumbers;
use crate::error::Result;

/// How far numbers may be apart that are one, as a part of the larger: a float32 holds seven
/// digits.
const DIGITS: f64 = 1e-6;

/// The coordinates along rows or columns, by name: `10.5 to 47.25`.
pub(super) fn of(
    file: &NetCdf,
    variable: &Variable,
    roles: &Roles,
) -> Result<BTreeMap<String, String>> {
    let header = file.header();
    let plane = [roles.y, roles.x].map(|axis| &variable.dimensions[axis]);
    let listed = variable
        .text("coordinates")
        .into_iter()
        .flat_map(str::split_whitespace);
    let named = plane
        .map(|dimension| dimension.name.as_str())
        .into_iter()
        .chain(listed);
    let is_along = |of: &&Variable| {
        of.dtype.is_some()
            && of
                .dimensions
                .iter()
                .any(|dimension| plane.contains(&dimension))
    };
    let mut corners = BTreeMap::new();
    for coordinate in named
        .filter_map(|name| header.near(variable, name))
        .filter(is_along)
    {
        let decoding = Decoding::of_coordinate(coordinate)?;
        let end = |is_last: bool| {
            let at = |of: &super::header::FileDimension| {
                if is_last && plane.contains(&of) {
                    of.len.saturating_sub(1)
                } else {
                    0
                }
            };
            let start: Vec<u64> = coordinate.dimensions.iter().map(at).collect();
            let cell = file.read(&coordinate.name, &start, &vec![1; start.len()])?;
            let cell = StoredNumbers::of(&decoding, cell)?
                .texts()
                .into_iter()
                .next();
            Ok::<_, crate::Error>(cell.unwrap_or_else(|| f64::NAN.to_string()))
        };
        corners.insert(
            coordinate.leaf().to_owned(),
            format!("{} to {}", end(false)?, end(true)?),
        );
    }
    Ok(corners)
}

/// Whether two such texts are of one place.
pub(super) fn same(a: &str, b: &str) -> bool {
    let number = |word: &str| word.parse::<f64>().ok();
    let alike = |(a, b): (&str, &str)| match (number(a), number(b)) {
        (Some(a), Some(b)) => {
            (a - b).abs() <= a.abs().max(b.abs()) * DIGITS || a.is_nan() && b.is_nan()
        }
        _ => a == b,
    };
    a.split(' ').count() == b.split(' ').count() && a.split(' ').zip(b.split(' ')).all(alike)
}
