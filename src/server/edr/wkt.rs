//! Points and polygons as well-known text, and where they lie in a grid.

use axum::http::StatusCode;

use super::super::params::{number, shortened};
use super::super::projection;
use super::super::reply::Problem;
use super::super::slice::Plane;
use crate::crs::Projection;
use crate::statistics::Ring;
use crate::wire::geojson::code_of;
use crate::{Axis, Grid, Polygon, crs};

/// The most points a text may have.
const POINTS_MAX: usize = 1 << 16;

fn wrong(text: &str, kind: &str) -> Problem {
    Problem::parameter(
        "coords",
        format!("`{}` is no {kind} of well-known text", shortened(text)),
    )
    .allowed(vec![kind.to_owned()])
}

/// What stands in the outer parentheses behind a word.
fn inside<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let text = text.trim();
    let head = text.get(..word.len())?;
    let rest = text.get(word.len()..)?.trim();
    (head.eq_ignore_ascii_case(word))
        .then_some(rest)?
        .strip_prefix('(')?
        .strip_suffix(')')
        .map(str::trim)
}

/// Cuts at commas that stand in no parentheses.
fn items(text: &str) -> Option<Vec<&str>> {
    let (mut depth, mut start, mut items) = (0_i32, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                items.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
        if depth < 0 {
            return None;
        }
    }
    items.push(text[start..].trim());
    (depth == 0 && items.len() <= POINTS_MAX).then_some(items)
}

fn enclosed(text: &str) -> Option<Vec<&str>> {
    items(text.strip_prefix('(')?.strip_suffix(')')?)
}

fn pair(text: &str) -> Result<[f64; 2], Problem> {
    let numbers = text.split_whitespace().map(|part| number("coords", part));
    let numbers: Vec<f64> = numbers.collect::<Result<_, _>>()?;
    match numbers[..] {
        [x, y] => Ok([x, y]),
        _ => Err(Problem::parameter(
            "coords",
            format!("`{}` is not two numbers, x and y", shortened(text)),
        )),
    }
}

/// `POINT(x y)`.
pub(super) fn point(text: &str) -> Result<[f64; 2], Problem> {
    pair(inside(text, "POINT").ok_or_else(|| wrong(text, "POINT"))?)
}

/// The parts of `POLYGON((..))` or `MULTIPOLYGON(((..)))`.
pub(super) fn parts(text: &str) -> Result<Vec<Vec<Ring>>, Problem> {
    let wrong = || wrong(text, "POLYGON or MULTIPOLYGON");
    let rings = |rings: Vec<&str>| -> Result<Vec<Ring>, Problem> {
        let ring = |ring: &str| {
            let points = enclosed(ring).ok_or_else(wrong)?;
            points.into_iter().map(pair).collect::<Result<Ring, _>>()
        };
        rings.into_iter().map(ring).collect()
    };
    if let Some(all) = inside(text, "MULTIPOLYGON") {
        let parts = items(all).ok_or_else(wrong)?;
        let part = |part: &str| rings(enclosed(part).ok_or_else(wrong)?);
        return parts.into_iter().map(part).collect();
    }
    let all = inside(text, "POLYGON").ok_or_else(wrong)?;
    Ok(vec![rings(items(all).ok_or_else(wrong)?)?])
}

/// From the coordinates of a request to those of a grid.
pub(in crate::server) struct Into<'a> {
    grid: &'a Grid,
    /// That of the request and that of the grid, if they differ.
    between: Option<(Projection, Projection)>,
}

impl<'a> Into<'a> {
    /// From a system that the request names; none is the grid's.
    pub(in crate::server) fn new(grid: &'a Grid, system: Option<&str>) -> Result<Self, Problem> {
        let Some(system) = system else {
            return Ok(Self {
                grid,
                between: None,
            });
        };
        let code = plain(&code_of(system));
        let own = grid.structure().crs();
        let same = own.is_some_and(|own| crs::same(own, &code));
        if same {
            return Ok(Self {
                grid,
                between: None,
            });
        }
        let from = Projection::of_system(&code)
            .map_err(|why| Problem::parameter("crs", format!("`{}`: {why}", shortened(system))))?;
        Ok(Self {
            grid,
            between: Some((from, projection::of(grid)?)),
        })
    }

