//! Polygons of GeoJSON (RFC 7946), their coordinates as they stand.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::statistics::{Polygon, Ring};

/// One feature.
#[derive(Clone, Debug)]
pub struct Outline {
    /// Its name, if it has one, else its number.
    pub name: String,
    /// What is said of it.
    pub properties: Value,
    /// The parts of its polygons; none if it has no geometry.
    pub parts: Vec<Vec<Ring>>,
}

/// The features of a text, in their order; a geometry alone is one.
///
/// # Errors
///
/// [`Invalid`](crate::ErrorKind::Invalid), with the place in the text, if it is no GeoJSON, or has
/// other geometries than polygons.
pub fn outlines(value: &Value) -> Result<Vec<Outline>> {
    let of_collection = value.get("type").and_then(Value::as_str) == Some("FeatureCollection");
    let all = if of_collection {
        list(value.get("features"), "", "features")?.as_slice()
    } else {
        std::slice::from_ref(value)
    };
    let outline = |(number, feature): (usize, &Value)| {
        let mut parts = Vec::new();
        collect(feature, &format!("feature {}: ", number + 1), &mut parts)?;
        Ok(Outline {
            name: name(feature, number),
            properties: feature.get("properties").cloned().unwrap_or(Value::Null),
            parts,
        })
    };
    all.iter().enumerate().map(outline).collect()
}

/// The system that a text names, as GeoJSON did before RFC 7946.
pub fn system(value: &Value) -> Option<String> {
    let named = value.pointer("/crs/properties/name");
    named.and_then(Value::as_str).map(code_of)
}

/// `EPSG:n` of a name like `urn:ogc:def:crs:EPSG::32632` or
/// `http://www.opengis.net/def/crs/EPSG/0/32632`, or the name itself.
pub fn code_of(name: &str) -> String {
    let parts: Vec<&str> = name.split([':', '/']).collect();
    match parts[..] {
        ["urn", _, "def", "crs", authority, _, code]
        | [
            "http" | "https",
            "",
            "",
            _,
            "def",
            "crs",
            authority,
            _,
            code,
        ] => {
            format!("{authority}:{code}")
        }
        _ => name.to_owned(),
    }
}

/// What a feature is called.
fn name(feature: &Value, number: usize) -> String {
    let properties = feature.get("properties");
    let of = |key: &str| properties.and_then(|properties| properties.get(key));
    let known = ["name", "NAME", "Name", "id", "ID", "Id"]
        .iter()
        .find_map(|key| of(key))
        .or_else(|| feature.get("id"));
    match known {
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => format!("feature {}", number + 1),
    }
}

/// Parts as a polygon along two axes.
///
/// # Errors
///
/// [`Invalid`](crate::ErrorKind::Invalid) if there are no parts, or one of them is no polygon.
pub fn polygon(parts: Vec<Vec<Ring>>, axes: [&str; 2]) -> Result<Polygon> {
    if parts.is_empty() {
        return Err(Error::invalid("there is no Polygon or MultiPolygon in it"));
    }
    Polygon::new(axes, parts)
}

/// Adds the parts of an object; `place` says where it is in the file.
///
/// # Errors
///
/// Those of [`outlines`].
pub fn collect(value: &Value, place: &str, parts: &mut Vec<Vec<Ring>>) -> Result<()> {
    let kind = value
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let within = |what: &str, i: usize| format!("{place}{what} {}: ", i + 1);
    match kind {
        "FeatureCollection" => {
            for (i, feature) in list(value.get("features"), place, "features")?
                .iter()
                .enumerate()
            {
                collect(feature, &within("feature", i), parts)?;
            }
        }
        "Feature" => match value.get("geometry") {
            None | Some(Value::Null) => {}
            Some(geometry) => collect(geometry, place, parts)?,
        },
        "GeometryCollection" => {
            for (i, geometry) in list(value.get("geometries"), place, "geometries")?
                .iter()
                .enumerate()
            {
                collect(geometry, &within("geometry", i), parts)?;
            }
        }
        "Polygon" => parts.extend(rings(value.get("coordinates"), place)?),
        "MultiPolygon" => {
            for (i, of_part) in list(value.get("coordinates"), place, "coordinates")?
                .iter()
                .enumerate()
            {
                parts.extend(rings(Some(of_part), &within("part", i))?);
            }
        }
        "" => return Err(Error::invalid(format!("{place}it has no `type`"))),
        other => {
            return Err(Error::invalid(format!(
                "{place}it is a {other}; give Polygon or MultiPolygon, alone or in features or collections"
            )));
        }
    }
    Ok(())
}

