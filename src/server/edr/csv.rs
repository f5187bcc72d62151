//! Cells as CSV: a row a place and time, a column a parameter.

use std::fmt::Write as _;

use super::ask::Kind;
use super::coverage::{centres, each_cell, times};
use super::read::Found;

/// The whole text. Of an area or a box, rows without any value are left out.
pub(super) fn text(found: &Found<'_>) -> String {
    let structure = found.grid.structure();
    let [x, y] = [found.plane.x, found.plane.y].map(|axis| centres(found, axis));
    let times = times(found);
    let time = found
        .plane
        .along
        .and_then(|along| structure.axes().nth(along.number).map(crate::Axis::name));
    let mut columns: Vec<Vec<Option<String>>> = Vec::new();
    for (band, _) in &found.parameters {
        let mut column = Vec::new();
        each_cell(found, *band, |_, cell| column.push(cell.map(str::to_owned)));
        columns.push(column);
    }
    let head = time.into_iter().chain(["x", "y"]).map(quoted);
    let head: Vec<String> = head
        .chain(found.parameters.iter().map(|(_, name)| quoted(name)))
        .collect();
    let mut out = head.join(",");
    out.push('\n');
    let plane = x.len() * y.len();
    for row in 0..columns.first().map_or(0, Vec::len) {
        let values: Vec<&str> = columns
            .iter()
            .map(|column| column[row].as_deref().unwrap_or_default())
            .collect();
        if found.kind != Kind::Position && values.iter().all(|value| value.is_empty()) {
            continue;
        }
        if time.is_some() {
            let at = times.get(row / plane.max(1)).map_or("", String::as_str);
            out.push_str(&quoted(at));
            out.push(',');
        }
        let at = row % plane.max(1);
        // Writing to a text does not fail.
        let _ = writeln!(
            out,
            "{},{},{}",
            x[at % x.len()],
            y[at / x.len()],
            values.join(",")
        );
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
