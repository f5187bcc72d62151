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

/// What a text says: one object, or several that follow each other (GeoJSONSeq, RFC 8142), which
/// are the features of a collection. A byte order mark in front is passed over.
///
/// # Errors
///
/// [`Invalid`](crate::ErrorKind::Invalid) if it is no JSON.
pub fn parse(text: &str) -> Result<Value> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // RFC 8142 has a record separator in front of each.
    let text = text.replace('\u{1e}', "\n");
    let values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let mut values: Vec<Value> = values
        .collect::<Result<_, _>>()
        .map_err(|cause| Error::invalid("it is not JSON").because(cause))?;
    match values.len() {
        0 => Err(Error::invalid("it is empty, and no JSON")),
        1 => Ok(values.remove(0)),
        _ => Ok(serde_json::json!({ "type": "FeatureCollection", "features": values })),
    }
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

/// The system that a text names, or what is in it, as GeoJSON did before RFC 7946.
///
/// # Errors
///
/// [`Invalid`](crate::ErrorKind::Invalid) if it names several, or one by a link.
pub fn system(value: &Value) -> Result<Option<String>> {
    let mut named: Option<String> = None;
    let mut left = vec![value];
    while let Some(object) = left.pop() {
        match object.get("crs") {
            None | Some(Value::Null) => {}
            Some(crs) => {
                let name = crs.pointer("/properties/name").and_then(Value::as_str);
                let name = name.map(code_of).ok_or_else(|| {
                    Error::invalid(format!(
                        "its coordinates are of a system that is not named: {crs}; `ogr2ogr -f GeoJSON -t_srs EPSG:4326 FITTING.geojson FILE` makes a file of longitudes and latitudes"
                    ))
                })?;
                if let Some(other) = named.as_ref().filter(|other| **other != name) {
                    return Err(Error::invalid(format!(
                        "its coordinates are of several systems, {other} and {name}; give a file of each"
                    )));
                }
                named = Some(name);
            }
        }
        left.extend(object.get("geometry"));
        let lists =
            ["features", "geometries"].map(|name| object.get(name).and_then(Value::as_array));
        left.extend(lists.into_iter().flatten().flatten());
    }
    Ok(named)
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
    fn a_system_is_found_wherever_it_is_named() {
        let crs = |name: &str| json!({ "type": "name", "properties": { "name": name } });
        let polygon =
            |crs: Value| json!({ "type": "Polygon", "crs": crs, "coordinates": [square(0.0)] });
        let inside = polygon(crs("urn:ogc:def:crs:EPSG::3857"));
        let feature = json!({ "type": "Feature", "properties": {}, "geometry": inside });
        let collection =
            |features: Value| json!({ "type": "FeatureCollection", "features": features });
        let geometries = json!({ "type": "GeometryCollection", "geometries": [inside] });
        for value in [
            &inside,
            &feature,
            &collection(json!([feature])),
            &geometries,
        ] {
            let found = system(value).expect("one system");
            assert_eq!(found.as_deref(), Some("EPSG:3857"), "{value}");
        }
        assert_eq!(system(&polygon(Value::Null)).expect("none"), None);
        let other = json!({ "type": "Feature", "crs": crs("EPSG:4326"), "geometry": null });
        system(&collection(json!([feature, other]))).expect_err("two systems");
        let link = json!({ "type": "link", "properties": { "href": "http://x/3857" } });
        let why = system(&polygon(link)).expect_err("a link").to_string();
        assert!(
            why.contains("http://x/3857") && why.contains("ogr2ogr"),
            "{why}"
        );
    }

    #[test]
    fn objects_that_follow_each_other_are_features() {
        let one = json!({ "type": "Polygon", "coordinates": [square(0.0)] });
        let count = |text: &str| {
            outlines(&parse(text).expect("JSON"))
                .expect("polygons")
                .len()
        };
        assert_eq!(count(&format!("\u{feff}{one}")), 1);
        assert_eq!(count(&format!("{one}\n{one}\n")), 2);
        assert_eq!(count(&format!("\u{1e}{one}\n\u{1e}{one}\n")), 2);
        for wrong in ["", "no", "{} no"] {
            parse(wrong).expect_err(wrong);
        }
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
