//! Grids as collections.

use serde_json::{Map, Value, json};

use super::super::projection;
use super::super::reply::Problem;
use super::super::slice::Plane;
use super::height;
use crate::{Grid, Layer, wire};

/// Whether a grid has rows and columns.
pub(super) fn is_one(grid: &Grid) -> bool {
    Plane::of(grid).is_ok()
}

/// The names of what cells hold: of bands their labels, else the variable.
pub(super) fn parameters(grid: &Grid, plane: Plane<'_>) -> Vec<String> {
    let structure = grid.structure();
    let labels = plane
        .band(structure)
        .and_then(|axis| structure.dimensions()[structure.dimension_of(axis)].labels());
    match labels {
        Some(labels) => labels.to_vec(),
        None => vec![
            grid.schema()
                .variable()
                .map_or_else(|| grid.name(), str::to_owned),
        ],
    }
}

/// What a parameter is.
pub(super) fn parameter(grid: &Grid, name: &str, layer: &Layer) -> Value {
    let schema = grid.schema();
    let known = |key: &str| schema.attributes().get(key).map(String::as_str);
    let label = known("long_name")
        .or(known("standard_name"))
        .unwrap_or(name);
    let mut of = json!({
        "type": "Parameter",
        "description": { "en": label },
        "observedProperty": { "label": { "en": label } },
    });
    if let Some(unit) = schema.unit().filter(|_| layer.keeps_unit()) {
        of["unit"] = json!({ "symbol": unit });
    }
    of
}

/// The address of a system at OGC.
pub(super) fn system(grid: &Grid) -> Option<String> {
    let (authority, code) = crate::crs::code(&crate::crs::kept(grid.structure().crs()?))?;
    Some(format!(
        "http://www.opengis.net/def/crs/{authority}/0/{code}"
    ))
}

/// A collection.
pub(super) fn of(grid: &Grid, root: &str) -> Result<Value, Problem> {
    let (structure, plane) = (grid.structure(), Plane::of(grid)?);
    let name = grid.name();
    let projection = projection::of(grid).ok();
    let here = format!("{root}/edr/collections/{name}");
    let bounds = grid.bounds()?;
    let extent = bounds.as_ref().map(|bounds| structure.extent(bounds));
    let mut extents = Map::new();
    if let Some(extent) = &extent {
        let [x, y] = [plane.x, plane.y].map(|axis| extent.bounds()[axis]);
        // In degrees where they are known, as the standard wants it.
        let plain = projection.as_ref().and_then(|of| of.bounds(x, y));
        let (bbox, system) = match plain {
            Some(bbox) => (
                bbox,
                Some("http://www.opengis.net/def/crs/OGC/1.3/CRS84".to_owned()),
            ),
            None => ([x.0, y.0, x.1, y.1], system(grid)),
        };
        extents.insert(
            "spatial".to_owned(),
            json!({ "bbox": [bbox], "crs": system }),
        );
    }
    if let (Some(along), Some(bounds)) = (plane.along.filter(wire::Along::is_time), &bounds) {
        let ends = along.ends_shown(structure, bounds);
        extents.insert(
            "temporal".to_owned(),
            json!({ "interval": [ends], "trs": "ISO 8601" }),
        );
    }
    if let (Some(axis), Some(extent)) = (height::axis(structure, plane), &extent) {
        let dimension = &structure.dimensions()[structure.dimension_of(axis)];
        let (from, to) = extent.bounds()[axis];
        let mut of = json!({ "interval": [[from.to_string(), to.to_string()]] });
        if let Some(labels) = dimension.labels() {
            let ends =
                [labels.first(), labels.last()].map(|label| label.cloned().unwrap_or_default());
            of = json!({ "interval": [ends], "values": labels });
        }
        let name = structure.axes().nth(axis).map(crate::Axis::name);
        of["vrs"] = name.unwrap_or_default().into();
        extents.insert("vertical".to_owned(), of);
    }
    let query = |kind: &str| {
        json!({ "link": {
            "rel": "data", "href": format!("{here}/{kind}"),
            "variables": {
                "query_type": kind, "output_formats": ["CoverageJSON", "csv"],
                "default_output_format": "CoverageJSON",
            },
        } })
    };
    let mut radius = query("radius");
    radius["link"]["variables"]["within_units"] = json!(["m", "km", "mi"]);
    let names = parameters(grid, plane);
    let parameters: Map<String, Value> = names
        .iter()
        .map(|name| (name.clone(), parameter(grid, name, &Layer::Base)))
        .collect();
    let axes = |axis: usize| structure.axes().nth(axis).map(crate::Axis::name);
    let aggregators = grid.schema().aggregators();
    let own = structure.crs().into_iter();
    let systems: Vec<&str> = own.chain(projection.is_some().then_some("CRS84")).collect();
    Ok(json!({
        "id": name,
        "title": name,
        "links": [{ "rel": "self", "href": here }],
        "extent": extents,
        "data_queries": {
            "position": query("position"), "radius": radius, "area": query("area"), "cube": query("cube"),
        },
        "crs": systems,
        "output_formats": ["CoverageJSON", "csv"],
        "parameter_names": parameters,
        "gridstone": {
            "axes": { "x": axes(plane.x), "y": axes(plane.y), "time": plane.along.and_then(|along| axes(along.number)) },
            "layers": std::iter::once("base".to_owned()).chain(aggregators.iter().map(ToString::to_string)).collect::<Vec<_>>(),
            "base_levels": grid.base_levels()?.map(|levels| wire::levels(structure, levels)),
            "window": bounds.map(|bounds| wire::window(structure, &bounds)),
            "on_map": projection.is_some(),
            "irregular": plane.along.is_some_and(|along| along.irregular),
        },
    }))
}
