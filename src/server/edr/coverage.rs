//! Cells as CoverageJSON.

use std::fmt::Write as _;

use ndarray::{Axis, Slice};
use serde_json::{Map, Value, json};

use super::ask::Kind;
use super::collection;
use super::read::Found;
use crate::array::{Cell, with_view};
use crate::wire;

/// The centres of cells along an axis of the answer.
pub(super) fn centres(found: &Found<'_>, axis: usize) -> Vec<f64> {
    let structure = found.grid.structure();
    let window = &found.answer.window;
    let levels = window.levels(structure.dimensions().len());
    let level = levels[structure.dimension_of(axis)];
    let len = found.answer.array.shape()[axis];
    let first = window.start()[axis];
    (0..len)
        .map(|at| {
            let cell = first.saturating_add_unsigned(at as u64);
            let edge = |cell: i64| structure.edge(axis, level, cell);
            edge(cell) / 2.0 + edge(cell.saturating_add(1)) / 2.0
        })
        .collect()
}

/// Where steps begin or events are along the axis of times, for people and programs.
pub(super) fn times(found: &Found<'_>) -> Vec<String> {
    let structure = found.grid.structure();
    let Some(along) = found.plane.along else {
        return Vec::new();
    };
    let Some(axis) = structure.axes().nth(along.number) else {
        return Vec::new();
    };
    if let Some(of) = &found.answer.coordinates {
        return of.ticks.iter().map(|tick| axis.shown(*tick)).collect();
    }
    let window = &found.answer.window;
    let level = window.levels(structure.dimensions().len())[structure.dimension_of(along.number)];
    let first = window.start()[along.number];
    (0..found.answer.array.shape()[along.number])
        .map(|at| {
            let cell = first.saturating_add_unsigned(at as u64);
            wire::shown(axis, structure.edge(along.number, level, cell))
        })
        .collect()
}

/// The order of axes in which cells are told: bands, times, rows, columns, then what has one cell.
fn order(found: &Found<'_>) -> Vec<usize> {
    let time = found.plane.along.map(|along| along.number);
    let first: Vec<usize> = found
        .band
        .into_iter()
        .chain(time)
        .chain([found.plane.y, found.plane.x])
        .collect();
    let rest = (0..found.grid.structure().rank()).filter(|axis| !first.contains(axis));
    first.iter().copied().chain(rest).collect()
}

/// Calls `take` with each cell of a parameter in the order of times, rows and columns: as text, or
/// none without data.
pub(super) fn each_cell(
    found: &Found<'_>,
    parameter: usize,
    mut take: impl FnMut(usize, Option<&str>),
) {
    let order = order(found);
    // Bands come first.
    let of_parameter = Slice::from(match found.band {
        Some(_) => parameter..parameter + 1,
        None => 0..found.answer.array.shape()[order[0]],
    });
    let valid = found.answer.valid();
    let valid = valid.map(|valid| valid.permuted_axes(order.clone()));
    let valid = valid
        .as_ref()
        .map(|valid| valid.slice_axis(Axis(0), of_parameter));
    let width = found.answer.array.shape()[found.plane.x];
    let plane = width * found.answer.array.shape()[found.plane.y];
    let mut text = String::new();
    with_view!(Array, &found.answer.array, |array| {
        let view = array.view().permuted_axes(order);
        let view = view.slice_axis(Axis(0), of_parameter);
        let mut valid = valid.as_ref().map(|valid| valid.iter());
        for (number, cell) in view.iter().enumerate() {
            let held = valid
                .as_mut()
                .is_none_or(|valid| valid.next() == Some(&true));
            let at = number % plane;
            let counts = found
                .mask
                .as_ref()
                .is_none_or(|mask| mask[[at / width, at % width]]);
            // What is not finite is no number of JSON.
            if held && counts && cell.to_f64().is_finite() {
                text.clear();
                // Writing to a text does not fail.
                let _ = write!(text, "{cell:?}");
                take(number, Some(&text));
            } else {
                take(number, None);
            }
        }
    });
}

/// The whole text.
pub(super) fn text(found: &Found<'_>) -> String {
    let shape = found.answer.array.shape();
    let structure = found.grid.structure();
    let times = times(found);
    let timed = found.plane.along;
    let is_time = timed.is_some_and(|along| along.is_time());
    let time_name = timed.and_then(|along| {
        let name = structure.axes().nth(along.number).map(crate::Axis::name);
        if is_time { Some("t") } else { name }
    });
    let mut axes = Map::new();
    for (name, axis) in [("x", found.plane.x), ("y", found.plane.y)] {
        axes.insert(name.to_owned(), json!({ "values": centres(found, axis) }));
    }
    if let Some(name) = time_name {
        axes.insert(name.to_owned(), json!({ "values": times }));
    }
    let point = found.kind == Kind::Position;
    let kind = match (point, time_name.is_some()) {
        (true, true) => "PointSeries",
        (true, false) => "Point",
        (false, _) => "Grid",
    };
    let geographic = structure.crs().and_then(crate::crs::is_geographic) == Some(true);
    let mut system = json!({ "type": if geographic { "GeographicCRS" } else { "ProjectedCRS" } });
    if let Some(id) = collection::system(found.grid) {
        system["id"] = id.into();
    }
    let mut referencing = vec![json!({ "coordinates": ["x", "y"], "system": system })];
    if is_time {
        referencing.push(json!({ "coordinates": ["t"], "system": { "type": "TemporalRS", "calendar": calendar(found) } }));
    }
    let parameters: Map<String, Value> = found
        .parameters
        .iter()
        .map(|(_, name)| {
            (
                name.clone(),
                collection::parameter(found.grid, name, &found.answer.layer),
            )
        })
        .collect();
    let head = json!({
        "type": "Coverage",
        "domain": { "type": "Domain", "domainType": kind, "axes": axes, "referencing": referencing },
        "parameters": parameters,
    });
    let names: Vec<&str> = time_name
        .into_iter()
        .chain((!point).then_some(["y", "x"]).into_iter().flatten())
        .collect();
    let lens: Vec<usize> = timed
        .map(|along| shape[along.number])
        .into_iter()
        .chain(
            (!point)
                .then_some([shape[found.plane.y], shape[found.plane.x]])
                .into_iter()
                .flatten(),
        )
        .collect();
    let dtype = if found.answer.array.dtype().is_float() {
        "float"
    } else {
        "integer"
    };
    let mut out = head.to_string();
    out.pop();
    out.push_str(",\"ranges\":{");
    for (number, (band, name)) in found.parameters.iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        let range =
            json!({ "type": "NdArray", "dataType": dtype, "axisNames": names, "shape": lens });
        let mut range = range.to_string();
        range.pop();
        // Writing to a text does not fail.
        let _ = write!(out, "{}:{range},\"values\":[", Value::from(name.as_str()));
        each_cell(found, *band, |number, cell| {
            if number > 0 {
                out.push(',');
            }
            out.push_str(cell.unwrap_or("null"));
        });
        out.push_str("]}");
    }
    out.push_str("}}");
    out
}

/// The calendar of the times, by the name that CF has for it.
fn calendar(found: &Found<'_>) -> String {
    let unit = found.plane.along.and_then(|along| along.unit().ok());
    match unit.map(|unit| unit.calendar()) {
        None | Some(crate::calendar::Calendar::Gregorian) => "Gregorian".to_owned(),
        Some(other) => other.to_string(),
    }
}
