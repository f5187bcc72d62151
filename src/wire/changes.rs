//! Changes as `gridstone changes --json` prints them.

use serde_json::{Value, json};

use super::pieces;
use crate::feed::Change;
use crate::grid::{Structure, Window};

/// What one commit changed.
pub fn change_json(structure: &Structure, change: &Change) -> Value {
    let boxes = |windows: &[Window]| {
        let of = |window: &Window| {
            json!({
                "levels": pieces::levels(structure, window.levels(structure.dimensions().len())),
                "window": pieces::window(structure, window), "extent": pieces::extent(structure, &structure.extent(window)),
            })
        };
        windows.iter().map(of).collect::<Vec<_>>()
    };
    json!({
        "sequence": change.sequence, "base": boxes(&change.base), "aggregates": boxes(&change.aggregates),
        "to": pieces::levels(structure, change.to),
    })
}
