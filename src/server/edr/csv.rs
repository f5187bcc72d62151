//! Cells as CSV: a row a place and time, a column a parameter.

use std::fmt::Write as _;

use super::ask::QueryKind;
use super::coverage::{CellWriter, cells, centres, column, heights, times};
use super::read::FoundCells;

/// The whole text. Of an area or a box, rows without any value are left out.
pub(super) fn text(found: &FoundCells<'_>) -> String {
    let structure = found.grid.structure();
    let [x, y] = [found.plane.x, found.plane.y].map(|axis| centres(found, axis));
    let axis_name = |axis: usize| structure.axes().nth(axis).map(crate::Axis::name);
    // What stands before x and y, and for how many rows one of it does.
    let plane = (x.len() * y.len()).max(1);
    let mut before: Vec<(&str, Vec<String>, usize)> = Vec::new();
    if let Some(axis) = found.height {
        let shown = |height: &serde_json::Value| match height.as_str() {
            Some(label) => quoted(label),
            None => height.to_string(),
        };
        let heights: Vec<String> = heights(found, axis).iter().map(shown).collect();
        before.push((axis_name(axis).unwrap_or("z"), heights, plane));
    }
    if let Some(name) = found.plane.along.and_then(|along| axis_name(along.number)) {
        let rows = plane
            * before
                .first()
                .map_or(1, |(_, heights, _)| heights.len().max(1));
        let times = times(found).iter().map(|at| quoted(at)).collect();
        before.insert(0, (name, times, rows));
    }
    let head = before.iter().map(|(name, ..)| *name).chain(["x", "y"]);
    let head = head.chain(found.parameters.iter().map(|(_, name)| name.as_str()));
    let head: Vec<String> = head.map(quoted).collect();
    let mut out = head.join(",");
    out.push('\n');
    let of_parameter = |(band, _): &(usize, String)| column(found, *band);
    let mut columns: Vec<CellWriter<'_>> = found.parameters.iter().map(of_parameter).collect();
    let mut values = String::new();
    for row in 0..cells(found) {
        values.clear();
        let mut held = found.kind == QueryKind::Position;
        for column in &mut columns {
            values.push(',');
            held |= column(&mut values);
        }
        if !held {
            continue;
        }
        for (_, texts, rows) in &before {
            out.push_str(&texts[row / rows % texts.len()]);
            out.push(',');
        }
        let at = row % plane;
        // Writing to a text does not fail.
        let _ = writeln!(out, "{},{}{values}", x[at % x.len()], y[at / x.len()]);
    }
    out
}

/// A field, in quotes if it has to be.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
