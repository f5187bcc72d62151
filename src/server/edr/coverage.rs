//! Cells as CoverageJSON.

use std::fmt::Write as _;

use ndarray::{Axis, Slice};
use serde_json::{Map, Value, json};

use super::super::slice;
use super::ask::QueryKind;
use super::collection;
use super::read::FoundCells;
use crate::array::{Cell, with_view};
use crate::wire;

/// The centres of cells along an axis of the answer.
pub(super) fn centres(found: &FoundCells<'_>, axis: usize) -> Vec<f64> {
    let len = found.answer.array.shape()[axis];
    let centres = slice::centres(found.grid.structure(), &found.answer.window, axis);
    centres.take(len).collect()
}

/// The heights of cells along an axis: labels, numbers if all are, or centres.
pub(super) fn heights(found: &FoundCells<'_>, axis: usize) -> Vec<Value> {
    let structure = found.grid.structure();
    let Some(labels) = structure.dimensions()[structure.dimension_of(axis)].labels() else {
        return centres(found, axis).into_iter().map(Value::from).collect();
    };
    let first = usize::try_from(found.answer.window.start()[axis]).unwrap_or_default();
    let len = found.answer.array.shape()[axis];
    let told: Vec<&String> = labels.iter().skip(first).take(len).collect();
    let number = |label: &&String| label.parse::<f64>().ok().filter(|of| of.is_finite());
    let numbers: Option<Vec<f64>> = told.iter().map(number).collect();
    match numbers {
        Some(numbers) => numbers.into_iter().map(Value::from).collect(),
        None => told
            .into_iter()
            .map(|label| label.as_str().into())
            .collect(),
    }
}

/// Where steps begin or events are along the axis of times, for people and programs.
pub(super) fn times(found: &FoundCells<'_>) -> Vec<String> {
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

/// The order of axes in which cells are told: bands, times, heights, rows, columns, then what has
/// one cell.
fn order(found: &FoundCells<'_>) -> Vec<usize> {
    let time = found.plane.along.map(|along| along.number);
    let first: Vec<usize> = found
        .band
        .into_iter()
        .chain(time)
        .chain(found.height)
        .chain([found.plane.y, found.plane.x])
        .collect();
    let rest = (0..found.grid.structure().rank()).filter(|axis| !first.contains(axis));
    first.iter().copied().chain(rest).collect()
}

/// Cells along the axes of an answer that are told, times and heights first; empty where there are
/// none.
pub(super) fn lens(found: &FoundCells<'_>) -> [Option<usize>; 2] {
    let shape = found.answer.array.shape();
    let time = found.plane.along.map(|along| shape[along.number]);
    [time, found.height.map(|axis| shape[axis])]
}

/// How many cells there are of each parameter.
pub(super) fn cells(found: &FoundCells<'_>) -> usize {
    let shape = found.answer.array.shape();
    let others = lens(found).into_iter().flatten();
    others.product::<usize>() * shape[found.plane.y] * shape[found.plane.x]
}

/// Writes the next cell of a parameter, if it holds data; says whether it does.
pub(super) type CellWriter<'a> = Box<dyn FnMut(&mut String) -> bool + 'a>;

/// The cells of a parameter in the order of times, heights, rows and columns.
pub(super) fn column<'a>(found: &'a FoundCells<'_>, parameter: usize) -> CellWriter<'a> {
    let order = order(found);
    // Bands come first.
    let of_parameter = Slice::from(match found.band {
        Some(_) => parameter..parameter + 1,
        None => 0..found.answer.array.shape()[order[0]],
    });
    let mut valid = found.answer.valid().map(|valid| {
        let mut valid = valid.permuted_axes(order.clone());
        valid.slice_axis_inplace(Axis(0), of_parameter);
        valid.into_iter()
    });
    let width = found.answer.array.shape()[found.plane.x];
    let plane = width * found.answer.array.shape()[found.plane.y];
    with_view!(Array, &found.answer.array, |array| {
        let mut view = array.view().permuted_axes(order);
        view.slice_axis_inplace(Axis(0), of_parameter);
        let mut cells = view.into_iter().enumerate();
        Box::new(move |out| {
            let Some((number, cell)) = cells.next() else {
                return false;
            };
            let held = valid
                .as_mut()
                .is_none_or(|valid| valid.next() == Some(true));
            let at = number % plane;
            let counts = found
                .mask
                .as_ref()
                .is_none_or(|mask| mask[[at / width, at % width]]);
            // What is not finite is no number of JSON.
            let told = held && counts && cell.to_f64().is_finite();
            if told {
                // Writing to a text does not fail.
                let _ = write!(out, "{cell:?}");
            }
            told
        })
    })
}

/// The whole text.
pub(super) fn text(found: &FoundCells<'_>) -> String {
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
    if let Some(axis) = found.height {
        axes.insert("z".to_owned(), json!({ "values": heights(found, axis) }));
    }
    // A grid may have any of the axes.
    let point = found.kind == QueryKind::Position && found.height.is_none();
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
    if let Some(axis) = found.height.and_then(|axis| structure.axes().nth(axis)) {
        let mut of = json!({ "name": { "en": axis.name() } });
        if let Some(unit) = axis.unit_name() {
            of["unit"] = json!({ "symbol": unit });
        }
        referencing.push(json!({ "coordinates": ["z"], "system": { "type": "VerticalCRS", "cs": { "csAxes": [of] } } }));
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
    let plane = (!point).then_some(["y", "x"]).into_iter().flatten();
    let height = found.height.map(|_| "z");
    let names: Vec<&str> = time_name.into_iter().chain(height).chain(plane).collect();
    let plane = [found.plane.y, found.plane.x].map(|axis| shape[axis]);
    let plane = (!point).then_some(plane).into_iter().flatten();
    let lens: Vec<usize> = lens(found).into_iter().flatten().chain(plane).collect();
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
        let mut column = column(found, *band);
        for number in 0..cells(found) {
            if number > 0 {
                out.push(',');
            }
            if !column(&mut out) {
                out.push_str("null");
            }
        }
        out.push_str("]}");
    }
    out.push_str("}}");
    out
}

/// The calendar of the times, by the name that CF has for it.
fn calendar(found: &FoundCells<'_>) -> String {
    let unit = found.plane.along.and_then(|along| along.unit().ok());
    match unit.map(|unit| unit.calendar()) {
        None | Some(crate::calendar::Calendar::Gregorian) => "Gregorian".to_owned(),
        Some(other) => other.to_string(),
    }
}