/// The rings of one part; none of an empty one.
fn rings(value: Option<&Value>, place: &str) -> Result<Option<Vec<Ring>>> {
    let mut rings = Vec::new();
    for (i, of_ring) in list(value, place, "coordinates")?.iter().enumerate() {
        let place = format!("{place}ring {}: ", i + 1);
        let point = |value: &Value| {
            let number = |i: usize| value.get(i).and_then(Value::as_f64);
            number(0)
                .zip(number(1))
                .map(|(x, y)| [x, y])
                .ok_or_else(|| Error::invalid(format!("{place}`{value}` is no position")))
        };
        rings.push(
            list(Some(of_ring), &place, "positions")?
                .iter()
                .map(point)
                .collect::<Result<Ring>>()?,
        );
    }
    Ok((!rings.is_empty()).then_some(rings))
}

fn list<'a>(value: Option<&'a Value>, place: &str, what: &str) -> Result<&'a Vec<Value>> {
    value
        .and_then(Value::as_array)
        .ok_or_else(|| Error::invalid(format!("{place}its {what} are no list")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn square(at: f64) -> Value {
        json!([
            [at, 0.0],
            [at + 1.0, 0.0],
            [at + 1.0, 1.0],
            [at, 1.0],
            [at, 0.0]
        ])
    }

    fn of(value: &Value) -> Result<Polygon> {
        let mut parts = Vec::new();
        collect(value, "", &mut parts)?;
        polygon(parts, ["x", "y"])
    }

    #[test]
    fn a_feature_is_called_by_its_name_or_number() {
        let of = |properties: Value| {
            name(
                &json!({ "type": "Feature", "id": 7, "properties": properties }),
                2,
            )
        };
        assert_eq!(
            [
                of(json!({ "name": "Rhone", "id": 3 })),
                of(json!({ "ID": 3 })),
                of(json!({})),
                of(Value::Null)
            ],
            ["Rhone", "3", "7", "7"]
        );
        assert_eq!(name(&json!({ "type": "Polygon" }), 2), "feature 3");
    }

    #[test]
    fn polygons_are_found_wherever_they_are() {
        let simple = json!({ "type": "Polygon", "coordinates": [square(0.0), square(0.25)] });
        let multi =
            json!({ "type": "MultiPolygon", "coordinates": [[square(2.0)], [square(4.0)]] });
        let feature = |geometry: &Value| json!({ "type": "Feature", "properties": null, "geometry": geometry });
        let all = json!({ "type": "FeatureCollection", "features": [
            feature(&simple), feature(&Value::Null), feature(&json!({ "type": "GeometryCollection", "geometries": [multi.clone(), simple.clone()] })),
        ] });
        let bounds = |value: &Value| of(value).expect("a polygon").bounds();
        assert_eq!(bounds(&simple), [(0.0, 1.25), (0.0, 1.0)]);
        assert_eq!(bounds(&multi), [(2.0, 5.0), (0.0, 1.0)]);
        assert_eq!(bounds(&all), [(0.0, 5.0), (0.0, 1.0)]);
    }

    #[test]
    fn what_is_no_polygon_is_told_with_its_place() {
        let why = |value: Value| of(&value).expect_err("no polygon").to_string();
        assert_eq!(
            why(json!({ "type": "FeatureCollection", "features": [] })),
            "there is no Polygon or MultiPolygon in it"
        );
        assert_eq!(why(json!([1])), "it has no `type`");
        let line = json!({ "type": "LineString", "coordinates": [[0, 0], [1, 1]] });
        let of = json!({ "type": "FeatureCollection", "features": [{ "type": "Feature", "geometry": line }] });
        assert!(why(of).starts_with("feature 1: it is a LineString; give Polygon"));
        assert_eq!(
            why(json!({ "type": "Polygon" })),
            "its coordinates are no list"
        );
        assert_eq!(
            why(json!({ "type": "Polygon", "coordinates": [[[0, "a"]]] })),
            "ring 1: `[0,\"a\"]` is no position"
        );
        let line = json!({ "type": "MultiPolygon", "coordinates": [[square(0.0)], [[[0, 0], [1, 1], [0, 0]]]] });
        assert!(why(line).starts_with("ring 1 of part 2 of the polygon has 2 different points"));
    }
}