    /// A point. Which parameter is at fault if it has no place, the caller says.
    pub(in crate::server) fn point(&self, at: [f64; 2]) -> Result<[f64; 2], Problem> {
        let Some((from, to)) = &self.between else {
            return Ok(at);
        };
        let found = from.inverse(at).and_then(|plain| to.forward(plain));
        found.ok_or_else(|| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                format!(
                    "{} {} has no place in the system of grid `{}`",
                    at[0],
                    at[1],
                    self.grid.name()
                ),
            )
        })
    }

    /// Whether coordinates are the grid's as they are.
    pub(in crate::server) fn is_plain(&self) -> bool {
        self.between.is_none()
    }
}

/// Whether two names are of one system.
pub(in crate::server) fn is_one_system(a: &str, b: &str) -> bool {
    let (a, b) = (plain(&code_of(a)), plain(&code_of(b)));
    a == b || crs::same(&a, &b)
}

/// `CRS84` by any of its names.
fn plain(system: &str) -> String {
    if system.to_ascii_uppercase().ends_with("CRS84") {
        "EPSG:4326".to_owned()
    } else {
        system.to_owned()
    }
}

/// Parts as a polygon where the grid has its data: in its system, and on a globe turned to its
/// longitudes. Edges are straight between the points that are given.
pub(in crate::server) fn polygon(
    grid: &Grid,
    plane: Plane<'_>,
    into: &Into<'_>,
    parts: Vec<Vec<Ring>>,
) -> Result<Polygon, Problem> {
    let names: Vec<&str> = grid.structure().axes().map(Axis::name).collect();
    let mut parts = parts;
    for point in parts.iter_mut().flatten().flatten() {
        *point = into.point(*point)?;
    }
    let polygon = Polygon::new([names[plane.x], names[plane.y]], parts)?;
    let round = grid.structure().longitude() == Some(plane.x);
    match grid.extent()?.filter(|_| round) {
        Some(extent) => Ok(polygon.around(names[plane.x], extent.bounds()[plane.x])?.0),
        None => Ok(polygon),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_and_polygons_are_read() {
        assert_eq!(point("POINT(9.5 -48)").expect("a point"), [9.5, -48.0]);
        assert_eq!(point(" point ( 1e2   2 ) ").expect("a point"), [100.0, 2.0]);
        let square = "POLYGON((0 0, 4 0, 4 4, 0 0),(1 1,2 1,2 2,1 1))";
        let found = parts(square).expect("a polygon");
        assert_eq!((found.len(), found[0].len(), found[0][0].len()), (1, 2, 4));
        let two = "MULTIPOLYGON(((0 0,1 0,1 1,0 0)),((5 5,6 5,6 6,5 5)))";
        let found = parts(two).expect("polygons");
        assert_eq!((found.len(), found[1][0][2]), (2, [6.0, 6.0]));
    }

    #[test]
    fn what_is_no_geometry_is_refused() {
        for text in [
            "",
            "POINT",
            "POINT()",
            "POINT(1)",
            "POINT(1 2 3)",
            "POINT(NaN 1)",
            "POINT(inf 1)",
            "POINT((1 2)",
            "\u{1f600}OINT(1 2)",
            "LINESTRING(0 0,1 1)",
        ] {
            assert!(point(text).is_err(), "{text}");
        }
        for text in [
            "POLYGON",
            "POLYGON()",
            "POLYGON(())",
            "POLYGON((1 2,3))",
            "POLYGON((0 0,1 1,1 0)",
            "POLYGON)0 0(",
            "MULTIPOLYGON((0 0,1 1,1 0))",
        ] {
            assert!(parts(text).is_err(), "{text}");
        }
    }
}
